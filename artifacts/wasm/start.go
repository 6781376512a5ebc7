package wasm

// StartGas is the gas that the start-up of the code uses whatever the world looks like: that of its straight line. The start-up is
// the start function, and then the export "_start", or else "_initialize"; the line is followed into functions of the code that
// are called directly. It ends behind the first instruction that does not always lead to the same place or for the same gas:
// loop, if, br_if, br_table, try_table, throws, unreachable, calls through tables and of imported functions, and what is charged by
// amount (memory.grow and operations on whole ranges).
type StartGas struct {
	Gas      uint64    `json:"gas"`      // up to the end of the line and with the instruction there
	Complete bool      `json:"complete"` // the line is the whole start-up: it always uses exactly this gas
	Function *Function `json:"function"` // where the line ends; null if it is complete
	Offset   int       `json:"offset"`   // of that instruction in the original code
}

const (
	maxStartSteps = 1 << 20 // instructions: calls of calls may double them at each level
	maxStartDepth = 64      // calls within each other
)

// line follows the straight line of a start-up.
type line struct {
	m       *Module
	o       Options
	bodies  []reader
	gas     uint64
	steps   int
	stopped bool
	where   uint32 // the function of the stop
	at      int
}

// startGas returns nil if nothing runs at the start or gas is not metered.
func (m *Module) startGas(code []byte, o Options, s *Symbols) *StartGas {
	entries := m.entries()
	if o.Weights == nil || len(entries) == 0 {
		return nil
	}
	l := line{m: m, o: o}
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
	for _, s := range m.sections {
		if s.id == sectionStart {
			r := reader{b: s.payload}
			indices = append(indices, r.u32("start"))
		}
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
	imported := uint32(len(l.m.functions) - len(l.m.Funcs))
	if index < imported || depth > maxStartDepth {
		l.stop(index, 0)
		return
	}
	w, r := l.o.Weights, l.bodies[index-imported]
	l.gas += uint64(w.Function) + uint64(w.Local)*r.walkLocals()
	for nesting := 1; nesting > 0 && !l.stopped; {
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
			nesting++
		case i.op == opEnd:
			nesting--
		case i.op == opReturn:
			return
		case i.op == opBr: // all labels here are of blocks
			left := int(i.arg) + 1
			if left >= nesting {
				return
			}
			r.leave(left)
			nesting -= left
		case (i.op == opCall || i.op == opReturnCall) && i.arg >= imported:
			if l.run(i.arg, depth+1); i.op == opReturnCall {
				return
			}
		case i.turns():
			l.stop(index, i.offset)
		}
	}
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
