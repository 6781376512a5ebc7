package report

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Machine says where, when and on what a run was measured.
func Machine() string {
	versions := []string{runtime.Version()}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, m := range info.Deps {
			switch m.Path {
			case "github.com/tetratelabs/wazero", "github.com/dgraph-io/badger/v4", "github.com/bytecodealliance/wasmtime-go/v39", "github.com/extism/go-sdk":
				versions = append(versions, m.Path[strings.Index(m.Path, "/")+1:]+" "+m.Version)
			}
		}
	}
	var name unix.Utsname
	_ = unix.Uname(&name)
	return fmt.Sprintf("%s, %s, %d cores, Linux %s, %.1f GB\n%s\n", time.Now().UTC().Format("2006-01-02 15:04 MST"), processor(), runtime.NumCPU(),
		unix.ByteSliceToString(name.Release[:]), float64(memory())/1e9, strings.Join(versions, ", "))
}

// SystemLoad is the load of the last minute, as the system counts it.
func SystemLoad() string {
	b, _ := os.ReadFile("/proc/loadavg")
	load, _, _ := strings.Cut(string(b), " ")
	return load
}

func processor() string {
	b, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.SplitSeq(string(b), "\n") {
		if name, value, _ := strings.Cut(line, ":"); strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
}

func memory() uint64 {
	var s unix.Sysinfo_t
	if unix.Sysinfo(&s) != nil {
		return 0
	}
	return s.Totalram * uint64(s.Unit)
}

// PSS is the proportional share of memory of a process, in bytes: what it shares is divided among those who share it.
func PSS(pid int) (float64, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		return 0, err
	}
	for line := range bytes.Lines(b) {
		if f := strings.Fields(string(line)); len(f) == 3 && f[0] == "Pss:" {
			kib, err := strconv.ParseFloat(f[1], 64)
			return kib * 1024, err
		}
	}
	return 0, fmt.Errorf("no Pss of process %d", pid)
}

// Below returns the processes that descend from pid, those of other namespaces included.
func Below(pid int) (found []int) {
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	parents := map[int]int{}
	for _, file := range stats {
		b, err := os.ReadFile(file)
		if err != nil {
			continue // it has ended since
		}
		_, rest, _ := strings.Cut(string(b[bytes.LastIndexByte(b, ')')+1:]), " ")
		fields := strings.Fields(rest)
		if len(fields) < 2 {
			continue
		}
		child, _ := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		parents[child], _ = strconv.Atoi(fields[1])
	}
	for child := range parents {
		for p := child; p > 1; p = parents[p] {
			if parents[p] == pid {
				found = append(found, child)
				break
			}
		}
	}
	return found
}

// CPU is the CPU time that this process has used, all threads together.
func CPU() time.Duration {
	var u unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
