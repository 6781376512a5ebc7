package wasm

// StartGas is the gas that the start-up of the code uses whatever the world looks like: that of its straight line. The start-up is
// the start function, and then the export "_start", or else "_initialize"; the line is followed into functions of the code that
// are called directly. It ends behind the first instruction that does not always lead to the same place or for the same gas:
// loop, if, br_if, br_table, try_table, throws, unreachable, calls through tables and of imported functions, and what is charged by
// amount (memory.grow and operations on whole ranges).
type StartGas struct {
	Gas      uint64    `json:"gas"`      // up to the end of the line and with the instruction there, without what it costs by amount
	Complete bool      `json:"complete"` // the line is the whole start-up: it always uses exactly this gas, unless it traps
	Function *Function `json:"function"` // where the line ends; null if it is complete
	Offset   int       `json:"offset"`   // of that instruction in the original code
}

const (
	maxStartSteps = 1 << 20 // instructions: calls of calls may double them at each level
	maxStartDepth = 64      // calls within each other
)

// line follows the straight line of a start-up.
type line struct {
	m        *Module
	o        Options
	imported uint32
	bodies   []reader
	gas      uint64
	steps    int
	stopped  bool
	where    uint32 // the function of the stop
	at       int
}

// startGas returns nil if nothing runs at the start or gas is not metered.
func (m *Module) startGas(code []byte, o Options, s *Symbols) *StartGas {
	entries := m.entries()
	if o.Weights == nil || len(entries) == 0 {
		return nil
	}
	l := line{m: m, o: o, imported: uint32(len(m.functions) - len(m.Funcs))}
	for body := range m.eachBody(code) {
		l.bodies = append(l.bodies, body)
	}
	for _, index := range entries {
		if !l.stopped {
			l.run(index, 0)
		}
	}
	got := &StartGas{Gas: l.gas, Complete: !l.stopped}
	if l.stopped {
		got.Function, got.Offset = s.function(l.where), l.at
	}
	return got
}

// entries are the functions that a start-up calls.
func (m *Module) entries() (indices []uint32) {
	if index, ok := m.StartFunction(); ok {
		indices = append(indices, index)
	}
	for _, name := range []string{"_start", "_initialize"} {
		for _, e := range m.Exports {
			if e.Kind == Func && e.Name == name {
				return append(indices, e.Index)
			}
		}
	}
	return indices
}

func (l *line) stop(function uint32, offset int) {
	if !l.stopped {
		l.stopped, l.where, l.at = true, function, offset
	}
}

// run follows one function to its end, or to the end of the line.
func (l *line) run(index uint32, depth int) {
	if index < l.imported || depth > maxStartDepth {
		l.stop(index, 0)
		return
	}
	w, r, sig := l.o.Weights, l.bodies[index-l.imported], l.m.Types[l.m.functions[index]]
	l.gas += uint64(w.Function) + uint64(w.Local)*r.walkLocals() + w.carry(len(sig.Params)) + w.carry(len(sig.Results))
	labels := []int{len(sig.Results)} // how many values a branch to each open block carries; all are blocks
	for len(labels) > 0 && !l.stopped {
		i := r.walk()
		if l.steps++; r.err != nil || l.steps > maxStartSteps {
			l.stop(index, i.offset)
			return
		}
		l.gas += i.weight(w)
		switch {
		case i.amount():
			l.stop(index, i.offset)
		case i.prefix != 0:
		case i.op == opBlock:
			labels = append(labels, l.m.blockResults(i.number))
		case i.op == opEnd:
			labels = labels[:len(labels)-1]
		case i.op == opReturn:
			l.gas += w.carry(labels[0])
			return
		case i.op == opBr:
			left := int(i.arg) + 1
			if l.gas += w.carry(labels[len(labels)-left]); left >= len(labels) {
				return
			}
			r.leave(left)
			labels = labels[:len(labels)-left]
		case i.op == opCall || i.op == opReturnCall:
			if i.arg < l.imported {
				l.gas += l.price(i.arg)
				l.stop(index, i.offset)
				return
			}
			if l.run(i.arg, depth+1); i.op == opReturnCall {
				return
			}
		case i.op == opBrIf || i.op == opBrTable:
			l.gas += w.carry(labels[len(labels)-1-int(i.label)])
			l.stop(index, i.offset)
		case i.turns():
			l.stop(index, i.offset)
		}
	}
}

// carry is the gas of handing on so many values.
func (w *Weights) carry(values int) uint64 {
	return uint64(max(values-FreeValues, 0)) * uint64(w.Value)
}

// price is what a call of an imported function costs, whatever its parameters are.
func (l *line) price(index uint32) uint64 {
	if l.o.Charge == nil {
		return uint64(l.o.Weights.HostCall)
	}
	for _, i := range l.m.Imports {
		if i.Kind != Func {
			continue
		}
		if index == 0 {
			return uint64(l.o.Charge(i.Module, i.Name).Base)
		}
		index--
	}
	return 0
}

// blockResults returns how many results a block of a type has; the type is negative if it is not one of the module's.
func (m *Module) blockResults(number int64) int {
	const empty = -64
	switch {
	case number == empty:
		return 0
	case number < 0:
		return 1
	}
	return len(m.Types[number].Results)
}

// leave passes over instructions until so many blocks have ended.
func (r *reader) leave(blocks int) {
	for blocks > 0 && r.err == nil {
		switch i := r.walk(); {
		case i.opens():
			blocks++
		case i.prefix == 0 && i.op == opEnd:
			blocks--
		}
	}
}
