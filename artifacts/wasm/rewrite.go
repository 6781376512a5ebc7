package wasm

import (
	"bytes"
	"encoding/binary"
)

// MemoryImportToExport returns the module with its imported memory defined by itself, and exported as "memory" unless
// something is called so already: the PVF way. A module without a memory import comes back as it is.
func (m *Module) MemoryImportToExport(code []byte) []byte {
	var mem *Import
	for i := range m.Imports {
		if m.Imports[i].Kind == Memory {
			mem = &m.Imports[i]
			break
		}
	}
	if mem == nil || len(m.Memories) > 0 { // two memories are the engine's to refuse
		return code
	}
	exported := false
	for _, e := range m.Exports {
		exported = exported || e.Name == "memory"
	}
	export := append([]byte("\x06memory"), byte(Memory), 0)

	out := append(make([]byte, 0, len(code)+32), code[:8]...)
	memoryDone, exportDone := false, exported
	put := func(next int) { // writes the new sections that belong before the section at place next
		if !memoryDone && next > order[sectionMemory] {
			out = appendSection(out, sectionMemory, append([]byte{1}, mem.rawDesc...))
			memoryDone = true
		}
		if !exportDone && next > order[sectionExport] {
			out = appendSection(out, sectionExport, append([]byte{1}, export...))
			exportDone = true
		}
	}
	for _, s := range m.sections {
		if s.id != sectionCustom {
			put(order[s.id])
		}
		switch {
		case s.id == sectionImport:
			payload := appendU32(nil, uint32(len(m.Imports)-1))
			for i := range m.Imports {
				if &m.Imports[i] != mem {
					payload = append(payload, m.Imports[i].raw...)
				}
			}
			out = appendSection(out, s.id, payload)
		case s.id == sectionExport && !exportDone:
			r := reader{b: s.payload}
			payload := appendU32(nil, r.u32("exports")+1)
			payload = append(append(payload, r.b...), export...)
			out = appendSection(out, s.id, payload)
			exportDone = true
		default:
			out = appendSection(out, s.id, s.payload)
		}
	}
	put(len(order) + 1)
	return out
}

// SkeletonOptions say what a skeleton lacks besides bodies and custom sections. The zero value keeps everything else.
type SkeletonOptions struct {
	EmptyData   bool // active data has no bytes: for instances whose memory starts as an image
	ExportStart bool // the start function is exported as StartExport and not called by who instantiates the module
}

// Skeleton returns the module with every function body replaced by a trap and with one custom section at most: the symbols, unless
// they are nil. It is what an execute worker decodes and validates in place of the whole module: types, imports, globals, tables and
// exports are the same, and so is the data unless the options say otherwise; the compiled code of the original fits it.
//
// A module without exports keeps its start function whatever the options say; metered code has some.
//
// Emptied segments keep their places, which compiled code knows them by. Where it can know none, since there is neither a passive
// segment nor a count of segments, the whole section goes.
func (m *Module) Skeleton(code []byte, s *Symbols, o SkeletonOptions) []byte {
	stub := []byte{3, 0, 0x00, 0x0b} // size, no locals, unreachable, end
	symbols := s.Encode()
	start := []byte(nil) // what is added to the exports
	if index, ok := m.StartFunction(); ok && o.ExportStart && m.has(sectionExport) {
		start = appendU32(append(appendName(nil, StartExport), byte(Func)), index)
	}
	out := append(make([]byte, 0, 4096+4*len(m.Funcs)+len(symbols)), code[:8]...)
	for _, s := range m.sections {
		switch {
		case s.id == sectionCode:
			payload := appendU32(nil, uint32(len(m.Funcs)))
			out = appendSection(out, s.id, append(payload, bytes.Repeat(stub, len(m.Funcs))...))
		case s.id == sectionStart && start != nil:
		case s.id == sectionExport && start != nil:
			r := reader{b: s.payload}
			payload := appendU32(nil, r.u32("exports")+1)
			out = appendSection(out, s.id, append(append(payload, r.b...), start...))
		case s.id == sectionData && o.EmptyData:
			payload, passive, ok := emptied(s)
			switch {
			case !ok:
				out = appendSection(out, s.id, s.payload) // the engine says what is wrong with it
			case passive || m.has(sectionDataCount):
				out = appendSection(out, s.id, payload)
			}
		case s.id != sectionCustom:
			out = appendSection(out, s.id, s.payload)
		}
	}
	if symbols != nil {
		payload := append(appendU32(nil, uint32(len(SymbolSection))), SymbolSection...)
		out = appendSection(out, sectionCustom, append(payload, symbols...))
	}
	return out
}

// emptied returns the payload of a data section without the bytes of its active segments, and whether one is passive.
func emptied(s section) (payload []byte, passive, ok bool) {
	r := reader{b: s.payload, off: s.off}
	n := r.u32("segments")
	payload = appendU32(nil, n)
	for ; n > 0 && r.err == nil; n-- {
		start := r.b
		kind := r.u32("segment")
		if kind == 2 {
			r.u32("memory")
		}
		if kind != 1 {
			r.constant()
		}
		head := start[:len(start)-len(r.b)]
		r.take(r.u32("segment"), "segment")
		switch {
		case r.err != nil || kind > 2:
			return nil, false, false
		case kind == 1:
			passive = true
			payload = append(payload, start[:len(start)-len(r.b)]...)
		default:
			payload = append(append(payload, head...), 0)
		}
	}
	r.end("segments")
	return payload, passive, r.err == nil
}

// StartFunction returns the index of the start function, and whether there is one.
func (m *Module) StartFunction() (uint32, bool) {
	for _, s := range m.sections {
		if s.id == sectionStart {
			r := reader{b: s.payload}
			index := r.u32("start")
			return index, r.err == nil
		}
	}
	return 0, false
}

// constant passes over a constant expression.
func (r *reader) constant() {
	for r.err == nil {
		switch op := r.byte("constant expression"); op {
		case 0x0b: // end
			return
		case 0x41, 0x42, 0x23, 0xd2: // i32.const, i64.const, global.get, ref.func: one number
			for r.byte("constant expression")&0x80 != 0 {
			}
		case 0x43: // f32.const
			r.take(4, "constant expression")
		case 0x44: // f64.const
			r.take(8, "constant expression")
		case 0x6a, 0x6b, 0x6c, 0x7c, 0x7d, 0x7e: // sums, differences and products
		default:
			r.fail("constant expression")
		}
	}
}

// LimitTables returns the module with maxima for its tables, so that all of them together never have more than most
// elements, or than they start with: what they may grow by is shared out evenly. A maximum that is lower stays.
func (m *Module) LimitTables(code []byte, most uint64) []byte {
	if len(m.Tables) == 0 {
		return code
	}
	room := most
	for _, t := range m.Tables {
		room -= min(room, t.Min)
	}
	room /= uint64(len(m.Tables))
	out := append(make([]byte, 0, len(code)+16), code[:8]...)
	for _, s := range m.sections {
		if s.id != sectionTable {
			out = appendSection(out, s.id, s.payload)
			continue
		}
		r := reader{b: s.payload}
		payload := appendU32(nil, r.u32("tables"))
		for range m.Tables {
			payload = append(payload, r.byte("table type"))
			l := r.limits("table")
			end := l.Min + min(room, 1<<32-1-min(l.Min, 1<<32-1))
			if l.HasMax {
				end = min(end, l.Max)
			}
			payload = append(payload, l.flags|1)
			payload = binary.AppendUvarint(binary.AppendUvarint(payload, l.Min), end)
		}
		out = appendSection(out, s.id, payload)
	}
	return out
}
