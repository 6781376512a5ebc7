package engine

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"

	"github.com/troupehost/troupe/artifacts/wasm"
)

// mode is a way to prepare modules. The reference takes them as they are.
type mode struct {
	name     string
	original bool
	options  wasm.Options
	slice    int64                        // gas per grant
	rewrite  func([]byte) ([]byte, error) // in place of Instrument, for tests of the tests
}

const (
	smallSlice = 1000
	largeSlice = 1 << 40
	stackLimit = 65536 // values, the default of the product
)

// modes begin with the reference, against which the others are held. One grants small slices, so that refills happen.
func modes() []mode {
	w := unitWeights()
	return []mode{
		{name: "reference", original: true},
		{name: "plain"},
		{name: "gas", options: wasm.Options{Weights: w}, slice: smallSlice},
		{name: "gas+stack", options: wasm.Options{Weights: w, Stack: true}, slice: largeSlice},
		{name: "gas+stack+nan", options: wasm.Options{Weights: w, Stack: true, CanonicalNaNs: true}, slice: largeSlice},
	}
}

// unitWeights charge something for everything, so that no charge can be forgotten unseen.
func unitWeights() *wasm.Weights {
	w := &wasm.Weights{Function: 2, Local: 1, HostCall: 10, GrowPage: 100, BulkByte: 1, TableGrow: 1, BulkElement: 1}
	for i := range w.Op {
		if i < 0xfc {
			w.Op[i] = 1
		}
	}
	for i := range w.Misc {
		w.Misc[i] = 1
	}
	for i := range w.Vector {
		w.Vector[i] = 1
	}
	return w
}

// errStack is what the meter of these tests stops a guest with that has no stack left.
var errStack = errors.New("guest.stack")

// errNoNeed is a call of refill while no account was below zero.
var errNoNeed = errors.New("refill without need")

// world is an engine of its own, in which modules of one mode live and link.
type world struct {
	mode       mode
	rt         wazero.Runtime
	ctx        context.Context // by which imports are resolved
	registered map[string]api.Module
	accounts   map[api.Module]*specAccount
	ledger     []*specAccount // all accounts
	refills    int
}

// specAccount is what the meter knows of a module; globals that the mode does not add are nil.
type specAccount struct {
	gas, stack api.MutableGlobal
	granted    int64
	open       bool // the limit of the stack was granted
}

func newWorld(ctx context.Context, m mode, engine wazero.RuntimeConfig) (*world, error) {
	w := &world{mode: m, registered: map[string]api.Module{}, accounts: map[api.Module]*specAccount{}}
	w.ctx = experimental.WithImportResolver(ctx, func(name string) api.Module { return w.registered[name] })
	w.rt = wazero.NewRuntimeWithConfig(ctx, engine)
	_, err := w.rt.NewHostModuleBuilder(wasm.MeterModule).NewFunctionBuilder().
		WithGoModuleFunction(api.GoModuleFunc(w.refill), nil, nil).Export(wasm.MeterRefill).Instantiate(ctx)
	return w, err // what is not registered is found by its name
}

func (w *world) account(m api.Module) *specAccount {
	a := w.accounts[m]
	if a == nil {
		a = &specAccount{}
		a.gas, _ = m.ExportedGlobal(wasm.GasGlobal).(api.MutableGlobal)
		a.stack, _ = m.ExportedGlobal(wasm.StackGlobal).(api.MutableGlobal)
		w.accounts[m], w.ledger = a, append(w.ledger, a)
	}
	return a
}

// refill grants gas without end, and the stack once.
func (w *world) refill(_ context.Context, m api.Module, _ []uint64) {
	w.refills++
	a, needed := w.account(m), false
	if a.gas != nil {
		if left := int64(a.gas.Get()); left < 0 {
			grant := (-left + w.mode.slice - 1) / w.mode.slice * w.mode.slice
			a.granted += grant
			a.gas.Set(uint64(left + grant))
			needed = true
		}
	}
	if a.stack != nil && int64(a.stack.Get()) < 0 {
		if !a.open {
			a.open = true
			a.stack.Set(a.stack.Get() + stackLimit)
		}
		if int64(a.stack.Get()) < 0 {
			panic(errStack)
		}
		needed = true
	}
	if !needed {
		panic(errNoNeed)
	}
}

// gas returns what all modules have used.
func (w *world) gas() (used int64) {
	for _, a := range w.ledger {
		if a.gas != nil {
			used += a.granted - int64(a.gas.Get())
		}
	}
	return used
}

// settle looks at the stack accounts after a call: who came back has given back what it took. After a trap nobody does, so
// the host starts anew.
func (w *world) settle(trapped bool) error {
	for _, a := range w.ledger {
		if a.stack == nil {
			continue
		}
		full := uint64(0)
		if a.open {
			full = stackLimit
		}
		if got := a.stack.Get(); got != full && !trapped {
			a.stack.Set(full)
			return fmt.Errorf("the stack account is %d after the call, not %d", int64(got), full)
		}
		a.stack.Set(full)
	}
	return nil
}

// prepare returns the module as this world runs it.
func (w *world) prepare(code []byte, p wasm.Policy) ([]byte, error) {
	switch {
	case w.mode.original:
		return code, nil
	case w.mode.rewrite != nil:
		return w.mode.rewrite(code)
	}
	out, err := wasm.Instrument(code, p, w.mode.options)
	if err != nil {
		return nil, err
	}
	return out.Code, nil
}

// instance is a module with the functions of it that were called.
type instance struct {
	api.Module
	functions map[string]api.Function
}

func (w *world) instantiate(code []byte) (*instance, error) {
	compiled, err := w.rt.CompileModule(w.ctx, code)
	if err != nil {
		return nil, err
	}
	m, err := w.rt.InstantiateModule(w.ctx, compiled, wazero.NewModuleConfig().WithName("").WithStartFunctions())
	if err != nil {
		return nil, err
	}
	w.account(m)
	return &instance{Module: m, functions: map[string]api.Function{}}, nil
}

// function returns an exported function, or nil. Looking one up costs the engine a stack of its own.
func (i *instance) function(name string) api.Function {
	fn := i.functions[name]
	if fn == nil {
		if fn = i.ExportedFunction(name); fn != nil {
			i.functions[name] = fn
		}
	}
	return fn
}

// outcome is how a command ended: with results, or with a kind of trap.
type outcome struct {
	results []uint64
	trap    string // "" when there was none
	err     error
	gas     int64 // used by all modules together
	metered bool  // the function called belongs to a module that is metered
}

// call invokes a function, and keeps the accounts.
func (w *world) call(i *instance, name string, args []uint64) outcome {
	fn := i.function(name)
	if fn == nil {
		return outcome{trap: "no such function", err: fmt.Errorf("no function %q", name)}
	}
	before := w.gas()
	results, err := fn.Call(w.ctx, args...)
	o := outcome{results: results, trap: trapOf(err), err: err, gas: w.gas() - before}
	_, _, imported := fn.Definition().Import()
	o.metered = !imported && w.mode.options.Weights != nil
	if err != nil {
		delete(i.functions, name) // its stack may have grown large
	}
	if broken := w.settle(err != nil); broken != nil && err == nil {
		o.err, o.trap = broken, broken.Error()
	}
	return o
}

// trapOf returns the engine's word for a trap, and "refused" for what is none: a module that does not link.
func trapOf(err error) string {
	if err == nil {
		return ""
	}
	for _, own := range []error{errStack, errNoNeed} {
		if errors.Is(err, own) {
			return own.Error()
		}
	}
	line := firstLine(err.Error())
	if _, after, ok := strings.Cut(line, "wasm error: "); ok {
		return after
	}
	if _, after, ok := strings.Cut(line, "]: "); ok && strings.HasPrefix(line, "data[") { // a segment, at instantiation
		return after
	}
	if line == "stack overflow" {
		return line
	}
	return "refused"
}

// engineFeatures are the engine's words for features.
func engineFeatures(f wasm.Features) api.CoreFeatures {
	var e api.CoreFeatures
	for ours, theirs := range map[wasm.Features]api.CoreFeatures{
		wasm.MutableGlobals:       api.CoreFeatureMutableGlobal,
		wasm.SignExtension:        api.CoreFeatureSignExtensionOps,
		wasm.SaturatingConversion: api.CoreFeatureNonTrappingFloatToIntConversion,
		wasm.MultiValue:           api.CoreFeatureMultiValue,
		wasm.BulkMemory:           api.CoreFeatureBulkMemoryOperations,
		wasm.ReferenceTypes:       api.CoreFeatureReferenceTypes,
		wasm.SIMD:                 api.CoreFeatureSIMD,
		wasm.TailCalls:            experimental.CoreFeaturesTailCall,
		wasm.ExtendedConst:        experimental.CoreFeaturesExtendedConst,
		wasm.Exceptions:           experimental.CoreFeaturesExceptionHandling,
	} {
		if f&ours != 0 {
			e |= theirs
		}
	}
	return e
}
