package tui

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/colorprofile"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/host/control/api"
	"github.com/troupehost/troupe/host/control/client"
)

// Source is what the console needs of a host; *client.Client has it.
type Source interface {
	Me(context.Context) (api.Me, error)
	Actor(ctx context.Context, path string) (inspect.ActorDetail, error)
	Mailbox(ctx context.Context, path string) (api.Page[inspect.Letter], error)
	Timeline(ctx context.Context, job string) (inspect.Timeline, error)
	Explain(ctx context.Context, id string) (inspect.Explanation, error)
	Cause(ctx context.Context, id string) (api.Page[inspect.Trace], error)
	Plan(context.Context, api.Wish) (api.Plan, error)
	Apply(ctx context.Context, plan, key string) (api.Operation, error)
	Operation(ctx context.Context, id string, wait time.Duration) (api.Operation, error)
	Watch(ctx context.Context, view string, find client.Find, every time.Duration, last string, f func(api.Frame) error) (string, error)
	Trace(ctx context.Context, filter inspect.TraceFilter, f func(inspect.Trace) error) error
}

// Options of Run. In and Out are the terminal.
type Options struct {
	Source Source
	In     io.Reader
	Out    io.Writer
	Looks  Looks
	View   string // the first one. Default: overview
	Query  string // of it
	// Offline says that Source is a snapshot, made at At. Nothing can be changed then.
	Offline string
	At      time.Time
	// OpenBundle opens a file for ':bundle FILE'; stop ends what it began. nil: it cannot.
	OpenBundle func(path string) (s Source, at time.Time, stop func(), err error)
	// RunVerb does what was typed at ':' and is no view: it returns what the verb printed, and its exit code. nil: nothing is.
	RunVerb   func(ctx context.Context, words []string) (text string, code int)
	Verbs     []string         // that RunVerb knows, for completion
	Clipboard bool             // the terminal may be asked to copy text
	Env       []string         // for what the terminal can; nil: that of the process
	Now       func() time.Time // default: time.Now
	// Program is the name of a program that runs as long as the console, and Printed the last lines that it has printed, with a number
	// that grows with them; nil: there is none. The console begins with them.
	Program string
	Printed func() (lines []string, last uint64)
}

const (
	followFor = 10 * time.Second // one wait for an operation
	tickEvery = 250 * time.Millisecond
	verbFor   = 30 * time.Second // a verb that was typed may take so long
)

// Run shows the console until the user leaves or ctx ends.
//
// # Errors
//
// caller.output if the terminal fails; canceled.caller_left if ctx ends.
func Run(ctx context.Context, opts Options) error {
	if opts.Now == nil {
		opts.Now = time.Now
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	d := &driver{ctx: ctx, opts: opts, source: opts.Source}
	defer d.end()
	now := opts.Now()
	model, first := NewModel(opts.Looks, opts.View, opts.Query, opts.Offline, now)
	if opts.Offline != "" {
		model.since = opts.At
	}
	model.more = opts.Verbs
	if opts.Printed != nil {
		model.program, model.printed = safe(opts.Program), []string{}
		model.showPrinted()
	}
	screen := &screen{model: model, driver: d, first: first}
	how := []tea.ProgramOption{tea.WithContext(ctx), tea.WithInput(opts.In), tea.WithOutput(opts.Out), tea.WithoutSignalHandler(), tea.WithFPS(30)}
	if opts.Env != nil {
		how = append(how, tea.WithEnvironment(opts.Env))
	}
	switch opts.Looks {
	case Plain:
		how = append(how, tea.WithColorProfile(colorprofile.ASCII))
	case Mono:
		how = append(how, tea.WithColorProfile(colorprofile.NoTTY))
	}
	program := tea.NewProgram(screen, how...)
	d.send = func(m message) { program.Send(m) }
	_, err := program.Run()
	switch {
	case err == nil, errors.Is(err, tea.ErrInterrupted):
		return nil
	case ctx.Err() != nil:
		return fault.From(context.Cause(ctx))
	}
	return fault.New(fault.CallerOutput, "terminal", "", err)
}

// screen is the Model as bubbletea wants it.
type screen struct {
	model  *Model
	driver *driver
	first  []effect
	heard  uint64 // of what the program has printed
}

type tick struct{}

func (s *screen) Init() tea.Cmd {
	return tea.Batch(s.driver.do(s.first), nextTick(0))
}

func nextTick(d time.Duration) tea.Cmd {
	return tea.Tick(max(tickEvery, d), func(time.Time) tea.Msg { return tick{} })
}

func (s *screen) Update(in tea.Msg) (tea.Model, tea.Cmd) {
	now := s.driver.opts.Now()
	switch in := in.(type) {
	case tea.WindowSizeMsg:
		return s, s.driver.do(s.model.Step(now, resized{in.Width, in.Height}))
	case tea.KeyPressMsg:
		return s, s.driver.do(s.model.Step(now, pressed{keyName(in), in.Text}))
	case tea.PasteMsg:
		return s, s.driver.do(s.model.Step(now, pasted{in.Content}))
	case tick:
		if printed := s.driver.opts.Printed; printed != nil {
			if lines, last := printed(); last != s.heard {
				s.heard = last
				s.model.Step(now, said{lines})
			}
		}
		out := s.model.Step(now, ticked{})
		return s, tea.Batch(s.driver.do(out), nextTick(refreshes[s.model.every]))
	case message:
		return s, s.driver.do(s.model.Step(now, in))
	}
	return s, nil
}

func (s *screen) View() tea.View {
	f := s.model.Frame()
	v := tea.NewView(strings.Join(f.lines, "\n"))
	v.AltScreen = true
	v.WindowTitle = "troupe top"
	if s.driver.opts.Program != "" {
		v.WindowTitle = "troupe dev"
	}
	if f.cursorX >= 0 {
		v.Cursor = tea.NewCursor(f.cursorX, f.cursorY)
	}
	return v
}

// keyName is a key as the Model knows it: what it types, if it types something, else its name.
func keyName(k tea.KeyPressMsg) string {
	if k.Text != "" && k.Text != " " {
		return k.Text
	}
	return k.String()
}

// driver does what the Model wants done.
type driver struct {
	ctx  context.Context
	opts Options
	send func(message)

	mu     sync.Mutex
	source Source
	stop   func()
	slots  [3]context.CancelFunc
}

// The streams of which there is at most one each.
const (
	slotView = iota
	slotHead
	slotTrace
)

// begin ends the stream of a slot and returns the context of the next one.
func (d *driver) begin(slot int) (context.Context, Source) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if end := d.slots[slot]; end != nil {
		end()
	}
	ctx, cancel := context.WithCancel(d.ctx)
	d.slots[slot] = cancel
	return ctx, d.source
}

func (d *driver) end() {
	d.mu.Lock()
	for _, end := range d.slots {
		if end != nil {
			end()
		}
	}
	stop := d.stop
	d.mu.Unlock()
	if stop != nil {
		stop()
	}
}

func (d *driver) host() Source {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.source
}

// do returns the commands of effects. Streams send messages as they come.
func (d *driver) do(all []effect) tea.Cmd {
	var cmds []tea.Cmd
	for _, e := range all {
		if c := d.one(e); c != nil {
			cmds = append(cmds, c)
		}
	}
	return tea.Batch(cmds...)
}

func (d *driver) one(e effect) tea.Cmd {
	switch e := e.(type) {
	case quit:
		return tea.Quit
	case copied:
		if !d.opts.Clipboard {
			return nil
		}
		return tea.SetClipboard(e.text)
	case unwatch:
		d.begin(slotView)
		return nil
	case untrace:
		d.begin(slotTrace)
		return nil
	case watch:
		slot := slotView
		if e.head {
			slot = slotHead
		}
		ctx, host := d.begin(slot)
		return func() tea.Msg {
			last, err := host.Watch(ctx, e.view, e.find, e.every, e.last, func(f api.Frame) error {
				d.send(framed{e.gen, e.head, f})
				return ctx.Err()
			})
			if ctx.Err() != nil {
				return nil
			}
			return broken{e.gen, e.head, last, err}
		}
	case trace:
		ctx, host := d.begin(slotTrace)
		return func() tea.Msg {
			show := func(t inspect.Trace) error {
				d.send(traced{e.gen, t})
				return ctx.Err()
			}
			err := traceFrom(ctx, host, e, show)
			if ctx.Err() != nil {
				return nil
			}
			return traceEnded{e.gen, err}
		}
	case later:
		return func() tea.Msg {
			t := time.NewTimer(e.d)
			defer t.Stop()
			select {
			case <-t.C:
				return e.m
			case <-d.ctx.Done():
				return nil
			}
		}
	case runs:
		if d.opts.RunVerb == nil {
			return func() tea.Msg { return ran{e.seq, e.words, "nothing is called so here: see tab, or ?", 2} }
		}
		return func() tea.Msg {
			ctx, cancel := context.WithTimeout(d.ctx, verbFor)
			defer cancel()
			text, code := d.opts.RunVerb(ctx, e.words)
			return ran{e.seq, e.words, text, code}
		}
	case openFile:
		return func() tea.Msg { return d.openFile(e.path) }
	}
	host := d.host()
	return func() tea.Msg { return call(d.ctx, host, e) }
}

// traceFrom shows what the flight recorders hold of a cause, and then the messages that come.
func traceFrom(ctx context.Context, host Source, e trace, show func(inspect.Trace) error) error {
	if e.job != "" {
		t, err := host.Timeline(ctx, e.job)
		if err != nil {
			return err
		}
		if e.filter.Cause = t.Cause; t.Cause == "" {
			e.filter.Actor = "troupe/jobs"
		}
	}
	if e.filter.Cause != "" {
		if p, err := host.Cause(ctx, e.filter.Cause); err == nil { // without it there is what comes
			for _, t := range p.Rows {
				if err := show(t); err != nil {
					return err
				}
			}
		}
	}
	return host.Trace(ctx, e.filter, show)
}

// call does what is a single call.
func call(ctx context.Context, host Source, e effect) tea.Msg {
	switch e := e.(type) {
	case ask:
		me, err := host.Me(ctx)
		return known{me, err}
	case load:
		v, err := details(ctx, host, e)
		return loaded{e.gen, e.what, e.id, v, err}
	case makePlan:
		p, err := host.Plan(ctx, e.wish)
		return planned{e.seq, p, err}
	case applyPlan:
		o, err := host.Apply(ctx, e.plan, e.key)
		return operated{e.seq, o, err}
	case follow:
		o, err := host.Operation(ctx, e.id, followFor)
		return operated{e.seq, o, err}
	}
	return nil
}

func details(ctx context.Context, host Source, e load) (any, error) {
	switch e.what {
	case "actor":
		return host.Actor(ctx, e.id)
	case "mailbox":
		p, err := host.Mailbox(ctx, e.id)
		return p.Rows, err
	case "timeline":
		return host.Timeline(ctx, e.id)
	case "explain":
		return host.Explain(ctx, e.id)
	case "cause":
		p, err := host.Cause(ctx, e.id)
		return p.Rows, err
	}
	return nil, fault.New(fault.BugUnexpected, "details", e.what, nil)
}

// openFile changes the source.
func (d *driver) openFile(path string) tea.Msg {
	if d.opts.OpenBundle == nil {
		return opened{err: fault.New(fault.CallerInvalid, "bundle", "", nil).WithHint("open it with 'troupe bundle open FILE'")}
	}
	s, at, stop, err := d.opts.OpenBundle(path)
	if err != nil {
		return opened{err: err}
	}
	d.mu.Lock()
	before := d.stop
	d.source, d.stop = s, stop
	d.mu.Unlock()
	if before != nil {
		before()
	}
	return opened{offline: path, at: at}
}
