// Package wasmgen makes valid WebAssembly modules out of bytes, for tests: nothing that is shipped imports it.
//
// Purpose: feed the judge, the rewriter and the engine with modules that no compiler writes: branches from everywhere with
// operands below them, dead code, blocks with many values, mixed tables, recursion, traps.
//
// Lifecycle: [Generate] is a pure function. The bytes are its choices, taken one by one; where they end each choice is the
// simplest one. So a fuzzer steers it, and what a fuzzer shortens is a smaller module.
//
// Concurrency: safe from any goroutine.
//
// Failure: none; every input makes a valid module.
//
// Limits: a module has at most Config.Size instructions and some thousand bytes around them. Each module counts loops and
// calls down in its exported global [Fuel], and gives up at zero; so every call ends soon, and recursion is less than Fuel
// deep. A host sets Fuel anew before each call.
package wasmgen
