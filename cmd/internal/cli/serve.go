package cli

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/host"
	"github.com/troupehost/troupe/host/control"
	"github.com/troupehost/troupe/host/control/client"
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
	life := a.newLife(f, dir)
	cfg.Log = life.log
	for _, p := range a.misspelt() {
		cfg.Log.Warn().Str("hint", p.Hint).Msg(p.String())
	}
	sockets, err := a.takeSockets()
	if err != nil {
		return err
	}
	defer closeAll(sockets)
	if err := f.comeIn(sockets); err != nil {
		return err
	}
	life.sockets = sockets
	if l := sockets[socketControl]; l != nil {
		cfg.Socket = l.Addr().String()
	} else if err := f.operators.place(cfg.Socket, a.socket != ""); err != nil {
		return err
	}
	doors, err := openDoors(f, sockets)
	if err != nil {
		return err
	}
	defer doors.close()
	starting, stop := life.begin(ctx)
	defer stop()
	h, err := a.acquire(starting, cfg, &f.chain)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.chain.close()) }()
	server, options, err := life.operated(cfg, &f.operators, h)
	if err != nil {
		return errors.Join(err, h.Close())
	}
	defer server.Close()
	listener := sockets[socketControl]
	if listener == nil {
		if listener, err = control.ListenGroup(cfg.Socket, options.Group); err != nil {
			_ = h.Close()
			return err
		}
	}
	var serving sync.WaitGroup
	failed := make(chan error, 5+len(doors))
	inside, dial := control.Pair() // the way of the signals
	serving.Go(func() {
		if err := server.Serve(inside); err != nil {
			failed <- fault.New(fault.BugUnexpected, "control pair", "", err)
		}
	})
	life.host.Store(client.Over(dial))
	life.running.Store(&h)
	far, err := life.openTLS(server, &f.operators, sockets[socketControlTLS])
	if err != nil {
		return errors.Join(err, h.Close())
	}
	if far != nil {
		cfg.Log.Info().Str("address", far.Addr().String()).Msg("operators come in here by TLS")
		serving.Go(func() {
			if err := server.Serve(far); err != nil {
				failed <- fault.New(fault.HostUnsupported, "--listen-tls", far.Addr().String(), err).WithHint("the listener for operators failed: see the log")
			}
		})
	}
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
	life.manager.Ready("ready")
	managing, unmanaged := context.WithCancel(ctx)
	defer unmanaged()
	serving.Go(func() { life.manage(managing, h) })

	select {
	case <-starting.Done():
		cfg.Log.Info().Msg("draining: running work may end, a second signal stops it")
	case <-h.Done():
		cfg.Log.Error().Err(h.Wait()).Msg("the host ended")
	case err = <-failed:
		cfg.Log.Error().Err(err).Msg("a listener failed")
	}
	life.drain()
	closed := make(chan error, 1)
	go func() { closed <- h.Close() }()
	ending, ended := context.WithCancel(ctx)
	defer ended()
	serving.Go(func() { life.stopping(ending, h, cfg.StopTimeout) })
	var closeErr error
	select {
	case closeErr = <-closed:
	case s := <-life.again:
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
	ended()
	unmanaged()
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
func openDoors(f *serveFlags, sockets map[string]net.Listener) (all doors, err error) {
	for _, d := range []struct {
		flag, address, socket string
		serve                 func(running, net.Listener) error
	}{{"--app-listen", f.appListen, socketApps, running.ServeApps}, {"--app-tls", f.appTLS, socketAppsTLS, running.ServeTLS}} {
		l, held := sockets[d.socket]
		switch {
		case !held && d.address == "":
			continue
		case !held:
			l, err = net.Listen("tcp", d.address)
		}
		if err != nil {
			all.close()
			return nil, fault.New(fault.CallerConfig, "listen", fault.Quote(d.address), err).WithHint("give " + d.flag + " an address like 127.0.0.1:8080 that is free")
		}
		all = append(all, door{l, d.flag, func(h running) error { return d.serve(h, l) }})
	}
	return all, nil
}

// Names of sockets that a service manager may hold for a 'serve'.
const (
	socketControl    = "control"
	socketControlTLS = "control-tls"
	socketApps       = "apps"
	socketAppsTLS    = "apps-tls"
)

// takeSockets takes over the sockets that a service manager holds for this process.
func (a *app) takeSockets() (map[string]net.Listener, error) {
	if a.sockets == nil {
		return nil, nil
	}
	return a.sockets(socketControl, socketControlTLS, socketApps, socketAppsTLS)
}

func closeAll(sockets map[string]net.Listener) {
	for _, l := range sockets {
		_ = l.Close()
	}
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
