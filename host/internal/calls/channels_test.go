package calls

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/artifacts/manifest"
	"github.com/troupehost/troupe/host/abi"
)

func granting(rights ...uint8) AppConfig {
	cfg := AppConfig{Tenant: "t"}
	for _, r := range rights {
		cfg.Grants.Channels = append(cfg.Grants.Channels, manifest.Capability{Name: "c", Rights: r})
		cfg.Grants.Topics = append(cfg.Grants.Topics, manifest.Capability{Name: "news", Rights: r})
	}
	return cfg
}

// holders returns guests that all hold the channel c.
func holders(t *testing.T, num int) ([]*guest, []int64) {
	s := New(Config{})
	var gs []*guest
	var hs []int64
	for range num {
		g := newGuest(t, s.App(granting(abi.RightAll)), InstanceConfig{})
		gs = append(gs, g)
		hs = append(hs, int64(g.ok(abi.OpGrant, nil, "c").Nums[0]))
	}
	return gs, hs
}

func TestASendReturnsWhenReceived(t *testing.T) { // S40
	synctest.Test(t, func(t *testing.T) {
		g, h := holders(t, 2)
		sent := g[0].begin(abi.OpSend, n(h[0], -1, 0), "value")
		pass(time.Second)
		synctest.Wait()
		pending(t, sent)
		a := g[1].ok(abi.OpRecv, n(h[1], -1, 100))
		if string(a.Data) != "value" || a.Nums[0] != 5 || a.Nums[1] != 0 {
			t.Errorf("received %q %v", a.Data, a.Nums)
		}
		synctest.Wait()
		answered(t, sent, 0)

		got := g[1].begin(abi.OpRecv, n(h[1], -1, 2))
		synctest.Wait()
		pending(t, got)
		g[0].ok(abi.OpSend, n(h[0], -1, 0), "value")
		synctest.Wait()
		if a := answered(t, got, 0); string(a.Data) != "va" || a.Nums[0] != 5 {
			t.Errorf("received %q %v", a.Data, a.Nums)
		}
	})
}

func TestAValueWithoutATimeIsSentToWhoWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, h := holders(t, 3)
		g[0].fails(abi.ErrPending, abi.OpSend, n(h[0], 0, 0), "x")
		g[1].fails(abi.ErrPending, abi.OpRecv, n(h[1], 0, 10))
		got := g[1].begin(abi.OpRecv, n(h[1], -1, 10))
		synctest.Wait()
		g[0].ok(abi.OpSend, n(h[0], 0, 0), "x")
		synctest.Wait()
		answered(t, got, 0)
		sent := g[0].begin(abi.OpSend, n(h[0], -1, 0), "y")
		synctest.Wait()
		g[1].ok(abi.OpRecv, n(h[1], 0, 10))
		synctest.Wait()
		answered(t, sent, 0)
	})
}

func TestASenderThatDoesNotWaitNoticesThatItsReceiverLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, h := holders(t, 2)
		_, c, _ := g[0].i.end(uint32(h[0]), abi.RightSend)
		c.come(g[1].i) // its goroutine was not scheduled yet
		sent := g[0].begin(abi.OpSend, n(h[0], 0, 0), "x")
		synctest.Wait()
		pending(t, sent)
		c.leave(g[1].i)
		synctest.Wait()
		answered(t, sent, abi.ErrPending)
	})
}

func TestValuesComeInOrder(t *testing.T) { // S41, S42
	synctest.Test(t, func(t *testing.T) {
		g, h := holders(t, 2)
		const num = 1000
		go func() {
			for k := range num {
				if a := g[0].ask(abi.OpSend, n(h[0], -1, 0), fmt.Sprint(k)); a.Errno != 0 {
					t.Errorf("send %d failed with %d", k, a.Errno)
				}
			}
		}()
		for k := range num {
			if k%100 == 0 {
				pass(time.Second) // a slow receiver
			}
			if a := g[1].ok(abi.OpRecv, n(h[1], -1, 10)); string(a.Data) != fmt.Sprint(k) {
				t.Fatalf("received %q, want %d", a.Data, k)
			}
		}
		synctest.Wait()
		g[1].fails(abi.ErrPending, abi.OpRecv, n(h[1], 0, 10))
	})
}

func TestWhoCameFirstIsServedFirst(t *testing.T) { // S41
	synctest.Test(t, func(t *testing.T) {
		g, h := holders(t, 9)
		var sends, recvs []<-chan run.Answer
		for k := range 4 {
			sends = append(sends, g[k].begin(abi.OpSend, n(h[k], -1, 0), fmt.Sprint(k)))
			synctest.Wait()
		}
		for k := range 4 {
			if a := g[8].ok(abi.OpRecv, n(h[8], -1, 10)); string(a.Data) != fmt.Sprint(k) {
				t.Errorf("received %q, want %d", a.Data, k)
			}
			synctest.Wait()
			answered(t, sends[k], 0)
		}
		for k := range 4 {
			recvs = append(recvs, g[4+k].begin(abi.OpRecv, n(h[4+k], -1, 10)))
			synctest.Wait()
		}
		for k := range 4 {
			g[8].ok(abi.OpSend, n(h[8], -1, 0), fmt.Sprint(k))
			synctest.Wait()
			if a := answered(t, recvs[k], 0); string(a.Data) != fmt.Sprint(k) {
				t.Errorf("receiver %d got %q", k, a.Data)
			}
		}
	})
}

func TestCloseEndsWhatWaits(t *testing.T) { // S43
	synctest.Test(t, func(t *testing.T) {
		g, h := holders(t, 3)
		sent := g[0].begin(abi.OpSend, n(h[0], -1, 0), "x")
		synctest.Wait()
		g[2].ok(abi.OpChannelClose, n(h[2]))
		synctest.Wait()
		answered(t, sent, abi.ErrClosed)
		g[0].fails(abi.ErrClosed, abi.OpSend, n(h[0], -1, 0), "x")
		g[1].fails(abi.ErrClosed, abi.OpRecv, n(h[1], -1, 10))
		g[1].fails(abi.ErrCondition, abi.OpChannelClose, n(h[1]))

		g, h = holders(t, 2)
		got := g[0].begin(abi.OpRecv, n(h[0], -1, 10))
		synctest.Wait()
		g[1].ok(abi.OpChannelClose, n(h[1]))
		synctest.Wait()
		answered(t, got, abi.ErrClosed)

		// The name stands for a new channel once all have let go.
		for k := range g {
			g[k].ok(abi.OpClose, n(h[k]))
		}
		fresh := int64(g[0].ok(abi.OpGrant, nil, "c").Nums[0])
		g[0].fails(abi.ErrPending, abi.OpSend, n(fresh, 0, 0), "x")
	})
}

func TestACancelledSendIsNeverReceived(t *testing.T) { // S44
	synctest.Test(t, func(t *testing.T) {
		g, h := holders(t, 3)
		g[0].fails(abi.ErrPending, abi.OpSend, n(h[0], second, 0), "late")
		g[1].fails(abi.ErrPending, abi.OpRecv, n(h[1], 0, 10))

		// The same when the sender is ended.
		sent := g[0].begin(abi.OpSend, n(h[0], -1, 0), "dead")
		synctest.Wait()
		g[0].i.End(errors.New("killed"))
		synctest.Wait()
		answered(t, sent, abi.ErrClosed)
		g[1].fails(abi.ErrPending, abi.OpRecv, n(h[1], 0, 10))

		// And when the context of the run ends.
		ctx, cancel := context.WithCancel(context.Background())
		out := make(chan run.Answer, 1)
		go func() {
			out <- g[2].i.Call(ctx, run.Ask{Op: uint16(abi.OpSend), Nums: n(h[2], -1, 0), Args: [][]byte{[]byte("x")}})
		}()
		synctest.Wait()
		cancel()
		synctest.Wait()
		answered(t, out, abi.ErrClosed)
		g[1].fails(abi.ErrPending, abi.OpRecv, n(h[1], 0, 10))
	})
}

func TestAReceiverThatDiesLosesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, h := holders(t, 3)
		got := g[1].begin(abi.OpRecv, n(h[1], -1, 10))
		synctest.Wait()
		g[1].i.ended.Store(true) // as if it ended while the value is on its way
		sent := g[0].begin(abi.OpSend, n(h[0], -1, 0), "kept")
		synctest.Wait()
		answered(t, got, abi.ErrClosed)
		pending(t, sent)
		if a := g[2].ok(abi.OpRecv, n(h[2], -1, 10)); string(a.Data) != "kept" {
			t.Errorf("received %q", a.Data)
		}
		synctest.Wait()
		answered(t, sent, 0)

		// A receiver without room for what comes along leaves it to another.
		for range abi.MaxHandles - 1 {
			g[2].ok(abi.OpChannel, nil)
		}
		sent = g[0].begin(abi.OpSend, n(h[0], -1, h[0]), "with an end")
		synctest.Wait()
		g[2].fails(abi.ErrLimited, abi.OpRecv, n(h[2], -1, 10))
		pending(t, sent)
		g[2].ok(abi.OpClose, n(h[2]+1))
		g[2].ok(abi.OpRecv, n(h[2], -1, 10))
		synctest.Wait()
		answered(t, sent, 0)
	})
}

func TestAttenuation(t *testing.T) { // S45
	synctest.Test(t, func(t *testing.T) {
		g, h := holders(t, 1)
		for _, rights := range []int64{abi.RightSend, abi.RightRecv, abi.RightClose, abi.RightSend | abi.RightClose} {
			e := int64(g[0].ok(abi.OpAttenuate, n(h[0], rights)).Nums[0])
			want := func(right int64, pass uint32) uint32 {
				if rights&right == 0 {
					return abi.ErrForbidden
				}
				return pass
			}
			g[0].fails(want(abi.RightSend, abi.ErrPending), abi.OpSend, n(e, 0, 0), "x")
			g[0].fails(want(abi.RightRecv, abi.ErrPending), abi.OpRecv, n(e, 0, 10))
			if rights&abi.RightClose == 0 {
				g[0].fails(abi.ErrForbidden, abi.OpChannelClose, n(e))
			}
			g[0].fails(abi.ErrForbidden, abi.OpAttenuate, n(e, abi.RightAll))
			g[0].fails(abi.ErrForbidden, abi.OpAttenuate, n(e, rights|1<<40|8))
		}
		g[0].fails(abi.ErrParam, abi.OpAttenuate, n(h[0], 0))
	})
}

func TestACapabilityIsRequired(t *testing.T) { // S47
	s := New(Config{})
	none := newGuest(t, s.App(AppConfig{Tenant: "t"}), InstanceConfig{})
	none.fails(abi.ErrForbidden, abi.OpGrant, nil, "c")
	none.fails(abi.ErrParam, abi.OpGrant, nil, "")
	sender := newGuest(t, s.App(granting(abi.RightSend)), InstanceConfig{})
	h := int64(sender.ok(abi.OpGrant, nil, "c").Nums[0])
	sender.fails(abi.ErrForbidden, abi.OpRecv, n(h, 0, 10))
	sender.fails(abi.ErrForbidden, abi.OpChannelClose, n(h))
	sender.fails(abi.ErrParam, abi.OpPublish, n(h), "x")
	sender.fails(abi.ErrNotFound, abi.OpSend, n(h+1, 0, 0), "x")
	topic := int64(sender.ok(abi.OpGrant, nil, "news").Nums[0])
	sender.fails(abi.ErrForbidden, abi.OpSubscribe, n(topic, 0))
	sender.fails(abi.ErrParam, abi.OpSend, n(topic, 0, 0), "x")

	// Another tenant's channel of that name is another.
	cfg := granting(abi.RightAll)
	cfg.Tenant = "other"
	other := newGuest(t, s.App(cfg), InstanceConfig{})
	oh := int64(other.ok(abi.OpGrant, nil, "c").Nums[0])
	other.ok(abi.OpChannelClose, n(oh))
	sender.fails(abi.ErrPending, abi.OpSend, n(h, 0, 0), "x") // not closed
}

func TestAnEndIsHandedOver(t *testing.T) { // S48
	synctest.Test(t, func(t *testing.T) {
		g, h := holders(t, 3)
		private := int64(g[0].ok(abi.OpChannel, nil).Nums[0])
		end := int64(g[0].ok(abi.OpAttenuate, n(private, abi.RightSend)).Nums[0])
		timer := int64(g[0].ok(abi.OpTimer, n(1)).Nums[0])
		g[0].fails(abi.ErrParam, abi.OpSend, n(h[0], -1, timer), "")
		g[0].fails(abi.ErrNotFound, abi.OpSend, n(h[0], -1, 999), "")
		got := g[1].begin(abi.OpRecv, n(h[1], -1, 10))
		synctest.Wait()
		g[0].ok(abi.OpSend, n(h[0], -1, end), "")
		synctest.Wait()
		theirs := int64(answered(t, got, 0).Nums[1])
		g[1].fails(abi.ErrForbidden, abi.OpRecv, n(theirs, 0, 10))
		g[1].fails(abi.ErrForbidden, abi.OpChannelClose, n(theirs))
		g[2].fails(abi.ErrNotFound, abi.OpSend, n(theirs, 0, 0), "forged")

		// It goes on when who gave it lets go.
		g[0].ok(abi.OpClose, n(end))
		sent := g[1].begin(abi.OpSend, n(theirs, -1, 0), "to you")
		synctest.Wait()
		if a := g[0].ok(abi.OpRecv, n(private, -1, 10)); string(a.Data) != "to you" {
			t.Errorf("received %q", a.Data)
		}
		synctest.Wait()
		answered(t, sent, 0)
	})
}

func TestNamesAreForgottenWhenNobodyHoldsThem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(Config{})
		a, b := newGuest(t, s.App(granting(abi.RightAll)), InstanceConfig{}), newGuest(t, s.App(granting(abi.RightAll)), InstanceConfig{})
		ha, hb := int64(a.ok(abi.OpGrant, nil, "c").Nums[0]), int64(b.ok(abi.OpGrant, nil, "c").Nums[0])
		topic := int64(a.ok(abi.OpGrant, nil, "news").Nums[0])
		a.ok(abi.OpSubscribe, n(topic, 0))
		a.fails(abi.ErrPending, abi.OpSend, n(ha, 1, topic), "withdrawn")
		sent := a.begin(abi.OpSend, n(ha, -1, topic), "taken")
		synctest.Wait()
		b.ok(abi.OpRecv, n(hb, -1, 10))
		synctest.Wait()
		answered(t, sent, 0)
		a.ok(abi.OpAttenuate, n(ha, abi.RightSend))
		if len(s.shared) != 2 {
			t.Errorf("%d names, want 2", len(s.shared))
		}
		a.i.End(nil)
		if len(s.shared) != 2 {
			t.Errorf("%d names while another instance holds them, want 2", len(s.shared))
		}
		b.i.End(nil)
		if len(s.shared) != 0 {
			t.Errorf("%d names are left", len(s.shared))
		}
	})
}

func TestASenderWakesWhoPolls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, h := holders(t, 2)
		list := string([]byte{byte(h[1]), 0, 0, 0})
		wait := g[1].begin(abi.OpPoll, n(-1), list)
		synctest.Wait()
		pending(t, wait)
		sent := g[0].begin(abi.OpSend, n(h[0], -1, 0), "x")
		synctest.Wait()
		answered(t, wait, 0)
		pending(t, sent)
		g[1].ok(abi.OpRecv, n(h[1], 0, 10))
		synctest.Wait()
		answered(t, sent, 0)
		wait = g[1].begin(abi.OpPoll, n(-1), list)
		synctest.Wait()
		pending(t, wait)
		g[0].ok(abi.OpChannelClose, n(h[0]))
		synctest.Wait()
		answered(t, wait, 0)
		if c, _, _ := g[0].i.end(uint32(h[0]), abi.RightSend); len(c.channel.watchers) != 0 {
			t.Errorf("%d watchers are left", len(c.channel.watchers))
		}
	})
}

func TestTheBacklogIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, h := holders(t, abi.MaxBacklog+1)
		for k := range abi.MaxBacklog {
			g[k].begin(abi.OpSend, n(h[k], -1, 0), "x")
		}
		synctest.Wait()
		g[abi.MaxBacklog].fails(abi.ErrLimited, abi.OpSend, n(h[abi.MaxBacklog], -1, 0), "x")
	})
}

func TestATopicDropsWhatNobodyTakes(t *testing.T) { // S46
	synctest.Test(t, func(t *testing.T) {
		s := New(Config{})
		pub := newGuest(t, s.App(granting(abi.RightSend)), InstanceConfig{})
		sub := newGuest(t, s.App(granting(abi.RightRecv)), InstanceConfig{})
		from, to := int64(pub.ok(abi.OpGrant, nil, "news").Nums[0]), int64(sub.ok(abi.OpGrant, nil, "news").Nums[0])
		small, usual := int64(sub.ok(abi.OpSubscribe, n(to, 2)).Nums[0]), int64(sub.ok(abi.OpSubscribe, n(to, 0)).Nums[0])
		sub.fails(abi.ErrForbidden, abi.OpPublish, n(to), "x")
		sub.fails(abi.ErrParam, abi.OpSubscribe, n(to, abi.MaxBuffered+1))
		sub.fails(abi.ErrParam, abi.OpSubscribe, n(to, -1))
		wait := sub.begin(abi.OpRecv, n(small, -1, 10))
		synctest.Wait()
		pending(t, wait)
		for k := range 40 {
			pub.ok(abi.OpPublish, n(from), fmt.Sprint(k))
			synctest.Wait()
		}
		if a := answered(t, wait, 0); string(a.Data) != "0" {
			t.Errorf("received %q", a.Data)
		}
		drops := []uint64{sub.ok(abi.OpDropped, n(small)).Nums[0], sub.ok(abi.OpDropped, n(usual)).Nums[0], pub.ok(abi.OpDropped, n(from)).Nums[0]}
		if diff := cmp.Diff([]uint64{37, 8, 45}, drops); diff != "" {
			t.Error(diff)
		}
		for _, want := range []string{"1", "2"} {
			if a := sub.ok(abi.OpRecv, n(small, 0, 10)); string(a.Data) != want {
				t.Errorf("received %q, want %s", a.Data, want)
			}
		}
		sub.fails(abi.ErrPending, abi.OpRecv, n(small, 0, 10))
		sub.ok(abi.OpClose, n(usual))
		sub.ok(abi.OpClose, n(small))
		if kept := sub.i.kept.Load(); kept != 0 {
			t.Errorf("%d bytes are still counted", kept)
		}
		pub.ok(abi.OpPublish, n(from), "to nobody")
	})
}

func TestSubscriptionsKeepBoundedBytes(t *testing.T) {
	s := New(Config{})
	g := newGuest(t, s.App(granting(abi.RightAll)), InstanceConfig{})
	h := int64(g.ok(abi.OpGrant, nil, "news").Nums[0])
	g.ok(abi.OpSubscribe, n(h, abi.MaxBuffered))
	big := string(make([]byte, abi.MaxBytes))
	for range 40 {
		g.ok(abi.OpPublish, n(h), big)
	}
	if kept := g.i.kept.Load(); kept > maxKept {
		t.Errorf("%d bytes are kept, want %d at most", kept, maxKept)
	}
	if d := g.ok(abi.OpDropped, n(h)).Nums[0]; d != 40-31 {
		t.Errorf("%d were dropped, want 9", d)
	}
	for k := range abi.MaxSubscribe - 1 {
		if a := g.ask(abi.OpSubscribe, n(h, 1)); a.Errno != 0 {
			t.Fatalf("subscription %d failed with %d", k+2, a.Errno)
		}
	}
	g.fails(abi.ErrLimited, abi.OpSubscribe, n(h, 1))
}
