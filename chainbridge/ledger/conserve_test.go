package ledger

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/chainbridge/ledger/accounts"
	"github.com/troupehost/troupe/chainbridge/ledger/governance"
	"github.com/troupehost/troupe/chainbridge/ledger/machine"
	"github.com/troupehost/troupe/chainbridge/ledger/market"
	"github.com/troupehost/troupe/chainbridge/ledger/pallet"
	"github.com/troupehost/troupe/chainbridge/ledger/state"
)

// shadow is a second book of all balances, in numbers that have no end, which is kept from events alone.
type shadow struct {
	of      map[pallet.Account]*big.Int
	total   *big.Int
	paidIn  map[pallet.Account]*big.Int // all that an account ever received
	tickets map[uint64]*ticket
}

// ticket is what a ticket has to do with its account.
type ticket struct {
	account pallet.Account
	paidOut *big.Int
}

func newShadow() *shadow {
	return &shadow{map[pallet.Account]*big.Int{}, new(big.Int), map[pallet.Account]*big.Int{}, map[uint64]*ticket{}}
}

func number128(b pallet.Balance) *big.Int {
	n, ok := new(big.Int).SetString(b.String(), 10)
	if !ok {
		panic(b)
	}
	return n
}

func (s *shadow) add(who pallet.Account, n *big.Int, sign int) error {
	has := s.of[who]
	if has == nil {
		has = new(big.Int)
		s.of[who] = has
	}
	if sign < 0 {
		has.Sub(has, n)
	} else {
		has.Add(has, n)
		if s.paidIn[who] == nil {
			s.paidIn[who] = new(big.Int)
		}
		s.paidIn[who].Add(s.paidIn[who], n)
	}
	if has.Sign() < 0 {
		return fmt.Errorf("%s has paid more than it ever had: %s", who, has)
	}
	return nil
}

// book enters what a block has told.
func (s *shadow) book(res *machine.Result) error {
	for _, e := range res.Events {
		switch f := e.Fields.(type) {
		case accounts.TransferDone:
			n := number128(f.Amount)
			if f.From == f.To {
				continue
			}
			if err := s.add(f.From, n, -1); err != nil {
				return err
			}
			if err := s.add(f.To, n, 1); err != nil {
				return err
			}
		case accounts.Changed:
			n, sign := number128(f.Amount), 1
			if e.Name == "Burned" {
				sign = -1
			}
			if err := s.add(f.Who, n, sign); err != nil {
				return err
			}
			s.total.Add(s.total, n.Mul(n, big.NewInt(int64(sign))))
		case market.TicketCreated:
			s.tickets[f.ID] = &ticket{f.Account, new(big.Int)}
		case market.Settled:
			t := s.tickets[f.TicketID]
			if t == nil {
				return fmt.Errorf("ticket %d pays, and was never made", f.TicketID)
			}
			t.paidOut.Add(t.paidOut, number128(f.Payout))
			if in := s.paidIn[t.account]; in == nil || t.paidOut.Cmp(in) > 0 {
				return fmt.Errorf("ticket %d has paid %s, and %s was paid in", f.TicketID, t.paidOut, in)
			}
		}
	}
	return nil
}

// audit compares the book with the state.
func (s *shadow) audit(src state.Source) error {
	store := state.NewStore(src)
	sum, n := new(big.Int), 0
	var wrong error
	accounts.Each(store, func(who pallet.Account, i accounts.Info) bool {
		free := number128(i.Free)
		sum.Add(sum, free)
		if has := s.of[who]; free.Sign() > 0 && (has == nil || has.Cmp(free) != 0) {
			wrong = fmt.Errorf("%s has %s, and events say %s", who, free, has)
		}
		if free.Sign() > 0 {
			n++
		}
		return wrong == nil
	})
	for _, has := range s.of {
		if has.Sign() > 0 {
			n--
		}
	}
	switch total := number128(accounts.Total(store)); {
	case wrong != nil:
		return wrong
	case n != 0:
		return fmt.Errorf("%d accounts more have something than events say", n)
	case sum.Cmp(total) != 0 || sum.Cmp(s.total) != 0:
		return fmt.Errorf("all accounts have %s, the total is %s, and events say %s", sum, total, s.total)
	}
	return store.Err()
}

// TestConservation drives all pallets with random operations, 20,000 or TROUPE_LEDGER_OPS of them: nothing panics, no money comes or
// goes but by what says so, nobody pays more than was paid in, and a second ledger that executes the same blocks, and is made anew
// from its state now and then, has the same app hash after each.
func TestConservation(t *testing.T) {
	ops, seed := 20_000, uint64(1)
	if s := os.Getenv("TROUPE_LEDGER_OPS"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil {
			t.Fatal(err)
		}
		ops = n
	}
	if s := os.Getenv("TROUPE_LEDGER_SEED"); s != "" {
		n, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		seed = n
	}
	w := newCrowd(seed)
	root := account(w.root)
	g := Genesis{Name: "random", TimeMS: 1_700_000_000_000, Sudo: &root, Balances: map[pallet.Account]pallet.Balance{}, Pallets: told(standard())}
	for _, k := range w.actors {
		g.Balances[account(k)] = pallet.Units(1_000_000_000_000_000_000)
	}
	one, book := begin(t, g), newShadow()
	two := begin(t, g)
	w.genesis = one.Head().Genesis
	w.query = func(path, params string) (shown map[string]any) {
		if b, err := one.Query(path, json.RawMessage(params)); err == nil {
			_ = json.Unmarshal(b, &shown)
		}
		return shown
	}
	accounts.Each(state.NewStore(one.mem), func(who pallet.Account, i accounts.Info) bool {
		if err := book.add(who, number128(i.Free), 1); err != nil {
			t.Fatal(err)
		}
		book.total.Add(book.total, number128(i.Free))
		return true
	})
	d := &driver{w, one, map[pallet.Account]uint64{}, map[string]int{}, map[string]int{}, nil, map[string]bool{}}
	for done := 0; done < ops; {
		h := one.Head()
		w.time = h.Time + 12_000
		if w.odds(500) {
			w.time += 24 * 60 * 60 * 1000
		}
		b := machine.Block{Height: h.Height + 1, Time: w.time}
		d.names = d.names[:0]
		for range 1 + w.IntN(40) {
			b.Txs = append(b.Txs, d.tx())
		}
		done += len(b.Txs)
		res, err := one.FinalizeBlock(b)
		if err != nil {
			t.Fatalf("seed %d, block %d: %v", seed, b.Height, err)
		}
		one.commit(res)
		two.verified = one.verified
		again, err := two.FinalizeBlock(b)
		if err != nil {
			t.Fatal(err)
		}
		two.commit(again)
		if res.AppHash != again.AppHash {
			t.Fatalf("seed %d, block %d: two app hashes", seed, b.Height)
		}
		d.count(res)
		w.learn(res)
		if err := book.book(res); err != nil {
			t.Fatalf("seed %d, block %d: %v", seed, b.Height, err)
		}
		if b.Height%50 == 0 || done >= ops {
			if err := book.audit(one.mem); err != nil {
				t.Fatalf("seed %d, block %d: %v", seed, b.Height, err)
			}
			if two.Ledger, err = New(two.mem); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, c := range []*chain{one, two} {
		if h, err := VerifyState(c.mem); err != nil || h != one.Head() {
			t.Errorf("%v, %v", h, err)
		}
	}
	d.report(t)
	d.ask(t)
}

// ask puts questions of all kinds to all views: each has an answer, or a fault of who asks.
func (d *driver) ask(t *testing.T) {
	for _, p := range d.c.run.pallets {
		for _, v := range p.Views {
			path := p.Name + "/" + v.Name
			for range 30 {
				asked := map[string]any{}
				for range d.IntN(3) {
					name := pick(d.crowd, []string{"account", "worker", "id", "pid", "owner", "node_id", "miner_node_id", "request_id", "vm_name", "status", "list", "after", "limit"})
					asked[name] = d.recall(name)
					if d.odds(2) {
						asked[name] = pick(d.crowd, []any{d.IntN(10), -1, "x", d.text("node"), nil, []int{1}, true})
					}
				}
				params, err := json.Marshal(asked)
				if err != nil {
					t.Fatal(err)
				}
				params = pick(d.crowd, []json.RawMessage{params, params, params, nil, json.RawMessage(`null`), json.RawMessage(`[`), json.RawMessage(d.text("json"))})
				b, err := d.c.Query(path, params)
				if err != nil && !errors.Is(err, fault.Caller) {
					t.Errorf("%s %s: %v", path, params, err)
				}
				if err == nil && !json.Valid(b) {
					t.Errorf("%s %s: %s", path, params, b)
				}
			}
		}
	}
}

// driver signs what the crowd wants.
type driver struct {
	*crowd
	c      *chain
	nonces map[pallet.Account]uint64
	good   map[string]int
	bad    map[string]int
	names  []string        // of the block's transactions
	ruled  map[string]bool // calls that are for governance, as their refusals say
}

// never are calls that would end it all.
var never = []string{"Sudo.set_key"}

func (d *driver) tx() []byte {
	if d.odds(50) {
		d.names = append(d.names, "garbage")
		return d.noise(d.IntN(300))
	}
	var p *part
	for p == nil || len(p.Calls) == 0 {
		p = d.c.run.byName[pick(d.crowd, d.c.run.pallets).Name]
	}
	info := pick(d.crowd, p.Calls)
	if d.odds(5) {
		of, name, _ := strings.Cut(pick(d.crowd, often), ".")
		if known := d.c.run.byName[of]; known != nil && known.byName[name] != nil {
			p, info = known, *known.byName[name]
		}
	}
	name := p.Name + "." + info.Name
	if slices.Contains(never, name) || d.seldom(name, d.good[name]) {
		return d.tx()
	}
	call := info.New()
	signer := d.call(name, call)
	encoded := encodeCall(p.Index, info.Index, call)
	if d.ruled[name] && !d.odds(20) || d.odds(50) {
		encoded = encodeCall(60, 0, &governance.Sudo{Call: encoded})
		signer = d.root
	}
	d.names = append(d.names, name)
	who := account(signer)
	tx := &Tx{Scheme: Sr25519, Account: who, Nonce: d.nonces[who], Call: encoded}
	if d.odds(100) {
		tx.Nonce += d.Uint64N(3) - 1
	} else {
		d.nonces[who]++
	}
	if d.odds(100) {
		tx.ValidUntil = d.c.Head().Height + d.Uint64N(3)
	}
	sum := tx.Digest(d.genesis)
	if !d.odds(50) { // most are known to be signed, as if CheckTx had seen them: signing is not what is looked at here
		b := tx.Encode()
		d.c.verified.add(TxHash(b))
		return b
	}
	tx.Signature = signer.Sign(sum[:])
	if d.odds(3) {
		tx.Signature[d.IntN(64)] ^= 1
	}
	return tx.Encode()
}

func (d *driver) count(res *machine.Result) {
	for i, r := range res.Txs {
		switch {
		case r.Invalid != nil:
			d.bad[d.names[i]+": invalid"]++
			continue
		case r.Error != nil:
			d.bad[d.names[i]+": "+r.Error.Pallet+"."+r.Error.Name]++
			if r.Error.Pallet == "System" && r.Error.Name == "BadOrigin" {
				d.ruled[d.names[i]] = true
			}
		default:
			d.good[d.names[i]]++
		}
	}
	for who := range d.nonces {
		d.nonces[who] = d.c.info(who).Nonce
	}
	for _, e := range res.Events {
		d.good["event "+e.Pallet+"."+e.Name]++
		if within, ok := e.Fields.(governance.Sudid); ok && within.Result != nil { // it was the call in it that failed
			name := d.names[e.Tx]
			d.good[name]--
			why, _, _ := strings.Cut(*within.Result, ":")
			d.bad[name+": "+why]++
		}
	}
}

// report shows what happened at all. If much never did, the crowd has lost touch with the pallets.
func (d *driver) report(t *testing.T) {
	for _, name := range slices.Sorted(maps.Keys(d.good)) {
		t.Logf("%7d %s", d.good[name], name)
	}
	for _, name := range slices.Sorted(maps.Keys(d.bad)) {
		t.Logf("%7d failed %s", d.bad[name], name)
	}
	var silent []string
	for _, c := range d.c.run.Calls() {
		if name := c.Pallet + "." + c.Name; d.good[name] == 0 && !slices.Contains(never, name) {
			silent = append(silent, name)
		}
	}
	if calls := len(d.c.run.Calls()); len(silent) > calls/3 {
		t.Errorf("%d of %d calls never succeeded: %s", len(silent), calls, strings.Join(silent, " "))
	}
}
