package jobs

import (
	"strings"
	"time"
)

const idDigits = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

// NewID makes the id of a job from a time in milliseconds and 10 bytes: 26 characters that sort by time, then by the bytes.
func NewID(at time.Time, b [10]byte) string {
	var raw [16]byte
	ms := uint64(at.UnixMilli())
	for i := range 6 {
		raw[i] = byte(ms >> (40 - 8*i))
	}
	copy(raw[6:], b[:])
	var id [26]byte
	bits, have, n := uint32(0), 2, 0 // 26 digits have 130 bits: two zeros lead
	for _, o := range raw {
		bits, have = bits<<8|uint32(o), have+8
		for ; have >= 5; n++ {
			have -= 5
			id[n] = idDigits[bits>>have&31]
		}
	}
	return string(id[:])
}

// ParseID reads what NewID made; of anything else it returns whatever it finds.
func ParseID(id string) (at time.Time, b [10]byte) {
	var raw [17]byte
	bits, have, n := uint32(0), -2, 0
	for _, d := range []byte(id) {
		bits, have = bits<<5|uint32(max(strings.IndexByte(idDigits, d), 0)), have+5
		if have >= 8 && n < len(raw) {
			have -= 8
			raw[n] = byte(bits >> have)
			n++
		}
	}
	ms := int64(0)
	for _, o := range raw[:6] {
		ms = ms<<8 | int64(o)
	}
	return time.UnixMilli(ms), [10]byte(raw[6:16])
}
