package governance

import (
	"encoding/json"
	"errors"

	"github.com/troupehost/troupe/chainbridge/ledger/pallet"
	"github.com/troupehost/troupe/chainbridge/ledger/state"
)

var key = state.NewItem[pallet.Account]("Sudo", "Key")

// Key returns who has the power, if anybody.
func Key(s *state.Store) (pallet.Account, bool) { return key.Get(s) }

// SetKey is for genesis: it gives the power to somebody.
func SetKey(s *state.Store, who pallet.Account) { key.Put(s, who) }

func ensure(c *pallet.Context) error {
	who, err := c.Signer()
	if err != nil {
		return err
	}
	if has, ok := Key(c.Store); !ok || has != who {
		return pallet.Fail("Sudo", "RequireSudo", "")
	}
	return nil
}

// Sudo runs a call as Root.
type Sudo struct {
	Call pallet.Bytes `json:"call"`
}

// Sudid says what became of it.
type Sudid struct {
	Result *string `json:"result"` // the error of the call, nil if it succeeded
}

// Run implements pallet.Call.
func (s *Sudo) Run(c *pallet.Context) error {
	if err := ensure(c); err != nil {
		return err
	}
	var done Sudid
	if err := c.Dispatch(pallet.Origin{Kind: pallet.Root}, s.Call); err != nil {
		failed, ok := errors.AsType[*pallet.Error](err)
		if !ok {
			return err
		}
		text := failed.Error()
		done.Result = &text
	}
	c.Emit("Sudo", "Sudid", done)
	return nil
}

// NewKey is the argument of set_key.
type NewKey struct {
	New pallet.Account `json:"new"`
}

// KeyChanged says who had the power and who has it.
type KeyChanged struct {
	Old pallet.Account `json:"old"`
	New pallet.Account `json:"new"`
}

// Run implements pallet.Call.
func (n *NewKey) Run(c *pallet.Context) error {
	if err := ensure(c); err != nil {
		return err
	}
	old, _ := Key(c.Store)
	SetKey(c.Store, n.New)
	c.Emit("Sudo", "KeyChanged", KeyChanged{old, n.New})
	return nil
}

// Pallet returns Sudo.
func Pallet() pallet.Pallet {
	return pallet.Pallet{
		Name: "Sudo", Index: 60,
		Calls: []pallet.Info{
			{Index: 0, Name: "sudo", New: func() pallet.Call { return new(Sudo) }},
			{Index: 1, Name: "set_key", New: func() pallet.Call { return new(NewKey) }},
		},
		Errors: []string{"RequireSudo"},
		Events: []string{"Sudid", "KeyChanged"},
		Views: []pallet.View{{Name: "key", Run: func(c *pallet.Context, _ json.RawMessage) (any, error) {
			var has struct {
				Key *pallet.Account `json:"key"`
			}
			if k, ok := Key(c.Store); ok {
				has.Key = &k
			}
			return has, nil
		}}},
	}
}
