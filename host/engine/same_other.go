//go:build !amd64

package engine

import "bytes"

// isZero reports whether a piece of memory, of one page at most, holds zeros only.
func isZero(page []byte) bool { return bytes.Equal(page, zeroPage[:len(page)]) }
