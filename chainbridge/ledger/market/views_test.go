package market

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/chainbridge/ledger/pallet"
)

// all walks through the pages of a view and returns the ids of its items.
func (w *world) all(name, filter string, limit int) (ids []uint64) {
	w.t.Helper()
	for after := "null"; ; {
		var page struct {
			Items []struct{ ID uint64 }
			Next  json.RawMessage
		}
		w.view(name, fmt.Sprintf(`{"limit":%d,"after":%s%s}`, limit, after, filter), &page)
		for _, i := range page.Items {
			ids = append(ids, i.ID)
		}
		if after = string(page.Next); after == "null" {
			slices.Sort(ids)
			return ids
		}
		if len(page.Items) != limit || len(ids) > 1000 {
			w.t.Fatalf("a page of %d, %d so far", len(page.Items), len(ids))
		}
	}
}

func TestTicketPages(t *testing.T) {
	w, k, first := market1(t)
	second, foreign := w.list(Prices{}, k), w.list(Prices{})
	other := pallet.Account{'p'}
	w.fund(other, 1000)
	want := map[string][]uint64{}
	add := func(list uint64, who pallet.Account, filters ...string) {
		n, _ := nextTicket.Get(w.Store)
		w.must(by(who), &TicketCreate{pallet.Units(1), appA, "", list, Prices{}})
		for _, f := range append(filters, "") {
			want[f] = append(want[f], n)
		}
	}
	byWorker, byOwner, byList := `,"worker":"`+id(k).String()+`"`, `,"owner":"`+other.String()+`"`, fmt.Sprintf(`,"list":%d`, second)
	for range 7 {
		add(first, owner, byWorker)
		add(second, other, byWorker, byOwner, byList)
		add(foreign, other, byOwner)
	}
	w.must(root, &BenchmarkAppAdd{appB, "QmB", Ratio{1, 1}})
	for _, f := range []string{"", byWorker} {
		want[f] = append(want[f], 21)
	}
	for filter, ids := range want {
		for _, limit := range []int{1, 3, 100} {
			if diff := cmp.Diff(ids, w.all("tickets", filter, limit)); diff != "" {
				t.Errorf("%s, %d a page: %s", filter, limit, diff)
			}
		}
	}
	if diff := cmp.Diff([]uint64{first, second, foreign}, w.all("lists", "", 2)); diff != "" {
		t.Error(diff)
	}
	// A page that comes after a ticket that is gone loses none of the worker's.
	w.must(by(owner), &TicketClose{0})
	w.mine(closing + 1)
	var page struct{ Items []struct{ ID uint64 } }
	w.view("tickets", `{"after":0`+byWorker+`}`, &page)
	if len(page.Items) != len(want[byWorker])-1 {
		t.Errorf("%d tickets", len(page.Items))
	}
}

func TestViews(t *testing.T) {
	w, k, list := market1(t)
	n := w.ticket(list, appA, 100, Prices{})
	w.report(k, tips(appA, 1, 130), n)
	w.must(by(owner), &TicketClose{n})
	worker := id(k).String()
	for _, tc := range []struct{ name, params, want string }{
		{"ticket", `{"id":0}`, `{"id":0,"system":false,"owner":"` + owner.String() + `","workers":{"list":0},"address":"` + appA.String() +
			`","manifest_cid":"QmA","prices":{"general_fee_per_second":null,"gas_price":null,"net_ingress_price":null,"net_egress_price":null,` +
			`"storage_read_price":null,"storage_write_price":null,"storage_price":null,"memory_price":null,"tip_price":"1"},"account":"` +
			TicketAccount(0).String() + `","balance":"0","created_at":1,"closing_at":6,"workers_state":[{"worker":"` + worker +
			`","current_session_id":"` + pallet.Hash{1}.String() + `","paid":"100","total_paid":"100","debt":"30"}]}`},
		{"balance_of_ticket", `{"id":0}`, `"0"`},
		{"debts", `{"worker":"` + worker + `"}`, `{"items":[{"ticket_id":0,"debt":"30"}],"next":null}`},
		{"list_workers", `{"id":0}`, `{"items":[{"worker":"` + worker + `","until":null}],"next":null}`},
		{"params", ``, `{"closing_window":5}`},
		{"bench_apps", ``, `{"recommended":null,"apps":[]}`},
		{"worker", `{"worker":"` + stranger.String() + `"}`, `{"worker":"` + stranger.String() + `","registered":false,"description":null,"prices":{` +
			`"general_fee_per_second":null,"gas_price":null,"net_ingress_price":null,"net_egress_price":null,"storage_read_price":null,` +
			`"storage_write_price":null,"storage_price":null,"memory_price":null,"tip_price":null},"session":null,"lists":[]}`},
	} {
		var got json.RawMessage
		w.view(tc.name, tc.params, &got)
		if diff := cmp.Diff(tc.want, string(got)); diff != "" {
			t.Errorf("%s: %s", tc.name, diff)
		}
	}
	var workers struct{ Items []workerView }
	w.view("workers", "", &workers)
	if len(workers.Items) != 1 || !workers.Items[0].Registered || workers.Items[0].Session.LastMetricsSN != 1 || *workers.Items[0].Description != "a worker" {
		t.Errorf("%+v", workers)
	}
	var shown struct{ Workers []pallet.Account }
	if w.view("list", `{"id":0}`, &shown); len(shown.Workers) != 1 || shown.Workers[0] != id(k) {
		t.Errorf("%+v", shown)
	}
	var rows struct{ Items []settlementView }
	if w.view("settlements", `{"id":0}`, &rows); len(rows.Items) != 1 || rows.Items[0].Debt != pallet.Units(30) {
		t.Errorf("%+v", rows)
	}
	for _, v := range w.p.Views {
		var f *fault.Error
		if _, err := v.Run(w.Context, json.RawMessage(`{"id":7,`)); err != nil && !errors.As(err, &f) {
			t.Errorf("%s: %v", v.Name, err)
		}
		if _, err := v.Run(w.Context, json.RawMessage(`{"id":7}`)); slices.Contains([]string{"ticket", "list", "balance_of_ticket"}, v.Name) && fault.CodeOf(err) != fault.CallerNotFound {
			t.Errorf("%s of nothing: %v", v.Name, err)
		}
	}
}
