package engine

import (
	"github.com/tetratelabs/wazero/experimental"
	"golang.org/x/sys/unix"

	"github.com/troupehost/troupe/actors/fault"
)

// linearMemory reserves address space up to the limit of the run and commits it as the guest grows. Growth past the
// limit is refused: the guest sees -1. If the kernel refuses memory below the limit, the run ends: what a guest sees
// must not depend on the machine.
type linearMemory struct {
	limit    int64
	reserved []byte
	size     int64
	peak     int64
	refused  bool // a growth, past the limit
}

// Allocate implements experimental.MemoryAllocator.
func (m *linearMemory) Allocate(_, _ uint64) experimental.LinearMemory {
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
	if n > int64(len(m.reserved)) {
		m.refused = true
	}
	if n < m.size || n > int64(len(m.reserved)) {
		return nil
	}
	if n > m.size {
		if err := unix.Mprotect(m.reserved[m.size:n], unix.PROT_READ|unix.PROT_WRITE); err != nil {
			panic(fault.New(fault.HostMemory, "commit linear memory", "", err))
		}
		m.size, m.peak = n, max(m.peak, n)
	}
	return m.reserved[:n:len(m.reserved)]
}

// Free implements experimental.LinearMemory.
func (m *linearMemory) Free() {
	if m.reserved != nil {
		_ = unix.Munmap(m.reserved)
	}
	m.reserved, m.size = nil, 0
}
