package engine

import (
	"context"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/host/abi"
)

// imported is a function of the host as guests import it.
type imported struct {
	module, name string
	params       string // types of the binary format
	results      string
	group        string
}

// offered are all functions of the host. Their types are found by asking for every type that there could be.
var offered = sync.OnceValue(func() []imported {
	var types [][3]string
	for _, params := range spellings(9) {
		for _, results := range []string{"", "\x7f"} {
			types = append(types, [3]string{params, results, typed(params, results)})
		}
	}
	var out []imported
	add := func(module, name string) {
		f := imported{module: module, name: name}
		for _, typ := range types {
			if abi.Known(module, name, typ[2]) {
				f.params, f.results = typ[0], typ[1]
				break
			}
		}
		f.group, _, _ = strings.Cut(name, "_")
		out = append(out, f)
	}
	for _, name := range slices.Sorted(slices.Values(abi.WASINames())) {
		add(abi.WASI, name)
	}
	add(abi.Env, abi.Malloc)
	add(abi.Env, abi.Free)
	return out
})

// spellings are all lists of up to n parameters of i32 and i64.
func spellings(n int) []string {
	out := []string{""}
	for last := out; n > 0; n-- {
		var longer []string
		for _, s := range last {
			longer = append(longer, s+"\x7f", s+"\x7e")
		}
		out, last = append(out, longer...), longer
	}
	return out
}

func typed(params, results string) string {
	spell := func(s string) string {
		return "(" + strings.TrimSuffix(strings.NewReplacer("\x7f", "i32, ", "\x7e", "i64, ").Replace(s), ", ") + ")"
	}
	return spell(params) + " -> " + spell(results)
}

// caller exports f, which has the type of the function and calls it, over a memory of one page.
func (f imported) caller() []byte {
	var code []byte
	for i := range len(f.params) {
		code = append(code, opLocalGet, byte(i))
	}
	return binaryModule(
		section(secType, funcType(f.params, f.results)),
		section(secImport, importFunc(f.module, f.name, 0)),
		section(secFunc, []byte{0}),
		section(secMemory, []byte{0, 1}),
		section(secExport, exportFunc("f", 1), append(text("memory"), 2, 0)),
		section(secCode, body(append(code, opCall, 0)...)),
	)
}

// evil are values that a host must not believe: as addresses, lengths, counts, descriptors, flags and offsets. Some wrap
// around when they are multiplied by the size of an entry (8, 24, 32 and 48 bytes).
func evil() []int64 {
	return []int64{0, 1, 3, 255, 65528, 65535, 65536, 1 << 16 << 8, 0x05555556, 0x08000001, 1 << 28, 1 << 29, math.MaxInt32 - 1, math.MaxInt32,
		math.MinInt32, math.MaxUint32 - 7, math.MaxUint32}
}

// args spells values as arguments: those of i32 in 32 bits.
func (f imported) args(values []int64) []string {
	out := make([]string, len(f.params))
	for i := range out {
		if f.params[i] == i32 {
			out[i] = strconv.FormatInt(int64(int32(uint32(values[i]))), 10)
		} else {
			out[i] = strconv.FormatInt(values[i], 10)
		}
	}
	return out
}

// abuse calls a function with values. It is answered, by a number or by a verdict on the guest, and that is charged.
func (f imported) abuse(t testing.TB, a *App, values []int64) ending {
	t.Helper()
	s := invoked("f", f.args(values)...)
	s.MemoryBytes, s.Gas = 1<<20, 1<<30
	out, _ := call(a, s)
	if out.GasUsed == 0 {
		t.Errorf("%s%v: nothing is charged", f.name, values)
	}
	if out.Fault == nil {
		return out
	}
	if c := out.Fault.Class; c != fault.Guest {
		t.Errorf("%s%v: %v", f.name, values, out.Fault)
	}
	if text := out.Fault.Error(); strings.Contains(text, "runtime error") || strings.Contains(text, "goroutine") || strings.ContainsAny(text, "\x1b\n") {
		t.Errorf("%s%v: %q", f.name, values, text)
	}
	return out
}

// TestAbusedHostCalls calls every function of the host with values that it must not believe: alike, one at a time among
// good ones, and mixed.
func TestAbusedHostCalls(t *testing.T) {
	calls := 0
	for _, f := range offered() {
		if f.params == "" && f.results == "" {
			t.Errorf("%s.%s: its type was not found", f.module, f.name)
			continue
		}
		a := loadCode(t, f.caller())
		random := rand.New(rand.NewPCG(1, uint64(len(f.name))))
		var all [][]int64
		for _, v := range evil() {
			all = append(all, slices.Repeat([]int64{v}, len(f.params)))
			for i := range len(f.params) {
				one := make([]int64, len(f.params))
				for j := range one {
					one[j] = int64(8 * j)
				}
				one[i] = v
				all = append(all, one)
			}
		}
		for range 5 * len(f.params) {
			mixed := make([]int64, len(f.params))
			for j := range mixed {
				mixed[j] = evil()[random.IntN(len(evil()))]
			}
			all = append(all, mixed)
		}
		for _, values := range all {
			f.abuse(t, a, values)
			calls++
		}
	}
	t.Logf("%d calls of %d functions", calls, len(offered()))
}

// TestAddressesOutsideOfMemoryAreRefused: where a function takes addresses, those that lie outside get an error number and
// change nothing.
func TestAddressesOutsideOfMemoryAreRefused(t *testing.T) {
	pointers := map[string][]int{ // which parameters are addresses, of functions that get that far
		"args_sizes_get": {0, 1}, "environ_sizes_get": {0, 1}, "clock_res_get": {1}, "clock_time_get": {2}, "fd_fdstat_get": {1},
		"fd_filestat_get": {1}, "fd_read": {1, 3}, "fd_write": {1, 3}, "poll_oneoff": {0, 1}, "random_get": {0},
	}
	good := map[string][]int64{
		"args_sizes_get": {0, 8}, "environ_sizes_get": {0, 8}, "clock_res_get": {0, 8}, "clock_time_get": {0, 0, 8}, "fd_fdstat_get": {1, 8},
		"fd_filestat_get": {1, 8}, "fd_read": {0, 0, 1, 64}, "fd_write": {1, 0, 1, 64}, "poll_oneoff": {0, 1024, 1, 2048}, "random_get": {8, 16},
	}
	seen := 0
	for _, f := range offered() {
		if pointers[f.name] == nil {
			continue
		}
		seen++
		a := loadCode(t, f.caller())
		if out := f.abuse(t, a, good[f.name]); out.Fault != nil || string(out.Result) != "0" {
			t.Errorf("%s%v: %q, %v", f.name, good[f.name], out.Result, out.Fault)
		}
		for _, i := range pointers[f.name] {
			for _, v := range []int64{65536, 65535, math.MaxInt32, math.MaxUint32 - 7, math.MaxUint32} {
				values := slices.Clone(good[f.name])
				values[i] = v
				if out := f.abuse(t, a, values); out.Fault == nil && string(out.Result) == "0" {
					t.Errorf("%s%v was done", f.name, values)
				}
			}
		}
	}
	if seen != len(pointers) {
		t.Errorf("%d of %d functions exist", seen, len(pointers))
	}
}

// TestAMillionEmptyCalls ask for nothing, and are charged one by one.
func TestAMillionEmptyCalls(t *testing.T) {
	const n = 1_000_000
	for name, args := range map[string][][]byte{
		"random_get":  {i32Arg(0), i32Arg(0)},
		"fd_write":    {i32Arg(1), i32Arg(0), i32Arg(0), i32Arg(0)},
		"sched_yield": {},
	} {
		at := slices.IndexFunc(offered(), func(f imported) bool { return f.name == name })
		a := loadCode(t, hostCall{name: name, params: offered()[at].params, args: args}.module())
		begin := time.Now()
		s := invoked("f", fmt.Sprint(n))
		s.MemoryBytes = 64 << 20
		out, _ := call(a, s)
		took := time.Since(begin)
		if out.Fault != nil || out.GasUsed < n {
			t.Errorf("%s: %v, gas %d", name, out.Fault, out.GasUsed)
		}
		// What is charged stands for time, ten nanoseconds for a thousand at least on any machine that runs tests.
		if most := 50 * time.Duration(out.GasUsed) / 100; took > most {
			t.Errorf("%s: %v for gas of %v", name, took, most)
		}
		s.Gas = out.GasUsed / 100
		if out, _ = call(a, s); out.Fault == nil || out.Fault.Code != fault.GuestGasLimit || out.GasUsed != s.Gas {
			t.Errorf("%s with a hundredth of its gas: %v, gas %d of %d", name, out.Fault, out.GasUsed, s.Gas)
		}
	}
}

// TestWordsOfGuestsAreQuoted: what a guest calls its exports, its imports and its paths never reaches an operator as it is.
func TestWordsOfGuestsAreQuoted(t *testing.T) {
	for _, word := range []string{"\x1b[2J", "a\nb", "\xff\xfe", "\u202e", strings.Repeat("x", 60_000), "../../etc/passwd\x00"} {
		if a, err := Compile(context.Background(), binaryModule(
			section(secType, funcType("", "")),
			section(secImport, importFunc(word, word, 0)),
			section(secFunc, []byte{0}),
			section(secExport, exportFunc("f", 1)),
			section(secCode, body(opCall, 0)),
		), 64<<20, Options{}); err != nil {
			quoted(t, fault.From(err))
		} else if app, err := Load(context.Background(), a.Contents()); err != nil {
			quoted(t, fault.From(err))
		} else {
			s := invoked("f")
			s.Imports = run.TrapMissing
			out, _ := call(app, s)
			quoted(t, out.Fault)
			out, _ = call(app, invoked(word))
			quoted(t, out.Fault)
			_ = app.Close()
		}
	}
}

func quoted(t *testing.T, f *fault.Error) {
	t.Helper()
	if f == nil {
		t.Error("no fault")
	} else if text := f.Error(); len(text) > 4<<10 || strings.ContainsAny(text, "\x1b\n\x00\u202e") || strings.Contains(text, "\xff") {
		t.Errorf("%d bytes: %q", len(text), text[:min(len(text), 200)])
	}
}

// fuzzGroup calls the functions of one group with whatever numbers and memory the fuzzer makes up.
func fuzzGroup(f *testing.F, groups ...string) {
	var all []imported
	for _, i := range offered() {
		if slices.Contains(groups, i.group) {
			all = append(all, i)
		}
	}
	if len(all) == 0 {
		f.Fatal("no such group")
	}
	apps := make([]*App, len(all))
	for i, one := range all {
		apps[i] = loadCode(f, one.caller())
		f.Add(uint8(i), uint64(0), uint64(8), uint64(math.MaxUint32), uint64(1<<29), uint64(math.MaxInt32), []byte("\x00\x01\x02"))
	}
	f.Fuzz(func(t *testing.T, which uint8, a, b, c, d, e uint64, stdin []byte) {
		i := int(which) % len(all)
		v := []int64{int64(a), int64(b), int64(c), int64(d), int64(e), int64(a), int64(b), int64(c), int64(d)}
		s := invoked("f", all[i].args(v[:len(all[i].params)])...)
		s.MemoryBytes, s.OutputBytes, s.Gas = 1<<20, 1<<16, 1<<30
		out := apps[i].Run(context.Background(), s, IO{
			Stdin:  func(p []byte) (int, error) { return copy(p, stdin), io.EOF },
			Output: func(_ bool, p []byte) error { return nil },
			Result: func([]byte) error { return nil },
		})
		if out.Fault != nil && out.Fault.Class != fault.Guest || out.GasUsed == 0 {
			t.Errorf("%s%v: %v, gas %d", all[i].name, v, out.Fault, out.GasUsed)
		}
	})
}

func FuzzCallsOfStrings(f *testing.F)   { fuzzGroup(f, "args", "environ") }
func FuzzCallsOfFiles(f *testing.F)     { fuzzGroup(f, "fd") }
func FuzzCallsOfPaths(f *testing.F)     { fuzzGroup(f, "path") }
func FuzzCallsOfSockets(f *testing.F)   { fuzzGroup(f, "sock") }
func FuzzCallsOfTheRest(f *testing.F)   { fuzzGroup(f, "clock", "poll", "proc", "random", "sched") }
func FuzzCallsOfAllocator(f *testing.F) { fuzzGroup(f, "ext") }
