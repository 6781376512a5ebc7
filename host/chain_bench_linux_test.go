package host_test

import (
	"crypto/sha256"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path"
	"sync/atomic"
	"testing"

	"github.com/troupehost/troupe/artifacts/manifest"
	"github.com/troupehost/troupe/host"
)

// bench makes the benchmark of the chain an app with a window in milliseconds.
func (r *chainRig) bench(window string) *manifest.Manifest {
	r.t.Helper()
	m, cid := r.app("bench-app", "bench", func(m *manifest.Manifest) {
		m.OnDemand, m.Resizable, m.Args, m.Terms = false, true, []string{window}, nil
	})
	r.sudo("Wapod", "benchmark_app_set", map[string]any{"address": m.Address(), "cid": cid, "ratio": map[string]any{"numerator": 1, "denominator": 1}})
	return m
}

// TestW78Bench: more apps are paid than there are places for, and the benchmark is there beside those that are paid best.
func TestW78Bench(t *testing.T) {
	r := newChainRig(t, "bench", chainBlock, nil)
	h := r.host(func(c *host.Config) { c.Chain.MaxApps = 2 })
	list := r.list(h)
	var apps []*manifest.Manifest
	for n := range 5 {
		m, cid := r.app("c-handler", fmt.Sprint("app ", n), nil)
		r.pay(list, m, cid, fmt.Sprint(1_000_000*(n+1)*(n+1)), "gas_price", "1")
		apps = append(apps, m)
	}
	bench := r.bench("250")
	r.until("the benchmark beside the best paid", func() (bool, string) {
		s, err := h.Session(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		there, _, err := h.Apps(t.Context(), host.AppFilter{})
		if err != nil {
			t.Fatal(err)
		}
		found := map[string]bool{}
		for _, a := range there {
			found[a.Address] = true
		}
		return s.Bench == bench.Address().String() && len(there) == 3 && found[apps[3].Address().String()] && found[apps[4].Address().String()], chainText(there)
	})
	// One that is paid still more takes the place of another app, and never that of the benchmark.
	m, cid := r.app("c-handler", "rich", nil)
	r.pay(list, m, cid, "1000000000", "gas_price", "1")
	r.deployed(h, m)
	r.removed(h, apps[3])
	if s, err := h.Session(t.Context()); err != nil || s.Bench != bench.Address().String() {
		t.Errorf("the benchmark is %q, %v", s.Bench, err)
	}
}

// TestW77Heartbeat: the worker is scored, computes, and answers a challenge as soon as it sees the block that has it.
func TestW77Heartbeat(t *testing.T) {
	r := newChainRig(t, "heartbeat", 4*chainBlock, nil)
	h := r.host(func(c *host.Config) {
		root := r.root.Public()
		c.Chain.Operator = root[:]
	})
	worker := r.ready(h)
	bench := r.bench("250").Address().String()
	r.until("an initial score", func() (bool, string) { v := r.view(h).Reporter; return v.InitialScore > 0, chainText(v) })
	r.call(r.root, "PhalaStakePoolv2", "create", map[string]any{})
	r.call(r.root, "PhalaStakePoolv2", "add_worker", map[string]any{"pid": 0, "pubkey": worker})
	r.call(r.root, "PhalaStakePoolv2", "contribute", map[string]any{"pid": 0, "amount": "10000000000000000", "as_vault": nil})
	r.call(r.root, "PhalaStakePoolv2", "start_computing", map[string]any{"pid": 0, "worker": worker, "stake": "10000000000000000"})
	r.sudo("PhalaComputation", "set_heartbeat_paused", map[string]any{"paused": false})
	score := func() string {
		got, err := h.Query(t.Context(), host.AppQuery{Address: bench, Path: "score"})
		if err != nil {
			return ""
		}
		return string(got.Output)
	}
	var w struct {
		State     string `json:"state"`
		PInstant  uint32 `json:"p_instant"`
		Heartbeat uint64 `json:"last_heartbeat"`
	}
	soon := false
	// The first answer tells the chain from where to count. The chain challenges on its own too, and an answer to that may bring no new score.
	for n := uint64(0); n < 8 && (!soon || w.Heartbeat == 0); n++ {
		old, before := score(), r.view(h).Reporter.Heartbeat.Answered
		r.until("a new score", func() (bool, string) { now := score(); return now != "" && now != old, "" })
		r.sudo("PhalaComputation", "force_heartbeat", map[string]any{})
		r.until("an answer", func() (bool, string) {
			v := r.view(h).Reporter
			return v.Heartbeat.Answered > before, chainText(v)
		})
		soon = soon || r.view(h).Reporter.Heartbeat.Blocks <= 1 // a machine that is busy takes longer now and then
		r.query("PhalaComputation/worker", map[string]any{"worker": worker}, &w)
	}
	if !soon {
		t.Error("no answer was in the block that came next")
	}
	if w.State != "WorkerIdle" || w.Heartbeat == 0 {
		t.Errorf("the chain has %+v", w)
	}
	v := r.view(h).Reporter.Heartbeat
	t.Logf("%s", chainText(v))
	if v.Alarm != "" || v.Failed > 0 {
		t.Errorf("%s", chainText(v))
	}
}

// gateway serves what is published, and counts. spoil has it give wrong bytes.
func (r *chainRig) gateway(spoil bool) (url string, served *atomic.Int64) {
	served = &atomic.Int64{}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		served.Add(1)
		if spoil {
			_, _ = w.Write([]byte("something else"))
			return
		}
		http.ServeFile(w, q, path.Join(r.source, path.Base(q.URL.Path)))
	}))
	r.t.Cleanup(s.Close)
	return s.URL, served
}

// TestW80Fetch: a gateway gives wrong bytes, and what is asked for comes from another; ten apps are fetched at once.
func TestW80Fetch(t *testing.T) {
	r := newChainRig(t, "fetch", chainBlock, nil)
	bad, lies := r.gateway(true)
	good, truths := r.gateway(false)
	h := r.host(func(c *host.Config) { c.Chain.Sources = bad + "," + good })
	list := r.list(h)
	const apps = 10
	var all []*manifest.Manifest
	var cids []string
	for n := range apps {
		note := fmt.Appendf(nil, "blob %d", n)
		hash := fmt.Sprintf("sha256:%x", sha256.Sum256(note))
		r.publish(hash, note)
		m, cid := r.app("c-handler", fmt.Sprint("app ", n), func(m *manifest.Manifest) { m.Blobs = []manifest.Pair{{Key: hash}} })
		all, cids = append(all, m), append(cids, cid)
	}
	for n, m := range all {
		r.pay(list, m, cids[n], "1000000000", "gas_price", "1")
	}
	for _, m := range all {
		a := r.deployed(h, m)
		if got := ask(t, h, a.Address, "echo", "hello"); got != "hello" {
			t.Errorf("%q", got)
		}
	}
	if lies.Load() == 0 || truths.Load() < 2*apps {
		t.Errorf("%d wrong answers, %d right ones", lies.Load(), truths.Load())
	}
}

// TestW82Reads: blocks in which nothing happens for this worker are read, and cost no questions, however many tickets there are.
func TestW82Reads(t *testing.T) {
	r := newChainRig(t, "reads", chainBlock/5, nil)
	plug := newChainSwitch(r.c)
	h := r.host(func(c *host.Config) { c.Chain.Port = plug })
	list := r.list(h)
	m, cid := r.app("c-handler", "reads", nil)
	for range 120 {
		r.pay(list, m, cid, "1000", "gas_price", "1")
	}
	r.deployed(h, m)
	quiet := func(blocks uint64) uint64 {
		r.until("all to be read", func() (bool, string) {
			v := r.view(h)
			return v.Follower.Tickets == 120 && v.Follower.Waiting == 0, chainText(v.Follower)
		})
		from, before := r.view(h).Follower.Head, plug.reads.Load()
		r.until("blocks", func() (bool, string) { v := r.view(h).Follower; return v.Head >= from+blocks, chainText(v) })
		return plug.reads.Load() - before
	}
	if n := quiet(40); n > 10 {
		t.Errorf("%d questions in 40 blocks in which nothing happened", n)
	}
	before := plug.reads.Load()
	r.call(r.alice, "Balances", "transfer_keep_alive", map[string]any{"dest": r.ticket(7).Account, "value": "1000"})
	if n := quiet(10) + plug.reads.Load() - before; n > 20 {
		t.Errorf("%d questions for one ticket that was paid", n)
	}
}
