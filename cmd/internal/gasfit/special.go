package main

import "strings"

// each makes a benchmark of repeats times what f adds; k counts them.
func each(name, role, target string, f func(b *bench, k int)) *bench {
	b := newBench(name, role, target)
	for k := range repeats {
		f(b, k)
	}
	return b
}

// chained makes a benchmark in one chain and one in four, like generic, of what f adds for chain k.
func chained(role, target, suffix string, f func(b *bench, k int)) []*bench {
	return []*bench{
		each(target+suffix+"/chain1", role, target, func(b *bench, _ int) { f(b, 0) }),
		each(target+suffix+"/chain4", role, target, func(b *bench, k int) { f(b, k%4) }),
	}
}

// special makes the benchmarks of operations whose operands must be chosen, and the worst cases of others.
func special() []*bench {
	var all []*bench
	add := func(b ...*bench) { all = append(all, b...) }

	// Division takes longest when the quotient is long: a large dividend and a small divisor.
	for _, t := range []byte("il") {
		prefix, big := "i32", int64(0x4000_0001)
		if t == 'l' {
			prefix, big = "i64", 0x4000_0000_0000_0001
		}
		for _, n := range []string{".div_s", ".div_u", ".rem_s", ".rem_u"} {
			add(chained(roleFit, prefix+n, "/long", func(b *bench, k int) {
				b.loop.get(b.x(t, k)).op(prefix+".const", big).op(prefix + ".or").get(b.y(t, 0)).op(prefix + n).set(b.x(t, k))
			})...)
			add(chained(roleFit, prefix+n, "/short", func(b *bench, k int) {
				b.loop.get(b.x(t, k)).op(prefix+".const", 15).op(prefix + ".and").get(b.y(t, 0)).op(prefix + n).set(b.x(t, k))
			})...)
		}
		// Operands that are known.
		for _, n := range []string{".add", ".and", ".xor", ".shl", ".shr_u", ".rotl", ".mul"} {
			add(chained(roleFit, prefix+n, "/const", func(b *bench, k int) {
				b.loop.get(b.x(t, k)).op(prefix+".const", 7).op(prefix + n).set(b.x(t, k))
			})...)
		}
		add(chained(roleFit, prefix+".const", "/big", func(b *bench, k int) {
			b.loop.get(b.x(t, k)).op(prefix+".const", big|0x0123_4560).op(prefix + ".xor").set(b.x(t, k))
		})...)
	}
	for _, p := range []struct {
		t      byte
		prefix string
	}{{'f', "f32"}, {'d', "f64"}} {
		t, prefix := p.t, p.prefix
		add(chained(roleFit, prefix+".sqrt", "", func(b *bench, k int) {
			b.loop.get(b.x(t, k)).get(b.y(t, 0)).op(prefix + ".add").op(prefix + ".sqrt").set(b.x(t, k))
		})...)
		// Not a number, and equal operands, leave the short way.
		for _, n := range []string{".min", ".max"} {
			add(chained(roleBound, prefix+n, "/nan", func(b *bench, k int) {
				c := b.loop.get(b.x(t, k))
				if t == 'f' {
					c.op("i32.const", 0x7fc0_0000).op("f32.reinterpret_i32")
				} else {
					c.op("i64.const", 0x7ff8_0000_0000_0000).op("f64.reinterpret_i64")
				}
				c.op(prefix + n).set(b.x(t, k))
			})...)
			add(chained(roleBound, prefix+n, "/equal", func(b *bench, k int) {
				b.loop.get(b.x(t, k)).get(b.x(t, k)).op(prefix + n).set(b.x(t, k))
			})...)
		}
		// Numbers below the smallest normal one.
		for _, n := range []string{".add", ".mul", ".div", ".sub"} {
			add(chained(roleBound, prefix+n, "/tiny", func(b *bench, k int) {
				c := b.loop.get(b.x(t, k))
				if t == 'f' {
					c.op("i32.const", 0x0012_3456).op("f32.reinterpret_i32")
				} else {
					c.op("i64.const", 0x0001_2345_6789_abcd).op("f64.reinterpret_i64")
				}
				c.op(prefix + n).set(b.x(t, k))
			})...)
		}
		// Numbers that signed conversion does not take.
		for _, from := range []byte("il") {
			it := map[byte]string{'i': "i32", 'l': "i64"}[from]
			add(chained(roleBound, prefix+".convert_"+it+"_u", "/high", func(b *bench, k int) {
				b.loop.get(b.x(from, k)).op(it+".const", -3).op(it + ".or").op(prefix + ".convert_" + it + "_u")
				for _, n := range bridges[string([]byte{t, from})] {
					b.loop.op(n)
				}
				b.loop.set(b.x(from, k))
			})...)
			for _, trunc := range []string{".trunc_", ".trunc_sat_"} {
				add(chained(roleBound, it+trunc+prefix+"_u", "/high", func(b *bench, k int) {
					high := int64(3_000_000_000)
					if from == 'l' {
						high = 1<<63 - 1
					}
					b.loop.get(b.x(t, k))
					b.loop.op(prefix+".const", high).op(prefix + ".max").op(it + trunc + prefix + "_u")
					for _, n := range bridges[string([]byte{from, t})] {
						b.loop.op(n)
					}
					b.loop.set(b.x(t, k))
				})...)
			}
		}
	}
	// Comparison, choice and moving.
	for _, t := range []byte("ilfdv") {
		for _, name := range []string{"select", "select_t"} {
			add(each(name+"/"+string(t)+"/chain1", roleFit, name, func(b *bench, k int) {
				if k == 0 {
					b.loop.get(b.x(t, 0))
				}
				b.loop.get(b.y(t, 0)).get(b.y('i', 0)).op(name, int64(typeCodes[t]))
				if k == repeats-1 {
					b.loop.set(b.x(t, 0))
				}
			}), each(name+"/"+string(t)+"/chain4", roleFit, name, func(b *bench, k int) {
				b.loop.get(b.x(t, k%4)).get(b.y(t, 0)).get(b.y('i', 0)).op(name, int64(typeCodes[t])).set(b.x(t, k%4))
			}))
		}
		g := int64(2 * strings.IndexByte(localTypes, t))
		combine := map[byte]string{'i': "i32.xor", 'l': "i64.xor", 'f': "f32.add", 'd': "f64.add", 'v': "v128.xor"}[t]
		add(each("global.get/"+string(t), roleFit, "global.get", func(b *bench, k int) {
			b.loop.op("global.get", g+int64(k%2)).get(b.x(t, k%4)).op(combine).set(b.x(t, k%4))
		}))
		add(each("global.set/"+string(t), roleFit, "global.set", func(b *bench, k int) {
			b.loop.get(b.x(t, k%4)).op("global.set", g)
		}))
		add(each("global.get+set/"+string(t), roleFit, "global.set", func(b *bench, _ int) {
			b.loop.op("global.get", g).op("global.set", g+1).op("global.get", g+1).op("global.set", g)
		}))
	}
	add(each("global.get+add+set", roleFit, "global.set", func(b *bench, _ int) {
		b.loop.op("global.get", 2).op("i64.const", 1).op("i64.add").op("global.set", 2)
	}))
	add(each("drop", roleFit, "drop", func(b *bench, k int) { b.loop.get(b.x('i', k%4)).op("drop") }))
	add(each("loop alone", roleFit, "br_if", func(*bench, int) {}))
	for _, t := range []byte("ilfdv") {
		// All values go round once a turn, more of them than there are registers.
		add(each("local.set/round/"+string(t), roleFit, "local.set", func(b *bench, k int) {
			if k > 0 {
				return
			}
			for l := range 8 {
				b.loop.get(b.x(t, l))
			}
			for l := range 8 {
				b.loop.set(b.x(t, l))
			}
		}))
	}
	return append(all, pressure()...)
}

// pressure makes benchmarks with more values than registers.
func pressure() []*bench {
	round := each("local.set/round/all", roleFit, "local.set", func(*bench, int) {})
	for _, t := range []byte("ilfdv") {
		for l := range 8 {
			round.loop.get(round.x(t, l))
		}
		for l := range 8 {
			round.loop.set(round.x(t, l))
		}
	}
	tee := each("local.tee/round", roleFit, "local.tee", func(*bench, int) {})
	for _, t := range []byte("ilfd") {
		for l := range 7 {
			tee.loop.get(tee.x(t, l+1)).op("local.tee", int64(tee.x(t, l))).op("drop")
		}
	}
	sum := each("i64.add/many", roleFit, "i64.add", func(*bench, int) {})
	for k := range 8 {
		for l := range 8 {
			sum.loop.get(sum.x('l', l)).get(sum.x('l', (l+k+1)%8)).op("i64.add").set(sum.x('l', l))
			sum.loop.get(sum.x('i', l)).get(sum.x('i', (l+k+1)%8)).op("i32.xor").set(sum.x('i', l))
		}
	}
	vectors := each("i32x4.add/many", roleFit, "i32x4.add", func(*bench, int) {})
	for k := range 8 {
		for l := range 8 {
			vectors.loop.get(vectors.x('v', l)).get(vectors.x('v', (l+k+1)%8)).op("i32x4.add").set(vectors.x('v', l))
			vectors.loop.get(vectors.x('d', l)).get(vectors.x('d', (l+k+1)%8)).op("f64.max").set(vectors.x('d', l))
		}
	}
	consts := func(name, prefix, combine string, t byte) *bench {
		return each(name, roleFit, name, func(b *bench, k int) {
			if name == "v128.const" {
				b.loop.get(b.x(t, k%4)).op(name, int64(k), 2, 3, 4, 5).op(combine).set(b.x(t, k%4))
				return
			}
			b.loop.get(b.x(t, k%4)).op(name, int64(k)+2).op(prefix + combine).set(b.x(t, k%4))
		})
	}
	return []*bench{round, tee, sum, vectors, consts("f32.const", "f32", ".add", 'f'), consts("f64.const", "f64", ".add", 'd'),
		consts("v128.const", "", "v128.xor", 'v')}
}
