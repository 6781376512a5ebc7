package calls

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/troupehost/troupe/actors/meter"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/artifacts/manifest"
	"github.com/troupehost/troupe/host/abi"
)

// tally is a Meter.
type tally struct {
	mu        sync.Mutex
	sum       meter.Use
	committed meter.Use
	fail      error
	journal   *[]string
}

func (m *tally) Add(u meter.Use) {
	m.mu.Lock()
	defer m.mu.Unlock()
	add64(&m.sum.Gas, u.Gas)
	add64(&m.sum.Ingress, u.Ingress)
	add64(&m.sum.Egress, u.Egress)
	add64(&m.sum.StorageRead, u.StorageRead)
	add64(&m.sum.StorageWrite, u.StorageWrite)
	add64(&m.sum.Tip, u.Tip)
	add128(&m.sum.StorageUsed, u.StorageUsed)
	add128(&m.sum.MemoryUsed, u.MemoryUsed)
}

func (m *tally) Commit(context.Context) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fail != nil {
		return m.fail
	}
	m.committed = m.sum
	if m.journal != nil {
		*m.journal = append(*m.journal, "commit")
	}
	return nil
}

func (m *tally) total() meter.Use {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.sum
}

// space is a KV.
type space struct {
	mu    sync.Mutex
	m     map[string][]byte
	used  int64
	quota int64
}

func newSpace(quota int64) *space { return &space{m: map[string][]byte{}, quota: quota} }

func (s *space) Get(_ context.Context, key string) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v, ok := s.m[key]
	if !ok {
		return nil, ErrNotFound
	}
	return v, nil
}

func (s *space) Put(_ context.Context, key string, value []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	used := s.used + int64(len(value)) - int64(len(s.m[key]))
	if _, ok := s.m[key]; !ok {
		used += int64(len(key))
	}
	if used > s.quota {
		return ErrQuota
	}
	s.used, s.m[key] = used, bytes.Clone(value)
	return nil
}

func (s *space) Delete(_ context.Context, key string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	v, ok := s.m[key]
	if !ok {
		return ErrNotFound
	}
	s.used -= int64(len(key) + len(v))
	delete(s.m, key)
	return nil
}

func (s *space) List(_ context.Context, prefix, after string, n int) (out []string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for k := range s.m {
		if strings.HasPrefix(k, prefix) && k > after {
			out = append(out, k)
		}
	}
	slices.Sort(out)
	return out[:min(n, len(out))], nil
}

func (s *space) Used() (int64, int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.used, s.quota
}

// signer is a Keys whose answers tell what they were made of.
type signer struct{}

func mix(kind byte, app manifest.Address, p []byte) (out [64]byte) {
	out[0], out[1] = kind, app[0]
	copy(out[2:], p)
	return out
}

func (signer) SignApp(a manifest.Address, p []byte) [64]byte { return mix('s', a, p) }
func (signer) Secret(a manifest.Address, p []byte) [64]byte  { return mix('d', a, p) }
func (signer) Public() [32]byte                              { return [32]byte{7} }

// peer is a Responder.
type peer struct {
	mu      sync.Mutex
	journal []string
	body    bytes.Buffer
	closed  int
	why     error
	gone    chan struct{} // Close has a Write that blocks return
	gate    chan struct{} // not nil: each Write takes one
	reply   func()        // is called by Reply
}

func newPeer() *peer { return &peer{gone: make(chan struct{})} }

func (p *peer) note(s string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.journal = append(p.journal, s)
}

func (p *peer) Reply(status uint32, data []byte) error {
	if p.reply != nil {
		p.reply()
	}
	p.note("reply " + string(rune('0'+status)) + " " + string(data))
	return nil
}

func (p *peer) Respond(status int, header []byte) error {
	p.note("respond " + string(rune('0'+status/100)) + "xx " + string(header))
	return nil
}

func (p *peer) Write(b []byte) (int, error) {
	if p.gate != nil {
		select {
		case <-p.gate:
		case <-p.gone:
			return 0, io.ErrClosedPipe
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.body.Write(b)
}

func (p *peer) CloseWrite() error { p.note("closewrite"); return nil }

func (p *peer) Close(why error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed++; p.closed == 1 {
		p.why = why
		close(p.gone)
	}
}

// state returns what became of the event: how often it was closed, and why.
func (p *peer) state() (journal string, body string, closed int, why error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.Join(p.journal, "; "), p.body.String(), p.closed, p.why
}

// guest asks in the name of one.
type guest struct {
	t testing.TB
	i *Instance
	run.Ask
}

func newGuest(t testing.TB, a *App, cfg InstanceConfig) *guest {
	t.Helper()
	g := &guest{t: t, i: a.Instance(cfg)}
	t.Cleanup(func() { g.i.End(errors.New("the test is over")) })
	return g
}

func newApp(t testing.TB, cfg AppConfig) *App { return New(Config{}).App(cfg) }

func (g *guest) ask(op abi.Op, nums []int64, args ...string) run.Answer {
	a := run.Ask{Op: uint16(op), Nums: nums, Gas: g.Gas, MemoryBytes: g.MemoryBytes}
	for _, s := range args {
		a.Args = append(a.Args, []byte(s))
	}
	return g.i.Call(context.Background(), a)
}

// ok asks for what must work.
func (g *guest) ok(op abi.Op, nums []int64, args ...string) run.Answer {
	g.t.Helper()
	a := g.ask(op, nums, args...)
	if a.Errno != 0 {
		g.t.Fatalf("call %d %v failed with %d", op, nums, a.Errno)
	}
	return a
}

// fails asks for what must not.
func (g *guest) fails(want uint32, op abi.Op, nums []int64, args ...string) {
	g.t.Helper()
	if a := g.ask(op, nums, args...); a.Errno != want {
		g.t.Fatalf("call %d %v: error %d, want %d", op, nums, a.Errno, want)
	}
}

// begin asks for what waits.
func (g *guest) begin(op abi.Op, nums []int64, args ...string) <-chan run.Answer {
	out := make(chan run.Answer, 1)
	go func() { out <- g.ask(op, nums, args...) }()
	return out
}

func pending(t testing.TB, c <-chan run.Answer) {
	t.Helper()
	select {
	case a := <-c:
		t.Fatalf("the call has returned: %+v", a)
	default:
	}
}

func answered(t testing.TB, c <-chan run.Answer, errno uint32) run.Answer {
	t.Helper()
	select {
	case a := <-c:
		if a.Errno != errno {
			t.Fatalf("the call returned error %d, want %d", a.Errno, errno)
		}
		return a
	default:
		t.Fatal("the call has not returned")
		return run.Answer{}
	}
}

func n(nums ...int64) []int64 { return nums }

func (g *guest) deliver(kind uint32, body io.ReadCloser, p *peer) int64 {
	g.t.Helper()
	if err := g.i.Deliver(context.Background(), Event{Kind: kind, Head: []byte("head"), Body: body, Out: p}); err != nil {
		g.t.Fatal(err)
	}
	a := g.ok(abi.OpAccept, n(0))
	if a.Nums[0] != uint64(kind) {
		g.t.Fatalf("accept gave an event of kind %d, want %d", a.Nums[0], kind)
	}
	return int64(a.Nums[1])
}

const second = int64(time.Second / time.Millisecond)

// pass lets virtual time pass.
func pass(d time.Duration) { <-time.After(d) }
