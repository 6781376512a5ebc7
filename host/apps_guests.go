package host

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/troupehost/troupe/actors/cache"
	"github.com/troupehost/troupe/actors/execute"
	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/kernel"
	"github.com/troupehost/troupe/actors/meter"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/actors/sessions"
	"github.com/troupehost/troupe/artifacts"
	"github.com/troupehost/troupe/artifacts/manifest"
	"github.com/troupehost/troupe/host/abi"
	"github.com/troupehost/troupe/host/internal/appdata"
	"github.com/troupehost/troupe/host/internal/calls"
	"github.com/troupehost/troupe/host/internal/turns"
)

// Prepare implements sessions.Guests.
func (a *apps) Prepare(ctx context.Context, r sessions.Record, m *manifest.Manifest, p run.Priority) error {
	return a.withCode(ctx, m, func(c *heldCode) error {
		answer, err := a.h.judge(ctx, CodeRequest{Tenant: r.Tenant}, c, cache.Request{Kind: cache.HeadsUp, Priority: p,
			Budget: a.h.budget(a.h.cfg.PrepareCPU), By: "app " + r.Address.String()[:12]})
		if err == nil && answer.Outcome.Fault != nil {
			err = answer.Outcome.Fault
		}
		return err
	})
}

// withCode does something that may need the code of an app: first without, since what is prepared needs none, and once more with it.
func (a *apps) withCode(ctx context.Context, m *manifest.Manifest, do func(c *heldCode) error) error {
	h := a.h
	found, err := a.blob(m.CodeHash)
	if err != nil {
		return err
	}
	hash := artifacts.CodeHash(found)
	o := artifacts.Options{CanonicalNaNs: m.Settled().CanonicalNaNs}
	c := &heldCode{table: h.codes, hash: hash, key: h.keyOf(hash, o), options: o, held: h.codes.hold(hash)}
	defer func() { c.release() }()
	if err = do(c); c.held || fault.CodeOf(err) != fault.CallerNotFound {
		return err
	}
	code, err := a.code(ctx, m.CodeHash)
	if err != nil {
		return err
	}
	if int64(len(code)) > h.cfg.MaxCodeBytes {
		return fault.New(fault.GuestCodeTooLarge, "code", "", nil)
	}
	if err := h.codes.put(hash, code); err != nil {
		return err
	}
	c.held = true
	return do(c)
}

// code reads a blob.
func (a *apps) code(ctx context.Context, name string) ([]byte, error) {
	hash, err := a.blob(name)
	if err != nil {
		return nil, err
	}
	return a.blobs.Get(ctx, hash)
}

// execute runs a request of an app, with its code should the artifact be gone.
func (a *apps) execute(ctx context.Context, m *manifest.Manifest, r Request) (receipt run.Receipt, err error) {
	err = a.withCode(ctx, m, func(c *heldCode) error {
		r.CodeHash = c.hash.String()
		receipt, err = a.h.executeOnce(ctx, r)
		return err
	})
	return receipt, err
}

// limitsOf are the limits of a request's run, or of an instance.
func limitsOf(t *manifest.Terms, instance bool) run.Limits {
	l := run.Limits{
		CPU: t.Limits.CPU, Wall: t.Limits.Wall, MemoryBytes: int64(t.Limits.MemoryBytes), OutputBytes: int64(t.Limits.OutputBytes),
		Gas: int64(t.Limits.Gas), InitGas: int64(t.Limits.InitGas), StackValues: int64(t.Limits.StackValues),
	}
	if instance { // it lives on; the longest that a run can have. Its actor renews it then
		l.CPU, l.Wall = orTime(l.CPU, run.MaxCPU), orTime(l.Wall, run.MaxWall)
		if l.OutputBytes == 0 {
			l.OutputBytes = run.MaxOutputBytes
		}
	}
	return l
}

func worldOf(t *manifest.Terms) run.Determinism {
	if t.Deterministic {
		return run.Deterministic
	}
	if t.InitOnce {
		return run.RealRuns
	}
	return run.RealWorld
}

// Run implements sessions.Guests.
func (a *apps) Run(ctx context.Context, l sessions.Launch, up func()) sessions.Ended {
	failed := func(err error) sessions.Ended {
		return sessions.Ended{Outcome: run.Outcome{Fault: fault.From(err), NotBegun: true}}
	}
	h, m, t := a.h, l.Manifest, l.Manifest.Settled()
	if err := a.Prepare(ctx, l.App, m, l.Priority); err != nil {
		return failed(err)
	}
	app, err := a.open(ctx, &l.App, m)
	if err != nil {
		return failed(err)
	}
	hash, err := a.blob(m.CodeHash)
	if err != nil {
		return failed(err)
	}
	limits := limitsOf(&t, true).WithDefaults()
	b := execute.Binding{Tenant: l.App.Tenant, App: l.App.Address.String(), MemoryBytes: limits.MemoryBytes, Isolation: run.Process,
		Key: h.keyOf(artifacts.CodeHash(hash), artifacts.Options{CanonicalNaNs: t.CanonicalNaNs})}
	w, err := h.pool.Start(ctx, b)
	if err != nil {
		return failed(err)
	}
	defer w.Close()
	ctx, kill := context.WithCancelCause(ctx)
	defer kill(nil)
	g := app.instance(l.Instance, false, limits.Gas)
	g.kill, g.run, g.code, g.asks = kill, h.runs.newID(), artifacts.CodeHash(hash).String(), &askedCounts{}
	a.mu.Lock()
	a.instances[l.Instance] = g
	a.mu.Unlock()
	up()
	stdout, stderr := app.stream(l.Instance, appdata.LevelInfo), app.stream(l.Instance, appdata.LevelWarn)
	defer stdout.close()
	defer stderr.close()
	out, _ := w.Ride(ctx, execute.Job{Run: g.run, Binding: b, Entry: app.entry(), Limits: limits, Determinism: worldOf(&t), Priority: run.Normal, Slice: slicePerTurn, Cause: kernel.CauseOf(ctx)},
		execute.IO{Stdout: stdout, Stderr: stderr, Calls: g})
	a.mu.Lock()
	delete(a.instances, l.Instance)
	a.mu.Unlock()
	if f := fault.From(context.Cause(ctx)); out.Fault != nil && out.Fault.Class == fault.Canceled && f.Class == fault.Guest {
		out.Fault = f // it was ended for what it did
	}
	var why error = fault.New(fault.GuestNotServing, "instance", b.App, nil)
	if out.Fault != nil {
		why = out.Fault
	}
	g.peaked(out.Usage.MemoryPeakBytes)
	g.finish(why)
	used, told := g.meter.take()
	var gas uint64
	for _, n := range []*int64{out.Usage.GasUsed, out.Usage.InitGas} {
		if n != nil {
			gas += uint64(max(0, *n))
		}
	}
	used.Gas += gas - min(gas, used.Gas+told.Gas)
	g.meter.last(used) // its actor still knows the instance, and counts its time
	return sessions.Ended{Outcome: out}
}

// Stop implements sessions.Guests.
func (a *apps) Stop(instance uint64) {
	if i := a.instanceOf(instance); i != nil {
		i.Stop()
	}
}

func (a *apps) instanceOf(id uint64) *guest {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.instances[id]
}

// guest is one instance or run of an app, with the meter that counts for it.
type guest struct {
	*calls.Instance
	meter *appMeter
	turn  *turns.Turn
	asked atomic.Int64            // when it asked for something other than its turn, or was answered, in nanoseconds of the host's life
	waits atomic.Bool             // for such an answer
	kill  context.CancelCauseFunc // nil: its run ends with its request

	run  uint64       // of an instance
	code string       // the same
	asks *askedCounts // the same; nil: nobody counts
}

// stuck reports whether a guest has asked for nothing but its turn for so long: it takes no events.
func (g *guest) stuck(while time.Duration) bool {
	return !g.waits.Load() && g.meter.a.h.age()-time.Duration(g.asked.Load()) > while
}

// instance makes what serves one guest. one: it is for exactly one event.
func (l *liveApp) instance(id uint64, one bool, gas int64) *guest {
	a := l.a
	m := &appMeter{a: a, app: l.rec.Address, own: one}
	turn := a.turns.Join(l.rec.Address.String(), l.terms.Weight, l.rec.Bench)
	g := &guest{meter: m, turn: turn, Instance: l.calls.Instance(calls.InstanceConfig{ID: id, Meter: m, Turn: turn, One: one, GasLimit: gas, Log: l.log(id), Queue: int(l.terms.Queue), Reply: l.outputBytes()})}
	g.asked.Store(int64(a.h.age()))
	a.mu.Lock()
	a.guests[g] = struct{}{}
	a.mu.Unlock()
	return g
}

// Call implements run.Calls.
func (g *guest) Call(ctx context.Context, a run.Ask) run.Answer {
	g.meter.begun()
	if g.asks != nil && int(a.Op) < len(g.asks) {
		g.asks[a.Op].Add(1)
	}
	if a.Op != uint16(abi.OpTurn) {
		g.turn.Spent(a.Gas) // before the turn is given back in a wait
		g.waits.Store(true)
		defer func() {
			g.asked.Store(int64(g.meter.a.h.age()))
			g.waits.Store(false)
		}()
	}
	return g.Instance.Call(ctx, a)
}

// count passes on what the guest has used until now.
func (g *guest) count(ctx context.Context) error {
	g.Flush()
	return g.meter.Commit(ctx)
}

// peaked says how much memory the guest had in the end, which its last question does not know. nil: nobody does.
func (g *guest) peaked(bytes *int64) {
	if bytes != nil {
		g.Finish(0, *bytes)
	}
}

// finish takes back what the guest holds.
func (g *guest) finish(why error) {
	g.Instance.End(why)
	a := g.meter.a
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.guests, g)
}

// end ends a run that used as much by its receipt, and returns what of that is not written yet.
func (g *guest) end(u meter.Use, why error) meter.Use {
	g.finish(why)
	rest, told := g.meter.take()
	if u.Starts > 0 { // it has a receipt, which knows better
		rest.Running = max(0, u.Running-told.Running)
	}
	rest.Starts = max(rest.Starts, u.Starts-min(u.Starts, told.Starts))
	if rest.MemoryUsed == (meter.Uint128{}) && told.MemoryUsed == (meter.Uint128{}) {
		rest.MemoryUsed = u.MemoryUsed // it never asked
	}
	if total := told.Gas + rest.Gas; u.Gas > total {
		rest.Gas += u.Gas - total
	}
	return rest
}
