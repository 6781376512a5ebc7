package guest

import (
	"time"
	"unsafe"
)

// Forever as a timeout waits as long as it takes. A timeout of 0 does not wait.
const Forever time.Duration = -1

// Handle names something that the host holds for this instance.
type Handle uint32

// Close gives it back.
func (h Handle) Close() error { return failure(sysClose(uint32(h))) }

// place and length are how bytes go to the host.
func place(b []byte) *byte { return unsafe.SliceData(b) }

func text(s string) *byte { return unsafe.StringData(s) }

func length[T string | []byte](b T) uint32 { return uint32(len(b)) }

// millis rounds up: a timeout that has not passed is no timeout of 0.
func millis(d time.Duration) int64 {
	if d < 0 {
		return -1
	}
	return int64((d + time.Millisecond - 1) / time.Millisecond)
}

// sized calls until the buffer has room for all that there is.
func sized(first int, call func(p *byte, room uint32, size *uint64) uint32) ([]byte, error) {
	buf := make([]byte, first)
	for {
		var size uint64
		if errno := call(place(buf), length(buf), &size); errno != 0 {
			return nil, Errno(errno)
		}
		if size <= uint64(len(buf)) {
			return buf[:size], nil
		}
		if size > MaxBytes {
			return nil, ErrLimited
		}
		buf = make([]byte, size)
	}
}
