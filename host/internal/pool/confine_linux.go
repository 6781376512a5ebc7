package pool

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/host/sandbox"
	"github.com/troupehost/troupe/host/wire"
)

// probe finds out how workers can be confined here, with one that never sees guest bytes, and believes it. In a machine
// where all is well that is one process.
func (p *Pool) probe(ctx context.Context) error {
	if err := p.enter(); err != nil {
		return err
	}
	defer p.calls.Done()
	var w *worker
	var err error
	plans := sandbox.Plans(p.program.File)
	for i := range plans {
		plans[i] = leaveOut(plans[i])
		for _, layer := range p.cfg.shares {
			plans[i] = plans[i].Without(layer)
		}
	}
	refused := map[string]error{}
	for _, plan := range append(plans, sandbox.Plan{}) {
		if p.spawn.plan = plan; len(refused) > 0 {
			p.spawn.plan = p.largest(plan, refused)
		}
		if w, err = p.start(ctx, kindProbe, rlimits{}); err == nil || !isRefusal(err) {
			break
		}
		if plan.Has(sandbox.UserNS) {
			refused[sandbox.UserNS] = cause(err)
		}
	}
	if err != nil {
		return err
	}
	w.bury()
	p.facts = factsOf(w.ready, refused)
	return nil
}

// isRefusal reports whether a process was not started because of what it was to be confined by.
func isRefusal(err error) bool {
	for _, e := range []error{unix.EPERM, unix.EINVAL, unix.ENOSPC, unix.EUSERS, unix.EACCES, unix.ENOSYS} {
		if errors.Is(err, e) {
			return fault.CodeOf(err) == fault.HostSpawnFailed
		}
	}
	return false
}

func cause(err error) error {
	for next := err; next != nil; next = errors.Unwrap(next) {
		err = next
	}
	return err
}

// largest returns the plan with as many of the namespaces of plan as a child can have, one tried after the other.
func (p *Pool) largest(plan sandbox.Plan, refused map[string]error) sandbox.Plan {
	if p.spawn.try(plan) == nil {
		return plan
	}
	best := plan
	for _, layer := range sandbox.Layers() {
		best = best.Without(layer)
	}
	for _, layer := range sandbox.Layers() {
		if !plan.Has(layer) {
			continue
		}
		if err := p.spawn.try(best.With(layer)); err != nil {
			refused[layer] = err
			continue
		}
		best = best.With(layer)
	}
	return best
}

// try starts a child by a plan and kills it.
func (s *spawner) try(plan sandbox.Plan) error {
	before := s.plan
	defer func() { s.plan = before }()
	s.plan = plan
	proc, conn, err := s.start(func(bool) {})
	if err != nil {
		return cause(err)
	}
	proc.kill()
	<-proc.dead
	_ = conn.Close()
	return nil
}

// factsOf is what a probe said, and what its host saw.
func factsOf(ready wire.Ready, refused map[string]error) Facts {
	f := Facts{BuildID: wire.BuildID(), Build: buildOf(ready)}
	for _, layer := range ready.Held {
		f.Held = append(f.Held, fault.Quote(layer))
	}
	order := sandbox.Layers()
	slices.SortStableFunc(f.Held, func(a, b string) int { return cmp.Compare(slices.Index(order, a), slices.Index(order, b)) })
	f.Sandbox = level(f.Held)
	f.Prepare = level(slices.DeleteFunc(slices.Clone(f.Held), func(l string) bool { return l == sandbox.NoExec }))
	machine := sandbox.Look("/")
	for _, g := range ready.Gaps {
		gap := sandbox.Gap{Layer: fault.Quote(g.Layer), Why: fault.Quote(g.Why)}
		if err := refused[g.Layer]; err != nil {
			gap.Why = "the kernel refuses: " + err.Error()
		}
		gap.Hint = machine.Mend(gap)
		f.Gaps = append(f.Gaps, gap)
	}
	return f
}

func level(held []string) string {
	if len(held) == 0 {
		return "none"
	}
	return strings.Join(held, "+")
}

// lacks returns a layer that the probe reached and this worker did not, "" for none.
func (p *Pool) lacks(ready wire.Ready) string {
	for _, layer := range p.facts.Held {
		if layer != sandbox.NoExec && layer != sandbox.Cgroup && !slices.Contains(ready.Held, layer) {
			return layer
		}
	}
	return ""
}
