package cache_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/troupehost/troupe/actors/cache"
	"github.com/troupehost/troupe/actors/execute"
	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/actors/kernel"
	"github.com/troupehost/troupe/actors/prepare"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/artifacts"
)

// bar10Seeds is how many seeds run by default; TROUPE_SIM_SEEDS asks for others.
const bar10Seeds = 1000

// TestBar10NothingDeadlocks wires the real cache, prepare and execute actors on the real kernel, each with room for one
// message, to ports that fail, delay, die and panic. Requests of all kinds come and leave, priorities rise, actors panic and
// restart. Every request is answered once and in time, control messages are delivered whatever is full, no panic but those
// injected is seen, the system stops, and it leaves no process behind.
func TestBar10NothingDeadlocks(t *testing.T) {
	seeds := uint64(bar10Seeds)
	if n, err := strconv.ParseUint(os.Getenv("TROUPE_SIM_SEEDS"), 10, 64); err == nil {
		seeds = n
	}
	total := map[string]int{}
	for seed := range seeds {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, seed)
			w.play()
			for k, n := range w.answers {
				total[k] += n
			}
			total["control"] += int(w.controls.Load())
			total["panics"] += int(w.panics.Load())
		})
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
	// What never happens is not tested.
	for _, k := range []string{"ok", "control", "panics", string(fault.BusyQueueFull), string(fault.CanceledCaller), string(fault.HostSpawnFailed),
		string(fault.GuestTrap), string(fault.SuspectWorkerDied), string(fault.BugPanic)} {
		if seeds >= bar10Seeds && total[k] == 0 {
			t.Errorf("no %s in %d seeds: %v", k, seeds, total)
		}
	}
	t.Logf("%d seeds: %v", seeds, total)
}

// module is what the fake codes are.
var module = artifacts.Module{Exports: []artifacts.Export{{Name: "run", Kind: "func", Type: "() -> (i32)"}}}

const (
	bar10Keys     = 5
	bar10Requests = 16
	bar10Bound    = 10 * time.Minute // virtual, for each answer
	bar10Slow     = 300 * time.Millisecond
	bar10Crashes  = 3 // of each actor: it may restart five times a minute
)

type world struct {
	t    *testing.T
	seed uint64
	sys  *kernel.System

	prepare kernel.Ref[prepare.Message]
	execute kernel.Ref[execute.Message]
	cache   kernel.Ref[cache.Message]

	controls atomic.Int64
	panics   atomic.Uint64
	live     atomic.Int64

	mu      sync.Mutex
	draws   map[string]uint64
	crashes map[string]int
	stored  map[artifacts.Key]bool
	tickets uint64
	answers map[string]int
}

// random returns a source for the next decision of one kind, whatever goroutine takes it.
func (w *world) random(kind string) *rand.Rand {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.draws[kind]++
	h := uint64(14695981039346656037)
	for _, b := range []byte(kind) {
		h = (h ^ uint64(b)) * 1099511628211
	}
	return rand.New(rand.NewPCG(w.seed, h+w.draws[kind]))
}

// crash reports whether an actor may crash once more.
func (w *world) crash(actor string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.crashes[actor]++
	return w.crashes[actor] <= bar10Crashes
}

func (w *world) panic(where string) {
	w.panics.Add(1)
	panic(errors.New(where))
}

// slow waits, up to the end of ctx.
func slow(ctx context.Context, r *rand.Rand) error {
	select {
	case <-time.After(time.Duration(r.Int64N(int64(bar10Slow)))):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func newWorld(t *testing.T, seed uint64) *world {
	w := &world{t: t, seed: seed, draws: map[string]uint64{}, crashes: map[string]int{}, stored: map[artifacts.Key]bool{}, answers: map[string]int{}}
	var err error
	if w.sys, err = kernel.New(kernel.Config{}); err != nil {
		t.Fatal(err)
	}
	r := w.random("limits")
	soft := 1 + r.IntN(2)
	if w.prepare, err = prepare.Spawn(w.sys, prepare.Config{Preparer: &preparer{w}, Mailbox: 1,
		Limits: prepare.Limits{Queue: 1 + r.IntN(6), Soft: 1, Hard: 2}}); err != nil {
		t.Fatal(err)
	}
	if w.execute, err = execute.Spawn(w.sys, execute.Config{Workers: &workers{w}, Mailbox: 1,
		Limits: execute.Limits{Queue: 1 + r.IntN(6), Soft: soft, Hard: soft + r.IntN(2), Idle: time.Second, SpawnWait: 500 * time.Millisecond}}); err != nil {
		t.Fatal(err)
	}
	if w.cache, err = cache.Spawn(w.sys, cache.Config{Store: &store{w}, Prepare: w.prepare, Execute: w.execute, Mailbox: 1, PruneEvery: 2 * time.Second,
		Limits: cache.Limits{Cooldown: time.Second, Persist: time.Second, Preparing: 1 + r.IntN(6), Policy: artifacts.PrunePolicy{LimitBytes: 150, Age: time.Minute}}}); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *world) play() {
	var wg sync.WaitGroup
	for id := uint64(1); id <= bar10Requests; id++ {
		wg.Go(func() { w.request(id) })
		wg.Go(func() { w.meddle(id) })
	}
	done := make(chan struct{})
	go func() {
		wg.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(3 * bar10Bound):
		w.t.Fatalf("no end; the actors: %+v", w.sys.Inspect())
	}
	stop := w.random("stop")
	_ = slow(context.Background(), stop)
	if err := w.sys.Stop(context.Background()); err != nil {
		w.t.Errorf("stop: %v", err)
	}
	synctest.Wait()
	if left := w.sys.Inspect(); len(left) > 0 || w.sys.Err() != nil {
		w.t.Errorf("left: %+v, given up: %v", left, w.sys.Err())
	}
	if n := w.live.Load(); n != 0 {
		w.t.Errorf("%d processes are left", n)
	}
	if got, want := w.sys.Bugs(), w.panics.Load(); got != want {
		w.t.Errorf("%d bugs, %d panics were injected", got, want)
	}
	<-time.After(time.Minute) // the library under the kernel counts its dead letters for some seconds
}

// request asks for something, and waits for the one answer.
func (w *world) request(id uint64) {
	r := w.random(fmt.Sprint("request", id))
	<-time.After(time.Duration(r.Int64N(int64(5 * time.Second))))
	q := cache.Request{ID: id, Kind: [...]cache.Kind{cache.Execute, cache.Execute, cache.Precheck, cache.HeadsUp}[r.IntN(4)], Key: artifacts.Key{byte(1 + r.IntN(bar10Keys))}, Tenant: fmt.Sprint("tenant-", r.IntN(2)),
		Priority: run.Priority(1 + r.IntN(4)), Budget: prepare.Budget{CPU: time.Duration(1+r.IntN(2)) * time.Minute, Wall: time.Hour, MemoryBytes: 1 << 30},
		Entry: run.Entry{Mode: run.Invoke, Name: "run"}, Limits: run.Limits{}.WithDefaults(), By: "test"}
	if r.IntN(4) == 0 {
		q.Deadline = time.Now().Add(time.Duration(r.Int64N(int64(time.Second))))
	}
	ctx := context.Background()
	if r.IntN(3) == 0 {
		c, cancel := context.WithCancel(ctx)
		defer time.AfterFunc(time.Duration(r.Int64N(int64(time.Second))), cancel).Stop()
		ctx = c
	}
	begin := time.Now()
	a, err := kernel.AskWithdrawing(ctx, w.cache, func(to kernel.Reply[cache.Answer]) cache.Message { return cache.Ask{Request: q, Reply: to} },
		cache.Message(cache.Depart{ID: id}), bar10Bound)
	if d := time.Since(begin); d >= bar10Bound {
		w.t.Errorf("request %d (%+v) took %v: %v", id, q, d, err)
	}
	code := "ok"
	switch {
	case err != nil:
		code = string(fault.CodeOf(err))
	case a.Outcome.Fault != nil:
		code = string(a.Outcome.Fault.Code)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.answers[code]++
}

// meddle sends control messages, some of which make the actor panic that handles them.
func (w *world) meddle(id uint64) {
	r := w.random(fmt.Sprint("meddle", id))
	<-time.After(time.Duration(r.Int64N(int64(6 * time.Second))))
	var err error
	switch r.IntN(6) {
	case 0:
		err = w.cache.Control(cache.Raise{ID: id, Priority: run.Critical, By: "test"})
	case 1:
		err = w.execute.Control(execute.Raise{Run: id, Priority: run.Critical})
	case 2:
		err = w.execute.Control(execute.Release{Key: artifacts.Key{byte(1 + r.IntN(bar10Keys))}})
	case 3:
		err = w.cache.Send(cache.Persist{})
	case 4: // work: it may be refused
		_, _ = kernel.Ask(context.Background(), w.cache, func(to kernel.Reply[struct{}]) cache.Message {
			return cache.Evict{Key: artifacts.Key{byte(1 + r.IntN(bar10Keys))}, Reply: to}
		})
	case 5:
		_, _ = kernel.Ask(context.Background(), w.cache, func(to kernel.Reply[struct{}]) cache.Message {
			return cache.Pin{Key: artifacts.Key{byte(1 + r.IntN(bar10Keys))}, Tenant: "tenant-0", Off: r.IntN(2) == 0, Reply: to}
		})
	}
	if err != nil && !errors.Is(err, fault.BusyQueueFull) {
		w.t.Errorf("control: %v", err)
	}
	which := [...]string{"prepare", "execute", "cache"}[r.IntN(3)]
	die := r.IntN(4) == 0 && w.crash(which)
	got := make(chan error, 1)
	answer := func(err error) {
		if die {
			w.panic("in a reply")
		}
		got <- err
	}
	before := w.incarnation(which)
	switch which {
	case "prepare":
		err = w.prepare.Control(prepare.Inspect{Reply: kernel.ReplyFunc(func(_ inspect.Queue, err error) { answer(err) })})
	case "execute":
		err = w.execute.Control(execute.Inspect{Reply: kernel.ReplyFunc(func(_ execute.Snapshot, err error) { answer(err) })})
	case "cache":
		err = w.cache.Control(cache.List{Reply: kernel.ReplyFunc(func(_ []inspect.Artifact, err error) { answer(err) })})
	}
	if err != nil {
		w.t.Errorf("control of %s: %v", which, err)
	}
	if die {
		return
	}
	w.controls.Add(1)
	select {
	case err := <-got:
		if err != nil {
			w.t.Errorf("control of %s was answered %v", which, err)
		}
	case <-time.After(time.Minute):
		// A cache that has not read its index keeps it, and forgets it if it crashes then.
		if which != "cache" || w.incarnation(which) == before {
			w.t.Errorf("control of %s was not handled", which)
		}
	}
}

func (w *world) incarnation(actor string) uint64 {
	for _, a := range w.sys.Inspect() {
		if strings.HasSuffix(a.Path, "/"+actor) {
			return a.Incarnation
		}
	}
	return 0
}

type preparer struct{ *world }

// Prepare implements prepare.Preparer.
func (p *preparer) Prepare(ctx context.Context, j prepare.Job, passed func(prepare.Budget)) prepare.Outcome {
	p.live.Add(1)
	defer p.live.Add(-1)
	r := p.random("prepare")
	if len(j.Marks) > 0 && r.IntN(2) == 0 {
		passed(j.Marks[0])
	}
	if err := slow(ctx, r); err != nil {
		return prepare.Outcome{Fault: fault.From(err)}
	}
	bad := func(c fault.Code) prepare.Outcome {
		return prepare.Outcome{Fault: fault.New(c, "prepare", "", nil), CPU: time.Second}
	}
	switch r.IntN(20) {
	case 0:
		return bad(fault.GuestInvalid)
	case 1:
		return bad(fault.SuspectPrepareDied)
	case 2:
		return bad(fault.HostSpawnFailed)
	case 3:
		return bad(fault.GuestPrepareCPU)
	case 4:
		p.panic("in a preparation")
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tickets++
	return prepare.Outcome{Ticket: p.tickets, CPU: time.Second, Meta: artifacts.Meta{Key: j.Key, Code: j.Code, Module: module, Parts: []artifacts.Part{{Bytes: 60}}}}
}

// Steer implements prepare.Preparer.
func (p *preparer) Steer(uint64, prepare.Steering) string {
	return [...]string{"", "none", "nice"}[p.random("steer").IntN(3)]
}

// Discard implements prepare.Preparer.
func (p *preparer) Discard(uint64) {}

type workers struct{ *world }

// Start implements execute.Workers.
func (p *workers) Start(ctx context.Context, _ execute.Binding) (execute.Worker, error) {
	r := p.random("start")
	if err := slow(ctx, r); err != nil {
		return nil, err
	}
	switch r.IntN(12) {
	case 0, 1, 2, 6:
		return nil, fault.New(fault.HostSpawnFailed, "start", "", nil)
	case 3:
		return nil, fault.New(fault.HostArtifactMissing, "start", "", nil)
	case 4:
		return nil, fault.New(fault.SuspectArtifact, "start", "", nil)
	case 5:
		p.panic("in a start")
	}
	p.live.Add(1)
	return &worker{world: p.world, dead: make(chan struct{})}, nil
}

type worker struct {
	*world
	dead chan struct{}
	once sync.Once
	reap sync.Once
}

func (p *worker) ID() string            { return "fake" }
func (p *worker) PID() int              { return 7 }
func (p *worker) Dead() <-chan struct{} { return p.dead }
func (p *worker) die()                  { p.once.Do(func() { close(p.dead) }) }

// Ride implements execute.Worker.
func (p *worker) Ride(ctx context.Context, j execute.Job, _ execute.IO) (run.Outcome, bool) {
	return p.Run(ctx, j)
}

// Run implements execute.Worker.
func (p *worker) Run(ctx context.Context, _ execute.Job) (run.Outcome, bool) {
	r := p.random("run")
	if err := slow(ctx, r); err != nil {
		p.die()
		return run.Outcome{Fault: fault.From(err)}, false
	}
	switch r.IntN(12) {
	case 0:
		p.die()
		return run.Outcome{Fault: fault.New(fault.SuspectWorkerDied, "run", "", nil)}, false
	case 1:
		return run.Outcome{Fault: fault.New(fault.GuestTrap, "run", "", nil)}, true
	case 2:
		return run.Outcome{Fault: fault.New(fault.SuspectArtifact, "run", "", nil)}, false
	case 3:
		p.panic("in a run")
	case 4:
		p.die() // and nobody has noticed
	case 5:
		time.AfterFunc(time.Duration(r.Int64N(int64(bar10Slow))), p.die) // when it is idle, or in the next run
	}
	return run.Outcome{}, true
}

// Close implements execute.Worker.
func (p *worker) Close() {
	p.reap.Do(func() {
		_ = slow(context.Background(), p.random("close"))
		p.die()
		p.live.Add(-1)
	})
}

type store struct{ *world }

// op takes its time, and fails or panics now and then.
func (s *store) op(kind string) error {
	r := s.random(kind)
	_ = slow(context.Background(), r)
	switch r.IntN(24) {
	case 0, 1:
		return fault.New(fault.HostDiskIO, kind, "", nil)
	case 2:
		if s.crash("cache") {
			s.panic("in the store")
		}
	}
	return nil
}

func (s *store) set(k artifacts.Key, there bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if delete(s.stored, k); there {
		s.stored[k] = true
	}
}

// Index implements cache.Store.
func (s *store) Index(context.Context) ([]cache.Entry, error) {
	if err := s.op("index"); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []cache.Entry
	for _, k := range slices.SortedFunc(maps.Keys(s.stored), func(a, b artifacts.Key) int { return slices.Compare(a[:], b[:]) }) {
		out = append(out, cache.Entry{Key: k, Bytes: 60, Meta: artifacts.Meta{Key: k, Module: module}, LastNeeded: time.Now()})
	}
	return out, nil
}

// Put implements cache.Store.
func (s *store) Put(_ context.Context, m artifacts.Meta, _ uint64, memoryOnly bool) (int64, error) {
	if err := s.op("put"); err != nil || memoryOnly {
		return 0, err
	}
	s.set(m.Key, true)
	return 60, nil
}

// PutAgain implements cache.Store.
func (s *store) PutAgain(_ context.Context, k artifacts.Key) (int64, error) {
	if err := s.op("again"); err != nil {
		return 0, err
	}
	s.set(k, true)
	return 60, nil
}

// Describe implements cache.Store.
func (s *store) Describe(_ context.Context, k artifacts.Key) (artifacts.Meta, error) {
	return artifacts.Meta{Key: k, Module: module}, s.op("describe")
}

// Discard implements cache.Store.
func (s *store) Discard(uint64) {}

// PutFailure implements cache.Store.
func (s *store) PutFailure(context.Context, artifacts.Key, artifacts.Failure) error {
	return s.op("failure")
}

// Delete implements cache.Store.
func (s *store) Delete(_ context.Context, keys []artifacts.Key) ([]artifacts.Key, error) {
	if err := s.op("delete"); err != nil {
		return keys, err
	}
	for _, k := range keys {
		s.set(k, false)
	}
	return nil, nil
}

// SetOverLimit implements cache.Store.
func (s *store) SetOverLimit(bool) {}

// Touch implements cache.Store.
func (s *store) Touch(artifacts.Key, time.Time) {}

// Verify implements cache.Store.
func (s *store) Verify(context.Context, artifacts.Key) error { return s.op("verify") }

// Pin implements cache.Store.
func (s *store) Pin(context.Context, string, artifacts.Key, bool) error { return s.op("pin") }
