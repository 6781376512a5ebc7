package chain

import (
	"time"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/actors/kernel"
)

// Message is what the chain actor receives.
type Message interface{ chainMessage() }

// Class says how a call is treated while it waits.
type Class uint8

// The classes.
const (
	Plain  Class = 1 + iota // refused when the outbox is full but for its reserve
	Report                  // may use the reserve
	Urgent                  // may use the reserve, and goes before all that wait
)

var classNames = [...]string{"", "plain", "report", "urgent"}

func (c Class) String() string { return classNames[min(int(c), len(classNames)-1)] }

// Send puts a call into the outbox.
// Sent by: report, follow, host. Answer: the entry, when it is on disk; that of the same key, if there is one, whatever its call
// says; busy.queue_full, caller.invalid_request, host.disk_*, busy.disk_space. Races: after an error of the disk, and after a restart of
// the actor, it may be there: the same Send again finds it by its key. A key is remembered as long as its entry is in the
// history. Limits: Limits.Queue and Limits.Bytes, MaxArgs for its arguments, 1 to MaxKey bytes for its key.
type Send struct {
	Key       string // makes it happen once: unique per wish
	Call      Call
	Sender    Hash      // the account that signs; zero: the first of Config.Signers
	Class     Class     // zero: Plain
	Until     time.Time // what has no chance to be in a block before then is dropped; zero: never
	Transient []string  // errors, as "Wapod.NotAllowed", after which the call is sent again with a later nonce
	Retries   uint32    // how often at most; zero: 10
	Reply     kernel.Reply[inspect.Outgoing]
}

// Wait asks what became of a call.
// Sent by: report, follow, host. Answer: the outcome, when nothing can undo it any more, which may be never; caller.not_found,
// busy.queue_full, canceled.caller_left after Unwait. Limits: Limits.Waiters.
type Wait struct {
	Key    string
	Waiter uint64 // unique per host, for Unwait; zero: it does not leave
	Reply  kernel.Reply[Outcome]
}

// Unwait says that a waiter has left.
// Sent by: who sent the Wait, on the control lane. Answer: none. Races: the wait may be answered already, or be overtaken: then
// this goes behind it.
type Unwait struct {
	Waiter uint64
	again  bool
}

// Show asks for one call, on its way or in the history. Sent by: host. Answer: the call, or caller.not_found.
type Show struct {
	Key   string
	Reply kernel.Reply[inspect.Outgoing]
}

// List asks for a page of what is on its way, or of the history, in the order of numbers.
// Sent by: host. Answer: at most Limit calls, 100 at most.
type List struct {
	History bool
	Newest  bool   // backwards from After, or from the end
	After   uint64 // number; zero: from the beginning, or the end
	Limit   int
	Reply   kernel.Reply[Page]
}

// Page is a part of a list.
type Page struct {
	Calls []inspect.Outgoing
	Next  uint64 // After of the next page; zero: there is none
}

// Status asks how the chain and the outbox are. Sent by: host, report, follow. Answer: that.
type Status struct {
	Reply kernel.Reply[inspect.Chain]
}

// Adopt has the actor take the chain that is there now in place of the one that it knew. What is on its way is signed anew for
// it: nothing that was signed for the other chain is valid there.
// Sent by: host, on behalf of an operator. Answer: when that is on disk; caller.conflict if the chain that is there is not the one
// that was named.
type Adopt struct {
	Genesis Hash
	Reply   kernel.Reply[struct{}]
}

// Pause has nothing more signed or submitted, or has that go on. What is being submitted, or was, may still come into a block; blocks
// are read and calls are taken as ever. The actor does not remember it: Config.Paused tells each incarnation.
// Sent by: host, and the shell. Answer: when it is so. Races: the last one counts.
type Pause struct {
	On    bool
	Reply kernel.Reply[struct{}]
}

// Outcome is what became of a call.
type Outcome struct {
	Number uint64       `json:"number"`
	Key    string       `json:"key"`
	Hash   Hash         `json:"hash"`             // of the transaction, zero if none came into a block
	Block  Cursor       `json:"block"`            // that has it
	Error  *TxError     `json:"error,omitempty"`  // why the call failed; nil: it did not
	Fault  *fault.Error `json:"-"`                // why it never came into a block; nil: it did
	Events []Event      `json:"events,omitempty"` // of the call
	Cut    bool         `json:"cut,omitempty"`    // there were more than are kept
}

// Err is why the call did not succeed, nil if it did.
//
// # Errors
//
// caller.tx_failed; canceled.deadline, caller.tx_invalid, caller.tx_call for what never came into a block.
func (o Outcome) Err() error {
	switch {
	case o.Fault != nil:
		return o.Fault
	case o.Error != nil:
		return o.Error.Fault()
	}
	return nil
}

// loaded is what the store has. Sent by: the shell, once per incarnation, and again after an error.
type loaded struct {
	saved Saved
	err   error
}

// added is the end of an Add. Sent by: the shell.
type added struct {
	number uint64
	old    *Record // that has the key already
	err    error
}

// wrote is the end of a Write. Sent by: the shell.
type wrote struct {
	number uint64
	err    error
}

// marked is the end of a SaveMark. Sent by: the shell.
type marked struct {
	mark Mark
	err  error
}

// found is the end of a Find. Sent by: the shell.
type found struct {
	ask    Message // Wait or Show
	record *Record
	err    error
}

// signed is the end of a Sign. Sent by: the shell.
type signed struct {
	number uint64
	made   uint32 // which of the entry's transactions it is
	tx     Tx
	err    error
}

// submitted is the end of a Submit. Sent by: the shell.
type submitted struct {
	number uint64
	hash   Hash
	err    error
}

// dialed is the end of a Dial or a Poll. Sent by: the shell.
type dialed struct {
	connection uint64
	info       Info
	err        error
}

// nonce is the end of an AskNonce. Sent by: the shell.
type nonce struct {
	connection uint64
	asked      uint64
	sender     Hash
	next       uint64
	err        error
}

// read is one block. Sent by: the shell, while it follows.
type read struct {
	connection uint64
	block      Block
}

// lost is the end of a Follow. Sent by: the shell.
type lost struct {
	connection uint64
	err        error
}

// trimmed is the end of a Trim. Sent by: the shell.
type trimmed struct{ err error }

// tick is the time that goes by. Sent by: a timer.
type tick struct{ at time.Duration }

func (Send) chainMessage()      {}
func (Wait) chainMessage()      {}
func (Unwait) chainMessage()    {}
func (Show) chainMessage()      {}
func (List) chainMessage()      {}
func (Status) chainMessage()    {}
func (Adopt) chainMessage()     {}
func (loaded) chainMessage()    {}
func (added) chainMessage()     {}
func (wrote) chainMessage()     {}
func (marked) chainMessage()    {}
func (found) chainMessage()     {}
func (signed) chainMessage()    {}
func (submitted) chainMessage() {}
func (dialed) chainMessage()    {}
func (nonce) chainMessage()     {}
func (read) chainMessage()      {}
func (lost) chainMessage()      {}
func (trimmed) chainMessage()   {}
func (tick) chainMessage()      {}
func (Pause) chainMessage()     {}

// Failed answers the sender when the message could not be handled.
func (m Send) Failed(err error) { m.Reply.Fail(err) }

// Failed answers the sender when the message could not be handled.
func (m Wait) Failed(err error) { m.Reply.Fail(err) }

// Failed answers the sender when the message could not be handled.
func (m Show) Failed(err error) { m.Reply.Fail(err) }

// Failed answers the sender when the message could not be handled.
func (m List) Failed(err error) { m.Reply.Fail(err) }

// Failed answers the sender when the message could not be handled.
func (m Status) Failed(err error) { m.Reply.Fail(err) }

// Failed answers the sender when the message could not be handled.
func (m Adopt) Failed(err error) { m.Reply.Fail(err) }

// Failed answers the sender when the message could not be handled.
func (m Pause) Failed(err error) { m.Reply.Fail(err) }
