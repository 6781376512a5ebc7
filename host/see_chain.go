package host

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/troupehost/troupe/actors/chain"
	"github.com/troupehost/troupe/actors/kernel"
	"github.com/troupehost/troupe/host/internal/outbox"
)

// warnPaused is the warning of an outbox that an operator has paused.
const warnPaused = "chain.paused"

// chainPause is whether the outbox is paused. It is on disk before it takes effect, and lasts over restarts: who paused for a
// reason does not want a crash to end that.
type chainPause struct {
	change sync.Mutex // one at a time

	mu  sync.Mutex
	now *outbox.Pause
}

func (p *chainPause) on() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.now != nil
}

// show keeps what is so, and tells operators.
func (h *Host) showPause(now *outbox.Pause) {
	h.paused.mu.Lock()
	h.paused.now = now
	h.paused.mu.Unlock()
	if now == nil {
		h.health.clear(warnPaused)
		return
	}
	h.health.set(warnPaused, fmt.Sprintf("nothing is sent to the chain since %s: %s", now.At.UTC().Format(time.RFC3339), now.Why), "'troupe chain resume' has it go on")
}

// readPause reads what an operator wanted before the restart.
func (h *Host) readPause() error {
	now, err := outbox.ReadPause(h.dir.State)
	if err == nil {
		h.showPause(now)
	}
	return err
}

// PauseChain has nothing more signed or submitted, also after a restart, until ResumeChain. The outbox takes calls and keeps them,
// blocks are read, and what was submitted before may still come into a block. It may be called again.
//
// # Errors
//
// caller.not_found without a chain; host.disk_*, busy.disk_space.
func (h *Host) PauseChain(ctx context.Context) error {
	return h.pauseChain(ctx, &outbox.Pause{Why: "an operator has paused it", At: time.Now().UTC()})
}

// ResumeChain has it go on. It may be called again.
//
// # Errors
//
// As PauseChain.
func (h *Host) ResumeChain(ctx context.Context) error { return h.pauseChain(ctx, nil) }

func (h *Host) pauseChain(ctx context.Context, to *outbox.Pause) error {
	p, err := h.chained()
	if err != nil {
		return err
	}
	h.paused.change.Lock()
	defer h.paused.change.Unlock()
	if h.paused.on() != (to != nil) {
		if err := outbox.WritePause(ctx, h.dir.State, to); err != nil {
			return err
		}
		h.showPause(to) // before the actor knows: one that restarts now asks
	}
	_, err = kernel.Ask(ctx, p.outbox, func(r kernel.Reply[struct{}]) chain.Message { return chain.Pause{On: to != nil, Reply: r} })
	return err
}
