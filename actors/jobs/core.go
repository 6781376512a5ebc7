package jobs

import (
	"cmp"
	"errors"
	"slices"
	"time"

	"github.com/troupehost/troupe/actors/cache"
	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/kernel"
	"github.com/troupehost/troupe/actors/run"
)

// Limits are the settings of the core. Zero fields mean 100,000, 100,000, 16, 24 h, 5, 4096, 4096 and 1024.
type Limits struct {
	Queue    int           // jobs that are not settled
	Settled  int           // that are kept, the oldest go first
	Active   int           // under way at a time, at least 8
	Hold     bool          // none begins: they wait for another host
	Keep     time.Duration // how long a settled job is kept
	Retries  int           // after faults of the host
	Watchers int           // that wait
	Tags     int           // revoked, remembered
	Writes   int           // on their way to the disk at a time
}

// Times of the core.
const (
	fine      = 100 * time.Millisecond // between two ticks while a job waits to be tried again
	coarse    = time.Second            // else
	maxStep   = time.Minute            // more than this does not pass between two messages: the clock jumped, or the machine slept
	longRun   = time.Second            // after which a start is put on disk
	minDelay  = 100 * time.Millisecond
	maxDelay  = 10 * time.Second
	saveEvery = 10 * time.Minute // of the clock
	maxErase  = 256              // jobs erased at a time
	maxRetry  = 64               // failed writes tried again at a time
)

// phase is where a job stands, in more detail than its state.
type phase uint8

const (
	accepting phase = 1 + iota // its first write is under way
	queued
	delayed  // queued, and not to be tried before due
	opening  // its input is being read
	running  // at the cache
	settling // it has ended, and that is being written
	settled
	leaving // it is being erased
)

var phaseNames = [...]string{"-", "accepting", "queued", "delayed", "opening", "running", "settling", "settled", "leaving"}

func (p phase) String() string { return phaseNames[p] }

// job is one job. What is in its record is known to others, unless it is accepting.
type job struct {
	Record
	phase    phase
	slot     bool          // it takes one of Limits.Active
	withCode bool          // the cache wanted the code
	started  bool          // the last start is on disk, or on its way there
	writing  bool          // a write is under way
	lined    bool          // a write is in line
	failed   bool          // the last write failed
	tries    uint8         // that failed through the host's fault
	delays   uint8         // in a row
	version  uint32        // of what is to be on disk
	sent     uint32        // the version that is being written
	erasures uint64        // State.erasures when that began
	run      uint64        // running: the id of its request
	due      time.Duration // delayed: when it is tried again
	startBy  time.Duration // 0: whenever
	startAt  time.Duration // of the last start
	body     *Body         // accepting
	end      *end          // settling
	waiting  []waiter
	watchers []uint64
}

// end is how a job ended, until that is on disk.
type end struct {
	at      Stamp
	expires time.Duration
	out     *cache.Answer // with a verdict
	fault   *fault.Error  // of the verdict, or in its place
}

// waiter is to be told when a version is on disk.
type waiter struct {
	version uint32
	to      kernel.Reply[run.Job]
	group   *group // in place of to
}

// group is a Revoke.
type group struct {
	n, open int
	to      kernel.Reply[int]
}

type watch struct {
	job  *job
	seen int
	to   kernel.Reply[run.Job]
}

type keyOf struct{ tenant, key string }

// State is the pure core of the jobs actor.
type State struct {
	limits    Limits
	loading   bool
	loadAgain bool      // at the next tick
	early     []Message // what came before the journal was read
	jobs      map[string]*job
	keys      map[keyOf]*job
	order     []*job // by id; those that leave stay until there are many
	gone      int    // in order
	open      int    // not settled
	kept      int    // settled
	queues    [run.Critical + 1]queue[string]
	waiting   queue[time.Duration] // delayed, by due
	deadline  queue[time.Duration] // by startBy
	expiry    queue[time.Duration] // settled, by Expires
	oldest    []*job               // settled, in that order; some have left
	flight    []*job               // those with a slot
	slots     [run.Critical + 1]int
	line      []*job // to be written
	writes    int    // under way
	failures  []*job // whose last write failed
	starved   []*job // accepting: wait for others to leave the disk
	erasures  uint64 // that ended well
	erase     []string
	erasing   bool
	eraseOff  bool // it failed: not before the next tick
	stuck     bool
	watches   map[uint64]*watch
	tags      map[[2]string]bool
	tagOrder  [][2]string
	draining  bool
	paused    bool      // by an operator
	since     time.Time // paused: since when
	held      bool      // since the execute queue is paused
	refused   uint64
	opens     [run.Critical + 1]int // not settled, by priority
	drains    []kernel.Reply[struct{}]
	waking    bool

	last   time.Time     // of the last message
	clock  time.Duration // counts how long jobs are kept: it stands still while the host is down, and never jumps
	saved  time.Duration
	newest Stamp
}

// NewState returns a core that waits for its journal.
func NewState(l Limits) *State {
	l.Queue = cmp.Or(l.Queue, 100_000)
	l.Settled = cmp.Or(l.Settled, 100_000)
	l.Active = max(cmp.Or(l.Active, 16), 8)
	l.Keep = cmp.Or(l.Keep, 24*time.Hour)
	l.Retries = cmp.Or(l.Retries, 5)
	l.Watchers = cmp.Or(l.Watchers, 4096)
	l.Tags = cmp.Or(l.Tags, 4096)
	l.Writes = cmp.Or(l.Writes, 1024)
	return &State{limits: l, loading: true, jobs: map[string]*job{}, keys: map[keyOf]*job{}, watches: map[uint64]*watch{}, tags: map[[2]string]bool{}}
}

// Step decides what one message means.
func (s *State) Step(now time.Time, in Message) []Effect {
	s.pass(now)
	var out []Effect
	if m, ok := in.(loaded); ok {
		out = s.loaded(now, m)
	} else {
		out = s.step(now, in)
	}
	out = append(out, s.startJobs(now)...)
	out = append(out, s.flush()...)
	if !s.waking && (s.loading || len(s.jobs) > 0 || len(s.erase) > 0) {
		s.waking = true
		after := coarse
		if len(s.waiting.items) > 0 {
			after = fine
		}
		out = append(out, Wake{after})
	}
	return append(out, s.drained()...)
}

func (s *State) step(now time.Time, in Message) []Effect {
	if m, ok := in.(Pause); ok {
		return s.pause(m)
	}
	if _, ok := in.(tick); s.loading && !ok {
		if len(s.early) >= s.limits.Watchers {
			return []Effect{Refuse{Message: in, Err: busy("jobs")}}
		}
		s.early = append(s.early, in)
		return nil
	}
	switch m := in.(type) {
	case Submit:
		return s.submit(now, m)
	case Get:
		return []Effect{s.reply(now, m.Reply, s.visible(m.ID), m.ID)}
	case List:
		return []Effect{Listed{To: m.Reply, Page: s.list(now, m)}}
	case Count:
		return []Effect{Counted{To: m.Reply, States: map[run.JobState]int{
			run.JobQueued: s.open - len(s.flight), run.JobRunning: len(s.flight), run.JobSettled: s.kept}}}
	case Watch:
		return s.watch(now, m)
	case Unwatch:
		return s.unwatch(m)
	case Cancel:
		return s.cancel(now, m)
	case Raise:
		return s.raise(now, m)
	case Revoke:
		return s.revoke(now, m)
	case Purge:
		return s.purge(now, m)
	case Inspect:
		return []Effect{Shown{To: m.Reply, Queue: s.queue()}}
	case Underway:
		return []Effect{Flown{To: m.Reply, Flights: s.flights()}}
	case Trace:
		return []Effect{s.trace(m)}
	case trailed:
		if j := s.jobs[m.id]; j != nil && j.phase == running && j.run == m.run {
			j.Trail = joined(j.Trail, m.trail)
		}
		return nil
	case Drain:
		s.draining = true
		s.drains = append(s.drains, m.Reply)
		return nil
	case wrote:
		return s.wrote(now, m)
	case erased:
		return s.erased(m)
	case opened:
		return s.opened(now, m)
	case ended:
		return s.ended(now, m)
	case tick:
		s.waking = false
		return s.tick(now)
	}
	return nil
}

// pass moves the clock on: by what went by, never back, and never by a jump.
func (s *State) pass(now time.Time) {
	if !s.last.IsZero() {
		s.clock += min(max(now.Sub(s.last), 0), maxStep)
	}
	s.last = now
}

// stamp is the time for a record. It never goes back.
func (s *State) stamp(now time.Time) Stamp {
	s.newest = max(s.newest, StampOf(now))
	return s.newest
}

func busy(what string) *fault.Error {
	return fault.New(fault.BusyQueueFull, what, "", nil).WithRetryAfter(time.Second)
}

// loaded takes over what an earlier incarnation or an earlier host left.
func (s *State) loaded(now time.Time, m loaded) []Effect {
	var out []Effect
	early := s.early
	s.early = nil
	if m.err != nil {
		for _, e := range early {
			out = append(out, Refuse{Message: e, Err: m.err})
		}
		s.stuck, s.loadAgain = true, true
		return append(out, Stuck{fault.From(m.err)})
	}
	s.loading, s.clock = false, m.kept
	slices.SortFunc(m.records, func(a, b Record) int { return cmp.Compare(a.ID, b.ID) })
	for _, r := range m.records {
		s.clock = max(s.clock, r.Kept)
		for _, e := range r.Events {
			s.newest = max(s.newest, e.At)
		}
	}
	s.saved = s.clock
	if s.stuck {
		s.stuck = false
		out = append(out, Stuck{})
	}
	s.stamp(now)
	for _, r := range m.records {
		out = append(out, s.load(now, &job{Record: r})...)
	}
	slices.SortStableFunc(s.oldest, func(a, b *job) int { return cmp.Compare(a.Settled, b.Settled) })
	for _, e := range early {
		out = append(out, s.step(now, e)...)
	}
	return out
}

func (s *State) load(now time.Time, j *job) []Effect {
	if old := s.keys[keyOf{j.Tenant, j.Key}]; j.Key != "" && old != nil && old.phase != leaving {
		s.forget(old) // it left, or was never acknowledged: else the newer one would not be there
	}
	s.add(j)
	if j.State == run.JobSettled {
		j.phase, j.Trail = settled, nil
		s.kept++
		s.expiry.push(j.Expires, j)
		s.oldest = append(s.oldest, j)
		return nil
	}
	s.count(j, 1)
	j.phase = queued
	if j.State == run.JobRunning {
		j.State = run.JobQueued
		s.event(now, j, Event{What: Requeued, By: byHost})
	}
	s.limitStart(now, j)
	s.awaitsSlot(s.newest.Time(), j)
	if j.Ending != "" {
		return s.settle(now, j, nil, endingFault(j))
	}
	s.queues[j.Priority].push(j.ID, j)
	return nil
}

// add enters a job into the tables.
func (s *State) add(j *job) {
	s.jobs[j.ID] = j
	if j.Key != "" {
		s.keys[keyOf{j.Tenant, j.Key}] = j
	}
	at := len(s.order)
	for at > 0 && s.order[at-1].ID > j.ID {
		at--
	}
	s.order = slices.Insert(s.order, at, j)
}

// limitStart turns a deadline of the wall into one of the clock.
func (s *State) limitStart(now time.Time, j *job) {
	if j.Deadline != 0 {
		j.startBy = max(s.clock+j.Deadline.Time().Sub(now.Round(0)), 1)
		s.deadline.push(j.startBy, j)
	}
}

func (s *State) submit(now time.Time, m Submit) []Effect {
	r := m.Request
	fail := func(err error) []Effect { return []Effect{Reply{To: m.Reply, Err: err}} }
	old := s.jobs[r.ID]
	if old == nil && r.Key != "" {
		if old = s.keys[keyOf{r.Tenant, r.Key}]; old != nil && old.Fingerprint != r.Fingerprint {
			return fail(fault.New(fault.CallerConflict, "submit", fault.Quote(r.Key), errors.New("the key names a job with another request")).
				WithHint("use another key, or submit the same request again"))
		}
	}
	switch {
	case old != nil && old.phase == accepting:
		old.waiting = append(old.waiting, waiter{version: 1, to: m.Reply})
		return nil
	case old != nil && old.phase == leaving:
		return fail(fault.New(fault.CallerConflict, "submit", r.ID, nil))
	case old != nil:
		return []Effect{s.reply(now, m.Reply, old, r.ID)}
	case r.Validity != "" && s.tags[[2]string{r.Tenant, r.Validity}]:
		return fail(fault.New(fault.CanceledRevoked, "submit", "", nil))
	case s.draining:
		return fail(fault.New(fault.BusyDraining, "submit", "", nil).WithRetryAfter(time.Second))
	case s.open >= s.limits.Queue:
		s.refused++
		return fail(busy("submit"))
	case !r.Deadline.IsZero() && !r.Deadline.After(now.Round(0)):
		return fail(fault.New(fault.CallerInvalid, "submit", "", nil).WithHint("the deadline has passed already"))
	}
	at := s.stamp(now)
	j := &job{phase: accepting, version: 1, body: r.Body, waiting: []waiter{{version: 1, to: m.Reply}}, Record: Record{
		ID: r.ID, Key: r.Key, Tenant: r.Tenant, Validity: r.Validity, RetryOf: r.RetryOf, Mode: r.Mode, Params: r.Params, State: run.JobQueued, Priority: r.Priority,
		Code: r.Code, Fingerprint: r.Fingerprint, Submitted: at, Deadline: StampOf(r.Deadline), Keep: cmp.Or(r.Keep, s.limits.Keep),
		Events: []Event{{At: at, What: Submitted, By: r.Tenant}}, Cause: r.Cause,
		Trail: run.Trail{{Stage: run.Received, At: at.Time(), Waits: "its record to be on disk", Owner: "jobs"}},
	}}
	s.add(j)
	s.count(j, 1)
	s.limitStart(now, j)
	s.queueWrite(j)
	return nil
}

// visible returns a job that is on disk.
func (s *State) visible(id string) *job {
	if j := s.jobs[id]; j != nil && j.phase != accepting && j.phase != leaving {
		return j
	}
	return nil
}

// reply answers with a job, or that there is none.
func (s *State) reply(now time.Time, to kernel.Reply[run.Job], j *job, id string) Effect {
	if j == nil {
		return Reply{To: to, Err: fault.New(fault.CallerNotFound, "job", fault.Quote(id), nil)}
	}
	return Reply{To: to, Job: s.show(now, j, true)}
}

func (s *State) show(now time.Time, j *job, events bool) run.Job {
	v := j.view(events)
	if j.phase == settled {
		v.ExpiresAt = now.Round(0).Add(max(j.Expires-s.clock, 0)).UTC()
	}
	return v
}

func (s *State) list(now time.Time, m List) (p Page) {
	limit := min(max(m.Limit, 1), maxPage)
	at, found := slices.BinarySearchFunc(s.order, m.After, func(j *job, id string) int { return cmp.Compare(j.ID, id) })
	if found {
		at++
	}
	for _, j := range s.order[at:] {
		if s.visible(j.ID) != j || m.Tenant != "" && j.Tenant != m.Tenant || m.State != "" && j.State != m.State {
			continue
		}
		if len(p.Jobs) == limit {
			p.Next = p.Jobs[limit-1].ID
			break
		}
		p.Jobs = append(p.Jobs, s.show(now, j, false))
	}
	return p
}

// maxPage bounds a page of a list.
const maxPage = 10_000

// drained answers who waits for the end of what is under way.
func (s *State) drained() []Effect {
	if !s.draining || len(s.flight) > 0 || len(s.line) > 0 || s.writes > 0 || s.erasing {
		return nil
	}
	var out []Effect
	for _, to := range s.drains {
		out = append(out, Drained{to})
	}
	s.drains = nil
	return out
}
