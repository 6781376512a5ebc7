package host

import (
	"context"
	"time"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/actors/kernel"
)

const kindApp = "app" // of the actors of apps

// actors returns the actors of a host that is not closed: one that drains can still be seen, and mended.
func (h *Host) actors() (*kernel.System, error) {
	select {
	case <-h.done:
		return nil, fault.New(fault.CallerClosed, "host", h.cfg.Name, h.err)
	default:
		return h.system, nil
	}
}

// Actors appends all actors to dst, by path: at most one message costs each of them no more than the copy of a few numbers. What
// dst[:cap(dst)] refers to is overwritten, the lists of lanes included: who looks time and again passes the same buffer, and nobody who
// has passed its actors on. Rates are shared by many actors, and are not to be changed.
//
// # Errors
//
// caller.host_closed.
func (h *Host) Actors(_ context.Context, dst []inspect.Actor) ([]inspect.Actor, error) {
	s, err := h.actors()
	if err != nil {
		return dst, err
	}
	from := len(dst)
	dst = s.AppendInspect(dst)
	h.rates.Look(dst[from:])
	return dst, nil
}

// Actor returns an actor with what its flight recorder holds: also one that has ended lately.
//
// # Errors
//
// caller.not_found, caller.host_closed.
func (h *Host) Actor(_ context.Context, path string) (inspect.ActorDetail, error) {
	s, err := h.actors()
	if err != nil {
		return inspect.ActorDetail{}, err
	}
	return s.Detail(path)
}

// Mailbox returns the headers of what waits in the mailbox of an actor, lane by lane, at most 1000.
//
// # Errors
//
// caller.not_found, caller.host_closed.
func (h *Host) Mailbox(_ context.Context, path string) ([]inspect.Letter, error) {
	s, err := h.actors()
	if err != nil {
		return nil, err
	}
	return s.Mailbox(path)
}

// Trace calls f for each message that the filter matches, from this goroutine, until f fails, ctx ends or the budget of the
// filter is used up. What f is too slow for is dropped and counted.
//
// # Errors
//
// caller.invalid_request, busy.queue_full when 16 traces run, caller.host_closed, the end of ctx, and that of f.
func (h *Host) Trace(ctx context.Context, filter inspect.TraceFilter, f func(inspect.Trace) error) error {
	s, err := h.actors()
	if err != nil {
		return err
	}
	return s.Trace(ctx, filter, f)
}

// Cause returns what is known of one cause, over all actors, in the order of sending.
//
// # Errors
//
// caller.invalid_request for what is not 32 hex digits, caller.host_closed.
func (h *Host) Cause(_ context.Context, id string) ([]inspect.Trace, error) {
	s, err := h.actors()
	if err != nil {
		return nil, err
	}
	c, err := kernel.ParseCause(id)
	if err != nil {
		return nil, err
	}
	return s.Cause(c), nil
}

// PauseActor has the work lane of an actor wait until ResumeActor, over restarts too.
//
// # Errors
//
// caller.not_found, caller.stale, caller.host_closed.
func (h *Host) PauseActor(_ context.Context, path string, generation uint64) error {
	s, err := h.actors()
	if err != nil {
		return err
	}
	return s.Pause(path, generation)
}

// ResumeActor has the work lane of an actor move again.
//
// # Errors
//
// caller.not_found, caller.stale, caller.host_closed.
func (h *Host) ResumeActor(_ context.Context, path string, generation uint64) error {
	s, err := h.actors()
	if err != nil {
		return err
	}
	return s.Resume(path, generation)
}

// RestartActor begins a new incarnation of an actor, and returns when it runs.
//
// # Errors
//
// caller.not_found, caller.stale, caller.denied for what is never restarted, caller.conflict when its handler must return or its
// children must end first: then it is restarted afterwards; caller.host_closed and the end of ctx.
func (h *Host) RestartActor(ctx context.Context, path string, generation uint64) error {
	s, err := h.actors()
	if err != nil {
		return err
	}
	return s.Restart(ctx, path, generation)
}

// KillActor ends what an actor is for: the process of a worker at once, and with it what it runs; the instances of an app, which
// stays deployed and begins nothing before it is started.
//
// # Errors
//
// caller.not_found, caller.stale, caller.denied for parts of the host, caller.host_closed and the end of ctx.
func (h *Host) KillActor(ctx context.Context, path string, generation uint64) error {
	s, err := h.actors()
	if err != nil {
		return err
	}
	a, err := s.Detail(path)
	switch {
	case err != nil:
		return err
	case a.Dead:
		return fault.New(fault.CallerNotFound, "kill", path, nil).WithHint("it has ended already")
	case a.Kind == kindApp && a.App != "":
		if generation != 0 && generation != a.Incarnation {
			return fault.New(fault.CallerStale, "kill", path, nil)
		}
		_, err := h.holdApp(ctx, a.App)
		return err
	}
	err = s.Kill(path, generation)
	if f := fault.From(err); f != nil && f.Code == fault.CallerDenied {
		return f.WithHint("it is a part of the host: restart it instead")
	}
	return err
}

// ActorLogLevel gives an actor another log level for a while: 10 minutes if lasts is 0, at most a day. "default" ends that.
//
// # Errors
//
// caller.not_found, caller.invalid_request, caller.host_closed.
func (h *Host) ActorLogLevel(_ context.Context, path, level string, lasts time.Duration) error {
	s, err := h.actors()
	if err != nil {
		return err
	}
	return s.LogLevel(path, level, lasts)
}

// DeadLetters returns the headers of messages that were refused or dropped lately, newest last.
//
// # Errors
//
// caller.host_closed.
func (h *Host) DeadLetters(context.Context) ([]inspect.Letter, error) {
	s, err := h.actors()
	if err != nil {
		return nil, err
	}
	return s.DeadLetters(), nil
}

// ReplayLetter sends a dead letter again, if nobody was told that it failed, and forgets it.
//
// # Errors
//
// caller.not_found, caller.conflict, what a mailbox refuses with, caller.host_closed.
func (h *Host) ReplayLetter(_ context.Context, id string) error {
	s, err := h.actors()
	if err != nil {
		return err
	}
	return s.Replay(id)
}

// DropLetter forgets a dead letter.
//
// # Errors
//
// caller.not_found, caller.host_closed.
func (h *Host) DropLetter(_ context.Context, id string) error {
	s, err := h.actors()
	if err != nil {
		return err
	}
	return s.Drop(id)
}
