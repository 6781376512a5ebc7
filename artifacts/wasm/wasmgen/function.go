package wasmgen

import (
	"encoding/binary"
	"slices"
)

// maxDepth bounds expressions in expressions and blocks in blocks.
const maxDepth = 14

// function is one body on its way. What it writes always fits the stack: expr leaves one value of a type, stmt none, and
// what stands behind a branch may leave less, since the stack is polymorphic there.
type function struct {
	*gen
	sig    signature
	locals []byte   // with the parameters
	owned  []bool   // locals that random code leaves alone
	labels [][]byte // what each label takes, innermost last
	depth  int
	code   []byte
}

func (g *gen) body(s signature) []byte {
	f := &function{gen: g, sig: s, locals: slices.Clone(s.params)}
	for range g.pick(6) {
		f.locals = append(f.locals, oneOf(&g.source, g.valueTypes()))
	}
	f.owned = make([]bool, len(f.locals))
	f.labels = [][]byte{s.results}
	f.checkFuel()
	f.stmts(1 + f.pick(6))
	f.seq(s.results)
	f.byteOp(opEnd)
	decls := each(f.locals[len(s.params):], func(_ int, t byte) []byte { return []byte{1, t} })
	return append(vector(decls...), f.code...)
}

func (f *function) byteOp(c int) {
	f.seen[c]++
	f.budget--
	f.code = append(f.code, byte(c))
	if f.cfg.Detour { // beside the budget: what follows must not change
		f.code = append(f.code, detours[c]...)
	}
}

// detours follow an instruction and change nothing: each is twice the complement.
var detours = map[int][]byte{
	opI32And: {opI32Const, 0x7f, opI32Xor, opI32Const, 0x7f, opI32Xor},
	opI64And: {opI64Const, 0x7f, opI64Xor, opI64Const, 0x7f, opI64Xor},
}

func (f *function) misc(c int) {
	f.seen[0xfc00|c]++
	f.budget--
	f.code = append(f.code, 0xfc, byte(c))
}

func (f *function) vec(c int) {
	f.seen[0xfd00|c]++
	f.budget--
	f.code = binary.AppendUvarint(append(f.code, 0xfd), uint64(c))
}

func (f *function) u32(v int)     { f.code = binary.AppendUvarint(f.code, uint64(v)) }
func (f *function) raw(b ...byte) { f.code = append(f.code, b...) }

func (f *function) i32Const(v int) {
	f.byteOp(opI32Const)
	f.code = appendI32(f.code, int64(v))
}

func (f *function) index(c, v int) {
	f.byteOp(c)
	f.u32(v)
}

// own adds a local of which random code knows nothing: it holds counters, and NaNs that are not yet canonical.
func (f *function) own(t byte) int {
	f.locals, f.owned = append(f.locals, t), append(f.owned, true)
	return len(f.locals) - 1
}

// local returns a local of this type that is not one of own, or -1.
func (f *function) local(t byte) int {
	var fit []int
	for i, l := range f.locals {
		if l == t && !f.owned[i] {
			fit = append(fit, i)
		}
	}
	if len(fit) == 0 {
		return -1
	}
	return oneOf(&f.source, fit)
}

func (f *function) global(t byte, write bool) int {
	var fit []int
	for i, v := range f.globals {
		if v.typ == t && (!write || v.mutable && i > 0) {
			fit = append(fit, i)
		}
	}
	if len(fit) == 0 {
		return -1
	}
	return oneOf(&f.source, fit)
}

// checkFuel takes one of the fuel, or ends the function (or the program) when there is none.
func (f *function) checkFuel() {
	left := f.budget
	f.index(opGlobalGet, 0)
	f.byteOp(opI32Eqz)
	f.byteOp(opIf)
	f.raw(0x40)
	if f.graceful {
		for _, t := range f.sig.results {
			f.zero(t)
		}
		f.byteOp(opReturn)
	} else {
		f.byteOp(opUnreachable)
	}
	f.byteOp(opEnd)
	f.index(opGlobalGet, 0)
	f.i32Const(1)
	f.byteOp(opI32Sub)
	f.index(opGlobalSet, 0)
	f.budget = left
}

func (f *function) zero(t byte) {
	switch t {
	case i32, i64:
		f.byteOp(opI32Const + i32 - int(t))
		f.raw(0)
	case f32:
		f.byteOp(opF32Const)
		f.raw(make([]byte, 4)...)
	case f64:
		f.byteOp(opF64Const)
		f.raw(make([]byte, 8)...)
	case v128:
		f.vec(vecConst)
		f.raw(make([]byte, 16)...)
	default:
		f.byteOp(opRefNull)
		f.raw(t)
	}
}

// interesting are bit patterns: small, large, infinite and not a number.
var interesting = []uint64{
	0, 1, 2, 7, 0xff, 0x7fff, 0x8000, 0xffff, 0x7fffffff, 0x80000000, 0xffffffff, 1 << 62, 1<<63 - 1, 1 << 63, 1<<64 - 1,
	0x3f800000, 0xbf800000, 0x7f800000, 0xff800000, 0x7fc00000, 0xffc00001, 0x7fa00000, 0x4f000000,
	0x3ff0000000000000, 0xbff0000000000000, 0x7ff0000000000000, 0x7ff8000000000000, 0xfff8000000000001, 0x7ff4000000000000,
	0x41e0000000000000, 0x43e0000000000000, 0x3fe0000000000000,
}

func (f *function) bits() uint64 {
	if f.chance(48) {
		return f.u64()
	}
	return oneOf(&f.source, interesting)
}

func (f *function) constant(t byte) {
	switch t {
	case i32:
		f.i32Const(int(int32(f.bits())))
	case i64:
		f.byteOp(opI64Const)
		f.code = appendS64(f.code, int64(f.bits()))
	case f32:
		f.byteOp(opF32Const)
		f.code = binary.LittleEndian.AppendUint32(f.code, uint32(f.bits()))
	case f64:
		f.byteOp(opF64Const)
		f.code = binary.LittleEndian.AppendUint64(f.code, f.bits())
	case v128:
		f.vec(vecConst)
		f.code = binary.LittleEndian.AppendUint64(f.code, f.bits())
		f.code = binary.LittleEndian.AppendUint64(f.code, f.bits())
	default:
		f.zero(t)
	}
}

// consume takes values off the stack, the last first.
func (f *function) consume(types []byte) {
	for _, t := range slices.Backward(types) {
		l, g := f.local(t), f.global(t, true)
		switch {
		case l >= 0 && f.chance(160):
			f.index(opLocalSet, l)
		case g >= 0 && f.chance(160):
			f.index(opGlobalSet, g)
		default:
			f.byteOp(opDrop)
		}
	}
}

// blockType writes the type of a block.
func (f *function) blockType(params, results []byte) {
	switch {
	case len(params) == 0 && len(results) == 0:
		f.raw(0x40)
	case len(params) == 0 && len(results) == 1:
		f.raw(results[0])
	default:
		f.code = appendS64(f.code, int64(f.typeIndex(signature{params, results})))
	}
}

// canonical makes the NaNs of a value that was just computed canonical. nan is f32 or f64, also for vectors of them.
func (f *function) canonical(t, nan byte) {
	if !f.cfg.CanonicalNaNs || nan == 0 {
		return
	}
	left := f.budget
	l := f.own(t)
	bits := binary.LittleEndian.AppendUint32(nil, 0x7fc00000)
	if nan == f64 {
		bits = binary.LittleEndian.AppendUint64(nil, 0x7ff8000000000000)
	}
	f.index(opLocalTee, l)
	switch t {
	case f32:
		f.byteOp(opF32Const)
	case f64:
		f.byteOp(opF64Const)
	default:
		f.vec(vecConst)
		for len(bits) < 16 {
			bits = append(bits, bits...)
		}
	}
	f.raw(bits...)
	f.index(opLocalGet, l)
	f.index(opLocalGet, l)
	switch {
	case t == f32:
		f.byteOp(opF32Eq)
	case t == f64:
		f.byteOp(opF64Eq)
	case nan == f32:
		f.vec(vecF32x4Eq)
	default:
		f.vec(vecF64x2Eq)
	}
	if t == v128 {
		f.vec(vecBitselect)
	} else {
		f.byteOp(opSelect)
	}
	f.budget = left
}
