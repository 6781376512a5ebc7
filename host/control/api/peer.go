package api

import "strconv"

// Peer is who is at the other end of a connection, as the kernel tells.
type Peer struct {
	UID, PID int
}

// Tenant is the owner of what the peer starts.
func (p Peer) Tenant() string { return "uid:" + strconv.Itoa(p.UID) }

// Trusts reports whether a process of user uid may talk to p: both belong to one user, or p is root.
func Trusts(uid int, p Peer) bool { return p.UID == uid || p.UID == 0 }
