package pool

import (
	"math"
	"os"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/host/wire"
)

// Words of the ring, by their place: see the layout in wire.
const (
	hostTail     = 0 // of the direction from the host
	hostHead     = 128
	workerWaits  = 256 // waiter words
	hostWaits    = 384
	hostReads    = ringTail + 256
	workerBlocks = ringTail + 384

	waitsByEvent = 2
)

func (l *liar) word(at int) *uint32   { return (*uint32)(unsafe.Pointer(&l.mem[at])) }
func (l *liar) number(at int) *uint64 { return (*uint64)(unsafe.Pointer(&l.mem[at])) }

// memfd and event are the files of the ring, scratch is what came before them.
func (l *liar) memfd() int   { return int(l.files[len(l.files)-2].Fd()) }
func (l *liar) event() int   { return int(l.files[len(l.files)-1].Fd()) }
func (l *liar) scratch() int { return int(l.files[len(l.files)-3].Fd()) }

// wakeHost writes to the event descriptor, whatever the words say.
func (l *liar) wakeHost(n uint64) {
	b := (*[8]byte)(unsafe.Pointer(&n))
	_, _ = unix.Write(l.event(), b[:])
}

// untilParked waits until the host is parked.
func (l *liar) untilParked() {
	for atomic.LoadUint32(l.word(hostReads)) != waitsByEvent {
		_, _ = unix.Poll(nil, 1)
	}
}

// resizes reports whether the size of a file can be changed, or bytes put behind its end.
func resizes(fd int) bool {
	var st unix.Stat_t
	if unix.Fstat(fd, &st) != nil {
		return true
	}
	for _, n := range []int64{0, st.Size / 2, st.Size + 1, math.MaxInt64} {
		if unix.Ftruncate(fd, n) == nil {
			return true
		}
	}
	_, err := unix.Pwrite(fd, []byte("x"), st.Size)
	return err == nil || unix.Fallocate(fd, 0, st.Size, 4096) == nil || unix.Fallocate(fd, unix.FALLOC_FL_COLLAPSE_RANGE, 0, 4096) == nil ||
		unix.Fallocate(fd, unix.FALLOC_FL_INSERT_RANGE, 0, 4096) == nil
}

// rewrite changes what the host is about to read, as fast as it can: now it is one frame, now another.
func (l *liar) rewrite() {
	for n := 0; ; n++ {
		at := int(atomic.LoadUint64(l.number(ringHead))+uint64(n%16)) % ringBytes &^ 3
		word := l.word(ringBegin + at)
		was := atomic.LoadUint32(word)
		atomic.StoreUint32(word, was^(0xff<<(n*8%32)))
		for range n % 64 {
			atomic.StoreUint32(word, was^1)
		}
		atomic.StoreUint32(word, was)
	}
}

// ringed is a run of a worker that misuses the memory that it shares with the host.
func (l *liar) ringed(c wire.Call) {
	done := wire.Finished{Run: c.Run}
	moved := func(to func(at uint64) uint64) {
		l.say(wire.Output{Data: []byte("x")})
		l.untilRead()
		atomic.StoreUint64(l.tail(), to(atomic.LoadUint64(l.tail())))
		l.wakeHost(1)
		l.sleep()
	}
	switch l.mode {
	case "ring: resized":
		if resizes(l.memfd()) || resizes(l.scratch()) {
			done.Code = fault.GuestTrap
		}
	case "ring: filled scratch":
		b := make([]byte, 1<<20)
		for at, err := int64(0), error(nil); err == nil; at += int64(len(b)) {
			_, err = unix.Pwrite(l.scratch(), b, at)
		}
		if resizes(l.scratch()) {
			done.Code = fault.GuestTrap
		}
	case "ring: holes":
		l.say(wire.Output{Data: []byte("x")})
		l.untilRead()
		_ = unix.Fallocate(l.memfd(), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, 0, wire.RingFile)
		l.wakeHost(1)
		l.sleep()
	case "ring: rewritten":
		go l.rewrite()
		for range 500 {
			l.say(wire.Output{Data: make([]byte, 100)})
			l.say(wire.Output{Stderr: true, Data: make([]byte, 3000)})
		}
		l.sayTo(wire.Finished{Run: c.Run, GasUsed: 1000, InitGas: 10, MemoryPeakBytes: 1 << 20})
		l.sleep()
	case "ring: position back":
		moved(func(at uint64) uint64 { return at - 1 })
	case "ring: position ahead":
		moved(func(at uint64) uint64 { return at + ringBytes + 1 })
	case "ring: position huge":
		moved(func(uint64) uint64 { return 1 << 63 })
	case "ring: position largest":
		moved(func(uint64) uint64 { return math.MaxUint64 })
	case "ring: position of nothing written":
		moved(func(at uint64) uint64 { return at + 4096 })
	case "ring: reads what is not there":
		atomic.StoreUint64(l.number(hostHead), 1<<40)
		l.say(wire.NeedStdin{Max: 10})
		l.sleep()
	case "ring: forged words":
		go func() {
			for n := uint32(0); ; n++ {
				for _, at := range []int{workerWaits, hostWaits, hostReads, workerBlocks} {
					atomic.StoreUint32(l.word(at), n*2654435761|4)
				}
			}
		}()
		for range 100 {
			l.sayTo(wire.Output{Data: make([]byte, 1000)})
		}
		l.sayTo(done)
		for {
			l.wakeHost(1)
			_, _ = unix.Poll(nil, 1)
		}
	case "ring: flood of events":
		for {
			l.wakeHost(1)
		}
	case "ring: full events":
		l.untilParked()
		l.wakeHost(math.MaxUint64 - 1)
		_, _ = unix.Poll(nil, 30) // it looks, and parks again
		l.untilParked()
		l.sayTo(done)
		l.wakeHost(1) // which waits for ever
		l.sleep()
	case "ring: no wake-up":
		l.untilParked()
		l.sayTo(done)
		l.sleep()
	case "ring: no wake-up, then exit":
		l.untilParked()
		l.sayTo(wire.Output{Data: []byte("x")})
		os.Exit(3)
	case "ring: negative gas":
		done.GasUsed = -1
	case "ring: most of everything":
		done.GasUsed, done.InitGas, done.MemoryPeakBytes = math.MaxInt64, math.MaxInt64, math.MaxInt64
	}
	l.sayTo(done)
	l.ring.Flush()
}

// sayTo writes a message and wakes nobody.
func (l *liar) sayTo(m wire.Message) {
	if l.ring.Send(m) != nil {
		os.Exit(0)
	}
}
