package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/pflag"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/host/control/api"
)

func (a *app) jobWaitVerb() verb {
	var timeout span
	return verb{
		use: "wait ID...", short: "Wait until jobs are settled",
		long: `Of one job, prints what it wrote and its result, and exits as 'troupe run' would have; the JSON is the job. Of several, prints a
line for each. Ctrl-C and --timeout end the wait; the job goes on.`,
		examples: []string{
			"troupe job wait 01jq7", hintShort,
			"troupe job wait --timeout 1m 01jq7 -o json | jq .receipt.verdict", "for scripts",
		},
		exits: with(exitsCode, exitConflict, exitSome),
		args:  atLeast(1, "one or more job ids"), complete: a.completeJobs,
		flags: func(fs *pflag.FlagSet) { fs.Var(&timeout, "timeout", "stop waiting after D (default none)") },
		run: func(ctx context.Context, ids []string) error {
			ctx, cancel := within(ctx, timeout)
			defer cancel()
			if len(ids) > 1 {
				return a.waitAll(ctx, ids)
			}
			return a.at(ctx, served, func(ctx context.Context, n *node) error {
				j, err := resolveJob(ctx, n, ids[0])
				if err != nil {
					return err
				}
				return a.waitOne(ctx, n, j.ID)
			})
		},
	}
}

// waitAll says how each job ended; one that did not end well is a failure.
func (a *app) waitAll(ctx context.Context, ids []string) error {
	wait := func(ctx context.Context, n *node, j run.Job) (run.Job, error) {
		p := a.startProgress()
		defer p.stop()
		j, err := awaitJob(ctx, n, j.ID, p)
		if verdict, code, message := ending(j); err == nil && verdict != "ok" {
			err = api.Error{Class: verdict, Code: code, Cause: message}.Fault()
		}
		return j, err
	}
	return a.onJobs(ctx, "wait", ids, wait, func(j run.Job) {
		verdict, code, _ := ending(j)
		fmt.Fprintf(a.out, "%s %s\n", fault.Quote(j.ID), fault.Quote(trimmed(verdict, code)))
	})
}

func trimmed(verdict, code string) string {
	if code == "" {
		return verdict
	}
	return verdict + " " + code
}

func (a *app) jobRetryVerb() verb {
	var key string
	d := deed{name: "job.retry", what: "job", view: "jobs", resolve: jobID, first: func(ids []string) ([]string, error) {
		if key != "" {
			return nil, usage("--key with a plan", "a key names one job: retry it by its id alone")
		}
		return ids, nil
	}}
	return a.planned(verb{
		use: "retry [flags] ID...", short: "Submit settled jobs once more, as new jobs",
		long: "Prints the ids of the new jobs.",
		examples: []string{
			"troupe job retry 01jq7", hintShort,
			"troupe job retry --key second-try 01jq7", "the same key makes no second job",
		},
		exits: exitsOnKey, args: atLeast(1, "one or more job ids"), complete: a.completeJobs,
		flags: func(fs *pflag.FlagSet) {
			fs.Var(word{&key, "KEY"}, "key", "the same key names the same new job (default none)")
		},
		run: func(ctx context.Context, ids []string) error {
			if key != "" && len(ids) > 1 {
				return usage("--key with several jobs", "a key names one job: retry them one by one")
			}
			return a.onJobs(ctx, "retry", ids,
				func(ctx context.Context, n *node, j run.Job) (run.Job, error) { return n.RetryJob(ctx, j.ID, key) },
				func(j run.Job) { fmt.Fprintf(a.out, "%s\n", fault.Quote(j.ID)) })
		},
	}, d)
}

func (a *app) jobCancelVerb() verb {
	return a.planned(verb{
		use: "cancel [flags] ID...", short: "Cancel jobs",
		long:     "A job that runs is settled when its worker is dead; one that is settled already is a conflict.",
		examples: []string{`troupe job cancel --reason "it hangs" 01jq7`, hintShort},
		exits:    exitsOnKey, args: atLeast(1, "one or more job ids"), complete: a.completeJobs,
		run: func(ctx context.Context, ids []string) error {
			return a.onJobs(ctx, "cancel", ids,
				func(ctx context.Context, n *node, j run.Job) (run.Job, error) { return n.CancelJob(ctx, j.ID) },
				func(j run.Job) {
					state := "canceled"
					if j.State != run.JobSettled {
						state = "cancel requested"
					}
					fmt.Fprintf(a.out, "%s %s\n", fault.Quote(j.ID), state)
				})
		},
	}, deed{name: "job.cancel", what: "job", view: "jobs", resolve: jobID})
}

func (a *app) jobEscalateVerb() verb {
	to := choice{"high", priorities[1:]}
	return a.planned(verb{
		use: "escalate [flags] ID...", short: "Raise the priority of jobs, and of the preparations and runs that they wait for",
		long: "A priority never falls: one that is not higher is a conflict, and so is a settled job.",
		examples: []string{
			"troupe job escalate 01jq7", "to high; " + hintShort,
			"troupe job escalate --priority critical 01jq7", "before everything else",
		},
		exits: exitsOnKey, args: atLeast(1, "one or more job ids"), complete: a.completeJobs,
		flags: func(fs *pflag.FlagSet) { fs.Var(&to, "priority", "the new priority") },
		run: func(ctx context.Context, ids []string) error {
			return a.onJobs(ctx, "escalate", ids,
				func(ctx context.Context, n *node, j run.Job) (run.Job, error) { return n.RaiseJob(ctx, j.ID, to.value) },
				func(j run.Job) {
					fmt.Fprintf(a.out, "%s %s\n", fault.Quote(j.ID), fault.Quote(j.Priority))
				})
		},
	}, deed{name: "job.raise", what: "job", view: "jobs", resolve: jobID, args: func() map[string]string { return map[string]string{"priority": to.value} }})
}

// jobID completes the beginning of the id of a job.
func jobID(ctx context.Context, n *node, prefix string) (string, error) {
	j, err := resolveJob(ctx, n, prefix)
	return j.ID, err
}

// failedJob stands in a list of jobs for one that something failed for.
type failedJob struct {
	ID    string    `json:"id"`
	Error api.Error `json:"error"`
}

// onJobs applies f to each job, and prints those for which it did not fail. The JSON of one job is the job, of several a list.
func (a *app) onJobs(ctx context.Context, name string, ids []string, f func(context.Context, *node, run.Job) (run.Job, error), show func(run.Job)) error {
	return a.at(ctx, served, func(ctx context.Context, n *node) error {
		var list []any
		errs := make([]error, len(ids))
		for i, id := range ids {
			j, err := resolveJob(ctx, n, id)
			if err == nil {
				j, err = f(ctx, n, j)
			}
			if errs[i] = err; err == nil || j.State == run.JobSettled {
				list = append(list, j)
				if !a.json() {
					show(j)
				}
			} else {
				list = append(list, failedJob{id, api.ErrorOf(err)})
			}
			if err != nil && len(ids) > 1 {
				a.printFailure(name, id, err)
			}
		}
		switch {
		case !a.json():
		case len(ids) > 1:
			a.printJSON(map[string]any{"jobs": list})
		case errs[0] == nil:
			a.printJSON(list[0])
		}
		return together(errs)
	})
}

// printFailure tells which of several targets failed, and why.
func (a *app) printFailure(verb, target string, err error) {
	f := fault.From(err)
	where := verb + " " + fault.Quote(target) + ": "
	if strings.HasPrefix(f.Error(), fault.Quote(target)+": ") { // it names the target itself
		where = verb + " "
	}
	printError(a.err, where+f.Error(), f.Code, f.Hint)
}

// together is the exit of a verb for several targets, whose failures have been printed: if only some fail, that is an exit
// code of its own; if all fail, the first one's. The failure of a single target is returned as it is.
func together(errs []error) error {
	var first error
	failed := 0
	for _, err := range errs {
		if err != nil {
			failed++
			if first == nil {
				first = err
			}
		}
	}
	switch {
	case failed == 0:
		return nil
	case len(errs) == 1:
		return first
	case failed < len(errs):
		return exit{code: exitSome}
	}
	f := fault.From(first)
	return exit{code: exitOf(f.Class, f.Code)}
}
