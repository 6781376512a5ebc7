package metrics

import (
	"time"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/run"
)

// known returns the code of f if it is registered.
func known(f *fault.Error, s *Set) fault.Code {
	if _, ok := s.faults[f.Code]; ok {
		return f.Code
	}
	return fault.BugUnexpected
}

// Asked counts a request that got a verdict: hit says that it waited for no preparation.
func (s *Set) Asked(k Kind, hit bool) {
	n := 0
	if hit {
		n = 1
	}
	s.asked[k][n].Inc()
}

// Answered counts the answer to a request; f nil is ok.
func (s *Set) Answered(k Kind, f *fault.Error) {
	s.requests[k][verdict(f)].Inc()
	if f == nil {
		return
	}
	s.faults[known(f, s)].Inc()
	if k == Precheck && (f.Code == fault.GuestPrepareCPU || f.Code == fault.SuspectPrepareWall) {
		s.timeouts[StagePrepare][ClockPrecheck].Inc()
	}
}

// Took records how long a request was under way.
func (s *Set) Took(k Kind, d time.Duration) { seconds(s.requestTime[k], d) }

// Refused counts a request that was refused at the door.
func (s *Set) Refused(f *fault.Error) {
	if f == nil {
		return
	}
	s.refused[verdict(f)].Inc()
	s.faults[known(f, s)].Inc()
}

// Retried counts what the host does once more, since it does not believe f.
func (s *Set) Retried(f *fault.Error) {
	if f == nil {
		return
	}
	c := known(f, s)
	s.retries.WithLabelValues(fault.Describe(c).Class.String(), string(c)).Inc()
}

// Removed counts n artifacts that left the cache, and what they took on disk.
func (s *Set) Removed(reason string, n int, bytes int64) {
	s.removed.of(reason).Add(float64(max(0, n)))
	s.removedBytes.of(reason).Add(float64(max(0, bytes)))
}

// Quarantined counts a code that is refused from now on.
func (s *Set) Quarantined() { s.quarantined.Inc() }

// PrepareQueued records how long a preparation waited for its start.
func (s *Set) PrepareQueued(p run.Priority, wait time.Duration) {
	seconds(s.prepareQueued[at(p)], wait)
}

// Preparation is how a preparation ended.
type Preparation struct {
	Fault         *fault.Error
	CPU, Wall     time.Duration // 0: no worker was started
	PeakRSS       int64         // 0: unknown
	CodeBytes     int64         // inflated
	ArtifactBytes int64
}

// Prepared records the end of a preparation.
func (s *Set) Prepared(p run.Priority, o Preparation) {
	p = at(p)
	s.preparations[p][verdict(o.Fault)].Inc()
	if o.Wall > 0 {
		seconds(s.prepareWall[p], o.Wall)
		seconds(s.prepareCPU[p], o.CPU)
	}
	if o.Fault != nil {
		return
	}
	if o.PeakRSS > 0 {
		s.prepareMemory.Observe(float64(o.PeakRSS))
	}
	s.codeInflated.Observe(float64(o.CodeBytes))
	s.artifactBytes.Observe(float64(o.ArtifactBytes))
}

// Raised counts a priority that was raised.
func (s *Set) Raised(from, to run.Priority) {
	if c := s.raised[at(from)][at(to)]; c != nil {
		c.Inc()
	}
}

// CodeGiven records the size of code that came with a request.
func (s *Set) CodeGiven(bytes int) { s.codeGiven.Observe(float64(bytes)) }

// Input records the size of the input of a request.
func (s *Set) Input(bytes int) { s.inputBytes.Observe(float64(bytes)) }

// ExecuteQueued records how long a run waited for its start.
func (s *Set) ExecuteQueued(p run.Priority, wait time.Duration) {
	seconds(s.executeQueued[at(p)], wait)
}

// Executed records the end of a run.
func (s *Set) Executed(p run.Priority, o run.Outcome) {
	p = at(p)
	s.executions[p][verdict(o.Fault)].Inc()
	if o.Usage.Wall > 0 { // else it never ran
		seconds(s.executeWall[p], o.Usage.Wall)
		seconds(s.executeCPU[p], o.Usage.CPU)
		s.outputBytes.Observe(float64(int64(len(o.Result)) + int64(len(o.Stdout)) + int64(len(o.Stderr)) + o.Delivered))
	}
}

// WorkerOrdered counts a worker that the execute queue wants started.
func (s *Set) WorkerOrdered() { s.ordered.Inc() }

// WorkerClosed counts a worker that the execute queue gave up.
func (s *Set) WorkerClosed(reason string) { s.closed.of(reason).Inc() }

// Spawning counts a worker process whose start begins.
func (s *Set) Spawning(kind string) { s.spawning.of(kind).Inc() }

// Spawned counts a worker process that greeted.
func (s *Set) Spawned(kind string) { s.spawned.of(kind).Inc() }

// Retired counts a worker process that greeted and is gone.
func (s *Set) Retired(kind string) { s.retired.of(kind).Inc() }

// Killed counts a worker process that did not end in an orderly way.
func (s *Set) Killed(kind, reason string) {
	w, ok := s.killed[kind]
	if !ok {
		w = s.killed[other]
	}
	w.of(reason).Inc()
}

// Orphaned counts a worker that left processes behind.
func (s *Set) Orphaned(kind string) { s.orphans.of(kind).Inc() }

// TimedOut counts a limit of time that a job passed, by stage and clock. Those that do not exist are not counted.
func (s *Set) TimedOut(stage, clock string) {
	if c, ok := s.timeouts[stage][clock]; ok {
		c.Inc()
	}
}

// Committed records a commit to a database.
func (s *Set) Committed(database string, d time.Duration) {
	if o, ok := s.commits[database]; ok {
		seconds(o, d)
	}
}

// CrossChecked counts what came of a run that was chosen for a cross-check.
func (s *Set) CrossChecked(result string) { s.checks.of(result).Inc() }
