package control

import (
	"context"
	"io"
	"sync"
	"time"

	"github.com/troupehost/troupe/actors/fault"
)

const (
	bodyWait  = 2 * time.Second // for room among the bodies of others
	leastBody = 64 << 10        // that a body takes
	formParts = 4               // of a form; each may have a byte more than it may, which tells that it is too large
)

// bodies is the memory that the bodies of all requests share. It is taken as bytes arrive, not as they are announced, so who sends
// nothing holds nothing, and it is given back when the request has ended. One caller has half of it at most.
type bodies struct {
	most, each int64

	mu    sync.Mutex
	held  int64
	by    map[string]int64
	freed chan struct{} // closed, and made anew, when something is given back
}

// newBodies makes it of so many bytes, and of no less than the largest request has, which one caller can always send.
func newBodies(most, largest int64) *bodies {
	most, largest = max(most, largest)+formParts, largest+formParts
	return &bodies{most: most, each: max(most/2, largest), by: map[string]int64{}, freed: make(chan struct{})}
}

func (b *bodies) try(who string, n int64) (ok bool, freed <-chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !anyBody && (b.held+n > b.most || b.by[who]+n > b.each) {
		return false, b.freed
	}
	b.held += n
	b.by[who] += n
	return true, nil
}

// take waits for room for a moment, and fails then.
func (b *bodies) take(ctx context.Context, who string, n int64) error {
	ok, freed := b.try(who, n)
	if ok {
		return nil
	}
	late := time.NewTimer(bodyWait)
	defer late.Stop()
	for {
		select {
		case <-freed:
		case <-late.C:
			return fault.New(fault.BusyQueueFull, "control", "", nil).WithRetryAfter(time.Second).WithHint("the bodies of too many requests are in memory: retry later, or send code once and name it by its hash")
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		if ok, freed = b.try(who, n); ok {
			return nil
		}
	}
}

func (b *bodies) give(who string, n int64) {
	if n == 0 {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.held -= n
	if b.by[who] -= n; b.by[who] <= 0 {
		delete(b.by, who)
	}
	close(b.freed)
	b.freed = make(chan struct{})
}

// gather reads what has at most limit bytes into memory that v has taken. What has more ends with tooLarge.
func (s *Server) gather(ctx context.Context, v *visit, r io.Reader, limit int64, tooLarge fault.Code) ([]byte, error) {
	var b []byte
	for {
		if len(b) == cap(b) {
			room := min(max(2*int64(cap(b)), leastBody), limit+1)
			if err := s.bodies.take(ctx, v.caller.Tenant(), room-int64(cap(b))); err != nil {
				return nil, err
			}
			v.body += room - int64(cap(b))
			b = append(make([]byte, 0, room), b...)
		}
		n, err := r.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		switch {
		case int64(len(b)) > limit:
			return nil, fault.New(tooLarge, "control", "", nil)
		case err == io.EOF:
			return b, nil
		case err != nil:
			return nil, cutOff(err)
		}
	}
}
