// Package artifacts holds the vocabulary of prepared code: code hash, key, parts, states and the pruning policy.
//
// Purpose: what the cache actor, the store and the workers say to each other about artifacts.
//
// Lifecycle: plain values. Concurrency: values are copied, slices in Meta are never changed after they were built.
//
// Failure: parsers report caller.invalid_request.
//
// # What changes an artifact, and what only changes a run
//
// There are two hashes. The key names the artifact: whatever changes its bytes enters it, and nothing else does, so that
// nothing is compiled twice. The hash of run.Params names a run, and stands in its receipt. What is in neither changes
// nothing that a guest can see, or is part of what it is given.
//
//	setting                                        key    run.Params   worker   how it acts
//	code                                           yes    -            yes      its hash
//	engine, format, instrumentation, processor     yes    -            yes      [Build]
//	tenant, app                                    -      yes          yes      a worker serves one
//	NaNs: as they come, canonical                  yes    -            yes      [Options]
//	isolation                                      -      yes          yes      a worker takes one run, or one after another
//	memory limit                                   -      yes          yes      RLIMIT_DATA of the worker, the reserve of a run
//	CPU, wall and output limit                     -      yes          -        of one run
//	limits of gas, of initialisation's, of stack   -      yes          -        of one run: what the instrumented code is granted
//	entry: mode, name, arguments, environment      -      yes          -        of one run
//	imports policy, determinism                    -      yes          -        judged, or chosen, as the run begins
//	limits of code: as given, inflated             -      -            -        a verdict on the code; see [Meta.TooLarge], [Failure.Holds]
//	policy on code: features, caps                 -      -            -        a verdict on the code, by its [Shape]; see [Failure.Holds]
//	budgets of preparation: CPU, wall, memory      -      -            -        a verdict on the code, by what its preparation used
//	input, stdin                                   -      -            -        data
//	priority, deadline, validity                   -      -            -        when it runs
//	step of clocks, share of cross-checks          -      -            -        what a guest of the real world reads; nothing
//	sizes of queues, pools, cache and disk; times  -      -            -        how much, and how long
//
// The snapshot is not settled by the key alone: it is made if somebody wanted to run the code, and if its initialisation stayed within
// its bounds. It has a key of its own, [SnapshotKeyOf], and one that is missing or of other terms changes how long a first run takes,
// and nothing else.
//
// "worker" says that two runs which differ in it never share a process. A test prepares with a real worker under two values
// of each and compares the bytes of all parts but the snapshot.
//
// Limits: everything that a worker reports was bounded by host/wire before it becomes a value of this package.
package artifacts
