package pool

import (
	"fmt"
	"math"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/artifacts"
	"github.com/troupehost/troupe/host/wire"
)

// liar is a worker that is honest as a probe and breaks the protocol in one way afterwards.
type liar struct {
	mode  string
	conn  *wire.WorkerConn
	ring  *wire.WorkerRing // once it has loaded
	mem   []byte           // of the ring
	names []string         // of the files that came with the artifact, before those of the ring
	files []*os.File       // all of them
	terms wire.Terms
	runs  int // how many came
	begin chan os.Signal
}

func fake(mode string) int {
	if mode == "heir" {
		if _, err := unix.Mmap(wire.Socket+1, 0, 1, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED); err != nil {
			return 1
		}
		fmt.Print("x")
		_, _ = os.NewFile(wire.Socket, "socket").Read(make([]byte, 1)) // until the host closes its end
		return 0
	}
	l := &liar{mode: mode, conn: wire.NewWorkerConn(wire.Socket), begin: make(chan os.Signal, 1)}
	signal.Notify(l.begin, unix.SIGUSR1)
	hello, ok := l.next().(wire.Hello)
	if !ok {
		return 1
	}
	ready := wire.Ready{BuildID: wire.BuildID(), CPU: "fake", Held: []string{"nothing"}}
	if !hello.Probe {
		l.greet(&ready)
	}
	l.say(ready)
	switch m := l.next().(type) {
	case wire.Prepare:
		l.prepare()
	case wire.Check:
		l.check()
	case wire.Load:
		l.names = m.Files
		l.load()
		for {
			switch m := l.next().(type) {
			case wire.Terms:
				l.terms = m
			case wire.Call:
				l.runs++
				l.run(m)
			default:
				return 1
			}
		}
	}
	return 0
}

func (l *liar) next() wire.Message {
	receive := l.conn.Receive
	if l.ring != nil {
		receive = l.ring.Receive
	}
	m, err := receive()
	if err != nil {
		os.Exit(0)
	}
	return m
}

func (l *liar) say(m wire.Message) {
	if l.ring == nil {
		if err := l.conn.Send(m); err != nil {
			os.Exit(0)
		}
		return
	}
	if err := l.ring.Send(m); err != nil {
		os.Exit(0)
	}
	l.ring.Flush()
}

// raw writes bytes that are no frame, or half of one.
func (l *liar) raw(b ...byte) {
	if l.ring == nil {
		_, _ = unix.Write(wire.Socket, b)
		return
	}
	at := atomic.LoadUint64(l.tail())
	for n, c := range b {
		l.mem[ringBegin+(int(at)+n)%ringBytes] = c
	}
	atomic.StoreUint64(l.tail(), at+uint64(len(b)))
	l.ring.Flush()
}

// The shape of the ring, by which it is written to without the pains of wire: the position of the worker, and its bytes.
const (
	ringTail  = 512
	ringHead  = ringTail + 128 // of the host
	ringBegin = 4<<10 + ringBytes
	ringBytes = 256 << 10
)

func (l *liar) tail() *uint64 { return (*uint64)(unsafe.Pointer(&l.mem[ringTail])) }

// untilRead waits until the host has read all.
func (l *liar) untilRead() {
	for atomic.LoadUint64(l.tail()) != atomic.LoadUint64((*uint64)(unsafe.Pointer(&l.mem[ringHead]))) {
		runtime.Gosched()
	}
}

// dense writes the same frames for ever, as many at once as fit.
func (l *liar) dense(frames ...wire.Message) {
	for {
		for _, m := range frames {
			if l.ring.Send(m) != nil {
				os.Exit(0)
			}
		}
	}
}

// open takes over the ring.
func (l *liar) open() {
	n := len(l.names)
	files, err := l.conn.TakeFiles(n + 2)
	if err == nil {
		l.mem, err = unix.Mmap(int(files[n].Fd()), 0, wire.RingFile, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	}
	if err == nil {
		for _, f := range files { // the ring closes its own
			fd, _ := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0)
			l.files = append(l.files, os.NewFile(uintptr(fd), "from host"))
		}
		l.ring, err = wire.OpenWorkerRing(files[n], files[n+1])
	}
	if err != nil {
		os.Exit(1)
	}
	go func() { // the host is gone
		_, _ = l.conn.Receive()
		if !strings.HasSuffix(l.mode, " socket") {
			os.Exit(0)
		}
	}()
}

// sleep never returns; a select without cases would be a deadlock to the runtime.
func (l *liar) sleep() {
	for {
		_, _ = unix.Poll(nil, -1)
	}
}

func (l *liar) spin() {
	for { //nolint:staticcheck // it spins: that is what the host must end
	}
}

func (l *liar) greet(r *wire.Ready) {
	switch l.mode {
	case "greet: other build":
		r.BuildID = "0123456789abcdef\x1b[2J"
	case "greet: unconfined":
		r.Held = nil
	case "greet: garbage":
		l.raw([]byte("GET / HTTP/1.1\r\n\r\n")...)
	case "greet: silence":
		l.next()
	case "greet: exit":
		fmt.Fprintln(os.Stderr, "no room\x1b[31m here")
		os.Exit(3)
	}
}

// anywhere is what a worker can do in place of any answer. It returns if the mode is none of these.
func (l *liar) anywhere() {
	switch l.mode {
	case "garbage":
		l.raw([]byte("\x05\x00\x00\x00\xffabcde")...)
	case "huge frame":
		l.raw(0xff, 0xff, 0xff, 0xff, byte(wire.TypeOutput), 1, 2, 3)
		l.next()
	case "frame a little too long":
		l.raw(0, 0, 0x10, 0, byte(wire.TypeOutput))
		l.next()
	case "host's own frame":
		l.say(wire.Hello{BuildID: wire.BuildID()})
	case "half a frame, then exit":
		l.raw(200, 0, 0, 0, byte(wire.TypeFinished), 1, 2, 3)
		os.Exit(5)
	case "exit":
		fmt.Fprintln(os.Stderr, "last words \x1b[2J")
		os.Exit(3)
	case "abort":
		_ = unix.Kill(os.Getpid(), unix.SIGABRT)
		l.next()
	case "closed socket":
		_ = unix.Shutdown(wire.Socket, unix.SHUT_RDWR) // a thread that reads would keep it open
		_ = unix.Close(wire.Socket)
		l.sleep()
	case "words on the socket":
		_ = l.conn.Send(wire.Loaded{})
		l.sleep()
	case "descriptors on the socket":
		for { // as many as the kernel lets it have under way
			if unix.Sendmsg(wire.Socket, []byte{1}, unix.UnixRights(1, 1, 1, 1), nil, 0) != nil {
				l.sleep()
			}
		}
	case "stopped":
		_ = unix.Kill(os.Getpid(), unix.SIGSTOP)
		l.next()
	case "silence":
		l.next()
	case "spin":
		l.spin()
	case "noise":
		for range 1 << 10 {
			fmt.Fprintf(os.Stderr, "%04096d", 7)
		}
		os.Exit(3)
	case "hungry":
		var all [][]byte
		for {
			_, _ = unix.Poll(nil, 1)
			b := make([]byte, 4<<20)
			for i := 0; i < len(b); i += 4096 {
				b[i] = 1
			}
			all = append(all, b)
			if len(all) > 1<<10 {
				os.Exit(0)
			}
		}
	default:
		return
	}
	os.Exit(0)
}

func (l *liar) prepare() {
	files, err := l.conn.TakeFiles(2)
	if err != nil {
		os.Exit(1)
	}
	l.anywhere()
	out := files[1]
	_, _ = out.WriteAt([]byte("frame"+"module"+"code"), 0)
	m := wire.Prepared{Parts: []wire.PartRange{
		{Name: artifacts.PartFrame, Offset: 0, Bytes: 5},
		{Name: artifacts.PartModule, Offset: 5, Bytes: 6}, {Name: artifacts.PartCode, Offset: 11, Bytes: 4},
	}}
	code := &m.Parts[2]
	switch l.mode {
	case "prepare: offset behind the end":
		code.Offset = 16
	case "prepare: longer than the file":
		code.Bytes = 5
	case "prepare: numbers that wrap":
		code.Offset, code.Bytes = math.MaxInt64, math.MaxInt64
	case "prepare: same bytes twice":
		code.Offset, code.Bytes = 5, 10
	case "prepare: empty part":
		code.Bytes = 0
	case "prepare: one part":
		m.Parts = m.Parts[:1]
	case "prepare: no frame":
		m.Parts = m.Parts[1:]
	case "prepare: one part twice":
		code.Name = artifacts.PartModule
	case "prepare: unknown part":
		m.Parts = append(m.Parts, wire.PartRange{Name: "../../etc", Offset: 0, Bytes: 0})
	case "prepare: negative numbers":
		m.Module.WasmBytes = -1
	case "prepare: negative functions":
		m.Module.NumFunctions = -5
	case "prepare: blames the host":
		l.say(wire.Failed{Code: fault.HostDiskFull, Message: "me?"})
	case "prepare: unknown code":
		l.say(wire.Failed{Code: "guest.\x1b[2J"})
	case "prepare: believed":
		l.say(wire.Failed{Code: fault.GuestInvalid, Message: "evil \x1b[2J name"})
	case "prepare: seals the output":
		_, _ = unix.FcntlInt(out.Fd(), unix.F_ADD_SEALS, unix.F_SEAL_SEAL)
	case "prepare: leaves a child": // in a group of its own, with the output mapped and all descriptors open
		heir := exec.Command("/proc/self/exe")
		heir.Args = []string{fakeArg0, "heir"}
		heir.Stderr, heir.ExtraFiles = os.Stderr, []*os.File{os.NewFile(wire.Socket, "socket"), out}
		heir.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		ready, err := heir.StdoutPipe()
		if err != nil || heir.Start() != nil {
			os.Exit(1)
		}
		_, _ = ready.Read(make([]byte, 1))
	case "prepare: too much output":
		var err error
		b := make([]byte, 1<<20)
		for at := int64(0); err == nil; at += int64(len(b)) {
			_, err = out.WriteAt(b, at)
		}
		_ = out.Truncate(1 << 40)
		fmt.Fprintln(os.Stderr, err)
		os.Exit(3)
	}
	if strings.HasPrefix(l.mode, "snapshot: ") {
		l.snapshot(m, out)
	}
	l.say(m)
	l.next()
}

func (l *liar) load() {
	switch l.mode {
	case "load: failed":
		l.say(wire.Failed{Code: fault.HostDiskFull, Message: "\x1b[2J"})
	case "load: exit":
		os.Exit(4)
	case "load: not an answer":
		l.say(wire.Finished{})
	}
	l.say(wire.Loaded{})
	l.open()
	if l.mode == "quick" {
		runtime.LockOSThread()
		l.quick()
	}
	if mode, ok := strings.CutPrefix(l.mode, "idle: "); ok {
		l.mode = mode
		l.anywhere()
	}
	if l.mode == "load: goes on" {
		l.spin()
	}
}

// third is a worker that has five runs before it begins, and does well but for the third.
func (l *liar) third(c wire.Call) {
	if l.runs == 1 {
		<-l.begin
	}
	mode, _ := strings.CutPrefix(l.mode, "third: ")
	done := wire.Finished{Run: c.Run}
	if l.mode == "slow then spin" {
		if l.runs == 2 {
			l.ring.Flush()
			l.spin()
		}
	} else if l.runs == 3 {
		l.ring.Flush()
		switch mode {
		case "another run":
			done.Run += 100
		case "the next first":
			done.Run++
		case "an old one":
			done.Run--
		case "twice":
			l.say(wire.Result{Data: []byte("3")})
			l.say(done)
		case "result twice":
			l.say(wire.Result{Data: []byte("3")})
		case "exit":
			os.Exit(3)
		case "garbage":
			l.mode = "garbage"
			l.anywhere()
		case "half a frame":
			l.mode = "half a frame, then exit"
			l.anywhere()
		case "stdin":
			l.say(wire.NeedStdin{Max: 1})
			l.sleep()
		case "sleeps":
			l.sleep()
		case "spins":
			l.spin()
		case "stops":
			_ = unix.Kill(os.Getpid(), unix.SIGSTOP)
			l.sleep() // another thread may be the first to stop
		case "floods":
			for {
				l.say(wire.Output{Data: make([]byte, wire.MaxChunk)})
			}
		case "crumbs":
			l.dense(wire.Output{Data: []byte("a")}, wire.Output{Stderr: true, Data: []byte("b")})
		case "position back":
			l.untilRead()
			atomic.AddUint64(l.tail(), ^uint64(0))
			l.ring.Flush()
			l.sleep()
		case "position ahead":
			l.untilRead()
			atomic.AddUint64(l.tail(), 1<<40)
			l.ring.Flush()
			l.sleep()
		}
	}
	if l.ring.Send(wire.Result{Data: []byte(strconv.Itoa(l.runs))}) != nil || l.ring.Send(done) != nil {
		os.Exit(0)
	}
	if !l.ring.Buffered() {
		l.ring.Flush()
	}
}

// quick is an honest worker that does nothing else.
func (l *liar) quick() {
	var f wire.Frame
	var done wire.Finished
	for {
		if l.ring.Next(&f) != nil {
			os.Exit(0)
		}
		if f.Type != wire.TypeCall {
			continue
		}
		done.Run = f.Call.Run
		if l.ring.Send(&done) != nil {
			os.Exit(0)
		}
		if !l.ring.Buffered() {
			l.ring.Flush()
		}
	}
}

func (l *liar) run(c wire.Call) {
	if strings.HasPrefix(l.mode, "third: ") || l.mode == "slow then spin" {
		l.third(c)
		return
	}
	if strings.HasPrefix(l.mode, "ring: ") {
		l.ringed(c)
		return
	}
	if strings.HasPrefix(l.mode, "ask: ") {
		l.asking(c)
		return
	}
	l.anywhere()
	r := struct {
		wire.Terms
		Run uint64
	}{l.terms, c.Run}
	done := wire.Finished{Run: r.Run}
	switch l.mode {
	case "run: another run":
		done.Run++
	case "run: twice":
		l.say(done)
	case "run: result of a command":
		l.say(wire.Result{Data: []byte("x")})
	case "run: exit 0 as fault":
		done.Code, done.Exited = fault.GuestExit, true
	case "run: exit 1 as success":
		done.Exited, done.Exit = true, 1
	case "run: exit of a function":
		done.Exited = r.Entry.Mode != run.Command
	case "run: blames the host":
		done.Code = fault.HostDiskFull
	case "run: peak of everything":
		done.MemoryPeakBytes = math.MaxInt64
	case "run: gas of everything":
		done.GasUsed = r.Gas + 1
	case "run: gas of initialisation":
		done.InitGas = r.InitGas + 1
	case "run: all of its gas":
		done.GasUsed, done.InitGas, done.Code = r.Gas, r.InitGas, fault.GuestGasLimit
	case "run: out of no limit":
		done.Code = fault.GuestGasLimit
	case "run: negative peak":
		done.MemoryPeakBytes = -1
	case "run: stdin of nothing":
		l.say(wire.NeedStdin{})
	case "run: stdin twice":
		l.say(wire.NeedStdin{Max: 10})
		l.say(wire.NeedStdin{Max: 10})
	case "run: ends while it reads":
		l.say(wire.NeedStdin{Max: 10})
	case "run: too much stdin":
		l.say(wire.NeedStdin{Max: wire.MaxChunk + 1})
	case "run: flood":
		for {
			l.say(wire.Output{Data: make([]byte, wire.MaxChunk)})
		}
	case "run: flood of nothing":
		for {
			l.say(wire.Output{})
		}
	case "run: dense nothing":
		l.dense(wire.Output{})
	case "run: dense results of nothing":
		l.dense(wire.Result{})
	case "run: crumbs":
		l.dense(wire.Output{Data: []byte("a")})
	case "run: crumbs for two":
		l.dense(wire.Output{Data: []byte("a")}, wire.Output{Stderr: true, Data: []byte("b")})
	case "run: stdin after its end":
		l.say(wire.NeedStdin{Max: 1})
		l.next()
		l.dense(wire.NeedStdin{Max: 1})
	case "run: deaf":
		l.say(wire.NeedStdin{Max: wire.MaxChunk})
		l.sleep()
	case "run: wants memory":
		done.Code = fault.GuestMemory
	case "run: evil message":
		done.Code, done.Message = fault.GuestTrap, "\x1b[2J\u202e"
	}
	l.say(done)
	if l.mode == "run: goes on" {
		l.spin()
	}
}
