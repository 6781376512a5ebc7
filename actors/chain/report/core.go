package report

import (
	"fmt"
	"time"

	"github.com/troupehost/troupe/actors/chain"
	"github.com/troupehost/troupe/actors/fault"
)

// State is the pure core of the reporter.
type State struct {
	set    Settings
	key    ID
	duties [endOfDuties]duty

	recalling, recalled bool
	recallDue           time.Time
	recallTries         int

	watching bool // a Watch is under way
	watchDue time.Time
	watchErr string
	head     chain.Cursor // seen last
	seen     time.Time

	looking   bool
	lookAgain bool // something may have changed since the last look began
	lookDue   time.Time
	lookTries int
	looks     uint64 // begun
	fresh     uint64 // the number of the look that view is of; 0: none
	away      bool   // the last look failed
	lookErr   string
	view      View

	awaiting map[string]Duty      // calls in the outbox
	again    map[string]time.Time // whose Await failed, and when it is tried again

	reports
	beats
	pays payments

	nodes   []uint64 // blocks of the newest reports of the node's metrics
	nodeDue time.Time

	alarm string
	wake  time.Time
}

// NewState returns a core for the worker with this key.
func NewState(o Settings, worker ID) *State {
	o = o.withDefaults()
	return &State{set: o, key: worker, awaiting: map[string]Duty{}, again: map[string]time.Time{},
		reports: reports{open: map[string]*page{}}, pays: newPayments(o.Apps)}
}

// Step decides what one message means.
func (s *State) Step(now time.Time, in Message) []Effect {
	out := s.step(now, in)
	out = append(out, s.plan(now)...)
	out = append(out, s.warn()...)
	return append(out, s.sleep(now)...)
}

func (s *State) step(now time.Time, in Message) []Effect {
	switch m := in.(type) {
	case ReportNow:
		return s.ask(now, m)
	case Nudge:
		s.lookAgain = true
	case Used:
		s.used(now, m.Gas)
	case Status:
		return []Effect{Stands{m.Reply, s.status(now)}}
	case List:
		return []Effect{Listed{m.Reply, s.pays.list(m.After, m.Limit)}}
	case block:
		return s.block(now, m)
	case lost:
		s.watching = false
		s.watchDue = now.Add(s.set.Retry)
		s.watchErr = "the chain ended what was followed"
		if m.err != nil {
			s.watchErr = text(m.err)
		}
	case looked:
		s.looked(now, m)
	case recalled:
		return s.recall(now, m)
	case acted:
		return s.acted(now, m)
	case made:
		return s.made(now, m)
	case posted:
		return s.posted(now, m)
	case outcome:
		return s.outcome(now, m)
	case tick:
		s.wake = time.Time{}
	}
	return nil
}

// block is news of the chain.
func (s *State) block(now time.Time, m block) []Effect {
	if m.Height <= s.head.Height {
		s.lookAgain = true // a fork: what was there may be gone
	}
	s.head, s.seen, s.watchErr = m.Cursor, now, ""
	if m.touched {
		s.lookAgain = true
	}
	if soon := now.Add(s.set.Retry); s.away && s.lookDue.After(soon) {
		s.lookDue = soon // it is back
	}
	s.challenged(m)
	return s.pays.add(now, m)
}

// looked takes over what a look saw.
func (s *State) looked(now time.Time, m looked) {
	s.looking = false
	if m.err != nil {
		s.away, s.lookErr = true, text(m.err)
		s.lookDue = now.Add(delay(s.set, s.lookTries))
		s.lookTries++
		return
	}
	s.away, s.lookTries, s.lookErr = false, 0, ""
	s.view, s.fresh = m.view, s.looks
	s.lookDue = now.Add(s.set.LookEvery)
	s.answered(now)
}

// recall takes over what earlier hosts and incarnations have left.
func (s *State) recall(now time.Time, m recalled) []Effect {
	s.recalling = false
	if m.err != nil {
		s.recallDue = now.Add(delay(s.set, s.recallTries))
		s.recallTries++
		return []Effect{Warn{"what is on its way to the chain could not be read; it is tried again", m.err}}
	}
	s.recalled, s.lookAgain = true, true
	var out []Effect
	for _, key := range m.open {
		of, ok := dutyOf(key)
		if !ok || s.awaiting[key] != 0 {
			continue
		}
		if of == SettleUse {
			session, sn := parseReportKey(key)
			s.open[key] = &page{session: session, sn: sn}
		}
		out = append(out, s.await(now, of, key))
	}
	for _, p := range m.made {
		s.pays.claim(p.claims)
		if s.open[p.key] == nil {
			s.unsent = append(s.unsent, unsent{sealed: p})
		}
	}
	return out
}

// await notes a call that is in the outbox.
func (s *State) await(now time.Time, of Duty, key string) Effect {
	d := &s.duties[of]
	s.awaiting[key] = of
	d.open++
	d.key = key
	d.is(now, sent, "waits until its transaction is final")
	return Await{key}
}

// outcome is the end of a call.
func (s *State) outcome(now time.Time, m outcome) []Effect {
	of, known := s.awaiting[m.key]
	if !known {
		return nil
	}
	var err *fault.Error
	switch {
	case m.err != nil && fault.CodeOf(m.err) != fault.CallerNotFound:
		s.again[m.key] = now.Add(s.set.Retry)
		return nil
	case m.err != nil:
		err = fault.From(m.err)
	case m.out.Fault != nil:
		err = m.out.Fault
	case m.out.Error != nil:
		err = m.out.Error.Fault()
	}
	delete(s.awaiting, m.key)
	d := &s.duties[of]
	d.open--
	d.after = s.looks + 1
	s.lookAgain = true
	was := d.err
	if err == nil {
		d.ended()
	} else {
		d.failed(now, s.set, err)
	}
	if m.err != nil && m.key == d.doubt {
		d.err = was // why it was not sent
	}
	switch of {
	case SettleUse:
		return s.settled(now, m.key, m.out, err)
	case AnswerChallenge:
		s.beaten(m.out, err)
	}
	return nil
}

// acted is the end of an Act.
func (s *State) acted(now time.Time, m acted) []Effect {
	d := &s.duties[m.duty]
	d.is(now, waiting, "")
	switch {
	case m.err != nil && m.key != "":
		d.err, d.doubt = text(m.err), m.key
		effect := s.await(now, m.duty, m.key)
		d.is(now, sent, "asks whether the outbox has the call")
		s.sentNow(now, m) // if it has, that goes for it
		return []Effect{effect}
	case m.err != nil:
		d.failed(now, s.set, fault.From(m.err))
	case m.key == "":
		d.err, d.tries = "", 0
		d.due = now.Add(s.pause(m.duty))
		d.is(now, backoff, m.why)
	default:
		s.sentNow(now, m)
		return []Effect{s.await(now, m.duty, m.key)}
	}
	return nil
}

// pause is how soon it is asked again for what was not there.
func (s *State) pause(of Duty) time.Duration {
	switch of {
	case AnswerChallenge:
		return beatEvery
	case SubmitScore:
		return s.set.ScoreEvery
	}
	return s.set.MetricsEvery
}

// sentNow notes what follows from a call that is in the outbox.
func (s *State) sentNow(now time.Time, m acted) {
	switch m.duty {
	case AnswerChallenge:
		s.beaming(now, m)
	case SubmitScore:
		s.scoring(m)
	case TellMetrics:
		s.nodeDue = now.Add(s.set.MetricsEvery)
		s.nodes = append(s.nodes, s.head.Height, s.head.Height) // there are two calls
		if n := len(s.nodes) - s.set.MetricsPerWindow; n > 0 {
			s.nodes = s.nodes[n:]
		}
	}
}

// newKey is a key for a call that no other has.
func newKey(of Duty, now time.Time, look uint64) string {
	return fmt.Sprintf("%s%s/%d-%d", keyPrefix, of, now.UnixNano(), look)
}
