package cli

import (
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/rs/zerolog"
	"github.com/spf13/pflag"

	"github.com/troupehost/troupe/actors/chain"
	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/keys"
	"github.com/troupehost/troupe/actors/meter"
	"github.com/troupehost/troupe/chainbridge"
	"github.com/troupehost/troupe/chainbridge/devchain"
	"github.com/troupehost/troupe/host"
	"github.com/troupehost/troupe/host/control"
)

// noChain is the --chain of a host without one.
const noChain = "none"

const (
	chainDir         = "chain" // of an embedded chain, in the data directory
	defaultBlockTime = 6 * time.Second
	maxBlockTime     = time.Hour
)

// chainServe is what 'serve' has to do with a chain.
type chainServe struct {
	url, listen         string
	blockTime           time.Duration
	verify              bool
	recipient, operator string
	prices              []string

	port   chain.Port
	handle http.Handler // of an embedded chain, for others; nil: it is somebody else's
	close  func() error
}

func (f *chainServe) add(fs *pflag.FlagSet, c *host.ChainConfig) {
	f.url, f.blockTime = chainbridge.Embedded, defaultBlockTime
	fs.Var(word{&f.url, "URL"}, "chain", "the chain: embedded: (one of its own), none, or the URL of another one, like http://127.0.0.1:9944")
	fs.Var(upTo0(&f.blockTime, maxBlockTime), "block-time", "time between the blocks of an embedded chain; 0s makes one for each transaction, at once")
	fs.BoolVar(&f.verify, "chain-verify", false, "execute all blocks of the embedded chain again before anything else, and refuse to start if it is damaged")
	fs.Var(word{&f.listen, "ADDR"}, "chain-listen", "serve the embedded chain to others by JSON-RPC on ADDR, like 127.0.0.1:9944 (default: only on a socket in the data directory)")
	fs.Var(word{&f.recipient, "ACCOUNT"}, "recipient", "account that is paid for apps, in SS58 or hex digits (default: that of the worker key)")
	fs.Var(word{&f.operator, "ACCOUNT"}, "operator", "account that may put the worker into a pool (default: that of the worker key)")
	fs.Var(&words{&f.prices, "NAME=AMOUNT"}, "price", "ask for a price of each unit, like general_fee_per_second=100; see 'troupe market prices'")
	fs.Var(word{&c.Description, "TEXT"}, "description", "what the worker says of itself on the chain")
	fs.Var(word{&c.Endpoints, "LIST"}, "endpoint", "URLs at which users reach the worker, for the chain, joined by commas")
	fs.Var(limit{(*span)(&c.ReportEvery), 100 * time.Millisecond, 24 * time.Hour}, "report-every", "report the use of apps to the chain each D")
	fs.Var(count{p: &c.MaxApps}, "chain-apps", "deploy at most N apps for tickets")
	fs.Var(word{&c.Sources, "LIST"}, "source", "fetch manifests and blobs from directories and URLs that a hash is appended to, joined by commas")
	fs.BoolVar(&c.Compute, "compute", false, "serve compute requests, too")
	fs.Var(word{&c.Agent, "URL"}, "compute-agent", "have the agent at URL serve compute requests, in place of this host")
}

// upTo0 is a flag for a time that may be 0.
func upTo0(p *time.Duration, most time.Duration) limit { return limit{(*span)(p), 0, most} }

// config adds what the chain needs to know.
func (f *chainServe) config(ctx context.Context, a *app, c *host.ChainConfig) error {
	if c.Agent != "" && !c.Compute {
		return usage("--compute-agent without --compute", "pass both")
	}
	if f.listen != "" && f.url != chainbridge.Embedded {
		return usage("--chain-listen with a chain of others", "it is served by who runs it")
	}
	for _, who := range []struct {
		text string
		to   *[]byte
	}{{f.recipient, &c.Recipient}, {f.operator, &c.Operator}} {
		if who.text == "" {
			continue
		}
		p, err := a.parsePublic(who.text)
		if err != nil {
			return err
		}
		*who.to = p[:]
	}
	var err error
	if len(f.prices) > 0 {
		c.Prices, err = parsePrices(f.prices)
	}
	return err
}

// priceNames are the prices of the market, in the order of its encoding.
var priceNames = []struct {
	name, of string
	field    func(*meter.Prices) **meter.Uint128
}{
	{"general_fee_per_second", "second that instances run", func(p *meter.Prices) **meter.Uint128 { return &p.GeneralFeePerSecond }},
	{"gas_price", "1,024 units of gas", func(p *meter.Prices) **meter.Uint128 { return &p.Gas }},
	{"net_ingress_price", "byte that comes in", func(p *meter.Prices) **meter.Uint128 { return &p.NetIngress }},
	{"net_egress_price", "byte that goes out", func(p *meter.Prices) **meter.Uint128 { return &p.NetEgress }},
	{"storage_read_price", "byte that is read", func(p *meter.Prices) **meter.Uint128 { return &p.StorageRead }},
	{"storage_write_price", "byte that is written", func(p *meter.Prices) **meter.Uint128 { return &p.StorageWrite }},
	{"storage_price", "megabyte that is stored for a second", func(p *meter.Prices) **meter.Uint128 { return &p.Storage }},
	{"memory_price", "kilobyte of memory that is held for a second", func(p *meter.Prices) **meter.Uint128 { return &p.Memory }},
	{"tip_price", "unit of tips", func(p *meter.Prices) **meter.Uint128 { return &p.Tip }},
}

// parsePrices reads NAME=AMOUNT.
func parsePrices(list []string) (*meter.Prices, error) {
	p := &meter.Prices{}
	for _, text := range list {
		name, amount, ok := strings.Cut(text, "=")
		var n meter.Uint128
		if !ok || n.UnmarshalText([]byte(amount)) != nil {
			return nil, usage("price "+fault.Quote(text), "write NAME=AMOUNT, with decimal digits")
		}
		known := false
		for _, x := range priceNames {
			if x.name == name {
				*x.field(p), known = &n, true
			}
		}
		if !known {
			return nil, usage("price "+fault.Quote(name), "'troupe market prices' lists them")
		}
	}
	return p, nil
}

// open opens or reaches the chain, and tells the host of it.
func (f *chainServe) open(ctx context.Context, a *app, dir string, c *host.ChainConfig, log zerolog.Logger) error {
	f.close = func() error { return nil }
	switch f.url {
	case noChain:
		return nil
	case chainbridge.Embedded:
	default:
		client, err := chainbridge.Dial(f.url)
		if err != nil {
			return err
		}
		f.port, f.close, c.Port, c.URL = client, client.Close, client, f.url
		return nil
	}
	root, err := a.chainOwner(filepath.Join(dir, chainDir), log)
	if err != nil {
		return err
	}
	socket, err := a.socketPath(dir)
	if err != nil {
		return err
	}
	own, err := chainbridge.Open(ctx, chainbridge.Config{Dir: filepath.Join(dir, chainDir), Root: root, BlockTime: f.blockTime, Log: log})
	if err != nil {
		return err
	}
	if f.verify {
		if err := verifyAgain(ctx, own, log); err != nil {
			return errors.Join(err, own.Close())
		}
	}
	f.port, f.handle, f.close = own, own.Handler(), own.Close
	c.Port, c.URL = own, "unix://"+chainSocket(socket)
	return nil
}

// verifyEvery is how many blocks are between two lines of the log.
const verifyEvery = 10_000

// verifyAgain executes all blocks of a chain again.
func verifyAgain(ctx context.Context, own *devchain.Chain, log zerolog.Logger) error {
	err := own.Verify(ctx, true, func(done, total uint64) {
		if done%verifyEvery == 0 {
			log.Info().Uint64("blocks", done).Uint64("of", total).Msg("the chain is executed again")
		}
	})
	if err == nil {
		log.Info().Msg("the chain is proved: every block was executed again")
	}
	return err
}

// chainOwner returns the account that a new chain is to belong to. It matters for that only: the owner of a chain that there is stands
// in its state, and the key may be kept elsewhere since.
func (a *app) chainOwner(chain string, log zerolog.Logger) (owner [32]byte, err error) {
	_, err = a.shownAccount(rootAccount)
	switch {
	case err == nil:
		return a.parsePublic(rootAccount)
	case fault.CodeOf(err) != fault.CallerNotFound:
		return owner, err
	}
	if _, err := os.Lstat(chain); err == nil {
		log.Warn().Msg("the key of the account root, which owned the chain when it was made, is not in the data directory")
		return owner, nil
	}
	k, err := a.newAccount(rootAccount, keys.Unlock{})
	if err != nil {
		return owner, err
	}
	return k.Public(), nil
}

// chainSocket is where the embedded chain is served, beside the control socket.
func chainSocket(control string) string { return strings.TrimSuffix(control, ".sock") + "-chain.sock" }

const chainHeaderTimeout = 10 * time.Second

// serve has others reach the embedded chain, until stop is called.
func (f *chainServe) serve(socket string, failed chan<- error) (stop func(), err error) {
	if f.handle == nil {
		return func() {}, nil
	}
	local, err := control.Listen(chainSocket(socket))
	if err != nil {
		return nil, err
	}
	listeners := []net.Listener{local}
	if f.listen != "" {
		l, err := net.Listen("tcp", f.listen)
		if err != nil {
			_ = local.Close()
			return nil, fault.New(fault.CallerConfig, "listen", fault.Quote(f.listen), err).WithHint("give --chain-listen an address like 127.0.0.1:9944 that is free")
		}
		listeners = append(listeners, l)
	}
	server := &http.Server{Handler: f.handle, ReadHeaderTimeout: chainHeaderTimeout}
	for _, l := range listeners {
		go func() {
			if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
				failed <- fault.New(fault.HostUnsupported, "--chain-listen", l.Addr().String(), err).WithHint("the listener for the chain failed: see the log")
			}
		}()
	}
	return func() { _ = server.Close() }, nil
}
