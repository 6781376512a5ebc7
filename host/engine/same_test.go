package engine

import (
	"bytes"
	"fmt"
	"testing"
)

// TestEveryByteIsLookedAt changes each byte of pieces of all lengths around those that are taken at a time.
func TestEveryByteIsLookedAt(t *testing.T) {
	for _, n := range []int{0, 1, 31, 32, 255, 256, 257, 511, 512, 700, pageBytes - 1, pageBytes} {
		room := bytes.Repeat([]byte{0xff}, n+66) // what stands around does not count
		zero := room[33 : 33+n]
		clear(zero)
		if !isZero(zero) {
			t.Fatalf("%d zeros are not zero", n)
		}
		for at := range n {
			for bit := range 8 {
				zero[at] ^= 1 << bit
				if isZero(zero) {
					t.Fatalf("bit %d of byte %d of %d is not seen", bit, at, n)
				}
				zero[at] = 0
			}
		}
	}
}

// BenchmarkCompare is the comparison of a whole small memory, which a reset makes.
func BenchmarkCompare(b *testing.B) {
	for _, size := range []int{64 << 10, 128 << 10, 1 << 20} {
		memory := make([]byte, size)
		for name, same := range map[string]func(at int) bool{
			"zero":        func(at int) bool { return isZero(memory[at : at+pageBytes]) },
			"bytes.Equal": func(at int) bool { return bytes.Equal(memory[at:at+pageBytes], zeroPage[:]) },
		} {
			b.Run(fmt.Sprint(size>>10, " KiB/", name), func(b *testing.B) {
				b.SetBytes(int64(size))
				for b.Loop() {
					for at := 0; at < size; at += pageBytes {
						if !same(at) {
							b.Fatal("it differs")
						}
					}
				}
			})
		}
	}
}
