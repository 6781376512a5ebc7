package devchain

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/troupehost/troupe/chainbridge/ledger"
	"github.com/troupehost/troupe/chainbridge/ledger/machine"
	"github.com/troupehost/troupe/chainbridge/ledger/pallet"
	"github.com/troupehost/troupe/chainbridge/ledger/state"
)

// Proof is what came out when all blocks of a chain were executed again.
type Proof struct {
	Genesis, Block, AppHash pallet.Hash
	Height                  uint64
}

// Prove reads all blocks of a chain of the ledger and executes them here, from the genesis on: every hash must come out, whatever the
// chain says of itself. It ends at the block that is the newest when it begins. progress may be nil.
//
// # Errors
//
// host.chain_corrupt names the first block that is wrong; busy.chain.
func (c *Client) Prove(ctx context.Context, progress func(done, total uint64)) (p Proof, err error) {
	info, err := c.Info(ctx)
	if err != nil {
		return p, err
	}
	head, err := c.exportHead(ctx)
	if err != nil {
		return p, err
	}
	cfg := Config{Genesis: head.Document, ofLedger: true, Machine: func(src state.Source) (machine.Machine, error) { return ledger.New(src) }}
	genesis, _, err := cfg.genesis()
	if err != nil {
		return p, err
	}
	if genesis != pallet.Hash(info.Genesis) {
		return p, corrupt("genesis", fmt.Errorf("the document of genesis %s has the hash %s", info.Genesis, genesis))
	}
	r, err := newReplay(cfg, genesis)
	if err != nil {
		return p, err
	}
	p.Genesis = genesis
	for next, parent := uint64(0), genesis; next <= info.Head.Height; {
		page, err := c.Blocks(ctx, next, MaxPage)
		if err != nil {
			return p, err
		}
		for _, b := range page.Items {
			if b.Header.Height != next || b.Header.Parent != parent {
				return p, corrupt(block(next), errors.New("it is not on top of the one below"))
			}
			if err := r.step(&record{Header: b.Header, hash: b.Header.Hash(), txs: rawBytes(b.Raw)}); err != nil {
				return p, err
			}
			parent = b.Header.Hash()
			p.Height, p.Block, p.AppHash = next, parent, b.Header.AppHash
			if next++; progress != nil {
				progress(min(next, info.Head.Height), info.Head.Height)
			}
		}
		if len(page.Items) == 0 {
			return p, corrupt(block(next), errors.New("it is missing"))
		}
	}
	return p, nil
}

func rawBytes(txs []hexBytes) [][]byte {
	out := make([][]byte, len(txs))
	for i, t := range txs {
		out[i] = t
	}
	return out
}

var errRead = errors.New("enough was read")

// firstLine keeps the first line of what is written, and refuses the rest.
type firstLine struct{ b []byte }

func (f *firstLine) Write(p []byte) (int, error) {
	f.b = append(f.b, p...)
	if bytes.IndexByte(f.b, '\n') >= 0 || len(f.b) > maxExportLine {
		return 0, errRead
	}
	return len(p), nil
}

// exportHead reads the first line of an export.
func (c *Client) exportHead(ctx context.Context) (h exportHead, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // the rest is not sent then
	var f firstLine
	if err := c.Export(ctx, &f); err != nil && bytes.IndexByte(f.b, '\n') < 0 {
		return h, err
	}
	line, _, _ := bytes.Cut(f.b, []byte("\n"))
	if err := json.Unmarshal(line, &h); err != nil {
		return h, corrupt("export", err)
	}
	return h, nil
}
