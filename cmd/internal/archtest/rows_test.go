package archtest

import (
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// chainRows are the tables of what the chain and its ledger are seen to do, and their rows.
var chainRows = []struct {
	file, letter string
	first, last  int
}{
	{"chainbridge/ROWS.md", "W", 51, 82},
	{"chainbridge/ledger/ROWS.md", "S", 52, 84},
}

// rowTest is the name of a test or a fuzz target in a row.
var rowTest = regexp.MustCompile("`((?:Test|Fuzz|Benchmark)[A-Za-z0-9_]+)`")

// TestChainRows: each row stands once, in order, and names tests that exist and are not skipped.
func TestChainRows(t *testing.T) {
	tests := map[string]bool{} // by name: may be skipped
	for dir, s := range declarations(t) {
		if strings.HasPrefix(dir, "chainbridge") || strings.HasPrefix(dir, "actors/chain") || strings.HasPrefix(dir, "actors/meter") || strings.HasPrefix(dir, "host") {
			for name, skipped := range s.tests {
				tests[name] = tests[name] || skipped
			}
		}
	}
	for _, table := range chainRows {
		var want, got []string
		for n := table.first; n <= table.last; n++ {
			want = append(want, fmt.Sprintf("%s%d", table.letter, n))
		}
		for n, line := range strings.Split(string(files(t, ".md")[filepath.FromSlash(table.file)]), "\n") {
			cells := strings.Split(strings.Trim(line, "|"), "|")
			if !strings.HasPrefix(line, "| "+table.letter) {
				continue
			}
			id := strings.TrimSpace(cells[0])
			got = append(got, id)
			if len(cells) != 3 || strings.TrimSpace(cells[1]) == "" {
				t.Errorf("%s:%d: a row has three cells", table.file, n+1)
				continue
			}
			named := rowTest.FindAllStringSubmatch(cells[2], -1)
			if len(named) == 0 {
				t.Errorf("%s:%d: %s names no test", table.file, n+1, id)
			}
			for _, m := range named {
				if skipped, exists := tests[m[1]]; !exists || skipped {
					t.Errorf("%s:%d: %s: exists %v, may be skipped %v", table.file, n+1, m[1], exists, skipped)
				}
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: rows %v\nwant %v", table.file, got, want)
		}
	}
}
