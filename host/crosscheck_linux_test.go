package host_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/artifacts/wasm/wasmtest"
	"github.com/troupehost/troupe/host"
)

// checkedAs executes a request and waits for what comes of its cross-check.
func checkedAs(t *testing.T, h *host.Host, r host.Request) (run.Receipt, string) {
	t.Helper()
	before := checks(t, h)
	receipt := execute(t, h, r)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for late := time.After(time.Minute); ; {
		for result, n := range checks(t, h) {
			if n > before[result] {
				return receipt, result
			}
		}
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("nothing came of the cross-check of %v", r.Entry)
		}
	}
}

func checks(t *testing.T, h *host.Host) map[string]float64 {
	t.Helper()
	out := map[string]float64{}
	for name, v := range scrape(t, h) {
		if rest, ok := strings.CutPrefix(name, `troupe_cross_checks_total{result="`); ok {
			out[strings.TrimSuffix(rest, `"}`)] = v
		}
	}
	return out
}

func warned(t *testing.T, h *host.Host) *inspect.Health {
	t.Helper()
	s, err := h.Inspect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if i := slices.IndexFunc(s.Health, func(w inspect.Health) bool { return w.Code == "engine.cross_check" }); i >= 0 {
		return &s.Health[i]
	}
	return nil
}

// TestCrossChecksAgree repeats a run of each guest: both engines do the same, gas included.
func TestCrossChecksAgree(t *testing.T) {
	h := start(t, host.Config{CrossCheck: 10_000})
	command := run.Entry{Mode: run.Command, Args: []string{"3"}}
	entry := func(name string) run.Entry { return run.Entry{Mode: run.Bytes, Name: name} }
	for _, row := range []struct {
		guest string
		req   host.Request
		fault fault.Code
		want  string
	}{
		{"adder", host.Request{Entry: entry("validate_block"), Input: make([]byte, 48)}, fault.GuestTrap, "agreed"},
		{"bigout", host.Request{Entry: command, Limits: run.Limits{OutputBytes: 100_000}}, fault.GuestOutputLimit, "agreed"},
		{"c-hello", host.Request{Entry: command}, "", "agreed"},
		{"echo", host.Request{Entry: entry("echo"), Input: []byte("hello")}, "", "agreed"},
		{"echo-zstd", host.Request{Entry: entry("echo"), Input: make([]byte, 100_000)}, "", "agreed"},
		{"echo-wasi", host.Request{Entry: command}, "", "agreed"},
		{"exit", host.Request{Entry: command}, fault.GuestExit, "agreed"},
		{"go-hello", host.Request{Entry: command}, "", "agreed"},
		{"go-hello", host.Request{Entry: command, CanonicalNaNs: true}, "", "agreed"},
		{"hash-puzzle", host.Request{Entry: invoke("run", "0", "2")}, "", "agreed"},
		{"kernels", host.Request{Entry: invoke("fib", "15")}, "", "agreed"},
		{"kernels", host.Request{Entry: invoke("matmul", "1")}, "", "agreed"},
		{"loop", host.Request{Entry: invoke("run"), Limits: run.Limits{Gas: 1_000_000}}, fault.GuestGasLimit, "agreed"},
		{"memhog", host.Request{Entry: invoke("pages"), Limits: run.Limits{MemoryBytes: 1 << 20}}, "", "agreed"},
		{"recurse", host.Request{Entry: invoke("run", "0"), Limits: run.Limits{StackValues: 2048}}, fault.GuestStack, "agreed"},
		{"recurse", host.Request{Entry: invoke("run", "0")}, fault.GuestStack, "deep"},
		{"sleep", host.Request{Entry: command}, "", "agreed"},
		{"start-trap", host.Request{Entry: invoke("run")}, fault.GuestStartTrap, "agreed"},
		{"stdin-wait", host.Request{Entry: command}, "", "agreed"},
		{"trap", host.Request{Entry: invoke("div0")}, fault.GuestTrap, "agreed"},
		{"trap", host.Request{Entry: invoke("oob")}, fault.GuestTrap, "agreed"},
		{"unknown-import", host.Request{Entry: invoke("run"), Imports: run.TrapMissing}, "", "agreed"},

		{"big-memory", host.Request{Entry: invoke("run")}, fault.GuestMemory, "outcome"},
		{"not-wasm", host.Request{}, fault.GuestNotWasm, "outcome"},
		{"loop", host.Request{Entry: invoke("run"), Limits: run.Limits{CPU: 20 * time.Millisecond, Wall: time.Minute}}, fault.GuestCPULimit, "outcome"},
		{"echo", host.Request{Entry: entry("echo"), Input: make([]byte, 2<<20)}, "", "size"},
		{"c-hello", host.Request{Entry: command, Stdout: &bytes.Buffer{}, Stderr: &bytes.Buffer{}}, "", "agreed"},
		{"exit", host.Request{Entry: command, Stdin: strings.NewReader("x")}, fault.GuestExit, "agreed"},
		{"echo-wasi", host.Request{Entry: command, Stdin: strings.NewReader("x")}, "", "stdin"},
		{"bigout", host.Request{Entry: command, Stdout: &bytes.Buffer{}, Limits: run.Limits{OutputBytes: 2 << 20}}, fault.GuestOutputLimit, "size"},
		{"c-hello", host.Request{Entry: command, Determinism: run.RealWorld}, "", "world"},
	} {
		row.req.Code = guest(t, row.guest)
		r, got := checkedAs(t, h, row.req)
		if r.Fault != string(row.fault) || got != row.want {
			t.Errorf("%s %s: %s, %q, want %s, %q: %s", row.guest, row.req.Entry.Name, got, r.Fault, row.want, row.fault, r.Message)
		}
	}
	if w := warned(t, h); w != nil {
		t.Errorf("a warning: %+v", w)
	}
	if got := scrape(t, h)[`troupe_workers_spawned_total{kind="check"}`]; got != 24 {
		t.Errorf("%v processes checked", got)
	}
}

// TestCrossCheckRaisesTheAlarm runs code that the engine's compiler gets wrong.
func TestCrossCheckRaisesTheAlarm(t *testing.T) {
	const constant, and, ltU, ifOp, elseOp, end = 0x41, 0x71, 0x49, 0x04, 0x05, 0x0b
	code := wasmtest.Module(
		wasmtest.Section(wasmtest.Type, wasmtest.Vector(wasmtest.FuncType(0, 1))),
		wasmtest.Section(wasmtest.Func, wasmtest.Vector([]byte{0})),
		wasmtest.Section(wasmtest.Export, wasmtest.Vector(slices.Concat(wasmtest.Name("f"), []byte{0, 0}))),
		wasmtest.Section(wasmtest.Code, wasmtest.Vector(wasmtest.Body(0,
			constant, 0, constant, 7, constant, 5, and, ltU, ifOp, wasmtest.I32, constant, 1, elseOp, constant, 0, end))),
	)
	var log lockedBuffer
	h := start(t, host.Config{CrossCheck: 10_000, Log: zerolog.New(&log)})
	if _, got := checkedAs(t, h, host.Request{Code: guest(t, "hash-puzzle"), Entry: invoke("run", "0", "1")}); got != "agreed" || warned(t, h) != nil {
		t.Fatalf("%s before anything is wrong", got)
	}
	r, got := checkedAs(t, h, host.Request{Code: code, Entry: invoke("f")})
	if string(r.Result) != "0" || got != "differed" {
		t.Fatalf("result %s, %s: is the engine mended? Then another fault of its is needed here", r.Result, got)
	}
	w := warned(t, h)
	if w == nil || w.Hint == "" || !strings.Contains(w.Message, r.CodeHash) || !strings.Contains(w.Message, r.Artifact) || !strings.Contains(w.Message, "result") {
		t.Errorf("the warning: %+v", w)
	}
	log.mu.Lock()
	said := log.b.String()
	log.mu.Unlock()
	if !strings.Contains(said, `"level":"error"`) || !strings.Contains(said, `"code":"engine.cross_check"`) {
		t.Errorf("the log: %s", said)
	}
	if _, got := checkedAs(t, h, host.Request{CodeHash: r.CodeHash, Entry: invoke("f")}); got != "differed" || !strings.Contains(warned(t, h).Message, "in 2 runs") {
		t.Errorf("again, by its hash: %s, %+v", got, warned(t, h))
	}
	if _, got := checkedAs(t, h, host.Request{Code: guest(t, "hash-puzzle"), Entry: invoke("run", "0", "1")}); got != "agreed" || warned(t, h) == nil {
		t.Errorf("%s, and the warning did not last", got)
	}
}
