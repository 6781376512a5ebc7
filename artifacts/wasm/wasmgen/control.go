package wasmgen

import "slices"

// labelOf returns the depth of a label that takes these types, or -1.
func (f *function) labelOf(types []byte) int {
	var fit []int
	for i, l := range f.labels {
		if slices.Equal(l, types) {
			fit = append(fit, len(f.labels)-1-i)
		}
	}
	if len(fit) == 0 {
		return -1
	}
	return oneOf(&f.source, fit)
}

// anyLabel returns the depth of a label and what it takes.
func (f *function) anyLabel() (int, []byte) {
	depth := f.pick(len(f.labels))
	return depth, f.labels[len(f.labels)-1-depth]
}

func (f *function) end() {
	f.byteOp(opEnd)
	f.labels = f.labels[:len(f.labels)-1]
}

// blockOf pushes params, and writes a block of some kind that makes results of them.
func (f *function) blockOf(params, results []byte) {
	f.seq(params)
	switch n := f.pick(8); {
	case n < 3:
		f.byteOp(opBlock)
		f.blockType(params, results)
		f.labels = append(f.labels, results)
		f.inside(params, results)
		f.end()
	case n < 5:
		f.expr(i32)
		f.byteOp(opIf)
		f.blockType(params, results)
		f.labels = append(f.labels, results)
		f.inside(params, results)
		if !slices.Equal(params, results) || !f.chance(96) {
			f.byteOp(opElse)
			f.inside(params, results)
		}
		f.end()
	case n < 7 || !f.cfg.Exceptions:
		f.loop(params, results)
	default:
		f.try(params, results)
	}
}

// inside turns params on the stack into results, the statements before that run with them below.
func (f *function) inside(params, results []byte) {
	f.stmts(f.pick(3))
	if slices.Equal(params, results) && f.chance(96) {
		return
	}
	f.consume(params)
	f.stmts(f.pick(2))
	f.seq(results)
	if f.chance(16) {
		f.leave()
	}
}

// loop runs a few times: a counter of its own takes it back to its head.
func (f *function) loop(params, results []byte) {
	counter := f.own(i32)
	f.i32Const(0)
	f.index(opLocalSet, counter)
	f.byteOp(opLoop)
	f.blockType(params, results)
	f.labels = append(f.labels, params)
	f.checkFuel()
	f.stmts(1 + f.pick(3))
	f.consume(params)
	f.seq(params)
	f.index(opLocalGet, counter)
	f.i32Const(1)
	f.byteOp(opI32Add)
	f.index(opLocalTee, counter)
	f.i32Const(f.pick(12))
	f.byteOp(opI32LtU)
	f.index(opBrIf, 0)
	f.consume(params)
	f.seq(results)
	f.end()
}

// try writes a block around a try_table, so that what a tag carries has a label; the other clauses go wherever they fit.
func (f *function) try(params, results []byte) {
	tag := f.pick(len(f.tags))
	carried := slices.Clone(f.tags[tag].params)
	withRef := f.chance(80)
	if withRef {
		carried = append(carried, exnRef)
	}
	f.byteOp(opBlock)
	f.blockType(params, carried)
	f.labels = append(f.labels, carried)

	f.byteOp(opTryTable)
	f.blockType(params, results)
	f.catches(tag, withRef)
	f.labels = append(f.labels, results)
	f.inside(params, results)
	if f.chance(96) {
		f.throw()
	}
	f.end()
	// Nothing was thrown: leave the outer block behind, since its label takes something else.
	f.consume(results)
	depth, types := f.anyOuter()
	f.seq(types)
	f.index(opBr, depth)
	f.end()

	if withRef {
		if f.chance(64) {
			f.byteOp(opThrowRef)
			f.junk()
			f.seq(results)
			return
		}
		f.byteOp(opDrop)
		carried = carried[:len(carried)-1]
	}
	f.consume(carried)
	f.seq(results)
}

// anyOuter returns a label other than the innermost.
func (f *function) anyOuter() (int, []byte) {
	depth := 1 + f.pick(len(f.labels)-1)
	return depth, f.labels[len(f.labels)-1-depth]
}

// catches writes the clauses of a try_table. Their labels do not count the try_table itself, so 0 is the block around it.
func (f *function) catches(tag int, withRef bool) {
	kind := byte(0)
	if withRef {
		kind = 1
	}
	clauses := [][]byte{slices.Concat([]byte{kind}, u32(tag), []byte{0})}
	for i, t := range f.tags {
		if label := f.labelOf(t.params); label >= 0 && f.chance(64) {
			clauses = append(clauses, slices.Concat([]byte{0}, u32(i), u32(label)))
		}
	}
	if label := f.labelOf(nil); label >= 0 && f.chance(96) {
		clauses = append(clauses, slices.Concat([]byte{2}, u32(label)))
	}
	if label := f.labelOf([]byte{exnRef}); label >= 0 && f.chance(96) {
		clauses = append(clauses, slices.Concat([]byte{3}, u32(label)))
	}
	f.raw(vector(clauses...)...)
}

func (f *function) throw() {
	tag := f.pick(len(f.tags))
	f.seq(f.tags[tag].params)
	f.index(opThrow, tag)
	f.junk()
}

// leave goes somewhere else. What follows is dead code.
func (f *function) leave() {
	switch n := f.pick(10); {
	case n < 4:
		depth, types := f.anyLabel()
		f.seq(types)
		f.index(opBr, depth)
	case n < 6:
		f.brTable()
	case n == 6 && f.chance(64):
		f.byteOp(opUnreachable)
	case n == 7 && f.cfg.Exceptions && f.chance(128):
		f.throw()
	case n == 8 && f.cfg.TailCalls && f.tailCall():
	default:
		f.seq(f.sig.results)
		f.byteOp(opReturn)
	}
	f.junk()
}

func (f *function) brTable() {
	depth, types := f.anyLabel()
	f.seq(types)
	f.small()
	var targets [][]byte
	for range f.pick(8) {
		targets = append(targets, u32(f.labelOf(types)))
	}
	f.byteOp(opBrTable)
	f.raw(vector(targets...)...)
	f.u32(depth)
}

func (f *function) tailCall() bool {
	var fit []int
	for i, s := range f.funcs {
		if slices.Equal(s.results, f.sig.results) {
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
		f.byteOp(opReturnCallIndirect)
		f.target(at)
	} else {
		f.index(opReturnCall, at)
	}
	return true
}

// junk writes dead code that takes operands which nothing pushed.
func (f *function) junk() {
	for range f.pick(4) {
		switch f.pick(8) {
		case 0:
			f.byteOp(opDrop)
		case 1:
			f.byteOp(opSelect)
			f.byteOp(opDrop)
		case 2:
			depth, types := f.anyLabel()
			f.index(opBrIf, depth)
			for range types {
				f.byteOp(opDrop)
			}
		case 3:
			f.byteOp(opBlock)
			f.raw(0x40)
			f.byteOp(opEnd)
		case 4:
			if l := f.local(i32); l >= 0 {
				f.index(opLocalTee, l)
				f.byteOp(opDrop)
			}
		case 5:
			f.byteOp(opUnreachable)
		default:
			f.byteOp(opI32Eqz)
			f.byteOp(opDrop)
		}
	}
}

func (f *function) stmts(n int) {
	for ; n > 0 && !f.tired(); n-- {
		f.depth++
		f.stmt()
		f.depth--
	}
}

// stmt leaves the stack as it was.
func (f *function) stmt() {
	switch f.pick(24) {
	case 0, 1, 2, 3:
		t := oneOf(&f.source, f.valueTypes())
		f.expr(t)
		f.consume([]byte{t})
	case 4, 5, 6:
		if stores := f.usable(0); len(stores) > 0 {
			f.do(oneOf(&f.source, stores))
		}
	case 7, 8, 9:
		f.blockOf(nil, nil)
	case 10, 11:
		types := f.someTypes(3, f.valueTypes())
		f.seqByBlock(types)
		f.consume(types)
	case 12, 13:
		results := f.funcs[f.pick(len(f.funcs))].results
		if f.callOf(results) {
			f.consume(results)
		}
	case 14, 15:
		depth, types := f.anyLabel()
		f.seq(types)
		f.expr(i32)
		f.index(opBrIf, depth)
		f.consume(types)
	case 16, 17, 18:
		f.expr(i32)
		f.byteOp(opIf)
		f.raw(0x40)
		f.labels = append(f.labels, nil)
		f.leave()
		f.end()
	case 19:
		f.byteOp(opNop)
	case 20, 21:
		f.bulkTable()
	default:
		if f.memory {
			f.bulkMemory()
		}
	}
}

func (f *function) bulkMemory() {
	segment, op := f.pick(len(f.segments)), f.pick(4)
	if op == 2 && segment == 0 { // it is active, and the engine has not dropped it as it should
		op = 3
	}
	switch op {
	case 0:
		f.address()
		f.expr(i32)
		f.small()
		f.misc(miscMemoryFill)
		f.raw(0)
	case 1:
		f.address()
		f.address()
		f.small()
		f.misc(miscMemoryCopy)
		f.raw(0, 0)
	case 2:
		f.address()
		f.small()
		f.small()
		if segment == 0 { // it is active: the specification has it dropped, and the engine does not
			f.misc(miscDataDrop)
			f.u32(segment)
		}
		f.misc(miscMemoryInit)
		f.u32(segment)
		f.raw(0)
	default:
		f.misc(miscDataDrop)
		f.u32(segment)
	}
}

func (f *function) bulkTable() {
	x := f.pick(len(f.tables))
	t := f.tables[x].typ
	switch f.pick(6) {
	case 0:
		f.slot(x)
		f.expr(t)
		f.index(opTableSet, x)
	case 1:
		f.slot(x)
		f.expr(t)
		f.i32Const(f.pick(3))
		f.misc(miscTableFill)
		f.u32(x)
	case 2:
		y := f.pick(len(f.tables))
		if f.tables[y].typ != t {
			y = x
		}
		f.slot(x)
		f.slot(y)
		f.i32Const(f.pick(3))
		f.misc(miscTableCopy)
		f.u32(x)
		f.u32(y)
	default:
		if len(f.elems) == 0 {
			return
		}
		e := f.pick(len(f.elems))
		if f.elems[e].typ != t || f.cfg.NoExternInit && t == externRef || f.chance(32) {
			f.misc(miscElemDrop)
			f.u32(f.actives + e)
			return
		}
		f.slot(x)
		f.i32Const(f.pick(2))
		f.i32Const(f.pick(3))
		f.misc(miscTableInit)
		f.u32(f.actives + e)
		f.u32(x)
	}
}
