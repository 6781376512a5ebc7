package sandbox

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// machineOf is a machine with these files.
func machineOf(t *testing.T, files map[string]string) Machine {
	t.Helper()
	root := t.TempDir()
	for name, text := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return Look(root)
}

func TestContainersAreRecognised(t *testing.T) {
	for want, files := range map[string]map[string]string{
		"":           {"proc/1/cgroup": "0::/init.scope\n"},
		"docker":     {".dockerenv": ""},
		"podman":     {"run/.containerenv": "", "proc/1/cgroup": "0::/\n"},
		"lxc":        {"proc/1/environ": "PATH=/bin\x00container=lxc\x00"},
		"evil[2J":    {"proc/1/environ": "container=evil\x1b[2J"},
		"kubepods":   {"proc/1/cgroup": "0::/kubepods.slice/x\n"},
		"containerd": {"proc/1/cgroup": "1:cpu:/system.slice/containerd.service/x\n"},
	} {
		if got := machineOf(t, files).Container; got != want {
			t.Errorf("%v: %q, want %q", files, got, want)
		}
	}
}

// TestEachGapHasAHint: what an operator can do is said for each layer, and is that which mends it on his machine.
func TestEachGapHasAHint(t *testing.T) {
	proc := map[string]string{"proc/self/status": "Name: x\n"}
	with := func(name, text string) map[string]string {
		return map[string]string{"proc/self/status": "", name: text}
	}
	for _, row := range []struct {
		files map[string]string
		root  bool
		gap   Gap
		want  string
	}{
		{with("proc/sys/user/max_user_namespaces", "0\n"), true, Gap{Layer: UserNS}, "sysctl user.max_user_namespaces"},
		{with("proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1\n"), false, Gap{Layer: NetNS}, "sysctl kernel.apparmor_restrict_unprivileged_userns=0"},
		{with("proc/sys/kernel/unprivileged_userns_clone", "0\n"), false, Gap{Layer: UserNS}, "sysctl kernel.unprivileged_userns_clone=1"},
		{with(".dockerenv", ""), true, Gap{Layer: PIDNS}, "--cap-add SYS_ADMIN"},
		{with(".dockerenv", ""), true, Gap{Layer: Root}, "--security-opt apparmor=unconfined"},
		{with(".dockerenv", ""), true, Gap{Layer: Landlock}, "--security-opt seccomp=unconfined"},
		{proc, false, Gap{Layer: IPCNS}, "mend userns first"},
		{proc, true, Gap{Layer: Landlock, Why: "function not implemented"}, "CONFIG_SECURITY_LANDLOCK"},
		{proc, true, Gap{Layer: Landlock, Why: "built with cgo"}, "CGO_ENABLED=0"},
		{proc, true, Gap{Layer: Seccomp}, "CONFIG_SECCOMP_FILTER"},
		{proc, true, Gap{Layer: Cgroup}, "Delegate=memory pids"},
		{nil, true, Gap{Layer: Files}, "mount procfs"},
		{nil, true, Gap{Layer: UserNS}, "mount procfs"},
	} {
		m := machineOf(t, row.files)
		m.Root = row.root
		if got := m.Mend(row.gap); !strings.Contains(got, row.want) {
			t.Errorf("%+v: %q does not say %q", row.gap, got, row.want)
		}
	}
	m := machineOf(t, proc)
	for _, layer := range Layers() {
		if m.Mend(Gap{Layer: layer}) == "" {
			t.Errorf("%s: no hint", layer)
		}
	}
}
