package accounts

import (
	"encoding/hex"
	"errors"
	"math"
	"testing"

	"github.com/troupehost/troupe/chainbridge/ledger/pallet"
	"github.com/troupehost/troupe/chainbridge/ledger/state"
)

// TestBalances: what moves money, at its edges.
func TestBalances(t *testing.T) {
	most := pallet.Balance{Lo: math.MaxUint64, Hi: math.MaxUint64}
	a, b := pallet.Account{1}, pallet.Account{2}
	fresh := func() (*pallet.Context, *[]pallet.Event) {
		var events []pallet.Event
		return &pallet.Context{Store: state.NewStore(state.NewMemory()), Events: &events}, &events
	}
	c, _ := fresh()
	if err := Mint(c, a, most); err != nil {
		t.Fatal(err)
	}
	if err := Mint(c, b, pallet.Units(1)); !errors.Is(err, pallet.Fail("Balances", "IssuanceDeactivated", "")) {
		t.Error(err)
	}
	for _, row := range []struct {
		name      string
		from, to  pallet.Account
		amount    pallet.Balance
		keepAlive bool
		want      string
		left      pallet.Balance // of a
	}{
		{"nothing", a, b, pallet.Balance{}, true, "", most},
		{"from nobody", b, a, pallet.Units(1), false, "InsufficientBalance", most},
		{"to oneself", a, a, most, false, "", most},
		{"all to oneself and alive", a, a, most, true, "Expendability", most},
		{"all, alive", a, b, most, true, "Expendability", most},
		{"all", a, b, most, false, "", pallet.Balance{}},
		{"again", a, b, pallet.Units(1), false, "InsufficientBalance", pallet.Balance{}},
	} {
		err := Transfer(c, row.from, row.to, row.amount, row.keepAlive)
		if row.want == "" && err != nil || row.want != "" && !errors.Is(err, pallet.Fail("Balances", row.want, "")) {
			t.Errorf("%s: %v", row.name, err)
		}
		if got := Free(c.Store, a); got != row.left {
			t.Errorf("%s: %s is left", row.name, got)
		}
	}
	if err := Burn(c, b, most); err != nil || !Total(c.Store).IsZero() || !Free(c.Store, b).IsZero() {
		t.Error(err)
	}
	if err := Burn(c, b, pallet.Units(1)); !errors.Is(err, pallet.Fail("Balances", "InsufficientBalance", "")) {
		t.Error(err)
	}
	if Module("wapod") == Module("computation") {
		t.Error("one account of two modules")
	}
}

// TestModule: the account of a name is its hash, so nobody has a key of it.
func TestModule(t *testing.T) {
	m := Module("wapod")
	if got := hex.EncodeToString(m[:]); got != "2eba65b7e5cbb4019014742adbac1ed8627291723db2ecc9d01abeb00dfb16fd" {
		t.Error(got)
	}
}

// TestReaped: an account that has nothing left leaves the state, unless it has signed: its nonce must never be used again.
func TestReaped(t *testing.T) {
	var events []pallet.Event
	base := state.NewMemory()
	c := &pallet.Context{Store: state.NewStore(base), Events: &events}
	a, b := pallet.Account{1}, pallet.Account{2}
	for _, who := range []pallet.Account{a, b} {
		if err := Mint(c, who, pallet.Units(5)); err != nil {
			t.Fatal(err)
		}
	}
	UseNonce(c.Store, a)
	for _, who := range []pallet.Account{a, b} {
		if err := Transfer(c, who, pallet.Account{3}, pallet.Units(5), false); err != nil {
			t.Fatal(err)
		}
	}
	base.Apply(c.Changes())
	seen := map[pallet.Account]Info{}
	Each(state.NewStore(base), func(who pallet.Account, i Info) bool {
		seen[who] = i
		return true
	})
	if len(seen) != 2 || seen[a] != (Info{Nonce: 1}) || seen[pallet.Account{3}] != (Info{Free: pallet.Units(10)}) {
		t.Errorf("%v", seen)
	}
}
