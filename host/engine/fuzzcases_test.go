package engine

import (
	"context"
	"crypto/sha256"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/artifacts/wasm"
)

// fuzzArguments are given to each function of the fuzz cases, as many times as it takes: what the cases were found with are
// mostly zeros.
var fuzzArguments = []uint64{0, 1, 0x80000000_80000000, 0x7ff8_0000_7fc0_0001}

// fuzzGas bounds a call, in the units of unitWeights. No case needs as much.
const fuzzGas = 50_000_000

// fuzzPages bound memories: case 733 would have one of 2 GiB, ten times.
const fuzzPages = 1024

// fuzzRefused are the cases that use what no policy allows: shared memories.
var fuzzRefused = map[string]fault.Code{"2131": fault.GuestFeature}

// visit is what the calls of all functions of a module left behind.
type visit struct {
	Start   string // the trap of its instantiation
	Calls   []string
	Globals []string // by their words
	Memory  [sha256.Size]byte
}

// visitModule calls every function with every argument. It returns what happened, and the gas of each call.
func visitModule(t *testing.T, w *world, code []byte) (v visit, gas []int64) {
	t.Helper()
	inst, err := w.instantiate(code)
	if v.Start = trapOf(err); err != nil {
		if v.Start == "refused" {
			t.Errorf("%s: %v", w.mode.name, err)
		}
		return v, nil
	}
	for _, name := range slices.Sorted(maps.Keys(inst.ExportedFunctionDefinitions())) {
		fn := inst.function(name).Definition()
		for _, a := range fuzzArguments {
			words := 0
			for _, p := range fn.ParamTypes() {
				if words++; p == 0x7b { // a vector
					words++
				}
			}
			args := make([]uint64, words)
			for i := range args {
				args[i] = a
			}
			if len(fn.ParamTypes()) > 0 && slices.ContainsFunc(fn.ParamTypes(), isReference) {
				clear(args)
			}
			o := w.call(inst, name, args)
			if slices.ContainsFunc(fn.ResultTypes(), isReference) { // addresses
				clear(o.results)
			}
			v.Calls = append(v.Calls, fmt.Sprintf("%q(%#x) = %x %s", name, a, o.results, o.trap))
			gas = append(gas, o.gas)
			if o.metered && o.gas <= 0 {
				t.Errorf("%s: %q used %d gas", w.mode.name, name, o.gas)
			}
			if o.gas > fuzzGas {
				t.Errorf("%s: %q used %d gas", w.mode.name, name, o.gas)
			}
		}
	}
	if m := memoryOf(inst.Module); m != nil {
		memory, _ := m.Read(0, m.Size())
		v.Memory = sha256.Sum256(memory)
	}
	for i := range 1000 { // the rewriter exports all that can change
		if g := inst.ExportedGlobal(wasm.GlobalPrefix + fmt.Sprint(i)); g != nil && !isReference(g.Type()) {
			v.Globals = append(v.Globals, fmt.Sprintf("%d %#x", i, g.Get()))
		}
	}
	return v, gas
}

func isReference(t api.ValueType) bool { return t == api.ValueTypeExternref || t == 0x70 }

// TestFuzzCasesOfTheEngine runs the modules by which faults of the engine were found, in every mode and on both of its
// engines: 142 cases.
func TestFuzzCasesOfTheEngine(t *testing.T) {
	files, err := filepath.Glob(integrationFolder(t, "fuzzcases", "testdata", "*.wasm"))
	if err != nil {
		t.Fatal(err)
	}
	var count tally
	t.Run("cases", func(t *testing.T) {
		for _, file := range files {
			t.Run(strings.TrimSuffix(filepath.Base(file), ".wasm"), func(t *testing.T) {
				t.Parallel()
				fuzzCase(t, strings.TrimSuffix(filepath.Base(file), ".wasm"), readFile(t, file), &count)
			})
		}
	})
	t.Log("\n" + strings.Join(count.lines(), "\n"))
	for what, floor := range map[string]int{"cases": 142} {
		if count.n[what] < floor {
			t.Errorf("%d %s, at least %d", count.n[what], what, floor)
		}
	}
}

func fuzzCase(t *testing.T, name string, code []byte, count *tally) {
	ctx := context.Background()
	policy := wasm.Policy{Features: wasm.Wasm2}
	if _, err := wasm.Judge(code, policy); fault.CodeOf(err) != fuzzRefused[name] {
		t.Fatal(err)
	} else if err != nil {
		count.add("cases", 2)
		return
	}
	var first []int64    // gas, which is the same in all modes and on both engines
	var canonical *visit // what the last mode made of it
	for _, config := range []wazero.RuntimeConfig{wazero.NewRuntimeConfigCompiler(), wazero.NewRuntimeConfigInterpreter()} {
		count.add("cases", 1)
		var reference visit
		for _, m := range modes() {
			w, err := newWorld(ctx, m, config.WithMemoryLimitPages(fuzzPages).WithCoreFeatures(engineFeatures(policy.Features)))
			if err != nil {
				t.Fatal(err)
			}
			if err := fuzzHosts(w); err != nil {
				t.Fatal(err)
			}
			prepared, err := w.prepare(code, policy)
			if err != nil {
				t.Fatal(err)
			}
			got, gas := visitModule(t, w, prepared)
			_ = w.rt.Close(ctx)
			count.add("calls, "+m.name, len(got.Calls))
			want := reference
			switch {
			case m.original:
				reference = got
				continue
			case m.name == "plain": // the first that exports its globals
				reference.Globals, want.Globals = got.Globals, got.Globals
			case m.options.CanonicalNaNs && showsNaNs[name]:
				if canonical == nil {
					canonical = &got
				}
				want = *canonical
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s: wanted, got:\n%s", m.name, diff)
			}
			if m.options.Weights == nil {
				continue
			}
			if first == nil {
				first = gas
			}
			if diff := cmp.Diff(first, gas); diff != "" {
				t.Errorf("%s: gas of the first, of this:\n%s", m.name, diff)
			}
		}
	}
}

// showsNaNs are cases whose results, globals or memory hold bits of a NaN that arithmetic made. With canonical NaNs they
// differ from the reference; both engines have to agree on them.
var showsNaNs = map[string]bool{"709": true}

// fuzzHosts provides what cases 888, 2137 and 2140 import.
func fuzzHosts(w *world) error {
	for name, code := range map[string][]byte{"host": hostOf888, "hh": hostOf888, "\x00\x00\x00\x00\x00": hostOf2137} {
		host, err := w.instantiate(code)
		if err != nil {
			return err
		}
		w.registered[name] = host.Module
	}
	return nil
}

var (
	// hostOf888 exports a memory "s" of 0 to 5 pages, and a global "" that holds a null reference to a function.
	hostOf888 = []byte{
		0, 'a', 's', 'm', 1, 0, 0, 0,
		5, 4, 1, 1, 0, 5,
		6, 6, 1, 0x70, 0, 0xd0, 0x70, 0x0b,
		7, 8, 2, 0, 3, 0, 1, 's', 2, 0,
	}
	// hostOf2137 exports a global "" that holds a null reference of the host's.
	hostOf2137 = []byte{
		0, 'a', 's', 'm', 1, 0, 0, 0,
		6, 6, 1, 0x6f, 0, 0xd0, 0x6f, 0x0b,
		7, 4, 1, 0, 3, 0,
	}
)
