package engine

import (
	"bytes"
	"os"
)

// pageBytes is the unit in which memory is compared and brought back: the page of the machine, which SelfTest makes sure of.
const pageBytes = 4096

var zeroPage [pageBytes]byte

// base is what a linear memory starts as: bytes of a file at an address, and zeros around them. It never changes while a memory is
// over it.
type base struct {
	file   *os.File // nil: the bytes are copied, for one instance only
	offset int64    // in the file, where the bytes begin
	at     int64    // address of the first of them, a multiple of pageBytes
	bytes  []byte   // all up to the last page of them is zero
}

// end is the address behind the last page that has bytes of the base.
func (b *base) end() int64 {
	return b.at + (int64(len(b.bytes))+pageBytes-1)/pageBytes*pageBytes
}

// extent returns where memory has bytes that are not zero, in whole pages. It is of one page at least, where there are any.
func extent(memory []byte) (from, to int64) {
	to = int64(len(memory))
	for to > pageBytes && isZero(memory[to-pageBytes:to]) {
		to -= pageBytes
	}
	for from < to-pageBytes && isZero(memory[from:from+pageBytes]) {
		from += pageBytes
	}
	return from, to
}

// same reports whether a piece of memory is what it started as. It is of one page at most, and stands at an address within one.
func (b *base) same(page []byte, at int64) bool {
	if b == nil || at+int64(len(page)) <= b.at || at >= b.at+int64(len(b.bytes)) {
		return isZero(page)
	}
	// The base begins with a page, so this one has no bytes before it.
	have := b.bytes[at-b.at:]
	if len(have) >= len(page) {
		return bytes.Equal(page, have[:len(page)])
	}
	return bytes.Equal(page[:len(have)], have) && isZero(page[len(have):])
}

// restore makes memory at an address what it started as.
func (b *base) restore(memory []byte, at int64) {
	if b == nil {
		clear(memory)
		return
	}
	if before := min(max(b.at-at, 0), int64(len(memory))); before > 0 {
		clear(memory[:before])
		memory, at = memory[before:], at+before
	}
	n := 0
	if from := at - b.at; from >= 0 && from < int64(len(b.bytes)) {
		n = copy(memory, b.bytes[from:])
	}
	clear(memory[n:])
}
