package main

import (
	"io"
	"testing"
)

// TestProgramsAreCounted runs a program whose calls are known: fib(22) calls itself F(23) times, since the compiler made a
// loop of one of the two calls.
func TestProgramsAreCounted(t *testing.T) {
	t.Chdir("../../..")
	rows, err := measure(t.Context(), io.Discard, 1, func(name string) bool { return name == "kernels.wasm fib" })
	if err != nil || len(rows) != 1 {
		t.Fatalf("%d rows, %v", len(rows), err)
	}
	const calls = 28657
	if c := rows[0].count; c["call"] != calls || c[opFunction] != calls+1 || c["i64.extend_i32_u"] != 1 {
		t.Errorf("%v", c)
	}
}

// TestBenchmarksRun runs one of each kind for a moment: the module is valid and takes time.
func TestBenchmarksRun(t *testing.T) {
	t.Chdir("../../..")
	names := map[string]bool{"i32.add/chain1": true, "f64.sqrt/chain4": true, "i8x16.shuffle/chain1": true, "v128.load8_lane/chain1": true,
		"call_indirect/random": true, "throw/1 up": true, "memory.grow/1 and touch": true, "table.init/8": true, "+value/loop 16": true}
	rows, err := measure(t.Context(), io.Discard, 1, func(name string) bool { return names[name] })
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rows {
		delete(names, r.name)
		if r.ns <= 0 || r.count[r.target] <= 0 {
			t.Errorf("%s: %g ns for %v", r.name, r.ns, r.count)
		}
	}
	if len(names) > 0 {
		t.Errorf("not run: %v", names)
	}
}
