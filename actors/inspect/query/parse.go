package query

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/troupehost/troupe/actors/fault"
)

// The bounds of a query.
const (
	MaxBytes  = 4096
	MaxTerms  = 64
	MaxValues = 256 // of all terms together
)

// Error says where a query is wrong.
type Error struct {
	Column int    // in bytes, the first is 1
	Word   string // that is wrong
	Say    string // what is wrong with it
	Near   string // what may be meant; "" if nothing comes near
}

// Error implements error.
func (e *Error) Error() string {
	s := "column " + strconv.Itoa(e.Column) + ": " + e.Say
	if e.Near != "" {
		s += "; did you mean " + e.Near + "?"
	}
	return s
}

// Query is a parsed query. The zero value matches everything.
type Query struct {
	View  string
	Text  string
	terms []term
	now   time.Time
	plan  *atomic.Pointer[program] // of the type of record that was seen last
}

// Empty reports whether everything matches.
func (q Query) Empty() bool { return len(q.terms) == 0 }

// At returns the same query at another time.
func (q Query) At(now time.Time) Query {
	q.now = now
	return q
}

type op uint8

const (
	opHas op = iota // a word that any text of the row must have
	opEqual
	opMore
	opMoreEqual
	opLess
	opLessEqual
	opContains
)

type term struct {
	field  *Field
	op     op
	not    bool
	values []value
}

// value is one value of a term, read as the kind of its field wants it.
type value struct {
	text    string // lower case for contains
	n       float64
	percent bool
	ago     bool // a time that is n nanoseconds before now
}

// token is one word of a query as it was written.
type token struct {
	at     int // of its first byte
	not    bool
	name   string // of a field, "" for a plain word
	nameAt int
	op     string
	values []piece
	end    int
}

type piece struct {
	at   int
	text string
	open bool // a quote that does not end
}

func wrong(at int, word, near, format string, args ...any) error {
	e := &Error{Column: at + 1, Word: fault.Quote(word), Say: fmt.Sprintf(format, args...), Near: near}
	return fault.New(fault.CallerQuery, "query", "", e)
}

func isName(c byte) bool {
	return c == '_' || c == '.' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\n' || c == '\r' }

var operators = []string{"!=", "!~", ">=", "<=", "=", ">", "<", "~", ":"}

// scan cuts a query into words. It takes everything: what is wrong is found later.
func scan(s string) []token {
	var all []token
	for i := 0; i < len(s); {
		if isSpace(s[i]) {
			i++
			continue
		}
		t := token{at: i}
		if (s[i] == '!' || s[i] == '-') && i+1 < len(s) && !isSpace(s[i+1]) {
			t.not = true
			i++
		}
		t.nameAt = i
		j := i
		for j < len(s) && isName(s[j]) {
			j++
		}
		if j > i {
			for _, o := range operators {
				if strings.HasPrefix(s[j:], o) {
					t.name, t.op = strings.ToLower(s[i:j]), o
					i = j + len(o)
					break
				}
			}
		}
		for {
			p, next := scanPiece(s, i, t.op != "")
			t.values = append(t.values, p)
			i = next
			if t.op == "" || i >= len(s) || s[i] != ',' {
				break
			}
			i++
		}
		t.end = i
		all = append(all, t)
	}
	return all
}

// scanPiece reads one value, or a plain word.
func scanPiece(s string, i int, list bool) (piece, int) {
	p := piece{at: i}
	var b strings.Builder
	for i < len(s) && !isSpace(s[i]) && (!list || s[i] != ',') {
		if s[i] != '"' {
			b.WriteByte(s[i])
			i++
			continue
		}
		p.open = true
		for i++; i < len(s); i++ {
			if s[i] == '"' {
				p.open = false
				i++
				break
			}
			if s[i] == '\\' && i+1 < len(s) {
				i++
			}
			b.WriteByte(s[i])
		}
	}
	p.text = b.String()
	return p, i
}

// Parse reads a query on a view at a time.
func Parse(viewName, s string, now time.Time) (Query, error) {
	q := Query{View: viewName, Text: s, now: now, plan: new(atomic.Pointer[program])}
	v := views()[viewName]
	switch {
	case v == nil:
		return q, fault.New(fault.CallerQuery, "query", "", fmt.Errorf("there is no view %s", fault.Quote(viewName))).
			WithHint("the views are " + strings.Join(Views(), ", "))
	case len(s) > MaxBytes:
		return q, wrong(MaxBytes, "", "", "a query has at most %d bytes", MaxBytes)
	}
	tokens := scan(s)
	if len(tokens) > MaxTerms {
		return q, wrong(tokens[MaxTerms].at, "", "", "a query has at most %d words", MaxTerms)
	}
	if len(tokens) > 0 && len(v.fields) == 0 {
		return q, wrong(tokens[0].at, "", "", "the view %s has nothing to look for", viewName)
	}
	values := 0
	for _, t := range tokens {
		if values += len(t.values); values > MaxValues {
			return q, wrong(t.at, "", "", "a query has at most %d values", MaxValues)
		}
		one, err := v.term(t)
		if err != nil {
			return q, err
		}
		q.terms = append(q.terms, one)
	}
	return q, nil
}

// term reads one word.
func (v *view) term(t token) (term, error) {
	for _, p := range t.values {
		if p.open {
			return term{}, wrong(p.at, p.text, "", "a quote does not end")
		}
	}
	if t.op == "" {
		return term{op: opHas, not: t.not, values: []value{{text: folded(t.values[0].text)}}}, nil
	}
	f := v.find(t.name)
	if f == nil {
		near := nearest(t.name, v.names())
		say := fmt.Sprintf("there is no field %s", fault.Quote(t.name))
		if near == "" {
			say += "; put quotes around it to look for the text"
		}
		return term{}, wrong(t.nameAt, t.name, near, "%s", say)
	}
	one := term{field: f, not: t.not}
	switch t.op {
	case "=", "!=":
		one.op, one.not = opEqual, t.not != (t.op == "!=")
	case "~", "!~":
		one.op, one.not = opContains, t.not != (t.op == "!~")
	case ">":
		one.op = opMore
	case ">=":
		one.op = opMoreEqual
	case "<":
		one.op = opLess
	case "<=":
		one.op = opLessEqual
	case ":":
		switch f.Kind {
		case Text, Enum:
			one.op = opContains
		case Time, Duration:
			one.op = opMoreEqual
		default:
			one.op = opEqual
		}
		if f.Kind == Duration && f.age {
			one.op = opLessEqual // age:10m is what since:10m is
		}
	}
	compares := one.op == opMore || one.op == opMoreEqual || one.op == opLess || one.op == opLessEqual
	switch opAt := t.nameAt + len(t.name); {
	case compares && (f.Kind == Text || f.Kind == Enum || f.Kind == Bool):
		return one, wrong(opAt, t.op, "", "%s is a %s, which has no order: use = != or ~", f.Name, f.Kind)
	case one.op == opContains && (f.Kind != Text && f.Kind != Enum && f.Kind != Ordered):
		return one, wrong(opAt, t.op, "", "%s is a %s, which contains nothing: use = != > >= < or <=", f.Name, f.Kind)
	case compares && len(t.values) > 1:
		return one, wrong(t.values[1].at, t.values[1].text, "", "%s takes one value", t.op)
	}
	for _, p := range t.values {
		val, err := f.value(p, one.op)
		if err != nil {
			return one, err
		}
		one.values = append(one.values, val)
	}
	return one, nil
}

// value reads one value.
func (f *Field) value(p piece, o op) (value, error) {
	s := p.text
	if s == "" && o == opContains {
		return value{}, wrong(p.at, s, "", "a value is missing")
	}
	if o == opContains {
		return value{text: folded(s)}, nil
	}
	if s == "" && (f.Kind == Text || f.Kind == Enum || f.Kind == Ordered || f.Kind == Time) && o == opEqual {
		return value{n: math.NaN()}, nil
	}
	if s == "" {
		return value{}, wrong(p.at, s, "", "a %s is missing", f.Kind)
	}
	if f.Percent && strings.HasSuffix(s, "%") {
		n, err := strconv.ParseFloat(s[:len(s)-1], 64)
		if err != nil || math.IsNaN(n) || math.IsInf(n, 0) {
			return value{}, wrong(p.at, s, "", "%s is not a percentage", fault.Quote(s))
		}
		return value{n: n, percent: true}, nil
	}
	switch f.Kind {
	case Enum, Ordered:
		low := strings.ToLower(s)
		at := slices.Index(f.Values, low)
		if f.Kind == Enum && strings.Contains(s, "*") {
			return value{text: low}, nil
		}
		if at < 0 {
			near := nearest(low, f.Values)
			say := fmt.Sprintf("%s is never %s, but one of %s", f.Name, fault.Quote(s), strings.Join(f.Values, " "))
			return value{}, wrong(p.at, s, near, "%s", say)
		}
		return value{text: low, n: float64(at)}, nil
	case Bool:
		switch strings.ToLower(s) {
		case "true", "yes", "1":
			return value{n: 1}, nil
		case "false", "no", "0":
			return value{n: 0}, nil
		}
		return value{}, wrong(p.at, s, "", "%s is true or false", f.Name)
	case Number:
		n, ok := scaled(s, numbers)
		if !ok {
			return value{}, wrong(p.at, s, "", "%s is not a number such as 12, 12k or 1.5M", fault.Quote(s))
		}
		return value{n: n}, nil
	case Bytes:
		n, ok := scaled(s, sizes)
		if !ok {
			return value{}, wrong(p.at, s, "", "%s is not a size such as 300, 10KiB or 5MB", fault.Quote(s))
		}
		return value{n: n}, nil
	case Duration:
		d, ok := parseDuration(s)
		if !ok {
			return value{}, wrong(p.at, s, "", "%s is not a duration such as 250ms, 5s, 1h30m or 2d", fault.Quote(s))
		}
		return value{n: float64(d)}, nil
	case Time:
		if d, ok := parseDuration(s); ok {
			return value{n: float64(d), ago: true}, nil
		}
		for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05", "2006-01-02T15:04", "2006-01-02 15:04:05", "2006-01-02 15:04", "2006-01-02"} {
			if at, err := time.Parse(layout, s); err == nil {
				return value{n: float64(at.UnixMicro())}, nil
			}
		}
		return value{}, wrong(p.at, s, "", "%s is not a time such as 10m, 2006-01-02 or 2006-01-02T15:04:05Z", fault.Quote(s))
	}
	return value{text: folded(s)}, nil
}

type unit struct {
	name string
	is   float64
}

var numbers = []unit{{"k", 1e3}, {"m", 1e6}, {"g", 1e9}, {"t", 1e12}}

var sizes = []unit{
	{"kib", 1 << 10}, {"mib", 1 << 20}, {"gib", 1 << 30}, {"tib", 1 << 40}, {"kb", 1e3}, {"mb", 1e6}, {"gb", 1e9}, {"tb", 1e12},
	{"k", 1e3}, {"m", 1e6}, {"g", 1e9}, {"t", 1e12}, {"b", 1},
}

func scaled(s string, units []unit) (float64, bool) {
	low, by := strings.ToLower(s), 1.0
	for _, u := range units {
		if rest, ok := strings.CutSuffix(low, u.name); ok {
			low, by = rest, u.is
			break
		}
	}
	if low == "" || strings.Trim(low, "-.0123456789") != "" {
		return 0, false // ParseFloat takes more than that
	}
	n, err := strconv.ParseFloat(low, 64)
	return n * by, err == nil && !math.IsInf(n*by, 0)
}

// parseDuration reads what package time does, with days, and with the u of microseconds.
func parseDuration(s string) (time.Duration, bool) {
	if before, rest, ok := strings.Cut(s, "d"); ok {
		days, err := strconv.ParseFloat(before, 64)
		if err != nil || math.Abs(days) > 100_000 || math.IsNaN(days) {
			return 0, false
		}
		d := time.Duration(days * 24 * float64(time.Hour))
		if rest == "" {
			return d, true
		}
		more, err := time.ParseDuration(rest)
		if err != nil || days < 0 || more < 0 || d > math.MaxInt64-more {
			return 0, false
		}
		return d + more, true
	}
	d, err := time.ParseDuration(s)
	return d, err == nil
}
