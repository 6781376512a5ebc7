package client

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"mime/multipart"
	"sync"
	"time"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/host/control/api"
)

// Streams is what flows during a call. Nil fields are left out.
type Streams struct {
	Code     []byte
	Input    []byte
	Stdin    io.Reader // read only once the guest reads; a Read that blocks when the call ends is abandoned. If it fails, so does the call
	Stdout   io.Writer // its first error cancels the run and is returned
	Stderr   io.Writer
	Progress func(api.Progress) // called in the order of the events
}

// Execute runs code and returns its receipt.
func (c *Client) Execute(ctx context.Context, req api.Execute, s Streams) (run.Receipt, error) {
	req.Progress = s.Progress != nil
	last, err := c.stream(ctx, api.RouteExecute, req, s)
	if err == nil && last.Receipt == nil {
		err = fault.New(fault.BugProtocol, "execute", "no receipt", nil)
	}
	if err != nil {
		return run.Receipt{}, err
	}
	return *last.Receipt, nil
}

// Precheck judges code.
func (c *Client) Precheck(ctx context.Context, req api.Code, s Streams) (api.Judgement, error) {
	req.Progress = s.Progress != nil
	last, err := c.stream(ctx, api.RouteCheck, req, s)
	if err == nil && last.Judgement == nil {
		err = fault.New(fault.BugProtocol, "precheck", "no judgement", nil)
	}
	if err != nil {
		return api.Judgement{}, err
	}
	return *last.Judgement, nil
}

// HeadsUp announces code.
func (c *Client) HeadsUp(ctx context.Context, req api.Code, code []byte) error {
	return c.send(ctx, api.RouteHeadsUp, req, Streams{Code: code}, nil)
}

// send posts a form that nobody reads from while work goes on, and decodes the reply into v, unless v is nil.
func (c *Client) send(ctx context.Context, route string, req any, s Streams, v any) error {
	return c.within(ctx, c.timeout+formTime, func(ctx context.Context) error {
		body := newBody(ctx, req, s)
		defer body.Close()
		body.want()
		return c.exchange(ctx, route, "", nil, body.kind, body, v)
	})
}

// formTime is what a host gives its callers to send a form.
const formTime = time.Minute

func (c *Client) stream(ctx context.Context, route string, req any, s Streams) (api.Event, error) {
	sending, cancel := context.WithCancel(ctx)
	defer cancel()
	body := newBody(sending, req, s)
	defer body.Close()
	resp, err := c.do(ctx, route, "", nil, body.kind, body)
	if err != nil {
		return api.Event{}, cmp.Or(body.stdin.fault(), err)
	}
	defer resp.Body.Close() // before the body is closed, this hangs up, which cancels the work if it still runs
	for dec := json.NewDecoder(resp.Body); ; {
		var ev api.Event
		if err := dec.Decode(&ev); err != nil {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return api.Event{}, cmp.Or(body.stdin.fault(), lost(ctx, err))
		}
		switch {
		case ev.Error != nil:
			return api.Event{}, cmp.Or(body.stdin.fault(), error(ev.Error.Fault()))
		case ev.Receipt != nil, ev.Judgement != nil:
			return ev, nil
		case ev.WantStdin:
			body.want()
		case ev.Stdout != nil && s.Stdout != nil:
			_, err = s.Stdout.Write(ev.Stdout)
		case ev.Stderr != nil && s.Stderr != nil:
			_, err = s.Stderr.Write(ev.Stderr)
		case ev.Progress != nil && s.Progress != nil:
			s.Progress(*ev.Progress)
		}
		if err != nil {
			return api.Event{}, err
		}
	}
}

// body is a request form that is written while it is read.
type body struct {
	*io.PipeReader
	kind  string
	want  func() // lets stdin flow
	stdin *source
}

// source is stdin, and remembers why it could not be read: the connection breaks then, which is not the host's fault.
type source struct {
	io.Reader
	name string // default: stdin
	mu   sync.Mutex
	err  error
}

func (s *source) Read(p []byte) (int, error) {
	n, err := s.Reader.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.err = err
	}
	return n, err
}

// fault returns nil, or the failed read as the caller's fault.
func (s *source) fault() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		return nil
	}
	err := s.err
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		err = p.Err // without the name that our side gave it
	}
	return fault.New(fault.CallerInvalid, "read", cmp.Or(s.name, "stdin"), err).WithHint("let it be a file, a pipe or a terminal")
}

func newBody(ctx context.Context, req any, s Streams) *body {
	r, w := io.Pipe()
	form := multipart.NewWriter(w)
	wanted := make(chan struct{})
	stdin := &source{Reader: s.Stdin}
	if s.Stdin != nil {
		s.Stdin = stdin
	}
	go func() { _ = w.CloseWithError(writeForm(ctx, form, req, s, wanted)) }()
	return &body{PipeReader: r, kind: form.FormDataContentType(), want: sync.OnceFunc(func() { close(wanted) }), stdin: stdin}
}

func writeForm(ctx context.Context, form *multipart.Writer, req any, s Streams, wanted <-chan struct{}) error {
	text, err := json.Marshal(req)
	if err != nil {
		return fault.New(fault.BugUnexpected, "encode request", "", err)
	}
	for _, p := range []struct {
		name  string
		bytes []byte
	}{{api.PartRequest, text}, {api.PartCode, s.Code}, {api.PartInput, s.Input}} {
		if p.bytes == nil {
			continue
		}
		part, err := form.CreateFormField(p.name)
		if err != nil {
			return err
		}
		if _, err := part.Write(p.bytes); err != nil {
			return err
		}
	}
	if s.Stdin != nil {
		part, err := form.CreateFormField(api.PartStdin)
		if err != nil {
			return err
		}
		select {
		case <-wanted:
		case <-ctx.Done():
			return ctx.Err()
		}
		if _, err := io.Copy(part, s.Stdin); err != nil {
			return err
		}
	}
	return form.Close()
}
