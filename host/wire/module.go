package wire

import (
	"math"

	"github.com/troupehost/troupe/artifacts"
	"github.com/troupehost/troupe/artifacts/wasm"
)

// The least bytes that an import and an export take: the lengths of their strings, and a flag.
const (
	leastImport = 5
	leastExport = 3
)

// Tables live on the engine's heap, where no allocator of ours sees them grow. So all tables of a module together have at
// most MaxTableElements, whatever the memory limit of a run is.
const (
	MaxTables         = 1 << 10
	MaxTableElements  = 1 << 20
	TableElementBytes = 8
	// TableBytes is what a worker may take for tables: one that is copied as it grows, and that of an earlier run.
	TableBytes = 4 * MaxTableElements * TableElementBytes
)

// A module has at most so many imports and exports, and so long names: the host keeps them for each artifact that it knows,
// and shows them to operators. Large honest modules have some thousands; all of a description must fit into a frame too.
const (
	MaxSymbols    = 16 << 10 // imports, and exports
	MaxSymbolName = 1 << 10  // bytes of the name of an import, of its module, or of an export
)

// encodeModule writes the description of a module.
func encodeModule(e *encoder, m artifacts.Module) {
	if len(m.Imports) > MaxSymbols || len(m.Exports) > MaxSymbols {
		e.fail("number of imports and exports")
		return
	}
	e.u64(uint64(len(m.Imports)))
	for _, i := range m.Imports {
		e.text(i.Module, MaxSymbolName, "import")
		e.text(i.Name, MaxSymbolName, "import")
		e.text(i.Kind, MaxText, "import")
		e.text(i.Type, MaxName, "import")
		e.flag(i.Known)
		if e.err != nil {
			return
		}
	}
	e.u64(uint64(len(m.Exports)))
	for _, x := range m.Exports {
		e.text(x.Name, MaxSymbolName, "export")
		e.text(x.Kind, MaxText, "export")
		e.text(x.Type, MaxName, "export")
		if e.err != nil {
			return
		}
	}
	e.u64(uint64(m.MemoryPages))
	e.u64(uint64(m.MemoryMax))
	e.flag(m.HasStart)
	e.size(m.WasmBytes)
	e.size(int64(m.NumFunctions))
	e.size(m.CodeBytes)
	e.size(m.DataBytes)
	e.u64(m.TableElements)
	e.text(m.Shape.Features, MaxText, "features")
	encodeCaps(e, m.Shape.Caps)
	if len(m.Resets) > maxResets {
		e.fail("resets")
	}
	e.u64(uint64(len(m.Resets)))
	for _, r := range m.Resets {
		e.text(r, MaxText, "resets")
	}
	e.size(int64(m.Mutable))
	e.u64(m.UncheckedGas)
}

// maxResets is more than there are kinds of things that a reset does not undo.
const maxResets = 32

// capsOf lists the numbers of c, in the order in which they are sent.
func capsOf(c *artifacts.Caps) []*int {
	return []*int{
		&c.BodyBytes, &c.ControlOps, &c.Locals, &c.BranchTargets, &c.Nesting, &c.PhiWork, &c.Lookups, &c.Params, &c.Carried,
		&c.Functions, &c.Types, &c.TypeValues, &c.Imports, &c.Exports, &c.Globals, &c.Tables, &c.TableElements, &c.Segments, &c.SegmentElements,
		&c.ControlSquares, &c.TotalPhiWork, &c.TotalLookups, &c.TotalBranchTargets, &c.TotalCarried, &c.GlobalFunctions,
	}
}

func encodeCaps(e *encoder, c artifacts.Caps) {
	for _, n := range capsOf(&c) {
		e.size(int64(*n))
	}
}

func decodeCaps(d *decoder) (c artifacts.Caps) {
	for _, n := range capsOf(&c) {
		*n = int(d.size(math.MaxInt64, "caps"))
	}
	return c
}

func decodePolicy(d *decoder) wasm.Policy {
	return wasm.Policy{Features: wasm.Features(d.size(math.MaxUint32, "features")), Caps: wasm.Caps(decodeCaps(d))}
}

func decodeModule(d *decoder) artifacts.Module {
	m := artifacts.Module{Imports: []artifacts.Import{}, Exports: []artifacts.Export{}, Resets: []string{}} // lists that print as [], not null
	for n := d.count(MaxSymbols, leastImport, "imports"); n > 0 && d.err == nil; n-- {
		m.Imports = append(m.Imports, artifacts.Import{
			Module: d.text(MaxSymbolName, "import"), Name: d.text(MaxSymbolName, "import"),
			Kind: d.text(MaxText, "import"), Type: d.text(MaxName, "import"), Known: d.flag(),
		})
	}
	for n := d.count(MaxSymbols, leastExport, "exports"); n > 0 && d.err == nil; n-- {
		m.Exports = append(m.Exports, artifacts.Export{
			Name: d.text(MaxSymbolName, "export"), Kind: d.text(MaxText, "export"), Type: d.text(MaxName, "export"),
		})
	}
	m.MemoryPages = uint32(d.size(math.MaxUint32, "memory pages"))
	m.MemoryMax = uint32(d.size(math.MaxUint32, "memory pages"))
	m.HasStart = d.flag()
	m.WasmBytes = d.size(math.MaxInt64, "wasm bytes")
	m.NumFunctions = int(d.size(math.MaxInt32, "functions"))
	m.CodeBytes = d.size(math.MaxInt64, "code bytes")
	m.DataBytes = d.size(math.MaxInt64, "data bytes")
	m.TableElements = d.u64()
	m.Shape.Features = d.text(MaxText, "features")
	m.Shape.Caps = decodeCaps(d)
	for n := d.count(maxResets, 1, "resets"); n > 0 && d.err == nil; n-- {
		m.Resets = append(m.Resets, d.text(MaxText, "resets"))
	}
	m.Mutable = int(d.size(math.MaxInt32, "globals"))
	m.UncheckedGas = d.u64()
	return m
}
