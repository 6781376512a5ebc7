package cli

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/rs/zerolog"
	"github.com/spf13/pflag"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/host"
	"github.com/troupehost/troupe/host/control"
	"github.com/troupehost/troupe/host/control/api"
	"github.com/troupehost/troupe/host/control/client"
)

const (
	lookEvery  = 250 * time.Millisecond // between two looks at the files
	maxWatched = 2000                   // files of an app
	devLines   = 100                    // of an app's log at once
	devWait    = 5 * time.Second        // for a line of it
)

// devFlags are the flags of 'dev'.
type devFlags struct {
	*workFlags
	listen string
	plain  bool
}

func (a *app) devVerb() verb {
	f := &devFlags{workFlags: newWorkFlags()}
	return verb{
		use: "dev [flags] FILE|DIR [-- args]", short: "Run code or an app on a throw-away host, and again when it changes",
		long: `A .wasm file is run, with the arguments after the dashes. What 'troupe app deploy' takes is deployed. When the file changes (of an app: any
file of its directory) it is prepared and begun anew; what cannot be is told, and the app that runs goes on.

On a terminal this is the console of 'troupe top', of the throw-away host, which begins with what the program prints or logs; esc goes
to the views, O and ':output' back. Elsewhere, and with --plain, what it prints or logs goes to stdout. Ctrl-C ends program and host
(in the console also q), and nothing is left behind.`,
		examples: []string{
			"troupe dev hello.wasm -- Ann", "run it after each build, and look at its host",
			"troupe dev --plain hello.wasm", "only what it prints",
			"troupe dev --app-listen 127.0.0.1:8080 app.toml", "an app that is built, deployed and reached at this address",
		},
		exits: exitsCode, args: oneProgram("dev"),
		flags: func(fs *pflag.FlagSet) {
			f.add(fs)
			fs.Var(word{&f.listen, "ADDR"}, "app-listen", "serve the users of the app by HTTP on ADDR (default: nowhere)")
			fs.BoolVar(&f.plain, "plain", false, "lines instead of the console, on a terminal too")
		},
		run: func(ctx context.Context, args []string) error {
			ctx, stop := a.untilInterrupt(ctx)
			defer stop()
			dev := a.dev
			if in, ok := a.in.(*os.File); ok && a.outTerminal && isTerminal(in) && !f.plain {
				dev = a.devConsole
			}
			err := dev(ctx, f, args[0], args[1:])
			if ctx.Err() != nil && errors.Is(context.Cause(ctx), fault.CanceledCaller) {
				return nil // it was asked to end
			}
			return err
		},
	}
}

func (a *app) dev(ctx context.Context, f *devFlags, path string, args []string) error {
	return a.devSeen(ctx, f, path, args, nil)
}

// devSeen tells seen of the host, if it is not nil.
func (a *app) devSeen(ctx context.Context, f *devFlags, path string, args []string, seen func(*node)) error {
	if _, err := os.Stat(path); err != nil {
		return fileError(path, err)
	}
	isCode := strings.EqualFold(filepath.Ext(path), ".wasm")
	req, input, err := f.request(ctx, a, args)
	if err != nil {
		return err
	}
	level := zerolog.WarnLevel
	if seen != nil {
		level = zerolog.ErrorLevel // a console shows the log
	}
	n, err := a.devHost(ctx, f.listen, level)
	if err != nil {
		return err
	}
	defer n.close()
	if seen != nil {
		seen(n)
	}
	seed := maphash.MakeSeed()
	changes := watchFiles(ctx, func() uint64 { return fingerprint(seed, path, isCode) })
	round := &devRound{a: a, n: n, path: path}
	again := round.deploy
	if isCode {
		again = func(ctx context.Context) { round.run(ctx, req, input) }
	}
	for {
		running, end := context.WithCancel(ctx)
		done := make(chan struct{})
		go func() { defer close(done); again(running) }()
		select {
		case <-changes:
			end()
			<-done
			a.note(fault.Quote(filepath.Base(path)) + " has changed")
		case <-ctx.Done():
			end()
			<-done
			return nil
		}
	}
}

// devHost starts a host in a directory that goes with it.
func (a *app) devHost(ctx context.Context, listen string, level zerolog.Level) (*node, error) {
	dir, err := os.MkdirTemp("", "troupe-dev-")
	if err != nil {
		return nil, fault.New(fault.HostDataDir, "throw-away host", "", err)
	}
	cleanUp := func() { _ = os.RemoveAll(dir) }
	cfg := host.Default()
	cfg.DataDir, cfg.WorkerPath, cfg.Owner = dir, a.worker, ownerRun
	cfg.StopTimeout, cfg.SpareWorkers, cfg.BallastBytes = privately, host.NoLimit, host.NoLimit
	if a.verbose {
		level = zerolog.DebugLevel
	}
	cfg.Log = a.log(level)
	h, err := a.start(ctx, cfg)
	if err != nil {
		cleanUp()
		return nil, err
	}
	if listen != "" {
		l, err := net.Listen("tcp", listen)
		if err != nil {
			_ = h.Close()
			cleanUp()
			return nil, fault.New(fault.CallerConfig, "listen", fault.Quote(listen), err).WithHint("give --app-listen an address like 127.0.0.1:8080 that is free")
		}
		a.note("users of the app come in at " + l.Addr().String())
		go func() { _ = h.ServeApps(l) }() // ends with the host
	}
	listener, dial := control.Pair()
	server := control.New(h, serverOptions(cfg))
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	n := &node{Client: client.Over(dial), private: true, close: func() error {
		_ = server.Close()
		<-ended
		err := h.Close()
		cleanUp()
		return err
	}}
	if _, err := n.OpenSession(ctx, api.OpenSession{}); err != nil {
		return nil, errors.Join(err, n.close())
	}
	return n, nil
}

// devRound begins something anew.
type devRound struct {
	a    *app
	n    *node
	path string

	address string // of the app that is deployed
	after   uint64 // of its log: what was shown
}

// run runs code to its end, unless ctx ends first.
func (d *devRound) run(ctx context.Context, req api.Execute, input []byte) {
	code, err := readFile(ctx, d.path)
	if err != nil {
		d.tell(ctx, err)
		return
	}
	receipt, err := d.n.Execute(ctx, req, client.Streams{Code: code, Input: input, Stdin: strings.NewReader(""), Stdout: d.a.out, Stderr: d.a.err})
	if err != nil {
		d.tell(ctx, err)
		return
	}
	if ctx.Err() == nil {
		d.a.printResult(receipt.Result, req.Entry.Mode)
		_ = d.a.verdict(receipt) // it is printed; the next one may be better
	}
}

// deploy replaces the app that runs, and shows its log until ctx ends. If the new one cannot be deployed, the old one goes on.
func (d *devRound) deploy(ctx context.Context) {
	if err := d.replace(ctx); err != nil {
		d.tell(ctx, err)
	}
	for ctx.Err() == nil && d.address != "" {
		log, err := d.n.AppLog(ctx, d.address, d.after, devLines, devWait)
		if err != nil {
			d.tell(ctx, err)
			return
		}
		d.a.printLines(log.Lines)
		if n := len(log.Lines); n > 0 {
			d.after = log.Lines[n-1].Seq
		}
	}
}

func (d *devRound) replace(ctx context.Context) error {
	p, err := loadApp(ctx, d.path)
	if err != nil {
		return err
	}
	if err := d.a.sendBlobs(ctx, d.n, p); err != nil {
		return err
	}
	if err := d.n.Announce(ctx, api.Deploy{}, p.encoded, nil); err != nil { // what is no code does not end what runs
		return err
	}
	if address := p.m.Address().String(); address == d.address {
		return nil // a change that makes no difference
	}
	if d.address != "" {
		if _, err := d.n.RemoveApp(client.Under(ctx, client.Terms{Reason: "its files have changed"}), d.address); err != nil && !errors.Is(err, fault.CallerNotFound) {
			return err
		}
		d.address, d.after = "", 0
	}
	x, err := d.n.Deploy(ctx, api.Deploy{}, p.encoded, nil)
	if err != nil {
		return err
	}
	d.address = x.Address
	d.a.note("deployed " + x.Address)
	return nil
}

// tell prints what went wrong, unless it was ended.
func (d *devRound) tell(ctx context.Context, err error) {
	if ctx.Err() != nil {
		return
	}
	if m, ok := errors.AsType[mistake](err); ok {
		printError(d.a.err, m.what, fault.CallerInvalid, m.hint)
		return
	}
	f := fault.From(err)
	printError(d.a.err, f.Error(), f.Code, f.Hint)
}

// watchFiles tells of changes, once they have come to rest: a compiler writes a file in several steps. look is asked again and again,
// and what it says must differ when a file does.
func watchFiles(ctx context.Context, look func() uint64) <-chan struct{} {
	changes := make(chan struct{})
	go func() {
		again := time.NewTicker(lookEvery)
		defer again.Stop()
		told := look()
		last := told
		for {
			select {
			case <-ctx.Done():
				return
			case <-again.C:
			}
			now := look()
			rests := now == last
			last = now
			if !rests || now == told || now == 0 {
				continue
			}
			select {
			case changes <- struct{}{}:
				told = now
			case <-ctx.Done():
				return
			}
		}
	}()
	return changes
}

// fingerprint stands for the names, sizes and times of a file, or of an app: of all files in its directory.
func fingerprint(seed maphash.Seed, path string, alone bool) uint64 {
	var h maphash.Hash
	h.SetSeed(seed)
	add := func(path string, info fs.FileInfo) {
		fmt.Fprintf(&h, "%q %d %d\n", path, info.Size(), info.ModTime().UnixNano())
	}
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return 0 // it is being replaced
	case alone:
		add(path, info)
		return h.Sum64()
	case !info.IsDir():
		path = filepath.Dir(path)
	}
	seen := 0
	_ = filepath.WalkDir(path, func(name string, e fs.DirEntry, err error) error {
		if err != nil {
			return nil // it has gone
		}
		if e.IsDir() && strings.HasPrefix(e.Name(), ".") && name != path {
			return filepath.SkipDir
		}
		if info, err := e.Info(); err == nil && info.Mode().IsRegular() {
			if seen++; seen > maxWatched {
				return filepath.SkipAll
			}
			add(name, info)
		}
		return nil
	})
	return h.Sum64()
}
