package engine

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/tetratelabs/wazero"

	"github.com/troupehost/troupe/artifacts/wasm"
	"github.com/troupehost/troupe/artifacts/wasm/wasmgen"
)

// pathMode has weights for everything, and prices for the host of all kinds: by amount, without, and none at all.
func pathMode(nans bool) wasm.Options {
	o := fuzzMode(true, nans, true)
	o.Weights.Value, o.Weights.Op[0xfc], o.Weights.Op[0xfd] = 13, 0, 0
	o.Charge = func(_, name string) wasm.Charge { return hostPrice(name) }
	return o
}

func hostPrice(name string) wasm.Charge {
	switch name {
	case "mix":
		return wasm.Charge{Base: 11, PerUnit: 3, Param: 0}
	case "log_i32":
		return wasm.Charge{PerUnit: 7}
	case "ref":
		return wasm.Charge{Base: 29, PerUnit: 5, Param: 4} // which it does not have: no price per unit
	case "log_f32":
		return wasm.Charge{}
	}
	return wasm.Charge{Base: 50}
}

// priceOf is what a call of the host costs with these arguments.
func priceOf(i wasmgen.Import, stack []uint64) uint64 {
	p := hostPrice(i.Name)
	if p.Param != 0 || i.Params[0] != i32 {
		return uint64(p.Base)
	}
	return uint64(p.Base) + uint64(p.PerUnit)*(stack[0]&0xffffffff)
}

// paths compares what the rewrite counted with the naive count.
type paths struct {
	t              testing.TB
	what           string
	returned       int
	trapped        int
	gas            uint64
	before, behind uint64 // the most by which the count of a trapped call was above and below
}

// module compares what calls of a generated module use.
func (p *paths) module(code []byte) {
	p.t.Helper()
	o := pathMode(false)
	in, err := wasm.Instrument(code, policy, o)
	if err != nil {
		p.t.Fatalf("%s: %v", p.what, err)
	}
	same, err := wasm.Instrument(code, policy, wasm.Options{}) // memory.init from active segments is not the engine's
	if err != nil {
		p.t.Fatalf("%s: %v", p.what, err)
	}
	plain := play(p.t, "compiler", naiveCount(p.t, same.Code, o.Weights, 0), nil)
	metered := play(p.t, "compiler", in.Code, fullPurse())
	if metered.broken != "" || plain.ended != metered.ended {
		p.t.Fatalf("%s: %s %s", p.what, metered.broken, firstDifference(plain, metered))
	}
	p.compare(plain, metered, in.Unchecked)
}

func (p *paths) compare(plain, metered *transcript, unchecked uint64) {
	p.t.Helper()
	if len(plain.lines) == 0 || strings.HasPrefix(plain.lines[len(plain.lines)-1], "start:") {
		return
	}
	if len(plain.counts) != len(metered.spent) {
		p.t.Fatalf("%s: %d calls of %d:\n%s", p.what, len(plain.counts), len(metered.spent), firstDifference(plain, metered))
	}
	last := uint64(0)
	for i, a := range metered.spent {
		want := plain.counts[i] - last
		last = plain.counts[i]
		switch {
		case a.verdict == "":
			p.returned++
			p.gas += want
			if a.gas != want {
				p.t.Fatalf("%s: call %d: %d counted, and %d used", p.what, i, a.gas, want)
			}
		case a.gas >= want: // what every frame has paid for and not done
			p.trapped++
			p.before = max(p.before, a.gas-want)
			if a.gas-want > 250*unchecked {
				p.t.Fatalf("%s: call %d traps: %d counted, %d used", p.what, i, a.gas, want)
			}
		default:
			p.trapped++
			p.behind = max(p.behind, want-a.gas)
			if want-a.gas > unchecked {
				p.t.Fatalf("%s: call %d traps: %d counted, %d used", p.what, i, a.gas, want)
			}
		}
	}
}

// TestTheGasOfEveryPathIsTheSumOfItsInstructions compares generated modules with their naive count: where a call returns, both
// are the same; where it traps, they differ by what was paid for and not done.
func TestTheGasOfEveryPathIsTheSumOfItsInstructions(t *testing.T) {
	p := &paths{t: t}
	for seed := range seeds() {
		p.what = fmt.Sprintf("seed %d", seed)
		p.module(wasmgen.Generate(choices(seed+7000), everything))
	}
	t.Logf("%d calls returned and used %d gas; %d trapped, with at most %d paid before and %d not paid", p.returned, p.gas, p.trapped, p.before, p.behind)
	if p.returned < 2*int(seeds()) || p.gas < 1000*seeds() || p.trapped < int(seeds())/10 {
		t.Error("too little was compared")
	}
}

// TestTheGasOfGuestsIsTheSumOfTheirInstructions is the same for code that compilers made, by the table that is in use.
func TestTheGasOfGuestsIsTheSumOfTheirInstructions(t *testing.T) {
	weights := wasm.Weights1()
	compared := 0
	for _, r := range gasRuns {
		if r.limit > 0 || slices.Contains([]string{"memhog", "go-hello", "exit", "trap", "recurse"}, r.guest) { // these do not return
			continue
		}
		code := guest(t, r.guest)
		in, err := wasm.Instrument(code, wasm.Policy{}, wasm.Options{Weights: weights, Stack: true})
		if err != nil {
			t.Fatalf("%s: %v", r.name(), err)
		}
		var gas [2]int64
		for i, made := range [][]byte{in.Code, naiveCount(t, code, weights, weights.HostCall)} {
			h := newGasHost(t, wazero.NewRuntimeConfigCompiler(), DefaultSlice)
			cfg := wazero.NewModuleConfig().WithName("").WithStartFunctions().WithStdin(strings.NewReader(r.stdin)).WithArgs("guest", "3")
			mod, err := h.rt.InstantiateWithConfig(h.ctx, made, cfg)
			if err != nil {
				t.Fatalf("%s: %v", r.name(), err)
			}
			_, err = mod.ExportedFunction(r.export).Call(h.ctx, r.args...)
			switch {
			case err != nil: // what was paid for and not done is counted
			case i == 0:
				gas[i] = h.meter.used(mod)
			default:
				gas[i] = int64(mod.ExportedGlobal(naiveGlobal).Get())
			}
			_ = mod.Close(h.ctx)
		}
		if gas[0] != gas[1] {
			t.Errorf("%s: %d counted, %d used", r.name(), gas[0], gas[1])
		}
		if gas[1] > 0 {
			compared++
			t.Logf("%s: %d", r.name(), gas[1])
		}
	}
	if compared < 10 {
		t.Errorf("only %d runs were compared", compared)
	}
}
