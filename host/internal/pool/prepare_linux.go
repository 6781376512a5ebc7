package pool

import (
	"cmp"
	"context"
	"crypto/sha256"
	"io"
	"os"
	"time"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/prepare"
	"github.com/troupehost/troupe/actors/run"
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

// Prepare implements prepare.Preparer: one process, from its start until it is reaped.
func (p *Pool) Prepare(ctx context.Context, job prepare.Job) prepare.Outcome {
	begin := time.Now()
	if err := p.enter(); err != nil {
		return prepare.Outcome{Fault: fault.From(err)}
	}
	defer p.calls.Done()
	j := &preparation{pool: p, job: job, maxOut: outputFactor*p.cfg.MaxInflatedBytes + outputRoom}
	err := j.do(ctx)
	out := prepare.Outcome{Meta: j.meta, Ticket: j.ticket, CPU: j.cpu, Wall: time.Since(begin), PeakRSS: j.peak}
	if err != nil {
		out.Fault, out.Meta, out.Ticket = fault.From(err), artifacts.Meta{}, 0
	}
	return out
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

	cpu    time.Duration
	peak   int64
	meta   artifacts.Meta
	ticket uint64
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

	b := j.job.Budget
	w, err := j.pool.start(ctx, kindPrepare, rlimits{
		dataBytes: runtimeBytes + b.MemoryBytes, fileBytes: j.maxOut, cpuSeconds: int64(b.CPU/time.Second) + 2,
	})
	if err != nil {
		return err
	}
	defer w.bury()
	w.assign(j.job.Tenant, j.job.Key)
	w.proc.look()
	begin := time.Now()
	done, err := j.talk(ctx, w, code, out)
	if err != nil {
		return err
	}
	parts, err := j.collect(done, out)
	if err != nil {
		return err
	}
	j.meta.PreparedAt, j.meta.PrepareWall = time.Now(), time.Since(begin)
	j.ticket = j.pool.cfg.Handoff.Deposit(parts)
	return nil
}

// talk gives the worker its job and returns its answer. The worker is dead and reaped when talk returns.
func (j *preparation) talk(ctx context.Context, w *worker, code *sealed.File, out *os.File) (wire.Prepared, error) {
	var none wire.Prepared
	b := j.job.Budget
	t := w.watch(ctx, opPrepare, bounds{
		cpu: b.CPU, wall: cmp.Or(b.Wall, run.WallFactor*b.CPU), cpuCode: fault.GuestPrepareCPU, wallCode: fault.SuspectPrepareWall, look: lookEvery,
	})
	err := w.conn.Send(wire.Prepare{MaxInflatedBytes: j.pool.cfg.MaxInflatedBytes}, code.Fd(), out.Fd())
	var m wire.Message
	if err == nil {
		m, err = w.conn.Receive()
	}
	own := err == nil || w.diesOfItself(err)
	w.proc.look() // it may live yet
	reason := t.end()
	w.bury()
	j.cpu, j.peak = t.used(), w.proc.peakRSS()
	switch {
	case reason != nil:
		return none, reason
	case !own:
		return none, t.fault(fault.SuspectBadReply, err)
	case err != nil:
		return none, t.autopsy(fault.SuspectPrepareDied, fault.GuestPrepareMemory)
	case j.cpu >= b.CPU: // the account counts, not the luck of the clock that we looked at
		return none, t.fault(fault.GuestPrepareCPU, worded("used "+j.cpu.String()+" of "+b.CPU.String()))
	}
	switch m := m.(type) {
	case wire.Prepared:
		return m, nil
	case wire.Failed:
		if !prepareMayFailWith(m.Code) {
			return none, t.fault(fault.SuspectBadReply, worded("failed with "+fault.Quote(string(m.Code))))
		}
		f := fault.New(m.Code, opPrepare, "", said(m.Message))
		if m.Code == fault.GuestMemory {
			f = f.WithHint(hintTooLarge)
		}
		return none, f
	}
	return none, t.fault(fault.SuspectBadReply, worded("not an answer"))
}

// prepareMayFailWith lists what a prepare worker is believed: faults of the code, and that it failed itself.
func prepareMayFailWith(c fault.Code) bool {
	switch c {
	case fault.GuestNotWasm, fault.GuestTruncated, fault.GuestVersion, fault.GuestComponent, fault.GuestInvalid,
		fault.GuestUnknownImport, fault.GuestCodeTooLarge, fault.GuestDecompressionBomb, fault.GuestBadCompression,
		fault.GuestMemory, fault.GuestTooManySymbols, fault.GuestPrepareMemory, fault.SuspectPrepareDied:
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

// collect seals what the dead worker wrote, cuts it into parts, and fills in the description.
func (j *preparation) collect(done wire.Prepared, out *os.File) (map[string]*sealed.File, error) {
	lie := func(what string, err error) (map[string]*sealed.File, error) {
		return nil, fault.New(fault.SuspectBadReply, opPrepare, what, err)
	}
	st, err := out.Stat()
	if err != nil {
		return nil, fault.New(fault.HostMemory, opPrepare, "output", err)
	}
	if st.Size() > j.maxOut {
		return nil, fault.New(fault.GuestPrepareMemory, opPrepare, "output", nil)
	}
	whole, err := sealed.Seal(out)
	if err != nil { // somebody seals or maps it still: not what a worker does that we wrote
		return lie("output", err)
	}
	defer whole.Release()
	if what := flaw(done, whole.Size(), j.pool.cfg.MaxInflatedBytes); what != "" {
		return lie(what, nil)
	}
	parts := map[string]*sealed.File{}
	j.meta = artifacts.Meta{
		Key: j.job.Key, Code: j.job.Code, Build: j.pool.facts.Build, Module: done.Module, PrepareCPU: j.cpu, PeakRSS: j.peak,
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

// flaw returns what is wrong with an answer, or "". The parts are code and module, each once, within size, and together
// no more than size, so that they cannot be the same bytes.
func flaw(p wire.Prepared, size, maxInflated int64) string {
	seen := map[string]bool{}
	left := size
	for _, r := range p.Parts {
		switch {
		case r.Name != artifacts.PartCode && r.Name != artifacts.PartModule, seen[r.Name]:
			return "part " + fault.Quote(r.Name)
		case r.Offset < 0, r.Bytes <= 0, r.Bytes > left, r.Offset > size-r.Bytes:
			return "range of part " + r.Name
		}
		seen[r.Name] = true
		left -= r.Bytes
	}
	if len(seen) != 2 {
		return "number of parts"
	}
	m := p.Module
	if m.WasmBytes < 0 || m.WasmBytes > maxInflated || m.NumFunctions < 0 || m.CodeBytes < 0 || m.DataBytes < 0 ||
		int64(m.MemoryPages) > maxPages || m.CodeBytes > size || m.DataBytes > maxInflated {
		return "description of the module"
	}
	return ""
}

const maxPages = int64(1 << 16)
