package main

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
)

// program is a whole program of which the time is taken, and whose instructions a second, counting version counts.
type program struct {
	row
	timed
}

// wholes lists the programs: a file below testdata, an export and its arguments.
var wholes = []struct {
	role, file, export string
	args               []uint64
}{
	{roleWhole, "guests/kernels.wasm", "fib", []uint64{22}},
	{roleWhole, "guests/kernels.wasm", "sha256_", []uint64{400}},
	{roleWhole, "guests/kernels.wasm", "matmul", []uint64{64}},
	{roleWhole, "guests/kernels.wasm", "random_writes", []uint64{100000}},
	{roleWhole, "guests/kernels.wasm", "sequential", []uint64{1}},
	{roleWhole, "guests/kernels.wasm", "xorshift", []uint64{200000}},
	{roleWhole, "guests/kernels.wasm", "sieve", []uint64{60000}},
	{roleWhole, "guests/kernels.wasm", "interpreter", []uint64{200000}},
	{roleWhole, "guests/hash-puzzle.wasm", "run", []uint64{0, 2}},
	{roleWhole, "gas/v1/mixes.wasm", "nbody", []uint64{3000}},
	{roleWhole, "gas/v1/mixes.wasm", "mandelbrot", []uint64{40}},
	{roleWhole, "gas/v1/mixes.wasm", "quicksort", []uint64{10000}},
	{roleWhole, "gas/v1/mixes.wasm", "gcd", []uint64{2000}},
	{roleWhole, "gas/v1/mixes.wasm", "hashmap", []uint64{20000}},
	{roleWhole, "gas/v1/mixes.wasm", "bigmul", []uint64{100}},
	{roleWhole, "gas/v1/mixes.wasm", "dispatch", []uint64{30000}},
	{roleWhole, "gas/v1/mixes.wasm", "text", []uint64{2000}},
	{roleWhole, "gas/v1/mixes.wasm", "saxpy", []uint64{200}},
	{roleWhole, "gas/v1/mixes.wasm", "spectral", []uint64{100}},
}

func (e *engine) programs(only func(string) bool) ([]*program, error) {
	var all []*program
	for _, w := range wholes {
		p := &program{row: row{name: filepath.Base(w.file) + " " + w.export, role: w.role, ns: math.MaxFloat64}}
		if !only(p.name) {
			continue
		}
		code, err := os.ReadFile(filepath.Join("testdata", w.file))
		if err != nil {
			return nil, err
		}
		if err := e.countProgram(p, code, w.export, w.args); err != nil {
			return nil, fmt.Errorf("%s: %w", p.name, err)
		}
		compiled, err := e.compile(p.name, code)
		if err != nil {
			return nil, err
		}
		m, err := e.instantiate(compiled)
		if err != nil {
			return nil, err
		}
		p.timed = timed{f: m.ExportedFunction(w.export), args: w.args, work: make([]uint64, max(1, len(w.args)))}
		all = append(all, p)
	}
	return all, nil
}

// countProgram runs the counting version twice; what the second run does is what is timed.
func (e *engine) countProgram(p *program, code []byte, export string, args []uint64) error {
	counting, blocks, err := instrument(code)
	if err != nil {
		return err
	}
	compiled, err := e.compile(p.name, counting)
	if err != nil {
		return err
	}
	m, err := e.instantiate(compiled)
	if err != nil {
		return err
	}
	defer func() { _ = m.Close(e.ctx) }()
	read := func() counts {
		total := counts{}
		for _, b := range blocks {
			n := float64(m.ExportedGlobal(b.export).Get())
			for name, each := range b.count {
				total.add(name, each*n)
			}
		}
		return total
	}
	run := func() error {
		t := timed{f: m.ExportedFunction(export), args: args, work: make([]uint64, max(1, len(args)))}
		_, err := t.run(e.ctx)
		return err
	}
	if err := run(); err != nil {
		return err
	}
	before := read()
	if err := run(); err != nil {
		return err
	}
	p.count = read()
	for name, n := range before {
		p.count.add(name, -n)
	}
	for name, n := range p.count {
		if n == 0 {
			delete(p.count, name)
		}
	}
	return nil
}

func (e *engine) runProgram(p *program) error {
	d, err := p.run(e.ctx)
	p.ns = min(p.ns, float64(d))
	return err
}
