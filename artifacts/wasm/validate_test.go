package wasm

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/troupehost/troupe/actors/fault"
)

// vec is a section that is a vector of things.
func vec(id byte, things ...[]byte) []byte {
	return appendSection(nil, id, append(binary.AppendUvarint(nil, uint64(len(things))), slices.Concat(things...)...))
}

// hexBytes makes bytes of hexadecimal digits; spaces are ignored.
func hexBytes(t testing.TB, s string) []byte {
	t.Helper()
	var out []byte
	for _, word := range strings.Fields(s) {
		var b []byte
		if _, err := fmt.Sscanf(word, "%x", &b); err != nil {
			t.Fatalf("%q: %v", word, err)
		}
		out = append(out, b...)
	}
	return out
}

// bodied is a module of one function of type 0 with this body (locals and instructions in hexadecimal digits), and around it a
// memory, two tables, two globals (the second one mutable), a tag, an element and a data segment.
func bodied(t testing.TB, types, body string) []byte {
	t.Helper()
	var list [][]byte
	for ty := range strings.SplitSeq(types, "|") {
		list = append(list, hexBytes(t, ty))
	}
	list = append(list, hexBytes(t, "60 01 7f 00")) // the tag's
	b := hexBytes(t, body)
	return module(vec(sectionType, list...), vec(sectionFunction, []byte{0}), vec(sectionTable, hexBytes(t, "70 00 01"), hexBytes(t, "6f 00 01")),
		vec(sectionMemory, []byte{0, 1}), vec(sectionTag, []byte{0, byte(len(list) - 1)}),
		vec(sectionGlobal, hexBytes(t, "7f 00 41 00 0b"), hexBytes(t, "7f 01 41 00 0b")),
		vec(sectionElement, hexBytes(t, "01 00 01 00")), appendSection(nil, sectionDataCount, []byte{1}),
		vec(sectionCode, append(binary.AppendUvarint(nil, uint64(len(b))), b...)), vec(sectionData, []byte{1, 0}))
}

const (
	plainType  = "60 00 00"
	numberType = "60 00 01 7f"
)

// TestBodies holds small bodies against the rules of validation.
func TestBodies(t *testing.T) {
	for _, row := range []struct {
		name, types, body string
		want              fault.Code // "": valid
		says              string
	}{
		{"empty", plainType, "00 0b", "", ""},
		{"nop", plainType, "00 01 0b", "", ""},
		{"no end", plainType, "00 01", fault.GuestInvalid, "ends before"},
		{"code behind the end", plainType, "00 0b 01", fault.GuestInvalid, "behind the end"},
		{"a value too few", numberType, "00 0b", fault.GuestInvalid, "end: needs i32, and finds nothing"},
		{"a value too many", plainType, "00 41 00 0b", fault.GuestInvalid, "1 operands too many"},
		{"of the wrong type", numberType, "00 42 00 0b", fault.GuestInvalid, "end: needs i32, and finds i64"},
		{"add", numberType, "00 41 01 41 02 6a 0b", "", ""},
		{"add of different types", numberType, "00 41 01 42 02 6a 0b", fault.GuestInvalid, "i32.add: needs i32, and finds i64"},
		{"add of one", numberType, "00 41 01 6a 0b", fault.GuestInvalid, "i32.add: needs i32, and finds nothing"},
		{"operands of the block around", numberType, "00 41 01 02 7f 1a 41 00 0b 0b", fault.GuestInvalid, "drop: needs an operand"},
		{"unreachable gives all", numberType, "00 00 6a 0b", "", ""},
		{"unreachable gives all but the wrong", numberType, "00 00 42 00 6a 0b", fault.GuestInvalid, "finds i64"},
		{"too many behind unreachable", plainType, "00 00 41 00 0b", fault.GuestInvalid, "too many"},
		{"select of unknown", numberType, "00 00 1b 0b", "", ""},
		{"select of unknown is a value", plainType, "00 00 1b 0b", fault.GuestInvalid, "too many"},
		{"select of different types", plainType, "00 41 00 42 00 41 00 1b 1a 0b", fault.GuestInvalid, "between i32 and i64"},
		{"select of references", plainType, "00 d0 70 d0 70 41 00 1b 1a 0b", fault.GuestInvalid, "need a select with a type"},
		{"select with a type", plainType, "00 d0 70 d0 70 41 00 1c 01 70 1a 0b", "", ""},
		{"br in code that is reached", numberType, "00 41 01 0c 00 0b", "", ""},
		{"br to nowhere", plainType, "00 0c 01 0b", fault.GuestInvalid, "no block 1"},
		{"br_if keeps the value", numberType, "00 41 01 41 00 0d 00 0b", "", ""},
		{"loop takes its parameters", "60 00 00|60 01 7f 00", "00 41 01 03 01 41 00 6a 0c 00 0b 0b", "", ""},
		{"loop without its parameters", "60 00 00|60 01 7f 00", "00 03 01 1a 0b 0b", fault.GuestInvalid, "loop: needs i32"},
		{"if without else gives nothing", numberType, "00 41 01 04 7f 41 02 0b 0b", fault.GuestInvalid, "if without else"},
		{"if with else", numberType, "00 41 01 04 7f 41 02 05 41 03 0b 0b", "", ""},
		{"else alone", plainType, "00 02 40 05 0b 0b", fault.GuestInvalid, "else without if"},
		{"br_table", numberType, "00 02 7f 41 00 41 01 0e 01 00 01 0b 0b", "", ""},
		{"br_table of different labels", numberType, "00 02 40 41 00 41 01 0e 01 00 01 0b 41 00 0b", fault.GuestInvalid, "differ in the number"},
		{"br_table in dead code", numberType, "00 02 7e 00 41 01 0e 01 00 01 0b 1a 41 00 0b", "", ""},
		{"br_table cut off", plainType, "00 41 00 0e ff ff 03 00 0b", fault.GuestTooComplex, "branch-targets is 65535, and 8192 is the most"},
		{"local", plainType, "01 02 7f 20 01 21 00 0b", "", ""},
		{"no such local", plainType, "01 02 7f 20 02 1a 0b", fault.GuestInvalid, "no local 2"},
		{"tee of the wrong type", plainType, "01 01 7f 42 00 22 00 1a 0b", fault.GuestInvalid, "local.tee: needs i32, and finds i64"},
		{"4 G locals", plainType, "02 ff ff ff ff 0f 7f 01 7f 0b", fault.GuestTooComplex, "locals is 4294967295, and 1024 is the most"},
		{"global.set", plainType, "00 41 00 24 01 0b", "", ""},
		{"global.set of a constant", plainType, "00 41 00 24 00 0b", fault.GuestInvalid, "not mutable"},
		{"load", plainType, "00 41 00 28 02 00 1a 0b", "", ""},
		{"load, misaligned", plainType, "00 41 00 28 03 00 1a 0b", fault.GuestInvalid, "i32.load: the alignment"},
		{"load of another memory", plainType, "00 41 00 28 42 01 00 1a 0b", fault.GuestFeature, "multi-memory"},
		{"load, long offset", plainType, "00 41 00 28 02 ff ff ff ff 0f 1a 0b", "", ""},
		{"load, offset too long", plainType, "00 41 00 28 02 ff ff ff ff 1f 1a 0b", fault.GuestInvalid, "the offset"},
		{"i32.const, longest", plainType, "00 41 80 80 80 80 78 1a 0b", "", ""},
		{"i32.const, unused bits", plainType, "00 41 80 80 80 80 38 1a 0b", fault.GuestInvalid, "i32.const"},
		{"i64.const, too long", plainType, "00 42 80 80 80 80 80 80 80 80 80 80 00 1a 0b", fault.GuestInvalid, "i64.const"},
		{"call_indirect", plainType, "00 41 00 11 00 00 0b", "", ""},
		{"call_indirect of externref", plainType, "00 41 00 11 00 01 0b", fault.GuestInvalid, "does not hold functions"},
		{"ref.func declared", plainType, "00 d2 00 1a 0b", "", ""},
		{"memory.init", plainType, "00 41 00 41 00 41 00 fc 08 00 00 0b", "", ""},
		{"memory.init of an unknown segment", plainType, "00 41 00 41 00 41 00 fc 08 01 00 0b", fault.GuestInvalid, "memory.init: there is no data 1"},
		{"table.copy of another type", plainType, "00 41 00 41 00 41 00 fc 0e 00 01 0b", fault.GuestInvalid, "table.copy"},
		{"table.grow", plainType, "00 d0 6f 41 00 fc 0f 01 1a 0b", "", ""},
		{"lane", plainType, "00 41 00 fd 0f fd 15 0f 1a 0b", "", ""},
		{"no such lane", plainType, "00 41 00 fd 0f fd 15 10 1a 0b", fault.GuestInvalid, "i8x16.extract_lane_s: there is no lane 16"},
		{"shuffle of lane 32", plainType, "00 00 fd 0d 0000000000000000 0000000000000020 1a 0b", fault.GuestInvalid, "lane 32"},
		{"long number of a vector instruction", plainType, "00 00 fd 8f 00 1a 0b", fault.GuestInvalid, "too long"},
		{"relaxed SIMD", plainType, "00 00 fd 80 02 1a 0b", fault.GuestFeature, "relaxed-simd"},
		{"atomics", plainType, "00 00 fe 03 00 0b", fault.GuestFeature, "threads"},
		{"gc", plainType, "00 fb 00 00 0b", fault.GuestFeature, "gc"},
		{"call_ref", plainType, "00 00 14 00 0b", fault.GuestFeature, "typed-function-references"},
		{"legacy exceptions", plainType, "00 06 40 0b 0b", fault.GuestFeature, "legacy-exceptions"},
		{"unknown", plainType, "00 ff 0b", fault.GuestInvalid, "instruction 0xff is unknown"},
		{"tail call", plainType, "00 12 00 0b", "", ""},
		{"tail call of another result", numberType + "|60 00 00", "00 41 00 13 01 00 0b", fault.GuestInvalid, "return_call_indirect: the results"},
		{"throw", plainType, "00 41 00 08 00 0b", "", ""},
		{"throw of nothing", plainType, "00 08 00 0b", fault.GuestInvalid, "throw: needs i32"},
		{"try_table", plainType, "00 02 7f 1f 40 01 00 00 00 0b 41 00 0b 1a 0b", "", ""},
		{"catch_all_ref", plainType, "00 02 69 1f 40 01 03 00 0b 00 0b 0a 0b", "", ""},
		{"catch without room", plainType, "00 1f 40 01 00 00 00 0b 0b", fault.GuestInvalid, "does not fit its label"},
	} {
		code := bodied(t, row.types, row.body)
		_, err := Judge(code, Policy{Features: AllFeatures})
		if fault.CodeOf(err) != row.want {
			t.Errorf("%s: %v, want %q", row.name, err, row.want)
		} else if err != nil && (!strings.Contains(err.Error(), row.says) || !strings.Contains(err.Error(), "function 0, offset 0x")) {
			t.Errorf("%s: says %q, want %q and the place", row.name, err, row.says)
		}
	}
}

// TestSections holds sections against the rules; each row is a module of these sections.
func TestSections(t *testing.T) {
	h := func(s string) []byte { return hexBytes(t, s) }
	types := vec(sectionType, h(plainType))
	memory := vec(sectionMemory, []byte{0, 1})
	for _, row := range []struct {
		name string
		code []byte
		want fault.Code
		says string
	}{
		{"nothing", module(), "", ""},
		{"rec group", module(vec(sectionType, h("4e 00"))), fault.GuestFeature, "gc"},
		{"typed reference", module(vec(sectionType, h("60 01 64 70 00"))), fault.GuestFeature, "typed-function-references"},
		{"unknown value type", module(vec(sectionType, h("60 01 01 00"))), fault.GuestInvalid, "0x01"},
		{"import of nobody", module(types, vec(sectionImport, h("00 01 61 00 00"))), fault.GuestInvalid, "without a name"},
		{"import, not UTF-8", module(types, vec(sectionImport, h("01 61 01 ff 00 00"))), fault.GuestInvalid, "UTF-8"},
		{"two memories", module(vec(sectionImport, h("01 61 01 61 02 00 01")), memory), fault.GuestFeature, "multi-memory"},
		{"memory64", module(vec(sectionMemory, h("04 01"))), fault.GuestFeature, "memory64"},
		{"shared memory", module(vec(sectionMemory, h("03 01 01"))), fault.GuestFeature, "threads"},
		{"memory of 65,536 pages", module(vec(sectionMemory, h("00 80 80 04"))), "", ""},
		{"memory of 65,537 pages", module(vec(sectionMemory, h("00 81 80 04"))), fault.GuestInvalid, "memory"},
		{"memory, most below least", module(vec(sectionMemory, h("01 02 01"))), fault.GuestInvalid, "memory"},
		{"table with a value", module(vec(sectionTable, h("40 00 70 00 01 d0 70 0b"))), fault.GuestFeature, "typed-function-references"},
		{"large table", module(vec(sectionTable, h("70 00 80 80 04"))), "", ""},
		{"table too large", module(vec(sectionTable, h("70 00 81 80 04"))), fault.GuestTooComplex, "table-elements is 65537, and 65536 is the most"},
		{"17 tables", module(vec(sectionTable, slices.Repeat([][]byte{{0x70, 0, 0}}, 17)...)), fault.GuestTooComplex, "tables is 17"},
		{"claims of 4 G types", module(appendSection(nil, sectionType, h("ff ff ff ff 0f"))), fault.GuestTooComplex, "types is 4294967295"},
		{"global of another type", module(vec(sectionGlobal, h("7f 00 42 00 0b"))), fault.GuestInvalid, "yield one i32"},
		{"global of a global", module(vec(sectionGlobal, h("7f 00 41 00 0b"), h("7f 00 23 00 0b"))), fault.GuestInvalid, "unknown global"},
		{"global by addition", module(vec(sectionGlobal, h("7f 00 41 00 41 01 6a 0b"))), "", ""},
		{"global of two values", module(vec(sectionGlobal, h("7f 00 41 00 41 01 0b"))), fault.GuestInvalid, "yield one i32"},
		{"start with a result", module(vec(sectionType, h(numberType)), vec(sectionFunction, []byte{0}), appendSection(nil, sectionStart, []byte{0}), vec(sectionCode, h("04 00 41 00 0b"))), fault.GuestInvalid, "start"},
		{"start of nobody", module(appendSection(nil, sectionStart, []byte{0})), fault.GuestInvalid, "start"},
		{"export of an unknown memory", module(vec(sectionExport, h("01 61 02 00"))), fault.GuestInvalid, "unknown memory"},
		{"element for an unknown table", module(vec(sectionElement, h("00 41 00 0b 00"))), fault.GuestInvalid, "unknown table"},
		{"element of unknown flags", module(vec(sectionElement, h("08"))), fault.GuestInvalid, "flags"},
		{"element of an unknown function", module(vec(sectionElement, h("01 00 01 00"))), fault.GuestInvalid, "unknown function"},
		{"all forms of elements", module(vec(sectionTable, h("70 00 00")), vec(sectionElement, h("00 41 00 0b 00"), h("01 00 00"), h("02 00 41 00 0b 00 00"), h("03 00 00"),
			h("04 41 00 0b 01 d0 70 0b"), h("05 70 01 d0 70 0b"), h("06 00 41 00 0b 70 00"), h("07 6f 01 d0 6f 0b"))), "", ""},
		{"data without memory", module(vec(sectionData, h("00 41 00 0b 00"))), fault.GuestInvalid, "no memory"},
		{"all forms of data", module(memory, vec(sectionData, h("00 41 00 0b 00"), h("01 01 61"), h("02 00 41 00 0b 00"))), "", ""},
		{"data of memory 1", module(memory, vec(sectionData, h("02 01 41 00 0b 00"))), fault.GuestFeature, "multi-memory"},
		{"data count without data", module(appendSection(nil, sectionDataCount, []byte{1})), fault.GuestInvalid, "differ in number"},
		{"data count that differs", module(memory, appendSection(nil, sectionDataCount, []byte{2}), vec(sectionData, h("01 00"))), fault.GuestInvalid, "differ in number"},
		{"tag with a result", module(vec(sectionType, h(numberType)), vec(sectionTag, h("00 00"))), fault.GuestInvalid, "results"},
		{"custom section, not UTF-8", module(appendSection(nil, sectionCustom, h("01 ff"))), fault.GuestInvalid, "UTF-8"},
		{"function without a body", module(types, vec(sectionFunction, []byte{0})), fault.GuestInvalid, "without bodies"},
		{"body without a function", module(vec(sectionCode, h("02 00 0b"))), fault.GuestInvalid, "differ in number"},
		{"ref.func undeclared", module(types, vec(sectionFunction, []byte{0}), vec(sectionCode, h("05 00 d2 00 1a 0b"))), fault.GuestInvalid, "not declared"},
		{"memory.init without a data count", module(types, vec(sectionFunction, []byte{0}), memory, vec(sectionCode, h("0a 00 00 fc 08 00 00 00 00 00 0b")), vec(sectionData, h("01 00"))), fault.GuestInvalid, "no data count"},
	} {
		_, err := Judge(row.code, Policy{Features: AllFeatures})
		if fault.CodeOf(err) != row.want || err != nil && !strings.Contains(err.Error(), row.says) {
			t.Errorf("%s: %v, want %q and %q", row.name, err, row.want, row.says)
		}
	}
}

// TestFeaturesAreSwitches takes away one feature after the other from code that uses it.
func TestFeaturesAreSwitches(t *testing.T) {
	uses := map[Features][]byte{
		SignExtension:        bodied(t, plainType, "00 41 00 c0 1a 0b"),
		SaturatingConversion: bodied(t, plainType, "00 43 00 00 00 00 fc 00 1a 0b"),
		MultiValue:           bodied(t, plainType, "00 02 00 0b 0b"),
		SIMD:                 bodied(t, plainType, "01 01 7b 0b"),
		TailCalls:            bodied(t, plainType, "00 12 00 0b"),
		Exceptions:           bodied(t, plainType, "00 0b"),
		BulkMemory:           module(appendSection(nil, sectionDataCount, []byte{0})),
		ReferenceTypes:       module(vec(sectionTable, hexBytes(t, "6f 00 00"))),
		MutableGlobals:       module(vec(sectionGlobal, hexBytes(t, "7f 01 41 00 0b")), vec(sectionExport, hexBytes(t, "01 67 03 00"))),
		ExtendedConst:        module(vec(sectionGlobal, hexBytes(t, "7f 01 41 00 41 00 6a 0b"))),
	}
	for f := Features(1); f <= Exceptions; f <<= 1 {
		m, err := Judge(uses[f], Policy{Features: AllFeatures})
		if err != nil || m.Shape.Features&f == 0 {
			t.Errorf("%s: %v", f, err)
			continue
		}
		less := Policy{Features: AllFeatures &^ f}
		_, err = Judge(uses[f], less)
		if !errors.Is(err, fault.GuestFeature) || !strings.Contains(err.Error(), f.String()) {
			t.Errorf("without %s: %v", f, err)
		}
		if within := m.Shape.Within(less); !errors.Is(within, fault.GuestFeature) || !strings.Contains(within.Error(), f.String()) {
			t.Errorf("recorded, without %s: %v", f, within)
		}
	}
	if _, err := Judge(uses[TailCalls], Policy{}); !errors.Is(err, fault.GuestFeature) {
		t.Errorf("tail calls by default: %v", err)
	}
}

// TestCutAnywhereIsJudged cuts modules at each byte, and damages each: there is always a verdict that blames the guest.
func TestCutAnywhereIsJudged(t *testing.T) {
	for _, name := range []string{"exit", "memhog", "adder"} {
		code := guest(t, name)
		if _, err := Judge(code, Policy{}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		whole := map[int]bool{8: true}
		m, err := Scan(code)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range m.sections {
			whole[s.off+len(s.payload)] = true
		}
		for n := range code {
			_, err := Judge(code[:n], Policy{})
			if err == nil && !whole[n] || err != nil && fault.From(err).Class != fault.Guest {
				t.Errorf("%s cut at %d: %v", name, n, err)
			}
			for _, damage := range []byte{0x00, 0x0b, 0x7f, 0x80, 0xff, code[n] ^ 1} {
				bad := bytes.Clone(code)
				bad[n] = damage
				if _, err := Judge(bad, Policy{}); err != nil && fault.From(err).Class != fault.Guest {
					t.Errorf("%s with %#x at %d: %v", name, damage, n, err)
				}
			}
		}
	}
}
