package blob

import "golang.org/x/sys/unix"

// Data directories that others may write are refused, so the ones that tests make are not, whatever the user's mask.
func init() { unix.Umask(0o022) }
