package devchain

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"sync"

	"github.com/troupehost/troupe/actors/chain"
	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/artifacts/db"
)

var _ chain.Backed = (*Chain)(nil)

// backedFiles are the small files that a chain needs beside its database. HEAD is none of them: it says what was acknowledged last, and
// what a restored chain has is all that it ever will have acknowledged.
var backedFiles = []string{"VERSION", "host.key"}

// saved is a snapshot of a chain.
type saved struct {
	*db.Snapshot
	c     *Chain
	files map[string][]byte
	close sync.Once
}

// Snapshot implements chain.Backed. Blocks go on being made meanwhile. What a block that is being written has left is what a crash would
// leave, and the next start deals with it.
//
// # Errors
//
// busy.chain when the chain has been closed; host.disk_*.
func (c *Chain) Snapshot() (chain.Snapshot, error) {
	c.source.view.RLock()
	if err := c.open(); err != nil {
		c.source.view.RUnlock()
		return nil, err
	}
	c.users.Add(1)
	c.source.view.RUnlock()
	s := &saved{c: c, files: map[string][]byte{}}
	var err error
	for _, name := range backedFiles {
		if s.files["blocks/"+name], err = os.ReadFile(filepath.Join(c.cfg.Dir, name)); err != nil {
			c.users.Done()
			return nil, fault.New(fault.HostDiskIO, "read", name, err)
		}
	}
	s.files["genesis.json"] = c.cfg.Genesis // package chainbridge has it beside
	if s.Snapshot, err = c.dir.State.Snapshot(); err != nil {
		c.users.Done()
		return nil, err
	}
	return s, nil
}

// Files implements chain.Snapshot.
func (s *saved) Files() map[string][]byte { return s.files }

// Write implements chain.Snapshot. It ends when the chain is closed.
func (s *saved) Write(ctx context.Context, w io.Writer) (int64, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(s.c.ctx, cancel)()
	return s.Snapshot.Write(ctx, w)
}

// Close implements chain.Snapshot.
func (s *saved) Close() {
	s.close.Do(func() {
		s.Snapshot.Close()
		s.c.users.Done()
	})
}
