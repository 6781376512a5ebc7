package engine

import (
	"context"
	"errors"
	"reflect"
	"slices"

	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/artifacts/wasm"
)

// living is an instance of the code, with handles on what is used in each run.
type living struct {
	mod        api.Module
	mem        api.Memory // nil: there is none
	buffer     *[]byte    // what the engine holds to be the memory; nil: it keeps that to itself
	gas, stack api.MutableGlobal
	globals    []api.MutableGlobal // as App.globals
	functions  map[string]api.Function
	times      times
	snap       *snapshot // what it was made from; nil: nothing that can be had again
}

// function returns an exported function. A look-up makes a stack, so it is kept.
func (in *living) function(name string) api.Function {
	f := in.functions[name]
	if f == nil {
		f = in.mod.ExportedFunction(name)
		in.functions[name] = f
	}
	return f
}

// snapshot is what an instance is after its initialisation, and what this has seen of the world.
type snapshot struct {
	base    *base
	size    int64 // of the linear memory
	globals []uint64
	heap    heap
	clock   clock
	drawn   int64
	initGas int64

	initialised   bool // _initialize was called
	times         times
	seen          effect
	args, environ []string
	peak          int64 // of memory
	refused       bool  // a growth of memory, past limit
	limit         int64
	values        int64 // limit of the stack
}

// initialises reports whether _initialize is called before an entry.
func (a *App) initialises(s *Spec) bool {
	return a.exports["_initialize"] != nil && s.Entry.Mode != run.Command && s.Entry.Name != "_initialize"
}

// fits reports whether initialisation would have been the same for a run.
func (n *snapshot) fits(a *App, s *Spec) bool {
	m := &a.state.meter
	return n.initialised == a.initialises(s) && n.times == timesOf(s).initial() &&
		s.MemoryBytes >= n.peak && (!n.refused || s.MemoryBytes == n.limit) && m.values >= n.values &&
		(m.limit == run.NoGasLimit || n.initGas <= m.limit) &&
		(n.seen&seesArgs == 0 || slices.Equal(n.args, a.state.argv())) &&
		(n.seen&seesEnv == 0 || slices.Equal(n.environ, a.state.environ()))
}

// reuse makes the instance ready for a run, if what was kept is what the run would make: the instance itself, or else its
// snapshot.
func (a *App) reuse(s *Spec) bool {
	if (a.snap == nil || !a.snap.fits(a, s)) && !a.adopt(s) {
		return false
	}
	n := a.snap
	if a.live != nil && (a.live.snap != n || a.live.times != timesOf(s) || !a.mem.fits(s.MemoryBytes)) {
		a.discard()
	}
	if a.live == nil && !a.restore(s.MemoryBytes, timesOf(s)) {
		return false
	}
	a.clean = false
	st := &a.state
	a.mem.limit, a.mem.peak, a.mem.refused = s.MemoryBytes, n.peak, n.refused
	st.heap, st.ready = n.heap, true
	st.heap.mem = a.live.mem
	st.clock, st.drawn = n.clock, n.drawn
	st.meter.gas, st.meter.stack = a.live.gas, a.live.stack
	a.initGas = n.initGas
	return true
}

// restore makes an instance from the snapshot. None of the guest's code runs.
func (a *App) restore(limit int64, t times) bool {
	n := a.snap
	if err := a.instantiate(limit, n.base, t, n.size); err != nil {
		return false
	}
	if a.opaque { // who made the snapshot said what cannot be
		a.snap, a.stored = nil, nil
		return false
	}
	for i, g := range a.live.globals {
		g.Set(n.globals[i])
	}
	a.live.stack.Set(0)
	a.live.snap = n
	return true
}

// instantiate makes an instance over a base, with a memory that has grown to size already; 0: its initial size.
func (a *App) instantiate(limit int64, b *base, t times, size int64) error {
	a.discard()
	a.mem.recycle(limit, b)
	ctx := experimental.WithMemoryAllocator(a.ctx, &a.mem)
	mod, err := a.rt.InstantiateModule(ctx, a.compiled, a.state.configure(t))
	if err != nil {
		return err
	}
	in := &living{mod: mod, mem: memoryOf(mod), functions: map[string]api.Function{}, times: t}
	a.live, a.clean, a.spoiled = in, false, false
	in.gas, _ = mod.ExportedGlobal(wasm.GasGlobal).(api.MutableGlobal)
	in.stack, _ = mod.ExportedGlobal(wasm.StackGlobal).(api.MutableGlobal)
	if in.gas == nil || in.stack == nil {
		panic(fault.New(fault.SuspectArtifact, "run", "", errNoMeter))
	}
	for _, name := range a.globals {
		g, ok := mod.ExportedGlobal(name).(api.MutableGlobal)
		if !ok || g.Type() < api.ValueTypeF64 || g.Type() > api.ValueTypeI32 {
			a.opaque = true
			continue
		}
		in.globals = append(in.globals, g)
	}
	if in.mem == nil {
		return nil
	}
	in.buffer = bufferOf(in.mem)
	if more := size - int64(in.mem.Size()); more > 0 {
		if _, ok := in.mem.Grow(uint32(more >> 16)); !ok {
			return errors.New("memory does not grow to what it was")
		}
	}
	if b != nil || a.segments && size > 0 {
		return a.mem.put(b)
	}
	return nil
}

// fresh makes an instance and initialises it, and keeps what that made. It returns how the run ended, if it did.
func (a *App) fresh(s *Spec) *Outcome {
	end := a.initialise(s)
	if end == nil {
		a.take(s)
	}
	return end
}

// initialise makes an instance and initialises it. It returns how the run ended, if it did.
func (a *App) initialise(s *Spec) *Outcome {
	st := &a.state
	a.initGas = 0
	end := func(f *fault.Error) *Outcome { return &Outcome{Fault: f} }
	if err := a.instantiate(s.MemoryBytes, a.image, timesOf(s), 0); err != nil {
		out := a.ended(err, fault.GuestStartTrap, s.Entry.Mode)
		return &out
	}
	a.mem.refused = false
	if a.starts {
		if err := a.live.function(wasm.StartExport).CallWithStack(a.ctx, a.stack); err != nil {
			out := a.ended(err, fault.GuestStartTrap, s.Entry.Mode)
			return &out
		}
	}
	st.meter.bind(a.live.mod)
	st.heap, st.ready = *newHeap(a.live.mod), true
	if a.initialises(s) {
		if d := a.exports["_initialize"]; len(d.params) > 0 || len(d.results) > 0 {
			return end(fault.New(fault.GuestBadSignature, "link", "_initialize", nil))
		}
		if err := a.call("_initialize"); err != nil {
			return end(a.ended(err, fault.GuestStartTrap, s.Entry.Mode).Fault)
		}
	}
	if f := st.meter.over(); f != nil {
		return end(f)
	}
	a.initGas = st.meter.used()
	return nil
}

// keeps reports whether what initialisation made is all that a run begins with, and the same for another one.
func (a *App) keeps(s *Spec) bool {
	if begins := a.starts || a.initialises(s); !begins || a.opaque {
		return !a.opaque
	}
	never := reads | writes | kept
	if s.Determinism == run.RealWorld { // what was random, or the time, for one run may not be so for all that follow
		never |= seesClock | seesRandom
	}
	return a.state.seen&never == 0 && a.resets&(wasm.ChangesTables|wasm.DropsSegments|wasm.Throws) == 0
}

// take takes a snapshot of what initialisation made, if another run can begin with it.
func (a *App) take(s *Spec) {
	st, in := &a.state, a.live
	initialised := a.initialises(s)
	begins := a.starts || initialised
	if a.runs < a.next || !a.keeps(s) {
		return
	}
	n := &snapshot{
		base: a.image, size: a.mem.size, heap: st.heap, clock: st.clock, drawn: st.drawn, initGas: a.initGas,
		initialised: initialised, times: timesOf(s).initial(), seen: st.seen,
		peak: a.mem.peak, refused: a.mem.refused, limit: s.MemoryBytes, values: st.meter.values,
	}
	if n.seen&seesArgs != 0 {
		n.args = st.argv()
	}
	if n.seen&seesEnv != 0 {
		n.environ = st.environ()
	}
	for _, g := range in.globals {
		n.globals = append(n.globals, g.Get())
	}
	if in.mem != nil && (begins || a.segments) {
		b, err := a.room.capture(a.mem.view())
		a.snap = nil // what it was over has changed
		if err != nil {
			a.next = a.runs + 1<<min(a.taken, 20)
			return
		}
		if err := a.mem.put(b); err != nil {
			panic(fault.New(fault.HostMemory, "take a snapshot", "", err))
		}
		n.base = b
	}
	a.taken++
	a.next = a.runs + a.taken*a.taken // whoever begins in another way each time gains nothing
	a.snap, in.snap = n, n
	a.pages.restart()
}

// ran notes that a run is over.
func (a *App) ran() {
	a.runs++
	if a.state.seen&kept != 0 || a.resets&(wasm.ChangesTables|wasm.DropsSegments|wasm.Throws) != 0 {
		a.spoiled = true
	}
	a.state.over()
}

// Settle forgets the last run and prepares the next one. It is called after the reply was sent, and does nothing the second
// time.
func (a *App) Settle() {
	in := a.live
	if in == nil || a.clean {
		return
	}
	if n := a.snap; n != nil {
		if !a.spoiled && in.snap == n && a.reset(n) {
			a.clean = true
			return
		}
		t := in.times
		a.discard()
		if func() (ok bool) {
			defer func() { // the next run meets what is wrong itself
				if recover() != nil {
					ok = false
				}
			}()
			return a.restore(a.mem.limit, t)
		}() {
			a.clean = true
			return
		}
	}
	a.discard()
}

// reset brings the instance back to its snapshot. It returns false if it cannot.
func (a *App) reset(n *snapshot) bool {
	in := a.live
	for i, g := range in.globals {
		g.Set(n.globals[i])
	}
	in.stack.Set(0)
	if in.mem == nil {
		return true
	}
	if a.mem.size != n.size && !a.shrink(n.size) {
		return false
	}
	a.pages.reset(&a.mem, a.took)
	return true
}

// shrink takes back what memory has grown by, which the engine has no word for: it believes what its buffer says, and looks there
// when memory grows.
func (a *App) shrink(size int64) bool {
	in := a.live
	if in.buffer == nil || size < run.PageBytes || int64(len(*in.buffer)) != a.mem.size {
		return false
	}
	a.mem.forget(size, a.mem.size)
	before := size - run.PageBytes
	*in.buffer = (*in.buffer)[:before]
	a.mem.size = before
	_, ok := in.mem.Grow(1)
	return ok && int64(in.mem.Size()) == size
}

// bufferOf finds where the engine keeps a memory, or returns nil.
func bufferOf(mem api.Memory) *[]byte {
	v := reflect.ValueOf(mem)
	if v.Kind() != reflect.Pointer || v.Elem().Kind() != reflect.Struct {
		return nil
	}
	f := v.Elem().FieldByName("Buffer")
	if !f.IsValid() || !f.CanAddr() || !f.CanInterface() {
		return nil
	}
	b, _ := f.Addr().Interface().(*[]byte)
	return b
}

// discard ends the instance.
func (a *App) discard() {
	if a.live != nil {
		_ = a.live.mod.Close(context.Background())
		a.live = nil
	}
}
