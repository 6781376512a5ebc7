package guest

import (
	"runtime"
	"time"
	"unsafe"
)

// loop lets goroutines wait while others run: who would wait parks, and the goroutine of Serve polls for all of them. It needs no
// lock, as WebAssembly has one thread and Go switches goroutines only where they block.
type loop struct {
	active  int // events
	running int // goroutines that are known and not parked
	parked  []*parking
	free    []chan arrival // of goroutines that wait for an event
	last    bool           // new events come behind what is under way this time, so that neither starves the other
}

type parking struct {
	handle uint32 // 0: only the time is waited for
	again  bool   // cannot be polled for: is woken soon, to try again
	until  time.Time
	woken  chan struct{}
}

// shared is there while Serve runs with Concurrent above 1.
var shared *loop

const (
	retryAfter = 2   // milliseconds until what cannot be polled for is tried again
	lookAfter  = 5   // milliseconds until goroutines that sleep on their own are looked after
	maxPolled  = 256 // handles
	maxTurns   = 64
)

// Go starts a goroutine that may use all of this package within Serve.
func Go(f func()) {
	l := shared
	if l == nil {
		go f()
		return
	}
	l.running++
	go func() {
		defer func() { l.running-- }()
		f()
	}()
}

// Sleep lets other goroutines run meanwhile, as time.Sleep does, but within Serve costs nothing while it lasts.
func Sleep(d time.Duration) {
	if shared == nil || d <= 0 {
		time.Sleep(d) //nolint:forbidigo // that is what the guest wants
		return
	}
	wait(0, true, d, func(int64) uint32 { return uint32(ErrPending) })
}

// wait calls try until it says something else than ErrPending, or the timeout is over. polled says that poll knows when
// handle is ready.
func wait(handle uint32, polled bool, timeout time.Duration, try func(ms int64) uint32) uint32 {
	l := shared
	if l == nil {
		return try(millis(timeout))
	}
	p := &parking{handle: handle, again: !polled}
	if timeout > 0 {
		p.until = time.Now().Add(timeout)
	}
	for {
		errno := try(0)
		if Errno(errno) != ErrPending || timeout == 0 || !p.until.IsZero() && !time.Now().Before(p.until) {
			return errno
		}
		p.woken = make(chan struct{})
		l.parked = append(l.parked, p)
		l.running--
		<-p.woken
	}
}

func (l *loop) wake(i int) {
	p := l.parked[i]
	l.parked = append(l.parked[:i], l.parked[i+1:]...)
	l.running++
	close(p.woken)
}

// settle gives all goroutines turns until those that are known wait, or have had so many that they wait for something else. The
// collector of garbage needs turns, too, before a goroutine that waits for it goes on.
func (l *loop) settle() {
	runtime.Gosched()
	for n := 0; l.running > 0 && n < maxTurns; n++ {
		runtime.Gosched()
	}
}

// poll waits until an event came (if events), or somebody was woken, or limit milliseconds are over; below 0: none.
func (l *loop) poll(events bool, limit int64) (event bool, err error) {
	if l.running > 0 {
		limit = sooner(limit, lookAfter)
	}
	handles := make([]uint32, 0, len(l.parked)+1)
	l.last = !l.last
	if events && !l.last {
		handles = append(handles, 0)
	}
	now := time.Now()
	for _, p := range l.parked {
		if p.again {
			limit = sooner(limit, retryAfter)
		} else if p.handle != 0 && len(handles) < maxPolled-1 {
			handles = append(handles, p.handle)
		}
		if !p.until.IsZero() {
			limit = sooner(limit, max(millis(p.until.Sub(now)), 0))
		}
	}
	if events && l.last {
		handles = append(handles, 0)
	}
	if len(handles) == 0 {
		time.Sleep(time.Duration(limit) * time.Millisecond) //nolint:forbidigo // there is no handle to wait for
		l.overdue()
		return false, nil
	}
	var index uint32
	errno := sysPoll((*byte)(unsafe.Pointer(unsafe.SliceData(handles))), 4*uint32(len(handles)), limit, &index)
	switch e := Errno(errno); {
	case errno == 0 && int(index) >= len(handles):
		return false, ErrParam
	case errno == 0 && handles[index] == 0:
		return true, nil
	case errno == 0:
		l.ready(handles[index])
	case e == ErrPending:
	case e == ErrNotFound || e == ErrParam:
		// One of the handles is gone: all look for themselves. Of the events themselves it is accept that says so.
		for len(l.parked) > 0 {
			l.wake(0)
		}
		return events, nil
	default:
		return false, e
	}
	l.overdue()
	return false, nil
}

// overdue wakes those who try again, and those whose timeout is over.
func (l *loop) overdue() {
	now := time.Now()
	for i := len(l.parked) - 1; i >= 0; i-- {
		if p := l.parked[i]; p.again || !p.until.IsZero() && !now.Before(p.until) {
			l.wake(i)
		}
	}
}

// ready wakes who waits for a handle. Who waits again comes behind the others, so poll does not find the same one first for ever.
func (l *loop) ready(handle uint32) {
	for i := len(l.parked) - 1; i >= 0; i-- {
		if l.parked[i].handle == handle {
			l.wake(i)
		}
	}
}

func sooner(a, b int64) int64 {
	if a < 0 || b < a {
		return b
	}
	return a
}
