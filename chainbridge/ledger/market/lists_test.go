package market

import (
	"encoding/hex"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/troupehost/troupe/actors/meter"
	"github.com/troupehost/troupe/chainbridge/ledger/accounts"
	"github.com/troupehost/troupe/chainbridge/ledger/pallet"
)

func TestW51WorkerDescription(t *testing.T) {
	w := newWorld(t)
	k := key(1)
	w.fund(owner, 10_000)
	first := describe(t, k, Prices{Tip: price(1)}, "one")
	w.wants("InvalidWorkerPubkey", by(id(k)), first)
	w.ok(registerWorker(w.Context, k))
	w.must(by(stranger), first) // anybody brings the first one
	w.saw("WorkerDescriptionSet")
	w.session(k, id(k), nil)
	list := w.list(Prices{Tip: price(1)}, k)
	old := w.ticket(list, appA, 1000, Prices{})
	w.took()

	second := describe(t, k, Prices{Tip: price(9)}, "two")
	w.wants("NotAllowed", by(stranger), second)
	w.must(by(id(k)), second)
	events := w.saw("WorkerDescriptionSet", "WorkerPricesChanged")
	if diff := cmp.Diff(any(WorkerPricesChanged{id(k), Prices{Tip: price(1)}, Prices{Tip: price(9)}}), events[1].Fields); diff != "" {
		t.Error(diff)
	}
	w.wants("NotAllowed", by(stranger), first) // an old message does not bring old prices back
	w.must(by(id(k)), describe(t, k, Prices{Tip: price(9)}, "three"))
	w.saw("WorkerDescriptionSet") // no other price, no notice

	w.report(k, tips(appA, 1, 10), old)
	if w.free(id(k)) != 10 {
		t.Errorf("an old ticket paid %d at the new price", w.free(id(k)))
	}
	w.wants("PriceMismatch", by(owner), &WorkerListCreate{"", Prices{Tip: price(1)}, []pallet.Account{id(k)}})
	w.must(by(owner), &WorkerListCreate{"", Prices{Tip: price(9)}, []pallet.Account{id(k)}})

	flipped := describe(t, k, Prices{}, "text")
	flipped.Signed[10] ^= 1
	w.wants("SignatureVerificationFailed", by(id(k)), flipped)
	w.wants("InvalidParameter", by(id(k)), &WorkerDescriptionSet{flipped.Signed[:8]})
	if err := w.do(root, first); !errors.Is(err, pallet.BadOrigin) {
		t.Errorf("root described a worker: %v", err)
	}
}

func TestW52ListMembership(t *testing.T) {
	w := newWorld(t)
	prices := Prices{Gas: price(2), Tip: price(1)}
	silent, none, same, other, part := key(1), key(2), key(3), key(4), key(5)
	w.ok(registerWorker(w.Context, silent))
	w.worker(none, Prices{})
	w.worker(same, Prices{Gas: price(2), Tip: price(1)})
	w.worker(other, Prices{Gas: price(2), Tip: price(2)})
	w.worker(part, Prices{Gas: price(2)})
	n := w.list(prices)
	for _, tc := range []struct {
		name string
		k    *meter.Key
		want string
	}{
		{"without a description", silent, "WorkerNotFound"},
		{"unknown", key(9), "WorkerNotFound"},
		{"of no price", none, ""},
		{"of the same prices", same, ""},
		{"of another price", other, "PriceMismatch"},
		{"of fewer prices", part, "PriceMismatch"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w.t = t
			call := &WorkerListAddWorkers{n, []pallet.Account{id(tc.k)}}
			w.wants("NotAllowed", by(stranger), call)
			if tc.want != "" {
				w.wants(tc.want, by(owner), call)
				return
			}
			w.must(by(owner), call)
		})
	}
	w.wants("WorkerListNotFound", by(owner), &WorkerListAddWorkers{7, nil})
	w.wants("WorkerNotFound", by(owner), &WorkerListCreate{"", Prices{}, []pallet.Account{id(silent)}})
	// A worker whose prices changed between invitation and consent.
	w.must(by(id(same)), describe(t, same, Prices{Gas: price(3)}, ""))
	invitation, _ := invitations.Get(w.Store, n, id(same))
	w.wants("PriceMismatch", by(id(same)), &WorkerListConsent{List: n, Worker: id(same), Invitation: invitation})
}

func TestW53Consent(t *testing.T) {
	w, k, _ := market1(t)
	prices := Prices{Tip: price(1)}
	w.must(by(owner), &WorkerListCreate{"", prices, nil})
	n := uint64(1)
	ticket := w.ticket(n, appA, 1000, Prices{})
	consent := func(invitation uint64, sign *meter.Key) *WorkerListConsent {
		c := &WorkerListConsent{List: n, Worker: id(k), Invitation: invitation}
		if sign != nil {
			sig := sign.Sign(ConsentMessage(w.Genesis, n, id(k), invitation))
			b := pallet.Bytes(sig[:])
			c.Signature = &b
		}
		return c
	}
	w.wants("NotAllowed", by(id(k)), consent(0, nil)) // before anybody asked
	w.took()
	w.must(by(owner), &WorkerListAddWorkers{n, []pallet.Account{id(k), id(k)}})
	invitation, _ := invitations.Get(w.Store, n, id(k))
	want := WorkersInvited{n, []pallet.Account{id(k)}, []uint64{invitation}}
	if diff := cmp.Diff(any(want), w.saw("WorkersInvited")[0].Fields); diff != "" {
		t.Error(diff)
	}
	var shown struct{ Invitation uint64 }
	if w.view("invitation", `{"list":1,"worker":"`+id(k).String()+`"}`, &shown); shown.Invitation != invitation {
		t.Errorf("shown %d", shown.Invitation)
	}
	var open struct{ Items []invitationView }
	w.view("invitations", `{"worker":"`+id(k).String()+`"}`, &open)
	if diff := cmp.Diff([]invitationView{{n, invitation}}, open.Items); diff != "" {
		t.Error(diff)
	}
	// To be invited is not to belong.
	w.report(k, tips(appA, 1, 10), ticket)
	w.saw("ClaimIgnored")

	elsewhere := k.Sign(ConsentMessage(pallet.Hash{1}, n, id(k), invitation))
	foreign := consent(invitation, nil)
	foreign.Signature = (*pallet.Bytes)(ptr(elsewhere[:]))
	w.wants("InvalidMessageSender", by(owner), consent(invitation, nil))
	w.wants("SignatureVerificationFailed", by(owner), consent(invitation, key(2)))
	w.wants("SignatureVerificationFailed", by(owner), foreign)
	w.wants("OutdatedMessage", by(id(k)), consent(invitation+1, nil))
	signed := consent(invitation, k)
	w.must(by(owner), signed) // anybody brings a signature
	w.saw("WorkersAddedToList")
	if w.view("invitations", `{"worker":"`+id(k).String()+`"}`, &open); len(open.Items) != 0 {
		t.Errorf("still invited: %v", open.Items)
	}
	w.must(by(owner), &WorkerListAddWorkers{n, []pallet.Account{id(k)}}) // nothing to do
	w.saw()
	w.wants("NotAllowed", by(owner), signed)
	w.report(k, tips(appA, 1, 30), ticket)
	w.report(k, tips(appA, 1, 40), ticket)
	if w.free(id(k)) != 30 { // not for what it did before it belonged
		t.Errorf("paid %d", w.free(id(k)))
	}

	// Out, and the old consent does not bring it in again.
	w.must(by(owner), &WorkerListRemoveWorker{n, id(k)})
	w.must(by(owner), &WorkerListAddWorkers{n, []pallet.Account{id(k)}})
	w.wants("OutdatedMessage", by(owner), signed)
	if isMember(w.Store, n, id(k)) {
		t.Error("an old consent made it belong")
	}
}

func ptr[T any](v T) *T { return &v }

func TestOwnWorkerNeedsNoConsent(t *testing.T) {
	w := newWorld(t)
	k := key(1)
	w.worker(k, Prices{})
	w.took()
	w.must(by(id(k)), &WorkerListCreate{"", Prices{}, []pallet.Account{id(k)}})
	w.saw("WorkerListCreated", "WorkersAddedToList")
}

func TestListRemoveWorker(t *testing.T) {
	w, k, list := market1(t)
	n := w.ticket(list, appA, 1000, Prices{})
	w.wants("NotAllowed", by(stranger), &WorkerListRemoveWorker{list, id(k)})
	w.wants("WorkerListNotFound", by(owner), &WorkerListRemoveWorker{9, id(k)})
	w.wants("WorkerNotFound", by(owner), &WorkerListRemoveWorker{list, stranger})
	w.took()
	w.must(by(owner), &WorkerListRemoveWorker{list, id(k)})
	if got := w.saw("WorkerRemovedFromList")[0].Fields; got != (WorkerRemovedFromList{list, id(k), w.Height + closing}) {
		t.Errorf("%+v", got)
	}
	w.wants("WorkerNotFound", by(owner), &WorkerListRemoveWorker{list, id(k)})
	var shown workerView
	if w.view("worker", `{"worker":"`+id(k).String()+`"}`, &shown); len(shown.Lists) != 0 {
		t.Errorf("it shows lists %v", shown.Lists)
	}
	w.mine(closing)
	w.report(k, tips(appA, 1, 10), n) // what it has done so far is paid
	w.mine(1)
	w.report(k, tips(appA, 1, 20), n)
	if w.free(id(k)) != 10 {
		t.Errorf("paid %d", w.free(id(k)))
	}
	if _, ok := members.Get(w.Store, list, id(k)); ok {
		t.Error("the membership is still there")
	}
	// A worker declines an invitation, and leaves by itself.
	w.must(by(owner), &WorkerListAddWorkers{list, []pallet.Account{id(k)}})
	w.must(by(id(k)), &WorkerListRemoveWorker{list, id(k)})
	if _, open := invitations.Get(w.Store, list, id(k)); open {
		t.Error("the invitation is still there")
	}
	// Removed, and back before the window is over: the end of the window must not remove it.
	w.must(by(owner), &WorkerListAddWorkers{list, []pallet.Account{id(k)}})
	join := func() {
		invitation, _ := invitations.Get(w.Store, list, id(k))
		w.must(by(id(k)), &WorkerListConsent{List: list, Worker: id(k), Invitation: invitation})
	}
	join()
	w.must(by(id(k)), &WorkerListRemoveWorker{list, id(k)})
	w.must(by(owner), &WorkerListAddWorkers{list, []pallet.Account{id(k)}})
	join()
	w.mine(closing + 1)
	if !isMember(w.Store, list, id(k)) {
		t.Error("it was removed after it came back")
	}
}

func TestListsOfWorkerAreBounded(t *testing.T) {
	w := newWorld(t)
	k := key(1)
	w.worker(k, Prices{})
	for range MaxListsPerWorker {
		w.list(Prices{}, k)
	}
	n := w.list(Prices{})
	w.must(by(owner), &WorkerListAddWorkers{n, []pallet.Account{id(k)}})
	invitation, _ := invitations.Get(w.Store, n, id(k))
	w.wants("InvalidParameter", by(id(k)), &WorkerListConsent{List: n, Worker: id(k), Invitation: invitation})
}

func TestWorkerSession(t *testing.T) {
	w := newWorld(t)
	k := key(1)
	w.wants("InvalidWorkerPubkey", by(stranger), openSession(t, k, pallet.Hash{1}, nil, recipient[:]))
	w.ok(registerWorker(w.Context, k))
	w.wants("InvalidRewardReceiver", by(stranger), openSession(t, k, pallet.Hash{1}, nil, recipient[:31]))
	w.wants("InvalidRewardReceiver", by(stranger), openSession(t, k, pallet.Hash{1}, nil, nil))
	first := openSession(t, k, pallet.Hash{1}, []byte{1, 2, 3}, recipient[:]) // of the first one the nonce before is not known
	w.must(by(stranger), first)
	w.saw("WorkerSessionUpdated")
	w.wants("OutdatedMessage", by(stranger), first)
	w.wants("OutdatedMessage", by(stranger), openSession(t, k, pallet.Hash{2}, nil, recipient[:]))
	last := pallet.Hash{1}
	flipped := openSession(t, k, pallet.Hash{2}, last[:], recipient[:])
	flipped.Signed[40] ^= 1
	w.wants("SignatureVerificationFailed", by(stranger), flipped)

	// A report is the nonce that counts from then on, a score is not.
	w.must(by(stranger), signReport(t, k, w.token(k), nil))
	w.wants("OutdatedMessage", by(stranger), openSession(t, k, pallet.Hash{2}, last[:], recipient[:]))
	in, _ := sessions.Get(w.Store, id(k))
	w.must(by(stranger), openSession(t, k, pallet.Hash{2}, in.LastNonce[:], owner[:]))
	want := Session{SessionID: meter.SessionID(pallet.Hash{2}, in.LastNonce[:]), LastNonce: pallet.Hash{2}, Recipient: owner}
	got, _ := sessions.Get(w.Store, id(k))
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestSessionVectors(t *testing.T) {
	var cnonce [32]byte
	pnonce := make([]byte, 32)
	for i := range cnonce {
		cnonce[i], pnonce[i] = 2, 1
	}
	for _, tc := range []struct {
		pnonce []byte
		want   string
	}{
		{nil, "d9818087de7244abc1b5fcf28e55e42c7ff9c678c0605181f37ac5d7414a7b95"},
		{pnonce, "abec1d2f9c43a6c16dd2de57c89d8b412563a515ef6566e731b0c5ee4cb62aba"},
	} {
		if got := meter.SessionID(cnonce, tc.pnonce); hex.EncodeToString(got[:]) != tc.want {
			t.Errorf("%x", got)
		}
	}
}

func TestW54TicketCreate(t *testing.T) {
	for n, want := range map[uint64]string{
		0:  "85af434dbf74f52ea963a278a50ac20546c24d5480c56c83691e5393c5eca5d7",
		1:  "3681aa1364c9d353747d53793a53a8d4ab6510c17041ed88055e600454f691cf",
		42: "622deef9a2b86e737f0fa20758d8c121ec22552e10f4a6c9ad592b18ca63cf8b",
	} {
		if got := TicketAccount(n).String(); got != want {
			t.Errorf("account %d is %s", n, got)
		}
	}
	w := newWorld(t)
	w.fund(owner, 1000)
	listed := nine()
	list := w.list(listed)
	w.took()
	w.wants("WorkerListNotFound", by(owner), &TicketCreate{pallet.Units(1), appA, "", 7, Prices{}})
	for _, tc := range []struct {
		deposit uint64
		want    *pallet.Error
	}{
		{1001, pallet.Fail("Balances", "InsufficientBalance", "")},
		{1000, pallet.Fail("Balances", "Expendability", "")}, // the owner stays alive
	} {
		if err := w.do(by(owner), &TicketCreate{pallet.Units(tc.deposit), appA, "", list, Prices{}}); !errors.Is(err, tc.want) {
			t.Errorf("deposit of %d: %v", tc.deposit, err)
		}
	}
	own := Prices{Tip: price(1), Gas: price(0)}
	w.must(by(owner), &TicketCreate{pallet.Units(600), appA, "QmA", list, own})
	want := listed
	want.Tip, want.Gas = price(1), price(0)
	created, ok := w.saw("TicketCreated")[0].Fields.(TicketCreated)
	if diff := cmp.Diff(TicketCreated{0, &owner, false, appA, "QmA", &list, want, TicketAccount(0), pallet.Units(600)}, created); !ok || diff != "" {
		t.Error(diff)
	}
	if w.free(owner) != 400 || w.balance(0) != 600 {
		t.Errorf("owner %d, ticket %d", w.free(owner), w.balance(0))
	}
	// Every field merges for itself.
	for i := range own.each() {
		var only Prices
		*only.each()[i] = price(99)
		got := only.or(listed)
		for j, p := range got.each() {
			if expect := *listed.each()[j]; i == j && **p != pallet.Units(99) || i != j && *p != expect {
				t.Errorf("price %d of %d is %v", j, i, *p)
			}
		}
	}
	w.ok(accounts.Transfer(w.Context, owner, TicketAccount(0), pallet.Units(5), true)) // more money
	var shown ticketView
	w.view("ticket", `{"id":0}`, &shown)
	if shown.Balance != pallet.Units(605) || *shown.Prices.Tip != pallet.Units(1) || shown.ManifestCID != "QmA" {
		t.Errorf("shown as %+v", shown)
	}
}

func TestW55TicketClose(t *testing.T) {
	w, k, list := market1(t)
	before := accounts.Total(w.Store)
	n := w.ticket(list, appA, 1000, Prices{})
	rest := w.free(owner)
	w.report(k, tips(appA, 1, 100), n)
	w.wants("NotAllowed", by(stranger), &TicketClose{n})
	w.wants("TicketNotFound", by(owner), &TicketClose{n + 1})
	w.took()
	w.must(by(owner), &TicketClose{n})
	at := w.Height + closing
	if got := w.saw("TicketClosing")[0].Fields; got != (TicketClosing{n, at}) {
		t.Errorf("%+v", got)
	}
	w.wants("NotAllowed", by(owner), &TicketClose{n})
	if w.free(owner) != rest || w.balance(n) != 900 {
		t.Error("it paid back at once")
	}
	w.mine(closing)
	w.report(k, tips(appA, 1, 250), n) // in the last block of the window
	w.saw("Settled")
	w.mine(1)
	if got := w.saw("TicketClosed")[0].Fields; got != (TicketClosed{n, pallet.Units(750)}) {
		t.Errorf("%+v", got)
	}
	w.report(k, tips(appA, 1, 300), n)
	w.saw("ClaimIgnored")
	if w.free(owner) != rest+750 || w.free(id(k)) != 250 || w.balance(n) != 0 || accounts.Total(w.Store) != before {
		t.Errorf("owner %d, worker %d, ticket %d", w.free(owner), w.free(id(k)), w.balance(n))
	}
	if tickets.Has(w.Store, n) || settlements.Has(w.Store, n, id(k)) {
		t.Error("something of the ticket is left")
	}
	w.wants("TicketNotFound", by(owner), &TicketClose{n})

	t.Run("a debt is paid before the refund", func(t *testing.T) {
		w, k, list := market1(t)
		n := w.ticket(list, appA, 10, Prices{})
		w.report(k, tips(appA, 1, 40), n)
		w.ok(accounts.Transfer(w.Context, owner, TicketAccount(n), pallet.Units(50), true))
		w.must(by(owner), &TicketClose{n})
		w.took()
		w.mine(closing + 1)
		events := w.saw("Settled", "TicketClosed")
		if w.free(id(k)) != 40 || events[1].Fields != (TicketClosed{n, pallet.Units(20)}) {
			t.Errorf("paid %d, %+v", w.free(id(k)), events[1].Fields)
		}
		if debtsOf.Has(w.Store, id(k), n) {
			t.Error("the debt is still there")
		}
	})
	t.Run("of many workers", func(t *testing.T) {
		w := newWorld(t)
		w.fund(owner, 100_000)
		list := w.list(Prices{Tip: price(1)})
		n := w.ticket(list, appA, 10_000, Prices{})
		for i := range byte(130) {
			k := key(i + 1)
			w.worker(k, Prices{})
			w.must(by(owner), &WorkerListAddWorkers{list, []pallet.Account{id(k)}})
			invitation, _ := invitations.Get(w.Store, list, id(k))
			w.must(by(id(k)), &WorkerListConsent{List: list, Worker: id(k), Invitation: invitation})
			w.report(k, tips(appA, 1, 10), n)
		}
		w.must(by(owner), &TicketClose{n})
		w.mine(closing)
		w.took()
		w.mine(2)
		w.saw() // 64 of them a block
		w.mine(1)
		if got := w.saw("TicketClosed")[0].Fields; got != (TicketClosed{n, pallet.Units(10_000 - 1300)}) {
			t.Errorf("%+v", got)
		}
		settlements.Each(w.Store, n, nil, func(pallet.Account, Settlement) bool {
			t.Error("something of the ticket is left")
			return false
		})
	})
	t.Run("more at one height than a block ends", func(t *testing.T) {
		w := newWorld(t)
		w.fund(owner, 100_000)
		list := w.list(Prices{})
		for range maxDuties + 3 {
			w.must(by(owner), &TicketClose{w.ticket(list, appA, 1, Prices{})})
		}
		w.mine(closing)
		w.took()
		w.mine(1)
		first, _ := w.took()
		w.mine(1)
		if second, _ := w.took(); len(first) != maxDuties || len(second) != 3 || w.free(owner) != 100_000 {
			t.Errorf("%d, then %d", len(first), len(second))
		}
	})
}
