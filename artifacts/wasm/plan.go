package wasm

// plan decides, while a body is walked, where the rewrite puts what; emit.go writes it down once the body is known whole.
//
// A charge is a place where the gas of a block is taken before the block begins. Charges are few, by four rules that leave the
// sum of every path through the body as it is:
//
//   - Code behind a block that nothing leaves otherwise than by its end runs as often as the code before it, so both share
//     the charge before it.
//   - A charge that stands before an if which is left otherwise moves into its arms and behind it, unless something that
//     checks the account lies between.
//   - Code behind a call, up to the next branch or label, shares the charge before the call.
//   - A loop whose header is reached by unconditional branches alone has those pay for it, and only checks.
//
// The account is a global, which says at every moment what is left. A body with an innermost loop that calls nothing keeps a copy in
// a local, which it reads in place of the global.
type plan struct {
	v       *validator
	o       Options
	cost    uint64 // of the instructions since the last event
	weights *Weights

	indices
	out       []byte // the bodies so far, each behind its size
	scratch   []byte
	ready     bool
	resets    Resets
	unchecked uint64 // the most that all charges of one body sum up to

	body
}

// body is the plan of one body.
type body struct {
	list   []insert
	blocks []planBlock
	loops  []planLoop
	edges  []planEdge
	at     int32 // the charge that the code belongs to
	fixed  int   // of so many blocks, from outside, the charge before them is fixed
	inner  int32 // the innermost open loop; -1: none
	flow   flow
	exit   flow // at any exit
	live   bool

	leaf   bool // it calls nothing
	tries  bool // there is a try_table
	synced bool // nothing was charged since the last call
	temps  [tempKinds]bool
}

// flow is what must be known of the way to a place: whether a call returned since the last check, and whether something was
// charged after it. Who leaves a function so checks the account at the exit; else a deep recursion could use gas on its way
// back without ever being asked.
type flow uint8

const (
	flowCalled flow = 1 << iota
	flowCharged
)

type insertKind uint8

const (
	insEntry    insertKind = iota
	insCharge              // take cost
	insCheck               // at a loop header: take cost and check, and land as insLanding does; arg is the loop
	insLoop                // before a loop; arg is the loop
	insLoopEnd             // behind its end
	insBranch              // br or br_if: arg is the depth
	insTable               // br_table: arg is the depth of the loop
	insReturn              // a return: arg is the depth of the outermost block
	insCall                // arg is the function in the new numbering
	insIndirect            // around call_indirect
	insTail                // before a return_call_indirect; in place of a return_call
	insThrow               // before throw, throw_ref
	insFunc                // ref.func: arg is the global that holds the reference
	insAmount              // before an instruction with an amount on top: cost of each
	insPages               // before memory.grow
	insFloat               // behind an instruction: arg is the kind of float
	insLanding             // behind the end of a block that an exception may lead to
)

// insert is something that is put into a body.
type insert struct {
	pos   int32 // offset in the code
	skip  int32 // bytes of the original that it replaces
	arg   uint32
	loop  int32 // a branch: the loop that it leaves, if that is the innermost one; -1: none
	cost  int64
	kind  insertKind
	fixed bool // a charge with a check, call or loop behind it: it may not move behind these
	quiet bool // insCall, insIndirect: the account is in the global already
}

// planBlock is an open block.
type planBlock struct {
	op        byte
	entered   bool  // it can be reached
	escaped   bool  // something in it leaves for further outside, whatever reach says
	reach     int32 // the outermost block that something in it leads to, as far as it is known: of blocks that ended and its own code
	targeted  bool  // a branch leads to its end
	caught    bool  // an exception may lead to its end
	charge    int32 // that the code before it belongs to
	arm, arm2 int32 // if: the charges of its arms; -1: none
	loop      int32
	outer     int32 // the loop around
	live1     bool  // the end of the first arm can be reached
	fixed     bool  // if: the charge before it may not move
	flow      flow  // if: before it
	merged    flow  // on the branches to its end
}

// planLoop is a loop. Those that call nothing and hold no other loop are written so that the way of an empty account leads out
// of the loop and back: a call inside would have the compiler keep every variable of the loop in memory.
type planLoop struct {
	header int32 // the charge at the header
	edge   int32 // the last br that leads back, in edges; -1: none
	often  bool  // the charge at the header stays there
	block  int32 // index among the open blocks
	calls  bool
	params bool
	caught bool // an exception may lead to its header
	start  int32
	end    int32 // behind the type of the block
}

// begin is told that a body comes.
func (p *plan) begin(uint32) {
	p.prepare()
	p.body = body{list: p.list[:0], blocks: p.blocks[:0], loops: p.loops[:0], edges: p.edges[:0], inner: -1, live: true, leaf: true}
	p.put(insert{pos: int32(p.v.first), kind: insEntry, fixed: true})
	p.at = 0
	p.blocks = append(p.blocks, planBlock{op: opCall, entered: true, charge: 0, loop: -1, outer: -1, arm: -1, arm2: -1})
	p.cost = 0
	if w := p.weights; w != nil {
		sig := p.v.sig
		own := len(p.v.locals) - len(sig.params)
		p.cost = uint64(w.Function) + uint64(own)*uint64(w.Local) + p.carry(len(sig.params)) + p.carry(len(sig.results))
	}
}

// carry returns the gas of handing on so many values.
func (p *plan) carry(values int) uint64 {
	if p.weights == nil || values <= FreeValues {
		return 0
	}
	return uint64(values-FreeValues) * uint64(p.weights.Value)
}

// carries adds the gas of the values that a branch to a depth carries.
func (p *plan) carries(depth int) {
	types, _ := p.v.frames[len(p.v.frames)-1-depth].label()
	p.cost += p.carry(len(types))
}

// planEdge is a br that leads back to a loop.
type planEdge struct {
	charge int32 // that pays for it
	next   int32 // the one before it; -1: none
}

func (p *plan) put(i insert) int32 {
	p.list = append(p.list, i)
	return int32(len(p.list) - 1)
}

// settle adds the cost of what was walked to its charge.
func (p *plan) settle() {
	if p.live {
		p.list[p.at].cost += int64(p.cost)
	}
	p.cost = 0
}

// charge begins a charge.
func (p *plan) charge(pos int) int32 {
	p.synced = false
	if p.flow&flowCalled != 0 {
		p.flow |= flowCharged
	}
	p.at = p.put(insert{pos: int32(pos), kind: insCharge})
	return p.at
}

// fix keeps every charge that is open from moving: something that may check the account comes.
func (p *plan) fix() {
	p.list[p.at].fixed = true
	for i := range p.blocks[p.fixed:] {
		p.list[p.blocks[p.fixed+i].charge].fixed = true
	}
	p.fixed = len(p.blocks)
}

func (p *plan) event(k eventKind, start, end int, arg uint32) {
	if k == evFloat && !p.o.CanonicalNaNs {
		return
	}
	was := p.live
	switch k { // the walk is still at the blocks of these
	case evBr, evBrIf:
		p.carries(int(arg))
	case evBrTable:
		p.carries(p.tableLabel(start))
	case evReturn:
		p.carries(len(p.v.frames) - 1)
	}
	p.settle()
	switch k {
	case evBlock:
		p.open(planBlock{op: opBlock}, was)
	case evTryTable:
		p.open(planBlock{op: opBlock, escaped: p.tryTable(start)}, was)
	case evLoop:
		p.openLoop(start, end, was)
	case evIf:
		at := &p.list[p.at]
		p.open(planBlock{op: opIf, flow: p.flow, fixed: at.fixed || at.kind != insCharge}, was)
		if was {
			p.blocks[len(p.blocks)-1].arm = p.charge(end)
		}
	case evElse:
		p.elseArm(end, was)
	case evEnd:
		p.close(start, end, was)
	case evBr, evBrIf:
		p.branch(int(arg), was)
		p.back(int(arg), k == evBr, was)
		p.putBranch(insBranch, start, end, arg)
		p.behindBranch(end, was)
	case evBrTable:
		p.brTable(start, end, was)
		p.live = false
	case evReturn:
		depth := len(p.blocks) - 1
		p.branch(depth, was)
		p.put(insert{pos: int32(start), skip: int32(end - start), kind: insReturn, arg: uint32(depth), loop: p.inner})
		p.live = false
	case evUnreachable:
		p.live = false
	default:
		p.plain(k, start, end, arg, was)
	}
	if k != evCall && k != evCallIndirect {
		p.synced = false
	}
}

// plain is told of instructions that have nothing to do with blocks.
func (p *plan) plain(k eventKind, start, end int, arg uint32, was bool) {
	s := int32(start)
	switch k {
	case evCall:
		flow := p.flow
		p.put(insert{pos: s, skip: int32(end - start), kind: insCall, arg: p.callee(arg), quiet: p.synced})
		if p.live {
			p.list[p.at].cost += p.price(arg)
		}
		p.call()
		if p.callee(arg) < p.imported { // it does not check, so what is not checked is not forgotten
			p.flow |= flow
		}
	case evCallIndirect:
		p.put(insert{pos: int32(end), kind: insIndirect, quiet: p.synced})
		p.call()
	case evReturnCall, evReturnCallIndirect:
		i := insert{pos: s, kind: insTail}
		if k == evReturnCall {
			i.skip, i.arg = int32(end-start), p.reference(arg) // which checks in place of the exit
		}
		p.put(i)
		p.call()
		p.escape(0)
		p.live = false
	case evThrow, evThrowRef:
		p.resets |= Throws
		p.escape(0)
		p.live = false
	case evRefFunc:
		p.put(insert{pos: s, skip: int32(end - start), kind: insFunc, arg: p.nameGlobal(p.reference(arg))})
	case evMemoryGrow:
		p.resets |= GrowsMemory
		p.amount(insPages, start, func(w *Weights) uint32 { return w.GrowPage })
	case evMemoryFill, evMemoryCopy, evMemoryInit:
		p.amount(insAmount, start, func(w *Weights) uint32 { return w.BulkByte })
	case evTableGrow:
		p.resets |= ChangesTables
		p.amount(insAmount, start, func(w *Weights) uint32 { return w.TableGrow })
	case evTableFill, evTableCopy, evTableInit:
		p.resets |= ChangesTables
		p.amount(insAmount, start, func(w *Weights) uint32 { return w.BulkElement })
	case evTableSet:
		p.resets |= ChangesTables
	case evDataDrop, evElemDrop:
		p.resets |= DropsSegments
	case evFloat:
		p.temps[tempOf(arg)] = true
		p.put(insert{pos: int32(end), kind: insFloat, arg: arg})
	}
}

// amount plans the charge of an instruction by the number on top of the operands. It is checked at once.
func (p *plan) amount(k insertKind, start int, price func(*Weights) uint32) {
	if p.weights == nil {
		return
	}
	if w := price(p.weights); w > 0 {
		p.temps[tempI32] = true
		p.fix()
		p.put(insert{pos: int32(start), kind: k, cost: int64(w)})
	}
}

// call notes a call, which may check the account, and after which charges are not checked.
func (p *plan) call() {
	p.leaf = false
	p.fix()
	if p.inner >= 0 {
		p.loops[p.inner].calls = true
	}
	p.flow = flowCalled
	p.synced = true
}

func (p *plan) open(b planBlock, was bool) {
	b.entered, b.charge, b.outer = was, p.at, p.inner
	if b.op != opLoop {
		b.loop = -1
	}
	if b.op != opIf {
		b.arm = -1
	}
	b.arm2, b.reach = -1, int32(len(p.blocks))
	p.blocks = append(p.blocks, b)
}

func (p *plan) openLoop(start, end int, was bool) {
	p.fix()
	if p.inner >= 0 {
		p.loops[p.inner].calls = true // as good as one: only the innermost are written in the other way
	}
	sig := p.v.frames[len(p.v.frames)-1].sig
	n := int32(len(p.loops))
	p.loops = append(p.loops, planLoop{edge: -1, block: int32(len(p.blocks)), params: len(sig.params) > 0, start: int32(start), end: int32(end)})
	p.put(insert{pos: int32(start), kind: insLoop, arg: uint32(n)})
	p.open(planBlock{op: opLoop, loop: n}, was)
	p.inner = n
	p.flow = 0
	if was {
		p.at = p.put(insert{pos: int32(end), kind: insCheck, arg: uint32(n), fixed: true})
		p.loops[n].header = p.at
	} else {
		p.loops[n].calls = true
	}
}

func (p *plan) elseArm(end int, was bool) {
	b := &p.blocks[len(p.blocks)-1]
	b.op, b.live1 = opElse, was
	if was {
		b.merged |= p.flow
	}
	p.flow = b.flow
	if p.live = b.entered; p.live {
		b.arm2 = p.charge(end)
	}
}

// close ends a block, and decides to which charge the code behind it belongs.
func (p *plan) close(start, end int, was bool) {
	n := len(p.blocks) - 1
	b := p.blocks[n]
	if was {
		b.merged |= p.flow
	}
	switch {
	case b.op == opLoop:
		p.spread(&b)
		p.inner = b.outer
		p.put(insert{pos: int32(end), kind: insLoopEnd, arg: uint32(b.loop)})
		p.live = was
	case b.op == opIf:
		b.merged |= b.flow
		p.live = b.entered
	case b.op == opElse:
		p.live = was || b.live1 || b.targeted
	default:
		p.live = was || b.targeted
	}
	p.live = p.live && b.entered
	if b.op != opLoop {
		p.flow = b.merged
	}
	if n == 0 {
		p.exit |= p.flow
		p.blocks = p.blocks[:0]
		return
	}
	p.blocks = p.blocks[:n]
	p.fixed = min(p.fixed, n)
	b.escaped = b.escaped || b.reach < int32(n)
	p.escape(int(b.reach))
	if !b.entered {
		return
	}
	if b.caught && b.op != opLoop { // there it lands at the header
		p.put(insert{pos: int32(end), kind: insLanding})
	}
	switch {
	case !b.escaped:
		p.at = b.charge
	case b.op == opLoop && was:
		// Only its own end leads there: the charge goes on.
	case b.op == opIf && !b.fixed && !b.caught && !b.targeted:
		// Not where a branch leads from the arm to its end: it would pay a second time behind it.
		a := p.take(b.charge)
		p.list[b.arm].cost += a
		if was && a > 0 {
			p.put(insert{pos: int32(start), kind: insCharge, cost: -a})
		}
		p.list[p.charge(end)].cost += a
	case b.op == opElse && !b.fixed && !b.caught:
		a := p.take(b.charge)
		p.list[b.arm].cost += a
		p.list[b.arm2].cost += a
		p.charge(end)
	case b.op == opBlock && was && !b.targeted && !b.caught:
		// As for a loop.
	default:
		p.charge(end)
	}
}

// take returns the cost of a charge and leaves none.
func (p *plan) take(charge int32) int64 {
	a := p.list[charge].cost
	p.list[charge].cost = 0
	return a
}

// escape notes that the code leads to the block at an index, and so leaves all within it. What that means for the blocks around
// the innermost one is worked out when that ends: there may be thousands, and as many branches.
func (p *plan) escape(target int) {
	b := &p.blocks[len(p.blocks)-1]
	b.reach = min(b.reach, int32(target))
}

// branch notes a branch to a depth.
func (p *plan) branch(depth int, live bool) {
	if !live {
		return
	}
	t := len(p.blocks) - 1 - depth
	p.escape(t)
	b := &p.blocks[t]
	if b.op != opLoop {
		b.targeted = true
		b.merged |= p.flow
	}
	if t == 0 {
		p.exit |= p.flow
	}
}

// back notes a branch that leads back to a loop.
func (p *plan) back(depth int, always, live bool) {
	n := p.blocks[len(p.blocks)-1-depth].loop
	if n < 0 || !live {
		return
	}
	l := &p.loops[n]
	if !always || p.at == l.header {
		l.often = true
		return
	}
	p.edges = append(p.edges, planEdge{p.at, l.edge})
	l.edge = int32(len(p.edges) - 1)
}

// spread has those who lead to a loop pay for its header, where all of them do so without condition: what is left there is the check.
func (p *plan) spread(b *planBlock) {
	l := &p.loops[b.loop]
	if l.often || !b.entered {
		return
	}
	h := p.take(l.header)
	p.list[b.charge].cost += h
	for e := l.edge; e >= 0; e = p.edges[e].next {
		p.list[p.edges[e].charge].cost += h
	}
}

// putBranch plans a branch again that leaves the innermost loop, since that may be written with more blocks around it.
func (p *plan) putBranch(k insertKind, start, end int, depth uint32) {
	if p.inner < 0 || p.loops[p.inner].calls {
		return
	}
	if inside := uint32(len(p.blocks)-1) - uint32(p.loops[p.inner].block); k == insTable {
		depth = inside
	} else if depth <= inside {
		return
	}
	p.put(insert{pos: int32(start), skip: int32(end - start), kind: k, arg: depth, loop: p.inner})
}

func (p *plan) behindBranch(end int, was bool) {
	p.live = p.v.live
	if p.live && was {
		p.charge(end)
	}
}

func (p *plan) brTable(start, end int, was bool) {
	n, pos := p.number(start + 1)
	for range n + 1 {
		var depth uint32
		depth, pos = p.number(pos)
		p.branch(int(depth), was)
		p.back(int(depth), false, was)
	}
	p.putBranch(insTable, start, end, 0)
}

// tableLabel returns the first label of a br_table; all carry the same number of values.
func (p *plan) tableLabel(start int) int {
	_, pos := p.number(start + 1)
	depth, _ := p.number(pos)
	return int(depth)
}

// number reads an index of a validated instruction.
func (p *plan) number(pos int) (uint32, int) {
	if c := p.v.code[pos]; c < 0x80 {
		return uint32(c), pos + 1
	}
	return leb32(p.v.code, pos)
}

// tryTable notes the blocks to which the catch clauses lead, and tells whether there are any. The walk has opened its block
// already; the plan has not, and the labels count from outside.
func (p *plan) tryTable(start int) bool {
	p.tries = true
	p.fix()
	if p.inner >= 0 {
		p.loops[p.inner].calls = true
	}
	_, pos := p.blockType(start + 1)
	n, pos := p.number(pos)
	for range n {
		kind := p.v.code[pos]
		pos++
		if kind < 2 { // catch, catch_ref: of one tag
			_, pos = p.number(pos)
		}
		var depth uint32
		depth, pos = p.number(pos)
		flow := p.flow
		p.flow |= flowCalled | flowCharged // what was thrown may have come from far
		p.branch(int(depth), p.live)
		p.flow = flow
		b := &p.blocks[len(p.blocks)-1-int(depth)]
		if b.caught = true; b.op == opLoop {
			l := &p.loops[b.loop]
			l.caught, l.often = true, true // nothing that leads there could pay for the header
		}
	}
	return n > 0
}

// blockType returns the bytes of a block type and the offset behind it.
func (p *plan) blockType(pos int) ([]byte, int) {
	start := pos
	for p.v.code[pos] >= 0x80 {
		pos++
	}
	return p.v.code[start : pos+1], pos + 1
}
