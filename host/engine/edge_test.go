package engine

import (
	"bytes"
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/artifacts/wasm"
	"github.com/troupehost/troupe/host/abi"
	"github.com/troupehost/troupe/host/wire"
)

func TestCompressedCodeIsTheSameArtifact(t *testing.T) {
	plain, packed := compile(t, "echo"), compile(t, "echo-zstd")
	if !bytes.Equal(plain.Code, packed.Code) || plain.Module.WasmBytes != packed.Module.WasmBytes {
		t.Errorf("%+v, %+v", plain.Module, packed.Module)
	}
}

// TestSignaturesAreTheEngines compares the table of host/abi with what the engine links.
func TestSignaturesAreTheEngines(t *testing.T) {
	for name, d := range wasiDefinitions(t) {
		if spelled := spell(d); !abi.Known(abi.WASI, name, spelled) {
			t.Errorf("%s is %s in the engine", name, spelled)
		}
	}
}

func wasiDefinitions(t *testing.T) map[string]api.FunctionDefinition {
	t.Helper()
	ctx := context.Background()
	rt := wazero.NewRuntime(ctx)
	t.Cleanup(func() { _ = rt.Close(ctx) })
	b := rt.NewHostModuleBuilder(abi.WASI)
	wasi_snapshot_preview1.NewFunctionExporter().ExportFunctions(b)
	m, err := b.Compile(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return m.ExportedFunctions()
}

func spell(d api.FunctionDefinition) string {
	names := func(ts []api.ValueType) string {
		var out []string
		for _, t := range ts {
			out = append(out, api.ValueTypeName(t))
		}
		return strings.Join(out, ", ")
	}
	return "(" + names(d.ParamTypes()) + ") -> (" + names(d.ResultTypes()) + ")"
}

// TestAllOfWASILinksAndGrantsNothing calls each function on stdin and on a descriptor that no run has, with zeros for
// the rest: what needs a file or a socket answers with its errno.
func TestAllOfWASILinksAndGrantsNothing(t *testing.T) {
	defs := wasiDefinitions(t)
	names := abi.WASINames()
	slices.Sort(names)
	for _, fd := range []byte{0, 3} {
		var types, imports, funcs, exports, bodies [][]byte
		for i, n := range names {
			d := defs[n]
			types = append(types, funcType(string(d.ParamTypes()), string(d.ResultTypes())), funcType("", string(d.ResultTypes())))
			imports = append(imports, importFunc(abi.WASI, n, byte(2*i)))
			funcs = append(funcs, []byte{byte(2*i + 1)})
			exports = append(exports, exportFunc(n, len(names)+i))
			var code []byte
			for _, p := range d.ParamTypes() {
				code = append(code, map[api.ValueType]byte{api.ValueTypeI32: opI32Const, api.ValueTypeI64: opI64Const}[p], 0)
			}
			if len(code) > 0 && (strings.HasPrefix(n, "fd_") || strings.HasPrefix(n, "path_") || strings.HasPrefix(n, "sock_")) {
				code[1] = fd
			}
			bodies = append(bodies, body(append(code, opCall, byte(i))...))
		}
		a := loadCode(t, binaryModule(section(secType, types...), section(secImport, imports...), section(secFunc, funcs...),
			section(secMemory, []byte{0, 1}), section(secExport, exports...), section(secCode, bodies...)))
		for _, n := range names {
			out, _ := call(a, invoked(n))
			granted := string(out.Result) == "0"
			switch {
			case n == "proc_exit":
				if out.Fault == nil || out.Fault.Code != fault.GuestTrap {
					t.Errorf("proc_exit in a function: %+v", out)
				}
			case out.Fault != nil:
				t.Errorf("%s(%d): %v", n, fd, out.Fault)
			case strings.HasPrefix(n, "path_"), strings.HasPrefix(n, "sock_"), n == "fd_readdir", n == "proc_raise":
				if granted {
					t.Errorf("%s(%d) is granted", n, fd)
				}
			case strings.HasPrefix(n, "fd_") && fd == 3 && string(out.Result) != "8" && string(out.Result) != "52":
				t.Errorf("%s of no descriptor answers %s, neither 8 (bad descriptor) nor 52 (no such function)", n, out.Result)
			}
		}
	}
}

// TestPollOfWhatIsNotInMemory: numbers that wrap are outside of memory too. The engine still gets what is inside.
func TestPollOfWhatIsNotInMemory(t *testing.T) {
	a := loadCode(t, binaryModule(
		section(secType, funcType("\x7f\x7f\x7f\x7f", "\x7f")),
		section(secImport, importFunc(abi.WASI, "poll_oneoff", 0)),
		section(secFunc, []byte{0}),
		section(secMemory, []byte{0, 1}),
		section(secExport, exportFunc("f", 1)),
		section(secCode, body(opLocalGet, 0, opLocalGet, 1, opLocalGet, 2, opLocalGet, 3, opCall, 0)),
	))
	for _, row := range []struct {
		args string
		want string
	}{
		{"0 65520 0x80000000 1", "21"}, {"0 0 0x40000000 0", "21"}, {"0 0 0xffffffff 0", "21"}, {"65489 0 1 0", "21"}, {"0 65505 1 0", "21"},
		{"65488 0 1 8", "0"}, {"0 65504 1 8", "0"}, {"0 0 0 0", "28"}, // a clock that has rung; nothing is asked for
	} {
		if out, _ := call(a, invoked("f", strings.Fields(row.args)...)); string(out.Result) != row.want {
			t.Errorf("poll_oneoff(%s): %q, %v; want %s", row.args, out.Result, out.Fault, row.want)
		}
	}
}

// TestTheEngineNeedsOurFunctions fails when the engine's own are mended: then ours may go.
func TestTheEngineNeedsOurFunctions(t *testing.T) {
	ctx := context.Background()
	rt := wazero.NewRuntime(ctx)
	defer rt.Close(ctx)
	if _, err := wasi_snapshot_preview1.Instantiate(ctx, rt); err != nil {
		t.Fatal(err)
	}
	for name, code := range map[string][]byte{
		"fd_filestat_set_times": wasiCaller("fd_filestat_set_times", "\x7f\x7e\x7e\x7f", opI32Const, 0, opI64Const, 0, opI64Const, 0, opI32Const, 0, opCall, 0),
		"poll_oneoff": wasiCaller("poll_oneoff", "\x7f\x7f\x7f\x7f", opI32Const, 0, opI32Const, 0,
			opI32Const, 0x80, 0x80, 0x80, 0x80, 0x78, opI32Const, 0, opCall, 0), // 2^31 subscriptions
	} {
		m, err := rt.InstantiateWithConfig(ctx, code, wazero.NewModuleConfig().WithName(name).WithStdin(strings.NewReader("")))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := m.ExportedFunction("f").Call(ctx); err == nil {
			t.Errorf("%s does not crash any more: %v", name, got)
		}
	}
}

func TestImportsThatNobodyOffers(t *testing.T) {
	void := section(secType, funcType("", ""), funcType("\x7f", ""))
	rest := slices.Concat(section(secFunc, []byte{0}), section(secExport, exportFunc("_start", 2)), section(secCode, body()))
	for _, row := range []struct {
		name    string
		imports []byte
		trap    bool // it is enough that nobody calls it
	}{
		{"unknown", section(secImport, importFunc("env", "a", 0), importFunc("other", "b", 1)), true},
		{"known name, other type", section(secImport, importFunc(abi.WASI, "fd_close", 0), importFunc(abi.Env, abi.Malloc, 0)), true},
		{"one name, two types", section(secImport, importFunc("env", "a", 0), importFunc("env", "a", 1)), false},
		{"no name", section(secImport, importFunc("env", "", 0), importFunc("e\x1b", "", 1)), true},
	} {
		a := loadCode(t, binaryModule(void, row.imports, rest))
		if out, _ := call(a, Spec{}); out.Fault == nil || out.Fault.Code != fault.GuestUnknownImport {
			t.Errorf("%s, refused: %v", row.name, out.Fault)
		}
		out, _ := call(a, Spec{Imports: run.TrapMissing})
		if row.trap && out.Fault != nil || !row.trap && (out.Fault == nil || out.Fault.Code != fault.GuestUnknownImport) {
			t.Errorf("%s, trapping: %v", row.name, out.Fault)
		}
	}
	for _, policy := range []run.Imports{run.RefuseMissing, run.TrapMissing} {
		s := invoked("run")
		s.Imports = policy
		if out, _ := call(load(t, "import-table"), s); out.Fault == nil || out.Fault.Code != fault.GuestUnknownImport {
			t.Errorf("an imported table under policy %d: %v", policy, out.Fault)
		}
	}
}

// TestOnlyCommandsExit: a function that exits has not returned, whatever the code.
func TestOnlyCommandsExit(t *testing.T) {
	command, function := Spec{}, invoked("f")
	start := raw(secStart, []byte{1})
	for _, row := range []struct {
		name   string
		code   []byte
		spec   Spec
		want   fault.Code
		exited bool
		exit   int32
	}{
		{"a command returns", exiter(9, section(secExport, exportFunc("_start", 2))), command, "", true, 0},
		{"a command exits with 0", exiter(0, section(secExport, exportFunc("_start", 1))), command, "", true, 0},
		{"a command exits with 7", exiter(7, section(secExport, exportFunc("_start", 1))), command, fault.GuestExit, true, 7},
		{"a command exits in its start function", exiter(3, section(secExport, exportFunc("_start", 2)), start), command, fault.GuestExit, true, 3},
		{"a function exits with 0", exiter(0, section(secExport, exportFunc("f", 1))), function, fault.GuestTrap, false, 0},
		{"a function exits with 7", exiter(7, section(secExport, exportFunc("f", 1))), function, fault.GuestTrap, false, 0},
		{"_initialize exits", exiter(0, section(secExport, exportFunc("f", 2), exportFunc("_initialize", 1))), function, fault.GuestStartTrap, false, 0},
		{"the start function exits", exiter(0, section(secExport, exportFunc("f", 2)), start), function, fault.GuestStartTrap, false, 0},
	} {
		out, _ := call(loadCode(t, row.code), row.spec)
		if got := fault.CodeOf(asError(out.Fault)); got != row.want || out.Exited != row.exited || out.Exit != row.exit {
			t.Errorf("%s: %+v", row.name, out)
		}
	}
}

// TestARefusedGrowth: a guest that goes on after memory.grow said -1 and ends well is well. One that ends badly wanted
// memory, however much later and in whatever way, and how it ended is told. What its own maximum refuses is its own.
func TestARefusedGrowth(t *testing.T) {
	grow := []byte{opI32Const, 0xb8, 0x17, opGrow, 0, opDrop} // 3,000 pages more
	less := []byte{opI32Const, 1, opGrow, 0, opDrop}
	divide := []byte{opI32Const, 1, opI32Const, 0, opDivS, opDrop}
	guest := func(memory []byte) *App {
		return loadCode(t, binaryModule(
			section(secType, funcType("\x7f", ""), funcType("", "")),
			section(secImport, importFunc(abi.WASI, "proc_exit", 0)),
			section(secFunc, []byte{1}, []byte{1}, []byte{1}, []byte{1}, []byte{1}, []byte{1}),
			section(secMemory, memory),
			section(secExport, exportFunc("_start", 1), exportFunc("give up", 2), exportFunc("return", 3), exportFunc("divide", 4),
				exportFunc("go on with less", 5), exportFunc("divide at once", 6)),
			section(secCode, body(append(grow, opI32Const, 3, opCall, 0)...), body(append(grow, opUnreachable)...), body(grow...),
				body(slices.Concat(grow, divide)...), body(slices.Concat(grow, less, divide)...), body(divide...)),
		))
	}
	a, own := guest([]byte{0, 1}), guest([]byte{1, 1, 2})
	for _, row := range []struct {
		app    *App
		spec   Spec
		want   fault.Code
		cause  string
		exited bool
		exit   int32
	}{
		{a, Spec{}, fault.GuestMemory, "exit code 3", true, 3},
		{a, invoked("give up"), fault.GuestMemory, "unreachable in", false, 0},
		{a, invoked("divide"), fault.GuestMemory, "integer divide by zero in", false, 0},
		{a, invoked("go on with less"), fault.GuestMemory, "integer divide by zero in", false, 0},
		{a, invoked("return"), "", "", false, 0},
		{own, Spec{}, fault.GuestExit, "exit code 3", true, 3},
		{own, invoked("give up"), fault.GuestTrap, "unreachable in", false, 0},
	} {
		out, _ := call(row.app, row.spec)
		if got := fault.CodeOf(asError(out.Fault)); got != row.want || out.Exited != row.exited || out.Exit != row.exit {
			t.Errorf("%q: %+v", row.spec.Entry.Name, out)
		}
		if out.Fault == nil {
			continue
		}
		if text := out.Fault.Error(); !strings.Contains(text, row.cause) || strings.Contains(text, "growth of memory past its limit") != (row.app == a) {
			t.Errorf("%q: %v", row.spec.Entry.Name, out.Fault)
		}
	}
	// Of one run nothing is left to the next.
	if out, _ := call(a, invoked("divide at once")); fault.CodeOf(asError(out.Fault)) != fault.GuestTrap {
		t.Errorf("nothing of one run is left to the next, but: %+v", out)
	}
}

func asError(f *fault.Error) error {
	if f == nil {
		return nil
	}
	return f
}

// TestInitializeRunsOnceInEachRun: a reactor is made ready before its function is called, in its own instance.
func TestInitializeRunsOnceInEachRun(t *testing.T) {
	a := loadCode(t, binaryModule(
		section(secType, funcType("", ""), funcType("", "\x7f")),
		section(secFunc, []byte{0}, []byte{1}),
		section(secGlobal, []byte{i32, 1, opI32Const, 0, opEnd}),
		section(secExport, exportFunc("_initialize", 0), exportFunc("get", 1)),
		section(secCode, body(opGlobalGet, 0, opI32Const, 1, 0x6a, opGlobalSet, 0), body(opGlobalGet, 0)),
	))
	for range 2 {
		if out, _ := call(a, invoked("get")); string(out.Result) != "1" {
			t.Errorf("%+v", out)
		}
	}
	if out, _ := call(a, invoked("_initialize")); out.Fault != nil {
		t.Errorf("called by name: %v", out.Fault)
	}
	odd := loadCode(t, binaryModule(
		section(secType, funcType("\x7f", "")), section(secFunc, []byte{0}),
		section(secExport, exportFunc("_initialize", 0), exportFunc("f", 0)), section(secCode, body()),
	))
	if out, _ := call(odd, invoked("f", "1")); out.Fault == nil || out.Fault.Code != fault.GuestBadSignature {
		t.Errorf("an _initialize with parameters: %v", out.Fault)
	}
}

func TestTablesCountAgainstMemory(t *testing.T) {
	with := func(tables ...[]byte) []byte {
		return binaryModule(
			section(secType, funcType("", ""), funcType("\x7f", "\x7f")), section(secFunc, []byte{0}, []byte{1}),
			section(secTable, tables...),
			section(secExport, exportFunc("_start", 0), exportFunc("grow", 1)),
			section(secCode, body(), body(0xd0, 0x70, opLocalGet, 0, 0xfc, 15, 0)), // ref.null func, table.grow 0
		)
	}
	for name, code := range map[string][]byte{
		"a bomb of 44 bytes": with([]byte{0x70, 0, 0x80, 0x80, 0x80, 0x40}), // 2^27 elements
		"many tables":        with(slices.Repeat([][]byte{{0x70, 0, 0}}, wire.MaxTables+1)...),
	} {
		if _, err := Compile(context.Background(), code, 1<<20, Options{}); !errors.Is(err, fault.GuestMemory) {
			t.Errorf("%s: %v", name, err)
		}
	}
	half := loadCode(t, with([]byte{0x70, 0, 0x80, 0x80, 0x20}), wasm.Caps{TableElements: 1 << 19}) // 4 MiB
	if out, _ := call(half, Spec{MemoryBytes: 4<<20 - 1<<16}); out.Fault == nil || out.Fault.Code != fault.GuestMemory {
		t.Errorf("larger than the memory of the run: %v", out.Fault)
	}
	for by, want := range map[string]string{"524288": "524288", "524289": "-1", "30000000": "-1"} {
		if out, _ := call(half, invoked("grow", by)); string(out.Result) != want {
			t.Errorf("grown by %s: %q, %v", by, out.Result, out.Fault)
		}
	}
}

func TestWhatWASICannotSay(t *testing.T) {
	a := load(t, "exit")
	for _, e := range []run.Entry{{Args: []string{"a\x00b"}}, {Env: []string{"K=\x00"}}, {Env: []string{"=v"}}, {Env: []string{""}}} {
		if out, _ := call(a, Spec{Entry: e}); out.Fault == nil || out.Fault.Code != fault.CallerInvalid {
			t.Errorf("%+v: %v", e, out.Fault)
		}
	}
}

// TestTheHostLeaves: when the streams fail the run ends, and nothing is said about the guest.
func TestTheHostLeaves(t *testing.T) {
	a := load(t, "echo-wasi")
	gone := errors.New("gone")
	calls := 0
	out := a.Run(context.Background(), Spec{MemoryBytes: 1 << 20, OutputBytes: 100}, IO{
		Stdin:  func([]byte) (int, error) { calls++; return 0, gone },
		Output: func(bool, []byte) error { return nil },
	})
	if out.Fault == nil || out.Fault.Code != fault.CanceledStopped || calls != 1 {
		t.Errorf("stdin: %+v after %d calls", out, calls)
	}
	in := strings.NewReader("hello")
	out = a.Run(context.Background(), Spec{MemoryBytes: 1 << 20, OutputBytes: 100}, IO{
		Stdin:  in.Read,
		Output: func(bool, []byte) error { return gone },
	})
	if out.Fault == nil || out.Fault.Code != fault.CanceledStopped {
		t.Errorf("stdout: %+v", out)
	}
}

// TestTheMachineRefusesMemory: that is no fault of the guest, and never looks like its own limit.
func TestTheMachineRefusesMemory(t *testing.T) {
	a := loadCode(t, exiter(0, section(secExport, exportFunc("_start", 2))))
	mem := &linearMemory{limit: math.MaxInt64}
	func() {
		defer func() {
			if f, ok := recover().(*fault.Error); !ok || f.Code != fault.HostMemory {
				t.Errorf("recovered %v", f)
			}
		}()
		mem.Allocate(0, 0)
	}()
	out := a.Run(context.Background(), Spec{MemoryBytes: math.MaxInt64}, IO{})
	if out.Fault == nil || out.Fault.Code != fault.HostMemory {
		t.Errorf("%+v", out)
	}
}

func TestLinearMemory(t *testing.T) {
	m := &linearMemory{limit: 3 << 16}
	m.Allocate(0, 0)
	defer m.Free()
	first := m.Reallocate(1 << 16)
	first[0], first[1<<16-1] = 1, 2
	grown := m.Reallocate(3 << 16)
	if len(grown) != 3<<16 || &grown[0] != &first[0] || grown[1<<16-1] != 2 || grown[1<<17] != 0 {
		t.Error("growth moved or lost bytes")
	}
	if m.refused || m.Reallocate(4<<16) != nil || !m.refused || m.peak != 3<<16 {
		t.Errorf("past the limit: refused %v, peak %d", m.refused, m.peak)
	}
	m.Free()
	m.Free()
}

func TestClock(t *testing.T) {
	c := new(clock)
	if a, b := c.read(), c.read(); a != 0 || b != int64(time.Millisecond) {
		t.Errorf("%d, %d", a, b)
	}
	c.sleep(int64(time.Hour))
	c.sleep(-5)
	if got := c.read(); got != int64(time.Hour+2*time.Millisecond) {
		t.Errorf("after an hour: %d", got)
	}
	c.sleep(math.MaxInt64)
	if c.read() < 0 {
		t.Error("time ended")
	}
}

// TestDeterminism runs guests that ask for time and chance, twice in each mode.
func TestDeterminism(t *testing.T) {
	now := wasiCaller("clock_time_get", "\x7f\x7e\x7f", opI32Const, 0, opI64Const, 0, opI32Const, 0, opCall, 0)
	monotonic := wasiCaller("clock_time_get", "\x7f\x7e\x7f", opI32Const, 1, opI64Const, 0, opI32Const, 0, opCall, 0)
	random := wasiCaller("random_get", "\x7f\x7f", opI32Const, 0, opI32Const, 8, opCall, 0)
	for name, code := range map[string][]byte{"wall": now, "monotonic": monotonic, "random": random} {
		a := loadCode(t, code)
		var results []string
		for _, mode := range []run.Determinism{0, run.Deterministic, run.Deterministic, run.RealWorld, run.RealWorld} {
			s := invoked("f")
			s.Determinism, s.ClockStep = mode, 1 // two runs fit into a longer step
			out, _ := call(a, s)
			if out.Fault != nil {
				t.Fatalf("%s: %v", name, out.Fault)
			}
			results = append(results, string(out.Result))
		}
		if results[0] != results[1] || results[1] != results[2] {
			t.Errorf("%s is not deterministic: %v", name, results)
		}
		if results[2] == results[3] || results[3] == results[4] {
			t.Errorf("%s is not real: %v", name, results)
		}
	}
	out, _ := call(load(t, "sleep"), Spec{})
	if out.Fault != nil {
		t.Errorf("a sleep in deterministic time: %v", out.Fault)
	}
}

func TestBytes(t *testing.T) {
	a := load(t, "echo")
	echo := Spec{Entry: run.Entry{Mode: run.Bytes, Name: "echo"}}
	for _, n := range []int{0, 1, 7, 65535, 65536, 1 << 20} {
		echo.Input = bytes.Repeat([]byte{0xa5}, n)
		if out, _ := call(a, echo); out.Fault != nil || !bytes.Equal(out.Result, echo.Input) || out.Result == nil {
			t.Errorf("%d bytes: %d back, %v", n, len(out.Result), out.Fault)
		}
	}
	tight := echo
	tight.OutputBytes = int64(len(echo.Input)) - 1
	if out, _ := call(a, tight); out.Fault == nil || out.Fault.Code != fault.GuestOutputLimit {
		t.Errorf("a byte over the output limit: %v", out.Fault)
	}
	tight = echo
	tight.MemoryBytes = 1 << 20
	if out, _ := call(a, tight); out.Fault == nil || out.Fault.Code != fault.GuestMemory {
		t.Errorf("input larger than memory: %v", out.Fault)
	}
	// i64 result from (ptr, len): what a guest without memory can say.
	none := loadCode(t, binaryModule(section(secType, funcType("\x7f\x7f", "\x7e")), section(secFunc, []byte{0}),
		section(secExport, exportFunc("f", 0)), section(secCode, body(opI64Const, 0))))
	if out, _ := call(none, Spec{Entry: run.Entry{Mode: run.Bytes, Name: "f"}}); out.Fault == nil || out.Fault.Code != fault.GuestMissingExport {
		t.Errorf("without memory: %v", out.Fault)
	}
}

func TestNamesOfGuestsAreDefused(t *testing.T) {
	evil := "\x1b[31m\u202e" + strings.Repeat("x", 1000)
	names := raw(secCustom, slices.Concat(text("name"), raw(1, vector(append([]byte{0}, text(evil)...)))))
	trapping := slices.Concat(section(secType, funcType("", "")), section(secFunc, []byte{0}),
		section(secExport, exportFunc("f", 0)), section(secCode, body(opUnreachable)))
	a := loadCode(t, binaryModule(trapping, names))
	out, _ := call(a, invoked("f"))
	if out.Fault == nil || !strings.HasPrefix(out.Fault.Subject, "unreachable in ") || !strings.Contains(out.Fault.Subject, "[31m") || !strings.HasSuffix(out.Fault.Subject, "x… (function 0 at 0x1d)") {
		t.Fatalf("%v", out.Fault)
	}
	if strings.ContainsAny(out.Fault.Subject, "\x1b\u202e") || len(out.Fault.Subject) > fault.MaxQuoted {
		t.Errorf("%q", out.Fault.Subject)
	}
}

func TestNumbers(t *testing.T) {
	const f32, f64 = api.ValueTypeF32, api.ValueTypeF64
	for _, row := range []struct {
		t    api.ValueType
		in   string
		want string // "" : refused
	}{
		{i32, "0", "0"}, {i32, "-2147483648", "-2147483648"}, {i32, "4294967295", "-1"}, {i32, "0xffffffff", "-1"},
		{i32, "010", "10"}, {i32, "-0x10", "-16"}, {i32, "0b101", "5"}, {i32, "0o17", "15"}, {i32, "-0", "0"},
		{i32, "4294967296", ""}, {i32, "-2147483649", ""}, {i32, "", ""}, {i32, "-", ""}, {i32, "--1", ""}, {i32, "+1", ""},
		{i32, "0x", ""}, {i32, " 1", ""}, {i32, "1e3", ""}, {i32, "1_0", ""}, {i32, "0x-1", ""}, {i32, "\x1b", ""},
		{i64, "18446744073709551615", "-1"}, {i64, "-9223372036854775808", "-9223372036854775808"},
		{i64, "18446744073709551616", ""}, {i64, "-9223372036854775809", ""}, {i64, strings.Repeat("9", 60000), ""},
		{f32, "1.5", "1.5"}, {f32, "-inf", "-Inf"}, {f32, "nan", "NaN"}, {f32, "1e40", ""}, {f32, "x", ""},
		{f64, "1e40", "1e+40"}, {f64, "0x1p-2", "0.25"}, {f64, "1e400", ""},
	} {
		v, err := parse(row.t, row.in)
		if row.want == "" {
			if err == nil {
				t.Errorf("%.20q as %s is %d", row.in, api.ValueTypeName(row.t), v)
			}
			continue
		}
		if got := format(row.t, v); err != nil || got != row.want {
			t.Errorf("%q as %s: %q, %v; want %q", row.in, api.ValueTypeName(row.t), got, err, row.want)
		}
	}
	all := loadCode(t, binaryModule(
		section(secType, funcType("\x7f\x7e\x7d\x7c", "\x7c\x7d\x7e\x7f")), section(secFunc, []byte{0}),
		section(secExport, exportFunc("swap", 0)),
		section(secCode, body(opLocalGet, 3, opLocalGet, 2, opLocalGet, 1, opLocalGet, 0)),
	))
	if out, _ := call(all, invoked("swap", "-1", "-2", "0.5", "0.25")); string(out.Result) != "0.25 0.5 -2 -1" {
		t.Errorf("%+v", out)
	}
	vector := loadCode(t, binaryModule(section(secType, funcType("\x7b", "")), section(secFunc, []byte{0}),
		section(secExport, exportFunc("f", 0)), section(secCode, body())))
	if out, _ := call(vector, invoked("f", "1")); out.Fault == nil || out.Fault.Code != fault.GuestBadSignature {
		t.Errorf("a v128 parameter: %v", out.Fault)
	}
}

// TestHeapNeverHandsOutAByteTwice allocates and frees by chance.
func TestHeapNeverHandsOutAByteTwice(t *testing.T) {
	a := load(t, "echo")
	mod, err := a.rt.InstantiateModule(context.Background(), a.compiled, wazero.NewModuleConfig().WithName("").WithStartFunctions())
	if err != nil {
		t.Fatal(err)
	}
	defer mod.Close(context.Background())
	h := newHeap(mod)
	rnd := rand.New(rand.NewPCG(1, 2))
	held := map[uint32]uint32{}
	for range 3000 {
		if len(held) > 0 && rnd.IntN(2) == 0 {
			for p := range held {
				if !h.release(p) {
					t.Fatalf("free(%d) failed", p)
				}
				delete(held, p)
				break
			}
			continue
		}
		n := uint32(rnd.IntN(1 << rnd.IntN(14)))
		p, ok := h.malloc(n)
		if !ok || p%8 != 0 || uint64(p)+uint64(n) > uint64(mod.Memory().Size()) {
			t.Fatalf("malloc(%d) = %d, %v of %d", n, p, ok, mod.Memory().Size())
		}
		for q, m := range held {
			if p < q+max(m, 1) && q < p+max(n, 1) {
				t.Fatalf("%d+%d overlaps %d+%d", p, n, q, m)
			}
		}
		held[p] = n
	}
}

// FuzzCompile: whatever is refused blames the guest, whatever compiles loads.
func FuzzCompile(f *testing.F) {
	for _, name := range []string{"exit", "trap", "echo", "unknown-import", "import-table", "start-trap", "big-memory", "bad-body"} {
		f.Add(guest(f, name))
	}
	f.Fuzz(func(t *testing.T, code []byte) {
		c, err := Compile(context.Background(), code, 1<<20, Options{})
		if err != nil {
			if fault.From(err).Class != fault.Guest {
				t.Fatalf("%v", err)
			}
			return
		}
		a, err := Load(context.Background(), c.Contents())
		if err != nil {
			t.Fatalf("what was prepared does not load: %v", err)
		}
		if err := a.Close(); err != nil {
			t.Fatal(err)
		}
	})
}
