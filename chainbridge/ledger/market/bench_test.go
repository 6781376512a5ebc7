package market

import (
	"errors"
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/troupehost/troupe/actors/meter"
	"github.com/troupehost/troupe/chainbridge/ledger/pallet"
	"github.com/troupehost/troupe/chainbridge/ledger/registry"
)

var bench = pallet.Hash{'B'}

// scoring is a world with a worker and a benchmark app of the ratio 1/10.
func scoring(t testing.TB) (*world, *meter.Key) {
	w, k := newWorld(t), key(1)
	w.worker(k, Prices{})
	w.must(root, &BenchmarkAppSet{bench, "QmB", Ratio{1, 10}})
	w.took()
	return w, k
}

// score is a message of the benchmark app at the time of the block.
func (w *world) score(k *meter.Key, perSecond, consumed uint64, change func(*meter.BenchScore)) pallet.Bytes {
	s := meter.BenchScore{GasPerSecond: perSecond, GasConsumed: consumed, Timestamp: w.Time / 1000, Token: w.token(k)}
	if change != nil {
		change(&s)
	}
	return meter.SignBenchScore(k, bench, s).Encode()
}

func TestW64InitScore(t *testing.T) {
	for _, tc := range []struct {
		name      string
		ratio     Ratio
		perSecond uint64
		want      uint32
	}{
		{"vector", Ratio{1, 10}, 500, 300},
		{"at the cap", Ratio{1, 10}, 10_000, 6000},
		{"below the cap", Ratio{1, 10}, 9_999, 5994},
		{"above the cap", Ratio{1, 10}, 10_010, 6000},
		{"above 32 bits", Ratio{1, 1}, 1<<32 + 5, 6000},
		{"a product above 64 bits", Ratio{math.MaxUint32, 1}, math.MaxUint64, 6000},
		{"a large ratio under", Ratio{1, math.MaxUint32}, math.MaxUint64, 6000},
		{"nothing", Ratio{0, 1}, 500, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w, k := scoring(t)
			w.must(root, &BenchmarkAppRemove{bench})
			w.must(root, &BenchmarkAppAdd{bench, "QmB", tc.ratio})
			w.must(by(stranger), &BenchmarkScoreSubmit{AsInitScore: true, Signed: w.score(k, tc.perSecond, 1, nil)})
			if got, ok := registry.InitialScore(w.Store, id(k)); !ok || got != tc.want {
				t.Errorf("score %d", got)
			}
			events := *w.Events
			if last := events[len(events)-1]; last.Name != "InitialScoreSet" {
				t.Errorf("the last event is %s", last.Name)
			}
		})
	}
}

func TestW67ScoreAndMetrics(t *testing.T) {
	w, k := scoring(t)
	submit := func(s pallet.Bytes) { t.Helper(); w.must(by(stranger), &BenchmarkScoreSubmit{Signed: s}) }
	older := w.score(k, 500, 1000, nil)                     // number 1
	w.must(by(stranger), signReport(t, k, w.token(k), nil)) // 2
	submit(older)
	newer := w.score(k, 500, 2000, nil)       // 3
	late := signReport(t, k, w.token(k), nil) // 4
	newest := w.score(k, 500, 3000, nil)      // 5
	submit(newest)
	w.must(by(stranger), late)
	w.wants("OutdatedMessage", by(stranger), &BenchmarkScoreSubmit{Signed: newer})
	w.wants("OutdatedMessage", by(stranger), &BenchmarkScoreSubmit{Signed: newest})
	if diff := cmp.Diff([]uint64{100, 300}, w.beats[:2]); diff != "" {
		t.Error(diff)
	}
	in, _ := sessions.Get(w.Store, id(k))
	if in.LastMetricsSN != 4 || in.LastScoreSN != 5 {
		t.Errorf("%+v", in)
	}
}

func TestW68Clock(t *testing.T) {
	for offset, want := range map[int64]string{0: "", 599: "", -599: "", 600: "OutdatedMessage", -600: "OutdatedMessage", math.MaxInt64 / 2: "OutdatedMessage"} {
		w, k := scoring(t)
		call := &BenchmarkScoreSubmit{AsInitScore: true, Signed: w.score(k, 500, 1000, func(s *meter.BenchScore) {
			s.Timestamp = uint64(int64(s.Timestamp) + offset)
		})}
		if want == "" {
			w.must(by(stranger), call)
			continue
		}
		w.wants(want, by(stranger), call)
	}
}

func TestBenchmarkScore(t *testing.T) {
	w, k := scoring(t)
	submit := func(change func(*meter.BenchScore)) *BenchmarkScoreSubmit {
		return &BenchmarkScoreSubmit{Signed: w.score(k, 500, 15000, change)}
	}
	w.wants("SessionMismatch", by(stranger), submit(func(s *meter.BenchScore) { s.Token.Session[0] ^= 1 }))
	flipped := submit(nil)
	flipped.Signed[3] ^= 1
	w.wants("SignatureVerificationFailed", by(stranger), flipped)
	w.wants("InvalidParameter", by(stranger), &BenchmarkScoreSubmit{Signed: flipped.Signed[:60]})
	other := meter.SignBenchScore(k, appA, meter.BenchScore{Timestamp: start / 1000, Token: w.token(k)})
	w.wants("InvalidBenchApp", by(stranger), &BenchmarkScoreSubmit{Signed: other.Encode()})
	unknown := meter.SignBenchScore(key(5), bench, meter.BenchScore{Timestamp: start / 1000})
	w.wants("InvalidWorkerPubkey", by(stranger), &BenchmarkScoreSubmit{Signed: unknown.Encode()})

	w.must(by(stranger), submit(nil))
	got := w.saw("HeartbeatV3")[0].Fields
	if diff := cmp.Diff(any(HeartbeatV3{id(k), 4, 1500, 300}), got); diff != "" {
		t.Error(diff)
	}
	w.beat.Answered = false
	w.must(by(stranger), submit(nil))
	w.saw()
}

func TestBenchmarkApps(t *testing.T) {
	w := newWorld(t)
	a, b := pallet.Hash{1}, pallet.Hash{2}
	for _, call := range []pallet.Call{
		&BenchmarkAppAdd{a, "QmB", Ratio{1, 10}}, &BenchmarkAppSet{a, "QmB", Ratio{1, 10}}, &BenchmarkAppSetRecommended{a}, &BenchmarkAppRemove{a},
	} {
		if err := w.do(by(owner), call); !errors.Is(err, pallet.BadOrigin) {
			t.Errorf("an account did %T: %v", call, err)
		}
	}
	w.wants("InvalidParameter", root, &BenchmarkAppAdd{a, "QmB", Ratio{1, 0}})
	w.wants("InvalidParameter", root, &BenchmarkAppSet{a, "QmB", Ratio{1, 0}})
	w.wants("InvalidBenchApp", root, &BenchmarkAppSetRecommended{a})
	w.wants("InvalidBenchApp", root, &BenchmarkAppRemove{a})
	w.must(root, &BenchmarkAppAdd{a, "QmA", Ratio{1, 10}})
	w.saw("TicketCreated", "BenchmarkAppAdded")
	w.wants("InvalidBenchApp", root, &BenchmarkAppAdd{a, "QmA", Ratio{1, 10}})
	w.must(root, &BenchmarkAppSet{b, "QmB", Ratio{2, 3}})
	w.saw("TicketCreated", "BenchmarkAppAdded", "RecommendedBenchmarkAppChanged")
	w.must(root, &BenchmarkAppSetRecommended{a})
	w.saw("RecommendedBenchmarkAppChanged")
	w.must(root, &BenchmarkAppSetRecommended{b})
	w.took()

	var shown struct {
		Recommended *pallet.Hash
		Apps        []benchView
	}
	w.view("bench_apps", "", &shown)
	if diff := cmp.Diff([]benchView{{a, 0, 1, 10, "QmA"}, {b, 1, 2, 3, "QmB"}}, shown.Apps); diff != "" || *shown.Recommended != b {
		t.Error(shown.Recommended, diff)
	}
	var ticket struct {
		System  bool
		Owner   *pallet.Account
		Workers any
	}
	if w.view("ticket", `{"id":1}`, &ticket); !ticket.System || ticket.Owner != nil || ticket.Workers != "any" {
		t.Errorf("shown as %+v", ticket)
	}
	w.wants("NotAllowed", by(owner), &TicketClose{1})

	w.fund(TicketAccount(0), 7) // somebody paid for what is free

	// Removal takes the ticket along, and the recommendation only if it was this app's.
	w.must(root, &BenchmarkAppRemove{a})
	w.saw("TicketClosed", "BenchmarkAppRemoved")
	w.must(root, &BenchmarkAppRemove{b})
	w.saw("TicketClosed", "BenchmarkAppRemoved", "RecommendedBenchmarkAppChanged")
	shown.Recommended = nil
	w.view("bench_apps", "", &shown)
	if len(shown.Apps) != 0 || shown.Recommended != nil || tickets.Has(w.Store, 0) || tickets.Has(w.Store, 1) {
		t.Errorf("left: %+v", shown)
	}
	if w.free(treasury()) != 7 || w.balance(0) != 0 {
		t.Errorf("the treasury has %d", w.free(treasury()))
	}
	for i := range byte(MaxBenchmarkApps) {
		w.must(root, &BenchmarkAppAdd{pallet.Hash{i, 1}, "", Ratio{1, 1}})
	}
	w.wants("InvalidParameter", root, &BenchmarkAppAdd{a, "QmA", Ratio{1, 10}})
}

func TestBenchmarkTicketPaysNothing(t *testing.T) {
	w, k := scoring(t)
	w.report(k, tips(bench, 1, 10), 0)
	w.saw() // it is no mistake to claim it
}
