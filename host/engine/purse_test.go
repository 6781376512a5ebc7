package engine

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/tetratelabs/wazero/api"

	"github.com/troupehost/troupe/artifacts/wasm"
	"github.com/troupehost/troupe/artifacts/wasm/wasmgen"
)

// unlimited is far more than generated modules use, and small enough that an account does not overflow.
const unlimited = math.MaxInt64 / 4

// purse is what a test gives to a metered module: the start function is call 0, whether there is one or not.
type purse struct {
	slice  uint64   // gas is granted in multiples of it
	limits []uint64 // of the first calls; unlimited for the others
	stack  int64
	calls  int // so many are made at most, with the start function
}

func fullPurse() *purse {
	return &purse{slice: unlimited, stack: unlimited, calls: math.MaxInt}
}

func (p *purse) limitOf(call int) uint64 {
	if p == nil || call >= len(p.limits) {
		return unlimited
	}
	return p.limits[call]
}

// account is what one call used, and what became of it.
type account struct {
	gas     uint64
	verdict string // "": it returned
}

// meter is a host in small: it grants gas and stack when the module asks, and says when there is no more.
type meter struct {
	*purse
	mod     api.Module
	limit   uint64
	granted uint64
	deep    bool // the stack was granted
	verdict string
}

const outOfGas, outOfStack = "out of gas", "out of stack"

var errOutOfPurse = errors.New("the purse is empty")

func value(m api.Module, name string) int64 { return int64(m.ExportedGlobal(name).Get()) }

func set(m api.Module, name string, v int64) {
	m.ExportedGlobal(name).(api.MutableGlobal).Set(uint64(v))
}

// refill is what the module imports.
func (r *meter) refill(_ context.Context, m api.Module, _ []uint64) {
	r.mod = m
	if gas := value(m, wasm.GasGlobal); gas < 0 {
		need := (uint64(-gas) + r.slice - 1) / r.slice * r.slice
		need = min(need, r.limit-r.granted)
		r.granted += need
		set(m, wasm.GasGlobal, gas+int64(need))
		if gas+int64(need) < 0 {
			r.verdict = outOfGas
			panic(errOutOfPurse)
		}
	}
	if m.ExportedGlobal(wasm.StackGlobal) == nil {
		return
	}
	left := value(m, wasm.StackGlobal)
	if left < 0 && !r.deep {
		r.deep = true
		left += r.stack
		set(m, wasm.StackGlobal, left)
	}
	if left < 0 {
		r.verdict = outOfStack
		panic(errOutOfPurse)
	}
}

// begin makes the accounts what they are in a fresh instance.
func (r *meter) begin(m api.Module, limit uint64) {
	*r = meter{purse: r.purse, mod: m, limit: limit}
	if r.purse == nil {
		return
	}
	set(m, wasm.GasGlobal, 0)
	if m.ExportedGlobal(wasm.StackGlobal) != nil {
		set(m, wasm.StackGlobal, 0)
	}
}

// settle closes the accounts of a call, and returns why it did not return its results, or "".
func (r *meter) settle(tr *transcript, err error) string {
	verdict := r.verdict
	if err != nil && verdict == "" {
		verdict = trap(err)
	}
	a := account{verdict: verdict}
	if r.purse != nil && r.mod != nil { // a start function that was never metered has no accounts to show
		a.gas = r.granted - uint64(value(r.mod, wasm.GasGlobal))
		if a.gas > r.limit && verdict != outOfStack {
			a.verdict = outOfGas
		}
		if g := r.mod.ExportedGlobal(wasm.StackGlobal); g != nil && verdict == "" {
			want := int64(0)
			if r.deep {
				want = r.stack
			}
			if left := int64(g.Get()); left != want {
				tr.broken = fmt.Sprintf("after a call %d of %d of the stack are left", left, want)
			}
		}
	}
	tr.spent = append(tr.spent, a)
	return a.verdict
}

// TestThePurseKeepsCount plays a module that is metered by hand: each call takes 100 gas and 10 of the stack.
func TestThePurseKeepsCount(t *testing.T) {
	const i64Add, i64Sub, i64LtS, ifOp = 0x7c, 0x7d, 0x53, 0x04
	global := func(index, amount, op byte) []byte {
		return []byte{opGlobalGet, index, opI64Const, amount, op, opGlobalSet, index}
	}
	check := func(index byte) []byte {
		return []byte{opGlobalGet, index, opI64Const, 0, i64LtS, ifOp, 0x40, opCall, 0, opEnd}
	}
	code := binaryModule(
		section(secType, funcType("", "")),
		section(secImport, importFunc(wasm.MeterModule, wasm.MeterRefill, 0)),
		section(secFunc, []byte{0}),
		section(secGlobal, []byte{i32, 1, opI32Const, 0, opEnd}, []byte{i64, 1, opI64Const, 0, opEnd}, []byte{i64, 1, opI64Const, 0, opEnd}),
		section(secExport, exportFunc("f", 1), slices.Concat(text(wasmgen.Fuel), []byte{3, 0}),
			slices.Concat(text(wasm.GasGlobal), []byte{3, 1}), slices.Concat(text(wasm.StackGlobal), []byte{3, 2})),
		section(secCode, body(slices.Concat(global(1, 50, i64Sub), check(1), global(1, 50, i64Sub), global(2, 10, i64Sub), check(2),
			global(2, 10, i64Add))...)),
	)
	for _, row := range []struct {
		name  string
		purse purse
		want  []account // of the start and two calls
	}{
		{"enough", purse{slice: unlimited, stack: 10}, []account{{}, {100, ""}, {100, ""}}},
		{"small slices", purse{slice: 1, stack: 10}, []account{{}, {100, ""}, {100, ""}}},
		{"exact", purse{slice: 7, stack: 10, limits: []uint64{0, 100}}, []account{{}, {100, ""}, {100, ""}}},
		{"one less at the end", purse{slice: 7, stack: 10, limits: []uint64{0, 99}}, []account{{}, {100, outOfGas}, {100, ""}}},
		{"nothing at a check", purse{slice: 7, stack: 10, limits: []uint64{0, 49}}, []account{{}, {50, outOfGas}, {100, ""}}},
		{"no stack", purse{slice: 1000, stack: 9}, []account{{}, {100, outOfStack}, {100, outOfStack}}},
	} {
		for engine := range engines {
			row.purse.calls = math.MaxInt
			got := play(t, engine, code, &row.purse)
			if !slices.Equal(got.spent, row.want) || got.broken != "" {
				t.Errorf("%s: %s: %v %s, want %v", row.name, engine, got.spent, got.broken, row.want)
			}
		}
	}
}
