package cli

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/artifacts"
	"github.com/troupehost/troupe/host/control/api"
	"github.com/troupehost/troupe/host/control/client"
)

// The lists of a host. Each number has its unit and its window, and each time is how long ago it was.

var actorList = listing[inspect.Actor]{
	view: "actors", plural: "actors", id: func(x inspect.Actor) string { return x.Path },
	page: func(c *client.Client, ctx context.Context, f client.Find) (api.Page[inspect.Actor], error) {
		return c.Actors(ctx, f)
	},
	columns: []cellOf[inspect.Actor]{
		at("ACTOR", func(x inspect.Actor) string { return x.Path }),
		at("STATE", actorState),
		at("SINCE", func(x inspect.Actor) string { return since(x.Since) }),
		at("MAILBOX", func(x inspect.Actor) string { return fmt.Sprintf("%d of %d", x.Depth, x.Cap) }),
		at("OLDEST", func(x inspect.Actor) string { return since(x.OldestSince) }),
		at("HANDLED", handledText),
		at("P99", func(x inspect.Actor) string { return spanOrNone(x.Handler.P99Micros) }),
		at("RESTARTS", func(x inspect.Actor) string { return fmt.Sprintf("%d of %d", x.Restarts, x.MaxRestarts) }),
		at("LAST FAULT", func(x inspect.Actor) string { return x.LastFault }),
		wider("KIND", func(x inspect.Actor) string { return x.Kind }),
		wider("APP", func(x inspect.Actor) string { return x.App }),
		wider("REFUSED (TOTAL)", func(x inspect.Actor) string { return fmt.Sprint(x.Refused) }),
		wider("DROPPED (TOTAL)", func(x inspect.Actor) string { return fmt.Sprint(sum(x.Dropped)) }),
		wider("TIMERS", func(x inspect.Actor) string { return fmt.Sprint(x.Timers) }),
		wider("TASKS", func(x inspect.Actor) string { return fmt.Sprint(x.Tasks) }),
		wider("LOG LEVEL", func(x inspect.Actor) string { return x.LogLevel }),
		wider("INCARNATION", func(x inspect.Actor) string { return fmt.Sprint(x.Incarnation) }),
	},
}

// actorState says what an actor does, and what of.
func actorState(x inspect.Actor) string {
	text := x.State
	if x.Handling != "" {
		text += " " + x.Handling + " for " + since(x.HandledAt)
	}
	if !x.NextRestart.IsZero() {
		text += " for " + untilText(x.NextRestart)
	}
	if x.Paused {
		text += ", paused"
	}
	return text
}

// handledText is a rate if somebody watches, and the total otherwise.
func handledText(x inspect.Actor) string {
	if x.Rates != nil {
		return manyText(uint64(x.Rates.Handled.S10*10+0.5)) + "/10s"
	}
	return manyText(x.Handled) + " total"
}

// manyText prints a count for people.
func manyText(n uint64) string {
	for i, unit := range []string{"", "k", "M", "G"} {
		v := float64(n)
		for range i {
			v /= 1000
		}
		switch {
		case i == 0 && n < 1000:
			return strconv.FormatUint(n, 10)
		case i > 0 && (v < 1000 || unit == "G"):
			return strconv.FormatFloat(v, 'f', 1, 64) + unit
		}
	}
	return strconv.FormatUint(n, 10)
}

func spanOrNone(us int64) string {
	if us == 0 {
		return ""
	}
	return micros(us)
}

// untilText prints how long it is until a time.
func untilText(t time.Time) string {
	if d := time.Until(t); d > time.Second {
		return d.Round(time.Second).String()
	}
	return "a moment"
}

func sum(n map[string]uint64) (all uint64) {
	for _, v := range n {
		all += v
	}
	return all
}

var workerList = listing[inspect.Worker]{
	view: "workers", plural: "workers", id: func(x inspect.Worker) string { return x.ID },
	page: func(c *client.Client, ctx context.Context, f client.Find) (api.Page[inspect.Worker], error) {
		return c.Workers(ctx, f)
	},
	columns: []cellOf[inspect.Worker]{
		at("WORKER", func(x inspect.Worker) string { return x.ID }),
		at("KIND", func(x inspect.Worker) string { return x.Kind }),
		at("PID", func(x inspect.Worker) string { return fmt.Sprint(x.PID) }),
		at("STATE", func(x inspect.Worker) string { return x.State }),
		at("SINCE", func(x inspect.Worker) string { return since(x.Since) }),
		at("DOES", func(x inspect.Worker) string { return cmp.Or(x.Job, x.App) }),
		{head: "ARTIFACT", text: func(x inspect.Worker, wide bool) string { return shortUnless(wide, x.Artifact) }},
		at("RUNS (TOTAL)", func(x inspect.Worker) string { return fmt.Sprint(x.Runs) }),
		at("CPU", func(x inspect.Worker) string { return spanOrNone(x.CPUMicros) }),
		at("RSS", func(x inspect.Worker) string { return sizeOrNone(x.RSSBytes) }),
		at("SANDBOX", func(x inspect.Worker) string { return levelText(x.Sandbox) }),
		wider("TENANT", func(x inspect.Worker) string { return x.Tenant }),
		wider("UP", func(x inspect.Worker) string { return since(x.StartedAt) }),
		wider("RECYCLE", func(x inspect.Worker) string { return x.Recycle }),
		wider("BUILD", func(x inspect.Worker) string { return x.BuildID }),
	},
}

func shortUnless(wide bool, id string) string {
	if wide {
		return id
	}
	return short(id)
}

func sizeOrNone(n int64) string {
	if n == 0 {
		return ""
	}
	return sizeText(n)
}

var queueList = listing[inspect.Queue]{
	view: "queues", plural: "queues", id: func(x inspect.Queue) string { return x.Name },
	page: func(c *client.Client, ctx context.Context, f client.Find) (api.Page[inspect.Queue], error) {
		return c.Queues(ctx, f)
	},
	columns: []cellOf[inspect.Queue]{
		at("QUEUE", func(x inspect.Queue) string { return x.Name }),
		at("STATE", func(x inspect.Queue) string {
			if x.Paused {
				return "paused"
			}
			return "open"
		}),
		at("WAITING", func(x inspect.Queue) string { return fmt.Sprintf("%d of %d", total(x.Parked), x.Cap) }),
		at("OLDEST", func(x inspect.Queue) string { return since(x.OldestAt) }),
		at("RUNNING", func(x inspect.Queue) string { return fmt.Sprint(x.Running) }),
		at("WORKERS", func(x inspect.Queue) string { return fmt.Sprintf("%d of %d", x.Workers, x.Hard) }),
		at("REFUSED (TOTAL)", func(x inspect.Queue) string { return fmt.Sprint(x.Refused) }),
		wider("BY PRIORITY", func(x inspect.Queue) string { return countsText(x.Parked) }),
	},
}

var letterList = listing[inspect.Letter]{
	view: "dead", plural: "letters", id: func(x inspect.Letter) string { return x.ID },
	page: func(c *client.Client, ctx context.Context, f client.Find) (api.Page[inspect.Letter], error) {
		return c.DeadLetters(ctx, f)
	},
	columns: []cellOf[inspect.Letter]{
		at("LETTER", func(x inspect.Letter) string { return x.ID }),
		at("SINCE", func(x inspect.Letter) string { return since(x.At) }),
		at("ACTOR", func(x inspect.Letter) string { return x.Actor }),
		at("TYPE", func(x inspect.Letter) string { return x.Type }),
		at("CODE", func(x inspect.Letter) string { return x.Code }),
		at("REPLAY", func(x inspect.Letter) string {
			if x.Replayable {
				return "possible"
			}
			return ""
		}),
		wider("LANE", func(x inspect.Letter) string { return x.Lane }),
		wider("CAUSE", func(x inspect.Letter) string { return x.Cause }),
		at("REASON", func(x inspect.Letter) string { return x.Reason }),
	},
}

// waitingList is what a mailbox holds.
var waitingList = listing[inspect.Letter]{
	view: "mailbox", plural: "letters", id: func(x inspect.Letter) string { return x.Type },
	columns: []cellOf[inspect.Letter]{
		at("WAITS", func(x inspect.Letter) string { return since(x.At) }),
		at("LANE", func(x inspect.Letter) string { return x.Lane }),
		at("TYPE", func(x inspect.Letter) string { return x.Type }),
		at("CAUSE", func(x inspect.Letter) string { return x.Cause }),
	},
}

var failureList = listing[api.Failing]{
	view: "failures", plural: "failures", id: func(x api.Failing) string { return x.ID },
	page: func(c *client.Client, ctx context.Context, f client.Find) (api.Page[api.Failing], error) {
		return c.Failures(ctx, f)
	},
	columns: []cellOf[api.Failing]{
		at("BLAME", func(x api.Failing) string { return x.Blame }),
		at("KIND", func(x api.Failing) string { return x.Kind }),
		{head: "ID", text: func(x api.Failing, wide bool) string {
			if x.Kind == "artifact" || x.Kind == "app" {
				return shortUnless(wide, x.ID)
			}
			return x.ID
		}},
		at("CODE", func(x api.Failing) string { return x.Code }),
		at("SINCE", func(x api.Failing) string { return since(x.At) }),
		at("RETRY", func(x api.Failing) string {
			switch {
			case !x.RetryAt.IsZero():
				return "in " + untilText(x.RetryAt)
			case x.Retryable:
				return "possible"
			}
			return ""
		}),
		wider("TENANT", func(x api.Failing) string { return x.Tenant }),
		at("MESSAGE", func(x api.Failing) string { return x.Message }),
	},
}

var auditList = listing[api.Audit]{
	view: "audit", plural: "entries", id: func(x api.Audit) string { return fmt.Sprint(x.Seq) },
	page: func(c *client.Client, ctx context.Context, f client.Find) (api.Page[api.Audit], error) {
		return c.Audit(ctx, f)
	},
	columns: []cellOf[api.Audit]{
		at("SEQ", func(x api.Audit) string { return fmt.Sprint(x.Seq) }),
		at("AT", func(x api.Audit) string { return clock(x.At) }),
		at("CALLER", func(x api.Audit) string { return x.Caller }),
		at("OUTCOME", func(x api.Audit) string {
			if x.DryRun {
				return x.Outcome + ", dry run"
			}
			return x.Outcome
		}),
		at("VERB", func(x api.Audit) string { return cmp.Or(x.Verb, x.Route) }),
		at("TARGET", func(x api.Audit) string { return x.Target }),
		at("CODE", func(x api.Audit) string { return x.Code }),
		at("REASON", func(x api.Audit) string { return x.Reason }),
		wider("ORIGIN", func(x api.Audit) string { return x.Origin }),
		wider("ROUTE", func(x api.Audit) string { return x.Route }),
		wider("PLAN", func(x api.Audit) string { return x.Plan }),
	},
}

var jobList = listing[run.Job]{
	view: "jobs", plural: "jobs", id: func(j run.Job) string { return j.ID },
	columns: []cellOf[run.Job]{
		at("JOB", func(j run.Job) string { return j.ID }),
		at("STATE", func(j run.Job) string { return j.Shown() }),
		at("PRIORITY", func(j run.Job) string { return j.Priority }),
		at("AGE", func(j run.Job) string { return since(j.SubmittedAt) }),
		at("CODE", func(j run.Job) string { return short(j.CodeHash) }),
		at("VERDICT", func(j run.Job) string { verdict, _, _ := ending(j); return verdict }),
		at("FAULT", func(j run.Job) string { _, code, _ := ending(j); return code }),
		wider("TENANT", func(j run.Job) string { return j.Tenant }),
		wider("STARTS", func(j run.Job) string { return fmt.Sprint(j.Starts) }),
		wider("KEY", func(j run.Job) string { return j.Key }),
		wider("VALIDITY", func(j run.Job) string { return j.Validity }),
		wider("RETRY OF", func(j run.Job) string { return j.RetryOf }),
		wider("DEADLINE", func(j run.Job) string { return clock(j.Deadline) }),
		wider("EXPIRES", func(j run.Job) string { return clock(j.ExpiresAt) }),
		wider("MESSAGE", func(j run.Job) string { _, _, message := ending(j); return message }),
	},
}

var artifactList = listing[inspect.Artifact]{
	view: "artifacts", plural: "artifacts", id: func(x inspect.Artifact) string { return x.Key },
	columns: []cellOf[inspect.Artifact]{
		{head: "KEY", text: func(x inspect.Artifact, wide bool) string { return shortUnless(wide, x.Key) }},
		at("STATE", func(x inspect.Artifact) string {
			if x.State == artifacts.Prepared.String() && !x.Stored {
				return x.State + ", unstored"
			}
			return x.State
		}),
		at("SIZE", func(x inspect.Artifact) string { return sizeText(x.Bytes) }),
		{head: "CODE", text: func(x inspect.Artifact, wide bool) string { return shortUnless(wide, x.CodeHash) }},
		at("IN USE", func(x inspect.Artifact) string { return fmt.Sprint(x.InUse) }),
		at("PINS", func(x inspect.Artifact) string { return fmt.Sprint(len(x.Pins)) }),
		at("LAST NEEDED", func(x inspect.Artifact) string { return ago(x.LastNeeded) }),
		wider("WAITING", func(x inspect.Artifact) string { return fmt.Sprint(x.Waiting) }),
		wider("PREPARED", func(x inspect.Artifact) string { return ago(x.PreparedAt) }),
		wider("FAILURES", func(x inspect.Artifact) string { return fmt.Sprint(x.Failures) }),
		at("FAULT", func(x inspect.Artifact) string { return x.Fault }),
	},
}

var appList = listing[inspect.App]{
	view: "apps", plural: "apps", id: func(x inspect.App) string { return x.Address },
	columns: []cellOf[inspect.App]{
		{head: "APP", text: func(x inspect.App, wide bool) string { return shortUnless(wide, x.Address) }},
		at("LABEL", func(x inspect.App) string { return x.Label }),
		at("STATE", func(x inspect.App) string { return x.State }),
		at("RUNNING", func(x inspect.App) string { return fmt.Sprintf("%d of %d", x.Running, x.Wanted) }),
		at("WAITING", func(x inspect.App) string { return fmt.Sprint(x.Queued) }),
		at("ENTRY", func(x inspect.App) string { return x.Entry }),
		at("DEPLOYED", func(x inspect.App) string { return since(x.Deployed) }),
		at("LAST QUERY", func(x inspect.App) string { return since(x.LastQuery) }),
		wider("TENANT", func(x inspect.App) string { return x.Tenant }),
		wider("REUSE", func(x inspect.App) string { return x.Reuse }),
		wider("ACTIVE", func(x inspect.App) string { return fmt.Sprint(x.Active) }),
		wider("RESTARTS", func(x inspect.App) string { return fmt.Sprint(x.Restarts) }),
		wider("REFUSED (TOTAL)", func(x inspect.App) string { return fmt.Sprint(x.Refused) }),
		wider("WEIGHT", func(x inspect.App) string { return fmt.Sprint(x.Weight) }),
		wider("CODE", func(x inspect.App) string { return x.CodeHash }),
		wider("SESSION", func(x inspect.App) string { return x.Session }),
		wider("REASON", func(x inspect.App) string { return x.Reason }),
	},
}

var guestList = listing[inspect.Guest]{
	view: "guests", plural: "guests", id: func(x inspect.Guest) string { return x.ID },
	page: func(c *client.Client, ctx context.Context, f client.Find) (api.Page[inspect.Guest], error) {
		return c.Guests(ctx, f)
	},
	columns: []cellOf[inspect.Guest]{
		at("GUEST", func(x inspect.Guest) string { return x.ID }),
		at("KIND", func(x inspect.Guest) string { return x.Kind }),
		at("STAGE", func(x inspect.Guest) string { return x.Stage }),
		at("SINCE", func(x inspect.Guest) string { return since(x.Since) }),
		at("WORKER", func(x inspect.Guest) string { return x.Worker }),
		at("CPU", func(x inspect.Guest) string { return ofLimit(spanOrNone(x.CPUMicros), spanOrNone(x.CPUCap)) }),
		at("MEMORY", func(x inspect.Guest) string { return ofLimit(sizeOrNone(x.MemoryBytes), sizeOrNone(x.MemoryCap)) }),
		at("GAS", func(x inspect.Guest) string {
			return ofLimit(manyOrNone(x.Gas), manyOrNone(x.GasCap))
		}),
		at("PRIORITY", func(x inspect.Guest) string { return x.Priority }),
		at("TENANT", func(x inspect.Guest) string { return x.Tenant }),
		wider("ENGINE", func(x inspect.Guest) string { return x.Engine }),
		wider("PEAK", func(x inspect.Guest) string { return sizeOrNone(x.MemoryPeak) }),
		wider("DEADLINE", func(x inspect.Guest) string { return clock(x.Deadline) }),
		wider("HANDLES", func(x inspect.Guest) string { return fmt.Sprint(x.Handles) }),
		wider("HOST CALLS", func(x inspect.Guest) string { return callsText(x.Calls) }),
		wider("ARTIFACT", func(x inspect.Guest) string { return x.Artifact }),
		wider("CAUSE", func(x inspect.Guest) string { return x.Cause }),
	},
}

func ofLimit(used, most string) string {
	if used != "" && most != "" {
		return used + " of " + most
	}
	return used
}

func manyOrNone(n int64) string {
	if n <= 0 {
		return ""
	}
	return manyText(uint64(n))
}

// callsText tells how often each import was called, the busiest first.
func callsText(n map[string]int64) string {
	names := slices.SortedFunc(maps.Keys(n), func(x, y string) int { return cmp.Or(cmp.Compare(n[y], n[x]), cmp.Compare(x, y)) })
	var parts []string
	for _, name := range names {
		parts = append(parts, fmt.Sprintf("%s %d", name, n[name]))
	}
	return strings.Join(parts, ", ")
}
