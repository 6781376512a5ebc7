package market

import (
	"encoding/json"
	"errors"
	"reflect"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/troupehost/troupe/actors/meter"
	"github.com/troupehost/troupe/artifacts/scale"
	"github.com/troupehost/troupe/chainbridge/ledger/accounts"
	"github.com/troupehost/troupe/chainbridge/ledger/pallet"
	"github.com/troupehost/troupe/chainbridge/ledger/registry"
	"github.com/troupehost/troupe/chainbridge/ledger/state"
)

const (
	start   = 1_700_000_000_000 // milliseconds
	blockMS = 6000
	closing = 5 // blocks
)

// world is a chain of nothing but accounts, workers and the market.
type world struct {
	t testing.TB
	*pallet.Context
	mem   *state.Memory
	p     pallet.Pallet
	beats []uint64 // iterations of the heartbeats
	beat  Beat
	sn    map[pallet.Account]uint64
}

func newWorld(t testing.TB) *world {
	w := &world{t: t, mem: state.NewMemory(), sn: map[pallet.Account]uint64{}, beat: Beat{Answered: true, SessionID: 4, PInstant: 300}}
	w.p = Pallet(Deps{Heartbeat: func(_ *pallet.Context, _ pallet.Account, iterations, _ uint64) (Beat, error) {
		w.beats = append(w.beats, iterations)
		return w.beat, nil
	}})
	w.Context = &pallet.Context{Store: state.NewStore(w.mem), Height: 1, Time: start, Genesis: pallet.Hash{9}, Events: new([]pallet.Event)}
	w.ok(w.p.Genesis(w.Context, json.RawMessage(`{"closing_window":5}`)))
	w.ok(registry.Pallet().Genesis(w.Context, nil))
	return w
}

func key(b byte) *meter.Key { return meter.KeyFromSeed([meter.SeedBytes]byte{b}) }

func id(k *meter.Key) pallet.Account { return k.Public() }

var root = pallet.Origin{Kind: pallet.Root}

func by(a pallet.Account) pallet.Origin { return pallet.Origin{Kind: pallet.Signed, Account: a} }

var (
	owner     = pallet.Account{'o'}
	stranger  = pallet.Account{'s'}
	recipient = pallet.Account{'r'}
	appA      = pallet.Hash{'a'}
	appB      = pallet.Hash{'b'}
)

func (w *world) ok(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// do runs a call as the ledger does: encoded, decoded, undone if it fails.
func (w *world) do(o pallet.Origin, call pallet.Call) error {
	for _, i := range w.p.Calls {
		run := i.New()
		if reflect.TypeOf(run) != reflect.TypeOf(call) {
			continue
		}
		mark, events := w.Mark(), len(*w.Events)
		w.ok(scale.Unmarshal(scale.Marshal(call), run))
		err := run.Run(w.As(o))
		if err != nil {
			w.Revert(mark)
			*w.Events = (*w.Events)[:events]
		}
		return err
	}
	w.t.Fatalf("no such call: %T", call)
	return nil
}

func (w *world) must(o pallet.Origin, call pallet.Call) {
	w.t.Helper()
	w.ok(w.do(o, call))
}

// wants checks that a call fails by a name, and changes nothing.
func (w *world) wants(name string, o pallet.Origin, call pallet.Call) {
	w.t.Helper()
	before := len(w.Changes())
	hash := w.hash()
	if err := w.do(o, call); !errors.Is(err, fail(name, "")) {
		w.t.Errorf("got %v, want %s", err, name)
	}
	if len(w.Changes()) != before || w.hash() != hash {
		w.t.Error("a failed call changed the state")
	}
}

func (w *world) hash() string {
	var all []byte
	for _, c := range w.Changes() {
		all = append(append(append(all, c.Key...), '='), c.New...)
	}
	return string(all)
}

// mine ends the block, commits it, and begins the one n above it.
func (w *world) mine(n uint64) {
	w.t.Helper()
	for range n {
		w.ok(w.p.End(w.Context))
		w.ok(w.Err())
		w.mem.Apply(w.Changes())
		w.Store = state.NewStore(w.mem)
		w.Height++
		w.Time += blockMS
	}
}

// took returns the events since the last time, of the pallet only.
func (w *world) took() (names []string, events []pallet.Event) {
	for _, e := range *w.Events {
		if e.Pallet == name {
			names, events = append(names, e.Name), append(events, e)
		}
	}
	*w.Events = nil
	return names, events
}

// saw checks which events there were since the last time.
func (w *world) saw(want ...string) []pallet.Event {
	w.t.Helper()
	names, events := w.took()
	if diff := cmp.Diff(want, names); diff != "" {
		w.t.Errorf("events (-want +got):\n%s", diff)
	}
	return events
}

func (w *world) fund(a pallet.Account, n uint64) {
	w.t.Helper()
	w.ok(accounts.Mint(w.Context, a, pallet.Units(n)))
}

func (w *world) free(a pallet.Account) uint64 { return accounts.Free(w.Store, a).Lo }

func (w *world) balance(ticket uint64) uint64 { return w.free(TicketAccount(ticket)) }

func price(n uint64) *pallet.Balance { b := pallet.Units(n); return &b }

// worker registers a worker, describes it and opens its session.
func (w *world) worker(k *meter.Key, p Prices) {
	w.t.Helper()
	w.ok(registerWorker(w.Context, k))
	w.must(by(id(k)), describe(w.t, k, p, "a worker"))
	w.session(k, id(k), nil)
}

func registerWorker(c *pallet.Context, k *meter.Key) error {
	return (&registry.ForceRegisterWorker{Pubkey: id(k), EcdhPubkey: id(k)}).Run(c.As(root))
}

func describe(t testing.TB, k *meter.Key, p Prices, text string) *WorkerDescriptionSet {
	t.Helper()
	b, err := meter.SignDescription(k, meter.Description{Prices: meter.Prices(p), Text: text})
	if err != nil {
		t.Fatal(err)
	}
	return &WorkerDescriptionSet{b}
}

// session opens a session with the last nonce of the chain. Its nonce is that of the count.
func (w *world) session(k *meter.Key, to pallet.Account, last []byte) {
	w.t.Helper()
	nonce := pallet.Hash{byte(w.Height), byte(w.Height >> 8), 7}
	w.must(by(stranger), openSession(w.t, k, nonce, last, to[:]))
	w.sn[id(k)] = 0
}

func openSession(t testing.TB, k *meter.Key, nonce pallet.Hash, last, to []byte) *WorkerSessionUpdate {
	t.Helper()
	b, err := meter.SignSessionUpdate(k, meter.SessionUpdate{Session: meter.SessionID(nonce, last), Nonce: nonce, Recipient: to})
	if err != nil {
		t.Fatal(err)
	}
	return &WorkerSessionUpdate{b}
}

// list makes a list of the owner, to which workers consent.
func (w *world) list(p Prices, workers ...*meter.Key) uint64 {
	w.t.Helper()
	var ids []pallet.Account
	for _, k := range workers {
		ids = append(ids, id(k))
	}
	n, _ := nextList.Get(w.Store)
	w.must(by(owner), &WorkerListCreate{"a list", p, ids})
	for _, k := range workers {
		invitation, _ := invitations.Get(w.Store, n, id(k))
		w.must(by(id(k)), &WorkerListConsent{List: n, Worker: id(k), Invitation: invitation})
	}
	return n
}

func (w *world) ticket(list uint64, address pallet.Hash, deposit uint64, p Prices) uint64 {
	w.t.Helper()
	n, _ := nextTicket.Get(w.Store)
	w.must(by(owner), &TicketCreate{pallet.Units(deposit), address, "QmA", list, p})
	return n
}

// token returns the next token of a worker's session.
func (w *world) token(k *meter.Key) meter.Token {
	in, _ := sessions.Get(w.Store, id(k))
	w.sn[id(k)]++
	return meter.Token{SN: w.sn[id(k)], Session: in.SessionID, Nonce: [32]byte{byte(w.sn[id(k)]), 1}}
}

func signReport(t testing.TB, k *meter.Key, token meter.Token, apps []meter.Metrics, claims ...Claim) *TicketSettle {
	t.Helper()
	b, err := meter.SignReport(k, token, apps)
	if err != nil {
		t.Fatal(err)
	}
	return &TicketSettle{b, claims}
}

// report settles metrics of one app.
func (w *world) report(k *meter.Key, m meter.Metrics, tickets ...uint64) {
	w.t.Helper()
	w.must(by(stranger), signReport(w.t, k, w.token(k), []meter.Metrics{m}, Claim{m.Address, tickets}))
}

// tips are metrics of which only the tip counts, if that is what has a price.
func tips(address pallet.Hash, session byte, tip uint64) meter.Metrics {
	return meter.Metrics{Address: address, Session: [32]byte{session}, Tip: tip, Starts: 1}
}

func (w *world) row(ticket uint64, k *meter.Key) Settlement {
	s, _ := settlements.Get(w.Store, ticket, id(k))
	return s
}

// view asks for a view, and reads the answer into out.
func (w *world) view(name, params string, out any) {
	w.t.Helper()
	for _, v := range w.p.Views {
		if v.Name == name {
			got, err := v.Run(w.Context, json.RawMessage(params))
			w.ok(err)
			text, err := json.Marshal(got)
			w.ok(err)
			w.ok(json.Unmarshal(text, out))
			return
		}
	}
	w.t.Fatalf("no view %s", name)
}
