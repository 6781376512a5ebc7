package host

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/artifacts"
	"github.com/troupehost/troupe/artifacts/db"
	"github.com/troupehost/troupe/artifacts/sealed"
	"github.com/troupehost/troupe/artifacts/store"
)

func guestFile(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "testdata", "guests", name+".wasm"))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// The records and the chunks of artifacts in the database, by their prefixes.
const records, chunksOf = 'm', 'c'

// spoil changes all values under a prefix; nil takes them away. What is empty already, of an artifact that was given up and is
// not swept yet, stays as it is.
func spoil(ctx context.Context, c *db.DB, prefix byte, change func(v []byte) []byte) error {
	values := map[string][]byte{}
	if err := c.Scan([]byte{prefix}, func(k, v []byte) error {
		if len(v) > 0 {
			values[string(k)] = change(slices.Clone(v))
		}
		return nil
	}); err != nil {
		return err
	}
	if len(values) == 0 {
		return errors.New("there is nothing to damage")
	}
	for k, v := range values {
		err := error(nil)
		if v == nil {
			err = c.Remove(ctx, []byte(k))
		} else {
			err = c.Write(ctx, db.Op{Key: []byte(k), Value: v})
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// other makes of an artifact one that another build left under the same key, or one whose bytes are not what this build
// loads, though all digests are right.
func other(ctx context.Context, d *db.Dir, build, recorded artifacts.Build) error {
	s := store.Open(store.Config{Cache: d.Cache, State: d.State, HostKey: d.HostKey, Build: build, MemoryBytes: 1 << 20})
	entries, err := s.Index(ctx)
	if err != nil || len(entries) == 0 {
		return errors.Join(err, errors.New("there is nothing to change"))
	}
	for _, e := range entries {
		if err := rewrite(ctx, s, e.Key, recorded); err != nil {
			return err
		}
	}
	return nil
}

func rewrite(ctx context.Context, s *store.Store, key artifacts.Key, recorded artifacts.Build) error {
	h, err := s.Get(ctx, key)
	if err != nil {
		return err
	}
	m, parts := h.Meta, map[string]*sealed.File{}
	h.Close()
	m.Build = recorded
	for i, p := range m.Parts {
		b := bytes.Repeat([]byte{0xcc}, int(p.Bytes))
		f, err := sealed.FromBytes("other", b)
		if err != nil {
			return err
		}
		defer f.Release()
		parts[p.Name], m.Parts[i].SHA256 = f, artifacts.Digest(artifacts.HashCode(b))
	}
	_, err = s.Put(ctx, m, parts, false)
	return err
}

// bulky is code whose artifact is more than the least that may be kept in memory; f() returns n.
func bulky(n byte) []byte {
	const data = 5 << 18
	size := binary.AppendUvarint(nil, data)
	section := func(id byte, b []byte) []byte { return append(binary.AppendUvarint([]byte{id}, uint64(len(b))), b...) }
	return slices.Concat([]byte("\x00asm\x01\x00\x00\x00"),
		section(1, []byte{1, 0x60, 0, 1, 0x7f}), section(3, []byte{1, 0}), section(5, []byte{1, 0, 40}), section(7, []byte{1, 1, 'f', 0, 0}),
		section(10, []byte{1, 4, 0, 0x41, n, 0x0b}),
		section(11, slices.Concat([]byte{1, 0, 0x41, 0, 0x0b}, size, bytes.Repeat([]byte{n}, data))))
}

// misfortunes are what can befall a stored artifact.
func misfortunes(build artifacts.Build) map[string]func(context.Context, *db.Dir) error {
	out := map[string]func(context.Context, *db.Dir) error{}
	for where, prefix := range map[string]byte{"record": records, "chunks": chunksOf} {
		for how, change := range map[string]func([]byte) []byte{
			"a bit flip in the middle": func(v []byte) []byte { v[len(v)/2] ^= 1; return v },
			"a bit flip at the start":  func(v []byte) []byte { v[0] ^= 0x80; return v },
			"a bit flip at the end":    func(v []byte) []byte { v[len(v)-1] ^= 0x10; return v },
			"truncation":               func(v []byte) []byte { return v[:len(v)/2] },
			"emptiness":                func([]byte) []byte { return []byte{} },
			"deletion":                 func([]byte) []byte { return nil },
		} {
			out[how+" of the "+where] = func(ctx context.Context, d *db.Dir) error { return spoil(ctx, d.Cache, prefix, change) }
		}
	}
	later := build
	later.Engine = "wazero v99.0.0"
	out["another engine version"] = func(ctx context.Context, d *db.Dir) error { return other(ctx, d, build, later) }
	out["wrong bytes with right digests"] = func(ctx context.Context, d *db.Dir) error { return other(ctx, d, build, build) }
	return out
}

// TestBar07AnArtifactIsDamaged: whatever happens to a stored artifact, between two starts or while the host runs, the answer
// is right after at most one more preparation, and no guest is blamed.
func TestBar07AnArtifactIsDamaged(t *testing.T) {
	small := Request{Code: guestFile(t, "hash-puzzle"), Entry: run.Entry{Mode: run.Invoke, Name: "run", Args: []string{"0", "2"}}}
	// Of these only the one that was used last is kept in memory; the others are read from the disk.
	large := func(n byte) Request { return Request{Code: bulky(n), Entry: run.Entry{Mode: run.Invoke, Name: "f"}} }
	cfg := Config{DataDir: t.TempDir(), BallastBytes: NoLimit, CacheMemoryBytes: 1 << 20, WorkerIdle: time.Millisecond}
	begin := func(dir string) *Host {
		t.Helper()
		c := cfg
		c.DataDir = dir
		h, err := Start(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	right := func(what string, h *Host, r Request, want string) {
		t.Helper()
		got, err := h.Execute(t.Context(), r)
		if err != nil || got.Verdict != "ok" || !strings.Contains(string(got.Result)+string(got.Stdout), want) {
			t.Errorf("%s: %q %q %s (%s), %v", what, got.Result, got.Stdout, got.Verdict, got.Message, err)
		}
	}
	generation := func(h *Host) (last uint64) {
		t.Helper()
		s, err := h.Inspect(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range s.Artifacts {
			last = max(last, a.Generation)
		}
		return last
	}
	h := begin(cfg.DataDir)
	build := h.pool.Facts().Build
	right("first", h, small, "563")
	for name, happens := range misfortunes(build) {
		if err := h.Close(); err != nil {
			t.Fatal(err)
		}
		d, err := db.OpenDir(db.DirConfig{Path: cfg.DataDir, Owner: db.Owner{PID: os.Getpid(), Kind: "test"}, Log: zerolog.Nop()})
		if err != nil {
			t.Fatal(err)
		}
		if err := happens(t.Context(), d); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
		h = begin(cfg.DataDir)
		for range 2 {
			right(name+" between two starts", h, small, "563")
		}
		if n := generation(h); n > 2 {
			t.Errorf("%s: prepared %d times", name, n)
		}
	}
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}

	h = begin(t.TempDir())
	defer h.Close()
	right("first", h, large(1), "1")
	right("first", h, large(2), "2")
	for name, happens := range misfortunes(build) {
		if err := happens(t.Context(), h.dir); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		before := generation(h)
		for _, n := range []byte{1, 2} {
			right(name+" while it runs", h, large(n), strconv.Itoa(int(n)))
		}
		if n := generation(h) - before; n != 2 { // one for each
			t.Errorf("%s: %d preparations of two artifacts", name, n)
		}
	}
	// And at no moment in particular: somebody damages it while requests come.
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		flip := misfortunes(build)["a bit flip in the middle of the chunks"]
		for ctx.Err() == nil {
			_ = flip(ctx, h.dir) // there may be nothing at the moment
			select {
			case <-time.After(10 * time.Millisecond):
			case <-ctx.Done():
			}
		}
	}()
	for n := range byte(40) {
		got, err := h.Execute(t.Context(), large(1+n%2))
		if f := fault.Code(got.Fault); err != nil || strings.HasPrefix(string(f), "guest.") {
			t.Errorf("while it is damaged: %s, %v", got.Message, err)
		}
	}
	stop()
	<-done
	right("afterwards", h, large(1), "1")
}
