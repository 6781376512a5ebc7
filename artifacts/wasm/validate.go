package wasm

import (
	"bytes"
	"fmt"

	"github.com/troupehost/troupe/actors/fault"
)

// Judge decodes and validates code, and holds it against a policy. The result shares memory with code; of the custom sections
// it holds the names alone, and these are not looked into. Time is linear in the size of the code, at about 200 MB/s.
//
// What the engine refuses is refused, even where the specification allows it: imports of a module without a name, exnref in a
// select or an element, long spellings of the opcodes of vectors. Modules that use what no host offers are refused by the name
// of the proposal: threads, memory64, multi-memory, gc, typed-function-references, relaxed-simd, legacy-exceptions.
//
// # Errors
//
// Those of Scan; guest.feature, guest.too_complex, guest.invalid_module. Messages name the function and the offset.
func Judge(code []byte, p Policy) (*Module, error) { return judge(code, p, nil) }

// judge is Judge, and shows the bodies to a plan unless that is nil.
func judge(code []byte, p Policy, pl *plan) (*Module, error) {
	if err := header(code); err != nil {
		return nil, err
	}
	v := newValidator(code, p, pl)
	if err := v.m.split(code, true); err != nil {
		return nil, err
	}
	for _, s := range v.m.sections {
		if err := v.section(s); err != nil {
			return nil, err
		}
	}
	if err := v.whole(); err != nil {
		return nil, err
	}
	return v.m, v.m.check()
}

// Within holds a shape that was recorded against a policy, as Judge would.
//
// # Errors
//
// guest.feature, guest.too_complex.
func (s Shape) Within(p Policy) error {
	if off := s.Features &^ p.features(); off != 0 {
		return fault.New(fault.GuestFeature, "judge", off.Names()[0], nil)
	}
	caps, has := p.Caps.withDefaults(), s.Caps
	limits := caps.fields()
	for i, f := range has.fields() {
		if *f > *limits[i] {
			return tooComplex("the code", capNames[i], *f, *limits[i])
		}
	}
	return nil
}

// tooComplex says that something passes a cap.
func tooComplex(where, name string, has, limit int) error {
	return fault.New(fault.GuestTooComplex, "judge", fmt.Sprintf("%s: %s is %d, and %d is the most", where, name, has, limit), nil)
}

// signature is a type of functions with what the walk asks for often: the number of v128 among the values.
type signature struct {
	params, results         []byte
	paramsWide, resultsWide int
}

func makeSignature(params, results []byte) signature {
	return signature{params, results, bytes.Count(params, []byte{typeV128}), bytes.Count(results, []byte{typeV128})}
}

type globalType struct {
	value   byte
	mutable bool
}

// validator decodes and validates one module, section by section, and walks its bodies. A plan may read what is said to be its.
type validator struct {
	m       *Module
	code    []byte // the whole module
	caps    Caps   // with defaults
	allowed Features
	plan    *plan // nil: nobody looks on

	// The index spaces, imported things first.
	types     []signature
	functions []uint32 // types
	imported  int      // functions that are imported
	tables    []byte   // types of the elements
	memories  int
	globals   []globalType
	foreign   int // globals that are imported
	tags      []uint32
	elements  []byte // types of the segments
	data      int    // data segments that the data count section announces; -1: there is none
	fills     bool   // memory.init stands somewhere
	declared  []bool // functions that ref.func may name

	codeBytes       int // of the code section
	squares, phiSum int // sums over all bodies so far

	err       error
	constants []byte // the stack of a constant expression

	walk
}

// walk is the state of the walk through one body. The plan of a rewrite may read all of it while it is told of an event; the
// event of an instruction comes when the state is that behind it.
type walk struct {
	fn         uint32 // index of the function, imported ones first
	start      int    // offset of the body in the module, behind its size
	first      int    // offset of the first instruction
	sig        *signature
	locals     []byte  // types, parameters first; shared with the next function
	wideLocals int     // v128 among them
	frames     []frame // blocks that are open, the function itself first; none behind the last end
	ended      frame   // the block that the last end or else closed
	live       bool    // the next instruction can be reached
	dead       bool    // the operands below base are whatever is asked for (the spec calls it unreachable)
	base       int     // height of the operands where the innermost block begins, its parameters not among them
	wide       int     // v128 among the operands
	high       int     // the highest height so far, in values: a v128 is two

	at    int // offset of the instruction
	pos   int // offset behind what is read of it
	limit int // offset of the end of the body
	sp    int // operands
	stack []byte

	work
	controls int // instructions that count as control
	targets  int
	carried  int
	nesting  int
	tagIndex uint32 // that was read last
	table    uint32 // number of the br_table, so that each block is looked at once
}

// slots returns the number of parameters and locals, in values: a v128 is two.
func (w *walk) slots() int { return len(w.locals) + w.wideLocals }

// frame is a block that is open. It is small, since there are many.
type frame struct {
	op      byte // opBlock, opLoop, opIf, opElse, opTryTable; opCall for the function itself
	live    bool // the block can be entered
	reached bool // a branch that can be reached leads to its end
	joined  bool // ways meet at its end, or at its head
	dead    bool // walk.dead of its own code, while a block is open in it
	table   uint32
	base    int // height of the operands below its parameters
	wide    int // v128 among these
	start   int // offset of the instruction that opened it
	chain   int // work.chain there
	sig     *signature
}

// label returns the types that a branch to the block carries, and the number of v128 among them.
func (f *frame) label() ([]byte, int) {
	if f.op == opLoop {
		return f.sig.params, f.sig.paramsWide
	}
	return f.sig.results, f.sig.resultsWide
}

// eventKind is what happens in a body that a rewrite has to know of.
type eventKind uint8

// The events; arg is what the comment says, else 0.
const (
	evBlock eventKind = iota
	evLoop
	evIf
	evElse
	evEnd
	evBr   // depth
	evBrIf // depth
	evBrTable
	evReturn
	evUnreachable
	evCall               // function
	evCallIndirect       // type
	evReturnCall         // function
	evReturnCallIndirect // type
	evThrow              // tag
	evThrowRef
	evTryTable
	evRefFunc // function
	evMemoryGrow
	evMemoryFill
	evMemoryCopy
	evMemoryInit // segment
	evDataDrop   // segment
	evTableGrow  // table
	evTableFill  // table
	evTableCopy  // destination
	evTableInit  // table
	evTableSet   // table
	evElemDrop   // segment
	evFloat      // floatF32 or another of these
)

func newValidator(code []byte, p Policy, pl *plan) *validator {
	v := &validator{m: &Module{}, code: code, caps: p.Caps.withDefaults(), allowed: p.features(), plan: pl, data: -1}
	if pl != nil {
		pl.v = v
	}
	return v
}

// shape is where the walk writes down what it measures.
func (v *validator) shape() *Shape { return &v.m.Shape }

// use notes that a feature is used at an offset; false means that it is off, and v.err is set.
func (v *validator) use(f Features, off int) bool {
	v.m.Shape.Features |= f
	if missing := f &^ v.allowed; missing != 0 {
		v.refuse(missing.Names()[0], off)
		return false
	}
	return true
}

// refuse sets the fault of a feature that is off or that no host offers.
func (v *validator) refuse(name string, off int) {
	if v.err == nil {
		v.err = fault.New(fault.GuestFeature, "judge", fmt.Sprintf("%s: %s", v.where(off), name), nil)
	}
}

// fail sets the fault of code that is not valid.
func (v *validator) fail(off int, format string, args ...any) {
	if v.err == nil {
		v.err = fault.New(fault.GuestInvalid, "judge", fmt.Sprintf("%s: %s", v.where(off), fmt.Sprintf(format, args...)), nil)
	}
}

// within holds a count against its cap: it notes the most that was seen, and sets the fault of what is over. A refusal names
// the cap as the configuration does.
func (v *validator) within(name string, measured *int, has, limit, off int) bool {
	*measured = max(*measured, has)
	if has > limit && v.err == nil {
		v.err = tooComplex(v.where(off), name, has, limit)
	}
	return has <= limit
}

// where names a place in the code: the function too, while one is walked.
func (v *validator) where(off int) string {
	if v.sig != nil {
		return fmt.Sprintf("function %d, offset %#x", v.fn, off)
	}
	return fmt.Sprintf("offset %#x", off)
}
