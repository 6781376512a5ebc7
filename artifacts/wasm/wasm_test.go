package wasm

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/troupehost/troupe/actors/fault"
)

func guest(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "..", "testdata", "guests", name+".wasm"))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestScanTellsReasonsApart(t *testing.T) {
	head := "\x00asm\x01\x00\x00\x00"
	for _, row := range []struct {
		name, code string
		want       fault.Code
	}{
		{"empty", "", fault.GuestNotWasm},
		{"text", "(module)", fault.GuestNotWasm},
		{"three bytes of the magic", "\x00as", fault.GuestTruncated},
		{"header cut", "\x00asm\x01\x00", fault.GuestTruncated},
		{"version 2", "\x00asm\x02\x00\x00\x00", fault.GuestVersion},
		{"component", "\x00asm\x0d\x00\x01\x00", fault.GuestComponent},
		{"section cut", head + "\x01\x05\x01", fault.GuestTruncated},
		{"size cut", head + "\x01\x80", fault.GuestTruncated},
		{"size of six bytes", head + "\x01\x80\x80\x80\x80\x80\x00", fault.GuestInvalid},
		{"size over 32 bits", head + "\x01\xff\xff\xff\xff\x7f", fault.GuestInvalid},
		{"unknown section", head + "\x0e\x00", fault.GuestInvalid},
		{"twice", head + "\x01\x01\x00\x01\x01\x00", fault.GuestInvalid},
		{"out of order", head + "\x03\x01\x00\x01\x01\x00", fault.GuestInvalid},
		{"bytes after the end", head + "\x01\x02\x00\x00", fault.GuestInvalid},
		{"count of 4 G", head + "\x01\x05\xff\xff\xff\xff\x0f", fault.GuestInvalid},
		{"function of an unknown type", head + "\x03\x02\x01\x00\x0a\x04\x01\x02\x00\x0b", fault.GuestInvalid},
		{"function without a body", head + "\x01\x04\x01\x60\x00\x00\x03\x02\x01\x00", fault.GuestInvalid},
		{"the same export twice", head + "\x05\x03\x01\x00\x01\x07\x09\x02\x01a\x02\x00\x01a\x02\x00", fault.GuestInvalid},
	} {
		if _, err := Scan([]byte(row.code)); !errors.Is(err, row.want) {
			t.Errorf("%s: %v, want %s", row.name, err, row.want)
		}
	}
	if _, err := Scan([]byte(head)); err != nil {
		t.Errorf("the empty module: %v", err)
	}
}

// TestCutAnywhereIsRefused cuts a module at each byte.
func TestCutAnywhereIsRefused(t *testing.T) {
	for _, name := range []string{"exit", "memhog", "adder"} {
		code := guest(t, name)
		whole := map[int]bool{} // ends of sections: what stands before is a module of its own, though a poorer one
		m, err := Scan(code)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range m.sections {
			whole[s.off+len(s.payload)] = true
		}
		for n := range code {
			if _, err := Scan(code[:n]); err == nil && !whole[n] && n != 8 {
				t.Errorf("%s cut at %d of %d is accepted", name, n, len(code))
			}
		}
	}
}

func TestDescription(t *testing.T) {
	m, err := Scan(guest(t, "adder"))
	if err != nil {
		t.Fatal(err)
	}
	var memory, malloc bool
	for _, i := range m.Imports {
		memory = memory || i.Kind == Memory && i.Module == "env"
		malloc = malloc || i.Kind == Func && i.Name == "ext_allocator_malloc_version_1" && i.Desc == "(i32) -> (i32)"
	}
	if !memory || !malloc {
		t.Errorf("imports %+v", m.Imports)
	}
	for _, e := range m.Exports {
		if e.Name == "validate_block" && m.ExportType(e) != "(i32, i32) -> (i64)" {
			t.Errorf("type %s", m.ExportType(e))
		}
	}
}

func TestImportedMemoryBecomesExported(t *testing.T) {
	code := guest(t, "adder")
	m, err := Scan(code)
	if err != nil {
		t.Fatal(err)
	}
	moved, err := Scan(m.MemoryImportToExport(code))
	if err != nil {
		t.Fatal(err)
	}
	if len(moved.Imports) != len(m.Imports)-1 || len(moved.Memories) != 1 || moved.Memories[0].Min != 2 {
		t.Errorf("imports %d, memories %+v", len(moved.Imports), moved.Memories)
	}
	found := false
	for _, e := range moved.Exports {
		found = found || e.Name == "memory" && e.Kind == Memory && e.Index == 0
	}
	if !found {
		t.Errorf("exports %+v", moved.Exports)
	}
	plain := guest(t, "echo")
	if m, err = Scan(plain); err != nil || !bytes.Equal(m.MemoryImportToExport(plain), plain) {
		t.Errorf("a module without the import changed (%v)", err)
	}
}

func TestSkeletonKeepsAllButBodies(t *testing.T) {
	code := guest(t, "go-hello")
	m, err := Scan(code)
	if err != nil {
		t.Fatal(err)
	}
	bones := m.Skeleton(code, newSymbols(m, code), SkeletonOptions{})
	s, err := Scan(bones)
	if err != nil {
		t.Fatal(err)
	}
	if len(s.Funcs) != len(m.Funcs) || len(s.Imports) != len(m.Imports) || len(s.Exports) != len(m.Exports) || s.DataBytes != m.DataBytes {
		t.Errorf("functions %d of %d, data %d of %d", len(s.Funcs), len(m.Funcs), s.DataBytes, m.DataBytes)
	}
	if s.CodeBytes > 5*len(s.Funcs)+5 {
		t.Errorf("%d bytes of code are left for %d functions", s.CodeBytes, len(s.Funcs))
	}
}

func TestInflate(t *testing.T) {
	enc, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	plain := guest(t, "echo")
	packed := enc.EncodeAll(plain, bytes.Clone(CompressedPrefix))
	for _, row := range []struct {
		name  string
		code  []byte
		limit int64
		want  fault.Code
	}{
		{"plain passes", plain, 1, ""},
		{"packed", packed, int64(len(plain)), ""},
		{"packed, one byte too large", packed, int64(len(plain)) - 1, fault.GuestDecompressionBomb},
		{"bomb", guest(t, "bomb-zstd"), 1 << 20, fault.GuestDecompressionBomb},
		{"damaged", packed[:len(packed)-3], 1 << 20, fault.GuestBadCompression},
		{"prefix alone and text", append(bytes.Clone(CompressedPrefix), "hello"...), 1 << 20, fault.GuestBadCompression},
	} {
		got, err := Inflate(row.code, row.limit)
		if fault.CodeOf(err) != row.want || err == nil && !bytes.Equal(got, plain) {
			t.Errorf("%s: %d bytes, %v; want %q", row.name, len(got), err, row.want)
		}
	}
}

func FuzzScan(f *testing.F) {
	for _, name := range []string{"exit", "memhog", "adder", "echo", "import-table", "bad-body"} {
		f.Add(guest(f, name))
	}
	f.Fuzz(func(t *testing.T, code []byte) {
		m, err := Scan(code)
		if err != nil {
			if fault.From(err).Class != fault.Guest {
				t.Fatalf("%v blames %s", err, fault.From(err).Class)
			}
			return
		}
		symbols := newSymbols(m, code)
		for _, o := range []SkeletonOptions{{}, {EmptyData: true}} {
			bones, err := Scan(m.Skeleton(code, symbols, o))
			if err != nil {
				t.Fatalf("the skeleton of a module is none: %v", err)
			}
			if got, err := bones.Symbols(); err != nil || !bytes.Equal(got.Encode(), symbols.Encode()) {
				t.Fatalf("symbols %q became %q, %v", symbols.Encode(), got.Encode(), err)
			}
		}
		if _, err := Scan(m.LimitTables(code, 1<<20)); err != nil {
			t.Fatalf("a module with limited tables is none: %v", err)
		}
		moved, err := Scan(m.MemoryImportToExport(code))
		if err != nil {
			t.Fatalf("the rewrite of a module is none: %v", err)
		}
		if len(m.Memories) == 0 && len(moved.Memories) > 1 {
			t.Fatal("the rewrite made two memories")
		}
	})
}
