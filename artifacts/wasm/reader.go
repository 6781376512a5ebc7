package wasm

import (
	"fmt"
	"unicode/utf8"

	"github.com/troupehost/troupe/actors/fault"
)

// reader reads the primitives of the binary format; the first error sticks.
type reader struct {
	b   []byte
	off int // offset of b[0] in the module, for messages
	err error
}

func (r *reader) fail(what string) {
	if r.err == nil {
		r.err = fault.New(fault.GuestInvalid, "scan", fmt.Sprintf("at offset %#x: %s", r.off, what), nil)
	}
	r.b = nil
}

func (r *reader) byte(what string) byte {
	if len(r.b) == 0 {
		r.fail(what)
		return 0
	}
	c := r.b[0]
	r.b, r.off = r.b[1:], r.off+1
	return c
}

func (r *reader) u32(what string) uint32 {
	v := r.leb(32, what)
	return uint32(v)
}

// leb reads an unsigned LEB128 of at most bits bits, in at most as many bytes as that needs.
func (r *reader) leb(bits uint, what string) uint64 {
	var v uint64
	for shift := uint(0); ; shift += 7 {
		c := r.byte(what)
		if r.err != nil {
			return 0
		}
		if shift+7 > bits && c>>(bits-shift) != 0 {
			r.fail(what + ": number is too large or too long")
			return 0
		}
		v |= uint64(c&0x7f) << shift
		if c&0x80 == 0 {
			return v
		}
	}
}

func (r *reader) take(n uint32, what string) []byte {
	if uint64(n) > uint64(len(r.b)) {
		r.fail(what)
		return nil
	}
	p := r.b[:n:n]
	r.b, r.off = r.b[n:], r.off+int(n)
	return p
}

func (r *reader) name(what string) string { return string(r.take(r.u32(what), what)) }

// text is a name that must be UTF-8.
func (r *reader) text(what string) string {
	b := r.take(r.u32(what), what)
	if r.err == nil && !utf8.Valid(b) {
		r.fail(what + ": not UTF-8")
		return ""
	}
	return string(b)
}

func (r *reader) end(what string) {
	if r.err == nil && len(r.b) > 0 {
		r.fail(what + ": bytes after the end")
	}
}

func appendU32(b []byte, v uint32) []byte {
	for v >= 0x80 {
		b = append(b, byte(v)|0x80)
		v >>= 7
	}
	return append(b, byte(v))
}

func appendSection(b []byte, id byte, payload []byte) []byte {
	b = append(b, id)
	b = appendU32(b, uint32(len(payload)))
	return append(b, payload...)
}
