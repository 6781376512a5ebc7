package control

import (
	"container/list"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/rs/zerolog"
)

// lobby is a listener that bounds the connections of strangers: over which nobody has yet been known by a certificate or a token.
// Of too many, the one that has waited longest is cut off, of the same address first. So a flood makes room for itself alone: who
// says at once who it is has done so long before its turn comes.
type lobby struct {
	net.Listener
	most, each int // of all, and of one address
	log        zerolog.Logger

	mu    sync.Mutex
	all   *list.List // of *stranger, the oldest in front
	by    map[netip.Prefix]int
	cut   uint64    // how many were cut off
	noted time.Time // when the log was told last
}

func newLobby(l net.Listener, most, each int, log zerolog.Logger) *lobby {
	return &lobby{Listener: l, most: most, each: each, log: log, all: list.New(), by: map[netip.Prefix]int{}}
}

// stranger is a connection, until it is known who is at the other end.
type stranger struct {
	net.Conn
	lobby *lobby
	from  netip.Prefix
	at    *list.Element // in lobby.all; nil: it is none any more
}

// Accept implements net.Listener.
func (c *lobby) Accept() (net.Conn, error) {
	conn, err := c.Listener.Accept()
	if err != nil {
		return nil, err
	}
	n := &stranger{Conn: conn, lobby: c, from: cameFrom(conn.RemoteAddr())}
	if late := c.admit(n); late != nil {
		_ = late.Conn.Close()
	}
	return n, nil
}

// admit counts a stranger, and returns the one that has to go for it.
func (c *lobby) admit(n *stranger) (late *stranger) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case anyLobby:
	case c.by[n.from] >= c.each:
		for e := c.all.Front(); e != nil && late == nil; e = e.Next() {
			if old := e.Value.(*stranger); old.from == n.from {
				late = old
			}
		}
	case c.all.Len() >= c.most:
		late = c.all.Front().Value.(*stranger)
	}
	if late != nil {
		late.leaveLocked()
		c.cut++
		if now := time.Now(); now.Sub(c.noted) > time.Minute {
			c.noted = now
			c.log.Warn().Uint64("cut_off", c.cut).Str("from", late.from.String()).Msg("too many TLS connections that have not said who they are: the oldest are cut off")
		}
	}
	n.at = c.all.PushBack(n)
	c.by[n.from]++
	return late
}

// known takes a connection out of the lobby.
func (n *stranger) known() {
	n.lobby.mu.Lock()
	defer n.lobby.mu.Unlock()
	n.leaveLocked()
}

func (n *stranger) leaveLocked() {
	if n.at == nil {
		return
	}
	n.lobby.all.Remove(n.at)
	n.at = nil
	if n.lobby.by[n.from]--; n.lobby.by[n.from] == 0 {
		delete(n.lobby.by, n.from)
	}
}

// Close implements net.Conn.
func (n *stranger) Close() error {
	n.known()
	return n.Conn.Close()
}

// cameFrom is what counts as one address: of version 6 the network that one customer gets. The zero value stands for all that have none.
func cameFrom(a net.Addr) netip.Prefix {
	to, err := netip.ParseAddrPort(a.String())
	if err != nil {
		return netip.Prefix{}
	}
	ip, bits := to.Addr().Unmap().WithZone(""), 32
	if ip.Is6() {
		bits = 64
	}
	p, _ := ip.Prefix(bits)
	return p
}
