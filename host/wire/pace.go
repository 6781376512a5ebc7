package wire

import "time"

// The frames with output and results that a run may send: a worker keeps to them, by waiting, and a host that sees more
// is lied to. An honest worker comes near them only if its guest changes between stdout and stderr, or from writing to
// reading, all the time; what is written to one stream goes out in pieces of FullPiece, or once in GatherTime.
const (
	FullPiece  = 32 << 10         // bytes that a worker gathers before it sends them
	GatherTime = time.Millisecond // how long it keeps them at most

	freePieces = 4096                  // at the start of a run
	pieceTime  = 50 * time.Microsecond // one more in each
	pieceBytes = 4 << 10               // one more for each
)

// Pieces returns how many frames of output and results may have been sent when so much time has gone by since the run was
// asked for, and so many bytes were in them.
func Pieces(elapsed time.Duration, bytes int64) int64 {
	return freePieces + int64(elapsed/pieceTime) + bytes/pieceBytes
}
