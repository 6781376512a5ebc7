package control

import (
	"context"
	"sync/atomic"
	"testing"
	"time"
)

// What a feed has told is told on while it is fresh, and not once an operator has changed something.
func TestFeedKnowsOfChanges(t *testing.T) {
	var changes atomic.Uint64
	asked := 0
	f := newFeed(time.Hour, &changes, func(context.Context, int) (int, error) { asked++; return asked, nil })
	want := func(n int) {
		t.Helper()
		if got, _, err := f.get(t.Context(), t.Context()); got != n || err != nil {
			t.Errorf("%d, %v; want %d", got, err, n)
		}
	}
	want(1)
	want(1)
	changes.Add(1)
	want(2)
	want(2)
}
