//go:build !linux

package engine

import "github.com/tetratelabs/wazero/experimental"

// linearMemory is a slice where the host is unsupported; it keeps the engine compiling and testable there.
type linearMemory struct {
	limit   int64
	buf     []byte
	peak    int64
	refused bool // a growth, past the limit
}

// Allocate implements experimental.MemoryAllocator.
func (m *linearMemory) Allocate(_, _ uint64) experimental.LinearMemory { return m }

// Reallocate implements experimental.LinearMemory.
func (m *linearMemory) Reallocate(size uint64) []byte {
	if size > uint64(m.limit) {
		m.refused = true
		return nil
	}
	m.buf = append(m.buf, make([]byte, int(size)-len(m.buf))...)
	m.peak = max(m.peak, int64(size))
	return m.buf
}

// Free implements experimental.LinearMemory.
func (m *linearMemory) Free() { m.buf = nil }
