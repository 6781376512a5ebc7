package inspect

import "time"

// App is a deployed app.
type App struct {
	Address    string     `json:"address"` // 64 hex digits
	Session    string     `json:"session"`
	Label      string     `json:"label"`
	Tenant     string     `json:"tenant"`
	Version    uint32     `json:"manifest_version"`
	CodeHash   string     `json:"code_hash"`
	Entry      string     `json:"entry"` // command, handler, service
	Reuse      string     `json:"reuse"` // keep, reset, process
	OnDemand   bool       `json:"on_demand"`
	Resizable  bool       `json:"resizable"`
	Bench      bool       `json:"bench,omitempty"`
	State      string     `json:"state"`            // preparing, running, waiting, idle, backoff, scheduled, stopped, failed
	Reason     string     `json:"reason,omitempty"` // why it is not running
	Wanted     uint32     `json:"wanted"`
	Running    uint32     `json:"running"`
	Queued     int        `json:"queued"` // requests that wait
	Active     int        `json:"active"` // requests under way
	Refused    uint64     `json:"refused_total"`
	Restarts   uint64     `json:"restarts"`
	Weight     uint32     `json:"weight"`
	Deployed   time.Time  `json:"deployed"`
	LastEnd    string     `json:"last_end,omitempty"`
	LastEndAt  time.Time  `json:"last_end_at,omitzero"`
	NextAt     time.Time  `json:"next_at,omitzero"` // when it is started next
	LastQuery  time.Time  `json:"last_query,omitzero"`
	Sequence   uint64     `json:"sequence"`
	Scheduled  uint64     `json:"scheduled_runs,omitempty"`
	Complete   uint64     `json:"scheduled_complete,omitempty"`
	TimedOut   uint64     `json:"scheduled_timed_out,omitempty"`
	Skipped    uint64     `json:"scheduled_skipped,omitempty"`
	Instances  []Instance `json:"instances,omitempty"`
	Metrics    AppMetrics `json:"metrics"`
	LogDropped uint64     `json:"log_dropped_bytes,omitempty"`
}

// Instance is one live guest of an app.
type Instance struct {
	ID     uint64    `json:"id"`
	State  string    `json:"state"` // waiting, starting, running, stopping
	Since  time.Time `json:"since"`
	Reason string    `json:"reason,omitempty"`
}

// AppMetrics are the ten metrics of an app session. The last two of storage and memory are decimal numbers of byte-milliseconds.
type AppMetrics struct {
	Address        string `json:"address"`
	Session        string `json:"session"`
	RunningTimeMS  uint64 `json:"running_time_ms"`
	Gas            uint64 `json:"gas_consumed"`
	NetworkIngress uint64 `json:"network_ingress"`
	NetworkEgress  uint64 `json:"network_egress"`
	StorageRead    uint64 `json:"storage_read"`
	StorageWrite   uint64 `json:"storage_write"`
	StorageUsed    string `json:"storage_used_byte_ms"`
	MemoryUsed     string `json:"memory_used_byte_ms"`
	Tip            uint64 `json:"tip"`
	Starts         uint64 `json:"starts"`
}

// Session is the worker session.
type Session struct {
	ID        string    `json:"id,omitempty"` // "": none is open
	WorkerKey string    `json:"worker_key"`
	KeyLocked bool      `json:"key_encrypted"` // at rest
	CNonce    string    `json:"cnonce,omitempty"`
	PNonce    string    `json:"pnonce,omitempty"`
	Recipient string    `json:"recipient,omitempty"`
	SN        uint64    `json:"sn"`
	Opened    time.Time `json:"opened,omitzero"`
	Apps      int       `json:"apps"`
	Slots     int       `json:"slots"`
	SlotsUsed int       `json:"slots_used"`
	Bench     string    `json:"bench_app,omitempty"`
}

// Blob is one content-addressed blob.
type Blob struct {
	Hash   string    `json:"hash"` // "sha256:<hex>" or "sha512:<hex>"
	SHA512 string    `json:"sha512,omitempty"`
	Bytes  int64     `json:"bytes"`
	Since  time.Time `json:"since,omitzero"`
	Apps   []string  `json:"apps,omitempty"` // that need it
}
