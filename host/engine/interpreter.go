package engine

import (
	"bytes"
	"context"
	"strings"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/artifacts/wasm"
	"github.com/troupehost/troupe/host/wire"
)

// Interpreted is how a run ended on the interpreter.
type Interpreted struct {
	Outcome
	// TooDeep says that the interpreter ran out of frames, of which it has some thousands. The limit of the run is counted in
	// values and allows for more, so the outcome says nothing.
	TooDeep bool
	// Floats says that arithmetic of the code can make NaNs whose bits nothing settles: the engines need not agree on them.
	Floats bool
}

// Interpret runs code once on the engine's interpreter, which shares no code with its compiler behind validation and makes
// nothing executable. The code is inflated, judged, instrumented, linked and metered as [Compile], [Load] and [App.Run] do it, so
// that the outcome, gas included, is that of a compiled run, if the compiler is right. It takes 50 to 100 times as long.
//
// # Errors
//
// Those of [Compile] and [Load]. A run that ended badly is an outcome.
func Interpret(ctx context.Context, code []byte, maxInflated int64, o Options, s Spec, streams IO) (Interpreted, error) {
	made, symbols, floats, err := instrumented(code, maxInflated, o)
	if err != nil {
		return Interpreted{}, err
	}
	m, err := wasm.Scan(made)
	if err != nil {
		return Interpreted{}, err
	}
	rt := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfigInterpreter().
		WithCoreFeatures(features).WithDebugInfoEnabled(false).WithMemoryLimitPages(maxPages))
	c, err := rt.CompileModule(ctx, m.LimitTables(made, wire.MaxTableElements))
	if err != nil {
		_ = rt.Close(ctx)
		return Interpreted{}, fault.New(fault.GuestInvalid, "compile", fault.Quote(firstLine(err.Error())), nil)
	}
	a := newApp(rt, c, m, symbols, 0)
	defer a.Close()
	a.opaque = true // it runs once
	host := &Blank{rt: rt, made: map[string]api.Module{}}
	if err := host.offer(ctx); err != nil {
		return Interpreted{}, err
	}
	if err := a.link(ctx, host); err != nil {
		return Interpreted{}, fault.New(fault.SuspectArtifact, "link", fault.Quote(firstLine(err.Error())), nil)
	}
	out := a.Run(ctx, s, streams)
	f := out.Fault
	// The meter's own words begin otherwise.
	deep := f != nil && f.Code == fault.GuestStack && strings.HasPrefix(f.Subject, "stack overflow")
	return Interpreted{Outcome: out, TooDeep: deep, Floats: floats}, nil
}

// instrumented makes of code what a preparation compiles. floats: see Interpreted.
func instrumented(code []byte, maxInflated int64, o Options) (made []byte, symbols *wasm.Symbols, floats bool, err error) {
	code, err = wasm.Inflate(code, maxInflated)
	if err != nil {
		return nil, nil, false, err
	}
	m, err := wasm.Scan(code)
	if err != nil {
		return nil, nil, false, err
	}
	symbols, given := m.NewSymbols(code), m.MemoryImportToExport(code)
	in, err := wasm.Instrument(given, o.Policy, instrumentation(o.CanonicalNaNs))
	if err != nil {
		return nil, nil, false, err
	}
	if !o.CanonicalNaNs { // making NaNs canonical changes exactly the code that can make some
		canonical, err := wasm.Instrument(given, o.Policy, instrumentation(true))
		floats = err != nil || !bytes.Equal(canonical.Code, in.Code)
	}
	return in.Code, symbols, floats, nil
}
