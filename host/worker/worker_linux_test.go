package worker

import (
	"bytes"
	"errors"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/artifacts"
	"github.com/troupehost/troupe/artifacts/sealed"
	"github.com/troupehost/troupe/host/sandbox"
	"github.com/troupehost/troupe/host/wire"
)

// TestMain makes the test binary a worker too, as an embedder's program is.
func TestMain(m *testing.M) {
	Main()
	os.Exit(m.Run())
}

func guest(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "..", "testdata", "guests", name+".wasm"))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// talk is a host that drives one worker.
type talk struct {
	t    testing.TB
	conn *wire.HostConn
	ring *wire.HostRing // nil: not loaded
	end  func() error   // waits for the worker's end
}

const patience = 30 * time.Second

// inProcess serves a session on a goroutine: the protocol without the confinement.
func inProcess(t testing.TB) *talk {
	t.Helper()
	h, file, err := wire.Pair()
	if err != nil {
		t.Fatal(err)
	}
	fd, err := unix.FcntlInt(file.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	_ = file.Close()
	_ = unix.SetNonblock(fd, false)
	ended := make(chan error, 1)
	go func() {
		s := &session{conn: wire.NewWorkerConn(fd)}
		s.left = func(int) { s.runs.ring.Hangup() }
		err := s.serve([]string{"nothing"}, nil)
		if s.app != nil {
			_ = s.app.Close()
		}
		// A descriptor that is closed while something reads from it may be that of the next session by then.
		_ = unix.Shutdown(fd, unix.SHUT_RDWR)
		s.beside.Wait()
		_ = unix.Close(fd)
		ended <- err
	}()
	return started(t, h, func() error {
		select {
		case err := <-ended:
			return err
		case <-time.After(patience):
			return errors.New("the session does not end")
		}
	})
}

// reexec starts the test binary as a worker. tune may change the command before it starts.
func reexec(t testing.TB, tune func(*exec.Cmd)) (*talk, *exec.Cmd) {
	t.Helper()
	h, file, err := wire.Pair()
	if err != nil {
		t.Fatal(err)
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := &exec.Cmd{
		Path: exe, Args: []string{wire.Arg0, wire.Arg1}, Env: []string{}, ExtraFiles: []*os.File{file}, Stderr: &bytes.Buffer{},
		SysProcAttr: &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL},
	}
	if tune != nil {
		tune(cmd)
	}
	runtime.LockOSThread() // whose death would be the child's
	t.Cleanup(runtime.UnlockOSThread)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_ = file.Close()
	var once error
	waited := false
	wait := func() error {
		if !waited {
			give := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
			once, waited = cmd.Wait(), true
			give.Stop()
		}
		return once
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = wait() })
	return started(t, h, wait), cmd
}

func started(t testing.TB, h *wire.HostConn, end func() error) *talk {
	t.Helper()
	t.Cleanup(func() { _ = h.Close() })
	if err := h.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return &talk{t: t, conn: h, end: end}
}

func (k *talk) send(m wire.Message, files ...uintptr) {
	k.t.Helper()
	if err := k.conn.Send(m, files...); err != nil {
		k.t.Fatalf("send %T: %v", m, err)
	}
}

// call sends what runs are made of, and hear receives what they answer.
func (k *talk) call(messages ...wire.Message) {
	k.t.Helper()
	for _, m := range messages {
		if err := k.ring.Send(m); err != nil {
			k.t.Fatalf("send %T: %v", m, err)
		}
	}
}

// load sends parts as the files that a worker loads, and a scratch file.
func (k *talk) load(parts map[string][]byte) {
	k.t.Helper()
	ring, file, event, err := wire.NewRing()
	if err != nil {
		k.t.Fatal(err)
	}
	k.ring = ring
	give := time.AfterFunc(patience, ring.Interrupt)
	k.t.Cleanup(func() { give.Stop(); _ = ring.Close() })
	scratch, err := sealed.NewScratch("scratch", 16<<20)
	if err != nil {
		k.t.Fatal(err)
	}
	m, fds := wire.Load{}, []uintptr{}
	for name, b := range parts {
		m.Files, fds = append(m.Files, name), append(fds, k.file(b).Fd())
	}
	m.Files = append(m.Files, wire.FileScratch)
	k.send(m, append(fds, scratch.Fd(), file.Fd(), event.Fd())...)
	_, _, _ = file.Close(), event.Close(), scratch.Close()
}

func hear[M wire.Message](k *talk) M {
	k.t.Helper()
	m, err := k.ring.Receive()
	return as[M](k, m, err)
}

func receive[M wire.Message](k *talk) M {
	k.t.Helper()
	m, err := k.conn.Receive()
	return as[M](k, m, err)
}

func as[M wire.Message](k *talk, m wire.Message, err error) M {
	k.t.Helper()
	if err != nil {
		k.t.Fatalf("receive: %v", err)
	}
	want, ok := m.(M)
	if !ok {
		k.t.Fatalf("received %#v, not a %T", m, want)
	}
	return want
}

func (k *talk) hello() wire.Ready {
	k.t.Helper()
	k.send(wire.Hello{BuildID: wire.BuildID()})
	return receive[wire.Ready](k)
}

func (k *talk) file(b []byte) *sealed.File {
	k.t.Helper()
	f, err := sealed.FromBytes("test", b)
	if err != nil {
		k.t.Fatal(err)
	}
	k.t.Cleanup(f.Release)
	return f
}

// output returns an empty file for a prepare worker.
func (k *talk) output() *os.File {
	k.t.Helper()
	f, err := sealed.NewUnsealed("out")
	if err != nil {
		k.t.Fatal(err)
	}
	k.t.Cleanup(func() { _ = f.Close() })
	return f
}

// prepared brings one code through a worker and returns its parts by name.
func prepared(t testing.TB, code []byte) (map[string][]byte, wire.Prepared) {
	t.Helper()
	k := inProcess(t)
	k.hello()
	out := k.output()
	k.send(wire.Prepare{MaxInflatedBytes: 64 << 20}, k.file(code).Fd(), out.Fd())
	m := receive[wire.Prepared](k)
	if err := k.end(); err != nil {
		t.Errorf("after its one job: %v", err)
	}
	parts := map[string][]byte{}
	for _, p := range m.Parts {
		b := make([]byte, p.Bytes)
		if _, err := out.ReadAt(b, p.Offset); err != nil {
			t.Fatal(err)
		}
		parts[p.Name] = b
	}
	return parts, m
}

// loaded returns a worker that holds the artifact of a guest.
func loaded(t testing.TB, name string) *talk {
	t.Helper()
	parts, _ := prepared(t, guest(t, name))
	k := inProcess(t)
	k.hello()
	k.load(parts)
	receive[wire.Loaded](k)
	return k
}

func command() wire.Terms {
	return wire.Terms{Entry: run.Entry{Mode: run.Command}, MemoryBytes: 16 << 20, OutputBytes: 1 << 20}
}

func TestPrepareDeliversTheParts(t *testing.T) {
	parts, m := prepared(t, guest(t, "kernels"))
	if len(parts) != 4 || len(parts[artifacts.PartCode]) == 0 || len(parts[artifacts.PartModule]) == 0 || len(parts[artifacts.PartFrame]) == 0 || len(parts[artifacts.PartImage]) == 0 {
		t.Errorf("parts %+v", m.Parts)
	}
	if m.Module.CodeBytes != int64(len(parts[artifacts.PartCode])) || len(m.Module.Exports) == 0 || m.Module.WasmBytes == 0 {
		t.Errorf("described as %+v", m.Module)
	}
}

func TestPrepareNamesWhatIsWrong(t *testing.T) {
	for name, want := range map[string]fault.Code{
		"not-wasm": fault.GuestNotWasm, "truncated": fault.GuestTruncated, "wrong-version": fault.GuestVersion,
		"component": fault.GuestComponent, "bad-body": fault.GuestInvalid, "bomb-zstd": fault.GuestDecompressionBomb,
		"": fault.GuestNotWasm,
	} {
		var code []byte
		if name != "" {
			code = guest(t, name)
		}
		k := inProcess(t)
		k.hello()
		k.send(wire.Prepare{MaxInflatedBytes: 1 << 20}, k.file(code).Fd(), k.output().Fd())
		if m := receive[wire.Failed](k); m.Code != want {
			t.Errorf("%q: %+v, want %s", name, m, want)
		}
	}
}

func TestWorkerReadsSealedFilesOnly(t *testing.T) {
	k := inProcess(t)
	k.hello()
	open := k.output()
	if _, err := open.Write(guest(t, "echo")); err != nil {
		t.Fatal(err)
	}
	k.send(wire.Prepare{MaxInflatedBytes: 1 << 20}, open.Fd(), k.output().Fd())
	if err := k.end(); err == nil || !strings.Contains(err.Error(), "not sealed") {
		t.Errorf("%v", err)
	}
}

func TestLoadRefusesWhatDoesNotFit(t *testing.T) {
	parts, _ := prepared(t, guest(t, "echo"))
	module, code := parts[artifacts.PartModule], parts[artifacts.PartCode]
	for name, change := range map[string]map[string][]byte{
		"no code":    {artifacts.PartCode: nil},
		"no module":  {artifacts.PartModule: nil},
		"no frame":   {artifacts.PartFrame: nil},
		"swapped":    {artifacts.PartModule: code, artifacts.PartCode: module},
		"cut code":   {artifacts.PartCode: code[:100]},
		"other code": {artifacts.PartCode: bytes.Repeat([]byte{0xcc}, len(code))},
		"cut frame":  {artifacts.PartFrame: parts[artifacts.PartFrame][:60]},
		"an image":   {artifacts.PartImage: make([]byte, 1<<20)},
	} {
		k := inProcess(t)
		k.hello()
		all := maps.Clone(parts)
		maps.Copy(all, change)
		k.load(all)
		if m := receive[wire.Failed](k); m.Code != fault.SuspectArtifact {
			t.Errorf("%s: %+v", name, m)
		}
	}
}

func TestProtocolIsHeld(t *testing.T) {
	for name, messages := range map[string][]wire.Message{
		"a run first":            {command()},
		"a second hello":         {wire.Hello{}, wire.Hello{}},
		"an answer of a worker":  {wire.Hello{}, wire.Loaded{}},
		"a run without artifact": {wire.Hello{}, command()},
		"a load without files":   {wire.Hello{}, wire.Load{}, nil},
		"a prepare without":      {wire.Hello{}, wire.Prepare{}},
	} {
		k := inProcess(t)
		for _, m := range messages {
			if m != nil {
				k.send(m)
			}
		}
		if slices.Contains(messages, nil) { // it is told why, and the host decides
			receive[wire.Ready](k)
			receive[wire.Failed](k)
			_ = k.conn.Close()
			_ = k.end()
			continue
		}
		if err := k.end(); !errors.Is(err, wire.ErrFrame) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestRunsOneAfterTheOther(t *testing.T) {
	k := loaded(t, "echo")
	for id, n := range []int{0, 1, 3*wire.MaxChunk + 5} {
		input := bytes.Repeat([]byte("troupe!"), n/7+1)[:n]
		if id == 0 {
			k.call(wire.Terms{Entry: run.Entry{Mode: run.Bytes, Name: "echo"}, MemoryBytes: 16 << 20, OutputBytes: 1 << 20})
		}
		first := min(n, wire.MaxChunk)
		k.call(wire.Call{Run: uint64(id), InputBytes: int64(n), Data: input[:first]})
		for rest := input[first:]; len(rest) > 0; {
			piece := rest[:min(len(rest), wire.MaxChunk)]
			k.call(wire.Input{Data: piece})
			rest = rest[len(piece):]
		}
		var got []byte
		for {
			m, err := k.ring.Receive()
			if err != nil {
				t.Fatal(err)
			}
			if r, ok := m.(wire.Result); ok {
				got = append(got, r.Data...)
				continue
			}
			f, ok := m.(wire.Finished)
			if !ok || f.Run != uint64(id) || f.Code != "" || f.Exited || f.MemoryPeakBytes == 0 {
				t.Fatalf("%+v", m)
			}
			break
		}
		if !bytes.Equal(got, input) {
			t.Errorf("%d bytes came back of %d", len(got), n)
		}
	}
	_ = k.conn.Close()
	if err := k.end(); err != io.EOF {
		t.Errorf("when the host left: %v", err)
	}
}

func TestStdinIsAskedFor(t *testing.T) {
	k := loaded(t, "echo-wasi")
	k.call(command(), wire.Call{Run: 7, Stdin: true})
	var got []byte
	for sent := 0; ; {
		m, err := k.ring.Receive()
		if err != nil {
			t.Fatal(err)
		}
		switch m := m.(type) {
		case wire.NeedStdin:
			if sent++; sent > 3 {
				k.call(wire.Stdin{EOF: true})
				continue
			}
			k.call(wire.Stdin{Data: []byte("abc")[:min(3, m.Max)]})
			continue
		case wire.Output:
			got = append(got, m.Data...)
			continue
		case wire.Finished:
			if m.Code != "" || !m.Exited || m.Exit != 0 {
				t.Errorf("%+v", m)
			}
		default:
			t.Errorf("%+v", m)
		}
		break
	}
	if string(got) != "abcabcabc" {
		t.Errorf("%q", got)
	}
}

func TestMoreStdinThanAskedForEndsTheWorker(t *testing.T) {
	k := loaded(t, "echo-wasi")
	k.call(command(), wire.Call{Run: 7, Stdin: true})
	if m := hear[wire.NeedStdin](k); m.Max >= wire.MaxChunk {
		t.Fatalf("the guest asks for %d, and nothing is more than that", m.Max)
	}
	k.call(wire.Stdin{Data: make([]byte, wire.MaxChunk)})
	if err := k.end(); fault.CodeOf(err) != fault.CanceledStopped {
		t.Errorf("%v", err)
	}
}

// TestFaultsTravel: a fault arrives with its code and without the words that the host adds itself.
func TestFaultsTravel(t *testing.T) {
	k := loaded(t, "trap")
	k.call(wire.Terms{Entry: run.Entry{Mode: run.Invoke, Name: "div0"}, MemoryBytes: 1 << 20, OutputBytes: 100}, wire.Call{Run: 1})
	if m := hear[wire.Finished](k); m.Code != fault.GuestTrap || !strings.HasPrefix(m.Message, "integer divide by zero in ") {
		t.Errorf("%+v", m)
	}
	k.call(wire.Terms{Entry: run.Entry{Mode: run.Invoke, Name: "none"}, MemoryBytes: 1 << 20, OutputBytes: 100}, wire.Call{Run: 2})
	if m := hear[wire.Finished](k); m.Code != fault.GuestMissingExport || m.Run != 2 {
		t.Errorf("%+v", m)
	}
}

// TestMachineFaultEndsTheWorker: what says nothing of the guest is not told as if it did.
func TestMachineFaultEndsTheWorker(t *testing.T) {
	k := loaded(t, "echo")
	k.call(wire.Terms{Entry: run.Entry{Mode: run.Bytes, Name: "echo"}, MemoryBytes: 1 << 62, OutputBytes: 100}, wire.Call{Run: 1})
	if err := k.end(); fault.CodeOf(err) != fault.HostMemory {
		t.Errorf("%v", err)
	}
}

func TestConfinedProcess(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	program, err := os.Stat("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	k, cmd := reexec(t, func(c *exec.Cmd) {
		c.ExtraFiles = append(c.ExtraFiles, w)
		c.Path = "/proc/self/exe" // whose directories another user need not enter
		c.Args, c.SysProcAttr = append(c.Args, sandbox.Outside()), sandbox.Plans(program)[0].Attr(nil)
	})
	_ = w.Close()
	ready := k.hello()
	want := slices.DeleteFunc(sandbox.Layers(), func(l string) bool { return l == sandbox.NoExec || l == sandbox.Cgroup })
	for _, g := range ready.Gaps {
		if g.Layer != sandbox.Landlock && g.Layer != sandbox.Caps || !strings.Contains(g.Why, "cgo") {
			t.Errorf("%+v", g)
		}
		want = slices.DeleteFunc(want, func(l string) bool { return l == g.Layer })
	}
	if !slices.Equal(ready.Held, want) || ready.BuildID != wire.BuildID() || ready.CPU != "" {
		t.Errorf("%+v", ready)
	}
	if err := r.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("the worker holds a descriptor that is not its own: %v", err)
	}
	status, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(cmd.Process.Pid), "status"))
	if err != nil || !strings.Contains(string(status), "NoNewPrivs:\t1\n") || !strings.Contains(string(status), "Seccomp:\t2\n") {
		t.Errorf("no new privileges: %v\n%s", err, status)
	}
	for what, limit := range map[int]uint64{unix.RLIMIT_CORE: 0, unix.RLIMIT_NOFILE: 64, unix.RLIMIT_FSIZE: maxOutputFile} {
		var got unix.Rlimit
		if err := unix.Prlimit(cmd.Process.Pid, what, nil, &got); err != nil || got.Max > limit || got.Cur > limit {
			t.Errorf("limit %d is %+v, %v", what, got, err)
		}
	}
	_ = k.conn.Close()
	if err := k.end(); err != nil {
		t.Errorf("when the host left: %v, %s", err, cmd.Stderr)
	}
}

// TestClaimsAreTrue leaves layers out, and they must be missing from the answer.
func TestClaimsAreTrue(t *testing.T) {
	k, _ := reexec(t, func(c *exec.Cmd) { c.Env, c.SysProcAttr = []string{"A=1"}, nil })
	held := k.hello().Held
	if slices.Contains(held, sandbox.Env) || slices.Contains(held, sandbox.DeathSig) || !slices.Contains(held, sandbox.NoNewPrivs) {
		t.Errorf("%v", held)
	}
}

func TestProbeNamesTheProcessor(t *testing.T) {
	k, _ := reexec(t, nil)
	scratch, err := sealed.NewScratch("test", wire.TestFileBytes)
	if err != nil {
		t.Fatal(err)
	}
	defer scratch.Close()
	k.send(wire.Hello{BuildID: wire.BuildID(), Probe: true}, scratch.Fd())
	if m := receive[wire.Ready](k); !strings.HasPrefix(m.CPU, runtime.GOARCH+"-") {
		t.Errorf("%+v", m)
	}
}

// TestOutputFileIsBounded: a worker that may not write its artifact says why with its last words.
func TestOutputFileIsBounded(t *testing.T) {
	k, cmd := reexec(t, nil)
	k.hello()
	if err := unix.Prlimit(cmd.Process.Pid, unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: 100, Max: 100}, nil); err != nil {
		t.Fatal(err)
	}
	k.send(wire.Prepare{MaxInflatedBytes: 1 << 20}, k.file(guest(t, "echo")).Fd(), k.output().Fd())
	if m, err := k.conn.Receive(); err == nil {
		t.Fatalf("%+v", m)
	}
	if err := k.end(); err == nil || !strings.Contains(cmd.Stderr.(*bytes.Buffer).String(), unix.EFBIG.Error()) {
		t.Errorf("%v: %s", err, cmd.Stderr)
	}
}

func TestMainRegistersOrdinaryProcesses(t *testing.T) {
	if !wire.SelfRegistered() {
		t.Error("Main left no trace")
	}
}

func BenchmarkWarmRun(b *testing.B) {
	k := loaded(b, "hash-puzzle")
	k.call(wire.Terms{Entry: run.Entry{Mode: run.Invoke, Name: "run", Args: []string{"0", "0"}}, MemoryBytes: 16 << 20, OutputBytes: 100})
	call := &wire.Call{Run: 1}
	b.ReportAllocs()
	for b.Loop() {
		k.call(call)
		hear[wire.Result](k)
		if m := hear[wire.Finished](k); m.Code != "" {
			b.Fatal(m)
		}
	}
}
