package pool

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/troupehost/troupe/host/sandbox"
	"github.com/troupehost/troupe/host/wire"
)

const (
	groupTasks = 256      // threads of one worker: the runtime has a few per core
	groupRoom  = 64 << 20 // what a group may have beyond what RLIMIT_DATA counts: pages of files, tables of the kernel
)

// groups gives each worker a control group of its own, with a limit of memory and of threads, where a subtree is delegated
// to the host in the shape that heldGroup needs too.
type groups struct {
	parent string
	why    error // there is none
}

func newGroups(self, cgroups string, delegated func(dir string) bool) *groups {
	none := func(why string) *groups { return &groups{why: errors.New(why)} }
	path, ok := unifiedGroup(self)
	if !ok {
		return none("there is no control group of version 2")
	}
	parent := filepath.Dir(filepath.Join(cgroups, path))
	control, err := os.ReadFile(filepath.Join(parent, "cgroup.subtree_control"))
	if err != nil || path == "/" {
		return none("the host has no control group of its own")
	}
	for _, c := range []string{"memory", "pids"} {
		if !slices.Contains(strings.Fields(string(control)), c) {
			return none("the control group beside the host has no controller " + c)
		}
	}
	if !delegated(parent) {
		return none("the control groups are not delegated to the host")
	}
	return &groups{parent: parent}
}

// unifiedGroup reads from a cgroup file of procfs the group of version 2.
func unifiedGroup(file string) (path string, ok bool) {
	b, err := os.ReadFile(file)
	if err != nil {
		return "", false
	}
	for line := range strings.Lines(string(b)) {
		if path, ok := strings.CutPrefix(strings.TrimSpace(line), "0::"); ok {
			return path, true
		}
	}
	return "", false
}

// put makes a group and moves a process there. The group is empty again when the process is reaped: see remove.
func (g *groups) put(pid int) (dir string, err error) {
	if g.why != nil {
		return "", g.why
	}
	if dir, err = os.MkdirTemp(g.parent, "troupe-worker-*"); err != nil {
		return "", err
	}
	err = setGroup(dir, "pids.max", groupTasks)
	if err == nil {
		err = move(pid, dir)
	}
	if err == nil {
		err = holds(dir, pid)
	}
	if err != nil {
		_ = os.Remove(dir)
		return "", err
	}
	return dir, nil
}

// holds reads back that a process is in a group.
func holds(dir string, pid int) error {
	b, err := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
	if err == nil && !slices.Contains(strings.Fields(string(b)), strconv.Itoa(pid)) {
		err = errors.New("the process is not in its group")
	}
	return err
}

// enterGroup moves a child that was just started into a group of its own.
func (p *process) enterGroup(g *groups) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.reaped {
		return errors.New("the process has ended")
	}
	if ungrouped() {
		return sandbox.ErrLeftOut
	}
	dir, err := g.put(p.pid)
	p.home = dir
	return err
}

// addGroup notes what came of enterGroup among the layers of a worker.
func (w *worker) addGroup(err error) {
	if err == nil {
		w.ready.Held = append(w.ready.Held, sandbox.Cgroup)
		return
	}
	w.ready.Gaps = append(w.ready.Gaps, wire.Gap{Layer: sandbox.Cgroup, Why: err.Error()})
}

// limitGroup bounds the memory of a group that put made.
func limitGroup(dir string, dataBytes int64) error {
	if dir == "" || dataBytes <= 0 {
		return nil
	}
	return setGroup(dir, "memory.max", dataBytes+groupRoom)
}

func setGroup(dir, name string, n int64) error {
	return os.WriteFile(filepath.Join(dir, name), []byte(strconv.FormatInt(n, 10)), 0o600)
}
