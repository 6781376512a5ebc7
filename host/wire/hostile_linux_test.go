package wire

import (
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// scribble writes something into the memory of a ring, as a worker may: the positions and the waiter words, and bytes.
func scribble(mem []byte, kind byte, where uint16, value uint64) {
	switch kind % 4 {
	case 0: // a word
		at := int(where) % (2 * ringSide / ringLine) * ringLine
		binary.NativeEndian.PutUint64(mem[at:], value)
	case 1: // a position a little further
		at := int(where) % (2 * ringSide / ringLine) * ringLine
		binary.NativeEndian.PutUint64(mem[at:], binary.NativeEndian.Uint64(mem[at:])+value%(2*ringBytes))
	case 2: // bytes at the beginning, where headers are
		at := ringPage + ringBytes + int(where)%4096
		binary.NativeEndian.PutUint64(mem[at:], value)
	case 3: // and anywhere
		at := int(where) * 8 % (ringFile - 8)
		binary.NativeEndian.PutUint64(mem[at:], value)
	}
}

var errFull = errors.New("no room")

// FuzzHostRing: whatever a worker writes into the memory, the host neither panics nor takes more than a frame, and what it
// reads is a frame or an error of the protocol.
func FuzzHostRing(f *testing.F) {
	step := func(kind byte, where uint16, value uint64) []byte {
		return binary.NativeEndian.AppendUint64(binary.NativeEndian.AppendUint16([]byte{kind}, where), value)
	}
	frame, err := Encode(Finished{Run: 1})
	if err != nil {
		f.Fatal(err)
	}
	good := append(frame, make([]byte, 24-len(frame)%8)...)
	var seed []byte
	for i := 0; i+8 <= len(good); i += 8 {
		seed = append(seed, step(2, uint16(i), binary.NativeEndian.Uint64(good[i:]))...)
	}
	f.Add(append(seed, step(1, 4, uint64(len(frame)))...))
	f.Add(append(step(2, 0, 0x44_000f_fff0), step(0, 4, 1000)...))
	f.Add(step(0, 4, ringBytes+1))
	f.Add(step(0, 1, 1<<63))
	h, file, event, err := NewRing()
	if err != nil {
		f.Fatal(err)
	}
	defer h.Close()
	_, _ = file.Close(), event.Close()
	h.Hangup() // nothing waits
	h.out.wait = func(int) error { return errFull }
	f.Fuzz(func(t *testing.T, script []byte) {
		clear(h.mem)
		h.in.at, h.in.seen, h.out.out.at, h.out.out.seen = 0, 0, 0, 0
		h.reader.buf, h.reader.from, h.reader.to = nil, 0, 0
		var m Frame
		for ; len(script) >= 11; script = script[11:] {
			scribble(h.mem, script[0], binary.NativeEndian.Uint16(script[1:]), binary.NativeEndian.Uint64(script[3:]))
			switch script[0] >> 2 % 4 {
			case 1:
				h.Buffered()
			case 2:
				if _, err := h.out.send(Input{Data: make([]byte, 100_000)}); err != nil && !errors.Is(err, ErrFrame) && err != errFull {
					t.Fatal(err)
				}
			}
			for range 3 {
				err := h.Next(&m)
				if err != nil && !errors.Is(err, ErrFrame) && err != io.EOF && err != io.ErrUnexpectedEOF {
					t.Fatal(err)
				}
				if err == nil && m.Type == TypeOutput {
					m.Output, _ = h.Gather(m.Output)
				}
			}
			if len(h.reader.buf) > MaxFrame {
				t.Fatalf("holds %d bytes", len(h.reader.buf))
			}
		}
	})
}

// TestHostilePositions: each position that cannot be is an error, of the one that it fools.
func TestHostilePositions(t *testing.T) {
	send := func(h *HostRing) error { return h.Send(Input{Data: make([]byte, 1000)}) }
	receive := func(h *HostRing) error { _, err := h.Receive(); return err }
	const tail, head = 0, ringLine
	for name, row := range map[string]struct {
		word  int
		value uint64
		of    func(*HostRing) error
	}{
		"the writer is too far": {ringSide + tail, ringBytes + 101, receive},
		"the writer goes back":  {ringSide + tail, 99, receive},
		"far back":              {ringSide + tail, 1 << 63, receive},
		"the reader overtakes":  {head, 1e6, send},
		"the reader goes back":  {head, 99, send},
		"far ahead":             {head, 1<<64 - 1, send},
	} {
		h, w := rings(t)
		for { // both have come to 100 or more
			if err := errors.Join(h.Send(Input{}), w.Send(Loaded{})); err != nil {
				t.Fatal(err)
			}
			_, err := w.Receive()
			if err := errors.Join(err, receive(h)); err != nil {
				t.Fatal(err)
			}
			if h.in.at >= 100 && h.out.out.at >= 100 {
				break
			}
		}
		if err := send(h); err != nil { // which looks at the position
			t.Fatal(err)
		}
		binary.NativeEndian.PutUint64(h.mem[row.word:], row.value)
		give := time.AfterFunc(10*time.Second, h.Interrupt)
		if err := row.of(h); !errors.Is(err, ErrFrame) {
			t.Errorf("%s: %v", name, err)
		}
		give.Stop()
	}
}

// TestHostileWorkerWritesAllTheTime while the host sends and receives.
func TestHostileWorkerWritesAllTheTime(t *testing.T) {
	rounds := 300
	if testing.Short() || raceEnabled {
		rounds = 60
	}
	counts := map[bool]int{}
	for seed := range rounds {
		h, file, event, err := NewRing()
		if err != nil {
			t.Fatal(err)
		}
		mem, err := mapRing(int(file.Fd())) // as the worker has it
		if err != nil {
			t.Fatal(err)
		}
		w, err := OpenWorkerRing(file, event)
		if err != nil {
			t.Fatal(err)
		}
		var stop atomic.Bool
		var all sync.WaitGroup
		all.Go(func() {
			r := rand.New(rand.NewPCG(4, uint64(seed)))
			for n := 0; !stop.Load(); n++ {
				if r.IntN(3) > 0 { // some sense
					w.out.out.put([]byte{4, 0, 0, 0, byte(TypeOutput), 0, 2, 'a', 'b'})
					w.out.out.show()
				} else if n > 20 {
					scribble(mem, byte(r.IntN(3)), uint16(r.Uint32()), r.Uint64()>>r.IntN(64))
				}
				w.Flush()
			}
		})
		var m Frame
		all.Go(func() {
			for h.Send(Input{Data: make([]byte, 5000)}) == nil {
				continue
			}
		})
		give := time.AfterFunc(20*time.Millisecond, h.Interrupt)
		for err = nil; err == nil; {
			if err = h.Next(&m); err == nil && m.Type == TypeOutput {
				h.Gather(m.Output)
			}
			counts[err == nil]++
		}
		if !errors.Is(err, ErrFrame) && !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%v", err)
		}
		if n := len(h.reader.buf); n > MaxFrame {
			t.Errorf("holds %d bytes", n)
		}
		give.Stop()
		h.Interrupt()
		stop.Store(true)
		all.Wait()
		if err := h.Close(); err != nil {
			t.Error(err)
		}
		unmap(t, mem, w)
	}
	if counts[true] == 0 {
		t.Error("nothing was ever received")
	}
}
