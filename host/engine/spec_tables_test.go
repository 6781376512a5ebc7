package engine

import (
	"context"
	"encoding/binary"
	"slices"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/troupehost/troupe/artifacts/wasm"
)

// item is a part of a module with its length before it.
func item(parts ...byte) []byte {
	return append(binary.AppendUvarint(nil, uint64(len(parts))), parts...)
}

// vectorOf is items with their number before them.
func vectorOf(items ...[]byte) []byte {
	return append([]byte{byte(len(items))}, slices.Concat(items...)...)
}

func sectionOf(id byte, payload []byte) []byte { return append([]byte{id}, item(payload...)...) }

// borrowing imports a function and reaches it in every way there is. All functions that it exports call env.f(5).
func borrowing() []byte {
	const i32, funcref = 0x7f, 0x70
	bodies := map[string][]byte{
		"direct":  {0x41, 5, 0x10, 0, 0x0b},
		"active":  {0x41, 5, 0x41, 0, 0x11, 0, 0, 0x0b},                                            // call_indirect 0
		"passive": {0x41, 1, 0x41, 0, 0x41, 1, 0xfc, 12, 1, 0, 0x41, 5, 0x41, 1, 0x11, 0, 0, 0x0b}, // table.init 1
		"set":     {0x41, 2, 0xd2, 0, 0x26, 0, 0x41, 5, 0x41, 2, 0x11, 0, 0, 0x0b},                 // ref.func, table.set
		"global":  {0x41, 3, 0x23, 0, 0x26, 0, 0x41, 5, 0x41, 3, 0x11, 0, 0, 0x0b},                 // global.get, table.set
		"grow":    {0xd2, 0, 0x41, 1, 0xfc, 15, 0, 0x1a, 0x41, 5, 0x41, 6, 0x11, 0, 0, 0x0b},       // table.grow from 6
		"fill":    {0x41, 4, 0xd2, 0, 0x41, 2, 0xfc, 17, 0, 0x41, 5, 0x41, 5, 0x11, 0, 0, 0x0b},    // table.fill of 2
		"tail":    {0x41, 5, 0x12, 0, 0x0b},                                                        // return_call
		"tail 2":  {0x41, 5, 0x41, 0, 0x13, 0, 0, 0x0b},                                            // return_call_indirect
		"is null": {0xd2, 0, 0xd1, 0x04, i32, 0x41, 0, 0x05, 0x41, 5, 0x10, 0, 0x0b, 0x0b},         // if ref.func is null
	}
	var types, functions, exports, code [][]byte
	types = append(types, []byte{0x60, 1, i32, 1, i32}, []byte{0x60, 0, 1, i32})
	for i, name := range borrowed {
		functions = append(functions, []byte{1})
		exports = append(exports, append(item([]byte(name)...), 0, byte(i+1)))
		code = append(code, item(append([]byte{0}, bodies[name]...)...))
	}
	return slices.Concat([]byte{0, 'a', 's', 'm', 1, 0, 0, 0},
		sectionOf(1, vectorOf(types...)),
		sectionOf(2, vectorOf(append(slices.Concat(item('e', 'n', 'v'), item('f')), 0, 0))),
		sectionOf(3, vectorOf(functions...)),
		sectionOf(4, vectorOf([]byte{funcref, 0, 6})),
		sectionOf(6, vectorOf([]byte{funcref, 0, 0xd2, 0, 0x0b})),
		sectionOf(7, vectorOf(exports...)),
		sectionOf(9, vectorOf([]byte{0, 0x41, 0, 0x0b, 1, 0}, []byte{1, 0, 1, 0})),
		sectionOf(10, vectorOf(code...)))
}

var borrowed = []string{
	"direct", "active", "passive", "set", "global", "grow", "fill", "tail", "tail 2", "is null",
}

// TestImportedFunctionsInTables reaches an imported function by call, through tables that were filled in each way, and by tail
// calls. Whichever way, it is called once, by the host's charge.
func TestImportedFunctionsInTables(t *testing.T) {
	ctx := context.Background()
	code, policy := borrowing(), wasm.Policy{Features: wasm.AllFeatures}
	charges := []wasm.Charge{{}, {Base: 1000}, {Base: 1000, PerUnit: 7, Param: 0}}
	for _, m := range modes() {
		gas := map[string]int64{}
		for i, charge := range charges {
			m.options.Charge = func(module, name string) wasm.Charge {
				if module != "env" || name != "f" {
					t.Errorf("the charge of %s.%s was asked for", module, name)
				}
				return charge
			}
			w, err := newWorld(ctx, m, wazero.NewRuntimeConfigCompiler().WithCoreFeatures(engineFeatures(policy.Features)))
			if err != nil {
				t.Fatal(err)
			}
			defer w.rt.Close(ctx)
			calls := 0
			_, err = w.rt.NewHostModuleBuilder("env").NewFunctionBuilder().
				WithGoModuleFunction(api.GoModuleFunc(func(_ context.Context, _ api.Module, stack []uint64) {
					calls++
					stack[0] = 2*stack[0] + 1
				}), []api.ValueType{api.ValueTypeI32}, []api.ValueType{api.ValueTypeI32}).Export("f").Instantiate(ctx)
			if err != nil {
				t.Fatal(err)
			}
			prepared, err := w.prepare(code, policy)
			if err != nil {
				t.Fatal(err)
			}
			inst, err := w.instantiate(prepared)
			if err != nil {
				t.Fatal(err)
			}
			for _, name := range borrowed {
				calls = 0
				o := w.call(inst, name, nil)
				if o.err != nil || len(o.results) != 1 || o.results[0] != 11 || calls != 1 {
					t.Errorf("%s: %s: %d, %v, %d calls", m.name, name, o.results, o.err, calls)
				}
				if i == 0 {
					gas[name] = o.gas
				}
				want := int64(charge.Base) + 5*int64(charge.PerUnit)
				if got := o.gas - gas[name]; o.metered && got != want {
					t.Errorf("%s: %s: %d gas for the host's part, not %d", m.name, name, got, want)
				}
			}
		}
	}
}
