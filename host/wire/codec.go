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
	MaxParts   = 16        // parts of one artifact
	MaxFiles   = 16        // descriptors on one frame
	headerSize = 5         // u32 little-endian length of the payload, u8 type
)

// ErrFrame is the root of every error about a frame that breaks the rules.
var ErrFrame = errors.New("frame breaks the protocol")

func bad(what string) error { return fmt.Errorf("%w: %s", ErrFrame, what) }

// encoder writes a message within the limits that decoder holds; the first error sticks.
type encoder struct {
	b    []byte
	rest []byte // the bytes that end the frame, which are sent from where they are
	err  error
}

func (e *encoder) fail(what string) {
	if e.err == nil {
		e.err = bad(what)
	}
}

func (e *encoder) u64(v uint64) { e.b = binary.AppendUvarint(e.b, v) }
func (e *encoder) i64(v int64)  { e.b = binary.AppendVarint(e.b, v) }

// size writes a number that is not negative: a negative one arrives as one that is too large.
func (e *encoder) size(v int64) { e.u64(uint64(v)) }

func (e *encoder) bytes(p []byte, limit int, what string) { put(e, p, limit, what) }

func (e *encoder) text(s string, limit int, what string) { put(e, s, limit, what) }

// last writes the bytes that end a message.
func (e *encoder) last(p []byte, limit int, what string) {
	if len(p) > limit {
		e.fail(what)
		return
	}
	e.u64(uint64(len(p)))
	e.rest = p
}

// frame encodes m behind b. The frame is head, then rest, which is a view of m.
func (e *encoder) frame(b []byte, m Message) (head, rest []byte, err error) {
	start := len(b)
	e.b, e.rest, e.err = append(b, 0, 0, 0, 0, byte(m.Type())), nil, nil
	m.encode(e)
	head, rest, err = e.b, e.rest, e.err
	e.b, e.rest = nil, nil // a message is not kept by who sent it
	n := len(head) - start - headerSize + len(rest)
	if err == nil && n+headerSize > MaxFrame {
		err = bad("message is larger than a frame")
	}
	if err == nil {
		binary.LittleEndian.PutUint32(head[start:], uint32(n))
	}
	return head, rest, err
}

// put appends nothing to a frame that is full already, so that a message cannot take much more memory than a frame.
func put[T string | []byte](e *encoder, p T, limit int, what string) {
	if len(p) > limit || len(e.b)+len(p) > MaxFrame {
		e.fail(what)
		return
	}
	e.u64(uint64(len(p)))
	e.b = append(e.b, p...)
}

func (e *encoder) flag(v bool) {
	if v {
		e.b = append(e.b, 1)
	} else {
		e.b = append(e.b, 0)
	}
}

func (e *encoder) list(l []string, what string) {
	if len(l) > MaxList {
		e.fail(what)
	}
	e.u64(uint64(len(l)))
	for _, s := range l {
		e.text(s, MaxName, what)
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

// count reads the number of entries that follow; each takes at least least bytes of what is there.
func (d *decoder) count(limit, least int64, what string) int64 {
	n := d.size(limit, what)
	if n > int64(len(d.b))/least {
		d.fail(what)
		return 0
	}
	return n
}

func (d *decoder) list(what string) []string {
	n := d.count(MaxList, 1, what)
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
