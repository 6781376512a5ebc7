package ledger

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"golang.org/x/crypto/blake2b"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/chainbridge/ledger/accounts"
	"github.com/troupehost/troupe/chainbridge/ledger/governance"
	"github.com/troupehost/troupe/chainbridge/ledger/pallet"
)

// Genesis says how a chain begins.
type Genesis struct {
	Name     string                            `json:"name"`
	TimeMS   uint64                            `json:"time_ms"` // of block 0, in milliseconds of Unix time
	Sudo     *pallet.Account                   `json:"sudo,omitempty"`
	Balances map[pallet.Account]pallet.Balance `json:"balances,omitempty"`
	Pallets  map[string]json.RawMessage        `json:"pallets,omitempty"` // what each pallet is told
}

// MaxNameBytes bounds the name of a chain.
const MaxNameBytes = 128

// ParseGenesis reads a genesis document.
//
// # Errors
//
// caller.invalid_config.
func ParseGenesis(doc []byte) (*Genesis, error) {
	d := json.NewDecoder(bytes.NewReader(doc))
	d.DisallowUnknownFields()
	var g Genesis
	err := d.Decode(&g)
	if err == nil && d.More() {
		err = fmt.Errorf("something follows the document")
	}
	if err == nil && len(g.Name) > MaxNameBytes {
		err = fmt.Errorf("a name of %d bytes, above the limit of %d", len(g.Name), MaxNameBytes)
	}
	if err != nil {
		return nil, fault.New(fault.CallerConfig, "genesis", "", err)
	}
	return &g, nil
}

// Encode returns the canonical document: the same for all spellings of one genesis.
//
// # Errors
//
// caller.invalid_config for what a pallet is told and is no JSON.
func (g *Genesis) Encode() ([]byte, error) {
	plain := *g
	plain.Pallets = map[string]json.RawMessage{}
	for name, told := range g.Pallets {
		d := json.NewDecoder(bytes.NewReader(told))
		d.UseNumber()
		var v any
		if err := d.Decode(&v); err != nil {
			return nil, fault.New(fault.CallerConfig, "genesis", fault.Quote(name), err)
		}
		if v == nil {
			continue
		}
		sorted, err := json.Marshal(v)
		if err != nil {
			return nil, fault.New(fault.CallerConfig, "genesis", fault.Quote(name), err)
		}
		plain.Pallets[name] = sorted
	}
	doc, err := json.Marshal(plain)
	if err != nil {
		return nil, fault.New(fault.CallerConfig, "genesis", "", err)
	}
	return doc, nil
}

// Hash returns the chain's genesis hash: the BLAKE2b-256 of what Encode returns.
//
// # Errors
//
// caller.invalid_config.
func (g *Genesis) Hash() (pallet.Hash, error) {
	doc, err := g.Encode()
	if err != nil {
		return pallet.Hash{}, err
	}
	return blake2b.Sum256(doc), nil
}

// GenesisHash is Hash of a document.
//
// # Errors
//
// caller.invalid_config.
func GenesisHash(doc []byte) (pallet.Hash, error) {
	g, err := ParseGenesis(doc)
	if err != nil {
		return pallet.Hash{}, err
	}
	return g.Hash()
}

// begin writes what the document says.
func (r *Runtime) begin(c *pallet.Context, g *Genesis) error {
	for name := range g.Pallets {
		if p := r.byName[name]; p == nil || p.Genesis == nil {
			return fault.New(fault.CallerConfig, "genesis", fault.Quote(name), fmt.Errorf("no pallet of that name is told anything"))
		}
	}
	if g.Sudo != nil {
		governance.SetKey(c.Store, *g.Sudo)
	}
	for _, who := range slices.SortedFunc(maps.Keys(g.Balances), func(a, b pallet.Account) int { return bytes.Compare(a[:], b[:]) }) {
		if err := accounts.Mint(c, who, g.Balances[who]); err != nil {
			return fault.New(fault.CallerConfig, "genesis", who.String(), err)
		}
	}
	for _, p := range r.pallets {
		if p.Genesis == nil {
			continue
		}
		if err := p.Genesis(c, g.Pallets[p.Name]); err != nil {
			return fault.New(fault.CallerConfig, "genesis", p.Name, err)
		}
	}
	return nil
}
