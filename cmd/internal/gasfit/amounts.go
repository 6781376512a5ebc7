package main

import "fmt"

// references makes the benchmarks of references, tables and sizes.
func references() []*bench {
	const globalRef = 10
	isNull := func(b *bench, k int) {
		b.loop.op("ref.is_null").get(b.x('i', k%4)).op("i32.add").set(b.x('i', k%4))
	}
	all := []*bench{
		each("table.get", roleFit, "table.get", func(b *bench, k int) {
			b.loop.get(b.y('i', 0)).op("table.get", 0)
			isNull(b, k)
		}),
		each("table.get/chain", roleFit, "table.get", func(b *bench, _ int) {
			b.loop.get(b.x('i', 0)).op("i32.const", 15).op("i32.and").op("table.get", 0)
			isNull(b, 0)
		}),
		each("table.set", roleFit, "table.set", func(b *bench, k int) {
			b.loop.get(b.y('i', 0)).op("global.get", globalRef).op("table.set", 1)
		}),
		each("table.get+set", roleFit, "table.set", func(b *bench, k int) {
			b.loop.get(b.y('i', 0)).get(b.y('i', 0)).op("table.get", 0).op("table.set", 0)
		}),
		each("ref.func", roleFit, "ref.func", func(b *bench, _ int) { b.loop.op("ref.func", 2).op("global.set", globalRef) }),
		each("ref.null", roleFit, "ref.null", func(b *bench, _ int) { b.loop.op("ref.null", 0x70).op("global.set", globalRef) }),
		each("ref.is_null", roleFit, "ref.is_null", func(b *bench, k int) {
			b.loop.op("global.get", globalRef)
			isNull(b, k)
		}),
		each("table.size", roleFit, "table.size", func(b *bench, k int) {
			b.loop.op("table.size", 0).get(b.x('i', k%4)).op("i32.add").set(b.x('i', k%4))
		}),
		each("memory.size", roleFit, "memory.size", func(b *bench, k int) {
			b.loop.op("memory.size", 0).get(b.x('i', k%4)).op("i32.add").set(b.x('i', k%4))
		}),
	}
	for _, b := range all {
		b.others = []function{{body: newCode()}}
	}
	return all
}

// amounts makes the benchmarks of what is priced by amount.
func amounts() []*bench {
	var all []*bench
	add := func(b *bench) *bench {
		b.others = []function{{body: newCode()}}
		all = append(all, b)
		return b
	}
	// The base: nothing is asked for.
	for _, n := range []string{"memory.copy", "memory.fill", "memory.init", "table.copy", "table.init"} {
		add(each(n+"/0", roleFit, n, func(b *bench, _ int) {
			segment := int64(0)
			if n == "table.init" {
				segment = 1 // the other is gone since the start
			}
			b.loop.get(b.y('i', 0)).get(b.y('i', 0)).op("i32.const", 0).op(n, segment, 0)
		}))
	}
	add(each("table.fill/0", roleFit, "table.fill", func(b *bench, _ int) {
		b.loop.get(b.y('i', 0)).op("ref.null", 0x70).op("i32.const", 0).op("table.fill", 0)
	}))
	for _, n := range []string{"data.drop", "elem.drop"} {
		add(each(n, roleFit, n, func(b *bench, _ int) { b.loop.op(n, map[string]int64{"data.drop": 0, "elem.drop": 1}[n]) }))
	}
	add(each("memory.grow/0", roleFit, "memory.grow", func(b *bench, k int) {
		b.loop.op("i32.const", 0).op("memory.grow").set(b.x('i', k%4))
	}))
	add(each("table.grow/0", roleFit, "table.grow", func(b *bench, k int) {
		b.loop.op("ref.null", 0x70).op("i32.const", 0).op("table.grow", 0).set(b.x('i', k%4))
	}))
	add(each("memory.grow/refused", roleFit, "memory.grow", func(b *bench, k int) {
		b.loop.op("i32.const", 65536).op("memory.grow").set(b.x('i', k%4))
	}))
	// By amount. The region moves by the size of a page of memory, so that the far one is in no cache.
	for _, size := range []int64{1, 7, 8, 16, 64, 256, 1024, 4096, 65536, 1 << 20} {
		for _, n := range []string{"memory.copy", "memory.fill", "memory.init"} {
			if n == "memory.init" && size > 4096 {
				continue
			}
			b := add(each(fmt.Sprintf("%s/%d", n, size), roleAmount, opBulkByte, func(b *bench, k int) {
				source := size
				if n != "memory.copy" {
					source = 0
				}
				b.loop.op("i32.const", 0).op("i32.const", source).op("i32.const", size).op(n, 0, 0).extra(opBulkByte, float64(size))
			}))
			b.pages = 64
			b.aim(size < 4096, n)
		}
	}
	far := add(newBench("memory.copy/far", roleAmount, opBulkByte))
	far.pages = 8192
	far.loop.get(far.x('i', 0)).op("i32.const", 1<<20).op("i32.add").op("i32.const", 1<<28-1<<20).op("i32.and").set(far.x('i', 0))
	far.loop.get(far.x('i', 0)).get(far.x('i', 0)).op("i32.const", 1<<28).op("i32.add").op("i32.const", 1<<20).op("memory.copy", 0, 0)
	far.loop.extra(opBulkByte, 1<<20)
	far.fill = func(memory []byte) { // none of it is touched for the first time when it is measured
		for k := 0; k < len(memory); k += 4096 {
			memory[k] = 1
		}
	}
	for _, size := range []int64{1, 8, 64} {
		for _, n := range []string{"table.copy", "table.init"} {
			add(each(fmt.Sprintf("%s/%d", n, size), roleAmount, opBulkElement, func(b *bench, _ int) {
				b.loop.op("i32.const", 0).op("i32.const", 0).op("i32.const", size).op(n, 1, 0).extra(opBulkElement, float64(size))
			}).aim(size < 64, n))
		}
		add(each(fmt.Sprintf("table.fill/%d", size), roleAmount, opBulkElement, func(b *bench, _ int) {
			b.loop.op("i32.const", 0).op("global.get", 10).op("i32.const", size).op("table.fill", 1).extra(opBulkElement, float64(size))
		}).aim(size < 64, "table.fill"))
	}
	for _, size := range []int64{1, 100, 10000} {
		b := add(newBench(fmt.Sprintf("table.grow/%d", size), roleAmount, opTableGrow))
		b.fresh, b.most = true, int(min(200, 60000/size))
		b.aim(size < 10000, "table.grow")
		b.loop.op("ref.null", 0x70).op("i32.const", size).op("table.grow", 0).set(b.x('i', 0)).extra(opTableGrow, float64(size))
	}
	for _, size := range []int64{1, 16} {
		b := add(newBench(fmt.Sprintf("memory.grow/%d and touch", size), roleAmount, opGrowPage))
		b.fresh, b.most = true, int(256/size)
		b.loop.op("i32.const", size).op("memory.grow").op("i32.const", 16).op("i32.shl").set(b.x('i', 0)).extra(opGrowPage, float64(size))
		for at := int64(0); at < size<<16; at += 4096 {
			b.loop.get(b.x('i', 0)).op("i32.const", 1).op("i32.store", at)
		}
	}
	return all
}
