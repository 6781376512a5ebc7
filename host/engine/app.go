package engine

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/sys"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/host/wire"
)

// Spec is one run.
type Spec struct {
	Entry       run.Entry
	MemoryBytes int64
	OutputBytes int64
	Imports     run.Imports
	Determinism run.Determinism
	ClockStep   time.Duration // resolution of clocks in the real world; 0: DefaultClockStep
	Input       []byte

	Gas         int64 // limits as those of run.Limits
	InitGas     int64
	StackValues int64 // 0: the default
	Slice       int64 // gas that is granted at a time; 0: DefaultSlice

	// Long is called once, before anything that may take long: when the code asks for more than the first slice, and before a call
	// of the host that can wait. Its error ends the run as that of a stream does. nil: nobody wants to know.
	Long func() error

	// Turn is called each time the run has used TurnGas more, also in initialisation, with the gas of both and the bytes of its
	// memory, and returns when it may go on. Its error ends the run as that of Long does. nil, or TurnGas 0: nobody wants
	// to know.
	Turn    func(gas, memory int64) error
	TurnGas int64
}

// IO is where a run's bytes come from and go to. An error of Output, Result or Ask, or one of Stdin other than io.EOF, ends
// the run: the host is gone.
type IO struct {
	Stdin  func(p []byte) (int, error)
	Output func(stderr bool, p []byte) error
	Result func(p []byte) error // called once, at the end of a run that has a result; p may be linear memory

	// Ask asks the host. What an Ask carries may be linear memory, and is valid until the call returns; the Answer is the caller's
	// until the next one. nil: every function of troupe_v1 but gas_left answers abi.ErrUnsupported.
	Ask func(*run.Ask) (*run.Answer, error)
}

// Outcome is how a run ended, as the engine saw it.
type Outcome struct {
	Fault      *fault.Error
	Exited     bool
	Exit       int32
	MemoryPeak int64
	GasUsed    int64 // of the run, at most its limit
	InitGas    int64 // of initialisation, at most its limit
}

// Run runs the app once, in an instance that shows nothing of earlier runs. Settle prepares the next one; Run does it itself if nobody
// did.
//
// # Errors
//
// Outcome.Fault is of class guest or caller. Anything else (the machine refused memory, the host is gone) says nothing
// of the guest, and the process should end.
func (a *App) Run(_ context.Context, s Spec, streams IO) (out Outcome) {
	a.Settle()
	st := &a.state
	st.begin(&s, streams)
	a.initGas, a.mem.peak, a.mem.refused = 0, 0, false
	defer func() {
		if r := recover(); r != nil { // what is raised outside of the engine's calls, which catch their own
			f, ok := r.(*fault.Error)
			if !ok {
				panic(r)
			}
			a.spoiled = true
			out = Outcome{Fault: f, MemoryPeak: a.mem.peak}
		}
		out.InitGas = a.initGas
		if st.meter.init {
			out.InitGas = st.meter.charged()
		} else {
			out.GasUsed = st.meter.charged()
		}
		a.ran()
	}()
	out = a.run(&st.spec)
	out.MemoryPeak = a.mem.peak
	if f := st.meter.over(); f != nil && (out.Fault == nil || out.Fault.Class == fault.Guest) {
		out = Outcome{Fault: f, MemoryPeak: a.mem.peak}
	}
	if f := out.Fault; f != nil && a.mem.refused {
		switch f.Code {
		case fault.GuestTrap, fault.GuestStartTrap, fault.GuestExit:
			out.Fault = fault.New(fault.GuestMemory, f.Op, f.Subject, errRefused)
		}
	}
	return out
}

// errRefused stands in the message of a guest that ended itself after it was told that there is no more memory, beside how
// it ended. It may have dealt with that long ago and have failed for another reason, but nobody can tell from outside, and
// its owner must know of the limit first of all.
var errRefused = errors.New("after a growth of memory past its limit was refused")

func (a *App) run(s *Spec) Outcome {
	if f := a.judge(s); f != nil {
		return Outcome{Fault: f}
	}
	if !a.reuse(s) {
		if end := a.fresh(s); end != nil {
			return *end
		}
	}
	a.state.meter.begin(s.Gas, a.initGas)
	if a.pages.measures() {
		begin := time.Now()
		defer func() { a.took = time.Since(begin) }()
	}
	return a.enter(s)
}

// enter calls what the run is of.
func (a *App) enter(s *Spec) Outcome {
	switch s.Entry.Mode {
	case run.Command:
		if err := a.call("_start"); err != nil {
			return a.ended(err, fault.GuestTrap, run.Command)
		}
		return Outcome{Exited: true} // to return is to exit with 0
	case run.Invoke:
		return a.invoke(s)
	}
	return a.callBytes(s)
}

// call calls a function over the values in the app's stack.
func (a *App) call(name string) error {
	return a.live.function(name).CallWithStack(a.ctx, a.stack)
}

// judge refuses what cannot be run as asked, before anything of the guest runs, and settles the mode.
func (a *App) judge(s *Spec) *fault.Error {
	if f := a.fits(s); f != nil {
		return f
	}
	if s.Entry.Mode == 0 {
		s.Entry.Mode = run.Command
	}
	name := s.Entry.Name
	if s.Entry.Mode == run.Command {
		name = "_start"
	}
	def := a.exports[name]
	if def == nil {
		return fault.New(fault.GuestMissingExport, "link", fault.Quote(name), nil)
	}
	ok := true
	switch s.Entry.Mode {
	case run.Command:
		if f := judgeStrings(s.Entry); f != nil {
			return f
		}
		ok = len(def.params) == 0 && len(def.results) == 0
	case run.Bytes:
		p, r := def.params, def.results
		ok = len(p) == 2 && p[0] == api.ValueTypeI32 && p[1] == api.ValueTypeI32 && len(r) == 1 && r[0] == api.ValueTypeI64
	case run.Invoke:
		ok = numbers(def.params) && numbers(def.results)
	}
	if !ok {
		return fault.New(fault.GuestBadSignature, "link", fault.Quote(name), nil)
	}
	return nil
}

// fits refuses what cannot be instantiated for a run.
func (a *App) fits(s *Spec) *fault.Error {
	if a.twice != "" {
		return fault.New(fault.GuestUnknownImport, "link", fault.Quote(a.twice)+" with two types", nil)
	}
	if i := a.unknown[s.Imports == run.TrapMissing]; i != nil {
		return fault.New(fault.GuestUnknownImport, "link", fault.Quote(i.Module+"."+i.Name), nil)
	}
	if a.pagesMin > uint64(s.MemoryBytes/run.PageBytes) {
		return fault.New(fault.GuestMemory, "instantiate", fmt.Sprintf("%d pages at the start", a.pagesMin), nil)
	}
	// Tables live beside linear memory.
	if a.elements > uint64(s.MemoryBytes/wire.TableElementBytes) {
		return fault.New(fault.GuestMemory, "instantiate", fmt.Sprintf("%d table elements at the start", a.elements), nil)
	}
	return nil
}

// numbers reports whether all types are those of numbers, which arguments can be.
func numbers(types []api.ValueType) bool {
	for _, t := range types {
		if t < api.ValueTypeF64 || t > api.ValueTypeI32 {
			return false
		}
	}
	return true
}

// judgeStrings refuses what WASI cannot say: it ends strings with a NUL.
func judgeStrings(e run.Entry) *fault.Error {
	bad := func(subject, hint string) *fault.Error {
		return fault.New(fault.CallerInvalid, "link", fault.Quote(subject), nil).WithHint(hint)
	}
	for _, a := range append([]string{e.Name}, e.Args...) {
		if strings.ContainsRune(a, 0) {
			return bad(a, "arguments must not contain NUL")
		}
	}
	for _, kv := range e.Env {
		if k, _, _ := strings.Cut(kv, "="); k == "" || strings.ContainsRune(kv, 0) {
			return bad(kv, "environment entries are KEY=VALUE without NUL")
		}
	}
	return nil
}

// ended reads the error of a call. trap is the code of a trap in this phase. Only a command exits: whoever calls a
// function waits for its return, and an exit in place of it, of any code, is a trap.
func (a *App) ended(err error, trap fault.Code, mode run.Mode) Outcome {
	exit, ok := errors.AsType[*sys.ExitError](err)
	a.spoiled = a.spoiled || !ok
	if ok {
		code := int32(exit.ExitCode())
		switch {
		case mode != run.Command:
			return Outcome{Fault: fault.New(trap, "run", fmt.Sprintf("exit with code %d instead of a return", code), nil)}
		case code == 0:
			return Outcome{Exited: true}
		}
		return Outcome{Exited: true, Exit: code, Fault: fault.New(fault.GuestExit, "run", fmt.Sprintf("exit code %d", code), nil)}
	}
	if f, ok := errors.AsType[*fault.Error](err); ok {
		return Outcome{Fault: f}
	}
	message := trapMessage(err.Error(), a.place)
	if strings.HasPrefix(message, "stack overflow") {
		trap = fault.GuestStack
	}
	return Outcome{Fault: fault.New(trap, "run", fault.Quote(message), nil)}
}
