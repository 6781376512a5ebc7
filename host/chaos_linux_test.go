//go:build chaos

package host_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/run"
)

// puzzles are runs of the hash puzzle, from a fraction of a millisecond to a tenth of a second.
var puzzles = []struct {
	args []string
	want string
}{{[]string{"0", "1"}, "3"}, {[]string{"0", "2"}, "563"}, {[]string{"1", "3"}, "2823"}, {[]string{"42", "4"}, "22976"}, {[]string{"0", "4"}, "69732"}}

// chaosClient makes random calls and remembers what was acknowledged.
type chaosClient struct {
	*chronicle
	rng      *rand.Rand
	codes    uint64 // how many there are
	withJobs bool
	keys     int
	last     call // the submission before
	lastWant string

	acked sync.Map // id of a job -> whether it was seen settled
}

// draw returns a call, the name of its code and the right answer.
func (c *chaosClient) draw() (q call, code, want string) {
	p := puzzles[c.rng.IntN(len(puzzles))]
	q = call{Guest: "hash-puzzle", Args: p.args}
	if c.codes > 8 && c.rng.IntN(2) == 0 {
		q.Number = c.codes - uint64(c.rng.IntN(8)) // known, or on the way
	} else {
		c.codes++
		q.Number = c.codes
	}
	switch n := c.rng.IntN(10); {
	case n < 3, n > 5 && !c.withJobs:
		q.Op = "execute"
	case n < 5:
		q.Op = "precheck"
	case n < 6:
		q.Op = "announce"
	case n < 7:
		if ids := c.unsettled(); len(ids) > 0 {
			return call{Op: []string{"watch", "job"}[c.rng.IntN(2)], Job: ids[c.rng.IntN(len(ids))]}, "", ""
		}
		q.Op = "precheck"
	default:
		if q.Op = "submit"; c.keys > 0 && c.rng.IntN(4) == 0 {
			return c.last, "", c.lastWant // the same once more is the same job
		}
		c.keys++
		q.Key = fmt.Sprint("key-", c.keys)
		c.last, c.lastWant = q, p.want
	}
	return q, fmt.Sprint(q.Number), p.want
}

func (c *chaosClient) unsettled() (ids []string) {
	c.acked.Range(func(id, settled any) bool {
		if !settled.(bool) {
			ids = append(ids, id.(string))
		}
		return true
	})
	slices.Sort(ids)
	return ids
}

// make makes a call.
func (c *chaosClient) make(h *child, q call, code, want string) {
	for _, j := range c.note(h, q, code, want).Jobs {
		if done, seen := c.acked.Load(j.ID); !seen || !done.(bool) {
			c.acked.Store(j.ID, j.State == run.JobSettled)
		}
	}
}

// probe finds out whether this build has jobs.
func (c *chaosClient) probe(t *testing.T, h *child) {
	a, ok := h.ask(call{Op: "jobs"})
	if !ok {
		t.Fatal("the host died of itself")
	}
	if c.withJobs = a.Err == ""; !c.withJobs && a.Err != string(fault.BugProtocol) {
		t.Fatal(a.Text)
	}
	t.Logf("jobs: %v", c.withJobs)
}

// TestBar08ChaosKills kills hosts, workers and preparations with kill -9 at random moments while clients call them: every
// call is answered as long as the host lives, nothing acknowledged is lost, done twice or changed, no process outlives its
// host, and no file is left over after a start.
func TestBar08ChaosKills(t *testing.T) {
	rng := chaosRand(t)
	dir, temp := t.TempDir(), t.TempDir()
	c := &chaosClient{chronicle: &chronicle{wants: map[string]string{}}, rng: rng}
	h := newChild(t, dir, temp)
	if !h.up() {
		t.Fatalf("no start: %s", h.stderr.String())
	}
	c.probe(t, h)
	kills := map[string]int{}
	var slowest time.Duration
	began := time.Now()
	for n, total := 0, chaosKills(t, 1000); n < total && !t.Failed(); {
		var calls sync.WaitGroup
		for range 3 + rng.IntN(6) {
			q, code, want := c.draw()
			calls.Go(func() { c.make(h, q, code, want) })
		}
		what := []string{"host", "execute", "prepare"}[rng.IntN(3)]
		<-time.After(time.Duration(rng.IntN(40_000)) * time.Microsecond)
		from := c.clock.Add(1)
		if what == "host" {
			if rng.IntN(8) == 0 { // in the middle of an orderly stop
				calls.Go(func() { _, _ = h.ask(call{Op: "close"}) })
				<-time.After(time.Duration(rng.IntN(60_000)) * time.Microsecond)
			}
			h.kill()
			n++
			kills[what]++
			calls.Wait()
			c.died = append(c.died, [2]int64{from, c.clock.Add(1)})
			if h = newChild(t, dir, temp); rng.IntN(6) == 0 { // in the middle of a start
				<-time.After(time.Duration(rng.IntN(100)) * time.Millisecond)
				h.kill()
				n++
				kills["start"]++
				h = newChild(t, dir, temp)
			}
			if !h.up() {
				t.Fatalf("no start after kill %d: %s", n, h.stderr.String())
			}
			slowest = max(slowest, h.took)
			tidy(t, dir, temp)
			if c.withJobs {
				c.make(h, call{Op: "jobs"}, "", "")
			}
			continue
		}
		if id := h.killWorker(what, 300*time.Millisecond); id != "" {
			n++
			kills[what]++
			h.forgets(id)
		}
		calls.Wait()
		<-time.After(5 * time.Millisecond) // the cool-down of what was killed
		c.torn = append(c.torn, [2]int64{from, c.clock.Add(1)})
	}
	t.Logf("kills: %v in %v, slowest start %v", kills, time.Since(began).Round(time.Second), slowest)
	c.settle(t, h)
	h.stop()
	tidy(t, dir, temp)
	c.judge(t)

	// What killed writes left on disk is gone: the store counts what the table has, and the files are not much more.
	h = newChild(t, dir, temp)
	if !h.up() {
		t.Fatal(h.stderr.String())
	}
	var a answer
	if !eventually(t, func() bool { // the index is read after the start
		a, _ = h.ask(call{Op: "disk"})
		return a.Store.Bytes == a.Table && a.Table > 0
	}) || a.Store.DiskBytes > 3*a.Table+(24<<20) {
		t.Errorf("the table has %d bytes, the store %d, the disk %d", a.Table, a.Store.Bytes, a.Store.DiskBytes)
	}
	h.stop()
}

// settle waits for the end of all jobs, and looks at each of them twice.
func (c *chaosClient) settle(t *testing.T, h *child) {
	if !c.withJobs {
		return
	}
	var ids []string
	c.acked.Range(func(id, _ any) bool { ids = append(ids, id.(string)); return true })
	slices.Sort(ids)
	for range 2 {
		for part := range slices.Chunk(ids, 32) {
			var calls sync.WaitGroup
			for _, id := range part {
				calls.Go(func() { c.make(h, call{Op: "watch", Job: id}, "", "") })
			}
			calls.Wait()
		}
	}
	if left := c.unsettled(); len(left) > 0 {
		t.Errorf("jobs that never settle: %s", strings.Join(left, " "))
	}
}
