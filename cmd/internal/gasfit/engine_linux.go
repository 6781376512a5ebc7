package main

import (
	"context"
	"fmt"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"
	"golang.org/x/sys/unix"
)

// reserved is a linear memory as the host has it: address space that is committed as it grows, and never moves.
type reserved struct {
	all  []byte
	size uint64
}

const mostMemory = 1 << 30

func allocate(_, _ uint64) experimental.LinearMemory {
	b, err := unix.Mmap(-1, 0, mostMemory, unix.PROT_NONE, unix.MAP_PRIVATE|unix.MAP_ANON|unix.MAP_NORESERVE)
	if err != nil {
		panic(err)
	}
	return &reserved{all: b}
}

func (m *reserved) Reallocate(size uint64) []byte {
	if size > mostMemory {
		return nil
	}
	if size > m.size {
		if err := unix.Mprotect(m.all[m.size:size], unix.PROT_READ|unix.PROT_WRITE); err != nil {
			panic(err)
		}
		m.size = size
	}
	return m.all[:size:mostMemory]
}

func (m *reserved) Free() { _ = unix.Munmap(m.all) }

// cpuTime is what the calling thread has used of its processor.
func cpuTime() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t); err != nil {
		panic(err)
	}
	return time.Duration(t.Nano())
}

type engine struct {
	ctx context.Context
	rt  wazero.Runtime
}

func newEngine(ctx context.Context) (*engine, error) {
	ctx = experimental.WithMemoryAllocator(ctx, experimental.MemoryAllocatorFunc(allocate))
	features := api.CoreFeaturesV2 | experimental.CoreFeaturesTailCall | experimental.CoreFeaturesExceptionHandling |
		experimental.CoreFeaturesExtendedConst
	rt := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfigCompiler().WithCoreFeatures(features))
	if _, err := wasi_snapshot_preview1.Instantiate(ctx, rt); err != nil {
		return nil, err
	}
	_, err := rt.NewHostModuleBuilder("h").NewFunctionBuilder().
		WithGoModuleFunction(api.GoModuleFunc(func(context.Context, api.Module, []uint64) {}), nil, nil).Export("f").Instantiate(ctx)
	return &engine{ctx, rt}, err
}

func (e *engine) compile(name string, code []byte) (wazero.CompiledModule, error) {
	m, err := e.rt.CompileModule(e.ctx, code)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return m, nil
}

func (e *engine) instantiate(m wazero.CompiledModule) (api.Module, error) {
	return e.rt.InstantiateModule(e.ctx, m, wazero.NewModuleConfig().WithName("").WithStartFunctions())
}

// timed is a function that is called again and again.
type timed struct {
	f    api.Function
	args []uint64
	work []uint64
}

func (t *timed) run(ctx context.Context) (time.Duration, error) {
	copy(t.work, t.args)
	start := cpuTime()
	err := t.f.CallWithStack(ctx, t.work)
	return cpuTime() - start, err
}
