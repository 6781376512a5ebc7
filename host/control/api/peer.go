package api

import (
	"slices"
	"strconv"
)

// Peer is who is at the other end of a connection, as the kernel tells.
type Peer struct {
	UID, PID int
	GID      int
	Groups   []int // further ones
}

// In reports whether the peer is in a group.
func (p Peer) In(gid int) bool { return p.GID == gid || slices.Contains(p.Groups, gid) }

// Tenant is the owner of what the peer starts.
func (p Peer) Tenant() string { return "uid:" + strconv.Itoa(p.UID) }

// Trusts reports whether a process of user uid may talk to p without further ado: both belong to one user, or p is root.
func Trusts(uid int, p Peer) bool { return p.UID == uid || p.UID == 0 }
