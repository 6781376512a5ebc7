package wire

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"sync/atomic"
)

// What made an artifact and what understands one. A change of any of these is another build.
const (
	// EngineVersion is the engine, as go.mod pins it; a test compares the two.
	EngineVersion = "wazero v1.12.0"
	// ArtifactFormat is the version of the parts of an artifact.
	ArtifactFormat = 1
	// InstrumentVersion is the version of the instrumentation; 0: code is compiled as it is.
	InstrumentVersion = 0
	// Version is the version of the messages in this package.
	Version = 2
)

// BuildID names everything that a host and its workers must agree on.
func BuildID() string {
	h := sha256.Sum256(fmt.Appendf(nil, "troupe|%s|format %d|instrument %d|wire %d", EngineVersion, ArtifactFormat, InstrumentVersion, Version))
	return hex.EncodeToString(h[:8])
}

// A worker process is told by its arguments that it is one; its environment is empty.
const (
	Arg0   = "troupe-worker"
	Arg1   = "serve-descriptor-3"
	Socket = 3 // the descriptor of the socket
)

// IsWorker reports whether args are those of a worker process.
func IsWorker(args []string) bool { return len(args) == 2 && args[0] == Arg0 && args[1] == Arg1 }

// selfRegistered is a fact about this executable, not about a host: main has handed over to worker.Main first, so
// that the executable may be started again as a worker.
var selfRegistered atomic.Bool

// RegisterSelf records that this executable can be a worker.
func RegisterSelf() { selfRegistered.Store(true) }

// SelfRegistered reports whether this executable can be a worker.
func SelfRegistered() bool { return selfRegistered.Load() }
