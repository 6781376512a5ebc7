package wasm

import (
	"encoding/binary"
	"fmt"
	"iter"
	"math"
	"slices"

	"github.com/troupehost/troupe/actors/fault"
)

const (
	// SymbolSection is the custom section of a skeleton that holds the symbols of the original code.
	SymbolSection = "troupe:symbols"
	// MaxSymbols bounds encoded symbols, in bytes.
	MaxSymbols = 1 << 20

	symbolsVersion = 1
	longestName    = 1024 // bytes of a name that are ever kept
)

// Symbols name the functions of the original code and tell where their bodies stand, for messages. They are kept as they are
// encoded, and a look-up walks over them: it allocates the name alone, and takes a millisecond for the largest module. Names
// come from the guest: quote them where they are shown.
//
// Encoded, they are a version, the numbers of imported and of defined functions, the distance from each body of a defined
// function to the next one, and the name of each function behind its length; all numbers are unsigned LEB128. The size is
// bounded by MaxSymbols: names keep at most 1,024 bytes, and less where that is too much for all of them: the longest are cut
// first, to one length. A module of so many functions that the distances alone are too long is covered up to one of them.
type Symbols struct {
	encoded            []byte
	imported, defined  uint32
	offsetsAt, namesAt int
}

// Name returns the name of a function of the original code and the offset of its body there: of the byte behind the size of the
// body. The name is empty for a function that has none, the offset is 0 for an imported one. It is safe on nil, and from any
// goroutine.
func (s *Symbols) Name(index uint32) (name string, offset uint32, ok bool) {
	if s == nil || uint64(index) >= uint64(s.imported)+uint64(s.defined) {
		return "", 0, false
	}
	if index >= s.imported {
		b := s.encoded[s.offsetsAt:]
		for range index - s.imported + 1 {
			d, n := binary.Uvarint(b)
			offset += uint32(d)
			b = b[n:]
		}
	}
	b := s.encoded[s.namesAt:]
	for ; ; index-- {
		size, n := binary.Uvarint(b)
		if b = b[n:]; index == 0 {
			return string(b[:size]), offset, true
		}
		b = b[size:]
	}
}

// Encode returns the bytes that DecodeSymbols reads, at most MaxSymbols. They are shared: do not change them.
func (s *Symbols) Encode() []byte {
	if s == nil {
		return nil
	}
	return s.encoded
}

// DecodeSymbols reads encoded symbols. The result shares memory with b.
//
// # Errors
//
// suspect.artifact_rejected: symbols stand in artifacts only.
func DecodeSymbols(b []byte) (*Symbols, error) {
	if len(b) > MaxSymbols {
		return nil, badSymbols("too long")
	}
	if len(b) == 0 || b[0] != symbolsVersion {
		return nil, badSymbols("unknown version")
	}
	r := reader{b: b[1:], off: 1}
	s := &Symbols{encoded: b, imported: r.u32("imported functions"), defined: r.u32("defined functions")}
	s.offsetsAt = r.off
	end := uint64(0)
	for i := uint32(0); i < s.defined && r.err == nil; i++ {
		if end += uint64(r.u32("distance")); end > math.MaxUint32 {
			r.fail("distance")
		}
	}
	s.namesAt = r.off
	for i := uint64(0); i < uint64(s.imported)+uint64(s.defined) && r.err == nil; i++ {
		r.take(r.u32("name"), "name")
	}
	if r.end("symbols"); r.err != nil {
		return nil, badSymbols(fmt.Sprintf("at offset %#x", r.off))
	}
	return s, nil
}

func badSymbols(what string) error {
	return fault.New(fault.SuspectArtifact, "symbols", what, nil)
}

// Symbols returns the symbols that a skeleton holds, or nil.
//
// # Errors
//
// Those of DecodeSymbols.
func (m *Module) Symbols() (*Symbols, error) {
	b, ok := m.custom(SymbolSection)
	if !ok {
		return nil, nil
	}
	return DecodeSymbols(b)
}

// NewSymbols returns the symbols of code that is not instrumented; those of instrumented code are made on the way.
func (m *Module) NewSymbols(code []byte) *Symbols { return newSymbols(m, code) }

// newSymbols collects the names of the functions: those of the name section, else of imports ("module.name"), else of exports.
// A name section that is malformed counts as none.
func newSymbols(m *Module, code []byte) *Symbols {
	section, _ := m.custom("name")
	source := symbolSource{m: m, named: functionNames(section), exported: m.functionExports()}
	for _, i := range m.Imports {
		if i.Kind == Func {
			source.imported++
		}
	}
	s := &Symbols{imported: source.imported}

	// The distances come first, as far as there is room for them and an empty name for each function.
	var distances []byte
	room, last := MaxSymbols-2*binary.MaxVarintLen32-1-min(int(s.imported), MaxSymbols), uint32(0)
	for body := range m.eachBody(code) {
		at := uint32(body.off)
		before := len(distances)
		if distances = binary.AppendUvarint(distances, uint64(at-last)); len(distances)+int(s.defined)+1 > room {
			distances = distances[:before]
			break
		}
		s.defined++
		last = at
	}
	if int(s.imported) > MaxSymbols/2 { // a name each would not fit
		s.imported, s.defined, distances = 0, 0, nil
	}

	out := append(make([]byte, 0, len(distances)+64), symbolsVersion)
	out = binary.AppendUvarint(binary.AppendUvarint(out, uint64(s.imported)), uint64(s.defined))
	s.offsetsAt = len(out)
	out = append(out, distances...)
	s.namesAt = len(out)
	if s.imported+s.defined > 0 {
		longest, size := source.fit(s.imported+s.defined, MaxSymbols-len(out))
		out = slices.Grow(out, size)
		for i, name := range source.names() {
			if i >= s.imported+s.defined {
				break
			}
			name = name[:min(len(name), longest)]
			out = append(binary.AppendUvarint(out, uint64(len(name))), name...)
		}
	}
	s.encoded = out
	return s
}

// symbolSource yields the names of all functions in order, without keeping them.
type symbolSource struct {
	m        *Module
	imported uint32
	named    nameMap
	exported []Export // of functions, in the order of these
}

// names yields every index with its name, which holds until the next one.
func (s symbolSource) names() iter.Seq2[uint32, []byte] {
	return func(yield func(uint32, []byte) bool) {
		named, exported := s.named, s.exported
		index, scratch := uint32(0), []byte(nil)
		next := func(fallback []byte) bool {
			name := named.at(index)
			if len(name) == 0 {
				name = fallback
			}
			index++
			return yield(index-1, name)
		}
		for _, i := range s.m.Imports {
			if i.Kind != Func {
				continue
			}
			scratch = append(append(append(scratch[:0], i.Module...), '.'), i.Name...)
			if !next(scratch) {
				return
			}
		}
		for range s.m.Funcs {
			for len(exported) > 0 && exported[0].Index < index {
				exported = exported[1:]
			}
			scratch = scratch[:0]
			if len(exported) > 0 && exported[0].Index == index {
				scratch = append(scratch, exported[0].Name...)
			}
			if !next(scratch) {
				return
			}
		}
	}
}

// fit returns the greatest length to which the first count names must be cut to take no more than room bytes with their lengths,
// and what they take then.
func (s symbolSource) fit(count uint32, room int) (longest, size int) {
	var lengths [longestName + 1]int // how many names have this length
	for i, name := range s.names() {
		if i >= count {
			break
		}
		lengths[min(len(name), longestName)]++
	}
	size = int(count)
	rest := int(count) - lengths[0] // names that are longer than longest
	for longest < longestName && rest > 0 {
		more := rest
		if longest+1 == 128 { // from here on the length takes two bytes
			more += rest
		}
		if size+more > room {
			break
		}
		size += more
		longest++
		rest -= lengths[longest]
	}
	return longest, size
}

// custom returns the content of the first custom section of a name.
func (m *Module) custom(name string) ([]byte, bool) {
	for _, s := range m.sections {
		if s.id != sectionCustom {
			continue
		}
		r := reader{b: s.payload}
		if got := r.take(r.u32("name"), "name"); r.err == nil && string(got) == name {
			return r.b, true
		}
	}
	return nil, false
}

// eachBody yields a reader over each function body, behind its size.
func (m *Module) eachBody(code []byte) iter.Seq[reader] {
	return func(yield func(reader) bool) {
		for _, s := range m.sections {
			if s.id != sectionCode {
				continue
			}
			r := reader{b: code[s.off:][:len(s.payload)], off: s.off}
			for n := r.u32("bodies"); n > 0; n-- {
				size := r.u32("body")
				body := reader{off: r.off}
				if body.b = r.take(size, "body"); r.err != nil || !yield(body) {
					return
				}
			}
		}
	}
}

// functionExports returns the exports of functions in the order of these.
func (m *Module) functionExports() []Export {
	var out []Export
	for _, e := range m.Exports {
		if e.Kind == Func {
			out = append(out, e)
		}
	}
	slices.SortStableFunc(out, func(a, b Export) int { return int(int64(a.Index) - int64(b.Index)) })
	return out
}

// nameMap reads a name map: indices and names, in ascending order of the indices.
type nameMap struct {
	r     reader
	left  uint32
	index uint32
	name  []byte
	held  bool
}

// functionNames finds the names of functions in a name section: an empty map if it is malformed.
func functionNames(section []byte) nameMap {
	const functions = 1
	for r := (reader{b: section}); len(r.b) > 0; {
		id := r.byte("subsection")
		payload := r.take(r.u32("size"), "subsection")
		if r.err != nil || id > functions {
			break
		}
		if id != functions {
			continue
		}
		m := nameMap{r: reader{b: payload}}
		m.left = m.r.u32("names")
		check, last := m, int64(-1)
		for check.next() {
			if int64(check.index) <= last {
				return nameMap{}
			}
			last = int64(check.index)
		}
		if check.r.end("names"); check.r.err != nil {
			return nameMap{}
		}
		return m
	}
	return nameMap{}
}

func (m *nameMap) next() bool {
	if m.left == 0 || m.r.err != nil {
		return false
	}
	m.left--
	m.index = m.r.u32("index")
	m.name = m.r.take(m.r.u32("name"), "name")
	m.held = m.r.err == nil
	return m.held
}

// at returns the name of an index, or nil; the indices that are asked for ascend.
func (m *nameMap) at(index uint32) []byte {
	for !m.held || m.index < index {
		if !m.next() {
			return nil
		}
	}
	if m.index == index {
		return m.name
	}
	return nil
}
