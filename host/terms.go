package host

import (
	"hash/maphash"
	"slices"
	"sync/atomic"

	"github.com/troupehost/troupe/actors/execute"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/artifacts"
	"github.com/troupehost/troupe/host/internal/lanes"
)

const (
	maxTerms     = 1024    // requests whose terms are remembered
	maxTermBytes = 4 << 10 // of names, arguments and environment of one of them
)

// terms is what requests that differ in their input only have in common, worked out once. It does not change, but for the
// lane.
type terms struct {
	asked Request // only what decides
	hash  artifacts.CodeHash
	code  string // in hex
	key   artifacts.Key
	name  string // of the artifact, in hex
	param string // hash of the parameters

	tenant string
	job    execute.Job // without what differs
	call   lanes.Call
	rides  bool // such a request may ride
	lane   atomic.Pointer[lanes.Lane]
}

// termTable remembers the terms of the newest requests: each has one place, which it shares.
type termTable struct {
	seed   maphash.Seed
	places [maxTerms]atomic.Pointer[terms]
}

func newTermTable() *termTable { return &termTable{seed: maphash.MakeSeed()} }

// place returns where the terms of a request are, if they are remembered..
func (t *termTable) place(r *Request, code string) *atomic.Pointer[terms] {
	h := maphash.String(t.seed, code) + 31*maphash.String(t.seed, r.Entry.Name) + 37*maphash.String(t.seed, r.Tenant) + 41*maphash.String(t.seed, r.app.of())
	return &t.places[h%maxTerms]
}

// sameCode reports whether two requests ask for the same artifact of the same tenant.
func (t *terms) sameCode(r *Request, code string) bool {
	return t.code == code && t.asked.CanonicalNaNs == r.CanonicalNaNs && t.asked.Tenant == r.Tenant && t.job.Binding.App == r.app.of()
}

// same reports whether a request has these terms.
func (t *terms) same(r *Request, code string) bool {
	a := &t.asked
	return t.sameCode(r, code) && a.Entry.Mode == r.Entry.Mode && a.Entry.Name == r.Entry.Name && a.Limits == r.Limits &&
		a.Imports == r.Imports && a.Determinism == r.Determinism && a.Isolation == r.Isolation &&
		slices.Equal(a.Entry.Args, r.Entry.Args) && slices.Equal(a.Entry.Env, r.Entry.Env)
}

// termsOf works out the terms of a request, or finds them. code is the hash of its code in hex.
func (h *Host) termsOf(r *Request, code string) (*terms, error) {
	place := h.terms.place(r, code)
	old := place.Load()
	if old != nil && old.same(r, code) {
		return old, nil
	}
	t := &terms{asked: Request{Tenant: r.Tenant, Entry: r.Entry, Limits: r.Limits, Imports: r.Imports, Determinism: r.Determinism,
		Isolation: r.Isolation, CanonicalNaNs: r.CanonicalNaNs}, tenant: or(r.Tenant, h.cfg.Tenant)}
	t.asked.Entry.Args, t.asked.Entry.Env = slices.Clone(r.Entry.Args), slices.Clone(r.Entry.Env)
	if old != nil && old.sameCode(r, code) {
		t.hash, t.code, t.key, t.name = old.hash, old.code, old.key, old.name
	} else {
		hash, err := artifacts.ParseCodeHash(code)
		if err != nil {
			return nil, err
		}
		t.hash, t.code = hash, hash.String()
		t.key = h.keyOf(hash, artifacts.Options{CanonicalNaNs: r.CanonicalNaNs})
		t.name = t.key.String()
	}
	limits := r.Limits.WithDefaults()
	t.param = run.Params{Tenant: t.tenant, App: r.app.of(), Entry: r.Entry, Limits: limits, Imports: r.Imports, Determinism: r.Determinism, Isolation: r.Isolation}.Hash()
	t.job = execute.Job{Entry: t.asked.Entry, Limits: limits, Imports: r.Imports, Determinism: r.Determinism,
		Binding: execute.Binding{Tenant: t.tenant, App: r.app.of(), Key: t.key, MemoryBytes: limits.MemoryBytes, Isolation: max(r.Isolation, run.Reset)}}
	if t.job.Entry.Mode == 0 {
		t.job.Entry.Mode = run.Command
	}
	t.call = lanes.Call{Mode: t.job.Entry.Mode, Name: t.job.Entry.Name, Imports: r.Imports}
	t.rides = r.Isolation != run.Process
	if old != nil && old.job.Binding == t.job.Binding {
		t.lane.Store(old.lane.Load())
	}
	if entryBytes(r.Entry) <= maxTermBytes {
		place.Store(t)
	}
	return t, nil
}

// laneOf returns the lane of a request, nil if there is none.
func (h *Host) laneOf(t *terms) *lanes.Lane {
	l := t.lane.Load()
	if l == nil || l.Gone() {
		l = h.lanes.Lane(t.job.Binding)
		t.lane.Store(l)
	}
	return l
}

func entryBytes(e run.Entry) int {
	n := len(e.Name)
	for _, l := range [][]string{e.Args, e.Env} {
		for _, s := range l {
			n += len(s)
		}
	}
	return n
}
