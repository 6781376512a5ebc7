package kernel

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"github.com/troupehost/troupe/actors/fault"
)

func TestPauseHoldsTheWorkLaneOnly(t *testing.T) {
	inBubble(t, func(t *testing.T, s *System) {
		var n notes
		r := spawn(t, s, Options[string]{Name: "a", Restart: Policy{Min: time.Second, Max: time.Second}, New: handler(func(c *Ctx[string], m string) {
			n.add("%s", m)
			switch m {
			case "fall":
				panic("as told")
			case "control":
				c.Go(func(context.Context) string { return "task" })
			}
		})})
		synctest.Wait()
		wantCode(t, s.Pause("troupe/a", 2), fault.CallerStale)
		wantCode(t, s.Pause("troupe/b", 0), fault.CallerNotFound)
		for range 2 {
			if err := s.Pause("troupe/a", 1); err != nil {
				t.Fatal(err)
			}
		}
		_ = r.Send("work")
		_ = r.Control("control")
		synctest.Wait()
		_ = r.Control("fall")
		pass(2 * time.Second)
		if a := find(t, s, "troupe/a"); !a.Paused || a.Depth != 1 || a.Incarnation != 2 {
			t.Errorf("%+v", a)
		}
		n.want(t, "control", "task", "fall")
		if err := s.Resume("troupe/a", 2); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		n.want(t, "work")
		if a := find(t, s, "troupe/a"); a.Paused || a.Depth != 0 {
			t.Errorf("%+v", a)
		}
	})
}

// TestRestartByHandAsksAgainAndCostsNoBudget restarts an actor more often than its budget allows: its children end, and a request
// that it had accepted comes to the next incarnation.
func TestRestartByHandAsksAgainAndCostsNoBudget(t *testing.T) {
	inBubble(t, func(t *testing.T, s *System) {
		var n notes
		r := spawn(t, s, Options[step]{Name: "a", Restart: Policy{MaxRestarts: 1}, New: func(c *Ctx[step]) Handler[step] {
			n.add("new %d", c.Incarnation())
			if _, err := Spawn(c, Options[int]{Name: "child", New: handler(func(*Ctx[int], int) {})}); err != nil {
				t.Error(err)
			}
			c.After(time.Hour, step{name: "never"})
			return HandlerFunc[step](func(c *Ctx[step], m step) {
				n.add("%s in %d", m.name, c.Incarnation())
				if c.Incarnation() == 2 {
					m.to.Answer(2)
				}
			})
		}})
		answers := make(chan int, 1)
		go func() {
			v, err := Ask(context.Background(), r, func(to Reply[int]) step { return step{"ask", to} })
			if err != nil {
				t.Error(err)
			}
			answers <- v
		}()
		synctest.Wait()
		if err := s.Restart(t.Context(), "troupe/a", 1); err != nil {
			t.Fatal(err)
		}
		if v := <-answers; v != 2 {
			t.Error(v)
		}
		wantCode(t, s.Restart(t.Context(), "troupe/a", 1), fault.CallerStale)
		if err := s.Restart(t.Context(), "troupe/a", 0); err != nil {
			t.Fatal(err)
		}
		n.want(t, "new 1", "ask in 1", "new 2", "ask in 2", "new 3")
		a := find(t, s, "troupe/a")
		if a.State != "idle" || a.Incarnation != 3 || a.Restarts != 0 || a.LastFault != "" || a.Children != 1 || a.Timers != 1 || s.Bugs() != 0 {
			t.Errorf("%+v", a)
		}
	})
}

func TestRestartOfAWedgedActorWaitsForItsHandler(t *testing.T) {
	inBubble(t, func(t *testing.T, s *System) {
		until := make(chan struct{})
		r := spawn(t, s, Options[int]{Name: "a", New: handler(func(*Ctx[int], int) { <-until })})
		_ = r.Send(1)
		synctest.Wait()
		for range 3 {
			err := s.Restart(t.Context(), "troupe/a", 1)
			wantCode(t, err, fault.CallerConflict)
			if !strings.Contains(err.Error(), "handling int") {
				t.Error(err)
			}
		}
		close(until)
		synctest.Wait()
		if a := find(t, s, "troupe/a"); a.Incarnation != 2 || a.State != "idle" || a.Handled != 1 {
			t.Errorf("%+v", a)
		}
	})
}

func TestRestartForgoesTheBackOff(t *testing.T) {
	inBubble(t, func(t *testing.T, s *System) {
		r := spawn(t, s, Options[int]{Name: "a", Restart: Policy{Min: time.Hour, Max: time.Hour}, New: handler(func(*Ctx[int], int) { panic(1) })})
		_ = r.Send(1)
		synctest.Wait()
		if a := find(t, s, "troupe/a"); a.State != "backoff" {
			t.Fatalf("%+v", a)
		}
		begin := time.Now()
		if err := s.Restart(t.Context(), "troupe/a", 1); err != nil || time.Since(begin) > time.Minute {
			t.Fatal(err)
		}
		pass(2 * time.Hour)
		if a := find(t, s, "troupe/a"); a.State != "idle" || a.Incarnation != 2 {
			t.Errorf("%+v", a)
		}
	})
}

// TestRestartWaitsForChildrenWithoutGivingUp has a child that takes longer than a failed actor would be given.
func TestRestartWaitsForChildrenWithoutGivingUp(t *testing.T) {
	inBubble(t, func(t *testing.T, s *System) {
		until := make(chan struct{})
		spawn(t, s, Options[int]{Name: "a", StopTimeout: time.Second, New: func(c *Ctx[int]) Handler[int] {
			if c.Incarnation() == 1 {
				_, _ = Spawn(c, Options[int]{Name: "child", New: func(c *Ctx[int]) Handler[int] {
					c.Go(func(context.Context) int { <-until; return 0 })
					return HandlerFunc[int](func(*Ctx[int], int) {})
				}})
			}
			return HandlerFunc[int](func(*Ctx[int], int) {})
		}})
		synctest.Wait()
		wantCode(t, s.Restart(t.Context(), "troupe/a", 0), fault.CallerConflict)
		pass(time.Minute)
		if s.Err() != nil {
			t.Error(s.Err())
		}
		close(until)
		synctest.Wait()
		if a := find(t, s, "troupe/a"); a.State != "idle" || a.Incarnation != 2 {
			t.Errorf("%+v", a)
		}
	})
}

func TestKillEndsWhatMayBeKilled(t *testing.T) {
	inBubble(t, func(t *testing.T, s *System) {
		exits := make(chan error, 1)
		spawn(t, s, Options[error]{Name: "p", OnExit: func(_ string, err error) error { return err }, New: func(c *Ctx[error]) Handler[error] {
			_, _ = Spawn(c, Options[int]{Name: "c", Killable: true, Restart: Policy{Temporary: true}, New: handler(func(*Ctx[int], int) {})})
			return HandlerFunc[error](func(_ *Ctx[error], err error) { exits <- err })
		}})
		synctest.Wait()
		wantCode(t, s.Kill("troupe/p", 0), fault.CallerDenied)
		wantCode(t, s.Restart(t.Context(), "troupe/p/c", 0), fault.CallerDenied)
		wantCode(t, s.Kill("troupe/p/c", 7), fault.CallerStale)
		if err := s.Kill("troupe/p/c", 1); err != nil {
			t.Fatal(err)
		}
		wantCode(t, <-exits, fault.CanceledRevoked)
	})
}

func TestLogLevelEndsByItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		s, err := New(Config{Name: "h", Log: zerolog.New(zerolog.SyncWriter(&log)).Level(zerolog.InfoLevel)})
		if err != nil {
			t.Fatal(err)
		}
		r := spawn(t, s, Options[string]{Name: "a", New: handler(func(c *Ctx[string], m string) { c.Log().Debug().Msg(m) })})
		say := func(m string) {
			_ = r.Send(m)
			synctest.Wait()
		}
		say("one")
		wantCode(t, s.LogLevel("h/a", "loud", 0), fault.CallerInvalid)
		wantCode(t, s.LogLevel("h/b", "debug", 0), fault.CallerNotFound)
		if err := s.LogLevel("h/a", "debug", time.Minute); err != nil {
			t.Fatal(err)
		}
		say("two")
		if a := find(t, s, "h/a"); a.LogLevel != "debug" {
			t.Errorf("%+v", a)
		}
		pass(2 * time.Minute)
		say("three")
		if a := find(t, s, "h/a"); a.LogLevel != "" {
			t.Errorf("%+v", a)
		}
		if got := log.String(); strings.Contains(got, "one") || !strings.Contains(got, "two") || strings.Contains(got, "three") {
			t.Error(got)
		}
		if err := s.Stop(t.Context()); err != nil {
			t.Error(err)
		}
	})
}
