package wasm

// constant validates a constant expression that must yield a type, and may name the first globals.
func (v *validator) constant(r *reader, want byte, globals int) {
	stack := v.constants[:0]
	for r.err == nil && v.err == nil {
		off := r.off
		op := r.byte("constant expression")
		if r.err != nil {
			break
		}
		switch op {
		case opEnd:
			if len(stack) != 1 || stack[0] != want {
				v.fail(off, "constant expression: it does not yield one %s", typeName(want))
			}
			v.constants = stack
			return
		case opI32Const:
			r.signed(32, "constant")
			stack = append(stack, typeI32)
		case opI64Const:
			r.signed(64, "constant")
			stack = append(stack, typeI64)
		case opF32Const:
			r.take(4, "constant")
			stack = append(stack, typeF32)
		case opF64Const:
			r.take(8, "constant")
			stack = append(stack, typeF64)
		case prefixVector:
			if v.use(SIMD, off) && r.byte("constant") != 0x0c && r.err == nil {
				v.fail(off, "constant expression: an instruction that is not constant")
			}
			r.take(16, "constant")
			stack = append(stack, typeV128)
		case opGlobalGet:
			stack = append(stack, v.constantGlobal(r, globals))
		case opRefNull:
			at := r.off
			t := r.byte("constant")
			if r.err == nil && v.use(ReferenceTypes, off) {
				v.nullType(t, at)
			}
			stack = append(stack, t)
		case opRefFunc:
			if v.use(ReferenceTypes, off) {
				v.functionRef(r)
			}
			stack = append(stack, typeFunc)
		case 0x6a, 0x6b, 0x6c, 0x7c, 0x7d, 0x7e: // add, sub, mul
			t := byte(typeI32)
			if op >= 0x7c {
				t = typeI64
			}
			n := len(stack)
			if !v.use(ExtendedConst, off) {
				break
			}
			if n < 2 || stack[n-1] != t || stack[n-2] != t {
				v.fail(off, "constant expression: %s: wrong operands", OpName(0, uint32(op)))
				break
			}
			stack = stack[:n-1]
		default:
			v.fail(off, "constant expression: %s is not constant", OpName(0, uint32(op)))
		}
	}
	v.constants = stack
}

func (v *validator) constantGlobal(r *reader, globals int) byte {
	off := r.off
	g := r.u32("constant")
	switch {
	case r.err != nil:
	case int64(g) >= int64(min(globals, len(v.globals))):
		v.fail(off, "constant expression: unknown global %d", g)
	case v.globals[g].mutable:
		v.fail(off, "constant expression: global %d is mutable", g)
	case int(g) >= v.foreign && !v.use(ExtendedConst, off):
	default:
		return v.globals[g].value
	}
	return typeAny
}

// nullType checks the type of a ref.null.
func (v *validator) nullType(t byte, off int) bool {
	if t < 0x40 || t >= 0x80 { // the index of a type
		v.refuse("typed-function-references", off)
		return false
	}
	if !v.valueType(t, off) {
		return false
	}
	if t != typeFunc && t != typeExtern && t != typeExn {
		v.fail(off, "%s is no type of references", typeName(t))
		return false
	}
	return true
}

// signed reads past a signed LEB128 of at most bits bits.
func (r *reader) signed(bits uint, what string) {
	if n := skipSigned(r.b, bits); n > 0 {
		r.take(uint32(n), what)
		return
	}
	r.fail(what + ": number is cut off, too large or too long")
}

// skipSigned returns the length of a signed LEB128 of at most bits bits, or 0 if there is none.
func skipSigned(b []byte, bits uint) int {
	most := int(bits+6) / 7
	for i := 0; i < len(b) && i < most; i++ {
		c := b[i]
		if c&0x80 != 0 {
			continue
		}
		if i == most-1 { // the unused bits must repeat the sign
			used := bits - uint(7*i)
			if rest := int8(c<<1) >> used; rest != 0 && rest != -1 {
				return 0
			}
		}
		return i + 1
	}
	return 0
}
