package engine

import (
	"context"
	"errors"
	"fmt"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/troupehost/troupe/artifacts/wasm"
)

// grants are what a test puts behind the import of metered code: it grants slices without end, and the stack once.
type grants struct {
	slice   int64
	limit   int64 // of gas, 0: none
	granted int64
	depth   int64 // values of stack, granted once; 0: 65,536
	stack   bool
}

// offer makes the import available to what is instantiated in rt.
func (m *grants) offer(ctx context.Context, rt wazero.Runtime) error {
	_, err := rt.NewHostModuleBuilder(wasm.MeterModule).NewFunctionBuilder().
		WithGoModuleFunction(api.GoModuleFunc(m.refill), nil, nil).Export(wasm.MeterRefill).Instantiate(ctx)
	return err
}

func (m *grants) refill(_ context.Context, mod api.Module, _ []uint64) {
	gas, stack := global(mod, wasm.GasGlobal), global(mod, wasm.StackGlobal)
	for int64(gas.Get()) < 0 {
		slice := m.slice
		if m.limit > 0 {
			slice = min(slice, m.limit-m.granted)
		}
		if slice <= 0 {
			panic(errors.New("the gas is used up"))
		}
		gas.Set(gas.Get() + uint64(slice))
		m.granted += slice
	}
	if int64(stack.Get()) < 0 {
		if m.stack {
			panic(errors.New("the stack is used up"))
		}
		m.stack = true
		depth := m.depth
		if depth == 0 {
			depth = 65_536
		}
		stack.Set(stack.Get() + uint64(depth))
	}
}

func global(mod api.Module, name string) api.MutableGlobal {
	g, ok := mod.ExportedGlobal(name).(api.MutableGlobal)
	if !ok {
		panic(fmt.Errorf("no mutable global %s", name))
	}
	return g
}

// used is the gas that mod has used since it was made.
func (m *grants) used(mod api.Module) int64 {
	return m.granted - int64(global(mod, wasm.GasGlobal).Get())
}
