package engine

import (
	"context"
	"runtime"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
)

// withLocals is a function with one local of type i32.
func withLocals(code ...byte) []byte {
	b := append(append([]byte{1, 1, i32}, code...), opEnd)
	return append([]byte{byte(len(b))}, b...)
}

// TestKnownFaultsOfTheEngine pins what the compiler gets wrong. When it fails, the engine was mended: see what was built
// around the fault.
func TestKnownFaultsOfTheEngine(t *testing.T) {
	const block, try, throw, and, ltU, localSet = 0x02, 0x1f, 0x08, 0x71, 0x49, 0x21
	if runtime.GOARCH != "amd64" && runtime.GOARCH != "arm64" {
		return // no compiler
	}
	for _, row := range []struct {
		name                  string
		body                  []byte
		compiler, interpreter uint64
	}{
		// A zero on the left of a bitwise and: the comparison is turned round. Right of it, it is not.
		{"0 < (7 & 5)", withLocals(opI32Const, 0, opI32Const, 7, opI32Const, 5, and, ltU, 0x04, i32, opI32Const, 1, 0x05, opI32Const, 0, opEnd), 0, 1},
		// What a try changed is changed for good, but the compiler restores the whole stack when it catches.
		{"a local set before a throw", withLocals(block, 0x40, try, 0x40, 1, 2, 0, opI32Const, 7, localSet, 0, throw, 0, opEnd, opEnd, opLocalGet, 0), 0, 7},
	} {
		code := binaryModule(
			section(secType, funcType("", "\x7f"), funcType("", "")),
			section(secFunc, []byte{0}),
			section(13, []byte{0, 1}), // a tag
			section(secExport, exportFunc("f", 0)),
			section(secCode, row.body),
		)
		for engine, want := range map[string]uint64{"compiler": row.compiler, "interpreter": row.interpreter} {
			ctx := context.Background()
			rt := wazero.NewRuntimeWithConfig(ctx, engines[engine]().WithCoreFeatures(allFeatures))
			m, err := rt.Instantiate(ctx, code)
			if err != nil {
				t.Fatal(err)
			}
			got, err := m.ExportedFunction("f").Call(ctx)
			if err != nil || api.DecodeU32(got[0]) != uint32(want) {
				t.Errorf("%s: %s: %d, %v; was %d", row.name, engine, got, err, want)
			}
			_ = rt.Close(ctx)
		}
	}
}

// TestPassiveExternsAreNotThere pins what both ways to run get wrong, which only another engine tells: a passive segment of externref
// is empty to this engine, so that a table cannot be initialised from it. Such a segment has nothing but nulls, and no compiler
// makes one.
func TestPassiveExternsAreNotThere(t *testing.T) {
	const externref, refNull = 0x6f, 0xd0
	for engine, config := range engines {
		code := binaryModule(
			section(secType, funcType("", "\x7f")),
			section(secFunc, []byte{0}),
			section(secTable, []byte{externref, 0, 4}),
			section(secExport, exportFunc("f", 0)),
			section(9, []byte{5, externref, 2, refNull, externref, opEnd, refNull, externref, opEnd}),
			section(secCode, body(opI32Const, 0, opI32Const, 0, opI32Const, 2, 0xfc, 12, 0, 0, opI32Const, 7)),
		)
		ctx := context.Background()
		rt := wazero.NewRuntimeWithConfig(ctx, config().WithCoreFeatures(allFeatures))
		m, err := rt.Instantiate(ctx, code)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := m.ExportedFunction("f").Call(ctx); err == nil || trap(err) != "wasm error: invalid table access" {
			t.Errorf("%s: %v: the engine was mended", engine, err)
		}
		_ = rt.Close(ctx)
	}
}
