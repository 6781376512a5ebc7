// Package engine runs WebAssembly with wazero, and is its only importer.
//
// Purpose: compile code into an artifact, load an artifact without compiling, and run it, so that no run sees anything of
// another one.
//
// Lifecycle: [Compile] is pure. [Warm] makes what does not depend on an artifact; [Blank.Load], or [Load] at once, gives an
// [App]; [App.Run] runs it any number of times, with [App.Settle] between, after the answer was sent; [App.Close] frees it.
// An App makes nothing executable after it is loaded.
//
// Concurrency: an App runs one thing at a time.
//
// Asking: code that imports troupe_v1 asks the host through [IO.Ask], one call at a time. What a call points at is judged before, what it
// asked in initialisation is part of no snapshot, and its functions are linked only for code that wants them.
//
// Failure: faults of class guest for what the code did, suspect.artifact_rejected when an artifact does not load, and
// host.engine_self_test when this build does not fit its engine. Nothing here stops a guest that does not return: that
// is done from outside, by killing the process.
//
// Limits: linear memory and output are capped per run; CPU and wall time are the host's to judge.
//
// An artifact holds wazero's own cache entry in two parts, machine code and frame, got and given through the engine's cache
// interface in memory. wazero does not export that interface; hook.go says how it is reached and SelfTest proves that it is.
//
// An App keeps one instance. What initialisation made is its snapshot: linear memory lies over a private mapping of it, and after a run
// what the run changed is brought back. living says what an instance is, and pages how memory is reset.
package engine
