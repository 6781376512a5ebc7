package execute

import (
	"cmp"
	"slices"
	"time"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/actors/kernel"
	"github.com/troupehost/troupe/actors/run"
)

const (
	retryAfter = 500 * time.Millisecond // what a refused caller is told

	// affinityWait is how long the run at the head of its class lets runs pass that have an idle worker.
	affinityWait = 100 * time.Millisecond
)

// Limits bound the queue. Zero fields mean 1024 runs, 2 workers and 60 s.
type Limits struct {
	Queue     int           // runs that may be parked
	Processes int           // worker processes
	Idle      time.Duration // how long a worker is kept without work
}

// State is the pure core of the execute queue.
type State struct {
	limits  Limits
	classes [run.Critical + 1]lanes
	turns   turns
	claims  []*item          // parked, their turn is charged: they start in the next free slots
	items   map[uint64]*item // parked and running, by run
	workers map[uint64]*worker
	last    uint64 // name of the newest worker
	refused uint64
	tickAt  time.Time // the tick that is under way; zero: none
}

type item struct {
	Job
	reply kernel.Reply[run.Outcome]
	since time.Time
}

type worker struct {
	name    uint64
	binding Binding
	run     *item // nil: idle
	closing bool
	since   time.Time // of the present state
	runs    uint64
	pid     int
	sandbox string
}

// NewState returns an empty queue.
func NewState(l Limits) *State {
	l.Queue = cmp.Or(l.Queue, 1024)
	l.Processes = cmp.Or(l.Processes, 2)
	l.Idle = cmp.Or(l.Idle, time.Minute)
	return &State{limits: l, items: map[uint64]*item{}, workers: map[uint64]*worker{}}
}

// Step decides what one message means.
func (s *State) Step(now time.Time, in Message) []Effect {
	var out []Effect
	switch m := in.(type) {
	case Enqueue:
		out = s.enqueue(now, m)
	case Cancel:
		out = s.cancel(m)
	case Release:
		for _, w := range s.workers {
			if w.binding.Key == m.Key && w.run == nil && !w.closing {
				out = append(out, s.close(now, w))
			}
		}
	case finished:
		out = s.finished(now, m)
	case exited:
		out = s.exited(m)
	case tick:
		s.tickAt = time.Time{}
		out = s.sweep(now)
	case Inspect:
		return []Effect{Show{Reply: m.Reply, Snapshot: s.show()}}
	}
	out = append(out, s.schedule(now)...)
	return append(out, s.nextTick(now)...)
}

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
		i.reply = m.Reply
		return nil
	}
	if s.parked() >= s.limits.Queue {
		s.refused++
		return []Effect{Answer{Reply: m.Reply, Err: fault.New(fault.BusyQueueFull, "execute", "", nil).WithRetryAfter(retryAfter)}}
	}
	i := &item{Job: m.Job, reply: m.Reply, since: now}
	s.items[i.Run] = i
	s.classes[i.Priority].push(i)
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
	for _, w := range s.workers {
		if w.run == i {
			w.closing = true // the worker answers for the run when its process is dead
			return []Effect{StopWorker{Worker: w.name}}
		}
	}
	return s.drop(i, fault.CanceledCaller)
}

// drop answers a parked run that will not start.
func (s *State) drop(i *item, code fault.Code) []Effect {
	if n := slices.Index(s.claims, i); n >= 0 {
		s.claims = slices.Delete(s.claims, n, n+1)
	} else {
		s.classes[i.Priority].remove(i)
	}
	delete(s.items, i.Run)
	return []Effect{Answer{Reply: i.reply, Err: fault.New(code, "execute", "", nil)}}
}

func (s *State) finished(now time.Time, m finished) []Effect {
	w := s.workers[m.Worker]
	if w == nil || w.run == nil || w.run.Run != m.Run {
		return nil
	}
	i := w.run
	delete(s.items, i.Run)
	w.run, w.since, w.pid, w.sandbox = nil, now, m.PID, m.Outcome.Sandbox
	w.runs++
	out := []Effect{Answer{Reply: i.reply, Outcome: m.Outcome}}
	if !m.Alive && !w.closing {
		out = append(out, s.close(now, w))
	}
	return out
}

// exited frees the slot of a worker, and answers for a run that it took along.
func (s *State) exited(m exited) []Effect {
	w := s.workers[m.Worker]
	if w == nil {
		return nil
	}
	delete(s.workers, m.Worker)
	if w.run == nil {
		return nil
	}
	delete(s.items, w.run.Run)
	switch {
	case m.Failed:
		return []Effect{Answer{Reply: w.run.reply, Err: fault.New(fault.BugPanic, "execute", "", nil)}}
	case w.closing:
		return []Effect{Answer{Reply: w.run.reply, Err: fault.New(fault.CanceledCaller, "execute", "", nil)}}
	}
	// The process died while it was idle, and the run never reached it.
	return []Effect{Answer{Reply: w.run.reply, Outcome: run.Outcome{Fault: fault.New(fault.SuspectWorkerDied, "execute", "before the run", nil)}}}
}

func (s *State) close(now time.Time, w *worker) Effect {
	w.closing, w.since = true, now
	return StopWorker{Worker: w.name}
}

// sweep answers what is too late and closes what idled too long.
func (s *State) sweep(now time.Time) []Effect {
	var late []*item
	s.each(func(i *item) {
		if !i.Deadline.IsZero() && !i.Deadline.After(now) {
			late = append(late, i)
		}
	})
	slices.SortFunc(late, func(a, b *item) int { return cmp.Compare(a.Run, b.Run) })
	var out []Effect
	for _, i := range late {
		out = append(out, s.drop(i, fault.CanceledDeadline)...)
	}
	for _, w := range s.sorted() {
		if w.run == nil && !w.closing && now.Sub(w.since) >= s.limits.Idle {
			out = append(out, s.close(now, w))
		}
	}
	return out
}

// schedule starts what may start: first the runs that hold a claim, then by shares whatever class has a backlog. It ends
// when nothing is parked but claims, or when no slot is free and no worker idle, so that nobody waits beside an idle worker.
func (s *State) schedule(now time.Time) []Effect {
	out := s.startClaims(now)
	for len(s.workers) < s.limits.Processes || s.longestIdle() != nil {
		class := s.turns.next(func(p run.Priority) bool { return s.classes[p].n > 0 })
		if class == 0 {
			break
		}
		i := s.pick(class, now)
		s.classes[class].start(i, now)
		if e := s.start(now, i); e != nil {
			out = append(out, e)
			continue
		}
		s.claims = append(s.claims, i)
		if s.closing() < len(s.claims) { // else a slot that becomes free anyway is left for it
			out = append(out, s.close(now, s.longestIdle()))
		}
	}
	return out
}

// startClaims starts the runs that hold a claim, in its order, as far as there is room.
func (s *State) startClaims(now time.Time) []Effect {
	var out []Effect
	s.claims = slices.DeleteFunc(s.claims, func(i *item) bool {
		e := s.start(now, i)
		if e != nil {
			out = append(out, e)
		}
		return e != nil
	})
	return out
}

// pick chooses within a class: a run that has an idle worker, unless the one at the head has been passed long enough.
func (s *State) pick(class run.Priority, now time.Time) *item {
	head, since := s.classes[class].head()
	if now.Sub(since) >= affinityWait {
		return head
	}
	return cmp.Or(s.classes[class].next(func(i *item) bool { return s.place(i) != nil }), head)
}

// start starts a run on an idle worker of its binding or in a free slot. Nil: there is neither.
func (s *State) start(now time.Time, i *item) Effect {
	if w := s.place(i); w != nil {
		w.run, w.since = i, now
		return RunOn{Worker: w.name, Job: i.Job}
	}
	if len(s.workers) >= s.limits.Processes {
		return nil
	}
	s.last++
	s.workers[s.last] = &worker{name: s.last, binding: i.Binding, run: i, since: now}
	return StartWorker{Worker: s.last, Job: i.Job}
}

// place returns the idle worker of the run's binding that idled least, nil if there is none.
func (s *State) place(i *item) *worker {
	var best *worker
	for _, w := range s.workers {
		if w.binding == i.Binding && w.run == nil && !w.closing && (best == nil || w.since.After(best.since) || w.since.Equal(best.since) && w.name < best.name) {
			best = w
		}
	}
	return best
}

// longestIdle returns the worker that idled longest, nil if none is idle.
func (s *State) longestIdle() *worker {
	var best *worker
	for _, w := range s.workers {
		if w.run == nil && !w.closing && (best == nil || w.since.Before(best.since) || w.since.Equal(best.since) && w.name < best.name) {
			best = w
		}
	}
	return best
}

// closing counts the workers whose slot will be free soon.
func (s *State) closing() int {
	n := 0
	for _, w := range s.workers {
		if w.closing {
			n++
		}
	}
	return n
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

// nextTick asks for a tick at the earliest deadline or idle end, unless an earlier one is under way.
func (s *State) nextTick(now time.Time) []Effect {
	var at time.Time
	sooner := func(t time.Time) {
		if at.IsZero() || t.Before(at) {
			at = t
		}
	}
	s.each(func(i *item) {
		if !i.Deadline.IsZero() {
			sooner(i.Deadline)
		}
	})
	for _, w := range s.workers {
		if w.run == nil && !w.closing {
			sooner(w.since.Add(s.limits.Idle))
		}
	}
	if at.IsZero() || !s.tickAt.IsZero() && !at.Before(s.tickAt) && s.tickAt.After(now) {
		return nil
	}
	s.tickAt = at
	return []Effect{TickAt{At: at}}
}

func (s *State) sorted() []*worker {
	out := make([]*worker, 0, len(s.workers))
	for _, w := range s.workers {
		out = append(out, w)
	}
	slices.SortFunc(out, func(a, b *worker) int { return cmp.Compare(a.name, b.name) })
	return out
}

func (s *State) show() Snapshot {
	q := inspect.Queue{Name: "execute", Cap: s.limits.Queue, Parked: map[string]int{}, Workers: len(s.workers),
		Soft: s.limits.Processes, Hard: s.limits.Processes, Refused: s.refused}
	for p := run.Background; p <= run.Critical; p++ {
		q.Parked[p.String()] = s.classes[p].n
	}
	for _, i := range s.claims {
		q.Parked[i.Priority.String()]++
	}
	s.each(func(i *item) {
		if q.OldestAt.IsZero() || i.since.Before(q.OldestAt) {
			q.OldestAt = i.since
		}
	})
	var ws []inspect.Worker
	for _, w := range s.sorted() {
		state := "idle"
		switch {
		case w.closing:
			state = "closing"
		case w.run != nil && w.pid == 0:
			state = "starting"
		case w.run != nil:
			state = "busy"
		}
		if w.run != nil {
			q.Running++
		}
		ws = append(ws, inspect.Worker{ID: kernel.Numbered("worker", w.name), Kind: "execute", PID: w.pid, State: state,
			Tenant: w.binding.Tenant, Artifact: w.binding.Key.String(), Runs: w.runs, Since: w.since, Sandbox: w.sandbox})
	}
	return Snapshot{Queue: q, Workers: ws}
}
