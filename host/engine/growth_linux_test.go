package engine

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/troupehost/troupe/artifacts/wasm"
	"github.com/troupehost/troupe/artifacts/wasm/wasmtest"
)

// growth is a family of bodies, up to a size that the default caps just admit.
type growth struct {
	name string
	most int
	body func(n int) []byte
}

var growths = []growth{
	{"diamonds", 3000, wasmtest.Diamonds},
	{"nested blocks", 4000, wasmtest.Nested},
	{"nested blocks with exits", 3000, wasmtest.NestedExits},
	{"a br_table to one label", 8000, wasmtest.TableOfOne},
	{"a br_table over 500 blocks", 8000, func(n int) []byte { return wasmtest.TableSpread(n, 500) }},
	{"calls", 9000, wasmtest.Calls},
	{"stores", 36_000, wasmtest.Stores},
	{"live operands", 40_000, wasmtest.LiveOperands},
	{"live locals", 1000, wasmtest.LiveLocals},
	{"20 locals, nested loops", 60, func(n int) []byte { return wasmtest.LoopsBack(20, n) }},
	{"150 locals, nested loops", 100, func(n int) []byte { return wasmtest.LoopsBack(150, n) }},
	{"500 locals, nested loops", 16, func(n int) []byte { return wasmtest.LoopsBack(500, n) }},
	{"150 locals, a chain within nested loops", 100, func(n int) []byte { return wasmtest.ChainWithin(150, n) }},
	{"500 locals, a chain round each loop", 16, func(n int) []byte { return wasmtest.Chain(500, n, 0) }},
	{"200 locals, diamonds", 1500, func(n int) []byte { return wasmtest.LocalDiamonds(200, n) }},
	{"200 locals, joins of nested blocks", 500, func(n int) []byte { return wasmtest.NestedJoins(200, n) }},
	{"50 locals, joins of nested blocks", 1000, func(n int) []byte { return wasmtest.NestedJoins(50, n) }},
	{"500 locals, ways to one end", 350, func(n int) []byte { return wasmtest.WideJoin(500, n) }},
	{"250 locals, a br_table", 8000, func(n int) []byte { return wasmtest.WideTable(250, n) }},
}

// compileCPU returns what it takes to compile a body plain and metered: the least of three. Small ones are repeated in the module,
// so that there is something to measure.
func compileCPU(t *testing.T, body []byte, times int) (plain, metered time.Duration) {
	t.Helper()
	bodies := make([][]byte, times)
	for i := range bodies {
		bodies[i] = body
	}
	code := wasmtest.Functions(nil, bodies...)
	generous := wasm.DefaultCaps() // of the sums, which are not what is measured here
	generous.ControlSquares, generous.TotalPhiWork, generous.TotalLookups = 1<<50, 1<<50, 1<<50
	generous.TotalBranchTargets, generous.TotalCarried = 1<<50, 1<<50
	ready, err := wasm.Instrument(code, wasm.Policy{Caps: generous}, instrumentation(false))
	if err != nil {
		t.Fatal(err)
	}
	compile := func(code []byte) time.Duration {
		least := time.Hour
		for range 3 {
			rt, err := newRuntime(context.Background(), &hook{})
			if err != nil {
				t.Fatal(err)
			}
			before := cpuTime()
			if _, err := rt.CompileModule(context.Background(), code); err != nil {
				t.Fatal(err)
			}
			least = min(least, cpuTime()-before)
			_ = rt.Close(context.Background())
		}
		return least
	}
	return compile(code), compile(ready.Code)
}

// checkGrowth holds each family against this: the rewrite may cost a factor, but not one that grows with the size of the function.
// So the factor at the largest size is at most so many times that of an eighth of it.
func checkGrowth(t *testing.T, families []growth, limit float64) {
	t.Helper()
	for _, g := range families {
		if _, err := wasm.Judge(wasmtest.Functions(nil, g.body(g.most)), wasm.Policy{}); err != nil {
			t.Errorf("%s: %v: the largest must be admitted", g.name, err)
			continue
		}
		var factors []float64
		var last time.Duration
		line := ""
		for _, part := range []int{8, 4, 2, 1} {
			plain, metered := compileCPU(t, g.body(g.most/part), min(part*part, 16))
			factors, last = append(factors, float64(metered)/float64(plain)), metered
			line += fmt.Sprintf("  %d: %v %v %.2f", g.most/part, plain.Round(time.Millisecond), metered.Round(time.Millisecond), factors[len(factors)-1])
		}
		grown := factors[3] / max(factors[0], factors[1], factors[2], 1) // each step doubles: what grows faster doubles with it
		t.Logf("%-42s%s; grown %.2f, limit %.1f", g.name, line, grown, limit)
		if grown > limit && last > 20*time.Millisecond { // what is shorter says nothing
			t.Errorf("%s: metered code takes %.2f times as long to compile at an eighth of the size, and %.2f times at the full", g.name, factors[0], factors[3])
		}
	}
}

// TestGrowthOfCompiling tries some of them: without a machine at rest, and so with a wide line.
func TestGrowthOfCompiling(t *testing.T) { checkGrowth(t, growths[:3], 4) }
