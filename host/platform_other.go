//go:build !linux

package host

// memoryBytes is only asked on Linux; elsewhere Start is refused.
func memoryBytes() int64 { return 4 << 30 }

// openFiles is only asked on Linux.
func openFiles() int { return 1024 }
