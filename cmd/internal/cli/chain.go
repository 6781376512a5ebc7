package cli

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/pflag"

	"github.com/troupehost/troupe/actors/chain"
	"github.com/troupehost/troupe/chainbridge/devchain"
)

// chainClient is a chain as the verbs need it.
type chainClient = *devchain.Client

var (
	exitsChain = with(exitsHost, exitNotFound)
	exitsSend  = with(exitsChain, exitConflict)
)

func (a *app) chainVerb() verb {
	return verb{
		use: "chain COMMAND", short: "See the chain that the host works with, and send transactions to it",
		long: `A 'troupe serve' without --chain has a chain of its own, which the account root owns. The verbs ask the host which chain it is;
--chain names another one. What the host has missed it reads when the chain answers again, by itself; 'troupe actor restart
troupe/follower' has it read all of it anew.`,
		examples: []string{
			"troupe chain status", "how far it is, and what waits to be sent",
			"troupe chain blocks --follow", "block by block, with the events",
			"troupe chain send Balances transfer_keep_alive '{\"dest\":\"alice\",\"value\":\"1000\"}'", "any call, with its arguments in JSON",
		},
		exits: []int{exitOK, exitUsage},
		verbs: []verb{
			a.chainStatusVerb(), a.chainBlocksVerb(), a.chainTxVerb(), a.chainEventsVerb(), a.chainCallsVerb(), a.chainViewsVerb(), a.chainQueryVerb(),
			a.chainSendVerb(), a.chainSudoVerb(), a.chainTransferVerb(), a.chainExportVerb(), a.chainVerifyVerb(),
			a.chainCursorVerb(), a.chainDeed("chain.pause", "Submit nothing new to the chain for now"), a.chainDeed("chain.resume", "Submit to the chain again"),
			a.chainCallsOutVerb(), a.chainDemandVerb(), a.chainPayVerb(), a.chainReportVerb(), a.chainAdoptVerb(),
		},
	}
}

func (a *app) chainBlocksVerb() verb {
	var (
		f      chainFlags
		follow bool
		last   uint64 = 10
	)
	return verb{
		use: "blocks [flags]", short: "Show the newest blocks",
		rows: true,
		examples: []string{
			"troupe chain blocks", "the last ten",
			"troupe chain blocks --follow -o json", "one line of JSON for each, as they come",
		},
		exits: exitsChain,
		flags: func(fs *pflag.FlagSet) {
			f.addURL(fs)
			fs.BoolVar(&follow, "follow", false, "go on with new blocks until interrupted")
			fs.Uint64Var(&last, "last", last, "begin so many blocks before the newest")
		},
		run: func(ctx context.Context, _ []string) error {
			return a.onChain(ctx, &f, func(ctx context.Context, c chainClient) error {
				return a.eachBlock(ctx, c, last, follow, func(b chain.Block) { a.printBlock(b) })
			})
		},
	}
}

// eachBlock calls use with the last blocks, and with all that come if follow.
func (a *app) eachBlock(ctx context.Context, c chainClient, last uint64, follow bool, use func(chain.Block)) error {
	info, err := c.Info(ctx)
	if err != nil {
		return err
	}
	at := chain.Cursor{}
	for h := info.Head.Height - min(last, info.Head.Height) + 1; h <= info.Head.Height; h++ {
		b, err := c.Block(ctx, h)
		if err != nil {
			return err
		}
		use(b.Block)
		at = b.Block.Cursor
	}
	if !follow {
		return nil
	}
	if at == (chain.Cursor{}) {
		at = info.Head
	}
	err = c.Follow(ctx, at, func(b chain.Block) error { use(b); return nil })
	if ctx.Err() != nil { // the user has seen enough
		return nil
	}
	return err
}

func (a *app) printBlock(b chain.Block) {
	if a.json() {
		a.printRow(b, b.Hash.String())
		return
	}
	fmt.Fprintf(a.out, "%d  %s  %s  %s  %s\n", b.Height, short(b.Hash.String()), clock(b.Time), counted(len(b.Txs), "transaction"), counted(len(b.Events), "event"))
	if a.format.value != formWide {
		return
	}
	for _, e := range b.Events {
		a.printEvent(e)
	}
}

// counted tells a number of things.
func counted(n int, thing string) string {
	if n != 1 {
		thing += "s"
	}
	return fmt.Sprintf("%d %s", n, thing)
}

func (a *app) chainEventsVerb() verb {
	var (
		f            chainFlags
		follow       bool
		last         uint64 = 100
		pallet, name string
	)
	return verb{
		use: "events [flags]", short: "Show the events of the newest blocks",
		rows: true,
		examples: []string{
			"troupe chain events --pallet Wapod", "of the market only",
			"troupe chain events --follow --name Settled", "payments as they come",
		},
		exits: exitsChain,
		flags: func(fs *pflag.FlagSet) {
			f.addURL(fs)
			fs.BoolVar(&follow, "follow", false, "go on with new blocks until interrupted")
			fs.Uint64Var(&last, "last", last, "begin so many blocks before the newest")
			fs.Var(word{&pallet, "NAME"}, "pallet", "events of this pallet only")
			fs.Var(word{&name, "NAME"}, "name", "events of this name only")
		},
		run: func(ctx context.Context, _ []string) error {
			return a.onChain(ctx, &f, func(ctx context.Context, c chainClient) error {
				return a.eachBlock(ctx, c, last, follow, func(b chain.Block) {
					for _, e := range b.Events {
						if pallet != "" && e.Pallet != pallet || name != "" && e.Name != name {
							continue
						}
						if a.json() {
							a.printRow(shownEvent{b.Height, e}, e.Pallet+"."+e.Name)
							continue
						}
						fmt.Fprintf(a.out, "%d", b.Height)
						a.printEvent(e)
					}
				})
			})
		},
	}
}

// shownEvent is the JSON of 'chain events'.
type shownEvent struct {
	Height uint64 `json:"height"`
	chain.Event
}

func (a *app) chainTxVerb() verb {
	var f chainFlags
	return verb{
		use: "tx HASH", short: "Show what became of a transaction",
		examples: []string{"troupe chain tx 3f9a…", "all 64 hex digits, as 'chain send' prints them"},
		exits:    exitsChain, args: exactly(1, "the hash of a transaction"),
		flags: f.addURL,
		run: func(ctx context.Context, args []string) error {
			var hash chain.Hash
			if err := hash.UnmarshalText([]byte(args[0])); err != nil {
				return err
			}
			return a.onChain(ctx, &f, func(ctx context.Context, c chainClient) error {
				at, err := c.Tx(ctx, hash)
				switch r := at.Result; {
				case err != nil:
					return err
				case a.json():
					a.printJSON(at)
				case at.Waits:
					fmt.Fprintln(a.out, "waits for a block")
				case r == nil:
				case r.Error != nil:
					fmt.Fprintf(a.out, "block %d  nonce %d  failed: %s\n", at.Height, r.Nonce, oneLine(r.Error.Fault().Error()))
				default:
					a.printSent(sent{Tx: hash.String(), Height: at.Height, Events: at.Events})
				}
				return nil
			})
		},
	}
}

func (a *app) chainExportVerb() verb {
	var (
		f   chainFlags
		out string
	)
	return verb{
		use: "export [flags]", short: "Write the state of the ledger, from which it can be verified",
		examples: []string{"troupe chain export --out chain.export", "then 'troupe chain verify chain.export'"},
		exits:    exitsChain,
		flags: func(fs *pflag.FlagSet) {
			f.addURL(fs)
			fs.Var(word{&out, "FILE"}, "out", "write to FILE (default stdout)")
		},
		run: func(ctx context.Context, _ []string) error {
			if out == "" && a.outTerminal {
				return usage("an export on a terminal", "redirect stdout, or pass --out FILE")
			}
			return a.onChain(ctx, &f, func(ctx context.Context, c chainClient) error {
				if out == "" {
					return c.Export(ctx, a.out)
				}
				return toFile(out, func(w io.Writer) error { return c.Export(ctx, w) })
			})
		},
	}
}
