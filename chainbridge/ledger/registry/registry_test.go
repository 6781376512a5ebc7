package registry

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/troupehost/troupe/actors/meter"
	"github.com/troupehost/troupe/artifacts/scale"
	"github.com/troupehost/troupe/chainbridge/ledger/pallet"
	"github.com/troupehost/troupe/chainbridge/ledger/state"
)

// empty is a committed state without anything.
type empty struct{}

func (empty) Get([]byte) ([]byte, error)                              { return nil, nil }
func (empty) Scan([]byte, []byte, func(key, value []byte) bool) error { return nil }

// start is the time at which the tests begin, in milliseconds.
const start = 1_700_000_000_000

func key(b byte) *meter.Key { return meter.KeyFromSeed([meter.SeedBytes]byte{b}) }

var (
	worker  = key(1)
	rootKey = key(2)
	genesis = pallet.Hash{9}
)

// chain is a Context with the pallet's genesis.
func chain(t testing.TB, g *Genesis) *pallet.Context {
	t.Helper()
	var config json.RawMessage
	if g != nil {
		config, _ = json.Marshal(g)
	}
	c := &pallet.Context{Store: state.NewStore(empty{}), Height: 1, Time: start, Genesis: genesis, Events: new([]pallet.Event)}
	if err := Pallet().Genesis(c, config); err != nil {
		t.Fatal(err)
	}
	return c
}

func rooted() *Genesis {
	k := pallet.Account(rootKey.Public())
	return &Genesis{Root: &k, MaxAge: 60_000}
}

func signed(c *pallet.Context, k *meter.Key) *pallet.Context {
	return c.As(pallet.Origin{Kind: pallet.Signed, Account: k.Public()})
}

// call runs a call by its name as the ledger does: encoded, decoded, undone if it fails.
func call(t testing.TB, c *pallet.Context, name string, args any) error {
	t.Helper()
	for _, i := range Pallet().Calls {
		if i.Name != name {
			continue
		}
		run, mark, events := i.New(), c.Mark(), len(*c.Events)
		if err := scale.Unmarshal(scale.Marshal(args), run); err != nil {
			return err
		}
		err := run.Run(c)
		if err != nil {
			c.Revert(mark)
			*c.Events = (*c.Events)[:events]
		}
		return err
	}
	t.Fatalf("no call %s", name)
	return nil
}

func wants(t testing.TB, err error, name string) {
	t.Helper()
	if name == "" && err != nil || name != "" && !errors.Is(err, fail(name, "")) {
		t.Errorf("got %v, want %q", err, name)
	}
}

func registration(k *meter.Key) meter.Registration {
	return meter.NewRegistration(k.Public(), genesis, nil, 0)
}

func register(r meter.Registration, a *Attestation) RegisterWorkerV2 {
	return RegisterWorkerV2{Registration: r.Encode(), Attestation: a}
}

func rootReport(k *meter.Key, r meter.Registration, level uint8, issued uint64) *Attestation {
	return &Attestation{ProviderTestRoot, IssueReport(k, r, level, issued)}
}

func TestRegisterWithoutReport(t *testing.T) {
	c := chain(t, nil)
	r := registration(worker)
	wants(t, call(t, signed(c, key(7)), "register_worker_v2", register(r, nil)), "InvalidSignature")
	wants(t, call(t, signed(c, worker), "register_worker_v2", register(r, nil)), "")
	got, ok := Worker(c.Store, worker.Public())
	if !ok || got.Provider != ProviderNone || got.ConfidenceLevel != Unattested || got.AttestedAt != 0 {
		t.Errorf("registered as %+v", got)
	}
	wants(t, call(t, signed(chain(t, &Genesis{Require: true}), worker), "register_worker_v2", register(r, nil)), "NoneAttestationDisabled")
}

func TestAttestation(t *testing.T) {
	r := registration(worker)
	operator := [32]byte{5}
	other := meter.NewRegistration(worker.Public(), genesis, &operator, 0)
	elsewhere := r
	elsewhere.Genesis = [32]byte{1}
	flipped := rootReport(rootKey, r, 1, start)
	flipped.Report[70] ^= 1
	cut := rootReport(rootKey, r, 1, start)
	cut.Report = cut.Report[:len(cut.Report)-1]
	for _, tc := range []struct {
		name string
		r    meter.Registration
		a    *Attestation
		want string
	}{
		{"good", r, rootReport(rootKey, r, 3, start), ""},
		{"signed by another key", r, rootReport(key(3), r, 1, start), "InvalidReport"},
		{"for another worker", r, rootReport(rootKey, registration(key(4)), 1, start), "InvalidReport"},
		{"for another chain", r, rootReport(rootKey, elsewhere, 1, start), "InvalidReport"},
		{"registration for another chain", elsewhere, rootReport(rootKey, elsewhere, 1, start), "GenesisBlockHashRejected"},
		{"for another operator", r, rootReport(rootKey, other, 1, start), "InvalidReport"},
		{"a bit flipped", r, flipped, "InvalidReport"},
		{"cut", r, cut, "InvalidReport"},
		{"empty", r, &Attestation{ProviderTestRoot, nil}, "InvalidReport"},
		{"level 0", r, rootReport(rootKey, r, 0, start), "InvalidReport"},
		{"level 6", r, rootReport(rootKey, r, 6, start), "InvalidReport"},
		{"level of none", r, rootReport(rootKey, r, Unattested, start), "InvalidReport"},
		{"almost stale", r, rootReport(rootKey, r, 1, start-59_999), ""},
		{"stale", r, rootReport(rootKey, r, 1, start-60_000), "OutdatedIASReport"},
		{"of the future", r, rootReport(rootKey, r, 1, start+maxAhead), "InvalidReport"},
		{"unknown provider", r, &Attestation{"magic", nil}, "UnknownProvider"},
		{"a report of no provider", r, &Attestation{ProviderNone, []byte{1}}, "InvalidReport"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := chain(t, rooted())
			// Anybody may bring a report: it names its worker.
			wants(t, call(t, signed(c, key(8)), "register_worker_v2", register(tc.r, tc.a)), tc.want)
			if _, ok := Worker(c.Store, worker.Public()); ok != (tc.want == "") {
				t.Errorf("registered: %t", ok)
			}
		})
	}
	t.Run("no root", func(t *testing.T) {
		wants(t, call(t, signed(chain(t, nil), key(8)), "register_worker_v2", register(r, rootReport(rootKey, r, 1, start))), "InvalidReport")
	})
}

func TestAttestationRefresh(t *testing.T) {
	c := chain(t, rooted())
	r := registration(worker)
	first := register(r, rootReport(rootKey, r, 3, start))
	wants(t, call(t, signed(c, key(8)), "register_worker_v2", first), "")
	if err := SetInitialScore(c, worker.Public(), 77); err != nil {
		t.Fatal(err)
	}
	wants(t, call(t, signed(c, key(8)), "register_worker_v2", first), "OutdatedIASReport")
	c.Time += 1000
	wants(t, call(t, signed(c, key(8)), "register_worker_v2", register(r, rootReport(rootKey, r, 1, c.Time))), "")
	got, _ := Worker(c.Store, worker.Public())
	score, ok := InitialScore(c.Store, worker.Public())
	if got.ConfidenceLevel != 1 || got.AttestedAt != c.Time || got.LastUpdated != c.Time || score != 77 || !ok {
		t.Errorf("refreshed to %+v, score %d", got, score)
	}
	// A worker that falls back to none cannot come back with an old report.
	wants(t, call(t, signed(c, worker), "register_worker_v2", register(r, nil)), "")
	wants(t, call(t, signed(c, key(8)), "register_worker_v2", first), "OutdatedIASReport")
	var names []string
	for _, e := range *c.Events {
		names = append(names, e.Name)
	}
	if diff := cmp.Diff([]string{"WorkerAdded", "InitialScoreSet", "WorkerUpdated", "WorkerUpdated"}, names); diff != "" {
		t.Error(diff)
	}
}

func TestRegistryRoot(t *testing.T) {
	c := chain(t, nil)
	k := pallet.Account(rootKey.Public())
	r := registration(worker)
	if err := call(t, signed(c, worker), "set_root", SetRoot{&k}); !errors.Is(err, pallet.BadOrigin) {
		t.Errorf("an account set the root: %v", err)
	}
	governance := c.As(pallet.Origin{Kind: pallet.Root})
	wants(t, call(t, governance, "set_root", SetRoot{&k}), "")
	wants(t, call(t, signed(c, worker), "register_worker_v2", register(r, rootReport(rootKey, r, 2, start))), "")
	wants(t, call(t, governance, "set_root", SetRoot{nil}), "")
	wants(t, call(t, signed(c, worker), "register_worker_v2", register(r, rootReport(rootKey, r, 2, start+1))), "InvalidReport")
	operator := pallet.Account{4}
	force := ForceRegisterWorker{Pubkey: pallet.Account{3}, EcdhPubkey: pallet.Account{3}, Operator: &operator}
	if err := call(t, signed(c, worker), "force_register_worker", force); !errors.Is(err, pallet.BadOrigin) {
		t.Errorf("an account registered by force: %v", err)
	}
	wants(t, call(t, governance, "force_register_worker", force), "")
	if got, _ := Worker(c.Store, pallet.Account{3}); got.Operator == nil || *got.Operator != operator || got.ConfidenceLevel != Unattested {
		t.Errorf("registered as %+v", got)
	}
	wants(t, SetInitialScore(c, pallet.Account{44}, 1), "WorkerNotFound")
}

func TestEndpoints(t *testing.T) {
	c := chain(t, nil)
	wants(t, call(t, signed(c, worker), "register_worker_v2", register(registration(worker), nil)), "")
	send := func(k *meter.Key, at uint64, change func(*UpdateWorkerEndpoint)) error {
		payload, sig, err := meter.SignEndpoints(k, []string{"https://a.example"}, time.UnixMilli(int64(at)))
		if err != nil {
			t.Fatal(err)
		}
		u := UpdateWorkerEndpoint{payload, sig[:]}
		if change != nil {
			change(&u)
		}
		return call(t, signed(c, key(8)), "update_worker_endpoint", u)
	}
	for _, tc := range []struct {
		name   string
		key    *meter.Key
		at     uint64
		change func(*UpdateWorkerEndpoint)
		want   string
	}{
		{"of the future", worker, start + maxAhead, nil, "InvalidEndpointSigningTime"},
		{"good", worker, start, nil, ""},
		{"replayed", worker, start, nil, "InvalidEndpointSigningTime"},
		{"older", worker, start - 1, nil, "InvalidEndpointSigningTime"},
		{"newer", worker, start + 1, nil, ""},
		{"of nobody", key(5), start + 2, nil, "WorkerNotFound"},
		{"a short signature", worker, start + 2, func(u *UpdateWorkerEndpoint) { u.Signature = u.Signature[:63] }, "InvalidSignatureLength"},
		{"a changed payload", worker, start + 2, func(u *UpdateWorkerEndpoint) { u.EndpointPayload[40] ^= 1 }, "InvalidSignature"},
		{"a cut payload", worker, start + 2, func(u *UpdateWorkerEndpoint) { u.EndpointPayload = u.EndpointPayload[:9] }, "InvalidInput"},
	} {
		t.Run(tc.name, func(t *testing.T) { wants(t, send(tc.key, tc.at, tc.change), tc.want) })
	}
	got, err := viewWorker(c, json.RawMessage(`{"worker":"`+pallet.Account(worker.Public()).String()+`"}`))
	if err != nil {
		t.Fatal(err)
	}
	text, _ := json.Marshal(got)
	for _, want := range []string{`"endpoints":["https://a.example"]`, `"attestation_provider":"none"`, `"confidence_level":128`} {
		if !strings.Contains(string(text), want) {
			t.Errorf("%s is not in %s", want, text)
		}
	}
}

func TestWorkerPages(t *testing.T) {
	c := chain(t, nil)
	governance := c.As(pallet.Origin{Kind: pallet.Root})
	for i := range byte(25) {
		wants(t, call(t, governance, "force_register_worker", ForceRegisterWorker{Pubkey: pallet.Account{i + 1}}), "")
	}
	seen, after := map[string]bool{}, "null"
	for range 3 {
		v, err := viewWorkers(c, json.RawMessage(`{"limit":10,"after":`+after+`}`))
		if err != nil {
			t.Fatal(err)
		}
		text, _ := json.Marshal(v)
		var page struct {
			Items []struct{ Pubkey string }
			Next  *string
		}
		if err := json.Unmarshal(text, &page); err != nil {
			t.Fatal(err)
		}
		for _, w := range page.Items {
			seen[w.Pubkey] = true
		}
		if after = "null"; page.Next != nil {
			after = `"` + *page.Next + `"`
		}
	}
	if len(seen) != 25 || after != "null" {
		t.Errorf("saw %d of 25 workers, then %s", len(seen), after)
	}
}

func FuzzRegister(f *testing.F) {
	r := registration(worker)
	f.Add(r.Encode(), IssueReport(rootKey, r, 3, start), true)
	f.Add(r.Encode(), []byte(nil), false)
	f.Fuzz(func(t *testing.T, reg, report []byte, rooting bool) {
		c := chain(t, rooted())
		provider := ProviderNone
		if rooting {
			provider = ProviderTestRoot
		}
		run := &RegisterWorkerV2{Registration: reg, Attestation: &Attestation{provider, report}, verifiers: map[string]Verifier{ProviderNone: none{}, ProviderTestRoot: testRoot{}}}
		err := run.Run(signed(c, worker))
		var named *pallet.Error
		if err != nil && !errors.As(err, &named) {
			t.Fatal(err)
		}
		if w, ok := Worker(c.Store, worker.Public()); ok && err == nil && rooting && w.ConfidenceLevel != 3 {
			t.Fatalf("a report that nobody signed: %+v", w)
		}
	})
}

func FuzzUpdateWorkerEndpoint(f *testing.F) {
	payload, sig, _ := meter.SignEndpoints(worker, []string{"https://a.example"}, time.UnixMilli(start))
	f.Add(payload, sig[:])
	f.Fuzz(func(t *testing.T, payload, sig []byte) {
		err := (&UpdateWorkerEndpoint{payload, sig}).Run(signed(chain(t, nil), key(8)))
		var named *pallet.Error
		if !errors.As(err, &named) {
			t.Fatal(err)
		}
	})
}
