package wasm

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/troupehost/troupe/actors/fault"
)

// TestCapsHoldToTheUnit judges code that uses each cap up to a known amount, with that cap and with one less.
func TestCapsHoldToTheUnit(t *testing.T) {
	h := func(s string) []byte { return hexBytes(t, s) }
	body := func(s string) []byte { return bodied(t, "60 00 00|60 02 7f 7f 01 7f", s) }
	types := vec(sectionType, h(plainType))
	blocks := func(n int) []byte { return bytes.Repeat(h("02 40 0b"), n) }
	twice := func(n int, parts ...[]byte) []byte { // n functions with the same body
		b := append(slices.Concat(parts...), opEnd)
		b = append(binary.AppendUvarint(nil, uint64(len(b))), b...)
		return module(types, vec(sectionFunction, slices.Repeat([][]byte{{0}}, n)...), vec(sectionCode, slices.Repeat([][]byte{b}, n)...))
	}
	for _, row := range []struct {
		name  string
		has   int
		code  []byte
		place string
	}{
		{"body-bytes", 4, body("00 01 01 0b"), "offset 0x"},
		{"control-ops", 6, body("00 02 40 0c 00 0b 03 40 0b 41 00 04 40 05 0b 0f 0b"), "function 0, offset 0x"},
		{"locals", 7, body("02 03 7f 04 7e 0b"), "function 0, offset 0x"},
		{"branch-targets", 5, body("00 41 00 0e 02 00 00 00 41 00 0e 03 00 00 00 00 0b"), "function 0, offset 0x"},
		{"nesting", 3, body("00 02 40 03 40 02 40 0b 0b 0b 02 40 0b 0b"), "function 0, offset 0x"},
		// 9 * 2 * 16; with two loops in each other 9 * (2 * (16 + 32) + 2 * 2 * 3); with targets and 20 locals 400 * ((2 + 2) * (16 + 20) + 2 * 20).
		{"phi-work", 288, body("01 03 7f 02 40 0b 02 40 0b 0b"), "function 0, offset 0x"},
		{"phi-work", 972, body("01 03 7f 03 40 03 40 0b 0b 0b"), "function 0, offset 0x"},
		{"phi-work", 73600, body("01 14 7f 41 00 0e 02 00 00 00 03 40 0b 0b"), "function 0, offset 0x"},
		// Behind br_if the chain is 1: 8 bytes look up 4, and at the end 2 locals are found.
		{"lookups", 6, body("01 02 7f 02 40 41 00 0d 00 01 01 01 01 01 01 0b 0b"), "function 0, offset 0x"},
		// In both arms the chain is 1: 2 bytes, and 2 locals at the end of the first and at the branch; then 2 bytes of that.
		{"lookups", 6, body("01 02 7f 41 00 04 40 05 0c 00 0b 0b"), "function 0, offset 0x"},
		// 4 bytes and 2 locals with a chain of 1, 2 bytes and 2 locals with one of 2, up to the head of the loop.
		{"lookups", 10, body("01 02 7f 41 00 0d 00 41 00 0d 00 03 40 0b 0b"), "function 0, offset 0x"},
		// 4 bytes, each target of a br_table, once more each block, and the 6 bytes that nothing reaches.
		{"lookups", 13, body("01 02 7f 41 00 0d 00 41 00 0e 03 00 00 00 00 0b"), "function 0, offset 0x"},
		{"params", 3, module(vec(sectionType, h("60 01 7f 03 7f 7f 7f"))), "offset 0x"},
		{"carried", 6, body("00 41 00 41 00 02 01 41 00 0d 00 6a 0b 02 40 02 7f 41 00 0c 00 0b 1a 0b 1a 0b"), "function 0, offset 0x"},
		{"functions", 2, module(types, vec(sectionFunction, []byte{0}, []byte{0}), vec(sectionCode, h("02 00 0b"), h("02 00 0b"))), "offset 0x"},
		{"types", 2, module(vec(sectionType, h(plainType), h(plainType))), "offset 0x"},
		{"imports", 2, module(types, vec(sectionImport, h("01 61 01 61 00 00"), h("01 61 01 61 00 00"))), "offset 0x"},
		{"exports", 2, module(vec(sectionMemory, []byte{0, 1}), vec(sectionExport, h("01 61 02 00"), h("01 62 02 00"))), "offset 0x"},
		{"global-functions", 4, module(types, vec(sectionFunction, []byte{0}, []byte{0}), vec(sectionGlobal, h("7f 00 41 00 0b"), h("7f 00 41 00 0b")),
			vec(sectionCode, h("02 00 0b"), h("02 00 0b"))), "offset 0x"},
		{"globals", 2, module(vec(sectionImport, h("01 61 01 61 03 7f 00")), vec(sectionGlobal, h("7f 00 41 00 0b"))), "offset 0x"},
		{"tables", 2, module(vec(sectionImport, h("01 61 01 61 01 70 00 00")), vec(sectionTable, h("70 00 00"))), "offset 0x"},
		{"table-elements", 7, module(vec(sectionImport, h("01 61 01 61 01 70 00 03")), vec(sectionTable, h("70 00 04"))), "offset 0x"},
		{"segments", 3, module(vec(sectionData, h("01 00"), h("01 00"), h("01 00"))), "offset 0x"},
		{"type-values", 5, module(vec(sectionType, h("60 01 7f 03 7f 7f 7f"), h("60 00 01 7f"))), "offset 0x"},
		{"segment-elements", 3, module(types, vec(sectionFunction, []byte{0}), vec(sectionElement, h("01 00 02 00 00"), h("01 00 01 00")), vec(sectionCode, h("02 00 0b"))), "offset 0x"},
		// The sums, less what the bytes behind the number of functions pay for.
		{"control-squares", 400*400 - 1204*squaresPerByte, twice(1, h("00"), blocks(400)), "function 0, offset 0x"},
		{"control-squares", 2*400*400 - 2*1204*squaresPerByte, twice(2, h("00"), blocks(400)), "function 1, offset 0x"},
		{"total-phi-work", 20*20*16*400 - 1206*phiWorkPerByte, twice(1, h("01 14 7f"), blocks(400)), "function 0, offset 0x"},
		{"total-lookups", 12, twice(2, h("01 02 7f 02 40 41 00 0d 00 01 01 01 01 01 01 0b"), nil), "function 1, offset 0x"},
		{"total-branch-targets", 6, twice(2, h("00 41 00 0e 03 00 00 00 00"), nil), "function 1, offset 0x"},
		{"total-carried", 4, twice(2, h("00 02 7f 41 00 0c 00 0b 1a"), nil), "function 1, offset 0x"},
	} {
		i := slices.Index(capNames[:], row.name)
		policy := func(limit int) Policy {
			p := Policy{Features: AllFeatures}
			*p.Caps.fields()[i] = limit
			return p
		}
		m, err := Judge(row.code, policy(row.has))
		if err != nil {
			t.Errorf("%s, as many as there are: %v", row.name, err)
			continue
		}
		if got := *m.Shape.fields()[i]; got != row.has {
			t.Errorf("%s: measured %d, want %d", row.name, got, row.has)
		}
		if row.has == 1 {
			continue
		}
		want := fmt.Sprintf("%s is %d, and %d is the most", row.name, row.has, row.has-1)
		_, err = Judge(row.code, policy(row.has-1))
		if !errors.Is(err, fault.GuestTooComplex) || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), row.place) {
			t.Errorf("%s: %v, want %q at %q", row.name, err, want, row.place)
		}
		within := m.Shape.Within(policy(row.has - 1))
		if !errors.Is(within, fault.GuestTooComplex) || !strings.Contains(within.Error(), want) {
			t.Errorf("%s: recorded: %v, want %q", row.name, within, want)
		}
		if err := m.Shape.Within(policy(row.has)); err != nil {
			t.Errorf("%s: recorded, as many as there are: %v", row.name, err)
		}
	}
}

// TestDefaultsAreComplete: a cap that is forgotten in the defaults would refuse everything.
func TestDefaultsAreComplete(t *testing.T) {
	d := DefaultCaps()
	for i, f := range d.fields() {
		if *f <= 0 {
			t.Errorf("%s is %d", capNames[i], *f)
		}
	}
	if got := (Caps{Locals: 7, Nesting: -1}).withDefaults(); got.Locals != 7 || got.Nesting != d.Nesting || got.Types != d.Types {
		t.Errorf("%+v", got)
	}
}

// wideFunction returns a module whose function holds a body, with a type of n values as parameters and results (1), and as results (2).
func wideFunction(n int, body []byte) []byte {
	values := append(binary.AppendUvarint(nil, uint64(n)), bytes.Repeat([]byte{typeI32}, n)...)
	return module(vec(sectionType, []byte{0x60, 0, 0}, slices.Concat([]byte{0x60}, values, values), slices.Concat([]byte{0x60, 0}, values)),
		vec(sectionImport, []byte{1, 'a', 1, 'b', 0, 2}), vec(sectionFunction, []byte{0}),
		vec(sectionCode, append(binary.AppendUvarint(nil, uint64(len(body))), body...)))
}

// TestBombsAreRefused: code that is small and takes the engine long.
func TestBombsAreRefused(t *testing.T) {
	rep := func(n int, b ...byte) []byte { return bytes.Repeat(b, n) }
	function := func(parts ...[]byte) []byte { return wideFunction(1000, slices.Concat(parts...)) }
	for _, row := range []struct {
		name, cap string
		code      []byte
	}{
		{"if-diamonds", "control-ops", function(rep(1, 0), rep(20_000, 0x41, 0, 4, 0x40, 5, 0x0b), rep(1, 0x0b))},
		{"nested blocks", "nesting", function(rep(1, 0), rep(8000, 2, 0x40), rep(8000, 0x0b), rep(1, 0x0b))},
		{"br_table", "branch-targets", function([]byte{0, 0x41, 0, 0x0e}, binary.AppendUvarint(nil, 100_000), rep(100_001, 0), rep(1, 0x0b))},
		{"locals times diamonds", "phi-work", function([]byte{1}, binary.AppendUvarint(nil, 500), []byte{0x7f}, rep(4000, 0x41, 0, 4, 0x40, 0x0b), rep(1, 0x0b))},
		{"a long body", "body-bytes", function(rep(1, 0), rep(1<<20, 1), rep(1, 0x0b))},
		{"calls of many results", "carried", function(rep(1, 0), rep(1000, 0x10, 0), []byte{0, 0x0b})},
		{"loops of many parameters", "carried", function([]byte{0, 0x10, 0}, rep(1000, 3, 1, 0x0b), []byte{0, 0x0b})},
		{"br_table of many values", "carried", function([]byte{0, 2, 2, 0x10, 0, 0x41, 0, 0x0e}, binary.AppendUvarint(nil, 1000), rep(1001, 0), []byte{0x0b, 0, 0x0b})},
	} {
		_, err := Judge(row.code, Policy{})
		if !errors.Is(err, fault.GuestTooComplex) || !strings.Contains(err.Error(), ": "+row.cap+" is ") {
			t.Errorf("%s: %v, want %s", row.name, err, row.cap)
		}
	}
}

// TestJudgeTakesLittleMemory judges claims, and a real module.
func TestJudgeTakesLittleMemory(t *testing.T) {
	real := guest(t, "go-hello")
	for name, code := range map[string][]byte{
		"a real module":         real,
		"claims of 65,535":      module(appendSection(nil, sectionType, []byte{0xff, 0xff, 3}), make([]byte, 0)),
		"many custom sections":  module(bytes.Repeat([]byte{0, 1, 0}, len(real)/3)),
		"results upon results":  wideFunction(1000, slices.Concat([]byte{0}, bytes.Repeat([]byte{0x10, 0}, 30_000), []byte{0, 0x0b})),
		"many small signatures": module(appendSection(nil, sectionType, append(binary.AppendUvarint(nil, 16_384), bytes.Repeat([]byte{0x60, 0, 0}, 16_384)...))),
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := Judge(code, Policy{})
		runtime.ReadMemStats(&after)
		if took := after.TotalAlloc - before.TotalAlloc; took > 6<<20 {
			t.Errorf("%s: took %d bytes for %d (%v)", name, took, len(code), err)
		}
	}
}

// TestHeights checks what a plan reads behind a body: the highest stack and the slots, in values.
func TestHeights(t *testing.T) {
	for _, row := range []struct {
		body        string
		high, slots int
	}{
		{"00 0b", 0, 0},
		{"00 41 00 41 00 41 00 6a 6a 1a 0b", 3, 0},
		{"01 02 7f 20 00 22 01 1a 0b", 1, 2},
		{"02 01 7b 01 7f 20 00 fd 4d 21 00 0b", 2, 3},
		{"01 01 7b 20 00 20 00 fd 4e 20 00 fd 4e 1a 0b", 4, 2},
		{"00 41 00 fd 0f fd 53 1a 41 00 fd 0f 1a 41 00 41 00 1a 1a 0b", 2, 0}, // a v128 that is gone counts no more
		{"00 00 fd 4e fd 4e 1a 41 00 41 00 1a 1a 0b", 2, 0},                   // operands that are not there count nothing
		{"00 41 00 02 40 41 00 41 00 0c 00 0b 1a 0b", 3, 0},
		{"00 02 7b 41 00 fd 0f 0b fd 53 04 40 0b 0b", 2, 0},
	} {
		code := bodied(t, plainType, row.body)
		v := newValidator(code, Policy{Features: AllFeatures}, nil)
		if err := v.m.split(code, true); err != nil {
			t.Fatal(err)
		}
		for _, s := range v.m.sections {
			if err := v.section(s); err != nil {
				t.Fatalf("%s: %v", row.body, err)
			}
		}
		if v.high != row.high || v.slots() != row.slots || v.wide != 0 {
			t.Errorf("%s: height %d, slots %d, %d wide operands left; want %d, %d, 0", row.body, v.high, v.slots(), v.wide, row.high, row.slots)
		}
	}
}

func TestOpName(t *testing.T) {
	for want, got := range map[string]string{
		"i32.add": OpName(0, 0x6a), "memory.copy": OpName(prefixMisc, 10), "f64x2.convert_low_i32x4_u": OpName(prefixVector, 255),
		"instruction 0xff": OpName(0, 0xff), "instruction 0xfd 0x100": OpName(prefixVector, 256), "i64x2.mul": OpName(prefixVector, 0xd5),
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
