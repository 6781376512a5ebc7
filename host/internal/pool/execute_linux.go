package pool

import (
	"context"
	"encoding/binary"
	"errors"
	"os"
	"slices"
	"sync/atomic"
	"time"

	"github.com/troupehost/troupe/actors/execute"
	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/artifacts"
	"github.com/troupehost/troupe/host/wire"
)

const (
	opLoad = "load artifact"
	opRun  = "run"
)

// Start implements execute.Workers: a process that holds the artifact of b and waits for runs.
func (p *Pool) Start(ctx context.Context, b execute.Binding) (execute.Worker, error) {
	if err := p.enter(); err != nil {
		return nil, err
	}
	defer p.calls.Done()
	h, err := p.cfg.Artifacts.Open(ctx, b.Key)
	if err != nil {
		return nil, err
	}
	defer h.Close()
	files, err := filesOf(h, b)
	if err != nil {
		return nil, err
	}
	defer files.scratch.Close()
	w, err := p.blank(ctx, rlimits{
		dataBytes: runtimeBytes + stackBytes + wire.TableBytes + b.MemoryBytes + min(b.MemoryBytes, maxInput) +
			2*files.code + outputFactor*(files.all-files.code),
		fileBytes:  1, // it has no file to write
		cpuSeconds: p.lifeSeconds(run.DefaultCPU), cpuMost: p.lifeSeconds(run.MaxCPU),
	})
	if err != nil {
		return nil, err
	}
	w.assign(b.Tenant, b.Key)
	m, err := w.ask(ctx, loadWall, wire.Load{Files: files.names}, files.fds...)
	if err := w.judgeLoad(ctx, m, err); err != nil {
		w.bury()
		w.killed(fault.From(err))
		return nil, err
	}
	w.setState("idle")
	x := &executor{worker: w, binding: b, longest: run.DefaultCPU, idle: idleWatch{w: w, grace: graceOf(files.all)}}
	x.idle.begin()
	return x, nil
}

// judgeLoad says what the answer to a Load means. The artifact is native code that the worker maps and trusts, so
// whatever happens from now on can be its doing.
func (w *worker) judgeLoad(ctx context.Context, m wire.Message, err error) error {
	bad := func(code fault.Code, cause error) error { return fault.New(code, opLoad, w.id, cause) }
	switch {
	case ctx.Err() != nil:
		return canceled(ctx)
	case err == nil:
		switch m := m.(type) {
		case wire.Loaded:
			return nil
		case wire.Failed:
			return bad(fault.SuspectArtifact, said(string(m.Code)+" "+m.Message))
		}
		return bad(fault.SuspectBadReply, worded("not an answer"))
	case errors.Is(err, os.ErrDeadlineExceeded) && !w.pool.isClosed():
		return bad(fault.SuspectArtifact, worded("no answer in "+loadWall.String()))
	case !w.diesOfItself(err):
		return bad(fault.SuspectBadReply, err)
	case w.pool.isClosed():
		return errStopped()
	}
	return bad(fault.SuspectArtifact, w.proc.epitaph())
}

// maxInput is the most that an input can have, wherever its limit is set. The worker holds it beside the linear memory that
// it is copied to.
const maxInput = 1 << 30

// executor is a worker that serves one binding. It implements execute.Worker.
type executor struct {
	*worker
	binding execute.Binding
	busy    atomic.Bool
	longest time.Duration // the CPU limit of a run that its life has room for
	idle    idleWatch
}

// ID implements execute.Worker.
func (x *executor) ID() string { return x.id }

// PID implements execute.Worker.
func (x *executor) PID() int { return x.proc.pid }

// Dead implements execute.Worker: it is closed once the process is reaped.
func (x *executor) Dead() <-chan struct{} { return x.proc.dead }

// Close implements execute.Worker: it kills the process and waits until it is reaped.
func (x *executor) Close() {
	_ = x.idle.stop()
	x.bury()
}

// Run implements execute.Worker. It returns when the run is over, whatever the caller's reader and writers do.
func (x *executor) Run(ctx context.Context, j execute.Job) (run.Outcome, bool) {
	io, known := x.pool.cfg.Runs.Open(j.Run)
	if io.Release != nil {
		defer io.Release()
	}
	if !known {
		return x.refuse(fault.New(fault.BugProtocol, opRun, x.id, worded("unknown run"))), true
	}
	return x.Ride(ctx, j, io.passed())
}

// refuse is the outcome of a run that the worker is not told of.
func (x *executor) refuse(err error) run.Outcome {
	return run.Outcome{Fault: fault.From(err), Sandbox: x.pool.facts.Sandbox}
}

// Ride implements execute.Worker.
func (x *executor) Ride(ctx context.Context, j execute.Job, io execute.IO) (run.Outcome, bool) {
	refuse := func(err error, alive bool) (run.Outcome, bool) { return x.refuse(err), alive }
	if err := x.pool.enter(); err != nil {
		return refuse(err, false)
	}
	defer x.pool.calls.Done()
	limits := j.Limits.WithDefaults()
	switch {
	case j.Binding != x.binding:
		return refuse(fault.New(fault.BugProtocol, opRun, x.id, worded("another binding")), true)
	case limits.MemoryBytes > x.binding.MemoryBytes:
		return refuse(fault.New(fault.BugProtocol, opRun, x.id, worded("more memory than the worker may have")), true)
	case int64(len(io.Input)) > min(limits.MemoryBytes, maxInput) && j.Entry.Mode == run.Bytes:
		return refuse(fault.New(fault.GuestMemory, opRun, "no room for the input", nil), true)
	case !fits(j.Entry):
		return refuse(fault.New(fault.CallerInvalid, opRun, "", nil).WithHint("pass fewer or shorter arguments"), true)
	case !x.busy.CompareAndSwap(false, true):
		return refuse(fault.New(fault.BugProtocol, opRun, x.id, worded("busy")), true)
	}
	defer x.busy.Store(false)
	if err := x.idle.end(); err != nil {
		x.bury()
		return refuse(fault.New(fault.SuspectWorkerDied, opRun, x.id, err), false)
	}
	if !x.outlives(limits.CPU) {
		x.bury()
		return run.Outcome{NotBegun: true, Retired: run.RetiredRecycled, Fault: fault.New(fault.SuspectWorkerDied, opRun, x.id, worded("its life is too short for this run"))}, false
	}
	x.begin()
	s := &session{x: x, job: j, limits: limits, io: io, left: limits.OutputBytes}
	return s.run(ctx)
}

// fits reports whether the worker can be told the entry: within the limits of the wire, and all in one frame.
func fits(e run.Entry) bool {
	if len(e.Args) > wire.MaxList || len(e.Env) > wire.MaxList || len(e.Name) > wire.MaxName {
		return false
	}
	total := len(e.Name)
	for _, s := range slices.Concat(e.Args, e.Env) {
		if len(s) > wire.MaxName {
			return false
		}
		total += len(s) + binary.MaxVarintLen64
	}
	return total < wire.MaxFrame-runOverhead
}

// runOverhead is more than the numbers of a Run frame take.
const runOverhead = 1 << 10

func (w *worker) begin() {
	w.pool.mu.Lock()
	defer w.pool.mu.Unlock()
	w.state = "busy"
	w.runs++
}

// run drives the session to its end.
func (s *session) run(ctx context.Context) (run.Outcome, bool) {
	x := s.x
	s.watch = x.watch(ctx, opRun, bounds{
		cpu: s.limits.CPU, wall: s.limits.Wall,
		cpuCode: fault.GuestCPULimit, wallCode: fault.SuspectWallLimit,
		waits: s.waits, waitCode: fault.GuestWallLimit,
	})
	err := s.talk()
	own := true
	if f, ok := errors.AsType[*fault.Error](err); ok {
		s.watch.stop(f)
	} else if err != nil {
		own = x.diesOfItself(err)
		x.halt() // so that nobody is stuck in a write to it
	}
	s.close()
	reason := s.watch.end()
	wall := time.Since(s.watch.begin)
	well := err == nil && reason == nil
	out := &s.out
	out.Sandbox = x.pool.facts.Sandbox
	if !well {
		x.bury()
	}
	out.Usage.CPU, out.Usage.Wall = s.watch.used(), wall
	if well {
		out.Retired = x.after()
	}
	out.Clock = s.watch.struck()
	switch {
	case reason != nil:
		out.Fault = reason
	case !own:
		out.Fault = s.watch.fault(fault.SuspectBadReply, err)
	case err != nil:
		out.Fault = s.watch.autopsy(fault.SuspectWorkerDied, fault.GuestMemory)
	case out.Usage.CPU >= s.limits.CPU: // the account counts, not the luck of the clock that we looked at
		out.Fault = s.watch.overCPU(out.Usage.CPU)
	}
	x.timedOut(out.Fault, out.Clock)
	if !well {
		x.killed(out.Fault)
	}
	if out.Fault != nil {
		out.Result = nil
		if out.Fault.Code == fault.GuestMemory && s.limits.MemoryBytes >= run.MaxMemoryBytes {
			out.Fault = out.Fault.WithHint(hintMaxMemory)
		}
	}
	if out.Fault != nil && out.Fault.Code != fault.GuestExit && out.Fault.Code != fault.GuestMemory { // see finish
		out.Exited, out.GuestExit = false, 0
	}
	return *out, well && out.Retired == ""
}
