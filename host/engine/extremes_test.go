package engine

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"testing"

	"github.com/tetratelabs/wazero"

	"github.com/troupehost/troupe/artifacts/wasm"
	w "github.com/troupehost/troupe/artifacts/wasm/wasmtest"
)

func some(n int, code ...byte) []byte { return slices.Concat(slices.Repeat([][]byte{code}, n)...) }

func typeOf(params, results []byte) []byte {
	return slices.Concat([]byte{0x60}, w.U(len(params)), params, w.U(len(results)), results)
}

// turning counts a loop that is left by each kind of branch over n blocks in turn.
func turning(t *testing.T, n int) {
	out := w.Padded(n) // in five bytes
	branches := [][]byte{
		slices.Concat([]byte{opLocalGet, 0, 0x0d}, out),
		slices.Concat([]byte{opLocalGet, 0, 0x0e, 1, 0}, w.U(n)),
		slices.Concat([]byte{opLocalGet, 0, 0x04, 0x40, 0x0c}, w.U(n), []byte{opEnd}),
		{opLocalGet, 0, 0x04, 0x40, 0x0f, opEnd},
		{opLocalGet, 0, 0x04, 0x40, opLocalGet, 0, opI32Const, 1, 0x6b, 0x21, 0, 0x0c, 1, opEnd},
	}
	for i, branch := range branches {
		code := overdrawn(slices.Concat(some(n, 0x02, 0x40), []byte{0x03, 0x40}, branch, []byte{opLocalGet, 0, 0x0d, 0, opEnd}, some(n, opEnd), busy(3)))
		o := pathMode(false)
		in, err := wasm.Instrument(code, policy, o)
		if err != nil {
			t.Fatal(err)
		}
		naive := naiveCount(t, code, o.Weights, 0)
		for arg := range uint64(3) {
			if i == 1 && arg == 0 {
				continue // which goes on for ever
			}
			for _, slice := range []uint64{1, unlimited} {
				p := fullPurse()
				p.slice = slice
				got, _ := play1(t, "interpreter", in.Code, p, "a", arg)
				if want, _ := play1(t, "interpreter", naive, nil, "a", arg); got != want || got.verdict != "" {
					t.Errorf("branch %d over %d blocks: a(%d): %v, %v", i, n, arg, got, want)
				}
			}
		}
	}
}

// TestExtremeModulesCompile rewrites modules at the edges of numbers and of caps, in all modes, and has both engines compile them.
func TestExtremeModulesCompile(t *testing.T) {
	const funcref, externref, exnref, v128 = 0x70, 0x6f, 0x69, 0x7b
	nullary := typeOf(nil, nil)
	simple := func(body []byte) []byte {
		return w.Module(w.Section(w.Type, w.Vector(nullary)), w.Section(w.Func, w.Vector([]byte{0})), w.Section(w.Code, w.Vector(body)))
	}
	modules := map[string][]byte{
		"nothing":           w.Module(),
		"a memory":          w.Module(w.Section(w.Memory, []byte{1, 0, 1})),
		"a type":            w.Module(w.Section(w.Type, w.Vector(nullary))),
		"an import":         w.Module(w.Section(w.Type, w.Vector(nullary)), w.Section(w.Import, w.Vector(importFunc("env", "f", 0)))),
		"an import started": w.Module(w.Section(w.Type, w.Vector(nullary)), w.Section(w.Import, w.Vector(importFunc("env", "f", 0))), w.Section(8, []byte{0})),
		"an import exported": w.Module(w.Section(w.Type, w.Vector(nullary)), w.Section(w.Import, w.Vector(importFunc("env", "f", 0))), w.Section(w.Func, w.Vector([]byte{0})),
			w.Section(w.Export, w.Vector(exportFunc("f", 0))), w.Section(w.Code, w.Vector(w.Body(0, 0xd2, 0, opDrop)))),
		"locals at the cap": simple(w.Body(512, opCall, 0)),
		"a body at the cap": simple(w.Body(0, append(some((256<<10-8)/2, opCall, 0), 1, 1, 1)...)),
		"floats at the cap": simple(w.Body(0, slices.Concat([]byte{opF64Const, 0, 0, 0, 0, 0, 0, 0, 0}, some(256<<10-16, 0x9f), []byte{opDrop})...)),
		"a thousand loops":  simple(w.Body(0, some(1000, 0x03, 0x40, opEnd)...)),
		"nested loops":      simple(w.Body(0, slices.Concat(some(1000, 0x03, 0x40), some(1000, opEnd))...)),
		"branches":          simple(w.Body(0, slices.Concat(some(1500, opI32Const, 0, 0x0d, 0))...)),
	}
	for name, typ := range map[string]byte{"i32": i32, "v128": v128, "funcref": funcref, "externref": externref, "exnref": exnref} {
		for _, n := range []int{1, 2, 9, 1000} {
			values := some(n, typ)
			var gets []byte
			for i := range min(n, 500) {
				gets = slices.Concat(gets, []byte{opLocalGet}, w.U(i))
			}
			if n == 1000 { // more parameters than there may be locals
				continue
			}
			modules[fmt.Sprintf("%d %s", n, name)] = w.Module(w.Section(w.Type, w.Vector(typeOf(values, values))), w.Section(w.Func, w.Vector([]byte{0})),
				w.Section(w.Code, w.Vector(w.Body(0, slices.Concat(gets, []byte{opCall, 0, 0x0f})...))))
		}
	}
	many := some(1000, i32)
	modules["1000 results"] = w.Module(w.Section(w.Type, w.Vector(typeOf(nil, many))), w.Section(w.Func, w.Vector([]byte{0})),
		w.Section(w.Code, w.Vector(w.Body(0, opCall, 0, 0x0f))))
	for _, n := range []int{126, 127, 128, 129, 16383} {
		imports := slices.Repeat([][]byte{importFunc("env", "f", 0)}, n)
		last := append([]byte{opCall}, w.U(n-1)...)
		self := append([]byte{opCall}, w.U(n)...)
		ref := slices.Concat([]byte{0xd2}, w.U(n-1), []byte{opDrop, 0xd2}, w.Padded(0), []byte{opDrop})
		modules[fmt.Sprintf("%d imports", n)] = w.Module(w.Section(w.Type, w.Vector(nullary)), w.Section(w.Import, w.Vector(imports...)),
			w.Section(w.Func, w.Vector([]byte{0})), w.Section(4, []byte{1, funcref, 0, 9}),
			w.Section(9, slices.Concat([]byte{1, 0, opI32Const, 0, opEnd, 2}, w.U(n-1), w.Padded(0))),
			w.Section(w.Code, w.Vector(w.Body(0, slices.Concat(last, self, ref)...))))
	}
	// Branches out of a loop that is written with three more blocks, where their depth gets a byte longer.
	for n := 120; n <= 130; n++ {
		out := binary.AppendUvarint(nil, uint64(n))
		body := slices.Concat(some(n, 0x02, 0x40), []byte{0x03, 0x40, opI32Const, 1, 0x0d}, out, []byte{opI32Const, 1, 0x0d}, w.Padded(n),
			[]byte{opI32Const, 1, 0x04, 0x40, opI32Const, 0, 0x0e, 3, 0}, out, []byte{1}, w.Padded(n), []byte{0x0f, opEnd, opI32Const, 0, 0x0d, 0, opEnd}, some(n, opEnd))
		modules[fmt.Sprintf("branches over %d blocks", n)] = simple(w.Body(2, body...))
		turning(t, n)
	}
	ctx := context.Background()
	for name, code := range modules {
		for i, o := range []wasm.Options{{}, {Stack: true}, pathMode(false), pathMode(true)} {
			in, err := wasm.Instrument(code, policy, o)
			if err != nil {
				t.Errorf("%s: mode %d: %v", name, i, err)
				continue
			}
			for engine, config := range engines {
				if len(code) > 100_000 && (engine == "compiler") != (i == 2) { // the compiler takes its time
					continue
				}
				rt := wazero.NewRuntimeWithConfig(ctx, config().WithCoreFeatures(allFeatures))
				if _, err := rt.CompileModule(ctx, in.Code); err != nil {
					t.Errorf("%s: mode %d: %s: %v", name, i, engine, err)
				}
				_ = rt.Close(ctx)
			}
		}
	}
}
