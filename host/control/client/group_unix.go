//go:build unix

package client

import (
	"io/fs"
	"os"
	"slices"
	"syscall"
)

// ofOurGroup reports whether whoever owns a socket has opened it to a group that we are in.
func ofOurGroup(socket string) bool {
	info, err := os.Lstat(socket)
	if err != nil || info.Mode().Type() != fs.ModeSocket || info.Mode().Perm()&0o060 != 0o060 {
		return false
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return false
	}
	groups, _ := os.Getgroups()
	return slices.Contains(append(groups, os.Getegid()), int(st.Gid))
}
