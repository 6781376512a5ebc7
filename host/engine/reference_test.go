package engine

import (
	"context"
	"runtime"
	"testing"

	"github.com/tetratelabs/wazero"

	"github.com/troupehost/troupe/artifacts/wasm"
	w "github.com/troupehost/troupe/artifacts/wasm/wasmtest"
)

// TestReferencesTakeNoMemory runs a million ref.func, each of which is an object that the engine keeps as long as the instance: the
// rewrite has the code read globals instead.
func TestReferencesTakeNoMemory(t *testing.T) {
	const turns, most = 1_000_000, 16 << 20
	// f(n): do { ref.func f; drop } while (--n)
	code := w.Module(
		w.Section(w.Type, w.Vector(w.FuncType(1, 0))),
		w.Section(w.Func, w.Vector([]byte{0})),
		w.Section(w.Export, w.Vector(append(append([]byte{1}, 'f'), 0, 0))),
		w.Section(w.Code, w.Vector(w.Body(0, 0x03, 0x40, 0xd2, 0, opDrop,
			opLocalGet, 0, opI32Const, 1, 0x6b, 0x22, 0, 0x0d, 0, opEnd))),
	)
	in, err := wasm.Instrument(code, wasm.Policy{}, instrumentation(false))
	if err != nil {
		t.Fatal(err)
	}
	grown := func(code []byte) int64 {
		ctx := context.Background()
		rt := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfigCompiler())
		defer rt.Close(ctx)
		if err := (&grants{slice: DefaultSlice}).offer(ctx, rt); err != nil {
			t.Fatal(err)
		}
		m, err := rt.Instantiate(ctx, code)
		if err != nil {
			t.Fatal(err)
		}
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		if _, err := m.ExportedFunction("f").Call(ctx, turns); err != nil {
			t.Fatal(err)
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		runtime.KeepAlive(m)
		return int64(after.HeapAlloc) - int64(before.HeapAlloc)
	}
	if n := grown(code); n <= most {
		t.Errorf("the engine alone keeps %d bytes: it was mended", n)
	}
	if n := grown(in.Code); n > most {
		t.Errorf("%d turns keep %d bytes", turns, n)
	}
}
