package control

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/artifacts"
	"github.com/troupehost/troupe/host/control/api"
)

func (s *Server) execute(w http.ResponseWriter, r *http.Request) {
	var a api.Execute
	f, ok := s.begin(w, r, &a, false)
	if !ok {
		return
	}
	req, err := runRequest(a, f, callerOf(r).Tenant())
	if err != nil {
		s.refuse(w, r, err)
		return
	}
	if err := pass(r.Context(), req.CodeHash); err != nil { // before anything of the stream is sent
		s.refuse(w, r, err)
		return
	}
	var pumps sync.WaitGroup
	defer pumps.Wait() // at the latest when the body is closed by lingering
	watch := watch{stages: a.Progress, code: codeHash(a.CodeHash, f.code)}
	s.stream(w, r, watch, req.Limits.WithDefaults().Wall, func(ctx context.Context, out *events) api.Event {
		if !a.Capture {
			req.Stdout, req.Stderr = stdout{out}, stderr{out}
		}
		if f.stdin != nil {
			in := pumpStdin(f.stdin, out, &pumps)
			defer in.Close()
			req.Stdin = in
		}
		receipt, err := s.host.Execute(ctx, req)
		if err != nil {
			return api.Event{Error: new(api.ErrorOf(err))}
		}
		return api.Event{Receipt: &receipt}
	})
}

func (s *Server) precheck(w http.ResponseWriter, r *http.Request) {
	var a api.Code
	f, ok := s.begin(w, r, &a, false)
	if !ok {
		return
	}
	req, err := codeRequest(a, f, callerOf(r).Tenant())
	if err != nil {
		s.refuse(w, r, err)
		return
	}
	if err := pass(r.Context(), req.CodeHash); err != nil {
		s.refuse(w, r, err)
		return
	}
	watch := watch{stages: a.Progress, code: codeHash(a.CodeHash, f.code)}
	s.stream(w, r, watch, 0, func(ctx context.Context, _ *events) api.Event {
		j, err := s.host.Precheck(ctx, req)
		if err != nil {
			return api.Event{Error: new(api.ErrorOf(err))}
		}
		return api.Event{Judgement: new(api.Judgement(j))}
	})
}

func (s *Server) headsUp(w http.ResponseWriter, r *http.Request) {
	var a api.Code
	f, ok := s.begin(w, r, &a, false)
	if !ok {
		return
	}
	req, err := codeRequest(a, f, callerOf(r).Tenant())
	if err == nil {
		err = s.host.HeadsUp(r.Context(), req)
	}
	if err != nil {
		s.refuse(w, r, err)
		return
	}
	s.reply(w, http.StatusAccepted, api.Done{State: "announced", At: now()})
}

// begin reads the form, whole or up to stdin; if that fails it answers and reports false.
func (s *Server) begin(w http.ResponseWriter, r *http.Request, request any, whole bool) (form, bool) {
	w.Header().Set("Connection", "close")
	f, err := s.readForm(w, r, request, whole)
	if err != nil {
		s.refuse(w, r, err)
		return f, false
	}
	return f, true
}

// refuse answers while the caller may still be sending.
func (s *Server) refuse(w http.ResponseWriter, r *http.Request, err error) {
	s.fail(w, err)
	_ = http.NewResponseController(w).Flush()
	linger(w, r)
}

// linger waits until the caller hangs up. Closing a Unix socket with unread data would reset the connection, and the
// caller might lose the reply.
func linger(w http.ResponseWriter, r *http.Request) {
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(lingerTimeout))
	_, _ = io.Copy(io.Discard, r.Body)
}

// watch says what progress events tell.
type watch struct {
	stages bool
	code   string
}

// stream carries out work while events flow. The request ends when work does, and work is cancelled when the caller
// leaves, which shows by a failing write.
func (s *Server) stream(w http.ResponseWriter, r *http.Request, watch watch, wall time.Duration, work func(context.Context, *events) api.Event) {
	ctx, cancel := context.WithCancelCause(r.Context())
	defer cancel(nil)
	out := &events{w: w, rc: http.NewResponseController(w), cancel: cancel}
	out.allow(max(s.opts.SlowReader, wall))
	w.Header().Set("Content-Type", api.TypeEvents)
	w.WriteHeader(http.StatusOK)
	_ = out.rc.Flush() // a failure shows with the first event

	beating, stop := context.WithCancel(ctx)
	var beats sync.WaitGroup
	beats.Go(func() { s.beat(beating, out, watch) })
	last := work(ctx, out)
	out.allow(s.opts.SlowReader) // no limit of the run counts any more
	stop()
	beats.Wait()
	if last.Error != nil {
		note(w, last.Error.Fault())
	}
	_ = out.end(last) // a caller that left needs no end
	linger(w, r)
}

// beat sends progress until ctx ends.
func (s *Server) beat(ctx context.Context, out *events, watch watch) {
	every := s.opts.Beat
	if watch.stages {
		every /= 5
	}
	start := time.Now()
	t := time.NewTicker(every)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		p := api.Progress{ElapsedMicros: time.Since(start).Microseconds()}
		if watch.stages {
			p.Stage = s.stage(ctx, watch.code)
		}
		if ctx.Err() != nil || out.send(api.Event{Progress: &p}) != nil {
			return
		}
	}
}

// stage tells what a run of this code waits for.
func (s *Server) stage(ctx context.Context, code string) string {
	h, err := s.host.Overview(ctx)
	if err != nil {
		return ""
	}
	for _, a := range h.Artifacts {
		if a.CodeHash == code && a.State == artifacts.Preparing.String() {
			return api.StagePreparing
		}
	}
	return api.StageRunning
}

func codeHash(named string, code []byte) string {
	if named != "" {
		return named
	}
	return artifacts.HashCode(code).String()
}

// events writes one event per line. After the first failed write it refuses everything, and the work is cancelled.
type events struct {
	w      io.Writer
	rc     *http.ResponseController
	cancel context.CancelCauseFunc

	pace sync.Mutex
	slow time.Duration // for the caller to take one event

	mu  sync.Mutex
	err error
}

// allow sets how long the caller may take for one event from now on, the one under way included.
func (e *events) allow(slow time.Duration) {
	e.pace.Lock()
	defer e.pace.Unlock()
	e.slow = slow
	_ = e.rc.SetWriteDeadline(time.Now().Add(slow))
}

// begin starts the time of one event.
func (e *events) begin() {
	e.pace.Lock()
	defer e.pace.Unlock()
	_ = e.rc.SetWriteDeadline(time.Now().Add(e.slow))
}

// errEnded refuses what a run has left behind: after the request its writer must not be touched.
var errEnded = fault.New(fault.CanceledCaller, "control", "the request is over", nil)

func (e *events) send(ev api.Event) error { return e.put(ev, nil) }

// end sends the last event.
func (e *events) end(ev api.Event) error { return e.put(ev, errEnded) }

// put sends an event, and refuses whatever follows with after, if that is not nil.
func (e *events) put(ev api.Event, after error) error {
	line, err := json.Marshal(ev)
	if err != nil {
		return fault.New(fault.BugUnexpected, "encode event", "", err)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.err != nil {
		return e.err
	}
	defer func() { e.err = cmp.Or(e.err, after) }()
	e.begin()
	if _, err = e.w.Write(append(line, '\n')); err == nil {
		err = e.rc.Flush()
	}
	if err != nil {
		e.err = fault.New(fault.CanceledCaller, "control", "", err)
		e.cancel(e.err)
	}
	return e.err
}

// chunks calls send with pieces of p of bounded size.
func chunks(p []byte, send func([]byte) error) (int, error) {
	for done := 0; done < len(p); {
		n := min(len(p)-done, api.MaxChunkBytes)
		if err := send(p[done : done+n]); err != nil {
			return done, err
		}
		done += n
	}
	return len(p), nil
}

type stdout struct{ out *events }

func (o stdout) Write(p []byte) (int, error) {
	return chunks(p, func(c []byte) error { return o.out.send(api.Event{Stdout: c}) })
}

type stderr struct{ out *events }

func (o stderr) Write(p []byte) (int, error) {
	return chunks(p, func(c []byte) error { return o.out.send(api.Event{Stderr: c}) })
}

// stdin asks the caller for input when the guest first reads, so that a guest that never reads takes nothing from a
// terminal or from the loop of a shell script. One chunk is read ahead, which shows at once when the caller leaves.
type stdin struct {
	*io.PipeReader
	ask func() error
}

// pumpStdin moves part into the returned reader until the reader is closed or the body ends. Breaking off is leaving.
func pumpStdin(part io.Reader, out *events, pumps *sync.WaitGroup) *stdin {
	r, w := io.Pipe()
	pumps.Go(func() {
		_, err := io.CopyBuffer(w, part, make([]byte, api.MaxChunkBytes))
		if err != nil && !errors.Is(err, io.ErrClosedPipe) {
			err = fault.New(fault.CanceledCaller, "stdin", "", err)
			out.cancel(err)
		}
		_ = w.CloseWithError(err)
	})
	return &stdin{r, sync.OnceValue(func() error { return out.send(api.Event{WantStdin: true}) })}
}

func (i *stdin) Read(p []byte) (int, error) {
	if err := i.ask(); err != nil {
		return 0, err
	}
	return i.PipeReader.Read(p)
}
