package client

import (
	"bytes"
	"context"
	"net/url"
	"strconv"

	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/host/control/api"
)

// Work is what a job works on. Nil fields are left out.
type Work struct{ Code, Input, Stdin []byte }

// Submit asks for a durable job, which is on disk when this returns. Whoever got no answer asks again with the same key.
func (c *Client) Submit(ctx context.Context, req api.Submit, w Work) (j run.Job, err error) {
	s := Streams{Code: w.Code, Input: w.Input}
	if w.Stdin != nil {
		s.Stdin = bytes.NewReader(w.Stdin)
	}
	err = c.send(ctx, api.RouteSubmit, req, s, &j)
	return j, err
}

// Job returns a job as it is.
func (c *Client) Job(ctx context.Context, id string) (j run.Job, err error) {
	err = c.call(ctx, api.RouteJob, id, nil, &j)
	return j, err
}

// WatchJob returns a job as soon as it has more than seen events or is settled, at the latest after api.MaxWait as it is
// then.
func (c *Client) WatchJob(ctx context.Context, id string, seen int) (j run.Job, err error) {
	q := url.Values{"seen": {strconv.Itoa(seen)}, "wait_us": {strconv.FormatInt(api.MaxWait.Microseconds(), 10)}}
	err = c.within(ctx, api.MaxWait+c.timeout, func(ctx context.Context) error {
		return c.exchange(ctx, api.RouteJob, id, q, "", nil, &j)
	})
	return j, err
}

// JobFilter chooses jobs. Zero fields choose all.
type JobFilter struct {
	Tenant string
	State  run.JobState
	After  string // jobs after this id
	Limit  int    // of the jobs that are returned; 0: none
}

// Jobs returns jobs in the order of their ids, and whether there are more than Limit.
func (c *Client) Jobs(ctx context.Context, f JobFilter) (jobs []run.Job, more bool, err error) {
	jobs = []run.Job{}
	for {
		limit := api.MaxPage
		if f.Limit > 0 {
			limit = min(limit, f.Limit-len(jobs))
		}
		q := url.Values{"tenant": {f.Tenant}, "state": {string(f.State)}, "after": {f.After}, "limit": {strconv.Itoa(limit)}}
		var page api.JobList
		if err := c.call(ctx, api.RouteJobs, "", q, &page); err != nil {
			return nil, false, err
		}
		jobs = append(jobs, page.Jobs...)
		switch {
		case page.Next <= f.After: // empty, or a server that would lead us in circles
			return jobs, false, nil
		case f.Limit > 0 && len(jobs) >= f.Limit:
			return jobs, true, nil
		}
		f.After = page.Next
	}
}

// CancelJob cancels a job. One that runs is settled a little later.
func (c *Client) CancelJob(ctx context.Context, id string) (j run.Job, err error) {
	err = c.call(ctx, api.RouteCancelJob, id, nil, &j)
	return j, err
}

// RaiseJob lifts the priority of a job.
func (c *Client) RaiseJob(ctx context.Context, id, priority string) (j run.Job, err error) {
	err = c.call(ctx, api.RouteRaiseJob, id, url.Values{"priority": {priority}}, &j)
	return j, err
}

// RetryJob submits a settled job once more and returns the new one. key is as in api.Submit.
func (c *Client) RetryJob(ctx context.Context, id, key string) (j run.Job, err error) {
	err = c.call(ctx, api.RouteRetryJob, id, url.Values{"idempotency_key": {key}}, &j)
	return j, err
}

// Revoke ends the requests that carry a validity tag.
func (c *Client) Revoke(ctx context.Context, tag string) (r api.Revoked, err error) {
	err = c.call(ctx, api.RouteRevoke, "", url.Values{"tag": {tag}}, &r)
	return r, err
}

// Warm puts code on the warm-up list.
func (c *Client) Warm(ctx context.Context, req api.Code, code []byte) (w inspect.Warm, err error) {
	err = c.send(ctx, api.RouteWarm, req, Streams{Code: code}, &w)
	return w, err
}

// Warmed returns the warm-up lists of all tenants.
func (c *Client) Warmed(ctx context.Context) ([]inspect.Warm, error) {
	var list api.WarmList
	err := c.call(ctx, api.RouteWarmed, "", nil, &list)
	return list.Warm, err
}

// Cool takes code off the warm-up list.
func (c *Client) Cool(ctx context.Context, codeHash string) (d api.Done, err error) {
	err = c.call(ctx, api.RouteCool, codeHash, nil, &d)
	return d, err
}
