package engine

import (
	"slices"
	"strings"
	"testing"
)

// segments exports functions that use segments: data 0 and 2 are active ("ab" at 8, "cd" at 16) and 1 is passive ("yz"); elements 0
// is active, 1 declared, 2 passive, all of function 0.
func segments() []byte {
	const secElement, secData, secDataCount, misc, block = 9, 11, 12, 0xfc, 0x02
	three := func(a, b, c byte) []byte { return []byte{opI32Const, a, opI32Const, b, opI32Const, c} }
	load := []byte{opI32Const, 0, opI64Load, 3}
	functions := []struct {
		name string
		code []byte
	}{
		{"nothing", []byte{opI64Const, 0}},
		{"active", slices.Concat(three(0, 0, 1), []byte{misc, 8, 0, 0, opI64Const, 1})},
		{"active 2", slices.Concat(three(0, 1, 1), []byte{misc, 8, 2, 0, opI64Const, 1})},
		{"active, none of it", slices.Concat(three(0, 0, 0), []byte{misc, 8, 0, 0, opI64Const, 1})},
		{"active, none behind it", slices.Concat(three(0, 1, 0), []byte{misc, 8, 0, 0, opI64Const, 1})},
		{"passive", slices.Concat(three(0, 0, 2), []byte{misc, 8, 1, 0}, load, []byte{0})},
		{"passive, dropped", slices.Concat([]byte{misc, 9, 1}, three(0, 0, 2), []byte{misc, 8, 1, 0, opI64Const, 1})},
		{"active, dropped", slices.Concat([]byte{misc, 9, 0}, load, []byte{8})},
		{"data 0", slices.Concat(load, []byte{8})},
		{"data 2", slices.Concat(load, []byte{16})},
		{"element active", slices.Concat(three(0, 0, 1), []byte{misc, 12, 0, 0, opI64Const, 1})},
		{"element declared", slices.Concat(three(0, 0, 1), []byte{misc, 12, 1, 0, opI64Const, 1})},
		{"element passive", slices.Concat(three(0, 0, 1), []byte{misc, 12, 2, 0, opI64Const, 1})},
		{"element active, none of it", slices.Concat(three(0, 0, 0), []byte{misc, 12, 0, 0, opI64Const, 1})},
	}
	var types, exports, bodies [][]byte
	for i, f := range functions {
		types, exports, bodies = append(types, []byte{0}), append(exports, exportFunc(f.name, i)), append(bodies, body(f.code...))
	}
	return binaryModule(
		section(secType, funcType("", "\x7e")),
		section(secFunc, types...),
		section(secTable, []byte{0x70, 0, 4}),
		section(secMemory, []byte{0, 1}),
		section(secExport, exports...),
		section(secElement, []byte{0, opI32Const, 1, opEnd, 1, 0}, []byte{3, 0, 1, 0}, []byte{1, 0, 1, 0}),
		raw(secDataCount, []byte{3}),
		section(secCode, bodies...),
		section(secData, []byte{0, opI32Const, 8, opEnd, 2, 'a', 'b'}, []byte{1, 2, 'y', 'z'}, []byte{2, 0, opI32Const, 16, opEnd, 2, 'c', 'd'}),
	)
}

// TestActiveSegmentsAreDropped: code that runs finds nothing in segments that were copied at the start or only declared, as the
// specification says, and the bytes of active data come from the image alone.
func TestActiveSegmentsAreDropped(t *testing.T) {
	c, err := Compile(t.Context(), segments(), 64<<20, Options{})
	if err != nil {
		t.Fatal(err)
	}
	for skeleton, image := range map[string][]byte{"with an image": c.Image, "without": nil} {
		parts := c.Contents()
		parts.Image.Bytes = image
		a, err := Load(t.Context(), parts)
		if err != nil {
			t.Fatal(err)
		}
		for name, want := range map[string]string{
			"nothing": "0", "active": "out of bounds memory access", "active 2": "out of bounds memory access", "active, none of it": "1",
			"active, none behind it": "out of bounds memory access", "passive": "31353", "passive, dropped": "out of bounds memory access",
			"active, dropped": "25185", "data 0": "25185", "data 2": "25699",
			"element active": "invalid table access", "element declared": "invalid table access", "element passive": "1", "element active, none of it": "1",
		} {
			if skeleton == "without" && (want == "25185" || want == "25699") {
				want = "0"
			}
			out, _ := call(a, invoked(name))
			got := string(out.Result)
			if out.Fault != nil {
				got, _, _ = strings.Cut(out.Fault.Subject, " in ")
			}
			if got != want {
				t.Errorf("%s skeleton: %s: %s, want %s", skeleton, name, got, want)
			}
		}
		_ = a.Close()
	}
}

// TestKnownFaultsOfSegments pins where the engine differs from the specification, in the same way each time. When it fails, the
// engine was mended.
func TestKnownFaultsOfSegments(t *testing.T) {
	const secElement, misc, externref = 9, 0xfc, 0x6f
	build := func(table byte, element, code []byte) []byte {
		return binaryModule(
			section(secType, funcType("", "")), section(secFunc, []byte{0}), section(secTable, []byte{table, 0, 4}),
			section(secExport, exportFunc("f", 0)), section(secElement, element), section(secCode, body(code...)),
		)
	}
	// A passive segment of externref counts as empty. Right is that two nulls are copied.
	nulls := build(externref, []byte{5, externref, 2, 0xd0, externref, opEnd, 0xd0, externref, opEnd},
		[]byte{opI32Const, 0, opI32Const, 0, opI32Const, 2, misc, 12, 0, 0})
	if out, _ := call(loadCode(t, nulls), invoked("f")); out.Fault == nil || !strings.HasPrefix(out.Fault.Subject, "invalid table access") {
		t.Errorf("externref: %v", out.Fault)
	}
	// An active segment that does not fit into its table is left out, with all behind it. Right is that nothing starts.
	beyond := build(0x70, []byte{0, opI32Const, 4, opEnd, 1, 0}, nil)
	if out, _ := call(loadCode(t, beyond), invoked("f")); out.Fault != nil {
		t.Errorf("beyond the table: %v", out.Fault)
	}
}
