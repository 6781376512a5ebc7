package report

import (
	"context"
	"strings"
	"time"

	"github.com/troupehost/troupe/actors/chain"
	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/actors/kernel"
)

// Through returns the outbox of a chain actor. waiter returns numbers that are unique on this host. The calls are signed by sender, zero:
// by whoever the actor takes.
func Through(to kernel.Ref[chain.Message], sender chain.Hash, waiter func() uint64) Outbox {
	return through{to, sender, waiter}
}

type through struct {
	to     kernel.Ref[chain.Message]
	sender chain.Hash
	waiter func() uint64
}

const (
	leaveGrace = time.Second // for the answer to who leaves
	listPage   = 100
)

// Send implements Outbox.
func (t through) Send(ctx context.Context, of Duty, key string, call chain.Call) error {
	class := chain.Plain
	switch of {
	case SettleUse:
		class = chain.Report
	case AnswerChallenge:
		class = chain.Urgent
	}
	_, err := kernel.Ask(ctx, t.to, func(r kernel.Reply[inspect.Outgoing]) chain.Message {
		return chain.Send{Key: key, Call: call, Sender: t.sender, Class: class, Reply: r}
	})
	return err
}

// Wait implements Outbox.
func (t through) Wait(ctx context.Context, key string) (Outcome, error) {
	n := t.waiter()
	o, err := kernel.AskWithdrawing(ctx, t.to, func(r kernel.Reply[chain.Outcome]) chain.Message {
		return chain.Wait{Key: key, Waiter: n, Reply: r}
	}, chain.Message(chain.Unwait{Waiter: n}), leaveGrace)
	return Outcome{Height: o.Block.Height, Error: o.Error, Fault: o.Fault}, err
}

// Open implements Outbox.
func (t through) Open(ctx context.Context, prefix string) (keys []string, err error) {
	for after := uint64(0); ; {
		p, err := kernel.Ask(ctx, t.to, func(r kernel.Reply[chain.Page]) chain.Message {
			return chain.List{After: after, Limit: listPage, Reply: r}
		})
		if err != nil {
			return nil, err
		}
		for _, c := range p.Calls {
			if strings.HasPrefix(c.Key, prefix) {
				keys = append(keys, c.Key)
			}
		}
		if p.Next == 0 {
			return keys, nil
		}
		after = p.Next
	}
}
