package sandbox

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// arg0 tells the test binary that it is the process to confine, and the argument after it what to do then.
const arg0 = "troupe-confined"

const fileBytes = 1000

func TestMain(m *testing.M) {
	if os.Args[0] == arg0 {
		confined(os.Args[1])
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// confined applies the sandbox and then does what a test wants to see. It prints one line for each thing that it finds.
func confined(what string) {
	cfg := Config{Keep: 2, MaxFileBytes: fileBytes, Args: os.Args[2:]}
	held, gaps := Apply(cfg)
	fmt.Println("held", strings.Join(held, " "))
	for _, g := range gaps {
		fmt.Printf("gap %s: %s\n", g.Layer, g.Why)
	}
	if sealed, ok := strings.CutPrefix(what, "sealed "); ok {
		if err := Seal(cfg); err != nil {
			fmt.Println("not sealed:", err)
		}
		what = sealed
	}
	fmt.Println("now", what)
	deeds()[what]()
	fmt.Println("survived")
}

func say(what string, err error) { fmt.Printf("%s: %v\n", what, err) }

// deeds are what a confined process is told to do.
func deeds() map[string]func() {
	call := func(number uintptr, args ...uintptr) func() {
		args = append(args, make([]uintptr, 6)...)
		return func() { _, _, _ = unix.RawSyscall6(number, args[0], args[1], args[2], args[3], args[4], args[5]) }
	}
	executable := func() {
		if _, err := unix.Mmap(-1, 0, 4096, unix.PROT_READ|unix.PROT_EXEC, unix.MAP_PRIVATE|unix.MAP_ANON); err != nil {
			say("mmap", err)
		}
	}
	return map[string]func(){
		"nothing":     func() {},
		"look":        look,
		"live":        func() { live(50) },
		"live on":     func() { live(1000) },
		"exec memory": executable,
		"protect": func() {
			b, err := unix.Mmap(-1, 0, 4096, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
			say("mprotect", errors.Join(err, unix.Mprotect(b, unix.PROT_READ|unix.PROT_EXEC)))
		},
		"another filter": func() { _ = install(secondFilter(), confirmSecond) },
		"write and exec": func() {
			_, _ = unix.Mmap(-1, 0, 4096, unix.PROT_READ|unix.PROT_WRITE|unix.PROT_EXEC, unix.MAP_PRIVATE|unix.MAP_ANON)
		},
		"open":       func() { _, _ = os.Open("/") },
		"socket":     call(unix.SYS_SOCKET, unix.AF_UNIX, unix.SOCK_STREAM),
		"execve":     call(unix.SYS_EXECVE),
		"ptrace":     call(unix.SYS_PTRACE),
		"fork":       call(unix.SYS_CLONE, uintptr(unix.SIGCHLD)),
		"new thread": call(unix.SYS_CLONE, unix.CLONE_NEWUSER|unix.CLONE_THREAD),
		"kill":       call(unix.SYS_KILL, 1, 0),
		"tgkill":     call(unix.SYS_TGKILL, 12345, 12345, 0),
		"prctl":      call(unix.SYS_PRCTL, unix.PR_SET_DUMPABLE, 1),
		"unshare":    call(unix.SYS_UNSHARE, unix.CLONE_NEWUSER),
		"mount":      call(unix.SYS_MOUNT),
		"bpf":        call(unix.SYS_BPF),
		"io_uring":   call(unix.SYS_IO_URING_SETUP),
		"userfault":  call(unix.SYS_USERFAULTFD),
		"dup":        call(unix.SYS_DUP, 0),
		"fcntl":      call(unix.SYS_FCNTL, 0, unix.F_SETFL),
		"memfd":      call(unix.SYS_MEMFD_CREATE),
		"strict":     call(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_STRICT),
		"no number":  call(0x7fff),
		"clone3": func() {
			_, _, errno := unix.RawSyscall(unix.SYS_CLONE3, 0, 0, 0)
			say("clone3", errno)
		},
		"futex of another kind": call(unix.SYS_FUTEX, 0, 6), // FUTEX_LOCK_PI
	}
}

// look tries what the layers below the filter forbid.
func look() {
	_, err := unix.FcntlInt(3, unix.F_GETFD, 0)
	say("inherited", err)
	say("environment", fmt.Errorf("%d entries", len(os.Environ())))
	for name, path := range map[string]string{"own files": "/proc/self/status", "password": "/etc/passwd", "root": "/"} {
		_, err := os.ReadDir(path)
		if path != "/" {
			_, err = os.ReadFile(path)
		}
		say(name, err)
	}
	say("directory", os.Mkdir("/x", 0o700))
	say("user", fmt.Errorf("%d", os.Getuid()))
	say("process", fmt.Errorf("%d", os.Getpid()))
	_, err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	say("socket", err)
	say("mount", unix.Mount("x", "/", "tmpfs", 0, ""))
	say("host name", unix.Sethostname([]byte("x")))
	say("raise", unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{Cur: 1, Max: 1}))
	fd, err := unix.MemfdCreate("big", 0)
	if err == nil {
		_, err = unix.Pwrite(fd, []byte{1}, fileBytes)
	}
	say("write past the limit", err)
	var files []int
	for err = nil; err == nil && len(files) < 10*maxFiles; {
		fd, err = unix.Dup(0)
		files = append(files, fd)
	}
	say("descriptors", err)
}

// live does what a worker does all its life: collections, threads that wait in the kernel, timers, memory.
func live(collections int) {
	var wg sync.WaitGroup
	var mu sync.Mutex
	for range 8 {
		wg.Go(func() {
			runtime.LockOSThread() // never unlocked: the thread ends with it
			mu.Lock()
			time.AfterFunc(time.Microsecond, mu.Unlock)
		})
	}
	wg.Wait()
	for n := range collections {
		keep := make([][]byte, 64)
		for i := range keep {
			keep[i] = make([]byte, 1<<10)
		}
		runtime.GC()
		if n%100 == 0 {
			debug.FreeOSMemory()
			<-time.After(time.Millisecond)
		}
	}
	big := make([]byte, 64<<20)
	big[len(big)-1] = 1
	r, err := func() (v any, err error) {
		defer func() { v = recover() }()
		var p *int
		return *p, nil // the fault is what is wanted: a signal of the processor reaches the runtime
	}()
	fmt.Println("recovered", r != nil, err, len(big))
}

// start runs the test binary as a process to confine, by a plan.
func start(t *testing.T, what string, plan Plan, tune func(*exec.Cmd), more ...string) (string, error) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	cmd := &exec.Cmd{
		Path: "/proc/self/exe", Args: append([]string{arg0, what, Outside()}, more...), Env: []string{}, ExtraFiles: []*os.File{w},
		SysProcAttr: plan.Attr(nil),
	}
	if tune != nil {
		tune(cmd)
	}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	runtime.LockOSThread() // whose death would be the child's
	defer runtime.UnlockOSThread()
	err = cmd.Run()
	return out.String(), err
}

// best is the plan that a host would use. Machines that confine tests themselves have not all of it.
func best(t *testing.T) Plan {
	t.Helper()
	st, err := os.Stat("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	return Plans(st)[0]
}

// all are the layers that Apply reports.
func all() []string {
	return slices.DeleteFunc(Layers(), func(l string) bool {
		return l == NoExec || l == Cgroup || hasCgo() && (l == Landlock || l == Caps)
	})
}

func heldBy(out string) []string {
	line, _, _ := strings.Cut(out, "\n")
	return strings.Fields(line)[1:]
}

func TestWhatIsHeldHolds(t *testing.T) {
	got, err := start(t, "nothing", best(t), nil)
	if err != nil || !slices.Equal(heldBy(got), all()) {
		t.Errorf("%v, want all of %v:\n%s", err, all(), got)
	}
}

// TestWhatDoesNotHoldIsNotClaimed starts the process without what its parent does for it.
func TestWhatDoesNotHoldIsNotClaimed(t *testing.T) {
	got, err := start(t, "nothing", Plan{}, func(c *exec.Cmd) { c.Env, c.SysProcAttr = []string{"SECRET=1"}, nil })
	want := slices.DeleteFunc(all(), func(l string) bool {
		return slices.Contains([]string{Env, UserNS, MountNS, PIDNS, NetNS, IPCNS, UTSNS, Root, DeathSig}, l)
	})
	if err != nil || !slices.Equal(heldBy(got), want) {
		t.Errorf("%v: want %v\n%s", err, want, got)
	}
	for _, gap := range []string{"gap env: the environment has 1 entries", "gap netns: it is that of the host", "gap root: it needs a mount namespace", "gap pdeathsig: the host did not ask for it"} {
		if !strings.Contains(got, gap) {
			t.Errorf("no %q in\n%s", gap, got)
		}
	}
}

// TestEachNamespaceByItself: what is missing is named, and only that.
func TestEachNamespaceByItself(t *testing.T) {
	for _, n := range namespaces()[2:] {
		got, err := start(t, "nothing", best(t).Without(n.layer), nil)
		want := slices.DeleteFunc(all(), func(l string) bool { return l == n.layer })
		if err != nil || !slices.Equal(heldBy(got), want) {
			t.Errorf("without %s: %v\n%s", n.layer, err, got)
		}
	}
}

// TestLifeGoesOn: a confined process makes threads, collects garbage and has timers, before and after it is sealed.
func TestLifeGoesOn(t *testing.T) {
	for _, what := range []string{"live", "sealed live on"} {
		got, err := start(t, what, best(t), nil)
		if err != nil || !strings.Contains(got, "recovered true") || !strings.Contains(got, "survived") || strings.Contains(got, "not sealed") {
			t.Errorf("%s: %v\n%s", what, err, got)
		}
	}
}

// TestForbiddenCallsKill: one process for each call.
func TestForbiddenCallsKill(t *testing.T) {
	for _, what := range []string{"write and exec", "open", "socket", "execve", "ptrace", "fork", "new thread", "kill", "tgkill", "prctl",
		"unshare", "mount", "bpf", "io_uring", "userfault", "dup", "fcntl", "memfd", "strict", "no number", "futex of another kind",
		"sealed exec memory", "sealed protect", "sealed another filter", "sealed open"} {
		got, err := start(t, what, best(t), nil)
		if hasCgo() && strings.HasSuffix(what, "open") { // a C library opens a file now and then
			if err != nil || !strings.Contains(got, "survived") {
				t.Errorf("%s with cgo: %v\n%s", what, err, got)
			}
			continue
		}
		exit, ok := errors.AsType[*exec.ExitError](err)
		if !ok || exit.Sys().(syscall.WaitStatus).Signal() != unix.SIGSYS || !strings.Contains(got, "now ") || strings.Contains(got, "survived") {
			t.Errorf("%s: %v\n%s", what, err, got)
		}
	}
	for _, what := range []string{"exec memory", "protect", "another filter", "sealed nothing"} {
		if got, err := start(t, what, best(t), nil); err != nil || !strings.Contains(got, "survived") {
			t.Errorf("%s: %v\n%s", what, err, got)
		}
	}
	if got, err := start(t, "clone3", best(t), nil); err != nil || !strings.Contains(got, "clone3: "+unix.ENOSYS.Error()) {
		t.Errorf("clone3: %v\n%s", err, got)
	}
}

// TestLimitIsReadBack looks at limits that do not change anything.
func TestLimitIsReadBack(t *testing.T) {
	var before unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_CORE, &before); err != nil {
		t.Fatal(err)
	}
	if err := limit(unix.RLIMIT_CORE, before.Max); err != nil {
		t.Errorf("the limit that holds already does not hold: %v", err)
	}
	if limit(999, 0) == nil {
		t.Error("a limit that does not exist holds")
	}
}

// TestAsAnOrdinaryUser runs the others without privilege.
func TestAsAnOrdinaryUser(t *testing.T) {
	if os.Geteuid() != 0 {
		return // so are the others
	}
	dir := t.TempDir()
	program, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "sandbox.test")
	if err := errors.Join(os.WriteFile(path, program, 0o755), os.Chmod(dir, 0o755), os.Chmod(filepath.Dir(dir), 0o755)); err != nil {
		t.Fatal(err)
	}
	c := exec.Command(path)
	c.Dir = "/"
	c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	if out, err := c.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
