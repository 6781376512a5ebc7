package calls

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/artifacts/manifest"
	"github.com/troupehost/troupe/host/abi"
)

// outcome is how a call ended.
type outcome struct {
	Errno uint32
	Value string // that was received
}

// player is a guest, and the call that it waits in.
type player struct {
	*guest
	handles []int64 // by channel
	out     chan run.Answer
	cancel  context.CancelFunc
}

func (p *player) begin(op abi.Op, nums []int64, args ...string) {
	ctx, cancel := context.WithCancel(context.Background())
	out := make(chan run.Answer, 1)
	p.out, p.cancel = out, cancel
	a := run.Ask{Op: uint16(op), Nums: nums}
	for _, s := range args {
		a.Args = append(a.Args, []byte(s))
	}
	go func() { out <- p.i.Call(ctx, a) }()
}

// line is what a channel should be.
type line struct {
	closed          bool
	senders, takers []int // players
	values          map[int]string
}

func newPlayer(t *testing.T, s *Server, num int) *player {
	cfg := AppConfig{Tenant: "t"}
	for k := range num {
		cfg.Grants.Channels = append(cfg.Grants.Channels, manifest.Capability{Name: fmt.Sprint(k), Rights: abi.RightAll})
	}
	p := &player{guest: newGuest(t, s.App(cfg), InstanceConfig{})}
	for k := range num {
		p.handles = append(p.handles, int64(p.ok(abi.OpGrant, nil, fmt.Sprint(k)).Nums[0]))
	}
	return p
}

// TestChannelsDoWhatTheModelDoes plays one step after the other, and compares which calls returned, and with what.
func TestChannelsDoWhatTheModelDoes(t *testing.T) { // S40-S44
	for seed := range uint64(60) {
		synctest.Test(t, func(t *testing.T) { play(t, seed) })
	}
}

func play(t *testing.T, seed uint64) {
	const numChannels, numPlayers, steps = 2, 6, 250
	rng := rand.New(rand.NewPCG(seed, 1))
	s := New(Config{})
	players := make([]*player, numPlayers)
	for k := range players {
		players[k] = newPlayer(t, s, numChannels)
	}
	model := make([]*line, numChannels)
	for k := range model {
		model[k] = &line{values: map[int]string{}}
	}
	without := func(l []int, p int) []int { return slices.DeleteFunc(l, func(k int) bool { return k == p }) }
	for step := range steps {
		want := map[int]outcome{}
		who, which := rng.IntN(numPlayers), rng.IntN(numChannels)
		p, c := players[who], model[which]
		waits := p.out != nil
		what := ""
		match := func() {
			for len(c.senders) > 0 && len(c.takers) > 0 {
				from, to := c.senders[0], c.takers[0]
				c.senders, c.takers = c.senders[1:], c.takers[1:]
				want[from], want[to] = outcome{}, outcome{Value: c.values[from]}
			}
		}
		timeout := int64(-1)
		if rng.IntN(4) == 0 {
			timeout = 0
		}
		switch roll := rng.IntN(100); {
		case waits && roll < 30: // the run ends
			what = "cancel"
			p.cancel()
			want[who] = outcome{Errno: abi.ErrClosed}
			for _, l := range model {
				l.senders, l.takers = without(l.senders, who), without(l.takers, who)
			}
		case waits && roll < 40:
			what = "end"
			p.i.End(errors.New("killed"))
			want[who] = outcome{Errno: abi.ErrClosed}
			for _, l := range model {
				l.senders, l.takers = without(l.senders, who), without(l.takers, who)
			}
		case waits:
			continue
		case roll < 1:
			what = "close"
			p.begin(abi.OpChannelClose, n(p.handles[which]))
			want[who] = outcome{}
			if c.closed {
				want[who] = outcome{Errno: abi.ErrCondition}
			}
			for _, k := range append(c.senders, c.takers...) {
				want[k] = outcome{Errno: abi.ErrClosed}
			}
			c.closed, c.senders, c.takers = true, nil, nil
		case roll < 50:
			value := fmt.Sprint(step)
			what = "send " + value
			p.begin(abi.OpSend, n(p.handles[which], timeout, 0), value)
			switch {
			case c.closed:
				want[who] = outcome{Errno: abi.ErrClosed}
			case timeout == 0 && len(c.takers) == 0:
				want[who] = outcome{Errno: abi.ErrPending}
			default:
				c.senders, c.values[who] = append(c.senders, who), value
				match()
			}
		default:
			what = "receive"
			p.begin(abi.OpRecv, n(p.handles[which], timeout, 100))
			switch {
			case c.closed:
				want[who] = outcome{Errno: abi.ErrClosed}
			case timeout == 0 && len(c.senders) == 0:
				want[who] = outcome{Errno: abi.ErrPending}
			default:
				c.takers = append(c.takers, who)
				match()
			}
		}
		synctest.Wait()
		got := map[int]outcome{}
		for k, p := range players {
			select {
			case a := <-p.out:
				got[k] = outcome{a.Errno, string(a.Data)}
				p.cancel()
				p.out, p.cancel = nil, nil
			default:
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("seed %d, step %d: player %d, channel %d, %s, timeout %d:\n%s", seed, step, who, which, what, timeout, diff)
		}
		if p.i.ended.Load() {
			players[who] = newPlayer(t, s, numChannels)
		}
	}
	for _, p := range players {
		p.i.End(nil)
	}
	synctest.Wait()
	for _, p := range players {
		if p.out != nil {
			<-p.out
			p.cancel()
		}
	}
	if len(s.shared) != 0 {
		t.Errorf("seed %d: %d names are left", seed, len(s.shared))
	}
}

// TestEveryValueIsReceivedOnce has many send and receive at once, give up, and end.
func TestEveryValueIsReceivedOnce(t *testing.T) { // S42, S44
	synctest.Test(t, func(t *testing.T) {
		s := New(Config{})
		var mu sync.Mutex
		sent, unsure, got := map[string]bool{}, map[string]bool{}, map[string]int{}
		var wg sync.WaitGroup
		for who := range 16 {
			wg.Go(func() {
				rng := rand.New(rand.NewPCG(7, uint64(who)))
				p := newPlayer(t, s, 1)
				for k := range 300 {
					timeout := int64(rng.IntN(4)) - 1
					if timeout < 0 {
						timeout = 100
					}
					if rng.IntN(60) == 0 { // it is ended from elsewhere while it does something
						i := p.i
						go func() {
							pass(time.Millisecond)
							i.End(errors.New("killed"))
						}()
						timeout = 50
					}
					if who%2 == 0 {
						value := fmt.Sprintf("%d.%d", who, k)
						a := p.ask(abi.OpSend, n(p.handles[0], timeout, 0), value)
						mu.Lock()
						sent[value] = a.Errno == 0
						unsure[value] = a.Errno == abi.ErrClosed // it ended: nobody reads the answer
						mu.Unlock()
					} else if a := p.ask(abi.OpRecv, n(p.handles[0], timeout, 100)); a.Errno == 0 {
						mu.Lock()
						got[string(a.Data)]++
						mu.Unlock()
					}
					pass(time.Duration(rng.IntN(3)) * time.Millisecond)
					if p.i.ended.Load() {
						p = newPlayer(t, s, 1)
					}
				}
				p.i.End(nil)
			})
		}
		wg.Wait()
		count := 0
		for value, ok := range sent {
			if ok {
				count++
			}
			if n := got[value]; n > 1 || ok && n == 0 || !ok && n > 0 && !unsure[value] {
				t.Errorf("value %s: sent %v, received %d times", value, ok, n)
			}
		}
		if count < 300 || len(s.shared) != 0 {
			t.Errorf("%d values were sent, %d names are left (%v)", count, len(s.shared), slices.Collect(maps.Keys(s.shared)))
		}
	})
}
