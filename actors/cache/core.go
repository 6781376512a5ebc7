package cache

import (
	"cmp"
	"errors"
	"time"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/actors/kernel"
	"github.com/troupehost/troupe/actors/prepare"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/artifacts"
)

// Limits are the settings of the core. Zero fields mean 15 min, 5, do not forgive, 3, 15 min, 30 s, 64, 1024, 4096, 256,
// 16384, 1024, 32 MiB, 10 GiB and 30 days.
type Limits struct {
	Cooldown time.Duration // before a suspect preparation is tried again
	Retries  int           // how often; -1: always
	Forgive  bool          // a run that was suspect twice does not count against its code

	QuarantineAfter int           // runs in a row that count against the code of a tenant until it is refused; -1: never
	Quarantine      time.Duration // how long it is refused

	Persist      time.Duration // before an artifact that could not be written is written again
	Pins         int           // per tenant
	Announce     int           // heads-ups of a tenant that wait
	Failures     int           // remembered
	Preparing    int           // preparations that the prepare queue has not answered
	Requests     int           // unanswered
	Unstored     int           // artifacts kept in memory only
	Descriptions int64         // bytes of module descriptions kept ready
	Policy       artifacts.PrunePolicy
}

const retryAfter = time.Second // what a refused caller is told

// State is the pure core of the cache.
type State struct {
	limits    Limits
	entries   map[artifacts.Key]*entry
	leaving   map[artifacts.Key]*entry   // removed from the table, not yet from the disk
	pins      map[artifacts.Key][]string // tenants; a pin outlives its artifact
	pinning   []Pin                      // on their way to the disk
	asks      map[uint64]*ask            // unanswered, by request
	jobs      map[uint64]*entry          // that the prepare queue has not answered, by generation
	gen       uint64                     // of the newest entry; also its preparation's job id
	described int64                      // bytes of the descriptions that are loaded
	loading   bool                       // the index is not there yet
	early     []Message                  // what came before the index
	paused    bool                       // the prepare queue is
	revoked   *revocations
	suspicion map[artifacts.Key]map[string]*suspicion // by tenant
}

type entry struct {
	key        artifacts.Key
	code       artifacts.CodeHash
	state      artifacts.State
	gen        uint64
	waiting    []*ask         // Preparing
	storing    bool           // Preparing: the artifact exists; Prepared: it is written once more
	meta       artifacts.Meta // without the lists of its module
	bytes      int64          // on disk; 0: served from memory only
	reserved   int64          // storing: about what it will take there
	stuck      bool           // leaving: the store could not remove it
	why        string         // leaving: see Observer.Removed
	triedAt    time.Time      // when it was last tried to be written
	failure    artifacts.Failure
	fault      *fault.Error
	lastNeeded time.Time
	inUse      int

	module     *artifacts.Module // the lists, when they are loaded
	describing bool              // they are being loaded
	toJudge    []*ask            // Prepared: wait for them
	toShow     []kernel.Reply[Detail]

	preparation // the newest

	well bool // Prepared: a run of it has ended by its own doing since one was suspect
}

// preparation is one generation on its way, or how it came about.
type preparation struct {
	tenant      string               // who asked first
	cause       kernel.Cause         // the same
	priority    run.Priority         // the highest of who waits or waited
	escalations []inspect.Escalation // of the priority
	options     artifacts.Options
	verdictOnly bool                    // as in prepare.Job
	budget      prepare.Budget          // the largest of who waits or waited
	marks       []prepare.Budget        // smaller budgets of who waits or waited
	marked      map[prepare.Budget]bool // the same
	used        prepare.Budget          // at the newest mark
	failures    int                     // in a row before, of which this is a retry; a limit that has grown since begins anew
	verdict     *fault.Error            // that somebody was given before the end
	lesson      artifacts.Failure       // the same, for the record
}

// ask is a request under way.
type ask struct {
	Request
	reply    kernel.Reply[Answer]
	hit      bool
	attempts int
	entry    *entry // Execute: the entry that it uses, while it runs
	departed bool   // while it ran
	revoked  bool   // while it ran
	suspect  bool   // the first attempt ended so
	trail    run.Trail
}

// NewState returns a cache that waits for its index. incarnation counts from 1: generations of different incarnations differ,
// so that what an earlier one left in the queues cannot be taken for its own.
func NewState(l Limits, incarnation uint64) *State {
	l.Cooldown = cmp.Or(l.Cooldown, 15*time.Minute)
	l.Retries = cmp.Or(l.Retries, 5)
	l.QuarantineAfter = cmp.Or(l.QuarantineAfter, 3)
	l.Quarantine = cmp.Or(l.Quarantine, 15*time.Minute)
	l.Persist = cmp.Or(l.Persist, 30*time.Second)
	l.Pins = cmp.Or(l.Pins, 64)
	l.Announce = cmp.Or(l.Announce, 1024)
	l.Failures = cmp.Or(l.Failures, 4096)
	l.Preparing = cmp.Or(l.Preparing, 256)
	l.Requests = cmp.Or(l.Requests, 16384)
	l.Unstored = cmp.Or(l.Unstored, 1024)
	l.Descriptions = cmp.Or(l.Descriptions, 32<<20)
	l.Policy.LimitBytes = cmp.Or(l.Policy.LimitBytes, 10<<30)
	l.Policy.Age = cmp.Or(l.Policy.Age, 30*24*time.Hour)
	return &State{limits: l, entries: map[artifacts.Key]*entry{}, leaving: map[artifacts.Key]*entry{}, pins: map[artifacts.Key][]string{},
		asks: map[uint64]*ask{}, jobs: map[uint64]*entry{}, gen: (incarnation - 1) << 32, loading: true,
		revoked: newRevocations(), suspicion: map[artifacts.Key]map[string]*suspicion{}}
}

// Step decides what one message means.
func (s *State) Step(now time.Time, in Message) []Effect {
	switch m := in.(type) {
	case indexed:
		return s.indexed(now, m)
	case Revoke:
		return s.revoke(now, m)
	case Pause:
		s.paused = !m.Off
		return nil
	case Ask:
		if r := m.Request; s.revoked.has(r.Tenant, r.Validity) {
			return []Effect{Reply{To: m.Reply, Kind: r.Kind, Err: revoked(r.Validity)}}
		}
		if s.loading && len(s.early) >= s.limits.Requests {
			return []Effect{Reply{To: m.Reply, Kind: m.Request.Kind, Err: busy()}}
		}
	}
	if s.loading {
		s.early = append(s.early, in)
		return nil
	}
	switch m := in.(type) {
	case Ask:
		return s.ask(now, m)
	case Depart:
		return s.depart(now, m)
	case Raise:
		return s.raise(now, m)
	case Lift:
		return s.lift(now, m)
	case Underway:
		return []Effect{Stand{To: m.Reply, Standings: s.standings()}}
	case trailed:
		if a := s.asks[m.id]; a != nil {
			a.trail = a.trail.Join(m.trail)
		}
		return nil
	case prepared:
		return s.prepared(now, m)
	case passed:
		return s.passed(now, m)
	case stored:
		return s.stored(now, m)
	case described:
		return s.takeDescription(now, m)
	case executed:
		return s.executed(now, m)
	case Used:
		return s.used(now, m)
	case deleted:
		return s.deleted(m)
	case Prune:
		return s.pruneNow(now, m)
	case Persist:
		return s.persistAll(now, true)
	}
	return s.operate(in)
}

func busy() *fault.Error {
	return fault.New(fault.BusyQueueFull, "cache", "", nil).WithRetryAfter(retryAfter)
}

func (s *State) indexed(now time.Time, m indexed) []Effect {
	s.loading = false
	for _, e := range m.entries {
		if len(e.Pins) > 0 {
			s.pins[e.Key] = e.Pins
		}
		if e.Absent {
			continue
		}
		s.gen++
		n := &entry{key: e.Key, gen: s.gen, state: artifacts.Prepared, code: e.Meta.Code, meta: light(e.Meta), bytes: e.Bytes, lastNeeded: e.LastNeeded}
		if e.Failure != nil {
			n.state, n.code, n.failure = artifacts.Failed, e.Failure.Code, *e.Failure
			var cause error
			if e.Failure.Cause != "" {
				cause = errors.New(e.Failure.Cause)
			}
			n.fault = fault.New(e.Failure.Fault, "prepare", e.Failure.Message, cause)
			if n.failure.At.After(now) { // the clock was set back: the cool-down must not last for ever
				n.failure.At = now
			}
		}
		s.entries[e.Key] = n
	}
	out, _ := s.prune(now, 0)
	early := s.early
	s.early = nil
	for _, m := range early {
		out = append(out, s.Step(now, m)...)
	}
	return out
}

func (s *State) ask(now time.Time, m Ask) []Effect {
	a := &ask{Request: m.Request, reply: m.Reply, attempts: 1}
	a.Budget.Wall = cmp.Or(a.Budget.Wall, run.WallFactor*a.Budget.CPU)
	a.trail = a.trail.Add(run.Step{Stage: run.Admitted, At: now})
	if a.Tried != nil {
		return s.tried(now, a)
	}
	e := s.entries[a.Key]
	needed := e == nil || e.state == artifacts.Failed && (a.Again || s.retry(now, e, a)) // a preparation
	err := s.cannotRepeat(e, a)
	switch {
	case err != nil:
	case needed && s.paused:
		err = fault.New(fault.BusyPaused, "prepare", "", nil).WithRetryAfter(retryAfter)
	case len(s.asks) >= s.limits.Requests, needed && len(s.jobs) >= s.limits.Preparing:
		err = busy()
	case a.Kind == HeadsUp && s.announced(a.Tenant) >= s.limits.Announce:
		err = fault.New(fault.CallerQuota, "announce", fault.Quote(a.Tenant), nil)
	case needed && a.NoCode:
		err = fault.New(fault.CallerNotFound, "code", a.Code.String(), nil).WithHint("pass the code, not only its hash")
	}
	if err != nil {
		return []Effect{Reply{To: a.reply, Kind: a.Kind, Err: err}}
	}
	if f := s.quarantined(now, a); f != nil {
		a.hit = e != nil && e.state == artifacts.Prepared
		return s.refuse(a, f)
	}
	s.asks[a.ID] = a
	var out []Effect
	if a.Kind == HeadsUp {
		out = append(out, Accept{To: a.Accepted})
	}
	switch {
	case needed:
		if e != nil {
			out = append(out, Retried{Fault: e.fault})
		}
		return append(out, s.prepare(now, a)...)
	case e.state == artifacts.Preparing:
		return append(out, s.join(now, e, a)...)
	case e.state == artifacts.Failed:
		a.hit = true
		return append(out, s.answerFailed(e, a)...)
	}
	a.hit = true
	out = append(out, Touch{Key: e.key})
	out = append(out, s.persist(now, e)...)
	return append(out, s.serve(now, e, a)...)
}

func (s *State) announced(tenant string) int {
	n := 0
	for _, a := range s.asks {
		if a.Kind == HeadsUp && a.Tenant == tenant {
			n++
		}
	}
	return n
}

// answerFailed answers from the record of a failed preparation. What used up more than this request's budget before it
// failed would have failed for that.
func (s *State) answerFailed(e *entry, a *ask) []Effect {
	f := e.fault
	if own := over(a.Budget, prepare.Budget{CPU: e.failure.CPU}, prepare.Budget{}); own != nil && own.Code != f.Code {
		f = own
	}
	return s.answer(a, Answer{Outcome: run.Outcome{Fault: f}, Meta: artifacts.Meta{Key: e.key, Code: e.code, PrepareCPU: e.failure.CPU}})
}

func (s *State) answer(a *ask, ans Answer) []Effect {
	delete(s.asks, a.ID)
	ans.Trail = a.trail
	ans.Hit, ans.Attempts, ans.Options, ans.Determinism = a.hit, a.attempts, a.Options, a.Determinism
	return []Effect{Reply{To: a.reply, Kind: a.Kind, Answer: ans}}
}

func (s *State) fail(a *ask, err error) []Effect {
	delete(s.asks, a.ID)
	out := []Effect{Reply{To: a.reply, Kind: a.Kind, Err: err}}
	if a.Left != (kernel.Reply[run.Trail]{}) {
		out = append([]Effect{Left{To: a.Left, Trail: a.trail}}, out...)
	}
	return out
}
