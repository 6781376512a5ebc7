package kernel

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/inspect"
)

type anyMessage interface{ anyMessage() }

type (
	block struct{ until chan struct{} }
	count struct{ n int }
)

func (block) anyMessage() {}
func (count) anyMessage() {}

// TestAWedgedHandlerStaysVisible has a handler that does not return: who looks sees what it handles, since when, and what waits.
func TestAWedgedHandlerStaysVisible(t *testing.T) {
	inBubble(t, func(t *testing.T, s *System) {
		r := spawn(t, s, Options[anyMessage]{Name: "a", App: "app", New: handler(func(_ *Ctx[anyMessage], m anyMessage) {
			if b, ok := m.(block); ok {
				<-b.until
			}
		})})
		until := make(chan struct{})
		begin := time.Now()
		_ = r.Send(block{until})
		pass(time.Minute)
		_ = r.Send(count{1})
		pass(time.Minute)
		_ = r.Send(count{2})
		_ = r.Control(count{3})
		synctest.Wait()
		a := find(t, s, "troupe/a")
		if a.State != "busy" || a.Handling != "kernel.block" || !a.HandledAt.Equal(begin) || !a.Since.Equal(begin) || a.App != "app" {
			t.Errorf("state %s, handling %s since %v", a.State, a.Handling, a.HandledAt.Sub(begin))
		}
		if a.Depth != 3 || a.OldestSince.Sub(begin) != time.Minute || a.Handler.Count != 0 || !a.At.Equal(time.Now()) {
			t.Errorf("depth %d, oldest %v, %+v", a.Depth, a.OldestSince.Sub(begin), a.Handler)
		}
		want := []inspect.Lane{
			{Name: "control", Depth: 1, OldestSince: begin.Add(2 * time.Minute).Round(0)},
			{Name: "work", Depth: 2, Cap: 256, OldestSince: begin.Add(time.Minute).Round(0)},
		}
		if diff := cmp.Diff(want, a.Lanes); diff != "" {
			t.Error(diff)
		}
		waits, err := s.Mailbox("troupe/a")
		if err != nil || len(waits) != 3 || waits[0].Lane != "control" || waits[1].Type != "kernel.count" || len(waits[2].Cause) != 32 {
			t.Errorf("%+v, %v", waits, err)
		}
		close(until)
		synctest.Wait()
		a = find(t, s, "troupe/a")
		if a.State != "idle" || a.Depth != 0 || a.Handler.Count != 4 || a.Handler.P50Micros != 1 || a.Handler.MaxMicros != (2*time.Minute).Microseconds() {
			t.Errorf("%+v", a)
		}
	})
}

// TestAnAnswerIsSeenByItsOwnType holds that what is made of an answer is shown as what it is.
func TestAnAnswerIsSeenByItsOwnType(t *testing.T) {
	inBubble(t, func(t *testing.T, s *System) {
		until := make(chan struct{})
		r := spawn(t, s, Options[anyMessage]{Name: "a", New: handler(func(c *Ctx[anyMessage], m anyMessage) {
			switch m := m.(type) {
			case count:
				c.After(0, anyMessage(block{until}))
				c.After(time.Hour, anyMessage(count{}))
			case block:
				<-m.until
			}
		})})
		begin := time.Now()
		_ = r.Send(count{})
		pass(time.Second)
		a := find(t, s, "troupe/a")
		if a.Handling != "kernel.block" || a.Timers != 1 || a.NextTimer.Sub(begin) != time.Hour {
			t.Errorf("handles %s, %d timers, next in %v", a.Handling, a.Timers, a.NextTimer.Sub(begin))
		}
		close(until)
	})
}

func TestFlightRecorderHoldsTheLastAndOutlivesItsActor(t *testing.T) {
	inBubble(t, func(t *testing.T, s *System) {
		r := spawn(t, s, Options[int]{Name: "a", Mailbox: 1, Restart: Policy{Min: time.Second, Max: time.Second}, New: handler(func(c *Ctx[int], m int) {
			if m < 0 {
				panic("negative")
			}
		})})
		for i := range 300 {
			_ = r.Send(i)
			synctest.Wait()
		}
		d, err := s.Detail("troupe/a")
		if err != nil || len(d.Flights) != flights || d.Flights[0].Seq != 300-flights || d.Flights[flights-1].Seq != 299 || d.Dead || len(d.Lanes) != 4 {
			t.Fatalf("%d flights, %v", len(d.Flights), err)
		}
		if f := d.Flights[0]; f.What != "handled" || f.Type != "int" || f.Lane != "work" || len(f.Cause) != 32 {
			t.Errorf("%+v", f)
		}
		_ = r.Send(-1)
		pass(2 * time.Second)
		s.mu.Lock()
		n := s.table["troupe/a"]
		s.mu.Unlock()
		_ = s.Pause("troupe/a", 0)
		_ = r.Send(1)
		for range 40 {
			wantCode(t, r.Send(2), fault.BusyQueueFull)
		}
		r.Stop()
		synctest.Wait()
		if d, err = s.Detail("troupe/a"); err != nil || !d.Dead || !d.DiedAt.Equal(time.Now()) {
			t.Fatalf("%+v, %v", d.Actor, err)
		}
		var got []string
		for _, f := range d.Flights[len(d.Flights)-24:] {
			got = append(got, strings.TrimSpace(f.What+" "+f.State))
		}
		want := []string{"panicked", "state backoff", "state starting", "state running", "state paused"}
		for range refusedRow {
			want = append(want, "refused")
		}
		want = append(want, "state stopping", "undelivered")
		want = append([]string{"handled"}, want...)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
		if want := map[string]uint64{"bug.panic": 1, "busy.queue_full": 40, "canceled.host_stopped": 1}; !cmp.Equal(want, d.Dropped) {
			t.Error(cmp.Diff(want, d.Dropped))
		}
		wantCode(t, r.Send(3), fault.CallerClosed) // the grave is not written to
		if n.core().book != nil {
			t.Error("a dead actor keeps a book")
		}
		_, err = s.Detail("troupe/none")
		wantCode(t, err, fault.CallerNotFound)
	})
}

func TestGravesAreBounded(t *testing.T) {
	inBubble(t, func(t *testing.T, s *System) {
		for i := range maxGraves + 10 {
			r := spawn(t, s, Options[int]{Name: fmt.Sprintf("a-%d", i), New: handler(func(*Ctx[int], int) {})})
			r.Stop()
			synctest.Wait()
		}
		_, err := s.Detail("troupe/a-9")
		wantCode(t, err, fault.CallerNotFound)
		if d, err := s.Detail("troupe/a-10"); err != nil || !d.Dead {
			t.Error(err)
		}
	})
}

func TestTimingIsFromPowersOfTwo(t *testing.T) {
	var k book
	for range 98 {
		k.timed(int64(3 * time.Microsecond))
	}
	k.timed(int64(time.Millisecond))
	k.timed(int64(time.Second))
	want := inspect.Timing{Count: 100, P50Micros: 4, P99Micros: 1024, MaxMicros: 1_000_000}
	if diff := cmp.Diff(want, k.timing()); diff != "" {
		t.Error(diff)
	}
}
