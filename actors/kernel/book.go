package kernel

import (
	"math"
	"math/bits"
	"reflect"
	"time"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/inspect"
)

// envelope is what the kernel knows of a message beside its content. Stamps are nanoseconds since the start of the System.
type envelope struct {
	cause Cause
	from  *ident // nil: from outside
	at    int64  // of acceptance
	lag   uint32 // nanoseconds from sending to acceptance; measured while somebody traces
	lane  lane
	quiet bool // of an Onlooker
}

// what a flight is.
type what uint8

const (
	handled what = iota
	refusal
	undelivered
	panicked
	changed
)

var whats = [...]string{"handled", "refused", "undelivered", "panicked", "state"}

// flight is one entry of a flight recorder. It refers to nothing that lives: neither an actor nor a message.
type flight struct {
	envelope
	typ   reflect.Type // nil: of a change of state
	err   *fault.Error
	began int64 // when its handler was called; 0: it was not
	ended int64 // when it returned, or when what else there is to tell happened
	what  what
	state state // the new one
}

const (
	flights      = 256 // that a recorder holds
	firstFlights = 1
	refusedRow   = 16 // refusals in a row that are recorded: the others would only overwrite what led to them
	buckets      = 32
)

// book is the flight recorder of an actor with what else is counted of its messages. An actor has one from its first message.
type book struct {
	ring    []flight
	total   uint64
	row     int // refusals in a row
	hist    [buckets]uint32
	max     int64
	dropped map[fault.Code]uint64
}

func (k *book) add(f flight) {
	if f.what != refusal {
		k.row = 0
	} else if k.row++; k.row > refusedRow {
		return
	}
	n := uint64(len(k.ring))
	if k.total == n && n < flights {
		ring := make([]flight, max(firstFlights, min(4*n, flights)))
		copy(ring, k.ring)
		k.ring, n = ring, uint64(len(ring))
	}
	k.ring[k.total%n] = f
	k.total++
}

// each calls f for what is recorded, oldest first.
func (k *book) each(f func(seq uint64, f *flight)) {
	if k == nil {
		return
	}
	n := uint64(len(k.ring))
	for seq := k.total - min(k.total, n); seq < k.total; seq++ {
		f(seq, &k.ring[seq%n])
	}
}

// timed counts how long a handler took, in the powers of two of a microsecond.
func (k *book) timed(took int64) {
	k.max = max(k.max, took)
	b := min(bits.Len64(uint64(max(0, took))/1000), buckets-1)
	if k.hist[b] == math.MaxUint32 { // old ones count half
		for i := range k.hist {
			k.hist[i] /= 2
		}
	}
	k.hist[b]++
}

func (k *book) timing() inspect.Timing {
	var t inspect.Timing
	if k == nil {
		return t
	}
	for _, n := range k.hist {
		t.Count += uint64(n)
	}
	t.MaxMicros = k.max / 1000
	var sum uint64
	for b, n := range k.hist {
		if n == 0 {
			continue
		}
		sum += uint64(n)
		upper := min(int64(1)<<b, t.MaxMicros+1)
		if t.P50Micros == 0 && 2*sum >= t.Count {
			t.P50Micros = upper
		}
		if t.P99Micros == 0 && 100*sum >= 99*t.Count {
			t.P99Micros = upper
			return t
		}
	}
	return t
}

// The methods below need base.mu.

func (b *base) record(f flight) {
	if b.ended {
		return
	}
	if b.book == nil {
		b.book = &book{}
	}
	b.book.add(f)
}

// finish ends what is in hand: its handler returned, or panicked with err.
func (b *base) finish(now int64, err *fault.Error) {
	if b.hand.typ == nil {
		return
	}
	if b.hand.quiet && err == nil {
		b.hand = hand{}
		return
	}
	f := flight{envelope: b.hand.envelope, typ: b.hand.typ, began: b.hand.began, ended: now, err: err}
	if err != nil {
		f.what = panicked
	} else {
		b.handled++
	}
	b.hand = hand{}
	b.record(f)
	if b.book != nil {
		b.book.timed(now - f.began)
	}
	b.sys.show(b.id, &f)
}

// lose records a message that was refused or will not be handled.
func (b *base) lose(w what, e envelope, t reflect.Type, err *fault.Error) {
	if e.quiet {
		return
	}
	f := flight{envelope: e, typ: t, err: err, ended: b.sys.clock(), what: w}
	b.record(f)
	b.count(err)
	b.sys.show(b.id, &f)
}

func (b *base) count(err *fault.Error) {
	if b.ended {
		return
	}
	if b.book == nil {
		b.book = &book{}
	}
	if b.book.dropped == nil {
		b.book.dropped = make(map[fault.Code]uint64)
	}
	b.book.dropped[err.Code]++
}

// become records a change of state. The first start is not one: an actor without messages has no book.
func (b *base) become(s state, now int64) {
	if b.book != nil || b.number > 1 || s > running {
		b.record(flight{what: changed, state: s, ended: now})
	}
}

// clock reads the monotonic clock, as nanoseconds since the start of the System and never 0.
func (s *System) clock() int64 { return int64(time.Since(s.epoch)) + 1 }

// wall is a stamp as a time. The wall clock may be set while the host runs, which moves all stamps that are shown; it is the
// same for the same stamp otherwise.
func (s *System) wall(stamp int64) time.Time {
	if stamp == 0 {
		return time.Time{}
	}
	return s.epoch.Add(time.Duration(stamp - 1 + s.skew.Load())).Round(0)
}

// tune takes note that the wall clock was set.
func (s *System) tune(now time.Time) {
	drift := now.Round(0).Sub(s.epoch.Round(0)) - now.Sub(s.epoch)
	if d := drift - time.Duration(s.skew.Load()); d > time.Second || d < -time.Second {
		s.skew.Store(int64(drift))
	}
}
