package wasmtest

import "slices"

// The instructions that the shapes are made of.
const (
	opUnreachable, opBlock, opLoop, opIf, opElse, opEnd = 0x00, 0x02, 0x03, 0x04, 0x05, 0x0b
	opBr, opBrIf, opBrTable, opReturn, opCall, opDrop   = 0x0c, 0x0d, 0x0e, 0x0f, 0x10, 0x1a
	opGet, opSet, opLoad, opStore, opConst, opAdd       = 0x20, 0x21, 0x28, 0x36, 0x41, 0x6a
)

func get(i int) []byte { return append([]byte{opGet}, U(i)...) }
func set(i int) []byte { return append([]byte{opSet}, U(i)...) }

// Diamonds is a body of n conditions on one parameter, one after another.
func Diamonds(n int) []byte {
	return Body(0, repeat([]byte{opGet, 0, opIf, Void, opGet, 0, opConst, 1, opAdd, opSet, 0, opEnd}, n)...)
}

// LocalDiamonds is a body of n conditions, each of which changes one local of many, so that each needs a phi; all are used
// at the end.
func LocalDiamonds(locals, n int) []byte {
	var b []byte
	for i := range n {
		x, y := i%locals, (i*7+1)%locals
		b = slices.Concat(b, get(x), []byte{opIf, Void}, get(y), []byte{opConst, 1, opAdd}, set(x), []byte{opElse}, get(x), []byte{opConst, 2, opAdd}, set(y), []byte{opEnd})
	}
	return Body(locals, append(b, useAll(locals)...)...)
}

// useAll stores every local.
func useAll(locals int) []byte {
	var b []byte
	for i := range locals {
		b = slices.Concat(b, []byte{opConst, 0}, get(i), []byte{opStore, 2, 0})
	}
	return b
}

// LiveLocals is a body whose locals are all loaded from memory, all alive over a loop, and all stored.
func LiveLocals(locals int) []byte {
	var b []byte
	for i := range locals {
		b = slices.Concat(b, []byte{opConst, 0, opLoad, 2}, U(4*i), set(i))
	}
	b = append(b, opLoop, Void, opGet, 0, opBrIf, 0, opEnd)
	return Body(locals, append(b, useAll(locals)...)...)
}

// Nested is a body of n blocks, each within the one before.
func Nested(n int) []byte {
	return Body(0, append(repeat([]byte{opBlock, Void}, n), repeat([]byte{opEnd}, n)...)...)
}

// NestedExits is Nested with a way out of each block, by turns to the innermost and the outermost.
func NestedExits(n int) []byte {
	var b []byte
	for i := range n {
		b = slices.Concat(b, []byte{opBlock, Void, opGet, 0, opBrIf}, U((i%2)*i))
	}
	return Body(0, append(b, repeat([]byte{opEnd}, n)...)...)
}

// NestedLoops is a body of n loops, each within the one before, each of which changes a local.
func NestedLoops(locals, n int) []byte {
	var b []byte
	for i := range n {
		b = slices.Concat(b, []byte{opLoop, Void}, get(i%locals), set((i*7+1)%locals))
	}
	return Body(locals, append(b, repeat([]byte{opEnd}, n)...)...)
}

// LoopsBack is NestedLoops with a way back to each loop, so that each is one.
func LoopsBack(locals, n int) []byte {
	var b []byte
	for i := range n {
		b = slices.Concat(b, []byte{opLoop, Void}, get(i%locals), []byte{opConst, 1, opAdd}, set((i*7+1)%locals))
	}
	b = append(b, repeat([]byte{opGet, 0, opBrIf, 0, opEnd}, n)...)
	return Body(locals, append(b, useAll(locals)...)...)
}

// TableOfOne is a body with one br_table of n targets and the default one, all of them the same block.
func TableOfOne(n int) []byte {
	return Body(0, slices.Concat([]byte{opBlock, Void, opGet, 0, opBrTable}, Repeated([]byte{0}, n), []byte{0, opEnd})...)
}

// TableSpread is a body with one br_table of n targets over so many nested blocks.
func TableSpread(n, blocks int) []byte {
	b := append(repeat([]byte{opBlock, Void}, blocks), opGet, 0, opBrTable)
	b = append(b, U(n)...)
	for i := range n {
		b = append(b, U(i%blocks)...)
	}
	b = append(b, 0)
	return Body(0, append(b, repeat([]byte{opEnd}, blocks)...)...)
}

// TableOfValues is a body with one br_table of n targets over so many nested blocks, each label of which has as many values
// as type 1 has results.
func TableOfValues(n, blocks, values int) []byte {
	b := slices.Concat(repeat([]byte{opBlock, 1}, blocks), repeat([]byte{opGet, 0}, values+1), []byte{opBrTable}, U(n))
	for i := range n {
		b = append(b, U(i%blocks)...)
	}
	b = append(append(b, 0), repeat([]byte{opEnd}, blocks)...)
	return Body(0, append(b, opReturn)...)
}

// Adds is a body of n additions in a row.
func Adds(n int) []byte {
	return Body(0, slices.Concat([]byte{opGet, 0}, repeat([]byte{opConst, 1, opAdd}, n), []byte{opDrop})...)
}

// Stores is a body of n stores in a row, which nothing can leave out.
func Stores(n int) []byte { return Body(0, repeat([]byte{opGet, 0, opGet, 0, opStore, 2, 8}, n)...) }

// LiveOperands is a body that loads n values and then adds them: all are alive at once.
func LiveOperands(n int) []byte {
	b := append(repeat([]byte{opGet, 0, opLoad, 2, 0}, n), repeat([]byte{opAdd}, n-1)...)
	return Body(0, append(b, opSet, 0, opConst, 0, opGet, 0, opStore, 2, 0)...)
}

// BlocksWithParams is a body of n blocks of type 1 in a row, which takes and gives so many values.
func BlocksWithParams(n, values int) []byte {
	b := slices.Concat(repeat([]byte{opGet, 0}, values), repeat([]byte{opBlock, 1, opEnd}, n), repeat([]byte{opDrop}, values))
	return Body(0, b...)
}

// LoopsWithParams is BlocksWithParams of loops with a way back, nested in one another.
func LoopsWithParams(n, values int) []byte {
	b := append(repeat([]byte{opGet, 0}, values), repeat([]byte{opLoop, 1, opGet, 0, opBrIf, 0}, n)...)
	b = append(b, repeat([]byte{opEnd}, n)...)
	return Body(0, append(b, repeat([]byte{opDrop}, values)...)...)
}

// CallsOfValues is a body of n calls of function 1, which gives what function 2 takes, and of that.
func CallsOfValues(n int) []byte { return Body(0, repeat([]byte{opCall, 1, opCall, 2}, n)...) }

// Calls is a body of n calls of itself.
func Calls(n int) []byte { return Body(0, repeat([]byte{opGet, 0, opCall, 0}, n)...) }

// DeadCode is a body of n instructions that are never reached and take operands out of nothing.
func DeadCode(n int) []byte {
	return Body(0, slices.Concat([]byte{opUnreachable}, repeat([]byte{opAdd}, n), []byte{opDrop})...)
}

// WideJoin is a body of a block with n ways out, before each of which another local changes: at its end every local is a phi
// of that many values.
func WideJoin(locals, n int) []byte {
	b := []byte{opBlock, Void}
	for i := range n {
		b = slices.Concat(b, get(0), []byte{opConst}, S(i), []byte{opAdd}, set(1+i%locals), []byte{opGet, 0, opBrIf, 0})
	}
	return Body(locals+1, append(append(b, opEnd), useAll(locals)...)...)
}

// WideTable is WideJoin with one br_table of n targets, half of which are the block's end and half its outer one.
func WideTable(locals, n int) []byte {
	b := []byte{opBlock, Void, opBlock, Void}
	for i := range locals {
		b = slices.Concat(b, get(0), []byte{opConst}, S(i), []byte{opAdd}, set(1+i))
	}
	b = append(append(b, opGet, 0, opBrTable), U(n)...)
	for i := range n {
		b = append(b, byte(i%2))
	}
	b = append(b, 0, opEnd)
	for i := range locals {
		b = slices.Concat(b, get(0), set(1+i))
	}
	return Body(locals+1, append(append(b, opEnd), useAll(locals)...)...)
}

// shift hands each local to the one before it.
func shift(locals int) []byte {
	var b []byte
	for i := 1; i < locals; i++ {
		b = slices.Concat(b, get(i+1), set(i))
	}
	return b
}

// Chain is a body of loops in a row, each of which calls, and hands each local to the one before it: the compiler finds out of
// one after the other that it never changes. Then it has so many joins at which every local may have one of two values.
func Chain(locals, loops, joins int) []byte {
	var b []byte
	for range loops {
		b = slices.Concat(b, []byte{opLoop, Void, opGet, 0, opCall, 0}, shift(locals), []byte{opGet, 0, opBrIf, 0, opEnd})
	}
	for n := joins; n > 0; n -= 30 {
		b = append(b, nestedJoins(locals, min(n, 30))...)
	}
	return Body(locals, append(b, useAll(locals)...)...)
}

// ChainWithin is Chain in the innermost of n loops, each within the one before, with a way back to each.
func ChainWithin(locals, n int) []byte {
	b := slices.Concat(repeat([]byte{opLoop, Void}, n), shift(locals), repeat([]byte{opGet, 0, opBrIf, 0, opEnd}, n))
	return Body(locals, append(b, useAll(locals)...)...)
}

// NestedJoins is a body of n blocks, each within the one before, with a way from the innermost to the end of each, before every
// local changes.
func NestedJoins(locals, n int) []byte {
	return Body(locals, append(nestedJoins(locals, n), useAll(locals)...)...)
}

func nestedJoins(locals, n int) []byte {
	b := repeat([]byte{opBlock, Void}, n)
	for i := range n {
		b = slices.Concat(b, []byte{opGet, 0, opBrIf}, U(i))
	}
	for i := 1; i < locals; i++ {
		b = slices.Concat(b, get(i), []byte{opConst, 1, opAdd}, set(i))
	}
	return append(b, repeat([]byte{opEnd}, n)...)
}

// ReadsBehindExits is a body that may leave at n places, and then reads its parameter so many times.
func ReadsBehindExits(n, reads int) []byte {
	return Body(0, append(repeat([]byte{opGet, 0, opBrIf, 0}, n), repeat([]byte{opGet, 0, opDrop}, reads)...)...)
}
