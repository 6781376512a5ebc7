package requests

import (
	"testing"

	"github.com/troupehost/troupe/chainbridge/ledger/state"
)

// looked counts what is read of the committed state.
type looked struct {
	state.Source
	n int
}

func (l *looked) Get(key []byte) ([]byte, error) {
	l.n++
	return l.Source.Get(key)
}

// Who makes very many deadlines at once makes them later, and does not make each next one look at all of them.
func TestS60DeadlinesDoNotAddUp(t *testing.T) {
	const full = 30
	for _, d := range []deadline{{}, {Node: "n"}} {
		mem := state.NewMemory()
		s := state.NewStore(mem)
		for n := range uint64(full * maxDeadlines) {
			if got, want := expect(s, 100, d), 100+n/maxDeadlines; got != want {
				t.Fatalf("deadline %d is at %d, want %d", n, got, want)
			}
		}
		mem.Apply(s.Changes())
		source := &looked{Source: mem}
		if got := expect(state.NewStore(source), 105, d); got != 100+full || source.n > 8 {
			t.Errorf("there is room at %d after %d reads", got, source.n)
		}
		if got := expect(state.NewStore(mem), 200, d); got != 200 {
			t.Errorf("behind all of them there is room at %d", got)
		}
	}
}
