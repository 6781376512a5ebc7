package sessions

import (
	"crypto/rand"
	"fmt"
	"io"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/kernel"
	"github.com/troupehost/troupe/actors/meter"
	"github.com/troupehost/troupe/artifacts/manifest"
)

// bomb is an Observer that panics when it hears of a refusal by one app.
type bomb struct {
	nobody
	at    manifest.Address
	armed atomic.Bool
}

func (b *bomb) Refused(a manifest.Address, _ string) {
	if a == b.at && b.armed.Load() {
		panic("boom")
	}
}

func TestOneAppFails(t *testing.T) {
	onStage(t, Limits{}, func(s *stage) {
		s.down()
		b := &bomb{}
		var err error
		if s.sys, err = kernel.New(kernel.Config{Log: zerolog.New(zerolog.NewTestWriter(t))}); err != nil {
			t.Fatal(err)
		}
		if s.ref, err = Spawn(s.sys, Config{Store: s.disk, Guests: s.guests, Observe: b}); err != nil {
			t.Fatal(err)
		}
		s.open()
		good, _ := s.deploy(appOf("good", nil))
		bad, _ := s.deploy(appOf("bad", nil))
		s.after(time.Millisecond)
		s.ok(s.use(bad, 1, meter.Use{Tip: 5}))
		id, _, err := s.enter(bad)
		s.ok(err)
		before := s.show(good)
		fail := func() {
			b.at = bad
			b.armed.Store(true)
			_, err := s.resize(bad, 2) // refused without a panic: it is no request
			s.is(err, fault.CallerAppState)
			_ = s.ref.Send(Stop{Address: bad})
			id, _, err := s.enter(bad)
			s.is(err, fault.CallerAppState)
			s.leave(bad, id)
			synctest.Wait() // it is refused before that is observed
			b.armed.Store(false)
			s.after(time.Second)
		}
		fail()
		if v := s.show(good); v.Running != 1 || v.Metrics.Starts != 1 || v.Instances[0].ID != before.Instances[0].ID {
			t.Errorf("another app felt it: %+v", v)
		}
		v := s.show(bad)
		if v.Metrics.Tip != 5 || v.Active != 1 {
			t.Errorf("the app came back with a tip of %d and %d requests", v.Metrics.Tip, v.Active)
		}
		s.leave(bad, id)
		s.after(time.Millisecond)
		if v := s.show(bad); v.Active != 0 {
			t.Errorf("%d requests are left", v.Active)
		}
		for range maxCrashes {
			fail()
		}
		_, err = s.start(bad)
		s.is(err, fault.HostGaveUp)
		p, err := ask(s, func(r kernel.Reply[Page]) Message { return List{Limit: 10, Reply: r} })
		s.ok(err)
		if len(p.Apps) != 2 || p.Apps[1].State != "failed" {
			t.Errorf("the list is %+v", p.Apps)
		}
		s.after(2 * time.Minute)
		_, err = s.start(bad)
		s.ok(err)
		if s.sys.Err() != nil {
			t.Errorf("the host gave up: %v", s.sys.Err())
		}
	})
}

// luck is a source of chance that fails when it is told to, once.
type luck struct{ out atomic.Bool }

func (l *luck) Read(p []byte) (int, error) {
	if l.out.CompareAndSwap(true, false) {
		return 0, io.ErrUnexpectedEOF
	}
	return rand.Read(p)
}

func TestSessionsFails(t *testing.T) {
	onStage(t, Limits{}, func(s *stage) {
		s.down()
		l := &luck{}
		var err error
		if s.sys, err = kernel.New(kernel.Config{Log: zerolog.New(zerolog.NewTestWriter(t))}); err != nil {
			t.Fatal(err)
		}
		if s.ref, err = Spawn(s.sys, Config{Store: s.disk, Guests: s.guests, Rand: l}); err != nil {
			t.Fatal(err)
		}
		w := s.open()
		a, _ := s.deploy(appOf("a", nil))
		s.after(time.Millisecond) // the start is noted with the use
		s.ok(s.use(a, 1, meter.Use{Tip: 5}))
		before, err := s.report()
		s.ok(err)
		l.out.Store(true)
		_, err = s.report() // it panics on the nonce
		t.Log(err)
		s.after(time.Minute)
		if actors := s.sys.Inspect(); actors[0].Path != "troupe/sessions" || actors[0].Incarnation != 2 {
			t.Fatalf("it did not fail: %+v", actors[0])
		}
		if v := s.show(a); v.Metrics.Tip != 5 || v.Running != 1 || v.Metrics.Starts != 2 {
			t.Errorf("the app came back as %+v", v)
		}
		again, err := s.report()
		s.ok(err)
		if again[0].Token.SN <= before[0].Token.SN || again[0].Token.Session != w.ID {
			t.Errorf("%+v after %+v", again[0].Token, before[0].Token)
		}
		s.ok(s.use(a, 1, meter.Use{Tip: 5})) // it was counted before
		if v := s.show(a); v.Metrics.Tip != 5 {
			t.Errorf("the tip is %d", v.Metrics.Tip)
		}
	})
}

// TestManyApps deploys and stops 10,000 apps: memory and goroutines are flat, and each app is cheap.
func TestManyApps(t *testing.T) {
	n := 10_000
	if testing.Short() {
		n = 1000
	}
	onStage(t, Limits{}, func(s *stage) {
		s.open()
		use := func() (heap, goroutines int) {
			s.after(time.Hour)
			runtime.GC()
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			return int(m.HeapAlloc), runtime.NumGoroutine()
		}
		round := func(label string) (each int) {
			heap, goroutines := use()
			for i := range n {
				a, _ := s.deploy(appOf(fmt.Sprint(label, i), onDemand))
				if i%100 == 0 {
					id, _, err := s.enter(a)
					s.ok(err)
					s.leave(a, id)
				}
			}
			with, more := use()
			if more > goroutines+40 { // the kernel keeps some that have nothing to do
				t.Errorf("%d goroutines, before %d", more, goroutines)
			}
			gone, err := ask(s, func(r kernel.Reply[int]) Message { return RemoveAll{Reply: r} })
			if err != nil || gone != n {
				t.Fatalf("removed %d: %v", gone, err)
			}
			return (with - heap) / n
		}
		start, _ := use()
		each := round("a")
		one, _ := use()
		round("b")
		two, _ := use()
		t.Logf("an idle app takes %d bytes; %d KB at first, then %d and %d", each, start>>10, one>>10, two>>10)
		if each > 64<<10 {
			t.Errorf("an idle app takes %d bytes", each)
		}
		if two > one+one/4+1<<20 {
			t.Errorf("%d bytes after one round, %d after another", one, two)
		}
	})
}

func TestNamesOfActors(t *testing.T) {
	name := nameOf(manifest.Address{1, 31: 255})
	if len(name) != 64 || !strings.HasPrefix(name, "app-01") {
		t.Errorf("%q", name)
	}
}
