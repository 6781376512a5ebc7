package control

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"strings"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/host/control/api"
)

// fetchFailures gathers what has failed, of all kinds, the oldest first.
func (v *viewSet) fetchFailures(ctx context.Context) ([]api.Failing, error) {
	h, err := v.inspect(ctx)
	if err != nil {
		return nil, err
	}
	jobs, _, err := v.jobs.rows(ctx)
	if err != nil {
		return nil, err
	}
	apps, _, err := v.apps.rows(ctx)
	if err != nil {
		return nil, err
	}
	calls, err := v.fetchCalls(ctx)
	if err != nil {
		return nil, err
	}
	all := []api.Failing{}
	add := func(f api.Failing, failed bool) {
		if failed {
			f.Blame = blame(f.Code, f.Blame)
			all = append(all, f)
		}
	}
	for _, j := range jobs {
		add(failedJob(j))
	}
	for _, a := range h.Artifacts {
		add(api.Failing{ID: a.Key, Kind: "artifact", Code: a.Fault, Message: a.Message, At: a.LastNeeded, Retryable: true, RetryAt: a.RetryAt}, a.State == "failed")
	}
	for _, a := range apps {
		add(api.Failing{ID: a.Address, Kind: "app", Code: codeIn(a.LastEnd), Message: cmp.Or(a.Reason, a.LastEnd), At: a.LastEndAt, Retryable: true, RetryAt: a.NextAt, Tenant: a.Tenant},
			a.State == "failed" || a.State == "backoff")
	}
	if err := v.actors.with(ctx, func(actors []inspect.Actor) {
		for i := range actors {
			a := &actors[i]
			add(api.Failing{ID: a.Path, Kind: "actor", Code: codeIn(a.LastFault), Message: a.LastFault, At: a.Since, Retryable: a.State == "gave_up", RetryAt: a.NextRestart},
				a.State == "gave_up" || a.State == "backoff")
		}
	}); err != nil {
		return nil, err
	}
	for _, c := range calls {
		add(api.Failing{ID: "outgoing/" + strconv.FormatUint(c.Number, 10), Kind: "outgoing", Code: codeIn(c.Error), Blame: "host", Message: cmp.Or(c.Error, c.Call), At: cmp.Or(c.Since, c.Accepted)},
			c.State == "failed" || c.State == "dropped")
	}
	slices.SortStableFunc(all, func(a, b api.Failing) int { return a.At.Compare(b.At) })
	return all, nil
}

func failedJob(j run.Job) (api.Failing, bool) {
	f := api.Failing{ID: j.ID, Kind: "job", Code: j.Fault, Message: j.Message, At: j.SettledAt, Retryable: true, Tenant: j.Tenant}
	if r := j.Receipt; r != nil {
		f.Code, f.Message, f.Blame = cmp.Or(r.Fault, f.Code), cmp.Or(r.Message, f.Message), r.Verdict
		if r.Verdict == "ok" {
			return f, false
		}
	}
	return f, j.State == run.JobSettled && f.Code != ""
}

// codeIn returns the dotted code that a text begins with.
func codeIn(text string) string {
	word, _, _ := strings.Cut(text, " ")
	word = strings.TrimRight(word, ":")
	if class, _, ok := strings.Cut(word, "."); ok {
		if _, known := fault.ParseClass(class); known {
			return word
		}
	}
	return ""
}

// blame is the class of a code, or what else is known.
func blame(code, known string) string {
	if class, _, ok := strings.Cut(code, "."); ok {
		if _, is := fault.ParseClass(class); is {
			return class
		}
	}
	return cmp.Or(known, "suspect")
}
