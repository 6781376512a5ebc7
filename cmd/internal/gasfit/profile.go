package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
)

// block is a straight line of instructions; the exported global counts how often it was begun, or, of an amount, the
// amount.
type block struct {
	export string
	count  counts
}

// reader reads the binary format; what it reads has been compiled before, so that it panics on nothing but bugs.
type reader struct{ b []byte }

func (r *reader) byte() byte {
	b := r.b[0]
	r.b = r.b[1:]
	return b
}

func (r *reader) u() int {
	n, size := binary.Uvarint(r.b)
	r.b = r.b[size:]
	return int(n)
}

func (r *reader) take(n int) []byte {
	b := r.b[:n]
	r.b = r.b[n:]
	return b
}

func (r *reader) signed() {
	for r.byte()&0x80 != 0 {
	}
}

// skip passes over the immediates of an instruction and returns the first number of them.
func (r *reader) skip(i instruction) (first int) {
	switch i.imm {
	case "u":
		return r.u()
	case "uu", "m":
		first = r.u()
		r.u()
	case "ml":
		r.u()
		r.u()
		r.byte()
	case "s", "block":
		r.signed()
	case "1":
		r.byte()
	case "4":
		r.take(4)
	case "8":
		r.take(8)
	case "16":
		r.take(16)
	case "types":
		r.take(r.u())
	case "table":
		for n := r.u() + 1; n > 0; n-- {
			r.u()
		}
	}
	return first
}

// leavers are the instructions behind which another block begins.
var leavers = []string{"loop", "if", "else", "end", "br", "br_if", "br_table", "return", "unreachable"}

// amountOf says what an instruction is priced by, whose last operand is the amount.
var amountOf = map[string]string{"memory.copy": opBulkByte, "memory.fill": opBulkByte, "memory.init": opBulkByte, "memory.grow": opGrowPage,
	"table.copy": opBulkElement, "table.fill": opBulkElement, "table.init": opBulkElement, "table.grow": opTableGrow}

type profiler struct {
	types   [][2]int // numbers of parameters and results
	imports int      // functions
	funcs   []int    // types of all functions
	globals int      // of the code
	blocks  []block
}

// instrument returns a version of a module that counts how often each of its blocks is begun. The module must be valid and
// have sections of globals and exports.
func instrument(code []byte) (out []byte, blocks []block, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("counting: %v", p)
		}
	}()
	p := &profiler{}
	type section struct {
		id byte
		b  []byte
	}
	var sections []section
	for r := (&reader{code[8:]}); len(r.b) > 0; {
		id := r.byte()
		sections = append(sections, section{id, r.take(r.u())})
	}
	for k, s := range sections {
		r := &reader{s.b}
		if s.id == 0 {
			continue
		}
		n := 0
		if s.id != 8 {
			n = r.u()
		}
		switch s.id {
		case 1:
			for range n {
				r.byte()
				var t [2]int
				for k := range t {
					t[k] = r.u()
					r.take(t[k])
				}
				p.types = append(p.types, t)
			}
		case 2:
			for range n {
				r.take(r.u())
				r.take(r.u())
				if kind := r.byte(); kind != 0 {
					return nil, nil, errors.New("only functions may be imported")
				}
				p.funcs = append(p.funcs, r.u())
				p.imports++
			}
		case 3:
			for range n {
				p.funcs = append(p.funcs, r.u())
			}
		case 6:
			p.globals = n
		case 10:
			bodies := binary.AppendUvarint(nil, uint64(n))
			for f := range n {
				body := p.body(p.funcs[p.imports+f], r.take(r.u()))
				bodies = append(binary.AppendUvarint(bodies, uint64(len(body))), body...)
			}
			sections[k].b = bodies
		}
	}
	out = slices.Clone(code[:8])
	for _, s := range sections {
		switch s.id {
		case 6, 7:
			r := &reader{s.b}
			b := binary.AppendUvarint(nil, uint64(r.u()+len(p.blocks)))
			b = append(b, r.b...)
			for k := range p.blocks {
				if s.id == 6 {
					b = append(b, 0x7e, 1, 0x42, 0, 0x0b)
				} else {
					name := p.blocks[k].export
					b = append(append(b, byte(len(name))), name...)
					b = binary.AppendUvarint(append(b, 3), uint64(p.globals+k))
				}
			}
			s.b = b
		}
		out = append(binary.AppendUvarint(append(out, s.id), uint64(len(s.b))), s.b...)
	}
	return out, p.blocks, nil
}

// counter adds a block and returns the index of its global.
func (p *profiler) counter() (global int64, c counts) {
	c = counts{}
	p.blocks = append(p.blocks, block{fmt.Sprintf("#%d", len(p.blocks)), c})
	return int64(p.globals + len(p.blocks) - 1), c
}

// body is the counting version of a function.
func (p *profiler) body(index int, body []byte) []byte {
	r := &reader{body}
	t := p.types[index]
	groups, locals := r.u(), 0
	declared := r.b
	for range groups {
		locals += r.u()
		r.byte()
	}
	out := newCode().u(int64(groups+1)).raw(declared[:len(declared)-len(r.b)]...).raw(1, 0x7f)
	amount := int64(t[0] + locals)
	begin := func() counts {
		g, c := p.counter()
		out.op("global.get", g).op("i64.const", 1).op("i64.add").op("global.set", g)
		return c
	}
	now := begin()
	now.add(opFunction, 1)
	now.add(opLocal, float64(locals))
	now.add(opValue, priced(t[0])+priced(t[1]))
	for len(r.b) > 0 {
		start := r.b
		key := [2]byte{0, r.byte()}
		if key[1] == 0xfc || key[1] == 0xfd {
			key = [2]byte{key[1], byte(r.u())}
		}
		i, known := byCode[key]
		if !known {
			panic(fmt.Sprintf("instruction % x", key))
		}
		first := r.skip(i)
		now.add(i.name, 1)
		if i.name == "call" && first < p.imports {
			now.add(opHostCall, 1)
		}
		if what, ok := amountOf[i.name]; ok {
			g, c := p.counter()
			c.add(what, 1)
			out.op("local.tee", amount).op("global.get", g).get(int(amount)).op("i64.extend_i32_u").op("i64.add").op("global.set", g)
		}
		out.raw(start[:len(start)-len(r.b)]...)
		if slices.Contains(leavers, i.name) && len(r.b) > 0 {
			now = begin()
		}
	}
	return out.b
}
