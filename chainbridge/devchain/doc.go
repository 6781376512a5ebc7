// Package devchain is the embedded chain: one sequencer that makes blocks in this process, and an API for others.
//
// Purpose: Chain orders transactions into hash-linked blocks, has a machine.Machine execute them, by default the ledger, and keeps
// blocks and state in a directory of its own. It is a chain.Port; Handler serves it, and Client is the same port from elsewhere.
//
// Lifecycle: Open makes a chain of a genesis, or goes on with the one that is there; Close ends it. A start checks what a crash could
// have left: it reads the newest blocks, their links, and the app hash of the state. Verify proves all of it: by a replay of every block
// from the genesis. Export writes the state, and VerifyExport proves what was written.
//
// What is acknowledged: a transaction that was seen in a block, or a block that was seen, is on disk, and survives kill -9 and the end
// of the machine. A transaction that waits for a block is in memory only.
//
// Concurrency: one goroutine makes blocks. Everything else may be called from any goroutine. Who asks while a block is written is
// answered from the state before it, and never sees half a block. Follow calls its function from the goroutine of its caller.
//
// Failure: busy.chain when the pool is full or the chain closed; host.chain_corrupt, and no start, when what is on disk is not what was
// written; host.chain_other for another genesis; host.data_dir_locked when somebody else has the chain. While free space is short no
// blocks are made, and the transactions wait. After an error of the disk no more blocks are made until the next start: Failed says so. A
// transaction that makes the machine fail is found and left out.
//
// Limits: see Limits and the bounds of the API. A database that lost its newest records by damage to a log after a crash is known by the
// file HEAD, which has what was acknowledged last; an operator who wants to go on from what is left removes it.
//
// Files: VERSION, LOCK and the database are those of package db; HEAD. Keys and values in the database are described in storage.go,
// blocks in record.go.
package devchain
