package kernel

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/inspect"
)

// tracing starts a trace, and returns a function that ends it and returns what it saw.
func tracing(t *testing.T, s *System, f inspect.TraceFilter) func() []inspect.Trace {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var rows []inspect.Trace
	done := make(chan error, 1)
	go func() {
		done <- s.Trace(ctx, f, func(r inspect.Trace) error { rows = append(rows, r); return nil })
	}()
	synctest.Wait()
	return func() []inspect.Trace {
		synctest.Wait()
		cancel()
		if err := <-done; err != nil && fault.CodeOf(err) != fault.CanceledCaller {
			t.Error(err)
		}
		return rows
	}
}

func TestTraceHasFourStamps(t *testing.T) {
	inBubble(t, func(t *testing.T, s *System) {
		r := spawn(t, s, Options[string]{Name: "a", Mailbox: 1, Restart: Policy{Min: time.Second, Max: time.Second}, New: handler(func(c *Ctx[string], m string) {
			switch m {
			case "fall":
				panic("as told")
			case "slow":
				pass(time.Second)
			}
		})})
		from := spawn(t, s, Options[string]{Name: "from", New: handler(func(c *Ctx[string], m string) { _ = r.From(c).Send(m) })})
		end := tracing(t, s, inspect.TraceFilter{Actor: "troupe/a"})
		begin := time.Now().Round(0)
		_ = r.Send("slow")
		synctest.Wait()
		_ = from.Send("waits")
		synctest.Wait()
		_ = r.Send("refused")
		pass(2 * time.Second)
		_ = r.Send("fall")
		rows := end()
		type row struct {
			From                              string
			Sent, Accepted, Started, Finished time.Duration
			Fault                             bool
		}
		var got []row
		at := func(x time.Time) time.Duration {
			if x.IsZero() {
				return -1
			}
			return x.Sub(begin)
		}
		for i, r := range rows {
			got = append(got, row{r.From, at(r.Sent), at(r.Accepted), at(r.Started), at(r.Finished), r.Fault != ""})
			if r.Seq != uint64(i) || r.Lane != "work" || r.Type != "string" || len(r.Cause) != 32 {
				t.Errorf("%+v", r)
			}
		}
		want := []row{
			{"", 0, -1, -1, -1, true},
			{"", 0, 0, 0, time.Second, false},
			{"troupe/from", 0, 0, time.Second, time.Second, false},
			{"", 2 * time.Second, 2 * time.Second, 2 * time.Second, 2 * time.Second, true},
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
		if s.tracers.Load() != nil {
			t.Error("an ended trace is still looked at")
		}
	})
}

func TestTraceFiltersInTheHost(t *testing.T) {
	inBubble(t, func(t *testing.T, s *System) {
		act := func(c *Ctx[anyMessage], m anyMessage) {
			if m, ok := m.(count); ok && m.n > 0 {
				pass(time.Duration(m.n) * time.Second)
			}
		}
		a := spawn(t, s, Options[anyMessage]{Name: "a", Kind: "one", New: handler(act)})
		b := spawn(t, s, Options[anyMessage]{Name: "b", Kind: "two", New: handler(act)})
		cause := s.NewCause()
		closed := make(chan struct{})
		close(closed)
		_, _ = a, b
		filters := map[string]inspect.TraceFilter{
			"all": {}, "kind": {Kind: "two"}, "type": {Type: "block"}, "cause": {Cause: cause.String()},
			"slow": {MinMicros: 1_500_000}, "refused": {Refused: true}, "other": {Actor: "troupe/a/b"}, "below": {Actor: "troupe"},
		}
		ends := map[string]func() []inspect.Trace{}
		for name, f := range filters {
			ends[name] = tracing(t, s, f)
		}
		_ = a.Send(count{1})
		_ = b.Send(count{2})
		_ = a.Send(block{closed})
		_ = b.From(&Origin{cause: cause}).Send(count{})
		pass(time.Minute)
		got := map[string]int{}
		for name, end := range ends {
			got[name] = len(end())
		}
		want := map[string]int{"all": 4, "kind": 2, "type": 1, "cause": 1, "slow": 2, "refused": 0, "other": 0, "below": 4}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	})
}

// TestTraceSamplesByCause holds that of a cause all messages are seen, or none.
func TestTraceSamplesByCause(t *testing.T) {
	inBubble(t, func(t *testing.T, s *System) {
		to := spawn(t, s, Options[int]{Name: "to", New: handler(func(*Ctx[int], int) {})})
		from := spawn(t, s, Options[int]{Name: "from", New: handler(func(c *Ctx[int], m int) { _ = to.From(c).Send(m) })})
		end := tracing(t, s, inspect.TraceFilter{Sample: 4})
		for i := range 400 {
			_ = from.Send(i)
			synctest.Wait()
		}
		seen := map[string]int{}
		rows := end()
		for _, r := range rows {
			seen[r.Cause]++
		}
		for c, n := range seen {
			if n != 2 {
				t.Errorf("%d messages of %s", n, c)
			}
		}
		if len(seen) < 50 || len(seen) > 150 {
			t.Errorf("%d causes of 400 in a sample of one in four", len(seen))
		}
	})
}

// TestTraceDropsAndCounts has a viewer that stops taking: the actor goes on, and the rows say what was lost.
func TestTraceDropsAndCounts(t *testing.T) {
	inBubble(t, func(t *testing.T, s *System) {
		r := spawn(t, s, Options[int]{Name: "a", New: handler(func(*Ctx[int], int) {})})
		gate := make(chan struct{})
		var dropped []uint64
		done := make(chan error)
		go func() {
			done <- s.Trace(t.Context(), inspect.TraceFilter{Rows: traceBuffer + 2}, func(r inspect.Trace) error {
				<-gate
				dropped = append(dropped, r.Dropped)
				return nil
			})
		}()
		synctest.Wait()
		for i := range traceBuffer + 11 {
			_ = r.Send(i)
			synctest.Wait()
		}
		close(gate)
		synctest.Wait()
		_ = r.Send(0)
		if err := <-done; err != nil { // the budget of rows
			t.Error(err)
		}
		if len(dropped) != traceBuffer+2 || dropped[0] != 0 || dropped[traceBuffer+1] != 10 {
			t.Errorf("%d rows, %d dropped", len(dropped), dropped[len(dropped)-1])
		}
	})
}

func TestTraceEnds(t *testing.T) {
	inBubble(t, func(t *testing.T, s *System) {
		none := func(inspect.Trace) error { return nil }
		begin := time.Now()
		if err := s.Trace(t.Context(), inspect.TraceFilter{ForMicros: 5_000_000}, none); err != nil || time.Since(begin) != 5*time.Second {
			t.Error(err, time.Since(begin))
		}
		for _, f := range []inspect.TraceFilter{{Rows: -1}, {ForMicros: -1}, {MinMicros: -1}, {Sample: -1}, {Cause: "x"}} {
			wantCode(t, s.Trace(t.Context(), f, none), fault.CallerInvalid)
		}
		r := spawn(t, s, Options[int]{Name: "a", New: handler(func(*Ctx[int], int) {})})
		done := make(chan error)
		left := errors.New("left")
		go func() { done <- s.Trace(t.Context(), inspect.TraceFilter{}, func(inspect.Trace) error { return left }) }()
		synctest.Wait()
		_ = r.Send(1)
		if err := <-done; !errors.Is(err, left) {
			t.Error(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		for range maxTracers {
			go func() { _ = s.Trace(ctx, inspect.TraceFilter{}, none) }()
		}
		synctest.Wait()
		wantCode(t, s.Trace(ctx, inspect.TraceFilter{}, none), fault.BusyQueueFull)
		cancel()
		synctest.Wait()
		if s.tracers.Load() != nil {
			t.Error("traces that have ended are kept")
		}
	})
}

func TestDeadLettersAreReplayedOnlyIfNobodyWasTold(t *testing.T) {
	inBubble(t, func(t *testing.T, s *System) {
		var n notes
		fall := true
		o := Options[bearing]{Name: "b", New: handler(func(*Ctx[bearing], bearing) { panic("bearing") }), Restart: Policy{Min: time.Second, Max: time.Second}}
		b := spawn(t, s, o)
		a := spawn(t, s, Options[string]{Name: "a", Mailbox: 1, Restart: Policy{Min: time.Second, Max: time.Second}, New: handler(func(_ *Ctx[string], m string) {
			n.add("%s", m)
			if fall {
				panic("as told")
			}
		})})
		_ = a.Send("one")
		synctest.Wait()
		_ = a.Send("waits")
		wantCode(t, a.Send("refused"), fault.BusyQueueFull)
		_ = b.Send(bearing{to: ReplyFunc(func(string, error) {})})
		pass(10 * time.Second)
		var got []string
		var ids []string
		for _, l := range s.DeadLetters() {
			got = append(got, fmt.Sprint(strings.TrimPrefix(l.Actor, "troupe/"), " ", l.Code, " ", l.Replayable))
			if l.Replayable {
				ids = append(ids, l.ID)
			}
		}
		slices.Sort(got)
		want := []string{"a bug.panic true", "a bug.panic true", "a busy.queue_full false", "b bug.panic false"}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatal(diff)
		}
		fall = false
		for _, id := range ids {
			if err := s.Replay(id); err != nil {
				t.Error(err)
			}
			synctest.Wait()
			wantCode(t, s.Replay(id), fault.CallerNotFound)
		}
		n.want(t, "one", "waits", "one", "waits")
		for _, l := range s.DeadLetters() {
			wantCode(t, s.Replay(l.ID), fault.CallerConflict)
			if err := s.Drop(l.ID); err != nil {
				t.Error(err)
			}
		}
		wantCode(t, s.Drop("7"), fault.CallerNotFound)
		if l := s.DeadLetters(); len(l) != 0 {
			t.Errorf("%+v", l)
		}
	})
}

// TestALetterGoesToWhoHasThePathNow drains a message of a stopped actor into its successor, and not into one of another kind.
func TestALetterGoesToWhoHasThePathNow(t *testing.T) {
	inBubble(t, func(t *testing.T, s *System) {
		var n notes
		o := Options[string]{Name: "a", New: handler(func(_ *Ctx[string], m string) { n.add("%s", m) })}
		a := spawn(t, s, o)
		synctest.Wait()
		_ = s.Pause("troupe/a", 0)
		cause := s.NewCause()
		_ = a.From(&Origin{cause: cause}).Send("left")
		a.Stop()
		synctest.Wait()
		l := s.DeadLetters()
		if len(l) != 1 || l[0].Code != "canceled.host_stopped" || !l[0].Replayable || l[0].Cause != cause.String() {
			t.Fatalf("%+v", l)
		}
		wantCode(t, s.Replay(l[0].ID), fault.CallerNotFound)
		other := spawn(t, s, Options[int]{Name: "a", New: handler(func(*Ctx[int], int) {})})
		wantCode(t, s.Replay(l[0].ID), fault.CallerConflict)
		other.Stop()
		synctest.Wait()
		spawn(t, s, o)
		if err := s.Replay(l[0].ID); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		n.want(t, "left")
		if rows := s.Cause(cause); len(rows) != 2 || rows[0].Finished.IsZero() == rows[1].Finished.IsZero() {
			t.Errorf("%+v", rows)
		}
	})
}

func TestDeadLettersAreBounded(t *testing.T) {
	inBubble(t, func(t *testing.T, s *System) {
		a := spawn(t, s, Options[int]{Name: "a", New: handler(func(*Ctx[int], int) {})})
		a.Stop()
		synctest.Wait()
		for range maxLetters + 5 {
			_ = a.Send(1)
		}
		if l := s.DeadLetters(); len(l) != maxLetters || l[0].ID != "6" {
			t.Errorf("%d letters from %s", len(l), l[0].ID)
		}
	})
}
