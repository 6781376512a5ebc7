package wire

import "time"

// How a worker gathers what a guest writes to one stream.
const (
	FullPiece  = 32 << 10         // bytes that it gathers before it sends them
	GatherTime = time.Millisecond // how long it keeps them at most
)
