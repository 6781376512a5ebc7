//go:build linux

package main

import (
	"context"
	"fmt"
	"time"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/host"
	"github.com/troupehost/troupe/testdata/bench/report"
)

// runaway is a guest that never ends: from its CPU limit to the verdict, which comes when its process is dead, and to the first
// result of the same code in another worker; and what it does to the small calls of another code beside it.
func (r *rig) runaway() (rows []report.Row) {
	const limit, what = 100 * time.Millisecond, "runaway guest"
	fail := func(err error) []report.Row { return append(rows, report.Failed(what, err)) }
	cfg := host.Config{QuarantineAfter: host.NoLimit}
	h, err := r.start(cfg)
	if err != nil {
		return fail(err)
	}
	defer h.Close()
	endless, small := r.guest("hash-puzzle"), r.guest("small-call")
	q := smallCall(small)
	for _, code := range [][]byte{endless, small} {
		if err := r.prepared(h, code); err != nil {
			return fail(err)
		}
	}
	if err := r.small(h, q); err != nil {
		return fail(err)
	}
	forever := host.Request{Code: endless, Entry: invoke("run", "0", "64"), Limits: run.Limits{CPU: limit}}
	ends := func() (over time.Duration, err error) {
		begin := time.Now()
		got, err := h.Execute(r.ctx, forever)
		took := time.Since(begin)
		if err == nil && got.Fault != string(fault.GuestCPULimit) {
			err = fmt.Errorf("%s %s", got.Verdict, got.Fault)
		}
		return took - limit, err
	}
	var dead, replaced report.Samples
	for range r.times(20) {
		if err := r.settle(h); err != nil {
			return fail(err)
		}
		over, err := ends()
		if err != nil {
			return fail(err)
		}
		begin := time.Now()
		if _, err := r.execute(h, host.Request{Code: endless, Entry: invoke("run", "0", "0")}); err != nil {
			return fail(err)
		}
		dead, replaced = append(dead, over), append(replaced, over+time.Since(begin))
	}
	// The limit is one of CPU time: what the machine does beside it counts here, too, which the least of all does not show.
	for _, m := range []struct {
		what string
		took report.Samples
	}{{", from its limit to the verdict", dead}, {", from its limit to the first result of another worker", replaced}} {
		row := report.AtMost(what+m.what, 5000, m.took.At(0.5), report.Micros)
		row.Measured += ", least " + report.Micros(m.took.At(0))
		rows = append(rows, row)
	}

	// One caller, with and without a runaway guest on the other core, by turns.
	var alone, beside report.Samples
	for range r.times(6) {
		a, _, err := r.many(1, func(int) error { return r.small(h, q) })
		if err != nil {
			return fail(err)
		}
		ctx, stop := context.WithCancel(r.ctx)
		ended := make(chan error, 1)
		go func() {
			for ctx.Err() == nil {
				if _, err := ends(); err != nil {
					ended <- err
					return
				}
			}
			ended <- nil
		}()
		b, _, err := r.many(1, func(int) error { return r.small(h, q) })
		stop()
		if e := <-ended; err == nil {
			err = e
		}
		if err != nil {
			return fail(err)
		}
		alone, beside = append(alone, a...), append(beside, b...)
	}
	ratio := beside.At(0.99) / alone.At(0.99)
	return append(rows, report.AtMost("p99 of small calls beside runaway guests, of that without", 1.5, ratio, report.Times).
		Against("without", beside.At(0.99), alone.At(0.99), report.Micros))
}
