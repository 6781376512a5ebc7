package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"

	"github.com/spf13/pflag"

	"github.com/troupehost/troupe/actors/chain"
	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/artifacts/manifest"
)

// The pallet of the market.
const wapod = "Wapod"

func (a *app) ticketVerb() verb {
	return verb{
		use: "ticket COMMAND", short: "Pay for apps on the chain",
		long: `A ticket holds a deposit for one app on the workers of a list. Each of them deploys the app, reports what it uses, and is paid from
the deposit. What is left is refunded when the ticket is closed.`,
		examples: []string{
			"troupe ticket create --list 0 --deposit 1000000 app.app", "for the app that 'troupe app build' made",
			"troupe ticket show 0", "what is left, and what each worker was paid",
		},
		exits: []int{exitOK, exitUsage},
		verbs: []verb{a.ticketCreateVerb(), a.ticketListVerb(), a.ticketShowVerb(), a.ticketCloseVerb()},
	}
}

func parseID(what, text string) (uint64, error) {
	id, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return 0, usage(what+" "+fault.Quote(text), "write its number in decimal digits")
	}
	return id, nil
}

func (a *app) ticketCreateVerb() verb {
	var (
		f       chainFlags
		list    string
		deposit string
		cid     string
		prices  []string
	)
	return verb{
		use: "create [flags] APP|ADDRESS", short: "Pay for an app on the workers of a list",
		long: `APP is a directory of 'troupe app build', or the manifest.json of one; an ADDRESS needs --cid, by which the workers find the manifest.
Prices that are not given are those of the list, and never change for this ticket.`,
		examples: []string{
			"troupe ticket create --list 0 --deposit 1000000 app.app", "prints the number of the ticket",
			"troupe ticket create --list 0 --deposit 1000000 --price gas_price=2 app.app", "with a price of its own",
		},
		exits: exitsSend, args: exactly(1, "an app or its address"),
		flags: func(fs *pflag.FlagSet) {
			f.addSigner(fs)
			fs.Var(word{&list, "LIST"}, "list", "the list of workers; see 'troupe market lists'")
			fs.Var(word{&deposit, "AMOUNT"}, "deposit", "what is paid in, in the chain's smallest unit")
			fs.Var(word{&cid, "CID"}, "cid", "where the manifest of an ADDRESS is found")
			fs.Var(&words{&prices, "NAME=AMOUNT"}, "price", "pay another price than the list says; see 'troupe market prices'")
		},
		run: func(ctx context.Context, given []string) error {
			switch {
			case list == "":
				return usage("no --list", "'troupe market lists' shows the lists of workers")
			case deposit == "":
				return usage("no --deposit", "say how much is paid in")
			}
			id, err := parseID("list", list)
			if err != nil {
				return err
			}
			address, found, err := appAt(given[0])
			if err != nil {
				return err
			}
			if cid == "" {
				cid = found
			}
			if cid == "" {
				return usage("an address without --cid", "name the CID of its manifest, or give the directory of the app")
			}
			p, err := parsePrices(prices)
			if err != nil {
				return err
			}
			body := map[string]any{}
			for _, x := range priceNames {
				body[x.name] = *x.field(p)
			}
			return a.transact(ctx, &f, chain.Call{Pallet: wapod, Name: "ticket_create", Args: args(map[string]any{
				"deposit": deposit, "address": address, "manifest_cid": cid, "worker_list": id, "prices": body,
			})}, func(s sent) {
				fmt.Fprintf(a.out, "%s\n", oneLine(s.field(wapod, "TicketCreated", "id")))
			})
		},
	}
}

// manifestName is the file of a built app that has its manifest.
const manifestName = "manifest.json"

// appAt returns the address of an app, and the CID of its manifest if there is a file of it.
func appAt(text string) (address manifest.Address, cid string, err error) {
	if address, err = manifest.ParseAddress(text); err == nil {
		return address, "", nil
	}
	path := text
	if isDir(path) {
		path += string(os.PathSeparator) + manifestName
	}
	b, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return address, "", usage("app "+fault.Quote(text), "give the directory of 'troupe app build', its manifest.json, or an address of 64 hex digits")
	case err != nil:
		return address, "", fault.New(fault.CallerInvalid, "read", fault.Quote(path), reason(err))
	}
	var m manifest.Manifest
	if err := json.Unmarshal(b, &m); err != nil {
		return address, "", fault.New(fault.CallerManifest, "read", fault.Quote(path), err)
	}
	return m.Address(), manifest.CID(b), nil
}

var ticketColumns = []column{
	{"TICKET", "id"}, {"APP", "address"}, {"WORKERS", "workers"}, {"BALANCE", "balance"}, {"SINCE", "created_at"}, {"CLOSES", "closing_at"},
	{"OWNER", "owner"}, {"MANIFEST", "manifest_cid"},
}

func (a *app) ticketListVerb() verb {
	var (
		f             chainFlags
		owner, worker string
	)
	return verb{
		use: "list [flags]", short: "List tickets",
		rows: true,
		long: "SINCE and CLOSES are heights of blocks.",
		examples: []string{
			"troupe ticket list --owner root", "those of an account",
			"troupe ticket list --worker $(troupe key show -o json | jq -r .worker_key)", "those that this worker may serve",
		},
		exits: exitsChain,
		flags: func(fs *pflag.FlagSet) {
			f.addURL(fs)
			fs.Var(word{&owner, "ACCOUNT"}, "owner", "those of this account only")
			fs.Var(word{&worker, "KEY"}, "worker", "those that this worker may serve only")
		},
		run: func(ctx context.Context, _ []string) error {
			params := map[string]any{}
			for name, text := range map[string]string{"owner": owner, "worker": worker} {
				if text == "" {
					continue
				}
				p, err := a.parsePublic(text)
				if err != nil {
					return err
				}
				params[name] = chain.Hash(p)
			}
			return a.listView(ctx, &f, wapod+"/tickets", params, ticketColumns)
		},
	}
}

func (a *app) ticketShowVerb() verb {
	var f chainFlags
	return verb{
		use: "show TICKET", short: "Show a ticket, and what each worker was paid from it",
		examples: []string{"troupe ticket show 0", "a debt is what the deposit could not pay"},
		exits:    exitsChain, args: exactly(1, "the number of a ticket"),
		flags: f.addURL,
		run: func(ctx context.Context, given []string) error {
			id, err := parseID("ticket", given[0])
			if err != nil {
				return err
			}
			return a.showView(ctx, &f, wapod+"/ticket", map[string]any{"id": id}, asked{"ticket " + given[0], "'troupe ticket list' shows the tickets"})
		},
	}
}

func (a *app) ticketCloseVerb() verb {
	var f chainFlags
	return verb{
		use: "close TICKET", short: "Close a ticket: what is left is refunded when its closing window ends",
		long:     "Reports within the window are still paid, so that no worker loses what it has earned.",
		examples: []string{"troupe ticket close 0", "prints the height at which it ends"},
		exits:    exitsSend, args: exactly(1, "the number of a ticket"),
		flags: f.addSigner,
		run: func(ctx context.Context, given []string) error {
			id, err := parseID("ticket", given[0])
			if err != nil {
				return err
			}
			return a.transact(ctx, &f, chain.Call{Pallet: wapod, Name: "ticket_close", Args: args(map[string]any{"id": id})}, func(s sent) {
				fmt.Fprintf(a.out, "closes at block %s\n", oneLine(s.field(wapod, "TicketClosing", "closes_at")))
			})
		},
	}
}
