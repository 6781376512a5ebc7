package wasm

// Weights1 returns version 1 of the table: what the instructions of WebAssembly 2.0, tail calls and exceptions take in the
// compiler of wazero v1.12 on one x86-64 machine, in gas of about 0.01 ns. Every call returns a copy.
//
// The numbers are the result of a fit, so that anyone can find them again from the committed measurements:
//
//	minimise  Σ share(r) · ((A(r)·x − t(r)) / t(r))²   over the weights x >= least(x)
//	with      A(r)·x >= t(r)/2                          for every micro-benchmark r
//
// where A(r) counts the instructions of benchmark r and t(r) is its least CPU time. cmd/internal/gasfit measures, fits and
// reports; testdata/gas/v1 has the data, the method, the machine and how well the table foretells the time.
//
// # What the table promises
//
// No instruction alone makes a program that takes more than twice the time that its gas stands for on that machine.
// Instructions that only give structure (block, loop, else, end, nop) and those that only name a value (constants,
// local.get, local.tee) cost nothing or next to nothing: what uses the value pays. A branch always costs a cycle at least,
// so that no loop is free.
//
// # What it does not
//
// Memory that is in no cache, and stores over the border of two pages, are not paid for: loads and stores cost between a
// hit of the first cache that overlaps with others and one that all wait for. A program that does nothing but wait for
// main memory takes hundreds of times as long as its gas says; testdata/gas/v1/report.txt lists by how much. Limits of
// CPU time bound such programs, gas does not. Programs whose instructions overlap well pay up to four times their time: that
// is the other side of the promise.
//
// # Another version
//
// A table never changes once it was released, since gas must be the same for ever. A new engine or machine gets a new
// directory testdata/gas/v2, a new file weights_v2.go and an accessor Weights2 beside this one, with its own Version, which
// enters the key of artifacts. Old versions stay.
func Weights1() *Weights {
	w := weights1
	return &w
}
