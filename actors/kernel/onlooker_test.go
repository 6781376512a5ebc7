package kernel

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/inspect"
)

// curious is a message of the tests below: it waits for a while, if it is to, and panics or answers.
type curious struct {
	wait   chan struct{}
	spoilt bool
	Reply  Reply[int]
}

func (m curious) Failed(err error) { m.Reply.Fail(err) }

// TestOnlookersLeaveNoTrace asks an actor a thousand times: what is shown of it is what it was before.
func TestOnlookersLeaveNoTrace(t *testing.T) {
	inBubble(t, func(t *testing.T, s *System) {
		r := spawnAsked(t, s, 4)
		for range 3 {
			if _, err := Ask(t.Context(), r, func(to Reply[int]) curious { return curious{Reply: to} }); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		before := detail(t, s)
		ctx, cancel := context.WithCancel(t.Context())
		traced := make(chan int)
		go func() {
			n := 0
			_ = s.Trace(ctx, inspect.TraceFilter{}, func(inspect.Trace) error { n++; return nil })
			traced <- n
		}()
		synctest.Wait()
		for range 1000 {
			pass(time.Millisecond)
			answered := make(chan int, 1)
			if err := r.From(Onlooker()).Control(curious{Reply: ReplyFunc(func(n int, _ error) { answered <- n })}); err != nil || <-answered != 7 {
				t.Fatal("no answer", err)
			}
			if n, err := Ask(Looking(t.Context()), r, func(to Reply[int]) curious { return curious{Reply: to} }); n != 7 || err != nil {
				t.Fatal(n, err)
			}
		}
		synctest.Wait()
		if diff := cmp.Diff(before, detail(t, s)); diff != "" {
			t.Errorf("it shows that it was asked:\n%s", diff)
		}
		s.Totals(func(_ string, accepted, handled, refused uint64) {
			if accepted != 3 || handled != 3 || refused != 0 {
				t.Errorf("%d accepted, %d handled, %d refused", accepted, handled, refused)
			}
		})
		if cancel(); <-traced != 0 {
			t.Error("questions of onlookers are traced")
		}
		if _, err := Ask(t.Context(), r, func(to Reply[int]) curious { return curious{Reply: to} }); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if d := detail(t, s); d.Handled != 4 || len(d.Flights) != len(before.Flights)+1 || !d.Since.After(before.Since) {
			t.Errorf("a message of others is not seen any more: %+v", d)
		}
	})
}

// TestOnlookersThatWait: what waits for onlookers is not shown, and neither is what is refused to them.
func TestOnlookersThatWait(t *testing.T) {
	inBubble(t, func(t *testing.T, s *System) {
		r := spawnAsked(t, s, 1)
		release := make(chan struct{})
		_ = r.Send(curious{wait: release, Reply: ReplyFunc(func(int, error) {})})
		synctest.Wait()
		began := detail(t, s)
		var ends []error
		look := func() curious { return curious{Reply: ReplyFunc(func(_ int, err error) { ends = append(ends, err) })} }
		_, _ = r.From(Onlooker()).Control(look()), r.From(Onlooker()).Send(look())
		wantCode(t, r.From(Onlooker()).Send(look()), fault.BusyQueueFull)
		pass(time.Minute)
		if diff := cmp.Diff(began, detail(t, s)); diff != "" || began.Handling != "kernel.curious" || began.State != "busy" {
			t.Errorf("it shows that it is asked: %+v\n%s", began, diff)
		}
		_ = r.Control(curious{Reply: ReplyFunc(func(int, error) {})})
		if d := detail(t, s); d.Depth != 1 || !d.OldestSince.Equal(time.Now()) || len(mailbox(t, s)) != 1 {
			t.Errorf("%+v, %+v", d, mailbox(t, s))
		}
		close(release)
		synctest.Wait()
		if d := detail(t, s); d.Depth != 0 || d.Handled != 2 || len(ends) != 3 || ends[0] == nil || ends[1] != nil || ends[2] != nil {
			t.Errorf("%+v, %v", d, ends)
		}
		r.Stop()
		synctest.Wait()
		wantCode(t, r.From(Onlooker()).Control(look()), fault.CallerClosed)
		if l := s.DeadLetters(); len(l) != 0 {
			t.Errorf("dead letters: %+v", l)
		}
	})
}

// TestOnlookersInTrouble: an actor that does not come back from a question is shown, whoever asked; and so is a panic.
func TestOnlookersInTrouble(t *testing.T) {
	inBubble(t, func(t *testing.T, s *System) {
		r := spawnAsked(t, s, 1)
		release := make(chan struct{})
		_ = r.From(Onlooker()).Control(curious{wait: release, Reply: ReplyFunc(func(int, error) {})})
		pass(time.Second / 2)
		if d := detail(t, s); d.State != "idle" || d.Handling != "" {
			t.Errorf("after half a second: %+v", d)
		}
		pass(time.Second)
		if d := detail(t, s); d.State != "busy" || d.Handling != "kernel.curious" || time.Since(d.HandledAt) != 3*time.Second/2 {
			t.Errorf("after 1.5 s: %+v", d)
		}
		close(release)
		_ = r.From(Onlooker()).Control(curious{spoilt: true, Reply: ReplyFunc(func(int, error) {})})
		pass(time.Minute)
		if d := detail(t, s); d.Incarnation != 2 || d.LastFault == "" || len(d.Flights) == 0 || d.Flights[0].What != "panicked" {
			t.Errorf("after a panic: %+v", d)
		}
	})
}

// TestOnlookersPassPauses: what an actor knows is told while its work waits, and while nothing more fits into its mailbox.
func TestOnlookersPassPauses(t *testing.T) {
	inBubble(t, func(t *testing.T, s *System) {
		r := spawnAsked(t, s, 1)
		if err := s.Pause("troupe/a", 1); err != nil {
			t.Fatal(err)
		}
		answered := 0
		_ = r.Send(curious{Reply: ReplyFunc(func(int, error) { answered++ })})
		ask := func(ctx context.Context) (int, error) {
			ctx, cancel := context.WithTimeout(ctx, time.Minute)
			defer cancel()
			return Ask(ctx, r, func(to Reply[int]) curious { return curious{Reply: to} })
		}
		if n, err := ask(Looking(t.Context())); n != 7 || err != nil || answered != 0 {
			t.Errorf("an onlooker: %d, %v; %d of others answered", n, err, answered)
		}
		_, err := ask(t.Context())
		wantCode(t, err, fault.BusyQueueFull)
		if err := s.Restart(t.Context(), "troupe/a", 1); err != nil {
			t.Fatal(err)
		}
		if n, err := ask(Looking(t.Context())); n != 7 || err != nil {
			t.Errorf("after a restart: %d, %v", n, err)
		}
	})
}

func spawnAsked(t *testing.T, s *System, mailbox int) Ref[curious] {
	t.Helper()
	r := spawn(t, s, Options[curious]{Name: "a", Mailbox: mailbox, New: handler(func(_ *Ctx[curious], m curious) {
		if m.wait != nil {
			<-m.wait
		}
		if m.spoilt {
			panic("asked too much")
		}
		m.Reply.Answer(7)
	})})
	synctest.Wait()
	return r
}

// detail is what is shown of the actor, without the time of the look.
func detail(t *testing.T, s *System) inspect.ActorDetail {
	t.Helper()
	d, err := s.Detail("troupe/a")
	if err != nil {
		t.Fatal(err)
	}
	d.At = time.Time{}
	return d
}

func mailbox(t *testing.T, s *System) []inspect.Letter {
	t.Helper()
	l, err := s.Mailbox("troupe/a")
	if err != nil {
		t.Fatal(err)
	}
	return l
}
