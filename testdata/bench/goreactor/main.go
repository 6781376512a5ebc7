// Command goreactor is a guest of the benchmarks: a Go reactor of the size of a small service. It is built when they run:
// GOOS=wasip1 GOARCH=wasm go build -buildmode=c-shared.
package main

import (
	"crypto/sha256"
	"encoding/json"
)

func main() {}

// work does a little of what services do, n times, and returns a checksum.
//
//go:wasmexport work
func work(n int32) int32 { //nolint:unused // the host calls it
	var sum [32]byte
	for i := range n {
		b, err := json.Marshal(map[string]any{"n": i, "sum": sum[:]})
		if err != nil {
			return -1
		}
		var back map[string]any
		if err := json.Unmarshal(b, &back); err != nil {
			return -1
		}
		sum = sha256.Sum256(b)
	}
	return int32(sum[0])
}
