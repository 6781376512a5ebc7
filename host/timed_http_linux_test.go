//go:build timed

package host_test

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/host"
	"github.com/troupehost/troupe/testdata/bench/report"
)

// TestTimedIdleApps: what 1,000 apps on demand take that nobody asks.
func TestTimedIdleApps(t *testing.T) {
	hold(t, func() []timedLine {
		fresh, asked, took := idleApps(t, 1000)
		return []timedLine{
			{what: "an idle app, KB of heap and stacks", goal: "64 KB", limit: 64, measured: fresh / 1e3, means: "1,000 apps"},
			{what: "the same after a query", goal: "64 KB", limit: 64, measured: asked / 1e3, means: "1,000 apps"},
			{what: "to deploy one, ms", goal: "none", limit: 50, measured: took.Seconds() * 1e3, means: "synced writes"},
		}
	})
}

// TestTimedAppHTTP: requests in a second to a handler, each with a fresh state, over loopback, with 16 connections that are kept;
// of those to a plain server of Go, which does nothing.
func TestTimedAppHTTP(t *testing.T) {
	h := appsHost(t, host.Config{})
	base, target := served(t, h), "/app/"+deploy(t, h, appOf(t, h, "c-handler", granted(nil))).Address+"/"
	plain := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("hello from C, 1\n")) }))
	t.Cleanup(plain.Close)
	flood(t, base, target, unsigned, 16, 200*time.Millisecond)
	hold(t, func() []timedLine {
		var bare, ours, signed float64
		var took, tookBare report.Samples
		const turns = 5
		for range turns {
			all, rate := flood(t, plain.URL, "/", "", 16, time.Second)
			tookBare, bare = append(tookBare, all...), bare+rate/turns
			all, rate = flood(t, base, target, unsigned, 16, time.Second)
			took, ours = append(took, all...), ours+rate/turns
			_, rate = flood(t, base, target, "", 16, time.Second)
			signed += rate / turns
		}
		means := fmt.Sprintf("%.0f/s, signed %.0f/s, a plain server %.0f/s", ours, signed, bare)
		return []timedLine{
			{what: "HTTP requests in a second, of those to a plain server", goal: "8,000/s", limit: 0.12, measured: ours / bare, least: true, means: means},
			{what: "the same signed, of those to a plain server", goal: "none", limit: 0.06, measured: signed / bare, least: true, means: means},
			{what: "the slowest of 100, of that of a plain server", goal: "5 ms", limit: 12, measured: took.At(0.99) / tookBare.At(0.99),
				means: report.Micros(took.At(0.99)) + ", a plain server " + report.Micros(tookBare.At(0.99))},
		}
	})
}

// TestTimedAppQuery: a query to a handler, beside a run of the same code without an app.
func TestTimedAppQuery(t *testing.T) {
	h := appsHost(t, host.Config{})
	app := deploy(t, h, appOf(t, h, "c-handler", nil)).Address
	payload := bytes.Repeat([]byte("p"), 512)
	q := host.Request{Code: guest(t, "c-handler"), Entry: run.Entry{Mode: run.Bytes, Name: "query"}, Input: append([]byte("\n\n"), payload...), Determinism: run.RealWorld}
	q.CodeHash, q.Code = execute(t, h, q).CodeHash, nil
	ask(t, h, app, "x", "hello")
	hold(t, func() []timedLine {
		var asked, bare []time.Duration
		for range 100 {
			for range 30 {
				bare = append(bare, timeOf(func() {
					if r := execute(t, h, q); !bytes.Equal(r.Result, payload) {
						t.Errorf("%q", r.Result)
					}
				}))
			}
			for range 30 {
				asked = append(asked, timeOf(func() { ask(t, h, app, "x", "hello") }))
			}
		}
		means := fmt.Sprintf("query p50 %v p99 %v, run p50 %v p99 %v", at(asked, 0.5), at(asked, 0.99), at(bare, 0.5), at(bare, 0.99))
		return []timedLine{{what: "query to an app, p50, of a bare run", goal: "none", limit: 12, measured: float64(at(asked, 0.5)) / float64(at(bare, 0.5)), means: means}}
	})
}

// TestTimedBenchYields: a paid query while the benchmark fills all slots, of one on an idle host.
func TestTimedBenchYields(t *testing.T) {
	h := appsHost(t, host.Config{Apps: host.AppConfig{Slots: 4}})
	handler := deploy(t, h, appOf(t, h, "c-handler", nil)).Address
	service := deploy(t, h, appOf(t, h, "c-service", nil)).Address
	measure := func(address string) []time.Duration {
		var all []time.Duration
		ask(t, h, address, "x", "hello")
		for range 1000 {
			all = append(all, timeOf(func() { ask(t, h, address, "x", "hello") }))
		}
		return all
	}
	hold(t, func() []timedLine {
		idle, idleService := measure(handler), measure(service)
		bench := benchOf(t, h, "10000", 3)
		before, begun := billedGas(t, h, bench)[0], time.Now()
		busy, busyService := measure(handler), measure(service)
		gas := float64(billedGas(t, h, bench)[0]-before) * 1024 / time.Since(begun).Seconds()
		if gas == 0 {
			t.Error("the benchmark did not compute")
		}
		if _, err := h.RemoveApp(t.Context(), bench); err != nil {
			t.Fatal(err)
		}
		line := func(what string, busy, idle []time.Duration, q, limit float64) timedLine {
			return timedLine{what: what, goal: "2", limit: limit, measured: float64(at(busy, q)) / float64(at(idle, q)), means: fmt.Sprintf("%v beside it, %v alone; it had %.1f G gas in a second", at(busy, q), at(idle, q), gas/1e9)}
		}
		return []timedLine{
			line("query to a handler beside the benchmark, p50, of one alone", busy, idle, 0.5, 3),
			line("the same, p99", busy, idle, 0.99, 40),
			line("query to a service beside the benchmark, p50, of one alone", busyService, idleService, 0.5, 3),
			line("the same, p99", busyService, idleService, 0.99, 40),
		}
	})
}
