package pool

import (
	"context"
	"io"
	"os"
	"time"

	"github.com/troupehost/troupe/actors/execute"
	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/artifacts"
	"github.com/troupehost/troupe/artifacts/sealed"
	"github.com/troupehost/troupe/artifacts/wasm"
	"github.com/troupehost/troupe/host/sandbox"
	"github.com/troupehost/troupe/host/wire"
)

// CodeSource has the code that jobs name. The caller of Open releases the file.
type CodeSource interface {
	Open(artifacts.CodeHash) (*sealed.File, error)
}

// Handoff keeps the parts of a new artifact until they are stored. Deposit takes over the references; Take gives them to
// its caller, once, and nil for a ticket that is not known.
type Handoff interface {
	Deposit(parts map[string]*sealed.File) (ticket uint64)
	Take(ticket uint64) map[string]*sealed.File
}

// Artifacts has the artifacts that bindings name.
type Artifacts interface {
	Open(ctx context.Context, key artifacts.Key) (Handle, error)
}

// Handle is an open artifact. Part returns a file that stays the handle's, nil if there is no such part. SnapshotKey says what the
// snapshot among them was made under.
type Handle interface {
	Part(name string) *sealed.File
	SnapshotKey() artifacts.SnapshotKey
	Close()
}

// Runs has the input and output of runs.
type Runs interface {
	Open(run uint64) (RunIO, bool)
}

// RunIO is the input and output of one run. A nil Stdin is at its end; a nil writer means: capture. Release, if set, is
// called when nothing of it is used any more, but for a Read that blocks.
type RunIO struct {
	Input          []byte
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	Calls          run.Calls // nil: the guest can ask for nothing
	Release        func()
}

// Config is what a pool needs. All ports must be set before a method that uses them is called.
type Config struct {
	WorkerPath       string // the worker program; empty: see Locate
	MaxInflatedBytes int64  // limit of decompression
	Policy           wasm.Policy
	ClockStep        time.Duration // resolution of clocks of runs in the real world; 0: the engine's default
	StopTimeout      time.Duration
	Spares           int // execute workers that KeepSpares keeps ready; 0 and less: none
	Code             CodeSource
	Handoff          Handoff
	Artifacts        Artifacts
	Runs             Runs

	// Observe is told of the life of processes. May be nil.
	Observe Observer

	// Warn is told that a worker was killed for what it did outside of any run. May be nil; it must not call the pool.
	Warn func(w inspect.Worker, what string)

	// Mismatched is told, once, that a worker of another build was met; no more workers are started from then on. May be nil;
	// it must not call the pool.
	Mismatched func(f *fault.Error)

	argv      []string      // of a worker; tests start their own kind
	shares    []string      // layers of namespaces that workers have in common with the host: tests of signals, which process 1 ignores
	helloWall time.Duration // from start to Ready; tests do not wait as long
	clocks    clocksUsed    // what tests leave out
	lifeCPU   time.Duration // CPU time after which an execute worker is recycled; tests do not use an hour
}

// clocksUsed says which nets are left out, so that tests see the next one hold.
type clocksUsed struct{ noHost, noWorker bool }

// inWorker is what the clocks inside a worker are told.
func (c clocksUsed) inWorker(cpu, wall time.Duration) wire.Clock {
	if c.noWorker {
		return wire.Clock{}
	}
	return wire.Clock{CPU: cpu, Wall: wall}
}

// Program is the worker program as it was opened: whatever happens to its path later, that file is what runs.
type Program struct {
	Path string // absolute
	File os.FileInfo
}

// Observer is told of the life of worker processes. It must not block, must not call the pool, and may be called from
// several goroutines at once. kind is prepare, execute, check or probe.
type Observer interface {
	Spawning(kind string) // a start begins
	Spawned(kind string)  // a process greeted
	Retired(kind string)  // a process that greeted is reaped
	// Killed says that a process did not end in an orderly way: cpu_limit, wall_limit, memory, output_limit, canceled,
	// died, bad_reply, idle_cpu, not_started or stopped.
	Killed(kind, reason string)
	// TimedOut says which clock ended a job: host_cpu, worker or wall.
	TimedOut(kind, clock string)
	// Orphaned says that a process left others behind in its group, which were killed.
	Orphaned(kind string)
}

// Ride is one run that an execute worker has, or that stands in its ring or before it.
type Ride struct {
	Job     execute.Job
	Worker  string
	Asked   time.Time     // when it was written to the worker; zero: it waits before the ring
	Runs    bool          // the worker has it now, as far as is known
	Answers bool          // the worker has answered, and what that means is being found out
	CPU     time.Duration // Runs: of the worker since it has the run
	Gas     int64         // as a guest that asks for its turns said last; 0: nothing is known
	Memory  int64         // the same, in bytes
}

// Facts are what the probe said about this build of the worker on this machine.
type Facts struct {
	BuildID string
	Build   artifacts.Build
	Sandbox string // the layers that hold for an execute worker with its code, joined by "+"
	Prepare string // those of a prepare worker
	Held    []string
	Gaps    []sandbox.Gap // the layers that do not hold
}

// passed returns what of it is passed on to a run.
func (r RunIO) passed() execute.IO {
	return execute.IO{Input: r.Input, Stdin: r.Stdin, Stdout: r.Stdout, Stderr: r.Stderr, Calls: r.Calls}
}
