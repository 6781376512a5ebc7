package pool

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/troupehost/troupe/actors/execute"
	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/run"
)

// sessions that are over, for the next ones.
var sessions = sync.Pool{New: func() any { return &session{signal: make(chan word, 1)} }}

// Ride implements execute.Worker. It returns when the run is over, whatever the caller's reader and writers do.
func (x *executor) Ride(ctx context.Context, j execute.Job, io execute.IO) (run.Outcome, bool) {
	limits := j.Limits.WithDefaults()
	switch {
	case j.Binding != x.binding:
		return x.refuse(fault.New(fault.BugProtocol, opRun, x.id, worded("another binding"))), true
	case limits.MemoryBytes > x.binding.MemoryBytes:
		return x.refuse(fault.New(fault.BugProtocol, opRun, x.id, worded("more memory than the worker may have"))), true
	case int64(len(io.Input)) > min(limits.MemoryBytes, maxInput) && j.Entry.Mode == run.Bytes:
		return x.refuse(fault.New(fault.GuestMemory, opRun, "no room for the input", nil)), true
	case !fits(j.Entry):
		return x.refuse(fault.New(fault.CallerInvalid, opRun, "", nil).WithHint("pass fewer or shorter arguments")), true
	}
	l := x.line
	if ctx.Err() != nil {
		return l.notBegun(canceled(ctx)), true
	}
	if !l.enter() {
		l.mu.Lock()
		defer l.mu.Unlock()
		out := l.notBegun(l.endedLocked())
		out.Retired = l.retired
		return out, false
	}
	defer l.calls.Done()
	s := sessions.Get().(*session)
	s.x, s.ctx, s.job, s.limits, s.io, s.left = x, ctx, j, limits, io, limits.OutputBytes
	s.alone = io.Calls != nil || io.Stdin != nil || io.Stdout != nil || io.Stderr != nil || len(io.Input) > largeInput
	if io.Stdout == nil {
		s.out.Stdout = []byte{}
	}
	if io.Stderr == nil {
		s.out.Stderr = []byte{}
	}
	out, alive, ok := l.begin(ctx, s)
	if ok {
		out, alive, ok = l.ride(ctx, s)
	} else {
		ok = true
	}
	if ok && !s.alone && s.watch == nil { // nobody else knows it
		select {
		case <-s.signal: // it was to try again, and had left
		default:
		}
		*s = session{signal: s.signal}
		sessions.Put(s)
	}
	return out, alive
}

// ride waits for the outcome of a run whose frames are written, and drives meanwhile if need be. done: the session is not
// in the line any more.
func (l *line) ride(ctx context.Context, s *session) (out run.Outcome, alive, done bool) {
	if s.drives {
		l.drive(s)
		return s.out, s.alive, true
	}
	told := ctx.Done()
	for {
		select {
		case what := <-s.signal:
			switch what {
			case drives:
				l.drive(s)
				return s.out, s.alive, true
			case answered:
				return s.out, s.alive, true
			}
		case <-told:
			l.mu.Lock()
			if l.driver != s && !s.heard {
				s.gone = true
				l.mu.Unlock()
				return l.x.refuse(canceled(ctx)), true, false
			}
			l.mu.Unlock()
			told = nil // it is being told, or drives: then the end of ctx is the end of the run
		}
	}
}

// drive reads what the worker answers until own is answered.
func (l *line) drive(own *session) {
	if l.crowds && !own.alone { // others are about to write: one wake-up is enough for all of them
		runtime.Gosched()
	}
	for {
		l.mu.Lock()
		s, err := l.headLocked(), l.err
		l.mu.Unlock()
		if err == nil {
			err = l.ring.Next(&l.frame)
		}
		finished := false
		if err == nil {
			finished, err = s.take(&l.frame)
		}
		if err != nil {
			if l.lost(own, err) {
				return
			}
			continue
		}
		if finished && s.alone {
			s.close()
		}
		l.mu.Lock()
		if finished {
			if s.watch != nil && s.watch.end() != nil { // it was killed as it finished
				l.mu.Unlock()
				if l.lost(own, s.watch.end()) {
					return
				}
				continue
			}
			l.done++
		}
		gathered, more := l.done, l.done < len(l.queue)
		l.mu.Unlock()
		if gathered > 0 && (!more || gathered == maxBatch || !l.ring.Buffered()) && l.handOut(own) {
			return
		}
	}
}

// handOut settles the runs that are finished and tells their owners. If own is one of them, it hands the driving on and
// reports true.
func (l *line) handOut(own *session) bool {
	now, used := time.Now(), l.x.proc.cpu()
	l.mu.Lock()
	var gas int64
	for _, s := range l.queue[:l.done] {
		gas += s.gas()
	}
	n, mine := l.done, false
	l.crowds = n > 1
	if l.retired == "" && l.err == nil && used >= l.x.pool.cfg.lifeCPU {
		l.over, l.retired = true, run.RetiredRecycled
	}
	total := max(0, used-l.spent)
	var batch [maxBatch]*session // those that are told of their outcomes
	told := batch[:0]
	for _, s := range l.queue[:n] {
		cpu := total / time.Duration(n)
		if gas > 0 && n > 1 {
			cpu = time.Duration(float64(total) * float64(s.gas()) / float64(gas))
		}
		s.settle(cpu, now, n == 1)
		s.out.Retired, s.alive = l.retired, !l.over
		l.input -= int64(len(s.io.Input))
		switch {
		case s == own:
			mine = true
		case !s.gone:
			s.heard = true
			told = append(told, s)
		}
	}
	l.queue = slices.Delete(l.queue, 0, n)
	l.done, l.spent, l.readAt = 0, used, now
	if len(l.queue) > 0 {
		l.queue[0].begun = now
		l.turn.Store(now.UnixNano())
	}
	l.lookSoonLocked()
	var next *session
	if mine {
		next = l.passLocked()
	}
	ends := l.retired != "" && len(l.queue) == 0
	abandoned := mine && next == nil && len(l.queue) > 0
	if abandoned {
		l.failLocked(fault.New(fault.CanceledCaller, opRun, l.x.id, nil))
		l.queue = nil
	}
	if len(l.queue) == 0 {
		l.turn.Store(-now.UnixNano())
	}
	l.nextLocked()
	l.mu.Unlock()
	if ends || abandoned {
		l.x.setState("ending")
		l.x.halt() // its owner waits for its death
	}
	for _, s := range told {
		s.signal <- answered
	}
	if next != nil {
		next.signal <- drives
	}
	return mine
}

// passLocked makes the owner of the oldest run that somebody waits for the one who drives.
func (l *line) passLocked() *session {
	l.driver = nil
	for _, s := range l.queue {
		if !s.gone {
			l.driver = s
			break
		}
	}
	return l.driver
}

// lost takes the end of a conversation that failed with err. What is finished is handed out as ever. The run that the
// worker had is blamed by its own owner; those behind it have not begun. It reports whether own is answered.
func (l *line) lost(own *session, err error) bool {
	l.mu.Lock()
	l.failLocked(err)
	err = l.err
	finished := l.done > 0
	l.mu.Unlock()
	if finished {
		return l.handOut(own)
	}
	l.mu.Lock()
	head, behind := l.queue[0], l.queue[1:]
	l.queue, l.driver, l.input = nil, nil, 0
	l.nextLocked()
	for _, s := range behind {
		s.heard = true
		s.out, s.alive = l.notBegun(l.endedLocked()), false
	}
	if head.watch == nil {
		head.watchLocked(l.spent)
	}
	l.timer.Stop()
	l.mu.Unlock()
	for _, s := range behind {
		if s != own && !s.gone {
			s.signal <- answered
		}
	}
	head.conclude(err)
	return true
}

// conclude buries the worker and says what that means for the run that it had.
func (s *session) conclude(err error) {
	x, own := s.x, true
	if f, ok := errors.AsType[*fault.Error](err); ok {
		s.watch.stop(f)
	} else {
		own = x.diesOfItself(err)
		x.halt() // so that nobody is stuck in a write to it
	}
	s.close()
	reason := s.watch.end()
	seen := time.Now()
	wall := seen.Sub(s.asked)
	x.bury()
	out := &s.out
	out.AnsweredAt = seen
	out.Sandbox = x.pool.facts.Sandbox
	out.Usage.CPU, out.Usage.Wall = s.watch.used(), wall
	out.Clock = s.watch.struck()
	switch {
	case reason != nil:
		out.Fault = reason
	case !own:
		out.Fault = s.fault(fault.SuspectBadReply, err)
	default:
		out.Fault = s.watch.autopsy(fault.SuspectWorkerDied, fault.GuestMemory)
	}
	x.killed(out.Fault)
	s.verdict()
}

// settle ends a run that the worker has finished. lone: the CPU time is its own and no share.
func (s *session) settle(cpu time.Duration, now time.Time, lone bool) {
	out := &s.out
	out.Sandbox = s.x.pool.facts.Sandbox
	out.Usage.CPU, out.Usage.Wall, out.AnsweredAt = cpu, now.Sub(s.asked), now
	if s.watch != nil {
		out.Clock = s.watch.struck()
	}
	if cpu >= s.limits.CPU && (lone || s.watch != nil) { // the account counts, not the luck of the clock that we looked at
		out.Fault = s.fault(fault.GuestCPULimit, worded("used "+cpu.String()+" of "+s.limits.CPU.String()))
	}
	s.verdict()
}

// verdict leaves of an outcome what goes with its fault.
func (s *session) verdict() {
	out := &s.out
	if out.Fault == nil {
		return
	}
	s.x.timedOut(out.Fault, out.Clock)
	out.Result = nil
	if out.Fault.Code == fault.GuestMemory && s.limits.MemoryBytes >= run.MaxMemoryBytes {
		out.Fault = out.Fault.WithHint(hintMaxMemory)
	}
	if out.Fault.Code != fault.GuestExit && out.Fault.Code != fault.GuestMemory { // see finish
		out.Exited, out.GuestExit = false, 0
	}
}
