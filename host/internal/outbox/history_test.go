package outbox

import (
	"context"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/troupehost/troupe/actors/chain"
)

// TestALongHistory files TROUPE_OUTBOX_HISTORY calls, 5,000 by default, and looks at memory and at the time that a start and a page take.
func TestALongHistory(t *testing.T) {
	entries := uint64(5000)
	if n, err := strconv.ParseUint(os.Getenv("TROUPE_OUTBOX_HISTORY"), 10, 64); err == nil {
		entries = n
	}
	ctx, path := context.Background(), filepath.Join(t.TempDir(), "data")
	d := openDir(t, path)
	defer func() { _ = d.Close() }()
	s := newStore(t, d)
	heap := func() int64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	file := func(from, to uint64) {
		next := atomic.Uint64{}
		next.Store(from)
		var all sync.WaitGroup
		for range 64 {
			all.Go(func() {
				for n := next.Add(1); n <= to; n = next.Add(1) {
					r := record(n)
					r.Progress = chain.Done
					_, err := s.Add(ctx, r, chain.Call{Pallet: "P", Name: "c", Args: []byte("{}")})
					if err == nil {
						err = s.Finish(ctx, r)
					}
					if err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		all.Wait()
	}
	part := min(entries/2, 5000)
	file(0, part)
	before, begin := heap(), time.Now()
	file(part, entries)
	took, grown := time.Since(begin), heap()-before
	if grown > 24<<20+40*int64(entries) { // the index of the database grows a little
		t.Errorf("%d entries take %d bytes of memory", entries, grown)
	}
	begin = time.Now()
	if s = newStore(t, d); s.first != 1 || s.last != entries {
		t.Errorf("the numbers go from %d to %d", s.first, s.last)
	}
	start := time.Since(begin)
	begin = time.Now()
	page, next, err := s.History(ctx, entries/2, true, 100)
	must(t, err)
	if len(page) != 100 || page[0].Number != entries/2-1 || next != entries/2-100 {
		t.Errorf("the page has %d from %d, next %d", len(page), page[0].Number, next)
	}
	t.Logf("%d entries: filed in %v, %d bytes of memory, %d on disk, start in %v, a page in %v", entries, took, grown, d.State.DiskBytes(), start, time.Since(begin))
	must(t, s.Trim(ctx, 100))
	if _, next, err := s.History(ctx, 0, false, 100); err != nil || next != 0 {
		t.Errorf("more than 100 are kept: %d, %v", next, err)
	}
}
