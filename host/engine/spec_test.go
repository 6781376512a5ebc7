package engine

import (
	"bytes"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/tetratelabs/wazero/experimental"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/artifacts/wasm"
)

// caps admit the two modules of the specification that the default caps refuse.
var caps = wasm.Caps{Locals: 2000, BranchTargets: 32768}

// suites are the tests of the specification, 1.0 and 2.0, and of the proposals, as the engine carries them. The policies are
// as narrow as the engine's own settings for each, so that code of a later version is refused in the tests of an earlier.
var suites = []suite{
	{name: "v1", policy: wasm.Policy{Features: wasm.MutableGlobals, Caps: caps}},
	{name: "v2", policy: wasm.Policy{Features: wasm.Wasm2, Caps: caps}},
	{name: "tail-call", policy: wasm.Policy{Features: wasm.Wasm2 | wasm.TailCalls, Caps: caps}},
	{name: "extended-const", policy: wasm.Policy{Features: wasm.Wasm2 | wasm.ExtendedConst, Caps: caps}},
	{name: "exception-handling", policy: wasm.Policy{Features: wasm.Wasm2 | wasm.Exceptions | wasm.TailCalls, Caps: caps},
		engine: experimental.CoreFeaturesTypedFunctionReferences, ungated: true},
	{name: "threads", policy: wasm.Policy{Features: wasm.AllFeatures, Caps: caps}, engine: experimental.CoreFeaturesThreads},
	{name: "typed-function-references", policy: wasm.Policy{Features: wasm.AllFeatures, Caps: caps},
		engine: experimental.CoreFeaturesTypedFunctionReferences, ungated: true},
}

// floors are what was counted, or just below, so that the tests cannot pass on nothing. The reference has fewer assertions:
// those about modules that are refused are not put to it.
var floors = map[string]int{
	"modules": 7833,

	"modules accepted, v1":                        877,
	"modules accepted, v2":                        1716,
	"modules accepted, tail-call":                 6,
	"modules accepted, extended-const":            13,
	"modules accepted, exception-handling":        10,
	"modules accepted, typed-function-references": 142,

	"assertions, reference":     66000,
	"assertions, plain":         70400,
	"assertions, gas":           70400,
	"assertions, gas+stack":     70400,
	"assertions, gas+stack+nan": 70400,
}

// TestSpecification plays the scripts of the specification in every mode. The reference is the engine with modules as they
// are; the other modes rewrite them.
func TestSpecification(t *testing.T) {
	var count tally
	t.Run("scripts", func(t *testing.T) {
		for _, s := range suites {
			files, err := filepath.Glob(integrationFolder(t, "spectest", s.name, "testdata", "*.json"))
			if err != nil || len(files) == 0 {
				t.Fatalf("%s: no scripts: %v", s.name, err)
			}
			for _, file := range files {
				t.Run(s.name+"/"+strings.TrimSuffix(filepath.Base(file), ".json"), func(t *testing.T) {
					t.Parallel()
					runScript(t, s, file, modes(), &count, func(what string) { t.Error(what) })
				})
			}
		}
	})
	t.Log("\n" + strings.Join(count.lines(), "\n"))
	for what, floor := range floors {
		if count.n[what] < floor {
			t.Errorf("%d %s, at least %d", count.n[what], what, floor)
		}
	}
}

// TestTheRunnerSees plays a script with rewriters that do not keep their word.
func TestTheRunnerSees(t *testing.T) {
	swap := func(old, with string) func([]byte) ([]byte, error) {
		return func(code []byte) ([]byte, error) { return bytes.ReplaceAll(code, []byte(old), []byte(with)), nil }
	}
	const add, sub, divide, unreachable = "\x20\x01\x6a\x0b", "\x20\x01\x6b\x0b", "\x20\x01\x6d\x0b", "\x20\x01\x00\x0b"
	weights := unitWeights()
	for name, c := range map[string]struct {
		mode mode
		want string
	}{
		"another value": {mode{rewrite: swap(add, sub)}, "lane 0 is"},
		"another trap":  {mode{rewrite: swap(divide, unreachable)}, `"unreachable" (wasm error`},
		"no gas":        {mode{rewrite: swap("", ""), options: wasm.Options{Weights: weights}}, "0 gas used"},
		"not valid":     {mode{rewrite: swap(add, "\x20\x09\x6a\x0b")}, `"refused" (invalid function`},
		"not at all": {mode{rewrite: func([]byte) ([]byte, error) {
			return nil, fault.New(fault.GuestInvalid, "rewrite", "", nil)
		}}, "the code is not a valid module"},
	} {
		var said []string
		var count tally
		c.mode.name = "bad"
		file := integrationFolder(t, "spectest", "v2", "testdata", "i32.json")
		runScript(t, suites[1], file, []mode{modes()[0], c.mode}, &count, func(what string) { said = append(said, what) })
		if !slices.ContainsFunc(said, func(s string) bool { return strings.Contains(s, c.want) }) {
			t.Errorf("%s: nothing like %q in %q", name, c.want, said[:min(3, len(said))])
		}
	}
}
