// Package report is what the benchmark programs share: rows of a table against goals, quantiles, and what machine it was.
package report

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// Row is one line of the table of goals.
type Row struct {
	What     string // what was measured
	Goal     string // as it is published; "" for none
	Measured string // with its unit
	Peer     string // what another host or engine took in the same run; "" for none
	Ratio    string // of measured to peer; "" for none
	Met      string // "yes", "no", or "" where there is no goal
	Failed   bool   // it could not be measured
}

// AtMost is a row that holds if measured is not above goal; both are of one unit, which format prints.
func AtMost(what string, goal, measured float64, format func(float64) string) Row {
	return Row{What: what, Goal: "≤ " + format(goal), Measured: format(measured), Met: met(measured <= goal)}
}

// AtLeast is a row that holds if measured is not below goal.
func AtLeast(what string, goal, measured float64, format func(float64) string) Row {
	return Row{What: what, Goal: "≥ " + format(goal), Measured: format(measured), Met: met(measured >= goal)}
}

// Against adds the figure of a peer from the same run.
func (r Row) Against(peer string, measured, took float64, format func(float64) string) Row {
	r.Peer, r.Ratio = format(took)+" "+peer, fmt.Sprintf("%.2f", measured/took)
	return r
}

func met(ok bool) string {
	if ok {
		return "yes"
	}
	return "no"
}

// Failed is a row that could not be measured, and why.
func Failed(what string, err error) Row {
	return Row{What: what, Measured: "not measured: " + strings.ReplaceAll(err.Error(), "\n", " "), Met: "no", Failed: true}
}

// LeftOut is a row that needs what is not on this machine.
func LeftOut(what string, err error) Row {
	r := Failed(what, err)
	r.Met, r.Failed = "", false
	return r
}

// Micros, Count, Times and Mega print a figure with its unit. A duration is given in microseconds.
func Micros(us float64) string {
	switch {
	case us >= 1e6:
		return fmt.Sprintf("%.2f s", us/1e6)
	case us >= 1e3:
		return fmt.Sprintf("%.2f ms", us/1e3)
	}
	return fmt.Sprintf("%.1f µs", us)
}

// Rate prints a number per second.
func Rate(n float64) string { return fmt.Sprintf("%.0f/s", n) }

// Times prints a ratio.
func Times(n float64) string { return fmt.Sprintf("%.2f ×", n) }

// Mega prints bytes in MB.
func Mega(bytes float64) string { return fmt.Sprintf("%.1f MB", bytes/1e6) }

// Samples are durations of one kind of call.
type Samples []time.Duration

// At returns the quantile q in microseconds; NaN if there are no samples.
func (s Samples) At(q float64) float64 {
	if len(s) == 0 {
		return math.NaN()
	}
	sorted := slices.Clone(s)
	slices.Sort(sorted)
	return float64(sorted[int(q*float64(len(sorted)-1))].Nanoseconds()) / 1e3
}

// Print writes a heading and rows in columns.
func Print(w io.Writer, heading string, rows []Row) {
	table := [][]string{{heading, "goal", "measured", "peer", "ratio", "met"}}
	for _, r := range rows {
		table = append(table, []string{r.What, r.Goal, r.Measured, r.Peer, r.Ratio, r.Met})
	}
	Columns(w, table)
}

// Columns writes cells below each other; the first row is the heading.
func Columns(w io.Writer, table [][]string) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, row := range table {
		fmt.Fprintln(t, strings.TrimRight(strings.Join(row, "\t"), "\t "))
	}
	_ = t.Flush()
	fmt.Fprintln(w)
}

// Failures counts the rows and tables that could not be measured.
func Failures(all []Section) (n int) {
	for _, s := range all {
		for _, r := range s.Rows {
			if r.Failed {
				n++
			}
		}
		if s.Failed {
			n++
		}
	}
	return n
}

// Section is a table as one program hands it to another.
type Section struct {
	Name  string     `json:"name"`
	Rows  []Row      `json:"rows,omitempty"`  // against goals
	Cells [][]string `json:"cells,omitempty"` // or free columns, the heading first

	Failed bool `json:"failed,omitempty"` // not all of it could be measured
}

// Save writes sections to a file, and Load reads them.
func Save(file string, s []Section) error {
	b, err := json.MarshalIndent(s, "", " ")
	if err != nil {
		return err
	}
	return os.WriteFile(file, b, 0o600)
}

// Load reads what Save wrote.
func Load(file string) (s []Section, err error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	return s, json.Unmarshal(b, &s)
}

// Show prints sections one below the other, and rows of one name in one table.
func Show(w io.Writer, all []Section) {
	for _, s := range together(all) {
		if s.Rows != nil {
			Print(w, s.Name, s.Rows)
		}
		if s.Cells != nil {
			fmt.Fprintln(w, s.Name)
			Columns(w, s.Cells)
		}
	}
}

// together joins the sections of one name that have rows, in the order of their first.
func together(all []Section) (joined []Section) {
	for _, s := range all {
		i := slices.IndexFunc(joined, func(j Section) bool { return s.Rows != nil && j.Rows != nil && j.Name == s.Name })
		if i < 0 {
			s.Rows = slices.Clone(s.Rows)
			joined = append(joined, s)
			continue
		}
		joined[i].Rows = append(joined[i].Rows, s.Rows...)
	}
	return joined
}
