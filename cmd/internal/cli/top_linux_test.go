package cli

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// terminal is a real one, which tmux plays.
type terminal struct {
	t      *testing.T
	socket string
}

// openTerminal starts a terminal of a size. It is skipped loudly where there is no tmux.
func openTerminal(t *testing.T, w, h int, env string, command string) *terminal {
	t.Helper()
	if _, err := exec.LookPath("tmux"); err != nil {
		t.Skip("SKIPPED: the console is tried in a real terminal by tmux, and it is not installed")
	}
	x := &terminal{t: t, socket: filepath.Join(t.TempDir(), "tmux")}
	x.tmux("-f", "/dev/null", "new-session", "-d", "-s", "x", "-x", fmt.Sprint(w), "-y", fmt.Sprint(h), "env TERM=xterm-256color "+env+" "+command+"; echo ENDED $?; cat")
	t.Cleanup(func() { _ = exec.Command("tmux", "-S", x.socket, "kill-server").Run() })
	return x
}

func (x *terminal) tmux(args ...string) string {
	x.t.Helper()
	out, err := exec.Command("tmux", append([]string{"-S", x.socket}, args...)...).CombinedOutput()
	if err != nil {
		x.t.Fatalf("tmux %v: %v\n%s", args, err, out)
	}
	return string(out)
}

func (x *terminal) text() string { return x.tmux("capture-pane", "-p", "-t", "x") }

// patience of a test for what a loaded machine does late.
const terminalPatience = 60 * time.Second

// sees waits until all of it is on the screen.
func (x *terminal) sees(want ...string) {
	x.t.Helper()
	give := time.After(terminalPatience)
	look := time.NewTicker(50 * time.Millisecond)
	defer look.Stop()
	for {
		text, missing := x.text(), ""
		for _, w := range want {
			if !strings.Contains(text, w) {
				missing = w
			}
		}
		if missing == "" {
			return
		}
		select {
		case <-give:
			x.t.Fatalf("%q did not come:\n%s", missing, text)
		case <-look.C:
		}
	}
}

// presses presses a key, every few seconds, until a text is on the screen.
func (x *terminal) presses(key, want string) {
	x.t.Helper()
	give := time.After(terminalPatience)
	press := time.NewTicker(5 * time.Second)
	defer press.Stop()
	look := time.NewTicker(50 * time.Millisecond)
	defer look.Stop()
	for x.keys(key); !strings.Contains(x.text(), want); {
		select {
		case <-give:
			x.t.Fatalf("%q did not come of %s:\n%s", want, key, x.text())
		case <-press.C:
			x.keys(key)
		case <-look.C:
		}
	}
}

// gone waits until a text has left the screen.
func (x *terminal) gone(text string) {
	x.t.Helper()
	give := time.After(terminalPatience)
	look := time.NewTicker(50 * time.Millisecond)
	defer look.Stop()
	for strings.Contains(x.text(), text) {
		select {
		case <-give:
			x.t.Fatalf("%q stays:\n%s", text, x.text())
		case <-look.C:
		}
	}
}

// never fails if one of the texts is on the screen.
func (x *terminal) never(texts ...string) {
	x.t.Helper()
	seen := x.text()
	for _, text := range texts {
		if strings.Contains(seen, text) {
			x.t.Fatalf("%q is there:\n%s", text, seen)
		}
	}
}

// keys presses keys; what begins with a quote is typed.
func (x *terminal) keys(names ...string) *terminal {
	x.t.Helper()
	for _, n := range names {
		if text, ok := strings.CutPrefix(n, "'"); ok {
			x.tmux("send-keys", "-t", "x", "-l", text)
			continue
		}
		x.tmux("send-keys", "-t", "x", n)
	}
	return x
}

// serveReal starts a real host, with workers of its own, and returns the program and the data directory.
func serveReal(t *testing.T) (self, dir string) {
	t.Helper()
	if _, err := exec.LookPath("tmux"); err != nil {
		t.Skip("SKIPPED: the console is tried in a real terminal by tmux, and it is not installed")
	}
	self, err := exec.LookPath("troupe") // the test binary, under the name by which it is the program
	if err != nil {
		t.Fatal(err)
	}
	dir = filepath.Join(t.TempDir(), "d")
	log, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	serve := exec.Command(self, "serve", "--data-dir", dir)
	serve.Stderr, serve.Stdout = log, log
	if err := serve.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = serve.Process.Signal(os.Interrupt)
		_ = serve.Process.Signal(os.Interrupt) // at once
		_ = serve.Wait()
		if t.Failed() {
			if text, err := os.ReadFile(log.Name()); err == nil {
				t.Logf("the host said:\n%s", text[max(0, len(text)-4000):])
			}
		}
	})
	if out, err := exec.Command(self, "status", "--wait", "30s", "--data-dir", dir).CombinedOutput(); err != nil {
		t.Fatalf("the host does not come: %v\n%s", err, out)
	}
	return self, dir
}

// troupe runs the program and returns what it prints.
func troupe(t *testing.T, self, dir string, args ...string) string {
	t.Helper()
	out, err := exec.Command(self, append(args, "--data-dir", dir)...).Output()
	if err != nil && !strings.Contains(strings.Join(args, " "), "not-wasm") {
		t.Fatalf("%v: %v", args, err)
	}
	return strings.TrimSpace(string(out))
}

// TestTopInATerminal: an operator finds a guest that spins, traces it and kills it, raises a job that waits, and repeats a preparation
// that failed, by keys in a real terminal at a real host.
func TestTopInATerminal(t *testing.T) {
	self, dir := serveReal(t)
	g := guests(t)
	var jobs []string
	for range 12 { // more than there are workers: some wait
		jobs = append(jobs, troupe(t, self, dir, "submit", "--cpu", "10m", filepath.Join(g, "loop.wasm")))
	}
	troupe(t, self, dir, "artifact", "prepare", filepath.Join(g, "not-wasm.wasm"))
	x := openTerminal(t, 100, 30, "", self+" top --data-dir "+dir)
	x.sees("READY", "QUEUE", "execute")

	x.keys("8")
	x.sees("guests", "running")
	x.keys("/", "'stage=running", "Enter")
	x.sees(":guests stage=running", "of 10m00s")
	x.keys("t")
	x.sees(":trace", "budget left", "enter: all that one cause did") // of a row: what the recorders hold of it comes first
	x.keys("Escape")
	x.sees(":guests", "of 10m00s")
	spinning := victim(x, jobs)
	x.keys("/", "C-u", "'id="+spinning, "Enter")
	x.sees("1 of ", spinning)
	x.keys("K") // the row under the cursor
	x.sees("job.cancel", spinning, "why:")
	x.keys("'it spins", "Enter")
	x.sees("type " + spinning[:8] + " to do it")
	x.keys("'"+spinning[:8], "Enter")
	x.sees("job.cancel done: 1 done, 0 failed", "nothing runs now", "0 of ")
	if got := troupe(t, self, dir, "job", "show", spinning); !strings.Contains(got, "settled") || !strings.Contains(got, "canceled") {
		t.Errorf("the guest still spins:\n%s", got)
	}

	x.keys(":", "'queue pause execute", "Enter")
	x.sees("queue.pause  1 target")
	x.keys("Enter")
	x.sees("queue.pause done")
	waiting := jobs[len(jobs)-1]
	x.keys("4", "/", "'id="+waiting, "Enter")
	x.sees("1 of 12 jobs", waiting, "normal")
	x.keys("w")
	x.sees("execute queue is paused")
	x.keys("Escape")
	x.sees("1 of 12 jobs")
	x.keys("u")
	x.sees("job.raise  1 target", "enter: do it")
	x.keys("Enter")
	x.sees("job.raise done", "high")
	if got := troupe(t, self, dir, "job", "show", waiting); !strings.Contains(got, "high") {
		t.Errorf("it was not raised:\n%s", got)
	}

	x.keys(":", "'failures kind=artifact", "Enter")
	x.sees("guest.not_wasm", "1 of ")
	x.keys("r")
	x.sees("artifact.retry  1 target")
	x.keys("Enter")
	x.sees("artifact.retry failed: 0 done, 1 failed") // it was followed to its end, and is no WebAssembly still
	x.keys("Escape")
	x.sees("r retry")

	x.keys(":", "'audit", "Enter")
	x.sees("job.cancel", "artifact.retry", "queue.pause", "it spins")
	x.keys(":", "'queue show", "Enter") // a verb that is no plan and no view
	x.sees("troupe queue show", "esc: back")

	file := filepath.Join(t.TempDir(), "s.bundle")
	troupe(t, self, dir, "node", "snapshot", "--out", file)
	x.keys(":", "'bundle "+file, "Enter")
	x.sees("OFFLINE", "snapshot of")
	x.keys("4")
	x.sees("12 of 12 jobs", waiting)
	x.keys("K")
	x.sees("12 of 12 jobs")
	x.keys("q")
	x.sees("ENDED 0")
	y := openTerminal(t, 80, 24, "", self+" bundle open "+file)
	y.sees("OFFLINE")
	y.keys("8")
	y.sees("guests", "running")
	y.keys("q")
	y.sees("ENDED 0")
}

// victim is a job whose id is on the screen.
func victim(x *terminal, jobs []string) string {
	x.t.Helper()
	text := x.text()
	for _, j := range jobs {
		if strings.Contains(text, j[:18]) {
			return j
		}
	}
	x.t.Fatalf("no job is on the screen:\n%s", text)
	return ""
}

// TestTopWithoutColour: NO_COLOR is heeded, the smallest promised size is enough, and another size is drawn at once.
func TestTopWithoutColour(t *testing.T) {
	self, dir := serveReal(t)
	x := openTerminal(t, 80, 24, "NO_COLOR=1", self+" top --data-dir "+dir)
	x.sees("READY")
	x.keys("2")
	x.sees("  execute ", "ACTOR", "? help")
	colours := x.tmux("capture-pane", "-p", "-e", "-t", "x")
	for _, code := range []string{"\x1b[3", "\x1b[4", "\x1b[9"} {
		for _, part := range strings.Split(colours, code)[1:] {
			if len(part) > 1 && part[0] >= '0' && part[0] <= '7' && (part[1] == 'm' || part[1] == ';') {
				t.Errorf("a colour: %q", code+part[:2])
			}
		}
	}
	x.tmux("resize-window", "-t", "x", "-x", "60", "-y", "12")
	x.sees("  execute ")
	for n, l := range strings.Split(strings.TrimRight(x.text(), "\n"), "\n") {
		if n > 12 || len([]rune(l)) > 60 {
			t.Errorf("line %d: %q", n, l)
		}
	}
	x.tmux("resize-window", "-t", "x", "-x", "160", "-y", "50")
	x.sees("LAST FAULT", "HANDLED/s 10s")
	x.keys("C-c")
	x.sees("ENDED 0")
}

// TestTopNeedsATerminal: in a pipe it says so, and what to use.
func TestTopNeedsATerminal(t *testing.T) {
	c := newConsole(t, &fakeHost{})
	if code := c.main([]string{"top"}); code != exitUsage || !strings.Contains(c.err.String(), "needs a terminal") {
		t.Errorf("exit code %d\n%s", code, c.err.String())
	}
}

// TestTopOfAKilledHost: a host that was killed is looked at in its last bundle, with the screens of a live one, and a recording of it is
// gone through step by step.
func TestTopOfAKilledHost(t *testing.T) {
	if _, err := exec.LookPath("tmux"); err != nil {
		t.Skip("SKIPPED: the console is tried in a real terminal by tmux, and it is not installed")
	}
	d := startDaemon(t, "", nil, "--record", "64MiB")
	d.hears("^READY=1")
	self, err := exec.LookPath("troupe")
	if err != nil {
		t.Fatal(err)
	}
	spinning := troupe(t, self, d.dir, "submit", "--cpu", "10m", filepath.Join(guests(t), "loop.wasm"))
	for troupe(t, self, d.dir, "worker", "guests", "-o", "name", "--selector", "kind=job stage=running") == "" {
	}
	d.signal(syscall.SIGUSR1)
	d.logs(`"message":"a bundle is written`)
	d.signal(syscall.SIGKILL)
	d.ends()
	names, err := filepath.Glob(filepath.Join(d.dir, bundleDir, bundlePrefix+"*"+bundleSuffix))
	if err != nil || len(names) != 1 {
		t.Fatal(names, err)
	}

	x := openTerminal(t, 100, 30, "", self+" top --bundle "+names[0]+" --data-dir "+d.dir)
	x.sees("OFFLINE", "snapshot of")
	x.keys("4")
	x.sees("1 of 1 jobs", spinning, "running")
	x.keys("8")
	x.sees("guests", "running")
	x.keys("q")
	x.sees("ENDED 0")

	y := openTerminal(t, 100, 30, "", self+" replay --step --actor troupe/jobs "+names[0])
	y.sees("troupe/jobs", "step 0", "given", "Enter: the next, q: the end")
	y.keys("Enter")
	y.sees("step 1")
	y.keys("'q", "Enter")
	y.sees("note:  it was ended before all was seen", "ENDED 0")
}
