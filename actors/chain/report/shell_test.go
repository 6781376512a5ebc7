package report

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/troupehost/troupe/actors/chain"
	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/kernel"
)

// TestW75Start has a worker that nobody knows: it is registered, described, reachable and scored, and its session is agreed on, without a
// hand of an operator.
func TestW75Start(t *testing.T) {
	onStage(t, Settings{Node: "n"}, func(s *stage) {
		c := s.chain
		s.until(time.Minute, "a worker that is known", func() bool {
			return c.registered && c.node && c.description != nil && len(c.endpoints) == 1 && c.session != nil && c.score == 300 && c.measured > 0
		})
		s.after(3 * time.Minute)
		st := s.status()
		for _, d := range st.Duties {
			if d.State != "done" {
				t.Errorf("%+v", d)
			}
		}
		if !st.Registered || st.Session == "" || st.Session != st.ChainSession || st.Attestation != "root" || !st.Following {
			t.Errorf("status %+v", st)
		}
		if c.registers != 1 || c.describes != 1 || c.updates != 1 || s.host.opened != 1 {
			t.Errorf("%d registrations, %d descriptions, %d session updates of %d sessions", c.registers, c.describes, c.updates, s.host.opened)
		}
		if c.specs != c.measured || c.measured < 3 || c.measured > 4 {
			t.Errorf("the node was measured %d times, and specified %d times", c.measured, c.specs)
		}
	})
}

// TestW75Heals changes what the chain knows, and what the worker says.
func TestW75Heals(t *testing.T) {
	onStage(t, Settings{Refresh: time.Hour, LookEvery: 10 * time.Second}, func(s *stage) {
		c := s.chain
		s.until(time.Minute, "start", func() bool { return c.session != nil && c.description != nil })
		first := *c.session

		s.host.mu.Lock()
		s.host.text = "two"
		s.host.mu.Unlock()
		_ = s.ref.Send(Nudge{})
		s.until(2*blockTime, "a description that changed", func() bool { return c.description.Text == "two" })

		c.mu.Lock()
		c.session = &ChainSession{ID: ID{8}, LastNonce: []byte{1, 2, 3}}
		c.mu.Unlock()
		s.until(time.Minute, "a session that differs", func() bool { return c.session.ID != ID{8} && c.session.ID != first.ID })

		c.mu.Lock()
		c.registered, c.session, c.score = false, nil, 0
		c.mu.Unlock()
		s.until(time.Minute, "a chain that began anew", func() bool { return c.registered && c.session != nil && c.score > 0 })
		if got := s.status(); got.Session != c.session.ID.String() {
			t.Errorf("session %s, on the chain %s", got.Session, c.session.ID)
		}

		n := c.registers
		s.until(2*time.Hour, "an attestation that is old", func() bool { return c.registers > n })
	})
}

// TestW75Operator registers a worker again whose operator is another.
func TestW75Operator(t *testing.T) {
	s := newDesk(t, Settings{Operator: ID{3}})
	s.view.Known, s.view.Operator = true, ID{4}
	if acts := s.look(); !slices.Contains(acts, RegisterWorker) {
		t.Errorf("it does %v", acts)
	}
	s = newDesk(t, Settings{Operator: ID{3}})
	s.view.Known, s.view.Operator = true, ID{3}
	if acts := s.look(); slices.Contains(acts, RegisterWorker) {
		t.Errorf("it does %v", acts)
	}
}

// TestW76WorkerRestart kills the worker in the middle: within 30 s its session is agreed on anew, and its metrics go on.
func TestW76WorkerRestart(t *testing.T) {
	for _, resumed := range []bool{true, false} {
		onStage(t, Settings{Interval: time.Minute}, func(s *stage) {
			c := s.chain
			s.until(2*time.Minute, "a report", func() bool { return c.settled[ID{1}] == 100 })
			s.after(30 * time.Second)
			s.down()
			before := *c.session
			if !resumed {
				s.host.session, s.host.sn = nil, 0
			}
			s.host.apps[[32]byte{1}] = 250
			began := time.Now()
			s.up()
			s.until(30*time.Second, "a session that is agreed on, and metrics", func() bool { return c.settled[ID{1}] == 250 })
			if (c.session.ID == before.ID) != resumed {
				t.Errorf("resumed %v: session %s after %s", resumed, c.session.ID, before.ID)
			}
			if took := time.Since(began); took > 30*time.Second {
				t.Errorf("it took %v", took)
			}
			if s.host.removed > 0 {
				t.Errorf("%d apps were removed", s.host.removed)
			}
		})
	}
}

// TestW76Backup has a host whose numbers are below those that the chain has seen: only another session helps.
func TestW76Backup(t *testing.T) {
	onStage(t, Settings{Interval: 10 * time.Second}, func(s *stage) {
		c := s.chain
		s.until(3*time.Minute, "reports", func() bool { return len(c.sns) > 5 })
		s.down()
		before := c.session.ID
		s.host.sn = 2
		s.up()
		s.until(time.Minute, "another session", func() bool { return c.session.ID != before })
		n := len(c.sns)
		s.until(time.Minute, "metrics", func() bool { return len(c.sns) > n })
		if s.host.opened != 2 {
			t.Errorf("%d sessions were opened", s.host.opened)
		}
	})
}

// TestW77SameBlock answers challenges before the next block comes, also one that comes while the answer to another is on its way.
func TestW77SameBlock(t *testing.T) {
	onStage(t, Settings{}, func(s *stage) {
		c := s.chain
		s.until(time.Minute, "start", func() bool { return c.score > 0 })
		c.mu.Lock()
		c.state = "WorkerIdle"
		c.mu.Unlock()
		s.after(2 * time.Minute) // a look sees it
		for range 5 {
			c.mu.Lock()
			c.challenge = true
			before := len(c.answers)
			c.mu.Unlock()
			s.until(blockTime+time.Second, "a challenge", func() bool { return c.waiting > 0 })
			seen := uint64(len(c.blocks))
			s.until(3*blockTime, "an answer", func() bool { return len(c.answers) > before })
			e := c.order[slices.IndexFunc(c.order, func(e *fakeEntry) bool { return e.duty == AnswerChallenge && e.at == c.answers[before] })]
			if e.sent != seen || e.at != seen+1 {
				t.Errorf("challenged in block %d, submitted after block %d, answered in %d", seen, e.sent, e.at)
			}
		}
		s.after(time.Second)
		h := s.status().Heartbeat
		if h.Hits != 5 || h.Answered != 5 || h.Waiting != 0 || h.Blocks != 1 || h.MaxLatency > blockTime.Microseconds() || h.Alarm != "" {
			t.Errorf("%+v", h)
		}
		c.mu.Lock() // two in a row
		c.challenge = true
		c.mu.Unlock()
		s.until(2*blockTime, "a challenge", func() bool { return c.waiting > 0 })
		c.mu.Lock()
		c.challenge = true
		c.mu.Unlock()
		s.until(4*blockTime, "both answers", func() bool { return len(c.answers) == 7 && c.waiting == 0 })
	})
}

// TestW65HeartbeatAlarm has no fresh score for a challenge: the alarm comes before the window ends, and goes with the answer.
func TestW65HeartbeatAlarm(t *testing.T) {
	onStage(t, Settings{}, func(s *stage) {
		c := s.chain
		s.until(time.Minute, "start", func() bool { return c.score > 0 })
		c.mu.Lock()
		c.state, c.challenge = "WorkerIdle", true
		c.mu.Unlock()
		s.host.mu.Lock()
		s.host.stuck = true
		s.host.mu.Unlock()
		s.until(2*time.Minute, "a challenge", func() bool { return c.waiting > 0 })
		s.after(7 * blockTime)
		d := s.duty(AnswerChallenge)
		if st := s.status(); st.Heartbeat.Alarm == "" || len(s.host.alarms) != 1 || d.State != "backoff" || !strings.Contains(d.Reason, "newer") || len(c.answers) > 0 {
			t.Errorf("%+v, duty %+v, alarms %q, answers %v", st.Heartbeat, d, s.host.alarms, c.answers)
		}
		s.host.mu.Lock()
		s.host.stuck = false
		s.host.mu.Unlock()
		s.until(3*blockTime, "an answer", func() bool { return len(c.answers) == 1 })
		s.after(2 * blockTime)
		if len(s.host.alarms) == 0 {
			t.Fatalf("no alarm; %+v", s.status())
		}
		if want := []string{s.host.alarms[0], ""}; !cmp.Equal(s.host.alarms, want) {
			t.Errorf("alarms %q", s.host.alarms)
		}
	})
}

// TestW67Order has scores and reports come between each other: neither outdates the other, and all are taken in the order of their numbers.
func TestW67Order(t *testing.T) {
	onStage(t, Settings{Interval: 2 * time.Second}, func(s *stage) {
		c := s.chain
		s.until(time.Minute, "start", func() bool { return c.score > 0 })
		c.mu.Lock()
		c.state = "WorkerIdle"
		c.mu.Unlock()
		s.after(2 * time.Minute)
		for range 10 {
			c.mu.Lock()
			c.challenge = true
			c.mu.Unlock()
			s.after(2 * blockTime)
		}
		s.after(3 * blockTime)
		c.mu.Lock()
		defer c.mu.Unlock()
		if !slices.IsSorted(c.sns) || len(c.sns) < 20 || len(c.answers) != 10 {
			t.Errorf("reports %v, %d answers", c.sns, len(c.answers))
		}
		for _, e := range c.order {
			if e.err != nil {
				t.Errorf("%s failed: %v", e.key, e.err.Fault())
			}
		}
	})
}

// TestReportNow settles what an app has used when it is asked to.
func TestReportNow(t *testing.T) {
	onStage(t, Settings{}, func(s *stage) {
		c := s.chain
		s.until(time.Minute, "start", func() bool { return c.settled[ID{1}] == 100 })
		s.after(20 * time.Second)
		s.host.mu.Lock()
		s.host.apps[[32]byte{1}] = 777
		s.host.mu.Unlock()
		got, err := s.reportNow([32]byte{1})
		if err != nil || got.Pages != 1 || got.Height == 0 || c.settled[ID{1}] != 777 {
			t.Errorf("%+v, %v, settled %v", got, err, c.settled)
		}
		if got, err = s.reportNow([32]byte{2}); err != nil || got.Pages != 0 {
			t.Errorf("an app without tickets: %+v, %v", got, err)
		}
		c.mu.Lock()
		c.refuse = map[string]string{"ticket_settle": "NotAllowed"}
		c.mu.Unlock()
		if _, err = s.reportNow(); fault.CodeOf(err) != fault.CallerTxFailed || !strings.Contains(err.Error(), "NotAllowed") {
			t.Errorf("a chain that refuses: %v", err)
		}
		c.mu.Lock()
		c.refuse = nil
		c.mu.Unlock()
		c.leave(true)
		answered := make(chan error, 1)
		go func() {
			_, err := s.reportNow()
			answered <- err
		}()
		s.after(10 * time.Minute)
		if st := s.status(); st.Asked != 1 || !strings.Contains(st.Waiting, "waits for the chain") || len(answered) > 0 {
			t.Errorf("while the chain is away: %+v", st)
		}
		c.leave(false)
		if err := <-answered; err != nil {
			t.Error(err)
		}
	})
}

// TestOutage has the chain away for hours: little is kept meanwhile, and all goes on after it.
func TestOutage(t *testing.T) {
	onStage(t, Settings{Interval: time.Minute, Node: "n"}, func(s *stage) {
		c := s.chain
		s.until(2*time.Minute, "start", func() bool { return c.settled[ID{1}] == 100 && c.measured > 0 })
		s.host.mu.Lock()
		s.host.apps[[32]byte{1}] = 5000
		s.host.mu.Unlock()
		n := len(c.order)
		c.leave(true)
		s.after(5 * time.Hour)
		if got := len(c.order) - n; got > 4 {
			t.Errorf("%d calls were made while the chain was away", got)
		}
		for _, d := range s.status().Duties {
			if d.State == "waiting" && d.Reason == "" {
				t.Errorf("%s waits for nothing", d.Name)
			}
		}
		c.leave(false)
		s.until(90*time.Second, "what was used meanwhile", func() bool { return c.settled[ID{1}] == 5000 })
	})
}

// TestUnpaid tells of an app whose tickets are empty, and lists what apps earned.
func TestUnpaid(t *testing.T) {
	onStage(t, Settings{}, func(s *stage) {
		c := s.chain
		s.until(time.Minute, "start", func() bool { return c.settled[ID{1}] == 100 })
		key := c.worker.String()
		event := func(name, fields string) chain.Event {
			return chain.Event{Pallet: market, Name: name, Fields: []byte(`{"ticket_id":7,"worker":"` + key + `",` + fields + `}`)}
		}
		c.mu.Lock()
		c.events = []chain.Event{event("Settled", `"payout":"40"`), event("SettleFailed", `"payout":"60"`), event("TicketExhausted", `"debt":"60"`),
			{Pallet: market, Name: "Settled", Fields: []byte(`{"ticket_id":7,"worker":"` + strings.Repeat("ab", 32) + `","payout":"9"}`)}}
		c.mu.Unlock()
		s.after(2 * blockTime)
		if want := []ID{{1}}; !cmp.Equal(s.host.unpaid, want) {
			t.Errorf("unpaid: %v", s.host.unpaid)
		}
		page, err := kernel.Ask(context.Background(), s.ref, func(r kernel.Reply[Pages]) Message { return List{Limit: 10, Reply: r} })
		if err != nil || len(page.Apps) != 1 || page.Apps[0].Paid != "40" || page.Apps[0].Debt != "60" || !page.Apps[0].Unpaid {
			t.Errorf("%+v, %v", page, err)
		}
		c.mu.Lock()
		c.events = []chain.Event{event("Settled", `"payout":"60"`)}
		c.mu.Unlock()
		s.after(2 * blockTime)
		if st := s.status(); st.Unpaid != 0 {
			t.Errorf("%d apps are unpaid", st.Unpaid)
		}
	})
}

// TestUnwatchedIsFree counts what the reporter asks the chain when nothing happens.
func TestUnwatchedIsFree(t *testing.T) {
	onStage(t, Settings{}, func(s *stage) {
		c := s.chain
		s.host.mu.Lock()
		clear(s.host.tickets)
		s.host.mu.Unlock()
		s.until(time.Minute, "start", func() bool { return c.score > 0 })
		s.after(time.Minute)
		n := c.looks
		s.after(time.Hour)
		if got := c.looks - n; got > 61 {
			t.Errorf("%d looks in an hour", got)
		}
	})
}
