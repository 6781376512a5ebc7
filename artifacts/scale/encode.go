package scale

import "encoding/binary"

// Encoder appends values to a buffer. The zero value is empty.
type Encoder struct{ buf []byte }

// Encoded returns what was appended so far. It is the Encoder's own buffer until the next append.
func (e *Encoder) Encoded() []byte { return e.buf }

// Raw appends bytes as they are: arrays of fixed length, and what is encoded already.
func (e *Encoder) Raw(b []byte) { e.buf = append(e.buf, b...) }

// U8 appends a byte, or the index of an enum.
func (e *Encoder) U8(v uint8) { e.buf = append(e.buf, v) }

// U16 appends 2 bytes.
func (e *Encoder) U16(v uint16) { e.buf = binary.LittleEndian.AppendUint16(e.buf, v) }

// U32 appends 4 bytes.
func (e *Encoder) U32(v uint32) { e.buf = binary.LittleEndian.AppendUint32(e.buf, v) }

// U64 appends 8 bytes.
func (e *Encoder) U64(v uint64) { e.buf = binary.LittleEndian.AppendUint64(e.buf, v) }

// U128 appends 16 bytes, the lower half first.
func (e *Encoder) U128(lo, hi uint64) {
	e.U64(lo)
	e.U64(hi)
}

// Bool appends a byte that is 0 or 1.
func (e *Encoder) Bool(v bool) {
	if v {
		e.U8(1)
		return
	}
	e.U8(0)
}

// Option appends the tag that says whether a value follows.
func (e *Encoder) Option(some bool) { e.Bool(some) }

// Compact appends a number in as few bytes as it needs: 1, 2 or 4, or a length and up to 8.
func (e *Encoder) Compact(v uint64) {
	switch {
	case v < 1<<6:
		e.U8(uint8(v << 2))
	case v < 1<<14:
		e.U16(uint16(v<<2 | 1))
	case v < 1<<30:
		e.U32(uint32(v<<2 | 2))
	default:
		n := 4
		for v>>(8*n) != 0 && n < 8 {
			n++
		}
		e.U8(uint8(n-4)<<2 | 3)
		for i := range n {
			e.U8(uint8(v >> (8 * i)))
		}
	}
}

// Len appends the length of a vector, whose elements follow.
func (e *Encoder) Len(n int) { e.Compact(uint64(n)) }

// Bytes appends a vector of bytes: its length and the bytes.
func (e *Encoder) Bytes(b []byte) {
	e.Len(len(b))
	e.Raw(b)
}

// String appends text as Bytes does.
func (e *Encoder) String(s string) {
	e.Len(len(s))
	e.buf = append(e.buf, s...)
}

// Strings appends a vector of texts.
func (e *Encoder) Strings(list []string) {
	e.Len(len(list))
	for _, s := range list {
		e.String(s)
	}
}
