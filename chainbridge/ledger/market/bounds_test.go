package market

import (
	"strings"
	"testing"

	"github.com/troupehost/troupe/actors/meter"
	"github.com/troupehost/troupe/artifacts/scale"
	"github.com/troupehost/troupe/chainbridge/ledger/pallet"
)

// TestBounds has every bounded argument at its bound, and one beyond.
func TestBounds(t *testing.T) {
	workers := func(n int) []pallet.Account { return make([]pallet.Account, n) }
	text := func(n int) string { return strings.Repeat("x", n) }
	claims := func(n int) []Claim { return make([]Claim, n) }
	for name, of := range map[string]func(beyond int) (call, into pallet.Call){
		"workers of a new list": func(n int) (pallet.Call, pallet.Call) {
			return &WorkerListCreate{InitWorkers: workers(32 + n)}, &WorkerListCreate{}
		},
		"description of a list": func(n int) (pallet.Call, pallet.Call) {
			return &WorkerListCreate{Description: text(1024 + n)}, &WorkerListCreate{}
		},
		"workers to add": func(n int) (pallet.Call, pallet.Call) {
			return &WorkerListAddWorkers{Workers: workers(32 + n)}, &WorkerListAddWorkers{}
		},
		"cid of a ticket": func(n int) (pallet.Call, pallet.Call) {
			return &TicketCreate{ManifestCID: text(128 + n)}, &TicketCreate{}
		},
		"claims": func(n int) (pallet.Call, pallet.Call) {
			return &TicketSettle{ClaimMap: claims(64 + n)}, &TicketSettle{}
		},
		"tickets of a claim": func(n int) (pallet.Call, pallet.Call) {
			return &TicketSettle{ClaimMap: []Claim{{Tickets: []uint64{1, 2, 3, 4}[:3+n]}}}, &TicketSettle{}
		},
		"cid of a benchmark app": func(n int) (pallet.Call, pallet.Call) {
			return &BenchmarkAppAdd{ManifestCID: text(128 + n)}, &BenchmarkAppAdd{}
		},
	} {
		for beyond := range 2 {
			call, into := of(beyond)
			if err := scale.Unmarshal(scale.Marshal(call), into); (err == nil) != (beyond == 0) {
				t.Errorf("%s, %d beyond the bound: %v", name, beyond, err)
			}
		}
	}
	// The largest messages that a worker can sign fit.
	k := key(1)
	all := make([]meter.Metrics, meter.MaxApps)
	for i := range all {
		all[i].Address[0] = byte(i)
	}
	report := signReport(t, k, meter.Token{}, all)
	longest := describe(t, k, nine(), text(meter.MaxDescriptionBytes))
	for _, c := range []struct{ call, into pallet.Call }{
		{report, &TicketSettle{}}, {longest, &WorkerDescriptionSet{}}, {openSession(t, k, pallet.Hash{}, nil, make([]byte, meter.MaxRecipientBytes)), &WorkerSessionUpdate{}},
		{&BenchmarkScoreSubmit{Signed: meter.SignBenchScore(k, bench, meter.BenchScore{}).Encode()}, &BenchmarkScoreSubmit{}},
	} {
		if err := scale.Unmarshal(scale.Marshal(c.call), c.into); err != nil {
			t.Errorf("%T: %v", c.call, err)
		}
	}
}

// BenchmarkSettle settles the largest report: 64 apps of 3 tickets each.
func BenchmarkSettle(b *testing.B) {
	w, k, list := market1(b)
	var claims []Claim
	metrics := make([]meter.Metrics, meter.MaxApps)
	for i := range metrics {
		metrics[i] = tips(pallet.Hash{1, byte(i)}, 1, 0)
		c := Claim{Address: metrics[i].Address}
		for range 3 {
			c.Tickets = append(c.Tickets, w.ticket(list, c.Address, 1000, Prices{}))
		}
		claims = append(claims, c)
	}
	in, _ := sessions.Get(w.Store, id(k))
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		for i := range metrics {
			metrics[i].Tip++
		}
		in.LastMetricsSN++
		call := signReport(b, k, meter.Token{SN: in.LastMetricsSN, Session: in.SessionID}, metrics, claims...)
		*w.Events = nil
		w.mine(1)
		b.StartTimer()
		w.must(by(stranger), call)
	}
}
