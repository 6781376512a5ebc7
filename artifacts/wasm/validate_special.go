package wasm

// noWeights is the table of a plan that counts no gas.
var noWeights Weights

func (v *validator) weights() *Weights {
	if v.plan.weights == nil {
		return &noWeights
	}
	return v.plan.weights
}

// tell shows the instruction to the plan.
func (v *validator) tell(k eventKind, arg uint32) {
	if v.plan != nil {
		v.plan.event(k, v.at, v.pos, arg)
	}
}

// u32 reads an index behind the instruction.
func (v *validator) u32(what string) (uint32, bool) {
	if v.pos < v.limit && v.code[v.pos] < 0x80 {
		v.pos++
		return uint32(v.code[v.pos-1]), true
	}
	x, pos := leb32(v.code[:v.limit], v.pos)
	if pos < 0 {
		v.fail(v.at, "%s: the number of the %s is cut off or too long", v.opName(), what)
		return 0, false
	}
	v.pos = pos
	return x, true
}

// byte reads a byte behind the instruction.
func (v *validator) byte() (byte, bool) {
	if v.pos >= v.limit {
		v.fail(v.at, "%s: it is cut off", v.opName())
		return 0, false
	}
	v.pos++
	return v.code[v.pos-1], true
}

// index reads an index that must be below n.
func (v *validator) index(what string, n int) (uint32, bool) {
	x, ok := v.u32(what)
	if ok && int64(x) >= int64(n) {
		v.fail(v.at, "%s: there is no %s %d", v.opName(), what, x)
		return 0, false
	}
	return x, ok
}

// control counts an instruction that begins or leaves a block.
func (v *validator) control() bool {
	if v.controls++; v.controls <= v.caps.ControlOps {
		return true
	}
	return v.within("control-ops", &v.shape().Caps.ControlOps, v.controls, v.caps.ControlOps, v.at)
}

// special validates an instruction that has code of its own. What it reads and moves is v.pos, v.sp and the frames.
func (v *validator) special(op byte, info *opInfo) {
	if info.feature != 0 && !v.use(info.feature, v.at) || info.control && !v.control() {
		return
	}
	switch op {
	case opUnreachable:
		v.unreachable()
		v.tell(evUnreachable, 0)
	case opBlock, opLoop, opIf:
		sig := v.blockType()
		if sig == nil || op == opIf && !v.pop(typeI32) {
			return
		}
		v.enter(op)
		if v.open(op, sig); v.err == nil {
			v.tell(evBlock+eventKind(op-opBlock), 0)
		}
	case opElse:
		if v.elseBlock(); v.err == nil {
			v.tell(evElse, 0)
		}
	case opEnd:
		if v.end(); v.err == nil {
			v.tell(evEnd, 0)
		}
	case opBr, opBrIf:
		v.br(op)
	case opBrTable:
		v.brTable()
	case opReturn:
		if v.carry(len(v.sig.results)) && v.popTypes(v.sig.results, v.sig.resultsWide) {
			v.unreachable()
			v.tell(evReturn, 0)
		}
	case opCall, opReturnCall:
		fn, ok := v.index("function", len(v.functions))
		if ok && v.call(&v.types[v.functions[fn]], op == opReturnCall) {
			v.tell(pick(op == opCall, evCall, evReturnCall), fn)
		}
	case opCallIndirect, opReturnCallIndirect:
		v.callIndirect(op)
	case opThrow:
		sig, ok := v.tagType()
		if ok && v.popTypes(sig.params, sig.paramsWide) {
			v.unreachable()
			v.tell(evThrow, v.tagIndex)
		}
	case opThrowRef:
		if v.pop(typeExn) {
			v.unreachable()
			v.tell(evThrowRef, 0)
		}
	case opTryTable:
		v.tryTable()
	case opGlobalGet, opGlobalSet:
		v.variable(op)
	case opTableGet, opTableSet:
		v.tableAccess(op)
	case opDrop:
		v.popAny()
	case opSelect, opSelectTyped:
		v.selectOne(op)
	case opMemorySize, opMemoryGrow:
		v.memorySize(op)
	case opRefNull, opRefIsNull, opRefFunc:
		v.reference(op)
	case prefixMisc:
		v.misc()
	case prefixVector:
		v.vectorOp()
	default:
		if info.kind == opForeign {
			v.refuse(foreignOps[op], v.at)
			return
		}
		v.fail(v.at, "%s is unknown", OpName(0, uint32(op)))
	}
}

func pick(first bool, a, b eventKind) eventKind {
	if first {
		return a
	}
	return b
}

func (v *validator) br(op byte) {
	f, depth := v.target()
	if f == nil || op == opBrIf && !v.pop(typeI32) {
		return
	}
	types, wide := f.label()
	if !v.carry(len(types)) || !v.popTypes(types, wide) {
		return
	}
	v.passed()
	v.branch(f)
	if op == opBrIf {
		v.chain++
		v.pushTypes(types, wide)
		v.tell(evBrIf, depth)
		return
	}
	v.unreachable()
	v.tell(evBr, depth)
}

func (v *validator) callIndirect(op byte) {
	t, ok := v.index("type", len(v.types))
	if !ok {
		return
	}
	table, ok := v.u32("table")
	if !ok || table != 0 && !v.use(ReferenceTypes, v.at) {
		return
	}
	if int64(table) >= int64(len(v.tables)) {
		v.fail(v.at, "%s: there is no table %d", v.opName(), table)
		return
	}
	if v.tables[table] != typeFunc {
		v.fail(v.at, "%s: table %d does not hold functions", v.opName(), table)
		return
	}
	if v.pop(typeI32) && v.call(&v.types[t], op == opReturnCallIndirect) {
		v.tell(pick(op == opCallIndirect, evCallIndirect, evReturnCallIndirect), t)
	}
}

func (v *validator) tableAccess(op byte) {
	table, ok := v.index("table", len(v.tables))
	switch {
	case !ok:
	case op == opTableGet && v.pop(typeI32):
		v.push(v.tables[table])
	case op == opTableSet && v.pop(v.tables[table]) && v.pop(typeI32):
		v.tell(evTableSet, table)
	}
}

func (v *validator) variable(op byte) {
	g, ok := v.index("global", len(v.globals))
	switch {
	case !ok:
	case op == opGlobalGet:
		v.push(v.globals[g].value)
	case !v.globals[g].mutable:
		v.fail(v.at, "global.set: global %d is not mutable", g)
	default:
		v.pop(v.globals[g].value)
	}
}

func isReference(t byte) bool { return t == typeFunc || t == typeExtern || t == typeExn }

func (v *validator) selectOne(op byte) {
	if !v.pop(typeI32) {
		return
	}
	if op == opSelectTyped {
		n, ok := v.byte() // one type, and not in a longer spelling: the engine reads a byte
		if ok && n != 1 {
			v.fail(v.at, "select: of %d types", n)
			return
		}
		t, ok := v.byte()
		if !ok || !v.valueType(t, v.at) {
			return
		}
		if t == typeExn {
			v.fail(v.at, "select: of exnref") // the engine refuses it
			return
		}
		for range 2 {
			if !v.pop(t) {
				return
			}
		}
		v.push(t)
		return
	}
	a, ok := v.popAny()
	if !ok {
		return
	}
	b, ok := v.popAny()
	switch {
	case !ok:
	case isReference(a) || isReference(b):
		v.fail(v.at, "select: references need a select with a type")
	case a != b && a != typeAny && b != typeAny:
		v.fail(v.at, "select: between %s and %s", typeName(b), typeName(a))
	default:
		v.push(a | b) // of which one is typeAny, or both are the same
	}
}

// memoryIndex reads the byte that stands for memory 0.
func (v *validator) memoryIndex() bool {
	c, ok := v.byte()
	switch {
	case !ok:
	case c >= 0x80:
		v.fail(v.at, "%s: the memory must be one byte", v.opName())
	case c != 0:
		v.refuse("multi-memory", v.at)
	case v.memories == 0:
		v.fail(v.at, "%s: there is no memory", v.opName())
	default:
		return true
	}
	return false
}

func (v *validator) memorySize(op byte) {
	if !v.memoryIndex() {
		return
	}
	if op == opMemoryGrow {
		if v.pop(typeI32) {
			v.push(typeI32)
			v.tell(evMemoryGrow, 0)
		}
		return
	}
	v.push(typeI32)
}

func (v *validator) reference(op byte) {
	switch op {
	case opRefNull:
		t, ok := v.byte()
		if ok && v.nullType(t, v.at) {
			v.push(t)
		}
	case opRefIsNull:
		t, ok := v.popAny()
		if ok && t != typeAny && !isReference(t) {
			v.fail(v.at, "ref.is_null: of %s", typeName(t))
			return
		}
		if ok {
			v.push(typeI32)
		}
	case opRefFunc:
		fn, ok := v.index("function", len(v.functions))
		if ok && (int64(fn) >= int64(len(v.declared)) || !v.declared[fn]) {
			v.fail(v.at, "ref.func: function %d is not declared in an element, an export or a global", fn)
			return
		}
		if ok {
			v.push(typeFunc)
			v.tell(evRefFunc, fn)
		}
	}
}
