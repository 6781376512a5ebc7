package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"

	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/host"
	"github.com/troupehost/troupe/host/control/client"
	"github.com/troupehost/troupe/host/worker"
)

// The test binary is also the program and its worker.
func TestMain(m *testing.M) {
	worker.Main()
	testscript.Main(m, map[string]func(){
		"troupe":      func() { os.Exit(Main()) },
		wedgedProgram: func() { os.Exit(wedgedMain()) },
	})
}

func guests(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs(filepath.Join("..", "..", "..", "testdata", "guests"))
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// The scripts cover every verb and every exit code that a real host can be brought to.
func TestScript(t *testing.T) {
	dir := guests(t)
	testscript.Run(t, testscript.Params{
		Dir:                 filepath.Join("testdata", "script"),
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(e *testscript.Env) error {
			e.Setenv("G", dir)
			e.Setenv("VERSION", host.Version)
			e.Setenv("UID", strconv.Itoa(os.Geteuid()))
			e.Setenv("OTHER", strings.Repeat("0", 64))
			e.Setenv("HOME", filepath.Join(e.WorkDir, "home"))
			e.Setenv("XDG_DATA_HOME", filepath.Join(e.WorkDir, "data"))
			e.Setenv("XDG_CONFIG_HOME", filepath.Join(e.WorkDir, "config"))
			return nil
		},
		Condition: func(cond string) (bool, error) {
			if cond == "root" {
				return os.Geteuid() == 0, nil
			}
			return false, fmt.Errorf("unknown condition %s", cond)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"exits": exits, "field": field, "remember": remember, "await": await, "until": until, "pretend": pretend},
	})
}

// exits CODE [nobody] PROGRAM [ARGS...] runs a program, as the user nobody on demand, that must end with this exit code.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	asNobody := len(args) > 1 && args[1] == "nobody"
	if asNobody {
		args = slices.Delete(slices.Clone(args), 1, 2)
	}
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE [nobody] PROGRAM [ARGS...]")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	execute := ts.Exec
	if asNobody {
		execute = func(_ string, args ...string) error { return nobody(ts, args) }
	}
	got := 0
	if err := execute(args[1], args[2:]...); err != nil {
		e, ok := errors.AsType[*exec.ExitError](err)
		if !ok {
			ts.Fatalf("%v", err)
		}
		got = e.ExitCode()
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

// nobody runs troupe as the user nobody, who could not reach this program by its path.
func nobody(ts *testscript.TestScript, args []string) error {
	cmd := exec.Command("/proc/self/exe", args...)
	cmd.Args[0] = "troupe"
	cmd.Env = []string{"HOME=/", "XDG_DATA_HOME=" + ts.Getenv("XDG_DATA_HOME")}
	cmd.Stdout, cmd.Stderr = ts.Stdout(), ts.Stderr()
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	return cmd.Run()
}

// field PATH VALUE compares a field of the JSON on stdout, e.g. "field artifacts.0.state prepared".
func field(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: [!] field PATH VALUE")
	}
	if got := lookup(ts, args[0]); (got == args[1]) == neg {
		ts.Fatalf("%s is %s", args[0], got)
	}
}

// remember VARIABLE PATH puts a field of the JSON on stdout into the environment.
func remember(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: remember VARIABLE PATH")
	}
	ts.Setenv(args[0], lookup(ts, args[1]))
}

func lookup(ts *testscript.TestScript, path string) string {
	var v any
	if err := json.Unmarshal([]byte(ts.ReadFile("stdout")), &v); err != nil {
		ts.Fatalf("stdout is not JSON: %v", err)
	}
	for step := range strings.SplitSeq(path, ".") {
		switch x := v.(type) {
		case map[string]any:
			inner, ok := x[step]
			if !ok {
				ts.Fatalf("no field %s in %s", step, path)
			}
			v = inner
		case []any:
			i, err := strconv.Atoi(step)
			if err != nil || i >= len(x) {
				ts.Fatalf("no element %s in %s", step, path)
			}
			v = x[i]
		default:
			ts.Fatalf("nothing below %s", step)
		}
	}
	return fmt.Sprint(v)
}

// until PATTERN PROGRAM [ARGS...] runs a program again and again, until it prints what the pattern matches.
func until(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: until PATTERN PROGRAM [ARGS...]")
	}
	pattern, err := regexp.Compile("(?m)" + args[0])
	ts.Check(err)
	for end := time.Now().Add(time.Minute); ; {
		err := ts.Exec(args[1], args[2:]...)
		switch {
		case err == nil && pattern.MatchString(ts.ReadFile("stdout")):
			return
		case time.Now().After(end):
			ts.Fatalf("never: %v", err)
		}
	}
}

// pretend [VERSION] serves a host in trouble on the data directory of the script, until the script ends or pretends anew. What it
// shows never changes; see seenServer for how its plans go.
func pretend(ts *testscript.TestScript, _ bool, args []string) {
	s := newSeenServer()
	s.traces = traced()
	if len(args) > 0 {
		s.version = args[0]
	}
	stop, err := s.hold(filepath.Join(ts.Getenv("XDG_DATA_HOME"), "troupe"))
	ts.Check(err)
	ts.Defer(stop)
}

// hold serves on a data directory and holds it, as a 'serve' does.
func (s *seenServer) hold(dir string) (stop func(), err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	socket, lock := filepath.Join(dir, "troupe.sock"), filepath.Join(dir, "LOCK")
	owner, err := json.Marshal(host.Owner{PID: os.Getpid(), Kind: ownerServe, Socket: socket})
	if err != nil {
		return nil, err
	}
	_ = os.Remove(lock)
	_ = os.Remove(socket)
	if err := os.WriteFile(lock, owner, 0o600); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(lock, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	err = errors.Join(unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB), unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLK, &unix.Flock_t{Type: unix.F_WRLCK}))
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	served, err := s.serve(socket)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return func() { served(); _ = f.Close() }, nil
}

// await STATE waits until the host of the script's serve is idle, running (one guest, or two) or draining.
func await(ts *testscript.TestScript, _ bool, args []string) {
	busy := func(h inspect.Host, want int) bool {
		for _, w := range h.Workers {
			if w.Kind == "execute" && w.State == "busy" {
				want--
			}
		}
		return want <= 0
	}
	reached := map[string]func(inspect.Host) bool{
		"idle":      func(h inspect.Host) bool { return h.Requests == 0 },
		"running":   func(h inspect.Host) bool { return h.Requests > 0 && busy(h, 1) },
		"running 2": func(h inspect.Host) bool { return h.Requests > 1 && busy(h, 2) },
		"draining":  func(h inspect.Host) bool { return h.Draining },
	}[strings.Join(args, " ")]
	if reached == nil {
		ts.Fatalf("usage: await idle|running [2]|draining")
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	c := client.New(filepath.Join(ts.Getenv("XDG_DATA_HOME"), "troupe", "troupe.sock"), 0)
	for {
		h, err := c.Status(ctx)
		ts.Check(err)
		if reached(h) {
			return
		}
	}
}

// A private host leaves nothing behind when its run is interrupted: no directory, no socket, no worker.
func TestInterruptedRunCleansUp(t *testing.T) {
	tmp := t.TempDir()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self, "run", "--output", "1GiB", filepath.Join(guests(t), "bigout.wasm"))
	cmd.Args[0] = "troupe"
	cmd.Env = append(os.Environ(), "TMPDIR="+tmp, "XDG_DATA_HOME="+t.TempDir())
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(stdout, make([]byte, 1)); err != nil { // the guest runs
		t.Fatal(err)
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	go io.Copy(io.Discard, stdout)
	if err := cmd.Wait(); cmd.ProcessState.ExitCode() != exitCanceled {
		t.Errorf("%v", err)
	}
	if left, err := os.ReadDir(tmp); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
}

// Twenty programs want one data directory at once. One gets it, the others wait or work with a throw-away cache; each
// must give the right answer, and none may leave anything behind.
func TestTwentyRunsAtOnce(t *testing.T) {
	tmp, data := t.TempDir(), t.TempDir()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			cmd := exec.CommandContext(t.Context(), self, "run", "--invoke", "run", filepath.Join(guests(t), "hash-puzzle.wasm"), "--", "0", "4")
			cmd.Args[0] = "troupe"
			cmd.Env = append(os.Environ(), "TMPDIR="+tmp, "XDG_DATA_HOME="+data)
			var errs strings.Builder
			cmd.Stderr = &errs
			out, err := cmd.Output()
			if err != nil || string(out) != "69732\n" {
				t.Errorf("run %d: %v, %q\n%s", i, err, out, errs.String())
			}
		})
	}
	wg.Wait()
	left, err := os.ReadDir(tmp)
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
}
