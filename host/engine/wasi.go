package engine

import (
	"context"
	"encoding/binary"
	"errors"
	"sync"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"
	"github.com/tetratelabs/wazero/sys"

	"github.com/troupehost/troupe/host/abi"
)

// Error numbers of WASI.
const (
	errnoBadf  = 8
	errnoFault = 21
	errnoNosys = 52
)

// effect says what a call of the host looks at or leaves behind, as far as it matters to who reuses an instance or what initialisation
// made.
type effect uint16

const (
	seesArgs   effect = 1 << iota
	seesEnv           // the environment
	seesClock         // or turns it, by sleeping
	seesRandom        // random bytes
	reads             // of stdin, or whether it can be read
	writes            // output
	waits             // it can take as long as somebody else likes
	keeps             // it can change what descriptors are, which an instance keeps; see kept
	kept              // it did
)

// effects has each function of WASI. One of no effect looks at what is the same in each run of an instance: three descriptors, none
// of them a directory or a socket.
var effects = map[string]effect{
	"args_get": seesArgs, "args_sizes_get": seesArgs,
	"environ_get": seesEnv, "environ_sizes_get": seesEnv,
	"clock_res_get": seesClock, "clock_time_get": seesClock,
	"random_get": seesRandom,
	"fd_read":    reads | waits, "fd_pread": reads | waits,
	"fd_write": writes, "fd_pwrite": writes,
	"poll_oneoff": seesClock | reads | waits,

	"fd_allocate": keeps, "fd_close": keeps, "fd_fdstat_set_flags": keeps, "fd_fdstat_set_rights": keeps,
	"fd_filestat_set_size": keeps, "fd_filestat_set_times": keeps, "fd_readdir": keeps, "fd_renumber": keeps, "fd_seek": keeps,
	"path_create_directory": keeps, "path_filestat_set_times": keeps, "path_link": keeps, "path_open": keeps,
	"path_remove_directory": keeps, "path_rename": keeps, "path_symlink": keeps, "path_unlink_file": keeps,
	"sock_accept": keeps | waits, "sock_recv": keeps | waits, "sock_send": keeps | waits, "sock_shutdown": keeps,

	"fd_advise": 0, "fd_datasync": 0, "fd_fdstat_get": 0, "fd_filestat_get": 0, "fd_prestat_dir_name": 0, "fd_prestat_get": 0,
	"fd_sync": 0, "fd_tell": 0, "path_filestat_get": 0, "path_readlink": 0, "proc_exit": 0, "proc_raise": 0, "sched_yield": 0,
}

// exportWASI adds the functions of WASI to a module. Two of the engine's own crash: one on the standard streams, which are
// the only files that a run has, the other on numbers that wrap. Those that show what is another in each run ask its state.
func exportWASI(b wazero.HostModuleBuilder) error {
	functions, err := engineWASI()
	if err != nil {
		return err
	}
	for name, d := range functions {
		own, _ := d.GoFunction().(api.GoModuleFunction)
		switch name {
		case "fd_filestat_set_times":
			own = api.GoModuleFunc(setTimes)
		case pollName:
			own = guardPoll(own)
		case "proc_exit":
			own = api.GoModuleFunc(exit)
		case "args_get", "args_sizes_get", "environ_get", "environ_sizes_get":
			own = ofRun(name)
		}
		b.NewFunctionBuilder().WithGoModuleFunction(noted(name, own), d.ParamTypes(), d.ResultTypes()).Export(name)
	}
	return nil
}

// noted keeps account of what a function does.
func noted(name string, f api.GoModuleFunction) api.GoModuleFunction {
	e := effects[name]
	if e == 0 {
		return f
	}
	return api.GoModuleFunc(func(ctx context.Context, mod api.Module, stack []uint64) {
		s := stateOf(ctx)
		if s == nil {
			f.Call(ctx, mod, stack)
			return
		}
		s.seen |= e
		if e&waits != 0 {
			s.long()
		}
		f.Call(ctx, mod, stack)
		if e&keeps != 0 && (stack[0] == 0 || stack[0] != errnoBadf && (name == "fd_close" || name == "fd_renumber")) {
			s.seen |= kept
		}
	})
}

// exit ends a call without closing the instance, which the engine's own does: whoever runs it next resets it anyway.
func exit(_ context.Context, _ api.Module, stack []uint64) { panic(sys.NewExitError(uint32(stack[0]))) }

// ofRun shows the arguments or the environment of a run, by the name of the function.
func ofRun(name string) api.GoModuleFunc {
	return func(ctx context.Context, mod api.Module, stack []uint64) {
		s, list, sizes := stateOf(ctx), []string(nil), false
		switch name {
		case "args_sizes_get":
			list, sizes = s.argv(), true
		case "args_get":
			list = s.argv()
		case "environ_sizes_get":
			list, sizes = s.environ(), true
		default:
			list = s.environ()
		}
		if sizes {
			putSizes(mod, list, stack)
		} else {
			putStrings(mod, list, stack)
		}
	}
}

// bytesOf returns how many bytes strings take, each ended by a NUL.
func bytesOf(list []string) (n uint32) {
	for _, s := range list {
		n += uint32(len(s)) + 1
	}
	return n
}

// putSizes writes how many strings there are, and how many bytes.
func putSizes(mod api.Module, list []string, stack []uint64) {
	mem := mod.Memory()
	if !mem.WriteUint32Le(uint32(stack[0]), uint32(len(list))) || !mem.WriteUint32Le(uint32(stack[1]), bytesOf(list)) {
		stack[0] = errnoFault
		return
	}
	stack[0] = 0
}

// putStrings writes a table of pointers and, elsewhere, the strings.
func putStrings(mod api.Module, list []string, stack []uint64) {
	mem, at := mod.Memory(), uint32(stack[1])
	table, ok := mem.Read(uint32(stack[0]), uint32(4*len(list)))
	if !ok {
		stack[0] = errnoFault
		return
	}
	room, ok := mem.Read(at, bytesOf(list))
	if !ok {
		stack[0] = errnoFault
		return
	}
	done := uint32(0)
	for i, s := range list {
		binary.LittleEndian.PutUint32(table[4*i:], at+done)
		copy(room[done:], s)
		done += uint32(len(s))
		room[done] = 0
		done++
	}
	stack[0] = 0
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

// engineWASI returns the engine's own functions, which are reached by way of a module that is never instantiated.
var engineWASI = sync.OnceValues(func() (map[string]api.FunctionDefinition, error) {
	ctx := context.Background()
	rt := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfigInterpreter())
	defer rt.Close(ctx)
	b := rt.NewHostModuleBuilder(abi.WASI)
	wasi_snapshot_preview1.NewFunctionExporter().ExportFunctions(b)
	m, err := b.Compile(ctx)
	if err != nil {
		return nil, err
	}
	functions := m.ExportedFunctions()
	for name, d := range functions {
		if _, ok := d.GoFunction().(api.GoModuleFunction); !ok {
			return nil, errors.New("the engine hides " + name)
		}
	}
	return functions, nil
})
