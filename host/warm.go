package host

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/troupehost/troupe/actors/cache"
	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/actors/kernel"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/artifacts"
	"github.com/troupehost/troupe/artifacts/blob"
	"github.com/troupehost/troupe/artifacts/db"
)

const (
	warmEvery  = time.Minute // between two looks at the warm-up list
	warmTenant = "warm:"     // before the tenant, as the owner of a pin: the list's pins are its own
	warmPrefix = 'w'         // in the state database: tenant, 0, code hash -> when it was added
)

// warmList holds codes that stay prepared, over restarts and upgrades. The code is in the blob store, so that it can be
// prepared anew for another engine before anybody asks for it.
type warmList struct {
	h     *Host
	blobs *blob.Store
	state *db.DB
	wake  chan struct{}

	mu    sync.Mutex
	codes map[warmKey]warmCode
}

type warmKey struct {
	tenant string
	code   artifacts.CodeHash
}

type warmCode struct {
	bytes int64
	since time.Time
}

func (k warmKey) name() []byte {
	return append(append(append([]byte{warmPrefix}, k.tenant...), 0), k.code[:]...)
}

func (k warmKey) ref() string { return warmTenant + k.tenant }

func openWarm(h *Host, blobs *blob.Store) (*warmList, error) {
	l := &warmList{h: h, blobs: blobs, state: h.dir.State, wake: make(chan struct{}, 1), codes: map[warmKey]warmCode{}}
	err := l.state.Scan([]byte{warmPrefix}, func(name, v []byte) error {
		tenant, code, ok := bytes.Cut(name[1:], []byte{0})
		if !ok || len(code) != 32 || len(v) != 16 {
			return fault.New(fault.HostDataDirCorrupt, "warm-up list", "", nil)
		}
		l.codes[warmKey{string(tenant), artifacts.CodeHash(code)}] = warmCode{
			since: time.Unix(0, int64(binary.BigEndian.Uint64(v))), bytes: int64(binary.BigEndian.Uint64(v[8:])),
		}
		return nil
	})
	return l, err
}

// sorted returns the list by tenant and code.
func (l *warmList) sorted() []warmKey {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := make([]warmKey, 0, len(l.codes))
	for k := range l.codes {
		out = append(out, k)
	}
	slices.SortFunc(out, func(a, b warmKey) int {
		return cmp.Or(cmp.Compare(a.tenant, b.tenant), bytes.Compare(a.code[:], b.code[:]))
	})
	return out
}

// add makes an entry durable; an entry that is there already stays as it is.
func (l *warmList) add(ctx context.Context, k warmKey, code []byte) (warmCode, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if w, ok := l.codes[k]; ok {
		return w, nil
	}
	n := 0
	for o := range l.codes {
		if o.tenant == k.tenant {
			n++
		}
	}
	if n >= l.h.cfg.MaxWarm {
		return warmCode{}, fault.New(fault.CallerQuota, "warm", fault.Quote(k.tenant), nil).WithHint("take a code off the warm-up list first")
	}
	if _, err := l.blobs.Put(ctx, code, k.ref()); err != nil {
		return warmCode{}, err
	}
	w := warmCode{bytes: int64(len(code)), since: time.Now()}
	v := binary.BigEndian.AppendUint64(nil, uint64(w.since.UnixNano()))
	if err := l.state.Write(ctx, db.Op{Key: k.name(), Value: binary.BigEndian.AppendUint64(v, uint64(w.bytes))}); err != nil {
		_ = l.blobs.Unref(ctx, blob.Hash(k.code), k.ref())
		return warmCode{}, err
	}
	l.codes[k] = w
	l.look()
	return w, nil
}

// look has the list looked at soon.
func (l *warmList) look() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

func (l *warmList) remove(ctx context.Context, k warmKey) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, ok := l.codes[k]; !ok {
		return fault.New(fault.CallerNotFound, "warm", k.code.String(), nil).WithHint("it is not on the warm-up list of this tenant")
	}
	if err := l.state.Remove(ctx, k.name()); err != nil {
		return err
	}
	delete(l.codes, k)
	l.look()
	return l.blobs.Unref(ctx, blob.Hash(k.code), k.ref())
}

// keep prepares what is on the list and not prepared, until ctx ends.
func (l *warmList) keep(ctx context.Context) {
	for ctx.Err() == nil {
		var failed []error
		pinned := l.pinned(ctx)
		for _, k := range l.sorted() {
			if err := l.prepare(ctx, k, pinned[l.pinOf(k)]); err != nil && ctx.Err() == nil {
				failed = append(failed, fmt.Errorf("%s: %w", k.code, err))
			}
		}
		if len(failed) > 0 {
			l.h.health.set("warm.failed", fmt.Sprintf("codes of the warm-up list that are not prepared: %d; the first: %s", len(failed), fault.Quote(failed[0].Error())),
				"mend what the message says, or take the code off the list; it is tried again each minute")
		} else {
			l.h.health.clear("warm.failed")
		}
		select {
		case <-ctx.Done():
		case <-l.wake:
		case <-time.After(warmEvery):
		}
	}
}

// prepare announces one code, which also counts as a use of it, and pins its artifact.
func (l *warmList) prepare(ctx context.Context, k warmKey, pinned bool) error {
	h := l.h
	c := &heldCode{table: h.codes, hash: k.code, key: h.keyOf(k.code, artifacts.Options{})}
	announce := func() error {
		a, err := h.judge(ctx, CodeRequest{Tenant: k.tenant}, c, cache.Request{Kind: cache.HeadsUp, Priority: run.Background,
			Budget: h.budget(h.cfg.PrepareCPU), By: "warm-up of " + k.tenant})
		if err == nil && a.Outcome.Fault != nil {
			err = a.Outcome.Fault
		}
		return err
	}
	err := announce() // without the code, as long as it is not needed
	if fault.CodeOf(err) == fault.CallerNotFound {
		code, berr := l.blobs.Get(ctx, blob.Hash(k.code))
		if berr != nil {
			return berr
		}
		if berr := h.codes.put(k.code, code); berr != nil {
			return berr
		}
		c.held = true
		defer c.release()
		err = announce()
	}
	if err != nil {
		return err
	}
	if pinned || !l.has(k) { // taken off the list meanwhile
		return nil
	}
	return l.pin(ctx, l.pinOf(k), false)
}

func (l *warmList) has(k warmKey) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, ok := l.codes[k]
	return ok
}

// pinOf names the pin of an entry: of the artifact that this build makes of its code.
func (l *warmList) pinOf(k warmKey) warmPin {
	return warmPin{k.ref(), l.h.keyOf(k.code, artifacts.Options{})}
}

type warmPin struct {
	owner string
	key   artifacts.Key
}

func (l *warmList) pin(ctx context.Context, p warmPin, off bool) error {
	_, err := kernel.Ask(ctx, l.h.cache, func(r kernel.Reply[struct{}]) cache.Message {
		return cache.Pin{Key: p.key, Tenant: p.owner, Off: off, Reply: r}
	})
	return err
}

// pinned returns the list's pins, and takes those back that belong to artifacts of other builds, or to codes that are not
// on the list any more.
func (l *warmList) pinned(ctx context.Context) map[warmPin]bool {
	want := map[warmPin]bool{}
	for _, k := range l.sorted() {
		want[l.pinOf(k)] = true
	}
	list, err := kernel.Ask(ctx, l.h.cache, func(r kernel.Reply[[]inspect.Artifact]) cache.Message { return cache.List{Reply: r} })
	if err != nil {
		return nil // the host ends, or it is tried again
	}
	have := map[warmPin]bool{}
	for _, a := range list {
		key, err := artifacts.ParseKey(a.Key)
		if err != nil {
			continue
		}
		for _, owner := range a.Pins {
			p := warmPin{owner, key}
			switch {
			case want[p]:
				have[p] = true
			case strings.HasPrefix(owner, warmTenant):
				_ = l.pin(ctx, p, true) // tried again with the next look
			}
		}
	}
	return have
}

// Warm puts code on the warm-up list of a tenant: it is kept on disk and stays prepared, over restarts of the host and
// upgrades of its engine, whether anybody asks for it or not. Code that is on the list already stays as it is. Priority,
// CPU and Imports of the request are not used: a code is warmed up in the background, within Config.PrepareCPU.
//
// # Errors
//
// caller.invalid_request, caller.not_found, caller.quota, busy.draining, busy.disk_space, guest.code_too_large.
func (h *Host) Warm(ctx context.Context, r CodeRequest) (inspect.Warm, error) {
	if err := h.validateCode(r); err != nil {
		return inspect.Warm{}, err
	}
	if r.CanonicalNaNs {
		return inspect.Warm{}, fault.New(fault.CallerInvalid, "warm", "", nil).WithHint("the warm-up list has no artifacts with canonical NaNs: announce the code instead")
	}
	if err := h.enter(); err != nil {
		return inspect.Warm{}, err
	}
	defer h.leave()
	c, err := h.takeCode(r.Code, r.CodeHash, artifacts.Options{})
	switch {
	case err != nil:
		return inspect.Warm{}, err
	case c.fault != nil:
		return inspect.Warm{}, c.fault
	}
	defer c.release()
	code := r.Code
	if code == nil {
		f, err := h.codes.Open(c.hash)
		if err != nil {
			return inspect.Warm{}, err
		}
		defer f.Release()
		if code, err = io.ReadAll(f.Section(0, f.Size())); err != nil {
			return inspect.Warm{}, fault.New(fault.HostMemory, "warm", c.hash.String(), err)
		}
	}
	k := warmKey{or(r.Tenant, h.cfg.Tenant), c.hash}
	w, err := h.warm.add(ctx, k, code)
	if err != nil {
		return inspect.Warm{}, err
	}
	states, err := h.states(ctx)
	if err != nil {
		return inspect.Warm{}, err
	}
	return h.showWarm(k, w, states), nil
}

// states returns the states of all artifacts by their keys.
func (h *Host) states(ctx context.Context) (map[string]string, error) {
	list, err := kernel.Ask(kernel.Looking(ctx), h.cache, func(r kernel.Reply[[]inspect.Artifact]) cache.Message { return cache.List{Reply: r} })
	states := make(map[string]string, len(list))
	for _, a := range list {
		states[a.Key] = a.State
	}
	return states, err
}

// Unwarm takes code off the warm-up list of a tenant. Its artifact stays until it is pruned.
//
// # Errors
//
// caller.invalid_request, caller.not_found, busy.draining.
func (h *Host) Unwarm(ctx context.Context, tenant, codeHash string) error {
	code, err := artifacts.ParseCodeHash(codeHash)
	if err != nil {
		return err
	}
	if err := h.enter(); err != nil {
		return err
	}
	defer h.leave()
	k := warmKey{or(tenant, h.cfg.Tenant), code}
	if err := h.warm.remove(ctx, k); err != nil {
		return err
	}
	if err := h.warm.pin(ctx, h.warm.pinOf(k), true); err != nil && fault.CodeOf(err) != fault.CallerNotFound {
		return err
	}
	return nil
}

// Warmed returns the warm-up list, by tenant and code.
func (h *Host) Warmed(ctx context.Context) ([]inspect.Warm, error) {
	states, err := h.states(ctx)
	if err != nil {
		return nil, err
	}
	var out []inspect.Warm
	for _, k := range h.warm.sorted() {
		h.warm.mu.Lock()
		w, ok := h.warm.codes[k]
		h.warm.mu.Unlock()
		if ok {
			out = append(out, h.showWarm(k, w, states))
		}
	}
	return out, nil
}

func (h *Host) showWarm(k warmKey, w warmCode, states map[string]string) inspect.Warm {
	key := h.keyOf(k.code, artifacts.Options{}).String()
	return inspect.Warm{CodeHash: k.code.String(), Tenant: k.tenant, Artifact: key, State: cmp.Or(states[key], artifacts.Absent.String()),
		Bytes: w.bytes, Since: w.since}
}
