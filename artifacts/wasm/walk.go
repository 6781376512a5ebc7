package wasm

// walked is an instruction that a walk over a valid body came by.
type walked struct {
	prefix, op byte
	arg        uint32 // the first index: of a function, of a label; of br_table the number of targets, the default one included
	label      uint32 // of br_if and br_table: the first label
	number     int64  // the type of a block, and other signed numbers
	offset     int
}

// walk passes over the next instruction of a body. Of a body that is not valid it may read anything, but it comes to an end.
func (r *reader) walk() walked {
	const what = "instruction"
	i := walked{offset: r.off}
	i.op = r.byte(what)
	table := plainOps()
	if i.op == prefixMisc || i.op == prefixVector {
		if table = miscOps(); i.op == prefixVector {
			table = vectorOps()
		}
		i.prefix, i.op = i.op, byte(r.u32(what)) // the tables have all that is valid
	}
	switch table[i.op].kind {
	case opMemArg:
		r.walkAddress()
	case opLane:
		r.byte(what)
	case opMemArgLane:
		r.walkAddress()
		r.byte(what)
	case opConst32, opConst64:
		r.walkNumber()
	case opBytes4:
		r.take(4, what)
	case opBytes8:
		r.take(8, what)
	case opBytes16, opShuffle:
		r.take(16, what)
	case opLocal:
		i.arg = r.u32(what)
	case opSpecial:
		r.walkSpecial(&i)
	}
	return i
}

func (r *reader) walkSpecial(i *walked) {
	const what = "instruction"
	switch {
	case i.prefix == prefixMisc:
		switch i.op {
		case 8, 10, 12, 14: // memory.init, memory.copy, table.init, table.copy
			r.u32(what)
		}
		r.u32(what)
	case i.op == opBlock, i.op == opLoop, i.op == opIf, i.op == opRefNull:
		i.number = r.walkNumber()
	case i.op == opThrow, i.op == opBr, i.op == opBrIf, i.op == opCall, i.op == opReturnCall, i.op == opRefFunc,
		i.op >= opGlobalGet && i.op <= opTableSet:
		i.arg = r.u32(what)
		i.label = i.arg
	case i.op == opCallIndirect, i.op == opReturnCallIndirect:
		r.u32(what)
		r.u32(what)
	case i.op == opBrTable:
		i.arg = r.u32(what) + 1
		for n := i.arg; n > 0 && r.err == nil; n-- {
			if l := r.u32(what); n == i.arg {
				i.label = l
			}
		}
	case i.op == opSelectTyped:
		r.take(r.u32(what), what)
	case i.op == opTryTable:
		r.walkNumber()
		for n := r.u32(what); n > 0 && r.err == nil; n-- {
			if r.byte(what) < 2 { // with a tag
				r.u32(what)
			}
			r.u32(what)
		}
	case i.op == opMemorySize, i.op == opMemoryGrow:
		r.byte(what)
	}
}

// walkNumber passes over a signed number of any size, and returns it.
func (r *reader) walkNumber() (n int64) {
	for shift := 0; ; shift += 7 {
		b := r.byte("number")
		if n |= int64(b&0x7f) << shift; b&0x80 == 0 {
			if shift < 57 && b&0x40 != 0 {
				n |= -1 << (shift + 7)
			}
			return n
		}
	}
}

// walkAddress passes over the immediates of a load or store.
func (r *reader) walkAddress() {
	r.u32("alignment")
	r.u32("offset")
}

// walkLocals passes over the declarations at the beginning of a body and returns how many locals they make.
func (r *reader) walkLocals() uint64 {
	sum := uint64(0)
	for n := r.u32("locals"); n > 0 && r.err == nil; n-- {
		sum += uint64(r.u32("locals"))
		r.byte("locals")
	}
	return sum
}

// opens tells whether a block begins here.
func (i walked) opens() bool {
	return i.prefix == 0 && (i.op == opBlock || i.op == opLoop || i.op == opIf || i.op == opTryTable)
}

// turns tells whether code may go on elsewhere than behind the instruction, or not always there.
func (i walked) turns() bool {
	if i.prefix != 0 {
		return false
	}
	switch i.op {
	case opUnreachable, opLoop, opIf, opElse, opBr, opBrIf, opBrTable, opReturn, opCall, opCallIndirect, opReturnCall, opReturnCallIndirect,
		opThrow, opThrowRef, opTryTable:
		return true
	}
	return false
}

// amount tells whether the gas of the instruction depends on an operand.
func (i walked) amount() bool {
	switch i.prefix {
	case 0:
		return i.op == opMemoryGrow
	case prefixMisc: // of the operations on memories and tables all but data.drop, elem.drop and table.size
		return i.op >= 8 && i.op != 9 && i.op != 13 && i.op != 16
	}
	return false
}

// weight is the gas of the instruction itself.
func (i walked) weight(w *Weights) uint64 {
	switch i.prefix {
	case prefixMisc:
		return uint64(w.Misc[min(int(i.op), len(w.Misc)-1)])
	case prefixVector:
		return uint64(w.Vector[i.op])
	}
	return uint64(w.Op[i.op])
}
