package engine

import (
	"context"
	"slices"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/troupehost/troupe/artifacts/wasm"
	w "github.com/troupehost/troupe/artifacts/wasm/wasmtest"
)

// play1 calls one export of a module once, and returns the account and the results: the naive count if p is nil. The module
// may import env.host, which returns.
func play1(t *testing.T, engine string, code []byte, p *purse, export string, args ...uint64) (account, []uint64) {
	t.Helper()
	ctx := context.Background()
	rt := wazero.NewRuntimeWithConfig(ctx, engines[engine]().WithCoreFeatures(allFeatures))
	defer rt.Close(ctx)
	if _, err := rt.NewHostModuleBuilder("env").NewFunctionBuilder().WithFunc(func() {}).Export("host").Instantiate(ctx); err != nil {
		t.Fatal(err)
	}
	r := &meter{purse: p}
	if _, err := rt.NewHostModuleBuilder(wasm.MeterModule).NewFunctionBuilder().
		WithGoModuleFunction(api.GoModuleFunc(r.refill), nil, nil).Export(wasm.MeterRefill).Instantiate(ctx); err != nil {
		t.Fatal(err)
	}
	m, err := rt.InstantiateWithConfig(ctx, code, wazero.NewModuleConfig().WithName("guest"))
	if err != nil {
		t.Fatal(err)
	}
	r.begin(m, p.limitOf(0))
	results, err := m.ExportedFunction(export).Call(ctx, args...)
	tr := &transcript{}
	if r.settle(tr, err); p == nil {
		tr.spent[0].gas = m.ExportedGlobal(naiveGlobal).Get()
	}
	if tr.broken != "" {
		t.Fatal(tr.broken)
	}
	return tr.spent[0], results
}

// busy is so many pairs of instructions that do nothing.
func busy(n int) []byte { return slices.Concat(slices.Repeat([][]byte{{opI32Const, 0, opDrop}}, n)...) }

// skippable is code that a branch leads around if local 0 is 0, so that it is charged where it stands.
func skippable(code []byte) []byte {
	return slices.Concat([]byte{0x02, 0x40, opLocalGet, 0, 0x45, 0x0d, 0}, code, []byte{opEnd})
}

// overdrawn are functions of an i32, with env.host before them and in the table.
func overdrawn(bodies ...[]byte) []byte {
	var funcs, exports, codes [][]byte
	for i, b := range bodies {
		funcs = append(funcs, []byte{1})
		exports = append(exports, exportFunc(string(rune('a'+i)), 1+i))
		codes = append(codes, w.Body(0, b...))
	}
	return w.Module(
		w.Section(w.Type, w.Vector(w.FuncType(0, 0), w.FuncType(1, 0))),
		w.Section(w.Import, w.Vector(importFunc("env", "host", 0))),
		w.Section(w.Func, w.Vector(funcs...)),
		w.Section(4, []byte{1, 0x70, 0, 1}),
		w.Section(w.Export, w.Vector(exports...)),
		w.Section(9, []byte{1, 0, opI32Const, 0, opEnd, 1, 0}),
		w.Section(w.Code, w.Vector(codes...)),
	)
}

// TestALimitIsPassedByNoMoreThanWasSaid runs code that puts as much as it can between two checks, above all on its way back
// from a deep recursion, with limits that end it at many places.
func TestALimitIsPassedByNoMoreThanWasSaid(t *testing.T) {
	down := []byte{opLocalGet, 0, 0x45, 0x0d, 0, opLocalGet, 0, opI32Const, 1, 0x6b, opCall, 1}
	tail := skippable(busy(500))
	free := wasm.Charge{}
	priced := wasm.Charge{Base: 20}
	for _, row := range []struct {
		name   string
		charge wasm.Charge
		bodies [][]byte
	}{
		{"nothing behind", priced, [][]byte{slices.Concat(down, tail)}},
		{"a call of the host behind", priced, [][]byte{slices.Concat(down, tail, []byte{opCall, 0})}},
		{"a free call of the host behind", free, [][]byte{slices.Concat(down, tail, []byte{opCall, 0})}},
		{"a tail call of the host behind", priced, [][]byte{slices.Concat(down, tail, []byte{0x12, 0})}},
		{"a free tail call of the host behind", free, [][]byte{slices.Concat(down, tail, []byte{0x12, 0})}},
		{"an indirect call of the host behind", priced, [][]byte{slices.Concat(down, tail, []byte{opI32Const, 0, 0x11, 0, 0})}},
		{"a free indirect call of the host behind", free, [][]byte{slices.Concat(down, tail, []byte{opI32Const, 0, 0x11, 0, 0})}},
		{"a free indirect tail call of the host behind", free, [][]byte{slices.Concat(down, tail, []byte{opI32Const, 0, 0x13, 0, 0})}},
		{"a return behind", priced, [][]byte{slices.Concat(down, tail, []byte{0x0f})}},
		{"a branch out", priced, [][]byte{slices.Concat(down, tail, []byte{opLocalGet, 0, 0x0d, 0, 0x0c, 0})}},
		{"a branch by table", priced, [][]byte{slices.Concat(down, []byte{0x02, 0x40}, tail, []byte{opLocalGet, 0, 0x0e, 2, 1, 0, 1, opEnd})}},
		{"in the arm of an if", priced, [][]byte{slices.Concat(down, []byte{opLocalGet, 0, 0x04, 0x40}, busy(500), []byte{opLocalGet, 0, 0x0d, 1, opCall, 0, opEnd})}},
		{"calls within arms", priced, [][]byte{slices.Concat([]byte{opLocalGet, 0, 0x04, 0x40}, down[5:], []byte{0x05}, busy(3), []byte{opEnd}, tail, []byte{opCall, 0})}},
		{"a loop around", priced, [][]byte{slices.Concat([]byte{0x03, 0x40, opLocalGet, 0, 0x45, 0x0d, 1}, down[5:], tail, []byte{opCall, 0, opEnd})}},
		{"a leaf, a tail and a long entry", priced, [][]byte{
			slices.Concat([]byte{opLocalGet, 0, 0x45, 0x0d, 0, opLocalGet, 0, opI32Const, 1, 0x6b, 0x21, 0, opLocalGet, 0, opCall, 2}, skippable(busy(500)),
				[]byte{opLocalGet, 0, opCall, 3}),
			skippable(busy(500)),
			slices.Concat(busy(500), []byte{opLocalGet, 0, opCall, 1}),
		}},
	} {
		code := overdrawn(row.bodies...)
		o := fuzzMode(true, false, true)
		o.Charge = func(string, string) wasm.Charge { return row.charge }
		in, err := wasm.Instrument(code, policy, o)
		if err != nil {
			t.Fatalf("%s: %v", row.name, err)
		}
		const depth = 60
		all, _ := play1(t, "compiler", in.Code, fullPurse(), "a", depth)
		if all.verdict != "" {
			t.Fatalf("%s: %v", row.name, all)
		}
		worst := uint64(0)
		for k := range uint64(200) {
			p := fullPurse()
			p.limits = []uint64{all.gas * k / 200}
			got, _ := play1(t, "compiler", in.Code, p, "a", depth)
			if got.verdict != outOfGas {
				t.Errorf("%s: with %d of %d: %v", row.name, p.limits[0], all.gas, got)
			}
			worst = max(worst, got.gas-p.limits[0])
		}
		t.Logf("%s: %d gas, passed by %d, said %d", row.name, all.gas, worst, in.Unchecked)
		if worst > in.Unchecked {
			t.Errorf("%s: a limit is passed by %d, and %d was said", row.name, worst, in.Unchecked)
		}
	}
}
