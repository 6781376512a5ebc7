package main

import (
	"fmt"
	"strings"
)

// random moves a local on to the next number that no processor foresees; only its high bits are good.
func random(b *bench, x int) {
	b.loop.get(x).op("i32.const", 1664525).op("i32.mul").op("i32.const", 1013904223).op("i32.add").set(x)
}

func increment(b *bench, t byte, k int) {
	prefix := map[byte]string{'i': "i32", 'l': "i64"}[t]
	b.loop.get(b.x(t, k)).op(prefix+".const", 1).op(prefix + ".add").set(b.x(t, k))
}

// control makes the benchmarks of branches, calls and exceptions.
func control() []*bench {
	var all []*bench
	add := func(b ...*bench) { all = append(all, b...) }
	add(each("br_if/taken", roleFit, "br_if", func(b *bench, k int) {
		b.loop.op("block", noResult).get(b.y('i', 0)).op("br_if", 0)
		increment(b, 'l', k%4)
		b.loop.op("end")
	}), each("br_if/not taken", roleFit, "br_if", func(b *bench, k int) {
		b.loop.op("block", noResult).get(b.y('i', 0)).op("i32.eqz").op("br_if", 0)
		increment(b, 'l', k%4)
		b.loop.op("end")
	}), each("br_if/random", roleBound, "br_if", func(b *bench, k int) {
		random(b, b.x('i', 0))
		b.loop.op("block", noResult).get(b.x('i', 0)).op("i32.const", 0).op("i32.lt_s").op("br_if", 0)
		increment(b, 'l', k%4)
		b.loop.op("end")
	}), each("if/same", roleFit, "if", func(b *bench, k int) {
		b.loop.get(b.y('i', 0)).op("if", noResult)
		increment(b, 'l', k%4)
		b.loop.op("end")
	}), each("if/random", roleBound, "if", func(b *bench, k int) {
		random(b, b.x('i', 0))
		b.loop.get(b.x('i', 0)).op("i32.const", 0).op("i32.lt_s").op("if", noResult)
		increment(b, 'l', k%4)
		b.loop.op("else")
		b.loop.count.add("i64.add", -1) // one of the two
		b.loop.count.add("i64.const", -1)
		b.loop.count.add("local.get", -1)
		b.loop.count.add("local.set", -1)
		increment(b, 'l', k%4)
		b.loop.op("end")
	}), each("br", roleFit, "br", func(b *bench, k int) {
		b.loop.op("block", noResult)
		increment(b, 'l', k%4)
		b.loop.op("br", 0).op("end")
	}), each("br_table/same", roleFit, "br_table", func(b *bench, k int) { branchTable(b, k, b.y('i', 0)) }),
		each("br_table/random", roleBound, "br_table", func(b *bench, k int) {
			random(b, b.x('i', 0))
			b.loop.get(b.x('i', 0)).op("i32.const", 29).op("i32.shr_u").set(b.x('i', 1))
			branchTable(b, k, b.x('i', 1))
		}))
	back := newBench("br/loop", roleFit, "br")
	back.loop.op("block", noResult).op("loop", noResult).get(0).op("i32.const", 1).op("i32.sub").op("local.tee", 0)
	back.loop.op("i32.eqz").op("br_if", 1).op("br", 0).op("end").op("end")
	back.own = back.loop.count
	add(back)
	for _, values := range []int{16, 32, 128} {
		add(carried(values))
	}
	add(calls()...)
	return append(all, exceptions()...)
}

// branchTable jumps to one of eight places; all but one of their instructions are not counted, as they are not met.
func branchTable(b *bench, k, index int) {
	c := b.loop
	for range 9 {
		c.op("block", noResult)
	}
	c.get(index).op("br_table", 0, 1, 2, 3, 4, 5, 6, 7)
	met := counts{}
	for name, n := range c.count {
		met[name] = n
	}
	for n := range 8 {
		c.op("end").get(b.x('l', n%4)).op("i64.const", int64(n)+1).op("i64.xor").set(b.x('l', n%4)).op("br", int64(7-n))
	}
	c.op("end")
	c.count = met
	for _, name := range []string{"local.get", "i64.const", "i64.xor", "local.set", "br"} {
		c.count.add(name, 1)
	}
}

// carried makes a loop that hands on many values, every one to the next place, by one branch.
func carried(values int) *bench {
	b := newBench(fmt.Sprintf("+value/loop %d", values), roleBound, opValue)
	types := strings.Repeat("l", values)
	b.others = []function{{params: types, results: types, body: newCode().op("unreachable")}}
	c := b.loop
	for k := range values {
		c.op("i64.const", int64(k))
	}
	c.op("loop", 2).op("i64.const", 7).append(countdown(0)).op("drop").op("end")
	for range values {
		c.get(b.x('l', 0)).op("i64.xor").set(b.x('l', 0))
	}
	b.own = newCode().op("i64.const").append(countdown(0)).extra(opValue, priced(values)).count
	return b
}

// calls makes the benchmarks of calls. The function that is called is number 2 and has type 2.
func calls() []*bench {
	var all []*bench
	caller := func(name, role, target string, others []function, f func(b *bench, k int)) {
		b := each(name, role, target, f)
		b.others = others
		all = append(all, b)
	}
	empty := function{body: newCode()}
	called := func(c *code, f function) *code {
		for name, n := range f.body.count {
			c.count.add(name, n)
		}
		return c.extra(opFunction, 1).extra(opLocal, float64(len(f.locals))).extra(opValue, priced(len(f.params))+priced(len(f.results)))
	}
	caller("call/empty", roleFit, opFunction, []function{empty}, func(b *bench, _ int) { called(b.loop.op("call", 2), empty) })
	back := function{body: newCode().op("return")}
	caller("return", roleFit, "return", []function{back}, func(b *bench, _ int) { called(b.loop.op("call", 2), back) })
	add := function{params: "iiii", results: "i", body: newCode().get(0).get(1).op("i32.add").get(2).op("i32.xor").get(3).op("i32.sub")}
	caller("call/add", roleFit, opFunction, []function{add}, func(b *bench, _ int) {
		b.loop.get(b.x('i', 0)).get(b.y('i', 0)).get(b.x('i', 0)).get(b.y('i', 0))
		called(b.loop.op("call", 2), add).set(b.x('i', 0))
	})
	live := each("call/live", roleFit, opFunction, func(b *bench, k int) {
		for _, t := range []byte("il") {
			increment(b, t, k%8)
		}
		for l := range 8 { // all stay in use
			b.x('i', l)
			b.x('l', l)
			b.x('d', l)
		}
		called(b.loop.op("call", 2), empty)
	})
	live.others = []function{empty}
	all = append(all, live)
	for _, n := range []int{16, 32, 128} {
		pass := function{params: strings.Repeat("l", n), results: strings.Repeat("l", n), body: newCode()}
		for k := range n {
			pass.body.get(k)
		}
		caller(fmt.Sprintf("+value/call %d", n), roleFit, opValue, []function{pass}, func(b *bench, k int) {
			if k > 0 {
				return
			}
			for l := range n {
				b.loop.get(b.x('l', l%8))
			}
			called(b.loop.op("call", 2), pass)
			for l := range n {
				if l < 8 {
					b.loop.set(b.x('l', l))
				} else {
					b.loop.op("drop")
				}
			}
		})
		// Results that are handed up through eight functions, none of which touches them.
		makes := function{results: pass.results, body: newCode()}
		for k := range n {
			makes.body.op("i64.const", int64(k))
		}
		chain := []function{makes}
		for k := range 8 {
			chain = append(chain, function{results: pass.results, body: newCode().op("call", int64(2+k))})
		}
		caller(fmt.Sprintf("+value/up %d", n), roleBound, opValue, chain, func(b *bench, k int) {
			if k > 0 {
				return
			}
			b.loop.op("call", 10)
			for _, f := range chain {
				called(b.loop, f)
			}
			for range n {
				b.loop.get(b.x('l', 0)).op("i64.xor").set(b.x('l', 0))
			}
		})
		zero := function{results: "l", locals: strings.Repeat("l", n), body: newCode().get(0)}
		for k := 1; k < n; k++ {
			zero.body.get(k).op("i64.add")
		}
		caller(fmt.Sprintf("+local/%d", n), roleFit, opLocal, []function{zero}, func(b *bench, k int) {
			if k%8 == 0 {
				called(b.loop.op("call", 2), zero).set(b.x('l', k/8%4))
			}
		})
		// The same where a loop changes each of them, so that each has a place of its own.
		spread := function{results: "l", locals: zero.locals, body: newCode().op("loop", noResult)}
		for k := range n {
			spread.body.get(k).op("i64.const", int64(k)+1).op("i64.add").set(k)
		}
		spread.body.get(0).op("i64.eqz").op("br_if", 0).op("end").get(0)
		for k := 1; k < n; k++ {
			spread.body.get(k).op("i64.add")
		}
		caller(fmt.Sprintf("+local/loop %d", n), roleBound, opLocal, []function{spread}, func(b *bench, k int) {
			if k%8 == 0 {
				called(b.loop.op("call", 2), spread).set(b.x('l', k/8%4))
			}
		})
	}
	eight := make([]function, 8)
	for k := range eight {
		eight[k] = empty
	}
	caller("call_indirect/same", roleFit, "call_indirect", eight, func(b *bench, _ int) {
		called(b.loop.get(b.y('i', 0)).op("call_indirect", 2, 0), empty)
	})
	caller("call_indirect/random", roleBound, "call_indirect", eight, func(b *bench, _ int) {
		random(b, b.x('i', 0))
		called(b.loop.get(b.x('i', 0)).op("i32.const", 29).op("i32.shr_u").op("call_indirect", 2, 0), empty)
	})
	on := function{body: newCode().op("return_call", 3)}
	caller("return_call", roleFit, "return_call", []function{on, empty}, func(b *bench, _ int) {
		called(called(b.loop.op("call", 2), on), empty)
	})
	onIndirect := function{body: newCode().op("i32.const", 1).op("return_call_indirect", 2, 0)}
	caller("return_call_indirect", roleFit, "return_call_indirect", []function{onIndirect, empty}, func(b *bench, _ int) {
		called(called(b.loop.op("call", 2), onIndirect), empty)
	})
	caller("+host-call", roleAmount, opHostCall, nil, func(b *bench, _ int) { b.loop.op("call", 0).extra(opHostCall, 1) })
	return all
}

const exnref = -23

// exceptions makes the benchmarks of throw and its like.
func exceptions() []*bench {
	var all []*bench
	catchAll := func(c *code) *code { return c.op("try_table").raw(0x40, 1, 2, 0) }
	all = append(all, each("try_table", roleFit, "try_table", func(b *bench, k int) {
		catchAll(b.loop.op("block", noResult))
		increment(b, 'l', k%4)
		b.loop.op("end").op("end")
	}))
	local := newBench("throw/here", roleBound, "throw")
	catchAll(local.loop.op("block", noResult)).op("throw", 0).op("end").op("end")
	again := newBench("throw_ref", roleBound, "throw_ref")
	catchAll(again.loop.op("block", noResult)).op("block", exnref)
	again.loop.op("try_table").raw(0x40, 1, 3, 0).op("throw", 0).op("end").op("unreachable").op("end").op("throw_ref").op("end").op("end")
	delete(again.loop.count, "unreachable") // never met
	all = append(all, local, again)
	for _, depth := range []int64{1, 100} {
		b := newBench(fmt.Sprintf("throw/%d up", depth), roleBound, "throw")
		f := function{params: "i", body: newCode().get(0).op("i32.eqz").op("if", noResult).op("throw", 0).op("end")}
		f.body.get(0).op("i32.const", 1).op("i32.sub").op("call", 2)
		b.others = []function{f}
		catchAll(b.loop.op("block", noResult)).op("i32.const", depth-1).op("call", 2).op("end").op("end")
		for name, n := range f.body.count {
			switch name {
			case "throw":
				b.loop.count.add(name, 1)
			case "call", "i32.const", "i32.sub":
				b.loop.count.add(name, float64(depth-1)*n)
			default:
				b.loop.count.add(name, float64(depth)*n)
			}
		}
		b.loop.extra(opFunction, float64(depth))
		all = append(all, b)
	}
	return all
}
