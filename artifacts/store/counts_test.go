package store

import (
	"context"
	"testing"

	"github.com/troupehost/troupe/testdata/bench/gate"
)

// TestCounts holds what it allocates to be handed an artifact that is in memory.
func TestCounts(t *testing.T) {
	s, _ := open(t, t.TempDir(), testBuild, 1<<30)
	defer s.shut(t)
	m, files := sealedFiles(t, 1, 100_000)
	if _, err := s.Put(context.Background(), m, files, false); err != nil {
		t.Fatal(err)
	}
	n, _ := gate.Allocations(1000, func() {
		h, err := s.Get(t.Context(), m.Key)
		if err != nil {
			t.Fatal(err)
		}
		h.Close()
	})
	gate.Count(t, "store, an artifact in memory: allocations", n)
}
