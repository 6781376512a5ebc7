package prepare

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rs/zerolog"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/actors/kernel"
	"github.com/troupehost/troupe/actors/run"
)

const (
	length = time.Second     // what a Prepare of the fake takes
	burial = 3 * time.Second // and how long its process takes to die
)

// port is a fake of Preparer. Each success leaves a ticket that somebody must take or discard.
type port struct {
	prepare func(ctx context.Context, j Job) Outcome // in place of a success after length
	half    bool                                     // a mark is reached after half of length

	mu      sync.Mutex
	next    uint64
	tickets map[uint64]bool // that are held
	starts  map[uint64]int  // by job
	live    int
	most    int
	steered map[uint64][]Steering
}

func (p *port) enter(id uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.starts == nil {
		p.starts, p.tickets = map[uint64]int{}, map[uint64]bool{}
	}
	p.starts[id]++
	p.live++
	p.most = max(p.most, p.live)
}

func (p *port) Prepare(ctx context.Context, j Job, passed func(Budget)) Outcome {
	p.enter(j.ID)
	if p.half {
		defer time.AfterFunc(length/2, func() { passed(Budget{Wall: length / 2}) }).Stop()
	}
	defer func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.live--
	}()
	if p.prepare != nil {
		return p.prepare(ctx, j)
	}
	select {
	case <-time.After(length):
		return p.success()
	case <-ctx.Done():
		pass(burial)
		return Outcome{Fault: fault.From(ctx.Err())}
	}
}

func (p *port) success() Outcome {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.next++
	p.tickets[p.next] = true
	return Outcome{Ticket: p.next}
}

func (p *port) Steer(job uint64, s Steering) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.steered == nil {
		p.steered = map[uint64][]Steering{}
	}
	if p.steered[job] = append(p.steered[job], s); len(p.steered[job]) == 1 {
		return "" // its process is not there yet
	}
	return "nice"
}

func (p *port) Discard(ticket uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.tickets, ticket)
}

// held counts the tickets that nobody has given up.
func (p *port) held() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.tickets)
}

// stage is a prepare actor in a bubble of virtual time. It takes the tickets of its answers.
type stage struct {
	t    *testing.T
	sys  *kernel.System
	port *port
	ref  kernel.Ref[Message]

	mu      sync.Mutex
	answers map[uint64]answer
	begin   time.Time
}

type answer struct {
	Code fault.Code // of the error, or of the outcome's fault
	At   time.Duration
}

func onStage(t *testing.T, l Limits, p *port, f func(t *testing.T, s *stage)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		sys, err := kernel.New(kernel.Config{Log: zerolog.New(zerolog.NewTestWriter(t))})
		if err != nil {
			t.Fatal(err)
		}
		ref, err := Spawn(sys, Config{Limits: l, Preparer: p})
		if err != nil {
			t.Fatal(err)
		}
		s := &stage{t: t, sys: sys, port: p, ref: ref, answers: map[uint64]answer{}, begin: time.Now()}
		f(t, s)
		if err := sys.Stop(context.Background()); err != nil {
			t.Errorf("stop: %v", err)
		}
		if p.live != 0 || p.most > max(l.Soft, l.Hard, 1) || p.held() != 0 {
			t.Errorf("after System.Stop: %d live, %d tickets are held; %d at a time", p.live, p.held(), p.most)
		}
	})
}

func (s *stage) answer(id uint64, o Outcome, err error) {
	a := answer{At: time.Since(s.begin)}
	if err != nil {
		a.Code = fault.CodeOf(err)
	} else if o.Fault != nil {
		a.Code = o.Fault.Code
	}
	s.port.Discard(o.Ticket)
	s.mu.Lock()
	defer s.mu.Unlock()
	if b, twice := s.answers[id]; twice {
		s.t.Errorf("job %d answered %v, then %v", id, b, a)
	}
	s.answers[id] = a
}

func (s *stage) enqueue(id uint64, p run.Priority) {
	s.t.Helper()
	err := s.ref.Send(Enqueue{Job: Job{ID: id, Priority: p}, Reply: kernel.ReplyFunc(func(o Outcome, err error) { s.answer(id, o, err) })})
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s *stage) control(m Message) {
	s.t.Helper()
	if err := s.ref.Control(m); err != nil {
		s.t.Fatal(err)
	}
}

// want compares the answers so far.
func (s *stage) want(want map[uint64]answer) {
	s.t.Helper()
	synctest.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	if d := cmp.Diff(want, s.answers); d != "" {
		s.t.Errorf("(-want +got)\n%s", d)
	}
}

// pass lets virtual time pass.
func pass(d time.Duration) { <-time.After(d) }

// gate keeps the actor busy until it is closed.
func (s *stage) gate() chan struct{} {
	gate := make(chan struct{})
	s.control(Inspect{Reply: kernel.ReplyFunc(func(inspect.Queue, error) { <-gate })})
	synctest.Wait()
	return gate
}

func TestShellBackOffTicks(t *testing.T) {
	n := 0
	p := &port{}
	p.prepare = func(context.Context, Job) Outcome {
		if n++; n < 3 {
			return Outcome{Fault: fault.New(fault.HostSpawnFailed, "fake", "", nil)}
		}
		return p.success()
	}
	onStage(t, Limits{}, p, func(t *testing.T, s *stage) {
		s.enqueue(1, run.Normal)
		pass(time.Minute)
		s.want(map[uint64]answer{1: {At: 3 * spawnBackoff}})
	})
}

// TestShellCancelKillsTheProcess gives the slot away when the process is dead, not when its job is answered.
func TestShellCancelKillsTheProcess(t *testing.T) {
	onStage(t, Limits{Soft: 1}, &port{}, func(t *testing.T, s *stage) {
		s.enqueue(1, run.Normal)
		s.enqueue(2, run.Normal)
		pass(length / 2)
		s.control(Cancel{Job: 1})
		pass(time.Minute)
		s.want(map[uint64]answer{1: {Code: fault.CanceledCaller, At: length / 2}, 2: {At: length/2 + burial + length}})
	})
}

// TestShellControlThatOvertakes sends a Raise and a Cancel after their Enqueue to a queue that is busy with something else.
func TestShellControlThatOvertakes(t *testing.T) {
	onStage(t, Limits{Soft: 1}, &port{}, func(t *testing.T, s *stage) {
		s.enqueue(9, run.Normal)
		gate := s.gate()
		for id := uint64(1); id <= 3; id++ {
			s.enqueue(id, run.Normal)
		}
		s.control(Raise{Job: 3, Priority: run.Critical})
		s.control(Cancel{Job: 1})
		close(gate)
		pass(time.Minute)
		s.want(map[uint64]answer{9: {At: length}, 1: {Code: fault.CanceledCaller}, 3: {At: 2 * length}, 2: {At: 3 * length}})
	})
}

// TestShellSteersAndTells raises a job beside another: that is held back, at the second try, until the first has ended.
func TestShellSteersAndTells(t *testing.T) {
	p := &port{half: true}
	onStage(t, Limits{Soft: 2}, p, func(t *testing.T, s *stage) {
		var told []time.Duration
		job := Job{ID: 1, Priority: run.Background, Budget: Budget{CPU: time.Second}}
		err := s.ref.Send(Enqueue{Job: job, Passed: func(used Budget) { told = append(told, used.Wall, time.Since(s.begin)) },
			Reply: kernel.ReplyFunc(func(o Outcome, err error) { s.answer(1, o, err) })})
		if err != nil {
			t.Fatal(err)
		}
		pass(length / 4)
		s.enqueue(2, run.Background)
		s.control(Raise{Job: 1, Priority: run.Critical, Budget: Budget{CPU: time.Minute}})
		pass(length / 4)
		q, err := kernel.Ask(t.Context(), s.ref, func(r kernel.Reply[inspect.Queue]) Message { return Inspect{Reply: r} })
		if err != nil || len(q.Preparations) != 2 || q.Preparations[1].Held != "nice" || q.Preparations[0].Priority != "critical" {
			t.Errorf("shown %+v, %v", q, err)
		}
		pass(time.Minute)
		s.want(map[uint64]answer{1: {At: length}, 2: {At: length/4 + length}})
		if d := cmp.Diff([]time.Duration{length / 2, length / 2}, told); d != "" {
			t.Error(d)
		}
		raised := Steering{Budget: Budget{CPU: time.Minute, Wall: 4 * time.Minute}}
		held := Steering{Held: true}
		if d := cmp.Diff(map[uint64][]Steering{1: {raised, raised}, 2: {held, held, {}}}, p.steered); d != "" {
			t.Error(d)
		}
	})
}

func TestShellPanicOfThePort(t *testing.T) {
	p := &port{prepare: func(_ context.Context, j Job) Outcome {
		if j.ID == 1 {
			panic("in the port")
		}
		return Outcome{}
	}}
	onStage(t, Limits{Soft: 1}, p, func(t *testing.T, s *stage) {
		s.enqueue(1, run.Normal)
		s.enqueue(2, run.Normal)
		s.want(map[uint64]answer{1: {Code: fault.BugPanic}, 2: {}})
		if s.sys.Bugs() != 1 {
			t.Errorf("%d bugs", s.sys.Bugs())
		}
	})
}

// TestShellPanicOfTheQueue lets the actor panic over a job: its process dies first, then the job starts once more.
func TestShellPanicOfTheQueue(t *testing.T) {
	p := &port{}
	onStage(t, Limits{Soft: 1}, p, func(t *testing.T, s *stage) {
		go func() {
			o, err := kernel.Ask(t.Context(), s.ref, func(r kernel.Reply[Outcome]) Message {
				return Enqueue{Job: Job{ID: 1, Priority: run.Normal}, Reply: r}
			})
			s.answer(1, o, err)
		}()
		pass(length / 2)
		s.control(Inspect{Reply: kernel.ReplyFunc(func(inspect.Queue, error) { panic(errors.New("in a reply")) })})
		pass(time.Minute)
		s.want(map[uint64]answer{1: {At: length/2 + burial + length}})
		if p.starts[1] != 2 || s.sys.Bugs() != 1 {
			t.Errorf("started %v, %d bugs", p.starts, s.sys.Bugs())
		}
	})
}

// TestShellTicketsAreNotLost lets preparations succeed that nobody waits for any more: given up at the same moment, with
// their actor stopped, with the queue failed or stopped.
func TestShellTicketsAreNotLost(t *testing.T) {
	late := func() *port { // succeeds though it was told to stop
		p := &port{}
		p.prepare = func(ctx context.Context, _ Job) Outcome {
			<-ctx.Done()
			return p.success()
		}
		return p
	}
	for name, end := range map[string]func(s *stage){
		"cancel":     func(s *stage) { s.control(Cancel{Job: 1}) },
		"cancel all": func(s *stage) { s.control(CancelAll{}) },
		"stop":       func(*stage) {},
		"panic": func(s *stage) {
			s.control(Inspect{Reply: kernel.ReplyFunc(func(inspect.Queue, error) { panic(errors.New("in a reply")) })})
		},
	} {
		t.Run(name, func(t *testing.T) {
			onStage(t, Limits{}, late(), func(t *testing.T, s *stage) {
				s.enqueue(1, run.Normal)
				pass(length)
				end(s)
				pass(time.Minute)
			})
		})
		t.Run(name+" at the end", func(t *testing.T) {
			onStage(t, Limits{}, &port{}, func(t *testing.T, s *stage) {
				s.enqueue(1, run.Normal)
				pass(length / 2)
				gate := s.gate() // the news of the end waits
				end(s)
				pass(length)
				if s.port.held() != 1 {
					t.Errorf("%d tickets are held by the news", s.port.held())
				}
				close(gate)
				if name != "stop" {
					pass(time.Minute)
				}
			})
		})
	}
}

func TestShellStopLeavesNothing(t *testing.T) {
	p := &port{}
	onStage(t, Limits{Soft: 2}, p, func(t *testing.T, s *stage) {
		for id := uint64(1); id <= 3; id++ {
			s.enqueue(id, run.Normal)
		}
		pass(length / 2)
		if err := s.sys.Stop(context.Background()); err != nil {
			t.Error(err)
		}
		if p.live != 0 || p.most != 2 {
			t.Errorf("%d processes live, %d at a time", p.live, p.most)
		}
	})
}
