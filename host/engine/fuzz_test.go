package engine

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/tetratelabs/wazero"

	"github.com/troupehost/troupe/artifacts/wasm"
	"github.com/troupehost/troupe/artifacts/wasm/wasmgen"
)

// modes are the ways to prepare code that are compared. Weights of what has an amount are left out where a test counts
// what is unchecked: such gas is taken before a thing that then does not happen.
func fuzzMode(stack, nans, amounts bool) wasm.Options {
	w := &wasm.Weights{Version: 1, Function: 4, Local: 1, HostCall: 50}
	if amounts {
		w.GrowPage, w.BulkByte, w.TableGrow, w.BulkElement = 1000, 1, 3, 2
	}
	for i := range w.Op {
		w.Op[i] = uint32(1 + i%5)
	}
	for i := range w.Misc {
		w.Misc[i] = uint32(2 + i%3)
	}
	for i := range w.Vector {
		w.Vector[i] = uint32(1 + i%7)
	}
	return wasm.Options{Weights: w, Stack: stack, CanonicalNaNs: nans}
}

var policy = wasm.Policy{Features: wasm.AllFeatures}

// differential is one module on its way through all comparisons.
type differential struct {
	t    testing.TB
	code []byte
	pick byte // a number to choose limits by
}

func (d *differential) rewrite(o wasm.Options) *wasm.Instrumented {
	d.t.Helper()
	in, err := wasm.Instrument(d.code, policy, o)
	if err != nil {
		d.t.Fatalf("refused: %v", err)
	}
	return in
}

func (d *differential) same(what string, a, b *transcript) {
	d.t.Helper()
	if !slices.Equal(a.lines, b.lines) {
		d.t.Fatalf("%s:\n%s", what, firstDifference(a, b))
	}
	for _, tr := range []*transcript{a, b} {
		if tr.broken != "" {
			d.t.Fatalf("%s: %s", what, tr.broken)
		}
	}
}

func (d *differential) sameGas(what string, a, b *transcript) {
	d.t.Helper()
	d.same(what, a, b)
	if !slices.Equal(a.spent, b.spent) {
		d.t.Fatalf("%s: gas differs:\n%v\n%v", what, a.spent, b.spent)
	}
}

// results: the rewritten module does what the original does, in each mode.
func (d *differential) results() {
	d.t.Helper()
	original := play(d.t, "compiler", d.code, nil)
	for i, o := range []wasm.Options{{}, fuzzMode(false, false, true), fuzzMode(true, false, true), fuzzMode(true, true, true)} {
		var p *purse
		if o.Weights != nil {
			p = fullPurse()
		}
		in := d.rewrite(o)
		got := play(d.t, "compiler", in.Code, p)
		d.same(fmt.Sprintf("original and mode %d", i), original, got)
		if got.pages > 1 && in.Resets&wasm.GrowsMemory == 0 {
			d.t.Fatal("memory grew, and the flag says that it does not")
		}
	}
}

// gas: totals do not depend on the engine, the history or the slices.
func (d *differential) gas() *transcript {
	d.t.Helper()
	code := d.rewrite(fuzzMode(true, false, true)).Code
	first := play(d.t, "compiler", code, fullPurse())
	d.sameGas("two runs", first, play(d.t, "compiler", code, fullPurse()))
	d.sameGas("compiler and interpreter", first, play(d.t, "interpreter", code, fullPurse()))
	for _, slice := range []uint64{1, 1000} {
		p := fullPurse()
		p.slice = slice
		d.sameGas(fmt.Sprintf("slices of %d", slice), first, play(d.t, "compiler", code, p))
	}
	return first
}

// limits: what was used is enough, and one less is not, whatever the slices; and both engines stop at the same place.
func (d *differential) limits(first *transcript) {
	d.t.Helper()
	code := d.rewrite(fuzzMode(true, false, true)).Code
	exact := fullPurse()
	exact.slice = 7
	for _, a := range first.spent {
		exact.limits = append(exact.limits, a.gas)
	}
	d.sameGas("limits of what was used", first, play(d.t, "compiler", code, exact))

	k := int(d.pick) % len(first.spent)
	if first.spent[k].gas == 0 {
		return
	}
	for _, slice := range []uint64{1000, unlimited} {
		short := &purse{slice: slice, stack: unlimited, calls: k + 1, limits: slices.Clone(exact.limits[:k+1])}
		short.limits[k]--
		a, b := play(d.t, "compiler", code, short), play(d.t, "interpreter", code, short)
		d.sameGas("engines out of gas", a, b)
		if got := a.spent[len(a.spent)-1].verdict; len(a.spent) != k+1 || got != outOfGas {
			d.t.Fatalf("call %d uses %d, has %d, and ends with %q", k, first.spent[k].gas, short.limits[k], got)
		}
	}
}

// overshoot: a limit is passed by no more than the rewrite said, wherever it strikes.
func (d *differential) overshoot() {
	d.t.Helper()
	in := d.rewrite(fuzzMode(true, false, false))
	first := play(d.t, "compiler", in.Code, fullPurse())
	for k, a := range first.spent {
		limit := a.gas * uint64(d.pick) / 256
		p := &purse{slice: unlimited, stack: unlimited, calls: k + 1, limits: make([]uint64, k+1)}
		for i := range p.limits {
			p.limits[i] = unlimited
		}
		p.limits[k] = limit
		got := play(d.t, "compiler", in.Code, p)
		if len(got.spent) != k+1 {
			d.t.Fatalf("%d calls are %d", k+1, len(got.spent))
		}
		if used := got.spent[k].gas; used > limit && used-limit > in.Unchecked {
			d.t.Fatalf("call %d uses %d with a limit of %d: more than %d unchecked", k, used, limit, in.Unchecked)
		}
		if k >= 3 {
			return
		}
	}
}

// stack: both engines run out of stack at the same place, and the slices of gas do not matter.
func (d *differential) stack() (struck bool) {
	d.t.Helper()
	code := d.rewrite(fuzzMode(true, false, true)).Code
	low := fullPurse()
	low.stack = int64(d.pick) * 3
	first := play(d.t, "compiler", code, low)
	d.sameGas("engines out of stack", first, play(d.t, "interpreter", code, low))
	sliced := *low
	sliced.slice = 1
	d.sameGas("slices out of stack", first, play(d.t, "compiler", code, &sliced))
	return slices.ContainsFunc(first.spent, func(a account) bool { return a.verdict == outOfStack })
}

// nans: with canonical NaNs the engines agree on every bit, of modules that do not care themselves.
func nans(t testing.TB, data []byte) {
	t.Helper()
	cfg := everything
	cfg.CanonicalNaNs = false
	d := &differential{t: t, code: wasmgen.Generate(data, cfg)}
	code := d.rewrite(fuzzMode(true, true, true)).Code
	d.sameGas("engines with NaNs", play(t, "compiler", code, fullPurse()), play(t, "interpreter", code, fullPurse()))
}

// few are choices for a module of some hundred instructions: a fuzzer makes more of small ones.
func few(seed uint64) []byte {
	b := choices(seed)
	return b[:min(len(b), 200+int(seed)*8)]
}

// FuzzDifferential compares the rewritten module with the original, and with itself elsewhere.
func FuzzDifferential(f *testing.F) {
	for seed := range uint64(30) {
		f.Add(few(seed), byte(seed*41))
	}
	f.Fuzz(func(t *testing.T, data []byte, pick byte) {
		d := &differential{t: t, code: wasmgen.Generate(data, everything), pick: pick}
		if !slices.Equal(play(t, "compiler", d.code, nil).lines, play(t, "interpreter", d.code, nil).lines) {
			return // see TestKnownFaultsOfTheEngine
		}
		d.results()
		(&paths{t: t, what: "paths"}).module(d.code)
		d.limits(d.gas())
		d.overshoot()
		d.stack()
		nans(t, data)
	})
}

// FuzzVerdict: the engine compiles what is judged valid, damaged or not.
func FuzzVerdict(f *testing.F) {
	for seed := range uint64(100) {
		f.Add(few(seed), uint32(seed*977), byte(1<<(seed%8)))
	}
	ctx := context.Background()
	f.Fuzz(func(t *testing.T, data []byte, at uint32, b byte) {
		cfg := everything
		cfg.Exceptions = true // these are compiled, not run
		code := wasmgen.Generate(data, cfg)
		code[8+int(at)%(len(code)-8)] ^= b
		if _, err := wasm.Judge(code, policy); err != nil {
			return
		}
		in, err := wasm.Instrument(code, policy, fuzzMode(true, true, true))
		if err != nil {
			t.Fatalf("accepted, and not rewritten: %v", err)
		}
		for name, config := range engines {
			rt := wazero.NewRuntimeWithConfig(ctx, config().WithCoreFeatures(allFeatures))
			if _, err := rt.CompileModule(ctx, code); err != nil {
				t.Errorf("%s refuses what is judged valid: %v", name, err)
			}
			if _, err := rt.CompileModule(ctx, in.Code); err != nil {
				t.Errorf("%s refuses what was rewritten: %v", name, err)
			}
			_ = rt.Close(ctx)
		}
	})
}

// TestGeneratedModulesMeterAlike is the fuzz test over a fixed range, and asserts that the range has something to show.
func TestGeneratedModulesMeterAlike(t *testing.T) {
	used, overflowed := uint64(0), 0
	for seed := range seeds() / 4 {
		d := &differential{t: t, code: wasmgen.Generate(choices(seed+1000), everything), pick: byte(seed * 37)}
		d.results()
		first := d.gas()
		d.limits(first)
		d.overshoot()
		if d.stack() {
			overflowed++
		}
		nans(t, choices(seed))
		for _, a := range first.spent {
			used += a.gas
		}
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
	t.Logf("%d modules used %d gas; %d ran out of stack", seeds()/4, used, overflowed)
	if used < 1000*seeds() || overflowed < int(seeds()/50) {
		t.Error("too little was compared")
	}
}
