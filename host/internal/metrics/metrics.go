package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/run"
)

// Kind is what a request wants.
type Kind uint8

// The kinds.
const (
	Execute Kind = 1 + iota
	Precheck
	HeadsUp
	numKinds = iota
)

var kindNames = [...]string{"", "execute", "precheck", "heads_up"}

// Clocks and stages of a timeout.
const (
	ClockHostCPU  = "host_cpu"      // the operating system's account of the worker, read by the host
	ClockWorker   = "worker"        // the clock inside of the worker
	ClockWall     = "wall"          // the third net
	ClockPrecheck = "precheck_mark" // the budget of a precheck, which the preparation may outlive

	StagePrepare = "prepare"
	StageExecute = "execute"
)

// What comes of a run that was chosen for a cross-check.
const (
	CheckAgreed   = "agreed"   // both engines did the same
	CheckDiffered = "differed" // one of them is wrong
	CheckWorld    = "world"    // not compared: it saw the machine's clock and random source
	CheckStdin    = "stdin"    // not compared: it read from its caller's stdin, which is gone
	CheckOutcome  = "outcome"  // not compared: it ended by a limit of time or memory, or did not begin
	CheckSize     = "size"     // not compared: its input or output is too large to be kept
	CheckBusy     = "busy"     // not compared: too many wait already
	CheckNoCode   = "no_code"  // not compared: the host has the artifact, and its code no more
	CheckSlow     = "slow"     // not compared: it takes too long on the interpreter
	CheckDeep     = "deep"     // not compared: it recurses more deeply than the interpreter can
	CheckNaNs     = "nans"     // they differ, and may: the bits of NaNs were left to the processor
	CheckFailed   = "failed"   // not compared: the process that repeats it failed
)

// The label values that are not of a type of their own. What is not among them is counted as other.
var (
	workerKinds   = []string{"prepare", "execute", "check", "probe"}
	removeReasons = []string{"age", "size", "operator", "unstored", "rejected", "corrupt", "failures"}
	killReasons   = []string{"cpu_limit", "wall_limit", "memory", "output_limit", "canceled", "died", "bad_reply", "idle_cpu", "not_started", "stopped"}
	closeReasons  = []string{"idle", "room", "spoiled", "used", "recycled", "died", "stopped", "culled"}
	checkResults  = []string{CheckAgreed, CheckDiffered, CheckWorld, CheckStdin, CheckOutcome, CheckSize, CheckBusy, CheckNoCode, CheckSlow, CheckDeep, CheckNaNs, CheckFailed}
	databases     = []string{"cache", "state"}
	jobStates     = []run.JobState{run.JobQueued, run.JobRunning, run.JobSettled}
	entryStates   = []string{"preparing", "prepared", "failed", "absent"}
)

const other = "other"

// Buckets, in seconds and bytes. Those of times include the default limits.
var (
	longTimes  = []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 20, 30, 60, 120, 240, 360, 480}
	shortTimes = []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2, 4, 8, 12, 24, 48}
	sizes      = prometheus.ExponentialBuckets(16<<10, 2, 13) // to 64 MiB
	memory     = prometheus.ExponentialBuckets(8<<20, 2, 10)  // to 4 GiB
)

// verdicts are "ok" and the classes, at the place of their number.
const numVerdicts = int(fault.Bug) + 1

func verdictName(n int) string {
	if n == 0 {
		return "ok"
	}
	return fault.Class(n).String()
}

// verdict returns the place of f among the verdicts.
func verdict(f *fault.Error) int {
	switch {
	case f == nil:
		return 0
	case int(f.Class) >= numVerdicts:
		return int(fault.Bug)
	}
	return int(f.Class)
}

type (
	byVerdict  [numVerdicts]prometheus.Counter
	byPriority [run.Critical + 1]prometheus.Observer
	words      map[string]prometheus.Counter
)

// Set is the metrics of one host.
type Set struct {
	reg *prometheus.Registry

	requests    [numKinds + 1]byVerdict
	requestTime [numKinds + 1]prometheus.Observer
	refused     byVerdict
	faults      map[fault.Code]prometheus.Counter
	retries     *prometheus.CounterVec

	asked        [numKinds + 1][2]prometheus.Counter // miss, hit
	removed      words
	removedBytes words
	quarantined  prometheus.Counter

	prepareQueued [run.Critical + 1]prometheus.Observer
	prepareWall   byPriority
	prepareCPU    byPriority
	preparations  [run.Critical + 1]byVerdict
	raised        [run.Critical + 1][run.Critical + 1]prometheus.Counter
	codeGiven     prometheus.Observer
	codeInflated  prometheus.Observer
	artifactBytes prometheus.Observer
	prepareMemory prometheus.Observer

	executeQueued byPriority
	executeWall   byPriority
	executeCPU    byPriority
	executions    [run.Critical + 1]byVerdict
	inputBytes    prometheus.Observer
	outputBytes   prometheus.Observer

	spawning, spawned, retired, orphans words
	killed                              map[string]words // by kind
	ordered                             prometheus.Counter
	closed                              words
	timeouts                            map[string]words // by stage
	checks                              words

	commits map[string]prometheus.Observer
}

// New returns a set in which everything that is counted is 0.
func New() *Set {
	s := &Set{reg: prometheus.NewRegistry()}
	s.newRequests()
	s.newPreparations()
	s.newExecutions()
	s.newWorkers()
	commits := s.histogram("database_commit_seconds", "Time of one commit until it is on disk; the journal of jobs is in state.", shortTimes, "database")
	s.commits = map[string]prometheus.Observer{}
	for _, d := range databases {
		s.commits[d] = commits.WithLabelValues(d)
	}
	return s
}

func (s *Set) newRequests() {
	requests := s.counter("requests_total", "Requests that were answered, without those of requests_refused_total.", "kind", "verdict")
	times := s.histogram("request_seconds", "Time from the admission of a request by the host to its answer.", shortTimes, "kind")
	asked := s.counter("cache_requests_total", "Requests that got a verdict: hit if the artifact, or the record of its failure, was there.", "kind", "result")
	for k := Execute; k <= HeadsUp; k++ {
		name := kindNames[k]
		for v := range numVerdicts {
			s.requests[k][v] = requests.WithLabelValues(name, verdictName(v))
		}
		s.requestTime[k] = times.WithLabelValues(name)
		s.asked[k] = [2]prometheus.Counter{asked.WithLabelValues(name, "miss"), asked.WithLabelValues(name, "hit")}
	}
	refused := s.counter("requests_refused_total", "Requests that were refused before anything was looked up for them.", "class")
	for v := 1; v < numVerdicts; v++ {
		s.refused[v] = refused.WithLabelValues(verdictName(v))
	}
	faults := s.counter("faults_total", "Answers that were not ok.", "class", "code")
	s.faults = map[fault.Code]prometheus.Counter{}
	for _, c := range fault.Codes() {
		s.faults[c] = faults.WithLabelValues(fault.Describe(c).Class.String(), string(c))
	}
	s.retries = s.counter("retries_total", "Runs and preparations that were repeated by the host, by the fault that was not believed.", "class", "code")
	s.removed = s.words("cache_removed_total", "Artifacts that were removed from the cache.", "reason", removeReasons)
	s.removedBytes = s.words("cache_removed_bytes_total", "What they took on disk.", "reason", removeReasons)
	s.quarantined = s.counter("cache_quarantines_total", "Codes that were put into quarantine.").WithLabelValues()
}

func (s *Set) newPreparations() {
	ended := s.counter("preparations_total", "Preparations that ended.", "priority", "verdict")
	queued := s.histogram("prepare_queued_seconds", "Time that a preparation waited for its start; a repeated start counts again.", shortTimes, "priority")
	wall := s.histogram("prepare_wall_seconds", "Time from the start of a prepare worker to its end.", longTimes, "priority")
	cpu := s.histogram("prepare_cpu_seconds", "CPU time of a prepare worker until it had answered, by the host's account.", longTimes, "priority")
	raised := s.counter("prepare_raised_total", "Priorities of preparations that were raised.", "from", "to")
	for p := run.Background; p <= run.Critical; p++ {
		name := p.String()
		for v := range numVerdicts {
			s.preparations[p][v] = ended.WithLabelValues(name, verdictName(v))
		}
		s.prepareQueued[p], s.prepareWall[p], s.prepareCPU[p] = queued.WithLabelValues(name), wall.WithLabelValues(name), cpu.WithLabelValues(name)
		for to := p + 1; to <= run.Critical; to++ {
			s.raised[p][to] = raised.WithLabelValues(name, to.String())
		}
	}
	code := s.histogram("code_bytes", "Size of code: as given with a request, and inflated at its preparation.", sizes, "form")
	s.codeGiven, s.codeInflated = code.WithLabelValues("given"), code.WithLabelValues("inflated")
	s.artifactBytes = s.histogram("artifact_bytes", "Size of a new artifact.", sizes).WithLabelValues()
	s.prepareMemory = s.histogram("prepare_memory_peak_bytes", "Largest resident size of a prepare worker that succeeded.", memory).WithLabelValues()
}

func (s *Set) newExecutions() {
	ended := s.counter("executions_total", "Runs that were accepted by the execute queue and ended.", "priority", "verdict")
	queued := s.histogram("execute_queued_seconds", "Time that a run waited for its start; its count is the number of runs chosen by the shares.", shortTimes, "priority")
	wall := s.histogram("execute_wall_seconds", "Time from the start of a run on a worker to its end.", shortTimes, "priority")
	cpu := s.histogram("execute_cpu_seconds", "CPU time of a run, by the host's account.", shortTimes, "priority")
	for p := run.Background; p <= run.Critical; p++ {
		name := p.String()
		for v := range numVerdicts {
			s.executions[p][v] = ended.WithLabelValues(name, verdictName(v))
		}
		s.executeQueued[p], s.executeWall[p], s.executeCPU[p] = queued.WithLabelValues(name), wall.WithLabelValues(name), cpu.WithLabelValues(name)
	}
	s.inputBytes = s.histogram("input_bytes", "Size of the input of a request that has one; stdin is not counted.", sizes).WithLabelValues()
	s.outputBytes = s.histogram("output_bytes", "Output of a run: result, captured and delivered bytes.", sizes).WithLabelValues()
}

func (s *Set) newWorkers() {
	s.spawning = s.words("workers_spawning_total", "Worker processes whose start began.", "kind", workerKinds)
	s.spawned = s.words("workers_spawned_total", "Worker processes that started and greeted; spawning less spawned is stuck or failed.", "kind", workerKinds)
	s.retired = s.words("workers_retired_total", "Worker processes that greeted and are gone; spawned less retired is alive.", "kind", workerKinds)
	s.orphans = s.words("worker_orphans_total", "Workers that left processes behind in their group, which are killed with it, as far as these were seen.", "kind", workerKinds)
	killed := s.counter("workers_killed_total", "Worker processes that did not end in an orderly way.", "kind", "reason")
	s.killed = map[string]words{}
	for _, k := range append(workerKinds[:len(workerKinds):len(workerKinds)], other) {
		s.killed[k] = words{}
		for _, r := range append(killReasons[:len(killReasons):len(killReasons)], other) {
			s.killed[k][r] = killed.WithLabelValues(k, r)
		}
	}
	s.ordered = s.counter("execute_workers_ordered_total", "Workers that the execute queue ordered.").WithLabelValues()
	s.closed = s.words("execute_workers_closed_total", "Workers that the execute queue gave up; room: for a run of another binding, culled: above soft, used: by its one run, recycled: near the limit of its life's CPU time.", "reason", closeReasons)
	s.checks = s.words("cross_checks_total", "Runs that were chosen to be repeated on the interpreter, by what came of it: agreed, differed, or why neither can be said.", "result", checkResults)
	timeouts := s.counter("timeouts_total", "Limits of time that were passed, by the clock that saw it.", "stage", "clock")
	s.timeouts = map[string]words{}
	for _, stage := range []string{StagePrepare, StageExecute} {
		s.timeouts[stage] = words{}
		for _, c := range []string{ClockHostCPU, ClockWorker, ClockWall, ClockPrecheck} {
			if c != ClockPrecheck || stage == StagePrepare {
				s.timeouts[stage][c] = timeouts.WithLabelValues(stage, c)
			}
		}
	}
}

const namespace = "troupe"

func (s *Set) counter(name, help string, labels ...string) *prometheus.CounterVec {
	v := prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help}, labels)
	s.reg.MustRegister(v)
	return v
}

func (s *Set) histogram(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
	v := prometheus.NewHistogramVec(prometheus.HistogramOpts{Namespace: namespace, Name: name, Help: help, Buckets: buckets}, labels)
	s.reg.MustRegister(v)
	return v
}

// words is a counter with one label and its values.
func (s *Set) words(name, help, label string, values []string) words {
	v := s.counter(name, help, label)
	out := words{other: v.WithLabelValues(other)}
	for _, w := range values {
		out[w] = v.WithLabelValues(w)
	}
	return out
}

// of returns the counter of a word.
func (w words) of(word string) prometheus.Counter {
	if c, ok := w[word]; ok {
		return c
	}
	return w[other]
}

// at bounds a priority: one that does not exist is counted as the lowest.
func at(p run.Priority) run.Priority {
	if p < run.Background || p > run.Critical {
		return run.Background
	}
	return p
}

func seconds(o prometheus.Observer, d time.Duration) { o.Observe(max(0, d.Seconds())) }
