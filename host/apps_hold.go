package host

import (
	"context"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/sessions"
	"github.com/troupehost/troupe/artifacts/manifest"
)

// heldStore is that of a host which leaves the apps to another one: it shows none, and takes none.
type heldStore struct{}

func errHeld() error {
	return fault.New(fault.CallerAppState, "apps", "this host lives for one request", nil).WithHint("start one that stays: 'troupe serve'")
}

func (heldStore) Load(context.Context) (sessions.Saved, error)                    { return sessions.Saved{}, nil }
func (heldStore) SaveSession(context.Context, sessions.WorkerSession) error       { return errHeld() }
func (heldStore) SaveApp(context.Context, sessions.Record) error                  { return errHeld() }
func (heldStore) RemoveApp(context.Context, manifest.Address) error               { return errHeld() }
func (heldStore) Note(context.Context, manifest.Address, sessions.Progress) error { return errHeld() }
func (heldStore) Sync(context.Context) error                                      { return nil }
