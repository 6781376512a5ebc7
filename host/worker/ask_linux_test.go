package worker

import (
	"bytes"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/host/abi"
	"github.com/troupehost/troupe/host/engine"
	"github.com/troupehost/troupe/host/wire"
)

// TestQuestionsOfACall: only the guest of a call that says so may ask, and what it wrote before goes first. The same holds for turns.
func TestQuestionsOfACall(t *testing.T) {
	ask := run.Ask{Op: uint16(abi.OpKVGet), Nums: []int64{4}, Args: [][]byte{[]byte("key")}, Gas: 5, MemoryBytes: 6}
	h := pretending(t, func(s engine.Spec, io engine.IO) engine.Outcome {
		if io.Ask == nil || s.Turn == nil {
			if io.Ask != nil || s.Turn != nil || s.TurnGas != 0 {
				t.Error("half of it")
			}
			_ = io.Result([]byte("nobody"))
			return engine.Outcome{}
		}
		_ = io.Output(false, []byte("before"))
		got, err := io.Ask(&ask)
		var data []byte
		if err == nil {
			data = bytes.Clone(got.Data) // the next answer takes its place
			err = s.Turn(s.TurnGas, 9)
		}
		if err != nil {
			t.Error(err)
			return engine.Outcome{}
		}
		_ = io.Result(data)
		return engine.Outcome{}
	})
	call(t, h, wire.Terms{TurnGas: 8}, wire.Call{Run: 1}, wire.Call{Run: 2, Asks: true})
	if got := answers(t, h, 1); got[0] != "nobody" {
		t.Errorf("%q", got)
	}
	for _, row := range []struct {
		want   wire.Message
		answer wire.Message
	}{
		{wire.Output{Data: []byte("before")}, nil},
		{wire.Ask(ask), wire.Answer{Nums: []uint64{7}, Data: []byte("data")}},
		{wire.Ask{Op: uint16(abi.OpTurn), Gas: 8, MemoryBytes: 9}, wire.Answer{}},
	} {
		m, err := h.Receive()
		if d := cmp.Diff(row.want, m); d != "" || err != nil {
			t.Fatalf("%v\n%s", err, d)
		}
		if row.answer != nil {
			call(t, h, row.answer)
		}
	}
	if got := answers(t, h, 1); got[0] != "data" {
		t.Errorf("%q", got)
	}
}

// TestAnswersThatDoNotFitTheQuestion are none, and the guest does not see them.
func TestAnswersThatDoNotFitTheQuestion(t *testing.T) {
	for name, m := range map[string]wire.Message{
		"more than room": wire.Answer{Nums: []uint64{1}, Data: make([]byte, 5)}, "a number more": wire.Answer{Nums: []uint64{1, 2}},
		"none": wire.Answer{}, "with an error": wire.Answer{Errno: 1, Data: []byte{1}}, "stdin": wire.Stdin{EOF: true}, "a call": wire.Call{Run: 2},
	} {
		h := pretending(t, func(_ engine.Spec, io engine.IO) engine.Outcome {
			got, err := io.Ask(&run.Ask{Op: uint16(abi.OpKVGet), Nums: []int64{4}, Args: [][]byte{nil}})
			if got != nil || !errors.Is(err, wire.ErrFrame) {
				t.Errorf("%s: %+v, %v", name, got, err)
			}
			return engine.Outcome{}
		})
		call(t, h, wire.Terms{}, wire.Call{Run: 1, Asks: true})
		if _, err := h.Receive(); err != nil {
			t.Fatal(err)
		}
		call(t, h, m)
		answers(t, h, 1)
	}
}
