package cache

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/kernel"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/artifacts"
)

// told writes down what an observer is told.
type told struct {
	mu  sync.Mutex
	log []string
}

func (o *told) note(format string, args ...any) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.log = append(o.log, fmt.Sprintf(format, args...))
}

func (o *told) Asked(k Kind, hit bool) { o.note("asked %d hit %v", k, hit) }
func (o *told) Answered(k Kind, f *fault.Error) {
	if f == nil {
		o.note("answered %d ok", k)
	} else {
		o.note("answered %d %s", k, f.Code)
	}
}
func (o *told) Removed(reason string, n int, bytes int64) {
	o.note("removed %d %s %d", n, reason, bytes)
}
func (o *told) Retried(f *fault.Error) { o.note("retried %s", f.Code) }
func (o *told) Quarantined()           { o.note("quarantined") }

func (o *told) want(t *testing.T, want ...string) {
	t.Helper()
	o.mu.Lock()
	defer o.mu.Unlock()
	if d := cmp.Diff(want, o.log); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
	o.log = nil
}

func TestObserverIsTold(t *testing.T) {
	o := &told{}
	cfg := Config{Observe: o, PruneEvery: time.Hour, Limits: Limits{Policy: artifacts.PrunePolicy{Age: 90 * time.Minute}}}
	onStage(t, cfg, func(t *testing.T, s *stage) {
		for id, r := range []Request{s.request(0, 9, Precheck), s.request(0, 1, Execute)} {
			r.ID = uint64(id + 1)
			if _, err := s.ask(t.Context(), r); err != nil {
				t.Fatal(err)
			}
		}
		r := s.request(3, 8, Execute)
		r.NoCode = true
		if _, err := s.ask(t.Context(), r); err == nil {
			t.Error("there is no code")
		}
		o.want(t, "asked 2 hit false", "answered 2 ok", "asked 1 hit true", "answered 1 ok", "answered 1 caller.not_found")
		if err := s.evict(2); err != nil {
			t.Fatal(err)
		}
		o.want(t, "removed 1 operator 60")
		<-time.After(3 * time.Hour)
		o.want(t, "removed 1 age 60", "removed 1 age 60", "removed 1 age 60")
	})
}

// TestEachRetryIsTold has a worker die under a run, and a preparation fail that is tried again.
func TestEachRetryIsTold(t *testing.T) {
	var codes []fault.Code
	s, now := NewState(Limits{}, 1), time.Unix(1e9, 0)
	step := func(m Message) {
		for _, e := range s.Step(now, m) {
			if r, ok := e.(Retried); ok {
				codes = append(codes, r.Fault.Code)
			}
		}
	}
	died := fault.New(fault.SuspectWorkerDied, "", "", nil)
	there := one(1)
	there.LastNeeded = now
	step(indexed{entries: []Entry{there}})
	ask := func(id uint64, k byte) {
		step(Ask{Request: Request{ID: id, Kind: Execute, Key: artifacts.Key{k}, Priority: run.Normal, Budget: loose,
			Entry: run.Entry{Mode: run.Invoke, Name: "run"}, Limits: run.Limits{}.WithDefaults()}, Reply: kernel.ReplyFunc(func(Answer, error) {})})
	}
	ask(1, 1)
	step(described{key: artifacts.Key{1}, gen: s.entries[artifacts.Key{1}].gen, meta: artifacts.Meta{Module: module}})
	step(executed{id: 1, outcome: run.Outcome{Fault: died}})
	step(executed{id: 1, outcome: run.Outcome{Fault: died}}) // once is enough
	ask(2, 5)
	gen := s.entries[artifacts.Key{5}].gen
	m := prepared{key: artifacts.Key{5}, gen: gen}
	m.outcome.Fault = fault.New(fault.SuspectPrepareDied, "", "", nil)
	step(m)
	now = now.Add(time.Hour)
	ask(3, 5)
	if want := []fault.Code{fault.SuspectWorkerDied, fault.SuspectPrepareDied}; !slices.Equal(codes, want) {
		t.Errorf("retried %v, want %v", codes, want)
	}
}
