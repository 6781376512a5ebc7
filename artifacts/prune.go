package artifacts

import (
	"bytes"
	"slices"
	"time"
)

// PruneEntry is what the pruning policy knows of a stored artifact.
type PruneEntry struct {
	Key        Key
	Bytes      int64
	LastNeeded time.Time
	Held       bool // in use, or pinned
}

// PrunePolicy says what is kept.
type PrunePolicy struct {
	LimitBytes int64         // what all artifacts together may take
	Age        time.Duration // how long an artifact is kept that nobody needs
}

// Prune chooses what to remove: first all that is too old, then the least recently needed until the rest fits the
// limit. Held artifacts are never chosen. over reports that what is held exceeds the limit on its own.
func (p PrunePolicy) Prune(now time.Time, entries []PruneEntry) (remove []Key, over bool) {
	var total, held int64
	var free []PruneEntry
	for _, e := range entries {
		total += e.Bytes
		if e.Held {
			held += e.Bytes
		} else {
			free = append(free, e)
		}
	}
	slices.SortFunc(free, func(a, b PruneEntry) int {
		if c := a.LastNeeded.Compare(b.LastNeeded); c != 0 {
			return c
		}
		return bytes.Compare(a.Key[:], b.Key[:])
	})
	for _, e := range free {
		old := now.Sub(e.LastNeeded) >= p.Age
		if !old && total <= p.LimitBytes {
			break
		}
		if !old && e.Bytes == 0 { // its end makes no room
			continue
		}
		remove = append(remove, e.Key)
		total -= e.Bytes
	}
	return remove, held > p.LimitBytes
}
