package bundle

import (
	"cmp"
	"context"
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
}

// Extra is what a host cannot tell of itself.
type Extra struct {
	Audit  []api.Audit
	Config []api.Setting
	Reason string // request, signal, crash
	At     time.Time
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
	askTimeout   = 5 * time.Second // for one answer: a wedged actor must not hold up the rest
)

// collector asks one thing after another and notes what it did not get.
type collector struct {
	ctx  context.Context
	host Source
	b    *api.Bundle
}

// Collect asks a host for all that its views show. It fails only if the host does not answer at all, or ctx ends.
func Collect(ctx context.Context, h Source, extra Extra) (*api.Bundle, error) {
	c := collector{ctx: ctx, host: h, b: &api.Bundle{
		Format: Format, Timelines: map[string]inspect.Timeline{}, Mailboxes: map[string][]inspect.Letter{},
		Explanations: map[string]inspect.Explanation{}, Missing: map[string]string{},
		Audit: extra.Audit, Config: extra.Config, Reason: cmp.Or(extra.Reason, "request"), At: extra.At,
	}}
	b := c.b
	var err error
	if b.Host, err = h.Inspect(ctx); err != nil {
		return nil, err
	}
	if b.At.IsZero() {
		b.At = b.Host.At
	}
	c.ask("workers", func(ctx context.Context) (err error) {
		workers, err := h.Workers(ctx)
		if err == nil {
			b.Host.Workers = workers
		}
		return err
	})
	c.ask("guests", func(ctx context.Context) (err error) { b.Guests, err = h.Guests(ctx); return err })
	c.ask("dead", func(ctx context.Context) (err error) { b.Dead, err = h.DeadLetters(ctx); return err })
	c.ask("log", func(ctx context.Context) (err error) { b.Log, _, err = h.LogLines(ctx, 0, maxLog, 0); return err })
	c.ask("blobs", func(ctx context.Context) (err error) { b.Blobs, _, _, err = h.Blobs(ctx); return err })
	c.ask("session", func(ctx context.Context) error {
		s, err := h.Session(ctx)
		if err == nil {
			b.Session = &s
		}
		return err
	})
	c.actors()
	c.jobs()
	c.apps()
	c.chain()
	c.explain()
	if ctx.Err() != nil {
		return nil, fault.From(context.Cause(ctx))
	}
	return b, nil
}

// ask bounds one question; what is not there is no failure.
func (c *collector) ask(part string, f func(context.Context) error) {
	ctx, cancel := context.WithTimeout(c.ctx, askTimeout)
	defer cancel()
	if err := f(ctx); err != nil && fault.CodeOf(err) != fault.CallerNotFound {
		c.miss(part, fault.Quote(err.Error()))
	}
}

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
			c.ask("actors", func(ctx context.Context) error {
				d, err := c.host.Actor(ctx, a.Path)
				if err == nil {
					detail, gone = d, false
				}
				return err
			})
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
			c.ask("mailboxes", func(ctx context.Context) error {
				letters, err := c.host.Mailbox(ctx, a.Path)
				if len(letters) > 0 {
					c.b.Mailboxes[a.Path] = letters[:min(len(letters), maxLetters)]
				}
				return err
			})
		}
	}
}

func rank(first bool) int {
	if first {
		return 0
	}
	return 1
}

func (c *collector) jobs() {
	for _, state := range []run.JobState{run.JobRunning, run.JobQueued, run.JobSettled} { // what is under way matters most
		after := ""
		for {
			var page []run.Job
			next := ""
			c.ask("jobs", func(ctx context.Context) (err error) {
				page, next, err = c.host.Jobs(ctx, host.JobFilter{State: state, After: after, Limit: min(1000, maxJobs-len(c.b.Jobs))})
				return err
			})
			for _, j := range page {
				j = Bare(j)
				if len(c.b.Timelines) < maxTimelines {
					c.ask("timelines", func(ctx context.Context) error {
						t, err := c.host.Timeline(ctx, j.ID)
						if err == nil {
							c.b.Timelines[j.ID] = t
						}
						return err
					})
					c.ask("jobs", func(ctx context.Context) error {
						full, err := c.host.Job(ctx, j.ID) // lists come without events
						if err == nil {
							j = Bare(full)
						}
						return err
					})
				}
				c.b.Jobs = append(c.b.Jobs, j)
			}
			if len(c.b.Jobs) >= maxJobs && next != "" {
				c.miss("jobs", "there were more")
				return
			}
			if next <= after {
				break
			}
			after = next
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
		var page []inspect.App
		next := uint64(0)
		c.ask("apps", func(ctx context.Context) (err error) {
			page, next, err = c.host.Apps(ctx, host.AppFilter{After: after})
			return err
		})
		c.b.Apps = append(c.b.Apps, page...)
		if next <= after {
			return
		}
		if after = next; len(c.b.Apps) >= maxApps {
			c.miss("apps", "there were more")
			return
		}
	}
}

func (c *collector) chain() {
	c.ask("chain", func(ctx context.Context) error {
		v, err := c.host.Chain(ctx)
		if err == nil {
			c.b.Chain = &v
		}
		return err
	})
	if c.b.Chain == nil {
		return
	}
	for _, settled := range []bool{false, true} {
		for after := uint64(0); len(c.b.Calls) < maxCalls; {
			var page []inspect.Outgoing
			next := uint64(0)
			c.ask("calls", func(ctx context.Context) (err error) {
				page, next, err = c.host.ChainCalls(ctx, host.CallFilter{History: settled, After: after})
				return err
			})
			c.b.Calls = append(c.b.Calls, page...)
			if next <= after {
				break
			}
			after = next
		}
	}
	c.b.Demands = pages(c, "demands", c.host.ChainDemands)
	c.b.Pay = pages(c, "pay", c.host.ChainPay)
}

func pages[T any](c *collector, part string, get func(context.Context, string, int) ([]T, string, error)) (all []T) {
	for after := ""; len(all) < maxDemands; {
		var page []T
		next := ""
		c.ask(part, func(ctx context.Context) (err error) { page, next, err = get(ctx, after, 0); return err })
		all = append(all, page...)
		if next <= after {
			return all
		}
		after = next
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
		c.ask("explanations", func(ctx context.Context) error {
			e, err := c.host.Explain(ctx, id)
			if err == nil {
				c.b.Explanations[id] = e
			}
			return err
		})
		if c.ctx.Err() != nil {
			return
		}
	}
}
