package wasm

// Policy is what code may be. The zero value means the defaults.
type Policy struct {
	Features Features // 0: Wasm2
	Caps     Caps
}

// Caps bound what the compiler is given: its time grows with the square of some of these. Zero fields mean the default. Each
// default admits every real module that was looked at (the largest value seen stands in brackets), and together they refuse
// every compile bomb of the tests.
type Caps struct {
	// Of one function.
	BodyBytes     int // 256 KiB (200 KiB)
	ControlOps    int // 10,000 instructions that begin or leave a block (8,919)
	Locals        int // 512, parameters included (169)
	BranchTargets int // 8,192 targets of all its br_table (5,490)
	Nesting       int // 4,096 blocks within each other (3,289)
	LocalsControl int // 1.5 million locals times control instructions (1.05 million)
	Params        int // 1,000, and as many results
	Carried       int // 65,536 values that its calls, blocks and branches take and give (7,625)

	// Of the module.
	Functions      int // 100,000 (17,825)
	Types          int // 16,384
	Imports        int // 16,384
	Exports        int // 16,384
	Globals        int // 16,384
	Tables         int // 16
	TableElements  int // 65,536 at the start, of all tables
	Segments       int // 131,072 data segments, and as many element segments (98,450)
	ControlSquares int // 1 Gi: the sum of the squares of ControlOps over all functions
}

// Shape is what Caps bound, as it is: the maxima over all functions, and the sums over the module.
type Shape struct {
	Features Features // that are used
	Caps
}

// capNames are the names of the caps in messages and in configuration, in the order of capFields.
var capNames = [...]string{
	"body-bytes", "control-ops", "locals", "branch-targets", "nesting", "locals-control", "params", "carried",
	"functions", "types", "imports", "exports", "globals", "tables", "table-elements", "segments", "control-squares",
}

func (c *Caps) fields() [len(capNames)]*int {
	return [...]*int{
		&c.BodyBytes, &c.ControlOps, &c.Locals, &c.BranchTargets, &c.Nesting, &c.LocalsControl, &c.Params, &c.Carried,
		&c.Functions, &c.Types, &c.Imports, &c.Exports, &c.Globals, &c.Tables, &c.TableElements, &c.Segments, &c.ControlSquares,
	}
}

// DefaultCaps returns the defaults.
func DefaultCaps() Caps {
	return Caps{
		BodyBytes: 256 << 10, ControlOps: 10_000, Locals: 512, BranchTargets: 8192, Nesting: 4096, LocalsControl: 1_500_000, Params: 1000,
		Carried:   65_536,
		Functions: 100_000, Types: 16_384, Imports: 16_384, Exports: 16_384, Globals: 16_384, Tables: 16, TableElements: 65_536,
		Segments: 131_072, ControlSquares: 1 << 30,
	}
}

// withDefaults returns the caps with the defaults in place of zeros and of what is below zero.
func (c Caps) withDefaults() Caps {
	d := DefaultCaps()
	defaults := d.fields()
	for i, f := range c.fields() {
		if *f <= 0 {
			*f = *defaults[i]
		}
	}
	return c
}

// features returns what code may use; 0 stands for Wasm2.
func (p Policy) features() Features {
	if p.Features == 0 {
		return Wasm2
	}
	return p.Features
}
