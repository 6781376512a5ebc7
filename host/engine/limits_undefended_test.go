//go:build undefended

package engine

import (
	"context"
	"slices"
	"testing"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/artifacts/wasm"
)

// TestUndefendedStack recurses further with a higher limit.
func TestUndefendedStack(t *testing.T) {
	a := loadCode(t, binaryModule(
		section(secType, funcType("", "")), section(secFunc, []byte{0}),
		section(secExport, exportFunc("f", 0)), section(secCode, body(opCall, 0)),
	))
	deep := func(values int64) int64 {
		s := invoked("f")
		s.StackValues = values
		out, _ := call(a, s)
		if out.Fault == nil || out.Fault.Code != fault.GuestStack {
			t.Errorf("%d values: %v", values, out.Fault)
		}
		return out.GasUsed
	}
	if low, high := deep(10_000), deep(100_000); high < 2*low {
		t.Errorf("gas %d, then %d", low, high)
	}
}

// TestUndefendedMemory grows further with a higher limit.
func TestUndefendedMemory(t *testing.T) {
	a := loadCode(t, binaryModule(
		section(secType, funcType("", "\x7f")), section(secFunc, []byte{0}), section(secMemory, []byte{0, 1}),
		section(secExport, exportFunc("f", 0)), section(secCode, body(append(i32Arg(99), opGrow, 0)...)),
	))
	for bytes, want := range map[int64]string{1 << 20: "-1", 100 << 16: "1"} {
		s := invoked("f")
		s.MemoryBytes = bytes
		if out, _ := call(a, s); out.Fault != nil || string(out.Result) != want {
			t.Errorf("limit %d: %q, %v", bytes, out.Result, out.Fault)
		}
	}
}

// TestUndefendedOutput writes more with a higher limit.
func TestUndefendedOutput(t *testing.T) {
	c := hostCall{name: "fd_write", params: "\x7f\x7f\x7f\x7f", args: [][]byte{i32Arg(1), i32Arg(callsAt), i32Arg(1), i32Arg(0)}, setup: vectors(1, 1000)}
	a := loadCode(t, c.module())
	for limit, want := range map[int64]int{5000: 5000, 1 << 20: 100_000} {
		s := invoked("f", "100")
		s.MemoryBytes, s.OutputBytes = 64<<20, limit
		if out, wrote := call(a, s); wrote.Len() != want || (out.Fault == nil) != (want == 100_000) {
			t.Errorf("limit %d: %d bytes, %v", limit, wrote.Len(), out.Fault)
		}
	}
}

// TestUndefendedCaps compiles what the caps refuse, when they are high.
func TestUndefendedCaps(t *testing.T) {
	code := binaryModule(
		section(secType, funcType("", "")), section(secFunc, []byte{0}), section(secExport, exportFunc("f", 0)),
		section(secCode, body(append(slices.Repeat([]byte{0x02, 0x40}, 5000), slices.Repeat([]byte{opEnd}, 5000)...)...)),
	)
	if _, err := Compile(context.Background(), code, 64<<20, Options{}); fault.CodeOf(err) == "" {
		t.Error("5,000 blocks within each other are compiled")
	}
	high := wasm.DefaultCaps()
	high.Nesting, high.ControlOps = 1<<20, 1<<20
	o := Options{}
	o.Policy.Caps = high
	if _, err := Compile(context.Background(), code, 64<<20, o); err != nil {
		t.Errorf("with high caps: %v", err)
	}
}

// TestUndefendedSwappedCodeIsLoaded: the engine runs whatever code it is given, if the checksum in its frame fits. Only the
// digest tells whose it is.
func TestUndefendedSwappedCodeIsLoaded(t *testing.T) {
	made := func(answer byte) *Compiled {
		c, err := Compile(context.Background(), binaryModule(
			section(secType, funcType("", "\x7f")), section(secFunc, []byte{0}),
			section(secExport, exportFunc("f", 0)), section(secCode, body(opI32Const, answer)),
		), 64<<20, Options{})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	parts, others := made(1).Contents(), made(2).Contents()
	parts.Code = others.Code
	if a, err := Load(context.Background(), parts); err == nil {
		a.Close()
		t.Error("the checksum of the frame does not fit, and the code is loaded")
	}
	parts.Frame = others.Frame
	a, err := Load(context.Background(), parts)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	if out, _ := call(a, invoked("f")); string(out.Result) != "2" {
		t.Errorf("%q, %v", out.Result, out.Fault)
	}
}
