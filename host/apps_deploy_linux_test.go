package host_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/actors/meter"
	"github.com/troupehost/troupe/artifacts/manifest"
	"github.com/troupehost/troupe/host"
)

// isFault fails unless an error has a code.
func isFault(t testing.TB, err error, want fault.Code) {
	t.Helper()
	if got := fault.CodeOf(err); err == nil || got != want {
		t.Errorf("%v (%s), want %s", err, got, want)
	}
}

// becomes waits until an app is as it should be, and returns it.
func becomes(t testing.TB, h *host.Host, address, what string, is func(inspect.App) bool) (a inspect.App) {
	t.Helper()
	if !eventually(t, func() bool {
		var err error
		a, err = h.App(t.Context(), address)
		return err == nil && is(a)
	}) {
		t.Fatalf("it did not become %s: %+v", what, a)
	}
	return a
}

// runs is for becomes: so many instances have begun to run.
func runs(n int) func(inspect.App) bool {
	return func(a inspect.App) bool {
		up := 0
		for _, i := range a.Instances {
			if i.State == "running" {
				up++
			}
		}
		return up == n && int(a.Running) == n
	}
}

// lives changes a manifest into one of an app that lives on.
func lives(m *manifest.Manifest) { m.OnDemand = false }

// query asks an app and returns what came of it.
func query(t testing.TB, h *host.Host, address, path, payload string) (string, error) {
	t.Helper()
	r, err := h.Query(t.Context(), host.AppQuery{Address: address, Path: path, Payload: []byte(payload)})
	return string(r.Output), err
}

func TestW2DeployGuards(t *testing.T) {
	t.Parallel()
	h := appsHost(t, host.Config{})
	there := deploy(t, h, appOf(t, h, "c-handler", nil))
	for want, change := range map[fault.Code]func(m *manifest.Manifest){
		fault.CallerManifestVersion:  func(m *manifest.Manifest) { m.Version = 3 },
		fault.CallerManifestConflict: func(m *manifest.Manifest) { m.Resizable = true },
		fault.CallerManifestLabel:    func(m *manifest.Manifest) { m.Label = strings.Repeat("x", manifest.MaxLabelBytes+1) },
		fault.CallerManifestTooLarge: func(m *manifest.Manifest) {
			m.Args = []string{strings.Repeat("x", manifest.MaxBytes-len(m.Encode())-3), ""}
			for len(m.Encode()) <= manifest.MaxBytes { // one byte too long
				m.Args[1] += "x"
			}
		},
		fault.CallerAppExists: func(*manifest.Manifest) {},
	} {
		m := appOf(t, h, "c-handler", change)
		_, err := h.Deploy(t.Context(), host.DeployRequest{Manifest: m.Encode()})
		isFault(t, err, want)
	}
	m := appOf(t, h, "c-handler", nil)
	_, err := h.Deploy(t.Context(), host.DeployRequest{Manifest: append(m.Encode(), 0)})
	isFault(t, err, fault.CallerManifest)
	if apps, _, err := h.Apps(t.Context(), host.AppFilter{}); err != nil || len(apps) != 1 || apps[0].Address != there.Address {
		t.Errorf("what was refused left %+v, %v", apps, err)
	}
}

func TestW3DeployIsAtomic(t *testing.T) {
	t.Parallel()
	h := appsHost(t, host.Config{})
	m := appOf(t, h, "c-handler", nil)
	if err := h.RemoveBlob(t.Context(), m.CodeHash); err != nil {
		t.Fatal(err)
	}
	_, err := h.Deploy(t.Context(), host.DeployRequest{Manifest: m.Encode()})
	isFault(t, err, fault.CallerBlobMissing)
	if apps, _, err := h.Apps(t.Context(), host.AppFilter{}); err != nil || len(apps) != 0 {
		t.Errorf("it left %+v, %v", apps, err)
	}
	a := deploy(t, h, appOf(t, h, "c-handler", nil)) // which puts the blob
	if got := ask(t, h, a.Address, "echo", "hello"); got != "hello" {
		t.Errorf("it answers %q", got)
	}
	bad, err := h.PutBlob(t.Context(), "", strings.NewReader("no program"))
	if err != nil {
		t.Fatal(err)
	}
	m.CodeHash = bad.Hash
	_, err = h.Deploy(t.Context(), host.DeployRequest{Manifest: m.Encode()})
	isFault(t, err, fault.GuestNotWasm)
	if err := h.RemoveBlob(t.Context(), bad.Hash); err != nil { // nothing holds it
		t.Error(err)
	}
}

// leaving is a context that ends when it is looked at for the nth time.
type leaving struct {
	context.Context
	end  context.CancelFunc
	left atomic.Int32
}

func (l *leaving) look() {
	if l.left.Add(-1) == 0 {
		l.end()
	}
}

func (l *leaving) Err() error            { l.look(); return l.Context.Err() }
func (l *leaving) Done() <-chan struct{} { l.look(); return l.Context.Done() }

// TestDeployOfACallerThatLeaves: wherever its context ends, a deployment is whole or leaves neither server names nor blobs.
func TestDeployOfACallerThatLeaves(t *testing.T) {
	t.Parallel()
	h := appsHost(t, host.Config{})
	named := func(m *manifest.Manifest) { m.Terms.Grants.Names = []string{"app.example.org"} }
	failed := 0
	for n := int32(1); ; n++ {
		m := appOf(t, h, "c-handler", named)
		ctx, cancel := context.WithCancel(t.Context())
		l := &leaving{Context: ctx, end: cancel}
		l.left.Store(n)
		_, err := h.Deploy(l, host.DeployRequest{Manifest: m.Encode()})
		over := l.left.Load() > 0
		cancel()
		if err != nil {
			failed++
			if err := h.RemoveBlob(t.Context(), m.CodeHash); err != nil {
				t.Fatalf("ended at look %d: %v", n, err)
			}
			m = appOf(t, h, "c-handler", func(m *manifest.Manifest) { named(m); m.Label = "other" })
			deploy(t, h, m)
		}
		if _, err := h.RemoveApp(t.Context(), m.Address().String()); err != nil {
			t.Fatalf("ended at look %d: %v", n, err)
		}
		if over {
			break
		}
	}
	if failed == 0 {
		t.Error("no deployment failed")
	}
}

// TestARemovedAppIsNotOpened: an opening that ends after the removal leaves nothing, and another app of the address is opened.
func TestARemovedAppIsNotOpened(t *testing.T) {
	t.Parallel()
	h := appsHost(t, host.Config{})
	m := appOf(t, h, "c-handler", nil)
	stayed, err := h.OpenAcrossRemoval(m)
	isFault(t, err, fault.CallerNotFound)
	if stayed {
		t.Error("it stays")
	}
	if got := ask(t, h, deploy(t, h, m).Address, "echo", "hello"); got != "hello" {
		t.Errorf("it answers %q", got)
	}
}

func TestW4DeployWithoutASlot(t *testing.T) {
	t.Parallel()
	h := appsHost(t, host.Config{Apps: host.AppConfig{Slots: 1}})
	first := deploy(t, h, appOf(t, h, "c-service", lives))
	becomes(t, h, first.Address, "running", runs(1))
	second := deploy(t, h, appOf(t, h, "c-service", func(m *manifest.Manifest) { lives(m); m.Label = "second" }))
	if second.Running != 0 || second.Wanted != 1 || second.State != "waiting" || second.Reason == "" {
		t.Errorf("%d of %d run, %s (%s)", second.Running, second.Wanted, second.State, second.Reason)
	}
	if _, err := h.StopApp(t.Context(), first.Address); err != nil {
		t.Fatal(err)
	}
	becomes(t, h, second.Address, "running", runs(1))
}

func TestW5DeployNeedsASession(t *testing.T) {
	t.Parallel()
	h := start(t, host.Config{})
	m := appOf(t, h, "c-handler", nil)
	_, err := h.Deploy(t.Context(), host.DeployRequest{Manifest: m.Encode()})
	isFault(t, err, fault.CallerNoSession)
	_, err = h.ReportMetrics(t.Context())
	isFault(t, err, fault.CallerNoSession)
	if _, err := h.OpenSession(t.Context(), host.SessionRequest{}); err != nil {
		t.Fatal(err)
	}
	deploy(t, h, m)
}

func TestW6Limits(t *testing.T) {
	t.Parallel()
	h := appsHost(t, host.Config{})
	seen := map[string]bool{}
	for _, c := range []struct {
		file   string
		limits manifest.Limits
		want   fault.Code
	}{
		{"loop", manifest.Limits{Gas: 1_000_000}, fault.GuestGasLimit},
		{"sleep", manifest.Limits{Wall: 200 * time.Millisecond, CPU: time.Minute}, fault.GuestWallLimit},
		{"loop", manifest.Limits{Wall: 200 * time.Millisecond, CPU: time.Minute}, fault.SuspectWallLimit},
		{"loop", manifest.Limits{CPU: 100 * time.Millisecond, Wall: time.Minute}, fault.GuestCPULimit},
		{"memhog", manifest.Limits{MemoryBytes: 4 << 20}, fault.GuestMemory},
		{"bigout", manifest.Limits{OutputBytes: 1 << 10}, fault.GuestOutputLimit},
	} {
		m := appOf(t, h, c.file, func(m *manifest.Manifest) { m.Terms.Limits = c.limits })
		m.Terms.QueryTimeout = time.Minute
		a := deploy(t, h, m)
		if seen[a.Address] {
			t.Errorf("%+v is no part of the address", c.limits)
		}
		seen[a.Address] = true
		r, err := h.Query(t.Context(), host.AppQuery{Address: a.Address})
		isFault(t, err, c.want)
		if c.file == "memhog" && (r.Receipt == nil || r.Receipt.MemoryPeakBytes == nil || *r.Receipt.MemoryPeakBytes > 4<<20) {
			t.Errorf("it had %+v", r.Receipt)
		}
	}
}

func TestW7ReuseIsInTheManifest(t *testing.T) {
	t.Parallel()
	h := appsHost(t, host.Config{})
	counts := map[string]string{}
	for _, reuse := range []manifest.Reuse{manifest.Keep, manifest.Reset, manifest.Process} {
		a := deploy(t, h, appOf(t, h, "c-service", func(m *manifest.Manifest) { m.Terms.Reuse = reuse }))
		ask(t, h, a.Address, "count", "")
		counts[a.Reuse] = ask(t, h, a.Address, "count", "")
	}
	if counts["keep"] != "2" || counts["reset"] != "1" || counts["process"] != "1" {
		t.Errorf("the second query is number %v", counts)
	}
	apps, _, err := h.Apps(t.Context(), host.AppFilter{})
	if err != nil || len(apps) != 3 || apps[0].Reuse != "keep" || apps[1].Reuse != "reset" || apps[2].Reuse != "process" {
		t.Errorf("%+v, %v", apps, err)
	}
	m := &manifest.Manifest{Version: 1, CodeHash: apps[0].CodeHash, OnDemand: true, MaxQueryBytes: 100, Label: "first version"}
	if a, err := h.Deploy(t.Context(), host.DeployRequest{Manifest: m.Encode()}); err != nil || a.Reuse != "reset" {
		t.Errorf("%s, %v", a.Reuse, err)
	}
}

func TestW8Session(t *testing.T) {
	t.Parallel()
	h := start(t, host.Config{})
	pnonce := []byte("of the chain")
	signed, err := h.OpenSession(t.Context(), host.SessionRequest{PNonce: pnonce})
	if err != nil {
		t.Fatal(err)
	}
	s, err := h.Session(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	cnonce, _ := hex.DecodeString(s.CNonce)
	if id := meter.SessionID([32]byte(cnonce), pnonce); s.ID != hex.EncodeToString(id[:]) || s.SN != 0 {
		t.Errorf("session %s with number %d", s.ID, s.SN)
	}
	update, err := meter.DecodeSessionUpdate(signed.Encoded)
	if err != nil || hex.EncodeToString(update.Session[:]) != s.ID || !bytes.Equal(update.Nonce[:], cnonce) ||
		!meter.Verify([32]byte(signed.WorkerKey), meter.Message(meter.SessionUpdated, signed.Encoded), signed.Signature) {
		t.Errorf("the chain is told %+v, %v", update, err)
	}
	a := deploy(t, h, appOf(t, h, "c-handler", nil))
	if r, err := h.ReportMetrics(t.Context()); err != nil || len(r) != 1 || r[0].SN != 1 {
		t.Errorf("%+v, %v", r, err)
	}
	_, err = h.OpenSession(t.Context(), host.SessionRequest{})
	isFault(t, err, fault.CallerSession)
	if _, err := h.RemoveApp(t.Context(), a.Address); err != nil {
		t.Fatal(err)
	}
	if _, err = h.OpenSession(t.Context(), host.SessionRequest{PNonce: pnonce}); err != nil {
		t.Fatal(err)
	}
	again, err := h.Session(t.Context())
	if err != nil || again.ID == s.ID || again.SN != 0 {
		t.Errorf("the next session is %+v, %v", again, err)
	}
}

func TestW9AppSession(t *testing.T) {
	t.Parallel()
	h := appsHost(t, host.Config{})
	m := appOf(t, h, "c-service", lives)
	a := deploy(t, h, m)
	if a.Session == "" || a.Session == a.Address {
		t.Errorf("session %q", a.Session)
	}
	stopped, err := h.StopApp(t.Context(), a.Address)
	if err != nil || stopped.Session != a.Session {
		t.Errorf("stopped it is %s, %v", stopped.Session, err)
	}
	started, err := h.StartApp(t.Context(), a.Address)
	if err != nil || started.Session != a.Session {
		t.Errorf("started it is %s, %v", started.Session, err)
	}
	if _, err := h.RemoveApp(t.Context(), a.Address); err != nil {
		t.Fatal(err)
	}
	if b := deploy(t, h, m); b.Session == a.Session || b.Metrics.Starts != 0 || b.Address != a.Address {
		t.Errorf("deployed again it is %+v", b)
	}
}
