//go:build chaos

package devchain

import (
	"fmt"
	"testing"
)

// TestChaosFailpoints kills the process at each point of a write, in small and large blocks.
func TestChaosFailpoints(t *testing.T) {
	for _, point := range []string{"block.before chain", "block.after chain", "block.noted chain", "block.committed chain", "block.applied chain",
		"block.settled chain", "commit.before state", "commit.after state", "sync.before state", "note.before state", "note.after state"} {
		t.Run(point, func(t *testing.T) {
			for _, hits := range []int{1, 2, 3, 5, 20} {
				dir := t.TempDir()
				for range 3 { // the start after a kill may be killed as well
					s := start(t, dir, []string{fmt.Sprintf("TROUPE_FAILPOINT=%s %d", point, hits)}, func(n int, kill func()) {
						if n == 400 { // a point that is not met so often
							kill()
						}
					})
					if s.num > 0 {
						survived(t, dir, s, true, true)
					}
				}
			}
		})
	}
}
