package engine

import (
	"context"
	"errors"
	"sync"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"

	"github.com/troupehost/troupe/host/abi"
)

// Error numbers of WASI.
const (
	errnoBadf  = 8
	errnoFault = 21
	errnoNosys = 52
)

// exportWASI adds the functions of WASI to a module. Two of the engine's own crash: one on the standard streams, which are
// the only files that a run has, the other on numbers that wrap.
func exportWASI(b wazero.HostModuleBuilder) error {
	poll, err := enginePoll()
	if err != nil {
		return err
	}
	wasi_snapshot_preview1.NewFunctionExporter().ExportFunctions(b)
	i32, i64 := api.ValueTypeI32, api.ValueTypeI64
	b.NewFunctionBuilder().WithGoModuleFunction(api.GoModuleFunc(setTimes), []api.ValueType{i32, i64, i64, i32}, []api.ValueType{i32}).
		Export("fd_filestat_set_times")
	b.NewFunctionBuilder().WithGoModuleFunction(guardPoll(poll), []api.ValueType{i32, i32, i32, i32}, []api.ValueType{i32}).
		Export(pollName)
	return nil
}

func setTimes(_ context.Context, _ api.Module, stack []uint64) {
	if uint32(stack[0]) > 2 {
		stack[0] = errnoBadf
	} else {
		stack[0] = errnoNosys
	}
}

const pollName = "poll_oneoff"

// guardPoll lets calls through whose subscriptions and events are inside of memory: the engine multiplies their number in
// 32 bits.
func guardPoll(poll api.GoModuleFunction) api.GoModuleFunc {
	const subscription, event = 48, 32 // bytes
	return func(ctx context.Context, mod api.Module, stack []uint64) {
		in, out, n := uint64(uint32(stack[0])), uint64(uint32(stack[1])), uint64(uint32(stack[2]))
		mem := memoryOf(mod)
		if mem == nil || max(in+n*subscription, out+n*event) > uint64(mem.Size()) {
			stack[0] = errnoFault
			return
		}
		poll.Call(ctx, mod, stack)
	}
}

// enginePoll returns the engine's poll_oneoff, which is reached by way of a module that is never instantiated.
var enginePoll = sync.OnceValues(func() (api.GoModuleFunction, error) {
	ctx := context.Background()
	rt := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfigInterpreter())
	defer rt.Close(ctx)
	b := rt.NewHostModuleBuilder(abi.WASI)
	wasi_snapshot_preview1.NewFunctionExporter().ExportFunctions(b)
	m, err := b.Compile(ctx)
	if err != nil {
		return nil, err
	}
	if d := m.ExportedFunctions()[pollName]; d != nil {
		if f, ok := d.GoFunction().(api.GoModuleFunction); ok {
			return f, nil
		}
	}
	return nil, errors.New("the engine hides " + pollName)
})
