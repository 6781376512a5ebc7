package sessions

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/kernel"
	"github.com/troupehost/troupe/actors/meter"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/artifacts/manifest"
)

// disk is a Store in memory.
type disk struct {
	mu      sync.Mutex
	session *WorkerSession
	apps    map[manifest.Address]Record
	notes   int
	syncs   int
	fail    func(op string) error
	hold    func(op string) // called without the lock
}

func (d *disk) op(name string, f func()) error {
	if d.hold != nil {
		d.hold(name)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.fail != nil {
		if err := d.fail(name); err != nil {
			return err
		}
	}
	if f != nil {
		f()
	}
	return nil
}

func (d *disk) Load(context.Context) (s Saved, err error) {
	err = d.op("load", func() { s = Saved{Session: d.session, Apps: slices.Collect(maps.Values(d.apps))} })
	return s, err
}

func (d *disk) SaveSession(_ context.Context, s WorkerSession) error {
	return d.op("session", func() { d.session = &s })
}

func (d *disk) SaveApp(_ context.Context, r Record) error {
	return d.op("save", func() { d.apps[r.Address] = r })
}

func (d *disk) RemoveApp(_ context.Context, a manifest.Address) error {
	return d.op("remove", func() { delete(d.apps, a) })
}

func (d *disk) Note(_ context.Context, a manifest.Address, p Progress) error {
	return d.op("note", func() {
		r := d.apps[a]
		r.State = p
		d.apps[a] = r
		d.notes++
	})
}

func (d *disk) Sync(context.Context) error { return d.op("sync", func() { d.syncs++ }) }

func (d *disk) app(a manifest.Address) Record {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.apps[a]
}

// guests are Guests whose instances do as script says; without one they live until they are stopped.
type guests struct {
	script func(l Launch, stop <-chan struct{}, kill context.Context) Ended
	start  time.Duration // from Run to up
	prep   time.Duration

	mu      sync.Mutex
	asked   []run.Priority
	stops   map[uint64]chan struct{}
	live    map[uint64]manifest.Address
	most    int
	started int
	begun   []time.Time
}

func (g *guests) Prepare(ctx context.Context, _ Record, _ *manifest.Manifest, p run.Priority) error {
	g.mu.Lock()
	g.asked = append(g.asked, p)
	g.mu.Unlock()
	select {
	case <-in(g.prep):
		return nil
	case <-ctx.Done():
		return fault.From(ctx.Err())
	}
}

func (g *guests) Run(ctx context.Context, l Launch, up func()) Ended {
	stop := make(chan struct{})
	g.mu.Lock()
	g.stops[l.Instance], g.live[l.Instance] = stop, l.App.Address
	g.most = max(g.most, len(g.live))
	g.started++
	g.begun = append(g.begun, time.Now())
	g.mu.Unlock()
	defer func() {
		g.mu.Lock()
		delete(g.live, l.Instance)
		delete(g.stops, l.Instance)
		g.mu.Unlock()
	}()
	select {
	case <-in(g.start):
	case <-ctx.Done():
		return Ended{Outcome: run.Outcome{Fault: fault.New(fault.CanceledStopped, "", "", nil)}, Stopped: true}
	}
	up()
	if g.script != nil {
		return g.script(l, stop, ctx)
	}
	return linger(stop, ctx)
}

// linger goes on until it is asked to end.
func linger(stop <-chan struct{}, kill context.Context) Ended {
	select {
	case <-stop:
		return Ended{Stopped: true}
	case <-kill.Done():
		return Ended{Outcome: run.Outcome{Fault: fault.New(fault.CanceledStopped, "", "", nil)}, Stopped: true}
	}
}

func (g *guests) Stop(instance uint64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if c := g.stops[instance]; c != nil {
		close(c)
		delete(g.stops, instance)
	}
}

func (g *guests) count() (live, most, started int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.live), g.most, g.started
}

func (g *guests) of(a manifest.Address) (n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, o := range g.live {
		if o == a {
			n++
		}
	}
	return n
}

// stage is a sessions actor in a bubble of virtual time.
type stage struct {
	t      *testing.T
	disk   *disk
	guests *guests
	sys    *kernel.System
	ref    kernel.Ref[Message]
	limits Limits
	cancel []uint64
	ids    uint64
	begin  time.Time
}

func onStage(t *testing.T, l Limits, f func(s *stage)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := &stage{t: t, limits: l, begin: time.Now(), disk: &disk{apps: map[manifest.Address]Record{}},
			guests: &guests{stops: map[uint64]chan struct{}{}, live: map[uint64]manifest.Address{}}}
		s.up(false)
		f(s)
		s.down()
		if live, _, _ := s.guests.count(); live > 0 {
			t.Errorf("%d instances live after the end of the host", live)
		}
	})
}

func (s *stage) up(resume bool) {
	s.t.Helper()
	var err error
	if s.sys, err = kernel.New(kernel.Config{Log: zerolog.New(zerolog.NewTestWriter(s.t))}); err != nil {
		s.t.Fatal(err)
	}
	s.ref, err = Spawn(s.sys, Config{Limits: s.limits, Resume: resume, Store: s.disk, Guests: s.guests,
		Cancel: func(r uint64) { s.cancel = append(s.cancel, r) }})
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s *stage) down() {
	s.t.Helper()
	if err := s.sys.Stop(context.Background()); err != nil {
		s.t.Error(err)
	}
}

func ask[R any](s *stage, build func(kernel.Reply[R]) Message) (R, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	return kernel.Ask(ctx, s.ref, build)
}

func (s *stage) open() WorkerSession {
	s.t.Helper()
	w, err := ask(s, func(r kernel.Reply[WorkerSession]) Message { return OpenSession{Reply: r} })
	if err != nil {
		s.t.Fatal(err)
	}
	return w
}

// appOf makes a manifest with a label.
func appOf(label string, change func(m *manifest.Manifest)) *manifest.Manifest {
	m := &manifest.Manifest{Version: 2, CodeHash: fmt.Sprintf("sha256:%064d", 0), Label: label, MaxQueryBytes: 1024, Terms: &manifest.Terms{Entry: manifest.Service}}
	if change != nil {
		change(m)
	}
	return m
}

func onDemand(m *manifest.Manifest)  { m.OnDemand = true }
func resizable(m *manifest.Manifest) { m.Resizable = true }

func record(m *manifest.Manifest) Record {
	entry, reuse, err := m.Resolve(manifest.Service)
	if err != nil {
		panic(err)
	}
	return Record{Address: m.Address(), Manifest: m.Encode(), Tenant: "t", Deployed: time.Now().Round(0), Entry: entry, Reuse: reuse}
}

func (s *stage) tryDeploy(m *manifest.Manifest, change func(*Record)) (Standing, error) {
	r := record(m)
	if change != nil {
		change(&r)
	}
	return ask(s, func(to kernel.Reply[Standing]) Message { return Deploy{Record: r, Manifest: m, Reply: to} })
}

func (s *stage) deploy(m *manifest.Manifest) (manifest.Address, Standing) {
	s.t.Helper()
	st, err := s.tryDeploy(m, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	return m.Address(), st
}

func (s *stage) enter(a manifest.Address) (uint64, Admission, error) {
	s.ids++
	id := s.ids
	adm, err := ask(s, func(r kernel.Reply[Admission]) Message { return Enter{Address: a, ID: id, Kind: 1, Reply: r} })
	return id, adm, err
}

func (s *stage) leave(a manifest.Address, id uint64) { _ = s.ref.Control(Leave{Address: a, ID: id}) }

func (s *stage) use(a manifest.Address, key uint64, u meter.Use) error {
	_, err := ask(s, func(r kernel.Reply[struct{}]) Message { return Use{Address: a, Key: key, Use: u, Reply: r} })
	return err
}

func (s *stage) resize(a manifest.Address, n uint32) (Standing, error) {
	return ask(s, func(r kernel.Reply[Standing]) Message { return Resize{Address: a, Instances: n, Reply: r} })
}

func (s *stage) start(a manifest.Address) (Standing, error) {
	return ask(s, func(r kernel.Reply[Standing]) Message { return Start{Address: a, Reply: r} })
}

func (s *stage) stop(a manifest.Address) (Standing, error) {
	return ask(s, func(r kernel.Reply[Standing]) Message { return Stop{Address: a, Reply: r} })
}

func (s *stage) remove(a manifest.Address) (meter.Metrics, error) {
	return ask(s, func(r kernel.Reply[meter.Metrics]) Message { return Remove{Address: a, Reply: r} })
}

func (s *stage) report(a ...manifest.Address) ([]ReportPage, error) {
	return ask(s, func(r kernel.Reply[[]ReportPage]) Message { return Report{Addresses: a, Reply: r} })
}

// in is time.After, but no timer for no time: one that is due when it is made fires in the goroutine that asks, and the race
// detector of Go 1.26 fails when two of a bubble do so side by side.
func in(d time.Duration) <-chan time.Time {
	if d > 0 {
		return time.After(d)
	}
	due := make(chan time.Time)
	close(due)
	return due
}

func (s *stage) after(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

func (s *stage) is(err error, want fault.Code) {
	s.t.Helper()
	if !errors.Is(err, want) {
		s.t.Errorf("got %v, want %s", err, want)
	}
}

func (s *stage) ok(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Error(err)
	}
}
