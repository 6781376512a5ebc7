package explain

import (
	"fmt"
	"strings"
	"time"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/actors/run"
)

func (x *telling) job(id string) bool {
	for _, j := range x.f.Jobs {
		if j.ID != id {
			continue
		}
		x.is("job", j.ID, string(j.State))
		switch {
		case j.State == run.JobSettled:
			x.settled(j)
		default:
			x.underWay(j)
		}
		return true
	}
	return false
}

func (x *telling) settled(j run.Job) {
	code := j.Fault
	if j.Receipt != nil {
		if code = j.Receipt.Fault; j.Receipt.Verdict == "ok" {
			x.sum("Job %s waits for nothing: it is done, %s ago.", j.ID, span(x.f.At.Sub(j.SettledAt)))
			return
		}
		if code == "" {
			code = j.Receipt.Verdict
		}
	}
	x.sum("Job %s waits for nothing: it has failed, %s.", j.ID, x.blame(code))
	x.because("job", j.ID, "nobody", j.SettledAt, "it ended %s ago%s", span(x.f.At.Sub(j.SettledAt)), tail(j.Message))
	if retryable(code) {
		x.advise("troupe job retry " + j.ID)
	} else {
		x.advise("troupe job show "+j.ID, "troupe artifact check FILE")
	}
}

// tail is a message behind what was said.
func tail(message string) string {
	if message == "" {
		return ""
	}
	return ": " + fault.Quote(message)
}

func (x *telling) underWay(j run.Job) {
	if !j.Deadline.IsZero() && j.StartedAt.IsZero() {
		defer func() {
			x.because("job", j.ID, "who submitted it", j.SubmittedAt, "it must start before its deadline, %s", x.in(j.Deadline))
		}()
	}
	for _, g := range x.f.Guests {
		if g.Job == j.ID {
			x.guestOf("Job "+j.ID, g)
			x.advise("troupe job cancel --reason WHY " + j.ID)
			return
		}
	}
	a, known := x.artifactOfCode(j.CodeHash)
	switch {
	case known && a.State != "prepared":
		x.sum("Job %s waits for its code to be prepared.", j.ID)
		x.artifactLink(a)
		x.advise("troupe job escalate " + j.ID)
	case x.pausedQueue("jobs") || x.pausedQueue("execute") || !known && x.pausedQueue("prepare"):
		x.sum("Job %s waits for an operator: a queue is paused. It was submitted %s ago.", j.ID, span(x.f.At.Sub(j.SubmittedAt)))
		for _, name := range []string{"jobs", "execute", "prepare"} {
			if name == "prepare" && known {
				continue // its code is there
			}
			if x.pausedQueue(name) {
				x.queueLink(name, j.Priority)
			}
		}
		x.advise("troupe job cancel --reason WHY " + j.ID)
	default:
		if a, what := x.stuckActor(); what != "" {
			x.sum("Job %s waits for %s. It was submitted %s ago.", j.ID, what, span(x.f.At.Sub(j.SubmittedAt)))
			x.actorLink(a)
			x.advise("troupe job cancel --reason WHY " + j.ID)
			break
		}
		x.sum("Job %s waits for its turn in the execute queue, %s.", j.ID, x.since(j.SubmittedAt))
		x.queueLink("execute", j.Priority)
		x.advise("troupe job escalate " + j.ID)
	}
	x.hostLinks()
}

// artifactOfCode returns the entry of a code that says most of what is waited for. Manifests name the kind of a hash before it.
func (x *telling) artifactOfCode(hash string) (best inspect.Artifact, ok bool) {
	hash = strings.TrimPrefix(hash, "sha256:")
	rank := map[string]int{"preparing": 3, "failed": 2, "prepared": 1}
	for _, a := range x.f.Host.Artifacts {
		if a.CodeHash == hash && hash != "" && (!ok || rank[a.State] > rank[best.State]) {
			best, ok = a, true
		}
	}
	return best, ok
}

func (x *telling) code(hash string) {
	x.is("artifact", hash, "")
	a, ok := x.artifactOfCode(hash)
	if !ok {
		x.e.State = "absent"
		x.sum("Code %s waits for nothing: nobody has had it prepared, and it is prepared when it is needed.", short(hash))
		x.advise("troupe artifact prepare FILE")
		return
	}
	x.artifact(a)
}

func (x *telling) artifact(a inspect.Artifact) {
	x.is("artifact", a.Key, a.State)
	switch {
	case a.State == "preparing":
		x.sum("Artifact %s waits for its preparation; %s.", short(a.Key), count(a.Waiting, "request waits", "requests wait")+" for it")
		x.preparationLinks(a)
		x.hostLinks()
		x.advise("troupe artifact raise " + short(a.Key))
	case a.State == "failed":
		x.failedArtifact(a)
	case a.State == "prepared" && a.RetryAt.After(x.f.At):
		x.sum("Artifact %s waits for the end of its quarantine, %s.", short(a.Key), x.in(a.RetryAt))
		x.because("artifact", a.Key, "cache", time.Time{}, "its runs ended as suspect several times in a row, so that its code is refused for a while%s", tail(a.Message))
		x.advise("troupe artifact show "+short(a.Key), "troupe artifact evict --reason WHY "+short(a.Key))
	default:
		x.sum("Artifact %s waits for nothing: it is %s%s.", short(a.Key), a.State, inUse(a))
	}
}

func inUse(a inspect.Artifact) string {
	if a.InUse == 0 {
		return ""
	}
	return ", and " + count(a.InUse, "run uses it", "runs use it")
}

func (x *telling) failedArtifact(a inspect.Artifact) {
	words := x.blame(a.Fault)
	if a.RetryAt.IsZero() {
		x.sum("Artifact %s waits for nothing: its preparation has failed, %s.", short(a.Key), words)
		x.because("artifact", a.Key, "who made the code", a.PreparedAt, "the same code fails again in the same way%s", tail(a.Message))
		return
	}
	x.sum("Artifact %s waits for its cool-down, which ends %s: its preparation has failed, %s.", short(a.Key), x.in(a.RetryAt), words)
	x.because("artifact", a.Key, "cache", a.PreparedAt, "it has failed %s, and the next request after the cool-down tries again%s", count(a.Failures, "time", "times"), tail(a.Message))
	x.advise("troupe artifact retry " + short(a.Key))
}

func (x *telling) artifactLink(a inspect.Artifact) {
	if !x.first("artifact", a.Key) {
		return
	}
	switch a.State {
	case "preparing":
		x.because("artifact", a.Key, "prepare", a.LastNeeded, "artifact %s is being prepared for %s", short(a.Key), count(a.Waiting, "request", "requests"))
		x.preparationLinks(a)
	case "failed":
		x.because("artifact", a.Key, "cache", a.PreparedAt, "artifact %s has failed: %s%s", short(a.Key), fault.Describe(fault.Code(a.Fault)).Text, tail(a.Message))
		if a.RetryAt.After(x.f.At) {
			x.because("artifact", a.Key, "cache", a.PreparedAt, "it is in its cool-down, which ends %s", x.in(a.RetryAt))
		}
		x.advise("troupe artifact retry " + short(a.Key))
	}
}

// preparationLinks say where the preparation of an artifact stands.
func (x *telling) preparationLinks(a inspect.Artifact) {
	q, _ := x.queueNamed("prepare")
	var own *inspect.Preparation
	for i := range q.Preparations {
		if q.Preparations[i].Artifact == a.Key {
			own = &q.Preparations[i]
		}
	}
	id := short(a.Key)
	switch {
	case own == nil:
		x.because("queue", "prepare", "prepare", a.LastNeeded, "it is on its way to the prepare queue")
		x.queueLink("prepare", a.Priority)
	case own.State == "running" && own.Held != "":
		x.heldLink(own, q)
	case own.State == "running":
		x.because("worker", x.preparing(a.Key), "the preparation", own.StartedAt, "a worker prepares %s %s, of a budget of %s of CPU time", id, x.since(own.StartedAt), micros(own.BudgetCPU))
	case own.State == "held":
		x.heldLink(own, q)
	case own.State == "backoff":
		x.because("queue", "prepare", "prepare", own.Since, "the last try went wrong, and the next one is after a back-off; it waits %s", x.since(own.Since))
	case own.State == "stopping":
		x.because("worker", x.preparing(a.Key), "the worker", own.StartedAt, "its worker is being stopped")
	default:
		x.because("queue", "prepare", "prepare", own.Since, "its preparation of %s priority is queued %s, %s", own.Priority, x.since(own.Since), ahead(q, own))
		x.queueLink("prepare", own.Priority)
	}
}

func (x *telling) heldLink(own *inspect.Preparation, q inspect.Queue) {
	x.because("queue", "prepare", "prepare", own.StartedAt, "its preparation is held back (%s) while a critical one runs", fault.Quote(or(own.Held, "held")))
	for _, p := range q.Preparations {
		if p.State == "running" && p.Held == "" && p.Priority == "critical" {
			x.because("worker", x.preparing(p.Artifact), "the preparation", p.StartedAt, "artifact %s, which is critical, is prepared %s", short(p.Artifact), x.since(p.StartedAt))
		}
	}
	x.advise("troupe artifact raise --priority critical " + short(own.Artifact))
}

func or(a, b string) string {
	if a == "" {
		return b
	}
	return a
}

// ahead counts what is queued before a preparation.
func ahead(q inspect.Queue, own *inspect.Preparation) string {
	n, top := 0, ""
	for _, p := range q.Preparations {
		if p.State != "parked" || p.Job == own.Job {
			continue
		}
		if a, b := rankOf(p.Priority), rankOf(own.Priority); a > b || a == b && (p.Since.Before(own.Since) || p.Since.Equal(own.Since) && p.Job < own.Job) {
			if n++; top == "" || a > rankOf(top) {
				top = p.Priority
			}
		}
	}
	if n == 0 {
		return "and is the next"
	}
	return fmt.Sprintf("behind %d of up to %s priority", n, top)
}

func rankOf(priority string) int {
	return map[string]int{"background": 1, "normal": 2, "high": 3, "critical": 4}[strings.ToLower(priority)]
}

// preparing returns the worker that prepares an artifact, "" if it is not known.
func (x *telling) preparing(key string) string {
	for _, w := range x.f.Host.Workers {
		if w.Kind == "prepare" && w.Artifact == key {
			return w.ID
		}
	}
	return ""
}

func (x *telling) guest(id string) bool {
	for _, g := range x.f.Guests {
		if g.ID != id {
			continue
		}
		x.is("guest", g.ID, g.Stage)
		x.guestOf(fmt.Sprintf("The %s %s", or(g.Kind, "guest"), fault.Quote(g.ID)), g)
		x.hostLinks()
		if g.Worker != "" {
			x.advise("troupe worker kill --reason WHY " + g.Worker)
		}
		return true
	}
	return false
}

// guestOf tells of what is under way.
func (x *telling) guestOf(what string, g inspect.Guest) {
	x.told["guest "+g.ID] = true
	switch g.Stage {
	case "artifact-wait":
		x.sum("%s waits for its code to be prepared, %s.", what, x.since(g.Since))
		for _, a := range x.f.Host.Artifacts {
			if a.Key == g.Artifact {
				x.artifactLink(a)
				return
			}
		}
		if a, ok := x.artifactOfCode(g.CodeHash); ok {
			x.artifactLink(a)
		}
	case "received", "admitted", "queued":
		x.sum("%s waits for its turn in the execute queue, %s.", what, x.since(g.Since))
		x.queueLink("execute", g.Priority)
	case "assigned", "handshake":
		x.sum("%s waits for worker %s to begin with it, %s.", what, or(g.Worker, "of its own"), x.since(g.Since))
		x.because("worker", g.Worker, "the worker", g.Since, "the worker is %s", map[string]string{"assigned": "getting ready for its code", "handshake": "greeting the host"}[g.Stage])
	case "running":
		x.sum("%s waits for nothing but its own code: it runs %s.", what, x.since(g.Since))
		x.runningLink(g)
	default:
		x.sum("%s waits for its result to be read and delivered, %s.", what, x.since(g.Since))
		x.because("guest", g.ID, "host", g.Since, "it is at the stage %s", fault.Quote(or(g.Stage, "unknown")))
	}
}

// runningLink says what a guest may use until it is ended.
func (x *telling) runningLink(g inspect.Guest) {
	var uses []string
	if g.CPUCap > 0 {
		uses = append(uses, fmt.Sprintf("%s of %s of CPU time", micros(g.CPUMicros), micros(g.CPUCap)))
	}
	if g.GasCap > 0 {
		uses = append(uses, fmt.Sprintf("%d of %d gas", g.Gas, g.GasCap))
	}
	end := ""
	if !g.Deadline.IsZero() {
		end = ", and is ended " + x.in(g.Deadline) + " at the latest"
	}
	used := ""
	if len(uses) > 0 {
		used = ", has used " + strings.Join(uses, " and ")
	}
	x.because("guest", g.ID, "the code of "+fault.Quote(or(g.Tenant, "its tenant")), g.Since, "its code runs on worker %s %s%s%s", or(g.Worker, "?"), x.since(g.Since), used, end)
}

func micros(us int64) string { return span(durationOf(us)) }

func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
