package report

import (
	"time"

	"github.com/troupehost/troupe/actors/chain"
	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/actors/kernel"
	"github.com/troupehost/troupe/actors/meter"
)

// Message is what the reporter receives.
type Message interface{ reportMessage() }

// ReportNow has what apps have used settled on the chain, whatever the interval says: the last report before an app goes.
// Sent by: the follower, host. Answer: when the report is final on the chain; at once for apps without tickets; caller.tx_failed
// with the reason if the chain refuses it for good, busy.queue_full. Races: requests that come together share a report; an app
// that uses more meanwhile has that in the next one. Limits: Settings.Requests of them, maxAddresses apps in each; it waits as long as
// the chain is away.
type ReportNow struct {
	Apps  [][32]byte // nil: all
	Reply kernel.Reply[Settled]
}

// Settled is the answer to ReportNow.
type Settled struct {
	Pages  int    // reports that were needed; 0: the apps have no tickets
	Height uint64 // of the last of their blocks
}

// Nudge says that something changed at the host that the chain may have to know: prices, endpoints, the session.
// Sent by: host. Answer: none. The reporter looks at once.
type Nudge struct{}

// Used says how much gas all apps have used together, in the units of the metrics. Sent by: host, now and then, if
// Settings.GasUntilReport is set. Answer: none.
type Used struct{ Gas uint64 }

// Status asks how the reporter stands. Sent by: host. Answer: at once.
type Status struct {
	Reply kernel.Reply[inspect.Reporter]
}

// List asks for what apps were paid, in the order of their addresses. Sent by: host. Answer: at most Limit apps, at most 1000.
type List struct {
	After string // address; empty: from the first
	Limit int
	Reply kernel.Reply[Pages]
}

// Pages is a part of a list.
type Pages struct {
	Apps []inspect.Pay
	Next string // After of the next one; empty: there is none
}

// block is what a block has for the reporter. Sent by: the shell.
type block struct {
	chain.Cursor
	at         time.Time   // when it was seen
	challenges []challenge // at most maxChallenges
	pays       []pay
	touched    bool // something in it names the worker
}

// lost is the end of following the chain. Sent by: the shell.
type lost struct{ err error }

// looked is the end of a Look. Sent by: the shell.
type looked struct {
	view View
	err  error
}

// recalled is the end of a Recall: what an earlier host or incarnation has sent, and what it had made and not sent. Sent by: the shell.
type recalled struct {
	open []string
	made []sealed
	err  error
}

// acted is the end of an Act. Sent by: the shell.
type acted struct {
	duty    Duty
	key     string // it is in the outbox; empty: there was nothing to send, and why says what is missing
	why     string
	sn      uint64 // of a score
	session ID     // of a score
	err     error
}

// made is the end of a Make. Sent by: the shell.
type made struct {
	pages  []sealed
	claims map[ID][]uint64 // of all apps that were asked for
	err    error
}

// posted is the end of a Post. Sent by: the shell.
type posted struct {
	key string
	err error
}

// outcome is the end of an Await. Sent by: the shell.
type outcome struct {
	key string
	out Outcome
	err error
}

// tick is the time that goes by. Sent by: a timer.
type tick struct{}

func (ReportNow) reportMessage() {}
func (Nudge) reportMessage()     {}
func (Used) reportMessage()      {}
func (Status) reportMessage()    {}
func (List) reportMessage()      {}
func (block) reportMessage()     {}
func (lost) reportMessage()      {}
func (looked) reportMessage()    {}
func (recalled) reportMessage()  {}
func (acted) reportMessage()     {}
func (made) reportMessage()      {}
func (posted) reportMessage()    {}
func (outcome) reportMessage()   {}
func (tick) reportMessage()      {}

// Failed answers the sender when the message could not be handled.
func (m ReportNow) Failed(err error) { m.Reply.Fail(err) }

// Failed answers the sender when the message could not be handled.
func (m Status) Failed(err error) { m.Reply.Fail(err) }

// Failed answers the sender when the message could not be handled.
func (m List) Failed(err error) { m.Reply.Fail(err) }

// sealed is a report on its way into the outbox.
type sealed struct {
	key     string // names session and number
	session ID
	sn      uint64
	claims  map[ID][]uint64
	call    chain.Call
}

// challenge is a HeartbeatChallenge.
type challenge struct{ seed, target [32]byte } // big-endian

// pay is an event about the payment of a ticket.
type pay struct {
	ticket uint64
	app    ID // zero: the event did not say
	paid   meter.Uint128
	debt   meter.Uint128
	dry    bool // it was not paid, or not wholly
}

// Effect is what the core wants done.
type Effect interface{ reportEffect() }

// The effects. Those that have an answer come back as a message.
type (
	// Watch follows the chain from its head; answered by block messages, and at its end by lost.
	Watch struct{}
	// Look reads what the chain and the worker say of each other; answered by looked. There is one at a time.
	Look struct{}
	// Recall asks what is on its way; answered by recalled.
	Recall struct{}
	// Act does what a duty owes and sends it; answered by acted. There is one at a time for a duty.
	Act struct {
		Duty  Duty
		Key   string // of the call
		View  View
		Above uint64 // a score with a number up to this is of no use
	}
	// Make has reports signed; answered by made. There is one at a time.
	Make struct{ Apps [][32]byte }
	// Post hands a report to the outbox; answered by posted. There is one at a time, so that the order is kept.
	Post struct{ Report sealed }
	// Await waits for the end of a call; answered by outcome.
	Await struct{ Key string }
	// Tell passes on that an app is not paid.
	Tell struct {
		App     ID
		Tickets []uint64
		Why     string
	}
	// Alarm tells that the worker is about to lose its pay; nil: not any more.
	Alarm struct{ Why *fault.Error }
	// Warn writes to the log.
	Warn struct {
		What string
		Err  error
	}
	// Wake has a tick come at a time, in place of the one before.
	Wake struct{ At time.Time }
	// Reply answers a ReportNow.
	Reply struct {
		To      kernel.Reply[Settled]
		Settled Settled
		Err     error
	}
	// Stands answers a Status.
	Stands struct {
		To   kernel.Reply[inspect.Reporter]
		With inspect.Reporter
	}
	// Listed answers a List.
	Listed struct {
		To   kernel.Reply[Pages]
		Page Pages
	}
)

func (Watch) reportEffect()  {}
func (Look) reportEffect()   {}
func (Recall) reportEffect() {}
func (Act) reportEffect()    {}
func (Make) reportEffect()   {}
func (Post) reportEffect()   {}
func (Await) reportEffect()  {}
func (Tell) reportEffect()   {}
func (Alarm) reportEffect()  {}
func (Warn) reportEffect()   {}
func (Wake) reportEffect()   {}
func (Reply) reportEffect()  {}
func (Stands) reportEffect() {}
func (Listed) reportEffect() {}
