package wire

import (
	"math"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/artifacts"
	"github.com/troupehost/troupe/artifacts/wasm"
)

// The frames of a worker that repeats one run on the engine's interpreter.
const (
	TypeCheck   Type = 32
	TypeChecked Type = 96
)

// Check asks for one run on the interpreter, in the deterministic world and without a caller's streams. Files: the code as it
// was given (sealed), the input (sealed).
// Sent by: the host, once per check worker. Answer: Checked or Failed, then the worker exits.
type Check struct {
	MaxInflatedBytes int64
	Policy           wasm.Policy // as for a preparation
	CanonicalNaNs    bool
	Terms            Terms
}

// Checked says how a run ended on the interpreter. Of what it wrote and returned it has digests only.
type Checked struct {
	Code            fault.Code // "" for ok
	Exited          bool
	Exit            int32
	MemoryPeakBytes int64
	GasUsed         int64
	InitGas         int64
	Result          [32]byte // SHA-256
	Stdout          [32]byte
	Stderr          [32]byte
	TooDeep         bool // the interpreter has not as many frames as the run needed: it says nothing of the run
	Floats          bool // arithmetic of the code can make NaNs, whose bits the run did not settle
}

// Type implements Message.
func (Check) Type() Type   { return TypeCheck }
func (Checked) Type() Type { return TypeChecked }

func (m Check) encode(e *encoder) {
	e.size(m.MaxInflatedBytes)
	e.u64(uint64(m.Policy.Features))
	encodeCaps(e, artifacts.Caps(m.Policy.Caps))
	e.flag(m.CanonicalNaNs)
	m.Terms.encode(e)
}

func decodeCheck(d *decoder) Check {
	return Check{MaxInflatedBytes: d.size(math.MaxInt64, "size"), Policy: decodePolicy(d), CanonicalNaNs: d.flag(), Terms: decodeTerms(d)}
}

func (m Checked) encode(e *encoder) {
	e.text(string(m.Code), MaxText, "code")
	e.flag(m.Exited)
	e.i64(int64(m.Exit))
	e.size(m.MemoryPeakBytes)
	e.size(m.GasUsed)
	e.size(m.InitGas)
	for _, d := range [][32]byte{m.Result, m.Stdout, m.Stderr} {
		e.bytes(d[:], len(d), "digest")
	}
	e.flag(m.TooDeep)
	e.flag(m.Floats)
}

func decodeChecked(d *decoder) Checked {
	m := Checked{Code: fault.Code(d.text(MaxText, "code")), Exited: d.flag()}
	exit := d.i64()
	if exit < math.MinInt32 || exit > math.MaxInt32 {
		d.fail("exit code")
	}
	m.Exit = int32(exit)
	m.MemoryPeakBytes = d.size(math.MaxInt64, "memory")
	m.GasUsed, m.InitGas = d.size(run.MaxGas, "gas"), d.size(run.MaxGas, "gas")
	for _, into := range []*[32]byte{&m.Result, &m.Stdout, &m.Stderr} {
		b := d.bytes(int64(len(into)), "digest")
		if len(b) != len(into) {
			d.fail("digest")
			return m
		}
		*into = [32]byte(b)
	}
	m.TooDeep, m.Floats = d.flag(), d.flag()
	return m
}
