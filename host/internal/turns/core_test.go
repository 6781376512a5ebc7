package turns

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

const perMS = 100_000_000 // gas that a guest uses in a millisecond

// load is what one run does: it computes slices of some length without end, or some and then sleeps, or leaves after some.
type load struct {
	e     *entry
	app   string
	slice time.Duration
	burst int           // slices until it sleeps or leaves; 0: it does neither
	sleep time.Duration // 0: it leaves
	again func() *load  // another one comes in its place

	gas  int64
	done int
	due  time.Time // end of its slice or of its sleep; zero: it waits
	wake bool
}

// machine runs loads on cores of virtual time. Each slice takes its time, wherever it runs.
type machine struct {
	t     *testing.T
	core  *core
	now   time.Time
	loads []*load
	used  map[string]int64
	worst map[string]time.Duration // longest wait for a turn
	asked map[*load]time.Time
}

func newMachine(t *testing.T, cores int) *machine {
	return &machine{t: t, core: newCore(cores), now: time.Unix(1000, 0), used: map[string]int64{}, worst: map[string]time.Duration{}, asked: map[*load]time.Time{}}
}

func (m *machine) add(l *load, weight uint32, idle bool) *load {
	l.e = m.core.join(l.app, weight, idle)
	l.due = m.now.Add(l.slice)
	m.loads = append(m.loads, l)
	return l
}

// run lets time pass.
func (m *machine) run(d time.Duration) {
	for end := m.now.Add(d); ; {
		var first *load
		for _, l := range m.loads {
			if !l.due.IsZero() && (first == nil || l.due.Before(first.due)) {
				first = l
			}
		}
		if first == nil || first.due.After(end) {
			m.now = end
			return
		}
		m.now = first.due
		m.step(first)
		m.take()
	}
}

func (m *machine) step(l *load) {
	l.due = time.Time{}
	if l.wake {
		l.wake = false
		m.asked[l] = m.now
		m.core.resume(l.e, m.now)
		return
	}
	gas := int64(l.slice) * perMS / int64(time.Millisecond)
	l.gas += gas
	m.used[l.app] += gas
	if l.done++; l.burst > 0 && l.done%l.burst == 0 {
		m.core.spent(l.e, l.gas)
		if l.sleep == 0 {
			m.core.leave(l.e, m.now)
			for i, o := range m.loads {
				if o == l {
					m.loads = append(m.loads[:i], m.loads[i+1:]...)
					break
				}
			}
			if l.again != nil {
				l.again()
			}
			return
		}
		m.core.pause(l.e, m.now)
		l.wake, l.due = true, m.now.Add(l.sleep)
		return
	}
	m.asked[l] = m.now
	m.core.next(l.e, l.gas, m.now)
}

func (m *machine) take() {
	m.t.Helper()
	for _, e := range m.core.granted {
		for _, l := range m.loads {
			if l.e == e {
				l.due = m.now.Add(l.slice)
				m.worst[l.app] = max(m.worst[l.app], m.now.Sub(m.asked[l]))
			}
		}
	}
	m.core.granted = m.core.granted[:0]
	m.check()
}

// check holds after every step.
func (m *machine) check() {
	m.t.Helper()
	c := m.core
	if len(c.held) > c.cores {
		m.t.Fatalf("%d turns on %d cores", len(c.held), c.cores)
	}
	if len(c.held) < c.cores && len(c.ordinary.heap) > 0 {
		m.t.Fatalf("%d apps wait and %d of %d cores are in use", len(c.ordinary.heap), len(c.held), c.cores)
	}
	for _, cl := range []*class{&c.ordinary, &c.idle} {
		var weight uint64
		awake := 0
		for _, s := range cl.shares {
			if s.awake > 0 {
				weight += s.weight
			}
		}
		for _, l := range m.loads {
			if l.e.share.class == cl && l.e.state != paused {
				awake++
			}
		}
		if weight != cl.weight || awake != cl.awake {
			m.t.Fatalf("weight %d and %d awake, counted %d and %d", weight, awake, cl.weight, cl.awake)
		}
		for i, s := range cl.heap {
			if s.at != i || len(s.line) == 0 || i > 0 && less(s, cl.heap[(i-1)/2]) {
				m.t.Fatalf("the heap is out of order at %d", i)
			}
		}
	}
}

// within fails unless got is want, give or take a tenth or some slices.
func within(t *testing.T, what string, got, want float64, slices float64) {
	t.Helper()
	if slack := max(want/10, slices*10*perMS); got < want-slack || got > want+slack {
		t.Errorf("%s: %.3g gas, want %.3g ± %.2g", what, got, want, slack)
	}
}

func TestWeightsOneToTwo(t *testing.T) {
	for _, cores := range []int{1, 2, 4} {
		for _, of := range [][2]int{{cores, cores}, {cores, 3 * cores}, {4 * cores, cores}} {
			m := newMachine(t, cores)
			for i, app := range []string{"one", "two"} {
				for range of[i] {
					m.add(&load{app: app, slice: 10 * time.Millisecond}, uint32(i+1), false)
				}
			}
			m.run(10 * time.Second)
			ratio := float64(m.used["two"]) / float64(m.used["one"])
			t.Logf("%d cores, %v instances: %.3f", cores, of, ratio)
			if ratio < 1.8 || ratio > 2.2 {
				t.Errorf("%d cores, %v instances: ratio %.3f", cores, of, ratio)
			}
		}
	}
}

func TestSharesFollowWeights(t *testing.T) {
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 1))
		cores := 1 + r.IntN(4)
		m := newMachine(t, cores)
		m.core.ordinary.floor = -uint64(r.Uint32()) // the clocks wrap
		apps := 2 + r.IntN(19)
		weights, sum := map[string]float64{}, 0.0
		for i := range apps {
			app := fmt.Sprint("app", i)
			w := 20 + r.IntN(400)
			weights[app], sum = float64(w), sum+float64(w)
			for range cores + r.IntN(3) {
				m.add(&load{app: app, slice: time.Duration(2+r.IntN(9)) * time.Millisecond}, uint32(w), false)
			}
		}
		m.run(time.Second) // first slices are free
		clear(m.used)
		m.run(10 * time.Second)
		total := 0.0
		for _, g := range m.used {
			total += float64(g)
		}
		if full := float64(cores) * 10_000 * perMS; total < full*0.98 || total > full*1.02 {
			t.Errorf("seed %d: %.3g gas of %.3g", seed, total, full)
		}
		for app, w := range weights {
			within(t, fmt.Sprintf("seed %d, %d cores, %s of weight %.0f of %.0f", seed, cores, app, w, sum), float64(m.used[app]), total*w/sum, 3)
		}
		if t.Failed() {
			return
		}
	}
}

// An app of great weight with one instance uses one core; the others share the rest, and when it starts more instances they
// are not pushed aside for what it had not used.
func TestUnusedShareIsNoClaim(t *testing.T) {
	m := newMachine(t, 2)
	for range 2 {
		m.add(&load{app: "b", slice: 10 * time.Millisecond}, 10, false)
		m.add(&load{app: "c", slice: 10 * time.Millisecond}, 10, false)
	}
	m.add(&load{app: "a", slice: 10 * time.Millisecond}, 80, false)
	m.run(10 * time.Second)
	within(t, "a", float64(m.used["a"]), 10_000*perMS, 3)
	within(t, "b", float64(m.used["b"]), 5_000*perMS, 3)
	within(t, "c", float64(m.used["c"]), 5_000*perMS, 3)
	clear(m.used)
	for range 3 {
		m.add(&load{app: "a", slice: 10 * time.Millisecond}, 80, false)
	}
	m.run(time.Second)
	within(t, "b after", float64(m.used["b"]), 200*perMS, 4)
	within(t, "c after", float64(m.used["c"]), 200*perMS, 4)
}

func TestSleeperHasNoCredit(t *testing.T) {
	m := newMachine(t, 1)
	m.add(&load{app: "busy", slice: 10 * time.Millisecond}, 100, false)
	m.add(&load{app: "lazy", slice: 10 * time.Millisecond, burst: 100, sleep: 10 * time.Second}, 100, false)
	m.run(12500 * time.Millisecond) // lazy: a second of work of two, ten seconds away, and back for less than one
	clear(m.used)
	m.worst = map[string]time.Duration{}
	m.run(time.Second)
	if m.worst["busy"] > 50*time.Millisecond {
		t.Errorf("who was there waited %v for who was away", m.worst["busy"])
	}
	within(t, "busy", float64(m.used["busy"]), 500*perMS, 3)
}

// Who computes a little now and then is served at once, as long as it stays below its share.
func TestSleeperIsServedNext(t *testing.T) {
	m := newMachine(t, 1)
	for i := range 10 {
		m.add(&load{app: fmt.Sprint("busy", i), slice: 10 * time.Millisecond}, 100, false)
	}
	m.add(&load{app: "event", slice: time.Millisecond, burst: 1, sleep: 50 * time.Millisecond}, 100, false)
	m.run(time.Second)
	m.worst = map[string]time.Duration{}
	m.run(10 * time.Second)
	if m.worst["event"] > 20*time.Millisecond {
		t.Errorf("an event waited %v", m.worst["event"])
	}
}

// Runs of a few slices each, one after the other, have no more than one long run.
func TestShortRunsPayLikeALongOne(t *testing.T) {
	m := newMachine(t, 1)
	m.add(&load{app: "long", slice: 10 * time.Millisecond}, 100, false)
	var again func() *load
	again = func() *load {
		return m.add(&load{app: "short", slice: 10 * time.Millisecond, burst: 3, again: again}, 100, false)
	}
	again()
	m.run(10 * time.Second)
	// The first slice of three runs beside the others, but is charged.
	ratio := float64(m.used["short"]) / float64(m.used["long"])
	t.Logf("ratio %.3f", ratio)
	if ratio > 1.1 {
		t.Errorf("ratio %.3f", ratio)
	}
}

// New apps without end, each of which waits for something first, computes a slice and leaves, do not keep an old one from its turn.
func TestNewcomersDoNotStarve(t *testing.T) {
	m := newMachine(t, 1)
	m.add(&load{app: "old", slice: 10 * time.Millisecond}, 10, false)
	m.add(&load{app: "older", slice: 10 * time.Millisecond}, 1, false)
	n := 0
	var again func() *load
	again = func() *load {
		n++
		l := m.add(&load{app: fmt.Sprint("new", n), slice: 10 * time.Millisecond, burst: 1, again: again, wake: true}, 100, false)
		m.core.pause(l.e, m.now)
		l.due = m.now
		return l
	}
	for range 10 {
		again()
	}
	m.run(60 * time.Second)
	t.Logf("%d newcomers, waits of %v and %v", n, m.worst["old"], m.worst["older"])
	if w := m.worst["old"]; w == 0 || w > 5*time.Second {
		t.Errorf("old waited %v", w)
	}
	if used := m.used["old"]; used < 300*perMS {
		t.Errorf("old had %d gas", used)
	}
	if used := m.used["older"]; used < 20*perMS {
		t.Errorf("older had %d gas", used)
	}
}

// A newcomer goes behind those that wait, whatever was used before it came.
func TestNewcomerHasNoCredit(t *testing.T) {
	m := newMachine(t, 1)
	m.add(&load{app: "a", slice: 10 * time.Millisecond}, 100, false)
	m.add(&load{app: "b", slice: 10 * time.Millisecond}, 100, false)
	m.run(time.Second)
	now := m.now
	newcomer := m.core.join("newcomer", 100, false)
	m.core.next(newcomer, 1, now)
	held := m.core.held[0]
	m.core.next(held, held.gas+10*perMS, now)
	if newcomer.state != waiting {
		t.Error("it is served before who was there")
	}
}

func TestIdleClassGivesWay(t *testing.T) {
	m := newMachine(t, 2)
	for range 2 {
		m.add(&load{app: "bench", slice: 10 * time.Millisecond}, 10_000, true)
	}
	m.run(time.Second)
	within(t, "bench alone", float64(m.used["bench"]), 2_000*perMS, 3)
	clear(m.used)
	paid := m.add(&load{app: "paid", slice: 10 * time.Millisecond, burst: 100, sleep: time.Second}, 1, false)
	m.run(995 * time.Millisecond)
	if m.used["bench"] > 2*10*perMS { // the slices that were under way
		t.Errorf("bench had %d gas beside paid work", m.used["bench"])
	}
	within(t, "paid", float64(m.used["paid"]), 990*perMS, 2)
	if m.worst["paid"] > 0 {
		t.Errorf("paid work waited %v for the benchmark", m.worst["paid"])
	}
	clear(m.used)
	m.run(900 * time.Millisecond)
	if paid.e.state != paused {
		t.Fatalf("paid work is in state %d", paid.e.state)
	}
	within(t, "bench while paid work sleeps", float64(m.used["bench"]), 1_780*perMS, 3)
}

// Work that wakes up does not wait for the slices of the benchmark, which may be long: its runs may go on, and have no further one.
func TestIdleClassIsOusted(t *testing.T) {
	c := newCore(2)
	now := time.Unix(0, 0)
	var bench [2]*entry
	for i := range bench {
		bench[i] = c.join("bench", 1, true)
		c.next(bench[i], 10, now)
	}
	var paid [3]*entry
	for i := range paid {
		paid[i] = c.join("paid", 1, false)
		c.pause(paid[i], now)
	}
	for _, e := range bench {
		c.next(e, 20, now)
		if e.state != running {
			t.Fatalf("the benchmark is in state %d while all others wait for something else", e.state)
		}
	}
	for i, e := range paid {
		c.resume(e, now)
		if want := []state{running, running, waiting}[i]; e.state != want {
			t.Errorf("run %d that woke up is in state %d, want %d", i, e.state, want)
		}
	}
	for _, e := range bench {
		if e.state != loose {
			t.Errorf("the benchmark is in state %d", e.state)
		}
		if c.next(e, 30, now); e.state != waiting {
			t.Errorf("the benchmark goes on beside paid work, in state %d", e.state)
		}
	}
	for _, e := range paid {
		c.leave(e, now)
	}
	for _, e := range bench {
		if e.state != running {
			t.Errorf("the benchmark does not go on afterwards, in state %d", e.state)
		}
	}
}

// A run that has not asked yet counts as work: the benchmark gives way to it.
func TestIdleClassWaitsForFirstSlices(t *testing.T) {
	c := newCore(2)
	now := time.Unix(0, 0)
	bench := c.join("bench", 1, true)
	run := c.join("app", 1, false)
	c.next(bench, 10, now)
	if bench.state != waiting {
		t.Fatal("the benchmark goes on beside a run")
	}
	c.leave(run, now)
	if bench.state != running {
		t.Fatal("the benchmark does not go on after the run")
	}
}

func TestLapse(t *testing.T) {
	c := newCore(1)
	now := time.Unix(0, 0)
	hung, other := c.join("hung", 1, false), c.join("other", 1, false)
	c.next(hung, 10, now)
	c.next(other, 10, now)
	c.lapse(now.Add(MaxHold - 1))
	if other.state != waiting {
		t.Fatal("a turn was taken too early")
	}
	c.lapse(now.Add(MaxHold))
	if other.state != running || hung.state != loose {
		t.Fatalf("states %d and %d", hung.state, other.state)
	}
	c.next(hung, 20, now.Add(time.Second))
	if hung.state != waiting {
		t.Fatalf("who lost its turn is in state %d", hung.state)
	}
}

// What a worker says of its gas is bounded, whatever it says.
func TestHostileGas(t *testing.T) {
	for name, said := range map[string][]int64{
		"nothing":   {0},
		"all kinds": {0, -1 << 63, 1<<63 - 1, 0, -5},
		"less":      {1000, 999, 998, -1 << 63},
	} {
		c := newCore(1)
		now := time.Unix(0, 0)
		honest, liar := c.join("honest", 100, false), c.join("liar", 100, false)
		turns := map[*entry]int{}
		gas := int64(0)
		c.next(honest, 0, now)
		c.next(liar, 0, now)
		for i := range 100_000 {
			e := c.held[0]
			turns[e]++
			if e == honest {
				gas += 10 * perMS
				c.next(honest, gas, now)
			} else {
				c.next(liar, said[i%len(said)], now)
			}
			c.granted = c.granted[:0]
		}
		if turns[honest] < 5 || turns[liar] == 0 {
			t.Errorf("%s: %d turns of the honest, %d of the liar", name, turns[honest], turns[liar])
		}
	}
}

func TestAppsAreForgotten(t *testing.T) {
	c := newCore(1)
	now := time.Unix(0, 0)
	stays := c.join("stays", 1, false)
	for i := range 5 * MaxRemembered {
		c.leave(c.join(fmt.Sprint(i), 1, false), now)
	}
	if n := len(c.ordinary.shares); n > MaxRemembered+1 {
		t.Errorf("%d apps are remembered", n)
	}
	if c.ordinary.shares["stays"] != stays.share {
		t.Error("an app with a run was forgotten")
	}
}

// Random operations in random order keep what check says.
func TestAnyOrder(t *testing.T) {
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 2))
		m := newMachine(t, 1+r.IntN(3))
		for range 500 {
			m.now = m.now.Add(time.Duration(r.IntN(20)) * time.Millisecond)
			if len(m.loads) == 0 || r.IntN(6) == 0 && len(m.loads) < 20 {
				m.loads = append(m.loads, &load{e: m.core.join(fmt.Sprint(r.IntN(6)), uint32(r.IntN(12_000)), r.IntN(4) == 0)})
				continue
			}
			i := r.IntN(len(m.loads))
			l := m.loads[i]
			switch r.IntN(7) {
			case 0, 1, 2:
				l.gas += r.Int64N(20 * perMS)
				m.core.next(l.e, l.gas, m.now)
			case 3:
				m.core.pause(l.e, m.now)
			case 4:
				m.core.resume(l.e, m.now)
			case 5:
				m.core.lapse(m.now)
			case 6:
				m.core.leave(l.e, m.now)
				m.loads = append(m.loads[:i], m.loads[i+1:]...)
			}
			m.take()
		}
		for _, l := range m.loads {
			m.core.leave(l.e, m.now)
		}
		m.loads = nil
		m.take()
		if len(m.core.held) > 0 || m.core.ordinary.awake+m.core.idle.awake > 0 {
			t.Fatalf("seed %d: something is left", seed)
		}
	}
}
