package wasm

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/troupehost/troupe/actors/fault"
)

// named is the name map of these names, in the order given.
func named(entries ...any) []byte {
	b := binary.AppendUvarint(nil, uint64(len(entries)/2))
	for i := 0; i < len(entries); i += 2 {
		b = append(binary.AppendUvarint(b, uint64(entries[i].(int))), text(entries[i+1].(string))...)
	}
	return b
}

func subsection(id byte, payload []byte) []byte {
	return append(binary.AppendUvarint([]byte{id}, uint64(len(payload))), payload...)
}

func nameSection(parts ...[]byte) []byte {
	return appendSection(nil, sectionCustom, append(text("name"), slices.Concat(parts...)...))
}

// functions is a module with an imported function and n defined ones; the last one is exported as "run".
func functions(n int, extra ...[]byte) []byte {
	imports := slices.Concat([]byte{2}, text("env"), text("memory"), []byte{byte(Memory), 0, 1}, text("env"), text("log"), []byte{byte(Func), 0})
	count := binary.AppendUvarint(nil, uint64(n))
	export := slices.Concat([]byte{1}, text("run"), binary.AppendUvarint([]byte{byte(Func)}, uint64(n)))
	return module(slices.Concat([][]byte{
		appendSection(nil, sectionType, []byte{1, 0x60, 0, 0}),
		appendSection(nil, sectionImport, imports),
		appendSection(nil, sectionFunction, append(slices.Clone(count), make([]byte, n)...)),
		appendSection(nil, sectionExport, export),
		appendSection(nil, sectionCode, append(slices.Clone(count), bytes.Repeat([]byte{2, 0, 0x0b}, n)...)),
	}, extra)...)
}

func symbolsOf(t testing.TB, code []byte) *Symbols {
	t.Helper()
	m, err := Scan(code)
	if err != nil {
		t.Fatal(err)
	}
	made := newSymbols(m, code)
	read, err := DecodeSymbols(made.Encode())
	if err != nil {
		t.Fatal(err)
	}
	for i := range uint32(len(m.functions) + 2) { // what is decoded says the same
		name, offset, ok := made.Name(i)
		if n, o, k := read.Name(i); n != name || o != offset || k != ok {
			t.Fatalf("function %d is %q at %d, %v; decoded %q at %d, %v", i, name, offset, ok, n, o, k)
		}
	}
	return read
}

func TestSymbolsChooseNames(t *testing.T) {
	for what, row := range map[string]struct {
		section []byte
		want    [4]string
	}{
		"no names":             {nil, [4]string{"env.log", "", "", "run"}},
		"all names":            {nameSection(subsection(0, text("m")), subsection(1, named(0, "a", 1, "b", 2, "c", 3, "d"))), [4]string{"a", "b", "c", "d"}},
		"some names":           {nameSection(subsection(1, named(1, "b", 3, "")), subsection(2, []byte{0xff})), [4]string{"env.log", "b", "", "run"}},
		"beyond the functions": {nameSection(subsection(1, named(2, "c", 70, "x"))), [4]string{"env.log", "", "c", "run"}},
		"not ascending":        {nameSection(subsection(1, named(1, "b", 1, "c"))), [4]string{"env.log", "", "", "run"}},
		"too few":              {nameSection(subsection(1, []byte{9, 1, 1, 'b'})), [4]string{"env.log", "", "", "run"}},
		"too many":             {nameSection(subsection(1, append(named(1, "b"), 0))), [4]string{"env.log", "", "", "run"}},
		"cut":                  {nameSection([]byte{1, 9, 1}), [4]string{"env.log", "", "", "run"}},
		"another subsection":   {nameSection(subsection(7, named(1, "b"))), [4]string{"env.log", "", "", "run"}},
	} {
		extra := [][]byte{custom("producers", 3)}
		if row.section != nil {
			extra = append(extra, row.section)
		}
		code := functions(3, extra...)
		s := symbolsOf(t, code)
		for i, want := range row.want {
			name, offset, ok := s.Name(uint32(i))
			if name != want || !ok {
				t.Errorf("%s: function %d is %q, %v; want %q", what, i, name, ok, want)
			}
			if i == 0 && offset != 0 || i > 0 && (code[offset-1] != 2 || code[offset] != 0 || code[offset+1] != 0x0b) {
				t.Errorf("%s: function %d at %d", what, i, offset)
			}
		}
		for _, i := range []uint32{4, math.MaxUint32} {
			if _, _, ok := s.Name(i); ok {
				t.Errorf("%s: there is a function %d", what, i)
			}
		}
	}
	var none *Symbols
	if _, _, ok := none.Name(0); ok || none.Encode() != nil {
		t.Error("no symbols name something")
	}
}

func TestSymbolsOfRealCode(t *testing.T) {
	found := map[string]bool{}
	s := symbolsOf(t, guest(t, "kernels"))
	for i := uint32(0); ; i++ {
		name, _, ok := s.Name(i)
		if !ok {
			break
		}
		found[name] = true
	}
	for _, want := range []string{"fib_", "fib", "interpreter"} {
		if !found[want] {
			t.Errorf("no %s among %v", want, found)
		}
	}
	s = symbolsOf(t, guest(t, "go-hello"))
	if got := testing.AllocsPerRun(10, func() { s.Name(1000) }); got > 1 {
		t.Errorf("a look-up allocates %v times", got)
	}
}

// TestSymbolsAreBounded: the longest names are cut first, then all of them go, then functions; the offsets stay as long as they can.
func TestSymbolsAreBounded(t *testing.T) {
	const short, long = "short", 300
	for _, row := range []struct {
		functions int
		length    int // of every second name; the others are short
		cut       int // what is left of it
		covered   bool
	}{
		{100, long, long, true},
		{100, 5000, longestName, true},
		{8000, long, 252, true},
		{200_000, len(short), 3, true},
		{520_000, len(short), 0, true},
		{600_000, len(short), 0, false},
	} {
		entries := binary.AppendUvarint(nil, uint64(row.functions))
		for i := range row.functions {
			name := short
			if i%2 == 1 {
				name = strings.Repeat("n", row.length)
			}
			entries = append(binary.AppendUvarint(entries, uint64(i+1)), text(name)...)
		}
		code := functions(row.functions, nameSection(subsection(1, entries)))
		m, err := Scan(code)
		if err != nil {
			t.Fatal(err)
		}
		s := newSymbols(m, code)
		if got := len(s.Encode()); got > MaxSymbols || row.functions >= 8000 && got < MaxSymbols*9/10 && row.cut > 0 {
			t.Errorf("%d functions: %d bytes", row.functions, got)
		}
		if _, err := DecodeSymbols(s.Encode()); err != nil {
			t.Errorf("%d functions: %v", row.functions, err)
		}
		if name, _, _ := s.Name(2); len(name) != row.cut {
			t.Errorf("%d functions: a name of %d bytes keeps %d, want %d", row.functions, row.length, len(name), row.cut)
		}
		if name, offset, _ := s.Name(1); name != short[:min(row.cut, len(short))] || offset == 0 {
			t.Errorf("%d functions: the short name is %q at %d", row.functions, name, offset)
		}
		if _, offset, ok := s.Name(uint32(row.functions)); ok != row.covered || ok && code[offset+1] != 0x0b {
			t.Errorf("%d functions: the last one at %d, %v", row.functions, offset, ok)
		}
	}
}

// TestSymbolsOfManyImports: imports that leave no room for names leave no symbols.
func TestSymbolsOfManyImports(t *testing.T) {
	const n = MaxSymbols
	code := module(appendSection(nil, sectionType, []byte{1, 0x60, 0, 0}),
		appendSection(nil, sectionImport, append(binary.AppendUvarint(nil, n), bytes.Repeat([]byte{0, 0, byte(Func), 0}, n)...)))
	m, err := Scan(code)
	if err != nil {
		t.Fatal(err)
	}
	s := newSymbols(m, code)
	if _, _, ok := s.Name(0); ok || len(s.Encode()) > 10 {
		t.Errorf("%d bytes, %v", len(s.Encode()), ok)
	}
	if _, err := DecodeSymbols(s.Encode()); err != nil {
		t.Error(err)
	}
}

func TestBadSymbolsAreRefused(t *testing.T) {
	good := symbolsOf(t, functions(3)).Encode()
	rows := map[string][]byte{
		"nothing":            nil,
		"another version":    {2, 0, 0},
		"bytes after":        append(slices.Clone(good), 0),
		"4 G functions":      {1, 0, 0xff, 0xff, 0xff, 0xff, 0x0f},
		"4 G imports":        {1, 0xff, 0xff, 0xff, 0xff, 0x0f, 0},
		"offset over 4 GiB":  {1, 0, 2, 0xff, 0xff, 0xff, 0xff, 0x0f, 1, 0, 0},
		"a name that is cut": {1, 1, 0, 5, 'a'},
		"too long":           slices.Concat([]byte{1, 1, 0}, binary.AppendUvarint(nil, MaxSymbols), []byte(strings.Repeat("x", MaxSymbols))),
	}
	for n := range good {
		rows[fmt.Sprintf("cut at %d", n)] = good[:n]
	}
	for name, b := range rows {
		if _, err := DecodeSymbols(b); !errors.Is(err, fault.SuspectArtifact) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// FuzzSymbols: what decodes can be asked for any function, and what a name section holds never harms.
func FuzzSymbols(f *testing.F) {
	f.Add([]byte{1, 0, 0}, []byte{})
	f.Add([]byte{1, 1, 1, 9, 1, 'a', 0}, subsection(1, named(0, "a", 2, "b")))
	f.Add([]byte{1, 0, 0xff, 0xff, 0xff, 0xff, 0x0f}, []byte{1, 0xff, 0xff, 0xff, 0xff, 0x0f})
	f.Fuzz(func(t *testing.T, encoded, section []byte) {
		if s, err := DecodeSymbols(encoded); err == nil {
			for i := range min(uint64(s.imported)+uint64(s.defined), 100) {
				if _, _, ok := s.Name(uint32(i)); !ok {
					t.Fatalf("function %d is lost", i)
				}
			}
			if _, _, ok := s.Name(s.imported + s.defined); ok {
				t.Fatal("a function too many")
			}
		} else if !errors.Is(err, fault.SuspectArtifact) {
			t.Fatal(err)
		}
		if name, _, ok := symbolsOf(t, functions(3, nameSection(section))).Name(3); !ok || name == "" {
			t.Fatalf("the exported function is called %q", name)
		}
	})
}
