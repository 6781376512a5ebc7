package wasm

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/troupehost/troupe/actors/fault"
)

// startable is a module of functions without parameters and results: the imported ones first, then these bodies, of which the first
// is exported as "_start". A body begins with its locals and lacks its end.
func startable(imports int, bodies ...[]byte) []byte {
	list, funcs, code := []byte{byte(imports)}, []byte{byte(len(bodies))}, []byte{byte(len(bodies))}
	for range imports {
		list = append(list, slices.Concat(text("m"), text("f"), []byte{byte(Func), 0})...)
	}
	for _, b := range bodies {
		funcs = append(funcs, 0)
		code = append(append(binary.AppendUvarint(code, uint64(len(b)+1)), b...), opEnd)
	}
	return module(appendSection(nil, sectionType, []byte{1, 0x60, 0, 0}), appendSection(nil, sectionImport, list),
		appendSection(nil, sectionFunction, funcs), appendSection(nil, sectionTable, []byte{1, 0x70, 0, 1}), appendSection(nil, sectionMemory, []byte{1, 0, 1}),
		appendSection(nil, sectionExport, slices.Concat([]byte{1}, text("_start"), []byte{byte(Func), byte(imports)})), appendSection(nil, sectionCode, code))
}

func use(t *testing.T, r *Report, name string) CapUse {
	t.Helper()
	i := slices.IndexFunc(r.Caps, func(u CapUse) bool { return u.Cap == name })
	if i < 0 {
		t.Fatalf("no cap %s among %v", name, r.Caps)
	}
	return r.Caps[i]
}

// TestReportNamesTheWorst: each cap names the first function that has the most of it.
func TestReportNamesTheWorst(t *testing.T) {
	code := startable(1,
		[]byte{1, 5, 0x7f, opBlock, 0x40, opEnd},
		[]byte{1, 9, 0x7f},
		[]byte{0, opBlock, 0x40, opBlock, 0x40, opEnd, opEnd},
		[]byte{1, 9, 0x7f},
		slices.Concat([]byte{0}, bytes.Repeat([]byte{opI32Const, 7, opDrop}, 10), []byte{opI32Const, 0, opBrTable, 2, 0, 0, 0}),
	)
	r, err := Examine(code, Policy{}, Options{Stack: true})
	if err != nil || r.Verdict != "ok" || r.Fault != "" || r.Rewrite == nil || len(r.Caps) != len(capNames) {
		t.Fatalf("%+v, %v", r, err)
	}
	for name, want := range map[string][2]uint32{ // what is measured, and the function
		"body-bytes": {39, 5}, "control-ops": {2, 3}, "locals": {9, 2}, "branch-targets": {2, 5}, "nesting": {2, 3}, "phi-work": {400, 1},
	} {
		u := use(t, r, name)
		if u.Measured != int(want[0]) || u.Function == nil || u.Function.Index != want[1] || u.Limit != *indexed(DefaultCaps(), name) {
			t.Errorf("%s: %+v in %+v, want %v", name, u, u.Function, want)
		}
	}
	if u := use(t, r, "table-elements"); u.Measured != 1 || u.Function != nil {
		t.Errorf("%+v", u)
	}
}

func indexed(c Caps, name string) *int { return c.fields()[slices.Index(capNames[:], name)] }

func TestReportOfRealCode(t *testing.T) {
	for _, name := range []string{"hash-puzzle", "kernels", "adder", "c-hello", "go-hello", "trap", "echo-wasi"} {
		code := guest(t, name)
		r, err := Examine(code, Policy{}, Options{Stack: true})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if d := r.Module; d.UncheckedGas != r.Rewrite.Unchecked || d.Mutable != r.Rewrite.Globals || !slices.Equal(d.Resets, r.Rewrite.Resets) ||
			d.Shape.BodyBytes != use(t, r, "body-bytes").Measured || d.Shape.Features != strings.Join(r.Features, ",") {
			t.Errorf("%s: the module is described as %+v, and the rest of the report says %+v, %+v", name, d, r.Rewrite, r.Features)
		}
		for _, u := range r.Caps {
			if u.Measured > u.Limit || u.Used > 1 || u.Function != nil && u.Function.Offset == 0 {
				t.Errorf("%s: %+v", name, u)
			}
		}
	}
}

// TestReportOfRefusedCode: what only the policy refuses is described whole.
func TestReportOfRefusedCode(t *testing.T) {
	small, large := []byte{0}, []byte{1, 0xb0, 9, 0x7f} // no locals, and 1,200
	code := startable(1, small, large, small)
	r, err := Examine(code, Policy{}, Options{Stack: true})
	if !errors.Is(err, fault.GuestTooComplex) || r.Verdict != "guest" || r.Fault != "guest.too_complex" || r.Message != fault.From(err).Error() || r.Hint == "" {
		t.Fatalf("%+v, %v", r, err)
	}
	u := use(t, r, "locals")
	if u.Measured != 1200 || u.Limit != 1024 || u.Used != 1.1719 || u.Function == nil || u.Function.Index != 2 || u.Function.Offset != uint32(bytes.Index(code, large)) {
		t.Errorf("%+v, %+v", u, u.Function)
	}
	if r.Rewrite == nil || r.Rewrite.Bytes == 0 || len(r.Module.Exports) != 1 || len(r.Module.Imports) != 1 || !r.Scanned() {
		t.Errorf("%+v", r)
	}
	vector := startable(0, slices.Concat([]byte{0, prefixVector, 12}, make([]byte, 16), []byte{opDrop}))
	r, err = Examine(vector, Policy{Features: Wasm2 &^ SIMD}, Options{Stack: true})
	if !errors.Is(err, fault.GuestFeature) || !slices.Equal(r.Features, []string{"simd"}) || r.Rewrite == nil {
		t.Errorf("%+v, %v", r, err)
	}
	if r, err = Examine(vector, Policy{}, Options{Stack: true}); err != nil || !slices.Equal(r.Features, []string{"simd"}) {
		t.Errorf("%+v, %v", r, err)
	}
}

// TestProposalsAreNamed: types of proposals that no policy allows are written in ways of their own; what reads sections alone
// names the proposal too, since this is what preparation and reports do first.
func TestProposalsAreNamed(t *testing.T) {
	for what, row := range map[string]struct{ types, want string }{
		"struct":          {"5f 00", "gc"},
		"rec group":       {"4e 01 60 00 00", "gc"},
		"open type":       {"50 00 60 00 00", "gc"},
		"typed reference": {"60 01 64 70 00", "typed-function-references"},
	} {
		code := module(vec(sectionType, hexBytes(t, row.types)))
		_, err := Scan(code)
		r, examined := Examine(code, Policy{}, Options{})
		for _, err := range []error{err, examined} {
			if !errors.Is(err, fault.GuestFeature) || !strings.Contains(err.Error(), row.want+":") {
				t.Errorf("%s: %v, want %s", what, err, row.want)
			}
		}
		if r.Fault != "guest.feature" {
			t.Errorf("%s: %+v", what, r)
		}
	}
	if _, err := Scan(module(vec(sectionType, []byte{0x61, 0}))); !errors.Is(err, fault.GuestInvalid) {
		t.Errorf("a type of no proposal: %v", err)
	}
}

// TestReportOfBadCode: what is not valid has no measures, but what its sections say.
func TestReportOfBadCode(t *testing.T) {
	r, err := Examine(startable(1, []byte{0, opDrop}), Policy{}, Options{Stack: true})
	if !errors.Is(err, fault.GuestInvalid) || len(r.Module.Exports) != 1 || len(r.Caps) != 0 || r.Rewrite != nil || r.Start != nil || !r.Scanned() {
		t.Errorf("%+v, %v", r, err)
	}
	r, err = Examine([]byte("hello"), Policy{}, Options{Stack: true})
	if !errors.Is(err, fault.GuestNotWasm) || r.Fault != "guest.not_wasm" || r.Module.WasmBytes != 5 || r.Scanned() || r.Caps == nil || r.Features == nil {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestReportCountsCustomSections(t *testing.T) {
	plain := startable(0, []byte{0})
	for _, extra := range []int{0, 100, 200} {
		code := slices.Concat(plain, custom("x", extra))
		r, err := Examine(code, Policy{}, Options{Stack: true})
		if err != nil || r.CustomBytes != int64(len(code)-len(plain)) || r.Rewrite.Added != r.Rewrite.Bytes-int64(len(plain)) {
			t.Errorf("%d bytes: %+v, %+v, %v", extra, r, r.Rewrite, err)
		}
	}
}

func flatWeights() *Weights {
	w := &Weights{Version: 1, Function: 100, Local: 10}
	for i := range w.Op {
		w.Op[i] = 1
	}
	w.Op[opEnd], w.Misc[11] = 0, 1000
	return w
}

func TestStartGas(t *testing.T) {
	const nop, complete, anything = 0x01, -1, -2
	i32 := []byte{opI32Const, 7}
	cat := func(parts ...[]byte) []byte { return slices.Concat(parts...) }
	for name, row := range map[string]struct {
		imports  int
		bodies   [][]byte
		gas      uint64
		stoppedI uint32 // the function of the stop
		stoppedA int    // the opcode there, complete or anything
	}{
		"nothing":            {0, [][]byte{{0}}, 100, 0, complete},
		"locals":             {0, [][]byte{{2, 3, 0x7f, 1, 0x7e, nop}}, 100 + 40 + 1, 0, complete},
		"calls":              {0, [][]byte{{0, opCall, 1, nop, opCall, 1}, {0, nop, nop}}, 3 + 2*2 + 300, 0, complete},
		"return":             {0, [][]byte{{0, nop, opReturn, nop}}, 102, 0, complete},
		"tail call":          {0, [][]byte{{0, opReturnCall, 1}, {0, nop}}, 202, 0, complete},
		"br out of blocks":   {0, [][]byte{{0, opBlock, 0x40, opBlock, 0x40, opBr, 1, opBlock, 0x40, nop, opEnd, opEnd, nop, opEnd, nop}}, 104, 0, complete},
		"br to the function": {0, [][]byte{{0, opBlock, 0x40, opBr, 1, opEnd, nop}}, 102, 0, complete},
		"br past a loop":     {0, [][]byte{{0, opBlock, 0x40, opBr, 0, opLoop, 0x40, opEnd, opEnd, nop}}, 103, 0, complete},
		"loop":               {0, [][]byte{{0, nop, opLoop, 0x40, nop, opEnd}}, 102, 0, opLoop},
		"if":                 {0, [][]byte{cat([]byte{0}, i32, []byte{opIf, 0x40, opEnd})}, 102, 0, opIf},
		"br_if":              {0, [][]byte{cat([]byte{0}, i32, []byte{opBrIf, 0, nop})}, 102, 0, opBrIf},
		"br_table":           {0, [][]byte{cat([]byte{0}, i32, []byte{opBrTable, 2, 0, 0, 0, nop})}, 102, 0, opBrTable},
		"unreachable":        {0, [][]byte{{0, opUnreachable}}, 101, 0, opUnreachable},
		"an import":          {1, [][]byte{{0, nop, opCall, 0, nop}}, 102, 1, opCall},
		"behind a call":      {1, [][]byte{{0, opCall, 2, nop}, {0, opCall, 0}}, 202, 2, opCall},
		"through a table":    {0, [][]byte{cat([]byte{0}, i32, []byte{opCallIndirect, 0, 0})}, 102, 0, opCallIndirect},
		"growth":             {0, [][]byte{cat([]byte{0}, i32, []byte{opMemoryGrow, 0, opDrop})}, 102, 0, opMemoryGrow},
		"memory.fill":        {0, [][]byte{cat([]byte{0}, i32, i32, i32, []byte{prefixMisc, 11, 0})}, 1103, 0, prefixMisc},
		"recursion":          {0, [][]byte{{0, opCall, 0}}, 65 * 101, 0, anything},
	} {
		code := startable(row.imports, row.bodies...)
		r, err := Examine(code, Policy{Features: AllFeatures}, Options{Weights: flatWeights()})
		if err != nil || r.Start == nil {
			t.Errorf("%s: %+v, %v", name, r, err)
			continue
		}
		s := r.Start
		if s.Gas != row.gas || s.Complete != (row.stoppedA == complete) || s.Complete != (s.Function == nil) {
			t.Errorf("%s: %+v, want %d", name, s, row.gas)
		}
		if row.stoppedA >= 0 && (s.Function == nil || s.Function.Index != row.stoppedI || int(code[s.Offset]) != row.stoppedA) {
			t.Errorf("%s: it ends in %+v at %#x", name, s.Function, s.Offset)
		}
	}
	if r, err := Examine(startable(0, []byte{0}), Policy{}, Options{}); err != nil || r.Start != nil {
		t.Errorf("without weights: %+v, %v", r.Start, err)
	}
	library := bytes.Replace(startable(0, []byte{0}), []byte("_start"), []byte("_other"), 1)
	if r, err := Examine(library, Policy{}, Options{Weights: flatWeights()}); err != nil || r.Start != nil {
		t.Errorf("without a start: %+v, %v", r.Start, err)
	}
}

// TestStartGasOfCallsOfCalls: a start-up of 2^40 calls ends.
func TestStartGasOfCallsOfCalls(t *testing.T) {
	var bodies [][]byte
	for i := range byte(40) {
		bodies = append(bodies, []byte{0, opCall, i + 1, opCall, i + 1})
	}
	r, err := Examine(startable(0, append(bodies, []byte{0})...), Policy{}, Options{Weights: flatWeights()})
	if err != nil || r.Start.Complete || r.Start.Gas < maxStartSteps/2 {
		t.Errorf("%+v, %v", r.Start, err)
	}
}

func TestStartFunctionComesFirst(t *testing.T) {
	code := startable(0, []byte{0, 0x01}, []byte{0, 0x01, 0x01})
	at := bytes.LastIndexByte(code[:len(code)-11], sectionCode)
	code = slices.Insert(code, at, appendSection(nil, sectionStart, []byte{1})...)
	m, err := Scan(code)
	if err != nil || !m.HasStart || !slices.Equal(m.entries(), []uint32{1, 0}) {
		t.Fatalf("%v, %+v", err, m)
	}
	if s := m.startGas(code, Options{Weights: flatWeights()}, nil); !s.Complete || s.Gas != 203 {
		t.Errorf("%+v", s)
	}
}

// TestWalkReachesEveryEnd: a walk over the bodies of real code ends with the last end of each.
func TestWalkReachesEveryEnd(t *testing.T) {
	instructions := 0
	for _, name := range []string{"hash-puzzle", "kernels", "adder", "c-hello", "go-hello"} {
		code := guest(t, name)
		m, err := Scan(code)
		if err != nil {
			t.Fatal(err)
		}
		for body := range m.eachBody(code) {
			body.walkLocals()
			for depth := 1; depth > 0 && body.err == nil; instructions++ {
				switch i := body.walk(); {
				case i.opens():
					depth++
				case i.prefix == 0 && i.op == opEnd:
					depth--
				}
			}
			if body.err != nil || len(body.b) > 0 {
				t.Fatalf("%s: %d bytes are left at offset %#x, %v", name, len(body.b), body.off, body.err)
			}
		}
	}
	if instructions < 500_000 {
		t.Errorf("only %d instructions", instructions)
	}
}

// FuzzExamine: every input has a report, and what is refused blames the guest.
func FuzzExamine(f *testing.F) {
	for _, name := range []string{"exit", "memhog", "adder", "echo", "kernels", "bad-body"} {
		f.Add(guest(f, name))
	}
	f.Add(startable(1, []byte{0, opCall, 0}))
	o := Options{Weights: flatWeights(), Stack: true}
	f.Fuzz(func(t *testing.T, code []byte) {
		r, err := Examine(code, Policy{}, o)
		switch {
		case r == nil || (err == nil) != (r.Verdict == "ok"):
			t.Fatalf("%+v, %v", r, err)
		case err != nil && (fault.From(err).Class != fault.Guest || strings.TrimSpace(r.Message) == ""):
			t.Fatalf("%+v, %v", r, err)
		}
	})
}
