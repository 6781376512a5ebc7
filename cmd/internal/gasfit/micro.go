package main

import (
	"fmt"
	"slices"
	"strings"
)

// bench is a micro-benchmark: a function whose loop repeats what is measured. loop is one turn without the loop's own
// instructions; turns runs it so often as asked.
type bench struct {
	row
	loop   *code
	others []function
	pages  uint64
	fill   func(memory []byte) // what memory holds before the first run
	fresh  bool                // each run has a new instance
	most   int                 // turns of a run; 0: as many as take long enough
	own    counts              // what a turn counts, if loop has its own loop
	used   map[int]bool
}

func newBench(name, role, target string) *bench {
	return &bench{row: row{name: name, role: role, target: target}, loop: newCode(), pages: 4, used: map[int]bool{}}
}

// aim makes another weight pay for the row where few are asked for: the base, not the amount.
func (b *bench) aim(few bool, base string) *bench {
	if few {
		b.target = base
	}
	return b
}

const (
	localTypes = "ilfdv"
	perType    = 10 // locals of each type: eight that change, two that stay
)

// x is a local of a type that changes; y is one that stays the same through the loop.
func (b *bench) x(t byte, k int) int { return b.local(t, k) }
func (b *bench) y(t byte, k int) int { return b.local(t, 8+k) }

func (b *bench) local(t byte, k int) int {
	l := 1 + strings.IndexByte(localTypes, t)*perType + k
	b.used[l] = true
	return l
}

// finish returns the module. Every local that is used starts with the value of a global, so that the compiler knows
// nothing about it, and ends in one, so that what made it is not dead.
func (b *bench) finish() []byte {
	c := newCode()
	var locals string
	for t := range len(localTypes) {
		locals += strings.Repeat(localTypes[t:t+1], perType)
		for k := range perType {
			if l := 1 + t*perType + k; b.used[l] {
				c.op("global.get", int64(2*t+k/8)).set(l)
			}
		}
	}
	if b.own == nil {
		c.op("loop", noResult)
	} else {
		c.op("block", noResult)
	}
	turn := newCode().append(b.loop)
	if b.own == nil {
		turn.append(countdown(0))
		b.count = turn.count
	} else {
		b.count = b.own
	}
	c.append(turn).op("end")
	for t := range len(localTypes) {
		for k := range 8 {
			if l := 1 + t*perType + k; b.used[l] {
				c.get(l).op("global.set", int64(2*t))
			}
		}
	}
	m := module{funcs: append([]function{{params: "i", locals: locals, body: c}}, b.others...), pages: b.pages}
	return m.encode()
}

// countdown takes one from the turns that are left, and begins the loop at a depth again unless none is.
func countdown(depth int64) *code {
	return newCode().get(0).op("i32.const", 1).op("i32.sub").op("local.tee", 0).op("br_if", depth)
}

const repeats = 32 // of what is measured, in a turn

// bridges turn a result into an operand of another type.
var bridges = map[string][]string{
	"il": {"i64.extend_i32_u"}, "if": {"f32.convert_i32_s"}, "id": {"f64.convert_i32_s"}, "iv": {"i32x4.splat"},
	"li": {"i32.wrap_i64"}, "lf": {"f32.convert_i64_s"}, "ld": {"f64.convert_i64_s"}, "lv": {"i64x2.splat"},
	"fi": {"i32.reinterpret_f32"}, "fl": {"i32.reinterpret_f32", "i64.extend_i32_u"}, "fd": {"f64.promote_f32"}, "fv": {"f32x4.splat"},
	"di": {"i64.reinterpret_f64", "i32.wrap_i64"}, "dl": {"i64.reinterpret_f64"}, "df": {"f32.demote_f64"}, "dv": {"f64x2.splat"},
	"vi": {"i32x4.extract_lane"}, "vl": {"i64x2.extract_lane"}, "vf": {"f32x4.extract_lane"}, "vd": {"f64x2.extract_lane"},
}

// generic makes the benchmarks of an instruction by its types alone: as one chain, where each has to wait for the one
// before, and as four chains beside each other.
func generic(i instruction) []*bench {
	var all []*bench
	for _, chains := range []int{1, 4} {
		b := newBench(fmt.Sprintf("%s/chain%d", i.name, chains), roleFit, i.name)
		if chains == 1 && i.results != "" && i.imm != "ml" { // the result is the next operand at once: no local pays
			b.loop.get(b.x(i.params[0], 0))
			for k := range repeats {
				link(b, i, 1, k)
			}
			b.loop.set(b.x(i.params[0], 0))
		} else {
			for k := range repeats {
				chain(b, i, k%chains, k)
			}
		}
		if strings.Contains(i.name, "load") && i.imm == "m" && strings.Contains("fdv", i.results) {
			// No address is of that type: what makes one of the result pays for the chain.
			b.target = bridges[i.results+"i"][0]
		}
		all = append(all, b)
	}
	return all
}

// immediates are numbers that suit an instruction, the k-th of its kind.
func immediates(i instruction, k int) []int64 {
	switch {
	case i.name == "i8x16.shuffle":
		return []int64{3, 18, 1, 16, 7, 22, 5, 20, 11, 26, 9, 24, 15, 30, 13, 28}
	case i.imm == "m":
		return []int64{int64(k * 16)}
	case i.imm == "ml":
		return []int64{int64(k * 16), 1}
	case i.imm == "1":
		return []int64{1}
	}
	return nil
}

// link is an instruction whose first operand is on the stack, and what turns its result into such an operand again.
func link(b *bench, i instruction, from, at int) {
	for n := from; n < len(i.params); n++ {
		b.loop.get(b.y(i.params[n], 0))
	}
	b.loop.op(i.name, immediates(i, at)...)
	for _, name := range bridges[string([]byte{i.results[0], i.params[0]})] {
		b.loop.op(name)
	}
}

func chain(b *bench, i instruction, k, at int) {
	c := b.loop
	p := i.params
	if i.results == "" { // a store: the address stays, the value too
		for n := range len(p) {
			c.get(b.y(p[n], 0))
		}
		c.op(i.name, immediates(i, at)...)
		return
	}
	from := 0
	if i.imm == "ml" { // what a lane is loaded into, not the address
		from = 1
	}
	t := p[from]
	for n := range len(p) {
		if n == from {
			c.get(b.x(t, k))
		} else {
			c.get(b.y(p[n], 0))
		}
	}
	c.op(i.name, immediates(i, at)...)
	if r := i.results[0]; r != t {
		for _, name := range bridges[string([]byte{r, t})] {
			c.op(name)
		}
	}
	c.set(b.x(t, k))
}

// own says which instructions special measures, since their operands must be chosen or they are no plain operations.
var own = []string{"table.get", "table.set", "memory.grow", "memory.size", "ref.is_null", "table.size", "table.grow",
	"memory.init", "data.drop", "memory.copy", "memory.fill", "table.init", "elem.drop", "table.copy", "table.fill",
	"i32.div_s", "i32.div_u", "i32.rem_s", "i32.rem_u", "i64.div_s", "i64.div_u", "i64.rem_s", "i64.rem_u", "f32.sqrt", "f64.sqrt",
	"ref.func", "ref.null"}

// micros returns all micro-benchmarks.
func micros() []*bench {
	var all []*bench
	for _, i := range instructions {
		if i.generic && i.params != "" && !slices.Contains(own, i.name) {
			all = append(all, generic(i)...)
		}
	}
	all = append(all, special()...)
	all = append(all, memories()...)
	all = append(all, control()...)
	all = append(all, references()...)
	return append(all, amounts()...)
}
