package manifest

import (
	"fmt"
	"time"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/run"
)

// Defaults of Terms.
const (
	DefaultEntryName    = "query"
	DefaultWeight       = 100
	DefaultQueryTimeout = 10 * time.Second
	DefaultQueue        = 20
	DefaultIdleTimeout  = 60 * time.Second
	DefaultMinRun       = 10 * time.Second
	DefaultBackoffMin   = time.Second
	DefaultBackoffMax   = 60 * time.Second
)

// Settled returns the terms with all defaults filled in, also of a manifest of version 1, which has none of its own. Auto and
// ByEntry stay, since the code decides; see Resolve. Of the limits, those of memory and stack are filled in always, and the
// others only of a Command or Handler: of a Service, zero is no limit, and of Auto it is not known yet.
func (m *Manifest) Settled() Terms {
	var t Terms
	if m.Terms != nil {
		t = *m.Terms
	}
	l := run.Limits{CPU: t.Limits.CPU, Wall: t.Limits.Wall}.WithDefaults()
	if t.Entry == Command || t.Entry == Handler {
		t.Limits.CPU, t.Limits.Wall = l.CPU, l.Wall
		settle(&t.Limits.OutputBytes, uint64(l.OutputBytes))
	}
	settle(&t.Limits.MemoryBytes, uint64(l.MemoryBytes))
	settle(&t.Limits.StackValues, uint64(l.StackValues))
	settle(&t.EntryName, DefaultEntryName)
	settle(&t.Weight, DefaultWeight)
	settle(&t.QueryTimeout, DefaultQueryTimeout)
	settle(&t.Queue, DefaultQueue)
	settle(&t.IdleTimeout, DefaultIdleTimeout)
	settle(&t.Restart.MinRun, DefaultMinRun)
	if t.Restart.BackoffMin == 0 {
		t.Restart.BackoffMin = DefaultBackoffMin
		if top := t.Restart.BackoffMax; top > 0 {
			t.Restart.BackoffMin = min(top, DefaultBackoffMin)
		}
	}
	settle(&t.Restart.BackoffMax, max(DefaultBackoffMax, t.Restart.BackoffMin))
	return t
}

func settle[T comparable](field *T, byDefault T) {
	var zero T
	if *field == zero {
		*field = byDefault
	}
}

// Run returns the limits as a run has them, in which zero means the default.
func (l Limits) Run() run.Limits {
	return run.Limits{
		CPU: l.CPU, Wall: l.Wall, MemoryBytes: int64(l.MemoryBytes), OutputBytes: int64(l.OutputBytes),
		Gas: int64(l.Gas), InitGas: int64(l.InitGas), StackValues: int64(l.StackValues),
	}
}

// Resolve returns entry and reuse once the code is known, of which code is the kind: what the manifest says, and what Auto and
// ByEntry come to.
//
// # Errors
//
// caller.manifest_conflict if what the manifest says does not go with the code: it says Keep and the code is no service, it
// says another kind than a long-running service may have, or it has a schedule and the code cannot be run without a request.
func (m *Manifest) Resolve(code Entry) (Entry, Reuse, error) {
	entry, reuse := Auto, ByEntry
	var schedule Schedule
	if m.Terms != nil {
		entry, reuse, schedule = m.Terms.Entry, m.Terms.Reuse, m.Terms.Schedule
	}
	if entry == Auto {
		entry = code
	}
	if reuse == ByEntry {
		reuse = Reset
		if entry == Service {
			reuse = Keep
		}
	}
	if err := m.conflict(entry, reuse, schedule); err != nil {
		return 0, 0, err
	}
	return entry, reuse, nil
}

// conflict judges what excludes each other; Auto and ByEntry exclude nothing.
func (m *Manifest) conflict(entry Entry, reuse Reuse, schedule Schedule) error {
	switch {
	case reuse == Keep && (entry == Command || entry == Handler):
		return conflicting("reuse keep, and an entry of kind %s: only a service lives on", entry)
	case entry == Service && !m.OnDemand && (reuse == Reset || reuse == Process):
		return conflicting("reuse %s, and a long-running service, whose instance is kept", reuse)
	case schedule != (Schedule{}) && entry == Handler:
		return conflicting("schedule, and an entry of kind handler, which runs for requests only")
	}
	return nil
}

func conflicting(format string, args ...any) error {
	return fault.New(fault.CallerManifestConflict, "manifest", "", fmt.Errorf(format, args...))
}

var (
	entryNames   = []string{"auto", "command", "handler", "service"}
	reuseNames   = []string{"by_entry", "keep", "reset", "process"}
	restartNames = []string{"always", "on_failure", "never"}
)

// String returns the name that the JSON form has.
func (e Entry) String() string { return nameOf("entry", entryNames, uint8(e)) }

// String returns the name that the JSON form has.
func (r Reuse) String() string { return nameOf("reuse", reuseNames, uint8(r)) }

// String returns the name that the JSON form has.
func (p RestartPolicy) String() string { return nameOf("policy", restartNames, uint8(p)) }

func nameOf(kind string, names []string, v uint8) string {
	if int(v) < len(names) {
		return names[v]
	}
	return fmt.Sprintf("%s(%d)", kind, v)
}
