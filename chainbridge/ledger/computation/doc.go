// Package computation is the pallets PhalaComputation, PhalaStakePoolv2 and PhalaBasePool: who computes, how well, and what is paid for it.
//
// Purpose: a worker that is bound to a session of a stake pool starts with a stake, gets the value V from it, and is challenged now
// and then. A heartbeat that answers a challenge is paid by its share in the budget of the blocks since the last one. Workers that do
// not answer lose some of V with each block. Exported are Heartbeat, SetInitialScore and IsComputing for the market.
//
// Lifecycle: of a session: Ready, WorkerIdle and WorkerUnresponsive by turns, WorkerCoolingDown, Ready. The end of each block goes
// once over all that compute: it challenges them, notices who is silent, and moves each V.
//
// Concurrency: as pallets.
//
// Failure: errors have the names of the original. A heartbeat that cannot count is no error: it is dropped, with an event, and
// counted. Where the subsidies do not reach, what is there is paid, with an event.
//
// Limits: MaxComputing workers compute at a time. They are kept in chunks of chunkSeats, each one value of the state; the end of a
// block costs less than half a microsecond per worker, most of it the root in its share, and a heartbeat one chunk. A pool has at most
// MaxPoolWorkers workers and MaxQueue withdrawals that wait.
//
// Numbers: V, P and pay are in fixed.U64F64, cut off as the original does, and saturate where the original would have panicked.
// Amounts of money are whole units, UnitsPerToken to the token that V is counted in. A slash takes from V; stakes come back whole.
package computation
