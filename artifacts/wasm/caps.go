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
	ControlOps    int // 10,000 instructions that begin, end or leave a block, or call (8,888)
	Locals        int // 512, parameters included (169)
	BranchTargets int // 8,192 targets of all its br_table (5,490)
	Nesting       int // 4,096 blocks within each other (3,289)
	LocalsControl int // 1.5 million locals times control instructions (1.05 million)
	Params        int // 1,000, and as many results

	// Of the module.
	Functions      int // 100,000 (17,825)
	Types          int // 16,384
	Imports        int // 16,384
	Exports        int // 16,384
	Globals        int // 16,384
	Tables         int // 16
	TableElements  int // 65,536 at the start, of all tables
	Segments       int // 65,536 data segments, and as many element segments
	ControlSquares int // 1 Gi: the sum of the squares of ControlOps over all functions
}

// Shape is what Caps bound, as it is: the maxima over all functions, and the sums over the module.
type Shape struct {
	Features Features // that are used
	Caps
}
