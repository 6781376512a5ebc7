package host_test

import (
	"slices"
	"testing"
	"time"

	"github.com/troupehost/troupe/host"
)

// BenchmarkBar11 is what a warm run costs over calling the engine in this process: one small call by turns, of the same
// code, each in an instance of its own.
func BenchmarkBar11(b *testing.B) {
	code, entry := guest(b, "hash-puzzle"), invoke("run", "0", "0")
	call := inProcess(b, code)
	h := start(b, host.Config{})
	req := host.Request{Code: code, Entry: entry}
	execute(b, h, req)
	var inProcess, asHost []time.Duration
	for b.Loop() {
		begin := time.Now()
		var got []byte
		out := call(entry, nil, func(p []byte) error { got = append(got, p...); return nil })
		middle := time.Now()
		r := execute(b, h, req)
		inProcess, asHost = append(inProcess, middle.Sub(begin)), append(asHost, time.Since(middle))
		if out.Fault != nil || r.Verdict != "ok" || string(got) != string(r.Result) {
			b.Fatalf("%+v, %+v", out, r)
		}
	}
	for _, p := range []struct {
		name string
		at   float64
	}{{"p50", 0.5}, {"p99", 0.99}} {
		of := func(d []time.Duration) float64 {
			slices.Sort(d)
			return float64(d[int(p.at*float64(len(d)-1))].Nanoseconds()) / 1e3
		}
		b.ReportMetric(of(inProcess), "engine-µs-"+p.name)
		b.ReportMetric(of(asHost), "host-µs-"+p.name)
		b.ReportMetric(of(asHost)-of(inProcess), "over-µs-"+p.name)
	}
}
