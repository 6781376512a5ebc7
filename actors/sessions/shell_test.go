package sessions

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/crypto/blake2b"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/actors/kernel"
	"github.com/troupehost/troupe/actors/meter"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/artifacts/manifest"
)

func (s *stage) show(a manifest.Address) inspect.App {
	s.t.Helper()
	v, err := ask(s, func(r kernel.Reply[inspect.App]) Message { return Show{Address: a, Reply: r} })
	s.ok(err)
	return v
}

func TestSession(t *testing.T) {
	onStage(t, Limits{}, func(s *stage) {
		_, err := s.tryDeploy(appOf("a", nil), nil)
		s.is(err, fault.CallerNoSession)
		_, err = s.report()
		s.is(err, fault.CallerNoSession)
		w := s.open()
		if id := blake2b.Sum256(append(w.CNonce[:], w.PNonce...)); id != w.ID || w.CNonce == ([32]byte{}) {
			t.Errorf("the id is not the hash of the nonces: %+v", w)
		}
		_, err = ask(s, func(r kernel.Reply[WorkerSession]) Message { return OpenSession{PNonce: make([]byte, 65), Reply: r} })
		s.is(err, fault.CallerInvalid)
		a, _ := s.deploy(appOf("a", nil))
		_, err = ask(s, func(r kernel.Reply[WorkerSession]) Message { return OpenSession{Reply: r} })
		s.is(err, fault.CallerSession)
		same, err := ask(s, func(r kernel.Reply[WorkerSession]) Message { return OpenSession{Resume: true, Reply: r} })
		s.ok(err)
		if same.ID != w.ID {
			t.Error("a resumed session has another id")
		}
		one, err := s.report()
		s.ok(err)
		two, err := s.report(a)
		s.ok(err)
		if one[0].Token.SN != 1 || two[0].Token.SN != 2 || one[0].Token.Nonce == two[0].Token.Nonce || one[0].Token.Session != w.ID {
			t.Errorf("tokens %+v, %+v", one[0].Token, two[0].Token)
		}
		_, err = s.remove(a)
		s.ok(err)
		if again := s.open(); again.ID == w.ID || again.SN != 0 {
			t.Errorf("a new session is %+v", again)
		}
	})
}

func TestLongRunning(t *testing.T) {
	onStage(t, Limits{}, func(s *stage) {
		s.open()
		a, st := s.deploy(appOf("a", nil))
		if st.Running != 1 || st.Wanted != 1 {
			t.Errorf("after deployment: %+v", st)
		}
		_, err := s.tryDeploy(appOf("a", nil), nil)
		s.is(err, fault.CallerAppExists)
		s.after(time.Millisecond)
		first := s.show(a)
		st, err = s.stop(a)
		s.ok(err)
		if live, _, _ := s.guests.count(); live != 0 || st.Running != 0 || st.State != "stopped" {
			t.Errorf("after stop: %d live, %+v", live, st)
		}
		_, _, err = s.enter(a)
		s.is(err, fault.CallerAppState)
		_, err = s.start(a)
		s.ok(err)
		s.after(time.Millisecond)
		second := s.show(a)
		if second.Running != 1 || second.State != "running" || second.Session != first.Session || second.Metrics.Starts != 2 {
			t.Errorf("after start: %+v", second)
		}
		_, err = s.remove(a)
		s.ok(err)
		_, st = s.deploy(appOf("a", nil))
		if fmt.Sprintf("%x", st.Record.Session) == first.Session {
			t.Error("a new deployment has the session of the old one")
		}
	})
}

func TestDeployIsAtomic(t *testing.T) {
	onStage(t, Limits{}, func(s *stage) {
		s.open()
		s.disk.fail = func(op string) error {
			if op == "save" {
				return fault.New(fault.HostDiskFull, op, "", nil)
			}
			return nil
		}
		m := appOf("a", nil)
		_, err := s.tryDeploy(m, nil)
		s.is(err, fault.HostDiskFull)
		_, err = ask(s, func(r kernel.Reply[inspect.App]) Message { return Show{Address: m.Address(), Reply: r} })
		s.is(err, fault.CallerNotFound)
		p, err := ask(s, func(r kernel.Reply[Page]) Message { return List{Limit: 10, Reply: r} })
		s.ok(err)
		if len(p.Apps) != 0 || len(s.disk.apps) != 0 {
			t.Errorf("the app is there: %v", p)
		}
		s.disk.fail = nil
		s.deploy(m)
	})
}

func TestWithoutSlotItWaits(t *testing.T) {
	onStage(t, Limits{Slots: 1}, func(s *stage) {
		s.open()
		a, _ := s.deploy(appOf("a", nil))
		b, st := s.deploy(appOf("b", nil))
		if st.Running != 0 || st.Wanted != 1 || st.State != "waiting" {
			t.Errorf("deployed without a slot: %+v", st)
		}
		_, err := s.stop(a)
		s.ok(err)
		s.after(time.Millisecond)
		if v := s.show(b); v.State != "running" {
			t.Errorf("with a free slot it is %s", v.State)
		}
		if _, most, _ := s.guests.count(); most != 1 {
			t.Errorf("%d instances in one slot", most)
		}
	})
}

func TestOnDemand(t *testing.T) {
	onStage(t, Limits{}, func(s *stage) {
		s.open()
		a, st := s.deploy(appOf("a", onDemand))
		if st.State != "idle" || st.Running != 0 {
			t.Errorf("deployed on demand: %+v", st)
		}
		_, err := s.start(a)
		s.is(err, fault.CallerAppState)
		id, adm, err := s.enter(a)
		s.ok(err)
		if adm.Instance == 0 {
			t.Error("a request of a service has no instance")
		}
		s.after(2 * manifest.DefaultIdleTimeout)
		if s.guests.of(a) != 1 {
			t.Error("the instance ended under a request")
		}
		s.leave(a, id)
		s.after(manifest.DefaultIdleTimeout - time.Second)
		if s.guests.of(a) != 1 {
			t.Error("the instance ended before it was idle for long")
		}
		s.after(time.Second + time.Millisecond)
		if s.guests.of(a) != 0 {
			t.Error("the instance lives on idle")
		}
	})
}

func TestPreemption(t *testing.T) {
	onStage(t, Limits{Slots: 3}, func(s *stage) {
		s.open()
		bench, _ := s.deploy(appOf("bench", resizable))
		paid, _ := s.deploy(appOf("paid", nil))
		_, err := ask(s, func(r kernel.Reply[Standing]) Message { return SetBench{Address: bench, Instances: 8, Reply: r} })
		s.ok(err)
		s.after(time.Millisecond)
		if n := s.guests.of(bench); n != 2 {
			t.Fatalf("the benchmark app has %d instances", n)
		}
		a, _ := s.deploy(appOf("a", onDemand))
		id, _, err := s.enter(a)
		s.ok(err)
		s.after(time.Millisecond)
		if s.guests.of(bench) != 1 || s.guests.of(paid) != 1 || s.guests.of(a) != 1 {
			t.Errorf("bench %d, paid %d, query %d", s.guests.of(bench), s.guests.of(paid), s.guests.of(a))
		}
		s.leave(a, id)
		s.after(2 * manifest.DefaultIdleTimeout)
		if s.guests.of(bench) != 2 {
			t.Error("the benchmark app does not fill what is idle")
		}
		if _, most, _ := s.guests.count(); most > 3 {
			t.Errorf("%d instances in 3 slots", most)
		}
	})
}

func TestResize(t *testing.T) {
	onStage(t, Limits{Slots: 3}, func(s *stage) {
		s.open()
		fixed, _ := s.deploy(appOf("fixed", nil))
		_, err := s.resize(fixed, 2)
		s.is(err, fault.CallerAppState)
		if v := s.show(fixed); v.Wanted != 1 || v.Running != 1 {
			t.Errorf("a refused resize changed it: %+v", v)
		}
		a, _ := s.deploy(appOf("a", resizable))
		st, err := s.resize(a, 4)
		s.ok(err)
		if st.Running != 2 || st.Wanted != 4 {
			t.Errorf("%d of %d in 2 free slots", st.Running, st.Wanted)
		}
		st, err = s.resize(a, 1)
		s.ok(err)
		s.after(time.Millisecond)
		if st.Running != 1 || s.guests.of(a) != 1 {
			t.Errorf("after resize to 1: %+v, %d live", st, s.guests.of(a))
		}
		st, err = s.resize(a, 0)
		s.ok(err)
		if st.Running != 0 || st.State != "stopped" {
			t.Errorf("after resize to 0: %+v", st)
		}
	})
}

func TestRestart(t *testing.T) {
	for name, c := range map[string]struct {
		lives   time.Duration
		restart manifest.Restart
		fault   fault.Code
		starts  uint64 // in 100 s
		state   string
	}{
		"long enough":     {lives: 20 * time.Second, starts: 5, state: "running"},
		"too short":       {lives: time.Second, starts: 1, state: "stopped"},
		"out of gas":      {lives: time.Second, fault: fault.GuestGasLimit, starts: 1, state: "failed"},
		"with back-off":   {lives: time.Second, fault: fault.GuestTrap, restart: manifest.Restart{Max: 3}, starts: 4, state: "failed"},
		"never":           {lives: 20 * time.Second, restart: manifest.Restart{Policy: manifest.RestartNever}, starts: 1, state: "stopped"},
		"only on failure": {lives: 20 * time.Second, restart: manifest.Restart{Policy: manifest.RestartOnFailure}, starts: 1, state: "stopped"},
		"a failure":       {lives: 20 * time.Second, fault: fault.GuestTrap, restart: manifest.Restart{Policy: manifest.RestartOnFailure}, starts: 5, state: "running"},
		"our fault":       {lives: 30 * time.Second, fault: fault.HostSpawnFailed, starts: 4, state: "running"},
	} {
		t.Run(name, func(t *testing.T) {
			onStage(t, Limits{}, func(s *stage) {
				s.guests.script = func(_ Launch, stop <-chan struct{}, kill context.Context) Ended {
					select {
					case <-in(c.lives):
						if c.fault != "" {
							return Ended{Outcome: run.Outcome{Fault: fault.New(c.fault, "", "", nil)}}
						}
						return Ended{}
					case <-stop:
					case <-kill.Done():
					}
					return Ended{Stopped: true}
				}
				s.open()
				a, _ := s.deploy(appOf("a", func(m *manifest.Manifest) { m.Terms.Restart = c.restart }))
				s.after(99 * time.Second)
				v := s.show(a)
				if v.Metrics.Starts != c.starts || v.State != c.state || c.state != "running" && v.Reason == "" {
					t.Errorf("%d starts, %s (%s)", v.Metrics.Starts, v.State, v.Reason)
				}
				if c.state != "running" {
					_, err := s.start(a)
					s.ok(err)
					s.after(time.Millisecond)
					if v := s.show(a); v.State != "running" {
						t.Errorf("started again it is %s", v.State)
					}
				}
			})
		})
	}
}

func TestStopIsBounded(t *testing.T) {
	onStage(t, Limits{}, func(s *stage) {
		s.guests.script = func(_ Launch, _ <-chan struct{}, kill context.Context) Ended {
			<-kill.Done() // it does not listen
			return Ended{Stopped: true}
		}
		s.open()
		a, _ := s.deploy(appOf("a", nil))
		s.after(time.Millisecond)
		for name, op := range map[string]func() error{
			"stop":   func() error { _, err := s.stop(a); return err },
			"remove": func() error { _, err := s.remove(a); return err },
			"remove all": func() error {
				_, err := ask(s, func(r kernel.Reply[int]) Message { return RemoveAll{Reply: r} })
				return err
			},
		} {
			_, _ = s.tryDeploy(appOf("a", nil), nil)
			_, _ = s.start(a)
			s.after(time.Millisecond)
			began := time.Now()
			s.ok(op())
			if took := time.Since(began); took > 1100*time.Millisecond {
				t.Errorf("%s took %v", name, took)
			}
			if live, _, _ := s.guests.count(); live != 0 {
				t.Errorf("after %s, %d live", name, live)
			}
		}
	})
}

func TestBackPressure(t *testing.T) {
	onStage(t, Limits{Active: 2}, func(s *stage) {
		s.open()
		a, _ := s.deploy(appOf("a", func(m *manifest.Manifest) { m.OnDemand, m.Terms.Reuse, m.Terms.Queue = true, manifest.Reset, 3 }))
		codes := make(chan fault.Code, 8)
		one, adm, err := s.enter(a)
		s.ok(err)
		if adm.Instance != 0 {
			t.Error("a request with a state of its own goes to an instance")
		}
		_, _, err = s.enter(a)
		s.ok(err)
		for range 3 {
			s.ids++
			id := s.ids
			go func() {
				_, err := ask(s, func(r kernel.Reply[Admission]) Message { return Enter{Address: a, ID: id, Reply: r} })
				codes <- fault.CodeOf(err)
			}()
		}
		s.after(time.Millisecond)
		_, _, err = s.enter(a)
		s.is(err, fault.BusyApp)
		s.leave(a, one)
		if c := <-codes; c != "" {
			t.Errorf("there was room, and the next got %s", c)
		}
		for range 2 {
			if c := <-codes; c != fault.BusyApp {
				t.Errorf("who waited for the whole time got %q", c)
			}
		}
		if since := time.Since(s.begin); since < manifest.DefaultQueryTimeout {
			t.Errorf("they waited %v", since)
		}
	})
}

func TestRequestsWithoutSlot(t *testing.T) {
	onStage(t, Limits{Slots: 1}, func(s *stage) {
		s.open()
		s.deploy(appOf("a", nil))
		b, _ := s.deploy(appOf("b", onDemand))
		_, _, err := s.enter(b)
		s.is(err, fault.BusySlots)
		if since := time.Since(s.begin); since < manifest.DefaultQueryTimeout {
			t.Errorf("it waited %v", since)
		}
	})
}

func TestLimitOfRequests(t *testing.T) {
	onStage(t, Limits{Requests: 4}, func(s *stage) {
		s.open()
		fresh := func(m *manifest.Manifest) { m.OnDemand, m.Terms.Reuse = true, manifest.Reset }
		a, _ := s.deploy(appOf("a", fresh))
		b, _ := s.deploy(appOf("b", fresh))
		c, _ := s.deploy(appOf("c", fresh))
		id, _, err := s.enter(a)
		s.ok(err)
		_, _, err = s.enter(a)
		s.ok(err)
		_, _, err = s.enter(a) // as many as are left
		s.is(err, fault.BusyQueueFull)
		other, _, err := s.enter(b)
		s.ok(err)
		_, _, err = s.enter(b)
		s.is(err, fault.BusyQueueFull)
		_, _, err = s.enter(c)
		s.ok(err)
		d, _ := s.deploy(appOf("d", fresh))
		_, _, err = s.enter(d)
		s.is(err, fault.BusyQueueFull)
		s.leave(a, id)
		s.leave(b, other)
		s.after(time.Millisecond)
		_, _, err = s.enter(a)
		s.ok(err)
	})
}

func TestLeaveOvertakesEnter(t *testing.T) {
	onStage(t, Limits{}, func(s *stage) {
		s.open()
		a, _ := s.deploy(appOf("a", func(m *manifest.Manifest) { m.OnDemand, m.Terms.Reuse = true, manifest.Reset }))
		_ = s.ref.Send(Enter{Address: a, ID: 77})
		_ = s.ref.Control(Leave{Address: a, ID: 77})
		_ = s.ref.Control(Leave{Address: a, ID: 78}) // one that never came
		s.after(time.Millisecond)
		v, err := ask(s, func(r kernel.Reply[SessionView]) Message { return Session{Reply: r} })
		s.ok(err)
		if app := s.show(a); v.Requests != 0 || app.Active != 0 {
			t.Errorf("%d requests, %d active", v.Requests, app.Active)
		}
	})
}

func TestUseIsWrittenBeforeItIsAnswered(t *testing.T) {
	onStage(t, Limits{}, func(s *stage) {
		s.open()
		a, _ := s.deploy(appOf("a", onDemand))
		for key := range uint64(10) {
			s.ok(s.use(a, key+1, meter.Use{Tip: 1, Gas: 512, Starts: 1}))
			s.ok(s.use(a, key+1, meter.Use{Tip: 1, Gas: 512, Starts: 1})) // sent again
			if got := s.disk.app(a).State.Totals; got.Tip != key+1 || got.Gas != (key+1)/2 || got.Starts != key+1 {
				t.Fatalf("answered %d, and on disk is %+v", key+1, got)
			}
		}
		s.disk.fail = func(op string) error {
			if op == "note" {
				return fault.New(fault.HostDiskIO, op, "", nil)
			}
			return nil
		}
		s.is(s.use(a, 11, meter.Use{Tip: 1}), fault.HostDiskIO)
		s.disk.fail = nil
		s.ok(s.use(a, 11, meter.Use{Tip: 1}))
		if got := s.disk.app(a).State.Totals.Tip; got != 11 {
			t.Errorf("the tip is %d", got)
		}
	})
}

func TestUsesShareWrites(t *testing.T) {
	onStage(t, Limits{}, func(s *stage) {
		s.open()
		a, _ := s.deploy(appOf("a", onDemand))
		s.disk.hold = func(op string) {
			if op == "note" {
				<-time.After(time.Second)
			}
		}
		done := make(chan error, 100)
		for key := range uint64(100) {
			go func() { done <- s.use(a, key+1, meter.Use{Tip: 1}) }()
		}
		for range 100 {
			s.ok(<-done)
		}
		if n := s.disk.notes; n > 2 {
			t.Errorf("%d writes for what came at once", n)
		}
		if got := s.disk.app(a).State.Totals.Tip; got != 100 {
			t.Errorf("the tip is %d", got)
		}
	})
}

func TestRunningTime(t *testing.T) {
	onStage(t, Limits{}, func(s *stage) {
		s.guests.start = 3 * time.Second // preparation is not billed
		s.open()
		a, _ := s.deploy(appOf("a", nil))
		s.after(13*time.Second + 500*time.Millisecond)
		p, err := s.report(a)
		s.ok(err)
		if got := p[0].Apps[0].RunningTimeMS; got != 10_500 {
			t.Errorf("it ran %d ms", got)
		}
		if d := s.disk.app(a).State.Totals; d != p[0].Apps[0] {
			t.Errorf("reported %+v, on disk %+v", p[0].Apps[0], d)
		}
	})
}

func TestReportPages(t *testing.T) {
	onStage(t, Limits{}, func(s *stage) {
		s.open()
		for n := range 200 {
			a, _ := s.deploy(appOf(fmt.Sprint(n), onDemand))
			s.ok(s.use(a, 0, meter.Use{Tip: uint64(n)}))
		}
		pages, err := s.report()
		s.ok(err)
		n, sn := 0, uint64(0)
		for _, p := range pages {
			if p.Token.SN <= sn || len(p.Apps) > meter.MaxApps {
				t.Errorf("token %d after %d, %d apps", p.Token.SN, sn, len(p.Apps))
			}
			sn = p.Token.SN
			for _, m := range p.Apps {
				if m.Tip != uint64(n) {
					t.Fatalf("app %d has the tip %d", n, m.Tip)
				}
				n++
			}
		}
		if n != 200 || s.disk.session.SN < sn || s.disk.syncs == 0 {
			t.Errorf("%d apps, sn %d, on disk %d, %d syncs", n, sn, s.disk.session.SN, s.disk.syncs)
		}
	})
}

func TestResume(t *testing.T) {
	for _, resume := range []bool{true, false} {
		t.Run(fmt.Sprint(resume), func(t *testing.T) {
			onStage(t, Limits{}, func(s *stage) {
				w := s.open()
				long, _ := s.deploy(appOf("long", nil))
				query, _ := s.deploy(appOf("query", onDemand))
				s.after(time.Millisecond) // the long-running one has started
				s.ok(s.use(query, 1, meter.Use{Tip: 7}))
				before, err := s.report()
				s.ok(err)
				s.down()
				s.after(time.Hour)
				s.up(resume)
				v, err := ask(s, func(r kernel.Reply[SessionView]) Message { return Session{Reply: r} })
				s.ok(err)
				if !resume {
					if v.Open != nil || v.Apps != 0 || len(s.disk.apps) != 0 {
						t.Errorf("what is not resumed is there: %+v", v)
					}
					return
				}
				after, err := s.report()
				s.ok(err)
				if v.Open == nil || v.Open.ID != w.ID || v.Apps != 2 || after[0].Token.SN <= before[0].Token.SN {
					t.Errorf("resumed: %+v, sn %d after %d", v, after[0].Token.SN, before[0].Token.SN)
				}
				if got := after[0].Apps[1]; got.Tip != 7 || got.Session != before[0].Apps[1].Session {
					t.Errorf("the totals are %+v", got)
				}
				s.after(time.Millisecond)
				if v := s.show(long); v.Running != 1 || v.Metrics.Starts != 2 {
					t.Errorf("the long-running app is %+v", v)
				}
			})
		})
	}
}

func TestPreparationFollowsDemand(t *testing.T) {
	onStage(t, Limits{}, func(s *stage) {
		s.guests.prep = time.Minute
		s.open()
		m := appOf("a", onDemand)
		_, err := ask(s, func(r kernel.Reply[struct{}]) Message { return Announce{Record: record(m), Manifest: m, Reply: r} })
		s.ok(err)
		s.after(time.Millisecond)
		a, _ := s.deploy(m)
		s.after(time.Millisecond)
		go func() { _, _, _ = s.enter(a) }()
		s.after(time.Millisecond)
		for _, p := range []run.Priority{run.Critical, run.Normal} { // it never lowers
			_, err = ask(s, func(r kernel.Reply[struct{}]) Message { return RaiseApp{Address: a, Priority: p, Reply: r} })
			s.ok(err)
		}
		s.after(time.Millisecond)
		if d := cmp.Diff([]run.Priority{run.Background, run.Normal, run.High, run.Critical}, s.guests.asked); d != "" {
			t.Errorf("priorities (-want +got):\n%s", d)
		}
		s.guests.asked = nil
		_, err = s.tryDeploy(appOf("bench", nil), func(r *Record) { r.Bench = true })
		s.ok(err)
		s.after(time.Millisecond)
		if d := cmp.Diff([]run.Priority{run.Background}, s.guests.asked); d != "" {
			t.Errorf("the benchmark app (-want +got):\n%s", d)
		}
	})
}

func TestDrain(t *testing.T) {
	onStage(t, Limits{}, func(s *stage) {
		s.open()
		a, _ := s.deploy(appOf("a", nil))
		s.after(1500 * time.Millisecond)
		_, err := ask(s, func(r kernel.Reply[struct{}]) Message { return Drain{Reply: r} })
		s.ok(err)
		if live, _, _ := s.guests.count(); live != 0 {
			t.Errorf("%d live", live)
		}
		if r := s.disk.app(a); r.State.Totals.RunningTimeMS != 1500 || r.Wanted != 1 {
			t.Errorf("on disk is %+v", r)
		}
		_, _, err = s.enter(a)
		s.is(err, fault.BusyDraining)
		_, err = s.tryDeploy(appOf("b", nil), nil)
		s.is(err, fault.BusyDraining)
	})
}
