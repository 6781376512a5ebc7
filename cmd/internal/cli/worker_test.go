package cli

import (
	"context"
	"errors"
	"testing"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/host"
	"github.com/troupehost/troupe/host/sandbox"
)

// confinedBy is a machine on which one layer is missing that is asked for, and the optional one.
func confinedBy() inspect.Sandbox {
	s := inspect.Sandbox{Level: "env+fds", Kernel: "6.1.0", Container: "docker"}
	for _, name := range sandbox.Layers() {
		s.Layers = append(s.Layers, inspect.Layer{Name: name, Held: true})
	}
	for i := range s.Layers {
		switch l := &s.Layers[i]; l.Name {
		case sandbox.NetNS:
			l.Held, l.Why, l.Hint = false, "the kernel refuses: operation not permitted", "the container forbids namespaces: add --security-opt seccomp=unconfined, or \x1b[2J --cap-add SYS_ADMIN"
		case sandbox.Cgroup:
			l.Held, l.Optional, l.Why = false, true, "there is no control group of version 2"
		}
	}
	return s
}

func TestWorkerSandbox(t *testing.T) {
	c := newConsole(t, &fakeHost{})
	if code := c.main([]string{"worker", "sandbox"}); code != exitSome || c.err.Len() > 0 {
		t.Errorf("exit code %d\n%s", code, c.err.String())
	}
	golden(t, "worker_sandbox.txt", c.out.Bytes())

	c = newConsole(t, &fakeHost{})
	c.confinement = func(_ context.Context, worker string) (inspect.Sandbox, error) {
		if worker != "/w" {
			t.Errorf("worker %q", worker)
		}
		s := confinedBy()
		for i := range s.Layers {
			s.Layers[i].Held = s.Layers[i].Held || !s.Layers[i].Optional
		}
		return s, nil
	}
	if code := c.main([]string{"worker", "sandbox", "--worker", "/w", "-o", "json"}); code != exitOK {
		t.Errorf("only what is optional is missing: exit code %d\n%s", code, c.err.String())
	}
	c.confinement = func(context.Context, string) (inspect.Sandbox, error) {
		return inspect.Sandbox{}, fault.New(fault.HostSpawnFailed, "start worker", "", errors.New("x"))
	}
	if code := c.main([]string{"worker", "sandbox"}); code != exitHost {
		t.Errorf("no worker: exit code %d", code)
	}
	for _, name := range sandbox.Layers() {
		if layerTexts[name] == "" {
			t.Errorf("nothing says what %s does", name)
		}
	}
}

// TestSandboxPolicyReachesTheHost: that of a private host; another word is refused.
func TestSandboxPolicyReachesTheHost(t *testing.T) {
	for _, row := range []struct {
		args []string
		want string
		code int
	}{
		{[]string{"run", "--sandbox", "strict"}, host.SandboxStrict, exitOK},
		{[]string{"run"}, host.SandboxDefault, exitOK},
		{[]string{"run", "--sandbox", "lax"}, "", exitUsage},
		{[]string{"serve", "--sandbox", "lax"}, "", exitUsage},
	} {
		h := &fakeHost{execute: receipt("ok", "")}
		c := newConsole(t, h)
		args := row.args
		if row.args[0] == "run" {
			args = append(args, wasmFile(t))
		}
		code := c.main(args)
		if code != row.code || row.want == "" && len(c.configs) > 0 || row.want != "" && (len(c.configs) != 1 || c.configs[0].Sandbox != row.want) {
			t.Errorf("%v: exit code %d, %+v\n%s", row.args, code, c.configs, c.err.String())
		}
	}
}
