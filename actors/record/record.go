package record

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"io"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	segmentSteps = 1000
	segmentShare = 16 // of the limit that a segment may take before the next one begins
	largestShare = 4  // of the limit that a segment may take at all
	magic        = "troupe recording 1\n"
)

// Recorder records cores. The zero Recorder is not valid; see New.
type Recorder struct {
	types *Types
	limit int

	mu    sync.Mutex
	tapes map[string]*tape
	all   []*segment // oldest first; some are dropped
	bytes int
	lost  uint64

	trimmed bool                      // of a path that is new, something may be forgotten
	unknown map[reflect.Type]struct{} // what interfaces held, and Types does not have
}

// New makes a Recorder of cores among the types, which keeps at most limit bytes.
func New(limit int, types *Types) *Recorder {
	return &Recorder{types: types, limit: limit, tapes: map[string]*tape{}, unknown: map[reflect.Type]struct{}{}}
}

// tape is what is recorded of one path. Its actor alone touches session and pending; mu of the Recorder guards the rest.
type tape struct {
	incarnation uint64
	session     *session
	pending     bool // a step began and did not end
	current     *segment
	before      *segment
}

// segment is a checkpoint and what came after it.
type segment struct {
	path        string
	incarnation uint64
	core        int
	state       []byte
	steps       []byte
	count       uint64
	dropped     bool
}

func (s *segment) size() int { return len(s.path) + len(s.state) + len(s.steps) }

// Step implements kernel.Recorder.
func (r *Recorder) Step(path string, incarnation uint64, core any, now time.Time, in any) (done func(effects any)) {
	v, ok := r.types.core(core)
	if !ok {
		return func(any) {}
	}
	r.mu.Lock()
	t := r.tapes[path]
	if t == nil {
		t = &tape{}
		r.tapes[path] = t
		r.trimTapes()
	}
	newborn := t.incarnation != incarnation
	if t.pending && t.current != nil {
		if newborn { // the step before panicked
			r.grow(t, []byte{0})
		} else { // it is stepped within a step, which cannot be replayed
			r.drop(t.current)
		}
	}
	t.pending, t.incarnation = false, incarnation
	due := newborn || t.current == nil || t.current.dropped || t.current.count >= segmentSteps || t.current.size() > r.limit/segmentShare
	r.mu.Unlock()
	if due && !r.begin(t, path, v, newborn) {
		return func(any) {}
	}
	step, err := t.session.input(now, in)
	if err != nil {
		r.abandon(t)
		return func(any) {}
	}
	t.session.outside = false
	r.mu.Lock()
	r.grow(t, step)
	t.current.count++
	t.pending = true
	r.mu.Unlock()
	return func(effects any) {
		b, err := t.session.encode(reflect.ValueOf(effects))
		if err != nil {
			r.abandon(t)
			return
		}
		out := binary.AppendUvarint([]byte{1}, uint64(len(b)))
		r.mu.Lock()
		defer r.mu.Unlock()
		t.pending = false
		for u := range t.session.unknown {
			r.unknown[u] = struct{}{}
		}
		r.grow(t, append(out, b...))
		if t.current.size() > r.limit/largestShare {
			r.drop(t.current)
		}
	}
}

// input encodes the time and the message of a step.
func (s *session) input(now time.Time, in any) ([]byte, error) {
	s.outside = true
	b, err := s.encode(reflect.ValueOf(&now).Elem())
	if err != nil {
		return nil, err
	}
	m, err := s.encode(reflect.ValueOf(&in).Elem())
	return append(binary.AppendUvarint(b, uint64(len(m))), m...), err
}

// begin begins a segment, and reports whether there is one to write to. What functions the state of a newborn core holds, it was
// given; of one that has lived, those that were seen to come from outside.
func (r *Recorder) begin(t *tape, path string, core reflect.Value, newborn bool) bool {
	s := newSession(r.types)
	s.outside = true
	r.mu.Lock()
	goesOn := !newborn && t.current != nil && !t.current.dropped
	if !newborn || r.trimmed {
		if s.before = t.session; s.before == nil {
			s.before = newSession(r.types)
		}
	}
	r.mu.Unlock()
	state, err := s.encode(core.Elem())
	s.before = nil
	if err != nil {
		if !goesOn { // it is tried again with the next input
			r.abandon(t)
		}
		return goesOn
	}
	if len(state) > r.limit/largestShare {
		r.abandon(t)
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if t.before != nil {
		r.drop(t.before)
	}
	t.before = t.current
	t.session = s
	t.current = &segment{path: path, incarnation: t.incarnation, core: r.types.number[core.Type()], state: state}
	r.all = append(r.all, t.current)
	r.bytes += t.current.size()
	r.fit()
	return !t.current.dropped
}

// grow adds to a segment. mu is held.
func (r *Recorder) grow(t *tape, b []byte) {
	t.current.steps = append(t.current.steps, b...)
	if !t.current.dropped {
		r.bytes += len(b)
		r.fit()
	}
}

// fit drops the oldest segments until the rest fits. mu is held.
func (r *Recorder) fit() {
	for r.bytes > r.limit && len(r.all) > 0 {
		r.drop(r.all[0])
	}
}

func (r *Recorder) drop(s *segment) {
	if s.dropped {
		return
	}
	s.dropped = true
	r.lost++
	r.bytes -= s.size()
	r.all = slices.DeleteFunc(r.all, func(o *segment) bool { return o == s })
}

// abandon gives up the segment that cannot be continued.
func (r *Recorder) abandon(t *tape) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if t.current != nil {
		r.drop(t.current)
	}
	t.current, t.pending = nil, false
}

// maxTapes bounds what is known of actors that may be gone.
const maxTapes = 10_000

// trimTapes forgets tapes without a segment. mu is held.
func (r *Recorder) trimTapes() {
	if len(r.tapes) <= maxTapes {
		return
	}
	r.trimmed = true
	for path, t := range r.tapes {
		if t.session != nil && !t.pending && (t.current == nil || t.current.dropped) {
			delete(r.tapes, path)
		}
	}
}

// Unknown returns the names of what was recorded as a token for want of its type. Ports belong there, messages do not.
func (r *Recorder) Unknown() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var names []string
	for t := range r.unknown {
		names = append(names, nameOf(t))
	}
	slices.Sort(names)
	return names
}

// Prove replays what is recorded at this moment.
func (r *Recorder) Prove() (Report, error) {
	var b bytes.Buffer
	if err := r.Write(&b, ""); err != nil {
		return Report{}, err
	}
	return Replay(&b, r.types, nil)
}

// Write writes what is recorded at this moment.
func (r *Recorder) Write(w io.Writer, build string) error {
	r.mu.Lock()
	all := make([]segment, 0, len(r.all))
	for _, s := range r.all { // what is appended later is behind these slices
		if s.count > 0 {
			all = append(all, *s)
		}
	}
	open := map[string]bool{}
	for path, t := range r.tapes {
		open[path] = t.pending
	}
	r.mu.Unlock()
	slices.SortStableFunc(all, func(a, b segment) int { return strings.Compare(a.path, b.path) })

	out := bufio.NewWriter(w)
	_, _ = out.WriteString(magic) // what fails is said by Flush
	text(out, build)
	number(out, uint64(len(r.types.names)))
	for _, n := range r.types.names {
		text(out, n)
	}
	number(out, uint64(len(all)))
	for i, s := range all {
		text(out, s.path)
		number(out, s.incarnation)
		number(out, uint64(s.core))
		text(out, string(s.state))
		last := i+1 == len(all) || all[i+1].path != s.path
		steps := s.count
		if last && open[s.path] {
			steps-- // the step that is under way is not known
		}
		number(out, steps)
		text(out, string(s.steps))
	}
	return out.Flush()
}

func number(w *bufio.Writer, n uint64) { _, _ = w.Write(binary.AppendUvarint(nil, n)) }

func text(w *bufio.Writer, s string) {
	number(w, uint64(len(s)))
	_, _ = w.WriteString(s)
}
