package cache

import (
	"fmt"
	"slices"
	"time"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/prepare"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/artifacts"
)

// widest returns the larger of two budgets, each resource for itself.
func widest(a, b prepare.Budget) prepare.Budget {
	return prepare.Budget{CPU: max(a.CPU, b.CPU), Wall: max(a.Wall, b.Wall), MemoryBytes: max(a.MemoryBytes, b.MemoryBytes)}
}

// newMarks returns the budgets of those who wait that the preparation outlasts, and that the prepare queue does not know.
func (e *entry) newMarks() []prepare.Budget {
	var out []prepare.Budget
	for _, w := range e.waiting {
		b := w.Budget
		if (b.CPU < e.budget.CPU || b.Wall < e.budget.Wall) && !e.marked[b] {
			if e.marked == nil {
				e.marked = map[prepare.Budget]bool{}
			}
			e.marked[b] = true
			out = append(out, b)
		}
	}
	e.marks = append(e.marks, out...)
	return out
}

// over says which limit of b is reached by what was used under a budget of ran, nil if none. Memory is judged only where
// more was allowed: what is resident and what a limit counts are not the same to the byte.
func over(b, used, ran prepare.Budget) *fault.Error {
	switch {
	case used.CPU >= b.CPU:
		return fault.New(fault.GuestPrepareCPU, "prepare", "", fmt.Errorf("used %v of %v", used.CPU, b.CPU))
	case used.Wall >= b.Wall:
		return fault.New(fault.SuspectPrepareWall, "prepare", "", fmt.Errorf("took %v of %v", used.Wall, b.Wall))
	case b.MemoryBytes < ran.MemoryBytes && used.MemoryBytes > b.MemoryBytes:
		return fault.New(fault.GuestPrepareMemory, "prepare", "", fmt.Errorf("used %d of %d bytes", used.MemoryBytes, b.MemoryBytes))
	}
	return nil
}

// deserves says whether a failure under one budget says nothing about a larger one.
func deserves(code fault.Code, had, b prepare.Budget) bool {
	switch code {
	case fault.GuestPrepareCPU:
		return b.CPU > had.CPU
	case fault.SuspectPrepareWall:
		return b.Wall > had.Wall
	case fault.GuestPrepareMemory:
		return b.MemoryBytes > had.MemoryBytes
	}
	return false
}

// hadBudget is the budget that a failure was judged under.
func hadBudget(f artifacts.Failure) prepare.Budget {
	return prepare.Budget{CPU: f.Budget, Wall: f.Wall, MemoryBytes: f.MemoryBytes}
}

// passed answers those whose own budget is used up, while the preparation goes on for the others.
func (s *State) passed(now time.Time, m passed) []Effect {
	e := s.entries[m.key]
	if e == nil || e.gen != m.gen || e.state != artifacts.Preparing || e.storing {
		return nil
	}
	e.used = widest(e.used, prepare.Budget{CPU: m.used.CPU, Wall: m.used.Wall})
	out := s.overdrawn(now, e, e.used, nil)
	return append(out, s.unwanted(now, e)...)
}

// overdrawn answers those who wait and whose budget is used up. end, if set, is how the preparation ended: it knows more of
// a limit than its code.
func (s *State) overdrawn(now time.Time, e *entry, used prepare.Budget, end *fault.Error) []Effect {
	var out []Effect
	e.waiting = slices.DeleteFunc(e.waiting, func(w *ask) bool {
		f := over(w.Budget, used, e.budget)
		if f == nil {
			return false
		}
		if end != nil && end.Code == f.Code {
			f = end
		}
		e.learn(now, f, w.Budget, used)
		out = append(out, s.answer(w, Answer{Outcome: run.Outcome{Fault: f}, Meta: artifacts.Meta{Key: e.key, Code: e.code, PrepareCPU: used.CPU}})...)
		return true
	})
	return out
}

// learn notes the largest budget that a preparation was judged under before it ended. What the code did beats what may have
// been the machine.
func (e *entry) learn(now time.Time, f *fault.Error, b, used prepare.Budget) {
	switch {
	case e.verdict == nil || e.verdict.Class != fault.Guest && f.Class == fault.Guest:
		e.verdict = f
		e.lesson = artifacts.Failure{Code: e.code, Fault: f.Code, Count: e.failures + 1, At: now, CPU: used.CPU,
			Cause: cause(f), Budget: b.CPU, Wall: b.Wall, MemoryBytes: b.MemoryBytes}
	case e.verdict.Code == f.Code:
		had := widest(hadBudget(e.lesson), b)
		e.lesson.Budget, e.lesson.Wall, e.lesson.MemoryBytes = had.CPU, had.Wall, had.MemoryBytes
		e.lesson.CPU = max(e.lesson.CPU, used.CPU)
	}
}

// unwanted cancels a preparation that nobody waits for any more.
func (s *State) unwanted(now time.Time, e *entry) []Effect {
	if e.state != artifacts.Preparing || e.storing || len(e.waiting) > 0 {
		return nil
	}
	return append([]Effect{CancelPrepare{Job: e.gen}}, s.abandon(now, e)...)
}

// abandon ends a preparation that came to nothing: what was learned before its end is remembered, else what was known of an
// earlier one is still known.
func (s *State) abandon(now time.Time, e *entry) []Effect {
	switch {
	case e.verdict != nil:
		return s.remember(e, e.verdict, e.lesson)
	case e.fault == nil:
		delete(s.entries, e.key)
	default:
		e.state = artifacts.Failed
	}
	return nil
}

// cause is the cause of a fault in words for the record.
func cause(f *fault.Error) string {
	if f.Err == nil {
		return ""
	}
	return fault.Quote(f.Err.Error())
}
