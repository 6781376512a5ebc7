package wasmtest

import (
	"encoding/binary"
	"slices"
)

// Section ids.
const (
	Custom byte = iota
	Type
	Import
	Func
	Table
	Memory
	Global
	Export
	Start
	Elem
	Code
	Data
	DataCount
)

// Value types and the empty block type.
const (
	I32     = 0x7f
	I64     = 0x7e
	Funcref = 0x70
	Void    = 0x40
)

// Header is the magic and the version.
const Header = "\x00asm\x01\x00\x00\x00"

// U is n as unsigned LEB128.
func U(n int) []byte { return binary.AppendUvarint(nil, uint64(n)) }

// S is n as signed LEB128.
func S(n int) []byte {
	var b []byte
	for {
		low := byte(n & 0x7f)
		n >>= 7
		if n == 0 && low&0x40 == 0 || n == -1 && low&0x40 != 0 {
			return append(b, low)
		}
		b = append(b, low|0x80)
	}
}

// Padded is n in five bytes, the longest form that a 32-bit number may have.
func Padded(n int) []byte {
	return []byte{byte(n) | 0x80, byte(n>>7) | 0x80, byte(n>>14) | 0x80, byte(n>>21) | 0x80, byte(n >> 28)}
}

// Name is s with its length before it.
func Name(s string) []byte { return append(U(len(s)), s...) }

// Vector is items with their number before them.
func Vector(items ...[]byte) []byte { return append(U(len(items)), slices.Concat(items...)...) }

// Repeated is a vector of n times the same item.
func Repeated(item []byte, n int) []byte { return append(U(n), repeat(item, n)...) }

func repeat(item []byte, n int) []byte { return slices.Concat(slices.Repeat([][]byte{item}, n)...) }

// Section is a payload with id and size before it.
func Section(id byte, payload []byte) []byte {
	return append(append([]byte{id}, U(len(payload))...), payload...)
}

// Module puts sections behind the header.
func Module(sections ...[]byte) []byte { return append([]byte(Header), slices.Concat(sections...)...) }

// FuncType is a type of so many i32 that go in and come out.
func FuncType(params, results int) []byte {
	return slices.Concat([]byte{0x60}, Repeated([]byte{I32}, params), Repeated([]byte{I32}, results))
}

// Body is one entry of the code section: n locals of type i32, then code, then end.
func Body(locals int, code ...byte) []byte {
	var b []byte
	if locals == 0 {
		b = []byte{0}
	} else {
		b = slices.Concat([]byte{1}, U(locals), []byte{I32})
	}
	b = append(append(b, code...), 0x0b)
	return append(U(len(b)), b...)
}

// Functions is a module with one page of memory and these bodies, each of type (i32) -> (). More types may follow type 0;
// the first function is exported as "f".
func Functions(types [][]byte, bodies ...[]byte) []byte {
	return Module(
		Section(Type, Vector(append([][]byte{FuncType(1, 0)}, types...)...)),
		Section(Func, Repeated([]byte{0}, len(bodies))),
		Section(Memory, []byte{1, 0, 1}),
		Section(Export, Vector(slices.Concat(Name("f"), []byte{0, 0}))),
		Section(Code, Vector(bodies...)),
	)
}
