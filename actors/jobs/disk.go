package jobs

import (
	"errors"
	"slices"
	"time"

	"github.com/troupehost/troupe/actors/cache"
	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/run"
)

// change makes a new version of a job, which is to be on disk.
func (s *State) change(j *job) {
	j.version++
	s.queueWrite(j)
}

// queueWrite puts a job in line to be written, unless it stands there or is being written.
func (s *State) queueWrite(j *job) {
	if !j.lined && !j.writing {
		j.lined = true
		s.line = append(s.line, j)
	}
}

// flush begins what may be written and erased now.
func (s *State) flush() []Effect {
	var out []Effect
	for len(s.line) > 0 && s.writes < s.limits.Writes {
		j := s.line[0]
		s.line[0] = nil
		s.line = s.line[1:]
		j.lined = false
		if j.phase == leaving {
			continue
		}
		j.writing, j.sent, j.erasures = true, j.version, s.erasures
		s.writes++
		out = append(out, s.write(j))
	}
	if len(s.erase) > 0 && !s.erasing && !s.eraseOff {
		n := min(len(s.erase), maxErase)
		s.erasing = true
		out = append(out, Erase{IDs: slices.Clone(s.erase[:n])})
	}
	return out
}

// write is the effect that puts a job on disk as it is, or as it ended.
func (s *State) write(j *job) Effect {
	r := j.Record
	r.Kept, r.Trail = s.clock, slices.Clone(r.Trail)
	w := Write{Record: r, Body: j.body}
	if j.phase == settling {
		w.Out = j.end.out
		j.end.apply(&w.Record)
	}
	return w
}

// apply writes how a job ended into its record.
func (e *end) apply(r *Record) {
	r.State, r.Settled, r.Expires, r.Verdict = run.JobSettled, e.at, e.expires, ""
	what := "ok"
	if e.fault != nil {
		r.Fault, what = e.fault.Code, string(e.fault.Code)
		if e.out == nil {
			r.Message, r.Hint = clip(e.fault.Error()), clip(e.fault.Hint)
		}
	}
	if e.out != nil {
		r.Verdict = "ok"
		if e.fault != nil {
			r.Verdict = e.fault.Class.String()
			what = r.Verdict
		}
	}
	r.Events = append(slices.Clip(r.Events), Event{At: e.at, What: Settled, End: what})
	r.Trail = finished(r.Trail, e.at.Time())
}

// clip bounds a text that stays in memory.
func clip(s string) string {
	const most = 512
	if len(s) > most {
		return fault.Quote(s)
	}
	return s
}

// settle ends a job, with a verdict or a fault in its place. Nobody sees it before it is on disk.
func (s *State) settle(now time.Time, j *job, out *cache.Answer, f *fault.Error) []Effect {
	j.phase = settling
	j.end = &end{at: s.stamp(now), expires: s.clock + j.Keep, out: out, fault: f}
	s.change(j)
	return nil
}

func (s *State) wrote(now time.Time, m wrote) []Effect {
	j := s.jobs[m.id]
	s.writes--
	if j == nil {
		return nil // it left
	}
	j.writing = false
	if m.err != nil {
		return s.notWritten(now, j, m.err)
	}
	var out []Effect
	if j.failed {
		j.failed = false
		s.failures = slices.DeleteFunc(s.failures, func(o *job) bool { return o == j })
	}
	out = append(out, s.unstuck()...)
	switch {
	case j.phase == accepting:
		j.phase, j.body = queued, nil
		s.awaitsSlot(now, j)
		if j.Ending == "" {
			s.queues[j.Priority].push(j.ID, j)
		} else {
			out = append(out, s.settle(now, j, nil, endingFault(j))...)
		}
	case j.phase == settling && j.sent == j.version:
		out = append(out, s.settled(now, j)...)
	}
	out = append(out, s.answer(now, j, nil)...)
	if m.over {
		s.forgetOldest(j)
	}
	if j.phase == leaving {
		return out
	}
	if j.sent != j.version {
		s.queueWrite(j)
	}
	return out
}

// settled is the moment at which a job is settled for everyone to see.
func (s *State) settled(now time.Time, j *job) []Effect {
	j.end.apply(&j.Record)
	j.phase, j.end, j.Trail = settled, nil, nil // that is on disk
	s.count(j, -1)
	s.kept++
	s.leaveFlight(j)
	s.expiry.push(j.Expires, j)
	s.oldest = append(s.oldest, j)
	if s.kept > s.limits.Settled {
		s.forgetOldest(j)
	}
	return s.tell(now, j)
}

// answer tells those who wait for what is on disk now, or with an error all of them that it is not.
func (s *State) answer(now time.Time, j *job, err error) []Effect {
	var out []Effect
	kept := j.waiting[:0]
	for _, w := range j.waiting {
		switch {
		case err == nil && w.version > j.sent:
			kept = append(kept, w)
		case w.group == nil && err != nil:
			out = append(out, Reply{To: w.to, Err: err})
		case w.group == nil:
			out = append(out, s.reply(now, w.to, j, j.ID))
		case err != nil:
			out = append(out, Revoked{To: w.group.to, Err: err})
			w.group.open = -1 // answered
		default:
			if w.group.open--; w.group.open == 0 {
				out = append(out, Revoked{To: w.group.to, N: w.group.n})
			}
		}
	}
	clear(j.waiting[len(kept):])
	j.waiting = kept
	return out
}

// notWritten fails those who wait for a write. A new job is given up; what others have been told already is tried again.
func (s *State) notWritten(now time.Time, j *job, err error) []Effect {
	f := fault.From(err)
	if j.phase == accepting {
		if !errors.Is(err, fault.CallerQuota) || errors.Is(err, ErrNeverFits) {
			return s.reject(j, err)
		}
		switch {
		case s.forgetOldest(nil), len(s.erase) > 0: // room comes
			s.starved = append(s.starved, j)
		case j.erasures != s.erasures: // room came while it was tried
			s.queueWrite(j)
		default:
			return s.reject(j, err)
		}
		return nil
	}
	out := s.answer(now, j, err)
	if !j.failed {
		j.failed = true
		s.failures = append(s.failures, j)
	}
	s.stuck = true
	return append(out, Stuck{f})
}

// reject gives up a job that nobody was told of. It may be on disk all the same.
func (s *State) reject(j *job, err error) []Effect {
	var out []Effect
	for _, w := range j.waiting {
		if w.group == nil {
			out = append(out, Reply{To: w.to, Err: err})
		} else if w.group.open--; w.group.open == 0 {
			out = append(out, Revoked{To: w.group.to, N: w.group.n})
		}
	}
	j.waiting = nil
	s.count(j, -1)
	s.forget(j)
	return out
}

// forgetOldest has the job leave that was settled first, other than one; false if there is none.
func (s *State) forgetOldest(but *job) bool {
	for n, j := range s.oldest {
		if j.phase == leaving || j == but {
			continue
		}
		s.oldest = slices.Delete(s.oldest, n, n+1)
		s.forget(j)
		return true
	}
	return false
}

// forget has a job leave: the tables at once, the disk soon.
func (s *State) forget(j *job) {
	if j.phase == settled {
		s.kept--
	}
	j.phase, j.body, j.end = leaving, nil, nil
	if s.keys[keyOf{j.Tenant, j.Key}] == j {
		delete(s.keys, keyOf{j.Tenant, j.Key})
	}
	s.erase = append(s.erase, j.ID)
	if s.gone++; s.gone > 1024 && s.gone > len(s.order)/2 {
		s.order = slices.DeleteFunc(s.order, func(o *job) bool { return o.phase == leaving })
		s.gone = 0
	}
}

func (s *State) erased(m erased) []Effect {
	s.erasing = false
	if m.err != nil {
		s.stuck, s.eraseOff = true, true
		out := []Effect{Stuck{fault.From(m.err)}}
		for _, j := range s.starved {
			out = append(out, s.reject(j, m.err)...)
		}
		s.starved = nil
		return out
	}
	s.erase = s.erase[len(m.ids):]
	s.erasures++
	for _, id := range m.ids {
		delete(s.jobs, id)
	}
	for _, j := range s.starved {
		s.queueWrite(j)
	}
	s.starved = nil
	return s.unstuck()
}

// unstuck tells operators that all is on disk again.
func (s *State) unstuck() []Effect {
	if !s.stuck || len(s.failures) > 0 || s.eraseOff {
		return nil
	}
	s.stuck = false
	return []Effect{Stuck{}}
}

// tick does what time brings.
func (s *State) tick(now time.Time) []Effect {
	if s.loading {
		if !s.loadAgain {
			return nil
		}
		s.loadAgain = false
		return []Effect{Load{}}
	}
	var out []Effect
	s.eraseOff = false
	for i, ok := s.waiting.first(); ok && i.key <= s.clock; i, ok = s.waiting.first() {
		s.waiting.pop()
		if j := i.job; j.phase == delayed && j.due == i.key {
			j.phase = queued
			s.queues[j.Priority].push(j.ID, j)
		}
	}
	for i, ok := s.deadline.first(); ok && i.key <= s.clock; i, ok = s.deadline.first() {
		s.deadline.pop()
		if j := i.job; j.phase == queued || j.phase == delayed {
			out = append(out, s.settle(now, j, nil, fault.New(fault.CanceledDeadline, "job", j.ID, nil))...)
		}
	}
	for i, ok := s.expiry.first(); ok && i.key <= s.clock; i, ok = s.expiry.first() {
		s.expiry.pop()
		if i.job.phase == settled {
			s.forget(i.job)
		}
	}
	if len(s.oldest) > 2*s.kept {
		s.oldest = slices.DeleteFunc(s.oldest, func(j *job) bool { return j.phase == leaving })
	}
	for _, j := range s.flight {
		if j.phase == running && !j.started && s.clock-j.startAt >= longRun {
			j.started = true
			s.change(j)
		}
	}
	for _, j := range s.failures[:min(len(s.failures), maxRetry)] {
		s.queueWrite(j)
	}
	if s.kept > 0 && s.clock-s.saved >= saveEvery {
		s.saved = s.clock
		out = append(out, SaveClock{s.clock})
	}
	return out
}
