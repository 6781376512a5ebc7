package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/artifacts/wasm"
	"github.com/troupehost/troupe/host/wire"
)

func TestCompileRefuses(t *testing.T) {
	for name, want := range map[string]fault.Code{
		"not-wasm": fault.GuestNotWasm, "truncated": fault.GuestTruncated, "wrong-version": fault.GuestVersion,
		"component": fault.GuestComponent, "bad-body": fault.GuestInvalid, "bomb-zstd": fault.GuestDecompressionBomb,
		"go-hello": fault.GuestCodeTooLarge,
	} {
		if _, err := Compile(context.Background(), guest(t, name), 1<<20, Options{}); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %s", name, err, want)
		}
	}
	whole := binaryModule(section(secMemory, []byte{0, 0x80, 0x80, 4}))
	if _, err := Compile(context.Background(), whole, 1<<20, Options{}); !errors.Is(err, fault.GuestMemory) {
		t.Errorf("65,536 pages: %v", err)
	}
	if _, err := Compile(context.Background(), nil, 1, Options{}); !errors.Is(err, fault.GuestNotWasm) {
		t.Errorf("nothing: %v", err)
	}
}

func TestSymbolsHaveABound(t *testing.T) {
	exporting := func(n, length int) []byte {
		var exports [][]byte
		for i := range n {
			exports = append(exports, exportFunc(fmt.Sprintf("%0*d", length, i), 0))
		}
		return binaryModule(section(secType, funcType("", "")), section(secFunc, []byte{0}), section(secExport, exports...), section(secCode, body()))
	}
	importing := func(n, length int) []byte {
		one := importFunc("env", strings.Repeat("x", length), 0)
		return binaryModule(section(secType, funcType("", "")), section(secImport, slices.Repeat([][]byte{one}, n)...))
	}
	for name, row := range map[string]struct {
		code []byte
		want string // in the message; "" : it compiles
	}{
		"all exports":           {exporting(wire.MaxSymbols, 8), ""},
		"one export more":       {exporting(wire.MaxSymbols+1, 8), "16385 exports of at most 16384"},
		"the longest name":      {exporting(1, wire.MaxSymbolName), ""},
		"a longer name":         {exporting(1, wire.MaxSymbolName+1), "a name of 1025 bytes of at most 1024"},
		"one import more":       {importing(wire.MaxSymbols+1, 1), "16385 imports of at most 16384"},
		"a longer import":       {importing(1, wire.MaxSymbolName+1), "a name of 1025 bytes"},
		"more than a frame has": {exporting(2000, 1000), "more than 1 MiB"},
	} {
		_, err := Compile(context.Background(), row.code, 64<<20, Options{})
		if row.want == "" && err != nil || row.want != "" && (!errors.Is(err, fault.GuestTooManySymbols) || !strings.Contains(err.Error(), row.want)) {
			t.Errorf("%s: %v, want %q", name, err, row.want)
		}
	}
}

// TestImagesHaveTheActiveData: the skeleton has none of it left, with or without a data section.
func TestImagesHaveTheActiveData(t *testing.T) {
	const secData = 11
	memory, active, passive := section(secMemory, []byte{0, 1}), []byte{0, opI32Const, 0, opEnd, 1, 'x'}, []byte{1, 1, 'y'}
	for name, code := range map[string][]byte{
		"kernels": guest(t, "kernels"), "c-hello": guest(t, "c-hello"), "go-hello": guest(t, "go-hello"),
		"passive": binaryModule(memory, section(secData, active, passive)),
	} {
		c, err := Compile(t.Context(), code, 64<<20, Options{})
		if err != nil {
			t.Fatal(err)
		}
		m, err := wasm.Scan(c.Skeleton)
		if err != nil {
			t.Fatal(err)
		}
		symbols, err := m.Symbols()
		if err != nil || symbols == nil {
			t.Errorf("%s: symbols %v, %v", name, symbols, err)
		}
		if bones := m.Skeleton(c.Skeleton, symbols, wasm.SkeletonOptions{EmptyData: true}); len(bones) < len(c.Skeleton) {
			t.Errorf("%s: %d bytes of %d are left", name, len(bones), len(c.Skeleton))
		}
		if len(c.Image) == 0 || name == "go-hello" && len(c.Image) < 900_000 {
			t.Errorf("%s: an image of %d bytes", name, len(c.Image))
		}
		a, err := Load(t.Context(), c.Contents())
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		_ = a.Close()
	}
}
