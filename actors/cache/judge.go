package cache

import (
	"fmt"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/artifacts"
)

const bytesType = "(i32, i32) -> (i64)"

// judge says why prepared code cannot be run as asked, nil if it can; no worker is spent on it. It also settles the mode
// of an entry that names none.
func judge(m artifacts.Module, r *Request) *fault.Error {
	for _, i := range m.Imports {
		if !i.Known && (i.Kind != "func" || r.Imports != run.TrapMissing) {
			f := fault.New(fault.GuestUnknownImport, "link", fault.Quote(i.Module+"."+i.Name), nil)
			if i.Kind != "func" {
				f = f.WithHint("remove the import: the host offers no " + i.Kind + ", and only functions may be missing")
			}
			return f
		}
	}
	if r.Kind != Execute {
		return nil
	}
	if r.Entry.Mode == 0 {
		r.Entry.Mode = run.Command
	}
	name := r.Entry.Name
	if r.Entry.Mode == run.Command {
		name = "_start"
	}
	var found *artifacts.Export
	for n := range m.Exports {
		if e := &m.Exports[n]; e.Kind == "func" && e.Name == name {
			found = e
		}
	}
	switch {
	case found == nil:
		return fault.New(fault.GuestMissingExport, "link", fault.Quote(name), nil)
	case r.Entry.Mode == run.Bytes && found.Type != bytesType:
		return fault.New(fault.GuestBadSignature, "link", fault.Quote(name+found.Type), nil)
	case int64(m.MemoryPages)*run.PageBytes > r.Limits.MemoryBytes:
		return fault.New(fault.GuestMemory, "instantiate", fmt.Sprintf("%d pages at the start", m.MemoryPages), nil)
	}
	return nil
}
