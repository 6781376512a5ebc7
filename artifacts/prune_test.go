package artifacts

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestPrune(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	entry := func(n byte, bytes int64, age time.Duration, held bool) PruneEntry {
		return PruneEntry{Key: Key{n}, Bytes: bytes, LastNeeded: now.Add(-age), Held: held}
	}
	policy := PrunePolicy{LimitBytes: 100, Age: time.Hour}
	for _, row := range []struct {
		name    string
		entries []PruneEntry
		remove  []byte
		over    bool
	}{
		{"nothing to do", []PruneEntry{entry(1, 50, 0, false)}, nil, false},
		{"age alone suffices", []PruneEntry{entry(1, 1, time.Hour, false), entry(2, 1, 0, false)}, []byte{1}, false},
		{"size alone suffices, oldest first", []PruneEntry{entry(1, 60, time.Minute, false), entry(2, 60, 2*time.Minute, false)}, []byte{2}, false},
		{"the limit beats freshness", []PruneEntry{entry(1, 200, 0, false)}, []byte{1}, false},
		{"what is held stays, whatever its age", []PruneEntry{entry(1, 90, 2*time.Hour, true), entry(2, 20, 0, false)}, []byte{2}, false},
		{"held alone over the limit", []PruneEntry{entry(1, 200, 0, true), entry(2, 1, 0, false)}, []byte{2}, true},
	} {
		remove, over := policy.Prune(now, row.entries)
		var got []byte
		for _, k := range remove {
			got = append(got, k[0])
		}
		if d := cmp.Diff(row.remove, got); d != "" || over != row.over {
			t.Errorf("%s: removes %v (over %v), want %v (over %v)", row.name, got, over, row.remove, row.over)
		}
	}
}
