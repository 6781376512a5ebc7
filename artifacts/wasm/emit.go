package wasm

import (
	"encoding/binary"
	"slices"
)

// Locals that a rewritten body may have beside its own, in their order.
const (
	tempGas   = iota // i64: the account of gas
	tempStack        // i64
	tempI32
	tempF32
	tempF64
	tempV128
	tempKinds
)

var tempTypes = [tempKinds]byte{typeI64, typeI64, typeI32, typeF32, typeF64, typeV128}

func tempOf(float uint32) int {
	switch float {
	case floatF32:
		return tempF32
	case floatF64:
		return tempF64
	}
	return tempV128
}

// frameValues is what a call takes from the stack account beside parameters, locals and operands: the return address and what
// else the engine keeps.
const frameValues = 4

// emitter writes one body.
type emitter struct {
	*plan
	b     []byte
	temp  [tempKinds]uint32 // indices
	local bool              // the account of gas is kept in a local
	stack bool              // the depth is accounted
	check bool              // the account is checked at the exit
	whole bool              // the body stands in a block, so that it has one exit
	frame int64
}

// finish writes the body that was planned.
func (p *plan) finish() {
	v := p.v
	sum := uint64(0)
	for i := range p.list {
		if c := &p.list[i]; c.kind <= insCheck {
			sum += uint64(max(c.cost, 0))
		}
	}
	p.unchecked = max(p.unchecked, sum)
	gas := p.weights != nil
	e := emitter{plan: p, b: p.scratch[:0]}
	e.stack = p.o.Stack && !p.leaf
	e.check = gas && p.exit&flowCharged != 0
	e.local = gas && !p.tries && slices.ContainsFunc(p.loops, func(l planLoop) bool { return !l.calls && !l.params })
	e.whole = e.stack || e.check
	e.frame = int64(v.slots()) + int64(v.high) + frameValues
	e.locals()
	last := v.limit - 1 // the end of the function
	pos := int32(v.first)
	for n := range p.list {
		i := &p.list[n]
		e.b = append(e.b, v.code[pos:i.pos]...)
		pos = i.pos + e.insert(n, i)
	}
	e.b = append(e.b, v.code[pos:last]...)
	e.leave()
	e.b = append(e.b, opEnd)
	p.out = append(binary.AppendUvarint(p.out, uint64(len(e.b))), e.b...)
	p.scratch = e.b
}

// locals declares the locals of the body and those that are added.
func (e *emitter) locals() {
	v := e.v
	groups, pos := e.number(v.start)
	next := uint32(len(v.locals))
	want := e.temps
	want[tempGas] = e.weights != nil
	want[tempStack] = e.stack
	for k, w := range want {
		if w {
			e.temp[k] = next
			next++
			groups++
		}
	}
	e.b = binary.AppendUvarint(e.b, uint64(groups))
	e.b = append(e.b, v.code[pos:v.first]...)
	for k, w := range want {
		if w {
			e.b = append(e.b, 1, tempTypes[k])
		}
	}
}

// insert writes what is planned at one place, and returns how much of the original it replaces.
func (e *emitter) insert(n int, i *insert) int32 {
	switch i.kind {
	case insEntry:
		e.enter(i.cost)
	case insCharge:
		if e.weights != nil && i.cost != 0 {
			e.take(i.cost, false)
		}
	case insCheck:
		if e.loops[i.arg].caught {
			e.landing()
		}
		if e.weights != nil {
			e.header(i)
		}
	case insLoop:
		if e.turned(int32(i.arg)) {
			t := e.loopType(i.arg)
			e.b = append(append(e.b, opBlock), t...)
			e.b = append(append(e.b, opLoop), t...)
			e.b = append(e.b, opBlock, typeEmpty)
		}
	case insLoopEnd:
		if e.turned(int32(i.arg)) {
			e.op(opBr, 2)
			e.b = append(e.b, opEnd)
			e.fill()
			if c := e.list[e.loops[i.arg].header].cost; c != 0 { // which is taken again
				e.op(opLocalGet, e.temp[tempGas])
				e.constant(c)
				e.b = append(e.b, opI64Add)
				e.op(opLocalSet, e.temp[tempGas])
			}
			e.op(opBr, 0)
			e.b = append(e.b, opEnd, opEnd)
		}
	case insBranch:
		if !e.turned(i.loop) {
			return 0
		}
		e.op(e.v.code[i.pos], i.arg+3)
		return i.skip
	case insTable:
		if !e.turned(i.loop) {
			return 0
		}
		e.table(i)
		return i.skip
	case insReturn:
		if !e.whole {
			return 0
		}
		depth := i.arg
		if e.turned(i.loop) {
			depth += 3
		}
		e.op(opBr, depth)
		return i.skip
	case insCall:
		e.op(opCall, i.arg)
		e.reload(n)
		return i.skip
	case insIndirect:
		e.reload(n)
	case insTail:
		e.restore()
		if i.skip > 0 {
			e.op(opReturnCall, i.arg)
		}
		return i.skip
	case insFunc:
		e.op(opGlobalGet, i.arg)
		return i.skip
	case insAmount, insPages:
		e.amount(i)
	case insFloat:
		e.canonical(i.arg)
	case insLanding:
		e.landing()
	}
	return 0
}

// op writes an instruction with one index.
func (e *emitter) op(op byte, index uint32) {
	e.b = binary.AppendUvarint(append(e.b, op), uint64(index))
}

func (e *emitter) constant(c int64) { e.b = appendS64(append(e.b, opI64Const), c) }

// take takes gas, and leaves what is left on the operands if keep is set. The global always says what is left: a body that keeps
// the account in a local as well does so to spare itself the reading, which would have to wait for the writing before.
func (e *emitter) take(cost int64, keep bool) {
	if e.local {
		e.op(opLocalGet, e.temp[tempGas])
	} else {
		e.op(opGlobalGet, e.gasGlobal)
	}
	e.constant(cost)
	e.b = append(e.b, opI64Sub)
	if e.local || keep {
		e.op(opLocalTee, e.temp[tempGas])
	}
	e.op(opGlobalSet, e.gasGlobal)
	if keep {
		e.op(opLocalGet, e.temp[tempGas])
	}
}

// fillIfNegative has the account filled if the number on the operands is below zero.
func (e *emitter) fillIfNegative() {
	e.constant(0)
	e.b = append(e.b, opI64LtS, opIf, typeEmpty)
	e.fill()
	e.b = append(e.b, opEnd)
}

// fill has the account filled.
func (e *emitter) fill() {
	e.op(opCall, e.refill)
	if e.local {
		e.op(opGlobalGet, e.gasGlobal)
		e.op(opLocalSet, e.temp[tempGas])
	}
}

// enter writes what happens at the entry: gas and depth are taken, and checked together.
func (e *emitter) enter(cost int64) {
	gas := e.weights != nil
	if gas {
		e.op(opGlobalGet, e.gasGlobal)
		e.constant(cost)
		e.b = append(e.b, opI64Sub)
		e.op(opLocalTee, e.temp[tempGas])
		e.op(opGlobalSet, e.gasGlobal)
	}
	if e.stack {
		e.op(opGlobalGet, e.stackGlobal)
		e.constant(e.frame)
		e.b = append(e.b, opI64Sub)
		e.op(opLocalTee, e.temp[tempStack])
		e.op(opGlobalSet, e.stackGlobal)
		e.op(opLocalGet, e.temp[tempStack])
	}
	if gas {
		e.op(opLocalGet, e.temp[tempGas])
	}
	if gas && e.stack {
		e.b = append(e.b, opI64Or)
	}
	if gas || e.stack {
		e.fillIfNegative()
	}
	if e.stack && e.tries { // it may have been filled
		e.op(opGlobalGet, e.stackGlobal)
		e.op(opLocalSet, e.temp[tempStack])
	}
	if e.whole {
		e.b = append(append(e.b, opBlock), e.results[e.v.functions[e.v.fn]]...)
	}
}

// leave writes what happens at the one exit.
func (e *emitter) leave() {
	if !e.whole {
		return
	}
	e.b = append(e.b, opEnd)
	if e.tries {
		e.landing()
	}
	e.restore()
	if e.check {
		e.op(opGlobalGet, e.gasGlobal)
		e.constant(0)
		e.b = append(e.b, opI64LtS, opIf, typeEmpty)
		e.op(opCall, e.refill)
		e.b = append(e.b, opEnd)
	}
}

// restore gives back the depth: the function is about to be left.
func (e *emitter) restore() {
	if e.stack {
		e.op(opGlobalGet, e.stackGlobal)
		e.constant(e.frame)
		e.b = append(e.b, opI64Add)
		e.op(opGlobalSet, e.stackGlobal)
	}
}

// reload reads the account behind the call at n, unless the next call follows before anything is charged.
func (e *emitter) reload(n int) {
	if !e.local {
		return
	}
	if n+1 < len(e.list) {
		if next := &e.list[n+1]; (next.kind == insCall || next.kind == insIndirect) && next.quiet {
			return
		}
	}
	e.op(opGlobalGet, e.gasGlobal)
	e.op(opLocalSet, e.temp[tempGas])
}

// turned tells whether a loop is written so that an empty account leads out of it and back.
func (e *emitter) turned(loop int32) bool {
	return loop >= 0 && e.local && !e.loops[loop].calls && !e.loops[loop].params
}

func (e *emitter) loopType(loop uint32) []byte {
	l := &e.loops[loop]
	return e.v.code[l.start+1 : l.end]
}

// header writes the charge and the check at the header of a loop.
func (e *emitter) header(i *insert) {
	if i.cost != 0 {
		e.take(i.cost, true)
	} else if e.local {
		e.op(opLocalGet, e.temp[tempGas])
	} else {
		e.op(opGlobalGet, e.gasGlobal)
	}
	if !e.turned(int32(i.arg)) {
		e.fillIfNegative()
		return
	}
	e.constant(0)
	e.b = append(e.b, opI64LtS)
	e.op(opBrIf, 1)
}

// table writes a br_table again, with three more blocks around the innermost loop.
func (e *emitter) table(i *insert) {
	n, pos := e.number(int(i.pos) + 1)
	e.op(opBrTable, n)
	for range n + 1 {
		var depth uint32
		depth, pos = e.number(pos)
		if depth > i.arg {
			depth += 3
		}
		e.b = binary.AppendUvarint(e.b, uint64(depth))
	}
}

// amount writes a charge by the number on top of the operands.
func (e *emitter) amount(i *insert) {
	n := e.temp[tempI32]
	e.op(opLocalTee, n)
	if e.local {
		e.op(opLocalGet, e.temp[tempGas])
	} else {
		e.op(opGlobalGet, e.gasGlobal)
	}
	if i.kind == insPages { // what is more than a memory can have fails, and costs no more than that
		e.b = appendS64(append(e.b, opI32Const), mostPages)
		e.op(opLocalGet, n)
		e.op(opLocalGet, n)
		e.b = append(appendS64(append(e.b, opI32Const), mostPages), opI32GtU, opSelect)
	} else {
		e.op(opLocalGet, n)
	}
	e.b = append(e.b, opI64ExtendI32U)
	e.constant(i.cost)
	e.b = append(e.b, opI64Mul, opI64Sub)
	e.op(opLocalTee, e.temp[tempGas])
	e.op(opGlobalSet, e.gasGlobal)
	e.op(opLocalGet, e.temp[tempGas])
	e.fillIfNegative()
}

// landing restores the depth where an exception may arrive: the functions that it left have not given theirs back.
func (e *emitter) landing() {
	if e.stack {
		e.op(opLocalGet, e.temp[tempStack])
		e.op(opGlobalSet, e.stackGlobal)
	}
}

// canonical replaces a NaN on top of the operands by the canonical one.
func (e *emitter) canonical(float uint32) {
	t := e.temp[tempOf(float)]
	e.op(opLocalTee, t)
	switch float {
	case floatF32:
		e.b = binary.LittleEndian.AppendUint32(append(e.b, opF32Const), 0x7fc00000)
	case floatF64:
		e.b = binary.LittleEndian.AppendUint64(append(e.b, opF64Const), 0x7ff8000000000000)
	default:
		e.b = append(e.b, prefixVector, 0x0c)
		for range 2 {
			if float == floatF32x4 {
				e.b = binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint32(e.b, 0x7fc00000), 0x7fc00000)
			} else {
				e.b = binary.LittleEndian.AppendUint64(e.b, 0x7ff8000000000000)
			}
		}
	}
	e.op(opLocalGet, t)
	e.op(opLocalGet, t)
	switch float {
	case floatF32:
		e.b = append(e.b, opF32Eq, opSelect)
	case floatF64:
		e.b = append(e.b, opF64Eq, opSelect)
	case floatF32x4:
		e.b = append(e.b, prefixVector, 0x41, prefixVector, 0x52) // f32x4.eq, v128.bitselect
	default:
		e.b = append(e.b, prefixVector, 0x47, prefixVector, 0x52) // f64x2.eq
	}
}

// appendS64 appends a signed LEB128.
func appendS64(b []byte, v int64) []byte {
	for {
		c := byte(v & 0x7f)
		v >>= 7
		if v == 0 && c&0x40 == 0 || v == -1 && c&0x40 != 0 {
			return append(b, c)
		}
		b = append(b, c|0x80)
	}
}
