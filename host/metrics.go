package host

import (
	"context"
	"io"
	"path/filepath"
	"time"

	"github.com/troupehost/troupe/actors/cache"
	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/prepare"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/artifacts/db"
	"github.com/troupehost/troupe/host/internal/metrics"
)

// WriteMetrics writes the metrics of the host in the text format of Prometheus, version 0.0.4. host/internal/metrics/README.md
// lists them. It looks at the host for up to 5 s; parts that do not answer by then are left out, and troupe_inspected is 0.
// Nothing is held while w is written to, in one Write.
//
// # Errors
//
// caller.host_closed, canceled.*, caller.output.
func (h *Host) WriteMetrics(ctx context.Context, w io.Writer) error {
	select {
	case <-h.done:
		return fault.New(fault.CallerClosed, "host", h.cfg.Name, h.err)
	default:
		return h.metrics.Write(ctx, w, h.look)
	}
}

// look is what a scrape sees.
func (h *Host) look(ctx context.Context) (metrics.State, error) {
	i, err := h.Inspect(ctx)
	return metrics.State{Host: i, Bugs: h.system.Bugs(), Dead: len(h.system.DeadLetters())}, err
}

// refused counts a request that is refused at the door, and returns why.
func (h *Host) refused(err error) error {
	h.metrics.Refused(fault.From(err))
	return err
}

// took counts a request that was led to its end.
func (h *Host) took(k cache.Kind, begin time.Time) { h.metrics.Took(kindOf(k), time.Since(begin)) }

func kindOf(k cache.Kind) metrics.Kind {
	switch k {
	case cache.Precheck:
		return metrics.Precheck
	case cache.HeadsUp:
		return metrics.HeadsUp
	}
	return metrics.Execute
}

// timedCommits is a file system whose commits are counted.
func timedCommits(set *metrics.Set) db.FS {
	return db.FS{Commit: func(path string, commit func() error) error {
		begin := time.Now()
		err := commit()
		set.Committed(filepath.Base(path), time.Since(begin))
		return err
	}}
}

// The observers of the actors, as one set. They differ by what they call the same.
type (
	cacheMetrics   struct{ *metrics.Set }
	prepareMetrics struct{ *metrics.Set }
	executeMetrics struct{ *metrics.Set }
)

// Asked implements cache.Observer.
func (m cacheMetrics) Asked(k cache.Kind, hit bool) { m.Set.Asked(kindOf(k), hit) }

// Answered implements cache.Observer.
func (m cacheMetrics) Answered(k cache.Kind, f *fault.Error) { m.Set.Answered(kindOf(k), f) }

// Queued implements prepare.Observer.
func (m prepareMetrics) Queued(p run.Priority, wait time.Duration) { m.PrepareQueued(p, wait) }

// Ended implements prepare.Observer.
func (m prepareMetrics) Ended(p run.Priority, o prepare.Outcome) {
	m.Prepared(p, metrics.Preparation{Fault: o.Fault, CPU: o.CPU, Wall: o.Wall, PeakRSS: o.PeakRSS,
		CodeBytes: o.Meta.Module.WasmBytes, ArtifactBytes: o.Meta.Bytes()})
}

// Queued implements execute.Observer.
func (m executeMetrics) Queued(p run.Priority, wait time.Duration) { m.ExecuteQueued(p, wait) }

// Ended implements execute.Observer.
func (m executeMetrics) Ended(p run.Priority, o run.Outcome) { m.Executed(p, o) }

// Spawned implements execute.Observer.
func (m executeMetrics) Spawned() { m.WorkerOrdered() }

// Closed implements execute.Observer.
func (m executeMetrics) Closed(reason string) { m.WorkerClosed(reason) }
