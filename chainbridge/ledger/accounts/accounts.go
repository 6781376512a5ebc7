package accounts

import (
	"golang.org/x/crypto/blake2b"

	"github.com/troupehost/troupe/artifacts/scale"
	"github.com/troupehost/troupe/chainbridge/ledger/pallet"
	"github.com/troupehost/troupe/chainbridge/ledger/state"
)

// Info is what an account has.
type Info struct {
	Nonce uint64 // of its next transaction
	Free  pallet.Balance
}

// EncodeScale appends the 24 bytes. It stands here since this is the value that is read most.
func (i *Info) EncodeScale(e *scale.Encoder) {
	e.U64(i.Nonce)
	e.U128(i.Free.Lo, i.Free.Hi)
}

// DecodeScale reads the 24 bytes.
func (i *Info) DecodeScale(d *scale.Decoder) {
	i.Nonce = d.U64()
	i.Free.Lo, i.Free.Hi = d.U128()
}

var (
	all      = state.NewMap[pallet.Account, Info]("System", "Account")
	issuance = state.NewItem[pallet.Balance]("Balances", "TotalIssuance")
)

// Get returns what an account has. One that nobody knows has nothing.
func Get(s *state.Store, who pallet.Account) Info {
	i, _ := all.Get(s, who)
	return i
}

func put(s *state.Store, who pallet.Account, i Info) {
	if i == (Info{}) {
		all.Delete(s, who)
		return
	}
	all.Put(s, who, i)
}

// Free returns an account's balance.
func Free(s *state.Store, who pallet.Account) pallet.Balance { return Get(s, who).Free }

// Nonce returns the nonce of an account's next transaction.
func Nonce(s *state.Store, who pallet.Account) uint64 { return Get(s, who).Nonce }

// UseNonce counts a transaction.
func UseNonce(s *state.Store, who pallet.Account) {
	i := Get(s, who)
	i.Nonce++
	all.Put(s, who, i)
}

// Each calls use with all accounts, until it says no. Only who looks at a whole state does that.
func Each(s *state.Store, use func(pallet.Account, Info) bool) { all.Each(s, nil, use) }

// Total returns the sum of all balances.
func Total(s *state.Store) pallet.Balance {
	n, _ := issuance.Get(s)
	return n
}

// Module returns the account of a pallet, or of one purpose of it. Nobody has a key of it.
func Module(name string) pallet.Account { return blake2b.Sum256([]byte("modl/" + name)) }

// TransferDone is the event Transfer.
type TransferDone struct {
	From   pallet.Account `json:"from"`
	To     pallet.Account `json:"to"`
	Amount pallet.Balance `json:"amount"`
}

// Endowed says that an account has something now, and had nothing.
type Endowed struct {
	Account     pallet.Account `json:"account"`
	FreeBalance pallet.Balance `json:"free_balance"`
}

// Changed is the event Minted or Burned.
type Changed struct {
	Who    pallet.Account `json:"who"`
	Amount pallet.Balance `json:"amount"`
}

// Transfer moves money. keepAlive wants something to be left. To move nothing is no error, and no event.
//
// # Errors
//
// Balances.InsufficientBalance, Balances.Expendability.
func Transfer(c *pallet.Context, from, to pallet.Account, amount pallet.Balance, keepAlive bool) error {
	if amount.IsZero() {
		return nil
	}
	payer := Get(c.Store, from)
	left, enough := payer.Free.Minus(amount)
	if !enough {
		return pallet.Fail("Balances", "InsufficientBalance", "it has "+payer.Free.String()+" and needs "+amount.String())
	}
	if keepAlive && left.IsZero() {
		return pallet.Fail("Balances", "Expendability", "nothing would be left")
	}
	if from != to {
		payer.Free = left
		put(c.Store, from, payer)
		credit(c, to, amount)
	}
	c.Emit("Balances", "Transfer", TransferDone{from, to, amount})
	return nil
}

// credit cannot overflow: Mint has bounded the sum of all.
func credit(c *pallet.Context, to pallet.Account, amount pallet.Balance) {
	i := Get(c.Store, to)
	fresh := i.Free.IsZero()
	i.Free = i.Free.Plus(amount)
	put(c.Store, to, i)
	if fresh {
		c.Emit("Balances", "Endowed", Endowed{to, i.Free})
	}
}

// Mint makes money, for genesis and for pools of subsidies.
//
// # Errors
//
// Balances.IssuanceDeactivated if there is more than can be counted then.
func Mint(c *pallet.Context, to pallet.Account, amount pallet.Balance) error {
	if amount.IsZero() {
		return nil
	}
	total := Total(c.Store)
	sum := total.Plus(amount)
	if back, ok := sum.Minus(total); !ok || back != amount {
		return pallet.Fail("Balances", "IssuanceDeactivated", "the sum of all balances would be above 2^128")
	}
	issuance.Put(c.Store, sum)
	credit(c, to, amount)
	c.Emit("Balances", "Minted", Changed{to, amount})
	return nil
}

// Burn unmakes money.
//
// # Errors
//
// Balances.InsufficientBalance.
func Burn(c *pallet.Context, from pallet.Account, amount pallet.Balance) error {
	if amount.IsZero() {
		return nil
	}
	i := Get(c.Store, from)
	left, enough := i.Free.Minus(amount)
	if !enough {
		return pallet.Fail("Balances", "InsufficientBalance", "it has "+i.Free.String())
	}
	i.Free = left
	put(c.Store, from, i)
	sum, _ := Total(c.Store).Minus(amount) // it has every balance in it
	issuance.Put(c.Store, sum)
	c.Emit("Balances", "Burned", Changed{from, amount})
	return nil
}
