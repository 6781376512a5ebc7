package store

import (
	"os"
	"testing"
)

// TestMemoryIsBoundedByFiles stores many small artifacts with a bound on their files, and then gets them back.
func TestMemoryIsBoundedByFiles(t *testing.T) {
	s, _ := open(t, t.TempDir(), testBuild, 1<<30)
	defer s.shut(t)
	s.memory.maxFiles = 9 // 4 artifacts of 2
	before := openFiles(t)
	const count = 40
	for n := range uint64(count) {
		if _, err := put(s.Store, n, 10); err != nil {
			t.Fatal(err)
		}
	}
	var handles []*Handle
	for n := range uint64(count) { // in use they are kept
		h, err := s.Get(t.Context(), keyN(n))
		if err != nil {
			t.Fatal(err)
		}
		if got := s.Stats().MemoryBytes; n > 4 && got != int64(n+1)*2*pageBytes {
			t.Errorf("with %d in use %d bytes are counted", n+1, got)
		}
		handles = append(handles, h)
	}
	if got := openFiles(t) - before; got < 2*count {
		t.Errorf("%d files are open with %d artifacts in use", got, count)
	}
	for _, h := range handles {
		h.Close()
	}
	if got := openFiles(t) - before; got > 9+8 || s.memory.files > 9 { // the database opens tables meanwhile
		t.Errorf("%d files more than before are open, %d are counted", got, s.memory.files)
	}
	for n := range uint64(count) {
		if err := check(s.Store, n, 10); err != nil {
			t.Error(err)
		}
	}
	s.memory.clear()
	if s.memory.files != 0 || s.memory.size != 0 {
		t.Errorf("of nothing %d files and %d bytes are counted", s.memory.files, s.memory.size)
	}
}

func openFiles(t *testing.T) int {
	t.Helper()
	e, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(e)
}
