package chain_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"github.com/troupehost/troupe/actors/chain"
	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/actors/kernel"
	"github.com/troupehost/troupe/chainbridge/fake"
)

// memory is a store that outlives actors.
type memory struct {
	mu      sync.Mutex
	rows    map[uint64]*row
	history map[uint64]chain.Record
	keys    map[string]uint64
	mark    chain.Mark
	last    uint64
	fail    error
}

func newMemory() *memory {
	return &memory{rows: map[uint64]*row{}, history: map[uint64]chain.Record{}, keys: map[string]uint64{}}
}

func (m *memory) set(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fail = err
}

func (m *memory) Load(context.Context) (chain.Saved, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := chain.Saved{Mark: m.mark, Next: m.last + 1}
	for _, n := range slices.Sorted(maps.Keys(m.rows)) {
		s.Records = append(s.Records, m.rows[n].record)
	}
	return s, m.fail
}

func (m *memory) Add(_ context.Context, r chain.Record, call chain.Call) (*chain.Record, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if old := m.find(r.Key); old != nil {
		return old, nil
	}
	if m.fail == nil {
		m.rows[r.Number], m.keys[r.Key], m.last = &row{record: r, call: call}, r.Number, max(m.last, r.Number)
	}
	return nil, m.fail
}

func (m *memory) Save(_ context.Context, r chain.Record, tx []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fail == nil {
		m.rows[r.Number].record, m.rows[r.Number].tx = r, tx
	}
	return m.fail
}

func (m *memory) Finish(_ context.Context, r chain.Record) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fail == nil {
		delete(m.rows, r.Number)
		m.history[r.Number] = r
	}
	return m.fail
}

func (m *memory) SaveMark(_ context.Context, mark chain.Mark) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fail == nil {
		m.mark = mark
	}
	return m.fail
}

func (m *memory) Call(_ context.Context, n uint64) (chain.Call, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.rows[n].call, m.fail
}

func (m *memory) Tx(_ context.Context, n uint64) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.rows[n] == nil {
		return nil, fault.New(fault.CallerNotFound, "", "", nil)
	}
	return m.rows[n].tx, m.fail
}

func (m *memory) Find(_ context.Context, key string) (*chain.Record, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.find(key), m.fail
}

func (m *memory) find(key string) *chain.Record {
	n, ok := m.keys[key]
	if !ok {
		return nil
	}
	if r, ok := m.history[n]; ok {
		return &r
	}
	r := m.rows[n].record
	return &r
}

func (m *memory) History(_ context.Context, after uint64, newest bool, limit int) (page []chain.Record, next uint64, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, n := range slices.Sorted(maps.Keys(m.history)) {
		if n > after && len(page) < limit {
			page = append(page, m.history[n])
		}
	}
	return page, 0, m.fail
}

func (m *memory) Trim(_ context.Context, keep int) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for n, r := range m.history {
		if n+uint64(keep) <= m.last {
			delete(m.history, n)
			delete(m.keys, r.Key)
		}
	}
	return m.fail
}

// stage has an actor and a fake chain, in virtual time. A block is made each second.
type stage struct {
	t     *testing.T
	sys   *kernel.System
	ref   kernel.Ref[chain.Message]
	chain *fake.Chain
	disk  *memory
	key   fake.Key
	cfg   chain.Config
	bugs  uint64 // that are expected

	mu    sync.Mutex
	stuck []fault.Code
}

const second = time.Second

func onStage(t *testing.T, finality uint64, l chain.Limits, play func(s *stage)) {
	synctest.Test(t, func(t *testing.T) {
		s := &stage{t: t, disk: newMemory(), key: fake.NewKey("worker")}
		s.chain = fake.New(fake.Config{Name: "stage", BlockTime: second, Finality: finality, Now: time.Now})
		s.cfg = chain.Config{Limits: l, Port: s.chain, Store: s.disk, Signers: []chain.Signer{s.key}, Stuck: func(why *fault.Error) {
			s.mu.Lock()
			defer s.mu.Unlock()
			code := fault.Code("")
			if why != nil {
				code = why.Code
			}
			s.stuck = append(s.stuck, code)
		}}
		ctx, cancel := context.WithCancel(context.Background())
		go func() {
			for c := time.Tick(second); ; {
				select {
				case <-c:
					s.chain.Mine(1)
				case <-ctx.Done():
					return
				}
			}
		}()
		s.up()
		play(s)
		s.down()
		cancel()
	})
}

func (s *stage) up() {
	var err error
	if s.sys, err = kernel.New(kernel.Config{Log: zerolog.Nop()}); err != nil {
		s.t.Fatal(err)
	}
	if s.ref, err = chain.Spawn(s.sys, s.cfg); err != nil {
		s.t.Fatal(err)
	}
}

func (s *stage) down() {
	if err := s.sys.Stop(context.Background()); err != nil {
		s.t.Error(err)
	}
	if s.sys.Bugs() != s.bugs {
		s.t.Errorf("%d bugs", s.sys.Bugs())
	}
}

func (s *stage) after(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

// try sends a call that has an effect.
func (s *stage) try(m chain.Send) (inspect.Outgoing, error) {
	return kernel.Ask(context.Background(), s.ref, func(r kernel.Reply[inspect.Outgoing]) chain.Message {
		m.Reply = r
		return m
	})
}

func (s *stage) send(key string) {
	s.t.Helper()
	if _, err := s.try(chain.Send{Key: key, Call: fake.Effect{Key: key}.Call(), Class: chain.Report}); err != nil {
		s.t.Fatal(err)
	}
}

func (s *stage) wait(key string) (chain.Outcome, error) {
	return kernel.Ask(context.Background(), s.ref, func(r kernel.Reply[chain.Outcome]) chain.Message {
		return chain.Wait{Key: key, Reply: r}
	})
}

func (s *stage) show(key string) inspect.Outgoing {
	s.t.Helper()
	o, err := kernel.Ask(context.Background(), s.ref, func(r kernel.Reply[inspect.Outgoing]) chain.Message {
		return chain.Show{Key: key, Reply: r}
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return o
}

func (s *stage) status() inspect.Chain {
	s.t.Helper()
	c, err := kernel.Ask(context.Background(), s.ref, func(r kernel.Reply[inspect.Chain]) chain.Message {
		return chain.Status{Reply: r}
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return c
}

// once checks that each of the calls took effect once, and that nothing else did.
func (s *stage) once(n int) {
	s.t.Helper()
	effects := s.chain.Effects()
	delete(effects, "stolen")
	for i := range n {
		key := fmt.Sprint("call-", i)
		if effects[key] != 1 {
			s.t.Errorf("%s took effect %d times", key, effects[key])
		}
		delete(effects, key)
	}
	if len(effects) > 0 {
		s.t.Errorf("there are other effects: %v", effects)
	}
}

// drained waits until nothing is on its way, and says how long that took.
func (s *stage) drained(most time.Duration) time.Duration {
	s.t.Helper()
	begin := time.Now()
	s.after(second) // the store is read
	for time.Since(begin) < most {
		c := s.status()
		if len(c.Outbox) == 0 {
			return time.Since(begin)
		}
		s.after(second)
	}
	c := s.status()
	s.t.Fatalf("after %v: %v, waits until %s; %s", most, c.Outbox, c.Waiting, c.LastError)
	return 0
}
