package pool

import (
	"context"
	"crypto/sha256"
	"io"
	"os"
	"slices"
	"time"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/artifacts"
	"github.com/troupehost/troupe/artifacts/sealed"
	"github.com/troupehost/troupe/host/wire"
)

// The default initialisation is bounded by its gas first, so that whether there is a snapshot does not depend on the machine; its
// clocks are nets below that.
const (
	snapshotGas  = int64(50_000_000_000) // some 0.5 s
	snapshotCPU  = time.Second
	snapshotWall = 2 * time.Second
)

// initialisation is what snapshots are made under.
func initialisation(initialised bool) artifacts.Initialisation {
	return artifacts.Initialisation{
		Initialised: initialised, MemoryBytes: run.DefaultMemoryBytes, InitGas: snapshotGas, StackValues: run.DefaultStackValues,
	}
}

// isSnapshotOf reports whether a snapshot was made of an artifact as it would be made today.
func isSnapshotOf(k artifacts.SnapshotKey, of artifacts.Key) bool {
	return k == artifacts.SnapshotKeyOf(of, initialisation(true)) || k == artifacts.SnapshotKeyOf(of, initialisation(false))
}

// initialises reports whether code has an initialisation of which there can be a snapshot, and whether _initialize is part of it.
func initialises(m artifacts.Module) (initialised, can bool) {
	for _, r := range m.Resets {
		if r != "grows-memory" {
			return false, false
		}
	}
	initialised = slices.ContainsFunc(m.Exports, func(e artifacts.Export) bool { return e.Name == "_initialize" && e.Kind == "func" })
	return initialised, (initialised || m.HasStart) && m.Mutable <= wire.MaxGlobals
}

// snapshot is one that is under way.
type snapshot struct {
	key  artifacts.SnapshotKey
	part artifacts.Part
	file *sealed.File  // nil: there is none
	done chan struct{} // closed when the others are set, and the worker is dead
}

// take waits, and hands over the file; nil: there is none.
func (s *snapshot) take() *sealed.File {
	<-s.done
	return s.file
}

// drop waits, and gives up what there is.
func (s *snapshot) drop() {
	if f := s.take(); f != nil {
		f.Release()
	}
}

// ask has a worker whose parts are sealed run the initialisation, if there is any, and ends it. Whatever goes wrong, there is no
// snapshot, and runs find out for themselves.
func (j *preparation) ask(ctx context.Context, w *worker, m artifacts.Module) *snapshot {
	s := &snapshot{done: make(chan struct{})}
	initialised, can := initialises(m)
	j.mu.Lock()
	can = can && !j.job.VerdictOnly && !j.steering.Held
	j.mu.Unlock()
	cpu := min(snapshotCPU, j.budget.CPU-j.cpu)
	if !can || cpu <= 0 {
		w.bury()
		close(s.done)
		return s
	}
	go func() {
		defer close(s.done)
		in := initialisation(initialised)
		q := wire.Snapshot{
			Clock:       j.pool.cfg.clocks.inWorker(cpu, snapshotWall),
			MemoryBytes: in.MemoryBytes, InitGas: in.InitGas, StackValues: in.StackValues,
		}
		said, image, err := j.initialise(ctx, w, q, cpu)
		if err != nil || said.Initialised != initialised || said.Flaw(q, m) != "" {
			_ = image.Close()
			return
		}
		s.key = artifacts.SnapshotKeyOf(j.job.Key, in)
		if s.file, s.part, err = partOf(said, image); err != nil {
			s.file = nil
		}
	}()
	return s
}

// initialise asks for a snapshot, and returns what the worker said and the file that it wrote. The worker is dead when it returns.
func (j *preparation) initialise(ctx context.Context, w *worker, q wire.Snapshot, cpu time.Duration) (said wire.Snapshotted, image *os.File, err error) {
	defer w.bury()
	if image, err = sealed.NewUnsealed("troupe image"); err != nil {
		return said, nil, err
	}
	t := w.watch(ctx, opPrepare, bounds{
		cpu: cpu, wall: snapshotWall, cpuCode: fault.GuestPrepareCPU, wallCode: fault.SuspectPrepareWall, look: lookEvery,
	})
	err = w.conn.Send(q, image.Fd())
	var m wire.Message
	if err == nil {
		m, err = w.conn.Receive()
	}
	if f := t.end(); f != nil {
		return said, image, f
	}
	said, ok := m.(wire.Snapshotted)
	if err == nil && !ok {
		err = worded("not an answer")
	}
	return said, image, err
}

// partOf seals what a dead worker wrote, and makes the part of it, with what the worker said in the host's own words.
func partOf(said wire.Snapshotted, image *os.File) (f *sealed.File, p artifacts.Part, err error) {
	st, err := image.Stat()
	if err == nil && st.Size() != said.ImageBytes {
		err = worded("an image of another size")
	}
	if err != nil {
		_ = image.Close()
		return nil, p, err
	}
	end, err := said.End()
	if err != nil {
		_ = image.Close()
		return nil, p, err
	}
	whole, err := sealed.Seal(image)
	if err != nil {
		return nil, p, err
	}
	defer whole.Release()
	digest := sha256.New()
	f, err = sealed.Create("troupe "+artifacts.PartSnapshot, func(w *os.File) error {
		out := io.MultiWriter(w, digest)
		if _, err := io.Copy(out, whole.Section(0, said.ImageBytes)); err != nil {
			return err
		}
		_, err := out.Write(end)
		return err
	})
	return f, artifacts.Part{Name: artifacts.PartSnapshot, Bytes: said.ImageBytes + int64(len(end)), SHA256: [32]byte(digest.Sum(nil))}, err
}
