package ingress

import (
	"context"
	"errors"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/troupehost/troupe/actors/fault"
)

// serveCommand runs a command as CGI has it: the body of the request is its input, its output begins with a header.
func (s *Server) serveCommand(x *exchange, app, target string) {
	m := x.adm.Manifest()
	out := &cgi{x: x}
	ctx, cancel := context.WithCancelCause(x.ctx)
	defer cancel(nil)
	// The run may take as long as its limits let it. It is only the head that is waited for no longer, and an upload is not waiting.
	patience := queryTime(m)
	var timer atomic.Pointer[time.Timer]
	timer.Store(time.AfterFunc(patience, func() {
		switch wait := x.patient(patience); {
		case wait < 0 || ctx.Err() != nil:
		case wait == 0:
			cancel(fault.New(fault.GuestNoReply, "run", "", nil))
		default:
			if t := timer.Load(); t != nil {
				t.Reset(wait)
			}
		}
	}))
	defer timer.Load().Stop()
	receipt, err := x.adm.Run(ctx, Run{Args: append([]string{app}, m.Args...), Env: env(x.r, m, app, target), Stdin: x.body, Stdout: out})
	x.leave()
	if err == nil {
		err = verdict(receipt)
	}
	switch {
	case out.err != nil && !errors.Is(out.err, fault.Canceled):
		err = out.err // why it was not let write on
	case err != nil && x.ctx.Err() == nil && ctx.Err() != nil:
		err = context.Cause(ctx)
	case err == nil && !x.began:
		err = badReply("there is no header")
	}
	if err != nil {
		x.fail(err)
		return
	}
	x.finish()
}

// cgi is the output of a command.
type cgi struct {
	x    *exchange
	head []byte // until it is complete
	err  error
}

func (c *cgi) Write(p []byte) (int, error) {
	c.x.writing.Lock()
	defer c.x.writing.Unlock()
	if c.x.left {
		return 0, errLeft
	}
	if c.err != nil {
		return 0, c.err
	}
	n, err := c.write(p)
	c.err = err
	return n, err
}

func (c *cgi) write(p []byte) (int, error) {
	if c.x.began {
		return c.x.push(p)
	}
	before := len(c.head)
	c.head = append(c.head, p[:min(len(p), maxHead+1-before)]...)
	head, rest, ok := cutHead(c.head)
	if !ok {
		if len(c.head) > maxHead {
			return 0, badReply("there is no end of the header within 64 KiB")
		}
		return len(p), nil
	}
	used := len(c.head) - len(rest) - before // of p, by the head
	status, h, err := parseCGI(head)
	if err != nil {
		return 0, err
	}
	c.head = nil
	if err := c.x.begin(status, h); err != nil {
		return 0, err
	}
	n, err := c.x.push(p[used:])
	return used + n, err
}

// parseCGI reads the header of a CGI response: one of Status, Location and Content-Type must be there.
func parseCGI(head []byte) (int, http.Header, error) {
	h, err := parseHeader(head)
	if err != nil {
		return 0, nil, badReply(err.Error())
	}
	status := http.StatusOK
	if len(h["Location"]) > 0 {
		status = http.StatusFound
	}
	switch v := h["Status"]; {
	case len(v) > 1:
		return 0, nil, badReply("there are two lines of Status")
	case len(v) == 1:
		n, ok := 0, false
		if len(v[0]) >= 3 && (len(v[0]) == 3 || v[0][3] == ' ') {
			n, ok = number([]byte(v[0][:3]))
		}
		if !ok || n < 200 || n > 599 {
			return 0, nil, badReply("a status must be between 200 and 599")
		}
		status = n
	case len(h["Location"]) == 0 && len(h["Content-Type"]) == 0:
		return 0, nil, badReply("the header has neither Status nor Location nor Content-Type")
	}
	if len(h["Transfer-Encoding"]) > 0 {
		return 0, nil, badReply("a command does not choose a transfer encoding")
	}
	return status, h, nil
}
