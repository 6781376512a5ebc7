package engine

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/host/abi"
)

func guest(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "..", "testdata", "guests", name+".wasm"))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func compile(t testing.TB, name string) *Compiled {
	t.Helper()
	c, err := Compile(context.Background(), guest(t, name), 64<<20, Options{})
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return c
}

func load(t testing.TB, name string) *App {
	t.Helper()
	c := compile(t, name)
	a, err := Load(context.Background(), c.Contents())
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	t.Cleanup(func() { _ = a.Close() })
	return a
}

// ending is an outcome with its result.
type ending struct {
	Outcome
	Result []byte
}

// call runs with default limits; output goes to the returned buffer.
func call(a *App, s Spec) (ending, *bytes.Buffer) {
	var out bytes.Buffer
	var end ending
	if s.MemoryBytes == 0 {
		s.MemoryBytes = run.DefaultMemoryBytes
	}
	if s.OutputBytes == 0 {
		s.OutputBytes = 1 << 20
	}
	end.Outcome = a.Run(context.Background(), s, IO{
		Stdin:  func([]byte) (int, error) { return 0, io.EOF },
		Output: func(_ bool, p []byte) error { out.Write(p); return nil },
		Result: func(p []byte) error { end.Result = append([]byte{}, p...); return nil },
	})
	return end, &out
}

func invoked(name string, args ...string) Spec {
	return Spec{Entry: run.Entry{Mode: run.Invoke, Name: name, Args: args}}
}

func TestSelfTestAndWhatIsOffered(t *testing.T) {
	if b, err := SelfTest(nil); err != nil || b.CPU == "" {
		t.Errorf("%+v, %v", b, err)
	}
	ctx := context.Background()
	rt := wazero.NewRuntime(ctx)
	defer rt.Close(ctx)
	b := rt.NewHostModuleBuilder(abi.WASI)
	wasi_snapshot_preview1.NewFunctionExporter().ExportFunctions(b)
	m, err := b.Compile(ctx)
	if err != nil {
		t.Fatal(err)
	}
	names := abi.WASINames()
	if len(names) != 46 || len(m.ExportedFunctions()) != 46 {
		t.Errorf("%d functions listed, %d linked", len(names), len(m.ExportedFunctions()))
	}
	for _, n := range names {
		if m.ExportedFunctions()[n] == nil {
			t.Errorf("%s is listed and not linked", n)
		}
	}
}

func TestArtifactsAreReproducibleAndNeverCompiledTwice(t *testing.T) {
	a, b := compile(t, "kernels"), compile(t, "kernels")
	if !bytes.Equal(a.Code, b.Code) || !bytes.Equal(a.Skeleton, b.Skeleton) || !bytes.Equal(a.Frame, b.Frame) || !bytes.Equal(a.Image, b.Image) {
		t.Error("two preparations of one code differ")
	}
	other := []byte(strings.Repeat("x", len(engineVersion(t))))
	for name, change := range map[string]func(p *Parts){
		"no code":       func(p *Parts) { p.Code.Bytes = nil },
		"cut code":      func(p *Parts) { p.Code.Bytes = p.Code.Bytes[:len(p.Code.Bytes)/2] },
		"more code":     func(p *Parts) { p.Code.Bytes = append(bytes.Clone(p.Code.Bytes), 0) },
		"code byte":     func(p *Parts) { p.Code.Bytes = flip(p.Code.Bytes, len(p.Code.Bytes)/2) },
		"no frame":      func(p *Parts) { p.Frame = nil },
		"cut frame":     func(p *Parts) { p.Frame = p.Frame[:len(p.Frame)-2] },
		"short frame":   func(p *Parts) { p.Frame = p.Frame[:frameHeader-1] },
		"frame version": func(p *Parts) { p.Frame = flip(p.Frame, 0) },
		"head length":   func(p *Parts) { p.Frame = flip(p.Frame, 31) },
		"functions": func(p *Parts) {
			p.Frame = flip(p.Frame, frameHeader+7+len(engineVersion(t))+3) // 16 million more
		},
		"magic":         func(p *Parts) { p.Frame = flip(p.Frame, frameHeader) },
		"version":       func(p *Parts) { p.Frame = bytes.Replace(p.Frame, []byte(engineVersion(t)), other, 1) },
		"image address": func(p *Parts) { p.Image.Bytes = []byte{1}; p.Frame = flip(p.Frame, 8) },
		"image beyond":  func(p *Parts) { p.Image.Bytes = []byte{1}; p.Frame = flip(p.Frame, 14) },
		"no skeleton":   func(p *Parts) { p.Module = []byte("no module") },
	} {
		p := a.Contents()
		change(&p)
		if _, err := Load(context.Background(), p); !errors.Is(err, fault.SuspectArtifact) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// engineVersion is how the engine names itself inside of its entries.
func engineVersion(t *testing.T) string {
	t.Helper()
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, d := range info.Deps {
			if strings.HasSuffix(d.Path, "/wazero") {
				return d.Version
			}
		}
	}
	return "dev"
}

func flip(b []byte, at int) []byte {
	b = bytes.Clone(b)
	b[at] ^= 1
	return b
}

func TestFaults(t *testing.T) {
	for _, row := range []struct {
		guest string
		spec  Spec
		want  fault.Code
		text  string // in the subject
	}{
		{"trap", invoked("trap_unreachable"), fault.GuestTrap, "unreachable in"},
		{"trap", invoked("div0"), fault.GuestTrap, "integer divide by zero"},
		{"trap", invoked("oob"), fault.GuestTrap, "out of bounds"},
		{"trap", Spec{}, fault.GuestTrap, ""},
		{"start-trap", invoked("run"), fault.GuestStartTrap, ""},
		{"recurse", invoked("run", "0"), fault.GuestStack, ""},
		{"memhog", Spec{Entry: run.Entry{Mode: run.Invoke, Name: "run"}, MemoryBytes: 1 << 20}, fault.GuestMemory, "unreachable in"},
		{"kernels", Spec{Entry: run.Entry{Mode: run.Invoke, Name: "fib"}, MemoryBytes: 1 << 20}, fault.GuestMemory, ""},
		{"unknown-import", invoked("run"), fault.GuestUnknownImport, "env.nothing"},
		{"unknown-import", Spec{Entry: run.Entry{Mode: run.Invoke, Name: "call"}, Imports: run.TrapMissing}, fault.GuestUnknownImport, "env.nothing"},
		{"echo", invoked("no\x1b[31m"), fault.GuestMissingExport, "no\uFFFD[31m"},
		{"hash-puzzle", Spec{Entry: run.Entry{Mode: run.Bytes, Name: "run"}}, fault.GuestBadSignature, ""},
		{"echo", Spec{Entry: run.Entry{Mode: run.Bytes, Name: "lie"}, OutputBytes: 1 << 33}, fault.GuestBadOutput, ""},
		{"bigout", Spec{}, fault.GuestOutputLimit, ""},
		{"exit", Spec{Entry: run.Entry{Args: []string{"9"}}}, fault.GuestExit, "9"},
		{"hash-puzzle", invoked("run", "1"), fault.CallerInvalid, "takes 2 numbers"},
		{"hash-puzzle", invoked("run", "1", "x"), fault.CallerInvalid, "argument 2"},
		{"hash-puzzle", invoked("run", "1", "4294967296"), fault.CallerInvalid, "argument 2"},
		{"adder", Spec{Entry: run.Entry{Mode: run.Bytes, Name: "validate_block"}, Input: []byte("short")}, fault.GuestTrap, ""},
	} {
		out, _ := call(load(t, row.guest), row.spec)
		if out.Fault == nil || out.Fault.Code != row.want || !strings.Contains(out.Fault.Subject, row.text) {
			t.Errorf("%s %+v: %v, want %s with %q", row.guest, row.spec.Entry, out.Fault, row.want, row.text)
		}
	}
}

func TestResults(t *testing.T) {
	a := load(t, "hash-puzzle")
	for _, args := range [][]string{{"0", "2"}, {"0x0", "0b10"}, {"-0", "2"}, {"0", "0o2"}} {
		if out, _ := call(a, invoked("run", args...)); string(out.Result) != "563" {
			t.Errorf("%v: %q %v", args, out.Result, out.Fault)
		}
	}
	if out, _ := call(load(t, "unknown-import"), Spec{Entry: run.Entry{Mode: run.Invoke, Name: "run"}, Imports: run.TrapMissing}); string(out.Result) != "7" {
		t.Errorf("an import that is not called: %+v", out)
	}
	if out, _ := call(load(t, "memhog"), Spec{Entry: run.Entry{Mode: run.Invoke, Name: "pages"}, MemoryBytes: 5 << 16}); string(out.Result) != "5" || out.MemoryPeak != 5<<16 {
		t.Errorf("growth up to the limit: %q, peak %d", out.Result, out.MemoryPeak)
	}
	if out, _ := call(load(t, "exit"), Spec{Entry: run.Entry{Args: []string{"0"}}}); out.Fault != nil || !out.Exited || out.Exit != 0 {
		t.Errorf("exit 0: %+v", out)
	}
}

// TestRunsSeeNothingOfEachOther runs guests that leave traces in memory and globals, twice each.
func TestRunsSeeNothingOfEachOther(t *testing.T) {
	for _, row := range []struct {
		guest string
		spec  Spec
	}{
		{"kernels", invoked("sequential", "1")}, // adds up memory and changes it
		{"kernels", invoked("random_writes", "1000")},
		{"go-hello", Spec{Entry: run.Entry{Mode: run.Command, Env: []string{"A=1"}}}},
	} {
		a := load(t, row.guest)
		first, out1 := call(a, row.spec)
		second, out2 := call(a, row.spec)
		if first.Fault != nil || !bytes.Equal(first.Result, second.Result) || !bytes.Equal(out1.Bytes(), out2.Bytes()) {
			t.Errorf("%s: %q then %q (%v)", row.guest, first.Result, second.Result, first.Fault)
		}
	}
}

// TestHostileHeap frees what was never allocated, and frees twice.
func TestHostileHeap(t *testing.T) {
	a := load(t, "memhog")
	mod, err := a.rt.InstantiateModule(context.Background(), a.compiled, wazero.NewModuleConfig().WithName("").WithStartFunctions())
	if err != nil {
		t.Fatal(err)
	}
	defer mod.Close(context.Background())
	h := newHeap(mod)
	p, ok := h.malloc(100)
	q, ok2 := h.malloc(1)
	if !ok || !ok2 || p == q || p%8 != 0 {
		t.Fatalf("%d %v, %d %v", p, ok, q, ok2)
	}
	if !h.release(p) || h.release(p) {
		t.Error("a block is freed once")
	}
	if again, ok := h.malloc(128); !ok || again != p {
		t.Errorf("a freed block is used again: %d, want %d", again, p)
	}
	for _, bad := range []uint32{0, 4, 8, 1 << 31, 0xffffffff} {
		if h.release(bad) {
			t.Errorf("free(%#x) is accepted", bad)
		}
	}
	if _, ok := h.malloc(1 << 31); ok {
		t.Error("2 GiB are handed out")
	}
	if !h.release(q) || !mod.Memory().WriteUint64Le(q-headerBytes, 0xfffffff0) { // the guest spoils the list
		t.Fatal("cannot spoil")
	}
	if _, ok := h.malloc(1); !ok {
		t.Error("the first block of a spoiled list is still there")
	}
	if _, ok := h.malloc(1); ok {
		t.Error("a block outside of memory is handed out")
	}
}

func BenchmarkCompileKernels(b *testing.B) {
	code := guest(b, "kernels")
	for b.Loop() {
		if _, err := Compile(context.Background(), code, 1<<20, Options{}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkLoadGo(b *testing.B) {
	c := compile(b, "go-hello")
	for b.Loop() {
		a, err := Load(context.Background(), c.Contents())
		if err != nil {
			b.Fatal(err)
		}
		_ = a.Close()
	}
}

func BenchmarkRunSmall(b *testing.B) {
	a := load(b, "hash-puzzle")
	for b.Loop() {
		if out, _ := call(a, invoked("run", "0", "0")); out.Fault != nil {
			b.Fatal(out.Fault)
		}
	}
}
