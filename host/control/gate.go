package control

import (
	"context"
	"io"
	"slices"
	"strings"
	"sync"

	"github.com/troupehost/troupe/actors/chain"
	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/actors/meter"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/artifacts/manifest"
	"github.com/troupehost/troupe/host"
	"github.com/troupehost/troupe/host/control/api"
)

// gate stands between the handlers and the host. It is the one place where a dry run stops, where a caller that may not change
// anything is stopped again should a handler have forgotten to, and where callers that are confined to their own things meet
// nothing else. Calls without a visit in their context are the server's own.
type gate struct {
	Host
	audited func() error // why the audit log is not on disk; nil: it is
	shown   *shown
}

// pass is asked before anything is changed.
func pass(ctx context.Context, target string) error {
	v := visitOf(ctx)
	switch {
	case v == nil:
		return nil
	case !api.Holds(v.caller.rights, api.Operate):
		return lacks(v.caller, api.Operate)
	case v.dry:
		return &dryRun{target}
	}
	return nil
}

// confinedTo returns the tenant that the caller is confined to.
func confinedTo(ctx context.Context) (string, bool) {
	v := visitOf(ctx)
	if v == nil || !v.caller.confined() {
		return "", false
	}
	return v.caller.Tenant(), true
}

// ownSet is what belongs to a confined caller. It is looked up once for a request.
type ownSet struct {
	once  sync.Once
	err   error
	apps  map[string]bool // addresses
	codes map[string]bool // hashes
}

const maxOwn = 10_000

// bareHash is a hash of code in hex digits; manifests name its kind before them.
func bareHash(text string) string { return strings.TrimPrefix(text, "sha256:") }

func (g gate) own(ctx context.Context) (*ownSet, error) {
	v := visitOf(ctx)
	o := &v.own
	o.once.Do(func() {
		o.apps, o.codes = map[string]bool{}, map[string]bool{}
		tenant := v.caller.Tenant()
		for after := uint64(0); len(o.apps) < maxOwn; {
			apps, next, err := g.Host.Apps(ctx, host.AppFilter{Tenant: tenant, After: after, Limit: api.MaxAppPage})
			if err != nil {
				o.err = err
				return
			}
			for _, a := range apps {
				if a.Tenant == tenant {
					o.apps[a.Address], o.codes[bareHash(a.CodeHash)] = true, true
				}
			}
			if next <= after {
				break
			}
			after = next
		}
		warm, err := g.Warmed(ctx)
		if err != nil {
			o.err = err
			return
		}
		for _, w := range warm {
			o.codes[bareHash(w.CodeHash)] = true
		}
		jobs, _, err := g.Host.Jobs(ctx, host.JobFilter{Tenant: tenant, Limit: api.MaxPage})
		if err != nil {
			o.err = err
			return
		}
		for _, j := range jobs {
			if j.Tenant == tenant {
				o.codes[bareHash(j.CodeHash)] = true
			}
		}
	})
	return o, o.err
}

func (g gate) ownJob(ctx context.Context, id string) error {
	if tenant, yes := confinedTo(ctx); yes {
		if j, err := g.Host.Job(ctx, id); err != nil {
			return err
		} else if j.Tenant != tenant {
			return hidden("job", id)
		}
	}
	return nil
}

func (g gate) ownApp(ctx context.Context, address string) error {
	if tenant, yes := confinedTo(ctx); yes {
		if a, err := g.Host.App(ctx, address); err != nil {
			return err
		} else if a.Tenant != tenant {
			return hidden("app", address)
		}
	}
	return nil
}

// ownArtifact hides artifacts of code that no job, app or warm-up of the caller names.
func (g gate) ownArtifact(ctx context.Context, key string) error {
	tenant, yes := confinedTo(ctx)
	if !yes {
		return nil
	}
	a, _, err := g.Host.Artifact(ctx, key)
	if err != nil {
		return err
	}
	o, err := g.own(ctx)
	if err == nil && !o.codes[bareHash(a.CodeHash)] && !slices.Contains(a.Pins, tenant) {
		err = hidden("artifact", key)
	}
	return err
}

// first returns the first error.
func first(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// withhold takes what guests printed and callers gave out of a job, for a caller that may not read it.
func withhold(ctx context.Context, j run.Job) run.Job {
	if v := visitOf(ctx); v != nil && !api.Holds(v.caller.rights, api.Payload) && j.Receipt != nil {
		r := *j.Receipt
		r.Result, r.Stdout, r.Stderr = nil, nil, nil
		j.Receipt = &r
	}
	return j
}

func (g gate) Execute(ctx context.Context, r host.Request) (run.Receipt, error) {
	if err := first(g.ownCode(ctx, r.Code, r.CodeHash), pass(ctx, r.CodeHash)); err != nil {
		return run.Receipt{}, err
	}
	return g.Host.Execute(ctx, r)
}

func (g gate) Precheck(ctx context.Context, r host.CodeRequest) (host.Judgement, error) {
	if err := first(g.ownCode(ctx, r.Code, r.CodeHash), pass(ctx, r.CodeHash)); err != nil {
		return host.Judgement{}, err
	}
	return g.Host.Precheck(ctx, r)
}

func (g gate) HeadsUp(ctx context.Context, r host.CodeRequest) error {
	if err := first(g.ownCode(ctx, r.Code, r.CodeHash), pass(ctx, r.CodeHash)); err != nil {
		return err
	}
	return g.Host.HeadsUp(ctx, r)
}

// onArtifact is a change of one artifact.
func (g gate) onArtifact(ctx context.Context, key string, f func() error) error {
	if err := g.ownArtifact(ctx, key); err != nil {
		return err
	}
	if v := visitOf(ctx); v != nil && v.dry {
		if _, _, err := g.Host.Artifact(ctx, key); err != nil {
			return err
		}
	}
	if err := pass(ctx, key); err != nil {
		return err
	}
	return f()
}

func (g gate) Verify(ctx context.Context, key string) error {
	return g.onArtifact(ctx, key, func() error { return g.Host.Verify(ctx, key) })
}

func (g gate) Pin(ctx context.Context, tenant, key string) error {
	return g.onArtifact(ctx, key, func() error { return g.Host.Pin(ctx, tenant, key) })
}

func (g gate) Unpin(ctx context.Context, tenant, key string) error {
	return g.onArtifact(ctx, key, func() error { return g.Host.Unpin(ctx, tenant, key) })
}

func (g gate) Evict(ctx context.Context, key string) error {
	return g.onArtifact(ctx, key, func() error { return g.Host.Evict(ctx, key) })
}

func (g gate) RetryArtifact(ctx context.Context, key string, generation uint64) error {
	return g.onArtifact(ctx, key, func() error { return g.Host.RetryArtifact(ctx, key, generation) })
}

func (g gate) RaiseArtifact(ctx context.Context, key string, p run.Priority, by string) error {
	return g.onArtifact(ctx, key, func() error { return g.Host.RaiseArtifact(ctx, key, p, by) })
}

func (g gate) Prune(ctx context.Context) (host.PruneReport, error) {
	if err := first(serves(ctx), pass(ctx, "")); err != nil {
		return host.PruneReport{}, err
	}
	return g.Host.Prune(ctx)
}

func (g gate) Submit(ctx context.Context, r host.JobRequest) (run.Job, error) {
	if err := first(g.ownCode(ctx, r.Code, r.CodeHash), pass(ctx, r.CodeHash)); err != nil {
		return run.Job{}, err
	}
	j, err := g.Host.Submit(ctx, r)
	return withhold(ctx, j), err
}

// onJob is a change of one job.
func (g gate) onJob(ctx context.Context, id string, f func() (run.Job, error)) (run.Job, error) {
	if err := g.ownJob(ctx, id); err != nil {
		return run.Job{}, err
	}
	if v := visitOf(ctx); v != nil && v.dry {
		if _, err := g.Host.Job(ctx, id); err != nil {
			return run.Job{}, err
		}
	}
	if err := pass(ctx, id); err != nil {
		return run.Job{}, err
	}
	j, err := f()
	return withhold(ctx, j), err
}

func (g gate) CancelJob(ctx context.Context, id, by string) (run.Job, error) {
	return g.onJob(ctx, id, func() (run.Job, error) { return g.Host.CancelJob(ctx, id, by) })
}

func (g gate) RaiseJob(ctx context.Context, id string, p run.Priority, by string) (run.Job, error) {
	return g.onJob(ctx, id, func() (run.Job, error) { return g.Host.RaiseJob(ctx, id, p, by) })
}

func (g gate) RetryJob(ctx context.Context, id, key string) (run.Job, error) {
	return g.onJob(ctx, id, func() (run.Job, error) { return g.Host.RetryJob(ctx, id, key) })
}

func (g gate) Revoke(ctx context.Context, tenant, tag string) (int, error) {
	if err := pass(ctx, tag); err != nil {
		return 0, err
	}
	return g.Host.Revoke(ctx, tenant, tag)
}

func (g gate) Warm(ctx context.Context, r host.CodeRequest) (inspect.Warm, error) {
	if err := first(g.ownCode(ctx, r.Code, r.CodeHash), pass(ctx, r.CodeHash)); err != nil {
		return inspect.Warm{}, err
	}
	return g.Host.Warm(ctx, r)
}

func (g gate) Unwarm(ctx context.Context, tenant, code string) error {
	if err := pass(ctx, code); err != nil {
		return err
	}
	return g.Host.Unwarm(ctx, tenant, code)
}

// asTenant refuses to deploy for others.
func asTenant(ctx context.Context, tenant string) error {
	if own, yes := confinedTo(ctx); yes && tenant != own {
		return lacks(visitOf(ctx).caller, api.Admin)
	}
	return nil
}

// ownNeeds lets a confined caller deploy what consists of blobs that it may read.
func (g gate) ownNeeds(ctx context.Context, text []byte) error {
	if _, yes := confinedTo(ctx); !yes {
		return nil
	}
	m, err := manifest.Decode(text)
	if err != nil {
		return nil // the host says what is wrong
	}
	names := []string{m.CodeHash}
	for _, b := range m.Blobs {
		names = append(names, b.Key)
	}
	for _, name := range names {
		if err := g.ownBlob(ctx, name); fault.CodeOf(err) == fault.CallerNotFound {
			return fault.New(fault.CallerBlobMissing, "blob", fault.Quote(name), nil)
		} else if err != nil {
			return err
		}
	}
	return nil
}

func (g gate) Deploy(ctx context.Context, r host.DeployRequest) (inspect.App, error) {
	if err := first(asTenant(ctx, r.Tenant), g.ownNeeds(ctx, r.Manifest), pass(ctx, "")); err != nil {
		return inspect.App{}, err
	}
	return g.Host.Deploy(ctx, r)
}

func (g gate) Announce(ctx context.Context, r host.DeployRequest) error {
	if err := first(asTenant(ctx, r.Tenant), g.ownNeeds(ctx, r.Manifest), pass(ctx, "")); err != nil {
		return err
	}
	return g.Host.Announce(ctx, r)
}

// onApp is a change of one app.
func (g gate) onApp(ctx context.Context, address string) error {
	if v := visitOf(ctx); v != nil && v.dry && !v.caller.confined() {
		if _, err := g.Host.App(ctx, address); err != nil {
			return err
		}
	}
	return first(g.ownApp(ctx, address), pass(ctx, address))
}

func (g gate) StartApp(ctx context.Context, address string) (inspect.App, error) {
	if err := g.onApp(ctx, address); err != nil {
		return inspect.App{}, err
	}
	return g.Host.StartApp(ctx, address)
}

func (g gate) StopApp(ctx context.Context, address string) (inspect.App, error) {
	if err := g.onApp(ctx, address); err != nil {
		return inspect.App{}, err
	}
	return g.Host.StopApp(ctx, address)
}

func (g gate) ResizeApp(ctx context.Context, address string, n uint32) (inspect.App, error) {
	if err := g.onApp(ctx, address); err != nil {
		return inspect.App{}, err
	}
	return g.Host.ResizeApp(ctx, address, n)
}

func (g gate) RaiseApp(ctx context.Context, address string, p run.Priority) (inspect.App, error) {
	if err := g.onApp(ctx, address); err != nil {
		return inspect.App{}, err
	}
	return g.Host.RaiseApp(ctx, address, p)
}

func (g gate) RemoveApp(ctx context.Context, address string) (inspect.AppMetrics, error) {
	if err := g.onApp(ctx, address); err != nil {
		return inspect.AppMetrics{}, err
	}
	return g.Host.RemoveApp(ctx, address)
}

func (g gate) RemoveAllApps(ctx context.Context) (int, error) {
	if err := pass(ctx, ""); err != nil {
		return 0, err
	}
	return g.Host.RemoveAllApps(ctx)
}

func (g gate) Query(ctx context.Context, q host.AppQuery) (host.AppReply, error) {
	if err := g.onApp(ctx, q.Address); err != nil {
		return host.AppReply{}, err
	}
	return g.Host.Query(ctx, q)
}

func (g gate) SealedQuery(ctx context.Context, public [32]byte, sealed []byte) ([]byte, error) {
	if err := pass(ctx, ""); err != nil {
		return nil, err
	}
	return g.Host.SealedQuery(ctx, public, sealed)
}

func (g gate) PutBlob(ctx context.Context, hash string, r io.Reader) (inspect.Blob, error) {
	if err := pass(ctx, hash); err != nil {
		return inspect.Blob{}, err
	}
	b, err := g.Host.PutBlob(ctx, hash, r)
	if err == nil {
		g.shown.add(ctx, b.Hash)
	}
	return b, err
}

func (g gate) RemoveBlob(ctx context.Context, hash string) error {
	if err := first(g.ownBlob(ctx, hash), pass(ctx, hash)); err != nil {
		return err
	}
	return g.Host.RemoveBlob(ctx, hash)
}

func (g gate) OpenSession(ctx context.Context, r host.SessionRequest) (host.Signed, error) {
	if err := pass(ctx, ""); err != nil {
		return host.Signed{}, err
	}
	return g.Host.OpenSession(ctx, r)
}

func (g gate) SetBench(ctx context.Context, address string, n uint32) (inspect.Session, error) {
	if err := pass(ctx, address); err != nil {
		return inspect.Session{}, err
	}
	return g.Host.SetBench(ctx, address, n)
}

func (g gate) ReportMetrics(ctx context.Context, addresses ...string) ([]host.SignedReport, error) {
	if err := pass(ctx, strings.Join(addresses, " ")); err != nil {
		return nil, err
	}
	return g.Host.ReportMetrics(ctx, addresses...)
}

func (g gate) SignEndpoints(ctx context.Context, endpoints []string) (host.Signed, error) {
	if err := pass(ctx, ""); err != nil {
		return host.Signed{}, err
	}
	return g.Host.SignEndpoints(ctx, endpoints)
}

func (g gate) SignDescription(ctx context.Context, text string, prices meter.Prices) (host.Signed, error) {
	if err := pass(ctx, ""); err != nil {
		return host.Signed{}, err
	}
	return g.Host.SignDescription(ctx, text, prices)
}

func (g gate) SignRegistration(ctx context.Context, genesis [32]byte, operator *[32]byte, para uint32) (host.Signed, error) {
	if err := pass(ctx, ""); err != nil {
		return host.Signed{}, err
	}
	return g.Host.SignRegistration(ctx, genesis, operator, para)
}

func (g gate) BackupKey(ctx context.Context, passphrase []byte) ([]byte, error) {
	if err := pass(ctx, ""); err != nil {
		return nil, err
	}
	return g.Host.BackupKey(ctx, passphrase)
}

func (g gate) RestoreKey(ctx context.Context, backup, passphrase []byte) error {
	if err := pass(ctx, ""); err != nil {
		return err
	}
	return g.Host.RestoreKey(ctx, backup, passphrase)
}

func (g gate) RotateKey(ctx context.Context) (inspect.Session, error) {
	if err := pass(ctx, ""); err != nil {
		return inspect.Session{}, err
	}
	return g.Host.RotateKey(ctx)
}

func (g gate) LockKey(ctx context.Context, passphrase []byte) error {
	if err := pass(ctx, ""); err != nil {
		return err
	}
	return g.Host.LockKey(ctx, passphrase)
}

func (g gate) ReportToChain(ctx context.Context, addresses ...string) (int, uint64, error) {
	if err := pass(ctx, strings.Join(addresses, " ")); err != nil {
		return 0, 0, err
	}
	return g.Host.ReportToChain(ctx, addresses...)
}

func (g gate) SendToChain(ctx context.Context, key string, call chain.Call) (chain.Outcome, error) {
	if err := pass(ctx, call.Pallet+"."+call.Name); err != nil {
		return chain.Outcome{}, err
	}
	return g.Host.SendToChain(ctx, key, call)
}

func (g gate) AdoptChain(ctx context.Context, genesis [32]byte) error {
	if err := pass(ctx, ""); err != nil {
		return err
	}
	return g.Host.AdoptChain(ctx, genesis)
}
