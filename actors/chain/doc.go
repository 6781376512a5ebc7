// Package chain is the actor between a host and a chain: a durable outbox of calls.
//
// # Purpose
//
// [Port] is the chain. A [Send] is answered when the call is on disk. From then on it is signed, submitted and watched until it is in
// a block that nothing can undo: it is submitted at least once, and takes effect at most once, whatever happens to the host, the chain
// and the line between. [Wait] tells what became of it. The core ([State]) decides; the shell ([Spawn]) talks to the Port and writes to
// a [Store].
//
// # Lifecycle
//
// Each incarnation reads the store first; what comes meanwhile waits. The chain that answers first is ours from then on: its
// genesis is written down, and its blocks are read from the last final one, or from where the host had come before. When another chain
// answers, nothing is sent, everything is kept, and Config.Stuck is told, until ours is back or an operator says [Adopt]. While an
// operator has it paused ([Pause]) nothing is signed or submitted either, and all else goes on.
//
// A call waits for its turn, gets the least nonce that is free, and is signed for a span of blocks. The transaction is on disk before
// it is submitted, and no other one is made of the call before it is certain that this one will never be in a block: a block behind
// its span is final, or one that used its nonce for something else, or the chain called it invalid when it first saw it. Until then it is submitted again and again, always the same.
//
//	Call        Event                        Next        Effects
//	-           Send                         adding      Add
//	-           added old                    signing     Sign
//	-           added old                    waiting     -
//	-           found                        signing     Sign
//	-           found                        waiting     -
//	-           loaded                       adding      Add
//	-           loaded                       doubtful    -
//	-           loaded                       ready       -
//	-           loaded                       waiting     -
//	adding      added                        ending      Write
//	adding      added                        signing     Sign
//	adding      added                        waiting     -
//	adding      added err                    -           -
//	adding      added old                    -           -
//	again       tick                         again       Write
//	again       wrote                        waiting     -
//	doubtful    read                         ending      Write
//	doubtful    read                         included    -
//	doubtful    read                         signing     Sign
//	doubtful    read                         waiting     -
//	ending      tick                         ending      Write
//	ending      wrote                        -           -
//	included    lost                         ready       -
//	included    read                         again       Write
//	included    read                         ending      Write
//	included    read                         ready       -
//	included    read                         submitting  Submit
//	ready       Send                         submitting  Submit
//	ready       Status                       submitting  Submit
//	ready       dialed                       submitting  Submit
//	ready       nonce                        submitting  Submit
//	ready       read                         again       Write
//	ready       read                         ending      Write
//	ready       read                         included    -
//	ready       submitted                    submitting  Submit
//	ready       submitted caller.tx_expired  submitting  Submit
//	ready       submitted caller.tx_invalid  submitting  Submit
//	ready       tick                         submitting  Submit
//	saving      tick                         saving      Write
//	saving      wrote                        ready       -
//	saving      wrote                        signing     Sign
//	saving      wrote                        submitting  Submit
//	signing     signed                       saving      Write
//	signing     signed err                   ending      Write
//	signing     signed err                   waiting     -
//	submitted   read                         again       Write
//	submitted   read                         doubtful    -
//	submitted   read                         ending      Write
//	submitted   read                         included    -
//	submitted   read                         signing     Sign
//	submitted   read                         waiting     -
//	submitted   tick                         ready       -
//	submitted   tick                         submitting  Submit
//	submitting  read                         again       Write
//	submitting  read                         ending      Write
//	submitting  read                         included    -
//	submitting  read                         signing     Sign
//	submitting  read                         waiting     -
//	submitting  submitted                    submitted   -
//	submitting  submitted busy.chain         ready       -
//	submitting  submitted caller.tx_expired  submitted   -
//	submitting  submitted caller.tx_invalid  doubtful    -
//	submitting  submitted caller.tx_invalid  waiting     -
//	submitting  submitted caller.tx_nonce    submitted   -
//	submitting  submitted host.disk_io       ready       -
//	waiting     nonce                        ending      Write
//	waiting     nonce                        signing     Sign
//	waiting     read                         signing     Sign
//	waiting     tick                         ending      Write
//	waiting     tick                         signing     Sign
//
// # Concurrency
//
// Each account that signs has a lane. Its calls go in the order in which they came, those of class [Urgent] before the others,
// up to Limits.Window at a time. The order is kept but for calls that lose their nonce: to somebody else with the same key, or because
// the chain calls them invalid, or that failed and are sent again.
//
// There is one write at a time for an entry, and one mark at a time. A mark, which says how far the chain was read, is never ahead of
// what is on disk of the blocks before it; what was read and not marked is read again after a crash.
//
// # Failure
//
// While the chain does not answer, one attempt is made after a back-off of 200 ms to 30 s, less up to a quarter by chance, and it
// goes on at full speed with the first that succeeds. A line that has blocks and does not tell them is given up. A
// block that contradicts a final one is host.chain_other.
//
// A call that failed on the chain has ended ([Outcome.Error]), unless the sender named its error as a transient one. A call that the chain
// cannot have (caller.tx_call), or calls invalid five times, is dropped, unless it is a [Report]: that is tried for ever.
// One whose deadline has passed is dropped when it is certain that it is in no block.
//
// A Send that failed for the disk's sake may have been kept, and goes out then after a restart, or when it is sent again with its key.
// An outcome that cannot be written is not told, and written again each second. No clock of a wall is trusted, but for deadlines.
//
// # Limits
//
// Limits.Queue calls are on their way, Limits.Reserve of these for reports and what is urgent, and Limits.Bytes; a call
// beyond them is busy.queue_full. The core keeps some 700 bytes for each, and neither calls nor transactions. Of what has ended
// Limits.History are kept on disk, and none in memory; as long as a key is there it is not sent again. Events of a call are kept up to
// [MaxEvents].
package chain
