package bundle

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/host"
	"github.com/troupehost/troupe/host/control/api"
)

// Source is what Collect needs of a host.
type Source interface {
	Inspect(context.Context) (inspect.Host, error)
	Actor(ctx context.Context, path string) (inspect.ActorDetail, error)
	Mailbox(ctx context.Context, path string) ([]inspect.Letter, error)
	Guests(context.Context) ([]inspect.Guest, error)
	Workers(context.Context) ([]inspect.Worker, error)
	DeadLetters(context.Context) ([]inspect.Letter, error)
	Jobs(context.Context, host.JobFilter) (jobs []run.Job, next string, err error)
	Job(ctx context.Context, id string) (run.Job, error)
	Timeline(ctx context.Context, job string) (inspect.Timeline, error)
	Explain(ctx context.Context, id string) (inspect.Explanation, error)
	LogLines(ctx context.Context, after uint64, most int, wait time.Duration) (lines []inspect.LogLine, dropped uint64, err error)
	Apps(context.Context, host.AppFilter) (apps []inspect.App, next uint64, err error)
	Session(context.Context) (inspect.Session, error)
	Blobs(context.Context) (blobs []inspect.Blob, used, quota int64, err error)
	Chain(context.Context) (inspect.ChainView, error)
	ChainCalls(context.Context, host.CallFilter) (calls []inspect.Outgoing, next uint64, err error)
	ChainDemands(ctx context.Context, after string, limit int) (demands []inspect.Demand, next string, err error)
	ChainPay(ctx context.Context, after string, limit int) (apps []inspect.Pay, next string, err error)
	Recording(ctx context.Context, w io.Writer) error
}

// Extra is what a host cannot tell of itself.
type Extra struct {
	Audit  func(context.Context) ([]api.Audit, error) // nil: there is none
	Config []api.Setting
	Reason string // request, signal, crash
	At     time.Time
	Limit  time.Duration // of all of it; 0: a minute
}

// What one bundle takes at most. What is left out is said in Missing.
const (
	maxActors    = 20_000
	maxFlights   = 100_000 // of all actors together; those in trouble first
	maxMailboxes = 200
	maxLetters   = 100 // of one mailbox
	maxJobs      = 5_000
	maxTimelines = 1_000
	maxExplained = 500
	maxApps      = 5_000
	maxCalls     = 1_000
	maxDemands   = 5_000
	maxLog       = 10_000
	maxRecording = 1 << 30 // bytes of what the cores were given
	defaultLimit = time.Minute
	leastTime    = 5 * time.Millisecond // with less nothing is asked any more
)

// Of the limit of all, a part has at most a quarter, and half of what is left; one answer two thirds of what its part has left. So a
// part that is wedged takes little from the others, and one thing that is wedged not all from its part.
const (
	partShare            = 4
	leftShare            = 2
	askShareN, askShareD = 2, 3
)

// collector asks one thing after another and notes what it did not get.
type collector struct {
	ctx   context.Context
	host  Source
	b     *api.Bundle
	limit time.Duration
	until time.Time
	spent map[string]time.Duration // of each part
}

// Collect asks a host for all that its views show, and what its cores were given. What does not answer in its share of the time is left
// out, even if it never does: then a goroutine is left behind. It fails only if ctx ends.
func Collect(ctx context.Context, h Source, extra Extra) (b *api.Bundle, recording []byte, err error) {
	c := collector{ctx: ctx, host: h, limit: cmp.Or(extra.Limit, defaultLimit), spent: map[string]time.Duration{}, b: &api.Bundle{
		Format: Format, Timelines: map[string]inspect.Timeline{}, Mailboxes: map[string][]inspect.Letter{},
		Explanations: map[string]inspect.Explanation{}, Missing: map[string]string{},
		Config: extra.Config, Reason: cmp.Or(extra.Reason, "request"), At: extra.At,
	}}
	c.until = time.Now().Add(c.limit)
	b = c.b
	b.Host, _ = ask(&c, "host", h.Inspect)
	if b.At.IsZero() {
		b.At = b.Host.At
	}
	if workers, ok := ask(&c, "workers", h.Workers); ok {
		b.Host.Workers = workers
	}
	b.Guests, _ = ask(&c, "guests", h.Guests)
	b.Dead, _ = ask(&c, "dead", h.DeadLetters)
	b.Log, _ = ask(&c, "log", func(ctx context.Context) ([]inspect.LogLine, error) {
		lines, _, err := h.LogLines(ctx, 0, maxLog, 0)
		return lines, err
	})
	if extra.Audit != nil {
		b.Audit, _ = ask(&c, "audit", extra.Audit)
	}
	b.Blobs, _ = ask(&c, "blobs", func(ctx context.Context) ([]inspect.Blob, error) {
		blobs, _, _, err := h.Blobs(ctx)
		return blobs, err
	})
	if s, ok := ask(&c, "session", h.Session); ok {
		b.Session = &s
	}
	c.actors()
	c.jobs()
	c.apps()
	c.chain()
	c.explain()
	recording, _ = ask(&c, "recording", func(ctx context.Context) ([]byte, error) {
		given := &limitedBuffer{most: maxRecording}
		err := h.Recording(ctx, given)
		return given.Bytes(), err
	})
	if ctx.Err() != nil {
		return nil, nil, fault.From(context.Cause(ctx))
	}
	return b, recording, nil
}

// limitedBuffer refuses what is too much.
type limitedBuffer struct {
	bytes.Buffer
	most int
}

// Write implements io.Writer.
func (b *limitedBuffer) Write(p []byte) (int, error) {
	if b.Len()+len(p) > b.most {
		return 0, fault.New(fault.CallerParamsTooBig, "recording", "", nil)
	}
	return b.Buffer.Write(p)
}

// ask asks one question of a part, for as long as it may take. What is not there is no failure.
func ask[T any](c *collector, part string, question func(context.Context) (T, error)) (v T, ok bool) {
	limit := min(c.limit/partShare-c.spent[part], time.Until(c.until)/leftShare) * askShareN / askShareD
	if limit < leastTime {
		c.miss(part, "there was no time left to ask for more")
		return v, false
	}
	ctx, cancel := context.WithTimeoutCause(c.ctx, limit, errSilent)
	defer cancel()
	type answer struct {
		v   T
		err error
	}
	said := make(chan answer, 1)
	begin := time.Now()
	go func() {
		var a answer
		defer func() {
			if p := recover(); p != nil { // a host in trouble may be in more than it knows
				a.err = fault.New(fault.BugPanic, part, "", fmt.Errorf("%v", p))
			}
			said <- a
		}()
		a.v, a.err = question(ctx)
	}()
	var a answer
	select {
	case a = <-said:
	case <-ctx.Done():
		a.err = context.Cause(ctx)
	}
	c.spent[part] += time.Since(begin)
	switch {
	case a.err == nil:
		return a.v, true
	case context.Cause(ctx) == errSilent:
		c.miss(part, fmt.Sprintf("no answer within %v", limit.Round(time.Millisecond)))
	case fault.CodeOf(a.err) != fault.CallerNotFound:
		c.miss(part, fault.Quote(a.err.Error()))
	}
	return v, false
}

var errSilent = errors.New("no answer")

func (c *collector) miss(part, why string) {
	if c.b.Missing[part] == "" {
		c.b.Missing[part] = why
	}
}

// trouble reports whether somebody will want to know everything of an actor.
func trouble(a inspect.Actor) bool {
	return a.LastFault != "" || a.State == "gave_up" || a.State == "backoff" || a.Paused || a.Restarts > 0 || a.Depth > 0 || a.Handling != ""
}

func (c *collector) actors() {
	list := slices.Clone(c.b.Host.Actors)
	slices.SortStableFunc(list, func(x, y inspect.Actor) int { // those in trouble first
		return cmp.Compare(rank(trouble(x)), rank(trouble(y)))
	})
	if len(list) > maxActors {
		list = list[:maxActors]
		c.miss("actors", "there were more")
	}
	known := map[string]bool{}
	for _, a := range list {
		known[a.Path] = true
	}
	for _, l := range c.b.Dead { // the dead are in no list, but what was lost names them
		if !known[l.Actor] {
			known[l.Actor] = true
			list = append(list, inspect.Actor{Path: l.Actor, Kind: "dead"})
		}
	}
	flights := 0
	for _, a := range list {
		detail, gone := inspect.ActorDetail{Actor: a}, a.Kind == "dead"
		if flights < maxFlights || trouble(a) {
			if d, ok := ask(c, "actors", func(ctx context.Context) (inspect.ActorDetail, error) { return c.host.Actor(ctx, a.Path) }); ok {
				detail, gone = d, false
			}
		}
		if gone {
			continue
		}
		room := max(0, maxFlights-flights)
		if len(detail.Flights) > room {
			detail.Flights = detail.Flights[len(detail.Flights)-room:]
			c.miss("flights", "there were more")
		}
		flights += len(detail.Flights)
		c.b.Actors = append(c.b.Actors, detail)
		if a.Depth > 0 && len(c.b.Mailboxes) < maxMailboxes {
			letters, _ := ask(c, "mailboxes", func(ctx context.Context) ([]inspect.Letter, error) { return c.host.Mailbox(ctx, a.Path) })
			if len(letters) > 0 {
				c.b.Mailboxes[a.Path] = letters[:min(len(letters), maxLetters)]
			}
		}
	}
}

func rank(first bool) int {
	if first {
		return 0
	}
	return 1
}

// page is one of a list.
type page[T, N any] struct {
	rows []T
	next N
}

func (c *collector) jobs() {
	for _, state := range []run.JobState{run.JobRunning, run.JobQueued, run.JobSettled} { // what is under way matters most
		after := ""
		for {
			filter := host.JobFilter{State: state, After: after, Limit: min(1000, maxJobs-len(c.b.Jobs))}
			p, _ := ask(c, "jobs", func(ctx context.Context) (p page[run.Job, string], err error) {
				p.rows, p.next, err = c.host.Jobs(ctx, filter)
				return p, err
			})
			for _, j := range p.rows {
				id := j.ID
				if len(c.b.Timelines) < maxTimelines {
					if t, ok := ask(c, "timelines", func(ctx context.Context) (inspect.Timeline, error) { return c.host.Timeline(ctx, id) }); ok {
						c.b.Timelines[id] = t
					}
					if full, ok := ask(c, "events", func(ctx context.Context) (run.Job, error) { return c.host.Job(ctx, id) }); ok { // lists have none
						j = full
					}
				}
				c.b.Jobs = append(c.b.Jobs, Bare(j))
			}
			if len(c.b.Jobs) >= maxJobs && p.next != "" {
				c.miss("jobs", "there were more")
				return
			}
			if p.next <= after {
				break
			}
			after = p.next
		}
	}
}

// Bare is a job without what its caller gave and its guest wrote.
func Bare(j run.Job) run.Job {
	if j.Receipt != nil {
		r := *j.Receipt
		r.Result, r.Stdout, r.Stderr = nil, nil, nil
		j.Receipt = &r
	}
	return j
}

func (c *collector) apps() {
	after := uint64(0)
	for {
		filter := host.AppFilter{After: after}
		p, _ := ask(c, "apps", func(ctx context.Context) (p page[inspect.App, uint64], err error) {
			p.rows, p.next, err = c.host.Apps(ctx, filter)
			return p, err
		})
		c.b.Apps = append(c.b.Apps, p.rows...)
		if p.next <= after {
			return
		}
		if after = p.next; len(c.b.Apps) >= maxApps {
			c.miss("apps", "there were more")
			return
		}
	}
}

func (c *collector) chain() {
	v, ok := ask(c, "chain", c.host.Chain)
	if !ok {
		return
	}
	c.b.Chain = &v
	for _, settled := range []bool{false, true} {
		for after := uint64(0); len(c.b.Calls) < maxCalls; {
			filter := host.CallFilter{History: settled, After: after}
			p, _ := ask(c, "calls", func(ctx context.Context) (p page[inspect.Outgoing, uint64], err error) {
				p.rows, p.next, err = c.host.ChainCalls(ctx, filter)
				return p, err
			})
			c.b.Calls = append(c.b.Calls, p.rows...)
			if p.next <= after {
				break
			}
			after = p.next
		}
	}
	c.b.Demands = pages(c, "demands", c.host.ChainDemands)
	c.b.Pay = pages(c, "pay", c.host.ChainPay)
}

func pages[T any](c *collector, part string, get func(context.Context, string, int) ([]T, string, error)) (all []T) {
	for after := ""; len(all) < maxDemands; {
		from := after
		p, _ := ask(c, part, func(ctx context.Context) (p page[T, string], err error) {
			p.rows, p.next, err = get(ctx, from, 0)
			return p, err
		})
		all = append(all, p.rows...)
		if p.next <= after {
			return all
		}
		after = p.next
	}
	c.miss(part, "there were more")
	return all
}

// explain keeps what the host says of that which waits or has failed: the bundle cannot find it out again.
func (c *collector) explain() {
	var ids []string
	for _, a := range c.b.Actors {
		if a.State == "gave_up" || a.State == "backoff" || a.Paused || a.Depth > 0 || a.Handling != "" {
			ids = append(ids, a.Path)
		}
	}
	for _, a := range c.b.Host.Artifacts {
		if a.State == "preparing" || a.State == "failed" {
			ids = append(ids, a.Key)
		}
	}
	for _, q := range c.b.Host.Queues {
		ids = append(ids, q.Name)
	}
	for _, w := range c.b.Host.Workers {
		ids = append(ids, w.ID)
	}
	for _, a := range c.b.Apps {
		if a.State != "running" {
			ids = append(ids, a.Address)
		}
	}
	for _, j := range c.b.Jobs {
		if j.State != run.JobSettled || j.Fault != "" || j.Receipt != nil && j.Receipt.Fault != "" {
			ids = append(ids, j.ID)
		}
	}
	for n, id := range ids {
		if n == maxExplained {
			c.miss("explanations", "there were more")
			return
		}
		if e, ok := ask(c, "explanations", func(ctx context.Context) (inspect.Explanation, error) { return c.host.Explain(ctx, id) }); ok {
			c.b.Explanations[id] = e
		}
		if c.ctx.Err() != nil {
			return
		}
	}
}
