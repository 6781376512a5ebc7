package kernel

import (
	"context"
	"fmt"
	"runtime/metrics"
	"testing"
	"testing/synctest"
	"time"

	"github.com/troupehost/troupe/actors/inspect"
)

// manyActors starts actors that have each handled a message.
func manyActors(tb testing.TB, s *System, n int) {
	tb.Helper()
	done := make(chan struct{}, 1)
	for i := range n {
		r, err := Spawn(s, Options[int]{Name: fmt.Sprintf("a-%d", i), New: handler(func(*Ctx[int], int) { done <- struct{}{} })})
		if err != nil {
			tb.Fatal(err)
		}
		_ = r.Send(1)
		<-done
	}
}

// scheduled counts how often a goroutine was given a processor, in this whole process.
func scheduled() (n uint64) {
	m := []metrics.Sample{{Name: "/sched/latencies:seconds"}}
	metrics.Read(m)
	for _, c := range m[0].Value.Float64Histogram().Counts {
		n += c
	}
	return n
}

// TestUnwatchedTicksNever lets a day pass over actors that have nothing to do: nothing of the kernel wakes up. A tick each second
// would be seen as 86,400 wake-ups.
func TestUnwatchedTicksNever(t *testing.T) {
	inBubble(t, func(t *testing.T, s *System) {
		manyActors(t, s, 100)
		synctest.Wait()
		before := scheduled()
		pass(24 * time.Hour)
		if n := scheduled() - before; n > 1000 {
			t.Errorf("%d wake-ups in a day without work", n)
		}
	})
}

// TestWhatIsBookedAllocatesNothing sends so many messages that a recorder has grown to its end: neither recording, timing nor the
// look for traces costs an allocation then, and a trace that runs costs the actor none either.
func TestWhatIsBookedAllocatesNothing(t *testing.T) {
	s := benchSystem(t)
	done := make(chan struct{}, 1)
	r, err := Spawn(s, Options[count]{Name: "sink", New: handler(func(*Ctx[count], count) { done <- struct{}{} })})
	if err != nil {
		t.Fatal(err)
	}
	send := func() {
		if err := r.Send(count{1}); err != nil {
			t.Fatal(err)
		}
		<-done
	}
	for range 2 * flights {
		send()
	}
	if n := testing.AllocsPerRun(2000, send); n != 0 {
		t.Errorf("unwatched, a message costs %v allocations", n)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() {
		ended <- s.Trace(ctx, inspect.TraceFilter{Actor: "troupe/elsewhere"}, func(inspect.Trace) error { return nil })
	}()
	for s.tracers.Load() == nil {
		send()
	}
	if n := testing.AllocsPerRun(2000, send); n != 0 {
		t.Errorf("while others are traced, a message costs %v allocations", n)
	}
	cancel()
	<-ended
}

// TestInspectUsesItsBufferAgain holds that who looks each second makes no garbage.
func TestInspectUsesItsBufferAgain(t *testing.T) {
	s := benchSystem(t)
	manyActors(t, s, 100)
	var buf []inspect.Actor
	look := func() { buf = s.AppendInspect(buf[:0]) }
	look()
	if n := testing.AllocsPerRun(100, look); n > 1 {
		t.Errorf("%v allocations for 100 actors", n)
	}
	if len(buf) != 100 || buf[0].Path != "troupe/a-0" || buf[99].Path != "troupe/a-99" {
		t.Errorf("%d actors from %s", len(buf), buf[0].Path)
	}
	if buf[0].Handler.Count != 1 {
		t.Errorf("%+v", buf[0].Handler)
	}
}

// BenchmarkWatch is one look at 10,000 actors.
func BenchmarkWatch(b *testing.B) {
	s := benchSystem(b)
	manyActors(b, s, 10_000)
	var buf []inspect.Actor
	buf = s.AppendInspect(buf)
	b.ReportAllocs()
	for b.Loop() {
		buf = s.AppendInspect(buf[:0])
	}
}

// BenchmarkSendTraced is BenchmarkSend for an actor that is traced by somebody who takes what there is.
func BenchmarkSendTraced(b *testing.B) {
	s := benchSystem(b)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() {
		ended <- s.Trace(ctx, inspect.TraceFilter{Rows: maxRows, ForMicros: time.Hour.Microseconds()}, func(inspect.Trace) error { return nil })
	}()
	done := make(chan struct{}, 1)
	r, err := Spawn(s, Options[int]{Name: "sink", New: handler(func(*Ctx[int], int) { done <- struct{}{} })})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		_ = r.Send(1)
		<-done
	}
	cancel()
	<-ended
}
