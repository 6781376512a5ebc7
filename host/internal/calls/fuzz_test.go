package calls

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/troupehost/troupe/actors/meter"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/artifacts/manifest"
	"github.com/troupehost/troupe/host/abi"
)

// script reads what guests ask from bytes.
type script struct{ b []byte }

func (s *script) next() byte {
	if len(s.b) == 0 {
		return 0
	}
	c := s.b[0]
	s.b = s.b[1:]
	return c
}

func (s *script) num() int64 {
	c := s.next()
	if c < 200 { // a handle, most likely
		return int64(c % 24)
	}
	return []int64{-1, 1 << 62, -1 << 63, 1<<63 - 1, 1 << 32, 101, 200, 404, abi.MaxBytes, abi.MaxBytes + 1, 4096, -5}[int(c)%12]
}

var texts = []string{"", "c", "news", "k", "host.example.org:80", "host.example.org:443", ":7001", "127.0.0.1:7002", "sha256:a",
	"GET http://host.example.org/ HTTP/1.1\r\n\r\n", "A: b\r\n", "\x00\x00\x00\x00\x01\x00\x00\x00\x02\x00\x00\x00\x03\x00\x00\x00", "a\x00b"}

func (s *script) text() []byte {
	c := s.next()
	switch {
	case c < 128:
		return []byte(texts[int(c)%len(texts)])
	case c < 160:
		return make([]byte, int(s.next())<<8)
	}
	p := s.b[:min(len(s.b), int(c-160))]
	s.b = s.b[len(p):]
	return p
}

func (s *script) ask() run.Ask {
	op := s.next() % (byte(abi.OpGasLeft) + 2)
	a := run.Ask{Op: uint16(op), Gas: int64(s.next()) << 10, MemoryBytes: s.num()}
	var f function
	if int(op) < len(functions) {
		f = functions[op]
	}
	nums, args := f.nums, f.args
	if s.next() == 255 {
		nums, args = int(s.next()%5), int(s.next()%4)
	}
	for range nums {
		a.Nums = append(a.Nums, s.num())
	}
	for range args {
		a.Args = append(a.Args, s.text())
	}
	return a
}

func FuzzCall(f *testing.F) {
	for op := range byte(abi.OpGasLeft) + 2 {
		f.Add([]byte{byte(abi.OpGrant), 0, 0, 0, 1, op, 1, 1, 0, 1, 0, 200, 2, 1, op, 1, 1, 0, 2, 205, 1, 9})
	}
	var all []byte
	for op := range byte(abi.OpGasLeft) + 2 {
		for v := range byte(4) {
			all = append(all, op, 1, 100, 0, v, v+1, v+200, v+4, v+2)
		}
	}
	f.Add(all)
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > 4096 { // longer ones show nothing new
			return
		}
		synctest.Test(t, func(t *testing.T) { hostile(t, b) })
	})
}

// hostile has two guests ask whatever stands in the bytes, and looks at what is left when they end.
func hostile(t *testing.T, b []byte) {
	answering := func(c net.Conn) {
		_, _ = c.Read(make([]byte, 100))
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\n\r\n")
		echo(c)
	}
	c := &cloud{names: map[string][]string{"host.example.org": {"8.8.8.8"}}, servers: map[string]func(net.Conn){"8.8.8.8:80": answering, "8.8.8.8:443": answering}}
	s := New(Config{Net: Net{Private: everywhere, Resolver: c, Dialer: c, Listener: c}, ListenRange: manifest.Ports{From: 7000, To: 7999}, BlobReader: files{"sha256:a": "content"}})
	cfg := granting(abi.RightAll)
	cfg.Grants.Egress = []string{"*.example.org:80-443"}
	cfg.Grants.Listen = []manifest.Ports{{From: 7000, To: 7002}}
	cfg.Grants.KVBytes = 1 << 16
	cfg.KV, cfg.Keys, cfg.Blobs = newSpace(1<<16), signer{}, []string{"sha256:a"}
	cfg.Token = func(context.Context) (uint64, meter.Token, error) { return 1, meter.Token{}, nil }
	app := s.App(cfg)
	in := &script{b}
	guests := []*Instance{app.Instance(InstanceConfig{Meter: &tally{}}), app.Instance(InstanceConfig{Meter: &tally{}, One: true, Turn: &fakeTurn{}})}
	var peers []*peer
	for kind := range uint32(6) {
		p := newPeer()
		var body io.ReadCloser = Bytes([]byte("payload"))
		if kind%3 == 2 {
			body, _ = io.Pipe()
		}
		if guests[min(kind, 1)].Deliver(context.Background(), Event{Kind: kind%3 + 1, Head: []byte("h"), Body: body, Out: p}) == nil {
			peers = append(peers, p)
		}
		if guests[0].Deliver(context.Background(), Event{Kind: kind%3 + 1, Head: []byte("h"), Body: body, Out: newPeer()}) != nil {
			t.Error("an event was refused")
		}
	}
	for step := 0; len(in.b) > 0 && step < 200; step++ {
		g := guests[step%2]
		a := in.ask()
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		got := g.Call(ctx, a)
		cancel()
		if got.Errno != 0 && (got.Data != nil || got.Nums != nil) {
			t.Errorf("call %d failed with %d and has %d bytes, %d numbers", a.Op, got.Errno, len(got.Data), len(got.Nums))
		}
		check(t, a, got)
		if len(g.handles) > abi.MaxHandles || g.kept.Load() > maxKept {
			t.Errorf("%d handles, %d bytes kept", len(g.handles), g.kept.Load())
		}
	}
	guests[0].End(nil)
	guests[1].End(errors.New("killed"))
	pass(time.Minute) // what lingers is over; a goroutine that is not fails the test
	synctest.Wait()
	for k, p := range peers {
		if _, _, closed, _ := p.state(); closed != 1 {
			t.Errorf("event %d was closed %d times", k, closed)
		}
	}
	for k, g := range guests {
		if g.kept.Load() != 0 || g.lingering() != 0 {
			t.Errorf("guest %d: %d bytes kept, %d linger", k, g.kept.Load(), g.lingering())
		}
	}
	if len(s.shared) != 0 || len(app.locks) != 0 || len(app.instances) != 0 {
		t.Errorf("left: %d names, %d locks, %d instances", len(s.shared), len(app.locks), len(app.instances))
	}
	for at, l := range c.listeners {
		select {
		case <-l.over:
		default:
			t.Errorf("%s is still listened at", at)
		}
	}
}

// check compares an answer with what the worker will do with it.
func check(t *testing.T, a run.Ask, got run.Answer) {
	if got.Errno != 0 {
		return
	}
	for _, f := range abi.TroupeFunctions {
		if uint16(f.Op) != a.Op {
			continue
		}
		nums, rooms := 0, 0
		room := int64(0)
		k := 0
		for _, c := range f.Params {
			switch c {
			case 'p', 'P':
				nums++
			case 'i', 'I':
				k++
			case 'o':
				room = a.Nums[k]
				rooms++
				k++
			}
		}
		if len(got.Nums) != nums || len(got.Data) > 0 && (rooms == 0 || int64(len(got.Data)) > room || len(got.Data) > abi.MaxBytes) {
			t.Errorf("%s%v: %d numbers, want %d; %d bytes into %d", f.Name, a.Nums, len(got.Nums), nums, len(got.Data), room)
		}
	}
}
