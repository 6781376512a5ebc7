package host_test

import (
	"strings"
	"testing"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/host"
)

// TestExplainOfAHost asks a real host for the things that it has.
func TestExplainOfAHost(t *testing.T) {
	r := newChainRig(t, "explained", chainBlock, nil)
	h := r.host(func(c *host.Config) { c.Apps.Resume = true })
	receipt := execute(t, h, host.Request{Code: guest(t, "hash-puzzle"), Entry: invoke("run", "0", "1")})
	r.ready(h)
	address := deploy(t, h, appOf(t, h, "c-handler", nil)).Address
	if _, err := h.HoldApp(t.Context(), address); err != nil { // one on demand is idle when it is only stopped
		t.Fatal(err)
	}
	if err := h.PauseChain(t.Context()); err != nil {
		t.Fatal(err)
	}
	for id, want := range map[string][2]string{
		receipt.Artifact[:12]: {"artifact", "waits for nothing: it is prepared"},
		receipt.CodeHash:      {"artifact", "waits for nothing: it is prepared"},
		address[:12]:          {"app", "waits for an operator: it is stopped"},
		"troupe/jobs":         {"actor", "Actor troupe/jobs waits for"},
		"prepare":             {"queue", "waits for nothing"},
		"chain":               {"chain", "it is paused"},
	} {
		e, err := h.Explain(t.Context(), id)
		if err != nil || e.Kind != want[0] || !strings.Contains(e.Summary, want[1]) {
			t.Errorf("%s: %+v, %v", id, e, err)
		}
	}
	if _, err := h.Explain(t.Context(), "nobody"); fault.CodeOf(err) != fault.CallerNotFound {
		t.Error(err)
	}
}

// TestExplainWhileActorsArePaused: an actor that answers nothing keeps its own facts from an explanation, and is named by it.
func TestExplainWhileActorsArePaused(t *testing.T) {
	h := start(t, host.Config{})
	for _, path := range []string{"troupe/jobs", "troupe/sessions"} {
		if err := h.PauseActor(t.Context(), path, 0); err != nil {
			t.Fatal(err)
		}
	}
	for id, want := range map[string][2]string{
		"troupe/jobs": {"actor", "its work lane is paused"},
		"execute":     {"queue", "waits for nothing"},
	} {
		e, err := h.Explain(t.Context(), id)
		if err != nil || e.Kind != want[0] || !strings.Contains(e.Summary, want[1]) {
			t.Errorf("%s: %+v, %v", id, e, err)
		}
	}
	if _, err := h.Explain(t.Context(), "01JQ7000000000000000000000"); fault.CodeOf(err) != fault.CallerNotFound { // they answer onlookers
		t.Error(err)
	}
	if _, _, err := h.Jobs(t.Context(), host.JobFilter{}); err != nil {
		t.Error(err)
	}
	if _, _, err := h.Apps(t.Context(), host.AppFilter{}); err != nil {
		t.Error(err)
	}
}
