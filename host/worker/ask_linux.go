package worker

import (
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/host/abi"
	"github.com/troupehost/troupe/host/wire"
)

// asker sends what a guest asks, and waits for the answer: a wait, which takes no CPU time, and counts as time.
type asker struct {
	ring   *wire.WorkerRing
	out    *output
	long   func() error
	frame  wire.Frame
	answer run.Answer
	wants  wire.Ask // a turn
}

// ask is engine.IO.Ask. What the guest has written goes out first, so that whoever answers sees what was said before.
func (a *asker) ask(m *run.Ask) (*run.Answer, error) {
	if err := a.long(); err != nil {
		return nil, err
	}
	if err := a.out.flush(); err != nil {
		return nil, err
	}
	if err := a.ring.Send((*wire.Ask)(m)); err != nil {
		return nil, err
	}
	if err := a.ring.Next(&a.frame); err != nil {
		return nil, err
	}
	if a.frame.Type != wire.TypeAnswer || !wire.Ask(*m).Fits(a.frame.Answer) {
		return nil, wire.ErrFrame
	}
	a.answer = run.Answer(a.frame.Answer)
	return &a.answer, nil
}

// turn is engine.Spec.Turn. Whatever the host answers, the guest may go on then.
func (a *asker) turn(gas, memory int64) error {
	a.wants = wire.Ask{Op: uint16(abi.OpTurn), Gas: gas, MemoryBytes: memory}
	_, err := a.ask((*run.Ask)(&a.wants))
	return err
}
