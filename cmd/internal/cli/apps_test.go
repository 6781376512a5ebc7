package cli

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/actors/meter"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/host"
	"github.com/troupehost/troupe/host/control"
)

// bare compares requests that are not of an app, by what callers can set.
var bare = cmpopts.IgnoreUnexported(host.Request{})

// appHost is a host that has two apps and a log.
type appHost struct {
	fakeHost
	apps  []inspect.App
	lines []host.LogLine
	query func(host.AppQuery) (host.AppReply, error)
	calls []string
}

func (h *appHost) Apps(context.Context, host.AppFilter) ([]inspect.App, uint64, error) {
	return h.apps, 0, nil
}
func (h *appHost) App(_ context.Context, address string) (inspect.App, error) {
	for _, x := range h.apps {
		if x.Address == address {
			return x, nil
		}
	}
	return inspect.App{}, fault.New(fault.CallerNotFound, "app", address, nil)
}
func (h *appHost) ResizeApp(_ context.Context, address string, n uint32) (inspect.App, error) {
	h.calls = append(h.calls, fmt.Sprint("resize ", address, " ", n))
	return inspect.App{Address: address, Running: n, Wanted: n}, nil
}
func (h *appHost) Query(_ context.Context, q host.AppQuery) (host.AppReply, error) { return h.query(q) }
func (h *appHost) LockKey(_ context.Context, pass []byte) error {
	h.calls = append(h.calls, "lock "+string(pass))
	return nil
}

// AppLog answers as a host does: the newest lines, or those behind one, and then it waits.
func (h *appHost) AppLog(ctx context.Context, _ string, after uint64, most int, wait time.Duration) ([]host.LogLine, uint64, error) {
	h.calls = append(h.calls, fmt.Sprint("log ", after, " ", most))
	if after == 0 {
		return h.lines[max(0, len(h.lines)-most):], 0, nil
	}
	i := slices.IndexFunc(h.lines, func(l host.LogLine) bool { return l.Seq > after })
	if i < 0 {
		if wait > 0 {
			<-ctx.Done()
		}
		return nil, 0, nil
	}
	return h.lines[i:min(len(h.lines), i+most)], 0, nil
}

var addressA, addressB = "abcd1" + strings.Repeat("0", 59), "abcd2" + strings.Repeat("0", 59)

// serveApps makes h the host of a 'serve'.
func serveApps(t *testing.T, h *appHost) *console {
	t.Helper()
	c := newConsole(t, &h.fakeHost)
	socket := filepath.Join(t.TempDir(), "s")
	l, err := control.Listen(socket)
	if err != nil {
		t.Fatal(err)
	}
	s := control.New(h, control.Options{Version: host.Version})
	go func() { _ = s.Serve(l) }()
	t.Cleanup(func() { _ = s.Close() })
	c.owner = func(string) (host.Owner, bool) { return host.Owner{PID: 7, Kind: "serve", Socket: socket}, true }
	return c
}

func TestAddressesMayBeShortened(t *testing.T) {
	h := &appHost{apps: []inspect.App{{Address: addressA}, {Address: addressB}}}
	for prefix, want := range map[string]int{
		"abcd1": 0, "ABCD2": 0, "0xabcd1": 0, addressA: 0, "abcd": exitConflict, "abce": exitNotFound, strings.Repeat("0", 64): exitNotFound,
		"abc": exitUsage, "zzzz": exitUsage, addressA + "0": exitUsage,
	} {
		c := serveApps(t, h)
		if code := c.main([]string{"app", "show", prefix}); code != want {
			t.Errorf("%s: exit code %d\n%s", prefix, code, c.err.String())
		}
	}
	c := serveApps(t, h)
	if code := c.main([]string{"app", "resize", "abcd2", "4"}); code != 0 || c.out.String() != addressB+" 4 of 4 running\n" || h.calls[0] != "resize "+addressB+" 4" {
		t.Errorf("exit code %d, %v\n%s%s", code, h.calls, c.out.String(), c.err.String())
	}
}

func TestAppVerbsRefuseWhatMakesNoSense(t *testing.T) {
	for _, args := range []string{
		"app resize abcd1", "app resize abcd1 -1", "app resize abcd1 4294967296", "app remove", "app remove --all abcd1", "app bench abcd1", "app bench none 3",
		"app query", "app query a b c", "app logs -n 0 abcd1", "app deploy", "app build", "app raise --priority background abcd1",
		"blob put --hash sha256:00 a b", "blob get", "blob get -o json abcd1", "session open --nonce 0", "session open --recipient ",
		"session open --recipient 0x" + strings.Repeat("00", 33), "key backup -o json", "key lock --clear --passphrase-file x", "key restore", "key restore --passphrase-file - -",
		"metrics verify", "metrics verify --worker x y", "serve --app-tls 127.0.0.1:0", "serve --app-cert /x", "serve --app-tls 127.0.0.1:0 --app-cert /nonexistent/x", "serve --key-file a --key-passphrase-file b",
		"serve --listen-ports 0-9", "serve --listen-ports 9-8", "serve --listen-ports 1-65536", "serve --app-slots 5000", "serve --blob-bytes 1KiB", "serve --app-listen 127.0.0.1:99999",
	} {
		c := serveApps(t, &appHost{})
		c.askSecret = func(string) ([]byte, error) { t.Errorf("%s: asked for a passphrase", args); return nil, nil }
		if code := c.main(strings.Split(args, " ")); code != exitUsage || !strings.Contains(c.err.String(), "hint: ") {
			t.Errorf("%s: exit code %d\n%s", args, code, c.err.String())
		}
		if len(c.configs) > 0 {
			t.Errorf("%s: a host was started", args)
		}
	}
}

// What an app says of itself does not reach the terminal as it is.
func TestAppsAreDefused(t *testing.T) {
	hostile := "a\x1b[2J\u202eb"
	h := &appHost{
		apps:  []inspect.App{{Address: addressA, Label: hostile, Reason: hostile, LastEnd: hostile, LastEndAt: time.Now(), Instances: []inspect.Instance{{Reason: hostile}}}},
		lines: []host.LogLine{{Seq: 1, Level: "stdout", Text: hostile + strings.Repeat("x", 1000) + "\n"}},
	}
	for _, args := range []string{"app list -o wide", "app show abcd1", "app logs abcd1", "app list -o json", "app logs abcd1 -o json"} {
		c := serveApps(t, h)
		if code := c.main(strings.Split(args, " ")); code != 0 || strings.ContainsAny(c.out.String(), "\x1b\u202e") || !strings.Contains(c.out.String(), "[2J") {
			t.Errorf("%s: exit code %d, %q %s", args, code, c.out.String(), c.err.String())
		}
		if strings.HasPrefix(args, "app logs") && !strings.Contains(c.out.String(), strings.Repeat("x", 1000)) {
			t.Errorf("%s: the line was cut: %q", args, c.out.String())
		}
	}
}

func TestRepliesAndReceipts(t *testing.T) {
	for name, tt := range map[string]struct {
		reply    host.AppReply
		err      error
		want     int
		out, say string
	}{
		"an instance":   {host.AppReply{Output: []byte("\x00hi")}, nil, 0, "\x00hi", ""},
		"a run":         {host.AppReply{Output: []byte("hi"), Receipt: &run.Receipt{Verdict: "ok"}}, nil, 0, "hi", "ok  cache"},
		"a trap":        {host.AppReply{}, fault.New(fault.GuestTrap, "", "", nil), exitTrap, "", "code:  guest.trap"},
		"no time":       {host.AppReply{}, fault.New(fault.GuestNoReply, "", "", nil), exitLimit, "", "code:  guest.no_reply"},
		"a full queue":  {host.AppReply{}, fault.New(fault.BusyApp, "", "", nil), exitBusy, "", "code:  busy.app_queue_full"},
		"a replay":      {host.AppReply{}, fault.New(fault.CallerSignatureReplay, "", "", nil), exitDenied, "", "code:  caller.signature_replayed"},
		"a wrong state": {host.AppReply{}, fault.New(fault.CallerAppState, "", "", nil), exitConflict, "", "code:  caller.app_state"},
	} {
		var got host.AppQuery
		h := &appHost{query: func(q host.AppQuery) (host.AppReply, error) { got = q; return tt.reply, tt.err }}
		c := serveApps(t, h)
		c.in = strings.NewReader("payload")
		if code := c.main([]string{"app", "query", "--input", "-", addressA, "/p"}); code != tt.want || c.out.String() != tt.out || !strings.Contains(c.err.String(), tt.say) {
			t.Errorf("%s: exit code %d, %q\n%s", name, code, c.out.String(), c.err.String())
		}
		if got.Path != "/p" || string(got.Payload) != "payload" || got.Address != addressA {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

func TestTheLastLinesOfALog(t *testing.T) {
	h := &appHost{}
	for i := uint64(1); i <= 4500; i++ {
		if i != 2000 { // the log has lost one
			h.lines = append(h.lines, host.LogLine{Seq: i, Level: "info", Text: fmt.Sprint("line ", i)})
		}
	}
	for n, want := range map[string][2]int{"3": {3, 4498}, "1000": {1000, 3501}, "1001": {1001, 3500}, "2400": {2400, 2101}, "4000": {3999, 501}, "9999": {4498, 2}} {
		c := serveApps(t, h)
		if code := c.main([]string{"app", "logs", "-n", n, addressA}); code != 0 {
			t.Fatal(c.err.String())
		}
		lines := strings.Split(strings.TrimSpace(c.out.String()), "\n")
		if len(lines) != want[0] || !strings.HasSuffix(lines[0], fmt.Sprint(" line ", want[1])) || !strings.HasSuffix(lines[len(lines)-1], " line 4500") {
			t.Errorf("-n %s: %d lines, from %q", n, len(lines), lines[0])
		}
	}
}

// Following ends by a signal, which is no failure.
func TestLogsAreFollowed(t *testing.T) {
	h := &appHost{lines: []host.LogLine{{Seq: 1, Level: "info", Text: "one"}, {Seq: 2, Level: "info", Text: "two"}}}
	c := serveApps(t, h)
	seen := newWatcher(&c.out, `"text":"two"`)
	c.app.out = &sink{w: seen}
	go func() { <-seen.found; c.interrupts <- os.Interrupt }()
	if code := c.main([]string{"app", "logs", "-f", "-n", "1", "-o", "json", addressA}); code != 0 || strings.Contains(c.out.String(), "one") || strings.Count(c.out.String(), "\n") != 1 {
		t.Errorf("exit code %d, %q\n%s", code, c.out.String(), c.err.String())
	}
}

func TestPassphrases(t *testing.T) {
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte(" two words \r\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	answers := func(list ...string) func(string) ([]byte, error) {
		return func(string) ([]byte, error) {
			if len(list) == 0 {
				return nil, errors.New("asked too often")
			}
			next := list[0]
			list = list[1:]
			return []byte(next), nil
		}
	}
	for name, tt := range map[string]struct {
		args []string
		ask  func(string) ([]byte, error)
		want int
		call string
	}{
		"from a file":   {[]string{"--passphrase-file", file}, nil, 0, "lock  two words "},
		"typed twice":   {nil, answers("pw", "pw"), 0, "lock pw"},
		"mistyped":      {nil, answers("pw", "pv"), exitUsage, ""},
		"none":          {nil, answers("", ""), exitUsage, ""},
		"too long":      {nil, answers(strings.Repeat("p", 1025), strings.Repeat("p", 1025)), exitUsage, ""},
		"no terminal":   {nil, askTerminal(os.NewFile(^uintptr(0), "closed"), os.Stderr), exitUsage, ""},
		"taken away":    {[]string{"--clear"}, answers(), 0, "lock "},
		"not an option": {[]string{"--passphrase", "pw"}, answers("pw", "pw"), exitUsage, ""},
	} {
		h := &appHost{}
		c := serveApps(t, h)
		c.askSecret = tt.ask
		if code := c.main(append([]string{"key", "lock"}, tt.args...)); code != tt.want || strings.Join(h.calls, ",") != tt.call {
			t.Errorf("%s: exit code %d, %q\n%s", name, code, h.calls, c.err.String())
		}
	}
}

func TestAccounts(t *testing.T) {
	const alice = "d43593c715fdd31c61141abd04a99fd6822c8558854ccde39a5684e7a56da27d"
	for text, want := range map[string]string{
		"0x" + alice: alice, alice: alice, "07": "07",
		"5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY": alice, // Substrate, network 42
		"15oF4uVJwmo4TdGW7VfQxNLavjCXviqxT9S1MgbjMNHr6Sp5": alice, // Polkadot, network 0
		"HNZata7iMYWmk5RvZRTiAsSDhV8366zq2YGb3tLH5Upf74F":  alice, // Kusama, network 2
	} {
		if b, err := parseAccount(text); err != nil || hex.EncodeToString(b) != want {
			t.Errorf("%s: %x, %v", text, b, err)
		}
	}
	for _, text := range []string{
		"", "0x", "0", "xyz", alice + "00", "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQZ", "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKut",
		"O0Il", strings.Repeat("1", 49), strings.Repeat("5", 5000),
	} {
		if b, err := parseAccount(text); err == nil {
			t.Errorf("%q was taken as %x", text, b)
		}
	}
}

// A signed report in each of its forms, and one bit that differs.
func TestReportsAreVerified(t *testing.T) {
	k := meter.KeyFromSeed([32]byte{1})
	apps := []meter.Metrics{{Address: [32]byte{2}, Gas: 20, Starts: 1, StorageUsed: meter.Uint128{Hi: 1}}}
	b, err := meter.SignReport(k, meter.Token{SN: 9}, apps)
	if err != nil {
		t.Fatal(err)
	}
	forged := bytes.Clone(b)
	forged[len(forged)/2] ^= 1
	for name, tt := range map[string]struct {
		text []byte
		want int
	}{
		"bytes":    {b, 0},
		"hex":      {fmt.Appendf(nil, "0x%x\n%x\n", b, b), 0},
		"json":     {fmt.Appendf(nil, `{"reports":[{"encoded":"%x","sn":9}]}`, b), 0},
		"forged":   {forged, exitDenied},
		"in hex":   {fmt.Appendf(nil, "%x\n%x", b, forged), exitDenied},
		"in json":  {fmt.Appendf(nil, `{"reports":[{"encoded":"%x"}]}`, forged), exitDenied},
		"a part":   {b[:len(b)-1], exitUsage},
		"nothing":  {nil, exitUsage},
		"none":     {[]byte(`{"reports":[]}`), exitUsage},
		"bad json": {[]byte(`{`), exitUsage},
	} {
		c := newConsole(t, &fakeHost{})
		c.in = bytes.NewReader(tt.text)
		code := c.main([]string{"metrics", "verify", "-"})
		if code != tt.want || (code == 0) != strings.Contains(c.out.String(), "valid\n") || len(c.configs) > 0 {
			t.Errorf("%s: exit code %d\n%s%s", name, code, c.out.String(), c.err.String())
		}
		if code == 0 && (!strings.Contains(c.out.String(), "18446744073709551616") || !strings.Contains(c.out.String(), fmt.Sprintf("worker   %x\n", k.Public()))) {
			t.Errorf("%s: %s", name, c.out.String())
		}
	}
}

// What was there stays when it is not an app, or when the new one cannot be written.
func TestBuildReplacesOnlyApps(t *testing.T) {
	dir := t.TempDir()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.WriteFile(filepath.Join(dir, "app.json"), []byte(`{"wasm_code": "code"}`), 0o600))
	must(os.WriteFile(filepath.Join(dir, "code"), []byte("code"), 0o600))
	out := filepath.Join(dir, "out")
	build := func() int {
		c := newConsole(t, &fakeHost{})
		return c.main([]string{"app", "build", "--out", out, filepath.Join(dir, "app.json")})
	}
	for range 2 {
		if code := build(); code != 0 {
			t.Fatalf("exit code %d", code)
		}
	}
	for name, add := range map[string]func() error{
		"a file":          func() error { return os.WriteFile(filepath.Join(out, "notes"), nil, 0o600) },
		"a directory":     func() error { return os.Mkdir(filepath.Join(out, "src"), 0o700) },
		"a link":          func() error { return os.Symlink("/etc", filepath.Join(out, "manifest.toml")) },
		"among the blobs": func() error { return os.WriteFile(filepath.Join(out, "blobs", "notes"), nil, 0o600) },
		"below the blobs": func() error { return os.Mkdir(filepath.Join(out, "blobs", "Qm"+strings.Repeat("1", 44)), 0o700) },
		"a link as a blob": func() error {
			return os.Symlink("/etc/passwd", filepath.Join(out, "blobs", "Qm"+strings.Repeat("1", 44)))
		},
	} {
		must(os.RemoveAll(out))
		if code := build(); code != 0 {
			t.Fatalf("exit code %d", code)
		}
		must(add())
		before := tree(t, dir)
		if code := build(); code != exitConflict {
			t.Errorf("%s: exit code %d", name, code)
		}
		if d := cmp.Diff(before, tree(t, dir)); d != "" {
			t.Errorf("%s: %s", name, d)
		}
	}
	must(os.RemoveAll(out))
	must(os.Symlink(dir, out))
	if code := build(); code != exitConflict {
		t.Errorf("a link: exit code %d", code)
	}
}

func tree(t *testing.T, dir string) (names []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		names = append(names, path)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// The users' listeners are the host's while it runs, and their addresses stand in the log.
func TestServeListensForUsers(t *testing.T) {
	h := &fakeHost{state: inspect.Host{Ready: true}, listening: make(chan string, 2)}
	c := newConsole(t, h)
	dir := t.TempDir()
	ready := newWatcher(&c.out, "ready ")
	c.app.out = &sink{w: ready}
	done := make(chan int, 1)
	go func() {
		done <- c.main([]string{"serve", "--data-dir", dir, "--app-listen", "127.0.0.1:0", "--app-tls", "127.0.0.1:0", "--app-cert", dir, "--listen-ports", "9000-9099", "--app-slots", "3", "--resume", "--blob-bytes", "2MiB", "--key-file", "k"})
	}()
	got := []string{<-h.listening, <-h.listening}
	slices.Sort(got)
	<-ready.found
	a := c.configs[0].Apps
	if a.ListenFrom != 9000 || a.ListenTo != 9099 || a.Slots != 3 || !a.Resume || a.BlobBytes != 2<<20 || a.KeyFile != "k" || a.Certificates == nil {
		t.Errorf("%+v", a)
	}
	c.interrupts <- syscall.SIGTERM
	if code := <-done; code != 0 {
		t.Errorf("exit code %d\n%s", code, c.err.String())
	}
	for i, kind := range []string{"http ", "tls "} {
		address, ok := strings.CutPrefix(got[i], kind)
		if !ok || !strings.Contains(c.err.String(), `"address":"`+address+`"`) {
			t.Errorf("%s: %v\n%s", kind, got, c.err.String())
		}
	}
}
