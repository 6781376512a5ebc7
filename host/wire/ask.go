package wire

import (
	"math"

	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/host/abi"
)

// Ask is what the guest of a Call with Asks asks of its host, in the shape of the function that it called, or the turn that the run wants.
// Sent by: the worker, while the guest waits. Answer: one Answer; no other frame comes from the worker until then.
type Ask run.Ask

// Answer answers an Ask: at most as many numbers and bytes as that has a place for.
type Answer run.Answer

func (m Ask) encode(e *encoder) {
	if len(m.Nums) > abi.MaxNums || len(m.Args) > abi.MaxArgs {
		e.fail("parameters")
		return
	}
	e.u64(uint64(m.Op))
	e.size(m.Gas)
	e.size(m.MemoryBytes)
	e.u64(uint64(len(m.Nums)))
	for _, v := range m.Nums {
		e.i64(v)
	}
	e.u64(uint64(len(m.Args)))
	for i, p := range m.Args {
		if i == len(m.Args)-1 {
			e.last(p, abi.MaxBytes, "parameter")
		} else {
			e.bytes(p, abi.MaxBytes, "parameter")
		}
	}
}

// decodeAsk reads an Ask into the lists of m. One that no function of the module can be is refused, so that its reader need not look
// at numbers of things.
func decodeAsk(d *decoder, m *Ask) {
	m.Op = uint16(d.size(math.MaxUint16, "function"))
	m.Gas, m.MemoryBytes = d.size(run.MaxGas, "gas"), d.size(run.MaxMemoryBytes, "memory")
	m.Nums, m.Args = m.Nums[:0], m.Args[:0]
	for n := d.count(abi.MaxNums, 1, "numbers"); n > 0; n-- {
		m.Nums = append(m.Nums, d.i64())
	}
	total := 0
	for n := d.count(abi.MaxArgs, 1, "parameters"); n > 0; n-- {
		p := d.bytes(abi.MaxBytes, "parameter")
		total += len(p)
		m.Args = append(m.Args, p)
	}
	f := abi.Asked(abi.Op(m.Op))
	if f == nil {
		d.fail("function")
		return
	}
	nums, args, _, _ := f.Carries()
	if len(m.Nums) != nums || len(m.Args) != args || total > abi.MaxBytes {
		d.fail("parameters")
		return
	}
	if room := m.Room(); room < 0 || room > abi.MaxBytes {
		d.fail("room")
	}
}

// Room is how many bytes the answer may have.
func (m Ask) Room() int64 {
	f := abi.Asked(abi.Op(m.Op))
	if f == nil {
		return 0
	}
	n := 0
	for _, c := range f.Params {
		if c == 'o' && n < len(m.Nums) {
			return m.Nums[n]
		}
		if c == 'i' || c == 'I' {
			n++
		}
	}
	return 0
}

// Fits reports whether an Answer is one to the Ask.
func (m Ask) Fits(a Answer) bool {
	f := abi.Asked(abi.Op(m.Op))
	if f == nil || a.Errno != abi.ErrNone {
		return f != nil && len(a.Nums) == 0 && len(a.Data) == 0
	}
	_, _, results, _ := f.Carries()
	return len(a.Nums) == results && int64(len(a.Data)) <= m.Room()
}

func (m Answer) encode(e *encoder) {
	if len(m.Nums) > abi.MaxNums {
		e.fail("numbers")
		return
	}
	e.u64(uint64(m.Errno))
	e.u64(uint64(len(m.Nums)))
	for _, v := range m.Nums {
		e.u64(v)
	}
	e.last(m.Data, abi.MaxBytes, "answer")
}

// decodeAnswer reads an Answer into the list of m.
func decodeAnswer(d *decoder, m *Answer) {
	m.Errno = uint32(d.size(math.MaxUint32, "error number"))
	m.Nums = m.Nums[:0]
	for n := d.count(abi.MaxNums, 1, "numbers"); n > 0; n-- {
		m.Nums = append(m.Nums, d.u64())
	}
	m.Data = d.bytes(abi.MaxBytes, "answer")
}
