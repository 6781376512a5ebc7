package calls

import (
	"encoding/binary"
	"sync"
	"time"

	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/host/abi"
)

func (i *Instance) poll(r *request) run.Answer {
	b := r.args[0]
	if len(b) == 0 || len(b)%4 != 0 || len(b)/4 > abi.MaxPoll {
		return refuse(abi.ErrParam)
	}
	list := make([]waitable, len(b)/4)
	for n := range list {
		h := binary.LittleEndian.Uint32(b[4*n:])
		if h == 0 {
			list[n] = (*eventQueue)(i)
			continue
		}
		w, errno := get[waitable](i, h)
		if errno != abi.ErrNone {
			return refuse(errno)
		}
		if _, ok := w.(*capability); ok {
			if _, _, errno := i.end(h, abi.RightRecv); errno != abi.ErrNone {
				return refuse(errno)
			}
		}
		list[n] = w
	}
	for _, w := range list {
		if w, ok := w.(watchable); ok {
			w.watch(i)
			defer w.unwatch(i)
		}
	}
	var index int
	errno := i.wait(r.ctx, r.nums[0], func() (uint32, bool) {
		for n, w := range list {
			if w.ready() {
				index = n
				return abi.ErrNone, true
			}
		}
		return abi.ErrNone, false
	})
	return answer(errno, uint64(index))
}

// timer can be read once it is due.
type timer struct {
	i *Instance

	mu   sync.Mutex
	t    *time.Timer
	set  int // counts how often it was set: one that was set anew does not become due for the time before
	due  bool
	gone bool
}

func (t *timer) start(d time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.t != nil {
		t.t.Stop()
	}
	t.set++
	t.due = false
	if t.gone || d < 0 { // longer than time.Duration can say
		return
	}
	set := t.set
	t.t = time.AfterFunc(d, func() {
		t.mu.Lock()
		due := t.set == set && !t.gone
		t.due = t.due || due
		t.mu.Unlock()
		if due {
			t.i.notify()
		}
	})
}

func (t *timer) ready() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.due
}

// take reads it: it is due no more.
func (t *timer) take() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	due := t.due
	t.due = false
	return due
}

func (t *timer) release(error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.gone = true
	if t.t != nil {
		t.t.Stop()
	}
}

func (i *Instance) timer(r *request) run.Answer {
	if r.nums[0] < 0 {
		return refuse(abi.ErrParam)
	}
	t := &timer{i: i}
	t.start(milliseconds(r.nums[0]))
	return i.give(t)
}

func (i *Instance) timerReset(r *request) run.Answer {
	t, errno := get[*timer](i, r.handle(0))
	if errno != abi.ErrNone {
		return refuse(errno)
	}
	if r.nums[1] < 0 {
		return refuse(abi.ErrParam)
	}
	t.start(milliseconds(r.nums[1]))
	return run.Answer{}
}
