package host_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/host"
	"github.com/troupehost/troupe/host/worker"
)

// crashEnv names the data directory of a host that a test kills, roleEnv what it does.
const (
	crashEnv = "TROUPE_HOST_TEST_CRASH"
	roleEnv  = "TROUPE_HOST_TEST_ROLE"
)

// roles are what the test binary can be beside itself. They do not return.
var roles = map[string]func(dir string){"spin": crashing}

// TestMain lets the test binary be its own worker, as an embedder's program is, and the host that is killed.
func TestMain(m *testing.M) {
	otherBuild()
	worker.Main()
	if dir := os.Getenv(crashEnv); dir != "" {
		roles[os.Getenv(roleEnv)](dir)
	}
	if dir := os.Getenv(crashJobsEnv); dir != "" {
		crashingWithJobs(dir)
	}
	os.Exit(m.Run())
}

// crashing runs the puzzle, says so, and then keeps a worker spinning until it is killed.
func crashing(dir string) {
	ctx := context.Background()
	h, err := host.Start(ctx, host.Config{DataDir: dir, BallastBytes: host.NoLimit})
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	read := func(name string) []byte {
		b, err := os.ReadFile(filepath.Join("..", "testdata", "guests", name+".wasm"))
		if err != nil {
			fmt.Println("error", err)
			os.Exit(1)
		}
		return b
	}
	r, err := h.Execute(ctx, host.Request{Code: read("hash-puzzle"), Entry: run.Entry{Mode: run.Invoke, Name: "run", Args: []string{"0", "1"}}})
	fmt.Println("answer", string(r.Result), r.Cache, err)
	_, err = h.Execute(ctx, host.Request{Code: read("loop"), Entry: run.Entry{Mode: run.Invoke, Name: "run"}, Limits: run.Limits{CPU: time.Hour}})
	fmt.Println("error", err)
	os.Exit(1)
}

// TestKilledHost kills a host with kill -9 while a guest spins: no worker outlives it, and the next start serves from the
// store.
func TestKilledHost(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for round, cache := range []string{"miss", "hit", "hit"} {
		c := exec.Command(exe)
		c.Env = append(os.Environ(), crashEnv+"="+dir, roleEnv+"=spin")
		out, err := c.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		if !lines.Scan() || lines.Text() != "answer 3 "+cache+" <nil>" {
			t.Fatalf("round %d: %q, want a cache %s", round, lines.Text(), cache)
		}
		var children []int
		waitFor(t, "a spinning worker", func() bool { children = descendants(c.Process.Pid); return len(children) > 0 })
		_ = c.Process.Kill()
		_ = c.Wait()
		waitFor(t, "the workers' death", func() bool {
			for _, pid := range children {
				if alive(pid) {
					return false
				}
			}
			return true
		})
	}
}

func waitFor(t testing.TB, what string, done func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(30 * time.Second)
	for !done() {
		select {
		case <-tick.C:
		case <-limit:
			t.Fatalf("waited 30 s for %s", what)
		}
	}
}

// descendants returns the children of all threads of a process.
func descendants(pid int) []int {
	var out []int
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, path := range tasks {
		b, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		for _, f := range strings.Fields(string(b)) {
			if n, err := strconv.Atoi(f); err == nil {
				out = append(out, n)
			}
		}
	}
	return out
}

// alive reports whether a process runs; a zombie does not.
func alive(pid int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	_, rest, ok := bytes.Cut(b, []byte(") "))
	return ok && len(rest) > 0 && rest[0] != 'Z'
}
