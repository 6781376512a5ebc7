package host

import (
	"context"
	"io"

	"github.com/troupehost/troupe/actors/cache"
	"github.com/troupehost/troupe/actors/chain"
	"github.com/troupehost/troupe/actors/chain/follow"
	"github.com/troupehost/troupe/actors/chain/report"
	"github.com/troupehost/troupe/actors/execute"
	"github.com/troupehost/troupe/actors/jobs"
	"github.com/troupehost/troupe/actors/kernel"
	"github.com/troupehost/troupe/actors/prepare"
	"github.com/troupehost/troupe/actors/record"
	"github.com/troupehost/troupe/actors/sessions"
)

// Recorded are the types of all cores of a host, for [record.Replay].
func Recorded() *record.Types {
	return record.NewTypes(cache.Recorded(), prepare.Recorded(), execute.Recorded(), jobs.Recorded(), sessions.Recorded(),
		chain.Recorded(), report.Recorded(), follow.Recorded())
}

// newRecorder returns nil if the host does not record.
func newRecorder(limit int64) *record.Recorder {
	if limit <= 0 {
		return nil
	}
	return record.New(int(limit), Recorded())
}

// recorderOf is no interface around nothing.
func recorderOf(r *record.Recorder) kernel.Recorder {
	if r == nil {
		return nil
	}
	return r
}

// Recording writes what the cores were given lately, and what they did, as Config.RecordBytes allows: nothing if it is 0.
// It holds what messages hold.
//
// # Errors
//
// caller.host_closed, and that of w.
func (h *Host) Recording(_ context.Context, w io.Writer) error {
	if _, err := h.actors(); err != nil || h.recorder == nil {
		return err
	}
	return h.recorder.Write(w, h.pool.Facts().BuildID)
}
