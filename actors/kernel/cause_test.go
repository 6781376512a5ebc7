package kernel

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/troupehost/troupe/actors/fault"
)

type step struct {
	name string
	to   Reply[int]
}

func (s step) Failed(err error) { s.to.Fail(err) }

// TestACauseGoesWithEverything follows one cause through an ask, a request, its answer, a task, its context, a timer, a child and
// what is sent on.
func TestACauseGoesWithEverything(t *testing.T) {
	inBubble(t, func(t *testing.T, s *System) {
		var n notes
		cause := s.NewCause()
		see := func(what string, c Cause) {
			if c != cause {
				what += " with another cause"
			}
			n.add("%s", what)
		}
		last := spawn(t, s, Options[string]{Name: "last", New: handler(func(c *Ctx[string], m string) { see("last got "+m, c.Cause()) })})
		other := spawn(t, s, Options[step]{Name: "other", New: handler(func(c *Ctx[step], m step) {
			see("asked", c.Cause())
			m.to.Answer(7)
		})})
		first := spawn(t, s, Options[step]{Name: "first",
			OnExit: func(string, error) step { return step{name: "exit"} },
			New: handler(func(c *Ctx[step], m step) {
				see(m.name, c.Cause())
				switch m.name {
				case "begin":
					Request(c, other, func(r Reply[int]) step { return step{"ask", r} }, func(int, error) step { return step{"answer", m.to} })
				case "answer":
					c.Go(func(ctx context.Context) step {
						see("in the task", CauseOf(ctx))
						ctx, cancel := context.WithTimeout(ctx, time.Hour)
						defer cancel()
						see("below its context", CauseOf(ctx))
						_ = last.From(OriginOf(ctx)).Send("of a task")
						pass(time.Millisecond)
						return step{"task", m.to}
					})
				case "task":
					c.After(time.Second, step{"timer", m.to})
				case "timer":
					_, err := Spawn(c, Options[string]{Name: "child", New: handler(func(k *Ctx[string], _ string) { k.Stop() })})
					if err != nil {
						t.Error(err)
					}
					_ = last.From(c).Control("sent on")
					m.to.Answer(1)
				}
			})})
		if _, err := Ask(WithCause(t.Context(), cause), first, func(r Reply[int]) step { return step{"begin", r} }); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		n.want(t, "begin", "asked", "answer", "in the task", "below its context", "last got of a task", "task", "timer", "last got sent on")

		rows := s.Cause(cause)
		var got []string // all at one moment of the virtual clock: in any order
		for _, r := range rows {
			got = append(got, fmt.Sprintf("%s>%s %s %s", r.From, r.Actor, r.Lane, r.Type))
			if r.Cause != cause.String() || r.Accepted.IsZero() || r.Started.IsZero() || r.Finished.IsZero() {
				t.Errorf("%+v", r)
			}
		}
		slices.Sort(got)
		want := []string{
			">troupe/first work kernel.step",
			"troupe/first>troupe/first answers kernel.step",
			"troupe/first>troupe/first answers kernel.step",
			"troupe/first>troupe/last control string",
			"troupe/first>troupe/last work string",
			"troupe/first>troupe/other work kernel.step",
			"troupe/other>troupe/first answers kernel.step",
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	})
}

func TestCausesAreMintedAndRead(t *testing.T) {
	s := benchSystem(t)
	a, b := s.NewCause(), s.NewCause()
	if a == b || a.IsZero() || len(a.String()) != 32 {
		t.Errorf("%v, %v", a, b)
	}
	short := map[string]bool{}
	for range 10_000 {
		short[s.NewCause().String()[:8]] = true
	}
	if len(short) != 10_000 {
		t.Errorf("%d of 10,000 causes begin otherwise than all others", len(short))
	}
	if back, err := ParseCause(a.String()); err != nil || back != a {
		t.Errorf("%v, %v", back, err)
	}
	for _, bad := range []string{"", "00", a.String() + "00", "x" + a.String()[1:]} {
		_, err := ParseCause(bad)
		wantCode(t, err, fault.CallerInvalid)
	}
	if c := CauseOf(context.Background()); !c.IsZero() {
		t.Error(c)
	}
}

// TestAChildsEndHasItsCause holds that what a dying child was doing is what its end belongs to.
func TestAChildsEndHasItsCause(t *testing.T) {
	inBubble(t, func(t *testing.T, s *System) {
		cause := s.NewCause()
		var got Cause
		var child Ref[int]
		p := spawn(t, s, Options[error]{Name: "p", OnExit: func(_ string, err error) error { return err },
			New: func(c *Ctx[error]) Handler[error] {
				child, _ = Spawn(c, Options[int]{Name: "c", Restart: Policy{Temporary: true}, New: handler(func(*Ctx[int], int) { panic("x") })})
				return HandlerFunc[error](func(c *Ctx[error], err error) { got = c.Cause() })
			}})
		_ = p
		synctest.Wait()
		_ = child.From(&Origin{cause: cause}).Send(1)
		synctest.Wait()
		if got != cause {
			t.Errorf("%v, want %v", got, cause)
		}
	})
}

// TestACauseAllocatesNothing holds that a message that is passed on with its cause and sender costs what one without costs.
func TestACauseAllocatesNothing(t *testing.T) {
	s := benchSystem(t)
	done := make(chan error, 1)
	to, err := Spawn(s, Options[int]{Name: "to", New: handler(func(c *Ctx[int], _ int) {
		if c.Cause().IsZero() {
			done <- errors.New("no cause")
			return
		}
		done <- nil
	})})
	if err != nil {
		t.Fatal(err)
	}
	from, err := Spawn(s, Options[int]{Name: "from", New: handler(func(c *Ctx[int], m int) { _ = to.From(c).Send(m) })})
	if err != nil {
		t.Fatal(err)
	}
	if n := testing.AllocsPerRun(1000, func() {
		_ = from.Send(1)
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}); n >= 1 {
		t.Errorf("a message that is passed on costs %v allocations, want none", n)
	}
}
