// Package wasmtest makes modules for tests: a small encoder, and bombs, which are small modules that cost whoever decodes,
// validates or compiles them far more than they weigh.
//
// Purpose: one corpus for the tests of the judge and for those of the engine behind it. Nothing of it is stored.
//
// Lifecycle: pure functions.
//
// Concurrency: any.
//
// Failure: none; the modules are wrong on purpose where their comment says so, and valid otherwise.
//
// Limits: the largest module has 12 MB.
package wasmtest
