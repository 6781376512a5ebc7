package engine

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/troupehost/troupe/artifacts/wasm/wasmtest"
	"github.com/troupehost/troupe/host/abi"
)

// hostCall is a way to use a function of the host that is as dear as one can be made for its charge.
type hostCall struct {
	name   string
	params string   // as types of the binary format
	args   [][]byte // an instruction for each
	units  int      // the parameter that is charged for
	setup  []byte   // memory from 1,024 on
}

const (
	callsMemory = 64 // pages
	callsAt     = 1024
)

func i32Arg(v int) []byte { return append([]byte{opI32Const}, wasmtest.S(v)...) }

// vectors are n buffers, each of size bytes.
func vectors(n, size int) (b []byte) {
	for range n {
		b = binary.LittleEndian.AppendUint32(b, 512)
		b = binary.LittleEndian.AppendUint32(b, uint32(size))
	}
	return b
}

// subscriptions are n clocks that are due at once.
func subscriptions(n int) []byte { return make([]byte, 48*n) }

// hostCalls are all calls that have a charge of their own, and some that have none.
func hostCalls() []hostCall {
	stream := func(name string, fd, n, size int) hostCall {
		c := hostCall{name: name, params: "\x7f\x7f\x7f\x7f", args: [][]byte{i32Arg(fd), i32Arg(callsAt), i32Arg(n), i32Arg(0)}, units: n, setup: vectors(n, size)}
		if name == "fd_pwrite" || name == "fd_pread" {
			c.params = "\x7f\x7f\x7f\x7e\x7f"
			c.args = slices.Insert(c.args, 3, []byte{opI64Const, 0})
		}
		return c
	}
	out := []hostCall{
		{name: "sched_yield"},
		{name: "fd_prestat_get", params: "\x7f\x7f", args: [][]byte{i32Arg(3), i32Arg(0)}},
		{name: "fd_fdstat_get", params: "\x7f\x7f", args: [][]byte{i32Arg(1), i32Arg(0)}},
		{name: "fd_filestat_get", params: "\x7f\x7f", args: [][]byte{i32Arg(1), i32Arg(0)}},
		{name: "fd_close", params: "\x7f", args: [][]byte{i32Arg(9)}},
		{name: "fd_seek", params: "\x7f\x7e\x7f\x7f", args: [][]byte{i32Arg(1), {opI64Const, 0}, i32Arg(0), i32Arg(0)}},
		{name: "path_open", params: "\x7f\x7f\x7f\x7f\x7f\x7e\x7e\x7f\x7f", args: [][]byte{i32Arg(3), i32Arg(0), i32Arg(0), i32Arg(4), i32Arg(0), {opI64Const, 0}, {opI64Const, 0}, i32Arg(0), i32Arg(0)}},
		{name: "args_sizes_get", params: "\x7f\x7f", args: [][]byte{i32Arg(0), i32Arg(8)}},
		{name: "args_get", params: "\x7f\x7f", args: [][]byte{i32Arg(0), i32Arg(4096)}},
		{name: "environ_get", params: "\x7f\x7f", args: [][]byte{i32Arg(0), i32Arg(4096)}},
		{name: "clock_res_get", params: "\x7f\x7f", args: [][]byte{i32Arg(0), i32Arg(8)}},
		{name: "clock_time_get", params: "\x7f\x7e\x7f", args: [][]byte{i32Arg(0), {opI64Const, 0}, i32Arg(8)}},
		{name: "clock_time_get", params: "\x7f\x7e\x7f", args: [][]byte{i32Arg(1), {opI64Const, 0}, i32Arg(8)}},
	}
	for _, n := range []int{0, 1, 1000, 20_000} {
		for _, size := range []int{0, 1} {
			out = append(out, stream("fd_write", 1, n, size), stream("fd_read", 0, n, size), stream("fd_pwrite", 1, n, size), stream("fd_pread", 0, n, size))
		}
	}
	for _, n := range []int{1, 16, 1000, 100_000, 1_000_000} {
		out = append(out, hostCall{name: "random_get", params: "\x7f\x7f", args: [][]byte{i32Arg(callsAt), i32Arg(n)}, units: n})
	}
	for _, n := range []int{1, 10, 1000, 10_000} {
		out = append(out, hostCall{name: "poll_oneoff", params: "\x7f\x7f\x7f\x7f",
			args: [][]byte{i32Arg(callsAt), i32Arg(callsAt + 48*n), i32Arg(n), i32Arg(0)}, units: n, setup: subscriptions(n)})
	}
	return out
}

func (c hostCall) String() string {
	if c.units == 0 {
		return c.name
	}
	return fmt.Sprintf("%s of %d", c.name, c.units)
}

// module exports f(n i32), which makes n calls.
func (c hostCall) module() []byte {
	const loop, brIf, sub, tee = 0x03, 0x0d, 0x6b, 0x22
	callIt := append(slices.Concat(c.args...), opCall, 0, opDrop)
	code := slices.Concat([]byte{loop, 0x40}, callIt, []byte{opLocalGet, 0, opI32Const, 1, sub, tee, 0, brIf, 0, opEnd})
	results := "\x7f"
	return binaryModule(
		section(secType, funcType(c.params, results), funcType("\x7f", "")),
		section(secImport, importFunc(abi.WASI, c.name, 0)),
		section(secFunc, []byte{1}),
		section(secMemory, []byte{0, callsMemory}),
		section(secExport, exportFunc("f", 1)),
		section(secCode, body(code...)),
		section(11, slices.Concat([]byte{0}, i32Arg(callsAt), []byte{opEnd}, text(string(c.setup)))),
	)
}

// calls is how many calls take about 10 ms.
func (c hostCall) calls() int { return max(10, 10_000_000/(100+20*c.units)) }

// cost returns the time of one call, in units of gas, and what it is charged with the instructions around it.
func (c hostCall) cost(tb testing.TB, n int) (took, gas float64) {
	a := loadCode(tb, c.module())
	runs := func(n int) (time.Duration, int64) {
		s := invoked("f", fmt.Sprint(n))
		s.MemoryBytes = 64 << 20
		s.OutputBytes = 1 << 40
		begin := time.Now()
		out := a.Run(context.Background(), s, IO{
			Stdin:  func(p []byte) (int, error) { return len(p), nil },
			Output: func(bool, []byte) error { return nil },
			Result: func([]byte) error { return nil },
		})
		if out.Fault != nil {
			tb.Fatalf("%v: %v", c, out.Fault)
		}
		return time.Since(begin), out.GasUsed
	}
	least := time.Duration(1 << 62)
	var used int64
	for range 3 {
		empty, _ := runs(1)
		d, g := runs(n + 1)
		least, used = min(least, max(d-empty, 0)), g
	}
	return float64(least.Nanoseconds()) * 100 / float64(n), float64(used) / float64(n+1)
}

// BenchmarkHostCalls says what calls of the host take beside what they are charged, both in units of gas.
func BenchmarkHostCalls(b *testing.B) {
	for _, c := range hostCalls() {
		b.Run(c.String(), func(b *testing.B) {
			took, gas := c.cost(b, c.calls())
			b.ReportMetric(took, "took/call")
			b.ReportMetric(gas, "gas/call")
			b.ReportMetric(took/gas, "took/gas")
			b.ReportMetric(0, "ns/op")
		})
	}
}
