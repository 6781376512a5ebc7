package report

import (
	"bytes"
	"fmt"
	"slices"
	"time"

	"golang.org/x/crypto/blake2b"

	"github.com/troupehost/troupe/actors/chain"
	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/inspect"
)

// beats is what is known of challenges.
type beats struct {
	hit     chain.Cursor // the oldest challenge without an answer; zero: none
	hitSeen time.Time    // when it was seen
	hitLook uint64       // looks begun then: a later one tells whether it still waits
	lastHit uint64       // the newest block with one
	beatOf  uint64       // the newest block with one when the answer was sent
	from    uint64       // the oldest one
	scoreSN uint64       // of the newest score that was sent
	scoreOf ID           // its session

	beat inspect.Heartbeat
}

// hits is the test of the chain: the BLAKE2b-256 of the key, as a big-endian number, with the bits of the seed changed, is not above the target.
func hits(worker ID, c challenge) bool {
	n := blake2b.Sum256(worker[:])
	for i := range n {
		n[i] ^= c.seed[i]
	}
	return bytes.Compare(n[:], c.target[:]) <= 0
}

// challenged looks at the challenges of a block.
func (s *State) challenged(m block) {
	s.beat.Challenges += uint64(len(m.challenges))
	if !slices.ContainsFunc(m.challenges, func(c challenge) bool { return hits(s.key, c) }) {
		return
	}
	if s.fresh > 0 && !s.view.computing() {
		s.lookAgain = true // it may compute by now: then the chain says that a challenge waits
		return
	}
	s.beat.Hits++
	s.lastHit, s.beat.LastHit = m.Height, m.Height
	s.waits(m.Cursor, m.at)
}

// waits notes a challenge without an answer.
func (s *State) waits(at chain.Cursor, seen time.Time) {
	if s.hit.Height == 0 {
		s.hit, s.hitSeen, s.hitLook = at, seen, s.looks
		s.duties[AnswerChallenge].due = time.Time{}
	}
}

// answered takes over what a look says of challenges.
func (s *State) answered(now time.Time) {
	v := &s.view
	switch {
	case !v.computing(), v.Challenges == 0:
		if s.fresh > s.hitLook && v.Head.Height >= s.hit.Height {
			s.hit = chain.Cursor{}
		}
	case s.duties[AnswerChallenge].open > 0 || s.fresh < s.duties[AnswerChallenge].after:
	default: // also when the answer before only told the chain from where to count
		if s.hit.Height == 0 && (v.Challenged == 0 || v.Challenged > s.beatOf) { // its block was missed, or came before it was known that the worker computes
			s.beat.Hits++
		}
		s.lastHit = max(s.lastHit, v.Head.Height)
		s.beat.LastHit = s.lastHit
		at := v.Head
		if v.Challenged > 0 && v.Challenged < at.Height {
			at = chain.Cursor{Height: v.Challenged}
		}
		s.waits(at, now)
	}
}

func (s *State) owesBeat() (bool, phase, string) {
	v := &s.view
	switch {
	case s.hit.Height == 0 && !v.computing():
		return false, done, "the worker does not compute"
	case s.hit.Height == 0:
		return false, done, ""
	case !v.equal():
		return false, waiting, "waits for the session"
	}
	return true, 0, fmt.Sprintf("block %d challenges the worker", s.hit.Height)
}

// beaming notes an answer that is in the outbox.
func (s *State) beaming(now time.Time, m acted) {
	s.scoring(m)
	s.beatOf, s.from = s.lastHit, s.hit.Height
	s.beat.Latency = 0
	if !s.hitSeen.IsZero() {
		s.beat.Latency = max(now.Sub(s.hitSeen), 0).Microseconds()
	}
	s.beat.MaxLatency = max(s.beat.MaxLatency, s.beat.Latency)
}

// scoring notes a score that is in the outbox.
func (s *State) scoring(m acted) {
	if m.session != s.scoreOf {
		s.scoreSN, s.scoreOf = 0, m.session
	}
	s.scoreSN = max(s.scoreSN, m.sn)
}

// beaten is the end of an answer. It stands for all challenges that waited when its block came.
func (s *State) beaten(out Outcome, err *fault.Error) {
	if err != nil {
		s.beat.Failed++
		return // a look tells whether the challenge still waits
	}
	s.beat.Answered++
	if s.from > 0 && out.Height > s.from {
		s.beat.Blocks = out.Height - s.from
	}
	s.hit = chain.Cursor{}
	if s.lastHit > max(s.beatOf, out.Height) {
		s.waits(chain.Cursor{Height: s.lastHit}, s.seen)
	}
}

// scoreAbove is the number that a score has to be above: the chain has seen it, or will.
func (s *State) scoreAbove() uint64 {
	switch v := &s.view; {
	case v.Session == nil:
		return 0
	case v.Session.ID == s.scoreOf:
		return max(s.scoreSN, v.Session.ScoreSN)
	default:
		return v.Session.ScoreSN
	}
}

// warn tells when the answer to a challenge may come too late, and when that is over.
func (s *State) warn() []Effect {
	s.beat.Waiting, s.beat.Window = s.hit.Height, s.set.Window
	why := ""
	switch {
	case s.view.State == "WorkerUnresponsive":
		why = "the chain holds the worker for unresponsive: it loses pay until a challenge is answered"
	case s.hit.Height > 0 && s.head.Height >= s.hit.Height+(s.set.Window+1)/2:
		why = fmt.Sprintf("the challenge of block %d waits for an answer, which has to come within %d blocks", s.hit.Height, s.set.Window)
	}
	s.beat.Alarm = why
	if why == s.alarm {
		return nil
	}
	s.alarm = why
	if why == "" {
		return []Effect{Alarm{}}
	}
	return []Effect{Alarm{fault.New(fault.BusyChain, "heartbeat", s.key.String(), nil).WithHint(why)}}
}
