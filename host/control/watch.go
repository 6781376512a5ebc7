package control

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/actors/inspect/query"
	"github.com/troupehost/troupe/host/control/api"
)

const (
	minEvery     = 250 * time.Millisecond
	maxEvery     = time.Minute
	defaultEvery = time.Second
	maxWindow    = 10_000 // rows of a frame
	defaultRows  = 500
)

// sse writes server-sent events. What a caller does not take in time ends the stream; nothing piles up meanwhile, since the next
// event is made when the one before was taken.
type sse struct {
	mu   sync.Mutex
	w    http.ResponseWriter
	rc   *http.ResponseController
	slow time.Duration
	held *atomic.Int64 // bytes that all streams together have made and nobody has taken
	last time.Time
	err  error
}

// maxHeld is how many bytes may wait for readers. While there are more, who stalls is cut off within hasty.
const (
	maxHeld = 64 << 20
	hasty   = time.Second
)

func (s *Server) beginSSE(w http.ResponseWriter) *sse {
	w.Header().Set("Content-Type", api.TypeSSE)
	w.Header().Set("Connection", "close")
	w.WriteHeader(http.StatusOK)
	e := &sse{w: w, rc: http.NewResponseController(w), slow: s.opts.SlowStream, held: &s.held}
	_ = e.put([]byte(": hello\n\n"))
	return e
}

func (e *sse) put(b []byte) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.err != nil {
		return e.err
	}
	slow := e.slow
	if e.held.Add(int64(len(b))) > maxHeld {
		slow = min(slow, hasty)
	}
	defer e.held.Add(-int64(len(b)))
	_ = e.rc.SetWriteDeadline(time.Now().Add(slow))
	if _, e.err = e.w.Write(b); e.err == nil {
		e.err = e.rc.Flush()
	}
	e.last = time.Now()
	if e.err != nil {
		e.err = fault.New(fault.CanceledCaller, "stream", "", e.err)
	}
	return e.err
}

// event sends one event; JSON has no line breaks.
func (e *sse) event(kind, id string, v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return fault.New(fault.BugUnexpected, "encode event", "", err)
	}
	return e.text(kind, id, text)
}

// text sends one event, of which JSON is made already.
func (e *sse) text(kind, id string, text []byte) error {
	b := make([]byte, 0, len(text)+len(id)+32)
	if kind != "" {
		b = append(append(append(b, "event: "...), kind...), '\n')
	}
	if id != "" {
		b = append(append(append(b, "id: "...), id...), '\n')
	}
	b = append(append(append(b, "data: "...), text...), "\n\n"...)
	return e.put(b)
}

// beat says that the connection lives, if nothing else has said so.
func (e *sse) beat(every time.Duration) error {
	e.mu.Lock()
	idle := time.Since(e.last)
	e.mu.Unlock()
	if idle < every {
		return nil
	}
	return e.put([]byte(": still here\n\n"))
}

// room waits for a turn to make a frame: few are made at once, so that work of the host goes on beside them, and none while too
// much of what was made waits for readers, unless that lasts.
func (s *Server) room(ctx context.Context) (done func(), err error) {
	select {
	case s.making <- struct{}{}:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	t := time.NewTicker(hasty / 20)
	defer t.Stop()
	for range 10 {
		if s.held.Load() < maxHeld {
			break
		}
		select {
		case <-t.C:
		case <-ctx.Done():
			<-s.making
			return nil, context.Cause(ctx)
		}
	}
	return func() { <-s.making }, nil
}

// finish ends a stream in good order, or with what it failed of.
func (s *Server) finish(w http.ResponseWriter, e *sse, err error) {
	if err == nil {
		_ = e.event(api.EventEnd, "", struct{}{})
		return
	}
	note(w, err)
	_ = e.event(api.EventError, "", api.Failure{Error: api.ErrorOf(err)})
}

// mark is where a stream is: the boot of the host, and a number.
func mark(boot string, n uint64) string { return boot + "-" + strconv.FormatUint(n, 10) }

// resumes reads the mark that a caller has seen last, if it is of this boot.
func resumes(r *http.Request, boot string) (uint64, bool) {
	text := r.Header.Get("Last-Event-ID")
	i := strings.LastIndexByte(text, '-')
	if i < 0 || text[:i] != boot {
		return 0, false
	}
	n, err := strconv.ParseUint(text[i+1:], 10, 64)
	return n, err == nil
}

// watchOf reads what a caller wants to watch.
func watchOf(r *http.Request) (view string, f find, every time.Duration, err error) {
	view = r.PathValue("view")
	if !slices.Contains(api.Views, view) {
		return view, f, 0, fault.New(fault.CallerNotFound, "view", fault.Quote(view), nil).WithHint("the views are " + strings.Join(api.Views, ", "))
	}
	if f, err = findOf(r, view); err != nil {
		return view, f, 0, err
	}
	if r.URL.Query().Get("limit") == "" {
		f.limit = defaultRows
	}
	f.limit = min(f.limit, maxWindow)
	micros, err := natural(r, "every_us")
	every = time.Duration(min(micros, int(maxEvery.Microseconds()))) * time.Microsecond
	if every == 0 {
		every = defaultEvery
	}
	return view, f, max(every, minEvery), err
}

func (s *Server) watchView(w http.ResponseWriter, r *http.Request) {
	err := noBody(w, r)
	var (
		view  string
		f     find
		every time.Duration
	)
	if err == nil {
		view, f, every, err = watchOf(r)
	}
	if err == nil && f.sort != "" {
		_, err = query.Order[struct{}](f.query, nil, f.sort)
	}
	if err != nil {
		s.fail(w, err)
		return
	}
	done := s.views.watch()
	defer done()
	out := s.beginSSE(w)
	switch view {
	case "log":
		err = s.follow(r, out, f, every, s.logSource())
	case "audit":
		err = s.follow(r, out, f, every, s.auditSource())
	default:
		err = s.frames(r, out, s.views.by[view], f, every)
	}
	s.finish(w, out, err)
}

// wait waits for the next look. It reports false when the stream is to end in good order, and fails if the caller may no longer do
// what it could when the stream began.
func (s *Server) wait(ctx context.Context, r *http.Request, out *sse, every time.Duration) (bool, error) {
	t := time.NewTimer(every)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false, context.Cause(ctx)
	case <-s.views.stopped:
		return false, nil
	case <-t.C:
	}
	if err := s.still(r); err != nil {
		return false, err
	}
	return true, out.beat(s.opts.Heartbeat)
}

// still fails when a caller is no longer who it was, or has other rights: a token was taken back, or has expired.
func (s *Server) still(r *http.Request) error {
	was := visitOf(r.Context()).caller
	c, err := s.identify(r)
	if err == nil && (c.Tenant() != was.Tenant() || !slices.Equal(c.rights, was.rights)) {
		err = denied(was.Tenant()+" has other rights now", "connect again")
	}
	return err
}

// anew is the context of one look: what belongs to the caller is looked up again each time.
func anew(r *http.Request) context.Context {
	v := visitOf(r.Context())
	return context.WithValue(r.Context(), visitKey{}, &visit{caller: v.caller, spec: v.spec})
}

// frames sends all rows at first, and later those that have changed. A caller that is slow gets fewer frames, each up to date.
func (s *Server) frames(r *http.Request, out *sse, l lister, f find, every time.Duration) error {
	boot := s.host.Boot()
	seq, _ := resumes(r, boot) // what the caller knows is not known here: it gets all, under a later id
	p := l.open(r.Context(), f)
	defer p.close()
	var seen *window
	for {
		done, err := s.room(r.Context())
		if err != nil {
			return err
		}
		w, err := p.look(anew(r))
		var text []byte
		if err == nil && w != seen {
			text, err = w.since(seen)
		}
		done()
		if err != nil {
			return err
		}
		if text != nil {
			seq++
			if err := out.text("", mark(boot, seq), text); err != nil {
				return err
			}
		}
		seen = w
		if goOn, err := s.wait(r.Context(), r, out, s.untilNext(every)); !goOn || err != nil {
			return err
		}
	}
}

// untilNext is how long it is until the next of the moments at which all look who look so often: one look does for all of them.
func (s *Server) untilNext(every time.Duration) time.Duration {
	return every - time.Since(s.began)%every
}

// source is a log that is only ever added to.
type source struct {
	newest func(ctx context.Context, f find) (rows []api.Row, last uint64, total int, err error)
	after  func(ctx context.Context, seq uint64, f find, wait time.Duration) (rows []api.Row, last uint64, lost uint64, err error)
}

// maxBatch bounds one frame of a log.
const maxBatch = 1000

// follow sends what a log has, or what came after the line that the caller has seen last, and then each new line. What was
// overtaken before it could be sent is counted.
func (s *Server) follow(r *http.Request, out *sse, f find, every time.Duration, src source) error {
	boot := s.host.Boot()
	seq, known := resumes(r, boot)
	var dropped uint64
	total := 0
	if !known {
		done, err := s.room(r.Context())
		if err != nil {
			return err
		}
		rows, last, n, err := src.newest(anew(r), f)
		done()
		if err != nil {
			return err
		}
		frame := api.Frame{Full: true, Rows: rows, Matched: len(rows), Total: n, Boot: boot, At: now(), View: viewOf(r)}
		for _, row := range rows {
			frame.Order = append(frame.Order, row.ID)
		}
		if err := out.event("", mark(boot, last), frame); err != nil {
			return err
		}
		seq, total = last, n
	}
	for {
		rows, last, lost, err := src.after(anew(r), seq, f, every)
		if err != nil {
			return err
		}
		if last > seq || lost > 0 {
			dropped += lost
			total += len(rows)
			seq = max(seq, last)
			if len(rows) > 0 || lost > 0 {
				frame := api.Frame{Rows: rows, Matched: len(rows), Total: total, Dropped: dropped, Boot: boot, At: now(), View: viewOf(r)}
				if err := out.event("", mark(boot, seq), frame); err != nil {
					return err
				}
			}
		}
		if goOn, err := s.wait(r.Context(), r, out, minEvery); !goOn || err != nil {
			return err
		}
	}
}

func viewOf(r *http.Request) string { return r.PathValue("view") }

// rowsOf makes rows of those that match.
func rowsOf[T any](view string, f find, all []T) (out []api.Row) {
	q := f.query.At(time.Now())
	for i := range all {
		if !q.Match(&all[i]) {
			continue
		}
		if text, err := json.Marshal(&all[i]); err == nil {
			out = append(out, api.Row{ID: query.ID(view, &all[i]), Row: text})
		}
	}
	return out
}

func (s *Server) logSource() source {
	return source{
		newest: func(ctx context.Context, f find) ([]api.Row, uint64, int, error) {
			all, err := s.wholeLog(ctx)
			if err != nil || len(all) == 0 {
				return nil, 0, 0, err
			}
			rows := rowsOf("log", f, all)
			return rows[max(0, len(rows)-f.limit):], all[len(all)-1].Seq, len(all), nil
		},
		after: func(ctx context.Context, seq uint64, f find, wait time.Duration) ([]api.Row, uint64, uint64, error) {
			lines, lost, err := s.host.LogLines(ctx, seq, maxBatch, wait)
			if err != nil || len(lines) == 0 {
				return nil, seq, lost, err
			}
			return rowsOf("log", f, lines), lines[len(lines)-1].Seq, lost, nil
		},
	}
}

func (s *Server) auditSource() source {
	return source{
		newest: func(ctx context.Context, f find) ([]api.Row, uint64, int, error) {
			all, last := s.audit.Newest(api.MaxPage)
			all = ownEntries(ctx, all)
			rows := rowsOf("audit", f, all)
			return rows[max(0, len(rows)-f.limit):], last, len(all), nil
		},
		after: func(ctx context.Context, seq uint64, f find, wait time.Duration) ([]api.Row, uint64, uint64, error) {
			all, lost, news := s.audit.After(seq, maxBatch)
			if len(all) == 0 {
				t := time.NewTimer(wait)
				defer t.Stop()
				select {
				case <-news:
				case <-t.C:
				case <-s.views.stopped:
				case <-ctx.Done():
				}
				return nil, seq, 0, nil
			}
			last := all[len(all)-1].Seq
			return rowsOf("audit", f, ownEntries(ctx, all)), last, lost, nil
		},
	}
}

// filterOf reads the parameters of RouteTrace.
func filterOf(r *http.Request) (f inspect.TraceFilter, err error) {
	q := r.URL.Query()
	f.Actor, f.Kind, f.Type, f.Cause = q.Get("actor"), q.Get("kind"), q.Get("type"), strings.ToLower(q.Get("cause"))
	for _, text := range []string{f.Actor, f.Kind, f.Type, f.Cause} {
		if len(text) > maxActorPath {
			return f, invalid("filter", "no name is that long")
		}
	}
	if f.Cause != "" && (len(f.Cause) != 32 || strings.Trim(f.Cause, "0123456789abcdef") != "") {
		return f, invalid("cause "+fault.Quote(f.Cause), "pass 32 hex digits")
	}
	for name, to := range map[string]*int64{"min_us": &f.MinMicros, "for_us": &f.ForMicros} {
		n, err := natural(r, name)
		if err != nil {
			return f, err
		}
		*to = int64(n)
	}
	for name, to := range map[string]*int{"rows": &f.Rows, "sample_n": &f.Sample} {
		if *to, err = natural(r, name); err != nil {
			return f, err
		}
	}
	f.Refused = q.Get("refused") == "true"
	switch {
	case f.Rows > 100_000:
		return f, invalid("rows", "a trace has at most 100,000")
	case f.ForMicros > time.Hour.Microseconds():
		return f, invalid("for_us", "a trace lasts an hour at most")
	case f.MinMicros > time.Hour.Microseconds():
		return f, invalid("min_us", "no message takes that long")
	}
	return f, nil
}

// trace streams messages as they are handled. What the caller is too slow for is dropped by the host, and counted.
func (s *Server) trace(w http.ResponseWriter, r *http.Request) {
	err := noBody(w, r)
	var f inspect.TraceFilter
	if err == nil {
		f, err = filterOf(r)
	}
	if err != nil {
		s.fail(w, err)
		return
	}
	done := s.views.watch()
	defer done()
	ctx, cancel := context.WithCancelCause(r.Context())
	defer cancel(nil)
	out := s.beginSSE(w)
	var beats sync.WaitGroup
	beats.Go(func() {
		for {
			goOn, err := s.wait(ctx, r, out, s.opts.Heartbeat)
			if err != nil || !goOn {
				cancel(err)
				return
			}
		}
	})
	boot, n := s.host.Boot(), uint64(0)
	err = s.host.Trace(ctx, f, func(t inspect.Trace) error {
		n++
		return out.event("", mark(boot, n), t)
	})
	select {
	case <-s.views.stopped:
		err = nil
	default:
	}
	cancel(nil)
	beats.Wait()
	s.finish(w, out, err)
}
