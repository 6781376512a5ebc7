package host_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"golang.org/x/sys/unix"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/host"
)

// ridden fails unless just n runs of an artifact went past the actors.
func ridden(t testing.TB, h *host.Host, artifact string, n uint64) {
	t.Helper()
	if got := h.Ridden(artifact); got != n {
		t.Fatalf("%d runs went past the actors, want %d", got, n)
	}
}

// TestRideIsAnOrdinaryRun runs requests of every kind twice more once they are known: past the actors, and, since they have a
// validity tag, through them. The receipts say the same.
func TestRideIsAnOrdinaryRun(t *testing.T) {
	h := start(t, host.Config{ExecuteWorkers: 20}) // two for each: nobody has to give way
	for name, r := range map[string]host.Request{
		"bytes":    {Code: guest(t, "echo"), Entry: run.Entry{Mode: run.Bytes, Name: "echo"}, Input: []byte("in")},
		"numbers":  {Code: guest(t, "hash-puzzle"), Entry: invoke("run", "0", "1"), CanonicalNaNs: true, Limits: run.Limits{MemoryBytes: 1 << 20}},
		"exit":     {Code: guest(t, "exit"), Determinism: run.RealWorld},
		"trap":     {Code: guest(t, "trap"), Entry: invoke("div0"), Tenant: "another", Priority: run.Critical},
		"captured": {Code: guest(t, "c-hello")},
		"missing":  {Code: guest(t, "unknown-import"), Imports: run.TrapMissing, Entry: invoke("run")},
	} {
		t.Run(name, func(t *testing.T) {
			first := execute(t, h, r)
			tagged := r
			tagged.Validity = "tag"
			want := execute(t, h, tagged)
			before := h.Ridden(first.Artifact)
			got := execute(t, h, r)
			ridden(t, h, first.Artifact, before+1)
			times := cmpopts.IgnoreFields(run.Receipt{}, "CPUMicros", "WallMicros")
			if d := cmp.Diff(want, got, times); d != "" {
				t.Errorf("(-ordinary +ride)\n%s", d)
			}
			if *got.WallMicros <= 0 || *got.CPUMicros < 0 {
				t.Errorf("%d µs, %d µs of CPU", *got.WallMicros, *got.CPUMicros)
			}
		})
	}
}

// TestRideWithStreams has a command read and write its caller's streams past the actors.
func TestRideWithStreams(t *testing.T) {
	h := start(t, host.Config{})
	code := guest(t, "echo-wasi")
	for n := range 3 {
		var out bytes.Buffer
		r := execute(t, h, host.Request{Code: code, Stdin: bytes.NewReader([]byte("typed")), Stdout: &out})
		if r.Verdict != "ok" || out.String() != "typed" || r.Stdout != nil {
			t.Fatalf("%d: %q %+v", n, out.String(), r)
		}
		ridden(t, h, r.Artifact, uint64(n))
	}
}

// waiting is a host on which a ride waits for its stdin.
type waiting struct {
	h        *host.Host
	artifact string
	cancel   context.CancelFunc
	typing   *io.PipeWriter
	ended    chan error
	receipt  run.Receipt
}

func wait(t *testing.T, h *host.Host) *waiting {
	t.Helper()
	code := guest(t, "echo-wasi")
	w := &waiting{h: h, ended: make(chan error, 1), artifact: execute(t, h, host.Request{Code: code}).Artifact}
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	w.cancel = cancel
	in, typing := io.Pipe()
	w.typing = typing
	go func() {
		var err error
		w.receipt, err = h.Execute(ctx, host.Request{Code: code, Stdin: in})
		w.ended <- err
	}()
	if _, err := typing.Write([]byte("half of it, ")); err != nil { // it runs, and reads
		t.Fatal(err)
	}
	return w
}

func TestRideOfACallerThatLeaves(t *testing.T) {
	h := start(t, host.Config{})
	w := wait(t, h)
	w.cancel()
	if err := <-w.ended; !errors.Is(err, fault.CanceledCaller) || w.receipt.CodeHash == "" || w.receipt.Verdict != "" {
		t.Errorf("%v, %+v", err, w.receipt)
	}
	ridden(t, h, w.artifact, 1)
	if r := execute(t, h, host.Request{Code: guest(t, "echo-wasi")}); r.Verdict != "ok" {
		t.Errorf("the next one: %+v", r)
	}
}

func TestRidesAreShownAndAwaited(t *testing.T) {
	h := start(t, host.Config{})
	w := wait(t, h)
	in, err := h.Inspect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, q := range in.Queues {
		if q.Name == "execute" && q.Running != 1 {
			t.Errorf("%d runs are under way", q.Running)
		}
	}
	if in.Requests != 1 {
		t.Errorf("%d requests are under way", in.Requests)
	}
	closed := make(chan error, 1)
	go func() { closed <- h.Close() }()
	waitFor(t, "the refusal of new requests", func() bool {
		_, err := h.Execute(t.Context(), host.Request{Code: guest(t, "echo-wasi")})
		return errors.Is(err, fault.BusyDraining)
	})
	if _, err := w.typing.Write([]byte("and the rest")); err != nil {
		t.Fatal(err)
	}
	_ = w.typing.Close()
	if err := <-w.ended; err != nil || string(w.receipt.Stdout) != "half of it, and the rest" {
		t.Errorf("%v: %+v", err, w.receipt)
	}
	if err := <-closed; err != nil {
		t.Error(err)
	}
	ridden(t, h, w.artifact, 1)
}

// TestRideWhoseWorkerDies kills the worker of a ride: it is repeated on another one, once, as any run is.
func TestRideWhoseWorkerDies(t *testing.T) {
	h := start(t, host.Config{})
	r := host.Request{Code: guest(t, "hash-puzzle"), Entry: invoke("run", "0", "0")}
	first := execute(t, h, r)
	r.Entry = invoke("run", "42", "5") // long enough to be met
	ended := make(chan run.Receipt, 1)
	rides := uint64(0)
	ride := func() {
		got, err := h.Execute(t.Context(), r)
		if err != nil {
			t.Error(err)
		}
		ended <- got
	}
	rides++
	go ride()
	waitFor(t, "the ride", func() bool {
		in, err := h.Inspect(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, w := range in.Workers {
			if w.State == "busy" && w.Artifact == first.Artifact {
				return unix.Kill(w.PID, unix.SIGKILL) == nil
			}
		}
		select {
		case <-ended: // it was too quick for who looks: once more
			rides++
			go ride()
		default:
		}
		return false
	})
	got := <-ended
	if got.Verdict != "ok" || *got.Attempts != 2 {
		t.Errorf("%s after %d attempts: %s", got.Verdict, *got.Attempts, got.Message)
	}
	ridden(t, h, first.Artifact, rides)
}

// TestEvictedCodeDoesNotRide evicts an artifact whose worker is lent.
func TestEvictedCodeDoesNotRide(t *testing.T) {
	h := start(t, host.Config{})
	r := host.Request{Code: guest(t, "hash-puzzle"), Entry: invoke("run", "0", "0")}
	first := execute(t, h, r)
	execute(t, h, r)
	ridden(t, h, first.Artifact, 1)
	if err := h.Evict(t.Context(), first.Artifact); err != nil {
		t.Fatal(err)
	}
	if got := execute(t, h, r); got.Cache != "miss" {
		t.Errorf("cache %s", got.Cache)
	}
	ridden(t, h, first.Artifact, 1)
}

// TestRidesAreUse has the cache hear that an artifact is needed.
func TestRidesAreUse(t *testing.T) {
	h := start(t, host.Config{})
	r := host.Request{Code: guest(t, "hash-puzzle"), Entry: invoke("run", "0", "0")}
	first := execute(t, h, r)
	begin := time.Now()
	execute(t, h, r)
	ridden(t, h, first.Artifact, 1)
	waitFor(t, "the report", func() bool {
		a, _, err := h.Artifact(t.Context(), first.Artifact)
		return err == nil && a.LastNeeded.After(begin)
	})
}
