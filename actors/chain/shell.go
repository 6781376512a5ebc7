package chain

import (
	"context"
	"io"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/actors/kernel"
)

// Config is what the actor needs.
type Config struct {
	Limits
	Port    Port
	Store   Store
	Signers []Signer // the first signs for who names no sender
	// Paused says whether the outbox is paused when an incarnation begins. Nil: it is not.
	Paused func() bool
	// Patience is how long one call of the Port may take, but for Follow. Default 15 s.
	Patience time.Duration
	// Stuck is told why nothing goes on (host.chain_other, host.disk_*, busy.disk_space), and nil when it does again. It must not block.
	Stuck func(why *fault.Error)
}

// Spawn starts the chain actor.
func Spawn(parent kernel.Parent, cfg Config) (kernel.Ref[Message], error) {
	if cfg.Patience <= 0 {
		cfg.Patience = 15 * time.Second
	}
	sh := &shell{cfg: cfg, signers: map[Hash]Signer{}}
	var senders []Hash
	for _, s := range cfg.Signers {
		senders = append(senders, s.Public())
		sh.signers[s.Public()] = s
	}
	return kernel.Spawn(parent, kernel.Options[Message]{
		Name:    "chain",
		Mailbox: 8192,
		Tasks:   1 << 20, // each is a write of an entry, or bounded by the core
		New: func(c *kernel.Ctx[Message]) kernel.Handler[Message] {
			sh.cancel = func() {}
			core := kernel.RunCore(NewState(cfg.Limits, senders, rand.Uint64()), sh.do)
			if cfg.Paused != nil && cfg.Paused() {
				core.Receive(c, Pause{On: true})
			}
			sh.load(c)
			return kernel.HandlerFunc[Message](func(c *kernel.Ctx[Message], m Message) {
				switch m := m.(type) {
				case done:
				case pumped:
					c.Outside()
					core.Receive(c, m.read)
					sh.pump(c, m.connection, m.blocks)
				default:
					core.Receive(c, m)
				}
			})
		},
	})
}

// done is the end of what nobody waits for.
type done struct{}

// pumped is a block, and where the next one comes from.
type pumped struct {
	read
	blocks <-chan Block
}

func (done) chainMessage() {}

// shell carries out effects. It outlives incarnations.
type shell struct {
	cfg     Config
	signers map[Hash]Signer
	writes  sync.WaitGroup // on their way to the disk
	cancel  func()         // ends the Follow
}

// load reads the store when all that was to be written is.
func (sh *shell) load(c *kernel.Ctx[Message]) {
	c.Go(func(ctx context.Context) Message {
		sh.writes.Wait()
		saved, err := sh.cfg.Store.Load(ctx)
		if err != nil {
			c.Log().Error().Err(err).Msg("the outbox could not be read; it is tried again")
		}
		return loaded{saved, err}
	})
}

// write runs a change of the disk beside the actor. What was begun is ended, whatever happens to the actor.
func (sh *shell) write(c *kernel.Ctx[Message], op func(context.Context) Message) {
	sh.writes.Add(1)
	c.Go(func(ctx context.Context) Message {
		defer sh.writes.Done()
		return op(context.WithoutCancel(ctx))
	})
}

// call runs a call of the port beside the actor, for as long as it may take.
func (sh *shell) call(c *kernel.Ctx[Message], op func(context.Context) Message) {
	c.Go(func(ctx context.Context) Message {
		ctx, cancel := context.WithTimeoutCause(ctx, sh.cfg.Patience, errSlow)
		defer cancel()
		return op(ctx)
	})
}

var errSlow = fault.New(fault.BusyChain, "call", "", context.DeadlineExceeded)

// reached names an error of the port: whatever has no class is the chain's, and so is the end of patience.
func reached(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return fault.From(context.Cause(ctx))
	}
	if f := fault.From(err); f.Code != fault.BugUnexpected && f.Class != fault.Canceled {
		return f
	}
	return fault.New(fault.BusyChain, "call", "", err)
}

// follow reads blocks beside the actor, which takes one after the other.
func (sh *shell) follow(c *kernel.Ctx[Message], e Follow) {
	sh.cancel()
	ctx, cancel := context.WithCancel(c.Context())
	sh.cancel = cancel
	blocks := make(chan Block)
	c.Go(func(context.Context) Message {
		defer close(blocks)
		err := sh.cfg.Port.Follow(ctx, e.After, func(b Block) error {
			select {
			case blocks <- b:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
		return lost{connection: e.Connection, err: reached(ctx, err)}
	})
	sh.pump(c, e.Connection, blocks)
}

func (sh *shell) pump(c *kernel.Ctx[Message], connection uint64, blocks <-chan Block) {
	c.Go(func(context.Context) Message {
		b, ok := <-blocks
		if !ok {
			return done{}
		}
		return pumped{read{connection, b}, blocks}
	})
}

func (sh *shell) sign(c *kernel.Ctx[Message], e Sign) {
	c.Go(func(ctx context.Context) Message {
		back := signed{number: e.Number, made: e.Made}
		call, err := sh.cfg.Store.Call(ctx, e.Number)
		signer := sh.signers[e.Sender]
		if err == nil && signer.Public() != e.Sender { // the key was replaced; what it signs would be called invalid
			err = fault.New(fault.HostKey, "sign", e.Sender.String(), nil).WithHint("restart the host, so that it sends with the key that there is now")
		}
		if err == nil {
			back.tx, err = sh.cfg.Port.Sign(call, Signing{Signer: signer, Genesis: e.Genesis, Nonce: e.Nonce, ValidUntil: e.ValidUntil})
		}
		back.err = reached(ctx, err)
		return back
	})
}

func (sh *shell) do(c *kernel.Ctx[Message], e Effect) {
	store, port := sh.cfg.Store, sh.cfg.Port
	switch e := e.(type) {
	case Load:
		sh.load(c)
	case Add:
		sh.write(c, func(ctx context.Context) Message {
			old, err := store.Add(ctx, e.Record, e.Call)
			return added{number: e.Record.Number, old: old, err: err}
		})
	case Write:
		sh.write(c, func(ctx context.Context) Message {
			if e.Finish {
				return wrote{e.Record.Number, store.Finish(ctx, e.Record)}
			}
			return wrote{e.Record.Number, store.Save(ctx, e.Record, e.Tx)}
		})
	case SaveMark:
		sh.write(c, func(ctx context.Context) Message { return marked{e.Mark, store.SaveMark(ctx, e.Mark)} })
	case Trim:
		sh.write(c, func(ctx context.Context) Message { return trimmed{store.Trim(ctx, e.Keep)} })
	case Find:
		c.Go(func(ctx context.Context) Message {
			r, err := store.Find(ctx, e.Key)
			return found{ask: e.Ask, record: r, err: err}
		})
	case Turn:
		c.Go(func(ctx context.Context) Message {
			records, next, err := store.History(ctx, e.List.After, e.List.Newest, e.List.Limit)
			p := Page{Next: next}
			for _, r := range records {
				p.Calls = append(p.Calls, show(r))
			}
			give(e.List.Reply, p, err)
			return done{}
		})
	case Sign:
		sh.sign(c, e)
	case Submit:
		sh.call(c, func(ctx context.Context) Message {
			tx, err := store.Tx(ctx, e.Number)
			if err == nil {
				err = port.Submit(ctx, tx)
			}
			return submitted{e.Number, e.Hash, reached(ctx, err)}
		})
	case Dial:
		sh.call(c, func(ctx context.Context) Message {
			info, err := port.Info(ctx)
			return dialed{e.Connection, info, reached(ctx, err)}
		})
	case AskNonce:
		sh.call(c, func(ctx context.Context) Message {
			a, err := port.Account(ctx, e.Sender)
			return nonce{connection: e.Connection, asked: e.Asked, sender: e.Sender, next: a.Nonce, err: reached(ctx, err)}
		})
	case Follow:
		sh.follow(c, e)
	case Hangup:
		sh.cancel()
	case Wake:
		c.After(e.After, tick{e.At})
	case Stuck:
		if e.Why != nil {
			c.Log().Warn().Err(e.Why).Msg("nothing goes on to the chain for now")
		}
		if sh.cfg.Stuck != nil {
			sh.cfg.Stuck(e.Why)
		}
	case Refuse:
		if m, ok := e.Message.(interface{ Failed(error) }); ok {
			m.Failed(e.Err)
		}
	case Requeue:
		c.Requeue(e.Message)
	default:
		sh.answer(c, e)
	}
}

func (sh *shell) answer(c *kernel.Ctx[Message], e Effect) {
	switch e := e.(type) {
	case Shown:
		give[inspect.Outgoing](e.To, e.Call, e.Err)
	case Ended:
		give(e.To, e.Outcome, e.Err)
	case Listed:
		e.To.Answer(e.Page)
	case Stated:
		e.To.Answer(e.Chain)
	case Adopted:
		give(e.To, struct{}{}, e.Err)
	case Paused:
		e.To.Answer(struct{}{})
	default:
		c.Log().Error().Err(fault.New(fault.BugProtocol, "chain", "", nil)).Msg("an effect without a hand")
	}
}

func give[R any](to kernel.Reply[R], r R, err error) {
	if err != nil {
		to.Fail(err)
		return
	}
	to.Answer(r)
}

// Backed is a Port whose chain lives in this process, and is saved with its host.
type Backed interface {
	// Snapshot returns the chain as it is now: every block that somebody has seen is in it.
	Snapshot() (Snapshot, error)
}

// Snapshot is a chain as it was at one moment.
type Snapshot interface {
	// Files are the small files that belong to it, by their names in the directory of the chain: its genesis, and in blocks those beside
	// its database.
	Files() map[string][]byte
	// Write writes its database, and returns how many keys there are.
	Write(ctx context.Context, w io.Writer) (keys int64, err error)
	// Close gives it up. It must be called before the chain is closed.
	Close()
}
