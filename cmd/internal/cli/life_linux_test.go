package cli

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"github.com/spf13/pflag"

	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/host"
	"github.com/troupehost/troupe/host/control/api"
	"github.com/troupehost/troupe/host/control/bundle"
	"github.com/troupehost/troupe/host/control/client"
)

// daemon is a 'serve' as a process of its own, under a service manager that is this test.
type daemon struct {
	t       *testing.T
	cmd     *exec.Cmd
	dir     string // data directory
	config  string
	told    chan string // by notify
	lines   chan string // of the log
	ended   chan error
	mu      sync.Mutex
	logText bytes.Buffer
}

// patient is how long anything may take that must happen.
const patient = time.Minute

func startDaemon(t *testing.T, config string, env []string, args ...string) *daemon {
	t.Helper()
	return startProgram(t, "troupe", config, env, args...)
}

// startProgram is startDaemon for a program of another name: see TestMain.
func startProgram(t *testing.T, name, config string, env []string, args ...string) *daemon {
	t.Helper()
	d := &daemon{t: t, dir: filepath.Join(t.TempDir(), "data"), config: filepath.Join(t.TempDir(), "config.toml"), told: make(chan string, 100), lines: make(chan string, 10_000), ended: make(chan error, 1)}
	d.settings(config)
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(t.TempDir(), "notify"), Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for buf := make([]byte, 4096); ; {
			n, err := l.Read(buf)
			if err != nil {
				return
			}
			d.told <- string(buf[:n])
		}
	}()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	d.cmd = exec.CommandContext(t.Context(), self, append([]string{"serve", "--config", d.config, "--data-dir", d.dir, "--chain", "none", "--log-format", "json"}, args...)...)
	d.cmd.Args[0] = name
	d.cmd.Env = append(append(os.Environ(), "NOTIFY_SOCKET="+l.LocalAddr().String()), env...)
	stderr, err := d.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	d.cmd.Stdout = io.Discard
	if err := d.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		for s := bufio.NewScanner(stderr); s.Scan(); {
			d.mu.Lock()
			d.logText.WriteString(s.Text() + "\n")
			d.mu.Unlock()
			d.lines <- s.Text()
		}
		close(d.lines)
		d.ended <- d.cmd.Wait()
	}()
	t.Cleanup(func() { _ = d.cmd.Process.Kill() })
	return d
}

func (d *daemon) settings(text string) {
	d.t.Helper()
	if err := os.WriteFile(d.config, []byte(text), 0o600); err != nil {
		d.t.Fatal(err)
	}
}

func (d *daemon) signal(s os.Signal) {
	d.t.Helper()
	if err := d.cmd.Process.Signal(s); err != nil {
		d.t.Fatal(err)
	}
}

// hears waits for something that the service manager is told.
func (d *daemon) hears(pattern string) {
	d.t.Helper()
	d.wait(d.told, pattern)
}

// logs waits for a line of the log.
func (d *daemon) logs(pattern string) {
	d.t.Helper()
	d.wait(d.lines, pattern)
}

func (d *daemon) wait(from <-chan string, pattern string) {
	d.t.Helper()
	re, give := regexp.MustCompile(pattern), time.After(patient)
	for {
		select {
		case text, ok := <-from:
			if !ok {
				d.t.Fatalf("it ended before it said %s", pattern)
			}
			if re.MatchString(text) {
				return
			}
		case <-give:
			d.mu.Lock()
			defer d.mu.Unlock()
			d.t.Fatalf("never: %s\n%s", pattern, d.logText.String())
		}
	}
}

// ends waits for the end, and returns the exit code.
func (d *daemon) ends() int {
	d.t.Helper()
	for range d.lines {
	}
	select {
	case <-d.ended:
	case <-time.After(patient):
		d.t.Fatal("it does not end")
	}
	return d.cmd.ProcessState.ExitCode()
}

// From its start to its end a host tells its service manager how it is, and takes over what has changed.
func TestServeUnderAManager(t *testing.T) {
	d := startDaemon(t, "execute-workers = 2\n", []string{"WATCHDOG_USEC=2000000"})
	d.hears("^STATUS=starting$")
	d.hears("^READY=1\nSTATUS=ready$")
	c := client.New(filepath.Join(d.dir, "troupe.sock"), 0)
	if err := c.Ready(t.Context()); err != nil {
		t.Errorf("READY came too early: %v", err)
	}
	d.hears("^WATCHDOG=1$")

	d.settings("execute-workers = 3\nlog-level = \"warn\"\n")
	d.signal(syscall.SIGHUP)
	d.hears("^RELOADING=1\nMONOTONIC_USEC=\\d+\nSTATUS=reloading$")
	d.hears("^READY=1")
	d.logs(`"setting":"execute-workers","from":"2","to":"3".*"message":"this setting needs a restart to change"`)

	// What is wrong changes nothing, and nothing but warnings is logged now.
	d.settings("execute-wrokers = 3\nlog-level = \"info\"\n")
	d.signal(syscall.SIGHUP)
	d.logs(`config.toml:1:1: unknown setting execute-wrokers.*did you mean 'execute-workers'.*are not reloaded`)
	d.settings("log-level = \"info\"\n")
	d.signal(syscall.SIGHUP)
	d.hears("^RELOADING=1\n")
	d.hears("^READY=1")
	d.logs(`"message":"reloaded: `)

	d.signal(syscall.SIGTERM)
	d.hears("^STOPPING=1\nSTATUS=(draining|stopping)")
	d.hears("^EXTEND_TIMEOUT_USEC=\\d+$")
	if code := d.ends(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// bundleOf waits for the file of a bundle and reads it.
func (d *daemon) bundleOf(why string) *api.Bundle {
	d.t.Helper()
	names, err := filepath.Glob(filepath.Join(d.dir, bundleDir, bundlePrefix+"*-"+why+bundleSuffix))
	if err != nil || len(names) == 0 {
		d.t.Fatalf("no bundle for %s: %v\n%s", why, err, d.logText.String())
	}
	f, err := os.Open(names[len(names)-1])
	if err != nil {
		d.t.Fatal(err)
	}
	defer f.Close()
	b, err := bundle.Read(f)
	if err != nil {
		d.t.Fatal(err)
	}
	return b
}

// SIGUSR1 asks for a bundle and leaves the host alone; SIGQUIT ends it, with a bundle and the stacks of all goroutines.
func TestServeWritesBundlesAndStacks(t *testing.T) {
	d := startDaemon(t, "", nil)
	d.hears("^READY=1")
	d.signal(syscall.SIGUSR1)
	d.logs(`"message":"a bundle is written`)
	b := d.bundleOf("signal")
	if b.Reason != "signal" || len(b.Missing) > 0 || len(b.Actors) == 0 || len(b.Log) == 0 || len(b.Config) == 0 || b.Host.Version != host.Version {
		t.Errorf("%+v", b)
	}
	if err := client.New(filepath.Join(d.dir, "troupe.sock"), 0).Ready(t.Context()); err != nil {
		t.Error(err)
	}
	d.quits()
	if b := d.bundleOf("crash"); b.Reason != "crash" || len(b.Missing) > 0 || len(b.Actors) == 0 {
		t.Errorf("%+v", b)
	}
	// What it left behind does not keep the next one from starting.
	next := startDaemon(t, "", nil)
	next.hears("^READY=1")
}

// quits has it end by SIGQUIT.
func (d *daemon) quits() {
	d.t.Helper()
	d.signal(syscall.SIGQUIT)
	if code := d.ends(); code != 2 {
		d.t.Errorf("exit code %d", code)
	}
	text := d.logText.String()
	if !strings.Contains(text, "SIGQUIT: quit") || strings.Count(text, "\ngoroutine ") < 5 {
		d.t.Errorf("no stacks:\n%s", text)
	}
}

// wedgedProgram is the program with a host of which parts never answer, whoever has what patience.
const wedgedProgram = "troupe-wedged"

func wedgedMain() int {
	a := program()
	start := a.start
	a.start = func(ctx context.Context, cfg host.Config) (running, error) {
		h, err := start(ctx, cfg)
		return wedgedHost{h}, err
	}
	return a.main(os.Args[1:])
}

type wedgedHost struct{ running }

func (wedgedHost) Guests(context.Context) ([]inspect.Guest, error) { select {} }

func (wedgedHost) Session(context.Context) (inspect.Session, error) { select {} }

// A host of which a part is wedged still says what the others know: by SIGUSR1, by SIGQUIT, and to who asks for it.
func TestBundlesOfAWedgedServe(t *testing.T) {
	d := startProgram(t, wedgedProgram, "", nil)
	d.hears("^READY=1")
	d.signal(syscall.SIGUSR1)
	d.logs(`"message":"a bundle is written`)
	check := func(why string, b *api.Bundle) {
		t.Helper()
		if len(b.Missing) != 2 || !strings.HasPrefix(b.Missing["guests"], "no answer within ") || b.Missing["session"] == "" {
			t.Errorf("%s: missing is %v", why, b.Missing)
		}
		if len(b.Actors) == 0 || len(b.Log) == 0 || len(b.Host.Queues) == 0 {
			t.Errorf("%s: %+v", why, b)
		}
	}
	check("signal", d.bundleOf("signal"))
	begin := time.Now()
	d.quits()
	if took := time.Since(begin); took > 2*bundleTime {
		t.Errorf("it took %v to end", took)
	}
	check("crash", d.bundleOf("crash"))
}

// A host that cannot write a bundle says so, and ends all the same.
func TestServeEndsWithoutABundle(t *testing.T) {
	d := startDaemon(t, "", nil)
	d.hears("^READY=1")
	if err := os.WriteFile(filepath.Join(d.dir, bundleDir), nil, 0o600); err != nil { // no directory
		t.Fatal(err)
	}
	d.signal(syscall.SIGUSR1)
	d.logs(`"message":"no bundle could be written"`)
	d.quits()
}

// heldBy returns a command that serves on a socket which a service manager holds under a name.
func heldBy(t *testing.T, l interface{ File() (*os.File, error) }, name, dir string, flags ...string) *exec.Cmd {
	t.Helper()
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("no bash, which can name the process that it becomes")
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	f, err := l.File()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	// LISTEN_PID must be the process itself: a shell becomes it.
	cmd := exec.CommandContext(t.Context(), bash, append([]string{"-c", `LISTEN_PID=$$ exec -a troupe "$0" serve --chain none --data-dir "$@"`, self, dir}, flags...)...)
	cmd.Env = append(os.Environ(), "LISTEN_FDS=1", "LISTEN_FDNAMES="+name)
	cmd.ExtraFiles = []*os.File{f}
	return cmd
}

// A manager that holds the control socket hands it over, and it is there before the host is.
func TestServeTakesOverSockets(t *testing.T) {
	l, err := net.Listen("unix", filepath.Join(t.TempDir(), "held.sock"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	dir := filepath.Join(t.TempDir(), "data")
	if out, err := heldBy(t, l.(*net.UnixListener), "contrl", dir).CombinedOutput(); err == nil || !strings.Contains(string(out), "one of control, control-tls, apps, apps-tls") {
		t.Errorf("an unknown name: %v\n%s", err, out)
	}
	cmd := heldBy(t, l.(*net.UnixListener), "control", dir)
	cmd.Stdout, cmd.Stderr = io.Discard, io.Discard
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patient)
	defer cancel()
	h, err := client.New(l.Addr().String(), 0).Status(ctx) // waits in the queue of the socket
	if err != nil || !h.Ready {
		t.Errorf("%v, ready %t", err, h.Ready)
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(l.Addr().String()); err != nil {
		t.Errorf("the socket is its manager's: %v", err)
	}
}

// So does one that holds the socket for operators by TLS, where they need a token as elsewhere.
func TestServeTakesOverTheSocketForTLS(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	in := func(name string) string { return filepath.Join(t.TempDir(), name) }
	dir, certificate, tokens := in("data"), in("host.pem"), in("tokens.json")
	serverCertificate(t, certificate)
	sum := sha256.Sum256([]byte("token"))
	if err := os.WriteFile(tokens, fmt.Appendf(nil, `{"tokens":[{"name":"ci","rights":["view"],"sha256":"%x"}]}`, sum), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := heldBy(t, l.(*net.TCPListener), socketControlTLS, dir, "--tls-cert", certificate, "--tokens", tokens)
	cmd.Stdout, cmd.Stderr = io.Discard, io.Discard
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(certificate)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(text)
	ctx, cancel := context.WithTimeout(t.Context(), patient)
	defer cancel()
	var c *client.Client
	for token, want := range map[string]bool{"token": true, "wrong": false} {
		if c, err = client.NewTLS(client.TLS{Address: l.Addr().String(), Roots: roots, Token: token}); err != nil {
			t.Fatal(err)
		}
		if me, err := c.Me(ctx); (err == nil) != want || want && (me.Caller != "token:ci" || me.Listener != "tls") {
			t.Errorf("%s: %+v, %v", token, me, err)
		}
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}

// What does not fit the sockets that are held is refused before anything starts.
func TestSocketsAndFlagsFitTogether(t *testing.T) {
	unix, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close()
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer tcp.Close()
	dir := t.TempDir()
	for _, tt := range []struct {
		sockets map[string]net.Listener
		flags   string
		want    string // of what is said; "": nothing
	}{
		{nil, "", ""},
		{nil, "--listen-tls :0 --tls-cert c --tokens t", ""},
		{nil, "--listen-tls :0 --tls-cert c", "--listen-tls without --tokens"},
		{nil, "--tls-cert c --tokens t", "without --listen-tls"},
		{nil, "--app-cert " + dir, "--app-cert without --app-tls"},
		{nil, "--body-bytes 1MiB", "the largest request has 65MiB"}, {nil, "--body-bytes 65MiB", ""},
		{map[string]net.Listener{socketControl: unix}, "", ""},
		{map[string]net.Listener{socketControl: tcp}, "", "is not a Unix socket"},
		{map[string]net.Listener{socketControlTLS: tcp}, "--tls-cert c --tokens t", ""},
		{map[string]net.Listener{socketControlTLS: tcp}, "", "without --tls-cert or --tokens"},
		{map[string]net.Listener{socketControlTLS: tcp}, "--listen-tls :0 --tls-cert c --tokens t", "choose one of them"},
		{map[string]net.Listener{socketAppsTLS: tcp}, "--app-cert " + dir, ""},
		{map[string]net.Listener{socketAppsTLS: tcp}, "", "without --app-cert"},
		{map[string]net.Listener{socketAppsTLS: tcp}, "--app-cert " + dir + " --app-tls :0", "choose one of them"},
		{map[string]net.Listener{socketApps: tcp}, "", ""},
	} {
		f, fs := newServeFlags(), pflag.NewFlagSet("serve", pflag.ContinueOnError)
		f.add(fs)
		if err := fs.Parse(strings.Fields(tt.flags)); err != nil {
			t.Fatal(err)
		}
		_, err := f.config("/data")
		if err == nil {
			err = f.comeIn(tt.sockets)
		}
		said := ""
		if err != nil {
			said = err.Error()
			if m, ok := errors.AsType[mistake](err); ok {
				said += " " + m.hint
			}
		}
		if (tt.want == "") != (said == "") || !strings.Contains(said, tt.want) {
			t.Errorf("%v %s: %q, want %q", slices.Collect(maps.Keys(tt.sockets)), tt.flags, said, tt.want)
		}
	}
}

// Of bundles the newest are kept, and nothing half written.
func TestBundlesAreBounded(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"bundle-2.troupe", "bundle-1.troupe", "bundle-3.troupe", ".bundle-4.tmp", "mine"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(dropBundles(dir, 2), sweepBundles(dir)); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(dir)
	var left []string
	for _, e := range entries {
		left = append(left, e.Name())
	}
	if got := strings.Join(left, " "); err != nil || got != "bundle-2.troupe bundle-3.troupe mine" {
		t.Errorf("%s, %v", got, err)
	}
}

// The level of a log changes while it is written, but for debug, which costs too much to be made for nobody.
func TestLiveLevel(t *testing.T) {
	var b bytes.Buffer
	try := func(begin, then zerolog.Level) (string, bool) {
		b.Reset()
		l := newLiveLevel(begin)
		log := zerolog.New(&b).Level(l.base).Sample(l)
		possible := l.set(then)
		log.Debug().Msg("d")
		log.Info().Msg("i")
		log.Warn().Msg("w")
		elevated := log.Level(zerolog.DebugLevel) // of one actor
		elevated.Debug().Msg("e")
		var got strings.Builder
		for _, m := range regexp.MustCompile(`"message":"(.)"`).FindAllStringSubmatch(b.String(), -1) {
			got.WriteString(m[1])
		}
		return got.String(), possible
	}
	for _, tt := range []struct {
		begin, then zerolog.Level
		want        string
		possible    bool
	}{
		{zerolog.InfoLevel, zerolog.InfoLevel, "iwe", true}, {zerolog.InfoLevel, zerolog.WarnLevel, "we", true}, {zerolog.WarnLevel, zerolog.InfoLevel, "iwe", true},
		{zerolog.InfoLevel, zerolog.DebugLevel, "iwe", false}, {zerolog.DebugLevel, zerolog.DebugLevel, "diwe", true}, {zerolog.DebugLevel, zerolog.WarnLevel, "w", true},
	} {
		if got, possible := try(tt.begin, tt.then); got != tt.want || possible != tt.possible {
			t.Errorf("from %v to %v: %s, %t", tt.begin, tt.then, got, possible)
		}
	}
}
