package host

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/host/internal/pool"
	"github.com/troupehost/troupe/host/sandbox"
)

// The values of Config.Sandbox.
const (
	SandboxDefault = "default" // what does not hold is a lasting warning
	SandboxStrict  = "strict"  // Start refuses what does not hold
)

// Sandbox finds out how workers are confined on this machine, by a worker that is started and ended again. It needs no
// data directory and no host. workerPath is as Config.WorkerPath.
//
// # Errors
//
// host.unsupported, host.worker_missing, host.worker_mismatch, host.spawn_failed, host.engine_self_test.
func Sandbox(ctx context.Context, workerPath string) (inspect.Sandbox, error) {
	p, err := pool.New(ctx, pool.Config{WorkerPath: workerPath})
	if err != nil {
		return inspect.Sandbox{}, err
	}
	facts := p.Facts()
	if err := p.Close(); err != nil {
		return inspect.Sandbox{}, err
	}
	machine := sandbox.Look("/")
	out := inspect.Sandbox{Level: facts.Sandbox, Kernel: machine.Kernel, Container: machine.Container, Landlock: machine.Landlock}
	for _, name := range sandbox.Layers() {
		l := inspect.Layer{Name: name, Held: slices.Contains(facts.Held, name), Optional: sandbox.Optional(name)}
		if !l.Held {
			l.Why = "the worker did not say"
		}
		for _, g := range facts.Gaps {
			if g.Layer == name && !l.Held {
				l.Why, l.Hint = g.Why, g.Hint
			}
		}
		out.Layers = append(out.Layers, l)
	}
	return out, nil
}

// confine applies the policy to what does not hold.
func (h *Host) confine() error {
	message, hint, err := judgeGaps(h.cfg.Sandbox, h.pool.Facts().Gaps)
	if err != nil || message == "" {
		return err
	}
	h.health.set("sandbox.partial", "workers are not confined by "+message, hint)
	h.log.Warn().Str("code", "sandbox.partial").Str("hint", hint).Msg("workers are not confined by " + message)
	return nil
}

// judgeGaps says what does not hold and should, "" for nothing, and how to mend it; an error if that is not enough to start.
func judgeGaps(policy string, all []sandbox.Gap) (message, hint string, err error) {
	gaps := slices.DeleteFunc(slices.Clone(all), func(g sandbox.Gap) bool { return sandbox.Optional(g.Layer) })
	message, hint = gapsText(gaps)
	if policy == SandboxStrict && len(gaps) > 0 {
		err = fault.New(fault.HostSandboxMissing, "start", message, nil).WithHint(hint + "; or start without --sandbox strict")
	}
	return message, hint, err
}

// gapsText says what does not hold and why, and how to mend it: each hint once, with all the layers that it mends.
func gapsText(gaps []sandbox.Gap) (message, hint string) {
	var why, hints []string
	mends := map[string][]string{}
	for _, g := range gaps {
		why = append(why, fmt.Sprintf("%s (%s)", g.Layer, g.Why))
		if mends[g.Hint] == nil {
			hints = append(hints, g.Hint)
		}
		mends[g.Hint] = append(mends[g.Hint], g.Layer)
	}
	for i, text := range hints {
		hints[i] = strings.Join(mends[text], ", ") + ": " + text
	}
	return strings.Join(why, ", "), strings.Join(hints, "; ")
}
