package host_test

import (
	"context"
	"testing"

	"github.com/rs/zerolog"

	"github.com/troupehost/troupe/actors/kernel"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/artifacts"
	"github.com/troupehost/troupe/host"
	"github.com/troupehost/troupe/host/engine"
	"github.com/troupehost/troupe/testdata/bench/gate"
)

// small is the small call of the benchmarks, of code that the host knows.
func small(code []byte) host.Request {
	input := make([]byte, 512)
	for i := range input {
		input[i] = byte(i)
	}
	return host.Request{CodeHash: artifacts.HashCode(code).String(), Entry: run.Entry{Mode: run.Bytes, Name: "call"}, Input: input}
}

// answers reports whether a result is that of a small call in an instance that was never called before.
func answers(input, result []byte) bool {
	for i := range result {
		if result[i] != input[i]+1 {
			return false
		}
	}
	return len(result) == len(input)
}

// inProcess loads code into the engine of this process, and returns a call of it that takes the result.
func inProcess(tb testing.TB, code []byte) func(e run.Entry, input []byte, result func([]byte) error) engine.Outcome {
	tb.Helper()
	ctx := context.Background()
	c, err := engine.Compile(ctx, code, 64<<20, engine.Options{})
	if err != nil {
		tb.Fatal(err)
	}
	app, err := engine.Load(ctx, c.Contents())
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = app.Close() })
	return func(e run.Entry, input []byte, result func([]byte) error) engine.Outcome {
		return app.Run(ctx, engine.Spec{Entry: e, Input: input, MemoryBytes: run.DefaultMemoryBytes, OutputBytes: run.DefaultOutputBytes},
			engine.IO{Result: result})
	}
}

// TestCounts holds what a warm run allocates, here and in the engine, and what its parts do.
func TestCounts(t *testing.T) {
	const calls = 200
	code := guest(t, "small-call")
	h := start(t, host.Config{})
	execute(t, h, host.Request{Code: code, Entry: run.Entry{Mode: run.Bytes, Name: "call"}}) // it is prepared, and a worker holds it
	q := small(code)
	warm := func() {
		if r := execute(t, h, q); r.Verdict != "ok" || r.Cache != "hit" || !answers(q.Input, r.Result) {
			t.Fatalf("%+v", r)
		}
	}
	hostCount, hostBytes := gate.Allocations(calls, warm)
	gate.Count(t, "host.Execute, warm small call: allocations", hostCount)
	gate.Count(t, "host.Execute, warm small call: bytes", hostBytes)

	const payload = 1 << 20
	echo := host.Request{Code: guest(t, "echo"), Entry: run.Entry{Mode: run.Bytes, Name: "echo"}, Input: make([]byte, payload)}
	execute(t, h, echo)
	_, echoed := gate.Allocations(20, func() {
		if r := execute(t, h, echo); r.Verdict != "ok" || len(r.Result) != payload {
			t.Fatalf("%+v", r.Message)
		}
	})
	gate.Count(t, "host.Execute, 1 MiB in and out: bytes for each 100 of payload", 100*echoed/payload)

	call := inProcess(t, code)
	var got []byte
	keep := func(p []byte) error { got = append(got[:0], p...); return nil }
	engineCount, engineBytes := gate.Allocations(calls, func() {
		if out := call(q.Entry, q.Input, keep); out.Fault != nil || !answers(q.Input, got) {
			t.Fatalf("%+v", out)
		}
	})
	gate.Count(t, "engine, warm small call: allocations", engineCount)
	gate.Count(t, "engine, warm small call: bytes", engineBytes)
}

// TestCountsOfActors holds what a question to an actor allocates.
func TestCountsOfActors(t *testing.T) {
	s, err := kernel.New(kernel.Config{Log: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	}()
	type question struct{ to kernel.Reply[int] }
	a, err := kernel.Spawn(s, kernel.Options[question]{Name: "echo", New: func(*kernel.Ctx[question]) kernel.Handler[question] {
		return kernel.HandlerFunc[question](func(_ *kernel.Ctx[question], q question) { q.to.Answer(7) })
	}})
	if err != nil {
		t.Fatal(err)
	}
	n, _ := gate.Allocations(1000, func() {
		if got, err := kernel.Ask(t.Context(), a, func(to kernel.Reply[int]) question { return question{to} }); got != 7 || err != nil {
			t.Fatal(got, err)
		}
	})
	gate.Count(t, "kernel, a question and its answer: allocations", n)
}
