//go:build timed

package devchain

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"
)

// The lines are those of a machine at rest with a disk; what was measured and the load are printed beside.

// timedLine is one figure against its limit.
type timedLine struct {
	what            string
	limit, measured float64
	least           bool // the limit is one from below
	means           string
}

// tries are for a disk that others write to.
const tries = 4

// hold measures up to so many times, prints, and fails if a line was missed each time.
func hold(t *testing.T, measure func() []timedLine) {
	t.Helper()
	for try := range tries {
		var wrong []string
		for _, l := range measure() {
			load, _ := os.ReadFile("/proc/loadavg")
			t.Logf("%s: limit %.2f, measured %.2f (%s), load %s", l.what, l.limit, l.measured, l.means, strings.Fields(string(load) + " ?")[0])
			if l.measured > l.limit != l.least {
				wrong = append(wrong, l.what)
			}
		}
		if len(wrong) == 0 {
			return
		}
		if try == tries-1 {
			t.Errorf("over the line %d times: %s", tries, strings.Join(wrong, "; "))
		}
	}
}

func (s speed) String() string {
	return fmt.Sprintf("%.0f transactions in a block, %v for one, the longest %v", s.perBlock, s.block.Round(time.Microsecond), s.longest.Round(time.Millisecond))
}

// TestTimedUnsignedKV: transactions of a key and a value, not signed, that are in durable blocks. The limits are what a single validator
// of CometBFT 0.38 did on such a machine.
func TestTimedUnsignedKV(t *testing.T) {
	const num = 60_000
	c := openChain(t, kvConfig(t.TempDir()))
	round := 0
	hold(t, func() []timedLine {
		round++
		s := submitAll(t, c, num, func(n uint64) []byte {
			return kvTx{op: opSet, key: fmt.Sprintf("key%d/%08d", round, n), value: fmt.Appendf(nil, "value%08d", n)}.bytes()
		})
		return []timedLine{
			{what: "unsigned transactions in a second, durable", limit: 17_000, measured: s.rate, least: true, means: s.String()},
			{what: "a block of them, ms", limit: 18, measured: s.block.Seconds() * 1e3, means: "the mean"},
		}
	})
}

// TestTimedSignedTransfers: transfers of a thousand accounts, each signed with sr25519 and verified once, that are in durable blocks.
func TestTimedSignedTransfers(t *testing.T) {
	const num = 24_000
	c, keys := richChain(t, t.TempDir())
	defer c.Close()
	round := uint64(0)
	hold(t, func() []timedLine {
		txs := signedTransfers(t, c, keys, round*num/uint64(len(keys)), num)
		round++
		s := submitAll(t, c, num, func(n uint64) []byte { return txs[n-1] })
		return []timedLine{{what: "signed transfers in a second, durable", limit: 8000, measured: s.rate, least: true, means: s.String()}}
	})
}

// TestTimedOpen: a chain of 10,000 blocks with transfers is open.
func TestTimedOpen(t *testing.T) {
	const blocks = 10_000
	dir, err := os.MkdirTemp("/dev/shm", "troupe-chain-") //nolint:usetesting // a disk would take a minute to fill: each block is synced
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	c, keys := richChain(t, dir)
	txs := signedTransfers(t, c, keys, 0, blocks)
	for _, tx := range txs {
		next := c.tip.Load().next
		if err := c.Submit(t.Context(), tx); err != nil {
			t.Fatal(err)
		}
		<-next
	}
	height, hash := c.tip.Load().Height, c.tip.Load().hash
	if height != blocks {
		t.Fatalf("there are %d blocks", height)
	}
	hold(t, func() []timedLine {
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		begin := time.Now()
		if c, err = Open(t.Context(), Config{Dir: dir, Log: zerolog.Nop()}); err != nil {
			t.Fatal(err)
		}
		took := time.Since(begin)
		if got := c.tip.Load(); got.Height != height || got.hash != hash {
			t.Errorf("it is at %d, %v", got.Height, got.hash)
		}
		return []timedLine{{what: "a chain is open, s", limit: 2, measured: took.Seconds(), means: fmt.Sprintf("%d blocks", height)}}
	})
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
}
