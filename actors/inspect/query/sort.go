package query

import (
	"cmp"
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
		return nil, wrong(len(by)-len(name), name, nearest(strings.ToLower(name), v.names()), "there is no field %s to sort by", fault.Quote(name))
	default:
		read = accessor(reflect.TypeFor[T](), f.path, f)
	}
	type keyed struct {
		at  int
		key cell
	}
	all := make([]keyed, 0, len(rows))
	for i := range rows {
		if !q.Match(&rows[i]) {
			continue
		}
		one := keyed{at: i}
		if read != nil {
			one.key = f.sortable(read(reflect.ValueOf(&rows[i]).Elem()))
		}
		all = append(all, one)
	}
	if read != nil {
		words := f.Kind == Text || f.Kind == Enum
		slices.SortStableFunc(all, func(a, b keyed) int { return compare(&a.key, &b.key, words, down) })
	}
	out := make([]int, len(all))
	for i := range all {
		out[i] = all[i].at
	}
	return out, nil
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

func compare(a, b *cell, words, down bool) int {
	if a.ok != b.ok {
		if a.ok {
			return -1
		}
		return 1
	}
	c := cmp.Compare(a.n, b.n)
	if words {
		c = cmp.Compare(a.text, b.text)
	}
	if down {
		return -c
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
