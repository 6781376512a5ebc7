package main

import (
	"context"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/troupehost/troupe/artifacts/wasm"
)

// slice is the gas of one grant, as of a host: about 10 ms of work.
const slice = 1_000_000_000

// stackLimit is the product's default, in values.
const stackLimit = 65_536

type wazeroEngine struct {
	rt  wazero.Runtime
	mod api.Module
}

func openWazero(code []byte, gas, stack bool) (engine, error) {
	ctx := context.Background()
	rt := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfigCompiler())
	if gas || stack {
		o := wasm.Options{Stack: stack}
		if gas {
			o.Weights = wasm.Weights1()
		}
		made, err := wasm.Instrument(code, wasm.Policy{}, o)
		if err != nil {
			return nil, err
		}
		code = made.Code
		if _, err := rt.NewHostModuleBuilder(wasm.MeterModule).NewFunctionBuilder().
			WithGoModuleFunction(refill(), nil, nil).Export(wasm.MeterRefill).Instantiate(ctx); err != nil {
			return nil, err
		}
	}
	mod, err := rt.Instantiate(ctx, code)
	if err != nil {
		return nil, err
	}
	return &wazeroEngine{rt, mod}, nil
}

// refill grants gas without an end, and the stack once. A guest whose stack is still too deep traps by itself.
func refill() api.GoModuleFunc {
	granted := false
	return func(_ context.Context, mod api.Module, _ []uint64) {
		if g, ok := mod.ExportedGlobal(wasm.GasGlobal).(api.MutableGlobal); ok && int64(g.Get()) < 0 {
			g.Set(g.Get() + slice)
		}
		if g, ok := mod.ExportedGlobal(wasm.StackGlobal).(api.MutableGlobal); ok && int64(g.Get()) < 0 && !granted {
			granted = true
			g.Set(g.Get() + stackLimit)
		}
	}
}

func (e *wazeroEngine) call(export string, arg int32) (int64, error) {
	got, err := e.mod.ExportedFunction(export).Call(context.Background(), api.EncodeI32(arg))
	if err != nil {
		return 0, err
	}
	return int64(got[0]), nil
}

func (e *wazeroEngine) close() { _ = e.rt.Close(context.Background()) }
