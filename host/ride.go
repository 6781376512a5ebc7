package host

import (
	"context"
	"time"

	"github.com/troupehost/troupe/actors/cache"
	"github.com/troupehost/troupe/actors/execute"
	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/kernel"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/artifacts"
	"github.com/troupehost/troupe/host/internal/lanes"
)

// rest is what a ride leaves to the actors.
type rest struct {
	id    uint64
	cause kernel.Cause
	entry *runEntry    // its streams; nil: there are none
	tried *cache.Tried // it was begun, and its end is doubtful; nil: it was not begun
}

// ride runs a request on a worker that is lent for its binding, past the actors. done false: it is left to them, with rest if
// that is not nil. Only calls that an ordinary run has proved ride, and no request with a validity tag, which must be found when
// it is revoked. Jobs do not ride: each is written down before and after its run, which takes longer than the way through the
// actors.
func (h *Host) ride(ctx context.Context, begin time.Time, r *Request, t *terms) (receipt run.Receipt, left *rest, done bool, err error) {
	if !t.rides || r.Validity != "" || ctx.Err() != nil {
		return receipt, nil, false, nil
	}
	l := h.laneOf(t)
	if l == nil || !l.Proved(t.call) {
		return receipt, nil, false, nil
	}
	id := h.runs.newID()
	j := t.job
	j.Run, j.Priority, j.Cause = id, orPriority(r.Priority, run.Normal), h.causeOf(ctx)
	if ctx.Done() != nil {
		j.Deadline, _ = ctx.Deadline()
	}
	io := execute.IO{Input: r.Input, Stdin: r.Stdin, Stdout: r.Stdout, Stderr: r.Stderr}
	io.Calls, j.Slice = r.app.served()
	var e *runEntry
	if r.Stdin != nil || r.Stdout != nil || r.Stderr != nil || io.Calls != nil {
		e = h.runs.gated(r.streams())
		io.Stdin, io.Stdout, io.Stderr, io.Calls = e.io.Stdin, e.io.Stdout, e.io.Stderr, e.io.Calls
	}
	r.app.begin()
	out, end, rode := l.Ride(ctx, begin, j, io)
	if !rode {
		r.app.withdraw()
		return receipt, &rest{id: id, cause: j.Cause, entry: e}, false, nil
	}
	h.metrics.ExecuteQueued(j.Priority, max(0, end.Sub(begin)-out.Usage.Wall))
	h.metrics.Executed(j.Priority, out)
	f := out.Fault
	if f != nil && f.Class != fault.Guest && ctx.Err() == nil && (f.Class == fault.Suspect || f.Class == fault.Host) {
		l.Flush() // what came before it
		return receipt, &rest{id: id, cause: j.Cause, entry: e, tried: &cache.Tried{Outcome: out, Others: h.lanes.Rides(t.key)}}, false, nil
	}
	if e != nil {
		h.settle(id, e)
	}
	receipt = t.receipt(&out, r)
	if f != nil && (f.Class != fault.Guest || ctx.Err() != nil) { // no verdict on the code, or one that comes too late
		err = f
		if ctx.Err() != nil {
			err = fault.From(context.Cause(ctx))
		}
		receipt = t.empty()
		h.metrics.Answered(kindOf(cache.Execute), fault.From(err))
	} else {
		h.metrics.Asked(kindOf(cache.Execute), true)
		h.metrics.Answered(kindOf(cache.Execute), f)
	}
	h.metrics.Took(kindOf(cache.Execute), end.Sub(begin))
	h.log.Debug().Uint64("job", id).Str("code_hash", t.code).Str("verdict", receipt.Verdict).Str("fault", receipt.Fault).Msg("executed")
	return receipt, nil, true, err
}

// settle waits until nobody uses the streams of a run.
func (h *Host) settle(id uint64, e *runEntry) {
	if !e.settle(streamGrace) {
		h.log.Error().Uint64("run", id).Msg("a run has ended, and a stream of its caller still blocks")
	}
}

// numbers is the numbers of a receipt, in one piece of memory.
type numbers struct {
	cpu, wall, gas, initGas int64
	attempts                int
	exit                    int32
}

// empty is the receipt of a request that has no outcome.
func (t *terms) empty() run.Receipt {
	receipt := emptyReceipt(t.code, t.name)
	receipt.Params = t.param
	return inWorld(receipt, artifacts.Options{CanonicalNaNs: t.asked.CanonicalNaNs}, t.asked.Determinism)
}

// receipt is what fill makes of the same outcome at the first attempt, with less memory.
func (t *terms) receipt(o *run.Outcome, r *Request) run.Receipt {
	n := &numbers{cpu: o.Usage.CPU.Microseconds(), wall: o.Usage.Wall.Microseconds(), attempts: 1, exit: o.GuestExit}
	receipt := run.Receipt{CodeHash: t.code, Artifact: t.name, Params: t.param, GasTable: gasTable, Cache: "hit", Sandbox: o.Sandbox,
		CPUMicros: &n.cpu, WallMicros: &n.wall, GasUsed: &n.gas, InitGas: &n.initGas, Attempts: &n.attempts,
		MemoryPeakBytes: o.Usage.MemoryPeakBytes, Result: o.Result, NaN: run.NaNs(t.asked.CanonicalNaNs),
		Clock: t.asked.Determinism.String(), Random: t.asked.Determinism.String()}
	if o.Sandbox != "" {
		receipt.GasUsed, receipt.InitGas = o.Usage.GasUsed, o.Usage.InitGas
	}
	if o.Exited {
		receipt.GuestExit = &n.exit
	}
	if r.Stdout == nil {
		receipt.Stdout = own(o.Stdout)
	}
	if r.Stderr == nil {
		receipt.Stderr = own(o.Stderr)
	}
	return blame(receipt, o.Fault)
}

// own returns captured output as a receipt has it: it is never nil.
func own(captured []byte) run.Blob {
	if captured == nil {
		return run.Blob{}
	}
	return captured
}

// proved takes note of an ordinary run: others like it may ride.
func (h *Host) proved(t *terms, a *cache.Answer, mark uint64) {
	o := &a.Outcome
	if o.Sandbox != "" && !o.NotBegun && (o.Fault == nil || o.Fault.Class == fault.Guest) {
		h.lanes.Prove(t.job.Binding, t.call, o.Usage.Wall, mark)
	}
}

// reportUse tells the cache of what passed by. A cache that has stopped needs no telling.
func (h *Host) reportUse(u lanes.Use) {
	_ = h.cache.Control(cache.Used{Key: u.Key, Tenant: u.Tenant, OK: u.OK, Well: u.Well})
}
