package sessions

import (
	"context"
	"testing"

	"github.com/troupehost/troupe/actors/kernel"
	"github.com/troupehost/troupe/actors/meter"
	"github.com/troupehost/troupe/artifacts/manifest"
)

// BenchmarkRequest is what a request costs here: it enters, what it used is written to a store in memory, and it leaves.
func BenchmarkRequest(b *testing.B) {
	sys, err := kernel.New(kernel.Config{})
	if err != nil {
		b.Fatal(err)
	}
	d := &disk{apps: map[manifest.Address]Record{}}
	ref, err := Spawn(sys, Config{Store: d, Guests: &guests{}})
	if err != nil {
		b.Fatal(err)
	}
	ctx := context.Background()
	if _, err := kernel.Ask(ctx, ref, func(r kernel.Reply[WorkerSession]) Message { return OpenSession{Reply: r} }); err != nil {
		b.Fatal(err)
	}
	m := appOf("bench", func(m *manifest.Manifest) { m.OnDemand, m.Terms.Reuse = true, manifest.Reset })
	if _, err := kernel.Ask(ctx, ref, func(r kernel.Reply[Standing]) Message { return Deploy{Record: record(m), Manifest: m, Reply: r} }); err != nil {
		b.Fatal(err)
	}
	a, id := m.Address(), uint64(0)
	b.ReportAllocs()
	for b.Loop() {
		id++
		if _, err := kernel.Ask(ctx, ref, func(r kernel.Reply[Admission]) Message { return Enter{Address: a, ID: id, Reply: r} }); err != nil {
			b.Fatal(err)
		}
		_, err := kernel.Ask(ctx, ref, func(r kernel.Reply[struct{}]) Message {
			return Use{Address: a, Key: id, Use: meter.Use{Gas: 1, Starts: 1}, Reply: r}
		})
		if err != nil {
			b.Fatal(err)
		}
		_ = ref.Control(Leave{Address: a, ID: id})
	}
	b.StopTimer()
	if err := sys.Stop(ctx); err != nil {
		b.Fatal(err)
	}
}
