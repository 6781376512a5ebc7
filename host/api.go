package host

import (
	"time"

	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/artifacts"
)

// CodeRequest names code to judge or to announce.
type CodeRequest struct {
	// Code is the module, maybe zstd-compressed behind the PVF magic prefix. The host copies it.
	Code []byte
	// CodeHash names code that the host knows already, instead of Code.
	CodeHash string
	// Tenant owns the request. Default: Config.Tenant.
	Tenant string
	// Priority of the preparation. Default: Normal for Precheck, Background for HeadsUp.
	Priority run.Priority
	// CPU is the budget of the preparation. Default: Config.PrecheckCPU for Precheck, Config.PrepareCPU for HeadsUp.
	// Range: 1 ms to Config.PrepareCPU.
	CPU time.Duration
	// Imports is the policy for imports that the host does not offer. Default: RefuseMissing.
	Imports run.Imports
	// CanonicalNaNs chooses the artifact; see Request. Warm takes none.
	CanonicalNaNs bool
}

// Judgement is the verdict on code. Its JSON form is a contract: fields are added, never renamed.
type Judgement struct {
	Verdict       string           `json:"verdict"` // "ok" or a fault class
	Fault         string           `json:"fault"`   // dotted code, "" if ok
	Message       string           `json:"message,omitempty"`
	Hint          string           `json:"hint,omitempty"`
	CodeHash      string           `json:"code_hash"`
	Artifact      string           `json:"artifact"`
	Cache         string           `json:"cache"`  // "hit" or "miss"
	Stored        bool             `json:"stored"` // the artifact is on disk; false: it is lost when the host ends
	Module        artifacts.Module `json:"module"`
	ArtifactBytes int64            `json:"artifact_bytes"`
	PrepareCPU    int64            `json:"prepare_cpu_us"`
	PrepareWall   int64            `json:"prepare_wall_us"`
	PrepareRSS    int64            `json:"prepare_peak_rss_bytes"`
}

// PruneReport says what a look at size and age did.
type PruneReport struct {
	Removed      int   `json:"removed"`
	RemovedBytes int64 `json:"removed_bytes"`
	KeptBytes    int64 `json:"kept_bytes"`
	OverLimit    bool  `json:"over_limit"` // what is in use or pinned alone exceeds the limit
}
