package host_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rs/zerolog"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/host"
	"github.com/troupehost/troupe/host/wire"
)

// A copy of the test binary that ends with this, or has a file beside it with this suffix, greets as another build.
const otherMark = ".other-build"

const otherID = "0123456789abcdef"

func otherBuild() {
	if !wire.IsWorker(os.Args) {
		return
	}
	self, err := os.Executable()
	if err != nil {
		return
	}
	_, flag := os.Stat(self + otherMark)
	f, err := os.Open("/proc/self/exe")
	if err != nil {
		return
	}
	defer f.Close()
	end := make([]byte, len(otherMark))
	if st, err := f.Stat(); err == nil {
		_, _ = f.ReadAt(end, st.Size()-int64(len(end)))
	}
	if flag != nil && string(end) != otherMark {
		return
	}
	c := wire.NewWorkerConn(wire.Socket)
	if _, err := c.Receive(); err == nil {
		_ = c.Send(wire.Ready{BuildID: otherID, CPU: "other"})
		_, _ = c.Receive()
	}
	os.Exit(0)
}

// workerCopy returns the path of a worker program of this build.
func workerCopy(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "troupe-worker")
	if err := os.WriteFile(path, b, 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

// warning returns the message of a condition, "" if it is not there.
func warning(t *testing.T, h *host.Host, code string) string {
	t.Helper()
	s, err := h.Inspect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range s.Health {
		if w.Code == code {
			return w.Message
		}
	}
	return ""
}

// TestUpgradeUnderARunningHost replaces the worker program of a host that runs: it goes on with the old one, says so, and
// the next start has one clear error or none.
func TestUpgradeUnderARunningHost(t *testing.T) {
	for _, row := range []struct {
		name  string
		put   func(t *testing.T, path string)
		says  string
		start fault.Code
	}{
		{"another build", func(t *testing.T, path string) {
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			replace(t, path, append(b, otherMark...))
		}, "was replaced", fault.HostWorkerMismatch},
		{"garbage", func(t *testing.T, path string) { replace(t, path, []byte("garbage")) }, "was replaced", fault.HostSpawnFailed},
		{"nothing", func(t *testing.T, path string) {
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
		}, "was removed", fault.HostWorkerMissing},
	} {
		t.Run(row.name, func(t *testing.T) {
			path, log := workerCopy(t), &lockedBuffer{}
			cfg := host.Config{DataDir: t.TempDir(), WorkerPath: path, Log: zerolog.New(log)}
			h := start(t, cfg)
			code, n := guest(t, "hash-puzzle"), uint64(0)
			works := func() {
				t.Helper()
				n++ // code that no worker holds
				if r := execute(t, h, host.Request{Code: variant(code, n), Entry: invoke("run", "0", "2")}); string(r.Result) != "563" {
					t.Errorf("%s %s: %s", r.Verdict, r.Fault, r.Message)
				}
			}
			works()
			if w := warning(t, h, "worker.upgraded"); w != "" {
				t.Fatal(w)
			}
			if err := os.Link(path, path+".old"); err != nil {
				t.Fatal(err)
			}
			row.put(t, path)
			waitFor(t, "the warning", func() bool { return strings.Contains(warning(t, h, "worker.upgraded"), row.says) })
			works()
			_, err := host.Start(t.Context(), host.Config{DataDir: t.TempDir(), WorkerPath: path, BallastBytes: host.NoLimit})
			if !errors.Is(err, row.start) {
				t.Errorf("a start with it: %v", err)
			}
			if row.start == fault.HostWorkerMismatch && (!strings.Contains(err.Error(), otherID) || !strings.Contains(err.Error(), wire.BuildID())) {
				t.Errorf("%v does not name both builds", err)
			}
			if err := os.Rename(path+".old", path); err != nil {
				t.Fatal(err)
			}
			waitFor(t, "the end of the warning", func() bool { return warning(t, h, "worker.upgraded") == "" })
			works()
			log.mu.Lock()
			defer log.mu.Unlock()
			if got := bytes.Count(log.b.Bytes(), []byte(row.says)); got != 1 {
				t.Errorf("%d lines say so", got)
			}
		})
	}
}

func replace(t *testing.T, path string, b []byte) {
	t.Helper()
	if err := os.WriteFile(path+".new", b, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

// TestAnotherBuildAtRunTimeDrainsTheHost: what runs ends well, nothing new begins, and the end of the host says why.
func TestAnotherBuildAtRunTimeDrainsTheHost(t *testing.T) {
	path := workerCopy(t)
	h, err := host.Start(t.Context(), host.Config{DataDir: t.TempDir(), WorkerPath: path, BallastBytes: host.NoLimit})
	if err != nil {
		t.Fatal(err)
	}
	in, typing := io.Pipe()
	type end struct {
		r   run.Receipt
		err error
	}
	running := make(chan end, 1)
	code := guest(t, "echo-wasi")
	go func() {
		r, err := h.Execute(t.Context(), host.Request{Code: code, Stdin: in})
		running <- end{r, err}
	}()
	if _, err := typing.Write([]byte("half of it, ")); err != nil { // it runs, and reads
		t.Fatal(err)
	}
	if err := os.WriteFile(path+otherMark, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = h.Execute(t.Context(), host.Request{Code: guest(t, "hash-puzzle"), Entry: invoke("run", "0", "1")})
	if !errors.Is(err, fault.HostWorkerMismatch) {
		t.Errorf("the one that met it: %v", err)
	}
	waitFor(t, "the refusal of new requests", func() bool {
		_, err := h.Execute(t.Context(), host.Request{Code: code})
		return errors.Is(err, fault.BusyDraining)
	})
	if _, err := typing.Write([]byte("and the rest")); err != nil {
		t.Fatal(err)
	}
	_ = typing.Close()
	if e := <-running; e.err != nil || e.r.Verdict != "ok" || string(e.r.Stdout) != "half of it, and the rest" {
		t.Errorf("what ran: %q, %v, %v", e.r.Stdout, e.r.Fault, e.err)
	}
	<-h.Done()
	if err := h.Wait(); !errors.Is(err, fault.HostWorkerMismatch) || !strings.Contains(err.Error(), otherID) {
		t.Errorf("the host ended with %v", err)
	}
}
