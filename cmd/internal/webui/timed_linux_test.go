//go:build timed

package webui

import (
	"fmt"
	"testing"
	"time"
)

// What was measured on two cores at rest: 40 ms and 0.3 s.
const (
	maxScroll = 250 // ms, of drawing the page while 10,000 rows are scrolled
	maxFilter = 3 * time.Second
)

func TestTimedManyRows(t *testing.T) {
	browser := chromium(t)
	for _, n := range []int{1000, 10_000} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			worst, filter := manyRows(t, browser, n)
			t.Logf("%d rows: one scroll %.0f ms, limit %d; a filter %v, limit %v", n, worst, maxScroll, filter, maxFilter)
			if worst > maxScroll || filter > maxFilter {
				t.Error("the page is slower than its lines")
			}
		})
	}
}
