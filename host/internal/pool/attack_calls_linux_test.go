package pool

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/troupehost/troupe/host/wire"
)

// call makes a system call that only has to be let through.
func call(number uintptr, args ...uintptr) func(*arena) error {
	var a [6]uintptr
	copy(a[:], args)
	return func(*arena) error {
		fd, _, errno := unix.RawSyscall6(number, a[0], a[1], a[2], a[3], a[4], a[5])
		if errno != 0 {
			return errno
		}
		_ = fd
		return nil
	}
}

// reveals reports whether what was read is the secret.
func reveals(b []byte, err error) error {
	if err == nil && !bytes.Contains(b, []byte(secret)) {
		err = errNothing
	}
	return err
}

func readAll(fd int) ([]byte, error) {
	b := make([]byte, 4096)
	n, err := unix.Read(fd, b)
	return b[:max(n, 0)], err
}

// opens reads a file that it opens.
func opens(dir int, path string) error {
	fd, err := unix.Openat(dir, path, unix.O_RDONLY, 0)
	if err != nil {
		return err
	}
	return reveals(readAll(fd))
}

// kept holds what system calls point to, since a number keeps nothing alive.
var kept [][]byte

// space returns the address of zeros.
func space(n int) uintptr {
	kept = append(kept, make([]byte, n))
	return uintptr(unsafe.Pointer(&kept[len(kept)-1][0]))
}

func cstring(s string) uintptr {
	at := space(len(s) + 1)
	copy(kept[len(kept)-1], s)
	return at
}

func fileAttacks() []attack {
	away := []string{"root", "landlock", "seccomp"}
	return []attack{
		{name: "reads its environment", stoppedBy: []string{"env"}, try: func(*arena) error {
			return reveals([]byte(strings.Join(os.Environ(), "\n")), nil)
		}},
		{name: "reads a descriptor that the host left open", stoppedBy: []string{"fds"}, try: func(a *arena) error {
			return reveals(readAll(a.Leaked))
		}},
		{name: "reads a file", stoppedBy: away, try: func(a *arena) error { return opens(unix.AT_FDCWD, a.Secret) }},
		{name: "reads a file by openat2", stoppedBy: away, try: func(a *arena) error {
			fd, err := unix.Openat2(unix.AT_FDCWD, a.Secret, &unix.OpenHow{})
			if err != nil {
				return err
			}
			return reveals(readAll(fd))
		}},
		{name: "reads a file of another process's root", stoppedBy: away, try: func(a *arena) error {
			return opens(unix.AT_FDCWD, "/proc/self/root"+a.Secret)
		}},
		{name: "writes a file", stoppedBy: away, try: func(a *arena) error {
			fd, err := unix.Open(a.Secret, unix.O_WRONLY|unix.O_APPEND, 0)
			if err == nil {
				_, err = unix.Write(fd, nil)
			}
			return err
		}},
		{name: "makes a file", stoppedBy: away, try: func(a *arena) error {
			_, err := unix.Open(a.Dir+"/made", unix.O_WRONLY|unix.O_CREAT, 0o600)
			if err == nil {
				_ = unix.Unlink(a.Dir + "/made")
			}
			return err
		}, root: true},
		{name: "removes a file", stoppedBy: away, try: func(a *arena) error {
			if err := unix.Link(a.Secret, a.Secret+"2"); err != nil {
				return err
			}
			return unix.Unlink(a.Secret + "2")
		}, root: true},
		{name: "lists the root", stoppedBy: away, try: func(*arena) error {
			fd, err := unix.Open("/", unix.O_RDONLY|unix.O_DIRECTORY, 0)
			if err != nil {
				return err
			}
			b := make([]byte, 64<<10)
			n, err := unix.Getdents(fd, b)
			if err == nil && !bytes.Contains(b[:n], []byte("etc\x00")) {
				return errNothing
			}
			return err
		}},
		{name: "climbs out of its root", stoppedBy: away, try: func(a *arena) error {
			if err := unix.Chdir("/"); err != nil {
				return err
			}
			_ = unix.Chroot("/tmp")
			return opens(unix.AT_FDCWD, strings.Repeat("../", 20)+a.Secret)
		}},
		{name: "opens a file by its handle", root: true, stoppedBy: []string{"userns", "root", "landlock", "caps", "seccomp"}, try: func(a *arena) error {
			h, id, err := unix.NameToHandleAt(unix.AT_FDCWD, a.Secret, 0)
			if err != nil {
				return err
			}
			_ = id
			dir, err := unix.Open(a.Dir, unix.O_RDONLY, 0)
			if err != nil {
				return err
			}
			fd, err := unix.OpenByHandleAt(dir, h, unix.O_RDONLY)
			if err != nil {
				return err
			}
			return reveals(readAll(fd))
		}},
		{name: "mounts", stoppedBy: []string{"caps", "landlock", "seccomp"}, root: true, try: func(*arena) error {
			if err := unix.Mount("none", "/", "tmpfs", 0, ""); err != nil {
				return err
			}
			return unix.Unmount("/..", unix.MNT_DETACH)
		}},
		{name: "mounts what the host sees", root: true, try: func(a *arena) error {
			return unix.Mount("none", a.Dir+"/mnt", "tmpfs", 0, "")
		}, stoppedBy: []string{"mntns", "userns", "root", "caps", "landlock", "seccomp"}, seen: func(t testing.TB, a *arena) bool {
			return a.mounts(t) > 1
		}},
		{name: "prepares a mount", stoppedBy: []string{"caps", "seccomp"}, root: true, try: func(*arena) error {
			_, err := unix.Fsopen("tmpfs", 0)
			return err
		}},
		{name: "makes a device", stoppedBy: []string{"userns", "caps", "root", "landlock", "seccomp"}, root: true, try: func(a *arena) error {
			defer func() { _ = unix.Unlink(a.Dir + "/null") }()
			return unix.Mknod(a.Dir+"/null", unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3)))
		}},
		{name: "changes its root", stoppedBy: []string{"caps", "seccomp"}, root: true, try: func(*arena) error { return unix.Chroot("/") }},
	}
}

// forked makes a process; the child does nothing but wait for its end.
func forked(flags uintptr) error {
	pid, _, errno := unix.RawSyscall6(unix.SYS_CLONE, flags, 0, 0, 0, 0, 0)
	if errno != 0 {
		return errno
	}
	if pid == 0 {
		for {
			_, _, _ = unix.RawSyscall(unix.SYS_EXIT_GROUP, 0, 0, 0)
		}
	}
	return nil
}

func execs(path string) error {
	argv := []uintptr{cstring(path), 0}
	_, _, errno := unix.RawSyscall(unix.SYS_EXECVE, cstring(path), uintptr(unsafe.Pointer(&argv[0])), uintptr(unsafe.Pointer(&argv[1])))
	return errno
}

func processAttacks() []attack {
	seccomp := []string{"seccomp"}
	sibling := []string{"pidns", "landlock", "seccomp"}
	prying := []string{"pidns", "userns", "landlock", "undumpable", "seccomp"}
	return []attack{
		{name: "signals the host", stoppedBy: []string{"pidns", "userns", "landlock", "seccomp"}, root: true, try: func(a *arena) error {
			return unix.Kill(a.Host, 0)
		}},
		{name: "signals a sibling", sibling: true, stoppedBy: sibling, try: func(a *arena) error { return unix.Kill(a.Sibling, 0) }},
		{name: "signals the group of a sibling", sibling: true, stoppedBy: sibling, try: func(a *arena) error { return unix.Kill(-a.Sibling, 0) }},
		{name: "opens the host as a process", stoppedBy: []string{"pidns", "seccomp"}, try: func(a *arena) error {
			_, err := unix.PidfdOpen(a.Host, 0)
			return err
		}},
		{name: "traces a sibling", sibling: true, stoppedBy: prying, try: func(a *arena) error { return unix.PtraceSeize(a.Sibling) }},
		{name: "reads the memory of a sibling", sibling: true, stoppedBy: prying, try: func(a *arena) error {
			b := make([]byte, len(secret))
			local := []unix.Iovec{{Base: &b[0], Len: uint64(len(b))}}
			_, err := unix.ProcessVMReadv(a.Sibling, local, []unix.RemoteIovec{{Base: siblingAt, Len: len(b)}}, 0)
			return reveals(b, err)
		}},
		{name: "reads the files of a sibling", sibling: true, stoppedBy: []string{"root", "userns", "landlock", "undumpable", "seccomp"}, try: func(a *arena) error {
			_, err := unix.Open("/proc/"+strconv.Itoa(a.Sibling)+"/mem", unix.O_RDONLY, 0)
			return err
		}},
		{name: "limits a sibling", sibling: true, stoppedBy: []string{"pidns", "seccomp"}, try: func(a *arena) error {
			return unix.Prlimit(a.Sibling, unix.RLIMIT_CORE, nil, &unix.Rlimit{})
		}},
		{name: "forks", stoppedBy: seccomp, try: func(*arena) error { return forked(uintptr(unix.SIGCHLD)) }},
		{name: "forks without a signal", stoppedBy: seccomp, try: func(*arena) error { return forked(0) }},
		{name: "forks by clone3", stoppedBy: seccomp, try: func(*arena) error {
			args := [8]uint64{4: uint64(unix.SIGCHLD)}
			pid, _, errno := unix.RawSyscall(unix.SYS_CLONE3, uintptr(unsafe.Pointer(&args)), unsafe.Sizeof(args), 0)
			if errno != 0 {
				return errno
			}
			for pid == 0 {
				_, _, _ = unix.RawSyscall(unix.SYS_EXIT_GROUP, 0, 0, 0)
			}
			return nil
		}},
		{name: "is a bomb of forks", stoppedBy: seccomp, try: func(*arena) error {
			for range 200 {
				if err := forked(uintptr(unix.SIGCHLD)); err != nil {
					return err
				}
			}
			return nil
		}},
		{name: "runs a program", stoppedBy: []string{"root", "landlock", "seccomp"}, try: func(a *arena) error { return execs(a.Program) }},
		{name: "runs a program from memory", stoppedBy: []string{"rlimits", "seccomp"}, try: func(*arena) error {
			fd, err := unix.MemfdCreate("program", 0)
			if err != nil {
				return err
			}
			if n, err := unix.Write(fd, program(false)); err != nil || n < len(program(false)) {
				return cmp.Or(err, errNothing)
			}
			argv := []uintptr{cstring("x"), 0}
			_, _, errno := unix.RawSyscall6(unix.SYS_EXECVEAT, uintptr(fd), cstring(""), uintptr(unsafe.Pointer(&argv[0])),
				uintptr(unsafe.Pointer(&argv[1])), unix.AT_EMPTY_PATH, 0)
			return errno
		}},
		{name: "becomes another user by a program", root: true,
			stoppedBy: []string{"nnp", "userns", "root", "landlock", "seccomp"},
			try:       func(a *arena) error { return execs(a.Setuid) }},
		{name: "becomes another user", root: true, stoppedBy: []string{"userns", "caps", "seccomp"}, try: func(*arena) error {
			_, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, 1, 1, 1)
			return orNil(errno)
		}},
		{name: "leaves its session", stoppedBy: seccomp, try: call(unix.SYS_GETSID, 0)},
		{name: "makes namespaces", stoppedBy: seccomp, try: call(unix.SYS_UNSHARE, unix.CLONE_FILES)},
		{name: "enters a namespace", stoppedBy: []string{"root", "caps", "seccomp"}, try: func(*arena) error {
			fd, err := unix.Open("/proc/self/ns/uts", unix.O_RDONLY, 0)
			if err != nil {
				return err
			}
			return unix.Setns(fd, unix.CLONE_NEWUTS)
		}, root: true},
		{name: "changes its limits", stoppedBy: seccomp, try: func(*arena) error {
			return unix.Prlimit(0, unix.RLIMIT_STACK, &unix.Rlimit{Cur: 1 << 20, Max: 1 << 20}, nil)
		}},
		{name: "runs before all others", root: true, stoppedBy: []string{"userns", "caps", "seccomp"}, try: func(*arena) error {
			return unix.Setpriority(unix.PRIO_PROCESS, 0, -5)
		}},
		{name: "lives on without its host", stoppedBy: seccomp, try: call(unix.SYS_PRCTL, unix.PR_SET_PDEATHSIG, 0)},
		{name: "can be read again", stoppedBy: seccomp, try: call(unix.SYS_PRCTL, unix.PR_SET_DUMPABLE, 1)},
		{name: "loads a filter of its own", stoppedBy: []string{"noexec"}, try: func(*arena) error {
			allow := unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW}
			prog := unix.SockFprog{Len: 1, Filter: &allow}
			_, _, errno := unix.RawSyscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, 0, uintptr(unsafe.Pointer(&prog)))
			return orNil(errno)
		}, root: true},
	}
}

func orNil(errno unix.Errno) error {
	if errno == 0 {
		return nil
	}
	return errno
}

func dials(family, kind int, to unix.Sockaddr) error {
	fd, err := unix.Socket(family, kind, 0)
	if err != nil {
		return err
	}
	return unix.Connect(fd, to)
}

func networkAttacks() []attack {
	seccomp := []string{"seccomp"}
	loopback := [4]byte{127, 0, 0, 1}
	sock := func(family, kind, protocol uintptr) func(*arena) error {
		return call(unix.SYS_SOCKET, family, kind, protocol)
	}
	return []attack{
		{name: "makes a socket of TCP", stoppedBy: seccomp, try: sock(unix.AF_INET, unix.SOCK_STREAM, 0)},
		{name: "makes a socket of IPv6", stoppedBy: seccomp, try: sock(unix.AF_INET6, unix.SOCK_DGRAM, 0)},
		{name: "makes a unix socket", stoppedBy: seccomp, try: sock(unix.AF_UNIX, unix.SOCK_STREAM, 0)},
		{name: "makes a pair of sockets", stoppedBy: seccomp, try: func(*arena) error {
			_, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
			return err
		}},
		{name: "talks to the kernel by netlink", stoppedBy: seccomp, try: sock(unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_ROUTE)},
		{name: "makes a raw socket", root: true, stoppedBy: []string{"caps", "seccomp"}, try: sock(unix.AF_PACKET, unix.SOCK_RAW, 0)},
		{name: "connects to a service of this machine", stoppedBy: []string{"netns", "landlock", "seccomp"}, try: func(a *arena) error {
			return dials(unix.AF_INET, unix.SOCK_STREAM, &unix.SockaddrInet4{Port: a.TCP, Addr: loopback})
		}},
		{name: "sends a packet to a service of this machine", stoppedBy: []string{"netns", "seccomp"}, try: func(a *arena) error {
			fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
			if err != nil {
				return err
			}
			return unix.Sendto(fd, []byte(secret), 0, &unix.SockaddrInet4{Port: a.UDP, Addr: loopback})
		}},
		{name: "connects to a hidden socket", stoppedBy: []string{"netns", "landlock", "seccomp"}, try: func(a *arena) error {
			return dials(unix.AF_UNIX, unix.SOCK_STREAM, &unix.SockaddrUnix{Name: "@" + a.Hidden})
		}},
		{name: "connects to a socket in the file system", stoppedBy: []string{"root", "seccomp"}, try: func(a *arena) error {
			return dials(unix.AF_UNIX, unix.SOCK_STREAM, &unix.SockaddrUnix{Name: a.Socket})
		}},
		{name: "reads shared memory of the host", stoppedBy: []string{"ipcns", "seccomp"}, try: func(a *arena) error {
			b, err := unix.SysvShmAttach(a.Segment, 0, unix.SHM_RDONLY)
			return reveals(b, err)
		}},
		{name: "renames the machine", root: true, stoppedBy: []string{"utsns", "userns", "caps", "seccomp"}, try: func(a *arena) error {
			return unix.Setdomainname([]byte(a.Domain))
		}, seen: func(t testing.TB, a *arena) bool { return domain(t) == a.Domain }},
	}
}

func kernelAttacks() []attack {
	seccomp := []string{"seccomp"}
	z := space(256)
	many := func(number uintptr, args ...uintptr) func(*arena) error {
		return func(a *arena) error {
			for range 200 {
				if err := call(number, args...)(a); err != nil {
					return err
				}
			}
			return nil
		}
	}
	exhausts := []string{"rlimits", "seccomp"}
	const uffdUserModeOnly, sizeOfLog = 1, 10
	return []attack{
		{name: "uses io_uring", stoppedBy: seccomp, try: call(unix.SYS_IO_URING_SETUP, 1, z)},
		{name: "loads a program into the kernel", root: true, stoppedBy: []string{"userns", "caps", "seccomp"}, try: func(*arena) error {
			attr := [16]uint32{1, 4, 4, 1} // a hash of one entry
			_, _, errno := unix.RawSyscall(unix.SYS_BPF, unix.BPF_MAP_CREATE, uintptr(unsafe.Pointer(&attr)), unsafe.Sizeof(attr))
			return orNil(errno)
		}},
		{name: "asks for a keyring", stoppedBy: seccomp, try: func(*arena) error {
			_, _, errno := unix.RawSyscall6(unix.SYS_KEYCTL, unix.KEYCTL_GET_KEYRING_ID, ^uintptr(1), 1, 0, 0, 0) // that of the process
			return orNil(errno)
		}},
		{name: "handles faults of its memory", stoppedBy: seccomp, try: call(unix.SYS_USERFAULTFD, uffdUserModeOnly)},
		{name: "watches files", stoppedBy: seccomp, try: call(unix.SYS_INOTIFY_INIT1, 0)},
		{name: "reads the log of the kernel", root: true, stoppedBy: []string{"userns", "caps", "seccomp"}, try: call(unix.SYS_SYSLOG, sizeOfLog, 0, 0)},
		{name: "changes its personality", stoppedBy: seccomp, try: call(unix.SYS_PERSONALITY, 0xffffffff)},
		{name: "controls a device", stoppedBy: seccomp, try: func(*arena) error {
			_, err := unix.IoctlGetInt(wire.Socket, unix.TIOCINQ)
			return err
		}},
		{name: "asks for the name of the machine", stoppedBy: seccomp, try: call(unix.SYS_UNAME, space(512))},
		{name: "asks for its parent", stoppedBy: seccomp, try: call(unix.SYS_GETPPID)},
		{name: "sends a descriptor", stoppedBy: seccomp, try: func(*arena) error {
			frame, err := wire.Encode(wire.Failed{Code: "attack", Message: verdictThrough})
			if err != nil {
				return err
			}
			if err := unix.Sendmsg(wire.Socket, frame, unix.UnixRights(2), nil, 0); err != nil {
				return err
			}
			_, err = unix.Poll(nil, -1)
			return err
		}},
		{name: "makes a file in memory", stoppedBy: seccomp, try: func(*arena) error {
			_, err := unix.MemfdCreate("x", 0)
			return err
		}},
		{name: "copies descriptors without end", stoppedBy: exhausts, try: many(unix.SYS_DUP, wire.Socket)},
		{name: "makes events without end", stoppedBy: exhausts, try: many(unix.SYS_EVENTFD2, 0, 0)},
		{name: "fills a file in memory", stoppedBy: exhausts, try: func(*arena) error {
			fd, err := unix.MemfdCreate("x", 0)
			if err != nil {
				return err
			}
			return unix.Fallocate(fd, 0, 5<<30, 4096)
		}},
		{name: "moves to another core", stoppedBy: seccomp, try: func(*arena) error {
			var set unix.CPUSet
			set.Set(0)
			return unix.SchedSetaffinity(0, &set)
		}},
		{name: "reads its accounts", stoppedBy: seccomp, try: func(*arena) error {
			var ru unix.Rusage
			return unix.Getrusage(unix.RUSAGE_SELF, &ru)
		}},
	}
}

// threads starts more threads than a worker needs.
func threads(*arena) error {
	const many = 1500
	var started atomic.Int32
	for range many {
		go func() {
			runtime.LockOSThread()
			started.Add(1)
			forever := unix.Timespec{Sec: 1 << 30}
			_, _, _ = unix.Syscall(unix.SYS_NANOSLEEP, uintptr(unsafe.Pointer(&forever)), 0, 0)
		}()
	}
	for started.Load() < many {
		runtime.Gosched()
	}
	return nil
}

func memoryAttacks() []attack {
	const readExec, all = unix.PROT_READ | unix.PROT_EXEC, unix.PROT_READ | unix.PROT_WRITE | unix.PROT_EXEC
	fresh := func(prot int) ([]byte, error) {
		return unix.Mmap(-1, 0, os.Getpagesize(), prot, unix.MAP_PRIVATE|unix.MAP_ANON)
	}
	noExec := []string{"noexec"}
	return []attack{
		{name: "maps code that can be written", stoppedBy: []string{"seccomp", "noexec"}, try: func(*arena) error { _, err := fresh(all); return err }},
		{name: "maps new code", stoppedBy: noExec, try: func(*arena) error { _, err := fresh(readExec); return err }},
		{name: "turns data into code", stoppedBy: noExec, try: func(*arena) error {
			b, err := fresh(unix.PROT_READ | unix.PROT_WRITE)
			if err != nil {
				return err
			}
			return unix.Mprotect(b, readExec)
		}},
		{name: "turns data into code with a key", stoppedBy: []string{"seccomp", "noexec"}, try: func(*arena) error {
			b, err := fresh(unix.PROT_READ)
			if err != nil {
				return err
			}
			_, _, errno := unix.RawSyscall6(unix.SYS_PKEY_MPROTECT, uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)), readExec, ^uintptr(0), 0, 0)
			return orNil(errno)
		}},
		{name: "maps a file as code", stoppedBy: noExec, try: func(a *arena) error {
			if len(a.files) == 0 {
				return errors.New("no file")
			}
			_, err := unix.Mmap(int(a.files[0].Fd()), 0, 1, readExec, unix.MAP_PRIVATE)
			return err
		}},
		{name: "makes its own code writable", stoppedBy: []string{"seccomp", "noexec"}, try: func(*arena) error {
			at := **(**uintptr)(unsafe.Pointer(new(any(forked).(func(uintptr) error))))
			page := at &^ uintptr(os.Getpagesize()-1)
			_, _, errno := unix.RawSyscall(unix.SYS_MPROTECT, page, uintptr(os.Getpagesize()), all)
			return orNil(errno)
		}},
		{name: "maps a gigabyte", stoppedBy: []string{"rlimits"}, try: func(*arena) error {
			_, err := unix.Mmap(-1, 0, 1<<30, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON|unix.MAP_NORESERVE)
			return err
		}},
		{name: "maps more than any page table should", stoppedBy: []string{"rlimits"}, try: func(*arena) error {
			_, err := unix.Mmap(-1, 0, 1<<40, unix.PROT_READ, unix.MAP_PRIVATE|unix.MAP_ANON|unix.MAP_NORESERVE)
			return err
		}},
		{name: "maps memory that no limit counts", stoppedBy: []string{"seccomp"}, try: func(*arena) error {
			_, err := unix.Mmap(-1, 0, 1<<20, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_ANON)
			return err
		}},
		{name: "maps a gigabyte that grows downwards", stoppedBy: []string{"seccomp"}, try: func(*arena) error {
			_, err := unix.Mmap(-1, 0, 1<<30, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON|unix.MAP_NORESERVE|unix.MAP_GROWSDOWN)
			return err
		}},
		{name: "starts threads without end", stoppedBy: []string{"rlimits", "cgroup"}, try: threads},
		{name: "writes its artifact", stoppedBy: []string{"seals"}, try: func(a *arena) error {
			_, err := unix.Pwrite(int(a.files[0].Fd()), []byte(secret), 0)
			return err
		}, seen: func(_ testing.TB, a *arena) bool { return a.changed() }},
		{name: "maps its artifact to write it", stoppedBy: []string{"seals"}, try: func(a *arena) error {
			b, err := unix.Mmap(int(a.files[0].Fd()), 0, 1, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
			if err == nil {
				b[0]++
			}
			return err
		}, seen: func(_ testing.TB, a *arena) bool { return a.changed() }},
		{name: "cuts its artifact short", stoppedBy: []string{"seals", "seccomp"}, try: func(a *arena) error {
			return unix.Ftruncate(int(a.files[0].Fd()), 0)
		}},
		{name: "punches a hole into its artifact", stoppedBy: []string{"seals", "seccomp"}, try: func(a *arena) error {
			return unix.Fallocate(int(a.files[0].Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, 0, 4096)
		}},
		{name: "locks memory", stoppedBy: []string{"seccomp"}, try: call(unix.SYS_MUNLOCKALL)},
		{name: "opens the artifact by a new name", stoppedBy: []string{"root", "seccomp"}, try: func(a *arena) error {
			if len(a.files) == 0 {
				return errors.New("no file")
			}
			_, err := unix.Open(fmt.Sprintf("/proc/self/fd/%d", a.files[0].Fd()), unix.O_RDWR, 0)
			return err
		}},
	}
}
