package cache

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/troupehost/troupe/actors/execute"
	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/actors/kernel"
	"github.com/troupehost/troupe/actors/prepare"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/artifacts"
)

const storeTime = time.Second // what an operation of the fake store takes

// fakeStore writes down what it is asked to do, and finds out whether two operations meet.
type fakeStore struct {
	mu      sync.Mutex
	log     []string
	busy    bool
	met     bool
	entries []Entry
}

func (f *fakeStore) op(format string, args ...any) {
	f.mu.Lock()
	f.met = f.met || f.busy
	f.busy = true
	f.log = append(f.log, fmt.Sprintf(format, args...))
	f.mu.Unlock()
	<-time.After(storeTime)
	f.mu.Lock()
	f.busy = false
	f.mu.Unlock()
}

func (f *fakeStore) Index(context.Context) ([]Entry, error) {
	f.op("index")
	return f.entries, nil
}

func (f *fakeStore) Put(_ context.Context, m artifacts.Meta, ticket uint64, memoryOnly bool) (int64, error) {
	f.op("put %x ticket %d memory only %v", m.Key[:1], ticket, memoryOnly)
	return 60, nil
}

func (f *fakeStore) PutAgain(_ context.Context, k artifacts.Key) (int64, error) {
	f.op("put again %x", k[:1])
	return 60, nil
}

func (f *fakeStore) Describe(_ context.Context, k artifacts.Key) (artifacts.Meta, error) {
	return artifacts.Meta{Key: k, Module: module}, nil
}

func (f *fakeStore) Discard(ticket uint64) { f.note("discard %d", ticket) }

func (f *fakeStore) note(format string, args ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.log = append(f.log, fmt.Sprintf(format, args...))
}

func (f *fakeStore) PutFailure(_ context.Context, k artifacts.Key, _ artifacts.Failure) error {
	f.op("failure %x", k[:1])
	return nil
}

func (f *fakeStore) Delete(_ context.Context, keys []artifacts.Key) ([]artifacts.Key, error) {
	for _, k := range keys {
		f.op("delete %x", k[:1])
	}
	return nil, nil
}

func (f *fakeStore) SetOverLimit(bool) {}

func (f *fakeStore) Touch(artifacts.Key, time.Time) {}

func (f *fakeStore) Verify(_ context.Context, k artifacts.Key) error {
	f.op("verify %x", k[:1])
	return nil
}

func (f *fakeStore) Pin(_ context.Context, tenant string, k artifacts.Key, off bool) error {
	f.op("pin %x %s off %v", k[:1], tenant, off)
	return nil
}

func (f *fakeStore) want(t *testing.T, want ...string) {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	if d := cmp.Diff(want, f.log); d != "" || f.met {
		t.Errorf("operations met: %v; (-want +got)\n%s", f.met, d)
	}
	f.log = nil
}

// stage is a cache among fakes. Preparations take a minute; so do runs, of which canceled ones end at once.
type stage struct {
	t       *testing.T
	sys     *kernel.System
	store   *fakeStore
	cache   kernel.Ref[Message]
	prepare kernel.Ref[prepare.Message]
	execute kernel.Ref[execute.Message]
	begin   time.Time

	mu       sync.Mutex
	canceled []string
	enqueued []prepare.Enqueue
	raised   []prepare.Raise
	lifted   []execute.Raise
}

func (s *stage) cancel(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.canceled = append(s.canceled, fmt.Sprintf(format, args...))
}

type jobDone struct {
	prepare.Message
	job prepare.Enqueue
}

type runDone struct {
	execute.Message
	run uint64
}

func onStage(t *testing.T, cfg Config, test func(t *testing.T, s *stage)) {
	synctest.Test(t, func(t *testing.T) {
		sys, err := kernel.New(kernel.Config{})
		if err != nil {
			t.Fatal(err)
		}
		s := &stage{t: t, sys: sys, store: &fakeStore{}, begin: time.Now()}
		for n := range byte(3) {
			e := one(n + 1)
			e.LastNeeded = s.begin
			s.store.entries = append(s.store.entries, e)
		}
		s.prepare = spawn(t, sys, "prepare", func(c *kernel.Ctx[prepare.Message], m prepare.Message) {
			switch m := m.(type) {
			case prepare.Inspect:
				panic("crash")
			case prepare.Raise:
				s.mu.Lock()
				s.raised = append(s.raised, m)
				s.mu.Unlock()
			case prepare.Enqueue:
				s.mu.Lock()
				s.enqueued = append(s.enqueued, m)
				s.mu.Unlock()
				c.After(time.Minute, jobDone{job: m})
			case jobDone:
				j := m.job.Job
				m.job.Reply.Answer(prepare.Outcome{Ticket: 7, Meta: artifacts.Meta{Key: j.Key, Module: module, Parts: []artifacts.Part{{Bytes: 60}}}})
			case prepare.CancelAll:
				s.cancel("all")
				m.Reply.Answer(struct{}{})
			case prepare.Cancel:
				s.cancel("job")
			}
		})
		runs := map[uint64]kernel.Reply[run.Outcome]{}
		end := func(id uint64, err error) {
			if r, ok := runs[id]; ok && err != nil {
				r.Fail(err)
			} else if ok {
				r.Answer(run.Outcome{})
			}
			delete(runs, id)
		}
		s.execute = spawn(t, sys, "execute", func(c *kernel.Ctx[execute.Message], m execute.Message) {
			switch m := m.(type) {
			case execute.Enqueue:
				runs[m.Job.Run] = m.Reply
				c.After(time.Minute, runDone{run: m.Job.Run})
			case runDone:
				end(m.run, nil)
			case execute.Raise:
				s.mu.Lock()
				s.lifted = append(s.lifted, m)
				s.mu.Unlock()
			case execute.Cancel:
				s.cancel("run %d", m.Run)
				end(m.Run, fault.New(fault.CanceledCaller, "", "", nil))
			}
		})
		cfg.Store, cfg.Prepare, cfg.Execute = s.store, s.prepare, s.execute
		if s.cache, err = Spawn(sys, cfg); err != nil {
			t.Fatal(err)
		}
		test(t, s)
		if err := sys.Stop(context.Background()); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		if left := sys.Inspect(); len(left) != 0 {
			t.Errorf("left: %v", left)
		}
	})
}

func spawn[M any](t *testing.T, p kernel.Parent, name string, f func(*kernel.Ctx[M], M)) kernel.Ref[M] {
	t.Helper()
	r, err := kernel.Spawn(p, kernel.Options[M]{Name: name, New: func(*kernel.Ctx[M]) kernel.Handler[M] { return kernel.HandlerFunc[M](f) }})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func (s *stage) request(id uint64, k byte, kind Kind) Request {
	return Request{ID: id, Kind: kind, Key: artifacts.Key{k}, Priority: run.Normal, Budget: loose,
		Entry: run.Entry{Mode: run.Invoke, Name: "run"}, Limits: run.Limits{}.WithDefaults()}
}

func (s *stage) ask(ctx context.Context, r Request) (Answer, error) {
	return kernel.AskWithdrawing(ctx, s.cache, func(to kernel.Reply[Answer]) Message { return Ask{Request: r, Reply: to} },
		Message(Depart{ID: r.ID}), time.Hour)
}

func (s *stage) evict(k byte) error {
	_, err := kernel.Ask(context.Background(), s.cache, func(to kernel.Reply[struct{}]) Message { return Evict{Key: artifacts.Key{k}, Reply: to} })
	return err
}

// crash makes the cache panic: it answers to somebody who cannot bear it.
func (s *stage) crash() {
	_ = s.cache.Send(List{Reply: kernel.ReplyFunc(func([]inspect.Artifact, error) { panic("crash") })})
}

func TestShellLeadsARequestThrough(t *testing.T) {
	onStage(t, Config{}, func(t *testing.T, s *stage) {
		a, err := s.ask(context.Background(), s.request(1, 9, Execute))
		if err != nil || a.Outcome.Fault != nil || a.Hit {
			t.Errorf("%+v, %v", a, err)
		}
		if d := time.Since(s.begin); d != 2*time.Minute+2*storeTime {
			t.Errorf("it took %v", d)
		}
		s.store.want(t, "index", "put 09 ticket 7 memory only false")
	})
}

func TestShellKeepsStoreOperationsInOrder(t *testing.T) {
	onStage(t, Config{}, func(t *testing.T, s *stage) {
		var wg sync.WaitGroup
		for n := range byte(3) {
			wg.Go(func() {
				<-time.After(storeTime + time.Duration(n)*time.Millisecond) // after the index
				if err := s.evict(n + 1); err != nil {
					t.Errorf("evict %d: %v", n+1, err)
				}
				if d := time.Since(s.begin); d < time.Duration(n+2)*storeTime {
					t.Errorf("evict %d was answered after %v, before it was done", n+1, d)
				}
			})
		}
		wg.Wait()
		s.store.want(t, "index", "delete 01", "delete 02", "delete 03")
	})
}

func TestShellRestarts(t *testing.T) {
	onStage(t, Config{}, func(t *testing.T, s *stage) {
		<-time.After(2 * storeTime)
		answers := make(chan error, 1)
		go func() {
			_, err := s.ask(context.Background(), s.request(1, 9, Precheck))
			answers <- err
		}()
		synctest.Wait()
		go func() { _ = s.evict(1) }()
		synctest.Wait()
		s.crash()
		if err := <-answers; err != nil {
			t.Errorf("a request that the first incarnation had: %v", err)
		}
		// The removal ends before the second incarnation reads the index.
		if got := s.store.log; len(got) < 3 || !slices.Equal(got[:3], []string{"index", "delete 01", "index"}) {
			t.Errorf("%q", got)
		}
		if !slices.Equal(s.canceled, []string{"all", "all"}) {
			t.Errorf("canceled %v", s.canceled)
		}
	})
}

func TestShellStopsWhenEverythingIsDone(t *testing.T) {
	onStage(t, Config{}, func(t *testing.T, s *stage) {
		<-time.After(2 * storeTime)
		for n := range byte(3) {
			_ = s.cache.Send(Evict{Key: artifacts.Key{n + 1}})
		}
		synctest.Wait()
		begin := time.Now()
		if err := s.sys.Stop(context.Background()); err != nil {
			t.Error(err)
		}
		if d := time.Since(begin); d != 3*storeTime {
			t.Errorf("stopped after %v", d)
		}
		s.store.want(t, "index", "delete 01", "delete 02", "delete 03")
	})
}

func TestShellPrunes(t *testing.T) {
	onStage(t, Config{PruneEvery: time.Hour, Limits: Limits{Policy: artifacts.PrunePolicy{Age: 90 * time.Minute}}}, func(t *testing.T, s *stage) {
		<-time.After(time.Hour + time.Minute)
		s.store.want(t, "index")
		<-time.After(time.Hour)
		s.store.want(t, "delete 01", "delete 02", "delete 03")
	})
}

func TestShellWithdraws(t *testing.T) {
	onStage(t, Config{}, func(t *testing.T, s *stage) {
		for n, at := range []time.Duration{0, storeTime / 2, 2 * storeTime, 30 * time.Second} { // before, during and after the index
			ctx, cancel := context.WithTimeout(context.Background(), at)
			begin := time.Now()
			_, err := s.ask(ctx, s.request(uint64(10+n), 1, Execute))
			cancel()
			if !errors.Is(err, fault.Canceled) || time.Since(begin) > at+storeTime {
				t.Errorf("left after %v: %v after %v", at, err, time.Since(begin))
			}
		}
		if !slices.Equal(s.canceled, []string{"all", "run 12", "run 13"}) && !slices.Equal(s.canceled, []string{"all", "run 11", "run 12", "run 13"}) {
			t.Errorf("canceled %v", s.canceled)
		}
	})
}
