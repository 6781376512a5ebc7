package query

import (
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// cell is what a field of a record holds. ok is false if it holds nothing: a pointer that is nil, a time that is zero.
type cell struct {
	text string
	more []string // of a list of texts
	n    float64  // times in microseconds, durations in nanoseconds
	ok   bool
}

// access reads a field.
type access func(reflect.Value) cell

// program is a query for one type of record.
type program struct {
	of    reflect.Type
	read  []access // by term; nil for a plain word
	cap   []access
	texts []access // that plain words are looked for in
}

// Match reports whether a record of the view of the query matches: a struct, or better a pointer to one.
func (q Query) Match(record any) bool {
	if len(q.terms) == 0 {
		return true
	}
	row := reflect.ValueOf(record)
	for row.Kind() == reflect.Pointer && !row.IsNil() {
		row = row.Elem()
	}
	if row.Kind() != reflect.Struct {
		return false
	}
	if !row.CanAddr() {
		copied := reflect.New(row.Type()).Elem()
		copied.Set(row)
		row = copied
	}
	p := q.plan.Load()
	if p == nil || p.of != row.Type() {
		p = q.compile(row.Type())
		q.plan.Store(p)
	}
	for i := range q.terms {
		if !q.holds(p, i, row) {
			return false
		}
	}
	return true
}

func (q Query) compile(t reflect.Type) *program {
	p := &program{of: t}
	v := views()[q.View]
	for _, one := range q.terms {
		if one.field == nil {
			if p.texts == nil {
				for i := range v.fields {
					if f := &v.fields[i]; f.Kind == Text || f.Kind == Enum || f.Kind == Ordered {
						p.texts = append(p.texts, accessor(t, f.path, f))
					}
				}
			}
			p.read, p.cap = append(p.read, nil), append(p.cap, nil)
			continue
		}
		p.read = append(p.read, accessor(t, one.field.path, one.field))
		if one.field.cap != "" {
			p.cap = append(p.cap, accessor(t, one.field.cap, one.field))
		} else {
			p.cap = append(p.cap, nil)
		}
	}
	return p
}

func (q Query) holds(p *program, i int, row reflect.Value) bool {
	one := &q.terms[i]
	if one.field == nil {
		for _, read := range p.texts {
			if c := read(row); c.contains(one.values[0].text) {
				return !one.not
			}
		}
		return one.not
	}
	c := p.read[i](row)
	if one.field.age && c.ok {
		c.n = float64(q.now.UnixMicro())*1e3 - c.n*1e3
	}
	for k := range one.values {
		if q.one(one, &one.values[k], c, p.cap[i], row) {
			return !one.not
		}
	}
	return one.not
}

func (q Query) one(t *term, v *value, c cell, capacity access, row reflect.Value) bool {
	if t.op == opContains {
		return c.contains(v.text)
	}
	if math.IsNaN(v.n) { // is it empty
		return !c.ok
	}
	switch t.field.Kind {
	case Text, Enum:
		return c.is(v.text)
	}
	if !c.ok {
		return false
	}
	n, want := c.n, v.n
	switch {
	case t.field.Kind == Ordered:
		at := slices.Index(t.field.Values, strings.ToLower(c.text))
		if at < 0 {
			return false
		}
		n = float64(at)
	case v.percent:
		most := capacity(row)
		if !most.ok || most.n <= 0 {
			return false
		}
		n = 100 * n / most.n
	case v.ago:
		want = float64(q.now.UnixMicro()) - v.n/1e3
	}
	switch t.op {
	case opMore:
		return n > want
	case opMoreEqual:
		return n >= want
	case opLess:
		return n < want
	case opLessEqual:
		return n <= want
	}
	return n == want
}

func (c *cell) contains(low string) bool {
	if containsFold(c.text, low) {
		return true
	}
	for _, s := range c.more {
		if containsFold(s, low) {
			return true
		}
	}
	return false
}

func (c *cell) is(low string) bool {
	if len(c.more) == 0 {
		return glob(c.text, low)
	}
	for _, s := range c.more {
		if glob(s, low) {
			return true
		}
	}
	return false
}

func lower(c byte) byte {
	if c >= 'A' && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

// folded is s with ASCII letters in lower case.
func folded(s string) string {
	b := []byte(s)
	for i := range b {
		b[i] = lower(b[i])
	}
	return string(b)
}

// containsFold reports whether s contains low, whatever the case of ASCII letters.
func containsFold(s, low string) bool {
	if low == "" {
		return true
	}
	for i := 0; i+len(low) <= len(s); i++ {
		if lower(s[i]) == low[0] && equalFold(s[i:i+len(low)], low) {
			return true
		}
	}
	return false
}

func equalFold(s, low string) bool {
	for i := range len(s) {
		if lower(s[i]) != lower(low[i]) {
			return false
		}
	}
	return true
}

// glob reports whether s is the pattern, in which a star stands for anything. It takes at most len(s) × len(pattern) steps.
func glob(s, pattern string) bool {
	i, j, star, from := 0, 0, -1, 0
	for i < len(s) {
		switch {
		case j < len(pattern) && pattern[j] == '*':
			star, from = j, i
			j++
		case j < len(pattern) && lower(pattern[j]) == lower(s[i]):
			i, j = i+1, j+1
		case star >= 0:
			from++
			i, j = from, star+1
		default:
			return false
		}
	}
	for j < len(pattern) && pattern[j] == '*' {
		j++
	}
	return j == len(pattern)
}

var timeType = reflect.TypeFor[time.Time]()

// accessor works out how a field is read from records of a type. What the type does not have reads as nothing.
func accessor(t reflect.Type, path string, f *Field) access {
	first, other, either := strings.Cut(path, "|")
	a := leaf(t, first, f)
	if !either {
		return a
	}
	b := accessor(t, other, f)
	return func(v reflect.Value) cell {
		if c := a(v); c.ok {
			return c
		}
		return b(v)
	}
}

func leaf(t reflect.Type, path string, f *Field) access {
	var steps [][]int
	for name := range strings.SplitSeq(path, ".") {
		for t.Kind() == reflect.Pointer {
			t = t.Elem()
		}
		index, ok := fieldOf(t, name)
		if !ok {
			return func(reflect.Value) cell { return cell{} }
		}
		steps = append(steps, index)
		t = t.FieldByIndex(index).Type
	}
	micros := f.Kind == Duration && !f.age
	read := reader(t, micros)
	return func(v reflect.Value) cell {
		for _, index := range steps {
			for v.Kind() == reflect.Pointer {
				if v.IsNil() {
					return cell{}
				}
				v = v.Elem()
			}
			for _, i := range index { // FieldByIndex panics at an embedded nil
				v = v.Field(i)
			}
		}
		return read(v)
	}
}

// fieldOf finds a field by its name in JSON.
func fieldOf(t reflect.Type, name string) ([]int, bool) {
	if t.Kind() != reflect.Struct {
		return nil, false
	}
	var embedded []reflect.StructField
	for i := range t.NumField() {
		sf := t.Field(i)
		tag, _, _ := strings.Cut(sf.Tag.Get("json"), ",")
		switch {
		case sf.Anonymous && tag == "" && sf.Type.Kind() == reflect.Struct:
			embedded = append(embedded, sf)
		case sf.IsExported() && tag == name:
			return sf.Index, true
		}
	}
	for _, sf := range embedded {
		if index, ok := fieldOf(sf.Type, name); ok {
			return append(slices.Clone(sf.Index), index...), true
		}
	}
	return nil, false
}

func reader(t reflect.Type, micros bool) access {
	by := 1.0
	if micros {
		by = 1e3
	}
	switch {
	case t == timeType:
		return func(v reflect.Value) cell {
			at, _ := v.Addr().Interface().(*time.Time)
			if at.IsZero() {
				return cell{}
			}
			return cell{n: float64(at.UnixMicro()), ok: true}
		}
	case t == reflect.TypeFor[[]string]():
		return func(v reflect.Value) cell {
			list, _ := v.Addr().Interface().(*[]string)
			return cell{more: *list, n: float64(len(*list)), ok: len(*list) > 0}
		}
	}
	switch t.Kind() {
	case reflect.String:
		return func(v reflect.Value) cell { return cell{text: v.String(), ok: v.Len() > 0} }
	case reflect.Bool:
		return func(v reflect.Value) cell {
			if v.Bool() {
				return cell{text: "true", n: 1, ok: true}
			}
			return cell{text: "false", ok: true}
		}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return func(v reflect.Value) cell { return cell{n: by * float64(v.Int()), ok: true} }
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return func(v reflect.Value) cell { return cell{n: by * float64(v.Uint()), ok: true} }
	case reflect.Float32, reflect.Float64:
		return func(v reflect.Value) cell { return cell{n: by * v.Float(), ok: true} }
	case reflect.Pointer:
		next := reader(t.Elem(), micros)
		return func(v reflect.Value) cell {
			if v.IsNil() {
				return cell{}
			}
			return next(v.Elem())
		}
	case reflect.Slice:
		return func(v reflect.Value) cell { return cell{n: float64(v.Len()), ok: v.Len() > 0} }
	case reflect.Map:
		return mapReader(t)
	}
	return func(reflect.Value) cell { return cell{} }
}

// mapReader adds numbers up, and makes a text of anything else.
func mapReader(t reflect.Type) access {
	switch t.Elem().Kind() {
	case reflect.Int, reflect.Int64, reflect.Uint64:
		return func(v reflect.Value) cell {
			c := cell{ok: v.Len() > 0}
			for it := v.MapRange(); it.Next(); {
				if it.Value().CanInt() {
					c.n += float64(it.Value().Int())
				} else {
					c.n += float64(it.Value().Uint())
				}
			}
			return cell{n: c.n, ok: true}
		}
	}
	return func(v reflect.Value) cell {
		var all []string
		for it := v.MapRange(); it.Next(); {
			all = append(all, fmt.Sprintf("%v=%v", it.Key(), it.Value()))
		}
		slices.Sort(all)
		return cell{more: all, ok: len(all) > 0}
	}
}

// ID returns the id of a row of a view; "" if the view or its record has none.
func ID(viewName string, record any) string {
	v := views()[viewName]
	row := reflect.ValueOf(record)
	for row.Kind() == reflect.Pointer && !row.IsNil() {
		row = row.Elem()
	}
	if v == nil || v.key == "" || row.Kind() != reflect.Struct {
		return ""
	}
	index, ok := fieldOf(row.Type(), v.key)
	if !ok {
		return ""
	}
	switch f := row.FieldByIndex(index); {
	case f.Kind() == reflect.String:
		return f.String()
	case f.CanUint():
		return strconv.FormatUint(f.Uint(), 10)
	}
	return ""
}
