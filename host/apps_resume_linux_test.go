package host_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/actors/meter"
	"github.com/troupehost/troupe/artifacts/manifest"
	"github.com/troupehost/troupe/host"
)

// sinks reports which of the totals of one session are lower than before.
func sinks(before, after inspect.AppMetrics) bool {
	return after.Session != before.Session || after.Gas < before.Gas || after.RunningTimeMS < before.RunningTimeMS || after.Starts < before.Starts ||
		after.StorageRead < before.StorageRead || after.StorageWrite < before.StorageWrite || len(after.MemoryUsed) < len(before.MemoryUsed) || after.Tip < before.Tip
}

func reported(t testing.TB, h *host.Host) meter.Report {
	t.Helper()
	pages, err := h.ReportMetrics(t.Context())
	if err != nil || len(pages) != 1 {
		t.Fatalf("%d pages, %v", len(pages), err)
	}
	r, err := meter.OpenReport(pages[0].Encoded)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestW8W42Resume restarts a host: with Resume all goes on where it was, without there is nothing left but what outlives an app.
func TestW8W42Resume(t *testing.T) {
	cfg := host.Config{DataDir: t.TempDir(), Apps: host.AppConfig{Resume: true}}
	h := appsHost(t, cfg)
	kept := deploy(t, h, appOf(t, h, "c-service", lives))
	counts := deploy(t, h, appOf(t, h, "counter", func(m *manifest.Manifest) { m.Terms.Grants.KVBytes = 1 << 10 }))
	stopped := deploy(t, h, appOf(t, h, "c-service", func(m *manifest.Manifest) {
		lives(m)
		m.Label, m.Terms.Grants.Names = "stopped", []string{"app.example.org"}
	}))
	if _, err := h.StopApp(t.Context(), stopped.Address); err != nil {
		t.Fatal(err)
	}
	becomes(t, h, kept.Address, "running", runs(1))
	all := []string{kept.Address, counts.Address, stopped.Address}
	var before []inspect.App
	var session inspect.Session
	var last meter.Report
	for round := range 3 {
		if round > 0 {
			if err := h.Close(); err != nil {
				t.Fatal(err)
			}
			h = start(t, cfg)
			s, err := h.Session(t.Context())
			if err != nil || s.ID != session.ID || s.SN != session.SN || s.CNonce != session.CNonce || s.Apps != 3 {
				t.Errorf("the session was %+v, and is %+v, %v", session, s, err)
			}
			for n, old := range before {
				a, err := h.App(t.Context(), old.Address)
				if err != nil || sinks(old.Metrics, a.Metrics) || a.Sequence != old.Sequence || a.Wanted != old.Wanted || !a.Deployed.Equal(old.Deployed) {
					t.Errorf("app %d was %+v, and is %+v, %v", n, old, a, err)
				}
			}
			if a, err := h.App(t.Context(), stopped.Address); err != nil || a.State != "stopped" || a.Running != 0 {
				t.Errorf("a stopped app is %+v, %v", a, err)
			}
		}
		becomes(t, h, kept.Address, "running", runs(1))
		if got := ask(t, h, kept.Address, "count", ""); got != "1" {
			t.Errorf("a new instance has counted %s", got)
		}
		if got, want := ask(t, h, counts.Address, "x", ""), string(rune('1'+round))+"\n"; got != want {
			t.Errorf("round %d has counted %q", round, got)
		}
		r := reported(t, h)
		if r.Token.SN != last.Token.SN+1 || r.Token.Nonce == last.Token.Nonce || round > 0 && r.Token.Session != last.Token.Session {
			t.Errorf("the report has %+v after %+v", r.Token, last.Token)
		}
		for n, m := range r.Apps {
			if round > 0 && (m.Gas < last.Apps[n].Gas || m.Starts <= last.Apps[n].Starts && n < 2 || m.Session != last.Apps[n].Session) {
				t.Errorf("app %d is reported as %+v after %+v", n, m, last.Apps[n])
			}
		}
		last = r
		before = before[:0]
		for _, address := range all {
			a, err := h.App(t.Context(), address)
			if err != nil {
				t.Fatal(err)
			}
			before = append(before, a)
		}
		var err error
		if session, err = h.Session(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if before[0].Metrics.Starts != 3 || before[1].Metrics.Starts != 3 {
		t.Errorf("%d and %d starts", before[0].Metrics.Starts, before[1].Metrics.Starts)
	}
	// Its name is still its own.
	_, err := h.Deploy(t.Context(), host.DeployRequest{Manifest: appOf(t, h, "c-service", func(m *manifest.Manifest) {
		m.Label, m.Terms.Grants.Names = "other", []string{"app.example.org"}
	}).Encode()})
	isFault(t, err, fault.CallerConflict)

	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	cfg.Apps.Resume = false
	h = start(t, cfg)
	s, err := h.Session(t.Context())
	if err != nil || s.ID != "" || s.Apps != 0 || s.SN != 0 || s.WorkerKey != session.WorkerKey {
		t.Errorf("without Resume the session is %+v, %v", s, err)
	}
	if apps, _, err := h.Apps(t.Context(), host.AppFilter{}); err != nil || len(apps) != 0 {
		t.Errorf("without Resume there are %+v, %v", apps, err)
	}
	_, err = h.App(t.Context(), kept.Address)
	isFault(t, err, fault.CallerNotFound)
	if err := h.RemoveBlob(t.Context(), kept.CodeHash); err != nil { // nobody holds it
		t.Error(err)
	}
	if _, err := h.OpenSession(t.Context(), host.SessionRequest{}); err != nil {
		t.Fatal(err)
	}
	again := deploy(t, h, appOf(t, h, "counter", func(m *manifest.Manifest) { m.Terms.Grants.KVBytes = 1 << 10 }))
	if again.Session == counts.Session || again.Metrics.Starts != 0 {
		t.Errorf("deployed again it is %+v", again)
	}
	if got := ask(t, h, again.Address, "x", ""); got != "4\n" {
		t.Errorf("its values are lost: it counts %q", got)
	}
}

// restarted waits until an actor has failed and begun again.
func restarted(t testing.TB, h *host.Host, name string, times int) {
	t.Helper()
	waitFor(t, name+" to begin again", func() bool {
		in, _ := h.Inspect(t.Context()) // which fails while one is down
		for _, a := range in.Actors {
			if strings.HasSuffix(a.Path, "/"+name) {
				return a.Restarts >= times && a.State != "backoff"
			}
		}
		return false
	})
}

// TestAppsSurviveOthers has all other actors fail under an instance, which goes on.
func TestAppsSurviveOthers(t *testing.T) {
	t.Parallel()
	h := appsHost(t, host.Config{})
	a := deploy(t, h, appOf(t, h, "c-service", lives))
	id := instanceOf(t, h, a.Address)
	other := deploy(t, h, appOf(t, h, "c-handler", nil))
	asked := 0
	for _, name := range []string{"cache", "execute", "prepare", "jobs", other.Address} {
		if err := h.Crash(name); err != nil {
			t.Fatal(err)
		}
		if name != other.Address {
			restarted(t, h, name, 1)
		}
		asked++
		if got, want := ask(t, h, a.Address, "count", ""), string(rune('0'+asked)); got != want {
			t.Errorf("after the end of %s it has counted %s, want %s", name, got, want)
		}
	}
	if now := instanceOf(t, h, a.Address); now != id {
		t.Errorf("it was instance %d, and is %d", id, now)
	}
	becomes(t, h, other.Address, "back", func(b inspect.App) bool { return b.State == "idle" && b.Session == other.Session })
	if got := ask(t, h, other.Address, "echo", "hello"); got != "hello" {
		t.Errorf("the app whose actor failed answers %q", got)
	}
}

// TestAppsComeBack has their own actors fail, with callers that wait: those hear of it, and the apps go on with their totals.
func TestAppsComeBack(t *testing.T) {
	t.Parallel()
	h := appsHost(t, host.Config{Apps: host.AppConfig{Slots: 3}})
	a := deploy(t, h, appOf(t, h, "c-service", func(m *manifest.Manifest) { lives(m); m.Terms.QueryTimeout = time.Minute }))
	b := deploy(t, h, appOf(t, h, "c-service", func(m *manifest.Manifest) {
		m.Label, m.Terms.Reuse, m.Terms.QueryTimeout, m.Terms.Limits.Wall = "fresh", manifest.Reset, 800*time.Millisecond, 800*time.Millisecond
	}))
	last, first := uint64(0), map[string]inspect.App{}
	for round, actor := range []string{a.Address, b.Address, "sessions"} {
		id := instanceOf(t, h, a.Address)
		ask(t, h, a.Address, "count", "")
		persist(t, h, b.Address, "count")
		if r := reported(t, h); r.Token.SN <= last {
			t.Errorf("report %d after %d", r.Token.SN, last)
		} else {
			last = r.Token.SN
		}
		for _, address := range []string{a.Address, b.Address} {
			app, err := h.App(t.Context(), address)
			if err != nil {
				t.Fatal(err)
			}
			first[address] = app
		}
		var waiting sync.WaitGroup
		for address, path := range map[string]string{a.Address: "silent", b.Address: "spin"} {
			waiting.Go(func() {
				if out, err := query(t, h, address, path, ""); err == nil || fault.From(err).Class == fault.Bug {
					t.Errorf("%s was answered %q, %v", path, out, err)
				}
			})
			becomes(t, h, address, "busy", func(app inspect.App) bool { return app.Active == 1 })
		}
		begin := time.Now()
		if err := h.Crash(actor); err != nil {
			t.Fatal(err)
		}
		if actor == b.Address { // the other one is left alone
			if now := instanceOf(t, h, a.Address); now != id {
				t.Errorf("it was instance %d, and is %d", id, now)
			}
			if _, err := h.StopApp(t.Context(), a.Address); err != nil {
				t.Error(err)
			}
			if _, err := h.StartApp(t.Context(), a.Address); err != nil {
				t.Error(err)
			}
		}
		waiting.Wait()
		if took := time.Since(begin); took > 15*time.Second {
			t.Errorf("round %d: who waited heard of it after %v", round, took)
		}
		becomes(t, h, a.Address, "running again", func(app inspect.App) bool { return runs(1)(app) && app.Instances[0].ID != id })
		if got := ask(t, h, a.Address, "count", ""); got != "1" {
			t.Errorf("round %d: a new instance has counted %s", round, got)
		}
		if got := persist(t, h, b.Address, "count"); got != "1" {
			t.Errorf("round %d: a fresh one has counted %s", round, got)
		}
		becomes(t, h, b.Address, "quiet", func(app inspect.App) bool { return app.Active == 0 })
		for address, old := range first {
			app, err := h.App(t.Context(), address)
			if err != nil || sinks(old.Metrics, app.Metrics) || app.Metrics.Starts <= old.Metrics.Starts || app.Sequence != old.Sequence {
				t.Errorf("round %d: %s had %+v, and has %+v, %v", round, app.Label, old.Metrics, app.Metrics, err)
			}
		}
		if s, err := h.Session(t.Context()); err != nil || s.SlotsUsed != 1 || s.Apps != 2 {
			t.Errorf("round %d: %+v, %v", round, s, err)
		}
	}
}

// TestCloseWhileAppsRun closes a host under guests of all kinds: who may end does, the others are ended, and their callers hear of it.
func TestCloseWhileAppsRun(t *testing.T) {
	cfg := host.Config{DataDir: t.TempDir(), ExecuteWorkers: 4, Apps: host.AppConfig{Resume: true}}
	h := appsHost(t, cfg)
	long := func(label string, change func(*manifest.Manifest)) string {
		return deploy(t, h, appOf(t, h, "c-service", func(m *manifest.Manifest) {
			m.Label, m.Terms.QueryTimeout, m.Terms.Limits.Wall, m.Terms.Limits.CPU = label, time.Minute, time.Minute, time.Minute
			change(m)
		})).Address
	}
	quiet := long("quiet", lives)
	becomes(t, h, quiet, "running", runs(1))
	var callers sync.WaitGroup
	for path, address := range map[string]string{"silent": quiet, "spin": long("kept", lives), "spin ": long("fresh", func(m *manifest.Manifest) { m.Terms.Reuse = manifest.Reset })} {
		callers.Go(func() {
			if out, err := query(t, h, address, strings.TrimSpace(path), ""); err == nil || fault.From(err).Class == fault.Bug {
				t.Errorf("%s was answered %q, %v", path, out, err)
			}
		})
		becomes(t, h, address, "busy", func(a inspect.App) bool { return a.Active == 1 })
	}
	// One that ends soon by itself, and is answered.
	soon := deploy(t, h, appOf(t, h, "loop", func(m *manifest.Manifest) {
		m.Terms.Limits.CPU, m.Terms.Limits.Wall = 100*time.Millisecond, time.Minute
	})).Address
	callers.Go(func() {
		_, err := query(t, h, soon, "x", "")
		isFault(t, err, fault.GuestCPULimit)
	})
	waitFor(t, "three guests that compute", func() bool { return len(busyWorkers(t, h)) == 3 || len(busyWorkers(t, h)) == 4 })
	becomes(t, h, soon, "busy", func(a inspect.App) bool { return a.Active == 1 })
	in, err := h.Inspect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	if err := h.Close(); err != nil {
		t.Error(err)
	}
	if took := time.Since(begin); took > 8*time.Second { // StopTimeout is 10 s
		t.Errorf("it took %v", took)
	}
	callers.Wait()
	for _, w := range in.Workers {
		if alive(w.PID) {
			t.Errorf("worker %s is still there", w.ID)
		}
	}
	_, err = query(t, h, quiet, "x", "")
	isFault(t, err, fault.CallerClosed)
	h = start(t, cfg)
	for _, address := range []string{quiet, soon} {
		a, err := h.App(t.Context(), address)
		if err != nil || a.Metrics.Starts == 0 || a.Metrics.RunningTimeMS == 0 {
			t.Errorf("the next host has %+v, %v", a, err)
		}
	}
}

// TestCallersWhileTheHostCloses has many ask, change and deploy apps while the host closes: nobody waits for ever.
func TestCallersWhileTheHostCloses(t *testing.T) {
	t.Parallel()
	h := appsHost(t, host.Config{})
	a := deploy(t, h, appOf(t, h, "c-service", lives))
	b := deploy(t, h, appOf(t, h, "c-handler", nil))
	becomes(t, h, a.Address, "running", runs(1))
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	m := appOf(t, h, "c-handler", func(m *manifest.Manifest) { m.Label = "more" })
	var all sync.WaitGroup
	codes := make(chan fault.Code, 100)
	for _, do := range []func() error{
		func() error { _, err := h.Query(ctx, host.AppQuery{Address: a.Address, Path: "count"}); return err },
		func() error { _, err := h.Query(ctx, host.AppQuery{Address: b.Address, Path: "echo"}); return err },
		func() error { _, err := h.StopApp(ctx, a.Address); return err },
		func() error { _, err := h.StartApp(ctx, a.Address); return err },
		func() error { _, err := h.ReportMetrics(ctx); return err },
		func() error { _, _, err := h.Apps(ctx, host.AppFilter{}); return err },
		func() error {
			_, err := h.Deploy(ctx, host.DeployRequest{Manifest: m.Encode()})
			if err == nil {
				_, err = h.RemoveApp(ctx, m.Address().String())
			}
			return err
		},
	} {
		all.Go(func() {
			for ctx.Err() == nil {
				if err := do(); fault.CodeOf(err) == fault.CallerClosed {
					return
				} else if err != nil && fault.From(err).Class == fault.Bug {
					select {
					case codes <- fault.CodeOf(err):
					default:
					}
				}
			}
			t.Error("it never heard that the host has closed")
		})
	}
	waitFor(t, "some of it", func() bool { app, err := h.App(ctx, b.Address); return err == nil && app.Metrics.Starts > 20 })
	begin := time.Now()
	if err := h.Close(); err != nil {
		t.Error(err)
	}
	if took := time.Since(begin); took > 8*time.Second {
		t.Errorf("it took %v", took)
	}
	all.Wait()
	close(codes)
	var bugs []fault.Code
	for c := range codes {
		bugs = append(bugs, c)
	}
	if d := cmp.Diff([]fault.Code(nil), bugs); d != "" {
		t.Error(d)
	}
}
