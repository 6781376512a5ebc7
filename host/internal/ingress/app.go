package ingress

import (
	"context"
	"encoding/hex"
	"fmt"
	"net/http"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/artifacts/manifest"
	"github.com/troupehost/troupe/host/abi"
)

// ServeHTTP implements http.Handler, under ServeHTTPOn, whose requests end with the server.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x, done := s.start(w, r)
	defer done()
	defer func() {
		if v := recover(); v != nil {
			if v != http.ErrAbortHandler {
				s.report(fault.New(fault.BugPanic, "serve HTTP", "", nil).WithHint(fault.Quote(string(debug.Stack()))))
			}
			panic(http.ErrAbortHandler)
		}
	}()
	if !s.enter() {
		x.fail(fault.New(fault.CallerClosed, "serve HTTP", "", nil))
		return
	}
	defer s.under.Done()
	select {
	case s.requests <- struct{}{}:
		x.place = sync.OnceFunc(func() { <-s.requests })
		defer x.place()
	default:
		x.fail(fault.New(fault.BusyQueueFull, "serve HTTP", "", nil))
		return
	}
	switch path := x.target; {
	case strings.HasPrefix(path, appPrefix):
		s.serveApp(x)
	case strings.HasPrefix(path, queryPrefix):
		s.serveQuery(x)
	case path == "/sealed" && s.cfg.Open != nil:
		s.serveSealed(x)
	case path == "/info" && s.cfg.Info != nil:
		s.serveInfo(x)
	default:
		x.fail(fault.New(fault.CallerNotFound, "serve HTTP", fault.Quote(path), nil).WithHint("apps are at /app/ADDRESS/"))
	}
}

// parseTarget takes the address of an app from a target, behind a prefix. rest begins with "/", or is "" or "?...".
func parseTarget(target, prefix string) (app manifest.Address, rest string, err error) {
	const digits = 2 * len(app)
	s := target[len(prefix):]
	if len(s) >= digits {
		var b [2 * len(app)]byte
		copy(b[:], s)
		if _, err := hex.Decode(app[:], b[:]); err == nil {
			if rest = s[digits:]; rest == "" || rest[0] == '/' || rest[0] == '?' {
				return app, rest, nil
			}
		}
	}
	return app, "", fault.New(fault.CallerNotFound, "find an app", fault.Quote(s), nil).WithHint("an address has 64 hex digits")
}

// queryTime is how long an app may take to answer.
func queryTime(m *manifest.Manifest) time.Duration {
	if m.Terms != nil && m.Terms.QueryTimeout > 0 {
		return m.Terms.QueryTimeout
	}
	return 10 * time.Second
}

func (s *Server) serveApp(x *exchange) {
	app, rest, err := parseTarget(x.target, appPrefix)
	if err != nil {
		x.fail(err)
		return
	}
	switch {
	case x.r.Method == http.MethodConnect || x.r.Method == http.MethodTrace:
		x.fail(fault.New(fault.CallerInvalid, "serve HTTP", fault.Quote(x.r.Method), nil).WithHint("this method is not for apps"))
		return
	case rest == "" || rest[0] == '?':
		rest = "/" + rest
	}
	adm, err := s.cfg.Apps.Admit(x.ctx, app, abi.EventHTTP)
	if err != nil {
		x.fail(err)
		return
	}
	x.adm = adm // done leaves it, if nobody did before
	x.bytes.in.Add(AcceptBytes)
	m := adm.Manifest()
	if m.Terms != nil && !m.Terms.Grants.HTTP {
		x.fail(fault.New(fault.CallerDenied, "serve HTTP", "", nil).WithHint("the manifest of the app does not grant it HTTP"))
		return
	}
	name := hex.EncodeToString(app[:])
	if adm.Entry() != manifest.Handler && x.r.ContentLength > s.lim.MaxBodyBytes {
		x.fail(bodyTooLarge(s.lim.MaxBodyBytes, "send less, in several requests"))
		return
	}
	switch adm.Entry() {
	case manifest.Handler:
		s.serveHandler(x, name, rest)
	case manifest.Command:
		x.limit()
		s.serveCommand(x, name, rest)
	default:
		x.limit()
		s.serveService(x, name, rest)
	}
}

// serveHandler gives a handler the whole request, and takes the whole response.
func (s *Server) serveHandler(x *exchange, app, target string) {
	m := x.adm.Manifest()
	in, received := buffer(), buffer()
	defer release(received)
	most := min(int64(m.MaxQueryBytes), s.lim.MaxBodyBytes)
	if err := x.readAll(received, most); err != nil {
		if fault.CodeOf(err) == fault.CallerParamsTooBig {
			err = bodyTooLarge(most, "a handler is given what max_query_size in its manifest allows")
		}
		x.fail(err)
		return
	}
	*in = append(appendHead((*in)[:0], x.r, app, target, int64(len(*received)), ""), *received...)
	ctx, cancel := context.WithTimeout(x.ctx, queryTime(m))
	defer cancel()
	receipt, err := x.adm.Run(ctx, Run{Export: "http", Input: *in})
	if err == nil {
		release(in) // after a failure somebody may still look at it: it must never hold the request of another
		err = verdict(receipt)
	}
	if err != nil {
		x.fail(late(x, err))
		return
	}
	status, h, body, err := parseResponse(receipt.Result, x.r.Method == http.MethodHead)
	if err != nil {
		x.fail(err)
		return
	}
	x.length = int64(len(body))
	x.whole(status, h, body)
}

func bodyTooLarge(most int64, hint string) error {
	return fault.New(fault.CallerParamsTooBig, "read a request", "", fmt.Errorf("its body has more than %d bytes", most)).WithHint(hint)
}

// late says of a deadline that it was the app's, if it was not the client's.
func late(x *exchange, err error) error {
	if f := fault.From(err); f.Code == fault.CanceledDeadline && x.ctx.Err() == nil {
		return fault.New(fault.GuestNoReply, "run", "", nil)
	}
	return err
}

// parseResponse reads a whole response.
func parseResponse(b []byte, head bool) (status int, h http.Header, body []byte, err error) {
	top, body, ok := cutHead(b[:min(len(b), maxHead)])
	if !ok {
		return 0, nil, nil, badReply("there is no end of a head within 64 KiB")
	}
	body = b[len(b[:min(len(b), maxHead)])-len(body):]
	line, lines := cutLine(top)
	if len(line) < 12 || string(line[:7]) != "HTTP/1." || line[8] != ' ' || len(line) > 12 && line[12] != ' ' {
		return 0, nil, nil, badReply("it does not begin with a status line of HTTP/1.1")
	}
	if status, ok = number(line[9:12]); !ok || status < 200 || status > 599 {
		return 0, nil, nil, badReply("a status must be between 200 and 599")
	}
	if h, err = parseHeader(lines); err != nil {
		return 0, nil, nil, badReply(err.Error())
	}
	n, err := length(h)
	if err != nil {
		return 0, nil, nil, badReply(err.Error())
	}
	if h["Transfer-Encoding"] != nil {
		if n >= 0 {
			return 0, nil, nil, badReply("it has two lengths")
		}
		if body, err = dechunk(h["Transfer-Encoding"], body); err != nil {
			return 0, nil, nil, err
		}
	} else if n >= 0 && n != int64(len(body)) && !(head && len(body) == 0) {
		return 0, nil, nil, badReply("the body is not as long as its Content-Length says")
	}
	clean(h)
	return status, h, body, nil
}
