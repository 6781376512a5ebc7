package execute

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rs/zerolog"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/kernel"
	"github.com/troupehost/troupe/actors/run"
)

func TestPauseStartsNothing(t *testing.T) {
	b := newLender(t, Limits{Soft: 2})
	lendable := func(id uint64) Job { return Job{Run: id, Binding: binding(1), Priority: run.Normal, Lend: true} }
	b.enqueue(lendable(1))
	b.finish(1)
	if _, is := b.lent[1]; !is {
		t.Fatal("the worker is not lent")
	}
	since := b.now.Add(-time.Minute)
	b.step(Pause{Since: since})
	if !b.lent[1] {
		t.Error("what is lent was not asked back")
	}
	b.giveBack(1, Returned{Alive: true})
	if len(b.lent) != 0 {
		t.Error("it was lent again while the queue is paused")
	}
	b.enqueue(lendable(2))
	if !errors.Is(b.answers[2], fault.BusyPaused) {
		t.Errorf("a run was answered %v", b.answers[2])
	}
	if q := b.s.show().Queue; !q.Paused || !q.PausedSince.Equal(since) {
		t.Errorf("shown as %+v", q)
	}
	b.step(Pause{Off: true})
	if _, is := b.lent[1]; !is || b.s.show().Queue.Paused {
		t.Error("it does not go on")
	}
	b.enqueue(lendable(3))
	if b.answers[3] != nil {
		t.Errorf("after the pause: %v", b.answers[3])
	}
}

// TestPausedRunsGoOn pauses while one run is under way and another one is parked.
func TestPausedRunsGoOn(t *testing.T) {
	b := newBench(t, Limits{Soft: 1})
	for id := uint64(1); id <= 2; id++ {
		b.enqueue(Job{Run: id, Binding: binding(1), Priority: run.Normal})
	}
	b.step(Pause{})
	b.finish(1)
	if len(b.started) != 1 || len(b.answers) != 1 || b.answers[1] != nil {
		t.Errorf("started %v, answered %v", b.started, b.answers)
	}
	b.step(Pause{Off: true})
	if d := cmp.Diff([]uint64{1, 2}, b.started); d != "" {
		t.Error(d)
	}
}

func TestPurgeAnswersWhatIsParked(t *testing.T) {
	b := newBench(t, Limits{Soft: 1})
	for id := uint64(1); id <= 4; id++ {
		b.enqueue(Job{Run: id, Binding: binding(byte(id)), Priority: run.Priority(id)})
	}
	n := -1
	b.step(Purge{Reply: kernel.ReplyFunc(func(got int, _ error) { n = got })})
	if n != 3 || len(b.answers) != 3 {
		t.Errorf("%d runs, answered %v", n, b.answers)
	}
	for id, err := range b.answers {
		if !errors.Is(err, fault.CanceledStopped) {
			t.Errorf("run %d was answered %v", id, err)
		}
	}
	b.finish(1)
	if err, ok := b.answers[1]; !ok || err != nil {
		t.Errorf("the run under way ended with %v", err)
	}
}

func TestRecycle(t *testing.T) {
	b := newLender(t, Limits{Soft: 3})
	b.dry = true // processes are there when the test says so
	for id := uint64(1); id <= 3; id++ {
		b.enqueue(Job{Run: id, Binding: binding(byte(id)), Priority: run.Normal, Lend: id == 2})
		b.step(ready{Worker: id, PID: int(id), ID: kernel.Numbered("execute", 10+id)})
	}
	b.finish(2) // is lent
	b.finish(3) // idles
	var missing error
	b.step(Recycle{Process: "execute-99", Reply: kernel.ReplyFunc(func(_ struct{}, err error) { missing = err })})
	if !errors.Is(missing, fault.CallerNotFound) {
		t.Errorf("an unknown worker: %v", missing)
	}
	for id := uint64(11); id <= 13; id++ {
		b.step(Recycle{Process: kernel.Numbered("execute", id)})
	}
	if b.closing[1] || b.closing[2] || !b.lent[2] || !b.closing[3] {
		t.Errorf("closing %v, asked back %v", b.closing, b.lent)
	}
	if w := b.s.show().Workers[0]; w.ID != "execute-11" || w.Recycle == "" || w.Actor != "execute/worker-1" {
		t.Errorf("shown as %+v", w)
	}
	b.finish(1)
	b.giveBack(2, Returned{Alive: true})
	for id := uint64(1); id <= 3; id++ {
		if !b.closing[id] {
			t.Errorf("worker %d lives on", id)
		}
		b.exit(id)
	}
	for _, g := range b.gone {
		if g.Reason != "recycled" {
			t.Errorf("%+v", g)
		}
	}
}

// TestTrailOfARun has a run wait for its turn, for room, for a worker that starts, and run.
func TestTrailOfARun(t *testing.T) {
	b := newBench(t, Limits{Soft: 1})
	b.dry = true
	ask := func(id uint64, key byte, to *run.Outcome) {
		b.step(Enqueue{Job: Job{Run: id, Binding: binding(key), Priority: run.Normal},
			Reply: kernel.ReplyFunc(func(o run.Outcome, _ error) { *to = o })})
	}
	second := func() { b.now = b.now.Add(time.Second) }
	var first, last run.Outcome
	ask(1, 1, &first)
	b.step(ready{Worker: 1, ID: "execute-1"})
	ask(2, 2, &last)
	second()
	b.finish(1) // its worker must make room
	second()
	b.exit(1)
	second()
	b.step(ready{Worker: 2, ID: "execute-2"})
	if st := b.s.show().Runs; len(st) != 1 || st[0].Process != "execute-2" || st[0].Trail[len(st[0].Trail)-1].Stage != run.Running {
		t.Errorf("while it runs: %+v", st)
	}
	second()
	answered := b.now
	second()
	delete(b.running, 2)
	b.step(finished{Worker: 2, Run: 2, Alive: true, Outcome: run.Outcome{AnsweredAt: answered}})
	var got []string
	for _, s := range last.Trail {
		got = append(got, s.At.Sub(epoch).String()+" "+s.Stage.String())
	}
	want := []string{"0s queued", "1s assigned", "2s handshake", "3s running", "4s result-read", "5s verdict"}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

// TestPauseOutlivesTheIncarnation asks a queue that begins while the host holds a pause.
func TestPauseOutlivesTheIncarnation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, err := kernel.New(kernel.Config{Name: "test", Log: zerolog.Nop()})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = s.Stop(context.Background()) }()
		since := time.Now()
		ref, err := Spawn(s, Config{Workers: &port{}, Paused: func() time.Time { return since }})
		if err != nil {
			t.Fatal(err)
		}
		_, err = kernel.Ask(t.Context(), ref, func(r kernel.Reply[run.Outcome]) Message {
			return Enqueue{Job: Job{Run: 1, Binding: binding(1), Priority: run.Normal}, Reply: r}
		})
		if !errors.Is(err, fault.BusyPaused) {
			t.Errorf("a run was answered %v", err)
		}
	})
}
