// Package gate holds counts to limits: allocations, bytes and ratios of them, which are the same on any machine at any load, and
// never time. The limits are in testdata/bench/counts.txt; a count of more than 5 % above its limit fails the test.
package gate

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
)

// A count may be so far above its limit: a share of it, and a tenth of an allocation of 80 bytes, since goroutines in the background
// allocate a little.
const (
	slack      = 1.05
	stray      = 0.1
	strayBytes = 8
)

// update is the variable of the environment that has limits set to what is counted: make counts.
const update = "TROUPE_COUNTS"

// Count holds a count to the limit of that name. Nothing is held in a build for the race detector, whose pools forget at random.
func Count(t testing.TB, name string, counted float64) {
	t.Helper()
	if raced {
		return
	}
	file, err := find("go.mod")
	if err != nil {
		t.Fatal(err)
	}
	file = filepath.Join(filepath.Dir(file), "testdata", "bench", "counts.txt")
	table, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if os.Getenv(update) != "" {
		if err := os.WriteFile(file, []byte(with(string(table), name, counted)), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	limit, err := limitOf(string(table), name)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%s: limit %s, counted %s", name, number(limit), number(counted))
	if !holds(name, limit, counted) {
		t.Errorf("%s: %s, which is more than 5 %% above %s (if it must be: make counts)", name, number(counted), number(limit))
	}
}

func holds(name string, limit, counted float64) bool {
	over := stray
	if strings.HasSuffix(name, ": bytes") {
		over = strayBytes
	}
	return counted <= limit*slack+over
}

// limitOf finds a row: the name, at least two spaces, the limit.
func limitOf(table, name string) (float64, error) {
	for line := range strings.Lines(table) {
		if n, v, ok := split(line); ok && n == name {
			return strconv.ParseFloat(v, 64)
		}
	}
	return 0, fmt.Errorf("no limit is called %q", name)
}

func split(line string) (name, value string, ok bool) {
	line = strings.TrimSpace(line)
	i := strings.LastIndex(line, "  ")
	if i < 0 || strings.HasPrefix(line, "#") {
		return "", "", false
	}
	return strings.TrimSpace(line[:i]), strings.TrimSpace(line[i:]), true
}

// with is the table with another limit for a name, which is added if it is new.
func with(table, name string, counted float64) string {
	row := fmt.Sprintf("%-72s  %s\n", name, number(counted))
	var out strings.Builder
	found := false
	for line := range strings.Lines(table) {
		if n, _, ok := split(line); ok && n == name {
			line, found = row, true
		}
		out.WriteString(line)
	}
	if !found {
		out.WriteString(row)
	}
	return out.String()
}

func number(n float64) string {
	if n == math.Trunc(n) || n >= 100 {
		return strconv.FormatFloat(math.Round(n), 'f', -1, 64)
	}
	return strconv.FormatFloat(n, 'f', 2, 64)
}

// Allocations is how often f allocates, and how many bytes, all goroutines together: the least of several batches of calls, since
// what else goes on in the process only adds to it.
func Allocations(calls int, f func()) (allocations, bytes float64) {
	const batches = 5
	f()
	allocations, bytes = math.Inf(1), math.Inf(1)
	var before, after runtime.MemStats
	for range batches {
		runtime.GC() // none of the collector's own work falls into a batch
		runtime.ReadMemStats(&before)
		for range calls {
			f()
		}
		runtime.ReadMemStats(&after)
		allocations = min(allocations, float64(after.Mallocs-before.Mallocs)/float64(calls))
		bytes = min(bytes, float64(after.TotalAlloc-before.TotalAlloc)/float64(calls))
	}
	return allocations, bytes
}

// find looks for a file here and above.
func find(name string) (string, error) {
	dir, err := os.Getwd()
	for err == nil {
		if file := filepath.Join(dir, name); exists(file) {
			return file, nil
		}
		if filepath.Dir(dir) == dir {
			err = fmt.Errorf("no %s here and above", name)
		}
		dir = filepath.Dir(dir)
	}
	return "", err
}

func exists(file string) bool {
	_, err := os.Stat(file)
	return err == nil
}
