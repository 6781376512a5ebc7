package report

import (
	"fmt"
	"strings"
	"time"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/inspect"
)

// Duty is one kind of thing that the worker owes to the chain.
type Duty uint8

// The duties.
const (
	RegisterWorker  Duty = 1 + iota // the worker is known, with this operator and a fresh attestation
	RegisterNode                    // the node is known to those who assign compute requests
	DescribeWorker                  // the prices are those of the worker
	TellEndpoints                   // it is known where the worker is reached
	AgreeOnSession                  // the worker session is that of the host
	SettleUse                       // what apps have used is settled
	SubmitScore                     // it is known how fast the worker is
	AnswerChallenge                 // challenges are answered
	TellMetrics                     // the metrics of the node are told
	endOfDuties
)

var dutyNames = [...]string{"-", "register", "node", "describe", "endpoints", "session", "report", "score", "heartbeat", "metrics"}

func (d Duty) String() string {
	if d > 0 && d < endOfDuties {
		return dutyNames[d]
	}
	return fmt.Sprintf("duty(%d)", uint8(d))
}

// phase is where a duty stands.
type phase uint8

const (
	off     phase = iota // it is not configured
	waiting              // for what the reason says
	working              // an Act is under way
	sent                 // it is in the outbox
	backoff              // it failed, and is not to be tried before due
	done                 // nothing is owed
)

var phaseNames = [...]string{"off", "waiting", "working", "sent", "backoff", "done"}

func (p phase) String() string { return phaseNames[p] }

// duty is the state of one duty.
type duty struct {
	phase  phase
	reason string
	since  time.Time
	open   int    // calls in the outbox
	key    string // the newest of them
	doubt  string // the key of a call that the outbox may have, or not
	after  uint64 // what a look before this number says is old
	tries  int
	due    time.Time
	err    string
	total  uint64
}

// is enters a phase, and keeps since when its reason holds.
func (d *duty) is(now time.Time, p phase, reason string) {
	if d.phase != p || d.reason != reason || d.since.IsZero() {
		d.phase, d.reason, d.since = p, reason, now
	}
}

// failed has the duty wait before it is tried again.
func (d *duty) failed(now time.Time, o Settings, err *fault.Error) {
	d.err = text(err)
	d.due = now.Add(max(delay(o, d.tries), min(err.RetryAfter, o.MaxRetry)))
	d.tries++
}

// ended has the duty begin anew when something is owed again.
func (d *duty) ended() {
	d.tries, d.due, d.err = 0, time.Time{}, ""
	d.total++
}

func (d *duty) show(of Duty) inspect.Duty {
	v := inspect.Duty{Name: of.String(), State: d.phase.String(), Reason: d.reason, Since: d.since, Tries: d.tries, Error: d.err, Done: d.total}
	if d.open > 0 {
		v.Key = d.key
	}
	if d.phase == backoff {
		v.Next = d.due
	}
	return v
}

// delay is how long to wait after so many failures.
func delay(o Settings, tries int) time.Duration {
	return min(o.Retry<<min(tries, 16), o.MaxRetry)
}

// text is what is shown of an error.
func text(err error) string {
	s := err.Error()
	return strings.ToValidUTF8(s[:min(len(s), maxText)], "")
}

const maxText = 256
