package chainbridge

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/rs/zerolog"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/chainbridge/devchain"
	"github.com/troupehost/troupe/chainbridge/ledger"
	"github.com/troupehost/troupe/chainbridge/ledger/computation"
	"github.com/troupehost/troupe/chainbridge/ledger/pallet"
)

// Embedded is the URL of a chain that is opened in this process.
const Embedded = "embedded:"

// RootBalance is what the account that owns a new embedded chain has, and what there is to pay computing workers of, in the smallest
// unit.
const RootBalance = "1000000000000000000000000"

// Dial returns a chain that somebody else runs.
//
// # Errors
//
// caller.chain_url.
func Dial(url string) (*devchain.Client, error) {
	scheme, _, found := strings.Cut(url, ":")
	switch {
	case found && (scheme == "http" || scheme == "https" || scheme == "ws" || scheme == "wss" || scheme == "unix"):
		return devchain.Dial(url)
	case url == Embedded:
		return nil, fault.New(fault.CallerChainURL, "chain", fault.Quote(url), nil).WithHint("an embedded chain is opened by its host: name the URL at which that serves it")
	}
	return nil, fault.New(fault.CallerChainURL, "chain", fault.Quote(url), nil)
}

// Config says where an embedded chain is kept.
type Config struct {
	Dir       string        // its directory, which nothing else uses
	Root      [32]byte      // the account that owns a chain that is made, and has RootBalance
	BlockTime time.Duration // 0: a block as soon as there are transactions
	Now       func() time.Time
	Log       zerolog.Logger
}

// closingWindow is how long reports of a closed ticket are paid, in blocks: two minutes of the default.
const closingWindow = `{"closing_window":20}`

// addresses are what compute requests are given: all machines have them, for themselves.
const addresses = `{"vm":["127.0.0.10","127.0.0.11","127.0.0.12","127.0.0.13","127.0.0.14","127.0.0.15","127.0.0.16","127.0.0.17"]}`

// genesisName is the file that has the genesis of the chain beside it.
const genesisName = "genesis.json"

// Open opens the embedded chain of a directory, and makes it if there is none. It ends with Close.
//
// # Errors
//
// host.chain_corrupt, host.chain_other, and those of a data directory.
func Open(ctx context.Context, cfg Config) (*devchain.Chain, error) {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	genesis, err := genesisOf(cfg)
	if err != nil {
		return nil, err
	}
	return devchain.Open(ctx, devchain.Config{
		Dir: filepath.Join(cfg.Dir, "blocks"), Genesis: genesis, BlockTime: cfg.BlockTime, Now: cfg.Now, Log: cfg.Log,
	})
}

// genesisOf reads the genesis of a chain, or makes one. It is on disk before there is a block.
func genesisOf(cfg Config) ([]byte, error) {
	path := filepath.Join(cfg.Dir, genesisName)
	b, err := os.ReadFile(path)
	if err == nil {
		if _, err := ledger.ParseGenesis(b); err != nil {
			return nil, fault.New(fault.HostChainCorrupt, "chain", path, err)
		}
		return b, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, wrap(path, err)
	}
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, wrap(path, err)
	}
	balance := pallet.Balance{}
	if err := balance.UnmarshalText([]byte(RootBalance)); err != nil {
		return nil, err
	}
	root := pallet.Account(cfg.Root)
	g := ledger.Genesis{Name: "embedded", TimeMS: uint64(cfg.Now().UnixMilli()), Sudo: &root, Balances: map[pallet.Account]pallet.Balance{root: balance, computation.Subsidy(): balance},
		Pallets: map[string]json.RawMessage{"Wapod": json.RawMessage(closingWindow), "PalletIp": json.RawMessage(addresses)}}
	if b, err = g.Encode(); err != nil {
		return nil, err
	}
	return b, wrap(path, writeWhole(path, b))
}

// writeWhole writes a file so that it is there whole or not at all.
func writeWhole(path string, b []byte) error {
	w, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*.tmp")
	if err != nil {
		return err
	}
	defer os.Remove(w.Name()) // if it was not renamed
	_, err = w.Write(b)
	if err := errors.Join(err, w.Sync(), w.Close()); err != nil {
		return err
	}
	return os.Rename(w.Name(), path)
}

func wrap(path string, err error) error {
	if err == nil {
		return nil
	}
	return fault.New(fault.HostDataDir, "chain", path, err)
}
