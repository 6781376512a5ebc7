package wasm_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/artifacts/wasm"
	"github.com/troupehost/troupe/artifacts/wasm/wasmtest"
)

// refusalLine is how long a refusal may take on a machine at rest.
const refusalLine = 50 * time.Millisecond

// patience is how many times the line a plain test waits: it may share the machine.
const patience = 5

// bombs are all of the corpus that need no engine to be judged.
func bombs() []wasmtest.Bomb {
	return slices.Concat(wasmtest.FunctionBombs(), wasmtest.ModuleBombs(), wasmtest.Malformed())
}

// judged judges a bomb and says how long that took; best of tries, since the line is about us and not about the machine.
func judged(b wasmtest.Bomb, tries int, line time.Duration) (time.Duration, error) {
	code := b.Build()
	var err error
	best := time.Hour
	for range tries {
		began := time.Now()
		_, err = wasm.Judge(code, wasm.Policy{})
		if best = min(best, time.Since(began)); best < line {
			break
		}
	}
	return best, err
}

func TestBombsAreRefusedAtOnce(t *testing.T) {
	for _, b := range bombs() {
		took, err := judged(b, 3, refusalLine)
		switch code := fault.CodeOf(err); {
		case b.Want == wasmtest.Prepared && err != nil:
			t.Errorf("%s: %v, but it is honest", b.Name, err)
		case b.Want == wasmtest.TooComplex && code != fault.GuestTooComplex:
			t.Errorf("%s: %v, want %s", b.Name, err, fault.GuestTooComplex)
		case b.Want == wasmtest.Refused && (err == nil || fault.From(err).Class != fault.Guest):
			t.Errorf("%s: %v, want a refusal", b.Name, err)
		case b.Want == wasmtest.Invalid && (err == nil || code == fault.GuestTooComplex || fault.From(err).Class != fault.Guest):
			t.Errorf("%s: %v, want that it is invalid", b.Name, err)
		case err != nil && took > patience*refusalLine:
			t.Errorf("%s: refused after %v: %v", b.Name, took, err)
		case code == fault.GuestTooComplex && !namesACap(err):
			t.Errorf("%s: which bound is it? %v", b.Name, err)
		}
		t.Logf("%-48s %8v %v", b.Name, took.Round(10*time.Microsecond), err)
	}
	if n := len(bombs()); n < 100 {
		t.Errorf("only %d bombs", n)
	}
}

// capWords are what messages call the bounds of Caps.
var capWords = []string{
	"body-bytes", "control-ops", "locals", "branch-targets", "nesting", "phi-work", "lookups", "params", "carried",
	"functions", "types", "type-values", "imports", "exports", "globals", "tables", "table-elements", "segments", "segment-elements",
	"control-squares", "total-phi-work", "total-lookups", "total-branch-targets", "total-carried", "global-functions",
}

func namesACap(err error) bool {
	return slices.ContainsFunc(capWords, func(w string) bool { return bytes.Contains([]byte(err.Error()), []byte(w)) })
}

func TestPaddingIsNoReason(t *testing.T) {
	if _, err := wasm.Judge(wasmtest.PaddedModule(), wasm.Policy{}); err != nil {
		t.Errorf("numbers of five bytes are valid: %v", err)
	}
}

// sweep returns twenty modules: the smaller guests, and small samples of the shapes.
func sweep(t *testing.T) map[string][]byte {
	t.Helper()
	all := map[string][]byte{
		"padded": wasmtest.PaddedModule(),
		"shapes": wasmtest.Functions([][]byte{wasmtest.FuncType(3, 3), wasmtest.FuncType(0, 3)},
			wasmtest.Diamonds(3), wasmtest.NestedExits(4), wasmtest.TableSpread(5, 2), wasmtest.BlocksWithParams(2, 3), wasmtest.LiveLocals(4)),
	}
	for name, body := range map[string][]byte{
		"loops": wasmtest.LoopsBack(5, 3), "table": wasmtest.WideTable(3, 9), "joins": wasmtest.WideJoin(3, 4), "calls": wasmtest.Calls(3), "dead": wasmtest.DeadCode(5),
	} {
		all[name] = wasmtest.Functions(nil, body, wasmtest.Nested(2))
	}
	names, err := filepath.Glob(filepath.Join("..", "..", "testdata", "guests", "*.wasm"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		code, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := wasm.Judge(code, wasm.Policy{}); err == nil && len(code) < 20_000 {
			all[filepath.Base(name)] = code
		}
	}
	if len(all) < 20 {
		t.Fatalf("only %d modules", len(all))
	}
	return all
}

// TestTruncatedAtEveryByte cuts each module everywhere. What is left is refused, unless it is cut between two sections, where
// a shorter module may end.
func TestTruncatedAtEveryByte(t *testing.T) {
	for name, code := range sweep(t) {
		whole := ends(t, code)
		for n := range code {
			began := time.Now()
			_, err := wasm.Judge(code[:n:n], wasm.Policy{})
			if took := time.Since(began); took > patience*refusalLine {
				t.Errorf("%s cut at %d: judged in %v", name, n, took)
			}
			switch {
			case err == nil && !slices.Contains(whole, n):
				t.Errorf("%s cut at %d of %d is accepted", name, n, len(code))
			case err != nil && fault.From(err).Class != fault.Guest:
				t.Errorf("%s cut at %d: %v", name, n, err)
			}
		}
	}
}

// ends returns the offsets at which a section ends.
func ends(t *testing.T, code []byte) []int {
	t.Helper()
	at := []int{8}
	for p := 8; p < len(code); {
		size, n := binary.Uvarint(code[p+1:])
		if n <= 0 {
			t.Fatal("not a module")
		}
		p += 1 + n + int(size)
		at = append(at, p)
	}
	return at
}

// TestInflateBombs: whatever the ratio and however it is put, memory is that of the limit. The window has its own bound.
func TestInflateBombs(t *testing.T) {
	const limit = 8 << 20
	zeros := make([]byte, 64<<20)
	pack := func(plain []byte, o ...zstd.EOption) []byte {
		enc, err := zstd.NewWriter(nil, append(o, zstd.WithEncoderConcurrency(1))...)
		if err != nil {
			t.Fatal(err)
		}
		return enc.EncodeAll(plain, nil)
	}
	once := pack(zeros)
	small := pack(zeros[:limit/2])
	// A frame that says it needs a window of 2 GiB, and another whose content says that it has 2^63 bytes.
	window := []byte{0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xa8, 0x01, 0x00, 0x00}
	content := []byte{0x28, 0xb5, 0x2f, 0xfd, 0xe0, 0, 0, 0, 0, 0, 0, 0, 0x80, 0x01, 0x00, 0x00}
	for _, row := range []struct {
		name string
		body []byte
		want fault.Code
	}{
		{"1,000 to 1", once, fault.GuestDecompressionBomb},
		{"three frames, of which each fits", slices.Concat(small, small, small), fault.GuestDecompressionBomb},
		{"a thousand empty frames, then one that does not fit", append(bytes.Repeat(pack([]byte{0}), 1000), once...), fault.GuestDecompressionBomb},
		{"a window of 2 GiB", window, fault.GuestDecompressionBomb},
		{"a content of 2^63 bytes", content, fault.GuestDecompressionBomb},
		{"skippable frames and nothing", bytes.Repeat([]byte{0x50, 0x2a, 0x4d, 0x18, 0, 0, 0, 0}, 100_000), ""},
		{"a skippable frame of 4 GiB", []byte{0x50, 0x2a, 0x4d, 0x18, 0xff, 0xff, 0xff, 0xff}, fault.GuestBadCompression},
		{"a frame within a frame", pack(slices.Concat(wasm.CompressedPrefix, once)), ""},
	} {
		code := slices.Concat(wasm.CompressedPrefix, row.body)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		began := time.Now()
		got, err := wasm.Inflate(code, limit)
		took := time.Since(began)
		runtime.ReadMemStats(&after)
		if fault.CodeOf(err) != row.want {
			t.Errorf("%s: %d bytes, %v; want %q", row.name, len(got), err, row.want)
		}
		// All that was ever allocated, so no more than that at once: the output while it grows, and the window.
		if n := after.TotalAlloc - before.TotalAlloc; n > 10*limit {
			t.Errorf("%s: %d MiB allocated", row.name, n>>20)
		}
		if took > patience*100*time.Millisecond {
			t.Errorf("%s: %v", row.name, took)
		}
		t.Logf("%-52s %8d bytes, %3d MiB allocated, %v", row.name, len(code), (after.TotalAlloc-before.TotalAlloc)>>20, took)
	}
	if ratio := len(zeros) / len(once); ratio < 1000 {
		t.Errorf("the bomb is %d to 1 only", ratio)
	}
	// Code is inflated once: what comes out with the prefix is not code.
	inner, err := wasm.Inflate(slices.Concat(wasm.CompressedPrefix, pack(slices.Concat(wasm.CompressedPrefix, once))), limit)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := wasm.Judge(inner, wasm.Policy{}); !errors.Is(err, fault.GuestNotWasm) {
		t.Errorf("compressed twice: %v", err)
	}
}
