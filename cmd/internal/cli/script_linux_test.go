package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/troupehost/troupe/host/worker"
)

// The test binary is also the program and its worker.
func TestMain(m *testing.M) {
	worker.Main()
	testscript.Main(m, map[string]func(){"troupe": func() { os.Exit(Main()) }})
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
			e.Setenv("HOME", filepath.Join(e.WorkDir, "home"))
			e.Setenv("XDG_DATA_HOME", filepath.Join(e.WorkDir, "data"))
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"exits": exits, "field": field},
	})
}

// exits CODE PROGRAM [ARGS...] runs a program that must end with this exit code.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE PROGRAM [ARGS...]")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
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

// field PATH VALUE compares a field of the JSON on stdout, e.g. "field artifacts.0.state prepared".
func field(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: [!] field PATH VALUE")
	}
	var v any
	if err := json.Unmarshal([]byte(ts.ReadFile("stdout")), &v); err != nil {
		ts.Fatalf("stdout is not JSON: %v", err)
	}
	for step := range strings.SplitSeq(args[0], ".") {
		switch x := v.(type) {
		case map[string]any:
			inner, ok := x[step]
			if !ok {
				ts.Fatalf("no field %s in %s", step, args[0])
			}
			v = inner
		case []any:
			i, err := strconv.Atoi(step)
			if err != nil || i >= len(x) {
				ts.Fatalf("no element %s in %s", step, args[0])
			}
			v = x[i]
		default:
			ts.Fatalf("nothing below %s", step)
		}
	}
	if got := fmt.Sprint(v); (got == args[1]) == neg {
		ts.Fatalf("%s is %s", args[0], got)
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
