package wasm

import (
	"errors"
	"math"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/artifacts"
)

// Report is what can be learned of code without running it. Its JSON is a contract. Names come from the guest: quote them where
// they are shown.
type Report struct {
	Verdict     string           `json:"verdict"` // "ok", or the class of the fault
	Fault       string           `json:"fault"`   // its code, or ""
	Message     string           `json:"message,omitempty"`
	Hint        string           `json:"hint,omitempty"`
	Module      artifacts.Module `json:"module"`       // as a host describes it; nothing is compiled: code_bytes are 0. Whoever knows what a host offers sets Import.Known
	BodyBytes   int64            `json:"body_bytes"`   // of all function bodies
	CustomBytes int64            `json:"custom_bytes"` // of custom sections, which are stripped
	Features    []string         `json:"features"`     // that are used
	Caps        []CapUse         `json:"caps"`         // empty if the code is not valid
	Rewrite     *Rewrite         `json:"rewrite"`      // null if the code is not valid
	Start       *StartGas        `json:"start_gas"`    // null if nothing runs at the start, or without a table of weights

	scanned bool
}

// CapUse is one cap and how far it is used.
type CapUse struct {
	Cap      string    `json:"cap"`      // as in Caps, e.g. "control-ops"
	Measured int       `json:"measured"` // by the worst function, or in the module
	Limit    int       `json:"limit"`
	Used     float64   `json:"used"`     // measured/limit
	Function *Function `json:"function"` // the worst one, the first of several; null for caps of the module and of types
}

// Function is a function of the code.
type Function struct {
	Index  uint32 `json:"index"`  // in the original code
	Name   string `json:"name"`   // "" if it has none
	Offset uint32 `json:"offset"` // of its body in the original code
}

// Rewrite is what instrumentation makes of the code.
type Rewrite struct {
	Bytes     int64    `json:"bytes"`         // of the rewritten module
	Added     int64    `json:"added_bytes"`   // more than the original without its custom sections
	Symbols   int64    `json:"symbols_bytes"` // kept for messages
	Unchecked uint64   `json:"unchecked_gas"` // by so much a guest may pass its limit of gas
	Globals   int      `json:"mutable_globals"`
	Resets    []string `json:"resets"` // what a reset of globals and memory does not undo
}

// resetNames are the names of the flags of Resets.
var resetNames = [...]string{"changes-tables", "drops-segments", "grows-memory", "throws"}

// Names returns the names of the flags in a fixed order.
func (r Resets) Names() []string {
	names := []string{}
	for i, n := range resetNames {
		if r&(1<<i) != 0 {
			names = append(names, n)
		}
	}
	return names
}

// NewReport returns a report that says nothing of code but its size, for code that is refused before it is examined.
func NewReport(code []byte) *Report {
	return &Report{Verdict: "ok", Features: []string{}, Caps: []CapUse{},
		Module: artifacts.Module{WasmBytes: int64(len(code)), Imports: []artifacts.Import{}, Exports: []artifacts.Export{}, Resets: []string{}}}
}

// Examine judges code and reports what it is and what instrumentation would make of it. Nothing of it runs. The report is never nil:
// of refused code it holds what could be learned; of code that only the policy refuses that is everything.
//
// # Errors
//
// Those of Instrument, which stand in the report too.
func Examine(code []byte, p Policy, o Options) (*Report, error) {
	r, limits := NewReport(code), p.Caps.withDefaults()
	m, err := Scan(code)
	if err != nil {
		return r, r.Refuse(err)
	}
	r.describe(m)
	m, err = Judge(code, p)
	refusal := err
	if errors.Is(err, fault.GuestFeature) || errors.Is(err, fault.GuestTooComplex) {
		p = Policy{Features: AllFeatures, Caps: generous()}
		m, err = Judge(code, p)
	}
	if err != nil {
		return r, r.Refuse(refusal)
	}
	r.Features = m.Shape.Features.Names()
	r.Module.Shape = artifacts.Shape{Features: m.Shape.Features.String(), Caps: artifacts.Caps(m.Shape.Caps)}
	symbols := newSymbols(m, code)
	r.Caps = m.uses(symbols, limits)
	made, err := Instrument(code, p, o)
	if refusal == nil {
		refusal = err
	}
	if err == nil {
		r.Rewrite = &Rewrite{
			Bytes: int64(len(made.Code)), Added: int64(len(made.Code)-len(code)) + r.CustomBytes, Symbols: int64(len(symbols.Encode())),
			Unchecked: made.Unchecked, Globals: len(made.Globals), Resets: made.Resets.Names(),
		}
		r.Module.Resets, r.Module.Mutable, r.Module.UncheckedGas = r.Rewrite.Resets, r.Rewrite.Globals, made.Unchecked
		r.Start = m.startGas(code, o, symbols)
	}
	if refusal != nil {
		return r, r.Refuse(refusal)
	}
	return r, nil
}

// Refuse puts a fault into the report and returns it. Whoever knows of further reasons to refuse code may call it too.
func (r *Report) Refuse(err error) error {
	f := fault.From(err)
	r.Verdict, r.Fault, r.Message, r.Hint = f.Class.String(), string(f.Code), f.Error(), f.Hint
	return err
}

// Scanned tells whether the sections of the code could be read, so that Module says more than its size.
func (r *Report) Scanned() bool { return r.scanned }

// describe fills in what the sections say.
func (r *Report) describe(m *Module) {
	r.scanned = true
	r.Module, r.BodyBytes = m.Describe(r.Module.WasmBytes), int64(m.CodeBytes)
	for _, s := range m.sections {
		if s.id == sectionCustom {
			r.CustomBytes += int64(1 + len(appendU32(nil, uint32(len(s.payload)))) + len(s.payload))
		}
	}
}

// Describe returns what operators want to know of a module of so many bytes, as its sections say it. Whoever knows what a host
// offers sets Import.Known.
func (m *Module) Describe(wasmBytes int64) artifacts.Module {
	d := artifacts.Module{
		WasmBytes: wasmBytes, NumFunctions: len(m.Funcs), DataBytes: int64(m.DataBytes), HasStart: m.HasStart,
		Imports: []artifacts.Import{}, Exports: []artifacts.Export{}, Resets: []string{},
	}
	for _, i := range m.Imports {
		d.Imports = append(d.Imports, artifacts.Import{Module: i.Module, Name: i.Name, Kind: i.Kind.String(), Type: i.Desc})
	}
	for _, e := range m.Exports {
		d.Exports = append(d.Exports, artifacts.Export{Name: e.Name, Kind: e.Kind.String(), Type: m.ExportType(e)})
	}
	for _, t := range m.Tables {
		d.TableElements += min(t.Min, math.MaxUint32)
	}
	if mem, ok := m.Memory(); ok {
		d.MemoryPages = uint32(min(mem.Min, 1<<16))
		if mem.HasMax {
			d.MemoryMax = uint32(min(mem.Max, 1<<16))
		}
	}
	return d
}

// capsOfFunctions is the number of caps that bound one function; they come first.
const capsOfFunctions = 9

// generous are caps that only bombs reach: what code passes the caps of a policy is judged by them once more, to be described. What
// takes memory or time that no byte of the code stands for is bounded still.
func generous() Caps {
	var c Caps
	for _, f := range c.fields() {
		*f = math.MaxInt
	}
	d := DefaultCaps()
	c.Locals, c.Params, c.Carried = 50_000, d.Params, 8*d.Carried
	return c
}

// noteWorst remembers a function that has more of something than all before it.
func (m *Module) noteWorst(before *Caps, index uint32) {
	old, now := before.fields(), m.Shape.fields()
	for i := range m.worst {
		if *now[i] > *old[i] {
			m.worst[i] = index
		}
	}
}

// uses holds the shape beside limits.
func (m *Module) uses(symbols *Symbols, limits Caps) []CapUse {
	uses := make([]CapUse, len(capNames))
	limit := limits.fields()
	for i, measured := range m.Shape.fields() {
		used := float64(*measured) / float64(*limit[i])
		uses[i] = CapUse{Cap: capNames[i], Measured: *measured, Limit: *limit[i], Used: math.Round(1e4*used) / 1e4}
		if i < capsOfFunctions && *measured > 0 && capNames[i] != "params" { // which are those of a type
			uses[i].Function = symbols.function(m.worst[i])
		}
	}
	return uses
}

// function describes one for a report.
func (s *Symbols) function(index uint32) *Function {
	name, offset, _ := s.Name(index)
	return &Function{Index: index, Name: name, Offset: offset}
}
