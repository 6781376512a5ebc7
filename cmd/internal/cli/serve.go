package cli

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/host"
	"github.com/troupehost/troupe/host/control"
)

const lastReplies = 2 * time.Second // for replies to leave after the host has stopped

func (a *app) serve(ctx context.Context, f *serveFlags) error {
	dir, err := a.directory()
	if err != nil {
		return err
	}
	cfg, err := f.config(dir)
	if err != nil {
		return err
	}
	cfg.WorkerPath, cfg.Owner = a.worker, ownerServe
	if cfg.Socket, err = a.socketPath(dir); err != nil {
		return err
	}
	level := zerolog.InfoLevel
	switch {
	case a.verbose:
		level = zerolog.DebugLevel
	case a.quiet:
		level = zerolog.ErrorLevel
	}
	cfg.Log = a.log(level)

	starting, cancel := a.untilAsked(ctx)
	defer cancel()
	h, err := a.acquire(starting, cfg)
	if err != nil {
		return err
	}
	listener, err := control.Listen(cfg.Socket)
	if err != nil {
		_ = h.Close()
		return err
	}
	server := control.New(h, serverOptions(cfg))
	var serving sync.WaitGroup
	failed := make(chan error, 1)
	serving.Go(func() {
		if err := server.Serve(listener); err != nil {
			failed <- err
		}
	})
	cfg.Log.Info().Str("socket", cfg.Socket).Str("data_dir", dir).Msg("ready")
	fmt.Fprintf(a.out, "ready %s\n", cfg.Socket)

	select {
	case <-starting.Done():
		cfg.Log.Info().Msg("draining: running work may end, a second signal stops it")
	case <-h.Done():
		cfg.Log.Error().Err(h.Wait()).Msg("the host ended")
	case err = <-failed:
		cfg.Log.Error().Err(err).Msg("the control socket failed")
	}
	closed := make(chan error, 1)
	go func() { closed <- h.Close() }()
	var closeErr error
	select {
	case closeErr = <-closed:
	case s := <-a.interrupts:
		cfg.Log.Warn().Stringer("signal", s).Msg("stopping now: running work is canceled")
		a.releaseInterrupts()
		server.Cancel() // the answers leave below
		h.LeaveJobs()
		closeErr = <-closed
	}
	replies, done := context.WithTimeout(ctx, lastReplies)
	defer done()
	_ = server.Drain(replies)
	_ = server.Close()
	serving.Wait() // the socket is gone then
	cfg.Log.Info().Msg("stopped")
	if err != nil {
		err = fault.New(fault.HostDiskIO, "control socket", cfg.Socket, err)
	}
	return errors.Join(err, h.Wait(), closeErr)
}

// acquire starts the host; a short 'run' on the directory is waited for.
func (a *app) acquire(ctx context.Context, cfg host.Config) (running, error) {
	give := time.NewTimer(a.patience)
	defer give.Stop()
	for {
		h, err := a.start(ctx, cfg)
		if !errors.Is(err, fault.HostDataDirLocked) {
			return h, denied(err)
		}
		owner, ok := a.owner(cfg.DataDir)
		if ok && owner.Kind != ownerRun {
			return nil, fault.From(err).WithHint(holder(owner) + " uses it: stop it or choose another --data-dir")
		}
		select {
		case <-time.After(retry):
		case <-ctx.Done():
			return nil, fault.From(context.Cause(ctx))
		case <-give.C:
			if ok {
				return nil, fault.From(err).WithHint(holder(owner) + " uses it: wait for its end or choose another --data-dir")
			}
			return nil, err
		}
	}
}

// untilAsked returns a context that the first signal ends; the next one stays for whoever drains.
func (a *app) untilAsked(parent context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(parent)
	go func() {
		select {
		case s := <-a.interrupts:
			cancel(fault.New(fault.CanceledCaller, "signal", s.String(), nil))
		case <-ctx.Done():
		}
	}()
	return ctx, func() { cancel(nil) }
}
