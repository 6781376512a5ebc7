package chain

import (
	"time"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/actors/kernel"
)

// Effect is what the core wants done.
type Effect interface{ chainEffect() }

// The effects. Those that have an answer come back as a message.
type (
	// Load reads the store; answered by loaded.
	Load struct{}
	// Add keeps a new entry; answered by added.
	Add struct {
		Record Record
		Call   Call
	}
	// Write puts an entry on disk as it is, or into the history; answered by wrote. There is one at a time for an entry.
	Write struct {
		Record Record
		Tx     []byte
		Finish bool
	}
	// SaveMark puts the mark on disk; answered by marked. There is one at a time.
	SaveMark struct{ Mark Mark }
	// Find looks for an entry that is not in memory; answered by found.
	Find struct {
		Ask Message
		Key string
	}
	// Turn reads a page of the history and answers who asked.
	Turn struct{ List List }
	// Trim forgets the oldest of the history; answered by trimmed. There is one at a time.
	Trim struct{ Keep int }
	// Sign makes a transaction; answered by signed.
	Sign struct {
		Number     uint64
		Made       uint32
		Sender     Hash
		Genesis    Hash
		Nonce      uint64
		ValidUntil uint64
	}
	// Submit hands a transaction in; answered by submitted.
	Submit struct {
		Number uint64
		Hash   Hash
	}
	// Dial asks the chain which one it is; answered by dialed.
	Dial struct{ Connection uint64 }
	// AskNonce asks for the next nonce of an account; answered by nonce.
	AskNonce struct {
		Connection, Asked uint64
		Sender            Hash
	}
	// Follow reads the blocks behind a cursor; answered by read for each, and by lost. It ends what an earlier one began.
	Follow struct {
		Connection uint64
		After      Cursor
	}
	// Hangup ends a Follow.
	Hangup struct{}
	// Wake has a tick sent that says At.
	Wake struct{ After, At time.Duration }
	// Stuck tells operators why nothing goes on, and nil when it does again.
	Stuck struct{ Why *fault.Error }
	// Refuse answers a message with an error.
	Refuse struct {
		Message Message
		Err     error
	}
	// Requeue puts a message behind the work that waits.
	Requeue struct{ Message Message }
	// Shown answers a Send or a Show.
	Shown struct {
		To   kernel.Reply[inspect.Outgoing]
		Call inspect.Outgoing
		Err  error
	}
	// Ended answers a Wait.
	Ended struct {
		To      kernel.Reply[Outcome]
		Outcome Outcome
		Err     error
	}
	// Listed answers a List.
	Listed struct {
		To   kernel.Reply[Page]
		Page Page
	}
	// Stated answers a Status.
	Stated struct {
		To    kernel.Reply[inspect.Chain]
		Chain inspect.Chain
	}
	// Adopted answers an Adopt.
	Adopted struct {
		To  kernel.Reply[struct{}]
		Err error
	}
	// Paused answers a Pause.
	Paused struct{ To kernel.Reply[struct{}] }
)

func (Load) chainEffect()     {}
func (Add) chainEffect()      {}
func (Write) chainEffect()    {}
func (SaveMark) chainEffect() {}
func (Find) chainEffect()     {}
func (Turn) chainEffect()     {}
func (Trim) chainEffect()     {}
func (Sign) chainEffect()     {}
func (Submit) chainEffect()   {}
func (Dial) chainEffect()     {}
func (AskNonce) chainEffect() {}
func (Follow) chainEffect()   {}
func (Hangup) chainEffect()   {}
func (Wake) chainEffect()     {}
func (Stuck) chainEffect()    {}
func (Refuse) chainEffect()   {}
func (Requeue) chainEffect()  {}
func (Shown) chainEffect()    {}
func (Ended) chainEffect()    {}
func (Listed) chainEffect()   {}
func (Stated) chainEffect()   {}
func (Adopted) chainEffect()  {}
func (Paused) chainEffect()   {}
