package scale

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"unicode/utf8"

	"github.com/troupehost/troupe/actors/fault"
)

// Decoder reads values in the order in which they were appended. Its first failure sticks.
type Decoder struct {
	in  []byte
	at  int
	err error
}

// NewDecoder returns a Decoder of b, which it does not change. b must not change until End.
func NewDecoder(b []byte) *Decoder { return &Decoder{in: b} }

// Err returns the first failure.
func (d *Decoder) Err() error { return d.err }

// Rest returns how many bytes are left.
func (d *Decoder) Rest() int { return len(d.in) - d.at }

// Offset returns how many bytes were read.
func (d *Decoder) Offset() int { return d.at }

// End returns the first failure. Bytes that are left are one.
func (d *Decoder) End() error {
	if d.err == nil && d.Rest() > 0 {
		d.fail(d.at, "%d bytes too many", d.Rest())
	}
	return d.err
}

// Fail makes the Decoder fail at the place that it has reached, for values that are encoded well and not allowed.
func (d *Decoder) Fail(why string) { d.fail(d.at, "%s", why) }

func (d *Decoder) fail(at int, format string, args ...any) {
	if d.err == nil {
		d.err = fault.New(fault.CallerInvalid, "decode", "", fmt.Errorf("byte %d: "+format, append([]any{at}, args...)...))
	}
}

// take returns the next n bytes of the input itself, or nil after a failure.
func (d *Decoder) take(n int) []byte {
	if d.err != nil {
		return nil
	}
	if n > d.Rest() {
		d.fail(d.at, "%d bytes are missing", n-d.Rest())
		return nil
	}
	b := d.in[d.at : d.at+n]
	d.at += n
	return b
}

// Fixed fills dst, as Raw appended it. After a failure dst is as it was.
func (d *Decoder) Fixed(dst []byte) { copy(dst, d.take(len(dst))) }

// U8 reads what U8 appended.
func (d *Decoder) U8() uint8 {
	if b := d.take(1); b != nil {
		return b[0]
	}
	return 0
}

// U16 reads what U16 appended.
func (d *Decoder) U16() uint16 {
	if b := d.take(2); b != nil {
		return binary.LittleEndian.Uint16(b)
	}
	return 0
}

// U32 reads what U32 appended.
func (d *Decoder) U32() uint32 {
	if b := d.take(4); b != nil {
		return binary.LittleEndian.Uint32(b)
	}
	return 0
}

// U64 reads what U64 appended.
func (d *Decoder) U64() uint64 {
	if b := d.take(8); b != nil {
		return binary.LittleEndian.Uint64(b)
	}
	return 0
}

// U128 reads what U128 appended.
func (d *Decoder) U128() (lo, hi uint64) {
	if b := d.take(16); b != nil {
		return binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint64(b[8:])
	}
	return 0, 0
}

// Enum reads a byte that is at most last.
func (d *Decoder) Enum(last uint8) uint8 {
	at, v := d.at, d.U8()
	if v > last {
		d.fail(at, "%d is none of the values up to %d", v, last)
		return 0
	}
	return v
}

// Bool reads a byte that must be 0 or 1.
func (d *Decoder) Bool() bool { return d.Enum(1) == 1 }

// Option reads the tag that says whether a value follows.
func (d *Decoder) Option() bool { return d.Bool() }

// Compact reads a number that is written in as few bytes as it needs.
func (d *Decoder) Compact() uint64 {
	at, first := d.at, d.U8()
	if d.err != nil {
		return 0
	}
	var v uint64
	var small bool // it would fit into fewer bytes
	switch first & 3 {
	case 0:
		return uint64(first >> 2)
	case 1:
		v = uint64(first>>2) | uint64(d.U8())<<6
		small = v < 1<<6
	case 2:
		b := d.take(3)
		if b == nil {
			return 0
		}
		v = uint64(first>>2) | uint64(b[0])<<6 | uint64(b[1])<<14 | uint64(b[2])<<22
		small = v < 1<<14
	default:
		n := int(first>>2) + 4
		if n > 8 {
			d.fail(at, "a compact number of %d bytes", n)
			return 0
		}
		b := d.take(n)
		if b == nil {
			return 0
		}
		for i, c := range b {
			v |= uint64(c) << (8 * i)
		}
		small = v < 1<<30 || b[n-1] == 0
	}
	if d.err != nil {
		return 0
	}
	if small {
		d.fail(at, "the compact number %d takes more bytes than it needs", v)
		return 0
	}
	return v
}

// Len reads the length of a vector of at most limit elements, each of which takes at least size bytes: a length that the input
// cannot hold fails here, so that it is safe to allocate what Len returns. Size 0 counts as 1.
func (d *Decoder) Len(limit, size int) int {
	at, n := d.at, d.Compact()
	switch {
	case d.err != nil:
		return 0
	case n > uint64(max(limit, 0)):
		d.fail(at, "a length of %d, above the limit of %d", n, limit)
		return 0
	case n > uint64(d.Rest()/max(size, 1)):
		d.fail(at, "a length of %d, more than the rest of the input", n)
		return 0
	}
	return int(n)
}

// Bytes reads a vector of at most limit bytes. An empty one is nil.
func (d *Decoder) Bytes(limit int) []byte {
	n := d.Len(limit, 1)
	if n == 0 {
		return nil
	}
	return bytes.Clone(d.take(n))
}

// String reads a text of at most limit bytes, which must be UTF-8.
func (d *Decoder) String(limit int) string {
	n := d.Len(limit, 1)
	at, b := d.at, d.take(n)
	if !utf8.Valid(b) {
		d.fail(at, "text that is not UTF-8")
		return ""
	}
	return string(b)
}

// Strings reads a vector of at most limit texts of at most size bytes each. An empty one is nil.
func (d *Decoder) Strings(limit, size int) []string {
	n := d.Len(limit, 1)
	if n == 0 {
		return nil
	}
	list := make([]string, 0, n)
	for range n {
		list = append(list, d.String(size))
	}
	if d.err != nil {
		return nil
	}
	return list
}
