package worker

import (
	"context"
	"errors"
	"io"
	"os"
	"runtime"
	"slices"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/artifacts"
	"github.com/troupehost/troupe/artifacts/sealed"
	"github.com/troupehost/troupe/host/engine"
	"github.com/troupehost/troupe/host/sandbox"
	"github.com/troupehost/troupe/host/wire"
)

// maxOutputFile bounds the file into which a prepare worker writes an artifact, in bytes. The host lowers it further.
const maxOutputFile = 4 << 30

// session is the life of one worker process.
type session struct {
	conn *wire.WorkerConn
	app  *engine.App
	time *clock // nil: none
	runs *runner

	whole bool           // the process is ours
	left  func(code int) // the host has closed the socket of an execute worker, or says something on it
	box   sandbox.Config

	heap   *collector     // nil: the process is not ours
	blank  *engine.Blank  // waits for an artifact; nil: there is none
	beside sync.WaitGroup // what else reads from the connection: a process ends without waiting for it
}

// serve confines this process, as whose arguments args are, and serves the socket fd.
func serve(fd int, args []string) int {
	if runtime.GOMAXPROCS(0) < 2 {
		runtime.GOMAXPROCS(2) // one is for the timer of output while the guest computes
	}
	s := &session{conn: wire.NewWorkerConn(fd), whole: true, left: os.Exit}
	var err error
	if s.time, err = newClock(); err != nil {
		_, _ = os.Stderr.WriteString("worker: no clock: " + err.Error() + "\n")
	}
	s.box = sandbox.Config{Keep: fd, MaxFileBytes: maxOutputFile, Args: args}
	held, gaps := sandbox.Apply(s.box) // last: what was done above is forbidden now
	if err := s.serve(held, gaps); err != nil && !errors.Is(err, io.EOF) {
		_, _ = os.Stderr.WriteString("worker: " + err.Error() + "\n")
		return 1
	}
	return 0
}

func (s *session) serve(held []string, gaps []sandbox.Gap) error {
	m, err := s.conn.Receive()
	if err != nil {
		return err
	}
	hello, ok := m.(wire.Hello)
	if !ok {
		return wire.ErrFrame
	}
	ready := wire.Ready{BuildID: wire.BuildID(), Held: held}
	for _, g := range gaps {
		ready.Gaps = append(ready.Gaps, wire.Gap{Layer: g.Layer, Why: g.Why})
	}
	if hello.Probe {
		files, err := s.conn.TakeFiles(1)
		if err != nil {
			return err
		}
		build, err := engine.SelfTest(files[0])
		if err != nil {
			return s.failed(err)
		}
		ready.CPU = build.CPU
		if err := s.seal(held); err != nil { // as a worker that holds an artifact does
			ready.Gaps = append(ready.Gaps, wire.Gap{Layer: sandbox.NoExec, Why: err.Error()})
		} else {
			ready.Held = append(ready.Held, sandbox.NoExec)
		}
	}
	if hello.Warm { // what can be made ahead is made while nobody waits; an error comes again when it matters
		s.blank, _ = engine.Warm(context.Background())
		if s.whole {
			s.heap = newCollector()
		}
	}
	if err := s.conn.Send(ready); err != nil {
		return err
	}
	if m, err = s.conn.Receive(); err != nil {
		return err
	}
	switch m := m.(type) {
	case wire.Prepare:
		return s.prepare(m, held)
	case wire.Check:
		return s.check(m)
	case wire.Load:
		if err := s.load(m); err != nil {
			return s.failed(err)
		}
		if err := s.seal(held); err != nil && !errors.Is(err, errUnsealable) && !errors.Is(err, sandbox.ErrLeftOut) {
			return s.failed(fault.New(fault.HostSpawnFailed, "seal worker", sandbox.NoExec, err))
		}
		if err := s.conn.Send(wire.Loaded{}); err != nil {
			return err
		}
		s.beside.Go(s.awaitEnd)
		return s.runs.serve()
	}
	return wire.ErrFrame
}

var errUnsealable = errors.New("it needs the filter of system calls")

// seal forbids more executable memory, where the first filter is there to forbid the rest.
func (s *session) seal(held []string) error {
	if !slices.Contains(held, sandbox.Seccomp) {
		return errUnsealable
	}
	return sandbox.Seal(s.box)
}

func (s *session) failed(err error) error {
	f := fault.From(err)
	return s.conn.Send(wire.Failed{Code: f.Code, Message: words(f)})
}

// load makes this the worker of one artifact.
func (s *session) load(m wire.Load) error {
	n := len(m.Files)
	files, err := s.conn.TakeFiles(n + 2)
	if err != nil {
		return err
	}
	ring, err := wire.OpenWorkerRing(files[n], files[n+1])
	if err != nil {
		return err
	}
	var parts engine.Parts
	var made int64      // bytes that the engine makes its own things of
	spent := [][]byte{} // what is not read once it is loaded
	for i, name := range m.Files {
		if name == wire.FileScratch {
			parts.Scratch = files[i]
			continue
		}
		b, err := view(files[i])
		if err != nil {
			return err
		}
		switch name {
		case artifacts.PartModule: // the engine keeps using it
			parts.Module = b
			made += int64(len(b))
		case artifacts.PartFrame:
			parts.Frame, spent = b, append(spent, b)
			made += int64(len(b))
		case artifacts.PartCode:
			parts.Code, spent = engine.Content{Bytes: b, File: files[i]}, append(spent, b)
		case artifacts.PartImage: // it is mapped again for each instance
			parts.Image = engine.Content{Bytes: b, File: files[i]}
			continue
		case artifacts.PartSnapshot:
			parts.Snapshot = engine.Content{Bytes: b, File: files[i]}
			continue
		default:
			return wire.ErrFrame
		}
		defer files[i].Close()
	}
	blank := s.blank
	if s.blank = nil; blank == nil {
		if blank, err = engine.Warm(context.Background()); err != nil {
			return err
		}
	}
	if s.heap == nil && s.whole {
		s.heap = newCollector()
	}
	s.heap.loads(made)
	if s.app, err = blank.Load(context.Background(), parts); err != nil {
		return err
	}
	for _, b := range spent {
		if b != nil {
			_ = unix.Munmap(b)
		}
	}
	s.heap.loaded(made)
	s.runs = newRunner(ring, s.app, s.time, s.heap)
	return nil
}

// awaitEnd waits for the end of the conversation on the socket, where nothing is said any more once a worker has loaded:
// the host is gone, and what runs is of no use to anybody.
func (s *session) awaitEnd() {
	_, err := s.conn.Receive()
	if err == io.EOF {
		s.left(0)
	} else {
		s.left(1)
	}
}

// view maps a file from the host, which must be sealed: bytes that can change under a reader are not read.
func view(f *os.File) ([]byte, error) {
	if !sealed.IsSealed(f.Fd()) {
		return nil, errors.New("the host sent a file that is not sealed")
	}
	st, err := f.Stat()
	if err != nil || st.Size() == 0 {
		return nil, err
	}
	return unix.Mmap(int(f.Fd()), 0, int(st.Size()), unix.PROT_READ, unix.MAP_SHARED)
}
