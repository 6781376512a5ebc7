package pool

import (
	"context"
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/troupehost/troupe/actors/execute"
	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/host/wire"
)

// session is one run on one worker.
//
// The caller's reader and writers may block for ever, so calls into them are made on goroutines of their own; when the run
// ends first, such a goroutine is left behind and what it brings is dropped.
type session struct {
	x      *executor
	ctx    context.Context // of its caller
	job    execute.Job
	limits run.Limits
	io     execute.IO
	alone  bool // nothing else stands in the ring beside it
	out    run.Outcome
	alive  bool  // the worker may be used again; valid with out
	left   int64 // bytes that the guest may still put out

	signal chan word
	drives bool      // from the beginning
	id     uint64    // in the ring
	asked  time.Time // when its frames were written

	// below: guarded by line.mu
	begun time.Time // since when the worker has it, as far as is known
	watch *watch    // nil: it has not lived long enough. One with streams has it from the beginning
	gone  bool      // nobody waits for it any more
	heard bool      // its owner is told of its outcome, or will be

	frames, bytes int64        // of output and results that came
	pieces        chan piece   // to the goroutine that calls the writers; nil until the first
	written       chan written // from it

	reading atomic.Bool // the guest waits for stdin
	writing atomic.Bool // the guest waits for a writer

	mu    sync.Mutex // held while the answer to a NeedStdin is sent
	over  bool
	taken bool // bytes were taken from stdin, or may be: the run cannot be repeated
	buf   []byte
	end   error // of stdin: io.EOF, or what the reader said with its last bytes
	told  bool  // the worker knows the end of stdin

	questions questions
}

// piece is a call of a writer, and written what came of it.
type (
	piece struct {
		w io.Writer
		p []byte
	}
	written struct {
		n   int
		err error
	}
)

// waits reports whether the guest waits for the caller.
func (s *session) waits() bool {
	return s.reading.Load() || s.writing.Load() || s.questions.open.Load()
}

// close ends the session for a reader and a writer that are left behind.
func (s *session) close() {
	if s.pieces != nil {
		close(s.pieces)
		s.pieces = nil
	}
	s.questions.close()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.over = true
	if s.taken {
		s.out.Delivered = max(s.out.Delivered, 1)
	}
}

// lie is the fault of a worker that breaks the protocol.
func (s *session) lie(what string) error {
	return s.fault(fault.SuspectBadReply, worded(what))
}

func (s *session) fault(code fault.Code, cause error) *fault.Error {
	return fault.New(code, opRun, s.x.id, cause)
}

// watchLocked has a watch look after the run from now on. before is the CPU time of the process when it began.
func (s *session) watchLocked(before time.Duration) {
	s.watch = s.x.watchSince(s.ctx, opRun, bounds{
		cpu: s.limits.CPU, wall: s.limits.Wall,
		cpuCode: fault.GuestCPULimit, wallCode: fault.SuspectWallLimit,
		waits: s.waits, waitCode: fault.GuestWallLimit,
	}, s.begun, before)
}

// gas returns what the worker said it used.
func (s *session) gas() int64 {
	if u := s.out.Usage; u.GasUsed != nil && u.InitGas != nil {
		return *u.GasUsed + *u.InitGas
	}
	return 0
}

// take takes what the worker says of the run. finished: that was the last.
func (s *session) take(f *wire.Frame) (finished bool, err error) {
	if s.questions.unheard {
		return false, s.lie("it speaks before it has its answer")
	}
	switch f.Type {
	case wire.TypeOutput:
		m, more := s.x.line.ring.Gather(f.Output)
		if err = s.count(1+more, m.Data); err != nil {
			return false, err
		}
		if m.Stderr {
			return false, s.output(s.io.Stderr, &s.out.Stderr, m.Data)
		}
		return false, s.output(s.io.Stdout, &s.out.Stdout, m.Data)
	case wire.TypeResult:
		if s.command() {
			return false, s.lie("a command has no result")
		}
		if err = s.count(1, f.Result.Data); err != nil {
			return false, err
		}
		return false, s.output(nil, &s.out.Result, f.Result.Data)
	case wire.TypeNeedStdin:
		return false, s.needStdin(f.NeedStdin.Max)
	case wire.TypeAsk:
		return false, s.ask(&f.Ask)
	case wire.TypeFinished:
		return true, s.finish(f.Finished)
	}
	return false, s.lie("not an answer")
}

// count bounds what the frames of a worker cost the host: their bytes have a limit of their own, which frames of few bytes
// or none hardly touch.
func (s *session) count(frames int64, p []byte) error {
	s.frames += frames
	s.bytes += int64(len(p))
	switch {
	case len(p) == 0:
		return s.lie("an empty piece")
	case s.frames > wire.Pieces(0, s.bytes) && s.frames > wire.Pieces(time.Since(s.begun), s.bytes):
		return s.lie("too many small pieces")
	}
	return nil
}

// output takes a piece of output, which is a view of the frame, for a writer or else into a buffer.
func (s *session) output(w io.Writer, captured *[]byte, p []byte) error {
	over := int64(len(p)) > s.left
	p = p[:min(int64(len(p)), s.left)]
	s.left -= int64(len(p))
	if w == nil {
		*captured = append(*captured, p...)
	} else if err := s.write(w, p); err != nil {
		return err
	}
	if over {
		return s.fault(fault.GuestOutputLimit, nil)
	}
	return nil
}

func (s *session) write(w io.Writer, p []byte) error {
	if s.pieces == nil {
		pieces, done := make(chan piece), make(chan written, 1)
		s.pieces, s.written = pieces, done
		go func() {
			for c := range pieces {
				n, err := c.w.Write(c.p)
				done <- written{n, err}
			}
		}()
	}
	s.writing.Store(true)
	defer s.writing.Store(false)
	s.pieces <- piece{w, p}
	select {
	case r := <-s.written:
		s.out.Delivered += int64(r.n)
		if r.err != nil {
			return fault.New(fault.CanceledCaller, opRun, "output", r.err)
		}
		return nil
	case <-s.watch.ended:
	case <-s.x.proc.dead:
	}
	s.out.Delivered += int64(len(p)) // or less: what an unknown part of it amounts to, nobody may repeat
	return io.ErrClosedPipe
}

// needStdin starts to serve a read of the guest.
func (s *session) needStdin(most int64) error {
	if most <= 0 || s.io.Stdin == nil || s.reading.Swap(true) {
		return s.lie("stdin asked for in vain")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.end != nil {
		if s.told {
			return s.lie("stdin asked for after its end")
		}
		return s.answerLocked(nil)
	}
	s.taken = true
	if int64(len(s.buf)) < most {
		s.buf = make([]byte, most)
	}
	go s.read(s.buf[:most])
	return nil
}

func (s *session) read(buf []byte) {
	n, err := 0, error(nil)
	for range 100 { // as bufio does with readers that return nothing
		if n, err = s.io.Stdin.Read(buf); n != 0 || err != nil {
			break
		}
	}
	if n < 0 || n > len(buf) || n == 0 && err == nil {
		n, err = 0, io.ErrNoProgress
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.end = err
	if s.over {
		return
	}
	// A death is seen by who drives too. A position that cannot be is seen here only.
	if err := s.answerLocked(buf[:n]); errors.Is(err, wire.ErrFrame) {
		s.x.line.fail(err)
		s.x.halt()
	}
}

// answerLocked sends what the guest waits for.
func (s *session) answerLocked(data []byte) error {
	if len(data) == 0 && s.end != io.EOF {
		f := fault.New(fault.CallerInvalid, opRun, "stdin", s.end)
		s.watch.stop(f)
		return f
	}
	s.reading.Store(false) // before the worker can have the answer and ask again
	s.told = len(data) == 0
	return s.x.line.ring.Send(wire.Stdin{Data: data, EOF: s.told})
}

// finish checks the end of a run.
func (s *session) finish(m wire.Finished) error {
	command := s.command()
	switch {
	case m.Run != s.id:
		return s.lie("the end of another run")
	case s.reading.Load():
		return s.lie("finished while it reads")
	case m.Exited && !command, m.Exited && (m.Exit == 0) != (m.Code == ""), m.Code == fault.GuestExit && !m.Exited:
		return s.lie("an exit code that cannot be")
	case passes(m.GasUsed, s.limits.Gas), passes(m.InitGas, s.limits.InitGas):
		return s.lie("more gas than it had")
	case m.Code == fault.GuestGasLimit && s.limits.Gas == run.NoGasLimit && s.limits.InitGas == run.NoGasLimit:
		return s.lie("out of gas that has no limit")
	case m.InitGas < s.questions.gas-min(m.GasUsed, s.questions.gas), m.MemoryPeakBytes < s.questions.memory:
		return s.lie("less than it said before")
	case !runMayFailWith(m.Code):
		return s.lie("finished with " + fault.Quote(string(m.Code)))
	}
	out := &s.out
	out.Exited, out.GuestExit = m.Exited, m.Exit
	told := &[3]int64{min(m.MemoryPeakBytes, s.limits.MemoryBytes), m.GasUsed, m.InitGas}
	out.Usage.MemoryPeakBytes, out.Usage.GasUsed, out.Usage.InitGas = &told[0], &told[1], &told[2]
	if m.Code != "" {
		out.Fault = fault.New(m.Code, opRun, "", said(m.Message))
		switch {
		case m.Code == fault.GuestGasLimit && (s.limits.Gas == run.NoGasLimit || m.GasUsed < s.limits.Gas):
			out.Fault = out.Fault.WithHint(hintInitGas)
		case m.Code == fault.GuestStack && s.limits.StackValues < run.MaxStackValues:
			out.Fault = out.Fault.WithHint(hintStack)
		}
		if m.Code == fault.GuestUnknownImport && s.job.Imports == run.TrapMissing {
			out.Fault = out.Fault.WithHint(hintTrapped)
		}
	} else if !command && out.Result == nil {
		out.Result = []byte{}
	}
	return nil
}

// Hints in place of those of the registry, where what these say has been done, or cannot be.
const (
	hintInitGas   = "initialisation used up its gas: raise --init-gas if its work is honest"
	hintStack     = "recurse less deeply, or raise --stack"
	hintTrapped   = "the import may be missing, but not be called: remove the call, or use what the host offers"
	hintMaxMemory = "the memory limit is the largest there is already: use less memory"
	hintTooLarge  = "no memory limit is large enough: start with at most 65,535 pages, 1,024 tables and 1,048,576 table elements"
)

// passes reports whether a worker says that it used more than a limit: a phase that passes its limit has used all of it.
func passes(used, limit int64) bool { return limit != run.NoGasLimit && used > limit }

// runMayFailWith lists what an execute worker is believed: what a guest or its caller can bring about.
func runMayFailWith(c fault.Code) bool {
	switch c {
	case "", fault.GuestTrap, fault.GuestExit, fault.GuestStartTrap, fault.GuestBadOutput, fault.GuestOutputLimit,
		fault.GuestMemory, fault.GuestStack, fault.GuestMissingExport, fault.GuestBadSignature, fault.GuestUnknownImport,
		fault.GuestGasLimit, fault.CallerInvalid:
		return true
	}
	return false
}

func (s *session) command() bool {
	return s.job.Entry.Mode != run.Invoke && s.job.Entry.Mode != run.Bytes
}
