package host

import (
	"context"
	"encoding/hex"

	"github.com/troupehost/troupe/actors/chain/follow"
	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/artifacts/manifest"
)

// Tenants of what the chain asked for. Nobody else can name them.
const (
	tenantMarket  = "chain/market"
	tenantCompute = "chain/compute"
)

// stranger says whether nobody of this host wrote the manifests of a tenant's apps.
func stranger(tenant string) bool { return tenant == tenantMarket || tenant == tenantCompute }

// strangerMay refuses what a stranger's manifest may not claim: a server name for which the operator has a certificate is a name that
// users trust.
func strangerMay(tenant string, m *manifest.Manifest) error {
	if stranger(tenant) && len(m.Settled().Grants.Names) > 0 {
		return fault.New(fault.CallerManifest, "deploy", fault.Quote(m.Label), nil).WithHint("server names are for apps that the operator deploys, and this one comes from the chain")
	}
	return nil
}

// chainApps are the apps of the host as its follower sees them.
type chainApps struct{ h *Host }

// List implements follow.Apps.
func (a chainApps) List(ctx context.Context) (out []follow.App, err error) {
	for after := uint64(0); ; {
		apps, next, err := a.h.Apps(ctx, AppFilter{After: after})
		if err != nil {
			return nil, err
		}
		for _, x := range apps {
			if x.Tenant == tenantCompute {
				continue
			}
			one, err := followed(x)
			if err != nil {
				return nil, err
			}
			out = append(out, one)
		}
		if after = next; after == 0 {
			return out, nil
		}
	}
}

func followed(x inspect.App) (out follow.App, err error) {
	if out.Address, err = manifest.ParseAddress(x.Address); err != nil {
		return out, err
	}
	_, err = hex.Decode(out.Session[:], []byte(x.Session))
	out.Mine, out.Bench = x.Tenant == tenantMarket, x.Bench
	out.Stopped = x.State == "stopped" && x.Wanted == 0 // one that failed is wanted still
	return out, err
}

// Announce implements follow.Apps.
func (a chainApps) Announce(ctx context.Context, m []byte) error {
	return a.h.Announce(ctx, DeployRequest{Manifest: m, Tenant: tenantMarket})
}

// Deploy implements follow.Apps.
func (a chainApps) Deploy(ctx context.Context, m []byte, bench bool) (follow.App, error) {
	x, err := a.h.deploy(ctx, DeployRequest{Manifest: m, Tenant: tenantMarket, Bench: bench, ReuseInstances: true})
	if fault.CodeOf(err) == fault.CallerAppExists {
		there, err2 := manifest.Decode(m)
		if err2 != nil {
			return follow.App{}, err2
		}
		x, err = a.h.App(ctx, there.Address().String())
	}
	if err != nil {
		return follow.App{}, err
	}
	return followed(x)
}

// Stop implements follow.Apps.
func (a chainApps) Stop(ctx context.Context, address manifest.Address) error {
	_, err := a.h.holdApp(ctx, address.String())
	return unless(err, fault.CallerNotFound)
}

// Remove implements follow.Apps.
func (a chainApps) Remove(ctx context.Context, address manifest.Address) error {
	_, err := a.h.removeApp(ctx, address.String())
	return unless(err, fault.CallerNotFound)
}

// SetBench implements follow.Apps.
func (a chainApps) SetBench(ctx context.Context, address manifest.Address) error {
	name := ""
	if address != (manifest.Address{}) {
		name = address.String()
	}
	_, err := a.h.SetBench(ctx, name, uint32(a.h.cfg.Apps.Slots))
	return err
}

// unless drops an error of a code: what was wanted is so already.
func unless(err error, code fault.Code) error {
	if fault.CodeOf(err) == code {
		return nil
	}
	return err
}

// addresses returns the apps that are deployed.
func (a *apps) addresses() []manifest.Address {
	a.mu.Lock()
	defer a.mu.Unlock()
	out := make([]manifest.Address, 0, len(a.deployed))
	for addr := range a.deployed {
		out = append(out, addr)
	}
	return out
}

func (a *apps) isDeployed(addr manifest.Address) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	_, ok := a.deployed[addr]
	return ok
}
