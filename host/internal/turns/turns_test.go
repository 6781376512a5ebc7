package turns

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/troupehost/troupe/actors/fault"
)

func TestNextWaitsForItsTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := New(1, nil)
		a, b := table.Join("a", 0, false), table.Join("b", 0, false)
		if err := a.Next(t.Context(), 10); err != nil {
			t.Fatal(err)
		}
		got := make(chan error, 1)
		go func() { got <- b.Next(t.Context(), 10) }()
		synctest.Wait()
		select {
		case err := <-got:
			t.Fatalf("two turns on one core: %v", err)
		default:
		}
		a.Pause()
		if err := <-got; err != nil {
			t.Fatal(err)
		}
		go func() { got <- a.Resume(t.Context()) }()
		synctest.Wait()
		b.Leave()
		if err := <-got; err != nil {
			t.Fatal(err)
		}
		a.Leave()
		a.Leave()
	})
}

func TestWaitEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := New(1, nil)
		a, b, c := table.Join("a", 0, false), table.Join("b", 0, false), table.Join("c", 0, false)
		if err := a.Next(t.Context(), 10); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		got, left := make(chan error, 1), make(chan error, 1)
		go func() { got <- b.Next(ctx, 10) }()
		go func() { left <- c.Next(t.Context(), 10) }()
		synctest.Wait()
		cancel()
		if err := <-got; !errors.Is(err, fault.CanceledCaller) {
			t.Errorf("canceled: %v", err)
		}
		c.Leave()
		if err := <-left; !errors.Is(err, fault.CanceledStopped) {
			t.Errorf("left: %v", err)
		}
		if err := c.Next(t.Context(), 10); !errors.Is(err, fault.CanceledStopped) {
			t.Errorf("after it left: %v", err)
		}
		a.Leave()
		// Neither holds a place: the next one comes at once.
		began := time.Now()
		d := table.Join("d", 0, false)
		if err := d.Next(t.Context(), 10); err != nil || time.Since(began) > 0 {
			t.Errorf("the next one waited %v: %v", time.Since(began), err)
		}
		d.Pause()
		if err := b.Resume(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// A turn that its worker never gives back does not stop the others.
func TestHungTurnIsTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := New(1, nil)
		hung, other := table.Join("hung", 0, false), table.Join("other", 0, false)
		if err := hung.Next(t.Context(), 10); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		if err := other.Next(t.Context(), 10); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took < MaxHold || took > 2*MaxHold {
			t.Errorf("it took %v", took)
		}
	})
}

// Guests on two cores of virtual time, through the shell.
func TestWeightsThroughTheTable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := New(2, nil)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		var mu sync.Mutex
		used := map[string]int64{}
		var all sync.WaitGroup
		for _, app := range []string{"one", "two", "one", "two", "two"} {
			all.Go(func() {
				u := table.Join(app, map[string]uint32{"one": 100, "two": 200}[app], false)
				defer u.Leave()
				for gas := int64(0); u.Next(ctx, gas) == nil; gas += 10 * perMS {
					<-time.After(10 * time.Millisecond) // it computes
					mu.Lock()
					used[app] += 10 * perMS
					mu.Unlock()
				}
			})
		}
		all.Wait()
		if ratio := float64(used["two"]) / float64(used["one"]); ratio < 1.8 || ratio > 2.2 {
			t.Errorf("ratio %.3f of %v", ratio, used)
		}
		if table.core.ordinary.awake != 0 || len(table.core.held) != 0 {
			t.Error("something is left")
		}
	})
}

// Everybody at once; for the race detector and for what is lost.
func TestStress(t *testing.T) {
	table := New(2, nil)
	var all sync.WaitGroup
	for i := range 16 {
		all.Go(func() {
			for n := range 200 {
				u := table.Join(string(rune('a'+i%5)), uint32(i), i%5 == 4)
				ctx, cancel := context.WithCancel(t.Context())
				if n%7 == 0 {
					all.Go(cancel)
				}
				if n%11 == 0 {
					all.Go(u.Leave)
				}
				for gas := range int64(4) {
					_ = u.Next(ctx, gas*1000)
					u.Pause()
					u.Spent(gas * 1001)
					_ = u.Resume(ctx)
				}
				u.Leave()
				cancel()
			}
		})
	}
	all.Wait()
	if c := table.core; c.ordinary.awake != 0 || c.idle.awake != 0 || len(c.held) != 0 || len(c.ordinary.heap)+len(c.idle.heap) != 0 {
		t.Error("something is left")
	}
}

func BenchmarkNext(b *testing.B) {
	b.ReportAllocs()
	table := New(2, nil)
	u := table.Join("a", 100, false)
	ctx := b.Context()
	gas := int64(0)
	for b.Loop() {
		gas += 10 * perMS
		if err := u.Next(ctx, gas); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkNextAmongMany(b *testing.B) {
	table := New(1, nil)
	core := table.core
	now := time.Now()
	gas := map[*entry]int64{}
	for i := range 1000 {
		e := core.join(string(rune(i)), uint32(1+i), false)
		core.next(e, 1, now)
	}
	b.ReportAllocs()
	for b.Loop() {
		e := core.held[0]
		gas[e] += 10 * perMS
		core.next(e, gas[e], now)
		core.granted = core.granted[:0]
	}
}

func BenchmarkPauseResume(b *testing.B) {
	b.ReportAllocs()
	u := New(2, nil).Join("a", 100, false)
	ctx := b.Context()
	for b.Loop() {
		u.Pause()
		if err := u.Resume(ctx); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkJoinLeave(b *testing.B) {
	b.ReportAllocs()
	t := New(2, nil)
	for b.Loop() {
		t.Join("a", 100, false).Leave()
	}
}
