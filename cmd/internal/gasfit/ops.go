package main

import (
	_ "embed"
	"fmt"
	"strconv"
	"strings"
)

// opsText has a line per instruction: the opcode in hex (behind a prefix: two bytes), the name, the types of operands and
// results, and the immediate.
//
// Types: i i32, l i64, f f32, d f64, v v128, r a reference. "-" stands for types that depend on the place.
//
// Immediates: - none, u and uu unsigned numbers, s a signed one, 1 4 8 16 that many bytes, m alignment and offset, ml those
// and a lane, block a block type, types a vector of types, table the labels of br_table, try block type and clauses.
//
//go:embed ops.txt
var opsText string

type instruction struct {
	name            string
	prefix          byte // 0: none
	code            byte
	params, results string
	generic         bool // operands and results are known
	imm             string
}

var instructions, byName, byCode = readOps(opsText)

func readOps(text string) ([]instruction, map[string]instruction, map[[2]byte]instruction) {
	var all []instruction
	names, codes := map[string]instruction{}, map[[2]byte]instruction{}
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		f := strings.Fields(line)
		n, err := strconv.ParseUint(f[0], 16, 16)
		if err != nil || len(f) != 4 {
			panic(fmt.Sprintf("line %q", line))
		}
		i := instruction{name: f[1], prefix: byte(n >> 8), code: byte(n), imm: f[3]}
		i.params, i.results, i.generic = strings.Cut(f[2], ":")
		all = append(all, i)
		names[i.name], codes[[2]byte{i.prefix, i.code}] = i, i
	}
	return all, names, codes
}

// structure lists what costs nothing by rule: it only says where blocks begin and end.
var structure = []string{"block", "loop", "end", "else", "nop"}

// branches lists what makes a loop.
var branches = []string{"br", "br_if", "br_table"}

// cheap lists what costs nothing unless a benchmark of its own says so: it names a value, and the instruction that uses the
// value pays.
var cheap = []string{"local.get", "local.tee", "i32.const", "i64.const", "f32.const", "f64.const", "v128.const", "ref.null"}

// Names of what is priced and is no instruction.
const (
	opFunction    = "+function"     // entering and leaving a defined function
	opLocal       = "+local"        // a local that is set to zero at entry
	opValue       = "+value"        // a value past the eighth that a call passes, that it returns, or that a branch carries
	opHostCall    = "+host-call"    // a call to an imported function, on top of the instruction
	opGrowPage    = "+grow-page"    // a page of memory.grow
	opBulkByte    = "+bulk-byte"    // a byte of memory.fill, memory.copy, memory.init
	opTableGrow   = "+table-grow"   // an element of table.grow
	opBulkElement = "+bulk-element" // an element of table.fill, table.copy, table.init
)

// inRegisters is how many values a call or a branch hands on without a price of their own.
const inRegisters = 8

// priced is how many of some values have a price.
func priced(values int) float64 { return float64(max(0, values-inRegisters)) }

var extras = []string{opFunction, opLocal, opValue, opHostCall, opGrowPage, opBulkByte, opTableGrow, opBulkElement}
