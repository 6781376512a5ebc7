package wasmgen

import (
	"encoding/binary"
	"fmt"
	"slices"
)

func appendI32(b []byte, v int64) []byte { return appendS64(b, int64(int32(v))) }

// appendS64 is signed LEB128.
func appendS64(b []byte, v int64) []byte {
	for {
		c := byte(v & 0x7f)
		v >>= 7
		if v == 0 && c&0x40 == 0 || v == -1 && c&0x40 != 0 {
			return append(b, c)
		}
		b = append(b, c|0x80)
	}
}

func u32(v int) []byte { return binary.AppendUvarint(nil, uint64(v)) }

func vector(items ...[]byte) []byte { return append(u32(len(items)), slices.Concat(items...)...) }

func sized(b []byte) []byte { return append(u32(len(b)), b...) }

func section(b []byte, id byte, items ...[]byte) []byte {
	if len(items) == 0 {
		return b
	}
	return append(append(b, id), sized(vector(items...))...)
}

// each returns what of makes of all elements of a list.
func each[T any](list []T, of func(i int, v T) []byte) (out [][]byte) {
	for i, v := range list {
		if b := of(i, v); b != nil {
			out = append(out, b)
		}
	}
	return out
}

func export(name string, kind byte, index int) []byte {
	return slices.Concat(sized([]byte(name)), []byte{kind}, u32(index))
}

func numeric(types ...[]byte) bool {
	for _, t := range slices.Concat(types...) {
		if !slices.Contains(numbers, t) {
			return false
		}
	}
	return true
}

func (g *gen) encode() []byte {
	first := len(g.imports)
	imports := each(g.imports, func(i int, m Import) []byte {
		return slices.Concat(sized([]byte(ImportModule)), sized([]byte(m.Name)), []byte{0}, u32(g.typeIndex(g.funcs[i])))
	})
	funcs := each(g.funcs[first:], func(_ int, s signature) []byte { return u32(g.typeIndex(s)) })
	tables := each(g.tables, func(_ int, t table) []byte { return slices.Concat([]byte{t.typ, 1}, u32(t.min), u32(t.min+8)) })
	tags := each(g.tags, func(_ int, s signature) []byte { return append([]byte{0}, u32(g.typeIndex(s))...) })
	globals := each(g.globals, func(_ int, v global) []byte {
		m := byte(0)
		if v.mutable {
			m = 1
		}
		return slices.Concat([]byte{v.typ, m}, v.init, []byte{opEnd})
	})
	types := each(g.types, func(_ int, s signature) []byte {
		return slices.Concat([]byte{0x60}, sized(s.params), sized(s.results))
	})
	b := []byte("\x00asm\x01\x00\x00\x00")
	b = section(b, 1, types...)
	b = section(b, 2, imports...)
	b = section(b, 3, funcs...)
	b = section(b, 4, tables...)
	if g.memory {
		b = section(b, 5, []byte{1, 1, MaxPages})
	}
	b = section(b, 13, tags...)
	b = section(b, 6, globals...)
	b = section(b, 7, g.exports()...)
	if g.start > 0 {
		b = append(append(b, 8), sized(u32(g.start))...)
	}
	b = section(b, 9, g.elements()...)
	if g.memory {
		b = append(append(b, 12), sized(u32(len(g.segments)))...)
	}
	b = section(b, 10, each(g.bodies, func(_ int, body []byte) []byte { return sized(body) })...)
	return section(b, 11, each(g.segments, func(i int, d []byte) []byte {
		if i > 0 {
			return append([]byte{1}, sized(d)...)
		}
		offset := []byte{opI32Const, 16, opEnd}
		if g.cfg.ExtendedConst {
			offset = []byte{opI32Const, 12, opI32Const, 4, opI32Add, opEnd}
		}
		return slices.Concat([]byte{0}, offset, sized(d))
	})...)
}

// exports are all functions over numbers, the globals that are numbers, and the memory.
func (g *gen) exports() [][]byte {
	out := [][]byte{export(Fuel, 3, 0)}
	out = append(out, each(g.funcs, func(i int, s signature) []byte {
		if i < len(g.imports) || !numeric(s.params, s.results) {
			return nil
		}
		return export(fmt.Sprintf("f%d", i), 0, i)
	})...)
	out = append(out, each(g.globals, func(i int, v global) []byte {
		if i == 0 || !numeric([]byte{v.typ}) {
			return nil
		}
		return export(fmt.Sprintf("g%d", i), 3, i)
	})...)
	if g.memory {
		out = append(out, export(Memory, 2, 0))
	}
	return out
}

// elements are an active segment for each table that has one, the passive ones, and the declaration of all functions.
func (g *gen) elements() [][]byte {
	index := func(_ int, f int) []byte { return u32(f) }
	out := each(g.tables, func(i int, t table) []byte {
		if len(t.init) == 0 {
			return nil
		}
		if i == 0 {
			return slices.Concat([]byte{0, opI32Const, 0, opEnd}, vector(each(t.init, index)...))
		}
		return slices.Concat([]byte{2}, u32(i), []byte{opI32Const, 0, opEnd, 0}, vector(each(t.init, index)...))
	})
	out = append(out, each(g.elems, func(_ int, s segment) []byte {
		if !s.exprs {
			return slices.Concat([]byte{1, 0}, vector(each(s.funcs, index)...))
		}
		return slices.Concat([]byte{5, s.typ}, vector(each(s.funcs, func(_ int, f int) []byte {
			if f < 0 {
				return []byte{opRefNull, s.typ, opEnd}
			}
			return slices.Concat([]byte{opRefFunc}, u32(f), []byte{opEnd})
		})...))
	})...)
	all := make([]int, len(g.funcs))
	for i := range all {
		all[i] = i
	}
	return append(out, slices.Concat([]byte{3, 0}, vector(each(all, index)...)))
}
