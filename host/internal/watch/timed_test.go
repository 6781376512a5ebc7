//go:build timed

package watch

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

// TestTimedTick holds the line: 10,000 names at 1 Hz take at most 2 ms of a second, all of them busy.
func TestTimedTick(t *testing.T) {
	names := make([]string, 10_000)
	for i := range names {
		names[i] = fmt.Sprintf("troupe/sessions/app-%064d", i)
	}
	v := &seen{names: map[string]*series{}}
	var took []time.Duration
	for n := range uint64(101) {
		begin := time.Now()
		v.tick(begin, func(use func(string, uint64, uint64, uint64)) {
			for _, name := range names {
				use(name, n, n, 0)
			}
		})
		took = append(took, time.Since(begin))
	}
	slices.Sort(took)
	t.Logf("10,000 names: %v, limit 2 ms", took[50])
	if took[50] > 2*time.Millisecond {
		t.Errorf("a tick takes %v", took[50])
	}
}
