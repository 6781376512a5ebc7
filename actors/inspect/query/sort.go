package query

import (
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/troupehost/troupe/actors/fault"
)

// Select returns the rows that match, in their order. It is rows itself, if they all do.
func Select[T any](q Query, rows []T) []T {
	if q.Empty() {
		return rows
	}
	var out []T
	for i := range rows {
		if q.Match(&rows[i]) {
			out = append(out, rows[i])
		}
	}
	return out
}

// Order returns the indices of the rows that match, sorted by a field: "-" before it reverses, rows that are alike keep their
// order, and those without a value come last either way. "" keeps the order of the rows.
func Order[T any](q Query, rows []T, by string) ([]int, error) {
	name, down := strings.CutPrefix(by, "-")
	v := views()[q.View]
	if v == nil {
		return nil, fault.New(fault.CallerQuery, "sort", "", nil).WithHint("the views are " + strings.Join(Views(), ", "))
	}
	var read access
	f := v.find(strings.ToLower(name))
	switch {
	case name == "":
	case f == nil:
		word := fault.Quote(name)
		return nil, fault.New(fault.CallerQuery, "sort", "", &Error{Column: len(by) - len(name) + 1, Word: word, Say: "there is no field " + word + " to sort by", // not in the query
			Near: nearest(strings.ToLower(name), v.names())})
	default:
		read = accessor(reflect.TypeFor[T](), f.path, f)
	}
	if read != nil && f.Kind != Text && f.Kind != Enum {
		return f.byNumber(len(rows), down, func(i int) (cell, bool) {
			if !q.Match(&rows[i]) {
				return cell{}, false
			}
			return read(reflect.ValueOf(&rows[i]).Elem()), true
		}), nil
	}
	out := make([]int, 0, len(rows))
	for i := range rows {
		if q.Match(&rows[i]) {
			out = append(out, i)
		}
	}
	if read == nil {
		return out, nil
	}
	type keyed struct {
		text string
		at   int32
		ok   bool
	}
	all := make([]keyed, len(out))
	for n, i := range out {
		c := f.sortable(read(reflect.ValueOf(&rows[i]).Elem()))
		all[n] = keyed{c.text, int32(i), c.ok}
	}
	slices.SortFunc(all, func(a, b keyed) int {
		if a.ok != b.ok {
			return last(a.ok, b.ok)
		}
		if c := turned(strings.Compare(a.text, b.text), down); c != 0 {
			return c
		}
		return int(a.at) - int(b.at)
	})
	for n := range all {
		out[n] = int(all[n].at)
	}
	return out, nil
}

// byNumber sorts what has a number: small keys, since there may be many thousands each second.
func (f *Field) byNumber(n int, down bool, row func(i int) (cell, bool)) []int {
	type keyed struct {
		n  float64
		at int32
		ok bool
	}
	all := make([]keyed, 0, n)
	for i := range n {
		if c, matches := row(i); matches {
			c = f.sortable(c)
			if down {
				c.n = -c.n
			}
			all = append(all, keyed{c.n, int32(i), c.ok})
		}
	}
	slices.SortFunc(all, func(a, b keyed) int {
		switch {
		case a.ok != b.ok:
			return last(a.ok, b.ok)
		case a.n < b.n:
			return -1
		case a.n > b.n:
			return 1
		}
		return int(a.at) - int(b.at)
	})
	out := make([]int, len(all))
	for i := range all {
		out[i] = int(all[i].at)
	}
	return out
}

// last puts what has no value behind what has.
func last(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return -1
	}
	return 1
}

func turned(c int, down bool) int {
	if down {
		return -c
	}
	return c
}

func (f *Field) sortable(c cell) cell {
	switch {
	case f.Kind == Ordered:
		c.n = float64(slices.Index(f.Values, strings.ToLower(c.text)))
	case f.age:
		c.n = -c.n
	case len(c.more) > 0:
		c.text = strings.Join(c.more, ",")
	}
	return c
}

// Sort sorts rows of a view in place, as Order does.
func Sort[T any](viewName string, rows []T, by string, now time.Time) error {
	order, err := Order(Query{View: viewName, now: now}, rows, by)
	if err != nil || by == "" {
		return err
	}
	sorted := make([]T, len(rows))
	for i, at := range order {
		sorted[i] = rows[at]
	}
	copy(rows, sorted)
	return nil
}
