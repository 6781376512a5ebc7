package blob

import (
	"container/list"
	"context"
	"errors"
	"maps"
	"sync"
	"time"

	"github.com/troupehost/troupe/actors/fault"
)

// What one owner may have read from the disk: blobs that are kept cost nothing.
const (
	loadsAtOnce = 2 // of all owners, so that memory is bounded
	loadBurst   = 16
	loadEvery   = 100 * time.Millisecond // behind the burst
	fewOwners   = 1024                   // more than these are looked through for those that are idle
)

// Reader gives out pieces of blobs. A blob is read and verified as a whole, and kept for the pieces that follow. Whoever reads in
// turns what cannot all be kept is slowed down, and holds up nobody else.
type Reader struct {
	store *Store
	limit int64
	loads chan struct{} // has a value for each blob that is read

	mu     sync.Mutex
	kept   map[Hash]*list.Element
	order  list.List // of keptBlob, the latest first
	bytes  int64
	loaded int64 // bytes that were read from the disk, ever
	owners map[string]*owner
}

// owner is somebody on whose behalf blobs are read, one at a time.
type owner struct {
	one   chan struct{} // has a value while a blob is read for it
	users int           // guarded by Reader.mu
	paid  time.Time     // when its loads until now have been made up for; of whoever has one, and of Reader.mu if nobody uses it
}

type keptBlob struct {
	h Hash
	b []byte
}

// NewReader returns a reader that keeps up to limit bytes, or one blob that is longer.
func NewReader(s *Store, limit int64) *Reader {
	return &Reader{store: s, limit: limit, loads: make(chan struct{}, loadsAtOnce), kept: map[Hash]*list.Element{}, owners: map[string]*owner{}}
}

// ReadAt copies what a blob has from an offset on, for an owner, and returns how long the blob is. At its end n is 0.
//
// # Errors
//
// caller.invalid_request for a name that is none and an offset below 0, caller.blob_missing, host.disk_io for bytes that do not
// verify, canceled.*.
func (r *Reader) ReadAt(ctx context.Context, by, name string, p []byte, off int64) (n int, size int64, err error) {
	parsed, err := ParseName(name)
	if err != nil {
		return 0, 0, err
	}
	if off < 0 {
		return 0, 0, fault.New(fault.CallerInvalid, "blob read", name, errors.New("the offset is below 0"))
	}
	h, ok := r.store.Find(parsed)
	if !ok {
		return 0, 0, fault.New(fault.CallerBlobMissing, "blob read", name, nil)
	}
	b, ok := r.look(h)
	if !ok {
		if b, err = r.load(ctx, by, h); err != nil {
			return 0, 0, err
		}
	}
	if off < int64(len(b)) {
		n = copy(p, b[off:])
	}
	return n, int64(len(b)), nil
}

// load reads a blob when it is the owner's turn.
func (r *Reader) load(ctx context.Context, by string, h Hash) (b []byte, err error) {
	o := r.enter(by)
	defer r.leave(o)
	select {
	case o.one <- struct{}{}:
	case <-ctx.Done():
		return nil, fault.From(ctx.Err())
	}
	defer func() { <-o.one }()
	if b, ok := r.look(h); ok {
		return b, nil
	}
	if wait := time.Until(o.paid.Add(-(loadBurst - 1) * loadEvery)); wait > 0 {
		t := time.NewTimer(wait)
		defer t.Stop()
		select {
		case <-t.C:
		case <-ctx.Done():
			return nil, fault.From(ctx.Err())
		}
	}
	select {
	case r.loads <- struct{}{}:
	case <-ctx.Done():
		return nil, fault.From(ctx.Err())
	}
	defer func() { <-r.loads }()
	if b, ok := r.look(h); ok {
		return b, nil
	}
	if now := time.Now(); o.paid.Before(now) {
		o.paid = now
	}
	o.paid = o.paid.Add(loadEvery)
	if b, err = r.store.Get(ctx, h); err != nil {
		return nil, err
	}
	r.keep(h, b)
	return b, nil
}

func (r *Reader) keep(h Hash, b []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.loaded += int64(len(b))
	if r.kept[h] != nil { // two owners have read it at once
		return
	}
	r.kept[h] = r.order.PushFront(keptBlob{h, b})
	r.bytes += int64(len(b))
	for r.bytes > r.limit && r.order.Len() > 1 {
		old := r.order.Remove(r.order.Back()).(keptBlob)
		delete(r.kept, old.h)
		r.bytes -= int64(len(old.b))
	}
}

func (r *Reader) enter(by string) *owner {
	r.mu.Lock()
	defer r.mu.Unlock()
	o := r.owners[by]
	if o == nil {
		if len(r.owners) >= fewOwners {
			now := time.Now()
			maps.DeleteFunc(r.owners, func(_ string, o *owner) bool { return o.users == 0 && o.paid.Before(now) })
		}
		o = &owner{one: make(chan struct{}, 1)}
		r.owners[by] = o
	}
	o.users++
	return o
}

func (r *Reader) leave(o *owner) {
	r.mu.Lock()
	defer r.mu.Unlock()
	o.users--
}

func (r *Reader) look(h Hash) ([]byte, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	e := r.kept[h]
	if e == nil {
		return nil, false
	}
	r.order.MoveToFront(e)
	return e.Value.(keptBlob).b, true
}
