package engine

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/host/abi"
)

// hostOf answers what guests ask, as a test says, and looks at each question as the host's codec does.
type hostOf struct {
	t      testing.TB
	asks   []run.Ask // copies
	answer func(f *abi.Function, a *run.Ask) run.Answer
}

// fully answers all that there is room for.
func fully(f *abi.Function, a *run.Ask) run.Answer {
	_, _, results, data := f.Carries()
	got := run.Answer{Nums: slices.Repeat([]uint64{math.MaxUint64 - 1}, results)}
	if data {
		got.Data = bytes.Repeat([]byte{0xee}, int(room(f, a)))
	}
	return got
}

// room is that of the output buffer of a call.
func room(f *abi.Function, a *run.Ask) int64 {
	n := 0
	for _, c := range f.Params {
		switch c {
		case 'i', 'I':
			n++
		case 'o':
			return a.Nums[n]
		}
	}
	return 0
}

func (h *hostOf) ask(a *run.Ask) (*run.Answer, error) {
	f := abi.Asked(abi.Op(a.Op))
	if f == nil {
		h.t.Fatalf("nobody asks for %d", a.Op)
	}
	nums, args, _, _ := f.Carries()
	total := 0
	kept := run.Ask{Op: a.Op, Nums: append([]int64(nil), a.Nums...), Gas: a.Gas, MemoryBytes: a.MemoryBytes}
	for _, p := range a.Args {
		total += len(p)
		kept.Args = append(kept.Args, bytes.Clone(p))
	}
	if len(a.Nums) != nums || len(a.Args) != args || total > abi.MaxBytes || room(f, a) > abi.MaxBytes || room(f, a) < 0 || a.Gas < 0 {
		h.t.Errorf("%s: %d numbers, %d pieces of %d bytes, room %d, gas %d", f.Name, len(a.Nums), len(a.Args), total, room(f, a), a.Gas)
	}
	h.asks = append(h.asks, kept)
	answer := fully
	if h.answer != nil {
		answer = h.answer
	}
	got := answer(f, a)
	return &got, nil
}

// run invokes f of an app.
func (h *hostOf) run(a *App, s Spec) (out Outcome, result string) {
	if s.MemoryBytes == 0 {
		s.MemoryBytes = 1 << 20
	}
	s.OutputBytes = 1 << 20
	out = a.Run(context.Background(), s, IO{
		Stdin:  func([]byte) (int, error) { return 0, io.EOF },
		Output: func(bool, []byte) error { return nil },
		Result: func(p []byte) error { result = string(p); return nil },
		Ask:    h.ask,
	})
	return out, result
}

// importedTroupe is a function of the module as guests import it.
func importedTroupe(f *abi.Function) imported {
	return imported{module: abi.Troupe, name: f.Name, params: strings.NewReplacer("i", "\x7f", "I", "\x7e").Replace(f.Types()), results: "\x7f"}
}

// patterned is a caller whose memory of so many pages says where a byte stands, up to 4,096.
func patterned(f imported, pages int) []byte {
	var code []byte
	for i := range len(f.params) {
		code = append(code, opLocalGet, byte(i))
	}
	return binaryModule(
		section(secType, funcType(f.params, f.results)),
		section(secImport, importFunc(f.module, f.name, 0)),
		section(secFunc, []byte{0}),
		section(secMemory, []byte{0, byte(pages)}),
		section(secExport, exportFunc("f", 1), append(text("memory"), 2, 0)),
		section(secCode, body(append(code, opCall, 0)...)),
		section(11, slices.Concat([]byte{0}, i32Arg(0), []byte{opEnd}, text(string(stamps())))),
	)
}

func stamps() (b []byte) {
	for i := range 1024 {
		b = binary.BigEndian.AppendUint32(b, uint32(i)*2654435761)
	}
	return b
}

// TestTroupeCallsCarryWhatTheySay: numbers, bytes and buffers reach the host, and what it answers stands where the guest wants it and
// nowhere else.
func TestTroupeCallsCarryWhatTheySay(t *testing.T) {
	const bytesAt, bytesLen, outAt, outRoom, numberAt = 16, 40, 8192, 100, 12288
	for i := range abi.TroupeFunctions {
		f := &abi.TroupeFunctions[i]
		a := loadCode(t, patterned(importedTroupe(f), 1))
		var values []int64
		var want run.Ask
		memory := append(stamps(), make([]byte, 65536-4096)...)
		args, numbers := 0, 0
		for _, c := range f.Params {
			switch c {
			case 'i':
				values, want.Nums = append(values, -5), append(want.Nums, -5)
			case 'I':
				values, want.Nums = append(values, math.MinInt64+3), append(want.Nums, math.MinInt64+3)
			case 'b':
				at := bytesAt + int64(args)*64
				values = append(values, at, bytesLen)
				want.Args = append(want.Args, stamps()[at:at+bytesLen])
				args++
			case 'o':
				values, want.Nums = append(values, outAt, outRoom), append(want.Nums, outRoom)
				copy(memory[outAt:], bytes.Repeat([]byte{0xee}, outRoom))
			case 'p':
				values = append(values, numberAt+16*int64(numbers))
				binary.LittleEndian.PutUint32(memory[numberAt+16*numbers:], math.MaxUint32-1)
				numbers++
			case 'P':
				values = append(values, numberAt+16*int64(numbers))
				binary.LittleEndian.PutUint64(memory[numberAt+16*numbers:], math.MaxUint64-1)
				numbers++
			}
		}
		h := &hostOf{t: t}
		s := invoked("f", importedTroupe(f).args(values)...)
		s.Gas = 1 << 40
		out, result := h.run(a, s)
		if out.Fault != nil || result != "0" {
			t.Errorf("%s: %q, %v", f.Name, result, out.Fault)
		}
		if f.Op == abi.OpGasLeft {
			got, _ := a.live.mem.ReadUint64Le(numberAt)
			if uint64(s.Gas-out.GasUsed) != got || len(h.asks) != 0 {
				t.Errorf("gas left %d after %d of %d, asks %d", got, out.GasUsed, s.Gas, len(h.asks))
			}
			continue
		}
		if len(h.asks) != 1 {
			t.Errorf("%s was asked %d times", f.Name, len(h.asks))
			continue
		}
		want.Op, want.MemoryBytes, want.Gas = uint16(f.Op), 65536, h.asks[0].Gas
		if d := cmp.Diff(want, h.asks[0]); d != "" || want.Gas < int64(abi.ChargeOf(abi.Troupe, f.Name).Base) || want.Gas > out.GasUsed {
			t.Errorf("%s: gas %d of %d\n%s", f.Name, want.Gas, out.GasUsed, d)
		}
		if got, _ := a.live.mem.Read(0, 65536); !bytes.Equal(got, memory) {
			t.Errorf("%s left other memory", f.Name)
		}
	}
}

// judged says what a call with these values must end with before the host is asked; 0: it is asked.
func judged(f *abi.Function, values []int64, size uint64) string {
	at, heavy, total := 0, f.Heavy(), uint64(0)
	next := func() uint64 { at++; return uint64(uint32(values[at-1])) }
	for i, c := range f.Params {
		switch c {
		case 'i', 'I':
			at++
		case 'b', 'o':
			p, n := next(), next()
			most := uint64(abi.MaxKey)
			if i == heavy {
				most = abi.MaxBytes
			}
			if p+n > size {
				return fmt.Sprint(abi.ErrAddress)
			}
			if c == 'b' && n > most {
				return fmt.Sprint(abi.ErrParam)
			}
			if c == 'b' {
				total += n
			}
		case 'p':
			if next()+4 > size {
				return fmt.Sprint(abi.ErrAddress)
			}
		default:
			if next()+8 > size {
				return fmt.Sprint(abi.ErrAddress)
			}
		}
	}
	if total > abi.MaxBytes {
		return fmt.Sprint(abi.ErrParam)
	}
	return "0"
}

// abuseTroupe calls a function with values. What it must not believe is refused, without a word to the host.
func abuseTroupe(t testing.TB, a *App, f *abi.Function, values []int64, pages int) {
	t.Helper()
	h := &hostOf{t: t}
	s := invoked("f", importedTroupe(f).args(values)...)
	s.Gas = 1 << 40
	out, result := h.run(a, s)
	want := judged(f, values, uint64(pages)<<16)
	if out.Fault != nil || result != want || out.GasUsed < int64(abi.ChargeOf(abi.Troupe, f.Name).Base) {
		t.Errorf("%s%v: %q, want %q, %v, gas %d", f.Name, values, result, want, out.Fault, out.GasUsed)
	}
	if asked := len(h.asks) > 0; asked != (want == "0" && f.Op != abi.OpGasLeft) {
		t.Errorf("%s%v: asked %v", f.Name, values, asked)
	}
}

// TestAbusedCallsOfTroupe calls every function with pointers and lengths that it must not believe: alike, one at a time among good
// ones, and mixed.
func TestAbusedCallsOfTroupe(t *testing.T) {
	const pages = 4
	calls := 0
	evil := append(evil(), abi.MaxKey, abi.MaxKey+1, abi.MaxBytes, abi.MaxBytes+1, pages<<16, pages<<16-4, pages<<16-8)
	for i := range abi.TroupeFunctions {
		f := &abi.TroupeFunctions[i]
		n := len(f.Types())
		a := loadCode(t, patterned(importedTroupe(f), pages))
		random := rand.New(rand.NewPCG(2, uint64(f.Op)))
		var all [][]int64
		for _, v := range evil {
			all = append(all, slices.Repeat([]int64{v}, n))
			for i := range n {
				one := make([]int64, n)
				for j := range one {
					one[j] = int64(8 * j)
				}
				one[i] = v
				all = append(all, one)
			}
		}
		for range 20 * n {
			mixed := make([]int64, n)
			for j := range mixed {
				mixed[j] = evil[random.IntN(len(evil))]
			}
			all = append(all, mixed)
		}
		for _, values := range all {
			abuseTroupe(t, a, f, values, pages)
			calls++
		}
	}
	t.Logf("%d calls of %d functions", calls, len(abi.TroupeFunctions))
}

func FuzzCallsOfTroupe(f *testing.F) {
	apps := make([]*App, len(abi.TroupeFunctions))
	for i := range apps {
		apps[i] = loadCode(f, patterned(importedTroupe(&abi.TroupeFunctions[i]), 3))
		f.Add(uint8(i), uint64(0), uint64(8), uint64(math.MaxUint32), uint64(1<<29), uint64(math.MaxInt32), uint64(abi.MaxBytes))
	}
	f.Fuzz(func(t *testing.T, which uint8, a, b, c, d, e, g uint64) {
		i := int(which) % len(apps)
		fn := &abi.TroupeFunctions[i]
		v := []int64{int64(a), int64(b), int64(c), int64(d), int64(e), int64(g), int64(a), int64(b), int64(c)}
		abuseTroupe(t, apps[i], fn, v[:len(fn.Types())], 3)
	})
}

// TestWithoutAHostThereIsNothingToAsk: every function says so, but gas_left, which needs none.
func TestWithoutAHostThereIsNothingToAsk(t *testing.T) {
	for i := range abi.TroupeFunctions {
		f := &abi.TroupeFunctions[i]
		want := fmt.Sprint(abi.ErrUnsupported)
		if f.Op == abi.OpGasLeft {
			want = "0"
		}
		out, _ := call(loadCode(t, importedTroupe(f).caller()), invoked("f", importedTroupe(f).args(make([]int64, 9))...))
		if out.Fault != nil || string(out.Result) != want {
			t.Errorf("%s: %q, %v", f.Name, out.Result, out.Fault)
		}
	}
}

// TestErrorNumbersReachTheGuest, and nothing is written with them.
func TestErrorNumbersReachTheGuest(t *testing.T) {
	f := &abi.TroupeFunctions[slices.IndexFunc(abi.TroupeFunctions, func(f abi.Function) bool { return f.Op == abi.OpKVGet })]
	a := loadCode(t, patterned(importedTroupe(f), 1))
	for _, errno := range []uint32{abi.ErrNotFound, abi.ErrClosed, math.MaxInt32} {
		h := &hostOf{t: t, answer: func(*abi.Function, *run.Ask) run.Answer { return run.Answer{Errno: errno} }}
		out, result := h.run(a, invoked("f", "0", "8", "0", "64", "128"))
		if got, _ := a.live.mem.Read(0, 4096); out.Fault != nil || result != fmt.Sprint(errno) || !bytes.Equal(got, stamps()) {
			t.Errorf("%d: %q, %v", errno, result, out.Fault)
		}
	}
}

// TestAnswersThatDoNotFitEndTheRun: such a host is not one, and memory is as it was.
func TestAnswersThatDoNotFitEndTheRun(t *testing.T) {
	f := &abi.TroupeFunctions[slices.IndexFunc(abi.TroupeFunctions, func(f abi.Function) bool { return f.Op == abi.OpKVGet })]
	a := loadCode(t, patterned(importedTroupe(f), 1))
	gone := errors.New("gone")
	for name, answer := range map[string]func() (*run.Answer, error){
		"no number":            func() (*run.Answer, error) { return &run.Answer{}, nil },
		"two numbers":          func() (*run.Answer, error) { return &run.Answer{Nums: []uint64{1, 2}}, nil },
		"too many bytes":       func() (*run.Answer, error) { return &run.Answer{Nums: []uint64{1}, Data: make([]byte, 65)}, nil },
		"numbers with errors":  func() (*run.Answer, error) { return &run.Answer{Errno: 7, Nums: []uint64{1}}, nil },
		"bytes with errors":    func() (*run.Answer, error) { return &run.Answer{Errno: 7, Data: []byte{1}}, nil },
		"a host that is gone ": func() (*run.Answer, error) { return nil, gone },
	} {
		s := invoked("f", "0", "8", "0", "64", "128")
		s.MemoryBytes, s.OutputBytes = 1<<20, 1
		out := a.Run(context.Background(), s, IO{Ask: func(*run.Ask) (*run.Answer, error) { return answer() }})
		if out.Fault == nil || out.Fault.Code != fault.CanceledStopped {
			t.Errorf("%s: %v", name, out.Fault)
		}
		if a.live == nil {
			continue
		}
		if got, _ := a.live.mem.Read(0, 4096); !bytes.Equal(got, stamps()) {
			t.Errorf("%s: memory has changed", name)
		}
	}
}

// asker exports f(n), which makes n calls of a function that takes bytes of no length, and _initialize, which makes one if it is asked to.
func asker(f *abi.Function, initialises bool) []byte {
	const loop, brIf, sub, tee = 0x03, 0x0d, 0x6b, 0x22
	var callIt []byte
	for _, c := range f.Types() {
		if c == 'I' {
			callIt = append(callIt, opI64Const, 0)
		} else {
			callIt = append(callIt, opI32Const, 0)
		}
	}
	callIt = append(callIt, opCall, 0, opDrop)
	exports := [][]byte{exportFunc("f", 1)}
	if initialises {
		exports = append(exports, exportFunc("_initialize", 2))
	}
	return binaryModule(
		section(secType, funcType(importedTroupe(f).params, "\x7f"), funcType("\x7f", ""), funcType("", "")),
		section(secImport, importFunc(abi.Troupe, f.Name, 0)),
		section(secFunc, []byte{1}, []byte{2}),
		section(secMemory, []byte{0, 1}),
		section(secExport, exports...),
		section(secCode, body(slices.Concat([]byte{loop, 0x40}, callIt, []byte{opLocalGet, 0, opI32Const, 1, sub, tee, 0, brIf, 0, opEnd})...), body(callIt...)),
	)
}

// TestAMillionEmptyAsks are charged one by one, and take no memory.
func TestAMillionEmptyAsks(t *testing.T) {
	const n = 1_000_000
	f := &abi.TroupeFunctions[0] // log
	a := loadCode(t, asker(f, false))
	asks := 0
	streams := IO{Result: func([]byte) error { return nil }, Ask: func(*run.Ask) (*run.Answer, error) {
		asks++
		return &run.Answer{}, nil
	}}
	s := invoked("f", fmt.Sprint(n))
	s.MemoryBytes, s.OutputBytes = 1<<20, 1<<10
	out := a.Run(t.Context(), s, streams)
	if least := n * int64(abi.ChargeOf(abi.Troupe, f.Name).Base); out.Fault != nil || asks != n || out.GasUsed < least {
		t.Errorf("%v, %d asks, gas %d of %d", out.Fault, asks, out.GasUsed, least)
	}
	s.Gas, asks = out.GasUsed/100, 0
	out = a.Run(t.Context(), s, streams)
	if out.Fault == nil || out.Fault.Code != fault.GuestGasLimit || asks > n/100 || out.GasUsed != s.Gas {
		t.Errorf("with a hundredth of its gas: %v, %d asks", out.Fault, asks)
	}
}

// TestAsksTakeNoMemory: a service asks for days, and garbage is collected between runs.
func TestAsksTakeNoMemory(t *testing.T) {
	f := &abi.TroupeFunctions[slices.IndexFunc(abi.TroupeFunctions, func(f abi.Function) bool { return f.Op == abi.OpKVGet })]
	a := loadCode(t, asker(f, false))
	answer := &run.Answer{Nums: []uint64{0}}
	streams := IO{Result: func([]byte) error { return nil }, Ask: func(*run.Ask) (*run.Answer, error) { return answer, nil }}
	runs := func(n int) float64 {
		s := invoked("f", fmt.Sprint(n))
		s.MemoryBytes, s.OutputBytes = 1<<20, 1<<10
		return testing.AllocsPerRun(5, func() { a.Run(context.Background(), s, streams) })
	}
	if few, many := runs(1), runs(1001); many > few+10 {
		t.Errorf("%v allocations with one ask, %v with 1,001", few, many)
	}
}

// TestWhatInitialisationAskedIsNotKept: it was the answer of one run.
func TestWhatInitialisationAskedIsNotKept(t *testing.T) {
	for i := range abi.TroupeFunctions {
		f := &abi.TroupeFunctions[i]
		for _, determinism := range []run.Determinism{run.Deterministic, run.RealWorld} {
			a := loadCode(t, asker(f, true))
			for n := range 3 {
				h := &hostOf{t: t}
				s := invoked("f", "1")
				s.Determinism = determinism
				out, _ := h.run(a, s)
				if want := min(2, 2*int(abi.OpGasLeft-f.Op)); out.Fault != nil || len(h.asks) != want {
					t.Errorf("%s, run %d: %d asks, %v", f.Name, n, len(h.asks), out.Fault)
				}
				if len(h.asks) == 2 && (h.asks[0].Gas == 0 || h.asks[1].Gas <= h.asks[0].Gas) { // that of initialisation is told, too
					t.Errorf("%s: gas %d, %d", f.Name, h.asks[0].Gas, h.asks[1].Gas)
				}
				a.Settle()
				if a.snap != nil {
					t.Errorf("%s: there is a snapshot", f.Name)
				}
			}
		}
	}
}

// TestTurnsComeBySlices: a run asks each time it has used so much more, whatever is granted at a time, and its gas does not depend on it.
func TestTurnsComeBySlices(t *testing.T) {
	a := load(t, "kernels")
	var plain Outcome
	for _, each := range []int64{0, 1_000_000, 10_000_000, 123_456_789} {
		for _, slice := range []int64{0, 300_000, 5_000_000} {
			var turns []int64
			s := invoked("fib", "25")
			s.Slice, s.TurnGas, s.MemoryBytes, s.OutputBytes = slice, each, 64<<20, 1<<10
			s.Turn = func(gas, memory int64) error {
				if turns = append(turns, gas); memory < 282<<16 {
					t.Errorf("a memory of %d bytes", memory)
				}
				return nil
			}
			out := a.Run(t.Context(), s, IO{Result: func([]byte) error { return nil }})
			if each == 0 && slice == 0 {
				plain = out
			}
			if out != plain || out.Fault != nil {
				t.Errorf("%d by %d: %+v, want %+v", each, slice, out, plain)
			}
			want, last := int64(0), int64(0)
			if each > 0 {
				want = (out.GasUsed + out.InitGas) / each
			}
			for _, gas := range turns {
				if gas != 0 && gas-last < each {
					t.Errorf("%d by %d: turns at %v", each, slice, turns)
				}
				last = gas
			}
			if n := int64(len(turns)); n > want || n < want*9/10-1 {
				t.Errorf("%d by %d: %d turns for %d", each, slice, n, want)
			}
		}
	}
	s := invoked("fib", "25")
	s.TurnGas, s.MemoryBytes, s.OutputBytes = 1_000_000, 64<<20, 1<<10
	s.Turn = func(int64, int64) error { return io.ErrClosedPipe }
	if out := a.Run(t.Context(), s, IO{}); out.Fault == nil || out.Fault.Code != fault.CanceledStopped {
		t.Errorf("a turn that does not come: %v", out.Fault)
	}
}
