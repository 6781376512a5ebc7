package follow

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/troupehost/troupe/actors/chain"
	"github.com/troupehost/troupe/actors/kernel"
	"github.com/troupehost/troupe/artifacts/manifest"
)

// rig runs the core with a ledger and a host, one thing after another, in virtual time.
type rig struct {
	t     *testing.T
	s     *State
	l     *ledger
	h     *hostModel
	cfg   Limits
	now   time.Time
	queue []Message
	wakes []time.Time
	run   uint64
	at    chain.Cursor
	live  bool

	acts  []Action
	calls []string                          // names, in order
	fault func(a Action) (any, error, bool) // true: this is what comes of it
}

func newRig(t *testing.T, l Limits) *rig {
	t.Helper()
	l.Worker = chain.Hash{7}
	r := &rig{t: t, l: newLedger(), h: newHost(), cfg: l, now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
	r.l.mine(opMember(1, true), opIPs("127.0.0.2", "127.0.0.3", "127.0.0.4"))
	r.h.knows = func() uint64 { return r.s.final }
	r.restart()
	return r
}

// restart is another life of the follower: it has what the store has.
func (r *rig) restart() {
	r.s, r.queue, r.wakes, r.live = NewState(r.cfg), nil, nil, false
	saved := r.h.saved
	saved.Placed = slices.Clone(saved.Placed)
	r.queue = append(r.queue, loaded{saved: saved})
}

// final makes blocks until what is there is final, and lets the follower see them.
func (r *rig) final() {
	for range 4 {
		r.l.mine()
	}
	r.settle(0)
}

// mine makes a block and lets everything that follows from it happen.
func (r *rig) mine(ops ...op) {
	r.l.mine(ops...)
	r.settle(0)
}

// settle lets time go by.
func (r *rig) settle(d time.Duration) {
	r.t.Helper()
	end := r.now.Add(d)
	for n := 0; ; n++ {
		if n > 200_000 {
			r.t.Fatalf("it does not settle: %+v", r.s.list(List{}))
		}
		if len(r.queue) > 0 {
			m := r.queue[0]
			r.queue = r.queue[1:]
			for _, e := range r.s.Step(r.now, m) {
				r.do(e)
			}
			continue
		}
		if r.live && !r.l.down {
			if b, ok := r.l.after(r.at); ok {
				r.at = b.Cursor
				r.queue = append(r.queue, seen{r.run, b, kernel.ReplyFunc(func(struct{}, error) {})})
				continue
			}
		}
		if len(r.wakes) == 0 || r.wakes[0].After(end) {
			break
		}
		r.now = r.wakes[0]
		r.wakes = r.wakes[1:]
		r.queue = append(r.queue, tick{})
	}
	r.now = end
	if len(r.h.problems) > 0 {
		r.t.Fatal(r.h.problems)
	}
}

func (r *rig) do(e Effect) {
	switch e := e.(type) {
	case Meet:
		info, err := r.l.Info(context.Background())
		r.queue = append(r.queue, met{info, err})
	case Follow:
		r.run, r.at, r.live = e.Run, e.After, true
	case Ask:
		value, err := e.Read.ask(context.Background(), r.l, r.cfg.withDefaults())
		r.queue = append(r.queue, answered{e.Read, value, err})
	case SaveCursor:
		r.h.saved.Genesis, r.h.saved.Cursor = e.Genesis, e.At
		r.queue = append(r.queue, stored{})
	case Wake:
		r.wakes = append(r.wakes, r.now.Add(e.After))
		slices.SortFunc(r.wakes, func(a, b time.Time) int { return a.Compare(b) })
	case Act:
		if _, ok := e.Action.(ListApps); !ok {
			r.acts = append(r.acts, e.Action)
		}
		value, err := r.act(e.Action)
		r.queue = append(r.queue, acted{e.ID, value, err})
	}
}

func (r *rig) act(a Action) (any, error) {
	if r.fault != nil {
		if value, err, ok := r.fault(a); ok {
			return value, err
		}
	}
	submit, ok := a.(Submit)
	if !ok {
		return r.h.act(r.l, a)
	}
	o, err := r.l.call(submit.Call)
	if err != nil {
		return nil, err
	}
	r.calls = append(r.calls, submit.Call.Name)
	r.l.mine(o)
	for range 3 {
		r.l.mine()
	}
	return nil, nil
}

// did lists the actions of one kind.
func did[A Action](r *rig) []A {
	var out []A
	for _, a := range r.acts {
		if a, ok := a.(A); ok {
			out = append(out, a)
		}
	}
	return out
}

func (r *rig) state(id string) string {
	r.t.Helper()
	for _, d := range r.s.list(List{}).Demands {
		if d.ID == id {
			return d.State
		}
	}
	return ""
}

func appNo(n int) manifest.Address { return fakeManifest(n).Address() }
