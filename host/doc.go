// Package host is the embedding API of Troupe: it prepares untrusted WebAssembly once and runs it many times in
// confined worker processes.
//
// Purpose: [Start] gives a running host; [Host.Execute] runs code, [Host.Precheck] judges it, [Host.HeadsUp] announces
// it, [Host.Submit] takes a durable job, [Host.Warm] keeps code prepared, [Host.Revoke] ends what is obsolete,
// [Host.Inspect] shows everything. CHECKLIST.md says which test shows which behaviour, and RATIONALE.md why it is so.
//
// Lifecycle: Start acquires the data directory, starts the actors and proves one worker; [Host.Close] stops intake,
// drains what runs, stops the actors in reverse order and releases the directory. [Host.Done] is closed when the host
// has ended, for whatever reason, and [Host.Wait] says why. A host whose worker program becomes that of another build drains
// and ends by itself; while the programs on disk differ from those that it runs, it goes on and warns worker.upgraded.
//
// Concurrency: every method may be called from any goroutine. Execute, Precheck and WatchJob block until they are
// answered or their context ends, Submit and what changes a job or the warm-up list until it is on disk; nothing else blocks
// for longer than a message to an actor, or the bytes of one artifact (Verify). Runs start in the order in which their
// classes have shares, not in the order of the calls.
//
// Failure: errors are *fault.Error with class, code and hint. A run that ended badly is not an error of Execute: the
// receipt tells its verdict. Execute returns an error when the run got no verdict on the code at all.
//
// Limits: stand in [Config] and in run.Limits, with default, unit and range.
package host
