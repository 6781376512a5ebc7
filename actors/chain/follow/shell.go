package follow

import (
	"context"
	"errors"
	"fmt"

	"github.com/troupehost/troupe/actors/chain"
	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/kernel"
)

// Config is what the actor needs.
type Config struct {
	Limits
	Chain   chain.Port
	Store   Store
	Apps    Apps
	Reports Reports
	Outbox  Outbox
	Sources Sources
	Agent   Agent // nil: compute requests are left alone
}

// Spawn starts the follower.
func Spawn(parent kernel.Parent, cfg Config) (kernel.Ref[Message], error) {
	sh := &shell{cfg: cfg}
	return kernel.Spawn(parent, kernel.Options[Message]{
		Name:    "follower",
		Mailbox: 1024,
		Tasks:   1 << 16, // reads and actions are bounded by the core; timers are few
		New: func(c *kernel.Ctx[Message]) kernel.Handler[Message] {
			limits := cfg.Limits
			if cfg.Agent == nil {
				limits.NoRequests = true
			}
			sh.load(c)
			return kernel.RunCore(NewState(limits), sh.do)
		},
	})
}

// shell carries out effects.
type shell struct {
	cfg    Config
	cancel context.CancelFunc // of the run of Follow; belongs to the actor
}

func (sh *shell) load(c *kernel.Ctx[Message]) {
	c.Go(func(ctx context.Context) Message {
		saved, err := sh.cfg.Store.Load(ctx)
		return loaded{saved, err}
	})
}

func (sh *shell) do(c *kernel.Ctx[Message], e Effect) {
	switch e := e.(type) {
	case Load:
		sh.load(c)
	case Meet:
		c.Go(func(ctx context.Context) Message {
			info, err := sh.cfg.Chain.Info(ctx)
			return met{info, err}
		})
	case Follow:
		sh.follow(c, e)
	case Unfollow:
		if sh.cancel != nil {
			sh.cancel()
		}
	case Ask:
		c.Go(func(ctx context.Context) Message {
			value, err := e.Read.ask(ctx, sh.cfg.Chain, sh.cfg.Limits.withDefaults())
			return answered{e.Read, value, err}
		})
	case SaveCursor:
		c.Go(func(ctx context.Context) Message { return stored{sh.cfg.Store.SaveCursor(ctx, e.Genesis, e.At)} })
	case Act:
		c.Go(func(ctx context.Context) Message {
			value, err := sh.act(ctx, e.Action)
			if err != nil && ctx.Err() == nil {
				c.Log().Debug().Err(err).Str("action", fmt.Sprintf("%T", e.Action)).Msg("a demand of the chain could not be met; it is tried again, or refused")
			}
			return acted{e.ID, value, err}
		})
	case Wake:
		c.After(e.After, tick{})
	case Claimed:
		if e.Err != nil {
			e.To.Fail(e.Err)
			break
		}
		e.To.Answer(e.Claims)
	case Listed:
		e.To.Answer(e.Page)
	case Stated:
		e.To.Answer(e.Follower)
	case Taken:
		e.To.Answer(struct{}{})
	default:
		c.Log().Error().Err(fault.New(fault.BugProtocol, "follower", "", nil)).Msg("an effect without a hand")
	}
}

// follow runs beside the actor. Each block waits until the one before is taken in, so that a chain that is far ahead fills no mailbox.
func (sh *shell) follow(c *kernel.Ctx[Message], e Follow) {
	ctx, cancel := context.WithCancel(c.Context())
	sh.cancel = cancel
	self := c.Self()
	c.Go(func(context.Context) Message {
		defer cancel()
		err := sh.cfg.Chain.Follow(ctx, e.After, func(b chain.Block) error {
			_, err := kernel.Ask(ctx, self, func(r kernel.Reply[struct{}]) Message { return seen{e.Run, b, r} })
			return err
		})
		return lost{e.Run, err}
	})
}

// act does an action of the core's.
func (sh *shell) act(ctx context.Context, a Action) (any, error) {
	switch a := a.(type) {
	case ListApps:
		return sh.cfg.Apps.List(ctx)
	case FetchManifest:
		return sh.cfg.Sources.Manifest(ctx, a.CID, a.Address)
	case FetchBlob:
		return nil, sh.cfg.Sources.Blob(ctx, a.Hash, a.CID)
	case Announce:
		return nil, sh.cfg.Apps.Announce(ctx, a.Manifest)
	case Deploy:
		return sh.cfg.Apps.Deploy(ctx, a.Manifest, a.Bench)
	case Stop:
		return nil, sh.cfg.Apps.Stop(ctx, a.Address)
	case Settle:
		return nil, sh.cfg.Reports.Settle(ctx, a.Address)
	case Remove:
		return nil, sh.cfg.Apps.Remove(ctx, a.Address)
	case SetBench:
		return nil, sh.cfg.Apps.SetBench(ctx, a.Address)
	case Submit:
		return nil, sh.cfg.Outbox.Submit(ctx, a.Key, a.Call)
	case FetchImage:
		return sh.cfg.Sources.Image(ctx, a.URL)
	case FetchConfig:
		return sh.cfg.Sources.Config(ctx, a.CID)
	case SavePlaced:
		return nil, sh.cfg.Store.SavePlaced(ctx, a.Placed)
	case ForgetPlaced:
		return nil, sh.cfg.Store.DropPlaced(ctx, a.Request)
	default:
		return sh.agent(ctx, a)
	}
}

// agent does an action for a compute request.
func (sh *shell) agent(ctx context.Context, a Action) (any, error) {
	agent := sh.cfg.Agent
	switch a := a.(type) {
	case Place:
		return sh.place(ctx, a)
	case FindJob:
		return agent.Find(ctx, a.Placed.Request)
	case JobStatus:
		return agent.Status(ctx, a.Job)
	case JobVNC:
		return agent.VNC(ctx, a.Job)
	case JobDo:
		switch a.Kind {
		case kindStop:
			return nil, agent.Stop(ctx, a.Job)
		case kindBoot:
			return nil, agent.Boot(ctx, a.Job)
		case kindReboot:
			return nil, agent.Reboot(ctx, a.Job)
		case kindResize:
			return nil, agent.Resize(ctx, a.Job, a.GB)
		case kindDelete:
			err := agent.Delete(ctx, a.Job)
			if errors.Is(err, fault.CallerNotFound) {
				err = nil
			}
			return nil, err
		}
	}
	return nil, fault.New(fault.BugProtocol, "follower", fmt.Sprintf("%T", a), nil)
}

// place has the agent make an instance. That it was asked is on disk before, and what it answered after, so that a crash between both is
// seen, and no second instance made.
func (sh *shell) place(ctx context.Context, a Place) (any, error) {
	if err := sh.cfg.Store.SavePlaced(ctx, a.Placed); err != nil {
		return nil, err
	}
	job, err := sh.cfg.Agent.Create(ctx, a.Placement)
	ctx = context.WithoutCancel(ctx)
	if err != nil {
		if !errors.Is(err, ErrUnknown) {
			return nil, errors.Join(err, sh.cfg.Store.DropPlaced(ctx, a.Placed.Request))
		}
		return nil, err
	}
	a.Placed.Job = job
	if err := sh.cfg.Store.SavePlaced(ctx, a.Placed); err != nil {
		return job, fmt.Errorf("%w: %w", ErrUnknown, err)
	}
	return job, nil
}
