package host_test

import (
	"bytes"
	"context"
	"testing"
	"time"

	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/artifacts/manifest"
	"github.com/troupehost/troupe/host"
)

// appsHost is a host with an open session.
func appsHost(t testing.TB, cfg host.Config) *host.Host {
	t.Helper()
	h := start(t, cfg)
	if _, err := h.OpenSession(t.Context(), host.SessionRequest{}); err != nil {
		t.Fatal(err)
	}
	return h
}

// appOf makes an on-demand manifest of a guest, whose code it puts. The first query waits for the compiler, which takes its time
// on a busy machine and under the race detector.
func appOf(t testing.TB, h *host.Host, file string, change func(*manifest.Manifest)) *manifest.Manifest {
	t.Helper()
	b, err := h.PutBlob(t.Context(), "", bytes.NewReader(guest(t, file)))
	if err != nil {
		t.Fatal(err)
	}
	m := &manifest.Manifest{Version: 2, CodeHash: b.Hash, OnDemand: true, MaxQueryBytes: 1 << 20, Label: file, Terms: &manifest.Terms{QueryTimeout: time.Minute}}
	if change != nil {
		change(m)
	}
	return m
}

func deploy(t testing.TB, h *host.Host, m *manifest.Manifest) inspect.App {
	t.Helper()
	a, err := h.Deploy(t.Context(), host.DeployRequest{Manifest: m.Encode()})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func ask(t testing.TB, h *host.Host, address, path, payload string) string {
	t.Helper()
	r, err := h.Query(context.Background(), host.AppQuery{Address: address, Path: path, Payload: []byte(payload)})
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return string(r.Output)
}

func TestQueries(t *testing.T) {
	h := appsHost(t, host.Config{})
	for _, c := range []struct{ file, path, want string }{
		{"c-handler", "echo", "hello"},
		{"c-service", "x", "hello"},
		{"c-cgi", "x", ""},
		{"rust-app", "len", ""},
		{"go-app", "echo", ""},
		{"go-handler", "echo", ""},
	} {
		a := deploy(t, h, appOf(t, h, c.file, nil))
		for range 2 {
			t.Logf("%s: %q", c.file, ask(t, h, a.Address, c.path, "hello"))
		}
		a, _ = h.App(t.Context(), a.Address)
		t.Logf("%+v", a)
	}
}
