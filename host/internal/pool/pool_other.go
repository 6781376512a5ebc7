//go:build !linux

package pool

import (
	"context"

	"github.com/troupehost/troupe/actors/execute"
	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/actors/prepare"
	"github.com/troupehost/troupe/host/wire"
)

// Pool is never made here: worker processes need Linux.
type Pool struct{}

func unsupported() *fault.Error { return fault.New(fault.HostUnsupported, "worker processes", "", nil) }

// Locate is refused.
func Locate(string) (string, error) { return "", unsupported() }

// New is refused.
func New(context.Context, Config) (*Pool, error) { return nil, unsupported() }

// Facts returns nothing.
func (p *Pool) Facts() Facts { return Facts{} }

// Program returns nothing.
func (p *Pool) Program() Program { return Program{} }

// Workers returns none.
func (p *Pool) Workers() []inspect.Worker { return nil }

// Look returns none.
func (p *Pool) Look() []inspect.Worker { return nil }

// Rides returns none.
func (p *Pool) Rides() []Ride { return nil }

// Preparing returns none.
func (p *Pool) Preparing() map[uint64]string { return nil }

// Kill is refused.
func (p *Pool) Kill(string) error { return unsupported() }

// Retire is refused.
func (p *Pool) Retire(string) (bool, error) { return false, unsupported() }

// Prepare is refused.
func (p *Pool) Prepare(context.Context, prepare.Job, func(prepare.Budget)) prepare.Outcome {
	return prepare.Outcome{Fault: unsupported()}
}

// Steer has nothing to do.
func (p *Pool) Steer(uint64, prepare.Steering) string { return "" }

// Discard has nothing to do.
func (p *Pool) Discard(uint64) {}

// Start is refused.
func (p *Pool) Start(context.Context, execute.Binding) (execute.Worker, error) {
	return nil, unsupported()
}

// KeepSpares has nothing to do.
func (p *Pool) KeepSpares(context.Context) {}

// Check is refused.
func (p *Pool) Check(context.Context, Repeat) (wire.Checked, error) {
	return wire.Checked{}, unsupported()
}

// Close has nothing to do.
func (p *Pool) Close() error { return nil }
