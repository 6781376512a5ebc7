package control_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/actors/meter"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/host"
	"github.com/troupehost/troupe/host/control"
	"github.com/troupehost/troupe/host/control/api"
	"github.com/troupehost/troupe/host/control/client"
)

// bare compares requests that are not of an app, by what callers can set.
var bare = cmpopts.IgnoreUnexported(host.Request{})

// appHost knows apps, and notes what it is asked; what a test leaves out must not be called.
type appHost struct {
	fakeHost
	deploy func(host.DeployRequest) (inspect.App, error)
	query  func(context.Context, host.AppQuery) (host.AppReply, error)
	list   func(host.AppFilter) ([]inspect.App, uint64, error)
	log    func(ctx context.Context, after uint64, most int, wait time.Duration) ([]host.LogLine, uint64, error)
	put    func(hash string, r io.Reader) (inspect.Blob, error)
	get    func(hash string) (io.ReadCloser, int64, error)
}

func (f *appHost) Deploy(_ context.Context, r host.DeployRequest) (inspect.App, error) {
	return f.deploy(r)
}
func (f *appHost) Announce(_ context.Context, r host.DeployRequest) error {
	return f.note("announce", string(r.Manifest), r.Tenant)
}
func (f *appHost) Apps(_ context.Context, r host.AppFilter) ([]inspect.App, uint64, error) {
	return f.list(r)
}
func (f *appHost) app(words ...string) (inspect.App, error) {
	_ = f.note(words...)
	if words[1] == keyB {
		return inspect.App{}, fault.New(fault.CallerNotFound, "app", keyB, nil)
	}
	return inspect.App{Address: words[1], State: words[0]}, nil
}
func (f *appHost) App(_ context.Context, a string) (inspect.App, error) { return f.app("app", a) }
func (f *appHost) StartApp(_ context.Context, a string) (inspect.App, error) {
	return f.app("start", a)
}
func (f *appHost) StopApp(_ context.Context, a string) (inspect.App, error) { return f.app("stop", a) }
func (f *appHost) ResizeApp(_ context.Context, a string, n uint32) (inspect.App, error) {
	return f.app("resize", a, fmt.Sprint(n))
}
func (f *appHost) RaiseApp(_ context.Context, a string, p run.Priority) (inspect.App, error) {
	return f.app("raise", a, p.String())
}
func (f *appHost) RemoveApp(_ context.Context, a string) (inspect.AppMetrics, error) {
	x, err := f.app("remove", a)
	return inspect.AppMetrics{Address: x.Address, Gas: 7}, err
}
func (f *appHost) RemoveAllApps(context.Context) (int, error) { return 5, f.note("remove all") }
func (f *appHost) Query(ctx context.Context, q host.AppQuery) (host.AppReply, error) {
	return f.query(ctx, q)
}
func (f *appHost) SealedQuery(_ context.Context, public [32]byte, sealed []byte) ([]byte, error) {
	return append(public[:1:1], sealed...), nil
}
func (f *appHost) AppLog(ctx context.Context, _ string, after uint64, most int, wait time.Duration) ([]host.LogLine, uint64, error) {
	return f.log(ctx, after, most, wait)
}
func (f *appHost) PutBlob(_ context.Context, hash string, r io.Reader) (inspect.Blob, error) {
	return f.put(hash, r)
}
func (f *appHost) GetBlob(_ context.Context, hash string) (io.ReadCloser, int64, error) {
	return f.get(hash)
}
func (f *appHost) Blobs(context.Context) ([]inspect.Blob, int64, int64, error) {
	return []inspect.Blob{{Hash: "sha256:" + keyA}}, 3, 9, nil
}
func (f *appHost) RemoveBlob(_ context.Context, hash string) error { return f.note("rm", hash) }
func (f *appHost) Session(context.Context) (inspect.Session, error) {
	return inspect.Session{ID: "s1"}, nil
}
func (f *appHost) OpenSession(_ context.Context, r host.SessionRequest) (host.Signed, error) {
	_ = f.note("open", fmt.Sprintf("%x %x %v", r.PNonce, r.Recipient, r.Resume))
	return host.Signed{Encoded: []byte{1}, Signature: []byte{2}, WorkerKey: []byte{3}}, nil
}
func (f *appHost) SetBench(_ context.Context, a string, n uint32) (inspect.Session, error) {
	return inspect.Session{Bench: a}, f.note("bench", a, fmt.Sprint(n))
}
func (f *appHost) AppMetrics(_ context.Context, a ...string) ([]inspect.AppMetrics, error) {
	return []inspect.AppMetrics{{Gas: 1}}, f.note("metrics", strings.Join(a, ","))
}
func (f *appHost) ReportMetrics(_ context.Context, a ...string) ([]host.SignedReport, error) {
	return []host.SignedReport{{Encoded: []byte{0xab}, SN: 4, Apps: 2}}, f.note("report", strings.Join(a, ","))
}
func (f *appHost) SignEndpoints(_ context.Context, e []string) (host.Signed, error) {
	return host.Signed{Encoded: []byte{9}}, f.note("endpoints", strings.Join(e, ","))
}
func (f *appHost) SignDescription(_ context.Context, text string, p meter.Prices) (host.Signed, error) {
	return host.Signed{}, f.note("description", text, fmt.Sprint(p.Gas, p.Tip))
}
func (f *appHost) SignRegistration(_ context.Context, genesis [32]byte, operator *[32]byte, para uint32) (host.Signed, error) {
	return host.Signed{}, f.note("registration", fmt.Sprint(genesis[0], operator != nil, para))
}
func (f *appHost) BackupKey(_ context.Context, pass []byte) ([]byte, error) {
	return []byte("backup"), f.note("backup", string(pass))
}
func (f *appHost) RestoreKey(_ context.Context, backup, pass []byte) error {
	return f.note("restore", string(backup), string(pass))
}
func (f *appHost) RotateKey(context.Context) (inspect.Session, error) {
	return inspect.Session{WorkerKey: "new"}, f.note("rotate")
}
func (f *appHost) LockKey(_ context.Context, pass []byte) error { return f.note("lock", string(pass)) }

func TestDeployPassesTheWholeRequest(t *testing.T) {
	var got host.DeployRequest
	h := &appHost{deploy: func(r host.DeployRequest) (inspect.App, error) {
		got = r
		return inspect.App{Address: keyA}, nil
	}}
	c := connect(t, h, control.Options{})
	x, err := c.Deploy(t.Context(), api.Deploy{Tenant: "team", ReuseInstances: true, Bench: true}, []byte("manifest"), []byte("config"))
	want := host.DeployRequest{Manifest: []byte("manifest"), Config: []byte("config"), Tenant: "team", ReuseInstances: true, Bench: true}
	if d := cmp.Diff(want, got); err != nil || x.Address != keyA || d != "" {
		t.Errorf("%+v, %v\n%s", x, err, d)
	}
	if _, err := c.Deploy(t.Context(), api.Deploy{}, []byte("m"), nil); err != nil || cmp.Diff(host.DeployRequest{Manifest: []byte("m"), Tenant: tenant()}, got) != "" {
		t.Errorf("a small request: %+v, %v", got, err)
	}
	if err := c.Announce(t.Context(), api.Deploy{}, []byte("m"), nil); err != nil || h.calls[0] != "announce m "+tenant() {
		t.Errorf("%v, %v", h.calls, err)
	}
}

// Each call arrives with its parameters, and its answer comes back.
func TestAppsAreOperated(t *testing.T) {
	h := &appHost{}
	c := connect(t, h, control.Options{})
	ctx := t.Context()
	upper := strings.ToUpper(keyA)
	app := func(f func() (inspect.App, error)) func() (any, error) {
		return func() (any, error) { x, err := f(); return x.Address, err }
	}
	for want, tt := range map[string]struct {
		call  func() (any, error)
		reply any
	}{
		"app " + keyA:                 {app(func() (inspect.App, error) { return c.App(ctx, upper) }), keyA},
		"start " + keyA:               {app(func() (inspect.App, error) { return c.StartApp(ctx, keyA) }), keyA},
		"stop " + keyA:                {app(func() (inspect.App, error) { return c.StopApp(grave(ctx), keyA) }), keyA},
		"resize " + keyA + " 0":       {app(func() (inspect.App, error) { return c.ResizeApp(ctx, keyA, 0) }), keyA},
		"raise " + keyA + " critical": {app(func() (inspect.App, error) { return c.RaiseApp(ctx, keyA, "critical") }), keyA},
		"remove " + keyA:              {func() (any, error) { m, err := c.RemoveApp(grave(ctx), keyA); return m.Gas, err }, uint64(7)},
		"remove all":                  {func() (any, error) { return c.RemoveAllApps(grave(ctx)) }, 5},
		"bench " + keyA + " 3":        {func() (any, error) { s, err := c.SetBench(ctx, upper, 3); return s.Bench, err }, keyA},
		"bench  0":                    {func() (any, error) { s, err := c.SetBench(ctx, "", 0); return s.Bench, err }, ""},
		"open 0a0b ff true": {func() (any, error) {
			o, err := c.OpenSession(ctx, api.OpenSession{PNonce: []byte{10, 11}, Recipient: []byte{255}, Resume: true})
			return o.Session.ID + string(o.Update.Encoded) + string(o.Update.Signature) + string(o.Update.WorkerKey), err
		}, "s1\x01\x02\x03"},
		"metrics " + keyA + "," + keyB: {func() (any, error) { m, err := c.AppMetrics(ctx, keyA, upper[:0]+keyB); return m[0].Gas, err }, uint64(1)},
		"report " + keyA: {func() (any, error) {
			r, err := c.Report(ctx, upper)
			return string(r[0].Encoded) + fmt.Sprint(r[0].SN, r[0].Apps), err
		}, "\xab4 2"},
		"report ":             {func() (any, error) { r, err := c.Report(ctx); return len(r), err }, 1},
		"rm sha256:" + keyA:   {func() (any, error) { d, err := c.RemoveBlob(ctx, "SHA256:"+upper); return d.State, err }, "removed"},
		"backup pass":         {func() (any, error) { b, err := c.BackupKey(ctx, []byte("pass")); return string(b), err }, "backup"},
		"restore backup pass": {func() (any, error) { s, err := c.RestoreKey(ctx, []byte("backup"), []byte("pass")); return s.ID, err }, "s1"},
		"rotate":              {func() (any, error) { s, err := c.RotateKey(ctx); return s.WorkerKey, err }, "new"},
		"lock pass":           {func() (any, error) { d, err := c.LockKey(ctx, []byte("pass")); return d.State, err }, "locked"},
		"lock ":               {func() (any, error) { d, err := c.LockKey(ctx, nil); return d.State, err }, "unlocked"},
		"endpoints a,b":       {func() (any, error) { s, err := c.SignEndpoints(ctx, []string{"a", "b"}); return string(s.Encoded), err }, "\x09"},
		"registration 1 true 7": {func() (any, error) {
			s, err := c.SignRegistration(ctx, api.Registration{Genesis: bytes.Repeat([]byte{1}, 32), Operator: make([]byte, 32), ParaID: 7})
			return len(s.Encoded), err
		}, 0},
		"description hi 340282366920938463463374607431768211455 <nil>": {func() (any, error) {
			s, err := c.SignDescription(ctx, api.Description{Text: "hi", Prices: api.Prices{Gas: "340282366920938463463374607431768211455"}})
			return len(s.Encoded), err
		}, 0},
	} {
		h.calls = nil
		if reply, err := tt.call(); err != nil || reply != tt.reply || len(h.calls) != 1 || h.calls[0] != want {
			t.Errorf("%s: %v %v, %v", want, reply, err, h.calls)
		}
	}
	if _, err := c.App(ctx, keyB); !errors.Is(err, fault.CallerNotFound) {
		t.Errorf("no such app: %v", err)
	}
	if b, err := c.SealedQuery(ctx, strings.Repeat("07", 32), []byte("sealed")); err != nil || string(b) != "\x07sealed" {
		t.Errorf("%q, %v", b, err)
	}
	if l, err := c.Blobs(ctx); err != nil || len(l.Blobs) != 1 || l.UsedBytes != 3 || l.QuotaBytes != 9 {
		t.Errorf("%+v, %v", l, err)
	}
}

func TestQueriesArriveWhole(t *testing.T) {
	var got host.AppQuery
	h := &appHost{query: func(_ context.Context, q host.AppQuery) (host.AppReply, error) {
		got = q
		if q.Path == "busy" {
			return host.AppReply{}, fault.New(fault.BusyApp, "query", "", nil)
		}
		return host.AppReply{Output: []byte{0, 0xff}, Receipt: &run.Receipt{Verdict: "ok"}}, nil
	}}
	c := connect(t, h, control.Options{})
	r, err := c.Query(t.Context(), client.Query{Address: keyA, Path: "/a b?&=é", Payload: []byte("\x00in"), Signature: []byte{1, 2, 3}, Priority: "critical"})
	want := host.AppQuery{Address: keyA, Path: "/a b?&=é", Payload: []byte("\x00in"), Signature: []byte{1, 2, 3}, Priority: run.Critical}
	if d := cmp.Diff(want, got); err != nil || d != "" || string(r.Output) != "\x00\xff" || r.Receipt == nil || r.Receipt.Verdict != "ok" {
		t.Errorf("%+v, %v\n%s", r, err, d)
	}
	if _, err := c.Query(t.Context(), client.Query{Address: keyA, Path: "busy"}); !errors.Is(err, fault.BusyApp) || len(got.Signature) > 0 {
		t.Errorf("%v, %+v", err, got)
	}
}

// A caller who leaves cancels the query, however long the app may take.
func TestQueryEndsWithItsCaller(t *testing.T) {
	asked, left := make(chan struct{}), make(chan struct{})
	h := &appHost{query: func(ctx context.Context, _ host.AppQuery) (host.AppReply, error) {
		close(asked)
		<-ctx.Done()
		close(left)
		return host.AppReply{}, ctx.Err()
	}}
	c := connect(t, h, control.Options{PlainTimeout: 50 * time.Millisecond})
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-asked; cancel() }()
	if _, err := c.Query(ctx, client.Query{Address: keyA}); !errors.Is(err, fault.Canceled) {
		t.Error(err)
	}
	<-left
}

func TestPagesOfApps(t *testing.T) {
	var asked []host.AppFilter
	h := &appHost{list: func(f host.AppFilter) (apps []inspect.App, next uint64, err error) {
		asked = append(asked, f)
		for i := f.After + 1; i <= 2500 && len(apps) < f.Limit; i++ {
			apps = append(apps, inspect.App{Sequence: i})
			next = i
		}
		if next == 2500 {
			next = 0
		}
		return apps, next, nil
	}}
	socket := serve(t, h, control.Options{})
	all, err := client.New(socket, 0).Apps(t.Context(), "uid:0")
	if err != nil || len(all) != 2500 || len(asked) != 3 || asked[2] != (host.AppFilter{Tenant: "uid:0", After: 2000, Limit: 1000}) {
		t.Errorf("%d apps, %v, %+v", len(all), err, asked)
	}
	h.list = func(host.AppFilter) ([]inspect.App, uint64, error) { return nil, 0, nil }
	var page map[string]json.RawMessage
	get(t, socket, "/v1/apps?limit=7", &page)
	if string(page["apps"]) != "[]" {
		t.Errorf("no apps: %s", page["apps"])
	}
}

func TestLogsAreWaitedFor(t *testing.T) {
	type ask struct {
		after uint64
		most  int
		wait  time.Duration
	}
	var got ask
	h := &appHost{log: func(_ context.Context, after uint64, most int, wait time.Duration) ([]host.LogLine, uint64, error) {
		got = ask{after, most, wait}
		return []host.LogLine{{Seq: 8, Text: "hi", Level: "info"}}, 17, nil
	}}
	socket := serve(t, h, control.Options{})
	l, err := client.New(socket, 0).AppLog(t.Context(), keyA, 7, 20, 3*time.Second)
	if err != nil || len(l.Lines) != 1 || l.Lines[0].Text != "hi" || l.Dropped != 17 || got != (ask{7, 20, 3 * time.Second}) {
		t.Errorf("%+v, %v, %+v", l, err, got)
	}
	get(t, socket, "/v1/apps/"+keyA+"/log?max=99999&wait_us=9223372036854775807", &l)
	if got != (ask{0, api.MaxLogLines, api.MaxWait}) {
		t.Errorf("bounds: %+v", got)
	}
}

// What a reader of a blob got when it was refused is of no use to it: it sees an error, never an end.
func TestBlobsAreStreamed(t *testing.T) {
	var stored []string
	h := &appHost{put: func(hash string, r io.Reader) (inspect.Blob, error) {
		b, err := io.ReadAll(r)
		if err != nil {
			return inspect.Blob{}, fault.New(fault.HostDiskIO, "store", "", err) // which the server knows better
		}
		stored = append(stored, hash+"="+string(b))
		return inspect.Blob{Hash: hash, Bytes: int64(len(b))}, nil
	}}
	c := connect(t, h, control.Options{MaxBlobBytes: 10})
	if b, err := c.PutBlob(t.Context(), "sha256:"+keyA, strings.NewReader("0123456789")); err != nil || b.Bytes != 10 {
		t.Errorf("%+v, %v", b, err)
	}
	if _, err := c.PutBlob(t.Context(), "", strings.NewReader("x")); err != nil {
		t.Error(err)
	}
	if _, err := c.PutBlob(t.Context(), "", strings.NewReader("0123456789+")); !errors.Is(err, fault.CallerBlobTooLarge) {
		t.Errorf("too large: %v", err)
	}
	if _, err := c.PutBlob(t.Context(), "", io.MultiReader(strings.NewReader("x"), broken{})); !errors.Is(err, fault.CallerInvalid) {
		t.Errorf("a file that breaks off: %v", err)
	}
	if d := cmp.Diff([]string{"sha256:" + keyA + "=0123456789", "=x"}, stored); d != "" {
		t.Error(d)
	}

	h.get = func(string) (io.ReadCloser, int64, error) {
		return io.NopCloser(bytes.NewReader(make([]byte, 100_000))), 100_000, nil
	}
	var got bytes.Buffer
	if n, err := c.GetBlob(t.Context(), "sha256:"+keyA, &got); n != 100_000 || err != nil || got.Len() != 100_000 {
		t.Errorf("%d bytes, %v", n, err)
	}
	h.get = func(string) (io.ReadCloser, int64, error) {
		return io.NopCloser(io.MultiReader(bytes.NewReader(make([]byte, 70_000)), broken{})), 100_000, nil
	}
	if _, err := c.GetBlob(t.Context(), "sha256:"+keyA, io.Discard); !errors.Is(err, fault.CallerUnreachable) {
		t.Errorf("a damaged blob: %v", err)
	}
	h.get = func(string) (io.ReadCloser, int64, error) {
		return nil, 0, fault.New(fault.CallerBlobMissing, "", "", nil)
	}
	if _, err := c.GetBlob(t.Context(), "sha256:"+keyA, io.Discard); !errors.Is(err, fault.CallerBlobMissing) {
		t.Errorf("a missing blob: %v", err)
	}
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, errors.New("it broke") }

func TestAppRequestsThatAreTurnedAway(t *testing.T) {
	h := &appHost{put: func(string, io.Reader) (inspect.Blob, error) { panic("it came through") }}
	socket := serve(t, h, control.Options{MaxInputBytes: 10, MaxBlobBytes: 10, FormTimeout: 100 * time.Millisecond})
	form := "multipart/form-data; boundary=B"
	part := func(name, text string) string {
		return fmt.Sprintf("--B\r\nContent-Disposition: form-data; name=%q\r\n\r\n%s\r\n", name, text)
	}
	deploy := func(parts ...string) io.Reader { return strings.NewReader(strings.Join(parts, "") + "--B--\r\n") }
	slow, open := io.Pipe()
	defer open.Close()
	at := "/v1/apps/" + keyA
	many := strings.Repeat("address="+keyA+"&", api.MaxQueryTargets+1)
	for name, tt := range map[string]struct {
		method, path, kind string
		body               io.Reader
		status             int
		code               fault.Code
	}{
		"no form":              {"POST", "/v1/apps", "text/plain", strings.NewReader("x"), 400, fault.CallerInvalid},
		"no manifest":          {"POST", "/v1/apps", form, deploy(part("request", "{}")), 400, fault.CallerInvalid},
		"no request":           {"POST", "/v1/apps", form, deploy(part("manifest", "m")), 400, fault.CallerInvalid},
		"the wrong order":      {"POST", "/v1/apps", form, deploy(part("request", "{}"), part("config", "c"), part("manifest", "m")), 400, fault.CallerInvalid},
		"a part of another":    {"POST", "/v1/apps", form, deploy(part("request", "{}"), part("code", "c")), 400, fault.CallerInvalid},
		"a huge manifest":      {"POST", "/v1/apps", form, deploy(part("request", "{}"), part("manifest", strings.Repeat("m", api.MaxManifestBytes+1))), 413, fault.CallerManifestTooLarge},
		"a huge configuration": {"POST", "/v1/apps/announce", form, deploy(part("request", "{}"), part("manifest", "m"), part("config", strings.Repeat("c", api.MaxConfigBytes+1))), 413, fault.CallerParamsTooBig},
		"a long tenant":        {"POST", "/v1/apps", form, deploy(part("request", `{"tenant":"`+strings.Repeat("t", 65)+`"}`), part("manifest", "m")), 400, fault.CallerInvalid},
		"a tenant of a list":   {"GET", "/v1/apps?tenant=" + strings.Repeat("t", 65), "", nil, 400, fault.CallerInvalid},
		"a long list":          {"GET", "/v1/apps?limit=1001", "", nil, 400, fault.CallerInvalid},
		"no place in a list":   {"GET", "/v1/apps?after=-1", "", nil, 400, fault.CallerInvalid},
		"no address":           {"GET", "/v1/apps/xyz", "", nil, 400, fault.CallerInvalid},
		"a path as address":    {"GET", "/v1/apps/..%2Fstatus", "", nil, 400, fault.CallerInvalid},
		"an unknown verb":      {"POST", at + "/explode", "", nil, 404, fault.CallerNotFound},
		"a get of stop":        {"GET", at + "/stop", "", nil, 404, fault.CallerNotFound},
		"resized to nothing":   {"POST", at + "/resize", "", nil, 400, fault.CallerInvalid},
		"resized to too many":  {"POST", at + "/resize?instances=4294967296", "", nil, 400, fault.CallerInvalid},
		"raised to nothing":    {"POST", at + "/raise", "", nil, 400, fault.CallerInvalid},
		"a large payload":      {"POST", at + "/query", "", strings.NewReader("0123456789+"), 413, fault.CallerParamsTooBig},
		"a payload of no size": {"POST", at + "/query", "", io.MultiReader(strings.NewReader("0123456789+")), 413, fault.CallerParamsTooBig},
		"a slow payload":       {"POST", at + "/query", "", slow, 504, fault.CanceledDeadline},
		"a long path":          {"POST", at + "/query?path=" + strings.Repeat("p", api.MaxPathBytes+1), "", nil, 400, fault.CallerInvalid},
		"no priority":          {"POST", at + "/query?priority=urgent", "", nil, 400, fault.CallerInvalid},
		"no sender":            {"POST", "/v1/query/sealed/xyz", "", nil, 400, fault.CallerInvalid},
		"a wait that is none":  {"GET", at + "/log?wait_us=long", "", nil, 400, fault.CallerInvalid},
		"no hash":              {"PUT", "/v1/blobs/xyz", "", strings.NewReader("x"), 400, fault.CallerInvalid},
		"a hash of another":    {"PUT", "/v1/blobs/sha512:" + keyA, "", strings.NewReader("x"), 400, fault.CallerInvalid},
		"a large blob":         {"POST", "/v1/blobs", "", strings.NewReader("0123456789+"), 413, fault.CallerBlobTooLarge},
		"no hash to remove":    {"DELETE", "/v1/blobs/md5:00", "", nil, 400, fault.CallerInvalid},
		"no hash to read":      {"GET", "/v1/blobs/..%2Fx", "", nil, 400, fault.CallerInvalid},
		"no json":              {"POST", "/v1/session", "", strings.NewReader("x"), 400, fault.CallerInvalid},
		"no hex":               {"POST", "/v1/session", "", strings.NewReader(`{"pnonce":"xy"}`), 400, fault.CallerInvalid},
		"no app for a bench":   {"POST", "/v1/session/bench", "", strings.NewReader(`{"address":"x"}`), 400, fault.CallerInvalid},
		"no app for a report":  {"POST", "/v1/metrics/report", "", strings.NewReader(`{"addresses":["x"]}`), 400, fault.CallerInvalid},
		"many metrics":         {"GET", "/v1/metrics/apps?" + many, "", nil, 400, fault.CallerInvalid},
		"a long passphrase":    {"POST", "/v1/key/lock", "", strings.NewReader(`{"passphrase":"` + strings.Repeat("AAAA", 342) + `"}`), 400, fault.CallerInvalid},
		"a price below zero":   {"POST", "/v1/sign/description", "", strings.NewReader(`{"prices":{"tip":"-1"}}`), 400, fault.CallerInvalid},
		"a price too high":     {"POST", "/v1/sign/description", "", strings.NewReader(`{"prices":{"gas":"340282366920938463463374607431768211456"}}`), 400, fault.CallerInvalid},
		"no genesis":           {"POST", "/v1/sign/registration", "", strings.NewReader(`{}`), 400, fault.CallerInvalid},
	} {
		t.Run(name, func(t *testing.T) {
			req, err := http.NewRequestWithContext(t.Context(), tt.method, "http://localhost"+tt.path, tt.body)
			if err != nil {
				t.Fatal(err)
			}
			if tt.kind != "" {
				req.Header.Set("Content-Type", tt.kind)
			}
			status, e := raw(t, socket, req)
			if status != tt.status || e.Code != string(tt.code) || e.Message == "" {
				t.Errorf("status %d, %+v", status, e)
			}
		})
	}
	req, err := http.NewRequestWithContext(t.Context(), "POST", "http://localhost"+at+"/query", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set(api.HeaderSignature, "no base64")
	if status, e := raw(t, socket, req); status != 400 || e.Code != string(fault.CallerInvalid) {
		t.Errorf("a signature that is none: status %d, %+v", status, e)
	}
}
