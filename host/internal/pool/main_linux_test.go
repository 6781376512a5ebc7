package pool

import (
	"bytes"
	"context"
	"io"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/troupehost/troupe/actors/execute"
	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/prepare"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/artifacts"
	"github.com/troupehost/troupe/artifacts/sealed"
	"github.com/troupehost/troupe/host/sandbox"
	child "github.com/troupehost/troupe/host/worker"
)

// The test binary plays other parts beside its own, chosen by its arguments: the real worker, a worker that lies, a host
// that is killed, and a process that only spins.
const (
	fakeArg0   = "troupe-fake-worker"
	parentArg0 = "troupe-doomed-host"
	busyArg0   = "troupe-busy"
)

func TestMain(m *testing.M) {
	child.Main()
	switch os.Args[0] {
	case fakeArg0:
		os.Exit(fake(os.Args[1]))
	case parentArg0:
		os.Exit(doomed())
	case attackerArg0:
		os.Exit(attackMain())
	case busyArg0:
		new(liar).spin()
	}
	os.Exit(m.Run())
}

// shelf implements all ports of a pool in memory.
type shelf struct {
	mu     sync.Mutex
	code   map[artifacts.CodeHash][]byte
	parts  map[uint64]map[string]*sealed.File
	keys   map[artifacts.Key]map[string]*sealed.File
	runs   map[uint64]RunIO
	ticket uint64
}

func newShelf() *shelf {
	return &shelf{
		code: map[artifacts.CodeHash][]byte{}, parts: map[uint64]map[string]*sealed.File{},
		keys: map[artifacts.Key]map[string]*sealed.File{}, runs: map[uint64]RunIO{},
	}
}

type codePort struct{ *shelf }

func (s codePort) Open(h artifacts.CodeHash) (*sealed.File, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b, ok := s.code[h]
	if !ok {
		return nil, fault.New(fault.CallerNotFound, "code", h.String(), nil)
	}
	return sealed.FromBytes("code", b)
}

type artifactPort struct{ *shelf }

func (s artifactPort) Open(_ context.Context, k artifacts.Key) (Handle, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	parts, ok := s.keys[k]
	if !ok {
		return nil, fault.New(fault.HostArtifactMissing, "artifact", k.String(), nil)
	}
	return handle{k, parts}, nil
}

// handle shows the snapshot of an artifact, if there is one, as made under the terms of today.
type handle struct {
	key   artifacts.Key
	parts map[string]*sealed.File
}

func (h handle) Part(name string) *sealed.File { return h.parts[name] }
func (h handle) SnapshotKey() artifacts.SnapshotKey {
	return artifacts.SnapshotKeyOf(h.key, initialisation(true))
}
func (h handle) Close() {}

type runPort struct{ *shelf }

func (s runPort) Open(id uint64) (RunIO, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	io, ok := s.runs[id]
	return io, ok
}

func (s *shelf) Deposit(parts map[string]*sealed.File) uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ticket++
	s.parts[s.ticket] = parts
	return s.ticket
}

func (s *shelf) Take(ticket uint64) map[string]*sealed.File {
	s.mu.Lock()
	defer s.mu.Unlock()
	parts := s.parts[ticket]
	delete(s.parts, ticket)
	return parts
}

func (s *shelf) release() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, parts := range s.parts {
		for f := range maps.Values(parts) {
			f.Release()
		}
	}
}

// rig is a pool with its ports.
type rig struct {
	*Pool
	shelf *shelf
	next  uint64
}

// Prepare is for tests that pass no marks.
func (r *rig) Prepare(ctx context.Context, job prepare.Job) prepare.Outcome {
	return r.Pool.Prepare(ctx, job, func(prepare.Budget) {})
}

// newRig starts a pool; mode names a fake worker, "" the real one. At the end of the test it closes the pool and looks
// for whatever was left behind.
func newRig(t testing.TB, mode string) *rig {
	t.Helper()
	return newRigConfig(t, mode, Config{})
}

func newRigConfig(t testing.TB, mode string, cfg Config) *rig {
	t.Helper()
	warm(t)
	before := census(t)
	s := newShelf()
	cfg.Code, cfg.Handoff, cfg.Artifacts, cfg.Runs = codePort{s}, s, artifactPort{s}, runPort{s}
	cfg.MaxInflatedBytes = 8 << 20
	if mode != "" {
		cfg.argv = []string{fakeArg0, mode}
		if mode == "stopped" || mode == "third: stops" { // the first process of a namespace cannot be stopped from within
			cfg.shares = []string{sandbox.PIDNS}
		}
	}
	p, err := New(t.Context(), cfg)
	if err != nil {
		t.Fatalf("New: %v", err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
		s.release()
		before.check(t)
	})
	return &rig{Pool: p, shelf: s}
}

// warm lets the runtime open what it opens once.
func warm(t testing.TB) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	_, _ = r.Close(), w.Close()
}

// leftovers counts what a pool must not leave behind.
type leftovers struct{ fds, children, goroutines int }

func census(t testing.TB) leftovers {
	t.Helper()
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return leftovers{fds: len(fds), children: len(children(os.Getpid())), goroutines: runtime.NumGoroutine()}
}

// children returns the processes whose parent is pid, zombies too.
func children(pid int) []string {
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	var out []string
	for _, name := range stats {
		b, err := os.ReadFile(name)
		if err != nil {
			continue
		}
		f := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
		if len(f) > 1 && f[1] == itoa(pid) {
			out = append(out, filepath.Base(filepath.Dir(name)))
		}
	}
	return out
}

func (l leftovers) check(t testing.TB) {
	t.Helper()
	now := leftovers{}
	if !eventually(func() bool {
		now = census(t)
		return now.fds <= l.fds && now.children <= l.children && now.goroutines <= l.goroutines
	}) {
		buf := make([]byte, 64<<10)
		t.Errorf("left behind: before %+v, now %+v\n%s", l, now, buf[:runtime.Stack(buf, true)])
	}
}

// eventually polls ok for a while.
func eventually(ok func() bool) bool {
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	late := time.After(10 * time.Second)
	for !ok() {
		select {
		case <-tick.C:
		case <-late:
			return false
		}
	}
	return true
}

func budget() prepare.Budget {
	return prepare.Budget{CPU: 20 * time.Second, Wall: time.Minute, MemoryBytes: 256 << 20}
}

// put makes code known and returns a job for it.
func (r *rig) put(code []byte) prepare.Job {
	h := artifacts.HashCode(code)
	r.shelf.mu.Lock()
	defer r.shelf.mu.Unlock()
	r.shelf.code[h] = code
	k := artifacts.KeyOf(h, r.Facts().Build, artifacts.Options{})
	return prepare.Job{ID: 1, Key: k, Code: h, Tenant: "t", Priority: run.Normal, Budget: budget()}
}

// prepared compiles code and makes the artifact known.
func (r *rig) prepared(t testing.TB, code []byte) execute.Binding {
	t.Helper()
	job := r.put(code)
	out := r.Prepare(t.Context(), job)
	if out.Fault != nil {
		t.Fatalf("Prepare: %v", out.Fault)
	}
	r.shelf.mu.Lock()
	defer r.shelf.mu.Unlock()
	r.shelf.keys[job.Key] = r.shelf.parts[out.Ticket]
	return execute.Binding{Tenant: "t", Key: job.Key, MemoryBytes: 16 << 20}
}

// pretended makes an artifact known that only a fake worker would load.
func (r *rig) pretended(t testing.TB) execute.Binding {
	t.Helper()
	b, err := r.pretend()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func (r *rig) pretend() (execute.Binding, error) {
	parts := map[string]*sealed.File{}
	for _, name := range []string{artifacts.PartCode, artifacts.PartModule, artifacts.PartFrame} {
		f, err := sealed.FromBytes(name, []byte(name))
		if err != nil {
			return execute.Binding{}, err
		}
		parts[name] = f
	}
	r.shelf.Deposit(parts)
	k := artifacts.Key{1}
	r.shelf.mu.Lock()
	defer r.shelf.mu.Unlock()
	r.shelf.keys[k] = parts
	return execute.Binding{Tenant: "t", Key: k, MemoryBytes: 16 << 20}, nil
}

func (r *rig) worker(t testing.TB, b execute.Binding) execute.Worker {
	t.Helper()
	w, err := r.Start(t.Context(), b)
	if err != nil {
		t.Fatalf("Start: %v", err)
	}
	t.Cleanup(w.Close)
	return w
}

// job registers the input and output of a run.
func (r *rig) job(b execute.Binding, e run.Entry, l run.Limits, io RunIO) execute.Job {
	r.shelf.mu.Lock()
	defer r.shelf.mu.Unlock()
	r.next++
	r.shelf.runs[r.next] = io
	if l.MemoryBytes == 0 {
		l.MemoryBytes = b.MemoryBytes
	}
	return execute.Job{Run: r.next, Binding: b, Entry: e, Limits: l, Imports: run.RefuseMissing, Determinism: run.Deterministic, Priority: run.Normal}
}

// stalled is a reader and writer that blocks until it is released.
type stalled struct{ gate chan struct{} }

func (s stalled) Read([]byte) (int, error)    { <-s.gate; return 0, io.EOF }
func (s stalled) Write(p []byte) (int, error) { <-s.gate; return len(p), nil }

func stall(t testing.TB) stalled {
	s := stalled{make(chan struct{})}
	var once sync.Once
	t.Cleanup(func() { once.Do(func() { close(s.gate) }) })
	return s
}

func wantFault(t testing.TB, f *fault.Error, want fault.Code) {
	t.Helper()
	switch {
	case f == nil && want != "":
		t.Errorf("no fault, want %s", want)
	case f != nil && f.Code != want:
		t.Errorf("fault %s (%v), want %q", f.Code, f, want)
	}
}
