package record

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/kernel"
)

// The core of these tests: a till with everything in it that a codec can get wrong.
type till struct {
	sum     int
	last    time.Time
	byName  map[string]*coin
	line    []*coin                     // the same coins
	waiting map[kernel.Reply[int]]*coin //nolint:unused // the codec sees it
	later   []func() effect             // what the core will do
	told    func(int)
	out     io.Writer
	self    *till
	none    []int //nolint:unused // the codec sees it
	empty   []int
	err     error
	raw     []byte
	at      [2]float64 //nolint:unused // the codec sees it
}

type coin struct {
	name string
	n    int
	next *coin
}

type (
	message interface{ message() }
	put     struct {
		Name  string
		N     int
		Reply kernel.Reply[int]
		Told  func(int)
		Out   io.Writer
		Body  []byte
		Err   error
	}
	wait  struct{ Reply kernel.Reply[int] }
	flush struct{}
	fall  struct{}
)

func (put) message()   {}
func (wait) message()  {}
func (flush) message() {}
func (fall) message()  {}

type (
	effect interface{ effect() }
	give   struct {
		To  kernel.Reply[int]
		N   int
		Err error
	}
	tell struct {
		Told func(int)
		Out  io.Writer
		Body []byte
		Took time.Duration
	}
)

func (give) effect() {}
func (tell) effect() {}

// change is what another version of the core does otherwise.
var change = 0

func (t *till) Step(now time.Time, m message) []effect {
	took := now.Sub(t.last)
	t.last, t.self = now, t
	switch m := m.(type) {
	case put:
		c := t.byName[m.Name]
		if c == nil {
			c = &coin{name: m.Name}
			if t.byName == nil {
				t.byName = map[string]*coin{}
			}
			if len(t.line) > 0 {
				c.next = t.line[0]
			}
			t.byName[m.Name] = c
			t.line = append(t.line, c)
		}
		c.n += m.N
		t.sum += m.N
		if t.sum > 500 {
			t.sum += change
		}
		t.told, t.out, t.raw, t.err = m.Told, m.Out, m.Body, m.Err
		return []effect{give{m.Reply, t.line[0].n, m.Err}, tell{t.told, t.out, t.raw, took}}
	case wait:
		t.later = append(t.later, func() effect { return give{To: m.Reply, N: t.sum} })
	case flush:
		var out []effect
		for _, f := range t.later {
			out = append(out, f())
		}
		t.later = nil
		return out
	case fall:
		panic("as told")
	}
	return nil
}

func tillTypes() *Types {
	return NewTypes([]reflect.Type{reflect.TypeFor[*till](), reflect.TypeFor[put](), reflect.TypeFor[wait](), reflect.TypeFor[flush](),
		reflect.TypeFor[fall](), reflect.TypeFor[give](), reflect.TypeFor[tell]()})
}

// drive steps a new till as a kernel does, in so many incarnations.
func drive(t *testing.T, r *Recorder, seed uint64, steps int) {
	t.Helper()
	rng := rand.New(rand.NewPCG(seed, 1))
	core, incarnation := &till{empty: []int{}}, uint64(1)
	now := time.Now()
	var replies []kernel.Reply[int]
	for range steps {
		now = now.Add(time.Duration(rng.IntN(1e6)))
		var m message
		switch n := rng.IntN(100); {
		case rng.IntN(2000) == 0:
			m = fall{}
		case n < 5:
			m = nil
		case n < 15:
			m = wait{kernel.ReplyFunc(func(int, error) {})}
		case n < 40:
			m = flush{}
		default:
			p := put{Name: fmt.Sprint("coin ", rng.IntN(20)), N: rng.IntN(9)}
			if rng.IntN(3) > 0 {
				p.Reply, p.Told, p.Out = kernel.ReplyFunc(func(int, error) {}), func(int) { t.Log(n) }, new(bytes.Buffer)
				replies = append(replies, p.Reply)
			} else if len(replies) > 0 {
				p.Reply = replies[rng.IntN(len(replies))]
			}
			switch rng.IntN(6) {
			case 0:
				p.Err = fmt.Errorf("around: %w", fault.New(fault.GuestTrap, "run", "x", errors.New("deep")).WithRetryAfter(time.Second))
			case 1:
				p.Err = errors.New("plain")
			case 2:
				p.Body = bytes.Repeat([]byte{byte(n)}, maxBytes+rng.IntN(100))
			case 3:
				p.Body = []byte("short")
			}
			m = p
		}
		func() {
			defer func() {
				if recover() != nil {
					core, incarnation = &till{empty: []int{}}, incarnation+1
				}
			}()
			done := r.Step("h/till", incarnation, core, now, m)
			done(core.Step(now, m))
		}()
	}
}

func TestReplayDoesTheSame(t *testing.T) {
	var steps uint64
	for seed := range uint64(30) {
		r := New(1<<20, tillTypes())
		drive(t, r, seed, 3000)
		rep, err := r.Prove()
		if err != nil || rep.Steps < 50 || len(rep.Differences) > 0 {
			t.Fatalf("seed %d: %+v, %v", seed, rep, err)
		}
		steps += rep.Steps
		if u := r.Unknown(); !cmp.Equal(u, []string{"*bytes.Buffer"}) {
			t.Errorf("unknown: %v", u)
		}
	}
	if steps < 20_000 {
		t.Errorf("%d steps", steps)
	}
}

// TestReplayFindsAChangedCore replays with a core that does one thing otherwise: the first step that shows it is reported.
func TestReplayFindsAChangedCore(t *testing.T) {
	r := New(1<<20, tillTypes())
	core := &till{}
	now := time.Now()
	reply := kernel.ReplyFunc(func(int, error) {})
	step := func(m message) {
		now = now.Add(time.Second)
		r.Step("h/till", 1, core, now, m)(core.Step(now, m))
	}
	for range 100 {
		step(put{Name: "a", N: 7})
	}
	step(wait{reply})
	step(flush{})
	change = 1
	defer func() { change = 0 }()
	rep, err := r.Prove()
	if err != nil || len(rep.Differences) != 1 {
		t.Fatalf("%+v, %v", rep, err)
	}
	d := rep.Differences[0]
	if d.Step != 101 || d.What != "effects" || !strings.Contains(d.Want, "N:700") || !strings.Contains(d.Got, "N:729") || !strings.Contains(d.Input, "flush") {
		t.Errorf("%v", d)
	}
}

// TestReplayFindsAChangedState has the states differ where a new segment begins, before any effect shows it.
func TestReplayFindsAChangedState(t *testing.T) {
	r := New(1<<20, tillTypes())
	core := &till{}
	for n := range segmentSteps + 10 {
		m := put{Name: "a", N: 1}
		now := time.Unix(int64(n), 0)
		r.Step("h/till", 1, core, now, m)(core.Step(now, m))
	}
	change = 1
	defer func() { change = 0 }()
	rep, err := r.Prove()
	if err != nil || len(rep.Differences) != 1 || rep.Differences[0].What != "state" || rep.Differences[0].Step != segmentSteps {
		t.Fatalf("%+v, %v", rep, err)
	}
}

func TestReplayShowsEachStep(t *testing.T) {
	r := New(1<<20, tillTypes())
	core := &till{}
	for n, m := range []message{put{Name: "a\x1b[31m", N: 1}, nil, flush{}} {
		now := time.Unix(int64(n), 0)
		r.Step("h/till", 3, core, now, m)(core.Step(now, m))
	}
	var b bytes.Buffer
	if err := r.Write(&b, "build"); err != nil {
		t.Fatal(err)
	}
	var got []Step
	rep, err := Replay(&b, tillTypes(), func(s Step) error { got = append(got, s); return nil })
	if err != nil || rep.Build != "build" || len(got) != 3 {
		t.Fatalf("%+v, %v", rep, err)
	}
	if s := got[0]; s.N != 0 || s.Incarnation != 3 || s.Path != "h/till" || len(s.Effects) != 2 || len(s.State) != 16 || strings.Contains(s.Input, "\x1b") {
		t.Errorf("%+v", s)
	}
	if got[0].State == got[1].State || !got[1].At.Equal(time.Unix(1, 0)) {
		t.Errorf("%+v", got)
	}
}

// TestARecordingIsBounded records more than there is room for: the newest is kept, and it replays.
func TestARecordingIsBounded(t *testing.T) {
	const limit = 64 << 10
	r := New(limit, tillTypes())
	drive(t, r, 1, 20_000)
	for n := range 300 {
		core := &till{}
		m := put{Name: strings.Repeat("x", 1000), N: n}
		now := time.Unix(1, 0)
		r.Step(fmt.Sprintf("h/till-%d", n), 1, core, now, m)(core.Step(now, m))
	}
	if r.bytes > limit || r.lost == 0 {
		t.Errorf("%d bytes, %d lost", r.bytes, r.lost)
	}
	var size int
	for _, s := range r.all {
		size += s.size()
	}
	if size != r.bytes {
		t.Errorf("%d bytes are held, %d are counted", size, r.bytes)
	}
	rep, err := r.Prove()
	if err != nil || rep.Steps == 0 || len(rep.Differences) > 0 {
		t.Errorf("%+v, %v", rep, err)
	}
	huge := &till{}
	m := put{Name: strings.Repeat("x", limit)}
	r.Step("h/huge", 1, huge, time.Now(), m)(huge.Step(time.Now(), m))
	if r.bytes > limit {
		t.Errorf("%d bytes", r.bytes)
	}
}

// TestDamagedRecordingsAreRefused cuts a recording and flips its bytes: a replay ends with an error or a difference, and with no panic.
func TestDamagedRecordingsAreRefused(t *testing.T) {
	r := New(1<<20, tillTypes())
	drive(t, r, 2, 60)
	var b bytes.Buffer
	if err := r.Write(&b, "build"); err != nil {
		t.Fatal(err)
	}
	whole := b.Bytes()
	_, err := Replay(strings.NewReader("troupe recording 2\n"), tillTypes(), nil)
	if fault.CodeOf(err) != fault.CallerInvalid {
		t.Error(err)
	}
	for n := 0; n < len(whole); n += 7 {
		if _, err := Replay(bytes.NewReader(whole[:n]), tillTypes(), nil); fault.CodeOf(err) != fault.CallerInvalid {
			t.Fatalf("cut at %d: %v", n, err)
		}
	}
	rng := rand.New(rand.NewPCG(1, 1))
	for range 1000 {
		bad := bytes.Clone(whole)
		for range 1 + rng.IntN(3) {
			bad[rng.IntN(len(bad))] ^= byte(1 << rng.IntN(8))
		}
		_, _ = Replay(bytes.NewReader(bad), tillTypes(), nil)
	}
}

// TestASegmentBeginsWhenTheStateCanBeRead drops a segment while the core holds functions of its own: recording goes on when those are gone.
func TestASegmentBeginsWhenTheStateCanBeRead(t *testing.T) {
	r := New(1<<20, tillTypes())
	core := &till{}
	n := int64(0)
	step := func(m message) {
		n++
		now := time.Unix(n, 0)
		r.Step("h/till", 1, core, now, m)(core.Step(now, m))
	}
	step(put{Name: "a", N: 1, Told: func(int) {}})
	step(wait{kernel.ReplyFunc(func(int, error) {})})
	r.drop(r.all[0])
	step(put{Name: "b", N: 2}) // the state holds what is to be done with the flush
	if len(r.all) != 0 {
		t.Fatal("a segment began with a function that cannot be kept")
	}
	step(flush{})
	step(put{Name: "c", N: 3, Told: func(int) {}})
	step(put{Name: "d", N: 4})
	rep, err := r.Prove()
	if err != nil || rep.Steps != 2 || len(rep.Differences) > 0 {
		t.Errorf("%+v, %v", rep, err)
	}
}

// TestUnderTheKernel records an actor of RunCore; without a recorder nothing is asked.
func TestUnderTheKernel(t *testing.T) {
	r := New(1<<20, tillTypes())
	s, err := kernel.New(kernel.Config{Recorder: r})
	if err != nil {
		t.Fatal(err)
	}
	ref, err := kernel.Spawn(s, kernel.Options[message]{Name: "till", New: func(*kernel.Ctx[message]) kernel.Handler[message] {
		return kernel.RunCore(&till{}, func(_ *kernel.Ctx[message], e effect) {
			if g, ok := e.(give); ok {
				g.To.Answer(g.N)
			}
		})
	}})
	if err != nil {
		t.Fatal(err)
	}
	for range 50 {
		if _, err := kernel.Ask(t.Context(), ref, func(to kernel.Reply[int]) message { return put{Name: "a", N: 1, Reply: to} }); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	rep, err := r.Prove()
	if err != nil || rep.Steps != 50 || len(rep.Differences) > 0 {
		t.Errorf("%+v, %v", rep, err)
	}
}
