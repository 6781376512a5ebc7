//go:build linux

package main

import (
	"fmt"

	"github.com/troupehost/troupe/host"
	"github.com/troupehost/troupe/testdata/bench/report"
)

// warm is the small call of a known code in a worker that holds it, and how many of them there are in a second.
func (r *rig) warm() (rows []report.Row) {
	const what = "warm small call"
	h, err := r.start(host.Config{ExecuteQueue: 1 << 16})
	if err != nil {
		return []report.Row{report.Failed(what, err)}
	}
	defer h.Close()
	code := r.guest("small-call")
	q := smallCall(code)
	if err := r.prepared(h, code); err != nil {
		return []report.Row{report.Failed(what, err)}
	}
	call := func(int) error { return r.small(h, q) }
	if _, _, err := r.many(1, call); err != nil { // it finds its pace
		return []report.Row{report.Failed(what, err)}
	}
	one, _, err := r.many(1, call)
	if err != nil {
		return []report.Row{report.Failed(what, err)}
	}
	rows = append(rows, report.AtMost(what+", p50", 20, one.At(0.5), report.Micros), report.AtMost(what+", p99", 150, one.At(0.99), report.Micros))
	for _, way := range []struct {
		what    string
		goal    float64
		callers []int
	}{{"one by one", 50_000, []int{1, 2, 3, 4}}, {"in batches", 500_000, []int{32, 64, 256, 1024}}} {
		best, by := 0.0, 0
		for _, n := range way.callers {
			_, rate, err := r.many(n, call)
			if err != nil {
				rows = append(rows, report.Failed(what+", "+way.what, err))
				break
			}
			if rate > best {
				best, by = rate, n
			}
		}
		rows = append(rows, report.AtLeast(fmt.Sprintf("%s, %s, %d callers", what, way.what, by), way.goal, best, report.Rate))
	}
	return rows
}
