//go:build !linux

package engine

import (
	"os"

	"github.com/tetratelabs/wazero/experimental"
)

// linearMemory is a slice where the host is unsupported; it keeps the engine compiling and testable there.
type linearMemory struct {
	limit   int64
	buf     []byte
	size    int64
	peak    int64
	refused bool // a growth, past the limit
	keep    bool
	base    *base
}

// Allocate implements experimental.MemoryAllocator.
func (m *linearMemory) Allocate(_, _ uint64) experimental.LinearMemory { return m }

// Reallocate implements experimental.LinearMemory.
func (m *linearMemory) Reallocate(size uint64) []byte {
	if size > uint64(m.limit) {
		m.refused = true
		return nil
	}
	if more := int(size) - len(m.buf); more > 0 {
		m.buf = append(m.buf, make([]byte, more)...)
	}
	m.size = int64(size)
	m.peak = max(m.peak, m.size)
	return m.buf[:size]
}

// Free implements experimental.LinearMemory.
func (m *linearMemory) Free() {
	if !m.keep {
		m.release()
	}
}

func (m *linearMemory) release() { m.buf, m.size, m.base = nil, 0, nil }

func (m *linearMemory) fits(int64) bool { return true }

func (m *linearMemory) recycle(limit int64, _ *base) { m.release(); m.limit = limit }

func (m *linearMemory) put(b *base) error {
	m.base = b
	m.forget(0, int64(len(m.buf)))
	return nil
}

func (m *linearMemory) forget(from, to int64) {
	for at := from; at < to; at += pageBytes {
		m.base.restore(m.buf[at:min(at+pageBytes, to)], at)
	}
}

func (m *linearMemory) view() []byte { return m.buf[:m.size] }

type scratch struct {
	file *os.File
	size int64
}

func (s *scratch) capture(memory []byte) (*base, error) {
	from, to := extent(memory)
	return &base{at: from, bytes: append([]byte{}, memory[from:to]...)}, nil
}

func (s *scratch) close() {}

func newBase(c Content, at uint64) (*base, *os.File, error) {
	return &base{at: int64(at), bytes: c.Bytes}, nil, nil
}
