package db

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"sync"

	"github.com/troupehost/troupe/actors/fault"
)

// maxCommitOps bounds the changes of one shared transaction; their bytes are bounded by MaxWrite.
const maxCommitOps = 512

// Committer gathers the writes of many goroutines: those that come while one is being written share the next transaction,
// and with it one wait for the disk. It has no goroutine of its own: whoever is first writes for those behind.
type Committer struct {
	path  string
	write func(context.Context, ...Op) error

	mu      sync.Mutex
	waiting []*commit
	writing bool // somebody writes, or was told to
}

type commit struct {
	ops   []Op
	bytes int64
	done  chan error    // has the result
	lead  chan struct{} // closed: this one is to write for all
}

// NewCommitter returns a committer for a database.
func NewCommitter(d *DB) *Committer { return &Committer{path: d.path, write: d.Write} }

// NewNoter returns a committer whose writes are notes: they share transactions only, and none waits for the disk.
func NewNoter(d *DB) *Committer { return &Committer{path: d.path, write: d.Note} }

// Write makes all changes or none; they are on disk, or noted, when it returns without an error. Writes are made in the order in which
// they came. The changes must not be modified before it returns. When ctx ends before the write was begun, it is not made.
//
// # Errors
//
// As DB.Write; writes that share a transaction share its error. canceled.* when ctx ended first.
func (c *Committer) Write(ctx context.Context, ops ...Op) error {
	w := &commit{ops: ops, done: make(chan error, 1), lead: make(chan struct{})}
	for _, o := range ops {
		w.bytes += int64(len(o.Key) + len(o.Value))
		if len(o.Value) > MaxValue {
			w.bytes = MaxWrite + 1
		}
	}
	if w.bytes > MaxWrite || len(ops) > maxCommitOps {
		return fault.New(fault.BugProtocol, "write", filepath.Base(c.path), errors.New("more than a write may have"))
	}
	c.mu.Lock()
	c.waiting = append(c.waiting, w)
	if !c.writing {
		c.writing = true
		close(w.lead)
	}
	c.mu.Unlock()
	select {
	case err := <-w.done:
		return err
	case <-w.lead:
	case <-ctx.Done():
		if c.withdraw(w) {
			return fault.From(context.Cause(ctx))
		}
		select { // it is being written, or was told to write: both end soon
		case err := <-w.done:
			return err
		case <-w.lead:
		}
	}
	c.writeBatch(context.WithoutCancel(ctx)) // it stands for others as well
	return <-w.done
}

// withdraw takes a write back that nobody has begun and that does not lead.
func (c *Committer) withdraw(w *commit) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	select {
	case <-w.lead:
		return false
	default:
	}
	n := slices.Index(c.waiting, w)
	if n < 0 {
		return false
	}
	c.waiting = slices.Delete(c.waiting, n, n+1)
	return true
}

// writeBatch writes what waits, as far as it fits, and then has the next in line write.
func (c *Committer) writeBatch(ctx context.Context) {
	c.mu.Lock()
	n, size, count := 0, int64(0), 0
	for n < len(c.waiting) {
		w := c.waiting[n]
		if n > 0 && (size+w.bytes > MaxWrite || count+len(w.ops) > maxCommitOps) {
			break
		}
		size, count, n = size+w.bytes, count+len(w.ops), n+1
	}
	batch := slices.Clone(c.waiting[:n])
	c.waiting = slices.Delete(c.waiting, 0, n)
	c.mu.Unlock()
	ops := make([]Op, 0, count)
	for _, w := range batch {
		ops = append(ops, w.ops...)
	}
	err := c.write(ctx, ops...)
	for _, w := range batch {
		w.done <- err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.writing = len(c.waiting) > 0; c.writing {
		close(c.waiting[0].lead)
	}
}
