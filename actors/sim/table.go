package sim

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
)

// Table collects the transitions that a core was seen to make, to be printed into the documentation of its package.
type Table struct {
	entity string
	rows   map[[3]string]map[string]bool // state, event, next -> effects
}

// NewTable returns an empty table of the states of an entity, e.g. "Artifact". The name heads its first column.
func NewTable(entity string) *Table {
	return &Table{entity: entity, rows: map[[3]string]map[string]bool{}}
}

// Saw records that an entity went from one state to the next, "-" being none, and which effects came with it.
func (t *Table) Saw(state, event, next string, effects ...string) {
	row := [3]string{state, event, next}
	if t.rows[row] == nil {
		t.rows[row] = map[string]bool{}
	}
	for _, e := range effects {
		t.rows[row][e] = true
	}
}

// String returns the table as comment lines, one row per transition, in order.
func (t *Table) String() string {
	var text bytes.Buffer
	w := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintf(w, "%s\tEvent\tNext\tEffects\n", t.entity)
	for _, r := range slices.SortedFunc(maps.Keys(t.rows), func(a, b [3]string) int { return slices.Compare(a[:], b[:]) }) {
		effects := strings.Join(slices.Sorted(maps.Keys(t.rows[r])), " ")
		if effects == "" {
			effects = "-"
		}
		_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", r[0], r[1], r[2], effects)
	}
	_ = w.Flush()
	var out strings.Builder
	for line := range strings.Lines(text.String()) {
		out.WriteString("//\t" + strings.TrimRight(line, " \n") + "\n")
	}
	return out.String()
}

// CompareDoc compares the table with the one in a Go file: the lines from the header of the same entity to the last line of
// that code block. With update it rewrites the file instead.
func (t *Table) CompareDoc(file string, update bool) error {
	b, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	before, rest, ok := strings.Cut(string(b), "//\t"+t.entity+" ")
	if !ok {
		return fmt.Errorf("%s has no table that begins with %q", file, "//\t"+t.entity)
	}
	have := "//\t" + t.entity + " "
	for n, line := range slices.Collect(strings.Lines(rest)) {
		if n > 0 && !strings.HasPrefix(line, "//\t") {
			break
		}
		have += line
	}
	want := t.String()
	switch {
	case have == want:
		return nil
	case update:
		after := strings.TrimPrefix(string(b), before+have)
		return os.WriteFile(file, []byte(before+want+after), 0o644)
	}
	return fmt.Errorf("the table of %s in %s is not what the code does; run the test with -update. The code says:\n%s", t.entity, file, want)
}
