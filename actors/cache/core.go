package cache

import (
	"bytes"
	"cmp"
	"slices"
	"time"

	"github.com/troupehost/troupe/actors/execute"
	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/kernel"
	"github.com/troupehost/troupe/actors/prepare"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/artifacts"
)

// Limits are the settings of the core. Zero fields mean 15 min, 5, 64, 1024, 4096, 10 GiB and 30 days.
type Limits struct {
	Cooldown time.Duration // before a suspect preparation is tried again
	Retries  int           // how often
	Pins     int           // per tenant
	Announce int           // heads-ups of a tenant that wait
	Failures int           // remembered
	Policy   artifacts.PrunePolicy
}

// State is the pure core of the cache.
type State struct {
	limits  Limits
	entries map[artifacts.Key]*entry
	asks    map[uint64]*ask // unanswered, by request
	gen     uint64          // of the newest entry; also its preparation's job id
	loading bool            // the index is not there yet
	early   []Message       // what came before the index
	over    bool            // what is held exceeds the size limit
}

type entry struct {
	key        artifacts.Key
	code       artifacts.CodeHash
	state      artifacts.State
	gen        uint64
	waiting    []*ask        // Preparing
	priority   run.Priority  // Preparing: the highest among those who wait
	budget     time.Duration // Preparing: CPU
	meta       artifacts.Meta
	disk       bool
	failure    artifacts.Failure
	fault      *fault.Error
	lastNeeded time.Time
	inUse      int
	pins       []string
}

// ask is a request under way.
type ask struct {
	Request
	reply    kernel.Reply[Answer]
	hit      bool
	attempts int
	entry    *entry // Execute: the entry that it uses, while it runs
}

// NewState returns a cache that waits for its index.
func NewState(l Limits) *State {
	l.Cooldown = cmp.Or(l.Cooldown, 15*time.Minute)
	l.Retries = cmp.Or(l.Retries, 5)
	l.Pins = cmp.Or(l.Pins, 64)
	l.Announce = cmp.Or(l.Announce, 1024)
	l.Failures = cmp.Or(l.Failures, 4096)
	l.Policy.LimitBytes = cmp.Or(l.Policy.LimitBytes, 10<<30)
	l.Policy.Age = cmp.Or(l.Policy.Age, 30*24*time.Hour)
	return &State{limits: l, entries: map[artifacts.Key]*entry{}, asks: map[uint64]*ask{}, loading: true}
}

// Step decides what one message means.
func (s *State) Step(now time.Time, in Message) []Effect {
	if m, ok := in.(indexed); ok {
		return s.indexed(now, m)
	}
	if s.loading {
		s.early = append(s.early, in) // bounded by the mailbox of the one incarnation that waits here
		return nil
	}
	switch m := in.(type) {
	case Ask:
		return s.ask(now, m)
	case Depart:
		return s.depart(m)
	case prepared:
		return s.prepared(now, m)
	case stored:
		return s.stored(now, m)
	case executed:
		return s.executed(now, m)
	case Prune:
		return s.prune(now, m)
	}
	return s.operate(in)
}

func (s *State) indexed(now time.Time, m indexed) []Effect {
	s.loading = false
	for _, e := range m.entries {
		s.gen++
		n := &entry{key: e.Key, gen: s.gen, state: artifacts.Prepared, code: e.Meta.Code, meta: e.Meta, disk: true, lastNeeded: e.LastNeeded, pins: e.Pins}
		if e.Failure != nil {
			n.state, n.code, n.failure = artifacts.Failed, e.Failure.Code, *e.Failure
			n.fault = fault.New(e.Failure.Fault, "prepare", e.Failure.Message, nil)
		}
		s.entries[e.Key] = n
	}
	early := s.early
	s.early = nil
	var out []Effect
	for _, m := range early {
		out = append(out, s.Step(now, m)...)
	}
	return out
}

func (s *State) ask(now time.Time, m Ask) []Effect {
	a := &ask{Request: m.Request, reply: m.Reply, attempts: 1}
	if a.Kind == HeadsUp && s.announced(a.Tenant) >= s.limits.Announce {
		return []Effect{Reply{To: a.reply, Err: fault.New(fault.CallerQuota, "announce", fault.Quote(a.Tenant), nil)}}
	}
	s.asks[a.ID] = a
	e := s.entries[a.Key]
	switch {
	case e == nil:
		return s.prepare(now, a)
	case e.state == artifacts.Preparing:
		return s.join(e, a)
	case e.state == artifacts.Failed && !s.retry(now, e, a):
		a.hit = true
		return s.answer(a, Answer{Outcome: run.Outcome{Fault: e.fault}, Meta: artifacts.Meta{Key: e.key, Code: e.code, PrepareCPU: e.failure.CPU}})
	case e.state == artifacts.Failed:
		return s.prepare(now, a)
	}
	a.hit = true
	return append([]Effect{Touch{Key: e.key}}, s.serve(now, e, a)...)
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

// retry says whether a failed preparation is worth another try for this request.
func (s *State) retry(now time.Time, e *entry, a *ask) bool {
	if e.failure.Fault == fault.GuestPrepareCPU && a.Budget.CPU > e.failure.Budget {
		return true
	}
	return e.fault.Class != fault.Guest && a.Kind != Precheck && e.failure.Count <= s.limits.Retries && now.Sub(e.failure.At) >= s.limits.Cooldown
}

// prepare begins a new generation with a as its first waiter.
func (s *State) prepare(now time.Time, a *ask) []Effect {
	s.gen++
	e := s.entries[a.Key]
	if e == nil {
		e = &entry{key: a.Key, code: a.Code}
		s.entries[a.Key] = e
	}
	e.state, e.gen, e.waiting, e.priority, e.budget, e.lastNeeded = artifacts.Preparing, s.gen, []*ask{a}, a.Priority, a.Budget.CPU, now
	return []Effect{StartPrepare{Gen: e.gen, Job: prepare.Job{ID: e.gen, Key: a.Key, Code: a.Code, Tenant: a.Tenant, Priority: a.Priority, Budget: a.Budget}}}
}

// join adds a waiter to the one preparation of its artifact.
func (s *State) join(e *entry, a *ask) []Effect {
	e.waiting = append(e.waiting, a)
	if a.Priority <= e.priority {
		return nil
	}
	e.priority = a.Priority
	return []Effect{RaisePrepare{Job: e.gen, Priority: a.Priority}}
}

func (s *State) depart(m Depart) []Effect {
	a := s.asks[m.ID]
	if a == nil {
		return nil
	}
	if a.entry != nil {
		return []Effect{CancelExecute{Run: a.ID}} // its answer answers the request
	}
	out := s.fail(a, fault.New(fault.CanceledCaller, "cache", "", nil))
	if e := s.entries[a.Key]; e != nil && e.state == artifacts.Preparing {
		if e.waiting = slices.DeleteFunc(e.waiting, func(w *ask) bool { return w == a }); len(e.waiting) == 0 {
			out = append(out, CancelPrepare{Job: e.gen})
			delete(s.entries, e.key)
		}
	}
	return out
}

// prepared takes the end of a preparation. Of an older generation only the parts are left, which nobody wants.
func (s *State) prepared(now time.Time, m prepared) []Effect {
	e := s.entries[m.key]
	if e == nil || e.gen != m.gen || e.state != artifacts.Preparing {
		if m.outcome.Ticket != 0 {
			return []Effect{Discard{Ticket: m.outcome.Ticket}}
		}
		return nil
	}
	if m.err != nil {
		m.outcome.Fault = fault.From(m.err)
	}
	if m.outcome.Fault != nil {
		return s.prepareFailed(now, e, m.outcome)
	}
	e.meta = m.outcome.Meta
	return []Effect{StorePut{Gen: e.gen, Meta: e.meta, Ticket: m.outcome.Ticket, MemoryOnly: s.over}}
}

func (s *State) prepareFailed(now time.Time, e *entry, o prepare.Outcome) []Effect {
	f := o.Fault
	waiting := e.waiting
	e.waiting = nil
	var out []Effect
	switch f.Class {
	case fault.Guest, fault.Suspect:
		e.state, e.fault = artifacts.Failed, f
		e.failure = artifacts.Failure{Code: e.code, Fault: f.Code, Message: f.Subject, Count: e.failure.Count + 1, At: now, CPU: o.CPU, Budget: e.budget}
		if f.Class == fault.Guest {
			out = append(out, StoreFailure{Key: e.key, Failure: e.failure})
		}
		out = append(out, s.forget()...)
	default:
		delete(s.entries, e.key)
	}
	for _, a := range waiting {
		if f.Code == fault.GuestPrepareCPU && a.Budget.CPU > e.budget { // this one deserved more
			if e.state == artifacts.Preparing {
				out = append(out, s.join(e, a)...)
			} else {
				out = append(out, s.prepare(now, a)...)
			}
			continue
		}
		if f.Class == fault.Guest || f.Class == fault.Suspect {
			out = append(out, s.answer(a, Answer{Outcome: run.Outcome{Fault: f}, Meta: artifacts.Meta{Key: e.key, Code: e.code, PrepareCPU: o.CPU}})...)
		} else {
			out = append(out, s.fail(a, f)...)
		}
	}
	return out
}

// forget drops the oldest failures over the limit.
func (s *State) forget() []Effect {
	var failed []*entry
	for _, e := range s.entries {
		if e.state == artifacts.Failed {
			failed = append(failed, e)
		}
	}
	if len(failed) <= s.limits.Failures {
		return nil
	}
	slices.SortFunc(failed, func(a, b *entry) int {
		return cmp.Or(a.failure.At.Compare(b.failure.At), bytes.Compare(a.key[:], b.key[:]))
	})
	var d Delete
	for _, e := range failed[:len(failed)-s.limits.Failures] {
		delete(s.entries, e.key)
		d.Keys = append(d.Keys, e.key)
	}
	return []Effect{d}
}

func (s *State) stored(now time.Time, m stored) []Effect {
	e := s.entries[m.key]
	if e == nil || e.gen != m.gen || e.state != artifacts.Preparing {
		return nil
	}
	waiting := e.waiting
	e.waiting = nil
	if m.err != nil {
		delete(s.entries, e.key)
		var out []Effect
		for _, a := range waiting {
			out = append(out, s.fail(a, m.err)...)
		}
		return out
	}
	e.state, e.disk, e.lastNeeded, e.failure, e.fault = artifacts.Prepared, m.disk, now, artifacts.Failure{}, nil
	var out []Effect
	for _, a := range waiting {
		out = append(out, s.serve(now, e, a)...)
	}
	if s.total() > s.limits.Policy.LimitBytes {
		out = append(out, s.prune(now, Prune{})...)
	}
	return out
}

// serve leads a request on from a prepared artifact.
func (s *State) serve(now time.Time, e *entry, a *ask) []Effect {
	e.lastNeeded = now
	if a.Kind == Precheck && e.meta.PrepareCPU > a.Budget.CPU {
		f := fault.New(fault.GuestPrepareCPU, "precheck", "", nil)
		return s.answer(a, Answer{Outcome: run.Outcome{Fault: f}, Meta: e.meta})
	}
	if f := judge(e.meta.Module, &a.Request); f != nil || a.Kind != Execute {
		return s.answer(a, Answer{Outcome: run.Outcome{Fault: f}, Meta: e.meta})
	}
	a.entry = e
	e.inUse++
	return []Effect{StartExecute{Job: execute.Job{
		Run:     a.ID,
		Binding: execute.Binding{Tenant: a.Tenant, App: a.App, Key: a.Key, MemoryBytes: a.Limits.MemoryBytes},
		Entry:   a.Entry, Limits: a.Limits, Imports: a.Imports, Determinism: a.Determinism, Priority: a.Priority, Deadline: a.Deadline,
	}}}
}

func (s *State) executed(now time.Time, m executed) []Effect {
	a := s.asks[m.id]
	if a == nil || a.entry == nil {
		return nil
	}
	e := a.entry
	a.entry = nil
	e.inUse--
	if m.err != nil {
		return s.fail(a, m.err)
	}
	f := m.outcome.Fault
	if f != nil && a.attempts == 1 && m.outcome.Delivered == 0 {
		switch f.Code {
		case fault.HostArtifactMissing, fault.HostArtifactCorrupt, fault.SuspectArtifact:
			a.attempts++
			return s.again(now, e, a)
		case fault.SuspectWorkerDied, fault.SuspectBadReply:
			a.attempts++
			return s.serve(now, e, a)
		}
	}
	if f == nil || f.Class == fault.Guest || f.Class == fault.Suspect {
		return s.answer(a, Answer{Outcome: m.outcome, Meta: e.meta})
	}
	return s.fail(a, f) // no verdict on the code
}

// again drops a generation that cannot be executed and prepares the next. Another request may have done so already.
func (s *State) again(now time.Time, e *entry, a *ask) []Effect {
	a.hit = false
	current := s.entries[a.Key]
	if current == nil {
		return s.prepare(now, a)
	}
	if current.state == artifacts.Preparing {
		return s.join(current, a)
	}
	if current != e || current.meta.PreparedAt.After(e.meta.PreparedAt) {
		return s.serve(now, current, a)
	}
	pins := e.pins
	delete(s.entries, e.key)
	out := append([]Effect{Delete{Keys: []artifacts.Key{e.key}}, Release{Key: e.key}}, s.prepare(now, a)...)
	s.entries[e.key].pins = pins
	return out
}

func (s *State) answer(a *ask, ans Answer) []Effect {
	delete(s.asks, a.ID)
	ans.Hit, ans.Attempts = a.hit, a.attempts
	return []Effect{Reply{To: a.reply, Answer: ans}}
}

func (s *State) fail(a *ask, err error) []Effect {
	delete(s.asks, a.ID)
	return []Effect{Reply{To: a.reply, Err: err}}
}

// total returns the bytes that count against the size limit.
func (s *State) total() int64 {
	var n int64
	for _, e := range s.entries {
		if e.state == artifacts.Prepared && e.disk {
			n += e.meta.Bytes()
		}
	}
	return n
}
