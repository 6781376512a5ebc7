package chain

import (
	"context"
	"io"
)

// Backed is a Port whose chain lives in this process, and is saved with its host.
type Backed interface {
	// Snapshot returns the chain as it is now: every block that somebody has seen is in it.
	Snapshot() (Snapshot, error)
}

// Snapshot is a chain as it was at one moment.
type Snapshot interface {
	// Files are the small files that belong to it, by their names in the directory of the chain: its genesis, and in blocks those beside
	// its database.
	Files() map[string][]byte
	// Write writes its database, and returns how many keys there are.
	Write(ctx context.Context, w io.Writer) (keys int64, err error)
	// Close gives it up. It must be called before the chain is closed.
	Close()
}
