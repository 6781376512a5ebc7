package host_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/actors/meter"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/artifacts/manifest"
	"github.com/troupehost/troupe/host"
)

// goApp deploys the app that can do everything, with one instance for all requests. Hosts of one directory compile it once.
func goApp(t testing.TB, h *host.Host, label string, change func(*manifest.Manifest)) string {
	t.Helper()
	a := deploy(t, h, appOf(t, h, "go-app", func(m *manifest.Manifest) {
		m.Label, m.Terms.QueryTimeout = label, time.Minute // the first one waits for the compiler
		m.Terms.Grants.KVBytes = 1 << 20
		if change != nil {
			change(m)
		}
	}))
	return a.Address
}

func replied(t testing.TB, h *host.Host, address, path, payload string) (host.AppReply, error) {
	return h.Query(t.Context(), host.AppQuery{Address: address, Path: path, Payload: []byte(payload)})
}

// gasOf is what a receipt says.
func gasOf(r *run.Receipt) (gas uint64) {
	for _, n := range []*int64{r.GasUsed, r.InitGas} {
		if n != nil {
			gas += uint64(*n)
		}
	}
	return gas
}

// TestW37W42GasOfQueries: the same query takes the same gas each time, and the totals of an app are those of its receipts.
func TestW37W42GasOfQueries(t *testing.T) {
	t.Parallel()
	h := appsHost(t, host.Config{})
	for _, c := range []struct{ file, path string }{{"c-handler", "x"}, {"rust-app", "len"}, {"c-cgi", "x"}, {"c-service", "x"}, {"counter", ""}} {
		a := deploy(t, h, appOf(t, h, c.file, func(m *manifest.Manifest) {
			m.Terms.Grants.KVBytes = 1 << 20
			m.Terms.Reuse = manifest.Reset
		}))
		const queries = 100
		var gas, starts uint64
		var first uint64
		var last inspect.AppMetrics
		for n := range queries {
			r, err := replied(t, h, a.Address, c.path, "hello")
			if err != nil {
				t.Fatalf("%s: %v", c.file, err)
			}
			now := app(t, h, a.Address).Metrics
			if r.Receipt != nil {
				gas += gasOf(r.Receipt)
				if n == 0 {
					first = gas
				}
				if c.file != "counter" && gasOf(r.Receipt) != first { // whose input is another each time
					t.Errorf("%s: query %d took %d gas, the first one %d", c.file, n, gasOf(r.Receipt), first)
				}
				if now.Gas != gas/1024 {
					t.Fatalf("%s: the total is %d after %d gas", c.file, now.Gas, gas)
				}
			}
			starts++
			if now.Starts != starts || now.Gas < last.Gas || now.RunningTimeMS < last.RunningTimeMS {
				t.Fatalf("%s: query %d: %+v after %+v", c.file, n, now, last)
			}
			last = now
		}
		if last.Gas == 0 {
			t.Errorf("%s: %+v", c.file, last)
		}
		t.Logf("%s: %+v", c.file, last)
	}
}

// TestW38GasBudget: a run ends with its gas, an instance as well, and the reason is there to see.
func TestW38GasBudget(t *testing.T) {
	t.Parallel()
	h := appsHost(t, host.Config{})
	const budget = 50_000_000
	limit := func(m *manifest.Manifest) { m.Terms.Limits.Gas, m.Terms.Limits.CPU = budget, time.Minute }
	a := deploy(t, h, appOf(t, h, "loop", limit))
	_, err := replied(t, h, a.Address, "x", "")
	if fault.CodeOf(err) != fault.GuestGasLimit {
		t.Errorf("a run without end: %v", err)
	}
	if m := app(t, h, a.Address).Metrics; m.Gas < budget/1024 || m.Gas > 2*budget/1024 || m.Starts != 1 {
		t.Errorf("%+v", m)
	}
	b := deploy(t, h, appOf(t, h, "c-service", limit))
	if _, err = replied(t, h, b.Address, "spin", ""); fault.CodeOf(err) != fault.GuestGasLimit {
		t.Errorf("an instance without end: %v", err)
	}
	waitFor(t, "the end of the instance", func() bool { return app(t, h, b.Address).LastEnd != "" })
	shown := app(t, h, b.Address)
	if !strings.HasPrefix(strings.Trim(shown.LastEnd, `"`), "gas") {
		t.Errorf("it ended because of %q", shown.LastEnd)
	}
	if m := shown.Metrics; m.Gas < budget/1024 || m.Gas > 2*budget/1024 || m.Starts != 1 {
		t.Errorf("%+v", m)
	}
}

// TestW39W40W41W42OneInstance: what an instance of the app that can do everything uses is counted.
func TestW39W40W41W42OneInstance(t *testing.T) {
	t.Parallel()
	h := appsHost(t, host.Config{Apps: host.AppConfig{EgressPrivate: "127.0.0.0/8"}})
	t.Run("W40W41", func(t *testing.T) { tipsStorageAndTime(t, h) }) // is first: it is compiled
	t.Run("W39", func(t *testing.T) { networkMeter(t, h) })
	t.Run("W42", func(t *testing.T) { killedInstance(t, h) })
}

// tipsStorageAndTime: tips add up and saturate, what is stored and held is counted, and compilation is not running time.
func tipsStorageAndTime(t *testing.T, h *host.Host) {
	blobText := strings.Repeat("b", 1000)
	b, err := h.PutBlob(t.Context(), "", strings.NewReader(blobText))
	if err != nil {
		t.Fatal(err)
	}
	used := make([]inspect.AppMetrics, 2)
	for n := range used {
		began := time.Now()
		a := goApp(t, h, fmt.Sprint("app ", n), func(m *manifest.Manifest) { m.Blobs = []manifest.Pair{{Key: b.Hash}} })
		ask(t, h, a, "tip?amount=7", "")
		first := time.Since(began)
		if m := app(t, h, a).Metrics; m.RunningTimeMS > uint64(first.Milliseconds())/2 && n == 0 {
			t.Errorf("%d ms of %v are running time: it was compiled meanwhile", m.RunningTimeMS, first)
		}
		ask(t, h, a, "tip?amount=5", "")
		if m := app(t, h, a).Metrics; m.Tip != 12 {
			t.Errorf("a tip of 7 and one of 5 are %d", m.Tip)
		}
		for range 3 {
			ask(t, h, a, fmt.Sprint("tip?amount=", math.MaxInt64), "")
		}
		if m := app(t, h, a).Metrics; m.Tip != math.MaxUint64 {
			t.Errorf("tips without end are %d", m.Tip)
		}
		ask(t, h, a, "kv?op=put&key=k", strings.Repeat("v", 500))
		if got := ask(t, h, a, "kv?op=get&key=k", ""); len(got) != 500 {
			t.Errorf("%q", got)
		}
		if got := ask(t, h, a, "blob?hash="+b.Hash, ""); got != blobText {
			t.Errorf("%d bytes", len(got))
		}
		ask(t, h, a, "timer?ms=20", "")
		if _, err := h.ReportMetrics(t.Context(), a); err != nil {
			t.Fatal(err)
		}
		if used[n] = app(t, h, a).Metrics; used[n].MemoryUsed == "0" || used[n].StorageUsed == "0" || used[n].Starts != 1 {
			t.Errorf("%+v", used[n])
		}
		if _, err := h.StopApp(t.Context(), a); err != nil {
			t.Fatal(err)
		}
	}
	if x, y := used[0], used[1]; x.StorageRead < 1500 || x.StorageWrite < 500 || x.StorageRead != y.StorageRead || x.StorageWrite != y.StorageWrite {
		t.Errorf("%+v and %+v", x, y)
	}
}

// networkMeter: a megabyte there and back is a megabyte each way, and what a connection costs.
func networkMeter(t *testing.T, h *host.Host) {
	to := echoServer(t)
	a := goApp(t, h, "net", func(m *manifest.Manifest) {
		m.MaxQueryBytes = 2 << 20
		m.Terms.Grants.Egress = []string{"127.0.0.1:1-65535"}
	})
	const size, connect, shutdown = 1 << 20, 512, 128
	payload := strings.Repeat("0123456789abcdef", size/16)
	var last inspect.AppMetrics
	for n := range uint64(3) {
		if got := ask(t, h, a, "dial?to="+to, payload[:size-int(n)]); got != payload[:size-int(n)] {
			t.Fatalf("%d bytes came back", len(got))
		}
		m := app(t, h, a).Metrics
		if in, out := m.NetworkIngress-last.NetworkIngress, m.NetworkEgress-last.NetworkEgress; in != size-n+connect || out != size-n+connect+shutdown {
			t.Errorf("%d bytes in, %d out", in-(size-n), out-(size-n))
		}
		last = m
	}
}

// echoServer sends back what it gets.
func echoServer(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				_, _ = io.Copy(c, c)
				_ = c.Close()
			}()
		}
	}()
	return l.Addr().String()
}

// TestW43W44W45Reports: two hundred apps are reported on pages that verify, under numbers that only grow.
func TestW43W44W45Reports(t *testing.T) {
	t.Parallel()
	h := appsHost(t, host.Config{})
	const apps = 200
	m := appOf(t, h, "c-handler", nil)
	addresses := make([]string, apps)
	var wg sync.WaitGroup
	for n := range addresses {
		own := *m
		own.Label = fmt.Sprint("app ", n)
		wg.Go(func() { addresses[n] = deploy(t, h, &own).Address })
	}
	wg.Wait()
	for _, a := range addresses[:20] {
		ask(t, h, a, "x", "hello")
	}
	all, err := h.AppMetrics(t.Context())
	if err != nil || len(all) != apps {
		t.Fatalf("%d totals, %v", len(all), err)
	}
	session, err := h.Session(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	nonces := map[[32]byte]bool{}
	sn := session.SN
	for range 3 {
		pages, err := h.ReportMetrics(t.Context())
		if err != nil || len(pages) != 4 {
			t.Fatalf("%d pages, %v", len(pages), err)
		}
		found := 0
		for _, p := range pages {
			r, err := meter.OpenReport(p.Encoded)
			if err != nil {
				t.Fatal(err)
			}
			if r.Token.SN <= sn || r.Token.SN != p.SN || nonces[r.Token.Nonce] || fmt.Sprintf("%x", r.Token.Session) != session.ID {
				t.Errorf("%+v after %d", r.Token, sn)
			}
			if fmt.Sprintf("%x", r.Worker) != session.WorkerKey || len(r.Apps) > 64 || len(r.Apps) != p.Apps {
				t.Errorf("%d apps of %x", len(r.Apps), r.Worker)
			}
			sn, nonces[r.Token.Nonce] = r.Token.SN, true
			for _, x := range r.Apps {
				if got := all[found]; fmt.Sprintf("%x", x.Address) != got.Address || fmt.Sprintf("%x", x.Session) != got.Session || x.Gas != got.Gas || x.Starts != got.Starts {
					t.Errorf("%x is not %+v", x.Address, got)
				}
				found++
			}
			bad := append([]byte(nil), p.Encoded...)
			bad[len(bad)/2] ^= 1
			if _, err := meter.OpenReport(bad); err == nil {
				t.Error("a report with another bit opens")
			}
		}
		if found != apps {
			t.Errorf("%d apps were reported", found)
		}
	}
}

// TestW42WhatEndsBadlyIsCounted: gas of runs whose query has timed out is in the totals, but for what they took of their last turn.
func TestW42WhatEndsBadlyIsCounted(t *testing.T) {
	t.Parallel()
	h := appsHost(t, host.Config{})
	const much = 10_000_000 / 1024 // a turn has a hundred times more
	cases := []struct {
		file, path string
		reuse      manifest.Reuse
	}{{"loop", "x", manifest.Reset}, {"c-service", "spin", manifest.Reset}, {"loop", "x", manifest.Process}, {"c-service", "spin", manifest.Process}}
	addresses := make([]string, len(cases))
	var wg sync.WaitGroup
	for n, c := range cases {
		addresses[n] = deploy(t, h, appOf(t, h, c.file, func(m *manifest.Manifest) {
			m.Label = fmt.Sprint(c.file, c.reuse)
			m.Terms.QueryTimeout, m.Terms.Limits.CPU, m.Terms.Limits.Wall, m.Terms.Reuse = 600*time.Millisecond, 10*time.Second, 800*time.Millisecond, c.reuse
		})).Address
	}
	waitFor(t, "the compiler", func() bool {
		s, err := h.Inspect(t.Context())
		return err == nil && !slices.ContainsFunc(s.Artifacts, func(a inspect.Artifact) bool { return a.State != "prepared" })
	})
	for n, c := range cases {
		wg.Go(func() {
			if _, err := replied(t, h, addresses[n], c.path, ""); fault.CodeOf(err) != fault.GuestNoReply {
				t.Errorf("%s %v: %v", c.file, c.reuse, err)
			}
		})
	}
	wg.Wait()
	for n, c := range cases {
		var now inspect.AppMetrics
		waitFor(t, "the end of the run", func() bool {
			a := app(t, h, addresses[n])
			now = a.Metrics
			return a.Active == 0 && now.Starts == 1 && now.Gas > much
		})
		if now.RunningTimeMS < 10 || now.RunningTimeMS > 10_000 {
			t.Errorf("%s %v: %+v", c.file, c.reuse, now)
		}
	}
}

// killedInstance: what an instance has used until its worker is killed is not lost, nor is a tip.
func killedInstance(t *testing.T, h *host.Host) {
	a := goApp(t, h, "killed", nil)
	for n := range uint64(3) {
		ask(t, h, a, "tip?amount=7", "")
		ask(t, h, a, "burn?rounds=100", "")
		before := app(t, h, a).Metrics
		if before.Tip != 7*(n+1) || before.Starts != n+1 {
			t.Fatalf("%+v", before)
		}
		got := make(chan error, 1)
		go func() {
			_, err := h.Query(context.Background(), host.AppQuery{Address: a, Path: "spin"})
			got <- err
		}()
		waitFor(t, "the spinning guest's gas", func() bool { return app(t, h, a).Metrics.Gas > before.Gas+1_000_000 })
		s, err := h.Inspect(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, w := range s.Workers {
			if w.Kind == "execute" && w.State == "busy" {
				_ = syscall.Kill(w.PID, syscall.SIGKILL)
			}
		}
		if err := <-got; err == nil {
			t.Error("a killed instance has answered")
		}
		waitFor(t, "its end", func() bool { return app(t, h, a).Running == 0 })
		if after := app(t, h, a).Metrics; after.Gas < before.Gas+1_000_000 || after.Tip != before.Tip || after.Starts != before.Starts {
			t.Errorf("%+v after %+v", after, before)
		}
	}
}

func init() { roles["apps"] = serveApps }

// appsTotals is what a host that is killed says after each round.
type appsTotals struct {
	Err     string
	SN      uint64
	Session string
	Apps    []inspect.AppMetrics
}

// serveApps is a host with apps that are asked, until it is killed.
func serveApps(dir string) {
	out := json.NewEncoder(os.Stdout)
	fail := func(err error) {
		_ = out.Encode(appsTotals{Err: err.Error()})
		os.Exit(1)
	}
	ctx := context.Background()
	h, err := host.Start(ctx, host.Config{DataDir: dir, BallastBytes: host.NoLimit, Apps: host.AppConfig{Resume: true}})
	if err != nil {
		fail(err)
	}
	s, err := h.Session(ctx)
	if err != nil {
		fail(err)
	}
	tell := func() {
		all, err := h.AppMetrics(ctx)
		if err != nil {
			fail(err)
		}
		if s, err = h.Session(ctx); err != nil {
			fail(err)
		}
		_ = out.Encode(appsTotals{SN: s.SN, Session: s.ID, Apps: all})
	}
	if s.ID == "" {
		if _, err := h.OpenSession(ctx, host.SessionRequest{}); err != nil {
			fail(err)
		}
		for _, name := range []string{"c-handler", "c-service", "counter"} {
			f, err := os.Open("../testdata/guests/" + name + ".wasm")
			if err != nil {
				fail(err)
			}
			b, err := h.PutBlob(ctx, "", f)
			if err != nil {
				fail(err)
			}
			m := manifest.Manifest{Version: 2, CodeHash: b.Hash, OnDemand: true, MaxQueryBytes: 100, Label: name, Terms: &manifest.Terms{Grants: manifest.Grants{KVBytes: 1 << 20}}}
			if _, err := h.Deploy(ctx, host.DeployRequest{Manifest: m.Encode()}); err != nil {
				fail(err)
			}
		}
	}
	tell()
	apps, _, err := h.Apps(ctx, host.AppFilter{})
	if err != nil {
		fail(err)
	}
	for {
		for _, a := range apps {
			if _, err := h.Query(ctx, host.AppQuery{Address: a.Address, Path: "x", Payload: []byte("hello")}); err != nil {
				fail(err)
			}
		}
		if _, err := h.ReportMetrics(ctx); err != nil {
			fail(err)
		}
		tell()
	}
}

// TestW42KilledHost: what was told of totals before a kill -9 is there after the restart, in the same session, and no number goes back.
func TestW42KilledHost(t *testing.T) {
	t.Parallel()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	var last appsTotals
	for round := range 3 {
		c := exec.Command(exe)
		c.Env = append(os.Environ(), crashEnv+"="+dir, roleEnv+"=apps")
		out, err := c.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		in := bufio.NewReader(out)
		lines := json.NewDecoder(in)
		for n := range 12 { // and in the middle of whatever comes then it is killed
			var now appsTotals
			if err := lines.Decode(&now); err != nil || now.Err != "" {
				t.Fatalf("round %d: %v %s", round, err, now.Err)
			}
			if len(now.Apps) != 3 {
				t.Fatalf("round %d: %+v", round, now)
			}
			if last.Apps != nil {
				if now.Session != last.Session || now.SN < last.SN || n > 0 && now.SN == last.SN {
					t.Errorf("round %d: session %s %d after %s %d", round, now.Session, now.SN, last.Session, last.SN)
				}
				for k, a := range now.Apps {
					if b := last.Apps[k]; a.Session != b.Session || a.Gas < b.Gas || a.Starts < b.Starts || a.RunningTimeMS < b.RunningTimeMS || a.StorageWrite < b.StorageWrite {
						t.Errorf("round %d: %+v after %+v", round, a, b)
					}
				}
			}
			last = now
		}
		children := descendants(c.Process.Pid)
		_ = c.Process.Kill()
		var rest appsTotals // what it said before it died counts
		for lines.Decode(&rest) == nil && len(rest.Apps) == 3 {
			last = rest
		}
		if err := c.Wait(); err == nil {
			t.Error("it ended by itself")
		}
		waitFor(t, "the workers' death", func() bool { return !slices.ContainsFunc(children, alive) })
	}
	for _, a := range last.Apps {
		if a.Gas == 0 || a.Starts == 0 {
			t.Errorf("%+v", a)
		}
	}
}

// TestW42TotalsOfManyApps: the totals of many apps that are asked at once are the sums of their receipts.
func TestW42TotalsOfManyApps(t *testing.T) {
	t.Parallel()
	totalsOfMany(t, 100)
}

func totalsOfMany(t *testing.T, apps int) {
	const queries = 10
	h := appsHost(t, host.Config{})
	began := time.Now()
	m := appOf(t, h, "c-handler", nil)
	var mu sync.Mutex
	gas := map[string]uint64{}
	work := make(chan int)
	var wg sync.WaitGroup
	for range 3 { // fewer than there are workers: each change of the app takes one a process
		wg.Go(func() {
			for n := range work {
				own := *m
				own.Label = fmt.Sprint("app ", n)
				a := deploy(t, h, &own)
				sum := uint64(0)
				for range queries {
					r, err := replied(t, h, a.Address, "x", strings.Repeat("x", n%100))
					if err != nil || r.Receipt == nil {
						t.Error(errors.Join(err, errors.New("no receipt")))
						continue
					}
					sum += gasOf(r.Receipt)
				}
				mu.Lock()
				gas[a.Address] = sum
				mu.Unlock()
			}
		})
	}
	for n := range apps {
		work <- n
	}
	close(work)
	wg.Wait()
	all, err := h.AppMetrics(t.Context())
	if err != nil || len(all) != apps {
		t.Fatalf("%d totals, %v", len(all), err)
	}
	for _, m := range all {
		if m.Gas != gas[m.Address]/1024 || m.Starts != queries || gas[m.Address] == 0 {
			t.Errorf("%+v after %d gas", m, gas[m.Address])
		}
	}
	t.Logf("%d apps, %d queries each: %v", apps, queries, time.Since(began))
}
