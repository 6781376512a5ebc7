package wasm

import (
	"bytes"
	"slices"
	"testing"
)

// segmentAt is an active segment at an address.
func segmentAt(at int, content string) []byte {
	b := []byte{0, opI32Const}
	for n := int64(int32(uint32(at))); ; n >>= 7 {
		if c := byte(n & 0x7f); n>>7 == 0 && c&0x40 == 0 || n>>7 == -1 && c&0x40 != 0 {
			b = append(b, c)
			break
		} else {
			b = append(b, c|0x80)
		}
	}
	return append(appendU32(append(b, opEnd), uint32(len(content))), content...)
}

func TestImage(t *testing.T) {
	passive, sum := []byte{1, 1, 'p'}, []byte{0, 0x41, 0, 0x41, 1, 0x6a, 0x0b, 1, 'y'}
	named, indexed := []byte{0, 0x23, 0, 0x0b, 1, 'x'}, []byte{2, 0, 0x41, 3, 0x0b, 1, 'i'}
	const most = 2 << 16
	for name, row := range map[string]struct {
		segments [][]byte
		at       uint64
		want     string
		ok       bool
	}{
		"none":                    {nil, 0, "", false},
		"passive alone":           {[][]byte{passive}, 0, "", false},
		"one":                     {[][]byte{segmentAt(4, "hi")}, 0, "\x00\x00\x00\x00hi", true},
		"the later one wins":      {[][]byte{segmentAt(0, "abc"), passive, segmentAt(1, "XY")}, 0, "aXY", true},
		"the lower one later":     {[][]byte{segmentAt(8192, "b"), segmentAt(8190, "a")}, 4096, string(make([]byte, 4094)) + "a\x00b", true},
		"at a page":               {[][]byte{segmentAt(65536, "p")}, 65536, "p", true},
		"zeros behind":            {[][]byte{segmentAt(0, "a\x00\x00")}, 0, "a", true},
		"nothing but zeros":       {[][]byte{segmentAt(70000, "\x00\x00")}, 69632, "", true},
		"empty":                   {[][]byte{segmentAt(9, "")}, 0, "", true},
		"empty at the end":        {[][]byte{segmentAt(most, "")}, 0, "", true},
		"empty beyond the end":    {[][]byte{segmentAt(most+1, "")}, 0, "", false},
		"up to the end":           {[][]byte{segmentAt(most-1, "e")}, most - 4096, string(make([]byte, 4095)) + "e", true},
		"beyond the end":          {[][]byte{segmentAt(0, "a"), segmentAt(most-1, "ee")}, 0, "", false},
		"below zero":              {[][]byte{segmentAt(-1, "a")}, 0, "", false},
		"with an index of memory": {[][]byte{indexed}, 0, "\x00\x00\x00i", true},
		"a global":                {[][]byte{segmentAt(0, "a"), named}, 0, "", false},
		"a sum":                   {[][]byte{sum}, 0, "", false},
	} {
		code := module(appendSection(nil, sectionMemory, []byte{1, 0, 2}),
			appendSection(nil, sectionData, append([]byte{byte(len(row.segments))}, slices.Concat(row.segments...)...)))
		m, err := Scan(code)
		if err != nil {
			t.Fatal(err)
		}
		if got, ok := m.Image(); ok != row.ok || ok && (got.At != row.at || string(got.Bytes) != row.want) {
			t.Errorf("%s: %d %q %v, want %d %q %v", name, got.At, got.Bytes, ok, row.at, row.want, row.ok)
		}
	}
}

// TestImagesHaveNoLargeGaps: a byte at each end of a memory is not worth all that is between.
func TestImagesHaveNoLargeGaps(t *testing.T) {
	for gap, want := range map[int]bool{imageRoom - 1: true, imageRoom + 8: false} {
		code := module(appendSection(nil, sectionMemory, []byte{1, 0, 32}),
			appendSection(nil, sectionData, slices.Concat([]byte{2}, segmentAt(0, "a"), segmentAt(gap, "b"))))
		m, err := Scan(code)
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := m.Image(); ok != want {
			t.Errorf("a gap of %d: %v", gap, ok)
		}
	}
}

// TestSkeletonExportsTheStart: the start function can be called by name, and nobody calls it unasked.
func TestSkeletonExportsTheStart(t *testing.T) {
	types, functions := appendSection(nil, sectionType, []byte{1, 0x60, 0, 0}), appendSection(nil, sectionFunction, []byte{1, 0})
	start, bodies := appendSection(nil, sectionStart, []byte{0}), appendSection(nil, sectionCode, []byte{1, 3, 0, 0, 0x0b})
	exports := func(items ...[]byte) []byte {
		return appendSection(nil, sectionExport, append([]byte{byte(len(items))}, slices.Concat(items...)...))
	}
	f := append(appendName(nil, "f"), byte(Func), 0)
	added := append(appendName(nil, StartExport), byte(Func), 0)
	for name, row := range map[string]struct{ code, want []byte }{
		"with a start": {module(types, functions, exports(f), start, bodies), module(types, functions, exports(f, added), bodies)},
		"without":      {module(types, functions, exports(f), bodies), module(types, functions, exports(f), bodies)},
		"no exports":   {module(types, functions, start, bodies), module(types, functions, start, bodies)},
	} {
		m, err := Scan(row.code)
		if err != nil {
			t.Fatal(err)
		}
		if got := m.Skeleton(row.code, nil, SkeletonOptions{ExportStart: true}); !bytes.Equal(got, row.want) {
			t.Errorf("%s: %q, want %q", name, got, row.want)
		}
	}
}
