package bundletest

import (
	"fmt"
	"time"

	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/host/control/api"
)

// At is the moment of the bundle.
var At = time.Date(2026, 3, 14, 9, 26, 53, 0, time.UTC)

// Ids of what is in trouble.
const (
	Spinning  = "01JQ7SPIN000000000000000AA" // job that uses up its CPU
	Waiting   = "01JQ7WAIT000000000000000BB" // job that waits for a preparation
	Settled   = "01JQ7DONE000000000000000CC"
	Crashed   = "01JQ7FAIL000000000000000DD"
	Wedged    = "troupe/chain/follower"
	BadKey    = "bad0c0de000000000000000000000000000000000000000000000000000000aa" // of a failed preparation
	GoodKey   = "600d0000000000000000000000000000000000000000000000000000000000bb"
	SlowKey   = "510e0000000000000000000000000000000000000000000000000000000000cc" // being prepared
	Cause     = "00112233445566778899aabbccddeeff"
	App       = "a99a0000000000000000000000000000000000000000000000000000000000dd"
	BrokenApp = "a99b0000000000000000000000000000000000000000000000000000000000ee"
)

// Rich returns a bundle with n actors, and at least those of every host. names are put wherever a guest or a caller can put text.
func Rich(n int, names ...string) *api.Bundle {
	m := maker{names: names, b: &api.Bundle{
		Format: 1, Reason: "request", At: At, Timelines: map[string]inspect.Timeline{}, Mailboxes: map[string][]inspect.Letter{},
		Explanations: map[string]inspect.Explanation{}, Missing: map[string]string{},
	}}
	m.host()
	m.actors(n)
	m.guests()
	m.jobs()
	m.apps()
	m.chain()
	m.records()
	return m.b
}

type maker struct {
	b     *api.Bundle
	names []string
	used  int
}

// text returns the next hostile name, or what it would be without them.
func (m *maker) text(tame string) string {
	if len(m.names) == 0 {
		return tame
	}
	m.used++
	return m.names[(m.used-1)%len(m.names)]
}

func ago(d time.Duration) time.Time { return At.Add(-d) }

func (m *maker) host() {
	m.b.Host = inspect.Host{
		Version: "1.2.0", BuildID: "b1f00d", Boot: "5eed0001", At: At, CPUMicros: 91_000_000, RSSBytes: 812 << 20, Name: m.text("node-7"),
		StartedAt: ago(76 * time.Hour), DataDir: "/var/lib/troupe", Sandbox: "namespaces+landlock+seccomp+rlimits", Ready: true, Requests: 3,
		Health: []inspect.Health{
			{Code: "artifact.slow_prepare", Level: "warning", Message: "a preparation has run for 4 minutes", Hint: "raise it, or look at its worker", Since: ago(4 * time.Minute)},
			{Code: "actor.wedged", Level: "error", Message: Wedged + " has handled one message for 42 s", Hint: "see its flight recorder", Since: ago(42 * time.Second)},
		},
		Store: inspect.Store{Entries: 3, Bytes: 18 << 20, DiskBytes: 40 << 20, LimitBytes: 10 << 30, FreeBytes: 200 << 30, ReserveBytes: 1 << 30},
		Jobs:  map[string]int{"queued": 3, "running": 1, "settled": 2},
		Queues: []inspect.Queue{
			{Name: "prepare", Cap: 512, Parked: map[string]int{"critical": 0, "high": 1, "normal": 4, "background": 9}, Running: 1, Workers: 1, Soft: 2, Hard: 4, OldestAt: ago(4 * time.Minute),
				Preparations: []inspect.Preparation{{Job: 17, Artifact: SlowKey, CodeHash: SlowKey, Tenant: "uid:1000", Priority: "normal", State: "running", Since: ago(4 * time.Minute), StartedAt: ago(4 * time.Minute), BudgetCPU: 360_000_000}}},
			{Name: "execute", Cap: 1024, Parked: map[string]int{"critical": 0, "high": 0, "normal": 12, "background": 0}, Running: 2, Workers: 3, Soft: 4, Hard: 8, Refused: 7, OldestAt: ago(1800 * time.Millisecond)},
		},
		Artifacts: []inspect.Artifact{
			{Key: BadKey, CodeHash: BadKey, State: "failed", Generation: 3, Waiting: 1, Failures: 2, Fault: "suspect.prepare_worker_died", Message: m.text("the worker died"), RetryAt: At.Add(3 * time.Minute), LastNeeded: ago(time.Minute), Priority: "normal"},
			{Key: SlowKey, CodeHash: SlowKey, State: "preparing", Generation: 1, Waiting: 2, Priority: "normal", LastNeeded: ago(time.Second)},
			{Key: GoodKey, CodeHash: GoodKey, State: "prepared", Generation: 1, Bytes: 18 << 20, Stored: true, InUse: 2, Pins: []string{"uid:1000"}, PreparedAt: ago(50 * time.Hour), LastNeeded: ago(2 * time.Second), PrepareCPU: 5_300_000},
		},
		Workers: []inspect.Worker{
			m.worker("execute-12", "execute", 4012, "busy", Spinning), m.worker("execute-13", "execute", 4013, "idle", ""),
			m.worker("execute-14", "execute", 4014, "busy", "app/"+App+"/1"), m.worker("prepare-3", "prepare", 4020, "busy", SlowKey),
		},
	}
}

func (m *maker) worker(id, kind string, pid int, state, job string) inspect.Worker {
	w := inspect.Worker{
		ID: id, Kind: kind, PID: pid, State: state, Tenant: "uid:1000", Job: job, Runs: 41, Since: ago(1800 * time.Millisecond), StartedAt: ago(20 * time.Minute),
		Sandbox: "namespaces+landlock+seccomp+rlimits", BuildID: "b1f00d", CPUMicros: 610_000, RSSBytes: 44 << 20,
		Defences: []inspect.Layer{
			{Name: "namespaces", Held: true}, {Name: "landlock", Held: true}, {Name: "seccomp", Held: true}, {Name: "rlimits", Held: true},
			{Name: "cgroup", Optional: true, Why: "no delegated cgroup", Hint: "run under systemd with Delegate=yes"},
		},
	}
	if state == "busy" && kind == "execute" {
		w.Artifact = GoodKey
	}
	return w
}

func (m *maker) actors(n int) {
	add := func(path, kind, state string, children int, change func(*inspect.Actor)) {
		a := inspect.Actor{
			Path: path, Kind: kind, Incarnation: 1, State: state, Since: ago(76 * time.Hour), Cap: 64, MaxRestarts: 5, Accepted: 3_100_000, Handled: 3_100_000,
			Children: children, Handler: inspect.Timing{Count: 3_100_000, P50Micros: 8, P99Micros: 80, MaxMicros: 4100}, At: At,
			Rates: &inspect.Rates{Accepted: inspect.Windows{S1: 21, S10: 21, S60: 20}, Handled: inspect.Windows{S1: 21, S10: 21, S60: 20}},
			Lanes: []inspect.Lane{{Name: "system", Cap: 0}, {Name: "control", Cap: 16}, {Name: "answers", Cap: 0}, {Name: "work", Cap: 64}},
		}
		if change != nil {
			change(&a)
		}
		m.b.Host.Actors = append(m.b.Host.Actors, a)
		m.b.Actors = append(m.b.Actors, inspect.ActorDetail{Actor: a, Flights: flights(a)})
	}
	add("troupe", "root", "idle", 6, nil)
	add("troupe/cache", "cache", "idle", 1, nil)
	add("troupe/cache/pruner", "pruner", "idle", 0, nil)
	add("troupe/chain", "chain", "idle", 1, nil)
	add(Wedged, "follower", "busy", 0, func(a *inspect.Actor) {
		a.Handling, a.HandledAt, a.Since = "chain.BlockSeen", ago(42*time.Second), ago(42*time.Second)
		a.Depth, a.OldestSince, a.Lanes[3].Depth, a.Lanes[3].OldestSince = 31, ago(42*time.Second), 31, ago(42*time.Second)
		a.Rates = &inspect.Rates{}
	})
	add("troupe/execute", "execute", "idle", 3, func(a *inspect.Actor) { a.Depth, a.Cap, a.OldestSince = 3, 256, ago(12*time.Millisecond) })
	add("troupe/execute/worker-12", "worker", "busy", 0, func(a *inspect.Actor) {
		a.Handling, a.HandledAt, a.Since, a.Restarts, a.LastFault, a.App = "execute.Assign", ago(1800*time.Millisecond), ago(1800*time.Millisecond), 1, "suspect.worker_died", ""
	})
	add("troupe/execute/worker-13", "worker", "backoff", 0, func(a *inspect.Actor) {
		a.Restarts, a.NextRestart, a.LastFault, a.Since, a.Incarnation = 5, At.Add(4*time.Second), "guest.cpu_limit", ago(2*time.Second), 6
	})
	add("troupe/execute/worker-14", "worker", "busy", 0, nil)
	add("troupe/jobs", "jobs", "idle", 0, func(a *inspect.Actor) { a.Paused = true })
	add("troupe/prepare", "prepare", "idle", 1, nil)
	add("troupe/prepare/worker-3", "worker", "busy", 0, nil)
	add("troupe/sessions", "sessions", "idle", 2, nil)
	add("troupe/sessions/app-"+App[:8], "app", "idle", 0, func(a *inspect.Actor) { a.App = App })
	add("troupe/sessions/app-"+BrokenApp[:8], "app", "gave_up", 0, func(a *inspect.Actor) {
		a.App, a.Restarts, a.LastFault = BrokenApp, 5, "guest.trap"
		a.Dropped = map[string]uint64{"canceled.deadline": 4}
	})
	for i := len(m.b.Host.Actors); i < n; i++ {
		add(fmt.Sprintf("troupe/execute/worker-%05d", 100+i), "worker", "idle", 0, nil)
	}
	m.b.Mailboxes[Wedged] = []inspect.Letter{
		{At: ago(42 * time.Second), Actor: Wedged, Type: "chain.BlockSeen", Lane: "work", Cause: Cause},
		{At: ago(36 * time.Second), Actor: Wedged, Type: "chain.BlockSeen", Lane: "work", Cause: Cause},
	}
}

func flights(a inspect.Actor) []inspect.Flight {
	list := []inspect.Flight{
		{Seq: 1, At: ago(50 * time.Second), What: "handled", Type: a.Kind + ".Tick", Lane: "work", Cause: Cause, WaitMicros: 900, TookMicros: 41},
		{Seq: 2, At: ago(45 * time.Second), What: "state", State: a.State},
	}
	if a.LastFault != "" {
		list = append(list, inspect.Flight{Seq: 3, At: ago(2 * time.Second), What: "panicked", Type: a.Kind + ".Assign", Lane: "work", Cause: Cause, TookMicros: 2_100_000, Fault: a.LastFault})
	}
	return list
}

func (m *maker) guests() {
	m.b.Guests = []inspect.Guest{
		{ID: Spinning, Kind: "job", Tenant: m.text("uid:1000"), Job: Spinning, CodeHash: GoodKey, Artifact: GoodKey, Worker: "execute-12", Priority: "normal", Stage: "running", Since: ago(11 * time.Second), StartedAt: ago(11 * time.Second),
			Deadline: At.Add(37 * time.Second), Engine: "compiler", MemoryBytes: 3 << 20, MemoryPeak: 4 << 20, MemoryCap: 128 << 20, Gas: 9_100_000_000, CPUMicros: 10_900_000, CPUCap: 12_000_000, WallCap: 48_000_000, Cause: Cause},
		{ID: "app/" + App + "/1", Kind: "instance", Tenant: "uid:1000", App: App, CodeHash: GoodKey, Artifact: GoodKey, Worker: "execute-14", Priority: "high", Stage: "running", Since: ago(20 * time.Minute), StartedAt: ago(20 * time.Minute),
			Engine: "compiler", MemoryBytes: 9 << 20, MemoryPeak: 12 << 20, MemoryCap: 64 << 20, Gas: 77_000_000, CPUMicros: 2_300_000, Calls: map[string]int64{"log": 12, "http_get": 4}, Handles: 2},
		{ID: SlowKey, Kind: "prepare", Tenant: "uid:1000", CodeHash: SlowKey, Artifact: SlowKey, Worker: "prepare-3", Priority: "normal", Stage: "running", Since: ago(4 * time.Minute), StartedAt: ago(4 * time.Minute), CPUMicros: 231_000_000, CPUCap: 360_000_000},
	}
}

func (m *maker) jobs() {
	events := []run.JobEvent{{At: ago(12 * time.Second), What: "submitted", By: "uid:1000"}, {At: ago(11 * time.Second), What: "started", By: "host"}}
	m.b.Jobs = []run.Job{
		{ID: Settled, Tenant: "uid:1000", State: run.JobSettled, Priority: "normal", CodeHash: GoodKey, Starts: 1, SubmittedAt: ago(time.Hour), StartedAt: ago(time.Hour), SettledAt: ago(time.Hour - time.Second), Receipt: &run.Receipt{Verdict: "ok"}},
		{ID: Crashed, Tenant: m.text("uid:1000"), State: run.JobSettled, Priority: "high", CodeHash: GoodKey, Starts: 2, SubmittedAt: ago(30 * time.Minute), SettledAt: ago(29 * time.Minute), Receipt: &run.Receipt{Verdict: "guest", Fault: "guest.trap", Message: m.text("unreachable")}},
		{ID: Spinning, Tenant: "uid:1000", State: run.JobRunning, Priority: "normal", CodeHash: GoodKey, Starts: 1, SubmittedAt: ago(12 * time.Second), StartedAt: ago(11 * time.Second), Events: events},
		{ID: Waiting, Key: m.text("nightly"), Tenant: "uid:1000", State: run.JobQueued, Priority: "normal", CodeHash: SlowKey, SubmittedAt: ago(4 * time.Minute), Events: events[:1]},
		{ID: Waiting[:24] + "B2", Tenant: "uid:1001", State: run.JobQueued, Priority: "background", CodeHash: SlowKey, SubmittedAt: ago(3 * time.Minute)},
		{ID: Waiting[:24] + "B3", Tenant: "uid:1001", State: run.JobQueued, Priority: "background", CodeHash: BadKey, SubmittedAt: ago(2 * time.Minute)},
	}
	m.b.Timelines[Spinning] = inspect.Timeline{ID: Spinning, State: "running", Cause: Cause, WallMicros: 12_000_000, CPUMicros: 10_900_000, WaitMicros: 1_000_000, Workers: []string{"execute-12"}, At: At, Stages: []inspect.Stage{
		{Name: "received", At: ago(12 * time.Second), Micros: 2_000}, {Name: "admitted", At: ago(11998 * time.Millisecond), Micros: 8_000},
		{Name: "artifact-wait", At: ago(11990 * time.Millisecond), Micros: 700_000, Waits: "the preparation of " + GoodKey[:8], Owner: "troupe/prepare"},
		{Name: "queued", At: ago(11290 * time.Millisecond), Micros: 280_000, Waits: "an idle worker", Owner: "troupe/execute"}, {Name: "assigned", At: ago(11010 * time.Millisecond), Micros: 10_000},
		{Name: "running", At: ago(11 * time.Second), Micros: 11_000_000},
	}}
	m.b.Timelines[Waiting] = inspect.Timeline{ID: Waiting, State: "queued", WallMicros: 240_000_000, WaitMicros: 240_000_000, At: At, Stages: []inspect.Stage{
		{Name: "received", At: ago(4 * time.Minute), Micros: 2_000}, {Name: "artifact-wait", At: ago(4*time.Minute - 2*time.Millisecond), Micros: 239_998_000, Waits: "the preparation of " + SlowKey[:8], Owner: "troupe/prepare"},
	}}
	m.b.Explanations[Waiting] = inspect.Explanation{ID: Waiting, Kind: "job", State: "queued", Summary: "it waits for its code to be prepared", At: At, Because: []inspect.Because{
		{ID: SlowKey, Kind: "artifact", Words: "the artifact is being prepared", Owner: "troupe/prepare", Since: ago(4 * time.Minute)},
		{ID: "prepare-3", Kind: "worker", Words: "one worker has compiled it for 4 min of at most 6 min of CPU time", Owner: "prepare-3", Since: ago(4 * time.Minute)},
	}, Advice: []string{"raise it with 'u' if it is urgent"}}
	m.b.Explanations[BadKey] = inspect.Explanation{ID: BadKey, Kind: "artifact", State: "failed", Blame: "suspect", Summary: "its preparation failed twice; the worker died each time", At: At,
		Because: []inspect.Because{{Kind: "worker", Words: m.text("killed by signal 9"), Owner: "prepare-2", Since: ago(time.Minute)}}, Advice: []string{"retry it with 'r', or wait until the cool-down ends"}}
}

func (m *maker) apps() {
	m.b.Apps = []inspect.App{
		{Address: App, Session: "51" + App[2:], Label: m.text("pricing"), Tenant: "uid:1000", Version: 1, CodeHash: GoodKey, Entry: "service", Reuse: "keep", Resizable: true, State: "running", Wanted: 2, Running: 1, Active: 1, Queued: 3, Weight: 1, Deployed: ago(20 * time.Minute), Sequence: 1,
			Metrics: inspect.AppMetrics{Address: App, RunningTimeMS: 1_200_000, Gas: 77_000_000, NetworkIngress: 9000, NetworkEgress: 1200, StorageUsed: "0", MemoryUsed: "991"}},
		{Address: BrokenApp, Session: "51" + BrokenApp[2:], Label: m.text("broken"), Tenant: "uid:1000", Version: 1, CodeHash: BadKey, Entry: "handler", Reuse: "reset", OnDemand: true, State: "failed", Reason: m.text("it gave up after 5 restarts"), Wanted: 1, Restarts: 5, Weight: 1, Deployed: ago(10 * time.Minute), LastEnd: "guest.trap", LastEndAt: ago(9 * time.Minute), Sequence: 2},
	}
	m.b.Session = &inspect.Session{ID: "5e55", WorkerKey: "aa" + App[2:], SN: 4, Opened: ago(76 * time.Hour), Apps: 2, Slots: 16, SlotsUsed: 2}
	m.b.Blobs = []inspect.Blob{{Hash: "sha256:" + GoodKey, Bytes: 1 << 20, Since: ago(time.Hour), Apps: []string{App}}}
}

func (m *maker) chain() {
	m.b.Chain = &inspect.ChainView{URL: "http://127.0.0.1:9999", Chain: inspect.Chain{
		Name: "devchain", Genesis: GoodKey, Head: 48_211, Finalized: 48_209, Tip: 48_250, Lag: 39, HeadTime: ago(42 * time.Second), BlockTime: 6 * time.Second, Connected: true, Since: ago(time.Hour),
		Outbox: map[string]int{"waiting": 1, "in_block": 1}, Bytes: 700, Cap: 1024, Oldest: ago(9 * time.Second), Included: 812, Finished: 811, Forks: 2,
	}, Reporter: inspect.Reporter{Worker: App, Height: 48_211, Following: true, Registered: true, SN: 4, Duties: []inspect.Duty{
		{Name: "register", State: "done"}, {Name: "report", State: "waiting", Reason: "the next one is due in 40 s", Next: At.Add(40 * time.Second)},
	}}, Follower: inspect.Follower{State: "reading", Since: ago(42 * time.Second), Head: 48_211, Finalized: 48_209, Apps: map[string]int{"running": 1}}}
	m.b.Calls = []inspect.Outgoing{
		{Number: 1, Key: "report/4", Call: "Wapod.ticket_settle", Sender: App, Class: "report", State: "in_block", Accepted: ago(9 * time.Second), Since: ago(3 * time.Second), Block: 48_210, Tries: 1},
		{Number: 2, Key: "beat/9", Call: "Worker.heartbeat", Sender: App, Class: "urgent", State: "waiting", Accepted: ago(time.Second)},
	}
	m.b.Demands = []inspect.Demand{{ID: "app/" + App, Kind: "ticket", State: "running", Since: ago(20 * time.Minute), App: App, Tickets: []uint64{7}, Balance: "1000"}}
	m.b.Pay = []inspect.Pay{{Address: App, Tickets: []uint64{7}, Paid: "120", Debt: "0", Height: 48_200, At: ago(time.Minute)}}
}

func (m *maker) records() {
	m.b.Dead = []inspect.Letter{
		{ID: "d-1", At: ago(2 * time.Second), Actor: "troupe/execute/worker-13", Type: "execute.Assign", Lane: "work", Cause: Cause, Code: "busy.queue_full", Reason: m.text("its mailbox was full"), Replayable: true},
		{ID: "d-2", At: ago(time.Minute), Actor: "troupe/sessions/app-dead0000", Type: "sessions.Query", Lane: "work", Code: "caller.not_found", Reason: "nobody has this name"},
	}
	for i := range 40 {
		m.b.Log = append(m.b.Log, inspect.LogLine{Seq: uint64(i + 1), At: ago(time.Duration(40-i) * time.Second), Level: "info", Message: fmt.Sprintf("request %d answered", i)})
	}
	m.b.Log = append(m.b.Log, inspect.LogLine{Seq: 41, At: ago(time.Second), Level: "error", Code: "guest.trap", Message: m.text("an instance trapped"), Fields: map[string]any{"app": m.text("pricing"), "n": 3}, Suppressed: 12})
	m.b.Audit = []api.Audit{
		{Seq: 1, At: ago(time.Hour), Caller: "uid:0", Origin: "unix cli", Route: "POST /v1/plans/{id}/apply", Verb: "app.restart", Target: App, Reason: m.text("it hung"), Outcome: "done"},
		{Seq: 2, At: ago(time.Minute), Caller: "uid:1000", Origin: "unix top", Route: "POST /v1/plans", Verb: "worker.kill", Target: "execute-12", Outcome: "refused", Code: "caller.denied"},
	}
	m.b.Config = []api.Setting{{Name: "execute_workers", Value: "4", Origin: "default"}, {Name: "log_level", Value: "info", Origin: "flag", Live: true}}
}
