package wire

import (
	"fmt"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/artifacts"
)

// MaxPages is the most that linear memory can have, in pages: the compiler misbehaves at 65,536.
const MaxPages = 65535

// Admit refuses a module that no host runs, whatever its limits are: for the number and the names of imports and exports, for
// its tables, of which it defines so many, and for its memory. It returns nil for any other.
//
// # Errors
//
// guest.too_many_symbols, guest.memory_limit.
func Admit(d artifacts.Module, tables int) error {
	if what := symbols(d); what != "" {
		return fault.New(fault.GuestTooManySymbols, "compile", what, nil)
	}
	if d.TableElements > MaxTableElements || tables > MaxTables {
		return fault.New(fault.GuestMemory, "compile", fmt.Sprintf("%d tables with %d elements at the start", tables, d.TableElements), nil)
	}
	if d.MemoryPages > MaxPages {
		return fault.New(fault.GuestMemory, "compile", "initial memory of 65,536 pages", nil)
	}
	return nil
}

// symbols returns what is wrong with the number or the names of imports and exports, or "".
func symbols(d artifacts.Module) string {
	longest := 0
	for _, i := range d.Imports {
		longest = max(longest, len(i.Module), len(i.Name))
	}
	for _, e := range d.Exports {
		longest = max(longest, len(e.Name))
	}
	switch {
	case len(d.Imports) > MaxSymbols:
		return fmt.Sprintf("%d imports of at most %d", len(d.Imports), MaxSymbols)
	case len(d.Exports) > MaxSymbols:
		return fmt.Sprintf("%d exports of at most %d", len(d.Exports), MaxSymbols)
	case longest > MaxSymbolName:
		return fmt.Sprintf("a name of %d bytes of at most %d", longest, MaxSymbolName)
	}
	return ""
}
