package wire

import (
	"io"
	"os"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// WorkerRing is the worker's end of the memory that it shares with the host. It waits in plain blocking system calls.
//
// One thread at a time may receive and one may send, two at once; Flush may be called by anybody. It is never closed:
// a worker ends with it.
type WorkerRing struct {
	event  int
	gone   atomic.Bool
	mem    []byte
	in     inlet
	reader reader
	out    frames
}

// OpenWorkerRing opens the worker's end with the files of NewRing, which it takes over.
func OpenWorkerRing(ring, event *os.File) (*WorkerRing, error) {
	defer ring.Close()
	defer event.Close()
	if err := checkRing(int(ring.Fd())); err != nil {
		return nil, err
	}
	fd, err := unix.FcntlInt(event.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("fcntl", err)
	}
	mem, err := mapRing(int(ring.Fd()))
	if err != nil {
		_ = unix.Close(fd)
		return nil, err
	}
	w := &WorkerRing{event: fd, mem: mem}
	w.in.direction, w.out.out.direction = directionOf(mem, fromHost), directionOf(mem, fromWorker)
	w.reader.fill, w.out.wait, w.out.wake = w.fill, w.awaitRoom, w.Flush
	return w, nil
}

// Send writes one message, and waits while there is no room. The host sees it when it looks; if it sleeps, Flush wakes it,
// and so does every wait of this end. A pointer to a message is a message too.
func (w *WorkerRing) Send(m Message) error {
	_, err := w.out.send(m)
	return err
}

// Hangup says that the host is gone: Receive returns what is there, and then io.EOF; Send fails instead of waiting.
func (w *WorkerRing) Hangup() {
	w.gone.Store(true)
	rouse(w.in.reader)
	rouse(w.out.out.writer)
}

// Flush wakes the host if it waits for what was sent.
func (w *WorkerRing) Flush() { w.rouse(w.out.out.reader) }

// Pending reports whether the host waits for what was sent: Flush would wake it.
func (w *WorkerRing) Pending() bool { return atomic.LoadUint32(w.out.out.reader) != awake }

// Buffered reports whether a message, or part of one, is there.
func (w *WorkerRing) Buffered() bool {
	n, err := w.in.there()
	return n > 0 || err != nil || w.reader.whole()
}

// Receive reads one message. Its Data is valid until the next Receive.
func (w *WorkerRing) Receive() (Message, error) { return w.reader.next() }

// Next is Receive into a Frame, without memory for the message.
func (w *WorkerRing) Next(f *Frame) error { return w.reader.into(f) }

func (w *WorkerRing) rouse(word *uint32) {
	if rouse(word) == byEvent {
		one := [8]byte{0: 1} // little-endian or not, it is not 0
		_, _ = unix.Write(w.event, one[:])
	}
}

func (w *WorkerRing) fill(p []byte) (int, error) {
	for {
		gone := w.gone.Load()
		n, err := w.in.there()
		if err != nil {
			return 0, err
		}
		if n > 0 {
			n, waits := w.in.take(p, n)
			if waits {
				w.rouse(w.in.writer)
			}
			return n, nil
		}
		if gone {
			return 0, io.EOF
		}
		w.Flush()
		w.sleep(w.in.reader, func() bool { return w.gone.Load() || int64(atomic.LoadUint64(w.in.tail)) != w.in.at })
	}
}

func (w *WorkerRing) awaitRoom(n int) error {
	for {
		room, err := w.out.out.room()
		if err != nil || room >= n {
			return err
		}
		if w.gone.Load() {
			return io.ErrClosedPipe
		}
		w.Flush()
		w.sleep(w.out.out.writer, func() bool {
			return w.gone.Load() || w.out.out.at-int64(atomic.LoadUint64(w.out.out.head)) <= int64(ringBytes-n)
		})
	}
}

// workerLooks is how often the worker looks again before it sleeps.
const workerLooks = 100

func (w *WorkerRing) sleep(word *uint32, ready func() bool) {
	for range workerLooks {
		if ready() {
			return
		}
	}
	atomic.SwapUint32(word, byFutex)
	if !ready() {
		sleepOn(word, byFutex, forever)
	}
	atomic.StoreUint32(word, awake)
}

const forever = time.Duration(0)
