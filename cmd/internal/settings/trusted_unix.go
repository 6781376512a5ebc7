//go:build unix

package settings

import (
	"io/fs"
	"os"
	"syscall"
)

// Trusted reports whether only root and this user may write a file.
func Trusted(info fs.FileInfo) bool {
	if !info.Mode().IsRegular() { // a pipe of the caller's shell, for one
		return true
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && info.Mode().Perm()&0o022 == 0 && (st.Uid == 0 || int(st.Uid) == os.Geteuid())
}
