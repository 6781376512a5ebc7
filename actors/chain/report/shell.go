package report

import (
	"context"
	"slices"
	"sync"

	"github.com/troupehost/troupe/actors/chain"
	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/kernel"
)

// Config is what the actor needs.
type Config struct {
	Settings
	Chain   chain.Port
	Outbox  Outbox
	Worker  Worker
	Claims  Claims
	Watcher Watcher // nil: nobody
}

// maxBlocks is how many blocks are on their way to the core.
const maxBlocks = 16

// Spawn starts the reporter.
func Spawn(parent kernel.Parent, cfg Config) (kernel.Ref[Message], error) {
	sh := &shell{cfg: cfg, key: cfg.Worker.Key()}
	if sh.cfg.Watcher == nil {
		sh.cfg.Watcher = nobody{}
	}
	return kernel.Spawn(parent, kernel.Options[Message]{
		Name:    "report",
		Mailbox: 1024,
		Tasks:   1 << 20, // one for each call in the outbox, which is bounded, and some more
		New: func(c *kernel.Ctx[Message]) kernel.Handler[Message] {
			h := &handler{shell: sh, core: NewState(cfg.Settings, sh.key), taken: make(chan struct{}, maxBlocks)}
			_ = c.Self().Control(tick{}) // to itself, which lives
			return h
		},
	})
}

type nobody struct{}

func (nobody) Unpaid([32]byte, []uint64, string) {}
func (nobody) Alarm(*fault.Error)                {}

// shell is what the handlers of all incarnations share.
type shell struct {
	cfg   Config
	key   ID
	sends sync.WaitGroup // on their way into the outbox

	mu   sync.Mutex
	made []sealed // reports that are not in the outbox, in order
}

func (sh *shell) keep(pages []sealed) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	sh.made = append(sh.made, pages...)
}

func (sh *shell) gone(key string) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	sh.made = slices.DeleteFunc(sh.made, func(p sealed) bool { return p.key == key })
}

func (sh *shell) kept() []sealed {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	return slices.Clone(sh.made)
}

// handler is one incarnation.
type handler struct {
	*shell
	core   *State
	taken  chan struct{} // has room for a block
	unwake func()
}

// Receive implements kernel.Handler.
func (h *handler) Receive(c *kernel.Ctx[Message], m Message) {
	if _, ok := m.(block); ok {
		<-h.taken // never blocks: who sent it filled it
	}
	for _, e := range kernel.StepCore(c, kernel.Core[Message, Effect](h.core), m) {
		h.do(c, e)
	}
}

func (h *handler) do(c *kernel.Ctx[Message], e Effect) {
	sh := h.shell
	switch e := e.(type) {
	case Watch:
		h.watch(c)
	case Look:
		c.Go(func(ctx context.Context) Message {
			v, err := look(ctx, sh.cfg.Chain, sh.cfg.Worker, sh.key, sh.cfg.Node)
			return looked{v, err}
		})
	case Recall:
		c.Go(func(ctx context.Context) Message {
			sh.sends.Wait()
			open, err := sh.cfg.Outbox.Open(ctx, keyPrefix)
			return recalled{open, sh.kept(), err}
		})
	case Act:
		sh.sends.Add(1)
		c.Go(func(ctx context.Context) Message {
			defer sh.sends.Done()
			return sh.act(ctx, e)
		})
	case Make:
		sh.sends.Add(1)
		c.Go(func(ctx context.Context) Message {
			defer sh.sends.Done()
			return sh.make(ctx, e)
		})
	case Post:
		sh.sends.Add(1)
		c.Go(func(ctx context.Context) Message {
			defer sh.sends.Done()
			err := sh.cfg.Outbox.Send(context.WithoutCancel(ctx), SettleUse, e.Report.key, e.Report.call)
			if f := fault.From(err); err == nil || f.Class == fault.Caller && f.Code != fault.CallerClosed {
				sh.gone(e.Report.key)
			}
			return posted{e.Report.key, err}
		})
	case Await:
		c.Go(func(ctx context.Context) Message {
			out, err := sh.cfg.Outbox.Wait(ctx, e.Key)
			return outcome{e.Key, out, err}
		})
	case Tell:
		sh.cfg.Watcher.Unpaid(e.App, e.Tickets, e.Why)
	case Alarm:
		sh.cfg.Watcher.Alarm(e.Why)
	case Warn:
		c.Log().Warn().Err(e.Err).Msg(e.What)
	case Wake:
		if h.unwake != nil {
			h.unwake()
		}
		h.unwake = c.After(max(0, e.At.Sub(c.Now())), tick{})
	case Reply:
		if e.Err != nil {
			e.To.Fail(e.Err)
			return
		}
		e.To.Answer(e.Settled)
	case Stands:
		e.To.Answer(e.With)
	case Listed:
		e.To.Answer(e.Page)
	default:
		c.Log().Error().Err(fault.New(fault.BugProtocol, "report", "", nil)).Msg("an effect without a hand")
	}
}

// watch follows the chain from its head. A block is read when the core has taken those before.
func (h *handler) watch(c *kernel.Ctx[Message]) {
	self, taken, sh := c.Self(), h.taken, h.shell
	now := c.Now
	c.Go(func(ctx context.Context) Message {
		info, err := sh.cfg.Chain.Info(ctx)
		if err != nil {
			return lost{err}
		}
		return lost{sh.cfg.Chain.Follow(ctx, info.Head, func(b chain.Block) error {
			select {
			case taken <- struct{}{}:
				return self.Control(blockOf(&b, sh.key, now()))
			case <-ctx.Done():
				return ctx.Err()
			}
		})}
	})
}

// act does what a duty owes, and hands it to the outbox.
func (sh *shell) act(ctx context.Context, e Act) Message {
	d, err := prepare(ctx, sh.cfg.Worker, sh.key, sh.cfg.Node, e)
	if err != nil || d.why != "" {
		return acted{duty: e.Duty, why: d.why, err: err}
	}
	to := context.WithoutCancel(ctx)
	if d.first != nil {
		if err := sh.cfg.Outbox.Send(to, e.Duty, e.Key+"/first", *d.first); err != nil {
			return acted{duty: e.Duty, key: e.Key + "/first", err: err}
		}
	}
	err = sh.cfg.Outbox.Send(to, e.Duty, e.Key, d.call)
	return acted{duty: e.Duty, key: e.Key, sn: d.sn, session: d.session, err: err}
}

// make has reports signed. What is signed is kept until it is in the outbox, whatever happens to the actor.
func (sh *shell) make(ctx context.Context, e Make) Message {
	pages, claims, err := signReports(ctx, sh.cfg.Worker, sh.cfg.Claims, e.Apps)
	sh.keep(pages)
	return made{pages, claims, err}
}
