package host_test

import (
	"testing"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/host"
)

// TestStoppedForGood: an app that is on demand and was stopped for its final report takes no requests, also after a restart, until it is
// started.
func TestStoppedForGood(t *testing.T) {
	cfg := host.Config{DataDir: t.TempDir(), BallastBytes: host.NoLimit, Apps: host.AppConfig{Resume: true}}
	h, err := host.Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.OpenSession(t.Context(), host.SessionRequest{}); err != nil {
		t.Fatal(err)
	}
	address := deploy(t, h, appOf(t, h, "c-handler", nil)).Address
	ask(t, h, address, "echo", "hello")
	if a, err := h.HoldApp(t.Context(), address); err != nil || a.State != "stopped" {
		t.Fatalf("%s, %v", a.State, err)
	}
	refused := func() {
		t.Helper()
		if _, err := h.Query(t.Context(), host.AppQuery{Address: address, Path: "echo"}); fault.CodeOf(err) != fault.CallerAppState {
			t.Errorf("it is stopped: %v", err)
		}
	}
	refused()
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	h = start(t, cfg)
	refused()
	if _, err := h.StartApp(t.Context(), address); err != nil {
		t.Fatal(err)
	}
	if got := ask(t, h, address, "echo", "again"); got != "again" {
		t.Errorf("%q", got)
	}
}
