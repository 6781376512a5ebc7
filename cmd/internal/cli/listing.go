package cli

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode/utf8"

	"github.com/spf13/pflag"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/host/control/api"
	"github.com/troupehost/troupe/host/control/client"
)

// listing is one list of a host: how it is asked for, and how it is shown.
type listing[T any] struct {
	view    string // of package query, and of a watch
	plural  string // its name in JSON, and in words
	id      func(T) string
	columns []cellOf[T]
	// page reads a part of the list; nil: it is read as the first frame of a watch.
	page func(*client.Client, context.Context, client.Find) (api.Page[T], error)
}

// cellOf is a column of a table. The text of others is made harmless by who prints the table.
type cellOf[T any] struct {
	head string
	text func(row T, wide bool) string
	wide bool // only of a wide table
}

// at is a column of a table of whatever width, wider one of a wide table.
func at[T any](head string, text func(T) string) cellOf[T] {
	return cellOf[T]{head: head, text: func(row T, _ bool) string { return text(row) }}
}

func wider[T any](head string, text func(T) string) cellOf[T] {
	return cellOf[T]{head: head, text: func(row T, _ bool) string { return text(row) }, wide: true}
}

// find are the flags of a list.
type find struct {
	selector, sort string
	limit          int
	watch          bool
}

func (f *find) add(fs *pflag.FlagSet) {
	f.addSelector(fs, "only rows that match QUERY, like 'state=busy age>5s'; see 'troupe help query' (default all)")
	fs.Var(word{&f.sort, "FIELD"}, "sort", "sort by FIELD of the query; - before it reverses (default the order of the host)")
	f.limit = mostListed
	fs.Var(count{p: &f.limit}, "limit", "at most N rows")
	fs.BoolVarP(&f.watch, "watch", "w", false, "go on until Ctrl-C: on a terminal the table stays, in a pipe each change is a row")
}

func (f *find) addSelector(fs *pflag.FlagSet, help string) {
	fs.Var(word{&f.selector, "QUERY"}, "selector", help)
}

func (f *find) asked() client.Find {
	return client.Find{Query: f.selector, Sort: f.sort, Limit: f.limit}
}

// listVerb is a verb that prints a list of a 'serve'.
func listVerb[T any](a *app, l listing[T], v verb) verb {
	f := &find{}
	v.exits, v.flags, v.rows, v.view = exitsList, f.add, true, l.view
	v.run = func(ctx context.Context, _ []string) error {
		return a.at(ctx, served, func(ctx context.Context, n *node) error { return list(ctx, a, n, l, f) })
	}
	return v
}

// list prints what was found, and with --watch what becomes of it.
func list[T any](ctx context.Context, a *app, n *node, l listing[T], f *find) error {
	if f.watch {
		return watch(ctx, a, n, l, f)
	}
	p, err := read(ctx, n, l, f.asked())
	if err != nil {
		return pointed(f, err)
	}
	printPage(a, l, p)
	return nil
}

// printPage prints what was found of a list.
func printPage[T any](a *app, l listing[T], p api.Page[T]) {
	if !a.json() {
		_, _ = a.out.Write(tableOf(l, p.Rows, a.format.value == formWide))
		if more := p.Matched - len(p.Rows); more > 0 {
			a.note(fmt.Sprintf("there are %d more: pass a higher --limit, or a --selector", more))
		}
		return
	}
	whole := map[string]any{l.plural: p.Rows, "matched": p.Matched, "total": p.Total, "at": p.At}
	printRows(a, whole, p.Rows, l.id)
}

// mostInPage is the most that a host takes as the limit of a page.
const mostInPage = 10_000

// read reads as many pages as there is need for.
func read[T any](ctx context.Context, n *node, l listing[T], f client.Find) (api.Page[T], error) {
	if l.page == nil {
		return firstFrame[T](ctx, n, l.view, f)
	}
	all := api.Page[T]{Rows: []T{}}
	for {
		part := f
		part.Limit = min(f.Limit, mostInPage)
		p, err := l.page(n.Client, ctx, part)
		if err != nil {
			return all, err
		}
		all.Rows, all.Matched, all.Total, all.At = append(all.Rows, p.Rows...), p.Matched, p.Total, p.At
		if f.Limit -= len(p.Rows); p.Next == "" || f.Limit <= 0 || len(p.Rows) == 0 {
			return all, nil
		}
		f.After = p.Next
	}
}

var errEnough = errors.New("enough")

// firstFrame reads what a watch begins with.
func firstFrame[T any](ctx context.Context, n *node, view string, f client.Find) (p api.Page[T], err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	f.Limit = min(f.Limit, mostInPage)
	_, err = n.Watch(ctx, view, f, time.Second, "", func(frame api.Frame) error {
		p = api.Page[T]{Rows: make([]T, len(frame.Rows)), Matched: frame.Matched, Total: frame.Total, At: frame.At}
		for i, r := range frame.Rows {
			if err := json.Unmarshal(r.Row, &p.Rows[i]); err != nil {
				return fault.New(fault.BugProtocol, "watch", fault.Quote(r.ID), err)
			}
		}
		return errEnough
	})
	if errors.Is(err, errEnough) {
		err = nil
	}
	return p, err
}

// tableOf is a table of rows: each one line, each cell harmless and bounded.
func tableOf[T any](l listing[T], rows []T, wide bool) []byte {
	var b bytes.Buffer
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	writeRow(w, heads(l, wide))
	for _, row := range rows {
		writeRow(w, cells(l, row, wide))
	}
	_ = w.Flush()
	return b.Bytes()
}

func heads[T any](l listing[T], wide bool) (out []string) {
	for _, c := range l.columns {
		if wide || !c.wide {
			out = append(out, c.head)
		}
	}
	return out
}

func cells[T any](l listing[T], row T, wide bool) (out []string) {
	for _, c := range l.columns {
		if wide || !c.wide {
			out = append(out, cmp.Or(quoted(c.text(row, wide), maxCell), "-"))
		}
	}
	return out
}

func writeRow(w *tabwriter.Writer, cells []string) { fmt.Fprintln(w, strings.Join(cells, "\t")) }

// pointed shows where in the selector, or in the field to sort by, the mistake is that the host has found.
func pointed(f *find, err error) error {
	e := fault.From(err)
	if e == nil || e.Code != fault.CallerQuery || e.Err == nil {
		return err
	}
	digits, ok := strings.CutPrefix(e.Err.Error(), "column ")
	if !ok {
		return err
	}
	digits, _, _ = strings.Cut(digits, ":")
	column, number := strconv.Atoi(digits)
	text := f.selector
	if text == "" || e.Op == "sort" {
		text = f.sort
	}
	if number != nil || column < 1 || column > len(text)+1 || len(text) > maxPointed {
		return err
	}
	return misread{err, defused(text), utf8.RuneCountInString(defused(text[:column-1]))}
}

// maxPointed is how long a query is that is shown again, in bytes.
const maxPointed = 160

// misread is an error with the text that was not understood, and where.
type misread struct {
	error
	text string
	at   int // in characters
}

func (m misread) Unwrap() error { return m.error }

// pointer is the text with a caret below what is wrong.
func (m misread) pointer() string {
	return "query: " + m.text + "\n       " + strings.Repeat(" ", m.at) + "^\n"
}
