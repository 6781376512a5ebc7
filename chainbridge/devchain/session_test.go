package devchain

import (
	"context"
	"testing"

	"github.com/troupehost/troupe/actors/chain"
)

// Who subscribes, reads nothing and takes it back again and again has one note of the chain in memory, and no more.
func TestNotesOfAConnectionComeOneByOne(t *testing.T) {
	c := openChain(t, kvConfig(t.TempDir()))
	if err := c.Seal(t.Context()); err != nil {
		t.Fatal(err)
	}
	in := &session{s: &server{c: c}, ctx: t.Context(), turn: make(chan struct{}, 1), subs: map[uint64]context.CancelFunc{}}
	in.turn <- struct{}{} // one is being sent; there is no connection that another one could be written to
	late, cancel := context.WithCancel(t.Context())
	cancel()
	if err := in.note(late, note{}); err == nil {
		t.Error("two notes at once")
	}
	for n := range uint64(3) {
		ctx, cancel := context.WithCancel(t.Context())
		in.subs[n] = cancel
		ended := make(chan struct{})
		go func() {
			in.follow(ctx, Subscription{n}, subscribeParams{Kind: "blocks"}, chain.Cursor{})
			close(ended)
		}()
		if err := in.unsubscribe(n); err != nil {
			t.Fatal(err)
		}
		<-ended
	}
}
