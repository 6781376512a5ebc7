package market

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

// Who closes very many tickets at once makes their ends come later, and does not make each next closing look at all of them.
func TestW59ClosingsDoNotAddUp(t *testing.T) {
	const full = 50
	mem := state.NewMemory()
	s := state.NewStore(mem)
	for n := range uint64(full * maxDuties) {
		if got, want := schedule(s, room, 100, duty{ID: n}), 100+n/maxDuties; got != want {
			t.Fatalf("duty %d is at %d, want %d", n, got, want)
		}
	}
	mem.Apply(s.Changes())
	for height := uint64(100); height < 110; height++ {
		source := &looked{Source: mem}
		if got := schedule(state.NewStore(source), room, height, duty{}); got != 100+full {
			t.Errorf("from %d on there is room at %d", height, got)
		}
		if source.n > 8 {
			t.Errorf("from %d on: %d reads", height, source.n)
		}
	}
	if got := schedule(state.NewStore(mem), room, 200, duty{}); got != 200 {
		t.Errorf("behind all of them there is room at %d", got)
	}
}
