package run

import (
	"encoding/base64"
	"encoding/json"
	"time"
	"unicode/utf8"

	"github.com/troupehost/troupe/actors/fault"
)

// Usage is what one run used, as the host measured it; a worker's own word is used for the memory peak and the
// gas only, which are bounded by the limits.
type Usage struct {
	CPU             time.Duration // CPU time of the worker process during the run (user + system)
	Wall            time.Duration // from assignment to reply
	MemoryPeakBytes *int64        // linear memory; nil: unknown, since the worker did not live to tell
	GasUsed         *int64        // of the run, initialisation apart; never more than its limit. nil: as above
	InitGas         *int64        // of initialisation
}

// Outcome is how a run ended: what a worker shell reports to the execute actor.
type Outcome struct {
	Fault     *fault.Error // nil: verdict ok
	GuestExit int32        // exit code of a WASI command; valid if Exited
	Exited    bool
	Result    []byte // decimal numbers joined by a space (Invoke) or the returned bytes (Bytes)
	Stdout    []byte // captured output, unless it was streamed to the caller
	Stderr    []byte
	Delivered int64 // output bytes that reached the caller while the run was going on; a retry is only possible at 0
	Usage     Usage
	Sandbox   string // the layers that held for this run, joined by "+"
	Clock     string // which clock ended it: ClockHost, ClockWorker or ClockWall; "" for none
	NotBegun  bool   // no worker began it: it can be done elsewhere, and says nothing of its code
	Retired   string // why its worker ended in good order after it: RetiredUsed or RetiredRecycled; "" if it did not

	AnsweredAt time.Time // when the worker's answer was read, or its end was seen; zero: it had no run
	Trail      Trail     // from its place in the queue to its verdict; nil if it passed by the queue
}

// Why a worker ends after a run that is not to blame.
const (
	RetiredUsed     = "used"     // each run has a process of its own
	RetiredRecycled = "recycled" // the CPU time of its life comes near the limit that the operating system holds it to
)

// The clocks that end runs and preparations. Whichever strikes, what a job used is judged by the account that the operating
// system keeps of its process.
const (
	ClockHost   = "host"   // the host saw the CPU clock of the process reach the limit
	ClockWorker = "worker" // the worker ended itself, by its own clock of CPU time or of time
	ClockWall   = "wall"   // the host saw the wall limit pass
)

// Receipt is what a run used and how it ended. The JSON form is a contract: fields are added, never renamed. A host knows
// all but what a worker that died could have told: gas and memory. Who did not wait for its answer knows only the code.
type Receipt struct {
	Verdict         string `json:"verdict"`           // "ok" or a fault class
	Fault           string `json:"fault"`             // dotted code, "" if ok
	Message         string `json:"message,omitempty"` // the fault in words
	Hint            string `json:"hint,omitempty"`    // what to do about it
	GuestExit       *int32 `json:"guest_exit"`        // exit code of a WASI command, else null
	Result          Blob   `json:"result"`            // see Outcome.Result; null if there is none
	Stdout          Blob   `json:"stdout"`            // captured output; null if it was streamed
	Stderr          Blob   `json:"stderr"`            //
	GasUsed         *int64 `json:"gas_used"`          // initialisation apart, at most its limit; null: unknown, since the worker did not live to tell
	InitGas         *int64 `json:"init_gas"`          // of initialisation; null: unknown
	GasTable        string `json:"gas_table"`         // version of the gas table: of the weights, a dot, of the charges for host calls; "" is unknown
	NaN             string `json:"nan"`               // "default" or "canonical"; "" is unknown
	Clock           string `json:"clock"`             // "deterministic" or "real"; "" is unknown
	Random          string `json:"random"`            // "deterministic" or "real"; "" is unknown
	CPUMicros       *int64 `json:"cpu_us"`            // CPU time of the worker process, by the host's reading; null: unknown
	WallMicros      *int64 `json:"wall_us"`           // from assignment to reply; null: unknown
	MemoryPeakBytes *int64 `json:"memory_peak_bytes"` // linear memory; null: unknown, since the worker did not live to tell
	Cache           string `json:"cache"`             // "hit" or "miss"; "" is unknown
	CodeHash        string `json:"code_hash"`         // SHA-256 of the code as given, hex
	Artifact        string `json:"artifact"`          // artifact key, hex; "" is unknown
	Params          string `json:"params"`            // hash of what changes the run and not the artifact, see Params; "" is unknown
	Sandbox         string `json:"sandbox"`           // the layers that held, joined by "+"
	Attempts        *int   `json:"attempts"`          // 1, or 2 after a suspect run was repeated; null: unknown
	Repeated        bool   `json:"repeated"`          // the verdict is suspect, and was so on a fresh worker too
	Counted         bool   `json:"counted"`           // a repeated suspect that counts against the code; see host.Config.ForgiveSuspects
}

// Blob is bytes that print as a JSON string if they are UTF-8, else as {"base64": "..."}; nil prints as null. More than 1 KiB
// print as base64, too, if the string would take more than twice their size: a guest that writes control characters, which
// take six bytes each, makes no reply larger than it may be.
type Blob []byte

// shortBlob is up to how many bytes a Blob is a string in any case.
const shortBlob = 1 << 10

// MarshalJSON implements json.Marshaler.
func (b Blob) MarshalJSON() ([]byte, error) {
	if b == nil {
		return []byte("null"), nil
	}
	if utf8.Valid(b) {
		text, err := json.Marshal(string(b))
		if err != nil || len(b) <= shortBlob || len(text) <= 2*len(b)+len(`""`) {
			return text, err
		}
	}
	return json.Marshal(map[string]string{"base64": base64.StdEncoding.EncodeToString(b)})
}

// UnmarshalJSON implements json.Unmarshaler.
func (b *Blob) UnmarshalJSON(p []byte) error {
	if string(p) == "null" {
		*b = nil
		return nil
	}
	var s string
	if json.Unmarshal(p, &s) == nil {
		*b = Blob(s)
		if *b == nil {
			*b = Blob{}
		}
		return nil
	}
	var o struct {
		Base64 []byte `json:"base64"`
	}
	if err := json.Unmarshal(p, &o); err != nil {
		return err
	}
	*b = o.Base64
	return nil
}
