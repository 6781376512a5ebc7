package host_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/host"
	"github.com/troupehost/troupe/testdata/bench/report"
)

// flood asks a handler with a fresh state for each request for a while, signed or not. Its durations are sorted.
func flood(t testing.TB, base, target, header string, conns int, span time.Duration) (report.Samples, float64) {
	t.Helper()
	request, end := report.HandlerRequest(target, header)
	all, rate, err := report.Flood(strings.TrimPrefix(base, "http://"), request, end, conns, span)
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(all)
	return all, rate
}

const unsigned = "X-Troupe-Sign: no\r\n"

// BenchmarkAppHTTP is requests to a handler with a fresh state for each of them, over loopback.
func BenchmarkAppHTTP(b *testing.B) {
	h := appsHost(b, host.Config{})
	base := served(b, h)
	target := "/app/" + deploy(b, h, appOf(b, h, "c-handler", granted(nil))).Address + "/"
	for _, signed := range []struct{ name, header string }{{"plain", unsigned}, {"signed", ""}} {
		for _, conns := range []int{1, 16, 64} {
			b.Run(fmt.Sprintf("%s/c=%d", signed.name, conns), func(b *testing.B) {
				flood(b, base, target, signed.header, conns, 100*time.Millisecond)
				for b.Loop() {
					all, rate := flood(b, base, target, signed.header, conns, 2*time.Second)
					b.ReportMetric(rate, "req/s")
					b.ReportMetric(float64(at(all, 0.5).Microseconds()), "p50-us")
					b.ReportMetric(float64(at(all, 0.99).Microseconds()), "p99-us")
				}
			})
		}
	}
}

// BenchmarkAppQuery is a query to an app, and a run of the same code without an app.
func BenchmarkAppQuery(b *testing.B) {
	h := appsHost(b, host.Config{})
	code := guest(b, "c-handler")
	payload := bytes.Repeat([]byte("p"), 512)
	input := append([]byte("\n\n"), payload...)
	q := host.Request{Code: code, Entry: run.Entry{Mode: run.Bytes, Name: "query"}, Input: input, Determinism: run.RealWorld}
	handler := deploy(b, h, appOf(b, h, "c-handler", nil)).Address
	service := deploy(b, h, appOf(b, h, "c-service", nil)).Address
	measure := func(name string, f func() ([]byte, error)) {
		b.Run(name, func(b *testing.B) {
			var all []time.Duration
			for b.Loop() {
				begin := time.Now()
				if got, err := f(); err != nil || !bytes.Equal(got, payload) {
					b.Fatalf("%q, %v", got, err)
				}
				all = append(all, time.Since(begin))
			}
			b.ReportMetric(float64(at(all, 0.5).Microseconds()), "p50-us")
			b.ReportMetric(float64(at(all, 0.99).Microseconds()), "p99-us")
		})
	}
	measure("execute", func() ([]byte, error) {
		r, err := h.Execute(b.Context(), q)
		q.Code, q.CodeHash = nil, r.CodeHash
		return r.Result, err
	})
	for name, address := range map[string]string{"handler": handler, "service": service} {
		measure(name, func() ([]byte, error) {
			r, err := h.Query(b.Context(), host.AppQuery{Address: address, Path: "x", Payload: payload})
			return r.Output, err
		})
	}
}

// at is a quantile.
func at(d []time.Duration, q float64) time.Duration {
	slices.Sort(d)
	return d[int(q*float64(len(d)-1))]
}
