package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/rs/zerolog"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/host"
	"github.com/troupehost/troupe/host/control"
	"github.com/troupehost/troupe/host/control/client"
)

// reach says how far a verb goes to find a host.
type reach uint8

const (
	served    reach = 1 + iota // only the host of a 'serve'
	directory                  // it, or a private host on the data directory
	anywhere                   // or, while another process holds the directory, a private host on a throw-away one
)

const (
	patience  = 2 * time.Second  // default of app.patience
	reaction  = 10 * time.Second // default of app.reaction
	retry     = 50 * time.Millisecond
	privately = 5 * time.Second // for a private host to stop
)

// node is a host, and the way to it.
type node struct {
	*client.Client
	close   func() error
	private bool // it ends with this program
}

// open finds or starts a host. The caller must close the node.
func (a *app) open(ctx context.Context, far reach) (*node, error) {
	if a.inside != nil {
		return &node{Client: a.inside.Client, private: a.inside.private, close: func() error { return nil }}, nil
	}
	if a.connect != "" || a.socket != "" {
		return a.remote(ctx)
	}
	dir, err := a.directory()
	if err != nil {
		return nil, err
	}
	if far == served {
		return a.served(ctx, dir)
	}
	give := time.NewTimer(a.patience)
	defer give.Stop()
	for {
		n, err := a.private(ctx, dir, false)
		if !errors.Is(err, fault.HostDataDirLocked) {
			return n, denied(err)
		}
		who := "another host"
		if owner, ok := a.owner(dir); ok {
			who = holder(owner)
			if owner.Kind == ownerServe {
				n, unreachable := a.daemon(ctx, owner, 0)
				if unreachable == nil {
					a.note("using the host of " + who + " at " + owner.Socket)
					if a.worker != "" {
						a.note("--worker is ignored: that host has workers of its own")
					}
					return n, nil
				}
				err = unreachable
			}
		}
		select {
		case <-time.After(retry):
			continue
		case <-ctx.Done():
		case <-give.C:
		}
		switch {
		case ctx.Err() != nil && errors.Is(err, fault.Canceled): // it says who kept us waiting
			return nil, err
		case ctx.Err() != nil: // before our patience, which may have ended too
			return nil, fault.From(context.Cause(ctx))
		case !errors.Is(err, fault.HostDataDirLocked): // a 'serve' that cannot be used
			return nil, err
		case far != anywhere:
			return nil, fault.From(err).WithHint(who + " uses it: wait for its end or choose another --data-dir")
		}
		a.note("the data directory is held by " + who + ": working with a throw-away cache")
		return a.private(ctx, "", true)
	}
}

// The owners that a data directory can name.
const (
	ownerServe = "serve"
	ownerRun   = "run"
)

// holder names the process that holds a data directory.
func holder(o host.Owner) string {
	return fmt.Sprintf("'troupe %s' (process %d)", oneLine(o.Kind), o.PID)
}

// served finds the host of the 'serve' that holds dir.
func (a *app) served(ctx context.Context, dir string) (*node, error) {
	owner, ok := a.owner(dir)
	switch {
	case !ok && unreadable(dir):
		return nil, fault.New(fault.CallerDenied, "read", fault.Quote(dir), nil).WithHint(hintAccount + ", or --socket PATH if it lets a group of yours in")
	case !ok:
		if err := host.CheckDataDir(dir); err != nil { // a 'serve' would be refused too
			return nil, denied(err)
		}
		return nil, fault.New(fault.CallerUnreachable, "connect", "", nil).WithHint("start one with 'troupe serve --data-dir " + dir + "'")
	case owner.Kind != ownerServe || owner.Socket == "":
		return nil, fault.New(fault.CallerUnreachable, "connect", "", nil).WithHint(holder(owner) + " holds the data directory and does not listen: wait for its end, then start 'troupe serve'")
	}
	return a.daemon(ctx, owner, a.patience)
}

// daemon connects to the host of a 'serve' and proves that it answers. It waits so long for somebody to listen.
func (a *app) daemon(ctx context.Context, owner host.Owner, wait time.Duration) (*node, error) {
	c := client.New(owner.Socket, wait)
	asking, cancel := context.WithTimeoutCause(ctx, a.reaction, fault.New(fault.CallerUnreachable, "connect", owner.Socket, fmt.Errorf("no reply within %v", a.reaction)))
	defer cancel()
	switch err := c.Live(asking); {
	case errors.Is(err, fault.CallerUnreachable):
		why := " does not answer: is it stopped, or the machine overloaded?"
		if _, err := os.Lstat(owner.Socket); errors.Is(err, fs.ErrNotExist) {
			why = " holds the data directory, but its socket is missing: stop it and start it again"
		}
		return nil, fault.From(err).WithHint(holder(owner) + why)
	case errors.Is(err, fault.CanceledDeadline): // the caller's own, which came first
		return nil, fault.From(err).WithHint(holder(owner) + " has not answered yet: give it more time, or look after it")
	case err != nil:
		return nil, err
	}
	if c.ServerVersion() != host.Version {
		a.note(fmt.Sprintf("the host has version %s, this program %s", c.ServerVersion(), host.Version))
	}
	return &node{Client: c, close: func() error { return nil }}, nil
}

const hintAccount = "this user may not enter the data directory: use the account that runs the host"

// denied tells a data directory that this user may not use from one that nobody could.
func denied(err error) error {
	if !errors.Is(err, fault.HostDataDir) || !errors.Is(err, fs.ErrPermission) {
		return err
	}
	f := fault.From(err)
	return fault.New(fault.CallerDenied, f.Op, fault.Quote(f.Subject), reason(f.Err)).WithHint(hintAccount + ", or choose another with --data-dir")
}

// unreadable reports whether this user may not see who holds a data directory.
func unreadable(dir string) bool {
	f, err := os.Open(filepath.Join(dir, "LOCK"))
	if err == nil {
		_ = f.Close()
	}
	return errors.Is(err, fs.ErrPermission)
}

// private starts a host in this process. It speaks the same protocol as a 'serve', through a socket without a name.
func (a *app) private(ctx context.Context, dir string, throwAway bool) (*node, error) {
	cleanUp := func() {}
	if throwAway {
		var err error
		if dir, err = os.MkdirTemp("", "troupe-run-"); err != nil {
			return nil, fault.New(fault.HostDataDir, "throw-away cache", "", err)
		}
		cleanUp = func() { _ = os.RemoveAll(dir) }
	}
	cfg := host.Default()
	cfg.DataDir, cfg.WorkerPath, cfg.Owner = dir, a.worker, ownerRun
	cfg.Sandbox = a.sandbox
	cfg.PrepareWorkers, cfg.PrepareWorkersCritical, cfg.ExecuteWorkers, cfg.ExecuteWorkersCritical = 1, 1, 1, 1
	cfg.StopTimeout, cfg.HoldJobs, cfg.SpareWorkers = privately, true, host.NoLimit
	cfg.Apps.Hold = true // the session that a 'serve' left, with its totals, is not ours to forget
	if a.clockStep > 0 {
		cfg.ClockStep = a.clockStep
	}
	if throwAway {
		cfg.BallastBytes = host.NoLimit
	}
	log := zerolog.Nop()
	if a.verbose {
		log = a.log(zerolog.DebugLevel)
	}
	cfg.Log = log
	h, err := a.start(ctx, cfg)
	if err != nil {
		cleanUp()
		return nil, err
	}
	listener, dial := control.Pair()
	server := control.New(h, serverOptions(cfg))
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	return &node{Client: client.Over(dial), private: true, close: func() error {
		_ = server.Close()
		<-ended
		err := h.Close()
		cleanUp()
		return err
	}}, nil
}

func serverOptions(cfg host.Config) control.Options {
	return control.Options{Version: host.Version, MaxCodeBytes: cfg.MaxCodeBytes, MaxInputBytes: cfg.MaxInputBytes, Log: cfg.Log}
}

// directory returns the data directory as an absolute path.
func (a *app) directory() (string, error) {
	dir := a.dataDir
	if dir == "" {
		if xdg := a.getenv("XDG_DATA_HOME"); filepath.IsAbs(xdg) { // the specification says to ignore relative ones
			dir = filepath.Join(xdg, "troupe")
		} else if home := a.getenv("HOME"); filepath.IsAbs(home) {
			dir = filepath.Join(home, ".local", "share", "troupe")
		} else {
			return "", usage("no data directory", "neither XDG_DATA_HOME nor HOME is set: pass --data-dir")
		}
	}
	abs, err := filepath.Abs(dir)
	if err != nil {
		return "", fault.New(fault.CallerInvalid, "data directory", fault.Quote(dir), reason(err)).WithHint("pass an absolute path to --data-dir")
	}
	return abs, nil
}
