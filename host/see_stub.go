package host

// To be replaced by the real ones.

import (
	"context"
	"io"
	"time"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/actors/run"
)

var errNotYet = fault.New(fault.HostUnsupported, "not yet", "", nil)

func (h *Host) Boot() string                                                 { return "" }
func (h *Host) Guests(ctx context.Context) (r0 []inspect.Guest, err error)   { err = errNotYet; return }
func (h *Host) Workers(ctx context.Context) (r0 []inspect.Worker, err error) { err = errNotYet; return }
func (h *Host) RecycleWorker(ctx context.Context, id string) (err error)     { err = errNotYet; return }
func (h *Host) KillWorker(ctx context.Context, id string) (err error)        { err = errNotYet; return }
func (h *Host) PauseQueue(ctx context.Context, name string) (err error)      { err = errNotYet; return }
func (h *Host) ResumeQueue(ctx context.Context, name string) (err error)     { err = errNotYet; return }
func (h *Host) PurgeQueue(ctx context.Context, name string) (r0 int, err error) {
	err = errNotYet
	return
}
func (h *Host) RetryArtifact(ctx context.Context, key string, generation uint64) (err error) {
	err = errNotYet
	return
}
func (h *Host) RaiseArtifact(ctx context.Context, key string, p run.Priority, by string) (err error) {
	err = errNotYet
	return
}
func (h *Host) Timeline(ctx context.Context, job string) (r0 inspect.Timeline, err error) {
	err = errNotYet
	return
}
func (h *Host) Explain(ctx context.Context, id string) (r0 inspect.Explanation, err error) {
	err = errNotYet
	return
}
func (h *Host) AppHistory(ctx context.Context, address string) (r0 []AppSample, r1 time.Duration, err error) {
	err = errNotYet
	return
}
func (h *Host) Recording(ctx context.Context, w io.Writer) (err error) { err = errNotYet; return }
