package pool

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/host/sandbox"
)

// part is the environment of a test that plays its part in a process of its own.
const part = "TROUPE_TEST_PART"

// alone runs one test in a process of its own, as it is in a machine that is tuned.
func alone(t *testing.T, name string, tune func(*exec.Cmd)) string {
	t.Helper()
	c := exec.Command("/proc/self/exe", "-test.run", "^"+name+"$", "-test.v")
	c.Env = []string{part + "=1", "TMPDIR=" + os.TempDir()}
	tune(c)
	out, err := c.CombinedOutput()
	if err != nil || !bytes.Contains(out, []byte("--- PASS")) {
		t.Errorf("%v\n%s", err, out)
	}
	return string(out)
}

// TestNoNamespaces: a host that may not make namespaces works, and says what is missing, why, and how to mend it.
func TestNoNamespaces(t *testing.T) {
	if os.Getenv(part) == "" {
		// Nobody is mapped here, so that the kernel refuses namespaces to it.
		alone(t, t.Name(), func(c *exec.Cmd) { c.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWUSER} })
		return
	}
	s := newShelf() // no rig, which counts descriptors: package syscall loses a pipe when clone fails that is to map users
	p, err := New(t.Context(), Config{Code: codePort{s}, Handoff: s, Artifacts: artifactPort{s}, Runs: runPort{s}, MaxInflatedBytes: 8 << 20})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
		s.release()
	})
	r := &rig{Pool: p, shelf: s}
	f := r.Facts()
	for _, layer := range []string{sandbox.UserNS, sandbox.MountNS, sandbox.PIDNS, sandbox.NetNS, sandbox.IPCNS, sandbox.UTSNS, sandbox.Root} {
		at := slices.IndexFunc(f.Gaps, func(g sandbox.Gap) bool { return g.Layer == layer })
		if at < 0 || slices.Contains(f.Held, layer) || f.Gaps[at].Why == "" || f.Gaps[at].Hint == "" {
			t.Errorf("%s: held %v, gaps %+v", layer, f.Held, f.Gaps)
		} else if layer == sandbox.UserNS && !strings.Contains(f.Gaps[at].Why, unix.EPERM.Error()) {
			t.Errorf("%+v", f.Gaps[at])
		}
	}
	for _, layer := range []string{sandbox.Env, sandbox.NoNewPrivs, sandbox.Seccomp, sandbox.NoExec, sandbox.Rlimits} {
		if !slices.Contains(f.Held, layer) {
			t.Errorf("%s is missing in %v", layer, f.Held)
		}
	}
	b := r.prepared(t, adder())
	o, _ := r.worker(t, b).Run(t.Context(), r.job(b, invoke("add", "1", "2"), run.Limits{}, RunIO{}))
	if o.Fault != nil || o.Sandbox != f.Sandbox || strings.Contains(o.Sandbox, sandbox.NetNS) {
		t.Errorf("%+v", o)
	}
}

// TestSomeNamespaces: of what a plan asks for, all that can be had is had.
func TestSomeNamespaces(t *testing.T) {
	r := newRigConfig(t, "", Config{shares: []string{sandbox.NetNS, sandbox.UTSNS}})
	for _, layer := range []string{sandbox.NetNS, sandbox.UTSNS} {
		if slices.Contains(r.Facts().Held, layer) {
			t.Errorf("%s is held", layer)
		}
	}
	refused := map[string]error{}
	all := r.spawn.plan.With(sandbox.NetNS).With(sandbox.UTSNS)
	if got := r.largest(all, refused); got != all || len(refused) > 0 {
		t.Errorf("%+v of %+v, refused %v", got, all, refused)
	}
}

// TestExecuteWorkersHoldMore: a level is that of the very kind of worker.
func TestExecuteWorkersHoldMore(t *testing.T) {
	f := newRig(t, "").Facts()
	if f.Prepare == f.Sandbox || !strings.Contains(f.Sandbox, sandbox.NoExec) || strings.Contains(f.Prepare, sandbox.NoExec) {
		t.Errorf("execute %s, prepare %s", f.Sandbox, f.Prepare)
	}
	order := sandbox.Layers()
	if !slices.IsSortedFunc(f.Held, func(a, b string) int { return slices.Index(order, a) - slices.Index(order, b) }) {
		t.Errorf("not in order: %v", f.Held)
	}
}

// TestLessThanTheProbeIsRefused: a worker that does not reach what the probe reached is not used.
func TestLessThanTheProbeIsRefused(t *testing.T) {
	r := newRig(t, "greet: unconfined")
	_, err := r.Start(t.Context(), r.pretended(t))
	wantFault(t, fault.From(err), fault.HostSandboxMissing)
	if err == nil || !strings.Contains(err.Error(), "nothing") {
		t.Errorf("%v does not name the layer", err)
	}
	wantFault(t, r.Prepare(t.Context(), r.put(adder())).Fault, fault.HostSandboxMissing)
}

// TestSpawnFaultsAreClear: what the machine lacks is said, with what to do about it.
func TestSpawnFaultsAreClear(t *testing.T) {
	for err, want := range map[error]string{
		unix.EMFILE: "ulimit -n", unix.ENFILE: "ulimit -n", unix.EAGAIN: "ulimit -u", unix.ENOMEM: "no memory",
		unix.ENOENT: "procfs", unix.ENOEXEC: "troupe-worker", unix.EIO: "check the limits",
	} {
		f := notStarted("process", os.NewSyscallError("fork", err))
		if f.Code != fault.HostSpawnFailed || !strings.Contains(f.Hint, want) {
			t.Errorf("%v: %v, hint %q", err, f, f.Hint)
		}
	}
	if !isRefusal(notStarted("process", unix.EPERM)) || isRefusal(notStarted("process", unix.ENOMEM)) || isRefusal(errors.New("x")) {
		t.Error("what confines is not told from what is missing")
	}
}

// TestOutOfDescriptors: a start that finds no number for a descriptor fails, and the next one works.
func TestOutOfDescriptors(t *testing.T) {
	if os.Getenv(part) == "" {
		alone(t, t.Name(), func(*exec.Cmd) {})
		return
	}
	r := newRig(t, "")
	var before unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &before); err != nil {
		t.Fatal(err)
	}
	for free := range uint64(10) {
		open, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: uint64(len(open)) + free, Max: before.Max}); err != nil {
			t.Fatal(err)
		}
		_, err = r.start(t.Context(), kindExecute, rlimits{})
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &before); err != nil {
			t.Fatal(err)
		}
		wantFault(t, fault.From(err), fault.HostSpawnFailed)
		if hint := fault.From(err).Hint; !strings.Contains(hint, "ulimit -n") {
			t.Errorf("%v, hint %q", err, hint)
		}
	}
	w, err := r.start(t.Context(), kindExecute, rlimits{})
	if err != nil {
		t.Fatal(err)
	}
	w.bury()
}

// TestGroupsOfWorkers uses a file system that only looks like one of control groups.
func TestGroupsOfWorkers(t *testing.T) {
	tree := func(self, control string) *groups {
		root := t.TempDir()
		own := filepath.Join(root, "troupe.service")
		if err := errors.Join(os.Mkdir(own, 0o700), os.WriteFile(filepath.Join(own, "cgroup.subtree_control"), []byte(control), 0o600),
			os.WriteFile(filepath.Join(root, "self"), []byte(self), 0o600)); err != nil {
			t.Fatal(err)
		}
		return newGroups(filepath.Join(root, "self"), root, func(string) bool { return true })
	}
	const own = "4:cpu:/x\n0::/troupe.service/main\n"
	for _, c := range []struct{ self, control, why string }{
		{own, "cpu pids\n", "no controller memory"}, {own, "memory\n", "no controller pids"},
		{"0::/\n", "memory pids\n", "no control group of its own"}, {"4:cpu:/x\n", "memory pids\n", "version 2"},
	} {
		if _, err := tree(c.self, c.control).put(1); err == nil || !strings.Contains(err.Error(), c.why) {
			t.Errorf("%+v: %v", c, err)
		}
	}
	g := tree(own, "cpu memory pids\n")
	dir, err := g.put(4711)
	if err != nil {
		t.Fatal(err)
	}
	if err := limitGroup(dir, 1<<30); err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, name := range []string{"cgroup.procs", "pids.max", "memory.max"} {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		got[name] = string(b)
	}
	want := map[string]string{"cgroup.procs": "4711", "pids.max": "256", "memory.max": itoa(1<<30 + 64<<20)}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if holds(dir, 471) == nil {
		t.Error("another process is said to be in the group")
	}
}
