package sandbox

import (
	"os"
	"path/filepath"
	"strings"
)

// Machine is what decides here which layers hold.
type Machine struct {
	Kernel    string // its release
	Container string // "docker", "podman", ...; "" for none that was recognised
	Landlock  int    // its version, 0: none
	Root      bool   // the host is root, if only in a container

	noUserNS   bool // user.max_user_namespaces is 0
	appArmorNS bool // AppArmor restricts them
	debianNS   bool // kernel.unprivileged_userns_clone is 0
	noProc     bool // there is no procfs
}

// Look reads what there is to see below root, which is "/" but for tests.
func Look(root string) Machine {
	read := func(name string) string {
		b, _ := os.ReadFile(filepath.Join(root, name))
		return strings.TrimSpace(string(b))
	}
	has := func(name string) bool {
		_, err := os.Stat(filepath.Join(root, name))
		return err == nil
	}
	return Machine{
		Kernel: read("proc/sys/kernel/osrelease"), Landlock: LandlockABI(), Root: os.Geteuid() == 0,
		Container:  container(has, read),
		noUserNS:   read("proc/sys/user/max_user_namespaces") == "0",
		appArmorNS: read("proc/sys/kernel/apparmor_restrict_unprivileged_userns") == "1",
		debianNS:   read("proc/sys/kernel/unprivileged_userns_clone") == "0",
		noProc:     !has("proc/self/status"),
	}
}

// container names the container that this process is in.
func container(has func(string) bool, read func(string) string) string {
	for entry := range strings.SplitSeq(read("proc/1/environ"), "\x00") {
		if name, ok := strings.CutPrefix(entry, "container="); ok && name != "" {
			return strings.Map(func(r rune) rune {
				if r < '!' || r > '~' {
					return -1
				}
				return r
			}, name[:min(len(name), 32)])
		}
	}
	switch {
	case has(".dockerenv"):
		return "docker"
	case has("run/.containerenv"):
		return "podman"
	}
	for _, name := range []string{"kubepods", "docker", "containerd", "libpod", "lxc"} {
		if strings.Contains(read("proc/1/cgroup"), name) {
			return name
		}
	}
	return ""
}

// Mend says how to mend a gap on this machine.
func (m Machine) Mend(g Gap) string {
	switch g.Layer {
	case UserNS, MountNS, PIDNS, NetNS, IPCNS, UTSNS:
		return m.mendNamespaces(g)
	case Root:
		if m.Container != "" {
			return "mounts are refused in this container: add --security-opt apparmor=unconfined --security-opt seccomp=unconfined, or --cap-add SYS_ADMIN"
		}
		if m.appArmorNS {
			return hintAppArmor
		}
		return "it follows the mount namespace: mend mntns first"
	case Landlock:
		switch {
		case strings.Contains(g.Why, "cgo"):
			return hintCgo
		case m.Container != "":
			return "use a kernel of at least 5.13 with Landlock, and a container profile that allows it: newer docker or podman, or --security-opt seccomp=unconfined"
		}
		return "use a kernel of at least 5.13 with CONFIG_SECURITY_LANDLOCK, and landlock in its parameter lsm="
	case Caps:
		if strings.Contains(g.Why, "cgo") {
			return hintCgo
		}
	case Seccomp:
		if strings.Contains(g.Why, "architecture") {
			return "run the host on amd64 or arm64"
		}
		return "use a kernel with CONFIG_SECCOMP_FILTER, and a container profile that allows the system call seccomp"
	case NoExec:
		return "it follows the filter of system calls: mend seccomp first"
	case Cgroup:
		return "start the host as a systemd service with Delegate=memory pids and DelegateSubgroup=host"
	case Env, Files, DeathSig, Rlimits:
		if m.noProc {
			return "mount procfs at /proc"
		}
	}
	return "report this machine: the layer should hold on every Linux from 5.10 on"
}

const (
	hintCgo      = "build with CGO_ENABLED=0, or name a troupe-worker that is built so as the worker program"
	hintAppArmor = "allow user namespaces: sysctl kernel.apparmor_restrict_unprivileged_userns=0, or an AppArmor profile for this program that has userns"
)

func (m Machine) mendNamespaces(g Gap) string {
	switch {
	case m.noProc:
		return "mount procfs at /proc"
	case m.noUserNS:
		return "allow user namespaces: sysctl user.max_user_namespaces=10000"
	case m.debianNS && !m.Root:
		return "allow user namespaces: sysctl kernel.unprivileged_userns_clone=1"
	case m.appArmorNS && !m.Root:
		return hintAppArmor
	case m.Container != "":
		return "the container forbids namespaces: add --security-opt seccomp=unconfined --security-opt apparmor=unconfined, else --cap-add SYS_ADMIN; as a last resort --privileged"
	case g.Layer != UserNS && !m.Root:
		return "it follows the user namespace: mend userns first"
	}
	return "use a kernel with namespaces, and nothing that forbids clone"
}
