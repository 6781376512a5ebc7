package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/troupehost/troupe/host/wire"
)

// TestMain makes the test binary the program itself when it is started under the name of a worker.
func TestMain(m *testing.M) {
	if os.Args[0] == wire.Arg0 {
		main()
		return
	}
	os.Exit(m.Run())
}

func start(t *testing.T, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var out, errs bytes.Buffer
	cmd := &exec.Cmd{Path: exe, Args: append([]string{wire.Arg0}, args...), Stdout: &out, Stderr: &errs}
	if err := cmd.Run(); err != nil {
		exit, ok := errors.AsType[*exec.ExitError](err)
		if !ok {
			t.Fatal(err)
		}
		code = exit.ExitCode()
	}
	return out.String(), errs.String(), code
}

func TestByHand(t *testing.T) {
	for _, args := range [][]string{nil, {"run"}, {"--help"}} {
		out, errs, code := start(t, args...)
		if code != 2 || out != "" || !strings.Contains(errs, "started by a host, not by hand") || !strings.Contains(errs, "hint: ") {
			t.Errorf("%q: exit %d, %q, %q", args, code, out, errs)
		}
	}
}

func TestVersion(t *testing.T) {
	out, errs, code := start(t, "--version")
	if code != 0 || errs != "" || !strings.Contains(out, wire.BuildID()) || !strings.Contains(out, wire.Engine()) {
		t.Errorf("exit %d, %q, %q", code, out, errs)
	}
}

// TestWithoutASocket is what somebody gets who types the worker's own arguments: an end, not a wait.
func TestWithoutASocket(t *testing.T) {
	if _, errs, code := start(t, wire.Arg1); code != 1 || !strings.HasPrefix(errs, "worker: ") {
		t.Errorf("exit %d, %q", code, errs)
	}
}
