package cli

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/host"
	"github.com/troupehost/troupe/host/control"
)

const lastReplies = 2 * time.Second // for replies to leave after the host has stopped

func (a *app) serve(ctx context.Context, f *serveFlags) (err error) {
	dir, err := a.directory()
	if err != nil {
		return err
	}
	cfg, err := f.config(dir)
	if err != nil {
		return err
	}
	if err := f.chain.config(ctx, a, &cfg.Chain); err != nil {
		return err
	}
	if f.passphrase != "" {
		if cfg.Apps.Passphrase, err = a.passphrase(ctx, &secretFlag{f.passphrase}, false); err != nil {
			return err
		}
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

	doors, err := openDoors(f)
	if err != nil {
		return err
	}
	defer doors.close()
	starting, cancel := a.untilAsked(ctx)
	defer cancel()
	h, err := a.acquire(starting, cfg, &f.chain)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.chain.close()) }()
	listener, err := control.Listen(cfg.Socket)
	if err != nil {
		_ = h.Close()
		return err
	}
	server := control.New(h, serverOptions(cfg))
	var serving sync.WaitGroup
	failed := make(chan error, 3+len(doors))
	closeChain, err := f.chain.serve(cfg.Socket, failed)
	if err != nil {
		return errors.Join(err, h.Close())
	}
	defer closeChain()
	serving.Go(func() {
		if err := server.Serve(listener); err != nil {
			failed <- fault.New(fault.HostDiskIO, "control socket", cfg.Socket, err)
		}
	})
	for _, d := range doors {
		cfg.Log.Info().Str("address", d.Addr().String()).Str("for", d.kind).Msg("users of apps come in here")
		serving.Go(func() {
			if err := d.serve(h); err != nil {
				failed <- fault.New(fault.HostUnsupported, d.kind, d.Addr().String(), err).WithHint("the listener for the users of apps failed: see the log")
			}
		})
	}
	cfg.Log.Info().Str("socket", cfg.Socket).Str("data_dir", dir).Msg("ready")
	fmt.Fprintf(a.out, "ready %s\n", cfg.Socket)

	select {
	case <-starting.Done():
		cfg.Log.Info().Msg("draining: running work may end, a second signal stops it")
	case <-h.Done():
		cfg.Log.Error().Err(h.Wait()).Msg("the host ended")
	case err = <-failed:
		cfg.Log.Error().Err(err).Msg("a listener failed")
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
	return errors.Join(err, h.Wait(), closeErr)
}

// door is where the users of apps come in.
type door struct {
	net.Listener
	kind  string // the flag
	serve func(running) error
}

type doors []door

// openDoors listens for the users of apps, before there is a host: an address that is taken shows at once.
func openDoors(f *serveFlags) (all doors, err error) {
	for _, d := range []struct {
		flag, address string
		serve         func(running, net.Listener) error
	}{{"--app-listen", f.appListen, running.ServeApps}, {"--app-tls", f.appTLS, running.ServeTLS}} {
		if d.address == "" {
			continue
		}
		l, err := net.Listen("tcp", d.address)
		if err != nil {
			all.close()
			return nil, fault.New(fault.CallerConfig, "listen", fault.Quote(d.address), err).WithHint("give " + d.flag + " an address like 127.0.0.1:8080 that is free")
		}
		all = append(all, door{l, d.flag, func(h running) error { return d.serve(h, l) }})
	}
	return all, nil
}

func (d doors) close() {
	for _, l := range d {
		_ = l.Close()
	}
}

// acquire starts the host; a short 'run' on the directory is waited for.
func (a *app) acquire(ctx context.Context, cfg host.Config, ch *chainServe) (running, error) {
	give := time.NewTimer(a.patience)
	defer give.Stop()
	for {
		h, err := a.startWithChain(ctx, cfg, ch)
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

// startWithChain opens the chain and starts the host.
func (a *app) startWithChain(ctx context.Context, cfg host.Config, ch *chainServe) (running, error) {
	if err := host.CheckDataDir(cfg.DataDir); err != nil { // before anything is made in it
		return nil, err
	}
	if err := ch.open(ctx, a, cfg.DataDir, &cfg.Chain, cfg.Log); err != nil {
		return nil, err
	}
	h, err := a.start(ctx, cfg)
	if err != nil {
		return nil, errors.Join(err, ch.close())
	}
	return h, nil
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
