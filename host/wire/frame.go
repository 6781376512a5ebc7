package wire

import (
	"math"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/run"
)

// Frame is what a message is received into again and again: those of a run take no memory of their own. Only the field
// of Type is set by it; Data is valid until the next one is received from the same ring.
type Frame struct {
	Type Type

	Call      Call
	Input     Input
	Stdin     Stdin
	Output    Output
	NeedStdin NeedStdin
	Result    Result
	Finished  Finished
	Ask       Ask     // its lists are used again, and what it carries is valid as Data is
	Answer    Answer  // as Ask
	Other     Message // of any other type
}

// decode reads the payload of a frame. Data fields are views of p.
func (f *Frame) decode(t Type, p []byte) (err error) {
	f.Type = t
	d := decoder{b: p}
	switch t {
	case TypeCall:
		f.Call = decodeCall(&d)
	case TypeInput:
		f.Input = decodeInput(&d)
	case TypeStdin:
		f.Stdin = decodeStdin(&d)
	case TypeOutput:
		f.Output = decodeOutput(&d)
	case TypeNeedStdin:
		f.NeedStdin = decodeNeedStdin(&d)
	case TypeResult:
		f.Result = decodeResult(&d)
	case TypeFinished:
		f.Finished = decodeFinished(&d)
	case TypeAsk:
		decodeAsk(&d, &f.Ask)
	case TypeAnswer:
		decodeAnswer(&d, &f.Answer)
	default:
		f.Other, err = Decode(t, p)
		return err
	}
	return d.end()
}

// Message returns the message as one that Receive returns.
func (f *Frame) Message() Message {
	switch f.Type {
	case TypeCall:
		return f.Call
	case TypeInput:
		return f.Input
	case TypeStdin:
		return f.Stdin
	case TypeOutput:
		return f.Output
	case TypeNeedStdin:
		return f.NeedStdin
	case TypeResult:
		return f.Result
	case TypeFinished:
		return f.Finished
	case TypeAsk:
		return f.Ask
	case TypeAnswer:
		return f.Answer
	}
	return f.Other
}

func decodeCall(d *decoder) Call {
	return Call{Run: d.u64(), InputBytes: d.size(math.MaxInt64, "input"), Stdin: d.flag(), Asks: d.flag(), Data: d.bytes(MaxChunk, "input")}
}

func decodeInput(d *decoder) Input { return Input{Data: d.bytes(MaxChunk, "input")} }

func decodeStdin(d *decoder) Stdin { return Stdin{Data: d.bytes(MaxChunk, "stdin"), EOF: d.flag()} }

func decodeOutput(d *decoder) Output {
	return Output{Stderr: d.flag(), Data: d.bytes(MaxChunk, "output")}
}

func decodeNeedStdin(d *decoder) NeedStdin { return NeedStdin{Max: d.size(MaxChunk, "stdin")} }

func decodeResult(d *decoder) Result { return Result{Data: d.bytes(MaxChunk, "result")} }

func decodeFinished(d *decoder) Finished {
	f := Finished{Run: d.u64(), Code: fault.Code(d.text(MaxText, "code")), Message: d.text(MaxText, "message"), Exited: d.flag()}
	exit := d.i64()
	if exit < math.MinInt32 || exit > math.MaxInt32 {
		d.fail("exit code")
	}
	f.Exit = int32(exit)
	f.MemoryPeakBytes = d.size(math.MaxInt64, "memory")
	f.GasUsed, f.InitGas = d.size(run.MaxGas, "gas"), d.size(run.MaxGas, "gas")
	return f
}
