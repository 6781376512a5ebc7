package sealed

import (
	"io"
	"os"
	"sync/atomic"
)

// File is a sealed memory file with a reference count.
type File struct {
	f    *os.File
	size int64
	refs atomic.Int64
}

func newFile(f *os.File, size int64) *File {
	s := &File{f: f, size: size}
	s.refs.Store(1)
	return s
}

// FromBytes returns a sealed copy of b.
func FromBytes(name string, b []byte) (*File, error) {
	return Create(name, func(w *os.File) error {
		_, err := w.Write(b)
		return err
	})
}

// Fd returns the descriptor; it is valid until the caller's reference is released.
func (s *File) Fd() uintptr { return s.f.Fd() }

// Size returns the number of bytes.
func (s *File) Size() int64 { return s.size }

// ReadAt implements io.ReaderAt.
func (s *File) ReadAt(p []byte, off int64) (int, error) { return s.f.ReadAt(p, off) }

// Section returns a reader over n bytes from off.
func (s *File) Section(off, n int64) *io.SectionReader { return io.NewSectionReader(s.f, off, n) }

// Retain adds a reference. The caller must hold one already.
func (s *File) Retain() {
	if s.refs.Add(1) <= 1 {
		panic("sealed: Retain after the last Release")
	}
}

// Release drops a reference; the last one closes the file.
func (s *File) Release() {
	switch n := s.refs.Add(-1); {
	case n == 0:
		_ = s.f.Close() // memory only: there is nothing left to lose
	case n < 0:
		panic("sealed: Release without a reference")
	}
}
