package engine

import (
	"context"
	"fmt"
	"hash/crc32"
	"maps"
	"math/rand/v2"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"

	"github.com/troupehost/troupe/artifacts/wasm"
	"github.com/troupehost/troupe/artifacts/wasm/wasmgen"
)

const allFeatures = api.CoreFeaturesV2 | experimental.CoreFeaturesTailCall | experimental.CoreFeaturesExtendedConst |
	experimental.CoreFeaturesExceptionHandling

// engines are the two of wazero. They share no code behind validation.
var engines = map[string]func() wazero.RuntimeConfig{
	"compiler":    wazero.NewRuntimeConfigCompiler,
	"interpreter": wazero.NewRuntimeConfigInterpreter,
}

// everything turns on all that the generator knows and that both engines run soundly. Exceptions are not among it: with
// them the interpreter loses its operands, and the compiler writes to memory that is not its own.
var everything = wasmgen.Config{SIMD: true, TailCalls: true, ExtendedConst: true, CanonicalNaNs: true}

// transcript is what a host can see of a module: instantiated, and each exported function called twice with other numbers.
type transcript struct {
	lines  []string
	spent  []account // of the start function, if there is one, and of each call
	ended  int       // calls that returned
	calls  int
	pages  uint32   // of memory, at most
	broken string   // what the meter saw and may not be
	host   uint64   // the price of all calls of the host; see hostPrice
	counts []uint64 // a naive count and that price, after the start function and each call
}

func (tr *transcript) logf(format string, args ...any) {
	if len(tr.lines) < 20000 {
		tr.lines = append(tr.lines, fmt.Sprintf(format, args...))
	}
}

// play runs a module, metered unless p is nil. It fails the test when the module does not compile.
func play(t testing.TB, engine string, code []byte, p *purse) *transcript {
	t.Helper()
	ctx := context.Background()
	rt := wazero.NewRuntimeWithConfig(ctx, engines[engine]().WithCoreFeatures(allFeatures))
	defer rt.Close(ctx)
	tr := &transcript{}
	env := rt.NewHostModuleBuilder(wasmgen.ImportModule)
	for _, i := range wasmgen.Imports() {
		env.NewFunctionBuilder().WithGoFunction(api.GoFunc(func(_ context.Context, stack []uint64) {
			tr.hostCall(i, stack)
		}), i.Params, i.Results).Export(i.Name)
	}
	if _, err := env.Instantiate(ctx); err != nil {
		t.Fatal(err)
	}
	meter := &meter{purse: p}
	if _, err := rt.NewHostModuleBuilder(wasm.MeterModule).NewFunctionBuilder().
		WithGoModuleFunction(api.GoModuleFunc(meter.refill), nil, nil).Export(wasm.MeterRefill).Instantiate(ctx); err != nil {
		t.Fatal(err)
	}
	compiled, err := rt.CompileModule(ctx, code)
	if err != nil {
		t.Fatalf("%s: %v", engine, err)
	}
	meter.limit = p.limitOf(0)
	m, err := rt.InstantiateModule(ctx, compiled, wazero.NewModuleConfig().WithName("guest"))
	if err != nil {
		tr.logf("start: %s", meter.settle(tr, err))
		return tr
	}
	if p != nil {
		meter.mod = m
	}
	if verdict := meter.settle(tr, nil); verdict != "" {
		tr.logf("start: %s", verdict)
		return tr
	}
	tr.state(m)
	for round := range 2 {
		for _, name := range slices.Sorted(maps.Keys(m.ExportedFunctionDefinitions())) {
			if p != nil && len(tr.spent) >= p.calls {
				return tr
			}
			m.ExportedGlobal(wasmgen.Fuel).(api.MutableGlobal).Set(200)
			d := m.ExportedFunctionDefinitions()[name]
			args := arguments(d.ParamTypes(), round)
			meter.begin(m, p.limitOf(len(tr.spent)))
			got, err := m.ExportedFunction(name).Call(ctx, slices.Clone(args)...) // the engine writes into it
			tr.calls++
			if verdict := meter.settle(tr, err); verdict != "" {
				tr.logf("%s(%x): %s", name, args, verdict)
			} else {
				tr.ended++
				tr.logf("%s(%x) = %x", name, args, numbersOf(d.ResultTypes(), got))
			}
			tr.state(m)
		}
	}
	return tr
}

// hostCall writes down what a host function was given, and answers by its arguments alone.
func (tr *transcript) hostCall(i wasmgen.Import, stack []uint64) {
	tr.logf("  %s(%x)", i.Name, numbersOf(i.Params, stack))
	tr.host += priceOf(i, stack)
	switch i.Name {
	case "mix":
		stack[0] = (stack[0]&0xffffffff)*0x9e3779b97f4a7c15 ^ stack[1]
	case "ref":
		stack[0] &= 0xff
	case "unref":
		stack[0] = uint64(uint32(stack[0]))
	}
}

// numbersOf masks what an engine leaves in the upper half of small numbers.
func numbersOf(types []api.ValueType, stack []uint64) []uint64 {
	out := make([]uint64, len(types))
	for i, t := range types {
		out[i] = stack[i]
		if t == api.ValueTypeI32 || t == api.ValueTypeF32 {
			out[i] &= 0xffffffff
		}
	}
	return out
}

func arguments(types []api.ValueType, round int) []uint64 {
	args := make([]uint64, len(types))
	for i, t := range types {
		v := uint64(3*i + 5*round)
		switch t {
		case api.ValueTypeF32:
			v = api.EncodeF32(float32(v) - 2.5)
		case api.ValueTypeF64:
			v = api.EncodeF64(float64(v) - 2.5)
		case api.ValueTypeI32:
			v = uint64(uint32(v) * 0x9e3779b9)
		}
		args[i] = v
	}
	return args
}

// state writes down memory and globals.
func (tr *transcript) state(m api.Module) {
	if g := m.ExportedGlobal(naiveGlobal); g != nil {
		tr.counts = append(tr.counts, g.Get()+tr.host)
	}
	var words []string
	for i := range 16 {
		if g := m.ExportedGlobal("g" + strconv.Itoa(i)); g != nil {
			words = append(words, fmt.Sprintf("g%d=%x", i, numbersOf([]api.ValueType{g.Type()}, []uint64{g.Get()})))
		}
	}
	words = append(words, fmt.Sprintf("fuel=%d", m.ExportedGlobal(wasmgen.Fuel).Get()&0xffffffff))
	if mem := m.ExportedMemory(wasmgen.Memory); mem != nil {
		b, _ := mem.Read(0, mem.Size())
		tr.pages = max(tr.pages, mem.Size()>>16)
		words = append(words, fmt.Sprintf("memory=%d:%08x", len(b), crc32.ChecksumIEEE(b)))
	}
	tr.logf("  %s", strings.Join(words, " "))
}

var startNumber = regexp.MustCompile(`start function\[\d+\] failed`)

// trap returns the reason without the trace.
func trap(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\nwasm stack trace")
	line = startNumber.ReplaceAllString(line, "start function failed") // the rewrite moves functions up
	return strings.TrimSuffix(line, " (recovered by wazero)")
}

func seeds() uint64 {
	if n, err := strconv.ParseUint(os.Getenv("TROUPE_WASM_SEEDS"), 10, 64); err == nil {
		return n
	}
	return 400
}

// choices are long enough for modules of full size.
func choices(seed uint64) []byte {
	r := rand.New(rand.NewPCG(seed, 4))
	b := make([]byte, 200+r.IntN(4000))
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

// TestBothEnginesAgreeOnGeneratedModules holds the generator to its word: what it makes compiles, ends, and does the same
// in both engines.
func TestBothEnginesAgreeOnGeneratedModules(t *testing.T) {
	ended, calls, size, differ := 0, 0, 0, 0
	for seed := range seeds() {
		code := wasmgen.Generate(choices(seed), everything)
		size += len(code)
		a, b := play(t, "compiler", code, nil), play(t, "interpreter", code, nil)
		if !slices.Equal(a.lines, b.lines) {
			differ++
			t.Logf("seed %d: compiler and interpreter differ:\n%s", seed, firstDifference(a, b))
		}
		ended, calls = ended+a.ended, calls+a.calls
	}
	t.Logf("%d modules of %d bytes on average, %d of %d calls return", seeds(), size/int(seeds()), ended, calls)
	if differ*2000 > int(seeds()) { // a comparison that the compiler turns round is in one of 20,000
		t.Errorf("%d modules differ", differ)
	}
	if ended*10 < calls*4 || calls < int(seeds())*2 {
		t.Errorf("only %d of %d calls return", ended, calls)
	}
}

func firstDifference(a, b *transcript) string {
	for i := range max(len(a.lines), len(b.lines)) {
		x, y := "(end)", "(end)"
		if i < len(a.lines) {
			x = a.lines[i]
		}
		if i < len(b.lines) {
			y = b.lines[i]
		}
		if x != y {
			return fmt.Sprintf("line %d of %d and %d:\n%s\n%s", i, len(a.lines), len(b.lines), x, y)
		}
	}
	return "nothing"
}
