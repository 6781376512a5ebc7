package host

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/troupehost/troupe/actors/chain/follow"
	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/artifacts/db"
	"github.com/troupehost/troupe/artifacts/manifest"
)

// prefixPlacement begins the keys of placements in the database "state"; the number of the request follows.
const prefixPlacement = "cp"

// envRequest names the request in the environment of its guest, so that two requests of one image are two apps.
const envRequest = "TROUPE_REQUEST"

// doorPatience is how long a door waits for the head of a request.
const doorPatience = 10 * time.Second

// doorIdle is how long a connection to a door may be idle.
const doorIdle = time.Minute

// doorPort is where an app answers by HTTP at an address of its own, if it listens at no port itself.
const doorPort = 8080

// placement is an app that serves a compute request. Its JSON form is what is on disk.
type placement struct {
	Request string           `json:"request"`
	Address manifest.Address `json:"address"`
	Job     string           `json:"job"` // the app's session; "": it was not deployed yet
	IP      string           `json:"ip,omitempty"`
	KVBytes uint64           `json:"kv_bytes,omitempty"` // in place of the manifest's; 0: that holds
	Port    uint16           `json:"port,omitempty"`     // the first at which it may listen; 0: at none
	HTTP    bool             `json:"http,omitempty"`     // it is reached by HTTP
	Door    uint16           `json:"door,omitempty"`     // where the chain was told that it is; 0: nowhere yet
}

// placements serve compute requests by apps of this host: it is the agent that a follower has if there is no other.
type placements struct {
	h *Host

	mu    sync.Mutex // guards what follows, and orders writes
	all   map[string]*placement
	doors map[manifest.Address]*http.Server
	ports map[manifest.Address]uint16
}

func openPlacements(h *Host) (*placements, error) {
	p := &placements{h: h, all: map[string]*placement{}, doors: map[manifest.Address]*http.Server{}, ports: map[manifest.Address]uint16{}}
	err := h.dir.State.Scan([]byte(prefixPlacement), func(_, v []byte) error {
		var one placement
		if err := json.Unmarshal(v, &one); err != nil {
			return fault.New(fault.HostDataDirCorrupt, "compute requests", "", err)
		}
		p.all[one.Request] = &one
		return nil
	})
	return p, err
}

// count returns how many requests are served.
func (p *placements) count() int {
	if p == nil {
		return 0
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.all)
}

// terms returns what an app's placement says otherwise than its manifest: where it listens, and how much it may keep.
func (p *placements) terms(a manifest.Address) (ip netip.Addr, kvBytes uint64) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, one := range p.all {
		if one.Address == a {
			ip, _ = netip.ParseAddr(one.IP) // Create has looked at it
			return ip, one.KVBytes
		}
	}
	return
}

func (p *placements) saveLocked(ctx context.Context, one placement) error {
	b, err := json.Marshal(one)
	if err != nil {
		return err
	}
	if err := p.h.dir.State.Write(ctx, db.Op{Key: []byte(prefixPlacement + one.Request), Value: b}); err != nil {
		return err
	}
	p.all[one.Request] = &one
	return nil
}

// Create implements follow.Agent. A request has one app, whatever becomes of the host between two steps: what is on disk names it
// before it is deployed.
func (p *placements) Create(ctx context.Context, want follow.Placement) (string, error) {
	if job, err := p.Find(ctx, want.Request); fault.CodeOf(err) != fault.CallerNotFound {
		return job, err
	}
	m, err := manifest.Decode(want.Manifest)
	if err != nil {
		return "", err
	}
	if err := p.demand(ctx, m); err != nil {
		return "", err
	}
	m.Env = append(m.Env, manifest.Pair{Key: envRequest, Value: want.Request})
	if want.IP != "" {
		ip, err := netip.ParseAddr(want.IP)
		if err != nil {
			return "", fault.New(fault.CallerInvalid, "compute request", fault.Quote(want.IP), err)
		}
		if err := owned(ctx, ip); err != nil {
			return "", err
		}
		want.IP = ip.String()
	}
	if old, stale := p.stale(want.Request, m.Address()); stale { // what it was to be before is another app, which nobody would know of
		if err := p.remove(ctx, old); err != nil {
			return "", err
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	one := placement{Request: want.Request, Address: m.Address(), IP: want.IP}
	g := m.Settled().Grants
	if one.HTTP = g.HTTP; len(g.Listen) > 0 {
		one.Port = g.Listen[0].From
	}
	for _, other := range p.all { // a chain may say anything
		if other.Request != one.Request && one.IP != "" && other.IP == one.IP {
			return "", fault.New(fault.CallerInvalid, "compute request", one.IP, nil).WithHint("the assigned address is that of another request")
		}
	}
	there := p.all[want.Request]
	if there != nil { // its app is gone, if it had a job: it is made again
		one.KVBytes, one.Door = there.KVBytes, there.Door
	}
	if there == nil || *there != one {
		if err := p.saveLocked(ctx, one); err != nil {
			return "", err
		}
	}
	x, err := p.h.deploy(ctx, DeployRequest{Manifest: m.Encode(), Tenant: tenantCompute, Config: want.CloudInit, ReuseInstances: true})
	if fault.CodeOf(err) == fault.CallerAppExists {
		exists := err
		if x, err = p.h.App(ctx, one.Address.String()); err == nil && x.Tenant != tenantCompute { // whoever deployed it keeps it
			err = fault.New(fault.CallerInvalid, "compute request", one.Address.String(), exists).WithHint("somebody else has deployed this app here")
		}
	}
	if err != nil {
		if class := fault.From(err).Class; class == fault.Caller || class == fault.Guest { // it will never be
			err = errors.Join(err, p.forgetLocked(ctx, want.Request))
		}
		return "", err
	}
	one.Job = x.Session
	return one.Job, p.saveLocked(ctx, one)
}

// demand has what lives for a request only run on demand: who names no more than a module as an image has no other way to say so.
func (p *placements) demand(ctx context.Context, m *manifest.Manifest) error {
	kind, err := p.h.apps.kindOf(ctx, m.CodeHash)
	if err != nil {
		return err
	}
	entry, _, err := m.Resolve(kind)
	m.OnDemand = m.OnDemand || entry == manifest.Handler
	return err
}

// stale returns the app that a request was to be and is not, if that is another one now.
func (p *placements) stale(request string, now manifest.Address) (was manifest.Address, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	one := p.all[request]
	if one == nil || one.Job != "" || one.Address == now {
		return was, false
	}
	return one.Address, true
}

// remove removes an app that a request has, or was about to have. One that somebody else deployed is none. The caller does not hold
// mu: an app that is being opened asks for its terms.
func (p *placements) remove(ctx context.Context, a manifest.Address) error {
	x, err := p.h.App(ctx, a.String())
	if err == nil && x.Tenant == tenantCompute {
		_, err = p.h.removeApp(ctx, a.String())
	}
	return unless(err, fault.CallerNotFound)
}

// owned says whether an address is one of this machine, and not all of them.
func owned(ctx context.Context, ip netip.Addr) error {
	if ip.IsUnspecified() || ip.IsMulticast() || ip.Is4In6() || ip.Zone() != "" || ip == netip.AddrFrom4([4]byte{255, 255, 255, 255}) {
		return fault.New(fault.CallerInvalid, "compute request", ip.String(), nil).WithHint("the assigned address is none of a single machine")
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", netip.AddrPortFrom(ip, 0).String())
	if err != nil {
		return fault.New(fault.CallerInvalid, "compute request", ip.String(), err).WithHint("the assigned address is none of this machine")
	}
	return l.Close()
}

func (p *placements) forgetLocked(ctx context.Context, request string) error {
	if err := p.h.dir.State.Remove(ctx, []byte(prefixPlacement+request)); err != nil {
		return err
	}
	delete(p.all, request)
	return nil
}

// Find implements follow.Agent. What a start forgot is not there.
func (p *placements) Find(ctx context.Context, request string) (string, error) {
	p.mu.Lock()
	job := ""
	if one := p.all[request]; one != nil {
		job = one.Job
	}
	p.mu.Unlock()
	if job == "" {
		return "", fault.New(fault.CallerNotFound, "compute request", fault.Quote(request), nil)
	}
	if _, err := p.app(ctx, job); err != nil {
		return "", err
	}
	return job, nil
}

// of returns the placement of a job.
func (p *placements) of(job string) (placement, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, one := range p.all {
		if one.Job == job {
			return *one, nil
		}
	}
	return placement{}, fault.New(fault.CallerNotFound, "job of a compute request", fault.Quote(job), nil)
}

// app returns the app of a job. One that another session has is another app.
func (p *placements) app(ctx context.Context, job string) (inspect.App, error) {
	one, err := p.of(job)
	if err != nil {
		return inspect.App{}, err
	}
	x, err := p.h.App(ctx, one.Address.String())
	if err == nil && x.Session != job {
		err = fault.New(fault.CallerNotFound, "job of a compute request", fault.Quote(job), nil)
	}
	return x, err
}

// Status implements follow.Agent.
func (p *placements) Status(ctx context.Context, job string) (follow.Progress, error) {
	p.reopen(ctx)
	x, err := p.app(ctx, job)
	if err != nil {
		return follow.Progress{}, err
	}
	switch x.State {
	case "preparing", "waiting", "backoff":
		return follow.Progress{State: follow.JobInProgress}, nil
	case "failed":
		return follow.Progress{State: follow.JobFailed, Error: x.Reason}, nil
	case "stopped":
		if x.Wanted > 0 {
			return follow.Progress{State: follow.JobFailed, Error: x.Reason}, nil
		}
	}
	return follow.Progress{State: follow.JobCompleted}, nil
}

// change does something to the app of a job.
func (p *placements) change(ctx context.Context, job string, do func(context.Context, string) (inspect.App, error)) error {
	x, err := p.app(ctx, job)
	if err == nil {
		_, err = do(ctx, x.Address)
	}
	return err
}

// Stop implements follow.Agent.
func (p *placements) Stop(ctx context.Context, job string) error {
	return p.change(ctx, job, p.h.holdApp)
}

// Boot implements follow.Agent.
func (p *placements) Boot(ctx context.Context, job string) error {
	return unless(p.change(ctx, job, p.h.StartApp), fault.CallerAppState) // one that is on demand, and was not stopped
}

// Reboot implements follow.Agent.
func (p *placements) Reboot(ctx context.Context, job string) error {
	return errors.Join(p.Stop(ctx, job), p.Boot(ctx, job))
}

// Resize implements follow.Agent.
func (p *placements) Resize(ctx context.Context, job string, gb uint32) error {
	one, err := p.of(job)
	if err != nil {
		return err
	}
	one.KVBytes = uint64(gb) << 30
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.all[one.Request] == nil {
		return fault.New(fault.CallerNotFound, "job of a compute request", fault.Quote(job), nil)
	}
	if err := p.saveLocked(ctx, one); err != nil {
		return err
	}
	p.h.apps.resizeSpace(one.Address, one.KVBytes)
	return nil
}

// Delete implements follow.Agent.
func (p *placements) Delete(ctx context.Context, job string) error {
	one, err := p.of(job)
	if err != nil {
		return unless(err, fault.CallerNotFound)
	}
	if err := p.remove(ctx, one.Address); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if d := p.doors[one.Address]; d != nil {
		_ = d.Close()
		delete(p.doors, one.Address)
		delete(p.ports, one.Address)
	}
	return p.forgetLocked(ctx, one.Request)
}

// deleteAll ends all that serves requests: they were those of another chain, whose numbers begin anew.
func (p *placements) deleteAll(ctx context.Context) error {
	if p == nil {
		return nil
	}
	p.mu.Lock()
	all := slices.Collect(maps.Values(p.all))
	p.mu.Unlock()
	for _, one := range all {
		if one.Job != "" {
			if err := p.Delete(ctx, one.Job); err != nil {
				return err
			}
			continue
		}
		p.mu.Lock()
		err := p.forgetLocked(ctx, one.Request)
		p.mu.Unlock()
		if err != nil {
			return err
		}
	}
	return nil
}

// VNC implements follow.Agent. The port is the first that the app may listen at; an app that is reached by HTTP and has an address
// of its own gets a door there; else it is 0.
func (p *placements) VNC(ctx context.Context, job string) (follow.VNC, error) {
	x, err := p.app(ctx, job)
	if err != nil {
		return follow.VNC{}, err
	}
	one, err := p.of(job)
	if err != nil {
		return follow.VNC{}, err
	}
	v := follow.VNC{VMName: "vm-" + job}
	switch {
	case one.Port > 0:
		v.Port = uint64(one.Port)
	case one.HTTP && one.IP != "":
		port, err := p.door(ctx, one, x.Address)
		if err != nil {
			return v, err
		}
		v.Port = uint64(port)
	}
	return v, nil
}

// door serves an app by HTTP at its address: what is asked for there is what /app/ADDRESS/ has.
func (p *placements) door(ctx context.Context, one placement, address string) (uint16, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if port, open := p.ports[one.Address]; open {
		return port, nil
	}
	want := uint16(doorPort)
	if one.Door > 0 {
		want = one.Door
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", net.JoinHostPort(one.IP, strconv.Itoa(int(want))))
	if err != nil && one.Door == 0 { // somebody has the port: any other one
		l, err = (&net.ListenConfig{}).Listen(ctx, "tcp", net.JoinHostPort(one.IP, "0"))
	}
	if err != nil {
		return 0, fault.New(fault.HostUnsupported, "listen", one.IP, err)
	}
	if there := p.all[one.Request]; there == nil {
		return 0, errors.Join(fault.New(fault.CallerNotFound, "compute request", fault.Quote(one.Request), nil), l.Close())
	} else if there.Door == 0 {
		told := *there
		told.Door = uint16(l.Addr().(*net.TCPAddr).Port)
		if err := p.saveLocked(ctx, told); err != nil {
			return 0, errors.Join(err, l.Close())
		}
	}
	server := &http.Server{Handler: only(address, p.h.AppHandler()), ReadHeaderTimeout: doorPatience, IdleTimeout: doorIdle, MaxHeaderBytes: 64 << 10}
	p.h.beside.Go(func() { _ = server.Serve(l) })
	p.doors[one.Address] = server
	p.ports[one.Address] = uint16(l.Addr().(*net.TCPAddr).Port)
	return p.ports[one.Address], nil
}

// only serves one app, whatever is asked for: behind the address of one tenant there is no app of another.
func only(address string, inner http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		target := r.RequestURI
		if !strings.HasPrefix(target, "/") {
			target = r.URL.RequestURI() // of an absolute URL
		}
		if !strings.HasPrefix(target, "/") {
			target = "/" // of *
		}
		target = "/app/" + address + target
		u, err := url.ParseRequestURI(target)
		if err != nil {
			http.Error(w, "no path", http.StatusBadRequest)
			return
		}
		r = r.Clone(r.Context())
		r.URL, r.RequestURI = u, target
		inner.ServeHTTP(w, r)
	})
}

// reopen opens the doors of which the chain was told, as far as it can.
func (p *placements) reopen(ctx context.Context) {
	if p == nil {
		return
	}
	p.mu.Lock()
	var told []placement
	for _, one := range p.all {
		if _, open := p.ports[one.Address]; !open && one.Door > 0 {
			told = append(told, *one)
		}
	}
	p.mu.Unlock()
	for _, one := range told {
		if _, err := p.door(ctx, one, one.Address.String()); err != nil {
			p.h.log.Warn().Err(err).Str("request", one.Request).Msg("an app does not answer where the chain says; it is tried again")
		}
	}
}

// close shuts all doors.
func (p *placements) close() {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, d := range p.doors {
		_ = d.Close()
	}
}
