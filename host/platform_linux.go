package host

import (
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// memoryBytes returns the size of the machine's memory, or 4 GiB if the kernel does not tell.
func memoryBytes() int64 {
	var info unix.Sysinfo_t
	if unix.Sysinfo(&info) != nil {
		return 4 << 30
	}
	return int64(info.Totalram) * int64(info.Unit)
}

// machineMemory returns the size of the machine's memory, and what of it is free for who asks, in bytes.
func machineMemory() (total, free uint64) {
	total = uint64(memoryBytes())
	b, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return total, 0
	}
	for line := range strings.Lines(string(b)) {
		if kib, ok := strings.CutPrefix(line, "MemAvailable:"); ok {
			n, _ := strconv.ParseUint(strings.TrimSuffix(strings.TrimSpace(kib), " kB"), 10, 44) // 0 if the kernel writes otherwise
			return total, min(n<<10, total)
		}
	}
	return total, 0
}

// cpuModel returns what the kernel calls the processor, at most 128 bytes of it.
func cpuModel() string {
	b, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(b)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			value = strings.TrimSpace(value)
			return strings.ToValidUTF8(value[:min(len(value), 128)], "")
		}
	}
	return ""
}

// openFiles returns how many descriptors this process may have.
func openFiles() int {
	var l unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &l) != nil {
		return 1024
	}
	return int(min(l.Cur, 1<<20))
}

// ownUse returns the CPU time that this process has used, in microseconds, and its resident size in bytes.
func ownUse() (cpu, rss int64) {
	var ts unix.Timespec
	if unix.ClockGettime(unix.CLOCK_PROCESS_CPUTIME_ID, &ts) == nil {
		cpu = ts.Nano() / 1000
	}
	b, err := os.ReadFile("/proc/self/statm")
	if f := strings.Fields(string(b)); err == nil && len(f) > 1 {
		pages, _ := strconv.ParseInt(f[1], 10, 52) // 0 if the kernel writes otherwise
		rss = pages * int64(os.Getpagesize())
	}
	return cpu, rss
}
