// Package metrics counts what a host does, in the form that Prometheus reads.
//
// Purpose: one [Set] per host with a registry of its own, so that several hosts live in one process. What happens is
// observed as it happens; what merely is (queues, workers, store) is looked at when somebody scrapes, so that it costs
// nothing while nobody does. README.md lists each metric; a test compares it with what the registry has.
//
// Lifecycle: [New] makes a Set; nothing is started and nothing must be stopped.
//
// Concurrency: all methods may be called at once from many goroutines. Observing neither blocks nor allocates. [Set.Write]
// holds nothing while it writes, so a reader that is slow delays nobody.
//
// Failure: a label value that is not known is counted as "other"; a code that is not registered, as bug.unexpected.
//
// Limits: label values are words of ours: kinds, priorities, verdicts, codes, reasons. Tenants, code hashes, artifact keys,
// names and messages never become labels. A look at the host is given up after 5 s; what was counted is written all the same.
package metrics
