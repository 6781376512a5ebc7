package engine

import (
	"context"
	"fmt"
	"io"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/host/abi"
)

const secData = 11

// stains are addresses in pages of all kinds: with data, beside it, the first and the last one.
var stains = []int{0, 8192 + 40, 8192 + 4088, 65536 - 8, 65536 + 4096, 3*65536 - 8}

// stainer has three pages with some data, a mutable global, a start function if it is to have one, and exports: stain, which writes
// wherever it can and grows memory; sniff, which returns a sum of all of it; and loud, which traps after a stain.
func stainer(start bool) []byte {
	const memorySize, i64Add, i64ExtendU = 0x3f, 0x7c, 0xad
	number := func(op byte, n int) []byte { // signed LEB128
		b := []byte{op}
		for ; n > 0x3f; n >>= 7 {
			b = append(b, byte(n)|0x80)
		}
		return append(b, byte(n))
	}
	const i64Store = 0x37
	var stain, sniff []byte
	for i, at := range stains {
		stain = slices.Concat(stain, number(opI32Const, at), number(opI64Const, 0xbad00+i), []byte{i64Store, 3, 0})
		sniff = slices.Concat(sniff, number(opI32Const, at), []byte{opI64Load, 3, 0, i64Add})
	}
	stain = slices.Concat(stain, number(opI64Const, 0xbad), []byte{opGlobalSet, 0, opI32Const, 1, opGrow, 0, opDrop},
		number(opI32Const, 3*65536), number(opI64Const, 0xbad), []byte{i64Store, 3, 0})
	sniff = slices.Concat([]byte{opGlobalGet, 0}, sniff, []byte{memorySize, 0, i64ExtendU, i64Add})
	init := slices.Concat(number(opI32Const, 65536+4096), number(opI64Const, 77), []byte{i64Store, 3, 0}, number(opI64Const, 99), []byte{opGlobalSet, 0})
	sections := [][]byte{
		section(secType, funcType("", "\x7e"), funcType("", "")),
		section(secFunc, []byte{1}, []byte{0}, []byte{1}, []byte{1}, []byte{0}),
		section(secMemory, []byte{0, 3}),
		section(secGlobal, []byte{i64, 1, opI64Const, 5, opEnd}),
		section(secExport, exportFunc("stain", 0), exportFunc("sniff", 1), exportFunc("loud", 2), exportFunc("grown", 4)),
	}
	if start {
		sections = append(sections, raw(secStart, []byte{3}))
	}
	// What the grown page begins with, which nobody wrote in this run.
	grown := slices.Concat([]byte{opI32Const, 1, opGrow, 0, opDrop}, number(opI32Const, 3*65536), []byte{opI64Load, 3, 0})
	sections = append(sections,
		section(secCode, body(stain...), body(sniff...), body(append(stain, opUnreachable)...), body(init...), body(grown...)),
		section(secData, slices.Concat([]byte{0}, number(opI32Const, 8192+40), []byte{opEnd, 8}, []byte("original"))),
	)
	return binaryModule(sections...)
}

// TestResetLeavesNothing: a run that stains all it can reach is not seen by the next one, in whichever way memory is reset.
func TestResetLeavesNothing(t *testing.T) {
	for _, start := range []bool{false, true} {
		for w := range ways {
			a := loadCode(t, stainer(start))
			a.pages.only = &w
			want, _ := call(a, invoked("sniff"))
			if want.Fault != nil || string(want.Result) == "0" {
				t.Fatalf("%v: %q", want.Fault, want.Result)
			}
			live := a.live
			for n := range 3 {
				for _, name := range []string{"stain", "grown", "stain", "loud"} {
					out, _ := call(a, invoked(name))
					if (out.Fault != nil) != (name == "loud") || name == "grown" && string(out.Result) != "0" {
						t.Errorf("%s: %v, %q", name, out.Fault, out.Result)
					}
					if same := a.live == live; n == 0 && !same {
						t.Errorf("reset by %v: %s began in another instance", w, name)
					}
					if got, _ := call(a, invoked("sniff")); string(got.Result) != string(want.Result) || got.GasUsed != want.GasUsed || got.InitGas != want.InitGas {
						t.Errorf("start %v, reset by %v: after %s %q, before %q (%+v, %+v)", start, w, name, got.Result, want.Result, got.Outcome, want.Outcome)
					}
				}
			}
		}
	}
}

// TestManyResets goes through all that is learned and tried, with stains in between, and looks at every byte.
func TestManyResets(t *testing.T) {
	a := loadCode(t, stainer(true))
	if out, _ := call(a, invoked("sniff")); out.Fault != nil {
		t.Fatal(out.Fault)
	}
	a.Settle()
	want := slices.Clone(a.mem.view())
	settled := map[way]int{}
	for i := range 200 {
		if out, _ := call(a, invoked([]string{"stain", "grown", "sniff"}[i%3])); out.Fault != nil {
			t.Fatal(out.Fault)
		}
		if a.Settle(); !slices.Equal(a.mem.view(), want) {
			t.Fatalf("after %d runs memory differs", i)
		}
		settled[a.pages.way]++
		if i == 100 {
			a.pages.step = 0 // it is learned anew
		}
	}
	if canMap && len(settled) != int(ways) {
		t.Errorf("resets by %v", settled)
	}
}

// sameFault takes faults that say the same for equal.
var sameFault = cmp.Comparer(func(a, b *fault.Error) bool {
	return (a == nil) == (b == nil) && (a == nil || a.Code == b.Code && a.Error() == b.Error())
})

// TestWarmRunsAreAsCold compares runs one after the other, each in the same instance, with runs in an instance of their own.
func TestWarmRunsAreAsCold(t *testing.T) {
	rows := map[string][]Spec{
		"kernels":    {invoked("sequential", "1"), invoked("random_writes", "1000"), invoked("fib", "10"), invoked("sequential", "2")},
		"go-hello":   {{Entry: run.Entry{Mode: run.Command, Args: []string{"a", "bc"}, Env: []string{"A=1", "B=2", "A=3"}}}, {}, {Gas: 1 << 20}},
		"c-hello":    {{Entry: run.Entry{Mode: run.Command, Args: []string{"x"}}}, {}, {OutputBytes: 2}},
		"exit":       {{Entry: run.Entry{Args: []string{"9"}}}, {Entry: run.Entry{Args: []string{"0"}}}, {}},
		"memhog":     {{Entry: run.Entry{Mode: run.Invoke, Name: "pages"}, MemoryBytes: 5 << 16}, {Entry: run.Entry{Mode: run.Invoke, Name: "run"}, MemoryBytes: 1 << 20}, {Entry: run.Entry{Mode: run.Invoke, Name: "pages"}, MemoryBytes: 9 << 16}},
		"echo":       {{Entry: run.Entry{Mode: run.Bytes, Name: "echo"}, Input: []byte("hello")}, {Entry: run.Entry{Mode: run.Bytes, Name: "lie"}, OutputBytes: 1 << 33}},
		"trap":       {invoked("div0"), invoked("oob"), {}},
		"recurse":    {invoked("run", "10"), invoked("run", "0"), {Entry: run.Entry{Mode: run.Invoke, Name: "run", Args: []string{"10"}}, StackValues: 20}},
		"start-trap": {invoked("run")}, "sleep": {{}, {}}, "adder": {{Entry: run.Entry{Mode: run.Bytes, Name: "validate_block"}, Input: []byte("short")}},
	}
	for name, specs := range rows {
		c := compile(t, name)
		warm, err := Load(t.Context(), c.Contents())
		if err != nil {
			t.Fatal(err)
		}
		for round := range 3 {
			for i, s := range specs {
				cold, err := Load(t.Context(), c.Contents())
				if err != nil {
					t.Fatal(err)
				}
				want, wantOut := call(cold, s)
				got, out := call(warm, s)
				_ = cold.Close()
				if d := cmp.Diff(want, got, sameFault); d != "" || wantOut.String() != out.String() {
					t.Errorf("%s, round %d, spec %d: %s, %q for %q", name, round, i, d, out, wantOut)
				}
			}
		}
		_ = warm.Close()
	}
}

// TestInitialisationThatSeesTheWorld: a snapshot is used for runs alone that would have begun in the same way.
func TestInitialisationThatSeesTheWorld(t *testing.T) {
	// The start function calls WASI; f returns what it wrote, and random bytes after it.
	build := func(name, params string, code ...byte) []byte {
		return binaryModule(
			section(secType, funcType(params, "\x7f"), funcType("", ""), funcType("", "\x7e"), funcType("\x7f\x7f", "\x7f")),
			section(secImport, importFunc(abi.WASI, name, 0), importFunc(abi.WASI, "random_get", 3)),
			section(secFunc, []byte{1}, []byte{2}, []byte{1}),
			section(secMemory, []byte{0, 1}),
			section(secExport, exportFunc("f", 3), exportFunc("_start", 4)),
			raw(secStart, []byte{2}),
			section(secCode, body(append(code, opDrop)...),
				body(opI32Const, 32, opI32Const, 8, opCall, 1, opDrop, opI32Const, 32, opI64Load, 3, 0, opI32Const, 0, opI64Load, 3, 0, 0x85), body()),
		)
	}
	two := []byte{opI32Const, 0, opI32Const, 8}
	rows := map[string]struct {
		code  []byte
		sees  bool // arguments or environment
		never bool // it is never kept
	}{
		"args":    {build("args_sizes_get", "\x7f\x7f", append(two, opCall, 0)...), true, false},
		"environ": {build("environ_sizes_get", "\x7f\x7f", append(two, opCall, 0)...), true, false},
		"random":  {build("random_get", "\x7f\x7f", append(two, opCall, 0)...), false, false},
		"clock":   {build("clock_time_get", "\x7f\x7e\x7f", opI32Const, 0, opI64Const, 0, opI32Const, 0, opCall, 0), false, false},
		"yield":   {build("sched_yield", "", opCall, 0), false, false},
		"read":    {build("fd_read", "\x7f\x7f\x7f\x7f", opI32Const, 0, opI32Const, 8, opI32Const, 0, opI32Const, 16, opCall, 0), false, true},
		"write":   {build("fd_write", "\x7f\x7f\x7f\x7f", opI32Const, 1, opI32Const, 8, opI32Const, 0, opI32Const, 16, opCall, 0), false, true},
		"close":   {build("fd_close", "\x7f", opI32Const, 1, opCall, 0), false, true},
	}
	for name, row := range rows {
		a := loadCode(t, row.code)
		for _, args := range []string{"a", "a", "bb", "bb", "a"} {
			command := Spec{Entry: run.Entry{Mode: run.Command, Args: []string{args}, Env: []string{"K=" + args}}}
			for _, s := range []Spec{command, invoked("f")} {
				cold := loadCode(t, row.code)
				want, _ := call(cold, s)
				before := a.taken
				got, _ := call(a, s)
				if d := cmp.Diff(want, got, sameFault); d != "" || want.Fault != nil {
					t.Errorf("%s with %q: %s (%v)", name, args, d, want.Fault)
				}
				if kept := a.snap != nil; kept == row.never {
					t.Errorf("%s: kept: %v", name, kept)
				}
				if !row.sees && !row.never && before > 0 && a.taken != before {
					t.Errorf("%s: taken anew", name)
				}
			}
		}
	}
}

// TestLimitsThatInitialisationMeets: a run under a limit that initialisation would have met begins on its own.
func TestLimitsThatInitialisationMeets(t *testing.T) {
	a := loadCode(t, stainer(true))
	first, _ := call(a, invoked("sniff"))
	if first.InitGas == 0 || first.Fault != nil {
		t.Fatalf("%+v", first)
	}
	low := invoked("sniff")
	low.InitGas = first.InitGas - 1
	exact := invoked("sniff")
	exact.InitGas = first.InitGas
	small := invoked("sniff")
	small.MemoryBytes = 2 << 16
	for range 2 {
		if out, _ := call(a, low); out.Fault == nil || out.Fault.Code != fault.GuestGasLimit || out.InitGas != low.InitGas {
			t.Errorf("less gas than it takes: %+v", out)
		}
		if out, _ := call(a, small); out.Fault == nil || out.Fault.Code != fault.GuestMemory {
			t.Errorf("less memory than it has: %+v", out)
		}
		if out, _ := call(a, exact); out.Fault != nil || out.InitGas != first.InitGas || string(out.Result) != string(first.Result) {
			t.Errorf("as much gas as it takes: %+v", out)
		}
	}
}

// TestEveryFunctionHasItsEffects: what is not classified would be taken for harmless.
func TestEveryFunctionHasItsEffects(t *testing.T) {
	names := abi.WASINames()
	for _, n := range names {
		if _, ok := effects[n]; !ok {
			t.Errorf("%s is not classified", n)
		}
	}
	if len(effects) != len(names) {
		t.Errorf("%d functions are classified, there are %d", len(effects), len(names))
	}
}

// TestClosedDescriptorsAreOpenAgain closes stdout in one run and writes to it in the next.
func TestClosedDescriptorsAreOpenAgain(t *testing.T) {
	code := binaryModule(
		section(secType, funcType("\x7f", "\x7f"), funcType("\x7f\x7f\x7f\x7f", "\x7f"), funcType("", "\x7f")),
		section(secImport, importFunc(abi.WASI, "fd_close", 0), importFunc(abi.WASI, "fd_write", 1)),
		section(secFunc, []byte{2}, []byte{2}),
		section(secMemory, []byte{0, 1}),
		section(secExport, exportFunc("close", 2), exportFunc("write", 3)),
		section(secCode, body(opI32Const, 1, opCall, 0), body(opI32Const, 1, opI32Const, 8, opI32Const, 0, opI32Const, 16, opCall, 1)),
	)
	a := loadCode(t, code)
	for range 3 {
		for _, name := range []string{"write", "close"} {
			if out, _ := call(a, invoked(name)); string(out.Result) != "0" {
				t.Errorf("%s: %q, %v", name, out.Result, out.Fault)
			}
		}
	}
}

// TestLongIsHeardOnce: a short run says nothing, and one that goes on after its first slice says so once.
func TestLongIsHeardOnce(t *testing.T) {
	a := load(t, "kernels")
	for slice, want := range map[int64]int{0: 0, 1000: 1} {
		heard := 0
		s := invoked("fib", "15")
		s.Slice, s.Long = slice, func() error { heard++; return nil }
		first, _ := call(a, s)
		if heard != want || first.Fault != nil {
			t.Errorf("slices of %d: heard %d times, %v", slice, heard, first.Fault)
		}
		s.Long = func() error { return io.ErrUnexpectedEOF }
		if out, _ := call(a, s); (out.Fault != nil) != (want > 0) || out.Fault != nil && out.Fault.Code != fault.CanceledStopped {
			t.Errorf("slices of %d: an error of it: %v", slice, out.Fault)
		}
	}
}

// TestWarmRunsAllocateNothing runs a bytes entry and settles.
func TestWarmRunsAllocateNothing(t *testing.T) {
	a, s, streams := smallCall(t, 2, 4)
	for range 100 {
		a.Run(context.Background(), s, streams)
		a.Settle()
	}
	n := testing.AllocsPerRun(100, func() {
		if out := a.Run(context.Background(), s, streams); out.Fault != nil {
			panic(out.Fault)
		}
		a.Settle()
	})
	if n > 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestSpans(t *testing.T) {
	page := func(n ...int64) (out []int64) {
		for _, p := range n {
			out = append(out, p*pageBytes)
		}
		return out
	}
	for _, row := range []struct {
		pages []int64
		want  string
	}{
		{page(), "[]"},
		{page(0), "[{0 4096}]"},
		{page(31), "[{126976 131072}]"},
		{page(3, 9, 31, 30, 9, 3), "[{0 16384} {36864 40960} {122880 131072}]"},
		{page(10, 14), "[{40960 61440}]"},
	} {
		if got := fmt.Sprint(spans(row.pages, 32*pageBytes)); got != row.want {
			t.Errorf("%v: %s, want %s", row.pages, got, row.want)
		}
	}
}

// TestBase compares and restores pieces around the ends of a base.
func TestBase(t *testing.T) {
	b := &base{at: 2 * pageBytes, bytes: slices.Repeat([]byte{7}, pageBytes+100)}
	memory := make([]byte, 6*pageBytes)
	for i := range memory {
		memory[i] = 9
	}
	b.restore(memory, 0)
	for i, v := range memory {
		want := byte(0)
		if i >= 2*pageBytes && i < 3*pageBytes+100 {
			want = 7
		}
		if v != want {
			t.Fatalf("byte %d is %d", i, v)
		}
	}
	for at := int64(0); at < int64(len(memory)); at += pageBytes {
		page := memory[at : at+pageBytes]
		if !b.same(page, at) {
			t.Errorf("the page at %d differs", at)
		}
		for _, i := range []int{0, 99, 100, pageBytes - 1} {
			page[i] ^= 1
			if b.same(page, at) {
				t.Errorf("byte %d of the page at %d is not compared", i, at)
			}
			page[i] ^= 1
		}
	}
	if b.end() != 4*pageBytes {
		t.Errorf("it ends at %d", b.end())
	}
}

// TestInitialisationThatErasesItsImage: what the data of the code was is not seen again by who begins behind an initialisation that has
// cleared it, wherever the bytes are that this left.
func TestInitialisationThatErasesItsImage(t *testing.T) {
	const i64Store = 0x37
	const page = 65536
	number := func(n int) []byte { // signed LEB128
		b := []byte{opI32Const}
		for ; n > 0x3f; n >>= 7 {
			b = append(b, byte(n)|0x80)
		}
		return append(b, byte(n))
	}
	put := func(at int, v byte) []byte { return slices.Concat(number(at), []byte{opI64Const, v, i64Store, 3, 0}) }
	for name, begin := range map[string][]byte{
		"behind it": slices.Concat(put(0, 0), put(page, 0), put(3*page, 7)),
		"before it": slices.Concat(put(0, 7), put(page, 0)),
		"nothing":   slices.Concat(put(0, 0), put(page, 0)),
	} {
		code := binaryModule(
			section(secType, funcType("", ""), funcType("\x7f", "\x7e")),
			section(secFunc, []byte{0}, []byte{1}),
			section(secMemory, []byte{0, 4}),
			section(secExport, exportFunc("f", 1)),
			raw(secStart, []byte{0}),
			section(secCode, body(begin...), body(opLocalGet, 0, opI64Load, 3, 0)),
			section(secData,
				slices.Concat([]byte{0}, number(0), []byte{opEnd, 8}, []byte("original")),
				slices.Concat([]byte{0}, number(page), []byte{opEnd, 8}, []byte("original"))),
		)
		want := map[string]string{"0": "0", "65536": "0", "196608": "0"}
		switch name {
		case "behind it":
			want["196608"] = "7"
		case "before it":
			want["0"] = "7"
		}
		a := loadCode(t, code)
		for range 3 {
			for at, v := range want {
				if out, _ := call(a, invoked("f", at)); out.Fault != nil || string(out.Result) != v {
					t.Errorf("%s: at %s there is %q, want %q (%v)", name, at, out.Result, v, out.Fault)
				}
			}
		}
	}
}

// TestTheRealWorldIsAskedInEachRun: time and random bytes that initialisation saw are those of one run, where they are real.
func TestTheRealWorldIsAskedInEachRun(t *testing.T) {
	for name, begin := range map[string][]byte{
		"random_get":     {opI32Const, 0, opI32Const, 8, opCall, 0, opDrop},
		"clock_time_get": {opI32Const, 1, opI64Const, 0, opI32Const, 0, opCall, 0, opDrop},
	} {
		params := "\x7f\x7f"
		if name == "clock_time_get" {
			params = "\x7f\x7e\x7f"
		}
		a := loadCode(t, binaryModule(
			section(secType, funcType(params, "\x7f"), funcType("", ""), funcType("", "\x7e")),
			section(secImport, importFunc(abi.WASI, name, 0)),
			section(secFunc, []byte{1}, []byte{2}),
			section(secMemory, []byte{0, 1}),
			section(secExport, exportFunc("f", 2)),
			raw(secStart, []byte{1}),
			section(secCode, body(begin...), body(opI32Const, 0, opI64Load, 3, 0)),
		))
		seen := map[string]bool{}
		for range 4 {
			s := invoked("f")
			s.Determinism = run.RealWorld
			out, _ := call(a, s)
			if out.Fault != nil || seen[string(out.Result)] {
				t.Errorf("%s: %q again (%v)", name, out.Result, out.Fault)
			}
			seen[string(out.Result)] = true
			for begin := time.Now(); time.Since(begin) < 2*DefaultClockStep; { // the clock goes in steps
			}
		}
	}
}
