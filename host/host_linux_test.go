package host_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/host"
)

func guest(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "testdata", "guests", name+".wasm"))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func start(t testing.TB, cfg host.Config) *host.Host {
	t.Helper()
	if cfg.DataDir == "" {
		cfg.DataDir = t.TempDir()
	}
	cfg.BallastBytes = host.NoLimit
	h, err := host.Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return h
}

func invoke(name string, args ...string) run.Entry {
	return run.Entry{Mode: run.Invoke, Name: name, Args: args}
}

func execute(t testing.TB, h *host.Host, r host.Request) run.Receipt {
	t.Helper()
	receipt, err := h.Execute(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	return receipt
}

func TestHashPuzzle(t *testing.T) {
	h := start(t, host.Config{})
	code := guest(t, "hash-puzzle")
	for _, row := range []struct{ input, difficulty, want string }{
		{"0", "0", "1"}, {"0", "1", "3"}, {"0", "2", "563"}, {"0", "3", "2832"}, {"0", "4", "69732"},
		{"1", "3", "2823"}, {"2", "3", "1098"}, {"7", "3", "7379"}, {"42", "4", "22976"},
	} {
		r := execute(t, h, host.Request{Code: code, Entry: invoke("run", row.input, row.difficulty)})
		if r.Verdict != "ok" || string(r.Result) != row.want {
			t.Errorf("run(%s, %s) = %q (%s %s), want %s", row.input, row.difficulty, r.Result, r.Verdict, r.Message, row.want)
		}
	}
}

// TestOneCompilationForAHundred asks a hundred times at once for code that nobody has seen.
func TestOneCompilationForAHundred(t *testing.T) {
	h := start(t, host.Config{})
	code := guest(t, "kernels")
	var wg sync.WaitGroup
	for range 100 {
		wg.Go(func() {
			r, err := h.Execute(t.Context(), host.Request{Code: code, Entry: invoke("fib", "10")})
			if err != nil || string(r.Result) != "55" {
				t.Errorf("%q, %v, %v", r.Result, r.Fault, err)
			}
		})
	}
	wg.Wait()
	s, err := h.Inspect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(s.Artifacts) != 1 || s.Artifacts[0].Generation != 1 {
		t.Errorf("artifacts %+v, want one of the first generation", s.Artifacts)
	}
	for _, a := range s.Actors {
		if a.Path == "troupe/prepare" && a.Accepted == 0 {
			t.Error("the prepare actor accepted nothing")
		}
	}
}

func TestRestartServesFromTheStore(t *testing.T) {
	dir := t.TempDir()
	req := host.Request{Code: guest(t, "hash-puzzle"), Entry: invoke("run", "0", "1")}
	for _, want := range []string{"miss", "hit"} {
		h, err := host.Start(t.Context(), host.Config{DataDir: dir})
		if err != nil {
			t.Fatal(err)
		}
		if r := execute(t, h, req); r.Cache != want {
			t.Errorf("cache %s, want %s", r.Cache, want)
		}
		if err := h.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestEachBadInputHasItsFault runs what is wrong, one kind after another, and shows that the host serves on.
func TestEachBadInputHasItsFault(t *testing.T) {
	h := start(t, host.Config{MaxCodeBytes: 3 << 20, MaxInflatedBytes: 4 << 20})
	short := run.Limits{CPU: 100 * time.Millisecond, Wall: time.Minute} // a loaded machine gives a guest little of its wall time
	for _, row := range []struct {
		name  string
		req   host.Request
		class string
		code  fault.Code
	}{
		{"not wasm", host.Request{Code: guest(t, "not-wasm")}, "guest", fault.GuestNotWasm},
		{"empty", host.Request{Code: []byte{}}, "guest", fault.GuestNotWasm},
		{"truncated", host.Request{Code: guest(t, "truncated")}, "guest", fault.GuestTruncated},
		{"wrong version", host.Request{Code: guest(t, "wrong-version")}, "guest", fault.GuestVersion},
		{"component", host.Request{Code: guest(t, "component")}, "guest", fault.GuestComponent},
		{"invalid", host.Request{Code: guest(t, "bad-body")}, "guest", fault.GuestInvalid},
		{"too large", host.Request{Code: make([]byte, 3<<20+1)}, "guest", fault.GuestCodeTooLarge},
		{"bomb", host.Request{Code: guest(t, "bomb-zstd")}, "guest", fault.GuestDecompressionBomb},
		{"unknown import", host.Request{Code: guest(t, "unknown-import"), Entry: invoke("run")}, "guest", fault.GuestUnknownImport},
		{"imported table", host.Request{Code: guest(t, "import-table"), Entry: invoke("run"), Imports: run.TrapMissing}, "guest", fault.GuestUnknownImport},
		{"called missing import", host.Request{Code: guest(t, "unknown-import"), Entry: invoke("call"), Imports: run.TrapMissing}, "guest", fault.GuestUnknownImport},
		{"missing export", host.Request{Code: guest(t, "echo"), Entry: invoke("nothing")}, "guest", fault.GuestMissingExport},
		{"no command", host.Request{Code: guest(t, "echo")}, "guest", fault.GuestMissingExport},
		{"bad signature", host.Request{Code: guest(t, "hash-puzzle"), Entry: run.Entry{Mode: run.Bytes, Name: "run"}}, "guest", fault.GuestBadSignature},
		{"start trap", host.Request{Code: guest(t, "start-trap"), Entry: invoke("run")}, "guest", fault.GuestStartTrap},
		{"trap", host.Request{Code: guest(t, "trap"), Entry: invoke("div0")}, "guest", fault.GuestTrap},
		{"exit", host.Request{Code: guest(t, "exit"), Entry: run.Entry{Args: []string{"3"}}}, "guest", fault.GuestExit},
		{"bad output", host.Request{Code: guest(t, "echo"), Entry: run.Entry{Mode: run.Bytes, Name: "lie"}}, "guest", fault.GuestOutputLimit},
		{"output", host.Request{Code: guest(t, "bigout"), Limits: run.Limits{OutputBytes: 1 << 20}}, "guest", fault.GuestOutputLimit},
		{"cpu", host.Request{Code: guest(t, "loop"), Entry: invoke("run"), Limits: short}, "guest", fault.GuestCPULimit},
		{"wall", host.Request{Code: guest(t, "sleep"), Determinism: run.RealWorld, Limits: run.Limits{Wall: 2 * time.Second}}, "guest", fault.GuestWallLimit},
		{"memory", host.Request{Code: guest(t, "memhog"), Entry: invoke("run"), Limits: run.Limits{MemoryBytes: 1 << 20}}, "guest", fault.GuestMemory},
		{"memory for the input", host.Request{
			Code: guest(t, "echo"), Entry: run.Entry{Mode: run.Bytes, Name: "echo"}, Input: make([]byte, 1<<20), Limits: run.Limits{MemoryBytes: 1 << 20},
		}, "guest", fault.GuestMemory},
		{"memory at the start", host.Request{Code: guest(t, "kernels"), Entry: invoke("fib", "1"), Limits: run.Limits{MemoryBytes: 1 << 20}}, "guest", fault.GuestMemory},
		{"65,536 pages", host.Request{Code: guest(t, "big-memory"), Entry: invoke("run")}, "guest", fault.GuestMemory},
		{"stack", host.Request{Code: guest(t, "recurse"), Entry: invoke("run", "0")}, "guest", fault.GuestStack},
	} {
		r := execute(t, h, row.req)
		if r.Verdict != row.class || r.Fault != string(row.code) || r.Hint == "" || r.Message == "" {
			t.Errorf("%s: %s %s %q, want %s", row.name, r.Verdict, r.Fault, r.Message, row.code)
		}
	}
	for _, row := range []struct {
		name string
		req  host.Request
		code fault.Code
	}{
		{"no code", host.Request{}, fault.CallerInvalid},
		{"bad hash", host.Request{CodeHash: "xyz"}, fault.CallerInvalid},
		{"unknown hash", host.Request{CodeHash: string(bytes.Repeat([]byte("ab"), 32))}, fault.CallerNotFound},
		{"wrong number of arguments", host.Request{Code: guest(t, "hash-puzzle"), Entry: invoke("run", "1")}, fault.CallerInvalid},
		{"not a number", host.Request{Code: guest(t, "hash-puzzle"), Entry: invoke("run", "1", "x")}, fault.CallerInvalid},
		{"limits", host.Request{Code: guest(t, "echo"), Limits: run.Limits{CPU: -1}}, fault.CallerInvalid},
		{"input", host.Request{Code: guest(t, "echo"), Input: make([]byte, 16<<20+1)}, fault.CallerParamsTooBig},
	} {
		if _, err := h.Execute(t.Context(), row.req); !errors.Is(err, row.code) {
			t.Errorf("%s: %v, want %s", row.name, err, row.code)
		}
	}
	if r := execute(t, h, host.Request{Code: guest(t, "hash-puzzle"), Entry: invoke("run", "0", "1")}); string(r.Result) != "3" {
		t.Errorf("the host does not serve on: %+v", r)
	}
}

// TestHintsHelp: nobody is told to do what was done already, or what cannot be done.
func TestHintsHelp(t *testing.T) {
	h := start(t, host.Config{})
	for _, row := range []struct {
		req  host.Request
		want string // "" : the one of the registry
	}{
		{host.Request{Code: guest(t, "unknown-import"), Entry: invoke("run")}, ""},
		{host.Request{Code: guest(t, "unknown-import"), Entry: invoke("call"), Imports: run.TrapMissing}, "remove the call"},
		{host.Request{Code: guest(t, "import-table"), Entry: invoke("run")}, "only functions may be missing"},
		{host.Request{Code: guest(t, "import-table"), Entry: invoke("run"), Imports: run.TrapMissing}, "only functions may be missing"},
		{host.Request{Code: guest(t, "kernels"), Entry: invoke("fib", "1"), Limits: run.Limits{MemoryBytes: 1 << 20}}, ""},
		{host.Request{Code: guest(t, "big-memory"), Entry: invoke("run")}, "at most 65,535 pages"},
	} {
		r := execute(t, h, row.req)
		if general := fault.Describe(fault.Code(r.Fault)).Hint; (row.want == "") != (r.Hint == general) || !strings.Contains(r.Hint, row.want) {
			t.Errorf("%s: %q, want %q", r.Message, r.Hint, row.want)
		}
	}
}

// TestAdderChain runs a chain in the PVF manner: ten good blocks, then a bad one.
func TestAdderChain(t *testing.T) {
	h := start(t, host.Config{})
	code := guest(t, "adder")
	hash := func(v uint64) []byte {
		s := sha256.Sum256(binary.LittleEndian.AppendUint64(nil, v))
		return s[:]
	}
	state := uint64(100)
	head := append(append(make([]byte, 8), make([]byte, 32)...), hash(state)...)
	block := func(state, add uint64) []byte {
		return binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(nil, state), add)
	}
	entry := run.Entry{Mode: run.Bytes, Name: "validate_block"}
	for n := range uint64(10) {
		r := execute(t, h, host.Request{Code: code, Entry: entry, Input: append(bytes.Clone(head), block(state, n)...)})
		parent := sha256.Sum256(head)
		state += n
		want := append(append(binary.LittleEndian.AppendUint64(nil, n+1), parent[:]...), hash(state)...)
		if r.Verdict != "ok" || !bytes.Equal(r.Result, want) {
			t.Fatalf("block %d: %s %s, head %x, want %x", n, r.Verdict, r.Message, r.Result, want)
		}
		head = r.Result
	}
	r := execute(t, h, host.Request{Code: code, Entry: entry, Input: append(bytes.Clone(head), block(state+1, 1)...)})
	if r.Fault != string(fault.GuestTrap) {
		t.Errorf("a bad block: %s %s", r.Verdict, r.Fault)
	}
}

func TestStreams(t *testing.T) {
	h := start(t, host.Config{})
	in := bytes.Repeat([]byte("0123456789abcdef"), 100_000)
	var out bytes.Buffer
	r := execute(t, h, host.Request{Code: guest(t, "echo-wasi"), Stdin: bytes.NewReader(in), Stdout: &out})
	if r.Verdict != "ok" || !bytes.Equal(out.Bytes(), in) || r.Stdout != nil {
		t.Errorf("%s %s: %d bytes came back of %d", r.Verdict, r.Message, out.Len(), len(in))
	}
	r = execute(t, h, host.Request{Code: guest(t, "go-hello"), Entry: run.Entry{Args: []string{"a b"}, Env: []string{"K=V"}}})
	if want := "hello from Go, 1 arguments\na b\nenv K=V\n"; string(r.Stdout) != want {
		t.Errorf("stdout %q, want %q", r.Stdout, want)
	}
	big := bytes.Repeat([]byte{1, 2, 3}, 1_000_000)
	r = execute(t, h, host.Request{Code: guest(t, "echo"), Entry: run.Entry{Mode: run.Bytes, Name: "echo"}, Input: big})
	if !bytes.Equal(r.Result, big) {
		t.Errorf("echo of 3 MB: %s %s", r.Verdict, r.Message)
	}
}

func TestDeterministicByDefault(t *testing.T) {
	h := start(t, host.Config{})
	var first run.Receipt
	for n := range 2 {
		r := execute(t, h, host.Request{Code: guest(t, "go-hello")})
		if n == 0 {
			first = r
		} else if !bytes.Equal(first.Stdout, r.Stdout) || !cmp.Equal(first.MemoryPeakBytes, r.MemoryPeakBytes) {
			t.Error("two runs differ")
		}
	}
}

// TestCallerLeaves withdraws a run that spins and one that waits; both end at once, and so does a caller that comes late.
func TestCallerLeaves(t *testing.T) {
	h := start(t, host.Config{})
	pr, pw := io.Pipe()
	defer pw.Close()
	for name, req := range map[string]host.Request{
		"spinning": {Code: guest(t, "loop"), Entry: invoke("run"), Limits: run.Limits{CPU: time.Hour}},
		"waiting":  {Code: guest(t, "stdin-wait"), Stdin: pr},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		begin := time.Now()
		_, err := h.Execute(ctx, req)
		cancel()
		if !errors.Is(err, fault.Canceled) || time.Since(begin) > 5*time.Second {
			t.Errorf("%s: %v after %v", name, err, time.Since(begin))
		}
	}
	s, err := h.Inspect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range s.Workers {
		if w.State == "busy" {
			t.Errorf("worker %+v is busy after its caller left", w)
		}
	}
}

func TestFullQueueRefusesWithRetryAfter(t *testing.T) {
	h := start(t, host.Config{ExecuteWorkers: 1, ExecuteQueue: 2})
	spin := host.Request{Code: guest(t, "loop"), Entry: invoke("run"), Limits: run.Limits{CPU: time.Minute}}
	if _, err := h.Precheck(t.Context(), host.CodeRequest{Code: spin.Code}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	results := make(chan error, 4)
	for range 4 {
		go func() {
			_, err := h.Execute(ctx, spin)
			results <- err
		}()
	}
	err := <-results // one runs, two wait, one is refused
	var f *fault.Error
	if !errors.As(err, &f) || f.Code != fault.BusyQueueFull || f.RetryAfter <= 0 {
		t.Errorf("the fourth got %v", err)
	}
	cancel()
	for range 3 {
		if err := <-results; !errors.Is(err, fault.Canceled) {
			t.Errorf("withdrawn: %v", err)
		}
	}
}

func TestOperators(t *testing.T) {
	h := start(t, host.Config{MaxPins: 1})
	j, err := h.Precheck(t.Context(), host.CodeRequest{Code: guest(t, "hash-puzzle")})
	if err != nil || j.Verdict != "ok" || len(j.Module.Exports) == 0 {
		t.Fatalf("%+v, %v", j, err)
	}
	if err := h.Verify(t.Context(), j.Artifact); err != nil {
		t.Error(err)
	}
	if err := h.Pin(t.Context(), "", j.Artifact); err != nil {
		t.Error(err)
	}
	if err := h.Evict(t.Context(), j.Artifact); !errors.Is(err, fault.CallerConflict) {
		t.Errorf("evict of a pinned artifact: %v", err)
	}
	other, err := h.Precheck(t.Context(), host.CodeRequest{Code: guest(t, "echo")})
	if err != nil {
		t.Fatal(err)
	}
	if err := h.Pin(t.Context(), "", other.Artifact); !errors.Is(err, fault.CallerQuota) {
		t.Errorf("a second pin: %v", err)
	}
	if err := h.Unpin(t.Context(), "", j.Artifact); err != nil {
		t.Error(err)
	}
	if err := h.Evict(t.Context(), j.Artifact); err != nil {
		t.Error(err)
	}
	if _, _, err := h.Artifact(t.Context(), j.Artifact); !errors.Is(err, fault.CallerNotFound) {
		t.Errorf("an evicted artifact: %v", err)
	}
	if p, err := h.Prune(t.Context()); err != nil || p.Removed != 0 {
		t.Errorf("prune: %+v, %v", p, err)
	}
}

func TestStartRefusals(t *testing.T) {
	dir := t.TempDir()
	start(t, host.Config{DataDir: dir})
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	newer := t.TempDir()
	if err := os.WriteFile(filepath.Join(newer, "VERSION"), []byte("99\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		name string
		cfg  host.Config
		code fault.Code
	}{
		{"second host", host.Config{DataDir: dir}, fault.HostDataDirLocked},
		{"not a directory", host.Config{DataDir: file}, fault.HostDataDir},
		{"newer format", host.Config{DataDir: newer}, fault.HostDataDirNewer},
		{"no worker", host.Config{DataDir: t.TempDir(), WorkerPath: "/nowhere/troupe-worker"}, fault.HostWorkerMissing},
		{"no directory", host.Config{}, fault.CallerConfig},
		{"bad name", host.Config{DataDir: t.TempDir(), Name: "A B"}, fault.CallerConfig},
	} {
		if _, err := host.Start(t.Context(), row.cfg); !errors.Is(err, row.code) {
			t.Errorf("%s: %v, want %s", row.name, err, row.code)
		}
	}
}

func TestClosedHostAnswers(t *testing.T) {
	h, err := host.Start(t.Context(), host.Config{DataDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	seen := make(chan error)
	go func() {
		for {
			s, err := h.Inspect(context.Background())
			if err != nil {
				seen <- err
				return
			}
			if s.Draining == s.Ready {
				t.Errorf("draining %v, ready %v", s.Draining, s.Ready)
			}
		}
	}()
	if err := errors.Join(h.Close(), h.Close()); err != nil {
		t.Error(err)
	}
	if err := <-seen; !errors.Is(err, fault.CallerClosed) {
		t.Errorf("who looks at a host that stops gets %v", err)
	}
	select {
	case <-h.Done():
	default:
		t.Error("Done is open after Close")
	}
	if _, err := h.Execute(t.Context(), host.Request{Code: guest(t, "echo")}); !errors.Is(err, fault.CallerClosed) {
		t.Errorf("execute on a closed host: %v", err)
	}
}

// TestWhatWasAcknowledgedIsDone closes the host right after an answer.
func TestWhatWasAcknowledgedIsDone(t *testing.T) {
	dir := t.TempDir()
	for round := range 5 {
		h, err := host.Start(t.Context(), host.Config{DataDir: dir, BallastBytes: host.NoLimit})
		if err != nil {
			t.Fatal(err)
		}
		j, err := h.Precheck(t.Context(), host.CodeRequest{Code: guest(t, "echo")})
		if err != nil || j.Cache != "miss" {
			t.Errorf("round %d: cache %s, %v: the artifact was evicted", round, j.Cache, err)
		}
		if err := h.Evict(t.Context(), j.Artifact); err != nil {
			t.Error(err)
		}
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	}
}
