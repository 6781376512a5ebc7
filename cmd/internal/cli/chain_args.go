package cli

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/troupehost/troupe/actors/chain"
	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/chainbridge/ledger"
)

const accountType = "AccountId"

// callArgs reads the arguments of a call. Where the ledger wants an account, the name of a key and SS58 stand for its hex digits.
func (a *app) callArgs(ctx context.Context, given []string) (chain.Call, error) {
	call := chain.Call{Pallet: given[0], Name: given[1], Args: json.RawMessage("{}")}
	if len(given) < 3 {
		return call, nil
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal([]byte(given[2]), &fields); err != nil || fields == nil {
		return call, usage("arguments "+fault.Quote(given[2]), "write a JSON object")
	}
	for _, c := range ledger.Calls() {
		if c.Pallet != call.Pallet || c.Name != call.Name {
			continue
		}
		for _, arg := range c.Args {
			if v, ok := fields[arg.Name]; ok && strings.Contains(arg.Type, accountType) {
				resolved, err := a.accountsIn(ctx, v)
				if err != nil {
					return call, err
				}
				fields[arg.Name] = resolved
			}
		}
	}
	b, err := json.Marshal(fields)
	call.Args = b
	return call, err
}

// accountsIn resolves one account or a list of them, and leaves everything else for the ledger to judge.
func (a *app) accountsIn(ctx context.Context, v json.RawMessage) (json.RawMessage, error) {
	var list []json.RawMessage
	if json.Unmarshal(v, &list) == nil && list != nil {
		for i := range list {
			one, err := a.accountsIn(ctx, list[i])
			if err != nil {
				return nil, err
			}
			list[i] = one
		}
		return json.Marshal(list)
	}
	var text *string
	if json.Unmarshal(v, &text) != nil || text == nil {
		return v, nil
	}
	p, err := a.parsePublic(*text)
	if err != nil {
		return nil, err
	}
	return json.Marshal(chain.Hash(p))
}

func (a *app) chainSendVerb() verb {
	var f chainFlags
	return verb{
		use: "send [flags] PALLET CALL [JSON]", short: "Sign a call with an account, and wait until it is in a block",
		long: `'troupe chain calls' lists the calls and their arguments. Accounts in them are names of 'troupe key list', SS58 or hex digits; amounts
are decimal digits in quotes; bytes are 0x and hex digits.`,
		examples: []string{
			`troupe chain send System remark '{"remark":"0x00"}'`, "signed by root",
			`troupe chain send --from alice PhalaStakePoolv2 create`, "by another account",
			`troupe chain send Balances transfer_all '{"dest":"alice","keep_alive":false}'`, "with an account among the arguments",
		},
		exits: exitsSend, args: between(2, 3, "a pallet, a call, and its arguments in JSON if it has any"),
		flags: f.addSigner, complete: completeCalls,
		run: func(ctx context.Context, given []string) error {
			call, err := a.callArgs(ctx, given)
			if err != nil {
				return err
			}
			return a.transact(ctx, &f, call, nil)
		},
	}
}

func (a *app) chainSudoVerb() verb {
	var f chainFlags
	return verb{
		use: "sudo [flags] PALLET CALL [JSON]", short: "Send a call that only the owner of the chain may make",
		long: "The account that signs is root's, if nothing else is said. What the call itself says is the result of the verb.",
		examples: []string{
			`troupe chain sudo Marketplace set_specific_miner_request_fee '{"fee":"5"}'`, "a fee for those who choose their miner",
			`troupe chain sudo Credits mint '{"who":"alice","amount":"1000","code":null}'`, "credits out of nothing",
		},
		exits: exitsSend, args: between(2, 3, "a pallet, a call, and its arguments in JSON if it has any"),
		flags: f.addSigner, complete: completeCalls,
		run: func(ctx context.Context, given []string) error {
			call, err := a.callArgs(ctx, given)
			if err != nil {
				return err
			}
			return a.sudoCall(ctx, &f, call, nil)
		},
	}
}

// completeCalls completes the names of pallets, then those of their calls.
func completeCalls(given []string) (names []string) {
	for _, p := range ledger.Metadata() {
		switch {
		case len(given) == 0 && len(p.Calls) > 0:
			names = append(names, p.Name)
		case len(given) == 1 && given[0] == p.Name:
			for _, c := range p.Calls {
				names = append(names, c.Name)
			}
		}
	}
	return names
}

// sudo sends a call in the name of the chain's owner.
func (a *app) sudo(ctx context.Context, f *chainFlags, pallet, name string, body map[string]any, told func(sent)) error {
	return a.sudoCall(ctx, f, chain.Call{Pallet: pallet, Name: name, Args: args(body)}, told)
}

func (a *app) sudoCall(ctx context.Context, f *chainFlags, call chain.Call, told func(sent)) error {
	inner, err := ledger.EncodeCall(call.Pallet, call.Name, call.Args)
	if err != nil {
		return err
	}
	return a.transact(ctx, f, chain.Call{Pallet: "Sudo", Name: "sudo", Args: args(map[string]any{"call": "0x" + hex.EncodeToString(inner)})}, told)
}

// sudoFault tells the failure of a call that its transaction, which did not fail, was to make.
func (s sent) sudoFault() error {
	result := s.field("Sudo", "Sudid", "result")
	if result == "" || result == "null" {
		return nil
	}
	return fault.New(fault.CallerTxFailed, "transaction", result, nil)
}

func (a *app) chainTransferVerb() verb {
	var f chainFlags
	return verb{
		use: "transfer [flags] TO AMOUNT", short: "Send what an account has to another one",
		examples: []string{
			"troupe chain transfer alice 1000000", "from root to the account whose key is alice",
			"troupe chain transfer --from alice 5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY 5", "to any account",
		},
		exits: exitsSend, args: exactly(2, "an account and an amount"),
		flags: f.addSigner,
		run: func(ctx context.Context, given []string) error {
			to, err := a.parsePublic(given[0])
			if err != nil {
				return err
			}
			return a.transact(ctx, &f, chain.Call{Pallet: "Balances", Name: "transfer_keep_alive",
				Args: args(map[string]any{"dest": chain.Hash(to), "value": given[1]})}, nil)
		},
	}
}

func (a *app) chainCallsVerb() verb {
	return verb{
		use: "calls [PALLET]", short: "List the calls of the ledger, with their arguments",
		rows:     true,
		examples: []string{"troupe chain calls Wapod", "those of the market"},
		exits:    exitsText, args: atMost(1, "the name of a pallet"), complete: completePallets,
		run: func(_ context.Context, given []string) error {
			list, err := ofPallet(ledger.Metadata(), given)
			if err != nil {
				return err
			}
			calls := []ledger.CallInfo{}
			for _, p := range list {
				calls = append(calls, p.Calls...)
			}
			if a.json() {
				printRows(a, calls, calls, func(c ledger.CallInfo) string { return c.Pallet + "." + c.Name })
				return nil
			}
			w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
			for _, c := range calls {
				var of []string
				for _, arg := range c.Args {
					of = append(of, arg.Name+": "+arg.Type)
				}
				fmt.Fprintf(w, "%s\t%d\t%s(%s)\n", c.Pallet, c.Index, c.Name, strings.Join(of, ", "))
			}
			return w.Flush()
		},
	}
}

func (a *app) chainViewsVerb() verb {
	return verb{
		use: "views [PALLET]", short: "List the views of the ledger, for 'troupe chain query'",
		rows:     true,
		examples: []string{"troupe chain views Wapod", "those of the market"},
		exits:    exitsText, args: atMost(1, "the name of a pallet"), complete: completePallets,
		run: func(_ context.Context, given []string) error {
			list, err := ofPallet(ledger.Metadata(), given)
			if err != nil {
				return err
			}
			paths := []string{}
			for _, p := range list {
				for _, v := range p.Views {
					paths = append(paths, p.Name+"/"+v)
				}
			}
			if a.json() {
				printRows(a, paths, paths, func(p string) string { return p })
				return nil
			}
			for _, p := range paths {
				fmt.Fprintln(a.out, p)
			}
			return nil
		},
	}
}

func completePallets(given []string) []string {
	if len(given) > 0 {
		return nil
	}
	return completeCalls(nil)
}

// ofPallet keeps the pallet that is named, or all.
func ofPallet(all []ledger.PalletInfo, given []string) ([]ledger.PalletInfo, error) {
	if len(given) == 0 {
		return all, nil
	}
	for _, p := range all {
		if p.Name == given[0] {
			return []ledger.PalletInfo{p}, nil
		}
	}
	return nil, usage("pallet "+fault.Quote(given[0]), "'troupe chain calls' lists them all")
}

func (a *app) chainQueryVerb() verb {
	var f chainFlags
	return verb{
		use: "query PATH [JSON]", short: "Ask for a view of the ledger",
		long: "Lists are answered in pages: what a page has in \"next\" is the \"after\" of the next one.",
		examples: []string{
			`troupe chain query Wapod/ticket '{"id":0}'`, "the pallet, the view, and its parameters",
			"troupe chain query Balances/total", "all that there is",
			`troupe chain query Wapod/tickets '{"limit":10,"after":9}'`, "ten tickets from a place on",
		},
		exits: exitsChain, args: between(1, 2, "a path, and parameters in JSON if the view has any"),
		flags: f.addURL,
		complete: func(given []string) (paths []string) {
			for _, p := range ledger.Metadata() {
				for _, v := range p.Views {
					if len(given) == 0 {
						paths = append(paths, p.Name+"/"+v)
					}
				}
			}
			return paths
		},
		run: func(ctx context.Context, args []string) error {
			params := map[string]any{}
			if len(args) == 2 {
				if err := json.Unmarshal([]byte(args[1]), &params); err != nil || params == nil {
					return usage("parameters "+fault.Quote(args[1]), "write a JSON object")
				}
			}
			return a.showView(ctx, &f, args[0], params, asked{"", "'troupe chain views' lists the views"})
		},
	}
}
