package worker

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"testing"
	"time"

	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/host/engine"
	"github.com/troupehost/troupe/host/wire"
)

// pretender is an app that does what a test says.
type pretender func(engine.Spec, engine.IO) engine.Outcome

func (p pretender) Settle() {}

func (p pretender) Run(_ context.Context, s engine.Spec, io engine.IO) engine.Outcome {
	return p(s, io)
}

// pretending serves p on a goroutine, and returns the host's end of its ring.
func pretending(t testing.TB, p pretender) *wire.HostRing {
	t.Helper()
	h, file, event, err := wire.NewRing()
	if err != nil {
		t.Fatal(err)
	}
	w, err := wire.OpenWorkerRing(file, event)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- newRunner(w, p, nil, nil).serve() }()
	give := time.AfterFunc(patience, h.Interrupt)
	t.Cleanup(func() {
		give.Stop()
		w.Hangup()
		if err := <-ended; err != io.EOF {
			t.Errorf("it ended with %v", err)
		}
		_ = h.Close()
	})
	return h
}

func call(t testing.TB, h *wire.HostRing, messages ...wire.Message) {
	t.Helper()
	for _, m := range messages {
		if err := h.Send(m); err != nil {
			t.Fatal(err)
		}
	}
}

// answers returns what n runs answer, their output and result as text.
func answers(t testing.TB, h *wire.HostRing, n int) (all []string) {
	t.Helper()
	for text := ""; n > 0; {
		m, err := h.Receive()
		if err != nil {
			t.Fatal(err)
		}
		switch m := m.(type) {
		case wire.Output:
			text += string(m.Data)
		case wire.Result:
			text += string(m.Data)
		case wire.Finished:
			all = append(all, text)
			text = ""
			n--
		default:
			t.Fatalf("%#v", m)
		}
	}
	return all
}

// TestCallsInTheRing: calls that stand one behind the other are answered in order, under the terms before them, and input
// that takes several frames belongs to its call.
func TestCallsInTheRing(t *testing.T) {
	h := pretending(t, func(s engine.Spec, io engine.IO) engine.Outcome {
		_ = io.Output(false, []byte(s.Entry.Name+":"))
		_ = io.Result(s.Input)
		return engine.Outcome{}
	})
	large := bytes.Repeat([]byte("x"), keptInput+5)
	call(t, h,
		wire.Terms{Entry: run.Entry{Name: "a"}, MemoryBytes: 1 << 20},
		wire.Call{Run: 1, InputBytes: 2, Data: []byte("in")},
		wire.Call{Run: 2},
		wire.Terms{Entry: run.Entry{Name: "b"}, MemoryBytes: 1 << 20},
		wire.Call{Run: 3, InputBytes: 6, Data: []byte("12")}, wire.Input{Data: []byte("3")}, wire.Input{Data: []byte("456")},
		wire.Call{Run: 4, InputBytes: int64(len(large)), Data: large[:7]}, wire.Input{Data: large[7:]},
		wire.Call{Run: 5, InputBytes: 1}, wire.Input{Data: []byte("y")},
	)
	want := []string{"a:in", "a:", "b:123456", "b:" + string(large), "b:y"}
	if got := answers(t, h, len(want)); !slices.Equal(got, want) {
		t.Errorf("%.100q", got)
	}
}

// TestStdinOfACall: only the guest of a call that says so is waited for.
func TestStdinOfACall(t *testing.T) {
	h := pretending(t, func(_ engine.Spec, io engine.IO) engine.Outcome {
		p := make([]byte, 10)
		n, err := io.Stdin(p)
		_ = io.Result(append(p[:n], []byte(errors.Join(err, errors.New(".")).Error())...))
		return engine.Outcome{}
	})
	call(t, h, wire.Terms{}, wire.Call{Run: 1}, wire.Call{Run: 2, Stdin: true})
	if got := answers(t, h, 1); got[0] != "EOF\n." {
		t.Errorf("%q", got)
	}
	if m, err := h.Receive(); err != nil || m != (wire.NeedStdin{Max: 10}) {
		t.Fatalf("%v, %v", m, err)
	}
	call(t, h, wire.Stdin{Data: []byte("abc")})
	if got := answers(t, h, 1); got[0] != "abc." {
		t.Errorf("%q", got)
	}
}

// TestTheHostIsToldInTime: an answer is not kept from the host by a run behind it that takes long, nor is output by the run
// that writes it.
func TestTheHostIsToldInTime(t *testing.T) {
	for name, answer := range map[string]string{"an answer": "", "output": "o"} {
		hold := make(chan struct{})
		h := pretending(t, func(s engine.Spec, io engine.IO) engine.Outcome {
			<-time.After(5 * time.Millisecond) // the host sleeps by now
			if string(s.Input) == "long" {
				_ = io.Output(false, []byte(answer))
				if err := s.Long(); err != nil {
					t.Error(err)
				}
				<-hold
			}
			return engine.Outcome{}
		})
		call(t, h, wire.Terms{MemoryBytes: 100}, wire.Call{Run: 1}, wire.Call{Run: 2, InputBytes: 4, Data: []byte("long")})
		answers(t, h, 1)
		if answer != "" {
			if m, err := h.Receive(); err != nil || string(m.(wire.Output).Data) != answer {
				t.Errorf("%s: %v, %v", name, m, err)
			}
		}
		close(hold)
		answers(t, h, 1)
	}
}

// TestCallsThatCannotBe end the worker.
func TestCallsThatCannotBe(t *testing.T) {
	for name, messages := range map[string][]wire.Message{
		"without terms":            {wire.Call{Run: 1}},
		"more input than memory":   {wire.Terms{MemoryBytes: 5}, wire.Call{InputBytes: 6, Data: []byte("123456")}},
		"more data than input":     {wire.Terms{MemoryBytes: 5}, wire.Call{InputBytes: 1, Data: []byte("12")}},
		"more pieces than input":   {wire.Terms{MemoryBytes: 5}, wire.Call{InputBytes: 3, Data: []byte("12")}, wire.Input{Data: []byte("34")}},
		"an empty piece":           {wire.Terms{MemoryBytes: 5}, wire.Call{InputBytes: 3, Data: []byte("12")}, wire.Input{}},
		"another call in between":  {wire.Terms{MemoryBytes: 5}, wire.Call{InputBytes: 3, Data: []byte("12")}, wire.Call{}},
		"input without a call":     {wire.Terms{MemoryBytes: 5}, wire.Input{Data: []byte("1")}},
		"a message of the set-up":  {wire.Hello{}},
		"an answer":                {wire.Terms{}, wire.Finished{}},
		"stdin that is not wanted": {wire.Terms{}, wire.Call{}, wire.Stdin{EOF: true}},
		"an answer to nothing":     {wire.Terms{}, wire.Call{Asks: true}, wire.Answer{}},
	} {
		h, file, event, err := wire.NewRing()
		if err != nil {
			t.Fatal(err)
		}
		w, err := wire.OpenWorkerRing(file, event)
		if err != nil {
			t.Fatal(err)
		}
		call(t, h, messages...)
		w.Hangup() // it does not wait for more
		r := newRunner(w, pretender(func(engine.Spec, engine.IO) engine.Outcome { return engine.Outcome{} }), nil, nil)
		if err := r.serve(); !errors.Is(err, wire.ErrFrame) {
			t.Errorf("%s: %v", name, err)
		}
		_ = h.Close()
	}
}

// TestTheLoopCostsNoMemory: a call with input, output and a result allocates nothing in the worker, nor in the host's ring.
func TestTheLoopCostsNoMemory(t *testing.T) {
	if raceDetector {
		t.Skip("the race detector allocates")
	}
	h := pretending(t, func(s engine.Spec, io engine.IO) engine.Outcome {
		_ = io.Output(false, s.Input)
		_ = io.Result(s.Input)
		return engine.Outcome{GasUsed: 1}
	})
	call(t, h, wire.Terms{MemoryBytes: 1 << 20})
	c := &wire.Call{Run: 1, InputBytes: 512, Data: make([]byte, 512)}
	var f wire.Frame
	round := func() {
		call(t, h, c)
		for f.Type = 0; f.Type != wire.TypeFinished; {
			if err := h.Next(&f); err != nil {
				t.Fatal(err)
			}
		}
	}
	for range 100 {
		round()
	}
	if n := testing.AllocsPerRun(1000, round); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

// TestTheWorkerLeavesWithItsHost, though its guest computes.
func TestTheWorkerLeavesWithItsHost(t *testing.T) {
	parts, _ := prepared(t, guest(t, "loop"))
	k, _ := reexec(t, nil)
	k.hello()
	k.load(parts)
	receive[wire.Loaded](k)
	k.call(command(), wire.Call{Run: 1}) // which computes for ever, under no clock
	_ = k.conn.Close()
	if err := k.end(); err != nil {
		t.Errorf("%v", err)
	}
}

func BenchmarkLoop(b *testing.B) {
	h := pretending(b, func(s engine.Spec, io engine.IO) engine.Outcome {
		_ = io.Result(s.Input)
		return engine.Outcome{GasUsed: 1}
	})
	call(b, h, wire.Terms{MemoryBytes: 1 << 20})
	c := &wire.Call{Run: 1, InputBytes: 512, Data: make([]byte, 512)}
	var f wire.Frame
	b.ReportAllocs()
	for b.Loop() {
		call(b, h, c)
		for f.Type = 0; f.Type != wire.TypeFinished; {
			if err := h.Next(&f); err != nil {
				b.Fatal(err)
			}
		}
	}
}
