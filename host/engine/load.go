package engine

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/artifacts/wasm"
	"github.com/troupehost/troupe/host/abi"
	"github.com/troupehost/troupe/host/wire"
)

// App is a loaded artifact, with the one instance of it that there is.
type App struct {
	rt       wazero.Runtime
	compiled wazero.CompiledModule
	module   *wasm.Module
	symbols  *wasm.Symbols
	original functions // those of the code as it was given
	exports  map[string]*export

	twice    string                // a function that is imported with two types, which nobody can offer; "" if there is none
	unknown  map[bool]*wasm.Import // the first import that is refused, without and with traps for what is missing
	pagesMin uint64                // of the linear memory
	elements uint64                // of all tables, at the start
	globals  []string              // exports of the mutable globals of the code
	starts   bool                  // there is a start function
	segments bool                  // active data segments are written at each instantiation
	resets   wasm.Resets
	opaque   bool // no state is ever kept, as where a mutable global cannot be read and set
	image    *base
	stored   *stored // nil: there is none
	owned    []*os.File

	state runState
	ctx   context.Context // holds state
	stack []uint64
	mem   linearMemory
	room  scratch
	pages pages

	live    *living
	clean   bool // live was reset, and nothing happened since
	spoiled bool // the instance is not to be used again
	snap    *snapshot
	initGas int64
	took    time.Duration // of the last run without its beginning, if somebody wants to know
	runs    int
	taken   int // snapshots
	next    int // the run from which on another one may be taken
}

// export is the type of an exported function. The engine makes it anew whenever it is asked.
type export struct{ params, results []api.ValueType }

// Parts are what an app is made of; see package artifacts. The app reads all of them as long as it lives.
type Parts struct {
	Module []byte
	Code   Content
	Frame  []byte
	Image  Content // empty: there is none

	Snapshot Content  // empty: there is none
	Scratch  *os.File // an empty memory file as large as the memory of a run may be, for the snapshot; nil: one is made
}

// Contents returns the parts of what was compiled, without files.
func (c *Compiled) Contents() Parts {
	return Parts{Module: c.Skeleton, Code: Content{Bytes: c.Code}, Frame: c.Frame, Image: Content{Bytes: c.Image}}
}

// Blank is an engine that waits for its artifact: all is made that does not depend on it.
type Blank struct {
	hook *hook
	rt   wazero.Runtime
	made map[string]api.Module // the modules of the host, by name
	once bool                  // the app makes one instance, which is never reset
}

// ofHost are the modules that the host offers.
var ofHost = map[string]func(wazero.HostModuleBuilder) error{
	abi.WASI: exportWASI, abi.Env: exportAllocator, wasm.MeterModule: exportMeter,
}

// Warm makes an engine that waits.
//
// # Errors
//
// host.engine_self_test.
func Warm(ctx context.Context) (*Blank, error) {
	b := &Blank{hook: &hook{}, made: map[string]api.Module{}}
	var err error
	if b.rt, err = newRuntime(ctx, b.hook); err != nil {
		return nil, err
	}
	if err := b.offer(ctx); err != nil {
		_ = b.rt.Close(ctx)
		return nil, err
	}
	return b, nil
}

// offer makes the modules of the host.
func (b *Blank) offer(ctx context.Context) error {
	for name, export := range ofHost {
		m := b.rt.NewHostModuleBuilder(name)
		err := export(m)
		if err == nil {
			b.made[name], err = m.Instantiate(ctx)
		}
		if err != nil {
			return fault.New(fault.HostEngine, "warm", fault.Quote(name), err)
		}
	}
	return nil
}

// Close frees an engine that was not loaded.
func (b *Blank) Close() error { return b.rt.Close(context.Background()) }

// Load makes an app of the parts of an artifact. It never compiles.
//
// # Errors
//
// suspect.artifact_rejected: the parts do not fit this build or each other.
func Load(ctx context.Context, parts Parts) (*App, error) {
	b, err := Warm(ctx)
	if err != nil {
		return nil, err
	}
	return b.Load(ctx, parts)
}

// Load is as the function of this name. The engine is used up, also where it fails.
func (b *Blank) Load(ctx context.Context, parts Parts) (*App, error) {
	a, err := b.load(ctx, parts)
	if err != nil {
		if a != nil {
			_ = a.Close()
		} else {
			_ = b.rt.Close(ctx)
		}
		return nil, fault.New(fault.SuspectArtifact, "load", fault.Quote(firstLine(fmt.Sprint(err))), nil)
	}
	return a, nil
}

func (b *Blank) load(ctx context.Context, parts Parts) (*App, error) {
	m, err := wasm.Scan(parts.Module)
	if err != nil {
		return nil, err
	}
	symbols, err := m.Symbols()
	if err != nil {
		return nil, err
	}
	if !metered(m) {
		return nil, errNoMeter
	}
	f, e, err := frameOf(parts.Frame, parts.Code)
	if err != nil {
		return nil, err
	}
	b.hook.entry = e
	c, err := b.rt.CompileModule(ctx, m.LimitTables(parts.Module, wire.MaxTableElements))
	if err == nil && (b.hook.added != nil || b.hook.misses > 0) {
		err = errNoEntry
	}
	if err != nil {
		return nil, err
	}
	a := newApp(b.rt, c, m, symbols, f.resets)
	a.room.file = parts.Scratch
	if a.room.size, err = sizeOf(parts.Scratch); err != nil {
		return a, err
	}
	if err := a.begins(parts.Image, f.image, b.once); err != nil {
		return a, err
	}
	if err := a.offers(parts.Snapshot); err != nil {
		return a, err
	}
	return a, a.link(ctx, b)
}

// newApp returns an app whose imports are not linked yet.
func newApp(rt wazero.Runtime, c wazero.CompiledModule, m *wasm.Module, s *wasm.Symbols, resets wasm.Resets) *App {
	a := &App{rt: rt, compiled: c, module: m, symbols: s, original: originalOf(m), exports: map[string]*export{}, resets: resets}
	for name, d := range c.ExportedFunctions() {
		a.exports[name] = &export{d.ParamTypes(), d.ResultTypes()}
	}
	a.mem.keep = true
	a.ctx = context.WithValue(context.Background(), runKey{}, &a.state)
	a.survey()
	return a
}

func sizeOf(f *os.File) (int64, error) {
	if f == nil {
		return 0, nil
	}
	st, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return st.Size(), nil
}

var (
	errNoMeter = errors.New("the code is not metered")
	errImage   = errors.New("the image is not within the initial memory")
)

// Close frees the app.
func (a *App) Close() error {
	err := a.rt.Close(context.Background())
	a.mem.release()
	a.room.close()
	for _, f := range a.owned {
		_ = f.Close()
	}
	return err
}

// begins takes the image of the initial memory. Where there is but one instance it is copied, and needs no file.
func (a *App) begins(image Content, at uint64, once bool) error {
	n := uint64(len(image.Bytes))
	if n == 0 {
		return nil
	}
	if at%wasm.ImagePage != 0 || a.pagesMin<<16 < n || at > a.pagesMin<<16-n {
		return errImage
	}
	if once {
		a.image = &base{at: int64(at), bytes: image.Bytes}
		return nil
	}
	b, own, err := newBase(image, at)
	if err != nil {
		return err
	}
	if own != nil {
		a.owned = append(a.owned, own)
	}
	a.image = b
	return nil
}

// survey notes what each run would have to ask of the module again.
func (a *App) survey() {
	a.unknown = map[bool]*wasm.Import{}
	for n := range a.module.Imports {
		i := &a.module.Imports[n]
		if isMeter(*i) || i.Kind == wasm.Memory || i.Kind == wasm.Func && abi.Known(i.Module, i.Name, i.Desc) {
			continue
		}
		for _, traps := range []bool{false, true} {
			if a.unknown[traps] == nil && !(traps && i.Kind == wasm.Func) {
				a.unknown[traps] = i
			}
		}
	}
	if m, ok := a.module.Memory(); ok {
		a.pagesMin = m.Min
	}
	for _, t := range a.module.Tables {
		a.elements += min(t.Min, math.MaxUint32)
	}
	for _, e := range a.module.Exports {
		if e.Kind == wasm.Global && len(e.Name) > len(wasm.GlobalPrefix) && e.Name[:len(wasm.GlobalPrefix)] == wasm.GlobalPrefix &&
			e.Name != wasm.GasGlobal && e.Name != wasm.StackGlobal {
			a.globals = append(a.globals, e.Name)
		}
	}
	a.segments = a.module.ActiveData()
	_, a.starts = a.exports[wasm.StartExport]
	most := 2
	for _, d := range a.exports {
		most = max(most, len(d.params), len(d.results))
	}
	a.stack = make([]uint64, most)
}

// link completes what the module imports beside WASI, the allocator and the meter: by the functions of troupe_v1, which few modules
// want, and by a trap for every function that is not offered. The policy of a run decides before it starts whether such traps may stand.
func (a *App) link(ctx context.Context, blank *Blank) error {
	builders := map[string]wazero.HostModuleBuilder{}
	asks := map[string]bool{}
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
		known := isMeter(i) || abi.Known(i.Module, i.Name, i.Desc)
		if known && i.Module == abi.Troupe {
			asks[i.Name] = true
		} else if known {
			continue
		}
		b := builders[i.Module]
		if b == nil {
			b = a.rt.NewHostModuleBuilder(i.Module)
			if export := ofHost[i.Module]; export != nil {
				if err := export(b); err != nil {
					return err
				}
			}
			builders[i.Module] = b
		}
		if known {
			continue
		}
		t := a.module.Types[i.TypeIndex]
		b.NewFunctionBuilder().WithGoModuleFunction(missing(i.Module, i.Name), t.Params, t.Results).Export(i.Name)
	}
	if len(asks) > 0 {
		exportTroupe(builders[abi.Troupe], asks)
	}
	for name, b := range builders {
		if before := blank.made[name]; before != nil {
			if err := before.Close(ctx); err != nil {
				return err
			}
		}
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
