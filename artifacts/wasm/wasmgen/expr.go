package wasmgen

import "slices"

// leaf pushes a value without computing anything.
func (f *function) leaf(t byte) {
	l, g := f.local(t), f.global(t, false)
	switch {
	case l >= 0 && f.chance(128):
		f.index(opLocalGet, l)
	case g >= 0 && f.chance(96):
		f.index(opGlobalGet, g)
	case t == exnRef: // the engine has no null of it
		f.byteOp(opUnreachable)
	case t == funcRef && f.chance(192):
		f.index(opRefFunc, f.pick(len(f.funcs)))
	default:
		f.constant(t)
	}
}

func (f *function) tired() bool { return f.budget <= 0 || f.depth >= maxDepth || len(f.data) == 0 }

// expr pushes one value of a type.
func (f *function) expr(t byte) {
	if f.tired() {
		f.leaf(t)
		return
	}
	f.depth++
	defer func() { f.depth-- }()
	if f.cfg.Pressure && f.chance(10) && f.pressure(t) {
		return
	}
	switch f.pick(20) {
	default:
		f.compute(t)
	case 0, 1, 2:
		f.leaf(t)
	case 3:
		f.blockOf(nil, []byte{t})
	case 4:
		f.seqByBlock([]byte{t})
	case 5:
		if !f.callOf([]byte{t}) {
			f.compute(t)
		}
	case 6:
		if l := f.local(t); l >= 0 {
			f.expr(t)
			f.index(opLocalTee, l)
		} else {
			f.leaf(t)
		}
	case 7:
		if t == exnRef { // the engine refuses it
			f.leaf(t)
			return
		}
		f.expr(t)
		f.expr(t)
		f.expr(i32)
		f.selectOp(t)
	case 8:
		if label := f.labelOf([]byte{t}); label >= 0 {
			f.expr(t)
			f.expr(i32)
			f.index(opBrIf, label)
		} else {
			f.leaf(t)
		}
	case 9: // a way out of the middle of an expression
		f.expr(i32)
		f.byteOp(opIf)
		f.blockType(nil, []byte{t})
		f.labels = append(f.labels, []byte{t})
		f.leave()
		f.byteOp(opElse)
		f.expr(t)
		f.end()
	}
}

func (f *function) selectOp(t byte) {
	if t == funcRef || t == externRef || f.chance(64) {
		f.byteOp(opSelectT)
		f.raw(1, t)
		return
	}
	f.byteOp(opSelect)
}

// compute pushes the result of an instruction with operands.
func (f *function) compute(t byte) {
	switch {
	case t == funcRef || t == externRef || t == exnRef:
		f.reference(t)
	case t == i32 && f.chance(40):
		f.special()
	case t == v128 && f.chance(32):
		f.seq([]byte{v128, v128})
		f.vec(vecShuffle)
		for range 16 {
			f.raw(byte(f.pick(32)))
		}
	default:
		f.do(oneOf(&f.source, f.usable(t)))
	}
}

func (f *function) reference(t byte) {
	var fit []int
	for i, x := range f.tables {
		if x.typ == t {
			fit = append(fit, i)
		}
	}
	ref := slices.IndexFunc(f.imports, func(i Import) bool { return i.Name == "ref" })
	switch {
	case len(fit) > 0 && f.chance(128):
		x := oneOf(&f.source, fit)
		f.slot(x)
		f.index(opTableGet, x)
	case t == externRef && ref >= 0 && f.chance(128):
		f.expr(i32)
		f.index(opCall, ref)
	default:
		f.leaf(t)
	}
}

// slot pushes an index that is mostly within a table.
func (f *function) slot(x int) {
	f.expr(i32)
	if !f.chance(24) {
		f.i32Const(1<<f.pick(4) - 1)
		f.byteOp(opI32And)
	}
}

// special pushes an i32 that needs more than operands.
func (f *function) special() {
	x := f.pick(len(f.tables))
	t := f.tables[x].typ
	switch n := f.pick(6); {
	case n == 0 && f.memory:
		f.index(opMemorySize, 0)
	case n == 1 && f.memory:
		f.expr(i32)
		f.i32Const(3)
		f.byteOp(opI32And)
		f.index(opMemoryGrow, 0)
	case n == 2:
		f.misc(miscTableSize)
		f.u32(x)
	case n == 3:
		f.expr(t)
		f.small()
		f.misc(miscTableGrow)
		f.u32(x)
	default:
		f.expr(t)
		f.byteOp(opRefIsNull)
	}
}

// small pushes a number that mostly is small.
func (f *function) small() {
	f.expr(i32)
	if !f.chance(16) {
		f.i32Const(1<<f.pick(6) - 1)
		f.byteOp(opI32And)
	}
}

// address pushes an address that mostly is in memory.
func (f *function) address() {
	f.expr(i32)
	if !f.chance(12) {
		f.i32Const(1<<(4+f.pick(12)) - 1)
		f.byteOp(opI32And)
	}
}

// pressure pushes many values, with statements in between, and makes one of them. false: there is no way for this type.
func (f *function) pressure(t byte) bool {
	var folds []op
	for _, o := range f.usable(t) {
		if o.folds(t) {
			folds = append(folds, o)
		}
	}
	if len(folds) == 0 {
		return false
	}
	n := 4 + f.pick(37)
	for range n {
		if f.chance(128) {
			f.expr(t)
		} else {
			f.leaf(t)
		}
		if f.chance(24) {
			f.stmts(1)
		}
	}
	for range n - 1 {
		o := oneOf(&f.source, folds)
		f.bare(o)
		f.canonical(t, o.nan)
	}
	return true
}

// bare writes an instruction without its operands and immediates.
func (f *function) bare(o op) {
	switch o.prefix() {
	case 0xfc:
		f.misc(o.code & 0xff)
	case 0xfd:
		f.vec(o.code & 0xff)
	default:
		f.byteOp(o.code)
	}
}

// do writes an instruction with its operands, of which it makes most such that it does not trap.
func (f *function) do(o op) {
	for i, t := range o.params {
		switch {
		case i == 0 && o.align >= 0:
			f.address()
		case i == 0 && o.code >= 0xa8 && o.code <= 0xb1 && (t == f32 || t == f64) && !f.chance(24):
			f.address() // small and positive
			f.byteOp(map[byte]int{f32: opF32ConvertI32S, f64: opF64ConvertI32S}[t])
		case i == 1 && o.code >= 0x6d && o.code <= 0x70 && !f.chance(12):
			f.expr(t)
			f.i32Const(1 + f.pick(2))
			f.byteOp(opI32Or)
		case i == 1 && o.code >= 0x7f && o.code <= 0x82 && !f.chance(12):
			f.expr(t)
			f.byteOp(opI64Const)
			f.raw(1)
			f.byteOp(opI64Or)
		default:
			f.expr(t)
		}
	}
	f.bare(o)
	if o.align >= 0 {
		f.u32(f.pick(o.align + 1))
		f.u32(f.pick(64))
		if f.chance(4) {
			f.code[len(f.code)-1] |= 0x80
			f.u32(f.pick(1 << 15))
		}
	}
	if o.lanes > 0 {
		f.raw(byte(f.pick(o.lanes)))
	}
	if len(o.results) > 0 {
		f.canonical(o.results[0], o.nan)
	}
}

// seq pushes values of these types.
func (f *function) seq(types []byte) {
	switch {
	case len(types) == 0:
	case len(types) == 1:
		f.expr(types[0])
	case !f.tired() && f.chance(48):
		f.seqByBlock(types)
	case !f.tired() && f.chance(64) && f.callOf(types):
	default:
		for _, t := range types {
			f.expr(t)
		}
	}
}

// seqByBlock pushes values out of a block, which may have parameters.
func (f *function) seqByBlock(types []byte) {
	var params []byte
	if f.chance(128) {
		params = f.someTypes(3, f.valueTypes())
	}
	f.depth++
	f.blockOf(params, types)
	f.depth--
}

// callOf calls a function with these results, if there is one.
func (f *function) callOf(results []byte) bool {
	var fit []int
	for i, s := range f.funcs {
		if slices.Equal(s.results, results) && i != f.start {
			fit = append(fit, i)
		}
	}
	if len(fit) == 0 {
		return false
	}
	at := oneOf(&f.source, fit)
	f.seq(f.funcs[at].params)
	if f.chance(96) {
		f.indirect(at)
		f.byteOp(opCallIndirect)
		f.target(at)
	} else {
		f.index(opCall, at)
	}
	return true
}

// indirect pushes the index of an element, which mostly is that function, if a table begins with it.
func (f *function) indirect(at int) {
	for _, t := range f.tables {
		if i := slices.Index(t.init, at); i >= 0 && !f.chance(24) {
			f.i32Const(i)
			return
		}
	}
	f.slot(0)
}

// target writes the type and the table of an indirect call of such a function.
func (f *function) target(at int) {
	f.u32(f.typeIndex(f.funcs[at]))
	for x, t := range f.tables {
		if slices.Contains(t.init, at) {
			f.u32(x)
			return
		}
	}
	f.u32(0)
}
