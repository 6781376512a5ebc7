package store

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
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
	fmt.Println("read", ok, bad, len(entries))
	os.Exit(0)
}

func child(t *testing.T, mode, dir string) *exec.Cmd {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command(exe, dir)
	c.Env = append(os.Environ(), childEnv+"="+mode)
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
		for lines := bufio.NewScanner(out); left > 0 && lines.Scan(); left-- {
			verb, rest, _ := strings.Cut(lines.Text(), " ")
			var n uint64
			if _, err := fmt.Sscan(rest, &n); err != nil || verb == "error" {
				t.Fatalf("round %d: the writer says %q", round, lines.Text())
			}
			have[n] = verb == "ack"
		}
		_ = c.Process.Kill()
		_ = c.Wait()

		s, _ := open(t, dir, testBuild, 0)
		for n, acked := range have {
			err := check(s.Store, n, crashSize)
			if acked && err != nil {
				// The writer may have announced and begun the delete of a line that was not read before the kill.
				if !errors.Is(err, fault.HostArtifactMissing) {
					t.Errorf("round %d: artifact %d: %v", round, n, err)
				}
				have[n] = false
			}
			if err != nil && !errors.Is(err, fault.HostArtifactMissing) {
				t.Errorf("round %d: artifact %d is visible and damaged: %v", round, n, err)
			}
		}
		s.shut(t)
	}
}

// TestDamagedFiles flips bits and cuts files, and opens the directory in a process of its own: once as an orderly stop
// left it, when all is in tables, and once as a kill left it, when the last writes are in logs.
func TestDamagedFiles(t *testing.T) {
	orderly, killed := t.TempDir(), t.TempDir()
	s, _ := open(t, orderly, testBuild, 0)
	for n := range uint64(6) {
		if _, err := put(s.Store, n, crashSize); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Pin(t.Context(), "alice", artifacts.Key{1}, false); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(killed, os.DirFS(orderly)); err != nil {
		t.Fatal(err)
	}
	s.shut(t)
	r := rand.New(rand.NewPCG(7, 7))
	for _, base := range []string{orderly, killed} {
		cases := 0
		for _, rel := range files(t, base) {
			for _, how := range []string{"flip", "flip", "flip", "flip near the end", "cut", "cut near the end", "empty"} {
				dir := t.TempDir()
				if err := os.CopyFS(dir, os.DirFS(base)); err != nil {
					t.Fatal(err)
				}
				damage(t, filepath.Join(dir, rel), how, r)
				cases++
				if out, err := child(t, "read", dir).CombinedOutput(); err != nil {
					t.Errorf("%s of %s: %v\n%s", how, rel, err, tail(out))
				}
				_ = os.RemoveAll(dir)
			}
		}
		if cases < 50 {
			t.Errorf("only %d cases", cases)
		}
	}
}

// files lists what holds data.
func files(t *testing.T, base string) (out []string) {
	t.Helper()
	err := filepath.WalkDir(base, func(p string, e fs.DirEntry, err error) error {
		rel, _ := filepath.Rel(base, p)
		if i, _ := e.Info(); err == nil && !e.IsDir() && i.Size() > 0 && rel != "ballast" && rel != "LOCK" && rel != "VERSION" {
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
