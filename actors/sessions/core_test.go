package sessions

import (
	"testing"
	"time"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/kernel"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/artifacts/manifest"
)

// bare is a core with a session and one app that has an actor.
func bare(t *testing.T, slots int) (*State, origin, time.Time) {
	t.Helper()
	now := time.Unix(1e9, 0)
	s := NewState(Limits{Slots: slots}, true, 1)
	s.Step(now, loaded{saved: Saved{Session: &WorkerSession{ID: [32]byte{1}}}})
	m := appOf("a", nil)
	r := record(m)
	s.Step(now, Deploy{Record: r, Manifest: m})
	s.Step(now, savedApp{address: r.Address, gen: s.apps[r.Address].gen})
	return s, origin{r.Address, s.apps[r.Address].gen}, now
}

func grants(effects []Effect) (n int) {
	for _, e := range effects {
		if to, ok := e.(ToApp); ok {
			if _, ok := to.Message.(grant); ok {
				n++
			}
		}
	}
	return n
}

func TestGrantsOnTheirWayCount(t *testing.T) {
	s, app, now := bare(t, 8)
	if n := grants(s.Step(now, wants{app, 2, 0})); n != 2 {
		t.Fatalf("%d grants for 2", n)
	}
	if n := grants(s.Step(now, wants{app, 3, 0})); n != 1 {
		t.Errorf("%d more grants, while 2 of 3 are on their way", n)
	}
	if n := grants(s.Step(now, wants{app, 1, 3})); n != 1 {
		t.Errorf("%d more grants for one that has had 3", n)
	}
}

func TestReplacedActorsMeanNothing(t *testing.T) {
	s, app, now := bare(t, 2)
	s.Step(now, wants{app, 2, 0})
	old := origin{app.address, app.gen - 1}
	s.Step(now, freed{old, 2})
	if s.used != 2 {
		t.Errorf("an actor that was replaced gave slots back: %d are used", s.used)
	}
	if n := grants(s.Step(now, wants{old, 2, 0})); n != 0 || s.apps[app.address].more != 0 {
		t.Error("an actor that was replaced got slots")
	}
	s.Step(now, emptied{from: old})
	if p := s.apps[app.address].phase; p != live {
		t.Errorf("an actor that was replaced emptied the app: %v", p)
	}
}

func TestSlotsGoRound(t *testing.T) {
	s, a, now := bare(t, 3)
	m := appOf("b", resizable)
	r := record(m)
	s.Step(now, Deploy{Record: r, Manifest: m})
	s.Step(now, savedApp{address: r.Address, gen: s.apps[r.Address].gen})
	b := origin{r.Address, s.apps[r.Address].gen}
	s.Step(now, wants{a, 3, 0})
	s.Step(now, wants{b, 3, 0})
	s.Step(now, wants{a, 3, 3})
	for range 4 { // b stands before a, then they take turns
		s.Step(now, freed{a, 1})
		s.Step(now, freed{b, 1})
	}
	if got, others := s.apps[b.address].granted, s.apps[a.address].granted; got != 3 || others < 4 {
		t.Errorf("%d and %d grants", others, got)
	}
}

func TestDeploySentAgain(t *testing.T) {
	s, app, now := bare(t, 2)
	m := appOf("a", nil)
	r := record(m)
	var code fault.Code
	reply := kernel.ReplyFunc(func(_ Standing, err error) { code = fault.CodeOf(err) })
	r.Session = [32]byte{9}
	for _, e := range s.Step(now, Deploy{Record: r, Manifest: m, Reply: reply}) {
		if g, ok := e.(giver); ok {
			g.give()
		}
	}
	if code != fault.CallerAppExists {
		t.Errorf("another deployment got %q", code)
	}
	r.Session = s.apps[app.address].rec.Session
	passed := false
	for _, e := range s.Step(now, Deploy{Record: r, Manifest: m, Reply: reply}) {
		if to, ok := e.(ToApp); ok {
			_, passed = to.Message.(begin)
		}
	}
	if !passed {
		t.Error("the same deployment is not answered as one")
	}
}

func TestReasons(t *testing.T) {
	for code, want := range map[fault.Code]string{fault.GuestGasLimit: "gas: ", fault.GuestMemory: "memory: ", fault.GuestTrap: "trap: ", fault.HostSpawnFailed: "host.spawn_failed: "} {
		if got := reason(run.Outcome{Fault: fault.New(code, "", "", nil)}); len(got) <= len(want) || got[:len(want)] != want {
			t.Errorf("%s: %q", code, got)
		}
	}
}

func TestBackoff(t *testing.T) {
	r := manifest.Restart{BackoffMin: time.Second, BackoffMax: 5 * time.Second}
	for streak, want := range []time.Duration{time.Second, 2 * time.Second, 4 * time.Second, 5 * time.Second, 5 * time.Second} {
		if got := backoff(r, uint32(streak)); got != want {
			t.Errorf("after %d: %v", streak, got)
		}
	}
	if got := backoff(r, 1<<31); got != 5*time.Second {
		t.Errorf("in the end: %v", got)
	}
}
