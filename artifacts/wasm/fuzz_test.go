package wasm

import (
	"bytes"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/artifacts/wasm/wasmgen"
)

// wide admits what the rewrite makes of code that just fits the default caps.
var wide = Policy{Features: AllFeatures, Caps: Caps{
	BodyBytes: math.MaxInt32, ControlOps: math.MaxInt32, Locals: math.MaxInt32, BranchTargets: math.MaxInt32, Nesting: math.MaxInt32,
	PhiWork: math.MaxInt, Lookups: math.MaxInt, TypeValues: math.MaxInt, SegmentElements: math.MaxInt, TotalPhiWork: math.MaxInt,
	TotalLookups: math.MaxInt, TotalBranchTargets: math.MaxInt, TotalCarried: math.MaxInt, GlobalFunctions: math.MaxInt, Params: math.MaxInt32, Functions: math.MaxInt32, Types: math.MaxInt32, Imports: math.MaxInt32,
	Exports: math.MaxInt32, Globals: math.MaxInt32, Tables: math.MaxInt32, TableElements: math.MaxInt32, Segments: math.MaxInt32,
	ControlSquares: math.MaxInt64,
}}

// everyMode are the four ways to prepare code.
func everyMode() []Options {
	w := &Weights{Version: 1, Function: 4, Local: 1, HostCall: 50, GrowPage: 1000, BulkByte: 1, TableGrow: 3, BulkElement: 2}
	for i := range w.Op {
		w.Op[i] = uint32(1 + i%5)
	}
	for i := range w.Misc {
		w.Misc[i] = uint32(2 + i%3)
	}
	for i := range w.Vector {
		w.Vector[i] = uint32(1 + i%7)
	}
	return []Options{{}, {Weights: w}, {Weights: w, Stack: true}, {Weights: w, Stack: true, CanonicalNaNs: true}}
}

// configs are the generators by the lowest bits of a choice.
func config(which byte) wasmgen.Config {
	return wasmgen.Config{
		SIMD: which&1 != 0, TailCalls: which&2 != 0, Exceptions: which&4 != 0, ExtendedConst: which&8 != 0, CanonicalNaNs: which&16 != 0,
	}
}

// features are those that a config may make modules use.
func features(which byte) Features {
	f := Wasm2 &^ SIMD
	for i, bit := range []Features{SIMD, TailCalls, Exceptions, ExtendedConst} {
		if which&(1<<i) != 0 {
			f |= bit
		}
	}
	return f
}

func choices(seed uint64) []byte {
	r := rand.New(rand.NewPCG(seed, 7))
	b := make([]byte, 100+r.IntN(900))
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

// FuzzGenerated: what the generator makes is valid, needs no more features than it was told to use, and stays valid and
// itself in each mode.
func FuzzGenerated(f *testing.F) {
	for seed := range uint64(64) {
		f.Add(choices(seed), byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte, which byte) {
		code := wasmgen.Generate(data, config(which))
		kept := bytes.Clone(code)
		p := Policy{Features: features(which)}
		before, err := Judge(code, p)
		if err != nil {
			t.Fatalf("a valid module is refused: %v", err)
		}
		for i, o := range everyMode() {
			in, err := Instrument(code, p, o)
			if err != nil {
				t.Fatalf("mode %d: a valid module is refused: %v", i, err)
			}
			after, err := Judge(in.Code, wide)
			if err != nil {
				t.Fatalf("mode %d: the rewritten module is refused: %v", i, err)
			}
			sameFaces(t, before, after)
			if again, err := Instrument(code, p, o); err != nil || !bytes.Equal(again.Code, in.Code) {
				t.Fatalf("mode %d: two rewrites of the same module differ: %v", i, err)
			}
		}
		if !bytes.Equal(code, kept) {
			t.Fatal("the original was changed")
		}
	})
}

// sameFaces holds what a host sees of a module before and after: nothing is lost, and what is new has reserved names.
func sameFaces(t *testing.T, before, after *Module) {
	t.Helper()
	if added := len(after.Imports) - len(before.Imports); added < 0 || added > 1 {
		t.Fatalf("%d imports became %d", len(before.Imports), len(after.Imports))
	}
	for i, m := range after.Imports {
		if i < len(before.Imports) {
			if b := before.Imports[i]; b.Module != m.Module || b.Name != m.Name || b.Kind != m.Kind || b.Desc != m.Desc {
				t.Fatalf("import %d was %+v and is %+v", i, b, m)
			}
		} else if m.Module != MeterModule || m.Name != MeterRefill {
			t.Fatalf("import %s.%s is new", m.Module, m.Name)
		}
	}
	was := map[string]string{}
	for _, e := range before.Exports {
		was[e.Name] = e.Kind.String() + " " + before.ExportType(e)
	}
	for _, e := range after.Exports {
		now := e.Kind.String() + " " + after.ExportType(e)
		if typ, ok := was[e.Name]; ok && typ != now {
			t.Fatalf("export %s was %s and is %s", e.Name, typ, now)
		} else if !ok && !strings.HasPrefix(e.Name, ReservedPrefix) {
			t.Fatalf("export %s is new", e.Name)
		}
		delete(was, e.Name)
	}
	if len(was) > 0 {
		t.Fatalf("exports are gone: %v", was)
	}
	if !slices.Equal(before.Tables, after.Tables) || !slices.Equal(before.Memories, after.Memories) || before.HasStart != after.HasStart {
		t.Fatal("tables, memories or start function changed")
	}
}

// FuzzJudge: every input ends in a verdict in bounded time and memory; what is refused is the guest's fault; what is
// accepted is accepted again after the rewrite.
func FuzzJudge(f *testing.F) {
	for _, name := range []string{"exit", "memhog", "adder", "echo", "import-table", "bad-body"} {
		f.Add(guest(f, name), uint32(0), byte(0))
	}
	for seed := range uint64(64) {
		code := wasmgen.Generate(choices(seed), config(byte(seed)))
		f.Add(code, uint32(seed*977), byte(seed))
	}
	f.Fuzz(func(t *testing.T, code []byte, at uint32, b byte) {
		if len(code) > 1<<20 {
			return
		}
		if len(code) > 0 && b != 0 { // one damaged byte finds more than many
			code = bytes.Clone(code)
			code[int(at)%len(code)] ^= b
		}
		begin, allocated := time.Now(), totalAlloc()
		p := Policy{Features: AllFeatures}
		m, err := Judge(code, p)
		if d := time.Since(begin); d > 10*time.Second {
			t.Fatalf("the verdict took %v", d)
		}
		if used := totalAlloc() - allocated; used > 64<<20+64*uint64(len(code)) {
			t.Fatalf("the verdict on %d bytes took %d bytes", len(code), used)
		}
		if err != nil && fault.From(err).Class != fault.Guest {
			t.Fatalf("%v blames %s", err, fault.From(err).Class)
		}
		if err == nil {
			if err := m.Shape.Within(p); err != nil {
				t.Fatalf("what was accepted is not within the same policy: %v", err)
			}
			again, err := Judge(m.Skeleton(code, nil, SkeletonOptions{}), p)
			if err != nil || again.Shape.Types != m.Shape.Types {
				t.Fatalf("the skeleton: %v", err)
			}
		}
		for i, o := range everyMode() {
			in, rewriteErr := Instrument(code, p, o)
			if rewriteErr != nil {
				if err == nil && !reserved(code) {
					t.Fatalf("mode %d: accepted, and not rewritten: %v", i, rewriteErr)
				}
				continue
			}
			if err != nil {
				t.Fatalf("mode %d: rewritten, although refused: %v", i, err)
			}
			if _, err := Judge(in.Code, wide); err != nil {
				t.Fatalf("mode %d: the rewritten module is refused: %v", i, err)
			}
		}
	})
}

func reserved(code []byte) bool { return bytes.Contains(code, []byte(ReservedPrefix)) }

func totalAlloc() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.TotalAlloc
}
