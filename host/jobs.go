package host

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"time"

	"github.com/troupehost/troupe/actors/cache"
	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/jobs"
	"github.com/troupehost/troupe/actors/kernel"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/artifacts"
	"github.com/troupehost/troupe/artifacts/blob"
)

// Limits of what may be said about a job.
const (
	maxKeyBytes = 128
	maxByBytes  = 256
	maxKeep     = 366 * 24 * time.Hour
	maxJobs     = 10_000 // in one list
	defaultJobs = 1000
)

// MaxJobOutputBytes bounds Limits.OutputBytes of a job, whose output is kept on disk and answered in one piece.
const MaxJobOutputBytes = int64(32 << 20)

// JobRequest asks for a durable job: an execution that survives the host.
type JobRequest struct {
	// Request says what to run. Stdin, Stdout and Stderr must be nil: see StdinBytes; output is captured into the receipt, at
	// most MaxJobOutputBytes of it.
	// Code, Input and StdinBytes are copied to disk before Submit returns.
	Request
	// StdinBytes feeds a command. At most Config.MaxInputBytes.
	StdinBytes []byte
	// Key makes Submit idempotent: the same key of the same tenant names the same job, as long as the job is kept; with
	// another request it is caller.conflict. Default: none, each call is a job. At most 128 bytes.
	Key string
	// Deadline is when the job must have started. Default: none.
	Deadline time.Time
	// Keep is how long the job is kept after it is settled. Default: Config.JobKeep. Range: 1 s to 1 year.
	Keep time.Duration
}

// JobFilter chooses jobs. Zero fields choose all.
type JobFilter struct {
	Tenant string
	State  run.JobState
	After  string // jobs after this id; ids sort by time of submission
	Limit  int    // default 1000, at most 10,000
}

// Submit accepts a job. When it returns, the job is on disk: it is run at least once and settled exactly once, whatever
// happens to the host. When ctx ends first the job may have been accepted or not: a Key tells.
//
// Key compares what is to be run: code, entry, limits, policies, input, priority and validity, not Deadline and Keep.
// Deadline is the machine's time when the job is submitted, and when the host starts; while the host runs it is counted down,
// so that a clock that is set does not cancel jobs. Keep, too, is counted while the host runs, and stands still while it is
// down.
//
// # Errors
//
// caller.invalid_request, caller.params_too_large, caller.conflict, caller.not_found, caller.quota, canceled.*,
// busy.queue_full, busy.draining, busy.disk_space, host.disk_full, host.disk_io, guest.code_too_large.
func (h *Host) Submit(ctx context.Context, r JobRequest) (run.Job, error) {
	if err := r.validate(&h.cfg); err != nil {
		return run.Job{}, err
	}
	if err := h.enter(); err != nil {
		return run.Job{}, err
	}
	defer h.leave()
	spec, err := jobSpec{Entry: r.Entry, Limits: r.Limits.WithDefaults(), Imports: r.Imports, Determinism: r.Determinism, Isolation: r.Isolation, CanonicalNaN: r.CanonicalNaNs,
		input: r.Input, stdin: r.StdinBytes}.encode()
	if err != nil {
		return run.Job{}, err
	}
	q := jobs.Request{Key: r.Key, Tenant: or(r.Tenant, h.cfg.Tenant), Validity: r.Validity, Priority: orPriority(r.Priority, run.Normal),
		Deadline: r.Deadline, Keep: cmp.Or(r.Keep, h.cfg.JobKeep), Body: &jobs.Body{Spec: spec}}
	code, release, err := h.jobCode(ctx, r.Code, r.CodeHash, q.Body)
	if err != nil {
		return run.Job{}, err
	}
	defer release()
	q.Code = jobs.Digest(code)
	return h.submit(ctx, q)
}

// submit brings a job to the actor.
func (h *Host) submit(ctx context.Context, q jobs.Request) (run.Job, error) {
	var err error
	if q.ID, err = h.jobIDs.next(); err != nil {
		return run.Job{}, err
	}
	spec, err := decodeSpec(q.Body.Spec)
	if err != nil {
		return run.Job{}, err
	}
	q.Mode = cmp.Or(spec.Entry.Mode, run.Command).String()
	q.Params = run.Params{Tenant: q.Tenant, Entry: spec.Entry, Limits: spec.Limits, Imports: spec.Imports, Determinism: spec.Determinism, Isolation: spec.Isolation}.Hash()
	same := sha256.New()
	about, err := json.Marshal([]any{q.Code, q.Priority, q.Validity})
	if err != nil {
		return run.Job{}, fault.New(fault.BugUnexpected, "submit", "", err)
	}
	same.Write(about)
	same.Write(q.Body.Spec)
	q.Fingerprint = jobs.Digest(same.Sum(nil))
	ctx, cause := h.caused(ctx)
	q.Cause = cause.String()
	j, err := kernel.Ask(ctx, h.jobs, func(to kernel.Reply[run.Job]) jobs.Message { return jobs.Submit{Request: q, Reply: to} })
	if err != nil {
		return run.Job{}, err
	}
	return h.withReceipt(ctx, j)
}

// jobCode finds the code of a job. If it is on disk it stays there until release; else the body has its bytes.
func (h *Host) jobCode(ctx context.Context, code []byte, hash string, body *jobs.Body) (c artifacts.CodeHash, release func(), err error) {
	none := func() {}
	if int64(len(code)) > h.cfg.MaxCodeBytes {
		return c, none, fault.New(fault.GuestCodeTooLarge, "code", "", nil)
	}
	if code != nil {
		c = artifacts.HashCode(code)
	} else if c, err = artifacts.ParseCodeHash(hash); err != nil {
		return c, none, err
	}
	err = h.journal.useCode(ctx, blob.Hash(c), nil)
	switch {
	case err == nil:
		return c, func() { h.journal.dropCode(ctx, blob.Hash(c)) }, nil
	case !errors.Is(err, fault.CallerNotFound):
		return c, none, err
	case code != nil:
		body.Code = bytes.Clone(code) // the caller may leave before it is written
		return c, none, nil
	}
	f, err := h.codes.Open(c)
	if err != nil {
		return c, none, err
	}
	defer f.Release()
	body.Code = make([]byte, f.Size())
	if _, err := f.ReadAt(body.Code, 0); err != nil {
		return c, none, fault.New(fault.HostMemory, "submit", c.String(), err)
	}
	return c, none, nil
}

func (r *JobRequest) validate(cfg *Config) error {
	bad := func(what string) error {
		return fault.New(fault.CallerInvalid, "job", "", nil).WithHint(what)
	}
	if err := r.Request.validate(cfg); err != nil {
		return err
	}
	switch {
	case r.Stdin != nil, r.Stdout != nil, r.Stderr != nil:
		return bad("a job has no streams: pass StdinBytes, and find the output in the receipt")
	case int64(len(r.StdinBytes)) > cfg.MaxInputBytes:
		return fault.New(fault.CallerParamsTooBig, "job", "", nil)
	case r.Limits.OutputBytes > MaxJobOutputBytes:
		return bad("the output of a job is kept: its limit is at most 32MiB")
	case len(r.Key) > maxKeyBytes:
		return bad("a key has at most 128 bytes")
	case r.Keep != 0 && (r.Keep < time.Second || r.Keep > maxKeep):
		return bad("keep must be between 1s and 1 year")
	}
	return nil
}

// withReceipt adds what is on disk only.
func (h *Host) withReceipt(ctx context.Context, j run.Job) (run.Job, error) {
	return h.addReceipt(ctx, j, true)
}

func (h *Host) addReceipt(ctx context.Context, j run.Job, withOutput bool) (run.Job, error) {
	if j.State != run.JobSettled || j.Fault != "" {
		return j, nil
	}
	r, err := h.journal.Receipt(ctx, j.ID, withOutput)
	j.Receipt = r
	return j, err
}

// askJob asks for one job.
func (h *Host) askJob(ctx context.Context, build func(kernel.Reply[run.Job]) jobs.Message) (run.Job, error) {
	j, err := kernel.Ask(ctx, h.jobs, build)
	if err != nil {
		return run.Job{}, err
	}
	return h.withReceipt(ctx, j)
}

// Job returns a job with its timeline and, once it is settled, its receipt.
//
// # Errors
//
// caller.not_found; host.disk_io for a receipt that cannot be read.
func (h *Host) Job(ctx context.Context, id string) (run.Job, error) {
	j, err := h.askJob(kernel.Looking(ctx), func(to kernel.Reply[run.Job]) jobs.Message { return jobs.Get{ID: id, Reply: to} })
	one := []run.Job{j}
	h.stages(ctx, one)
	return one[0], err
}

// Jobs lists jobs in the order of their ids, without timeline and output. next, if not empty, is the After of the next page.
//
// # Errors
//
// caller.invalid_request; host.disk_io for receipts that cannot be read.
func (h *Host) Jobs(ctx context.Context, f JobFilter) (list []run.Job, next string, err error) {
	if f.Limit < 0 || f.Limit > maxJobs {
		return nil, "", fault.New(fault.CallerInvalid, "jobs", "", nil).WithHint("a list has at most 10,000 jobs")
	}
	p, err := kernel.Ask(kernel.Looking(ctx), h.jobs, func(to kernel.Reply[jobs.Page]) jobs.Message {
		return jobs.List{Tenant: f.Tenant, State: f.State, After: f.After, Limit: cmp.Or(f.Limit, defaultJobs), Reply: to}
	})
	if err != nil {
		return nil, "", err
	}
	for n := range p.Jobs {
		if p.Jobs[n], err = h.addReceipt(ctx, p.Jobs[n], false); err != nil {
			return nil, "", err
		}
	}
	h.stages(ctx, p.Jobs)
	return p.Jobs, p.Next, nil
}

// WatchJob returns a job as soon as it has more than seen events, at once if it is settled. When ctx ends first it returns
// the job as it is, with the error.
//
// # Errors
//
// caller.not_found, canceled.*, busy.queue_full for more than 4096 watchers.
func (h *Host) WatchJob(ctx context.Context, id string, seen int) (run.Job, error) {
	watcher := h.watchers.Add(1)
	j, err := kernel.AskWithdrawing(ctx, h.jobs,
		func(to kernel.Reply[run.Job]) jobs.Message {
			return jobs.Watch{ID: id, Seen: seen, Watcher: watcher, Reply: to}
		}, jobs.Message(jobs.Unwatch{Watcher: watcher}), time.Second)
	if err == nil {
		return h.withReceipt(context.WithoutCancel(ctx), j)
	}
	if ctx.Err() != nil {
		short, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		if j, now := h.Job(short, id); now == nil {
			return j, fault.From(context.Cause(ctx))
		}
	}
	return run.Job{}, err
}

// CancelJob cancels a job, by whom goes into its timeline. It returns when that is on disk; a job that runs is settled when
// its worker is dead. A settled job is caller.conflict. When the disk refuses, that is the error, and the job is canceled all
// the same if the host lives on.
//
// # Errors
//
// caller.not_found, caller.conflict, busy.disk_space, host.disk_full, host.disk_io.
func (h *Host) CancelJob(ctx context.Context, id, by string) (run.Job, error) {
	return h.askJob(ctx, func(to kernel.Reply[run.Job]) jobs.Message { return jobs.Cancel{ID: id, By: h.by(by), Reply: to} })
}

// by bounds who wanted something.
func (h *Host) by(who string) string {
	if len(who) > maxByBytes {
		who = who[:maxByBytes]
	}
	return fault.Quote(or(who, h.cfg.Tenant))
}

// RaiseJob lifts the priority of a job, and of the preparation or run it waits for. A priority that is not higher, and a
// settled job, are caller.conflict. The disk is as for CancelJob.
//
// # Errors
//
// caller.not_found, caller.conflict, caller.invalid_request, busy.disk_space, host.disk_full, host.disk_io.
func (h *Host) RaiseJob(ctx context.Context, id string, p run.Priority, by string) (run.Job, error) {
	if p < run.Background || p > run.Critical {
		return run.Job{}, fault.New(fault.CallerInvalid, "priority", p.String(), nil).WithHint("choose background, normal, high or critical")
	}
	return h.askJob(ctx, func(to kernel.Reply[run.Job]) jobs.Message {
		return jobs.Raise{ID: id, Priority: p, By: h.by(by), Reply: to}
	})
}

// RetryJob submits a settled job once more, as a new job whose RetryOf names the old one. key is as in JobRequest. The new job
// has no deadline and no validity tag, and is kept for Config.JobKeep.
//
// # Errors
//
// As Submit, and caller.conflict for a job that is not settled.
func (h *Host) RetryJob(ctx context.Context, id, key string) (run.Job, error) {
	if len(key) > maxKeyBytes {
		return run.Job{}, fault.New(fault.CallerInvalid, "job", "", nil).WithHint("a key has at most 128 bytes")
	}
	if err := h.enter(); err != nil {
		return run.Job{}, err
	}
	defer h.leave()
	old, err := kernel.Ask(ctx, h.jobs, func(to kernel.Reply[run.Job]) jobs.Message { return jobs.Get{ID: id, Reply: to} })
	if err != nil {
		return run.Job{}, err
	}
	if old.State != run.JobSettled {
		return run.Job{}, fault.New(fault.CallerConflict, "job", old.ID, nil).WithHint("wait until it is settled, or cancel it")
	}
	p, err := run.ParsePriority(old.Priority)
	if err != nil {
		return run.Job{}, err
	}
	q := jobs.Request{Key: key, Tenant: old.Tenant, RetryOf: old.ID, Priority: p, Keep: h.cfg.JobKeep, Body: &jobs.Body{}}
	code, release, err := h.jobCode(ctx, nil, old.CodeHash, q.Body)
	if err != nil {
		return run.Job{}, err
	}
	defer release()
	q.Code = jobs.Digest(code)
	if q.Body.Spec, err = h.journal.Spec(ctx, old.ID); err != nil {
		return run.Job{}, err
	}
	return h.submit(ctx, q)
}

// Revoke ends the requests and jobs of a tenant that carry a validity tag, and refuses those that come with it later; the
// newest 4096 tags are remembered until the host ends. It returns how many were ended; for jobs that is on disk then.
//
// # Errors
//
// caller.invalid_request, busy.disk_space, host.disk_full, host.disk_io.
func (h *Host) Revoke(ctx context.Context, tenant, tag string) (int, error) {
	tenant = or(tenant, h.cfg.Tenant)
	if tag == "" || len(tag) > maxValidityBytes || len(tenant) > MaxTenantBytes {
		return 0, fault.New(fault.CallerInvalid, "revoke", "", nil).WithHint("a validity tag has 1 to 128 bytes")
	}
	// Both are told at once, whatever the one says: what is revoked is dropped under overload, too.
	counted := make(chan struct{})
	var n int
	var err error
	go func() {
		defer close(counted)
		n, err = control(ctx, h, h.jobs, func(to kernel.Reply[int]) jobs.Message { return jobs.Revoke{Tenant: tenant, Tag: tag, Reply: to} })
	}()
	m, cacheErr := control(ctx, h, h.cache, func(to kernel.Reply[int]) cache.Message { return cache.Revoke{Tenant: tenant, Tag: tag, Reply: to} })
	<-counted
	return n + m, errors.Join(err, cacheErr)
}

// control asks on the control lane, which no full mailbox closes.
func control[M, R any](ctx context.Context, h *Host, to kernel.Ref[M], build func(kernel.Reply[R]) M) (R, error) {
	return asked(h, to.From(kernel.OriginOf(ctx)), build)(ctx)
}
