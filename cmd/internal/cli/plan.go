package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/spf13/pflag"

	"github.com/troupehost/troupe/actors/chain"
	"github.com/troupehost/troupe/actors/fault"
)

// The pallet of plans and images.
const marketplace = "Marketplace"

func (a *app) requestPlansVerb() verb {
	var f chainFlags
	return verb{
		use: "plans", short: "List the plans that requests can buy",
		rows:     true,
		long:     "The price is that of a block, in credits; it is taken hour by hour.",
		examples: []string{"troupe request plans -o json | jq -r '.[].id'", "the identities, for 'troupe request create'"},
		exits:    exitsChain, flags: f.addURL,
		run: func(ctx context.Context, _ []string) error {
			return a.listView(ctx, &f, marketplace+"/plans", nil, []column{
				{"PLAN", "id"}, {"NAME", "plan_name"}, {"PRICE", "price"}, {"SUSPENDED", "is_suspended"}, {"GIVES", "plan_technical_description"},
			})
		},
	}
}

func (a *app) requestImagesVerb() verb {
	var f chainFlags
	return verb{
		use: "images", short: "List the images that requests can run",
		rows:     true,
		examples: []string{"troupe request images", "their names, and where miners find them"},
		exits:    exitsChain, flags: f.addURL,
		run: func(ctx context.Context, _ []string) error {
			return a.listView(ctx, &f, marketplace+"/images", nil, []column{{"IMAGE", "os_name"}, {"URL", "url"}, {"DESCRIPTION", "description"}})
		},
	}
}

func (a *app) requestPlanAddVerb() verb {
	var (
		f                chainFlags
		price, text      string
		cores, ram, disk uint32 = 1, 1, 1
	)
	return verb{
		use: "plan-add [flags] NAME", short: "Offer a plan; root's to do",
		examples: []string{"troupe request plan-add --price 10 --cores 2 --ram 2 --storage 5 small", "prints the identity of the plan"},
		exits:    exitsSend, args: exactly(1, "a name"),
		flags: func(fs *pflag.FlagSet) {
			f.addSigner(fs)
			fs.Var(word{&price, "CREDITS"}, "price", "what each block of it costs")
			fs.Var(word{&text, "TEXT"}, "description", "what it is, for people")
			fs.Uint32Var(&cores, "cores", cores, "share of the processor, in cores")
			fs.Uint32Var(&ram, "ram", ram, "GB of memory")
			fs.Uint32Var(&disk, "storage", disk, "GB to store")
		},
		run: func(ctx context.Context, given []string) error {
			if price == "" {
				return usage("no --price", "say what each block of it costs, in credits")
			}
			needs, err := json.Marshal(map[string]uint32{"cpu_cores": cores, "ram_gb": ram, "storage_gb": disk})
			if err != nil {
				return fault.New(fault.BugUnexpected, "plan", "", err)
			}
			return a.sudo(ctx, &f, marketplace, "add_new_plan", map[string]any{
				"plan_name": given[0], "plan_description": text, "plan_technical_description": string(needs), "price": price, "name": given[0],
			}, func(s sent) { fmt.Fprintf(a.out, "%s\n", oneLine(s.field(marketplace, "PlanAdded", "plan_id"))) })
		},
	}
}

func (a *app) requestImageAddVerb() verb {
	var (
		f    chainFlags
		text string
	)
	return verb{
		use: "image-add [flags] NAME URL", short: "Offer an image, or say anew where it is found; root's to do",
		long: `URL names a wasm module, or the manifest of an app, by its hash: sha256:HASH, the address of an app, or a CID. Miners fetch it from
their sources (see 'troupe serve --source'), and run nothing that has another hash.`,
		examples: []string{"troupe request image-add puzzle sha256:$(sha256sum puzzle.wasm | cut -c1-64)", "a module of WASI"},
		exits:    exitsSend, args: exactly(2, "a name and a URL"),
		flags: func(fs *pflag.FlagSet) {
			f.addSigner(fs)
			fs.Var(word{&text, "TEXT"}, "description", "what it is, for people")
		},
		run: func(ctx context.Context, given []string) error {
			return a.sudo(ctx, &f, marketplace, "set_os_disk_image_url", map[string]any{
				"os_name": given[0], "url": given[1], "name": given[0], "description": text,
			}, nil)
		},
	}
}

func (a *app) requestCreditVerb() verb {
	var f chainFlags
	return verb{
		use: "credit [flags] [AMOUNT]", short: "Make credits, which plans are paid with, of an account's balance; or show them",
		long: "One credit for each unit of balance; there is no way back.",
		examples: []string{
			"troupe request credit --from alice 100000", "prints how many there are then",
			"troupe request credit --from alice", "how many there are",
		},
		exits: exitsSend, args: atMost(1, "an amount"), flags: f.addSigner,
		run: func(ctx context.Context, given []string) error {
			if len(given) == 1 {
				if _, err := strconv.ParseUint(given[0], 10, 64); err != nil {
					return usage("amount "+fault.Quote(given[0]), "write decimal digits")
				}
				return a.transact(ctx, &f, chain.Call{Pallet: "Credits", Name: "convert_to_credits", Args: args(map[string]any{"amount": given[0]})}, nil)
			}
			who, err := a.parsePublic(f.from)
			if err != nil {
				return err
			}
			return a.showView(ctx, &f, "Credits/free", map[string]any{"account": chain.Hash(who)}, asked{})
		},
	}
}
