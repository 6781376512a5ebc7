package sandbox

import (
	"math"
	"os"

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
	add(Files, unix.CloseRange(uint(keep)+1, math.MaxUint32, 0) == nil)

	var sig int32
	err := prctlGet(unix.PR_GET_PDEATHSIG, &sig)
	add(DeathSig, err == nil && sig == int32(unix.SIGKILL))

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
