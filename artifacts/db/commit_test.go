package db

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/troupehost/troupe/actors/fault"
)

// gate lets a test hold and fail the commits to the state database.
type gate struct {
	began chan int      // the number of a commit that has begun
	pass  chan error    // lets it go on, or fail
	open  atomic.Bool   // nothing is held
	count atomic.Uint64 // commits
}

func gated(t *testing.T) (*DB, *gate) {
	t.Helper()
	g := &gate{began: make(chan int, 1), pass: make(chan error)}
	g.open.Store(true)
	d := openDir(t, DirConfig{Path: filepath.Join(t.TempDir(), "data"), FS: FS{Commit: func(_ string, commit func() error) error {
		n := g.count.Add(1)
		if !g.open.Load() {
			g.began <- int(n)
			if err := <-g.pass; err != nil {
				return err
			}
		}
		return commit()
	}}})
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	g.open.Store(false)
	return d.State, g
}

// queue starts a write and returns when it waits in line.
func (c *Committer) queue(ctx context.Context, ops ...Op) <-chan error {
	before := c.length()
	done := make(chan error, 1)
	go func() { done <- c.Write(ctx, ops...) }()
	for c.length() == before {
		runtime.Gosched()
	}
	return done
}

func (c *Committer) length() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.waiting)
}

func set(key string, n int) Op { return Op{Key: []byte(key), Value: bytes.Repeat([]byte{'x'}, n)} }

func (d *DB) size(t *testing.T, key string) int {
	t.Helper()
	n := 0
	if err := d.Get([]byte(key), func(v []byte) error { n = len(v); return nil }); errors.Is(err, ErrNotFound) {
		return -1
	} else if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestWritesThatWaitShareACommit holds the first commit while others come: they make one, in their order, and none is
// told before it is on disk.
func TestWritesThatWaitShareACommit(t *testing.T) {
	d, g := gated(t)
	c, ctx := NewCommitter(d), t.Context()
	first := make(chan error, 1)
	go func() { first <- c.Write(ctx, set("k", 1)) }()
	<-g.began
	var rest []<-chan error
	for n := 2; n <= 20; n++ {
		rest = append(rest, c.queue(ctx, set("k", n), set(fmt.Sprint("k", n), n)))
	}
	g.pass <- nil
	if err := <-first; err != nil {
		t.Fatal(err)
	}
	if n := <-g.began; n != 2 {
		t.Fatalf("commit %d", n)
	}
	for _, r := range rest {
		select {
		case err := <-r:
			t.Errorf("told before it was on disk: %v", err)
		default:
		}
	}
	g.pass <- nil
	for _, r := range rest {
		if err := <-r; err != nil {
			t.Error(err)
		}
	}
	if g.count.Load() != 2 || d.size(t, "k") != 20 || d.size(t, "k7") != 7 {
		t.Errorf("%d commits, k has %d bytes, k7 %d", g.count.Load(), d.size(t, "k"), d.size(t, "k7"))
	}
}

// TestACommitIsBoundedInBytesAndNumber queues more than one transaction may hold.
func TestACommitIsBoundedInBytesAndNumber(t *testing.T) {
	for what, row := range map[string]struct{ writes, ops, bytes, commits int }{
		"bytes":  {6, 1, MaxValue, 3},
		"number": {9, maxCommitOps / 4, 1, 3},
		"one":    {1, maxCommitOps, 1, 1},
		"two":    {1, 2, MaxValue, 1},
	} {
		t.Run(what, func(t *testing.T) {
			d, g := gated(t)
			c, ctx := NewCommitter(d), t.Context()
			first := make(chan error, 1)
			go func() { first <- c.Write(ctx, set("first", 1)) }()
			<-g.began
			var rest []<-chan error
			for w := range row.writes {
				var ops []Op
				for o := range row.ops {
					ops = append(ops, set(fmt.Sprintf("%d-%d", w, o), row.bytes))
				}
				rest = append(rest, c.queue(ctx, ops...))
			}
			g.open.Store(true)
			g.pass <- nil
			for _, r := range rest {
				if err := <-r; err != nil {
					t.Error(err)
				}
			}
			if n := int(g.count.Load()) - 1; <-first != nil || n != row.commits {
				t.Errorf("%d commits, want %d", n, row.commits)
			}
		})
	}
}

// TestAFailedCommitIsTheErrorOfAllInIt fails one commit; those before and after it are not touched.
func TestAFailedCommitIsTheErrorOfAllInIt(t *testing.T) {
	d, g := gated(t)
	c, ctx := NewCommitter(d), t.Context()
	first := make(chan error, 1)
	go func() { first <- c.Write(ctx, set("a", 1)) }()
	<-g.began
	b, e := c.queue(ctx, set("b", 1)), c.queue(ctx, set("e", 1))
	g.pass <- nil
	<-g.began
	after := c.queue(ctx, set("z", 1))
	g.pass <- errors.New("input/output error")
	<-g.began
	g.pass <- nil
	got := []fault.Code{fault.CodeOf(<-first), fault.CodeOf(<-b), fault.CodeOf(<-e), fault.CodeOf(<-after)}
	if diff := cmp.Diff([]fault.Code{"", fault.HostDiskIO, fault.HostDiskIO, ""}, got); diff != "" {
		t.Error(diff)
	}
	if a, b, z := d.size(t, "a"), d.size(t, "b"), d.size(t, "z"); a != 1 || b != -1 || z != 1 {
		t.Errorf("a %d, b %d, z %d", a, b, z)
	}
}

// TestWhoLeavesTheLineWritesNothing cancels a write that waits, and the one that is being written.
func TestWhoLeavesTheLineWritesNothing(t *testing.T) {
	d, g := gated(t)
	c := NewCommitter(d)
	leaving, cancel := context.WithCancel(t.Context())
	first := make(chan error, 1)
	go func() { first <- c.Write(leaving, set("a", 1)) }()
	<-g.began
	left, stays := c.queue(leaving, set("b", 1)), c.queue(t.Context(), set("c", 1))
	cancel()
	if err := <-left; !errors.Is(err, fault.CanceledCaller) {
		t.Errorf("who left: %v", err)
	}
	g.open.Store(true)
	g.pass <- nil
	if err := errors.Join(<-first, <-stays); err != nil {
		t.Error(err)
	}
	if a, b, cc := d.size(t, "a"), d.size(t, "b"), d.size(t, "c"); a != 1 || b != -1 || cc != 1 {
		t.Errorf("a %d, b %d, c %d", a, b, cc)
	}
}

func TestAWriteThatIsTooLargeHarmsNoOther(t *testing.T) {
	d, g := gated(t)
	g.open.Store(true)
	c, ctx := NewCommitter(d), t.Context()
	many := make([]Op, maxCommitOps+1)
	for n := range many {
		many[n] = set(fmt.Sprint("m", n), 1)
	}
	for what, ops := range map[string][]Op{"a value": {set("v", MaxValue+1)}, "the sum": {set("a", MaxValue), set("b", MaxValue), set("c", MaxValue)}, "the number": many} {
		if err := c.Write(ctx, ops...); !errors.Is(err, fault.BugProtocol) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if err := c.Write(ctx, set("k", 1)); err != nil {
		t.Error(err)
	}
}

// BenchmarkCommitter measures small synced writes of 64 goroutines: alone, and through a committer.
func BenchmarkCommitter(b *testing.B) {
	value := bytes.Repeat([]byte{'x'}, 600)
	for _, how := range []string{"alone", "shared"} {
		b.Run(how, func(b *testing.B) {
			dir, err := OpenDir(DirConfig{Path: filepath.Join(b.TempDir(), "data")})
			if err != nil {
				b.Fatal(err)
			}
			defer func() { _ = dir.Close() }()
			write := dir.State.Write
			if how == "shared" {
				write = NewCommitter(dir.State).Write
			}
			var next atomic.Uint64
			var wg sync.WaitGroup
			b.ResetTimer()
			for range 64 {
				wg.Go(func() {
					for n := next.Add(1); n <= uint64(b.N); n = next.Add(1) {
						if err := write(context.Background(), Op{Key: fmt.Appendf(nil, "k%012d", n), Value: value}); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			wg.Wait()
		})
	}
}

// TestNotesThatWaitShareATransaction holds the first note while others come, and syncs none of them.
func TestNotesThatWaitShareATransaction(t *testing.T) {
	d, g := gated(t)
	c, ctx := NewNoter(d), t.Context()
	synced := d.sync.synced
	first := make(chan error, 1)
	go func() { first <- c.Write(ctx, set("k", 1)) }()
	<-g.began
	var rest []<-chan error
	for n := 2; n <= 20; n++ {
		rest = append(rest, c.queue(ctx, set("k", n)))
	}
	g.open.Store(true)
	g.pass <- nil
	for _, r := range append(rest, first) {
		if err := <-r; err != nil {
			t.Error(err)
		}
	}
	if g.count.Load() != 2 || d.size(t, "k") != 20 || d.sync.synced != synced {
		t.Errorf("%d commits, k has %d bytes, %d are on disk, before %d", g.count.Load(), d.size(t, "k"), d.sync.synced, synced)
	}
}
