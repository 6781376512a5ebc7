package kernel

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"github.com/troupehost/troupe/actors/fault"
)

func TestPanicBacksOffRestartsAndGivesUpLoudly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		s, err := New(Config{Name: "h", Log: zerolog.New(zerolog.SyncWriter(&log))})
		if err != nil {
			t.Fatal(err)
		}
		var starts []time.Duration
		begin := time.Now()
		o := Options[string]{Name: "a", Restart: Policy{MaxRestarts: 4, Min: time.Second, Max: 4 * time.Second}}
		o.New = func(c *Ctx[string]) Handler[string] {
			starts = append(starts, time.Since(begin))
			if c.Incarnation() > 1 {
				panic("New failed")
			}
			return HandlerFunc[string](func(*Ctx[string], string) { panic(errors.New("first")) })
		}
		r := spawn(t, s, o)
		_ = r.Send("secret payload")
		_ = r.Send("queued")
		synctest.Wait()
		if a := find(t, s, "h/a"); a.State != "backoff" || a.Restarts != 1 || a.MaxRestarts != 4 || a.Depth != 1 ||
			!strings.Contains(a.LastFault, "first") || !a.NextRestart.After(time.Now()) {
			t.Errorf("inspect: %+v", a)
		}
		select {
		case <-s.Failed():
			t.Error("failed before the budget was used up")
		default:
		}
		<-s.Failed()
		synctest.Wait()
		wantCode(t, s.Err(), fault.HostGaveUp)
		if len(starts) != 5 {
			t.Fatalf("%d starts, want 1 + 4 restarts", len(starts))
		}
		for i, full := range []time.Duration{time.Second, 2 * time.Second, 4 * time.Second, 4 * time.Second} {
			if gap := starts[i+1] - starts[i]; gap > full || gap < full*3/4 {
				t.Errorf("back-off %d = %v, want %v less up to a quarter", i, gap, full)
			}
		}
		if a := find(t, s, "h/a"); a.State != "gave_up" || a.LastFault == "" {
			t.Errorf("inspect: %+v", a)
		}
		wantCode(t, r.Send("late"), fault.HostGaveUp)
		if err := s.Stop(context.Background()); err != nil {
			t.Error(err)
		}
		out := log.String()
		for _, want := range []string{"actor given up", "panic(", `"host":"h"`, `"actor":"h/a"`} {
			if !strings.Contains(out, want) {
				t.Errorf("the log lacks %q:\n%s", want, out)
			}
		}
		if strings.Contains(out, "secret payload") {
			t.Errorf("the log shows a payload:\n%s", out)
		}
	})
}

func TestRestartKeepsTheQueueAndEndsTheIncarnation(t *testing.T) {
	inBubble(t, func(t *testing.T, s *System) {
		var n notes
		var first *Ctx[string]
		o := Options[string]{Name: "a"}
		o.New = func(c *Ctx[string]) Handler[string] {
			n.add("new %d", c.Incarnation())
			if first == nil {
				first = c
				c.After(time.Minute, "stale timer")
				c.Go(func(ctx context.Context) string { <-ctx.Done(); n.add("task canceled"); return "stale result" })
				spawn(t, c, Options[int]{Name: "child", New: func(*Ctx[int]) Handler[int] { return &loudStop[int]{&n, "child"} }})
			}
			return &loudStop[string]{&n, "handler"}
		}
		r := spawn(t, s, o)
		for _, m := range []string{"panic", "1", "2"} {
			_ = r.Send(m)
		}
		pass(2 * time.Minute)
		n.mu.Lock()
		got := strings.Join(n.got, ", ")
		n.mu.Unlock()
		for _, want := range []string{"handler stopping", "task canceled", "child stopping"} {
			if strings.Count(got, want) != 1 {
				t.Errorf("%q not once in %s", want, got)
			}
		}
		if !strings.HasSuffix(got, "new 2, handler 1, handler 2") {
			t.Errorf("got %s", got)
		}
		if first.Context().Err() == nil {
			t.Error("the context of the first incarnation is alive")
		}
		wantCode(t, context.Cause(first.Context()), fault.CanceledStopped)
		if len(s.Inspect()) != 1 {
			t.Errorf("children of the failed incarnation are left: %v", s.Inspect())
		}
	})
}

// loudStop notes what it receives and panics on demand, also in its hook.
type loudStop[M any] struct {
	n    *notes
	name string
}

func TestRestartWaitsForTheNamesOfItsChildren(t *testing.T) {
	inBubble(t, func(t *testing.T, s *System) {
		var n notes
		o := Options[string]{Name: "p", StopTimeout: time.Hour, New: func(c *Ctx[string]) Handler[string] {
			spawn(t, c, Options[string]{Name: "w", New: func(w *Ctx[string]) Handler[string] {
				w.Go(func(ctx context.Context) string { <-ctx.Done(); pass(time.Minute); return "" })
				return &loudStop[string]{&n, "w"}
			}})
			n.add("up %d", c.Incarnation())
			return HandlerFunc[string](func(*Ctx[string], string) { panic("x") })
		}}
		r := spawn(t, s, o)
		_ = r.Send("")
		pass(30 * time.Second)
		n.want(t, "up 1", "w stopping")
		if a := find(t, s, "troupe/p"); a.State != "backoff" {
			t.Errorf("state %s", a.State)
		}
		pass(time.Minute)
		n.want(t, "up 2")
	})
}

func TestARestartDoesNotWaitForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, err := New(Config{})
		if err != nil {
			t.Fatal(err)
		}
		gate := make(chan struct{})
		r := spawn(t, s, Options[bearing]{Name: "p", StopTimeout: time.Minute, New: func(c *Ctx[bearing]) Handler[bearing] {
			spawn(t, c, Options[string]{Name: "w", New: func(w *Ctx[string]) Handler[string] {
				w.Go(func(context.Context) string { <-gate; return "" })
				return handler(func(*Ctx[string], string) {})(w)
			}})
			return HandlerFunc[bearing](func(*Ctx[bearing], bearing) { panic("x") })
		}})
		_ = r.Send(bearing{})
		synctest.Wait()
		begin := time.Now()
		_, err = Ask(context.Background(), r, func(to Reply[string]) bearing { return bearing{to: to} })
		wantCode(t, err, fault.HostGaveUp)
		if d := time.Since(begin); d > time.Minute+time.Second {
			t.Errorf("given up after %v", d)
		}
		<-s.Failed()
		close(gate)
		if err := s.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
}
