package host

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"github.com/troupehost/troupe/actors/cache"
	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/artifacts"
	"github.com/troupehost/troupe/artifacts/db"
	"github.com/troupehost/troupe/artifacts/sealed"
	"github.com/troupehost/troupe/artifacts/store"
	"github.com/troupehost/troupe/artifacts/wasm"
	"github.com/troupehost/troupe/host/internal/pool"
)

// storePort is the store as the cache actor sees it.
type storePort struct {
	*store.Store
	parts  *handoff
	health *health
	log    zerolog.Logger
	limits storeLimits

	mu       sync.Mutex
	unstored map[artifacts.Key]bool // served from memory, since they could not be written
}

// storeLimits are the settings that say which code is too large. They change nothing in an artifact, so what is stored was
// judged under whatever they were then.
type storeLimits struct {
	given, inflated, memory int64
	policy                  wasm.Policy
}

// judge returns the fault of code that an artifact was made of, as its preparation would find it today; nil if it is allowed.
func (l storeLimits) judge(m artifacts.Meta) *fault.Error {
	if large := m.TooLarge(l.given, l.inflated); large != "" {
		return fault.New(large, "prepare", "", nil)
	}
	return within(m.Module.Shape, l.policy)
}

const overLimit, unstored = "artifact.over_limit", "artifact.unstored"

// Index implements cache.Store.
func (p *storePort) Index(ctx context.Context) ([]cache.Entry, error) {
	p.parts.clear() // what an earlier incarnation was answered and did not take
	p.forgetAll()
	entries, err := p.Store.Index(ctx)
	if err != nil {
		return nil, err
	}
	out := make([]cache.Entry, 0, len(entries))
	var void []artifacts.Key
	for _, e := range entries {
		n := cache.Entry{Key: e.Key, Meta: e.Meta, Bytes: e.Bytes, Absent: e.Absent, Failure: e.Failure, LastNeeded: e.LastNeeded, Pins: e.Pins}
		refused := p.limits.judge(e.Meta)
		switch {
		case e.Absent:
		case e.Failure != nil && !e.Failure.Holds(p.limits.memory, p.limits.inflated, policyName(p.limits.policy)):
			void = append(void, e.Key)
			if n = (cache.Entry{Key: e.Key, Pins: e.Pins, Absent: true}); len(e.Pins) == 0 {
				continue
			}
		case e.Failure == nil && refused != nil: // it stays where it is: a host with other limits can use it
			n.Failure = &artifacts.Failure{Code: e.Meta.Code, Fault: refused.Code, Message: refused.Subject, Count: 1, At: e.Meta.PreparedAt}
		}
		out = append(out, n)
	}
	_ = p.Store.Delete(ctx, void...) // else they are found void again
	return out, nil
}

// PutFailure implements cache.Store.
func (p *storePort) PutFailure(ctx context.Context, k artifacts.Key, f artifacts.Failure) error {
	f.MemoryBytes, f.InflatedBytes, f.Policy = p.limits.memory, p.limits.inflated, policyName(p.limits.policy)
	return p.Store.PutFailure(ctx, k, f)
}

// Put implements cache.Store. What cannot be written is served from memory, with a warning that stays until it is.
func (p *storePort) Put(ctx context.Context, m artifacts.Meta, ticket uint64, memoryOnly bool) (int64, error) {
	parts := p.parts.Take(ticket)
	defer release(parts)
	n, err := p.Store.Put(ctx, m, parts, memoryOnly)
	if err == nil && memoryOnly {
		return 0, nil
	}
	return p.written(m.Key, m.Code, n, err)
}

// SetOverLimit implements cache.Store.
func (p *storePort) SetOverLimit(over bool) {
	if over {
		p.health.set(overLimit, "what is pinned or in use exceeds the cache limit: new artifacts are kept in memory only", "unpin something or raise the cache limit")
	} else {
		p.health.clear(overLimit)
	}
}

// PutAgain implements cache.Store.
func (p *storePort) PutAgain(ctx context.Context, k artifacts.Key) (int64, error) {
	h, err := p.Get(ctx, k) // from memory: it is not on disk
	if err != nil {
		p.forget(k)
		return 0, err
	}
	defer h.Close()
	parts := map[string]*sealed.File{}
	for _, part := range h.Meta.Parts {
		parts[part.Name] = h.Part(part.Name)
	}
	n, err := p.Store.Put(ctx, h.Meta, parts, false)
	return p.written(k, h.Meta.Code, n, err)
}

// written takes note of how a write ended.
func (p *storePort) written(k artifacts.Key, code artifacts.CodeHash, n int64, err error) (int64, error) {
	f := fault.From(err)
	switch {
	case f == nil:
		p.health.clear(overLimit)
		p.forget(k)
		return n, nil
	case f.Class == fault.Bug:
		return 0, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.unstored[k] = true
	p.health.set(unstored, fmt.Sprintf("artifacts that could not be written and are kept in memory only: %d; the last: %v", len(p.unstored), f), f.Hint)
	p.log.Warn().Err(err).Str("code_hash", code.String()).Msg("artifact not stored; it is served from memory")
	return 0, nil
}

func (p *storePort) anyUnstored() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.unstored) > 0
}

// forgetAll is for an index that is read anew: what is in memory only is not in it.
func (p *storePort) forgetAll() {
	p.mu.Lock()
	defer p.mu.Unlock()
	clear(p.unstored)
	p.health.clear(unstored)
}

func (p *storePort) forget(keys ...artifacts.Key) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, k := range keys {
		delete(p.unstored, k)
	}
	if len(p.unstored) == 0 {
		p.health.clear(unstored)
	}
}

// Discard implements cache.Store.
func (p *storePort) Discard(ticket uint64) { release(p.parts.Take(ticket)) }

// Delete implements cache.Store.
func (p *storePort) Delete(ctx context.Context, keys []artifacts.Key) ([]artifacts.Key, error) {
	p.forget(keys...)
	err := p.Store.Delete(ctx, keys...)
	if k, ok := errors.AsType[*store.KeptError](err); ok {
		return k.Keys, err
	}
	return nil, err
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

// persistPolls is how many looks pass between two tries to write what is in memory only.
const persistPolls = 30

// flushPolls is how many looks pass between two writes of when artifacts were needed last.
const flushPolls = 60

// showBallast warns while there is less ballast than wanted.
func (h *health) showBallast(s db.Status) {
	if s.BallastBytes >= s.BallastWanted {
		h.clear("disk.ballast")
		return
	}
	h.set("disk.ballast", fmt.Sprintf("%d of %d MiB of ballast are held", s.BallastBytes>>20, s.BallastWanted>>20),
		"the disk is small or nearly full: if others fill it, the host may die and must be started again")
}

// persist has what is in memory only written. A host that stops refuses, and then it is lost anyway.
func (h *Host) persist() {
	if h.kept.anyUnstored() {
		_ = h.cache.Control(cache.Persist{})
	}
}

// watchDisk sees others fill the disk, and gives the ballast up before the databases run out of room.
func (h *Host) watchDisk(ctx context.Context) {
	t := time.NewTicker(pollEvery)
	defer t.Stop()
	short, held := false, h.dir.Space.Status().BallastBytes
	for n := 1; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		h.watchPrograms()
		if _, err := h.dir.Space.Poll(); err != nil {
			h.health.set("disk.unreadable", "the free space of the data directory cannot be read: "+err.Error(), "check the disk")
		} else {
			h.health.clear("disk.unreadable")
		}
		s := h.dir.Space.Status()
		h.health.showBallast(s)
		if held != s.BallastBytes {
			h.log.Info().Int64("from_bytes", held).Int64("to_bytes", s.BallastBytes).Msg("ballast changed")
			held = s.BallastBytes
		}
		if !s.ShortSince.IsZero() {
			h.health.set("disk.short", "free space is below the reserve: nothing is written", fault.Describe(fault.BusyDisk).Hint)
			if !short {
				h.log.Warn().Int64("free_bytes", s.FreeBytes).Int64("reserve_bytes", s.ReserveBytes).Msg("free space is below the reserve: nothing is written")
			}
			short = true
		} else if h.health.clear("disk.short"); short {
			short = false
			h.log.Info().Int64("free_bytes", s.FreeBytes).Msg("there is free space again")
			h.persist()
		} else if n%persistPolls == 0 { // a shortage may be too brief to be seen here, or too small
			h.persist()
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
