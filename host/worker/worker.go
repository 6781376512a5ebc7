package worker

import (
	"os"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/host/wire"
)

// Main serves as a worker if this process was started as one, and never returns then. Otherwise it records that this
// executable can be a worker, and returns. Call it first thing in main, or in TestMain.
func Main() {
	if wire.IsWorker(os.Args) {
		os.Exit(serve(wire.Socket, os.Args[2:]))
	}
	wire.RegisterSelf()
}

// words returns the parts of a fault that the host does not know from its code.
func words(f *fault.Error) string {
	s := f.Subject
	if f.Err != nil {
		if s != "" {
			s += ": "
		}
		s += f.Err.Error()
	}
	return s
}
