package host_test

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/troupehost/troupe/actors/meter"
	"github.com/troupehost/troupe/artifacts/manifest"
	"github.com/troupehost/troupe/host"
)

// chain is a chain whose blocks come every 20 ms, if there is one, by a clock that may differ from that of the machine.
type chain struct {
	now atomic.Pointer[func() time.Time]
}

func (c *chain) block() (time.Time, bool) {
	now := c.now.Load()
	if now == nil {
		return time.Time{}, false
	}
	return (*now)().Truncate(20 * time.Millisecond), true
}

// benchOf deploys the benchmark app with a window, and so many instances.
func benchOf(t testing.TB, h *host.Host, window string, instances uint32) string {
	t.Helper()
	m := appOf(t, h, "bench-app", func(m *manifest.Manifest) { m.OnDemand, m.Resizable, m.Args = false, true, []string{window} })
	a, err := h.Deploy(t.Context(), host.DeployRequest{Manifest: m.Encode(), Bench: true})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.SetBench(t.Context(), a.Address, instances); err != nil {
		t.Fatal(err)
	}
	untilApp(t, h, a.Address, serving(int(instances)))
	return a.Address
}

// TestBenchScoresByTheChain: the benchmark claims a score, which the worker has signed, only while the clock here and the time of
// the chain agree.
func TestBenchScoresByTheChain(t *testing.T) {
	var c chain
	h := appsHost(t, host.Config{Apps: host.AppConfig{BlockTime: c.block}})
	bench := benchOf(t, h, "250", 1)
	state := func(want string) {
		t.Helper()
		last := ""
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for limit := time.After(15 * time.Second); ; {
			r, err := h.Query(t.Context(), host.AppQuery{Address: bench, Path: "state"})
			if err != nil {
				t.Fatal(err)
			}
			if last = string(r.Output); last == want {
				return
			}
			select {
			case <-tick.C:
			case <-limit:
				t.Fatalf("waited 15 s for %q: it is %q", want, last)
			}
		}
	}
	unscored := func(why string) {
		t.Helper()
		if r, err := h.Query(t.Context(), host.AppQuery{Address: bench, Path: "score"}); err == nil {
			t.Errorf("%s, and there is a score: %d bytes", why, len(r.Output))
		}
	}
	const refused = "refused: the clock and the chain's blocks differ"
	follow := func(now func() time.Time) { c.now.Store(&now) }

	state("no block time")
	unscored("there is no chain")

	follow(time.Now)
	state("scored")
	key := workerKey(t, h)
	score, err := meter.OpenSignedMessage([]byte(ask(t, h, bench, "score", "")))
	if err != nil {
		t.Fatal(err)
	}
	if s := score.Score; score.Worker != key || s.GasPerSecond == 0 || s.GasConsumed == 0 || s.Token.SN == 0 || time.Since(time.Unix(int64(s.Timestamp), 0)) > time.Minute {
		t.Errorf("%+v", score)
	}

	begun := time.Now()
	follow(func() time.Time { return time.Now().Add(time.Since(begun) / 2) }) // the clock here is slow
	state(refused)
	unscored("the clock is slow")
	follow(time.Now)
	state("scored")
	follow(func() time.Time { return time.Now().Add(time.Hour) }) // and here it was set back while a window was open
	state(refused)
	unscored("the clock was set")
	state("scored") // from then on both go on alike
	c.now.Store(nil)
	state("no block time")
	unscored("the chain is gone")
}

// TestBenchGivesWay: the benchmark fills the slots that nobody wants, gives one back to paid work, and takes it again afterwards;
// and while an app computes on all cores, it does next to nothing.
func TestBenchGivesWay(t *testing.T) {
	h := appsHost(t, host.Config{Apps: host.AppConfig{Slots: 3}})
	bench := benchOf(t, h, "10000", 3)
	if s, err := h.Session(t.Context()); err != nil || s.SlotsUsed != 3 || s.Bench != bench {
		t.Fatalf("%+v, %v", s, err)
	}
	m := appOf(t, h, "loop", func(m *manifest.Manifest) { m.OnDemand, m.Resizable = false, true })
	begun := time.Now()
	paid := deploy(t, h, m).Address
	if _, err := h.ResizeApp(t.Context(), paid, 2); err != nil {
		t.Fatal(err)
	}
	untilApp(t, h, paid, serving(2))
	t.Logf("two slots were given back, and are in use, after %v", time.Since(begun))
	if a, err := h.App(t.Context(), bench); err != nil || !serving(1)(a) {
		t.Errorf("%+v, %v", a, err)
	}
	before := billedGas(t, h, paid, bench)
	select {
	case <-time.After(700 * time.Millisecond):
	case <-t.Context().Done():
	}
	after := billedGas(t, h, paid, bench)
	if theirs, its := after[0]-before[0], after[1]-before[1]; its*8 > theirs { // what it did before may be counted up to a second later
		t.Errorf("beside apps that compute on all cores the benchmark had %d gas, they %d", its, theirs)
	}
	if _, err := h.RemoveApp(t.Context(), paid); err != nil {
		t.Fatal(err)
	}
	untilApp(t, h, bench, serving(3))
}
