package backup

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/artifacts/db"
)

func about() Manifest {
	return Manifest{DataFormat: db.FormatVersion, Version: "9.9", Host: "h@m", At: time.Unix(1_700_000_000, 0).UTC(), Without: []string{"nothing"}}
}

// saved is a backup of two databases and small files, and what the state has.
func saved(t testing.TB, keys int) []byte {
	t.Helper()
	var parts []Part
	add := func(name string, b []byte) {
		parts = append(parts, Part{Name: name, Write: func(_ context.Context, w io.Writer) (int64, error) { _, err := w.Write(b); return 0, err }})
	}
	add("VERSION", fmt.Appendln(nil, db.FormatVersion))
	add("host.key", bytes.Repeat([]byte{7}, 32))
	add("accounts/root.key", []byte("secret"))
	add("empty", nil)
	for _, dir := range []string{"", "chain/blocks"} {
		d, err := db.OpenDir(db.DirConfig{Path: t.TempDir(), StateOnly: true})
		if err != nil {
			t.Fatal(err)
		}
		rnd := rand.NewChaCha8([32]byte{byte(len(dir))})
		for n := range keys {
			v := make([]byte, 700)
			_, _ = rnd.Read(v)
			if err := d.State.Note(t.Context(), db.Op{Key: fmt.Appendf(nil, "key %06d %s", n, dir), Value: v}); err != nil {
				t.Fatal(err)
			}
		}
		s, err := d.State.Snapshot()
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			s.Close()
			if err := d.Close(); err != nil {
				t.Error(err)
			}
		}()
		parts = append(parts, Part{Name: StateFile(dir), Database: true, Write: s.Write})
	}
	var b bytes.Buffer
	rep, err := Write(t.Context(), &b, about(), parts)
	if err != nil {
		t.Fatal(err)
	}
	if rep.Bytes != int64(b.Len()) || len(rep.Manifest.Files) != len(parts) || rep.Manifest.Files[4].Keys != int64(keys) {
		t.Fatalf("%+v", rep)
	}
	if got, err := Check(t.Context(), bytes.NewReader(b.Bytes())); err != nil || got.Checksum != rep.Checksum || got.Bytes != rep.Bytes {
		t.Fatalf("%+v, %v", got, err)
	}
	return b.Bytes()
}

// leavesNothing checks that a directory has nothing in it.
func leavesNothing(t *testing.T, dir string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) > 0 {
		t.Errorf("left in the directory: %v, %v", entries, err)
	}
}

func TestABackupIsRestored(t *testing.T) {
	b := saved(t, 3000) // more than one part of a database
	parent := t.TempDir()
	for _, name := range []string{"missing/below", "empty"} {
		dir := filepath.Join(parent, name)
		if name == "empty" {
			if err := os.Mkdir(dir, 0o755); err != nil {
				t.Fatal(err)
			}
		}
		edited := false
		rep, err := Restore(t.Context(), bytes.NewReader(b), dir, func(ctx context.Context, m Manifest, state *db.DB) error {
			edited = m.Host == "h@m"
			return state.Write(ctx, db.Op{Key: []byte("edited"), Value: []byte("yes")})
		})
		if err != nil || !edited || rep.Manifest.Version != "9.9" {
			t.Fatalf("%+v, %v", rep, err)
		}
		if b, err := os.ReadFile(filepath.Join(dir, "accounts", "root.key")); string(b) != "secret" || err != nil {
			t.Errorf("%q, %v", b, err)
		}
		err = filepath.Walk(dir, func(path string, st os.FileInfo, err error) error {
			if want := os.FileMode(0o600); err == nil && !st.IsDir() && st.Mode().Perm()&^want != 0 {
				t.Errorf("%s has mode %v", path, st.Mode())
			}
			if err == nil && st.IsDir() && st.Mode().Perm()&0o077 != 0 {
				t.Errorf("%s has mode %v", path, st.Mode())
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
		d, err := db.OpenDir(db.DirConfig{Path: dir, StateOnly: true})
		if err != nil {
			t.Fatal(err)
		}
		if err := d.State.Get([]byte("edited"), func([]byte) error { return nil }); err != nil {
			t.Error(err)
		}
		if err := d.Close(); err != nil {
			t.Error(err)
		}
		if _, err := Restore(t.Context(), bytes.NewReader(b), dir, nil); fault.CodeOf(err) != fault.CallerConflict {
			t.Errorf("over a directory that is there: %v", err)
		}
	}
	entries, err := os.ReadDir(parent)
	if err != nil || len(entries) != 2 {
		t.Errorf("%v, %v", entries, err)
	}
	trial := t.TempDir()
	if _, err := Verify(t.Context(), bytes.NewReader(b), trial); err != nil {
		t.Error(err)
	}
	leavesNothing(t, trial)
}

// TestOtherToolsCanReadIt: it is a tar archive in zstd, whatever follows it.
func TestOtherToolsCanReadIt(t *testing.T) {
	z, err := zstd.NewReader(bytes.NewReader(saved(t, 10)))
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	var names []string
	for a := tar.NewReader(z); ; {
		h, err := a.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, h.Name)
	}
	if want := "about.json VERSION/000000 host.key/000000 accounts/root.key/000000 empty/000000 state.db/000000 chain/blocks/state.db/000000 manifest.json"; strings.Join(names, " ") != want {
		t.Errorf("%v", names)
	}
}

func TestDamageIsRefused(t *testing.T) {
	b := saved(t, 500)
	rnd := rand.New(rand.NewPCG(3, 4))
	parent := t.TempDir()
	try := func(what string, p []byte) {
		t.Helper()
		if _, err := Check(t.Context(), bytes.NewReader(p)); fault.CodeOf(err) != fault.CallerInvalid {
			t.Errorf("%s: %v", what, err)
		}
	}
	restore := func(what string, p []byte) {
		t.Helper()
		if _, err := Restore(t.Context(), bytes.NewReader(p), filepath.Join(parent, "d"), nil); fault.CodeOf(err) != fault.CallerInvalid {
			t.Errorf("%s: %v", what, err)
		}
		leavesNothing(t, parent)
	}
	for n := range 200 {
		at := rnd.IntN(len(b))
		p := bytes.Clone(b)
		p[at] ^= 1 << rnd.IntN(8)
		try(fmt.Sprintf("damaged at %d of %d", at, len(b)), p)
		if n%20 == 0 {
			restore(fmt.Sprintf("damaged at %d of %d", at, len(b)), p)
		}
	}
	for at := range 32 { // the header, and the trailer
		for _, at := range []int{at, len(b) - 1 - at} {
			p := bytes.Clone(b)
			p[at] ^= 0x10
			try(fmt.Sprintf("damaged at %d of %d", at, len(b)), p)
		}
	}
	for range 50 {
		at := rnd.IntN(len(b))
		try(fmt.Sprintf("cut at %d of %d", at, len(b)), b[:at])
	}
	restore("cut", b[:len(b)-1])
	restore("longer", append(bytes.Clone(b), 0))
	restore("twice", append(bytes.Clone(b), b...))
	restore("nothing", nil)
	restore("text", bytes.Repeat([]byte("hello\n"), 1000))
}

// made is a file with a valid hash around any archive.
func made(t *testing.T, fill func(a *tar.Writer)) []byte {
	t.Helper()
	var b bytes.Buffer
	out := newCounter(&b)
	z, err := zstd.NewWriter(out)
	if err != nil {
		t.Fatal(err)
	}
	a := tar.NewWriter(z)
	fill(a)
	_ = a.Close()
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	_, _ = io.WriteString(out, trailerHead)
	_, _ = out.Write(out.sum.Sum(nil))
	return b.Bytes()
}

func put(a *tar.Writer, name string, v any) {
	b, ok := v.([]byte)
	if !ok {
		b, _ = json.Marshal(v)
	}
	_ = a.WriteHeader(&tar.Header{Name: name, Mode: 0o600, Size: int64(len(b))})
	_, _ = a.Write(b)
}

func TestWhatSomebodyElseMadeIsRefused(t *testing.T) {
	good := about()
	good.Format = Format
	newerForm, newerData := good, good
	newerForm.Format, newerData.DataFormat = Format+1, db.FormatVersion+1
	parent := t.TempDir()
	for name, row := range map[string]struct {
		fill func(a *tar.Writer)
		want fault.Code
	}{
		"newer form":   {func(a *tar.Writer) { put(a, aboutName, newerForm) }, fault.HostDataDirNewer},
		"newer data":   {func(a *tar.Writer) { put(a, aboutName, newerData) }, fault.HostDataDirNewer},
		"no beginning": {func(a *tar.Writer) { put(a, "VERSION/000000", []byte("1\n")) }, fault.CallerInvalid},
		"no manifest":  {func(a *tar.Writer) { put(a, aboutName, good); put(a, "VERSION/000000", []byte("1\n")) }, fault.CallerInvalid},
		"no database":  {func(a *tar.Writer) { put(a, aboutName, good); put(a, manifestName, good) }, fault.CallerInvalid},
		"way out":      {func(a *tar.Writer) { put(a, aboutName, good); put(a, "../x/000000", nil) }, fault.CallerInvalid},
		"absolute":     {func(a *tar.Writer) { put(a, aboutName, good); put(a, "/tmp/x/000000", nil) }, fault.CallerInvalid},
		"deep":         {func(a *tar.Writer) { put(a, aboutName, good); put(a, "a/b/c/d/000000", nil) }, fault.CallerInvalid},
		"link": {func(a *tar.Writer) {
			put(a, aboutName, good)
			_ = a.WriteHeader(&tar.Header{Name: "x/000000", Typeflag: tar.TypeSymlink, Linkname: "/etc"})
		}, fault.CallerInvalid},
		"long": {func(a *tar.Writer) { put(a, aboutName, good); put(a, "x/000000", make([]byte, partBytes+1)) }, fault.CallerInvalid},
		"too large for a small file": {func(a *tar.Writer) {
			put(a, aboutName, good)
			put(a, "x/000000", make([]byte, partBytes))
			put(a, "x/000001", make([]byte, 1))
		}, fault.CallerInvalid},
		"hostile database": {func(a *tar.Writer) {
			put(a, aboutName, good)
			put(a, "VERSION/000000", []byte("1\n"))
			put(a, "state.db/000000", append([]byte("troupe-db/1\n"), 0xff, 0xff, 0xff, 0x7f, 0xff, 0xff, 0xff, 0x7f))
		}, fault.CallerInvalid},
		"out of order": {func(a *tar.Writer) { put(a, aboutName, good); put(a, "x/000001", nil) }, fault.CallerInvalid},
		"twice": {func(a *tar.Writer) {
			put(a, aboutName, good)
			put(a, "x/000000", nil)
			put(a, "y/000000", nil)
			put(a, "x/000000", nil)
		}, fault.CallerInvalid},
	} {
		_, err := Restore(t.Context(), bytes.NewReader(made(t, row.fill)), filepath.Join(parent, "d"), nil)
		if fault.CodeOf(err) != row.want {
			t.Errorf("%s: %v", name, err)
		}
		if row.want == fault.HostDataDirNewer && !strings.Contains(fault.From(err).Hint, "version 9.9") {
			t.Errorf("%s: the hint is %q", name, fault.From(err).Hint)
		}
		leavesNothing(t, parent)
	}
}

func TestWhatACrashLeftIsSweptAndWhoIsAtWorkIsNot(t *testing.T) {
	parent := t.TempDir()
	dead := filepath.Join(parent, ".d.restore-123")
	if err := os.MkdirAll(filepath.Join(dead, "data"), 0o700); err != nil {
		t.Fatal(err)
	}
	live, err := newWorkplace(parent, ".d.restore-")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Restore(t.Context(), bytes.NewReader(saved(t, 3)), filepath.Join(parent, "d"), nil); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(dead); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("what a crash left is still there: %v", err)
	}
	if _, err := os.Stat(live.data()); err != nil {
		t.Errorf("somebody's work is gone: %v", err)
	}
	if err := live.remove(); err != nil {
		t.Error(err)
	}
}

func TestWhoLeavesLeavesNothing(t *testing.T) {
	b := saved(t, 500)
	parent := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	half := io.MultiReader(bytes.NewReader(b[:len(b)/2]), readFunc(func([]byte) (int, error) { cancel(); return 0, ctx.Err() }))
	if _, err := Restore(ctx, half, filepath.Join(parent, "d"), nil); err == nil {
		t.Error("it is restored")
	}
	leavesNothing(t, parent)
}

type readFunc func([]byte) (int, error)

func (f readFunc) Read(p []byte) (int, error) { return f(p) }

func FuzzCheck(f *testing.F) {
	f.Add(saved(f, 3))
	f.Add([]byte("(\xb5/\xfd"))
	f.Fuzz(func(t *testing.T, b []byte) { _, _ = Check(t.Context(), bytes.NewReader(b)) })
}
