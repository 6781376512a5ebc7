package host_test

import (
	"bytes"
	"testing"

	"github.com/troupehost/troupe/actors/chain/follow"
	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/artifacts/manifest"
	"github.com/troupehost/troupe/host"
)

// A request gets nobody else's app and nobody else's address, and what it was to be before is not left behind.
func TestS63RequestTouchesNothingElse(t *testing.T) {
	r := newChainRig(t, "placed", chainBlock, nil)
	h := r.host(func(c *host.Config) { c.Chain.Compute = true })
	r.ready(h)
	ctx, agent := t.Context(), h.Placed()
	m, _ := r.app("c-handler", "placed", nil)
	if _, err := h.PutBlob(ctx, m.CodeHash, bytes.NewReader(guest(t, "c-handler"))); err != nil {
		t.Fatal(err)
	}
	with := func(request string) []byte { // the app that a request becomes
		own := *m
		own.Env = []manifest.Pair{{Key: "TROUPE_REQUEST", Value: request}}
		return own.Encode()
	}
	operators, err := h.Deploy(ctx, host.DeployRequest{Manifest: with("7")})
	if err != nil {
		t.Fatal(err)
	}
	if job, err := agent.Create(ctx, follow.Placement{Request: "7", Manifest: m.Encode()}); fault.CodeOf(err) != fault.CallerInvalid {
		t.Errorf("an operator's app became the job %q: %v", job, err)
	}
	job, err := agent.Create(ctx, follow.Placement{Request: "8", Manifest: m.Encode(), IP: "127.0.0.8"})
	if err != nil {
		t.Fatal(err)
	}
	if again, err := agent.Create(ctx, follow.Placement{Request: "8", Manifest: m.Encode(), IP: "127.0.0.8"}); err != nil || again != job {
		t.Errorf("asked again: %q, %v", again, err)
	}
	if _, err := agent.Create(ctx, follow.Placement{Request: "9", Manifest: m.Encode(), IP: "127.0.0.8"}); fault.CodeOf(err) != fault.CallerInvalid {
		t.Errorf("an address that another one has: %v", err)
	}
	if _, err := agent.Create(ctx, follow.Placement{Request: "9", Manifest: m.Encode(), IP: "0.0.0.0"}); fault.CodeOf(err) != fault.CallerInvalid {
		t.Errorf("all addresses: %v", err)
	}
	if err := agent.Delete(ctx, operators.Session); err != nil {
		t.Error(err)
	}
	if x, err := h.App(ctx, operators.Address); err != nil || x.Session != operators.Session {
		t.Errorf("the operator has %+v, %v", x, err)
	}
	if err := agent.Delete(ctx, job); err != nil {
		t.Error(err)
	}
	if _, err := agent.Status(ctx, job); fault.CodeOf(err) != fault.CallerNotFound {
		t.Errorf("a job that is deleted: %v", err)
	}
}
