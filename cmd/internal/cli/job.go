package cli

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/pflag"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/host/control/api"
	"github.com/troupehost/troupe/host/control/client"
)

func (a *app) jobVerb() verb {
	return verb{
		use: "job COMMAND", short: "Look after the jobs of a 'troupe serve'",
		examples: []string{
			"troupe job list", "what waits and what runs",
			"troupe job wait 01jq7", "wait for one and print its result",
		},
		exits: []int{exitOK, exitUsage},
		verbs: []verb{
			a.jobListVerb(), a.jobShowVerb(), a.jobWaitVerb(), a.jobTimelineVerb(), a.jobRetryVerb(), a.jobCancelVerb(), a.jobEscalateVerb(),
		},
	}
}

// hintShort is an example of how to name a job.
const hintShort = "a unique beginning of the id is enough"

const mostListed = 1000 // default of --limit

// jobListFlags are the flags of 'job list'.
type jobListFlags struct {
	find
	state         choice
	all           bool
	tenant, after string
}

// narrowed is what the other flags add to a query.
func (f *jobListFlags) narrowed() *find {
	query := f.find
	for _, more := range []struct {
		when bool
		term string
	}{
		{f.state.value != "", "state=" + f.state.value}, {f.tenant != "", "tenant=" + quoteValue(f.tenant)},
		{f.state.value == "" && !f.all && f.selector == "", "state!=settled"},
	} {
		if more.when {
			query.selector = strings.TrimSpace(query.selector + " " + more.term)
		}
	}
	return &query
}

// quoteValue writes a value of a query.
func quoteValue(text string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(text) + `"`
}

func (a *app) jobListVerb() verb {
	f := &jobListFlags{state: choice{"", []string{string(run.JobQueued), string(run.JobRunning), string(run.JobSettled)}}}
	return verb{
		use: "list [flags]", short: "List jobs in the order of their submission",
		rows: true, view: "jobs",
		long: "Without flags, those that are not settled; with --selector, all that match.",
		examples: []string{
			"troupe job list", "what waits and what runs",
			"troupe job list --state settled --limit 20 -o wide", "the oldest results, with keys and tags",
			"troupe job list --selector 'fault~gas submitted:1h' --sort -submitted", "whom a limit of gas has ended lately",
		},
		exits: exitsHost,
		flags: func(fs *pflag.FlagSet) {
			f.add(fs)
			fs.Var(&f.state, "state", "only jobs in this state (default: queued and running)")
			fs.BoolVar(&f.all, "all", false, "settled jobs too")
			fs.Var(word{&f.tenant, "NAME"}, "tenant", "only jobs of this tenant, like uid:0 (default all)")
			fs.Var(word{&f.after, "ID"}, "after", "only jobs after this one (default from the first)")
		},
		run: func(ctx context.Context, _ []string) error {
			if f.all && f.state.value != "" {
				return usage("both --all and --state", "choose one of them")
			}
			if f.selector != "" || f.sort != "" || f.watch {
				if f.after != "" {
					return usage("--after with a query", "pass --sort and --limit, or look for submitted>TIME")
				}
				return a.at(ctx, served, func(ctx context.Context, n *node) error { return list(ctx, a, n, jobList, f.narrowed()) })
			}
			return a.at(ctx, served, func(ctx context.Context, n *node) error { return a.listJobs(ctx, n, f) })
		},
	}
}

func (a *app) listJobs(ctx context.Context, n *node, f *jobListFlags) error {
	states := []run.JobState{run.JobState(f.state.value)}
	if !f.all && f.state.value == "" {
		states = []run.JobState{run.JobQueued, run.JobRunning} // in this order, so that one that begins in between is not lost
	}
	jobs, more := []run.Job{}, false
	for _, s := range states {
		some, rest, err := n.Jobs(ctx, client.JobFilter{Tenant: f.tenant, State: s, After: f.after, Limit: f.limit})
		if err != nil {
			return err
		}
		jobs, more = append(some, jobs...), more || rest // the newer word first
	}
	slices.SortStableFunc(jobs, func(x, y run.Job) int { return strings.Compare(x.ID, y.ID) })
	jobs = slices.CompactFunc(jobs, func(x, y run.Job) bool { return x.ID == y.ID })
	list := api.JobList{Jobs: jobs}
	if len(jobs) > f.limit || more {
		list.Jobs = jobs[:min(len(jobs), f.limit)]
		list.Next = list.Jobs[len(list.Jobs)-1].ID
	}
	if a.json() {
		printRows(a, list, list.Jobs, func(j run.Job) string { return j.ID })
		return nil
	}
	_, _ = a.out.Write(tableOf(jobList, list.Jobs, a.format.value == formWide))
	if list.Next != "" {
		a.note("there are more: pass --after " + list.Next + ", or a higher --limit")
	}
	return nil
}

// ending tells how a job was settled; nothing before that.
func ending(j run.Job) (verdict, code, message string) {
	switch {
	case j.State != run.JobSettled:
		return "", "", ""
	case j.Receipt != nil:
		return j.Receipt.Verdict, j.Receipt.Fault, j.Receipt.Message
	}
	return fault.Describe(fault.Code(j.Fault)).Class.String(), j.Fault, j.Message
}

// clock prints a point in time.
func clock(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

func (a *app) jobShowVerb() verb {
	return verb{
		use: "show ID...", short: "Show everything about jobs but what they wrote",
		long:     "The JSON of one job is the job, with its output; of several, a list.",
		examples: []string{"troupe job show 01jq7", hintShort},
		exits:    exitsOnKey, args: atLeast(1, "one or more job ids"), complete: a.completeJobs,
		run: func(ctx context.Context, ids []string) error {
			between := ""
			as := func(_ context.Context, _ *node, j run.Job) (run.Job, error) { return j, nil }
			return a.onJobs(ctx, "show", ids, as, func(j run.Job) {
				_, _ = io.WriteString(a.out, between)
				between = "\n"
				a.printJob(j)
			})
		},
	}
}

func (a *app) printJob(j run.Job) {
	w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
	tell := func(name string, parts ...string) {
		if text := strings.Join(slices.DeleteFunc(parts, func(p string) bool { return p == "" }), "  "); text != "" {
			fmt.Fprintf(w, "%s\t%s\n", name, text)
		}
	}
	when := func(t time.Time) string {
		if t.IsZero() {
			return ""
		}
		return clock(t) + "  " + ago(t)
	}
	q := fault.Quote
	tell("job", q(j.ID))
	tell("state", q(j.Shown()))
	tell("priority", q(j.Priority))
	tell("tenant", q(j.Tenant))
	tell("code", q(j.CodeHash), q(j.Mode))
	tell("key", q(j.Key))
	tell("validity", q(j.Validity))
	tell("retry of", q(j.RetryOf))
	tell("submitted", when(j.SubmittedAt))
	tell("started", when(j.StartedAt))
	if j.Starts > 1 {
		tell("starts", fmt.Sprint(j.Starts))
	}
	tell("deadline", clock(j.Deadline))
	tell("settled", when(j.SettledAt))
	tell("kept until", clock(j.ExpiresAt))
	if r := j.Receipt; r != nil {
		tell("receipt", receiptLine(*r))
		tell("message", oneLine(r.Message))
		tell("hint", oneLine(r.Hint))
		tell("output", fmt.Sprintf("result %s  stdout %s  stderr %s", sizeText(int64(len(r.Result))), sizeText(int64(len(r.Stdout))), sizeText(int64(len(r.Stderr)))))
		tell("artifact", q(r.Artifact))
	}
	tell("fault", q(j.Fault))
	tell("message", oneLine(j.Message))
	tell("hint", oneLine(j.Hint))
	_ = w.Flush()
}

// timeline is what happened to a job.
type timeline struct {
	ID     string      `json:"id"`
	State  string      `json:"state"`
	Events []timedStep `json:"events"`

	*inspect.Timeline // nil: the host does not tell
}

type timedStep struct {
	OffsetMicros int64 `json:"offset_us"` // since the first step
	run.JobEvent
}

func timelineOf(j run.Job) timeline {
	t := timeline{ID: j.ID, State: string(j.State), Events: []timedStep{}}
	for _, e := range j.Events {
		t.Events = append(t.Events, timedStep{e.At.Sub(j.Events[0].At).Microseconds(), e})
	}
	return t
}

func (a *app) jobTimelineVerb() verb {
	return verb{
		use: "timeline ID", short: "Show what happened to a job, by whose wish, and where its time went",
		examples: []string{"troupe job timeline 01jq7", hintShort},
		exits:    exitsOnKey, args: exactly(1, "one job id"), complete: a.completeJobs,
		run: func(ctx context.Context, ids []string) error {
			return a.at(ctx, served, func(ctx context.Context, n *node) error {
				j, err := resolveJob(ctx, n, ids[0])
				if err != nil {
					return err
				}
				t := timelineOf(j)
				if err := t.addStages(ctx, n, j.ID); err != nil {
					return err
				}
				if a.json() {
					a.printJSON(t)
					return nil
				}
				w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
				fmt.Fprintf(w, "AFTER\tWHAT\tFROM\tTO\tBY\tAT\n")
				for _, e := range t.Events {
					row := []string{micros(e.OffsetMicros), e.What, e.From, e.To, e.By, e.At.UTC().Format("2006-01-02T15:04:05.000Z07:00")}
					for i := range row {
						row[i] = cmp.Or(fault.Quote(row[i]), "-")
					}
					fmt.Fprintln(w, strings.Join(row, "\t"))
				}
				_ = w.Flush()
				if t.Timeline != nil {
					a.printStages(*t.Timeline)
				}
				return nil
			})
		},
	}
}

// addStages adds where the time of the job went, if the host tells.
func (t *timeline) addStages(ctx context.Context, n *node, id string) error {
	stages, err := n.Timeline(ctx, id)
	switch fault.CodeOf(err) {
	case "":
		t.Timeline = &stages
	case fault.HostUnsupported, fault.CallerNotFound, fault.BugProtocol: // an older host
	default:
		return err
	}
	return nil
}

var stageList = listing[inspect.Stage]{columns: []cellOf[inspect.Stage]{
	at("STAGE", func(s inspect.Stage) string { return s.Name }),
	at("AT", func(s inspect.Stage) string { return stamp(s.At) }),
	at("TOOK", func(s inspect.Stage) string { return micros(s.Micros) }),
	at("WAITED FOR", func(s inspect.Stage) string { return s.Waits }),
	at("WHOSE", func(s inspect.Stage) string { return s.Owner }),
}}

func (a *app) printStages(t inspect.Timeline) {
	if len(t.Stages) == 0 {
		return
	}
	fmt.Fprintln(a.out)
	_, _ = a.out.Write(tableOf(stageList, t.Stages, true))
	fmt.Fprintf(a.out, "\nwall %s  cpu %s  waited %s\n", micros(t.WallMicros), micros(t.CPUMicros), micros(t.WaitMicros))
}

const candidates = 5 // that an ambiguous id lists

// resolveJob finds a job by its id or the beginning of it.
func resolveJob(ctx context.Context, n *node, prefix string) (run.Job, error) {
	if strings.Trim(prefix, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_-") != "" || len(prefix) < minPrefix || len(prefix) > api.MaxJobIDBytes {
		return run.Job{}, fault.New(fault.CallerInvalid, "job", fault.Quote(prefix), nil).WithHint(fmt.Sprintf("pass at least %d characters of an id from 'troupe job list'", minPrefix))
	}
	j, err := findJob(ctx, n, prefix)
	if upper := strings.ToUpper(prefix); upper != prefix && fault.CodeOf(err) == fault.CallerNotFound {
		return findJob(ctx, n, upper) // ids have capitals only, and are typed as people like it
	}
	return j, err
}

func findJob(ctx context.Context, n *node, prefix string) (run.Job, error) {
	j, err := n.Job(ctx, prefix)
	if err == nil || fault.CodeOf(err) != fault.CallerNotFound {
		return j, err
	}
	some, _, err := n.Jobs(ctx, client.JobFilter{After: prefix, Limit: candidates + 1}) // ids that begin like this come first
	if err != nil {
		return run.Job{}, err
	}
	var found []string
	for _, j := range some {
		if strings.HasPrefix(j.ID, prefix) {
			found = append(found, j.ID)
		}
	}
	switch {
	case len(found) == 0:
		return run.Job{}, fault.New(fault.CallerNotFound, "job", prefix, nil).WithHint("'troupe job list --all' shows what there is")
	case len(found) == 1:
		return n.Job(ctx, found[0])
	case len(found) > candidates:
		found[candidates] = "and more"
	}
	return run.Job{}, fault.New(fault.CallerConflict, "job", prefix, nil).WithHint("several ids begin like this: " + strings.Join(found, ", "))
}

func (a *app) completeJobs([]string) []string {
	return a.complete(func(ctx context.Context, n *node) (ids []string) {
		jobs, _, _ := n.Jobs(ctx, client.JobFilter{Limit: mostListed})
		for _, j := range jobs {
			ids = append(ids, fault.Quote(j.ID))
		}
		return ids
	})
}
