package wasm

import (
	"fmt"
	"strconv"
	"strings"
	"sync"
)

// Value types, with the codes of the binary format.
const (
	typeI32    = 0x7f
	typeI64    = 0x7e
	typeF32    = 0x7d
	typeF64    = 0x7c
	typeV128   = 0x7b
	typeFunc   = 0x70
	typeExtern = 0x6f
	typeExn    = 0x69
	typeAny    = 0 // of an operand that no code can have pushed: behind a br, return or the like
)

// Opcodes that the walk treats by themselves.
const (
	opUnreachable        = 0x00
	opBlock              = 0x02
	opLoop               = 0x03
	opIf                 = 0x04
	opElse               = 0x05
	opThrow              = 0x08
	opThrowRef           = 0x0a
	opEnd                = 0x0b
	opBr                 = 0x0c
	opBrIf               = 0x0d
	opBrTable            = 0x0e
	opReturn             = 0x0f
	opCall               = 0x10
	opCallIndirect       = 0x11
	opReturnCall         = 0x12
	opReturnCallIndirect = 0x13
	opDrop               = 0x1a
	opSelect             = 0x1b
	opSelectTyped        = 0x1c
	opTryTable           = 0x1f
	opLocalGet           = 0x20
	opLocalSet           = 0x21
	opLocalTee           = 0x22
	opGlobalGet          = 0x23
	opGlobalSet          = 0x24
	opTableGet           = 0x25
	opTableSet           = 0x26
	opMemorySize         = 0x3f
	opMemoryGrow         = 0x40
	opI32Const           = 0x41
	opI64Const           = 0x42
	opF32Const           = 0x43
	opF64Const           = 0x44
	opRefNull            = 0xd0
	opRefIsNull          = 0xd1
	opRefFunc            = 0xd2
	prefixGC             = 0xfb
	prefixMisc           = 0xfc
	prefixVector         = 0xfd
	prefixAtomic         = 0xfe
)

// Types of the results of floating point instructions, as the argument of evFloat: the value type is in the low byte, the
// type of the lanes of a vector above it.
const (
	floatF32   = typeF32
	floatF64   = typeF64
	floatF32x4 = typeV128 | typeF32<<8
	floatF64x2 = typeV128 | typeF64<<8
)

// opKind says what stands behind an opcode, and who looks after it.
type opKind uint8

const (
	opUnknown    opKind = iota // no such instruction
	opForeign                  // of a proposal that no host offers; its name is in foreignOps
	opPlain                    // no immediate: operands and result say it all
	opMemArg                   // alignment and offset; lane is the natural alignment
	opLane                     // a lane; lane is the number of lanes
	opMemArgLane               // both; lane is the natural alignment, and there are 16>>lane lanes
	opConst32                  // a signed number of 32 bits
	opConst64                  // a signed number of 64 bits
	opBytes4                   // four bytes
	opBytes8                   // eight bytes
	opBytes16                  // sixteen bytes
	opShuffle                  // sixteen lanes of 32
	opLocal                    // the index of a local
	opSpecial                  // has code of its own
)

// opInfo describes an instruction. Operands stand from the top of the stack down.
type opInfo struct {
	name    string
	feature Features // that it belongs to; 0: WebAssembly 1.0
	float   uint16   // the type of a result that may be a NaN made by it, else 0
	kind    opKind
	pops    uint8
	in      [3]byte
	out     byte // 0: no result
	lane    uint8
	control bool // begins or leaves a block
}

// opTable is a table of 256 instructions.
type opTable [256]opInfo

// ops are the instructions without a prefix, behind 0xfc, and behind 0xfd. They are made at the first use: a process that loads what
// is compiled has none, and takes a tenth of its own memory less for it.
var ops struct {
	once                sync.Once
	plain, misc, vector opTable
}

func plainOps() *opTable {
	ops.once.Do(parseTables)
	return &ops.plain
}

func miscOps() *opTable {
	ops.once.Do(parseTables)
	return &ops.misc
}

func vectorOps() *opTable {
	ops.once.Do(parseTables)
	return &ops.vector
}

func parseTables() {
	ops.plain.parse(plainTable)
	ops.misc.parse(miscTable)
	ops.vector.parse(vectorTable)
}

// parse reads a table of lines "opcode kind signature names...": the names get opcodes from the first one upwards, "-"
// leaves one out. The kind may be followed by /lane, +feature and *float.
func (t *opTable) parse(table string) {
	for line := range strings.Lines(table) {
		words := strings.Fields(line)
		if len(words) < 4 {
			continue
		}
		first, err := strconv.ParseUint(words[0], 16, 8)
		if err != nil {
			panic(err) // the tables are constants
		}
		info := parseOp(words[1], words[2])
		for i, name := range words[3:] {
			if name != "-" {
				info.name = name
				t[int(first)+i] = info
			}
		}
	}
}

func parseOp(kind, signature string) opInfo {
	var info opInfo
	kind, float, _ := strings.Cut(kind, "*")
	info.float = map[string]uint16{"": 0, "f": floatF32, "F": floatF64, "x4": floatF32x4, "x2": floatF64x2}[float]
	kind, feature, _ := strings.Cut(kind, "+")
	info.feature = map[string]Features{"": 0, "sign": SignExtension, "sat": SaturatingConversion, "bulk": BulkMemory,
		"ref": ReferenceTypes, "simd": SIMD, "tail": TailCalls, "exn": Exceptions}[feature]
	kind, lane, _ := strings.Cut(kind, "/")
	if lane != "" {
		n, err := strconv.Atoi(lane)
		if err != nil {
			panic(err) // the tables are constants
		}
		info.lane = uint8(n)
	}
	info.kind = map[string]opKind{"plain": opPlain, "mem": opMemArg, "lane": opLane, "memlane": opMemArgLane, "s32": opConst32,
		"s64": opConst64, "b4": opBytes4, "b8": opBytes8, "b16": opBytes16, "shuffle": opShuffle, "local": opLocal,
		"special": opSpecial, "control": opSpecial, "foreign": opForeign}[kind]
	info.control = kind == "control"
	letters := map[byte]byte{'i': typeI32, 'I': typeI64, 'f': typeF32, 'F': typeF64, 'v': typeV128}
	in, out, _ := strings.Cut(signature, ":")
	for i := range len(in) {
		info.in[len(in)-1-i] = letters[in[i]]
	}
	info.pops = uint8(len(in))
	if out != "" {
		info.out = letters[out[0]]
	}
	return info
}

// foreignOps are instructions of proposals that are refused by name.
var foreignOps = map[byte]string{
	0x06: "legacy-exceptions", 0x07: "legacy-exceptions", 0x09: "legacy-exceptions", 0x18: "legacy-exceptions", 0x19: "legacy-exceptions",
	0x14: "typed-function-references", 0x15: "typed-function-references", 0xd4: "typed-function-references",
	0xd5: "typed-function-references", 0xd6: "typed-function-references",
	0xd3: "gc", prefixGC: "gc", prefixAtomic: "threads",
}

// OpName returns the name of an instruction as the text format has it: prefix is 0, or 0xfc or 0xfd, behind which op stands.
// An unknown instruction gets its number.
func OpName(prefix byte, op uint32) string {
	var t *opTable
	switch prefix {
	case 0:
		t = plainOps()
	case prefixMisc:
		t = miscOps()
	case prefixVector:
		t = vectorOps()
	}
	if t != nil && op < uint32(len(t)) && t[op].name != "" {
		return t[op].name
	}
	if prefix == 0 {
		return fmt.Sprintf("instruction %#02x", op)
	}
	return fmt.Sprintf("instruction %#02x %#02x", prefix, op)
}

// Opcodes that the rewrite writes.
const (
	typeEmpty       = 0x40 // of a block
	opI32GtU        = 0x4b
	opI64LtS        = 0x53
	opF32Eq         = 0x5b
	opF64Eq         = 0x61
	opI64Add        = 0x7c
	opI64Sub        = 0x7d
	opI64Mul        = 0x7e
	opI64Or         = 0x84
	opI64ExtendI32U = 0xad

	mostPages = 65536 // of a memory
)
