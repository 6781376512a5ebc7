package sessions

import (
	"context"
	"time"

	"github.com/troupehost/troupe/actors/meter"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/artifacts/manifest"
)

// Saved is what a store has.
type Saved struct {
	Session *WorkerSession // nil: none was opened
	Apps    []Record
}

// WorkerSession is the identity of the host from its opening to the next one.
type WorkerSession struct {
	ID        [32]byte // BLAKE2b-256 of cnonce and pnonce
	CNonce    [32]byte
	PNonce    []byte // at most 64 bytes
	Recipient []byte // at most 32 bytes
	SN        uint64 // of the last report or token
	Opened    time.Time
}

// Record is a deployed app as it is kept.
type Record struct {
	Address  manifest.Address
	Session  [32]byte
	Manifest []byte // encoded
	Config   []byte // for the guest
	Tenant   string
	Deployed time.Time
	Sequence uint64         // of deployments: the order of lists
	Reuse    manifest.Reuse // resolved
	Entry    manifest.Entry // resolved
	Wanted   uint32         // instances; 0: stopped
	Bench    bool
	Held     bool // it is on demand, and takes no requests before a Start
	State    Progress
}

// Progress is what changes while an app runs, and is written without a wait for the disk.
type Progress struct {
	Totals   meter.Metrics
	GasRest  uint64    // of Totals.Gas: units that do not make a whole one
	Runs     uint64    // of its schedule: begun
	Complete uint64    // of its schedule: ended well. A deployment may begin with a number
	TimedOut uint64    // of its schedule: ended since they took longer than they may
	Skipped  uint64    // of its schedule: not begun, since too many were under way
	LastEnd  string    // why the last instance ended
	LastAt   time.Time // when
	Restarts uint64
}

// Store keeps what must survive. Save and Remove are on disk when they return; what Note wrote survives the end of the process
// when it returns, and the end of the machine after Sync.
type Store interface {
	Load(ctx context.Context) (Saved, error)
	SaveSession(ctx context.Context, s WorkerSession) error
	SaveApp(ctx context.Context, r Record) error
	RemoveApp(ctx context.Context, a manifest.Address) error
	Note(ctx context.Context, a manifest.Address, p Progress) error
	Sync(ctx context.Context) error
}

// Launch is one instance to run.
type Launch struct {
	Instance uint64 // unique in the life of a host
	App      Record
	Manifest *manifest.Manifest
	Priority run.Priority // of the preparation, should it be needed
	Until    time.Time    // zero: no limit of time. The actors end what is scheduled themselves, by the end of ctx
}

// Ended is how an instance ended.
type Ended struct {
	Outcome run.Outcome
	Stopped bool // it was asked to
}

// Guests does what the actors decide. All calls come from goroutines of the shell.
type Guests interface {
	// Prepare has code prepared, and returns when it is or cannot be. Calls with higher priorities raise those before.
	Prepare(ctx context.Context, r Record, m *manifest.Manifest, p run.Priority) error
	// Run runs an instance to its end. up is called at most once, when its worker has it. The end of ctx kills it.
	Run(ctx context.Context, l Launch, up func()) Ended
	// Stop asks an instance to end by itself: accept says ErrEOF.
	Stop(instance uint64)
}

// Observer is told what happens. It must not block.
type Observer interface {
	InstanceStarted(a manifest.Address)
	InstanceEnded(a manifest.Address, why string)
	Refused(a manifest.Address, code string)
}
