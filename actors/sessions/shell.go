package sessions

import (
	"context"
	"crypto/rand"
	"io"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/kernel"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/artifacts/manifest"
)

// Config is what the actors need.
type Config struct {
	Limits
	Resume  bool // the session and the apps that the store has go on. Else they are forgotten
	Store   Store
	Guests  Guests
	Observe Observer  // nil: nobody
	Rand    io.Reader // nil: that of the machine
	// Cancel ends a request that has a run of its own, whose app is stopped or removed; nil: it goes on to its end. It must not
	// block.
	Cancel func(request uint64)
}

// Spawn starts the sessions actor.
func Spawn(parent kernel.Parent, cfg Config) (kernel.Ref[Message], error) {
	sh := &shell{cfg: cfg, slots: make(chan struct{}, maxWrites)}
	sh.resume.Store(cfg.Resume)
	if sh.cfg.Observe == nil {
		sh.cfg.Observe = nobody{}
	}
	if sh.cfg.Rand == nil {
		sh.cfg.Rand = rand.Reader
	}
	return kernel.Spawn(parent, kernel.Options[Message]{
		Name:    "sessions",
		Mailbox: 8192,
		Tasks:   1 << 20, // each is one write for an app, of which there are Limits.Apps
		New: func(c *kernel.Ctx[Message]) kernel.Handler[Message] {
			h := &managerHandler{shell: sh, core: NewState(cfg.Limits, sh.resume.Load(), c.Incarnation()<<40), apps: map[string]appRef{}}
			h.do(c, Load{})
			return h
		},
		OnExit: func(path string, err error) Message {
			return exited{name: path[strings.LastIndexByte(path, '/')+1:], err: err}
		},
	})
}

// maxWrites is how many changes of the disk are under way at a time.
const maxWrites = 64

// shell is what the handlers of all incarnations share.
type shell struct {
	cfg    Config
	resume atomic.Bool
	dirty  atomic.Bool    // something was noted since the last Sync began
	writes sync.WaitGroup // on their way to the disk
	slots  chan struct{}  // for writes

	mu      sync.Mutex // guards what follows
	written map[uint64]struct{}
	order   []uint64 // of written, a ring
	next    int
}

type nobody struct{}

func (nobody) InstanceStarted(manifest.Address)       {}
func (nobody) InstanceEnded(manifest.Address, string) {}
func (nobody) Refused(manifest.Address, string)       {}

// wrote remembers the keys of uses that are written: one that comes again was lost on the way back, not on the way there.
func (sh *shell) wrote(keys []uint64) {
	if len(keys) == 0 {
		return
	}
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if sh.written == nil {
		sh.written = map[uint64]struct{}{}
	}
	for _, k := range keys {
		if _, known := sh.written[k]; known {
			continue
		}
		sh.written[k] = struct{}{}
		if len(sh.order) < maxKeys {
			sh.order = append(sh.order, k)
			continue
		}
		delete(sh.written, sh.order[sh.next])
		sh.order[sh.next] = k
		sh.next = (sh.next + 1) % maxKeys
	}
}

func (sh *shell) has(key uint64) bool {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	_, ok := sh.written[key]
	return ok && key != 0
}

// write runs a change of the disk beside an actor. What was begun is ended, whatever happens to the actor.
func write[M any](sh *shell, c *kernel.Ctx[M], op func(context.Context) M) {
	sh.writes.Add(1)
	c.Go(func(ctx context.Context) M {
		defer sh.writes.Done()
		sh.slots <- struct{}{}
		defer func() { <-sh.slots }()
		return op(context.WithoutCancel(ctx))
	})
}

// appRef is the actor of an app.
type appRef struct {
	ref kernel.Ref[appMessage]
	gen uint64
}

// managerHandler is one incarnation of the sessions actor.
type managerHandler struct {
	*shell
	core   *State
	apps   map[string]appRef // by name
	untick func()
}

// Receive implements kernel.Handler.
func (h *managerHandler) Receive(c *kernel.Ctx[Message], m Message) {
	switch o := m.(type) {
	case OpenSession:
		o.cnonce = h.nonce()
		m = o
	case Deploy:
		if o.Record.Session == ([32]byte{}) {
			o.Record.Session = h.nonce()
			m = o
		}
	}
	for _, e := range kernel.StepCore(c, kernel.Core[Message, Effect](h.core), m) {
		h.do(c, e)
	}
	if x, ok := m.(exited); ok {
		if a, ok := h.apps[x.name]; ok && h.core.names[x.name] == nil || ok && h.core.names[x.name].gen == a.gen {
			delete(h.apps, x.name)
		}
	}
}

// nonce is a fresh random number. Without chance there are no sessions: the actor fails.
func (h *managerHandler) nonce() (n [32]byte) {
	if _, err := io.ReadFull(h.cfg.Rand, n[:]); err != nil {
		panic(err)
	}
	return n
}

func (h *managerHandler) do(c *kernel.Ctx[Message], e Effect) {
	sh := h.shell
	switch e := e.(type) {
	case Load:
		c.Go(func(ctx context.Context) Message {
			sh.writes.Wait()
			saved, err := sh.cfg.Store.Load(ctx)
			return loaded{saved, err}
		})
	case TookOver:
		sh.resume.Store(true)
	case Forget:
		write(sh, c, func(ctx context.Context) Message {
			for _, a := range e.Apps {
				if err := sh.cfg.Store.RemoveApp(ctx, a); err != nil {
					return forgot{err}
				}
			}
			return forgot{sh.cfg.Store.SaveSession(ctx, WorkerSession{})}
		})
	case SaveSession:
		write(sh, c, func(ctx context.Context) Message { return savedSession{sh.cfg.Store.SaveSession(ctx, e.Session)} })
	case SaveApp:
		write(sh, c, func(ctx context.Context) Message {
			return savedApp{e.Record.Address, e.Gen, sh.cfg.Store.SaveApp(ctx, e.Record)}
		})
	case EraseApp:
		write(sh, c, func(ctx context.Context) Message {
			return erased{e.Address, sh.cfg.Store.RemoveApp(ctx, e.Address)}
		})
	case Reload:
		c.Go(func(ctx context.Context) Message {
			saved, err := sh.cfg.Store.Load(ctx)
			i := slices.IndexFunc(saved.Apps, func(r Record) bool { return r.Address == e.Address })
			if err != nil || i < 0 {
				return reloaded{address: e.Address, gen: e.Gen, err: err}
			}
			return reloaded{address: e.Address, gen: e.Gen, record: saved.Apps[i], found: true}
		})
	case SpawnApp:
		h.spawn(c, e)
	case StopActor:
		h.apps[nameOf(e.Address)].ref.Stop()
	case ToApp:
		h.toApp(c, e)
	case Sync:
		sh.dirty.Store(false)
		write(sh, c, func(ctx context.Context) Message { return synced{e.Number, sh.cfg.Store.Sync(ctx)} })
	case Head:
		c.Go(func(ctx context.Context) Message {
			_ = sh.cfg.Guests.Prepare(ctx, e.Record, e.Manifest, run.Background) // who needs it will hear
			return announced{}
		})
	case Issue:
		for i := range e.Pages {
			e.Pages[i].Token.Nonce = h.nonce()
		}
		e.To.Answer(e.Pages)
	case IssueToken:
		e.Token.Nonce = h.nonce()
		e.To.Answer(e.Token)
	case Refuse:
		refuse(e)
	case Requeue:
		if m, ok := e.Message.(Message); ok {
			c.Requeue(m)
		}
	case WakeAt:
		h.untick = wakeAt(c, h.untick, e.At, Message(tick{}))
	case Warn:
		c.Log().Warn().Err(e.Err).Msg(e.What)
	case giver:
		e.give()
	default:
		c.Log().Error().Err(fault.New(fault.BugProtocol, "sessions", "", nil)).Msg("an effect without a hand")
	}
}

// giver is an answer, whatever its type.
type giver interface {
	give()
	fail(error)
}

func refuse(e Refuse) {
	if m, ok := e.Message.(interface{ Failed(error) }); ok {
		m.Failed(e.Err)
	}
}

func (h *managerHandler) toApp(c *kernel.Ctx[Message], e ToApp) {
	a := h.apps[nameOf(e.Address)]
	if a.gen != e.Gen {
		refuse(Refuse{e.Message, fault.New(fault.CallerNotFound, "app", e.Address.String(), nil)})
		return
	}
	if e.Control {
		_ = a.ref.From(c).Control(e.Message) // one that has ended is heard of
		return
	}
	_ = a.ref.From(c).Send(e.Message) // refused: it is answered
}

func (h *managerHandler) spawn(c *kernel.Ctx[Message], e SpawnApp) {
	name, self, sh := nameOf(e.Setup.Record.Address), c.Self(), h.shell
	ref, err := kernel.Spawn(c, kernel.Options[appMessage]{
		Name:    name,
		Kind:    "app",
		App:     e.Setup.Record.Address.String(),
		Mailbox: 1024,
		New: func(c *kernel.Ctx[appMessage]) kernel.Handler[appMessage] {
			return &appHandler{shell: sh, manager: self, m: e.Setup.Manifest, rec: e.Setup.Record, core: newApp(c.Now(), sh.cfg.Limits, e.Setup),
				kills: map[uint64]context.CancelFunc{}}
		},
		Restart: kernel.Policy{Temporary: true},
	})
	if err != nil {
		e.Begin.Failed(err)
		_ = self.From(c).Control(exited{name: name, err: err})
		return
	}
	h.apps[name] = appRef{ref, e.Setup.Gen}
	_ = ref.From(c).Send(e.Begin)
}

// appHandler is the actor of one app.
type appHandler struct {
	*shell
	manager kernel.Ref[Message]
	rec     Record
	m       *manifest.Manifest
	core    *app
	kills   map[uint64]context.CancelFunc
	doing   []Effect // not carried out yet
	untick  func()
}

// Receive implements kernel.Handler.
func (h *appHandler) Receive(c *kernel.Ctx[appMessage], m appMessage) {
	switch o := m.(type) {
	case Use:
		if h.has(o.Key) {
			o.Reply.Answer(struct{}{})
			return
		}
	case ended:
		delete(h.kills, o.instance)
	}
	for h.doing = kernel.StepCore(c, kernel.Core[appMessage, Effect](h.core), m); len(h.doing) > 0; h.doing = h.doing[1:] {
		h.do(c, h.doing[0])
	}
	h.doing = nil
}

// Stopping is called by the kernel: who waits for an answer of an actor that has failed would wait for ever, since the kernel
// thinks that the sessions actor has the request.
func (h *appHandler) Stopping(c *kernel.Ctx[appMessage]) {
	err := fault.From(context.Cause(c.Context()))
	for _, e := range h.doing {
		if g, ok := e.(giver); ok {
			g.fail(err)
		}
	}
	for _, fail := range h.core.outstanding() {
		fail(err)
	}
}

func (h *appHandler) do(c *kernel.Ctx[appMessage], e Effect) {
	sh := h.shell
	switch e := e.(type) {
	case Prepare:
		c.Go(func(ctx context.Context) appMessage {
			return prepared{e.Priority, sh.cfg.Guests.Prepare(ctx, h.rec, h.m, e.Priority)}
		})
	case Run:
		h.run(c, e.Launch)
	case StopGuest:
		sh.cfg.Guests.Stop(e.Instance)
	case Kill:
		if kill := h.kills[e.Instance]; kill != nil {
			kill()
		}
	case Cancel:
		if sh.cfg.Cancel != nil {
			sh.cfg.Cancel(e.Request)
		}
	case Note:
		write(sh, c, func(ctx context.Context) appMessage {
			err := sh.cfg.Store.Note(ctx, h.rec.Address, e.State)
			if err == nil {
				sh.wrote(e.Keys)
				if !sh.dirty.Swap(true) {
					_ = h.manager.From(kernel.OriginOf(ctx)).Control(dirtied{})
				}
			}
			return noted{err}
		})
	case Save:
		write(sh, c, func(ctx context.Context) appMessage {
			err := sh.cfg.Store.SaveApp(ctx, e.Record)
			if err == nil {
				sh.wrote(e.Keys)
			}
			return noted{err}
		})
	case Tell:
		_ = h.manager.From(c).Control(e.Message)
	case Started:
		sh.cfg.Observe.InstanceStarted(h.rec.Address)
	case Over:
		sh.cfg.Observe.InstanceEnded(h.rec.Address, e.Why)
	case Refused:
		sh.cfg.Observe.Refused(h.rec.Address, e.Code)
	case Refuse:
		refuse(e)
	case Requeue:
		if m, ok := e.Message.(appMessage); ok {
			c.Requeue(m)
		}
	case WakeAt:
		h.untick = wakeAt(c, h.untick, e.At, appMessage(tick{}))
	case Warn:
		c.Log().Warn().Err(e.Err).Msg(e.What)
	case giver:
		e.give()
	default:
		c.Log().Error().Err(fault.New(fault.BugProtocol, "app", "", nil)).Msg("an effect without a hand")
	}
}

// run runs an instance beside the actor, which has not ended before the instance has.
func (h *appHandler) run(c *kernel.Ctx[appMessage], l Launch) {
	ctx, kill := context.WithCancel(kernel.WithCause(c.Context(), c.Cause()))
	h.kills[l.Instance] = kill
	self, guests := c.Self().From(c), h.cfg.Guests
	c.Go(func(context.Context) appMessage {
		defer kill()
		how := guests.Run(ctx, l, func() { _ = self.Control(up{l.Instance}) })
		return ended{l.Instance, how}
	})
}

// wakeAt has a tick come at a time, zero: never, instead of the one that untick takes back.
func wakeAt[M any](c *kernel.Ctx[M], untick func(), at time.Time, tick M) func() {
	if untick != nil {
		untick()
	}
	if at.IsZero() {
		return nil
	}
	return c.After(max(0, at.Sub(c.Now())), tick)
}
