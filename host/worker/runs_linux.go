package worker

import (
	"context"
	"runtime"
	"time"

	"golang.org/x/sys/unix"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/host/engine"
	"github.com/troupehost/troupe/host/wire"
)

const (
	// putOff is how long the host may wait for an answer that it has not been woken for, while more calls wait.
	putOff = 50 * time.Microsecond
	// The gas that is granted at a time says after which time a run is long: about 1 ms, or about putOff if the host waits
	// for an answer meanwhile.
	slice      = engine.DefaultSlice / 10
	shortSlice = engine.DefaultSlice / 200
	// keptInput is how much memory for the input of runs is kept. A larger input has memory of its own, which the host allows
	// for and which is given back.
	keptInput = 64 << 10
)

// app is what runs.
type app interface {
	Run(ctx context.Context, s engine.Spec, streams engine.IO) engine.Outcome
	Settle()
}

// runner serves the calls of an execute worker, one after the other.
type runner struct {
	ring  *wire.WorkerRing
	app   app
	clock *clock // nil: none
	heap  *collector
	out   *output
	stdin stdin
	asker asker
	io    engine.IO
	hear  func() error // long, made once
	ask   func(*run.Ask) (*run.Answer, error)
	turn  func(gas, memory int64) error

	in    wire.Frame
	terms wire.Terms
	told  bool // there are terms
	done  wire.Finished
	input [keptInput]byte

	wound bool      // the clock runs for this run
	owed  time.Time // when the first answer was sent that the host has not been woken for; zero: there is none
}

func newRunner(ring *wire.WorkerRing, a app, c *clock, heap *collector) *runner {
	r := &runner{ring: ring, app: a, clock: c, heap: heap, out: newOutput(ring)}
	r.hear = r.long
	r.stdin = stdin{ring: ring, out: r.out, long: r.hear}
	r.asker = asker{ring: ring, out: r.out, long: r.hear}
	r.io = engine.IO{Stdin: r.stdin.read, Output: r.out.write, Result: r.out.result}
	r.ask, r.turn = r.asker.ask, r.asker.turn
	return r
}

func (r *runner) serve() error {
	runtime.LockOSThread() // it is woken by the kernel
	for {
		if err := r.ring.Next(&r.in); err != nil {
			return err
		}
		switch terms, _ := r.in.Other.(wire.Terms); {
		case r.in.Type == wire.TypeTerms:
			r.terms, r.told = terms, true
		case r.in.Type != wire.TypeCall, !r.told:
			return wire.ErrFrame
		default:
			if err := r.run(&r.in.Call); err != nil {
				return err
			}
			r.announce()
			r.app.Settle() // what it costs is nobody's waiting
		}
	}
}

// announce wakes the host for what was answered, now or, while more calls wait, a little later.
func (r *runner) announce() {
	switch {
	case !r.ring.Buffered():
		r.ring.Flush()
		r.owed = time.Time{}
		r.heap.tidy()
	case !r.ring.Pending():
		r.owed = time.Time{}
	case r.owed.IsZero():
		r.owed = time.Now()
	case time.Since(r.owed) >= putOff:
		r.ring.Flush()
		r.owed = time.Time{}
	}
}

// long is called before what can take long: the host hears what it waits for, and the clock is wound.
func (r *runner) long() error {
	if r.wound {
		return nil
	}
	r.wound = true
	r.owed = time.Time{}
	if err := r.out.long(); err != nil {
		return err
	}
	return r.clock.set(r.terms.Clock)
}

func (r *runner) run(c *wire.Call) error {
	input, free, err := r.receiveInput(c)
	if err != nil {
		return err
	}
	r.heap.begins()
	r.done = wire.Finished{Run: c.Run}
	r.stdin.end = !c.Stdin
	r.out.reset()
	t := &r.terms
	spec := specOf(t, input)
	spec.Slice, spec.Long = slice, r.hear
	streams := r.io
	if c.Asks {
		streams.Ask = r.ask
		spec.Turn, spec.TurnGas = r.turn, t.TurnGas
	}
	if !r.owed.IsZero() {
		spec.Slice = shortSlice
	}
	out := r.app.Run(context.Background(), spec, streams)
	if err := r.out.flush(); err != nil {
		return err
	}
	if r.wound {
		r.wound = false
		if err := r.clock.stop(); err != nil {
			return err
		}
	}
	free() // before the end is told: afterwards it would count as work of an idle worker

	if f := out.Fault; f != nil && f.Class != fault.Guest && f.Class != fault.Caller {
		return f // no word on the guest; the death of this process makes the host look into it
	}
	d := &r.done
	d.Exited, d.Exit, d.MemoryPeakBytes, d.GasUsed, d.InitGas = out.Exited, out.Exit, out.MemoryPeak, out.GasUsed, out.InitGas
	if out.Fault != nil {
		d.Code, d.Message = out.Fault.Code, words(out.Fault)
	}
	return r.ring.Send(d)
}

// receiveInput returns the input of a run, and what gives its memory back.
func (r *runner) receiveInput(c *wire.Call) (input []byte, free func(), err error) {
	n := c.InputBytes
	switch {
	case n > r.terms.MemoryBytes, int64(len(c.Data)) > n: // it would not fit into linear memory
		return nil, nil, wire.ErrFrame
	case n <= keptInput:
		input, free = r.input[:n], nothing
	default:
		if input, free, err = room(n); err != nil {
			return nil, nil, err
		}
	}
	for rest := input[copy(input, c.Data):]; len(rest) > 0; {
		if err := r.ring.Next(&r.in); err != nil { // the numbers of the Call stay
			return nil, nil, err
		}
		p := r.in.Input.Data
		if r.in.Type != wire.TypeInput || len(p) == 0 || len(p) > len(rest) {
			return nil, nil, wire.ErrFrame
		}
		rest = rest[copy(rest, p):]
	}
	return input, free, nil
}

func nothing() {}

// room maps memory for a large input. The host counts on that: memory that grows, and garbage of earlier runs, would be more
// than it allows.
func room(n int64) ([]byte, func(), error) {
	m, err := unix.Mmap(-1, 0, int(n), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	return m, func() { _ = unix.Munmap(m) }, err
}

// specOf is a run under terms.
func specOf(t *wire.Terms, input []byte) engine.Spec {
	return engine.Spec{
		Entry: t.Entry, MemoryBytes: t.MemoryBytes, OutputBytes: t.OutputBytes, Input: input,
		Imports: t.Imports, Determinism: t.Determinism, ClockStep: t.ClockStep,
		Gas: t.Gas, InitGas: t.InitGas, StackValues: t.StackValues,
	}
}
