package wasm

import "bytes"

// popTypes pops operands of many types, the last on top. It compares them all at once, so that types of a thousand values do
// not make the walk slow.
func (v *validator) popTypes(types []byte, wide int) bool {
	n := len(types)
	if n == 0 {
		return true
	}
	if v.sp-v.base >= n && bytes.Equal(v.stack[v.sp-n:v.sp], types) {
		v.sp -= n
		v.wide -= wide
		return true
	}
	known := min(n, v.sp-v.base)
	if !v.tail(types) {
		for i := n - 1; v.err == nil && i >= 0; i-- { // says what is wrong
			v.pop(types[i])
		}
		return false
	}
	v.wide -= bytes.Count(v.stack[v.sp-known:v.sp], []byte{typeV128})
	v.sp -= known
	return true
}

// tail tells whether the operands on top fit types. An operand whose type is not known can only be the lowest of a block: it
// takes two such to make one (by select), and below it there is nothing.
func (v *validator) tail(types []byte) bool {
	have := v.stack[v.base:v.sp]
	if len(have) < len(types) && !v.dead {
		return false
	}
	known := min(len(types), len(have))
	have, types = have[len(have)-known:], types[len(types)-known:]
	if known > 0 && have[0] == typeAny {
		have, types = have[1:], types[1:]
	}
	return bytes.Equal(have, types)
}

// pushTypes pushes operands of many types.
func (v *validator) pushTypes(types []byte, wide int) {
	if len(types) == 0 {
		return
	}
	if need := v.sp + len(types) + v.limit - v.pos; need > len(v.stack) { // at most one per byte that is still to come
		grown := make([]byte, max(need, 2*len(v.stack)))
		copy(grown, v.stack[:v.sp])
		v.stack = grown
	}
	v.sp += copy(v.stack[v.sp:], types)
	v.wide += wide
	v.high = max(v.high, v.sp+v.wide)
}

// unreachable notes that the code behind the instruction cannot be reached.
func (v *validator) unreachable() {
	top := &v.frames[len(v.frames)-1]
	v.sp, v.base, v.wide = top.base, top.base, top.wide
	v.dead, v.live = true, false
}

// open opens a block whose operands, the parameters, are on the stack.
func (v *validator) open(op byte, sig *signature) {
	if !v.carry(len(sig.params) + len(sig.results)) {
		return
	}
	if len(sig.params) > 0 && !v.popTypes(sig.params, sig.paramsWide) {
		return
	}
	v.frames[len(v.frames)-1].dead = v.dead
	if depth := len(v.frames); depth > v.nesting {
		v.nesting = depth
		if !v.within("nesting", &v.shape().Nesting, depth, v.caps.Nesting, v.at) {
			return
		}
	}
	v.frames = append(v.frames, frame{op: op, live: v.live, base: v.sp, wide: v.wide, start: v.at, sig: sig, chain: v.chain})
	if op == opIf {
		v.chain++
	}
	v.base, v.dead = v.sp, false
	v.pushTypes(sig.params, sig.paramsWide)
}

// closeBlock checks what a block leaves, and leaves the operands as they were below it.
func (v *validator) closeBlock(top *frame) bool {
	if !v.popTypes(top.sig.results, top.sig.resultsWide) {
		return false
	}
	if v.sp != top.base {
		v.fail(v.at, "%s: the block leaves %d operands too many", v.opName(), v.sp-top.base)
		return false
	}
	v.wide = top.wide
	return true
}

func (v *validator) elseBlock() {
	top := &v.frames[len(v.frames)-1]
	if top.op != opIf {
		v.fail(v.at, "else without if")
		return
	}
	if !v.closeBlock(top) {
		return
	}
	v.leave(top)
	v.ended = *top
	top.op = opElse
	top.reached = top.reached || v.live
	v.live, v.dead = top.live, false
	v.pushTypes(top.sig.params, top.sig.paramsWide)
}

func (v *validator) end() {
	last := len(v.frames) - 1
	top := &v.frames[last]
	if !v.closeBlock(top) {
		return
	}
	if top.op == opIf {
		if !bytes.Equal(top.sig.params, top.sig.results) {
			v.fail(v.at, "if without else: its parameters are not its results")
			return
		}
		top.reached = top.reached || top.live
	}
	v.leave(top)
	v.ended = *top
	v.live = v.live || top.reached
	v.frames = v.frames[:last]
	if last == 0 {
		v.base, v.dead = 0, false
		return
	}
	outer := &v.frames[last-1]
	v.base, v.dead = outer.base, outer.dead
	v.pushTypes(v.ended.sig.results, v.ended.sig.resultsWide)
}

// inlineTypes are the types of blocks that are spelled by their one result, by the low bits of that; the first has none.
var inlineTypes = func() (types [64]signature) {
	for i := range types {
		if i > 0 {
			types[i] = makeSignature(nil, []byte{0x40 | byte(i)})
		}
	}
	return types
}()

// blockType reads the type of a block.
func (v *validator) blockType() *signature {
	if v.pos >= v.limit {
		v.fail(v.at, "%s: the type is cut off", v.opName())
		return nil
	}
	c := v.code[v.pos]
	if c&0xc0 == 0x40 { // a negative number of one byte
		v.pos++
		if c == 0x40 || v.valueType(c, v.pos-1) {
			return &inlineTypes[c&0x3f]
		}
		return nil
	}
	index, pos := leb32(v.code[:v.limit], v.pos)
	if pos < 0 || v.code[pos-1]&0x40 != 0 && pos-v.pos < 5 {
		v.fail(v.at, "%s: the type is cut off, too large or too long", v.opName())
		return nil
	}
	if !v.use(MultiValue, v.at) {
		return nil
	}
	if int64(index) >= int64(len(v.types)) {
		v.fail(v.at, "%s: there is no type %d", v.opName(), index)
		return nil
	}
	v.pos = pos
	return &v.types[index]
}

// target reads a label and returns its block.
func (v *validator) target() (*frame, uint32) {
	depth, ok := v.u32("label")
	if !ok {
		return nil, 0
	}
	if int64(depth) >= int64(len(v.frames)) {
		v.fail(v.at, "%s: there is no block %d around it", v.opName(), depth)
		return nil, 0
	}
	return &v.frames[len(v.frames)-1-int(depth)], depth
}

// branch notes that a branch leads to a block.
func (v *validator) branch(f *frame) {
	v.join(f)
	f.reached = f.reached || v.live && f.op != opLoop
}

// carry counts values that an instruction takes to another place, or gets from there: the engine makes a variable of each.
func (v *validator) carry(n int) bool {
	if v.carried += n; v.carried <= v.caps.Carried {
		return true
	}
	return v.within("carried", &v.shape().Carried, v.carried, v.caps.Carried, v.at)
}

// manyTargets counts n targets against the cap.
func (v *validator) manyTargets(n int) bool {
	v.targets += n
	return v.within("branch-targets", &v.shape().BranchTargets, v.targets, v.caps.BranchTargets, v.at)
}

func (v *validator) brTable() {
	n, ok := v.u32("labels")
	if !ok || !v.manyTargets(int(n)) || !v.pop(typeI32) {
		return
	}
	v.table++
	v.passed()
	v.meet(int(n)) // and once for each block
	var types []byte
	for i := range n + 1 {
		f, _ := v.target()
		if f == nil {
			return
		}
		if f.table == v.table {
			continue // this block was looked at
		}
		f.table = v.table
		v.branch(f)
		label, _ := f.label()
		if i == 0 && !v.carry(len(label)*(int(n)+1)) { // all have as many
			return
		}
		if i > 0 && len(label) == len(types) && (len(types) == 0 || &label[0] == &types[0]) {
			continue
		}
		if i > 0 && len(label) != len(types) {
			v.fail(v.at, "br_table: its labels differ in the number of their types")
			return
		}
		if !v.tail(label) {
			v.fail(v.at, "br_table: the operands do not fit the label %d", i)
			return
		}
		if i > 0 && !bytes.Equal(label, types) && !v.use(ReferenceTypes, v.at) {
			return // before reference types they had to be the same, even where no operands are
		}
		types = label
	}
	v.unreachable()
	v.tell(evBrTable, 0)
}

// tryTable walks a try_table with its catch clauses, whose labels are those around it.
func (v *validator) tryTable() {
	sig := v.blockType()
	if sig == nil {
		return
	}
	n, ok := v.u32("catch clauses")
	if !ok || !v.manyTargets(int(n)) {
		return
	}
	for range n {
		if v.pos >= v.limit {
			v.fail(v.at, "try_table: the catch clauses are cut off")
			return
		}
		kind := v.code[v.pos]
		v.pos++
		var params []byte
		if kind > 3 {
			v.fail(v.at, "try_table: unknown catch clause %d", kind)
			return
		}
		if kind < 2 {
			sig, ok := v.tagType()
			if !ok {
				return
			}
			params = sig.params
		}
		f, _ := v.target()
		if f == nil {
			return
		}
		label, _ := f.label()
		if !v.carry(len(label)) {
			return
		}
		if kind&1 != 0 { // the exception itself comes last
			if len(label) == 0 || label[len(label)-1] != typeExn {
				v.fail(v.at, "try_table: a label takes no exnref")
				return
			}
			label = label[:len(label)-1]
		}
		if !bytes.Equal(params, label) {
			v.fail(v.at, "try_table: a catch clause does not fit its label")
			return
		}
		v.branch(f)
	}
	v.enter(opTryTable)
	v.open(opTryTable, sig)
	v.tell(evTryTable, 0)
}

// tagType reads a tag and returns its type.
func (v *validator) tagType() (*signature, bool) {
	tag, ok := v.u32("tag")
	if ok && int64(tag) >= int64(len(v.tags)) {
		v.fail(v.at, "%s: there is no tag %d", v.opName(), tag)
		ok = false
	}
	if !ok {
		return nil, false
	}
	v.tagIndex = tag
	return &v.types[v.tags[tag]], true
}

// call pops the parameters of a call and pushes its results; a tail call must return what the function returns.
func (v *validator) call(sig *signature, tail bool) bool {
	if !v.carry(len(sig.params)+len(sig.results)) || !v.popTypes(sig.params, sig.paramsWide) {
		return false
	}
	if !tail {
		v.pushTypes(sig.results, sig.resultsWide)
		return v.err == nil
	}
	if !bytes.Equal(sig.results, v.sig.results) {
		v.fail(v.at, "%s: the results are not those of the function", v.opName())
		return false
	}
	v.unreachable()
	return true
}
