package host

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/troupehost/troupe/actors/chain"
	"github.com/troupehost/troupe/actors/chain/follow"
	"github.com/troupehost/troupe/actors/chain/report"
	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/actors/kernel"
	"github.com/troupehost/troupe/artifacts/manifest"
	"github.com/troupehost/troupe/host/internal/agent"
	"github.com/troupehost/troupe/host/internal/outbox"
)

// chained is what the host has for its chain beside the three actors of it.
type chained struct {
	h        *Host
	outbox   kernel.Ref[chain.Message]
	reporter kernel.Ref[report.Message]
	follower kernel.Ref[follow.Message]
	waiters  atomic.Uint64
	newest   atomic.Int64 // time of the newest block, in nanoseconds of Unix time; 0: none was seen
}

// cloudInitDir has the configurations of guests for an agent beside the host, in the data directory.
const cloudInitDir = "cloud-init"

// startChain begins the actors of the chain. They need those of the apps.
func (h *Host) startChain() (err error) {
	c := h.cfg.Chain
	if c.Port == nil {
		return nil
	}
	p := &chained{h: h}
	port := seenPort{c.Port, p}
	worker := chain.Hash(h.apps.keys.Public())
	store, err := outbox.New(h.dir.State)
	if err != nil {
		return err
	}
	if err := h.readPause(); err != nil {
		return err
	}
	if p.outbox, err = chain.Spawn(h.system, chain.Config{Port: port, Store: store, Signers: []chain.Signer{workerSigner{h}}, Stuck: p.stuck, Paused: h.paused.on}); err != nil {
		return err
	}
	settings := report.Settings{Interval: c.ReportEvery, MetricsEvery: c.MetricsEvery}
	if len(c.Operator) > 0 {
		settings.Operator = report.ID(c.Operator)
	}
	limits := follow.Limits{Worker: worker, MaxApps: c.MaxApps, NoRequests: !c.Compute}
	var runs follow.Agent
	switch {
	case !c.Compute:
	case c.Agent != "":
		dir := filepath.Join(h.cfg.DataDir, cloudInitDir)
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return fault.New(fault.HostDataDir, "agent", dir, err)
		}
		if runs, err = agent.New(agent.Config{URL: c.Agent, Dir: dir}); err != nil {
			return err
		}
	default:
		runs, limits.Images = h.placed, true
	}
	if c.Compute {
		settings.Node = worker.String()
	}
	sources, err := newChainSources(h)
	if err != nil {
		return err
	}
	h.sources = sources.f
	if p.reporter, err = report.Spawn(h.system, report.Config{Settings: settings, Chain: port, Outbox: report.Through(p.outbox, chain.Hash{}, func() uint64 { return p.waiters.Add(1) }), Worker: chainWorker{h}, Claims: p, Watcher: p}); err != nil {
		return err
	}
	p.follower, err = follow.Spawn(h.system, follow.Config{Limits: limits, Chain: port, Store: newDemandStore(h.dir.State), Apps: chainApps{h}, Reports: p, Outbox: p,
		Sources: sources, Agent: runs})
	if err != nil {
		return err
	}
	h.chain.Store(p)
	return nil
}

// seenPort remembers when the newest block was made.
type seenPort struct {
	chain.Port
	to *chained
}

// Follow implements chain.Port.
func (s seenPort) Follow(ctx context.Context, after chain.Cursor, use func(chain.Block) error) error {
	return s.Port.Follow(ctx, after, func(b chain.Block) error {
		for at := b.Time.UnixNano(); ; { // several follow, each at its own pace
			newest := s.to.newest.Load()
			if at <= newest || s.to.newest.CompareAndSwap(newest, at) {
				return use(b)
			}
		}
	})
}

// Submit implements chain.Port. Nothing begins to be submitted between the snapshots of a backup; what did before is in that of the state.
func (s seenPort) Submit(ctx context.Context, tx []byte) error {
	s.to.h.backups.hold.RLock()
	s.to.h.backups.hold.RUnlock() //nolint:staticcheck // it is a gate
	return s.Port.Submit(ctx, tx)
}

// blockTime is when the newest block was made, by the clock of the chain.
func (h *Host) blockTime() (time.Time, bool) {
	if f := h.cfg.Apps.BlockTime; f != nil {
		return f()
	}
	p := h.chain.Load()
	if p == nil {
		return time.Time{}, false
	}
	at := p.newest.Load()
	return time.Unix(0, at), at != 0
}

// workerSigner signs with the worker key that there is now.
type workerSigner struct{ h *Host }

func (s workerSigner) Public() [32]byte         { return s.h.apps.keys.Public() }
func (s workerSigner) Sign(msg []byte) [64]byte { return s.h.apps.keys.Worker().Sign(msg) }

// send has a call in the outbox.
func (p *chained) send(ctx context.Context, key string, call chain.Call, class chain.Class) error {
	_, err := kernel.Ask(ctx, p.outbox, func(to kernel.Reply[inspect.Outgoing]) chain.Message {
		return chain.Send{Key: key, Call: call, Class: class, Reply: to}
	})
	return err
}

// leaveGrace is for the answer to who waits for a call and leaves.
const leaveGrace = time.Second

// outcome waits for what becomes of a call.
func (p *chained) outcome(ctx context.Context, key string) (chain.Outcome, error) {
	n := p.waiters.Add(1)
	return kernel.AskWithdrawing(ctx, p.outbox, func(to kernel.Reply[chain.Outcome]) chain.Message {
		return chain.Wait{Key: key, Waiter: n, Reply: to}
	}, chain.Message(chain.Unwait{Waiter: n}), leaveGrace)
}

func (p *chained) calls(ctx context.Context, history, newest bool, after uint64, limit int) (chain.Page, error) {
	return kernel.Ask(kernel.Looking(ctx), p.outbox, func(to kernel.Reply[chain.Page]) chain.Message {
		return chain.List{History: history, Newest: newest, After: after, Limit: limit, Reply: to}
	})
}

// Submit implements follow.Outbox.
func (p *chained) Submit(ctx context.Context, key string, call chain.Call) error {
	if err := p.send(ctx, key, call, chain.Plain); err != nil {
		return err
	}
	o, err := p.outcome(ctx, key)
	if err != nil {
		return err
	}
	return o.Err()
}

// Settle implements follow.Reports.
func (p *chained) Settle(ctx context.Context, address manifest.Address) error {
	_, err := kernel.Ask(ctx, p.reporter, func(to kernel.Reply[report.Settled]) report.Message {
		return report.ReportNow{Apps: [][32]byte{address}, Reply: to}
	})
	return err
}

// ClaimsOf implements report.Claims.
func (p *chained) ClaimsOf(ctx context.Context, apps [][32]byte) (map[[32]byte][]uint64, error) {
	var which []manifest.Address
	for _, a := range apps {
		which = append(which, a)
	}
	if apps == nil {
		which = p.h.apps.addresses()
	}
	claims, err := kernel.Ask(ctx, p.follower, func(to kernel.Reply[map[manifest.Address][]uint64]) follow.Message {
		return follow.Claims{Addresses: which, Reply: to}
	})
	if err != nil {
		return nil, err
	}
	out := make(map[[32]byte][]uint64, len(claims))
	for a, tickets := range claims {
		out[a] = tickets
	}
	return out, nil
}

// Unpaid implements report.Watcher.
func (p *chained) Unpaid(app [32]byte, tickets []uint64, why string) {
	p.h.log.Warn().Str("app", manifest.Address(app).String()).Uints64("tickets", tickets).Msg("an app is not paid: " + why)
	if err := p.follower.Send(follow.Unpaid{Address: app}); err != nil {
		p.h.log.Debug().Err(err).Msg("the follower reads the tickets again by itself, later")
	}
}

// warnChain is the warning of an outbox from which nothing goes.
const warnChain = "chain.stuck"

func (p *chained) stuck(why *fault.Error) {
	if why == nil {
		p.h.health.clear(warnChain)
		return
	}
	p.h.health.set(warnChain, "nothing goes to the chain: "+why.Error(), why.Hint)
}

// alarmChain is the warning of a worker that is about to lose its pay.
const alarmChain = "chain.heartbeat"

// Alarm implements report.Watcher.
func (p *chained) Alarm(why *fault.Error) {
	if why == nil {
		p.h.health.clear(alarmChain)
		return
	}
	p.h.health.set(alarmChain, why.Error(), why.Hint)
}

// nudge tells the actors of the chain that the apps or the session are others now.
func (h *Host) nudge() {
	if p := h.chain.Load(); p != nil {
		err := errors.Join(p.reporter.Send(report.Nudge{}), p.follower.Send(follow.Changed{}))
		if err != nil {
			h.log.Debug().Err(err).Msg("the actors of the chain look again by themselves, later")
		}
	}
}
