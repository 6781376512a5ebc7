//go:build chaos

package host_test

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/rs/zerolog"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/artifacts/db"
)

// damageCodes is how many artifacts there are to damage.
const damageCodes = 12

// damageable makes a directory with artifacts and a pin, and stops in order.
func damageable(t *testing.T, dir, temp string) {
	t.Helper()
	h := newChild(t, dir, temp)
	if !h.up() {
		t.Fatal(h.stderr.String())
	}
	for n := range uint64(damageCodes) {
		a, _ := h.ask(call{Op: "precheck", Guest: "hash-puzzle", Number: n})
		if !a.Stored {
			t.Fatalf("not stored: %+v", a)
		}
		if n == 0 {
			h.ask(call{Op: "pin", Job: a.Key})
		}
	}
	h.stop()
}

// answersRight runs all codes on a host and returns how many came from the store.
func (h *child) answersRight(what string) (hits int) {
	h.t.Helper()
	var mu sync.Mutex
	var calls sync.WaitGroup
	for n := range uint64(damageCodes) {
		calls.Go(func() {
			a, ok := h.ask(call{Op: "execute", Guest: "hash-puzzle", Number: n, Args: puzzles[0].args})
			mu.Lock()
			defer mu.Unlock()
			if a.Hit {
				hits++
			}
			if !ok || a.Err+a.Fault != "" || a.Result != puzzles[0].want {
				h.t.Errorf("%s: code %d: alive %v, %+v\n%s", what, n, ok, a, h.stderr.String())
			}
		})
	}
	calls.Wait()
	return hits
}

// used returns the files that hold data, and how much of each does: a log is longer than what is in it.
func used(t *testing.T, dir string) map[string]int64 {
	t.Helper()
	out := map[string]int64{}
	for _, pattern := range []string{"cache/*", "state/*", "host.key"} {
		paths, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range paths {
			b, err := os.ReadFile(p)
			if err != nil {
				t.Fatal(err)
			}
			if n := len(bytes.TrimRight(b, "\x00")); n > 0 {
				out[p] = int64(n)
			}
		}
	}
	return out
}

// flip flips one bit of a file in place.
func flip(t *testing.T, path string, at int64, bit int) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var b [1]byte
	if _, err := f.ReadAt(b[:], at); err != nil {
		t.Fatal(err)
	}
	b[0] ^= 1 << bit
	if _, err := f.WriteAt(b[:], at); err != nil {
		t.Fatal(err)
	}
}

// pick draws an offset among all bytes in use.
func pick(rng *rand.Rand, files map[string]int64) (string, int64) {
	var names []string
	var sum int64
	for name, n := range files {
		names, sum = append(names, name), sum+n
	}
	slices.Sort(names)
	at := rng.Int64N(sum)
	for _, name := range names {
		if at < files[name] {
			return name, at
		}
		at -= files[name]
	}
	panic("unreachable")
}

// TestChaosFlippedBits flips one bit at a time of what a stopped host left, anywhere, and starts it: it gives right answers
// from what is whole and prepares the rest again, or, if it is the state, refuses to start and says what to do.
func TestChaosFlippedBits(t *testing.T) {
	rng := chaosRand(t)
	base, temp := t.TempDir(), t.TempDir()
	damageable(t, base, temp)
	refused, rebuilt, whole := 0, 0, 0
	for n := range chaosKills(t, 700) {
		dir := filepath.Join(t.TempDir(), "d")
		if err := os.CopyFS(dir, os.DirFS(base)); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		path, at := pick(rng, used(t, dir))
		if n%4 == 0 { // small files would hardly be met
			names := used(t, dir)
			for name := range names {
				if !strings.HasSuffix(name, ".sst") {
					path, at = name, rng.Int64N(names[name])
				}
			}
		}
		rel, _ := filepath.Rel(dir, path)
		what := fmt.Sprintf("bit flipped at %d of %s", at, rel)
		flip(t, path, at, rng.IntN(8))
		h := newChild(t, dir, temp)
		switch started := h.up(); {
		case !started:
			<-h.dead
			if refused++; !strings.HasPrefix(rel, "state") || !strings.HasPrefix(h.said, "error "+string(fault.HostDataDirCorrupt)+" \"") || strings.Contains(h.said, ` "":`) {
				t.Errorf("%s: no start: %s %s", what, h.said, h.stderr.String())
			}
		default:
			if hits := h.answersRight(what); hits < damageCodes {
				rebuilt++
			} else {
				whole++
			}
			if hits := h.answersRight(what + ", again"); hits < damageCodes {
				t.Errorf("%s: only %d are prepared the second time", what, hits)
			}
			h.stop()
		}
		_ = os.RemoveAll(dir)
	}
	t.Logf("starts refused %d, artifacts rebuilt %d, nothing lost %d", refused, rebuilt, whole)
	if rebuilt == 0 || refused == 0 {
		t.Error("no damage was met")
	}
}

// TestChaosLiveDamage flips bits of and cuts the files of a host that runs: no wrong answer, no blame for the guest, and the
// host lives.
func TestChaosLiveDamage(t *testing.T) {
	rng := chaosRand(t)
	base, temp := t.TempDir(), t.TempDir()
	damageable(t, base, temp)
	for range chaosKills(t, 300) {
		dir := filepath.Join(t.TempDir(), "d")
		if err := os.CopyFS(dir, os.DirFS(base)); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		h := newChild(t, dir, temp)
		if !h.up() {
			t.Fatal(h.stderr.String())
		}
		files := used(t, dir)
		for name := range files {
			if !strings.HasSuffix(name, ".sst") || !strings.Contains(name, "cache") {
				delete(files, name)
			}
		}
		path, at := pick(rng, files)
		what := fmt.Sprintf("live, bit flipped at %d of %s", at, filepath.Base(path))
		if rng.IntN(3) == 0 {
			what = fmt.Sprintf("live, %s cut at %d", filepath.Base(path), at)
			if err := os.Truncate(path, at); err != nil {
				t.Fatal(err)
			}
		} else {
			flip(t, path, at, rng.IntN(8))
		}
		h.answersRight(what)
		h.kill() // not in order, since a database that met damage is not closed as one that is whole
		h = newChild(t, dir, temp)
		if !h.up() {
			t.Fatalf("%s: no start: %s %s", what, h.said, h.stderr.String())
		}
		h.answersRight(what + ", after a start")
		h.stop()
		_ = os.RemoveAll(dir)
	}
}

// TestChaosSwappedArtifacts gives each artifact the record, and then the chunks, of another one.
func TestChaosSwappedArtifacts(t *testing.T) {
	for _, prefix := range []string{"m", "c"} {
		dir, temp := t.TempDir(), t.TempDir()
		damageable(t, dir, temp)
		d, err := db.OpenDir(db.DirConfig{Path: dir, Log: zerolog.Nop()})
		if err != nil {
			t.Fatal(err)
		}
		var keys, values [][]byte
		if err := d.Cache.Scan([]byte(prefix), func(k, v []byte) error {
			keys, values = append(keys, bytes.Clone(k)), append(values, bytes.Clone(v))
			return nil
		}); err != nil || len(keys) < damageCodes {
			t.Fatal(len(keys), err)
		}
		step := len(keys) / damageCodes // chunks of one artifact lie together
		for n := range keys {
			if err := d.Cache.Write(context.Background(), db.Op{Key: keys[n], Value: values[(n+step)%len(keys)]}); err != nil {
				t.Fatal(err)
			}
		}
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
		h := newChild(t, dir, temp)
		if !h.up() {
			t.Fatal(h.stderr.String())
		}
		if hits := h.answersRight("swapped " + prefix); hits != 0 {
			t.Errorf("%d of the swapped were served", hits)
		}
		if hits := h.answersRight("prepared again"); hits != damageCodes {
			t.Errorf("%d are prepared", hits)
		}
		h.stop()
	}
}
