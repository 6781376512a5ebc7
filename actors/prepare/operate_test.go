package prepare

import (
	"errors"
	"testing"
	"time"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/kernel"
	"github.com/troupehost/troupe/actors/run"
)

// operated is a core whose answers are kept by job.
type operated struct {
	*State
	answers map[uint64]error
	starts  []uint64
}

func (o *operated) step(m Message) {
	for _, e := range o.Step(time.Unix(1_000_000, 0), m) {
		switch e := e.(type) {
		case Answer:
			e.Reply.Fail(e.Err)
		case StartWorker:
			o.starts = append(o.starts, e.Job.ID)
		case Purged:
			e.Reply.Answer(e.N)
		}
	}
}

func (o *operated) enqueue(id uint64) {
	o.step(Enqueue{Job: Job{ID: id, Priority: run.Normal}, Reply: kernel.ReplyFunc(func(_ Outcome, err error) { o.answers[id] = err })})
}

func TestPauseAndPurge(t *testing.T) {
	o := &operated{State: NewState(Limits{Soft: 1}), answers: map[uint64]error{}}
	for id := uint64(1); id <= 3; id++ {
		o.enqueue(id)
	}
	o.step(Pause{})
	o.enqueue(4)
	if !errors.Is(o.answers[4], fault.BusyPaused) || len(o.answers) != 1 {
		t.Errorf("answered %v", o.answers)
	}
	if q := o.show(time.Unix(1_000_000, 0)); !q.Paused || q.PausedSince.IsZero() || q.Refused != 1 || q.Preparations[0].Actor != "prepare/worker-1" {
		t.Errorf("shown as %+v", q)
	}
	o.step(ended{Worker: 1})
	if len(o.starts) != 1 {
		t.Errorf("jobs %v started while the queue is paused", o.starts)
	}
	n := 0
	o.step(Purge{Reply: kernel.ReplyFunc(func(got int, _ error) { n = got })})
	if n != 2 || !errors.Is(o.answers[2], fault.CanceledStopped) || !errors.Is(o.answers[3], fault.CanceledStopped) {
		t.Errorf("%d purged, answered %v", n, o.answers)
	}
	o.step(Pause{Off: true})
	if o.enqueue(5); len(o.starts) != 2 {
		t.Errorf("jobs %v started", o.starts)
	}
}
