package engine

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/artifacts/wasm"
)

// functions says which functions of an instrumented module are those of the code as it was given: the imported ones, one that was
// added, those that the code defines, and at the end more that were added.
type functions struct {
	imported, defined uint32
	moved             bool // one was added behind the imported ones
}

// originalOf finds the functions of the code in its skeleton: behind them stand one that calls refill, and one for each imported
// function that has a price.
func originalOf(m *wasm.Module) (f functions) {
	priced := 0
	for n, i := range m.Imports {
		switch {
		case i.Kind != wasm.Func:
		case n == len(m.Imports)-1 && isMeter(i):
			f.moved = true
		default:
			if f.imported++; chargeOf(i.Module, i.Name) != (wasm.Charge{}) {
				priced++
			}
		}
	}
	f.defined = uint32(len(m.Funcs))
	if f.moved {
		f.defined -= min(f.defined, uint32(priced)+1)
	}
	return f
}

// of returns the index that a function had in the code as it was given, and whether it was there at all.
func (f functions) of(index uint32) (uint32, bool) {
	if f.moved && index >= f.imported {
		if index == f.imported {
			return 0, false
		}
		index--
	}
	return index, uint64(index) < uint64(f.imported)+uint64(f.defined)
}

// place names a function of the instrumented module for a message: by its name, its number and where its body stands in the code
// as it was given. It is "" for one that was added, of which nobody wants to hear.
func (a *App) place(index uint32) string {
	index, ok := a.original.of(index)
	if !ok {
		return ""
	}
	name, offset, known := a.symbols.Name(index)
	where := fmt.Sprintf("function %d", index)
	if known && index >= a.original.imported {
		where += fmt.Sprintf(" at %#x", offset)
	}
	if name == "" {
		return where
	}
	if name = fault.Quote(name); len(name) > longestName {
		name = strings.ToValidUTF8(name[:longestName], "") + "…"
	}
	return name + " (" + where + ")"
}

// longestName is how much of a name a message shows, in bytes: there must be room for the rest of it.
const longestName = 128

// trapMessage turns the engine's text into "unreachable in fib (function 12 at 0x1a2b)".
func trapMessage(text string, place func(uint32) string) string {
	lines := strings.Split(text, "\n")
	message := strings.TrimPrefix(lines[0], "wasm error: ")
	for i, l := range lines {
		if !strings.HasPrefix(l, "wasm stack trace:") {
			continue
		}
		for _, frame := range lines[i+1:] {
			if at := placeOf(strings.TrimSpace(frame), place); at != "" {
				return message + " in " + at
			}
		}
	}
	return message
}

// placeOf reads a frame: ".$7(i32) i32" is a function of the guest, whose skeleton has no names, and any other is one of the host.
func placeOf(frame string, place func(uint32) string) string {
	name, _, ok := strings.Cut(frame, "(")
	if !ok {
		return "" // as the line that says that frames were left out
	}
	digits, ours := strings.CutPrefix(name, ".$")
	if !ours {
		return name
	}
	index, err := strconv.ParseUint(digits, 10, 32)
	if err != nil {
		return ""
	}
	return place(uint32(index))
}
