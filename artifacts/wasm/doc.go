// Package wasm judges, measures and rewrites WebAssembly binaries without running them. It stands on its own: nothing of it needs a
// host, an engine, cgo or another tool.
//
// Purpose: tell bad code apart with a fault of its own for each reason; refuse what would make a compiler burn time or memory before
// it is compiled ([Judge], [Caps]); rewrite code so that it counts its own gas and the depth of its stack ([Instrument], [Weights],
// [Options]); say what code is and what the rewrite costs ([Examine]); keep the names of functions for messages ([Symbols]); strip a
// module to the skeleton that compiled code is loaded with; turn an imported memory into an exported one; inflate compressed code.
//
// # Running metered code
//
// An instrumented module exports each mutable global of its own as [GlobalPrefix] with its index. A module that is metered has one
// more import, the function [MeterRefill] of the module [MeterModule], without parameters and results, and exports the accounts that
// [Options] ask for, mutable globals that are i64 and 0 at the start: [GasGlobal] and [StackGlobal]. They count down. Whenever one of
// them is below zero at a check, the code calls refill; since they start at 0 it does so as soon as it uses something. Refill looks
// at both:
//
//   - Gas below zero: add slices to the global until it is not, or trap if the limit of the run is granted. What the guest used is
//     what was granted less the value of the global, whatever the slices were.
//   - Stack below zero: the first time add the limit of the run, in values. If it is below zero still, or again, the guest is too
//     deep, and traps.
//
// In the terms of any engine that offers host functions and exported globals, for both accounts:
//
//	refill := func(instance) {
//		for gas := instance.Global(wasm.GasGlobal); gas.Get() < 0; {
//			if granted == limit { trap("out of gas") }
//			slice := min(slice, limit-granted)
//			granted += slice
//			gas.Set(gas.Get() + slice)
//		}
//		if stack := instance.Global(wasm.StackGlobal); stack.Get() < 0 {
//			if !given { stack.Set(stack.Get() + depth) }
//			given = true
//			if stack.Get() < 0 { trap("stack") }
//		}
//	}
//
// Gas is taken for whole blocks before they run, and looked at when a function is entered, at the heads of loops, where a function
// is left that used gas after a call, and before what costs by amount: a guest passes its limit by [Instrumented].Unchecked at most, and by the
// same each time. What an amount would have cost was not used: do not count more than the limit and Unchecked.
//
// Lifecycle: pure functions over byte slices; results share memory with the input where noted.
//
// Concurrency: everything is safe from any goroutine.
//
// Failure: faults of class guest; those of [DecodeSymbols], which reads what was stored, are of class suspect, and those of
// [ParseFeatures] of class caller. [Scan] checks framing and the sections it describes; [Judge] validates all of the code, with
// every body, and holds it against features and caps: what it accepts the engine compiles, custom
// sections apart.
//
// Limits: memory is taken in proportion to bytes that are there, never to counts that code claims. Time is linear in the size of
// the code. [Caps] bound what is left to a compiler, [MaxSymbols] what is kept for messages.
package wasm
