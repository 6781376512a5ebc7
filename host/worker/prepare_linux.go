package worker

import (
	"context"
	"errors"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/host/engine"
	"github.com/troupehost/troupe/host/sandbox"
	"github.com/troupehost/troupe/host/wire"
)

// prepare compiles the one module that this process ever sees. If the host wants it to, it waits to be asked for the snapshot of it;
// then it ends.
func (s *session) prepare(m wire.Prepare, held []string) error {
	files, err := s.conn.TakeFiles(2)
	if err != nil {
		return err
	}
	code, err := view(files[0])
	if err != nil {
		return err
	}
	if err := s.time.set(m.Clock); err != nil {
		return err
	}
	asked := make(chan wire.Snapshot)
	s.beside.Go(func() { s.extend(m.Clock, asked) })
	c, err := engine.Compile(context.Background(), code, m.MaxInflatedBytes,
		engine.Options{Policy: m.Policy, CanonicalNaNs: m.CanonicalNaNs})
	if err != nil {
		return s.failed(err)
	}
	done := wire.Prepared{Module: c.Module}
	var at int64
	for _, p := range c.Parts() {
		if _, err := files[1].WriteAt(p.Bytes, at); err != nil {
			return err
		}
		done.Parts = append(done.Parts, wire.PartRange{Name: p.Name, Offset: at, Bytes: int64(len(p.Bytes))})
		at += int64(len(p.Bytes))
	}
	if err := s.conn.Send(done); err != nil || !m.Stay {
		return err
	}
	ask, more := <-asked
	if !more {
		return nil
	}
	return s.snapshot(ask, c, held)
}

// extend winds the clock of a preparation anew when the host says so, until the host asks for the snapshot, which ends the preparation,
// or closes the socket.
func (s *session) extend(have wire.Clock, asked chan<- wire.Snapshot) {
	defer close(asked)
	for {
		m, err := s.conn.Receive()
		if err != nil {
			return
		}
		switch m := m.(type) {
		case wire.Extend:
			have.CPU, have.Wall = max(have.CPU, m.Clock.CPU), max(have.Wall, m.Clock.Wall)
			_ = s.time.extend(have)
		case wire.Snapshot:
			asked <- m
			return
		}
	}
}

// snapshot runs the initialisation of what was compiled. The parts of the artifact are out of reach by now.
func (s *session) snapshot(m wire.Snapshot, c *engine.Compiled, held []string) error {
	files, err := s.conn.TakeFiles(1)
	if err != nil {
		return err
	}
	if err := s.time.set(m.Clock); err != nil {
		return err
	}
	done, err := c.Snapshot(context.Background(), m, files[0], func() error {
		if err := s.seal(held); err != nil && !errors.Is(err, errUnsealable) && !errors.Is(err, sandbox.ErrLeftOut) {
			return fault.New(fault.HostSpawnFailed, "seal worker", sandbox.NoExec, err)
		}
		return nil
	})
	if err != nil {
		return s.failed(err)
	}
	return s.conn.Send(done)
}
