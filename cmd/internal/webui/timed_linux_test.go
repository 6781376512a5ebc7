//go:build timed

package webui

import (
	"fmt"
	"testing"
	"time"
)

// What was measured on two cores at rest: MEDIAN ms and WORST ms, and 0.5 s.
const (
	maxMedian = 60  // ms, from a scroll of 10,000 rows to the frame after the one that shows it
	maxWorst  = 300 // ms, of 40 scrolls
	maxFilter = 3 * time.Second
)

func TestTimedManyRows(t *testing.T) {
	browser := chromium(t)
	for _, n := range []int{1000, 10_000} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			scroll, filter := manyRows(t, browser, n, 40)
			t.Logf("%d rows: two frames of a scroll take %.0f ms, limit %d, at most %.0f, limit %d; a filter %v, limit %v", n, scroll.Median, maxMedian, scroll.Worst, maxWorst, filter, maxFilter)
			if scroll.Median > maxMedian || scroll.Worst > maxWorst || filter > maxFilter {
				t.Error("the page is slower than its lines")
			}
		})
	}
}
