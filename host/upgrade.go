package host

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/troupehost/troupe/host/internal/pool"
)

const upgraded = "worker.upgraded"

// programs are the files that this host runs, as they were when it started.
type programs struct {
	worker pool.Program
	self   pool.Program // of the host itself; no File: unknown
	warned string
}

func newPrograms(worker pool.Program) *programs {
	p := &programs{worker: worker}
	if path, err := os.Executable(); err == nil {
		if st, err := os.Stat(path); err == nil && !os.SameFile(st, worker.File) {
			p.self = pool.Program{Path: path, File: st}
		}
	}
	return p
}

// changes says what became of the files on disk, or "".
func (p *programs) changes() string {
	what := changed("the worker program", p.worker)
	if own := changed("the program of the host", p.self); what != "" && own != "" {
		what += ", and " + own
	} else {
		what += own
	}
	return what
}

func changed(what string, p pool.Program) string {
	if p.File == nil {
		return ""
	}
	st, err := os.Stat(p.Path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Sprintf("%s %s was removed: this host goes on with the file that it opened", what, p.Path)
	case err != nil: // it cannot be seen, which says nothing
		return ""
	case !os.SameFile(st, p.File):
		return fmt.Sprintf("%s %s was replaced: this host goes on with the file that it opened", what, p.Path)
	case st.Size() != p.File.Size() || !st.ModTime().Equal(p.File.ModTime()):
		return fmt.Sprintf("%s %s was overwritten: new workers are of what it holds now", what, p.Path)
	}
	return ""
}

// watchPrograms warns while the files on disk are not those that this host was started with. It goes on: a file that was
// replaced or removed is still open here, and of one that was overwritten a worker of another build is known by its
// greeting, and ends the host in order.
func (h *Host) watchPrograms() {
	what := h.programs.changes()
	if what == h.programs.warned {
		return
	}
	h.programs.warned = what
	if what == "" {
		h.health.clear(upgraded)
		h.log.Info().Msg("the programs on disk are again those that this host was started with")
		return
	}
	h.health.set(upgraded, what, "restart the host to use what is installed now")
	h.log.Warn().Msg(what)
}
