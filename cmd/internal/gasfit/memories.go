package main

import "encoding/binary"

// memories makes the benchmarks of loads and stores that are not as quick as they can be.
func memories() []*bench {
	var all []*bench
	add := func(b ...*bench) { all = append(all, b...) }
	for _, m := range []struct {
		load, store string
		t           byte
	}{
		{"i32.load", "i32.store", 'i'}, {"i64.load", "i64.store", 'l'}, {"f32.load", "f32.store", 'f'}, {"f64.load", "f64.store", 'd'},
		{"v128.load", "v128.store", 'v'}, {"i32.load8_u", "i32.store8", 'i'}, {"i32.load16_u", "i32.store16", 'i'},
		{"i64.load8_u", "i64.store8", 'l'}, {"i64.load16_u", "i64.store16", 'l'}, {"i64.load32_u", "i64.store32", 'l'},
	} {
		// What was just written is read, in one chain.
		add(each(m.store+"+load", roleFit, m.store, func(b *bench, _ int) {
			b.loop.get(b.y('i', 0)).get(b.x(m.t, 0)).op(m.store, 64).get(b.y('i', 0)).op(m.load, 64).set(b.x(m.t, 0))
		}))
		// Over the border of two pages.
		add(each(m.store+"/cross", roleResidual, m.store, func(b *bench, _ int) {
			b.loop.get(b.y('i', 0)).get(b.y(m.t, 0)).op(m.store, 4096-4)
		}))
		add(each(m.load+"/cross", roleResidual, m.load, func(b *bench, k int) {
			b.loop.get(b.y('i', 0)).op(m.load, 4096-4).set(b.x(m.t, k%4))
		}))
		// Neighbours, as loops over arrays do.
		add(each(m.load+"/walk", roleFit, m.load, func(b *bench, k int) {
			b.loop.get(b.x('i', 0)).op("i32.const", 4095*16).op("i32.and").op(m.load, int64(k)*8).set(b.x(m.t, 1+k%4))
			b.loop.get(b.x('i', 0)).op("i32.const", 16).op("i32.add").set(b.x('i', 0))
		}))
	}
	// Two bytes are written apart and read together: the processor cannot forward them.
	add(each("i32.store8+i32.load16_u/stall", roleBound, "i32.store8", func(b *bench, _ int) {
		b.loop.get(b.y('i', 0)).get(b.x('i', 0)).op("i32.store8", 64).get(b.y('i', 0)).get(b.x('i', 0)).op("i32.store8", 65)
		b.loop.get(b.y('i', 0)).op("i32.load16_u", 64).set(b.x('i', 0))
	}))
	// A walk over a cycle of pointers, in no order, through so many kilobytes, of which each cache line is met once.
	for _, w := range []struct {
		name string
		kib  int
		role string
	}{{"16K", 16, roleFit}, {"256K", 256, roleResidual}, {"4M", 4 << 10, roleResidual}, {"64M", 64 << 10, roleResidual}, {"512M", 512 << 10, roleResidual}} {
		b := each("i32.load/cycle "+w.name, w.role, "i32.load", func(b *bench, _ int) {
			b.loop.get(b.x('i', 0)).op("i32.load").set(b.x('i', 0))
		})
		b.pages = uint64(max(4, w.kib/64))
		b.fill = func(memory []byte) { pointerCycle(memory[:w.kib<<10]) }
		add(b)
	}
	for _, w := range []struct {
		name string
		kib  int64
		role string
	}{{"16K", 16, roleFit}, {"256K", 256, roleResidual}, {"16M", 16 << 10, roleResidual}, {"512M", 512 << 10, roleResidual}} {
		b := each("i64.store/random "+w.name, w.role, "i64.store", func(b *bench, _ int) {
			x := b.x('i', 0)
			b.loop.get(x).op("i32.const", 1664525).op("i32.mul").op("i32.const", 1013904223).op("i32.add").op("local.tee", int64(x))
			b.loop.op("i32.const", 4).op("i32.shr_u").op("i32.const", w.kib<<10-8).op("i32.and").get(b.y('l', 0)).op("i64.store")
		})
		b.pages = uint64(max(4, w.kib/64))
		add(b)
	}
	return all
}

// pointerCycle writes one cycle through all cache lines, in an order that no prefetcher guesses.
func pointerCycle(memory []byte) {
	const line = 64
	n := uint32(len(memory) / line)
	order := make([]uint32, n)
	for k := range order {
		order[k] = uint32(k)
	}
	random := uint64(88172645463325252)
	for k := n - 1; k > 0; k-- { // Sattolo: one cycle
		random ^= random << 13
		random ^= random >> 7
		random ^= random << 17
		other := uint32(random>>11) % k
		order[k], order[other] = order[other], order[k]
	}
	for k, to := range order {
		binary.LittleEndian.PutUint32(memory[k*line:], to*line)
	}
}
