package pool

import (
	"context"
	"encoding/binary"
	"errors"
	"os"
	"time"

	"github.com/troupehost/troupe/actors/execute"
	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/run"
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
	ring, memory, event, err := wire.NewRing()
	if err != nil {
		w.bury()
		return nil, fault.New(fault.HostSpawnFailed, opLoad, w.id, err)
	}
	w.ring.Store(ring)
	m, err := w.ask(ctx, loadWall, wire.Load{Files: files.names}, append(files.fds, memory.Fd(), event.Fd())...)
	_, _ = memory.Close(), event.Close()
	if err := w.judgeLoad(ctx, m, err); err != nil {
		w.bury()
		w.killed(fault.From(err))
		return nil, err
	}
	w.setState("idle")
	x := &executor{worker: w, binding: b, longest: run.DefaultCPU, grace: graceOf(files.all)}
	x.line = newLine(x, ring)
	p.addLine(x.line)
	go x.listen()
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
	line    *line
	grace   time.Duration // see idleCPU
	longest time.Duration // the CPU limit of a run that its life has room for; guarded by line.sending
}

// ID implements execute.Worker.
func (x *executor) ID() string { return x.id }

// PID implements execute.Worker.
func (x *executor) PID() int { return x.proc.pid }

// Dead implements execute.Worker: it is closed once the process is reaped.
func (x *executor) Dead() <-chan struct{} { return x.proc.dead }

// Close implements execute.Worker: it kills the process and waits until it is reaped.
func (x *executor) Close() {
	x.line.stop()
	x.bury()
	x.pool.removeLine(x.line)
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

// fits reports whether the worker can be told the entry: within the limits of the wire, and all in one frame.
func fits(e run.Entry) bool {
	if len(e.Args) > wire.MaxList || len(e.Env) > wire.MaxList || len(e.Name) > wire.MaxName {
		return false
	}
	total := len(e.Name)
	for _, list := range [...][]string{e.Args, e.Env} {
		for _, s := range list {
			if len(s) > wire.MaxName {
				return false
			}
			total += len(s) + binary.MaxVarintLen64
		}
	}
	return total < wire.MaxFrame-runOverhead
}

// runOverhead is more than the numbers of a Terms frame take.
const runOverhead = 1 << 10
