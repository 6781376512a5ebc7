// Package nodes knows who the miners are, what they measure, and whether they are alive: the pallets Registration and ExecutionUnit.
//
// Purpose: a node is a name with an owner, whose account signs all that the node says: [Owned] checks that. Reports of a node become
// its [NodeMetricsData].
//
// Lifecycle: registered, reporting, and after LivenessBlocks of silence gone again, with its metrics. A pass over all nodes takes
// at most PassBlocks blocks. Genesis may register nodes: {"nodes": [{"node_id", "node_type", "owner"}]}.
//
// Concurrency: one goroutine per Context.
//
// Failure: errors of the pallets. A signature that comes as an argument may be all zero: then the one of the transaction, which is the
// same account's, stands for it. Any other must be by the owner's key, over [Payload].
//
// Limits: MaxNodes; RateReports in RateBlocks of each node; the texts and lists of a report have bounds at their fields.
package nodes
