package wasm

import (
	"slices"
	"testing"
	"time"

	w "github.com/troupehost/troupe/artifacts/wasm/wasmtest"
)

// TestTheRewriteTakesNoTimeForEachBlockAround: what a call, a growth or a branch has to note of the blocks around it is noted
// once. Code in 4,095 blocks is held against the same code in none.
func TestTheRewriteTakesNoTimeForEachBlockAround(t *testing.T) {
	some := func(code []byte, n int) []byte { return slices.Concat(slices.Repeat([][]byte{code}, n)...) }
	took := func(depth int, code []byte) (least time.Duration) {
		body := slices.Concat(some([]byte{opBlock, typeEmpty}, depth), code, some([]byte{opEnd}, depth))
		module := w.Module(w.Section(w.Type, w.Vector(w.FuncType(0, 0))), w.Section(w.Func, w.Vector([]byte{0})),
			w.Section(w.Memory, []byte{1, 0, 1}), w.Section(w.Code, w.Vector(w.Body(0, body...))))
		for range 5 {
			begin := time.Now()
			if _, err := Instrument(module, Policy{}, Options{Weights: Weights1(), Stack: true}); err != nil {
				t.Fatal(err)
			}
			if d := time.Since(begin); least == 0 || d < least {
				least = d
			}
		}
		return least
	}
	for name, code := range map[string][]byte{
		"calls":              some([]byte{opCall, 0}, 100_000),
		"growths":            some([]byte{opI32Const, 0, opMemoryGrow, 0, opDrop}, 40_000),
		"targets of a table": slices.Concat([]byte{opI32Const, 0, opBrTable}, w.U(8000), some([]byte{0}, 8001)),
	} {
		if name == "targets of a table" {
			outside := slices.Concat([]byte{opI32Const, 0, opBrTable}, w.U(8000), some([]byte{0xfe, 0x1f}, 8001)) // block 4,094
			if deep, flat := took(4095, outside), took(4095, code); deep > 10*flat {
				t.Errorf("%s: %v to the outermost block, %v to the innermost", name, deep, flat)
			}
			continue
		}
		if deep, flat := took(4095, code), took(0, code); deep > 10*flat {
			t.Errorf("%s: %v in blocks, %v in none", name, deep, flat)
		}
	}
}
