package watch

import (
	"fmt"
	"math"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/troupehost/troupe/actors/inspect"
)

// source has totals that tests set. It counts how often it is read.
type source struct {
	mu     sync.Mutex // virtual time orders readers and writers, but says so to nobody
	reads  int
	totals map[string]counts
}

func (s *source) each(use func(string, uint64, uint64, uint64)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reads++
	for name, c := range s.totals {
		use(name, c[0], c[1], c[2])
	}
}

// set changes totals, or looks at what was read.
func (s *source) set(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
}

// read is how often totals were read.
func (s *source) read() (n int) {
	s.set(func() { n = s.reads })
	return n
}

func rates(s *Sampler, name string) *inspect.Rates {
	a := []inspect.Actor{{Path: name}}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.seen != nil {
		s.seen.fill(a, false)
	}
	return a[0].Rates
}

// near allows for the rounding of rates.
func near(a, b float64) bool { return math.Abs(a-b) < 0.0006 }

// after lets virtual time go by, and all that comes of it.
func after(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

func TestNobodyLooksAndNothingHappens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := &source{totals: map[string]counts{"a": {5, 5, 0}}}
		s := New(src.each)
		after(time.Hour)
		if src.read() != 0 || rates(s, "a") != nil {
			t.Errorf("%d reads, %v", src.read(), rates(s, "a"))
		}
		before := runtime.NumGoroutine()
		one, two := s.Watch(), s.Watch()
		after(5*time.Second + time.Millisecond)
		if src.read() != 6 {
			t.Errorf("%d reads in 5 s", src.read())
		}
		one()
		one()
		after(time.Second)
		if src.read() != 7 {
			t.Errorf("%d reads while one of two looks", src.read())
		}
		two()
		synctest.Wait()
		if n := runtime.NumGoroutine(); n != before {
			t.Errorf("%d goroutines, %d before", n, before)
		}
		after(time.Hour)
		if src.read() != 7 || rates(s, "a") != nil || s.seen != nil {
			t.Errorf("%d reads, %v", src.read(), rates(s, "a"))
		}
		s.Close()
	})
}

func TestRatesHaveTheirWindowsAndDecay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := &source{totals: map[string]counts{"a": {1000, 1000, 7}}}
		s := New(src.each)
		defer s.Close()
		defer s.Watch()()
		after(time.Millisecond)
		if r := rates(s, "a"); r != nil {
			t.Errorf("there are rates of one look: %+v", r)
		}
		move := func(n uint64) {
			src.set(func() {
				c := src.totals["a"]
				src.totals["a"] = counts{c[0] + n, c[1] + n, c[2]}
			})
			after(time.Second)
		}
		check := func(when string, s1, s10, s60 float64) {
			t.Helper()
			r := rates(s, "a")
			if r == nil || !near(r.Accepted.S1, s1) || !near(r.Accepted.S10, s10) || !near(r.Accepted.S60, s60) || r.Accepted != r.Handled || r.Refused != (inspect.Windows{}) {
				t.Errorf("%s: %+v, want %v %v %v", when, r, s1, s10, s60)
			}
		}
		move(100)
		check("after 1 s", 100, 100, 100)
		move(0)
		check("after 2 s", 0, 50, 50)
		for range 9 {
			move(0)
		}
		check("after 11 s", 0, 0, 100.0/11)
		for range 120 {
			move(10)
		}
		check("steady", 10, 10, 10)
		for range 10 {
			move(0)
		}
		check("idle for 10 s", 0, 0, 500.0/60)
		for range 50 {
			move(0)
		}
		check("idle for 60 s", 0, 0, 0)
		s.mu.Lock()
		if s.seen.names["a"].ring != nil {
			t.Error("an idle name keeps its memory")
		}
		s.mu.Unlock()
		move(30)
		check("again", 30, 3, 0.5)
	})
}

func TestComingGoingAndSuccessors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := &source{totals: map[string]counts{"old": {500, 500, 0}, "leaves": {1, 1, 1}}}
		s := New(src.each)
		defer s.Close()
		defer s.Watch()()
		after(time.Millisecond)
		src.mu.Lock()
		src.totals["new"] = counts{20, 20, 4}
		src.totals["old"] = counts{3, 3, 0} // another one, under the same name
		delete(src.totals, "leaves")
		src.mu.Unlock()
		after(time.Second)
		if r := rates(s, "new"); r == nil || !near(r.Accepted.S1, 20) || !near(r.Refused.S10, 4) {
			t.Errorf("new: %+v", r)
		}
		if r := rates(s, "old"); r == nil || !near(r.Handled.S1, 3) {
			t.Errorf("successor: %+v", r)
		}
		if n := len(s.seen.names); n != 2 {
			t.Errorf("%d names are kept", n)
		}
		if r := rates(s, "never"); r == nil || *r != (inspect.Rates{}) {
			t.Errorf("unknown: %+v", r)
		}
	})
}

// TestLooksAreTicks: while actors are looked at each second, totals are not read beside that, and rates are the same.
func TestLooksAreTicks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := &source{totals: map[string]counts{}}
		s := New(src.each)
		defer s.Close()
		defer s.Watch()()
		after(300 * time.Millisecond)
		if src.read() != 1 {
			t.Fatalf("%d reads", src.read())
		}
		a := []inspect.Actor{{Path: "a"}, {Path: "b"}, {Path: "c"}}
		for range 70 {
			after(time.Second)
			a[0].Accepted, a[2].Accepted = a[0].Accepted+10, a[2].Accepted+200
			s.Look(a)
			if r := a[1].Rates; r == nil || *r != (inspect.Rates{}) {
				t.Fatalf("idle: %+v", r)
			}
		}
		if src.read() > 2 || !near(a[0].Rates.Accepted.S1, 10) || !near(a[0].Rates.Accepted.S10, 10) || !near(a[2].Rates.Accepted.S10, 200) {
			t.Errorf("%d reads beside the looks, %+v, %+v", src.read(), a[0].Rates, a[2].Rates)
		}
		was := a[0].Rates
		after(time.Second)
		a[0].Accepted, a[2].Accepted = a[0].Accepted+10, a[2].Accepted+200
		if s.Look(a); a[0].Rates != was {
			t.Errorf("what goes on as before is shown anew: %+v, %+v", was, a[0].Rates)
		}
		a = []inspect.Actor{{Path: "aa", Accepted: 50}, {Path: "c", Accepted: a[2].Accepted}} // others, in other places
		after(time.Second)
		if s.Look(a); !near(a[0].Rates.Accepted.S1, 50) || !near(a[1].Rates.Accepted.S1, 0) || len(s.seen.names) != 2 {
			t.Errorf("%+v, %+v, %d names", a[0].Rates, a[1].Rates, len(s.seen.names))
		}
		src.set(func() { src.totals["aa"], src.totals["c"] = counts{}, counts{} })
		reads := src.read()
		after(5 * time.Second)
		if src.read() < reads+3 {
			t.Errorf("%d reads in 5 s without a look", src.read()-reads)
		}
	})
}

func TestALateTickIsALongerInterval(t *testing.T) {
	begin := time.Unix(1000, 0)
	src := &source{totals: map[string]counts{"a": {}}}
	v := &seen{names: map[string]*series{}}
	v.tick(begin, src.each)
	src.totals["a"] = counts{400, 0, 0}
	v.tick(begin.Add(4*time.Second), src.each)
	if r := v.rates(v.names["a"], v.per(1), v.per(10), v.per(60)); !near(r.Accepted.S1, 100) || !near(r.Accepted.S60, 100) {
		t.Errorf("%+v", r)
	}
}

func TestClosedIsClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := &source{}
		s := New(src.each)
		done := s.Watch()
		after(time.Millisecond)
		s.Close()
		done()
		s.Watch()()
		after(time.Minute)
		if src.read() != 1 {
			t.Errorf("%d reads", src.read())
		}
	})
}

func BenchmarkTick(b *testing.B) {
	names := make([]string, 10_000)
	for i := range names {
		names[i] = fmt.Sprintf("troupe/sessions/app-%064d", i)
	}
	for name, busy := range map[string]uint64{"all idle": 0, "all busy": 1} {
		b.Run(name, func(b *testing.B) {
			v := &seen{names: map[string]*series{}}
			n := uint64(0)
			for b.Loop() {
				n += busy
				v.tick(time.Now(), func(use func(string, uint64, uint64, uint64)) {
					for _, name := range names {
						use(name, n, n, 0)
					}
				})
			}
		})
	}
}
