package sandbox

import (
	"errors"
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// What the fields of struct seccomp_data stand at.
const (
	offsetNumber = 0
	offsetArch   = 4
	offsetArgs   = 16
)

// What a filter answers to a question that no kernel knows, so that a process can see which filters are in force.
const (
	question      = 0x74726f75
	confirmFirst  = unix.Errno(3001)
	confirmSecond = unix.Errno(3002)
)

var errNoArch = errors.New("no filter is written for this architecture")

// program is a filter that is being written: each call of a system call that it names is judged where it is named, and
// what is not named falls through to the end.
type program []unix.SockFilter

func (p *program) add(code uint16, k uint32, jt, jf uint8) {
	*p = append(*p, unix.SockFilter{Code: code, K: k, Jt: jt, Jf: jf})
}

func (p *program) load(offset uint32) { p.add(unix.BPF_LD|unix.BPF_W|unix.BPF_ABS, offset, 0, 0) }
func (p *program) answer(ret uint32)  { p.add(unix.BPF_RET|unix.BPF_K, ret, 0, 0) }

// newProgram refuses calls of another architecture, whose numbers mean something else.
func newProgram() *program {
	p := &program{}
	p.load(offsetArch)
	p.add(unix.BPF_JMP|unix.BPF_JEQ|unix.BPF_K, auditArch, 1, 0)
	p.answer(unix.SECCOMP_RET_KILL_PROCESS)
	p.load(offsetNumber)
	if foreignBit != 0 {
		p.add(unix.BPF_JMP|unix.BPF_JSET|unix.BPF_K, foreignBit, 0, 1)
		p.answer(unix.SECCOMP_RET_KILL_PROCESS)
	}
	return p
}

// always answers a system call in one way.
func (p *program) always(number uintptr, ret uint32) {
	p.add(unix.BPF_JMP|unix.BPF_JEQ|unix.BPF_K, uint32(number), 0, 1)
	p.answer(ret)
}

// judge writes a block for one system call; what it does not answer is answered by otherwise.
func (p *program) judge(number uintptr, otherwise uint32, block func(*program)) {
	inner := &program{}
	block(inner)
	inner.answer(otherwise)
	p.add(unix.BPF_JMP|unix.BPF_JEQ|unix.BPF_K, uint32(number), 0, uint8(len(*inner)))
	*p = append(*p, *inner...)
}

// low and high load the halves of an argument. Both architectures are little-endian.
func (p *program) low(arg int)  { p.load(offsetArgs + 8*uint32(arg)) }
func (p *program) high(arg int) { p.load(offsetArgs + 8*uint32(arg) + 4) }

// when answers if an argument has one of the values, which have 32 bits.
func (p *program) when(arg int, ret uint32, values ...uint32) {
	p.high(arg)
	p.add(unix.BPF_JMP|unix.BPF_JEQ|unix.BPF_K, 0, 0, uint8(1+2*len(values)))
	p.low(arg)
	for _, v := range values {
		p.add(unix.BPF_JMP|unix.BPF_JEQ|unix.BPF_K, v, 0, 1)
		p.answer(ret)
	}
}

// whenAll answers if an argument has all of the bits.
func (p *program) whenAll(arg int, ret uint32, bits uint32) {
	p.low(arg)
	p.add(unix.BPF_ALU|unix.BPF_AND|unix.BPF_K, bits, 0, 0)
	p.add(unix.BPF_JMP|unix.BPF_JEQ|unix.BPF_K, bits, 0, 1)
	p.answer(ret)
}

const (
	allow = unix.SECCOMP_RET_ALLOW
	kill  = unix.SECCOMP_RET_KILL_PROCESS
)

func refuse(e unix.Errno) uint32 { return unix.SECCOMP_RET_ERRNO | uint32(e) }

// What clone is called with: by the Go runtime, without and with a place for what belongs to a thread (amd64), and by a C
// library for the same.
const (
	threadGo = unix.CLONE_VM | unix.CLONE_FS | unix.CLONE_FILES | unix.CLONE_SIGHAND | unix.CLONE_SYSVSEM | unix.CLONE_THREAD
	threadC  = threadGo | unix.CLONE_SETTLS | unix.CLONE_PARENT_SETTID | unix.CLONE_CHILD_CLEARTID
)

// firstFilter allows what a worker needs that loads, compiles and runs code, and kills it for all else.
func firstFilter(pid int, cgo bool) program {
	p := newProgram()
	for _, n := range always() { // what runs most often comes first
		p.always(n, allow)
	}
	p.judge(unix.SYS_FUTEX, kill, func(p *program) {
		const wait, wake, waitBitset, private, realtime = 0, 1, 9, 128, 256
		p.when(1, allow, wait, wake, wait|private, wake|private, waitBitset|private, waitBitset|private|realtime, waitBitset|realtime)
	})
	for _, n := range []uintptr{unix.SYS_MMAP, unix.SYS_MPROTECT} {
		p.judge(n, allow, func(p *program) {
			p.whenAll(2, kill, unix.PROT_WRITE|unix.PROT_EXEC)
			if n == unix.SYS_MMAP { // RLIMIT_DATA does not count it
				p.whenAll(3, kill, unix.MAP_SHARED|unix.MAP_ANON)
				p.whenAll(3, kill, unix.MAP_GROWSDOWN) // nor this: it is taken for a stack
			}
		})
	}
	p.judge(unix.SYS_TGKILL, kill, func(p *program) { p.when(0, allow, uint32(pid)) })
	p.judge(unix.SYS_FCNTL, kill, func(p *program) {
		p.when(1, allow, unix.F_GETFD, unix.F_GETFL, unix.F_GET_SEALS, unix.F_DUPFD_CLOEXEC)
	})
	flags := []uint32{threadGo, threadGo | unix.CLONE_SETTLS}
	if cgo {
		flags = append(flags, threadC)
		for _, n := range withC() {
			p.always(n, allow)
		}
		// It counts the processors by a file when many threads ask for memory, and goes on without.
		p.always(unix.SYS_OPENAT, refuse(unix.EACCES))
	}
	p.judge(unix.SYS_CLONE, kill, func(p *program) { p.when(0, allow, flags...) })
	// The C library asks for this first, and the runtime names its memory: neither needs it.
	p.always(unix.SYS_CLONE3, refuse(unix.ENOSYS))
	p.judge(unix.SYS_PRCTL, kill, func(p *program) { p.when(0, refuse(unix.EINVAL), unix.PR_SET_VMA) })
	p.judge(unix.SYS_SECCOMP, kill, func(p *program) {
		p.when(0, refuse(confirmFirst), question)
		p.when(0, allow, unix.SECCOMP_SET_MODE_FILTER)
	})
	p.answer(kill)
	return *p
}

// secondFilter forbids executable memory and further filters, and leaves the rest to the first.
func secondFilter() program {
	p := newProgram()
	for _, n := range []uintptr{unix.SYS_MMAP, unix.SYS_MPROTECT, unix.SYS_PKEY_MPROTECT} {
		p.judge(n, allow, func(p *program) { p.whenAll(2, kill, unix.PROT_EXEC) })
	}
	p.judge(unix.SYS_SECCOMP, kill, func(p *program) { p.when(0, refuse(confirmSecond), question) })
	p.answer(allow)
	return *p
}

// install puts a filter over all threads, and asks it.
func install(p program, confirm unix.Errno) error {
	if auditArch == 0 {
		return errNoArch
	}
	prog := unix.SockFprog{Len: uint16(len(p)), Filter: &p[0]}
	got, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&prog)))
	switch {
	case errno != 0:
		return fmt.Errorf("the kernel refuses: %w", errno)
	case got != 0:
		return fmt.Errorf("thread %d has another filter", got)
	}
	if _, _, errno := unix.RawSyscall(unix.SYS_SECCOMP, question, 0, 0); errno != confirm {
		return fmt.Errorf("the filter does not answer: %v", errno)
	}
	return nil
}

// always are the system calls that are allowed whatever their arguments.
func always() []uintptr {
	return []uintptr{
		unix.SYS_READ, unix.SYS_WRITE, unix.SYS_MADVISE, unix.SYS_MUNMAP, unix.SYS_PWRITE64, unix.SYS_RECVMSG, unix.SYS_CLOSE,
		unix.SYS_FSTAT, unix.SYS_TIMER_SETTIME,
		// of the runtime
		unix.SYS_CLOCK_GETTIME, unix.SYS_CLOCK_NANOSLEEP, unix.SYS_NANOSLEEP, unix.SYS_SCHED_YIELD, unix.SYS_EPOLL_PWAIT, unix.SYS_EPOLL_CTL,
		unix.SYS_RT_SIGRETURN, unix.SYS_RT_SIGPROCMASK, unix.SYS_RT_SIGACTION, unix.SYS_SIGALTSTACK, unix.SYS_RESTART_SYSCALL,
		unix.SYS_GETPID, unix.SYS_GETTID, unix.SYS_GETRANDOM, unix.SYS_EXIT, unix.SYS_EXIT_GROUP,
	}
}

// withC are those that a C library makes in addition, for its threads and its memory.
func withC() []uintptr {
	return []uintptr{unix.SYS_SET_ROBUST_LIST, unix.SYS_RSEQ, unix.SYS_BRK, unix.SYS_MREMAP, unix.SYS_SCHED_GETAFFINITY}
}
