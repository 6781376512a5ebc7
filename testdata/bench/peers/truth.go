package main

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/bytecodealliance/wasmtime-go/v39"
	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"

	"github.com/troupehost/troupe/artifacts/wasm/wasmgen"
)

// truthFuel is what a module may use in one call: loops and calls.
const truthFuel = 200

// opinion runs a module on one engine and says what a host sees: each call of the host, each result, traps, memory, globals.
type opinion struct {
	name string
	run  func(code []byte) ([]string, error)
}

// truthMain is "peers -truth N [FROM]".
func truthMain(args []string) int {
	n, from, err := 0, uint64(0), error(nil)
	if len(args) > 0 {
		n, err = strconv.Atoi(args[0])
	}
	if len(args) > 1 && err == nil {
		from, err = strconv.ParseUint(args[1], 10, 64)
	}
	if err == nil && n > 0 && len(args) <= 2 {
		err = truth(n, from)
	} else {
		err = errors.New("usage: peers -truth N [FROM]")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "peers:", err)
		return 1
	}
	return 0
}

// truth compares the engine of this host, compiled and interpreted, with wasmtime on n modules of the generator. A difference
// that is gone when each bitwise and is inverted twice is the known one of the engine's compiler; any other is an error. What both
// ways to run on wazero get wrong alike is not generated: see host/engine.TestEngineTruth.
func truth(n int, from uint64) error {
	wasmtimeEngine := wasmtime.NewEngineWithConfig(truthConfig())
	opinions := []opinion{
		{"wazero compiled", func(code []byte) ([]string, error) { return wazeroOpinion(wazero.NewRuntimeConfigCompiler(), code) }},
		{"wazero interpreted", func(code []byte) ([]string, error) { return wazeroOpinion(wazero.NewRuntimeConfigInterpreter(), code) }},
		{"wasmtime", func(code []byte) ([]string, error) { return wasmtimeOpinion(wasmtimeEngine, code) }},
	}
	known, unknown, calls := 0, 0, 0
	for seed := from; seed < from+uint64(n); seed++ {
		cfg := wasmgen.Config{SIMD: true, TailCalls: true, ExtendedConst: true, CanonicalNaNs: true, Pressure: true, NoExternInit: true}
		data := truthChoices(seed)
		what, lines, err := compare(opinions, wasmgen.Generate(data, cfg))
		if err != nil {
			return fmt.Errorf("seed %d: %w", seed, err)
		}
		if calls += lines; what == "" {
			continue
		}
		cfg.Detour = true
		again, _, err := compare(opinions, wasmgen.Generate(data, cfg))
		if err != nil {
			return fmt.Errorf("seed %d: %w", seed, err)
		}
		if again == "" {
			known++
			fmt.Printf("seed %d: a turned comparison: %s\n", seed, what)
			continue
		}
		unknown++
		fmt.Printf("seed %d: unexplained: %s\n", seed, what)
		small := smallest(data, 400, func(less []byte) bool {
			plain := cfg
			plain.Detour = false
			what, _, err := compare(opinions, wasmgen.Generate(less, plain))
			return err == nil && what != ""
		})
		cfg.Detour = false
		code := wasmgen.Generate(small, cfg)
		what, _, _ = compare(opinions, code)
		fmt.Printf("  a module of %d bytes that shows one: %s\n  choices %x\n", len(code), what, small)
	}
	fmt.Printf("%d modules from %d on, %d lines of each engine: %d explained differences, %d unexplained\n", n, from, calls, known, unknown)
	if unknown > 0 {
		return errors.New("the engines disagree")
	}
	return nil
}

func truthChoices(seed uint64) []byte {
	r := rand.New(rand.NewPCG(seed, 4))
	b := make([]byte, 200+r.IntN(4000))
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

// smallest cuts choices down while they show a difference, in at most so many tries.
func smallest(data []byte, tries int, shows func([]byte) bool) []byte {
	for part := len(data) / 2; part > 0 && tries > 0; {
		shorter := false
		for at := 0; at+part <= len(data) && tries > 0; tries-- {
			if less := slices.Concat(data[:at], data[at+part:]); shows(less) {
				data, shorter = less, true
			} else {
				at += part
			}
		}
		if !shorter {
			part /= 2
		}
	}
	return data
}

// compare returns the first line in which opinions differ, "" if they do not, and how many lines there are.
func compare(opinions []opinion, code []byte) (string, int, error) {
	all := make([][]string, len(opinions))
	for i, o := range opinions {
		var err error
		if all[i], err = o.run(code); err != nil {
			return "", 0, fmt.Errorf("%s: %w", o.name, err)
		}
	}
	for line := range all[0] {
		for i, lines := range all[1:] {
			if len(lines) <= line || lines[line] != all[0][line] {
				other := "(end)"
				if len(lines) > line {
					other = lines[line]
				}
				return fmt.Sprintf("%s: %s; %s: %s", opinions[0].name, all[0][line], opinions[i+1].name, other), 0, nil
			}
		}
	}
	for i, lines := range all[1:] {
		if len(lines) != len(all[0]) {
			return fmt.Sprintf("%s goes on", opinions[i+1].name), 0, nil
		}
	}
	return "", len(all[0]), nil
}

// truthArguments are the numbers that a function is called with, as bits.
func truthArguments(types []api.ValueType, round int) []uint64 {
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

// answer is what a host function says, by its arguments alone.
func answer(name string, args []uint64) uint64 {
	switch name {
	case "mix":
		return (args[0]&0xffffffff)*0x9e3779b97f4a7c15 ^ args[1]
	case "ref":
		return args[0] & 0xff
	case "unref":
		return uint64(uint32(args[0]))
	}
	return 0
}

// trapOf is the reason of a trap in words that both engines share. Where one tells apart what the other does not, neither does.
func trapOf(err error) string {
	text := err.Error()
	if t, ok := err.(*wasmtime.Trap); ok {
		text = t.Message()
	}
	for _, row := range []struct{ in, out string }{
		{"unreachable", "unreachable"}, {"divide by zero", "division"}, {"integer overflow", "overflow"}, {"invalid conversion", "conversion"},
		{"out of bounds memory", "memory"}, {"out of bounds table", "table"}, {"undefined element", "table"}, {"uninitialized element", "table"},
		{"invalid table access", "table"}, {"indirect call type mismatch", "signature"}, {"stack", "stack"},
	} {
		if strings.Contains(text, row.in) {
			return row.out
		}
	}
	return text
}

func bitsOf(types []api.ValueType, stack []uint64) []uint64 {
	out := slices.Clone(stack[:len(types)])
	for i, t := range types {
		if t == api.ValueTypeI32 || t == api.ValueTypeF32 {
			out[i] &= 0xffffffff
		}
	}
	return out
}

// script drives a module: the calls, twice each with other numbers, and the state after each.
type script struct {
	lines   []string
	names   []string
	types   map[string][2][]api.ValueType
	setFuel func()
	call    func(name string, args []uint64) ([]uint64, error)
	state   func() string
}

func (s *script) logf(format string, args ...any) {
	if len(s.lines) < 20000 {
		s.lines = append(s.lines, fmt.Sprintf(format, args...))
	}
}

func (s *script) play() []string {
	s.logf("%s", s.state())
	for round := range 2 {
		for _, name := range s.names {
			s.setFuel()
			types := s.types[name]
			args := truthArguments(types[0], round)
			got, err := s.call(name, slices.Clone(args))
			if err != nil {
				s.logf("%s(%x): %s", name, args, trapOf(err))
			} else {
				s.logf("%s(%x) = %x", name, args, bitsOf(types[1], got))
			}
			s.logf("%s", s.state())
		}
	}
	return s.lines
}

func wazeroOpinion(config wazero.RuntimeConfig, code []byte) ([]string, error) {
	ctx := context.Background()
	rt := wazero.NewRuntimeWithConfig(ctx, config.WithCoreFeatures(api.CoreFeaturesV2|experimental.CoreFeaturesTailCall|experimental.CoreFeaturesExtendedConst))
	defer rt.Close(ctx)
	s := &script{types: map[string][2][]api.ValueType{}}
	env := rt.NewHostModuleBuilder(wasmgen.ImportModule)
	for _, i := range wasmgen.Imports() {
		env.NewFunctionBuilder().WithGoFunction(api.GoFunc(func(_ context.Context, stack []uint64) {
			args := bitsOf(i.Params, stack)
			s.logf("  %s(%x)", i.Name, args)
			if len(i.Results) > 0 {
				stack[0] = answer(i.Name, args)
			}
		}), i.Params, i.Results).Export(i.Name)
	}
	if _, err := env.Instantiate(ctx); err != nil {
		return nil, err
	}
	compiled, err := rt.CompileModule(ctx, code)
	if err != nil {
		return nil, err
	}
	m, err := rt.InstantiateModule(ctx, compiled, wazero.NewModuleConfig().WithName(""))
	if err != nil {
		s.logf("start: %s", trapOf(err))
		return s.lines, nil
	}
	for name, d := range m.ExportedFunctionDefinitions() {
		s.types[name] = [2][]api.ValueType{d.ParamTypes(), d.ResultTypes()}
	}
	s.names = slices.Sorted(maps.Keys(s.types))
	s.setFuel = func() { m.ExportedGlobal(wasmgen.Fuel).(api.MutableGlobal).Set(truthFuel) }
	s.call = func(name string, args []uint64) ([]uint64, error) { return m.ExportedFunction(name).Call(ctx, args...) }
	s.state = func() string {
		var words []string
		for i := range 16 {
			if g := m.ExportedGlobal(fmt.Sprintf("g%d", i)); g != nil {
				words = append(words, fmt.Sprintf("g%d=%x", i, bitsOf([]api.ValueType{g.Type()}, []uint64{g.Get()})))
			}
		}
		words = append(words, fmt.Sprintf("fuel=%d", uint32(m.ExportedGlobal(wasmgen.Fuel).Get())))
		if mem := m.ExportedMemory(wasmgen.Memory); mem != nil {
			b, _ := mem.Read(0, mem.Size())
			words = append(words, fmt.Sprintf("memory=%d:%08x", len(b), crc32.ChecksumIEEE(b)))
		}
		return strings.Join(words, " ")
	}
	return s.play(), nil
}

func truthConfig() *wasmtime.Config {
	c := wasmtime.NewConfig()
	c.SetWasmTailCall(true)
	return c
}

var kinds = map[api.ValueType]wasmtime.ValKind{
	api.ValueTypeI32: wasmtime.KindI32, api.ValueTypeI64: wasmtime.KindI64, api.ValueTypeF32: wasmtime.KindF32, api.ValueTypeF64: wasmtime.KindF64,
	api.ValueTypeExternref: wasmtime.KindExternref,
}

func valueTypes(types []api.ValueType) []*wasmtime.ValType {
	out := make([]*wasmtime.ValType, len(types))
	for i, t := range types {
		out[i] = wasmtime.NewValType(kinds[t])
	}
	return out
}

func numbersOf(types []*wasmtime.ValType) []api.ValueType {
	out := make([]api.ValueType, len(types))
	for i, t := range types {
		for ours, theirs := range kinds {
			if theirs == t.Kind() {
				out[i] = ours
			}
		}
	}
	return out
}

func fromVal(v wasmtime.Val) uint64 {
	switch v.Kind() {
	case wasmtime.KindI32:
		return uint64(uint32(v.I32()))
	case wasmtime.KindI64:
		return uint64(v.I64())
	case wasmtime.KindF32:
		return uint64(math.Float32bits(v.F32()))
	case wasmtime.KindF64:
		return math.Float64bits(v.F64())
	}
	if n, ok := v.Externref().(uint64); ok {
		return n
	}
	return 0 // null
}

func toVal(t api.ValueType, bits uint64) wasmtime.Val {
	switch t {
	case api.ValueTypeI32:
		return wasmtime.ValI32(int32(bits))
	case api.ValueTypeI64:
		return wasmtime.ValI64(int64(bits))
	case api.ValueTypeF32:
		return wasmtime.ValF32(math.Float32frombits(uint32(bits)))
	case api.ValueTypeF64:
		return wasmtime.ValF64(math.Float64frombits(bits))
	}
	if bits == 0 { // as wazero has it
		return wasmtime.ValExternref(nil)
	}
	return wasmtime.ValExternref(bits)
}

func wasmtimeOpinion(engine *wasmtime.Engine, code []byte) ([]string, error) {
	store := wasmtime.NewStore(engine)
	defer store.Close()
	linker := wasmtime.NewLinker(engine)
	defer linker.Close()
	s := &script{types: map[string][2][]api.ValueType{}}
	for _, i := range wasmgen.Imports() {
		f := wasmtime.NewFunc(store, wasmtime.NewFuncType(valueTypes(i.Params), valueTypes(i.Results)), func(_ *wasmtime.Caller, in []wasmtime.Val) ([]wasmtime.Val, *wasmtime.Trap) {
			args := make([]uint64, len(in))
			for n, v := range in {
				args[n] = fromVal(v)
			}
			s.logf("  %s(%x)", i.Name, args)
			if len(i.Results) == 0 {
				return nil, nil
			}
			return []wasmtime.Val{toVal(i.Results[0], answer(i.Name, args))}, nil
		})
		if err := linker.Define(store, wasmgen.ImportModule, i.Name, f); err != nil {
			return nil, err
		}
	}
	module, err := wasmtime.NewModule(engine, code)
	if err != nil {
		return nil, err
	}
	defer module.Close()
	instance, err := linker.Instantiate(store, module)
	if err != nil {
		s.logf("start: %s", trapOf(err))
		return s.lines, nil
	}
	globals, memory := map[string]*wasmtime.Global{}, (*wasmtime.Memory)(nil)
	for _, e := range module.Exports() {
		x := instance.GetExport(store, e.Name())
		switch {
		case x.Func() != nil:
			t := x.Func().Type(store)
			s.types[e.Name()] = [2][]api.ValueType{numbersOf(t.Params()), numbersOf(t.Results())}
		case x.Global() != nil:
			globals[e.Name()] = x.Global()
		case x.Memory() != nil:
			memory = x.Memory()
		}
	}
	s.names = slices.Sorted(maps.Keys(s.types))
	s.setFuel = func() { _ = globals[wasmgen.Fuel].Set(store, wasmtime.ValI32(truthFuel)) }
	s.call = func(name string, args []uint64) ([]uint64, error) {
		in := make([]any, len(args))
		for i, t := range s.types[name][0] {
			in[i] = toVal(t, args[i])
		}
		got, err := instance.GetFunc(store, name).Call(store, in...)
		if err != nil {
			return nil, err
		}
		switch got := got.(type) {
		case nil:
			return nil, nil
		case []wasmtime.Val:
			var out []uint64
			for _, v := range got {
				out = append(out, fromVal(v))
			}
			return out, nil
		case int32:
			return []uint64{uint64(uint32(got))}, nil
		case int64:
			return []uint64{uint64(got)}, nil
		case float32:
			return []uint64{uint64(math.Float32bits(got))}, nil
		case float64:
			return []uint64{math.Float64bits(got)}, nil
		}
		return nil, fmt.Errorf("a result of type %T", got)
	}
	s.state = func() string {
		var words []string
		for i := range 16 {
			if g := globals[fmt.Sprintf("g%d", i)]; g != nil {
				words = append(words, fmt.Sprintf("g%d=%x", i, []uint64{fromVal(g.Get(store))}))
			}
		}
		words = append(words, fmt.Sprintf("fuel=%d", uint32(globals[wasmgen.Fuel].Get(store).I32())))
		if memory != nil {
			b := memory.UnsafeData(store)
			words = append(words, fmt.Sprintf("memory=%d:%08x", len(b), crc32.ChecksumIEEE(b)))
		}
		return strings.Join(words, " ")
	}
	return s.play(), nil
}
