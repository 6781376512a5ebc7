package execute

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
	"github.com/troupehost/troupe/actors/kernel"
	"github.com/troupehost/troupe/actors/run"
)

const burial = 3 * time.Second // what a Close of the fake takes

// port is a fake of Workers. Without hooks, a start takes no time and a run a second, and a process lives until Close.
type port struct {
	start func(ctx context.Context) error
	run   func(ctx context.Context, p *proc, j Job) (run.Outcome, bool)
	watch Observer

	mu      sync.Mutex
	started int
	live    int
	most    int // live at a time
}

type proc struct {
	port *port
	dead chan struct{}
	once sync.Once
	reap sync.Once
}

func (p *port) Start(ctx context.Context, _ Binding) (Worker, error) {
	if p.start != nil {
		if err := p.start(ctx); err != nil {
			return nil, err
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.started++
	p.live++
	p.most = max(p.most, p.live)
	return &proc{port: p, dead: make(chan struct{})}, nil
}

func (p *port) count() (started, live, most int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.started, p.live, p.most
}

func (w *proc) ID() string            { return "fake" }
func (w *proc) PID() int              { return 7 }
func (w *proc) Dead() <-chan struct{} { return w.dead }
func (w *proc) die()                  { w.once.Do(func() { close(w.dead) }) }

func (w *proc) Run(ctx context.Context, j Job) (run.Outcome, bool) {
	if w.port.run != nil {
		return w.port.run(ctx, w, j)
	}
	select {
	case <-time.After(time.Second):
		return run.Outcome{Sandbox: "fake"}, true
	case <-ctx.Done():
		w.die()
		return run.Outcome{Fault: fault.New(fault.CanceledStopped, "fake", "", nil)}, false
	}
}

func (w *proc) Ride(ctx context.Context, j Job, _ IO) (run.Outcome, bool) { return w.Run(ctx, j) }

func (w *proc) Close() {
	w.reap.Do(func() {
		<-time.After(burial)
		w.die()
		w.port.mu.Lock()
		defer w.port.mu.Unlock()
		w.port.live--
	})
}

// stage is an execute actor in a bubble of virtual time.
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
		ref, err := Spawn(sys, Config{Limits: l, Workers: p, Observe: p.watch})
		if err != nil {
			t.Fatal(err)
		}
		s := &stage{t: t, sys: sys, port: p, ref: ref, answers: map[uint64]answer{}, begin: time.Now()}
		f(t, s)
		if err := sys.Stop(context.Background()); err != nil {
			t.Errorf("stop: %v", err)
		}
		if started, live, most := p.count(); live != 0 || most > max(l.Soft, l.Hard, 1) {
			t.Errorf("%d of %d processes live after System.Stop; %d at a time, limit %d", live, started, most, l.Soft)
		}
	})
}

func (s *stage) answer(id uint64, o run.Outcome, err error) {
	a := answer{At: time.Since(s.begin)}
	if err != nil {
		a.Code = fault.CodeOf(err)
	} else if o.Fault != nil {
		a.Code = o.Fault.Code
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if b, twice := s.answers[id]; twice {
		s.t.Errorf("run %d answered %v, then %v", id, b, a)
	}
	s.answers[id] = a
}

func (s *stage) enqueue(j Job) {
	s.t.Helper()
	if j.Priority == 0 {
		j.Priority = run.Normal
	}
	if err := s.ref.Send(Enqueue{Job: j, Reply: kernel.ReplyFunc(func(o run.Outcome, err error) { s.answer(j.Run, o, err) })}); err != nil {
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

func (s *stage) wantLive(want int) {
	s.t.Helper()
	synctest.Wait()
	if _, live, _ := s.port.count(); live != want {
		s.t.Errorf("%d processes live, want %d", live, want)
	}
}

func (s *stage) workers() int {
	s.t.Helper()
	v, err := kernel.Ask(s.t.Context(), s.ref, func(r kernel.Reply[Snapshot]) Message { return Inspect{Reply: r} })
	if err != nil {
		s.t.Error(err)
	}
	return len(v.Workers)
}

// pass lets virtual time pass.
func pass(d time.Duration) { <-time.After(d) }

func TestShellDeadlineAndIdleTimeTick(t *testing.T) {
	p := &port{run: func(ctx context.Context, w *proc, j Job) (run.Outcome, bool) {
		pass(10 * time.Second)
		return run.Outcome{}, true
	}}
	onStage(t, Limits{Soft: 1, Idle: time.Minute}, p, func(t *testing.T, s *stage) {
		s.enqueue(Job{Run: 1, Binding: binding(1)})
		s.enqueue(Job{Run: 2, Binding: binding(1), Deadline: time.Now().Add(2 * time.Second)})
		s.enqueue(Job{Run: 3, Binding: binding(1), Deadline: time.Now().Add(time.Second)})
		pass(20 * time.Second)
		s.want(map[uint64]answer{
			1: {At: 10 * time.Second},
			2: {Code: fault.CanceledDeadline, At: 2 * time.Second},
			3: {Code: fault.CanceledDeadline, At: time.Second},
		})
		pass(49 * time.Second)
		s.wantLive(1)
		pass(time.Second + burial)
		s.wantLive(0)
		if n := s.workers(); n != 0 {
			t.Errorf("%d workers after the idle time", n)
		}
	})
}

// TestShellSlotIsFreeWhenTheProcessIsReaped gives the only slot from one binding to another.
func TestShellSlotIsFreeWhenTheProcessIsReaped(t *testing.T) {
	onStage(t, Limits{Soft: 1}, &port{}, func(t *testing.T, s *stage) {
		s.enqueue(Job{Run: 1, Binding: binding(1)})
		s.enqueue(Job{Run: 2, Binding: binding(2)})
		pass(time.Minute)
		s.want(map[uint64]answer{1: {At: time.Second}, 2: {At: 2*time.Second + burial}})
	})
}

func TestShellCancelKillsTheProcess(t *testing.T) {
	onStage(t, Limits{Soft: 1}, &port{}, func(t *testing.T, s *stage) {
		s.enqueue(Job{Run: 1, Binding: binding(1)})
		pass(time.Second / 2)
		s.control(Cancel{Run: 1})
		pass(burial - time.Millisecond)
		s.want(map[uint64]answer{})
		pass(time.Minute)
		s.want(map[uint64]answer{1: {Code: fault.CanceledCaller, At: time.Second/2 + burial}})
		s.wantLive(0)
	})
}

// TestShellCancelDuringTheStart cancels a run whose process starts regardless, and is then nobody's.
func TestShellCancelDuringTheStart(t *testing.T) {
	p := &port{start: func(context.Context) error { pass(time.Second); return nil }}
	onStage(t, Limits{Soft: 1}, p, func(t *testing.T, s *stage) {
		s.enqueue(Job{Run: 1, Binding: binding(1)})
		s.enqueue(Job{Run: 2, Binding: binding(1)})
		pass(time.Second / 2)
		s.control(Cancel{Run: 1})
		pass(time.Minute)
		s.want(map[uint64]answer{1: {Code: fault.CanceledCaller, At: time.Second + burial}, 2: {At: 3*time.Second + burial}})
	})
}

// TestShellCancelThatOvertakes sends a Cancel after its Enqueue to a queue that is busy with something else.
func TestShellCancelThatOvertakes(t *testing.T) {
	onStage(t, Limits{Soft: 1}, &port{}, func(t *testing.T, s *stage) {
		gate := make(chan struct{})
		s.control(Inspect{Reply: kernel.ReplyFunc(func(Snapshot, error) { <-gate })})
		synctest.Wait()
		s.enqueue(Job{Run: 1, Binding: binding(1)})
		s.control(Cancel{Run: 1})
		close(gate)
		pass(time.Minute)
		s.want(map[uint64]answer{1: {Code: fault.CanceledCaller, At: burial}})
	})
}

func TestShellNoticesDeaths(t *testing.T) {
	var last *proc
	p := &port{}
	p.run = func(_ context.Context, w *proc, j Job) (run.Outcome, bool) {
		last = w
		pass(time.Second)
		if j.Run == 2 {
			w.die() // and the run does not notice
			synctest.Wait()
		}
		return run.Outcome{}, true
	}
	onStage(t, Limits{Soft: 1}, p, func(t *testing.T, s *stage) {
		s.enqueue(Job{Run: 1, Binding: binding(1)})
		pass(2 * time.Second)
		last.die() // idle
		pass(burial)
		s.wantLive(0)
		if n := s.workers(); n != 0 {
			t.Errorf("%d workers after the death of an idle one", n)
		}
		s.enqueue(Job{Run: 2, Binding: binding(1)})
		s.enqueue(Job{Run: 3, Binding: binding(1)})
		pass(time.Minute)
		s.want(map[uint64]answer{1: {At: time.Second}, 2: {At: 3*time.Second + burial}, 3: {At: 4*time.Second + 2*burial}})
	})
}

// TestShellStartFailures lets a start fail for want of a process, one panic, and one fail for another reason.
func TestShellStartFailures(t *testing.T) {
	n := 0
	p := &port{start: func(context.Context) error {
		switch n++; n {
		case 1:
			return fault.New(fault.HostSpawnFailed, "fake", "", nil)
		case 2:
			panic("in the port")
		case 3:
			return fault.New(fault.HostArtifactMissing, "fake", "", nil)
		}
		return nil
	}}
	onStage(t, Limits{Soft: 1}, p, func(t *testing.T, s *stage) {
		for id := uint64(1); id <= 3; id++ {
			s.enqueue(Job{Run: id, Binding: binding(1)})
		}
		pass(time.Minute)
		backoff := minSpawnBackoff
		s.want(map[uint64]answer{1: {Code: fault.BugPanic, At: backoff}, 2: {Code: fault.HostArtifactMissing, At: 2 * backoff}, 3: {At: 3*backoff + time.Second}})
		if s.sys.Bugs() != 1 {
			t.Errorf("%d bugs", s.sys.Bugs())
		}
	})
}

// TestShellPanicOfTheQueue lets the actor panic over a run: its process dies first, then the run starts once more.
func TestShellPanicOfTheQueue(t *testing.T) {
	onStage(t, Limits{Soft: 1}, &port{}, func(t *testing.T, s *stage) {
		go func() {
			o, err := kernel.Ask(t.Context(), s.ref, func(r kernel.Reply[run.Outcome]) Message {
				return Enqueue{Job: Job{Run: 1, Binding: binding(1), Priority: run.Normal}, Reply: r}
			})
			s.answer(1, o, err)
		}()
		pass(time.Second / 2)
		s.control(Inspect{Reply: kernel.ReplyFunc(func(Snapshot, error) { panic(errors.New("in a reply")) })})
		pass(burial)
		s.want(map[uint64]answer{})
		pass(time.Minute)
		s.want(map[uint64]answer{1: {At: time.Second/2 + burial + time.Second}})
		if started, _, _ := s.port.count(); started != 2 || s.sys.Bugs() != 1 {
			t.Errorf("%d processes started, %d bugs", started, s.sys.Bugs())
		}
	})
}

// TestShellStopLeavesNothing stops the system with processes that start, run and idle, and with a full queue.
func TestShellStopLeavesNothing(t *testing.T) {
	n := 0
	p := &port{}
	p.start = func(context.Context) error {
		p.mu.Lock()
		n++
		late := n == 3
		p.mu.Unlock()
		if late {
			pass(5 * time.Second)
		}
		return nil
	}
	onStage(t, Limits{Soft: 3}, p, func(t *testing.T, s *stage) {
		s.enqueue(Job{Run: 1, Binding: binding(1)})
		pass(2 * time.Second)
		s.enqueue(Job{Run: 2, Binding: binding(2)})
		synctest.Wait()
		s.enqueue(Job{Run: 3, Binding: binding(3)})
		synctest.Wait()
		s.enqueue(Job{Run: 4, Binding: binding(2)})
		pass(time.Second / 2)
		if err := s.sys.Stop(context.Background()); err != nil {
			t.Error(err)
		}
		if started, live, _ := p.count(); started != 3 || live != 0 {
			t.Errorf("%d of %d processes live", live, started)
		}
	})
}
