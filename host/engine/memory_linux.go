package engine

import (
	"os"
	"unsafe"

	"github.com/tetratelabs/wazero/experimental"
	"golang.org/x/sys/unix"

	"github.com/troupehost/troupe/actors/fault"
)

// linearMemory reserves address space up to the limit of the run and commits it as the guest grows. Growth past the
// limit is refused: the guest sees -1. If the kernel refuses memory below the limit, the run ends: what a guest sees
// must not depend on the machine.
//
// The reservation outlives instances where keep is set: the next one starts in it, over what base says.
type linearMemory struct {
	limit    int64
	reserved []byte
	size     int64 // what the guest sees
	ready    int64 // committed; all of it behind size is zero
	peak     int64
	refused  bool // a growth, past the limit
	keep     bool // Free leaves the reservation to the next instance
	base     *base
}

// Allocate implements experimental.MemoryAllocator.
func (m *linearMemory) Allocate(_, _ uint64) experimental.LinearMemory {
	if m.reserved != nil { // see recycle
		return m
	}
	// A module has one memory; MAP_NORESERVE keeps the reservation free of charge.
	b, err := unix.Mmap(-1, 0, int(m.limit), unix.PROT_NONE, unix.MAP_PRIVATE|unix.MAP_ANON|unix.MAP_NORESERVE)
	if err != nil {
		panic(fault.New(fault.HostMemory, "reserve linear memory", "", err))
	}
	m.reserved = b
	return m
}

// Reallocate implements experimental.LinearMemory.
func (m *linearMemory) Reallocate(size uint64) []byte {
	n := int64(size)
	if n > m.limit {
		m.refused = true
	}
	if n < m.size || n > m.limit {
		return nil
	}
	if n > m.ready {
		if err := unix.Mprotect(m.reserved[m.ready:n], unix.PROT_READ|unix.PROT_WRITE); err != nil {
			panic(fault.New(fault.HostMemory, "commit linear memory", "", err))
		}
		m.ready = n
	}
	m.size = n
	m.peak = max(m.peak, n)
	return m.reserved[:n:len(m.reserved)]
}

// Free implements experimental.LinearMemory.
func (m *linearMemory) Free() {
	if !m.keep {
		m.release()
	}
}

// release gives the reservation back.
func (m *linearMemory) release() {
	if m.reserved != nil {
		_ = unix.Munmap(m.reserved)
	}
	m.reserved, m.size, m.ready, m.base = nil, 0, 0, nil
}

// fits reports whether an instance under this limit can live in the reservation.
func (m *linearMemory) fits(limit int64) bool {
	return m.reserved != nil && limit <= int64(len(m.reserved))
}

// recycle makes the memory ready for a new instance under a limit, which is to start over b. Nothing of an earlier one is left.
func (m *linearMemory) recycle(limit int64, b *base) {
	m.limit, m.size = limit, 0
	switch {
	case !m.fits(limit):
		m.release()
	case m.base == b:
		m.forget(0, m.ready)
	default:
		err := remap(m.reserved[:m.ready], unix.PROT_NONE, unix.MAP_PRIVATE|unix.MAP_ANON|unix.MAP_NORESERVE|unix.MAP_FIXED, ^uintptr(0), 0)
		if err != nil && m.ready > 0 {
			m.release()
			return
		}
		m.ready, m.base = 0, nil
	}
}

// put makes b what the memory holds, and zeros elsewhere. It is over once its size is reached.
func (m *linearMemory) put(b *base) error {
	if m.base == b {
		m.forget(0, m.ready)
		return nil
	}
	if old := m.base; old != nil { // to forget would bring its bytes back
		const fresh = unix.MAP_PRIVATE | unix.MAP_ANON | unix.MAP_NORESERVE | unix.MAP_FIXED
		if err := remap(m.reserved[old.at:old.end()], unix.PROT_READ|unix.PROT_WRITE, fresh, ^uintptr(0), 0); err != nil {
			return err
		}
		m.base = nil
	}
	m.forget(0, m.ready)
	if b == nil {
		return nil
	}
	if b.file == nil {
		copy(m.reserved[b.at:], b.bytes)
		return nil
	}
	if err := mapOver(m.reserved[b.at:b.end()], b.file, b.offset, unix.PROT_READ|unix.PROT_WRITE); err != nil {
		return err
	}
	m.base = b
	return nil
}

// forget brings whole pages back to what they started as: to the base, or to zeros.
func (m *linearMemory) forget(from, to int64) {
	if from >= to {
		return
	}
	_, _, errno := unix.RawSyscall(unix.SYS_MADVISE, uintptr(unsafe.Pointer(&m.reserved[from])), uintptr(to-from), unix.MADV_DONTNEED)
	if errno != 0 { // nothing of a run may stay
		panic(fault.New(fault.HostMemory, "reset linear memory", "", os.NewSyscallError("madvise", errno)))
	}
}

// view is all that the guest sees.
func (m *linearMemory) view() []byte { return m.reserved[:m.size] }

// scratch is the file into which snapshots are written, at the addresses that they have in memory.
type scratch struct {
	file   *os.File
	size   int64
	mapped []byte // all of it, shared
	from   int64  // what was ever written
	to     int64
}

// capture writes memory into the file and returns it as a base. Whatever was captured before is gone.
func (s *scratch) capture(memory []byte) (*base, error) {
	from, to := extent(memory)
	if from == to {
		return nil, nil //nolint:nilnil // nothing but zeros: no base
	}
	if to > s.size && s.file != nil {
		return nil, os.ErrInvalid
	}
	if s.file == nil { // nobody gave one: the engine runs outside of a worker
		size := max(to, 1<<20)
		f, err := scratchFile(size)
		if err != nil {
			return nil, err
		}
		s.file, s.size = f, size
	}
	if s.mapped == nil {
		b, err := unix.Mmap(int(s.file.Fd()), 0, int(s.size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_NORESERVE)
		if err != nil {
			return nil, os.NewSyscallError("mmap", err)
		}
		s.mapped = b
	}
	for at := from; at < to; at += pageBytes {
		old := at >= s.from && at < s.to
		if page := memory[at : at+pageBytes]; old || !isZero(page) {
			copy(s.mapped[at:], page)
		}
	}
	if s.to == 0 {
		s.from, s.to = from, to
	}
	s.from, s.to = min(s.from, from), max(s.to, to)
	return &base{file: s.file, offset: from, at: from, bytes: s.mapped[from:to]}, nil
}

func (s *scratch) close() {
	if s.mapped != nil {
		_ = unix.Munmap(s.mapped)
	}
	if s.file != nil {
		_ = s.file.Close()
	}
	*s = scratch{}
}

// newBase returns a part of an artifact as the base of memory at an address.
func newBase(c Content, at uint64) (*base, *os.File, error) {
	if c.File != nil {
		return &base{file: c.File, at: int64(at), bytes: c.Bytes}, nil, nil
	}
	f, err := scratchFile(int64(len(c.Bytes)))
	if err != nil {
		return nil, nil, err
	}
	if err := fill(f, c.Bytes); err != nil {
		_ = f.Close()
		return nil, nil, err
	}
	return &base{file: f, at: int64(at), bytes: c.Bytes}, f, nil
}
