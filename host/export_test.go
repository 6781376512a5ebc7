package host

import (
	"context"
	"sync"
	"testing"

	"github.com/troupehost/troupe/actors/cache"
	"github.com/troupehost/troupe/actors/chain/follow"
	"github.com/troupehost/troupe/actors/execute"
	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/actors/jobs"
	"github.com/troupehost/troupe/actors/kernel"
	"github.com/troupehost/troupe/actors/prepare"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/actors/sessions"
	"github.com/troupehost/troupe/artifacts"
	"github.com/troupehost/troupe/artifacts/manifest"
	"github.com/troupehost/troupe/host/internal/calls"
)

// Ridden returns how many runs of an artifact went past the actors.
func (h *Host) Ridden(artifact string) uint64 {
	key, err := artifacts.ParseKey(artifact)
	if err != nil {
		panic(err)
	}
	return h.lanes.Ended(key)
}

// fails is answered by an actor that does not survive it.
func fails[R any]() kernel.Reply[R] { return kernel.ReplyFunc(func(R, error) { panic("injected") }) }

// Crash has an actor fail: one of cache, execute, jobs, prepare and sessions, or that of the app with this address.
func (h *Host) Crash(actor string) error {
	switch actor {
	case "cache":
		return h.cache.Send(cache.List{Reply: fails[[]inspect.Artifact]()})
	case "execute":
		return h.execute.Send(execute.Inspect{Reply: fails[execute.Snapshot]()})
	case "jobs":
		return h.jobs.Send(jobs.Count{Reply: fails[map[run.JobState]int]()})
	case "prepare":
		return h.prepare.Send(prepare.Inspect{Reply: fails[inspect.Queue]()})
	case "sessions":
		return h.apps.actor.Send(sessions.Session{Reply: fails[sessions.SessionView]()})
	}
	a, err := manifest.ParseAddress(actor)
	if err != nil {
		return err
	}
	return h.apps.actor.Send(sessions.Show{Address: a, Reply: fails[inspect.App]()})
}

// OpenAcrossRemoval has an app opened while it is removed, and says whether it stayed.
func (h *Host) OpenAcrossRemoval(m *manifest.Manifest) (stayed bool, err error) {
	a, rec := h.apps, sessions.Record{Address: m.Address()}
	logs, err := a.logs.App(rec.Address)
	if err != nil {
		return false, err
	}
	o := a.beginOpen(rec.Address)
	defer a.endOpen(o)
	app := &liveApp{a: a, logs: logs, rec: rec, m: m, calls: a.served.App(calls.AppConfig{Address: rec.Address})}
	a.gone(rec.Address)
	_, err = a.keep(o, app)
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.live[rec.Address] != nil, err
}

// Placed returns what serves compute requests by apps of the host.
func (h *Host) Placed() follow.Agent { return h.placed }

// HoldApp stops an app as the chain does.
func (h *Host) HoldApp(ctx context.Context, address string) (inspect.App, error) {
	return h.holdApp(ctx, address)
}

// Wedge has the cache handle a message until release is called.
func (h *Host) Wedge() (release func(), err error) {
	held := make(chan struct{})
	return sync.OnceFunc(func() { close(held) }), h.cache.Send(cache.List{Reply: kernel.ReplyFunc(func([]inspect.Artifact, error) { <-held })})
}

// Crowd spawns actors that do nothing.
func (h *Host) Crowd(tb testing.TB, n int) {
	tb.Helper()
	for i := range n {
		_, err := kernel.Spawn(h.system, kernel.Options[struct{}]{Name: kernel.Numbered("idle", uint64(i)), Kind: "idle",
			New: func(*kernel.Ctx[struct{}]) kernel.Handler[struct{}] {
				return kernel.HandlerFunc[struct{}](func(*kernel.Ctx[struct{}], struct{}) {})
			}})
		if err != nil {
			tb.Fatal(err)
		}
	}
}

// LookAtApps takes samples of the apps that used something, as the host does from time to time.
func (h *Host) LookAtApps(ctx context.Context) { h.apps.keepHistory(ctx) }
