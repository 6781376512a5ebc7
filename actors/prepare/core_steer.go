package prepare

import (
	"maps"
	"slices"
	"time"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/actors/run"
)

const (
	maxMarks = 256 // different ones of a job
	// steerAgain is how long a process may take to be there before it is told once more.
	steerAgain = 50 * time.Millisecond
)

// steering is what the process of a running job was told.
type steering struct {
	held  bool
	stale bool      // budget or marks have changed since
	turn  uint64    // counts what was told; 0: nothing but its job
	how   string    // what came of it; "": unknown yet
	again time.Time // when to say it once more: the process was not there yet
}

// raise lifts a job, parked or running. A parked one goes behind its equals of the higher priority.
func (s *State) raise(now time.Time, j *job, m Raise) []Effect {
	budget, marks := j.Budget.Raised(m.Budget.WithDefaults()), mark(j.Marks, m.Marks)
	j.stale = j.stale || j.worker != 0 && (budget != j.Budget || len(marks) != len(j.Marks))
	j.Budget, j.Marks = budget, marks
	if m.Priority <= j.Priority || m.Priority > run.Critical {
		return nil
	}
	out := []Effect{Raised{From: j.Priority, To: m.Priority}}
	j.raised = append(j.raised, inspect.Escalation{At: now, From: j.Priority.String(), To: m.Priority.String(), By: fault.Quote(m.By)})
	if j.worker == 0 {
		s.unpark(j)
		defer s.park(j)
	}
	j.Priority = m.Priority
	return out
}

// mark adds marks that are new.
func mark(marks, more []Budget) []Budget {
	for _, b := range more {
		if b = b.WithDefaults(); len(marks) < maxMarks && (b.CPU > 0 || b.Wall > 0) && !slices.Contains(marks, b) {
			marks = append(marks, b)
		}
	}
	return marks
}

// steer tells the processes what has changed for them. While a critical job runs, the others are held back.
func (s *State) steer(now time.Time) []Effect {
	critical := false
	for _, j := range s.running {
		critical = critical || j.Priority == run.Critical && !j.answered
	}
	var out []Effect
	for _, worker := range slices.Sorted(maps.Keys(s.running)) {
		j := s.running[worker]
		held := critical && j.Priority < run.Critical
		again := !j.again.IsZero() && !j.again.After(now)
		if j.answered || held == j.held && !j.stale && !again {
			continue
		}
		j.steering = steering{held: held, turn: j.turn + 1}
		out = append(out, Steer{Worker: worker, Turn: j.turn, Job: j.ID, Steering: Steering{Budget: j.Budget, Marks: j.Marks, Held: held}})
	}
	return out
}

func (s *State) steered(now time.Time, m steered) {
	j := s.running[m.Worker]
	if j == nil || j.answered || j.turn != m.Turn {
		return
	}
	if j.how = m.How; j.how == "" {
		j.again = now.Add(steerAgain)
	}
}
