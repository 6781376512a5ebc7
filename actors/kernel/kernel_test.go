package kernel

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/google/go-cmp/cmp"
	"github.com/rs/zerolog"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/inspect"
)

// inBubble runs f with virtual time and a System that is stopped afterwards.
func inBubble(t *testing.T, f func(t *testing.T, s *System)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s, err := New(Config{Log: zerolog.New(zerolog.NewTestWriter(t))})
		if err != nil {
			t.Fatal(err)
		}
		f(t, s)
		if err := s.Stop(context.Background()); err != nil {
			t.Errorf("stop: %v", err)
		}
	})
}

func spawn[M any](t *testing.T, p Parent, o Options[M]) Ref[M] {
	t.Helper()
	r, err := Spawn(p, o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func handler[M any](f func(c *Ctx[M], m M)) func(*Ctx[M]) Handler[M] {
	return func(*Ctx[M]) Handler[M] { return HandlerFunc[M](f) }
}

func wantCode(t *testing.T, err error, code fault.Code) {
	t.Helper()
	if fault.CodeOf(err) != code {
		t.Errorf("error = %v (%s), want %s", err, fault.CodeOf(err), code)
	}
}

func find(t *testing.T, s *System, path string) inspect.Actor {
	t.Helper()
	for _, a := range s.Inspect() {
		if a.Path == path {
			return a
		}
	}
	t.Fatalf("no actor %s in %v", path, s.Inspect())
	return inspect.Actor{}
}

// pass lets virtual time pass.
func pass(d time.Duration) { <-time.After(d) }

// notes collects what actors did, in order.
type notes struct {
	mu  sync.Mutex
	got []string
}

func (n *notes) add(format string, args ...any) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.got = append(n.got, fmt.Sprintf(format, args...))
}

func (n *notes) want(t *testing.T, want ...string) {
	t.Helper()
	n.mu.Lock()
	defer n.mu.Unlock()
	if d := cmp.Diff(want, n.got); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
	n.got = nil
}

func TestLanesKeepOrderAndControlOvertakes(t *testing.T) {
	inBubble(t, func(t *testing.T, s *System) {
		var n notes
		gate := make(chan struct{})
		r := spawn(t, s, Options[string]{Name: "a", New: handler(func(_ *Ctx[string], m string) {
			if m == "gate" {
				<-gate
			}
			n.add("%s", m)
		})})
		for _, m := range []string{"gate", "1", "2", "3"} {
			if err := r.Send(m); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		for _, m := range []string{"c1", "c2"} {
			if err := r.Control(m); err != nil {
				t.Fatal(err)
			}
		}
		close(gate)
		synctest.Wait()
		n.want(t, "gate", "c1", "c2", "1", "2", "3")
	})
}

type bearing struct {
	name string
	to   Reply[string]
}

func (b bearing) Failed(err error) { b.to.Fail(err) }

func TestFullMailboxRefusesVisiblyAndStopAnswersTheQueue(t *testing.T) {
	inBubble(t, func(t *testing.T, s *System) {
		var n notes
		gate := make(chan struct{})
		r := spawn(t, s, Options[bearing]{Name: "a", Mailbox: 2, New: handler(func(c *Ctx[bearing], m bearing) {
			<-gate
			m.to.Answer("done")
		})})
		note := func(name string) Reply[string] {
			return ReplyFunc(func(v string, err error) { n.add("%s %s%s", name, v, fault.CodeOf(err)) })
		}
		for _, name := range []string{"busy", "q1", "q2"} {
			if err := r.Send(bearing{name, note(name)}); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		err := r.Send(bearing{"over", note("over")})
		wantCode(t, err, fault.BusyQueueFull)
		if e := fault.From(err); e.RetryAfter <= 0 {
			t.Error("a refusal says when to come back")
		}
		if err := r.Control(bearing{"ctl", note("ctl")}); err != nil {
			t.Errorf("control is not refused by a full mailbox: %v", err)
		}
		pass(time.Second)
		a := find(t, s, "troupe/a")
		if a.Depth != 3 || a.Cap != 2 || a.Refused != 1 || a.Accepted != 4 || a.State != "busy" || a.Handling != "kernel.bearing" ||
			time.Since(a.HandledAt) != time.Second || time.Since(a.OldestSince) != time.Second {
			t.Errorf("inspect: %+v", a)
		}
		r.Stop()
		close(gate)
		synctest.Wait()
		n.want(t, "over busy.queue_full", "busy done", "ctl canceled.host_stopped", "q1 canceled.host_stopped", "q2 canceled.host_stopped")
		wantCode(t, r.Send(bearing{"late", note("late")}), fault.CallerClosed)
		n.want(t, "late caller.host_closed")
		wantCode(t, Ref[bearing]{}.Send(bearing{}), fault.CallerClosed)
	})
}

func TestNumberedNames(t *testing.T) {
	for path, want := range map[string]uint64{"host-1/execute/" + Numbered("worker", 18446744073709551615): 18446744073709551615,
		"host/prepare/" + Numbered("worker", 3): 3, "host-1/cache": 0, "cache": 0, "": 0} {
		if got := Number(path); got != want {
			t.Errorf("%s: %d, want %d", path, got, want)
		}
	}
}

func TestNamesAreUniqueAndNewRunsOnlyForAFreeName(t *testing.T) {
	inBubble(t, func(t *testing.T, s *System) {
		made := 0
		o := Options[int]{Name: "a", New: func(*Ctx[int]) Handler[int] { made++; return HandlerFunc[int](func(*Ctx[int], int) {}) }}
		r := spawn(t, s, o)
		_, err := Spawn(s, o)
		wantCode(t, err, fault.CallerConflict)
		for _, bad := range []string{"", "a/b", "é", strings.Repeat("x", 65)} {
			_, err := Spawn(s, Options[int]{Name: bad, New: o.New})
			wantCode(t, err, fault.CallerConfig)
		}
		synctest.Wait()
		if made != 1 {
			t.Errorf("New ran %d times, want 1", made)
		}
		r.Stop()
		synctest.Wait()
		spawn(t, s, o)
		if r.Path() != "troupe/a" {
			t.Errorf("path %q", r.Path())
		}
	})
}

func (l *loudStop[M]) Receive(_ *Ctx[M], m M) {
	if fmt.Sprint(m) == "panic" {
		panic("on demand")
	}
	l.n.add("%s %v", l.name, m)
}

func (l *loudStop[M]) Stopping(*Ctx[M]) {
	l.n.add("%s stopping", l.name)
	panic("in the hook")
}

func TestPanicInStoppingIsContained(t *testing.T) {
	inBubble(t, func(t *testing.T, s *System) {
		var n notes
		r := spawn(t, s, Options[int]{Name: "a", New: func(*Ctx[int]) Handler[int] { return &loudStop[int]{&n, "a"} }})
		r.Stop()
		synctest.Wait()
		n.want(t, "a stopping")
		if s.Bugs() != 1 || len(s.Inspect()) != 0 {
			t.Errorf("bugs %d, actors %v", s.Bugs(), s.Inspect())
		}
	})
}

func TestChildrenStopBeforeTheParentAndRootsInReverse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, err := New(Config{})
		if err != nil {
			t.Fatal(err)
		}
		var n notes
		var tree func(name string, depth int) func(c *Ctx[int]) Handler[int]
		tree = func(name string, depth int) func(c *Ctx[int]) Handler[int] {
			return func(c *Ctx[int]) Handler[int] {
				if depth > 0 {
					spawn(t, c, Options[int]{Name: "sub", New: tree(name+"/sub", depth-1)})
				}
				c.Go(func(ctx context.Context) int { <-ctx.Done(); pass(time.Second); n.add("%s ended", name); return 0 })
				return HandlerFunc[int](func(*Ctx[int], int) {})
			}
		}
		for _, name := range []string{"store", "cache", "jobs"} {
			spawn(t, s, Options[int]{Name: name, New: tree(name, 1)})
		}
		synctest.Wait()
		begin := time.Now()
		if err := s.Stop(context.Background()); err != nil {
			t.Error(err)
		}
		if d := time.Since(begin); d != 3*time.Second {
			t.Errorf("stopping took %v: each root is to be waited for with what it runs", d)
		}
		var order []string
		for _, g := range n.got {
			order = append(order, g[:strings.IndexAny(g, "/ ")])
		}
		if d := cmp.Diff([]string{"jobs", "jobs", "cache", "cache", "store", "store"}, order); d != "" {
			t.Error(d)
		}
		_, err = Spawn(s, Options[int]{Name: "late", New: tree("late", 0)})
		wantCode(t, err, fault.CallerClosed)
		if err := s.Stop(context.Background()); err != nil {
			t.Errorf("second stop: %v", err)
		}
	})
}

func TestStopHasDeadlines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, err := New(Config{})
		if err != nil {
			t.Fatal(err)
		}
		gate := make(chan struct{})
		stuck := spawn(t, s, Options[int]{Name: "stuck", StopTimeout: 3 * time.Second,
			New: handler(func(*Ctx[int], int) { <-gate })})
		waits := spawn(t, s, Options[int]{Name: "waits", StopTimeout: 2 * time.Second,
			New: handler(func(c *Ctx[int], _ int) { <-c.Context().Done() })})
		_ = stuck.Send(1)
		_ = waits.Send(1)
		synctest.Wait()
		begin := time.Now()
		err = s.Stop(context.Background())
		wantCode(t, err, fault.BugNoAnswer)
		if d := time.Since(begin); d != 5*time.Second {
			t.Errorf("stop took %v, want 2 s + 3 s", d)
		}
		synctest.Wait()
		if got := s.Inspect(); len(got) != 1 || got[0].Path != "troupe/stuck" || got[0].State != "busy" {
			t.Errorf("the late context cancel frees who waits on it, and only him: %+v", got)
		}
		close(gate)
	})
}

func TestExitTellsTheParent(t *testing.T) {
	inBubble(t, func(t *testing.T, s *System) {
		var n notes
		respawned := false
		o := Options[string]{Name: "p", OnExit: func(path string, err error) string { return fmt.Sprintf("%s %s", path, fault.CodeOf(err)) }}
		o.New = func(c *Ctx[string]) Handler[string] {
			child := func() Ref[string] {
				return spawn(t, c, Options[string]{Name: "w", Restart: Policy{Temporary: true}, New: handler(func(c *Ctx[string], m string) {
					c.Go(func(ctx context.Context) string { <-ctx.Done(); pass(time.Minute); return "" })
					if m == "panic" {
						panic(m)
					}
					c.Stop()
				})})
			}
			_ = child().Send("stop")
			return HandlerFunc[string](func(c *Ctx[string], m string) {
				n.add("%s", m)
				if !respawned {
					respawned = true
					_ = child().Send("panic") // the name is free
				}
			})
		}
		spawn(t, s, o)
		begin := time.Now()
		pass(time.Minute + time.Second)
		synctest.Wait()
		n.want(t, "troupe/p/w ")
		pass(time.Minute)
		n.want(t, "troupe/p/w bug.panic")
		if time.Since(begin) > 3*time.Minute || s.Err() != nil {
			t.Errorf("a temporary child must not fail the host: %v", s.Err())
		}
	})
}

func TestGoexitAndTaskPanicFailTheIncarnationOnly(t *testing.T) {
	inBubble(t, func(t *testing.T, s *System) {
		var n notes
		o := Options[string]{Name: "a", New: func(c *Ctx[string]) Handler[string] {
			return HandlerFunc[string](func(c *Ctx[string], m string) {
				switch m {
				case "goexit":
					goexit()
				case "task":
					c.Go(func(context.Context) string { panic("in a task") })
				default:
					n.add("%d %s", c.Incarnation(), m)
				}
			})
		}}
		r := spawn(t, s, o)
		for _, m := range []string{"goexit", "x", "task", "y"} {
			_ = r.Send(m)
			pass(time.Minute)
		}
		n.want(t, "2 x", "3 y")
		if a := find(t, s, "troupe/a"); a.State != "idle" || a.Incarnation != 3 || !strings.Contains(a.LastFault, "in a task") {
			t.Errorf("%+v", a)
		}
	})
}

func TestTimersAndTasks(t *testing.T) {
	inBubble(t, func(t *testing.T, s *System) {
		var n notes
		begin := time.Now()
		o := Options[string]{Name: "a", Mailbox: 1, Tasks: 3}
		o.New = func(c *Ctx[string]) Handler[string] {
			if c.Incarnation() > 1 {
				return HandlerFunc[string](func(*Ctx[string], string) {})
			}
			c.After(time.Second, "timer")
			cancel := c.After(2*time.Second, "canceled timer")
			c.Go(func(ctx context.Context) string { pass(3 * time.Second); return "result" })
			return HandlerFunc[string](func(c *Ctx[string], m string) {
				n.add("%v %s", time.Since(begin), m)
				switch m {
				case "timer":
					pass(1500 * time.Millisecond) // its time comes while we are busy, and still it is not delivered
					cancel()
				case "over":
					for range 4 {
						c.After(time.Hour, "too many")
					}
				}
			})
		}
		r := spawn(t, s, o)
		pass(5 * time.Second)
		n.want(t, "1s timer", "3s result")
		_ = r.Send("over")
		synctest.Wait()
		n.want(t, "5s over")
		if a := find(t, s, "troupe/a"); !strings.Contains(a.LastFault, "Options.Tasks") {
			t.Errorf("%+v", a)
		}
	})
}

func TestSeveralSystemsShareOneRegistry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shared := NewShared(zerolog.Nop())
		mk := func(name string) *System {
			s, err := New(Config{Name: name, Shared: shared})
			if err != nil {
				t.Fatal(err)
			}
			return s
		}
		one, two := mk("one"), mk("two")
		_, err := New(Config{Name: "one", Shared: shared})
		wantCode(t, err, fault.CallerConflict)
		_, err = New(Config{Name: "no/slash"})
		wantCode(t, err, fault.CallerConfig)
		echo := Options[bearing]{Name: "echo", New: handler(func(_ *Ctx[bearing], m bearing) { m.to.Answer(m.name) })}
		a, b := spawn(t, one, echo), spawn(t, two, echo)
		if err := one.Stop(context.Background()); err != nil {
			t.Error(err)
		}
		wantCode(t, a.Send(bearing{}), fault.CallerClosed)
		if got, err := ask(context.Background(), b, "still here"); err != nil || got != "still here" {
			t.Errorf("%q %v", got, err)
		}
		again := mk("one") // the name is free again
		for _, s := range []*System{again, two} {
			if err := s.Stop(context.Background()); err != nil {
				t.Error(err)
			}
		}
	})
}

type counter struct{ sum int }

func (c *counter) Step(now time.Time, in int) []string {
	c.sum += in
	return []string{fmt.Sprint(c.sum), now.Format("05")}
}

func TestRunCore(t *testing.T) {
	inBubble(t, func(t *testing.T, s *System) {
		var n notes
		r := spawn(t, s, Options[int]{Name: "core", New: func(*Ctx[int]) Handler[int] {
			return RunCore(&counter{}, func(_ *Ctx[int], e string) { n.add("%s", e) })
		}})
		_ = r.Send(2)
		pass(7 * time.Second)
		_ = r.Send(3)
		synctest.Wait()
		n.want(t, "2", "00", "5", "07")
	})
}

func TestStopDuringBackoffIsFinal(t *testing.T) {
	inBubble(t, func(t *testing.T, s *System) {
		var n notes
		r := spawn(t, s, Options[int]{Name: "a", New: func(c *Ctx[int]) Handler[int] {
			n.add("up %d", c.Incarnation())
			return HandlerFunc[int](func(*Ctx[int], int) { panic("x") })
		}})
		_ = r.Send(1)
		synctest.Wait()
		r.Stop()
		r.cell.PostSystemMessage(&actor.Restart{}) // a restart that was on its way
		pass(time.Minute)
		n.want(t, "up 1")
		if left := s.Inspect(); len(left) != 0 || s.Err() != nil {
			t.Errorf("left %v, err %v", left, s.Err())
		}
	})
}

// TestTaskOfTheDead: what a task found for an actor that has ended is answered, and is no dead letter.
func TestTaskOfTheDead(t *testing.T) {
	inBubble(t, func(t *testing.T, s *System) {
		release, begun := make(chan struct{}), false
		var ends []error
		r := spawn(t, s, Options[curious]{Name: "a", New: handler(func(c *Ctx[curious], _ curious) {
			begun = true
			c.Go(func(context.Context) curious {
				<-release
				return curious{Reply: ReplyFunc(func(_ int, err error) { ends = append(ends, err) })}
			})
		})})
		_ = r.Send(curious{Reply: ReplyFunc(func(int, error) {})})
		synctest.Wait()
		r.Stop()
		synctest.Wait()
		close(release)
		synctest.Wait()
		if !begun || len(ends) != 1 || fault.CodeOf(ends[0]) != fault.CanceledStopped {
			t.Errorf("begun %v, ends %v", begun, ends)
		}
		if l := s.DeadLetters(); len(l) != 0 {
			t.Errorf("dead letters: %+v", l)
		}
	})
}
