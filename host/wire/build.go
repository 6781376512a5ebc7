package wire

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/troupehost/troupe/artifacts/wasm"
	"github.com/troupehost/troupe/host/abi"
)

// What made an artifact and what understands one. A change of any of these is another build.
const (
	// EngineVersion is the engine, as go.mod pins it; a test compares the two. What counts is Engine.
	EngineVersion = "wazero v1.12.0"
	// ArtifactFormat is the version of the parts of an artifact.
	ArtifactFormat = 5
	// WeightsVersion is the version of the table of gas per instruction; a test of host/engine compares the two.
	WeightsVersion = 1
	// InstrumentVersion is the version of the instrumentation and of all that it writes into code: what instructions and
	// calls of the host cost.
	InstrumentVersion = wasm.InstrumentVersion<<20 | WeightsVersion<<10 | abi.ChargeVersion
	// Version is the version of the messages in this package.
	Version = 7
)

// GasTable names the table that gas is counted by, in receipts: the versions of the weights and of the charges for calls.
func GasTable() string { return fmt.Sprintf("%d.%d", WeightsVersion, abi.ChargeVersion) }

// BuildID names everything that a host and its workers must agree on.
func BuildID() string { return buildID() }

var buildID = sync.OnceValue(func() string { return idOf(Engine(), abi.Digest()) })

func idOf(engine, calls string) string {
	h := sha256.Sum256(fmt.Appendf(nil, "troupe|%s|calls %s|format %d|instrument %d|wire %d",
		engine, calls, ArtifactFormat, InstrumentVersion, Version))
	return hex.EncodeToString(h[:8])
}

// Engine names the engine that is linked into this program: the build of an embedder may choose another version than
// this repository, or put something in its place. A program without an engine, as a host with a worker program of its
// own may be, names EngineVersion, and so does one that does not know what is linked into it.
func Engine() string { return engine() }

var engine = sync.OnceValue(func() string {
	info, _ := debug.ReadBuildInfo()
	return engineOf(info)
})

func engineOf(info *debug.BuildInfo) string {
	if info == nil {
		return EngineVersion
	}
	for _, m := range info.Deps {
		switch {
		case m.Path != enginePath:
		case m.Replace != nil:
			return "wazero replaced by " + m.Replace.Path + " " + m.Replace.Version
		default:
			return "wazero " + m.Version
		}
	}
	return EngineVersion
}

const enginePath = "github.com/tetratelabs/wazero"

// A worker process is told by its arguments that it is one; its environment is empty.
const (
	Arg0   = "troupe-worker"
	Arg1   = "serve-descriptor-3"
	Socket = 3 // the descriptor of the socket
)

// ClockExit is the exit status of a worker that its own clocks ended. The signals SIGXCPU and SIGALRM say the same, of a
// worker whose clocks had no handler.
const ClockExit = 94

// IsWorker reports whether args are those of a worker process. What follows the first two is for the package sandbox.
func IsWorker(args []string) bool {
	if len(args) < 2 || args[0] != Arg0 || args[1] != Arg1 {
		return false
	}
	for _, a := range args[2:] {
		if !strings.HasPrefix(a, "ns=") && !isExtra(a) {
			return false
		}
	}
	return true
}

// selfRegistered is a fact about this executable, not about a host: main has handed over to worker.Main first, so
// that the executable may be started again as a worker.
var selfRegistered atomic.Bool

// RegisterSelf records that this executable can be a worker.
func RegisterSelf() { selfRegistered.Store(true) }

// SelfRegistered reports whether this executable can be a worker.
func SelfRegistered() bool { return selfRegistered.Load() }
