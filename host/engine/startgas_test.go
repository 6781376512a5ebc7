package engine

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/troupehost/troupe/artifacts/wasm"
	"github.com/troupehost/troupe/artifacts/wasm/wasmtest"
)

// straight makes modules whose start-up has no branch that depends on anything: of blocks that are left, calls of functions with
// many parameters and results, locals, and code that is never reached.
type straight struct {
	*rand.Rand
	types [][2]int // parameters and results of the functions, all i32
	dead  int
}

func (s *straight) module() []byte {
	s.types = nil
	for range 5 {
		s.types = append(s.types, [2]int{s.IntN(20), s.IntN(20)})
	}
	n := len(s.types)
	s.types = append(s.types, [2]int{}, [2]int{}, [2]int{}) // the start function, _initialize, and f
	var types, blocks, funcs, bodies [][]byte
	for i, t := range s.types {
		types = append(types, wasmtest.FuncType(t[0], t[1]))
		blocks = append(blocks, wasmtest.FuncType(0, t[1])) // of blocks with these results
		funcs = append(funcs, wasmtest.U(i))
		first := i + 1
		if i >= n {
			first = 0
		}
		if locals := s.IntN(12) + 1; i == n+2 {
			bodies = append(bodies, wasmtest.Body(0))
		} else {
			bodies = append(bodies, wasmtest.Body(locals, s.statements(first, n, t[0]+locals, []int{i})...))
		}
	}
	return wasmtest.Module(
		wasmtest.Section(wasmtest.Type, wasmtest.Vector(append(types, blocks...)...)),
		wasmtest.Section(wasmtest.Func, wasmtest.Vector(funcs...)),
		wasmtest.Section(wasmtest.Memory, []byte{1, 0, 1}),
		wasmtest.Section(wasmtest.Export, wasmtest.Vector(
			slices.Concat(wasmtest.Name("_initialize"), []byte{0, byte(n + 1)}), slices.Concat(wasmtest.Name("f"), []byte{0, byte(n + 2)}))),
		wasmtest.Section(wasmtest.Start, wasmtest.U(n)),
		wasmtest.Section(wasmtest.Code, wasmtest.Vector(bodies...)),
	)
}

// push puts so many numbers on the stack.
func push(n int) (b []byte) {
	for i := range n {
		b = append(b, opI32Const, byte(i))
	}
	return b
}

// statements are some, and what the innermost label wants. labels says by type what a branch to each carries; functions from first
// up to last may be called.
func (s *straight) statements(first, last, locals int, labels []int) (b []byte) {
	const block, loop, br, ret, localSet, load, add, nop, vector = 0x02, 0x03, 0x0c, 0x0f, 0x21, 0x28, 0x6a, 0x01, 0xfd
	wants := func(depth int) int { return s.types[labels[len(labels)-1-depth]][1] }
	for range s.IntN(5) {
		switch s.IntN(9) {
		case 0:
			b = append(b, opI32Const, 1, opI32Const, 2, add, localSet, byte(s.IntN(locals)))
		case 1:
			b = append(b, opI32Const, 8, load, 2, 0, opDrop)
		case 2:
			b = slices.Concat(b, []byte{vector, 12}, make([]byte, 16), []byte{opDrop})
		case 3, 4:
			if first < last {
				callee := first + s.IntN(last-first)
				b = append(append(b, push(s.types[callee][0])...), opCall, byte(callee))
				b = append(b, slices.Repeat([]byte{opDrop}, s.types[callee][1])...)
			}
		case 5, 6:
			if len(labels) < 5 {
				t := s.IntN(len(s.types))
				b = append(append(b, block), wasmtest.S(len(s.types)+t)...)
				b = append(append(b, s.statements(first, last, locals, append(labels, t))...), opEnd)
				b = append(b, slices.Repeat([]byte{opDrop}, s.types[t][1])...)
			}
		case 7:
			depth := s.IntN(len(labels))
			b = append(append(b, push(wants(depth))...), br, byte(depth), loop, 0x40, nop, opEnd) // the loop is dead
			s.dead++
		case 8:
			if s.IntN(3) == 0 {
				b = append(append(b, push(wants(len(labels)-1))...), ret, opI32Const, 1, 0x04, 0x40, opEnd)
				s.dead++
			}
		}
	}
	return append(b, push(wants(0))...)
}

// TestStartGasIsWhatIsMetered: what a report says of a start-up that has no branches is what a run of it uses, to the last unit.
func TestStartGasIsWhatIsMetered(t *testing.T) {
	s := &straight{Rand: rand.New(rand.NewPCG(4, 2))}
	distinct := map[uint64]bool{}
	for i := range 150 {
		code, o := s.module(), Options{CanonicalNaNs: i%3 == 0}
		r, err := wasm.Examine(code, o.Policy, instrumentation(o.CanonicalNaNs))
		if err != nil || r.Start == nil || !r.Start.Complete {
			t.Fatalf("module %d: %+v, %v", i, r.Start, err)
		}
		out, _ := call(loadCode(t, code), invoked("f"))
		if out.Fault != nil || out.InitGas != int64(r.Start.Gas) {
			t.Fatalf("module %d: %v, used %d, reported %d", i, out.Fault, out.InitGas, r.Start.Gas)
		}
		distinct[r.Start.Gas] = true
	}
	if len(distinct) < 100 || s.dead < 200 {
		t.Errorf("%d different sums, %d dead ends", len(distinct), s.dead)
	}
}

// TestStartGasOfGuests: a guest that traps where its line ends used exactly that, and any other no less.
func TestStartGasOfGuests(t *testing.T) {
	for name, exact := range map[string]bool{"trap": true, "start-trap": true, "c-hello": false, "go-hello": false, "exit": false, "echo-wasi": false, "memhog": false} {
		r, err := wasm.Examine(guest(t, name), wasm.Policy{}, instrumentation(false))
		if err != nil || r.Start == nil {
			t.Fatalf("%s: %+v, %v", name, r.Start, err)
		}
		spec := Spec{MemoryBytes: 64 << 20, OutputBytes: 1 << 20}
		if name == "start-trap" {
			spec = invoked("run")
		}
		out, _ := call(load(t, name), spec)
		used, want := out.InitGas+out.GasUsed, int64(r.Start.Gas)
		if want == 0 || used < want || exact && used != want {
			t.Errorf("%s: %v, used %d, the line is %d", name, out.Fault, used, want)
		}
	}
}
