package record

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math"
	"reflect"
	"time"

	"github.com/troupehost/troupe/actors/fault"
)

// Step is one step of a replay.
type Step struct {
	Path        string
	Incarnation uint64
	N           uint64 // within the recording of this incarnation, from 0
	At          time.Time
	Input       string
	Effects     []string
	Panicked    string
	State       string // the first 16 hex digits of the SHA-256 of the state after it
}

// Difference is where a replay came to something else than the recording.
type Difference struct {
	Path        string
	Incarnation uint64
	Step        uint64
	Input       string
	What        string // effects, panic, state, recording
	Want        string
	Got         string
}

// String is one line.
func (d Difference) String() string {
	return fmt.Sprintf("%s, incarnation %d, step %d, given %s: %s: recorded %s, now %s", d.Path, d.Incarnation, d.Step, d.Input, d.What, d.Want, d.Got)
}

// Report is what came of a replay.
type Report struct {
	Build       string
	Segments    int
	Steps       uint64
	Skipped     []string // paths whose cores are not known here
	Differences []Difference
}

const maxRecording = 1 << 30

var errOtherVersion = errors.New("this is no recording, or one of another version")

// Replay reads a recording and steps the cores with it. each, unless it is nil, is given every step. Differences are no error: of
// each segment the first one is in the report.
//
// # Errors
//   - caller.invalid_request: it is no recording, or a damaged one
//   - that of r
//   - that of each
func Replay(r io.Reader, types *Types, each func(Step) error) (Report, error) {
	in := &reader{r: bufio.NewReader(io.LimitReader(r, maxRecording))}
	head := make([]byte, len(magic))
	if _, err := io.ReadFull(in.r, head); err != nil || string(head) != magic {
		return Report{}, fault.New(fault.CallerInvalid, "replay", "", errOtherVersion)
	}
	rep := Report{Build: string(in.text())}
	var names []string
	for n := in.number(); n > 0 && in.err == nil; n-- {
		names = append(names, string(in.text()))
	}
	types = types.ordered(names)
	var before *replay
	for n := in.number(); n > 0 && in.err == nil; n-- {
		s := segment{path: string(in.text()), incarnation: in.number(), core: int(min(in.number(), math.MaxInt32)), state: in.text(), count: in.number(), steps: in.text()}
		if in.err != nil {
			break
		}
		rep.Segments++
		x := &replay{segment: s, types: types, each: each}
		if err := x.run(before, &rep); err != nil {
			return rep, err
		}
		before = x
	}
	if in.err != nil {
		return rep, fault.New(fault.CallerInvalid, "replay", "", in.err)
	}
	return rep, nil
}

type reader struct {
	r   *bufio.Reader
	err error
}

func (r *reader) number() uint64 {
	n, err := binary.ReadUvarint(r.r)
	if err != nil && r.err == nil {
		r.err = damaged("it is cut")
	}
	return n
}

func (r *reader) text() []byte {
	n := r.number()
	if r.err != nil {
		return nil
	}
	var b bytes.Buffer // it grows with what is there, not with what is said
	if _, err := io.CopyN(&b, r.r, int64(min(n, maxRecording))); err != nil {
		r.err = damaged("it is cut")
		return nil
	}
	return b.Bytes()
}

// replay is that of one segment.
type replay struct {
	segment
	types *Types
	each  func(Step) error
	first uint64 // number of its first step
	live  reflect.Value
	s     *session
	whole bool // it came to its end without a difference
}

// after encodes the state that the replay has come to, as a checkpoint is.
func (x *replay) after() ([]byte, error) {
	s := newSession(x.types)
	s.digests = x.s.digests // long slices are not here: only what they were
	return s.encode(x.live.Elem())
}

func (x *replay) run(before *replay, rep *Report) error {
	s := newSession(x.types)
	t, ok := x.types.at(uint64(x.core))
	if !ok || !x.types.cores[t] {
		rep.Skipped = append(rep.Skipped, fault.Quote(x.path))
		return nil
	}
	differs := func(n uint64, input, what, want, got string) {
		rep.Differences = append(rep.Differences, Difference{Path: fault.Quote(x.path), Incarnation: x.incarnation, Step: n, Input: input, What: what, Want: want, Got: got})
	}
	if before != nil && before.path == x.path && before.incarnation == x.incarnation {
		x.first = before.first + before.count
		if before.whole {
			if b, err := before.after(); err != nil || !bytes.Equal(b, x.state) {
				differs(x.first, "nothing", "state", digest(x.state), digest(b))
			}
		}
	}
	core := reflect.New(t.Elem())
	x.live, x.s = core, s
	if err := s.decode(x.state, core.Elem()); err != nil {
		differs(x.first, "nothing", "recording", err.Error(), "")
		return nil
	}
	step := core.MethodByName("Step")
	if f := step.Type(); f.NumIn() != 2 || f.In(0) != typeTime || f.NumOut() != 1 || f.Out(0).Kind() != reflect.Slice {
		rep.Skipped = append(rep.Skipped, fault.Quote(x.path))
		return nil
	}
	d := decoder{session: s, in: x.steps}
	for n := x.first; n < x.first+x.count; n++ {
		s.outside = true
		now := reflect.New(typeTime).Elem()
		d.time(now)
		size := d.uint()
		in := reflect.New(reflect.TypeFor[any]()).Elem()
		message := d.bytes(size)
		if d.err == nil {
			d.err = s.decode(message, in)
		}
		given := reflect.New(step.Type().In(1)).Elem()
		if d.err == nil && !in.IsNil() {
			if !in.Elem().Type().AssignableTo(given.Type()) {
				d.err = damaged("a %v for a %v", in.Elem().Type(), given.Type())
			} else {
				given.Set(in.Elem())
			}
		}
		ended := d.flag()
		var want []byte
		if ended {
			want = d.bytes(d.uint())
		}
		if d.err != nil {
			differs(n, "nothing", "recording", d.err.Error(), "")
			return nil
		}
		s.outside = false
		input := show(in)
		out, panicked := call(step, now, given)
		rep.Steps++
		var got []byte
		var err error
		if panicked == "" {
			got, err = s.encode(out)
		}
		if x.each != nil {
			if err := x.each(x.step(n, now, input, out, panicked)); err != nil {
				return err
			}
		}
		switch {
		case err != nil:
			differs(n, input, "effects", "", err.Error())
		case ended && panicked != "":
			differs(n, input, "panic", "none", panicked)
		case !ended && panicked == "":
			differs(n, input, "panic", "one", "none")
		case !bytes.Equal(want, got):
			differs(n, input, "effects", x.text(s, want, out.Type()), show(out))
		default:
			continue
		}
		return nil
	}
	x.whole = true
	return nil
}

func call(step, now, in reflect.Value) (out reflect.Value, panicked string) {
	defer func() {
		if r := recover(); r != nil {
			panicked = fault.Quote(fmt.Sprint(r))
		}
	}()
	return step.Call([]reflect.Value{now, in})[0], ""
}

// text is what recorded effects say.
func (x *replay) text(s *session, b []byte, t reflect.Type) string {
	v := reflect.New(t).Elem()
	if err := s.decode(b, v); err != nil {
		return "something that cannot be read: " + err.Error()
	}
	return show(v)
}

func (x *replay) step(n uint64, now reflect.Value, input string, out reflect.Value, panicked string) Step {
	s := Step{Path: fault.Quote(x.path), Incarnation: x.incarnation, N: n, At: now.Interface().(time.Time), Input: input, Panicked: panicked} //nolint:errcheck,revive // it is one
	if out.IsValid() {
		for i := range out.Len() {
			s.Effects = append(s.Effects, show(out.Index(i)))
		}
	}
	state, err := x.after()
	if s.State = digest(state); err != nil {
		s.State = "" // it holds functions of its own
	}
	return s
}

func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:8])
}

// show prints a value, cut and without control characters.
func show(v reflect.Value) string {
	if !v.IsValid() {
		return "nothing"
	}
	return fault.Quote(fmt.Sprintf("%T%+v", v.Interface(), v.Interface()))
}
