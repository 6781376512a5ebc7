package wire

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"os"
	"reflect"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/artifacts"
	"github.com/troupehost/troupe/artifacts/wasm"
	"github.com/troupehost/troupe/host/abi"
)

// messages returns at least one message of each type, with every field set.
func messages() []Message {
	return []Message{
		Hello{BuildID: BuildID(), Probe: true, Warm: true},
		Ready{BuildID: BuildID(), CPU: "amd64-00", Held: []string{"env", "fds"}},
		Prepare{MaxInflatedBytes: 64 << 20, Clock: Clock{CPU: math.MaxInt64, Wall: 1}, CanonicalNaNs: true, Stay: true,
			Policy: wasm.Policy{Features: wasm.AllFeatures, Caps: wasm.Caps(allCaps())}},
		Extend{Clock: Clock{CPU: 1, Wall: math.MaxInt64}},
		Snapshot{Clock: Clock{CPU: 1, Wall: 2}, MemoryBytes: 3, InitGas: run.MaxGas, StackValues: 4},
		Snapshotted{
			Initialised: true, SeesTime: true, SeesCommand: true, MemoryBytes: 1, PeakBytes: 2, Refused: true, LimitBytes: run.MaxMemoryBytes,
			StackValues: 4, InitGas: run.MaxGas, Time: math.MaxInt64, Drawn: MaxDrawn, ImageAddress: 5, ImageBytes: MaxSnapshotBytes,
			HeapNext: math.MaxUint32, HeapFree: []uint32{0, 6}, Globals: []uint64{math.MaxUint64},
		},
		Prepared{
			Module: artifacts.Module{
				Imports:     []artifacts.Import{{Module: "env", Name: "memory", Kind: "memory", Type: "1 pages", Known: true}, {Name: "\xff\x00"}},
				Exports:     []artifacts.Export{{Name: "run", Kind: "func", Type: "(i32) -> (i32)"}},
				MemoryPages: 1, MemoryMax: math.MaxUint32, HasStart: true, WasmBytes: 2, NumFunctions: 3, CodeBytes: 4, DataBytes: 5, TableElements: 6,
				Shape: artifacts.Shape{Features: "simd,tail-calls", Caps: allCaps()}, Resets: []string{"grows-memory"}, Mutable: 7, UncheckedGas: math.MaxUint64,
			},
			Parts: []PartRange{{"module", 0, 10}, {"code", 10, math.MaxInt64}},
		},
		Load{Files: []string{"module", FileScratch}}, Loaded{},
		Failed{Code: fault.GuestTruncated, Message: "in the header"},
		Terms{
			Entry:       run.Entry{Mode: run.Command, Name: "n", Args: []string{"", "b"}, Env: []string{"K=V"}},
			MemoryBytes: 1, OutputBytes: 2, Imports: run.TrapMissing, Determinism: run.RealWorld,
			Clock: Clock{CPU: 4, Wall: 5}, Gas: run.MaxGas, InitGas: 6, StackValues: 7, ClockStep: MaxClockStep, TurnGas: run.MaxGas,
		},
		Call{Run: math.MaxUint64, InputBytes: 3, Stdin: true, Asks: true, Data: []byte("in")},
		Input{Data: []byte("in")},
		Stdin{Data: []byte("x"), EOF: true},
		Output{Stderr: true, Data: bytes.Repeat([]byte{7}, MaxChunk)},
		NeedStdin{Max: MaxChunk},
		Result{Data: []byte{0}},
		Finished{Run: 9, Code: fault.GuestExit, Message: "m", Exited: true, Exit: math.MinInt32, MemoryPeakBytes: 65536, GasUsed: run.MaxGas, InitGas: 1},
		Ask{Op: uint16(abi.OpKVList), Nums: []int64{abi.MaxBytes}, Args: [][]byte{[]byte("k"), bytes.Repeat([]byte{8}, abi.MaxBytes-1)}, Gas: run.MaxGas, MemoryBytes: run.MaxMemoryBytes},
		Answer{Errno: math.MaxUint32, Nums: []uint64{math.MaxUint64, 0}, Data: bytes.Repeat([]byte{9}, abi.MaxBytes)},
		Check{
			MaxInflatedBytes: 1, Policy: wasm.Policy{Features: wasm.AllFeatures, Caps: wasm.Caps(allCaps())}, CanonicalNaNs: true,
			Terms: Terms{
				Entry:       run.Entry{Mode: run.Bytes, Name: "n", Args: []string{"", "b"}, Env: []string{"K=V"}},
				MemoryBytes: 2, OutputBytes: 3, Imports: run.TrapMissing, Determinism: run.Deterministic, Clock: Clock{CPU: 4, Wall: 5},
				Gas: run.MaxGas, InitGas: 6, StackValues: 7,
			},
		},
		Checked{Code: fault.GuestExit, Exited: true, Exit: math.MaxInt32, MemoryPeakBytes: 1, GasUsed: run.MaxGas, InitGas: 2,
			Result: [32]byte{1}, Stdout: [32]byte{2}, Stderr: [32]byte{31: 3}, TooDeep: true, Floats: true},
	}
}

// allCaps has another number in each field.
func allCaps() (c artifacts.Caps) {
	v := reflect.ValueOf(&c).Elem()
	for i := range v.NumField() {
		v.Field(i).SetInt(int64(1000 + i))
	}
	return c
}

func TestEveryMessageRoundTrips(t *testing.T) {
	seen := map[Type]bool{}
	for _, m := range messages() {
		seen[m.Type()] = true
		b, err := Encode(m)
		if err != nil {
			t.Fatalf("%T: %v", m, err)
		}
		r := reader{fill: iotest.HalfReader(bytes.NewReader(b)).Read}
		got, err := r.next()
		if d := cmp.Diff(m, got); d != "" || err != nil {
			t.Errorf("%T: %v\n%s", m, err, d)
		}
		if _, err := r.next(); err != io.EOF {
			t.Errorf("%T: at the end: %v", m, err)
		}
		for n := 1; n < min(len(b), 300); n++ { // cut off anywhere
			r := reader{fill: bytes.NewReader(b[:n]).Read}
			if _, err := r.next(); err != io.ErrUnexpectedEOF {
				t.Fatalf("%T cut at %d: %v", m, n, err)
			}
		}
		for n := range min(len(b)-headerSize, 300) { // no payload may be shorter
			if _, err := Decode(m.Type(), b[headerSize:headerSize+n]); !errors.Is(err, ErrFrame) {
				t.Errorf("%T with %d bytes of payload: %v", m, n, err)
			}
		}
		if _, err := Decode(m.Type(), append(b[headerSize:], 0)); !errors.Is(err, ErrFrame) {
			t.Errorf("%T with a byte too many: %v", m, err)
		}
	}
	for n := range 256 {
		if _, err := Decode(Type(n), nil); !seen[Type(n)] && !errors.Is(err, ErrFrame) {
			t.Errorf("type %d, which no message here has: %v", n, err)
		}
	}
}

// TestSenderIsHeldToTheLimits: what Decode would refuse is an error of Encode.
func TestSenderIsHeldToTheLimits(t *testing.T) {
	long, many := strings.Repeat("x", MaxName+1), make([]string, MaxList+1)
	names := make([]artifacts.Export, 40)
	for i := range names {
		names[i].Name = long[:MaxName]
	}
	for name, m := range map[string]Message{
		"input":    Call{Data: make([]byte, MaxChunk+1)},
		"chunk":    Output{Data: make([]byte, MaxChunk+1)},
		"piece":    Input{Data: make([]byte, MaxChunk+1)},
		"args":     Terms{Entry: run.Entry{Args: many}},
		"env":      Terms{Entry: run.Entry{Env: many}},
		"argument": Terms{Entry: run.Entry{Args: []string{long}}},
		"name":     Terms{Entry: run.Entry{Name: long}},
		"parts":    Prepared{Parts: make([]PartRange, MaxParts+1)},
		"frame":    Prepared{Module: artifacts.Module{Exports: names}},
		"layers":   Ready{Held: many},
		"numbers":  Ask{Op: uint16(abi.OpHead), Nums: make([]int64, abi.MaxNums+1)},
		"pieces":   Ask{Op: uint16(abi.OpKVPut), Args: make([][]byte, abi.MaxArgs+1)},
		"asked":    Ask{Op: uint16(abi.OpLog), Args: [][]byte{make([]byte, abi.MaxBytes+1)}},
		"key":      Ask{Op: uint16(abi.OpKVPut), Args: [][]byte{make([]byte, abi.MaxBytes+1), nil}},
		"answered": Answer{Data: make([]byte, abi.MaxBytes+1)},
		"results":  Answer{Nums: make([]uint64, abi.MaxNums+1)},
	} {
		if _, err := Encode(m); !errors.Is(err, ErrFrame) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, m := range []Message{NeedStdin{Max: -1}, Call{InputBytes: -1}, NeedStdin{Max: MaxChunk + 1}, Finished{MemoryPeakBytes: -1}, Finished{GasUsed: -1}, Finished{InitGas: run.MaxGas + 1}, Terms{Gas: -1}, Terms{ClockStep: MaxClockStep + 1}, Terms{StackValues: run.MaxStackValues + 1},
		Prepare{MaxInflatedBytes: -1},
		Extend{Clock{CPU: -1}}, Terms{Clock: Clock{Wall: -1}}, Terms{TurnGas: -1}, Terms{TurnGas: run.MaxGas + 1},
		Ask{Op: uint16(abi.OpTurn), Gas: -1}, Ask{Op: uint16(abi.OpTurn), Gas: run.MaxGas + 1}, Ask{Op: uint16(abi.OpTurn), MemoryBytes: -1},
		Ask{Op: uint16(abi.OpTurn), MemoryBytes: run.MaxMemoryBytes + 1}, Ask{}, Ask{Op: uint16(abi.OpGasLeft)}, Ask{Op: uint16(abi.OpTurn), Nums: []int64{1}},
		Ask{Op: uint16(abi.OpTip)}, Ask{Op: uint16(abi.OpTip), Nums: []int64{1, 2}}, Ask{Op: uint16(abi.OpTip), Nums: []int64{1}, Args: [][]byte{{1}}},
		Ask{Op: uint16(abi.OpKVPut), Args: [][]byte{{1}}}, Ask{Op: uint16(abi.OpKVPut), Args: [][]byte{make([]byte, abi.MaxBytes), {1}}},
		Ask{Op: uint16(abi.OpFact), Nums: []int64{1, -1}}, Ask{Op: uint16(abi.OpFact), Nums: []int64{1, abi.MaxBytes + 1}}} {
		b, err := Encode(m)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := Decode(m.Type(), b[headerSize:]); !errors.Is(err, ErrFrame) {
			t.Errorf("%+v arrives as %+v, %v", m, got, err)
		}
	}
	b, err := Encode(Failed{Message: strings.Repeat("x", 10*MaxText)})
	if err != nil {
		t.Fatal(err)
	}
	if m, err := Decode(TypeFailed, b[headerSize:]); err != nil || len(m.(Failed).Message) != MaxText {
		t.Errorf("a long message: %v", err)
	}
}

// TestHostileFramesTakeNoMemory: a length is a claim, and nothing is taken for a claim.
func TestHostileFramesTakeNoMemory(t *testing.T) {
	huge := binary.AppendUvarint(nil, math.MaxUint64)
	claim := func(n uint64, more ...byte) []byte { return append(binary.AppendUvarint(nil, n), more...) }
	payloads := map[string]struct {
		t Type
		p []byte
	}{
		"length of a string":  {TypeHello, huge},
		"length of a chunk":   {TypeOutput, append([]byte{0}, huge...)},
		"chunk over limit":    {TypeResult, claim(MaxChunk+1, make([]byte, MaxChunk+1)...)},
		"number of imports":   {TypePrepared, huge},
		"imports, none there": {TypePrepared, claim(MaxFrame)},
		"number of parts":     {TypePrepared, append(make([]byte, 30), huge...)},
		"number of layers":    {TypeReady, append([]byte{0, 0}, huge...)},
		"layers, none there":  {TypeReady, append([]byte{0, 0}, claim(MaxList)...)},
		"args":                {TypeTerms, append([]byte{1, 0}, claim(MaxList)...)},
		"number without end":  {TypePrepare, bytes.Repeat([]byte{0xff}, 20)},
		"flag":                {TypeHello, []byte{0, 2}},
		"numbers of an ask":   {TypeAsk, append([]byte{byte(abi.OpHead), 0, 0}, huge...)},
		"pieces of an ask":    {TypeAsk, append([]byte{byte(abi.OpKVPut), 0, 0, 0}, huge...)},
		"piece of an ask":     {TypeAsk, append([]byte{byte(abi.OpKVPut), 0, 0, 0, 2}, huge...)},
		"function of an ask":  {TypeAsk, huge},
		"numbers of answers":  {TypeAnswer, append([]byte{0}, huge...)},
		"bytes of an answer":  {TypeAnswer, append([]byte{0, 0}, huge...)},
		"error number":        {TypeAnswer, claim(math.MaxUint32+1, 0, 0)},
		"mode":                {TypeTerms, []byte{4}},
		"exit code":           {TypeFinished, append([]byte{1, 0, 0, 1}, append(binary.AppendVarint(nil, math.MaxInt64), 0, 0, 0)...)},
	}
	for name, row := range payloads {
		if got := allocated(func() {
			if m, err := Decode(row.t, row.p); !errors.Is(err, ErrFrame) {
				t.Errorf("%s: %v, %v", name, m, err)
			}
		}); got > 64<<10 {
			t.Errorf("%s took %d bytes", name, got)
		}
	}
	for name, stream := range map[string][]byte{
		"frame over limit":     {0xff, 0xff, 0xff, 0xff, byte(TypeOutput)},
		"one byte over limit":  {0xfc, 0xff, 0x0f, 0, byte(TypeOutput)},
		"largest, never comes": {0xfb, 0xff, 0x0f, 0, byte(TypeOutput)},
	} {
		if got := allocated(func() {
			r := reader{fill: bytes.NewReader(stream).Read}
			if _, err := r.next(); !errors.Is(err, ErrFrame) && err != io.ErrUnexpectedEOF {
				t.Errorf("%s: %v", name, err)
			}
		}); got > 64<<10 {
			t.Errorf("%s took %d bytes", name, got)
		}
	}
}

func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

func TestReaderRefusesToSpin(t *testing.T) {
	r := reader{fill: func([]byte) (int, error) { return 0, nil }}
	if _, err := r.next(); err != io.ErrNoProgress {
		t.Errorf("%v", err)
	}
}

func TestEngineVersionIsThatOfGoMod(t *testing.T) {
	mod, err := os.ReadFile("../../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	name, version, _ := strings.Cut(EngineVersion, " ")
	if !strings.Contains(string(mod), "/"+name+" "+version+"\n") {
		t.Errorf("go.mod does not require %s: change EngineVersion with it", EngineVersion)
	}
}

// TestSymbolsAreCounted: the host keeps the description of a module, so a hostile worker may not fill a frame with it.
func TestSymbolsAreCounted(t *testing.T) {
	long := strings.Repeat("x", MaxSymbolName)
	for name, m := range map[string]artifacts.Module{
		"exports":     {Exports: make([]artifacts.Export, MaxSymbols+1)},
		"imports":     {Imports: make([]artifacts.Import, MaxSymbols+1)},
		"export name": {Exports: []artifacts.Export{{Name: long + "x"}}},
		"import name": {Imports: []artifacts.Import{{Name: long + "x"}}},
		"module name": {Imports: []artifacts.Import{{Module: long + "x"}}},
	} {
		if _, err := Encode(Prepared{Module: m}); !errors.Is(err, ErrFrame) {
			t.Errorf("%s, sent: %v", name, err)
		}
	}
	most := Prepared{Module: artifacts.Module{Imports: []artifacts.Import{{Module: long, Name: long}}, Exports: make([]artifacts.Export, MaxSymbols)}}
	b, err := Encode(most)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Decode(TypePrepared, b[headerSize:]); err != nil {
		t.Errorf("at the bounds: %v", err)
	}
	more := binary.AppendUvarint([]byte{0}, MaxSymbols+1) // no import, an export more
	if _, err := Decode(TypePrepared, append(more, make([]byte, 1<<19)...)); !errors.Is(err, ErrFrame) || !strings.Contains(err.Error(), "exports") {
		t.Errorf("an export more, received: %v", err)
	}
}

func TestTheEngineIsTheLinkedOne(t *testing.T) {
	module := func(m debug.Module) *debug.BuildInfo {
		return &debug.BuildInfo{Deps: []*debug.Module{{Path: "example.org/other", Version: "v9"}, &m}}
	}
	for want, info := range map[string]*debug.BuildInfo{
		"wazero v1.99.0":                        module(debug.Module{Path: enginePath, Version: "v1.99.0"}),
		"wazero replaced by example.org/f v0.1": module(debug.Module{Path: enginePath, Version: "v1", Replace: &debug.Module{Path: "example.org/f", Version: "v0.1"}}),
	} {
		if got := engineOf(info); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	for _, info := range []*debug.BuildInfo{nil, {}, module(debug.Module{Path: "example.org/x"})} {
		if got := engineOf(info); got != EngineVersion {
			t.Errorf("nothing known: %q", got)
		}
	}
}

func TestBuildID(t *testing.T) {
	ids := map[string]bool{idOf("a", "b"): true, idOf("a", "c"): true, idOf("c", "b"): true}
	if len(ids) != 3 {
		t.Errorf("another engine or other calls, and the same build: %v", ids)
	}
	if id := BuildID(); len(id) != 16 || id != BuildID() || strings.Trim(id, "0123456789abcdef") != "" {
		t.Errorf("build id %q", id)
	}
}

func TestWorkerIsToldByItsArguments(t *testing.T) {
	for _, row := range []struct {
		args []string
		want bool
	}{
		{[]string{Arg0, Arg1}, true},
		{[]string{Arg0}, false},
		{[]string{Arg0, "--version"}, false},
		{[]string{"troupe", Arg1}, false},
		{[]string{Arg0, Arg1, "ns=user:1"}, true},
		{[]string{Arg0, Arg1, "more"}, false},
		{nil, false},
	} {
		if got := IsWorker(row.args); got != row.want {
			t.Errorf("IsWorker(%q) = %v", row.args, got)
		}
	}
}

// FuzzDecode: no payload makes the decoder panic, and what it takes it would also send.
func FuzzDecode(f *testing.F) {
	for _, m := range messages() {
		if b, err := Encode(m); err == nil && len(b) < 4096 {
			f.Add(byte(m.Type()), b[headerSize:])
		}
	}
	f.Fuzz(func(t *testing.T, typ byte, p []byte) {
		m, err := Decode(Type(typ), p)
		if err != nil {
			if !errors.Is(err, ErrFrame) {
				t.Fatalf("untyped error %v", err)
			}
			return
		}
		b, err := Encode(m)
		if err != nil {
			if len(p)+headerSize >= MaxFrame {
				return
			}
			t.Fatalf("%+v was taken but cannot be sent: %v", m, err)
		}
		back, err := Decode(Type(typ), b[headerSize:])
		if err != nil || !cmp.Equal(m, back) {
			t.Fatalf("%+v came back as %+v, %v", m, back, err)
		}
	})
}

// FuzzReader: no stream makes the reader panic or hold more than a frame.
func FuzzReader(f *testing.F) {
	var all []byte
	for _, m := range messages() {
		if b, err := Encode(m); err == nil && len(b) < 4096 {
			all = append(all, b...)
		}
	}
	f.Add(all, 3)
	f.Add([]byte{0xfb, 0xff, 0x0f, 0, 68, 1}, 100)
	f.Fuzz(func(t *testing.T, stream []byte, step int) {
		in := bytes.NewReader(stream)
		r := reader{fill: func(p []byte) (int, error) { return in.Read(p[:min(len(p), max(step, 1))]) }}
		for {
			_, err := r.next()
			if len(r.buf) > MaxFrame || len(r.buf) > 4096+2*len(stream) {
				t.Fatalf("holds %d bytes of a stream of %d", len(r.buf), len(stream))
			}
			if err != nil {
				return
			}
		}
	})
}
