package host_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/artifacts/wasm/wasmtest"
	"github.com/troupehost/troupe/host"
)

// canary is a command that is its tenant's own by its mark. It looks for whatever another run may have left: in the last of its
// memory, in a global, in its table, in the size of its memory, in the descriptors that it was given, and in its arguments and
// environment. Then it leaves its mark in all of these. It puts out what it was passed, and a byte for what it found. It does all
// that so many times.
func canary(mark byte, times int) []byte {
	const (
		i32, con, get, set, end, ifOp, load8, store8, ne, or, drop, call = 0x7f, 0x41, 0x20, 0x21, 0x0b, 0x04, 0x2d, 0x3a, 0x47, 0x72, 0x1a, 0x10
		globalGet, globalSet, tableGet, isNull, eqz, memSize, memGrow    = 0x23, 0x24, 0x25, 0xd1, 0x45, 0x3f, 0x40
		load                                                             = 0x28
		pages                                                            = 4
	)
	num := func(n int) []byte { return append([]byte{con}, wasmtest.S(n)...) }
	join := func(b ...[]byte) []byte { return slices.Concat(b...) }
	byFlag := func(bit int, found ...byte) []byte { // found = found | bit if what is on the stack is not 0
		return join(found, []byte{ifOp, 0x40, get, 0}, num(bit), []byte{or, set, 0, end})
	}
	wasi := func(name string, params int) []byte {
		return join(wasmtest.Name("wasi_snapshot_preview1"), wasmtest.Name(name), []byte{0, byte(params)})
	}
	// Functions: 0 fd_write, 1 args_sizes_get, 2 args_get, 3 environ_sizes_get, 4 environ_get, 5 fd_close, 6 fd_fdstat_get.
	far := pages<<16 - 8
	b := join(
		// What is left?
		byFlag(1, join(num(far), []byte{load8, 0, 0})...),
		byFlag(2, join(num(70_000), []byte{load8, 0, 0})...),
		byFlag(4, globalGet, 0),
		byFlag(8, join(num(5), []byte{tableGet, 0, isNull, eqz})...),
		byFlag(16, join([]byte{memSize, 0}, num(pages), []byte{ne})...),
		byFlag(32, join(num(0), num(500), []byte{call, 6})...), // stdin is closed
		byFlag(64, join(num(2000), []byte{load, 2, 0})...),     // where arguments come to lie
		// Arguments and environment: their sizes to 200..216, their pointers to 1000, their bytes to 2000 and 3000.
		num(200), num(204), []byte{call, 1, drop}, num(1000), num(2000), []byte{call, 2, drop},
		num(208), num(212), []byte{call, 3, drop}, num(1400), num(3000), []byte{call, 4, drop},
		// Put out arguments, environment, and what was found.
		num(600), []byte{get, 0, store8, 0, 0}, num(100), num(2000), []byte{0x36, 2, 0}, num(104), num(204), []byte{load, 2, 0, 0x36, 2, 0},
		num(108), num(3000), []byte{0x36, 2, 0}, num(112), num(212), []byte{load, 2, 0, 0x36, 2, 0},
		num(116), num(600), []byte{0x36, 2, 0}, num(120), num(1), []byte{0x36, 2, 0},
		num(1), num(100), num(3), num(300), []byte{call, 0, drop},
		num(2), num(100), num(3), num(300), []byte{call, 0, drop},
		// Leave the mark.
		num(far), num(int(mark)), []byte{store8, 0, 0}, num(70_000), num(int(mark)), []byte{store8, 0, 0},
		num(int(mark)), []byte{globalSet, 0},
		num(0), []byte{0xd2, 7}, num(10), []byte{0xfc, 0x11, 0},
		num(0), []byte{call, 5, drop}, // closes stdin
		num(1), []byte{memGrow, 0, drop},
	)
	if mark&1 == 0 { // some leave their instance fit for the next run
		b = b[:len(b)-len(join(num(0), []byte{0xd2, 7}, num(10), []byte{0xfc, 0x11, 0}, num(0), []byte{call, 5, drop}, num(1), []byte{memGrow, 0, drop}))]
	}
	b = bytes.Repeat(b, times)
	return wasmtest.Module(
		wasmtest.Section(1, wasmtest.Vector(wasmtest.FuncType(0, 0), []byte{0x60, 2, i32, i32, 1, i32}, []byte{0x60, 4, i32, i32, i32, i32, 1, i32},
			[]byte{0x60, 1, i32, 1, i32})),
		wasmtest.Section(2, wasmtest.Vector(wasi("fd_write", 2), wasi("args_sizes_get", 1), wasi("args_get", 1), wasi("environ_sizes_get", 1),
			wasi("environ_get", 1), wasi("fd_close", 3), wasi("fd_fdstat_get", 1))),
		wasmtest.Section(3, []byte{1, 0}),
		wasmtest.Section(4, []byte{1, 0x70, 0, 10}),
		wasmtest.Section(5, []byte{1, 0, pages}),
		wasmtest.Section(6, []byte{1, i32, 1, con, 0, end}),
		wasmtest.Section(7, wasmtest.Vector(append(wasmtest.Name("_start"), 0, 7), append(wasmtest.Name("memory"), 2, 0))),
		wasmtest.Section(9, []byte{1, 3, 0, 1, 7}), // function 7 may be referred to
		wasmtest.Section(10, wasmtest.Vector(append(wasmtest.U(len(b)+4), join([]byte{1, 1, i32}, b, []byte{end})...))),
	)
}

// lookForCanaries lets tenants run by turns and side by side: nobody finds what another run left, in itself or elsewhere.
func lookForCanaries(t *testing.T, runs int, isolation run.Isolation) {
	h := start(t, host.Config{ExecuteWorkers: 8, SpareWorkers: 1})
	// Two tenants with the same code, so with the same artifact, and one with another.
	type app struct {
		tenant string
		code   []byte
	}
	apps := []app{{"anna", canary('A', 1)}, {"bert", canary('A', 1)}, {"bert", canary('B', 1)}, {"anna", canary('B', 1)}}
	var mu sync.Mutex
	owners, done := map[int]string{}, 0
	note := func() { // whose is a process?
		s, err := h.Inspect(t.Context())
		if err != nil {
			t.Error(err)
			return
		}
		for _, w := range s.Workers {
			if w.Kind != "execute" || w.Tenant == "" {
				continue
			}
			owner := w.Tenant + " " + w.Artifact
			mu.Lock()
			if was, ok := owners[w.PID]; ok && was != owner {
				t.Errorf("process %d is of %s, and was of %s", w.PID, owner, was)
			}
			owners[w.PID] = owner
			mu.Unlock()
		}
	}
	var all sync.WaitGroup
	begin := time.Now()
	for caller := range 4 {
		all.Go(func() {
			r := rand.New(rand.NewPCG(8, uint64(caller)))
			for n := range runs / 4 {
				a := apps[r.IntN(len(apps))]
				word := fmt.Sprintf("%s-%d-%d", a.tenant, caller, n)
				q := host.Request{Code: a.code, Tenant: a.tenant, Isolation: isolation, Entry: run.Entry{
					Mode: run.Command, Args: []string{"arg-" + word}, Env: []string{"WHO=" + word},
				}}
				if n%3 == 0 { // the terms stay the same
					q.Entry.Args, q.Entry.Env = nil, nil
				}
				got, err := h.Execute(t.Context(), q)
				want := "guest\x00"
				for _, s := range slices.Concat(q.Entry.Args, q.Entry.Env) {
					want += s + "\x00"
				}
				want += "\x00" // nothing was found
				if err != nil || got.Verdict != "ok" || string(got.Stdout) != want || string(got.Stderr) != want {
					t.Errorf("%s: %q and %q, want %q; %s %s, %v", word, got.Stdout, got.Stderr, want, got.Fault, got.Message, err)
					return
				}
				if n%500 == 0 {
					note()
				}
			}
			mu.Lock()
			done += runs / 4
			mu.Unlock()
		})
	}
	all.Wait()
	note()
	t.Logf("%d runs, %.0f/s, %d processes seen", done, float64(done)/time.Since(begin).Seconds(), len(owners))
}

// TestNoCanaryIsFoundByAnother runs some thousands; the timed test a hundred thousand.
func TestNoCanaryIsFoundByAnother(t *testing.T) { lookForCanaries(t, 5000, run.Reset) }

// TestIsolatedRunsShareNoProcess: a process that had a run never has another.
func TestIsolatedRunsShareNoProcess(t *testing.T) {
	lookForCanaries(t, 100, run.Process)
	h := start(t, host.Config{ExecuteWorkers: 2, SpareWorkers: 1})
	seen := map[int]string{}
	q := host.Request{Code: canary('A', 1), Isolation: run.Process, Entry: run.Entry{Mode: run.Command}}
	for range 20 {
		if got := execute(t, h, q); got.Verdict != "ok" || string(got.Stdout) != "guest\x00\x00" {
			t.Fatalf("%q, %s", got.Stdout, got.Message)
		}
		s, err := h.Inspect(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, w := range s.Workers {
			if w.Kind == "execute" && w.Runs > 1 {
				t.Errorf("process %d had %d runs", w.PID, w.Runs)
			}
			if was, ok := seen[w.PID]; ok && was != w.ID {
				t.Errorf("process %d was %s and is %s", w.PID, was, w.ID)
			}
			seen[w.PID] = w.ID
		}
	}
}
