package engine

import (
	"errors"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// canMap says whether files are mapped here.
const canMap = true

// mapCode puts the pages of a file in the place of a mapping that the engine made for code: all workers of an artifact share
// them, and none is copied. It reports whether it did. The engine makes them executable as it would its own.
func mapCode(to []byte, file *os.File) bool {
	return aligned(to) && mapOver(to, file, 0, unix.PROT_READ) == nil
}

// mapOver maps a file privately in the place of what is mapped at b, from an offset on.
func mapOver(b []byte, file *os.File, offset int64, prot int) error {
	return remap(b, prot, unix.MAP_PRIVATE|unix.MAP_FIXED, file.Fd(), offset)
}

func remap(b []byte, prot, flags int, fd uintptr, offset int64) error {
	at := uintptr(unsafe.Pointer(unsafe.SliceData(b)))
	got, _, errno := unix.Syscall6(unix.SYS_MMAP, at, uintptr(len(b)), uintptr(prot), uintptr(flags), fd, uintptr(offset))
	if errno != 0 {
		return os.NewSyscallError("mmap", errno)
	}
	if got != at {
		return errors.New("mmap: another place")
	}
	return nil
}

// scratchFile returns an empty memory file of so many bytes.
func scratchFile(size int64) (*os.File, error) {
	fd, err := unix.MemfdCreate("troupe scratch", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("memfd_create", err)
	}
	f := os.NewFile(uintptr(fd), "scratch")
	if err := unix.Ftruncate(fd, size); err != nil {
		_ = f.Close()
		return nil, os.NewSyscallError("ftruncate", err)
	}
	return f, nil
}

// fill writes b to the start of a file that has room for it. It does so by a mapping: a worker may not make files longer, and the
// kernel takes any write for that.
func fill(f *os.File, b []byte) error {
	if len(b) == 0 {
		return nil
	}
	to, err := unix.Mmap(int(f.Fd()), 0, len(b), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return os.NewSyscallError("mmap", err)
	}
	copy(to, b)
	return unix.Munmap(to)
}
