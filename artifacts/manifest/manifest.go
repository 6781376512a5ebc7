package manifest

import "time"

// Address names an app: the BLAKE2b-256 of its encoded manifest.
type Address [32]byte

// Manifest says how to launch code. Version 1 is the original's, byte for byte; version 2 ends in Terms.
type Manifest struct {
	Version       uint32
	CodeHash      string // "sha256:<hex>" or "sha512:<hex>"
	Args          []string
	Env           []Pair
	OnDemand      bool
	Resizable     bool
	MaxQueryBytes uint32
	Label         string // at most 64 bytes
	Blobs         []Pair // hash, CID
	Terms         *Terms // nil in version 1
}

// Pair is a key with its value, or the hash of a blob with its CID.
type Pair struct{ Key, Value string }

// Terms is what version 2 adds. A zero field means its default.
type Terms struct {
	Limits        Limits
	Entry         Entry
	EntryName     string // of a handler for queries; default "query". HTTP requests go to "http"
	Reuse         Reuse
	Restart       Restart
	Schedule      Schedule
	Weight        uint32        // of the app's share of the processor; default 100, at most 10,000
	QueryTimeout  time.Duration // default 10 s, whole milliseconds
	Queue         uint32        // queries that wait; default 20, at most 4096
	IdleTimeout   time.Duration // of an on-demand instance; default 60 s
	Deterministic bool          // clock and random source; default false: those of the real world
	CanonicalNaNs bool
	// InitOnce has initialisation see a fixed clock and fixed random bytes, so that it is done once and each request begins with what
	// it made; requests see the real world. A program that draws keys or seeds in its initialisation must not set it: they would be
	// known. Not beside Deterministic, which has it anyway.
	InitOnce bool
	Grants   Grants
}

// Limits of a run, or of an instance. Zero means the default of run.Limits; of a service, which lives on, no limit but those of
// memory and stack.
type Limits struct {
	Gas, InitGas             uint64
	CPU, Wall                time.Duration // whole milliseconds
	MemoryBytes, OutputBytes uint64
	StackValues              uint64
}

// Entry is the kind of program.
type Entry uint8

// The kinds.
const (
	Auto    Entry = 0 // by the code: a service if it imports accept, else a command if it exports _start, else a handler
	Command Entry = 1 // WASI command: a run per query or HTTP request, as CGI has it
	Handler Entry = 2 // exports over bytes: a run per query or HTTP request
	Service Entry = 3 // _start runs a loop over accept
)

// Reuse says what requests may share.
type Reuse uint8

// The ways of reuse.
const (
	ByEntry Reuse = 0 // Keep for a service, Reset for others
	Keep    Reuse = 1 // one instance serves all; only of a service
	Reset   Reuse = 2 // each request has an instance of its own, in a worker that is reset
	Process Reuse = 3 // each request has a process of its own
)

// Restart says when a long-running instance that ended is started again.
type Restart struct {
	Policy     RestartPolicy
	MinRun     time.Duration // a run that was shorter is not repeated; default 10 s
	BackoffMin time.Duration // default 1 s, doubles
	BackoffMax time.Duration // default 60 s
	Max        uint32        // restarts in a row without a run of MinRun; 0: MinRun decides
}

// RestartPolicy is when.
type RestartPolicy uint8

// The policies.
const (
	RestartAlways    RestartPolicy = 0
	RestartOnFailure RestartPolicy = 1
	RestartNever     RestartPolicy = 2
)

// Schedule runs an app by the clock. A zero Schedule is none.
type Schedule struct {
	Start    time.Duration // from deployment to the first run
	Period   time.Duration // between starts of runs; 0: one run
	Repeats  uint32        // runs in all; 0 with a period: without end
	Duration time.Duration // a run that takes longer is ended; 0: none
}

// Grants are the capabilities of an app.
type Grants struct {
	HTTP     bool     // reachable under /app/ADDRESS/
	Names    []string // TLS server names
	Egress   []string // "host:port", "*.example.org:443", "10.1.0.0/16:80", ports as "1-65535"; private addresses only by number
	Listen   []Ports
	KVBytes  uint64 // quota of the key-value space; 0: none
	Channels []Capability
	Topics   []Capability
}

// Ports is a range of ports.
type Ports struct{ From, To uint16 }

// Capability is a channel or topic of the tenant, and what the app may do with it: bits of abi.Right...
type Capability struct {
	Name   string
	Rights uint8
}
