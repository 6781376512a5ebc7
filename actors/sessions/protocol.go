package sessions

import (
	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/actors/kernel"
	"github.com/troupehost/troupe/actors/meter"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/artifacts/manifest"
)

// Message is what the sessions actor receives.
type Message interface{ sessionsMessage() }

// appMessage is what the actor of an app receives. A message that is both goes through the sessions actor to the app, and is
// answered by the app.
type appMessage interface{ appMessage() }

// OpenSession makes a new worker session: its id is the BLAKE2b-256 of a random number and PNonce, and reports count from 1.
// Sent by: host. Answer: the session, when it is on disk; with Resume the open one, if there is one; caller.session_in_use
// while apps are deployed, caller.invalid_request, host.disk_*. Races: two at a time make one session. Limits: 64 bytes of
// nonce, 32 of recipient.
type OpenSession struct {
	PNonce, Recipient []byte
	Resume            bool
	Reply             kernel.Reply[WorkerSession]
	cnonce            [32]byte // by the shell
}

// Session asks for the worker session. Sent by: host. Answer: a view; its Open is nil if there is none.
type Session struct{ Reply kernel.Reply[SessionView] }

// SessionView is the worker session with its apps.
type SessionView struct {
	Open             *WorkerSession
	Apps             int
	Slots, SlotsUsed int
	Requests         int // under way and waiting
	Bench            manifest.Address
	HasBench         bool
}

// Deploy makes an app. The sender has validated the manifest, resolved entry and reuse, and seen that the blobs are there.
// Sent by: host, with a random Record.Session: the same one again is the same deployment. Answer: the app, when it is on disk
// and it is known whether there are slots for it; caller.no_session, caller.app_exists, caller.conflict for a second
// benchmark app, caller.quota, busy.draining, host.disk_*. After an error it is not there. Races: two of one address at a
// time make one app. Limits: Limits.Apps.
//
// The code is prepared as normal work, that of the benchmark app in the background.
type Deploy struct {
	Record   Record
	Manifest *manifest.Manifest
	Reply    kernel.Reply[Standing]
}

// Standing is how an app stands after a change.
type Standing struct {
	Record  Record
	Running uint32 // instances that have a slot and go on: running, or about to
	Wanted  uint32
	State   string // as in inspect.App
	Reason  string
}

// Announce is a heads-up: an app may come, and its code is prepared in the background.
// Sent by: host, when it sees a manifest or when the chain reporter tells it of a ticket. Answer: at once, without a wait for
// the preparation; busy.queue_full. Passed on: as Guests.Prepare with the priority Background, which the host gives to cache,
// and cache to prepare. Later calls for the same code raise that one: Normal by Deploy and by a schedule that is near, High by
// Enter, any by RaiseApp. Limits: Limits.Announced.
type Announce struct {
	Record   Record // without Session and Sequence
	Manifest *manifest.Manifest
	Reply    kernel.Reply[struct{}]
}

// Start has a long-running app run: at least one instance, or its schedule. Sent by: host. Answer: when the wish is on disk
// and it is known whether there is a slot; caller.not_found, caller.app_state for an on-demand app.
type Start struct {
	Address manifest.Address
	Reply   kernel.Reply[Standing]
}

// Stop ends the instances and requests of an app. A long-running one stays stopped, and with Hold one that is on demand, too.
// Sent by: host. Answer: when they are gone, after Limits.Grace and what a kill takes; caller.not_found. Races: a later Start
// answers it at once.
type Stop struct {
	Address manifest.Address
	Reply   kernel.Reply[Standing]
	Hold    bool
}

// Resize sets how many instances a long-running app has; 0 is Stop.
// Sent by: host. Answer: as for Start, with the number that have a slot; caller.app_state without any change for more than one
// of an app that is not resizable, and for an on-demand app. Limits: 4096.
type Resize struct {
	Address   manifest.Address
	Instances uint32
	Reply     kernel.Reply[Standing]
}

// Remove ends an app and its session.
// Sent by: host. Answer: its last metrics, when its instances are gone, the store has forgotten it and its address is free;
// caller.not_found, host.disk_* with the app stopped but still there. Races: several are answered together; after a restart
// of the actor it may find the app gone. Enter is refused from the moment it comes.
type Remove struct {
	Address manifest.Address
	Reply   kernel.Reply[meter.Metrics]
}

// RemoveAll is Remove of all apps that are there. Sent by: host. Answer: how many are gone; the first error, if one is not.
type RemoveAll struct{ Reply kernel.Reply[int] }

// SetBench chooses the benchmark app, whose instances fill slots that nobody else wants, and gives it a number of instances.
// Sent by: host. Answer: when it is on disk; caller.not_found, caller.app_state for an on-demand app or more than one instance
// of one that is not resizable. None: no app is it any more. The app that was it before goes on as an ordinary one.
type SetBench struct {
	Address   manifest.Address
	None      bool
	Instances uint32
	Reply     kernel.Reply[Standing]
}

// RaiseApp raises the preparation of an app's code. Sent by: host. Answer: when it is passed on; caller.not_found. It never
// lowers, and is nothing for code that is prepared.
type RaiseApp struct {
	Address  manifest.Address
	Priority run.Priority
	Reply    kernel.Reply[struct{}]
}

// List asks for apps in the order of their deployment. Sent by: host. Answer: at most Limit apps whose Sequence is above
// After. Limits: 1000 a page, Limits.Gathers at a time.
type List struct {
	After  uint64
	Limit  int
	Tenant string // empty: all
	Reply  kernel.Reply[Page]
}

// Page is a part of a list.
type Page struct {
	Apps []inspect.App
	Next uint64 // After of the next page; 0: there is none
}

// Show asks for one app. Sent by: host. Answer: the app with its instances, or caller.not_found.
type Show struct {
	Address manifest.Address
	Reply   kernel.Reply[inspect.App]
}

// Enter lets a request into an app.
// Sent by: host, for each query, HTTP request or connection, with an ID that is unique in the life of the host. Answer: where
// it goes, when it may go; busy.app_queue_full when as many wait as may, busy.no_slot when it waited for its query timeout,
// busy.queue_full at Limits.Requests, guest.not_serving when the instance it waited for ended, caller.not_found,
// caller.app_state for an app that is stopped or takes no requests, canceled.caller_left after Leave.
// Afterwards: one Leave, whatever the answer was. Races: Leave may overtake it. Limits: Limits.Active and the manifest's Queue
// for each app.
type Enter struct {
	Address manifest.Address
	ID      uint64
	Kind    uint32 // abi.Event...
	Reply   kernel.Reply[Admission]
}

// Admission is where a request goes.
type Admission struct {
	Record   Record
	Manifest *manifest.Manifest
	Instance uint64 // that takes it; 0: it is a run of its own
}

// Leave says that a request is over or its caller gone.
// Sent by: host, once for each Enter, on the control lane. Answer: none; an Enter that waits is answered. Races: it may
// overtake the Enter; then it goes behind all work once.
type Leave struct {
	Address manifest.Address
	ID      uint64
	again   bool
}

// Use adds what a run or an instance used to the totals of its app.
// Sent by: host, before the reply of a request leaves it. Answer: when it is written, so that it survives the end of the
// process; caller.not_found, host.disk_*. After an error it counts or not; sent again with the same Key, it counts once.
// Starts is what the sender counts, 1 for a request that had a run of its own; the starts and the running time of instances
// are counted here. Races: it may come after the end of its instance. Limits: the newest 4096 keys are remembered.
type Use struct {
	Address manifest.Address
	Key     uint64 // unique in the life of the host; 0: none
	Use     meter.Use
	Reply   kernel.Reply[struct{}]
}

// Report asks for totals to sign.
// Sent by: host. Answer: the totals of the apps, all if Addresses is nil, in the order of their deployment, at most
// meter.MaxApps on a page, each page with a token of its own, when totals and tokens are on disk; caller.no_session,
// caller.not_found, busy.queue_full, host.disk_*. An app that is removed meanwhile is left out: Remove has its last totals.
// With no app at all there is one page without apps. Limits: Limits.Gathers at a time.
type Report struct {
	Addresses []manifest.Address
	Reply     kernel.Reply[[]ReportPage]
}

// ReportPage is what one signature covers.
type ReportPage struct {
	Token meter.Token
	Apps  []meter.Metrics
}

// NextToken asks for a token. Sent by: host. Answer: the token, when its number is on disk; caller.no_session, host.disk_*.
// Tokens that are asked for at the same time share a write. Limits: Limits.Gathers at a time.
type NextToken struct{ Reply kernel.Reply[meter.Token] }

// Drain ends all instances and lets nothing in any more; what is wanted stays wanted.
// Requests that are under way have Limits.Grace to end. Sent by: host, on the control lane, when it stops. Answer: when the instances are gone and all totals are on disk.
type Drain struct{ Reply kernel.Reply[struct{}] }

// loaded is what the store has. Sent by: the shell, once per incarnation, and again after an error.
type loaded struct {
	saved Saved
	err   error
}

// forgot says that the apps of a session that is not resumed are gone. Sent by: the shell.
type forgot struct{ err error }

// savedSession is the end of a SaveSession. Sent by: the shell.
type savedSession struct{ err error }

// savedApp is the end of the first SaveApp of an app. Sent by: the shell.
type savedApp struct {
	address manifest.Address
	gen     uint64
	err     error
}

// erased is the end of an EraseApp. Sent by: the shell.
type erased struct {
	address manifest.Address
	err     error
}

// reloaded is what the store has of an app whose actor failed. Sent by: the shell.
type reloaded struct {
	address manifest.Address
	gen     uint64
	record  Record
	found   bool
	err     error
}

// exited is the end of an app's actor. Sent by: the kernel.
type exited struct {
	name string
	err  error
}

// wants says how many more slots an app could use. Sent by: app-ADDRESS, when that changed. Races: a grant may be on its way;
// granted says how many have arrived, so that it is counted once.
type wants struct {
	from    origin
	more    int
	granted uint64
}

// freed gives slots back. Sent by: app-ADDRESS, when an instance is gone, or when a grant came too late.
type freed struct {
	from origin
	n    int
}

// told is one app's part of an answer. Sent by: app-ADDRESS, once for each tell.
type told struct {
	from    origin
	gather  uint64
	view    inspect.App
	metrics meter.Metrics
	err     error
}

// emptied says that an app has nothing left: its instances are gone, its totals written. Sent by: app-ADDRESS, after finish.
type emptied struct {
	from    origin
	metrics meter.Metrics
}

// origin is the actor of an app that a message came from. One that has been replaced means nothing any more.
type origin struct {
	address manifest.Address
	gen     uint64
}

// dirtied says that something was written without a wait for the disk. Sent by: the shell, once for each Sync.
type dirtied struct{}

// synced is the end of a Sync. Sent by: the shell.
type synced struct {
	number uint64
	err    error
}

// announced is the end of an announced preparation. Sent by: the shell.
type announced struct{}

// tick is the time that goes by. Sent by: a timer.
type tick struct{}

// begin is the first message of an app's actor. Sent by: sessions. reply is of the Deploy, if there was one.
type begin struct {
	fresh bool // it was deployed just now
	reply kernel.Reply[Standing]
}

// grant is a slot. Sent by: sessions.
type grant struct{ instance uint64 }

// scarce says that there is no slot for now. Sent by: sessions, in answer to wants.
type scarce struct{}

// yield has the newest instance of the benchmark app killed. Sent by: sessions, when another app wants its slot.
type yield struct{}

// pressed says whether apps wait for slots while all are taken: then an instance that a request started, and that is idle, ends
// at once. Sent by: sessions, to those that have slots, when it changes.
type pressed struct{ on bool }

// finish ends all that an app does, for good. Sent by: sessions, on Remove. Answer: emptied.
type finish struct{}

// unfinish takes finish back: the store could not forget the app. Sent by: sessions.
type unfinish struct{}

// setBench makes an app the benchmark app, or an ordinary one. Sent by: sessions.
type setBench struct {
	bench     bool
	instances uint32
	reply     kernel.Reply[Standing]
}

// tell asks an app for its part of an answer. Sent by: sessions. Answer: told.
type tell struct {
	gather uint64
	what   what
}

// prepared is the end of a Prepare. Sent by: the shell.
type prepared struct {
	priority run.Priority
	err      error
}

// up says that a worker has the instance. Sent by: the shell.
type up struct{ instance uint64 }

// ended is the end of an instance. Sent by: the shell, once for each Run.
type ended struct {
	instance uint64
	how      Ended
}

// noted is the end of a Note or of a SaveApp. Sent by: the shell. There is one at a time for an app.
type noted struct{ err error }

func (OpenSession) sessionsMessage()  {}
func (Session) sessionsMessage()      {}
func (Deploy) sessionsMessage()       {}
func (Announce) sessionsMessage()     {}
func (Start) sessionsMessage()        {}
func (Stop) sessionsMessage()         {}
func (Resize) sessionsMessage()       {}
func (Remove) sessionsMessage()       {}
func (RemoveAll) sessionsMessage()    {}
func (SetBench) sessionsMessage()     {}
func (RaiseApp) sessionsMessage()     {}
func (List) sessionsMessage()         {}
func (Show) sessionsMessage()         {}
func (Enter) sessionsMessage()        {}
func (Leave) sessionsMessage()        {}
func (Use) sessionsMessage()          {}
func (Report) sessionsMessage()       {}
func (NextToken) sessionsMessage()    {}
func (Drain) sessionsMessage()        {}
func (loaded) sessionsMessage()       {}
func (forgot) sessionsMessage()       {}
func (savedSession) sessionsMessage() {}
func (savedApp) sessionsMessage()     {}
func (erased) sessionsMessage()       {}
func (reloaded) sessionsMessage()     {}
func (exited) sessionsMessage()       {}
func (wants) sessionsMessage()        {}
func (freed) sessionsMessage()        {}
func (told) sessionsMessage()         {}
func (emptied) sessionsMessage()      {}
func (dirtied) sessionsMessage()      {}
func (synced) sessionsMessage()       {}
func (announced) sessionsMessage()    {}
func (tick) sessionsMessage()         {}

func (Start) appMessage()    {}
func (Stop) appMessage()     {}
func (Resize) appMessage()   {}
func (RaiseApp) appMessage() {}
func (Show) appMessage()     {}
func (Enter) appMessage()    {}
func (Leave) appMessage()    {}
func (Use) appMessage()      {}
func (begin) appMessage()    {}
func (grant) appMessage()    {}
func (scarce) appMessage()   {}
func (yield) appMessage()    {}
func (pressed) appMessage()  {}
func (finish) appMessage()   {}
func (unfinish) appMessage() {}
func (setBench) appMessage() {}
func (tell) appMessage()     {}
func (prepared) appMessage() {}
func (up) appMessage()       {}
func (ended) appMessage()    {}
func (noted) appMessage()    {}
func (tick) appMessage()     {}

// Failed answers the sender when the message could not be handled.
func (m OpenSession) Failed(err error) { m.Reply.Fail(err) }

// Failed answers the sender when the message could not be handled.
func (m Session) Failed(err error) { m.Reply.Fail(err) }

// Failed answers the sender when the message could not be handled.
func (m Deploy) Failed(err error) { m.Reply.Fail(err) }

// Failed answers the sender when the message could not be handled.
func (m Announce) Failed(err error) { m.Reply.Fail(err) }

// Failed answers the sender when the message could not be handled.
func (m Start) Failed(err error) { m.Reply.Fail(err) }

// Failed answers the sender when the message could not be handled.
func (m Stop) Failed(err error) { m.Reply.Fail(err) }

// Failed answers the sender when the message could not be handled.
func (m Resize) Failed(err error) { m.Reply.Fail(err) }

// Failed answers the sender when the message could not be handled.
func (m Remove) Failed(err error) { m.Reply.Fail(err) }

// Failed answers the sender when the message could not be handled.
func (m RemoveAll) Failed(err error) { m.Reply.Fail(err) }

// Failed answers the sender when the message could not be handled.
func (m SetBench) Failed(err error) { m.Reply.Fail(err) }

// Failed answers the sender when the message could not be handled.
func (m RaiseApp) Failed(err error) { m.Reply.Fail(err) }

// Failed answers the sender when the message could not be handled.
func (m List) Failed(err error) { m.Reply.Fail(err) }

// Failed answers the sender when the message could not be handled.
func (m Show) Failed(err error) { m.Reply.Fail(err) }

// Failed answers the sender when the message could not be handled.
func (m Enter) Failed(err error) { m.Reply.Fail(err) }

// Failed answers the sender when the message could not be handled.
func (m Use) Failed(err error) { m.Reply.Fail(err) }

// Failed answers the sender when the message could not be handled.
func (m Report) Failed(err error) { m.Reply.Fail(err) }

// Failed answers the sender when the message could not be handled.
func (m NextToken) Failed(err error) { m.Reply.Fail(err) }

// Failed answers the sender when the message could not be handled.
func (m Drain) Failed(err error) { m.Reply.Fail(err) }

// Failed answers the sender when the message could not be handled.
func (m begin) Failed(err error) { m.reply.Fail(err) }

// Failed answers the sender when the message could not be handled.
func (m setBench) Failed(err error) { m.reply.Fail(err) }
