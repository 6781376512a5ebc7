package kernel

import (
	"context"
	"errors"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/troupehost/troupe/actors/fault"
)

func goexit() { runtime.Goexit() }

func ask(ctx context.Context, to Ref[bearing], name string) (string, error) {
	return Ask(ctx, to, func(r Reply[string]) bearing { return bearing{name, r} })
}

// asked is an actor that does with a request what its name says.
func asked(n *notes) func(c *Ctx[bearing]) Handler[bearing] {
	return func(c *Ctx[bearing]) Handler[bearing] {
		var kept []Reply[string]
		return HandlerFunc[bearing](func(c *Ctx[bearing], m bearing) {
			n.add("%d %s", c.Incarnation(), m.name)
			switch m.name {
			case "answer":
				m.to.Answer("yes")
			case "fail":
				m.to.Fail(fault.New(fault.HostDiskFull, "", "", nil))
			case "keep": // answered by "release", unless the incarnation ends first
				kept = append(kept, m.to)
			case "release":
				for _, r := range kept {
					r.Answer("released")
				}
				m.to.Answer("released")
			case "twice":
				m.to.Answer("one")
				m.to.Answer("two")
			case "answer and panic":
				m.to.Answer("before the panic")
				panic("after the answer")
			case "panic":
				panic("asked to")
			}
		})
	}
}

func TestAsk(t *testing.T) {
	inBubble(t, func(t *testing.T, s *System) {
		var n notes
		r := spawn(t, s, Options[bearing]{Name: "a", New: asked(&n), Restart: Policy{MaxRestarts: 9}})
		bg := context.Background()
		for name, want := range map[string]string{"answer": "yes", "twice": "one", "answer and panic": "before the panic"} {
			if got, err := ask(bg, r, name); err != nil || got != want {
				t.Errorf("%s: %q, %v", name, got, err)
			}
		}
		synctest.Wait()
		if s.Bugs() != 2 {
			t.Errorf("%d bugs, want 2: one double answer, one panic", s.Bugs())
		}
		for name, code := range map[string]fault.Code{"fail": fault.HostDiskFull, "panic": fault.BugPanic} {
			_, err := ask(bg, r, name)
			wantCode(t, err, code)
		}
		ctx, cancel := context.WithTimeout(bg, time.Second)
		defer cancel()
		_, err := ask(ctx, r, "keep")
		wantCode(t, err, fault.CanceledDeadline)
		_, err = ask(ctx, r, "never sent")
		wantCode(t, err, fault.CanceledDeadline)
		if got, err := ask(bg, r, "release"); err != nil || got != "released" {
			t.Errorf("an answer to an asker that left is ignored: %q %v", got, err)
		}
		why, cancelWhy := context.WithCancelCause(bg)
		time.AfterFunc(time.Second, func() { cancelWhy(errors.New("the client hung up")) })
		_, err = ask(why, r, "keep")
		wantCode(t, err, fault.CanceledCaller)
		if s.Bugs() != 3 {
			t.Errorf("%d bugs, want 3", s.Bugs())
		}
	})
}

// TestWithdrawalsFindWhatTheyOvertook withdraws requests at each point of their way: none is lost, and what an asker gets
// when it leaves is the error of its context, unless the answer was there first.
func TestWithdrawalsFindWhatTheyOvertook(t *testing.T) {
	inBubble(t, func(t *testing.T, s *System) {
		var n notes
		gate := make(chan struct{})
		kept := map[string]Reply[string]{}
		r := spawn(t, s, Options[bearing]{Name: "a", Mailbox: 1, New: func(*Ctx[bearing]) Handler[bearing] {
			return HandlerFunc[bearing](func(c *Ctx[bearing], m bearing) {
				n.add("%s", m.name)
				switch m.name {
				case "gate":
					<-gate
				case "withdraw":
					if to, ok := kept["job"]; ok {
						to.Fail(fault.New(fault.CanceledCaller, "", "", nil))
						return
					}
					c.Requeue(bearing{name: "withdraw again"})
				case "withdraw again":
					kept["job"].Fail(fault.New(fault.CanceledCaller, "", "", nil))
				case "answered":
					m.to.Answer("before the withdrawal")
				default:
					kept[m.name] = m.to
				}
			})
		}})
		leave := func(ctx context.Context, name string, grace time.Duration) (string, error) {
			return AskWithdrawing(ctx, r, func(to Reply[string]) bearing { return bearing{name, to} }, bearing{name: "withdraw"}, grace)
		}
		if err := r.Send(bearing{name: "gate"}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		ctx, cancel := context.WithCancel(context.Background())
		ended := make(chan error)
		go func() {
			_, err := leave(ctx, "job", time.Hour)
			ended <- err
		}()
		synctest.Wait()
		cancel()
		synctest.Wait()
		close(gate)
		wantCode(t, <-ended, fault.CanceledCaller)
		n.want(t, "gate", "withdraw", "job", "withdraw again")

		_, err := leave(ctx, "late", time.Hour)
		wantCode(t, err, fault.CanceledCaller)
		n.want(t)

		ctx, cancel = context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		begin := time.Now()
		delete(kept, "job")
		_, err = leave(ctx, "deaf", time.Second)
		wantCode(t, err, fault.CanceledDeadline)
		if d := time.Since(begin); d != 2*time.Second {
			t.Errorf("the grace ended after %v, want 2s", d)
		}
		if got, err := leave(context.Background(), "answered", time.Second); err != nil || got != "before the withdrawal" {
			t.Errorf("%q, %v", got, err)
		}
	})
}

// ending is a context that ends between a look at Done and the look at Err that follows.
type ending struct {
	context.Context
	looks int
}

func (e *ending) Err() error {
	if e.looks++; e.looks > 1 {
		return context.Canceled
	}
	return nil
}

func TestAWithdrawalDuringARestartIsSent(t *testing.T) {
	inBubble(t, func(t *testing.T, s *System) {
		var n notes
		r := spawn(t, s, Options[bearing]{Name: "a", New: asked(&n)})
		time.AfterFunc(time.Second, func() { _ = r.Send(bearing{name: "panic"}) })
		_, err := AskWithdrawing(&ending{Context: context.Background()}, r,
			func(to Reply[string]) bearing { return bearing{"keep", to} }, bearing{name: "withdraw"}, time.Hour)
		wantCode(t, err, fault.CanceledCaller)
		pass(time.Minute)
		n.want(t, "1 keep", "1 panic", "2 withdraw")
	})
}

func TestAskIsSentOnceMoreAfterARestart(t *testing.T) {
	inBubble(t, func(t *testing.T, s *System) {
		var n notes
		r := spawn(t, s, Options[bearing]{Name: "a", New: asked(&n), Restart: Policy{MaxRestarts: 9}})
		type result struct {
			v   string
			err error
		}
		kept := make(chan result, 1)
		keep := func() { go func() { v, err := ask(context.Background(), r, "keep"); kept <- result{v, err} }() }
		panics := func() { _, err := ask(context.Background(), r, "panic"); wantCode(t, err, fault.BugPanic) }

		keep()
		synctest.Wait()
		panics()
		pass(time.Minute)
		_, _ = ask(context.Background(), r, "release")
		if got := <-kept; got.err != nil || got.v != "released" {
			t.Errorf("%+v", got)
		}
		n.want(t, "1 keep", "1 panic", "2 keep", "2 release")

		keep()
		synctest.Wait()
		panics()
		pass(time.Minute)
		panics()
		wantCode(t, (<-kept).err, fault.BugNoAnswer)
		n.want(t, "2 keep", "2 panic", "3 keep", "3 panic")
	})
}

func TestAskEndsWhenTheActorEnds(t *testing.T) {
	inBubble(t, func(t *testing.T, s *System) {
		var n notes
		bg := context.Background()
		errs := make(chan error, 2)
		for _, p := range []Policy{{}, {Temporary: true}, {MaxRestarts: 1}} {
			r := spawn(t, s, Options[bearing]{Name: "a", New: asked(&n), Restart: p})
			go func() { _, err := ask(bg, r, "keep"); errs <- err }()
			synctest.Wait()
			switch {
			case p.Temporary:
				_, err := ask(bg, r, "panic")
				wantCode(t, err, fault.BugPanic)
				wantCode(t, <-errs, fault.BugNoAnswer)
				wantCode(t, r.Send(bearing{}), fault.BugNoAnswer)
			case p.MaxRestarts == 1:
				for range 2 {
					_, _ = ask(bg, r, "panic")
				}
				err := <-errs
				if c := fault.CodeOf(err); c != fault.BugNoAnswer && c != fault.HostGaveUp {
					t.Errorf("got %v", err)
				}
				<-s.Failed()
			default:
				r.Stop()
				wantCode(t, <-errs, fault.CanceledStopped)
			}
			synctest.Wait()
		}
	})
}

// asker sends requests to another actor.
type order struct {
	name   string
	answer string
	err    error
}

func asking(n *notes, to Ref[bearing]) func(c *Ctx[order]) Handler[order] {
	return func(c *Ctx[order]) Handler[order] {
		return HandlerFunc[order](func(c *Ctx[order], m order) {
			switch {
			case m.name == "crash":
				panic("asker")
			case m.answer != "" || m.err != nil:
				n.add("%d: %s %s%s", c.Incarnation(), m.name, m.answer, fault.CodeOf(m.err))
			default:
				Request(c, to, func(r Reply[string]) bearing { return bearing{m.name, r} },
					func(v string, err error) order { return order{m.name, v, err} })
			}
		})
	}
}

func TestRequest(t *testing.T) {
	inBubble(t, func(t *testing.T, s *System) {
		var n, quiet notes
		to := spawn(t, s, Options[bearing]{Name: "to", New: asked(&quiet), Restart: Policy{MaxRestarts: 9}})
		from := spawn(t, s, Options[order]{Name: "from", New: asking(&n, to), Requests: 2})
		send := func(name string) {
			t.Helper()
			if err := from.Send(order{name: name}); err != nil {
				t.Fatal(err)
			}
			pass(time.Minute)
		}
		send("answer")
		send("fail")
		send("panic")
		n.want(t, "1: answer yes", "1: fail host.disk_full", "1: panic bug.panic")

		send("keep")
		send("panic") // the asked actor restarts: "keep" is sent again
		send("release")
		n.want(t, "1: panic bug.panic", "1: keep released", "1: release released")

		send("keep")
		send("keep")
		send("answer") // no slot is free
		n.want(t, "1: answer busy.queue_full")
		send("crash") // the answers to the old incarnation are dropped
		_, _ = ask(context.Background(), to, "release")
		send("answer")
		n.want(t, "2: answer yes")

		to.Stop()
		synctest.Wait()
		send("answer")
		n.want(t, "2: answer caller.host_closed")
	})
}

func TestAnswersAreNotRefusedByAFullMailbox(t *testing.T) {
	inBubble(t, func(t *testing.T, s *System) {
		var n, quiet notes
		to := spawn(t, s, Options[bearing]{Name: "to", New: asked(&quiet)})
		gate := make(chan struct{})
		inner := asking(&n, to)
		from := spawn(t, s, Options[order]{Name: "from", Mailbox: 1, New: func(c *Ctx[order]) Handler[order] {
			h := inner(c)
			return HandlerFunc[order](func(c *Ctx[order], m order) {
				if m.name == "gate" {
					<-gate
					return
				}
				h.Receive(c, m)
			})
		}})
		for _, name := range []string{"keep", "gate", "answer"} {
			if err := from.Send(order{name: name}); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		wantCode(t, from.Send(order{name: "over"}), fault.BusyQueueFull)
		_, _ = ask(context.Background(), to, "release")
		close(gate)
		synctest.Wait()
		n.want(t, "1: keep released", "1: answer yes")
	})
}

func TestAnActorMayAskItself(t *testing.T) {
	inBubble(t, func(t *testing.T, s *System) {
		var n notes
		to := spawn(t, s, Options[bearing]{Name: "self", New: func(c *Ctx[bearing]) Handler[bearing] {
			return HandlerFunc[bearing](func(c *Ctx[bearing], m bearing) {
				n.add("%s", m.name)
				if len(m.name) > 3 {
					m.to.Answer(m.name)
					return
				}
				Request(c, c.Self(), func(r Reply[string]) bearing { return bearing{m.name + ".", r} },
					func(v string, err error) bearing { m.to.Answer(v); return bearing{name: "done"} })
			})
		}})
		if got, err := ask(context.Background(), to, ""); err != nil || got != "...." {
			t.Errorf("%q %v", got, err)
		}
	})
}
