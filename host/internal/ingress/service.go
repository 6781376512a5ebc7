package ingress

import (
	"context"
	"net/http"
	"sync"
	"time"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/meter"
	"github.com/troupehost/troupe/host/abi"
	"github.com/troupehost/troupe/host/internal/calls"
)

// service is a request in the hands of a service. It implements calls.Responder.
type service struct {
	x       *exchange
	decided chan struct{} // closed when the app has begun to respond
	stream  *stream       // set before decided is closed: the connection is the app's

	once sync.Once
	done chan struct{}
	why  error // once done is closed
}

func (s *Server) serveService(x *exchange, app, target string) {
	v := &service{x: x, decided: make(chan struct{}), done: make(chan struct{})}
	e := calls.Event{Kind: abi.EventHTTP, Head: appendHead(nil, x.r, app, target, x.r.ContentLength, x.up), Body: x.body, Out: v}
	if x.up != "" {
		e.Body = &waits{v: v, closed: make(chan struct{})}
	}
	if err := x.adm.Deliver(x.ctx, e); err != nil {
		x.fail(err)
		return
	}
	err := v.wait()
	x.leave()
	switch {
	case v.stream != nil:
		x.place() // a stream is one of Limits.MaxConns from now on
		v.stream.wait(x.ctx)
		v.stream.stop()
		if err := x.settle(); err != nil {
			s.report(err)
		}
		_ = v.stream.conn.Close()
	case err != nil:
		if fault.CodeOf(err) == fault.GuestNoReply {
			x.adm.NoReply()
		}
		x.fail(err)
	default:
		x.finish()
	}
}

// wait returns when the response is over, or the connection is the app's.
func (v *service) wait() error {
	x := v.x
	patience := queryTime(x.adm.Manifest())
	timer := time.NewTimer(patience)
	defer timer.Stop()
	upgraded := v.decided
	for {
		select {
		case <-v.done:
			return v.why
		case <-upgraded:
			if v.stream != nil {
				return nil
			}
			upgraded = nil
		case <-x.ctx.Done():
			return context.Cause(x.ctx)
		case <-timer.C:
			switch wait := x.patient(patience); {
			case wait == 0:
				return fault.New(fault.GuestNoReply, "serve HTTP", "", nil)
			case wait > 0:
				timer.Reset(wait)
			}
		}
	}
}

// Respond implements calls.Responder.
func (v *service) Respond(status int, header []byte) error {
	x := v.x
	x.writing.Lock()
	defer x.writing.Unlock()
	if x.left {
		return errLeft
	}
	h, err := parseHeader(header)
	if err != nil {
		return badReply(err.Error())
	}
	if h["Transfer-Encoding"] != nil {
		return badReply("an app does not choose a transfer encoding")
	}
	if status == http.StatusSwitchingProtocols {
		err = v.upgrade(h)
	} else {
		err = x.begin(status, h)
	}
	if err == nil {
		close(v.decided)
	}
	return err
}

// upgrade takes the connection out of HTTP.
func (v *service) upgrade(h http.Header) error {
	x := v.x
	if x.up == "" || x.began {
		return badReply("the client did not ask for an upgrade, or was answered already")
	}
	if len(h["Content-Length"]) > 0 {
		return badReply("an upgrade has no body")
	}
	clean(h)
	x.began, x.opened = true, true
	conn, ahead, err := x.rc.Hijack()
	if err != nil {
		x.gone = true
		return errLeft
	}
	_ = conn.SetDeadline(time.Time{})
	from := ahead.Reader
	t := newStream(x.s, conn, from, &x.bytes, func(u meter.Use) error { return x.adm.Commit(x.ctx, u) })
	t.done = v.done // a Close that comes while the app responds ends the stream, too
	v.stream = t
	_ = conn.SetWriteDeadline(time.Now().Add(x.s.lim.WriteTimeout))
	to := ahead.Writer
	_, _ = to.WriteString("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: " + x.up + "\r\n")
	_ = h.Write(to)
	_, _ = to.WriteString("\r\n")
	if to.Flush() != nil {
		v.end(errLeft)
	}
	return nil
}

// Write implements calls.Responder.
func (v *service) Write(p []byte) (int, error) {
	if t := v.upgraded(); t != nil {
		return t.Write(p)
	}
	v.x.writing.Lock()
	defer v.x.writing.Unlock()
	if v.x.left {
		return 0, errLeft
	}
	return v.x.push(p)
}

func (v *service) upgraded() *stream {
	select {
	case <-v.decided:
		return v.stream
	default:
		return nil
	}
}

// CloseWrite implements calls.Responder. A response is over with it.
func (v *service) CloseWrite() error {
	if t := v.upgraded(); t != nil {
		return t.CloseWrite()
	}
	v.end(nil)
	return nil
}

// Close implements calls.Responder.
func (v *service) Close(why error) {
	v.end(why)
}

func (v *service) end(why error) {
	v.once.Do(func() {
		v.why = why
		close(v.done)
	})
}

// Reply implements calls.Responder.
func (v *service) Reply(uint32, []byte) error { return badReply("an HTTP request is no query") }
