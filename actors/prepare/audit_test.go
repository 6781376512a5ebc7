package prepare

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/troupehost/troupe/actors/kernel"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/actors/sim"
)

// audit steps a core and checks after each step what must hold whatever happens.
type audit struct {
	*State
	flying map[uint64]bool // tickets on their way to the core
	broken *error
	table  *sim.Table
	last   time.Time
	seq    int
	line   map[*job]int // where a job stands among the parked of its priority
	want   map[*job]Job // what the messages say of a job
	told   map[uint64]Steering
	wakes  []time.Time // that are to come
}

func newAudit(l Limits, flying map[uint64]bool, broken *error, table *sim.Table) *audit {
	return &audit{State: NewState(l), flying: flying, broken: broken, table: table, line: map[*job]int{}, want: map[*job]Job{}, told: map[uint64]Steering{}}
}

func (a *audit) fail(format string, args ...any) { *a.broken = fmt.Errorf(format, args...) }

func (a *audit) Step(now time.Time, m Message) []Effect {
	if e, ok := m.(ended); ok {
		delete(a.flying, e.Outcome.Ticket)
	}
	before := a.states(a.last) // what time alone changes comes with the step that notices
	a.last = now
	subject := a.subject(m)
	if r, ok := m.(Raise); ok && subject != nil {
		a.expectRaise(subject, r)
	}
	queued := [run.Critical + 1][]*job{}
	for p := range a.parked {
		queued[p] = slices.Clone(a.parked[p])
	}
	out := a.State.Step(now, m)
	after := a.states(now)
	if e, ok := m.(Enqueue); ok {
		if j := a.jobs[e.Job.ID]; j != nil && before[j] == "" {
			a.seq++
			a.line[j], a.want[j] = a.seq, j.Job
		}
	}
	for j, state := range after {
		if state == stateBackoff && before[j] != stateBackoff { // before its equals
			a.seq++
			a.line[j] = -a.seq
		}
	}
	if _, ok := m.(wake); ok {
		a.wakes = slices.Delete(a.wakes, 0, 1)
	}
	a.checkStarts(now, out)
	a.check(now, after)
	a.checkWakes(now, out)
	a.see(m, subject, before, after, out)
	return out
}

// expectRaise notes what a raise makes of a job: of each the larger, and a place behind those of the new priority.
func (a *audit) expectRaise(j *job, r Raise) {
	w := a.want[j]
	if r.Priority > w.Priority && r.Priority <= run.Critical {
		w.Priority = r.Priority
		a.seq++
		a.line[j] = a.seq
	}
	b := r.Budget.WithDefaults()
	w.Budget = Budget{CPU: max(w.Budget.CPU, b.CPU), Wall: max(w.Budget.Wall, b.Wall), MemoryBytes: max(w.Budget.MemoryBytes, b.MemoryBytes)}
	for _, m := range r.Marks {
		if m = m.WithDefaults(); (m.CPU > 0 || m.Wall > 0) && !slices.Contains(w.Marks, m) {
			w.Marks = append(slices.Clip(w.Marks), m)
		}
	}
	a.want[j] = w
}

// checkStarts checks who starts: nobody who is not critical above the soft limit; nobody before one of a higher priority,
// or before an equal who came to this priority earlier, unless that one is in back-off.
func (a *audit) checkStarts(now time.Time, out []Effect) {
	for _, e := range out {
		switch e := e.(type) {
		case StartWorker:
			j := a.running[e.Worker]
			if e.Job.Priority < run.Critical && len(a.running) > a.limits.Soft {
				a.fail("%d jobs run, soft limit %d, and a %s one starts", len(a.running), a.limits.Soft, e.Job.Priority)
			}
			for p := e.Job.Priority; p <= run.Critical; p++ {
				for _, o := range a.parked[p] {
					if !o.notBefore.After(now) && (p > e.Job.Priority || a.line[o] < a.line[j]) {
						a.fail("job %d, %s, starts before job %d, %s", e.Job.ID, e.Job.Priority, o.ID, p)
					}
				}
			}
			a.told[e.Worker] = Steering{Budget: e.Job.Budget, Marks: e.Job.Marks}
		case Steer:
			a.told[e.Worker] = e.Steering
		}
	}
}

// checkWakes checks that the core is woken by the time at which something is to be done.
func (a *audit) checkWakes(now time.Time, out []Effect) {
	for _, e := range out {
		if e, ok := e.(WakeAfter); ok {
			a.wakes = append(a.wakes, now.Add(e.Delay))
		}
	}
	slices.SortFunc(a.wakes, time.Time.Compare)
	due := func(j *job, at time.Time) {
		if at.After(now) && (len(a.wakes) == 0 || a.wakes[0].After(at)) {
			a.fail("job %d is due at %v, and nobody wakes the queue: %v", j.ID, at, a.wakes)
		}
	}
	for _, j := range a.jobs {
		due(j, j.notBefore)
		due(j, j.again)
	}
}

func (a *audit) check(now time.Time, after map[*job]string) {
	if j := a.next(now); j != nil && a.room(now, j) {
		a.fail("job %d waits beside a free slot", j.ID)
	}
	critical := false
	for _, j := range a.running {
		critical = critical || j.Priority == run.Critical && !j.answered
	}
	for n, j := range a.running {
		if j.worker != n || !j.answered && a.jobs[j.ID] != j {
			a.fail("worker %d and its job %d differ", n, j.ID)
		}
		// Every process was told what holds now.
		told := a.told[n]
		if held := critical && j.Priority < run.Critical; !j.answered && (told.Held != held || told.Budget != j.Budget || !slices.Equal(told.Marks, j.Marks)) {
			a.fail("worker %d was told %+v, and its job is %+v, held %v", n, told, j.Job, held)
		}
	}
	for j := range after {
		if w := a.want[j]; !j.answered && (w.Priority != j.Priority || w.Budget != j.Budget || !slices.Equal(w.Marks, j.Marks)) {
			a.fail("job %d is %+v, want %+v", j.ID, j.Job, w)
		}
	}
	for p, q := range a.parked {
		for _, j := range q {
			if int(j.Priority) != p || j.worker != 0 || a.jobs[j.ID] != j {
				a.fail("job %d, %s, is parked as %d", j.ID, j.Priority, p)
			}
		}
	}
}

func (a *audit) states(now time.Time) map[*job]string {
	out := map[*job]string{}
	for _, j := range a.jobs {
		out[j] = j.state(now)
	}
	for _, j := range a.running {
		out[j] = j.state(now)
	}
	return out
}

// subject is the job that a message is about.
func (a *audit) subject(m Message) *job {
	switch m := m.(type) {
	case Enqueue:
		return a.jobs[m.Job.ID]
	case Raise:
		return a.jobs[m.Job]
	case Cancel:
		return a.jobs[m.Job]
	case ended:
		return a.running[m.Worker]
	case exited:
		return a.running[m.Worker]
	case passed:
		return a.running[m.Worker]
	case steered:
		return a.running[m.Worker]
	}
	return nil
}

// see puts into the table what a step did. What a message does to other jobs than its own is an event of its own.
func (a *audit) see(m Message, subject *job, before, after map[*job]string, out []Effect) {
	event := name(m)
	created := (*job)(nil)
	if e, ok := m.(Enqueue); ok {
		if j := a.jobs[e.Job.ID]; j != subject {
			created = j
		}
	}
	effects := map[*job][]string{}
	byReply, byWorker := map[kernel.Reply[Outcome]]*job{}, map[uint64]*job{}
	for _, set := range []map[*job]string{before, after} {
		for j := range set {
			byReply[j.reply] = j
			if j.worker != 0 {
				byWorker[j.worker] = j
			}
		}
	}
	none := []string{} // effects of a message about no job
	for _, e := range out {
		var j *job
		switch e := e.(type) {
		case Answer:
			j = byReply[e.Reply]
		case StartWorker:
			j = byWorker[e.Worker]
		case StopWorker:
			j = byWorker[e.Worker]
		case Steer:
			j = byWorker[e.Worker]
		case Tell, Discard:
			j = subject
		case WakeAfter, Show, AllCanceled, Done, Purged: // of the queue as a whole
			continue
		}
		if j == nil {
			none = append(none, name(e))
		} else {
			effects[j] = append(effects[j], name(e))
		}
	}
	if len(none) > 0 {
		a.table.Saw("-", event, "-", none...)
	}
	for j := range merged(before, after) {
		from, to := cmp.Or(before[j], "-"), cmp.Or(after[j], "-")
		own := j == created || j == subject
		switch m.(type) {
		case CancelAll, Purge:
			own = from != to
		case passed, steered: // what else the step did had waited for any message
			if j == subject {
				own = from == to && !slices.Contains(effects[j], "Steer")
				if !own {
					effects[j] = slices.DeleteFunc(effects[j], func(e string) bool { return e == "Tell" })
				}
			}
		case Enqueue:
			if j == subject {
				a.table.Saw(from, "Enqueue of its id", to, effects[j]...)
				continue
			}
		}
		switch {
		case own:
			a.table.Saw(from, event, to, effects[j]...)
		case from != to || len(effects[j]) > 0:
			a.table.Saw(from, "(any)", to, effects[j]...)
		}
	}
}

func merged(a, b map[*job]string) map[*job]bool {
	out := map[*job]bool{}
	for _, m := range []map[*job]string{a, b} {
		for j := range m {
			out[j] = true
		}
	}
	return out
}

// name is the type of a message or an effect without its package.
func name(v any) string { return strings.TrimPrefix(fmt.Sprintf("%T", v), "prepare.") }
