package cli

import (
	"context"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/host"
	"github.com/troupehost/troupe/host/wire"
)

// serveFlags are the settings of a host that operators need.
type serveFlags struct {
	cfg   host.Config // the defaults, until a flag says otherwise
	given *pflag.FlagSet

	appListen, appTLS, certificates string // of the users of apps
	passphrase                      string // file
	chain                           chainServe
	life                            lifeFlags
	operators                       operatorFlags
}

// hostSettings says which flag sets which field of host.Config.
var hostSettings = []struct{ flag, field, what string }{
	{"prepare-workers", "PrepareWorkers", "prepare at most N codes at once"},
	{"prepare-workers-critical", "PrepareWorkersCritical", "prepare at most N codes at once while critical ones wait (default: all cores, at least --prepare-workers)"},
	{"execute-workers", "ExecuteWorkers", "at most N worker processes for runs"},
	{"execute-workers-critical", "ExecuteWorkersCritical", "at most N worker processes while critical runs wait (default: --execute-workers and the cores)"},
	{"spare-workers", "SpareWorkers", "keep N worker processes ready for the next code (default: one per core, at most --execute-workers)"},
	{"cross-check", "CrossCheck", "repeat N runs of 10,000 on the engine's interpreter, and warn if it disagrees (default: none)"},
	{"clock-step", "ClockStep", "show guests of the real world clocks in steps of D"},
	{"wasm-features", "WasmFeatures", "let code use the features of LIST: wasm2, all, or names joined by commas; a minus takes one away; exceptions only for code you trust, see above"},
	{"wasm-caps", "WasmCaps", "bound the complexity of code by LIST: NAME=N joined by commas, like functions=200000 (default: built in)"},
	{"sandbox", "Sandbox", "what to do about layers of confinement that do not hold: default (warn) or strict (refuse to start); see 'troupe worker sandbox'"},
	{"cache-bytes", "CacheBytes", "keep artifacts up to SIZE"},
	{"retry-cooldown", "RetryCooldown", "wait D before a preparation that failed by what may be the machine's fault is tried again"},
	{"retries", "Retries", "try a preparation that failed by what may be the machine's fault again N times"},
	{"forgive-suspects", "ForgiveSuspects", "a run that was suspect twice does not count against its code"},
	{"quarantine-after", "QuarantineAfter", "put code in quarantine when N runs in a row counted against it"},
	{"quarantine", "Quarantine", "refuse code in quarantine for D"},
	{"drain-timeout", "StopTimeout", "let running work end for D when the host is told to stop"},
	{"job-keep", "JobKeep", "keep a settled job and its result for D"},
	{"job-bytes", "JobBytes", "jobs and the warm-up list take at most SIZE on disk"},
	{"app-slots", "Apps.Slots", "at most N instances of apps that live on"},
	{"resume", "Apps.Resume", "go on with the worker session, its apps and their totals; without it a start forgets them"},
	{"blob-bytes", "Apps.BlobBytes", "blobs of apps take at most SIZE on disk, and what --job-bytes leaves free"},
	{"listen-ports", "Apps.ListenFrom", "apps may listen on the TCP ports FROM-TO, if their manifests say so too (default none)"},
	{"egress-private", "Apps.EgressPrivate", "apps may connect to addresses outside of the public network that are in LIST, like 10.1.0.0/16, if their manifests say so too (default none)"},
	{"record", "RecordBytes", "keep what actors were given lately in SIZE of memory, for 'troupe replay'; it holds what messages hold (default: nothing)"},
	{"key-file", "Apps.KeyFile", "FILE has 32 bytes or more that lock and unlock the worker key (default: it is kept in clear)"},
}

func newServeFlags() *serveFlags { return &serveFlags{cfg: host.Default()} }

func (f *serveFlags) add(fs *pflag.FlagSet) {
	f.given = fs
	c := &f.cfg
	// What follows from another setting is left to the host.
	c.PrepareWorkersCritical, c.ExecuteWorkersCritical, c.SpareWorkers = 0, 0, 0
	values := map[string]pflag.Value{
		"PrepareWorkers": count{p: &c.PrepareWorkers}, "PrepareWorkersCritical": count{p: &c.PrepareWorkersCritical},
		"ExecuteWorkers": count{p: &c.ExecuteWorkers}, "ExecuteWorkersCritical": count{p: &c.ExecuteWorkersCritical},
		"SpareWorkers": count{&c.SpareWorkers, "none"},
		"CrossCheck":   count{p: &c.CrossCheck}, "ClockStep": step{(*span)(&c.ClockStep)},
		"CacheBytes": (*size)(&c.CacheBytes), "JobBytes": (*size)(&c.JobBytes), "RecordBytes": (*size)(&c.RecordBytes),
		"RetryCooldown": upTo((*span)(&c.RetryCooldown), 24*time.Hour), "Quarantine": upTo((*span)(&c.Quarantine), 24*time.Hour),
		"StopTimeout":  upTo((*span)(&c.StopTimeout), time.Hour),
		"JobKeep":      limit{(*span)(&c.JobKeep), leastKeep, mostKeep},
		"WasmFeatures": word{&c.WasmFeatures, "LIST"}, "WasmCaps": word{&c.WasmCaps, "LIST"},
		"Sandbox": word{&c.Sandbox, "POLICY"},
		"Retries": count{&c.Retries, "always"}, "QuarantineAfter": count{&c.QuarantineAfter, "never"},
		"Apps.Slots": count{p: &c.Apps.Slots}, "Apps.BlobBytes": (*size)(&c.Apps.BlobBytes), "Apps.KeyFile": word{&c.Apps.KeyFile, "FILE"}, "Apps.EgressPrivate": word{&c.Apps.EgressPrivate, "LIST"},
		"Apps.ListenFrom": ports{&c.Apps.ListenFrom, &c.Apps.ListenTo},
	}
	switches := map[string]*bool{"ForgiveSuspects": &c.ForgiveSuspects, "Apps.Resume": &c.Apps.Resume}
	for _, s := range hostSettings {
		if on, ok := switches[s.field]; ok {
			fs.BoolVar(on, s.flag, false, s.what)
			continue
		}
		fs.Var(values[s.field], s.flag, s.what)
	}
	fs.Var(word{&f.appListen, "ADDR"}, "app-listen", "serve the users of apps by HTTP on ADDR, like 127.0.0.1:8080 (default: nowhere)")
	fs.Var(word{&f.appTLS, "ADDR"}, "app-tls", "hand TLS connections on ADDR to apps by the server names in their manifests (default: nowhere)")
	fs.Var(word{&f.certificates, "DIR"}, "app-cert", "directory of certificates for --app-tls: NAME.pem and NAME.key for each server name")
	f.chain.add(fs, &c.Chain)
	f.life.add(fs)
	f.operators.add(fs)
	fs.Var(word{&f.passphrase, "FILE"}, "key-passphrase-file", "the first line of FILE locks and unlocks the worker key (default: it is kept in clear)")
}

// ports is a flag for a range of ports.
type ports struct{ from, to *uint16 }

func (p ports) String() string {
	if p.from == nil || *p.from == 0 {
		return ""
	}
	return fmt.Sprintf("%d-%d", *p.from, *p.to)
}

func (p ports) Type() string { return "FROM-TO" }

func (p ports) Set(text string) error {
	first, last, ranged := strings.Cut(text, "-")
	if !ranged {
		last = first
	}
	from, err := strconv.ParseUint(first, 10, 16)
	to, err2 := strconv.ParseUint(last, 10, 16)
	if err != nil || err2 != nil || from < 1 || to < from {
		return fmt.Errorf("write a port or two between 1 and 65535, like 9000-9099")
	}
	*p.from, *p.to = uint16(from), uint16(to)
	return nil
}

// step is a flag for the resolution of a guest's clocks.
type step struct{ *span }

func (s step) Set(text string) error {
	d, err := time.ParseDuration(text)
	if err != nil || d < 1 || d > wire.MaxClockStep {
		return fmt.Errorf("write a duration between 1ns and %v, like 100us", wire.MaxClockStep)
	}
	*s.span = span(d)
	return nil
}

// config returns the settings, or what is wrong with them in the words of the flags.
func (f *serveFlags) config(dir string) (host.Config, error) {
	cfg := f.cfg
	cfg.DataDir = dir
	switch {
	case f.appTLS != "" && f.certificates == "":
		return cfg, usage("--app-tls without --app-cert", "name a directory of certificates")
	case f.passphrase != "" && cfg.Apps.KeyFile != "":
		return cfg, usage("both --key-passphrase-file and --key-file", "choose one of them")
	case f.certificates != "" && !isDir(f.certificates):
		return cfg, usage("--app-cert "+f.certificates, "name a directory that there is, with NAME.pem and NAME.key for each server name")
	case f.certificates != "":
		cfg.Apps.Certificates = host.CertificateDir(f.certificates)
	}
	if err := f.operators.check(); err != nil {
		return cfg, err
	}
	err := cfg.Validate()
	if e := fault.From(err); err != nil {
		for _, s := range hostSettings {
			if s.field == e.Subject {
				return cfg, usage("--"+s.flag+" "+f.given.Lookup(s.flag).Value.String(), e.Hint)
			}
		}
	}
	return cfg, err
}

// comeIn finds what fits no place where operators and the users of apps come in: their flags, and the sockets of a service manager.
func (f *serveFlags) comeIn(sockets map[string]net.Listener) error {
	held := sockets[socketAppsTLS] != nil
	switch {
	case held && f.appTLS != "":
		return usage("--app-tls and a socket "+socketAppsTLS+" of the service manager", "choose one of them")
	case sockets[socketApps] != nil && f.appListen != "":
		return usage("--app-listen and a socket "+socketApps+" of the service manager", "choose one of them")
	case held && f.certificates == "":
		return usage("a socket "+socketAppsTLS+" of the service manager without --app-cert", "name a directory of certificates")
	case !held && f.appTLS == "" && f.certificates != "":
		return usage("--app-cert without --app-tls", "say where TLS connections come in, or give the service manager a socket "+socketAppsTLS)
	}
	if l := sockets[socketControl]; l != nil && l.Addr().Network() != "unix" {
		return usage("a socket "+socketControl+" of the service manager that is not a Unix socket", "callers are known there by their user; on TCP they come by TLS: name it "+socketControlTLS)
	}
	return f.operators.comeIn(sockets[socketControlTLS] != nil)
}

func (a *app) serveVerb() verb {
	f := newServeFlags()
	return verb{
		use: "serve [flags]", short: "Keep a host running until it is told to stop",
		long: `Prints "ready" and the path of its control socket on stdout, and its log on stderr. SIGINT and SIGTERM let running
work end, for --drain-timeout at most; a second one stops it. Jobs that are not settled then go on with the next 'troupe serve'.
SIGHUP reads the settings again: what changes at once is marked in 'troupe config show --origin', and the log says what needs a restart.
SIGUSR1 writes a bundle into the directory snapshots of the data directory, and SIGQUIT does so, too, prints all stacks, and ends.

Each flag is also a setting of a file and of the environment: see 'troupe config'.

The engine's exceptions are not memory-safe: a guest that uses them can read what its worker process holds. They are off, and
--wasm-features exceptions (or all) turns them on; 'troupe status' then shows a lasting warning.

The users of apps come in by --app-listen and --app-tls, where nothing can be operated; the addresses stand in the log. Whoever operates
the host uses the control socket.`,
		examples: []string{
			"troupe serve", "on the default data directory",
			"troupe serve --data-dir /var/lib/troupe", "on another one",
			"troupe serve --execute-workers 8 --job-keep 168h", "with room for eight runs at once, and results for a week",
			"troupe serve --resume --app-listen 127.0.0.1:8080", "with apps that go on where they were, and their users on this port",
			"troupe serve --wasm-features wasm2,tail-calls --wasm-caps body-bytes=1048576", "for code that needs more than the defaults",
		},
		exits:  with(exitsHost, exitConflict),
		flags:  f.add,
		settle: settleAll,
		run:    func(ctx context.Context, _ []string) error { return a.serve(ctx, f) },
	}
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}
