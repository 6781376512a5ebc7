package host_test

import (
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/artifacts/wasm/wasmtest"
	"github.com/troupehost/troupe/host"
)

// TestTheStepOfClocksIsTheHosts: what a guest of the real world is told of its clock is the setting, and a deterministic one is told
// what it always was.
func TestTheStepOfClocksIsTheHosts(t *testing.T) {
	const constant, call, drop, load = 0x41, 0x10, 0x1a, 0x28
	code := wasmtest.Module(
		wasmtest.Section(wasmtest.Type, wasmtest.Vector(wasmtest.FuncType(2, 1), wasmtest.FuncType(0, 1))),
		wasmtest.Section(wasmtest.Import, wasmtest.Vector(slices.Concat(wasmtest.Name("wasi_snapshot_preview1"), wasmtest.Name("clock_res_get"), []byte{0, 0}))),
		wasmtest.Section(wasmtest.Func, wasmtest.Vector([]byte{1})),
		wasmtest.Section(wasmtest.Memory, []byte{1, 0, 1}),
		wasmtest.Section(wasmtest.Export, wasmtest.Vector(slices.Concat(wasmtest.Name("f"), []byte{0, 1}))),
		wasmtest.Section(wasmtest.Code, wasmtest.Vector(wasmtest.Body(0, constant, 1, constant, 0, call, 0, drop, constant, 0, load, 2, 0))),
	)
	for step, want := range map[time.Duration]time.Duration{0: 100 * time.Microsecond, 5 * time.Millisecond: 5 * time.Millisecond} {
		h := start(t, host.Config{ClockStep: step})
		for world, want := range map[run.Determinism]time.Duration{run.RealWorld: want, run.Deterministic: time.Millisecond} {
			r := execute(t, h, host.Request{Code: code, Entry: invoke("f"), Determinism: world})
			if n, err := strconv.Atoi(string(r.Result)); err != nil || time.Duration(n) != want {
				t.Errorf("step %v, %v: the guest is told %s ns, want %v: %s", step, world, r.Result, want, r.Message)
			}
		}
	}
}
