package cache

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/kernel"
	"github.com/troupehost/troupe/actors/prepare"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/artifacts"
)

// operated drives a core whose answers are kept.
type operated struct {
	*State
	now time.Time
	out []Effect
}

func newOperated() *operated {
	o := &operated{State: NewState(Limits{}, 1), now: time.Unix(1_000_000, 0)}
	o.step(indexed{})
	return o
}

func (o *operated) step(m Message) []Effect {
	o.out = o.Step(o.now, m)
	for _, e := range o.out {
		switch e := e.(type) {
		case Reply:
			settle(e.To, e.Answer, e.Err)
		case Left:
			e.To.Answer(e.Trail)
		case Done:
			settle(e.To, struct{}{}, e.Err)
		}
	}
	return o.out
}

func (o *operated) ask(r Request) error {
	r.Key, r.Kind, r.Priority, r.Budget.CPU = artifacts.Key{1}, HeadsUp, max(r.Priority, run.Background), time.Second
	var got error
	o.step(Ask{Request: r, Reply: kernel.ReplyFunc(func(_ Answer, err error) { got = err })})
	return got
}

func (o *operated) lift(p run.Priority) (got error) {
	o.step(Lift{Key: artifacts.Key{1}, Priority: p, By: "an operator", Reply: kernel.ReplyFunc(func(_ struct{}, err error) { got = err })})
	return got
}

// TestLift raises a preparation, also by one, and never lowers it.
func TestLift(t *testing.T) {
	o := newOperated()
	if err := o.lift(0); !errors.Is(err, fault.CallerNotFound) {
		t.Errorf("nothing: %v", err)
	}
	_ = o.ask(Request{ID: 1})
	for _, c := range []struct {
		to   run.Priority
		want error
	}{{0, nil}, {run.Background, fault.CallerConflict}, {run.Critical, nil}, {0, fault.CallerConflict}} {
		if err := o.lift(c.to); !errors.Is(err, c.want) {
			t.Errorf("to %v: %v, want %v", c.to, err, c.want)
		}
	}
	e := o.entries[artifacts.Key{1}]
	if e.priority != run.Critical || len(e.escalations) != 2 || e.escalations[0].By != "an operator" || e.escalations[0].To != "normal" {
		t.Errorf("%v, %+v", e.priority, e.escalations)
	}
	o.step(prepared{key: artifacts.Key{1}, gen: e.gen, outcome: prepare.Outcome{Fault: fault.New(fault.GuestInvalid, "", "", nil)}})
	if err := o.lift(0); !errors.Is(err, fault.CallerConflict) {
		t.Errorf("of a failure: %v", err)
	}
}

// TestFailureIsRetriedForAnOperator repeats what nobody else would repeat, and only the generation that was looked at.
func TestFailureIsRetriedForAnOperator(t *testing.T) {
	o := newOperated()
	if err := o.ask(Request{ID: 1, Again: true}); !errors.Is(err, fault.CallerNotFound) {
		t.Errorf("of nothing: %v", err)
	}
	_ = o.ask(Request{ID: 2})
	e := o.entries[artifacts.Key{1}]
	if err := o.ask(Request{ID: 3, Again: true}); !errors.Is(err, fault.CallerConflict) {
		t.Errorf("of a preparation under way: %v", err)
	}
	o.step(prepared{key: e.key, gen: e.gen, outcome: prepare.Outcome{Fault: fault.New(fault.GuestInvalid, "", "", nil)}})
	if _ = o.ask(Request{ID: 4}); e.state != artifacts.Failed {
		t.Fatal("a guest's failure was repeated")
	}
	if err := o.ask(Request{ID: 5, Again: true, Generation: e.gen + 1}); !errors.Is(err, fault.CallerStale) {
		t.Errorf("of another generation: %v", err)
	}
	o.step(Pause{})
	if err := o.ask(Request{ID: 6, Again: true, Generation: e.gen}); !errors.Is(err, fault.BusyPaused) {
		t.Errorf("while the queue is paused: %v", err)
	}
	o.step(Pause{Off: true})
	if err := o.ask(Request{ID: 7, Again: true, Generation: e.gen}); err != nil || e.state != artifacts.Preparing {
		t.Errorf("%v, %v", e.state, err)
	}
}

// TestTrailOfARequest has a request wait for a place, for its preparation and for the store, and leave then.
func TestTrailOfARequest(t *testing.T) {
	o := newOperated()
	begin := o.now
	var left run.Trail
	_ = o.ask(Request{ID: 1, Left: kernel.ReplyFunc(func(t run.Trail, _ error) { left = t })})
	e := o.entries[artifacts.Key{1}]
	if st := o.standings(); len(st) != 1 || st[0].Job != e.gen || st[0].Runs {
		t.Errorf("%+v", st)
	}
	o.now = begin.Add(3 * time.Second)
	o.step(prepared{key: e.key, gen: e.gen, outcome: prepare.Outcome{Started: begin.Add(time.Second), Ticket: 1}})
	o.now = begin.Add(4 * time.Second)
	o.step(Depart{ID: 1})
	name := artifacts.Key{1}.String()[:12]
	want := []string{"0s admitted  false", "0s artifact-wait the preparation of artifact " + name + " false",
		"1s artifact-wait the preparation of artifact " + name + " true", "3s artifact-wait the store, to take artifact " + name + " false"}
	var got []string
	for _, s := range left {
		works := " false"
		if s.Works {
			works = " true"
		}
		got = append(got, s.At.Sub(begin).String()+" "+s.Stage.String()+" "+s.Waits+works)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}
