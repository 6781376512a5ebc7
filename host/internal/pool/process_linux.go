package pool

import (
	"bytes"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/host/wire"
)

// process is a child from its start until it was reaped. Its number means nothing once it is reaped, so everything that
// uses the number holds mu and looks first.
type process struct {
	pid   int
	pidfd int
	file  *os.File // owns pidfd
	log   tail
	dead  chan struct{} // closed when the child is reaped and its last words are read

	mu     sync.Mutex
	reaped bool
	status unix.WaitStatus // valid if known; unknown if somebody else in this program reaped the child
	known  bool
	spent  time.Duration // CPU time at death
	struck look          // when it was killed first: what it used afterwards the kernel needed to take it down
	maxRSS int64         // the kernel's account at death, see peakRSS
	peak   int64         // largest resident size that was seen
	rss    int64         // resident size at the last look of an operator
	data   int64         // largest size of what RLIMIT_DATA counts that was seen
	limits rlimits
	home   string // its control group, "" if it has none of its own
	mounts int    // its mount namespace, held while it dies; 0: not
	braked
}

// adopt takes over a child that was just started, its pidfd and the reading end of its stderr. gone is called once,
// after the child is reaped; orphans says that it left others behind in its group, as far as they were seen.
func adopt(pid, pidfd int, log *os.File, gone func(orphans bool)) *process {
	_ = unix.SetNonblock(pidfd, true) // so that the Go poller waits for it instead of a thread
	p := &process{pid: pid, pidfd: pidfd, file: os.NewFile(uintptr(pidfd), "pidfd"), dead: make(chan struct{})}
	logged := make(chan struct{})
	go func() {
		defer close(logged)
		p.log.drain(log)
		_ = log.Close()
	}()
	go func() {
		orphans := p.reap()
		// The group was killed: end of file is there or on its way, unless a descendant left the group.
		_ = log.SetReadDeadline(time.Now().Add(logGrace))
		<-logged
		gone(orphans)
		close(p.dead)
		if p.mounts > 0 { // nobody changes it any more
			_ = unix.Close(p.mounts)
		}
	}()
	return p
}

const logGrace = 100 * time.Millisecond

// reap waits for the child's death, buries its group with it, and keeps its account. orphans: somebody was in the group
// besides the child. Who died with it and was reaped by another at once is not seen.
func (p *process) reap() (orphans bool) {
	rc, err := p.file.SyscallConn()
	if err == nil {
		err = rc.Read(func(uintptr) bool { return p.exited() })
	}
	if err != nil { // no poller: a thread must wait
		for err = unix.EINTR; err == unix.EINTR; {
			err = unix.Waitid(unix.P_PIDFD, p.pidfd, nil, unix.WEXITED|unix.WNOWAIT, nil)
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	var ru unix.Rusage
	for ours := p.killLocked(); ours; {
		got, err := unix.Wait4(p.pid, &p.status, 0, &ru)
		if err == unix.EINTR {
			continue
		}
		p.known = err == nil && got == p.pid
		break
	}
	if p.known {
		orphans = unix.Kill(-p.pid, 0) == nil // asks, and sends nothing
		p.spent = time.Duration(ru.Utime.Nano() + ru.Stime.Nano())
		p.maxRSS = ru.Maxrss << 10
	}
	p.reaped = true
	if p.home != "" {
		_ = os.Remove(p.home)
	}
	_ = p.file.Close()
	if p.session != nil {
		_ = p.session.Close()
	}
	return orphans
}

// exited reports whether the child is a zombie now.
func (p *process) exited() bool {
	return readable(p.pidfd, 0)
}

// readable waits for up to wait, in whole milliseconds, until a descriptor can be read: for one of a process that is when
// it has ended. A signal to this program, such as the runtime sends to itself, begins the wait anew.
func readable(fd int, wait time.Duration) bool {
	fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	for {
		n, err := unix.Poll(fds, int(wait.Milliseconds()))
		if err != unix.EINTR {
			return err == nil && n == 1
		}
	}
}

// kill ends the child and its group now; it does not wait.
func (p *process) kill() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.reaped {
		p.holdMountsLocked()
		_ = p.killLocked()
	}
}

// holdMountsLocked keeps the mounts of a child beyond its death, if it may: the kernel takes a millisecond to unmount them, for
// which whoever waits for the death would wait.
func (p *process) holdMountsLocked() {
	if p.mounts > 0 {
		return
	}
	fd, err := unix.Open("/proc/"+strconv.Itoa(p.pid)+"/ns/mnt", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err == nil {
		p.mounts = fd
	}
}

// killLocked kills the child and its group, and reports whether the child is there yet, if only as a zombie: that proves
// that its number is still its own. Somebody else in this program may have reaped it, as a program does that is process 1,
// and then the number can be that of anybody.
func (p *process) killLocked() bool {
	if unix.PidfdSendSignal(p.pidfd, unix.SIGKILL, nil, 0) != nil {
		return false
	}
	p.spent = p.clockLocked()
	if p.struck.at.IsZero() {
		p.struck = look{at: time.Now(), used: p.spent}
	}
	_ = unix.Kill(-p.pid, unix.SIGKILL)
	return true
}

// hasEnded reports whether the child runs no more, though it may not be reaped yet.
func (p *process) hasEnded() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.reaped || p.exited()
}

func (p *process) isReaped() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.reaped
}

// limit sets limits on the child.
func (p *process) limit(l rlimits) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.reaped {
		return unix.ESRCH
	}
	if raceDetector {
		l.dataBytes = 0
	}
	p.limits = l
	if unlimited() {
		return nil
	}
	return errors.Join(l.apply(p.pid), limitGroup(p.home, l.dataBytes))
}

// raise lifts limits of the child, and reports whether it has them all now.
func (p *process) raise(l rlimits) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if raceDetector {
		l.dataBytes = 0
	}
	if p.reaped || l.raise(p.pid) != nil {
		return false
	}
	_ = limitGroup(p.home, l.dataBytes) // below what RLIMIT_DATA allows it is a net only
	p.limits.dataBytes = max(p.limits.dataBytes, l.dataBytes)
	return true
}

// cpu returns the CPU time of the child's whole life, all threads, user and system.
func (p *process) cpu() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.reaped {
		return p.spent
	}
	return p.clockLocked()
}

// clockLocked reads the clock that clock_getcpuclockid(3) names.
func (p *process) clockLocked() time.Duration {
	var ts unix.Timespec
	if unix.ClockGettime(int32(^p.pid<<3|2), &ts) != nil {
		return p.spent
	}
	p.spent = max(p.spent, time.Duration(ts.Nano()))
	return p.spent
}

// look notes how much memory the child has, and how much it had.
func (p *process) look() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.reaped {
		return
	}
	if b, err := os.ReadFile("/proc/" + strconv.Itoa(p.pid) + "/status"); err == nil {
		p.peak = max(p.peak, statusBytes(b, "VmHWM:"))
		p.data = max(p.data, statusBytes(b, "VmData:"))
	}
}

// peakRSS returns the largest resident size that was seen: by looking while the child lived, and at its death. The
// kernel's account at death counts, of the time between fork and exec, the pages of the host too, so it says something
// only if it is above those.
func (p *process) peakRSS() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.maxRSS > p.peak {
		if self, err := os.ReadFile("/proc/self/status"); err == nil && p.maxRSS > statusBytes(self, "VmHWM:") {
			p.peak = p.maxRSS
		}
	}
	return p.peak
}

// rest is what the threads of a child do.
type rest int

const (
	restNot    rest = iota // one runs, or waits for a core
	restAsleep             // all sleep of their own accord
	restHeld               // one is stopped, or waits for the disk
)

// rest looks at all threads of the child.
func (p *process) rest() rest {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.reaped {
		return restNot
	}
	tasks, err := filepath.Glob("/proc/" + strconv.Itoa(p.pid) + "/task/*/stat")
	if err != nil || len(tasks) == 0 {
		return restNot
	}
	all := restAsleep
	for _, t := range tasks {
		b, err := os.ReadFile(t)
		_, rest, ok := bytes.Cut(b[bytes.LastIndexByte(b, ')')+1:], []byte{' '})
		switch {
		case err != nil:
		case !ok || len(rest) == 0:
			return restNot
		case rest[0] == 'T', rest[0] == 't', rest[0] == 'D':
			return restHeld
		case rest[0] != 'S':
			all = restNot
		}
	}
	return all
}

// starved returns for how long the threads of the child were ready to run and had no core, by the scheduler's account; 0 if
// the kernel keeps none.
func (p *process) starved() (sum time.Duration) {
	for _, n := range p.waits() {
		sum += n
	}
	return sum
}

// waits returns for how long each thread of the child was ready to run and had no core, by the names of their files.
func (p *process) waits() map[string]time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.reaped {
		return nil
	}
	tasks, _ := filepath.Glob("/proc/" + strconv.Itoa(p.pid) + "/task/*/schedstat")
	out := make(map[string]time.Duration, len(tasks))
	for _, t := range tasks {
		b, _ := os.ReadFile(t) // time on a core, time without one, both in ns, and a count
		if f := strings.Fields(string(b)); len(f) == 3 {
			n, _ := strconv.ParseInt(f[1], 10, 64)
			out[t] = time.Duration(n)
		}
	}
	return out
}

// rested is the account of a child whose threads all sleep.
type rested struct {
	at    time.Time
	used  time.Duration
	waits map[string]time.Duration
}

func (p *process) rested() rested { return rested{at: time.Now(), used: p.cpu(), waits: p.waits()} }

// starvedSince returns for how long one thread was starved, the one that was most: those of a child that wakes wait for a
// core side by side.
func (r rested) starvedSince(before rested) (most time.Duration) {
	for name, n := range r.waits {
		most = max(most, n-before.waits[name])
	}
	return most
}

// endedByClock reports whether the child ended as its own clocks end it. It may have sent itself that signal: the account
// says whether it was time.
func (p *process) endedByClock() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.known && p.status.Exited() {
		return p.status.ExitStatus() == wire.ClockExit
	}
	return p.known && p.status.Signaled() && (p.status.Signal() == unix.SIGXCPU || p.status.Signal() == unix.SIGALRM)
}

// epitaph says how the child ended, for the error that its death becomes. The words of the child are hostile.
func (p *process) epitaph() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	var how string
	switch {
	case !p.reaped:
		how = "alive"
	case !p.known:
		how = "ended, status unknown"
	case p.status.Signaled():
		how = "killed by " + unix.SignalName(p.status.Signal())
	default:
		how = "exit status " + strconv.Itoa(p.status.ExitStatus())
	}
	if words := p.log.String(); words != "" {
		how += ": " + fault.Quote(words)
	}
	return worded(how)
}

// worded is an error that is only text.
type worded string

func (w worded) Error() string { return string(w) }

// ranOut reports whether the child ended because a limit of ours refused it memory: it said so with its last words or
// was seen near the limit (the Go runtime does not always find words), and the machine could have given it all that the
// limit allows, so the machine was not the reason.
func (p *process) ranOut() bool {
	words := p.log.String()
	p.mu.Lock()
	defer p.mu.Unlock()
	if strings.Contains(words, unix.EFBIG.Error()) {
		return true
	}
	near := p.data >= p.limits.dataBytes/4*3
	if p.limits.dataBytes == 0 || !near && !strings.Contains(words, "out of memory") && !strings.Contains(words, unix.ENOMEM.Error()) {
		return false
	}
	info, err := os.ReadFile("/proc/meminfo")
	return err == nil && statusBytes(info, "MemAvailable:") >= p.limits.dataBytes
}

// statusBytes finds "name: 123 kB" in a file of /proc.
func statusBytes(b []byte, name string) int64 {
	_, rest, ok := bytes.Cut(b, []byte(name))
	if !ok {
		return 0
	}
	f := bytes.Fields(rest)
	if len(f) == 0 {
		return 0
	}
	n, err := strconv.ParseInt(string(f[0]), 10, 64)
	if err != nil || n > math.MaxInt64>>10 {
		return 0
	}
	return n << 10
}

// tail keeps the beginning and the end of what a child writes to stderr: a Go program names its reason first, other
// programs last.
type tail struct {
	mu         sync.Mutex
	head, last []byte
}

const (
	tailBytes   = 2 << 10 // of each end
	maxLogBytes = 1 << 20 // what a child may say in its life; then the pipe is closed on it
)

func (t *tail) drain(r io.Reader) {
	buf := make([]byte, tailBytes)
	for total := 0; total < maxLogBytes; {
		n, err := r.Read(buf)
		total += n
		t.add(buf[:n])
		if err != nil {
			return
		}
	}
}

func (t *tail) add(b []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := min(len(b), tailBytes-len(t.head))
	t.head = append(t.head, b[:n]...)
	t.last = append(t.last, b[n:]...)
	t.last = t.last[max(0, len(t.last)-tailBytes):]
}

// String returns what was kept, as it came.
func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := string(t.head)
	if len(t.last) > 0 {
		s += "…" + string(t.last)
	}
	return strings.TrimSpace(s)
}
