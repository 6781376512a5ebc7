package sessions

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/artifacts/manifest"
)

func TestSchedule(t *testing.T) {
	type row struct {
		schedule manifest.Schedule
		initial  uint64
		takes    time.Duration
		begins   []time.Duration
		complete uint64
		timedOut uint64
		skipped  uint64
	}
	const sec = time.Second
	for name, c := range map[string]row{
		"period":          {schedule: manifest.Schedule{Start: sec, Period: 2 * sec, Repeats: 3}, takes: sec, begins: []time.Duration{sec, 3 * sec, 5 * sec}, complete: 3},
		"initial counter": {schedule: manifest.Schedule{Period: sec, Repeats: 3}, initial: 2, begins: []time.Duration{0, sec, 2 * sec}, complete: 5},
		"one run":         {schedule: manifest.Schedule{Start: sec, Repeats: 5}, begins: []time.Duration{sec}, complete: 1},
		"too long":        {schedule: manifest.Schedule{Start: sec, Duration: 2 * sec}, takes: time.Hour, begins: []time.Duration{sec}, timedOut: 1},
		"overlap":         {schedule: manifest.Schedule{Start: sec, Period: sec, Repeats: 5}, takes: 5*sec + sec/2, begins: []time.Duration{sec, 2 * sec, 3 * sec, 4 * sec, 7 * sec}, complete: 5, skipped: 2},
	} {
		t.Run(name, func(t *testing.T) {
			onStage(t, Limits{}, func(s *stage) {
				s.guests.script = func(_ Launch, _ <-chan struct{}, kill context.Context) Ended {
					select {
					case <-in(c.takes):
						return Ended{}
					case <-kill.Done():
						return Ended{Outcome: run.Outcome{Fault: fault.New(fault.CanceledStopped, "", "", nil)}, Stopped: true}
					}
				}
				s.open()
				m := appOf("a", func(m *manifest.Manifest) { m.Terms.Entry, m.Terms.Schedule = manifest.Command, c.schedule })
				_, err := s.tryDeploy(m, func(r *Record) { r.State.Complete = c.initial })
				s.ok(err)
				s.after(time.Minute)
				var begins []time.Duration
				for _, at := range s.guests.begun {
					begins = append(begins, at.Sub(s.begin))
				}
				if d := cmp.Diff(c.begins, begins); d != "" {
					t.Errorf("begins (-want +got):\n%s", d)
				}
				v := s.show(m.Address())
				if v.Complete != c.complete || v.TimedOut != c.timedOut || v.Skipped != c.skipped || v.Scheduled != uint64(len(c.begins)) {
					t.Errorf("%d runs, %d complete, %d timed out, %d left out", v.Scheduled, v.Complete, v.TimedOut, v.Skipped)
				}
			})
		})
	}
}

func TestScheduleGoesOnAfterARestart(t *testing.T) {
	onStage(t, Limits{}, func(s *stage) {
		s.guests.script = func(Launch, <-chan struct{}, context.Context) Ended { return Ended{} }
		s.open()
		a, _ := s.deploy(appOf("a", func(m *manifest.Manifest) {
			m.Terms.Entry, m.Terms.Schedule = manifest.Command, manifest.Schedule{Start: time.Minute, Period: time.Hour, Repeats: 4}
		}))
		s.after(90 * time.Minute) // two runs
		s.down()
		s.after(2 * time.Hour) // two are missed
		s.up(true)
		s.after(time.Minute)
		if _, _, n := s.guests.count(); n != 2 {
			t.Errorf("%d runs: missed ones are not made up for", n)
		}
		s.after(10 * time.Hour)
		if v := s.show(a); v.Scheduled != 4 || v.Complete != 4 {
			t.Errorf("%d runs in all, %d complete", v.Scheduled, v.Complete)
		}
		if got := s.guests.begun[2].Sub(s.begin); got != 4*time.Hour+time.Minute {
			t.Errorf("the first run after the restart began at %v", got)
		}
	})
}
