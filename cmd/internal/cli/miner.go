package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"text/tabwriter"

	"github.com/spf13/pflag"

	"github.com/troupehost/troupe/actors/fault"
)

func (a *app) minerVerb() verb {
	return verb{
		use: "miner COMMAND", short: "See the nodes that serve compute requests",
		examples: []string{"troupe miner list", "which there are", "troupe miner metrics NODE", "what one says of itself"},
		exits:    []int{exitOK, exitUsage},
		verbs:    []verb{a.minerListVerb(), a.minerMetricsVerb()},
	}
}

func (a *app) minerListVerb() verb {
	var f chainFlags
	return verb{
		use: "list", short: "List the nodes of the chain",
		rows:     true,
		examples: []string{"troupe miner list", "their type, their status and their owner"},
		exits:    exitsChain, flags: f.addURL,
		run: func(ctx context.Context, _ []string) error {
			return a.listView(ctx, &f, "Registration/nodes", nil, []column{{"NODE", "node_id"}, {"TYPE", "node_type"}, {"STATUS", "status"}, {"OWNER", "owner"}})
		},
	}
}

func (a *app) minerMetricsVerb() verb {
	var f chainFlags
	return verb{
		use: "metrics NODE", short: "Show what a node says of itself, and what of it was measured",
		examples: []string{"troupe miner metrics $(troupe key show -o json | jq -r .worker_key)", "this host"},
		exits:    exitsChain, args: exactly(1, "the id of a node"), flags: f.addURL,
		run: func(ctx context.Context, given []string) error {
			return a.showView(ctx, &f, "ExecutionUnit/get_node_metrics", map[string]any{"node_id": given[0]},
				asked{"metrics of node " + fault.Quote(given[0]), "'troupe miner list' shows the nodes; one without metrics has sent none yet"})
		},
	}
}

func (a *app) ipVerb() verb {
	return verb{
		use: "ip COMMAND", short: "Look after the addresses that compute requests are given",
		examples: []string{"troupe ip add 127.0.0.10", "an address for a machine; root owns the pools", "troupe ip list", "free, assigned, and in quarantine"},
		exits:    []int{exitOK, exitUsage},
		verbs:    []verb{a.ipListVerb(), a.ipChangeVerb("add", "Add an address to a pool"), a.ipChangeVerb("remove", "Take a free address out of its pool")},
	}
}

func (a *app) ipListVerb() verb {
	var f chainFlags
	return verb{
		use: "list", short: "List the addresses of all pools",
		examples: []string{"troupe ip list", "what is released is free again after its quarantine"},
		exits:    exitsChain, flags: f.addURL,
		run: func(ctx context.Context, _ []string) error {
			return a.onChain(ctx, &f, func(ctx context.Context, c chainClient) error {
				var all json.RawMessage
				if err := c.Query(ctx, "PalletIp/pools", nil, &all); err != nil {
					return err
				}
				if a.json() {
					a.printJSON(all)
					return nil
				}
				return a.printPools(all)
			})
		},
	}
}

// printPools has a line for each address: free ones by their pools, then those that somebody has, then those that rest.
func (a *app) printPools(all json.RawMessage) error {
	var p struct {
		VM             []string          `json:"vm"`
		Hypervisor     []string          `json:"hypervisor"`
		Client         []string          `json:"client"`
		StorageMiner   []string          `json:"storage_miner"`
		AssignedVM     []string          `json:"assigned_vm"`
		AssignedClient []string          `json:"assigned_client"`
		Reserved       map[string]string `json:"reserved"`
		Quarantine     []struct {
			IP     string `json:"ip"`
			FreeAt uint64 `json:"free_at"`
		} `json:"quarantine"`
	}
	if err := json.Unmarshal(all, &p); err != nil {
		return fault.New(fault.BugProtocol, "pools", "", err)
	}
	w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "ADDRESS\tPOOL\tSTATE")
	for _, x := range []struct {
		pool, state string
		list        []string
	}{
		{"vm", "free", p.VM},
		{"hypervisor", "free", p.Hypervisor},
		{"client", "free", p.Client},
		{"storage_miner", "free", p.StorageMiner},
		{"vm", "assigned", p.AssignedVM},
		{"client", "assigned", p.AssignedClient},
	} {
		for _, ip := range x.list {
			fmt.Fprintf(w, "%s\t%s\t%s\n", oneLine(ip), x.pool, x.state)
		}
	}
	for _, ip := range slices.Sorted(maps.Keys(p.Reserved)) {
		fmt.Fprintf(w, "%s\t%s\treserved for %s\n", oneLine(ip), "vm", oneLine(p.Reserved[ip]))
	}
	for _, x := range p.Quarantine {
		fmt.Fprintf(w, "%s\t%s\trests until block %d\n", oneLine(x.IP), "-", x.FreeAt)
	}
	return w.Flush()
}

func (a *app) ipChangeVerb(name, short string) verb {
	var f chainFlags
	pool := choice{"vm", []string{"vm", "hypervisor", "client", "storage_miner"}}
	return verb{
		use: name + " [flags] ADDRESS", short: short,
		examples: []string{"troupe ip " + name + " 127.0.0.10", "an address of machines"},
		exits:    exitsSend, args: exactly(1, "an address"),
		flags: func(fs *pflag.FlagSet) {
			f.addSigner(fs)
			fs.Var(&pool, "pool", "whose addresses these are")
		},
		run: func(ctx context.Context, given []string) error {
			return a.sudo(ctx, &f, "PalletIp", name+"_available_"+pool.value+"_ip", map[string]any{"ip": given[0]}, nil)
		},
	}
}
