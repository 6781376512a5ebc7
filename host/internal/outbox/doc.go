// Package outbox keeps on disk what is on its way to a chain, and what became of it.
//
// Purpose: [Store] implements chain.Store in the database "state".
//
// Lifecycle: [New] looks where the numbers begin and end. There is nothing to close.
//
// Concurrency: everything may be called from any goroutine; changes of one entry come one after the other. What was changed is on disk
// when a method returns. Writes of different entries share transactions.
//
// Failure: host.data_dir_corrupt for a record that does not verify, caller.not_found for a call or a transaction of an entry that is
// not on its way, and the errors of the database.
//
// Limits: those of chain.Send. The history is kept by number: Trim forgets what is further behind the newest entry than it may be, so it
// never has more than it may. Memory does not grow with it.
package outbox
