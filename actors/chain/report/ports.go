package report

import (
	"context"
	"time"

	"github.com/troupehost/troupe/actors/chain"
	"github.com/troupehost/troupe/actors/fault"
)

// ID is the key of a worker, the address of an app, or the id of a session. As text it is 64 hex digits.
type ID = chain.Hash

// Outbox is the port to what carries calls to the chain: in order, at least once, with one effect. Its methods may block.
type Outbox interface {
	// Send takes a call of a duty. It returns when the call is on disk. The same key again is the same call: it is taken once.
	// Reports have room when others have none, and the answer to a challenge goes first.
	//
	// # Errors
	//
	// busy.queue_full, host.disk_*: it is sent again. caller.*: the call can never go.
	Send(ctx context.Context, of Duty, key string, call chain.Call) error
	// Wait returns what became of a call when that is final.
	//
	// # Errors
	//
	// caller.not_found: nothing is known of the key, or no longer. busy.*: it is waited for again.
	Wait(ctx context.Context, key string) (Outcome, error)
	// Open returns the keys with a prefix that wait for their outcome, in the order in which they were sent.
	Open(ctx context.Context, prefix string) ([]string, error)
}

// Outcome is what became of a call.
type Outcome struct {
	Height uint64         // of the block that has it; 0: none
	Error  *chain.TxError // the call failed in its block
	Fault  *fault.Error   // no block will ever have it, and why
}

// Worker is the port to the host, whose worker key and apps the reports are about. Its methods may block.
type Worker interface {
	// Key is the worker's public key, which never changes.
	Key() [32]byte
	// Registration returns what the worker says of itself to the chain with this genesis.
	Registration(ctx context.Context, genesis [32]byte) (Registration, error)
	// Session returns the open worker session, nil if there is none.
	Session(ctx context.Context) (*Session, error)
	// OpenSession opens a new worker session on the nonce that the chain saw last, and returns it. Apps of the one before are
	// removed first: who follows the chain deploys them again. The one that is open is returned if it has this nonce already,
	// unless anew says that its numbers are too low for the chain.
	OpenSession(ctx context.Context, pnonce []byte, anew bool) (*Session, error)
	// Description returns the signed description, as meter.SignDescription does; nil: the worker has none to offer.
	Description(ctx context.Context) ([]byte, error)
	// Endpoints returns where the worker is reached, as meter.SignEndpoints does; no payload: nowhere.
	Endpoints(ctx context.Context) (payload, signature []byte, err error)
	// Report has the worker sign what the apps have used, in pages of at most meter.MaxApps apps, with rising numbers. Apps
	// that are not deployed are left out. Totals go on from one report to the next, so a later one has all that an earlier
	// one of the same session had.
	Report(ctx context.Context, apps [][32]byte) ([]Page, error)
	// Score asks the benchmark app for a score that it signed: meter.SignedMessage.Encode. nil: it has none yet.
	Score(ctx context.Context, as Scoring) ([]byte, error)
	// NodeMetrics measures the node; nil: there is nothing to tell.
	NodeMetrics(ctx context.Context) (*NodeMetrics, error)
}

// NodeMetrics is what a node tells those who assign compute requests. What is 0 is not known.
type NodeMetrics struct {
	CPUModel       string
	CPUCores       uint32
	MemoryMB       uint64
	FreeMemoryMB   uint64 // at most MemoryMB
	StorageMB      uint64
	FreeStorageMB  uint64 // at most StorageMB
	BandwidthMbps  uint32
	Instances      uint32 // that run
	Latency        time.Duration
	Peers          uint32
	Uptime         time.Duration // of the host
	Since          time.Duration // the host was first started
	DowntimeRecent time.Duration
}

// Scoring says what a score is for.
type Scoring uint8

// The uses of a score.
const (
	Initial   Scoring = 1 + iota // it says how fast the worker is
	Heartbeat                    // it answers a challenge
)

// Registration is what a worker says of itself.
type Registration struct {
	Info     []byte // meter.Registration.Encode
	Provider string // of the attestation; empty: there is none
	Report   []byte // that attests Info
}

// Session is the worker session.
type Session struct {
	ID     ID
	PNonce []byte // it was opened on; empty: none
	SN     uint64 // of the newest token, whether a report or a score has it
	Update []byte // meter.SignSessionUpdate of it
}

// Page is a signed report.
type Page struct {
	Session ID
	SN      uint64
	Apps    []ID   // it is about, at most meter.MaxApps
	Signed  []byte // meter.SignReport
}

// Claims is the port to what knows the tickets. It may block.
type Claims interface {
	// ClaimsOf returns the tickets of each app that has any: of the given apps, or of all deployed ones if apps is nil. There
	// are at most three of an app.
	ClaimsOf(ctx context.Context, apps [][32]byte) (map[[32]byte][]uint64, error)
}

// Watcher is told what others have to act on. Its methods must not block.
type Watcher interface {
	// Unpaid says that an app is used without being paid: its tickets are empty.
	Unpaid(app [32]byte, tickets []uint64, why string)
	// Alarm says why the worker is about to lose its pay, and nil when it is not any more.
	Alarm(why *fault.Error)
}
