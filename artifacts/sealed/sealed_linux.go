package sealed

import (
	"os"

	"golang.org/x/sys/unix"

	"github.com/troupehost/troupe/actors/fault"
)

const seals = unix.F_SEAL_SEAL | unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_WRITE

// Create returns a sealed file with what write wrote. On an error of write the file is gone and that error is returned.
func Create(name string, write func(w *os.File) error) (*File, error) {
	f, err := NewUnsealed(name)
	if err != nil {
		return nil, err
	}
	if err := write(f); err != nil {
		_ = f.Close()
		return nil, err
	}
	return Seal(f)
}

// NewUnsealed returns an empty memory file for somebody to write; Seal makes it safe to read. Its size is bounded by
// the writer's RLIMIT_FSIZE only, so whoever seals it looks at its size first.
func NewUnsealed(name string) (*os.File, error) {
	fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return nil, fault.New(fault.HostMemory, "create memory file", name, err)
	}
	return os.NewFile(uintptr(fd), name), nil
}

// NewScratch returns an empty memory file of a fixed size, in bytes, for somebody to map and write. Nobody can make it longer or
// shorter, so that who maps it never meets its end.
func NewScratch(name string, size int64) (*os.File, error) {
	f, err := NewUnsealed(name)
	if err != nil {
		return nil, err
	}
	if err = unix.Ftruncate(int(f.Fd()), size); err == nil {
		_, err = unix.FcntlInt(f.Fd(), unix.F_ADD_SEALS, unix.F_SEAL_SHRINK|unix.F_SEAL_GROW|unix.F_SEAL_SEAL)
	}
	if err != nil {
		_ = f.Close()
		return nil, fault.New(fault.HostMemory, "create memory file", name, err)
	}
	return f, nil
}

// Seal takes over a memory file and seals it. It fails while anybody has the file mapped writable, which is why the
// process that wrote it must be dead.
func Seal(f *os.File) (*File, error) {
	if _, err := unix.FcntlInt(f.Fd(), unix.F_ADD_SEALS, seals&^leftOut()); err != nil {
		_ = f.Close()
		return nil, fault.New(fault.HostMemory, "seal memory file", f.Name(), err)
	}
	st, err := f.Stat()
	if err != nil {
		_ = f.Close()
		return nil, fault.New(fault.HostMemory, "seal memory file", f.Name(), err)
	}
	return newFile(f, st.Size()), nil
}

// IsSealed reports whether nobody can change the file behind fd any more: what a worker asks before it trusts one.
func IsSealed(fd uintptr) bool {
	got, err := unix.FcntlInt(fd, unix.F_GET_SEALS, 0)
	return err == nil && got&seals == seals
}

// Map returns the bytes as a shared read-only map. unmap must be called once nobody uses them.
func (s *File) Map() (data []byte, unmap func(), err error) {
	if s.size == 0 {
		return nil, func() {}, nil
	}
	data, err = unix.Mmap(int(s.f.Fd()), 0, int(s.size), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return nil, nil, fault.New(fault.HostMemory, "map memory file", s.f.Name(), err)
	}
	return data, func() { _ = unix.Munmap(data) }, nil
}
