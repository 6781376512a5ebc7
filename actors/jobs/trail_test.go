package jobs

import (
	"slices"

	"github.com/troupehost/troupe/actors/run"
)

// judgeTrail checks that the steps of a job lie between its ends, and that those of one that is settled say all of its time.
func (x *world) judgeTrail(r Record) {
	n := len(r.Trail)
	if n == 0 || r.Trail[0].Stage != run.Received || StampOf(r.Trail[0].At) != r.Submitted ||
		!slices.IsSortedFunc(r.Trail, func(a, b run.Step) int { return a.At.Compare(b.At) }) ||
		r.State == run.JobSettled && (r.Trail[n-1].Stage != run.Delivered || StampOf(r.Trail[n-1].At) != r.Settled) {
		x.violation("%s, %s: its trail is %+v", r.ID, r.State, r.Trail)
	}
}
