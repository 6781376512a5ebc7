package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/bytecodealliance/wasmtime-go/v39"
	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"

	"github.com/troupehost/troupe/testdata/bench/report"
)

// started is a module with a first call that takes and gives numbers.
type started struct {
	name    string
	code    []byte
	reactor bool // it has _initialize, and imports WASI
	export  string
	args    []int32
}

// reportStarts is the first result of compiled code in a process that has an engine already: what stands beside a cached start. On
// wasmtime the code comes serialized from memory, on wazero out of its cache directory.
func reportStarts(guests string, rounds int) ([]report.Section, error) {
	small, err := os.ReadFile(filepath.Join(guests, "small-call.wasm"))
	if err != nil {
		return nil, err
	}
	reactor, err := realModule("", "")
	if err != nil {
		return nil, err
	}
	table := report.Section{Name: "First result of compiled code, in the process of the caller, p50", Cells: [][]string{{"", "wasmtime, fuel: deserialize", "wazero: cache directory"}}}
	for _, m := range []started{
		{"tiny", small, false, "call", []int32{20480, 512}},
		{fmt.Sprintf("%.1f MB Go", float64(len(reactor))/1e6), reactor, true, "work", []int32{1}},
	} {
		var there, cached report.Samples
		first, err := wasmtimeStart(m)
		if err != nil {
			return nil, err
		}
		dir, err := os.MkdirTemp("", "troupe-peers-")
		if err != nil {
			return nil, err
		}
		defer os.RemoveAll(dir)
		if _, err := wazeroStart(m, dir); err != nil { // it fills the directory
			return nil, err
		}
		for range rounds {
			begin := time.Now()
			if err := first(); err != nil {
				return nil, err
			}
			there = append(there, time.Since(begin))
			took, err := wazeroStart(m, dir)
			if err != nil {
				return nil, err
			}
			cached = append(cached, took)
		}
		table.Cells = append(table.Cells, []string{m.name, report.Micros(there.At(0.5)), report.Micros(cached.At(0.5))})
	}
	return []report.Section{table}, nil
}

// wasmtimeStart compiles, and returns what loads it again and calls it once.
func wasmtimeStart(m started) (func() error, error) {
	config := wasmtime.NewConfig()
	config.SetConsumeFuel(true)
	engine := wasmtime.NewEngineWithConfig(config)
	module, err := wasmtime.NewModule(engine, m.code)
	if err != nil {
		return nil, err
	}
	serialized, err := module.Serialize()
	if err != nil {
		return nil, err
	}
	module.Close()
	linker := wasmtime.NewLinker(engine)
	if err := linker.DefineWasi(); err != nil {
		return nil, err
	}
	return func() error {
		module, err := wasmtime.NewModuleDeserialize(engine, serialized)
		if err != nil {
			return err
		}
		defer module.Close()
		store := wasmtime.NewStore(engine)
		defer store.Close()
		store.SetWasi(wasmtime.NewWasiConfig())
		if err := store.SetFuel(fuel); err != nil {
			return err
		}
		instance, err := linker.Instantiate(store, module)
		if err != nil {
			return err
		}
		if m.reactor {
			if _, err := instance.GetFunc(store, "_initialize").Call(store); err != nil {
				return err
			}
		}
		args := make([]any, len(m.args))
		for i, a := range m.args {
			args[i] = a
		}
		_, err = instance.GetFunc(store, m.export).Call(store, args...)
		return err
	}, nil
}

// wazeroStart loads code out of the cache directory in a new runtime, and calls it once.
func wazeroStart(m started, dir string) (time.Duration, error) {
	ctx := context.Background()
	cache, err := wazero.NewCompilationCacheWithDir(dir)
	if err != nil {
		return 0, err
	}
	defer cache.Close(ctx)
	rt := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfigCompiler().WithCompilationCache(cache))
	defer rt.Close(ctx)
	wasi_snapshot_preview1.MustInstantiate(ctx, rt)
	begin := time.Now()
	compiled, err := rt.CompileModule(ctx, m.code)
	if err != nil {
		return 0, err
	}
	config := wazero.NewModuleConfig().WithStartFunctions()
	if m.reactor {
		config = config.WithStartFunctions("_initialize")
	}
	mod, err := rt.InstantiateModule(ctx, compiled, config)
	if err != nil {
		return 0, err
	}
	args := make([]uint64, len(m.args))
	for i, a := range m.args {
		args[i] = uint64(uint32(a))
	}
	_, err = mod.ExportedFunction(m.export).Call(ctx, args...)
	return time.Since(begin), err
}
