package host_test

import (
	"encoding/binary"
	"testing"

	"github.com/troupehost/troupe/host"
)

// variant returns code that no host has seen: a custom section of its own is appended.
func variant(code []byte, n uint64) []byte {
	out := append([]byte{}, code...)
	return binary.LittleEndian.AppendUint64(append(out, 0, 10, 1, 'n'), n)
}

// BenchmarkColdPrepare is code never seen before to its first result: 2.4 KB of C, and 2.6 MB of Go.
func BenchmarkColdPrepare(b *testing.B) {
	for _, name := range []string{"hash-puzzle", "go-hello"} {
		b.Run(name, func(b *testing.B) {
			h := start(b, host.Config{})
			code, n := guest(b, name), uint64(0)
			for b.Loop() {
				n++
				req := host.Request{Code: variant(code, n)}
				if name == "hash-puzzle" {
					req.Entry = invoke("run", "0", "0")
				}
				if r := execute(b, h, req); r.Verdict != "ok" || r.Cache != "miss" {
					b.Fatalf("%+v", r)
				}
			}
		})
	}
}

// BenchmarkWarmExecute is a small call of known code in a worker that holds it, through all actors.
func BenchmarkWarmExecute(b *testing.B) {
	h := start(b, host.Config{})
	req := host.Request{Code: guest(b, "hash-puzzle"), Entry: invoke("run", "0", "0")}
	execute(b, h, req)
	for b.Loop() {
		if r := execute(b, h, req); r.Verdict != "ok" || r.Cache != "hit" {
			b.Fatalf("%+v", r)
		}
	}
}

// BenchmarkRestart1000 starts a host with 1,000 cached artifacts and closes it again after its first result.
func BenchmarkRestart1000(b *testing.B) {
	dir := b.TempDir()
	code := guest(b, "hash-puzzle")
	cfg := host.Config{DataDir: dir, BallastBytes: host.NoLimit}
	h, err := host.Start(b.Context(), cfg)
	if err != nil {
		b.Fatal(err)
	}
	for n := range uint64(1000) {
		if j, err := h.Precheck(b.Context(), host.CodeRequest{Code: variant(code, n)}); err != nil || j.Verdict != "ok" {
			b.Fatal(j, err)
		}
	}
	if err := h.Close(); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		h, err := host.Start(b.Context(), cfg)
		if err != nil {
			b.Fatal(err)
		}
		if r := execute(b, h, host.Request{Code: variant(code, 500), Entry: invoke("run", "0", "0")}); r.Cache != "hit" {
			b.Fatalf("%+v", r)
		}
		b.StopTimer()
		if err := h.Close(); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
}
