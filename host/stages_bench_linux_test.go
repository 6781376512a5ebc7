package host

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/troupehost/troupe/actors/execute"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/host/internal/lanes"
)

// timed is a worker whose rides are measured from outside.
type timed struct {
	execute.Worker
	ride, worker time.Duration // of the last one
}

func (w *timed) Ride(ctx context.Context, j execute.Job, io execute.IO) (run.Outcome, bool) {
	begin := time.Now()
	out, alive := w.Worker.Ride(ctx, j, io)
	w.ride, w.worker = time.Since(begin), out.Usage.CPU
	return out, alive
}

// part is the times of one part of a run, in the order in which it passes them.
type part struct {
	name  string
	times []time.Duration
}

func (s *part) quantile(q float64) time.Duration {
	slices.Sort(s.times)
	return s.times[int(q*float64(len(s.times)-1))]
}

// BenchmarkStages is what each part of a warm run takes: 512 bytes in and out, one caller, who waits. The API is all of Execute
// beside the ride: validation, terms, lane, receipt and metrics. The worker is its CPU time: reading the ring, the guest, the
// reset and the answer. The wire is what is left of the ride: writing, waking the worker, its answer, and waking the caller. With
// the actors is the same run through them.
func BenchmarkStages(b *testing.B) {
	h, r := besideRide(b)
	ordinary := r
	ordinary.Code, ordinary.CodeHash, ordinary.Validity = echo(b), "", "tag"
	if receipt, err := h.Execute(b.Context(), ordinary); err != nil || receipt.Verdict != "ok" {
		b.Fatal(receipt, err)
	}
	t, err := h.termsOf(&r, r.CodeHash)
	if err != nil {
		b.Fatal(err)
	}
	inner, err := h.pool.Start(b.Context(), t.job.Binding)
	if err != nil {
		b.Fatal(err)
	}
	defer inner.Close()
	w := &timed{Worker: inner}
	h.lanes = lanes.New(lanes.Config{Report: h.reportUse})
	h.lanes.Grant(w, t.job.Binding, func(execute.Returned) {})
	h.lanes.Prove(t.job.Binding, t.call, 0, h.lanes.Mark())
	execute := func(r Request) time.Duration {
		begin := time.Now()
		receipt, err := h.Execute(b.Context(), r)
		took := time.Since(begin)
		if err != nil || receipt.Verdict != "ok" || len(receipt.Result) != len(r.Input) {
			b.Fatal(receipt, err)
		}
		return took
	}
	for range 200 { // until it is warm
		execute(r)
		execute(ordinary)
	}
	stages := []*part{{name: "all"}, {name: "api"}, {name: "wire"}, {name: "worker"}, {name: "with the actors"}}
	for b.Loop() {
		w.ride = 0
		all := execute(r)
		if w.ride == 0 {
			b.Fatal("it did not ride")
		}
		for n, d := range []time.Duration{all, all - w.ride, w.ride - w.worker, w.worker} {
			stages[n].times = append(stages[n].times, d)
		}
	}
	for range min(len(stages[0].times), 2000) {
		last := stages[len(stages)-1]
		last.times = append(last.times, execute(ordinary))
	}
	table := "stage                  p50          p99\n"
	for _, s := range stages {
		table += fmt.Sprintf("%-16s %9v %12v\n", s.name, s.quantile(0.5), s.quantile(0.99))
	}
	b.ReportMetric(float64(stages[1].quantile(0.5)), "api-ns")
	b.ReportMetric(float64(stages[2].quantile(0.5)), "wire-ns")
	b.ReportMetric(float64(stages[3].quantile(0.5)), "worker-ns")
	b.Log("\n" + table)
}
