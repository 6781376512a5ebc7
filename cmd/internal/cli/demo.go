package cli

import (
	"context"
	"crypto/sha256"
	_ "embed" // the app of the demonstration
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/rs/zerolog"
	"github.com/spf13/pflag"

	"github.com/troupehost/troupe/actors/chain"
	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/actors/keys"
	"github.com/troupehost/troupe/actors/meter"
	"github.com/troupehost/troupe/artifacts/manifest"
	"github.com/troupehost/troupe/chainbridge"
	"github.com/troupehost/troupe/chainbridge/devchain"
	"github.com/troupehost/troupe/host"
	"github.com/troupehost/troupe/host/control"
	"github.com/troupehost/troupe/host/control/api"
	"github.com/troupehost/troupe/host/control/client"
)

//go:embed demo.wasm
var demoCode []byte

const (
	demoBlockTime = 200 * time.Millisecond
	demoPatience  = time.Minute // for a step
	demoPoll      = 50 * time.Millisecond
	demoDeposit   = "1000000000"
	demoQueries   = 20
	demoSource    = "source" // in the data directory: where the host fetches from
)

func (a *app) demoVerb() verb {
	return verb{
		use: "demo COMMAND", short: "Show how the parts work together",
		examples: []string{"troupe demo market", "an app is paid for, deployed, used, reported and settled"},
		exits:    []int{exitOK, exitUsage},
		verbs:    []verb{a.demoMarketVerb()},
	}
}

func (a *app) demoMarketVerb() verb {
	var keep string
	return verb{
		use: "market", short: "Fund, ticket, deploy, use, report, settle, close: the circle of an app that is paid for",
		long: `It starts a host and a chain of its own, which makes five blocks a second, and removes both at the end: nothing else is touched. Each
line is a step that was taken, and what came of it.`,
		examples: []string{
			"troupe demo market", "takes about ten seconds",
			"troupe demo market --keep demo", "and leaves the data directory, to look at with 'troupe serve --data-dir demo'",
		},
		exits: exitsHost,
		flags: func(fs *pflag.FlagSet) { fs.Var(word{&keep, "DIR"}, "keep", "work in DIR, and leave it") },
		run: func(ctx context.Context, _ []string) error {
			ctx, stop := a.untilInterrupt(ctx)
			defer stop()
			return a.demoMarket(ctx, keep)
		},
	}
}

// demo is a host with a chain, and who pays it.
type demo struct {
	a      *app
	n      *client.Client
	c      *devchain.Client
	root   *meter.Key
	alice  *meter.Key
	worker chain.Hash
	source string // directory from which the host fetches
	steps  []demoStep
}

// demoStep is one line of the demonstration. Its JSON form is a contract.
type demoStep struct {
	Step   string         `json:"step"`
	Text   string         `json:"text"`
	Fields map[string]any `json:"fields,omitempty"`
}

func (d *demo) tell(step string, fields map[string]any, format string, args ...any) {
	s := demoStep{step, fmt.Sprintf(format, args...), fields}
	if d.steps = append(d.steps, s); !d.a.json() {
		fmt.Fprintf(d.a.out, "%-8s %s\n", s.Step, s.Text)
	}
}

func (a *app) demoMarket(ctx context.Context, dir string) (err error) {
	if dir == "" {
		if dir, err = os.MkdirTemp("", "troupe-demo-"); err != nil {
			return fault.New(fault.HostDataDir, "demo", "", err)
		}
		defer func() { _ = os.RemoveAll(dir) }()
	}
	a.dataDir = dir
	if dir, err = a.directory(); err != nil {
		return err
	}
	d := &demo{a: a}
	stop, err := d.start(ctx, dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()
	if err := d.play(ctx); err != nil {
		return err
	}
	if a.json() {
		a.printJSON(d.steps)
	}
	return nil
}

// start starts host and chain, and serves both to this process only.
func (d *demo) start(ctx context.Context, dir string) (stop func() error, err error) {
	a := d.a
	var closers []func() error
	stop = func() error {
		var errs []error
		for i := range closers {
			errs = append(errs, closers[len(closers)-1-i]())
		}
		return errors.Join(errs...)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, stop())
		}
	}()
	root, err := a.newAccount(rootAccount, keys.Unlock{})
	if err != nil {
		return nil, err
	}
	alice, err := a.newAccount("alice", keys.Unlock{})
	if err != nil {
		return nil, err
	}
	d.root, d.alice, d.source = root.Worker(), alice.Worker(), filepath.Join(dir, demoSource)
	if err := os.MkdirAll(d.source, 0o700); err != nil {
		return nil, fault.New(fault.HostDataDir, "demo", fault.Quote(dir), err)
	}
	log := zerolog.Nop()
	if a.verbose {
		log = a.log(zerolog.DebugLevel)
	}
	own, err := chainbridge.Open(ctx, chainbridge.Config{Dir: filepath.Join(dir, chainDir), Root: d.root.Public(), BlockTime: demoBlockTime, Log: log})
	if err != nil {
		return nil, err
	}
	closers = append(closers, own.Close)
	l, err := net.Listen("unix", filepath.Join(dir, "demo.sock"))
	if err != nil {
		return nil, fault.New(fault.HostDataDir, "demo", fault.Quote(dir), err)
	}
	rpc := &http.Server{Handler: own.Handler(), ReadHeaderTimeout: chainHeaderTimeout}
	go func() { _ = rpc.Serve(l) }()
	closers = append(closers, rpc.Close)
	if d.c, err = chainbridge.Dial("unix://" + l.Addr().String()); err != nil {
		return nil, err
	}
	closers = append(closers, d.c.Close)

	cfg := host.Default()
	cfg.DataDir, cfg.WorkerPath, cfg.Owner, cfg.Log = dir, a.worker, ownerRun, log
	cfg.PrepareWorkers, cfg.PrepareWorkersCritical, cfg.ExecuteWorkers, cfg.ExecuteWorkersCritical, cfg.SpareWorkers = 1, 1, 2, 2, host.NoLimit
	cfg.BallastBytes, cfg.StopTimeout = host.NoLimit, privately
	cfg.Chain.Port, cfg.Chain.ReportEvery, cfg.Chain.Description = own, time.Hour, "the worker of a demonstration"
	cfg.Chain.Prices, cfg.Chain.Sources = &meter.Prices{}, filepath.Join(dir, demoSource)
	h, err := a.start(ctx, cfg)
	if err != nil {
		return nil, err
	}
	closers = append(closers, h.Close)
	listener, dial := control.Pair()
	server := control.New(h, serverOptions(cfg))
	go func() { _ = server.Serve(listener) }()
	closers = append(closers, server.Close)
	d.n = client.Over(dial)
	return stop, nil
}

// until asks again and again until the answer is yes.
func (d *demo) until(ctx context.Context, what string, ask func(context.Context) (bool, error)) error {
	ctx, cancel := context.WithTimeoutCause(ctx, demoPatience, fault.New(fault.CanceledDeadline, "demo", what, nil))
	defer cancel()
	t := time.NewTicker(demoPoll)
	defer t.Stop()
	for {
		yes, err := ask(ctx)
		if err != nil || yes {
			return err
		}
		select {
		case <-t.C:
		case <-ctx.Done():
			return fault.From(context.Cause(ctx))
		}
	}
}

func (d *demo) send(ctx context.Context, who *meter.Key, pallet, name string, body map[string]any) (sent, error) {
	return d.a.send(ctx, d.c, who, chain.Call{Pallet: pallet, Name: name, Args: args(body)})
}

func (d *demo) balance(ctx context.Context, who [32]byte) (string, error) {
	a, err := d.c.Account(ctx, who)
	return a.Free, err
}

// play goes through the circle.
func (d *demo) play(ctx context.Context) error {
	for _, step := range []func(context.Context) error{d.register, d.fund, d.list, d.pay, d.use, d.settle, d.end} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (d *demo) register(ctx context.Context) error {
	s, err := d.n.Session(ctx)
	if err != nil {
		return err
	}
	if err := d.worker.UnmarshalText([]byte(s.WorkerKey)); err != nil {
		return err
	}
	var v inspect.ChainView
	if err := d.until(ctx, "the worker is registered", func(ctx context.Context) (bool, error) {
		v, err = d.n.Chain(ctx)
		return v.Reporter.Registered && v.Reporter.ChainSession != "" && v.Reporter.ChainSession == v.Reporter.Session, err
	}); err != nil {
		return err
	}
	d.tell("register", map[string]any{"worker": d.worker, "session": v.Reporter.Session}, "the host registered worker %s and its session, by itself", short(d.worker.String()))
	return nil
}

func (d *demo) fund(ctx context.Context) error {
	alice := d.alice.Public()
	s, err := d.send(ctx, d.root, "Balances", "transfer_keep_alive", map[string]any{"dest": chain.Hash(alice), "value": "5000000000"})
	if err == nil {
		d.tell("fund", map[string]any{"account": chain.Hash(alice), "height": s.Height}, "root gave alice 5000000000 (block %d)", s.Height)
	}
	return err
}

func (d *demo) list(ctx context.Context) error {
	prices := map[string]any{}
	for _, p := range priceNames {
		prices[p.name] = nil
	}
	// The worker asks for nothing, so the prices are those of each ticket.
	if _, err := d.send(ctx, d.root, wapod, "worker_list_create", map[string]any{"description": "demonstration", "prices": prices, "init_workers": []chain.Hash{d.worker}}); err != nil {
		return err
	}
	var invited struct {
		Invitation uint64 `json:"invitation"`
	}
	if err := d.c.Query(ctx, wapod+"/invitation", map[string]any{"list": 0, "worker": d.worker}, &invited); err != nil {
		return err
	}
	s, err := d.n.SendToChain(ctx, api.ChainCall{Key: "demo", Pallet: wapod, Name: "worker_list_consent", Args: args(map[string]any{"list": 0, "worker": d.worker, "invitation": invited.Invitation})})
	if err == nil {
		d.tell("list", map[string]any{"list": 0, "height": s.Height}, "root made list 0 and invited the worker, which joined it (block %d)", s.Height)
	}
	return err
}

// demoApp is what alice has run.
func demoApp() *manifest.Manifest {
	return &manifest.Manifest{Version: manifest.Version2, CodeHash: fmt.Sprintf("sha256:%x", sha256.Sum256(demoCode)), OnDemand: true, MaxQueryBytes: 1 << 16, Label: "demo", Terms: &manifest.Terms{}}
}

func (d *demo) pay(ctx context.Context) error {
	m := demoApp()
	text, err := m.JSON()
	if err != nil {
		return err
	}
	for name, b := range map[string][]byte{manifest.CID(text): text, m.CodeHash: demoCode} {
		if err := os.WriteFile(filepath.Join(d.source, name), b, 0o600); err != nil {
			return fault.New(fault.HostDataDir, "demo", fault.Quote(name), err)
		}
	}
	prices := map[string]any{}
	for _, p := range priceNames {
		prices[p.name] = nil
	}
	prices["gas_price"], prices["general_fee_per_second"] = "100", "1000"
	s, err := d.send(ctx, d.alice, wapod, "ticket_create", map[string]any{
		"deposit": demoDeposit, "address": m.Address(), "manifest_cid": manifest.CID(text), "worker_list": 0, "prices": prices,
	})
	if err != nil {
		return err
	}
	d.tell("ticket", map[string]any{"ticket": 0, "height": s.Height}, "alice paid %s into ticket 0 for app %s (block %d)", demoDeposit, short(m.Address().String()), s.Height)
	if err := d.until(ctx, "the app is deployed", func(ctx context.Context) (bool, error) {
		_, err := d.n.App(ctx, m.Address().String())
		return err == nil, unlessNotFound(err)
	}); err != nil {
		return err
	}
	d.tell("deploy", map[string]any{"app": m.Address()}, "the host saw the ticket, fetched the app by its hashes, and deployed it")
	return nil
}

func unlessNotFound(err error) error {
	if fault.CodeOf(err) == fault.CallerNotFound {
		return nil
	}
	return err
}

func (d *demo) use(ctx context.Context) error {
	apps, err := d.n.Apps(ctx, "")
	if err != nil || len(apps) == 0 {
		return err
	}
	for i := range demoQueries {
		want := fmt.Sprintf("question %d", i)
		r, err := d.n.Query(ctx, client.Query{Address: apps[0].Address, Payload: []byte(want)})
		if err != nil {
			return err
		}
		if string(r.Output) != want {
			return fault.New(fault.BugUnexpected, "demo", fault.Quote(string(r.Output)), nil)
		}
	}
	m, err := d.n.AppMetrics(ctx, apps[0].Address)
	if err == nil && len(m) == 1 {
		d.tell("use", map[string]any{"metrics": m[0]}, "%d queries used %d units of gas in %d starts", demoQueries, m[0].Gas, m[0].Starts)
	}
	return err
}

func (d *demo) settle(ctx context.Context) error {
	r, err := d.n.ReportToChain(ctx)
	if err != nil {
		return err
	}
	d.tell("report", map[string]any{"reports": r.Reports, "height": r.Height}, "the worker signed %d report, and the ledger settled it (block %d)", r.Reports, r.Height)
	var t struct {
		Balance string            `json:"balance"`
		Workers []json.RawMessage `json:"workers_state"`
	}
	if err := d.c.Query(ctx, wapod+"/ticket", map[string]any{"id": 0}, &t); err != nil {
		return err
	}
	earned, err := d.balance(ctx, d.worker)
	if err != nil {
		return err
	}
	d.tell("settle", map[string]any{"balance": t.Balance, "earned": earned}, "the worker has earned %s, and %s is left in the ticket", oneLine(earned), oneLine(t.Balance))
	return nil
}

func (d *demo) end(ctx context.Context) error {
	s, err := d.send(ctx, d.alice, wapod, "ticket_close", map[string]any{"id": 0})
	if err != nil {
		return err
	}
	d.tell("close", map[string]any{"height": s.Height}, "alice closed the ticket (block %d); reports are still paid up to block %s", s.Height, oneLine(s.field(wapod, "TicketClosing", "closes_at")))
	if err := d.until(ctx, "the ticket is gone", func(ctx context.Context) (bool, error) {
		var t json.RawMessage
		err := d.c.Query(ctx, wapod+"/ticket", map[string]any{"id": 0}, &t)
		return fault.CodeOf(err) == fault.CallerNotFound, unlessNotFound(err)
	}); err != nil {
		return err
	}
	if err := d.until(ctx, "the app is removed", func(ctx context.Context) (bool, error) {
		apps, err := d.n.Apps(ctx, "")
		return len(apps) == 0, err
	}); err != nil {
		return err
	}
	alice, err := d.balance(ctx, d.alice.Public())
	if err != nil {
		return err
	}
	earned, err := d.balance(ctx, d.worker)
	if err != nil {
		return err
	}
	d.tell("refund", map[string]any{"alice": alice, "earned": earned}, "the rest went back to alice, who has %s; the worker has %s; the app is removed", oneLine(alice), oneLine(earned))
	return nil
}
