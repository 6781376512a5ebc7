package pool

import (
	"context"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/host/wire"
)

const (
	kindCheck = "check"
	opCheck   = "cross-check"
)

// Check repeats a run on the interpreter, in a process of its own that ends with it, of low priority.
//
// # Errors
//
// guest.cpu_limit: the limit was too low for the interpreter. Any other says as little of the run: it was not repeated.
func (p *Pool) Check(ctx context.Context, r Repeat) (wire.Checked, error) {
	var none wire.Checked
	if err := p.enter(); err != nil {
		return none, err
	}
	defer p.calls.Done()
	limits := r.Limits.WithDefaults()
	if !fits(r.Entry) {
		return none, fault.New(fault.CallerInvalid, opCheck, "", nil)
	}
	w, err := p.start(ctx, kindCheck, rlimits{
		dataBytes: runtimeBytes + checkMemoryBytes + wire.TableBytes + limits.MemoryBytes + 2*r.Input.Size() + outputFactor*p.cfg.MaxInflatedBytes,
		fileBytes: 1, cpuSeconds: netSeconds(limits.CPU),
	})
	if err != nil {
		return none, err
	}
	defer w.bury()
	w.assign(r.Tenant, r.Key)
	w.proc.openSession(p.brake)
	w.proc.yield(p.brake)
	t := w.watch(ctx, opCheck, bounds{
		cpu: limits.CPU, wall: limits.CPU + checkWall, cpuCode: fault.GuestCPULimit, wallCode: fault.SuspectWallLimit, look: lookEvery,
	})
	err = w.conn.Send(wire.Check{
		MaxInflatedBytes: p.cfg.MaxInflatedBytes, Policy: p.cfg.Policy, CanonicalNaNs: r.CanonicalNaNs,
		Terms: wire.Terms{
			Entry: r.Entry, MemoryBytes: limits.MemoryBytes, OutputBytes: limits.OutputBytes,
			Imports: r.Imports, Determinism: run.Deterministic,
			Clock: p.cfg.clocks.inWorker(limits.CPU, 0), Gas: limits.Gas, InitGas: limits.InitGas, StackValues: limits.StackValues,
		},
	}, r.Code.Fd(), r.Input.Fd())
	var m wire.Message
	if err == nil {
		m, err = w.conn.Receive()
	}
	own := err == nil || w.diesOfItself(err)
	reason := t.end()
	w.bury()
	switch {
	case reason != nil:
		err = reason
	case !own:
		err = t.fault(fault.SuspectBadReply, err)
	case err != nil:
		err = t.autopsy(fault.SuspectWorkerDied, fault.GuestMemory)
	}
	if err == nil {
		switch m := m.(type) {
		case wire.Checked:
			if runMayFailWith(m.Code) {
				return m, nil
			}
			err = t.fault(fault.SuspectBadReply, worded("ended with "+fault.Quote(string(m.Code))))
		case wire.Failed:
			return none, t.fault(fault.SuspectArtifact, said(string(m.Code)+" "+m.Message))
		default:
			err = t.fault(fault.SuspectBadReply, worded("not an answer"))
		}
	}
	f := fault.From(err)
	w.timedOut(f, t.struck())
	w.killed(f)
	return none, err
}

// yield gives the process the priority of a check: threads that it starts later have it from those that are there.
func (p *process) yield(b *brake) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.reaped {
		return
	}
	_ = b.renice(p.pid, CheckNice)
	if p.session != nil {
		_ = p.setSession(CheckNice)
	}
}
