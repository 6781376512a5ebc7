package engine

import (
	"encoding/binary"
	"slices"
	"testing"

	"github.com/troupehost/troupe/artifacts/wasm"
)

// naiveGlobal is the export of the i64 that a naive count goes up in.
const naiveGlobal = "naive"

// naive rewrites a module so that each instruction adds its weight to a global just before it runs. It knows nothing of blocks
// that share a charge, so it is slow, and there is nothing in it that could be wrong in the same way as the rewriter: the two
// share no code, not even what passes over instructions. Prices of calls to the host are counted by the host.
type naive struct {
	t       testing.TB
	w       *wasm.Weights
	b       []byte // what is still to be read
	out     []byte
	types   [][2]int // parameters and results
	funcs   []int    // types, imported functions first
	imports int
	globals int
	host    uint32 // added for each direct call of an imported function

	labels []int // values that a branch to each open block carries
	temp   int   // a local for amounts
}

// naiveCount returns the code with its count. The code must be valid.
func naiveCount(t testing.TB, code []byte, w *wasm.Weights, host uint32) []byte {
	t.Helper()
	n := &naive{t: t, w: w, b: code[8:], host: host}
	out := slices.Clone(code[:8])
	global := []byte{i64, 1, opI64Const, 0, opEnd}
	done := map[byte]bool{}
	add := func(id byte, items []byte) { // a section that is there for what is added alone
		if !done[id] {
			out = append(out, raw(id, append([]byte{1}, items...))...)
			done[id] = true
		}
	}
	export := func() []byte { return binary.AppendUvarint(append(text(naiveGlobal), 3), uint64(n.globals)) }
	for len(n.b) > 0 {
		id := n.byte()
		payload := n.take(n.u32())
		if rank := map[byte]int{secExport: 7, secStart: 8, 9: 9, 12: 10, secCode: 11, 11: 12}[id]; rank > 0 {
			add(secGlobal, global)
			if rank > 7 {
				add(secExport, export())
			}
		}
		rest := n.b
		n.b = payload
		switch id {
		case secType:
			n.readTypes()
		case secImport:
			n.readImports()
		case secFunc:
			for range n.u32() {
				n.funcs = append(n.funcs, n.u32())
			}
		case secGlobal:
			count := n.u32()
			payload = slices.Concat(binary.AppendUvarint(nil, uint64(count+1)), n.b, global)
			n.globals += count
		case secExport:
			count := n.u32()
			payload = slices.Concat(binary.AppendUvarint(nil, uint64(count+1)), n.b, export())
		case secCode:
			n.out = nil
			count := n.u32()
			for i := range count {
				n.body(n.imports + i)
			}
			payload = append(binary.AppendUvarint(nil, uint64(count)), n.out...)
		}
		done[id] = true
		n.b = rest
		out = append(out, raw(id, payload)...)
	}
	return out
}

func (n *naive) byte() byte { return n.take(1)[0] }

func (n *naive) take(k int) []byte {
	b := n.b[:k]
	n.b = n.b[k:]
	return b
}

func (n *naive) u32() int {
	v, k := binary.Uvarint(n.b)
	n.take(k)
	return int(v)
}

// skip passes over a number of any size and sign.
func (n *naive) skip() {
	for n.byte() >= 0x80 {
	}
}

func (n *naive) readTypes() {
	for range n.u32() {
		n.byte()
		params := n.u32()
		n.take(params)
		results := n.u32()
		n.take(results)
		n.types = append(n.types, [2]int{params, results})
	}
}

func (n *naive) readImports() {
	limits := func() {
		flags := n.byte()
		n.u32()
		if flags&1 != 0 {
			n.u32()
		}
	}
	for range n.u32() {
		n.take(n.u32())
		n.take(n.u32())
		switch n.byte() {
		case 0:
			n.funcs = append(n.funcs, n.u32())
			n.imports++
		case 1:
			n.byte()
			limits()
		case 2:
			limits()
		case 3:
			n.take(2)
			n.globals++
		default: // a tag
			n.byte()
			n.u32()
		}
	}
}

// blockType returns how many values go in and out of a block.
func (n *naive) blockType() [2]int {
	switch c := n.b[0]; {
	case c == 0x40:
		n.byte()
		return [2]int{}
	case c&0xc0 == 0x40:
		n.byte()
		return [2]int{0, 1}
	}
	return n.types[n.u32()]
}

func (n *naive) put(op byte, index int) {
	n.out = binary.AppendUvarint(append(n.out, op), uint64(index))
}

// count adds a constant.
func (n *naive) count(gas uint64) {
	n.put(opGlobalGet, n.globals)
	n.number(gas)
	n.out = append(n.out, 0x7c)
	n.put(opGlobalSet, n.globals)
}

func (n *naive) number(v uint64) {
	n.out = append(n.out, opI64Const)
	for ; v >= 0x40; v >>= 7 {
		n.out = append(n.out, byte(v)|0x80)
	}
	n.out = append(n.out, byte(v))
}

// each adds a price for each unit of the number on top of the operands, which is at most so large if that is not 0.
func (n *naive) each(gas uint32, most int) {
	n.put(0x22, n.temp)
	n.put(opGlobalGet, n.globals)
	n.put(opLocalGet, n.temp)
	n.out = append(n.out, 0xad)
	if most > 0 {
		n.number(uint64(most))
		n.put(opLocalGet, n.temp)
		n.out = append(n.out, 0xad)
		n.number(uint64(most))
		n.out = append(n.out, 0x54, 0x1b) // i64.lt_u, select: the number unless it is larger
	}
	n.number(uint64(gas))
	n.out = append(n.out, 0x7e, 0x7c)
	n.put(opGlobalSet, n.globals)
}

func (n *naive) carried(values int) uint64 {
	return uint64(max(values-wasm.FreeValues, 0)) * uint64(n.w.Value)
}

func (n *naive) body(fn int) {
	size := n.u32()
	rest, outer := n.b[size:], n.out
	n.b = n.b[:size]
	typ := n.types[n.funcs[fn]]
	groups := n.u32()
	n.temp = typ[0]
	var declared []byte
	for range groups {
		k := n.u32()
		n.temp += k
		declared = append(binary.AppendUvarint(declared, uint64(k)), n.byte())
	}
	n.out = slices.Concat(binary.AppendUvarint(nil, uint64(groups+1)), declared, []byte{1, i32})
	n.count(uint64(n.w.Function) + uint64(n.temp-typ[0])*uint64(n.w.Local) + n.carried(typ[0]) + n.carried(typ[1]))
	n.labels = []int{typ[1]}
	for len(n.b) > 0 {
		n.instruction()
	}
	if len(n.labels) != 0 {
		n.t.Fatalf("function %d: %d blocks are open at its end", fn, len(n.labels))
	}
	body := n.out
	n.b, n.out = rest, slices.Concat(outer, binary.AppendUvarint(nil, uint64(len(body))), body)
}

// instruction copies an instruction behind what counts it.
func (n *naive) instruction() {
	was := n.b
	op := n.byte()
	gas := uint64(n.w.Op[op])
	open := func(label int) { n.labels = append(n.labels, label) }
	label := func(depth int) uint64 { return n.carried(n.labels[len(n.labels)-1-depth]) }
	switch {
	case op == 0x02 || op == 0x04:
		open(n.blockType()[1])
	case op == 0x03:
		open(n.blockType()[0])
	case op == 0x1f:
		results := n.blockType()[1]
		for range n.u32() {
			if n.byte() < 2 {
				n.u32()
			}
			n.u32()
		}
		open(results)
	case op == opEnd:
		n.labels = n.labels[:len(n.labels)-1]
	case op == 0x0c || op == 0x0d:
		gas += label(n.u32())
	case op == 0x0e:
		for range n.u32() {
			n.u32()
		}
		gas += label(n.u32())
	case op == 0x0f:
		gas += n.carried(n.labels[0])
	case op == opCall || op == 0x12:
		if n.u32() < n.imports {
			gas += uint64(n.host)
		}
	case op == 0x11 || op == 0x13:
		n.u32()
		n.u32()
	case op == 0x1c:
		n.take(n.u32())
	case op == 0x08 || op >= 0x20 && op <= 0x26 || op == 0xd2:
		n.u32()
	case op >= 0x28 && op <= 0x3e:
		n.u32()
		n.u32()
	case op == 0x3f || op == opGrow || op == 0xd0:
		n.byte()
	case op == opI32Const || op == opI64Const:
		n.skip()
	case op == opF32Const:
		n.take(4)
	case op == opF64Const:
		n.take(8)
	case op == 0xfc:
		gas = n.misc()
	case op == 0xfd:
		gas = n.vector()
	}
	if op == opGrow {
		n.each(n.w.GrowPage, 65536)
	}
	n.count(gas)
	n.out = append(n.out, was[:len(was)-len(n.b)]...)
}

func (n *naive) misc() uint64 {
	op := n.u32()
	switch {
	case op < 8:
	case op == 8 || op == 10 || op == 12 || op == 14:
		n.u32()
		n.u32()
	default:
		n.u32()
	}
	switch op {
	case 8, 10, 11:
		n.each(n.w.BulkByte, 0)
	case 12, 14, 17:
		n.each(n.w.BulkElement, 0)
	case 15:
		n.each(n.w.TableGrow, 0)
	}
	return uint64(n.w.Misc[op])
}

func (n *naive) vector() uint64 {
	op := n.u32()
	switch {
	case op == 12 || op == 13:
		n.take(16)
	case op >= 21 && op <= 34:
		n.byte()
	case op < 12 || op == 92 || op == 93:
		n.u32()
		n.u32()
	case op >= 84 && op <= 91:
		n.u32()
		n.u32()
		n.byte()
	}
	return uint64(n.w.Vector[op])
}
