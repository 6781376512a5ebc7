package wasmgen

import "bytes"

// Fuel is the export of the mutable i32 that each loop and each function counts down.
const Fuel = "fuel"

// Memory is the export of the memory, if the module has one. It has at most MaxPages.
const (
	Memory   = "memory"
	MaxPages = 4
)

// ImportModule is the module of all imports.
const ImportModule = "env"

// Import is a function that modules may import. The types are codes of the binary format.
type Import struct {
	Name            string
	Params, Results []byte
}

// Imports returns all functions that a module may import, in a fixed order.
func Imports() []Import {
	return []Import{
		{"log_i32", []byte{i32}, nil},
		{"log_i64", []byte{i64}, nil},
		{"log_f32", []byte{f32}, nil},
		{"log_f64", []byte{f64}, nil},
		{"mix", []byte{i32, i64}, []byte{i64}},
		{"ref", []byte{i32}, []byte{externRef}},
		{"unref", []byte{externRef}, []byte{i32}},
	}
}

// Config says what modules may have beyond WebAssembly 2.0 without vectors. The zero value is usable.
type Config struct {
	SIMD          bool
	TailCalls     bool
	Exceptions    bool
	ExtendedConst bool
	CanonicalNaNs bool // every NaN that arithmetic makes is made canonical by the module itself, so that engines agree on its bits
	Pressure      bool // expressions with up to 40 values alive at once, over calls and loops: more than a processor has registers
	NoRemainders  bool // no remainders of integers
	NoExternInit  bool // no table is initialised from a passive segment of externref
	Detour        bool // each bitwise and is inverted twice, which no compiler recognises: the same module otherwise
	Size          int  // most instructions, checks apart; 0: 1,000, and never more than 20,000
	Fuel          int  // loops and calls of a start function; 0: 500
}

type signature struct{ params, results []byte }

func (s signature) equal(t signature) bool {
	return bytes.Equal(s.params, t.params) && bytes.Equal(s.results, t.results)
}

type global struct {
	typ     byte
	mutable bool
	init    []byte
}

type table struct {
	typ  byte
	min  int
	init []int // functions of its active segment, for a funcref table
}

type segment struct {
	funcs []int // -1: null
	exprs bool
	typ   byte
}

// gen is one module on its way. Index spaces begin with what is imported.
type gen struct {
	source
	cfg      Config
	budget   int
	graceful bool // out of fuel: return zeros instead of trapping
	memory   bool
	types    []signature
	imports  []Import
	funcs    []signature // all, with the imported
	bodies   [][]byte
	globals  []global // 0 is the fuel
	tables   []table
	elems    []segment // passive, behind the active ones
	actives  int       // active element segments
	segments [][]byte  // 0 is active, the others are passive
	tags     []signature
	start    int // 0: none
	byResult map[byte][]op
	seen     map[int]int // op.code -> times
}

// Generate makes a module out of choices.
func Generate(data []byte, cfg Config) []byte {
	g := generate(data, cfg)
	return g.encode()
}

func generate(data []byte, cfg Config) *gen {
	if cfg.Size <= 0 {
		cfg.Size = 1000
	}
	if cfg.Fuel <= 0 {
		cfg.Fuel = 500
	}
	cfg.Size = min(cfg.Size, 20000)
	g := &gen{source: source{data}, cfg: cfg, byResult: map[byte][]op{}, seen: map[int]int{}}
	g.graceful = !g.chance(48)
	g.memory = !g.chance(24)
	g.declare()
	defined := g.funcs[len(g.imports):]
	for i, s := range defined {
		g.budget = cfg.Size / len(defined)
		if i == 0 {
			g.budget = cfg.Size / 2 / len(defined) // often the simplest: what behind it is called has more
		}
		g.bodies = append(g.bodies, g.body(s))
	}
	return g
}

// numbers are the types that a host can give and take.
var numbers = []byte{i32, i64, f32, f64}

// types that values may have here.
func (g *gen) valueTypes() []byte {
	all := []byte{i32, i64, f32, f64, i32, i64, f32, f64, funcRef, externRef}
	if g.cfg.SIMD {
		all = append(all, v128, v128)
	}
	return all
}

func (g *gen) someTypes(most int, of []byte) []byte {
	ts := make([]byte, g.pick(most+1))
	for i := range ts {
		ts[i] = oneOf(&g.source, of)
	}
	return ts
}

// typeIndex returns the index of a signature, which it adds if need be.
func (g *gen) typeIndex(s signature) int {
	for i, t := range g.types {
		if t.equal(s) {
			return i
		}
	}
	g.types = append(g.types, s)
	return len(g.types) - 1
}

// declare settles everything outside of bodies, so that all of them can use all of it.
func (g *gen) declare() {
	for _, i := range Imports() {
		if !g.chance(64) {
			g.imports = append(g.imports, i)
			g.funcs = append(g.funcs, signature{i.Params, i.Results})
		}
	}
	all := g.valueTypes()
	for n := 1 + g.pick(7); n > 0; n-- {
		of := all
		if g.chance(192) {
			of = numbers
		}
		s := signature{g.someTypes(4, of), g.someTypes(3, of)}
		if len(g.funcs) > 0 && g.chance(64) {
			s = g.funcs[g.pick(len(g.funcs))]
		}
		g.funcs = append(g.funcs, s)
	}
	if g.chance(64) {
		g.start = len(g.funcs)
		g.funcs = append(g.funcs, signature{})
	}
	for _, s := range g.funcs {
		g.typeIndex(s)
	}
	g.declareGlobals(all)
	g.declareTables()
	if g.memory {
		for range 1 + g.pick(3) {
			g.segments = append(g.segments, g.some(40))
		}
	}
	if g.cfg.Exceptions {
		for range 1 + g.pick(3) {
			s := signature{params: g.someTypes(2, all)}
			g.typeIndex(s)
			g.tags = append(g.tags, s)
		}
	}
}

func (g *gen) some(most int) []byte {
	b := make([]byte, g.pick(most))
	for i := range b {
		b[i] = g.byte()
	}
	return b
}

func (g *gen) declareGlobals(all []byte) {
	g.globals = []global{{i32, true, appendI32([]byte{opI32Const}, int64(g.cfg.Fuel))}}
	for n := g.pick(8); n > 0; n-- {
		t := oneOf(&g.source, all)
		f := &function{gen: g}
		switch {
		case t == funcRef && g.chance(128):
			f.byteOp(opRefFunc)
			f.u32(g.pick(len(g.funcs)))
		case t == i32 && g.cfg.ExtendedConst && g.chance(128):
			f.constant(i32)
			f.constant(i32)
			f.byteOp(opI32Add)
		default:
			f.constant(t)
		}
		g.globals = append(g.globals, global{t, !g.chance(64), f.code})
	}
}

func (g *gen) declareTables() {
	for n := g.pick(4); n >= 0; n-- {
		t := table{typ: funcRef, min: 1 + g.pick(12)}
		if len(g.tables) == 2 {
			t.typ = externRef
		} else {
			for range g.pick(t.min + 1) {
				t.init = append(t.init, g.pick(len(g.funcs)))
			}
		}
		g.tables = append(g.tables, t)
	}
	for _, t := range g.tables {
		if len(t.init) > 0 {
			g.actives++
		}
	}
	for n := g.pick(4); n > 0; n-- {
		s := segment{exprs: g.chance(128), typ: funcRef}
		if s.exprs && g.chance(64) {
			s.typ = externRef
		}
		for range g.pick(8) {
			at := g.pick(len(g.funcs))
			if s.exprs && (s.typ == externRef || g.chance(64)) {
				at = -1
			}
			s.funcs = append(s.funcs, at)
		}
		g.elems = append(g.elems, s)
	}
}
