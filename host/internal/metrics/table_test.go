package metrics

import (
	"bytes"
	"context"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/actors/run"
)

// row is one metric as the table and as the registry have it.
type row struct{ Name, Type, Labels, Meaning string }

// table reads README.md.
func table(t *testing.T) map[string]row {
	t.Helper()
	b, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string]row{}
	for line := range strings.Lines(string(b)) {
		c := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		if len(c) != 5 || !strings.HasPrefix(strings.TrimSpace(c[0]), "`troupe_") {
			continue
		}
		for i := range c {
			c[i] = strings.TrimSpace(c[i])
		}
		name := strings.Trim(c[0], "`")
		if _, twice := rows[name]; twice {
			t.Errorf("%s is in the table twice", name)
		}
		if c[4] == "" {
			t.Errorf("%s: what does it answer?", name)
		}
		rows[name] = row{name, c[1], c[2], c[3]}
	}
	return rows
}

var descText = regexp.MustCompile(`^Desc\{fqName: "([^"]*)", help: "([^"]*)", unit: "", constLabels: \{\}, variableLabels: \{([^}]*)\}\}$`)

// described is what the collectors say of themselves.
func described(t *testing.T, s *Set) map[string]row {
	t.Helper()
	rows := map[string]row{}
	for _, c := range []prometheus.Collector{s.reg, scrape{}} {
		out := make(chan *prometheus.Desc)
		go func() {
			defer close(out)
			c.Describe(out)
		}()
		for d := range out {
			m := descText.FindStringSubmatch(d.String())
			if m == nil {
				t.Fatalf("%s", d)
			}
			rows[m[1]] = row{Name: m[1], Labels: strings.ReplaceAll(m[3], ",", ", "), Meaning: m[2]}
		}
	}
	return rows
}

// busyState is a host in which there is some of everything.
func busyState() State {
	now := time.Now()
	return State{Bugs: 1, Host: inspect.Host{Jobs: map[string]int{string(run.JobQueued): 3},
		Version: "1", BuildID: "b", Sandbox: "a+b", StartedAt: now, Ready: true, Requests: 2,
		Health: []inspect.Health{{Code: "disk.short"}},
		Queues: []inspect.Queue{{Name: "prepare", Cap: 9, Parked: map[string]int{"high": 2}, Soft: 1, Hard: 2, OldestAt: now.Add(-time.Minute)},
			{Name: "execute", Running: 1, Refused: 7}},
		Workers:   []inspect.Worker{{Kind: "execute", State: "busy"}},
		Artifacts: []inspect.Artifact{{State: "prepared", Bytes: 10, Stored: true}, {State: "prepared", Bytes: 99}, {State: "failed"}},
		Store:     inspect.Store{Entries: 1, Bytes: 2, DiskBytes: 3, LimitBytes: 4, MemoryBytes: 5, FreeBytes: 6, ReserveBytes: 7, BallastBytes: 8, ReadOnlySince: now},
		Actors:    []inspect.Actor{{Kind: "cache", Depth: 1, Refused: 2, Handled: 3}, {Kind: "execute worker", State: "gave_up"}},
	}}
}

// everything observes each thing once.
func everything(s *Set) {
	for k := Execute; k <= HeadsUp; k++ {
		s.Asked(k, true)
		s.Answered(k, nil)
		s.Took(k, time.Second)
	}
	f := fault.New(fault.SuspectWorkerDied, "", "", nil)
	s.Refused(f)
	s.Retried(f)
	s.Removed("age", 1, 10)
	s.Quarantined()
	for p := run.Background; p <= run.Critical; p++ {
		s.PrepareQueued(p, time.Second)
		s.Prepared(p, Preparation{CPU: time.Second, Wall: time.Second, PeakRSS: 10 << 20, CodeBytes: 1 << 20, ArtifactBytes: 5 << 20})
		s.ExecuteQueued(p, time.Second)
		s.Executed(p, run.Outcome{Usage: run.Usage{CPU: time.Second, Wall: time.Second}, Stdout: []byte("x")})
	}
	s.Raised(run.Background, run.Critical)
	s.CodeGiven(1)
	s.Input(1)
	s.WorkerOrdered()
	s.WorkerClosed("idle")
	s.Spawning("execute")
	s.Spawned("execute")
	s.Retired("execute")
	s.Killed("execute", "cpu_limit")
	s.Orphaned("execute")
	s.TimedOut(StageExecute, ClockHostCPU)
	s.CrossChecked(CheckAgreed)
	s.Committed("state", time.Millisecond)
}

func write(t testing.TB, s *Set, state State) string {
	t.Helper()
	var b bytes.Buffer
	if err := s.Write(t.Context(), &b, func(context.Context) (State, error) { return state, nil }); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// gathered is what a scrape has, by the words of the text format.
func gathered(t *testing.T, text string) map[string]row {
	t.Helper()
	p := expfmt.NewTextParser(model.LegacyValidation)
	families, err := p.TextToMetricFamilies(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string]row{}
	for name, f := range families {
		var labels []string
		for _, l := range f.GetMetric()[0].GetLabel() {
			labels = append(labels, l.GetName())
		}
		slices.Sort(labels)
		rows[name] = row{name, strings.ToLower(f.GetType().String()), strings.Join(labels, ", "), f.GetHelp()}
	}
	return rows
}

func TestTableIsWhatIsThere(t *testing.T) {
	s := New()
	everything(s)
	want, says, has := table(t), described(t, s), gathered(t, write(t, s, busyState()))
	untyped, sorted := map[string]row{}, map[string]row{}
	for n, r := range want {
		untyped[n] = row{r.Name, "", r.Labels, r.Meaning}
		l := strings.Split(r.Labels, ", ")
		slices.Sort(l)
		sorted[n] = row{r.Name, r.Type, strings.Join(l, ", "), r.Meaning}
	}
	if d := cmp.Diff(untyped, says); d != "" {
		t.Errorf("README.md (-) and what is described (+):\n%s", d)
	}
	if d := cmp.Diff(sorted, has); d != "" {
		t.Errorf("README.md (-) and what a scrape has (+):\n%s", d)
	}
}

func TestNamesFollowTheRules(t *testing.T) {
	s := New()
	everything(s)
	problems, err := promlint.New(strings.NewReader(write(t, s, busyState()))).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}
