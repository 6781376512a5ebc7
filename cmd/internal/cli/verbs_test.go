package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/artifacts"
	"github.com/troupehost/troupe/host"
	"github.com/troupehost/troupe/host/control"
)

func TestRunPassesItsFlags(t *testing.T) {
	var got host.Request
	h := &fakeHost{execute: func(ctx context.Context, r host.Request) (run.Receipt, error) {
		got, got.Stdin, got.Stdout, got.Stderr = r, nil, nil, nil
		return receipt("ok", "")(ctx, r)
	}}
	c := newConsole(t, h)
	file := wasmFile(t)
	code := c.main([]string{
		"run", "--cpu", "2s", "--wall", "3s", "--memory", "64MiB", "--output", "1KiB", "--gas", "5M", "--init-gas", "7", "--stack", "2k", "--nan", "canonical", "--priority", "high", "--missing-imports", "trap",
		"--isolation", "process", "--real", "--env", "A=1", "--env", "B=2,3", "--data-dir", "/d", "--worker", "/w", file, "--", "x", "--cpu",
	})
	if code != 0 {
		t.Fatal(c.err.String())
	}
	want := host.Request{
		Code: []byte("\x00asm\x01\x00\x00\x00"), Tenant: got.Tenant, Priority: run.High, Imports: run.TrapMissing, Determinism: run.RealWorld,
		Entry:  run.Entry{Mode: run.Command, Args: []string{"x", "--cpu"}, Env: []string{"A=1", "B=2,3"}},
		Limits: run.Limits{CPU: 2 * time.Second, Wall: 3 * time.Second, MemoryBytes: 64 << 20, OutputBytes: 1 << 10, Gas: 5_000_000, InitGas: 7, StackValues: 2000},

		CanonicalNaNs: true, Isolation: run.Process,
	}
	if d := cmp.Diff(want, got, bare); d != "" {
		t.Error(d)
	}
	if cfg := c.configs[0]; cfg.DataDir != "/d" || cfg.WorkerPath != "/w" || cfg.Owner != "run" || cfg.Validate() != nil {
		t.Errorf("config %+v: %v", cfg, cfg.Validate())
	}
	if want := "ok  cache hit  cpu 12ms  wall 13ms  memory 1.1MiB  gas unknown  sandbox env+fds\n"; c.err.String() != want {
		t.Errorf("receipt %q", c.err.String())
	}
}

func TestRunRefusesWhatMakesNoSense(t *testing.T) {
	file := wasmFile(t)
	for name, args := range map[string][]string{
		"no file": {}, "two files": {file, file}, "both entries": {"--invoke", "f", "--entry", "g", file}, "params alone": {"--params", "x", file},
		"env of a function": {"--invoke", "f", "--env", "A=1", file}, "args of bytes": {"--entry", "f", file, "--", "1"}, "env without =": {"--env", "A", file},
		"twice": {"--cpu", "1s", "--cpu", "1s", file}, "zero": {"--cpu", "0s", file}, "no time": {"--cpu", "1ns", file}, "no wall time": {"--wall", "1ns", file}, "no size": {"--memory", "lots", file}, "empty": {"--invoke", "", file},
		"unknown flag": {"--fuel", "5", file}, "no gas": {"--gas", "0", file}, "too much gas": {"--gas", "5000000T", file}, "a small stack": {"--stack", "1023", file},
		"a large stack": {"--stack", "2M", file}, "no such NaN": {"--nan", "quiet", file}, "no such choice": {"--priority", "urgent", file}, "a directory": {t.TempDir()}, "a long name": {strings.Repeat("n", 300)}, "format": {"-o", "yaml", file},
	} {
		c := newConsole(t, &fakeHost{})
		if code := c.main(append([]string{"run"}, args...)); code != exitUsage || !strings.Contains(c.err.String(), "error: ") || !strings.Contains(c.err.String(), "hint: ") {
			t.Errorf("%s: exit code %d\n%s", name, code, c.err.String())
		}
		if len(c.configs) > 0 {
			t.Errorf("%s: a host was started", name)
		}
	}
}

// The name of a file is as hostile as any text, and does not fill the screen.
func TestNamesOfFilesAreQuoted(t *testing.T) {
	c := newConsole(t, &fakeHost{})
	if code := c.main([]string{"run", "\x1b[2J" + strings.Repeat("n", 1000)}); code != exitUsage {
		t.Errorf("exit code %d", code)
	}
	text := c.err.String()
	if len(text) > 500 || strings.Contains(text, "\x1b") || !strings.Contains(text, ": file name too long\ncode:  caller.invalid_request\nhint:  ") {
		t.Errorf("%d bytes: %s", len(text), text)
	}
}

func TestRunPrintsResultsByKind(t *testing.T) {
	for name, tt := range map[string]struct {
		args     []string
		result   string
		terminal bool
		want     string
	}{
		"numbers":               {[]string{"--invoke", "f"}, "69732", false, "69732\n"},
		"no numbers":            {[]string{"--invoke", "f"}, "", false, ""},
		"bytes":                 {[]string{"--entry", "f"}, "\x00\x1b", false, "\x00\x1b"},
		"bytes on a terminal":   {[]string{"--entry", "f"}, "\x00\x1b", true, ""},
		"text on a terminal":    {[]string{"--entry", "f"}, "plain\n", true, "plain\n"},
		"nothing from commands": {nil, "", false, ""},
	} {
		h := &fakeHost{execute: func(context.Context, host.Request) (run.Receipt, error) {
			return run.Receipt{Verdict: "ok", Result: run.Blob(tt.result)}, nil
		}}
		c := newConsole(t, h)
		c.outTerminal = tt.terminal
		if code := c.main(append(append([]string{"run"}, tt.args...), wasmFile(t))); code != 0 || c.out.String() != tt.want {
			t.Errorf("%s: exit code %d, %q", name, code, c.out.String())
		}
	}
}

func TestVerdictsOfRuns(t *testing.T) {
	three := int32(3)
	exited := func(context.Context, host.Request) (run.Receipt, error) {
		return run.Receipt{Verdict: "guest", Fault: "guest.exit", Message: "it exited with 3", GuestExit: &three}, nil
	}
	refused := func(code fault.Code) func(context.Context, host.Request) (run.Receipt, error) {
		return func(context.Context, host.Request) (run.Receipt, error) {
			return run.Receipt{}, fault.New(code, "", "", nil)
		}
	}
	for name, tt := range map[string]struct {
		execute func(context.Context, host.Request) (run.Receipt, error)
		args    []string
		want    int
		say     string
	}{
		"exit":                 {exited, nil, 21, "code:  guest.exit"},
		"exit passed on":       {exited, []string{"--guest-exit"}, 3, "code:  guest.exit"},
		"trap":                 {receipt("guest", "guest.trap"), nil, 21, "error: the guest trapped"},
		"suspect":              {receipt("suspect", "suspect.worker_died"), nil, 23, "suspect  suspect.worker_died"},
		"newer host":           {receipt("guest", "guest.moon_phase"), nil, 20, "code:  guest.moon_phase"},
		"busy":                 {refused(fault.BusyQueueFull), nil, 9, "code:  busy.queue_full"},
		"busy with guest exit": {refused(fault.BusyQueueFull), []string{"--guest-exit"}, 125, "code:  busy.queue_full"},
		"refused at the door":  {refused(fault.GuestCodeTooLarge), nil, 22, "guest  guest.code_too_large"},
	} {
		c := newConsole(t, &fakeHost{execute: tt.execute})
		if code := c.main(append(append([]string{"run"}, tt.args...), wasmFile(t))); code != tt.want || !strings.Contains(c.err.String(), tt.say) {
			t.Errorf("%s: exit code %d\n%s", name, code, c.err.String())
		}
	}
}

// Code has a receipt even if it is too large to be sent to a host.
func TestHugeCodeHasAReceipt(t *testing.T) {
	file := wasmFile(t)
	if err := os.Truncate(file, 2<<30); err != nil {
		t.Fatal(err)
	}
	c := newConsole(t, &fakeHost{})
	if code := c.main([]string{"run", file}); code != exitLimit || !strings.Contains(c.err.String(), "guest  guest.code_too_large  cache unknown  cpu unknown  wall unknown  memory unknown  gas unknown\n") {
		t.Errorf("exit code %d\n%s", code, c.err.String())
	}
	c = newConsole(t, &fakeHost{})
	code := c.main([]string{"run", "-o", "json", file})
	var r run.Receipt
	if err := json.Unmarshal(c.out.Bytes(), &r); err != nil || code != exitLimit || r.Verdict != "guest" || r.Fault != "guest.code_too_large" {
		t.Errorf("exit code %d, %v\n%s", code, err, c.out.String())
	}
}

func TestReceiptAsJSONIsAlone(t *testing.T) {
	h := &fakeHost{execute: func(_ context.Context, r host.Request) (run.Receipt, error) {
		if r.Stdout != nil || r.Stderr != nil {
			return run.Receipt{}, errors.New("output would be streamed")
		}
		return run.Receipt{Verdict: "guest", Fault: "guest.trap", Stdout: run.Blob("hello"), Stderr: run.Blob("\xff")}, nil
	}}
	c := newConsole(t, h)
	if code := c.main([]string{"run", "-q", "-o", "json", wasmFile(t)}); code != 21 {
		t.Errorf("exit code %d", code)
	}
	var r run.Receipt
	if err := json.Unmarshal(c.out.Bytes(), &r); err != nil || string(r.Stdout) != "hello" || string(r.Stderr) != "\xff" {
		t.Errorf("%v\n%s", err, c.out.String())
	}
}

func TestInterruptCancelsTheRun(t *testing.T) {
	cancelled := make(chan struct{})
	h := &fakeHost{}
	c := newConsole(t, h)
	h.execute = func(ctx context.Context, _ host.Request) (run.Receipt, error) {
		c.interrupts <- os.Interrupt
		<-ctx.Done()
		close(cancelled)
		return run.Receipt{}, ctx.Err()
	}
	released := false
	c.releaseInterrupts = func() { released = true }
	if code := c.main([]string{"run", wasmFile(t)}); code != exitCanceled || !released {
		t.Errorf("exit code %d, released %t\n%s", code, released, c.err.String())
	}
	<-cancelled
	<-h.closed
}

func TestTimeoutEndsTheRun(t *testing.T) {
	h := &fakeHost{execute: func(ctx context.Context, _ host.Request) (run.Receipt, error) {
		<-ctx.Done()
		return run.Receipt{}, ctx.Err()
	}}
	c := newConsole(t, h)
	code := c.main([]string{"run", "-o", "json", "--timeout", "20ms", wasmFile(t)})
	if line := "canceled  canceled.deadline  cache unknown  cpu unknown  wall unknown  memory unknown  gas unknown\n"; code != exitCanceled || !strings.HasPrefix(c.err.String(), line) {
		t.Errorf("exit code %d\n%s", code, c.err.String())
	}
	var r run.Receipt
	want := run.Receipt{
		Verdict: "canceled", Fault: "canceled.deadline", Hint: "raise --timeout",
		CodeHash: artifacts.HashCode([]byte("\x00asm\x01\x00\x00\x00")).String(),
	}
	err := json.Unmarshal(c.out.Bytes(), &r)
	want.Message = r.Message
	if d := cmp.Diff(want, r); err != nil || d != "" || r.Message == "" {
		t.Errorf("%v\n%s", err, d)
	}
}

// While somebody holds the data directory.
func TestRunWhileTheDirectoryIsHeld(t *testing.T) {
	locked := fault.New(fault.HostDataDirLocked, "start", "", nil)
	t.Run("by another run that ends", func(t *testing.T) {
		h := &fakeHost{execute: receipt("ok", "")}
		c := newConsole(t, h)
		start, tries := c.start, 0
		c.start = func(ctx context.Context, cfg host.Config) (running, error) {
			if tries++; tries < 3 {
				return nil, locked
			}
			return start(ctx, cfg)
		}
		if code := c.main([]string{"run", wasmFile(t)}); code != 0 || strings.Contains(c.err.String(), "note:") {
			t.Errorf("exit code %d\n%s", code, c.err.String())
		}
	})
	t.Run("by another run that goes on", func(t *testing.T) {
		h := &fakeHost{execute: receipt("ok", "")}
		c := newConsole(t, h)
		c.owner = func(string) (host.Owner, bool) { return host.Owner{PID: 42, Kind: "run"}, true }
		start, throwAway := c.start, ""
		c.start = func(ctx context.Context, cfg host.Config) (running, error) {
			if !strings.Contains(cfg.DataDir, "troupe-run-") {
				return nil, locked
			}
			throwAway = cfg.DataDir
			return start(ctx, cfg)
		}
		if code := c.main([]string{"run", wasmFile(t)}); code != 0 || !strings.Contains(c.err.String(), "note:  the data directory is held by 'troupe run' (process 42): working with a throw-away cache") {
			t.Errorf("exit code %d\n%s", code, c.err.String())
		}
		if _, err := os.Stat(throwAway); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the throw-away cache %s stays behind: %v", throwAway, err)
		}
		c.err.Reset()
		if code := c.main([]string{"artifact", "list"}); code != exitHost || !strings.Contains(c.err.String(), "hint:  'troupe run' (process 42) uses it") {
			t.Errorf("list: exit code %d\n%s", code, c.err.String())
		}
		c.err.Reset()
		if code := c.main([]string{"serve"}); code != exitHost || !strings.Contains(c.err.String(), "hint:  'troupe run' (process 42) uses it") {
			t.Errorf("serve: exit code %d\n%s", code, c.err.String())
		}
		c.err.Reset()
		if code := c.main([]string{"status"}); code != exitUnreachable || !strings.Contains(c.err.String(), "hint:  'troupe run' (process 42) holds") {
			t.Errorf("status: exit code %d\n%s", code, c.err.String())
		}
	})
	t.Run("by a serve", func(t *testing.T) {
		far := &fakeHost{execute: receipt("ok", "")}
		socket := filepath.Join(t.TempDir(), "s")
		l, err := control.Listen(socket)
		if err != nil {
			t.Fatal(err)
		}
		s := control.New(far, control.Options{Version: "v0.0.1"})
		go func() { _ = s.Serve(l) }()
		defer s.Close()
		c := newConsole(t, &fakeHost{})
		c.start = func(context.Context, host.Config) (running, error) { return nil, locked }
		c.owner = func(string) (host.Owner, bool) { return host.Owner{PID: 7, Kind: "serve", Socket: socket}, true }
		if code := c.main([]string{"run", wasmFile(t)}); code != 0 || strings.Contains(c.err.String(), "--worker") {
			t.Errorf("exit code %d\n%s", code, c.err.String())
		}
		c.err.Reset()
		if code := c.main([]string{"run", "--worker", "/w", wasmFile(t)}); code != 0 || !strings.Contains(c.err.String(), "using the host of 'troupe serve' (process 7) at "+socket) ||
			!strings.Contains(c.err.String(), "note:  --worker is ignored") ||
			!strings.Contains(c.err.String(), "the host has version v0.0.1, this program ") {
			t.Errorf("exit code %d\n%s", code, c.err.String())
		}
		c.err.Reset()
		if code := c.main([]string{"serve"}); code != exitHost || !strings.Contains(c.err.String(), "process 7") {
			t.Errorf("a second serve: exit code %d\n%s", code, c.err.String())
		}
	})
	t.Run("by a serve that is dead", func(t *testing.T) {
		c := newConsole(t, &fakeHost{})
		c.start = func(context.Context, host.Config) (running, error) { return nil, locked }
		c.owner = func(string) (host.Owner, bool) { return host.Owner{PID: 7, Kind: "serve", Socket: "/nowhere/s"}, true }
		for _, verb := range []string{"run", "status"} {
			args := []string{verb}
			if verb == "run" {
				args = append(args, wasmFile(t))
			}
			c.err.Reset()
			if code := c.main(args); code != exitUnreachable || !strings.Contains(c.err.String(), "hint:  'troupe serve' (process 7) holds the data directory, but its socket is missing") {
				t.Errorf("%s: exit code %d\n%s", verb, code, c.err.String())
			}
		}
	})
	t.Run("by a serve that does not react", func(t *testing.T) {
		socket := filepath.Join(t.TempDir(), "s")
		l, err := control.Listen(socket) // and nobody accepts
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		c := newConsole(t, &fakeHost{})
		c.reaction = 20 * time.Millisecond
		c.start = func(context.Context, host.Config) (running, error) { return nil, locked }
		c.owner = func(string) (host.Owner, bool) { return host.Owner{PID: 7, Kind: "serve", Socket: socket}, true }
		for _, args := range [][]string{{"run", wasmFile(t)}, {"status"}, {"artifact", "list"}} {
			c.err.Reset()
			if code := c.main(args); code != exitUnreachable || !strings.Contains(c.err.String(), "hint:  'troupe serve' (process 7) does not answer") {
				t.Errorf("%s: exit code %d\n%s", args, code, c.err.String())
			}
		}
		c.reaction = time.Minute
		for _, args := range [][]string{{"run", "--timeout", "20ms", wasmFile(t)}, {"status", "--wait", "20ms"}} {
			c.err.Reset()
			if code := c.main(args); code != exitCanceled || !strings.Contains(c.err.String(), "hint:  'troupe serve' (process 7) has not answered yet") {
				t.Errorf("%s: exit code %d\n%s", args, code, c.err.String())
			}
		}
		// The same when the caller's time and the patience end at once, and never a throw-away cache.
		c.patience = time.Millisecond
		for range 20 {
			c.err.Reset()
			if code := c.main([]string{"run", "--timeout", "20ms", wasmFile(t)}); code != exitCanceled || strings.Contains(c.err.String(), "note:") ||
				!strings.Contains(c.err.String(), "hint:  'troupe serve' (process 7) has not answered yet") {
				t.Fatalf("exit code %d\n%s", code, c.err.String())
			}
		}
	})
	t.Run("by a socket that is not a host's", func(t *testing.T) {
		socket := filepath.Join(t.TempDir(), "s")
		l, err := control.Listen(socket)
		if err != nil {
			t.Fatal(err)
		}
		refuses := &http.Server{Handler: http.NotFoundHandler()}
		go func() { _ = refuses.Serve(l) }()
		defer refuses.Close()
		c := newConsole(t, &fakeHost{execute: receipt("ok", "")})
		start := c.start
		c.start = func(ctx context.Context, cfg host.Config) (running, error) {
			if !strings.Contains(cfg.DataDir, "troupe-run-") {
				return nil, locked
			}
			return start(ctx, cfg)
		}
		c.owner = func(string) (host.Owner, bool) { return host.Owner{PID: 7, Kind: "serve", Socket: socket}, true }
		if code := c.main([]string{"run", wasmFile(t)}); code != exitBug || len(c.configs) > 0 || !strings.Contains(c.err.String(), "hint:  does something else listen on this socket?") {
			t.Errorf("exit code %d\n%s", code, c.err.String())
		}
	})
}

func TestSomeTargetsFail(t *testing.T) {
	good, bad := strings.Repeat("0", 64), "bad"+strings.Repeat("0", 61)
	for name, tt := range map[string]struct {
		keys []string
		want int
	}{
		"none": {[]string{good}, 0}, "one of two": {[]string{good, bad}, exitSome}, "the only one": {[]string{bad}, exitHost}, "all": {[]string{bad, bad}, exitHost},
	} {
		c := newConsole(t, &fakeHost{})
		if code := c.main(append([]string{"artifact", "verify"}, tt.keys...)); code != tt.want {
			t.Errorf("%s: exit code %d\n%s", name, code, c.err.String())
		}
	}
}

// A key that is none is the caller's mistake, alone and among others, for people and for scripts.
func TestMistypedKeys(t *testing.T) {
	good := strings.Repeat("0", 64)
	for name, tt := range map[string]struct {
		keys []string
		want int
	}{
		"one": {[]string{"xyz"}, exitUsage}, "all": {[]string{"aaa", "bbb"}, exitUsage}, "among others": {[]string{"aaa", good}, exitSome},
	} {
		c := newConsole(t, &fakeHost{})
		if code := c.main(append([]string{"artifact", "verify", "-o", "json"}, tt.keys...)); code != tt.want || !strings.Contains(c.err.String(), "code:  caller.invalid_request") {
			t.Errorf("%s: exit code %d\n%s", name, code, c.err.String())
		}
		var list struct {
			Artifacts []keyResult `json:"artifacts"`
		}
		if err := json.Unmarshal(c.out.Bytes(), &list); err != nil || len(list.Artifacts) != len(tt.keys) || list.Artifacts[0].Error.Class != "caller" {
			t.Errorf("%s: %v\n%s", name, err, c.out.String())
		}
	}
}

func TestKeysMayBeShortened(t *testing.T) {
	one, two := "abcd1"+strings.Repeat("0", 59), "abcd2"+strings.Repeat("0", 59)
	h := &fakeHost{state: inspect.Host{Artifacts: []inspect.Artifact{{Key: one}, {Key: two}}}}
	for prefix, want := range map[string]int{"abcd1": 0, "ABCD2": 0, "abcd": exitConflict, "abce": exitNotFound, "abc": exitUsage, "zzzz": exitUsage} {
		c := newConsole(t, h)
		if code := c.main([]string{"artifact", "verify", prefix}); code != want {
			t.Errorf("%s: exit code %d\n%s", prefix, code, c.err.String())
		}
		if want == 0 && !strings.Contains(c.out.String(), " verified\n") {
			t.Errorf("%s: %q", prefix, c.out.String())
		}
	}
}

func TestProgress(t *testing.T) {
	code := artifacts.HashCode([]byte("\x00asm\x01\x00\x00\x00")).String()
	for mode, want := range map[string]string{
		"terminal": "\r\x1b[Kpreparing ", "plain": "preparing ", "json": `{"stage":"preparing","elapsed_us":`, "pipe": "", "none": "", "quiet": "",
	} {
		t.Run(mode, func(t *testing.T) {
			h := &fakeHost{state: inspect.Host{Artifacts: []inspect.Artifact{{CodeHash: code, State: "preparing"}}}}
			c := newConsole(t, h)
			seen := newWatcher(&c.err, "preparing")
			c.app.err = seen
			h.execute = func(ctx context.Context, r host.Request) (run.Receipt, error) {
				if want != "" {
					<-seen.found
				}
				return receipt("ok", "")(ctx, r)
			}
			args := []string{"run", wasmFile(t)}
			switch mode {
			case "terminal":
				c.errTerminal = true
			case "plain", "json", "none":
				args = append(args, "--progress", mode)
			case "quiet":
				c.errTerminal = true
				args = append(args, "-q")
			}
			if code := c.main(args); code != 0 {
				t.Fatal(c.err.String())
			}
			text := c.err.String()
			if want == "" && strings.Contains(text, "preparing") || !strings.Contains(text, want) {
				t.Errorf("got %q", text)
			}
			if mode == "terminal" && !strings.Contains(text, "\r\x1b[Kok  ") {
				t.Errorf("the line was not wiped before the receipt: %q", text)
			}
		})
	}
}

// watcher tells when a text was written.
type watcher struct {
	mu    sync.Mutex
	w     *bytes.Buffer
	text  string
	found chan struct{}
	tell  func()
}

func newWatcher(w *bytes.Buffer, text string) *watcher {
	found := make(chan struct{})
	return &watcher{w: w, text: text, found: found, tell: sync.OnceFunc(func() { close(found) })}
}

func (w *watcher) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	n, err := w.w.Write(p)
	if strings.Contains(w.w.String(), w.text) {
		w.tell()
	}
	return n, err
}

func TestServeDrainsAndStops(t *testing.T) {
	h := &fakeHost{state: inspect.Host{Ready: true}}
	c := newConsole(t, h)
	dir := t.TempDir()
	ready := newWatcher(&c.out, "ready ")
	c.app.out = &sink{w: ready}
	done := make(chan int, 1)
	go func() { done <- c.main([]string{"serve", "--data-dir", dir}) }()
	<-ready.found
	socket := filepath.Join(dir, "troupe.sock")
	if c.out.String() != "ready "+socket+"\n" || c.configs[0].Socket != socket || c.configs[0].Owner != "serve" {
		t.Errorf("%q, %+v", c.out.String(), c.configs[0])
	}
	c.interrupts <- syscall.SIGTERM
	if code := <-done; code != 0 {
		t.Errorf("exit code %d\n%s", code, c.err.String())
	}
	if _, err := os.Lstat(socket); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket stays behind: %v", err)
	}
	for _, line := range strings.Split(strings.TrimSpace(c.err.String()), "\n") {
		if !json.Valid([]byte(line)) {
			t.Errorf("a log line that is not JSON: %s", line)
		}
	}
}

func TestPreparingForNothingIsAFailure(t *testing.T) {
	h := &fakeHost{check: func(context.Context, host.CodeRequest) (host.Judgement, error) {
		return host.Judgement{Verdict: "ok", Artifact: "a"}, nil
	}}
	c := newConsole(t, h)
	if code := c.main([]string{"artifact", "prepare", wasmFile(t)}); code != exitBusy || !strings.Contains(c.err.String(), "code:  busy.disk_space") {
		t.Errorf("prepare: exit code %d\n%s", code, c.err.String())
	}
}

// TestTheReceiptBeginsALine has a guest leave its line open.
func TestTheReceiptBeginsALine(t *testing.T) {
	for _, row := range []struct {
		text string
		want string
	}{{"part", "part\nok  "}, {"whole\n", "whole\nok  "}, {"", "ok  "}} {
		c := newConsole(t, &fakeHost{execute: func(_ context.Context, r host.Request) (run.Receipt, error) {
			_, _ = io.WriteString(r.Stderr, row.text)
			return run.Receipt{Verdict: "ok"}, nil
		}})
		if code := c.main([]string{"run", wasmFile(t)}); code != exitOK || !strings.HasPrefix(c.err.String(), row.want) {
			t.Errorf("%q: exit code %d, %q", row.text, code, c.err.String())
		}
	}
}

// TestAGuestThatReadsEndsTheProgress: what is typed would be wiped ten times a second.
func TestAGuestThatReadsEndsTheProgress(t *testing.T) {
	c := newConsole(t, &fakeHost{execute: func(_ context.Context, r host.Request) (run.Receipt, error) {
		_, _ = io.ReadAll(r.Stdin)
		return run.Receipt{Verdict: "ok"}, nil
	}})
	in := &watched{stopped: func() bool {
		c.live.mu.Lock()
		defer c.live.mu.Unlock()
		return c.live.stopped
	}}
	c.in, c.errTerminal = in, true
	if code := c.main([]string{"run", wasmFile(t)}); code != exitOK || !in.read || !in.ok {
		t.Errorf("exit code %d, read %v, progress had ended %v\n%s", code, in.read, in.ok, c.err.String())
	}
}

// watched is a stdin that looks whether the progress has ended when it is read.
type watched struct {
	stopped  func() bool
	read, ok bool
}

func (w *watched) Read([]byte) (int, error) {
	w.read, w.ok = true, w.stopped()
	return 0, io.EOF
}

// TestASecondSignalLeavesJobs has a host that only ends when nobody waits for its jobs.
func TestASecondSignalLeavesJobs(t *testing.T) {
	h := &lingering{fakeHost: &fakeHost{}, left: make(chan struct{})}
	c := newConsole(t, h.fakeHost)
	begin := c.start
	c.start = func(ctx context.Context, cfg host.Config) (running, error) {
		_, err := begin(ctx, cfg)
		go func() {
			c.interrupts <- os.Interrupt
			c.interrupts <- os.Interrupt
		}()
		return h, err
	}
	if code := c.main([]string{"serve", "--data-dir", t.TempDir()}); code != 0 {
		t.Errorf("exit code %d\n%s", code, c.err.String())
	}
	<-h.left
}

type lingering struct {
	*fakeHost
	left chan struct{}
}

func (l *lingering) LeaveJobs() { close(l.left) }
func (l *lingering) Close() error {
	<-l.left
	return l.fakeHost.Close()
}

// TestWhoFollowsIsToldOfTheEnd: a stream that the host has ended is no success of who follows it.
func TestWhoFollowsIsToldOfTheEnd(t *testing.T) {
	if err := overWith(nil); fault.CodeOf(err) != fault.CallerUnreachable {
		t.Error(err)
	}
	if err := overWith(io.EOF); !errors.Is(err, io.EOF) {
		t.Error(err)
	}
}
