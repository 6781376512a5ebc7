package appdata

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rs/zerolog"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/artifacts/db"
)

func sealOf(t testing.TB, n byte) cipher.AEAD {
	t.Helper()
	c, err := aes.NewCipher(bytes.Repeat([]byte{n}, 32))
	if err != nil {
		t.Fatal(err)
	}
	g, err := cipher.NewGCM(c)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func keysOf(t *testing.T, k *KV, prefix, after string, most int) string {
	t.Helper()
	keys, err := k.List(t.Context(), prefix, after, most)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(keys, " ")
}

func TestASpaceIsAMapOfItsApp(t *testing.T) {
	path, ctx := filepath.Join(t.TempDir(), "data"), t.Context()
	d := reopen(t, path)
	k := NewSpaces(d.State).Open(app(1), sealOf(t, 1), 1<<20)
	large := bytes.Repeat([]byte("large"), MaxValue/5)
	for _, key := range []string{"b/2", "a", "b/1", "c\x00\xff", "b", strings.Repeat("k", MaxKey)} {
		if err := k.Put(ctx, key, []byte("value of "+key)); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(k.Put(ctx, "a", large), k.Put(ctx, "empty", nil), k.Put(ctx, "gone", []byte("x")), k.Delete(ctx, "gone")); err != nil {
		t.Fatal(err)
	}
	used, _ := k.Used()
	k.Close()
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}

	d = reopen(t, path)
	defer d.Close()
	s := NewSpaces(d.State)
	k = s.Open(app(1), sealOf(t, 1), 1<<20)
	for key, want := range map[string][]byte{"a": large, "b/1": []byte("value of b/1"), "empty": {}, "c\x00\xff": []byte("value of c\x00\xff")} {
		if got, err := k.Get(ctx, key); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%q: %d bytes, %v", key, len(got), err)
		}
	}
	for what, want := range map[string]struct {
		prefix, after string
		most          int
		keys          string
	}{
		"all":         {"", "", 100, "a b b/1 b/2 c\x00\xff empty " + strings.Repeat("k", MaxKey)},
		"a prefix":    {"b", "", 100, "b b/1 b/2"},
		"after one":   {"b", "b", 100, "b/1 b/2"},
		"after none":  {"b", "a", 100, "b b/1 b/2"},
		"after all":   {"b", "b/2", 100, ""},
		"past prefix": {"b", "c", 100, ""},
		"few":         {"", "b", 2, "b/1 b/2"},
		"nothing":     {"x", "", 100, ""},
	} {
		if got := keysOf(t, k, want.prefix, want.after, want.most); got != want.keys {
			t.Errorf("%s: %q", what, got)
		}
	}
	if again, quota := k.Used(); again != used || quota != 1<<20 {
		t.Errorf("%d of %d bytes used, before the restart %d", again, quota, used)
	}
	for _, key := range []string{"gone", "never", ""} {
		if _, err := k.Get(ctx, key); !errors.Is(err, ErrNotFound) || !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%q: %v", key, err)
		}
		if err := k.Delete(ctx, key); !errors.Is(err, ErrNotFound) {
			t.Errorf("delete %q: %v", key, err)
		}
	}
	other := s.Open(app(2), sealOf(t, 2), 1<<20)
	if _, err := other.Get(ctx, "a"); !errors.Is(err, ErrNotFound) || keysOf(t, other, "", "", 9) != "" {
		t.Errorf("another app: %v", err)
	}
	if err := other.Put(ctx, "a", []byte("other")); err != nil {
		t.Fatal(err)
	}
	if err := s.Drop(ctx, app(1)); err != nil || keysOf(t, k, "", "", 9) != "" {
		t.Errorf("after the drop: %v", err)
	}
	if n, _ := k.Used(); n != 0 {
		t.Errorf("%d bytes after the drop", n)
	}
	if v, err := other.Get(ctx, "a"); err != nil || string(v) != "other" {
		t.Errorf("the other app: %q, %v", v, err)
	}
}

func TestTheQuotaOfASpace(t *testing.T) {
	s, ctx := NewSpaces(dataDir(t).State), t.Context()
	k := s.Open(app(1), sealOf(t, 1), 3*(EntryOverhead+1+9))
	for _, key := range []string{"a", "b", "c"} {
		if err := k.Put(ctx, key, []byte("nine byte")); err != nil {
			t.Fatal(err)
		}
	}
	for what, err := range map[string]error{"a fourth": k.Put(ctx, "d", nil), "a longer": k.Put(ctx, "a", []byte("nine bytes"))} {
		if !errors.Is(err, fault.CallerQuota) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if err := errors.Join(k.Put(ctx, "a", []byte("anew byte")), k.Delete(ctx, "b"), k.Put(ctx, "d", []byte("nine byte"))); err != nil {
		t.Error(err)
	}
	smaller := s.Open(app(1), sealOf(t, 1), 10)
	if err := k.Put(ctx, "a", []byte("shorter")); err != nil {
		t.Errorf("less, above a quota that was lowered: %v", err)
	}
	if err := smaller.Put(ctx, "a", []byte("long again")); !errors.Is(err, fault.CallerQuota) {
		t.Errorf("more, above it: %v", err)
	}
	for what, err := range map[string]error{"no key": k.Put(ctx, "", nil), "a long key": k.Put(ctx, strings.Repeat("k", MaxKey+1), nil), "a long value": k.Put(ctx, "k", make([]byte, MaxValue+1))} {
		if !errors.Is(err, fault.CallerInvalid) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// TestASpaceHasSoManyEntries fills the index as so many writes would.
func TestASpaceHasSoManyEntries(t *testing.T) {
	k, ctx := NewSpaces(dataDir(t).State).Open(app(1), sealOf(t, 1), 1<<40), t.Context()
	if err := k.Put(ctx, "a", nil); err != nil {
		t.Fatal(err)
	}
	for n := range MaxEntries - 1 {
		k.index.add(fmt.Sprintf("k%09d", n), EntryOverhead)
	}
	if err := k.Put(ctx, "b", nil); !errors.Is(err, fault.CallerQuota) {
		t.Errorf("one more: %v", err)
	}
	if err := errors.Join(k.Put(ctx, "a", []byte("x")), k.Delete(ctx, "a"), k.Put(ctx, "b", nil)); err != nil {
		t.Error(err)
	}
}

// TestTheDiskShowsNeitherKeysNorValues searches all files, while the database is open and after it was closed.
func TestTheDiskShowsNeitherKeysNorValues(t *testing.T) {
	path, ctx := filepath.Join(t.TempDir(), "data"), t.Context()
	d := reopen(t, path)
	k := NewSpaces(d.State).Open(app(1), sealOf(t, 1), 1<<20)
	canary := db.Op{Key: []byte("axcanary-key"), Value: []byte("canary-value")}
	if err := errors.Join(k.Put(ctx, "secret-key-name", []byte("secret-value-text")), d.State.Write(ctx, canary)); err != nil {
		t.Fatal(err)
	}
	for _, open := range []bool{true, false} {
		found := map[string]bool{}
		err := filepath.WalkDir(path, func(p string, e fs.DirEntry, err error) error {
			if err != nil || e.IsDir() {
				return err
			}
			b, err := os.ReadFile(p)
			for _, text := range []string{"secret-key-name", "secret-value", "canary-key", "canary-value"} {
				found[text] = found[text] || bytes.Contains(b, []byte(text))
			}
			return err
		})
		want := map[string]bool{"secret-key-name": false, "secret-value": false, "canary-key": true, "canary-value": true}
		if diff := cmp.Diff(want, found); err != nil || diff != "" {
			t.Errorf("%v\n%s", err, diff)
		}
		if open {
			if err := d.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestAnEntryThatWasTamperedWithIsNotGiven changes entries, and puts one in the place of another.
func TestAnEntryThatWasTamperedWithIsNotGiven(t *testing.T) {
	d, ctx := dataDir(t), t.Context()
	s := NewSpaces(d.State)
	k, other := s.Open(app(1), sealOf(t, 1), 1000), s.Open(app(2), sealOf(t, 1), 1000) // one key for both: the app is bound as well
	if err := errors.Join(k.Put(ctx, "a", []byte("of a")), k.Put(ctx, "b", []byte("of b")), other.Put(ctx, "a", []byte("other"))); err != nil {
		t.Fatal(err)
	}
	raw := func(name []byte) (v []byte) {
		if err := d.State.Get(name, func(b []byte) error { v = slices.Clone(b); return nil }); err != nil {
			t.Fatal(err)
		}
		return v
	}
	good := raw(k.name("a"))
	for what, v := range map[string][]byte{
		"another key":  raw(k.name("b")),
		"another app":  raw(other.name("a")),
		"nothing":      {},
		"a cut one":    good[:len(good)-1],
		"a version":    append([]byte{2}, good[1:]...),
		"a nonce":      append([]byte{1, good[1] ^ 1}, good[2:]...),
		"another byte": append(slices.Clone(good[:len(good)-1]), good[len(good)-1]^1),
	} {
		if err := d.State.Write(ctx, db.Op{Key: k.name("a"), Value: v}); err != nil {
			t.Fatal(err)
		}
		if v, err := k.Get(ctx, "a"); !errors.Is(err, fault.HostDataDirCorrupt) || v != nil {
			t.Errorf("%s: %q, %v", what, v, err)
		}
	}
	k.forget() // as after a restart
	if got := keysOf(t, k, "", "", 9); got != "b" {
		t.Errorf("keys %q", got)
	}
	if n, _ := k.Used(); n <= 2*EntryOverhead {
		t.Errorf("what is damaged takes no room: %d", n)
	}
	if err := k.Put(ctx, "a", []byte("new")); err != nil {
		t.Error(err)
	}
	if n, _ := k.Used(); n != 2*EntryOverhead+1+3+1+4 {
		t.Errorf("%d bytes after it was written anew", n)
	}
	if v, err := k.Get(ctx, "a"); err != nil || string(v) != "new" {
		t.Errorf("%q, %v", v, err)
	}
}

// TestAPutThatFailedIsLookedUp has commits fail before and after they were made.
func TestAPutThatFailedIsLookedUp(t *testing.T) {
	var before, after error
	d, err := db.OpenDir(db.DirConfig{Path: filepath.Join(t.TempDir(), "data"), Log: zerolog.Nop(), FS: db.FS{Commit: func(_ string, commit func() error) error {
		if before != nil {
			return before
		}
		return errors.Join(commit(), after)
	}}})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	ctx := t.Context()
	k := NewSpaces(d.State).Open(app(1), sealOf(t, 1), 10*EntryOverhead)
	if err := k.Put(ctx, "a", []byte("1")); err != nil {
		t.Fatal(err)
	}
	before = errors.New("not made")
	if err := k.Put(ctx, "b", []byte("2")); !errors.Is(err, fault.HostDiskIO) {
		t.Error(err)
	}
	before, after = nil, errors.New("made")
	if err := k.Put(ctx, "c", []byte("3")); !errors.Is(err, fault.HostDiskIO) {
		t.Error(err)
	}
	after = nil
	if n, _ := k.Used(); keysOf(t, k, "", "", 9) != "a c" || n != 2*(EntryOverhead+2) {
		t.Errorf("%s, %d bytes", keysOf(t, k, "", "", 9), n)
	}
}

// TestManyPutAtOnce has several goroutines change the same few keys, and compares the index with the disk.
func TestManyPutAtOnce(t *testing.T) {
	s, ctx := NewSpaces(dataDir(t).State), t.Context()
	k := s.Open(app(1), sealOf(t, 1), 1<<20)
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for n := range 50 {
				key := fmt.Sprint("k", (n*7+g)%10)
				var err error
				if (n+g)%3 == 0 {
					err = k.Delete(ctx, key)
				} else {
					err = k.Put(ctx, key, bytes.Repeat([]byte{byte(g)}, n))
				}
				if err != nil && !errors.Is(err, ErrNotFound) {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	keys, used := keysOf(t, k, "", "", 99), func() int64 { n, _ := k.Used(); return n }
	n := used()
	k.forget()
	if again := keysOf(t, k, "", "", 99); again != keys || used() != n {
		t.Errorf("known %q with %d bytes, on disk %q with %d", keys, n, again, used())
	}
}

func BenchmarkKV(b *testing.B) {
	for _, how := range []string{"get", "put", "put by 64"} {
		b.Run(how, func(b *testing.B) {
			k := NewSpaces(dataDir(b).State).Open(app(1), sealOf(b, 1), 1<<30)
			value := make([]byte, 1000)
			put := func(n int) {
				if err := k.Put(context.Background(), fmt.Sprint("k", n%1000), value); err != nil {
					b.Error(err)
				}
			}
			put(0)
			b.ReportAllocs()
			b.ResetTimer()
			switch how {
			case "get":
				for range b.N {
					if _, err := k.Get(context.Background(), "k0"); err != nil {
						b.Fatal(err)
					}
				}
			case "put":
				for n := range b.N {
					put(n)
				}
			default:
				var wg sync.WaitGroup
				for g := range 64 {
					wg.Go(func() {
						for n := g; n < b.N; n += 64 {
							put(n)
						}
					})
				}
				wg.Wait()
			}
		})
	}
}
