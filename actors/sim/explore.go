package sim

import (
	"fmt"
	"math/rand/v2"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Kind is a set of faults.
type Kind uint8

// The faults. Which may hit an effect, its node says; a crash of a step is allowed by Node.Crashes.
const (
	Fail  Kind = 1 << iota // Do finds Shell.Err set
	Drop                   // Do is not called
	Delay                  // Do is called later, or never if the node crashes first
	Crash                  // the incarnation ends before the effect; the rest of its effects are lost
)

// String returns the names of the set.
func (k Kind) String() string {
	var names []string
	for i, name := range [...]string{"fail", "drop", "delay", "crash"} {
		if k&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	if rest := k &^ (Fail | Drop | Delay | Crash); rest != 0 || k == 0 {
		names = append(names, fmt.Sprintf("kind(%d)", uint8(rest)))
	}
	return strings.Join(names, "|")
}

// Injected is one fault of a run.
type Injected struct {
	Point int    // which of the places that could have failed, counted from 0
	Kind  Kind   // one of them
	Where string // node and effect, for people
}

// Options of a run.
type Options struct {
	// Seeds is how many seeds Explore tries. Default 1000.
	Seeds int
	// First is the first seed. Default 0.
	First uint64
	// MaxSteps ends a run that does not settle. Default 20,000.
	MaxSteps int
	// Horizon ends a run, in virtual time, that goes on for ever. Default: it ends when nothing is left to do.
	Horizon time.Duration
	// Rate is the share of points that fail, 0 to 1.
	Rate float64
	// Only, if not nil, are the points that may fail: the others that the seed chose are spared.
	Only []int
	// Trace records the run.
	Trace bool
	// Record is given each step of each node, as a kernel.Recorder is.
	Record func(path string, incarnation uint64, core any, now time.Time, in any) (done func(effects any))
}

// Check is what must hold. Either may be nil.
type Check struct {
	Always func() error // after each step
	AtEnd  func() error // when nothing is left to do, or at the horizon
}

// Result is the outcome of one run.
type Result struct {
	Seed   uint64
	Err    error
	Steps  int
	Digest uint64 // equal for equal runs
	Faults []Injected
	Trace  []string
}

// String prints how to replay the run, its faults and its trace.
func (r Result) String() string {
	var b strings.Builder
	points := make([]string, len(r.Faults))
	for i, f := range r.Faults {
		points[i] = fmt.Sprint(f.Point)
	}
	fmt.Fprintf(&b, "seed %d: %v\nreplay: sim.Run(%d, sim.Options{Trace: true, Only: []int{%s}, ...}, build)\n", r.Seed, r.Err, r.Seed, strings.Join(points, ", "))
	for _, f := range r.Faults {
		fmt.Fprintf(&b, "fault at point %d: %v of %s\n", f.Point, f.Kind, f.Where)
	}
	b.WriteString(strings.Join(r.Trace, "\n"))
	return b.String()
}

// Run makes one run. build adds the nodes and the first messages and returns what must hold.
func Run(seed uint64, o Options, build func(w *World) Check) Result {
	if o.MaxSteps <= 0 {
		o.MaxSteps = 20_000
	}
	w := &World{
		opt: o, seed: seed, now: epoch(), nodes: make(map[string]*node),
		sched: rand.New(rand.NewPCG(seed, 1)), model: rand.New(rand.NewPCG(seed, 2)),
		faults: faults{rng: rand.New(rand.NewPCG(seed, 3)), rate: o.Rate, only: o.Only},
		hurry:  seed%2 == 1,
	}
	if o.Trace {
		w.address = regexp.MustCompile(`0x[0-9a-f]{6,}`)
	}
	var check Check
	w.guard("build", func() { check = build(w) })
	err := w.run(check)
	return Result{Seed: seed, Err: err, Steps: w.steps, Digest: w.digest, Faults: w.faults.hits, Trace: w.trace}
}

// Explore runs many seeds: Options.Seeds of them, or as many as the environment variable TROUPE_SIM_SEEDS says. The first
// that fails is minimised and printed, and fails the test.
func Explore(t testing.TB, o Options, build func(w *World) Check) {
	t.Helper()
	if s := os.Getenv("TROUPE_SIM_SEEDS"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 {
			t.Fatalf("TROUPE_SIM_SEEDS=%q: want a number of seeds", s)
		}
		o.Seeds = n
	}
	if r, found := Search(o, build); found {
		t.Fatal(r)
	}
}

// Search is Explore without a test: it returns the first failing run with the fewest faults it found, and its trace.
func Search(o Options, build func(w *World) Check) (Result, bool) {
	if o.Seeds <= 0 {
		o.Seeds = 1000
	}
	for seed := o.First; seed < o.First+uint64(o.Seeds); seed++ {
		if r := Run(seed, o, build); r.Err != nil {
			return Minimise(r, o, build), true
		}
	}
	return Result{}, false
}

// Minimise leaves out the faults of a failing run that it fails without, and traces it.
func Minimise(r Result, o Options, build func(w *World) Check) Result {
	keep := points(r.Faults)
	for size := len(keep); size > 0; size /= 2 { // halves, quarters, ... single faults
		for i := 0; i < len(keep); {
			fewer := slices.Delete(slices.Clone(keep), i, min(i+size, len(keep)))
			o.Only = fewer
			if try := Run(r.Seed, o, build); try.Err != nil {
				keep = points(try.Faults) // never more than fewer
				continue
			}
			i += size
		}
	}
	o.Only, o.Trace = keep, true
	least := Run(r.Seed, o, build)
	if least.Err == nil {
		r.Err = fmt.Errorf("it did not fail again, so something in it is not deterministic: %w", r.Err)
		return r
	}
	return least
}

func points(hits []Injected) []int {
	out := make([]int, len(hits)) // not nil: no point may fail
	for i, h := range hits {
		out[i] = h.Point
	}
	return out
}

// faults decides at each point that could fail whether it does. Its draws do not depend on Only, so that sparing a fault
// leaves the decisions at all other points as they were.
type faults struct {
	rng   *rand.Rand
	rate  float64
	only  []int
	point int
	hits  []Injected
}

func (f *faults) draw(who, what string, may Kind) Kind {
	point := f.point
	f.point++
	hit, pick := f.rng.Float64() < f.rate, f.rng.IntN(8)
	if !hit || may == 0 || f.only != nil && !slices.Contains(f.only, point) {
		return 0
	}
	var kinds []Kind
	for k := Fail; k <= Crash; k <<= 1 {
		if may&k != 0 {
			kinds = append(kinds, k)
		}
	}
	k := kinds[pick%len(kinds)]
	f.hits = append(f.hits, Injected{Point: point, Kind: k, Where: who + " " + what})
	return k
}
