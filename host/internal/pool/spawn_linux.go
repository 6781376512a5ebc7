package pool

import (
	"errors"
	"os"
	"runtime"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/host/sandbox"
	"github.com/troupehost/troupe/host/wire"
)

// lowestDup keeps descriptors that a child receives away from 0 to 3: fork moves a descriptor that is lower than its
// place in the child to a number of its own choice, which could be the one that is about to be executed.
const lowestDup = 100

// rlimits are set on a child after it has confined itself and before it sees a guest byte. Zero means: leave as it is.
type rlimits struct {
	dataBytes  int64 // writable private memory; the Go runtime aborts when it is refused more
	fileBytes  int64 // size of a file that it writes
	cpuSeconds int64 // CPU time of its whole life, the net below the host's own watch
	cpuMost    int64 // to which cpuSeconds may be raised
}

// spawner starts children. They die with the thread that started them (PR_SET_PDEATHSIG follows the thread, not the
// process), so one goroutine, locked to a thread which lives as long as the spawner, starts them all.
type spawner struct {
	exe  *os.File // the program, executed by descriptor
	argv []string
	plan sandbox.Plan
	null *os.File
	asks chan func()
	quit chan struct{}
	done chan struct{}
}

// newSpawner takes over exe.
func newSpawner(exe *os.File, argv []string) (*spawner, error) {
	null, err := openNull()
	if err != nil {
		_ = exe.Close()
		return nil, notStarted("process, which needs "+os.DevNull, err)
	}
	s := &spawner{exe: exe, argv: argv, null: null, asks: make(chan func()), quit: make(chan struct{}), done: make(chan struct{})}
	go s.loop()
	return s, nil
}

func (s *spawner) loop() {
	runtime.LockOSThread() // never unlocked: the thread ends with the loop, after all children are dead
	defer close(s.done)
	for {
		select {
		case do := <-s.asks:
			do()
		case <-s.quit:
			return
		}
	}
}

// close ends the thread; whatever child is still alive dies with it.
func (s *spawner) close() {
	close(s.quit)
	<-s.done
	_ = s.exe.Close()
	_ = s.null.Close()
}

// start returns a running child and the host's end of its socket, which is descriptor 3 in the child. gone is called
// once, after the child is reaped; see adopt.
func (s *spawner) start(gone func(orphans bool)) (*process, *wire.HostConn, error) {
	fail := func(what string, err error) (*process, *wire.HostConn, error) {
		return nil, nil, notStarted(what, err)
	}
	conn, end, err := wire.Pair()
	if err != nil {
		return fail("socket", err)
	}
	theirs, err := unix.FcntlInt(end.Fd(), unix.F_DUPFD_CLOEXEC, lowestDup)
	_ = end.Close()
	if err != nil {
		_ = conn.Close()
		return fail("socket", err)
	}
	defer func() { _ = unix.Close(theirs) }()

	var pipe [2]int
	if err := unix.Pipe2(pipe[:], unix.O_CLOEXEC); err != nil {
		_ = conn.Close()
		return fail("pipe", err)
	}
	stderr, err := raise(pipe[1])
	if err == nil {
		err = unix.SetNonblock(pipe[0], true)
	}
	log := os.NewFile(uintptr(pipe[0]), "worker log")
	if err != nil {
		_, _ = conn.Close(), log.Close()
		return fail("pipe", err)
	}
	defer func() { _ = unix.Close(stderr) }()

	pid, pidfd := 0, -1
	attr := &syscall.ProcAttr{
		Env:   []string{}, // nil would mean: the host's
		Files: []uintptr{s.null.Fd(), s.null.Fd(), uintptr(stderr), uintptr(theirs)},
		Sys:   s.plan.Attr(&pidfd),
	}
	weaken(attr)
	path := "/proc/self/fd/" + strconv.Itoa(int(s.exe.Fd()))
	forked := make(chan struct{})
	ask := func() {
		defer close(forked)
		pid, err = syscall.ForkExec(path, s.argv, attr)
	}
	select {
	case s.asks <- ask:
		<-forked
	case <-s.done:
		err = os.ErrClosed
	}
	if err != nil {
		_, _ = conn.Close(), log.Close()
		return nil, nil, notStarted("process", err)
	}
	return adopt(pid, pidfd, log, gone), conn, nil
}

// notStarted says why a process was not started, and what to do about it.
func notStarted(what string, err error) *fault.Error {
	f := fault.New(fault.HostSpawnFailed, "start worker", what, err)
	if hint := hintFor(err); hint != "" {
		f = f.WithHint(hint)
	}
	return f
}

func hintFor(err error) string {
	switch {
	case errors.Is(err, unix.ENOEXEC):
		return hintNoWorker
	case errors.Is(err, unix.EMFILE), errors.Is(err, unix.ENFILE), errors.Is(err, unix.EINVAL), errors.Is(err, unix.EBADF):
		return hintOpenFiles
	case errors.Is(err, unix.EAGAIN):
		return "raise the limit on processes (ulimit -u, or pids.max of the container)"
	case errors.Is(err, unix.ENOMEM):
		return "the machine has no memory for another process: free some, or run fewer workers"
	case errors.Is(err, unix.ENOENT):
		return hintProc
	}
	return ""
}

// spaceBytes is the address space that a worker may reserve, beside twice its data. The limit of data does not count
// what is only read, nor the tables of its pages, which are a five hundredth of what they map; Go reserves one or two gigabytes,
// and a run its largest memory.
const spaceBytes = 16 << 30

// apply limits a process that was not reaped.
func (l rlimits) apply(pid int) error {
	if err := lower(pid, unix.RLIMIT_CORE, 0, 0); err != nil {
		return err
	}
	if l.dataBytes > 0 {
		if err := lower(pid, unix.RLIMIT_DATA, l.dataBytes, l.dataBytes); err != nil {
			return err
		}
		space := spaceBytes + 2*l.dataBytes
		if err := lower(pid, unix.RLIMIT_AS, space, space); err != nil {
			return err
		}
	}
	if l.fileBytes > 0 {
		if err := lower(pid, unix.RLIMIT_FSIZE, l.fileBytes, l.fileBytes); err != nil {
			return err
		}
	}
	if l.cpuSeconds > 0 {
		// What kills is the hard limit; a Go program ignores the signal of the soft one. Without the privilege to raise a
		// hard limit, it must be from the beginning where it may have to be later.
		most := l.cpuSeconds
		if l.cpuMost > most && !raisesHardLimits(pid) {
			most = l.cpuMost
		}
		return lower(pid, unix.RLIMIT_CPU, l.cpuSeconds, most)
	}
	return nil
}

func lower(pid, what int, soft, hard int64) error {
	var old unix.Rlimit
	if err := unix.Prlimit(pid, what, nil, &old); err != nil {
		return err
	}
	most := min(uint64(hard), old.Max) // raising the hard limit is not ours to do
	return unix.Prlimit(pid, what, &unix.Rlimit{Cur: min(uint64(soft), most), Max: most}, nil)
}

// raisesHardLimits tries it with a limit of no consequence.
func raisesHardLimits(pid int) bool {
	if unix.Prlimit(pid, unix.RLIMIT_CORE, &unix.Rlimit{Max: 1}, nil) != nil {
		return false
	}
	return unix.Prlimit(pid, unix.RLIMIT_CORE, &unix.Rlimit{}, nil) == nil
}

// raise lifts the limits on CPU time and memory, where they are smaller, to at most what this program has itself.
func (l rlimits) raise(pid int) error {
	return errors.Join(lift(pid, unix.RLIMIT_CPU, l.cpuSeconds), lift(pid, unix.RLIMIT_DATA, l.dataBytes))
}

func lift(pid, what int, to int64) error {
	var own, old unix.Rlimit
	if err := errors.Join(unix.Prlimit(0, what, nil, &own), unix.Prlimit(pid, what, nil, &old)); err != nil {
		return err
	}
	n := min(uint64(to), own.Max)
	if old.Cur >= n {
		return nil
	}
	return unix.Prlimit(pid, what, &unix.Rlimit{Cur: n, Max: max(n, old.Max)}, nil)
}

// raise moves fd to a number of at least lowestDup.
func raise(fd int) (int, error) {
	up, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, lowestDup)
	_ = unix.Close(fd)
	return up, err
}

func openNull() (*os.File, error) {
	fd, err := unix.Open(os.DevNull, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	if fd, err = raise(fd); err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), os.DevNull), nil
}
