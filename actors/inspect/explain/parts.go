package explain

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/inspect"
)

func durationOf(us int64) time.Duration { return time.Duration(us) * time.Microsecond }

func (x *telling) queueNamed(name string) (inspect.Queue, bool) {
	for _, q := range x.f.Host.Queues {
		if q.Name == name {
			return q, true
		}
	}
	return inspect.Queue{}, false
}

func parked(q inspect.Queue) (n int) {
	for _, c := range q.Parked {
		n += c
	}
	return n
}

// oldest is since when the oldest of two queues waits.
func oldest(a, b inspect.Queue) time.Time {
	if a.OldestAt.IsZero() || !b.OldestAt.IsZero() && b.OldestAt.Before(a.OldestAt) {
		return b.OldestAt
	}
	return a.OldestAt
}

func (x *telling) queue(id string) bool {
	q, ok := x.queueNamed(id)
	if !ok {
		return false
	}
	n := parked(q)
	jobs, _ := x.queueNamed("jobs")
	held := parked(jobs) // they do not begin while their runs would be refused
	state := "idle"
	switch {
	case q.Paused:
		state = "paused"
	case n > 0:
		state = "waiting"
	case q.Running > 0:
		state = "running"
	}
	x.is("queue", id, state)
	switch {
	case q.Paused && id == "execute" && held > 0:
		x.sum("The execute queue waits for an operator: it is paused, and %s for that, the oldest %s.", count(n+held, "thing waits", "things wait"), x.since(oldest(q, jobs)))
		x.because("queue", "jobs", "an operator", jobs.OldestAt, "%s in the jobs queue: jobs do not begin while the execute queue is paused", count(held, "job waits", "jobs wait"))
	case q.Paused && id == "prepare" && n == 0 && held > 0:
		x.sum("The prepare queue waits for an operator: it is paused, and %s in the jobs queue, of which those wait for it whose code is not prepared.", count(held, "job waits", "jobs wait"))
	case q.Paused:
		x.sum("The %s queue waits for an operator: it is paused, and %s.", id, count(n, "thing waits in it", "things wait in it"))
	case id == "jobs" && n > 0 && x.pausedQueue("execute"):
		x.sum("The jobs queue waits for an operator: the execute queue is paused, and %s, the oldest %s.", count(n, "job waits for that", "jobs wait for that"), x.since(q.OldestAt))
		x.queueLink("execute", "")
	case n == 0:
		runs := "nothing runs"
		if q.Running > 0 {
			runs = count(q.Running, "runs", "run")
		}
		x.sum("The %s queue waits for nothing: nothing is queued, and %s.", id, runs)
		if !x.f.Host.Draining {
			return true
		}
	case id == "jobs":
		x.sum("The jobs queue waits for room among those that run: %s queued, the oldest %s.", count(n, "is", "are"), x.since(q.OldestAt))
		x.queueLink("execute", "")
	default:
		x.sum("The %s queue waits for workers: %s queued, the oldest %s.", id, count(n, "is", "are"), x.since(q.OldestAt))
	}
	delete(x.told, "queue "+id)
	x.queueLink(id, "")
	x.hostLinks()
	return true
}

// queueLink says why a queue does not begin something of a priority.
func (x *telling) queueLink(name, priority string) {
	q, ok := x.queueNamed(name)
	if !ok || !x.first("queue", name) {
		return
	}
	if q.Paused {
		x.because("queue", name, "an operator", time.Time{}, "the %s queue is paused", name)
		x.advise("troupe queue resume " + name)
	}
	for _, a := range x.f.Host.Actors {
		if strings.HasSuffix(a.Path, "/"+name) {
			x.actorLink(a)
		}
	}
	if n := parked(q); n > 0 {
		var by []string
		for _, p := range []string{"critical", "high", "normal", "background"} {
			if c := q.Parked[p]; c > 0 {
				by = append(by, fmt.Sprintf("%d of %s", c, p))
			}
		}
		more := ""
		if q.Cap > 0 && n >= q.Cap {
			more = "; it is full, and refuses what comes"
		}
		x.because("queue", name, name, q.OldestAt, "%s in the %s queue, %s, the oldest %s%s", count(n, "thing waits", "things wait"), name, strings.Join(by, " and "), x.since(q.OldestAt), more)
	}
	limit := q.Soft
	if priority == "critical" {
		limit = q.Hard
	}
	if limit > 0 && q.Running >= limit {
		x.because("queue", name, name, time.Time{}, "all %d workers of the %s queue are busy", limit, name)
		x.busyLinks(name)
	}
}

func (x *telling) pausedQueue(name string) bool {
	q, ok := x.queueNamed(name)
	return ok && q.Paused
}

// busyLinks names what keeps the workers of a queue busy, the longest first.
func (x *telling) busyLinks(name string) {
	var busy []inspect.Worker
	for _, w := range x.f.Host.Workers {
		if w.Kind == name && w.State == "busy" {
			busy = append(busy, w)
		}
	}
	slices.SortFunc(busy, func(a, b inspect.Worker) int { return a.Since.Compare(b.Since) })
	for _, w := range busy[:min(len(busy), 3)] {
		x.workerLink(w)
	}
	if len(busy) > 0 {
		x.advise("troupe worker show " + busy[0].ID)
	}
}

func (x *telling) workerLink(w inspect.Worker) {
	if !x.first("worker", w.ID) {
		return
	}
	for _, g := range x.f.Guests {
		if g.Worker == w.ID && g.Stage == "running" {
			x.because("worker", w.ID, "the code of "+fault.Quote(or(g.Tenant, "its tenant")), g.Since, "the guest %s of %s runs on worker %s %s", fault.Quote(g.ID), fault.Quote(or(g.Tenant, "?")), w.ID, x.since(g.Since))
			return
		}
	}
	what := "is busy"
	if w.Artifact != "" {
		what = map[string]string{"prepare": "prepares ", "execute": "runs "}[w.Kind] + short(w.Artifact)
	}
	x.because("worker", w.ID, "the code of "+fault.Quote(or(w.Tenant, "its tenant")), w.Since, "worker %s %s %s", w.ID, what, x.since(w.Since))
}

func (x *telling) worker(id string) bool {
	for _, w := range x.f.Host.Workers {
		if w.ID != id {
			continue
		}
		x.is("worker", w.ID, w.State)
		switch w.State {
		case "busy":
			x.sum("Worker %s waits for the code that it runs, %s.", w.ID, x.since(w.Since))
			delete(x.told, "worker "+w.ID)
			x.workerLink(w)
			x.advise("troupe worker recycle "+w.ID, "troupe worker kill --reason WHY "+w.ID)
		case "starting":
			x.sum("Worker %s waits for its process to greet the host, %s.", w.ID, x.since(w.Since))
			x.because("worker", w.ID, "the worker process "+strconv.Itoa(w.PID), w.Since, "its process confines itself and greets the host")
		default:
			x.sum("Worker %s waits for work: it is %s %s.", w.ID, w.State, x.since(w.Since))
		}
		if w.Recycle != "" {
			x.because("worker", w.ID, "pool", w.Since, "it ends when it is idle: %s", fault.Quote(w.Recycle))
		}
		return true
	}
	return false
}

// stuckActor returns the first actor on the way of a job that does not go on by itself, and in words what that waits for.
func (x *telling) stuckActor() (inspect.Actor, string) {
	for _, a := range x.f.Host.Actors {
		if !slices.Contains([]string{"jobs", "cache", "prepare", "execute"}, a.Path[strings.LastIndexByte(a.Path, '/')+1:]) {
			continue
		}
		switch {
		case a.Paused:
			return a, "an operator: actor " + a.Path + " is paused"
		case a.State == "gave_up":
			return a, "an operator: actor " + a.Path + " was given up"
		case a.State == "backoff":
			return a, "the restart of actor " + a.Path
		case a.State == "busy" && x.f.At.Sub(a.HandledAt) >= time.Second:
			return a, "the handler of actor " + a.Path
		}
	}
	return inspect.Actor{}, ""
}

func (x *telling) actor(id string) bool {
	for _, a := range x.f.Host.Actors {
		if a.Path != id {
			continue
		}
		x.is("actor", a.Path, a.State)
		name := "Actor " + fault.Quote(a.Path)
		switch {
		case a.Paused:
			x.sum("%s waits for an operator: its work lane is paused, with %s in its mailbox.", name, count(a.Depth, "message", "messages"))
		case a.State == "backoff":
			x.blameText(a.LastFault)
			x.sum("%s waits for its restart, %s: it has failed %d of %d times.", name, x.in(a.NextRestart), a.Restarts, a.MaxRestarts)
		case a.State == "gave_up":
			x.blameText(a.LastFault)
			x.sum("%s waits for nothing any more: it failed too often and was given up, and the host ends.", name)
		case a.State == "busy":
			x.sum("%s waits for its handler: it handles %s %s.", name, fault.Quote(a.Handling), x.since(a.HandledAt))
		case a.State == "starting" || a.State == "stopping":
			x.sum("%s waits until it has finished %s, %s.", name, a.State, x.since(a.Since))
		case a.Requests > 0:
			x.sum("%s waits for %s of others.", name, count(a.Requests, "answer", "answers"))
		case a.Timers > 0 && !a.NextTimer.IsZero():
			x.sum("%s waits for a timer, which fires %s.", name, x.in(a.NextTimer))
		default:
			x.sum("%s waits for nothing: it is idle, and a message would be handled at once.", name)
			return true
		}
		delete(x.told, "actor "+a.Path)
		x.actorLink(a)
		x.hostLinks()
		return true
	}
	return false
}

// blameText finds the class in the text of a fault that an actor had.
func (x *telling) blameText(text string) {
	if text == "" {
		return
	}
	x.e.Blame = fault.Bug.String()
	best := ""
	for _, c := range fault.Codes() {
		if d := fault.Describe(c); len(d.Text) > len(best) && strings.Contains(text, d.Text) {
			best, x.e.Blame = d.Text, d.Class.String()
		}
	}
}

func (x *telling) actorLink(a inspect.Actor) {
	if !x.first("actor", a.Path) {
		return
	}
	switch {
	case a.Paused:
		x.because("actor", a.Path, "an operator", a.Since, "actor %s is paused: its work lane waits", a.Path)
		x.advise("troupe actor resume " + a.Path)
	case a.State == "backoff":
		x.because("actor", a.Path, "its supervisor", a.Since, "actor %s is in back-off and restarts %s%s", a.Path, x.in(a.NextRestart), tail(a.LastFault))
	case a.State == "gave_up":
		x.because("actor", a.Path, "an operator", a.Since, "actor %s was given up%s", a.Path, tail(a.LastFault))
		x.advise("restart the host, and report the log")
	case a.State == "busy" && x.f.At.Sub(a.HandledAt) >= time.Second:
		x.because("actor", a.Path, "the handler of "+fault.Quote(a.Handling), a.HandledAt, "actor %s handles %s %s", a.Path, fault.Quote(a.Handling), x.since(a.HandledAt))
		x.advise("troupe actor show "+a.Path, "troupe actor restart "+a.Path)
	}
	if a.Depth > 0 && !a.OldestSince.IsZero() {
		x.because("actor", a.Path, a.Path, a.OldestSince, "%s in its mailbox, the oldest %s", count(a.Depth, "message waits", "messages wait"), x.since(a.OldestSince))
	}
}

// silent tells of a thing that nobody who answers has heard of, when those who may know of it do not answer.
func (x *telling) silent(id string) {
	x.is("unknown", id, "unknown")
	x.sum("It is not known what %s is: these do not answer, and may know: %s.", fault.QuoteTo(id, 128), strings.Join(x.f.Silent, ", "))
	for _, path := range x.f.Silent {
		if n := slices.IndexFunc(x.f.Host.Actors, func(a inspect.Actor) bool { return a.Path == path }); n >= 0 {
			x.actorLink(x.f.Host.Actors[n])
		}
		x.advise("troupe actor show " + path)
	}
}

// hostLinks are the reasons for which the whole host begins nothing.
func (x *telling) hostLinks() {
	h := x.f.Host
	if !x.first("host", "") {
		return
	}
	if h.Draining {
		x.because("host", h.Name, "an operator", time.Time{}, "the host is draining: it begins nothing new, and what was accepted begins again with the next host")
		x.advise("troupe serve, when it has ended")
	}
	if t := h.Store.ReadOnlySince; !t.IsZero() {
		x.because("host", "disk", "an operator", t, "free disk space is below the reserve (%d of %d MiB): nothing is written", h.Store.FreeBytes>>20, h.Store.ReserveBytes>>20)
		x.advise("free some disk space: the host goes on by itself")
	}
	for _, w := range h.Health {
		switch w.Code {
		case "jobs.unwritten":
			x.because("host", w.Code, "host", w.Since, "%s", fault.Quote(w.Message))
			x.advise(w.Hint)
		}
	}
}

func (x *telling) letter(id string) bool {
	for _, l := range x.f.Letters {
		if l.ID == "" || l.ID != id {
			continue
		}
		x.is("letter", l.ID, "dead")
		x.sum("The message %s waits for an operator: it was not delivered, %s.", fault.Quote(l.Type), x.blame(l.Code))
		x.because("actor", l.Actor, "an operator", l.At, "it was for %s%s", fault.Quote(l.Actor), tail(l.Reason))
		if l.Replayable {
			x.advise("troupe dead replay " + l.ID)
		}
		x.advise("troupe dead drop " + l.ID)
		return true
	}
	return false
}
