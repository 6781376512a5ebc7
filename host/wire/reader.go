package wire

import (
	"encoding/binary"
	"io"
)

// reader cuts a stream into messages; it never holds more than one frame and a read buffer.
type reader struct {
	fill     func([]byte) (int, error)
	buf      []byte
	from, to int
}

func (r *reader) next() (Message, error) {
	t, p, err := r.frame()
	if err != nil {
		return nil, err
	}
	return Decode(t, p)
}

// into is next without memory for the message.
func (r *reader) into(f *Frame) error {
	t, p, err := r.frame()
	if err != nil {
		return err
	}
	return f.decode(t, p)
}

// frame returns the payload of the next frame, valid until the next call.
func (r *reader) frame() (Type, []byte, error) {
	if err := r.need(headerSize); err != nil {
		return 0, nil, err
	}
	h := r.buf[r.from:]
	n := int64(h[0]) | int64(h[1])<<8 | int64(h[2])<<16 | int64(h[3])<<24
	t := Type(h[4])
	if n+headerSize > MaxFrame {
		return 0, nil, bad("frame is too long")
	}
	if err := r.need(headerSize + int(n)); err != nil {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return 0, nil, err
	}
	p := r.buf[r.from+headerSize : r.from+headerSize+int(n)]
	r.from += headerSize + int(n)
	return t, p, nil
}

// whole reports whether next would not need to fill: a frame is there, or one that is too long.
func (r *reader) whole() bool {
	h := r.buf[r.from:r.to]
	if len(h) < headerSize {
		return false
	}
	n := int64(binary.LittleEndian.Uint32(h)) + headerSize
	return n > MaxFrame || n <= int64(len(h))
}

// gather appends to first, the message that next has just returned, the data of the Output frames of the same stream that
// have arrived whole, and returns how many they are. It moves bytes within the buffer only. An empty frame stays alone, and
// one that breaks a rule is left to next.
func (r *reader) gather(first Output) (Output, int64) {
	to := r.from // the data of first ends where its frame does
	var frames int64
	for len(first.Data) > 0 && r.to-r.from >= headerSize {
		h := r.buf[r.from:r.to]
		n := int(binary.LittleEndian.Uint32(h))
		if Type(h[4]) != TypeOutput || n > MaxFrame || len(h) < headerSize+n {
			break
		}
		d := decoder{b: h[headerSize : headerSize+n]}
		stderr, data := d.flag(), d.bytes(MaxChunk, "output")
		if d.end() != nil || stderr != first.Stderr || len(data) == 0 || len(first.Data)+len(data) > MaxChunk {
			break
		}
		copy(r.buf[to:], data)
		to += len(data)
		first.Data = r.buf[to-len(first.Data)-len(data) : to : to]
		r.from += headerSize + n
		frames++
	}
	return first, frames
}

// need makes n bytes available. Memory grows with what has arrived, not with what a header claims.
func (r *reader) need(n int) error {
	for r.to-r.from < n {
		if err := r.more(); err != nil {
			return err
		}
	}
	return nil
}

// more fills once.
func (r *reader) more() error {
	if r.from > 0 {
		copy(r.buf, r.buf[r.from:r.to])
		r.to -= r.from
		r.from = 0
	}
	if r.to == len(r.buf) {
		bigger := make([]byte, min(max(4<<10, 2*len(r.buf)), MaxFrame))
		copy(bigger, r.buf[:r.to])
		r.buf = bigger
	}
	m, err := r.fill(r.buf[r.to:])
	if m == 0 && err == nil {
		err = io.ErrNoProgress
	}
	if err != nil {
		if err == io.EOF && r.to > 0 {
			return io.ErrUnexpectedEOF
		}
		return err
	}
	r.to += m
	return nil
}
