package calls

import (
	"bytes"
	"context"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/host/abi"
)

const (
	maxAnswered = 64 // handles of queries that were answered and not closed: older ones are closed for the guest
	maxGathers  = 4  // replies of the most bytes that one instance gathers at once
)

// event is one event, with the instance that it was delivered to. Its stream is the body and the response.
type event struct {
	i    *Instance
	e    Event
	in   source
	out  sink
	left func() bool // stops waiting for the end of the caller's context

	responded atomic.Bool // of HTTP: a head was written, or is about to be
	answered  atomic.Bool // of a query
	gathered  []byte      // of the reply to a query; only its guest's call sees it
	done      sync.Once
}

// eventQueue is what handle 0 stands for.
type eventQueue Instance

func (q *eventQueue) release(error) {}

func (q *eventQueue) ready() bool {
	i := (*Instance)(q)
	i.mu.Lock()
	defer i.mu.Unlock()
	return len(i.queue) > 0 || i.overLocked()
}

// overLocked says whether no event will come any more.
func (i *Instance) overLocked() bool { return i.stopped || i.cfg.One && i.handed }

// Deliver gives the instance an event, which then is its own, until Responder.Close. ctx is that of whoever waits for the answer:
// when it ends, an event that waits is taken back, and the body of another is closed.
func (i *Instance) Deliver(ctx context.Context, e Event) error {
	ev := &event{i: i, e: e, in: source{notify: i.notify}, out: sink{to: e.Out, notify: i.notify}}
	if e.Body != nil {
		ev.in.r = e.Body
	}
	i.mu.Lock()
	switch {
	case i.ended.Load() || i.stopped:
		i.mu.Unlock()
		return i.notServing()
	case len(i.queue) >= i.cfg.Queue || i.cfg.One && i.handed:
		i.mu.Unlock()
		return fault.New(fault.BusyApp, "deliver", i.app.name(), nil)
	}
	i.handed = true
	i.queue = append(i.queue, ev)
	if ctx.Done() != nil {
		ev.left = context.AfterFunc(ctx, ev.abandon)
	}
	i.mu.Unlock()
	i.notify()
	return nil
}

// abandon is called when nobody waits for the answer any more.
func (e *event) abandon() {
	i := e.i
	i.mu.Lock()
	n := slices.Index(i.queue, e)
	if n >= 0 {
		i.queue = slices.Delete(i.queue, n, n+1)
	}
	i.mu.Unlock()
	left := fault.New(fault.CanceledCaller, "deliver", i.app.name(), nil)
	if n >= 0 {
		e.release(left)
		i.notify() // One: there will be no other
	} else if e.e.Kind == abi.EventQuery {
		e.finish(left) // whatever the guest does with it: it must not hold the place of others
	} else if e.e.Body != nil {
		_ = e.e.Body.Close() // what was read of it is worth as much as without
	}
}

func (i *Instance) accept(r *request) run.Answer {
	var kind, handle uint32
	errno := i.wait(r.ctx, r.nums[0], func() (uint32, bool) {
		i.mu.Lock()
		defer i.mu.Unlock()
		if i.stopped {
			return abi.ErrEOF, true
		}
		if len(i.queue) == 0 {
			return abi.ErrEOF, i.overLocked()
		}
		h, errno := i.addLocked(i.queue[0])
		if errno != abi.ErrNone {
			return errno, true
		}
		kind, handle = i.queue[0].e.Kind, h
		i.queue = slices.Delete(i.queue, 0, 1)
		return abi.ErrNone, true
	})
	return answer(errno, uint64(kind), uint64(handle))
}

// headed is a resource that has a head.
type headed interface{ text() []byte }

// readable is a resource that bytes are read from.
type readable interface {
	take(room int) (p []byte, errno uint32, ok bool)
	counted() bool // as traffic, here: what events carry is counted where it enters the host
}

// writable is a resource that bytes are written to.
type writable interface {
	// begin is called before bytes are put.
	begin(ctx context.Context) uint32
	put(p []byte) (n int, errno uint32, ok bool)
	counted() bool
	// shut is called instead of the last put.
	shut(ctx context.Context) uint32
}

func (i *Instance) head(r *request) run.Answer {
	h, errno := get[headed](i, r.handle(0))
	if errno != abi.ErrNone {
		return refuse(errno)
	}
	text := h.text()
	return run.Answer{Data: text[:min(len(text), r.room(1))], Nums: []uint64{uint64(len(text))}}
}

func (i *Instance) read(r *request) run.Answer {
	if t, errno := get[*timer](i, r.handle(0)); errno == abi.ErrNone {
		return answer(i.wait(r.ctx, r.nums[1], func() (uint32, bool) { return abi.ErrNone, t.take() }), 0)
	}
	in, errno := get[readable](i, r.handle(0))
	if errno != abi.ErrNone {
		return refuse(errno)
	}
	var out []byte
	errno = i.wait(r.ctx, r.nums[1], func() (errno uint32, ok bool) {
		out, errno, ok = in.take(r.room(2))
		return errno, ok
	})
	if errno != abi.ErrNone {
		return refuse(errno)
	}
	if in.counted() {
		i.ingress(len(out))
	}
	return run.Answer{Data: out, Nums: []uint64{uint64(len(out))}}
}

func (i *Instance) write(r *request) run.Answer {
	out, errno := get[writable](i, r.handle(0))
	if errno == abi.ErrNone {
		errno = out.begin(r.ctx)
	}
	if errno != abi.ErrNone {
		return refuse(errno)
	}
	var n int
	errno = i.wait(r.ctx, r.nums[1], func() (errno uint32, ok bool) {
		n, errno, ok = out.put(r.args[0])
		return errno, ok
	})
	if out.counted() {
		i.egress(n)
	}
	return answer(errno, uint64(n))
}

func (i *Instance) shutdown(r *request) run.Answer {
	out, errno := get[writable](i, r.handle(0))
	if errno == abi.ErrNone {
		errno = out.shut(r.ctx)
	}
	return refuse(errno)
}

func (e *event) text() []byte  { return e.e.Head }
func (e *event) ready() bool   { return e.in.ready() }
func (e *event) counted() bool { return false }

func (e *event) take(room int) ([]byte, uint32, bool) { return e.in.take(room) }

func (e *event) put(p []byte) (int, uint32, bool) {
	if e.e.Kind == abi.EventQuery {
		return e.gather(p)
	}
	return e.out.put(p)
}

// gather keeps what comes in front of a reply, which may be longer than one call can carry.
func (e *event) gather(p []byte) (int, uint32, bool) {
	most := e.most()
	if int64(len(e.gathered)+len(p)) > most {
		return 0, abi.ErrLimited, true
	}
	e.i.mu.Lock()
	defer e.i.mu.Unlock()
	if e.i.gathered+int64(len(p)) > maxGathers*most {
		return 0, abi.ErrLimited, true
	}
	e.i.gathered += int64(len(p))
	e.gathered = append(e.gathered, p...)
	return len(p), abi.ErrNone, true
}

// most is how long a reply may be that is gathered.
func (e *event) most() int64 { return max(e.i.cfg.Reply, abi.MaxBytes) }

// whole is the reply with what was gathered in front of it. A refusal has nothing in front.
func (e *event) whole(status uint32, p []byte) []byte {
	had := e.gathered
	e.forget()
	if len(had) == 0 || status != 0 {
		return p
	}
	return append(had, p...)
}

// forget drops what was gathered.
func (e *event) forget() {
	e.i.mu.Lock()
	defer e.i.mu.Unlock()
	e.i.gathered -= int64(len(e.gathered))
	e.gathered = nil
}

func (e *event) begin(ctx context.Context) uint32 {
	switch {
	case e.e.Kind == abi.EventQuery && e.answered.Load():
		return abi.ErrCondition
	case e.e.Kind == abi.EventHTTP && !e.responded.Load():
		return e.start(ctx, 200, nil)
	}
	return abi.ErrNone
}

// start begins the response, after all that was used for it is written.
func (e *event) start(ctx context.Context, status int, header []byte) uint32 {
	resume := e.i.paused(ctx)
	err := e.i.commit(ctx)
	resume()
	if err != nil {
		return abi.ErrIO
	}
	e.responded.Store(true)
	var headed func()
	if status == http.StatusSwitchingProtocols {
		e.in.hold()
		headed = e.in.reopen
	}
	e.out.respond(status, header, headed)
	return abi.ErrNone
}

func (e *event) shut(ctx context.Context) uint32 {
	if e.e.Kind == abi.EventQuery {
		return abi.ErrParam
	}
	if errno := e.begin(ctx); errno != abi.ErrNone {
		return errno
	}
	if !e.out.shutdown() {
		return abi.ErrCondition
	}
	return abi.ErrNone
}

func (i *Instance) respond(r *request) run.Answer {
	e, errno := get[*event](i, r.handle(0))
	if errno != abi.ErrNone {
		return refuse(errno)
	}
	status := r.nums[1]
	switch {
	case e.e.Kind != abi.EventHTTP || status < 200 && status != 101 || status > 599:
		return refuse(abi.ErrParam)
	case e.responded.Load():
		return refuse(abi.ErrCondition)
	case !validHeader(r.args[0]):
		return refuse(abi.ErrEncoding)
	}
	return refuse(e.start(r.ctx, int(status), r.args[0]))
}

// validHeader says whether these are header lines, which could not be taken for anything else by whoever reads them.
func validHeader(b []byte) bool {
	for line := range bytes.Lines(b) {
		line = bytes.TrimSuffix(bytes.TrimSuffix(line, []byte("\n")), []byte("\r"))
		name, value, ok := bytes.Cut(line, []byte(":"))
		if len(line) > 0 && (!ok || !validName(string(name)) || !validValue(value)) {
			return false
		}
		if len(line) == 0 { // the end of a head, if it is the end
			return bytes.HasSuffix(b, []byte("\n\n")) || bytes.HasSuffix(b, []byte("\n\r\n")) || len(bytes.TrimSpace(b)) == 0
		}
	}
	return true
}

func validName(s string) bool {
	return s != "" && strings.IndexFunc(s, func(r rune) bool {
		return !(r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || strings.ContainsRune("!#$%&'*+-.^_`|~", r))
	}) < 0
}

func validValue(b []byte) bool {
	return bytes.IndexFunc(b, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }) < 0
}

func (i *Instance) reply(r *request) run.Answer {
	e, errno := get[*event](i, r.handle(0))
	switch {
	case errno != abi.ErrNone:
		return refuse(errno)
	case e.e.Kind != abi.EventQuery:
		return refuse(abi.ErrParam)
	case e.answered.Load():
		return refuse(abi.ErrCondition)
	case r.nums[1] == 0 && len(e.gathered) > 0 && int64(len(e.gathered)+len(r.args[0])) > e.most():
		return refuse(abi.ErrLimited)
	}
	resume := i.paused(r.ctx)
	err := i.commit(r.ctx)
	if err == nil {
		err = e.e.Out.Reply(uint32(r.nums[1]), e.whole(uint32(r.nums[1]), r.args[0]))
	}
	resume()
	e.answered.Store(true)
	e.finish(err)
	i.forgive(r.handle(0))
	if err != nil {
		return refuse(abi.ErrIO)
	}
	return run.Answer{}
}

// forgive closes the oldest of too many answered queries whose handles the guest did not close.
func (i *Instance) forgive(handle uint32) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.ended.Load() {
		return
	}
	i.answered = append(i.answered, handle)
	if len(i.answered) <= maxAnswered {
		return
	}
	if e, ok := i.handles[i.answered[0]].(*event); ok && e.answered.Load() {
		delete(i.handles, i.answered[0])
	}
	i.answered = slices.Delete(i.answered, 0, 1)
}

// finish ends the event, the first time.
func (e *event) finish(why error) {
	e.done.Do(func() {
		if e.left != nil {
			e.left()
		}
		e.in.kill()
		if e.e.Body != nil {
			_ = e.e.Body.Close() // it is given up
		}
		e.e.Out.Close(why)
	})
}

func (e *event) release(why error) {
	if why == nil && e.i.ended.Load() && !e.answered.Load() && !e.responded.Load() && e.e.Kind != abi.EventConnection {
		why = e.i.notServing() // it ended well, but did not answer
	}
	if why != nil || e.e.Kind == abi.EventQuery {
		e.out.kill()
		e.forget()
		e.finish(why)
		return
	}
	e.i.linger(&e.out, func(err error) {
		if err == nil {
			ctx, cancel := context.WithTimeout(context.Background(), e.i.app.s.cfg.Linger)
			err = e.i.commit(ctx)
			cancel()
		}
		e.finish(err)
	})
}

// linger calls then when a sink has written all, or cannot within the time for it.
func (i *Instance) linger(s *sink, then func(error)) {
	i.mu.Lock()
	i.lingers++
	i.mu.Unlock()
	var once sync.Once
	end := func(err error) {
		once.Do(func() {
			then(err)
			i.mu.Lock()
			i.lingers--
			i.mu.Unlock()
		})
	}
	t := time.AfterFunc(i.app.s.cfg.Linger, func() {
		s.kill()
		end(fault.New(fault.CanceledCaller, "write", i.app.name(), nil)) // it reads no more
	})
	s.finish(func() {
		if t.Stop() {
			end(nil)
		}
	})
}
