package sim

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/troupehost/troupe/actors/fault"
)

// The toy: a cache that loads each key once and answers all who wait for it.
type (
	get struct {
		key    string
		answer func(string, error)
	}
	loaded struct {
		key string
		err error
	}
)

func (g get) String() string { return "get " + g.key }

type load struct{ key string }
type reply struct {
	g   get
	err error
}

type cache struct {
	bug     string
	waiting map[string][]get
}

func (c *cache) Step(_ time.Time, in any) []any {
	switch in := in.(type) {
	case get:
		waits := c.waiting[in.key]
		if c.bug == "replaces the waiter" && len(waits) > 0 {
			waits = nil
		}
		c.waiting[in.key] = append(waits, in)
		if len(waits) > 0 {
			return nil
		}
		return []any{load{in.key}}
	case loaded:
		var out []any
		for _, g := range c.waiting[in.key] {
			out = append(out, reply{g, in.err})
		}
		delete(c.waiting, in.key)
		if c.bug == "forgets on failure" && in.err != nil {
			return nil
		}
		return out
	}
	panic("unknown message")
}

// client asks for its keys, one after the other, and counts the answers.
type client struct{ keys []string }

type next struct{}
type asks struct{ key string }

func (c *client) Step(_ time.Time, in any) []any {
	if len(c.keys) == 0 {
		return nil
	}
	key := c.keys[0]
	c.keys = c.keys[1:]
	return []any{asks{key}}
}

func toy(bug string) func(w *World) Check {
	return func(w *World) Check {
		const clients, keys = 3, 4
		answered := 0
		Add(w, "cache", Node[any, any]{
			New:     func() Core[any, any] { return &cache{bug: bug, waiting: map[string][]get{}} },
			Crashes: bug == "",
			Faults: func(e any) Kind {
				if _, ok := e.(load); ok {
					return Fail | Delay
				}
				return 0
			},
			Do: func(s *Shell, e any) {
				switch e := e.(type) {
				case load:
					err := s.Err()
					s.Go(time.Duration(s.Rand().IntN(10))*time.Millisecond, func() any { return loaded{e.key, err} })
				case reply:
					e.g.answer("value of "+e.g.key, e.err)
				}
			},
		})
		for i := range clients {
			name := fmt.Sprintf("client-%d", i)
			Add(w, name, Node[any, any]{
				New: func() Core[any, any] { return &client{keys: []string{"a", "b", "a", "c"}} },
				Do: func(s *Shell, e any) {
					Request(s, "cache", func(answer func(string, error)) any { return get{e.(asks).key, answer} },
						func(v string, err error) any { answered++; return next{} })
				},
			})
			_ = w.Send("", name, next{})
		}
		return Check{AtEnd: func() error {
			if answered != clients*keys {
				return fmt.Errorf("%d of %d requests were answered", answered, clients*keys)
			}
			return nil
		}}
	}
}

func TestACorrectCoreSurvivesOrdersFaultsAndCrashes(t *testing.T) {
	Explore(t, Options{Seeds: 500, Rate: 0.2}, toy(""))
}

func TestSameSeedSameRun(t *testing.T) {
	o := Options{Rate: 0.2, Trace: true}
	seen := map[uint64]bool{}
	for seed := range uint64(50) {
		a, b := Run(seed, o, toy("")), Run(seed, o, toy(""))
		if d := cmp.Diff(a, b); d != "" || len(a.Trace) == 0 {
			t.Fatalf("seed %d differs from itself:\n%s", seed, d)
		}
		seen[a.Digest] = true
	}
	if len(seen) < 49 {
		t.Errorf("50 seeds gave only %d different runs", len(seen))
	}
}

func TestABugOfOrderIsFoundAndReplayed(t *testing.T) {
	r, found := Search(Options{}, toy("replaces the waiter"))
	if !found {
		t.Fatal("not found")
	}
	again := Run(r.Seed, Options{Only: []int{}}, toy("replaces the waiter"))
	if again.Err == nil || again.Err.Error() != r.Err.Error() || again.Digest != r.Digest {
		t.Errorf("the replay of %v is %v", r, again)
	}
	if s := r.String(); !strings.Contains(s, fmt.Sprintf("sim.Run(%d,", r.Seed)) || !strings.Contains(s, "cache <- client-") {
		t.Errorf("the report does not say how to replay:\n%s", s)
	}
}

func TestABugOfFailureIsFoundAndMinimised(t *testing.T) {
	o := Options{Rate: 0.5}
	r, found := Search(o, toy("forgets on failure"))
	if !found {
		t.Fatal("not found")
	}
	if len(r.Faults) != 1 || r.Faults[0].Kind != Fail || r.Faults[0].Where != "cache sim.load" {
		t.Errorf("one failed load is enough, got %v", r.Faults)
	}
	o.Only = []int{r.Faults[0].Point}
	if again := Run(r.Seed, o, toy("forgets on failure")); again.Err == nil {
		t.Error("the minimised run does not fail")
	}
}

func TestExploreReportsWhatIsNotDeterministic(t *testing.T) {
	runs := 0
	r, found := Search(Options{Seeds: 1}, func(*World) Check {
		runs++
		return Check{AtEnd: func() error {
			if runs == 1 {
				return errors.New("only once")
			}
			return nil
		}}
	})
	if !found || !strings.Contains(r.Err.Error(), "not deterministic") {
		t.Errorf("got %v", r)
	}
}

// list is a core that hands each message to its Do.
type list struct{}

func (list) Step(_ time.Time, in string) []string { return []string{in} }

func newList() Core[string, string] { return list{} }

func TestLanesAndRefusal(t *testing.T) {
	orders := map[string]bool{}
	for seed := range uint64(100) {
		var got []string
		r := Run(seed, Options{}, func(w *World) Check {
			Add(w, "sink", Node[string, string]{New: newList, Inbox: 3, Do: func(_ *Shell, e string) { got = append(got, e) }})
			Add(w, "a", Node[string, string]{New: newList, Do: func(s *Shell, _ string) {
				for _, m := range []string{"a1", "a2"} {
					if err := s.Send("sink", m); err != nil {
						w.fail(err)
					}
				}
			}})
			Add(w, "b", Node[string, string]{New: newList, Do: func(s *Shell, _ string) {
				if err := s.Send("sink", "b1"); err != nil {
					w.fail(err)
				}
			}})
			Add(w, "c", Node[string, string]{New: newList, Do: func(s *Shell, e string) {}})
			for _, n := range []string{"a", "b"} {
				w.guard(n, func() { w.nodes[n].step("go") })
			}
			if err := w.Send("c", "sink", "over"); fault.CodeOf(err) != fault.BusyQueueFull {
				t.Errorf("a full inbox refuses visibly: %v", err)
			}
			if err := w.Send("c", "nobody", "x"); fault.CodeOf(err) != fault.CallerClosed {
				t.Errorf("got %v", err)
			}
			_ = w.nodes["c"].shell.Control("sink", "ctl")
			return Check{}
		})
		if r.Err != nil {
			t.Fatal(r.Err)
		}
		orders[strings.Join(got, " ")] = true
	}
	want := map[string]bool{"ctl a1 a2 b1": true, "ctl a1 b1 a2": true, "ctl b1 a1 a2": true}
	if d := cmp.Diff(want, orders); d != "" {
		t.Errorf("orders (-want +got)\n%s", d)
	}
}

func TestTimeIsVirtual(t *testing.T) {
	var at []time.Duration
	build := func(w *World) Check {
		at = nil
		Add(w, "n", Node[string, string]{New: newList, Do: func(s *Shell, e string) {
			at = append(at, s.Now().Sub(epoch()).Truncate(time.Second))
			s.After(time.Hour, "tick")
			s.After(time.Minute, "never")()
		}})
		_ = w.Send("", "n", "tick")
		return Check{}
	}
	if r := Run(0, Options{Horizon: 3*time.Hour + time.Minute}, build); r.Err != nil {
		t.Fatal(r.Err)
	}
	if d := cmp.Diff([]time.Duration{0, time.Hour, 2 * time.Hour, 3 * time.Hour}, at); d != "" {
		t.Error(d)
	}
	if r := Run(0, Options{MaxSteps: 100}, build); r.Err == nil || !strings.Contains(r.Err.Error(), "not settled") {
		t.Errorf("a run without end is a failure: %v", r.Err)
	}
}

func TestRequestsFollowTheKernelOverCrashes(t *testing.T) {
	run := func(crashes int, stop bool) (got []string) {
		r := Run(0, Options{Trace: true}, func(w *World) Check {
			Add(w, "asked", Node[any, any]{
				New: func() Core[any, any] { return every{} },
				Do: func(s *Shell, e any) {
					answer := e.(func(string, error))
					if int(s.Incarnation()) > crashes {
						answer("from "+fmt.Sprint(s.Incarnation()), nil)
					}
				},
			})
			Add(w, "asker", Node[any, any]{
				New: func() Core[any, any] { return every{} },
				Do: func(s *Shell, e any) {
					if text, ok := e.(string); ok && text != "go" {
						got = append(got, text)
						return
					}
					Request(s, "asked", func(answer func(string, error)) any { return answer },
						func(v string, err error) any { return v + string(fault.CodeOf(err)) })
				},
			})
			for i := range crashes {
				w.At(time.Duration(i+1)*time.Second, func() { w.Crash("asked") })
			}
			if stop {
				w.At(500*time.Millisecond, func() { w.nodes["asked"].shell.Stop() })
			}
			_ = w.Send("", "asker", "go")
			return Check{}
		})
		if r.Err != nil {
			t.Error(r)
		}
		return got
	}
	for _, tc := range []struct {
		crashes int
		stop    bool
		want    string
	}{{0, false, "from 1"}, {1, false, "from 2"}, {2, false, "bug.no_answer"}, {1, true, "canceled.host_stopped"}} {
		if d := cmp.Diff([]string{tc.want}, run(tc.crashes, tc.stop)); d != "" {
			t.Errorf("%d crashes, stop %v: %s", tc.crashes, tc.stop, d)
		}
	}
}

type every struct{}

func (every) Step(_ time.Time, in any) []any { return []any{in} }

func TestPanicsAndDoubleAnswersFailTheRun(t *testing.T) {
	for want, do := range map[string]func(s *Shell, e string){
		"panicked: boom": func(*Shell, string) { panic("boom") },
		"twice": func(s *Shell, e string) {
			if e == "go" {
				Request(s, s.Name(), func(answer func(string, error)) any { answer("x", nil); answer("x", nil); return "" },
					func(string, error) any { return "" })
			}
		},
	} {
		r := Run(0, Options{}, func(w *World) Check {
			Add(w, "n", Node[string, string]{New: newList, Do: do})
			_ = w.Send("", "n", "go")
			return Check{}
		})
		if r.Err == nil || !strings.Contains(r.Err.Error(), want) {
			t.Errorf("got %v, want %s", r.Err, want)
		}
	}
}

// TestRequeueWaitsForOlderWork requeues a control message while work of two senders waits, the lane of which is full.
func TestRequeueWaitsForOlderWork(t *testing.T) {
	Explore(t, Options{Seeds: 50}, func(w *World) Check {
		var got []string
		gone := false
		Add(w, "a", Node[string, string]{
			Inbox: 4,
			New:   func() Core[string, string] { return echo{} },
			Do: func(s *Shell, m string) {
				if m == "control" && !gone {
					gone = true
					s.Requeue(m)
					_ = s.Send("a", "younger")
					return
				}
				got = append(got, m)
			},
		})
		Add(w, "b", Node[string, string]{New: func() Core[string, string] { return echo{} }, Do: func(s *Shell, m string) {
			_ = s.Send("a", "1")
			_ = s.Send("a", "2")
			_ = w.Send("", "a", "3")
			_ = s.Control("a", "control")
		}})
		_ = w.Send("", "b", "go")
		return Check{AtEnd: func() error {
			before := 0
			for _, m := range got {
				if m == "control" {
					break
				}
				if m != "younger" {
					before++
				}
			}
			if before != 3 || len(got) != 5 {
				return fmt.Errorf("order %v", got)
			}
			return nil
		}}
	})
}

type echo struct{}

func (echo) Step(_ time.Time, m string) []string { return []string{m} }
