package host

import (
	"testing"
	"time"
	"unsafe"

	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/artifacts/manifest"
)

func sampleAt(at time.Time, gas uint64) AppSample {
	return AppSample{At: at, Metrics: inspect.AppMetrics{Address: "a", Session: "s", Gas: gas, StorageUsed: "123456789012345678901234567890", MemoryUsed: "12"}}
}

// TestAHistoryIsBounded lets an app work for three days.
func TestAHistoryIsBounded(t *testing.T) {
	var h histories
	begin := time.Unix(1_700_000_000, 0)
	a := manifest.Address{1}
	at := begin
	for n := range uint64(3 * 8640) {
		at = begin.Add(time.Duration(n) * historyEvery)
		h.add(a, sampleAt(at, n))
	}
	got := h.of(a)
	if len(got) > historyFine+historyCoarse+2 || len(got) < historyFine+200 {
		t.Errorf("%d samples", len(got))
	}
	if d := at.Sub(got[0].At); d < 23*time.Hour || d > 25*time.Hour || got[len(got)-1].At != at {
		t.Errorf("from %v before the end", d)
	}
	for n := 1; n < len(got); n++ {
		step := got[n].At.Sub(got[n-1].At)
		if recent := at.Sub(got[n].At) < time.Hour-coarseEvery; step <= 0 || got[n].Metrics.Gas <= got[n-1].Metrics.Gas || recent && step != historyEvery || step > coarseEvery {
			t.Fatalf("%d: %v after the one before, %v before the end", n, step, at.Sub(got[n].At))
		}
	}
	one := h.apps[a]
	if bytes := (cap(one.fine) + cap(one.coarse)) * (int(unsafe.Sizeof(AppSample{})) + 32); bytes > 300<<10 {
		t.Errorf("%d bytes", bytes)
	}
}

func TestTimeInWhichNothingHappensTakesTwoSamples(t *testing.T) {
	var h histories
	a := manifest.Address{1}
	begin := time.Unix(1_700_000_000, 0)
	for n := range 200 {
		h.add(a, sampleAt(begin.Add(time.Duration(n)*historyEvery), 7))
	}
	h.add(a, sampleAt(begin.Add(2000*time.Second), 8))
	if got := h.of(a); len(got) != 3 || got[0].At != begin || got[1].At != begin.Add(1990*time.Second) || got[2].Metrics.Gas != 8 {
		t.Errorf("%+v", got)
	}
	other := sampleAt(begin.Add(2010*time.Second), 1)
	other.Metrics.Session = "another"
	h.add(a, other)
	if got := h.of(a); len(got) != 1 || got[0].Metrics.Gas != 1 {
		t.Errorf("of another session: %+v", got)
	}
	h.drop(a)
	if got := h.of(a); got != nil {
		t.Errorf("%+v", got)
	}
}

func TestManyAppsAreBounded(t *testing.T) {
	var h histories
	begin := time.Unix(1_700_000_000, 0)
	for n := range 2 * maxHistories {
		h.add(manifest.Address{byte(n), byte(n >> 8)}, sampleAt(begin.Add(time.Duration(n)*time.Second), 1))
	}
	if len(h.apps) != maxHistories || h.of(manifest.Address{0, 0}) != nil || h.of(manifest.Address{255, 1}) == nil {
		t.Errorf("%d histories", len(h.apps))
	}
	for n := range 1 << 16 {
		h.touch(manifest.Address{byte(n), byte(n >> 8), 1})
	}
	if n := len(h.take()); n > 16*maxHistories || len(h.take()) != 0 {
		t.Errorf("%d are to be looked at", n)
	}
}
