package wire

import (
	"encoding/binary"
	"math"

	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/artifacts"
)

// The frames of a preparation that goes on to the snapshot.
const (
	TypeSnapshot    Type = 33
	TypeSnapshotted Type = 97
)

// Limits of snapshots. What is larger has none.
const (
	MaxSnapshotBytes = 64 << 20 // of the image of linear memory
	MaxGlobals       = 4 << 10  // mutable globals
	MaxDrawn         = 1 << 20  // random bytes: who begins behind them draws them first
)

// Snapshot asks a worker whose Prepared was taken for what initialisation makes. Files: the image (empty, writable).
// Sent by: the host, at most once, after Prepared. Answer: Snapshotted, or Failed if there is none; then the worker exits.
type Snapshot struct {
	Clock       Clock // from this message on
	MemoryBytes int64
	InitGas     int64
	StackValues int64
}

// Snapshotted is an instance after the default initialisation, but for the image of its linear memory, which begins the file.
type Snapshotted struct {
	Initialised  bool   // _initialize was called
	SeesTime     bool   // it looked at the clock or at random bytes, so it holds for the deterministic world only
	SeesCommand  bool   // it looked at arguments or the environment, of which there were none
	MemoryBytes  int64  // size of the linear memory
	PeakBytes    int64  // as a run reports it
	Refused      bool   // a growth of memory was refused, past LimitBytes
	LimitBytes   int64  // of memory
	StackValues  int64  // limit of the stack
	InitGas      int64  // used
	Time         int64  // of the clock, in nanoseconds from its beginning
	Drawn        int64  // random bytes
	ImageAddress int64  // in whole pages of artifacts.SnapshotPage
	ImageBytes   int64  // in whole pages too; 0: memory is zeros
	HeapNext     uint32 // of the allocator of the host
	HeapFree     []uint32
	Globals      []uint64 // the mutable ones, in the order of the skeleton
}

// Type implements Message.
func (Snapshot) Type() Type    { return TypeSnapshot }
func (Snapshotted) Type() Type { return TypeSnapshotted }

func (m Snapshot) encode(e *encoder) {
	m.Clock.encode(e)
	e.size(m.MemoryBytes)
	e.size(m.InitGas)
	e.size(m.StackValues)
}

func decodeSnapshot(d *decoder) Snapshot {
	return Snapshot{Clock: decodeClock(d), MemoryBytes: d.size(math.MaxInt64, "memory"), InitGas: d.size(run.MaxGas, "gas"),
		StackValues: d.size(run.MaxStackValues, "stack")}
}

func (m Snapshotted) encode(e *encoder) {
	e.flag(m.Initialised)
	e.flag(m.SeesTime)
	e.flag(m.SeesCommand)
	e.size(m.MemoryBytes)
	e.size(m.PeakBytes)
	e.flag(m.Refused)
	e.size(m.LimitBytes)
	e.size(m.StackValues)
	e.size(m.InitGas)
	e.size(m.Time)
	e.size(m.Drawn)
	e.size(m.ImageAddress)
	e.size(m.ImageBytes)
	e.u64(uint64(m.HeapNext))
	if len(m.HeapFree) > MaxList || len(m.Globals) > MaxGlobals {
		e.fail("lists of a snapshot")
		return
	}
	e.u64(uint64(len(m.HeapFree)))
	for _, v := range m.HeapFree {
		e.u64(uint64(v))
	}
	e.u64(uint64(len(m.Globals)))
	for _, v := range m.Globals {
		e.u64(v)
	}
}

func decodeSnapshotted(d *decoder) Snapshotted {
	m := Snapshotted{
		Initialised: d.flag(), SeesTime: d.flag(), SeesCommand: d.flag(),
		MemoryBytes: d.size(run.MaxMemoryBytes, "memory"), PeakBytes: d.size(run.MaxMemoryBytes, "memory"),
		Refused: d.flag(), LimitBytes: d.size(run.MaxMemoryBytes, "memory"),
		StackValues: d.size(run.MaxStackValues, "stack"), InitGas: d.size(run.MaxGas, "gas"),
		Time: d.size(math.MaxInt64, "time"), Drawn: d.size(MaxDrawn, "random bytes"),
		ImageAddress: d.size(run.MaxMemoryBytes, "image"), ImageBytes: d.size(MaxSnapshotBytes, "image"),
		HeapNext: uint32(d.size(math.MaxUint32, "heap")),
	}
	for n := d.count(MaxList, 1, "heap"); n > 0 && d.err == nil; n-- {
		m.HeapFree = append(m.HeapFree, uint32(d.size(math.MaxUint32, "heap")))
	}
	for n := d.count(MaxGlobals, 1, "globals"); n > 0 && d.err == nil; n-- {
		m.Globals = append(m.Globals, d.u64())
	}
	return m
}

// Flaw returns what is wrong with a snapshot of a module that was asked for by ask, or "". It may be told by anybody.
func (m Snapshotted) Flaw(ask Snapshot, desc artifacts.Module) string {
	switch {
	case m.LimitBytes != ask.MemoryBytes, m.StackValues != ask.StackValues:
		return "limits"
	case m.InitGas > ask.InitGas:
		return "gas"
	case m.MemoryBytes%run.PageBytes != 0, m.MemoryBytes > m.PeakBytes, m.PeakBytes > m.LimitBytes,
		m.MemoryBytes < int64(desc.MemoryPages)*run.PageBytes:
		return "memory"
	case m.ImageAddress%artifacts.SnapshotPage != 0, m.ImageBytes%artifacts.SnapshotPage != 0,
		m.ImageBytes > m.MemoryBytes, m.ImageAddress > m.MemoryBytes-m.ImageBytes:
		return "image"
	case len(m.Globals) != desc.Mutable:
		return "globals"
	}
	return ""
}

// The part of an artifact is the image, the answer of the worker as it was judged, and the length of that.
const snapshotEnd = 8

// End returns what stands behind the image in the part.
func (m Snapshotted) End() ([]byte, error) {
	frame, err := Encode(m)
	if err != nil {
		return nil, err
	}
	return binary.LittleEndian.AppendUint64(frame[headerSize:], uint64(len(frame)-headerSize)), nil
}

// SplitSnapshot reads a part.
func SplitSnapshot(part []byte) (m Snapshotted, image []byte, err error) {
	n := len(part) - snapshotEnd
	if n < 0 {
		return m, nil, bad("snapshot")
	}
	size := binary.LittleEndian.Uint64(part[n:])
	if size > uint64(n) {
		return m, nil, bad("snapshot")
	}
	at := n - int(size)
	got, err := Decode(TypeSnapshotted, part[at:n])
	if err != nil {
		return m, nil, err
	}
	m = got.(Snapshotted)
	if m.ImageBytes != int64(at) {
		return m, nil, bad("snapshot")
	}
	return m, part[:at:at], nil
}
