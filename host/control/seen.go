package control

import (
	"context"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/actors/inspect/query"
	"github.com/troupehost/troupe/host/control/api"
)

// seenRoutes show what is published, and what can be done about it.
func (s *Server) seenRoutes() map[string]http.HandlerFunc {
	all := map[string]http.HandlerFunc{
		api.RouteMe: s.plain(s.me), api.RouteOpenAPI: s.openAPI,
		api.RouteActor: s.plain(s.actor), api.RouteMailbox: s.plain(s.mailbox),
		api.RouteTimeline: s.plain(s.timeline), api.RouteCause: s.plain(s.cause), api.RouteExplain: s.plain(s.explain),
		api.RouteHistory: s.plain(s.history), api.RouteConfig: s.plain(s.config),
		api.RouteLog: s.unhurried(s.logPage), api.RouteAudit: s.plain(s.auditPage),
		api.RouteWatch: s.watchView, api.RouteTrace: s.trace,
		api.RoutePlan: withJSON(s, s.plan), api.RouteApply: s.plain(s.apply), api.RouteOperation: s.unhurried(s.operation),
		api.RouteSnapshot: s.bytesOf("snapshot", func(ctx context.Context, w io.Writer) error {
			if s.opts.Snapshot == nil {
				return unsupported("a snapshot")
			}
			return s.opts.Snapshot(ctx, w)
		}),
		api.RouteBackup: s.bytesOf("backup", func(ctx context.Context, w io.Writer) error {
			_, err := s.host.Backup(ctx, w)
			return err
		}),
	}
	for route, view := range map[string]string{
		api.RouteActors: "actors", api.RouteGuests: "guests", api.RouteWorkers: "workers", api.RouteQueues: "queues",
		api.RouteDead: "dead", api.RouteFailures: "failures", api.RouteHealth: "health",
	} {
		all[route] = s.plain(func(r *http.Request, _ caller) (any, error) {
			f, err := findOf(r, view)
			if err != nil {
				return nil, err
			}
			return s.views.by[view].page(r.Context(), f)
		})
	}
	return all
}

func unsupported(what string) error {
	return fault.New(fault.HostUnsupported, "control", what, nil).WithHint("this host does not offer it; a 'troupe serve' of this version does")
}

const maxActorPath = 1024

// pathOf returns the path of an actor.
func pathOf(r *http.Request) (string, error) {
	p := r.PathValue("path")
	if p == "" || len(p) > maxActorPath || strings.Contains(p, "..") {
		return "", invalid("actor "+fault.Quote(p), "pass a path as 'troupe actor list' prints it")
	}
	return p, nil
}

func (s *Server) actor(r *http.Request, _ caller) (any, error) {
	p, err := pathOf(r)
	if err != nil {
		return nil, err
	}
	a, err := s.host.Actor(r.Context(), p)
	if a.Flights == nil {
		a.Flights = []inspect.Flight{}
	}
	return a, err
}

// sliced is a page of what has no queries: the cursor counts rows.
func sliced[T any](r *http.Request, all []T) (p api.Page[T], err error) {
	limit, err := limitOf(r.URL.Query().Get("limit"))
	if err != nil {
		return p, err
	}
	from, err := natural(r, "after")
	if err != nil {
		return p, err
	}
	from = min(from, len(all))
	to := min(from+limit, len(all))
	p = api.Page[T]{Rows: append([]T{}, all[from:to]...), Matched: len(all), Total: len(all), At: now()}
	if to < len(all) {
		p.Next = strconv.Itoa(to)
	}
	return p, nil
}

func (s *Server) mailbox(r *http.Request, _ caller) (any, error) {
	p, err := pathOf(r)
	if err != nil {
		return nil, err
	}
	all, err := s.host.Mailbox(r.Context(), p)
	if err != nil {
		return nil, err
	}
	return sliced(r, all)
}

func (s *Server) timeline(r *http.Request, _ caller) (any, error) {
	id, err := jobID(r)
	if err != nil {
		return nil, err
	}
	t, err := s.host.Timeline(r.Context(), id)
	if t.Stages == nil {
		t.Stages = []inspect.Stage{}
	}
	return t, err
}

func (s *Server) cause(r *http.Request, _ caller) (any, error) {
	id := strings.ToLower(r.PathValue("id"))
	if len(id) != 32 || strings.Trim(id, "0123456789abcdef") != "" {
		return nil, invalid("cause "+fault.Quote(id), "pass 32 hex digits")
	}
	all, err := s.host.Cause(r.Context(), id)
	if err != nil {
		return nil, err
	}
	return sliced(r, all)
}

func (s *Server) explain(r *http.Request, _ caller) (any, error) {
	id := r.PathValue("id")
	if len(id) > maxActorPath {
		return nil, invalid("id", "no id is that long")
	}
	e, err := s.host.Explain(r.Context(), id)
	if e.Because == nil {
		e.Because = []inspect.Because{}
	}
	return e, err
}

func (s *Server) history(r *http.Request, _ caller) (any, error) {
	address, err := canonicalAddress(r.URL.Query().Get("address"))
	if err != nil {
		return nil, err
	}
	samples, every, err := s.host.AppHistory(r.Context(), address)
	h := api.History{Address: address, Every: every.Microseconds(), Samples: []api.Sample{}}
	for _, x := range samples {
		h.Samples = append(h.Samples, api.Sample{At: x.At, Metrics: x.Metrics, Running: x.Running, Queued: x.Queued})
	}
	return h, err
}

func (s *Server) config(r *http.Request, _ caller) (any, error) {
	var all []api.Setting
	if s.opts.Settings != nil {
		all = s.opts.Settings()
	}
	return sliced(r, all)
}

// maxLog bounds what is looked through for one page of the log.
const maxLog = 100_000

// logPage returns the newest lines first, or those after a sequence in their order.
func (s *Server) logPage(r *http.Request, _ caller) (any, error) {
	f, err := findOf(r, "log")
	if err != nil {
		return nil, err
	}
	after, err := number(r, "after", 64)
	if err != nil {
		return nil, err
	}
	micros, err := natural(r, "wait_us")
	if err != nil {
		return nil, err
	}
	wait := time.Duration(min(micros, int(api.MaxWait.Microseconds()))) * time.Microsecond
	ctx, cancel := context.WithTimeout(r.Context(), wait+jsonTimeout)
	defer cancel()
	if f.after != "" {
		lines, dropped, err := s.host.LogLines(ctx, after, f.limit, wait)
		p := api.Page[inspect.LogLine]{Rows: append([]inspect.LogLine{}, query.Select(f.query, lines)...), Total: len(lines) + int(min(dropped, 1<<30)), At: now()}
		p.Matched = len(p.Rows)
		if len(lines) > 0 {
			p.Next = strconv.FormatUint(lines[len(lines)-1].Seq, 10)
		}
		return p, err
	}
	all, err := s.wholeLog(ctx)
	if err != nil {
		return nil, err
	}
	return newestFirst(f, all)
}

// wholeLog returns what the host still has of its log.
func (s *Server) wholeLog(ctx context.Context) (all []inspect.LogLine, err error) {
	for after := uint64(0); len(all) < maxLog; {
		lines, _, err := s.host.LogLines(ctx, after, api.MaxPage, 0)
		if err != nil {
			return nil, err
		}
		if len(lines) == 0 || lines[len(lines)-1].Seq <= after {
			break
		}
		all, after = append(all, lines...), lines[len(lines)-1].Seq
	}
	return all, nil
}

func newestFirst[T any](f find, all []T) (p api.Page[T], err error) {
	order, err := query.Order(f.query, all, f.sort)
	if err != nil {
		return p, err
	}
	if f.sort == "" {
		slices.Reverse(order)
	}
	p = api.Page[T]{Rows: []T{}, Matched: len(order), Total: len(all), At: now()}
	for _, i := range order[:min(f.limit, len(order))] {
		p.Rows = append(p.Rows, all[i])
	}
	return p, nil
}

// ownEntries leaves a confined caller its own entries.
func ownEntries(ctx context.Context, all []api.Audit) []api.Audit {
	if tenant, yes := confinedTo(ctx); yes {
		all = slices.DeleteFunc(all, func(a api.Audit) bool { return a.Caller != tenant })
	}
	return all
}

// auditPage returns the newest entries first, or those after a sequence in their order.
func (s *Server) auditPage(r *http.Request, _ caller) (any, error) {
	f, err := findOf(r, "audit")
	if err != nil {
		return nil, err
	}
	if f.after == "" {
		all, _ := s.audit.Newest(api.MaxPage)
		return newestFirst(f, ownEntries(r.Context(), all))
	}
	after, err := number(r, "after", 64)
	if err != nil {
		return nil, err
	}
	rows, lost, _ := s.audit.After(after, f.limit)
	p := api.Page[api.Audit]{Rows: []api.Audit{}, Total: len(rows) + int(min(lost, 1<<30)), At: now()}
	if len(rows) > 0 {
		p.Next = strconv.FormatUint(rows[len(rows)-1].Seq, 10)
	}
	p.Rows = append(p.Rows, query.Select(f.query, ownEntries(r.Context(), rows))...)
	p.Matched = len(p.Rows)
	return p, nil
}

// bytesOf streams what f writes. If f fails before it has written anything, that is the answer; later the connection breaks,
// so that nobody takes what came for the whole.
func (s *Server) bytesOf(what string, f func(context.Context, io.Writer) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if err := noBody(w, r); err != nil {
			s.fail(w, err)
			return
		}
		begun := &begun{w: patient{w, http.NewResponseController(w), s.opts.SlowReader}, header: w.Header()}
		err := f(r.Context(), begun)
		switch {
		case err != nil && begun.n == 0:
			begun.header.Del("Content-Type")
			s.fail(w, err)
		case err != nil:
			note(w, err)
			s.opts.Log.Warn().Err(err).Msg(what + " was not sent whole")
			panic(http.ErrAbortHandler)
		default:
			s.opts.Log.Info().Int64("bytes", begun.n).Str("tenant", callerOf(r).Tenant()).Msg(what + " sent")
		}
	}
}

type begun struct {
	w      io.Writer
	header http.Header
	n      int64
}

func (b *begun) Write(p []byte) (int, error) {
	if b.n == 0 {
		b.header.Set("Content-Type", api.TypeBytes)
	}
	n, err := b.w.Write(p)
	b.n += int64(n)
	return n, err
}
