package wasmtest

import (
	"fmt"
	"slices"
	"strings"
)

// Bomb is a module that costs more than it weighs.
type Bomb struct {
	Name  string
	Build func() []byte
	Want  Verdict
}

// Verdict is what must become of a bomb under the default policy.
type Verdict int

// The verdicts.
const (
	Either     Verdict = iota // it is refused in no time, or prepared within the limits
	TooComplex                // guest.too_complex, and a bound is named
	Invalid                   // refused for what it is, never for its size
	Refused                   // for what it is or for its size, whichever is seen first
	Prepared                  // it is honest, and large
)

// one is a bomb of a single function.
func one(name string, want Verdict, body func() []byte) Bomb {
	return Bomb{name, func() []byte { return Functions(nil, body()) }, want}
}

// typed is a bomb of a single function that uses type 1.
func typed(name string, want Verdict, params, results int, body func() []byte) Bomb {
	return Bomb{name, func() []byte { return Functions([][]byte{FuncType(params, results)}, body()) }, want}
}

// many is a bomb of n functions, each of which is below every bound of one function.
func many(name string, n int, body func() []byte) Bomb {
	return Bomb{fmt.Sprintf("%d functions of %s", n, name), func() []byte {
		return Functions(nil, slices.Repeat([][]byte{body()}, n)...)
	}, Either}
}

// FunctionBombs are about bodies.
func FunctionBombs() []Bomb {
	return []Bomb{
		one("20,000 diamonds", TooComplex, func() []byte { return Diamonds(20_000) }),
		one("80,000 diamonds", TooComplex, func() []byte { return Diamonds(80_000) }),
		one("br_table of 100,000", TooComplex, func() []byte { return TableOfOne(100_000) }),
		one("br_table of 1,000,000", TooComplex, func() []byte { return TableOfOne(1_000_000) }),
		one("br_table of 1,000,000 over 1,000 blocks", TooComplex, func() []byte { return TableSpread(1_000_000, 1000) }),
		one("8,000 live locals", TooComplex, func() []byte { return LiveLocals(8000) }),
		one("20,000 nested blocks", TooComplex, func() []byte { return Nested(20_000) }),
		one("20,000 nested blocks with exits", TooComplex, func() []byte { return NestedExits(20_000) }),
		one("100,000 nested blocks", TooComplex, func() []byte { return Nested(100_000) }),
		one("2,000 locals, 1,000 diamonds", TooComplex, func() []byte { return LocalDiamonds(2000, 1000) }),
		one("1,000 locals, 2,000 nested loops", TooComplex, func() []byte { return NestedLoops(1000, 2000) }),
		one("500 locals, 240 nested loops", Either, func() []byte { return LoopsBack(500, 240) }),
		one("150 locals, 3,300 nested loops", Either, func() []byte { return LoopsBack(150, 3300) }),
		one("510 locals, 2,900 ways to one end", Either, func() []byte { return WideJoin(510, 2900) }),
		one("500 locals, br_table of 8,192", Either, func() []byte { return WideTable(500, 8192) }),
		one("500 locals, a chain round a loop, 180 joins", TooComplex, func() []byte { return Chain(500, 1, 180) }),
		one("500 locals, a chain round each of 38 loops", TooComplex, func() []byte { return Chain(500, 38, 0) }),
		one("500 locals, a chain round each of 12 loops", Prepared, func() []byte { return Chain(500, 12, 0) }),
		one("150 locals, a chain within 400 nested loops", TooComplex, func() []byte { return ChainWithin(150, 400) }),
		one("50 locals, 4,000 blocks with an exit to each", TooComplex, func() []byte { return NestedJoins(50, 4000) }),
		one("200 locals, 500 blocks with an exit to each", Prepared, func() []byte { return NestedJoins(200, 500) }),
		one("60,000 locals read behind 9,000 exits", TooComplex, func() []byte { return ReadsBehindExits(9000, 60_000) }),
		one("1,000 locals, 250 ways to one end", Prepared, func() []byte { return WideJoin(1000, 250) }),
		one("10 MB in a straight line", TooComplex, func() []byte { return Adds(3_400_000) }),
		one("500,000 additions", TooComplex, func() []byte { return Adds(500_000) }),
		one("5,000,000 dead instructions", TooComplex, func() []byte { return DeadCode(5_000_000) }),
		one("200,000 dead instructions", Prepared, func() []byte { return DeadCode(200_000) }),
		one("43,000 live operands", Either, func() []byte { return LiveOperands(43_000) }),
		one("9,000 calls", Either, func() []byte { return Calls(9000) }),
		typed("5,000 blocks of 1,000 values", Either, 1000, 1000, func() []byte { return BlocksWithParams(5000, 1000) }),
		typed("1,000 nested loops of 1,000 values", Either, 1000, 1000, func() []byte { return LoopsWithParams(1000, 1000) }),
		typed("br_table of 8,192 to one label of 1,000 values", Either, 0, 1000, func() []byte { return TableOfValues(8192, 1, 1000) }),
		typed("br_table of 8,192 to labels of 1,000 values", Either, 0, 1000, func() []byte { return TableOfValues(8192, 100, 1000) }),
		{"4,900 calls of 1,000 values", callsOfValues, Either},
		{"200 functions of 32 calls of 1,000 values", func() []byte { return callingOfValues(200, 32) }, TooComplex},
		{"15 functions of 32 calls of 1,000 values", func() []byte { return callingOfValues(15, 32) }, Prepared},
		many("3,333 diamonds", 10, func() []byte { return Diamonds(3333) }),
		many("3,333 diamonds", 200, func() []byte { return Diamonds(3333) }),
		many("50 diamonds", 4000, func() []byte { return Diamonds(50) }),
		many("500 locals, 700 diamonds", 20, func() []byte { return LocalDiamonds(500, 700) }),
		many("500 locals, 30 nested loops", 200, func() []byte { return LoopsBack(500, 30) }),
		many("br_table of 8,192", 100, func() []byte { return TableOfOne(8192) }),
		many("br_table of 8,192 over 4,000 blocks", 50, func() []byte { return TableSpread(8192, 4000) }),
		many("4,000 nested blocks", 100, func() []byte { return Nested(4000) }),
		many("250 KB in a straight line", 40, func() []byte { return Stores(36_000) }),
		many("43,000 live operands", 40, func() []byte { return LiveOperands(43_000) }),
		many("500 locals, a chain round 3 loops", 20, func() []byte { return Chain(500, 3, 0) }),
		many("510 locals, 200 ways to one end", 50, func() []byte { return WideJoin(510, 200) }),
		many("br_table of 8,192", 35, func() []byte { return TableOfOne(8192) }),
		many("500 live locals", 500, func() []byte { return LiveLocals(500) }),
		many("9,000 calls", 100, func() []byte { return Calls(9000) }),
		{"2^32-1 locals", func() []byte { return Functions(nil, locals(1<<32-1)) }, TooComplex},
		{"2^32-1 locals, twice", func() []byte { return Functions(nil, locals(1<<32-1, 1<<32-1)) }, Either},
		{"1,000,000 groups of no locals", func() []byte { return Functions(nil, locals(make([]int, 1_000_000)...)) }, TooComplex},
		{"100,000 groups of no locals", func() []byte { return Functions(nil, locals(make([]int, 100_000)...)) }, Either},
	}
}

// locals is a body that has so many locals in each of its groups, and does nothing.
func locals(groups ...int) []byte {
	b := U(len(groups))
	for _, n := range groups {
		b = append(append(b, U(n)...), I32)
	}
	b = append(b, opEnd)
	return append(U(len(b)), b...)
}

func callsOfValues() []byte { return callingOfValues(1, 4900) }

// callingOfValues has n functions more, which hand on 1,000 values so many times.
func callingOfValues(n, calls int) []byte {
	types := append([][]byte{{0}, {1}, {2}}, slices.Repeat([][]byte{{0}}, n-1)...)
	bodies := append([][]byte{CallsOfValues(calls), Body(0, opUnreachable), Body(0)}, slices.Repeat([][]byte{CallsOfValues(calls)}, n-1)...)
	return Module(
		Section(Type, Vector(FuncType(1, 0), FuncType(0, 1000), FuncType(1000, 0))),
		Section(Func, Vector(types...)),
		Section(Code, Vector(bodies...)),
	)
}

var (
	noType   = Section(Type, Vector(FuncType(0, 0)))
	noFunc   = Section(Func, []byte{1, 0})
	noBody   = Section(Code, Vector(Body(0)))
	onePage  = Section(Memory, []byte{1, 0, 1})
	oneTable = Section(Table, []byte{1, Funcref, 0, 1})
	zero     = []byte{opConst, 0, opEnd}
)

// ModuleBombs are about everything else: how many there are of each thing, how large it says that it is, and how it is put.
func ModuleBombs() []Bomb {
	counts := func(name string, want Verdict, build func() []byte) Bomb { return Bomb{name, build, want} }
	return []Bomb{
		counts("500,000 empty functions", TooComplex, func() []byte {
			return Module(noType, Section(Func, Repeated([]byte{0}, 500_000)), Section(Code, Repeated(Body(0), 500_000)))
		}),
		counts("99,000 empty functions", Prepared, func() []byte {
			return Module(noType, Section(Func, Repeated([]byte{0}, 99_000)), Section(Code, Repeated(Body(0), 99_000)))
		}),
		counts("16,000 globals and 99,000 functions", TooComplex, func() []byte {
			return Module(noType, Section(Func, Repeated([]byte{0}, 99_000)), Section(Global, Repeated(append([]byte{I32, 0}, zero...), 16_000)),
				Section(Code, Repeated(Body(0), 99_000)))
		}),
		counts("a function of 10,000 parameters", TooComplex, func() []byte {
			return Module(Section(Type, Vector(FuncType(10_000, 0))), noFunc, noBody)
		}),
		counts("a function of 10,000 results", TooComplex, func() []byte {
			return Module(Section(Type, Vector(FuncType(0, 10_000))), noFunc, Section(Code, Vector(Body(0, opUnreachable))))
		}),
		counts("10,000 types of 1,000 parameters", Either, func() []byte {
			return Module(Section(Type, Repeated(FuncType(1000, 0), 10_000)))
		}),
		counts("100,000 imports", TooComplex, func() []byte {
			return Module(noType, Section(Import, Repeated([]byte{1, 'm', 1, 'n', 0, 0}, 100_000)))
		}),
		counts("100,000 imports of globals", TooComplex, func() []byte {
			return Module(Section(Import, Repeated([]byte{1, 'm', 1, 'n', 3, I32, 0}, 100_000)))
		}),
		counts("1,000,000 types", TooComplex, func() []byte { return Module(Section(Type, Repeated(FuncType(0, 0), 1_000_000))) }),
		counts("1,000,000 globals", TooComplex, func() []byte {
			return Module(Section(Global, Repeated(append([]byte{I32, 0}, zero...), 1_000_000)))
		}),
		counts("100,000 mutable globals", TooComplex, func() []byte {
			return Module(Section(Global, Repeated(append([]byte{I32, 1}, zero...), 100_000)))
		}),
		counts("1,000,000 data segments", TooComplex, func() []byte {
			return Module(onePage, Section(Data, Repeated(slices.Concat([]byte{0}, zero, []byte{0}), 1_000_000)))
		}),
		counts("1,000,000 passive data segments", TooComplex, func() []byte {
			return Module(onePage, Section(DataCount, U(1_000_000)), Section(Data, Repeated([]byte{1, 0}, 1_000_000)))
		}),
		counts("1,000,000 element segments", TooComplex, func() []byte {
			return Module(oneTable, Section(Elem, Repeated(slices.Concat([]byte{0}, zero, []byte{0}), 1_000_000)))
		}),
		counts("an element segment of 10,000,000", Either, func() []byte {
			return Module(noType, noFunc, oneTable, Section(Elem, Vector(slices.Concat([]byte{1, 0}, Repeated([]byte{0}, 10_000_000)))), noBody)
		}),
		counts("an element segment of 1,000,000 expressions", Either, func() []byte {
			return Module(noType, noFunc, oneTable, Section(Elem, Vector(slices.Concat([]byte{5, Funcref}, Repeated([]byte{0xd2, 0, opEnd}, 1_000_000)))), noBody)
		}),
		counts("100,000 exports", TooComplex, func() []byte { return exporting(100_000, 8) }),
		counts("1,000 exports of 10,000 bytes", Either, func() []byte { return exporting(1000, 10_000) }),
		counts("a table of 2^27", TooComplex, func() []byte { return Module(Section(Table, slices.Concat([]byte{1, Funcref, 0}, U(1<<27)))) }),
		counts("a table of 2^32-1", Refused, func() []byte { return Module(Section(Table, slices.Concat([]byte{1, Funcref, 0}, U(1<<32-1)))) }),
		counts("10,000 tables", TooComplex, func() []byte { return Module(Section(Table, Repeated([]byte{Funcref, 0, 0}, 10_000))) }),
		counts("16 tables of 65,536", TooComplex, func() []byte {
			return Module(Section(Table, Repeated(slices.Concat([]byte{Funcref, 0}, U(1<<16)), 16)))
		}),
		counts("4 GiB of memory", Either, func() []byte { return Module(Section(Memory, slices.Concat([]byte{1, 0}, U(1<<16)))) }),
		counts("4 GiB less a page", Prepared, func() []byte { return Module(Section(Memory, slices.Concat([]byte{1, 0}, U(1<<16-1)))) }),
		counts("a memory of 65,537 pages", Invalid, func() []byte { return Module(Section(Memory, slices.Concat([]byte{1, 0}, U(1<<16+1)))) }),
		counts("10,000 memories", Either, func() []byte { return Module(Section(Memory, Repeated([]byte{0, 0}, 10_000))) }),
		counts("1,000,000 empty custom sections", Either, func() []byte {
			return append([]byte(Header), repeat(Section(Custom, Name("x")), 1_000_000)...)
		}),
		counts("a name section of 10 MB", Either, func() []byte {
			long := slices.Concat(U(1), U(0), Name(strings.Repeat("n", 10_000_000)))
			return Module(noType, noFunc, noBody, Section(Custom, append(Name("name"), Section(1, long)...)))
		}),
		counts("1,000,000 names", Either, func() []byte {
			names := U(1_000_000)
			for i := range 1_000_000 {
				names = append(append(names, U(i)...), 1, 'f')
			}
			return Module(noType, noFunc, noBody, Section(Custom, append(Name("name"), Section(1, names)...)))
		}),
		counts("a constant of 1,000,000 additions", Either, func() []byte {
			sum := slices.Concat([]byte{opConst, 1}, repeat([]byte{opConst, 1, opAdd}, 1_000_000), []byte{opEnd})
			return Module(Section(Global, Vector(append([]byte{I32, 0}, sum...))))
		}),
	}
}

func exporting(n, length int) []byte {
	b := U(n)
	for i := range n {
		b = append(append(b, Name(fmt.Sprintf("%0*d", length, i))...), 0, 0)
	}
	return Module(noType, noFunc, Section(Export, b), noBody)
}

// Malformed are modules that a decoder must refuse, whatever it allows: the counts lie, or the parts are not where they
// belong.
func Malformed() []Bomb {
	bad := func(name string, code []byte) Bomb { return Bomb{name, func() []byte { return code }, Invalid} }
	liar := func(name string, code []byte) Bomb { return Bomb{name, func() []byte { return code }, Refused} }
	liars := []Bomb{}
	for id, name := range []string{"custom", "types", "imports", "functions", "tables", "memories", "globals", "exports", "start", "elements", "code", "data", "data count"} {
		liars = append(liars, liar(name+": a count of 2^32-1 and nothing", Module(Section(byte(id), U(1<<32-1)))))
		liars = append(liars, bad(name+": a size of 2^32-1", append([]byte(Header), append([]byte{byte(id)}, U(1<<32-1)...)...)))
		liars = append(liars, bad(name+": a size of six bytes", append([]byte(Header), byte(id), 0x80, 0x80, 0x80, 0x80, 0x80, 0)))
		liars = append(liars, bad(name+": a size above 32 bits", append([]byte(Header), byte(id), 0x80, 0x80, 0x80, 0x80, 0x10)))
	}
	return append(liars,
		bad("two type sections", Module(noType, noType)),
		bad("two memory sections", Module(onePage, onePage)),
		bad("two code sections", Module(noType, noFunc, noBody, noBody)),
		bad("functions before types", Module(noFunc, noType, noBody)),
		bad("code before functions", Module(noType, noBody, noFunc)),
		bad("a data count behind code", Module(noType, onePage, noFunc, noBody, Section(DataCount, []byte{0}))),
		bad("a section of an unknown id", Module(Section(0x7f, nil))),
		bad("functions without code", Module(noType, noFunc)),
		bad("code without functions", Module(noType, noBody)),
		bad("bytes behind the last item", Module(Section(Type, append(Vector(FuncType(0, 0)), 0)))),
		bad("a body that ends early", Module(noType, noFunc, Section(Code, Vector([]byte{3, 0, opEnd, opEnd})))),
		bad("a body that does not end", Module(noType, noFunc, Section(Code, Vector([]byte{2, 0, 0x01})))),
		bad("a function of type 2^31", Module(noType, Section(Func, append([]byte{1}, U(1<<31)...)), noBody)),
		bad("a local.get of index 2^32-1", Module(noType, noFunc, Section(Code, Vector(Body(0, slices.Concat([]byte{opGet}, U(1<<32-1), []byte{opDrop})...))))),
		bad("a branch out of 2^32-1 blocks", Module(noType, noFunc, Section(Code, Vector(Body(0, slices.Concat([]byte{opBr}, U(1<<32-1))...))))),
		liar("a br_table of 2^32-1 targets and nothing", Module(noType, noFunc, Section(Code, Vector(Body(0, slices.Concat([]byte{opConst, 0, opBrTable}, U(1<<32-1))...))))),
		bad("a data segment of 2^32-1 bytes", Module(onePage, Section(Data, Vector(slices.Concat([]byte{0}, zero, U(1<<32-1)))))),
		bad("a name of 2^32-1 bytes", Module(noType, Section(Import, slices.Concat([]byte{1}, U(1<<32-1), []byte{'m'})))),
		bad("a name that is not UTF-8", Module(noType, Section(Import, Vector([]byte{1, 0xff, 1, 'n', 0, 0})))),
		bad("an operand out of nothing", Functions(nil, Body(0, opAdd, opDrop))),
	)
}

// PaddedModule is a valid module whose every count, size and index has five bytes.
func PaddedModule() []byte {
	section := func(id byte, payload []byte) []byte {
		return slices.Concat([]byte{id}, Padded(len(payload)), payload)
	}
	body := slices.Concat(Padded(0), []byte{opGet}, Padded(0), []byte{opDrop, opEnd})
	return Module(
		section(Type, slices.Concat(Padded(1), []byte{0x60}, Padded(1), []byte{I32}, Padded(0))),
		section(Func, slices.Concat(Padded(1), Padded(0))),
		section(Export, slices.Concat(Padded(1), Padded(1), []byte{'f', 0}, Padded(0))),
		section(Code, slices.Concat(Padded(1), Padded(len(body)), body)),
	)
}
