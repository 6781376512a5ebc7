package main

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// The fit. The unknowns are the weights x of all instructions and extras, in gas of 0.01 ns. It minimises the sum over the
// rows r that are fit or whole of
//
//	share(r) * ((A x - t) / t)²   with A what the row counts and t its time in gas,
//
// under bounds of each weight, and with A x >= t * least(r) for every row that may not be paid too little. First over the
// real numbers, by projected coordinate descent (non-negative least squares), where the bound of a row's target is raised
// until the row is paid; then over whole numbers, from the rounded solution, by steps of one that make the sum smaller and
// break no bound. Nothing here depends on chance, on the order of a map, or on how a processor fuses floating-point operations.
const (
	gasPerNs   = 100
	wholeShare = 40.0 // a whole program counts as much as so many micro-benchmarks
	half       = 0.5  // the least part of the time that a row pays for: no program takes more than twice its gas
	sweeps     = 400
	// A branch that goes somewhere takes a cycle at least: no benchmark of only that instruction comes to an end.
	leastBranch = 0.25 * gasPerNs
	// Half of what a load waits for the first cache, of every load alike: real programs miss that cache at times.
	leastLoad = 0.5 * gasPerNs
	// Half of the way between the registers of integers and the others. A chain must come back, so that a benchmark has two
	// of them; each pays for itself, or another way back would be cheap.
	leastCrossing = 0.4 * gasPerNs
	// A pull to nothing, so that a weight that the rows leave open ends in one place.
	ridge = 1e-5
)

// share is the weight of a row in the sum.
func (r row) share() float64 {
	switch r.role {
	case roleFit:
		return 1
	case roleWhole:
		return wholeShare
	}
	return 0
}

// least is the part of its time that a row must pay for.
func (r row) least() float64 {
	switch r.role {
	case roleFit, roleBound:
		return half
	case roleAmount:
		return 1
	}
	return 0
}

// term is a row as the solver sees it: relative to its time.
type term struct {
	share, least float64
	target       int
	at           []int
	a            []float64 // A / t, so that a row that is foretold exactly sums to 1
}

func (t term) value(x []float64) float64 {
	sum := 0.0
	for k, j := range t.at {
		sum += float64(t.a[k] * x[j])
	}
	return sum
}

type system struct {
	names    []string
	terms    []term
	uses     [][]use // by unknown
	low, top []float64
}

type use struct {
	term int
	a    float64
}

// unknowns are the names of all weights, in the order of their opcodes.
func unknowns() []string {
	var names []string
	for _, i := range instructions {
		names = append(names, i.name)
	}
	return append(names, extras...)
}

// crosses reports whether an instruction takes a value from the registers of integers to those of floats and vectors, or back.
func crosses(i instruction) bool {
	if !i.generic || i.imm == "m" || i.imm == "ml" || i.params == "" || i.results == "" {
		return false
	}
	integer := func(types string) bool { return strings.ContainsAny(types, "il") }
	other := func(types string) bool { return strings.ContainsAny(types, "fdv") }
	return integer(i.params) && other(i.results) || other(i.params) && integer(i.results)
}

func newSystem(rows []row) (*system, error) {
	s := &system{names: unknowns()}
	index := map[string]int{}
	s.uses = make([][]use, len(s.names))
	for j, name := range s.names {
		index[name] = j
		low, top := 1.0, math.Inf(1)
		switch {
		case slices.Contains(branches, name):
			low = leastBranch
		case strings.Contains(name, ".load"):
			low = leastLoad
		case crosses(byName[name]):
			low = leastCrossing
		case slices.Contains(structure, name):
			low, top = 0, 0
		case slices.Contains(cheap, name):
			low, top = 0, 0
		}
		s.low, s.top = append(s.low, low), append(s.top, top)
	}
	for _, r := range rows {
		if r.least() == 0 && r.share() == 0 {
			continue
		}
		t := term{share: r.share(), least: r.least(), target: -1}
		if r.target != "" {
			t.target = index[r.target]
		}
		for j, name := range s.names {
			if n := r.count[name]; n != 0 {
				a := n / (r.ns * gasPerNs)
				s.uses[j] = append(s.uses[j], use{len(s.terms), a})
				t.at, t.a = append(t.at, j), append(t.a, a)
			}
		}
		for name := range r.count {
			if _, known := index[name]; !known {
				return nil, fmt.Errorf("%s: nothing is called %s", r.name, name)
			}
		}
		if t.target >= 0 && r.count[r.target] == 0 {
			return nil, fmt.Errorf("%s: its target %s is not in it", r.name, r.target)
		}
		s.terms = append(s.terms, t)
	}
	return s, nil
}

// descend minimises over the real numbers within the bounds, from x on.
func (s *system) descend(x []float64) {
	rest := make([]float64, len(s.terms)) // value - 1
	for k, t := range s.terms {
		rest[k] = t.value(x) - 1
	}
	for range sweeps {
		for j := range x {
			slope, bend := float64(ridge*x[j]), ridge
			for _, u := range s.uses[j] {
				w := float64(s.terms[u.term].share * u.a)
				slope += float64(w * rest[u.term])
				bend += float64(w * u.a)
			}
			next := min(max(x[j]-slope/bend, s.low[j]), s.top[j])
			if d := next - x[j]; d != 0 {
				x[j] = next
				for _, u := range s.uses[j] {
					rest[u.term] += float64(u.a * d)
				}
			}
		}
	}
}

const tolerance = 1e-9

// of returns the terms whose target is an extra, or those whose target is an instruction.
func (s *system) of(extra bool) (found []term) {
	for _, t := range s.terms {
		if t.target >= 0 && (t.target >= len(instructions)) == extra {
			found = append(found, t)
		}
	}
	return found
}

// raise lifts the bound of the target of every row that is paid too little, and reports whether it had to.
func (s *system) raise(x []float64, step func(float64) float64) (raised bool) {
	for _, t := range slices.Concat(s.of(true), s.of(false)) { // amounts first: the base pays for the rest only
		if lack := t.least - t.value(x); lack > tolerance {
			a := 0.0
			for k, j := range t.at {
				if j == t.target {
					a = t.a[k]
				}
			}
			j := t.target
			x[j] += step(lack / a)
			s.low[j] = max(s.low[j], x[j])
			s.top[j] = max(s.top[j], x[j])
			raised = true
		}
	}
	return raised
}

// error is the sum that is minimised.
func (s *system) error(rest []float64, j int, d float64) (change float64) {
	for _, u := range s.uses[j] {
		t := s.terms[u.term]
		moved := rest[u.term] + float64(u.a*d)
		change += float64(t.share * (float64(moved*moved) - float64(rest[u.term]*rest[u.term])))
	}
	return change
}

// whole goes on over whole numbers.
func (s *system) whole(x []float64) {
	for j := range x {
		s.low[j] = math.Ceil(s.low[j] - tolerance)
		x[j] = min(max(math.Round(x[j]), s.low[j]), max(s.top[j], s.low[j]))
	}
	for s.raise(x, func(lack float64) float64 { return math.Ceil(lack - tolerance) }) {
	}
	rest := make([]float64, len(s.terms))
	for k, t := range s.terms {
		rest[k] = t.value(x) - 1
	}
	for again := true; again; {
		again = false
		for j := range x {
			for _, d := range []float64{-1, 1} {
				for s.low[j] <= x[j]+d && x[j]+d <= s.top[j] && s.paid(rest, j, d) && s.error(rest, j, d) < -tolerance {
					x[j] += d
					for _, u := range s.uses[j] {
						rest[u.term] += float64(u.a * d)
					}
					again = true
				}
			}
		}
	}
}

// paid reports whether every row is still paid for after a step.
func (s *system) paid(rest []float64, j int, d float64) bool {
	for _, u := range s.uses[j] {
		t := s.terms[u.term]
		if d < 0 && t.target >= 0 && rest[u.term]+float64(u.a*d)+1 < t.least-tolerance {
			return false
		}
	}
	return true
}

// table is the result: a weight by name.
type table map[string]uint32

func fit(rows []row) (table, error) {
	s, err := newSystem(rows)
	if err != nil {
		return nil, err
	}
	// The bounds begin as they are for numbers that are whole in the end.
	low := slices.Clone(s.low)
	x := slices.Clone(low)
	s.descend(x)
	for n := 0; s.raise(x, func(lack float64) float64 { return lack }); n++ {
		if n == 100 {
			return nil, fmt.Errorf("the bounds do not come to rest")
		}
		s.descend(x)
	}
	// A bound was raised while other weights stood elsewhere: what still holds the rows is found again over whole numbers.
	s.low = low
	s.whole(x)
	t := table{}
	for j, name := range s.names {
		if x[j] < 0 || x[j] > math.MaxUint32 {
			return nil, fmt.Errorf("%s: %g gas", name, x[j])
		}
		t[name] = uint32(x[j])
	}
	return t, nil
}

// foretold is what a row takes by the table, in ns.
func (t table) foretold(r row) float64 {
	sum := 0.0
	for _, name := range unknowns() {
		sum += float64(r.count[name] * float64(t[name]))
	}
	return sum / gasPerNs
}
