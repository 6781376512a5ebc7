package cli

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/troupehost/troupe/actors/fault"
)

// column is a column of a table of views: a head, and the names of the fields that lead to it.
type column struct{ head, path string }

// viewPage is a part of a list of the ledger.
type viewPage struct {
	Items []json.RawMessage `json:"items"`
	Next  json.RawMessage   `json:"next"`
}

const viewLimit = 100 // of one page

// listAll reads all pages of a list of the ledger.
func listAll(ctx context.Context, c chainClient, path string, params map[string]any) ([]json.RawMessage, error) {
	all := []json.RawMessage{}
	ask := map[string]any{"limit": viewLimit}
	for k, v := range params {
		ask[k] = v
	}
	for {
		var page viewPage
		if err := c.Query(ctx, path, ask, &page); err != nil {
			return nil, err
		}
		all = append(all, page.Items...)
		if len(page.Next) == 0 || string(page.Next) == "null" {
			return all, nil
		}
		ask["after"] = page.Next
	}
}

// listView prints a list of the ledger.
func (a *app) listView(ctx context.Context, f *chainFlags, path string, params map[string]any, columns []column) error {
	return a.onChain(ctx, f, func(ctx context.Context, c chainClient) error {
		all, err := listAll(ctx, c, path, params)
		if err == nil {
			a.printItems(all, columns)
		}
		return err
	})
}

// asked is what a view was asked for, in words for who did not find it.
type asked struct{ what, hint string }

// orMissing tells what was not found, and where what exists is listed.
func (q asked) orMissing(err error) error {
	switch {
	case fault.CodeOf(err) != fault.CallerNotFound || q.hint == "":
		return err
	case q.what == "":
		return fault.From(err).WithHint(q.hint)
	}
	return fault.New(fault.CallerNotFound, q.what, "", nil).WithHint(q.hint)
}

// showView prints one answer of the ledger: all of it, field by field.
func (a *app) showView(ctx context.Context, f *chainFlags, path string, params map[string]any, what asked) error {
	return a.onChain(ctx, f, func(ctx context.Context, c chainClient) error {
		var answer json.RawMessage
		err := c.Query(ctx, path, params, &answer)
		if err == nil && (len(answer) == 0 || string(answer) == "null") {
			err = fault.New(fault.CallerNotFound, "query", fault.Quote(path), nil)
		}
		if err != nil {
			return what.orMissing(err)
		}
		a.printFields(answer)
		return nil
	})
}

func (a *app) printItems(items []json.RawMessage, columns []column) {
	if a.json() {
		printRows(a, items, items, func(item json.RawMessage) string { return cell(item, columns[0].path) })
		return
	}
	w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
	heads := make([]string, len(columns))
	for i, c := range columns {
		heads[i] = c.head
	}
	fmt.Fprintln(w, strings.Join(heads, "\t"))
	for _, item := range items {
		row := make([]string, len(columns))
		for i, c := range columns {
			row[i] = cell(item, c.path)
		}
		fmt.Fprintln(w, strings.Join(row, "\t"))
	}
	_ = w.Flush()
}

// cell returns a field as text for people.
func cell(item json.RawMessage, path string) string {
	for name := range strings.SplitSeq(path, ".") {
		var fields map[string]json.RawMessage
		if json.Unmarshal(item, &fields) != nil {
			return "-"
		}
		item = fields[name]
	}
	return plainText(item)
}

// plainText writes a text without its quotes, a list with commas, the fields of an object that are set, and what is deeper as JSON.
func plainText(v json.RawMessage) string {
	var (
		text   string
		list   []json.RawMessage
		fields map[string]json.RawMessage
	)
	switch {
	case len(v) == 0, string(v) == "null", string(v) == `""`:
		return "-"
	case json.Unmarshal(v, &text) == nil:
		return oneLine(text)
	case json.Unmarshal(v, &list) == nil && !slices.ContainsFunc(list, isDeep):
		return joined(list, func(v json.RawMessage) string { return plainText(v) }, ",")
	case json.Unmarshal(v, &fields) == nil:
		deep := false
		maps.DeleteFunc(fields, func(_ string, v json.RawMessage) bool { deep = deep || isDeep(v); return string(v) == "null" })
		if deep {
			break
		}
		return joined(slices.Sorted(maps.Keys(fields)), func(name string) string { return oneLine(name) + "=" + plainText(fields[name]) }, " ")
	}
	return oneLine(string(v))
}

func isDeep(v json.RawMessage) bool { return len(v) > 2 && (v[0] == '{' || v[0] == '[') }

func joined[T any](list []T, text func(T) string, by string) string {
	parts := make([]string, len(list))
	for i, x := range list {
		parts[i] = text(x)
	}
	return cmp.Or(strings.Join(parts, by), "-")
}

// printFields prints an object field by field, in the order in which it came; a list of objects has a line for each.
func (a *app) printFields(v json.RawMessage) {
	if a.json() {
		a.printJSON(v)
		return
	}
	d := json.NewDecoder(bytes.NewReader(v))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		fmt.Fprintln(a.out, plainText(v))
		return
	}
	w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
	for d.More() {
		key, err := d.Token()
		var field json.RawMessage
		if err != nil || d.Decode(&field) != nil {
			break
		}
		name := strings.ReplaceAll(oneLine(fmt.Sprint(key)), "_", " ")
		var list []json.RawMessage
		if json.Unmarshal(field, &list) != nil || !slices.ContainsFunc(list, isDeep) {
			list = []json.RawMessage{field}
		}
		for _, item := range list {
			fmt.Fprintf(w, "%s\t%s\n", name, plainText(item))
			name = ""
		}
	}
	_ = w.Flush()
}
