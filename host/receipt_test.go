package host

import (
	"testing"

	"github.com/troupehost/troupe/actors/cache"
	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/run"
)

func TestReceiptsSayWhatCounted(t *testing.T) {
	died := run.Outcome{Fault: fault.New(fault.SuspectWorkerDied, "", "", nil)}
	for _, a := range []cache.Answer{{Outcome: died, Attempts: 1}, {Outcome: died, Attempts: 2, Repeated: true}, {Outcome: died, Attempts: 2, Repeated: true, Counted: true}} {
		r := fill(run.Receipt{}, a, Request{})
		if r.Verdict != "suspect" || *r.Attempts != a.Attempts || r.Repeated != a.Repeated || r.Counted != a.Counted {
			t.Errorf("%+v of %+v", r, a)
		}
	}
}
