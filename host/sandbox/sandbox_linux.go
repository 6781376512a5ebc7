package sandbox

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// maxFiles is more than a worker ever holds: its socket, the parts of an artifact, and what the Go runtime opens.
const maxFiles = 64

// maxThreads is more than the Go runtime of a worker ever starts, on a machine with hundreds of cores too.
const maxThreads = 1000

// diesWithParent is asked for while packages are initialised, since the signal belongs to the thread that called exec: only
// then is it certain that this is the main thread.
var diesWithParent = func() bool {
	var sig int32
	return prctlGet(unix.PR_GET_PDEATHSIG, &sig) == nil && sig == int32(unix.SIGKILL)
}()

// prctlGet is a prctl that answers through a pointer.
func prctlGet(option int, out *int32) error {
	return unix.Prctl(option, uintptr(unsafe.Pointer(out)), 0, 0, 0)
}

// Config says what a process keeps.
type Config struct {
	Keep         int      // the highest descriptor that stays open
	MaxFileBytes uint64   // what it may write to any one file
	Args         []string // of the process, after those that make it a worker; see Outside
}

// ErrLeftOut says that a layer was left out because the process was told so. Only programs that are built with the tag
// undefended do that.
var ErrLeftOut = errors.New("left out")

// confinement is one process on its way down.
type confinement struct {
	cfg  Config
	held []string
	gaps []Gap
}

// Apply confines the calling process and returns the layers that hold, and why others do not. NoExec and Cgroup are not
// among them: see Seal, and the host.
func Apply(cfg Config) (held []string, gaps []Gap) {
	c := &confinement{cfg: cfg}
	settle()
	c.layer(Env, func() error {
		if n := len(os.Environ()); n > 0 {
			return fmt.Errorf("the environment has %d entries", n)
		}
		return nil
	})
	c.layer(Files, func() error { return closeInherited(cfg.Keep) })
	outer, probed := unix.Open("/", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	for _, n := range namespaces() {
		c.layer(n.layer, func() error { return c.isOwn(n) })
	}
	c.layer(Rlimits, func() error {
		err := errors.Join(limit(unix.RLIMIT_CORE, 0), limit(unix.RLIMIT_NOFILE, maxFiles), limit(unix.RLIMIT_FSIZE, cfg.MaxFileBytes))
		if slices.Contains(c.held, UserNS) { // elsewhere all processes of the user count
			err = errors.Join(err, limit(unix.RLIMIT_NPROC, maxThreads))
		}
		return err
	})
	c.layer(DeathSig, func() error {
		if !diesWithParent {
			return errors.New("the host did not ask for it")
		}
		return nil
	})
	c.layer(Root, func() error {
		if !slices.Contains(c.held, MountNS) {
			return errors.New("it needs a mount namespace")
		}
		return enterEmptyRoot()
	})
	c.layer(Caps, dropCapabilities)
	c.layer(NoNewPrivs, noNewPrivileges)
	c.layer(Undumpable, func() error {
		if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
			return err
		}
		if got, err := unix.PrctlRetInt(unix.PR_GET_DUMPABLE, 0, 0, 0, 0); err != nil || got != 0 {
			return errors.Join(err, errors.New("not read back"))
		}
		return nil
	})
	c.layer(Landlock, func() error {
		if probed != nil {
			return probed
		}
		return restrictFiles(outer)
	})
	if probed == nil {
		_ = unix.Close(outer)
	}
	c.layer(Seccomp, func() error { return install(firstFilter(unix.Getpid(), hasCgo()), confirmFirst) })
	order := Layers()
	slices.SortFunc(c.held, func(a, b string) int { return slices.Index(order, a) - slices.Index(order, b) })
	slices.SortFunc(c.gaps, func(a, b Gap) int { return slices.Index(order, a.Layer) - slices.Index(order, b.Layer) })
	return c.held, c.gaps
}

// Seal forbids the process to make memory executable from now on: the layer NoExec. It needs the layer Seccomp.
func Seal(cfg Config) error {
	if leftOut(cfg.Args, NoExec) {
		return ErrLeftOut
	}
	return install(secondFilter(), confirmSecond)
}

func (c *confinement) layer(name string, try func() error) {
	err := ErrLeftOut
	if !leftOut(c.cfg.Args, name) {
		err = try()
	}
	if err != nil {
		c.gaps = append(c.gaps, Gap{Layer: name, Why: err.Error()})
		return
	}
	c.held = append(c.held, name)
}

// isOwn reports nil if the process has a namespace that is not its host's.
func (c *confinement) isOwn(n namespace) error {
	theirs, told := hostID(c.cfg.Args, n.proc)
	if !told {
		return errors.New("the host did not say which is its own")
	}
	own, err := namespaceID(n.proc)
	if err != nil {
		return err
	}
	if own == theirs {
		return errors.New("it is that of the host")
	}
	return nil
}

// settle has the runtime do now what it would do later with system calls that are forbidden by then: timers need the
// poller, and a number of threads that is set is not looked up in the files of control groups.
func settle() {
	runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	time.AfterFunc(time.Hour, func() {}).Stop()
}

// everyThread makes a system call on all threads.
func everyThread(trap, a1, a2, a3, a4, a5 uintptr) error {
	if _, _, errno := syscall.AllThreadsSyscall6(trap, a1, a2, a3, a4, a5, 0); errno != 0 {
		if errno == syscall.ENOTSUP && hasCgo() {
			return errCgo
		}
		return errno
	}
	return nil
}

var errCgo = errors.New("this program is built with cgo, which cannot change the rights of all threads")

// hasCgo reports whether this program is built with cgo. It asks once, with a call that does nothing.
var hasCgo = sync.OnceValue(func() bool {
	_, _, errno := syscall.AllThreadsSyscall(unix.SYS_GETUID, 0, 0, 0)
	return errno == syscall.ENOTSUP
})

// limit lowers a resource limit, soft and hard, and reads it back.
func limit(resource int, most uint64) error {
	var got unix.Rlimit
	if err := unix.Getrlimit(resource, &got); err != nil {
		return err
	}
	most = min(most, got.Max) // the host may be held to less, which nobody may raise
	if err := unix.Setrlimit(resource, &unix.Rlimit{Cur: most, Max: most}); err != nil {
		return err
	}
	if err := unix.Getrlimit(resource, &got); err != nil {
		return err
	}
	if got.Max > most {
		return errors.New("not read back")
	}
	return nil
}

// closeInherited closes what came through exec: nothing of it is close-on-exec. What this process has opened since is so.
// Of that, the runtime aborts without its poller; in the place of files, such as those of control groups, which it does not
// read again after settle, comes descriptor 0. Their numbers stay taken, since whoever opened them may close them yet.
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
		if err != nil {
			continue
		}
		if flags&unix.FD_CLOEXEC == 0 {
			_ = unix.Close(fd)
			continue
		}
		if to, err := os.Readlink("/proc/self/fd/" + e.Name()); err == nil && strings.HasPrefix(to, "/") {
			_ = unix.Dup3(0, fd, unix.O_CLOEXEC)
		}
	}
	return nil
}
