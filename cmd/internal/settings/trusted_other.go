//go:build !unix

package settings

import "io/fs"

func trusted(fs.FileInfo) bool { return true }
