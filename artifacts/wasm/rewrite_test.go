package wasm

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/troupehost/troupe/actors/fault"
)

func text(s string) []byte { return append(binary.AppendUvarint(nil, uint64(len(s))), s...) }

func module(sections ...[]byte) []byte {
	return append([]byte("\x00asm\x01\x00\x00\x00"), slices.Concat(sections...)...)
}

func custom(name string, size int) []byte {
	return appendSection(nil, sectionCustom, append(text(name), make([]byte, size)...))
}

func rewritten(t *testing.T, code []byte) *Module {
	t.Helper()
	m, err := Scan(code)
	if err != nil {
		t.Fatal(err)
	}
	moved, err := Scan(m.MemoryImportToExport(code))
	if err != nil {
		t.Fatal(err)
	}
	return moved
}

func TestTablesGetMaxima(t *testing.T) {
	const huge = 1<<32 - 1
	max32 := []byte{0xff, 0xff, 0xff, 0xff, 0x0f}
	code := module(custom("a", 3), appendSection(nil, sectionTable, slices.Concat(
		[]byte{4, 0x70, 0, 10}, []byte{0x6f, 1, 0, 5}, slices.Concat([]byte{0x70, 1, 20}, max32), []byte{0x70, 0, 30})))
	for most, want := range map[uint64][]uint64{
		100: {20, 5, 30, 40}, 63: {10, 0, 20, 30}, 0: {10, 0, 20, 30}, 1 << 40: {huge, 5, huge, huge},
	} {
		m, err := Scan(code)
		if err != nil {
			t.Fatal(err)
		}
		if m, err = Scan(m.LimitTables(code, most)); err != nil {
			t.Fatal(err)
		}
		var got []uint64
		for i, l := range m.Tables {
			got = append(got, l.Max)
			if !l.HasMax || l.Min != []uint64{10, 0, 20, 30}[i] {
				t.Errorf("%d: %+v", most, l)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%d: %d, want %d", most, got, want)
		}
	}
}

// TestMemoryRewriteMakesItsPlaces covers the modules that lack the sections which the rewrite needs.
func TestMemoryRewriteMakesItsPlaces(t *testing.T) {
	memory := slices.Concat(text("env"), text("memory"), []byte{byte(Memory), 1, 2, 9})
	onlyMemory := appendSection(nil, sectionImport, append([]byte{1}, memory...))
	for name, code := range map[string][]byte{
		"nothing else":       module(onlyMemory),
		"custom sections":    module(custom("a", 3), onlyMemory, custom("b", 0)),
		"a global behind it": module(onlyMemory, appendSection(nil, sectionGlobal, []byte{1, 0x7f, 0, 0x41, 0, 0x0b})),
		"exports of its own": module(onlyMemory, appendSection(nil, sectionExport, slices.Concat([]byte{1}, text("mem"), []byte{byte(Memory), 0}))),
		"a table before it": module(onlyMemory, appendSection(nil, sectionTable, []byte{1, 0x70, 0, 0}),
			appendSection(nil, sectionData, []byte{1, 0, 0x41, 0, 0x0b, 1, 'x'})),
	} {
		m := rewritten(t, code)
		if len(m.Imports) != 0 || len(m.Memories) != 1 || m.Memories[0].Min != 2 || m.Memories[0].Max != 9 {
			t.Errorf("%s: imports %+v, memories %+v", name, m.Imports, m.Memories)
		}
		if !slices.Contains(m.Exports, Export{Name: "memory", Kind: Memory}) {
			t.Errorf("%s: exports %+v", name, m.Exports)
		}
	}
	named := module(onlyMemory, appendSection(nil, sectionExport, slices.Concat([]byte{1}, text("memory"), []byte{byte(Memory), 0})))
	if m := rewritten(t, named); len(m.Exports) != 1 || len(m.Memories) != 1 {
		t.Errorf("a module that exports it already: %+v", m)
	}
}

func TestSkeletonDropsCustomSections(t *testing.T) {
	plain := module(appendSection(nil, sectionMemory, []byte{1, 0, 1}))
	code := slices.Concat(plain, custom("name", 100), custom("producers", 1), custom(".debug_info", 5000), custom(SymbolSection, 5))
	m, err := Scan(code)
	if err != nil {
		t.Fatal(err)
	}
	if got := m.Skeleton(code, nil, SkeletonOptions{}); !bytes.Equal(got, plain) {
		t.Errorf("%q is left, want %q", got, plain)
	}
	want := newSymbols(m, code)
	bones, err := Scan(m.Skeleton(code, want, SkeletonOptions{}))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := bones.Symbols(); err != nil || !bytes.Equal(got.Encode(), want.Encode()) {
		t.Errorf("symbols %q, %v; want %q", got.Encode(), err, want.Encode())
	}
}

func TestSkeletonEmptiesActiveData(t *testing.T) {
	active, far := []byte{0, 0x41, 4, 0x0b, 2, 'h', 'i'}, []byte{2, 0, 0x23, 0, 0x0b, 1, 'x'}
	sum := []byte{0, 0x41, 0x84, 0x80, 0, 0x41, 1, 0x6a, 0x0b, 1, 'y'}
	passive, broken := []byte{1, 3, 'a', 'b', 'c'}, []byte{0, 0x0f, 0x0b, 0}
	data := func(n byte, segments ...[]byte) []byte {
		return appendSection(nil, sectionData, append([]byte{n}, slices.Concat(segments...)...))
	}
	count := func(n byte) []byte { return appendSection(nil, sectionDataCount, []byte{n}) }
	noActive, noFar, noSum := []byte{0, 0x41, 4, 0x0b, 0}, []byte{2, 0, 0x23, 0, 0x0b, 0}, []byte{0, 0x41, 0x84, 0x80, 0, 0x41, 1, 0x6a, 0x0b, 0}
	for name, row := range map[string]struct{ code, want []byte }{
		"active only":             {data(2, active, far), nil},
		"none":                    {data(0), nil},
		"with a passive one":      {data(3, active, passive, sum), data(3, noActive, passive, noSum)},
		"with a count":            {slices.Concat(count(2), data(2, far, active)), slices.Concat(count(2), data(2, noFar, noActive))},
		"that cannot be read":     {data(2, broken, active), data(2, broken, active)},
		"with bytes after it":     {data(1, active, passive), data(1, active, passive)},
		"of an unknown kind":      {data(1, []byte{3, 0x41, 0, 0x0b, 0}), data(1, []byte{3, 0x41, 0, 0x0b, 0})},
		"without an end":          {data(1, []byte{0, 0x41}), data(1, []byte{0, 0x41})},
		"with more than is there": {data(1, []byte{0, 0x41, 0, 0x0b, 9}), data(1, []byte{0, 0x41, 0, 0x0b, 9})},
	} {
		memory := appendSection(nil, sectionMemory, []byte{1, 0, 1})
		code := module(memory, row.code)
		m, err := Scan(code)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := m.Skeleton(code, nil, SkeletonOptions{EmptyData: true}), module(memory, row.want); !bytes.Equal(got, want) {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
		if got := m.Skeleton(code, nil, SkeletonOptions{}); !bytes.Equal(got, code) {
			t.Errorf("%s, kept: %q, want %q", name, got, code)
		}
	}
}

// TestLongTypesAreSpelledOnce: a type of many parameters that many imports share takes memory once.
func TestLongTypesAreSpelledOnce(t *testing.T) {
	const params, imports = 20_000, 2_000 // spelled each time this would be 200 MB
	types := slices.Concat([]byte{1, 0x60}, binary.AppendUvarint(nil, params), bytes.Repeat([]byte{0x7f}, params), []byte{0})
	list := binary.AppendUvarint(nil, imports)
	for range imports {
		list = append(list, 0, 0, byte(Func), 0)
	}
	code := module(appendSection(nil, sectionType, types), appendSection(nil, sectionImport, list))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	m, err := Scan(code)
	runtime.ReadMemStats(&after)
	if err != nil || len(m.Imports) != imports || !strings.HasPrefix(m.Imports[1].Desc, "(i32, i32,") {
		t.Fatalf("%v", err)
	}
	if took := after.TotalAlloc - before.TotalAlloc; took > 8<<20 {
		t.Errorf("took %d bytes for a module of %d", took, len(code))
	}
}

// TestManyExportsOfManyFunctions would take minutes if each export were looked up among the imports.
func TestManyExportsOfManyFunctions(t *testing.T) {
	const n = 200_000
	imports, exports := binary.AppendUvarint(nil, n), binary.AppendUvarint(nil, n)
	for i := range n {
		imports = append(imports, 0, 0, byte(Func), 0)
		exports = binary.AppendUvarint(append(exports, slices.Concat(text(string(rune(0x10000+i))), []byte{byte(Func)})...), n-1)
	}
	m, err := Scan(module(appendSection(nil, sectionType, []byte{1, 0x60, 0, 0}), appendSection(nil, sectionImport, imports), appendSection(nil, sectionExport, exports)))
	if err != nil {
		t.Fatal(err)
	}
	if got := m.ExportType(m.Exports[n-1]); got != "() -> ()" {
		t.Errorf("type %q", got)
	}
}

// TestLargeHonestCodeInflates: a frame that keeps all of its content in one window is no bomb as long as it fits the limit.
func TestLargeHonestCodeInflates(t *testing.T) {
	plain := make([]byte, 40<<20)
	rnd := rand.New(rand.NewPCG(1, 2))
	for i := 0; i < len(plain); i += 4096 {
		plain[i] = byte(rnd.Uint32())
	}
	enc, err := zstd.NewWriter(nil, zstd.WithSingleSegment(true), zstd.WithEncoderConcurrency(1))
	if err != nil {
		t.Fatal(err)
	}
	packed := enc.EncodeAll(plain, bytes.Clone(CompressedPrefix))
	if got, err := Inflate(packed, 64<<20); err != nil || !bytes.Equal(got, plain) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	if _, err := Inflate(packed, 40<<20-1); !errors.Is(err, fault.GuestDecompressionBomb) {
		t.Errorf("a byte over the limit: %v", err)
	}
}

// FuzzInflate: nothing inflates beyond the limit, and whatever is refused blames the guest.
func FuzzInflate(f *testing.F) {
	enc, err := zstd.NewWriter(nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(enc.EncodeAll(make([]byte, 100_000), bytes.Clone(CompressedPrefix)))
	f.Add(enc.EncodeAll([]byte("hello"), bytes.Clone(CompressedPrefix)))
	const limit = 64 << 10
	f.Fuzz(func(t *testing.T, code []byte) {
		got, err := Inflate(append(bytes.Clone(CompressedPrefix), code...), limit)
		if err != nil && fault.From(err).Class != fault.Guest || len(got) > limit {
			t.Fatalf("%d bytes, %v", len(got), err)
		}
	})
}
