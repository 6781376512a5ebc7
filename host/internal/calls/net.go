package calls

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/host/abi"
)

const (
	maxListeners = 16
	maxPending   = 16 // connections of a listener that nobody accepted
	maxTried     = 4  // addresses of one name
)

// conn is a connection of the guest's, or the response to what it fetched, which cannot be written to.
type conn struct {
	i    *Instance
	head []byte
	c    net.Conn
	in   source
	out  sink
	half bool // out is used
}

func (i *Instance) newConn(c net.Conn) *conn {
	n := &conn{i: i, head: []byte(c.RemoteAddr().String()), c: c, half: true}
	n.in = source{r: c, notify: i.notify}
	n.out = sink{to: wire{c}, notify: i.notify}
	return n
}

// wire writes to a connection.
type wire struct{ net.Conn }

func (w wire) Respond(int, []byte) error { return errors.ErrUnsupported }

func (w wire) CloseWrite() error {
	if c, ok := w.Conn.(interface{ CloseWrite() error }); ok {
		return c.CloseWrite()
	}
	return w.Close()
}

// abort gives a connection up. The end of TLS would wait for its peer.
func abort(c net.Conn) {
	if t, ok := c.(*tls.Conn); ok {
		c = t.NetConn()
	}
	_ = c.Close() // there is nothing to lose
}

func (c *conn) text() []byte                            { return c.head }
func (c *conn) ready() bool                             { return c.in.ready() }
func (c *conn) counted() bool                           { return true }
func (c *conn) take(room int) ([]byte, uint32, bool)    { return c.in.take(room) }
func (c *conn) put(p []byte) (n int, e uint32, ok bool) { return c.out.put(p) }
func (c *conn) begin(context.Context) (errno uint32) {
	if !c.half {
		return abi.ErrParam
	}
	return abi.ErrNone
}

func (c *conn) shut(ctx context.Context) uint32 {
	if errno := c.begin(ctx); errno != abi.ErrNone {
		return errno
	}
	if !c.out.shutdown() {
		return abi.ErrCondition
	}
	c.i.egress(shutdownCost)
	return abi.ErrNone
}

func (c *conn) release(why error) {
	c.in.kill()
	if why != nil || !c.half {
		c.out.kill()
		abort(c.c)
		return
	}
	c.i.linger(&c.out, func(error) { _ = c.c.Close() })
}

// target splits "host:port", in lower case. The host is a name or an address.
func splitTarget(s string) (host string, addr netip.Addr, port uint16, ok bool) {
	host, p, err := net.SplitHostPort(s)
	n, err2 := strconv.ParseUint(p, 10, 16)
	if err != nil || err2 != nil || n == 0 || len(host) > abi.MaxHost {
		return "", addr, 0, false
	}
	if a, err := netip.ParseAddr(host); err == nil {
		return host, a, uint16(n), a.Zone() == ""
	}
	host = strings.TrimSuffix(strings.ToLower(host), ".")
	return host, addr, uint16(n), validHost(host)
}

// dial connects to where the egress list allows, by name and by the address that the name has now. It is that address that is
// dialled: another lookup could say another one.
func (i *Instance) dial(ctx context.Context, host string, addr netip.Addr, port uint16, secure bool) (net.Conn, uint32) {
	list, netw := i.app.egress, &i.app.s.cfg.Net
	private := netw.Private
	if i.app.cfg.Stranger {
		private = nil
	}
	cost := connectPlain
	if secure {
		cost = connectTLS
	}
	var addrs []netip.Addr
	if addr.IsValid() {
		if permitted(list, private, addr, port, false) {
			addrs = append(addrs, addr)
		}
	} else {
		if !named(list, host, port) {
			return nil, abi.ErrForbidden
		}
		i.egress(cost) // a question for a name is seen by whoever has that name
		found, err := netw.Resolver.LookupNetIP(ctx, "ip", host)
		var d *net.DNSError
		switch {
		case errors.As(err, &d) && d.IsNotFound:
			return nil, abi.ErrNotFound
		case err != nil:
			return nil, abi.ErrIO
		case len(found) == 0:
			return nil, abi.ErrNotFound
		}
		for _, a := range found {
			if len(addrs) < maxTried && permitted(list, private, a, port, true) {
				addrs = append(addrs, a)
			}
		}
	}
	if len(addrs) == 0 {
		return nil, abi.ErrForbidden
	}
	free, ok := i.app.s.socket(i.app.cfg.Address)
	if !ok {
		return nil, abi.ErrLimited
	}
	if addr.IsValid() {
		i.egress(cost)
	}
	var c net.Conn
	err := errors.New("not tried")
	for _, a := range addrs {
		if c, err = netw.Dialer.DialContext(ctx, "tcp", netip.AddrPortFrom(a.Unmap(), port).String()); err == nil {
			break
		}
	}
	if err != nil {
		free()
		return nil, abi.ErrIO
	}
	c = counted{c, free}
	if secure {
		t := tls.Client(c, &tls.Config{ServerName: host, RootCAs: netw.Roots, Rand: netw.Rand, MinVersion: tls.VersionTLS12, Time: i.app.s.cfg.Now})
		if err := t.HandshakeContext(ctx); err != nil {
			_ = c.Close() // there is nothing to lose
			var verify *tls.CertificateVerificationError
			if errors.As(err, &verify) {
				return nil, abi.ErrCorrupt
			}
			return nil, abi.ErrIO
		}
		c = t
	}
	i.ingress(cost)
	return c, abi.ErrNone
}

// dialing calls do with a context that ends with the timeout, and says what it means that it did.
func (i *Instance) dialing(r *request, timeout int64, do func(ctx context.Context) uint32) uint32 {
	if i.full() {
		return abi.ErrLimited
	}
	longest := i.app.s.cfg.DialTimeout.Milliseconds()
	waits := timeout >= 0 && timeout < longest
	if !waits {
		timeout = longest
	}
	defer i.paused(r.ctx)()
	ctx, cancel := i.within(r.ctx, timeout)
	defer cancel()
	errno := do(ctx)
	switch {
	case errno != abi.ErrIO || ctx.Err() == nil:
		return errno
	case i.ended.Load() || r.ctx.Err() != nil:
		return abi.ErrClosed
	case waits:
		return abi.ErrPending
	}
	return abi.ErrIO
}

func (i *Instance) connect(r *request) run.Answer {
	host, addr, port, ok := splitTarget(string(r.args[0]))
	if !ok || r.nums[0] != 0 && r.nums[0] != 1 {
		return refuse(abi.ErrParam)
	}
	var c net.Conn
	errno := i.dialing(r, r.nums[1], func(ctx context.Context) (errno uint32) {
		c, errno = i.dial(ctx, host, addr, port, r.nums[0] == 1)
		return errno
	})
	if errno != abi.ErrNone {
		return refuse(errno)
	}
	return i.give(i.newConn(c))
}

// listener takes connections, by a goroutine that lives as long as there is room for another.
type listener struct {
	i    *Instance
	l    net.Listener
	free func()

	mu      sync.Mutex
	pending []net.Conn
	busy    bool
	dead    bool
	err     error
}

func (i *Instance) listen(r *request) run.Answer {
	host, p, err := net.SplitHostPort(string(r.args[0]))
	port, err2 := strconv.ParseUint(p, 10, 16)
	if err != nil || err2 != nil {
		return refuse(abi.ErrParam)
	}
	if host != "" {
		if a, err := netip.ParseAddr(host); err != nil || a.Zone() != "" {
			return refuse(abi.ErrParam)
		}
	}
	if !i.app.granted(uint16(port)) {
		return refuse(abi.ErrForbidden)
	}
	if own := i.app.cfg.ListenAt; own.IsValid() {
		if a, err := netip.ParseAddr(host); err == nil && !a.IsUnspecified() && a != own {
			return refuse(abi.ErrForbidden)
		}
		host = own.String()
	}
	i.mu.Lock()
	n := 0
	for _, h := range i.handles {
		if _, ok := h.(*listener); ok {
			n++
		}
	}
	full := n >= maxListeners || i.fullLocked()
	i.mu.Unlock()
	if full {
		return refuse(abi.ErrLimited)
	}
	free, ok := i.app.s.socket(i.app.cfg.Address)
	if !ok {
		return refuse(abi.ErrLimited)
	}
	l, err := i.app.s.cfg.Net.Listener.Listen(r.ctx, "tcp", net.JoinHostPort(host, p))
	if err != nil {
		free()
	}
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return refuse(abi.ErrExists)
	case err != nil:
		return refuse(abi.ErrIO)
	}
	return i.give(&listener{i: i, l: l, free: free})
}

func (l *listener) acceptLocked() {
	if !l.busy && !l.dead && l.err == nil && len(l.pending) < maxPending {
		l.busy = true
		go l.accept()
	}
}

func (l *listener) accept() {
	for {
		c, err := l.l.Accept()
		full := false
		if err == nil {
			free, ok := l.i.app.s.socket(l.i.app.cfg.Address)
			if full = !ok; ok {
				c = counted{c, free}
			}
		}
		l.mu.Lock()
		switch {
		case err != nil:
			l.err = err
		case l.dead || full:
			_ = c.Close() // nobody will have it
		default:
			l.pending = append(l.pending, c)
		}
		l.busy = l.err == nil && !l.dead && len(l.pending) < maxPending
		busy := l.busy
		l.mu.Unlock()
		l.i.notify()
		if !busy {
			return
		}
	}
}

func (l *listener) ready() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.acceptLocked()
	return len(l.pending) > 0 || l.err != nil
}

func (l *listener) take() (c net.Conn, errno uint32, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	defer l.acceptLocked()
	switch {
	case len(l.pending) > 0:
		c = l.pending[0]
		l.pending = append([]net.Conn(nil), l.pending[1:]...)
		return c, abi.ErrNone, true
	case l.err != nil:
		return nil, abi.ErrIO, true
	}
	return nil, 0, false
}

func (l *listener) release(error) {
	l.mu.Lock()
	left := l.pending
	l.dead, l.pending = true, nil
	l.mu.Unlock()
	_ = l.l.Close() // ends the goroutine
	l.free()
	for _, c := range left {
		_ = c.Close() // nobody will have it
	}
}

func (i *Instance) connAccept(r *request) run.Answer {
	l, errno := get[*listener](i, r.handle(0))
	if errno != abi.ErrNone {
		return refuse(errno)
	}
	if i.full() {
		return refuse(abi.ErrLimited)
	}
	var c net.Conn
	errno = i.wait(r.ctx, r.nums[1], func() (errno uint32, ok bool) {
		c, errno, ok = l.take()
		return errno, ok
	})
	if errno != abi.ErrNone {
		return refuse(errno)
	}
	i.ingress(acceptPlain)
	n := i.newConn(c)
	out := i.give(n, uint64(len(n.head)))
	out.Data = n.head[:min(len(n.head), r.room(2))]
	return out
}
