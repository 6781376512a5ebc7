package execute

import (
	"fmt"
	"time"

	"github.com/troupehost/troupe/actors/run"
)

// wrong returns what must not be after a step, whatever happened.
func (s *State) wrong(now time.Time) error {
	ordinary, above := s.slots()
	idle, closing, busy, out := 0, 0, 0, 0
	for _, w := range s.workers {
		switch {
		case w.lease != kept && (w.run != nil || w.closing != "" || !w.up):
			return fmt.Errorf("worker %d is lent, and: %+v", w.name, *w)
		case w.lease == lent && s.pressed(now):
			return fmt.Errorf("worker %d is lent while runs wait", w.name)
		case w.lease != kept:
			out++
		case w.idle():
			idle++
		case w.run == nil:
			closing++
		}
		if w.run != nil {
			busy++
			if w.run.above && w.run.Priority != run.Critical {
				return fmt.Errorf("run %d of priority %s is above soft", w.run.Run, w.run.Priority)
			}
		}
	}
	switch {
	case len(s.workers) > s.limits.Hard:
		return fmt.Errorf("%d workers, hard limit %d", len(s.workers), s.limits.Hard)
	case ordinary > s.limits.Soft || above > s.limits.Hard-s.limits.Soft:
		return fmt.Errorf("%d runs by turn and %d above soft; limits %d and %d", ordinary, above, s.limits.Soft, s.limits.Hard)
	case above > 0 && ordinary < s.limits.Soft:
		return fmt.Errorf("%d runs above soft beside %d of %d", above, ordinary, s.limits.Soft)
	case ordinary+idle > s.limits.Soft:
		return fmt.Errorf("%d idle workers are kept beside %d of %d slots in use", idle, ordinary, s.limits.Soft)
	case busy+s.parked() != len(s.items):
		return fmt.Errorf("%d runs, of them %d parked and %d on a worker", len(s.items), s.parked(), busy)
	case busy+idle+out > max(0, s.limits.Soft+above-len(s.claims)):
		return fmt.Errorf("%d busy, %d lent and %d idle workers leave no room for %d claims", busy, out, idle, len(s.claims))
	case s.lends && s.room != s.limits.Soft-ordinary:
		return fmt.Errorf("room for %d runs was said, there is room for %d", s.room, s.limits.Soft-ordinary)
	}
	for p := run.Background; p <= run.Critical; p++ {
		if s.backlog(p, now) && (ordinary < s.limits.Soft || p == run.Critical && above < s.limits.Hard-s.limits.Soft) {
			return fmt.Errorf("%s runs wait beside free slots: %d by turn, %d above", p, ordinary, above)
		}
		n, parked := 0, 0
		s.classes[p].each(func(i *item) {
			if n++; i.Priority != p || i.above {
				n = -1 << 20
			}
		})
		for _, t := range s.classes[p].tenants.order {
			parked += t.v.n
		}
		if n != s.classes[p].n || n != parked {
			return fmt.Errorf("class %s counts %d runs, its tenants %d, of %d", p, s.classes[p].n, parked, n)
		}
	}
	for _, i := range s.claims {
		room := s.limits.Soft + above
		if i.Priority == run.Critical {
			room = s.limits.Hard
		}
		if s.place(i) != nil || len(s.workers) < room || closing == 0 {
			return fmt.Errorf("run %d holds a claim beside %d of %d workers, %d closing", i.Run, len(s.workers), room, closing)
		}
	}
	return nil
}

// ledger keeps account of the turns of a core, from outside: who has a slot before and after each step.
type ledger struct {
	set    int                     // the classes with a backlog
	marks  [][run.Critical + 1]int // turns by class, after each step since set is what it is
	passed [run.Critical + 1]int   // turns since the last of a class, while it had a backlog
	turns  int
	above  int // runs that began above soft
}

const window = 40 // marks that are kept

// backlogs is the set of classes that have a backlog, as cycles know them.
func backlogs(s *State, now time.Time) int {
	set := 0
	_, above := s.slots()
	for p := run.Background; p <= run.Critical; p++ {
		if s.backlog(p, now) || p == run.Critical && above > 0 {
			set |= 1 << (p - 1)
		}
	}
	return set
}

// holders returns the runs that have a slot, and whether it is above soft.
func holders(s *State) map[*item]bool {
	out := map[*item]bool{}
	for _, w := range s.workers {
		if w.run != nil {
			out[w.run] = w.run.above
		}
	}
	for _, i := range s.claims {
		out[i] = i.above
	}
	return out
}

// step lets do step the core, and returns what it did wrong.
func (l *ledger) step(s *State, now time.Time, do func()) error {
	before, set, dry := holders(s), backlogs(s, now), len(s.droughts)
	do()
	if err := s.wrong(now); err != nil {
		return err
	}
	var got [run.Critical + 1]int
	n := 0
	for i, above := range holders(s) {
		was, had := before[i]
		switch {
		case above && !had:
			l.above++
		case !above && (!had || was):
			got[i.Priority]++
			n++
		}
	}
	l.turns += n
	after := backlogs(s, now)
	if dry+len(s.droughts) > 0 { // what has a backlog changes with the time
		*l = ledger{turns: l.turns, above: l.above}
		return nil
	}
	for p := run.Background; p <= run.Critical; p++ {
		in := set&after>>(p-1)&1 == 1
		if l.passed[p] += n; !in || got[p] > 0 {
			l.passed[p] = 0
		}
		if limit := mostPassed(p); l.passed[p] > limit {
			return fmt.Errorf("%d turns passed the class %s, limit %d", l.passed[p], p, limit)
		}
	}
	if set != after || set != l.set || len(l.marks) == 0 {
		l.set, l.marks = after, [][run.Critical + 1]int{{}}
		return nil
	}
	if n == 0 {
		return nil
	}
	last := l.marks[len(l.marks)-1]
	for p := range got {
		got[p] += last[p]
	}
	if l.marks = append(l.marks, got); len(l.marks) > window {
		l.marks = l.marks[1:]
	}
	return l.compare()
}

// compare looks at all windows that end now.
func (l *ledger) compare() error {
	now := l.marks[len(l.marks)-1]
	sum := 0
	for p := run.Background; p <= run.Critical; p++ {
		sum += shares[p] * (l.set >> (p - 1) & 1)
	}
	for _, m := range l.marks[:len(l.marks)-1] {
		n := 0
		for p := range now {
			n += now[p] - m[p]
		}
		for p := run.Background; p <= run.Critical; p++ {
			off := (now[p]-m[p])*sum - n*shares[p]*(l.set>>(p-1)&1)
			may := sum
			if l.set == 0b1110 && p == run.Normal && (n%11 == 5 || n%11 == 6) {
				may++
			}
			if max(off, -off) > may {
				return fmt.Errorf("classes %04b, the last %d turns: %d of %s, share %.2f", l.set, n, now[p]-m[p], p, float64(n*shares[p])/float64(sum))
			}
		}
	}
	return nil
}

// mostPassed is how many turns may pass a class that has a backlog: in each set that it is in, the longest time without it.
func mostPassed(p run.Priority) int {
	total := 0
	for set, c := range cycles {
		most, n := 0, 0
		for k := range 2 * len(c) {
			if n++; c[k%len(c)] == letters[p] {
				n = 0
			}
			most = max(most, n)
		}
		if set>>(p-1)&1 == 1 {
			total += most
		}
	}
	return total
}
