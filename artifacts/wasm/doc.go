// Package wasm looks at WebAssembly binaries without running them: what they are, what they import and export, and the
// few rewrites that Troupe needs before the engine compiles them.
//
// Purpose: tell bad code apart with a fault of its own for each reason, describe good code, turn an imported memory
// into an exported one, strip a module to the skeleton that an execute worker loads, and inflate compressed code.
//
// Lifecycle: pure functions over byte slices; results share memory with the input where noted.
//
// Concurrency: everything is safe from any goroutine.
//
// Failure: faults of class guest. [Scan] checks framing and the sections it describes; [Judge] validates all of the code, with
// every body, and holds it against features and caps: what it accepts the engine compiles, custom sections apart.
//
// Limits: memory is taken in proportion to bytes that are there, never to counts that code claims.
package wasm
