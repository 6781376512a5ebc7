package wasm

import (
	"strings"

	"github.com/troupehost/troupe/actors/fault"
)

// InstrumentVersion is the version of what Instrument makes, the table of weights apart; a new one makes every artifact anew.
const InstrumentVersion = 1

// Instrumented is a module that is ready to be compiled.
type Instrumented struct {
	Code      []byte // valid if the module was; its only new import is MeterRefill
	Shape     Shape
	Resets    Resets
	Unchecked uint64   // the most gas that a guest uses between two checks: by so much it may pass its limit. See Options
	Globals   []uint32 // indices of the mutable globals that are exported under GlobalPrefix
	Symbols   *Symbols
}

// Instrument judges code and rewrites it. The original is not changed.
//
// # Errors
//
// Those of Judge; guest.invalid_module also for an export under ReservedPrefix.
func Instrument(code []byte, p Policy, o Options) (*Instrumented, error) {
	pl := &plan{o: o, weights: o.Weights}
	m, err := judge(code, p, pl)
	if err != nil {
		return nil, err
	}
	for _, e := range m.Exports {
		if strings.HasPrefix(e.Name, ReservedPrefix) {
			return nil, fault.New(fault.GuestInvalid, "instrument", "export "+fault.Quote(e.Name)+": names that begin so are reserved", nil)
		}
	}
	for _, i := range m.Imports {
		if i.Module == MeterModule {
			return nil, fault.New(fault.GuestInvalid, "instrument", "import from "+MeterModule+": that module is reserved", nil)
		}
	}
	pl.prepare()
	// The longest way between two checks: out of a function that calls nothing, on in the one that called it, into a third.
	return &Instrumented{
		Code:      pl.encode(m),
		Shape:     m.Shape,
		Resets:    pl.resets,
		Unchecked: 2*pl.unchecked + max(pl.unchecked, pl.base),
		Globals:   pl.mutable(),
		Symbols:   newSymbols(m, code),
	}, nil
}
