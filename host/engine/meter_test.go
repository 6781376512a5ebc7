package engine

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/tetratelabs/wazero/api"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/artifacts"
	"github.com/troupehost/troupe/artifacts/wasm"
	"github.com/troupehost/troupe/host/wire"
)

// Costs of the module of these tests.
const (
	turnGas    = 10 // of a turn of loop
	enterGas   = 3  // of entering a function
	startGas   = 7
	initGas    = 5
	callValues = 100 // of a call of deep
)

// meteredModule is code as the instrumentation makes it, by hand, so that what is tested here is the host's part alone:
//
//	loop(n i32)  enters, and takes n turns
//	deep(n i32)  calls itself n times
//	start        the start function
//	_initialize  part of initialisation too
func meteredModule(started bool) []byte {
	const gas, stack = 0, 1 // globals
	leb := func(v int64) []byte {
		var b []byte
		for {
			c := byte(v & 0x7f)
			v >>= 7
			if v == 0 && c&0x40 == 0 || v == -1 && c&0x40 != 0 {
				return append(b, c)
			}
			b = append(b, c|0x80)
		}
	}
	take := func(account byte, n int64, check bool) []byte {
		b := slices.Concat([]byte{opGlobalGet, account, opI64Const}, leb(n), []byte{0x7d, opGlobalSet, account})
		if check { // (if (i64.lt_s (global.get account) (i64.const 0)) (call refill))
			b = append(b, opGlobalGet, account, opI64Const, 0, 0x53, 0x04, 0x40, opCall, 0, opEnd)
		}
		return b
	}
	loop := slices.Concat(take(gas, enterGas, true), []byte{0x02, 0x40, 0x03, 0x40}, take(gas, turnGas, true),
		[]byte{opLocalGet, 0, 0x45, 0x0d, 1, opLocalGet, 0, opI32Const, 1, 0x6b, 0x21, 0, 0x0c, 0, opEnd, opEnd})
	deep := slices.Concat(take(gas, enterGas, true), take(stack, callValues, true),
		[]byte{opLocalGet, 0, 0x04, 0x40, opLocalGet, 0, opI32Const, 1, 0x6b, opCall, 2, opEnd}, take(stack, -callValues, false))
	sections := [][]byte{
		section(secType, funcType("", ""), funcType("\x7f", "")),
		section(secImport, importFunc(wasm.MeterModule, wasm.MeterRefill, 0)),
		section(secFunc, []byte{1}, []byte{1}, []byte{0}, []byte{0}),
		section(secGlobal, []byte{i64, 1, opI64Const, 0, opEnd}, []byte{i64, 1, opI64Const, 0, opEnd}),
		section(secExport, exportFunc("loop", 1), exportFunc("deep", 2), exportFunc("_initialize", 4),
			append(text(wasm.GasGlobal), 3, gas), append(text(wasm.StackGlobal), 3, stack)),
	}
	if started {
		sections = append(sections, raw(secStart, binary.AppendUvarint(nil, 3)))
	}
	return binaryModule(append(sections, section(secCode, body(loop...), body(deep...),
		body(take(gas, startGas, true)...), body(take(gas, initGas, true)...)))...)
}

func loadMetered(t *testing.T, started bool) *App {
	t.Helper()
	code := meteredModule(started)
	m, err := wasm.Scan(code)
	if err != nil {
		t.Fatal(err)
	}
	c, err := build(context.Background(), artifacts.Module{}, m, code, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	a, err := Load(context.Background(), c.Contents())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.Close() })
	return a
}

const turns = 1000

// loopGas is what loop(turns) uses: the last turn leaves.
const loopGas = enterGas + (turns+1)*turnGas

func looping() Spec { return invoked("loop", fmt.Sprint(turns)) }

// TestGasIsThatOfTheWork: whatever the slices and whatever ran before, in this instance's app or another.
func TestGasIsThatOfTheWork(t *testing.T) {
	warm := loadMetered(t, true)
	for _, slice := range []int64{0, 1, turnGas, turnGas + 1, 1000, math.MaxInt64 / 2} {
		for name, a := range map[string]*App{"warm": warm, "cold": loadMetered(t, true)} {
			s := looping()
			s.Slice = slice
			out, _ := call(a, s)
			if out.Fault != nil || out.GasUsed != loopGas || out.InitGas != startGas+initGas {
				t.Errorf("%s, slices of %d: %v, %d and %d, want %d and %d", name, slice, out.Fault, out.GasUsed, out.InitGas, loopGas, startGas+initGas)
			}
		}
	}
}

// TestGasLimitIsExact: a run that had what it uses ends well, with any slices, and one that had less is out of gas.
func TestGasLimitIsExact(t *testing.T) {
	a := loadMetered(t, false)
	for _, slice := range []int64{1, turnGas, 0} {
		for _, row := range []struct {
			limit int64
			over  bool
		}{{loopGas, false}, {loopGas + 1, false}, {run.MaxGas, false}, {loopGas - 1, true}, {loopGas - turnGas, true}, {enterGas, true}, {1, true}} {
			s := looping()
			s.Gas, s.Slice = row.limit, slice
			out, _ := call(a, s)
			if row.over != errors.Is(orNil(out.Fault), fault.GuestGasLimit) || out.GasUsed != min(row.limit, loopGas) {
				t.Errorf("limit %d, slices of %d: %v, used %d of %d", row.limit, slice, out.Fault, out.GasUsed, loopGas)
			}
			if row.over && out.Result != nil && out.Fault == nil {
				t.Errorf("limit %d: a result", row.limit)
			}
		}
	}
}

// TestInitialisationHasItsOwnGas: the run does not pay for it, and its limit is its own.
func TestInitialisationHasItsOwnGas(t *testing.T) {
	for _, row := range []struct {
		started bool
		limit   int64
		want    int64
		over    bool
	}{
		{true, 0, startGas + initGas, false}, {false, 0, initGas, false}, {true, startGas + initGas, startGas + initGas, false},
		{true, startGas + initGas - 1, startGas + initGas - 1, true}, {true, startGas - 1, startGas - 1, true}, {false, initGas - 1, initGas - 1, true},
	} {
		s := looping()
		s.InitGas, s.Gas = row.limit, loopGas
		out, _ := call(loadMetered(t, row.started), s)
		used := int64(loopGas)
		if row.over {
			used = 0
		}
		if row.over != errors.Is(orNil(out.Fault), fault.GuestGasLimit) || out.InitGas != row.want || out.GasUsed != used {
			t.Errorf("%+v: %v, %d, then %d", row, out.Fault, out.InitGas, out.GasUsed)
		}
	}
}

// TestStackEndsAtItsLimit: at the same depth each time, whatever else ran; and depth within the limit is given back.
func TestStackEndsAtItsLimit(t *testing.T) {
	a := loadMetered(t, true)
	for range 3 {
		for _, row := range []struct {
			values, depth int64
			over          bool
		}{{0, 600, false}, {0, run.DefaultStackValues/callValues - 1, false}, {0, run.DefaultStackValues / callValues, true},
			{1024, 9, false}, {1024, 10, true}, {run.MaxStackValues, 10_000, false}, {run.MaxStackValues, 1 << 30, true}} {
			s := invoked("deep", fmt.Sprint(row.depth))
			s.StackValues = row.values
			out, _ := call(a, s)
			if row.over != errors.Is(orNil(out.Fault), fault.GuestStack) {
				t.Errorf("%+v: %v", row, out.Fault)
			}
			if calls := (row.values + 65536*b2i(row.values == 0)) / callValues; out.GasUsed != enterGas*min(row.depth+1, calls+1) {
				t.Errorf("%+v: gas %d", row, out.GasUsed)
			}
		}
	}
}

func b2i(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// orNil keeps a nil *fault.Error from becoming an error.
func orNil(f *fault.Error) error {
	if f == nil {
		return nil
	}
	return f
}

// TestUnmeteredCodeIsNotLoaded: an artifact without accounts would run without limits.
func TestUnmeteredCodeIsNotLoaded(t *testing.T) {
	code := binaryModule(section(secType, funcType("", "")), section(secFunc, []byte{0}), section(secExport, exportFunc("f", 0)), section(secCode, body()))
	m, err := wasm.Scan(code)
	if err != nil {
		t.Fatal(err)
	}
	c, err := build(context.Background(), artifacts.Module{}, m, code, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Load(context.Background(), c.Contents()); !errors.Is(err, fault.SuspectArtifact) {
		t.Errorf("%v", err)
	}
}

func TestWeightsHaveTheirVersion(t *testing.T) {
	if v := wasm.Weights1().Version; v != wire.WeightsVersion {
		t.Errorf("the table has version %d, wire.WeightsVersion is %d", v, wire.WeightsVersion)
	}
}

// purseGlobal is an account without an instance.
type purseGlobal struct {
	api.MutableGlobal
	v int64
}

func (g *purseGlobal) Get() uint64  { return uint64(g.v) }
func (g *purseGlobal) Set(v uint64) { g.v = int64(v) }

// TestAccountsAtTheirEnds: slices and limits of all sizes end a run that goes on for ever, and what it used never wraps.
func TestAccountsAtTheirEnds(t *testing.T) {
	const work = int64(65536) << 32 // more than any instruction takes
	for _, limit := range []int64{run.NoGasLimit, 1, run.MaxGas - 1, run.MaxGas} {
		for _, slice := range []int64{0, 1, run.MaxGas, math.MaxInt64} {
			gas := &purseGlobal{}
			m := newAccounts(Spec{Slice: slice, InitGas: limit})
			m.gas, m.stack = gas, &purseGlobal{}
			ended := false
			for range 20_000 {
				gas.v -= work
				if gas.v < 0 {
					func() {
						defer func() { ended = recover() != nil }()
						m.refill(nil)
					}()
				}
				if used := m.used(); used < 0 || used > run.MaxGas || gas.v > run.MaxGas || !ended && gas.v < 0 {
					t.Fatalf("limit %d, slices of %d: %d used, and the account is %d", limit, slice, used, gas.v)
				}
				if ended {
					break
				}
			}
			if ended != (limit != run.NoGasLimit) {
				t.Errorf("limit %d, slices of %d: ended: %v, with %d used", limit, slice, ended, m.used())
			}
		}
	}
}
