package blob

import (
	"bytes"
	"context"
	"errors"
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

const quota = 4 << 20

// opened is a store on a data directory of its own.
type opened struct {
	*Store
	dir *db.Dir
}

func open(t testing.TB, path string, fs db.FS) opened {
	t.Helper()
	d, err := db.OpenDir(db.DirConfig{Path: path, Owner: db.Owner{PID: os.Getpid(), Kind: "test"}, FS: fs, Log: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	s, err := Open(t.Context(), d.State, quota)
	if err != nil {
		t.Fatal(err)
	}
	return opened{s, d}
}

func (o opened) shut(t testing.TB) {
	t.Helper()
	if err := o.dir.Close(); err != nil {
		t.Fatal(err)
	}
}

func dataDir(t testing.TB) string { return filepath.Join(t.TempDir(), "data") }

// some returns bytes that no other seed has.
func some(seed uint64, n int) []byte {
	r := rand.New(rand.NewPCG(seed, 0))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

// keys returns how many chunks and names there are on disk.
func (o opened) keys(t testing.TB) (chunks, names int) {
	t.Helper()
	count := func(prefix string) (n int) {
		if err := o.dir.State.Scan([]byte(prefix), func(_, _ []byte) error { n++; return nil }); err != nil {
			t.Fatal(err)
		}
		return n
	}
	return count(prefixChunk), count(prefixName)
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func TestBlobsOfAllSizesComeBackAfterARestart(t *testing.T) {
	path, ctx := dataDir(t), t.Context()
	o := open(t, path, db.FS{})
	var all [][]byte
	total := int64(0)
	for i, n := range []int{0, 1, db.MaxValue - 1, db.MaxValue, db.MaxValue + 1, 2 * db.MaxValue, 2*db.MaxValue + 1, 5 * db.MaxValue} {
		b := some(uint64(i), n)
		all, total = append(all, b), total+int64(n)
		if h, err := o.Put(ctx, b, "a"); err != nil || h != HashOf(b) {
			t.Fatalf("%d bytes: %v, %v", n, h, err)
		}
	}
	for range 2 {
		for _, b := range all {
			if got, err := o.Get(ctx, HashOf(b)); err != nil || !bytes.Equal(got, b) {
				t.Errorf("%d bytes: %d come back, %v", len(b), len(got), err)
			}
			if n, ok := o.Size(HashOf(b)); !ok || n != int64(len(b)) {
				t.Errorf("size of %d bytes: %d, %v", len(b), n, ok)
			}
		}
		if o.Bytes() != total {
			t.Errorf("%d bytes together, want %d", o.Bytes(), total)
		}
		o.shut(t)
		o = open(t, path, db.FS{})
	}
	o.shut(t)
}

func TestABlobLivesAsLongAsItsNames(t *testing.T) {
	o, ctx := open(t, dataDir(t), db.FS{}), t.Context()
	defer o.shut(t)
	b := some(1, 3*db.MaxValue)
	h := must(o.Put(ctx, b, "a"))
	must(o.Put(ctx, b, "b"))
	if err := errors.Join(o.Ref(ctx, h, "c"), o.Ref(ctx, h, "c")); err != nil {
		t.Fatal(err)
	}
	if chunks, names := o.keys(t); chunks != 3 || names != 3 || o.Bytes() != int64(len(b)) {
		t.Errorf("%d chunks, %d names and %d bytes of one blob with three names", chunks, names, o.Bytes())
	}
	for _, name := range []string{"b", "none", "c", "c"} {
		if err := o.Unref(ctx, h, name); err != nil || !o.Has(h) {
			t.Fatalf("without %s: %v, there: %v", name, err, o.Has(h))
		}
	}
	if err := o.Unref(ctx, h, "a"); err != nil {
		t.Fatal(err)
	}
	if chunks, names := o.keys(t); chunks+names != 0 || o.Bytes() != 0 {
		t.Errorf("the last name is gone, and %d chunks, %d names and %d bytes are left", chunks, names, o.Bytes())
	}
	for what, err := range map[string]error{
		"get":       second(o.Get(ctx, h)),
		"ref":       o.Ref(ctx, h, "a"),
		"get never": second(o.Get(ctx, Hash{})),
	} {
		if !errors.Is(err, fault.CallerNotFound) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if err := o.Unref(ctx, h, "a"); err != nil {
		t.Errorf("unref of what is gone: %v", err)
	}
	must(o.Put(ctx, b, "again"))
	if got := must(o.Get(ctx, h)); !bytes.Equal(got, b) {
		t.Error("it does not come back")
	}
}

func second[T any](_ T, err error) error { return err }

func TestTheQuotaBoundsBytesOnce(t *testing.T) {
	o, ctx := open(t, dataDir(t), db.FS{}), t.Context()
	defer o.shut(t)
	half := some(1, quota/2)
	h := must(o.Put(ctx, half, "a"))
	must(o.Put(ctx, half, "b"))
	must(o.Put(ctx, some(2, quota/2), "a"))
	if _, err := o.Put(ctx, []byte{1}, "a"); !errors.Is(err, fault.CallerQuota) || !errors.Is(err, fault.Caller) {
		t.Errorf("a byte too many: %v", err)
	}
	must(o.Put(ctx, half, "c")) // it is there
	promised := must(o.PutPromised(ctx, some(3, 10), "a"))
	if o.Bytes() != quota+10 {
		t.Errorf("%d bytes with what was promised", o.Bytes())
	}
	if err := o.Unref(ctx, promised, "a"); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"a", "b", "c"} {
		if err := o.Unref(ctx, h, name); err != nil {
			t.Fatal(err)
		}
	}
	must(o.Put(ctx, []byte{1}, "a"))
	if o.Bytes() != quota/2+1 {
		t.Errorf("%d bytes", o.Bytes())
	}
}

func TestNamesHaveALimit(t *testing.T) {
	o, ctx := open(t, dataDir(t), db.FS{}), t.Context()
	defer o.shut(t)
	h := must(o.Put(ctx, []byte("x"), strings.Repeat("n", maxName)))
	for _, name := range []string{"", strings.Repeat("n", maxName+1)} {
		if _, err := o.Put(ctx, []byte("y"), name); !errors.Is(err, fault.BugProtocol) {
			t.Errorf("put with a name of %d bytes: %v", len(name), err)
		}
		if err := o.Ref(ctx, h, name); !errors.Is(err, fault.BugProtocol) {
			t.Errorf("ref with a name of %d bytes: %v", len(name), err)
		}
	}
}

// TestWhatDoesNotVerifyIsNotGiven changes, cuts and takes away chunks behind the store's back.
func TestWhatDoesNotVerifyIsNotGiven(t *testing.T) {
	for what, harm := range map[string]db.Op{
		"a changed byte": {Value: append(bytes.Repeat([]byte{7}, db.MaxValue-1), 8)},
		"a cut chunk":    {Value: []byte{7}},
		"an empty chunk": {Value: []byte{}},
		"a long chunk":   {Value: bytes.Repeat([]byte{7}, db.MaxValue)},
		"no chunk":       {Delete: true},
	} {
		t.Run(what, func(t *testing.T) {
			o, ctx := open(t, dataDir(t), db.FS{}), t.Context()
			defer o.shut(t)
			h := must(o.Put(ctx, bytes.Repeat([]byte{7}, 2*db.MaxValue+5), "a"))
			harm.Key = chunkKey(h, 2)
			if len(harm.Value) == db.MaxValue && harm.Value[db.MaxValue-1] == 8 {
				harm.Key = chunkKey(h, 0)
			}
			if err := o.dir.State.Write(ctx, harm); err != nil {
				t.Fatal(err)
			}
			if b, err := o.Get(ctx, h); !errors.Is(err, fault.HostDiskIO) || b != nil {
				t.Errorf("%d bytes, %v", len(b), err)
			}
		})
	}
}

// TestACrashAtAnyCommitLosesAndLeaksNothing lets the disk die before each of the commits of a Put, a Ref, a Put of the same
// and an Unref, and looks at what the next start finds.
func TestACrashAtAnyCommitLosesAndLeaksNothing(t *testing.T) {
	a, b := some(1, 5*db.MaxValue+1), some(2, 10)
	died := errors.New("the power is gone")
	for at := 1; ; at++ {
		path, ctx := dataDir(t), t.Context()
		commits, kept := 0, map[Hash][]string{}
		o := open(t, path, db.FS{Commit: func(_ string, commit func() error) error {
			if commits++; commits >= at {
				return died
			}
			return commit()
		}})
		ha, hb := HashOf(a), HashOf(b)
		name := func(h Hash, name string, err error) {
			if err == nil {
				kept[h] = append(kept[h], name)
			}
		}
		_, err := o.Put(ctx, a, "a")
		name(ha, "a", err)
		_, err = o.Put(ctx, b, "b")
		name(hb, "b", err)
		name(ha, "b", o.Ref(ctx, ha, "b"))
		_, err = o.Put(ctx, a, "c")
		name(ha, "c", err)
		for _, n := range []string{"a", "b", "c"} {
			if o.Unref(ctx, ha, n) == nil {
				kept[ha] = slices.DeleteFunc(kept[ha], func(k string) bool { return k == n })
			}
		}
		done := commits < at
		o.shut(t)

		o = open(t, path, db.FS{})
		wantChunks, wantNames := 0, 0
		for h, content := range map[Hash][]byte{ha: a, hb: b} {
			if len(kept[h]) > 0 {
				wantChunks += (len(content) + db.MaxValue - 1) / db.MaxValue
				wantNames += len(kept[h])
				if got, err := o.Get(ctx, h); err != nil || !bytes.Equal(got, content) {
					t.Errorf("death at commit %d: a blob with the names %v is lost: %v", at, kept[h], err)
				}
			}
		}
		if chunks, names := o.keys(t); chunks != wantChunks || names != wantNames {
			t.Errorf("death at commit %d: %d chunks and %d names, want %d and %d", at, chunks, names, wantChunks, wantNames)
		}
		o.shut(t)
		if done {
			if at < 10 {
				t.Fatalf("only %d commits", at)
			}
			return
		}
	}
}

// TestAFailedPutLeavesNothing fails one commit; the disk works again after it.
func TestAFailedPutLeavesNothing(t *testing.T) {
	for at := 1; at <= 3; at++ {
		commits := 0
		o := open(t, dataDir(t), db.FS{Commit: func(_ string, commit func() error) error {
			if commits++; commits == at {
				return errors.Join(commit(), errors.New("it may be there or not"))
			}
			return commit()
		}})
		b := some(1, 5*db.MaxValue)
		if _, err := o.Put(t.Context(), b, "a"); !errors.Is(err, fault.HostDiskIO) {
			t.Fatal(err)
		}
		if chunks, names := o.keys(t); chunks+names != 0 || o.Bytes() != 0 || o.Has(HashOf(b)) {
			t.Errorf("commit %d: %d chunks, %d names and %d bytes are left", at, chunks, names, o.Bytes())
		}
		must(o.Put(t.Context(), b, "a"))
		if got := must(o.Get(t.Context(), HashOf(b))); !bytes.Equal(got, b) {
			t.Error("it does not come back")
		}
		o.shut(t)
	}
}

func TestSweepTakesBackWhatTheOwnerForgot(t *testing.T) {
	path, ctx := dataDir(t), t.Context()
	o := open(t, path, db.FS{})
	a, b, c := must(o.Put(ctx, some(1, 10), "jobs/1")), must(o.Put(ctx, some(2, 20), "jobs/2")), must(o.Put(ctx, some(3, 30), "warm"))
	if err := errors.Join(o.Ref(ctx, a, "warm"), o.Sweep(ctx, func(h Hash, name string) bool { return name != "jobs/1" && name != "jobs/2" || h == b })); err != nil {
		t.Fatal(err)
	}
	if !o.Has(a) || !o.Has(b) || !o.Has(c) {
		t.Error("a blob with a name is gone")
	}
	if err := o.Sweep(ctx, func(_ Hash, name string) bool { return name == "warm" }); err != nil {
		t.Fatal(err)
	}
	o.shut(t)
	o = open(t, path, db.FS{})
	defer o.shut(t)
	if !o.Has(a) || o.Has(b) || !o.Has(c) || o.Bytes() != 40 {
		t.Errorf("%v %v %v, %d bytes", o.Has(a), o.Has(b), o.Has(c), o.Bytes())
	}
}

// TestManyAtOnce has several goroutines put, name, read and take back the same few blobs.
func TestManyAtOnce(t *testing.T) {
	o, ctx := open(t, dataDir(t), db.FS{}), t.Context()
	defer o.shut(t)
	content := [][]byte{some(1, 10), some(2, db.MaxValue+1), some(3, 3*db.MaxValue)}
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			name := fmt.Sprint("owner ", g)
			for i := range 12 {
				b := content[(i+g)%len(content)]
				h, err := o.Put(ctx, b, name)
				if err != nil {
					t.Error(err)
					return
				}
				if got, err := o.Get(ctx, h); err != nil || !bytes.Equal(got, b) {
					t.Errorf("a blob that has my name: %v", err)
				}
				if err := o.Unref(ctx, h, name); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if chunks, names := o.keys(t); chunks+names != 0 || o.Bytes() != 0 {
		t.Errorf("%d chunks, %d names and %d bytes are left", chunks, names, o.Bytes())
	}
}

func TestAPutThatIsCanceledLeavesNothing(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	commits := 0
	o := open(t, dataDir(t), db.FS{Commit: func(_ string, commit func() error) error {
		if commits++; commits == 2 {
			cancel(context.Canceled)
		}
		return commit()
	}})
	defer o.shut(t)
	if _, err := o.Put(ctx, some(1, 6*db.MaxValue), "a"); !errors.Is(err, fault.CanceledCaller) {
		t.Error(err)
	}
	if chunks, names := o.keys(t); chunks+names != 0 || o.Bytes() != 0 {
		t.Errorf("%d chunks, %d names and %d bytes are left", chunks, names, o.Bytes())
	}
}
