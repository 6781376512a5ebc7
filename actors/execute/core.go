package execute

import (
	"cmp"
	"slices"
	"time"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/kernel"
	"github.com/troupehost/troupe/actors/run"
)

const retryAfter = 500 * time.Millisecond // what a refused caller is told

// Limits bound the queue. Zero fields mean 1024 runs, 2 workers, as many at most as Soft, 60 s and 30 s.
type Limits struct {
	Queue     int           // runs that may be parked
	Soft      int           // worker processes
	Hard      int           // worker processes while critical runs need them; at least Soft
	Idle      time.Duration // how long a worker is kept without work
	SpawnWait time.Duration // how long a run without a deadline waits for a process that cannot be started
}

// State is the pure core of the execute queue.
type State struct {
	limits   Limits
	classes  [run.Critical + 1]lanes
	turns    turns
	claims   []*item          // parked, they have their slot: they start as soon as there is room for a process
	items    map[uint64]*item // parked and running, by run
	workers  map[uint64]*worker
	droughts map[Binding]*drought
	last     uint64 // name of the newest worker
	refused  uint64
	lends    bool      // there is somebody to lend workers to
	paused   bool      // an operator wants nothing accepted and nothing started
	since    time.Time // paused: since when
	room     int       // slots that nobody has, as was said last
	tickAt   time.Time // the tick that is under way; zero: none
}

type item struct {
	Job
	reply kernel.Reply[run.Outcome]
	since time.Time
	above bool // it has a slot above soft, and no turn so far
	trail run.Trail
	left  kernel.Reply[run.Trail]
}

type worker struct {
	name    uint64
	binding Binding
	run     *item     // nil: idle
	up      bool      // there is a process
	closing string    // why; "": it is not closing
	since   time.Time // of the present state
	runs    uint64
	pid     int
	id      string // of the process
	sandbox string
	lease   lease
	lend    bool // its last run allows that
	leaves  bool // it is closed when it is back, or has ended its run
	recycle bool // leaves, for an operator wants it so
}

// Why a worker closes, for [Observer.Closed].
const (
	closedIdle    = "idle"
	closedRoom    = "room"
	closedSpoiled = "spoiled"
	closedDied    = "died"
	closedStopped = "stopped"
	closedCulled  = "culled"

	closedRecycled = run.RetiredRecycled
)

// NewState returns an empty queue.
func NewState(l Limits) *State {
	l.Queue = cmp.Or(l.Queue, 1024)
	l.Soft = cmp.Or(l.Soft, 2)
	l.Hard = max(l.Hard, l.Soft)
	l.Idle = cmp.Or(l.Idle, time.Minute)
	l.SpawnWait = cmp.Or(l.SpawnWait, 30*time.Second)
	return &State{limits: l, items: map[uint64]*item{}, workers: map[uint64]*worker{}, droughts: map[Binding]*drought{}}
}

// Step decides what one message means.
func (s *State) Step(now time.Time, in Message) []Effect {
	var out []Effect
	switch m := in.(type) {
	case Enqueue:
		out = s.enqueue(now, m)
	case Cancel:
		out = s.cancel(m)
	case Raise:
		out = s.raise(m)
	case Release:
		out = s.release(now, m)
	case ready:
		out = s.ready(now, m)
	case unstarted:
		out = s.unstarted(now, m)
	case finished:
		out = s.finished(now, m)
	case returned:
		out = s.returned(now, m)
	case exited:
		out = s.exited(now, m)
	case tick:
		s.tickAt = now
		out = s.sweep(now)
	case Recycle:
		out = s.recycle(now, m)
	case Pause:
		out = s.pause(now, m)
	case Purge:
		out = s.purge(m)
	case Inspect:
		return []Effect{Show{Reply: m.Reply, Snapshot: s.show()}}
	}
	out = append(out, s.late(now)...)
	out = append(out, s.schedule(now)...)
	s.endDroughts()
	out = append(s.lendOut(now), out...) // who is answered finds the lease
	return append(out, s.nextTick(now)...)
}

func (w *worker) idle() bool { return w.run == nil && w.closing == "" && w.lease == kept }

func (s *State) parked() int {
	n := len(s.claims)
	for p := range s.classes {
		n += s.classes[p].n
	}
	return n
}

func (s *State) enqueue(now time.Time, m Enqueue) []Effect {
	if m.Job.Priority < run.Background || m.Job.Priority > run.Critical {
		return []Effect{Answer{Reply: m.Reply, Err: fault.New(fault.CallerInvalid, "execute", m.Job.Priority.String(), nil)}}
	}
	if i := s.items[m.Job.Run]; i != nil { // its asker restarted and asks again
		i.reply, i.left = m.Reply, m.Left
		return s.raise(Raise{Run: i.Run, Priority: m.Job.Priority})
	}
	if at := m.Job.Deadline; !at.IsZero() && !at.After(now) {
		return []Effect{Answer{Reply: m.Reply, Priority: m.Job.Priority, Err: fault.New(fault.CanceledDeadline, "execute", "", nil)}}
	}
	if s.paused {
		s.refused++
		return []Effect{Answer{Reply: m.Reply, Err: paused()}}
	}
	var out []Effect
	if s.parked() >= s.limits.Queue {
		full := fault.New(fault.BusyQueueFull, "execute", "", nil).WithRetryAfter(retryAfter)
		s.refused++
		i := s.giveWay(m.Job.Binding.Tenant)
		if i == nil {
			return []Effect{Answer{Reply: m.Reply, Err: full}}
		}
		out = append(out, s.drop(i, Answer{Err: full}))
	}
	i := &item{Job: m.Job, reply: m.Reply, left: m.Left, since: now, trail: make(run.Trail, 0, 6)}
	i.waitTurn(now)
	s.items[i.Run] = i
	s.classes[i.Priority].put(i, false)
	return out
}

// giveWay returns the run that leaves a full queue to a tenant: the newest, in its lowest class, of the tenant that has the
// most there. Nil: the tenant would have no fewer itself.
func (s *State) giveWay(to string) *item {
	parked := map[string]int{}
	for p := range s.classes {
		for _, t := range s.classes[p].tenants.order {
			parked[t.key] += t.v.n
		}
	}
	most := to
	for t, n := range parked {
		if n > parked[most] || n == parked[most] && most != to && t < most {
			most = t
		}
	}
	if parked[most] <= parked[to]+1 {
		return nil
	}
	for p := range s.classes {
		if i := s.classes[p].newest(most); i != nil {
			return i
		}
	}
	return nil
}

func (s *State) cancel(m Cancel) []Effect {
	i := s.items[m.Run]
	switch {
	case i == nil && m.again:
		return nil // it has ended
	case i == nil:
		m.again = true
		return []Effect{Requeue{m}}
	}
	if w := s.holder(i); w != nil {
		w.closing = closedStopped // the worker answers for the run when its process is dead
		return []Effect{StopWorker{Worker: w.name}}
	}
	return []Effect{s.drop(i, Answer{Err: fault.New(fault.CanceledCaller, "execute", "", nil)})}
}

func (s *State) raise(m Raise) []Effect {
	i := s.items[m.Run]
	switch {
	case i == nil && m.again:
		return nil // it has ended
	case i == nil:
		m.again = true
		return []Effect{Requeue{m}}
	case m.Priority <= i.Priority || m.Priority > run.Critical:
		return nil
	}
	w := s.holder(i)
	switch {
	case w != nil && w.up:
		return nil
	case w == nil && !slices.Contains(s.claims, i):
		s.classes[i.Priority].remove(i)
		s.classes[m.Priority].put(i, false)
	}
	i.Priority = m.Priority
	return nil
}

// holder returns the worker that has a run, nil if it is parked.
func (s *State) holder(i *item) *worker {
	for _, w := range s.workers {
		if w.run == i {
			return w
		}
	}
	return nil
}

// drop ends a parked run that will not start.
func (s *State) drop(i *item, a Answer) Effect {
	if n := slices.Index(s.claims, i); n >= 0 {
		s.claims = slices.Delete(s.claims, n, n+1)
	} else {
		s.classes[i.Priority].remove(i)
	}
	return s.answer(i, a)
}

// answer ends a run.
func (s *State) answer(i *item, a Answer) Effect {
	delete(s.items, i.Run)
	a.Reply, a.Priority, a.Left, a.Trail = i.reply, i.Priority, i.left, i.trail
	return a
}

func (s *State) ready(now time.Time, m ready) []Effect {
	w := s.workers[m.Worker]
	if w == nil || w.up {
		return nil
	}
	w.up, w.pid, w.id = true, m.PID, m.ID
	delete(s.droughts, w.binding)
	if w.run == nil {
		return nil
	}
	w.run.runs(now, w)
	return []Effect{Began{Priority: w.run.Priority, Waited: now.Sub(w.run.since)}}
}

func (s *State) finished(now time.Time, m finished) []Effect {
	w := s.workers[m.Worker]
	if w == nil || w.run == nil || w.run.Run != m.Run {
		return nil
	}
	i := w.run
	w.run, w.since, w.sandbox = nil, now, m.Outcome.Sandbox
	w.runs++
	w.lend = i.Lend
	m.Outcome.Trail = i.ended(now, m.Outcome.AnsweredAt)
	out := []Effect{s.answer(i, Answer{Outcome: m.Outcome})}
	switch {
	case w.closing != "":
	case !m.Alive:
		out = append(out, s.close(now, w, cmp.Or(m.Outcome.Retired, closedSpoiled)))
	case w.leaves:
		out = append(out, s.close(now, w, w.leaving()))
	}
	return out
}

// exited frees the slot of a worker, and answers for a run that it took along.
func (s *State) exited(now time.Time, m exited) []Effect {
	w := s.workers[m.Worker]
	if w == nil {
		return nil
	}
	delete(s.workers, m.Worker)
	var out []Effect
	if w.lease == lent {
		out = append(out, Revoke{Worker: w.name})
	}
	if w.up {
		out = append(out, Gone{Worker: w.name, Reason: cmp.Or(w.closing, closedDied)})
	}
	switch {
	case w.run == nil:
		return out
	case m.Failed:
		return append(out, s.answer(w.run, Answer{Err: fault.New(fault.BugPanic, "execute", "", nil)}))
	case w.closing != "":
		return append(out, s.answer(w.run, Answer{Err: fault.New(fault.CanceledCaller, "execute", "", nil)}))
	}
	// The process died while it was idle, and the run never reached it.
	o := run.Outcome{Fault: fault.New(fault.SuspectWorkerDied, "execute", "before the run", nil), Trail: w.run.ended(now, time.Time{})}
	return append(out, s.answer(w.run, Answer{Outcome: o}))
}

func (s *State) close(now time.Time, w *worker, why string) Effect {
	w.closing, w.since = why, now
	return StopWorker{Worker: w.name}
}

// late answers what is too late, though its tick may still be on its way: it must not start.
func (s *State) late(now time.Time) []Effect {
	if s.tickAt.IsZero() || s.tickAt.After(now) {
		return nil
	}
	var late []*item
	s.each(func(i *item) {
		if at := s.expiry(i); !at.IsZero() && !at.After(now) {
			late = append(late, i)
		}
	})
	slices.SortFunc(late, func(a, b *item) int { return cmp.Compare(a.Run, b.Run) })
	var out []Effect
	for _, i := range late {
		a := Answer{Err: fault.New(fault.CanceledDeadline, "execute", "", nil)}
		if d := s.droughts[i.Binding]; d != nil {
			a = Answer{Outcome: run.Outcome{Fault: d.fault}}
		}
		out = append(out, s.drop(i, a))
	}
	return out
}

// sweep closes what idled too long. Of a worker that is lent nobody knows: it is asked for, and lent again if it was used.
func (s *State) sweep(now time.Time) []Effect {
	var out []Effect
	for _, w := range s.sorted() {
		if w.idle() && now.Sub(w.since) >= s.limits.Idle {
			out = append(out, s.close(now, w, closedIdle))
		}
		if w.lease == lent && now.Sub(w.since) >= s.limits.Idle {
			out = append(out, w.revoke())
		}
	}
	return out
}

// expiry returns when a parked run is answered without a start. Zero: never.
func (s *State) expiry(i *item) time.Time {
	d := s.droughts[i.Binding]
	switch {
	case d == nil || !i.Deadline.IsZero():
		return i.Deadline
	case i.since.After(d.since):
		return i.since.Add(s.limits.SpawnWait)
	}
	return d.since.Add(s.limits.SpawnWait)
}

// each visits all parked runs.
func (s *State) each(f func(*item)) {
	for p := range s.classes {
		s.classes[p].each(f)
	}
	for _, i := range s.claims {
		f(i)
	}
}

// nextTick asks for a tick at the earliest deadline, idle end or end of a back-off, unless an earlier one is under way.
func (s *State) nextTick(now time.Time) []Effect {
	if !s.tickAt.After(now) {
		s.tickAt = time.Time{}
	}
	var at time.Time
	sooner := func(t time.Time) {
		if at.IsZero() || t.Before(at) {
			at = t
		}
	}
	s.each(func(i *item) {
		if at := s.expiry(i); !at.IsZero() {
			sooner(at)
		}
	})
	for _, d := range s.droughts {
		if d.retryAt.After(now) {
			sooner(d.retryAt)
		}
	}
	for _, w := range s.workers {
		if w.idle() || w.lease == lent {
			sooner(w.since.Add(s.limits.Idle))
		}
	}
	if at.IsZero() || !s.tickAt.IsZero() && !at.Before(s.tickAt) {
		return nil
	}
	s.tickAt = at
	return []Effect{TickAt{At: at}}
}
