package archtest

import (
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// attempts are what strangers try at the API. One is added, never taken away.
var attempts = []string{
	"No token", "An expired token", "A wrong token", "Ids of other tenants, on each route", "Ids of other tenants, on each stream", "What only looks changes something",
	"Tricks with paths", "Bodies of a gigabyte, on each route", "JSON that is deep", "Header bombs", "Slow headers and slow bodies", "Connections that say nothing",
	"The preface of HTTP/2, and upgrades", "Smuggling: a length and chunks", "Smuggling: two lengths", "Smuggling: folded headers", "Smuggling: bare line feeds",
	"Targets in absolute form, tunnels", "DNS rebinding and pages of other sites", "Fetches: addresses that are not public, of all classes and forms", "Fetches: redirects to them",
	"Fetches: a name that changes between look and dial", "Fetches: names of files and CIDs that lead elsewhere", "Guests that connect inwards",
}

// TestEveryAttemptIsMade reads the table of attempts: each has tests that are there and never skipped, and the parts of tests that it
// names are there.
func TestEveryAttemptIsMade(t *testing.T) {
	sources, tests := declarations(t), files(t, "_test.go")
	part := func(dir, name string) bool {
		name = strings.ReplaceAll(name, "_", " ")
		for file, b := range tests {
			if path.Dir(filepath.ToSlash(file)) == dir && strings.Contains(string(b), `"`+name+`"`) {
				return true
			}
		}
		return false
	}
	_, table, _ := strings.Cut(string(files(t, ".md")[filepath.FromSlash(threats)]), "\n| Attempt | Tests |\n|---|---|\n")
	table, _, _ = strings.Cut(table, "\n\n")
	var rows []string
	for _, line := range strings.Split(table, "\n") {
		cells := strings.Split(strings.Trim(line, "|"), "|")
		if len(cells) != 2 {
			t.Errorf("%q has %d cells", line, len(cells))
			continue
		}
		attempt := strings.TrimSpace(cells[0])
		rows = append(rows, attempt)
		named := reference.FindAllStringSubmatch(cells[1], -1)
		if len(named) != strings.Count(cells[1], "`")/2 || len(named) == 0 {
			t.Errorf("%s: not all tests can be read", attempt)
		}
		for _, m := range named {
			name, sub, _ := strings.Cut(m[2], "/")
			skipped, exists := sources[m[1]].tests[name]
			switch {
			case !exists:
				t.Errorf("%s: there is no test %s", attempt, m[0])
			case skipped:
				t.Errorf("%s: %s may be skipped", attempt, m[0])
			case sub != "" && !part(m[1], sub):
				t.Errorf("%s: there is no part %q of %s", attempt, sub, name)
			}
		}
	}
	if !slices.Equal(rows, attempts) {
		t.Errorf("the rows are\n%q, want\n%q", rows, attempts)
	}
}
