package host

import (
	"context"
	"errors"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/troupehost/troupe/actors/cache"
	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/jobs"
	"github.com/troupehost/troupe/actors/kernel"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/artifacts/db"
)

// stage is the jobs actor on the real kernel and a real journal, with a cache and a runner of the test's own.
type stage struct {
	jobs   kernel.Ref[jobs.Message]
	broken atomic.Bool // the disk
	stuck  chan *fault.Error
	asked  atomic.Int64 // runs

	mu     sync.Mutex
	next   uint64
	open   map[uint64]bool
	panics int // of Open that are still to come
}

// Open implements jobs.Runner.
func (s *stage) Open(context.Context, jobs.Record, bool) (cache.Request, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.next++
	s.open[s.next] = true
	if s.panics > 0 {
		s.panics--
		delete(s.open, s.next)
		panic("injected")
	}
	return cache.Request{ID: s.next}, nil
}

// Close implements jobs.Runner.
func (s *stage) Close(run uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.open[run] {
		panic("closed twice")
	}
	delete(s.open, run)
}

func (s *stage) opened() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.open)
}

// newStage answers runs with answer.
func newStage(t *testing.T, answer func(cache.Ask)) *stage {
	t.Helper()
	s := &stage{stuck: make(chan *fault.Error, 100), open: map[uint64]bool{}}
	j, shut := testJournal(t, filepath.Join(t.TempDir(), "data"), 64<<20, db.FS{Commit: func(_ string, commit func() error) error {
		if s.broken.Load() {
			return errors.New("no space left on device")
		}
		return commit()
	}})
	system, err := kernel.New(kernel.Config{Name: "test", Log: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := system.Stop(ctx); err != nil {
			t.Error(err)
		}
		shut()
	})
	c, err := kernel.Spawn(system, kernel.Options[cache.Message]{Name: "cache", New: func(*kernel.Ctx[cache.Message]) kernel.Handler[cache.Message] {
		return kernel.HandlerFunc[cache.Message](func(_ *kernel.Ctx[cache.Message], m cache.Message) {
			if ask, ok := m.(cache.Ask); ok {
				s.asked.Add(1)
				answer(ask)
			}
		})
	}})
	if err != nil {
		t.Fatal(err)
	}
	s.jobs, err = jobs.Spawn(system, jobs.Config{Journal: j, Runner: s, Cache: c, Stuck: func(why *fault.Error) { s.stuck <- why }})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *stage) submit(t *testing.T, id string) (run.Job, error) {
	t.Helper()
	return kernel.Ask(t.Context(), s.jobs, func(to kernel.Reply[run.Job]) jobs.Message {
		return jobs.Submit{Request: jobs.Request{ID: id, Tenant: "t", Priority: run.Normal, Body: &jobs.Body{Spec: []byte("s"), Code: []byte("c")}}, Reply: to}
	})
}

func (s *stage) watch(ctx context.Context, id string, seen int) (run.Job, error) {
	return kernel.Ask(ctx, s.jobs, func(to kernel.Reply[run.Job]) jobs.Message {
		return jobs.Watch{ID: id, Seen: seen, Watcher: uint64(time.Now().UnixNano()), Reply: to}
	})
}

// TestASettlementWaitsForTheDisk fills the disk while a job runs: nobody sees its end before that is on disk, it runs once, a
// warning stands meanwhile, and new jobs are refused.
func TestASettlementWaitsForTheDisk(t *testing.T) {
	release := make(chan struct{})
	s := newStage(t, func(a cache.Ask) {
		go func() {
			<-release
			a.Reply.Answer(cache.Answer{Outcome: run.Outcome{Stdout: []byte("out")}})
		}()
	})
	j, err := s.submit(t, "a")
	if err != nil {
		t.Fatal(err)
	}
	for j.State != run.JobRunning {
		if j, err = s.watch(t.Context(), "a", len(j.Events)); err != nil {
			t.Fatal(err)
		}
	}
	s.broken.Store(true)
	close(release)
	for range 3 { // the first try and two more
		if why := <-s.stuck; !errors.Is(why, fault.HostDiskFull) {
			t.Fatalf("the warning: %v", why)
		}
	}
	if now, err := s.watch(t.Context(), "a", 0); err != nil || now.State != run.JobRunning {
		t.Errorf("it is shown before it is on disk: %+v, %v", now, err)
	}
	if _, err := s.submit(t, "b"); !errors.Is(err, fault.HostDiskFull) {
		t.Errorf("a new job: %v", err)
	}
	s.broken.Store(false)
	if now, err := s.watch(t.Context(), "a", len(j.Events)); err != nil || now.State != run.JobSettled || s.asked.Load() != 1 {
		t.Errorf("%+v, %v, %d runs", now, err, s.asked.Load())
	}
	for why := range s.stuck {
		if why == nil {
			break
		}
	}
	if s.opened() != 0 {
		t.Errorf("%d runs are still open", s.opened())
	}
}

// TestTheActorComesBack has it panic while jobs are accepted and run: all end, and no run stays open.
func TestTheActorComesBack(t *testing.T) {
	s := newStage(t, func(a cache.Ask) { a.Reply.Answer(cache.Answer{}) })
	s.panics = 2
	var wg sync.WaitGroup
	for n := range 50 {
		wg.Go(func() {
			id := jobs.NewID(time.UnixMilli(int64(n)), [10]byte{})
			j, err := s.submit(t, id)
			for err == nil && j.State != run.JobSettled {
				j, err = s.watch(t.Context(), id, len(j.Events))
			}
			if errors.Is(err, fault.BugNoAnswer) { // both incarnations fell with it; it may be there
				return
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for deadline := time.After(10 * time.Second); s.opened() > 0; {
		select {
		case <-deadline:
			t.Fatalf("%d runs are still open", s.opened())
		case <-time.After(time.Millisecond):
		}
	}
}
