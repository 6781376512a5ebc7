package wasmgen

import (
	"bytes"
	"math/rand/v2"
	"testing"
)

var everything = Config{SIMD: true, TailCalls: true, Exceptions: true, ExtendedConst: true, CanonicalNaNs: true}

func choices(seed uint64, most int) []byte {
	r := rand.New(rand.NewPCG(seed, 4))
	b := make([]byte, r.IntN(most))
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

// claimed are the codes of all instructions that modules are said to contain.
func claimed() (codes []int) {
	for _, o := range ops {
		codes = append(codes, o.code)
	}
	for _, c := range plain {
		codes = append(codes, int(c))
	}
	for c := miscMemoryInit; c <= miscTableFill; c++ {
		codes = append(codes, 0xfc00|c)
	}
	return append(codes, opReturnCall, opReturnCallIndirect, opThrow, opThrowRef, opTryTable, 0xfd00|vecConst, 0xfd00|vecShuffle)
}

func TestFewModulesContainAllInstructions(t *testing.T) {
	seen := map[int]int{}
	for seed := range uint64(300) {
		for c, n := range generate(choices(seed, 4000), everything).seen {
			seen[c] += n
		}
	}
	known, missing := map[int]bool{}, []int{}
	for _, c := range claimed() {
		known[c] = true
		if seen[c] == 0 {
			missing = append(missing, c)
		}
	}
	for c := range seen {
		if !known[c] {
			t.Errorf("%#x is made, and not claimed", c)
		}
	}
	// 136 scalar, 23 accesses, 236 vector instructions and 47 others, of WebAssembly 2.0 and what Config adds.
	if len(known) != 442 {
		t.Errorf("%d instructions are claimed", len(known))
	}
	t.Logf("%d of %d instructions", len(known)-len(missing), len(known))
	if len(missing)*20 > len(known) {
		t.Errorf("missing: %#x", missing)
	}
}

func TestTheSameChoicesMakeTheSameModule(t *testing.T) {
	for seed := range uint64(50) {
		data := choices(seed, 4000)
		kept := bytes.Clone(data)
		if !bytes.Equal(Generate(data, everything), Generate(data, everything)) || !bytes.Equal(data, kept) {
			t.Fatalf("seed %d: two modules, or its choices were changed", seed)
		}
	}
}

func TestSizesAreBounded(t *testing.T) {
	for _, size := range []int{0, 50, 1000, 20000, 1 << 30} {
		bound := 20000
		switch size {
		case 0:
			bound = 1000
		case 50, 1000:
			bound = size
		}
		for seed := range uint64(30) {
			cfg := everything
			cfg.Size = size
			if code := Generate(choices(seed, 200000), cfg); len(code) > 8000+32*bound {
				t.Errorf("size %d, seed %d: %d bytes", size, seed, len(code))
			}
		}
	}
	if code := Generate(nil, Config{}); len(code) > 500 {
		t.Errorf("no choices: %d bytes", len(code))
	}
}

// TestRemaindersCanBeLeftOut: none is made, and all else is.
func TestRemaindersCanBeLeftOut(t *testing.T) {
	cfg := everything
	cfg.NoRemainders = true
	seen := map[int]int{}
	for seed := range uint64(300) {
		for c, n := range generate(choices(seed, 4000), cfg).seen {
			seen[c] += n
		}
	}
	for _, c := range []int{opI32RemS, opI32RemU, opI64RemS, opI64RemU} {
		if seen[c] > 0 {
			t.Errorf("%#x is made", c)
		}
	}
	if seen[opI32DivS] == 0 || seen[opI64DivS] == 0 {
		t.Error("divisions are left out too")
	}
}

// TestADetourChangesNothingElse: without the inversions it is the same module.
func TestADetourChangesNothingElse(t *testing.T) {
	detours := 0
	for seed := range uint64(100) {
		cfg := everything
		cfg.Pressure = true
		plain := generate(choices(seed, 4000), cfg)
		cfg.Detour = true
		turned := generate(choices(seed, 4000), cfg)
		for i, body := range turned.bodies {
			n := len(body)
			for _, d := range [][]byte{{opI32And, opI32Const, 0x7f, opI32Xor, opI32Const, 0x7f, opI32Xor}, {opI64And, opI64Const, 0x7f, opI64Xor, opI64Const, 0x7f, opI64Xor}} {
				body = bytes.ReplaceAll(body, d, d[:1])
			}
			if !bytes.Equal(body, plain.bodies[i]) {
				t.Fatalf("seed %d, body %d differs", seed, i)
			}
			detours += n - len(body)
		}
	}
	if detours == 0 {
		t.Error("there are none")
	}
}

// TestPressureIsHigh counts values that are pushed one behind the other without anything in between.
func TestPressureIsHigh(t *testing.T) {
	longest := func(cfg Config) (most int) {
		for seed := range uint64(200) {
			for _, body := range generate(choices(seed, 4000), cfg).bodies {
				run := 0
				for i := 0; i+1 < len(body); i += 2 {
					if run++; body[i] != opLocalGet || body[i+1] > 40 {
						run = 0
					}
					most = max(most, run)
				}
			}
		}
		return most
	}
	cfg := everything
	calm := longest(cfg)
	cfg.Pressure = true
	if got := longest(cfg); got <= calm || got < 5 {
		t.Errorf("at most %d locals in a row, and %d without it", got, calm)
	}
}
