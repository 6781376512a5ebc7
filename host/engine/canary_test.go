package engine

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/troupehost/troupe/artifacts/wasm/wasmtest"
)

// Parts of the work of the guest of canaries, as bits of its parameter.
const (
	litterMemory = 1 << iota
	litterByte
	litterGlobals
	litterTable
	litterSegments
	litterGrowth
	litterTrap
	litterAll = 1<<iota - 1
)

const (
	canaryPages = 4
	canaryByte  = 0xa5
)

// canaries is a guest that writes a canary wherever a guest can write, and looks for one in the same places.
// litter(what, at) does the one, scan() the other and returns 0 if all is as in a new instance; both(what, at) does both.
func canaries() []byte {
	const (
		blk, loop, ifOp, end, brIf, unreachable                     = 0x02, 0x03, 0x04, 0x0b, 0x0d, 0x00
		get, set, tee, globalGet, globalSet, tableGet, call         = 0x20, 0x21, 0x22, 0x23, 0x24, 0x25, 0x10
		con, con64, and, or, or64, add, eqz, ne, isNull, load64     = 0x41, 0x42, 0x71, 0x72, 0x84, 0x6a, 0x45, 0x47, 0xd1, 0x29
		store8, load, memSize, memGrow, ltU, extend, drop, eq64, ex = 0x3a, 0x28, 0x3f, 0x40, 0x49, 0xad, 0x1a, 0x51, 0xfc
	)
	num := func(n int) []byte { return append([]byte{con}, wasmtest.S(n)...) }
	when := func(bit int, code ...byte) []byte { // if what & bit
		return slices.Concat([]byte{get, 0}, num(bit), []byte{and, ifOp, 0x40}, code, []byte{end})
	}
	size := canaryPages << 16
	litter := slices.Concat(
		when(litterMemory, slices.Concat(num(0), num(canaryByte), num(size), []byte{ex, 0x0b, 0})...),
		when(litterByte, slices.Concat([]byte{get, 1}, num(canaryByte), []byte{store8, 0, 0})...),
		when(litterGlobals, slices.Concat(num(canaryByte), []byte{globalSet, 0, con64, 1, globalSet, 1})...),
		when(litterTable, slices.Concat(num(0), []byte{0xd2, 0}, num(10), []byte{ex, 0x11, 0})...), // table.fill
		when(litterSegments, ex, 0x09, 0, ex, 0x0d, 0),                                             // data.drop, elem.drop
		when(litterGrowth, slices.Concat(num(1), []byte{memGrow, 0, drop}, num(size), num(canaryByte), num(1<<16), []byte{ex, 0x0b, 0})...),
		when(litterTrap, unreachable),
	)
	// Locals of scan: 0 is an address, 1 what was found (both i32), and 2 words of memory (i64).
	note := []byte{get, 1, or, set, 1}
	scan := slices.Concat(
		num(8), []byte{set, 0, loop, 0x40, get, 2, get, 0, load64, 3, 0, or64, set, 2, get, 0}, num(8), []byte{add, tee, 0}, num(size-7), []byte{ltU, brIf, 0, end},
		[]byte{get, 2, 0x50, eqz}, note, // i64.eqz
		[]byte{globalGet, 0}, note,
		[]byte{globalGet, 1, 0x50, eqz}, note,
		num(5), []byte{tableGet, 0, isNull, eqz}, note,
		[]byte{memSize, 0}, num(canaryPages), []byte{ne}, note,
		num(0), num(0), num(4), []byte{ex, 0x08, 0, 0}, // memory.init, which traps without its segment
		num(0), []byte{load, 2, 0}, num(0x04030201), []byte{ne}, note,
		num(0), num(0), num(1), []byte{ex, 0x0c, 0, 0}, // table.init
		[]byte{get, 1},
	)
	withLocals := func(groups []byte, code []byte) []byte {
		b := slices.Concat(groups, code, []byte{end})
		return append(wasmtest.U(len(b)), b...)
	}
	return wasmtest.Module(
		wasmtest.Section(secType, wasmtest.Vector(funcType("\x7f\x7f", ""), funcType("", "\x7f"), funcType("\x7f\x7f", "\x7f"))),
		wasmtest.Section(secFunc, []byte{3, 0, 1, 2}),
		wasmtest.Section(secTable, []byte{1, 0x70, 0, 10}),
		wasmtest.Section(secMemory, []byte{1, 1, canaryPages, canaryPages + 1}),
		wasmtest.Section(secGlobal, []byte{2, 0x7f, 1, con, 0, end, 0x7e, 1, con64, 0, end}),
		wasmtest.Section(secExport, wasmtest.Vector(exportFunc("litter", 0), exportFunc("scan", 1), exportFunc("both", 2))),
		wasmtest.Section(9, []byte{1, 1, 0, 1, 0}), // a passive element segment
		wasmtest.Section(12, []byte{1}),
		wasmtest.Section(secCode, wasmtest.Vector(
			withLocals([]byte{0}, litter),
			withLocals([]byte{2, 2, i32, 1, i64}, scan),
			withLocals([]byte{0}, []byte{get, 0, get, 1, call, 0, call, 1}),
		)),
		wasmtest.Section(11, []byte{1, 1, 4, 1, 2, 3, 4}), // a passive data segment
	)
}

// lookForCanaries runs pairs of litter and scan until there are enough of them, or enough time has gone.
func lookForCanaries(t *testing.T, runs int, most time.Duration) {
	a := loadCode(t, canaries())
	begin := time.Now()
	done := 0
	for ; done < runs && time.Since(begin) < most; done += 2 {
		what := []int{litterByte, litterMemory, litterByte | litterGlobals, litterAll &^ litterTrap, litterTable, litterSegments, litterGrowth, litterAll}[done/2%8]
		at := done * 4099 % (canaryPages << 16)
		out, _ := call(a, invoked("litter", fmt.Sprint(what), fmt.Sprint(at)))
		if trapped := out.Fault != nil; trapped != (what&litterTrap != 0) {
			t.Fatalf("litter %b: %v", what, out.Fault)
		}
		out, _ = call(a, invoked("scan"))
		if out.Fault != nil || string(out.Result) != "0" {
			t.Fatalf("run %d: after litter %b at %d: %q, %v", done, what, at, out.Result, out.Fault)
		}
	}
	t.Logf("%d runs, no canary", done)
	if done < 100 {
		t.Errorf("only %d runs", done)
	}
}

// TestNoCanaryIsFound writes in one run and looks in the next, for two seconds; the timed test does it a hundred thousand
// times.
func TestNoCanaryIsFound(t *testing.T) { lookForCanaries(t, 100_000, 2*time.Second) }
