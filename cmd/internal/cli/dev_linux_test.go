package cli

import (
	"bufio"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// A change is told once it has come to rest, and a file that is gone for a while is no change.
func TestWatchFilesWaitsForRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var state atomic.Uint64
		state.Store(1)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		changes := watchFiles(ctx, state.Load)
		told := func() bool {
			select {
			case <-changes:
				return true
			case <-time.After(10 * lookEvery):
				return false
			}
		}
		if told() {
			t.Error("nothing has changed")
		}
		go func() { // it is written in steps
			for i := range uint64(40) {
				state.Store(2 + i)
				<-time.After(lookEvery / 2)
			}
		}()
		if told() {
			t.Error("it is still being written")
		}
		<-time.After(10 * lookEvery)
		if !told() || told() {
			t.Error("it has come to rest, once")
		}
		state.Store(0)
		if told() {
			t.Error("it is gone")
		}
		state.Store(100)
		if !told() {
			t.Error("it is there again")
		}
	})
}

// devProcess is a 'dev' whose output is read line by line.
type devProcess struct {
	t     *testing.T
	cmd   *exec.Cmd
	lines chan string
	tmp   string
}

func startDev(t *testing.T, args ...string) *devProcess {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	d := &devProcess{t: t, lines: make(chan string, 1000), tmp: t.TempDir()}
	d.cmd = exec.CommandContext(t.Context(), self, append([]string{"dev"}, args...)...)
	d.cmd.Args[0] = "troupe"
	d.cmd.Env = append(os.Environ(), "TMPDIR="+d.tmp, "XDG_DATA_HOME="+t.TempDir(), "XDG_CONFIG_HOME="+t.TempDir())
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	d.cmd.Stdout, d.cmd.Stderr = w, w
	if err := d.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_ = w.Close()
	go func() {
		defer close(d.lines)
		for s := bufio.NewScanner(r); s.Scan(); {
			d.lines <- s.Text()
		}
	}()
	return d
}

func (d *devProcess) prints(pattern string) string {
	d.t.Helper()
	re, give := regexp.MustCompile(pattern), time.After(patient)
	var before []string
	for {
		select {
		case line, ok := <-d.lines:
			if !ok {
				d.t.Fatalf("it ended before it printed %s:\n%s", pattern, strings.Join(before, "\n"))
			}
			if re.MatchString(line) {
				return line
			}
			before = append(before, line)
		case <-give:
			d.t.Fatalf("never: %s\n%s", pattern, strings.Join(before, "\n"))
		}
	}
}

// stops ends it, and looks for what is left.
func (d *devProcess) stops() {
	d.t.Helper()
	if err := d.cmd.Process.Signal(syscall.SIGINT); err != nil {
		d.t.Fatal(err)
	}
	for range d.lines {
	}
	if err := d.cmd.Wait(); err != nil {
		d.t.Error(err)
	}
	if left, err := os.ReadDir(d.tmp); err != nil || len(left) > 0 {
		d.t.Errorf("left behind: %v %v", left, err)
	}
}

func replaceFile(t *testing.T, from, to string) {
	t.Helper()
	b, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// Code runs again each time it has changed, also after code that is none, and while a run is under way.
func TestDevRunsAgain(t *testing.T) {
	file := filepath.Join(t.TempDir(), "app.wasm")
	replaceFile(t, filepath.Join(guests(t), "exit.wasm"), file)
	d := startDev(t, file, "--", "3")
	d.prints("^code:  guest.exit$")
	replaceFile(t, filepath.Join(guests(t), "not-wasm.wasm"), file)
	d.prints("^note:  app.wasm has changed$")
	d.prints("^code:  guest.not_wasm$")
	replaceFile(t, filepath.Join(guests(t), "loop.wasm"), file)
	d.prints("^note:  app.wasm has changed$")
	replaceFile(t, filepath.Join(guests(t), "exit.wasm"), file)
	d.prints("^note:  app.wasm has changed$")
	d.prints("^code:  guest.exit$")
	d.stops()
}

// An app is deployed again when it has changed; one that cannot be deployed leaves the old one alone.
func TestDevDeploysAgain(t *testing.T) {
	dir := t.TempDir()
	replaceFile(t, filepath.Join(guests(t), "echo-wasi.wasm"), filepath.Join(dir, "echo-wasi.wasm"))
	file := filepath.Join(dir, "app.toml")
	describe := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	describe("wasm_code = \"echo-wasi.wasm\"\non_demand = true\nlabel = \"one\"\n")
	d := startDev(t, "--app-listen", "127.0.0.1:0", file)
	d.prints("^note:  users of the app come in at 127.0.0.1:")
	one := d.prints("^note:  deployed [0-9a-f]{64}$")
	describe("wasm_kode = 1\n")
	d.prints("^note:  app.toml has changed$")
	d.prints("^code:  caller.manifest_invalid$")
	describe("wasm_code = \"echo-wasi.wasm\"\non_demand = true\nlabel = \"two\"\n")
	if two := d.prints("^note:  deployed [0-9a-f]{64}$"); two == one {
		t.Errorf("the same address: %s", two)
	}
	d.stops()
}

// On a terminal 'dev' is the console of its host, which begins with what the program prints; its end is the end of both.
func TestDevInATerminal(t *testing.T) {
	self, err := exec.LookPath("troupe")
	if err != nil {
		t.Fatal(err)
	}
	file, tmp := filepath.Join(t.TempDir(), "app.wasm"), t.TempDir()
	replaceFile(t, filepath.Join(guests(t), "exit.wasm"), file)
	x := openTerminal(t, 100, 30, "TMPDIR="+tmp, self+" dev "+file+" -- 3")
	x.sees("output of app.wasm", "code:  guest.exit")
	replaceFile(t, filepath.Join(guests(t), "loop.wasm"), file)
	x.sees("note:  app.wasm has changed")
	x.keys("Escape") // and a while before the next key, which would be one with Alt
	x.sees("READY", "QUEUE", "execute")
	x.keys("8")
	x.sees("guests", "running")
	x.keys(":", "'worker list", "Enter") // a verb meets the host of this console, and no other
	x.sees("troupe worker list", "busy")
	x.keys("Escape")
	x.sees("guests", "running")
	x.keys(":", "'serve", "Enter")
	x.sees("'serve' cannot be typed here")
	x.keys("O")
	x.sees("output of app.wasm", "has changed")
	replaceFile(t, filepath.Join(guests(t), "not-wasm.wasm"), file)
	x.sees("code:  guest.not_wasm")
	x.keys("C-c")
	x.sees("ENDED 0", "code:  guest.not_wasm") // the last lines stay
	if left, err := os.ReadDir(tmp); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
	y := openTerminal(t, 100, 30, "TMPDIR="+tmp, self+" dev --plain "+file)
	y.sees("code:  guest.not_wasm")
	if text := y.text(); strings.Contains(text, "output of") {
		t.Errorf("not plain:\n%s", text)
	}
	y.keys("C-c")
	y.sees("ENDED 0")
}

// What a program prints is kept by lines, the last of them, however it is written.
func TestPrintedLines(t *testing.T) {
	p := &printedLines{}
	write := func(s string) {
		if n, err := p.Write([]byte(s)); n != len(s) || err != nil {
			t.Fatal(n, err)
		}
	}
	if lines, n := p.last(); len(lines) != 0 || n != 0 {
		t.Error(lines, n)
	}
	write("one\ntw")
	write("o")
	if lines, n := p.last(); strings.Join(lines, "|") != "one|two" || n != 2 {
		t.Error(lines, n)
	}
	write("\n\n" + strings.Repeat("x", 2*maxLine+1))
	if lines, _ := p.last(); len(lines) != 6 || lines[2] != "" || len(lines[3]) != maxLine || lines[5] != "x" {
		t.Error(len(lines))
	}
	write(strings.Repeat("y\n", 2*mostPrinted) + "z")
	if lines, _ := p.last(); len(lines) != mostPrinted+1 || lines[0] != "y" || lines[mostPrinted] != "z" {
		t.Error(len(lines))
	}
}
