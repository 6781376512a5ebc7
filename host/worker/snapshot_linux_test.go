package worker

import (
	"testing"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/host/wire"
)

// starts has a page of memory, and a start function that writes 7 at 16, or spins.
func starts(spins bool) []byte {
	code := []byte{0, 0x41, 16, 0x41, 7, 0x36, 2, 0, 0x0b}
	if spins {
		code = []byte{0, 0x03, 0x40, 0x0c, 0, 0x0b, 0x0b}
	}
	b := []byte("\x00asm\x01\x00\x00\x00")
	for _, s := range []struct {
		id   byte
		body []byte
	}{{1, []byte{1, 0x60, 0, 0}}, {3, []byte{1, 0}}, {5, []byte{1, 0, 1}}, {8, []byte{0}}, {10, append([]byte{1, byte(len(code))}, code...)}} {
		b = append(append(b, s.id, byte(len(s.body))), s.body...)
	}
	return b
}

// stays brings code through a worker that waits for the question after the snapshot.
func stays(t *testing.T, code []byte) *talk {
	t.Helper()
	k := inProcess(t)
	k.hello()
	k.send(wire.Prepare{MaxInflatedBytes: 64 << 20, Stay: true}, k.file(code).Fd(), k.output().Fd())
	receive[wire.Prepared](k)
	return k
}

func TestPrepareGoesOnToTheSnapshot(t *testing.T) {
	ask := wire.Snapshot{MemoryBytes: run.DefaultMemoryBytes, InitGas: 1 << 30, StackValues: run.DefaultStackValues}
	k := stays(t, starts(false))
	k.send(wire.Extend{}) // too late for what it is about, and harmless
	image := k.output()
	k.send(ask, image.Fd())
	m := receive[wire.Snapshotted](k)
	if err := k.end(); err != nil {
		t.Errorf("after it: %v", err)
	}
	b := make([]byte, m.ImageBytes)
	if _, err := image.ReadAt(b, 0); err != nil || m.ImageAddress != 0 || len(b) < 17 || b[16] != 7 || m.InitGas == 0 || m.Initialised {
		t.Errorf("%+v, %v", m, err)
	}
	k = stays(t, starts(true))
	k.send(ask, k.output().Fd())
	if m := receive[wire.Failed](k); m.Code != fault.GuestGasLimit {
		t.Errorf("one that spins: %+v", m)
	}
	k = stays(t, starts(false))
	_ = k.conn.Close() // nobody asks
	if err := k.end(); err != nil {
		t.Errorf("after nothing: %v", err)
	}
	k = stays(t, starts(false))
	k.send(ask) // without a file
	if err := k.end(); err == nil {
		t.Error("it writes a file that it was not given")
	}
}
