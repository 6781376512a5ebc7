package host

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/troupehost/troupe/actors/cache"
	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/kernel"
	"github.com/troupehost/troupe/actors/prepare"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/artifacts"
	"github.com/troupehost/troupe/host/internal/pool"
	"github.com/troupehost/troupe/host/wire"
)

// Limits of what a request may carry besides code and input, in bytes and entries.
const (
	maxArgs     = 1024
	maxArgBytes = 64 << 10
	maxArgTotal = 512 << 10

	maxValidityBytes = 128
)

// streamGrace is how long a Write of the caller's that blocks may outlast its run before Execute returns all the same.
const streamGrace = time.Second

func pid() int { return os.Getpid() }

// Execute runs code and waits for its end. A run that ended badly is a receipt with its verdict, not an error.
//
// # Errors
//
// busy.queue_full, busy.draining, caller.*, canceled.*, host.*, bug.*: there is no verdict on the code.
func (h *Host) Execute(ctx context.Context, r Request) (run.Receipt, error) {
	if h.checks == nil {
		return h.executeOnce(ctx, r)
	}
	return h.checks.over(ctx, r, h.executeOnce)
}

// executeOnce is Execute without a cross-check.
func (h *Host) executeOnce(ctx context.Context, r Request) (run.Receipt, error) {
	begin := time.Now()
	if err := r.validate(&h.cfg); err != nil {
		return run.Receipt{}, h.refused(err)
	}
	if err := h.enter(); err != nil {
		return run.Receipt{}, h.refused(err)
	}
	defer h.leave()
	var c *heldCode // what was given; what is named is held once the actors need it
	code := r.CodeHash
	if r.Code != nil {
		var err error
		if c, err = h.takeCode(r.Code, "", artifacts.Options{CanonicalNaNs: r.CanonicalNaNs}); err != nil {
			return run.Receipt{}, h.refused(err)
		}
		defer c.release()
		code = c.hash.String()
	}
	t, err := h.termsOf(&r, code)
	if err != nil {
		return run.Receipt{}, h.refused(err)
	}
	if r.Input != nil {
		h.metrics.Input(len(r.Input))
	}
	if err := h.takesRuns(); err != nil {
		return run.Receipt{}, h.refused(err)
	}
	if c != nil && c.fault != nil {
		return blame(t.empty(), c.fault), nil
	}
	receipt, left, done, err := h.ride(ctx, begin, &r, t)
	if done {
		return receipt, err
	}
	if c == nil {
		if c, err = h.takeCode(nil, code, artifacts.Options{CanonicalNaNs: r.CanonicalNaNs}); err != nil {
			return run.Receipt{}, h.refused(err)
		}
		defer c.release()
	}
	return h.executeByActors(ctx, begin, r, t, c, left)
}

// executeByActors runs a request the ordinary way: all of it, or what a ride left.
func (h *Host) executeByActors(ctx context.Context, begin time.Time, r Request, t *terms, c *heldCode, left *rest) (run.Receipt, error) {
	if left == nil {
		left = &rest{id: h.runs.newID()}
	}
	if left.entry == nil {
		left.entry = h.runs.gated(r.streams())
	}
	id := left.id
	left.entry.app = r.app
	if left.cause.IsZero() {
		left.cause = h.causeOf(ctx)
	}
	ctx = because(ctx, left.cause)
	h.runs.put(id, left.entry)
	defer func() {
		if !h.runs.remove(id, streamGrace) {
			h.log.Error().Uint64("run", id).Msg("a run has ended, and a stream of its caller still blocks")
		}
	}()
	deadline, _ := ctx.Deadline()
	lend := t.rides && r.Validity == ""
	_, slice := r.app.served()
	mark := h.lanes.Mark()
	a, err := h.ask(ctx, begin, cache.Request{
		ID: id, Kind: cache.Execute, Key: t.key, Code: t.hash, Options: c.options, Tenant: t.tenant,
		App: r.app.of(), Slice: slice, Priority: orPriority(r.Priority, run.Normal), Budget: h.budget(h.cfg.PrepareCPU),
		Entry: r.Entry, Limits: t.job.Limits, Imports: r.Imports, Determinism: r.Determinism, Isolation: r.Isolation, Deadline: deadline, NoCode: !c.held,
		Validity: r.Validity, Lend: lend, Tried: left.tried, Cause: left.cause,
	})
	receipt := t.empty()
	if err != nil {
		h.log.Debug().Uint64("job", id).Str("code_hash", receipt.CodeHash).Err(err).Msg("not executed")
		return receipt, err
	}
	if lend {
		h.proved(t, &a, mark)
	}
	receipt = fill(receipt, a, r)
	h.log.Debug().Uint64("job", id).Str("code_hash", receipt.CodeHash).Str("verdict", receipt.Verdict).Str("fault", receipt.Fault).Msg("executed")
	return receipt, nil
}

// streams are the input and output of a request, and who serves what it asks.
func (r *Request) streams() pool.RunIO {
	calls, _ := r.app.served()
	return pool.RunIO{Input: r.Input, Stdin: r.Stdin, Stdout: r.Stdout, Stderr: r.Stderr, Calls: calls}
}

// gasTable is the version of the gas table in receipts.
var gasTable = wire.GasTable()

// emptyReceipt is the receipt of a run that used nothing yet.
func emptyReceipt(code, artifact string) run.Receipt {
	return run.Receipt{CodeHash: code, Artifact: artifact, CPUMicros: new(int64), WallMicros: new(int64), GasUsed: new(int64), InitGas: new(int64),
		GasTable: gasTable, Attempts: new(1), Cache: "miss"}
}

// inWorld writes what a run was shown into its receipt.
func inWorld(receipt run.Receipt, o artifacts.Options, d run.Determinism) run.Receipt {
	receipt.NaN, receipt.Clock, receipt.Random = run.NaNs(o.CanonicalNaNs), d.String(), d.String()
	return receipt
}

// fill writes what is known of a run into its receipt.
func fill(receipt run.Receipt, a cache.Answer, r Request) run.Receipt {
	o := a.Outcome
	receipt = inWorld(receipt, a.Options, a.Determinism)
	receipt.Attempts, receipt.Repeated, receipt.Counted = new(a.Attempts), a.Repeated, a.Counted
	if a.Hit {
		receipt.Cache = "hit"
	}
	receipt.CPUMicros, receipt.WallMicros = new(o.Usage.CPU.Microseconds()), new(o.Usage.Wall.Microseconds())
	if o.Sandbox != "" { // it was begun: nobody but the worker knows its gas
		receipt.GasUsed, receipt.InitGas = o.Usage.GasUsed, o.Usage.InitGas
	}
	receipt.MemoryPeakBytes, receipt.Sandbox = o.Usage.MemoryPeakBytes, o.Sandbox
	if o.Exited {
		receipt.GuestExit = new(o.GuestExit)
	}
	if o.Result != nil {
		receipt.Result = o.Result
	}
	if r.Stdout == nil {
		receipt.Stdout = append(run.Blob{}, o.Stdout...)
	}
	if r.Stderr == nil {
		receipt.Stderr = append(run.Blob{}, o.Stderr...)
	}
	return blame(receipt, o.Fault)
}

func blame(receipt run.Receipt, f *fault.Error) run.Receipt {
	receipt.Verdict = "ok"
	if f != nil {
		receipt.Verdict, receipt.Fault, receipt.Message, receipt.Hint = f.Class.String(), string(f.Code), f.Error(), f.Hint
	}
	return receipt
}

// Precheck judges code: it is compiled within a strict budget and looked at, and nothing of it runs.
//
// # Errors
//
// busy.queue_full, busy.draining, caller.*, canceled.*, host.*, bug.*: there is no verdict on the code.
func (h *Host) Precheck(ctx context.Context, r CodeRequest) (Judgement, error) {
	if err := h.validateCode(r); err != nil {
		return Judgement{}, h.refused(err)
	}
	if err := h.enter(); err != nil {
		return Judgement{}, h.refused(err)
	}
	defer h.leave()
	c, err := h.takeCode(r.Code, r.CodeHash, artifacts.Options{CanonicalNaNs: r.CanonicalNaNs})
	if err != nil {
		return Judgement{}, h.refused(err)
	}
	defer c.release()
	a := cache.Answer{Outcome: run.Outcome{Fault: c.fault}}
	if c.fault == nil {
		a, err = h.judge(ctx, r, c, cache.Request{Kind: cache.Precheck, Priority: orPriority(r.Priority, run.Normal),
			Budget: h.budget(orTime(r.CPU, h.cfg.PrecheckCPU))})
	}
	if err != nil {
		return Judgement{}, err
	}
	j := Judgement{Verdict: "ok", CodeHash: c.hash.String(), Artifact: c.key.String(), Cache: "miss", Stored: a.Stored, Module: a.Meta.Module,
		ArtifactBytes: a.Meta.Bytes(), PrepareCPU: a.Meta.PrepareCPU.Microseconds(), PrepareWall: a.Meta.PrepareWall.Microseconds(), PrepareRSS: a.Meta.PeakRSS}
	if a.Hit {
		j.Cache = "hit"
	}
	if f := a.Outcome.Fault; f != nil {
		j.Verdict, j.Fault, j.Message, j.Hint = f.Class.String(), string(f.Code), f.Error(), f.Hint
	}
	return j, nil
}

// HeadsUp announces code: it is prepared in the background. It returns when the announcement is admitted: the code is held,
// and the preparation is done, under way or in the queue. A ctx that ends first does not take the announcement back.
//
// # Errors
//
// busy.queue_full, busy.draining, caller.*, canceled.*, guest.code_too_large, host.out_of_memory, bug.*.
func (h *Host) HeadsUp(ctx context.Context, r CodeRequest) error {
	if err := ctx.Err(); err != nil {
		return fault.From(err)
	}
	if err := h.validateCode(r); err != nil {
		return h.refused(err)
	}
	if err := h.enter(); err != nil {
		return h.refused(err)
	}
	c, err := h.takeCode(r.Code, r.CodeHash, artifacts.Options{CanonicalNaNs: r.CanonicalNaNs}) // the caller may reuse the code once this returns
	if err == nil && c.fault != nil {
		h.leave()
		return c.fault
	}
	if err != nil {
		h.leave()
		return h.refused(err)
	}
	admitted := make(chan error, 2)
	go func() {
		defer h.leave()
		defer c.release()
		// Once it is admitted, the end of the preparation is for the artifact cache to show.
		_, err := h.judge(h.life, r, c, cache.Request{Kind: cache.HeadsUp, Priority: orPriority(r.Priority, run.Background),
			Budget:   h.budget(orTime(r.CPU, h.cfg.PrepareCPU)),
			Accepted: kernel.ReplyFunc(func(_ struct{}, err error) { admitted <- err })})
		admitted <- err
	}()
	select {
	case err := <-admitted:
		return err
	case <-ctx.Done():
		return fault.From(context.Cause(ctx))
	}
}

// judge brings a request that runs nothing to the cache actor.
func (h *Host) judge(ctx context.Context, r CodeRequest, c *heldCode, q cache.Request) (cache.Answer, error) {
	q.ID, q.Key, q.Code, q.Options, q.Tenant, q.Imports, q.NoCode = h.runs.add(pool.RunIO{}), c.key, c.hash, c.options, or(r.Tenant, h.cfg.Tenant), r.Imports, !c.held
	defer h.runs.remove(q.ID, 0)
	return h.ask(ctx, time.Now(), q)
}

// ask brings a request, which began then, to the cache actor. When the caller leaves, the request is withdrawn, and its end is awaited all
// the same.
func (h *Host) ask(ctx context.Context, begin time.Time, r cache.Request) (cache.Answer, error) {
	defer h.took(r.Kind, begin)
	a, err := kernel.AskWithdrawing(ctx, h.cache,
		func(to kernel.Reply[cache.Answer]) cache.Message { return cache.Ask{Request: r, Reply: to} },
		cache.Message(cache.Depart{ID: r.ID}), h.cfg.StopTimeout)
	if err != nil && ctx.Err() != nil {
		err = fault.From(context.Cause(ctx))
	}
	return a, err
}

// minWall is the least wall budget of a preparation: a process must start within it.
const minWall = time.Second

func (h *Host) budget(cpu time.Duration) prepare.Budget {
	return prepare.Budget{CPU: cpu, Wall: max(run.WallFactor*cpu, minWall), MemoryBytes: h.cfg.PrepareMemoryBytes}
}

// heldCode is the code of one request, kept in the table while the request runs.
type heldCode struct {
	table *codeTable
	hash  artifacts.CodeHash
	key   artifacts.Key
	held  bool

	options artifacts.Options
	fault   *fault.Error // the code is refused before it is looked at
}

func (c *heldCode) release() {
	if c.held {
		c.table.release(c.hash)
	}
}

func (h *Host) takeCode(code []byte, hash string, o artifacts.Options) (*heldCode, error) {
	c := &heldCode{table: h.codes, options: o}
	if code == nil {
		parsed, err := artifacts.ParseCodeHash(hash)
		if err != nil {
			return nil, err
		}
		c.hash, c.held = parsed, h.codes.hold(parsed)
	} else {
		c.hash = artifacts.HashCode(code)
		h.metrics.CodeGiven(len(code))
		if int64(len(code)) > h.cfg.MaxCodeBytes {
			c.fault = fault.New(fault.GuestCodeTooLarge, "code", "", nil)
			h.metrics.Refused(c.fault)
		} else if err := h.codes.put(c.hash, code); err != nil {
			return nil, err
		} else {
			c.held = true
		}
	}
	c.key = h.keyOf(c.hash, o)
	return c, nil
}

// keyOf names the artifact that this host makes of a code.
func (h *Host) keyOf(c artifacts.CodeHash, o artifacts.Options) artifacts.Key {
	return artifacts.KeyOf(c, h.pool.Facts().Build, o)
}

func (r *Request) validate(cfg *Config) error {
	if err := r.Limits.Validate(); err != nil {
		return err
	}
	bad := func(what string) error {
		return fault.New(fault.CallerInvalid, "request", "", nil).WithHint(what)
	}
	total := len(r.Entry.Name)
	for _, l := range [...][]string{r.Entry.Args, r.Entry.Env} {
		if len(l) > maxArgs {
			return bad("pass at most 1024 arguments and 1024 environment entries")
		}
		for _, a := range l {
			if total += len(a); len(a) > maxArgBytes {
				return bad("an argument or environment entry is at most 64 KiB long")
			}
		}
	}
	switch {
	case len(r.Entry.Name) > maxArgBytes, total > maxArgTotal:
		return bad("name, arguments and environment are at most 512 KiB together")
	case r.Code == nil && r.CodeHash == "":
		return bad("pass the code or its hash")
	case r.Code != nil && r.CodeHash != "":
		return bad("pass the code or its hash, not both")
	case int64(len(r.Input)) > cfg.MaxInputBytes:
		return fault.New(fault.CallerParamsTooBig, "request", "", nil)
	case len(r.Tenant) > MaxTenantBytes:
		return bad("a tenant has at most 64 bytes")
	case len(r.Validity) > maxValidityBytes:
		return bad("a validity tag has at most 128 bytes")
	case r.Priority > run.Critical, r.Entry.Mode > run.Bytes, r.Imports > run.TrapMissing, r.Determinism > run.RealRuns,
		r.Isolation > run.Process:
		return bad("a priority, mode or policy is unknown")
	}
	return nil
}

func (h *Host) validateCode(r CodeRequest) error {
	bad := func(what string) error {
		return fault.New(fault.CallerInvalid, "request", "", nil).WithHint(what)
	}
	switch {
	case r.Code == nil && r.CodeHash == "":
		return bad("pass the code or its hash")
	case r.Code != nil && r.CodeHash != "":
		return bad("pass the code or its hash, not both")
	case len(r.Tenant) > MaxTenantBytes:
		return bad("a tenant has at most 64 bytes")
	case r.Priority > run.Critical, r.Imports > run.TrapMissing:
		return bad("a priority or policy is unknown")
	case r.CPU != 0 && (r.CPU < run.MinTime || r.CPU > h.cfg.PrepareCPU):
		return bad(fmt.Sprintf("cpu must be between %v and %v, the most that this host gives a preparation", run.MinTime, h.cfg.PrepareCPU))
	}
	return nil
}

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

func orPriority(p, otherwise run.Priority) run.Priority {
	if p == 0 {
		return otherwise
	}
	return p
}

func orTime(d, otherwise time.Duration) time.Duration {
	if d == 0 {
		return otherwise
	}
	return d
}
