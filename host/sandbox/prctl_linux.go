package sandbox

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// prctlGet is a prctl that answers through a pointer.
func prctlGet(option int, out *int32) error {
	return unix.Prctl(option, uintptr(unsafe.Pointer(out)), 0, 0, 0)
}
