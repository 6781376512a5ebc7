package wasm

// Policy is what code may be. The zero value means the defaults.
type Policy struct {
	Features Features // 0: Wasm2
	Caps     Caps
}

// Caps bound what the compiler is given: its time grows faster than the code. Zero fields mean the default. Each default admits
// every real module that was looked at (the largest value seen stands in brackets), and together they refuse the compile bombs
// of the tests.
type Caps struct {
	// Of one function.
	BodyBytes     int // 256 KiB (199,780 of esbuild)
	ControlOps    int // 10,000 instructions that begin or leave a block (8,919 of StarlingMonkey)
	Locals        int // 1,024, parameters included (813 of a debug build by zig cc, 486 of weval)
	BranchTargets int // 8,192 targets of all its br_table (5,490 of esbuild)
	Nesting       int // 4,096 blocks within each other (3,289 of esbuild)
	PhiWork       int // 9 Gi units (8.4 Gi of StarlingMonkey, 1.7 Gi of weval); see phiWork
	Lookups       int // 32 Mi (10.1 Mi of StarlingMonkey); see lookups
	Params        int // 1,000, and as many results
	Carried       int // 65,536 values that its calls, blocks and branches take and give (7,625 of a Haskell guest)

	// Of the module.
	Functions          int // 100,000 (19,852 of weval)
	Types              int // 16,384
	TypeValues         int // 100,000 parameters and results of all types
	Imports            int // 16,384
	Exports            int // 16,384
	Globals            int // 16,384
	Tables             int // 16
	TableElements      int // 65,536 at the start, of all tables
	Segments           int // 131,072 data segments, and as many element segments (98,450 of esbuild)
	SegmentElements    int // 1 Mi elements of all segments (7,689 of esbuild)
	ControlSquares     int // 80 Mi: the sum of the squares of ControlOps, less 40 for each byte of code (0)
	TotalPhiWork       int // 9 Gi: the sum of PhiWork, less 2,048 for each byte of code (4.2 Gi of weval)
	TotalLookups       int // 64 Mi: the sum of Lookups (21.5 Mi of StarlingMonkey)
	TotalBranchTargets int // 320 Ki: the sum of BranchTargets (277,905 of esbuild)
	TotalCarried       int // 1 Mi: the sum of Carried (374,787 of StarlingMonkey with its checks)
	GlobalFunctions    int // 16 Mi: globals times functions; each function looks at all globals (14,360 of a Go program)
}

// What each byte of the code section pays for, in units of the sums. Honest code takes about 0.6 us of compiling for each of
// its bytes, so what is not more than about that for its size is no bomb.
const (
	squaresPerByte = 40   // of about 16 ns
	phiWorkPerByte = 2048 // of up to 1 ns, and of much less where no loop hands on all locals
)

// Shape is what Caps bound, as it is: the maxima over all functions, and the sums over the module.
type Shape struct {
	Features Features // that are used
	Caps
}

// capNames are the names of the caps in messages and in configuration, in the order of capFields.
var capNames = [...]string{
	"body-bytes", "control-ops", "locals", "branch-targets", "nesting", "phi-work", "lookups", "params", "carried",
	"functions", "types", "type-values", "imports", "exports", "globals", "tables", "table-elements", "segments", "segment-elements",
	"control-squares", "total-phi-work", "total-lookups", "total-branch-targets", "total-carried", "global-functions",
}

func (c *Caps) fields() [len(capNames)]*int {
	return [...]*int{
		&c.BodyBytes, &c.ControlOps, &c.Locals, &c.BranchTargets, &c.Nesting, &c.PhiWork, &c.Lookups, &c.Params, &c.Carried,
		&c.Functions, &c.Types, &c.TypeValues, &c.Imports, &c.Exports, &c.Globals, &c.Tables, &c.TableElements, &c.Segments, &c.SegmentElements,
		&c.ControlSquares, &c.TotalPhiWork, &c.TotalLookups, &c.TotalBranchTargets, &c.TotalCarried, &c.GlobalFunctions,
	}
}

// DefaultCaps returns the defaults.
func DefaultCaps() Caps {
	return Caps{
		BodyBytes: 256 << 10, ControlOps: 10_000, Locals: 1024, BranchTargets: 8192, Nesting: 4096, PhiWork: 9 << 30, Lookups: 32 << 20,
		Params: 1000, Carried: 65_536,
		Functions: 100_000, Types: 16_384, TypeValues: 100_000, Imports: 16_384, Exports: 16_384, Globals: 16_384, Tables: 16,
		TableElements: 65_536, Segments: 131_072, SegmentElements: 1 << 20,
		ControlSquares: 80 << 20, TotalPhiWork: 9 << 30, TotalLookups: 64 << 20, TotalBranchTargets: 320 << 10, TotalCarried: 1 << 20, GlobalFunctions: 16 << 20,
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
