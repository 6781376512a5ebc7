package host_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/host"
)

// scrape returns the samples of a host, by name and labels as they are written.
func scrape(t *testing.T, h *host.Host) map[string]float64 {
	t.Helper()
	var b bytes.Buffer
	if err := h.WriteMetrics(t.Context(), &b); err != nil {
		t.Fatal(err)
	}
	out := map[string]float64{}
	for line := range strings.Lines(b.String()) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		name, value, _ := strings.Cut(strings.TrimSpace(line), "} ")
		if value == "" {
			name, value, _ = strings.Cut(strings.TrimSpace(line), " ")
		} else {
			name += "}"
		}
		v, err := strconv.ParseFloat(value, 64)
		if err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		out[name] = v
	}
	return out
}

func wantSamples(t *testing.T, got, want map[string]float64) {
	t.Helper()
	for name, v := range want {
		if n, ok := got[name]; !ok || n != v {
			t.Errorf("%s is %v (there: %v), want %v", name, n, ok, v)
		}
	}
}

// TestMetricsCountWhatHappened has one run of each kind, and finds each where it belongs.
func TestMetricsCountWhatHappened(t *testing.T) {
	h := start(t, host.Config{ExecuteWorkers: 1, ExecuteWorkersCritical: 1, SpareWorkers: host.NoLimit})
	const tenant = "a-tenant-by-name"
	puzzle := host.Request{Code: guest(t, "hash-puzzle"), Tenant: tenant, Entry: invoke("run", "0", "1")}
	for _, row := range []struct {
		req  host.Request
		code fault.Code
	}{
		{puzzle, ""},
		{puzzle, ""},
		{host.Request{Code: guest(t, "trap"), Priority: run.High, Entry: invoke("div0")}, fault.GuestTrap},
		{host.Request{Code: guest(t, "loop"), Limits: run.Limits{CPU: 50 * time.Millisecond, Wall: time.Minute}}, fault.GuestCPULimit},
		{host.Request{Code: guest(t, "sleep"), Determinism: run.RealWorld, Limits: run.Limits{Wall: time.Second}}, fault.GuestWallLimit},
		{host.Request{Code: guest(t, "big-memory"), Entry: invoke("run")}, fault.GuestMemory},
		{host.Request{Code: guest(t, "not-wasm")}, fault.GuestNotWasm},
		{host.Request{Code: guest(t, "echo"), Entry: run.Entry{Mode: run.Bytes, Name: "echo"}, Input: make([]byte, 20<<10)}, ""},
	} {
		if r := execute(t, h, row.req); r.Fault != string(row.code) {
			t.Errorf("%s, want %s: %s", r.Fault, row.code, r.Message)
		}
	}
	if _, err := h.Precheck(t.Context(), host.CodeRequest{Code: puzzle.Code, Tenant: tenant}); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Execute(t.Context(), host.Request{}); !errors.Is(err, fault.Caller) {
		t.Fatal(err)
	}
	got := scrape(t, h)
	wantSamples(t, got, map[string]float64{
		`troupe_requests_total{kind="execute",verdict="ok"}`:                3,
		`troupe_requests_total{kind="execute",verdict="guest"}`:             5,
		`troupe_requests_total{kind="precheck",verdict="ok"}`:               1,
		`troupe_requests_refused_total{class="caller"}`:                     1,
		`troupe_request_seconds_count{kind="execute"}`:                      8,
		`troupe_faults_total{class="guest",code="guest.trap"}`:              1,
		`troupe_faults_total{class="guest",code="guest.cpu_limit"}`:         1,
		`troupe_faults_total{class="guest",code="guest.memory"}`:            1,
		`troupe_faults_total{class="guest",code="guest.not_wasm"}`:          1,
		`troupe_faults_total{class="caller",code="caller.invalid_request"}`: 1,
		`troupe_cache_requests_total{kind="execute",result="hit"}`:          1,
		`troupe_cache_requests_total{kind="execute",result="miss"}`:         7,
		`troupe_cache_requests_total{kind="precheck",result="hit"}`:         1,
		`troupe_executions_total{priority="high",verdict="guest"}`:          1,
		`troupe_executions_total{priority="normal",verdict="ok"}`:           3,
		`troupe_execute_queued_seconds_count{priority="high"}`:              1,
		`troupe_execute_cpu_seconds_count{priority="normal"}`:               5,
		`troupe_preparations_total{priority="high",verdict="ok"}`:           1,
		`troupe_prepare_queued_seconds_count{priority="normal"}`:            6,
		`troupe_input_bytes_sum`:                                            20 << 10,
		`troupe_code_bytes_count{form="given"}`:                             9,
		`troupe_timeouts_total{clock="host_cpu",stage="execute"}`:           1,
		`troupe_timeouts_total{clock="wall",stage="execute"}`:               1,
		`troupe_workers_killed_total{kind="execute",reason="cpu_limit"}`:    1,
		`troupe_workers_killed_total{kind="execute",reason="wall_limit"}`:   1,
		`troupe_workers_spawned_total{kind="prepare"}`:                      7,
		`troupe_workers_retired_total{kind="prepare"}`:                      7,
		`troupe_workers_spawned_total{kind="probe"}`:                        1,
		`troupe_pool_size{bound="hard",queue="execute"}`:                    1,
		`troupe_queue_depth{priority="critical",queue="execute"}`:           0,
		`troupe_cache_entries{state="prepared"}`:                            got["troupe_store_entries"],
		`troupe_cache_bytes`:                                                got["troupe_store_bytes"],
		`troupe_inspected`:                                                  1,
		`troupe_ready`:                                                      1,
		`troupe_workers_spawning_total{kind="execute"}`:                     got[`troupe_execute_workers_ordered_total`],
		`troupe_worker_orphans_total{kind="prepare"}`:                       0,
		`troupe_cache_removed_total{reason="operator"}`:                     0,
		`troupe_jobs{state="queued"}`:                                       0,
		`troupe_store_read_only`:                                            0,
		`troupe_bugs_total`:                                                 0,
		`troupe_database_commit_seconds_count{database="state"}`:            0,
	})
	if got[`troupe_database_commit_seconds_count{database="cache"}`] == 0 || got[`troupe_store_bytes`] == 0 {
		t.Error("nothing was stored")
	}
	for name, v := range got {
		if strings.Contains(name, tenant) || strings.Contains(name, "other") && v > 0 {
			t.Errorf("%s is %v", name, v)
		}
	}
	key := execute(t, h, puzzle).Artifact
	_ = execute(t, h, host.Request{Code: guest(t, "adder"), Entry: invoke("add", "1", "2")}) // takes the only worker
	if err := h.Evict(t.Context(), key); err != nil {
		t.Fatal(err)
	}
	wantSamples(t, scrape(t, h), map[string]float64{`troupe_cache_removed_total{reason="operator"}`: 1})
}

// TestTwoHostsCountForThemselves scrapes two hosts of one process.
func TestTwoHostsCountForThemselves(t *testing.T) {
	a, b := start(t, host.Config{Name: "a"}), start(t, host.Config{Name: "b"})
	execute(t, a, host.Request{Code: guest(t, "hash-puzzle"), Entry: invoke("run", "0", "1")})
	const runs = `troupe_executions_total{priority="normal",verdict="ok"}`
	wantSamples(t, scrape(t, a), map[string]float64{runs: 1})
	wantSamples(t, scrape(t, b), map[string]float64{runs: 0})
}

// TestScrapeUnderLoad scrapes again and again while both queues are full, and the load is served all the same.
func TestScrapeUnderLoad(t *testing.T) {
	h := start(t, host.Config{ExecuteWorkers: 2, ExecuteWorkersCritical: 2})
	code := guest(t, "hash-puzzle")
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for range 64 {
		wg.Go(func() {
			for ctx.Err() == nil {
				if _, err := h.Execute(ctx, host.Request{Code: code, Entry: invoke("run", "0", "1")}); err != nil && ctx.Err() == nil {
					t.Error(err)
					return
				}
			}
		})
	}
	const runs = `troupe_executions_total{priority="normal",verdict="ok"}`
	last := 0.0
	for n := 0; n < 20 || last == 0; n++ {
		begin := time.Now()
		got := scrape(t, h)
		if d := time.Since(begin); d > 10*time.Second { // twice what the look may take
			t.Errorf("a scrape took %v", d)
		}
		if got["troupe_inspected"] != 1 || got[runs] < last {
			t.Errorf("inspected %v, %v runs after %v", got["troupe_inspected"], got[runs], last)
		}
		last = got[runs]
	}
	cancel()
	wg.Wait()
}

// TestMetricsOfAClosedHost: there are none.
func TestMetricsOfAClosedHost(t *testing.T) {
	h := start(t, host.Config{})
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	if err := h.WriteMetrics(t.Context(), io.Discard); !errors.Is(err, fault.CallerClosed) {
		t.Error(err)
	}
}
