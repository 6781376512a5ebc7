package wasm_test

import (
	"errors"
	"fmt"
	"log"
	"os"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/artifacts/wasm"
)

func read(guest string) []byte {
	code, err := os.ReadFile("../../testdata/guests/" + guest)
	if err != nil {
		log.Fatal(err)
	}
	return code
}

// Code is held against a policy before it costs anything.
func ExampleJudge() {
	m, err := wasm.Judge(read("kernels.wasm"), wasm.Policy{})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(len(m.Funcs), "functions; most locals of one:", m.Shape.Locals)

	_, err = wasm.Judge(read("kernels.wasm"), wasm.Policy{Caps: wasm.Caps{Locals: 10}})
	fmt.Println(errors.Is(err, fault.GuestTooComplex), errors.Is(err, fault.Guest))
	// Output:
	// 9 functions; most locals of one: 18
	// true true
}

// The rewritten module asks its host for gas through one import. Here nothing is run; the package comment says what refill does.
func ExampleInstrument() {
	weights := &wasm.Weights{Version: 1, Function: 10}
	for op := range weights.Op {
		weights.Op[op] = 1
	}
	made, err := wasm.Instrument(read("kernels.wasm"), wasm.Policy{}, wasm.Options{Weights: weights, Stack: true})
	if err != nil {
		log.Fatal(err)
	}
	m, err := wasm.Scan(made.Code)
	if err != nil {
		log.Fatal(err)
	}
	for _, i := range m.Imports {
		fmt.Println("import", i.Module, i.Name, i.Desc)
	}
	for _, e := range m.Exports {
		if e.Name == wasm.GasGlobal || e.Name == wasm.StackGlobal {
			fmt.Println("export", e.Name, e.Kind)
		}
	}
	// Unordered output:
	// import troupe:meter refill () -> ()
	// export troupe:gas global
	// export troupe:stack global
}

// A report says what code is, also if it is refused.
func ExampleExamine() {
	tight := wasm.Policy{Caps: wasm.Caps{Nesting: 8}}
	r, err := wasm.Examine(read("kernels.wasm"), tight, wasm.Options{Stack: true})
	fmt.Println(r.Verdict, r.Fault, err != nil)
	for _, c := range r.Caps {
		if c.Used > 1 {
			fmt.Printf("%s: %d of %d in %s\n", c.Cap, c.Measured, c.Limit, fault.Quote(c.Function.Name))
		}
	}
	// Output:
	// guest guest.too_complex true
	// nesting: 9 of 8 in interpreter
}

// Names of functions outlive the name section.
func ExampleSymbols_Name() {
	code := read("kernels.wasm")
	m, err := wasm.Scan(code)
	if err != nil {
		log.Fatal(err)
	}
	stored := m.NewSymbols(code).Encode()

	symbols, err := wasm.DecodeSymbols(stored)
	if err != nil {
		log.Fatal(err)
	}
	name, offset, ok := symbols.Name(2)
	fmt.Printf("%s at %#x, %v\n", fault.Quote(name), offset, ok)
	// Output: sha256_ at 0xff, true
}

func ExampleParseFeatures() {
	f, err := wasm.ParseFeatures("wasm2,tail-calls,-simd")
	fmt.Println(f, err)
	// Output: mutable-globals,sign-extension,saturating-conversion,multi-value,bulk-memory,reference-types,tail-calls <nil>
}
