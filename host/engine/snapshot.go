package engine

import (
	"context"
	"errors"
	"io"
	"os"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/artifacts"
	"github.com/troupehost/troupe/host/wire"
)

var (
	errNoSnapshot = errors.New("initialisation leaves nothing that a run may begin with")
	errInput      = errors.New("there are no streams yet")
)

// Snapshot runs the initialisation of what was just compiled, in the deterministic world and without streams, and writes what it made
// of linear memory into an empty file. loaded is called before anything of the guest runs. The code must not be used any more.
//
// # Errors
//
// Any: there is no snapshot. That says nothing of a run, which finds out by itself.
func (c *Compiled) Snapshot(ctx context.Context, ask wire.Snapshot, out *os.File, loaded func() error) (wire.Snapshotted, error) {
	var none wire.Snapshotted
	b, err := Warm(ctx)
	if err != nil {
		return none, err
	}
	b.once = true
	a, err := b.Load(ctx, c.Contents())
	if err != nil {
		return none, err
	}
	defer a.Close()
	if err := loaded(); err != nil {
		return none, err
	}
	return a.described(ask, out)
}

// described initialises an instance and says what it is.
func (a *App) described(ask wire.Snapshot, out *os.File) (m wire.Snapshotted, err error) {
	s := Spec{
		Entry: run.Entry{Mode: run.Invoke}, MemoryBytes: ask.MemoryBytes, Imports: run.TrapMissing,
		Determinism: run.Deterministic, InitGas: ask.InitGas, StackValues: ask.StackValues,
	}
	defer func() {
		if r := recover(); r != nil {
			f, ok := r.(*fault.Error)
			if !ok {
				panic(r)
			}
			err = f
		}
	}()
	st := &a.state
	st.begin(&s, IO{
		Stdin:  func([]byte) (int, error) { return 0, io.ErrClosedPipe },
		Output: func(bool, []byte) error { return errInput },
		Result: func([]byte) error { return errInput },
	})
	a.mem.peak = 0
	if f := a.fits(&s); f != nil {
		return m, f
	}
	if end := a.initialise(&st.spec); end != nil {
		if end.Fault == nil {
			return m, errNoSnapshot
		}
		return m, end.Fault
	}
	if !a.keeps(&s) || st.drawn > wire.MaxDrawn {
		return m, errNoSnapshot
	}
	m = wire.Snapshotted{
		Initialised: a.initialises(&s), SeesTime: st.seen&(seesClock|seesRandom) != 0, SeesCommand: st.seen&(seesArgs|seesEnv) != 0,
		MemoryBytes: a.mem.size, PeakBytes: a.mem.peak, Refused: a.mem.refused, LimitBytes: s.MemoryBytes,
		StackValues: st.meter.values, InitGas: a.initGas, Time: st.clock.nanos, Drawn: st.drawn,
		HeapNext: st.heap.next, HeapFree: st.heap.free[:],
	}
	for _, g := range a.live.globals {
		m.Globals = append(m.Globals, g.Get())
	}
	if a.live.mem == nil {
		return m, nil
	}
	memory := a.mem.view()
	m.ImageAddress, m.ImageBytes = wholePages(memory)
	if m.ImageBytes > wire.MaxSnapshotBytes {
		return m, errNoSnapshot
	}
	return m, write(out, memory[m.ImageAddress:][:m.ImageBytes])
}

// wholePages returns where memory has bytes that are not zero.
func wholePages(memory []byte) (at, n int64) {
	from, to := extent(memory)
	if to == 0 || isZero(memory[from:min(from+pageBytes, to)]) {
		return 0, 0
	}
	from -= from % artifacts.SnapshotPage
	to += -to & (artifacts.SnapshotPage - 1)
	return from, to - from
}

// write writes b from the start of an empty file, with holes where it is zero.
func write(f *os.File, b []byte) error {
	for at := 0; at < len(b); at += artifacts.SnapshotPage {
		page := b[at : at+artifacts.SnapshotPage]
		if pagesAreZero(page) {
			continue
		}
		if _, err := f.WriteAt(page, int64(at)); err != nil {
			return err
		}
	}
	return nil
}

func pagesAreZero(b []byte) bool {
	for ; len(b) > 0; b = b[pageBytes:] {
		if !isZero(b[:pageBytes]) {
			return false
		}
	}
	return true
}

// stored is a snapshot that came with the artifact.
type stored struct {
	snapshot
	timeless bool // it is the same in every world
}

// offers takes the snapshot part. One that does not fit the code is left: then each worker makes its own.
func (a *App) offers(part Content) error {
	if len(part.Bytes) == 0 || a.opaque {
		return nil
	}
	m, image, err := wire.SplitSnapshot(part.Bytes)
	pages := int64(a.pagesMin) * run.PageBytes
	if err != nil || m.MemoryBytes < pages || len(m.Globals) != len(a.globals) || len(m.HeapFree) != orders ||
		m.ImageAddress%artifacts.SnapshotPage != 0 || m.ImageBytes%artifacts.SnapshotPage != 0 ||
		m.ImageAddress > m.MemoryBytes-m.ImageBytes || m.MemoryBytes%run.PageBytes != 0 || m.PeakBytes < m.MemoryBytes {
		return nil
	}
	n := &stored{timeless: !m.SeesTime, snapshot: snapshot{
		size: m.MemoryBytes, globals: m.Globals, heap: heap{next: m.HeapNext}, clock: clock{nanos: m.Time}, drawn: m.Drawn, initGas: m.InitGas,
		initialised: m.Initialised, peak: m.PeakBytes, refused: m.Refused, limit: m.LimitBytes, values: m.StackValues,
	}}
	copy(n.heap.free[:], m.HeapFree)
	if m.SeesCommand {
		n.seen |= seesArgs | seesEnv
	}
	if len(image) > 0 {
		b, own, err := newBase(Content{Bytes: image, File: part.File}, uint64(m.ImageAddress))
		if err != nil {
			return err
		}
		if own != nil {
			a.owned = append(a.owned, own)
		}
		n.base = b
	}
	a.stored = n
	return nil
}

// adopt makes the snapshot of the artifact the one that runs begin with, if it fits one.
func (a *App) adopt(s *Spec) bool {
	if a.stored == nil {
		return false
	}
	n := a.stored.snapshot
	if a.stored.timeless {
		n.times = timesOf(s).initial()
	}
	if !n.fits(a, s) {
		return false
	}
	a.snap = &n
	a.pages.restart()
	return true
}
