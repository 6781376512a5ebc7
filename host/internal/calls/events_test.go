package calls

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/host/abi"
)

func TestAQueryIsReadAndAnsweredOnce(t *testing.T) {
	m := &tally{}
	g := newGuest(t, newApp(t, AppConfig{}), InstanceConfig{Meter: m})
	p := newPeer()
	g.Gas = 500
	h := g.deliver(abi.EventQuery, Bytes([]byte("payload")), p)
	if a := g.ok(abi.OpHead, n(h, 2)); string(a.Data) != "he" || a.Nums[0] != 4 {
		t.Errorf("head is %q of %d bytes", a.Data, a.Nums[0])
	}
	if a := g.ok(abi.OpRead, n(h, 0, 4)); string(a.Data) != "payl" {
		t.Errorf("read %q", a.Data)
	}
	if a := g.ok(abi.OpRead, n(h, 0, 100)); string(a.Data) != "oad" {
		t.Errorf("read %q", a.Data)
	}
	g.fails(abi.ErrEOF, abi.OpRead, n(h, -1, 100))
	g.fails(abi.ErrParam, abi.OpShutdown, n(h))
	g.fails(abi.ErrParam, abi.OpRespond, n(h, 200), "")
	g.Gas = 900
	p.reply = func() {
		if m.committed.Gas != 900 {
			t.Errorf("the reply left when gas %d was written, want 900", m.committed.Gas)
		}
	}
	g.ok(abi.OpReply, n(h, 3), "answer")
	g.fails(abi.ErrCondition, abi.OpReply, n(h, 0), "again")
	g.ok(abi.OpClose, n(h))
	g.fails(abi.ErrNotFound, abi.OpClose, n(h))
	if journal, _, closed, why := p.state(); journal != "reply 3 answer" || closed != 1 || why != nil {
		t.Errorf("the event saw %q, was closed %d times with %v", journal, closed, why)
	}
	if u := m.total(); u.Ingress != 0 || u.Egress != 0 {
		t.Errorf("a query was counted as traffic: %+v", u)
	}
}

func TestNoReplyLeavesBeforeItsUseIsWritten(t *testing.T) {
	m := &tally{fail: errors.New("disk")}
	g := newGuest(t, newApp(t, AppConfig{}), InstanceConfig{Meter: m})
	p := newPeer()
	h := g.deliver(abi.EventQuery, Bytes(nil), p)
	g.fails(abi.ErrIO, abi.OpReply, n(h, 0), "answer")
	if journal, _, closed, why := p.state(); journal != "" || closed != 1 || why == nil {
		t.Errorf("the event saw %q, was closed %d times with %v", journal, closed, why)
	}
	web := newPeer()
	h = g.deliver(abi.EventHTTP, Bytes(nil), web)
	g.fails(abi.ErrIO, abi.OpWrite, n(h, 0), "answer")
	if journal, body, _, _ := web.state(); journal != "" || body != "" {
		t.Errorf("the event saw %q %q", journal, body)
	}
}

func TestAnsweredQueriesNeedNotBeClosed(t *testing.T) {
	g := newGuest(t, newApp(t, AppConfig{}), InstanceConfig{})
	for range 3 * abi.MaxHandles {
		g.ok(abi.OpReply, n(g.deliver(abi.EventQuery, Bytes(nil), newPeer()), 0), "")
	}
	if len(g.i.handles) > maxAnswered {
		t.Errorf("%d handles are left, want %d at most", len(g.i.handles), maxAnswered)
	}
}

func TestAResponseStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &tally{}
		g := newGuest(t, newApp(t, AppConfig{}), InstanceConfig{Meter: m})
		p := newPeer()
		r, w := io.Pipe()
		h := g.deliver(abi.EventHTTP, r, p)
		g.fails(abi.ErrPending, abi.OpRead, n(h, 10, 100))
		read := g.begin(abi.OpRead, n(h, -1, 100))
		synctest.Wait()
		pending(t, read)
		if _, err := io.WriteString(w, "body"); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if a := answered(t, read, 0); string(a.Data) != "body" {
			t.Errorf("read %q", a.Data)
		}
		_ = w.Close()
		g.fails(abi.ErrEOF, abi.OpRead, n(h, -1, 100))
		g.fails(abi.ErrEncoding, abi.OpRespond, n(h, 200), "A: b\r\nbroken\r\n")
		g.fails(abi.ErrEncoding, abi.OpRespond, n(h, 200), "A: b\r\n\r\nHTTP/1.1 200 OK\r\n")
		g.fails(abi.ErrEncoding, abi.OpRespond, n(h, 200), "A: b\rc: d\r\n")
		g.fails(abi.ErrParam, abi.OpRespond, n(h, 99), "")
		g.fails(abi.ErrParam, abi.OpRespond, n(h, 100), "")
		g.ok(abi.OpRespond, n(h, 404), "A: b\r\n")
		g.fails(abi.ErrCondition, abi.OpRespond, n(h, 200), "")
		g.ok(abi.OpWrite, n(h, 0), "not ")
		g.ok(abi.OpWrite, n(h, 0), "here")
		g.ok(abi.OpShutdown, n(h))
		g.fails(abi.ErrCondition, abi.OpWrite, n(h, 0), "more")
		g.fails(abi.ErrCondition, abi.OpShutdown, n(h))
		g.ok(abi.OpClose, n(h))
		synctest.Wait()
		journal, body, closed, why := p.state()
		if journal != "respond 4xx A: b\r\n; closewrite" || body != "not here" || closed != 1 || why != nil {
			t.Errorf("the event saw %q %q, was closed %d times with %v", journal, body, closed, why)
		}
		g.i.Flush()
		if u := m.total(); u.Ingress != 0 || u.Egress != 0 {
			t.Errorf("counted %d in and %d out, which the host counts where they enter", u.Ingress, u.Egress)
		}
	})
}

func TestAWriteFirstIsAResponseOf200(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGuest(t, newApp(t, AppConfig{}), InstanceConfig{})
		p := newPeer()
		h := g.deliver(abi.EventHTTP, nil, p)
		g.ok(abi.OpWrite, n(h, 0), "hello")
		g.fails(abi.ErrCondition, abi.OpRespond, n(h, 200), "")
		g.ok(abi.OpClose, n(h))
		synctest.Wait()
		if journal, body, _, _ := p.state(); journal != "respond 2xx " || body != "hello" {
			t.Errorf("the event saw %q %q", journal, body)
		}
	})
}

func TestAWriteWaitsForWhoDoesNotRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGuest(t, newApp(t, AppConfig{}), InstanceConfig{})
		p := newPeer()
		p.gate = make(chan struct{})
		h := g.deliver(abi.EventHTTP, nil, p)
		big := strings.Repeat("x", 100<<10)
		if a := g.ok(abi.OpWrite, n(h, 0), big); a.Nums[0] != maxBuffered {
			t.Errorf("%d bytes were taken, want %d", a.Nums[0], maxBuffered)
		}
		synctest.Wait()
		g.fails(abi.ErrPending, abi.OpWrite, n(h, second), big)
		wait := g.begin(abi.OpWrite, n(h, -1), big)
		synctest.Wait()
		pending(t, wait)
		p.gate <- struct{}{}
		synctest.Wait()
		if a := answered(t, wait, 0); a.Nums[0] != maxBuffered {
			t.Errorf("%d bytes were taken, want %d", a.Nums[0], maxBuffered)
		}
		// What is left is given up in time, and the handle counts until then.
		g.ok(abi.OpClose, n(h))
		if k := g.i.lingering(); k != 1 {
			t.Errorf("%d handles linger, want 1", k)
		}
		pass(31 * time.Second)
		synctest.Wait()
		if _, _, closed, why := p.state(); closed != 1 || fault.CodeOf(why) != fault.CanceledCaller {
			t.Errorf("the event was closed %d times with %v", closed, why)
		}
		if k := g.i.lingering(); k != 0 {
			t.Errorf("%d handles linger, want 0", k)
		}
	})
}

func TestAnUpgradedConnectionIsReadAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGuest(t, newApp(t, AppConfig{}), InstanceConfig{})
		p := newPeer()
		body := &phases{}
		h := g.deliver(abi.EventHTTP, body, p)
		g.fails(abi.ErrEOF, abi.OpRead, n(h, -1, 10))
		body.second = strings.NewReader("frames")
		g.ok(abi.OpRespond, n(h, 101), "Upgrade: x\r\n")
		if a := g.ok(abi.OpRead, n(h, -1, 10)); string(a.Data) != "frames" {
			t.Errorf("read %q", a.Data)
		}
	})
}

func (i *Instance) lingering() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.lingers
}

// phases is a body that ends, and goes on once there is a second part.
type phases struct{ second io.Reader }

func (p *phases) Read(b []byte) (int, error) {
	if p.second == nil {
		return 0, io.EOF
	}
	return p.second.Read(b)
}
func (p *phases) Close() error { return nil }

func TestTheQueueIsBounded(t *testing.T) {
	g := newGuest(t, newApp(t, AppConfig{}), InstanceConfig{})
	for range 20 {
		if err := g.i.Deliver(context.Background(), Event{Kind: abi.EventQuery, Out: newPeer()}); err != nil {
			t.Fatal(err)
		}
	}
	p := newPeer()
	if err := g.i.Deliver(context.Background(), Event{Kind: abi.EventQuery, Out: p}); fault.CodeOf(err) != fault.BusyApp {
		t.Errorf("the 21st event got %v, want %s", err, fault.BusyApp)
	}
	if _, _, closed, _ := p.state(); closed != 0 {
		t.Error("an event that was refused was closed")
	}
	g.ok(abi.OpAccept, n(0))
	if err := g.i.Deliver(context.Background(), Event{Kind: abi.EventQuery, Out: p}); err != nil {
		t.Error(err)
	}
}

func TestAcceptEndsWhenStopped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGuest(t, newApp(t, AppConfig{}), InstanceConfig{})
		g.fails(abi.ErrPending, abi.OpAccept, n(0))
		start := time.Now()
		g.fails(abi.ErrPending, abi.OpAccept, n(second))
		if d := time.Since(start); d != time.Second {
			t.Errorf("accept took %v, want 1s", d)
		}
		wait := g.begin(abi.OpAccept, n(-1))
		synctest.Wait()
		pending(t, wait)
		g.i.Stop()
		synctest.Wait()
		answered(t, wait, abi.ErrEOF)
		g.fails(abi.ErrEOF, abi.OpAccept, n(-1))
		if err := g.i.Deliver(context.Background(), Event{Kind: abi.EventQuery, Out: newPeer()}); fault.CodeOf(err) != fault.GuestNotServing {
			t.Errorf("an event after Stop got %v", err)
		}
	})
}

func TestStopClosesWhatWaits(t *testing.T) {
	g := newGuest(t, newApp(t, AppConfig{}), InstanceConfig{})
	p := newPeer()
	if err := g.i.Deliver(context.Background(), Event{Kind: abi.EventQuery, Out: p}); err != nil {
		t.Fatal(err)
	}
	g.i.Stop()
	if _, _, closed, why := p.state(); closed != 1 || fault.CodeOf(why) != fault.GuestNotServing {
		t.Errorf("the event was closed %d times with %v", closed, why)
	}
}

func TestOneEventIsOne(t *testing.T) {
	g := newGuest(t, newApp(t, AppConfig{}), InstanceConfig{One: true})
	g.fails(abi.ErrPending, abi.OpAccept, n(0))
	h := g.deliver(abi.EventQuery, nil, newPeer())
	if err := g.i.Deliver(context.Background(), Event{Kind: abi.EventQuery, Out: newPeer()}); err == nil {
		t.Error("a second event was taken")
	}
	g.fails(abi.ErrEOF, abi.OpAccept, n(-1))
	g.ok(abi.OpReply, n(h, 0), "")
}

func TestACallerWhoLeavesTakesItsEventBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGuest(t, newApp(t, AppConfig{}), InstanceConfig{})
		ctx, cancel := context.WithCancel(context.Background())
		p := newPeer()
		if err := g.i.Deliver(ctx, Event{Kind: abi.EventQuery, Out: p}); err != nil {
			t.Fatal(err)
		}
		cancel()
		synctest.Wait()
		if _, _, closed, why := p.state(); closed != 1 || fault.CodeOf(why) != fault.CanceledCaller {
			t.Errorf("the event was closed %d times with %v", closed, why)
		}
		g.fails(abi.ErrPending, abi.OpAccept, n(0))
		// A query that the guest has is over, too, whatever becomes of it there.
		ctx, cancel = context.WithCancel(context.Background())
		p = newPeer()
		if err := g.i.Deliver(ctx, Event{Kind: abi.EventQuery, Out: p}); err != nil {
			t.Fatal(err)
		}
		taken := int64(g.ok(abi.OpAccept, n(0)).Nums[1])
		cancel()
		synctest.Wait()
		if _, _, closed, why := p.state(); closed != 1 || fault.CodeOf(why) != fault.CanceledCaller {
			t.Errorf("the event was closed %d times with %v", closed, why)
		}
		g.ok(abi.OpClose, n(taken))
		if _, _, closed, _ := p.state(); closed != 1 {
			t.Errorf("the event was closed %d times", closed)
		}
		// One that the guest has: a read that waits for the body ends.
		ctx, cancel = context.WithCancel(context.Background())
		r, _ := io.Pipe()
		if err := g.i.Deliver(ctx, Event{Kind: abi.EventHTTP, Body: r, Out: newPeer()}); err != nil {
			t.Fatal(err)
		}
		h := int64(g.ok(abi.OpAccept, n(0)).Nums[1])
		wait := g.begin(abi.OpRead, n(h, -1, 10))
		synctest.Wait()
		pending(t, wait)
		cancel()
		synctest.Wait()
		answered(t, wait, abi.ErrIO)
	})
}

func TestTheEndClosesEveryEvent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		why := errors.New("killed")
		g := newGuest(t, newApp(t, AppConfig{}), InstanceConfig{})
		held, queued, slow := newPeer(), newPeer(), newPeer()
		slow.gate = make(chan struct{})
		r, _ := io.Pipe()
		h := g.deliver(abi.EventHTTP, r, held)
		s := g.deliver(abi.EventHTTP, nil, slow)
		g.ok(abi.OpWrite, n(s, 0), "nobody reads this")
		if err := g.i.Deliver(context.Background(), Event{Kind: abi.EventQuery, Out: queued}); err != nil {
			t.Fatal(err)
		}
		wait := g.begin(abi.OpRead, n(h, -1, 10))
		synctest.Wait()
		g.i.End(why)
		synctest.Wait()
		answered(t, wait, abi.ErrClosed)
		for name, p := range map[string]*peer{"held": held, "queued": queued, "slow": slow} {
			if _, _, closed, err := p.state(); closed != 1 || err != why {
				t.Errorf("%s: closed %d times with %v", name, closed, err)
			}
		}
		g.fails(abi.ErrClosed, abi.OpTip, n(1))
		g.i.End(nil)
	})
}

func TestAGoodEndSendsWhatWasWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGuest(t, newApp(t, AppConfig{}), InstanceConfig{Meter: &tally{}})
		web, query := newPeer(), newPeer()
		h := g.deliver(abi.EventHTTP, nil, web)
		g.deliver(abi.EventQuery, nil, query)
		g.ok(abi.OpWrite, n(h, 0), "done")
		g.i.End(nil)
		synctest.Wait()
		if _, body, closed, why := web.state(); body != "done" || closed != 1 || why != nil {
			t.Errorf("the response is %q, closed %d times with %v", body, closed, why)
		}
		if _, _, closed, why := query.state(); closed != 1 || fault.CodeOf(why) != fault.GuestNotServing {
			t.Errorf("the query was closed %d times with %v", closed, why)
		}
	})
}

func TestAConnectionByItsName(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &tally{}
		g := newGuest(t, newApp(t, AppConfig{}), InstanceConfig{Meter: m})
		p := newPeer()
		h := g.deliver(abi.EventConnection, Bytes([]byte("from the peer")), p)
		g.fails(abi.ErrParam, abi.OpRespond, n(h, 200), "")
		g.fails(abi.ErrParam, abi.OpReply, n(h, 0), "")
		g.ok(abi.OpRead, n(h, -1, 100))
		g.ok(abi.OpWrite, n(h, -1), "to it")
		g.ok(abi.OpShutdown, n(h))
		g.ok(abi.OpClose, n(h))
		synctest.Wait()
		if journal, body, closed, why := p.state(); journal != "closewrite" || body != "to it" || closed != 1 || why != nil {
			t.Errorf("the event saw %q %q, was closed %d times with %v", journal, body, closed, why)
		}
		if u := m.committed; u.Ingress != 0 || u.Egress != 0 {
			t.Errorf("%d in and %d out were written, which the host counts where they enter", u.Ingress, u.Egress)
		}
	})
}

func TestPollFindsWhatIsReady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGuest(t, newApp(t, AppConfig{}), InstanceConfig{})
		handles := func(h ...int64) string {
			var b []byte
			for _, v := range h {
				b = binary.LittleEndian.AppendUint32(b, uint32(v))
			}
			return string(b)
		}
		timer := int64(g.ok(abi.OpTimer, n(5*second)).Nums[0])
		late := int64(g.ok(abi.OpTimer, n(1<<62)).Nums[0])
		ch := int64(g.ok(abi.OpChannel, nil).Nums[0])
		r, w := io.Pipe()
		h := g.deliver(abi.EventHTTP, r, newPeer())
		all := handles(late, 0, timer, ch, h)
		g.fails(abi.ErrPending, abi.OpPoll, n(0), all)
		g.fails(abi.ErrPending, abi.OpPoll, n(second), all)

		start := time.Now()
		if a := g.ok(abi.OpPoll, n(-1), all); a.Nums[0] != 2 || time.Since(start) != 4*time.Second {
			t.Errorf("poll gave %d after %v, want the timer after 4s", a.Nums[0], time.Since(start))
		}
		g.ok(abi.OpRead, n(timer, 0, 8))
		g.fails(abi.ErrPending, abi.OpRead, n(timer, 0, 8))
		g.ok(abi.OpTimerReset, n(timer, 0))
		synctest.Wait()
		g.ok(abi.OpRead, n(timer, 0, 8))
		g.ok(abi.OpTimerReset, n(timer, 0))
		synctest.Wait()
		g.ok(abi.OpTimerReset, n(timer, 1<<62)) // it is due no more
		g.fails(abi.ErrPending, abi.OpRead, n(timer, 0, 8))

		wait := g.begin(abi.OpPoll, n(-1), all)
		synctest.Wait()
		pending(t, wait)
		_, _ = w.Write([]byte("x"))
		synctest.Wait()
		if a := answered(t, wait, 0); a.Nums[0] != 4 {
			t.Errorf("poll gave %d, want the body", a.Nums[0])
		}
		g.ok(abi.OpRead, n(h, 0, 1))

		wait = g.begin(abi.OpPoll, n(-1), all)
		synctest.Wait()
		if err := g.i.Deliver(context.Background(), Event{Kind: abi.EventQuery, Out: newPeer()}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if a := answered(t, wait, 0); a.Nums[0] != 1 {
			t.Errorf("poll gave %d, want the queue", a.Nums[0])
		}
		_ = w.Close()

		g.fails(abi.ErrParam, abi.OpPoll, n(0), "")
		g.fails(abi.ErrParam, abi.OpPoll, n(0), "abc")
		g.fails(abi.ErrParam, abi.OpPoll, n(0), strings.Repeat("\x00", 4*(abi.MaxPoll+1)))
		g.fails(abi.ErrNotFound, abi.OpPoll, n(0), handles(999))
		lock := int64(g.ok(abi.OpLock, n(0), "l").Nums[0])
		g.fails(abi.ErrParam, abi.OpPoll, n(0), handles(lock))
		to := int64(g.ok(abi.OpAttenuate, n(ch, abi.RightSend)).Nums[0])
		g.fails(abi.ErrForbidden, abi.OpPoll, n(0), handles(to))
	})
}

func TestHandlesAreBounded(t *testing.T) {
	g := newGuest(t, newApp(t, AppConfig{}), InstanceConfig{})
	for range abi.MaxHandles {
		g.ok(abi.OpChannel, nil)
	}
	g.fails(abi.ErrLimited, abi.OpChannel, nil)
	g.fails(abi.ErrLimited, abi.OpTimer, n(1))
	if err := g.i.Deliver(context.Background(), Event{Kind: abi.EventQuery, Out: newPeer()}); err != nil {
		t.Fatal(err)
	}
	g.fails(abi.ErrLimited, abi.OpAccept, n(-1))
	g.ok(abi.OpClose, n(1))
	g.ok(abi.OpAccept, n(-1)) // the event was not lost
}

func TestTurnsAreGivenUpWhileWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		turn := &fakeTurn{}
		g := newGuest(t, newApp(t, AppConfig{}), InstanceConfig{Turn: turn})
		g.Gas = 77
		g.ok(abi.OpTurn, nil)
		g.fails(abi.ErrPending, abi.OpAccept, n(0)) // does not wait, so does not pause
		g.fails(abi.ErrPending, abi.OpAccept, n(1))
		g.i.End(nil)
		if got := strings.Join(turn.journal, " "); got != "next:M pause resume leave" {
			t.Errorf("the turn saw %q", got)
		}
	})
}

type fakeTurn struct{ journal []string }

func (f *fakeTurn) Next(_ context.Context, gas int64) error {
	f.journal = append(f.journal, "next:"+string(rune(gas)))
	return nil
}
func (f *fakeTurn) Pause()                       { f.journal = append(f.journal, "pause") }
func (f *fakeTurn) Resume(context.Context) error { f.journal = append(f.journal, "resume"); return nil }
func (f *fakeTurn) Leave()                       { f.journal = append(f.journal, "leave") }

// TestRepliesAreGathered: what is written to a query comes in front of its reply, up to a limit, and is no traffic.
func TestRepliesAreGathered(t *testing.T) {
	m := &tally{}
	g := newGuest(t, newApp(t, AppConfig{}), InstanceConfig{Meter: m, Reply: abi.MaxBytes + 100})
	part := strings.Repeat("x", abi.MaxBytes)
	answer := func(end func(h int64)) (string, int) {
		p := newPeer()
		h := g.deliver(abi.EventQuery, Bytes(nil), p)
		if a := g.ok(abi.OpWrite, n(h, 0), part); a.Nums[0] != abi.MaxBytes {
			t.Errorf("%d bytes were taken", a.Nums[0])
		}
		g.fails(abi.ErrLimited, abi.OpWrite, n(h, -1), part)
		g.fails(abi.ErrLimited, abi.OpReply, n(h, 0), part)
		end(h)
		g.fails(abi.ErrCondition, abi.OpWrite, n(h, 0), "late")
		g.ok(abi.OpClose, n(h))
		journal, _, closed, _ := p.state()
		return journal, closed
	}
	for range 2 * maxGathers { // what was sent makes room
		if got, _ := answer(func(h int64) { g.ok(abi.OpReply, n(h, 0), "end") }); got != "reply 0 "+part+"end" {
			t.Fatalf("%.20q of %d bytes", got, len(got))
		}
		if got, _ := answer(func(h int64) { g.ok(abi.OpReply, n(h, 1), "no") }); got != "reply 1 no" {
			t.Fatalf("%.20q of %d bytes", got, len(got))
		}
	}
	for k := range maxGathers + 1 {
		h := g.deliver(abi.EventQuery, Bytes(nil), newPeer())
		if k < maxGathers {
			g.ok(abi.OpWrite, n(h, 0), part)
			continue
		}
		g.ok(abi.OpWrite, n(h, 0), strings.Repeat("x", 400)) // the rest of the room
		g.fails(abi.ErrLimited, abi.OpWrite, n(h, 0), "x")
	}
	if u := m.total(); u.Egress != 0 {
		t.Errorf("a query was counted as traffic: %+v", u)
	}
}
