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

// Sort sorts rows of a view in place by a field, "-" before it reverses; rows that are alike keep their order, and those without
// a value come last either way. "" leaves rows as they are.
func Sort[T any](viewName string, rows []T, by string, now time.Time) error {
	name, down := strings.CutPrefix(by, "-")
	if name == "" {
		return nil
	}
	v := views()[viewName]
	if v == nil {
		return fault.New(fault.CallerQuery, "sort", "", nil).WithHint("the views are " + strings.Join(Views(), ", "))
	}
	f := v.find(strings.ToLower(name))
	if f == nil {
		at := 0
		if down {
			at = 1
		}
		return wrong(at, name, nearest(strings.ToLower(name), v.names()), "there is no field %s to sort by", fault.Quote(name))
	}
	read := accessor(reflect.TypeFor[T](), f.path, f)
	type keyed struct {
		row T
		key cell
	}
	all := make([]keyed, len(rows))
	for i := range rows {
		c := read(reflect.ValueOf(&rows[i]).Elem())
		switch {
		case f.Kind == Ordered:
			c.n = float64(slices.Index(f.Values, strings.ToLower(c.text)))
		case f.age:
			c.n = -c.n
		case len(c.more) > 0:
			c.text = strings.Join(c.more, ",")
		}
		all[i] = keyed{rows[i], c}
	}
	words := f.Kind == Text || f.Kind == Enum
	slices.SortStableFunc(all, func(a, b keyed) int {
		if a.key.ok != b.key.ok {
			if a.key.ok {
				return -1
			}
			return 1
		}
		c := 0
		if words {
			c = cmp.Compare(a.key.text, b.key.text)
		} else {
			c = cmp.Compare(a.key.n, b.key.n)
		}
		if down {
			return -c
		}
		return c
	})
	for i := range all {
		rows[i] = all[i].row
	}
	return nil
}
