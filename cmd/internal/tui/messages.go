package tui

import (
	"time"

	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/host/control/api"
	"github.com/troupehost/troupe/host/control/client"
)

// message is something that happened. Keys, sizes of the terminal and ticks come from bubbletea and are messages too.
type message interface{ message() }

// resized: the terminal has another size.
type resized struct{ w, h int }

// pressed: a key, as bubbletea names it; text is what it types, if it does.
type pressed struct{ key, text string }

// pasted: text came at once.
type pasted struct{ text string }

// ticked: some time has passed.
type ticked struct{}

// known: who we are to the host.
type known struct {
	me  api.Me
	err error
}

// framed: a watch has a frame. head tells the watch of the bar at the top from that of the view.
type framed struct {
	gen   int
	head  bool
	frame api.Frame
}

// broken: a watch has ended.
type broken struct {
	gen  int
	head bool
	last string
	err  error
}

// loaded: an answer for a screen of details.
type loaded struct {
	gen  int
	what string
	id   string
	v    any
	err  error
}

// planned: what a wish would do.
type planned struct {
	seq  int
	plan api.Plan
	err  error
}

// operated: an operation began, went on or ended.
type operated struct {
	seq int
	op  api.Operation
	err error
}

// traced: a message was traced.
type traced struct {
	gen int
	t   inspect.Trace
}

// ran: a verb of the command line has ended.
type ran struct {
	seq   int
	words []string
	text  string
	code  int
}

// traceEnded: its budget is used up, or it failed.
type traceEnded struct {
	gen int
	err error
}

// retried: it is time to watch again.
type retried struct {
	gen  int
	head bool
}

// opened: another source is to be shown.
type opened struct {
	offline string // what it is; "": a live host
	at      time.Time
	err     error
}

func (ran) message()        {}
func (resized) message()    {}
func (pressed) message()    {}
func (pasted) message()     {}
func (ticked) message()     {}
func (known) message()      {}
func (framed) message()     {}
func (broken) message()     {}
func (loaded) message()     {}
func (planned) message()    {}
func (operated) message()   {}
func (traced) message()     {}
func (traceEnded) message() {}
func (retried) message()    {}
func (opened) message()     {}

// effect is something to be done.
type effect interface{ effect() }

// watch begins to watch, instead of what was watched in this slot before.
type watch struct {
	gen   int
	head  bool
	view  string
	find  client.Find
	every time.Duration
	last  string
}

// unwatch ends what is watched for the view.
type unwatch struct{}

// load asks for details.
type load struct {
	gen      int
	what, id string
}

// ask asks who we are.
type ask struct{}

// makePlan asks what a wish would do.
type makePlan struct {
	seq  int
	wish api.Wish
}

// applyPlan does it.
type applyPlan struct {
	seq       int
	plan, key string
}

// follow waits for the end of an operation.
type follow struct {
	seq int
	id  string
}

// trace begins a trace, instead of one before. Of a cause, what the flight recorders hold of it comes first; job, if not empty,
// is the job whose cause is meant.
type trace struct {
	gen    int
	filter inspect.TraceFilter
	job    string
}

// runs has a verb of the command line done.
type runs struct {
	seq   int
	words []string
}

// untrace ends it.
type untrace struct{}

// later sends a message after a while.
type later struct {
	d time.Duration
	m message
}

// copied puts text into the clipboard of the terminal.
type copied struct{ text string }

// openFile opens a bundle instead of the host.
type openFile struct{ path string }

// quit ends the program.
type quit struct{}

func (runs) effect()      {}
func (watch) effect()     {}
func (unwatch) effect()   {}
func (load) effect()      {}
func (ask) effect()       {}
func (makePlan) effect()  {}
func (applyPlan) effect() {}
func (follow) effect()    {}
func (trace) effect()     {}
func (untrace) effect()   {}
func (later) effect()     {}
func (copied) effect()    {}
func (openFile) effect()  {}
func (quit) effect()      {}
