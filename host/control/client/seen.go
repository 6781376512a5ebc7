package client

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/host/control/api"
)

// Find says which rows of a list are wanted. The zero value is the first page of all.
type Find struct {
	Query string // see package query
	Sort  string // a field; "-" before it reverses
	After string // Next of the page before
	Limit int    // default: what the host gives
}

func (f Find) values() url.Values {
	q := url.Values{}
	for name, v := range map[string]string{"q": f.Query, "sort": f.Sort, "after": f.After} {
		if v != "" {
			q.Set(name, v)
		}
	}
	if f.Limit > 0 {
		q.Set("limit", strconv.Itoa(f.Limit))
	}
	return q
}

func page[T any](ctx context.Context, c *Client, route, key string, f Find) (p api.Page[T], err error) {
	err = c.call(ctx, route, key, f.values(), &p)
	return p, err
}

func one[T any](ctx context.Context, c *Client, route, key string, q url.Values) (v T, err error) {
	err = c.call(ctx, route, key, q, &v)
	return v, err
}

// Me returns who the caller is to the host, and what it may do.
func (c *Client) Me(ctx context.Context) (api.Me, error) {
	return one[api.Me](ctx, c, api.RouteMe, "", nil)
}

// Actors returns one page of actors.
func (c *Client) Actors(ctx context.Context, f Find) (api.Page[inspect.Actor], error) {
	return page[inspect.Actor](ctx, c, api.RouteActors, "", f)
}

// Actor returns one actor with its flight recorder.
func (c *Client) Actor(ctx context.Context, path string) (inspect.ActorDetail, error) {
	return one[inspect.ActorDetail](ctx, c, api.RouteActor, path, nil)
}

// Mailbox returns the headers of what waits in a mailbox, the oldest first.
func (c *Client) Mailbox(ctx context.Context, path string) (api.Page[inspect.Letter], error) {
	return page[inspect.Letter](ctx, c, api.RouteMailbox, path, Find{})
}

// Guests returns one page of what runs.
func (c *Client) Guests(ctx context.Context, f Find) (api.Page[inspect.Guest], error) {
	return page[inspect.Guest](ctx, c, api.RouteGuests, "", f)
}

// Workers returns one page of worker processes.
func (c *Client) Workers(ctx context.Context, f Find) (api.Page[inspect.Worker], error) {
	return page[inspect.Worker](ctx, c, api.RouteWorkers, "", f)
}

// Queues returns all queues.
func (c *Client) Queues(ctx context.Context, f Find) (api.Page[inspect.Queue], error) {
	return page[inspect.Queue](ctx, c, api.RouteQueues, "", f)
}

// DeadLetters returns one page of messages that were refused or never delivered, the newest first.
func (c *Client) DeadLetters(ctx context.Context, f Find) (api.Page[inspect.Letter], error) {
	return page[inspect.Letter](ctx, c, api.RouteDead, "", f)
}

// Failures returns one page of what has failed, the newest first.
func (c *Client) Failures(ctx context.Context, f Find) (api.Page[api.Failing], error) {
	return page[api.Failing](ctx, c, api.RouteFailures, "", f)
}

// Health returns what an operator should know.
func (c *Client) Health(ctx context.Context, f Find) (api.Page[inspect.Health], error) {
	return page[inspect.Health](ctx, c, api.RouteHealth, "", f)
}

// Log returns one page of the log of the host, the newest first unless After is set.
func (c *Client) Log(ctx context.Context, f Find) (api.Page[inspect.LogLine], error) {
	return page[inspect.LogLine](ctx, c, api.RouteLog, "", f)
}

// Audit returns one page of the audit log, the newest first unless After is set.
func (c *Client) Audit(ctx context.Context, f Find) (api.Page[api.Audit], error) {
	return page[api.Audit](ctx, c, api.RouteAudit, "", f)
}

// Timeline returns where the time of a job went.
func (c *Client) Timeline(ctx context.Context, job string) (inspect.Timeline, error) {
	return one[inspect.Timeline](ctx, c, api.RouteTimeline, job, nil)
}

// Cause returns what the flight recorders hold of one cause, the oldest first.
func (c *Client) Cause(ctx context.Context, id string) (api.Page[inspect.Trace], error) {
	return page[inspect.Trace](ctx, c, api.RouteCause, id, Find{})
}

// Explain says what a thing waits for.
func (c *Client) Explain(ctx context.Context, id string) (inspect.Explanation, error) {
	return one[inspect.Explanation](ctx, c, api.RouteExplain, id, nil)
}

// History returns the use of an app over time.
func (c *Client) History(ctx context.Context, address string) (api.History, error) {
	return one[api.History](ctx, c, api.RouteHistory, "", url.Values{"address": {address}})
}

// Config returns what the host runs with.
func (c *Client) Config(ctx context.Context) (api.Page[api.Setting], error) {
	return page[api.Setting](ctx, c, api.RouteConfig, "", Find{})
}

// Plan says what a wish would do, and changes nothing.
func (c *Client) Plan(ctx context.Context, w api.Wish) (p api.Plan, err error) {
	body, err := json.Marshal(w)
	if err != nil {
		return p, fault.New(fault.BugUnexpected, "encode wish", "", err)
	}
	err = c.within(ctx, c.timeout, func(ctx context.Context) error {
		return c.exchange(ctx, api.RoutePlan, "", nil, api.TypeJSON, bytes.NewReader(body), &p)
	})
	return p, err
}

// Apply carries out a plan. The same key within an hour names the same operation.
func (c *Client) Apply(ctx context.Context, plan, key string) (o api.Operation, err error) {
	err = c.within(ctx, c.timeout, func(ctx context.Context) error {
		resp, err := c.doWith(ctx, api.RouteApply, plan, nil, "", nil, map[string]string{api.HeaderIdempotency: key})
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if err := json.NewDecoder(io.LimitReader(resp.Body, api.MaxReplyBytes)).Decode(&o); err != nil {
			return lost(ctx, err)
		}
		return nil
	})
	return o, err
}

// Operation returns an operation, once it is settled or wait is over.
func (c *Client) Operation(ctx context.Context, id string, wait time.Duration) (o api.Operation, err error) {
	q := url.Values{"wait_us": {strconv.FormatInt(wait.Microseconds(), 10)}}
	err = c.within(ctx, c.timeout+wait, func(ctx context.Context) error {
		return c.exchange(ctx, api.RouteOperation, id, q, "", nil, &o)
	})
	return o, err
}

// Snapshot opens a bundle, which the caller reads and closes.
func (c *Client) Snapshot(ctx context.Context) (io.ReadCloser, error) {
	return c.open(ctx, api.RouteSnapshot, nil)
}

// Backup opens a backup, which the caller reads and closes. It is whole only if it ends without an error.
func (c *Client) Backup(ctx context.Context) (io.ReadCloser, error) {
	return c.open(ctx, api.RouteBackup, nil)
}

func (c *Client) open(ctx context.Context, route string, q url.Values) (io.ReadCloser, error) {
	resp, err := c.do(ctx, route, "", q, "", nil)
	if err != nil {
		return nil, err
	}
	return resp.Body, nil
}

// Watch calls f for each frame of a view until f fails, ctx ends or the connection breaks. last is the id of the last event
// that was seen, "" at first; Watch returns the one to go on from.
func (c *Client) Watch(ctx context.Context, view string, find Find, every time.Duration, last string, f func(api.Frame) error) (string, error) {
	q := find.values()
	q.Set("every_us", strconv.FormatInt(every.Microseconds(), 10))
	return events(ctx, c, api.RouteWatch, view, q, last, f)
}

// Trace calls f for each message that the filter matches, until its budget is used up (nil), f fails, ctx ends or the
// connection breaks.
func (c *Client) Trace(ctx context.Context, filter inspect.TraceFilter, f func(inspect.Trace) error) error {
	text, err := json.Marshal(filter)
	if err != nil {
		return fault.New(fault.BugUnexpected, "encode filter", "", err)
	}
	fields, q := map[string]any{}, url.Values{}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	if err := d.Decode(&fields); err != nil {
		return fault.New(fault.BugUnexpected, "encode filter", "", err)
	}
	for name, v := range fields {
		switch v := v.(type) {
		case string:
			q.Set(name, v)
		case json.Number:
			q.Set(name, v.String())
		case bool:
			q.Set(name, strconv.FormatBool(v))
		}
	}
	_, err = events(ctx, c, api.RouteTrace, "", q, "", f)
	return err
}

// maxEvent bounds one event, in bytes.
const maxEvent = 16 << 20

// events reads server-sent events.
func events[T any](ctx context.Context, c *Client, route, key string, q url.Values, last string, f func(T) error) (string, error) {
	headers := map[string]string{"Accept": api.TypeSSE}
	if last != "" {
		headers["Last-Event-ID"] = last
	}
	resp, err := c.doWith(ctx, route, key, q, "", nil, headers)
	if err != nil {
		return last, err
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(make([]byte, 0, 64<<10), maxEvent)
	var id, kind string
	var data []byte
	for lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), ":")
		value = strings.TrimPrefix(value, " ")
		switch name {
		case "id":
			id = value
		case "event":
			kind = value
		case "data":
			data = append(data, value...)
		case "":
			if lines.Text() != "" { // a comment, which only says that the connection lives
				continue
			}
			if kind == api.EventError {
				var failure api.Failure
				if err := json.Unmarshal(data, &failure); err != nil {
					return last, fault.New(fault.BugProtocol, "control", "", err)
				}
				return last, failure.Error.Fault()
			}
			if kind == api.EventEnd {
				return last, nil
			}
			if len(data) > 0 {
				var v T
				if err := json.Unmarshal(data, &v); err != nil {
					return last, fault.New(fault.BugProtocol, "control", "", err)
				}
				if err := f(v); err != nil {
					return last, err
				}
			}
			if id != "" {
				last = id
			}
			id, kind, data = "", "", data[:0]
		}
	}
	err = lines.Err()
	if err == nil {
		err = io.ErrUnexpectedEOF
	}
	if errors.Is(err, bufio.ErrTooLong) {
		return last, fault.New(fault.BugProtocol, "control", "an event is too long", err)
	}
	return last, lost(ctx, err)
}
