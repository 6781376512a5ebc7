//go:build chaos

package host_test

import (
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/troupehost/troupe/actors/fault"
)

// chaosPoints are the points of artifacts/db/failpoint, and how often a short life of a host passes each, at least. A journal
// of jobs passes the state's commits more often than pins alone.
var chaosPoints = []struct {
	at   string
	hits int
}{
	{"commit.before cache", 12}, {"commit.after cache", 12}, {"commit.before state", 3}, {"commit.after state", 3},
	{"sync.before cache", 12}, {"sync.before state", 3},
	{"put.parts store", 4}, {"delete.records store", 2}, {"index.read store", 1},
	{"close.before cache", 1}, {"close.after cache", 1}, {"close.before state", 1}, {"close.after state", 1},
	{"file.before VERSION", 1}, {"file.after VERSION", 1}, {"file.before host.key", 1}, {"file.after host.key", 1},
	{"file.before CLOSED", 2}, {"file.after CLOSED", 2}, {"drop.before cache", 1}, {"drop.after cache", 1},
}

// TestChaosFailpoints kills a host at each named point, at each time that a short life passes it, and starts it again on
// what that left.
func TestChaosFailpoints(t *testing.T) {
	n := 0
	h := newChild(t, t.TempDir(), t.TempDir())
	if !h.up() {
		t.Fatal(h.stderr.String())
	}
	jobs, _ := h.ask(call{Op: "jobs"})
	h.stop()
	for _, p := range chaosPoints {
		if strings.HasPrefix(p.at, "commit") && strings.HasSuffix(p.at, "state") && jobs.Err == "" {
			p.hits = 12
		}
		for hit := 1; hit <= p.hits; hit++ {
			n++
			t.Run(fmt.Sprint(p.at, " ", hit), func(t *testing.T) { failAt(t, fmt.Sprint(p.at, " ", hit)) })
		}
	}
	t.Logf("%d kills at %d points", n, len(chaosPoints))
}

func failAt(t *testing.T, point string) {
	dir, temp := t.TempDir(), t.TempDir()
	c := &chaosClient{chronicle: &chronicle{wants: map[string]string{}}}
	pinned := map[string]bool{}
	if point[:4] == "drop" { // dropped is what was written in vain
		h := newChild(t, dir, temp, "TROUPE_FAILPOINT=put.parts store 1")
		h.up()
		h.live(c, pinned)
		<-h.dead
	}
	from := c.clock.Add(1)
	h := newChild(t, dir, temp, "TROUPE_FAILPOINT="+point)
	if h.up() {
		h.live(c, pinned)
	}
	<-h.dead
	if w := h.cmd.ProcessState.Sys().(syscall.WaitStatus); !w.Signaled() || w.Signal() != syscall.SIGKILL {
		t.Fatalf("the point was not passed: %v %s", h.cmd.ProcessState, h.stderr.String())
	}
	h.buried()
	c.died = append(c.died, [2]int64{0, from}, [2]int64{from, c.clock.Add(1)})

	h = newChild(t, dir, temp)
	if !h.up() {
		t.Fatalf("no start: %s", h.stderr.String())
	}
	tidy(t, dir, temp)
	var a answer
	if !eventually(t, func() bool {
		a, _ = h.ask(call{Op: "disk"})
		return a.Store.Bytes == a.Table
	}) {
		t.Errorf("the table has %d bytes, the store %d", a.Table, a.Store.Bytes)
	}
	for key := range pinned {
		if !slices.Contains(a.Pins, key) {
			t.Errorf("the pin of %s is lost", key)
		}
	}
	c.settle(t, h)
	for n := range uint64(6) { // what is left serves
		c.make(h, call{Op: "execute", Guest: "hash-puzzle", Number: n, Args: puzzles[0].args}, fmt.Sprint(n), puzzles[0].want)
	}
	h.stop()
	tidy(t, dir, temp)
	c.judge(t)
}

// live has a host do a bit of everything, one thing after the other, and stop.
func (h *child) live(c *chaosClient, pinned map[string]bool) {
	if a, ok := h.ask(call{Op: "jobs"}); ok {
		c.withJobs = a.Err != string(fault.BugProtocol)
	}
	for n := range uint64(4) {
		q := call{Op: "precheck", Guest: "hash-puzzle", Number: n, Args: puzzles[0].args}
		c.make(h, q, fmt.Sprint(n), puzzles[0].want)
		if a, ok := h.ask(call{Op: "precheck", Guest: "hash-puzzle", Number: 100 + n}); ok {
			switch n {
			case 0, 1, 2:
				if p, ok := h.ask(call{Op: "pin", Job: a.Key}); ok && p.Err == "" {
					pinned[a.Key] = true
				}
			}
		}
		if a, ok := h.ask(call{Op: "precheck", Guest: "hash-puzzle", Number: 200 + n}); ok {
			h.ask(call{Op: "evict", Job: a.Key})
		}
		if c.withJobs {
			q.Op, q.Key = "submit", fmt.Sprint("key-", n)
			c.make(h, q, "", puzzles[0].want)
		}
	}
	h.ask(call{Op: "prune"})
	h.ask(call{Op: "close"})
}
