package main

import (
	"encoding/csv"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// Roles of rows.
const (
	roleFit      = "fit"      // in the fit, and must not take more than twice what it pays
	roleBound    = "bound"    // a worst case: not in the fit, must not take more than twice what it pays
	roleWhole    = "whole"    // a whole program: in the fit, with more weight
	roleAmount   = "amount"   // prices by amount: the same as bound
	roleResidual = "residual" // known to be under-priced: reported only
)

var roles = []string{roleFit, roleBound, roleWhole, roleAmount, roleResidual}

// row is one measurement: so many nanoseconds for so many instructions.
type row struct {
	name   string
	role   string
	target string // what is priced higher if the row pays too little
	ns     float64
	count  counts
}

var header = []string{"name", "role", "target", "ns", "counts"}

func writeRows(w io.Writer, rows []row) error {
	c := csv.NewWriter(w)
	all := [][]string{header}
	for _, r := range rows {
		var n []string
		for _, name := range slices.Sorted(maps.Keys(r.count)) {
			n = append(n, name+":"+strconv.FormatFloat(r.count[name], 'f', -1, 64))
		}
		all = append(all, []string{r.name, r.role, r.target, strconv.FormatFloat(r.ns, 'g', 6, 64), strings.Join(n, " ")})
	}
	return c.WriteAll(all)
}

func readRows(r io.Reader) ([]row, error) {
	lines, err := csv.NewReader(r).ReadAll()
	if err != nil {
		return nil, err
	}
	if len(lines) == 0 || !slices.Equal(lines[0], header) {
		return nil, fmt.Errorf("the first line is not %v", header)
	}
	var rows []row
	for n, l := range lines[1:] {
		x := row{name: l[0], role: l[1], target: l[2], count: counts{}}
		if x.ns, err = strconv.ParseFloat(l[3], 64); err != nil || x.ns <= 0 || !slices.Contains(roles, x.role) {
			return nil, fmt.Errorf("line %d: %v", n+2, l)
		}
		for part := range strings.FieldsSeq(l[4]) {
			name, number, _ := strings.Cut(part, ":")
			if x.count[name], err = strconv.ParseFloat(number, 64); err != nil {
				return nil, fmt.Errorf("line %d: %q", n+2, part)
			}
		}
		rows = append(rows, x)
	}
	return rows, nil
}
