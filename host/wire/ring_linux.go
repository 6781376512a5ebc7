package wire

import (
	"errors"
	"os"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The memory that a host and a worker share: a page of words, then the bytes from the host, then those from the worker.
const (
	ringBytes  = 256 << 10 // of each direction, a power of two
	ringPage   = 4 << 10
	ringFile   = ringPage + 2*ringBytes
	ringPiece  = 64 << 10 // a longer frame is shown in pieces, so that one side copies while the other one does
	ringLine   = 128      // words that two processors write are so far apart
	ringSide   = 4 * ringLine
	ringSeals  = unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_SEAL
	fromHost   = 0 // the directions
	fromWorker = 1
)

// What stands in a waiter word: how who waits is woken. Who wakes sets the word to awake first.
const (
	awake   uint32 = 0
	byFutex uint32 = 1 // FUTEX_WAKE on the word
	byEvent uint32 = 2 // a write to the event descriptor: for the host only
)

// RingFile is the size of the memory that a worker and its host share, in bytes.
const RingFile = ringFile

// direction is one direction in shared memory. Everything in it can be anything at any time, as the other side likes.
//
// Positions count bytes and never go back. The one who moves a position keeps it in memory of its own, and what it
// knows of the other's; a position of the other's that is impossible breaks the protocol.
type direction struct {
	tail   *uint64 // moved by the writer, once bytes stand before it
	head   *uint64 // moved by the reader, once it has copied what stands before it
	reader *uint32 // waiter word of the reader
	writer *uint32 // waiter word of the writer
	mem    []byte
}

func directionOf(mem []byte, which int) direction {
	word := func(n int) unsafe.Pointer { return unsafe.Pointer(&mem[which*ringSide+n*ringLine]) }
	from := ringPage + which*ringBytes
	return direction{
		tail: (*uint64)(word(0)), head: (*uint64)(word(1)), reader: (*uint32)(word(2)), writer: (*uint32)(word(3)),
		mem: mem[from : from+ringBytes : from+ringBytes],
	}
}

// inlet is the reading half of a direction.
type inlet struct {
	direction
	at   int64 // as head
	seen int64 // the tail that was seen last
}

// there returns how many bytes may be taken.
func (i *inlet) there() (int, error) {
	tail := int64(atomic.LoadUint64(i.tail))
	if !trusting && (tail < i.seen || tail-i.at > ringBytes) {
		return 0, bad("position of the writer")
	}
	i.seen = tail
	return int(tail - i.at), nil
}

// take copies bytes that are there, at most as many as n, and makes room. It reports whether a waiting writer should hear of it:
// not before a piece fits, or every small read would cost a wake-up.
func (i *inlet) take(p []byte, n int) (int, bool) {
	n = min(n, len(p))
	from := int(i.at & (ringBytes - 1))
	k := copy(p[:n], i.mem[from:])
	copy(p[k:n], i.mem)
	i.at += int64(n)
	atomic.SwapUint64(i.head, uint64(i.at))
	return n, i.seen-i.at <= ringBytes-ringPiece && atomic.LoadUint32(i.writer) != awake
}

// outlet is the writing half of a direction.
type outlet struct {
	direction
	at   int64 // as tail
	seen int64 // the head that was seen last
}

// room returns how many bytes fit.
func (o *outlet) room() (int, error) {
	head := int64(atomic.LoadUint64(o.head))
	if head < o.seen || head > o.at {
		return 0, bad("position of the reader")
	}
	o.seen = head
	return ringBytes - int(o.at-head), nil
}

// put copies bytes that fit, without showing them.
func (o *outlet) put(p []byte) {
	from := int(o.at & (ringBytes - 1))
	k := copy(o.mem[from:], p)
	copy(o.mem, p[k:])
	o.at += int64(len(p))
}

// show moves the position to where put has come, and reports whether the reader waits.
func (o *outlet) show() bool {
	atomic.SwapUint64(o.tail, uint64(o.at)) // a Store that no later look passes, under the race detector too
	return atomic.LoadUint32(o.reader) != awake
}

// frames writes frames to an outlet. wait returns once that many bytes fit; wake wakes the reader.
type frames struct {
	out  outlet
	enc  encoder
	buf  []byte
	wait func(n int) error
	wake func()
}

// send writes one frame and leaves it to the caller to wake the reader, if it reports that one waits.
func (f *frames) send(m Message) (waits bool, err error) {
	head, rest, err := f.enc.frame(f.buf[:0], m)
	if cap(head) <= 2*MaxChunk {
		f.buf = head[:0]
	}
	if err != nil {
		return false, err
	}
	if len(rest) <= ringPiece/16 { // two copies cost less than two looks
		head, rest = append(head, rest...), nil
		f.buf = head[:0]
	}
	for part := range 2 {
		p := head
		if part == 1 {
			p = rest
		}
		for len(p) > 0 {
			n := min(len(p), ringPiece)
			room, err := f.out.room()
			if err != nil {
				return false, err
			}
			if room < n {
				if f.out.show() {
					f.wake()
				}
				if err := f.wait(n); err != nil {
					return false, err
				}
				continue
			}
			f.out.put(p[:n])
			if p = p[n:]; len(p) > 0 && f.out.show() {
				f.wake()
			}
		}
	}
	return f.out.show(), nil
}

// newRingFile makes the memory of a ring. Nobody can change its size, so nobody can take pages from under a reader.
func newRingFile() (*os.File, []byte, error) {
	fd, err := unix.MemfdCreate("ring", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return nil, nil, os.NewSyscallError("memfd_create", err)
	}
	f := os.NewFile(uintptr(fd), "ring")
	err = f.Truncate(ringFile)
	if err == nil && !unsealed() {
		if _, err = unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, ringSeals); err == nil {
			err = checkRing(fd)
		}
	}
	var mem []byte
	if err == nil {
		mem, err = mapRing(fd)
	}
	if err != nil {
		_ = f.Close()
		return nil, nil, err
	}
	return f, mem, nil
}

var errRing = errors.New("the memory of the ring is not sealed, or has another size")

// checkRing makes sure that no size can change and that no other seal can come: one against writing would be the end of
// the conversation.
func checkRing(fd int) error {
	seals, err := unix.FcntlInt(uintptr(fd), unix.F_GET_SEALS, 0)
	if err != nil {
		return os.NewSyscallError("fcntl", err)
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return os.NewSyscallError("fstat", err)
	}
	if seals&ringSeals != ringSeals || st.Size != ringFile {
		return errRing
	}
	return nil
}

func mapRing(fd int) ([]byte, error) {
	mem, err := unix.Mmap(fd, 0, ringFile, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, os.NewSyscallError("mmap", err)
	}
	return mem, nil
}

// The operations of the system call, on memory that several processes share.
const (
	futexWait = 0
	futexWake = 1
)

// sleepOn waits until the word is no longer v, or is woken, or for at most so long; 0 is for ever. It may return early.
func sleepOn(word *uint32, v uint32, most time.Duration) {
	if most == 0 {
		_, _, _ = unix.Syscall6(unix.SYS_FUTEX, uintptr(unsafe.Pointer(word)), futexWait, uintptr(v), 0, 0, 0)
		return
	}
	ts := unix.NsecToTimespec(int64(most))
	_, _, _ = unix.Syscall6(unix.SYS_FUTEX, uintptr(unsafe.Pointer(word)), futexWait, uintptr(v), uintptr(unsafe.Pointer(&ts)), 0, 0)
}

// rouse wakes who waits by a word, if one does, and returns how it wants to be woken if that is not by the word.
func rouse(word *uint32) uint32 {
	if atomic.LoadUint32(word) == awake {
		return awake
	}
	how := atomic.SwapUint32(word, awake)
	if how == byFutex {
		_, _, _ = unix.RawSyscall6(unix.SYS_FUTEX, uintptr(unsafe.Pointer(word)), futexWake, 1, 0, 0, 0)
		return awake
	}
	return how
}
