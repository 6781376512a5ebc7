package wire

import (
	"math"
	"slices"
	"time"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/artifacts"
	"github.com/troupehost/troupe/artifacts/wasm"
)

// Type is the kind of a frame.
type Type uint8

// The frames of the host.
const (
	TypeHello Type = 1 + iota
	TypePrepare
	TypeLoad
	TypeTerms
	TypeInput
	TypeStdin
	TypeExtend
	TypeCall
	TypeAnswer
)

// The frames of a worker.
const (
	TypeReady Type = 64 + iota
	TypePrepared
	TypeLoaded
	TypeFailed
	TypeOutput
	TypeNeedStdin
	TypeResult
	TypeFinished
	TypeAsk
)

// Message is one message of either side.
type Message interface {
	Type() Type
	encode(e *encoder)
}

// Hello opens the conversation. Files: for a probe, an empty memory file of TestFileBytes for the test.
// Sent by: the host, first. Answer: Ready. A worker of another build answers with its own id and waits to be killed.
type Hello struct {
	BuildID string
	Probe   bool // test the engine first, and name the processor in Ready
	Warm    bool // an artifact will come later: make ready for it what can be, and answer then
}

// TestFileBytes is the size of the file that comes with the Hello of a probe.
const TestFileBytes = 64 << 10

// Ready says what the worker is.
// Sent by: the worker, once; a probe whose engine does not work sends Failed instead. Only a probe, a worker that never
// sees guest bytes, is believed.
type Ready struct {
	BuildID string
	CPU     string   // architecture and the features that the compiler uses
	Held    []string // the layers of the sandbox that hold
	Gaps    []Gap    // those that do not
}

// Gap is a layer of the sandbox that does not hold, and why.
type Gap struct{ Layer, Why string }

// Clock is what a job may use by the clocks inside the worker, which end the process by themselves. They are nets below
// the host's own watch, so they strike a little later. Zero: no such clock.
type Clock struct {
	CPU  time.Duration // CPU time of the process, from the message on
	Wall time.Duration // time, from the message on
}

// Prepare asks for one preparation. Files: the code (sealed), the output (empty, writable).
// Sent by: the host, once per prepare worker. Answer: Prepared or Failed, then the worker exits, unless it was told to stay.
type Prepare struct {
	MaxInflatedBytes int64
	Clock            Clock
	Policy           wasm.Policy // what the code may be
	CanonicalNaNs    bool
	Stay             bool // a Snapshot may follow Prepared
}

// Extend gives a preparation more to use. Clock counts from the Prepare on; it never lowers what that gave.
// Sent by: the host, while a Prepare is not answered. Answer: none.
// Races: the worker may have answered, or be about to end; then it is lost, and nobody needs it.
type Extend struct{ Clock Clock }

// Prepared says where in the output file the parts stand.
type Prepared struct {
	Module artifacts.Module
	Parts  []PartRange
}

// PartRange is one part in the output file.
type PartRange struct {
	Name   string
	Offset int64
	Bytes  int64
}

// Load makes the worker that of one artifact, for life. Files: one for each name, in this order, and behind them the two of the ring.
// A name is that of a part of the artifact, whose file is sealed, or FileScratch.
// Sent by: the host, once per execute worker. Answer: Loaded or Failed.
type Load struct{ Files []string }

// FileScratch names an empty memory file as large as the memory of a run may be, which nobody can make longer or shorter. The
// worker keeps there what a run starts from.
const FileScratch = "scratch"

// Loaded says that runs may come.
type Loaded struct{}

// Failed ends a preparation or a load.
type Failed struct {
	Code    fault.Code
	Message string
}

// Terms are what runs have in common: the worker keeps them for every Call that follows, until other ones come.
// Sent by: the host, before a Call that has other terms than the worker was told last. Answer: none.
type Terms struct {
	Entry       run.Entry
	MemoryBytes int64
	OutputBytes int64
	Imports     run.Imports
	Determinism run.Determinism
	Clock       Clock
	Gas         int64 // limits, as those of run.Limits: 0 is none
	InitGas     int64
	StackValues int64
	ClockStep   time.Duration // resolution of the clocks of a run in the real world; at most MaxClockStep
	TurnGas     int64         // gas after which a run with Asks asks for its turn; 0: it never does
}

// Equal reports whether a worker that was told t needs not be told o.
func (t Terms) Equal(o Terms) bool {
	return t.Entry.Mode == o.Entry.Mode && t.Entry.Name == o.Entry.Name &&
		slices.Equal(t.Entry.Args, o.Entry.Args) && slices.Equal(t.Entry.Env, o.Entry.Env) &&
		t.MemoryBytes == o.MemoryBytes && t.OutputBytes == o.OutputBytes && t.Imports == o.Imports &&
		t.Determinism == o.Determinism && t.Clock == o.Clock && t.Gas == o.Gas && t.InitGas == o.InitGas &&
		t.StackValues == o.StackValues && t.ClockStep == o.ClockStep && t.TurnGas == o.TurnGas
}

// Call asks for one run under the terms that were sent last. InputBytes is the size of the input of a bytes entry: Data is
// the first piece of it, all of it if it is not more than MaxChunk, and the rest follows in Input frames.
// Sent by: the host, also while earlier ones are not answered: they run one after the other, in this order. Behind a Call
// with Stdin or Asks comes no other frame but Input, Stdin and Answer until it is answered.
// Answer: any number of Output, NeedStdin, Ask and Result, then one Finished.
type Call struct {
	Run        uint64
	InputBytes int64
	Stdin      bool // the guest may read, and the worker asks; otherwise its stdin is empty
	Asks       bool // the guest may ask the host, by the module troupe_v1
	Data       []byte
}

// MaxClockStep is the coarsest that clocks can be.
const MaxClockStep = time.Second

// Input is a piece of the input of a bytes entry.
type Input struct{ Data []byte }

// Stdin answers a NeedStdin: at most as many bytes as were asked for; none and EOF at the end.
type Stdin struct {
	Data []byte
	EOF  bool
}

// Output is a piece of what the guest wrote; it is never empty. A run has as many of these and Result as Pieces allows.
type Output struct {
	Stderr bool
	Data   []byte
}

// NeedStdin says that the guest reads and waits. It does not follow the end of stdin.
type NeedStdin struct{ Max int64 }

// Result is a piece of the result; it is never empty.
type Result struct{ Data []byte }

// Finished ends a run.
type Finished struct {
	Run             uint64
	Code            fault.Code // "" for ok
	Message         string
	Exited          bool
	Exit            int32
	MemoryPeakBytes int64
	GasUsed         int64
	InitGas         int64
}

// Type implements Message.
func (Hello) Type() Type     { return TypeHello }
func (Ready) Type() Type     { return TypeReady }
func (Prepare) Type() Type   { return TypePrepare }
func (Prepared) Type() Type  { return TypePrepared }
func (Extend) Type() Type    { return TypeExtend }
func (Load) Type() Type      { return TypeLoad }
func (Loaded) Type() Type    { return TypeLoaded }
func (Failed) Type() Type    { return TypeFailed }
func (Terms) Type() Type     { return TypeTerms }
func (Call) Type() Type      { return TypeCall }
func (Input) Type() Type     { return TypeInput }
func (Stdin) Type() Type     { return TypeStdin }
func (Output) Type() Type    { return TypeOutput }
func (NeedStdin) Type() Type { return TypeNeedStdin }
func (Result) Type() Type    { return TypeResult }
func (Finished) Type() Type  { return TypeFinished }
func (Ask) Type() Type       { return TypeAsk }
func (Answer) Type() Type    { return TypeAnswer }

func (m Hello) encode(e *encoder) {
	e.text(m.BuildID, MaxText, "build id")
	e.flag(m.Probe)
	e.flag(m.Warm)
}
func (m Ready) encode(e *encoder) {
	e.text(m.BuildID, MaxText, "build id")
	e.text(m.CPU, MaxText, "cpu")
	e.list(m.Held, "layers")
	var gaps []string
	for _, g := range m.Gaps {
		gaps = append(gaps, g.Layer, g.Why)
	}
	e.list(gaps, "gaps")
}

func decodeGaps(d *decoder) (gaps []Gap) {
	l := d.list("gaps")
	if len(l)%2 != 0 {
		d.fail("gaps")
		return nil
	}
	for ; len(l) > 0; l = l[2:] {
		gaps = append(gaps, Gap{Layer: l[0], Why: l[1]})
	}
	return gaps
}

func (m Prepare) encode(e *encoder) {
	e.size(m.MaxInflatedBytes)
	m.Clock.encode(e)
	e.u64(uint64(m.Policy.Features))
	encodeCaps(e, artifacts.Caps(m.Policy.Caps))
	e.flag(m.CanonicalNaNs)
	e.flag(m.Stay)
}
func (m Extend) encode(e *encoder) { m.Clock.encode(e) }

func (c Clock) encode(e *encoder) { e.size(int64(c.CPU)); e.size(int64(c.Wall)) }

func decodeClock(d *decoder) Clock {
	return Clock{CPU: time.Duration(d.size(math.MaxInt64, "CPU time")), Wall: time.Duration(d.size(math.MaxInt64, "wall time"))}
}

func (m Prepared) encode(e *encoder) {
	encodeModule(e, m.Module)
	if len(m.Parts) > MaxParts {
		e.fail("parts")
	}
	e.u64(uint64(len(m.Parts)))
	for _, r := range m.Parts {
		e.text(r.Name, MaxText, "part")
		e.size(r.Offset)
		e.size(r.Bytes)
	}
}
func (m Load) encode(e *encoder) { e.list(m.Files, "files") }
func (Loaded) encode(*encoder)   {}

func (m Failed) encode(e *encoder) {
	e.text(string(m.Code), MaxText, "code")
	e.text(clip(m.Message), MaxText, "message")
}

func (m Terms) encode(e *encoder) {
	e.u64(uint64(m.Entry.Mode))
	e.text(m.Entry.Name, MaxName, "name")
	e.list(m.Entry.Args, "args")
	e.list(m.Entry.Env, "env")
	e.size(m.MemoryBytes)
	e.size(m.OutputBytes)
	e.u64(uint64(m.Imports))
	e.u64(uint64(m.Determinism))
	m.Clock.encode(e)
	e.size(m.Gas)
	e.size(m.InitGas)
	e.size(m.StackValues)
	e.size(int64(m.ClockStep))
	e.size(m.TurnGas)
}
func (m Call) encode(e *encoder) {
	e.u64(m.Run)
	e.size(m.InputBytes)
	e.flag(m.Stdin)
	e.flag(m.Asks)
	e.last(m.Data, MaxChunk, "input")
}
func (m Input) encode(e *encoder)     { e.last(m.Data, MaxChunk, "input") }
func (m Stdin) encode(e *encoder)     { e.bytes(m.Data, MaxChunk, "stdin"); e.flag(m.EOF) }
func (m Output) encode(e *encoder)    { e.flag(m.Stderr); e.last(m.Data, MaxChunk, "output") }
func (m NeedStdin) encode(e *encoder) { e.size(m.Max) }
func (m Result) encode(e *encoder)    { e.last(m.Data, MaxChunk, "result") }

func (m Finished) encode(e *encoder) {
	e.u64(m.Run)
	e.text(string(m.Code), MaxText, "code")
	e.text(clip(m.Message), MaxText, "message")
	e.flag(m.Exited)
	e.i64(int64(m.Exit))
	e.size(m.MemoryPeakBytes)
	e.size(m.GasUsed)
	e.size(m.InitGas)
}

// clip shortens a message for people; it may end in the middle of a letter, which whoever shows it must expect anyway.
func clip(s string) string { return s[:min(len(s), MaxText)] }

// Encode returns the frame of m, header included. A message that is over a limit is an error: the sender must not
// rely on the reader to refuse it.
func Encode(m Message) ([]byte, error) { return AppendFrame(nil, m) }

// AppendFrame appends the frame of m to b.
func AppendFrame(b []byte, m Message) ([]byte, error) {
	var e encoder
	head, rest, err := e.frame(b, m)
	if err != nil {
		return b, err
	}
	return append(head, rest...), nil
}

// Decode reads the payload of a frame. Data fields are views of p.
func Decode(t Type, p []byte) (Message, error) {
	d := decoder{b: p}
	var m Message
	switch t {
	case TypeHello:
		m = Hello{BuildID: d.text(MaxText, "build id"), Probe: d.flag(), Warm: d.flag()}
	case TypeReady:
		m = Ready{BuildID: d.text(MaxText, "build id"), CPU: d.text(MaxText, "cpu"), Held: d.list("layers"), Gaps: decodeGaps(&d)}
	case TypePrepare:
		m = Prepare{MaxInflatedBytes: d.size(math.MaxInt64, "size"), Clock: decodeClock(&d), Policy: decodePolicy(&d), CanonicalNaNs: d.flag(), Stay: d.flag()}
	case TypeExtend:
		m = Extend{Clock: decodeClock(&d)}
	case TypePrepared:
		m = decodePrepared(&d)
	case TypeLoad:
		m = Load{Files: d.list("files")}
	case TypeLoaded:
		m = Loaded{}
	case TypeFailed:
		m = Failed{Code: fault.Code(d.text(MaxText, "code")), Message: d.text(MaxText, "message")}
	case TypeTerms:
		m = decodeTerms(&d)
	case TypeCall:
		m = decodeCall(&d)
	case TypeInput:
		m = decodeInput(&d)
	case TypeStdin:
		m = decodeStdin(&d)
	case TypeOutput:
		m = decodeOutput(&d)
	case TypeNeedStdin:
		m = decodeNeedStdin(&d)
	case TypeResult:
		m = decodeResult(&d)
	case TypeFinished:
		m = decodeFinished(&d)
	case TypeAsk:
		var a Ask
		decodeAsk(&d, &a)
		m = a
	case TypeAnswer:
		var a Answer
		decodeAnswer(&d, &a)
		m = a
	case TypeCheck:
		m = decodeCheck(&d)
	case TypeChecked:
		m = decodeChecked(&d)
	case TypeSnapshot:
		m = decodeSnapshot(&d)
	case TypeSnapshotted:
		m = decodeSnapshotted(&d)
	default:
		return nil, bad("unknown type")
	}
	if err := d.end(); err != nil {
		return nil, err
	}
	return m, nil
}

func decodePrepared(d *decoder) Prepared {
	m := Prepared{Module: decodeModule(d)}
	for n := d.count(MaxParts, 3, "parts"); n > 0 && d.err == nil; n-- {
		m.Parts = append(m.Parts, PartRange{
			Name:   d.text(MaxText, "part"),
			Offset: d.size(math.MaxInt64, "offset"),
			Bytes:  d.size(math.MaxInt64, "size"),
		})
	}
	return m
}

func decodeTerms(d *decoder) Terms {
	var m Terms
	m.Entry.Mode = run.Mode(d.size(3, "mode"))
	m.Entry.Name = d.text(MaxName, "name")
	m.Entry.Args = d.list("args")
	m.Entry.Env = d.list("env")
	m.MemoryBytes = d.size(math.MaxInt64, "memory")
	m.OutputBytes = d.size(math.MaxInt64, "output")
	m.Imports = run.Imports(d.size(2, "imports"))
	m.Determinism = run.Determinism(d.size(int64(run.RealRuns), "determinism"))
	m.Clock = decodeClock(d)
	m.Gas = d.size(run.MaxGas, "gas")
	m.InitGas = d.size(run.MaxGas, "gas")
	m.StackValues = d.size(run.MaxStackValues, "stack")
	m.ClockStep = time.Duration(d.size(int64(MaxClockStep), "clock step"))
	m.TurnGas = d.size(run.MaxGas, "gas of a turn")
	return m
}
