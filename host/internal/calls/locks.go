package calls

import (
	"slices"

	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/host/abi"
)

// lock is a name that one instance of an app has to itself. Its fields are guarded by App.mu. Who waits takes it by itself, when it
// is the first and nobody has it.
type lock struct {
	holder  *heldLock
	waiters []*Instance
}

// heldLock is a lock as its holder's handle has it.
type heldLock struct {
	i    *Instance
	name string
}

func (i *Instance) lock(r *request) run.Answer {
	name := string(r.args[0])
	if name == "" || len(name) > abi.MaxKey {
		return refuse(abi.ErrParam)
	}
	if i.full() {
		return refuse(abi.ErrLimited)
	}
	a := i.app
	a.mu.Lock()
	l := a.locks[name]
	switch {
	case l == nil && len(a.locks) >= abi.MaxLocks, l != nil && len(l.waiters) >= abi.MaxBacklog:
		a.mu.Unlock()
		return refuse(abi.ErrLimited)
	case l == nil:
		l = &lock{}
		a.locks[name] = l
	case l.holder != nil && l.holder.i == i: // it would wait for itself
		a.mu.Unlock()
		return refuse(abi.ErrExists)
	}
	l.waiters = append(l.waiters, i)
	a.mu.Unlock()

	var held *heldLock
	errno := i.wait(r.ctx, r.nums[0], func() (uint32, bool) {
		a.mu.Lock()
		defer a.mu.Unlock()
		if l.holder != nil || l.waiters[0] != i {
			return 0, false
		}
		l.waiters = l.waiters[1:]
		held = &heldLock{i, name}
		l.holder = held
		return abi.ErrNone, true
	})
	if errno != abi.ErrNone {
		a.mu.Lock()
		defer a.mu.Unlock()
		if n := slices.Index(l.waiters, i); n >= 0 {
			l.waiters = slices.Delete(l.waiters, n, n+1)
		}
		a.nextLocked(name, l)
		return refuse(errno)
	}
	return i.give(held) // gives it back if the instance ended meanwhile
}

// nextLocked wakes whose turn it is, or forgets a lock that nobody wants.
func (a *App) nextLocked(name string, l *lock) {
	switch {
	case l.holder != nil:
	case len(l.waiters) > 0:
		l.waiters[0].notify()
	default:
		delete(a.locks, name)
	}
}

func (h *heldLock) release(error) {
	a := h.i.app
	a.mu.Lock()
	defer a.mu.Unlock()
	if l := a.locks[h.name]; l != nil && l.holder == h {
		l.holder = nil
		a.nextLocked(h.name, l)
	}
}
