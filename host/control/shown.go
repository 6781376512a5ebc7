package control

import (
	"context"
	"sync"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/artifacts"
)

// maxShown is how many hashes are remembered. Of who has shown more than a quarter of them, the oldest are forgotten first.
const maxShown = 16384

// shown remembers which code and which blobs confined callers have handed in since the host began. A hash is no secret: who names
// bytes that it never had, and none of its apps and jobs needs, is told that they are not there, as if nobody had them.
type shown struct {
	mu  sync.Mutex
	all bounded[struct{}]
}

func newShown() *shown { return &shown{all: newBounded[struct{}](maxShown)} }

func (s *shown) add(ctx context.Context, hash string) {
	tenant, yes := confinedTo(ctx)
	if !yes {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if id := tenant + "\x00" + hash; !s.has(id) {
		s.all.put(id, tenant, 1, struct{}{})
	}
}

func (s *shown) has(id string) bool {
	_, ok := s.all.get(id)
	return ok
}

// by reports whether the caller has handed it in.
func (s *shown) by(ctx context.Context, hash string) bool {
	tenant, _ := confinedTo(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.has(tenant + "\x00" + hash)
}

// ownCode lets a confined caller name code that it has handed in, or that one of its apps, jobs or warm-ups is of.
func (g gate) ownCode(ctx context.Context, code []byte, hash string) error {
	if _, yes := confinedTo(ctx); !yes {
		return nil
	}
	if code != nil {
		g.shown.add(ctx, artifacts.HashCode(code).String())
		return nil
	}
	h, err := artifacts.ParseCodeHash(hash)
	if err != nil || g.shown.by(ctx, h.String()) {
		return err
	}
	o, err := g.own(ctx)
	if err == nil && !o.codes[h.String()] {
		err = fault.New(fault.CallerNotFound, "code", h.String(), nil).WithHint("pass the code, not only its hash")
	}
	return err
}
