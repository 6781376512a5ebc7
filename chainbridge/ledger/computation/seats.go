package computation

import (
	"github.com/troupehost/troupe/chainbridge/ledger/pallet"
	"github.com/troupehost/troupe/chainbridge/ledger/state"
)

// The seats are numbered from 0 without gaps, chunkSeats to a chunk; who leaves is replaced by the last.
var (
	chunks = state.NewMap[uint32, chunk](name, "ComputingWorkers")
	places = state.NewMap[pallet.Account, uint32](name, "ComputingPlaces")
)

// find returns the seat of a worker, with its chunk to put back.
func find(s *state.Store, worker pallet.Account) (seats chunk, at *seat, number uint32, ok bool) {
	number, ok = places.Get(s, worker)
	if !ok {
		return nil, nil, 0, false
	}
	seats, _ = chunks.Get(s, number/chunkSeats)
	if int(number%chunkSeats) >= len(seats) {
		return nil, nil, 0, false // the state did not decode, and says so itself
	}
	return seats, &seats[number%chunkSeats], number, true
}

// sit adds a seat.
func sit(s *state.Store, who seat) {
	n, _ := onlineWorkers.Get(s)
	seats, _ := chunks.Get(s, n/chunkSeats)
	chunks.Put(s, n/chunkSeats, append(seats, who))
	places.Put(s, who.Worker, n)
	onlineWorkers.Put(s, n+1)
}

// rise removes the seat of a worker and returns it.
func rise(s *state.Store, worker pallet.Account) (seat, bool) {
	seats, at, number, ok := find(s, worker)
	n, _ := onlineWorkers.Get(s)
	if !ok || n == 0 {
		return seat{}, false
	}
	gone, end := *at, (n-1)/chunkSeats
	last := seats
	if end != number/chunkSeats {
		last, _ = chunks.Get(s, end)
	}
	if len(last) == 0 {
		return seat{}, false // as above
	}
	mover := last[len(last)-1]
	*at = mover
	if end != number/chunkSeats {
		chunks.Put(s, number/chunkSeats, seats)
	}
	if last = last[:len(last)-1]; len(last) == 0 {
		chunks.Delete(s, end)
	} else {
		chunks.Put(s, end, last)
	}
	places.Put(s, mover.Worker, number)
	places.Delete(s, worker)
	onlineWorkers.Put(s, n-1)
	return gone, true
}
