package engine

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/artifacts"
	"github.com/troupehost/troupe/host/abi"
	"github.com/troupehost/troupe/host/wire"
)

// asked is what a host asks for.
var asked = wire.Snapshot{MemoryBytes: run.DefaultMemoryBytes, InitGas: 1 << 36, StackValues: run.DefaultStackValues}

// initialised returns what a worker says of the initialisation of code, and the part that a host makes of it; nil: there is none.
func initialised(t testing.TB, c *Compiled) (wire.Snapshotted, []byte) {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "image"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	m, err := c.Snapshot(t.Context(), asked, f, func() error { return nil })
	if err != nil {
		return m, nil
	}
	if what := m.Flaw(asked, c.Module); what != "" {
		t.Fatalf("a snapshot with a flaw: %s", what)
	}
	image, err := os.ReadFile(f.Name())
	if err != nil || int64(len(image)) != m.ImageBytes {
		t.Fatalf("an image of %d bytes, said to be %d: %v", len(image), m.ImageBytes, err)
	}
	end, err := m.End()
	if err != nil {
		t.Fatal(err)
	}
	return m, append(image, end...)
}

// entries are runs of all that can be run of a module.
func entries(c *Compiled) (specs []Spec) {
	for _, e := range c.Module.Exports {
		if e.Kind != "func" || len(specs) > 40 {
			continue
		}
		if e.Name == "_start" {
			specs = append(specs, Spec{}, Spec{Entry: run.Entry{Args: []string{"7"}, Env: []string{"K=V"}}})
			continue
		}
		params, _, _ := strings.Cut(strings.TrimPrefix(e.Type, "("), ")")
		var args []string
		for range strings.Fields(params) {
			args = append(args, "3")
		}
		specs = append(specs, invoked(e.Name, args...), Spec{Entry: run.Entry{Mode: run.Bytes, Name: e.Name}, Input: []byte("hello")})
	}
	for i := range specs {
		specs[i].Imports, specs[i].Gas = run.TrapMissing, 1<<28
	}
	return specs
}

// sameWithout compares runs that begin from a snapshot of the artifact with runs that do not, each the first and the second of its
// app, and returns how many first ones began from it.
func sameWithout(t *testing.T, name string, c *Compiled, part []byte, specs []Spec) (adopted int) {
	t.Helper()
	begin := func(parts Parts) *App {
		a, err := Load(t.Context(), parts)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		return a
	}
	warm := begin(c.Contents())
	defer warm.Close()
	parts := c.Contents()
	parts.Snapshot = Content{Bytes: part}
	for i, s := range specs {
		cold, with := begin(c.Contents()), begin(parts)
		want, wantOut := call(cold, s)
		for round := range 2 {
			got, out := call(with, s)
			if d := cmp.Diff(want, got, sameFault); d != "" || wantOut.String() != out.String() {
				t.Errorf("%s, spec %d %+v, round %d: %s, %q for %q", name, i, s.Entry, round, d, out, wantOut)
			}
			if round == 0 && want.Fault == nil && cold.live != nil && with.live != nil && cold.mem.size == with.mem.size &&
				!slices.Equal(cold.mem.view(), with.mem.view()) {
				t.Errorf("%s, spec %d: memory differs behind the run", name, i)
			}
			if round == 0 && with.taken == 0 && with.snap != nil {
				adopted++
			}
		}
		_, _ = cold.Close(), with.Close()
	}
	return adopted
}

// TestStoredSnapshotsChangeNothing runs all guests with and without what initialisation made.
func TestStoredSnapshotsChangeNothing(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("..", "..", "testdata", "guests", "*.wasm"))
	if err != nil || len(files) < 20 {
		t.Fatal(err, len(files))
	}
	adopted := 0
	for _, file := range files {
		code, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		c, err := Compile(t.Context(), code, 1<<20*64, Options{})
		if err != nil {
			continue // it is no module
		}
		if _, part := initialised(t, c); part != nil {
			adopted += sameWithout(t, filepath.Base(file), c, part, entries(c))
		}
	}
	if adopted < 20 {
		t.Errorf("%d runs began from a snapshot", adopted)
	}
}

// TestStoredSnapshotsOfRealModules: the same of modules that somebody uses.
func TestStoredSnapshotsOfRealModules(t *testing.T) {
	dirs, with, adopted := map[string]string{}, 0, 0
	for _, m := range realModules {
		if dirs[m.from] == "" {
			dirs[m.from] = download(t, m.from)
		}
		code, err := os.ReadFile(filepath.Join(dirs[m.from], filepath.FromSlash(m.file)))
		if err != nil {
			t.Fatal(err)
		}
		c, err := Compile(t.Context(), code, 64<<20, Options{})
		if err != nil {
			t.Fatal(m.file, err)
		}
		said, part := initialised(t, c)
		if part == nil {
			continue
		}
		n := sameWithout(t, m.file, c, part, entries(c))
		t.Logf("%s: %d bytes of %d, gas %d; %d runs began there", m.file, said.ImageBytes, said.MemoryBytes, said.InitGas, n)
		with, adopted = with+1, adopted+n
	}
	if with == 0 || adopted == 0 {
		t.Errorf("%d modules have a snapshot, from which %d runs began", with, adopted)
	}
}

// TestStoredSnapshotOfAReactor: the initialisation of Go code, which looks at clock and random bytes.
func TestStoredSnapshotOfAReactor(t *testing.T) {
	if testing.Short() {
		t.Skip("slow: builds a Go module")
	}
	file := filepath.Join(t.TempDir(), "reactor.wasm")
	build := exec.Command("go", "build", "-trimpath", "-buildmode=c-shared", "-o", file, "../../testdata/bench/goreactor")
	build.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "CGO_ENABLED=0", "GOFLAGS=")
	if b, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, b)
	}
	code, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	c, err := Compile(t.Context(), code, 64<<20, Options{})
	if err != nil {
		t.Fatal(err)
	}
	m, part := initialised(t, c)
	if part == nil || !m.Initialised || !m.SeesTime || m.InitGas == 0 || m.Drawn == 0 {
		t.Fatalf("%+v", m)
	}
	t.Logf("%d bytes of %d at %#x, gas %d", m.ImageBytes, m.MemoryBytes, m.ImageAddress, m.InitGas)
	if _, again := initialised(t, c); !slices.Equal(again, part) {
		t.Error("two initialisations differ")
	}
	specs := []Spec{invoked("work", "3")}
	if n := sameWithout(t, "reactor", c, part, specs); n != 1 {
		t.Error("the snapshot was not used")
	}
	// A run of another beginning is not one of this.
	for what, change := range map[string]func(*Spec){
		"the real world": func(s *Spec) { s.Determinism = run.RealWorld },
		"less gas":       func(s *Spec) { s.InitGas = m.InitGas - 1 },
		"less stack":     func(s *Spec) { s.StackValues = run.DefaultStackValues - 1 },
		"less memory":    func(s *Spec) { s.MemoryBytes = m.PeakBytes - run.PageBytes },
	} {
		parts := c.Contents()
		parts.Snapshot = Content{Bytes: part}
		a, err := Load(t.Context(), parts)
		if err != nil {
			t.Fatal(err)
		}
		s := invoked("work", "1")
		s.MemoryBytes = run.DefaultMemoryBytes
		change(&s)
		if _, _ = call(a, s); a.snap != nil && a.taken == 0 {
			t.Errorf("%s: it began from the snapshot", what)
		}
		_ = a.Close()
	}
}

// TestStoredSnapshotsOfTheWorld: which initialisations have one, and which runs begin there.
func TestStoredSnapshotsOfTheWorld(t *testing.T) {
	build := func(name, params string, code ...byte) *Compiled {
		c, err := Compile(context.Background(), binaryModule(
			section(secType, funcType(params, "\x7f"), funcType("", ""), funcType("", "\x7e"), funcType("\x7f\x7f", "\x7f")),
			section(secImport, importFunc(abi.WASI, name, 0), importFunc(abi.WASI, "random_get", 3)),
			section(secFunc, []byte{1}, []byte{2}, []byte{1}),
			section(secMemory, []byte{0, 1}),
			section(secExport, exportFunc("f", 3), exportFunc("_start", 4)),
			raw(secStart, []byte{2}),
			section(secCode, body(append(code, opDrop)...),
				body(opI32Const, 32, opI32Const, 8, opCall, 1, opDrop, opI32Const, 32, opI64Load, 3, 0, opI32Const, 0, opI64Load, 3, 0, 0x85), body()),
		), 1<<20, Options{})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	two := []byte{opI32Const, 0, opI32Const, 8}
	plain, err := Compile(t.Context(), stainer(true), 1<<20, Options{})
	if err != nil {
		t.Fatal(err)
	}
	commands := []Spec{{}, {Entry: run.Entry{Args: []string{"a"}, Env: []string{"K=V"}}}, invoked("f"), invoked("f")}
	commands[3].Determinism = run.RealWorld
	for name, row := range map[string]struct {
		c       *Compiled
		specs   []Spec
		adopted int // -1: there is none
	}{
		"args":    {build("args_sizes_get", "\x7f\x7f", append(two, opCall, 0)...), commands[:3], 1},
		"environ": {build("environ_sizes_get", "\x7f\x7f", append(two, opCall, 0)...), commands[:3], 1},
		"random":  {build("random_get", "\x7f\x7f", append(two, opCall, 0)...), commands[:3], 3},
		"clock":   {build("clock_time_get", "\x7f\x7e\x7f", opI32Const, 0, opI64Const, 0, opI32Const, 0, opCall, 0), commands[:3], 3},
		"yield":   {build("sched_yield", "", opCall, 0), commands[:3], 3},
		"read":    {build("fd_read", "\x7f\x7f\x7f\x7f", opI32Const, 0, opI32Const, 8, opI32Const, 0, opI32Const, 16, opCall, 0), nil, -1},
		"write":   {build("fd_write", "\x7f\x7f\x7f\x7f", opI32Const, 1, opI32Const, 8, opI32Const, 0, opI32Const, 16, opCall, 0), nil, -1},
		"close":   {build("fd_close", "\x7f", opI32Const, 1, opCall, 0), nil, -1},
		"stains":  {plain, []Spec{invoked("sniff"), invoked("stain"), invoked("grown"), invoked("loud")}, 4},
	} {
		_, part := initialised(t, row.c)
		if (part == nil) != (row.adopted < 0) {
			t.Errorf("%s: a snapshot of %d bytes", name, len(part))
			continue
		}
		if part == nil {
			continue
		}
		if n := sameWithout(t, name, row.c, part, row.specs); n != row.adopted {
			t.Errorf("%s: %d runs began from the snapshot, not %d", name, n, row.adopted)
		}
	}
}

// TestInitialisationsThatAttack have no snapshot, and end.
func TestInitialisationsThatAttack(t *testing.T) {
	const loop, br, end, void = 0x03, 0x0c, 0x0b, 0x40
	for name, code := range map[string][]byte{
		"spins":       {loop, void, br, 0, end},
		"traps":       {opUnreachable},
		"recurses":    {opCall, 0},
		"is too much": {opI32Const, 0xff, 0x0f, opGrow, 0, opDrop, opI32Const, 0, opI32Const, 1, 0x3a, 0, 0, opI32Const, 0x80, 0x80, 0xc0, 0x3f, opI32Const, 1, 0x3a, 0, 0},
	} {
		c, err := Compile(t.Context(), binaryModule(
			section(secType, funcType("", "")), section(secFunc, []byte{0}), section(secMemory, []byte{0, 1}),
			raw(secStart, []byte{0}), section(secCode, body(code...))), 1<<20, Options{})
		if err != nil {
			t.Fatal(name, err)
		}
		if m, part := initialised(t, c); part != nil {
			t.Errorf("%s: %+v", name, m)
		}
	}
}

// TestStoredSnapshotsThatDoNotFit are left, and the app runs as without.
func TestStoredSnapshotsThatDoNotFit(t *testing.T) {
	c, err := Compile(t.Context(), stainer(true), 1<<20, Options{})
	if err != nil {
		t.Fatal(err)
	}
	m, part := initialised(t, c)
	if part == nil {
		t.Fatal("no snapshot")
	}
	image := part[:m.ImageBytes]
	for name, lie := range map[string]func(*wire.Snapshotted){
		"a global less":       func(m *wire.Snapshotted) { m.Globals = m.Globals[1:] },
		"a global more":       func(m *wire.Snapshotted) { m.Globals = append(m.Globals, 1) },
		"a heap of another":   func(m *wire.Snapshotted) { m.HeapFree = m.HeapFree[1:] },
		"less memory":         func(m *wire.Snapshotted) { m.MemoryBytes -= run.PageBytes },
		"half a page":         func(m *wire.Snapshotted) { m.MemoryBytes++ },
		"an image behind it":  func(m *wire.Snapshotted) { m.ImageAddress = m.MemoryBytes },
		"an image in between": func(m *wire.Snapshotted) { m.ImageAddress++ },
		"a peak below":        func(m *wire.Snapshotted) { m.PeakBytes = 0 },
		"a shorter image":     func(m *wire.Snapshotted) { m.ImageBytes -= artifacts.SnapshotPage },
	} {
		said := m
		said.Globals, said.HeapFree = slices.Clone(m.Globals), slices.Clone(m.HeapFree)
		lie(&said)
		end, err := said.End()
		if err != nil {
			t.Fatal(name, err)
		}
		if n := sameWithout(t, name, c, slices.Concat(image, end), []Spec{invoked("sniff")}); n != 0 {
			t.Errorf("%s: it was used", name)
		}
	}
	for n := range 40 { // cut
		if n := sameWithout(t, "cut", c, part[:len(part)-n-1], []Spec{invoked("sniff")}); n != 0 {
			t.Error("a part that is cut was used")
		}
	}
}

// TestStoredSnapshotOfWhatCannotBeReset: who says that there is a snapshot of code whose globals cannot be brought back is not
// believed, and a run finds nothing of another.
func TestStoredSnapshotOfWhatCannotBeReset(t *testing.T) {
	c, err := Compile(t.Context(), binaryModule(
		section(secType, funcType("", "\x7f"), funcType("", "")),
		section(secFunc, []byte{0}, []byte{1}),
		section(secMemory, []byte{0, 1}),
		section(secGlobal, []byte{0x70, 1, 0xd0, 0x70, opEnd}), // a mutable funcref
		section(secExport, exportFunc("f", 0)),
		raw(secStart, []byte{1}),
		section(9, []byte{3, 0, 1, 1}), // declares function 1
		section(secCode, body(opGlobalGet, 0, 0xd1, 0xd2, 1, opGlobalSet, 0), body()),
	), 1<<20, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, part := initialised(t, c); part != nil {
		t.Fatal("it has a snapshot")
	}
	said := wire.Snapshotted{
		MemoryBytes: run.PageBytes, PeakBytes: run.PageBytes, LimitBytes: asked.MemoryBytes, StackValues: asked.StackValues,
		HeapFree: make([]uint32, orders), Globals: make([]uint64, c.Module.Mutable),
	}
	if what := said.Flaw(asked, c.Module); what != "" {
		t.Fatal(what)
	}
	part, err := said.End()
	if err != nil {
		t.Fatal(err)
	}
	parts := c.Contents()
	parts.Snapshot = Content{Bytes: part}
	a, err := Load(t.Context(), parts)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	for n := range 4 {
		if out, _ := call(a, invoked("f")); out.Fault != nil || string(out.Result) != "1" {
			t.Errorf("run %d: %q, %v", n, out.Result, out.Fault)
		}
	}
}

// TestNoSnapshotOfQuestions: initialisation that asked is done again by each run, also where nobody answered it.
func TestNoSnapshotOfQuestions(t *testing.T) {
	for i := range abi.TroupeFunctions {
		c, err := Compile(t.Context(), asker(&abi.TroupeFunctions[i], true), 64<<20, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if _, part := initialised(t, c); part != nil {
			t.Errorf("%s: there is one", abi.TroupeFunctions[i].Name)
		}
	}
}
