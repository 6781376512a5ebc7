package pool

import (
	"context"
	"io"
	"time"

	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/artifacts"
	"github.com/troupehost/troupe/artifacts/sealed"
)

// CodeSource has the code that jobs name. The caller of Open releases the file.
type CodeSource interface {
	Open(artifacts.CodeHash) (*sealed.File, error)
}

// Handoff keeps the parts of a new artifact until they are stored. Deposit takes over the references; Take gives them to
// its caller, once, and nil for a ticket that is not known.
type Handoff interface {
	Deposit(parts map[string]*sealed.File) (ticket uint64)
	Take(ticket uint64) map[string]*sealed.File
}

// Artifacts has the artifacts that bindings name.
type Artifacts interface {
	Open(ctx context.Context, key artifacts.Key) (Handle, error)
}

// Handle is an open artifact. Part returns a file that stays the handle's, nil if there is no such part.
type Handle interface {
	Part(name string) *sealed.File
	Close()
}

// Runs has the input and output of runs.
type Runs interface {
	Open(run uint64) (RunIO, bool)
}

// RunIO is the input and output of one run. A nil Stdin is at its end; a nil writer means: capture. Release, if set, is
// called when nothing of it is used any more, but for a Read that blocks.
type RunIO struct {
	Input          []byte
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	Release        func()
}

// Config is what a pool needs. All ports must be set before a method that uses them is called.
type Config struct {
	WorkerPath       string // the worker program; empty: see Locate
	MaxInflatedBytes int64  // limit of decompression, part of what keys cover
	StopTimeout      time.Duration
	Code             CodeSource
	Handoff          Handoff
	Artifacts        Artifacts
	Runs             Runs

	// Warn is told that a worker was killed for what it did outside of any run. May be nil; it must not call the pool.
	Warn func(w inspect.Worker, what string)

	argv []string // of a worker; tests start their own kind
}

// Facts are what the probe said about this build of the worker on this machine.
type Facts struct {
	BuildID string
	Build   artifacts.Build
	Sandbox string // the layers that hold, joined by "+"
}
