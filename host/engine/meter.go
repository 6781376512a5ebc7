package engine

import (
	"context"
	"fmt"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/artifacts/wasm"
)

// DefaultSlice is how much gas is granted at a time: about 10 ms of work.
const DefaultSlice = int64(1_000_000_000)

// accounts are those of one instance. Code counts both down by itself and calls refill when one of them is below zero; at
// the start both are 0. What was used is what was granted less what is left, so that it depends on the size of slices in no way:
// a slice says only how often the host is asked.
//
// A run is over its limit exactly if it used more than that, whether a check saw it or not. So the verdict follows from the gas
// that the work takes, and a run whose limit is what it used before ends as before.
type accounts struct {
	gas, stack api.MutableGlobal // nil: the instance is not known yet

	slice, limit, granted int64 // of the phase; limit run.NoGasLimit: none
	values                int64 // limit of the stack
	deep                  bool  // the stack was granted; it is once, since each return gives back what its call took
	init                  bool  // the phase is initialisation
	before                int64 // gas of initialisation, once it is over

	turn func(gas, memory int64) error // nil: the run needs no turns
	each int64                         // gas between them
	next int64                         // gas of the phase at which the run asks for one
}

func newAccounts(s Spec) *accounts {
	m := new(accounts)
	m.reset(&s)
	return m
}

// reset is for a run whose instance is not known yet.
func (m *accounts) reset(s *Spec) {
	*m = accounts{slice: s.Slice, limit: s.InitGas, values: s.StackValues, init: true}
	if m.slice <= 0 {
		m.slice = DefaultSlice
	}
	if m.values == 0 {
		m.values = run.DefaultStackValues
	}
	if s.Turn != nil && s.TurnGas > 0 {
		m.turn, m.each, m.next = s.Turn, s.TurnGas, s.TurnGas
	}
}

// bind finds the accounts of an instance.
func (m *accounts) bind(mod api.Module) {
	if m.gas != nil {
		return
	}
	gas, counts := mod.ExportedGlobal(wasm.GasGlobal).(api.MutableGlobal)
	stack, deep := mod.ExportedGlobal(wasm.StackGlobal).(api.MutableGlobal)
	if !counts || !deep {
		panic(fault.New(fault.SuspectArtifact, "run", "", errNoMeter))
	}
	m.gas, m.stack = gas, stack
}

// begin ends initialisation, which took so much: what the run uses is counted from 0, against a limit of its own. The first slice is granted at
// once, and the stack with it, so that a short run never asks.
func (m *accounts) begin(limit, before int64) {
	m.granted, m.limit, m.init, m.next, m.before = 0, limit, false, m.each, before
	m.gas.Set(0)
	m.grant()
	if !m.deep {
		m.deep = true
		m.stack.Set(uint64(m.values))
	}
}

// used returns the gas that the phase has used. An instance that ended before its first check has used nothing that counts.
func (m *accounts) used() int64 {
	if m.gas == nil {
		return 0
	}
	return min(max(m.spent(), 0), run.MaxGas)
}

// spent is used without bounds: no account is further below zero than one amount.
func (m *accounts) spent() int64 { return m.granted - int64(m.gas.Get()) }

// charged returns what a receipt says: a phase that passed its limit has used all of it.
func (m *accounts) charged() int64 {
	if m.limit == run.NoGasLimit {
		return m.used()
	}
	return min(m.used(), m.limit)
}

// told is what the host hears before the end: all phases together, since who is killed in its initialisation has computed, too.
func (m *accounts) told() int64 {
	before := min(m.before, run.MaxGas)
	return before + min(m.charged(), run.MaxGas-before)
}

// over returns the fault of a phase that used more than its limit, or nil.
func (m *accounts) over() *fault.Error {
	if m.limit == run.NoGasLimit || m.gas == nil || m.spent() <= m.limit {
		return nil
	}
	if m.init {
		return fault.New(fault.GuestGasLimit, "initialise", fmt.Sprintf("%d for initialisation", m.limit), nil)
	}
	return fault.New(fault.GuestGasLimit, "run", fmt.Sprint(m.limit), nil)
}

// refill grants what an account lacks, or ends the run. The order is part of the verdict: gas goes first.
func (m *accounts) refill(mod api.Module) {
	m.bind(mod)
	if f := m.over(); f != nil {
		panic(f)
	}
	if left := int64(m.stack.Get()); left < 0 {
		if !m.deep {
			m.deep = true
			left += m.values
			m.stack.Set(uint64(left))
		}
		if left < 0 {
			panic(fault.New(fault.GuestStack, "run", fmt.Sprintf("more than %d values", m.values), nil))
		}
	}
	if int64(m.gas.Get()) < 0 {
		m.takeTurn(mod)
		m.grant()
	}
}

// takeTurn asks for a turn if the phase has used up the last one.
func (m *accounts) takeTurn(mod api.Module) {
	used := m.used()
	if m.turn == nil || used < m.next {
		return
	}
	memory := int64(0)
	if mem := memoryOf(mod); mem != nil {
		memory = int64(mem.Size())
	}
	if err := m.turn(m.told(), memory); err != nil {
		panic(fault.New(fault.CanceledStopped, "run", "", err))
	}
	m.next = used + min(m.each, run.MaxGas-used)
}

// grant lets the code work on for a slice, or for what is left of the limit.
func (m *accounts) grant() {
	used := m.used()
	m.granted = used + min(m.slice, run.MaxGas-used)
	if m.turn != nil && used < m.next {
		m.granted = min(m.granted, m.next)
	}
	if m.limit != run.NoGasLimit {
		m.granted = min(m.granted, m.limit)
	}
	m.gas.Set(uint64(m.granted - used))
}

// isMeter reports whether an import is the one that the instrumentation adds; code that has one by itself is refused.
func isMeter(i wasm.Import) bool {
	return i.Kind == wasm.Func && i.Module == wasm.MeterModule && i.Name == wasm.MeterRefill && i.Desc == "() -> ()"
}

// exportMeter adds refill to the module of the meter.
func exportMeter(b wazero.HostModuleBuilder) error {
	b.NewFunctionBuilder().WithGoModuleFunction(api.GoModuleFunc(func(ctx context.Context, mod api.Module, _ []uint64) {
		s := stateOf(ctx)
		if s == nil { // to grant nothing would have the code ask for ever
			panic(fault.New(fault.BugUnexpected, "refill", "outside of a run", nil))
		}
		if s.meter.granted > 0 {
			s.long()
		}
		s.meter.refill(mod)
	}), nil, nil).Export(wasm.MeterRefill)
	return nil
}

// metered reports whether a skeleton has what a meter needs.
func metered(m *wasm.Module) bool {
	found := 0
	for _, e := range m.Exports {
		if e.Kind == wasm.Global && (e.Name == wasm.GasGlobal || e.Name == wasm.StackGlobal) {
			found++
		}
	}
	return found == 2
}
