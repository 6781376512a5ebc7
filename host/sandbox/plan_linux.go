package sandbox

import (
	"io/fs"
	"os"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// namespace is a kind of namespace: its layer, the flag that makes one, and its name in procfs.
type namespace struct {
	layer string
	flag  uintptr
	proc  string
}

func namespaces() []namespace {
	return []namespace{
		{UserNS, unix.CLONE_NEWUSER, "user"}, {MountNS, unix.CLONE_NEWNS, "mnt"}, {PIDNS, unix.CLONE_NEWPID, "pid"},
		{NetNS, unix.CLONE_NEWNET, "net"}, {IPCNS, unix.CLONE_NEWIPC, "ipc"}, {UTSNS, unix.CLONE_NEWUTS, "uts"},
	}
}

// nobody is whom a worker of a host that is root is, outside of its own namespace.
const nobody = 65534

// Plan is what a parent does for a confined child: the namespaces that it starts in, and whose rights it has outside. The
// zero value is a child without namespaces.
type Plan struct {
	flags uintptr
	outer int // user and group outside, which are 0 inside; counts with a user namespace only
}

// Plans returns what to try, the best first. Each has all namespaces, but for the last of a host that is root: that has no
// user namespace.
func Plans(program fs.FileInfo) []Plan {
	var all uintptr
	for _, n := range namespaces() {
		all |= n.flag
	}
	own := Plan{flags: all, outer: os.Getuid()}
	if os.Geteuid() != 0 {
		return []Plan{own}
	}
	plans := []Plan{own, {flags: all &^ unix.CLONE_NEWUSER}}
	if program.Mode().Perm()&0o001 != 0 {
		plans = append([]Plan{{flags: all, outer: nobody}}, plans...)
	}
	return plans
}

// Has reports whether a child starts in a namespace of its own of this layer.
func (p Plan) Has(layer string) bool {
	for _, n := range namespaces() {
		if n.layer == layer {
			return p.flags&n.flag != 0
		}
	}
	return false
}

// Without returns a plan that lacks a layer.
func (p Plan) Without(layer string) Plan {
	for _, n := range namespaces() {
		if n.layer == layer {
			p.flags &^= n.flag
		}
	}
	return p
}

// With returns a plan that has a layer, if it is one of namespaces.
func (p Plan) With(layer string) Plan {
	for _, n := range namespaces() {
		if n.layer == layer {
			p.flags |= n.flag
		}
	}
	return p
}

// Attr says how to start a child: in a session of its own, and so that it dies with the thread that starts it.
func (p Plan) Attr(pidfd *int) *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL, PidFD: pidfd, Cloneflags: p.flags}
	if p.flags&unix.CLONE_NEWUSER == 0 {
		return attr
	}
	gid := p.outer
	if p.outer == os.Getuid() {
		gid = os.Getgid()
	}
	attr.UidMappings = []syscall.SysProcIDMap{{HostID: p.outer, Size: 1}}
	attr.GidMappings = []syscall.SysProcIDMap{{HostID: gid, Size: 1}}
	if os.Geteuid() == 0 { // it may forget its groups
		attr.GidMappingsEnableSetgroups = true
		attr.Credential = &syscall.Credential{}
	}
	return attr
}

// outside begins the argument of a worker that names the namespaces of its host.
const outside = "ns="

// Outside returns the argument of a worker that tells it in which namespaces its host is, so that it can say which it has
// of its own. wire.IsWorker knows the shape.
func Outside() string {
	var ids []string
	for _, n := range namespaces() {
		if id, err := namespaceID(n.proc); err == nil {
			ids = append(ids, n.proc+":"+strconv.FormatUint(id, 10))
		}
	}
	return outside + strings.Join(ids, ",")
}

// namespaceID returns the number of a namespace of this process.
func namespaceID(name string) (uint64, error) {
	var st unix.Stat_t
	if err := unix.Stat("/proc/self/ns/"+name, &st); err != nil {
		return 0, err
	}
	return st.Ino, nil
}

// hostID finds the number of a namespace of the host in the arguments of a worker.
func hostID(args []string, name string) (uint64, bool) {
	for _, a := range args {
		ids, ok := strings.CutPrefix(a, outside)
		if !ok {
			continue
		}
		for id := range strings.SplitSeq(ids, ",") {
			if n, ok := strings.CutPrefix(id, name+":"); ok {
				got, err := strconv.ParseUint(n, 10, 64)
				return got, err == nil
			}
		}
	}
	return 0, false
}
