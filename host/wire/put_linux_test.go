package wire

import (
	"errors"
	"os"
	"sync/atomic"
	"testing"
	"time"
)

// TestPutWakesWithWhoWaits: what is put is heard of before anybody waits for the answer, whoever of the two comes first.
func TestPutWakesWithWhoWaits(t *testing.T) {
	n := 100_000
	if testing.Short() || raceEnabled {
		n = 10_000
	}
	h, w := rings(t)
	stop := time.AfterFunc(2*time.Minute, func() { panic("a wake-up was lost") })
	defer stop.Stop()
	go func() {
		var f Frame
		var done Finished
		for range n {
			if w.Next(&f) != nil {
				return
			}
			done.Run = f.Call.Run
			_ = w.Send(&done)
			w.Flush()
		}
	}()
	turn, put := make(chan uint64), make(chan error, 1)
	go func() {
		for id := range turn {
			put <- h.Put(&Call{Run: id})
		}
	}()
	defer close(turn)
	var f Frame
	for id := range uint64(n) {
		turn <- id
		if id%2 == 0 { // before it waits, and otherwise at about the same time
			if err := <-put; err != nil {
				t.Fatal(err)
			}
		}
		if err := h.Next(&f); err != nil || f.Finished.Run != id {
			t.Fatalf("call %d: %v, %d", id, err, f.Finished.Run)
		}
		if id%2 == 1 {
			if err := <-put; err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestPutLeavesTheWorkerAsleep: it is Wake that wakes it.
func TestPutLeavesTheWorkerAsleep(t *testing.T) {
	h, w := rings(t)
	atomic.StoreUint32(w.in.reader, byFutex)
	if err := h.Put(&Call{Run: 1}); err != nil {
		t.Fatal(err)
	}
	if atomic.LoadUint32(w.in.reader) != byFutex {
		t.Error("it was woken for one message")
	}
	h.Wake()
	if atomic.LoadUint32(w.in.reader) != awake {
		t.Error("it sleeps on")
	}
	h.Interrupt()
	if err := h.Put(Loaded{}); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("put after an interrupt: %v", err)
	}
	_ = h.Close()
	h.Wake()
	if err := h.Put(Loaded{}); !errors.Is(err, os.ErrClosed) {
		t.Errorf("put after close: %v", err)
	}
}

// TestACallBeforeTheParkingIsHeard: the worker has called for what the host knows already, and takes it for awake. Whoever
// parks then would never be called again.
func TestACallBeforeTheParkingIsHeard(t *testing.T) {
	h, w := rings(t)
	for side, word := range map[int]*uint32{waitsForData: w.out.out.reader, waitsForRoom: w.in.writer} {
		h.park.at[side].Store(0)
		h.park.need.Store(ringBytes + 1) // there is never room
		h.park.waits[side].Store(true)
		for range 2 { // a write of each side, so that no edge is left over
			atomic.StoreUint32(word, byEvent)
			time.AfterFunc(time.Millisecond, func() { w.rouse(word) })
			h.park.wait(side)
		}
		atomic.StoreUint32(word, awake) // by a call whose edge is gone
		done := make(chan struct{})
		go func() {
			defer close(done)
			h.park.wait(side)
		}()
		select {
		case <-done:
		case <-time.After(10 * time.Second):
			t.Fatalf("side %d is parked", side)
		}
		h.park.waits[side].Store(false)
	}
}
