package prepare

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/kernel"
	"github.com/troupehost/troupe/actors/run"
)

// told writes down what an observer is told. The actor tells it, and the test reads when that has nothing to do.
type told []string

func (o *told) note(format string, args ...any) { *o = append(*o, fmt.Sprintf(format, args...)) }

func (o *told) Queued(p run.Priority, wait time.Duration) { o.note("queued %v %v", p, wait) }
func (o *told) Raised(from, to run.Priority)              { o.note("raised %v %v", from, to) }
func (o *told) Ended(p run.Priority, out Outcome) {
	code := fault.Code("ok")
	if out.Fault != nil {
		code = out.Fault.Code
	}
	o.note("ended %v %s", p, code)
}

// TestObserverIsTold has two jobs one after the other, of which the second is raised; one is canceled, one refused.
func TestObserverIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sys, err := kernel.New(kernel.Config{})
		if err != nil {
			t.Fatal(err)
		}
		var o told
		ref, err := Spawn(sys, Config{Limits: Limits{Queue: 2, Soft: 1, Hard: 1}, Preparer: &port{}, Observe: &o})
		if err != nil {
			t.Fatal(err)
		}
		for id := uint64(1); id <= 4; id++ { // for the last there is no room: it never was a job
			if err := ref.Send(Enqueue{Job: Job{ID: id, Priority: run.Background}, Reply: kernel.ReplyFunc(func(Outcome, error) {})}); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		for _, m := range []Message{
			Raise{Job: 2, Priority: run.High}, Raise{Job: 2, Priority: run.Normal}, // which raises nothing
			Cancel{Job: 3},
		} {
			if err := ref.Control(m); err != nil {
				t.Fatal(err)
			}
		}
		<-time.After(time.Minute)
		synctest.Wait()
		if d := cmp.Diff(told{
			"queued background 0s", "raised background high", "ended background canceled.caller_left",
			"ended background ok", "queued high 1s", "ended high ok",
		}, o); d != "" {
			t.Errorf("(-want +got)\n%s", d)
		}
		if err := sys.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
}
