package host

import (
	"context"
	"time"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/run"
)

// JobRequest asks for a durable job: an execution that survives the host.
type JobRequest struct {
	// Request says what to run. Stdin, Stdout and Stderr must be nil: see StdinBytes; output is captured into the receipt.
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

var errNoJobs = fault.New(fault.BugProtocol, "jobs", "not there yet", nil)

// Submit accepts a job. When it returns, the job is on disk: it is run at least once and settled exactly once, whatever
// happens to the host.
//
// # Errors
//
// caller.invalid_request, caller.conflict, caller.not_found, caller.quota, busy.queue_full, busy.draining, busy.disk_space.
func (h *Host) Submit(ctx context.Context, r JobRequest) (run.Job, error) {
	return run.Job{}, errNoJobs
}

// Job returns a job with its timeline and, once it is settled, its receipt.
//
// # Errors
//
// caller.not_found.
func (h *Host) Job(ctx context.Context, id string) (run.Job, error) { return run.Job{}, errNoJobs }

// Jobs lists jobs in the order of their ids, without timeline and output. next, if not empty, is the After of the next page.
func (h *Host) Jobs(ctx context.Context, f JobFilter) (jobs []run.Job, next string, err error) {
	return nil, "", errNoJobs
}

// WatchJob returns a job as soon as it has more than seen events, at once if it is settled. When ctx ends first it returns
// the job as it is, with the error.
//
// # Errors
//
// caller.not_found, canceled.*.
func (h *Host) WatchJob(ctx context.Context, id string, seen int) (run.Job, error) {
	return run.Job{}, errNoJobs
}

// CancelJob cancels a job, by whom goes into its timeline. It returns when that is on disk; a job that runs is settled when
// its worker is dead. A settled job is caller.conflict.
//
// # Errors
//
// caller.not_found, caller.conflict.
func (h *Host) CancelJob(ctx context.Context, id, by string) (run.Job, error) {
	return run.Job{}, errNoJobs
}

// RaiseJob lifts the priority of a job, and of the preparation or run it waits for. A priority that is not higher, and a
// settled job, are caller.conflict.
//
// # Errors
//
// caller.not_found, caller.conflict, caller.invalid_request.
func (h *Host) RaiseJob(ctx context.Context, id string, p run.Priority, by string) (run.Job, error) {
	return run.Job{}, errNoJobs
}

// RetryJob submits a settled job once more, as a new job whose RetryOf names the old one. key is as in JobRequest.
//
// # Errors
//
// As Submit, and caller.conflict for a job that is not settled.
func (h *Host) RetryJob(ctx context.Context, id, key string) (run.Job, error) {
	return run.Job{}, errNoJobs
}

// Revoke ends the requests of a tenant that carry a validity tag, and refuses those that come with it later; the newest
// 4096 tags are remembered. It returns how many were ended.
func (h *Host) Revoke(ctx context.Context, tenant, tag string) (int, error) { return 0, errNoJobs }
