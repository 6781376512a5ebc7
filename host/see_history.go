package host

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/artifacts/manifest"
)

// How much is kept of the use of apps: for an hour a sample each 10 s, for a day one each 5 min. Time in which nothing changed takes two
// samples, however long it is. An app takes at most 300 KiB, all of them 75 MiB. Nothing of it is kept over a restart.
const (
	historyEvery  = 10 * time.Second
	historyFine   = 360
	coarseEvery   = 5 * time.Minute
	historyCoarse = 288
	maxHistories  = 256 // the one that changed longest ago goes first
)

// histories is the use of apps over time. Only apps that used something since the last look are looked at.
type histories struct {
	mu      sync.Mutex
	touched map[manifest.Address]struct{}
	apps    map[manifest.Address]*history
}

// history is the use of one app.
type history struct {
	fine, coarse []AppSample // oldest first
}

// touch has an app looked at with the next look.
func (h *histories) touch(a manifest.Address) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.touched == nil {
		h.touched = map[manifest.Address]struct{}{}
	}
	if len(h.touched) < 16*maxHistories {
		h.touched[a] = struct{}{}
	}
}

// take returns the apps that are to be looked at.
func (h *histories) take() []manifest.Address {
	h.mu.Lock()
	defer h.mu.Unlock()
	out := make([]manifest.Address, 0, len(h.touched))
	for a := range h.touched {
		out = append(out, a)
	}
	clear(h.touched)
	return out
}

func (h *histories) add(a manifest.Address, s AppSample) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.apps == nil {
		h.apps = map[manifest.Address]*history{}
	}
	one := h.apps[a]
	if one == nil {
		if len(h.apps) >= maxHistories {
			h.dropOldestLocked()
		}
		one = &history{}
		h.apps[a] = one
	}
	one.add(s)
}

func (h *histories) dropOldestLocked() {
	var oldest manifest.Address
	var at time.Time
	for a, one := range h.apps {
		if last := one.fine[len(one.fine)-1].At; at.IsZero() || last.Before(at) {
			oldest, at = a, last
		}
	}
	delete(h.apps, oldest)
}

func (h *histories) drop(a manifest.Address) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.apps, a)
	delete(h.touched, a)
}

// of returns what is known of an app, oldest first.
func (h *histories) of(a manifest.Address) []AppSample {
	h.mu.Lock()
	defer h.mu.Unlock()
	one := h.apps[a]
	if one == nil {
		return nil
	}
	out := slices.Clone(one.coarse)
	from := 0
	for from < len(one.fine) && len(out) > 0 && !one.fine[from].At.After(out[len(out)-1].At) {
		from++
	}
	if len(out) > 0 { // where both are known the fine ones count
		first := one.fine[0].At
		for n, s := range out {
			if !s.At.Before(first) {
				out, from = out[:n], 0
				break
			}
		}
	}
	return append(out, one.fine[from:]...)
}

func (h *history) add(s AppSample) {
	if n := len(h.fine); n > 0 {
		s.Metrics.Address, s.Metrics.Session = h.fine[0].Metrics.Address, sameText(h.fine[n-1].Metrics.Session, s.Metrics.Session) // kept once
		if s.Metrics.Session != h.fine[n-1].Metrics.Session {
			h.fine, h.coarse = h.fine[:0], nil // the totals of another session have nothing to do with those before
		}
	}
	h.fine = appendSample(h.fine, s, historyFine)
	for len(h.fine) > 1 && s.At.Sub(h.fine[0].At) > historyFine*historyEvery {
		h.fine = slices.Delete(h.fine, 0, 1)
	}
	if n := len(h.coarse); n == 0 || s.At.Sub(h.coarse[n-1].At) >= coarseEvery {
		h.coarse = appendSample(h.coarse, s, historyCoarse)
		for len(h.coarse) > 1 && s.At.Sub(h.coarse[0].At) > historyCoarse*coarseEvery {
			h.coarse = slices.Delete(h.coarse, 0, 1)
		}
	}
}

func sameText(a, b string) string {
	if a == b {
		return a
	}
	return b
}

// appendSample adds a sample. One that differs from the last two in time only takes the place of the last.
func appendSample(list []AppSample, s AppSample, most int) []AppSample {
	same := func(n int) bool {
		a := list[len(list)-n]
		a.At = s.At
		return a == s
	}
	if len(list) >= 2 && same(1) && same(2) {
		list[len(list)-1] = s
		return list
	}
	if len(list) >= most {
		list = slices.Delete(list, 0, 1)
	}
	return append(list, s)
}

// keepHistory takes a sample of each app that used something. Its actor answers from memory.
func (a *apps) keepHistory(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, countEvery) // an actor that is stuck must not keep others from being counted
	defer cancel()
	for _, addr := range a.history.take() {
		app, err := a.h.App(ctx, addr.String())
		if err != nil {
			if fault.CodeOf(err) != fault.CallerNotFound {
				a.history.touch(addr) // it is looked at again
			}
			continue
		}
		a.history.add(addr, sampleOf(app))
	}
}

func sampleOf(app inspect.App) AppSample {
	return AppSample{At: time.Now().UTC(), Metrics: app.Metrics, Running: app.Running, Queued: app.Queued}
}

// AppHistory returns the use of an app over time, oldest first, with what it is now as the last sample, and the shortest time between two
// samples. Between two that differ in time only nothing happened.
//
// # Errors
//
// caller.not_found, caller.invalid_request.
func (h *Host) AppHistory(ctx context.Context, address string) ([]AppSample, time.Duration, error) {
	app, err := h.App(ctx, address)
	if err != nil {
		return nil, 0, err
	}
	a, err := manifest.ParseAddress(app.Address)
	if err != nil {
		return nil, 0, err
	}
	samples := h.apps.history.of(a)
	now := sampleOf(app)
	if n := len(samples); n > 0 && (samples[n-1].Metrics.Session != now.Metrics.Session || !now.At.After(samples[n-1].At)) {
		return samples, historyEvery, nil
	}
	return append(samples, now), historyEvery, nil
}
