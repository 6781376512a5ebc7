package wire

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// rings returns the two ends of a ring in one process.
func rings(t testing.TB) (*HostRing, *WorkerRing) {
	t.Helper()
	h, file, event, err := NewRing()
	if err != nil {
		t.Fatal(err)
	}
	w, err := OpenWorkerRing(file, event)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.Close(); err != nil {
			t.Error(err)
		}
		unmap(t, w.mem, nil)
		_ = unix.Close(w.event)
	})
	return h, w
}

// chunks has large pieces compared at once.
var chunks = cmp.Comparer(bytes.Equal)

// unmap frees what no worker ever does.
func unmap(t testing.TB, mem []byte, w *WorkerRing) {
	t.Helper()
	if w != nil {
		unmap(t, w.mem, nil)
		_ = unix.Close(w.event)
	}
	if err := unix.Munmap(mem); err != nil {
		t.Error(err)
	}
}

func TestRingCarriesEveryMessage(t *testing.T) {
	h, w := rings(t)
	for _, m := range messages() {
		done := make(chan error, 1)
		go func() { done <- h.Send(m) }()
		got, err := w.Receive()
		if d := cmp.Diff(m, got, chunks); d != "" || err != nil {
			t.Errorf("%T to the worker: %v\n%s", m, err, d)
		}
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		go func() { done <- w.Send(m); w.Flush() }()
		var f Frame
		if err := h.Next(&f); err != nil || f.Type != m.Type() {
			t.Fatalf("%T: %v, type %d", m, err, f.Type)
		}
		if d := cmp.Diff(m, f.Message(), chunks); d != "" {
			t.Errorf("%T to the host: %s", m, d)
		}
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
}

// TestRingIsSealed: nobody can change its size, and nobody can seal it further.
func TestRingIsSealed(t *testing.T) {
	h, file, event, err := NewRing()
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	defer event.Close()
	defer file.Close()
	if flags, err := unix.FcntlInt(event.Fd(), unix.F_GETFL, 0); err != nil || flags&unix.O_NONBLOCK != 0 {
		t.Errorf("the worker would need a poller: %#x, %v", flags, err)
	}
	for _, size := range []int64{0, ringFile - 1, ringFile + 1} {
		if err := file.Truncate(size); !errors.Is(err, unix.EPERM) {
			t.Errorf("truncate to %d: %v", size, err)
		}
	}
	if _, err := unix.FcntlInt(file.Fd(), unix.F_ADD_SEALS, unix.F_SEAL_FUTURE_WRITE); !errors.Is(err, unix.EPERM) {
		t.Errorf("another seal: %v", err)
	}
	loose, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	if err := loose.Truncate(ringFile); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenWorkerRing(loose, event); err == nil {
		t.Error("a worker opened memory that is not sealed")
	}
}

// watchdog ends the program when a count has stood still for a minute: a machine with other work is slow, and never stands.
func watchdog(t *testing.T) *atomic.Int64 {
	count, stop := new(atomic.Int64), make(chan struct{})
	t.Cleanup(func() { close(stop) })
	go func() {
		for last := int64(-1); ; {
			select {
			case <-stop:
				return
			case <-time.After(time.Minute):
			}
			now := count.Load()
			if now == last {
				panic("a wake-up was lost")
			}
			last = now
		}
	}()
	return count
}

// TestRingWakesAndBlocks sends messages of all sizes in both directions at once, with pauses of all lengths, so that each
// side waits in each way; a wake-up that is lost is a test that does not end.
func TestRingWakesAndBlocks(t *testing.T) {
	n := 1_000_000
	if testing.Short() || raceEnabled {
		n = 30_000
	}
	h, w := rings(t)
	moved := watchdog(t)
	data := make([]byte, MaxChunk)
	for i := range data {
		data[i] = byte(i * 7)
	}
	size := func(r *rand.Rand) int {
		switch r.IntN(200) {
		case 0:
			return r.IntN(MaxChunk)
		case 1, 2, 3:
			return r.IntN(8 << 10)
		}
		return r.IntN(200)
	}
	pause := func(r *rand.Rand) {
		switch r.IntN(2000) {
		case 0:
			<-time.After(time.Duration(r.IntN(300)) * time.Microsecond)
		case 1, 2:
			for begin := time.Now(); time.Since(begin) < time.Duration(r.IntN(80))*time.Microsecond; {
			}
		case 3:
			runtime.Gosched()
		}
	}
	var all sync.WaitGroup
	begin := func(seed uint64, f func(r *rand.Rand)) {
		all.Go(func() {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			f(rand.New(rand.NewPCG(1, seed)))
		})
	}
	send := func(to func(Message) error) func(*rand.Rand) {
		return func(r *rand.Rand) {
			p := rand.New(rand.NewPCG(2, 2))
			var c Call
			for i := range n {
				pause(p)
				k := size(r)
				c = Call{Run: uint64(i), Data: data[:k]}
				moved.Add(1)
				if err := to(&c); err != nil {
					t.Errorf("message %d: %v", i, err)
					return
				}
			}
		}
	}
	receive := func(from func(*Frame) error) func(*rand.Rand) {
		return func(r *rand.Rand) {
			p := rand.New(rand.NewPCG(3, 3))
			var f Frame
			for i := range n {
				pause(p)
				k := size(r)
				if err := from(&f); err != nil || f.Call.Run != uint64(i) || !bytes.Equal(f.Call.Data, data[:k]) {
					t.Errorf("message %d of %d bytes: %v, %d with %d", i, k, err, f.Call.Run, len(f.Call.Data))
					h.Interrupt()
					return
				}
			}
		}
	}
	begin(7, send(h.Send))
	begin(7, receive(w.Next))
	begin(8, send(func(m Message) error { err := w.Send(m); w.Flush(); return err }))
	begin(8, receive(h.Next))
	all.Wait()
}

// TestRingTakesTurns has each side wait for the other one all the time, at all moments of the other's waiting: nothing comes
// later that would make up for a lost wake-up.
func TestRingTakesTurns(t *testing.T) {
	n := 300_000
	if testing.Short() || raceEnabled {
		n = 30_000
	}
	h, w := rings(t)
	moved := watchdog(t)
	delay := func(r *rand.Rand) {
		most := 600 // ns
		if r.IntN(300) == 0 {
			most = 200_000
		}
		d := time.Duration(r.IntN(most))
		for begin := time.Now(); time.Since(begin) < d; {
		}
	}
	var all sync.WaitGroup
	defer all.Wait()
	all.Go(func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		r := rand.New(rand.NewPCG(5, 5))
		var f Frame
		var done Finished
		for range n {
			if err := w.Next(&f); err != nil {
				t.Error(err)
				return
			}
			delay(r)
			done.Run = f.Call.Run
			if err := w.Send(&done); err != nil {
				t.Error(err)
				return
			}
			w.Flush()
		}
	})
	r := rand.New(rand.NewPCG(6, 6))
	var f Frame
	var call Call
	for i := range n {
		call.Run = uint64(i)
		moved.Add(1)
		if err := errors.Join(h.Send(&call), h.Next(&f)); err != nil || f.Finished.Run != call.Run {
			t.Fatalf("%v: %+v", err, f.Finished)
		}
		delay(r)
	}
}

// TestRingParksTwo: of two goroutines that wait for one descriptor, each is woken.
func TestRingParksTwo(t *testing.T) {
	h, w := rings(t)
	stop := time.AfterFunc(time.Minute, func() { panic("a wake-up was lost") })
	defer stop.Stop()
	t.Run("one is told what the other one missed", func(t *testing.T) {
		h.park.waits[waitsForData].Store(true)
		if err := w.Send(Loaded{}); err != nil {
			t.Fatal(err)
		}
		h.park.need.Store(ringBytes)
		h.park.at[waitsForRoom].Store(1) // there is no room
		h.park.wait(waitsForRoom)
		h.park.waits[waitsForData].Store(false)
		if m, err := h.Receive(); err != nil || m != (Loaded{}) {
			t.Errorf("%v, %v", m, err)
		}
	})
	t.Run("one after the other", func(t *testing.T) {
		full := make(chan error, 1)
		go func() {
			for range 2 * ringBytes / 1000 {
				if err := h.Send(Input{Data: make([]byte, 1000)}); err != nil {
					full <- err
					return
				}
			}
			full <- nil
		}()
		got := make(chan error, 1)
		go func() { _, err := h.Receive(); got <- err }()
		for !h.park.waits[waitsForData].Load() || !h.park.waits[waitsForRoom].Load() {
			runtime.Gosched()
		}
		if err := w.Send(Loaded{}); err != nil {
			t.Fatal(err)
		}
		w.Flush()
		if err := <-got; err != nil {
			t.Error(err)
		}
		for range 2 * ringBytes / 1000 {
			if _, err := w.Receive(); err != nil {
				t.Fatal(err)
			}
		}
		if err := <-full; err != nil {
			t.Error(err)
		}
	})
}

// TestRingEndsWaits: whoever waits for a worker is freed.
func TestRingEndsWaits(t *testing.T) {
	for name, row := range map[string]struct {
		end           func(*HostRing)
		receive, send error
	}{
		"interrupt": {(*HostRing).Interrupt, os.ErrDeadlineExceeded, os.ErrDeadlineExceeded},
		"hang up":   {(*HostRing).Hangup, io.EOF, io.ErrClosedPipe},
		"close":     {func(h *HostRing) { _ = h.Close() }, os.ErrDeadlineExceeded, os.ErrDeadlineExceeded},
	} {
		h, _ := rings(t)
		received, sent := make(chan error), make(chan error)
		go func() { _, err := h.Receive(); received <- err }()
		go func() {
			for {
				if err := h.Send(Input{Data: make([]byte, 1000)}); err != nil {
					sent <- err
					return
				}
			}
		}()
		for !h.park.waits[waitsForData].Load() || !h.park.waits[waitsForRoom].Load() {
			runtime.Gosched()
		}
		row.end(h)
		if err := <-received; !errors.Is(err, row.receive) {
			t.Errorf("%s: receive: %v", name, err)
		}
		if err := <-sent; !errors.Is(err, row.send) {
			t.Errorf("%s: send: %v", name, err)
		}
		_ = h.Close()
		if err := h.Send(Loaded{}); !errors.Is(err, os.ErrClosed) {
			t.Errorf("%s: send after close: %v", name, err)
		}
		if _, err := h.Receive(); !errors.Is(err, os.ErrClosed) {
			t.Errorf("%s: receive after close: %v", name, err)
		}
	}
}

// TestRingHangup: what a worker sent before it went is received.
func TestRingHangup(t *testing.T) {
	h, w := rings(t)
	if err := w.Send(NeedStdin{Max: 7}); err != nil {
		t.Fatal(err)
	}
	b, err := Encode(Loaded{})
	if err != nil {
		t.Fatal(err)
	}
	w.out.out.put(b[:2])
	w.out.out.show()
	h.Hangup()
	if m, err := h.Receive(); err != nil || m != (NeedStdin{Max: 7}) {
		t.Errorf("%+v, %v", m, err)
	}
	if m, err := h.Receive(); err != io.ErrUnexpectedEOF {
		t.Errorf("half a message: %+v, %v", m, err)
	}
}

func TestRingBuffered(t *testing.T) {
	h, w := rings(t)
	if h.Buffered() {
		t.Error("nothing is there")
	}
	big := Output{Data: bytes.Repeat([]byte("x"), 100_000)}
	b, err := Encode(big)
	if err != nil {
		t.Fatal(err)
	}
	w.out.out.put(b[:len(b)-1])
	w.out.out.show()
	if h.Buffered() {
		t.Error("a byte is missing")
	}
	w.out.out.put(b[len(b)-1:])
	w.out.out.show()
	for range 2 {
		if !h.Buffered() {
			t.Error("it is there")
		}
	}
	if m, err := h.Receive(); err != nil || !cmp.Equal(m, Message(big), chunks) {
		t.Errorf("%T, %v", m, err)
	}
	binary.NativeEndian.PutUint64(h.mem[ringSide:], 1<<40) // the position of the writer
	if !h.Buffered() {
		t.Error("an error is there")
	}
	if _, err := h.Receive(); !errors.Is(err, ErrFrame) {
		t.Errorf("%v", err)
	}
}

// TestRingCostsNoMemory: the messages of a run allocate nothing, on either side.
func TestRingCostsNoMemory(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	h, w := rings(t)
	call, result, output := Call{Run: 1, InputBytes: 600, Data: make([]byte, 600)}, Result{Data: make([]byte, 5000)}, Output{Data: make([]byte, 100)}
	done := Finished{Run: 1, GasUsed: 1 << 40, MemoryPeakBytes: 1 << 20}
	var f, g Frame
	round := func() {
		err := errors.Join(h.Send(&call), w.Next(&f), w.Send(&output), w.Send(&output), w.Send(&result), w.Send(&done), h.Next(&g))
		if g.Output, _ = h.Gather(g.Output); len(g.Output.Data) != 200 {
			t.Fatalf("%d bytes", len(g.Output.Data))
		}
		if err := errors.Join(err, h.Next(&g), h.Next(&g)); err != nil || g.Finished != done || len(f.Call.Data) != 600 {
			t.Fatalf("%v, %+v", err, g.Finished)
		}
	}
	for range 10 {
		round()
	}
	if n := testing.AllocsPerRun(1000, round); n > 0 {
		t.Errorf("%v allocations", n)
	}
}
