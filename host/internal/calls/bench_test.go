package calls

import (
	"context"
	"testing"

	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/artifacts/manifest"
	"github.com/troupehost/troupe/host/abi"
)

func BenchmarkKVGet(b *testing.B) {
	g := newGuest(b, newApp(b, AppConfig{KV: newSpace(1 << 20), Grants: manifest.Grants{KVBytes: 1 << 20}}), InstanceConfig{Meter: &tally{}})
	g.ok(abi.OpKVPut, nil, "key", "a value of some bytes")
	a := run.Ask{Op: uint16(abi.OpKVGet), Nums: n(100), Args: [][]byte{[]byte("key")}}
	b.ReportAllocs()
	for b.Loop() {
		a.Gas += 1000
		if got := g.i.Call(context.Background(), a); got.Errno != 0 {
			b.Fatal(got.Errno)
		}
	}
}

func BenchmarkQuery(b *testing.B) {
	app := newApp(b, AppConfig{})
	m := &tally{}
	ctx := context.Background()
	b.ReportAllocs()
	for b.Loop() {
		i := app.Instance(InstanceConfig{Meter: m, One: true})
		if err := i.Deliver(ctx, Event{Kind: abi.EventQuery, Body: Bytes([]byte("payload")), Out: newPeer()}); err != nil {
			b.Fatal(err)
		}
		h := int64(i.Call(ctx, run.Ask{Op: uint16(abi.OpAccept), Nums: n(-1)}).Nums[1])
		i.Call(ctx, run.Ask{Op: uint16(abi.OpRead), Nums: n(h, -1, 100)})
		if got := i.Call(ctx, run.Ask{Op: uint16(abi.OpReply), Nums: n(h, 0), Args: [][]byte{nil}}); got.Errno != 0 {
			b.Fatal(got.Errno)
		}
		i.End(nil)
	}
}

func BenchmarkSendRecv(b *testing.B) {
	s := New(Config{})
	from, to := newGuest(b, s.App(granting(abi.RightAll)), InstanceConfig{}), newGuest(b, s.App(granting(abi.RightAll)), InstanceConfig{})
	hf, ht := int64(from.ok(abi.OpGrant, nil, "c").Nums[0]), int64(to.ok(abi.OpGrant, nil, "c").Nums[0])
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			from.i.Call(ctx, run.Ask{Op: uint16(abi.OpSend), Nums: n(hf, -1, 0), Args: [][]byte{[]byte("a value of some bytes")}})
		}
	}()
	b.ReportAllocs()
	for b.Loop() {
		if got := to.i.Call(ctx, run.Ask{Op: uint16(abi.OpRecv), Nums: n(ht, -1, 100)}); got.Errno != 0 {
			b.Fatal(got.Errno)
		}
	}
	cancel()
	<-done
}
