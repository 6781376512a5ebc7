package wasm

import (
	"fmt"
	"strings"

	"github.com/troupehost/troupe/actors/fault"
)

// Features are proposals that code may use on top of WebAssembly 1.0.
type Features uint32

// The features. What is not here is refused by name: threads, memory64, multiple memories, GC, typed function references,
// relaxed SIMD.
const (
	MutableGlobals       Features = 1 << iota // import and export of mutable globals
	SignExtension                             // i32.extend8_s and its like
	SaturatingConversion                      // i32.trunc_sat_f32_s and its like
	MultiValue                                // several results, parameters of blocks
	BulkMemory                                // memory.copy, memory.fill, passive segments
	ReferenceTypes                            // externref, several tables, table.get
	SIMD                                      // v128
	TailCalls                                 // return_call
	ExtendedConst                             // i32.add and its like in constant expressions
	Exceptions                                // tags, throw, try_table, exnref
)

// Sets of features.
const (
	Wasm2       = MutableGlobals | SignExtension | SaturatingConversion | MultiValue | BulkMemory | ReferenceTypes | SIMD
	AllFeatures = Wasm2 | TailCalls | ExtendedConst | Exceptions
)

var featureNames = [...]string{
	"mutable-globals", "sign-extension", "saturating-conversion", "multi-value", "bulk-memory", "reference-types", "simd",
	"tail-calls", "extended-const", "exceptions",
}

// Names returns the names of the features in a fixed order.
func (f Features) Names() []string {
	names := []string{}
	for i, n := range featureNames {
		if f&(1<<i) != 0 {
			names = append(names, n)
		}
	}
	return names
}

// String returns the names, joined by commas.
func (f Features) String() string { return strings.Join(f.Names(), ",") }

// ParseFeatures reads names joined by commas, of which "wasm2" and "all" stand for those sets; a minus before a name takes
// it away again: "wasm2,tail-calls,-simd". The empty string is Wasm2.
//
// # Errors
//
// caller.invalid_request.
func ParseFeatures(s string) (Features, error) {
	if s == "" {
		return Wasm2, nil
	}
	var f Features
	for word := range strings.SplitSeq(s, ",") {
		name, off := strings.CutPrefix(strings.TrimSpace(word), "-")
		set := map[string]Features{"wasm2": Wasm2, "all": AllFeatures}[name]
		for i, n := range featureNames {
			if n == name {
				set = 1 << i
			}
		}
		switch {
		case set == 0:
			return 0, fault.New(fault.CallerInvalid, "features", fault.Quote(word), nil).
				WithHint(fmt.Sprintf("choose of wasm2, all, %s", strings.Join(featureNames[:], ", ")))
		case off:
			f &^= set
		default:
			f |= set
		}
	}
	return f, nil
}
