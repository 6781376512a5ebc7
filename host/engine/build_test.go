package engine

import (
	"bytes"
	"context"
	"encoding/binary"
	"slices"
	"testing"

	"github.com/troupehost/troupe/artifacts/wasm"
)

// Section ids, value types and instructions of the binary format, as far as the tests need them.
const (
	secCustom, secType, secImport, secFunc, secTable, secMemory, secGlobal, secExport, secStart, secCode = 0, 1, 2, 3, 4, 5, 6, 7, 8, 10

	i32, i64 = 0x7f, 0x7e

	opUnreachable, opEnd, opCall, opDrop    = 0x00, 0x0b, 0x10, 0x1a
	opLocalGet, opGlobalGet, opGlobalSet    = 0x20, 0x23, 0x24
	opI64Load, opI32Const, opI64Const, opOr = 0x29, 0x41, 0x42, 0x84
	opF32Const, opF64Const, opGrow, opDivS  = 0x43, 0x44, 0x40, 0x6d
)

// binaryModule puts sections behind the header.
func binaryModule(sections ...[]byte) []byte {
	return append([]byte("\x00asm\x01\x00\x00\x00"), slices.Concat(sections...)...)
}

// section is a vector of items with id and size before it.
func section(id byte, items ...[]byte) []byte { return raw(id, vector(items...)) }

func raw(id byte, payload []byte) []byte {
	return append(binary.AppendUvarint([]byte{id}, uint64(len(payload))), payload...)
}

func vector(items ...[]byte) []byte {
	return append(binary.AppendUvarint(nil, uint64(len(items))), slices.Concat(items...)...)
}

func text(s string) []byte { return append(binary.AppendUvarint(nil, uint64(len(s))), s...) }

func funcType(params, results string) []byte {
	return slices.Concat([]byte{0x60}, text(params), text(results))
}

func importFunc(module, name string, typ byte) []byte {
	return slices.Concat(text(module), text(name), []byte{0, typ})
}

func exportFunc(name string, index int) []byte {
	return binary.AppendUvarint(append(text(name), 0), uint64(index))
}

// body is a function without locals.
func body(code ...byte) []byte {
	b := append(append([]byte{0}, code...), opEnd)
	return append(binary.AppendUvarint(nil, uint64(len(b))), b...)
}

// loadCode prepares and loads a module, under other caps than the defaults if some are passed.
func loadCode(t testing.TB, code []byte, caps ...wasm.Caps) *App {
	t.Helper()
	var o Options
	for _, c := range caps {
		o.Policy.Caps = c
	}
	c, err := Compile(context.Background(), code, 64<<20, o)
	if err != nil {
		t.Fatalf("compile: %v", err)
	}
	a, err := Load(context.Background(), c.Contents())
	if err != nil {
		t.Fatalf("load: %v", err)
	}
	t.Cleanup(func() { _ = a.Close() })
	return a
}

// wasiCaller exports f() -> i64, which runs code and then loads the first 8 bytes of its memory of one page. Function 0
// is the named one of WASI.
func wasiCaller(name, params string, code ...byte) []byte {
	return binaryModule(
		section(secType, funcType(params, "\x7f"), funcType("", "\x7e")),
		section(secImport, importFunc("wasi_snapshot_preview1", name, 0)),
		section(secFunc, []byte{1}),
		section(secMemory, []byte{0, 1}),
		section(secExport, exportFunc("f", 1)),
		section(secCode, body(append(code, opDrop, opI32Const, 0, opI64Load, 3, 0)...)),
	)
}

// exiter imports proc_exit and calls it with code (below 64) in function 1.
func exiter(code byte, more ...[]byte) []byte {
	return binaryModule(append([][]byte{
		section(secType, funcType("\x7f", ""), funcType("", "")),
		section(secImport, importFunc("wasi_snapshot_preview1", "proc_exit", 0)),
		section(secFunc, []byte{1}, []byte{1}),
		section(secMemory, []byte{0, 1}),
	}, append(more, section(secCode, body(opI32Const, code, opCall, 0), body()))...)...)
}

func TestTheBuilderBuilds(t *testing.T) {
	want := selfTestModule
	got := binaryModule(
		section(secType, funcType("", "\x7f")),
		section(secFunc, []byte{0}),
		section(secExport, exportFunc("f", 0)),
		section(secCode, body(opI32Const, 42)),
	)
	if !bytes.Equal(got, want) {
		t.Errorf("% x, want % x", got, want)
	}
}
