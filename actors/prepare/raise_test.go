package prepare

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/actors/kernel"
	"github.com/troupehost/troupe/actors/run"
)

// TestBar05CriticalRequestOnAParkedNormalCompile raises each of the parked jobs of every class in turn: it starts before
// every other that is not critical, and behind those that are.
func TestBar05CriticalRequestOnAParkedNormalCompile(t *testing.T) {
	for p := run.Background; p < run.Critical; p++ {
		for pick := uint64(2); pick <= 10; pick++ {
			b := newBench(t, Limits{Soft: 1, Hard: 1})
			b.enqueue(1, run.Normal)
			for id := uint64(2); id <= 10; id++ {
				b.enqueue(id, p)
			}
			b.enqueue(11, run.High)
			b.enqueue(12, run.Critical)
			b.step(Raise{Job: pick, Priority: run.Critical})
			b.enqueue(13, run.Critical)
			for range 13 {
				b.end(b.started[len(b.started)-1], nil)
			}
			if d := cmp.Diff([]uint64{1, 12, pick, 13}, b.started[:4]); d != "" || len(b.started) != 13 {
				t.Errorf("%s, job %d: started %v", p, pick, b.started)
			}
		}
	}
}

// TestHardCapacityIsSustained parks many critical jobs: all slots stay busy to the end.
func TestHardCapacityIsSustained(t *testing.T) {
	b := newBench(t, Limits{Soft: 1, Hard: 3})
	const jobs = 50
	b.enqueue(100, run.Normal)
	for id := uint64(1); id <= jobs; id++ {
		b.enqueue(id, run.Critical)
	}
	b.enqueue(101, run.Normal)
	b.end(100, nil)
	for id := uint64(1); id <= jobs; id++ {
		if n := len(b.s.running); n != min(3, int(jobs-id+1)) {
			t.Fatalf("%d run before the end of job %d", n, id)
		}
		b.end(id, nil)
	}
	if len(b.s.running) != 1 || b.started[len(b.started)-1] != 101 {
		t.Errorf("started %v", b.started)
	}
}

// TestMassDeath ends all workers at once without a word, again and again: each job is answered, and the next ones start.
func TestMassDeath(t *testing.T) {
	b := newBench(t, Limits{Soft: 4, Hard: 4})
	for id := uint64(1); id <= 12; id++ {
		b.enqueue(id, run.Normal)
	}
	for round := 1; round <= 3; round++ {
		if len(b.started) != 4*round || len(b.outcome) != 4*(round-1) {
			t.Fatalf("round %d: started %v, answered %v", round, b.started, b.outcome)
		}
		for _, id := range b.started[4*(round-1):] {
			b.step(exited{Worker: b.worker[id], Failed: true})
		}
	}
	if len(b.outcome) != 12 || len(b.s.running) != 0 {
		t.Errorf("answered %v", b.outcome)
	}
}

// TestNoWorkerWithoutWork lets workers end by all ways with an empty queue: none is started for nothing.
func TestNoWorkerWithoutWork(t *testing.T) {
	b := newBench(t, Limits{Soft: 4, Hard: 8})
	for id := uint64(1); id <= 4; id++ {
		b.enqueue(id, run.Critical)
	}
	b.end(1, nil)
	b.step(exited{Worker: b.worker[2], Failed: true})
	b.step(Cancel{Job: 3})
	b.step(exited{Worker: b.worker[3]})
	b.end(4, fault.New(fault.HostSpawnFailed, "", "", nil))
	b.step(Cancel{Job: 4})
	b.now = b.now.Add(time.Hour)
	b.step(wake{})
	if len(b.started) != 4 {
		t.Errorf("started %v", b.started)
	}
}

// TestOthersAreHeldBackWhileACriticalJobRuns, however it became one, and released by its end, however that comes.
func TestOthersAreHeldBackWhileACriticalJobRuns(t *testing.T) {
	begins := map[string]func(b *bench){
		"comes": func(b *bench) { b.enqueue(9, run.Critical) },
		"is raised": func(b *bench) {
			b.enqueue(9, run.Background)
			b.step(Raise{Job: 9, Priority: run.Critical})
		},
	}
	ends := map[string]func(b *bench){
		"ends":         func(b *bench) { b.end(9, nil) },
		"dies":         func(b *bench) { b.step(exited{Worker: b.worker[9], Failed: true}) },
		"is canceled":  func(b *bench) { b.step(Cancel{Job: 9}) },
		"is not there": func(b *bench) { b.end(9, fault.New(fault.HostSpawnFailed, "", "", nil)) },
	}
	held := func(b *bench) []uint64 {
		var ids []uint64
		for id, s := range b.steered {
			if s.Held {
				ids = append(ids, id)
			}
		}
		slices.Sort(ids)
		return ids
	}
	for begin, f := range begins {
		for end, g := range ends {
			t.Run(begin+" and "+end, func(t *testing.T) {
				b := newBench(t, Limits{Soft: 4, Hard: 4})
				b.enqueue(1, run.Background)
				b.enqueue(2, run.High)
				if b.steers != 0 {
					t.Fatal("steered for nothing")
				}
				f(b)
				b.enqueue(3, run.Normal) // starts held back
				if d := cmp.Diff([]uint64{1, 2, 3}, held(b)); d != "" {
					t.Fatal(d)
				}
				g(b)
				if ids := held(b); ids != nil {
					t.Errorf("%v are held back for nobody", ids)
				}
			})
		}
	}
	b := newBench(t, Limits{Soft: 2, Hard: 2})
	b.enqueue(1, run.Normal)
	b.enqueue(2, run.Critical)
	b.step(Raise{Job: 1, Priority: run.Critical})
	if ids := held(b); ids != nil {
		t.Errorf("%v is held back, and critical", ids)
	}
}

// TestRaiseLiftsEachFieldOfTheBudget of a parked and of a running job, and lowers none.
func TestRaiseLiftsEachFieldOfTheBudget(t *testing.T) {
	for _, running := range []bool{false, true} {
		b := newBench(t, Limits{Soft: 1})
		id := uint64(1)
		if b.enqueue(1, run.Normal); !running {
			id = 2
			b.enqueue(2, run.Normal)
		}
		first, second := Budget{CPU: time.Second}, Budget{CPU: time.Hour, Wall: time.Second}
		b.step(Raise{Job: id, Budget: Budget{CPU: time.Second, Wall: time.Hour, MemoryBytes: 5}, Marks: []Budget{first, {}, second}})
		b.step(Raise{Job: id, Budget: Budget{MemoryBytes: 4}, Marks: []Budget{first}})
		want := Job{ID: id, Priority: run.Normal, Budget: Budget{CPU: time.Minute, Wall: time.Hour, MemoryBytes: 5},
			Marks: []Budget{{CPU: time.Second, Wall: 4 * time.Second}, second}}
		if d := cmp.Diff(want, b.s.jobs[id].Job); d != "" {
			t.Errorf("running %v: %s", running, d)
		}
		wantSteers := 0
		if running {
			wantSteers = 1 // the second raise says nothing new
			if d := cmp.Diff(Steering{Budget: want.Budget, Marks: want.Marks}, b.steered[id]); d != "" {
				t.Error(d)
			}
		}
		if b.steers != wantSteers {
			t.Errorf("running %v: steered %d times", running, b.steers)
		}
	}
	b := newBench(t, Limits{})
	b.enqueue(1, run.Normal)
	for n := range 2 * maxMarks {
		b.step(Raise{Job: 1, Marks: []Budget{{CPU: time.Duration(n + 1)}}})
	}
	if n := len(b.s.jobs[1].Marks); n != maxMarks {
		t.Errorf("%d marks", n)
	}
}

// TestMarksAreToldBeforeTheAnswerOnly passes on what the port reports.
func TestMarksAreToldBeforeTheAnswerOnly(t *testing.T) {
	b := newBench(t, Limits{Soft: 2})
	b.enqueue(1, run.Normal)
	b.enqueue(2, run.Normal)
	used := Budget{CPU: time.Second}
	b.step(passed{Worker: b.worker[1], Used: used})
	b.end(1, nil)
	b.step(passed{Worker: b.worker[1], Used: used})
	b.step(Cancel{Job: 2})
	b.step(passed{Worker: b.worker[2], Used: used})
	if d := cmp.Diff(map[uint64][]Budget{1: {used}}, b.passed); d != "" {
		t.Error(d)
	}
	b.step(Enqueue{Job: Job{ID: 3, Priority: run.Critical}, Reply: kernel.ReplyFunc(func(Outcome, error) {})})
	b.step(passed{Worker: b.worker[3]}) // nobody wants to know
}

// TestSteeringIsRepeatedUntilTheProcessIsThere, and an answer to an older one does not count.
func TestSteeringIsRepeatedUntilTheProcessIsThere(t *testing.T) {
	b := newBench(t, Limits{Soft: 2})
	b.how = ""
	b.enqueue(1, run.Normal)
	b.enqueue(2, run.Critical)
	for n := 1; n <= 3; n++ {
		if b.steers != n || !b.steered[1].Held {
			t.Fatalf("steered %d times, want %d", b.steers, n)
		}
		b.step(wake{}) // too early
		b.now = b.now.Add(steerAgain)
		b.how = []string{"", "", "nice"}[n-1]
		b.step(wake{})
	}
	b.step(steered{Worker: b.worker[1], Turn: b.turn[1] - 1, How: "older"})
	b.now = b.now.Add(time.Minute)
	b.step(wake{})
	if how := b.s.running[b.worker[1]].how; how != "nice" || b.steers != 4 {
		t.Errorf("held by %q, steered %d times", how, b.steers)
	}
}

// TestInspectShowsThePreparations in their states, with who raised them and how they are held back.
func TestInspectShowsThePreparations(t *testing.T) {
	b := newBench(t, Limits{Soft: 3, Hard: 4, Queue: 2000})
	begin := b.now
	b.enqueue(1, run.Background)
	b.enqueue(2, run.Normal)
	b.enqueue(3, run.Normal)
	b.step(Raise{Job: 1, Priority: run.Normal, By: "precheck of a"})
	b.now = b.now.Add(time.Second)
	b.step(Raise{Job: 1, Priority: run.Critical, By: "execute of b\x1b"})
	b.step(Cancel{Job: 3})
	b.enqueue(4, run.Critical)
	b.end(4, fault.New(fault.HostSpawnFailed, "", "", nil))
	b.enqueue(5, run.Normal)
	show := func() inspect.Queue {
		for _, e := range b.s.Step(b.now, Inspect{}) {
			if e, ok := e.(Show); ok {
				return e.Queue
			}
		}
		return inspect.Queue{}
	}
	var got []string
	for _, p := range show().Preparations {
		got = append(got, fmt.Sprintf("%d %s %s %s", p.Job, p.Priority, p.State, p.Held))
	}
	if d := cmp.Diff([]string{"1 critical running ", "2 normal held nice", "3 normal stopping ", "4 critical backoff ", "5 normal parked "}, got); d != "" {
		t.Error(d)
	}
	p := show().Preparations[0]
	want := []inspect.Escalation{{At: begin, From: "background", To: "normal", By: "precheck of a"}, {At: b.now, From: "normal", To: "critical", By: "execute of b\uFFFD"}}
	if d := cmp.Diff(want, p.Escalations); d != "" || p.BudgetCPU != time.Minute.Microseconds() || !p.StartedAt.Equal(begin) || !p.Since.Equal(begin) {
		t.Errorf("%+v\n%s", p, d)
	}
	for id := uint64(10); id < 1500; id++ {
		b.enqueue(id, run.Background)
	}
	if n := len(show().Preparations); n != maxShown {
		t.Errorf("%d jobs are shown", n)
	}
	b = newBench(t, Limits{Soft: maxShown + 10})
	for id := uint64(1); id <= maxShown+10; id++ {
		b.enqueue(id, run.Normal)
	}
	if n := len(show().Preparations); n != maxShown {
		t.Errorf("%d running jobs are shown", n)
	}
}
