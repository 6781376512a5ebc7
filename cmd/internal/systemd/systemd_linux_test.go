package systemd

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rs/zerolog"

	"github.com/troupehost/troupe/actors/fault"
)

// told is a manager that keeps what it is told.
type told struct {
	mu   sync.Mutex
	all  []string
	when []time.Duration
}

func newTold(log io.Writer) (*Manager, *told) {
	k, start := &told{}, time.Now()
	return &Manager{log: zerolog.New(log), send: func(state string) (bool, error) {
		k.mu.Lock()
		defer k.mu.Unlock()
		k.all, k.when = append(k.all, state), append(k.when, time.Since(start))
		return true, nil
	}}, k
}

// A socket of a manager, in this process.
func TestManagerOnASocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notify")
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	t.Setenv("NOTIFY_SOCKET", path)
	t.Setenv("WATCHDOG_USEC", "60000000")
	t.Setenv("WATCHDOG_PID", "")
	m := Open(zerolog.Nop())
	if !m.Managed() || m.watchdog != time.Minute {
		t.Errorf("%+v", m)
	}
	m.Ready("ready")
	m.Status("ready") // said already
	m.Status("1 warning\x1b[2J")
	m.Reloading()
	m.Ready("ready")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	m.Stopping(ctx, time.Minute, func() string { return "draining" })
	var got []string
	buf := make([]byte, 4096)
	for range 7 {
		n, err := l.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, regexp.MustCompile(`MONOTONIC_USEC=\d+`).ReplaceAllString(string(buf[:n]), "MONOTONIC_USEC=N"))
	}
	want := []string{"STATUS=starting", "READY=1\nSTATUS=ready", "STATUS=1 warning\uFFFD[2J", "RELOADING=1\nMONOTONIC_USEC=N\nSTATUS=reloading", "READY=1\nSTATUS=ready",
		"STOPPING=1\nSTATUS=draining", "EXTEND_TIMEOUT_USEC=10000000"}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestNoManager(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", "")
	m := Open(zerolog.Nop())
	m.Ready("x")
	m.Reloading()
	m.Stopping(t.Context(), time.Hour, func() string { return "" })
	m.Watch(t.Context(), func(context.Context) error { t.Error("asked"); return nil })
	if m.Managed() {
		t.Error("there is a manager")
	}
}

// A manager that has gone does not end the host, and is not complained of twice.
func TestManagerThatHasGone(t *testing.T) {
	var log bytes.Buffer
	m := &Manager{log: zerolog.New(&log), send: func(string) (bool, error) { return false, errors.New("gone") }}
	m.Ready("a")
	m.Status("b")
	if n := strings.Count(log.String(), "\n"); n != 1 {
		t.Errorf("%d lines: %s", n, log.String())
	}
}

// The watchdog hears of answers only: not while the host is stuck, nor of an answer that came too late.
func TestWatchdogIsFedByAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		m, k := newTold(&log)
		m.watchdog = 20 * time.Second
		start := time.Now()
		stuck := func() bool { d := time.Since(start); return d >= 18*time.Second && d < 60*time.Second }
		ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
		defer cancel()
		m.Watch(ctx, func(ctx context.Context) error {
			if stuck() {
				<-ctx.Done()
				return nil // as if it had an answer, too late
			}
			return nil
		})
		var before, during, after int
		for i, at := range k.when {
			if k.all[i] != "WATCHDOG=1" {
				t.Errorf("told %q", k.all[i])
			}
			switch {
			case at < 18*time.Second:
				before++
			case at < 60*time.Second:
				during++
			default:
				after++
			}
		}
		if before != 4 || during != 0 || after < 4 {
			t.Errorf("fed %d times before, %d while it was stuck, %d after", before, during, after)
		}
		if n := strings.Count(log.String(), "has not answered"); n != 1 {
			t.Errorf("%d complaints", n)
		}
	})
}

func TestWatchdogIsNotFedByErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, k := newTold(io.Discard)
		m.watchdog = 20 * time.Second
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		m.Watch(ctx, func(context.Context) error { return errors.New("an actor was given up") })
		if len(k.all) > 0 {
			t.Errorf("told %q", k.all)
		}
	})
}

// More time is asked for while the host drains, until it has, or until it may take no more.
func TestStoppingAsksForTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, k := newTold(io.Discard)
		m.Stopping(t.Context(), 10*time.Second, func() string { return "draining" })
		if len(k.all) != 5 || k.all[0] != "STOPPING=1\nSTATUS=draining" || k.all[4] != "EXTEND_TIMEOUT_USEC=10000000" {
			t.Errorf("told %q", k.all)
		}
	})
}

// named is a file under the name that a manager gave it.
func named(t *testing.T, f *os.File, name string) *os.File {
	t.Helper()
	defer f.Close()
	fd, err := syscall.Dup(int(f.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	return os.NewFile(uintptr(fd), name)
}

func TestListeners(t *testing.T) {
	socket := func(name string) *os.File {
		t.Helper()
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		f, err := l.(*net.TCPListener).File()
		if err != nil {
			t.Fatal(err)
		}
		return named(t, f, name)
	}
	plain := func(name string) *os.File {
		f, err := os.Open(os.DevNull)
		if err != nil {
			t.Fatal(err)
		}
		return named(t, f, name)
	}
	known := []string{"control", "apps"}
	all, err := listeners([]*os.File{socket("control"), socket("apps")}, known)
	if err != nil || len(all) != 2 {
		t.Fatalf("%v %v", all, err)
	}
	c, err := net.Dial("tcp", all["apps"].Addr().String())
	if err != nil {
		t.Error(err)
	} else {
		_ = c.Close()
	}
	for _, l := range all {
		_ = l.Close()
	}
	for name, files := range map[string][]*os.File{
		"an unknown name": {socket("app")}, "one name twice": {socket("apps"), socket("apps")}, "no socket": {plain("apps")}, "no name": {socket("LISTEN_FD_3")},
	} {
		all, err := listeners(files, known)
		if !errors.Is(err, fault.CallerConfig) || all != nil || fault.From(err).Hint == "" {
			t.Errorf("%s: %v %v", name, all, err)
		}
	}
}

// Each line of the unit file is one that systemd knows, if there is one here to ask.
func TestUnitFile(t *testing.T) {
	text := Unit("/usr/bin/env")
	if strings.Contains(text, "@PROGRAM@") || !strings.Contains(text, "ExecStart=/usr/bin/env serve --config") {
		t.Error(text)
	}
	for _, never := range []string{"RestrictNamespaces", "MemoryDenyWriteExecute", "PrivateUsers", "ProtectControlGroups"} {
		if regexp.MustCompile(`(?m)^` + never + `=`).MatchString(text) {
			t.Errorf("%s= keeps workers from confining themselves", never)
		}
	}
	for _, must := range []string{"Type=notify-reload", "Delegate=yes", "NoNewPrivileges=yes", "WatchdogSec="} {
		if !regexp.MustCompile(`(?m)^` + must).MatchString(text) {
			t.Errorf("%s is missing", must)
		}
	}
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Log("systemd-analyze is not on this machine: the unit file is held to its lines, and not verified")
		return
	}
	path := filepath.Join(t.TempDir(), "troupe.service")
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), analyze, "verify", path).CombinedOutput()
	for line := range strings.Lines(string(out)) {
		if strings.Contains(line, "troupe.service") && !strings.Contains(line, "service type, ignoring: notify-reload") { // before 253
			t.Error(line)
		}
	}
	t.Logf("systemd-analyze verify: %v", err)
}
