package kernel

import (
	"context"
	"fmt"
	"runtime"
	"testing"

	"github.com/rs/zerolog"
)

func benchSystem(tb testing.TB) *System {
	tb.Helper()
	s, err := New(Config{Log: zerolog.Nop()})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := s.Stop(context.Background()); err != nil {
			tb.Error(err)
		}
	})
	return s
}

type ping struct {
	n  int
	to Reply[int]
}

func echoActor(tb testing.TB, s *System) Ref[ping] {
	tb.Helper()
	r, err := Spawn(s, Options[ping]{Name: "echo", New: func(*Ctx[ping]) Handler[ping] {
		return HandlerFunc[ping](func(_ *Ctx[ping], m ping) { m.to.Answer(m.n) })
	}})
	if err != nil {
		tb.Fatal(err)
	}
	return r
}

func BenchmarkAsk(b *testing.B) {
	r := echoActor(b, benchSystem(b))
	ctx := context.Background()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Ask(ctx, r, func(to Reply[int]) ping { return ping{1, to} }); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkRequest is a round trip between two actors.
func BenchmarkRequest(b *testing.B) {
	s := benchSystem(b)
	to := echoActor(b, s)
	done := make(chan struct{})
	from, err := Spawn(s, Options[int]{Name: "from", New: func(*Ctx[int]) Handler[int] {
		return HandlerFunc[int](func(c *Ctx[int], left int) {
			if left == 0 {
				close(done)
				return
			}
			Request(c, to, func(r Reply[int]) ping { return ping{left - 1, r} }, func(n int, _ error) int { return n })
		})
	}})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	b.ResetTimer()
	if err := from.Send(b.N); err != nil {
		b.Fatal(err)
	}
	<-done
}

// BenchmarkSend is one way, one producer, in batches that fit the mailbox.
func BenchmarkSend(b *testing.B) {
	s := benchSystem(b)
	const batch = 256
	done := make(chan struct{}, 1)
	r, err := Spawn(s, Options[int]{Name: "sink", Mailbox: batch, New: func(*Ctx[int]) Handler[int] {
		return HandlerFunc[int](func(_ *Ctx[int], m int) {
			if m == 0 {
				done <- struct{}{}
			}
		})
	}})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for i := 0; i < b.N; i += batch {
		for m := batch - 1; m >= 0; m-- {
			if err := r.Send(m); err != nil {
				b.Fatal(err)
			}
		}
		<-done
	}
}

func BenchmarkSpawnStop(b *testing.B) {
	s := benchSystem(b)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		r, err := Spawn(s, Options[int]{Name: fmt.Sprint(i), New: func(*Ctx[int]) Handler[int] { return HandlerFunc[int](func(*Ctx[int], int) {}) }})
		if err != nil {
			b.Fatal(err)
		}
		r.Stop()
		<-r.cell.done
	}
}

func TestSendAllocatesNothing(t *testing.T) {
	s := benchSystem(t)
	done := make(chan struct{}, 1)
	type payload struct{ a, b, c uint64 }
	r, err := Spawn(s, Options[payload]{Name: "sink", New: func(*Ctx[payload]) Handler[payload] {
		return HandlerFunc[payload](func(*Ctx[payload], payload) { done <- struct{}{} })
	}})
	if err != nil {
		t.Fatal(err)
	}
	n := testing.AllocsPerRun(1000, func() {
		if err := r.Send(payload{1, 2, 3}); err != nil {
			t.Fatal(err)
		}
		<-done
	})
	if n >= 1 {
		t.Errorf("a message costs %v allocations, want none", n)
	}
}

func TestIdleActorsAreCheap(t *testing.T) {
	s := benchSystem(t)
	const actors = 10_000
	before, goroutines := heap(), runtime.NumGoroutine()
	for i := range actors {
		r, err := Spawn(s, Options[int]{Name: fmt.Sprint(i), New: func(*Ctx[int]) Handler[int] { return HandlerFunc[int](func(*Ctx[int], int) {}) }})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.Path(), r.Send(1); err != nil {
			t.Fatal(err)
		}
	}
	for _, a := range s.Inspect() {
		for a.Handled == 0 {
			runtime.Gosched()
			a = find(t, s, a.Path)
		}
	}
	per := (heap() - before) / actors
	t.Logf("%d bytes of heap per idle actor", per)
	if per > 10_000 {
		t.Errorf("an idle actor takes %d bytes, want at most 10000", per)
	}
	if n := runtime.NumGoroutine() - goroutines; n > maxIdle+8 {
		t.Errorf("%d goroutines for idle actors", n)
	}
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
