package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/host/control/client"
)

func (a *app) workerDeed(name, short string) verb {
	return a.actVerb(deed{name: name, what: "worker", view: "workers", example: "execute-3", offer: a.completeWorkers}, short)
}

func (a *app) workerListVerb() verb {
	return listVerb(a, workerList, verb{
		use: "list [flags]", short: "List worker processes",
		long: "SANDBOX is what holds of the confinement: full is all of it; -o json has each layer, and why it does not hold.",
		examples: []string{
			"troupe worker list --selector 'state=busy' --sort -cpu", "who works, the busiest first",
			"troupe worker list -o name | xargs troupe worker recycle --yes", "replace all of them, each when it is idle",
		},
	})
}

func (a *app) workerGuestsVerb() verb {
	return listVerb(a, guestList, verb{
		use: "guests [flags]", short: "List what runs in workers now: runs, jobs, instances of apps, preparations",
		long: "CPU, MEMORY and GAS are used, of what may be used.",
		examples: []string{
			"troupe worker guests --sort -cpu", "a guest that spins comes first",
			"troupe worker guests --selector 'memory>80%'", "who is about to run out of memory",
		},
	})
}

func (a *app) workerShowVerb() verb {
	return verb{
		use: "show WORKER", short: "Show everything about a worker, and each layer of its confinement",
		examples: []string{"troupe worker show execute-3", "an id from 'troupe worker list'"},
		exits:    exitsOnKey, args: exactly(1, "one worker"), complete: a.completeWorkers,
		run: func(ctx context.Context, args []string) error {
			return a.at(ctx, served, func(ctx context.Context, n *node) error {
				x, err := oneOf(ctx, n, workerList, args[0], "worker", "'troupe worker list' shows what there is")
				switch {
				case err != nil:
					return err
				case a.json():
					a.printJSON(x)
				default:
					a.printFacts(factsOf(workerList, x))
					a.printLayers(x.Defences)
				}
				return nil
			})
		},
	}
}

// printLayers tells which layers of a confinement hold, and why others do not.
func (a *app) printLayers(layers []inspect.Layer) {
	if len(layers) == 0 {
		return
	}
	l := listing[inspect.Layer]{columns: []cellOf[inspect.Layer]{
		at("LAYER", func(x inspect.Layer) string { return x.Name }),
		at("HOLDS", func(x inspect.Layer) string {
			switch {
			case x.Held:
				return "yes"
			case x.Optional:
				return "no (optional)"
			}
			return "no"
		}),
		at("WHAT IT DOES", func(x inspect.Layer) string { return layerTexts[x.Name] }),
		at("WHY NOT", func(x inspect.Layer) string { return x.Why }),
	}}
	fmt.Fprintln(a.out)
	_, _ = a.out.Write(tableOf(l, layers, true))
}

// oneOf finds one row of a list by its id.
func oneOf[T any](ctx context.Context, n *node, l listing[T], id, what, hint string) (T, error) {
	var none T
	p, err := read(ctx, n, l, client.Find{Limit: mostActors})
	if err != nil {
		return none, err
	}
	i := slices.IndexFunc(p.Rows, func(x T) bool { return l.id(x) == id })
	if i < 0 {
		return none, fault.New(fault.CallerNotFound, what, fault.Quote(id), nil).WithHint(hint)
	}
	return p.Rows[i], nil
}

// fact is one line about one thing.
type fact struct{ name, text string }

// factsOf turns a row of a wide table on its side.
func factsOf[T any](l listing[T], row T) (facts []fact) {
	for _, c := range l.columns {
		facts = append(facts, fact{strings.ToLower(c.head), c.text(row, true)})
	}
	return facts
}

func (a *app) printFacts(facts []fact) {
	width := 0
	for _, f := range facts {
		if f.text != "" {
			width = max(width, len(f.name))
		}
	}
	for _, f := range facts {
		if f.text != "" && f.text != "-" {
			fmt.Fprintf(a.out, "%-*s  %s\n", width, f.name, quoted(f.text, maxCell))
		}
	}
}

func (a *app) queueListVerb() verb {
	return listVerb(a, queueList, verb{
		use: "list [flags]", short: "List the queues",
		examples: []string{"troupe queue list --watch", "how much waits, as it changes"},
	})
}

func (a *app) queueDeed(name, short string) verb {
	return a.actVerb(deed{name: name, what: "queue", view: "queues", example: "execute", offer: a.completeQueues}, short)
}

func (a *app) deadVerb() verb {
	return verb{
		use: "dead COMMAND", short: "See messages that were refused or never delivered, and send them again",
		long: "Only a message of which nobody was told that it had failed can be sent again.",
		examples: []string{
			"troupe dead list", "the newest first",
			"troupe dead replay --selector 'actor=troupe/execute replayable=true' --reason 'the queue is empty again'", "send them again",
		},
		exits: []int{exitOK, exitUsage},
		verbs: []verb{
			listVerb(a, letterList, verb{
				use: "list [flags]", short: "List messages that were refused or never delivered, the newest first",
				examples: []string{
					"troupe dead list --selector 'code=busy.mailbox_full since:10m'", "what overload has cost",
					"troupe dead list -o 'template={{.id}} {{.type}}'", "for scripts",
				},
			}),
			a.deadShowVerb(),
			a.actVerb(deed{name: "letter.replay", what: "letter", view: "dead", example: "d-17", offer: a.completeLetters}, "Send messages again"),
			a.actVerb(deed{name: "letter.drop", what: "letter", view: "dead", example: "d-17", offer: a.completeLetters}, "Forget messages"),
		},
	}
}

func (a *app) deadShowVerb() verb {
	return verb{
		use: "show LETTER", short: "Show everything about a message that was refused or never delivered",
		examples: []string{"troupe dead show d-17", "an id from 'troupe dead list'"},
		exits:    exitsOnKey, args: exactly(1, "one letter"), complete: a.completeLetters,
		run: func(ctx context.Context, args []string) error {
			return a.at(ctx, served, func(ctx context.Context, n *node) error {
				x, err := oneOf(ctx, n, letterList, args[0], "letter", "'troupe dead list' shows what there is")
				switch {
				case err != nil:
					return err
				case a.json():
					a.printJSON(x)
				default:
					a.printFacts(factsOf(letterList, x))
				}
				return nil
			})
		},
	}
}

func (a *app) failuresVerb() verb {
	return listVerb(a, failureList, verb{
		use: "failures [flags]", short: "List what has failed: jobs, artifacts, apps, actors, workers and calls to the chain, the newest first",
		long: "BLAME says whose fault it is: of the guest, of the host, or suspect if that cannot be told.",
		examples: []string{
			"troupe failures --selector 'blame=host'", "what is ours to mend",
			"troupe failures --selector 'kind=job retryable=true' -o name | xargs troupe job retry", "once more",
		},
	})
}

func (a *app) auditVerb() verb {
	return listVerb(a, auditList, verb{
		use: "audit [flags]", short: "Show who changed what, and who was refused, the newest first",
		examples: []string{
			"troupe node audit --selector 'outcome=refused since:1h'", "who tried in vain",
			"troupe node audit --watch -o jsonl", "for a collector of logs",
		},
	})
}

// raiseTo is the flag of deeds that raise a priority.
type raiseTo struct{ to choice }

func newRaise() *raiseTo { return &raiseTo{choice{"", priorities[1:]}} }

func (r *raiseTo) add(fs *pflag.FlagSet) {
	fs.Var(&r.to, "priority", "the new priority (default: the next one)")
}

func (r *raiseTo) args() map[string]string {
	if r.to.value == "" {
		return nil
	}
	return map[string]string{"priority": r.to.value}
}
