package wasm

import (
	"bytes"
	"encoding/binary"
)

// MaxNameSection bounds the name section that a skeleton keeps for trap messages.
const MaxNameSection = 1 << 20

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

// Skeleton returns the module with every function body replaced by a trap and without custom sections other than the
// names. It is what an execute worker decodes and validates in place of the whole module: types, imports, globals,
// tables, data and exports are the same, and the compiled code of the original fits it.
func (m *Module) Skeleton(code []byte) []byte {
	stub := []byte{3, 0, 0x00, 0x0b} // size, no locals, unreachable, end
	out := append(make([]byte, 0, 4096), code[:8]...)
	for _, s := range m.sections {
		switch {
		case s.id == sectionCode:
			payload := appendU32(nil, uint32(len(m.Funcs)))
			out = appendSection(out, s.id, append(payload, bytes.Repeat(stub, len(m.Funcs))...))
		case s.id == sectionCustom:
			r := reader{b: s.payload}
			if r.name("custom section") == "name" && len(s.payload) <= MaxNameSection {
				out = appendSection(out, s.id, s.payload)
			}
		default:
			out = appendSection(out, s.id, s.payload)
		}
	}
	return out
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
