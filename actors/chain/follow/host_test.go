package follow

import (
	"bytes"
	"fmt"
	"maps"
	"slices"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/artifacts/manifest"
)

// hostModel is what the ports reach: apps, reports, sources and an agent.
type hostModel struct {
	apps     map[manifest.Address]*hostApp
	bench    manifest.Address
	jobs     map[string]*hostJob // by name
	created  map[string]int      // jobs by request
	settled  map[manifest.Address]int
	removed  []manifest.Address
	saved    Saved
	made     int
	problems []string
	announce map[manifest.Address]int
	knows    func() uint64 // how far the follower knows the chain to be final
}

type hostApp struct {
	mine, stopped, settled bool
	session                byte
	knew                   uint64 // height that the follower knew to be final when it stopped it
}

type hostJob struct {
	request string
	done    []string
	polls   int
}

func newHost() *hostModel {
	return &hostModel{
		apps: map[manifest.Address]*hostApp{}, jobs: map[string]*hostJob{}, created: map[string]int{}, settled: map[manifest.Address]int{}, knows: func() uint64 { return 0 }, announce: map[manifest.Address]int{},
	}
}

var manifests = func() map[manifest.Address][]byte {
	out := map[manifest.Address][]byte{}
	for n := range 200 {
		m := fakeManifest(n)
		out[m.Address()] = m.Encode()
	}
	return out
}()

// act does an action as a host would; l tells whether an app has tickets.
func (h *hostModel) act(l *ledger, a Action) (any, error) {
	switch a := a.(type) {
	case ListApps:
		var out []App
		for _, addr := range slices.SortedFunc(maps.Keys(h.apps), func(a, b manifest.Address) int { return bytes.Compare(a[:], b[:]) }) {
			x := h.apps[addr]
			out = append(out, App{Address: addr, Mine: x.mine, Bench: addr == h.bench, Session: [32]byte{x.session}, Stopped: x.stopped})
		}
		return out, nil
	case FetchManifest:
		b := manifests[a.Address]
		if b == nil || a.CID == "bad" {
			return nil, fault.New(fault.CallerNotFound, "fetch", "", nil)
		}
		return b, nil
	case FetchBlob:
		return nil, nil
	case Announce:
		m, err := manifest.Decode(a.Manifest)
		if err == nil {
			h.announce[m.Address()]++
		}
		return nil, err
	case Deploy:
		m, err := manifest.Decode(a.Manifest)
		if err != nil {
			return nil, err
		}
		addr := m.Address()
		if h.apps[addr] == nil {
			h.made++
			h.apps[addr] = &hostApp{mine: true, session: byte(h.made)}
		}
		if a.Bench {
			h.bench = addr
		}
		return App{Address: addr, Mine: h.apps[addr].mine, Bench: addr == h.bench, Stopped: h.apps[addr].stopped}, nil
	case Stop:
		if x := h.apps[a.Address]; x != nil {
			x.stopped, x.knew = true, h.knows()
			if !x.mine {
				h.problems = append(h.problems, "an operator's app was stopped")
			}
		}
		return nil, nil
	case Settle:
		h.settled[a.Address]++
		if x := h.apps[a.Address]; x != nil {
			x.settled = true
		}
		return nil, nil
	case Remove:
		x := h.apps[a.Address]
		if x == nil {
			return nil, nil
		}
		if !x.mine {
			h.problems = append(h.problems, "an operator's app was removed")
		}
		if !x.stopped {
			h.problems = append(h.problems, "an app was removed while it ran")
		}
		for id, t := range l.states[l.final].tickets {
			if t.address != a.Address || x.settled {
				continue
			}
			all := true // the time since it was stopped
			for height := min(x.knew, l.final); height <= l.head(); height++ {
				st := l.states[height]
				o, ok := st.tickets[id]
				all = all && ok && o.address == t.address && st.lists[o.list]
			}
			if all {
				h.problems = append(h.problems, fmt.Sprintf("an app with a ticket was removed without a final report at block %d", l.head()))
			}
		}
		delete(h.apps, a.Address)
		h.removed = append(h.removed, a.Address)
		if h.bench == a.Address {
			h.bench = manifest.Address{}
		}
		return nil, nil
	case SetBench:
		h.bench = a.Address
		return nil, nil
	case FetchImage:
		return Image{CodeHash: a.URL}, nil
	case FetchConfig:
		return []byte("config"), nil
	case SavePlaced:
		h.keep(a.Placed)
		return nil, nil
	case ForgetPlaced:
		h.saved.Placed = slices.DeleteFunc(slices.Clone(h.saved.Placed), func(p Placed) bool { return p.Request == a.Request })
		return nil, nil
	case FindJob:
		for name, j := range h.jobs {
			if j.request == a.Placed.Request {
				return name, nil
			}
		}
		return nil, notFound()
	case Place:
		h.keep(a.Placed)
		h.made++
		h.created[a.Placed.Request]++
		name := fmt.Sprintf("job-%d", h.made)
		for _, j := range h.jobs {
			if j.request == a.Placed.Request {
				h.problems = append(h.problems, "a request has two jobs")
			}
		}
		h.jobs[name] = &hostJob{request: a.Placed.Request}
		a.Placed.Job = name
		h.keep(a.Placed)
		return name, nil
	}
	return h.job(a)
}

func (h *hostModel) keep(p Placed) {
	h.saved.Placed = append(slices.DeleteFunc(slices.Clone(h.saved.Placed), func(o Placed) bool { return o.Request == p.Request }), p)
}

func (h *hostModel) job(a Action) (any, error) {
	switch a := a.(type) {
	case JobStatus:
		j := h.jobs[a.Job]
		if j == nil {
			return nil, notFound()
		}
		if j.polls++; j.polls < 3 {
			return Progress{State: JobInProgress}, nil
		}
		return Progress{State: JobCompleted}, nil
	case JobVNC:
		if h.jobs[a.Job] == nil {
			return nil, notFound()
		}
		return VNC{VMName: "vm-" + a.Job, Port: 5900}, nil
	case JobDo:
		j := h.jobs[a.Job]
		if j == nil {
			if a.Kind == kindDelete {
				return nil, nil
			}
			return nil, notFound()
		}
		if a.Kind == kindDelete {
			delete(h.jobs, a.Job)
			return nil, nil
		}
		if a.Kind == kindResize {
			a.Kind += fmt.Sprint(a.GB)
		}
		j.done = append(j.done, a.Kind)
		return nil, nil
	}
	return nil, fmt.Errorf("no hand for %T", a)
}
