package sandbox

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// arg0 tells the test binary that it is the process to confine.
const arg0 = "troupe-confined"

const fileBytes = 1000

func TestMain(m *testing.M) {
	if os.Args[0] == arg0 {
		confined()
		return
	}
	os.Exit(m.Run())
}

// confined applies the sandbox and then tries what it forbids. It prints one line for each thing that it finds.
func confined() {
	fmt.Println("held", applied())
	report := func(what string, err error) { fmt.Printf("%s: %v\n", what, err) }
	_, err := unix.FcntlInt(3, unix.F_GETFD, 0)
	report("inherited", err)

	fd, err := unix.MemfdCreate("big", 0)
	if err == nil {
		_, err = unix.Pwrite(fd, []byte{1}, fileBytes)
	}
	report("write past the limit", err)

	var files []int
	for err = nil; err == nil && len(files) < 10*maxFiles; {
		fd, err = unix.Dup(0)
		files = append(files, fd)
	}
	report("descriptors", err)

	report("raise", unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{Cur: 1, Max: 1}))
	report("environment", fmt.Errorf("%d entries", len(os.Environ())))
	os.Exit(0)
}

func applied() string {
	held, gaps := Apply(Config{Keep: 2, MaxFileBytes: fileBytes, Args: os.Args[1:]})
	return strings.Join(held, " ") + fmt.Sprintf("\n%v", gaps)
}

func confine(t *testing.T, tune func(*exec.Cmd)) string {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	cmd := &exec.Cmd{
		Path: exe, Args: []string{arg0}, Env: []string{}, ExtraFiles: []*os.File{w},
		SysProcAttr: &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL},
	}
	if tune != nil {
		tune(cmd)
	}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v: %s", err, &out)
	}
	return out.String()
}

func TestWhatIsHeldHolds(t *testing.T) {
	got := confine(t, nil)
	for _, want := range []string{
		"held env fds pdeathsig nnp undumpable rlimits\n",
		"write past the limit: " + unix.EFBIG.Error(),
		"descriptors: " + unix.EMFILE.Error(),
		"inherited: " + unix.EBADF.Error(),
		"environment: 0 entries",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	if os.Geteuid() != 0 && !strings.Contains(got, "raise: "+unix.EPERM.Error()) {
		t.Errorf("limits can be raised again:\n%s", got)
	}
}

// TestWhatDoesNotHoldIsNotClaimed starts the process without two of the layers.
func TestWhatDoesNotHoldIsNotClaimed(t *testing.T) {
	got := confine(t, func(c *exec.Cmd) { c.Env, c.SysProcAttr = []string{"SECRET=1"}, nil })
	line, _, _ := strings.Cut(got, "\n")
	held := strings.Fields(line)[1:]
	if want := []string{Files, NoNewPrivs, Undumpable, Rlimits}; !slices.Equal(held, want) {
		t.Errorf("claims %v, want %v", held, want)
	}
}

func TestLimitIsReadBack(t *testing.T) {
	var before unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_CORE, &before); err != nil {
		t.Fatal(err)
	}
	if limit(unix.RLIMIT_CORE, before.Max) != nil {
		t.Error("the limit that holds already does not hold")
	}
	if limit(999, 0) == nil {
		t.Error("a limit that does not exist holds")
	}
}
