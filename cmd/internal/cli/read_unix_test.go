//go:build unix

package cli

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestSilentInputDoesNotHoldTheProgram interrupts each verb that reads a file, and gives it a timeout, while what it reads
// is silent: stdin, a pipe that somebody has open, and one that nobody writes.
func TestSilentInputDoesNotHoldTheProgram(t *testing.T) {
	file, parent := wasmFile(t), t.TempDir()
	silent, alone := filepath.Join(parent, "silent"), filepath.Join(parent, "alone")
	for _, path := range []string{silent, alone} {
		if err := syscall.Mkfifo(path, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	writer, err := os.OpenFile(silent, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer writer.Close() // which ends what was abandoned
	defer func() {
		if w, err := os.OpenFile(alone, os.O_RDWR, 0); err == nil {
			_ = w.Close()
		}
	}()
	for _, args := range [][]string{
		{"run", "--entry", "f", "--params", "-", file}, {"run", "--entry", "f", "--params", silent, file}, {"run", silent}, {"run", alone},
		{"artifact", "check", silent}, {"artifact", "prepare", alone}, {"artifact", "prepare", "--no-wait", silent},
	} {
		for want, more := range map[string]string{"canceled.caller_left": "", "canceled.deadline": "--timeout=20ms"} {
			c := newConsole(t, &fakeHost{})
			in, stdin := io.Pipe()
			c.in = in
			call := args
			if more == "" {
				c.interrupts <- os.Interrupt
			} else {
				call = append(args[:len(args)-1:len(args)-1], more, args[len(args)-1])
			}
			if code := c.main(call); code != exitCanceled || !strings.Contains(c.err.String(), "\ncode:  "+want+"\nhint:  ") || !strings.Contains(c.err.String(), " had not come to its end\n") {
				t.Errorf("%s: exit code %d\n%s", call, code, c.err.String())
			}
			if len(c.configs) > 0 {
				t.Errorf("%s: a host was started", call)
			}
			_ = stdin.Close()
		}
	}
}

// TestPipesAreReadToTheEnd reads input from a pipe whose writer takes it in two pieces.
func TestPipesAreReadToTheEnd(t *testing.T) {
	c := newConsole(t, &fakeHost{})
	in, stdin := io.Pipe()
	c.in = in
	go func() {
		for _, piece := range []string{"one ", "two"} {
			_, _ = io.WriteString(stdin, piece)
		}
		_ = stdin.Close()
	}()
	if b, err := c.readInput(t.Context(), "-"); err != nil || string(b) != "one two" {
		t.Errorf("%q, %v", b, err)
	}
}
