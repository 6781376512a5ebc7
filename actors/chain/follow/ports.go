package follow

import (
	"context"
	"errors"

	"github.com/troupehost/troupe/actors/chain"
	"github.com/troupehost/troupe/artifacts/manifest"
)

// Apps is the port to the host's apps. Its methods may block and may be called at the same time for different apps. What they did
// may be asked for again after a restart: it is then no error that it is done.
type Apps interface {
	// List returns all deployed apps but those that an Agent made.
	List(ctx context.Context) ([]App, error)
	// Announce says that an app may be deployed soon: its code is prepared in the background. The code is here.
	Announce(ctx context.Context, m []byte) error
	// Deploy registers an app in the follower's name, with blobs that are here. An app that is there is returned as it is. While no
	// worker session is open it is caller.no_session.
	Deploy(ctx context.Context, m []byte, bench bool) (App, error)
	// Stop ends the instances of an app and begins no other; what it has used stands still from then on, and can be reported.
	Stop(ctx context.Context, address manifest.Address) error
	// Remove ends an app and its session, and gives up its blobs. One that is not there is no error.
	Remove(ctx context.Context, address manifest.Address) error
	// SetBench makes an app the benchmark, or none for the zero address.
	SetBench(ctx context.Context, address manifest.Address) error
}

// App is a deployed app.
type App struct {
	Address manifest.Address
	Session [32]byte
	Mine    bool // the follower deployed it, in this life of the host or another; false: an operator did
	Bench   bool
	Stopped bool // Stop was asked for
}

// Reports is the port to who reports to the chain.
type Reports interface {
	// Settle makes a report of an app and returns when it is settled. busy.* and host.*: it is tried again; anything else: it will
	// never be.
	Settle(ctx context.Context, address manifest.Address) error
}

// Outbox is the port to the chain's outbox.
type Outbox interface {
	// Submit has a call in the outbox, once for a key, and returns when it is in a block that is never undone. It may be asked again
	// with the same key, also after a restart: then it waits for the first one. caller.tx_failed: it is in a block, and failed.
	Submit(ctx context.Context, key string, call chain.Call) error
}

// Sources is the port to what is named by its hash. It verifies all that it returns, asks one source after another, and keeps itself
// how many of its downloads run at a time.
type Sources interface {
	// Manifest returns the encoded manifest of an app.
	Manifest(ctx context.Context, cid string, address manifest.Address) ([]byte, error)
	// Blob has a blob put among the host's own, where it is held for a while; hash is "sha256:…" or "sha512:…", cid may be empty.
	Blob(ctx context.Context, hash, cid string) error
	// Image has the code or the manifest put among the host's own that a compute request names: "sha256:…", "sha512:…", 64 hex digits
	// of a manifest's address, or a CID. It returns a manifest as it is encoded, or the hash of a wasm.
	Image(ctx context.Context, url string) (Image, error)
	// Config returns a configuration of at most 64 KiB by its CID.
	Config(ctx context.Context, cid string) ([]byte, error)
}

// Image is what a compute request wants to run: one of both is set.
type Image struct {
	Manifest []byte
	CodeHash string
}

// Agent is the port to what runs compute requests. Its methods may block, and may be called at the same time for different jobs. For
// a job that it does not know they are caller.not_found.
type Agent interface {
	// Create begins to make an instance and returns its name. A request that has a job already has that one returned, by an agent that
	// knows its requests. An error that is ErrUnknown leaves open whether there is one now.
	Create(ctx context.Context, p Placement) (job string, err error)
	// Find returns the job of a request, caller.not_found if there is none, or ErrUnknown if the agent cannot tell.
	Find(ctx context.Context, request string) (job string, err error)
	Status(ctx context.Context, job string) (Progress, error)
	Stop(ctx context.Context, job string) error
	Boot(ctx context.Context, job string) error
	Reboot(ctx context.Context, job string) error
	// Resize changes how much it may store.
	Resize(ctx context.Context, job string, gb uint32) error
	// Delete ends it for good. What is not there is gone.
	Delete(ctx context.Context, job string) error
	// VNC returns the name of an instance and the port at which it answers.
	VNC(ctx context.Context, job string) (VNC, error)
}

// ErrUnknown is in errors that leave open whether something was done.
var ErrUnknown = errors.New("whether it was done is not known")

// Placement is what an Agent is to make.
type Placement struct {
	Request       string // the number on chain
	PlanID        string
	Owner         string // account
	CPUCores      uint32
	RAMGB         uint32
	StorageGB     uint32
	Inbound       uint64 // bandwidth as the plan says it; 0: not said
	Outbound      uint64
	GPU           bool
	GPUType       string
	SEV           bool
	ImageName     string
	ImageURL      string
	Manifest      []byte // encoded, with the limits above in it; nil for an agent that fetches images itself
	CloudInit     []byte // nil: none
	CloudInitCID  string
	IP            string
	NodeID        string
	WithCloudInit bool
}

// Progress is how far a job is.
type Progress struct {
	State JobState
	Error string // of a failed one
}

// JobState is the state of a job.
type JobState uint8

// The states.
const (
	JobUnknown JobState = iota
	JobPending
	JobInProgress
	JobCompleted
	JobFailed
)

// VNC is where an instance answers.
type VNC struct {
	VMName string
	Port   uint64
}

// Store is the port to what outlives the host. Its methods return when it is on disk.
type Store interface {
	Load(ctx context.Context) (Saved, error)
	SaveCursor(ctx context.Context, genesis chain.Hash, at chain.Cursor) error
	// SavePlaced replaces what there was for the request.
	SavePlaced(ctx context.Context, p Placed) error
	DropPlaced(ctx context.Context, request string) error
}

// Saved is what a Store has. The zero Saved is what a new one has.
type Saved struct {
	Genesis chain.Hash   `json:"genesis"`
	Cursor  chain.Cursor `json:"cursor"` // never undone
	Placed  []Placed     `json:"placed"`
}

// Placed is a compute request that an agent was asked for. It is on disk before the agent is.
type Placed struct {
	Request string     `json:"request"`
	Genesis chain.Hash `json:"genesis"`       // of the chain that has the request
	Job     string     `json:"job,omitempty"` // "": the agent has not answered
	IP      string     `json:"ip,omitempty"`
	VMName  string     `json:"vm_name,omitempty"`
}
