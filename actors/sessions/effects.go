package sessions

import (
	"time"

	"github.com/troupehost/troupe/actors/kernel"
	"github.com/troupehost/troupe/actors/meter"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/artifacts/manifest"
)

// Effect is what a core wants done.
type Effect interface{ sessionsEffect() }

// The effects of the sessions actor. Those that have an answer come back as a message.
type (
	// Load reads the store; answered by loaded.
	Load struct{}
	// TookOver says that a new incarnation goes on with what the store has, whatever the first one was to do.
	TookOver struct{}
	// Forget removes the apps of a session that is not resumed, and the session; answered by forgot.
	Forget struct{ Apps []manifest.Address }
	// SaveSession puts the session on disk; answered by savedSession. There is one at a time.
	SaveSession struct{ Session WorkerSession }
	// SaveApp puts a new app on disk; answered by savedApp.
	SaveApp struct {
		Record Record
		Gen    uint64
	}
	// EraseApp removes an app from the disk; answered by erased. There is one at a time for an app.
	EraseApp struct{ Address manifest.Address }
	// Reload reads what the store has of an app; answered by reloaded.
	Reload struct {
		Address manifest.Address
		Gen     uint64
	}
	// SpawnApp starts the actor of an app, answered by exited when it ends. Begin is its first message.
	SpawnApp struct {
		Setup Setup
		Begin begin
	}
	// StopActor ends it.
	StopActor struct {
		Address manifest.Address
		Gen     uint64
	}
	// ToApp sends to the actor of an app, on the control lane if Control. What is refused is answered with the refusal.
	ToApp struct {
		Address manifest.Address
		Gen     uint64
		Message appMessage
		Control bool
	}
	// Sync has what was noted put on disk; answered by synced.
	Sync struct{ Number uint64 }
	// Head prepares the code of an app that may come; answered by announced.
	Head struct {
		Record   Record
		Manifest *manifest.Manifest
	}
	// Issue answers a Report with pages that lack the nonces of their tokens, which the shell draws.
	Issue struct {
		To    kernel.Reply[[]ReportPage]
		Pages []ReportPage
	}
	// IssueToken answers a NextToken in the same way.
	IssueToken struct {
		To    kernel.Reply[meter.Token]
		Token meter.Token
	}
	// Refuse answers who sent a message with an error.
	Refuse struct {
		Message any
		Err     error
	}
	// Requeue puts a message behind the work that waits.
	Requeue struct{ Message any }
	// WakeAt has a tick sent, in place of one that was to come; the zero time means none.
	WakeAt struct{ At time.Time }
	// Warn tells operators.
	Warn struct {
		Err  error
		What string
	}
)

// The effects of the actor of an app.
type (
	// Prepare has the code prepared; answered by prepared. Those with higher priorities raise those before.
	Prepare struct{ Priority run.Priority }
	// Run runs an instance; answered by up, unless it ends before, and by ended.
	Run struct{ Launch Launch }
	// StopGuest asks an instance to end by itself.
	StopGuest struct{ Instance uint64 }
	// Kill ends an instance.
	Kill struct{ Instance uint64 }
	// Cancel ends a request that has a run of its own.
	Cancel struct{ Request uint64 }
	// Note writes what an app has used; answered by noted. Keys are those of the uses that it has and the one before had not.
	Note struct {
		State Progress
		Keys  []uint64
	}
	// Save puts the app on disk; answered by noted.
	Save struct {
		Record Record
		Keys   []uint64
	}
	// Tell sends to the sessions actor.
	Tell struct{ Message Message }
	// Started, Over and Refused are for the Observer.
	Started struct{}
	// Over is the end of an instance.
	Over struct{ Why string }
	// Refused is a request that was not let in.
	Refused struct{ Code string }
)

// answer gives a reply what it waits for.
type answer[R any] struct {
	to  kernel.Reply[R]
	r   R
	err error
}

func (a answer[R]) give() {
	if a.err != nil {
		a.to.Fail(a.err)
		return
	}
	a.to.Answer(a.r)
}

func (a answer[R]) fail(err error) { a.to.Fail(err) }

func (answer[R]) sessionsEffect()   {}
func (Load) sessionsEffect()        {}
func (TookOver) sessionsEffect()    {}
func (Forget) sessionsEffect()      {}
func (SaveSession) sessionsEffect() {}
func (SaveApp) sessionsEffect()     {}
func (EraseApp) sessionsEffect()    {}
func (Reload) sessionsEffect()      {}
func (SpawnApp) sessionsEffect()    {}
func (StopActor) sessionsEffect()   {}
func (ToApp) sessionsEffect()       {}
func (Sync) sessionsEffect()        {}
func (Head) sessionsEffect()        {}
func (Issue) sessionsEffect()       {}
func (IssueToken) sessionsEffect()  {}
func (Refuse) sessionsEffect()      {}
func (Requeue) sessionsEffect()     {}
func (WakeAt) sessionsEffect()      {}
func (Warn) sessionsEffect()        {}
func (Prepare) sessionsEffect()     {}
func (Run) sessionsEffect()         {}
func (StopGuest) sessionsEffect()   {}
func (Kill) sessionsEffect()        {}
func (Cancel) sessionsEffect()      {}
func (Note) sessionsEffect()        {}
func (Save) sessionsEffect()        {}
func (Tell) sessionsEffect()        {}
func (Started) sessionsEffect()     {}
func (Over) sessionsEffect()        {}
func (Refused) sessionsEffect()     {}
