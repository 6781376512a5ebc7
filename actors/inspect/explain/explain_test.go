package explain

import (
	"strings"
	"testing"
	"time"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/testdata/hostile"
)

var now = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func ago(d time.Duration) time.Time { return now.Add(-d) }

const (
	key  = "3f9a2c0000000000000000000000000000000000000000000000000000000001"
	key2 = "77aa2c0000000000000000000000000000000000000000000000000000000002"
	code = "c0de000000000000000000000000000000000000000000000000000000000003"
	addr = "a4400000000000000000000000000000000000000000000000000000000000ff"
)

func job(change func(j *run.Job)) run.Job {
	j := run.Job{ID: "j-9f3", State: run.JobQueued, Priority: "normal", CodeHash: code, SubmittedAt: ago(time.Minute)}
	if change != nil {
		change(&j)
	}
	return j
}

// busyPrepare is a host whose prepare worker is busy with another code, with three before ours.
func busyPrepare(f *Facts) {
	f.Host.Artifacts = []inspect.Artifact{{Key: key, CodeHash: code, State: "preparing", Priority: "normal", Waiting: 2, LastNeeded: ago(9 * time.Second)}}
	f.Host.Workers = []inspect.Worker{{ID: "prepare-1", Kind: "prepare", State: "busy", Tenant: "bob", Artifact: key2, Since: ago(40 * time.Second)}}
	q := inspect.Queue{Name: "prepare", Cap: 8, Soft: 1, Hard: 2, Running: 1, Parked: map[string]int{"high": 3, "normal": 1}, OldestAt: ago(30 * time.Second),
		Preparations: []inspect.Preparation{{Job: 1, Artifact: key2, State: "running", Priority: "normal", StartedAt: ago(40 * time.Second)}}}
	for n := range uint64(3) {
		q.Preparations = append(q.Preparations, inspect.Preparation{Job: 2 + n, Artifact: "other", State: "parked", Priority: "high", Since: ago(5 * time.Second)})
	}
	q.Preparations = append(q.Preparations, inspect.Preparation{Job: 9, Artifact: key, State: "parked", Priority: "normal", Since: ago(9 * time.Second)})
	f.Host.Queues = []inspect.Queue{q}
}

// busyExecute is a host whose execute workers are busy.
func busyExecute(f *Facts) {
	f.Host.Queues = []inspect.Queue{{Name: "execute", Cap: 4, Soft: 2, Hard: 3, Running: 2, Parked: map[string]int{"normal": 4}, OldestAt: ago(20 * time.Second)}}
	f.Host.Workers = []inspect.Worker{
		{ID: "execute-1", Kind: "execute", State: "busy", Tenant: "bob", Artifact: key2, Since: ago(3 * time.Second)},
		{ID: "execute-2", Kind: "execute", State: "busy", Tenant: "eve", Artifact: key2, Since: ago(50 * time.Second)}}
	f.Guests = append(f.Guests, inspect.Guest{ID: "run-4", Kind: "run", Tenant: "eve", Worker: "execute-2", Stage: "running", Since: ago(50 * time.Second)})
}

func prepared(f *Facts) {
	f.Host.Artifacts = []inspect.Artifact{{Key: key, CodeHash: code, State: "prepared"}}
}

func TestReasons(t *testing.T) {
	jobs := func(f *Facts, change func(j *run.Job)) { f.Jobs = []run.Job{job(change)} }
	chainOf := func(f *Facts, change func(v *inspect.ChainView)) {
		v := inspect.ChainView{URL: "http://node:9944", Chain: inspect.Chain{Name: "embedded", Connected: true, Head: 77, Outbox: map[string]int{"waiting": 3}, Waiting: "3 calls are signed"}}
		if change != nil {
			change(&v)
		}
		f.Chain = &v
	}
	app := func(f *Facts, state string, change func(a *inspect.App)) {
		a := inspect.App{Address: addr, Label: "pricing", State: state, CodeHash: "sha256:" + code, Wanted: 1, LastEndAt: ago(9 * time.Minute)}
		if change != nil {
			change(&a)
		}
		f.Apps = append(f.Apps, a)
	}
	actor := func(f *Facts, change func(a *inspect.Actor)) {
		a := inspect.Actor{Path: "troupe/jobs", Kind: "jobs", State: "idle", MaxRestarts: 5}
		change(&a)
		f.Host.Actors = []inspect.Actor{a}
	}
	for name, row := range map[string]struct {
		id    string
		facts func(f *Facts)
		// what the summary, the links and the advice say; each in this order
		sum    string
		words  []string
		advice []string
		blame  string
		state  string
		owner  string // of the last link
	}{
		"job behind a preparation": {id: "j-9f3", facts: func(f *Facts) { jobs(f, nil); busyPrepare(f) },
			sum:    "Job j-9f3 waits for its code to be prepared.",
			words:  []string{"artifact 3f9a2c000000 is being prepared for 2 requests", "of normal priority is queued for 9s, behind 3 of up to high priority", "4 things wait in the prepare queue, 3 of high and 1 of normal, the oldest for 30s", "all 1 workers of the prepare queue are busy", "worker prepare-1 prepares 77aa2c000000 for 40s"},
			advice: []string{"troupe worker show prepare-1", "troupe job escalate j-9f3"}, owner: "the code of bob"},
		"job behind other runs": {id: "j-9f3", facts: func(f *Facts) { jobs(f, nil); prepared(f); busyExecute(f) },
			sum:    "Job j-9f3 waits for its turn in the execute queue, for 1m0s.",
			words:  []string{"4 things wait in the execute queue, 4 of normal, the oldest for 20s; it is full", "all 2 workers of the execute queue are busy", "the guest run-4 of eve runs on worker execute-2 for 50s", "worker execute-1 runs 77aa2c000000 for 3s"},
			advice: []string{"troupe worker show execute-2", "troupe job escalate j-9f3"}},
		"job that runs": {id: "j-9f3", facts: func(f *Facts) {
			jobs(f, func(j *run.Job) { j.State = run.JobRunning })
			f.Guests = []inspect.Guest{{ID: "run-1", Job: "j-9f3", Tenant: "ann", Stage: "running", Worker: "execute-3", Since: ago(640 * time.Millisecond), CPUMicros: 610_000, CPUCap: 2_000_000, Deadline: now.Add(7 * time.Second)}}
		}, sum: "Job j-9f3 waits for nothing but its own code: it runs for 640ms.", words: []string{"its code runs on worker execute-3 for 640ms, has used 610ms of 2s of CPU time, and is ended in 7s at the latest"}, advice: []string{"troupe job cancel --reason WHY j-9f3"}, owner: "the code of ann"},
		"job whose guest waits for the artifact": {id: "j-9f3", facts: func(f *Facts) {
			jobs(f, func(j *run.Job) { j.State = run.JobRunning })
			busyPrepare(f)
			f.Guests = []inspect.Guest{{ID: "run-1", Job: "j-9f3", Stage: "artifact-wait", Artifact: key, Since: ago(9 * time.Second)}}
		}, sum: "Job j-9f3 waits for its code to be prepared, for 9s.", words: []string{"artifact 3f9a2c000000 is being prepared", "behind 3 of up to high"}},
		"job at the handshake": {id: "j-9f3", facts: func(f *Facts) {
			jobs(f, func(j *run.Job) { j.State = run.JobRunning })
			f.Guests = []inspect.Guest{{ID: "run-1", Job: "j-9f3", Stage: "handshake", Worker: "execute-3", Since: ago(time.Second)}}
		}, sum: "waits for worker execute-3 to begin with it", words: []string{"the worker is greeting the host"}, owner: "the worker"},
		"job that is done": {id: "j-9f3", facts: func(f *Facts) {
			jobs(f, func(j *run.Job) {
				j.State, j.SettledAt, j.Receipt = run.JobSettled, ago(5*time.Second), &run.Receipt{Verdict: "ok"}
			})
		}, sum: "Job j-9f3 waits for nothing: it is done, 5s ago."},
		"job that trapped": {id: "j-9f3", facts: func(f *Facts) {
			jobs(f, func(j *run.Job) {
				j.State, j.SettledAt, j.Receipt = run.JobSettled, ago(5*time.Second), &run.Receipt{Verdict: "guest", Fault: string(fault.GuestTrap)}
			})
		}, sum: "it has failed, the guest trapped (guest.trap): the fault of the code or its input.", blame: "guest", words: []string{"it ended 5s ago"}, advice: []string{"troupe job show j-9f3"}},
		"job in doubt": {id: "j-9f3", facts: func(f *Facts) {
			jobs(f, func(j *run.Job) {
				j.State, j.SettledAt, j.Fault = run.JobSettled, ago(5*time.Second), "suspect.worker_died"
			})
		}, sum: "the code or this machine, it cannot be told which", blame: "suspect", advice: []string{"troupe job retry j-9f3"}},
		"job while the queue is paused": {id: "j-9f3", facts: func(f *Facts) {
			jobs(f, nil)
			prepared(f)
			f.Host.Queues = []inspect.Queue{{Name: "execute", Soft: 2, Paused: true}}
		}, sum: "waits for an operator: a queue is paused", words: []string{"the execute queue is paused"}, advice: []string{"troupe queue resume execute"}, owner: "an operator"},
		"job while an actor is paused": {id: "j-9f3", facts: func(f *Facts) {
			jobs(f, nil)
			prepared(f)
			f.Host.Queues = []inspect.Queue{{Name: "execute", Soft: 2}}
			f.Host.Actors = []inspect.Actor{{Path: "troupe/execute", State: "idle", Paused: true}}
		}, words: []string{"actor troupe/execute is paused"}, advice: []string{"troupe actor resume troupe/execute"}, sum: "waits for an operator: actor troupe/execute is paused"},
		"job while an actor is wedged": {id: "j-9f3", facts: func(f *Facts) {
			jobs(f, nil)
			prepared(f)
			f.Host.Actors = []inspect.Actor{{Path: "troupe/report", Paused: true}, {Path: "troupe/cache", State: "busy", Handling: "cache.Ask", HandledAt: ago(time.Minute)}}
		}, words: []string{"actor troupe/cache handles cache.Ask for 1m0s"}, advice: []string{"troupe actor show troupe/cache"}, sum: "waits for the handler of actor troupe/cache"},
		"job whose code nobody prepares": {id: "j-9f3", facts: func(f *Facts) {
			jobs(f, nil)
			f.Host.Queues = []inspect.Queue{{Name: "prepare", Paused: true}}
		}, sum: "waits for an operator: a queue is paused", words: []string{"the prepare queue is paused"}, advice: []string{"troupe queue resume prepare"}},
		"job whose code is there": {id: "j-9f3", facts: func(f *Facts) {
			jobs(f, nil)
			prepared(f)
			f.Host.Queues = []inspect.Queue{{Name: "prepare", Paused: true}}
		}, sum: "waits for its turn"},
		"job while the host drains": {id: "j-9f3", facts: func(f *Facts) { jobs(f, nil); prepared(f); f.Host.Draining = true },
			sum: "waits for its turn", words: []string{"the host is draining"}},
		"job while the disk is full": {id: "j-9f3", facts: func(f *Facts) {
			jobs(f, nil)
			f.Host.Store = inspect.Store{FreeBytes: 50 << 20, ReserveBytes: 128 << 20, ReadOnlySince: ago(time.Hour)}
		}, sum: "waits for its turn", words: []string{"free disk space is below the reserve (50 of 128 MiB): nothing is written"}, advice: []string{"free some disk space"}},
		"job that cannot be written": {id: "j-9f3", facts: func(f *Facts) {
			jobs(f, nil)
			f.Host.Health = []inspect.Health{{Code: "jobs.unwritten", Message: "what happened to jobs cannot be written", Hint: "check the disk", Since: ago(time.Minute)}}
		}, sum: "waits for its turn", words: []string{"cannot be written"}, advice: []string{"check the disk"}},
		"job with a deadline": {id: "j-9f3", facts: func(f *Facts) { jobs(f, func(j *run.Job) { j.Deadline = now.Add(time.Minute) }) },
			sum: "waits for its turn", words: []string{"it must start before its deadline, in 1m0s"}, owner: "who submitted it"},
		"job whose code failed": {id: "j-9f3", facts: func(f *Facts) {
			jobs(f, nil)
			f.Host.Artifacts = []inspect.Artifact{{Key: key, CodeHash: code, State: "failed", Fault: "suspect.worker_died", RetryAt: now.Add(90 * time.Second), PreparedAt: ago(time.Second)}}
		}, sum: "waits for its code to be prepared", words: []string{"artifact 3f9a2c000000 has failed", "it is in its cool-down, which ends in 1m30s"}, advice: []string{"troupe artifact retry 3f9a2c000000"}},

		"artifact that is prepared now": {id: "3f9a", facts: func(f *Facts) {
			busyPrepare(f)
			f.Host.Queues[0].Preparations = []inspect.Preparation{{Artifact: key, State: "running", StartedAt: ago(2 * time.Second), BudgetCPU: 360e6}}
		}, sum: "Artifact 3f9a2c000000 waits for its preparation; 2 requests wait for it.", words: []string{"a worker prepares 3f9a2c000000 for 2s, of a budget of 6m0s of CPU time"}, advice: []string{"troupe artifact raise 3f9a2c000000"}},
		"artifact held back": {id: key, facts: func(f *Facts) {
			busyPrepare(f)
			f.Host.Queues[0].Preparations = []inspect.Preparation{{Artifact: key, State: "held", Held: "nice"}, {Artifact: key2, State: "running", Priority: "critical", StartedAt: ago(time.Second)}}
		}, sum: "waits for its preparation", words: []string{"held back (nice) while a critical one runs", "artifact 77aa2c000000, which is critical, is prepared for 1s"}},
		"artifact in back-off": {id: key, facts: func(f *Facts) {
			busyPrepare(f)
			f.Host.Queues[0].Preparations = []inspect.Preparation{{Artifact: key, State: "backoff", Since: ago(4 * time.Second)}}
		}, sum: "waits for its preparation", words: []string{"the next one is after a back-off"}},
		"artifact in cool-down": {id: key, facts: func(f *Facts) {
			f.Host.Artifacts = []inspect.Artifact{{Key: key, State: "failed", Fault: string(fault.HostDiskIO), Failures: 2, RetryAt: now.Add(time.Minute)}}
		}, sum: "waits for its cool-down, which ends in 1m0s", blame: "host", words: []string{"it has failed 2 times"}, advice: []string{"troupe artifact retry 3f9a2c000000"}},
		"artifact that can never be": {id: key, facts: func(f *Facts) {
			f.Host.Artifacts = []inspect.Artifact{{Key: key, State: "failed", Fault: string(fault.GuestCodeTooLarge), Message: "\x1b[2J"}}
		}, sum: "waits for nothing: its preparation has failed", blame: "guest", words: []string{"the same code fails again in the same way: \ufffd[2J"}},
		"artifact in quarantine": {id: key, facts: func(f *Facts) {
			f.Host.Artifacts = []inspect.Artifact{{Key: key, State: "prepared", RetryAt: now.Add(15 * time.Minute)}}
		}, sum: "waits for the end of its quarantine, in 15m0s", words: []string{"several times in a row"}, advice: []string{"troupe artifact show 3f9a2c000000", "troupe artifact evict --reason WHY 3f9a2c000000"}},
		"artifact that is ready": {id: key, facts: func(f *Facts) {
			f.Host.Artifacts = []inspect.Artifact{{Key: key, State: "prepared", InUse: 1}}
		}, sum: "waits for nothing: it is prepared, and 1 run uses it."},
		"code hash": {id: code, facts: prepared, sum: "Artifact 3f9a2c000000 waits for nothing"},

		"queue":        {id: "execute", facts: busyExecute, sum: "The execute queue waits for workers: 4 are queued, the oldest for 20s.", words: []string{"4 things wait", "all 2 workers", "run-4"}, state: "waiting"},
		"paused queue": {id: "execute", facts: func(f *Facts) { busyExecute(f); f.Host.Queues[0].Paused = true }, sum: "it is paused, and 4 things wait in it", words: []string{"is paused"}, advice: []string{"troupe queue resume execute"}, state: "paused"},
		"paused queue that jobs wait for": {id: "execute", facts: func(f *Facts) {
			f.Host.Queues = []inspect.Queue{{Name: "execute", Soft: 2, Paused: true}, {Name: "jobs", Parked: map[string]int{"normal": 3}, OldestAt: ago(time.Minute)}}
		}, sum: "it is paused, and 3 things wait for that, the oldest for 1m0s", words: []string{"3 jobs wait in the jobs queue", "is paused"}, advice: []string{"troupe queue resume execute"}, state: "paused", owner: "an operator"},
		"jobs behind a paused queue": {id: "jobs", facts: func(f *Facts) {
			f.Host.Queues = []inspect.Queue{{Name: "execute", Soft: 2, Paused: true}, {Name: "jobs", Parked: map[string]int{"normal": 1}, OldestAt: ago(time.Minute)}}
		}, sum: "the execute queue is paused, and 1 job waits for that, the oldest for 1m0s", words: []string{"the execute queue is paused", "1 thing waits in the jobs queue"}, advice: []string{"troupe queue resume execute"}, state: "waiting"},
		"jobs behind busy workers": {id: "jobs", facts: func(f *Facts) {
			busyExecute(f)
			f.Host.Queues = append(f.Host.Queues, inspect.Queue{Name: "jobs", Parked: map[string]int{"normal": 9}, OldestAt: ago(time.Minute)})
		}, sum: "The jobs queue waits for room among those that run: 9 are queued, the oldest for 1m0s.", words: []string{"all 2 workers of the execute queue are busy", "9 things wait in the jobs queue"}, state: "waiting"},
		"paused preparations": {id: "prepare", facts: func(f *Facts) {
			f.Host.Queues = []inspect.Queue{{Name: "prepare", Paused: true}, {Name: "jobs", Parked: map[string]int{"normal": 2}}}
		}, sum: "it is paused, and 2 jobs wait in the jobs queue", words: []string{"the prepare queue is paused"}, advice: []string{"troupe queue resume prepare"}, state: "paused"},
		"empty queue": {id: "prepare", facts: func(f *Facts) { f.Host.Queues = []inspect.Queue{{Name: "prepare"}} }, sum: "The prepare queue waits for nothing: nothing is queued, and nothing runs.", state: "idle"},

		"busy worker": {id: "execute-2", facts: busyExecute, sum: "Worker execute-2 waits for the code that it runs, for 50s.", words: []string{"run-4 of eve"}, advice: []string{"troupe worker kill --reason WHY execute-2"}},
		"idle worker to be recycled": {id: "w", facts: func(f *Facts) {
			f.Host.Workers = []inspect.Worker{{ID: "w", State: "idle", Recycle: "it is old", Since: ago(time.Second)}}
		}, sum: "waits for work", words: []string{"it ends when it is idle: it is old"}},
		"starting worker": {id: "w", facts: func(f *Facts) {
			f.Host.Workers = []inspect.Worker{{ID: "w", State: "starting", PID: 42, Since: ago(time.Second)}}
		}, sum: "waits for its process to greet the host, for 1s", words: []string{"confines itself"}, owner: "the worker process 42"},

		"paused actor": {id: "troupe/jobs", facts: func(f *Facts) {
			actor(f, func(a *inspect.Actor) { a.Paused, a.Depth, a.OldestSince = true, 7, ago(time.Minute) })
		}, sum: "its work lane is paused, with 7 messages in its mailbox", words: []string{"is paused", "7 messages wait in its mailbox, the oldest for 1m0s"}, advice: []string{"troupe actor resume troupe/jobs"}},
		"actor in back-off": {id: "troupe/jobs", facts: func(f *Facts) {
			actor(f, func(a *inspect.Actor) {
				a.State, a.NextRestart, a.Restarts, a.LastFault = "backoff", now.Add(4*time.Second), 2, "jobs: "+fault.Describe(fault.HostDiskIO).Text
			})
		}, sum: "waits for its restart, in 4s: it has failed 2 of 5 times", blame: "host", words: []string{"is in back-off and restarts in 4s"}, owner: "its supervisor"},
		"wedged actor": {id: "troupe/jobs", facts: func(f *Facts) {
			actor(f, func(a *inspect.Actor) { a.State, a.Handling, a.HandledAt = "busy", "jobs.Submit", ago(time.Minute) })
		}, sum: "waits for its handler: it handles jobs.Submit for 1m0s", words: []string{"handles jobs.Submit for 1m0s"}, advice: []string{"troupe actor show troupe/jobs", "troupe actor restart troupe/jobs"}},
		"actor that was given up": {id: "troupe/jobs", facts: func(f *Facts) {
			actor(f, func(a *inspect.Actor) { a.State, a.LastFault = "gave_up", "something" })
		}, sum: "was given up", blame: "bug", words: []string{"was given up: something"}},
		"actor with requests": {id: "troupe/jobs", facts: func(f *Facts) { actor(f, func(a *inspect.Actor) { a.Requests = 2 }) }, sum: "waits for 2 answers of others"},
		"actor with a timer": {id: "troupe/jobs", facts: func(f *Facts) {
			actor(f, func(a *inspect.Actor) { a.Timers, a.NextTimer = 1, now.Add(time.Second) })
		}, sum: "waits for a timer, which fires in 1s"},
		"idle actor": {id: "troupe/jobs", facts: func(f *Facts) { actor(f, func(*inspect.Actor) {}) }, sum: "waits for nothing: it is idle"},

		"app that is prepared": {id: addr, facts: func(f *Facts) { app(f, "preparing", nil); busyPrepare(f) }, sum: "App a44000000000 (pricing) waits for its code to be prepared.", words: []string{"is being prepared", "behind 3"}, advice: []string{"troupe worker show prepare-1", "troupe app raise a44000000000"}},
		"app without a slot": {id: "a440", facts: func(f *Facts) {
			app(f, "waiting", nil)
			f.Session = inspect.Session{Slots: 8, SlotsUsed: 8}
			f.Apps = append(f.Apps, inspect.App{Address: key2, Running: 8, State: "running"})
		}, sum: "waits for a slot: 0 of 1 instances run", words: []string{"8 of 8 slots for instances are taken", "app 77aa2c000000 has 8 instances"}},
		"app in back-off": {id: addr, facts: func(f *Facts) {
			app(f, "backoff", func(a *inspect.App) { a.NextAt, a.LastEnd = now.Add(2*time.Second), string(fault.GuestTrap) })
		}, sum: "waits for its back-off, and begins again in 2s", blame: "guest", words: []string{"its last instance ended 9m0s ago: the guest trapped"}, advice: []string{"troupe app logs"}},
		"scheduled app": {id: addr, facts: func(f *Facts) { app(f, "scheduled", func(a *inspect.App) { a.NextAt = now.Add(time.Minute) }) }, sum: "the next run begins in 1m0s"},
		"stopped app":   {id: addr, facts: func(f *Facts) { app(f, "stopped", func(a *inspect.App) { a.Reason = "an operator stopped it" }) }, sum: "waits for an operator: it is stopped", words: []string{"an operator stopped it"}, advice: []string{"troupe app start a44000000000"}},
		"app that is down": {id: addr, facts: func(f *Facts) {
			app(f, "failed", func(a *inspect.App) { a.LastEnd = string(fault.GuestMemory) })
		}, sum: "it is down", blame: "guest", words: []string{"its last instance ended"}},
		"running app": {id: addr, facts: func(f *Facts) { app(f, "running", func(a *inspect.App) { a.Active = 1 }) }, sum: "waits for nothing: it is running, with 1 request under way"},
		"app with requests": {id: addr, facts: func(f *Facts) {
			app(f, "running", func(a *inspect.App) { a.Queued = 3 })
		}, sum: "waits for nothing", words: []string{"3 requests wait for an instance"}},

		"chain": {id: "chain", facts: func(f *Facts) { chainOf(f, nil) }, sum: "The outbox waits until 3 calls are signed; 3 calls are on the way.", words: []string{"it waits until 3 calls are signed"}},
		"paused chain": {id: "chain", facts: func(f *Facts) {
			chainOf(f, func(v *inspect.ChainView) { v.Chain.Paused = true })
			f.Host.Health = []inspect.Health{{Code: "chain.paused", Since: ago(time.Hour)}}
		}, sum: "it is paused, and 3 calls are on the way", words: []string{"nothing is signed or submitted"}, advice: []string{"troupe chain resume"}, state: "paused"},
		"chain that is down": {id: "chain", facts: func(f *Facts) {
			chainOf(f, func(v *inspect.ChainView) {
				v.Chain.Connected, v.Chain.Since, v.Chain.LastError = false, ago(time.Minute), "refused"
			})
		}, sum: "waits for the chain, which does not answer for 1m0s", words: []string{"does not answer for 1m0s: refused"}, state: "lost", owner: "who runs the chain at http://node:9944"},
		"other chain": {id: "chain", facts: func(f *Facts) {
			chainOf(f, func(v *inspect.ChainView) { v.Follower.State = "other_chain" })
		}, sum: "The outbox waits", words: []string{"another chain answers"}, advice: []string{"troupe chain adopt"}},
		"no chain":   {id: "chain", facts: func(*Facts) {}, sum: "this host has none", state: "none"},
		"idle chain": {id: "chain", facts: func(f *Facts) { chainOf(f, func(v *inspect.ChainView) { v.Chain.Outbox, v.Chain.Waiting = nil, "" }) }, sum: "waits for nothing: no call is on its way, and block 77"},
		"call": {id: "pay/1", facts: func(f *Facts) {
			chainOf(f, func(v *inspect.ChainView) { v.Chain.Paused = true })
			f.Calls = []inspect.Outgoing{{Number: 4, Key: "pay/1", Call: "Wapod.pay", State: "waiting", Since: ago(time.Second), Next: now.Add(3 * time.Second), Error: "no"}}
		}, sum: "Call Wapod.pay waits to be signed, for 1s.", words: []string{"the last try: no", "it is tried again in 3s", "the outbox is paused"}},
		"call by number": {id: "call/4", facts: func(f *Facts) {
			f.Calls = []inspect.Outgoing{{Number: 4, Key: "pay/1", Call: "Wapod.pay", State: "failed", Block: 9, Error: "Wapod.NotAllowed"}}
		}, sum: "final in block 9, and has failed there: Wapod.NotAllowed", blame: "caller"},
		"request": {id: "request/7", facts: func(f *Facts) {
			f.Demands = []inspect.Demand{{ID: "request/7", Kind: "request", State: "waiting", Reason: "its image is fetched", Since: ago(time.Second), Tries: 2, NextAt: now.Add(time.Second)}}
		}, sum: "is waiting for 1s: its image is fetched.", words: []string{"it has failed 2 times in a row, and is tried again in 1s"}},
		"ticket": {id: "ticket/12", facts: func(f *Facts) {
			app(f, "failed", nil)
			f.Demands = []inspect.Demand{{ID: "app/" + addr, Kind: "ticket", State: "down", Reason: "its app is down", Tickets: []uint64{11, 12}, App: addr}}
		}, sum: "What the chain wants by ticket/12 is down", words: []string{"its app a44000000000 is failed"}},
		"dead letter": {id: "d-1", facts: func(f *Facts) {
			f.Letters = []inspect.Letter{{ID: "d-1", Actor: "troupe/jobs", Type: "jobs.Tick", Code: string(fault.BusyQueueFull), Replayable: true, At: ago(time.Second)}}
		}, sum: "was not delivered, the queue is full", blame: "busy", words: []string{"it was for troupe/jobs"}, advice: []string{"retry later", "troupe dead replay d-1", "troupe dead drop d-1"}},
		"thing of an actor that is paused": {id: "j-9f3", facts: func(f *Facts) {
			f.Host.Actors, f.Silent = []inspect.Actor{{Path: "troupe/jobs", State: "idle", Paused: true, Since: ago(time.Minute)}}, []string{"troupe/jobs"}
		}, sum: "It is not known what j-9f3 is: these do not answer, and may know: troupe/jobs.", words: []string{"actor troupe/jobs is paused"}, advice: []string{"troupe actor resume troupe/jobs", "troupe actor show troupe/jobs"}, owner: "an operator"},
		"guest": {id: "run-4", facts: busyExecute, sum: "The run run-4 waits for nothing but its own code", words: []string{"runs on worker execute-2"}, advice: []string{"troupe worker kill --reason WHY execute-2"}},
	} {
		f := &Facts{At: now}
		row.facts(f)
		e, err := Explain(f, row.id)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		text := func() (lines []string) {
			for _, b := range e.Because {
				lines = append(lines, b.Words)
			}
			return lines
		}()
		if !strings.Contains(e.Summary, row.sum) || row.sum == "" || !strings.HasSuffix(e.Summary, ".") {
			t.Errorf("%s: the summary is %q", name, e.Summary)
		}
		inOrder(t, name, text, row.words)
		inOrder(t, name, e.Advice, row.advice)
		if row.blame != e.Blame {
			t.Errorf("%s: blamed is %q", name, e.Blame)
		}
		if row.state != "" && row.state != e.State {
			t.Errorf("%s: the state is %q", name, e.State)
		}
		if n := len(e.Because); row.owner != "" && (n == 0 || e.Because[n-1].Owner != row.owner) {
			t.Errorf("%s: %+v", name, e.Because)
		}
		if e.Kind == "" || e.ID == "" || !e.At.Equal(now) {
			t.Errorf("%s: %+v", name, e)
		}
		for _, b := range e.Because {
			if b.Owner == "" || b.Words == "" {
				t.Errorf("%s: a link without owner or words: %+v", name, b)
			}
		}
	}
}

// inOrder looks for each part in a line behind that of the one before.
func inOrder(t *testing.T, name string, lines, want []string) {
	t.Helper()
	at := 0
	for _, w := range want {
		for at < len(lines) && !strings.Contains(lines[at], w) {
			at++
		}
		if at == len(lines) {
			t.Errorf("%s: %q is not in %q", name, w, lines)
			return
		}
		at++
	}
}

func TestWhatIsNotThere(t *testing.T) {
	f := &Facts{At: now, Host: inspect.Host{Artifacts: []inspect.Artifact{{Key: key, CodeHash: code}, {Key: "3f9a" + key2[4:], CodeHash: code}}}}
	for id, want := range map[string]fault.Code{"": fault.CallerNotFound, "j-1": fault.CallerNotFound, "execute-9": fault.CallerNotFound, "3f9": fault.CallerNotFound, "beef": fault.CallerNotFound, "3f9a": fault.CallerInvalid, "troupe": fault.CallerNotFound} {
		if _, err := Explain(f, id); fault.CodeOf(err) != want {
			t.Errorf("%q: %v", id, err)
		}
	}
	for _, id := range []string{code, "sha256:" + code} { // one code, under several options
		if e, err := Explain(f, id); err != nil || e.Kind != "artifact" {
			t.Errorf("%s: %+v, %v", id, e, err)
		}
	}
}

// TestHostileFactsAreInert has all texts that others choose.
func TestHostileFactsAreInert(t *testing.T) {
	for _, c := range hostile.Cases() {
		s := c.Text
		f := &Facts{At: now, Jobs: []run.Job{job(func(j *run.Job) { j.State, j.Fault, j.Message = run.JobSettled, s, s })},
			Apps:    []inspect.App{{Address: addr, State: "failed", Label: s, Reason: s, LastEnd: s}},
			Demands: []inspect.Demand{{ID: "request/1", State: "down", Reason: s, App: addr}},
			Calls:   []inspect.Outgoing{{Key: "k", Call: s, State: "waiting", Error: s}},
			Letters: []inspect.Letter{{ID: "d", Type: s, Reason: s, Actor: s}},
			Host:    inspect.Host{Artifacts: []inspect.Artifact{{Key: key, State: "failed", Fault: s, Message: s}}}}
		busyExecute(f)
		for i := range f.Guests {
			f.Guests[i].Tenant = s
		}
		for _, id := range []string{"j-9f3", addr, "request/1", "k", "d", key, "execute", "run-4"} {
			e, err := Explain(f, id)
			if err != nil {
				t.Fatalf("%s: %s: %v", c.Name, id, err)
			}
			lines := append([]string{e.Summary, e.ID}, e.Advice...)
			for _, b := range e.Because {
				lines = append(lines, b.Words, b.Owner, b.ID)
			}
			for _, line := range lines {
				if err := hostile.Inert(line, 1500); err != nil {
					t.Errorf("%s: %s: %v in %q", c.Name, id, err, line)
				}
			}
		}
	}
}
