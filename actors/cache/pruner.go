package cache

import (
	"time"

	"github.com/troupehost/troupe/actors/kernel"
)

// look tells the pruner to look again.
// Sent by: its own timer.
type look struct{}

// looked is what a look found.
// Sent by: cache's answer.
type looked struct {
	pruned Pruned
	err    error
}

type prunerMessage interface{ prunerMessage() }

func (look) prunerMessage()   {}
func (looked) prunerMessage() {}

// spawnPruner starts the child that has the cache look at age and size at a fixed interval.
func spawnPruner(c *kernel.Ctx[Message], every time.Duration) error {
	if every == 0 {
		every = time.Hour
	}
	owner := c.Self()
	_, err := kernel.Spawn(c, kernel.Options[prunerMessage]{
		Name: "pruner",
		New: func(p *kernel.Ctx[prunerMessage]) kernel.Handler[prunerMessage] {
			p.After(every, look{})
			return kernel.HandlerFunc[prunerMessage](func(p *kernel.Ctx[prunerMessage], m prunerMessage) {
				switch m := m.(type) {
				case look:
					kernel.Request(p, owner,
						func(r kernel.Reply[Pruned]) Message { return Prune{Reply: r} },
						func(d Pruned, err error) prunerMessage { return looked{d, err} })
				case looked:
					if m.pruned.Removed > 0 {
						p.Log().Info().Int("artifacts", m.pruned.Removed).Int64("bytes", m.pruned.RemovedBytes).Msg("pruned")
					}
					p.After(every, look{})
				}
			})
		},
	})
	return err
}
