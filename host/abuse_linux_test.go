package host_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"time"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/host"
)

// TestAFullCacheStaysUseful fills the cache many times over with code that nobody pins.
func TestAFullCacheStaysUseful(t *testing.T) {
	const limit, codes = 1 << 20, 160
	cfg := host.Config{DataDir: t.TempDir(), CacheBytes: limit}
	h, err := host.Start(t.Context(), host.Config{DataDir: cfg.DataDir, CacheBytes: limit, BallastBytes: host.NoLimit})
	if err != nil {
		t.Fatal(err)
	}
	for n := range codes {
		if j, err := h.Precheck(t.Context(), host.CodeRequest{Code: variant(guest(t, "hash-puzzle"), uint64(n))}); err != nil || !j.Stored {
			t.Fatalf("code %d: stored %v, %v", n, j.Stored, err)
		}
	}
	var s inspect.Host
	settled := func() bool { // removals take a moment
		if s, err = h.Inspect(t.Context()); err != nil {
			t.Fatal(err)
		}
		var table int64
		for _, a := range s.Artifacts {
			table += a.Bytes
		}
		return s.Store.Bytes <= limit && s.Store.Bytes == table
	}
	if !eventually(t, settled) || len(s.Artifacts) >= codes || len(s.Health) > 1 {
		t.Errorf("the store has %d bytes, the table %d artifacts; health %+v", s.Store.Bytes, len(s.Artifacts), s.Health)
	}
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	h = start(t, cfg)
	if j, err := h.Precheck(t.Context(), host.CodeRequest{Code: variant(guest(t, "hash-puzzle"), uint64(codes-1))}); err != nil || j.Cache != "hit" {
		t.Errorf("the newest after a restart: %s, %v", j.Cache, err)
	}
}

// ended is a writer that knows whether the call it belongs to has returned.
type ended struct {
	returned, late atomic.Bool
}

func (e *ended) Write(p []byte) (int, error) {
	if e.returned.Load() {
		e.late.Store(true)
	}
	return len(p), nil
}

// TestCallersLeaveAtAnyTime cancels before, while and after a request is taken in: nothing goes on for nobody.
func TestCallersLeaveAtAnyTime(t *testing.T) {
	h := start(t, host.Config{})
	spin := host.Request{Code: guest(t, "loop"), Entry: invoke("run"), Limits: run.Limits{CPU: time.Hour}}
	if _, err := h.Precheck(t.Context(), host.CodeRequest{Code: spin.Code}); err != nil {
		t.Fatal(err)
	}
	for n := range 40 {
		ctx, cancel := context.WithCancel(t.Context())
		if n%4 == 0 {
			cancel()
		} else {
			time.AfterFunc(time.Duration(rand.IntN(300))*time.Microsecond, cancel)
		}
		begin := time.Now()
		_, err := h.Execute(ctx, spin)
		if cancel(); !errors.Is(err, fault.Canceled) || time.Since(begin) > 3*time.Second {
			t.Errorf("%v after %v", err, time.Since(begin))
		}
		if _, err := h.Precheck(ctx, host.CodeRequest{Code: variant(guest(t, "kernels"), uint64(n))}); !errors.Is(err, fault.Canceled) {
			t.Errorf("precheck: %v", err)
		}
	}
	s, err := h.Inspect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range s.Workers {
		if w.State == "busy" {
			t.Errorf("%+v runs for nobody", w)
		}
	}
	for _, q := range s.Queues {
		if q.Running > 0 {
			t.Errorf("%+v runs for nobody", q)
		}
	}
}

func TestNothingIsWrittenAfterExecuteReturned(t *testing.T) {
	for range 3 {
		h, err := host.Start(t.Context(), host.Config{DataDir: t.TempDir(), BallastBytes: host.NoLimit, StopTimeout: 200 * time.Millisecond})
		if err != nil {
			t.Fatal(err)
		}
		out := &ended{}
		done := make(chan struct{})
		go func() {
			defer close(done)
			_, err := h.Execute(context.Background(), host.Request{Code: guest(t, "bigout"), Stdout: out,
				Limits: run.Limits{CPU: time.Minute, OutputBytes: run.MaxOutputBytes}})
			out.returned.Store(true)
			if err == nil {
				t.Log("the run ended before the host did")
			}
		}()
		time.AfterFunc(100*time.Millisecond, func() { _ = h.Close() })
		<-done
		<-h.Done()
		if out.late.Load() {
			t.Error("output was written after Execute had returned")
		}
	}
}

func TestRequestsOutOfRange(t *testing.T) {
	h := start(t, host.Config{})
	code := guest(t, "hash-puzzle")
	for name, r := range map[string]host.CodeRequest{
		"no code":          {},
		"code and hash":    {Code: code, CodeHash: "00"},
		"unknown priority": {Code: code, Priority: 99},
		"unknown policy":   {Code: code, Imports: 99},
		"negative cpu":     {Code: code, CPU: -time.Second},
		"tiny cpu":         {Code: code, CPU: time.Nanosecond},
		"endless cpu":      {Code: code, CPU: math.MaxInt64},
		"more than given":  {Code: code, CPU: 1000 * time.Hour},
		"long tenant":      {Code: code, Tenant: string(make([]byte, host.MaxTenantBytes+1))},
		"odd hash":         {CodeHash: "zz"},
	} {
		if _, err := h.Precheck(t.Context(), r); !errors.Is(err, fault.CallerInvalid) {
			t.Errorf("precheck, %s: %v", name, err)
		}
		if err := h.HeadsUp(t.Context(), r); !errors.Is(err, fault.CallerInvalid) {
			t.Errorf("heads-up, %s: %v", name, err)
		}
	}
	unknown := host.CodeRequest{CodeHash: fmt.Sprintf("%064x", 1)}
	if err := h.HeadsUp(t.Context(), unknown); !errors.Is(err, fault.CallerNotFound) {
		t.Errorf("heads-up of unknown code: %v", err)
	}
	if _, err := h.Execute(t.Context(), host.Request{Code: code, CodeHash: "00"}); !errors.Is(err, fault.CallerInvalid) {
		t.Errorf("execute, code and hash: %v", err)
	}
	select {
	case <-h.Done():
		t.Error("the host ended")
	default:
	}
}

// TestAnnouncementsAreRefusedAloud announces more than the queue holds: what is accepted is prepared.
func TestAnnouncementsAreRefusedAloud(t *testing.T) {
	h := start(t, host.Config{PrepareQueue: 2, PrepareWorkers: 1, PrepareWorkersCritical: 1})
	accepted := 0
	for n := range 20 {
		switch err := h.HeadsUp(t.Context(), host.CodeRequest{Code: variant(guest(t, "kernels"), uint64(n))}); {
		case err == nil:
			accepted++
		case !errors.Is(err, fault.BusyQueueFull):
			t.Fatal(err)
		}
	}
	if accepted < 3 || accepted == 20 {
		t.Fatalf("%d of 20 were accepted", accepted)
	}
	prepared := func() (n int) {
		s, err := h.Inspect(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range s.Artifacts {
			if a.State == "prepared" {
				n++
			}
		}
		return n
	}
	if !eventually(t, func() bool { return prepared() == accepted }) {
		t.Errorf("%d of %d that were accepted are prepared", prepared(), accepted)
	}
}

// eventually waits for something that another process does.
func eventually(t testing.TB, ok func() bool) bool {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	end := time.After(20 * time.Second)
	for {
		if ok() {
			return true
		}
		select {
		case <-tick.C:
		case <-end:
			return false
		}
	}
}
