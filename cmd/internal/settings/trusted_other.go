//go:build !unix

package settings

import "io/fs"

// Trusted reports whether only root and this user may write a file; nobody knows here.
func Trusted(fs.FileInfo) bool { return true }
