package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Limits of frames and of what stands in them.
const (
	MaxFrame   = 1 << 20   // bytes of one frame, type and payload
	MaxChunk   = 256 << 10 // bytes of one piece of a stream
	MaxName    = 64 << 10  // bytes of one name, argument or environment entry
	MaxText    = 4 << 10   // bytes of a message for people
	MaxList    = 1024      // entries of one list
	MaxModule  = 768 << 10 // bytes of the description of a module
	MaxFiles   = 2         // descriptors on one frame
	headerSize = 5         // u32 little-endian length of the payload, u8 type
)

// ErrFrame is the root of every error about a frame that breaks the rules.
var ErrFrame = errors.New("frame breaks the protocol")

func bad(what string) error { return fmt.Errorf("%w: %s", ErrFrame, what) }

type encoder struct{ b []byte }

func (e *encoder) u64(v uint64)   { e.b = binary.AppendUvarint(e.b, v) }
func (e *encoder) i64(v int64)    { e.b = binary.AppendVarint(e.b, v) }
func (e *encoder) bytes(p []byte) { e.u64(uint64(len(p))); e.b = append(e.b, p...) }
func (e *encoder) text(s string)  { e.u64(uint64(len(s))); e.b = append(e.b, s...) }
func (e *encoder) flag(v bool) {
	if v {
		e.b = append(e.b, 1)
	} else {
		e.b = append(e.b, 0)
	}
}
func (e *encoder) list(l []string) {
	e.u64(uint64(len(l)))
	for _, s := range l {
		e.text(s)
	}
}

// decoder reads what encoder writes; the first error sticks.
type decoder struct {
	b   []byte
	err error
}

func (d *decoder) fail(what string) {
	if d.err == nil {
		d.err = bad(what)
	}
	d.b = nil
}

func (d *decoder) u64() uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 {
		d.fail("number")
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) i64() int64 {
	v, n := binary.Varint(d.b)
	if n <= 0 {
		d.fail("number")
		return 0
	}
	d.b = d.b[n:]
	return v
}

// size reads a size or count that must fit an int64.
func (d *decoder) size(limit int64, what string) int64 {
	v := d.u64()
	if v > uint64(limit) {
		d.fail(what)
		return 0
	}
	return int64(v)
}

// bytes returns a view of the frame, valid as long as the frame.
func (d *decoder) bytes(limit int64, what string) []byte {
	n := d.size(limit, what)
	if n > int64(len(d.b)) {
		d.fail(what)
		return nil
	}
	p := d.b[:n:n]
	d.b = d.b[n:]
	return p
}

func (d *decoder) text(limit int64, what string) string { return string(d.bytes(limit, what)) }

func (d *decoder) flag() bool {
	if len(d.b) == 0 || d.b[0] > 1 {
		d.fail("flag")
		return false
	}
	v := d.b[0] == 1
	d.b = d.b[1:]
	return v
}

func (d *decoder) list(what string) []string {
	n := d.size(MaxList, what)
	if n > int64(len(d.b)) { // each entry takes a byte at least
		d.fail(what)
		return nil
	}
	var l []string
	for range n {
		l = append(l, d.text(MaxName, what))
		if d.err != nil {
			return nil
		}
	}
	return l
}

// end reports the first error, or bytes that nobody asked for.
func (d *decoder) end() error {
	if d.err == nil && len(d.b) > 0 {
		return bad("bytes after the message")
	}
	return d.err
}
