package pool

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/artifacts"
	"github.com/troupehost/troupe/artifacts/sealed"
	"github.com/troupehost/troupe/host/sandbox"
	"github.com/troupehost/troupe/host/wire"
)

const (
	helloWall   = 10 * time.Second // from start to Ready
	loadWall    = time.Minute      // from Load to Loaded
	burialWall  = 5 * time.Second  // from the kill to the account; only a broken kernel takes longer
	lastWords   = time.Second      // from a closed socket to the death that explains it
	defaultStop = 10 * time.Second

	// runtimeBytes is what a worker needs for itself, on top of what its job may use.
	runtimeBytes = 128 << 20
	// stackBytes is what the engine's call stack may take while it doubles for the last time.
	stackBytes = 384 << 20
)

// Kinds of workers, as operators see them.
const (
	kindProbe   = "probe"
	kindPrepare = "prepare"
	kindExecute = "execute"
)

// Pool owns the worker processes of one host.
type Pool struct {
	cfg     Config
	spawn   *spawner
	program Program
	brake   *brake
	groups  *groups
	facts   Facts

	prepares preparations
	spares   spares

	mu       sync.Mutex
	closed   bool
	mismatch *fault.Error // once seen, no more workers are started
	seq      map[string]int
	workers  map[*worker]struct{}
	lines    map[*line]struct{}
	looked   int            // times that Look was called
	calls    sync.WaitGroup // Prepare, Start and Run under way
	closing  chan struct{}  // closed when Close begins
	stopped  chan struct{}  // closed when Close is through
	stopErr  error
}

// New finds the worker program and proves that it works.
//
// # Errors
//
// host.worker_missing, host.worker_mismatch, host.spawn_failed, host.unsupported.
func New(ctx context.Context, cfg Config) (*Pool, error) {
	path, err := Locate(cfg.WorkerPath)
	if err != nil {
		return nil, err
	}
	exe, err := openProgram(path)
	if err != nil {
		return nil, err
	}
	program, err := programOf(exe, path)
	if err != nil {
		_ = exe.Close()
		return nil, err
	}
	if cfg.argv == nil {
		cfg.argv = []string{wire.Arg0, wire.Arg1}
	}
	cfg.argv = append(append(slices.Clone(cfg.argv), sandbox.Outside()), extraArgs()...)
	cfg.StopTimeout, cfg.helloWall = cmp.Or(cfg.StopTimeout, defaultStop), cmp.Or(cfg.helloWall, helloWall)
	cfg.lifeCPU = cmp.Or(cfg.lifeCPU, lifeCPU)
	if cfg.Observe == nil {
		cfg.Observe = unobserved{}
	}
	s, err := newSpawner(exe, cfg.argv)
	if err != nil {
		return nil, err
	}
	p := &Pool{cfg: cfg, spawn: s, program: program, seq: map[string]int{}, workers: map[*worker]struct{}{}, lines: map[*line]struct{}{},
		brake: newBrake("/proc", "/sys/fs/cgroup", isDelegated), groups: newGroups("/proc/self/cgroup", "/sys/fs/cgroup", isDelegated),
		spares: spares{low: make(chan struct{}, 1), none: make(chan struct{}, 1)}, closing: make(chan struct{}), stopped: make(chan struct{})}
	if err := p.probe(ctx); err != nil {
		_ = p.Close()
		return nil, err
	}
	return p, nil
}

// buildOf is what the worker of a probe makes and understands.
func buildOf(ready wire.Ready) artifacts.Build {
	return artifacts.Build{
		Engine: wire.Engine(), Format: wire.ArtifactFormat, Instrument: wire.InstrumentVersion, CPU: fault.Quote(ready.CPU),
	}
}

// Facts returns what the probe said.
func (p *Pool) Facts() Facts { return p.facts }

// Program returns what workers are started from.
func (p *Pool) Program() Program { return p.program }

// Workers returns a snapshot of the living worker processes, oldest first.
func (p *Pool) Workers() []inspect.Worker {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := make([]inspect.Worker, 0, len(p.workers))
	for w := range p.workers {
		out = append(out, w.snapshotLocked())
	}
	slices.SortFunc(out, func(a, b inspect.Worker) int {
		return cmp.Or(a.StartedAt.Compare(b.StartedAt), cmp.Compare(a.ID, b.ID))
	})
	return out
}

// Close kills every worker and returns when none is left, or with an error after Config.StopTimeout.
func (p *Pool) Close() error {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		<-p.stopped
		return p.stopErr
	}
	p.closed = true
	close(p.closing)
	all := slices.Collect(maps.Keys(p.workers))
	p.mu.Unlock()
	defer close(p.stopped)

	for _, w := range all {
		w.halt()
	}
	for _, w := range p.spares.close() {
		w.bury()
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		p.calls.Wait()
		for _, l := range p.allLines() {
			l.calls.Wait()
		}
		for _, w := range all {
			<-w.proc.dead
		}
	}()
	timeout := time.NewTimer(p.cfg.StopTimeout)
	defer timeout.Stop()
	select {
	case <-done:
	case <-timeout.C:
		p.stopErr = fault.New(fault.BugNoAnswer, "stop workers", "", worded("some did not die in time"))
	}
	p.spawn.close()
	p.brake.close()
	return p.stopErr
}

// addLine notes whose rides Close waits for.
func (p *Pool) addLine(l *line) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lines[l] = struct{}{}
	l.x.worker.line.Store(l)
}

func (p *Pool) removeLine(l *line) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.lines, l)
}

// allLines stops all lines and returns them. The pool is closed.
func (p *Pool) allLines() []*line {
	p.mu.Lock()
	all := slices.Collect(maps.Keys(p.lines))
	p.mu.Unlock()
	for _, l := range all {
		l.stop()
	}
	return all
}

// enter counts a call that Close waits for; its caller must do p.calls.Done.
func (p *Pool) enter() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return errStopped()
	}
	p.calls.Add(1)
	return nil
}

func errStopped() *fault.Error { return fault.New(fault.CanceledStopped, "pool", "", nil) }

func (p *Pool) isClosed() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.closed
}

// worker is one process with its socket.
type worker struct {
	pool *Pool
	id   string
	kind string
	proc *process
	conn *wire.HostConn
	ring atomic.Pointer[wire.HostRing] // of an execute worker that is somebody's
	line atomic.Pointer[line]          // the same, once it has loaded
	born time.Time

	spare bool       // it starts while nobody waits for it
	ready wire.Ready // believed of a probe only

	// below: guarded by pool.mu
	state    string
	since    time.Time // when it came to that state
	tenant   string
	artifact string
	greeted  bool // it is counted as spawned
	reaped   bool
}

func newWorker(p *Pool, kind string) *worker {
	now := time.Now()
	return &worker{pool: p, kind: kind, born: now, state: "starting", since: now}
}

// start returns a worker that answered Hello with the right build id.
func (p *Pool) start(ctx context.Context, kind string, l rlimits) (*worker, error) {
	w := newWorker(p, kind)
	if err := w.start(ctx, l); err != nil {
		return nil, err
	}
	return w, nil
}

// start starts the process of w, and returns when it has answered.
func (w *worker) start(ctx context.Context, l rlimits) (err error) {
	p, kind := w.pool, w.kind
	if f := p.mismatched(nil); f != nil {
		return f
	}
	p.cfg.Observe.Spawning(kind)
	w.proc, w.conn, err = p.spawn.start(w.gone)
	if err != nil {
		return err
	}
	if err := p.register(w); err != nil {
		w.bury()
		return err
	}
	grouped := w.proc.enterGroup(p.groups)
	if kind == kindPrepare {
		w.proc.openSession(p.brake)
	}
	if err := w.hello(ctx); err != nil {
		p.cfg.Observe.Killed(kind, "not_started")
		return err
	}
	w.hasGreeted()
	w.addGroup(grouped)
	if err := w.proc.limit(l); err != nil {
		w.bury()
		switch {
		case p.isClosed():
			return errStopped()
		case ctx.Err() != nil:
			return canceled(ctx)
		}
		return fault.New(fault.HostSpawnFailed, "limit worker", w.id, err)
	}
	return nil
}

func (p *Pool) register(w *worker) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.seq[w.kind]++
	w.id = fmt.Sprintf("%s-%d", w.kind, p.seq[w.kind])
	if p.closed {
		return errStopped()
	}
	if !w.proc.isReaped() {
		p.workers[w] = struct{}{}
	}
	return nil
}

// mismatched remembers f, if it is not nil, and returns the first mismatch.
func (p *Pool) mismatched(f *fault.Error) *fault.Error {
	p.mu.Lock()
	first := p.mismatch == nil && f != nil
	if first {
		p.mismatch = f
	}
	known := p.mismatch
	p.mu.Unlock()
	if first && p.cfg.Mismatched != nil {
		p.cfg.Mismatched(f)
	}
	return known
}

// hello buries the worker if it returns an error.
func (w *worker) hello(ctx context.Context) error {
	var files []uintptr
	if w.kind == kindProbe {
		f, err := sealed.NewScratch("troupe self-test", wire.TestFileBytes)
		if err != nil {
			w.bury()
			return err
		}
		defer f.Close()
		files = append(files, f.Fd())
	}
	m, err := w.ask(ctx, w.pool.cfg.helloWall, wire.Hello{BuildID: wire.BuildID(), Probe: w.kind == kindProbe, Warm: w.spare}, files...)
	f := w.judgeHello(m, err)
	if f == nil {
		return nil
	}
	if f.Code == fault.HostWorkerMismatch {
		_ = w.pool.mismatched(f)
	}
	w.bury()
	return f
}

// judgeHello says what the answer to a Hello means. The worker has seen nothing but us: no guest is to blame.
func (w *worker) judgeHello(m wire.Message, err error) *fault.Error {
	bad := func(code fault.Code, cause error) *fault.Error { return fault.New(code, "greet worker", w.id, cause) }
	switch m := m.(type) {
	case nil:
	case wire.Ready:
		if w.ready = m; m.BuildID != wire.BuildID() {
			return bad(fault.HostWorkerMismatch, worded("it is of build "+fault.Quote(m.BuildID)+", this host of build "+wire.BuildID()))
		}
		if layer := w.pool.lacks(w.ready); w.kind != kindProbe && layer != "" {
			return bad(fault.HostSandboxMissing, worded("it does not hold the layer "+layer+", which held when the host started"))
		}
		return nil
	case wire.Failed:
		if m.Code == fault.HostEngine && w.kind == kindProbe {
			return bad(m.Code, said(m.Message))
		}
		return bad(fault.HostSpawnFailed, said(m.Message))
	default:
		return bad(fault.HostWorkerMismatch, worded("not an answer"))
	}
	canceled, isFault := errors.AsType[*fault.Error](err)
	switch {
	case w.pool.isClosed():
		return errStopped()
	case isFault:
		return canceled
	case errors.Is(err, wire.ErrFrame):
		return bad(fault.HostWorkerMismatch, err)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return bad(fault.HostSpawnFailed, worded("no answer in "+w.pool.cfg.helloWall.String())).WithHint(hintNoWorker)
	case !w.diesOfItself(err):
		return bad(fault.HostSpawnFailed, err).WithHint(hintNoWorker)
	}
	return bad(fault.HostSpawnFailed, w.proc.epitaph()).WithHint(hintNoWorker)
}

// hintNoWorker is for what was started, but is no worker by what it does.
const hintNoWorker = "this program did not answer as troupe-worker: check --worker, and that it belongs to this version"

// ask sends one message and receives one, within wall and ctx.
func (w *worker) ask(ctx context.Context, wall time.Duration, m wire.Message, files ...uintptr) (wire.Message, error) {
	stop := context.AfterFunc(ctx, w.halt)
	_ = w.conn.SetDeadline(time.Now().Add(wall))
	err := w.conn.Send(m, files...)
	var in wire.Message
	if err == nil {
		in, err = w.conn.Receive()
	}
	if ctx.Err() != nil || !stop() { // in the second case ctx has ended just now, and the worker is killed or will be
		return nil, canceled(ctx)
	}
	if err == nil {
		err = w.conn.SetDeadline(time.Time{})
	}
	return in, err
}

// canceled is the fault of a context that ended.
func canceled(ctx context.Context) *fault.Error {
	f := fault.From(context.Cause(ctx))
	if f.Class != fault.Canceled {
		f = fault.New(fault.CanceledCaller, "", "", f)
	}
	return f
}

// halt kills the process and unblocks whoever talks to it. It does not wait.
func (w *worker) halt() {
	w.proc.kill()
	_ = w.conn.SetDeadline(time.Unix(1, 0))
	if r := w.ring.Load(); r != nil {
		r.Interrupt()
	}
}

// bury kills the process, waits until it is reaped, and closes the socket.
func (w *worker) bury() {
	w.halt()
	timeout := time.NewTimer(burialWall)
	defer timeout.Stop()
	select {
	case <-w.proc.dead:
	case <-timeout.C:
	}
	_ = w.conn.Close()
	if r := w.ring.Load(); r != nil {
		_ = r.Close()
	}
}

// diesOfItself waits a moment for the death of a worker whose conversation failed with err, so that its own end can be
// told. It reports false if the worker broke the protocol instead: by a bad frame, or by closing its socket and living on.
func (w *worker) diesOfItself(err error) bool {
	if errors.Is(err, wire.ErrFrame) {
		return false
	}
	timeout := time.NewTimer(lastWords)
	defer timeout.Stop()
	select {
	case <-w.proc.dead:
		return true
	case <-timeout.C:
		return false
	}
}

func (w *worker) assign(tenant string, key artifacts.Key) {
	w.pool.mu.Lock()
	defer w.pool.mu.Unlock()
	w.state, w.since, w.tenant, w.artifact = "busy", time.Now(), tenant, key.String()
}

func (w *worker) setState(s string) {
	w.pool.mu.Lock()
	defer w.pool.mu.Unlock()
	w.state, w.since = s, time.Now()
}

// level is what confines this worker, the layers joined by "+".
func (w *worker) level() string {
	if w.kind == kindExecute {
		return w.pool.facts.Sandbox
	}
	return w.pool.facts.Prepare
}

func (w *worker) snapshotLocked() inspect.Worker {
	state, since, runs := w.state, w.since, uint64(0)
	if l := w.line.Load(); l != nil {
		runs = l.runs.Load()
		switch turn := l.turn.Load(); {
		case turn > 0:
			state, since = "busy", time.Unix(0, turn)
		case turn < 0 && state == "idle":
			since = time.Unix(0, -turn)
		}
	}
	return inspect.Worker{
		ID: w.id, Kind: w.kind, PID: w.proc.pid, State: state, Tenant: fault.Quote(w.tenant), Artifact: w.artifact,
		Runs: runs, Since: since, StartedAt: w.born, Sandbox: w.level(),
	}
}
