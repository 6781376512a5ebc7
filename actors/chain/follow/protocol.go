package follow

import (
	"time"

	"github.com/troupehost/troupe/actors/chain"
	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/actors/kernel"
	"github.com/troupehost/troupe/artifacts/manifest"
)

// Message is what the follower receives.
type Message interface{ followMessage() }

// Claims asks which tickets pay for apps.
// Sent by: who reports. Answer: per app that has any, at most MaxClaims of its tickets: those that close first, then the oldest;
// busy.chain before all tickets are read, since an app that seems to have none would be taken for one that owes nothing.
// Races: a ticket may be closed before the report is there. Limits: the apps that were asked for.
type Claims struct {
	Addresses []manifest.Address
	Reply     kernel.Reply[map[manifest.Address][]uint64]
}

// Unpaid says that a ticket of an app could not pay all.
// Sent by: who reports. Answer: none. Races: none: the tickets of the app are read again.
type Unpaid struct{ Address manifest.Address }

// Changed says that the host's apps changed by themselves: a session was opened, or an operator removed one.
// Sent by: the host. Answer: none. Races: none: the apps are listed again, which happens without it too, later.
type Changed struct{}

// Adopt says that the chain with this genesis takes the place of the one that was followed before.
// Sent by: the host, when its operator says so. Answer: none. Races: none: it holds until that chain is there.
type Adopt struct{ Genesis chain.Hash }

// List asks for demands in the order of their ids. Sent by: host. Answer: at most Limit of them.
type List struct {
	After string // ID of the last one of the page before
	Limit int    // default and most: 1000
	Reply kernel.Reply[Page]
}

// Page is a part of a list.
type Page struct {
	Demands []inspect.Demand
	Next    string // After of the next page; empty: there is none
}

// Status asks how far it is. Sent by: host. Answer: that.
type Status struct {
	Reply kernel.Reply[inspect.Follower]
}

// loaded is what the store has. Sent by: the shell.
type loaded struct {
	saved Saved
	err   error
}

// met is the chain that answers. Sent by: the shell, as the answer to Meet.
type met struct {
	info chain.Info
	err  error
}

// seen is a block of the chain, or the end of following. Sent by: the shell, in order. Answer: when the next one may come.
// Races: one of an earlier Follow is not heeded.
type seen struct {
	run   uint64
	block chain.Block
	reply kernel.Reply[struct{}]
}

// lost says that following has ended. Sent by: the shell, once per Follow.
type lost struct {
	run uint64
	err error
}

// answered is the end of a Read. Sent by: the shell.
type answered struct {
	read  Read
	value any // as the kind of the read has it
	err   error
}

// acted is the end of an action. Sent by: the shell.
type acted struct {
	id    uint64
	value any // as the action has it
	err   error
}

// stored is the end of a SaveCursor. Sent by: the shell.
type stored struct{ err error }

// tick is the time that goes by. Sent by: a timer.
type tick struct{}

func (Claims) followMessage()   {}
func (Unpaid) followMessage()   {}
func (Changed) followMessage()  {}
func (Adopt) followMessage()    {}
func (List) followMessage()     {}
func (Status) followMessage()   {}
func (loaded) followMessage()   {}
func (met) followMessage()      {}
func (seen) followMessage()     {}
func (lost) followMessage()     {}
func (answered) followMessage() {}
func (acted) followMessage()    {}
func (stored) followMessage()   {}
func (tick) followMessage()     {}

// Failed answers the sender when the message could not be handled.
func (m Claims) Failed(err error) { m.Reply.Fail(err) }

// Failed answers the sender when the message could not be handled.
func (m List) Failed(err error) { m.Reply.Fail(err) }

// Failed answers the sender when the message could not be handled.
func (m Status) Failed(err error) { m.Reply.Fail(err) }

// Failed answers the sender when the message could not be handled.
func (m seen) Failed(err error) { m.reply.Fail(err) }

// Effect is what the core wants done.
type Effect interface{ followEffect() }

// The effects. Those that have an answer come back as a message.
type (
	// Load reads the store; answered by loaded.
	Load struct{}
	// Meet asks which chain it is; answered by met.
	Meet struct{}
	// Follow follows the chain; answered by seen and lost, which bear the number of the run. There is one at a time.
	Follow struct {
		Run   uint64
		After chain.Cursor
	}
	// Unfollow ends the run, which is answered by lost all the same.
	Unfollow struct{}
	// Ask has a question answered by the chain, by answered.
	Ask struct{ Read Read }
	// SaveCursor keeps how far all is done; answered by stored. There is one at a time.
	SaveCursor struct {
		Genesis chain.Hash
		At      chain.Cursor
	}
	// Act has something done; answered by acted.
	Act struct {
		ID     uint64
		Action Action
	}
	// Wake has a tick sent.
	Wake struct{ After time.Duration }
	// Claimed answers Claims.
	Claimed struct {
		To     kernel.Reply[map[manifest.Address][]uint64]
		Claims map[manifest.Address][]uint64
		Err    error
	}
	// Listed answers List.
	Listed struct {
		To   kernel.Reply[Page]
		Page Page
	}
	// Stated answers Status.
	Stated struct {
		To       kernel.Reply[inspect.Follower]
		Follower inspect.Follower
	}
	// Taken says that the next block may come.
	Taken struct{ To kernel.Reply[struct{}] }
)

func (Load) followEffect()       {}
func (Meet) followEffect()       {}
func (Follow) followEffect()     {}
func (Unfollow) followEffect()   {}
func (Ask) followEffect()        {}
func (SaveCursor) followEffect() {}
func (Act) followEffect()        {}
func (Wake) followEffect()       {}
func (Claimed) followEffect()    {}
func (Listed) followEffect()     {}
func (Stated) followEffect()     {}
func (Taken) followEffect()      {}

// Action is what is done beside the actor.
type Action interface{ followAction() }

// The actions, and the values of their ends. Those without one have nil.
type (
	ListApps      struct{} // []App
	FetchManifest struct { // []byte
		CID     string
		Address manifest.Address
	}
	FetchBlob struct{ Hash, CID string }
	Announce  struct{ Manifest []byte }
	Deploy    struct { // App
		Manifest []byte
		Bench    bool
	}
	Stop     struct{ Address manifest.Address }
	Settle   struct{ Address manifest.Address }
	Remove   struct{ Address manifest.Address }
	SetBench struct{ Address manifest.Address }

	FetchImage  struct{ URL string } // Image
	FetchConfig struct{ CID string } // []byte
	Place       struct {             // string: the job; on disk before and after
		Placed    Placed
		Placement Placement
	}
	FindJob   struct{ Placed Placed } // string
	JobStatus struct{ Job string }    // Progress
	JobVNC    struct{ Job string }    // VNC
	JobDo     struct {                // Kind is one of stop, boot, reboot, resize, delete
		Job  string
		Kind string
		GB   uint32
	}
	ForgetPlaced struct{ Request string }
	SavePlaced   struct{ Placed Placed }
	Submit       struct {
		Key  string
		Call chain.Call
	}
)

func (ListApps) followAction()      {}
func (FetchManifest) followAction() {}
func (FetchBlob) followAction()     {}
func (Announce) followAction()      {}
func (Deploy) followAction()        {}
func (Stop) followAction()          {}
func (Settle) followAction()        {}
func (Remove) followAction()        {}
func (SetBench) followAction()      {}
func (FetchImage) followAction()    {}
func (FetchConfig) followAction()   {}
func (Place) followAction()         {}
func (FindJob) followAction()       {}
func (JobStatus) followAction()     {}
func (JobVNC) followAction()        {}
func (JobDo) followAction()         {}
func (ForgetPlaced) followAction()  {}
func (SavePlaced) followAction()    {}
func (Submit) followAction()        {}
