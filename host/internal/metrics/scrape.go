package metrics

import (
	"bytes"
	"context"
	"io"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/expfmt"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/actors/run"
)

// State is what a scrape sees of a host.
type State struct {
	Host inspect.Host
	Bugs uint64 // contained by the kernel
	Dead int    // letters that are remembered
}

// lookWait bounds the look at the host: it goes through the mailboxes of actors that may be busy.
const lookWait = 5 * time.Second

// maxHealth bounds the health codes of one scrape.
const maxHealth = 64

// Write looks at the host and writes all metrics in the text format of Prometheus, version 0.0.4. If the look fails, what it
// saw and all that was counted are written, and inspected is 0.
func (s *Set) Write(ctx context.Context, w io.Writer, look func(context.Context) (State, error)) error {
	looking, cancel := context.WithTimeout(ctx, lookWait)
	state, err := look(looking)
	cancel()
	if ctx.Err() != nil { // nobody waits for it
		return fault.From(context.Cause(ctx))
	}
	now := prometheus.NewRegistry()
	now.MustRegister(scrape{state, err == nil, time.Now()})
	families, err := prometheus.Gatherers{s.reg, now}.Gather()
	if err != nil {
		return fault.New(fault.BugProtocol, "metrics", "", err)
	}
	var b bytes.Buffer
	enc := expfmt.NewEncoder(&b, expfmt.NewFormat(expfmt.TypeTextPlain))
	for _, f := range families {
		if err := enc.Encode(f); err != nil {
			return fault.New(fault.BugProtocol, "metrics", "", err)
		}
	}
	if _, err := w.Write(b.Bytes()); err != nil {
		return fault.New(fault.CallerOutput, "metrics", "", err)
	}
	return nil
}

// pulled describes what is looked at in a scrape.
type pulled struct {
	desc *prometheus.Desc
	kind prometheus.ValueType
}

func gauge(name, help string, labels ...string) pulled {
	return pulled{prometheus.NewDesc(namespace+"_"+name, help, labels, nil), prometheus.GaugeValue}
}

func total(name, help string, labels ...string) pulled {
	return pulled{prometheus.NewDesc(namespace+"_"+name, help, labels, nil), prometheus.CounterValue}
}

var (
	buildInfo   = gauge("build_info", "1; which build this is.", "version", "build_id", "go_version")
	sandboxInfo = gauge("sandbox_info", "1; the layers that confine workers, joined by +.", "layers")
	startTime   = gauge("start_time_seconds", "When the host started, in seconds since 1970.")
	inspected   = gauge("inspected", "1 if this scrape saw all parts of the host; 0: what is looked at may be missing.")
	ready       = gauge("ready", "1 while the host accepts work.")
	inProgress  = gauge("requests_in_progress", "Requests that are admitted and not answered.")
	warnings    = gauge("health_warnings", "1 for each lasting condition that an operator should know.", "code")
	deadLetters = gauge("dead_letters", "Messages that were refused or never delivered and are remembered; the oldest give way.")
	bugs        = total("bugs_total", "Bugs that were contained: panics, answers given twice.")

	depth    = gauge("queue_depth", "Jobs that wait.", "queue", "priority")
	running  = gauge("queue_running", "Jobs that run.", "queue")
	capacity = gauge("queue_capacity", "Jobs that may wait.", "queue")
	oldest   = gauge("queue_oldest_seconds", "How long the oldest waits; 0: none does.", "queue")
	refusals = total("queue_refused_total", "Jobs that were refused since the queue was full.", "queue")
	paused   = gauge("queue_paused", "1 while an operator has the queue begin nothing.", "queue")
	poolSize = gauge("pool_size", "Worker processes that there may be: soft; hard while critical work waits.", "queue", "bound")
	workers  = gauge("workers", "Worker processes that live.", "kind", "state")

	entries      = gauge("cache_entries", "Artifacts that the cache knows.", "state")
	cacheBytes   = gauge("cache_bytes", "What the prepared artifacts take on disk.")
	unstored     = gauge("cache_unstored", "Prepared artifacts that are in memory only.")
	storeEntries = gauge("store_entries", "Artifacts in the store.")
	storeBytes   = gauge("store_bytes", "Sum of the stored artifacts.")
	storeDisk    = gauge("store_disk_bytes", "What the files of the database take on disk.")
	storeLimit   = gauge("store_limit_bytes", "Limit of the stored artifacts.")
	storeMemory  = gauge("store_memory_bytes", "Sealed files that are held in memory.")
	storeFree    = gauge("store_free_bytes", "Free space of the file system.")
	storeReserve = gauge("store_reserve_bytes", "Free space below which nothing is written.")
	storeBallast = gauge("store_ballast_bytes", "Space that is held to be given up when the disk is full.")
	storeClosed  = gauge("store_read_only", "1 while nothing is written for lack of space.")

	jobs = gauge("jobs", "Durable jobs that are kept.", "state")

	actorDepth    = gauge("actor_mailbox_depth", "Messages that wait in the mailboxes of a kind of actor.", "actor")
	actorRefused  = total("actor_refused_total", "Messages that a mailbox refused: none is lost, its sender is answered.", "actor")
	actorHandled  = total("actor_handled_total", "Messages that were handled.", "actor")
	actorRestarts = gauge("actor_recent_restarts", "Restarts within the window that the supervisor looks at.", "actor")
	actorPaused   = gauge("actor_paused", "Actors whose work lane an operator has wait.", "actor")
	actorGaveUp   = gauge("actor_given_up", "Actors that failed too often.", "actor")
)

var allPulled = []pulled{
	buildInfo, sandboxInfo, startTime, inspected, ready, inProgress, warnings, deadLetters, bugs,
	depth, running, capacity, oldest, refusals, paused, poolSize, workers,
	entries, cacheBytes, unstored, storeEntries, storeBytes, storeDisk, storeLimit, storeMemory, storeFree, storeReserve, storeBallast, storeClosed,
	jobs, actorDepth, actorRefused, actorHandled, actorRestarts, actorPaused, actorGaveUp,
}

// scrape is one look at a host, as a prometheus.Collector.
type scrape struct {
	State
	whole bool
	now   time.Time
}

// Describe implements prometheus.Collector.
func (c scrape) Describe(out chan<- *prometheus.Desc) {
	for _, p := range allPulled {
		out <- p.desc
	}
}

// Collect implements prometheus.Collector.
func (c scrape) Collect(out chan<- prometheus.Metric) {
	put := func(p pulled, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(p.desc, p.kind, v, labels...)
	}
	h := c.Host
	put(buildInfo, 1, fault.Quote(h.Version), fault.Quote(h.BuildID), runtime.Version())
	put(sandboxInfo, 1, fault.Quote(h.Sandbox))
	put(startTime, float64(h.StartedAt.UnixMilli())/1000)
	put(inspected, truth(c.whole))
	put(ready, truth(h.Ready && !h.Draining))
	put(inProgress, float64(h.Requests))
	put(deadLetters, float64(c.Dead))
	put(bugs, float64(c.Bugs))
	seen := map[string]bool{}
	for _, w := range h.Health {
		if code := fault.Quote(w.Code); len(seen) < maxHealth && !seen[code] {
			seen[code] = true
			put(warnings, 1, code)
		}
	}
	c.queues(put)
	c.workers(put)
	c.cache(put)
	for _, s := range jobStates {
		put(jobs, float64(h.Jobs[string(s)]), string(s))
	}
	c.actors(put)
}

type putter func(p pulled, v float64, labels ...string)

const queueJobs = "jobs"

var queueNames = [...]string{"prepare", "execute", queueJobs}

func (c scrape) queues(put putter) {
	for _, q := range c.Host.Queues {
		if !slices.Contains(queueNames[:], q.Name) {
			continue
		}
		for p := run.Background; p <= run.Critical; p++ {
			put(depth, float64(q.Parked[p.String()]), q.Name, p.String())
		}
		put(running, float64(q.Running), q.Name)
		put(capacity, float64(q.Cap), q.Name)
		wait := time.Duration(0)
		if !q.OldestAt.IsZero() {
			wait = max(0, c.now.Sub(q.OldestAt))
		}
		put(oldest, wait.Seconds(), q.Name)
		put(refusals, float64(q.Refused), q.Name)
		put(paused, truth(!q.PausedSince.IsZero()), q.Name)
		if q.Name == queueJobs { // it has no workers of its own
			continue
		}
		put(poolSize, float64(q.Soft), q.Name, "soft")
		put(poolSize, float64(q.Hard), q.Name, "hard")
	}
}

func (c scrape) workers(put putter) {
	n := map[[2]string]int{}
	for _, k := range workerKinds[:2] { // a probe is seen at the start only
		for _, s := range workerStates {
			n[[2]string{k, s}] = 0
		}
	}
	for _, w := range c.Host.Workers {
		n[[2]string{among(w.Kind, workerKinds), among(w.State, workerStates)}]++
	}
	for k, v := range n {
		put(workers, float64(v), k[0], k[1])
	}
}

var workerStates = []string{"starting", "spare", "idle", "busy"}

func (c scrape) cache(put putter) {
	n := map[string]int{}
	for _, s := range entryStates {
		n[s] = 0
	}
	var bytes int64
	inMemory := 0
	for _, a := range c.Host.Artifacts {
		n[among(a.State, entryStates)]++
		switch {
		case a.Stored:
			bytes += a.Bytes
		case a.State == "prepared":
			inMemory++
		}
	}
	for s, v := range n {
		put(entries, float64(v), s)
	}
	put(cacheBytes, float64(bytes))
	put(unstored, float64(inMemory))
	st := c.Host.Store
	put(storeEntries, float64(st.Entries))
	put(storeBytes, float64(st.Bytes))
	put(storeDisk, float64(st.DiskBytes))
	put(storeLimit, float64(st.LimitBytes))
	put(storeMemory, float64(st.MemoryBytes))
	put(storeFree, float64(st.FreeBytes))
	put(storeReserve, float64(st.ReserveBytes))
	put(storeBallast, float64(st.BallastBytes))
	put(storeClosed, truth(!st.ReadOnlySince.IsZero()))
}

// actors sums up actors by kind. Workers come and go, so what they counted is not a counter.
func (c scrape) actors(put putter) {
	type sum struct {
		depth, restarts, paused, gaveUp int
		refused, handled                uint64
	}
	kinds := map[string]*sum{}
	for _, a := range c.Host.Actors {
		k := strings.ReplaceAll(a.Kind, " ", "_")
		if kinds[k] == nil {
			if len(kinds) >= maxActorKinds {
				k = other
			}
			if kinds[k] == nil {
				kinds[k] = &sum{}
			}
		}
		s := kinds[k]
		s.depth += a.Depth
		s.restarts += a.Restarts
		s.refused += a.Refused
		s.handled += a.Handled
		if a.Paused {
			s.paused++
		}
		if a.State == "gave_up" {
			s.gaveUp++
		}
	}
	for k, s := range kinds {
		name := fault.Quote(k)
		put(actorDepth, float64(s.depth), name)
		put(actorRestarts, float64(s.restarts), name)
		put(actorPaused, float64(s.paused), name)
		put(actorGaveUp, float64(s.gaveUp), name)
		if !strings.HasSuffix(k, "worker") {
			put(actorRefused, float64(s.refused), name)
			put(actorHandled, float64(s.handled), name)
		}
	}
}

// maxActorKinds bounds the kinds of actors of one scrape; there are fewer.
const maxActorKinds = 32

func among(s string, known []string) string {
	if slices.Contains(known, s) {
		return s
	}
	return other
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
