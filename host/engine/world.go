package engine

import (
	"cmp"
	"context"
	crand "crypto/rand"
	"io"
	"math/rand"
	"slices"
	"strings"
	"time"

	"github.com/tetratelabs/wazero"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/run"
)

// runState is what the host functions of one run share. The instance lives longer, so all that a guest can see of its run is asked for
// here, and nothing is told to the engine when an instance is made.
type runState struct {
	heap   heap
	ready  bool // the heap can be used: the start function is over
	meter  accounts
	budget output
	spec   Spec
	io     IO
	clock  clock
	random *rand.Rand // nil: nothing was drawn in this run
	drawn  int64      // bytes that this run drew, and the initialisation that it builds on
	seen   effect     // what calls of the host did
	warned bool       // Spec.Long was called
	asking asking
}

type runKey struct{}

// stateOf finds the state of the run; nil: the call is outside of one.
func stateOf(ctx context.Context) *runState {
	s, _ := ctx.Value(runKey{}).(*runState)
	return s
}

// begin is called before anything of a run happens.
func (s *runState) begin(spec *Spec, io IO) {
	s.spec, s.io = *spec, io
	s.heap, s.ready = heap{}, false
	s.meter.reset(spec)
	s.budget = output{left: spec.OutputBytes, send: io.Output}
	s.clock, s.random, s.drawn, s.seen, s.warned = clock{}, nil, 0, 0, false
}

// over forgets what the run was given.
func (s *runState) over() {
	s.spec, s.io, s.budget.send, s.random = Spec{}, IO{}, nil, nil
	s.asking.forget()
}

// times says which clocks an instance has, and which random source. It keeps them as long as it lives.
type times struct {
	real bool
	late bool          // real only once initialisation is over
	step time.Duration // of clocks of the real world; 0: the default
}

func timesOf(s *Spec) times {
	switch s.Determinism {
	case run.RealWorld:
		return times{real: true, step: s.ClockStep}
	case run.RealRuns:
		return times{real: true, late: true, step: s.ClockStep}
	}
	return times{}
}

// initial are those that initialisation sees.
func (t times) initial() times {
	if t.late {
		return times{}
	}
	return t
}

// configure makes the settings of an instance whose world is s.
func (s *runState) configure(t times) wazero.ModuleConfig {
	cfg := wazero.NewModuleConfig().WithName("").WithStartFunctions().
		WithStdin(reader(func(p []byte) (int, error) { return s.io.Stdin(p) })).
		WithStdout(stream{&s.budget, false}).WithStderr(stream{&s.budget, true})
	if t.late {
		return s.lateClocks(cfg, newRealClock(t.step)).WithRandSource(reader(s.drawLate))
	}
	if t.real {
		return newRealClock(t.step).set(cfg).WithRandSource(crand.Reader)
	}
	return s.clock.set(cfg).WithRandSource(reader(s.draw))
}

// engineSeed is that of the engine's own random source, whose bytes deterministic runs have seen from the first day on.
const engineSeed = 42

// draw returns the bytes of a deterministic run, which begin anew in each one. Behind a snapshot they go on where initialisation ended.
func (s *runState) draw(p []byte) (int, error) {
	if s.random == nil {
		s.random = rand.New(rand.NewSource(engineSeed)) //nolint:gosec // the same bytes each time are the point
		if _, err := io.CopyN(io.Discard, s.random, s.drawn); err != nil {
			return 0, err
		}
	}
	n, err := s.random.Read(p)
	s.drawn += int64(n)
	return n, err
}

// drawLate returns the bytes of a deterministic run to initialisation, and those of the machine to the run.
func (s *runState) drawLate(p []byte) (int, error) {
	if s.meter.init {
		return s.draw(p)
	}
	return crand.Read(p)
}

// argv is the list of arguments, the name of the program first.
func (s *runState) argv() []string {
	if s.spec.Entry.Mode != run.Command {
		return nil
	}
	return append([]string{cmp.Or(s.spec.Entry.Name, "guest")}, s.spec.Entry.Args...)
}

// environ is the list of the environment. What is said twice counts as it was said last, where it was said first.
func (s *runState) environ() (list []string) {
	if s.spec.Entry.Mode != run.Command {
		return nil
	}
	for _, kv := range s.spec.Entry.Env {
		key, value, _ := strings.Cut(kv, "=")
		kv = key + "=" + value
		if i := slices.IndexFunc(list, func(have string) bool { return strings.HasPrefix(have, key+"=") }); i >= 0 {
			list[i] = kv
		} else {
			list = append(list, kv)
		}
	}
	return list
}

// long says that this may take longer than a slice, before it does.
func (s *runState) long() {
	if s.warned || s.spec.Long == nil {
		return
	}
	s.warned = true
	if err := s.spec.Long(); err != nil {
		panic(fault.New(fault.CanceledStopped, "run", "", err))
	}
}

// output counts what a guest writes against one budget and stops it at the limit.
type output struct {
	left int64
	send func(stderr bool, p []byte) error
}

func (o *output) take(n int64) {
	if o.left -= n; o.left < 0 {
		panic(fault.New(fault.GuestOutputLimit, "run", "", nil))
	}
}

type stream struct {
	o      *output
	stderr bool
}

// Write implements io.Writer. A panic unwinds the guest at once; the engine hands it back as the error of the call.
func (s stream) Write(p []byte) (int, error) {
	allowed := min(int64(len(p)), s.o.left)
	if err := s.o.send(s.stderr, p[:allowed]); err != nil {
		panic(fault.New(fault.CanceledStopped, "write", "", err))
	}
	s.o.take(int64(len(p)))
	return len(p), nil
}

type reader func(p []byte) (int, error)

// Read implements io.Reader.
func (r reader) Read(p []byte) (int, error) {
	n, err := r(p)
	if err != nil && err != io.EOF {
		panic(fault.New(fault.CanceledStopped, "read", "", err))
	}
	return n, err
}
