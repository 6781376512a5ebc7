package engine

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"
	"github.com/tetratelabs/wazero/sys"

	"github.com/troupehost/troupe/artifacts/wasm"
)

var update = flag.Bool("update", false, "write the golden file of gas anew")

// goldenFile has the gas of each run, by its name.
var goldenFile = filepath.Join("..", "..", "testdata", "gas", "golden.json")

// gasRun is one call of a guest.
type gasRun struct {
	guest, export string
	args          []uint64
	stdin         string
	limit         int64 // of gas; 0: none
	often         bool  // it is short enough for a thousand runs, and for an emulated processor
}

func (r gasRun) name() string {
	name := r.guest + " " + r.export
	for _, a := range r.args {
		name += fmt.Sprintf(" %d", a)
	}
	if r.limit > 0 {
		name += fmt.Sprintf(", limit %d", r.limit)
	}
	return name
}

// gasRuns are the guests of testdata that end, or that a limit ends.
var gasRuns = []gasRun{
	{guest: "hash-puzzle", export: "run", args: []uint64{0, 2}, often: true},
	{guest: "hash-puzzle", export: "run", args: []uint64{7, 3}},
	{guest: "kernels", export: "fib", args: []uint64{15}, often: true},
	{guest: "kernels", export: "sha256_", args: []uint64{20}, often: true},
	{guest: "kernels", export: "matmul", args: []uint64{1}},
	{guest: "kernels", export: "random_writes", args: []uint64{1000}, often: true},
	{guest: "kernels", export: "sequential", args: []uint64{1}},
	{guest: "kernels", export: "xorshift", args: []uint64{1000}, often: true},
	{guest: "kernels", export: "sieve", args: []uint64{1}},
	{guest: "kernels", export: "interpreter", args: []uint64{1000}, often: true},
	{guest: "sleep", export: "_start", often: true},
	{guest: "echo", export: "echo", args: []uint64{16, 4}, often: true},
	{guest: "echo", export: "lie", args: []uint64{16, 4}, often: true},
	{guest: "echo-wasi", export: "_start", stdin: strings.Repeat("hello ", 1000), often: true},
	{guest: "go-hello", export: "_start", stdin: "hello"},
	{guest: "c-hello", export: "_start", stdin: "hello", often: true},
	{guest: "exit", export: "_start", often: true},
	{guest: "trap", export: "trap_unreachable", often: true},
	{guest: "trap", export: "div0", often: true},
	{guest: "trap", export: "oob", often: true},
	{guest: "loop", export: "run", limit: 1_000_000, often: true},
	{guest: "loop", export: "_start", limit: 12_345, often: true},
	{guest: "memhog", export: "run"},
	{guest: "memhog", export: "pages"},
	{guest: "recurse", export: "run", args: []uint64{0}, often: true},
	{guest: "bigout", export: "_start", limit: 100_000, often: true},
	{guest: "stdin-wait", export: "_start", stdin: "x", often: true},
	{guest: "unknown-import", export: "run", often: true},
	{guest: "unknown-import", export: "call", often: true},
}

// gasResult is what must be the same everywhere.
type gasResult struct {
	Gas int64  `json:"gas"`
	End string `json:"end"` // the result, or how it ended
}

// gasHost compiles guests with one configuration.
type gasHost struct {
	ctx      context.Context
	rt       wazero.Runtime
	meter    *grants
	compiled map[string]wazero.CompiledModule
}

func newGasHost(t *testing.T, cfg wazero.RuntimeConfig, slice int64) *gasHost {
	t.Helper()
	ctx := context.Background()
	h := &gasHost{ctx: ctx, meter: &grants{slice: slice}, compiled: map[string]wazero.CompiledModule{}}
	h.rt = wazero.NewRuntimeWithConfig(ctx, cfg.WithCoreFeatures(api.CoreFeaturesV2).WithMemoryLimitPages(512))
	t.Cleanup(func() { _ = h.rt.Close(ctx) })
	wasi_snapshot_preview1.MustInstantiate(ctx, h.rt)
	env := h.rt.NewHostModuleBuilder("env")
	env.NewFunctionBuilder().WithFunc(func() { panic(errors.New("an import that nobody offers")) }).Export("nothing")
	if _, err := env.Instantiate(ctx); err != nil {
		t.Fatal(err)
	}
	if err := h.meter.offer(ctx, h.rt); err != nil {
		t.Fatal(err)
	}
	return h
}

// run runs in an instance of its own. The stack is so small that it ends before that of the interpreter.
func (h *gasHost) run(t *testing.T, r gasRun) gasResult {
	t.Helper()
	c := h.compiled[r.guest]
	if c == nil {
		ready, err := wasm.Instrument(guest(t, r.guest), wasm.Policy{}, instrumentation(false))
		if err != nil {
			t.Fatalf("%s: %v", r.guest, err)
		}
		if c, err = h.rt.CompileModule(h.ctx, ready.Code); err != nil {
			t.Fatalf("%s: %v", r.guest, err)
		}
		h.compiled[r.guest] = c
	}
	*h.meter = grants{slice: h.meter.slice, limit: r.limit, depth: 10_000}
	var out bytes.Buffer
	cfg := wazero.NewModuleConfig().WithName("").WithStartFunctions().WithStdin(strings.NewReader(r.stdin)).WithStdout(&out).WithStderr(&out).WithArgs("guest", "3")
	mod, err := h.rt.InstantiateModule(h.ctx, c, cfg)
	if err != nil {
		t.Fatalf("%s: %v", r.guest, err)
	}
	defer mod.Close(h.ctx)
	results, err := mod.ExportedFunction(r.export).Call(h.ctx, r.args...)
	return gasResult{Gas: h.meter.used(mod), End: fmt.Sprintf("%s%d bytes", how(results, err), out.Len())}
}

func how(results []uint64, err error) string {
	var exit *sys.ExitError
	switch {
	case errors.As(err, &exit):
		return fmt.Sprintf("exit %d, ", exit.ExitCode())
	case err != nil:
		return firstLine(err.Error()) + ", "
	}
	return fmt.Sprintf("%d, ", results)
}

// TestGoldenGas: the same code, input and limits give the same gas on each run, with compiler and interpreter, in slices of any
// size, cold, warm and after a thousand runs, and on each processor: CI runs this test on an emulated one as well.
func TestGoldenGas(t *testing.T) {
	interpreter := newGasHost(t, wazero.NewRuntimeConfigInterpreter(), 1<<20)
	compiler := newGasHost(t, wazero.NewRuntimeConfigCompiler(), 1<<20)
	slices := newGasHost(t, wazero.NewRuntimeConfigCompiler(), 100)

	got := map[string]gasResult{}
	for _, r := range gasRuns {
		first := compiler.run(t, r)
		if _, again := got[r.name()]; again || first.Gas <= 0 {
			t.Errorf("%s: gas %d; named before: %v", r.name(), first.Gas, again)
		}
		got[r.name()] = first
		for what, h := range map[string]*gasHost{"warm": compiler, "interpreted": interpreter, "in slices of 100": slices} {
			if r.often || runtime.GOARCH == "amd64" {
				if other := h.run(t, r); other != first {
					t.Errorf("%s, %s: %+v, at first %+v", r.name(), what, other, first)
				}
			}
		}
	}
	for i := range 1000 {
		r := gasRuns[i%len(gasRuns)]
		if r.often {
			_ = compiler.run(t, r)
		}
	}
	for _, r := range gasRuns {
		if after := compiler.run(t, r); after != got[r.name()] {
			t.Errorf("%s, after a thousand runs: %+v, at first %+v", r.name(), after, got[r.name()])
		}
	}
	if *update {
		b, err := json.MarshalIndent(got, "", "\t")
		if err == nil {
			err = os.WriteFile(goldenFile, append(b, '\n'), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	b, err := os.ReadFile(goldenFile)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]gasResult{}
	if err := json.Unmarshal(b, &want); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("gas changed on %s: if it was meant to, raise wasm.InstrumentVersion and run with -update (-want +got)\n%s", runtime.GOARCH, diff)
	}
	if len(want) < 25 {
		t.Errorf("only %d runs in the golden file", len(want))
	}
	t.Logf("%d runs on %s", len(got), runtime.GOARCH)
}
