package engine

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/troupehost/troupe/artifacts/wasm"
)

// trapping imports so many functions of WASI, and exports f, which calls its function 1, which runs code. The memory has no room.
func trapping(imports []string, code []byte, more ...[]byte) []byte {
	var list [][]byte
	for _, name := range imports {
		list = append(list, importFunc("wasi_snapshot_preview1", name, 0))
	}
	inner := binary.AppendUvarint([]byte{opCall}, uint64(len(imports)+1))
	sections := [][]byte{
		section(secType, funcType("\x7f\x7f", "\x7f"), funcType("", "")),
		section(secImport, list...),
		section(secFunc, []byte{1}, []byte{1}),
		section(secMemory, []byte{1, 0, 0}),
		section(secExport, exportFunc("f", len(imports))),
		section(secCode, body(inner...), body(code...)),
	}
	return binaryModule(append(sections, more...)...)
}

// named is a name section with the name of one function.
func named(index int, name string) []byte {
	entry := append(binary.AppendUvarint(nil, uint64(index)), text(name)...)
	return raw(secCustom, slices.Concat(text("name"), raw(1, vector(entry))))
}

// TestTrapsNameTheirFunction: by the name, the number and the offset of the code as it was given, whatever was added to it.
func TestTrapsNameTheirFunction(t *testing.T) {
	unreachable := []byte{opUnreachable}
	many := slices.Repeat([]string{"args_sizes_get", "environ_sizes_get", "args_get"}, 40)
	for name, row := range map[string]struct {
		code   []byte
		body   []byte // of the trap
		number int
		want   string // %s stands for the number and the offset
	}{
		"nameless":             {trapping(nil, unreachable), unreachable, 1, "unreachable in %s"},
		"named":                {trapping(nil, unreachable, named(1, "dig")), unreachable, 1, "unreachable in dig (%s)"},
		"named like an offset": {trapping(nil, unreachable, named(1, "$7(i32)")), unreachable, 1, "unreachable in $7(i32) (%s)"},
		"one import":           {trapping(many[:1], unreachable), unreachable, 2, "unreachable in %s"},
		"many imports":         {trapping(many, unreachable, named(121, "dig")), unreachable, 121, "unreachable in dig (%s)"},
		"out of bounds":        {trapping(many, []byte{opI32Const, 9, opI64Load, 3, 0, opDrop}), []byte{opI32Const, 9, opI64Load, 3, 0, opDrop}, 121, "out of bounds memory access in %s"},
	} {
		at := bytes.Index(row.code, body(row.body...)) + 1
		want := row.want
		if strings.Contains(want, "%s") {
			want = fmt.Sprintf(want, fmt.Sprintf("function %d at %#x", row.number, at))
		}
		out, _ := call(loadCode(t, row.code), invoked("f"))
		if out.Fault == nil || out.Fault.Subject != want {
			t.Errorf("%s: %v, want %s", name, out.Fault, want)
		}
	}
}

// TestTrapsNeverNameWhatWasAdded: every function of the instrumented module is one of the code, by its old number, or nameless.
func TestTrapsNeverNameWhatWasAdded(t *testing.T) {
	for _, imports := range []int{0, 1, 5} {
		code := trapping(slices.Repeat([]string{"args_sizes_get"}, imports), []byte{opUnreachable})
		m, err := wasm.Scan(code)
		if err != nil {
			t.Fatal(err)
		}
		a := loadCode(t, code)
		all := imports + 1 + len(a.module.Funcs)
		if added := len(a.module.Funcs) - len(m.Funcs); added != 1+imports {
			t.Fatalf("%d imports: %d functions were added at the end", imports, added)
		}
		for index := range all + 3 {
			old := index - 1
			if index < imports {
				old = index
			}
			want := fmt.Sprintf("function %d", old)
			if index == imports || old >= imports+2 {
				want = ""
			}
			if got := a.place(uint32(index)); (want == "") != (got == "") || !strings.Contains(got+" ", want+" ") && !strings.Contains(got, want+")") {
				t.Errorf("%d imports, function %d of %d: %q, want %q", imports, index, all, got, want)
			}
		}
	}
}

// TestTrapMessage: frames of what was added are passed over, and a frame of the host has its name.
func TestTrapMessage(t *testing.T) {
	place := func(index uint32) string {
		return map[uint32]string{1: "f (function 1 at 0x10)"}[index]
	}
	for text, want := range map[string]string{
		"wasm error: unreachable\nwasm stack trace:\n\t.$1(i32) i32\n\t.$2()":                               "unreachable in f (function 1 at 0x10)",
		"wasm error: unreachable\nwasm stack trace:\n\t.$9()\n\t.$1()":                                      "unreachable in f (function 1 at 0x10)",
		"wasm error: unreachable\nwasm stack trace:\n\t.$9()\n\t... maybe followed by omitted frames":       "unreachable",
		"oops (recovered by wazero)\nwasm stack trace:\n\twasi_snapshot_preview1.fd_read(i32) i32\n\t.$9()": "oops (recovered by wazero) in wasi_snapshot_preview1.fd_read",
		"wasm error: unreachable\nwasm stack trace:\n\t":                                                    "unreachable",
		"wasm error: stack overflow":                                    "stack overflow",
		"wasm error: unreachable\nwasm stack trace:\n\t.$99999999999()": "unreachable",
	} {
		if got := trapMessage(text, place); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

// TestATrapBehindTheSymbols: a function that the symbols do not cover is told by its number, not by that of its caller.
func TestATrapBehindTheSymbols(t *testing.T) {
	const count = 600_000 // two bytes of symbols each are more than there is room for
	bodies := bytes.Repeat([]byte{3, 0, opUnreachable, opEnd}, count-1)
	first := append([]byte{0}, append(binary.AppendUvarint([]byte{opCall}, count-1), opEnd)...)
	code := binaryModule(
		section(secType, funcType("", "")),
		raw(secFunc, append(binary.AppendUvarint(nil, count), make([]byte, count)...)),
		section(secExport, exportFunc("f", 0)),
		raw(secCode, slices.Concat(binary.AppendUvarint(nil, count), []byte{byte(len(first))}, first, bodies)),
	)
	m, err := wasm.Scan(code)
	if err != nil {
		t.Fatal(err)
	}
	a := &App{symbols: m.NewSymbols(code), original: functions{defined: count, moved: true}}
	if _, _, ok := a.symbols.Name(count - 1); ok {
		t.Fatal("all are covered")
	}
	for index, want := range map[uint32]string{count: "function 599999", count + 1: "", 1: fmt.Sprintf("f (function 0 at %#x)", bytes.Index(code, first))} {
		if got := a.place(index); got != want {
			t.Errorf("%d: %q, want %q", index, got, want)
		}
	}
}
