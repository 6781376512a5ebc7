package store

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/artifacts"
)

// The test binary runs itself as the process that is killed or that meets damage, so that a signal or an exit of the
// library is a failed test and not the end of the tests.
const childEnv = "TROUPE_STORE_TEST_CHILD"

func TestMain(m *testing.M) {
	switch os.Getenv(childEnv) {
	case "write":
		writeForEver(os.Args[1])
	case "read":
		readAll(os.Args[1])
	case "fill":
		fill(os.Args[1])
	}
	os.Exit(m.Run())
}

const crashSize = 600_000

// writeForEver stores artifacts and says which ones were acknowledged.
func writeForEver(dir string) {
	s, _, err := tryOpen(dir, testBuild, 1<<20)
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	for n := uint64(0); ; n++ {
		if _, err := put(s.Store, n%50, crashSize); err != nil {
			fmt.Println("error", err)
			os.Exit(1)
		}
		fmt.Println("ack", n%50)
		if n%7 == 6 {
			m, _ := artifact((n-3)%50, 1)
			fmt.Println("delete", (n-3)%50)
			_ = s.Delete(context.Background(), m.Key)
		}
	}
}

// fill stores what the damage is done to, says so, and waits: for a kill, or for the end of its input to stop in order.
func fill(dir string) {
	s, _, err := tryOpen(dir, testBuild, 0)
	for n := uint64(0); err == nil && n < 6; n++ {
		_, err = put(s.Store, n, crashSize)
	}
	if err == nil {
		err = s.Pin(context.Background(), "alice", artifacts.Key{1}, false)
	}
	fmt.Println("filled", err)
	_, _ = io.Copy(io.Discard, os.Stdin)
	if err := errors.Join(err, s.Store.Close(context.Background()), s.dir.Close()); err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// filledDir makes a directory that is full and was left by a kill or by an orderly stop.
func filledDir(t *testing.T, kill bool) string {
	t.Helper()
	dir := t.TempDir()
	c := child(t, "fill", dir)
	in, err1 := c.StdinPipe()
	out, err2 := c.StdoutPipe()
	if err := errors.Join(err1, err2, c.Start()); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || line != "filled <nil>\n" {
		t.Fatalf("%q, %v", line, err)
	}
	if kill {
		_ = c.Process.Kill()
	}
	_ = in.Close()
	if err := c.Wait(); err != nil && !kill {
		t.Fatal(err)
	}
	return dir
}

// readAll opens a damaged directory and gets everything; it prints one line and exits with 0, whatever the damage.
func readAll(dir string) {
	s, entries, err := tryOpen(dir, testBuild, 0)
	if errors.Is(err, fault.HostDataDirCorrupt) {
		fmt.Println("state refused")
		os.Exit(0)
	}
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	pins, err := s.Pins()
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	ok, bad := 0, 0
	for n := range uint64(6) {
		switch err := check(s.Store, n, crashSize); {
		case err == nil:
			ok++
		case errors.Is(err, fault.HostArtifactMissing), errors.Is(err, fault.HostArtifactCorrupt):
			bad++
		default:
			fmt.Println("error", err)
			os.Exit(1)
		}
	}
	if _, err := put(s.Store, 99, crashSize); err != nil { // and it still serves
		fmt.Println("error after damage:", err)
		os.Exit(1)
	}
	if err := check(s.Store, 99, crashSize); err != nil {
		fmt.Println("error after damage:", err)
		os.Exit(1)
	}
	fmt.Println("read", ok, bad, len(entries), len(pins))
	os.Exit(0)
}

func child(t *testing.T, mode, dir string) *exec.Cmd {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command(exe, dir)
	c.Env = append(os.Environ(), childEnv+"="+mode, "GORACE=atexit_sleep_ms=0") // else each child of a race build sleeps a second
	return c
}

// TestKilledWriterLosesNothingAcknowledged kills a writer at random points; what it acknowledged is there, whole.
func TestKilledWriterLosesNothingAcknowledged(t *testing.T) {
	dir := t.TempDir()
	have := map[uint64]bool{}
	for round := range 20 {
		c := child(t, "write", dir)
		out, err := c.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		left := 5 + rand.IntN(20)
		for lines := bufio.NewScanner(out); lines.Scan(); { // to the end, so that nothing it said is missed
			verb, rest, _ := strings.Cut(lines.Text(), " ")
			var n uint64
			if _, err := fmt.Sscan(rest, &n); err != nil || verb == "error" {
				t.Fatalf("round %d: the writer says %q", round, lines.Text())
			}
			have[n] = verb == "ack"
			if left--; left == 0 {
				_ = c.Process.Kill()
			}
		}
		_ = c.Wait()

		s, _ := open(t, dir, testBuild, 0)
		for n, acked := range have {
			err := check(s.Store, n, crashSize)
			if acked && err != nil || !acked && err != nil && !errors.Is(err, fault.HostArtifactMissing) {
				t.Errorf("round %d: artifact %d, acknowledged %v: %v", round, n, acked, err)
			}
		}
		s.shut(t)
	}
}

// TestDamagedFiles flips bits and cuts files, and opens the directory in a process of its own: once as an orderly stop
// left it, when all is in tables, and once as a kill left it, when the last writes are in logs.
func TestDamagedFiles(t *testing.T) {
	orderly, killed := filledDir(t, false), filledDir(t, true)
	r := rand.New(rand.NewPCG(7, 7))
	for _, base := range []string{orderly, killed} {
		cases, partly := 0, 0
		for _, rel := range append(files(t, base), "host.key") {
			hows := []string{"flip", "flip", "flip", "flip near the end", "cut", "cut near the end", "empty"}
			if cases == 0 {
				hows = append(hows, "not at all")
			}
			for _, how := range hows {
				dir := t.TempDir()
				if err := os.CopyFS(dir, os.DirFS(base)); err != nil {
					t.Fatal(err)
				}
				damage(t, filepath.Join(dir, rel), how, r)
				cases++
				b, err := child(t, "read", dir).CombinedOutput()
				out := strings.TrimSpace(string(b))
				var ok, bad, entries, pins int
				_, _ = fmt.Sscanf(out, "read %d %d %d %d", &ok, &bad, &entries, &pins)
				switch {
				case err != nil:
					t.Errorf("%s of %s: %v\n%s", how, rel, err, tail(b))
				case how == "not at all" && (ok != 6 || pins != 1):
					t.Errorf("nothing is damaged: %q", out)
				case base == orderly && out != "state refused" && pins != 1: // a crash may leave a log or a manifest cut anywhere
					t.Errorf("%s of %s: the pin is silently gone: %q", how, rel, out)
				case ok > 0 && bad > 0:
					partly++
				}
				_ = os.RemoveAll(dir)
			}
		}
		if cases < 50 || partly == 0 {
			t.Errorf("only %d cases, and %d in which a part was lost", cases, partly)
		}
	}
}

// files lists what holds data.
func files(t *testing.T, base string) (out []string) {
	t.Helper()
	err := filepath.WalkDir(base, func(p string, e fs.DirEntry, err error) error {
		rel, _ := filepath.Rel(base, p)
		if i, _ := e.Info(); err == nil && !e.IsDir() && i.Size() > 0 && rel != "ballast" && rel != "LOCK" && rel != "VERSION" && rel != "host.key" {
			out = append(out, rel)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func damage(t *testing.T, path, how string, r *rand.Rand) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	// A log is longer than what is in it: damage goes where the data is.
	used := max(len(bytes.TrimRight(b, "\x00")), 1)
	switch near := max(used-200, 0); how {
	case "flip":
		b[r.IntN(used)] ^= 1 << r.IntN(8)
	case "flip near the end":
		b[near+r.IntN(used-near)] ^= 1 << r.IntN(8)
	case "cut":
		b = b[:r.IntN(used)]
	case "cut near the end":
		b = b[:near+r.IntN(used-near)]
	case "empty":
		b = nil
	}
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

func tail(b []byte) string {
	if len(b) > 1500 {
		b = append(append([]byte{}, b[:1200]...), b[len(b)-300:]...)
	}
	return string(b)
}
