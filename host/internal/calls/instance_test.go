package calls

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/host/abi"
)

func TestEveryFunctionIsServed(t *testing.T) { // W29
	g := newGuest(t, newApp(t, AppConfig{}), InstanceConfig{})
	for _, f := range abi.TroupeFunctions {
		if functions[f.Op].serve == nil {
			t.Errorf("%s is not served", f.Name)
		}
	}
	for op := range abi.Op(1 << 10) {
		served := int(op) < len(functions) && functions[op].serve != nil
		if a := g.i.Call(t.Context(), run.Ask{Op: uint16(op), Nums: n(1, 2, 3, 4, 5)}); served && op != abi.OpTurn && a.Errno != abi.ErrParam || !served && a.Errno != abi.ErrUnknown {
			t.Errorf("call %d with too many numbers gave %d", op, a.Errno)
		}
	}
	g.fails(abi.ErrParam, abi.OpKVPut, nil, "key")
	g.fails(abi.ErrParam, abi.OpKVPut, nil, "key", strings.Repeat("x", abi.MaxBytes-2))
}

func TestAHandleIsOfItsInstanceAndKind(t *testing.T) {
	s := New(Config{})
	app := s.App(granting(abi.RightAll))
	one, two := newGuest(t, app, InstanceConfig{}), newGuest(t, app, InstanceConfig{})
	lock := int64(one.ok(abi.OpLock, n(0), "l").Nums[0])
	two.fails(abi.ErrNotFound, abi.OpClose, n(lock))
	for op, nums := range map[abi.Op][]int64{abi.OpHead: n(lock, 1), abi.OpRead: n(lock, 0, 1), abi.OpShutdown: n(lock), abi.OpTimerReset: n(lock, 1), abi.OpConnAccept: n(lock, 0, 1),
		abi.OpRecv: n(lock, 0, 1), abi.OpAttenuate: n(lock, 1), abi.OpChannelClose: n(lock), abi.OpSubscribe: n(lock, 1), abi.OpDropped: n(lock)} {
		one.fails(abi.ErrParam, op, nums)
	}
	for op, nums := range map[abi.Op][]int64{abi.OpWrite: n(lock, 0), abi.OpRespond: n(lock, 200), abi.OpReply: n(lock, 0), abi.OpPublish: n(lock)} {
		one.fails(abi.ErrParam, op, nums, "")
	}
	one.ok(abi.OpClose, n(lock))
	again := int64(one.ok(abi.OpLock, n(0), "l").Nums[0])
	if again == lock {
		t.Error("a handle was given out again at once")
	}
}

func TestAnAppThatIsClosedEndsItsInstances(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		app := newApp(t, AppConfig{})
		g := newGuest(t, app, InstanceConfig{})
		wait := g.begin(abi.OpAccept, n(-1))
		synctest.Wait()
		app.Close()
		synctest.Wait()
		answered(t, wait, abi.ErrClosed)
		late := newGuest(t, app, InstanceConfig{})
		late.fails(abi.ErrClosed, abi.OpAccept, n(-1))
		if len(app.instances) != 0 {
			t.Errorf("%d instances are left", len(app.instances))
		}
	})
}

func TestACallEndsWithItsInstance(t *testing.T) {
	for name, ask := range map[string]func(g *guest) <-chan run.Answer{
		"accept": func(g *guest) <-chan run.Answer { return g.begin(abi.OpAccept, n(-1)) },
		"timer": func(g *guest) <-chan run.Answer {
			return g.begin(abi.OpRead, n(int64(g.ok(abi.OpTimer, n(1<<62)).Nums[0]), -1, 8))
		},
		"send": func(g *guest) <-chan run.Answer {
			return g.begin(abi.OpSend, n(int64(g.ok(abi.OpChannel, nil).Nums[0]), -1, 0), "x")
		},
		"receive": func(g *guest) <-chan run.Answer {
			return g.begin(abi.OpRecv, n(int64(g.ok(abi.OpChannel, nil).Nums[0]), -1, 8))
		},
		"poll": func(g *guest) <-chan run.Answer { return g.begin(abi.OpPoll, n(-1), "\x00\x00\x00\x00") },
		"write": func(g *guest) <-chan run.Answer {
			p := newPeer()
			p.gate = make(chan struct{})
			h := g.deliver(abi.EventHTTP, nil, p)
			g.ok(abi.OpWrite, n(h, -1), strings.Repeat("x", maxBuffered))
			return g.begin(abi.OpWrite, n(h, -1), "x")
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := newGuest(t, newApp(t, AppConfig{}), InstanceConfig{})
				wait := ask(g)
				synctest.Wait()
				pending(t, wait)
				g.i.End(errors.New("killed"))
				synctest.Wait()
				answered(t, wait, abi.ErrClosed)
			})
		})
	}
}
