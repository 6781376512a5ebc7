package guest

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"strconv"
)

// Errno is an error number of the host.
type Errno uint32

// The error numbers.
const (
	ErrUnknown     Errno = 1
	ErrAddress     Errno = 2
	ErrParam       Errno = 3
	ErrEncoding    Errno = 4
	ErrMemory      Errno = 5
	ErrNotFound    Errno = 7
	ErrUnsupported Errno = 8
	ErrIO          Errno = 9
	ErrLimited     Errno = 10
	ErrPending     Errno = 11 // not within the timeout
	ErrEOF         Errno = 12
	ErrExists      Errno = 15
	ErrCorrupt     Errno = 16
	ErrForbidden   Errno = 17
	ErrCondition   Errno = 18 // not in this state
	ErrClosed      Errno = 256
)

// Limits of a call, in bytes.
const (
	MaxBytes   = 128 << 10
	MaxKVValue = 64 << 10
)

var texts = map[Errno]string{
	ErrUnknown: "no such call", ErrAddress: "bad address", ErrParam: "bad parameter", ErrEncoding: "bad encoding", ErrMemory: "no memory",
	ErrNotFound: "not found", ErrUnsupported: "not supported", ErrIO: "input or output failed", ErrLimited: "limit reached",
	ErrPending: "not within the timeout", ErrEOF: "end", ErrExists: "exists already", ErrCorrupt: "does not verify",
	ErrForbidden: "not granted", ErrCondition: "not in this state", ErrClosed: "closed",
}

func (e Errno) Error() string {
	if s, ok := texts[e]; ok {
		return s
	}
	return "error number " + strconv.FormatUint(uint64(e), 10)
}

// Is knows the errors of the standard library that mean the same.
func (e Errno) Is(target error) bool {
	switch e {
	case ErrNotFound:
		return target == fs.ErrNotExist
	case ErrForbidden:
		return target == fs.ErrPermission
	case ErrExists:
		return target == fs.ErrExist
	case ErrClosed:
		return target == fs.ErrClosed
	case ErrPending:
		return target == os.ErrDeadlineExceeded
	case ErrUnsupported:
		return target == errors.ErrUnsupported
	case ErrEOF:
		return target == io.EOF
	}
	return false
}

// Timeout is there for who asks whether a deadline passed, as package net has it.
func (e Errno) Timeout() bool { return e == ErrPending }

// failure makes an error of what a call answered.
func failure(errno uint32) error {
	if errno == 0 {
		return nil
	}
	return Errno(errno)
}

// ended is failure for readers.
func ended(errno uint32) error {
	if Errno(errno) == ErrEOF {
		return io.EOF
	}
	return failure(errno)
}
