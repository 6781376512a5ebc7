package engine

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"
	"github.com/tetratelabs/wazero/sys"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/artifacts/wasm"
	"github.com/troupehost/troupe/host/abi"
	"github.com/troupehost/troupe/host/wire"
)

// App is a loaded artifact.
type App struct {
	rt       wazero.Runtime
	compiled wazero.CompiledModule
	module   *wasm.Module
	symbols  *wasm.Symbols
	original functions // those of the code as it was given
	exports  map[string]api.FunctionDefinition
	twice    string // a function that is imported with two types, which nobody can offer; "" if there is none
}

// Load makes an app of the parts of an artifact. It never compiles.
//
// # Errors
//
// suspect.artifact_rejected: the parts do not fit this build or each other.
func Load(ctx context.Context, skeleton, code []byte) (*App, error) {
	rejected := func(err error) (*App, error) {
		return nil, fault.New(fault.SuspectArtifact, "load", fault.Quote(firstLine(fmt.Sprint(err))), nil)
	}
	m, err := wasm.Scan(skeleton)
	if err != nil {
		return rejected(err)
	}
	symbols, err := m.Symbols()
	if err != nil {
		return rejected(err)
	}
	if !metered(m) {
		return rejected(errNoMeter)
	}
	h := &hook{entry: code}
	rt, err := newRuntime(ctx, h)
	if err != nil {
		return nil, err
	}
	c, err := rt.CompileModule(ctx, m.LimitTables(skeleton, wire.MaxTableElements))
	if err == nil && (h.added != nil || h.misses > 0) {
		err = errNoEntry
	}
	if err != nil {
		_ = rt.Close(ctx)
		return rejected(err)
	}
	a := &App{rt: rt, compiled: c, module: m, symbols: symbols, original: originalOf(m), exports: c.ExportedFunctions()}
	if err := a.link(ctx); err != nil {
		_ = rt.Close(ctx)
		return rejected(err)
	}
	return a, nil
}

var errNoMeter = errors.New("the code is not metered")

// Close frees the app.
func (a *App) Close() error { return a.rt.Close(context.Background()) }

// link instantiates what the module imports: WASI, the allocator, and a trap for every function that is not offered.
// The policy of a run decides before it starts whether such traps may stand.
func (a *App) link(ctx context.Context) error {
	builders := map[string]wazero.HostModuleBuilder{}
	types := map[[2]string]string{}
	for _, i := range a.module.Imports {
		if i.Kind != wasm.Func {
			continue
		}
		name := [2]string{i.Module, i.Name}
		if t, again := types[name]; again {
			if t != i.Desc {
				a.twice = i.Module + "." + i.Name
			}
			continue
		}
		types[name] = i.Desc
		b := builders[i.Module]
		if b == nil {
			b = a.rt.NewHostModuleBuilder(i.Module)
			switch i.Module {
			case abi.WASI:
				if err := exportWASI(b); err != nil {
					return err
				}
			case abi.Env:
				exportAllocator(b)
			}
			builders[i.Module] = b
		}
		switch {
		case isMeter(i):
			exportMeter(b)
		case !abi.Known(i.Module, i.Name, i.Desc):
			t := a.module.Types[i.TypeIndex]
			b.NewFunctionBuilder().WithGoModuleFunction(missing(i.Module, i.Name), t.Params, t.Results).Export(i.Name)
		}
	}
	for _, b := range builders {
		if _, err := b.Instantiate(ctx); err != nil {
			return err
		}
	}
	return nil
}

// missing traps: the guest called an import that the host does not offer.
func missing(module, name string) api.GoModuleFunc {
	return func(context.Context, api.Module, []uint64) {
		panic(fault.New(fault.GuestUnknownImport, "call", fault.Quote(module+"."+name), nil))
	}
}

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

	Long func() error // called when a run goes on after a slice, before the next one; nil: nobody wants to know
}

// IO is where a run's bytes come from and go to. An error of Output or Result, or one of Stdin other than io.EOF, ends
// the run: the host is gone.
type IO struct {
	Stdin  func(p []byte) (int, error)
	Output func(stderr bool, p []byte) error
	Result func(p []byte) error // called once, at the end of a run that has a result; p may be linear memory
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

// runState is what the host functions of one run share.
type runState struct {
	heap  *heap
	meter *accounts
	long  func() error
}

type runKey struct{}

// Run runs the app once, in an instance of its own that sees nothing of earlier runs.
//
// # Errors
//
// Outcome.Fault is of class guest or caller. Anything else (the machine refused memory, the host is gone) says nothing
// of the guest, and the process should end.
func (a *App) Run(ctx context.Context, s Spec, streams IO) (out Outcome) {
	mem := &linearMemory{limit: s.MemoryBytes}
	meter := newAccounts(s)
	var initGas int64
	defer mem.Free() // an instance that failed to start does not free it
	defer func() {   // what is raised outside of the engine's calls, which catch their own
		if r := recover(); r != nil {
			f, ok := r.(*fault.Error)
			if !ok {
				panic(r)
			}
			out = Outcome{Fault: f, MemoryPeak: mem.peak}
		}
		out.InitGas = initGas
		if meter.init {
			out.InitGas = meter.charged()
		} else {
			out.GasUsed = meter.charged()
		}
	}()
	out = a.run(ctx, s, streams, mem, meter, &initGas)
	out.MemoryPeak = mem.peak
	if f := meter.over(); f != nil && (out.Fault == nil || out.Fault.Class == fault.Guest) {
		out = Outcome{Fault: f, MemoryPeak: mem.peak}
	}
	if f := out.Fault; f != nil && mem.refused {
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

func (a *App) run(ctx context.Context, s Spec, streams IO, mem *linearMemory, meter *accounts, initGas *int64) Outcome {
	if f := a.judge(&s); f != nil {
		return Outcome{Fault: f}
	}
	budget := &output{left: s.OutputBytes, send: streams.Output}
	cfg := wazero.NewModuleConfig().WithName("").WithStartFunctions().
		WithStdin(reader(streams.Stdin)).WithStdout(stream{budget, false}).WithStderr(stream{budget, true})
	if s.Determinism == run.RealWorld {
		cfg = newRealClock(s.ClockStep).set(cfg).WithRandSource(rand.Reader)
	} else {
		cfg = new(clock).set(cfg) // the engine's own random source is the same in each instance
	}
	if s.Entry.Mode == run.Command {
		cfg = cfg.WithArgs(append([]string{"guest"}, s.Entry.Args...)...)
		for _, kv := range s.Entry.Env {
			k, v, _ := strings.Cut(kv, "=")
			cfg = cfg.WithEnv(k, v)
		}
	}
	state := &runState{meter: meter, long: s.Long}
	ctx = context.WithValue(experimental.WithMemoryAllocator(ctx, mem), runKey{}, state)
	mod, err := a.rt.InstantiateModule(ctx, a.compiled, cfg)
	if err != nil {
		return a.ended(err, fault.GuestStartTrap, s.Entry.Mode)
	}
	defer mod.Close(ctx)
	meter.bind(mod)
	state.heap = newHeap(mod)
	if f := a.initialise(ctx, mod, s); f != nil {
		return Outcome{Fault: f}
	}
	if f := meter.over(); f != nil {
		return Outcome{Fault: f}
	}
	*initGas = meter.used()
	meter.begin(s.Gas)

	if s.Entry.Mode == run.Command {
		_, err := mod.ExportedFunction("_start").Call(ctx)
		if err == nil {
			return Outcome{Exited: true} // to return is to exit with 0
		}
		return a.ended(err, fault.GuestTrap, s.Entry.Mode)
	}
	if s.Entry.Mode == run.Invoke {
		return a.invoke(ctx, mod.ExportedFunction(s.Entry.Name), s.Entry.Args, budget, streams.Result)
	}
	return a.callBytes(ctx, mod, s, state.heap, budget, streams.Result)
}

// initialise calls _initialize where a module has it and is not a command.
func (a *App) initialise(ctx context.Context, mod api.Module, s Spec) *fault.Error {
	init := mod.ExportedFunction("_initialize")
	if init == nil || s.Entry.Mode == run.Command || s.Entry.Name == "_initialize" {
		return nil
	}
	if d := init.Definition(); len(d.ParamTypes()) > 0 || len(d.ResultTypes()) > 0 {
		return fault.New(fault.GuestBadSignature, "link", "_initialize", nil)
	}
	if _, err := init.Call(ctx); err != nil {
		return a.ended(err, fault.GuestStartTrap, s.Entry.Mode).Fault
	}
	return nil
}

// judge refuses what cannot be run as asked, before anything of the guest runs, and settles the mode.
func (a *App) judge(s *Spec) *fault.Error {
	if a.twice != "" {
		return fault.New(fault.GuestUnknownImport, "link", fault.Quote(a.twice)+" with two types", nil)
	}
	for _, i := range a.module.Imports {
		known := isMeter(i) || i.Kind == wasm.Memory || i.Kind == wasm.Func && abi.Known(i.Module, i.Name, i.Desc)
		if !known && (i.Kind != wasm.Func || s.Imports != run.TrapMissing) {
			return fault.New(fault.GuestUnknownImport, "link", fault.Quote(i.Module+"."+i.Name), nil)
		}
	}
	if m, ok := a.module.Memory(); ok && m.Min > uint64(s.MemoryBytes/run.PageBytes) {
		return fault.New(fault.GuestMemory, "instantiate", fmt.Sprintf("%d pages at the start", m.Min), nil)
	}
	// Tables live beside linear memory.
	var elements uint64
	for _, t := range a.module.Tables {
		elements += min(t.Min, math.MaxUint32)
	}
	if elements > uint64(s.MemoryBytes/wire.TableElementBytes) {
		return fault.New(fault.GuestMemory, "instantiate", fmt.Sprintf("%d table elements at the start", elements), nil)
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
		ok = len(def.ParamTypes()) == 0 && len(def.ResultTypes()) == 0
	case run.Bytes:
		p, r := def.ParamTypes(), def.ResultTypes()
		ok = len(p) == 2 && p[0] == api.ValueTypeI32 && p[1] == api.ValueTypeI32 && len(r) == 1 && r[0] == api.ValueTypeI64
	case run.Invoke:
		for _, t := range append(append([]api.ValueType{}, def.ParamTypes()...), def.ResultTypes()...) {
			ok = ok && t >= api.ValueTypeF64 && t <= api.ValueTypeI32
		}
	}
	if !ok {
		return fault.New(fault.GuestBadSignature, "link", fault.Quote(name), nil)
	}
	return nil
}

// judgeStrings refuses what WASI cannot say: it ends strings with a NUL.
func judgeStrings(e run.Entry) *fault.Error {
	bad := func(subject, hint string) *fault.Error {
		return fault.New(fault.CallerInvalid, "link", fault.Quote(subject), nil).WithHint(hint)
	}
	for _, a := range e.Args {
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
	if exit, ok := errors.AsType[*sys.ExitError](err); ok {
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
