package wasm

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"github.com/troupehost/troupe/actors/fault"
)

// Section ids of the binary format, WebAssembly core specification 5.5.2.
const (
	sectionCustom    = 0
	sectionType      = 1
	sectionImport    = 2
	sectionFunction  = 3
	sectionTable     = 4
	sectionMemory    = 5
	sectionGlobal    = 6
	sectionExport    = 7
	sectionStart     = 8
	sectionElement   = 9
	sectionCode      = 10
	sectionData      = 11
	sectionDataCount = 12
	sectionTag       = 13
)

// order is the place of each known section; custom sections may stand anywhere.
var order = [...]int{
	sectionType: 1, sectionImport: 2, sectionFunction: 3, sectionTable: 4, sectionMemory: 5, sectionTag: 6, sectionGlobal: 7,
	sectionExport: 8, sectionStart: 9, sectionElement: 10, sectionDataCount: 11, sectionCode: 12, sectionData: 13,
}

// Kind is the kind of an import or export.
type Kind byte

// The kinds, with the codes of the binary format.
const (
	Func Kind = iota
	Table
	Memory
	Global
	Tag
)

// String returns the name that reports use.
func (k Kind) String() string {
	switch k {
	case Func:
		return "func"
	case Table:
		return "table"
	case Memory:
		return "memory"
	case Global:
		return "global"
	case Tag:
		return "tag"
	}
	return fmt.Sprintf("kind(%d)", byte(k))
}

// FuncType is the signature of a function; the types are the codes of the binary format.
type FuncType struct{ Params, Results []byte }

// String prints "(i32, i32) -> (i64)".
func (f FuncType) String() string {
	return "(" + typeNames(f.Params) + ") -> (" + typeNames(f.Results) + ")"
}

func typeNames(ts []byte) string {
	names := make([]string, len(ts))
	for i, t := range ts {
		names[i] = typeName(t)
	}
	return strings.Join(names, ", ")
}

func typeName(t byte) string {
	switch t {
	case 0x7f:
		return "i32"
	case 0x7e:
		return "i64"
	case 0x7d:
		return "f32"
	case 0x7c:
		return "f64"
	case 0x7b:
		return "v128"
	case 0x70:
		return "funcref"
	case 0x6f:
		return "externref"
	case 0x69:
		return "exnref"
	}
	return fmt.Sprintf("type(%#x)", t)
}

// Limits are the bounds of a table or memory; HasMax tells whether Max was given.
type Limits struct {
	Min, Max uint64
	HasMax   bool
	flags    byte
}

// Import is one import.
type Import struct {
	Module, Name string
	Kind         Kind
	TypeIndex    uint32 // of a Func
	Limits       Limits // of a Table or Memory
	Desc         string // the type in words
	raw          []byte // the whole entry as encoded
	rawDesc      []byte // the part behind the kind
}

// Export is one export.
type Export struct {
	Name  string
	Kind  Kind
	Index uint32
}

// Module is what Scan found.
type Module struct {
	Types     []FuncType
	Imports   []Import
	Funcs     []uint32 // type index of each defined function
	Tables    []Limits // defined
	Memories  []Limits // defined
	Exports   []Export
	HasStart  bool
	CodeBytes int // size of all function bodies
	DataBytes int // size of the data section
	sections  []section
	Shape     Shape                   // of what Judge judged
	worst     [capsOfFunctions]uint32 // the first function that has the most of each, of what Judge judged
	functions []uint32                // type index of each function, imported ones first
	spelled   []string                // Types in words, made when first needed
}

type section struct {
	id      byte
	off     int
	payload []byte
}

var (
	magic     = []byte{0, 'a', 's', 'm'}
	version1  = []byte{1, 0, 0, 0}
	component = []byte{0x0d, 0, 1, 0}
)

// Scan reads the structure of a module. The result shares memory with code.
//
// # Errors
//
// guest.not_wasm, guest.component, guest.wrong_version, guest.truncated, guest.invalid_module; guest.feature for what cannot be read
// since it is written in the way of a proposal that no policy allows, as the types of GC are.
func Scan(code []byte) (*Module, error) {
	if err := header(code); err != nil {
		return nil, err
	}
	m := &Module{}
	if err := m.split(code, false); err != nil {
		return nil, err
	}
	for _, s := range m.sections {
		if err := m.read(s); err != nil {
			return nil, betterReason(code, err)
		}
	}
	return m, m.check()
}

// betterReason names the proposal that makes a module one that cannot be read, if there is one; else err stays.
func betterReason(code []byte, err error) error {
	if _, judged := Judge(code, Policy{Features: AllFeatures}); errors.Is(judged, fault.GuestFeature) {
		return judged
	}
	return err
}

func header(code []byte) error {
	n := min(len(code), 4)
	switch {
	case len(code) == 0 || !bytes.Equal(code[:n], magic[:n]):
		return fault.New(fault.GuestNotWasm, "scan", "", nil)
	case len(code) < 8:
		return fault.New(fault.GuestTruncated, "scan", "in the header", nil)
	case bytes.Equal(code[4:8], version1):
		return nil
	case bytes.Equal(code[6:8], component[2:]):
		return fault.New(fault.GuestComponent, "scan", "", nil)
	}
	return fault.New(fault.GuestVersion, "scan", fmt.Sprintf("version bytes % x", code[4:8]), nil)
}

// split finds the sections. A strict split looks at the names of custom sections, and keeps only the first that is called "name".
func (m *Module) split(code []byte, strict bool) error {
	r := reader{b: code[8:], off: 8}
	last := 0
	named := false
	for len(r.b) > 0 {
		off := r.off
		id := r.byte("section")
		if int(id) >= len(order) {
			return fault.New(fault.GuestInvalid, "scan", fmt.Sprintf("at offset %#x: unknown section %d", off, id), nil)
		}
		rest := len(r.b)
		size := r.u32("section size")
		if r.err != nil {
			if rest < 5 { // the number itself was cut off
				return fault.New(fault.GuestTruncated, "scan", fmt.Sprintf("at offset %#x", off), nil)
			}
			return r.err
		}
		if uint64(size) > uint64(len(r.b)) {
			return fault.New(fault.GuestTruncated, "scan", fmt.Sprintf("section %d at offset %#x", id, off), nil)
		}
		if id != sectionCustom {
			if order[id] <= last {
				return fault.New(fault.GuestInvalid, "scan", fmt.Sprintf("at offset %#x: section %d is out of order", off, id), nil)
			}
			last = order[id]
		}
		start := r.off
		if strict && id == sectionCustom {
			custom := reader{b: r.b[:size], off: start}
			name := custom.text("name of a custom section")
			if custom.err != nil {
				return custom.err
			}
			if named || name != "name" {
				r.take(size, "section")
				continue
			}
			named = true
		}
		m.sections = append(m.sections, section{id: id, off: start, payload: r.take(size, "section")})
	}
	return nil
}

func (m *Module) read(s section) error {
	r := &reader{b: s.payload, off: s.off}
	each := func(what string, f func()) {
		for n := r.u32(what); n > 0 && r.err == nil; n-- {
			f()
		}
		r.end(what)
	}
	switch s.id {
	case sectionCustom:
		r.name("name of a custom section")
	case sectionType:
		each("type", func() {
			if r.byte("type") != 0x60 {
				r.fail("type: not a function type")
			}
			t := FuncType{Params: r.take(r.u32("params"), "params")}
			t.Results = r.take(r.u32("results"), "results")
			m.Types = append(m.Types, t)
		})
	case sectionImport:
		each("import", func() { m.readImport(r) })
	case sectionFunction:
		each("function", func() { m.Funcs = append(m.Funcs, r.u32("function")) })
	case sectionTable:
		each("table", func() {
			r.byte("table type")
			m.Tables = append(m.Tables, r.limits("table"))
		})
	case sectionMemory:
		each("memory", func() { m.Memories = append(m.Memories, r.limits("memory")) })
	case sectionExport:
		each("export", func() {
			e := Export{Name: r.name("export")}
			e.Kind = Kind(r.byte("export"))
			e.Index = r.u32("export")
			m.Exports = append(m.Exports, e)
		})
	case sectionStart:
		r.u32("start")
		r.end("start")
		m.HasStart = true
	case sectionCode:
		m.CodeBytes = len(s.payload)
		n := 0
		each("function body", func() {
			r.take(r.u32("function body"), "function body")
			n++
		})
		if r.err == nil && n != len(m.Funcs) {
			r.fail("function bodies and functions differ in number")
		}
	case sectionData:
		m.DataBytes = len(s.payload)
	}
	return r.err
}

func (m *Module) readImport(r *reader) {
	start := r.b
	i := Import{Module: r.name("import module"), Name: r.name("import name")}
	i.Kind = Kind(r.byte("import kind"))
	desc := r.b
	switch i.Kind {
	case Func:
		if i.TypeIndex = r.u32("import type"); r.err == nil {
			if int64(i.TypeIndex) >= int64(len(m.Types)) {
				r.fail("import: unknown type")
				return
			}
			i.Desc = m.spell(i.TypeIndex)
		}
	case Table:
		t := r.byte("import table")
		i.Limits = r.limits("import table")
		i.Desc = typeName(t)
	case Memory:
		i.Limits = r.limits("import memory")
		i.Desc = fmt.Sprintf("%d pages", i.Limits.Min)
	case Global:
		t := r.byte("import global")
		i.Desc = typeName(t)
		if r.byte("import global") == 1 {
			i.Desc = "mut " + i.Desc
		}
	case Tag:
		r.byte("import tag")
		r.u32("import tag")
	default:
		r.fail("import: unknown kind")
	}
	if r.err == nil {
		i.raw = start[:len(start)-len(r.b)]
		i.rawDesc = desc[:len(desc)-len(r.b)]
		m.Imports = append(m.Imports, i)
	}
}

func (r *reader) limits(what string) Limits {
	var l Limits
	l.flags = r.byte(what)
	bits := uint(32)
	if l.flags&4 != 0 { // memory64
		bits = 64
	}
	l.Min = r.leb(bits, what)
	if l.flags&1 != 0 {
		l.HasMax = true
		l.Max = r.leb(bits, what)
	}
	return l
}

// check holds what the other sections were read by together.
func (m *Module) check() error {
	invalid := func(what string) error { return fault.New(fault.GuestInvalid, "scan", what, nil) }
	for _, i := range m.Imports {
		if i.Kind == Func {
			m.functions = append(m.functions, i.TypeIndex)
		}
	}
	for _, t := range m.Funcs {
		if int64(t) >= int64(len(m.Types)) {
			return invalid("a function has an unknown type")
		}
	}
	m.functions = append(m.functions, m.Funcs...)
	if len(m.Funcs) > 0 && !m.has(sectionCode) {
		return invalid("functions without bodies")
	}
	seen := map[string]bool{}
	for _, e := range m.Exports {
		if seen[e.Name] {
			return invalid("two exports are called " + fault.Quote(e.Name))
		}
		seen[e.Name] = true
		if e.Kind == Func && int64(e.Index) >= int64(len(m.functions)) {
			return invalid("export of an unknown function")
		}
	}
	return nil
}

func (m *Module) has(id byte) bool {
	for _, s := range m.sections {
		if s.id == id {
			return true
		}
	}
	return false
}

// spell returns a type in words. Types are spelled once, so that many imports of a long one take no more memory.
func (m *Module) spell(index uint32) string {
	if m.spelled == nil {
		m.spelled = make([]string, len(m.Types))
	}
	if m.spelled[index] == "" {
		m.spelled[index] = m.Types[index].String()
	}
	return m.spelled[index]
}

// ExportType returns the type of an exported function in words, else "".
func (m *Module) ExportType(e Export) string {
	if e.Kind != Func {
		return ""
	}
	return m.spell(m.functions[e.Index])
}

// Memory returns the bounds of the linear memory, imported or defined, and whether there is one.
func (m *Module) Memory() (Limits, bool) {
	for _, i := range m.Imports {
		if i.Kind == Memory {
			return i.Limits, true
		}
	}
	if len(m.Memories) > 0 {
		return m.Memories[0], true
	}
	return Limits{}, false
}
