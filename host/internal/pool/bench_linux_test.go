package pool

import (
	"context"
	"testing"

	"github.com/troupehost/troupe/actors/run"
)

// BenchmarkSpawn is a worker from its start to Ready, and its burial.
func BenchmarkSpawn(b *testing.B) {
	r := newRig(b, "")
	for b.Loop() {
		w, err := r.start(context.Background(), kindExecute, rlimits{dataBytes: 1 << 30})
		if err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		w.bury()
		b.StartTimer()
	}
}

// BenchmarkStart is a worker from its start to Loaded.
func BenchmarkStart(b *testing.B) {
	r := newRig(b, "")
	bind := r.prepared(b, adder())
	for b.Loop() {
		w, err := r.Start(context.Background(), bind)
		if err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		w.Close()
		b.StartTimer()
	}
}

// BenchmarkPrepare is a small preparation, its process included.
func BenchmarkPrepare(b *testing.B) {
	r := newRig(b, "")
	job := r.put(adder())
	for b.Loop() {
		out := r.Prepare(context.Background(), job)
		if out.Fault != nil {
			b.Fatal(out.Fault)
		}
	}
}

// BenchmarkRun is a warm run, there and back.
func BenchmarkRun(b *testing.B) {
	r := newRig(b, "")
	bind := r.prepared(b, adder())
	w := r.worker(b, bind)
	job := r.job(bind, invoke("add", "1", "2"), run.Limits{}, RunIO{})
	for b.Loop() {
		if o, alive := w.Run(context.Background(), job); !alive || o.Fault != nil {
			b.Fatalf("%+v", o)
		}
	}
}

// BenchmarkRoundTrip is a run on a worker that does nothing: what the pool and the socket cost.
func BenchmarkRoundTrip(b *testing.B) {
	r := newRig(b, "honest")
	bind := r.pretended(b)
	w := r.worker(b, bind)
	job := r.job(bind, run.Entry{Mode: run.Command}, run.Limits{}, RunIO{})
	for b.Loop() {
		if o, alive := w.Run(context.Background(), job); !alive || o.Fault != nil {
			b.Fatalf("%+v", o)
		}
	}
}
