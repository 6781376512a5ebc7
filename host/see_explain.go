package host

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/troupehost/troupe/actors/chain"
	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/actors/inspect/explain"
	"github.com/troupehost/troupe/actors/kernel"
)

// Explain says in words what a thing waits for, who owns that and since when: see package explain for what an id may be.
//
// # Errors
//
// caller.not_found, caller.invalid_request for a beginning that several things have, caller.host_closed.
func (h *Host) Explain(ctx context.Context, id string) (inspect.Explanation, error) {
	f, err := h.facts(ctx, id)
	if err != nil {
		return inspect.Explanation{}, err
	}
	return explain.Explain(f, id)
}

// maxAppPages bounds the apps that an explanation looks at, in pages.
const maxAppPages = 64

// facts gathers what an explanation may need. What a part of the host does not answer is left out: an explanation of a host in trouble
// is wanted most.
func (h *Host) facts(ctx context.Context, id string) (*explain.Facts, error) {
	f := &explain.Facts{}
	var err error
	if f.Host, err = h.Inspect(ctx); err != nil && (ctx.Err() != nil || len(f.Host.Actors) == 0) {
		return nil, err
	}
	if f.Guests, err = h.Guests(ctx); err != nil {
		h.log.Debug().Err(err).Msg("an explanation lacks the guests")
	}
	if f.Letters, err = h.DeadLetters(ctx); err != nil {
		h.log.Debug().Err(err).Msg("an explanation lacks the dead letters")
	}
	h.gather(ctx, f, func(ctx context.Context) error {
		j, err := h.Job(ctx, id)
		if err == nil {
			f.Jobs = append(f.Jobs, j)
		}
		return err
	})
	h.gather(ctx, f, func(ctx context.Context) (err error) {
		for after, n := uint64(0), 0; n < maxAppPages; n++ {
			page, next, err := h.Apps(ctx, AppFilter{After: after})
			if f.Apps = append(f.Apps, page...); err != nil {
				return err
			}
			if after = next; next == 0 {
				break
			}
		}
		f.Session, err = h.Session(ctx)
		return err
	})
	h.chainFacts(ctx, id, f)
	f.At = time.Now()
	return f, ctx.Err()
}

// gather has one question answered, or notes who does not answer it: an actor that is wedged, or that an operator has paused, keeps nobody
// from an explanation, which may well be about it.
func (h *Host) gather(ctx context.Context, f *explain.Facts, question func(context.Context) error) {
	within, cancel := context.WithTimeout(ctx, silentAfter)
	defer cancel()
	err := question(within)
	if err == nil || within.Err() == nil {
		return
	}
	if who := fault.From(err).Subject; !slices.Contains(f.Silent, who) {
		f.Silent = append(f.Silent, who)
	}
	h.log.Debug().Err(err).Msg("an explanation lacks what an actor knows")
}

// chainFacts adds what concerns the chain.
func (h *Host) chainFacts(ctx context.Context, id string, f *explain.Facts) {
	p := h.chain.Load()
	if p == nil {
		return
	}
	h.gather(ctx, f, func(ctx context.Context) error {
		v, err := h.Chain(ctx)
		if err == nil {
			f.Chain = &v
		}
		return err
	})
	h.gather(ctx, f, func(ctx context.Context) error {
		for after, n := "", 0; n < maxAppPages; n++ {
			page, next, err := h.ChainDemands(ctx, after, 0)
			f.Demands = append(f.Demands, page...)
			if after = next; err != nil || next == "" {
				return err
			}
		}
		return nil
	})
	h.gather(ctx, f, func(ctx context.Context) error {
		c, err := kernel.Ask(kernel.Looking(ctx), p.outbox, func(to kernel.Reply[inspect.Outgoing]) chain.Message { return chain.Show{Key: id, Reply: to} })
		if err == nil {
			f.Calls = append(f.Calls, c)
		}
		return err
	})
	text, ok := strings.CutPrefix(id, "call/")
	number, err := strconv.ParseUint(text, 10, 64)
	if !ok || err != nil || number == 0 {
		return
	}
	h.gather(ctx, f, func(ctx context.Context) error {
		for _, history := range []bool{false, true} {
			page, err := p.calls(ctx, history, false, number-1, 1)
			if err != nil {
				return err
			}
			f.Calls = append(f.Calls, page.Calls...)
		}
		return nil
	})
}
