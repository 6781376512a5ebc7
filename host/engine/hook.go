package engine

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"runtime"
	"unsafe"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/artifacts"
	"github.com/troupehost/troupe/host/wire"
)

// hook stands in for wazero's file cache: it catches the entry of a compilation, or serves the one it was given. Its
// methods are those of wazero's internal interface filecache.Cache, whose types are all built in.
type hook struct {
	entry  *entry   // what Get serves, once; nil: nothing, so that wazero compiles
	key    [32]byte // the last key that was asked for
	added  []byte   // what Add caught
	misses int      // times the engine did not get what it wanted
}

var errNoEntry = errors.New("no entry: the engine may not compile here")

// Get implements the engine's cache interface.
func (h *hook) Get(key [32]byte) (io.ReadCloser, bool, error) {
	h.key = key
	if h.entry == nil {
		return nil, false, nil
	}
	return h.entry, true, nil
}

// Add implements the engine's cache interface.
func (h *hook) Add(key [32]byte, content io.Reader) (err error) {
	h.key = key
	h.added, err = io.ReadAll(content)
	return err
}

// Delete implements the engine's cache interface: it is called for an entry of another engine version, after which
// wazero would compile without a word. An error stops it.
func (h *hook) Delete([32]byte) error {
	h.misses++
	return errNoEntry
}

// install puts h behind a compilation cache. The field is found by name and checked by type; SelfTest proves that the
// engine really asks h.
func install(h *hook) (wazero.CompilationCache, error) {
	c := wazero.NewCompilationCache()
	v := reflect.ValueOf(c)
	if v.Kind() != reflect.Pointer || v.Elem().Kind() != reflect.Struct {
		return nil, errors.New("the compilation cache has another shape")
	}
	f := v.Elem().FieldByName("fileCache")
	if !f.IsValid() || f.Kind() != reflect.Interface || !reflect.TypeOf(h).Implements(f.Type()) {
		return nil, errors.New("the compilation cache has no place for a file cache")
	}
	reflect.NewAt(f.Type(), unsafe.Pointer(f.UnsafeAddr())).Elem().Set(reflect.ValueOf(h))
	return c, nil
}

// features are all that a policy can allow: what code may use is judged before it comes here.
const features = api.CoreFeaturesV2 | experimental.CoreFeaturesTailCall | experimental.CoreFeaturesExtendedConst |
	experimental.CoreFeaturesExceptionHandling

// newRuntime returns a runtime whose compiled code goes through h.
func newRuntime(ctx context.Context, h *hook) (wazero.Runtime, error) {
	cache, err := install(h)
	if err != nil {
		return nil, fault.New(fault.HostEngine, "hook", "", err)
	}
	cfg := wazero.NewRuntimeConfigCompiler().
		WithCompilationCache(cache).
		WithCoreFeatures(features).
		WithDebugInfoEnabled(false).
		WithMemoryLimitPages(maxPages)
	return wazero.NewRuntimeWithConfig(ctx, cfg), nil
}

// selfTestModule exports f() -> i32, which returns 42.
var selfTestModule = []byte{
	0, 'a', 's', 'm', 1, 0, 0, 0,
	1, 5, 1, 0x60, 0, 1, 0x7f, // type () -> i32
	3, 2, 1, 0, // one function
	7, 5, 1, 1, 'f', 0, 0, // export "f"
	10, 6, 1, 4, 0, 0x41, 42, 0x0b, // i32.const 42
}

// SelfTest compiles a module, splits the entry, loads and calls it through the hook as an execute worker does, and returns the
// build of the artifacts that this process makes and understands. Another version of the engine that keeps its entries in another
// way fails here, and not in a worker.
//
// scratch is an empty memory file of one page at least, through which the code is mapped. nil: one is made.
//
// # Errors
//
// host.engine_self_test.
func SelfTest(scratch *os.File) (artifacts.Build, error) {
	cpu, err := selfTest(scratch)
	if err != nil {
		return artifacts.Build{}, fault.From(err)
	}
	return artifacts.Build{Engine: wire.Engine(), Format: wire.ArtifactFormat, Instrument: wire.InstrumentVersion, CPU: cpu}, nil
}

func selfTest(scratch *os.File) (cpu string, _ error) {
	if n := os.Getpagesize(); n != pageBytes {
		what := fmt.Sprintf("a kernel with pages of %d bytes: memory is brought back in pages of %d", n, pageBytes)
		return "", fault.New(fault.HostEngine, "self-test", what, nil).WithHint("run the host on a kernel with pages of 4 KiB")
	}
	failed := func(what string, err error) (string, error) {
		return "", fault.New(fault.HostEngine, "self-test", what, err).
			WithHint("this program was built with an engine that it does not fit: build it with " + wire.EngineVersion)
	}
	ctx := context.Background()
	h := &hook{}
	rt, err := newRuntime(ctx, h)
	if err != nil {
		return failed("install", err)
	}
	defer rt.Close(ctx)
	if _, err := rt.CompileModule(ctx, selfTestModule); err != nil || len(h.added) == 0 {
		return failed("compile", err)
	}
	// The key covers the module and what wazero knows of the processor: of one fixed module it names the processor.
	cpu = runtime.GOARCH + "-" + hex.EncodeToString(h.key[:4])

	code, frame, err := split(h.added, facts{})
	if err != nil {
		return failed("split", err)
	}
	content := Content{Bytes: code}
	if scratch == nil && canMap {
		if scratch, err = scratchFile(int64(len(code))); err != nil {
			return failed("memory file", err)
		}
		defer scratch.Close()
	}
	if scratch != nil {
		if err := fill(scratch, code); err != nil {
			return failed("memory file", err)
		}
		content.File = scratch
	}
	_, e, err := frameOf(frame, content)
	if err != nil {
		return failed("split", err)
	}
	h2 := &hook{entry: e}
	rt2, err := newRuntime(ctx, h2)
	if err != nil {
		return failed("install", err)
	}
	defer rt2.Close(ctx)
	c, err := rt2.CompileModule(ctx, selfTestModule)
	switch {
	case err != nil || h2.misses > 0 || h2.added != nil:
		return failed("load", err)
	case canMap && !e.mapped:
		return failed("map", errors.New("the code was not read in one piece into a mapping"))
	}
	m, err := rt2.InstantiateModule(ctx, c, wazero.NewModuleConfig())
	if err != nil {
		return failed("instantiate", err)
	}
	if got, err := m.ExportedFunction("f").Call(ctx); err != nil || len(got) != 1 || got[0] != 42 {
		return failed("call", err)
	}
	return cpu, nil
}
