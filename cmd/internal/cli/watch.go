package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/host/control/api"
)

// watchEvery is how often a host is asked to tell what has changed.
const watchEvery = time.Second

// liveRows is a list that follows a host.
type liveRows[T any] struct {
	rows  map[string]T
	order []string
	frame api.Frame // the last one, for its counts
}

// take adds what a frame tells, and returns the rows that have changed in their order, and the ids of those that are gone.
func (w *liveRows[T]) take(f api.Frame) (changed []string, gone []string, err error) {
	if f.Full {
		before := w.rows
		w.rows, w.order = make(map[string]T, len(f.Rows)), nil
		for _, r := range f.Rows {
			w.order = append(w.order, r.ID)
		}
		for id := range before {
			if !slices.Contains(w.order, id) {
				gone = append(gone, id)
			}
		}
		slices.Sort(gone)
	}
	for _, r := range f.Rows {
		var row T
		if err := json.Unmarshal(r.Row, &row); err != nil {
			return nil, nil, fault.New(fault.BugProtocol, "watch", fault.Quote(r.ID), err)
		}
		if _, known := w.rows[r.ID]; !known && !f.Full {
			w.order = append(w.order, r.ID)
		}
		w.rows[r.ID] = row
		changed = append(changed, r.ID)
	}
	for _, id := range f.Gone {
		if _, known := w.rows[id]; known {
			delete(w.rows, id)
			w.order = slices.DeleteFunc(w.order, func(x string) bool { return x == id })
			gone = append(gone, id)
		}
	}
	if len(f.Order) > 0 {
		w.order = slices.DeleteFunc(slices.Clone(f.Order), func(id string) bool { _, known := w.rows[id]; return !known })
	}
	w.frame = f
	return changed, gone, nil
}

// watch prints a list, and what becomes of it, until it is told to stop.
func watch[T any](ctx context.Context, a *app, n *node, l listing[T], f *find) error {
	if a.format.value == formJSON {
		return usage("--watch with -o json", "what goes on is no single document: pass -o jsonl")
	}
	w := &liveRows[T]{rows: map[string]T{}}
	screen := a.outTerminal && !a.json()
	var lost uint64
	started := false
	_, err := n.Watch(ctx, l.view, f.asked(), watchEvery, "", func(frame api.Frame) error {
		changed, gone, err := w.take(frame)
		if err != nil {
			return err
		}
		if frame.Dropped > lost {
			a.note(fmt.Sprintf("%d rows were overtaken before they could be shown", frame.Dropped-lost))
			lost = frame.Dropped
		}
		if screen {
			drawWatch(a, l, w, f)
			return a.out.err
		}
		if !started && !a.json() {
			fmt.Fprintln(a.out, tabbed(heads(l, a.format.value == formWide)))
		}
		started = true
		for _, id := range changed {
			if a.json() {
				a.printRow(w.rows[id], l.id(w.rows[id]))
			} else {
				fmt.Fprintln(a.out, tabbed(cells(l, w.rows[id], a.format.value == formWide)))
			}
		}
		for _, id := range gone {
			if a.format.value == formLines {
				a.printJSONLine(goneRow{Gone: id})
			}
		}
		if a.failed != nil {
			return a.failed
		}
		return a.out.err
	})
	if ctx.Err() != nil { // told to stop, which is how this ends
		return a.stopped(ctx)
	}
	return pointed(f, overWith(err))
}

// overWith is the failure of what follows a host until it is told to stop: nil means that the host has ended it.
func overWith(err error) error {
	if err != nil {
		return err
	}
	return fault.New(fault.CallerUnreachable, "watch", "", errors.New("the host has ended the stream")).
		WithHint("it drains, or has ended: follow it again when it is there")
}

// stopped is nil if the user has seen enough, and the fault if the time of the call is over.
func (a *app) stopped(ctx context.Context) error {
	if err := fault.From(context.Cause(ctx)); err.Code == fault.CanceledDeadline {
		return err
	}
	return nil
}

// goneRow says in JSON that a row is not there any more.
type goneRow struct {
	Gone string `json:"gone"`
}

// tabbed is a row for a pipe, where nobody knows yet how wide the columns will be.
func tabbed(cells []string) string {
	var b bytes.Buffer
	for i, c := range cells {
		if i > 0 {
			b.WriteByte('\t')
		}
		b.WriteString(c)
	}
	return b.String()
}

// drawWatch draws the table anew, as much of it as there is room for.
func drawWatch[T any](a *app, l listing[T], w *liveRows[T], f *find) {
	width, height := 80, 24
	if a.screen != nil {
		if x, y := a.screen(); x > 0 && y > 0 {
			width, height = x, y
		}
	}
	rows := make([]T, 0, len(w.order))
	for _, id := range w.order {
		rows = append(rows, w.rows[id])
	}
	room := max(height-3, 1)
	head := fmt.Sprintf("%s  %d of %d", l.plural, w.frame.Matched, w.frame.Total)
	if f.selector != "" {
		head += "  " + quoted(f.selector, maxCell)
	}
	head += "  " + w.frame.At.UTC().Format(time.TimeOnly) + " UTC"
	if len(rows) > room {
		head += fmt.Sprintf("  the first %d", room)
		rows = rows[:room]
	}
	var b bytes.Buffer
	b.WriteString("\x1b[H")
	draw := func(line []byte) {
		b.Write(cutLine(line, width-1))
		b.WriteString("\x1b[K\n")
	}
	draw([]byte(head))
	for line := range bytes.Lines(tableOf(l, rows, a.format.value == formWide)) {
		draw(bytes.TrimSuffix(line, []byte("\n")))
	}
	b.WriteString("\x1b[J")
	_, _ = a.out.Write(b.Bytes())
}

// cutLine returns so many characters of a line at most.
func cutLine(line []byte, most int) []byte {
	n := 0
	for i := 0; i < len(line); n++ {
		if n == most {
			return line[:i]
		}
		_, size := utf8.DecodeRune(line[i:])
		i += size
	}
	return line
}
