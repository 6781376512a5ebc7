package pool

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/troupehost/troupe/actors/execute"
	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/host/wire"
)

const (
	// soon is how old a run gets before a watch of its own looks after it. Most end earlier and cost none.
	soon = time.Millisecond
	// rereadAfter is how old a reading of the CPU clock may be at the beginning of a run. What a worker uses in between
	// counts for the run.
	rereadAfter = 200 * time.Microsecond
	// wakeAfter is how many calls are written before the worker is woken, while who drives is still busy.
	wakeAfter = 8
	// maxBatch bounds how many replies are gathered before they are handed out.
	maxBatch = 64
	// largeInput is the size from which the input of a run is not written beside others, and lineInput what all that stand in
	// the ring may have: there is always room for what may be written, if the worker is honest.
	largeInput, lineInput = 64 << 10, 128 << 10
)

// What a session is told.
type word uint8

const (
	answered word = iota // its outcome is there
	drives               // it drives from now on
	retry                // it may try again to begin
)

// line is the ring of a worker and the runs that stand in it, one behind the other.
//
// Each caller writes the frames of its own run. One of them drives: it reads what the worker answers, for all. It is the owner
// of the oldest run that somebody waits for. When its own run is answered, and others are not, it hands the driving to
// the owner of the oldest of them.
type line struct {
	x    *executor
	ring *wire.HostRing

	sending sync.Mutex // held by who begins a run, until its frames are written; before mu
	terms   wire.Terms // what the worker was told last
	told    bool       // it was told any
	call    wire.Call  // written again and again
	piece   wire.Input
	unheard int // calls written since the worker was woken for some

	frame  wire.Frame // of who drives
	crowds bool       // the last batch was of several runs; of who drives

	calls sync.WaitGroup // rides under way; grows under mu while not over
	runs  atomic.Uint64  // how many there were
	turn  atomic.Int64   // since when the worker has the run that it has, in nanoseconds since 1970; negative: since when it has none; 0: it had none yet

	mu      sync.Mutex // before those of the pool, of the process and of a watch
	queue   []*session // those that stand in the ring, oldest first
	done    int        // how many of them are finished and not handed out
	waiting []*session // those that cannot begin yet, oldest first
	driver  *session   // nil: nobody drives, and queue is empty
	input   int64      // bytes of input in queue
	last    uint64     // name of the newest run
	over    bool       // no run begins any more
	retired string     // why, if the worker ends in good order
	err     error      // why, if it does not
	spent   time.Duration
	readAt  time.Time // when the CPU clock said spent
	seen    uint64    // last, when the timer looked
	fast    bool      // the timer looks soon
	timer   *time.Timer
}

func newLine(x *executor, ring *wire.HostRing) *line {
	l := &line{x: x, ring: ring, spent: x.proc.cpu(), readAt: time.Now()}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.timer = time.AfterFunc(idleLook, l.tick)
	return l
}

// headLocked returns the run that the worker has, as far as is known.
func (l *line) headLocked() *session {
	if l.done < len(l.queue) {
		return l.queue[l.done]
	}
	return nil
}

// mayBeginLocked reports whether s may stand behind those that are in the ring.
func (l *line) mayBeginLocked(s *session) bool {
	switch {
	case len(l.waiting) > 0 && l.waiting[0] != s:
		return false
	case len(l.queue) == 0:
		return true
	}
	return !s.alone && !l.queue[0].alone && l.input+int64(len(s.io.Input)) <= lineInput
}

// begin gives s its place in the ring and writes its frames. If it reports false, the run does not begin and this is its
// outcome.
func (l *line) begin(ctx context.Context, s *session) (out run.Outcome, alive, ok bool) {
	for !l.lockFor(s) {
		select {
		case <-s.signal:
		case <-ctx.Done():
			l.mu.Lock()
			l.forgetLocked(s)
			l.mu.Unlock()
			return l.notBegun(canceled(ctx)), true, false
		}
	}
	defer l.sending.Unlock()
	return l.enterLocked(s)
}

// lockFor takes sending and mu if s may begin, or never will. If it reports false, s waits and has neither.
func (l *line) lockFor(s *session) bool {
	sends := l.sending.TryLock()
	l.mu.Lock()
	may := l.over || l.mayBeginLocked(s)
	if may && !sends { // whoever has it may keep it for long, if the worker does not read
		l.mu.Unlock()
		l.sending.Lock()
		l.mu.Lock()
		sends, may = true, l.over || l.mayBeginLocked(s)
	}
	if may {
		return true
	}
	if !slices.Contains(l.waiting, s) {
		l.waiting = append(l.waiting, s)
	}
	l.mu.Unlock()
	if sends {
		l.sending.Unlock()
	}
	return false
}

// forgetLocked takes s from those that wait, and lets the next one try.
func (l *line) forgetLocked(s *session) {
	if n := slices.Index(l.waiting, s); n >= 0 {
		l.waiting = slices.Delete(l.waiting, n, n+1)
	}
	l.nextLocked()
}

// nextLocked lets the first of those that wait try again, if there is a chance.
func (l *line) nextLocked() {
	if len(l.waiting) > 0 && (l.over || l.mayBeginLocked(l.waiting[0])) {
		select {
		case l.waiting[0].signal <- retry:
		default: // it knows
		}
	}
}

// enterLocked is called with sending and mu, and releases mu.
func (l *line) enterLocked(s *session) (run.Outcome, bool, bool) {
	if l.over {
		l.forgetLocked(s)
		out := l.notBegun(l.endedLocked())
		out.Retired = l.retired
		l.mu.Unlock()
		return out, false, false
	}
	now := time.Now()
	if !l.x.outlives(s.limits.CPU) {
		l.over, l.retired = true, run.RetiredRecycled
		l.forgetLocked(s)
		if l.driver == nil {
			l.x.halt() // its owner waits for its death
		}
		out := l.notBegun(l.endedLocked())
		out.Retired = l.retired
		l.mu.Unlock()
		return out, false, false
	}
	if l.driver == nil {
		if err := l.freshLocked(now); err != nil {
			l.over = true
			l.forgetLocked(s)
			l.mu.Unlock()
			l.x.bury()
			return l.notBegun(err), false, false
		}
		l.driver = s
		l.turn.Store(now.UnixNano())
	}
	l.last++
	l.runs.Store(l.last)
	s.id, s.begun, s.asked = l.last, now, now
	if l.x.binding.Isolation == run.Process {
		l.over, l.retired = true, run.RetiredUsed
	}
	l.queue = append(l.queue, s)
	l.input += int64(len(s.io.Input))
	if len(l.waiting) > 0 && l.waiting[0] == s {
		l.waiting = slices.Delete(l.waiting, 0, 1)
		l.nextLocked()
	}
	if s.alone {
		s.watchLocked(l.spent)
	} else {
		l.lookSoonLocked()
	}
	s.drives = l.driver == s
	l.mu.Unlock()
	if err := l.write(s); err != nil {
		l.fail(err)
		l.x.halt() // whoever drives sees it
	}
	return run.Outcome{}, true, true
}

// freshLocked looks at a worker that has had no run, and returns what is wrong with it.
func (l *line) freshLocked(now time.Time) error {
	if l.x.proc.isReaped() {
		return fault.New(fault.SuspectWorkerDied, opRun, l.x.id, worded("before the run"))
	}
	if l.ring.Buffered() {
		return fault.New(fault.SuspectBadReply, opRun, l.x.id, worded("it speaks without a run"))
	}
	if now.Sub(l.readAt) < rereadAfter {
		return nil
	}
	used := l.x.proc.cpu()
	if err := l.x.idleFault(now.Sub(l.readAt), used-l.spent); err != nil {
		return fault.New(fault.SuspectWorkerDied, opRun, l.x.id, err)
	}
	l.spent, l.readAt = used, now
	return nil
}

// endedLocked says why a line is over.
func (l *line) endedLocked() error {
	if l.x.pool.isClosed() {
		return errStopped()
	}
	return fault.New(fault.SuspectWorkerDied, opRun, l.x.id, worded("before the run"))
}

// notBegun is the outcome of a run that the worker has not had, or not finished when it was lost by another.
func (l *line) notBegun(err error) run.Outcome {
	return run.Outcome{Fault: fault.From(err), NotBegun: true}
}

// write writes the frames of s. The worker is woken by who drives, before it waits, or for some calls at once: while one
// after the other is written, it need not be woken for each.
func (l *line) write(s *session) error {
	j := &s.job
	t := wire.Terms{
		Entry: j.Entry, MemoryBytes: s.limits.MemoryBytes, OutputBytes: s.limits.OutputBytes,
		Imports: j.Imports, Determinism: j.Determinism,
		Clock: l.x.pool.cfg.clocks.inWorker(s.limits.CPU, mostWall(s.limits.Wall)),
		Gas:   s.limits.Gas, InitGas: s.limits.InitGas, StackValues: s.limits.StackValues, ClockStep: l.x.pool.cfg.ClockStep,
	}
	if s.io.Calls != nil {
		t.TurnGas = max(j.Slice, 0)
	}
	if !l.told || !l.terms.Equal(t) {
		t.Entry.Args, t.Entry.Env = slices.Clone(t.Entry.Args), slices.Clone(t.Entry.Env)
		l.terms, l.told = t, true
		if err := l.ring.Put(&l.terms); err != nil {
			return err
		}
	}
	in := s.io.Input
	if j.Entry.Mode != run.Bytes { // nothing else has a place for it
		in = nil
	}
	n := min(len(in), wire.MaxChunk)
	l.call = wire.Call{Run: s.id, InputBytes: int64(len(in)), Stdin: s.io.Stdin != nil, Asks: s.io.Calls != nil, Data: in[:n]}
	err := l.ring.Put(&l.call)
	for in = in[n:]; err == nil && len(in) > 0; in = in[n:] {
		n = min(len(in), wire.MaxChunk)
		l.piece.Data = in[:n]
		err = l.ring.Put(&l.piece)
	}
	l.call.Data, l.piece.Data = nil, nil
	if l.unheard++; l.unheard >= wakeAfter {
		l.unheard = 0
		l.ring.Wake()
	}
	return err
}

// fail says why no run begins any more; the first reason counts. It reports whether no run is under way.
func (l *line) fail(err error) (idle bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.failLocked(err)
	return l.driver == nil
}

func (l *line) failLocked(err error) {
	l.over, l.retired = true, ""
	if l.err == nil {
		l.err = err
	}
}

// hangup says that the process is gone. What it wrote before counts.
func (l *line) hangup() {
	l.mu.Lock()
	l.over = true
	l.nextLocked()
	l.mu.Unlock()
	l.ring.Hangup()
}

// lookSoonLocked has the timer look after the oldest run.
func (l *line) lookSoonLocked() {
	if !l.fast {
		l.fast = true
		l.timer.Reset(soon)
	}
}

// tick looks after a run that is not over soon, and after a worker that has none.
func (l *line) tick() {
	l.mu.Lock()
	defer l.mu.Unlock()
	s, now := l.headLocked(), time.Now()
	switch {
	case l.over && s == nil:
	case s == nil && l.seen != l.last:
		l.seen = l.last
		l.timer.Reset(soon)
	case s == nil:
		l.fast = false
		if l.driver != nil || l.x.idleFault(now.Sub(l.readAt), l.x.proc.cpu()-l.spent) == nil {
			l.timer.Reset(idleLook)
			return
		}
		l.over = true
		l.x.halt() // its owner waits for its death
	case s.watch != nil:
		l.fast = false
	case now.Sub(s.begun) < soon:
		l.timer.Reset(soon - now.Sub(s.begun))
	case s.gone:
		l.failLocked(canceled(s.ctx))
		l.x.halt()
	default:
		l.fast = false
		s.watchLocked(l.spent)
	}
}

// stop ends all, since the owner of the worker wants it so: that blames no run.
func (l *line) stop() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.queue) > 0 {
		l.failLocked(errStopped())
	}
	l.over = true
	l.nextLocked()
	l.timer.Stop()
}

// enter counts a ride that Close waits for, or reports that there is none any more.
func (l *line) enter() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.over {
		l.calls.Add(1)
	}
	return !l.over
}

var _ execute.Worker = (*executor)(nil)
