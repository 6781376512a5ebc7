package tui

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/host/control/api"
)

// specs are all views, in the order of their numbers.
func specs() []*spec {
	tree := actorView()
	tree.name, tree.sorted = "tree", "path"
	all := []*spec{
		{name: "overview", watch: "overview", decode: decodeAs[inspect.Host], title: "hosts", kind: "node"}, tree, actorView(), jobView(), queueView(), artifactView(), workerView(), guestView(),
		deadView(), failureView(), traceView(), {name: "chain", watch: "chain", decode: decodeAs[inspect.ChainView], title: "chains", kind: "chain", empty: "this host has no chain"},
		outboxView(), demandView(), appView(), healthView(), logView(), auditView(),
	}
	for i, s := range all[:9] {
		s.key = strconv.Itoa(i + 1)
	}
	return all
}

func state(s string) (string, style) {
	switch s {
	case "backoff", "gave_up", "failed", "stopped", "lost", "stopping":
		return safe(s), bad
	case "busy", "running", "preparing", "starting", "queued", "waiting":
		return safe(s), warn
	case "prepared", "settled", "ready", "done":
		return safe(s), good
	}
	return dash(safe(s)), normal
}

func faulted(code string) (string, style) {
	if code == "" {
		return "-", dim
	}
	return safe(code), bad
}

func actorView() *spec {
	type A = inspect.Actor
	return &spec{
		name: "actors", watch: "actors", kind: "actor", title: "actors", decode: decodeAs[A], sorted: "path", pane: actorPane, empty: "no actor matches",
		columns: []column{
			col("ACTOR", 18, 99, "path", func(_ *scene, a A) (string, style) { return shortPath(a.Path), normal }).growing(),
			col("KIND", 14, 20, "kind", func(_ *scene, a A) (string, style) { return safe(a.Kind), dim }),
			col("STATE", 10, 95, "state", func(_ *scene, a A) (string, style) {
				if a.Paused {
					return "paused", warn
				}
				return state(a.State)
			}),
			col("SINCE", 7, 60, "age", func(c *scene, a A) (string, style) { return age(c.now, a.Since), normal }),
			num("MAILBOX", 8, 90, "mailbox", func(a A) float64 { return float64(a.Depth) }, func(_ *scene, a A) (string, style) {
				how := normal
				if a.Cap > 0 && a.Depth*5 >= a.Cap*4 {
					how = bad
				} else if a.Depth > 0 {
					how = warn
				}
				return part(a.Depth, a.Cap), how
			}),
			num("OLDEST", 7, 80, "oldest", func(a A) float64 { return float64(a.OldestSince.Unix()) }, func(c *scene, a A) (string, style) {
				if a.Depth == 0 && a.OldestSince.IsZero() {
					return "-", dim
				}
				how := normal
				if c.now.Sub(a.OldestSince) > 5*time.Second {
					how = bad
				}
				return age(c.now, a.OldestSince), how
			}).still(),
			num("HANDLED/s 10s", 13, 50, "rate", func(a A) float64 {
				if a.Rates == nil {
					return 0
				}
				return a.Rates.Handled.S10
			}, func(_ *scene, a A) (string, style) {
				if a.Rates == nil {
					return "-", dim
				}
				return count(a.Rates.Handled.S10), normal
			}),
			num("P99", 7, 40, "p99", func(a A) float64 { return float64(a.Handler.P99Micros) }, func(_ *scene, a A) (string, style) { return micros(a.Handler.P99Micros), normal }).still(),
			num("RESTARTS", 8, 55, "restarts", func(a A) float64 { return float64(a.Restarts) }, func(_ *scene, a A) (string, style) {
				if a.Restarts > 0 {
					return part(a.Restarts, a.MaxRestarts), warn
				}
				return part(a.Restarts, a.MaxRestarts), dim
			}),
			col("LAST FAULT", 20, 65, "fault", func(_ *scene, a A) (string, style) { return faulted(a.LastFault) }),
		},
	}
}

// still is a number whose marker would say nothing, since it moves all the time.
func (k column) still() column { k.num = nil; return k }

func actorPane(c *scene, r *row) []line {
	a, ok := r.v.(inspect.Actor)
	if !ok {
		return nil
	}
	first := line{{"incarnation ", dim}, {strconv.FormatUint(a.Incarnation, 10), normal}, {"  accepted ", dim}, {count(float64(a.Accepted)) + " total", normal},
		{"  refused ", dim}, {count(float64(a.Refused)) + " total", normal}}
	for _, l := range a.Lanes {
		if l.Depth > 0 || l.Name == "work" {
			first = first.add(dim, "  "+safe(l.Name)+" ").add(normal, part(l.Depth, l.Cap))
		}
	}
	second := line{}
	switch {
	case a.Handling != "":
		second = second.add(dim, "handling ").add(warn, safe(a.Handling)).add(dim, " for ").add(warn, age(c.now, a.HandledAt))
	case a.State == "backoff":
		second = second.add(dim, "restarts ").add(warn, until(c.now, a.NextRestart))
	default:
		second = second.add(dim, "waits for messages")
	}
	return []line{first, second}
}

func jobView() *spec {
	type J = run.Job
	return &spec{
		name: "jobs", watch: "jobs", kind: "job", title: "jobs", decode: decodeAs[J], pane: jobPane, empty: "no job matches", sorted: "-submitted",
		columns: []column{
			col("JOB", 26, 99, "id", func(_ *scene, j J) (string, style) { return safe(j.ID), normal }).growing(),
			col("STATE", 9, 95, "state", func(_ *scene, j J) (string, style) { return state(j.Shown()) }),
			col("PRIORITY", 10, 90, "priority", func(_ *scene, j J) (string, style) {
				if j.Priority == "critical" || j.Priority == "high" {
					return safe(j.Priority), accent
				}
				return safe(j.Priority), normal
			}),
			col("AGE", 7, 85, "age", func(c *scene, j J) (string, style) { return age(c.now, j.SubmittedAt), normal }),
			col("RAN", 7, 50, "running_for", func(c *scene, j J) (string, style) {
				switch {
				case j.StartedAt.IsZero():
					return "-", dim
				case !j.SettledAt.IsZero():
					return span(j.SettledAt.Sub(j.StartedAt)), normal
				}
				return age(c.now, j.StartedAt), warn
			}),
			col("VERDICT", 8, 80, "verdict", func(_ *scene, j J) (string, style) {
				verdict, _, _ := ending(j)
				if verdict == "ok" {
					return verdict, good
				}
				return dash(verdict), bad
			}),
			col("FAULT", 18, 60, "fault", func(_ *scene, j J) (string, style) { _, code, _ := ending(j); return faulted(code) }),
			col("TENANT", 10, 40, "tenant", func(_ *scene, j J) (string, style) { return safe(j.Tenant), dim }),
			num("STARTS", 6, 20, "starts", func(j J) float64 { return float64(j.Starts) }, func(_ *scene, j J) (string, style) { return strconv.Itoa(j.Starts), normal }),
			col("CODE", 12, 30, "code", func(_ *scene, j J) (string, style) { return short(j.CodeHash), dim }),
		},
	}
}

// ending tells how a job was settled.
func ending(j run.Job) (verdict, code, message string) {
	switch {
	case j.State != run.JobSettled:
		return "", "", ""
	case j.Receipt != nil:
		return safe(j.Receipt.Verdict), j.Receipt.Fault, j.Receipt.Message
	}
	class, _, _ := strings.Cut(j.Fault, ".")
	return safe(class), j.Fault, j.Message
}

func jobPane(c *scene, r *row) []line {
	j, ok := r.v.(run.Job)
	if !ok {
		return nil
	}
	first := line{{"code ", dim}, {short(j.CodeHash), normal}}
	if j.Key != "" {
		first = first.add(dim, "  key ").add(normal, safe(j.Key))
	}
	if j.RetryOf != "" {
		first = first.add(dim, "  repeats ").add(normal, safe(j.RetryOf))
	}
	_, code, message := ending(j)
	second := line{{"enter: its time by stage   w: what it waits for", dim}}
	if code != "" {
		second = line{{safe(code) + "  ", bad}, {safe(message), normal}}
	}
	return []line{first, second}
}

func queueView() *spec {
	type Q = inspect.Queue
	parked := func(q Q) (n int) {
		for _, v := range q.Parked {
			n += v
		}
		return n
	}
	by := func(head, priority string) column {
		return num(head, 5, 40, "", func(q Q) float64 { return float64(q.Parked[priority]) }, func(_ *scene, q Q) (string, style) { return strconv.Itoa(q.Parked[priority]), normal })
	}
	return &spec{
		name: "queues", watch: "queues", kind: "queue", title: "queues", decode: decodeAs[Q], empty: "no queue matches",
		columns: []column{
			col("QUEUE", 8, 99, "name", func(_ *scene, q Q) (string, style) { return safe(q.Name), normal }).growing(),
			col("INTAKE", 6, 95, "paused", func(_ *scene, q Q) (string, style) {
				if q.Paused {
					return "paused", warn
				}
				return "open", good
			}),
			num("PARKED", 9, 90, "parked", func(q Q) float64 { return float64(parked(q)) }, func(_ *scene, q Q) (string, style) {
				if n := parked(q); q.Cap > 0 && n*5 >= q.Cap*4 {
					return part(n, q.Cap), bad
				}
				return part(parked(q), q.Cap), normal
			}),
			by("CRIT", "critical"), by("HIGH", "high"), by("NORM", "normal"), by("BACK", "background"),
			num("RUNNING", 7, 80, "running", func(q Q) float64 { return float64(q.Running) }, func(_ *scene, q Q) (string, style) { return strconv.Itoa(q.Running), normal }),
			col("WORKERS", 8, 60, "workers", func(_ *scene, q Q) (string, style) {
				return strconv.Itoa(q.Workers) + "/" + strconv.Itoa(q.Soft) + "/" + strconv.Itoa(q.Hard), normal
			}),
			col("OLDEST", 7, 85, "age", func(c *scene, q Q) (string, style) { return age(c.now, q.OldestAt), normal }),
			num("REFUSED total", 13, 50, "refused", func(q Q) float64 { return float64(q.Refused) }, func(_ *scene, q Q) (string, style) { return count(float64(q.Refused)), normal }),
		},
		pane: func(_ *scene, r *row) []line {
			q, _ := r.v.(Q)
			lines := []line{{{"workers are: there / wanted at most / allowed at most", dim}}}
			if n := len(q.Preparations); n > 0 {
				lines = append(lines, styled(dim, plural(n, "preparation")+" under way: enter lists them"))
			}
			return lines
		},
	}
}

func artifactView() *spec {
	type A = inspect.Artifact
	n := func(head string, keep int, field string, f func(A) int) column {
		return num(head, len(head), keep, field, func(a A) float64 { return float64(f(a)) }, func(_ *scene, a A) (string, style) { return strconv.Itoa(f(a)), normal })
	}
	return &spec{
		name: "artifacts", watch: "artifacts", kind: "artifact", title: "artifacts", decode: decodeAs[A], empty: "no artifact matches", sorted: "-needed",
		columns: []column{
			col("ARTIFACT", 12, 99, "key", func(c *scene, a A) (string, style) { return short(a.Key), normal }).growing(),
			col("STATE", 9, 95, "state", func(_ *scene, a A) (string, style) { return state(a.State) }),
			col("SIZE", 8, 60, "size", func(_ *scene, a A) (string, style) { return size(a.Bytes), normal }),
			col("PRIORITY", 10, 50, "priority", func(_ *scene, a A) (string, style) { return dash(safe(a.Priority)), normal }),
			n("WAITING", 90, "waiting", func(a A) int { return a.Waiting }), n("IN USE", 70, "in_use", func(a A) int { return a.InUse }), n("PINS", 30, "", func(a A) int { return len(a.Pins) }),
			col("NEEDED", 7, 40, "needed", func(c *scene, a A) (string, style) { return age(c.now, a.LastNeeded), normal }),
			col("CPU", 7, 35, "cpu", func(_ *scene, a A) (string, style) { return micros(a.PrepareCPU), normal }),
			col("FAULT", 22, 80, "fault", func(_ *scene, a A) (string, style) { return faulted(a.Fault) }),
			col("RETRY", 9, 55, "retry", func(c *scene, a A) (string, style) { return until(c.now, a.RetryAt), normal }),
		},
		pane: func(c *scene, r *row) []line {
			a, _ := r.v.(A)
			first := line{{"key ", dim}, {safe(a.Key), normal}}
			second := line{{"generation ", dim}, {strconv.FormatUint(a.Generation, 10), normal}, {"  failures ", dim}, {strconv.Itoa(a.Failures) + " in a row", normal}, {"  ", dim}, {safe(a.Message), bad}}
			return []line{first, second}
		},
	}
}

func workerView() *spec {
	type W = inspect.Worker
	held := func(w W) (n int) {
		for _, d := range w.Defences {
			if d.Held {
				n++
			}
		}
		return n
	}
	return &spec{
		name: "workers", watch: "workers", kind: "worker", title: "workers", decode: decodeAs[W], empty: "no worker matches", sorted: "id",
		columns: []column{
			col("WORKER", 12, 99, "id", func(_ *scene, w W) (string, style) { return safe(w.ID), normal }).growing(),
			col("KIND", 7, 45, "kind", func(_ *scene, w W) (string, style) { return safe(w.Kind), dim }),
			col("STATE", 8, 95, "state", func(_ *scene, w W) (string, style) { return state(w.State) }),
			col("SINCE", 7, 80, "age", func(c *scene, w W) (string, style) { return age(c.now, w.Since), normal }),
			col("SANDBOX", 8, 85, "sandbox", func(_ *scene, w W) (string, style) {
				if len(w.Defences) == 0 {
					return "-", dim
				}
				text := part(held(w), len(w.Defences))
				for _, d := range w.Defences {
					if !d.Held && !d.Optional {
						return text, bad
					}
				}
				return text, good
			}),
			col("PID", 7, 50, "pid", func(_ *scene, w W) (string, style) { return strconv.Itoa(w.PID), dim }),
			col("CPU", 7, 60, "cpu", func(_ *scene, w W) (string, style) { return micros(w.CPUMicros), normal }),
			col("RSS", 8, 55, "rss", func(_ *scene, w W) (string, style) { return size(w.RSSBytes), normal }),
			num("RUNS total", 10, 30, "runs", func(w W) float64 { return float64(w.Runs) }, func(_ *scene, w W) (string, style) { return count(float64(w.Runs)), normal }),
			col("UP", 7, 25, "up", func(c *scene, w W) (string, style) { return age(c.now, w.StartedAt), normal }),
			col("DOES", 16, 65, "job", func(_ *scene, w W) (string, style) { return dash(short(w.Job)), normal }),
		},
		pane: func(_ *scene, r *row) []line {
			w, _ := r.v.(W)
			first := line{}
			for _, d := range w.Defences {
				if d.Held {
					first = first.add(good, "+"+safe(d.Name)+"  ")
				} else {
					first = first.add(warn, "-"+safe(d.Name)+"  ")
				}
			}
			second := line{{"build ", dim}, {short(w.BuildID), normal}, {"  artifact ", dim}, {dash(short(w.Artifact)), normal}, {"  tenant ", dim}, {dash(safe(w.Tenant)), normal}}
			if w.Recycle != "" {
				second = second.add(warn, "  ends when idle: "+safe(w.Recycle))
			}
			return []line{first, second}
		},
	}
}

func guestView() *spec {
	type G = inspect.Guest
	used := func(n, most int64, text func(int64) string) (string, style) {
		how := normal
		if most > 0 && n >= most-most/5 {
			how = bad
		}
		if most == 0 {
			return text(n), how
		}
		return text(n) + " of " + text(most), how
	}
	return &spec{
		name: "guests", watch: "guests", kind: "guest", title: "guests", decode: decodeAs[G], empty: "nothing runs now", sorted: "-cpu",
		columns: []column{
			col("GUEST", 18, 99, "id", func(_ *scene, g G) (string, style) {
				parts := strings.Split(g.ID, "/")
				for i := range parts {
					parts[i] = short(parts[i])
				}
				return cut(strings.Join(parts, "/"), 64), normal
			}).growing(),
			col("KIND", 8, 60, "kind", func(_ *scene, g G) (string, style) { return safe(g.Kind), dim }),
			col("STAGE", 9, 90, "stage", func(_ *scene, g G) (string, style) { return state(g.Stage) }),
			col("SINCE", 7, 85, "age", func(c *scene, g G) (string, style) { return age(c.now, g.Since), normal }),
			col("CPU", 16, 95, "cpu", func(_ *scene, g G) (string, style) { return used(g.CPUMicros, g.CPUCap, micros) }),
			col("MEMORY", 19, 70, "memory", func(_ *scene, g G) (string, style) { return used(g.MemoryBytes, g.MemoryCap, size) }),
			num("GAS", 7, 40, "gas", func(g G) float64 { return float64(g.Gas) }, func(_ *scene, g G) (string, style) { return count(float64(g.Gas)), normal }),
			col("WORKER", 10, 80, "worker", func(_ *scene, g G) (string, style) { return dash(safe(g.Worker)), normal }),
			col("PRIORITY", 10, 35, "priority", func(_ *scene, g G) (string, style) { return safe(g.Priority), normal }),
			col("TENANT", 10, 30, "tenant", func(_ *scene, g G) (string, style) { return safe(g.Tenant), dim }),
		},
		pane: func(c *scene, r *row) []line {
			g, _ := r.v.(G)
			first := line{{"cpu ", dim}, {bar(share(g.CPUMicros, g.CPUCap), 16), warn}, {"  memory ", dim}, {bar(share(g.MemoryBytes, g.MemoryCap), 16), normal}, {"  deadline ", dim}, {until(c.now, g.Deadline), normal}}
			second := line{{"code ", dim}, {short(g.CodeHash), normal}, {"  engine ", dim}, {dash(safe(g.Engine)), normal}, {"  handles ", dim}, {strconv.Itoa(g.Handles), normal}}
			for i, name := range sortedKeys(g.Calls) {
				if i == 4 {
					second = second.add(dim, "  …")
					break
				}
				second = second.add(dim, "  "+safe(name)+" ").add(normal, count(float64(g.Calls[name])))
			}
			return []line{first, second}
		},
	}
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

func deadView() *spec {
	type L = inspect.Letter
	return &spec{
		name: "dead", watch: "dead", kind: "letter", title: "dead letters", decode: decodeAs[L], empty: "no message was lost", sorted: "-since",
		columns: []column{
			col("AGE", 7, 95, "age", func(c *scene, l L) (string, style) { return age(c.now, l.At), normal }),
			col("CODE", 20, 90, "code", func(_ *scene, l L) (string, style) { return faulted(l.Code) }),
			col("FOR", 16, 99, "actor", func(_ *scene, l L) (string, style) { return shortPath(l.Actor), normal }).growing(),
			col("MESSAGE", 18, 80, "type", func(_ *scene, l L) (string, style) { return safe(l.Type), normal }),
			col("REPLAY", 6, 70, "replayable", func(_ *scene, l L) (string, style) {
				if l.Replayable {
					return "can be", good
				}
				return "no", dim
			}),
			col("REASON", 24, 60, "reason", func(_ *scene, l L) (string, style) { return safe(l.Reason), normal }),
		},
		pane: func(_ *scene, r *row) []line {
			l, _ := r.v.(L)
			return []line{{{"id ", dim}, {safe(l.ID), normal}, {"  lane ", dim}, {safe(l.Lane), normal}, {"  cause ", dim}, {dash(safe(l.Cause)), normal}}, {{safe(l.Reason), normal}}}
		},
	}
}

func blame(s string) (string, style) {
	switch s {
	case "host", "bug":
		return safe(s), bad
	case "guest", "suspect":
		return safe(s), warn
	}
	return dash(safe(s)), normal
}

func failureView() *spec {
	type F = api.Failing
	return &spec{
		name: "failures", watch: "failures", kind: "failing", title: "failures", decode: decodeAs[F], empty: "nothing has failed", sorted: "-since",
		columns: []column{
			col("BLAME", 7, 99, "blame", func(_ *scene, f F) (string, style) { return blame(f.Blame) }),
			col("KIND", 8, 90, "kind", func(_ *scene, f F) (string, style) { return safe(f.Kind), normal }),
			col("WHAT", 14, 98, "id", func(_ *scene, f F) (string, style) { return short(f.ID), normal }).growing(),
			col("CODE", 20, 95, "code", func(_ *scene, f F) (string, style) { return faulted(f.Code) }),
			col("AGE", 7, 85, "age", func(c *scene, f F) (string, style) { return age(c.now, f.At), normal }),
			col("RETRY", 9, 70, "retry", func(c *scene, f F) (string, style) {
				switch {
				case !f.Retryable:
					return "no", dim
				case f.RetryAt.IsZero():
					return "can be", good
				}
				return until(c.now, f.RetryAt), good
			}),
			col("MESSAGE", 28, 60, "message", func(_ *scene, f F) (string, style) { return safe(f.Message), normal }),
		},
		pane: func(_ *scene, r *row) []line {
			f, _ := r.v.(F)
			return []line{{{"id ", dim}, {safe(f.ID), normal}, {"  tenant ", dim}, {dash(safe(f.Tenant)), normal}}, {{safe(f.Message), normal}}}
		},
	}
}

func appView() *spec {
	type A = inspect.App
	n := func(head string, keep int, field string, f func(A) float64) column {
		return num(head, len(head), keep, field, f, func(_ *scene, a A) (string, style) { return count(f(a)), normal })
	}
	return &spec{
		name: "apps", watch: "apps", kind: "app", title: "apps", decode: decodeAs[A], empty: "no app matches", sorted: "label",
		columns: []column{
			col("APP", 14, 99, "label", func(_ *scene, a A) (string, style) { return dash(safe(a.Label)), normal }).growing(),
			col("ADDRESS", 12, 80, "address", func(_ *scene, a A) (string, style) { return short(a.Address), dim }),
			col("STATE", 9, 95, "state", func(_ *scene, a A) (string, style) { return state(a.State) }),
			col("RUN", 5, 90, "running", func(_ *scene, a A) (string, style) { return fmt.Sprintf("%d/%d", a.Running, a.Wanted), normal }),
			n("QUEUED", 85, "queued", func(a A) float64 { return float64(a.Queued) }), n("ACTIVE", 70, "active", func(a A) float64 { return float64(a.Active) }),
			n("RESTARTS", 75, "restarts", func(a A) float64 { return float64(a.Restarts) }),
			n("GAS total", 40, "", func(a A) float64 { return float64(a.Metrics.Gas) }),
			col("LAST END", 16, 60, "last_end", func(_ *scene, a A) (string, style) { return faulted(a.LastEnd) }),
			col("TENANT", 10, 30, "tenant", func(_ *scene, a A) (string, style) { return safe(a.Tenant), dim }),
		},
		pane: func(_ *scene, r *row) []line {
			a, _ := r.v.(A)
			return []line{{{"entry ", dim}, {safe(a.Entry), normal}, {"  reuse ", dim}, {safe(a.Reuse), normal}, {"  address ", dim}, {safe(a.Address), normal}}, {{safe(a.Reason), warn}}}
		},
	}
}

func healthView() *spec {
	type H = inspect.Health
	return &spec{
		name: "health", watch: "health", title: "conditions", decode: decodeAs[H], empty: "all is well",
		columns: []column{
			col("LEVEL", 7, 95, "level", func(_ *scene, h H) (string, style) {
				if h.Level == "error" {
					return "error", bad
				}
				return safe(h.Level), warn
			}),
			col("CODE", 22, 99, "code", func(_ *scene, h H) (string, style) { return safe(h.Code), normal }),
			col("SINCE", 7, 80, "age", func(c *scene, h H) (string, style) { return age(c.now, h.Since), normal }),
			col("MESSAGE", 24, 90, "message", func(_ *scene, h H) (string, style) { return safe(h.Message), normal }).growing(),
		},
		pane: func(_ *scene, r *row) []line {
			h, _ := r.v.(H)
			return []line{{{safe(h.Message), normal}}, {{"do: ", dim}, {dash(safe(h.Hint)), accent}}}
		},
	}
}

func logView() *spec {
	type L = inspect.LogLine
	return &spec{
		name: "log", watch: "log", tail: true, title: "lines", decode: decodeAs[L], empty: "nothing was logged",
		columns: []column{
			col("AT UTC", 12, 95, "", func(_ *scene, l L) (string, style) { return l.At.UTC().Format("15:04:05.000"), dim }),
			col("LEVEL", 5, 97, "level", func(_ *scene, l L) (string, style) {
				switch l.Level {
				case "error", "fatal", "panic":
					return safe(l.Level), bad
				case "warn":
					return "warn", warn
				}
				return safe(l.Level), dim
			}),
			col("CODE", 18, 60, "code", func(_ *scene, l L) (string, style) { return dash(safe(l.Code)), normal }),
			col("MESSAGE", 24, 99, "", func(_ *scene, l L) (string, style) {
				text := safe(l.Message)
				for _, k := range sortedKeys(l.Fields) {
					text += "  " + safe(k) + "=" + safe(fmt.Sprint(l.Fields[k]))
				}
				if l.Suppressed > 0 {
					text += fmt.Sprintf("  (%d like it left out)", l.Suppressed)
				}
				return text, normal
			}).growing(),
		},
	}
}

func auditView() *spec {
	type A = api.Audit
	return &spec{
		name: "audit", watch: "audit", tail: true, title: "entries", decode: decodeAs[A], empty: "nothing was changed",
		columns: []column{
			col("AT UTC", 8, 90, "", func(_ *scene, a A) (string, style) { return a.At.UTC().Format("15:04:05"), dim }),
			col("CALLER", 10, 95, "caller", func(_ *scene, a A) (string, style) { return safe(a.Caller), normal }),
			col("THROUGH", 9, 40, "origin", func(_ *scene, a A) (string, style) { return dash(safe(a.Origin)), dim }),
			col("VERB", 16, 99, "verb", func(_ *scene, a A) (string, style) {
				if a.Verb == "" { // what is no plan is told by its route
					return safe(strings.Replace(a.Route, " /v1/", " ", 1)), dim
				}
				return safe(a.Verb), normal
			}),
			col("TARGET", 14, 93, "target", func(_ *scene, a A) (string, style) { return dash(short(a.Target)), normal }).growing(),
			col("OUTCOME", 8, 97, "outcome", func(_ *scene, a A) (string, style) {
				if a.Outcome == "refused" || a.Outcome == "failed" {
					return a.Outcome, bad
				}
				return safe(a.Outcome), good
			}),
			col("CODE", 16, 60, "code", func(_ *scene, a A) (string, style) { return dash(safe(a.Code)), normal }),
			col("REASON", 20, 70, "reason", func(_ *scene, a A) (string, style) { return dash(safe(a.Reason)), normal }),
		},
	}
}

func traceView() *spec {
	type T = inspect.Trace
	between := func(a, b time.Time) (string, style) {
		if a.IsZero() || b.IsZero() {
			return "-", dim
		}
		return span(max(0, b.Sub(a))), normal
	}
	return &spec{
		name: "trace", title: "messages", empty: "no message has come yet", decode: decodeAs[T],
		columns: []column{
			col("SENT UTC", 12, 80, "", func(_ *scene, t T) (string, style) { return t.Sent.UTC().Format("15:04:05.000"), dim }),
			col("ACTOR", 16, 99, "", func(_ *scene, t T) (string, style) { return shortPath(t.Actor), normal }).growing(),
			col("MESSAGE", 20, 95, "", func(_ *scene, t T) (string, style) { return safe(t.Type), accent }),
			col("FROM", 18, 50, "", func(_ *scene, t T) (string, style) {
				if t.From == "" {
					return "outside", dim
				}
				return safe(t.From), normal
			}),
			col("SEND", 7, 60, "", func(_ *scene, t T) (string, style) { return between(t.Sent, t.Accepted) }),
			col("WAIT", 7, 85, "", func(_ *scene, t T) (string, style) { return between(t.Accepted, t.Started) }),
			col("TOOK", 7, 90, "", func(_ *scene, t T) (string, style) { return between(t.Started, t.Finished) }),
			col("FAULT", 16, 70, "", func(_ *scene, t T) (string, style) { return faulted(t.Fault) }),
		},
		pane: func(_ *scene, r *row) []line {
			t, _ := r.v.(T)
			return []line{{{"cause ", dim}, {safe(t.Cause), normal}, {"  lane ", dim}, {safe(t.Lane), normal}, {"  from ", dim}, {dash(safe(t.From)), normal}}, {{"enter: all that one cause did, across actors", dim}}}
		},
	}
}
