package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/chainbridge/devchain"
)

// verifiedChain is the JSON of 'chain verify'.
type verifiedChain struct {
	Genesis string `json:"genesis"`
	Height  uint64 `json:"height"`
	Block   string `json:"block"`
	AppHash string `json:"app_hash"`
	Keys    uint64 `json:"keys,omitempty"`
	Blocks  uint64 `json:"blocks_executed,omitempty"`
}

func (a *app) chainVerifyVerb() verb {
	var f chainFlags
	return verb{
		use: "verify [FILE]", short: "Prove a chain: execute all its blocks again, or check an export",
		long: `Without FILE every block is read from the chain and executed here, from the genesis on: the hashes of all blocks and of the state after
each of them must come out. With FILE, an export of 'troupe chain export', the state in it must have the hash that its block names.`,
		examples: []string{
			"troupe chain verify", "the chain of the host, whatever it says of itself",
			"troupe chain verify chain.export", "an export, without any host",
		},
		exits: exitsChain, args: atMost(1, "an export"), flags: f.addURL,
		run: func(ctx context.Context, given []string) error {
			if len(given) == 1 {
				return a.verifyExport(given[0])
			}
			return a.onChain(ctx, &f, a.verifyChain)
		},
	}
}

func (a *app) printVerified(v verifiedChain) {
	if a.json() {
		a.printJSON(v)
		return
	}
	what := fmt.Sprintf("%d blocks executed again", v.Blocks)
	if v.Blocks == 0 {
		what = fmt.Sprintf("%d keys", v.Keys)
	}
	fmt.Fprintf(a.out, "proved: block %d %s  app hash %s  %s\n", v.Height, short(v.Block), short(v.AppHash), what)
}

func (a *app) verifyExport(path string) error {
	file, err := os.Open(path)
	if err != nil {
		if errors.Is(err, os.ErrNotExist) {
			return fault.New(fault.CallerNotFound, "read", fault.Quote(path), nil).WithHint("'troupe chain export --out " + path + "' writes one")
		}
		return fault.New(fault.CallerInvalid, "read", fault.Quote(path), reason(err))
	}
	defer file.Close()
	x, err := devchain.VerifyExport(bufio.NewReader(file), nil)
	if err != nil {
		return err
	}
	a.printVerified(verifiedChain{Genesis: x.Genesis.String(), Height: x.Header.Height, Block: x.Hash.String(), AppHash: x.Header.AppHash.String(), Keys: x.Keys})
	return nil
}

// verifyChain proves a chain that somebody else runs.
func (a *app) verifyChain(ctx context.Context, c chainClient) error {
	r, err := c.Prove(ctx, nil)
	if err != nil {
		return err
	}
	a.printVerified(verifiedChain{Genesis: r.Genesis.String(), Height: r.Height, Block: r.Block.String(), AppHash: r.AppHash.String(), Blocks: r.Height})
	return nil
}
