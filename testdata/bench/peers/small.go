package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bytecodealliance/wasmtime-go/v39"
	extism "github.com/extism/go-sdk"
	"github.com/tetratelabs/wazero"

	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/artifacts"
	"github.com/troupehost/troupe/host"
	"github.com/troupehost/troupe/testdata/bench/report"
)

// caller does a small call once; one is used by one goroutine at a time. An answer belongs to the caller until the next.
type caller interface {
	call(input []byte) ([]byte, error)
	close()
}

// contender is a way to do small calls. The answer counts the calls of an instance: one that is kept counts on.
type contender struct {
	name string
	kept bool
	open func() (caller, error)
}

// smallBytes is the size of a small call's input and of its answer.
const smallBytes = 512

// fuel is what a call may use: as with the host, it is counted and far away.
const fuel = 1 << 40

// wasmtimeSmall calls an instance of its own for each call, or one that is kept.
type wasmtimeSmall struct {
	engine   *wasmtime.Engine
	module   *wasmtime.Module
	store    *wasmtime.Store // of the instance that is kept
	instance *wasmtime.Instance
	answer   []byte
}

func (c *wasmtimeSmall) instantiate() (*wasmtime.Store, *wasmtime.Instance, error) {
	store := wasmtime.NewStore(c.engine)
	if err := store.SetFuel(fuel); err != nil {
		return nil, nil, err
	}
	instance, err := wasmtime.NewInstance(store, c.module, nil)
	return store, instance, err
}

func (c *wasmtimeSmall) call(input []byte) ([]byte, error) {
	store, instance := c.store, c.instance
	if store == nil {
		var err error
		if store, instance, err = c.instantiate(); err != nil {
			return nil, err
		}
		defer store.Close()
	} else if err := store.SetFuel(fuel); err != nil {
		return nil, err
	}
	memory := instance.GetExport(store, "memory").Memory()
	base := instance.GetExport(store, "__heap_base").Global().Get(store).I32()
	copy(memory.UnsafeData(store)[base:], input)
	got, err := instance.GetFunc(store, "call").Call(store, base, int32(len(input)))
	if err != nil {
		return nil, err
	}
	packed := uint64(got.(int64))
	at, n := packed&math.MaxUint32, packed>>32
	c.answer = append(c.answer[:0], memory.UnsafeData(store)[at:at+n]...)
	return c.answer, nil
}

func (c *wasmtimeSmall) close() {
	if c.store != nil {
		c.store.Close()
	}
}

// wazeroSmall calls an instance of its own for each call, in this process, without metering.
type wazeroSmall struct {
	rt     wazero.Runtime
	module wazero.CompiledModule
}

func (c wazeroSmall) call(input []byte) ([]byte, error) {
	ctx := context.Background()
	mod, err := c.rt.InstantiateModule(ctx, c.module, wazero.NewModuleConfig().WithName(""))
	if err != nil {
		return nil, err
	}
	defer mod.Close(ctx)
	base := mod.ExportedGlobal("__heap_base").Get()
	mod.Memory().Write(uint32(base), input)
	got, err := mod.ExportedFunction("call").Call(ctx, base, uint64(len(input)))
	if err != nil {
		return nil, err
	}
	answer, _ := mod.Memory().Read(uint32(got[0]), uint32(got[0]>>32))
	return append([]byte{}, answer...), nil
}

func (c wazeroSmall) close() {}

// extismSmall calls a plugin of its own for each call, or one that is kept.
type extismSmall struct {
	compiled *extism.CompiledPlugin
	plugin   *extism.Plugin
}

func (c extismSmall) call(input []byte) ([]byte, error) {
	plugin := c.plugin
	if plugin == nil {
		var err error
		if plugin, err = c.compiled.Instance(context.Background(), extism.PluginInstanceConfig{}); err != nil {
			return nil, err
		}
		defer plugin.Close(context.Background())
	}
	_, answer, err := plugin.Call("call", input)
	return answer, err
}

func (c extismSmall) close() {
	if c.plugin != nil {
		_ = c.plugin.Close(context.Background())
	}
}

// hostSmall calls a host of this repository, with its workers in processes of their own.
type hostSmall struct {
	h   *host.Host
	req host.Request
}

func (c hostSmall) call(input []byte) ([]byte, error) {
	q := c.req
	q.Input = input
	got, err := c.h.Execute(context.Background(), q)
	if err == nil && got.Verdict != "ok" {
		err = fmt.Errorf("%s: %s", got.Fault, got.Message)
	}
	return got.Result, err
}

func (c hostSmall) close() {}

// startHost starts a host on a new directory, whose workers are those of bin. The end of it all is end.
func startHost(bin string) (h *host.Host, end func(), err error) {
	dir, err := os.MkdirTemp("", "troupe-peers-")
	if err != nil {
		return nil, nil, err
	}
	worker, err := filepath.Abs(filepath.Join(bin, "troupe-worker"))
	if err != nil {
		return nil, nil, err
	}
	h, err = host.Start(context.Background(), host.Config{DataDir: dir, BallastBytes: host.NoLimit, WorkerPath: worker})
	if err != nil {
		return nil, nil, fmt.Errorf("host: %w (hint: make build)", err)
	}
	return h, func() { _ = h.Close(); _ = os.RemoveAll(dir) }, nil
}

// ours is the name of the host of this repository among the contenders, and theirs of what it is compared with.
const (
	ours   = "troupe, host.Execute, sandboxed and reset"
	theirs = "wasmtime, fuel: instantiate, call, drop"
)

// contenders opens all ways to do small calls. They are measured in this order, by turns.
func contenders(h *host.Host, guests string) ([]contender, error) {
	code, err := os.ReadFile(filepath.Join(guests, "small-call.wasm"))
	if err != nil {
		return nil, err
	}
	plugin, err := os.ReadFile(filepath.Join(guests, "small-extism.wasm"))
	if err != nil {
		return nil, err
	}
	if j, err := h.Precheck(context.Background(), host.CodeRequest{Code: code}); err != nil {
		return nil, err
	} else if j.Verdict != "ok" {
		return nil, errors.New(j.Message)
	}
	req := host.Request{CodeHash: artifacts.HashCode(code).String(), Entry: run.Entry{Mode: run.Bytes, Name: "call"}}

	config := wasmtime.NewConfig()
	config.SetConsumeFuel(true)
	engine := wasmtime.NewEngineWithConfig(config)
	module, err := wasmtime.NewModule(engine, code)
	if err != nil {
		return nil, err
	}
	ctx := context.Background()
	rt := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfigCompiler())
	compiled, err := rt.CompileModule(ctx, code)
	if err != nil {
		return nil, err
	}
	plugins, err := extism.NewCompiledPlugin(ctx, extism.Manifest{Wasm: []extism.Wasm{extism.WasmData{Data: plugin}}}, extism.PluginConfig{}, nil)
	if err != nil {
		return nil, err
	}
	return []contender{
		{ours, false, func() (caller, error) { return hostSmall{h, req}, nil }},
		{theirs, false, func() (caller, error) { return &wasmtimeSmall{engine: engine, module: module}, nil }},
		{"wasmtime, fuel: kept instance, not reset", true, func() (caller, error) {
			c := &wasmtimeSmall{engine: engine, module: module}
			var err error
			c.store, c.instance, err = c.instantiate()
			return c, err
		}},
		{"wazero: instantiate, call, drop", false, func() (caller, error) { return wazeroSmall{rt, compiled}, nil }},
		{"Extism: plugin for each call", false, func() (caller, error) { return extismSmall{plugins, nil}, nil }},
		{"Extism: kept plugin, not reset", true, func() (caller, error) {
			p, err := plugins.Instance(ctx, extism.PluginInstanceConfig{})
			return extismSmall{plugins, p}, err
		}},
	}, nil
}

// batch calls for a while and checks each answer; calls is how many this caller has made before.
func batch(c contender, with caller, calls *int, span time.Duration) (all report.Samples, err error) {
	input := make([]byte, smallBytes)
	for i := range input {
		input[i] = byte(i)
	}
	for begin := time.Now(); time.Since(begin) < span; {
		before := time.Now()
		got, err := with.call(input)
		all = append(all, time.Since(before))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", c.name, err)
		}
		want := byte(1)
		if *calls++; c.kept {
			want = byte(*calls)
		}
		if len(got) != smallBytes || got[0] != want || got[smallBytes-1] != input[smallBytes-1]+want {
			return nil, fmt.Errorf("%s: wrong answer of %d bytes to call %d", c.name, len(got), *calls)
		}
	}
	return all, nil
}

// measured is what one contender took with so many goroutines.
type measured struct {
	samples report.Samples
	busy    time.Duration // wall time that it had
}

// smallCalls measures all contenders by turns: batches of an equal time, until each has had the span.
func smallCalls(all []contender, goroutines, rounds int, span time.Duration) ([]measured, error) {
	type opened struct {
		with  caller
		calls int
	}
	open := make([][]*opened, len(all))
	for i, c := range all {
		for range goroutines {
			with, err := c.open()
			if err != nil {
				return nil, fmt.Errorf("%s: %w", c.name, err)
			}
			defer with.close()
			open[i] = append(open[i], &opened{with: with})
		}
	}
	results := make([]measured, len(all))
	for round := range rounds + 1 {
		for turn := range all {
			i := (turn + round) % len(all)
			var group sync.WaitGroup
			var mu sync.Mutex
			var failed atomic.Pointer[error]
			begin := time.Now()
			var got report.Samples
			for _, o := range open[i] {
				group.Go(func() {
					s, err := batch(all[i], o.with, &o.calls, span/time.Duration(rounds))
					if err != nil {
						failed.Store(&err)
					}
					mu.Lock()
					defer mu.Unlock()
					got = append(got, s...)
				})
			}
			group.Wait()
			if err := failed.Load(); err != nil {
				return nil, *err
			}
			if round > 0 { // the first warms up
				results[i].samples = append(results[i].samples, got...)
				results[i].busy += time.Since(begin)
			}
		}
	}
	return results, nil
}

// reportSmall measures and tells.
func reportSmall(bin, guests string, rounds int, span time.Duration) ([]report.Section, error) {
	h, end, err := startHost(bin)
	if err != nil {
		return nil, err
	}
	defer end()
	all, err := contenders(h, guests)
	if err != nil {
		return nil, err
	}
	table := report.Section{Name: "Small calls by turns, on one goroutine and on two",
		Cells: [][]string{{"", "p50", "p99", "in a second", "p50 on two", "p99 on two", "in a second on two"}}}
	var goals report.Section
	rows := make([][]string, len(all))
	for _, n := range []int{1, 2} {
		got, err := smallCalls(all, n, rounds, span)
		if err != nil {
			return nil, err
		}
		var here, there float64
		for i, m := range got {
			rows[i] = append(rows[i], report.Micros(m.samples.At(0.5)), report.Micros(m.samples.At(0.99)), report.Rate(float64(len(m.samples))/m.busy.Seconds()))
			switch all[i].name {
			case ours:
				here = m.samples.At(0.5)
			case theirs:
				there = m.samples.At(0.5)
			}
		}
		if n == 1 {
			goals = report.Section{Name: targets, Rows: []report.Row{
				report.AtMost("warm small call, p50, of wasmtime's instantiate, call, drop", 2, here/there, report.Times).Against("wasmtime", here, there, report.Micros)}}
			goals.Rows[0].Measured = report.Micros(here)
		}
	}
	for i, c := range all {
		table.Cells = append(table.Cells, append([]string{c.name}, rows[i]...))
	}
	return []report.Section{goals, table}, nil
}
