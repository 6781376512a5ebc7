package host

import (
	"context"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/kernel"
	"github.com/troupehost/troupe/actors/keys"
	"github.com/troupehost/troupe/actors/sessions"
	"github.com/troupehost/troupe/artifacts/blob"
	"github.com/troupehost/troupe/artifacts/db"
	"github.com/troupehost/troupe/artifacts/manifest"
	"github.com/troupehost/troupe/host/internal/appdata"
	"github.com/troupehost/troupe/host/internal/calls"
	"github.com/troupehost/troupe/host/internal/ingress"
	"github.com/troupehost/troupe/host/internal/origin"
	"github.com/troupehost/troupe/host/internal/turns"
)

const (
	slicePerTurn = int64(1_000_000_000)   // gas that a guest of an app uses before it asks for its turn again: about 10 ms
	blobMemory   = int64(64 << 20)        // bytes of verified blobs that guests read
	stopGrace    = 900 * time.Millisecond // for instances to end by themselves, so that a stop takes a second
	keyName      = "worker.key"           // in the data directory
	logsName     = "logs"
)

// apps is what the host has for deployed apps beside their actors.
type apps struct {
	h      *Host
	actor  kernel.Ref[sessions.Message]
	store  sessions.Store
	spaces *appdata.Spaces
	logs   *appdata.Logs
	blobs  *blob.Store
	reader *blob.Reader
	keys   *keys.Keyring
	served *calls.Server
	turns  *turns.Table
	origin *origin.Verifier
	users  *ingress.Server

	history histories
	useKeys atomic.Uint64 // of what was used, in the life of the host

	mu        sync.Mutex
	live      map[manifest.Address]*liveApp
	openings  map[*opening]struct{} // that may become live
	deployed  map[manifest.Address]struct{}
	instances map[uint64]*guest
	guests    map[*guest]struct{}          // these, and the runs of requests
	names     map[string]manifest.Address  // TLS server names
	requests  map[uint64]*admission        // that apps have, or are about to have
	programs  map[blob.Hash]manifest.Entry // the kinds of code that was looked at
}

// openApps opens all that apps need, but for their actors.
func openApps(ctx context.Context, h *Host) (*apps, error) {
	c := h.cfg.Apps
	a := &apps{h: h, live: map[manifest.Address]*liveApp{}, openings: map[*opening]struct{}{}, deployed: map[manifest.Address]struct{}{}, instances: map[uint64]*guest{}, guests: map[*guest]struct{}{},
		names: map[string]manifest.Address{}, requests: map[uint64]*admission{}, programs: map[blob.Hash]manifest.Entry{}}
	a.blobs, a.reader, a.spaces = h.blobs, blob.NewReader(h.blobs, blobMemory), appdata.NewSpaces(h.dir.State)
	var err error
	if a.keys, a.store, err = a.openState(ctx); err != nil {
		return nil, err
	}
	if a.logs, err = appdata.OpenLogs(appdata.LogConfig{Dir: filepath.Join(h.cfg.DataDir, logsName), AppBytes: c.LogBytes,
		Room: func() bool { return h.dir.Space.Status().Level == db.SpaceOK }}); err != nil {
		return nil, err
	}
	private, err := prefixes(c.EgressPrivate)
	if err != nil {
		return nil, err
	}
	a.served = calls.New(calls.Config{Net: calls.Net{Private: private}, ListenRange: manifest.Ports{From: c.ListenFrom, To: c.ListenTo}, BlobReader: a.reader, BlockTime: h.blockTime})
	a.turns = turns.New(runtime.GOMAXPROCS(0), time.Now)
	a.origin = origin.New(origin.Config{Worker: a.keys.Public()})
	a.users = a.newUsers()
	return a, nil
}

// openState opens what outlives the host: the keys, and who the apps are.
func (a *apps) openState(ctx context.Context) (*keys.Keyring, sessions.Store, error) {
	c := a.h.cfg.Apps
	if c.Hold {
		k, err := keys.Open(&keys.Memory{}, keys.Unlock{}, nil) // nothing is signed that somebody else would see
		return k, heldStore{}, err
	}
	unlock := keys.Unlock{Passphrase: c.Passphrase}
	if c.KeyFile != "" {
		b, err := os.ReadFile(c.KeyFile)
		if err != nil {
			return nil, nil, fault.New(fault.CallerConfig, "config", "Apps.KeyFile", err)
		}
		unlock.KeyFile = b
	}
	k, err := keys.Open(keys.File(filepath.Join(a.h.cfg.DataDir, keyName)), unlock, nil)
	if err != nil {
		return nil, nil, err
	}
	return k, appStore{appdata.NewStore(a.h.dir.State), a}, a.recover(ctx)
}

// recover puts right what a crash left, before anybody uses it: blobs that are named for apps which were never saved. It knows
// the server names of the apps that go on.
func (a *apps) recover(ctx context.Context) error {
	saved, err := appdata.NewStore(a.h.dir.State).Load(ctx)
	if err != nil {
		return err
	}
	known := map[string]bool{}
	for _, r := range saved.Apps {
		known[r.Address.String()] = true
		a.deployed[r.Address] = struct{}{}
		if m, err := manifest.Decode(r.Manifest); err == nil && a.h.cfg.Apps.Resume {
			_ = a.claim(r.Address, m.Settled().Grants.Names) // no two of them had one
		}
	}
	return a.blobs.Sweep(ctx, func(_ blob.Hash, name string) bool {
		app, ofApp := blob.AppOf(name)
		return !ofApp || known[app]
	})
}

// start begins the actors of apps. What the last host left is theirs to know.
func (a *apps) start() error {
	h, c := a.h, a.h.cfg.Apps
	var err error
	a.actor, err = sessions.Spawn(h.system, sessions.Config{Limits: sessions.Limits{Slots: c.Slots, Requests: c.Requests, Grace: stopGrace}, Resume: c.Resume,
		Store: a.store, Guests: a, Cancel: a.cancelRequest})
	if err == nil {
		h.beside.Go(func() { a.keepCounting(h.life) })
	}
	return err
}

// cancelRequest ends the run of a request whose app was stopped, also one that is about to begin.
func (a *apps) cancelRequest(id uint64) {
	why := fault.New(fault.GuestNotServing, "request", "the app was stopped", nil)
	var cancel context.CancelCauseFunc
	a.mu.Lock()
	if d := a.requests[id]; d != nil {
		d.stopped, cancel = why, d.cancel
	}
	a.mu.Unlock()
	if cancel != nil {
		cancel(why)
	}
}

// drain ends all instances and has their totals written, as far as that goes until ctx ends.
func (a *apps) drain(ctx context.Context) {
	drained := make(chan struct{})
	if err := a.actor.Control(sessions.Drain{Reply: kernel.ReplyFunc(func(struct{}, error) { close(drained) })}); err != nil {
		a.h.log.Debug().Err(err).Msg("the apps have stopped already")
		return
	}
	select {
	case <-drained:
	case <-ctx.Done():
		a.h.log.Warn().Msg("instances of apps are still there; their workers are killed")
	}
}

// close gives up what needs no actors.
func (a *apps) close() error {
	a.users.Close()
	a.mu.Lock()
	live := slices.Collect(maps.Values(a.live))
	a.mu.Unlock()
	for _, app := range live {
		app.close()
	}
	return a.logs.Close()
}

// appStore is the store of the actors, which also knows when an app is gone.
type appStore struct {
	*appdata.Store
	a *apps
}

// Load implements sessions.Store. The apps that go on have their server names again.
func (s appStore) Load(ctx context.Context) (sessions.Saved, error) {
	saved, err := s.Store.Load(ctx)
	for _, r := range saved.Apps {
		s.a.is(r.Address)
		m, err := manifest.Decode(r.Manifest)
		if err != nil {
			continue // which is for the actor to say
		}
		if err := s.a.claim(r.Address, m.Settled().Grants.Names); err != nil {
			s.a.h.log.Warn().Err(err).Str("app", r.Address.String()).Msg("an app has lost its server names")
		}
	}
	return saved, err
}

// SaveApp implements sessions.Store.
func (s appStore) SaveApp(ctx context.Context, r sessions.Record) error {
	if err := s.Store.SaveApp(ctx, r); err != nil {
		return err
	}
	s.a.is(r.Address)
	return nil
}

// RemoveApp implements sessions.Store.
func (s appStore) RemoveApp(ctx context.Context, addr manifest.Address) error {
	if err := s.Store.RemoveApp(ctx, addr); err != nil {
		return err
	}
	s.a.gone(addr)
	return s.a.blobs.Release(ctx, addr.String())
}
