package wasm

import "testing"

// BenchmarkJudge validates a Go guest; the speed is that of its code section.
func BenchmarkJudge(b *testing.B) {
	code := guest(b, "go-hello")
	m, err := Judge(code, Policy{})
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(m.CodeBytes))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Judge(code, Policy{}); err != nil {
			b.Fatal(err)
		}
	}
}
