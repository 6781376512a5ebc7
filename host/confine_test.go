package host

import (
	"testing"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/host/sandbox"
)

func TestGapsAreJudged(t *testing.T) {
	gaps := []sandbox.Gap{
		{Layer: sandbox.NetNS, Why: "EPERM", Hint: "allow namespaces"}, {Layer: sandbox.IPCNS, Why: "EPERM", Hint: "allow namespaces"},
		{Layer: sandbox.Landlock, Why: "no", Hint: "another kernel"}, {Layer: sandbox.Cgroup, Why: "v1", Hint: "delegate"},
	}
	const message, hint = "netns (EPERM), ipcns (EPERM), landlock (no)", "netns, ipcns: allow namespaces; landlock: another kernel"
	gotMessage, gotHint, err := judgeGaps(SandboxDefault, gaps)
	if gotMessage != message || gotHint != hint || err != nil {
		t.Errorf("%q, %q, %v", gotMessage, gotHint, err)
	}
	_, _, err = judgeGaps(SandboxStrict, gaps)
	if f := fault.From(err); err == nil || f.Code != fault.HostSandboxMissing || f.Subject != message || f.Hint != hint+"; or start without --sandbox strict" {
		t.Errorf("%+v", f)
	}
	for _, policy := range []string{SandboxDefault, SandboxStrict} {
		if m, h, err := judgeGaps(policy, gaps[3:]); m != "" || h != "" || err != nil {
			t.Errorf("%s, of what is optional: %q, %q, %v", policy, m, h, err)
		}
	}
}

func TestSandboxPolicyIsValidated(t *testing.T) {
	cfg := Default()
	cfg.DataDir, cfg.Sandbox = "/x", "lax"
	if f := fault.From(cfg.Validate()); f == nil || f.Code != fault.CallerConfig || f.Subject != "Sandbox" {
		t.Errorf("%+v", f)
	}
}
