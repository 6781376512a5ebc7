package wasmgen

import (
	"fmt"
	"slices"
	"strings"
)

// Value types of the binary format. In the tables below they are written i, j, f, d, v, F, X, in this order.
const (
	i32       = 0x7f
	i64       = 0x7e
	f32       = 0x7d
	f64       = 0x7c
	v128      = 0x7b
	funcRef   = 0x70
	externRef = 0x6f
	exnRef    = 0x69
)

// The instructions that the generator writes by hand.
const (
	opUnreachable, opNop, opBlock, opLoop, opIf, opElse, opThrow, opThrowRef = 0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x08, 0x0a
	opEnd, opBr, opBrIf, opBrTable, opReturn, opCall, opCallIndirect         = 0x0b, 0x0c, 0x0d, 0x0e, 0x0f, 0x10, 0x11
	opReturnCall, opReturnCallIndirect, opDrop, opSelect, opSelectT          = 0x12, 0x13, 0x1a, 0x1b, 0x1c
	opTryTable, opLocalGet, opLocalSet, opLocalTee, opGlobalGet, opGlobalSet = 0x1f, 0x20, 0x21, 0x22, 0x23, 0x24
	opTableGet, opTableSet, opMemorySize, opMemoryGrow                       = 0x25, 0x26, 0x3f, 0x40
	opI32Const, opI64Const, opF32Const, opF64Const                           = 0x41, 0x42, 0x43, 0x44
	opI32Eqz, opI32LtU, opF32Eq, opF64Eq, opI32Add, opI32Sub, opI32And       = 0x45, 0x49, 0x5b, 0x61, 0x6a, 0x6b, 0x71
	opI32Or, opI64Or, opF32ConvertI32S, opF64ConvertI32S                     = 0x72, 0x84, 0xb2, 0xb7
	opI32Xor, opI64And, opI64Xor, opI32RemS, opI32RemU, opI64RemS, opI64RemU = 0x73, 0x83, 0x85, 0x6f, 0x70, 0x81, 0x82
	opI32DivS, opI64DivS                                                     = 0x6d, 0x7f
	opRefNull, opRefIsNull, opRefFunc                                        = 0xd0, 0xd1, 0xd2

	// Behind 0xfc.
	miscMemoryInit, miscDataDrop, miscMemoryCopy, miscMemoryFill = 8, 9, 10, 11
	miscTableInit, miscElemDrop, miscTableCopy, miscTableGrow    = 12, 13, 14, 15
	miscTableSize, miscTableFill                                 = 16, 17

	// Behind 0xfd.
	vecConst, vecShuffle, vecBitselect, vecF32x4Eq, vecF64x2Eq = 12, 13, 82, 65, 71
)

var plain = []byte{
	opUnreachable, opNop, opBlock, opLoop, opIf, opElse, opEnd, opBr, opBrIf, opBrTable, opReturn, opCall, opCallIndirect, opDrop,
	opSelect, opSelectT, opLocalGet, opLocalSet, opLocalTee, opGlobalGet, opGlobalSet, opTableGet, opTableSet, opMemorySize,
	opMemoryGrow, opI32Const, opI64Const, opF32Const, opF64Const, opRefNull, opRefIsNull, opRefFunc,
}

// op is an instruction: prefix<<8 | code, with prefix 0 for those of one byte.
type op struct {
	code            int
	params, results []byte
	align           int // of a memory access: log2 of its natural alignment; -1: none
	lanes           int // of an instruction with a lane as immediate; 0: none
	nan             byte
}

func (o op) prefix() byte { return byte(o.code >> 8) }

func (o op) remainder() bool {
	return o.code == opI32RemS || o.code == opI32RemU || o.code == opI64RemS || o.code == opI64RemU
}

// folds reports whether two values of a type become one of it, whatever they are.
func (o op) folds(t byte) bool {
	division := o.code >= opI32DivS && o.code <= opI32RemU || o.code >= opI64DivS && o.code <= opI64RemU
	return len(o.params) == 2 && o.params[0] == t && o.params[1] == t && o.align < 0 && o.lanes == 0 && !division
}

// scalars: first code, last code, params and result, after which a type tells that NaNs come out of arithmetic.
const scalars = `
45 45 i:i  46 4f ii:i  50 50 j:i  51 5a jj:i  5b 60 ff:i  61 66 dd:i
67 69 i:i  6a 78 ii:i  79 7b j:j  7c 8a jj:j
8b 8c f:f  8d 91 f:f:f  92 97 ff:f:f  98 98 ff:f  99 9a d:d  9b 9f d:d:d  a0 a5 dd:d:d  a6 a6 dd:d
a7 a7 j:i  a8 a9 f:i  aa ab d:i  ac ad i:j  ae af f:j  b0 b1 d:j
b2 b3 i:f  b4 b5 j:f  b6 b6 d:f:f  b7 b8 i:d  b9 ba j:d  bb bb f:d:d
bc bc f:i  bd bd d:j  be be i:f  bf bf j:d  c0 c1 i:i  c2 c4 j:j
fc00 fc01 f:i  fc02 fc03 d:i  fc04 fc05 f:j  fc06 fc07 d:j`

// accesses: the same, with the alignment behind.
const accesses = `
28 28 i:i:2  29 29 i:j:3  2a 2a i:f:2  2b 2b i:d:3  2c 2d i:i:0  2e 2f i:i:1  30 31 i:j:0  32 33 i:j:1  34 35 i:j:2
36 36 ii::2  37 37 ij::3  38 38 if::2  39 39 id::3  3a 3a ii::0  3b 3b ii::1  3c 3c ij::0  3d 3d ij::1  3e 3e ij::2`

const vectorAccesses = `
fd00 fd00 i:v:4  fd01 fd06 i:v:3  fd07 fd07 i:v:0  fd08 fd08 i:v:1  fd09 fd09 i:v:2  fd0a fd0a i:v:3  fd0b fd0b iv::4
fd5c fd5c i:v:2  fd5d fd5d i:v:3`

// laneAccesses have both: alignment, and lanes.
const laneAccesses = `
fd54 fd54 iv:v:0:16  fd55 fd55 iv:v:1:8  fd56 fd56 iv:v:2:4  fd57 fd57 iv:v:3:2
fd58 fd58 iv::0:16  fd59 fd59 iv::1:8  fd5a fd5a iv::2:4  fd5b fd5b iv::3:2`

const lanes = `
fd15 fd16 v:i:16  fd17 fd17 vi:v:16  fd18 fd19 v:i:8  fd1a fd1a vi:v:8  fd1b fd1b v:i:4  fd1c fd1c vi:v:4
fd1d fd1d v:j:2  fd1e fd1e vj:v:2  fd1f fd1f v:f:4  fd20 fd20 vf:v:4  fd21 fd21 v:d:2  fd22 fd22 vd:v:2`

// vectors: NaNs of f32x4 are marked f, those of f64x2 d.
const vectors = `
fd0e fd0e vv:v  fd0f fd11 i:v  fd12 fd12 j:v  fd13 fd13 f:v  fd14 fd14 d:v  fd23 fd4c vv:v
fd4d fd4d v:v  fd4e fd51 vv:v  fd52 fd52 vvv:v  fd53 fd53 v:i  fd5e fd5e v:v:f  fd5f fd5f v:v:d
fd60 fd62 v:v  fd63 fd64 v:i  fd65 fd66 vv:v  fd67 fd6a v:v:f  fd6b fd6d vi:v  fd6e fd73 vv:v  fd74 fd75 v:v:d
fd76 fd79 vv:v  fd7a fd7a v:v:d  fd7b fd7b vv:v  fd7c fd81 v:v
fd82 fd82 vv:v  fd83 fd84 v:i  fd85 fd86 vv:v  fd87 fd8a v:v  fd8b fd8d vi:v  fd8e fd93 vv:v  fd94 fd94 v:v:d
fd95 fd99 vv:v  fd9b fd9f vv:v
fda0 fda1 v:v  fda3 fda4 v:i  fda7 fdaa v:v  fdab fdad vi:v  fdae fdae vv:v  fdb1 fdb1 vv:v  fdb5 fdba vv:v  fdbc fdbf vv:v
fdc0 fdc1 v:v  fdc3 fdc4 v:i  fdc7 fdca v:v  fdcb fdcd vi:v  fdce fdce vv:v  fdd1 fdd1 vv:v  fdd5 fddf vv:v
fde0 fde1 v:v  fde3 fde3 v:v:f  fde4 fde9 vv:v:f  fdea fdeb vv:v  fdec fded v:v  fdef fdef v:v:d  fdf0 fdf5 vv:v:d
fdf6 fdf7 vv:v  fdf8 fdff v:v`

func valueTypes(letters string) []byte {
	ts := make([]byte, len(letters))
	for i, c := range []byte(letters) {
		ts[i] = "\x7f\x7e\x7d\x7c\x7b\x70\x6f"[strings.IndexByte("ijfdvFX", c)]
	}
	return ts
}

// parse reads one of the tables. What follows the results is told apart by read.
func parse(table string, read func(o *op, more []string)) (ops []op) {
	words := strings.Fields(table)
	for w := range slices.Chunk(words, 3) {
		var first, last int
		_, _ = fmt.Sscanf(w[0]+" "+w[1], "%x %x", &first, &last)
		parts := strings.Split(w[2], ":")
		for c := first; c <= last; c++ {
			o := op{code: c, params: valueTypes(parts[0]), results: valueTypes(parts[1]), align: -1}
			if len(parts) > 2 {
				read(&o, parts[2:])
			}
			ops = append(ops, o)
		}
	}
	return ops
}

func number(s string) (n int) {
	_, _ = fmt.Sscan(s, &n)
	return n
}

// ops are all instructions that take operands of fixed types, in the order of the tables.
var ops = func() []op {
	nan := func(o *op, more []string) { o.nan = valueTypes(more[0])[0] }
	align := func(o *op, more []string) { o.align = number(more[0]) }
	lane := func(o *op, more []string) { o.lanes = number(more[0]) }
	both := func(o *op, more []string) { o.align, o.lanes = number(more[0]), number(more[1]) }
	return slices.Concat(parse(scalars, nan), parse(accesses, align), parse(vectorAccesses, align), parse(laneAccesses, both),
		parse(lanes, lane), parse(vectors, nan))
}()

// usable returns the instructions with a result of this type; 0 stands for those without one.
func (g *gen) usable(result byte) []op {
	if list, ok := g.byResult[result]; ok {
		return list
	}
	var list []op
	for _, o := range ops {
		r := byte(0)
		if len(o.results) > 0 {
			r = o.results[0]
		}
		if r == result && (g.cfg.SIMD || o.prefix() != 0xfd) && (g.memory || o.align < 0) && !(g.cfg.NoRemainders && o.remainder()) {
			list = append(list, o)
		}
	}
	g.byResult[result] = list
	return list
}
