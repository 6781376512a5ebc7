package engine

import (
	"github.com/tetratelabs/wazero/experimental"
	"golang.org/x/sys/unix"
)

// linearMemory reserves address space up to the limit of the run and commits it as the guest grows. Growth past the
// limit, or past what the kernel gives, is refused: the guest sees -1.
type linearMemory struct {
	limit    int64
	reserved []byte
	size     int64
	peak     int64
	refused  bool
}

// Allocate implements experimental.MemoryAllocator.
func (m *linearMemory) Allocate(_, _ uint64) experimental.LinearMemory {
	// A module has one memory; MAP_NORESERVE keeps the reservation free of charge.
	if b, err := unix.Mmap(-1, 0, int(m.limit), unix.PROT_NONE, unix.MAP_PRIVATE|unix.MAP_ANON|unix.MAP_NORESERVE); err == nil {
		m.reserved = b
	}
	return m
}

// Reallocate implements experimental.LinearMemory.
func (m *linearMemory) Reallocate(size uint64) []byte {
	n := int64(size)
	if n < m.size || n > int64(len(m.reserved)) {
		m.refused = true
		return nil
	}
	if n > m.size {
		if unix.Mprotect(m.reserved[m.size:n], unix.PROT_READ|unix.PROT_WRITE) != nil {
			m.refused = true
			return nil
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
