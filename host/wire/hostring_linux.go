package wire

import (
	"errors"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// How the host waits: it looks again so many times, then sleeps so long in the kernel, where it is woken fastest, and then
// parks its goroutine, which holds no thread.
const (
	hostLooks = 100
	hostSleep = 50 * time.Microsecond
)

// HostRing is the host's end of the memory that it shares with one worker, which may write anything into it at any time.
//
// One goroutine at a time may receive and one may send, two at once. Interrupt, Hangup, Buffered beside Send, and Close
// may be called by anybody.
type HostRing struct {
	mu    sync.RWMutex // read-locked by who uses mem
	mem   []byte       // nil: closed
	state atomic.Int32
	end   chan struct{} // closed with the first state but open

	in     inlet
	reader reader
	out    frames

	park    parking
	waiting atomic.Bool // who receives has seen to it that the worker is awake, and waits
}

// States of a HostRing; they only grow.
const (
	ringOpen int32 = iota
	ringHungUp
	ringInterrupted
)

// NewRing returns the host's end of a new ring, and what the worker opens with OpenWorkerRing: the memory and the
// descriptor by which it wakes the host. The two files are the caller's to send and to close.
func NewRing() (*HostRing, *os.File, *os.File, error) {
	file, mem, err := newRingFile()
	if err != nil {
		return nil, nil, nil, err
	}
	failed := func(err error) (*HostRing, *os.File, *os.File, error) {
		_ = unix.Munmap(mem)
		_ = file.Close()
		return nil, nil, nil, err
	}
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return failed(os.NewSyscallError("eventfd", err))
	}
	mine := os.NewFile(uintptr(fd), "event") // in the poller, since it does not block
	h := &HostRing{mem: mem, end: make(chan struct{})}
	if err := h.park.open(mine, h); err != nil {
		return failed(err)
	}
	// From here on it blocks, for both sides, or the worker's runtime would want a poller, which its sandbox does not have.
	err = unix.SetNonblock(fd, false)
	other := -1
	if err == nil {
		other, err = unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	}
	if err != nil {
		_ = mine.Close()
		return failed(os.NewSyscallError("fcntl", err))
	}
	theirs := os.NewFile(uintptr(other), "event")
	h.in.direction, h.out.out.direction = directionOf(mem, fromWorker), directionOf(mem, fromHost)
	h.reader.fill, h.out.wait, h.out.wake = h.fill, h.awaitRoom, h.wakeReader
	return h, file, theirs, nil
}

// Send writes one message, and waits while there is no room. A pointer to a message is a message too, and one that is
// used again and again costs no memory.
//
// # Errors
//
// ErrFrame: the message is over a limit, or the worker broke the protocol. os.ErrDeadlineExceeded after Interrupt,
// io.ErrClosedPipe after Hangup, os.ErrClosed after Close. Part of the message may be sent then.
func (h *HostRing) Send(m Message) error { return h.send(m, true) }

// Put is Send without waking the worker, which hears of the message when Wake is called, at the next Send, or when who
// receives has to wait: so several messages are one wake-up.
func (h *HostRing) Put(m Message) error { return h.send(m, false) }

func (h *HostRing) send(m Message, wake bool) error {
	if err := h.enter(); err != nil {
		return err
	}
	defer h.mu.RUnlock()
	switch h.state.Load() {
	case ringInterrupted:
		return os.ErrDeadlineExceeded
	case ringHungUp:
		return io.ErrClosedPipe
	}
	waits, err := h.out.send(m)
	if waits && (wake || h.waiting.Load()) { // whoever waits from now on looks after the worker first
		h.wakeReader()
	}
	return err
}

// Wake wakes the worker if it waits.
func (h *HostRing) Wake() {
	if h.enter() == nil {
		h.wakeReader()
		h.mu.RUnlock()
	}
}

// Receive reads one message. Its Data is valid until the next Receive.
//
// # Errors
//
// ErrFrame: the worker broke the protocol. os.ErrDeadlineExceeded after Interrupt; io.EOF after Hangup, once nothing is
// left, or io.ErrUnexpectedEOF in the middle of a message; os.ErrClosed after Close.
func (h *HostRing) Receive() (Message, error) {
	if err := h.enter(); err != nil {
		return nil, err
	}
	defer h.mu.RUnlock()
	if h.state.Load() == ringInterrupted {
		return nil, os.ErrDeadlineExceeded
	}
	return h.reader.next()
}

// Next is Receive into a Frame, without memory for the message.
func (h *HostRing) Next(f *Frame) error {
	if err := h.enter(); err != nil {
		return err
	}
	defer h.mu.RUnlock()
	if h.state.Load() == ringInterrupted {
		return os.ErrDeadlineExceeded
	}
	return h.reader.into(f)
}

// Gather appends to first, the Output that Receive has just returned, the data of those of the same stream that have been
// read with it, as far as one chunk reaches, and returns how many they are. It does not wait.
func (h *HostRing) Gather(first Output) (Output, int64) { return h.reader.gather(first) }

// Buffered reports whether a whole message is there: the next Receive would not wait. Only who receives may call it: the
// Data of the last message is not valid afterwards.
func (h *HostRing) Buffered() bool {
	if h.enter() != nil {
		return true
	}
	defer h.mu.RUnlock()
	for h.state.Load() != ringInterrupted && !h.reader.whole() {
		gone := h.state.Load() != ringOpen
		if n, err := h.in.there(); err == nil && n == 0 {
			return gone
		}
		if h.reader.more() != nil { // as the next Receive will say
			return true
		}
	}
	return true
}

// Interrupt ends the waiting of Send and Receive for good: those under way and all that follow fail with
// os.ErrDeadlineExceeded.
func (h *HostRing) Interrupt() { h.raise(ringInterrupted) }

// Hangup says that the worker is gone: Receive still returns what is there, and then io.EOF; Send fails.
func (h *HostRing) Hangup() { h.raise(ringHungUp) }

func (h *HostRing) raise(to int32) {
	for {
		was := h.state.Load()
		if was >= to {
			return
		}
		if h.state.CompareAndSwap(was, to) {
			if was == ringOpen {
				close(h.end)
			}
			h.park.stop()
			return
		}
	}
}

// Close interrupts, waits until nobody uses the memory, and gives it back.
func (h *HostRing) Close() error {
	h.Interrupt()
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.mem == nil {
		return nil
	}
	err := unix.Munmap(h.mem)
	h.mem = nil
	return errors.Join(err, h.park.close())
}

// enter keeps the memory in place until mu is unlocked for reading.
func (h *HostRing) enter() error {
	h.mu.RLock()
	if h.mem == nil {
		h.mu.RUnlock()
		return os.ErrClosed
	}
	return nil
}

func (h *HostRing) wakeReader() { rouse(h.out.out.reader) }

// fill copies what is there, or waits for it.
func (h *HostRing) fill(p []byte) (int, error) {
	for {
		gone := h.state.Load() // before the look: what the worker wrote before it went is there
		if gone == ringInterrupted {
			return 0, os.ErrDeadlineExceeded
		}
		n, err := h.in.there()
		if err != nil {
			return 0, err
		}
		if n > 0 {
			n, waits := h.in.take(p, n)
			if waits {
				rouse(h.in.writer)
			}
			return n, nil
		}
		if gone == ringHungUp {
			return 0, io.EOF
		}
		h.waiting.Swap(true)
		h.wakeReader()
		h.wait(waitsForData)
		h.waiting.Store(false)
	}
}

// awaitRoom waits until n bytes fit.
func (h *HostRing) awaitRoom(n int) error {
	h.park.need.Store(int64(n))
	for {
		switch h.state.Load() {
		case ringInterrupted:
			return os.ErrDeadlineExceeded
		case ringHungUp:
			return io.ErrClosedPipe
		}
		if room, err := h.out.out.room(); err != nil || room >= n {
			return err
		}
		h.wait(waitsForRoom)
	}
}

// ready reports whether it makes no sense to wait any longer. It may be called by who does not wait.
func (h *HostRing) ready(side int) bool {
	if h.state.Load() != ringOpen {
		return true
	}
	if side == waitsForData {
		return int64(atomic.LoadUint64(h.in.tail)) != h.park.at[side].Load()
	}
	head := int64(atomic.LoadUint64(h.out.out.head))
	return h.park.at[side].Load()-head <= ringBytes-h.park.need.Load()
}

// called reports whether who waits for an event must not wait any longer: also if the worker has called already, though for
// what was there before. It has taken the word back then, and calls nobody for what comes next.
func (h *HostRing) called(side int) bool {
	return h.ready(side) || atomic.LoadUint32(h.word(side)) != byEvent
}

// word returns the waiter word of a side.
func (h *HostRing) word(side int) *uint32 {
	if side == waitsForData {
		return h.in.reader
	}
	return h.out.out.writer
}

// wait returns when the side may be ready, or for nothing.
func (h *HostRing) wait(side int) {
	word := h.word(side)
	if side == waitsForData { // the other side's position is another goroutine's
		h.park.at[side].Store(h.in.at)
	} else {
		h.park.at[side].Store(h.out.out.at)
	}
	for range hostLooks {
		if h.ready(side) {
			return
		}
	}
	defer atomic.StoreUint32(word, awake)
	atomic.SwapUint32(word, byFutex)
	if h.ready(side) {
		return
	}
	sleepOn(word, byFutex, hostSleep)
	if h.ready(side) {
		return
	}
	h.park.waits[side].Swap(true)
	defer h.park.waits[side].Store(false)
	atomic.SwapUint32(word, byEvent)
	if !h.ready(side) {
		h.park.wait(side)
	}
}

// Who waits.
const (
	waitsForData = 0
	waitsForRoom = 1
)

// parking is where the two goroutines that wait for one worker are parked, the one that receives and the one that sends.
//
// One of them waits for the event descriptor in the poller of the runtime, and lets the other one do it when it is woken. It is
// told of each write there, since the poller counts edges; so nobody reads the descriptor, whose flags the worker may change.
type parking struct {
	file  *os.File
	raw   syscall.RawConn
	ring  *HostRing
	token chan struct{} // held by who waits for the descriptor
	polls [2]func(uintptr) bool
	again [2]bool // whether the function has been called in this wait

	waits [2]atomic.Bool
	at    [2]atomic.Int64 // the position of who waits
	need  atomic.Int64    // bytes of room
}

func (p *parking) open(file *os.File, ring *HostRing) (err error) {
	p.file, p.ring, p.token = file, ring, make(chan struct{}, 1)
	for side := range p.polls {
		p.polls[side] = func(uintptr) bool {
			if p.again[side] { // woken
				return true
			}
			p.again[side] = true
			// An edge may have come for the other one while nobody waited for it.
			return ring.called(side) || p.waits[1-side].Load() && ring.called(1-side)
		}
	}
	if err = file.SetReadDeadline(time.Time{}); err == nil { // an error if the poller does not take it
		p.raw, err = file.SyscallConn()
	}
	if err != nil {
		_ = file.Close()
	}
	return err
}

// wait returns after an event, or for nothing. waits must be set.
func (p *parking) wait(side int) {
	select {
	case <-p.ring.end:
	case p.token <- struct{}{}:
		p.again[side] = false
		_ = p.raw.Read(p.polls[side]) // an error is one of stop, which ready sees
		<-p.token
	}
}

func (p *parking) stop() { _ = p.file.SetReadDeadline(time.Unix(1, 0)) }

func (p *parking) close() error { return p.file.Close() }
