package host

import "golang.org/x/sys/unix"

// memoryBytes returns the size of the machine's memory, or 4 GiB if the kernel does not tell.
func memoryBytes() int64 {
	var info unix.Sysinfo_t
	if unix.Sysinfo(&info) != nil {
		return 4 << 30
	}
	return int64(info.Totalram) * int64(info.Unit)
}
