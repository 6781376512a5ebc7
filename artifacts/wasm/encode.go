package wasm

import (
	"encoding/binary"
	"slices"
	"strconv"
)

// indices are where the rewrite puts what it adds. The added import stands behind the others, so that the functions of the code
// move up by one; all else is added at the end.
type indices struct {
	gap      int    // bytes that are left free before the bodies
	imported uint32 // functions that the code imports
	defined  uint32
	moved    uint32 // by how much the functions of the code move up: 1, or 0 if nothing is metered

	refill      uint32 // function () -> (), which calls the import: the compiler makes less of a call within the module
	refillType  uint32
	gasGlobal   uint32
	stackGlobal uint32

	results [][]byte // by type: the type of a block with its results
	wide    []uint32 // types with more than one result, which need a type of their own for that

	charges []Charge          // of the imported functions
	named   []uint32          // functions that ref.func names in bodies, in the new numbering
	holders map[uint32]uint32 // the global that holds each of them
	thunks  []uint32          // by imported function: the function that charges, checks and calls it; 0: none, since no gas is metered
	order   []uint32          // the imported functions that have one
	base    uint64            // the most that one takes whatever the amount
}

// prepare settles the indices, once all sections before the bodies have been read.
func (p *plan) prepare() {
	if p.ready {
		return
	}
	p.ready = true
	v := p.v
	p.imported, p.defined = uint32(v.imported), uint32(len(v.functions)-v.imported)
	p.gasGlobal = uint32(len(v.globals))
	p.stackGlobal = p.gasGlobal
	if p.weights != nil {
		p.stackGlobal++
	}
	before, bodies, behind := 0, 0, 0
	for _, s := range v.m.sections {
		switch size := len(s.payload) + 6; {
		case s.id == sectionCustom:
		case s.id == sectionCode:
			bodies = size
		case order[s.id] < order[sectionCode]:
			before += size
		default:
			behind += size
		}
	}
	p.gap = before + before/4 + 4096
	p.out = make([]byte, p.gap, p.gap+bodies+bodies/3+behind+1024)
	p.charges, p.thunks = make([]Charge, p.imported), make([]uint32, p.imported)
	if !p.meters() {
		return
	}
	p.moved = 1
	next := p.imported + 1 + p.defined
	p.refill = next
	next++
	p.refillType = uint32(len(v.types))
	p.results = make([][]byte, len(v.types))
	for i, t := range v.types {
		switch len(t.results) {
		case 0:
			p.results[i] = []byte{typeEmpty}
		case 1:
			p.results[i] = t.results[:1]
		default:
			p.results[i] = appendS64(nil, int64(p.refillType)+1+int64(len(p.wide)))
			p.wide = append(p.wide, uint32(i))
		}
	}
	if p.weights == nil {
		return
	}
	fn := uint32(0)
	for i := range v.m.Imports {
		im := &v.m.Imports[i]
		if im.Kind != Func {
			continue
		}
		c := Charge{Base: p.weights.HostCall}
		if p.o.Charge != nil {
			c = p.o.Charge(im.Module, im.Name)
		}
		if params := v.types[im.TypeIndex].params; c.Param < 0 || c.Param >= len(params) || params[c.Param] != typeI32 {
			c.PerUnit = 0
		}
		p.charges[fn], p.thunks[fn] = c, next
		p.base = max(p.base, uint64(c.Base))
		p.order = append(p.order, fn)
		next++
		fn++
	}
}

func (p *plan) meters() bool { return p.weights != nil || p.o.Stack }

// callee returns the function that a call leads to. Most calls to imported functions are charged by the caller, which takes
// nothing; those with a price that depends on a parameter go through a thunk.
func (p *plan) callee(fn uint32) uint32 {
	if fn >= p.imported {
		return fn + p.moved
	}
	if p.charges[fn].PerUnit != 0 {
		return p.thunks[fn]
	}
	return fn
}

// price returns what a caller is charged for a call.
func (p *plan) price(fn uint32) int64 {
	if fn >= p.imported || p.charges[fn].PerUnit != 0 {
		return 0
	}
	return int64(p.charges[fn].Base)
}

// reference returns the function that stands for another one in tables, references and tail calls: whoever calls it that way
// is charged too. All that it returns check the account, be it that the call is free.
func (p *plan) reference(fn uint32) uint32 {
	if fn >= p.imported {
		return fn + p.moved
	}
	if t := p.thunks[fn]; t != 0 {
		return t
	}
	return fn
}

// nameGlobal returns the global that holds a reference to a function. The engine makes a new object for each ref.func that is run and
// keeps all of them as long as the instance, so a loop of these would take memory that nothing bounds.
func (p *plan) nameGlobal(fn uint32) uint32 {
	g, ok := p.holders[fn]
	if !ok {
		if p.holders == nil {
			p.holders = map[uint32]uint32{}
		}
		g = p.gasGlobal + p.accounts() + uint32(len(p.named))
		p.holders[fn] = g
		p.named = append(p.named, fn)
		var has int // these are not the code's own: its shape stays
		globals := len(p.v.globals) + len(p.named)
		_ = p.v.within("globals", &has, globals, p.v.caps.Globals, p.v.at) &&
			p.v.within("global-functions", &has, globals*int(p.defined), p.v.caps.GlobalFunctions, p.v.at)
	}
	return g
}

// encode writes the rewritten module. The bodies stand where they were collected, behind room for what comes before them.
func (p *plan) encode(m *Module) []byte {
	payloads := map[byte][]byte{}
	for _, s := range m.sections {
		payloads[s.id] = s.payload
	}
	head, tail := append(make([]byte, 0, p.gap), p.v.code[:8]...), []byte(nil)
	for _, id := range inOrder {
		old, has := payloads[id]
		switch {
		case id == sectionCode && (has || p.meters()):
			p.helpers()
			count := appendU32(nil, p.bodies())
			head = appendU32(append(head, id), uint32(len(count)+len(p.out)-p.gap))
			head = append(head, count...)
		case id == sectionCode || !has && !p.adds(id):
		default:
			if now := p.section(id, old); now != nil {
				old = now
			}
			if place := order[id]; place < order[sectionCode] {
				head = appendSection(head, id, old)
			} else {
				tail = appendSection(tail, id, old)
			}
		}
	}
	if len(head) > p.gap {
		return slices.Concat(head, p.out[p.gap:], tail)
	}
	out := p.out[p.gap-len(head):]
	copy(out, head)
	return append(out, tail...)
}

// inOrder are the sections in the order in which they stand.
var inOrder = func() (ids []byte) {
	ids = make([]byte, len(order)-1)
	for id, place := range order {
		if place > 0 {
			ids[place-1] = byte(id)
		}
	}
	return ids
}()

// adds tells whether a section is made that the code may lack.
func (p *plan) adds(id byte) bool {
	switch id {
	case sectionType, sectionImport, sectionFunction:
		return p.meters()
	case sectionGlobal:
		return p.accounts()+uint32(len(p.named)) > 0
	case sectionExport:
		return p.meters() || len(p.mutable()) > 0
	}
	return false
}

// section returns a section as it is to be, or nil: as it is.
func (p *plan) section(id byte, old []byte) []byte {
	r := reader{b: old}
	n := uint32(0)
	if len(old) > 0 {
		n = r.u32("count")
	}
	list := func(more uint32, add []byte) []byte {
		if more == 0 {
			return nil
		}
		b := appendU32(make([]byte, 0, len(r.b)+len(add)+5), n+more)
		return append(append(b, r.b...), add...)
	}
	switch {
	case id == sectionType && p.meters():
		add := []byte{0x60, 0, 0}
		for _, t := range p.wide {
			results := p.v.types[t].results
			add = append(appendU32(append(add, 0x60, 0), uint32(len(results))), results...)
		}
		return list(1+uint32(len(p.wide)), add)
	case id == sectionImport && p.meters():
		add := appendName(appendName(nil, MeterModule), MeterRefill)
		return list(1, appendU32(append(add, byte(Func)), p.refillType))
	case id == sectionFunction && p.meters():
		add := appendU32(nil, p.refillType)
		for _, fn := range p.order {
			add = appendU32(add, p.v.functions[fn])
		}
		return list(1+uint32(len(p.order)), add)
	case id == sectionGlobal:
		return p.globalSection(n, &r)
	case id == sectionExport:
		return p.exportSection(n, &r)
	case id == sectionStart:
		return appendU32(nil, p.reference(n))
	case id == sectionElement:
		return p.elementSection(n, &r)
	case id == sectionDataCount && p.v.fills:
		return appendU32(nil, n+p.active())
	case id == sectionData && p.v.fills:
		return dataSection(n, p.active(), r)
	}
	return nil
}

// shift returns by how much a function moves up.
func (p *plan) shift(fn uint32) uint32 {
	if fn >= p.imported {
		return p.moved
	}
	return 0
}

func (p *plan) globalSection(n uint32, r *reader) []byte {
	b := appendU32(make([]byte, 0, len(r.b)+16), n+p.accounts()+uint32(len(p.named)))
	for range n {
		b = append(b, r.take(2, "type")...)
		b = p.expression(b, r)
	}
	for range p.accounts() {
		b = append(b, typeI64, 1, opI64Const, 0, opEnd)
	}
	for _, fn := range p.named {
		b = append(appendU32(append(b, typeFunc, 0, opRefFunc), fn), opEnd)
	}
	return b
}

// accounts returns how many accounts there are.
func (p *plan) accounts() (n uint32) {
	if p.weights != nil {
		n++
	}
	if p.o.Stack {
		n++
	}
	return n
}

// mutable returns the globals that a reset has to know of.
func (p *plan) mutable() (globals []uint32) {
	for i, g := range p.v.globals {
		if g.mutable {
			globals = append(globals, uint32(i))
		}
	}
	return globals
}

func (p *plan) exportSection(n uint32, r *reader) []byte {
	mutable := p.mutable()
	b := appendU32(make([]byte, 0, len(r.b)+16*len(mutable)+32), n+uint32(len(mutable))+p.accounts())
	for range n {
		name := r.take(r.u32("name"), "name")
		kind, index := r.byte("kind"), r.u32("index")
		if Kind(kind) == Func {
			index += p.shift(index)
		}
		b = append(appendU32(b, uint32(len(name))), name...)
		b = appendU32(append(b, kind), index)
	}
	add := func(name string, global uint32) { b = appendU32(append(appendName(b, name), byte(Global)), global) }
	if p.weights != nil {
		add(GasGlobal, p.gasGlobal)
	}
	if p.o.Stack {
		add(StackGlobal, p.stackGlobal)
	}
	for _, g := range mutable {
		add(GlobalPrefix+strconv.Itoa(int(g)), g)
	}
	return b
}

// elementSection writes the segments with the new numbers of the functions; specification, 5.5.12.
func (p *plan) elementSection(n uint32, r *reader) []byte {
	b := appendU32(make([]byte, 0, len(r.b)+len(r.b)/4+16), n)
	for range n {
		flags := r.u32("flags")
		b = appendU32(b, flags)
		if flags&1 == 0 { // active
			if flags&2 != 0 {
				b = appendU32(b, r.u32("table"))
			}
			b = p.expression(b, r)
		}
		if flags&3 != 0 {
			b = append(b, r.byte("kind"))
		}
		count := r.u32("count")
		b = appendU32(b, count)
		for range count {
			if flags&4 != 0 {
				b = p.expression(b, r)
			} else {
				b = appendU32(b, p.reference(r.u32("function")))
			}
		}
	}
	return b
}

// active returns how many data segments are active.
func (p *plan) active() (active uint32) {
	for _, s := range p.v.m.sections {
		if s.id == sectionData {
			r := reader{b: s.payload}
			for n := r.u32("segments"); n > 0; n-- {
				if r.dataSegment() {
					active++
				}
			}
		}
	}
	return active
}

// dataSection puts the active segments behind all others, and an empty passive one in the place of each. An active segment is
// dropped when it was copied, before any code runs, so that memory.init finds nothing in it; but the engine keeps it.
func dataSection(n, active uint32, r reader) []byte {
	b := appendU32(make([]byte, 0, len(r.b)+2*int(active)+5), n+active)
	moved := []byte(nil)
	for range n {
		start := r.b
		if r.dataSegment() {
			b = append(b, 1, 0)
			moved = append(moved, start[:len(start)-len(r.b)]...)
		} else {
			b = append(b, start[:len(start)-len(r.b)]...)
		}
	}
	return append(b, moved...)
}

// dataSegment passes over a segment, and tells whether it is active.
func (r *reader) dataSegment() bool {
	kind := r.u32("segment")
	if kind == 2 {
		r.u32("memory")
	}
	if kind != 1 {
		r.constant()
	}
	r.take(r.u32("segment"), "segment")
	return kind != 1
}

// expression copies a constant expression with the new numbers of the functions.
func (p *plan) expression(b []byte, r *reader) []byte {
	for {
		rest := r.b
		op := r.byte("constant")
		switch op {
		case opI32Const, opI64Const:
			for r.byte("constant") >= 0x80 {
			}
		case opF32Const:
			r.take(4, "constant")
		case opF64Const:
			r.take(8, "constant")
		case prefixVector:
			r.take(17, "constant")
		case opGlobalGet:
			r.u32("global")
		case opRefNull:
			r.byte("type")
		case opRefFunc:
			b = appendU32(append(b, op), p.reference(r.u32("function")))
			continue
		}
		b = append(b, rest[:len(rest)-len(r.b)]...)
		if op == opEnd || r.err != nil {
			return b
		}
	}
}

// bodies returns how many bodies there are.
func (p *plan) bodies() uint32 {
	if p.meters() {
		return p.defined + 1 + uint32(len(p.order))
	}
	return p.defined
}

// helpers adds the bodies of the functions that are added.
func (p *plan) helpers() {
	if !p.meters() {
		return
	}
	add := func(b []byte) { p.out = append(appendU32(p.out, uint32(len(b))), b...) }
	e := emitter{plan: p, b: []byte{0}}
	e.op(opCall, p.imported) // the import that was added
	add(append(e.b, opEnd))
	for _, fn := range p.order {
		add(p.thunk(fn))
	}
}

// thunk returns the body of a function that charges for an imported one and calls it.
func (p *plan) thunk(fn uint32) []byte {
	c, params := p.charges[fn], p.v.types[p.v.functions[fn]].params
	e := emitter{plan: p, b: []byte{1, 1, typeI64}}
	e.temp[tempGas] = uint32(len(params))
	e.op(opGlobalGet, p.gasGlobal)
	e.constant(int64(c.Base))
	e.b = append(e.b, opI64Sub)
	if c.PerUnit != 0 {
		e.op(opLocalGet, uint32(c.Param))
		e.b = append(e.b, opI64ExtendI32U)
		e.constant(int64(c.PerUnit))
		e.b = append(e.b, opI64Mul, opI64Sub)
	}
	e.op(opLocalTee, e.temp[tempGas])
	e.op(opGlobalSet, p.gasGlobal)
	e.op(opLocalGet, e.temp[tempGas])
	e.fillIfNegative()
	for i := range params {
		e.op(opLocalGet, uint32(i))
	}
	e.op(opCall, fn)
	return append(e.b, opEnd)
}

func appendName(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}
