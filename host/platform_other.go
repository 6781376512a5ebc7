//go:build !linux

package host

// memoryBytes is only asked on Linux; elsewhere Start is refused.
func memoryBytes() int64 { return 4 << 30 }

// openFiles is only asked on Linux.
func openFiles() int { return 1024 }

// machineMemory is only asked on Linux.
func machineMemory() (total, free uint64) { return 0, 0 }

// cpuModel is only asked on Linux.
func cpuModel() string { return "" }

func ownUse() (cpu, rss int64) { return 0, 0 }
