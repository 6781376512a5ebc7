package pool

import (
	"time"

	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/artifacts"
	"github.com/troupehost/troupe/artifacts/sealed"
)

// Repeat is one run that is done again on the engine's interpreter. The files stay the caller's.
type Repeat struct {
	Tenant        string
	Key           artifacts.Key // of the artifact that ran
	Code          *sealed.File  // as it was given
	Input         *sealed.File  // may be empty, not nil
	CanonicalNaNs bool
	Entry         run.Entry
	Limits        run.Limits // those of the run; CPU and Wall bound the process that repeats it
	Imports       run.Imports
}

// CheckNice is the niceness of a process that repeats a run: whatever else the machine has to do goes first.
const CheckNice = 10

// checkMemoryBytes is what the interpreter may take for code beside what the run has: its form of an instruction is some
// twenty times as large as that of the module. Unit: bytes.
const checkMemoryBytes = 2 << 30

// checkWall is how much more time than CPU time a check may take: a busy machine has no core for it.
const checkWall = 10 * time.Minute
