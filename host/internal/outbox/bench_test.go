package outbox

import (
	"context"
	"fmt"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/troupehost/troupe/actors/chain"
	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/actors/kernel"
	"github.com/troupehost/troupe/chainbridge/fake"
)

// outboxOn starts an actor with a real store and a fake chain that makes a block each 10 ms.
func outboxOn(t testing.TB, l chain.Limits) (kernel.Ref[chain.Message], *fake.Chain, *Store) {
	d := openDir(t, filepath.Join(t.TempDir(), "data"))
	store := newStore(t, d)
	c := fake.New(fake.Config{Name: "bench", BlockTime: 10 * time.Millisecond, Finality: 2, Now: time.Now})
	sys, err := kernel.New(kernel.Config{Log: zerolog.Nop()})
	must(t, err)
	ref, err := chain.Spawn(sys, chain.Config{Limits: l, Port: c, Store: store, Signers: []chain.Signer{fake.NewKey("worker")}})
	must(t, err)
	stop := make(chan struct{})
	var miner sync.WaitGroup
	miner.Go(func() {
		for at := time.Tick(10 * time.Millisecond); ; {
			select {
			case <-stop:
				return
			case <-at:
				c.Mine(1)
			}
		}
	})
	t.Cleanup(func() {
		close(stop)
		miner.Wait()
		must(t, sys.Stop(context.Background()))
		must(t, d.Close())
	})
	return ref, c, store
}

// run has n calls of about 2 KiB sent by 64 senders, each until it is final.
func run(t testing.TB, ref kernel.Ref[chain.Message], from, n int) {
	ctx, pad := context.Background(), strings.Repeat("p", 2<<10)
	var next atomic.Int64
	var all sync.WaitGroup
	for range 64 {
		all.Go(func() {
			for at := int(next.Add(1)); at <= n; at = int(next.Add(1)) {
				key := fmt.Sprint("call-", from+at)
				_, err := kernel.Ask(ctx, ref, func(r kernel.Reply[inspect.Outgoing]) chain.Message {
					return chain.Send{Key: key, Call: fake.Effect{Key: key, Pad: pad}.Call(), Class: chain.Report, Reply: r}
				})
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
	for {
		c, err := kernel.Ask(ctx, ref, func(r kernel.Reply[inspect.Chain]) chain.Message { return chain.Status{Reply: r} })
		if err != nil {
			t.Error(err)
			return
		}
		if len(c.Outbox) == 0 {
			return
		}
		<-time.After(5 * time.Millisecond)
	}
}

// BenchmarkOutbox counts calls that are accepted on disk, signed, submitted, seen in a final block and filed, per second.
func BenchmarkOutbox(b *testing.B) {
	ref, c, _ := outboxOn(b, chain.Limits{})
	b.ResetTimer()
	run(b, ref, 0, b.N)
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "calls/s")
	if n := len(c.Effects()); n != b.N {
		b.Errorf("%d of %d calls took effect", n, b.N)
	}
}

// TestTheHistoryTakesNoMemory has many calls go through, and looks at what stays behind in memory and on disk.
func TestTheHistoryTakesNoMemory(t *testing.T) {
	ref, _, store := outboxOn(t, chain.Limits{History: 200})
	const part = 600
	heap := func() int64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	run(t, ref, 0, part)
	before := heap()
	for n := range 3 {
		run(t, ref, (n+1)*part, part)
	}
	// The fake chain keeps all transactions, of some 3 KiB each as JSON and decoded.
	if grown := heap() - before; grown > 3*part*12<<10 {
		t.Errorf("%d calls left %d bytes behind", 3*part, grown)
	}
	ctx, count := context.Background(), 0
	for after := uint64(0); ; {
		page, next, err := store.History(ctx, after, false, 100)
		must(t, err)
		count += len(page)
		if next == 0 {
			break
		}
		after = next
	}
	if count > 200+128 {
		t.Errorf("%d are kept", count)
	}
}
