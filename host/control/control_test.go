package control_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/artifacts"
	"github.com/troupehost/troupe/host"
	"github.com/troupehost/troupe/host/control"
	"github.com/troupehost/troupe/host/control/api"
	"github.com/troupehost/troupe/host/control/client"
)

// fakeHost answers by functions; those that a test leaves out must not be called.
type fakeHost struct {
	control.Host
	execute func(context.Context, host.Request) (run.Receipt, error)
	check   func(context.Context, host.CodeRequest) (host.Judgement, error)
	headsUp func(context.Context, host.CodeRequest) error
	inspect func() inspect.Host

	mu    sync.Mutex
	calls []string
}

func (f *fakeHost) Execute(ctx context.Context, r host.Request) (run.Receipt, error) {
	return f.execute(ctx, r)
}
func (f *fakeHost) Precheck(ctx context.Context, r host.CodeRequest) (host.Judgement, error) {
	return f.check(ctx, r)
}
func (f *fakeHost) HeadsUp(ctx context.Context, r host.CodeRequest) error { return f.headsUp(ctx, r) }
func (f *fakeHost) Inspect(context.Context) (inspect.Host, error) {
	if f.inspect == nil {
		return inspect.Host{Ready: true}, nil
	}
	return f.inspect(), nil
}
func (f *fakeHost) Overview(ctx context.Context) (inspect.Host, error) { return f.Inspect(ctx) }
func (f *fakeHost) Artifact(_ context.Context, key string) (inspect.Artifact, artifacts.Module, error) {
	if key != keyA {
		return inspect.Artifact{}, artifacts.Module{}, fault.New(fault.CallerNotFound, "artifact", key, nil)
	}
	return inspect.Artifact{Key: key, State: "prepared"}, artifacts.Module{MemoryPages: 3}, nil
}
func (f *fakeHost) note(s ...string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls = append(f.calls, strings.Join(s, " "))
	return nil
}
func (f *fakeHost) Verify(_ context.Context, key string) error { return f.note("verify", key) }
func (f *fakeHost) Pin(_ context.Context, tenant, key string) error {
	return f.note("pin", tenant, key)
}
func (f *fakeHost) Unpin(_ context.Context, tenant, key string) error {
	return f.note("unpin", tenant, key)
}
func (f *fakeHost) Evict(_ context.Context, key string) error { return f.note("evict", key) }
func (f *fakeHost) Prune(context.Context) (host.PruneReport, error) {
	return host.PruneReport{Removed: 2, RemovedBytes: 30, KeptBytes: 40, OverLimit: true}, nil
}

var (
	keyA = strings.Repeat("a", 64)
	keyB = strings.Repeat("b", 64)
)

// serve starts a server for h on a real socket and returns its path.
func serve(t *testing.T, h control.Host, opts control.Options) string {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "s")
	l, err := control.Listen(socket)
	if err != nil {
		t.Fatal(err)
	}
	s := control.New(h, opts)
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(l) }()
	t.Cleanup(func() {
		_ = s.Close()
		if err := <-ended; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return socket
}

func connect(t *testing.T, h control.Host, opts control.Options) *client.Client {
	t.Helper()
	return client.New(serve(t, h, opts), 0)
}

func tenant() string { return fmt.Sprintf("uid:%d", os.Geteuid()) }

func TestExecutePassesTheWholeRequest(t *testing.T) {
	var got host.Request
	var input []byte
	h := &fakeHost{execute: func(_ context.Context, r host.Request) (run.Receipt, error) {
		input, _ = io.ReadAll(r.Stdin)
		_, _ = io.WriteString(r.Stdout, "out")
		_, _ = io.WriteString(r.Stderr, "err")
		got, got.Stdin, got.Stdout, got.Stderr = r, nil, nil, nil
		return run.Receipt{Verdict: "ok", Result: run.Blob("7"), CPUMicros: new(int64(5))}, nil
	}}
	c := connect(t, h, control.Options{Version: "v9"})
	var out, errs bytes.Buffer
	receipt, err := c.Execute(t.Context(), api.Execute{
		Priority: "high", Imports: "trap", World: "real", Isolation: "process",
		Entry:  api.Entry{Mode: "command", Args: []string{"a", "-b"}, Env: []string{"K=V"}},
		Limits: api.Limits{CPUMicros: 1500, WallMicros: 2e6, MemoryBytes: 1 << 20, OutputBytes: 9},
	}, client.Streams{Code: []byte("code"), Input: []byte("input"), Stdin: strings.NewReader("stdin"), Stdout: &out, Stderr: &errs})
	if err != nil {
		t.Fatal(err)
	}
	want := host.Request{
		Code: []byte("code"), Input: []byte("input"), Tenant: tenant(), Priority: run.High, Imports: run.TrapMissing, Determinism: run.RealWorld, Isolation: run.Process,
		Entry:  run.Entry{Mode: run.Command, Args: []string{"a", "-b"}, Env: []string{"K=V"}},
		Limits: run.Limits{CPU: 1500 * time.Microsecond, Wall: 2 * time.Second, MemoryBytes: 1 << 20, OutputBytes: 9},
	}
	if d := cmp.Diff(want, got, bare); d != "" {
		t.Errorf("request:\n%s", d)
	}
	if string(input) != "stdin" || out.String() != "out" || errs.String() != "err" {
		t.Errorf("streams: stdin %q stdout %q stderr %q", input, out.String(), errs.String())
	}
	if receipt.Verdict != "ok" || string(receipt.Result) != "7" || c.ServerVersion() != "v9" {
		t.Errorf("receipt %+v, version %q", receipt, c.ServerVersion())
	}
}

// The guest answers each line before the next one is sent: neither direction may wait for the other to end.
func TestExecuteIsAConversation(t *testing.T) {
	h := &fakeHost{execute: func(_ context.Context, r host.Request) (run.Receipt, error) {
		b := make([]byte, 64)
		for {
			n, err := r.Stdin.Read(b)
			_, _ = r.Stdout.Write(bytes.ToUpper(b[:n]))
			if err != nil {
				return run.Receipt{Verdict: "ok"}, nil
			}
		}
	}}
	c := connect(t, h, control.Options{})
	in, feed := io.Pipe()
	answers := make(chan string)
	done := make(chan error, 1)
	go func() {
		_, err := c.Execute(t.Context(), api.Execute{}, client.Streams{Stdin: in, Stdout: writerFunc(func(p []byte) { answers <- string(p) })})
		done <- err
	}()
	for _, w := range []string{"one\n", "two\n", "three\n"} {
		_, _ = io.WriteString(feed, w)
		if got := <-answers; got != strings.ToUpper(w) {
			t.Fatalf("answer %q to %q", got, w)
		}
	}
	_ = feed.Close()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

type writerFunc func([]byte)

func (f writerFunc) Write(p []byte) (int, error) { f(p); return len(p), nil }

// A guest that never reads must not eat the caller's input.
func TestStdinIsReadOnlyWhenTheGuestReads(t *testing.T) {
	h := &fakeHost{execute: func(context.Context, host.Request) (run.Receipt, error) { return run.Receipt{Verdict: "ok"}, nil }}
	c := connect(t, h, control.Options{})
	in := strings.NewReader("for somebody else")
	if _, err := c.Execute(t.Context(), api.Execute{}, client.Streams{Stdin: in}); err != nil {
		t.Fatal(err)
	}
	if in.Len() != len("for somebody else") {
		t.Errorf("%d bytes are left", in.Len())
	}
}

// A run ends although its caller's stdin never does, as with a terminal.
func TestExecuteEndsWhileStdinBlocks(t *testing.T) {
	h := &fakeHost{execute: func(_ context.Context, r host.Request) (run.Receipt, error) {
		reading := make(chan struct{})
		go func() { close(reading); _, _ = r.Stdin.Read(make([]byte, 1)) }()
		<-reading
		return run.Receipt{Verdict: "ok"}, nil
	}}
	c := connect(t, h, control.Options{})
	in, feed := io.Pipe()
	defer feed.Close()
	if _, err := c.Execute(t.Context(), api.Execute{}, client.Streams{Stdin: in}); err != nil {
		t.Fatal(err)
	}
}

// Whoever passes a stdin that cannot be read is told so, and not that the host is gone.
func TestStdinThatFailsIsTheCallersFault(t *testing.T) {
	ended := make(chan struct{})
	h := &fakeHost{execute: func(ctx context.Context, r host.Request) (run.Receipt, error) {
		defer close(ended)
		_, err := io.ReadAll(r.Stdin)
		<-ctx.Done()
		return run.Receipt{}, err
	}}
	dir, err := os.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	c := connect(t, h, control.Options{})
	_, err = c.Execute(t.Context(), api.Execute{}, client.Streams{Stdin: dir})
	if !errors.Is(err, fault.CallerInvalid) || !strings.Contains(err.Error(), "read stdin: ") || !strings.HasSuffix(err.Error(), ": is a directory") {
		t.Errorf("the caller sees %v", err)
	}
	<-ended
}

func TestCallerWhoLeavesCancelsTheRun(t *testing.T) {
	for name, s := range map[string]client.Streams{
		"without stdin": {},
		"with stdin":    {Stdin: blocked{}},
	} {
		t.Run(name, func(t *testing.T) {
			started, ended := make(chan struct{}), make(chan error, 1)
			h := &fakeHost{execute: func(ctx context.Context, r host.Request) (run.Receipt, error) {
				close(started)
				<-ctx.Done()
				ended <- ctx.Err()
				return run.Receipt{}, ctx.Err()
			}}
			c := connect(t, h, control.Options{Beat: time.Hour})
			ctx, leave := context.WithCancel(t.Context())
			go func() { <-started; leave() }()
			if _, err := c.Execute(ctx, api.Execute{}, s); !errors.Is(err, fault.CanceledCaller) {
				t.Errorf("the caller sees %v", err)
			}
			if err := <-ended; err == nil {
				t.Error("the run was not cancelled")
			}
		})
	}
}

// Input that the guest does not take hides the caller's leaving; the beat shows it.
func TestCallerWhoLeavesWithInputOnTheWay(t *testing.T) {
	asked, ended := make(chan struct{}), make(chan struct{})
	h := &fakeHost{execute: func(ctx context.Context, r host.Request) (run.Receipt, error) {
		defer close(ended)
		_, _ = r.Stdin.Read(make([]byte, 1))
		close(asked)
		<-ctx.Done()
		return run.Receipt{}, ctx.Err()
	}}
	c := connect(t, h, control.Options{Beat: 10 * time.Millisecond})
	ctx, leave := context.WithCancel(t.Context())
	go func() { <-asked; leave() }()
	if _, err := c.Execute(ctx, api.Execute{}, client.Streams{Stdin: endless{}}); !errors.Is(err, fault.CanceledCaller) {
		t.Errorf("the caller sees %v", err)
	}
	<-ended
}

type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

type blocked struct{}

func (blocked) Read([]byte) (int, error) { select {} }

func TestFailedStdoutCancelsTheRun(t *testing.T) {
	ended := make(chan struct{})
	h := &fakeHost{execute: func(ctx context.Context, r host.Request) (run.Receipt, error) {
		defer close(ended)
		_, _ = io.WriteString(r.Stdout, "x")
		<-ctx.Done()
		return run.Receipt{}, ctx.Err()
	}}
	c := connect(t, h, control.Options{Beat: 10 * time.Millisecond})
	broken := errors.New("broken pipe")
	r, w := io.Pipe()
	_ = r.CloseWithError(broken)
	if _, err := c.Execute(t.Context(), api.Execute{}, client.Streams{Stdout: w}); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
	<-ended
}

func TestLargeOutputIsCutIntoEvents(t *testing.T) {
	big := bytes.Repeat([]byte("0123456789abcdef"), 64<<10)
	h := &fakeHost{execute: func(_ context.Context, r host.Request) (run.Receipt, error) {
		n, err := r.Stdout.Write(big)
		if n != len(big) || err != nil {
			return run.Receipt{}, fmt.Errorf("wrote %d: %w", n, err)
		}
		return run.Receipt{Verdict: "ok"}, nil
	}}
	c := connect(t, h, control.Options{})
	var out bytes.Buffer
	most := 0
	w := writerFunc(func(p []byte) { most = max(most, len(p)); out.Write(p) })
	if _, err := c.Execute(t.Context(), api.Execute{}, client.Streams{Stdout: w}); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(out.Bytes(), big) || most > api.MaxChunkBytes {
		t.Errorf("%d bytes arrived, the largest event has %d", out.Len(), most)
	}
}

// TestOutputAfterTheEndIsRefused: what a run has left behind writes when the request is over.
func TestOutputAfterTheEndIsRefused(t *testing.T) {
	out := make(chan io.Writer, 1)
	h := &fakeHost{execute: func(_ context.Context, r host.Request) (run.Receipt, error) {
		out <- r.Stdout
		return run.Receipt{Verdict: "ok"}, nil
	}}
	c := connect(t, h, control.Options{})
	if _, err := c.Execute(t.Context(), api.Execute{}, client.Streams{Stdout: io.Discard}); err != nil {
		t.Fatal(err)
	}
	if n, err := (<-out).Write([]byte("late")); n != 0 || !errors.Is(err, fault.CanceledCaller) {
		t.Errorf("wrote %d, %v", n, err)
	}
}

func TestProgressTellsTheStage(t *testing.T) {
	code := []byte("slow to prepare")
	told := make(chan struct{})
	h := &fakeHost{
		execute: func(context.Context, host.Request) (run.Receipt, error) {
			<-told
			return run.Receipt{Verdict: "ok"}, nil
		},
		inspect: func() inspect.Host {
			return inspect.Host{Artifacts: []inspect.Artifact{{CodeHash: artifacts.HashCode(code).String(), State: "preparing"}}}
		},
	}
	c := connect(t, h, control.Options{Beat: 10 * time.Millisecond})
	tell := sync.OnceFunc(func() { close(told) })
	_, err := c.Execute(t.Context(), api.Execute{}, client.Streams{Code: code, Progress: func(p api.Progress) {
		if p.Stage == api.StagePreparing && p.ElapsedMicros > 0 {
			tell()
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
}

func TestErrorsArriveWhole(t *testing.T) {
	sent := fault.New(fault.BusyQueueFull, "execute", "queue", errors.New("because")).WithRetryAfter(1500 * time.Millisecond).WithHint("come back")
	h := &fakeHost{
		execute: func(context.Context, host.Request) (run.Receipt, error) { return run.Receipt{}, sent },
		headsUp: func(context.Context, host.CodeRequest) error { return sent },
		check:   func(context.Context, host.CodeRequest) (host.Judgement, error) { return host.Judgement{}, sent },
	}
	c := connect(t, h, control.Options{})
	_, errExecute := c.Execute(t.Context(), api.Execute{}, client.Streams{})
	_, errCheck := c.Precheck(t.Context(), api.Code{}, client.Streams{})
	for name, err := range map[string]error{"execute": errExecute, "precheck": errCheck, "headsup": c.HeadsUp(t.Context(), api.Code{}, []byte("x"))} {
		got, ok := errors.AsType[*fault.Error](err)
		if !ok || got.Error() != sent.Error() || got.Class != sent.Class || got.Code != sent.Code || got.Hint != sent.Hint || got.RetryAfter != sent.RetryAfter {
			t.Errorf("%s: got %#v", name, err)
		}
	}
}

func TestPrecheckAndHeadsUp(t *testing.T) {
	var got []host.CodeRequest
	h := &fakeHost{
		check: func(_ context.Context, r host.CodeRequest) (host.Judgement, error) {
			got = append(got, r)
			return host.Judgement{Verdict: "guest", Fault: "guest.not_wasm", PrepareRSS: 4}, nil
		},
		headsUp: func(_ context.Context, r host.CodeRequest) error { got = append(got, r); return nil },
	}
	c := connect(t, h, control.Options{})
	j, err := c.Precheck(t.Context(), api.Code{Priority: "critical", CPUMicros: 3e6, Imports: "trap"}, client.Streams{Code: []byte("c")})
	if err != nil || j.Fault != "guest.not_wasm" || j.PrepareRSS != 4 {
		t.Errorf("judgement %+v, %v", j, err)
	}
	if err := c.HeadsUp(t.Context(), api.Code{}, []byte("d")); err != nil {
		t.Error(err)
	}
	want := []host.CodeRequest{
		{Code: []byte("c"), Tenant: tenant(), Priority: run.Critical, CPU: 3 * time.Second, Imports: run.TrapMissing},
		{Code: []byte("d"), Tenant: tenant(), Imports: run.RefuseMissing},
	}
	if d := cmp.Diff(want, got, bare); d != "" {
		t.Error(d)
	}
}

func TestSizesAreBounded(t *testing.T) {
	c := connect(t, &fakeHost{}, control.Options{MaxCodeBytes: 1000, MaxInputBytes: 1000})
	big := make([]byte, 4<<20)
	for name, tt := range map[string]struct {
		req  api.Execute
		s    client.Streams
		want fault.Code
	}{
		"code":    {s: client.Streams{Code: big}, want: fault.GuestCodeTooLarge},
		"input":   {s: client.Streams{Input: big}, want: fault.CallerParamsTooBig},
		"request": {req: api.Execute{Entry: api.Entry{Args: []string{strings.Repeat("x", 2<<20)}}}, want: fault.CallerParamsTooBig},
	} {
		if _, err := c.Execute(t.Context(), tt.req, tt.s); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestBadChoicesAreRefused(t *testing.T) {
	c := connect(t, &fakeHost{}, control.Options{})
	for name, req := range map[string]api.Execute{
		"mode": {Entry: api.Entry{Mode: "sideways"}}, "world": {World: "flat"}, "imports": {Imports: "maybe"}, "priority": {Priority: "now"},
	} {
		if _, err := c.Execute(t.Context(), req, client.Streams{}); !errors.Is(err, fault.CallerInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A number that wraps around when it is multiplied must not come out as a harmless limit.
func TestLimitsOutOfRangeAreRefused(t *testing.T) {
	c := connect(t, &fakeHost{}, control.Options{})
	for name, l := range map[string]api.Limits{
		"cpu that wraps": {CPUMicros: 18446744073711552}, "negative cpu": {CPUMicros: -1}, "least cpu": {CPUMicros: 999},
		"wall that wraps": {WallMicros: 18446744073711552}, "negative wall": {WallMicros: -5e6}, "most wall": {WallMicros: math.MaxInt64},
		"memory": {MemoryBytes: -1}, "output": {OutputBytes: -1}, "most cpu": {CPUMicros: (24*time.Hour + 1000).Microseconds()},
	} {
		if _, err := c.Execute(t.Context(), api.Execute{Limits: l}, client.Streams{}); !errors.Is(err, fault.CallerInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, us := range []int64{18446744073711552, -1, 1, math.MinInt64} {
		_, err := c.Precheck(t.Context(), api.Code{CPUMicros: us}, client.Streams{})
		if !errors.Is(err, fault.CallerInvalid) {
			t.Errorf("a precheck with %d: %v", us, err)
		}
		if err := c.HeadsUp(t.Context(), api.Code{CPUMicros: us}, nil); !errors.Is(err, fault.CallerInvalid) {
			t.Errorf("a heads-up with %d: %v", us, err)
		}
	}
}

func TestRequestsAtOnceAreBounded(t *testing.T) {
	started, release := make(chan struct{}), make(chan struct{})
	h := &fakeHost{execute: func(context.Context, host.Request) (run.Receipt, error) {
		close(started)
		<-release
		return run.Receipt{Verdict: "ok"}, nil
	}}
	c := connect(t, h, control.Options{MaxRequests: 1})
	done := make(chan error, 1)
	go func() { _, err := c.Execute(t.Context(), api.Execute{}, client.Streams{}); done <- err }()
	<-started
	err := c.Ready(t.Context())
	if f, ok := errors.AsType[*fault.Error](err); !ok || f.Code != fault.BusyQueueFull || f.RetryAfter <= 0 {
		t.Errorf("the second request: %v", err)
	}
	if err := c.Live(t.Context()); err != nil {
		t.Errorf("a host with its hands full is alive: %v", err)
	}
	close(release)
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestDrainLetsRunsEnd(t *testing.T) {
	started, release := make(chan struct{}), make(chan struct{})
	h := &fakeHost{execute: func(context.Context, host.Request) (run.Receipt, error) {
		close(started)
		<-release
		return run.Receipt{Verdict: "ok"}, nil
	}}
	l, dial := control.Pair()
	s := control.New(h, control.Options{})
	go func() { _ = s.Serve(l) }()
	c := client.Over(dial)
	done := make(chan error, 1)
	go func() { _, err := c.Execute(t.Context(), api.Execute{}, client.Streams{}); done <- err }()
	<-started
	drained := make(chan error, 1)
	go func() { drained <- s.Drain(t.Context()) }()
	close(release)
	if err := <-done; err != nil {
		t.Error(err)
	}
	if err := <-drained; err != nil {
		t.Error(err)
	}
	if err := c.Live(t.Context()); !errors.Is(err, fault.CallerUnreachable) {
		t.Errorf("after the drain: %v", err)
	}
}

func TestCancelAnswersWhoWaits(t *testing.T) {
	started, ended := make(chan struct{}), make(chan error, 1)
	h := &fakeHost{execute: func(ctx context.Context, _ host.Request) (run.Receipt, error) {
		close(started)
		<-ctx.Done()
		ended <- context.Cause(ctx)
		return run.Receipt{}, context.Cause(ctx)
	}}
	l, dial := control.Pair()
	s := control.New(h, control.Options{})
	go func() { _ = s.Serve(l) }()
	done := make(chan error, 1)
	go func() {
		_, err := client.Over(dial).Execute(t.Context(), api.Execute{}, client.Streams{Stdin: blocked{}})
		done <- err
	}()
	<-started
	s.Cancel()
	if err := s.Drain(t.Context()); err != nil {
		t.Error(err)
	}
	if err := <-ended; !errors.Is(err, fault.CanceledStopped) {
		t.Errorf("the run sees %v", err)
	}
	if err := <-done; !errors.Is(err, fault.CanceledStopped) {
		t.Errorf("the caller sees %v", err)
	}
}

func TestArtifactRoutes(t *testing.T) {
	h := &fakeHost{inspect: func() inspect.Host {
		return inspect.Host{Ready: true, Artifacts: []inspect.Artifact{{Key: keyB}, {Key: keyA}, {Key: "ab" + keyA[2:]}}}
	}}
	socket := serve(t, h, control.Options{})
	c := client.New(socket, 0)
	ctx := t.Context()
	if all, err := c.Artifacts(ctx, "a"); err != nil || len(all) != 2 || all[0].Key != keyA {
		t.Errorf("list: %v %v", all, err)
	}
	var page api.ArtifactList
	get(t, socket, "/v1/artifacts?limit=2", &page)
	if len(page.Artifacts) != 2 || page.Next != "ab"+keyA[2:] {
		t.Errorf("first page: %+v", page)
	}
	next := page.Next
	page = api.ArtifactList{}
	get(t, socket, "/v1/artifacts?limit=2&after="+next, &page)
	if len(page.Artifacts) != 1 || page.Next != "" || page.Artifacts[0].Key != keyB {
		t.Errorf("second page: %+v", page)
	}
	if a, err := c.Artifact(ctx, keyA); err != nil || a.State != "prepared" || a.Module.MemoryPages != 3 {
		t.Errorf("show: %+v %v", a, err)
	}
	if _, err := c.Artifact(ctx, keyB); !errors.Is(err, fault.CallerNotFound) {
		t.Errorf("show of a stranger: %v", err)
	}
	if _, err := c.Verify(ctx, "../../v1/status"); !errors.Is(err, fault.CallerInvalid) {
		t.Errorf("a key that is none: %v", err)
	}
	for _, f := range []func(context.Context, string) (api.Done, error){c.Verify, c.Pin, c.Unpin, c.Evict} {
		if d, err := f(grave(ctx), strings.ToUpper(keyA)); err != nil || d.Key != keyA {
			t.Errorf("%+v %v", d, err)
		}
	}
	want := []string{"verify " + keyA, "pin " + tenant() + " " + keyA, "unpin " + tenant() + " " + keyA, "evict " + keyA}
	if d := cmp.Diff(want, h.calls); d != "" {
		t.Error(d)
	}
	if p, err := c.Prune(ctx); err != nil || p != (api.Pruned{Removed: 2, RemovedBytes: 30, KeptBytes: 40, OverLimit: true}) {
		t.Errorf("prune: %+v %v", p, err)
	}
}

func TestReadinessFollowsTheHost(t *testing.T) {
	state := inspect.Host{Ready: true}
	c := connect(t, &fakeHost{inspect: func() inspect.Host { return state }}, control.Options{})
	if err := c.Ready(t.Context()); err != nil {
		t.Error(err)
	}
	state.Draining = true
	if err := c.Ready(t.Context()); !errors.Is(err, fault.BusyDraining) {
		t.Errorf("draining: %v", err)
	}
	if err := c.Live(t.Context()); err != nil {
		t.Errorf("a draining host is alive: %v", err)
	}
}

// grave gives the reason that dangerous changes need.
func grave(ctx context.Context) context.Context {
	return client.Under(ctx, client.Terms{Reason: "a test"})
}
