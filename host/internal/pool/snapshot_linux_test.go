package pool

import (
	"bytes"
	"math"
	"os"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/troupehost/troupe/actors/execute"
	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/artifacts"
	"github.com/troupehost/troupe/artifacts/sealed"
	"github.com/troupehost/troupe/host/wire"
)

// starter has a page of memory, a start function that runs code and then writes 7 at 65,000, and exports get() -> i32, which reads there.
func starter(code ...byte) []byte {
	at := append([]byte{0x41}, leb(65000)...)
	return module(
		section(1, 2, 0x60, 0, 0, 0x60, 0, 1, i32),
		section(3, 2, 0, 1),
		section(5, 1, 0, 1),
		section(7, join([]byte{1}, name("get"), []byte{0, 1})...),
		section(8, 0),
		section(10, join([]byte{2}, body(join(code, at, []byte{0x41, 7, 0x36, 2, 0})...), body(join(at, []byte{0x28, 2, 0})...))...),
	)
}

// snapshotOf returns the snapshot part of what was prepared last for a job, nil if there is none.
func (r *rig) snapshotOf(b execute.Binding) *sealed.File {
	r.shelf.mu.Lock()
	defer r.shelf.mu.Unlock()
	return r.shelf.keys[b.Key][artifacts.PartSnapshot]
}

// got runs get on a new worker.
func (r *rig) got(t *testing.T, b execute.Binding, l run.Limits) run.Outcome {
	t.Helper()
	w := r.worker(t, b)
	defer w.Close()
	out, _ := w.Run(t.Context(), r.job(b, run.Entry{Mode: run.Invoke, Name: "get"}, l, RunIO{}))
	return out
}

func TestPreparationMakesASnapshot(t *testing.T) {
	r := newRig(t, "")
	job := r.put(starter())
	out := r.Prepare(t.Context(), job)
	if out.Fault != nil {
		t.Fatal(out.Fault)
	}
	parts := r.shelf.parts[out.Ticket]
	last := out.Meta.Parts[len(out.Meta.Parts)-1]
	if last.Name != artifacts.PartSnapshot || parts[last.Name] == nil || parts[last.Name].Size() != last.Bytes {
		t.Fatalf("parts %+v", out.Meta.Parts)
	}
	if want := artifacts.SnapshotKeyOf(job.Key, initialisation(false)); out.Meta.Snapshot != want || want.IsZero() {
		t.Errorf("made under %x, want %x", out.Meta.Snapshot, want)
	}
	if n := len(r.Workers()); n != 0 {
		t.Errorf("%d workers left", n)
	}
	verdict := job
	verdict.VerdictOnly = true
	if out := r.Prepare(t.Context(), verdict); out.Fault != nil || !out.Meta.Snapshot.IsZero() || slices.ContainsFunc(out.Meta.Parts, func(p artifacts.Part) bool {
		return p.Name == artifacts.PartSnapshot
	}) {
		t.Errorf("for a verdict: %v, %+v", out.Fault, out.Meta.Parts)
	}
}

// TestWorkersBeginFromTheSnapshot: with it, without it, and with one that is of something else.
func TestWorkersBeginFromTheSnapshot(t *testing.T) {
	r := newRig(t, "")
	b := r.prepared(t, starter())
	b.MemoryBytes = run.DefaultMemoryBytes
	part := r.snapshotOf(b)
	if part == nil {
		t.Fatal("no snapshot")
	}
	bytesOf, unmap, err := part.Map()
	if err != nil {
		t.Fatal(err)
	}
	m, image, err := wire.SplitSnapshot(bytes.Clone(bytesOf))
	unmap()
	if err != nil {
		t.Fatal(err)
	}
	with := r.got(t, b, run.Limits{})
	r.give(b, nil)
	without := r.got(t, b, run.Limits{})
	if with.Fault != nil || string(with.Result) != "7" || string(without.Result) != "7" || *with.Usage.InitGas != m.InitGas ||
		*with.Usage.InitGas != *without.Usage.InitGas || *with.Usage.GasUsed != *without.Usage.GasUsed ||
		*with.Usage.MemoryPeakBytes != *without.Usage.MemoryPeakBytes {
		t.Errorf("with %+v, without %+v", with, without)
	}
	// One that says something else is believed where it is of this artifact, which proves that it is used.
	image[65000-m.ImageAddress] = 8
	end, err := m.End()
	if err != nil {
		t.Fatal(err)
	}
	r.give(b, slices.Concat(image, end))
	if out := r.got(t, b, run.Limits{}); out.Fault != nil || string(out.Result) != "8" {
		t.Errorf("it was not used: %+v", out)
	}
	if out := r.got(t, b, run.Limits{InitGas: m.InitGas - 1}); out.Fault == nil || out.Fault.Code != fault.GuestGasLimit {
		t.Errorf("with less gas than initialisation takes: %+v", out)
	}
	other := handle{key: artifacts.Key{1}, parts: r.shelf.keys[b.Key]}
	files, err := filesOf(other, b)
	if err != nil {
		t.Fatal(err)
	}
	_ = files.scratch.Close()
	if slices.Contains(files.names, artifacts.PartSnapshot) {
		t.Error("a snapshot that was made under other terms is given to a worker")
	}
}

// give puts a snapshot in the place of that of an artifact.
func (r *rig) give(b execute.Binding, part []byte) {
	r.shelf.mu.Lock()
	defer r.shelf.mu.Unlock()
	parts := r.shelf.keys[b.Key]
	if old := parts[artifacts.PartSnapshot]; old != nil {
		old.Release()
		delete(parts, artifacts.PartSnapshot)
	}
	if part != nil {
		f, err := sealed.FromBytes(artifacts.PartSnapshot, part)
		if err != nil {
			panic(err)
		}
		parts[artifacts.PartSnapshot] = f
	}
}

// TestInitialisationsThatAttackHaveNoSnapshot: the artifact is there, and the run is judged as ever.
func TestInitialisationsThatAttackHaveNoSnapshot(t *testing.T) {
	r := newRig(t, "")
	for what, row := range map[string]struct {
		code []byte
		want fault.Code
	}{
		"spins":      {[]byte{0x03, 0x40, 0x0c, 0, 0x0b}, fault.GuestGasLimit},
		"traps":      {[]byte{0}, fault.GuestStartTrap},
		"fills":      {join([]byte{0x41}, leb(1500), []byte{0x40, 0, 0x1a, 0x41, 0}, []byte{0x41, 1}, []byte{0x41}, leb(1500<<16), []byte{0xfc, 11, 0}), ""},
		"is not one": {[]byte{0x10, 0}, fault.GuestStack},
	} {
		b := r.prepared(t, starter(row.code...))
		b.MemoryBytes = run.DefaultMemoryBytes
		if r.snapshotOf(b) != nil {
			t.Errorf("%s: a snapshot", what)
		}
		out := r.got(t, b, run.Limits{InitGas: 1 << 36})
		wantFault(t, out.Fault, row.want)
	}
}

// TestHostileSnapshots: a worker that was taken over answers what it likes. The artifact is what it was when it said so, and a
// snapshot that cannot be is none.
func TestHostileSnapshots(t *testing.T) {
	for mode, kept := range map[string]bool{
		"snapshot: honest":                 true,
		"snapshot: writes the parts":       true,
		"snapshot: unasked":                false,
		"snapshot: garbage":                false,
		"snapshot: exit":                   false,
		"snapshot: silence":                false,
		"snapshot: spin":                   false,
		"snapshot: another answer":         false,
		"snapshot: a longer image":         false,
		"snapshot: a shorter image":        false,
		"snapshot: an image behind memory": false,
		"snapshot: half a page":            false,
		"snapshot: memory over the limit":  false,
		"snapshot: less memory":            false,
		"snapshot: a peak below":           false,
		"snapshot: more gas":               false,
		"snapshot: another limit":          false,
		"snapshot: another stack":          false,
		"snapshot: another beginning":      false,
		"snapshot: too many globals":       false,
		"snapshot: random bytes for ever":  false,
		"snapshot: time that wraps":        false,
		"snapshot: seals the image":        false,
	} {
		t.Run(mode, func(t *testing.T) {
			r := newRig(t, mode)
			out := r.Prepare(t.Context(), r.put(adder()))
			if out.Fault != nil {
				t.Fatal(out.Fault)
			}
			parts := r.shelf.parts[out.Ticket]
			for name, want := range map[string]string{artifacts.PartFrame: "frame", artifacts.PartModule: "module", artifacts.PartCode: "code"} {
				b := make([]byte, len(want))
				if _, err := parts[name].ReadAt(b, 0); err != nil || string(b) != want || parts[name].Size() != int64(len(want)) {
					t.Errorf("part %s is %q: %v", name, b, err)
				}
			}
			if got := parts[artifacts.PartSnapshot] != nil; got != kept || got == out.Meta.Snapshot.IsZero() || len(out.Meta.Parts) != len(parts) {
				t.Errorf("a snapshot: %v, of %d parts; key %x", got, len(out.Meta.Parts), out.Meta.Snapshot)
			}
			if n := len(r.Workers()); n != 0 {
				t.Errorf("%d workers left", n)
			}
		})
	}
	t.Run("maps the output", func(t *testing.T) { hostilePrepare(t, "snapshot: maps the output", fault.SuspectBadReply) })
}

// snapshot is the end of a preparation that is asked for more.
func (l *liar) snapshot(p wire.Prepared, out *os.File) {
	p.Module.HasStart, p.Module.Mutable, p.Module.MemoryPages = true, 1, 1
	if l.mode == "snapshot: maps the output" {
		if _, err := unix.Mmap(int(out.Fd()), 0, 1, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED); err != nil {
			os.Exit(1)
		}
	}
	m := wire.Snapshotted{
		MemoryBytes: 1 << 16, PeakBytes: 1 << 16, LimitBytes: run.DefaultMemoryBytes, StackValues: run.DefaultStackValues,
		InitGas: 1, ImageBytes: 1 << 16, Globals: []uint64{1},
	}
	l.say(p)
	if l.mode == "snapshot: unasked" {
		l.say(m)
	}
	if _, ok := l.next().(wire.Snapshot); !ok {
		os.Exit(1)
	}
	files, err := l.conn.TakeFiles(1)
	if err != nil {
		os.Exit(1)
	}
	image := files[0]
	if l.mode != "snapshot: unasked" {
		_, _ = image.WriteAt(make([]byte, 1<<16), 0)
	}
	switch l.mode {
	case "snapshot: writes the parts":
		_, written := out.WriteAt([]byte("xxxxxxxxxxxxxxxxx"), 0)
		_, mapped := unix.Mmap(int(out.Fd()), 0, 1, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
		if written == nil || mapped == nil || out.Truncate(0) == nil {
			os.Exit(1) // and there is no snapshot
		}
	case "snapshot: garbage":
		l.raw([]byte("\x05\x00\x00\x00\xffabcde")...)
	case "snapshot: exit":
		os.Exit(3)
	case "snapshot: silence":
		l.next()
	case "snapshot: spin":
		l.spin()
	case "snapshot: another answer":
		l.say(p)
	case "snapshot: a longer image":
		_, _ = image.WriteAt([]byte{1}, 1<<16)
	case "snapshot: a shorter image":
		_ = image.Truncate(100)
	case "snapshot: an image behind memory":
		m.ImageAddress = 1 << 16
	case "snapshot: half a page":
		m.ImageBytes = 1 << 15
		_ = image.Truncate(1 << 15)
	case "snapshot: memory over the limit":
		m.MemoryBytes, m.PeakBytes = run.MaxMemoryBytes, run.MaxMemoryBytes
	case "snapshot: less memory":
		m.MemoryBytes, m.ImageBytes = 0, 0
		_ = image.Truncate(0)
	case "snapshot: a peak below":
		m.PeakBytes = 0
	case "snapshot: more gas":
		m.InitGas = math.MaxInt64 >> 2
	case "snapshot: another limit":
		m.LimitBytes = run.MaxMemoryBytes
	case "snapshot: another stack":
		m.StackValues = 1
	case "snapshot: another beginning":
		m.Initialised = true
	case "snapshot: too many globals":
		m.Globals = make([]uint64, wire.MaxGlobals)
	case "snapshot: random bytes for ever":
		m.Drawn = math.MaxInt64
	case "snapshot: time that wraps":
		m.Time = -1
	case "snapshot: seals the image":
		_, _ = unix.FcntlInt(image.Fd(), unix.F_ADD_SEALS, unix.F_SEAL_SEAL)
	}
	l.say(m)
	l.next()
	os.Exit(0)
}
