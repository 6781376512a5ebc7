package engine

import (
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestCodeIsMapped: machine code runs from the pages of the file that it came in, and nothing is made executable after the load.
func TestCodeIsMapped(t *testing.T) {
	c := compile(t, "kernels")
	parts := c.Contents()
	file, err := scratchFile(int64(len(c.Code)))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if err := fill(file, c.Code); err != nil {
		t.Fatal(err)
	}
	parts.Code.File = file
	a, err := Load(t.Context(), parts)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	before := executable(t)
	if !strings.Contains(before, "troupe scratch") {
		t.Errorf("the code is not mapped:\n%s", before)
	}
	for range 3 { // with a trap, after which the instance is another one
		if out, _ := call(a, invoked("fib", "10")); string(out.Result) != "55" {
			t.Errorf("%q, %v", out.Result, out.Fault)
		}
		s := invoked("fib", "30")
		s.Gas = 1000
		if out, _ := call(a, s); out.Fault == nil {
			t.Error("it did not end")
		}
	}
	if after := executable(t); after != before {
		t.Errorf("before:\n%safter:\n%s", before, after)
	}
}

// executable lists the mappings that code can run from.
func executable(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		t.Skip("missing: /proc; mount procfs")
	}
	var out strings.Builder
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); len(f) > 1 && strings.Contains(f[1], "x") {
			out.WriteString(line)
		}
	}
	return out.String()
}

// TestCodeOfAnUnalignedPlaceIsCopied: what is not a mapping of the engine's own is never mapped over.
func TestCodeOfAnUnalignedPlaceIsCopied(t *testing.T) {
	file, err := scratchFile(4096)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	b, err := unix.Mmap(-1, 0, 8192, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Munmap(b) }()
	code := []byte(strings.Repeat("c", 100))
	e := &entry{code: Content{Bytes: code, File: file}}
	if n, err := e.Read(b[8 : 8+len(code)]); n != len(code) || err != nil || e.mapped || string(b[8:8+n]) != string(code) {
		t.Errorf("%d bytes, %v, mapped: %v", n, err, e.mapped)
	}
	e = &entry{code: Content{Bytes: code, File: file}}
	if n, err := e.Read(b[:len(code)-1]); n != len(code)-1 || err != nil || e.mapped {
		t.Errorf("less than all: %d bytes, %v, mapped: %v", n, err, e.mapped)
	}
}
