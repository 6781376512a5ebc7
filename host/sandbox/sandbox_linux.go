package sandbox

import (
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// Names of the layers, in the order in which Apply reports them.
const (
	Env        = "env"
	Files      = "fds"
	DeathSig   = "pdeathsig"
	NoNewPrivs = "nnp"
	Undumpable = "undumpable"
	Rlimits    = "rlimits"
)

// maxFiles is more than a worker ever holds: its socket, the parts of an artifact, and what the Go runtime opens.
const maxFiles = 64

// diesWithParent is asked for while packages are initialised, since the signal belongs to the thread that called exec: only
// then is it certain that this is the main thread.
var diesWithParent = func() bool {
	var sig int32
	return prctlGet(unix.PR_GET_PDEATHSIG, &sig) == nil && sig == int32(unix.SIGKILL)
}()

// Apply confines the calling process and returns the layers that hold. keep is the highest descriptor that stays open;
// maxFileBytes bounds what the process may write to any one file.
func Apply(keep int, maxFileBytes uint64) []string {
	var held []string
	add := func(name string, ok bool) {
		if ok {
			held = append(held, name)
		}
	}
	add(Env, len(os.Environ()) == 0)
	add(Files, closeInherited(keep) == nil)

	add(DeathSig, diesWithParent)

	_ = unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
	nnp, err := unix.PrctlRetInt(unix.PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0)
	add(NoNewPrivs, err == nil && nnp == 1)

	_ = unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0)
	dumpable, err := unix.PrctlRetInt(unix.PR_GET_DUMPABLE, 0, 0, 0, 0)
	add(Undumpable, err == nil && dumpable == 0)

	add(Rlimits, limit(unix.RLIMIT_CORE, 0) && limit(unix.RLIMIT_NOFILE, maxFiles) && limit(unix.RLIMIT_FSIZE, maxFileBytes))
	return held
}

// limit lowers a resource limit, soft and hard, and reads it back.
func limit(resource int, max uint64) bool {
	if unix.Setrlimit(resource, &unix.Rlimit{Cur: max, Max: max}) != nil {
		return false
	}
	var got unix.Rlimit
	return unix.Getrlimit(resource, &got) == nil && got.Max <= max
}

// closeInherited closes what came through exec. The runtime of this process has descriptors too (epoll, eventfd, cgroup
// files) and aborts without them; it opens all of them close-on-exec, which is what nothing that came through exec is.
func closeInherited(keep int) error {
	open, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return err
	}
	for _, e := range open {
		fd, err := strconv.Atoi(e.Name())
		if err != nil || fd <= keep {
			continue
		}
		flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
		if err == nil && flags&unix.FD_CLOEXEC == 0 {
			_ = unix.Close(fd)
		}
	}
	return nil
}
