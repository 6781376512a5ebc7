package report

import (
	"fmt"
	"slices"
	"time"
)

// plan begins what can be begun.
func (s *State) plan(now time.Time) []Effect {
	if !s.recalled {
		for of := RegisterWorker; of < endOfDuties; of++ {
			s.duties[of].is(now, waiting, "asks what is on its way to the chain")
		}
		if s.recalling || now.Before(s.recallDue) {
			return nil
		}
		s.recalling = true
		return []Effect{Recall{}}
	}
	var out []Effect
	if !s.watching && !now.Before(s.watchDue) {
		s.watching, s.lookAgain = true, true // blocks were missed
		out = append(out, Watch{})
	}
	for _, key := range s.dueAgain(now) {
		delete(s.again, key)
		out = append(out, Await{key})
	}
	out = append(out, s.planDuties(now)...)
	out = append(out, s.planReports(now)...)
	if !s.looking && (s.lookAgain && !s.away || !now.Before(s.lookDue)) {
		s.looking, s.lookAgain = true, false
		s.looks++
		out = append(out, Look{})
	}
	return out
}

// dueAgain returns the calls that are to be waited for again, in the order of their keys.
func (s *State) dueAgain(now time.Time) (keys []string) {
	for key, at := range s.again {
		if !now.Before(at) {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return keys
}

// planDuties has each duty done that is owed and can be done.
func (s *State) planDuties(now time.Time) []Effect {
	var out []Effect
	for of := RegisterWorker; of < endOfDuties; of++ {
		if of == SettleUse {
			continue
		}
		d := &s.duties[of]
		if d.phase == working || d.open > 0 {
			continue
		}
		if of != AnswerChallenge || s.fresh == 0 || d.tries > 0 { // the first answer waits for no look
			if why := s.blind(d); why != "" {
				d.is(now, waiting, why)
				continue
			}
		}
		owed, phase, why := s.owes(now, of)
		switch {
		case !owed:
			d.is(now, phase, why)
			if phase == done || phase == off {
				d.tries, d.err = 0, ""
			}
		case now.Before(d.due):
			if d.phase != backoff {
				d.is(now, backoff, why)
			}
		default:
			d.is(now, working, why)
			out = append(out, Act{Duty: of, Key: newKey(of, now, s.looks), View: s.view, Above: s.scoreAbove()})
		}
	}
	return out
}

// blind says why the state of the chain is not known well enough to act.
func (s *State) blind(d *duty) string {
	switch {
	case s.away:
		return "waits for the chain: " + s.lookErr
	case s.fresh == 0, s.fresh < d.after:
		return "looks at the chain"
	}
	return ""
}

// owes says whether a duty is owed and can be done, and if not, whether it is done or what it waits for.
func (s *State) owes(now time.Time, of Duty) (owed bool, p phase, why string) {
	v := &s.view
	if of != RegisterWorker && !v.Known {
		return false, waiting, "waits for the worker's registration"
	}
	switch of {
	case RegisterWorker:
		switch {
		case !v.Known:
			return true, 0, "the chain does not know the worker"
		case !s.set.Operator.IsZero() && v.Operator != s.set.Operator:
			return true, 0, "the chain has another operator"
		case s.stale():
			return true, 0, fmt.Sprintf("the attestation is older than %v", s.set.Refresh)
		}
	case RegisterNode:
		switch {
		case s.set.Node == "":
			return false, off, "the node takes no compute requests"
		case !v.NodeKnown:
			return true, 0, "the chain does not know the node"
		}
	case DescribeWorker:
		if v.DescribeNew {
			return true, 0, "the chain has another description"
		}
	case TellEndpoints:
		if v.EndpointsNew {
			return true, 0, "the chain has other endpoints"
		}
	case AgreeOnSession:
		return s.owesSession()
	case SubmitScore:
		return s.owesScore()
	case AnswerChallenge:
		return s.owesBeat()
	case TellMetrics:
		return s.owesMetrics(now)
	}
	return false, done, ""
}

// stale says whether the attestation is too old, by the clock of the chain.
func (s *State) stale() bool {
	v := &s.view
	return v.Provider != "" && v.Provider != "none" && !v.AttestedAt.IsZero() && v.Time.Sub(v.AttestedAt) > s.set.Refresh
}

func (s *State) owesSession() (bool, phase, string) {
	v := &s.view
	switch {
	case v.equal():
		return false, done, ""
	case s.reporting() && v.Session != nil:
		// Each report that is settled changes the nonce on which the next session has to be opened.
		return false, waiting, "waits until the reports of the session before are final"
	case v.Open == nil:
		return true, 0, "no session is open"
	case v.resumable():
		return true, 0, "the chain does not know the session"
	case v.Open.ID == v.Session.ID:
		return true, 0, fmt.Sprintf("the chain has seen number %d of the session, and the worker has come to %d", v.Session.newest(), v.Open.SN)
	}
	return true, 0, "the chain has another session"
}

func (s *State) owesScore() (bool, phase, string) {
	v := &s.view
	switch {
	case !v.equal():
		return false, waiting, "waits for the session"
	case v.InitialScore > 0 && v.Session.ScoreSN > 0:
		return false, done, ""
	case s.hit.Height > 0:
		return false, waiting, "a challenge goes first"
	case v.InitialScore == 0:
		return true, 0, "the chain has no score"
	}
	return true, 0, "the score is of another session"
}

func (s *State) owesMetrics(now time.Time) (bool, phase, string) {
	switch {
	case s.set.Node == "":
		return false, off, "the node takes no compute requests"
	case !s.view.NodeKnown:
		return false, waiting, "waits for the node's registration"
	case now.Before(s.nodeDue):
		return false, done, ""
	case len(s.nodes) == s.set.MetricsPerWindow && s.nodes[1]+metricsBlocks > s.head.Height:
		return false, waiting, fmt.Sprintf("%d reports in %d blocks is all that the chain takes", s.set.MetricsPerWindow, metricsBlocks)
	}
	return true, 0, "it is time"
}

// sleep has the actor woken for what is due next.
func (s *State) sleep(now time.Time) []Effect {
	var next time.Time
	at := func(t time.Time) {
		if t.After(now) && (next.IsZero() || t.Before(next)) {
			next = t
		}
	}
	if !s.recalled {
		at(s.recallDue)
	} else {
		if !s.watching {
			at(s.watchDue)
		}
		if !s.looking {
			at(s.lookDue)
		}
		for _, t := range s.again {
			at(t)
		}
		for of := RegisterWorker; of < endOfDuties; of++ {
			if d := &s.duties[of]; d.phase == backoff {
				at(d.due)
			}
		}
		if s.set.Node != "" {
			at(s.nodeDue)
		}
		s.reportsDue(at)
	}
	if next.Equal(s.wake) {
		return nil
	}
	s.wake = next
	if next.IsZero() {
		return nil // what wakes is a message
	}
	return []Effect{Wake{next}}
}
