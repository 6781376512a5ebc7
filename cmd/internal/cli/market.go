package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"text/tabwriter"

	"github.com/spf13/pflag"

	"github.com/troupehost/troupe/actors/chain"
	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/artifacts/manifest"
)

func (a *app) marketVerb() verb {
	return verb{
		use: "market COMMAND", short: "See who offers work on the chain, and at which price",
		long: `Workers of one price are gathered in lists; tickets name a list. The owner of a list invites workers, and each joins by itself:
'troupe market join' on its host.`,
		examples: []string{
			"troupe market create 'two fast machines' --price gas_price=1", "a list, owned by root",
			"troupe market invite 0 WORKER", "ask a worker to join it",
			"troupe market join 0", "on the worker's host: consent",
		},
		exits: []int{exitOK, exitUsage},
		verbs: []verb{
			a.marketListsVerb(), a.marketWorkersVerb(), a.marketBenchVerb(), a.marketScoreVerb(), a.marketPricesVerb(),
			a.marketCreateVerb(), a.marketInviteVerb(), a.marketJoinVerb(), a.marketRemoveVerb(),
		},
	}
}

func (a *app) marketListsVerb() verb {
	var f chainFlags
	return verb{
		use: "lists", short: "List the lists of workers",
		rows:     true,
		examples: []string{"troupe market lists -o wide", "with their prices"},
		exits:    exitsChain, flags: f.addURL,
		run: func(ctx context.Context, _ []string) error {
			columns := []column{{"LIST", "id"}, {"OWNER", "owner"}, {"DESCRIPTION", "description"}}
			if a.format.value == formWide {
				columns = append(columns, column{"PRICES", "prices"})
			}
			return a.listView(ctx, &f, wapod+"/lists", nil, columns)
		},
	}
}

func (a *app) marketWorkersVerb() verb {
	var f chainFlags
	return verb{
		use: "workers [LIST]", short: "List the workers of the market, or those of a list",
		rows:     true,
		examples: []string{"troupe market workers 0", "who belongs to list 0"},
		exits:    exitsChain, args: atMost(1, "the number of a list"), flags: f.addURL,
		run: func(ctx context.Context, given []string) error {
			if len(given) == 1 {
				id, err := parseID("list", given[0])
				if err != nil {
					return err
				}
				return a.listView(ctx, &f, wapod+"/list_workers", map[string]any{"id": id}, []column{{"WORKER", "worker"}, {"PAID UNTIL", "until"}})
			}
			return a.listView(ctx, &f, wapod+"/workers", nil, []column{
				{"WORKER", "worker"}, {"LISTS", "lists"}, {"SESSION", "session.session_id"}, {"SN", "session.last_metrics_sn"}, {"DESCRIPTION", "description"},
			})
		},
	}
}

func (a *app) marketPricesVerb() verb {
	return verb{
		use: "prices", short: "List what a price is asked for",
		examples: []string{"troupe market prices", "the names that --price takes"},
		exits:    exitsText,
		run: func(context.Context, []string) error {
			if a.json() {
				all := map[string]string{}
				for _, p := range priceNames {
					all[p.name] = p.of
				}
				a.printJSON(all)
				return nil
			}
			w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
			for _, p := range priceNames {
				fmt.Fprintf(w, "%s\tfor each %s\n", p.name, p.of)
			}
			return w.Flush()
		},
	}
}

func (a *app) marketBenchVerb() verb {
	var (
		f          chainFlags
		set        string
		cid, ratio string
	)
	return verb{
		use: "bench [flags]", short: "Show the benchmark apps, by which workers prove how fast they are",
		long: "--set makes an app the recommended benchmark; only the account that owns the chain may. RATIO turns its gas into iterations.",
		examples: []string{
			"troupe market bench", "which there are",
			"troupe market bench --set bench.app", "the app that 'troupe app build' made",
		},
		exits: exitsSend,
		flags: func(fs *pflag.FlagSet) {
			f.addSigner(fs)
			fs.Var(word{&set, "APP|ADDRESS"}, "set", "make it the recommended benchmark")
			fs.Var(word{&cid, "CID"}, "cid", "where the manifest of an ADDRESS is found")
			ratio = "1/1000"
			fs.Var(word{&ratio, "N/D"}, "ratio", "iterations for each unit of gas")
		},
		run: func(ctx context.Context, _ []string) error {
			if set == "" {
				return a.showBench(ctx, &f)
			}
			address, found, err := appAt(set)
			if err != nil {
				return err
			}
			if cid == "" {
				cid = found
			}
			var num, den uint32
			if n, err := fmt.Sscanf(ratio, "%d/%d", &num, &den); err != nil || n != 2 || den == 0 {
				return usage("--ratio "+fault.Quote(ratio), "write two numbers, like 1/1000")
			}
			return a.sudo(ctx, &f, wapod, "benchmark_app_set", map[string]any{
				"address": address, "cid": cid, "ratio": map[string]any{"numerator": num, "denominator": den},
			}, nil)
		},
	}
}

func (a *app) showBench(ctx context.Context, f *chainFlags) error {
	return a.onChain(ctx, f, func(ctx context.Context, c chainClient) error {
		var all json.RawMessage
		if err := c.Query(ctx, wapod+"/bench_apps", nil, &all); err != nil {
			return err
		}
		if a.json() {
			a.printJSON(all)
			return nil
		}
		var apps struct {
			Recommended *manifest.Address `json:"recommended"`
			Apps        []json.RawMessage `json:"apps"`
		}
		if err := json.Unmarshal(all, &apps); err != nil {
			return fault.New(fault.BugProtocol, "benchmark apps", "", err)
		}
		recommended := "none"
		if apps.Recommended != nil {
			recommended = apps.Recommended.String()
		}
		fmt.Fprintf(a.out, "recommended %s\n", recommended)
		a.printItems(apps.Apps, []column{{"APP", "address"}, {"TICKET", "ticket"}, {"NUMERATOR", "numerator"}, {"DENOMINATOR", "denominator"}, {"MANIFEST", "manifest_cid"}})
		return nil
	})
}

func (a *app) marketScoreVerb() verb {
	var f chainFlags
	return verb{
		use: "score [WORKER]", short: "Show how fast workers have proved to be; of one that computes, its V, P and pay",
		examples: []string{"troupe market score", "of all workers"},
		exits:    exitsChain, args: atMost(1, "the key of a worker"), flags: f.addURL,
		run: func(ctx context.Context, given []string) error {
			if len(given) == 1 {
				p, err := a.parsePublic(given[0])
				if err != nil {
					return err
				}
				return a.showView(ctx, &f, "PhalaComputation/worker", map[string]any{"worker": chain.Hash(p)},
					asked{"a computing worker " + short(given[0]), "a worker computes once a stake pool has started it; 'troupe market score' shows the scores of all"})
			}
			return a.listView(ctx, &f, "PhalaRegistry/workers", nil, []column{
				{"WORKER", "pubkey"}, {"SCORE", "initial_score"}, {"ATTESTATION", "attestation_provider"}, {"LEVEL", "confidence_level"}, {"OPERATOR", "operator"},
			})
		},
	}
}

func (a *app) marketCreateVerb() verb {
	var (
		f      chainFlags
		prices []string
	)
	return verb{
		use: "create [flags] DESCRIPTION", short: "Make a list of workers, at a price",
		examples: []string{"troupe market create 'two fast machines' --price gas_price=1", "prints its number"},
		exits:    exitsSend, args: exactly(1, "a description"),
		flags: func(fs *pflag.FlagSet) {
			f.addSigner(fs)
			fs.Var(&words{&prices, "NAME=AMOUNT"}, "price", "what its workers are paid; see 'troupe market prices'")
		},
		run: func(ctx context.Context, given []string) error {
			p, err := parsePrices(prices)
			if err != nil {
				return err
			}
			body := map[string]any{}
			for _, x := range priceNames {
				body[x.name] = *x.field(p)
			}
			return a.transact(ctx, &f, chain.Call{Pallet: wapod, Name: "worker_list_create", Args: args(map[string]any{
				"description": given[0], "prices": body, "init_workers": []string{},
			})}, func(s sent) { fmt.Fprintf(a.out, "%s\n", oneLine(s.field(wapod, "WorkerListCreated", "list"))) })
		},
	}
}

func (a *app) onList(name, short, call string, body func(list uint64, worker chain.Hash) map[string]any) verb {
	var f chainFlags
	return verb{
		use: name + " LIST WORKER", short: short,
		examples: []string{"troupe market " + name + " 0 $(troupe key show -o json | jq -r .worker_key)", "the worker of this host"},
		exits:    exitsSend, args: exactly(2, "a list and the key of a worker"), flags: f.addSigner,
		run: func(ctx context.Context, given []string) error {
			id, err := parseID("list", given[0])
			if err != nil {
				return err
			}
			p, err := a.parsePublic(given[1])
			if err != nil {
				return err
			}
			return a.transact(ctx, &f, chain.Call{Pallet: wapod, Name: call, Args: args(body(id, p))}, nil)
		},
	}
}

func (a *app) marketInviteVerb() verb {
	return a.onList("invite", "Ask a worker to join a list", "worker_list_add_workers", func(list uint64, w chain.Hash) map[string]any {
		return map[string]any{"list": list, "workers": []chain.Hash{w}}
	})
}

func (a *app) marketRemoveVerb() verb {
	return a.onList("remove", "Take a worker off a list", "worker_list_remove_worker", func(list uint64, w chain.Hash) map[string]any {
		return map[string]any{"list": list, "worker": w}
	})
}

func (a *app) marketJoinVerb() verb {
	return verb{
		use: "join LIST", short: "Have the worker of this host consent to belong to a list",
		examples: []string{"troupe market join 0", "after its owner has invited the worker"},
		exits:    exitsSend, args: exactly(1, "the number of a list"),
		run: func(ctx context.Context, given []string) error {
			id, err := parseID("list", given[0])
			if err != nil {
				return err
			}
			var worker chain.Hash
			if err := a.at(ctx, served, func(ctx context.Context, n *node) error {
				s, err := n.Session(ctx)
				if err != nil {
					return err
				}
				return worker.UnmarshalText([]byte(s.WorkerKey))
			}); err != nil {
				return err
			}
			var invited struct {
				Invitation uint64 `json:"invitation"`
			}
			f := chainFlags{accountFlags: accountFlags{from: workerAccount}}
			if err := a.onChain(ctx, &f, func(ctx context.Context, c chainClient) error {
				err := c.Query(ctx, wapod+"/invitation", map[string]any{"list": id, "worker": worker}, &invited)
				return asked{"an invitation of this worker to list " + given[0], "the owner of the list sends one: 'troupe market invite " + given[0] + " " + worker.String() + "'"}.orMissing(err)
			}); err != nil {
				return err
			}
			return a.transact(ctx, &f, chain.Call{Pallet: wapod, Name: "worker_list_consent", Args: args(map[string]any{
				"list": id, "worker": worker, "invitation": invited.Invitation,
			})}, nil)
		},
	}
}
