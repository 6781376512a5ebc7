//go:build chaos

package failpoint

import (
	"fmt"
	"os"
	"sync/atomic"
)

var (
	armed          = os.Getenv("TROUPE_FAILPOINT")
	point, subject string
	left           atomic.Int64
)

func init() {
	if armed == "" {
		return
	}
	var n int64
	if _, err := fmt.Sscan(armed, &point, &subject, &n); err != nil || n < 1 {
		panic(fmt.Sprintf("TROUPE_FAILPOINT=%q: want a point, a subject and a number", armed))
	}
	left.Store(n)
}

// Hit kills the process if this is the hit that was asked for.
func Hit(at, of string) {
	if armed == "" || at != point || of != subject || left.Add(-1) != 0 {
		return
	}
	if self, err := os.FindProcess(os.Getpid()); err == nil {
		_ = self.Kill()
	}
	select {} // until the signal comes
}
