package main

import (
	"encoding/binary"
	"math"
)

// counts says how often each thing that has a price happens.
type counts map[string]float64

func (c counts) add(name string, n float64) { c[name] += n }

// code is a sequence of instructions under construction, together with what it counts.
type code struct {
	b     []byte
	count counts
}

func newCode() *code { return &code{count: counts{}} }

// op appends an instruction; numbers are its immediates, in order, encoded as the table of instructions says.
func (c *code) op(name string, numbers ...int64) *code {
	i, ok := byName[name]
	if !ok {
		panic("no instruction " + name)
	}
	c.count.add(name, 1)
	if i.prefix != 0 {
		c.b = binary.AppendUvarint(append(c.b, i.prefix), uint64(i.code))
	} else {
		c.b = append(c.b, i.code)
	}
	arg := func(k int) int64 {
		if k < len(numbers) {
			return numbers[k]
		}
		return 0
	}
	switch i.imm {
	case "u":
		c.u(arg(0))
	case "uu":
		c.u(arg(0)).u(arg(1))
	case "s":
		c.b = appendSigned(c.b, arg(0))
	case "m": // alignment 0 is always valid
		c.u(0).u(arg(0))
	case "ml":
		c.u(0).u(arg(0))
		c.b = append(c.b, byte(arg(1)))
	case "1":
		c.b = append(c.b, byte(arg(0)))
	case "4":
		c.b = binary.LittleEndian.AppendUint32(c.b, math.Float32bits(float32(arg(0))))
	case "8":
		c.b = binary.LittleEndian.AppendUint64(c.b, math.Float64bits(float64(arg(0))))
	case "16":
		for k := range 16 {
			c.b = append(c.b, byte(arg(k)))
		}
	case "block":
		c.b = appendSigned(c.b, arg(0)) // a type index, or a negative code
	case "types":
		c.b = append(c.b, 1, byte(arg(0)))
	case "table": // numbers are the labels, the default last
		c.u(int64(len(numbers) - 1))
		for _, n := range numbers {
			c.u(n)
		}
	}
	return c
}

func (c *code) u(n int64) *code {
	c.b = binary.AppendUvarint(c.b, uint64(n))
	return c
}

// raw appends bytes that op cannot make.
func (c *code) raw(b ...byte) *code {
	c.b = append(c.b, b...)
	return c
}

// extra counts something that is priced and is no instruction.
func (c *code) extra(name string, n float64) *code {
	c.count.add(name, n)
	return c
}

func (c *code) get(l int) *code { return c.op("local.get", int64(l)) }
func (c *code) set(l int) *code { return c.op("local.set", int64(l)) }

// append adds another sequence with its counts.
func (c *code) append(o *code) *code {
	c.b = append(c.b, o.b...)
	for name, n := range o.count {
		c.count.add(name, n)
	}
	return c
}

func appendSigned(b []byte, n int64) []byte {
	for {
		low := byte(n & 0x7f)
		n >>= 7
		if n == 0 && low&0x40 == 0 || n == -1 && low&0x40 != 0 {
			return append(b, low)
		}
		b = append(b, low|0x80)
	}
}

const noResult = -64 // the block type without results

// typeCodes are the value types of the binary format by the letters of the table of instructions.
var typeCodes = map[byte]byte{'i': 0x7f, 'l': 0x7e, 'f': 0x7d, 'd': 0x7c, 'v': 0x7b, 'r': 0x70}

type function struct {
	params, results string
	locals          string
	body            *code
}

// module is what a micro-benchmark is made of. The host's empty function is function 0, the first of funcs is 1.
type module struct {
	funcs []function
	pages uint64
}

// Globals of every module, two of each type: what locals start with, so that the compiler cannot know it.
const globalTypes = "iillffddvvr"

// Of every module: the table has so many elements, all of them function 2 if there is one, or functions 2 to 9.
const tableSize = 64

func (m module) encode() []byte {
	section := func(out []byte, id byte, n int, b []byte) []byte {
		payload := append(binary.AppendUvarint(nil, uint64(n)), b...)
		return append(binary.AppendUvarint(append(out, id), uint64(len(payload))), payload...)
	}
	letters := func(b []byte, s string) []byte {
		b = binary.AppendUvarint(b, uint64(len(s)))
		for k := range len(s) {
			b = append(b, typeCodes[s[k]])
		}
		return b
	}
	types := []byte{0x60, 0, 0}
	var funcs, bodies []byte
	for k, f := range m.funcs {
		types = letters(letters(append(types, 0x60), f.params), f.results)
		funcs = binary.AppendUvarint(funcs, uint64(k+1))
		b := binary.AppendUvarint(nil, uint64(len(f.locals)))
		for k := range len(f.locals) {
			b = append(b, 1, typeCodes[f.locals[k]])
		}
		b = append(append(b, f.body.b...), 0x0b)
		bodies = append(binary.AppendUvarint(bodies, uint64(len(b))), b...)
	}
	out := []byte{0, 'a', 's', 'm', 1, 0, 0, 0}
	out = section(out, 1, len(m.funcs)+1, types)
	out = section(out, 2, 1, []byte{1, 'h', 1, 'f', 0, 0})
	out = section(out, 3, len(m.funcs), funcs)
	out = section(out, 4, 2, []byte{0x70, 0, tableSize, 0x70, 0, tableSize})
	out = section(out, 5, 1, binary.AppendUvarint([]byte{0}, m.pages))
	out = section(out, 13, 1, []byte{0, 0})
	var globals []byte
	seen := map[byte]int{}
	for k := range len(globalTypes) {
		t := globalTypes[k]
		init := newCode()
		first := seen[t] == 0
		seen[t]++
		pick := func(a, b int64) int64 {
			if first {
				return a
			}
			return b
		}
		switch t {
		case 'i':
			init.op("i32.const", pick(0x12340, 3))
		case 'l':
			init.op("i64.const", pick(0x1234_5678_9abc_def0, 3))
		case 'f':
			init.raw(0x43)
			init.b = binary.LittleEndian.AppendUint32(init.b, math.Float32bits([]float32{1.0000001, 1.7}[pick(1, 0)]))
		case 'd':
			init.raw(0x44)
			init.b = binary.LittleEndian.AppendUint64(init.b, math.Float64bits([]float64{1.0000001, 1.7}[pick(1, 0)]))
		case 'v': // 1.7 and 1.0000001 in all lanes, of f32
			v := math.Float32bits([]float32{1.0000001, 1.7}[pick(1, 0)])
			init.raw(0xfd, 12)
			for range 4 {
				init.b = binary.LittleEndian.AppendUint32(init.b, v)
			}
		case 'r':
			init.raw(0xd0, 0x70)
		}
		globals = append(append(globals, typeCodes[t], 1), append(init.b, 0x0b)...)
	}
	out = section(out, 6, len(globalTypes), globals)
	out = section(out, 7, 2, []byte{1, 'r', 0, 1, 1, 'm', 2, 0})
	element := []byte{0, 0x41, 0, 0x0b, tableSize}
	passive := []byte{1, 0, tableSize}
	for k := range tableSize {
		at := byte(1)
		if len(m.funcs) > 1 {
			at = byte(2 + k%(len(m.funcs)-1))
		}
		element, passive = append(element, at), append(passive, at)
	}
	out = section(out, 9, 2, append(element, passive...))
	out = section(out, 12, 0, nil)
	out[len(out)-1] = 1 // the count of data segments is a bare number
	out = section(out, 10, len(m.funcs), bodies)
	data := binary.AppendUvarint([]byte{1}, 4096)
	return section(out, 11, 1, append(data, make([]byte, 4096)...))
}
