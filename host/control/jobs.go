package control

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/actors/inspect/query"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/artifacts"
	"github.com/troupehost/troupe/host"
	"github.com/troupehost/troupe/host/control/api"
)

// accepted is a job that was asked for, maybe a second time.
type accepted run.Job

// statusOf is the status of a success.
func statusOf(v any) int {
	switch v := v.(type) {
	case accepted:
		if v.State != run.JobSettled {
			return http.StatusAccepted
		}
	case applied:
		if v.State == "running" {
			return http.StatusAccepted
		}
	}
	return http.StatusOK
}

func (s *Server) submit(w http.ResponseWriter, r *http.Request) {
	var a api.Submit
	f, ok := s.begin(w, r, &a, true)
	if !ok {
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), jsonTimeout)
	defer cancel()
	var j run.Job
	req, err := jobRequest(a, f, callerOf(r).Tenant())
	if err == nil {
		j, err = s.host.Submit(ctx, req)
	}
	if err != nil {
		s.refuse(w, r, err)
		return
	}
	s.opts.Log.Info().Str("job", fault.Quote(j.ID)).Str("tenant", req.Tenant).Msg("job accepted")
	s.reply(w, statusOf(accepted(j)), j)
}

// job answers at once, or as soon as there is something new.
func (s *Server) job(r *http.Request, _ caller) (any, error) {
	id, err := jobID(r)
	if err != nil {
		return nil, err
	}
	seen, err := natural(r, "seen")
	if err != nil {
		return nil, err
	}
	micros, err := natural(r, "wait_us")
	if err != nil {
		return nil, err
	}
	if micros == 0 {
		ctx, cancel := context.WithTimeout(r.Context(), jsonTimeout)
		defer cancel()
		return s.host.Job(ctx, id)
	}
	wait := time.Duration(min(micros, int(api.MaxWait.Microseconds()))) * time.Microsecond // no product that wraps around
	ctx, cancel := context.WithTimeoutCause(r.Context(), wait, errWaited)
	defer cancel()
	j, err := s.host.WatchJob(ctx, id, seen)
	if err != nil && j.ID != "" && errors.Is(context.Cause(ctx), errWaited) {
		return j, nil // as it is
	}
	return j, err
}

var errWaited = errors.New("the caller has waited long enough")

func (s *Server) jobs(r *http.Request, _ caller) (any, error) {
	q := r.URL.Query()
	limit, err := limitOf(q.Get("limit"))
	if err != nil {
		return nil, err
	}
	f := host.JobFilter{Tenant: q.Get("tenant"), State: run.JobState(q.Get("state")), After: q.Get("after"), Limit: limit}
	switch f.State {
	case "", run.JobQueued, run.JobRunning, run.JobSettled:
	default:
		return nil, invalid("state "+fault.Quote(string(f.State)), "choose queued, running or settled")
	}
	if len(f.Tenant) > host.MaxTenantBytes {
		return nil, invalid("tenant", hintTenant)
	}
	if q.Has("q") || q.Has("sort") {
		return s.foundJobs(r, f)
	}
	if f.After != "" && !validJobID(f.After) {
		return nil, invalid("after "+fault.Quote(f.After), hintJobID)
	}
	page := api.JobList{Jobs: []run.Job{}}
	jobs, next, err := s.host.Jobs(r.Context(), f)
	page.Jobs, page.Next = append(page.Jobs, jobs...), next
	return page, err
}

// foundJobs is the same with a query.
func (s *Server) foundJobs(r *http.Request, only host.JobFilter) (any, error) {
	f, err := findOf(r, "jobs")
	if err != nil {
		return nil, err
	}
	f.limit = only.Limit
	for name, value := range map[string]string{"tenant": only.Tenant, "state": string(only.State)} {
		if value != "" {
			if f.query, err = query.Parse("jobs", f.query.Text+" "+name+"="+strconv.Quote(value), time.Now()); err != nil {
				return nil, err
			}
		}
	}
	p, err := s.views.jobs.cut(r.Context(), f)
	return api.JobList{Jobs: p.Rows, Next: p.Next}, err
}

func (s *Server) cancelJob(r *http.Request, c caller) (any, error) {
	id, err := jobID(r)
	if err != nil {
		return nil, err
	}
	j, err := s.host.CancelJob(r.Context(), id, c.Tenant())
	s.changed("job canceled", j, c, err)
	return j, err
}

func (s *Server) raiseJob(r *http.Request, c caller) (any, error) {
	id, err := jobID(r)
	if err != nil {
		return nil, err
	}
	p, err := run.ParsePriority(r.URL.Query().Get("priority"))
	if err != nil {
		return nil, err
	}
	j, err := s.host.RaiseJob(r.Context(), id, p, c.Tenant())
	s.changed("job raised", j, c, err)
	return j, err
}

func (s *Server) retryJob(r *http.Request, c caller) (any, error) {
	id, err := jobID(r)
	if err != nil {
		return nil, err
	}
	key := r.URL.Query().Get("idempotency_key")
	if len(key) > api.MaxTagBytes {
		return nil, invalid("idempotency_key", longTag)
	}
	j, err := s.host.RetryJob(r.Context(), id, key)
	s.changed("job retried", j, c, err)
	return accepted(j), err
}

func (s *Server) revoke(r *http.Request, c caller) (any, error) {
	tag := r.URL.Query().Get("tag")
	if tag == "" || len(tag) > api.MaxTagBytes {
		return nil, invalid("tag", "pass a validity tag of 1 to "+strconv.Itoa(api.MaxTagBytes)+" bytes")
	}
	n, err := s.host.Revoke(r.Context(), c.Tenant(), tag)
	if err != nil {
		return nil, err
	}
	s.opts.Log.Info().Str("tag", fault.Quote(tag)).Str("tenant", c.Tenant()).Int("ended", n).Msg("revoked")
	return api.Revoked{Tag: tag, Ended: n}, nil
}

func (s *Server) warm(w http.ResponseWriter, r *http.Request) {
	var a api.Code
	f, ok := s.begin(w, r, &a, true)
	if !ok {
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), jsonTimeout)
	defer cancel()
	c := callerOf(r)
	var warm inspect.Warm
	req, err := codeRequest(a, f, c.Tenant())
	if err == nil {
		warm, err = s.host.Warm(ctx, req)
	}
	if err != nil {
		s.refuse(w, r, err)
		return
	}
	s.opts.Log.Info().Str("code", warm.CodeHash).Str("tenant", c.Tenant()).Msg("warmed")
	s.reply(w, http.StatusAccepted, warm)
}

func (s *Server) warmed(r *http.Request, _ caller) (any, error) {
	list := api.WarmList{Warm: []inspect.Warm{}}
	all, err := s.host.Warmed(r.Context())
	list.Warm = append(list.Warm, all...)
	return list, err
}

func (s *Server) cool(r *http.Request, c caller) (any, error) {
	h, err := artifacts.ParseCodeHash(r.PathValue("code_hash"))
	if err != nil {
		return nil, err
	}
	if err := s.host.Unwarm(r.Context(), c.Tenant(), h.String()); err != nil {
		return nil, err
	}
	s.opts.Log.Info().Str("code", h.String()).Str("tenant", c.Tenant()).Msg("cooled")
	return api.Done{Key: h.String(), State: "cooled", At: now()}, nil
}

// changed logs the change of a job and by whom.
func (s *Server) changed(what string, j run.Job, c caller, err error) {
	if err == nil {
		s.opts.Log.Info().Str("job", fault.Quote(j.ID)).Str("tenant", c.Tenant()).Msg(what)
	}
}

const hintJobID = "pass an id as 'troupe job list' prints it"

// jobID returns the id in the path.
func jobID(r *http.Request) (string, error) {
	id := r.PathValue("id")
	if !validJobID(id) {
		return "", invalid("job "+fault.Quote(id), hintJobID)
	}
	return id, nil
}

func validJobID(id string) bool {
	return id != "" && len(id) <= api.MaxJobIDBytes && strings.Trim(id, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_-") == ""
}

// natural reads a number that may be left out.
func natural(r *http.Request, name string) (int, error) {
	text := r.URL.Query().Get(name)
	if text == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 {
		return 0, invalid(name+" "+fault.Quote(text), name+" must be a whole number, 0 or more")
	}
	return n, nil
}
