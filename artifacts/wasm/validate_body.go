package wasm

// body walks the body that begins at v.start and ends before end: the validation algorithm of the specification (its
// appendix 7.3) with the operands as one byte each.
func (v *validator) body(end int) {
	v.walk = walk{fn: v.fn, start: v.start, sig: v.sig, locals: v.locals[:0], frames: v.frames[:0], stack: v.stack, table: v.table, limit: end}
	pos := v.declareLocals(end)
	if v.err != nil {
		return
	}
	// Nothing but calls and blocks pushes more than one operand per byte, and these make room for themselves.
	if need := end - pos; len(v.stack) < need {
		v.stack = make([]byte, max(need, 2*len(v.stack)))
	}
	v.first, v.since, v.live = pos, pos, true
	v.frames = append(v.frames, frame{op: opCall, live: true, start: pos, sig: v.sig})
	if v.plan != nil {
		v.plan.begin(v.fn)
	}
	v.instructions(pos, end)
	if v.err != nil {
		return
	}
	if v.plan != nil {
		v.plan.finish()
	}
	shape := &v.shape().Caps
	shape.ControlOps = max(shape.ControlOps, v.controls)
	shape.Carried = max(shape.Carried, v.carried)
	shape.BranchTargets = max(shape.BranchTargets, v.targets)
	shape.Nesting = max(shape.Nesting, v.nesting)
	v.settle()
}

// declareLocals reads the declarations of locals, and returns the offset of the first instruction.
func (v *validator) declareLocals(end int) int {
	v.locals = append(v.locals, v.sig.params...)
	r := &reader{b: v.code[v.start:end], off: v.start}
	count := len(v.locals)
	if !v.within("locals", &v.shape().Locals, count, v.caps.Locals, r.off) {
		return 0
	}
	for groups := r.u32("locals"); groups > 0 && r.err == nil; groups-- {
		off := r.off
		n, t := r.u32("locals"), r.byte("locals")
		if r.err != nil || !v.valueType(t, off) || !v.within("locals", &v.shape().Locals, count+int(n), v.caps.Locals, off) {
			break
		}
		count += int(n)
		for range n {
			v.locals = append(v.locals, t)
		}
	}
	if r.err != nil {
		v.fail(r.off, "the locals are cut off")
	}
	for _, t := range v.locals {
		if t == typeV128 {
			v.wideLocals++
		}
	}
	return r.off
}

// instructions walks the instructions from pos to end. What is rare, and all that has to do with blocks, is in special; the
// position and the height of the operands are kept in variables of their own between such instructions.
func (v *validator) instructions(pos, end int) {
	var (
		code    = v.code[:end:end]
		stack   = v.stack
		locals  = v.locals
		sp      = 0
		high    = 0
		plan    = v.plan
		weights *Weights
		table   = plainOps()
		allowed = v.allowed
	)
	if plan != nil {
		weights = v.weights()
	}
	for pos < len(code) {
		at := pos
		op := code[pos]
		pos++
		info := &table[op]
		if plan != nil {
			plan.cost += uint64(weights.Op[op])
		}
		switch info.kind {
		case opPlain:
			if info.feature&^allowed != 0 {
				v.use(info.feature, at)
				return
			}
		case opLocal:
			var index uint32
			if pos < len(code) && code[pos] < 0x80 {
				index = uint32(code[pos])
				pos++
			} else if index, pos = leb32(code, pos); pos < 0 {
				v.fail(at, "%s: the index is cut off or too long", info.name)
				return
			}
			if int64(index) >= int64(len(locals)) {
				v.fail(at, "%s: there is no local %d", info.name, index)
				return
			}
			t := locals[index]
			if op == opLocalGet {
				if t == typeV128 {
					v.wide++
				}
				stack[sp] = t
				sp++
				high = max(high, sp+v.wide)
				continue
			}
			if sp > v.base && stack[sp-1] == t {
				if op == opLocalSet {
					sp--
					if t == typeV128 {
						v.wide--
					}
				}
				continue
			}
			v.at, v.sp = at, sp
			if !v.pop(t) {
				return
			}
			if sp = v.sp; op == opLocalTee {
				stack[sp] = t
				sp++
				if t == typeV128 {
					v.wide++
				}
				high = max(high, sp+v.wide)
			}
			continue
		case opMemArg:
			if v.memories == 0 {
				v.fail(at, "%s: there is no memory", info.name)
				return
			}
			if pos+1 < len(code) && code[pos] <= info.lane && code[pos+1] < 0x80 {
				pos += 2
			} else if pos = v.memArg(at, pos, end, info); pos < 0 {
				return
			}
		case opConst32:
			if pos < len(code) && code[pos] < 0x80 {
				pos++
			} else if n := skipSigned(code[pos:], 32); n > 0 {
				pos += n
			} else {
				v.fail(at, "%s: the number is cut off or too long", info.name)
				return
			}
		case opConst64:
			if pos < len(code) && code[pos] < 0x80 {
				pos++
			} else if n := skipSigned(code[pos:], 64); n > 0 {
				pos += n
			} else {
				v.fail(at, "%s: the number is cut off or too long", info.name)
				return
			}
		case opBytes4:
			pos += 4
		case opBytes8:
			pos += 8
		default:
			v.at, v.pos, v.sp, v.high = at, pos, sp, max(v.high, high)
			v.special(op, info)
			if v.err != nil {
				return
			}
			pos, sp, stack = v.pos, v.sp, v.stack
			if len(v.frames) == 0 {
				if v.high = max(v.high, high); pos != end {
					v.fail(pos, "code behind the end of the function")
				}
				return
			}
			continue
		}

		base := v.base
		switch {
		case info.pops == 0:
			if info.out == 0 { // nop
				continue
			}
			stack[sp] = info.out
			sp++
			high = max(high, sp+v.wide)
			continue
		case info.pops == 1 && sp > base && stack[sp-1] == info.in[0]:
			stack[sp-1] = info.out
		case info.pops == 2 && sp-1 > base && stack[sp-1] == info.in[0] && stack[sp-2] == info.in[1]:
			sp--
			stack[sp-1] = info.out
			if info.out == 0 {
				sp--
			}
		default:
			v.at, v.sp = at, sp
			if !v.operands(info) {
				return
			}
			sp = v.sp
		}
		if info.feature != 0 {
			v.m.Shape.Features |= info.feature
		}
		if plan != nil && info.float != 0 {
			v.at, v.pos, v.sp, v.high = at, pos, sp, max(v.high, high)
			plan.event(evFloat, at, pos, uint32(info.float))
		}
	}
	v.fail(end, "the body ends before the function does")
}

// operands pops what an instruction takes and pushes its result.
func (v *validator) operands(info *opInfo) bool {
	for _, t := range info.in[:info.pops] {
		if !v.pop(t) {
			return false
		}
	}
	if info.out != 0 {
		v.push(info.out)
	}
	return true
}

// memArg reads the alignment and the offset of an access, and returns the offset behind them, or -1.
func (v *validator) memArg(at, pos, end int, info *opInfo) int {
	align, pos := leb32(v.code[:end], pos)
	if pos < 0 {
		v.fail(at, "%s: the alignment is cut off or too long", info.name)
		return -1
	}
	if align&^0x3f == 0x40 {
		v.refuse("multi-memory", at)
		return -1
	}
	if align > uint32(info.lane) {
		v.fail(at, "%s: the alignment is larger than natural", info.name)
		return -1
	}
	if _, pos = leb32(v.code[:end], pos); pos < 0 {
		v.fail(at, "%s: the offset is cut off or too long", info.name)
	}
	return pos
}

// leb32 reads an unsigned LEB128 of 32 bits at pos, and returns the offset behind it, or -1.
func leb32(b []byte, pos int) (uint32, int) {
	var x uint32
	for shift := 0; shift < 35 && pos < len(b); shift += 7 {
		c := b[pos]
		pos++
		x |= uint32(c&0x7f) << shift
		if c < 0x80 {
			if shift == 28 && c > 0x0f {
				return 0, -1
			}
			return x, pos
		}
	}
	return 0, -1
}

// push pushes an operand. There is room: see body.
func (v *validator) push(t byte) {
	v.stack[v.sp] = t
	v.sp++
	if t == typeV128 {
		v.wide++
	}
	v.high = max(v.high, v.sp+v.wide)
}

// pop pops an operand of a type, and sets v.err if there is none.
func (v *validator) pop(want byte) bool {
	if v.sp > v.base {
		got := v.stack[v.sp-1]
		if got == want || got == typeAny {
			v.sp--
			if got == typeV128 {
				v.wide--
			}
			return true
		}
		v.fail(v.at, "%s: needs %s, and finds %s", v.opName(), typeName(want), typeName(got))
		return false
	}
	if v.dead {
		return true
	}
	v.fail(v.at, "%s: needs %s, and finds nothing", v.opName(), typeName(want))
	return false
}

// popAny pops an operand of whatever type; typeAny if it is not known.
func (v *validator) popAny() (byte, bool) {
	if v.sp > v.base {
		v.sp--
		t := v.stack[v.sp]
		if t == typeV128 {
			v.wide--
		}
		return t, true
	}
	if !v.dead {
		v.fail(v.at, "%s: needs an operand, and finds none", v.opName())
	}
	return typeAny, v.dead
}

// opName names the instruction at v.at, for messages.
func (v *validator) opName() string {
	op := v.code[v.at]
	if op != prefixMisc && op != prefixVector {
		return OpName(0, uint32(op))
	}
	sub, _ := leb32(v.code, v.at+1)
	return OpName(op, sub)
}
