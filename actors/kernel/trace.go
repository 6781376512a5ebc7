package kernel

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/inspect"
)

const (
	maxTracers   = 16
	traceBuffer  = 1024 // rows between an actor and who looks
	traceRows    = 1000
	traceFor     = time.Minute
	maxTraceFor  = time.Hour
	causeMixture = 0x9e3779b97f4a7c15 // spreads numbers that follow one another
)

// tracer is one look at the messages. Actors offer to it and never wait for it.
type tracer struct {
	actor, below, kind, typ string
	cause                   Cause
	least                   int64
	refused                 bool
	sample                  uint64

	rows    chan traced
	dropped atomic.Uint64
}

type traced struct {
	id *ident
	f  flight
}

var (
	errTooManyTracers = errors.New("as many traces run as may")
	errBadFilter      = errors.New("numbers of a filter are not negative")
)

func newTracer(f inspect.TraceFilter) (*tracer, error) {
	if f.Rows < 0 || f.ForMicros < 0 || f.MinMicros < 0 || f.Sample < 0 {
		return nil, fault.New(fault.CallerInvalid, "trace", "", errBadFilter)
	}
	t := &tracer{actor: f.Actor, below: f.Actor + "/", kind: f.Kind, typ: f.Type, least: f.MinMicros * 1000, refused: f.Refused,
		sample: uint64(max(1, f.Sample)), rows: make(chan traced, traceBuffer)}
	if f.Cause != "" {
		var err error
		if t.cause, err = ParseCause(f.Cause); err != nil {
			return nil, err
		}
	}
	return t, nil
}

func (t *tracer) wants(id *ident, f *flight) bool {
	switch {
	case t.actor != "" && id.path != t.actor && !strings.HasPrefix(id.path, t.below),
		t.kind != "" && id.kind != t.kind,
		!t.cause.IsZero() && f.cause != t.cause,
		t.refused && f.what != refusal,
		t.least > 0 && f.ended-f.at+int64(f.lag) < t.least,
		t.typ != "" && !strings.Contains(f.typ.String(), t.typ):
		return false
	}
	return t.sample == 1 || mix(f.cause)%t.sample == 0
}

// mix makes a number of a cause: all messages of one cause are in a sample, or none.
func mix(c Cause) uint64 {
	x := (binary.BigEndian.Uint64(c[:8]) ^ binary.BigEndian.Uint64(c[8:])) * causeMixture
	return x ^ x>>32
}

// show offers an entry to those who trace. Nobody does: one load. mu of the actor is held.
func (s *System) show(id *ident, f *flight) {
	if ts := s.tracers.Load(); ts != nil {
		offer(*ts, id, f)
	}
}

func offer(ts []*tracer, id *ident, f *flight) {
	for _, t := range ts {
		if !t.wants(id, f) {
			continue
		}
		select {
		case t.rows <- traced{id, *f}:
		default:
			t.dropped.Add(1)
		}
	}
}

// Trace calls f for each message that the filter matches when it has been handled, refused or dropped, from this goroutine,
// until f fails, ctx ends or the budget of the filter is used up; the last is no error. What f is too slow for is dropped and
// counted in the rows that follow.
//
// # Errors
//   - caller.invalid_request: the filter is not valid
//   - busy.queue_full: 16 traces run
//   - caller.host_closed: the System has stopped, or stops meanwhile
//   - canceled.caller_left, canceled.deadline: ctx ended
//   - that of f
func (s *System) Trace(ctx context.Context, filter inspect.TraceFilter, f func(inspect.Trace) error) error {
	t, err := newTracer(filter)
	if err != nil {
		return err
	}
	select {
	case <-s.ended:
		return fault.New(fault.CallerClosed, "trace", "", nil)
	default:
	}
	if !s.retrace(func(ts []*tracer) []*tracer { return append(ts, t) }) {
		return fault.New(fault.BusyQueueFull, "trace", "", errTooManyTracers).WithRetryAfter(time.Second)
	}
	defer s.retrace(func(ts []*tracer) []*tracer { return slices.DeleteFunc(ts, func(o *tracer) bool { return o == t }) })
	lasts := cmp.Or(time.Duration(min(filter.ForMicros, maxTraceFor.Microseconds()))*time.Microsecond, traceFor)
	end := time.NewTimer(lasts)
	defer end.Stop()
	left := min(cmp.Or(filter.Rows, traceRows), maxRows)
	for seq := uint64(0); left > 0; left-- {
		select {
		case r := <-t.rows:
			row := s.traceOf(r.id, &r.f)
			row.Seq, row.Dropped = seq, t.dropped.Load()
			if err := f(row); err != nil {
				return err
			}
			seq++
		case <-end.C:
			return nil
		case <-s.ended:
			return fault.New(fault.CallerClosed, "trace", "", nil)
		case <-ctx.Done():
			return canceled(ctx, "trace")
		}
	}
	return nil
}

// retrace replaces the list of tracers, unless it would become too long.
func (s *System) retrace(change func([]*tracer) []*tracer) bool {
	for {
		old := s.tracers.Load()
		var ts []*tracer
		if old != nil {
			ts = slices.Clone(*old)
		}
		ts = change(ts)
		if len(ts) > maxTracers {
			return false
		}
		p := &ts
		if len(ts) == 0 {
			p = nil
		}
		if s.tracers.CompareAndSwap(old, p) {
			return true
		}
	}
}

func (s *System) traceOf(id *ident, f *flight) inspect.Trace {
	t := inspect.Trace{Actor: id.path, From: f.from.String(), Type: f.typ.String(), Lane: lanes[f.lane], Cause: f.cause.String(),
		Sent: s.wall(f.at - int64(f.lag)), Started: s.wall(f.began), Fault: words(f.err)}
	if f.what != refusal {
		t.Accepted = s.wall(f.at)
	}
	if f.began != 0 {
		t.Finished = s.wall(f.ended)
	}
	return t
}
