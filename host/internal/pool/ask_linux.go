package pool

import (
	"context"
	"io"
	"sync/atomic"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/host/abi"
	"github.com/troupehost/troupe/host/wire"
)

// questions are what the guest of a run asks. Who drives serves them itself: the worker has nothing to say meanwhile, and what a
// question carries stays where it was received. It is left behind by nobody, since run.Calls returns when its context ends; that is
// when the run does, however it does.
type questions struct {
	ctx    context.Context // nil: nothing was asked
	end    context.CancelFunc
	answer wire.Answer

	gas, memory int64       // what the worker said last
	open        atomic.Bool // the host works on one

	seenGas, seenMemory atomic.Int64 // the same as gas and memory, for those who look
	unheard             bool         // something came from the worker before the answer was sent
}

func (q *questions) close() {
	if q.end != nil {
		q.end()
	}
}

// ask serves what the guest asks.
func (s *session) ask(m *wire.Ask) error {
	q := &s.questions
	switch {
	case s.io.Calls == nil, abi.Op(m.Op) == abi.OpTurn && s.job.Slice <= 0:
		return s.lie("it asks what it may not")
	case s.reading.Load():
		return s.lie("it asks while it reads")
	case m.Gas < q.gas, s.limits.Gas != run.NoGasLimit && s.limits.InitGas != run.NoGasLimit && m.Gas-min(m.Gas, s.limits.InitGas) > s.limits.Gas:
		return s.lie("gas that cannot be")
	case m.MemoryBytes < q.memory, m.MemoryBytes > s.limits.MemoryBytes:
		return s.lie("memory that cannot be")
	}
	q.gas, q.memory = m.Gas, m.MemoryBytes
	q.seenGas.Store(m.Gas)
	q.seenMemory.Store(m.MemoryBytes)
	if q.ctx == nil {
		q.ctx, q.end = context.WithCancel(s.ctx)
		go s.awaitEnd(q.ctx, q.end)
	}
	q.open.Store(true)
	got := s.io.Calls.Call(q.ctx, run.Ask(*m))
	if q.ctx.Err() != nil { // it still waits, as whoever looks for the reason will want to know
		return io.ErrClosedPipe
	}
	q.open.Store(false)
	if q.answer = wire.Answer(got); !m.Fits(q.answer) {
		f := fault.New(fault.BugProtocol, opRun, s.x.id, worded("an answer that does not fit the question"))
		s.watch.stop(f)
		return f
	}
	if s.x.line.ring.Buffered() { // or the worker is gone: the next look tells
		q.unheard = true
		return nil
	}
	err := s.x.line.ring.Send(&q.answer)
	q.answer = wire.Answer{}
	return err
}

// awaitEnd ends what the host does for a run that is over.
func (s *session) awaitEnd(ctx context.Context, end context.CancelFunc) {
	select {
	case <-s.watch.ended:
	case <-s.x.proc.dead:
	case <-ctx.Done():
	}
	end()
}
