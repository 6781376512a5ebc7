package lanes

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/troupehost/troupe/actors/execute"
)

// TestCallersWaitForAPlace has more callers than places: they ride in their order, and go to the queue if that takes too long,
// or the worker is asked back, or they leave.
func TestCallersWaitForAPlace(t *testing.T) {
	full := func(t *testing.T, f func(r *rig, w *worker, x *lease)) {
		onRig(t, Config{Depth: 1, Patience: time.Second}, func(r *rig) {
			w := newWorker()
			x := r.lend(w)
			r.learnt(time.Microsecond)
			for range 3 {
				r.ride(execute.IO{})
			}
			r.did("one rides, two wait", map[uint64]bool{})
			f(r, w, x)
		})
	}
	full(t, func(r *rig, w *worker, _ *lease) {
		for range 3 {
			w.end()
		}
		r.did("all", map[uint64]bool{1: true, 2: true, 3: true})
	})
	full(t, func(r *rig, w *worker, _ *lease) {
		<-time.After(time.Second)
		r.did("too long", map[uint64]bool{2: false, 3: false})
		w.end()
	})
	full(t, func(r *rig, w *worker, x *lease) {
		x.Revoke()
		r.did("asked back", map[uint64]bool{2: false, 3: false})
		w.end()
	})
	full(t, func(r *rig, w *worker, _ *lease) {
		ctx, cancel := context.WithCancel(context.Background())
		r.wg.Go(func() {
			if _, _, rode := r.Lane(bound).Ride(ctx, r.cfg.Now(), execute.Job{}, execute.IO{}); rode {
				t.Error("it rode")
			}
		})
		synctest.Wait()
		cancel()
		synctest.Wait()
		if n := len(r.Lane(bound).line.at); n != 2 {
			t.Errorf("%d wait", n)
		}
		for range 3 {
			w.end()
		}
	})
	full(t, func(r *rig, w *worker, _ *lease) { // a second worker
		other := newWorker()
		r.lend(other)
		synctest.Wait()
		if n := other.under.Load(); n != 1 {
			t.Errorf("%d rides on it", n)
		}
		other.end()
		other.end()
		w.end()
	})
}

// TestNewcomersMakeWay has a worker asked back from many callers: now and then newcomers wait for it, and not always.
func TestNewcomersMakeWay(t *testing.T) {
	onRig(t, Config{Patience: time.Second}, func(r *rig) {
		r.lend(newWorker()).Revoke()
		r.learnt(time.Microsecond)
		for range hopeCallers - 1 {
			r.ride(execute.IO{})
		}
		if rode, gone := r.how(hopeCallers - 1); rode || !gone {
			t.Fatal("one of the first does not go to the queue")
		}
		waits := r.ride(execute.IO{})
		if _, gone := r.how(waits); gone {
			t.Fatal("nobody waits")
		}
		w := newWorker()
		r.lend(w)
		w.end()
		if rode, _ := r.how(waits); !rode {
			t.Error("the worker is back, and it did not ride")
		}
		(*r.Lane(bound).leases.Load())[0].Revoke()
		<-time.After(time.Second)
		synctest.Wait()
		for range 2 * hopeCallers {
			id := r.ride(execute.IO{})
			if rode, gone := r.how(id); rode || !gone {
				t.Fatal("it waits again, so soon")
			}
		}
		<-time.After(hopePause * time.Second)
		id := r.ride(execute.IO{})
		if _, gone := r.how(id); gone {
			t.Error("nobody waits any more")
		}
		<-time.After(time.Second)
		synctest.Wait()
		if rode, gone := r.how(id); rode || !gone {
			t.Error("it waits in vain")
		}
	})
}
