package cache

import (
	"cmp"
	"slices"
	"time"

	"github.com/troupehost/troupe/actors/fault"
)

const maxRevoked = 4096 // tags that are remembered

// revocations remembers the newest revoked tags. Over the limit the tenant with the most loses its oldest, so that nobody
// can push out the tags of others. It outlives an incarnation of the actor: what was revoked stays so.
type revocations struct {
	tenants map[string]map[string]uint64 // tenant -> tag -> when, in the order of revocation
	n       int
	last    uint64
}

func newRevocations() *revocations { return &revocations{tenants: map[string]map[string]uint64{}} }

func (r *revocations) has(tenant, tag string) bool {
	_, ok := r.tenants[tenant][tag]
	return tag != "" && ok
}

func (r *revocations) add(tenant, tag string) {
	tags := r.tenants[tenant]
	if tags == nil {
		tags = map[string]uint64{}
		r.tenants[tenant] = tags
	}
	if _, known := tags[tag]; !known {
		r.n++
	}
	r.last++
	tags[tag] = r.last
	if r.n > maxRevoked {
		r.dropOne()
	}
}

func (r *revocations) dropOne() {
	most := 0
	for _, tags := range r.tenants {
		most = max(most, len(tags))
	}
	tenant, oldest, at := "", "", r.last+1
	for t, tags := range r.tenants {
		if len(tags) < most {
			continue
		}
		for tag, when := range tags {
			if when < at {
				tenant, oldest, at = t, tag, when
			}
		}
	}
	delete(r.tenants[tenant], oldest)
	r.n--
	if len(r.tenants[tenant]) == 0 {
		delete(r.tenants, tenant)
	}
}

func revoked(tag string) *fault.Error {
	return fault.New(fault.CanceledRevoked, "cache", fault.Quote(tag), nil)
}

// revoke ends what carries a tag, whether the index is there or not.
func (s *State) revoke(now time.Time, m Revoke) []Effect {
	if m.Tag == "" {
		return []Effect{HasRevoked{To: m.Reply}}
	}
	s.revoked.add(m.Tenant, m.Tag)
	var out []Effect
	n := 0
	s.early = slices.DeleteFunc(s.early, func(early Message) bool {
		a, ok := early.(Ask)
		if !ok || a.Request.Tenant != m.Tenant || a.Request.Validity != m.Tag {
			return false
		}
		n++
		out = append(out, Reply{To: a.Reply, Kind: a.Request.Kind, Err: revoked(m.Tag)})
		return true
	})
	var hit []*ask
	for _, a := range s.asks {
		if a.Tenant == m.Tenant && a.Validity == m.Tag && !a.departed && !a.revoked {
			hit = append(hit, a)
		}
	}
	slices.SortFunc(hit, func(a, b *ask) int { return cmp.Compare(a.ID, b.ID) })
	for _, a := range hit {
		n++
		if a.entry != nil {
			a.revoked = true
			out = append(out, CancelExecute{Run: a.ID}) // its end answers it
			continue
		}
		out = append(out, s.withdraw(now, a, revoked(m.Tag))...)
	}
	return append(out, HasRevoked{To: m.Reply, N: n})
}
