package pool

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// How a process is held back, as operators see it.
const (
	brakeNice      = "nice"      // of every thread
	brakeAutogroup = "autogroup" // niceness of the session: workers have one each, beside which that of threads hardly counts
	brakeCgroup    = "cgroup"    // weight of a group of its own
	brakeNone      = "none"
)

const (
	slowest      = 19  // the highest niceness
	normalWeight = 100 // of a control group
)

// brake holds processes back by all means that the machine offers without privilege.
type brake struct {
	proc      string // procfs
	cgroups   string // cgroup file systems
	autogroup bool   // the kernel groups sessions
	group     *heldGroup
	off       bool // tests look at what happens without
}

func newBrake(proc, cgroups string, delegated func(dir string) bool) *brake {
	enabled, err := os.ReadFile(filepath.Join(proc, "sys/kernel/sched_autogroup_enabled"))
	return &brake{
		proc: proc, cgroups: cgroups, autogroup: err == nil && strings.TrimSpace(string(enabled)) == "1",
		group: newHeldGroup(filepath.Join(proc, "self/cgroup"), cgroups, delegated),
	}
}

func (b *brake) close() {
	if b.group != nil {
		b.group.close()
	}
}

// renice sets the niceness of all threads of a process and reports whether each has it. A thread that ends meanwhile has.
func (b *brake) renice(pid, nice int) bool {
	tasks, err := os.ReadDir(filepath.Join(b.proc, strconv.Itoa(pid), "task"))
	all := err == nil && len(tasks) > 0
	for _, task := range tasks {
		tid, err := strconv.Atoi(task.Name())
		if err == nil {
			err = unix.Setpriority(unix.PRIO_PROCESS, tid, nice)
		}
		all = all && (err == nil || errors.Is(err, unix.ESRCH))
	}
	return all
}

// groupsSessions reports whether the kernel weighs the session of a process, as it does in the root group only.
func (b *brake) groupsSessions(pid int) bool {
	if !b.autogroup {
		return false
	}
	path, v2, err := cpuGroup(filepath.Join(b.proc, strconv.Itoa(pid), "cgroup"))
	if err != nil || !v2 {
		return err == nil && path == "/"
	}
	for dir := path; ; dir = filepath.Dir(dir) { // a group with a weight is not the root, and what is below it neither
		if _, err := os.Stat(filepath.Join(b.cgroups, dir, "cpu.weight")); err == nil {
			return false
		}
		if dir == "/" || dir == "." {
			return true
		}
	}
}

// cpuGroup reads from a cgroup file of procfs in which group a process competes for the CPU.
func cpuGroup(file string) (path string, v2 bool, err error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return "", false, err
	}
	err = fs.ErrNotExist
	for line := range strings.Lines(string(b)) {
		f := strings.SplitN(strings.TrimSpace(line), ":", 3)
		switch {
		case len(f) != 3:
		case slices.Contains(strings.Split(f[1], ","), "cpu"):
			return f[2], false, nil
		case f[0] == "0" && f[1] == "":
			path, v2, err = f[2], true, nil
		}
	}
	return path, v2, err
}

// heldGroup is a group of processes beside the host's own that gets what the others leave. It takes a delegated subtree in
// the shape of systemd's DelegateSubgroup: the parent of the host's group is the host's to divide, so that the host need
// not move itself, which is not its to decide in an embedder's program.
type heldGroup struct {
	parent, own string

	mu  sync.Mutex
	dir string // made for the first process
}

// newHeldGroup returns nil if there is no such subtree.
func newHeldGroup(self, cgroups string, delegated func(dir string) bool) *heldGroup {
	path, v2, err := cpuGroup(self)
	if err != nil || !v2 {
		return nil
	}
	own := filepath.Join(cgroups, path)
	parent := filepath.Dir(own)
	control, err := os.ReadFile(filepath.Join(parent, "cgroup.subtree_control"))
	if err != nil || !slices.Contains(strings.Fields(string(control)), "cpu") || !delegated(parent) {
		return nil
	}
	return &heldGroup{parent: parent, own: own}
}

// isDelegated reports whether a group is ours to divide. Who may write everywhere needs the word of systemd.
func isDelegated(dir string) bool {
	if unix.Access(dir, unix.W_OK) != nil || unix.Access(filepath.Join(dir, "cgroup.procs"), unix.W_OK) != nil {
		return false
	}
	if os.Geteuid() != 0 {
		return true
	}
	for _, name := range []string{"user.delegate", "trusted.delegate"} {
		v := make([]byte, 8)
		if n, err := unix.Getxattr(dir, name, v); err == nil && string(v[:n]) == "1" {
			return true
		}
	}
	return false
}

func (g *heldGroup) put(pid int) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.dir == "" {
		dir, err := os.MkdirTemp(g.parent, "troupe-held-*")
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, "cpu.weight"), []byte("1"), 0o600); err != nil {
			_ = os.Remove(dir)
			return err
		}
		g.dir = dir
	}
	return move(pid, g.dir)
}

func (g *heldGroup) back(pid int) error { return move(pid, g.own) }

func move(pid int, dir string) error {
	return os.WriteFile(filepath.Join(dir, "cgroup.procs"), []byte(strconv.Itoa(pid)), 0o600)
}

// close removes the group, which is empty: all workers are dead.
func (g *heldGroup) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.dir != "" {
		_ = os.Remove(g.dir)
	}
}

// braked is what was done to one process. Guarded by process.mu.
type braked struct {
	session *os.File // its autogroup file; nil: cannot be written
	normal  int      // its niceness before

	nice, autogroup, cgroup bool
}

// openSession opens what the niceness of the child's session is written to. It must be done before the child has made
// itself undumpable, since that takes its files in procfs from a host without privilege; if the child is faster, the
// means is lost for it.
func (p *process) openSession(b *brake) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.reaped && b.groupsSessions(p.pid) {
		p.session, _ = os.OpenFile(filepath.Join(b.proc, strconv.Itoa(p.pid), "autogroup"), os.O_WRONLY, 0)
	}
}

// hold holds the child back, and returns by what. It is done again and again, since the child may start threads. later: the
// kernel was not ready for one of the means, and will be.
func (p *process) hold(b *brake) (by string, later bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.reaped || b.off {
		return brakeNone, false
	}
	if !p.nice {
		p.normal = 0
		if raw, err := unix.Getpriority(unix.PRIO_PROCESS, p.pid); err == nil {
			p.normal = 20 - raw // as the system call has it
		}
	}
	var how []string
	if b.renice(p.pid, slowest) {
		p.nice = true
		how = append(how, brakeNice)
	}
	if !p.autogroup && p.session != nil {
		err := p.setSession(slowest)
		p.autogroup, later = err == nil, errors.Is(err, unix.EAGAIN)
	}
	if p.autogroup {
		how = append(how, brakeAutogroup)
	}
	if !p.cgroup && p.home != "" {
		p.cgroup = setGroup(p.home, "cpu.weight", 1) == nil
	} else if !p.cgroup && b.group != nil {
		p.cgroup = b.group.put(p.pid) == nil
	}
	if p.cgroup {
		how = append(how, brakeCgroup)
	}
	if len(how) == 0 {
		return brakeNone, later
	}
	return strings.Join(how, "+"), later
}

// release undoes hold, and reports whether nothing is left to be tried again. The kernel lets an ordinary user set the
// niceness of a session ten times a second. That of threads it lets him raise only: there it stays, which is harmless for
// a worker that ends with its job, since threads compete with those of their own session.
func (p *process) release(b *brake) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.reaped {
		return true
	}
	if p.nice {
		p.nice = false
		_ = b.renice(p.pid, p.normal)
	}
	if p.autogroup {
		p.autogroup = p.setSession(0) != nil
	}
	if p.cgroup && p.home != "" {
		p.cgroup = setGroup(p.home, "cpu.weight", normalWeight) != nil
	} else if p.cgroup {
		p.cgroup = b.group.back(p.pid) != nil
	}
	return !p.autogroup && !p.cgroup
}

func (p *process) setSession(nice int) error {
	_, err := p.session.WriteString(strconv.Itoa(nice))
	return err
}
