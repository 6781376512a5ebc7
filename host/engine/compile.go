package engine

import (
	"context"
	"fmt"
	"math"
	"strings"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/artifacts"
	"github.com/troupehost/troupe/artifacts/wasm"
	"github.com/troupehost/troupe/host/abi"
	"github.com/troupehost/troupe/host/wire"
)

// maxPages is the most that linear memory can have: the compiler misbehaves at 65,536.
const maxPages = 65535

// Compiled is what one preparation makes.
type Compiled struct {
	Module   artifacts.Module
	Skeleton []byte
	Code     []byte
}

// Compile inflates, judges and compiles code. maxInflated bounds the module after decompression, in bytes.
//
// # Errors
//
// All of class guest, except host.engine_self_test.
func Compile(ctx context.Context, code []byte, maxInflated int64) (*Compiled, error) {
	code, err := wasm.Inflate(code, maxInflated)
	if err != nil {
		return nil, err
	}
	if int64(len(code)) > maxInflated {
		return nil, fault.New(fault.GuestCodeTooLarge, "compile", "", nil)
	}
	m, err := wasm.Scan(code)
	if err != nil {
		return nil, err
	}
	desc, err := describe(m, code)
	if err != nil {
		return nil, err
	}
	symbols := m.NewSymbols(code)
	if moved := m.MemoryImportToExport(code); &moved[0] != &code[0] {
		code = moved
		if m, err = wasm.Scan(code); err != nil {
			return nil, err
		}
	}
	h := &hook{}
	rt, err := newRuntime(ctx, h)
	if err != nil {
		return nil, err
	}
	defer rt.Close(ctx)
	if _, err := rt.CompileModule(ctx, code); err != nil {
		return nil, fault.New(fault.GuestInvalid, "compile", fault.Quote(firstLine(err.Error())), nil)
	}
	if h.added == nil {
		return nil, fault.New(fault.HostEngine, "compile", "", errNoEntry)
	}
	desc.CodeBytes = int64(len(h.added))
	return &Compiled{Module: desc, Skeleton: m.Skeleton(code, symbols, wasm.SkeletonOptions{}), Code: h.added}, nil
}

// describe returns what operators and the cache want to know of a module.
func describe(m *wasm.Module, code []byte) (artifacts.Module, error) {
	d := artifacts.Module{
		WasmBytes: int64(len(code)), NumFunctions: len(m.Funcs), DataBytes: int64(m.DataBytes), HasStart: m.HasStart,
		Imports: []artifacts.Import{}, Exports: []artifacts.Export{},
	}
	if what := symbols(m); what != "" {
		return d, fault.New(fault.GuestTooManySymbols, "compile", what, nil)
	}
	for _, i := range m.Imports {
		known := i.Kind == wasm.Memory || i.Kind == wasm.Func && abi.Known(i.Module, i.Name, i.Desc)
		d.Imports = append(d.Imports, artifacts.Import{Module: i.Module, Name: i.Name, Kind: i.Kind.String(), Type: i.Desc, Known: known})
	}
	for _, e := range m.Exports {
		d.Exports = append(d.Exports, artifacts.Export{Name: e.Name, Kind: e.Kind.String(), Type: m.ExportType(e)})
	}
	for _, t := range m.Tables {
		d.TableElements += min(t.Min, math.MaxUint32)
	}
	if d.TableElements > wire.MaxTableElements || len(m.Tables) > wire.MaxTables {
		what := fmt.Sprintf("%d tables with %d elements at the start", len(m.Tables), d.TableElements)
		return d, fault.New(fault.GuestMemory, "compile", what, nil)
	}
	if mem, ok := m.Memory(); ok {
		if mem.Min > maxPages {
			return d, fault.New(fault.GuestMemory, "compile", "initial memory of 65,536 pages", nil)
		}
		d.MemoryPages = uint32(mem.Min)
		if mem.HasMax {
			d.MemoryMax = uint32(min(mem.Max, 1<<16))
		}
	}
	if _, err := wire.Encode(wire.Prepared{Module: d}); err != nil {
		return d, fault.New(fault.GuestTooManySymbols, "compile", "their names and types have more than 1 MiB", nil)
	}
	return d, nil
}

// symbols returns what is wrong with the number or the names of imports and exports, or "".
func symbols(m *wasm.Module) string {
	longest := 0
	for _, i := range m.Imports {
		longest = max(longest, len(i.Module), len(i.Name))
	}
	for _, e := range m.Exports {
		longest = max(longest, len(e.Name))
	}
	switch {
	case len(m.Imports) > wire.MaxSymbols:
		return fmt.Sprintf("%d imports of at most %d", len(m.Imports), wire.MaxSymbols)
	case len(m.Exports) > wire.MaxSymbols:
		return fmt.Sprintf("%d exports of at most %d", len(m.Exports), wire.MaxSymbols)
	case longest > wire.MaxSymbolName:
		return fmt.Sprintf("a name of %d bytes of at most %d", longest, wire.MaxSymbolName)
	}
	return ""
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}
