package engine

import (
	"context"
	"math"
	"strings"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/artifacts"
	"github.com/troupehost/troupe/artifacts/wasm"
	"github.com/troupehost/troupe/host/abi"
	"github.com/troupehost/troupe/host/wire"
)

const maxPages = wire.MaxPages

// Compiled is what one preparation makes.
type Compiled struct {
	Module artifacts.Module

	// The parts of the artifact; see package artifacts.
	Skeleton []byte
	Code     []byte
	Frame    []byte
	Image    []byte // empty: there is none
}

// Parts returns the parts that are there, by name, in the order in which they are written.
func (c *Compiled) Parts() []Named {
	parts := []Named{{artifacts.PartModule, c.Skeleton}, {artifacts.PartCode, c.Code}, {artifacts.PartFrame, c.Frame}}
	if len(c.Image) > 0 {
		parts = append(parts, Named{artifacts.PartImage, c.Image})
	}
	return parts
}

// Named is a part of an artifact.
type Named struct {
	Name  string
	Bytes []byte
}

// Options are the settings of a preparation that are not budgets. The zero value is the default policy, and NaNs as they come.
type Options struct {
	Policy        wasm.Policy // what the code may be
	CanonicalNaNs bool
}

// Compile inflates, judges, instruments and compiles code. maxInflated bounds the module after decompression, in bytes.
//
// # Errors
//
// All of class guest, except host.engine_self_test.
func Compile(ctx context.Context, code []byte, maxInflated int64, o Options) (*Compiled, error) {
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
	made, err := wasm.Instrument(m.MemoryImportToExport(code), o.Policy, instrumentation(o.CanonicalNaNs))
	if err != nil {
		return nil, err
	}
	desc.Shape = artifacts.Shape{Features: made.Shape.Features.String(), Caps: artifacts.Caps(made.Shape.Caps)}
	desc.Resets, desc.Mutable, desc.UncheckedGas = resetNames(made.Resets), len(made.Globals), made.Unchecked
	if m, err = wasm.Scan(made.Code); err != nil {
		return nil, err
	}
	if err := fits(desc); err != nil {
		return nil, err
	}
	return build(ctx, desc, m, made.Code, symbols, made.Resets)
}

// instrumentation returns what is written into all code.
func instrumentation(canonicalNaNs bool) wasm.Options {
	return wasm.Options{Weights: wasm.Weights1(), Stack: true, CanonicalNaNs: canonicalNaNs, Charge: chargeOf}
}

// build compiles code that is instrumented.
func build(ctx context.Context, desc artifacts.Module, m *wasm.Module, code []byte, symbols *wasm.Symbols, resets wasm.Resets) (*Compiled, error) {
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
	image, whole := m.Image()
	machine, frame, err := split(h.added, facts{image: image.At, resets: resets})
	if err != nil {
		return nil, fault.New(fault.HostEngine, "compile", "", err)
	}
	desc.CodeBytes = int64(len(machine))
	return &Compiled{
		Module: desc, Code: machine, Frame: frame, Image: image.Bytes,
		Skeleton: m.Skeleton(code, symbols, wasm.SkeletonOptions{EmptyData: whole, ExportStart: true}),
	}, nil
}

// describe returns what operators and the cache want to know of a module.
func describe(m *wasm.Module, code []byte) (artifacts.Module, error) {
	d := m.Describe(int64(len(code)))
	for n, i := range m.Imports {
		d.Imports[n].Known = i.Kind == wasm.Memory || i.Kind == wasm.Func && abi.Known(i.Module, i.Name, i.Desc)
	}
	return d, wire.Admit(d, len(m.Tables))
}

// fits refuses a description that the host cannot be told.
func fits(d artifacts.Module) error {
	d.CodeBytes = math.MaxInt64 // it is not known yet
	most := wire.Prepared{Module: d}
	for _, name := range []string{artifacts.PartModule, artifacts.PartCode, artifacts.PartFrame, artifacts.PartImage} {
		most.Parts = append(most.Parts, wire.PartRange{Name: name, Offset: math.MaxInt64, Bytes: math.MaxInt64})
	}
	if _, err := wire.Encode(most); err != nil {
		return fault.New(fault.GuestTooManySymbols, "compile", "their names and types have more than 1 MiB", nil)
	}
	return nil
}

// chargeOf is what a call of the host costs.
func chargeOf(module, name string) wasm.Charge { return wasm.Charge(abi.ChargeOf(module, name)) }

// resetNames spells what a reset of globals and linear memory does not undo.
func resetNames(r wasm.Resets) []string {
	names := []string{}
	for _, flag := range []struct {
		is   wasm.Resets
		name string
	}{
		{wasm.ChangesTables, "changes-tables"}, {wasm.DropsSegments, "drops-segments"},
		{wasm.GrowsMemory, "grows-memory"}, {wasm.Throws, "throws"},
	} {
		if r&flag.is != 0 {
			names = append(names, flag.name)
		}
	}
	return names
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}
