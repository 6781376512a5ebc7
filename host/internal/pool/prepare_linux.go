package pool

import (
	"context"
	"crypto/sha256"
	"io"
	"os"
	"sync"
	"time"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/prepare"
	"github.com/troupehost/troupe/artifacts"
	"github.com/troupehost/troupe/artifacts/sealed"
	"github.com/troupehost/troupe/host/wire"
)

// The engine's output is 4 to 5 times its input, with some room for small ones, and the skeleton is smaller than the input.
const (
	outputFactor = 8
	outputRoom   = 16 << 20
)

// lookEvery is how often the memory of a prepare worker is looked at: a look takes some 20 µs.
const lookEvery = 10 * time.Millisecond

// largestCPU is the largest budget of CPU time that a preparation can be raised to.
const largestCPU = time.Hour

// Prepare implements prepare.Preparer: one process, from its start until it is reaped.
func (p *Pool) Prepare(ctx context.Context, job prepare.Job, passed func(prepare.Budget)) prepare.Outcome {
	begin := time.Now()
	if err := p.enter(); err != nil {
		return prepare.Outcome{Fault: fault.From(err), Budget: job.Budget}
	}
	defer p.calls.Done()
	job.Budget = job.Budget.WithDefaults()
	j := &preparation{pool: p, job: job, maxOut: outputFactor*p.cfg.MaxInflatedBytes + outputRoom, passed: passed,
		budget: job.Budget, steering: prepare.Steering{Budget: job.Budget, Marks: job.Marks}}
	p.prepares.put(j)
	defer p.prepares.remove(j)
	err := j.do(ctx)
	out := prepare.Outcome{Meta: j.meta, Ticket: j.ticket, CPU: j.cpu, Wall: time.Since(begin), PeakRSS: j.peak, Budget: j.budget, Clock: j.clock}
	if err != nil {
		out.Fault, out.Meta, out.Ticket = fault.From(err), artifacts.Meta{}, 0
	}
	return out
}

// Steer implements prepare.Preparer.
func (p *Pool) Steer(job uint64, s prepare.Steering) string {
	if j := p.prepares.get(job); j != nil {
		return j.steer(s)
	}
	return ""
}

// preparations are those under way, by job. Of two by one name, of which the older is dying, the newer counts.
type preparations struct {
	mu   sync.Mutex
	jobs map[uint64]*preparation
}

func (p *preparations) put(j *preparation) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.jobs == nil {
		p.jobs = map[uint64]*preparation{}
	}
	p.jobs[j.job.ID] = j
}

func (p *preparations) remove(j *preparation) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.jobs[j.job.ID] == j {
		delete(p.jobs, j.job.ID)
	}
}

func (p *preparations) get(job uint64) *preparation {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.jobs[job]
}

// Discard implements prepare.Preparer.
func (p *Pool) Discard(ticket uint64) {
	for _, f := range p.cfg.Handoff.Take(ticket) {
		f.Release()
	}
}

type preparation struct {
	pool   *Pool
	job    prepare.Job
	maxOut int64 // bytes of all parts
	passed func(prepare.Budget)

	mu       sync.Mutex
	steering prepare.Steering // what was said last
	watch    *watch           // nil: the process is not there yet, or not any more
	budget   prepare.Budget   // that the process really has
	told     time.Duration    // CPU time that the clock in the worker allows

	cpu    time.Duration
	peak   int64
	meta   artifacts.Meta
	ticket uint64
	clock  string
	worker string // its id, once it has greeted; guarded by preparations.mu
}

const opPrepare = "prepare"

func (j *preparation) do(ctx context.Context) error {
	code, err := j.pool.cfg.Code.Open(j.job.Code)
	if err != nil {
		return err
	}
	defer code.Release()
	out, err := sealed.NewUnsealed("troupe artifact")
	if err != nil {
		return err
	}
	defer func() { _ = out.Close() }() // a no-op once it is sealed

	w, err := j.pool.start(ctx, kindPrepare, j.limits(j.budget))
	if err != nil {
		return err
	}
	defer w.bury()
	w.assign(j.job.Tenant, j.job.Key)
	j.pool.prepares.isWith(j, w.id)
	w.proc.look()
	begin := time.Now()
	done, told, err := j.talk(ctx, w, code, out)
	if f := fault.From(err); f != nil {
		w.timedOut(f, j.clock)
		if !told { // else it ended as it should, with bad news
			w.killed(f)
		}
		return err
	}
	wall := time.Since(begin)
	whole, err := j.seal(out)
	if err != nil {
		return err
	}
	defer whole.Release()
	if what := flaw(done, whole.Size(), j.pool.cfg.MaxInflatedBytes); what != "" {
		return lie(what, nil)
	}
	snapshot := j.ask(ctx, w, done.Module) // the worker runs beside what the host does with the parts
	parts, err := j.collect(done, whole)
	if err != nil {
		snapshot.drop()
		return err
	}
	if part := snapshot.take(); part != nil {
		j.meta.Snapshot = snapshot.key
		j.meta.Parts = append(j.meta.Parts, snapshot.part)
		parts[artifacts.PartSnapshot] = part
	}
	j.meta.PreparedAt, j.meta.PrepareWall, j.meta.GivenBytes = time.Now(), wall, code.Size()
	j.ticket = j.pool.cfg.Handoff.Deposit(parts)
	return nil
}

// limits are the net below the watch.
func (j *preparation) limits(b prepare.Budget) rlimits {
	return rlimits{
		dataBytes: runtimeBytes + b.MemoryBytes, fileBytes: j.maxOut,
		cpuSeconds: netSeconds(b.CPU), cpuMost: netSeconds(largestCPU),
	}
}

func netSeconds(cpu time.Duration) int64 { return int64(cpu/time.Second) + 2 }

// steer takes a new steering. Before the process is there it is only noted.
func (j *preparation) steer(s prepare.Steering) string {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.steering = s
	if j.watch == nil {
		return ""
	}
	return j.steerLocked()
}

// steerLocked lifts the limits of the process first, so that the net is never below the watch. Memory stays as it is
// where the host may not raise that of a process: then the outcome says so by its budget.
func (j *preparation) steerLocked() string {
	b := j.budget.Raised(j.steering.Budget)
	if b != j.budget && !j.watch.w.proc.raise(j.limits(b)) {
		b.MemoryBytes = j.budget.MemoryBytes
	}
	if b.CPU > j.told { // more than asked for, so that few messages go to a worker which may not read them
		j.told = min(2*b.CPU, largestCPU)
		_ = j.watch.w.conn.Send(wire.Extend{Clock: j.pool.cfg.clocks.inWorker(j.told, 0)}) // lost only on one that dies
	}
	how, later := j.watch.steer(b, j.steering.Marks, j.steering.Held)
	if how != "" {
		j.budget = b
	}
	if later { // to be told again, so that what is shown then is what holds
		return ""
	}
	return how
}

// observe begins or, with nil, ends the time in which the process can be steered.
func (j *preparation) observe(t *watch) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.watch = t; t != nil {
		_ = j.steerLocked()
	}
}

// talk gives the worker its job and returns its answer; told: the error is what it answered. The worker is dead and reaped
// when talk returns, unless it prepared and may be asked for more.
func (j *preparation) talk(ctx context.Context, w *worker, code *sealed.File, out *os.File) (_ wire.Prepared, told bool, _ error) {
	var none wire.Prepared
	t := w.watch(ctx, opPrepare, bounds{
		cpu: j.budget.CPU, wall: j.budget.Wall, cpuCode: fault.GuestPrepareCPU, wallCode: fault.SuspectPrepareWall, look: lookEvery,
		passed: j.passed,
	})
	j.told = j.budget.CPU
	err := w.conn.Send(wire.Prepare{
		MaxInflatedBytes: j.pool.cfg.MaxInflatedBytes, Clock: j.pool.cfg.clocks.inWorker(j.told, 0),
		Policy: j.pool.cfg.Policy, CanonicalNaNs: j.job.Options.CanonicalNaNs, Stay: !j.job.VerdictOnly,
	}, code.Fd(), out.Fd())
	j.observe(t) // not earlier: the worker can be told of more only after its job
	var m wire.Message
	if err == nil {
		m, err = w.conn.Receive()
	}
	own := err == nil || w.diesOfItself(err)
	w.proc.look() // it may live yet
	reason := t.end()
	j.observe(nil)
	if _, prepared := m.(wire.Prepared); !prepared || err != nil || reason != nil || j.job.VerdictOnly {
		w.bury()
	}
	j.cpu, j.peak, j.clock = t.used(), w.proc.peakRSS(), t.struck()
	switch {
	case reason != nil:
		return none, false, reason
	case !own:
		return none, false, t.fault(fault.SuspectBadReply, err)
	case err != nil:
		return none, false, t.autopsy(fault.SuspectPrepareDied, fault.GuestPrepareMemory)
	case j.cpu >= j.budget.CPU: // the account counts, not the luck of the clock that we looked at
		return none, false, t.overCPU(j.cpu)
	}
	switch m := m.(type) {
	case wire.Prepared:
		return m, false, nil
	case wire.Failed:
		if !prepareMayFailWith(m.Code) {
			return none, false, t.fault(fault.SuspectBadReply, worded("failed with "+fault.Quote(string(m.Code))))
		}
		f := fault.New(m.Code, opPrepare, "", said(m.Message))
		if m.Code == fault.GuestMemory {
			f = f.WithHint(hintTooLarge)
		}
		return none, true, f
	}
	return none, false, t.fault(fault.SuspectBadReply, worded("not an answer"))
}

// prepareMayFailWith lists what a prepare worker is believed: faults of the code, and that it failed itself.
func prepareMayFailWith(c fault.Code) bool {
	switch c {
	case fault.GuestNotWasm, fault.GuestTruncated, fault.GuestVersion, fault.GuestComponent, fault.GuestInvalid,
		fault.GuestUnknownImport, fault.GuestCodeTooLarge, fault.GuestDecompressionBomb, fault.GuestBadCompression,
		fault.GuestMemory, fault.GuestTooManySymbols, fault.GuestFeature, fault.GuestTooComplex, fault.GuestPrepareMemory, fault.SuspectPrepareDied:
		return true
	}
	return false
}

// said is a message of a worker as the cause of a fault.
func said(message string) error {
	if message == "" {
		return nil
	}
	return worded(fault.Quote(message))
}

// lie is the fault of an answer that cannot be.
func lie(what string, err error) error { return fault.New(fault.SuspectBadReply, opPrepare, what, err) }

// seal takes what the worker wrote away from it: it may live, but can change no byte any more.
func (j *preparation) seal(out *os.File) (*sealed.File, error) {
	st, err := out.Stat()
	if err != nil {
		return nil, fault.New(fault.HostMemory, opPrepare, "output", err)
	}
	if st.Size() > j.maxOut {
		return nil, fault.New(fault.GuestPrepareMemory, opPrepare, "output", nil)
	}
	whole, err := sealed.Seal(out)
	if err != nil { // somebody seals or maps it still: not what a worker does that we wrote
		return nil, lie("output", err)
	}
	return whole, nil
}

// collect cuts what was sealed into parts, and fills in the description.
func (j *preparation) collect(done wire.Prepared, whole *sealed.File) (_ map[string]*sealed.File, err error) {
	parts := map[string]*sealed.File{}
	j.meta = artifacts.Meta{
		Key: j.job.Key, Code: j.job.Code, Build: j.pool.facts.Build, Module: done.Module, CanonicalNaNs: j.job.Options.CanonicalNaNs, PrepareCPU: j.cpu, PeakRSS: j.peak,
	}
	for _, r := range done.Parts {
		digest := sha256.New()
		parts[r.Name], err = sealed.Create("troupe "+r.Name, func(w *os.File) error {
			_, err := io.Copy(io.MultiWriter(w, digest), whole.Section(r.Offset, r.Bytes))
			return err
		})
		if err != nil {
			delete(parts, r.Name)
			for _, f := range parts {
				f.Release()
			}
			return nil, fault.New(fault.HostMemory, opPrepare, r.Name, err)
		}
		j.meta.Parts = append(j.meta.Parts, artifacts.Part{Name: r.Name, Bytes: r.Bytes, SHA256: [32]byte(digest.Sum(nil))})
	}
	return parts, nil
}

// flaw returns what is wrong with an answer, or "". The parts are those of an artifact, each once, within size, and together
// no more than size, so that they cannot be the same bytes.
func flaw(p wire.Prepared, size, maxInflated int64) string {
	seen := map[string]bool{}
	left := size
	for _, r := range p.Parts {
		switch {
		case !isPart(r.Name), seen[r.Name]:
			return "part " + fault.Quote(r.Name)
		case r.Offset < 0, r.Bytes <= 0, r.Bytes > left, r.Offset > size-r.Bytes:
			return "range of part " + r.Name
		}
		seen[r.Name] = true
		left -= r.Bytes
	}
	for _, part := range partNames {
		if part.must && !seen[part.name] {
			return "number of parts"
		}
	}
	m := p.Module
	if m.WasmBytes < 0 || m.WasmBytes > maxInflated || m.NumFunctions < 0 || m.CodeBytes < 0 || m.DataBytes < 0 ||
		int64(m.MemoryPages) > maxPages || m.CodeBytes > size || m.DataBytes > maxInflated {
		return "description of the module"
	}
	return ""
}

func isPart(name string) bool {
	for _, p := range partNames {
		if p.name == name {
			return true
		}
	}
	return false
}

const maxPages = int64(1 << 16)
