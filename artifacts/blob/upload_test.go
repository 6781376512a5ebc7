package blob

import (
	"bytes"
	"context"
	"crypto/sha512"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/artifacts/db"
)

func longOf(b []byte) Name { return longName(sha512.Sum512(b)) }

// all counts the keys of all kinds.
func (o *opened) all(t *testing.T) (n int) {
	t.Helper()
	for _, prefix := range []string{prefixChunk, prefixName, prefixStaged, prefixUpload} {
		if err := o.dir.State.Scan([]byte(prefix), func(_, _ []byte) error { n++; return nil }); err != nil {
			t.Fatal(err)
		}
	}
	return n
}

func TestNamesAreReadAsTheyAreWritten(t *testing.T) {
	for _, n := range []Name{HashOf([]byte("x")).Name(), longOf([]byte("x"))} {
		for _, text := range []string{n.String(), strings.Replace(strings.ToUpper(n.String()), "SHA", "sha", 1)} {
			if got, err := ParseName(text); err != nil || got != n {
				t.Errorf("%s: %v, %v", text, got, err)
			}
		}
	}
	good := HashOf(nil).String()
	for _, text := range []string{"", good, "sha256:", "sha256:" + good[1:], "sha256:" + good + "0", "sha512:" + good, "sha256:x" + good[1:], "md5:" + good, " sha256:" + good} {
		if n, err := ParseName(text); !errors.Is(err, fault.CallerInvalid) || !n.IsZero() || n.String() != "" {
			t.Errorf("%q: %v, %v", text, n, err)
		}
	}
}

// TestAnUploadIsWhatWasPromisedOrNothing has the rows W21 and W22.
func TestAnUploadIsWhatWasPromisedOrNothing(t *testing.T) {
	path, ctx := dataDir(t), t.Context()
	o := open(t, path, db.FS{})
	for _, n := range []int{0, 1, db.MaxValue, 3*db.MaxValue + 7} {
		b := some(uint64(n), n)
		for what, row := range map[string]struct {
			in   io.Reader
			want Name
			most int64
			code fault.Code
		}{
			"another":       {bytes.NewReader(b), HashOf([]byte("another")).Name(), 0, fault.CallerBlobMismatch},
			"another long":  {bytes.NewReader(b), longOf([]byte("another")), 0, fault.CallerBlobMismatch},
			"a byte more":   {io.MultiReader(bytes.NewReader(b), strings.NewReader("xx")), HashOf(b).Name(), int64(n) + 1, fault.CallerBlobTooLarge},
			"a broken pipe": {io.MultiReader(bytes.NewReader(b), iotest.ErrReader(errors.New("broken"))), HashOf(b).Name(), 0, fault.CallerInvalid},
		} {
			if _, err := o.Upload(ctx, row.in, row.want, row.most); fault.CodeOf(err) != row.code {
				t.Errorf("%d bytes, %s: %v", n, what, err)
			}
			if keys := o.all(t); keys != 0 || o.Bytes() != 0 {
				t.Errorf("%d bytes, %s: %d keys and %d bytes are left", n, what, keys, o.Bytes())
			}
		}
		for _, want := range []Name{HashOf(b).Name(), longOf(b), {}, HashOf(b).Name()} {
			info, err := o.Upload(ctx, iotest.HalfReader(bytes.NewReader(b)), want, max(int64(n), 1))
			if err != nil || info.Hash != HashOf(b) || info.SHA512 != longOf(b) || info.Bytes != int64(n) || info.Since.IsZero() {
				t.Errorf("%d bytes, %v: %+v, %v", n, want, info, err)
			}
		}
		o.shut(t)
		o = open(t, path, db.FS{})
		for _, name := range []Name{HashOf(b).Name(), longOf(b)} {
			h, ok := o.Find(name)
			if got, err := o.Get(ctx, h); !ok || err != nil || !bytes.Equal(got, b) {
				t.Errorf("%d bytes by %v: %v, %d bytes, %v", n, name, ok, len(got), err)
			}
		}
		if o.Bytes() != int64(n) || len(o.List()) != 1 {
			t.Errorf("%d bytes are stored as %d, %d in the list", n, o.Bytes(), len(o.List()))
		}
		if err := o.Delete(ctx, HashOf(b)); err != nil {
			t.Error(err)
		}
		if keys := o.all(t); keys != 0 || o.Bytes() != 0 {
			t.Errorf("after the delete %d keys and %d bytes are left", keys, o.Bytes())
		}
		if _, ok := o.Find(longOf(b)); ok {
			t.Error("it is still found")
		}
	}
	o.shut(t)
}

func TestTheQuotaHoldsForUploads(t *testing.T) {
	o, ctx := open(t, dataDir(t), db.FS{}), t.Context()
	defer o.shut(t)
	b := some(1, quota)
	if _, err := o.Upload(ctx, io.MultiReader(bytes.NewReader(b), strings.NewReader("x")), Name{}, 0); !errors.Is(err, fault.CallerQuota) || o.all(t) != 0 || o.Bytes() != 0 {
		t.Errorf("one too many: %v, %d keys, %d bytes", err, o.all(t), o.Bytes())
	}
	must(o.Upload(ctx, bytes.NewReader(b), Name{}, 0))
	if _, err := o.Upload(ctx, strings.NewReader("x"), Name{}, 0); !errors.Is(err, fault.CallerQuota) {
		t.Error(err)
	}
	must(o.Upload(ctx, bytes.NewReader(b), longOf(b), 0)) // it is here
	if o.Bytes() != o.Quota() {
		t.Errorf("%d bytes", o.Bytes())
	}
}

// TestWhatAnAppNeedsStays has row W24.
func TestWhatAnAppNeedsStays(t *testing.T) {
	path, ctx := dataDir(t), t.Context()
	o := open(t, path, db.FS{})
	a, b := some(1, 10), some(2, db.MaxValue+1)
	must(o.Upload(ctx, bytes.NewReader(a), Name{}, 0))
	must(o.Upload(ctx, bytes.NewReader(b), Name{}, 0))
	before := o.all(t)
	if err := o.Hold(ctx, "aa", HashOf(a).Name(), longOf([]byte("none")), longOf(b)); !errors.Is(err, fault.CallerBlobMissing) || !strings.Contains(err.Error(), longOf([]byte("none")).String()) || o.all(t) != before {
		t.Errorf("one is missing: %v, %d keys", err, o.all(t)-before)
	}
	for _, app := range []string{"bb", "aa", "aa"} {
		if err := o.Hold(ctx, app, HashOf(a).Name(), longOf(b)); err != nil {
			t.Fatal(err)
		}
	}
	o.shut(t)
	o = open(t, path, db.FS{})
	defer o.shut(t)
	for _, x := range o.List() {
		if diff := cmp.Diff([]string{"aa", "bb"}, x.Apps); diff != "" {
			t.Error(diff)
		}
	}
	if err := errors.Join(o.Release(ctx, "aa"), o.Release(ctx, "never")); err != nil {
		t.Error(err)
	}
	if err := o.Delete(ctx, HashOf(a)); !errors.Is(err, fault.CallerBlobInUse) || !o.Has(HashOf(a)) {
		t.Errorf("in use: %v", err)
	}
	if err := o.Release(ctx, "bb"); err != nil || len(o.List()) != 2 {
		t.Errorf("nobody needs them, and nobody removed them: %v, %d left", err, len(o.List()))
	}
	if err := errors.Join(o.Hold(ctx, "cc", HashOf(b).Name()), o.Delete(ctx, HashOf(a))); err != nil {
		t.Error(err)
	}
	if err := o.Delete(ctx, HashOf(a)); !errors.Is(err, fault.CallerNotFound) {
		t.Errorf("again: %v", err)
	}
	if got := o.List(); len(got) != 1 || got[0].Hash != HashOf(b) {
		t.Errorf("left: %+v", got)
	}
}

// TestABlobOfOthersCanBeUploaded has one that was put whole, with another owner's name.
func TestABlobOfOthersCanBeUploaded(t *testing.T) {
	path, ctx := dataDir(t), t.Context()
	o := open(t, path, db.FS{})
	b := some(1, 2*db.MaxValue+1)
	h := must(o.Put(ctx, b, "jobs/1"))
	if err := o.Delete(ctx, h); !errors.Is(err, fault.CallerNotFound) || len(o.List()) != 0 {
		t.Errorf("what nobody uploaded: %v, %d in the list", err, len(o.List()))
	}
	must(o.Upload(ctx, bytes.NewReader(b), Name{}, 0))
	if o.Bytes() != int64(len(b)) {
		t.Errorf("%d bytes", o.Bytes())
	}
	for range 2 {
		if got, ok := o.Find(longOf(b)); !ok || got != h || !bytes.Equal(must(o.Get(ctx, h)), b) {
			t.Errorf("found %v, %v", got, ok)
		}
		o.shut(t)
		o = open(t, path, db.FS{})
	}
	if err := o.Delete(ctx, h); err != nil || !bytes.Equal(must(o.Get(ctx, h)), b) {
		t.Errorf("the other owner's: %v", err)
	}
	if err := o.Unref(ctx, h, "jobs/1"); err != nil || o.all(t) != 0 {
		t.Errorf("%v, %d keys are left", err, o.all(t))
	}
	o.shut(t)
}

// TestACrashOfAnUploadLosesAndLeaksNothing lets the disk die before each commit of an upload, a second one, and a delete.
func TestACrashOfAnUploadLosesAndLeaksNothing(t *testing.T) {
	b, died := some(1, 4*db.MaxValue+1), errors.New("the power is gone")
	for at := 1; ; at++ {
		path, ctx, commits := dataDir(t), t.Context(), 0
		o := open(t, path, db.FS{Commit: func(_ string, commit func() error) error {
			if commits++; commits >= at {
				return died
			}
			return commit()
		}})
		_, err1 := o.Upload(ctx, bytes.NewReader(b), Name{}, 0)
		_, err2 := o.Upload(ctx, bytes.NewReader(b), Name{}, 0)
		kept, done := err1 == nil && err2 == nil, commits < at
		if o.Delete(ctx, HashOf(b)) == nil {
			kept = false
		}
		last := commits < at
		o.shut(t)
		o = open(t, path, db.FS{})
		if kept {
			if got, err := o.Get(ctx, HashOf(b)); err != nil || !bytes.Equal(got, b) {
				t.Errorf("death at commit %d: %v", at, err)
			}
		}
		want := 0
		if o.Has(HashOf(b)) {
			want = 5 + 2
		} else if kept {
			t.Errorf("death at commit %d: it is lost", at)
		}
		if keys := o.all(t); keys != want {
			t.Errorf("death at commit %d: %d keys, want %d", at, keys, want)
		}
		o.shut(t)
		if done && last {
			if at < 8 {
				t.Fatalf("only %d commits", at)
			}
			return
		}
	}
}

// TestAChangedByteIsAnError has row W23, for reads of the whole and of pieces.
func TestAChangedByteIsAnError(t *testing.T) {
	o, ctx := open(t, dataDir(t), db.FS{}), t.Context()
	defer o.shut(t)
	b := some(1, 2*db.MaxValue)
	h := must(o.Upload(ctx, bytes.NewReader(b), Name{}, 0)).Hash
	var key, value []byte
	err := o.dir.State.Scan([]byte(prefixStaged), func(k, v []byte) error { key, value = bytes.Clone(k), bytes.Clone(v); return nil })
	if err != nil {
		t.Fatal(err)
	}
	value[len(value)/2] ^= 1
	if err := o.dir.State.Write(ctx, db.Op{Key: key, Value: value}); err != nil {
		t.Fatal(err)
	}
	if got, err := o.Get(ctx, h); !errors.Is(err, fault.HostDiskIO) || got != nil {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	if n, _, err := NewReader(o.Store, 1<<20).ReadAt(ctx, "", h.Name().String(), make([]byte, 10), 0); !errors.Is(err, fault.HostDiskIO) || n != 0 {
		t.Errorf("%d bytes of the part that is whole, %v", n, err)
	}
}

func TestADamagedNoteOfAnUploadStopsTheStart(t *testing.T) {
	path := dataDir(t)
	o := open(t, path, db.FS{})
	h := must(o.Upload(t.Context(), strings.NewReader("x"), Name{}, 0)).Hash
	if err := o.dir.State.Write(t.Context(), db.Op{Key: uploadKey(h), Value: []byte("?")}); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), o.dir.State, quota); !errors.Is(err, fault.HostDataDirCorrupt) || o.all(t) != 3 {
		t.Errorf("%v, %d keys", err, o.all(t))
	}
	o.shut(t)
}

func TestPiecesAreReadAndKeptWithinALimit(t *testing.T) {
	o, ctx := open(t, dataDir(t), db.FS{}), t.Context()
	defer o.shut(t)
	r := NewReader(o.Store, 250)
	var names []string
	for n := range uint64(4) {
		b := some(n, 100)
		must(o.Upload(ctx, bytes.NewReader(b), Name{}, 0))
		names = append(names, longOf(b).String())
		got := make([]byte, 30)
		for _, off := range []int64{0, 60, 90, 100, 1 << 40} {
			m, size, err := r.ReadAt(ctx, "a", names[n], got, off)
			want := b[min(off, 100):min(off+30, 100)]
			if err != nil || size != 100 || !bytes.Equal(got[:m], want) {
				t.Errorf("at %d: %d bytes of %d, %v", off, m, size, err)
			}
		}
	}
	if r.bytes != 200 || r.order.Len() != 2 || len(r.kept) != 2 {
		t.Errorf("%d bytes of %d blobs are kept", r.bytes, r.order.Len())
	}
	large := some(9, 1000)
	must(o.Upload(ctx, bytes.NewReader(large), Name{}, 0))
	if _, size, err := r.ReadAt(ctx, "a", HashOf(large).Name().String(), nil, 0); err != nil || size != 1000 || r.order.Len() != 1 {
		t.Errorf("a large one: %d, %v, %d kept", size, err, r.order.Len())
	}
	if err := o.Delete(ctx, HashOf(large)); err != nil {
		t.Fatal(err)
	}
	for name, code := range map[string]fault.Code{HashOf(large).Name().String(): fault.CallerBlobMissing, "sha256:": fault.CallerInvalid} {
		if _, _, err := r.ReadAt(ctx, "a", name, nil, 0); !errors.Is(err, code) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, _, err := r.ReadAt(ctx, "a", names[0], nil, -1); !errors.Is(err, fault.CallerInvalid) {
		t.Errorf("below 0: %v", err)
	}
	for range loadsAtOnce { // others are being read
		r.loads <- struct{}{}
	}
	left, cancel := context.WithCancel(ctx)
	cancel()
	if _, _, err := r.ReadAt(left, "a", names[0], nil, 0); !errors.Is(err, fault.CanceledCaller) {
		t.Errorf("who leaves: %v", err)
	}
}

// TestReadersThatMissAreSlowedDown: who reads in turns what cannot all be kept waits, and others do not.
func TestReadersThatMissAreSlowedDown(t *testing.T) {
	o, ctx := open(t, dataDir(t), db.FS{}), t.Context()
	defer o.shut(t)
	r := NewReader(o.Store, 150)
	var names []string
	for n := range uint64(3) {
		b := some(n, 100)
		must(o.Upload(ctx, bytes.NewReader(b), Name{}, 0))
		names = append(names, HashOf(b).Name().String())
	}
	one := make([]byte, 1)
	read := func(ctx context.Context, by, name string, loads int64) {
		t.Helper()
		before := r.loaded
		if n, _, err := r.ReadAt(ctx, by, name, one, 0); err != nil || n != 1 || r.loaded != before+loads {
			t.Errorf("%d bytes, %d loaded, %v", n, r.loaded-before, err)
		}
	}
	began := time.Now()
	for i := range loadBurst + 2 {
		read(ctx, "greedy", names[i%2], 100)
		read(ctx, "greedy", names[i%2], 0)
	}
	if took := time.Since(began); took < 2*loadEvery {
		t.Errorf("it took %v", took)
	}
	soon, cancel := context.WithTimeout(ctx, loadEvery/2)
	defer cancel()
	r.owners["greedy"].paid = time.Now().Add(time.Hour)
	before := r.loaded
	if _, _, err := r.ReadAt(soon, "greedy", names[2], one, 0); !errors.Is(err, fault.Canceled) || r.loaded != before {
		t.Errorf("who does not wait: %d loaded, %v", r.loaded-before, err)
	}
	r.owners["greedy"].one <- struct{}{} // it has a place, and waits
	read(ctx, "other", names[2], 100)
	if r.owners["other"].users != 0 || r.owners["greedy"].users != 0 {
		t.Error("somebody is still counted")
	}
}

// TestManyUploadsAtOnce uploads and deletes the same few blobs from several goroutines.
func TestManyUploadsAtOnce(t *testing.T) {
	o, ctx := open(t, dataDir(t), db.FS{}), t.Context()
	defer o.shut(t)
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			app := fmt.Sprint("app", g)
			for i := range 8 {
				b := some(uint64(i+g)%3, db.MaxValue+(i+g)%3)
				_, err := o.Upload(ctx, bytes.NewReader(b), HashOf(b).Name(), 0)
				if err == nil || errors.Is(err, fault.CallerNotFound) || errors.Is(err, fault.CallerConflict) { // another one deleted it
					err = o.Hold(ctx, app, HashOf(b).Name())
				}
				if err == nil {
					if got, err := o.Get(ctx, HashOf(b)); err != nil || !bytes.Equal(got, b) {
						t.Errorf("what I hold: %v", err)
					}
				} else if !errors.Is(err, fault.CallerBlobMissing) {
					t.Error(err)
				}
				if err := o.Release(ctx, app); err != nil {
					t.Error(err)
				}
				if err := o.Delete(ctx, HashOf(b)); err != nil && !errors.Is(err, fault.CallerBlobInUse) && !errors.Is(err, fault.CallerNotFound) {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	for _, x := range o.List() {
		if err := o.Delete(ctx, x.Hash); err != nil {
			t.Error(err)
		}
	}
	if keys := o.all(t); keys != 0 || o.Bytes() != 0 || len(o.long) != 0 {
		t.Errorf("%d keys, %d bytes and %d long names are left", keys, o.Bytes(), len(o.long))
	}
}

func BenchmarkUpload(b *testing.B) {
	d, err := db.OpenDir(db.DirConfig{Path: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = d.Close() }()
	s, err := Open(b.Context(), d.State, 1<<30)
	if err != nil {
		b.Fatal(err)
	}
	content := some(1, 8<<20)
	b.SetBytes(int64(len(content)))
	for b.Loop() {
		info, err := s.Upload(b.Context(), bytes.NewReader(content), Name{}, 0)
		if err != nil {
			b.Fatal(err)
		}
		if err := s.Delete(b.Context(), info.Hash); err != nil {
			b.Fatal(err)
		}
	}
}
