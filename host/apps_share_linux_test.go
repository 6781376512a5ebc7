package host_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/artifacts/manifest"
	"github.com/troupehost/troupe/host"
)

// billedGas is the gas of apps until now: a report has counted what their instances used.
func billedGas(t *testing.T, h *host.Host, addresses ...string) []uint64 {
	t.Helper()
	if _, err := h.ReportMetrics(t.Context(), addresses...); err != nil {
		t.Fatal(err)
	}
	all, err := h.AppMetrics(t.Context(), addresses...)
	if err != nil {
		t.Fatal(err)
	}
	var out []uint64
	for _, m := range all {
		out = append(out, m.Gas)
	}
	return out
}

// shareOfTwo has two apps with weights 1 and 2 compute without end, two instances each so that they compete on each core, and returns
// how much more gas the second one had in so long a time.
func shareOfTwo(t *testing.T, span time.Duration) float64 {
	t.Helper()
	h := appsHost(t, host.Config{})
	var addresses []string
	for n, weight := range []uint32{100, 200} {
		m := appOf(t, h, "loop", func(m *manifest.Manifest) {
			m.Label, m.OnDemand, m.Resizable, m.Terms.Weight = fmt.Sprint("spinner ", n), false, true, weight
		})
		addresses = append(addresses, deploy(t, h, m).Address)
	}
	for _, a := range addresses {
		if _, err := h.ResizeApp(t.Context(), a, 2); err != nil {
			t.Fatal(err)
		}
	}
	for _, a := range addresses {
		untilApp(t, h, a, serving(2))
	}
	wait := func(d time.Duration) {
		select {
		case <-time.After(d):
		case <-t.Context().Done():
		}
	}
	wait(200 * time.Millisecond) // first slices need no turn
	before := billedGas(t, h, addresses...)
	wait(span)
	after := billedGas(t, h, addresses...)
	one, two := after[0]-before[0], after[1]-before[1]
	t.Logf("gas in %v: %d and %d, %.0f M/s in all", span, one, two, float64(one+two)/1e6*1024/span.Seconds())
	return float64(two) / float64(one)
}

// serving: so many instances are there, and have begun.
func serving(instances int) func(inspect.App) bool {
	return func(a inspect.App) bool {
		n := 0
		for _, i := range a.Instances {
			if i.State == "running" {
				n++
			}
		}
		return n == instances && len(a.Instances) == n
	}
}

// untilApp waits until an app is as wanted.
func untilApp(t testing.TB, h *host.Host, address string, wanted func(inspect.App) bool) inspect.App {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(time.Minute)
	for {
		a, err := h.App(t.Context(), address)
		if err != nil {
			t.Fatal(err)
		}
		if wanted(a) {
			return a
		}
		select {
		case <-tick.C:
		case <-limit:
			t.Fatalf("waited a minute for the app: %+v", a)
		}
	}
}

// TestW50Weights is a short look at what TestTimedW50Weights measures: shares follow weights, in workers as they are.
func TestW50Weights(t *testing.T) {
	if ratio := shareOfTwo(t, 1500*time.Millisecond); ratio < 1.4 || ratio > 2.9 {
		t.Errorf("weights 1 and 2, gas 1 and %.2f", ratio)
	}
}
