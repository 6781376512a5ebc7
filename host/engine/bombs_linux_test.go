package engine

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/experimental"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/artifacts/wasm"
	"github.com/troupehost/troupe/artifacts/wasm/wasmtest"
)

// What preparing a bomb may take at most, if it is not refused.
const (
	prepareLine = 3 * time.Second // of CPU time, on a machine at rest; the goal is 2 s
	memoryLine  = 512 << 20       // of resident memory
	patience    = 5               // times the line of time that a plain test waits
)

// bombEnv names the bomb that a process of its own prepares: a bomb may take what it wants there.
const bombEnv = "TROUPE_TEST_BOMB"

// prepared is what such a process tells.
type prepared struct {
	Refused string        // why; "" if it was compiled
	Judging time.Duration // until it was refused or accepted
	CPU     time.Duration // of judging, instrumenting and compiling
	Bytes   int64         // of what was instrumented
	Memory  int64         // the most that was resident, in bytes
}

func TestMain(m *testing.M) {
	if name := os.Getenv(bombEnv); name != "" {
		if err := json.NewEncoder(os.Stdout).Encode(prepareBomb(name)); err != nil {
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

func allBombs() []wasmtest.Bomb {
	return slices.Concat(wasmtest.FunctionBombs(), wasmtest.ModuleBombs())
}

func prepareBomb(name string) prepared {
	all := allBombs()
	i := slices.IndexFunc(all, func(b wasmtest.Bomb) bool { return b.Name == name })
	code := all[i].Build()
	seconds := uint64(patience*prepareLine/time.Second) + 1
	_ = syscall.Setrlimit(syscall.RLIMIT_CPU, &syscall.Rlimit{Cur: seconds, Max: seconds})
	before := cpuTime()
	var p prepared
	err := func() error {
		m, err := wasm.Judge(code, wasm.Policy{})
		p.Judging = cpuTime() - before
		if err != nil {
			return err
		}
		if _, err := describe(m, code); err != nil { // memory, and the number of symbols
			return err
		}
		ready, err := wasm.Instrument(code, wasm.Policy{}, instrumentation(false))
		if err != nil {
			return err
		}
		p.Bytes = int64(len(ready.Code))
		rt, err := newRuntime(context.Background(), &hook{})
		if err != nil {
			return err
		}
		_, err = rt.CompileModule(context.Background(), ready.Code)
		return err
	}()
	if err != nil {
		p.Refused = fmt.Sprintf("%s %v", fault.CodeOf(err), err)
	}
	p.CPU, p.Memory = cpuTime()-before, residentPeak()
	return p
}

func cpuTime() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// residentPeak reads the most memory that this process had. The figure of rusage would be that of the process that started it.
func residentPeak() int64 {
	status, _ := os.ReadFile("/proc/self/status")
	_, rest, _ := strings.Cut(string(status), "VmHWM:")
	var kib int64
	_, _ = fmt.Sscan(rest, &kib)
	return kib << 10
}

// explode prepares a bomb in a process of its own. Killed tells that it was over patience times the line.
func explode(t *testing.T, name string) (p prepared, killed bool) {
	t.Helper()
	c := exec.Command(os.Args[0])
	c.Env = append(os.Environ(), bombEnv+"="+name)
	var out, stderr bytes.Buffer
	c.Stdout, c.Stderr = &out, &stderr
	err := c.Run()
	if status, ok := errors.AsType[*exec.ExitError](err); ok && status.Sys().(syscall.WaitStatus).Signaled() {
		return prepared{}, true
	}
	if err != nil || json.Unmarshal(out.Bytes(), &p) != nil {
		t.Fatalf("%s: %v %s", name, err, stderr.String())
	}
	return p, false
}

// checkBombs prepares each bomb, and holds those that are not refused against a line of time.
func checkBombs(t *testing.T, line time.Duration) {
	compiled, worst := 0, prepared{}
	for _, b := range allBombs() {
		p, killed := explode(t, b.Name)
		for range 2 { // what else the machine does makes it slower, never faster
			if killed || p.Refused != "" || p.CPU <= line {
				break
			}
			p, killed = explode(t, b.Name)
		}
		if killed {
			t.Errorf("%s: neither refused nor prepared in %v", b.Name, patience*prepareLine)
			continue
		}
		t.Logf("%-52s judged %8v, CPU %8v, %3d MiB %.90s", b.Name, p.Judging.Round(time.Microsecond*100), p.CPU.Round(time.Millisecond), p.Memory>>20, p.Refused)
		switch {
		case p.Refused != "" && !strings.HasPrefix(p.Refused, "guest."):
			t.Errorf("%s: accepted, and refused by the engine: %s", b.Name, p.Refused)
		case p.Refused == "" && p.CPU > line:
			t.Errorf("%s: prepared in %v of CPU, line %v", b.Name, p.CPU, line)
		case p.Refused == "" && p.Memory > memoryLine:
			t.Errorf("%s: prepared in %d MiB, line %d", b.Name, p.Memory>>20, memoryLine>>20)
		}
		if p.Refused == "" {
			compiled++
			worst.CPU, worst.Memory = max(worst.CPU, p.CPU), max(worst.Memory, p.Memory)
		}
	}
	t.Logf("%d bombs, %d prepared in at most %v of CPU, line %v, and %d MiB", len(allBombs()), compiled, worst.CPU, line, worst.Memory>>20)
	if compiled == 0 {
		t.Error("nothing was compiled: the line of time was not tried")
	}
}

func TestBombsAreRefusedOrPrepared(t *testing.T) { checkBombs(t, patience*prepareLine) }

// TestTheEngineAndAllOfMemory pins why 65,536 pages are never offered: the compiler of this engine traps at address 0 then,
// and its interpreter does not. If this test fails the engine was mended; the bound may go.
func TestTheEngineAndAllOfMemory(t *testing.T) {
	ctx := context.Background()
	run := func(c wazero.RuntimeConfig, pages int) error {
		code := wasmtest.Module(
			wasmtest.Section(wasmtest.Type, wasmtest.Vector(wasmtest.FuncType(0, 1))),
			wasmtest.Section(wasmtest.Func, []byte{1, 0}),
			wasmtest.Section(wasmtest.Memory, append([]byte{1, 0}, wasmtest.U(pages)...)),
			wasmtest.Section(wasmtest.Export, wasmtest.Vector(append(wasmtest.Name("f"), 0, 0))),
			wasmtest.Section(wasmtest.Code, wasmtest.Vector(wasmtest.Body(0, opI32Const, 0, 0x28, 2, 0))),
		)
		rt := wazero.NewRuntimeWithConfig(ctx, c)
		defer rt.Close(ctx)
		m, err := rt.Instantiate(experimental.WithMemoryAllocator(ctx, &linearMemory{limit: 1 << 32}), code)
		if err != nil {
			return err
		}
		_, err = m.ExportedFunction("f").Call(ctx)
		return err
	}
	if err := run(wazero.NewRuntimeConfigCompiler(), 65_535); err != nil {
		t.Errorf("65,535 pages, compiled: %v", err)
	}
	if err := run(wazero.NewRuntimeConfigInterpreter(), 65_536); err != nil {
		t.Errorf("65,536 pages, interpreted: %v", err)
	}
	if err := run(wazero.NewRuntimeConfigCompiler(), 65_536); err == nil || !strings.Contains(err.Error(), "out of bounds memory access") {
		t.Errorf("65,536 pages, compiled: %v; the engine was mended", err)
	}
	// We never offer them, neither at the start nor by growth.
	whole := binaryModule(section(secMemory, []byte{0, 0x80, 0x80, 4}))
	if _, err := Compile(ctx, whole, 1<<20, Options{}); !errors.Is(err, fault.GuestMemory) && !errors.Is(err, fault.GuestTooComplex) {
		t.Errorf("65,536 pages at the start: %v", err)
	}
	grower := binaryModule(
		section(secType, funcType("", "\x7f")),
		section(secFunc, []byte{0}),
		section(secMemory, []byte{0, 1}),
		section(secExport, exportFunc("f", 0)),
		section(secCode, body(append([]byte{opI32Const}, append(wasmtest.S(65_535), opGrow, 0)...)...)),
	)
	if out, _ := call(loadCode(t, grower), Spec{Entry: invoked("f").Entry, MemoryBytes: 1 << 33}); string(out.Result) != "-1" {
		t.Errorf("growth to 65,536 pages: %q, %v", out.Result, out.Fault)
	}
}
