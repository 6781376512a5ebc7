package computation

import (
	"math"
	"testing"

	"golang.org/x/crypto/blake2b"

	"github.com/troupehost/troupe/chainbridge/ledger/fixed"
)

func TestW69Target(t *testing.T) {
	for _, c := range []struct {
		wanted, workers, seconds uint32
		want                     string
	}{
		{20, 0, 12, "0"},
		{20, 20, 12, "771946525395830978497002573683960742805751636319313395421818009383503547160"},
		{20, 200_000, 12, "11574228623567775471528085581038571683760509746329738253007553123311417715"},
		{20, 1, 7200, "115792089237316195423570985008687907853269984665640564039457584007913112862720"}, // each, by each challenge
		{1, math.MaxUint32, 3600, "0"}, // too few to be told from nobody
	} {
		if got := Target(c.wanted, c.workers, c.seconds).String(); got != c.want {
			t.Errorf("%d of %d with blocks of %d seconds: %s, want %s", c.wanted, c.workers, c.seconds, got, c.want)
		}
	}
	if Target(20, 20, 0) != Target(20, 20, 1) || Target(1000, math.MaxUint32, 3600) == (U256{}) {
		t.Error("the ends of the range")
	}
}

// Over 10,000 seeds a worker is hit as often as the target says.
func TestW69HitRate(t *testing.T) {
	for _, workers := range []uint32{20, 100, 5_000} {
		target := Target(DefaultExpected, workers, DefaultBlock)
		// The chance is the target's part of all numbers; the highest 64 bits tell it well enough.
		high := uint64(0)
		for _, b := range target[:8] {
			high = high<<8 | uint64(b)
		}
		p, hits := float64(high)/math.Pow(2, 64), 0
		const seeds, asked = 10_000, 20
		for i := range seeds {
			seed := U256(blake2b.Sum256([]byte{byte(i), byte(i >> 8)}))
			for w := range byte(asked) {
				if Challenged(workerKey(w), seed, target) {
					hits++
				}
			}
		}
		n := float64(seeds * asked)
		if sigma := math.Sqrt(n * p * (1 - p)); math.Abs(float64(hits)-n*p) > 3*sigma {
			t.Errorf("%d workers: %d hits, want %.0f ± %.0f", workers, hits, n*p, 3*sigma)
		}
	}
	worker := workerKey(1)
	hash := U256(blake2b.Sum256(worker[:]))
	one := U256{31: 1}
	off := hash
	off[31] ^= 1
	if !Challenged(worker, hash, U256{}) || Challenged(worker, off, U256{}) || !Challenged(worker, off, one) || !Challenged(worker, U256{}, maxTarget) {
		t.Error("the comparison is not that of numbers")
	}
}

// The challenge of a block is made of what everybody knows, and asks those who compute.
func TestW69Challenge(t *testing.T) {
	n, worker := started(t, rich, 200, "100")
	n.block()
	if n.count("PhalaComputation.HeartbeatChallenge") != 0 {
		t.Error("a challenge while they are paused")
	}
	n.refused("System.BadOrigin", &alice, "PhalaComputation.set_heartbeat_paused", SetHeartbeatPaused{})
	n.must(nil, "PhalaComputation.set_heartbeat_paused", SetHeartbeatPaused{false})
	hits, seeds := 0, map[U256]bool{}
	for range 300 {
		n.block()
		e := event[HeartbeatChallenge](n, "PhalaComputation.HeartbeatChallenge")
		if e.OnlineTarget != Target(20, 1, 12) || seeds[e.Seed] {
			t.Fatalf("challenge %+v", e)
		}
		seeds[e.Seed] = true
		before := hits
		if Challenged(worker, e.Seed, e.OnlineTarget) {
			hits++
		}
		if asked := n.look(worker).Waiting; int(asked) != hits {
			t.Fatalf("%d wait after %d hits, %d before", asked, hits, before)
		}
	}
	if hits == 0 {
		t.Error("300 challenges, and none has hit")
	}
	n.must(nil, "PhalaComputation.set_heartbeat_paused", SetHeartbeatPaused{true})
	n.challenge()
	n.block()
	same(t, "forced", event[HeartbeatChallenge](n, "PhalaComputation.HeartbeatChallenge"), HeartbeatChallenge{OnlineTarget: maxTarget})
	if asked := n.look(worker).Waiting; int(asked) != hits+1 {
		t.Errorf("%d wait", asked)
	}
	n.block()
	if n.count("PhalaComputation.HeartbeatChallenge") != 0 {
		t.Error("forced twice")
	}
}

func TestW71StaticV(t *testing.T) {
	n, worker := started(t, static, 200, "100")
	n.challenge()
	n.to(5)
	n.heartbeat(worker, math.MaxUint64)
	e := event[SessionSettled](n, "PhalaComputation.SessionSettled")
	same(t, "payout", e.Payout, num("285.4000288551775845473"))
	same(t, "V", e.V, num("100"))
	same(t, "P", n.look(worker).Instant, num("200").Times(num("1.2")))

	// It neither grows nor is given back, and the flag is seen; a slash takes from it.
	n.must(nil, "PhalaComputation.set_static_v", SetStaticV{false})
	same(t, "event", event[StaticVChanged](n, "PhalaComputation.StaticVChanged"), StaticVChanged{false})
	n.block()
	grown := n.look(worker)
	if grown.V.Cmp(num("100")) != 0 {
		t.Errorf("V is %v after the block of a heartbeat", grown.V)
	}
	n.challenge()
	n.block()
	if grown = n.look(worker); grown.V.Cmp(num("100")) <= 0 || grown.Deductible.IsZero() {
		t.Errorf("V is %v after an idle block", grown.V)
	}
	n.refused("System.BadOrigin", &alice, "PhalaComputation.set_static_v", SetStaticV{true})
	n.must(nil, "PhalaComputation.set_static_v", SetStaticV{true})
	p, _ := parameters.Get(n.Store)
	n.must(nil, "PhalaComputation.update_tokenomic", UpdateTokenomic{p})
	n.block()
	same(t, "flag", n.view("PhalaComputation/params", `{}`)["static_v"], any(true))
	n.heartbeat(worker, 1)
	same(t, "V paid", n.look(worker).V, grown.V)
	n.challenge()
	for range 13 {
		n.block()
	}
	slashed := n.look(worker)
	if want := grown.V.Minus(grown.V.Times(p.SlashRate)); !slashed.Unresponsive || slashed.V.Cmp(want) > 0 {
		t.Errorf("V is %v after slashes from %v", slashed.V, want)
	}
}

func TestW72Vector(t *testing.T) {
	n, worker := started(t, rich, 2500, "100")
	for range 4 {
		n.challenge()
		n.block()
	}
	before := n.look(worker)
	same(t, "V just before", before.V, num("100.00055963912991258423"))
	if before.Waiting != 4 {
		t.Fatalf("%d wait", before.Waiting)
	}
	subsidy := n.balance(Subsidy())
	n.heartbeat(worker, 24_000)
	e := event[SessionSettled](n, "PhalaComputation.SessionSettled")
	same(t, "P", n.look(worker).Instant, num("2999.9999999999999999729"))
	same(t, "payout", e.Payout, num("383.9765417372721003196"))
	same(t, "treasury", e.Treasury, num("95.9941354343180250734"))
	same(t, "V", e.V, num("100"))
	near(t, "V of the view", num(n.view("PhalaComputation/worker", `{"worker":"`+worker.String()+`"}`)["v"].(string)), "100")
	// What is paid is that, cut off at the smallest unit.
	same(t, "paid", e.Paid.String(), "383976541737272")
	same(t, "taxed", e.Taxed.String(), "95994135434318")
	left, _ := subsidy.Minus(e.Paid.Plus(e.Taxed))
	same(t, "subsidy", n.balance(Subsidy()), left)
	same(t, "treasury account", n.balance(Treasury()), e.Taxed)
}

// A day of V and an hour of slashes, with the numbers of the original's own tests.
func TestW72Day(t *testing.T) {
	n, worker := started(t, rich, 100, "3000")
	n.block()
	same(t, "V after a block", n.look(worker).V, num("3000.00203509369147797934"))
	for range 7200 {
		n.block()
	}
	same(t, "V after a day", n.look(worker).V, num("3014.6899337932040476463"))
	n.challenge()
	n.block()
	n.heartbeat(worker, 110*7200*12/6)
	near(t, "P", n.look(worker).Instant, "109.96945292974173840575")
	near(t, "V given back", n.look(worker).V, "3000")
	n.block()
	n.challenge()
	for range 311 {
		n.block()
	}
	if s := n.look(worker); !s.Unresponsive {
		t.Error("it is responsive")
	}
	near(t, "V after an hour of slashes", n.look(worker).V, "2997.0260877851113935014")
}

func TestW72VMax(t *testing.T) {
	n, worker := started(t, rich, 3000, "30000")
	for range 10 {
		n.block()
	}
	s := n.look(worker)
	same(t, "V", s.V, num("30000"))
	if s.Deductible.IsZero() {
		t.Error("nothing was earned")
	}
}

func TestW72Confidence(t *testing.T) {
	p := Defaults(12)
	for level, want := range map[uint8][2]string{0: {"1", "0"}, 1: {"1", "1"}, 2: {"1", "1"}, 3: {"1", "1"}, 4: {"0.8", "0.8"}, 5: {"0.7", "0.7"},
		6: {"1", "0"}, 127: {"1", "0"}, 128: {"1", "1"}, 255: {"1", "0"}} {
		same(t, "trust", trust(level), num(want[0]))
		same(t, "confidence", confidence(level), num(want[1]))
		stake := num("1000")
		near(t, "ve", p.ve(stake, 100, level), num("0.3").Times(num(want[0])).Plus(fixed.One).Times(num("1030")).String())
	}
}

func TestDefaults(t *testing.T) {
	p := Defaults(12)
	for _, c := range []struct {
		what string
		got  fixed.U64F64
		want string
	}{
		{"rho", p.Rho, "1.000000666600231"}, {"slash", p.SlashRate, "0.0000033333333333333240063"}, {"budget", p.BudgetPerBlock, "100"},
		{"v_max", p.VMax, "30000"}, {"cost_k", p.CostK, "0.000000015815258751856933056"}, {"cost_b", p.CostB, "0.000033711472602739674283"},
		{"treasury", p.TreasuryRatio, "0.2"}, {"rig_k", p.RigK, "0.3"}, {"rig_b", p.RigB, "0"}, {"re", p.Re, "1.3"}, {"k", p.K, "100"},
	} {
		same(t, c.what, c.got, num(c.want))
	}
	if p.HeartbeatWindow != 10 || p.check() != nil {
		t.Errorf("%+v", p)
	}
	if q := Defaults(6); q.BudgetPerBlock != num("50") || q.check() != nil || q.Rho.Cmp(p.Rho) >= 0 {
		t.Errorf("%+v", q)
	}
}
