package host

import (
	"context"
	"time"

	"github.com/rs/zerolog"

	"github.com/troupehost/troupe/actors/cache"
	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/artifacts"
	"github.com/troupehost/troupe/artifacts/db"
	"github.com/troupehost/troupe/artifacts/store"
	"github.com/troupehost/troupe/host/internal/pool"
)

// storePort is the store as the cache actor sees it.
type storePort struct {
	*store.Store
	parts  *handoff
	health *health
	log    zerolog.Logger
}

// Index implements cache.Store.
func (p *storePort) Index(ctx context.Context) ([]cache.Entry, error) {
	entries, err := p.Store.Index(ctx)
	out := make([]cache.Entry, 0, len(entries))
	for _, e := range entries {
		if !e.Absent {
			out = append(out, cache.Entry{Key: e.Key, Meta: e.Meta, Failure: e.Failure, LastNeeded: e.LastNeeded, Pins: e.Pins})
		}
	}
	return out, err
}

// Put implements cache.Store. What cannot be written is served from memory, with a warning that stays until a write works.
func (p *storePort) Put(ctx context.Context, m artifacts.Meta, ticket uint64, memoryOnly bool) (bool, error) {
	parts := p.parts.Take(ticket)
	defer release(parts)
	_, err := p.Store.Put(ctx, m, parts, memoryOnly)
	switch {
	case err == nil && memoryOnly:
		p.health.set("artifact.over_limit", "what is pinned or in use exceeds the cache limit: new artifacts are kept in memory only", "unpin something or raise the cache limit")
		return false, nil
	case err == nil:
		p.health.clear("artifact.over_limit")
		p.health.clear("artifact.unstored")
		return true, nil
	case fault.From(err).Class == fault.Bug:
		return false, err
	}
	f := fault.From(err)
	p.health.set("artifact.unstored", "an artifact could not be written and is kept in memory only: "+f.Error(), f.Hint)
	p.log.Warn().Err(err).Str("code_hash", m.Code.String()).Msg("artifact not stored; it is served from memory")
	return false, nil
}

// Discard implements cache.Store.
func (p *storePort) Discard(ticket uint64) { release(p.parts.Take(ticket)) }

// Delete implements cache.Store.
func (p *storePort) Delete(ctx context.Context, keys []artifacts.Key) error {
	return p.Store.Delete(ctx, keys...)
}

// artifactPort is the store as worker processes see it.
type artifactPort struct{ *store.Store }

// Open implements pool.Artifacts.
func (p artifactPort) Open(ctx context.Context, key artifacts.Key) (pool.Handle, error) {
	h, err := p.Get(ctx, key)
	if err != nil {
		return nil, err
	}
	return h, nil
}

// pollEvery is how often the host looks at the disk.
const pollEvery = time.Second

// flushPolls is how many looks pass between two writes of when artifacts were needed last.
const flushPolls = 60

// watchDisk sees others fill the disk, and gives the ballast up before the databases run out of room.
func (h *Host) watchDisk(ctx context.Context) {
	t := time.NewTicker(pollEvery)
	defer t.Stop()
	for n := 1; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		if _, err := h.dir.Space.Poll(); err != nil {
			h.health.set("disk.unreadable", "the free space of the data directory cannot be read: "+err.Error(), "check the disk")
		} else {
			h.health.clear("disk.unreadable")
		}
		if s := h.dir.Space.Status(); !s.ShortSince.IsZero() {
			h.health.set("disk.short", "free space is below the reserve: nothing is written", fault.Describe(fault.BusyDisk).Hint)
		} else {
			h.health.clear("disk.short")
		}
		for _, d := range []*db.DB{h.dir.Cache, h.dir.State} {
			if f := d.Failed(); f != nil {
				h.health.set("database.failed", f.Error(), "restart the host: the database is checked before it is opened again")
			}
		}
		if n%flushPolls == 0 {
			_ = h.store.Flush(ctx) // the next one tries again; only the order of pruning depends on it
		}
	}
}
