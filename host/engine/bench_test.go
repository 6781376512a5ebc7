package engine

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"slices"
	"testing"

	"github.com/troupehost/troupe/actors/run"
)

// smallGuest has a memory of so many pages of 64 KiB and exports run(ptr, len), which copies its input to 4096 and writes to more pages of
// 4 KiB behind it, so that it has changed so many of them in all, the input's among them.
func smallGuest(memory, dirty int) []byte {
	const i32Store, i32Add, i64ExtendU, i64Shl, i64Or, loop, brIf, localSet, ltU = 0x36, 0x6a, 0xad, 0x86, 0x84, 0x03, 0x0d, 0x21, 0x49
	number := func(n int) []byte {
		b := []byte{opI32Const}
		for ; n > 0x3f; n >>= 7 {
			b = append(b, byte(n)|0x80)
		}
		return append(b, byte(n))
	}
	code := slices.Concat(
		number(4096), []byte{opLocalGet, 0, opLocalGet, 1, 0xfc, 10, 0, 0}, // memory.copy
		number(8192), []byte{localSet, 2, loop, 0x40, opLocalGet, 2, opLocalGet, 2, i32Store, 2, 0, opLocalGet, 2},
		number(4096), []byte{i32Add, 0x22, 2}, number(4096*max(dirty, 3)), []byte{ltU, brIf, 0, opEnd},
		[]byte{opLocalGet, 1, i64ExtendU, opI64Const, 32, i64Shl}, []byte{opI64Const, 0x80, 0x20, i64Or},
	)
	b := append(append([]byte{1, 1, i32}, code...), opEnd)
	heapBase := append([]byte{i32, 0}, append(number(4096*max(dirty, 3)), opEnd)...)
	pages := []byte{0}
	for n := memory; ; n >>= 7 {
		if n < 0x80 {
			pages = append(pages, byte(n))
			break
		}
		pages = append(pages, byte(n)|0x80)
	}
	return binaryModule(
		section(secType, funcType("\x7f\x7f", "\x7e")),
		section(secFunc, []byte{0}),
		section(secMemory, pages),
		section(secGlobal, heapBase),
		section(secExport, exportFunc("run", 0), append(text("__heap_base"), 3, 0), append(text("memory"), 2, 0)),
		section(secCode, append([]byte{byte(len(b)) | 0x80, byte(len(b) >> 7)}, b...)),
	)
}

// smallCall loads a guest that changes so many pages, with a run of 512 bytes.
func smallCall(t testing.TB, memory, dirty int) (*App, Spec, IO) {
	t.Helper()
	a := loadCode(t, smallGuest(memory, dirty))
	s := Spec{Entry: run.Entry{Mode: run.Bytes, Name: "run"}, MemoryBytes: 32 << 20, OutputBytes: 1 << 20, Input: bytes.Repeat([]byte("troupe! "), 64)}
	streams := IO{
		Stdin:  func([]byte) (int, error) { return 0, io.EOF },
		Output: func(bool, []byte) error { return nil },
		Result: func(p []byte) error {
			if len(p) != 512 {
				t.Errorf("a result of %d bytes", len(p))
			}
			return nil
		},
	}
	return a, s, streams
}

// BenchmarkWarm is a small call and its reset, in each way and as the app chose.
func BenchmarkWarm(b *testing.B) {
	for _, memory := range []int{2, 64, 256} {
		for _, dirty := range []int{3, 4, 100} {
			if dirty*pageBytes >= memory<<16 {
				continue
			}
			for w := range ways + 1 {
				name := "chosen"
				if w < ways {
					name = w.String()
				}
				if w == comparing && memory > 64 {
					continue
				}
				b.Run(fmt.Sprintf("memory=%dK/dirty=%d/reset=%s", 64*memory, dirty, name), func(b *testing.B) {
					a, s, streams := smallCall(b, memory, dirty)
					for range 200 { // it is learned what is changed
						a.Run(context.Background(), s, streams)
						a.Settle()
					}
					chose := a.pages.way
					if w < ways {
						a.pages.only = &w
					} else {
						name = chose.String()
					}
					b.ReportAllocs()
					for b.Loop() {
						a.Run(context.Background(), s, streams)
						a.Settle()
					}
				})
			}
		}
	}
}

// BenchmarkLoad loads guests into an engine that waits.
func BenchmarkLoad(b *testing.B) {
	codes := map[string][]byte{"small": smallGuest(2, 4), "kernels": guest(b, "kernels"), "c-hello": guest(b, "c-hello"), "go-hello": guest(b, "go-hello")}
	for _, name := range []string{"small", "kernels", "c-hello", "go-hello"} {
		c, err := Compile(context.Background(), codes[name], 64<<20, Options{})
		if err != nil {
			b.Fatal(err)
		}
		parts := c.Contents()
		if canMap {
			if parts.Code.File, err = scratchFile(int64(len(c.Code))); err != nil {
				b.Fatal(err)
			}
			defer parts.Code.File.Close()
			if err := fill(parts.Code.File, c.Code); err != nil {
				b.Fatal(err)
			}
		}
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				b.StopTimer()
				blank, err := Warm(context.Background())
				if err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
				a, err := blank.Load(context.Background(), parts)
				if err != nil {
					b.Fatal(err)
				}
				b.StopTimer()
				_ = a.Close()
				b.StartTimer()
			}
		})
	}
	b.Run("warm", func(b *testing.B) {
		for b.Loop() {
			blank, err := Warm(context.Background())
			if err != nil {
				b.Fatal(err)
			}
			_ = blank.Close()
		}
	})
}

// BenchmarkReplace makes instances from snapshots.
func BenchmarkReplace(b *testing.B) {
	for name, s := range map[string]Spec{
		"kernels": invoked("fib", "1"), "c-hello": {Entry: run.Entry{Mode: run.Command}}, "go-hello": {Entry: run.Entry{Mode: run.Command}},
	} {
		b.Run(name, func(b *testing.B) {
			a := load(b, name)
			if out, _ := call(a, s); out.Fault != nil {
				b.Fatal(out.Fault)
			}
			for b.Loop() {
				if !a.restore(128<<20, times{}) {
					b.Fatal("no instance")
				}
			}
		})
	}
}
