//go:build chaos

package host_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/troupehost/troupe/actors/inspect"
)

// chaosKills is how many kills, storms or damages a test makes, as a share of the 1,000 of the long run.
func chaosKills(t *testing.T, of int) int {
	t.Helper()
	n, err := strconv.Atoi(os.Getenv("CHAOS_KILLS"))
	if err != nil || n < 1 {
		t.Fatal("CHAOS_KILLS is not set: run this by make chaos")
	}
	return max(of*n/1000, 10)
}

// chaosRand is the source of all choices of a test; its seed is printed, and CHAOS_SEED sets it.
func chaosRand(t *testing.T) *rand.Rand {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	if s := os.Getenv("CHAOS_SEED"); s != "" {
		var err error
		if seed, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("CHAOS_SEED=%d", seed)
	return rand.New(rand.NewPCG(seed, 8))
}

// hang is how long nothing may take, on any machine.
const hang = 2 * time.Minute

// child is a host in a process of its own.
type child struct {
	t      *testing.T
	cmd    *exec.Cmd
	in     io.WriteCloser
	stderr bytes.Buffer
	ready  chan answer // the first line, or nothing when there was none
	dead   chan struct{}
	said   string        // instead of the first line, when it does not start; valid once dead
	took   time.Duration // from the start of the process to the first line

	mu      sync.Mutex
	next    int
	pending map[int]chan answer
}

// newChild starts a host. It may die on the way: then ready is closed without an answer.
func newChild(t *testing.T, dir, temp string, env ...string) *child {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := &child{t: t, cmd: exec.Command(exe), ready: make(chan answer, 1), dead: make(chan struct{}), pending: map[int]chan answer{}}
	c.cmd.Env = append(append(os.Environ(), crashEnv+"="+dir, roleEnv+"=serve", "TMPDIR="+temp), env...)
	c.cmd.Stderr = &c.stderr
	c.in, err = c.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(c.dead)
		first := true
		for lines := bufio.NewReader(out); ; {
			line, err := lines.ReadBytes('\n')
			if err != nil {
				break // also for half a line, which is no answer
			}
			var a answer
			if err := json.Unmarshal(line, &a); first && err != nil {
				c.said = string(line) // why it does not start
				continue
			} else if err != nil {
				t.Errorf("the host says %q", line)
				break
			}
			if first {
				first, c.took = false, time.Since(began)
				c.ready <- a
				continue
			}
			c.mu.Lock()
			to := c.pending[a.ID]
			delete(c.pending, a.ID)
			c.mu.Unlock()
			if to == nil {
				t.Errorf("an answer too many: %s", line)
				continue
			}
			to <- a
		}
		close(c.ready)
		_ = c.cmd.Wait()
	}()
	return c
}

// up waits until the host serves, and reports whether it does.
func (c *child) up() bool {
	select {
	case _, ok := <-c.ready:
		return ok
	case <-time.After(hang):
		c.t.Fatalf("the host does not start: %s", c.dump())
		return false
	}
}

// dump has the host print its goroutines and end.
func (c *child) dump() string {
	_ = c.cmd.Process.Signal(syscall.SIGQUIT)
	select {
	case <-c.dead:
	case <-time.After(10 * time.Second):
		_ = c.cmd.Process.Kill()
		<-c.dead
	}
	return c.stderr.String()
}

// ask makes a call. ok says that an answer came; else the host died first.
func (c *child) ask(q call) (a answer, ok bool) {
	got := make(chan answer, 1)
	c.mu.Lock()
	c.next++
	q.ID = c.next
	c.pending[q.ID] = got
	b, _ := json.Marshal(q)
	_, _ = c.in.Write(append(b, '\n'))
	c.mu.Unlock()
	select {
	case a = <-got:
		return a, true
	case <-c.dead:
		select {
		case a = <-got:
			return a, true
		default:
			return a, false
		}
	case <-time.After(hang):
		c.t.Errorf("no answer to %s\n%s", b, c.dump())
		return a, false
	}
}

// kill ends the host and waits for the end of everything that it started.
func (c *child) kill() {
	c.t.Helper()
	_ = c.cmd.Process.Kill()
	<-c.dead
	c.buried()
}

// buried waits for the end of all orphans: this process inherits them.
func (c *child) buried() {
	c.t.Helper()
	waitFor(c.t, "the death of all workers", func() bool {
		left := descendants(os.Getpid())
		for _, pid := range left {
			_, _ = unix.Wait4(pid, nil, unix.WNOHANG, nil)
		}
		return len(left) == 0
	})
}

// killWorker kills a worker of one kind, as soon as there is one, and returns its id, or none.
func (c *child) killWorker(kind string, patience time.Duration) string {
	for end := time.Now().Add(patience); time.Now().Before(end); {
		a, ok := c.ask(call{Op: "workers"})
		if !ok {
			break
		}
		for _, w := range a.Workers {
			if w.Kind == kind && c.killChild(w.PID) {
				return w.ID
			}
		}
	}
	return ""
}

// forgets waits until the host has noticed the end of a worker.
func (c *child) forgets(id string) {
	waitFor(c.t, "the host to notice a death", func() bool {
		a, ok := c.ask(call{Op: "workers"})
		return !ok || !slices.ContainsFunc(a.Workers, func(w inspect.Worker) bool { return w.ID == id })
	})
}

// killChild kills a process if it is the host's.
func (c *child) killChild(pid int) bool {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return false
	}
	defer func() { _ = unix.Close(fd) }()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid)) // of the process behind fd, or of one that has its number since
	_, rest, found := bytes.Cut(b, []byte(") "))
	if f := strings.Fields(string(rest)); err != nil || !found || len(f) < 2 || f[1] != strconv.Itoa(c.cmd.Process.Pid) {
		return false
	}
	return unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0) == nil
}

// stop closes the host in order.
func (c *child) stop() {
	c.t.Helper()
	if a, ok := c.ask(call{Op: "close"}); !ok || a.Err != "" {
		c.t.Errorf("close: %v %s\n%s", ok, a.Text, c.stderr.String())
	}
	<-c.dead
}

// chronicle is the history of a test.
type chronicle struct {
	clock atomic.Int64
	mu    sync.Mutex
	acts  []act
	wants map[string]string
	torn  [][2]int64 // when workers were killed: from before the kill until nobody felt it any more
	died  [][2]int64 // when hosts were
}

// note writes one call down. The tick before it and the one after it tell what was acknowledged first.
func (h *chronicle) note(c *child, q call, code, want string) act {
	e := act{Op: q.Op, Code: code, Key: q.Key, Want: want}
	if q.Job != "" {
		e.Op, e.Key = "job", q.Job
	}
	if q.Op == "submit" {
		h.mu.Lock()
		h.wants[q.Key] = want
		h.mu.Unlock()
	}
	e.Begin = h.clock.Add(1)
	a, ok := c.ask(q)
	end := h.clock.Add(1)
	if ok {
		e.End, e.Err, e.Fault, e.Result, e.Hit, e.Stored, e.Jobs = end, a.Err, a.Fault, a.Result, a.Hit, a.Stored, a.Jobs
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.acts = append(h.acts, e)
	return e
}

// judge judges all of it.
func (h *chronicle) judge(t *testing.T) {
	t.Helper()
	between := func(kills [][2]int64, e act, end int64) bool {
		return slices.ContainsFunc(kills, func(k [2]int64) bool { return k[0] < end && k[1] > e.Begin })
	}
	counts := map[string]int{}
	for i, e := range h.acts {
		end := e.End
		if end == 0 {
			end = h.clock.Load() + 1
			h.acts[i].Died = between(h.died, e, end)
		}
		h.acts[i].Torn = between(h.torn, e, end) || between(h.died, e, end)
		what := "answered"
		if h.acts[i].Died {
			what = "lost with the host"
		} else if e.Err+e.Fault != "" {
			what = e.Err + e.Fault
		}
		counts[e.Op+" "+what]++
	}
	t.Logf("%d calls, %d jobs: %v", len(h.acts), len(h.wants), counts)
	wrong := judged(h.acts, h.wants)
	for _, w := range wrong[:min(len(wrong), 20)] {
		t.Error(w)
	}
}

var dataFiles = regexp.MustCompile(`^(VERSION|WRITER|LOCK|host\.key|worker\.key|state|cache|logs|(state|cache)/(\d{6}\.(sst|vlog)|\d{5}\.mem|MANIFEST|KEYREGISTRY|DISCARD|CLOSED))$`)

// tidy looks for what no file of a data directory is, and for anything at all where temporary files are made.
func tidy(t *testing.T, dir, temp string) {
	t.Helper()
	for _, base := range []string{dir, temp} {
		_ = filepath.WalkDir(base, func(path string, e os.DirEntry, err error) error {
			if rel, _ := filepath.Rel(base, path); err == nil && path != base && (base == temp || !dataFiles.MatchString(rel)) {
				t.Errorf("a file is left over: %s", rel)
			}
			return nil
		})
	}
}
