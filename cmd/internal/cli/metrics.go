package cli

import (
	"bytes"
	"context"
	"strconv"
	"strings"

	"github.com/troupehost/troupe/actors/fault"
)

func (a *app) nodeVerb() verb {
	return verb{
		use: "node COMMAND", short: "Look after the host of a 'troupe serve'",
		examples: []string{
			"troupe node metrics", "counts and times, in the form of Prometheus",
			"troupe node log -f", "what it says",
			"troupe node snapshot", "all that it shows, in one file",
		},
		exits: []int{exitOK, exitUsage},
		verbs: []verb{
			a.healthVerb(), a.metricsVerb(), a.nodeLogVerb(), a.auditVerb(), a.snapshotVerb(), a.gcVerb(), a.drainVerb(), a.reloadVerb(), a.backupVerb(), a.restoreVerb(), a.unitVerb(),
		},
	}
}

func (a *app) metricsVerb() verb {
	return verb{
		use: "metrics", short: "Print the metrics of the host",
		long: "In the text format of Prometheus, as GET /metrics on the socket gives it. With -o json it is a list of samples.",
		examples: []string{
			"troupe node metrics | grep troupe_faults_total", "which faults there were",
			"troupe node metrics -o json | jq '.[] | select(.name == \"troupe_queue_depth\")'", "the same for scripts",
		},
		exits: exitsHost,
		run: func(ctx context.Context, _ []string) error {
			return a.at(ctx, served, func(ctx context.Context, n *node) error {
				var b bytes.Buffer
				if err := n.Metrics(ctx, &b); err != nil {
					return err
				}
				if !a.json() {
					_, _ = a.out.Write(b.Bytes()) // a failed write shows in the sink
					return nil
				}
				list, err := samples(b.String())
				if err != nil {
					return err
				}
				a.printJSON(list)
				return nil
			})
		},
	}
}

// sample is one line of the text format. Its JSON form is a contract.
type sample struct {
	Name   string            `json:"name"`
	Labels map[string]string `json:"labels"`
	Value  float64           `json:"value"`
}

// samples reads the text format, as far as a host writes it: no timestamps, no value that JSON lacks.
func samples(text string) ([]sample, error) {
	list := []sample{}
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		if line == "" || line[0] == '#' {
			continue
		}
		s, ok := parseSample(line)
		if !ok {
			return nil, fault.New(fault.BugProtocol, "metrics", fault.Quote(line), nil)
		}
		list = append(list, s)
	}
	return list, nil
}

func parseSample(line string) (s sample, ok bool) {
	i := strings.IndexAny(line, "{ ")
	if i <= 0 {
		return s, false
	}
	s.Name, s.Labels = line[:i], map[string]string{}
	rest := line[i:]
	if rest[0] == '{' {
		for rest = rest[1:]; !strings.HasPrefix(rest, "}"); rest = strings.TrimPrefix(rest, ",") {
			name, after, found := strings.Cut(rest, "=")
			value, err := strconv.QuotedPrefix(after) // the escapes of the format are among those of Go
			if !found || err != nil {
				return s, false
			}
			if s.Labels[name], err = strconv.Unquote(value); err != nil {
				return s, false
			}
			rest = after[len(value):]
		}
		rest = rest[1:]
	}
	v, err := strconv.ParseFloat(strings.TrimPrefix(rest, " "), 64)
	s.Value = v
	return s, err == nil
}
