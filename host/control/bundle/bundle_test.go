package bundle_test

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/klauspost/compress/zstd"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/host"
	"github.com/troupehost/troupe/host/control/api"
	"github.com/troupehost/troupe/host/control/bundle"
	"github.com/troupehost/troupe/host/control/bundle/bundletest"
)

func file(t *testing.T, b *api.Bundle, recording io.Reader) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := bundle.Write(&out, b, recording); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestWriteAndRead(t *testing.T) {
	want := bundletest.Rich(200)
	want.Missing["jobs"] = "there were more"
	recording := strings.Repeat("what the cores were given\n", 100_000) // several chunks
	whole := file(t, want, strings.NewReader(recording))
	got, err := bundle.Read(bytes.NewReader(whole))
	if err != nil {
		t.Fatal(err)
	}
	// JSON has one kind of number.
	for i := range want.Log {
		for k, v := range want.Log[i].Fields {
			if n, ok := v.(int); ok {
				want.Log[i].Fields[k] = float64(n)
			}
		}
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		t.Error(diff)
	}
	var replayed bytes.Buffer
	if err := bundle.ReadRecording(bytes.NewReader(whole), &replayed); err != nil || replayed.String() != recording {
		t.Errorf("recording: %d bytes, %v; want %d", replayed.Len(), err, len(recording))
	}
	if err := bundle.ReadRecording(bytes.NewReader(file(t, want, nil)), io.Discard); !errors.Is(err, fault.CallerNotFound) {
		t.Errorf("without a recording: %v", err)
	}
}

// TestDamaged: no cut and no flipped bit yields a bundle.
func TestDamaged(t *testing.T) {
	whole := file(t, bundletest.Rich(0), strings.NewReader("recording"))
	for n := 0; n < len(whole); n += max(1, len(whole)/200) {
		if _, err := bundle.Read(bytes.NewReader(whole[:n])); !errors.Is(err, fault.CallerInvalid) {
			t.Fatalf("cut to %d of %d bytes: %v", n, len(whole), err)
		}
		bad := bytes.Clone(whole)
		bad[n] ^= 0x10
		got, err := bundle.Read(bytes.NewReader(bad))
		if err != nil && !errors.Is(err, fault.CallerInvalid) {
			t.Fatalf("bit %d flipped: %v", n, err)
		}
		if err == nil { // a bit that means nothing, as in the header of a frame
			if diff := cmp.Diff(mustRead(t, whole), got); diff != "" {
				t.Fatalf("bit %d flipped: %s", n, diff)
			}
		}
	}
	if _, err := bundle.Read(bytes.NewReader(nil)); !errors.Is(err, fault.CallerInvalid) || !strings.Contains(fault.From(err).Hint, "snapshot") {
		t.Errorf("an empty file: %v", err)
	}
}

func mustRead(t *testing.T, whole []byte) *api.Bundle {
	t.Helper()
	b, err := bundle.Read(bytes.NewReader(whole))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

type entry struct {
	name, body string
	size       int64 // that its header claims; 0: what it has
	kind       byte
}

func forged(t *testing.T, entries ...entry) []byte {
	t.Helper()
	var out bytes.Buffer
	z, err := zstd.NewWriter(&out)
	if err != nil {
		t.Fatal(err)
	}
	w := tar.NewWriter(z)
	for _, e := range entries {
		h := &tar.Header{Name: e.name, Size: int64(len(e.body)), Mode: 0o600, Typeflag: tar.TypeReg}
		if e.kind != 0 {
			h.Typeflag, h.Linkname = e.kind, "/etc/passwd"
		}
		if e.size != 0 {
			h.Size = e.size
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, e.body); err != nil {
			t.Fatal(err)
		}
	}
	_ = w.Flush()
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// TestHostileFile: what a file claims takes no memory, and is told from what it is.
func TestHostileFile(t *testing.T) {
	first := entry{name: "troupe-bundle", body: `{"format":1}`}
	for name, c := range map[string]struct {
		file []byte
		want string
	}{
		"no zstd":           {[]byte("PK\x03\x04 a zip"), "another kind of file"},
		"no bundle":         {forged(t, entry{name: "README", body: "hello"}), "does not begin as a bundle"},
		"newer":             {forged(t, entry{name: "troupe-bundle", body: `{"format":2}`}), "format 2"},
		"link":              {forged(t, first, entry{name: "host.json", kind: tar.TypeSymlink}), "no plain file"},
		"claims to be huge": {forged(t, first, entry{name: "host.json", size: 1 << 40, body: "{}"}), "larger than a part may be"},
		"shorter than said": {forged(t, first, entry{name: "host.json", size: 1 << 20, body: "{}"}), "ends too early"},
		"bomb of objects":   {forged(t, first, entry{name: "actors.json", body: "[" + strings.Repeat("{},", bundle.MaxObjects) + "{}]"}), "too many objects"},
		"bomb of zeros":     {forged(t, first, entry{name: "what-is-this", body: strings.Repeat(" ", bundle.MaxPartBytes+1)}), "larger than a part may be"},
		"twice":             {forged(t, first, entry{name: "host.json", body: "{}"}, entry{name: "host.json", body: "{}"}), "twice"},
		"no manifest":       {forged(t, first, entry{name: "host.json", body: "{}"}), "manifest is missing"},
		"other manifest":    {forged(t, first, entry{name: "manifest.json", body: `{"entries":[{"name":"troupe-bundle","bytes":12,"sha256":"00"}]}`}), "checksum"},
		"bad order":         {forged(t, first, entry{name: "recording/00000001", body: "x"}), "out of order"},
		"bad name":          {forged(t, first, entry{name: "a\x1b[2Jb", body: "{", size: 1 << 30}), "larger"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := bundle.Read(bytes.NewReader(c.file))
			if !errors.Is(err, fault.CallerInvalid) || !strings.Contains(fmt.Sprint(err), c.want) {
				t.Errorf("%v; want %q", err, c.want)
			}
			if strings.ContainsRune(fmt.Sprint(err), 0x1b) {
				t.Errorf("an escape in %q", err)
			}
		})
	}
}

// TestCollect: what a bundle shows, collected again, is the same bundle.
func TestCollect(t *testing.T) {
	want := bundletest.Rich(40)
	got, err := bundle.Collect(t.Context(), bundle.Host(want), bundle.Extra{Audit: want.Audit, Config: want.Config, Reason: "request", At: want.At})
	if err != nil {
		t.Fatal(err)
	}
	got.Host.Ready = want.Host.Ready // the host of a bundle takes no work
	ignore := cmpopts.IgnoreFields(api.Bundle{}, "Explanations")
	byPath := cmpopts.SortSlices(func(a, b inspect.ActorDetail) bool { return a.Path < b.Path })
	byJob := cmpopts.SortSlices(func(a, b run.Job) bool { return a.ID < b.ID })
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty(), ignore, byPath, byJob); diff != "" {
		t.Error(diff)
	}
	for id := range want.Explanations {
		if got.Explanations[id].Summary == "" {
			t.Errorf("%s is not explained", id)
		}
	}
}

// mute is a host with a part that does not answer.
type mute struct{ bundle.Source }

func (mute) Guests(context.Context) ([]inspect.Guest, error) {
	return nil, fault.New(fault.BugNoAnswer, "guests", "", nil)
}

func (m mute) Jobs(_ context.Context, f host.JobFilter) ([]run.Job, string, error) {
	r := "secret"
	return []run.Job{{ID: "j" + string(f.State), Receipt: &run.Receipt{Stdout: run.Blob(r), Result: run.Blob(r)}}}, "", nil
}

// TestCollectHalf: a part that is missing is named, and the rest is there; what guests wrote is left out.
func TestCollectHalf(t *testing.T) {
	b, err := bundle.Collect(t.Context(), mute{bundle.Host(bundletest.Rich(0))}, bundle.Extra{})
	if err != nil {
		t.Fatal(err)
	}
	if b.Missing["guests"] == "" || len(b.Actors) == 0 || len(b.Jobs) != 3 {
		t.Errorf("missing %v, %d actors, %d jobs", b.Missing, len(b.Actors), len(b.Jobs))
	}
	for _, j := range b.Jobs {
		if j.Receipt.Stdout != nil || j.Receipt.Result != nil {
			t.Errorf("job %s has output", j.ID)
		}
	}
}

// TestOffline: lists are paged as those of a host are, and nothing can be changed.
func TestOffline(t *testing.T) {
	o := bundle.Host(bundletest.Rich(0))
	ctx := t.Context()
	seen := 0
	for after := ""; ; {
		page, next, err := o.Jobs(ctx, host.JobFilter{After: after, Limit: 4})
		if err != nil {
			t.Fatal(err)
		}
		seen += len(page)
		if after = next; next == "" {
			break
		}
	}
	if seen != 6 {
		t.Errorf("%d jobs", seen)
	}
	if _, err := o.Job(ctx, "none"); !errors.Is(err, fault.CallerNotFound) {
		t.Error(err)
	}
	for name, err := range map[string]error{
		"kill": o.KillActor(ctx, bundletest.Wedged, 0), "purge": func() error { _, err := o.PurgeQueue(ctx, "execute"); return err }(),
		"evict": o.Evict(ctx, bundletest.GoodKey), "rotate": func() error { _, err := o.RotateKey(ctx); return err }(),
	} {
		if !errors.Is(err, fault.CallerDenied) || !strings.Contains(fault.From(err).Hint, "cannot be changed") {
			t.Errorf("%s: %v", name, err)
		}
	}
	cause, err := o.Cause(ctx, bundletest.Cause)
	if err != nil || len(cause) < 10 {
		t.Errorf("%d messages of the cause, %v", len(cause), err)
	}
	rows := 0
	if err := o.Trace(ctx, inspect.TraceFilter{Actor: "troupe/execute"}, func(tr inspect.Trace) error {
		rows++
		if !strings.HasPrefix(tr.Actor, "troupe/execute") {
			t.Errorf("traced %s", tr.Actor)
		}
		return nil
	}); err != nil || rows == 0 {
		t.Errorf("trace: %d, %v", rows, err)
	}
}

func FuzzRead(f *testing.F) {
	var out bytes.Buffer
	if err := bundle.Write(&out, bundletest.Rich(0), strings.NewReader("x")); err != nil {
		f.Fatal(err)
	}
	f.Add(out.Bytes())
	f.Add([]byte{0x28, 0xb5, 0x2f, 0xfd})
	f.Fuzz(func(t *testing.T, data []byte) {
		b, err := bundle.Read(bytes.NewReader(data))
		if (b == nil) == (err == nil) {
			t.Fatal("neither or both")
		}
		if err != nil && !errors.Is(err, fault.Caller) {
			t.Fatal(err)
		}
	})
}
