package cache

import (
	"cmp"
	"flag"
	"maps"
	"os"
	"reflect"
	"testing"
	"time"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/sim"
	"github.com/troupehost/troupe/artifacts"
)

var update = flag.Bool("update", false, "write the table of transitions into doc.go")

// TestTable compares the table of transitions in doc.go with those that a simulation makes.
func TestTable(t *testing.T) {
	table := sim.NewTable("Artifact")
	for _, rate := range []float64{0.02, 0.1} {
		sim.Explore(t, sim.Options{Seeds: 2000, Rate: rate}, func(w *sim.World) sim.Check {
			x := newWorld(w, 64)
			x.table = table
			return x.check()
		})
	}
	if os.Getenv("TROUPE_SIM_SEEDS") != "" {
		return // more seeds may see more, and fewer less
	}
	if err := table.CompareDoc("doc.go", *update); err != nil {
		t.Error(err)
	}
}

// observed makes a step, and notes it if it addresses one entry and changes no other.
func (b booting) observed(now time.Time, in Message) []Effect {
	if b.table == nil {
		return sim.Step(b.w, "cache", sim.Core[Message, Effect](b.State), now, in)
	}
	event, key, one := b.event(in)
	before := b.states()
	out := sim.Step(b.w, "cache", sim.Core[Message, Effect](b.State), now, in)
	after := b.states()
	all := maps.Clone(before)
	maps.Copy(all, after)
	for k := range all {
		if k != key && before[k] != after[k] {
			one = false
		}
	}
	var effects []string
	for _, e := range out {
		effects = append(effects, reflect.TypeOf(e).Name())
	}
	if from, to := cmp.Or(before[key], "-"), cmp.Or(after[key], "-"); one && (from != to || len(effects) > 0 && !operators[event]) {
		b.table.Saw(from, event, to, effects...)
	}
	return out
}

// operators are events that are noted only if they change a state.
var operators = map[string]bool{"Show": true, "Verify": true, "Pin": true, "pinned": true, "Evict": true, "verified": true, "verified: host": true, "Lift": true, "Underway": true}

// states names the state of each artifact.
func (s *State) states() map[artifacts.Key]string {
	out := map[artifacts.Key]string{}
	for k := range s.leaving {
		out[k] = "leaving"
	}
	for k, e := range s.entries {
		out[k] = e.state.String()
		if e.state == artifacts.Preparing && e.storing {
			out[k] = "storing"
		}
	}
	return out
}

// event names a message, and the one artifact that it is about.
func (s *State) event(in Message) (name string, k artifacts.Key, one bool) {
	name = reflect.TypeOf(in).Name()
	ended := func(err error) {
		if f := fault.From(err); f != nil {
			name += ": " + f.Class.String()
		}
	}
	of := func(f *fault.Error) {
		if f != nil { // a nil pointer is not a nil error
			ended(f)
		}
	}
	request := func(id uint64) bool {
		a := s.asks[id]
		if a != nil {
			k = a.Key
		}
		return a != nil
	}
	switch m := in.(type) {
	case Ask:
		return m.Request.Kind.String(), m.Request.Key, true
	case Depart:
		one = request(m.ID)
	case Raise:
		one = request(m.ID)
	case prepared:
		ended(m.err)
		of(m.outcome.Fault)
		k, one = m.key, true
	case passed:
		k, one = m.key, true
	case stored:
		ended(m.err)
		if m.err == nil && m.bytes == 0 {
			name += " in memory"
		}
		k, one = m.key, true
	case described:
		ended(m.err)
		k, one = m.key, true
	case executed:
		ended(m.err)
		of(m.outcome.Fault)
		one = request(m.id) && s.asks[m.id].entry == s.entries[k] // else it is about an older generation
	case deleted:
		if len(m.kept) > 0 {
			name = "not " + name
		}
		if one = len(m.gone) == 1; one {
			k = m.gone[0].Key
		}
	case verified:
		ended(m.err)
		k, one = m.key, true
	case Evict:
		k, one = m.Key, true
	case Lift:
		k, one = m.Key, true
	}
	return name, k, one
}
