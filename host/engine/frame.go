package engine

import (
	"encoding/binary"
	"errors"
	"io"
	"os"
	"unsafe"

	"github.com/troupehost/troupe/artifacts/wasm"
)

// Content is bytes, and the file that holds them.
type Content struct {
	Bytes []byte
	File  *os.File // sealed, and maps to Bytes from its start; nil: there is none, and the bytes are copied
}

// An entry of the engine is a head, the machine code, and a tail. The frame of an artifact is all but the code, and where the
// image of the linear memory stands:
//
//	8 bytes  version of the frame
//	8 bytes  address of the first byte of the image
//	8 bytes  length of the code
//	8 bytes  length of the head
//	8 bytes  what a reset of globals and memory does not undo, as wasm.Resets
//	         the head, and then the tail
const (
	frameVersion = 1
	frameHeader  = 40
)

var errFrame = errors.New("the frame does not fit the code")

// facts are what a frame says of the artifact.
type facts struct {
	image  uint64 // the address of the image
	resets wasm.Resets
}

// split cuts an entry of the engine into code and frame.
func split(entry []byte, f facts) (code, frame []byte, err error) {
	at, n, err := headOf(entry)
	size := uint64(len(entry))
	if err != nil || n > size-at || n == 0 {
		return nil, nil, errFrame
	}
	frame = make([]byte, frameHeader, frameHeader+size-n)
	for i, v := range []uint64{frameVersion, f.image, n, at, uint64(f.resets)} {
		binary.LittleEndian.PutUint64(frame[8*i:], v)
	}
	frame = append(append(frame, entry[:at]...), entry[at+n:]...)
	return entry[at : at+n : at+n], frame, nil
}

// headOf reads the head of an entry: how long it is, and how long the code behind it. The number of functions, which the engine makes
// room for at once, is one that the bytes are there for.
func headOf(entry []byte) (head, code uint64, err error) {
	const magic = 6
	size := uint64(len(entry))
	if size < magic+1 {
		return 0, 0, errFrame
	}
	at := magic + 1 + uint64(entry[magic]) // behind the version of the engine
	if at+4 > size {
		return 0, 0, errFrame
	}
	at += 4 + 8*uint64(binary.LittleEndian.Uint32(entry[at:]))
	if at+8 > size {
		return 0, 0, errFrame
	}
	return at + 8, binary.LittleEndian.Uint64(entry[at:]), nil
}

// frameOf reads a frame, and returns the entry that the engine is to read.
func frameOf(frame []byte, code Content) (f facts, e *entry, err error) {
	if len(frame) < frameHeader || binary.LittleEndian.Uint64(frame) != frameVersion {
		return f, nil, errFrame
	}
	n, head := binary.LittleEndian.Uint64(frame[16:]), binary.LittleEndian.Uint64(frame[24:])
	rest := frame[frameHeader:]
	if n == 0 || n != uint64(len(code.Bytes)) || head > uint64(len(rest)) {
		return f, nil, errFrame
	}
	if at, coded, err := headOf(rest[:head]); err != nil || at != head || coded != n {
		return f, nil, errFrame
	}
	f = facts{image: binary.LittleEndian.Uint64(frame[8:]), resets: wasm.Resets(binary.LittleEndian.Uint64(frame[32:]))}
	return f, &entry{head: rest[:head], code: code, tail: rest[head:]}, nil
}

// entry is read by the engine as one stream. The code is mapped in place of being copied, where that can be done.
type entry struct {
	head, tail []byte
	code       Content
	at         int // in the code
	mapped     bool
}

// Read implements io.Reader. The engine reads the head and the tail in small pieces, and the code in one.
func (e *entry) Read(p []byte) (n int, err error) {
	switch {
	case len(p) == 0:
		return 0, nil
	case len(e.head) > 0:
		n = copy(p, e.head)
		e.head = e.head[n:]
	case e.at < len(e.code.Bytes):
		if e.at == 0 && len(p) == len(e.code.Bytes) && e.code.File != nil && mapCode(p, e.code.File) {
			e.at, e.mapped = len(p), true
			return len(p), nil
		}
		n = copy(p, e.code.Bytes[e.at:])
		e.at += n
	case len(e.tail) > 0:
		n = copy(p, e.tail)
		e.tail = e.tail[n:]
	default:
		return 0, io.EOF
	}
	return n, nil
}

// Close implements io.Closer.
func (e *entry) Close() error { return nil }

// aligned reports whether b begins with a page.
func aligned(b []byte) bool {
	return uintptr(unsafe.Pointer(unsafe.SliceData(b)))%uintptr(os.Getpagesize()) == 0
}
