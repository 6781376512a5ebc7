package webui

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/host/control/api"
)

func withQuery(q string) *url.URL { return &url.URL{RawQuery: url.Values{"q": {q}}.Encode()} }

func hash(s string) string {
	h := sha256.Sum256([]byte(s))
	return hex.EncodeToString(h[:])
}

// cause of the guest that spins.
var cause = hash("cause")[:32]

// world returns a host with so many actors in which something of each kind goes on.
func world(actors int) *fake {
	now := time.Now().UTC().Truncate(time.Second)
	ago := func(d time.Duration) time.Time { return now.Add(-d) }
	f := &fake{boot: "b00t1a2b3c4d", rights: api.Rights, started: now, large: actors > 500, plans: map[string]api.Plan{}, ops: map[string]api.Operation{}, watching: map[string]int{}}
	actor := func(path, kind, state string, depth int) {
		a := inspect.Actor{Path: path, Kind: kind, Incarnation: 3, State: state, Since: ago(76 * time.Hour), Depth: depth, Cap: 256, Accepted: 81233, Handled: 81230, MaxRestarts: 5, At: now,
			Handler: inspect.Timing{Count: 81230, P50Micros: 64, P99Micros: 1024, MaxMicros: 88000}, Lanes: []inspect.Lane{{Name: "system", Cap: 0}, {Name: "control", Cap: 64}, {Name: "answers", Cap: 1024}, {Name: "work", Depth: depth, Cap: 256}},
			Rates: &inspect.Rates{Handled: inspect.Windows{S1: 40, S10: 37.5, S60: 36}}}
		if depth > 0 {
			a.OldestSince = ago(time.Duration(depth) * 70 * time.Millisecond)
			a.Lanes[3].OldestSince = a.OldestSince
		}
		if state == "busy" {
			a.Handling, a.HandledAt, a.Since = "execute.Assign", ago(4*time.Second), ago(4*time.Second)
		}
		f.actors = append(f.actors, a)
	}
	actor("troupe", "root", "idle", 0)
	actor("troupe/cache", "cache", "idle", 2)
	actor("troupe/prepare", "prepare-queue", "idle", 14)
	actor("troupe/execute", "execute-queue", "busy", 47)
	for i := range 8 {
		actor(fmt.Sprintf("troupe/execute/worker-%d", i+1), "worker", []string{"busy", "idle"}[i%2], []int{1, 0, 240, 0}[i%4])
	}
	f.actors[6].State, f.actors[6].Restarts, f.actors[6].LastFault, f.actors[6].NextRestart, f.actors[6].Handling = "backoff", 4, "suspect.worker_died", now.Add(3*time.Second), ""
	actor("troupe/jobs", "jobs", "idle", 0)
	actor("troupe/apps", "sessions", "idle", 1)
	actor("troupe/chain", "outbox", "idle", 3)
	for i := len(f.actors); i < actors; i++ {
		actor(fmt.Sprintf("troupe/apps/app-%d/instance-%d", i/20, i), "instance", []string{"idle", "idle", "busy", "idle"}[i%4], i%7)
	}
	layers := []inspect.Layer{{Name: "namespaces", Held: true}, {Name: "landlock", Held: true}, {Name: "seccomp", Held: true}, {Name: "rlimits", Held: true}, {Name: "cgroup", Optional: true, Why: "no cgroup is delegated to this user", Hint: "start the host with Delegate=yes"}}
	open := append(append([]inspect.Layer{}, layers[:1]...), inspect.Layer{Name: "landlock", Why: "the kernel has no landlock", Hint: "boot with lsm=landlock,…"}, layers[2], layers[3], layers[4])
	for i := range 8 {
		w := inspect.Worker{ID: fmt.Sprintf("worker-%d", i+1), Kind: "execute", PID: 4210 + i, State: []string{"busy", "idle"}[i%2], Tenant: "uid:1000", Runs: uint64(100 + 37*i), Since: ago(time.Duration(i+1) * 7 * time.Second), Sandbox: "namespaces+landlock+seccomp+rlimits",
			CPUMicros: int64(i+1) * 4_300_000, RSSBytes: int64(30+i*9) << 20, StartedAt: ago(3 * time.Hour), Defences: layers, BuildID: "9f2c"}
		if i == 5 {
			w.Defences, w.Recycle = open, "it has run 300 times"
		}
		if i > 5 {
			w.Kind, w.ID = "prepare", fmt.Sprintf("prepare-%d", i-5)
		}
		if i%2 == 0 {
			w.Job = fmt.Sprintf("01jq%02dspin", i)
		}
		f.workers = append(f.workers, w)
	}
	for i := range 4 {
		g := inspect.Guest{ID: fmt.Sprintf("01jq%02dspin", i*2), Kind: "job", Tenant: "uid:1000", Job: fmt.Sprintf("01jq%02dspin", i*2), CodeHash: hash("code"), Artifact: hash("art0"), Worker: fmt.Sprintf("worker-%d", i*2+1), Priority: "normal", Stage: "running", Since: ago(time.Duration(i+1) * 2 * time.Second),
			StartedAt: ago(9 * time.Second), Deadline: now.Add(20 * time.Second), Engine: "compiler", MemoryBytes: int64(i+1) * 11 << 20, MemoryPeak: 50 << 20, MemoryCap: 128 << 20, Gas: 41_300_000, CPUMicros: int64(i+1) * 900_000, CPUCap: 12_000_000, Calls: map[string]int64{"fd_write": 12, "clock_time_get": 99}, Cause: cause}
		if i == 0 {
			g.ID, g.Job, g.CPUMicros = "01jqspinner", "01jqspinner", 11_400_000
		}
		f.guests = append(f.guests, g)
	}
	f.queues = []inspect.Queue{
		{Name: "prepare", Cap: 64, Parked: map[string]int{"background": 3, "normal": 9, "high": 2}, Running: 2, Workers: 2, Soft: 1, Hard: 2, Refused: 4, OldestAt: ago(12 * time.Second), Preparations: []inspect.Preparation{{Job: 7, Artifact: hash("art3"), CodeHash: hash("code3"), Tenant: "uid:1000", Priority: "high", State: "running", Since: ago(9 * time.Second), StartedAt: ago(4 * time.Second)}, {Job: 8, Artifact: hash("art4"), CodeHash: hash("code4"), Tenant: "uid:1000", Priority: "background", State: "held", Since: ago(30 * time.Second), StartedAt: ago(20 * time.Second), Held: "nice+autogroup"}}},
		{Name: "execute", Cap: 256, Parked: map[string]int{"critical": 1, "high": 6, "normal": 38, "background": 2}, Running: 4, Workers: 6, Soft: 4, Hard: 8, Refused: 1203, OldestAt: ago(41 * time.Second)},
	}
	for i := range 40 {
		a := inspect.Artifact{Key: hash(fmt.Sprintf("art%d", i)), CodeHash: hash(fmt.Sprintf("code%d", i)), State: "prepared", Generation: uint64(i%4 + 1), Bytes: int64(64<<20) / int64(i+1), Stored: true, InUse: map[bool]int{true: 2}[i%9 == 0], PreparedAt: ago(time.Hour), LastNeeded: ago(time.Duration(i) * time.Minute), PrepareCPU: 820_000}
		switch i {
		case 2:
			a.State, a.Fault, a.Message, a.Failures, a.RetryAt = "failed", "suspect.worker_died", "the worker died while it compiled", 2, now.Add(8*time.Minute)
		case 3, 4:
			a.State, a.Priority, a.Waiting = "preparing", "high", 3
		case 5:
			a.Pins = []string{"uid:1000"}
		}
		f.arts = append(f.arts, a)
	}
	for i := range 60 {
		j := run.Job{ID: fmt.Sprintf("01jq%02dspin", i), Tenant: "uid:1000", State: run.JobSettled, Priority: "normal", CodeHash: hash("code"), Mode: "command", Starts: 1, SubmittedAt: ago(time.Duration(60-i) * time.Minute), StartedAt: ago(time.Duration(59-i) * time.Minute), SettledAt: ago(time.Duration(58-i) * time.Minute)}
		switch {
		case i >= 54:
			j.State, j.StartedAt, j.SettledAt, j.Starts = run.JobQueued, time.Time{}, time.Time{}, 0
		case i%11 == 3:
			j.Fault, j.Message = "canceled.deadline", "it had not started by its deadline"
		}
		f.jobs = append(f.jobs, j)
	}
	f.jobs[53].ID, f.jobs[53].State, f.jobs[53].SettledAt = "01jqspinner", run.JobRunning, time.Time{}
	f.jobs[57].ID, f.jobs[57].SubmittedAt = "01jqwaiting", ago(41*time.Second)
	f.failing = []api.Failing{
		{ID: f.arts[2].Key, Kind: "artifact", Blame: "suspect", Code: "suspect.worker_died", Message: "the worker died while it compiled; it is tried again by itself", At: ago(2 * time.Minute), Retryable: true, RetryAt: now.Add(8 * time.Minute), Tenant: "uid:1000"},
		{ID: "01jq03spin", Kind: "job", Blame: "guest", Code: "guest.gas_exhausted", Message: "the guest used all 500M gas in its entry", At: ago(7 * time.Minute), Tenant: "uid:1000"},
		{ID: hash("app1"), Kind: "app", Blame: "guest", Code: "guest.trap", Message: "unreachable executed in frame 4", At: ago(11 * time.Minute), Retryable: true, Tenant: "uid:1001"},
		{ID: "troupe/execute/worker-3", Kind: "actor", Blame: "host", Code: "host.spawn_failed", Message: "fork: resource temporarily unavailable", At: ago(time.Hour), Retryable: true},
	}
	f.health = []inspect.Health{{Code: "sandbox.cgroup", Level: "warning", Message: "workers are not held by a cgroup", Hint: "start the host by its unit file, which delegates one", Since: ago(76 * time.Hour)}, {Code: "artifact.slow_prepare", Level: "warning", Message: "one preparation takes longer than a minute", Since: ago(4 * time.Minute)}}
	for i := range 12 {
		f.dead = append(f.dead, inspect.Letter{ID: fmt.Sprintf("dl-%d", i), At: ago(time.Duration(i) * 9 * time.Minute), Actor: "troupe/execute/worker-3", Type: "execute.Finished", Lane: "answers", Code: "busy.queue_full", Reason: "its mailbox was full", Replayable: i%3 == 0, Cause: cause})
	}
	for i := range 7 {
		f.apps = append(f.apps, inspect.App{Address: hash(fmt.Sprintf("app%d", i)), Session: hash("session"), Label: []string{"pricing", "thumbnails", "indexer", "mailer", "oracle", "search", "digest"}[i], Tenant: "uid:1000", State: []string{"running", "failed", "idle", "backoff", "running", "stopped", "scheduled"}[i], Reason: []string{"", "its guest traps", "nobody asks", "it ended 3 times in a minute", "", "an operator stopped it", "next at noon"}[i], Wanted: uint32(i%3 + 1), Running: uint32(i % 3), Queued: i * 2, Active: i, Restarts: uint64(i), Deployed: ago(50 * time.Hour),
			Instances: []inspect.Instance{{ID: 1, State: "running", Since: ago(time.Hour)}}, Metrics: history("").Samples[89].Metrics})
	}
	f.chain = inspect.ChainView{Chain: inspect.Chain{Name: "devchain", Head: 120_331, HeadSince: ago(3 * time.Second), Finalized: 120_328, Tip: 120_331, Connected: true, Outbox: map[string]int{"waiting": 2, "submitted": 1, "in_block": 3}, Cap: 256, Forks: 2, LastError: "nonce 41 was used by somebody else", LastErrorAt: ago(20 * time.Minute)},
		Reporter: inspect.Reporter{Worker: hash("key"), Registered: true, Computing: "WorkerIdle", Session: hash("session"), ChainSession: hash("session"), SN: 881, Settled: 880, Open: 1, LastReport: ago(4 * time.Minute), NextReport: now.Add(6 * time.Minute), Heartbeat: inspect.Heartbeat{Hits: 12, Answered: 12}}, Follower: inspect.Follower{State: "following", Tickets: 4, Requests: 1}}
	for i := range 6 {
		f.calls = append(f.calls, inspect.Outgoing{Number: uint64(900 + i), Key: fmt.Sprintf("report/%d", i), Call: "Wapod.ticket_settle", State: []string{"waiting", "waiting", "submitted", "in_block", "in_block", "in_block"}[i], Accepted: ago(time.Minute), Since: ago(20 * time.Second), Block: uint64(120_330), Tries: 1})
	}
	f.demands = []inspect.Demand{{ID: "app/" + hash("app0"), Kind: "ticket", State: "serving", Since: ago(time.Hour), Tickets: []uint64{4, 9}, Balance: "12000000000"}, {ID: "request/17", Kind: "request", State: "waiting", Reason: "no slot is free", Since: ago(time.Minute)}}
	for i := range 200 {
		f.log = append(f.log, inspect.LogLine{Seq: uint64(200 - i), At: ago(time.Duration(i) * 3 * time.Second), Level: []string{"info", "info", "warn", "info", "error"}[i%5], Code: "worker.ended", Message: "a worker has ended and is replaced", Fields: map[string]any{"worker": "worker-3", "cause": "exit status 137"}})
		f.audit = append(f.audit, api.Audit{Seq: uint64(200 - i), At: ago(time.Duration(i) * time.Minute), Caller: "uid:1000", Origin: "unix web", Route: "POST /v1/plans", Verb: "worker.recycle", Target: "worker-3", Reason: "memory grew", Outcome: []string{"done", "refused", "planned"}[i%3]})
	}
	return f
}

func flights(a inspect.Actor) (all []inspect.Flight) {
	for i := range 30 {
		all = append(all, inspect.Flight{Seq: uint64(i), At: time.Now().Add(-time.Duration(30-i) * time.Second), What: []string{"handled", "handled", "refused"}[i%3], Type: "execute.Assign", Lane: "work", Cause: cause, WaitMicros: 180, TookMicros: int64(i) * 400})
	}
	return all
}

func timeline(id string) inspect.Timeline {
	at := time.Now().Add(-12 * time.Second)
	t := inspect.Timeline{ID: id, State: "running", Cause: cause, WallMicros: 12_000_000, CPUMicros: 9_100_000, WaitMicros: 1_400_000, At: time.Now()}
	for i, s := range []struct {
		name  string
		us    int64
		waits string
	}{{"received", 400, ""}, {"admitted", 1200, ""}, {"artifact-wait", 1_100_000, "the preparation of its code"}, {"queued", 300_000, "a free worker"}, {"assigned", 9000, ""}, {"handshake", 20_000, ""}, {"running", 9_600_000, ""}} {
		t.Stages = append(t.Stages, inspect.Stage{Name: s.name, At: at.Add(time.Duration(i) * time.Second), Micros: s.us, Waits: s.waits, Owner: map[bool]string{true: "queue execute"}[s.waits != ""]})
	}
	return t
}

func explained(id string) inspect.Explanation {
	x := inspect.Explanation{ID: id, Kind: "job", State: "waiting", Summary: "It waits for a worker: all 8 are busy, and 6 jobs of higher priority are before it.", At: time.Now(),
		Because: []inspect.Because{{ID: "execute", Kind: "queue", Words: "the queue has 47 jobs before a worker is free", Owner: "any worker that ends its run", Since: time.Now().Add(-41 * time.Second)}, {ID: "01jqspinner", Kind: "job", Words: "worker-1 runs a guest that has used 11.4 s of 12 s CPU", Owner: "its limit, in 0.6 s"}}, Advice: []string{"raise it with u, or kill the guest that spins"}}
	if id == "01jqspinner" {
		x.State, x.Summary, x.Advice = "running", "It waits for nothing but its own code, which has used 11.4 s of 12 s CPU.", []string{"troupe job cancel 01jqspinner"}
		x.Because = []inspect.Because{{ID: "worker-1", Kind: "worker", Words: "its code runs on worker-1 for 9 s", Owner: "its limit, in 0.6 s of CPU", Since: time.Now().Add(-9 * time.Second)}}
	}
	if strings.HasPrefix(id, "troupe/") {
		x.Kind, x.Summary = "actor", "It handles execute.Assign for 4 s; nothing else waits."
	}
	return x
}

func traces(id string) (all []inspect.Trace) {
	at := time.Now().Add(-2 * time.Second)
	path := []string{"troupe/jobs", "troupe/cache", "troupe/prepare", "troupe/cache", "troupe/execute", "troupe/execute/worker-1", "troupe/execute", "troupe/jobs"}
	for i, a := range path {
		sent := at.Add(time.Duration(i*i) * 20 * time.Millisecond)
		t := inspect.Trace{Seq: uint64(i), Actor: a, Type: "execute.Step", Lane: "work", Cause: id, Sent: sent, Accepted: sent.Add(40 * time.Microsecond), Started: sent.Add(time.Duration(1+i*9) * time.Millisecond), Finished: sent.Add(time.Duration(30+i*31) * time.Millisecond)}
		if i > 0 {
			t.From = path[i-1]
		}
		all = append(all, t)
	}
	return all
}

func history(address string) api.History {
	h := api.History{Address: address, Every: 10_000_000}
	for i := range 90 {
		n := uint64(i)
		h.Samples = append(h.Samples, api.Sample{At: time.Now().Add(-time.Duration(90-i) * 10 * time.Second), Running: uint32(1 + i/30), Queued: (i * 7) % 11, Metrics: inspect.AppMetrics{RunningTimeMS: n * 8000, Gas: n*n*90_000 + n*3_000_000, NetworkIngress: n * 40_000 * (1 + n%3), NetworkEgress: n * 90_000, StorageRead: n * 1000, StorageWrite: n * 300, Starts: n / 9}})
	}
	return h
}
