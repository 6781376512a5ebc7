package engine

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/tetratelabs/wazero/api"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/host/abi"
)

// invoke calls a function over numbers; judge has looked at its types.
func (a *App) invoke(s *Spec) Outcome {
	args, fn := s.Entry.Args, a.exports[s.Entry.Name]
	params, results := fn.params, fn.results
	if len(args) != len(params) {
		what := fmt.Sprintf("%s takes %d numbers, not %d", s.Entry.Name, len(params), len(args))
		return Outcome{Fault: fault.New(fault.CallerInvalid, "invoke", fault.Quote(what), nil)}
	}
	for i, t := range params {
		v, err := parse(t, args[i])
		if err != nil {
			what := fmt.Sprintf("argument %d must be an %s in its range, not %.40s", i+1, api.ValueTypeName(t), args[i])
			return Outcome{Fault: fault.New(fault.CallerInvalid, "invoke", fault.Quote(what), nil)}
		}
		a.stack[i] = v
	}
	if err := a.call(s.Entry.Name); err != nil {
		return a.ended(err, fault.GuestTrap, run.Invoke)
	}
	words := make([]string, len(results))
	for i, t := range results {
		words[i] = format(t, a.stack[i])
	}
	result := []byte(strings.Join(words, " "))
	if int64(len(result)) > a.state.budget.left {
		return Outcome{Fault: fault.New(fault.GuestOutputLimit, "invoke", "", nil)}
	}
	return answer(result, a.state.io.Result)
}

// answer ends a run that has a result.
func answer(result []byte, put func([]byte) error) Outcome {
	if err := put(result); err != nil {
		return Outcome{Fault: fault.New(fault.CanceledStopped, "answer", "", err)}
	}
	return Outcome{}
}

// parse reads a number: integers signed or unsigned, decimal or with the prefix 0x, 0o or 0b.
func parse(t api.ValueType, s string) (uint64, error) {
	switch t {
	case api.ValueTypeI32:
		v, err := integer(s, 32)
		return uint64(uint32(v)), err
	case api.ValueTypeI64:
		return integer(s, 64)
	case api.ValueTypeF32:
		v, err := strconv.ParseFloat(s, 32)
		return api.EncodeF32(float32(v)), err
	default:
		v, err := strconv.ParseFloat(s, 64)
		return api.EncodeF64(v), err
	}
}

// integer reads a number of so many bits. Leading zeros mean nothing.
func integer(s string, bits int) (uint64, error) {
	digits, negative := strings.CutPrefix(s, "-")
	base := 10
	if len(digits) > 2 && digits[0] == '0' {
		switch digits[1] | 0x20 {
		case 'x':
			base = 16
		case 'o':
			base = 8
		case 'b':
			base = 2
		}
	}
	if base != 10 {
		digits = digits[2:]
	}
	v, err := strconv.ParseUint(digits, base, bits)
	switch {
	case err != nil || !negative:
		return v, err
	case v > 1<<(bits-1):
		return 0, strconv.ErrRange
	}
	return -v, nil
}

// format prints a number: integers signed, floats in the shortest form that reads back the same.
func format(t api.ValueType, v uint64) string {
	switch t {
	case api.ValueTypeI32:
		return strconv.FormatInt(int64(int32(v)), 10)
	case api.ValueTypeI64:
		return strconv.FormatInt(int64(v), 10)
	case api.ValueTypeF32:
		return strconv.FormatFloat(float64(api.DecodeF32(v)), 'g', -1, 32)
	default:
		return strconv.FormatFloat(api.DecodeF64(v), 'g', -1, 64)
	}
}

// callBytes calls name(ptr, len) -> (len << 32) | ptr, the PVF manner. The result is put from where it stands: a copy would
// be memory that no limit of the run allows for.
func (a *App) callBytes(s *Spec) Outcome {
	mem := a.live.mem
	if mem == nil {
		return Outcome{Fault: fault.New(fault.GuestMissingExport, "call", "memory", nil)}
	}
	ptr, ok, err := a.reserve(mem, uint32(len(s.Input)))
	if err != nil {
		return a.ended(err, fault.GuestTrap, run.Bytes)
	}
	if !ok || !mem.Write(ptr, s.Input) {
		return Outcome{Fault: fault.New(fault.GuestMemory, "call", "no room for the input", nil)}
	}
	a.stack[0], a.stack[1] = uint64(ptr), uint64(len(s.Input))
	if err := a.call(s.Entry.Name); err != nil {
		return a.ended(err, fault.GuestTrap, run.Bytes)
	}
	got := a.stack[0]
	size := uint32(got >> 32)
	if int64(size) > a.state.budget.left {
		return Outcome{Fault: fault.New(fault.GuestOutputLimit, "call", fmt.Sprintf("%d bytes", size), nil)}
	}
	view, ok := mem.Read(uint32(got), size)
	if !ok {
		return Outcome{Fault: fault.New(fault.GuestBadOutput, "call", fmt.Sprintf("pointer %#x, %d bytes", uint32(got), size), nil)}
	}
	return answer(view, a.state.io.Result)
}

// reserve makes room for the input: by the guest itself if it exports a function for that, since one whose heap takes all that memory
// grows by, as Go's does, would take what the host grew it by, too.
func (a *App) reserve(mem api.Memory, n uint32) (ptr uint32, ok bool, err error) {
	i32 := []api.ValueType{api.ValueTypeI32}
	if d := a.exports[abi.Alloc]; d == nil || !slices.Equal(d.params, i32) || !slices.Equal(d.results, i32) {
		ptr, ok = a.state.heap.alloc(mem, n)
		return ptr, ok, nil
	}
	a.stack[0] = uint64(n)
	if err := a.call(abi.Alloc); err != nil {
		return 0, false, err
	}
	return uint32(a.stack[0]), true, nil
}
