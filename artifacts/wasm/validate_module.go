package wasm

import "slices"

// section validates a section and reads it into the module. Counts are held against their caps before anything is done for
// each element.
func (v *validator) section(s section) error {
	if s.id == sectionCustom {
		return nil
	}
	r := &reader{b: s.payload, off: s.off}
	switch s.id {
	case sectionStart:
		v.startFunction(r)
	case sectionDataCount:
		v.data = int(r.u32("data count"))
		v.use(BulkMemory, s.off)
	case sectionCode:
		if defined := len(v.functions) - v.imported; v.within("global-functions", &v.shape().GlobalFunctions, len(v.globals)*defined, v.caps.GlobalFunctions, s.off) {
			v.bodies(r)
		}
	default:
		v.vector(r, s.id)
	}
	if v.err != nil {
		return v.err
	}
	r.end("section")
	switch {
	case v.err != nil:
		return v.err
	case r.err != nil:
		return r.err
	case s.id == sectionCode:
		v.m.CodeBytes = len(s.payload)
		return nil
	}
	return v.m.read(s)
}

// vector reads a section that is a vector of things.
func (v *validator) vector(r *reader, id byte) {
	shape, caps := &v.shape().Caps, &v.caps
	bounds := map[byte]struct {
		name     string
		measured *int
		limit    int
		before   int // imported ones
		each     func(*reader)
	}{
		sectionType:     {"types", &shape.Types, caps.Types, 0, v.functionType},
		sectionImport:   {"imports", &shape.Imports, caps.Imports, 0, v.imports},
		sectionFunction: {"functions", &shape.Functions, caps.Functions, 0, v.function},
		sectionTable:    {"tables", &shape.Tables, caps.Tables, len(v.tables), v.tableType},
		sectionMemory:   {"memories", new(int), 1, v.memories, v.memory},
		sectionTag:      {"types", new(int), caps.Types, 0, v.tag},
		sectionGlobal:   {"globals", &shape.Globals, caps.Globals, len(v.globals), v.global},
		sectionExport:   {"exports", &shape.Exports, caps.Exports, 0, v.export},
		sectionElement:  {"segments", &shape.Segments, caps.Segments, 0, v.element},
		sectionData:     {"segments", &shape.Segments, caps.Segments, 0, v.dataSegment},
	}[id]
	off := r.off
	n := r.u32(bounds.name)
	if r.err != nil {
		return
	}
	if id == sectionMemory && int(n)+v.memories > 1 {
		v.refuse("multi-memory", off)
		return
	}
	if !v.within(bounds.name, bounds.measured, int(n)+bounds.before, bounds.limit, off) {
		return
	}
	if id == sectionData {
		if v.data >= 0 && int(n) != v.data {
			v.fail(off, "data count and data segments differ in number")
		}
		v.data = int(n)
	}
	switch room := min(int(n), len(r.b)); id { // by what is there, not by what is claimed
	case sectionType:
		v.types = make([]signature, 0, min(room, len(r.b)/3))
	case sectionFunction:
		v.functions = slices.Grow(v.functions, room)
	}
	for ; n > 0 && r.err == nil && v.err == nil; n-- {
		bounds.each(r)
	}
}

// valueType checks a value type and the feature that it belongs to.
func (v *validator) valueType(t byte, off int) bool {
	switch t {
	case typeI32, typeI64, typeF32, typeF64:
		return true
	case typeV128:
		return v.use(SIMD, off)
	case typeFunc, typeExtern:
		return v.use(ReferenceTypes, off)
	case typeExn:
		return v.use(Exceptions, off)
	case 0x63, 0x64:
		v.refuse("typed-function-references", off)
	case 0x6a, 0x6b, 0x6c, 0x6d, 0x6e, 0x71, 0x72, 0x73, 0x74:
		v.refuse("gc", off)
	default:
		v.fail(off, "unknown value type %#02x", t)
	}
	return false
}

func (v *validator) valueTypes(r *reader, what string) []byte {
	off := r.off
	n := r.u32(what)
	if r.err != nil || !v.within("params", &v.shape().Params, int(n), v.caps.Params, off) {
		return nil
	}
	off = r.off
	types := r.take(n, what)
	for i, t := range types {
		if t < typeF64 && !v.valueType(t, off+i) || t > typeI32 {
			v.valueType(t, off+i)
			return nil
		}
	}
	return types
}

func (v *validator) functionType(r *reader) {
	off := r.off
	switch form := r.byte("type"); form {
	case 0x60:
	case 0x4e, 0x4f, 0x50, 0x5e, 0x5f:
		v.refuse("gc", off)
		return
	default:
		if r.err == nil {
			v.fail(off, "not a function type")
		}
		return
	}
	params := v.valueTypes(r, "params")
	results := v.valueTypes(r, "results")
	if len(results) > 1 && !v.use(MultiValue, off) {
		return
	}
	values := v.shape().TypeValues + len(params) + len(results)
	if v.within("type-values", &v.shape().TypeValues, values, v.caps.TypeValues, off) {
		v.types = append(v.types, makeSignature(params, results))
	}
}

func (v *validator) typeIndex(r *reader, what string) uint32 {
	off := r.off
	t := r.u32(what)
	if r.err == nil && int64(t) >= int64(len(v.types)) {
		v.fail(off, "%s: unknown type %d", what, t)
		return 0
	}
	return t
}

func (v *validator) imports(r *reader) {
	off := r.off
	if module := r.text("import module"); r.err == nil && module == "" {
		v.fail(off, "import of a module without a name") // the engine refuses it
	}
	r.text("import name")
	off = r.off
	switch kind := Kind(r.byte("import kind")); kind {
	case Func:
		v.functions = append(v.functions, v.typeIndex(r, "import"))
		v.imported++
	case Table:
		v.within("tables", &v.shape().Tables, len(v.tables)+1, v.caps.Tables, off)
		v.tableType(r)
	case Memory:
		if v.memories > 0 {
			v.refuse("multi-memory", off)
		}
		v.memory(r)
	case Global:
		g := v.globalType(r)
		if g.mutable {
			v.use(MutableGlobals, off)
		}
		v.globals = append(v.globals, g)
		v.foreign++
		v.within("globals", &v.shape().Globals, len(v.globals), v.caps.Globals, off)
	case Tag:
		v.tag(r)
	default:
		if r.err == nil {
			v.fail(off, "import of an unknown kind")
		}
	}
}

func (v *validator) function(r *reader) {
	v.functions = append(v.functions, v.typeIndex(r, "function"))
}

// limits reads the bounds of a table or memory.
func (v *validator) limits(r *reader, what string, most uint64) Limits {
	off := r.off
	if len(r.b) > 0 {
		switch flags := r.b[0]; flags {
		case 0, 1:
		case 2, 3:
			v.refuse("threads", off)
		case 4, 5, 6, 7:
			v.refuse("memory64", off)
		default:
			v.fail(off, "%s: unknown limits %#02x", what, flags)
		}
	}
	l := r.limits(what)
	if r.err == nil && (l.Min > most || l.HasMax && (l.Max > most || l.Max < l.Min)) {
		v.fail(off, "%s: the bounds %d and %d do not fit", what, l.Min, l.Max)
	}
	return l
}

// mostElements is what the engine takes as the initial size of a table.
const mostElements = 1 << 27

func (v *validator) tableType(r *reader) {
	off := r.off
	t := r.byte("table type")
	switch {
	case r.err != nil:
		return
	case t == 0x40:
		v.refuse("typed-function-references", off)
		return
	case t != typeFunc && t != typeExtern && t != typeExn:
		if v.valueType(t, off) {
			v.fail(off, "a table of %s", typeName(t))
		}
		return
	case t != typeFunc:
		v.use(ReferenceTypes, off)
		v.valueType(t, off)
	}
	if len(v.tables) > 0 {
		v.use(ReferenceTypes, off)
	}
	l := v.limits(r, "table", 1<<32-1)
	if l.Min > mostElements {
		v.fail(off, "a table of more than %d elements", mostElements)
	}
	if r.err == nil && v.err == nil {
		v.tables = append(v.tables, t)
		shape := &v.shape().TableElements
		v.within("table-elements", shape, *shape+int(l.Min), v.caps.TableElements, off)
	}
}

// maxPages is the most that the format allows for a memory, in pages of 64 KiB.
const maxPages = 65_536

func (v *validator) memory(r *reader) {
	v.limits(r, "memory", maxPages)
	v.memories++
}

func (v *validator) globalType(r *reader) globalType {
	off := r.off
	g := globalType{value: r.byte("global type")}
	if r.err != nil || !v.valueType(g.value, off) {
		return g
	}
	off = r.off
	switch r.byte("global") {
	case 0:
	case 1:
		g.mutable = true
	case 2, 3:
		v.refuse("threads", off)
	default:
		v.fail(off, "global: unknown mutability")
	}
	return g
}

func (v *validator) global(r *reader) {
	g := v.globalType(r)
	v.constant(r, g.value, v.foreign)
	v.globals = append(v.globals, g)
}

func (v *validator) tag(r *reader) {
	off := r.off
	if !v.use(Exceptions, off) {
		return
	}
	if r.byte("tag") != 0 && r.err == nil {
		v.fail(off, "tag: unknown attribute")
		return
	}
	t := v.typeIndex(r, "tag")
	if r.err == nil && v.err == nil && len(v.types[t].results) > 0 {
		v.fail(off, "tag: its type has results")
	}
	v.tags = append(v.tags, t)
}

func (v *validator) export(r *reader) {
	r.text("export")
	off := r.off
	kind := Kind(r.byte("export kind"))
	index := r.u32("export")
	if r.err != nil {
		return
	}
	n := 0
	switch kind {
	case Func:
		n = len(v.functions)
	case Table:
		n = len(v.tables)
	case Memory:
		n = v.memories
	case Global:
		n = len(v.globals)
	case Tag:
		n = len(v.tags)
	default:
		v.fail(off, "export of an unknown kind")
		return
	}
	if int64(index) >= int64(n) {
		v.fail(off, "export of an unknown %s %d", kind, index)
		return
	}
	switch kind {
	case Func:
		v.declare(index)
	case Global:
		if v.globals[index].mutable {
			v.use(MutableGlobals, off)
		}
	}
}

// declare notes that ref.func may name a function, which is known to exist.
func (v *validator) declare(fn uint32) {
	if len(v.declared) < len(v.functions) {
		v.declared = slices.Grow(v.declared, len(v.functions)-len(v.declared))[:len(v.functions)]
	}
	v.declared[fn] = true
}

func (v *validator) startFunction(r *reader) {
	off := r.off
	fn := r.u32("start")
	switch {
	case r.err != nil:
	case int64(fn) >= int64(len(v.functions)):
		v.fail(off, "start: unknown function %d", fn)
	default:
		if t := v.types[v.functions[fn]]; len(t.params)+len(t.results) > 0 {
			v.fail(off, "start: function %d has parameters or results", fn)
		}
	}
}

// Flags of an element segment.
const (
	elementPassive  = 1 // or declarative
	elementExplicit = 2 // a table index is given; declarative, if it is not active
	elementExprs    = 4
)

func (v *validator) element(r *reader) {
	off := r.off
	flags := r.u32("element")
	if r.err != nil {
		return
	}
	if flags > 7 {
		v.fail(off, "element: unknown flags %d", flags)
		return
	}
	if flags != 0 && !v.use(BulkMemory, off) {
		return
	}
	active := flags&elementPassive == 0
	table := uint32(0)
	if active {
		if flags&elementExplicit != 0 {
			if table = r.u32("element table"); table != 0 {
				v.use(ReferenceTypes, off)
			}
		}
		if r.err == nil && int64(table) >= int64(len(v.tables)) {
			v.fail(off, "element: unknown table %d", table)
		}
		v.constant(r, typeI32, v.constGlobals(off))
	}
	kind := byte(typeFunc)
	if flags&(elementPassive|elementExplicit) != 0 {
		at := r.off
		kind = r.byte("element kind")
		switch {
		case r.err != nil:
		case flags&elementExprs == 0 && kind == 0:
			kind = typeFunc
		case flags&elementExprs == 0:
			v.fail(at, "element: unknown kind %#02x", kind)
		case kind != typeFunc && kind != typeExtern:
			if v.valueType(kind, at) {
				v.fail(at, "element: of type %s", typeName(kind)) // exnref too: the engine refuses it
			}
		default:
			v.use(ReferenceTypes, at)
		}
	}
	if v.err == nil && r.err == nil && active && v.tables[table] != kind {
		v.fail(off, "element: of type %s for a table of %s", typeName(kind), typeName(v.tables[table]))
	}
	n := r.u32("element")
	v.within("segment-elements", &v.shape().SegmentElements, v.shape().SegmentElements+int(n), v.caps.SegmentElements, off)
	for ; n > 0 && r.err == nil && v.err == nil; n-- {
		if flags&elementExprs != 0 {
			v.constant(r, kind, v.constGlobals(r.off))
			continue
		}
		v.functionRef(r)
	}
	v.elements = append(v.elements, kind)
}

// constGlobals returns how many globals a constant expression of an element may name: with extended-const the engine takes
// all of them.
func (v *validator) constGlobals(off int) int {
	if v.allowed&ExtendedConst != 0 {
		return len(v.globals)
	}
	return v.foreign
}

func (v *validator) functionRef(r *reader) {
	off := r.off
	fn := r.u32("function")
	if r.err != nil {
		return
	}
	if int64(fn) >= int64(len(v.functions)) {
		v.fail(off, "unknown function %d", fn)
		return
	}
	v.declare(fn)
}

func (v *validator) dataSegment(r *reader) {
	off := r.off
	flags := r.u32("data")
	if r.err != nil {
		return
	}
	if flags > 2 {
		v.fail(off, "data: unknown flags %d", flags)
		return
	}
	if flags != 0 && !v.use(BulkMemory, off) {
		return
	}
	if flags == 2 && r.u32("data memory") != 0 {
		v.refuse("multi-memory", off)
		return
	}
	if flags != 1 {
		if r.err == nil && v.memories == 0 {
			v.fail(off, "data: there is no memory")
			return
		}
		v.constant(r, typeI32, v.foreign)
	}
	r.take(r.u32("data"), "data")
}

// whole holds what the sections say against each other, in the end.
func (v *validator) whole() error {
	if defined := len(v.functions) - v.imported; defined > 0 && !v.m.has(sectionCode) {
		v.fail(len(v.code), "functions without bodies")
	}
	if v.data > 0 && !v.m.has(sectionData) {
		v.fail(len(v.code), "data count and data segments differ in number")
	}
	return v.err
}

// bodies walks the bodies of the functions.
func (v *validator) bodies(r *reader) {
	off := r.off
	n := r.u32("code")
	if r.err != nil {
		return
	}
	defined := v.functions[v.imported:]
	if int64(n) != int64(len(defined)) {
		v.fail(off, "function bodies and functions differ in number")
		return
	}
	shape := v.shape()
	v.codeBytes = len(r.b)
	for i, t := range defined {
		v.fn, v.sig = uint32(v.imported+i), &v.types[t]
		before := shape.Caps
		off := r.off
		size := r.u32("function body")
		if r.err != nil || !v.within("body-bytes", &shape.BodyBytes, int(size), v.caps.BodyBytes, off) {
			break
		}
		v.walk.start = r.off
		r.take(size, "function body")
		if r.err != nil {
			break
		}
		v.body(r.off)
		if v.err != nil {
			break
		}
		v.m.noteWorst(&before, v.fn)
	}
	v.sig = nil
}
