package wire

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/troupehost/troupe/host/abi"
)

// askFor is an Ask as large as the function allows.
func askFor(f *abi.Function) Ask {
	nums, args, _, _ := f.Carries()
	m := Ask{Op: uint16(f.Op), Gas: 1, MemoryBytes: 2}
	for range nums {
		m.Nums = append(m.Nums, 77)
	}
	for range args {
		m.Args = append(m.Args, make([]byte, abi.MaxBytes/args))
	}
	return m
}

// TestEveryFunctionIsAsked through a ring, whose frames take no memory of their own, and answers are told from what is none.
func TestEveryFunctionIsAsked(t *testing.T) {
	h, w := rings(t)
	var f, g Frame
	for i := range abi.TroupeFunctions {
		fn := &abi.TroupeFunctions[i]
		m := askFor(fn)
		if fn.Op == abi.OpGasLeft {
			if b, err := Encode(m); err != nil || !isBad(TypeAsk, b) {
				t.Errorf("%s is asked: %v", fn.Name, err)
			}
			continue
		}
		_, _, results, data := fn.Carries()
		answer := Answer{Nums: make([]uint64, results)}
		if data {
			answer.Data = make([]byte, 77)
		}
		if err := errors.Join(w.Send(&m), h.Next(&f), h.Send(&answer), w.Next(&g)); err != nil {
			t.Fatalf("%s: %v", fn.Name, err)
		}
		if d := cmp.Diff(len(m.Nums), len(f.Ask.Nums)) + cmp.Diff(len(m.Args), len(f.Ask.Args)); d != "" || f.Ask.Op != m.Op || !f.Ask.Fits(g.Answer) || !m.Fits(answer) {
			t.Errorf("%s: %+v\n%s", fn.Name, g.Answer, d)
		}
		if len(m.Args) > 0 && !cmp.Equal(m.Args, f.Ask.Args) {
			t.Errorf("%s: other bytes", fn.Name)
		}
		for name, bad := range map[string]Answer{
			"a number more":     {Nums: make([]uint64, results+1), Data: answer.Data},
			"more than room":    {Nums: answer.Nums, Data: make([]byte, 78)},
			"bytes with errors": {Errno: 1, Data: []byte{1}},
			"nums with errors":  {Errno: 1, Nums: []uint64{1}},
		} {
			if m.Fits(bad) {
				t.Errorf("%s: an answer with %s fits", fn.Name, name)
			}
		}
		if !m.Fits(Answer{Errno: 1}) {
			t.Errorf("%s cannot fail", fn.Name)
		}
	}
}

func isBad(t Type, frame []byte) bool {
	_, err := Decode(t, frame[headerSize:])
	return errors.Is(err, ErrFrame)
}

// TestAsksTakeNoMemory on either side.
func TestAsksTakeNoMemory(t *testing.T) {
	h, w := rings(t)
	ask := Ask{Op: uint16(abi.OpKVPut), Args: [][]byte{make([]byte, 30), make([]byte, 1000)}}
	answer := Answer{Nums: []uint64{}}
	var f, g Frame
	if n := testing.AllocsPerRun(100, func() {
		if err := errors.Join(w.Send(&ask), h.Next(&f), h.Send(&answer), w.Next(&g)); err != nil || len(f.Ask.Args[1]) != 1000 {
			t.Fatal(err)
		}
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}
