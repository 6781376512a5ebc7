package report

import (
	"encoding/json"
	"fmt"
	"math"
	"math/big"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/blake2b"

	"github.com/troupehost/troupe/actors/chain"
	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/kernel"
)

// desk drives a core by hand.
type desk struct {
	t    testing.TB
	s    *State
	now  time.Time
	view View
	acts []Duty
	out  []Effect
}

func newDesk(t testing.TB, o Settings) *desk {
	d := &desk{t: t, s: NewState(o, ID{1}), now: time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)}
	d.step(tick{})
	d.step(recalled{})
	return d
}

func (d *desk) step(m Message) {
	d.now = d.now.Add(time.Millisecond)
	for _, e := range d.s.Step(d.now, m) {
		if a, ok := e.(Act); ok {
			d.acts = append(d.acts, a.Duty)
		}
		d.out = append(d.out, e)
	}
}

// look has a look see the view, and returns what is done then.
func (d *desk) look() []Duty {
	d.acts = nil
	d.step(looked{view: d.view})
	return d.acts
}

// agreed is a view in which nothing is owed.
func agreed() View {
	return View{Known: true, NodeKnown: true, InitialScore: 1, Session: &ChainSession{ID: ID{5}, ScoreSN: 1}, Open: &Session{ID: ID{5}, SN: 1}}
}

// TestW81GasThreshold reports early when much was used.
func TestW81GasThreshold(t *testing.T) {
	d := newDesk(t, Settings{GasUntilReport: 1000})
	d.view = agreed()
	d.look()
	d.step(made{})
	makes := func() (n int) {
		for _, e := range d.out {
			if _, ok := e.(Make); ok {
				n++
			}
		}
		return n
	}
	d.step(Used{999})
	if makes() != 1 {
		t.Fatalf("%d reports", makes())
	}
	d.step(Used{1000})
	if makes() != 2 {
		t.Errorf("%d reports", makes())
	}
	d.step(made{})
	d.step(Used{1500})
	d.step(Used{200}) // the host began anew
	d.step(Used{900})
	if makes() != 2 {
		t.Errorf("%d reports", makes())
	}
	d.step(Used{1001})
	if makes() != 3 {
		t.Errorf("%d reports", makes())
	}
}

// TestMetricsRate keeps to what the chain takes in ten blocks.
func TestMetricsRate(t *testing.T) {
	d := newDesk(t, Settings{Node: "n", MetricsEvery: time.Second})
	d.view = agreed()
	total := 0
	for range 40 {
		d.acts = nil
		d.now = d.now.Add(2 * time.Second)
		d.step(looked{view: d.view})
		for _, a := range d.acts {
			if a == TellMetrics {
				total++
				key := fmt.Sprintf("worker/metrics/%d", total)
				d.step(acted{duty: TellMetrics, key: key})
				d.step(outcome{key: key})
			}
		}
	}
	if total != 10 { // of two calls each
		t.Errorf("%d reports in one block", total)
	}
	d.acts = nil
	d.step(block{Cursor: chain.Cursor{Height: 10}})
	if len(d.acts) != 1 {
		t.Errorf("ten blocks later it does %v", d.acts)
	}
}

// TestBounds gives more than the core takes.
func TestBounds(t *testing.T) {
	d := newDesk(t, Settings{Requests: 2, Apps: 3})
	var codes []fault.Code
	ask := func(apps [][32]byte) {
		d.step(ReportNow{apps, kernel.ReplyFunc(func(_ Settled, err error) { codes = append(codes, fault.CodeOf(err)) })})
		for _, e := range d.out {
			if r, ok := e.(Reply); ok && r.Err != nil {
				r.To.Fail(r.Err)
			}
		}
		d.out = nil
	}
	ask(make([][32]byte, maxAddresses+1))
	ask(nil)
	ask(nil)
	ask(nil)
	if len(codes) != 2 || codes[0] != fault.CallerInvalid || codes[1] != fault.BusyQueueFull {
		t.Errorf("refused with %v", codes)
	}
	for i := range 10 {
		d.step(block{Cursor: chain.Cursor{Height: uint64(i + 1)}, pays: []pay{{ticket: uint64(i), app: ID{byte(i + 1)}}}})
	}
	if n := len(d.s.pays.apps); n != 3 || len(d.s.pays.of) != 3 || d.s.pays.apps[ID{10}] == nil {
		t.Errorf("%d apps and %d tickets are remembered", n, len(d.s.pays.of))
	}
	p := d.s.pays.list("", 2)
	q := d.s.pays.list(p.Next, 2)
	if len(p.Apps) != 2 || len(q.Apps) != 1 || q.Next != "" {
		t.Errorf("pages %+v, %+v", p, q)
	}
}

// TestHits compares the test of a challenge with its words: a number that is not above the target.
func TestHits(t *testing.T) {
	worker := ID{1, 2, 3}
	sum := blake2b.Sum256(worker[:])
	c := challenge{seed: sum}
	if !hits(worker, c) { // 0 is not above 0
		t.Error("equal numbers do not hit")
	}
	c.seed[31] ^= 1
	if hits(worker, c) {
		t.Error("1 hits 0")
	}
	c.target[31] = 1
	if !hits(worker, c) {
		t.Error("1 does not hit 1")
	}
	// Half of the seeds hit a target in the middle.
	c.target = [32]byte{0x7f}
	n := 0
	const seeds = 10_000
	for i := range seeds {
		c.seed = blake2b.Sum256(fmt.Append(nil, i))
		if hits(worker, c) {
			n++
		}
	}
	p := 127.0 / 256
	if off := math.Abs(float64(n) - seeds*p); off > 3*math.Sqrt(seeds*p*(1-p)) {
		t.Errorf("%d of %d seeds hit", n, seeds)
	}
}

// TestChallenge reads the numbers as chains write them.
func TestChallenge(t *testing.T) {
	target, _ := new(big.Int).SetString("771946525395830978497002573683960742805751636319313395421818009383503547160", 10)
	for in, ok := range map[string]bool{
		`{"seed":"771946525395830978497002573683960742805751636319313395421818009383503547160","online_target":"` + target.String() + `"}`: true,
		`{"seed":"0x` + strings.Repeat("ff", 32) + `","online_target":"0"}`:                                                                true,
		`{"seed":"` + strings.Repeat("ab", 32) + `","online_target":12}`:                                                                   true,
		`{"seed":"-1","online_target":"1"}`:                                                                                                false,
		`{"seed":"","online_target":"1"}`:                                                                                                  false,
		`{"seed":"1"}`:                                                                                                                     false,
		`{"seed":"1","online_target":"` + strings.Repeat("9", 78) + `"}`:                                                                   false,
		`{"seed":["1"],"online_target":"1"}`:                                                                                               false,
		`[]`:                                                                                                                               false,
		`"`:                                                                                                                                false,
	} {
		c := challengeOf(json.RawMessage(in))
		if (c != nil) != ok {
			t.Errorf("%s: %v", in, c)
		}
		if ok && strings.Contains(in, target.String()+`"}`) && new(big.Int).SetBytes(c.target[:]).Cmp(target) != 0 {
			t.Errorf("%s: target %x", in, c.target)
		}
	}
}

// TestKeys reads what names a call.
func TestKeys(t *testing.T) {
	key := reportKey(ID{7}, 12, []byte("x"))
	if d, ok := dutyOf(key); !ok || d != SettleUse {
		t.Errorf("%s is of %v", key, d)
	}
	if session, sn := parseReportKey(key); session != (ID{7}) || sn != 12 {
		t.Errorf("%s is report %d of %s", key, sn, session)
	}
	if key == reportKey(ID{7}, 12, []byte("y")) {
		t.Error("two reports with one number have one key")
	}
	for d := RegisterWorker; d < endOfDuties; d++ {
		if got, ok := dutyOf(newKey(d, time.Now(), 1)); !ok || got != d {
			t.Errorf("%s: %s", d, got)
		}
	}
	for _, bad := range []string{"", "x", "worker/", "worker/none/1", "session/1", "worker/off"} {
		if d, ok := dutyOf(bad); ok {
			t.Errorf("%q is of %s", bad, d)
		}
	}
}

// FuzzEvents reads events that no chain should send.
func FuzzEvents(f *testing.F) {
	f.Add("HeartbeatChallenge", []byte(`{"seed":"1","online_target":"2"}`))
	f.Add("Settled", []byte(`{"ticket_id":1,"worker":"00","payout":"1"}`))
	f.Add("SettleFailed", []byte(`{"payout":""}`))
	f.Fuzz(func(_ *testing.T, name string, fields []byte) {
		for _, pallet := range []string{computation, market} {
			b := chain.Block{Events: []chain.Event{{Pallet: pallet, Name: name, Fields: fields}}}
			m := blockOf(&b, ID{1}, time.Time{})
			s := NewState(Settings{}, ID{1})
			s.Step(time.Time{}, recalled{})
			s.Step(time.Time{}, m)
		}
	})
}
