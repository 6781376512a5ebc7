package host

import (
	"context"

	"github.com/troupehost/troupe/actors/chain"
	"github.com/troupehost/troupe/actors/chain/follow"
	"github.com/troupehost/troupe/actors/chain/report"
	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/actors/kernel"
)

// maxChainPage bounds what one call lists.
const maxChainPage = 100

// chained returns the chain, or says that there is none.
func (h *Host) chained() (*chained, error) {
	if p := h.chain.Load(); p != nil {
		return p, nil
	}
	return nil, fault.New(fault.CallerNotFound, "chain", "", nil).WithHint("this host has no chain: 'troupe serve' has one, and Config.Chain")
}

// Chain shows what this host has to do with its chain.
//
// # Errors
//
// caller.not_found without a chain.
func (h *Host) Chain(ctx context.Context) (v inspect.ChainView, err error) {
	p, err := h.chained()
	if err != nil {
		return v, err
	}
	v.URL = h.cfg.Chain.URL
	ctx = kernel.Looking(ctx)
	if v.Chain, err = kernel.Ask(ctx, p.outbox, func(to kernel.Reply[inspect.Chain]) chain.Message { return chain.Status{Reply: to} }); err != nil {
		return v, err
	}
	if v.Reporter, err = kernel.Ask(ctx, p.reporter, func(to kernel.Reply[inspect.Reporter]) report.Message { return report.Status{Reply: to} }); err != nil {
		return v, err
	}
	v.Follower, err = kernel.Ask(ctx, p.follower, func(to kernel.Reply[inspect.Follower]) follow.Message { return follow.Status{Reply: to} })
	return v, err
}

// ChainCalls lists calls on their way to the chain, or those that are settled, the newest first if newest. next is 0 when there are no
// more.
//
// # Errors
//
// caller.not_found without a chain.
func (h *Host) ChainCalls(ctx context.Context, f CallFilter) (calls []inspect.Outgoing, next uint64, err error) {
	p, err := h.chained()
	if err != nil {
		return nil, 0, err
	}
	page, err := p.calls(ctx, f.History, f.Newest, f.After, pageSize(f.Limit))
	return page.Calls, page.Next, err
}

// CallFilter chooses calls of a list.
type CallFilter struct {
	History bool   // those that are settled
	Newest  bool   // backwards
	After   uint64 // number of the last one of the page before
	Limit   int    // default and most: 100
}

func pageSize(limit int) int {
	if limit <= 0 || limit > maxChainPage {
		return maxChainPage
	}
	return limit
}

// ChainDemands lists what the chain wants of this host, in the order of ids behind after. next is "" when there is no more.
//
// # Errors
//
// caller.not_found without a chain.
func (h *Host) ChainDemands(ctx context.Context, after string, limit int) (demands []inspect.Demand, next string, err error) {
	p, err := h.chained()
	if err != nil {
		return nil, "", err
	}
	page, err := kernel.Ask(kernel.Looking(ctx), p.follower, func(to kernel.Reply[follow.Page]) follow.Message {
		return follow.List{After: after, Limit: pageSize(limit), Reply: to}
	})
	return page.Demands, page.Next, err
}

// ChainPay lists what apps have earned, in the order of addresses behind after. next is "" when there is no more.
//
// # Errors
//
// caller.not_found without a chain.
func (h *Host) ChainPay(ctx context.Context, after string, limit int) (apps []inspect.Pay, next string, err error) {
	p, err := h.chained()
	if err != nil {
		return nil, "", err
	}
	page, err := kernel.Ask(kernel.Looking(ctx), p.reporter, func(to kernel.Reply[report.Pages]) report.Message {
		return report.List{After: after, Limit: pageSize(limit), Reply: to}
	})
	return page.Apps, page.Next, err
}

// ReportToChain has the use of apps settled now, of all of them without addresses, and returns when that is final. It returns in how
// many reports, and the height of the last one's block.
//
// # Errors
//
// caller.not_found without a chain, caller.tx_failed, busy.queue_full.
func (h *Host) ReportToChain(ctx context.Context, addresses ...string) (pages int, height uint64, err error) {
	p, err := h.chained()
	if err != nil {
		return 0, 0, err
	}
	which, err := parseAddresses(addresses)
	if err != nil {
		return 0, 0, err
	}
	var apps [][32]byte
	for _, a := range which {
		apps = append(apps, a)
	}
	s, err := kernel.Ask(ctx, p.reporter, func(to kernel.Reply[report.Settled]) report.Message {
		return report.ReportNow{Apps: apps, Reply: to}
	})
	return s.Pages, s.Height, err
}

// SendToChain has a call signed by the worker key, and returns what became of it when that is final. The same key again is the same
// call: it is sent once.
//
// # Errors
//
// caller.not_found without a chain; caller.tx_call, caller.tx_failed, busy.queue_full, busy.disk_space.
func (h *Host) SendToChain(ctx context.Context, key string, call chain.Call) (chain.Outcome, error) {
	p, err := h.chained()
	if err != nil {
		return chain.Outcome{}, err
	}
	if err := p.send(ctx, key, call, chain.Plain); err != nil {
		return chain.Outcome{}, err
	}
	o, err := p.outcome(ctx, key)
	if err == nil {
		err = o.Err()
	}
	return o, err
}

// AdoptChain takes the chain that is there now in place of the one that this host knew: what is on its way is signed anew for it,
// and what served compute requests of the other one is deleted. It may be called again.
//
// # Errors
//
// caller.not_found without a chain, caller.conflict if it has another genesis.
func (h *Host) AdoptChain(ctx context.Context, genesis [32]byte) error {
	p, err := h.chained()
	if err != nil {
		return err
	}
	_, err = kernel.Ask(ctx, p.outbox, func(to kernel.Reply[struct{}]) chain.Message { return chain.Adopt{Genesis: genesis, Reply: to} })
	if fault.CodeOf(err) == fault.CallerConflict { // it may have adopted it already
		if s, err2 := kernel.Ask(ctx, p.outbox, func(to kernel.Reply[inspect.Chain]) chain.Message { return chain.Status{Reply: to} }); err2 == nil && s.Genesis == chain.Hash(genesis).String() {
			err = nil
		}
	}
	if err != nil {
		return err
	}
	if err := h.placed.deleteAll(ctx); err != nil {
		return err
	}
	if err := p.follower.Send(follow.Adopt{Genesis: genesis}); err != nil {
		return err
	}
	return p.reporter.Send(report.Nudge{})
}
