// Package engine runs WebAssembly with wazero, and is its only importer.
//
// Purpose: compile code into an artifact, load an artifact without compiling, and run it, each run in an instance of
// its own.
//
// Lifecycle: [Compile] is pure. [Load] gives an [App]; [App.Run] runs it any number of times; [App.Close] frees it.
//
// Concurrency: an App runs one thing at a time.
//
// Failure: faults of class guest for what the code did, suspect.artifact_rejected when an artifact does not load, and
// host.engine_self_test when this build does not fit its engine. Nothing here stops a guest that does not return: that
// is done from outside, by killing the process.
//
// Limits: linear memory and output are capped per run; CPU and wall time are the host's to judge.
//
// An artifact is wazero's own cache entry, got and given through the engine's cache interface in memory. wazero does
// not export that interface; hook.go says how it is reached and SelfTest proves that it is.
package engine
