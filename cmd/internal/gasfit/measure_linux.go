package main

import (
	"context"
	"fmt"
	"io"
	"math"
	"runtime"
	"runtime/debug"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
)

// long is how long one run of a benchmark takes: short, so that some runs meet nobody else on the processor, and long
// enough for the clock.
const long = 80 * time.Microsecond

type running struct {
	*bench
	code       wazero.CompiledModule
	instance   api.Module
	turns      int
	short, all time.Duration // the least time of one turn, and of all turns
}

// measure runs every benchmark rounds times, one after the other in each round, and keeps the least time of each.
func measure(ctx context.Context, log io.Writer, rounds int, only func(string) bool) ([]row, error) {
	runtime.LockOSThread()
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	e, err := newEngine(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { _ = e.rt.Close(ctx) }()
	var all []*running
	for _, b := range micros() {
		if !only(b.name) {
			continue
		}
		r := &running{bench: b, turns: 1, short: math.MaxInt64, all: math.MaxInt64}
		if r.code, err = e.compile(b.name, b.finish()); err != nil {
			return nil, err
		}
		if err := e.prepare(r); err != nil {
			return nil, fmt.Errorf("%s: %w", b.name, err)
		}
		all = append(all, r)
	}
	whole, err := e.programs(only)
	if err != nil {
		return nil, err
	}
	runtime.GC()
	for round := range rounds {
		for _, r := range all {
			if err := e.round(r); err != nil {
				return nil, fmt.Errorf("%s: %w", r.name, err)
			}
		}
		for _, p := range whole {
			if err := e.runProgram(p); err != nil {
				return nil, fmt.Errorf("%s: %w", p.name, err)
			}
		}
		if round%10 == 0 {
			fmt.Fprintf(log, "round %d of %d\n", round, rounds)
			runtime.GC()
		}
	}
	var rows []row
	for _, r := range all {
		r.ns = float64(r.all-r.short) / float64(r.turns-1)
		if r.ns <= 0 {
			r.ns = float64(r.all) / float64(r.turns)
		}
		rows = append(rows, r.row)
	}
	for _, p := range whole {
		rows = append(rows, p.row)
	}
	return rows, nil
}

// prepare makes an instance and finds out how many turns take long enough.
func (e *engine) prepare(r *running) error {
	if err := e.renew(r); err != nil {
		return err
	}
	if r.most > 0 {
		r.turns = r.most
		return nil
	}
	for r.turns = 2; ; r.turns *= 2 {
		d, err := e.call(r, r.turns)
		if err != nil {
			return err
		}
		if d >= long {
			return nil
		}
	}
}

func (e *engine) renew(r *running) (err error) {
	if r.instance != nil {
		if err := r.instance.Close(e.ctx); err != nil {
			return err
		}
	}
	if r.instance, err = e.instantiate(r.code); err == nil && r.fill != nil {
		memory, _ := r.instance.Memory().Read(0, r.instance.Memory().Size())
		r.fill(memory)
	}
	return err
}

func (e *engine) call(r *running, turns int) (time.Duration, error) {
	t := timed{f: r.instance.ExportedFunction("r"), args: []uint64{uint64(turns)}, work: make([]uint64, 1)}
	return t.run(e.ctx)
}

// round runs a benchmark a few times in a row: the first warms up what the others need.
func (e *engine) round(r *running) error {
	for range 3 {
		for _, turns := range []int{1, r.turns} {
			if r.fresh {
				if err := e.renew(r); err != nil {
					return err
				}
			}
			d, err := e.call(r, turns)
			if err != nil {
				return err
			}
			if turns == 1 {
				r.short = min(r.short, d)
			} else {
				r.all = min(r.all, d)
			}
		}
	}
	return nil
}
