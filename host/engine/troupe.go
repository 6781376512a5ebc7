package engine

import (
	"context"
	"encoding/binary"
	"errors"
	"math"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/host/abi"
)

// asking is the one call of troupe_v1 that a run has under way. It is kept, so that a call takes no memory: a run may make them for
// days.
type asking struct {
	ask  run.Ask
	nums [abi.MaxNums]int64
	args [abi.MaxArgs][]byte

	out     []byte // where the bytes of the answer go
	numbers [abi.MaxNums]place
	results int
}

// place is where a number of the answer goes.
type place []byte

func (p place) put(v uint64) {
	if len(p) == 4 {
		binary.LittleEndian.PutUint32(p, uint32(v))
	} else {
		binary.LittleEndian.PutUint64(p, v)
	}
}

// errAnswer is said of a host that answers what nobody asked.
var errAnswer = errors.New("an answer that does not fit the call")

// exportTroupe adds those functions of the module that are asked for.
func exportTroupe(b wazero.HostModuleBuilder, wanted map[string]bool) {
	for i := range abi.TroupeFunctions {
		f := &abi.TroupeFunctions[i]
		if !wanted[f.Name] {
			continue
		}
		call := api.GoModuleFunc(func(ctx context.Context, mod api.Module, stack []uint64) {
			stack[0] = uint64(stateOf(ctx).troupe(f, mod, stack))
		})
		var params []api.ValueType
		for _, c := range f.Types() {
			if c == 'I' {
				params = append(params, api.ValueTypeI64)
			} else {
				params = append(params, api.ValueTypeI32)
			}
		}
		b.NewFunctionBuilder().WithGoModuleFunction(call, params, []api.ValueType{api.ValueTypeI32}).Export(f.Name)
	}
}

// troupe serves one call, and returns its error number. Everything is judged before the host is asked, so that a call which is
// refused has not happened.
func (s *runState) troupe(f *abi.Function, mod api.Module, stack []uint64) uint32 {
	s.seen |= reads | waits // what the host says is another thing in each run, and whether it says anything
	mem := memoryOf(mod)
	if errno := s.asking.take(f, mem, stack); errno != abi.ErrNone {
		return errno
	}
	if f.Op == abi.OpGasLeft {
		s.meter.bind(mod)
		s.asking.numbers[0].put(s.meter.left())
		return abi.ErrNone
	}
	if s.io.Ask == nil {
		return abi.ErrUnsupported
	}
	s.long()
	ask := &s.asking.ask
	s.meter.bind(mod)
	ask.Gas, ask.MemoryBytes = s.meter.told(), 0
	if mem != nil {
		ask.MemoryBytes = int64(mem.Size())
	}
	got, err := s.io.Ask(ask)
	if err != nil {
		panic(fault.New(fault.CanceledStopped, "ask", "", err))
	}
	return s.asking.give(got)
}

// take reads the parameters of a call and looks at all that they point at. Nothing is copied.
func (c *asking) take(f *abi.Function, mem api.Memory, stack []uint64) uint32 {
	c.ask.Op, c.ask.Nums, c.ask.Args = uint16(f.Op), c.nums[:0], c.args[:0]
	c.out, c.results = nil, 0
	heavy := f.Heavy()
	view := func(at, n uint64) ([]byte, bool) {
		if mem == nil {
			return nil, false
		}
		return mem.Read(uint32(at), uint32(n))
	}
	for i, letter := range f.Params {
		most := uint32(abi.MaxKey)
		if i == heavy {
			most = abi.MaxBytes
		}
		switch letter {
		case 'i':
			c.ask.Nums = append(c.ask.Nums, int64(int32(uint32(stack[0]))))
			stack = stack[1:]
		case 'I':
			c.ask.Nums = append(c.ask.Nums, int64(stack[0]))
			stack = stack[1:]
		case 'b':
			p, ok := view(stack[0], stack[1])
			switch {
			case !ok:
				return abi.ErrAddress
			case uint32(len(p)) > most:
				return abi.ErrParam
			}
			c.ask.Args = append(c.ask.Args, p)
			stack = stack[2:]
		case 'o':
			p, ok := view(stack[0], stack[1])
			if !ok {
				return abi.ErrAddress
			}
			c.out = p[:min(uint32(len(p)), most)]
			c.ask.Nums = append(c.ask.Nums, int64(len(c.out)))
			stack = stack[2:]
		default:
			n := uint64(4)
			if letter == 'P' {
				n = 8
			}
			p, ok := view(stack[0], n)
			if !ok {
				return abi.ErrAddress
			}
			c.numbers[c.results] = p
			c.results++
			stack = stack[1:]
		}
	}
	total := 0
	for _, p := range c.ask.Args {
		total += len(p)
	}
	if total > abi.MaxBytes {
		return abi.ErrParam
	}
	return abi.ErrNone
}

// give writes what the host said to where the guest wants it.
func (c *asking) give(got *run.Answer) uint32 {
	if got.Errno != abi.ErrNone {
		if len(got.Nums) > 0 || len(got.Data) > 0 {
			panic(fault.New(fault.CanceledStopped, "ask", "", errAnswer))
		}
		return got.Errno
	}
	if len(got.Nums) != c.results || len(got.Data) > len(c.out) {
		panic(fault.New(fault.CanceledStopped, "ask", "", errAnswer))
	}
	copy(c.out, got.Data)
	for i, v := range got.Nums {
		c.numbers[i].put(v)
	}
	return abi.ErrNone
}

// forget lets go of the memory that a call pointed at.
func (c *asking) forget() {
	c.out = nil
	clear(c.args[:])
	clear(c.numbers[:])
}

// left returns the gas that the phase has left; the largest number if it has no limit.
func (m *accounts) left() uint64 {
	if m.limit == run.NoGasLimit {
		return math.MaxUint64
	}
	return uint64(max(m.limit-m.used(), 0))
}
