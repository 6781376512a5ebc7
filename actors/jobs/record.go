package jobs

import (
	"encoding/hex"
	"errors"
	"time"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/run"
)

// Record is what is known of a job without its body and its output. Its JSON form is what is on disk.
type Record struct {
	ID          string        `json:"id"`
	Key         string        `json:"key,omitempty"`
	Tenant      string        `json:"tenant"`
	Validity    string        `json:"validity,omitempty"`
	RetryOf     string        `json:"retry_of,omitempty"`
	State       run.JobState  `json:"state"`
	Priority    run.Priority  `json:"priority"`
	Code        Digest        `json:"code"`
	Fingerprint Digest        `json:"fingerprint"`
	Mode        string        `json:"mode,omitempty"`   // of the entry
	Params      string        `json:"params,omitempty"` // hash of what changes the run, for the receipt
	Starts      int           `json:"starts,omitempty"`
	Submitted   Stamp         `json:"submitted"`
	Started     Stamp         `json:"started,omitempty"`
	Settled     Stamp         `json:"settled,omitempty"`
	Deadline    Stamp         `json:"deadline,omitempty"`
	Keep        time.Duration `json:"keep"`
	Expires     time.Duration `json:"expires,omitempty"` // settled: by the clock that counts how long jobs are kept
	Ending      fault.Code    `json:"ending,omitempty"`  // it is to end with this fault: somebody wants it to
	Verdict     string        `json:"verdict,omitempty"` // settled with a receipt
	Fault       fault.Code    `json:"fault,omitempty"`   // settled without one, or with a verdict that is not ok
	Message     string        `json:"message,omitempty"` // the fault in words, if there is no receipt
	Hint        string        `json:"hint,omitempty"`
	Kept        time.Duration `json:"kept"` // the clock when this was written
	Events      []Event       `json:"events"`
	Trail       run.Trail     `json:"trail,omitempty"` // where its time went; of a settled job it is on disk only
	Cause       string        `json:"cause,omitempty"` // id of what led to it
}

// Digest is a SHA-256; in JSON it is hex.
type Digest [32]byte

// String returns the hex digits.
func (d Digest) String() string { return hex.EncodeToString(d[:]) }

// MarshalText implements encoding.TextMarshaler.
func (d Digest) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, d[:]), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *Digest) UnmarshalText(b []byte) error {
	if len(b) != 2*len(d) {
		return errors.New("a digest has 64 hex digits")
	}
	_, err := hex.Decode(d[:], b)
	return err
}

// Stamp is a time in nanoseconds since 1970; 0 is none.
type Stamp int64

// StampOf returns the stamp of a time.
func StampOf(t time.Time) Stamp {
	if t.IsZero() {
		return 0
	}
	return Stamp(t.UnixNano())
}

// Time returns the time of a stamp.
func (s Stamp) Time() time.Time {
	if s == 0 {
		return time.Time{}
	}
	return time.Unix(0, int64(s)).UTC()
}

// What says what happened to a job.
type What uint8

// The events.
const (
	Submitted What = 1 + iota
	Started
	Raised
	CancelRequested
	Requeued
	Settled
)

var whatNames = [...]string{"", "submitted", "started", "raised", "cancel_requested", "requeued", "settled"}

// Event is one step in the life of a job.
type Event struct {
	At   Stamp        `json:"at"`
	What What         `json:"what"`
	From run.Priority `json:"from,omitempty"`
	To   run.Priority `json:"to,omitempty"`
	End  string       `json:"end,omitempty"` // settled: the verdict or the fault
	By   string       `json:"by,omitempty"`
}

// maxSteps bounds the started and requeued events of a job; further ones are not recorded.
const maxSteps = 64

// byHost is who did what nobody asked for.
const byHost = "host"

// view returns the job as others see it.
func (r *Record) view(events bool) run.Job {
	j := run.Job{
		ID: r.ID, Key: r.Key, Tenant: r.Tenant, State: r.State, Priority: r.Priority.String(), CodeHash: r.Code.String(),
		Mode: r.Mode, Validity: r.Validity, RetryOf: r.RetryOf, Starts: r.Starts,
		SubmittedAt: r.Submitted.Time(), StartedAt: r.Started.Time(), SettledAt: r.Settled.Time(), Deadline: r.Deadline.Time(),
	}
	if r.State == run.JobSettled && r.Verdict == "" {
		j.Fault, j.Message, j.Hint = string(r.Fault), r.Message, r.Hint
	}
	if !events {
		return j
	}
	j.Events = make([]run.JobEvent, len(r.Events))
	for n, e := range r.Events {
		o := run.JobEvent{At: e.At.Time(), What: whatNames[e.What], To: e.End, By: e.By}
		if e.What == Raised {
			o.From, o.To = e.From.String(), e.To.String()
		}
		j.Events[n] = o
	}
	return j
}
