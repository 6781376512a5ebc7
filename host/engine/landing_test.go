package engine

import (
	"slices"
	"testing"

	"github.com/troupehost/troupe/artifacts/wasm"
	w "github.com/troupehost/troupe/artifacts/wasm/wasmtest"
)

// throwing is a module whose function a(i32) has this body. Function 1 throws from two calls below if its argument is not 0.
func throwing(body ...byte) []byte {
	return w.Module(
		w.Section(w.Type, w.Vector(w.FuncType(0, 0), w.FuncType(1, 0))),
		w.Section(w.Func, w.Vector([]byte{1}, []byte{1}, []byte{1})),
		w.Section(13, []byte{1, 0, 0}),
		w.Section(w.Export, w.Vector(exportFunc("a", 0))),
		w.Section(w.Code, w.Vector(w.Body(0, body...), w.Body(0, opLocalGet, 0, opCall, 2), w.Body(0, opLocalGet, 0, 0x04, 0x40, 0x08, 0, opEnd))),
	)
}

// TestWhereExceptionsLand runs code that catches a hundred exceptions, in the interpreter, since the engine's compiler is not sound
// with them. The stack is so small that it ends if the frames that were left are not given back.
func TestWhereExceptionsLand(t *testing.T) {
	const tryTable, block, loop, ifOp, br, brIf = 0x1f, 0x02, 0x03, 0x04, 0x0c, 0x0d
	down := []byte{opLocalGet, 0, 0x45, brIf, 1, opLocalGet, 0, opI32Const, 1, 0x6b, 0x21, 0} // out of a loop in the function
	call := []byte{opLocalGet, 0, opCall, 1}
	for _, row := range []struct {
		name string
		body []byte
	}{
		{"a loop", slices.Concat([]byte{loop, 0x40}, down, []byte{tryTable, 0x40, 1, 2, 0}, call, []byte{opEnd, br, 0, opEnd})},
		{"a loop with a long header", slices.Concat([]byte{loop, 0x40}, busy(500), down, []byte{tryTable, 0x40, 1, 2, 0}, call, []byte{opLocalGet, 0, brIf, 0, opEnd, br, 0, opEnd})},
		{"a block in a loop", slices.Concat([]byte{loop, 0x40}, down, []byte{block, 0x40, tryTable, 0x40, 1, 0, 0, 0}, call, []byte{opEnd, opEnd, br, 0, opEnd})},
		{"the arm of an if", slices.Concat([]byte{loop, 0x40}, down, []byte{opLocalGet, 0, ifOp, 0x40, tryTable, 0x40, 1, 2, 0}, call, []byte{opEnd, opEnd, br, 0, opEnd})},
		{"the other arm", slices.Concat([]byte{loop, 0x40}, down, []byte{opLocalGet, 0, 0x45, ifOp, 0x40, 0x01, 0x05, tryTable, 0x40, 1, 2, 0}, call, []byte{opEnd, opEnd, br, 0, opEnd})},
		{"another loop further out", slices.Concat([]byte{loop, 0x40}, down, []byte{loop, 0x40, tryTable, 0x40, 1, 2, 1}, call, []byte{opEnd, opEnd, br, 0, opEnd})},
		{"the function", slices.Concat([]byte{tryTable, 0x40, 1, 2, 0}, call, []byte{opEnd})},
	} {
		code := throwing(row.body...)
		o := fuzzMode(true, false, true)
		in, err := wasm.Instrument(code, policy, o)
		if err != nil {
			t.Fatalf("%s: %v", row.name, err)
		}
		p := fullPurse()
		p.stack = 50
		got, _ := play1(t, "interpreter", in.Code, p, "a", 100)
		want, _ := play1(t, "interpreter", naiveCount(t, code, o.Weights, 0), nil, "a", 100)
		if got.verdict != "" || want.verdict != "" {
			t.Errorf("%s: ends with %q and %q", row.name, got.verdict, want.verdict)
		}
		if got.gas < want.gas || got.gas > want.gas+100*in.Unchecked { // what was paid for behind a throw is lost
			t.Errorf("%s: %d counted, %d used", row.name, got.gas, want.gas)
		}
	}
}
