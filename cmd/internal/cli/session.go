package cli

import (
	"cmp"
	"context"
	"encoding/hex"
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/spf13/pflag"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/host/control/api"
)

func (a *app) sessionVerb() verb {
	return verb{
		use: "session COMMAND", short: "See and open the worker session, which apps are deployed in",
		examples: []string{
			"troupe session open", "apps can be deployed from then on",
			"troupe session show", "its id, its last sequence number, and how many slots are taken",
		},
		exits: []int{exitOK, exitUsage},
		verbs: []verb{a.sessionShowVerb(), a.sessionOpenVerb()},
	}
}

func (a *app) sessionShowVerb() verb {
	return verb{
		use: "show", short: "Show the worker session",
		examples: []string{"troupe session show", "also the worker key, and sn, the last number that a report or a token of gas has had"},
		exits:    exitsHost,
		run: func(ctx context.Context, _ []string) error {
			return a.at(ctx, served, func(ctx context.Context, n *node) error {
				s, err := n.Session(ctx)
				if err != nil {
					return err
				}
				a.printSession(s)
				return nil
			})
		},
	}
}

// printSession prints the worker session in the form that was asked for.
func (a *app) printSession(s inspect.Session) {
	if a.json() {
		a.printJSON(s)
		return
	}
	w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
	tell := func(name, text string) {
		if text != "" {
			fmt.Fprintf(w, "%s\t%s\n", name, oneLine(text))
		}
	}
	tell("session", cmp.Or(s.ID, "none is open"))
	tell("worker key", s.WorkerKey)
	kept := "in clear"
	if s.KeyLocked {
		kept = "locked"
	}
	tell("kept", kept)
	if s.ID != "" {
		tell("opened", clock(s.Opened)+"  "+ago(s.Opened))
		tell("cnonce", s.CNonce)
		tell("pnonce", s.PNonce)
		tell("recipient", s.Recipient)
		tell("sn", fmt.Sprint(s.SN))
	}
	tell("apps", fmt.Sprint(s.Apps))
	tell("slots", fmt.Sprintf("%d of %d taken", s.SlotsUsed, s.Slots))
	tell("benchmark", s.Bench)
	_ = w.Flush()
}

func (a *app) sessionOpenVerb() verb {
	var (
		nonce, recipient string
		resume           bool
	)
	return verb{
		use: "open [flags]", short: "Open a worker session, and print what tells the chain of it",
		long: `Prints the id of the session; -o wide and -o json have the signed update for the chain. While apps are deployed only --resume is
possible, which goes on with the session that there is.`,
		examples: []string{
			"troupe session open", "without a chain",
			"troupe session open --nonce 0x5c --recipient 5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY -o json", "after the nonce that the chain has seen last",
		},
		exits: with(exitsHost, exitConflict),
		flags: func(fs *pflag.FlagSet) {
			fs.Var(word{&nonce, "HEX"}, "nonce", "the nonce that the chain has seen last, at most 64 bytes (default none)")
			fs.Var(word{&recipient, "SS58|HEX"}, "recipient", "account that is paid (default none)")
			fs.BoolVar(&resume, "resume", false, "go on with the session that there is")
		},
		run: func(ctx context.Context, _ []string) error {
			req := api.OpenSession{Resume: resume}
			var err error
			if nonce != "" {
				if req.PNonce, err = hex.DecodeString(strings.TrimPrefix(nonce, "0x")); err != nil {
					return usage("--nonce "+fault.Quote(nonce), "write hex digits, two for each byte")
				}
			}
			if recipient != "" {
				if req.Recipient, err = parseAccount(recipient); err != nil {
					return err
				}
			}
			return a.at(ctx, served, func(ctx context.Context, n *node) error {
				o, err := n.OpenSession(ctx, req)
				if err != nil {
					return err
				}
				switch {
				case a.json():
					a.printJSON(o)
				case a.format.value == formWide:
					fmt.Fprintf(a.out, "session    %s\nupdate     %x\nsignature  %x\nworker key %x\n", fault.Quote(o.Session.ID), []byte(o.Update.Encoded), []byte(o.Update.Signature), []byte(o.Update.WorkerKey))
				default:
					fmt.Fprintf(a.out, "%s\n", fault.Quote(o.Session.ID))
				}
				return nil
			})
		},
	}
}
