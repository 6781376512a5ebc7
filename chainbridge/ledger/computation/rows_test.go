package computation

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/troupehost/troupe/actors/meter"
	"github.com/troupehost/troupe/artifacts/scale"
	"github.com/troupehost/troupe/chainbridge/ledger/fixed"
	"github.com/troupehost/troupe/chainbridge/ledger/pallet"
	"github.com/troupehost/troupe/chainbridge/ledger/registry"
)

// score submits a score as a heartbeat.
func (n *net) score(worker pallet.Account, iterations, at uint64) Beat {
	n.Helper()
	b, err := Heartbeat(n.Context, worker, iterations, at)
	if err != nil {
		n.Fatal(err)
	}
	return b
}

// The first score tells where the counter stands; the second is 500 iterations and 10 seconds on.
func TestW65Heartbeat(t *testing.T) {
	n, worker := started(t, rich, 1000, "100")
	n.challenge()
	n.block()
	at := n.Time/1000 + 7
	same(t, "first", n.score(worker, 1000, at), Beat{})
	if s := n.look(worker); s.Instant != num("1000") || s.Waiting != 1 || n.count("PhalaComputation.BenchmarkUpdated") != 0 {
		t.Errorf("the first one has changed P to %v, %d wait", s.Instant, s.Waiting)
	}
	same(t, "second", n.score(worker, 1500, at+10), Beat{true, 0, 300})
	same(t, "P", n.look(worker).Instant, num("300"))
	same(t, "event", event[BenchmarkUpdated](n, "PhalaComputation.BenchmarkUpdated").PInstant, uint32(300))

	// It is multiplied before it is divided, and the cap is 1.2 of the benchmark.
	for _, c := range []struct {
		more, seconds uint64
		p             uint32
	}{{7, 4, 10}, {1, 7, 0}, {100_000, 1, 1199}, {2000, 10, 1199}, {1999, 10, 1199}, {1998, 10, 1198}, {0, 10, 0}} {
		n.challenge()
		n.block()
		s := n.look(worker)
		got := n.score(worker, s.Iterations+c.more, s.Counted/1000+c.seconds)
		same(t, "P", got, Beat{true, 0, c.p})
	}
}

func TestW65NotBefore(t *testing.T) {
	n, worker := started(t, rich, 1000, "100")
	n.challenge()
	n.block()
	n.score(worker, 1000, 500)
	for _, at := range []uint64{500, 499, 0} { // only the counter is kept
		same(t, "not after the first", n.score(worker, 1500, at), Beat{})
		if s := n.look(worker); s.Iterations != 1500 || s.Waiting != 1 || s.Instant != num("1000") {
			t.Errorf("%+v", s)
		}
	}
	same(t, "dropped", n.dropped(ClockBehind), uint64(3))
	if b := n.score(worker, 1600, math.MaxUint64); !b.Answered || b.PInstant != 0 {
		t.Errorf("at the end of time: %+v", b)
	}
	n.challenge()
	n.block()
	n.score(worker, 1700, math.MaxUint64)
	if _, err := Heartbeat(n.Context, workerKey(9), 1, 1); !fail("WorkerNotComputing", "").Is(err) {
		t.Error(err)
	}
}

func (n *net) dropped(why Reason) uint64 {
	got, _ := dropped.Get(n.Store, why)
	return got
}

// A counter that falls makes P 0 once, and counts on from where it is.
func TestW66CounterDrop(t *testing.T) {
	for name, beat := range map[string]func(n *net, worker pallet.Account, iterations uint64){
		"score":       func(n *net, w pallet.Account, i uint64) { n.score(w, i, n.Time/1000) },
		"HeartbeatV3": func(n *net, w pallet.Account, i uint64) { n.heartbeat(w, i) },
	} {
		t.Run(name, func(t *testing.T) {
			n, worker := started(t, rich, 1000, "100")
			n.score(worker, 50_000, n.Time/1000)
			for _, c := range []struct {
				iterations uint64
				p          string
			}{{50_600, "300"}, {400, "0"}, {1000, "300"}, {0, "0"}, {math.MaxUint64, "1199.9999999999999999892"}, {0, "0"}} {
				n.challenge()
				n.block()
				beat(n, worker, c.iterations)
				near(t, "P", n.look(worker).Instant, c.p)
			}
		})
	}
}

func TestW70HeartbeatV3(t *testing.T) {
	n, worker := started(t, rich, 1000, "100")
	n.heartbeat(worker, 1000)
	same(t, "reason", event[HeartbeatDropped](n, "PhalaComputation.HeartbeatDropped"), HeartbeatDropped{worker, NoChallenge})
	if s := n.look(worker); s.BeatAt != 0 || s.Iterations != 0 || n.count("PhalaComputation.SessionSettled") != 0 {
		t.Errorf("counted: %+v", s)
	}
	for range 4 {
		n.challenge()
		n.block()
	}
	// Of another session, and of nobody.
	before := n.look(worker)
	n.must(&worker, "PhalaComputation.heartbeat", HeartbeatV3{SessionID: 1, Iterations: 5})
	same(t, "reason", event[HeartbeatDropped](n, "PhalaComputation.HeartbeatDropped"), HeartbeatDropped{worker, SessionMismatch})
	same(t, "seat", n.look(worker), before)
	// All are answered at once, and the second has nothing to answer.
	if before.Waiting != 4 {
		t.Fatalf("%d wait", before.Waiting)
	}
	n.heartbeat(worker, 10_000)
	if s := n.look(worker); s.Waiting != 0 || s.BeatAt != n.Height || s.Since != 0 {
		t.Errorf("%+v", s)
	}
	n.heartbeat(worker, 20_000)
	if n.count("PhalaComputation.SessionSettled") != 1 || n.dropped(NoChallenge) != 2 {
		t.Error("answered twice")
	}
}

// Challenges of one session are none of the next.
func TestW70Sessions(t *testing.T) {
	n, worker := started(t, rich, 1000, "100")
	n.challenge()
	n.block()
	n.must(&alice, "PhalaStakePoolv2.restart_computing", RestartComputing{0, worker, money(10_001)})
	if s := n.look(worker); s.Waiting != 0 || s.SessionID != 1 {
		t.Errorf("%+v", s)
	}
	n.must(&worker, "PhalaComputation.heartbeat", HeartbeatV3{SessionID: 0, Iterations: 5})
	same(t, "dropped", n.dropped(SessionMismatch), uint64(1))
}

func TestW73Unresponsive(t *testing.T) {
	n, worker := started(t, rich, 1000, "100")
	session := SessionAccount(0, worker)
	n.challenge() // with block 2
	n.to(13)
	if s := n.look(worker); s.Unresponsive || n.count("PhalaComputation.WorkerEnterUnresponsive") != 0 {
		t.Fatal("offline within the window")
	}
	free := n.look(worker).V
	n.block()
	same(t, "event", event[WorkerEnterUnresponsive](n, "PhalaComputation.WorkerEnterUnresponsive"), WorkerEnterUnresponsive{session, worker})
	p, _ := parameters.Get(n.Store)
	want := free.Minus(free.Times(p.SlashRate))
	same(t, "V after the first slash", n.look(worker).V, want)
	if sum, _ := sumShare.Get(n.Store); !sum.IsZero() {
		t.Errorf("a worker that is offline has a share of %v", sum)
	}
	for range 20 {
		n.challenge() // it is asked on
		n.block()
		want = want.Minus(want.Times(p.SlashRate))
		if n.count("PhalaComputation.WorkerEnterUnresponsive") != 0 && n.Height > 15 {
			t.Fatal("offline twice")
		}
	}
	s := n.look(worker)
	same(t, "V after 21 slashes", s.V, want)
	if info, _ := sessions.Get(n.Store, session); info.State != WorkerUnresponsive || s.Waiting != 21 {
		t.Errorf("%v, %d wait", info.State, s.Waiting)
	}
	// It comes back: the heartbeat is not paid, and neither is the time.
	n.heartbeat(worker, 10_000)
	same(t, "event", event[WorkerExitUnresponsive](n, "PhalaComputation.WorkerExitUnresponsive"), WorkerExitUnresponsive{session, worker})
	if n.count("PhalaComputation.SessionSettled") != 0 || n.balance(Treasury()) != (pallet.Balance{}) {
		t.Error("paid")
	}
	n.block()
	same(t, "V after the heartbeat", n.look(worker).V, want)
	n.challenge()
	n.block()
	if s = n.look(worker); n.Height-s.PaidAt != 2 {
		t.Errorf("paid until %d", s.PaidAt)
	}
	n.heartbeat(worker, 10_000+s.Instant.Int*4) // as fast as before
	e := event[SessionSettled](n, "PhalaComputation.SessionSettled")
	if off := num("160").Minus(e.Payout).Plus(e.Payout.Minus(num("160"))); off.Cmp(num("1")) > 0 {
		t.Errorf("paid %v for two blocks", e.Payout)
	}
	if info, _ := sessions.Get(n.Store, session); info.State != WorkerIdle {
		t.Error(info.State)
	}
}

// Nothing that a heartbeat can say stops the chain; it is dropped, and counted where everybody sees it.
func TestW74BadHeartbeats(t *testing.T) {
	n, worker := started(t, rich, 1000, "100")
	idle, nobody := workerKey(2), workerKey(3)
	n.register(idle, 1000)
	for _, who := range []pallet.Account{worker, idle, nobody, {}} {
		for _, session := range []uint32{0, 1, math.MaxUint32} {
			for _, iterations := range []uint64{0, 1, math.MaxUint64} {
				n.must(&who, "PhalaComputation.heartbeat", HeartbeatV3{session, iterations, math.MaxUint32})
			}
		}
		n.challenge()
		n.block()
	}
	got := n.view("PhalaComputation/params", `{}`)["dropped_heartbeats"]
	same(t, "dropped", got, any(map[string]any{"no_challenge": 3., "session_mismatch": 6., "not_computing": 9., "unknown_worker": 18., "clock_behind": 0.}))
	n.refused("System.BadOrigin", nil, "PhalaComputation.heartbeat", HeartbeatV3{})
}

func TestStartConditions(t *testing.T) {
	n, worker := newNet(t, rich), workerKey(1)
	pid := n.pool(100_000)
	n.register(worker, 49)
	n.must(&alice, "PhalaStakePoolv2.add_worker", AddWorker{pid, worker})
	start := func(stake pallet.Balance) error {
		return n.do(&alice, "PhalaStakePoolv2.start_computing", StartComputing{pid, worker, stake})
	}
	for _, c := range []struct {
		score uint32
		stake pallet.Balance
		want  string
	}{
		{49, money(20_000), "BenchmarkTooLow"},
		{400, money(1999), "InsufficientStake"},
		{400, minus(money(2000), pallet.Units(1)), "InsufficientStake"}, // 100 times the root of 400
		{400, money(23_000), "TooMuchStake"},                            // (23000 + 0.3·400)·1.3 is above 30000
		{400, money(2000), ""},
	} {
		if err := SetInitialScore(n.Context, worker, c.score); err != nil {
			t.Fatal(err)
		}
		err := start(c.stake)
		if c.want == "" != (err == nil) || err != nil && !fail(c.want, "").Is(err) {
			t.Errorf("a score of %d with %v: %v, want %q", c.score, c.stake, err, c.want)
		}
	}
	near(t, "V", n.look(worker).V, "2756") // 1.3·(2000 + 0.3·400)
	if err := start(money(2000)); !fail("WorkerNotReady", "").Is(err) {
		t.Error(err)
	}
	if !IsComputing(n.Store, worker) || IsComputing(n.Store, workerKey(2)) {
		t.Error("IsComputing")
	}
}

// The level of a report enters V with the start, and pay with the next heartbeat.
func TestConfidenceEntersPay(t *testing.T) {
	root, key := meter.KeyFromSeed([32]byte{1}), meter.KeyFromSeed([32]byte{2})
	worker := pallet.Account(key.Public())
	n := newNet(t, rich)
	config, _ := json.Marshal(map[string]any{"root": pallet.Account(root.Public()), "max_age_ms": 1 << 40})
	if err := registry.Pallet().Genesis(n.Context, config); err != nil {
		t.Fatal(err)
	}
	attest := func(level uint8) {
		t.Helper()
		n.Time++ // a report is used once
		r := meter.NewRegistration(worker, n.Genesis, (*[32]byte)(&alice), 0)
		n.must(&worker, "PhalaRegistry.register_worker_v2", registry.RegisterWorkerV2{Registration: r.Encode(),
			Attestation: &registry.Attestation{Provider: registry.ProviderTestRoot, Report: registry.IssueReport(root, r, level, n.Time)}})
	}
	attest(5)
	if err := SetInitialScore(n.Context, worker, 1000); err != nil {
		t.Fatal(err)
	}
	n.pool(20_000)
	n.must(&alice, "PhalaStakePoolv2.add_worker", AddWorker{0, worker})
	n.must(&alice, "PhalaStakePoolv2.start_computing", StartComputing{0, worker, money(10_000)})
	near(t, "V", n.look(worker).V, "12463") // (0.3·0.7 + 1)·(10000 + 0.3·1000)
	pay := func() fixed.U64F64 {
		n.challenge()
		n.block()
		n.challenge()
		n.block()
		s := n.seat(worker, func(s *seat) { s.V = num("100") })
		n.heartbeat(worker, s.Iterations+1000*(n.Time-s.Counted)/6000)
		return event[SessionSettled](n, "PhalaComputation.SessionSettled").Payout
	}
	pay()
	before := n.look(worker)
	low := before.share()
	attest(4)
	pay()
	if s := n.look(worker); s.Confidence != 4 || s.share().Cmp(low) <= 0 {
		t.Errorf("level %d shares %v, and level 5 %v", s.Confidence, s.share(), low)
	}
	view := n.view("PhalaComputation/worker", `{"worker":"`+worker.String()+`"}`)
	same(t, "shown", view["confidence_level"], any(4.0))
}

func TestPayEndsWithSubsidies(t *testing.T) {
	n, worker := started(t, `{"subsidy":"100000000000000"}`, 1000, "100") // 100 tokens
	n.challenge()
	n.to(4)
	grown := n.look(worker)
	n.heartbeat(worker, 4000)
	e := event[SubsidyExhausted](n, "PhalaComputation.SubsidyExhausted")
	if e.Paid != money(100) || e.Due.Cmp(money(150)) < 0 || !e.Taxed.IsZero() || e.TreasuryDue.IsZero() {
		t.Errorf("%+v", e)
	}
	same(t, "subsidy", n.balance(Subsidy()), pallet.Balance{})
	near(t, "V", n.look(worker).V, grown.V.Minus(grown.Deductible).String())
	pool := n.view("PhalaStakePoolv2/pool", `{"pid":0}`)
	same(t, "value of the pool", pool["total_value"], any(money(20_100).String()))
	// With nothing left, V keeps what is not paid for.
	n.challenge()
	n.block()
	n.challenge()
	n.block()
	grown = n.look(worker)
	n.heartbeat(worker, 8000)
	same(t, "nothing", event[SubsidyExhausted](n, "PhalaComputation.SubsidyExhausted").Paid, pallet.Balance{})
	same(t, "V", n.look(worker).V, grown.V)
}

func TestSharesOfMany(t *testing.T) {
	n, pid := newNet(t, rich), uint64(0)
	n.pool(100_000)
	const workers = 2*chunkSeats + 1
	for w := range byte(workers) {
		n.register(workerKey(w), 100)
		n.must(&alice, "PhalaStakePoolv2.add_worker", AddWorker{pid, workerKey(w)})
		if w%chunkSeats == 0 {
			n.block()
		}
		if err := n.do(&alice, "PhalaStakePoolv2.contribute", Contribute{Pid: pid, Amount: money(1000)}); err != nil {
			t.Fatal(err)
		}
		n.must(&alice, "PhalaStakePoolv2.start_computing", StartComputing{pid, workerKey(w), money(1000)})
	}
	n.block()
	n.challenge()
	n.block()
	var sum fixed.U64F64
	for w := range byte(workers) {
		s := n.look(workerKey(w))
		if s.Waiting != 1 {
			t.Fatalf("worker %d was not asked", w)
		}
		sum = sum.Plus(s.share())
	}
	stored, _ := sumShare.Get(n.Store)
	same(t, "sum", stored, sum)
	var paid fixed.U64F64
	for w := range byte(workers) {
		s := n.look(workerKey(w))
		since := n.Height - s.PaidAt
		n.heartbeat(workerKey(w), s.Iterations+100*2*since)
		paid = paid.Plus(event[SessionSettled](n, "PhalaComputation.SessionSettled").Payout.Over(fixed.FromInt(since)))
	}
	if off := num("80").Minus(paid).Plus(paid.Minus(num("80"))); off.Cmp(num("0.001")) > 0 { // of each block
		t.Errorf("all together are paid %v a block", paid)
	}
	// Those who leave are replaced by the last; pages show all.
	for w := range byte(workers / 2) {
		n.must(&alice, "PhalaStakePoolv2.stop_computing", StopComputing{pid, workerKey(2 * w)})
	}
	seen, after := map[any]bool{}, ""
	for {
		page := n.view("PhalaComputation/workers", `{"limit":50`+after+`}`)
		for _, i := range page["items"].([]any) {
			seen[i.(map[string]any)["worker"]] = true
		}
		if page["next"] == nil {
			break
		}
		after = fmt.Sprintf(`,"after":%v`, page["next"])
	}
	if online, _ := onlineWorkers.Get(n.Store); len(seen) != workers-workers/2 || int(online) != len(seen) {
		t.Errorf("%d are seen", len(seen))
	}
	for w := range byte(workers / 2) {
		if n.look(workerKey(2*w+1)).Worker != workerKey(2*w+1) {
			t.Errorf("worker %d sits elsewhere", 2*w+1)
		}
	}
	for w := range byte(workers) {
		if IsComputing(n.Store, workerKey(w)) {
			n.must(nil, "PhalaComputation.force_stop_computing", ForceStopComputing{SessionAccount(pid, workerKey(w))})
		}
	}
	n.block()
	if stored, ok := sumShare.Get(n.Store); ok || n.committed.Len() == 0 {
		t.Errorf("the sum of nobody is %v", stored)
	}
}

// Calls encode as the original's metadata says.
func TestEncodings(t *testing.T) {
	who := pallet.Account(unhex(t, "d17c2d7823ebf260fd138f2d7e27d114c0145d968b5ff5006125f2414fadae69"))
	amount := pallet.Balance{}
	if err := scale.Unmarshal(unhex(t, "e7a0ab43d2d15d721200000000000000"), &amount); err != nil {
		t.Fatal(err)
	}
	const pid = 5_000_000_000
	for _, c := range []struct {
		call string
		args any
		want string
	}{
		{"PhalaComputation.set_cool_down_expiration", SetCoolDownExpiration{pid}, "570000f2052a01000000"},
		{"PhalaComputation.unbind", Unbind{who}, "5701d17c2d7823ebf260fd138f2d7e27d114c0145d968b5ff5006125f2414fadae69"},
		{"PhalaComputation.force_heartbeat", ForceHeartbeat{}, "5702"},
		{"PhalaComputation.force_start_computing", ForceStartComputing{who, amount},
			"5703d17c2d7823ebf260fd138f2d7e27d114c0145d968b5ff5006125f2414fadae69e7a0ab43d2d15d721200000000000000"},
		{"PhalaComputation.force_stop_computing", ForceStopComputing{who}, "5704d17c2d7823ebf260fd138f2d7e27d114c0145d968b5ff5006125f2414fadae69"},
		{"PhalaComputation.set_heartbeat_paused", SetHeartbeatPaused{true}, "570601"},
		{"PhalaComputation.set_budget_per_block", SetBudgetPerBlock{pid, 70_000, amount}, "570700f2052a0100000070110100e7a0ab43d2d15d721200000000000000"},
		{"PhalaStakePoolv2.create", Create{}, "5d00"},
		{"PhalaStakePoolv2.set_cap", SetCap{pid, amount}, "5d0300f2052a01000000e7a0ab43d2d15d721200000000000000"},
		{"PhalaStakePoolv2.claim_owner_rewards", ClaimOwnerRewards{pid, who}, "5d0700f2052a01000000d17c2d7823ebf260fd138f2d7e27d114c0145d968b5ff5006125f2414fadae69"},
	} {
		of, call, _ := strings.Cut(c.call, ".")
		got := ""
		for _, i := range all[of].Calls {
			if i.Name == call {
				got = hex.EncodeToString(append([]byte{all[of].Index, i.Index}, scale.Marshal(c.args)...))
			}
		}
		same(t, c.call, got, c.want)
	}
	if n := len(scale.Marshal(TokenomicParameters{})); n != 13*16+4 {
		t.Errorf("parameters of %d bytes", n)
	}
	// Records of the state, too: a session has its fields in the original's order, under the original's prefix.
	if n := len(scale.Marshal(SessionInfo{})); n != 1+16+16+8+(4+4+8+8+8)+8+16 {
		t.Errorf("a session of %d bytes", n)
	}
	for _, c := range []struct {
		got  []byte
		want string
	}{
		{sessions.Prefix(), "b71c310d8c830d345ee1c1b84566a8d1028685274e698e781f7f2766cba0cc83"},
		{workerBindings.Prefix(), "b71c310d8c830d345ee1c1b84566a8d129508a101b262c94ae3b928a07bb3cd5"},
		{stakes.Prefix(), "b71c310d8c830d345ee1c1b84566a8d199631790894601a7ff7dac1d1ca231bc"},
		{parameters.Key(), "b71c310d8c830d345ee1c1b84566a8d101fcc41548ec01285ffcc5b6baff016a"},
		{assignments.Prefix(), "75e3ed3f59e45643ed1149ad80929c1b19607b9c9a8737bdc9a8097e5575f8df"},
	} {
		same(t, "key", hex.EncodeToString(c.got), c.want)
	}
}

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
