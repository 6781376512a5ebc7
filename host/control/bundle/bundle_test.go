package bundle_test

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

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
	audit := func(context.Context) ([]api.Audit, error) { return want.Audit, nil }
	got, _, err := bundle.Collect(t.Context(), bundle.Host(want), bundle.Extra{Audit: audit, Config: want.Config, Reason: "request", At: want.At})
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
	b, _, err := bundle.Collect(t.Context(), mute{bundle.Host(bundletest.Rich(0))}, bundle.Extra{})
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

// wedged is a host of which parts never answer, whatever the caller's patience.
type wedged struct {
	bundle.Source
	parts map[string]bool // of Bundle.Missing
	until chan struct{}
}

func (w wedged) hold(part string) {
	if w.parts[part] {
		<-w.until
	}
}

func (w wedged) Inspect(ctx context.Context) (inspect.Host, error) {
	w.hold("host")
	return w.Source.Inspect(ctx)
}

func (w wedged) Workers(ctx context.Context) ([]inspect.Worker, error) {
	w.hold("workers")
	return w.Source.Workers(ctx)
}

func (w wedged) Guests(ctx context.Context) ([]inspect.Guest, error) {
	w.hold("guests")
	return w.Source.Guests(ctx)
}

func (w wedged) DeadLetters(ctx context.Context) ([]inspect.Letter, error) {
	w.hold("dead")
	return w.Source.DeadLetters(ctx)
}

func (w wedged) LogLines(ctx context.Context, after uint64, most int, wait time.Duration) ([]inspect.LogLine, uint64, error) {
	w.hold("log")
	return w.Source.LogLines(ctx, after, most, wait)
}

func (w wedged) Blobs(ctx context.Context) ([]inspect.Blob, int64, int64, error) {
	w.hold("blobs")
	return w.Source.Blobs(ctx)
}

func (w wedged) Session(ctx context.Context) (inspect.Session, error) {
	w.hold("session")
	return w.Source.Session(ctx)
}

func (w wedged) Actor(ctx context.Context, path string) (inspect.ActorDetail, error) {
	w.hold("actors")
	return w.Source.Actor(ctx, path)
}

func (w wedged) Mailbox(ctx context.Context, path string) ([]inspect.Letter, error) {
	w.hold("mailboxes")
	return w.Source.Mailbox(ctx, path)
}

func (w wedged) Jobs(ctx context.Context, f host.JobFilter) ([]run.Job, string, error) {
	w.hold("jobs")
	return w.Source.Jobs(ctx, f)
}

func (w wedged) Job(ctx context.Context, id string) (run.Job, error) {
	w.hold("events")
	return w.Source.Job(ctx, id)
}

func (w wedged) Timeline(ctx context.Context, id string) (inspect.Timeline, error) {
	w.hold("timelines")
	return w.Source.Timeline(ctx, id)
}

func (w wedged) Apps(ctx context.Context, f host.AppFilter) ([]inspect.App, uint64, error) {
	w.hold("apps")
	return w.Source.Apps(ctx, f)
}

func (w wedged) Chain(ctx context.Context) (inspect.ChainView, error) {
	w.hold("chain")
	return w.Source.Chain(ctx)
}

func (w wedged) ChainCalls(ctx context.Context, f host.CallFilter) ([]inspect.Outgoing, uint64, error) {
	w.hold("calls")
	return w.Source.ChainCalls(ctx, f)
}

func (w wedged) ChainDemands(ctx context.Context, after string, limit int) ([]inspect.Demand, string, error) {
	w.hold("demands")
	return w.Source.ChainDemands(ctx, after, limit)
}

func (w wedged) ChainPay(ctx context.Context, after string, limit int) ([]inspect.Pay, string, error) {
	w.hold("pay")
	return w.Source.ChainPay(ctx, after, limit)
}

func (w wedged) Explain(ctx context.Context, id string) (inspect.Explanation, error) {
	w.hold("explanations")
	return w.Source.Explain(ctx, id)
}

func (w wedged) Recording(ctx context.Context, out io.Writer) error {
	w.hold("recording")
	_, err := io.WriteString(out, "given")
	return err
}

// TestCollectOfAWedgedHost: whichever part never answers, it is named, it takes its share of the time and no more, and all other parts
// are there. If none answers there is a bundle all the same, in time.
func TestCollectOfAWedgedHost(t *testing.T) {
	const limit = 8 * time.Second
	lists := func(b *api.Bundle, recording []byte) map[string]int {
		return map[string]int{
			"workers": len(b.Host.Workers), "guests": len(b.Guests), "dead": len(b.Dead), "log": len(b.Log), "audit": len(b.Audit), "blobs": len(b.Blobs), "actors": len(b.Actors),
			"mailboxes": len(b.Mailboxes), "jobs": len(b.Jobs), "timelines": len(b.Timelines), "apps": len(b.Apps), "calls": len(b.Calls),
			"demands": len(b.Demands), "pay": len(b.Pay), "explanations": len(b.Explanations), "recording": len(recording),
		}
	}
	collect := func(t *testing.T, parts ...string) (*api.Bundle, map[string]int, time.Duration) {
		t.Helper()
		w := wedged{Source: bundle.Host(bundletest.Rich(20)), parts: map[string]bool{}, until: make(chan struct{})}
		for _, p := range parts {
			w.parts[p] = true
		}
		defer close(w.until)
		begin := time.Now()
		b, recording, err := bundle.Collect(t.Context(), w, bundle.Extra{Limit: limit, Audit: func(context.Context) ([]api.Audit, error) {
			w.hold("audit")
			return []api.Audit{{}}, nil
		}})
		if err != nil {
			t.Fatal(err)
		}
		took := time.Since(begin)
		file(t, b, bytes.NewReader(recording))
		return b, lists(b, recording), took
	}
	all := []string{"host", "workers", "guests", "dead", "log", "audit", "blobs", "session", "actors", "mailboxes", "jobs", "events", "timelines", "apps", "chain",
		"calls", "demands", "pay", "explanations", "recording"}
	// What is asked for only if another part has answered.
	needs := map[string][]string{
		"host": {"workers", "actors", "mailboxes", "explanations"}, "jobs": {"timelines", "explanations"}, "chain": {"calls", "demands", "pay"}, "actors": {}, "apps": {"explanations"},
		"workers": {"explanations"},
	}
	synctest.Test(t, func(t *testing.T) {
		_, whole, _ := collect(t)
		for _, part := range all {
			b, have, took := collect(t, part)
			if len(b.Missing) != 1 || b.Missing[part] == "" {
				t.Errorf("%s is wedged, missing is %v", part, b.Missing)
			}
			if took < time.Second || took > limit/4 {
				t.Errorf("%s is wedged: it took %v of %v", part, took, limit)
			}
			for other, n := range whole {
				if other != part && have[other] != n && !slices.Contains(needs[part], other) {
					t.Errorf("%s is wedged: %d %s, and not %d", part, have[other], other, n)
				}
			}
		}
		b, _, took := collect(t, all...)
		for _, part := range []string{"host", "workers", "jobs", "chain", "recording"} {
			if b.Missing[part] == "" {
				t.Errorf("all is wedged, and %s is not missing", part)
			}
		}
		if took > limit {
			t.Errorf("all is wedged: it took %v", took)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		w := wedged{Source: bundle.Host(bundletest.Rich(0)), parts: map[string]bool{"guests": true}, until: make(chan struct{})}
		defer close(w.until)
		if _, _, err := bundle.Collect(ctx, w, bundle.Extra{Limit: limit}); !errors.Is(err, fault.CanceledDeadline) {
			t.Errorf("who asked has left: %v", err)
		}
	})
}

// sick is a host with a bug.
type sick struct{ bundle.Source }

func (sick) Workers(context.Context) ([]inspect.Worker, error) { panic("a bug\x1b[2J") }

// TestCollectOfASickHost: what panics when it is asked is missing, and nothing else.
func TestCollectOfASickHost(t *testing.T) {
	b, _, err := bundle.Collect(t.Context(), sick{bundle.Host(bundletest.Rich(0))}, bundle.Extra{})
	if err != nil || len(b.Missing) != 1 || !strings.Contains(b.Missing["workers"], "a bug") || strings.Contains(b.Missing["workers"], "\x1b") {
		t.Errorf("%v, %v", b.Missing, err)
	}
	h, err := bundle.Host(b).Inspect(t.Context())
	if err != nil || !slices.ContainsFunc(h.Health, func(w inspect.Health) bool {
		return w.Code == "bundle.partial" && strings.Contains(w.Message, "workers")
	}) {
		t.Errorf("nobody who opens it is told: %+v, %v", h.Health, err)
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
