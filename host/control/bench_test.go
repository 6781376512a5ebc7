package control

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/actors/inspect/query"
)

// One look of one viewer at 10,000 actors: filtered, sorted, and a window of them encoded.
func BenchmarkLookAtTenThousandActors(b *testing.B) {
	h := newWorld()
	for i := range 10_000 {
		h.actors = append(h.actors, inspect.Actor{Path: fmt.Sprintf("troupe/x/%05d", i), Kind: "x", State: "idle", Depth: i % 7, Cap: 10})
	}
	s := New(h, Options{})
	defer s.Close()
	q, err := query.Parse("actors", "state=idle,busy", time.Now())
	if err != nil {
		b.Fatal(err)
	}
	p := s.views.by["actors"].open(context.Background(), find{query: q, sort: "-mailbox", limit: 100})
	defer p.close()
	b.ReportAllocs()
	for b.Loop() {
		s.changes.Add(1) // what was told is old
		if w, err := p.look(context.Background()); err != nil || w.matched < 10_000 {
			b.Fatal(err)
		}
	}
}
