package webui

import (
	"context"
	"io"
	"log"
	"net"
	"sync"
)

// quiet is for the errors of connections, which are those of browsers.
func quiet() *log.Logger { return log.New(io.Discard, "", 0) }

// withEnd returns a context that ends with either of two.
func withEnd(ctx, other context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(other, func() { cancel(context.Cause(other)) })
	return ctx, func() {
		stop()
		cancel(nil)
	}
}

// bounded accepts so many connections at once; the others wait.
func bounded(l net.Listener, most int) net.Listener {
	return &boundedListener{Listener: l, slots: make(chan struct{}, most), done: make(chan struct{})}
}

type boundedListener struct {
	net.Listener
	slots chan struct{}
	done  chan struct{}
	once  sync.Once
}

// Accept implements net.Listener.
func (b *boundedListener) Accept() (net.Conn, error) {
	select {
	case b.slots <- struct{}{}:
	case <-b.done:
		return nil, net.ErrClosed
	}
	c, err := b.Listener.Accept()
	if err != nil {
		<-b.slots
		return nil, err
	}
	return &boundedConn{Conn: c, free: sync.OnceFunc(func() { <-b.slots })}, nil
}

// Close implements net.Listener.
func (b *boundedListener) Close() error {
	b.once.Do(func() { close(b.done) })
	return b.Listener.Close()
}

type boundedConn struct {
	net.Conn
	free func()
}

// Close implements net.Conn.
func (c *boundedConn) Close() error {
	defer c.free()
	return c.Conn.Close()
}
