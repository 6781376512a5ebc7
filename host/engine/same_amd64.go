package engine

import (
	"bytes"

	"golang.org/x/sys/cpu"
)

// wide reports whether the processor has the instructions of allZero.
var wide = cpu.X86.HasAVX2

// stride is what allZero takes at a time, in bytes.
const stride = 256

//go:noescape
func allZero(p *byte, n int) bool

// isZero reports whether a piece of memory, of one page at most, holds zeros only. It reads nothing else, unlike a comparison
// with zeros, and does not stop at the first other byte: of most pages all is read anyway.
func isZero(page []byte) bool {
	whole := 0
	if wide {
		if whole = len(page) &^ (stride - 1); whole > 0 && !allZero(&page[0], whole) {
			return false
		}
	}
	return bytes.Equal(page[whole:], zeroPage[:len(page)-whole])
}
