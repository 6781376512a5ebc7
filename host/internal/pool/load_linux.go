package pool

import (
	"os"

	"github.com/troupehost/troupe/actors/execute"
	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/artifacts"
	"github.com/troupehost/troupe/artifacts/sealed"
	"github.com/troupehost/troupe/host/wire"
)

// partNames are the parts of an artifact that a worker loads, and whether each must be there.
var partNames = []struct {
	name string
	must bool
}{{artifacts.PartModule, true}, {artifacts.PartCode, true}, {artifacts.PartFrame, true}, {artifacts.PartImage, false}}

// loadFiles are what a worker is given with an artifact.
type loadFiles struct {
	names     []string
	fds       []uintptr
	code, all int64 // bytes of that part, and of all
	scratch   *os.File
}

// holder is an artifact that is held open.
type holder interface {
	Part(name string) *sealed.File
	SnapshotKey() artifacts.SnapshotKey
}

// filesOf returns the files of an artifact, and a scratch file for a worker of b, which the caller closes.
func filesOf(h holder, b execute.Binding) (f loadFiles, err error) {
	for _, p := range partNames {
		part := h.Part(p.name)
		if part == nil {
			if p.must {
				return f, fault.New(fault.HostArtifactCorrupt, opLoad, b.Key.String(), worded("a part is missing"))
			}
			continue
		}
		f.names, f.fds = append(f.names, p.name), append(f.fds, part.Fd())
		if f.all += part.Size(); p.name == artifacts.PartCode {
			f.code = part.Size()
		}
	}
	// What was made under other terms than those of today is no snapshot. Its bytes are read where they stand, so they count for nothing.
	if part := h.Part(artifacts.PartSnapshot); part != nil && isSnapshotOf(h.SnapshotKey(), b.Key) {
		f.names, f.fds = append(f.names, artifacts.PartSnapshot), append(f.fds, part.Fd())
	}
	if f.scratch, err = sealed.NewScratch("troupe scratch", b.MemoryBytes); err != nil {
		return f, err
	}
	f.names, f.fds = append(f.names, wire.FileScratch), append(f.fds, f.scratch.Fd())
	return f, nil
}
