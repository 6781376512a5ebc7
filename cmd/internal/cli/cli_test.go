package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
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
	"github.com/troupehost/troupe/artifacts/wasm"
	"github.com/troupehost/troupe/host"
	"github.com/troupehost/troupe/host/control"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// fakeHost is a host whose answers the test chooses.
type fakeHost struct {
	control.Host
	execute func(context.Context, host.Request) (run.Receipt, error)
	check   func(context.Context, host.CodeRequest) (host.Judgement, error)
	state   inspect.Host
	closed  chan struct{}
	once    sync.Once

	listening chan string // of users; nil: nobody may listen
}

func (f *fakeHost) Execute(ctx context.Context, r host.Request) (run.Receipt, error) {
	return f.execute(ctx, r)
}
func (f *fakeHost) Precheck(ctx context.Context, r host.CodeRequest) (host.Judgement, error) {
	return f.check(ctx, r)
}
func (f *fakeHost) Inspect(context.Context) (inspect.Host, error) { return f.state, nil }
func (f *fakeHost) Overview(context.Context) (inspect.Host, error) {
	h := f.state
	h.Actors = nil
	return h, nil
}
func (f *fakeHost) Actors(_ context.Context, dst []inspect.Actor) ([]inspect.Actor, error) {
	return append(dst, f.state.Actors...), nil
}
func (f *fakeHost) Verify(_ context.Context, key string) error {
	if strings.HasPrefix(key, "bad") {
		return fault.New(fault.HostArtifactCorrupt, "verify", key, nil)
	}
	return nil
}
func (f *fakeHost) Close() error                   { f.once.Do(func() { close(f.closed) }); return nil }
func (f *fakeHost) LeaveJobs()                     {}
func (f *fakeHost) ServeApps(l net.Listener) error { return f.serveUsers("http", l) }
func (f *fakeHost) ServeTLS(l net.Listener) error  { return f.serveUsers("tls", l) }

// serveUsers notes a listener and holds it until the host ends.
func (f *fakeHost) serveUsers(kind string, l net.Listener) error {
	f.listening <- kind + " " + l.Addr().String()
	<-f.closed
	return l.Close()
}
func (f *fakeHost) Done() <-chan struct{} { return f.closed }
func (f *fakeHost) Wait() error           { <-f.closed; return nil }

// console is an app with everything outside of it replaced.
type console struct {
	*app
	out, err   bytes.Buffer
	interrupts chan os.Signal
	configs    []host.Config
}

func newConsole(t *testing.T, h *fakeHost) *console {
	t.Helper()
	dir := t.TempDir()
	c := &console{interrupts: make(chan os.Signal, 2)}
	c.app = &app{
		in: strings.NewReader(""), out: &sink{w: &c.out}, err: &c.err,
		getenv:            func(k string) string { return map[string]string{"HOME": dir}[k] },
		interrupts:        c.interrupts,
		releaseInterrupts: func() {},
		start: func(_ context.Context, cfg host.Config) (running, error) {
			c.configs = append(c.configs, cfg)
			h.closed = make(chan struct{})
			h.once = sync.Once{}
			return h, nil
		},
		confinement: func(context.Context, string) (inspect.Sandbox, error) { return confinedBy(), nil },
		owner:       func(string) (host.Owner, bool) { return host.Owner{}, false },
		patience:    200 * time.Millisecond, reaction: time.Minute,
	}
	return c
}

func wasmFile(t *testing.T) string {
	t.Helper()
	p := filepath.Join(t.TempDir(), "app.wasm")
	if err := os.WriteFile(p, []byte("\x00asm\x01\x00\x00\x00"), 0o600); err != nil {
		t.Fatal(err)
	}
	return p
}

func receipt(verdict, code string) func(context.Context, host.Request) (run.Receipt, error) {
	return func(context.Context, host.Request) (run.Receipt, error) {
		return run.Receipt{
			Verdict: verdict, Fault: code, CPUMicros: new(int64(12345)), WallMicros: new(int64(13456)), MemoryPeakBytes: new(int64(1179648)),
			Cache: "hit", Sandbox: "env+fds", Attempts: new(1),
		}, nil
	}
}

// Every registered code has an exit code that the help explains, and the ones with numbers of their own keep them.
func TestEveryFaultHasAnExitCode(t *testing.T) {
	want := map[fault.Class][]int{
		fault.Guest: {exitInvalid, exitTrap, exitLimit}, fault.Suspect: {exitSuspect}, fault.Host: {exitHost, exitNotFound},
		fault.Busy: {exitBusy}, fault.Caller: {exitOther, exitUsage, exitUnreachable, exitNotFound, exitDenied, exitConflict},
		fault.Canceled: {exitCanceled}, fault.Bug: {exitBug},
	}
	for _, c := range fault.Codes() {
		class := fault.Describe(c).Class
		if got := exitOf(class, c); !slices.Contains(want[class], got) || exitTexts[got] == "" {
			t.Errorf("%s: exit code %d", c, got)
		}
		// A limit is named after what is limited, and a limit that hits a guest must be told from a trap.
		if class == fault.Guest && strings.HasSuffix(string(c), "_limit") && exitOf(class, c) != exitLimit {
			t.Errorf("%s is a limit, exit code %d", c, exitOf(class, c))
		}
	}
	for code, exit := range map[fault.Code]int{
		fault.GuestNotWasm: 20, fault.GuestUnknownImport: 20, fault.GuestTrap: 21, fault.GuestExit: 21, fault.GuestStartTrap: 21,
		fault.GuestCPULimit: 22, fault.GuestWallLimit: 22, fault.GuestMemory: 22, fault.GuestStack: 22, fault.GuestTooManySymbols: 22, fault.GuestCodeTooLarge: 22,
		fault.SuspectWorkerDied: 23, fault.HostWorkerMissing: 24, fault.BusyQueueFull: 9, fault.CallerInvalid: 2, fault.CallerUnreachable: 3,
		fault.CallerNotFound: 4, fault.HostArtifactMissing: 4, fault.CallerDenied: 5, fault.CallerConflict: 6, fault.CallerQuota: 6,
		fault.CanceledDeadline: 7, fault.BugPanic: 70,
	} {
		if got := exitOf(fault.Describe(code).Class, code); got != exit {
			t.Errorf("%s: exit code %d, want %d", code, got, exit)
		}
	}
}

func TestExitCodesWithGuestExit(t *testing.T) {
	guest := func(n int32) error { return exit{code: exitTrap, guest: &n} }
	for name, tt := range map[string]struct {
		err           error
		plain, passed int
	}{
		"ok":              {nil, 0, 0},
		"guest's code":    {guest(3), 21, 3},
		"its last byte":   {guest(-1), 21, 255},
		"not by accident": {guest(256), 21, 125},
		"a trap":          {exit{code: exitTrap}, 21, 125},
		"busy":            {fault.New(fault.BusyQueueFull, "", "", nil), 9, 125},
		"a mistake":       {usage("x", "y"), 2, 125},
		"lost output":     {fault.New(fault.CallerOutput, "", "", io.ErrShortWrite), 1, 125},
		"a closed pipe":   {fault.New(fault.CallerOutput, "", "", syscall.EPIPE), 7, 125},
		"no fault at all": {io.ErrShortWrite, 70, 125},
	} {
		if got := finish(io.Discard, tt.err, false); got != tt.plain {
			t.Errorf("%s: %d, want %d", name, got, tt.plain)
		}
		if got := finish(io.Discard, tt.err, true); got != tt.passed {
			t.Errorf("%s with --guest-exit: %d, want %d", name, got, tt.passed)
		}
	}
}

func TestErrorsAreDefused(t *testing.T) {
	var b bytes.Buffer
	printError(&b, "bad\x1b[2J\nname\u202e", "guest.trap", "do\nthis")
	if want := "error: bad\uFFFD[2J name\uFFFD\ncode:  guest.trap\nhint:  do this\n"; b.String() != want {
		t.Errorf("got %q", b.String())
	}
}

func TestSizes(t *testing.T) {
	for text, want := range map[string]int64{"1": 1, "64KiB": 65536, "64MiB": 64 << 20, "1.5GiB": 3 << 29, "2MB": 2e6, "10kB": 10e3, "7B": 7} {
		var s size
		if err := s.Set(text); err != nil || int64(s) != want {
			t.Errorf("%s: %d %v", text, s, err)
		}
	}
	for _, text := range []string{"", "0", "-1", "MiB", "1XB", "NaN", "Inf", "9999999TiB", "1e30", "0.5"} {
		var s size
		if err := s.Set(text); err == nil {
			t.Errorf("%q was taken as %d", text, s)
		}
	}
	for n, want := range map[int64]string{0: "0B", 1023: "1023B", 65536: "64KiB", 1179648: "1.1MiB", 1 << 40: "1TiB", 1 << 55: "32768TiB"} {
		if got := sizeText(n); got != want {
			t.Errorf("%d: %s", n, got)
		}
	}
}

// What a flag takes arrives at the host: the wire counts microseconds, and zero of them means the default.
func TestSpans(t *testing.T) {
	for text, want := range map[string]time.Duration{"1ms": time.Millisecond, "1.5s": 1500 * time.Millisecond, "2m": 2 * time.Minute} {
		var s span
		if err := s.Set(text); err != nil || time.Duration(s) != want {
			t.Errorf("%s: %v %v", text, time.Duration(s), err)
		}
	}
	for _, text := range []string{"", "0", "-1s", "1", "1ns", "999ns", "999us", "1e9s", "300y", "9999999h"} {
		var s span
		if err := s.Set(text); err == nil || !strings.Contains(err.Error(), "at least 1ms") {
			t.Errorf("%q was taken as %v: %v", text, time.Duration(s), err)
		}
	}
}

// A limit that no host takes is refused before there is a host, in the words of the flag.
func TestLimits(t *testing.T) {
	file := wasmFile(t)
	for _, tt := range []struct {
		args []string
		say  string // "": it is taken
	}{
		{[]string{"run", "--cpu", "24h"}, ""},
		{[]string{"run", "--cpu", "1ms"}, ""},
		{[]string{"run", "--wall", "168h"}, ""},
		{[]string{"run", "--timeout", "200h"}, ""},
		{[]string{"run", "--cpu", "25h"}, "between 1ms and 24h, "},
		{[]string{"run", "--cpu", "24h0m0.000001s"}, "between 1ms and 24h, "},
		{[]string{"run", "--cpu", "999us"}, "between 1ms and 24h, "},
		{[]string{"run", "--wall", "169h"}, "between 1ms and 168h, "},
		{[]string{"artifact", "prepare", "--cpu", "25h"}, "between 1ms and 24h, "},
	} {
		c := newConsole(t, &fakeHost{execute: receipt("ok", "")})
		code := c.main(append(tt.args, file))
		if tt.say == "" && code != 0 || tt.say != "" && (code != exitUsage || len(c.configs) > 0 || !strings.Contains(c.err.String(), tt.say)) {
			t.Errorf("%s: exit code %d\n%s", tt.args, code, c.err.String())
		}
	}
}

func TestNearest(t *testing.T) {
	verbs := []string{"run", "serve", "status", "artifact", "version"}
	for word, want := range map[string]string{"rnu": "run", "stat": "status", "artefact": "artifact", "x": "", "completely": "", "": ""} {
		if got := nearest(word, verbs); got != want {
			t.Errorf("%q: %q, want %q", word, got, want)
		}
	}
}

type closedPipe struct{}

func (closedPipe) Write([]byte) (int, error) {
	return 0, &os.PathError{Op: "write", Path: "|1", Err: syscall.EPIPE}
}

type fullDisk struct{}

func (fullDisk) Write([]byte) (int, error) {
	return 0, &os.PathError{Op: "write", Path: "/dev/full", Err: syscall.ENOSPC}
}

func TestStdoutThatFails(t *testing.T) {
	talks := &fakeHost{execute: func(ctx context.Context, r host.Request) (run.Receipt, error) {
		_, _ = io.WriteString(r.Stdout, "text")
		<-ctx.Done()
		return run.Receipt{}, ctx.Err()
	}}
	for name, args := range map[string][]string{"guest output": {"run", wasmFile(t)}, "our output": {"version"}, "help": {"run", "--help"}} {
		c := newConsole(t, talks)
		c.app.out.w = closedPipe{}
		if code := c.main(args); code != exitCanceled || c.err.Len() > 0 {
			t.Errorf("%s into a closed pipe: exit code %d, %q", name, code, c.err.String())
		}
		c = newConsole(t, talks)
		c.app.out.w = fullDisk{}
		if code := c.main(args); code != exitOther || !strings.Contains(c.err.String(), "no space left") || !strings.Contains(c.err.String(), "\ncode:  caller.output\nhint:  ") {
			t.Errorf("%s onto a full disk: exit code %d, %q", name, code, c.err.String())
		}
	}
}

func TestDataDirectory(t *testing.T) {
	for name, tt := range map[string]struct {
		env  map[string]string
		flag string
		want string
	}{
		"xdg":          {map[string]string{"XDG_DATA_HOME": "/x", "HOME": "/h"}, "", "/x/troupe"},
		"relative xdg": {map[string]string{"XDG_DATA_HOME": "x", "HOME": "/h"}, "", "/h/.local/share/troupe"},
		"home":         {map[string]string{"HOME": "/h"}, "", "/h/.local/share/troupe"},
		"flag":         {map[string]string{"HOME": "/h"}, "/f", "/f"},
		"none":         {nil, "", ""},
	} {
		a := &app{getenv: func(k string) string { return tt.env[k] }, dataDir: tt.flag}
		if got, err := a.directory(); got != tt.want || (err == nil) != (tt.want != "") {
			t.Errorf("%s: %q %v", name, got, err)
		}
	}
}

func TestSocketPath(t *testing.T) {
	runtimeDir := t.TempDir()
	a := &app{getenv: func(string) string { return runtimeDir }}
	if got, err := a.socketPath("/data"); got != "/data/troupe.sock" || err != nil {
		t.Errorf("%q %v", got, err)
	}
	long := "/" + strings.Repeat("d", 200)
	one, err := a.socketPath(long + "1")
	two, err2 := a.socketPath(long + "2")
	if err != nil || err2 != nil || one == two || filepath.Dir(one) != runtimeDir || len(one) > control.MaxSocketPath {
		t.Errorf("%q %q %v %v", one, two, err, err2)
	}
	t.Setenv("TMPDIR", runtimeDir)
	a.getenv = func(string) string { return "" }
	three, err := a.socketPath(long)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Dir(three), 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := a.socketPath(long); !errors.Is(err, fault.HostDataDir) {
		t.Errorf("a directory that others may enter: %v", err)
	}
}

// The JSON that scripts rely on. A change here must only ever add.
func TestJSONShapes(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	three := int32(3)
	for name, v := range map[string]any{
		"receipt.json": run.Receipt{
			Verdict: "guest", Fault: "guest.exit", Message: "m", Hint: "h", GuestExit: &three, Result: run.Blob("69732"), Stdout: run.Blob("out"),
			Stderr: run.Blob("\xff"), CPUMicros: new(int64(1)), WallMicros: new(int64(2)), MemoryPeakBytes: new(int64(3)), Cache: "hit", CodeHash: "c", Artifact: "a", Sandbox: "env", Attempts: new(1),
		},
		"receipt_unknown.json": receiptOf(fault.New(fault.CanceledDeadline, "", "", nil), "c"),
		"announced.json":       announced{CodeHash: "c", State: "announced"},
		"status.json": inspect.Host{
			Version: "v", BuildID: "b", Name: "troupe", StartedAt: at, DataDir: "/d", Sandbox: "env", Ready: true,
			Health:    []inspect.Health{{Code: "host.disk_full", Level: "error", Message: "m", Hint: "h", Since: at}},
			Actors:    []inspect.Actor{{Path: "troupe/cache", Kind: "cache", Incarnation: 1, State: "idle", Since: at, Cap: 9, Handled: 4}},
			Queues:    []inspect.Queue{{Name: "execute", Cap: 9, Parked: map[string]int{"normal": 2}, Running: 1, Workers: 1, Soft: 1, Hard: 2, OldestAt: at}},
			Workers:   []inspect.Worker{{ID: "w1", Kind: "execute", PID: 5, State: "busy", Tenant: "uid:0", Artifact: "a", Runs: 3, Since: at, Sandbox: "env"}},
			Artifacts: []inspect.Artifact{{Key: "k", CodeHash: "c", State: "prepared", Generation: 1, Bytes: 5, Stored: true, Pins: []string{"uid:0"}, LastNeeded: at}},
			Store:     inspect.Store{Entries: 1, Bytes: 5, DiskBytes: 6, LimitBytes: 7},
		},
		"report.json": examined{"c", "1.2", &wasm.Report{
			Verdict: "guest", Fault: "guest.too_complex", Message: "m", Hint: "h", Features: []string{"simd"},
			Module:  artifacts.Module{Imports: []artifacts.Import{}, Exports: []artifacts.Export{}},
			Caps:    []wasm.CapUse{{Cap: "locals", Measured: 600, Limit: 512, Used: 1.1719, Function: &wasm.Function{Index: 1, Name: "f", Offset: 9}}, {Cap: "types"}},
			Rewrite: &wasm.Rewrite{Resets: []string{"grows-memory"}}, Start: &wasm.StartGas{Gas: 7, Function: &wasm.Function{}},
		}},
		"sandbox.json":       confinedBy(),
		"app_built.json":     builtApp{Address: "a", CID: "Qm", Dir: "app.app", Blobs: []builtBlob{{"sha256:00", "Qm", 1}}},
		"app_announced.json": announcedApp{Address: "a", State: "announced"},
		"verified.json":      verified{Worker: "w", Session: "s", SN: 1, Nonce: "n", Apps: []inspect.AppMetrics{{Address: "a", Session: "s", StorageUsed: "1", MemoryUsed: "2"}}},
		"key.json":           shownKey{WorkerKey: "w", Locked: true},
		"app.json":           inspect.App{Address: "a", Session: "s", Label: "l", Tenant: "uid:0", State: "idle", Deployed: at, Instances: []inspect.Instance{{ID: 1, State: "running", Since: at}}},
		"session.json":       inspect.Session{ID: "s", WorkerKey: "w", CNonce: "c", SN: 1, Opened: at, Apps: 1, Slots: 8},
		"judgement.json": host.Judgement{Verdict: "ok", CodeHash: "c", Artifact: "a", Cache: "miss", Module: artifacts.Module{
			Imports: []artifacts.Import{{Module: "m", Name: "n", Kind: "func", Type: "()", Known: true}}, Exports: []artifacts.Export{{Name: "run", Kind: "func", Type: "()"}},
		}},
	} {
		var out bytes.Buffer
		(&app{out: &sink{w: &out}}).printJSON(v)
		golden(t, name, out.Bytes())
	}
}

func TestJSONHidesNothing(t *testing.T) {
	t.Parallel()
	text := "é 日\u00a0<&>\x1b\x7f\u0085\u009b31m\u202e\u200b\u2028\ufeff\U000e0041\U0001f600\n"
	var out bytes.Buffer
	(&app{out: &sink{w: &out}}).printJSON(map[string]string{"name": text})
	want := "{\n  \"name\": \"é 日\u00a0<&>\\u001b\\u007f\\u0085\\u009b31m\\u202e\\u200b\\u2028\\ufeff\\udb40\\udc41\U0001f600\\n\"\n}\n"
	if out.String() != want {
		t.Errorf("got %+q, want %+q", out.String(), want)
	}
	var back map[string]string
	if err := json.Unmarshal(out.Bytes(), &back); err != nil || back["name"] != text {
		t.Errorf("read back as %+q, %v", back["name"], err)
	}
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", "golden", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), string(got)); d != "" {
		t.Errorf("%s:\n%s", name, d)
	}
}

// Each verb has an example that parses as itself, and says which exit codes it has.
func TestEveryVerbIsExplained(t *testing.T) {
	var walk func(path string, v verb)
	walk = func(path string, v verb) {
		name, _, _ := strings.Cut(v.use, " ")
		path = strings.TrimSpace(path + " " + name)
		if v.short == "" || strings.HasSuffix(v.short, ".") || len(v.exits) == 0 || len(v.examples) == 0 || len(v.examples)%2 != 0 {
			t.Errorf("%s: %+v", path, v)
		}
		for _, c := range v.exits {
			if exitTexts[c] == "" {
				t.Errorf("%s: exit code %d has no text", path, c)
			}
		}
		c := newConsole(t, &fakeHost{})
		if code := c.main(append(strings.Fields(path)[1:], "--help")); code != 0 || !strings.Contains(c.out.String(), "\nExamples:\n") || !strings.Contains(c.out.String(), "\nExit codes:\n") {
			t.Errorf("%s --help: exit code %d\n%s", path, code, c.out.String())
		}
		for _, sub := range v.verbs {
			walk(path, sub)
		}
	}
	walk("", (&app{}).table())
}
