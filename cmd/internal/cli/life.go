package cli

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/rs/zerolog"
	"github.com/spf13/pflag"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/cmd/internal/settings"
	"github.com/troupehost/troupe/cmd/internal/systemd"
	"github.com/troupehost/troupe/host/control/api"
	"github.com/troupehost/troupe/host/control/client"
)

// lifeFlags are the settings of 'serve' that are not the host's.
type lifeFlags struct {
	logLevel, logFormat choice
}

func (f *lifeFlags) add(fs *pflag.FlagSet) {
	f.logLevel = choice{"", []string{"debug", "info", "warn", "error"}}
	f.logFormat = choice{"auto", []string{"auto", "json", "text"}}
	fs.Var(&f.logLevel, "log-level", "the least level that is logged (default info; debug with -v, error with -q); debug needs a restart")
	fs.Var(&f.logFormat, "log-format", "form of the log; auto is text on a terminal, and JSON lines otherwise")
	settings.MarkLive(fs, "log-level")
}

// level returns what is logged at least.
func (f *lifeFlags) level(verbose, quiet bool) zerolog.Level {
	switch {
	case f.logLevel.value != "":
		level, _ := zerolog.ParseLevel(f.logLevel.value) // one of the allowed
		return level
	case verbose:
		return zerolog.DebugLevel
	case quiet:
		return zerolog.ErrorLevel
	}
	return zerolog.InfoLevel
}

// liveLevel is the level of a log that can change while it is written. It is a sampler, so that what is left out costs nothing.
// Below info there is nothing but what an operator has asked of one actor, which passes, unless the log began with all of it.
type liveLevel struct {
	base  zerolog.Level // of the logger: what is less never gets here
	least atomic.Int32
}

func newLiveLevel(level zerolog.Level) *liveLevel {
	l := &liveLevel{base: min(level, zerolog.InfoLevel)}
	l.least.Store(int32(level))
	return l
}

// Sample implements zerolog.Sampler.
func (l *liveLevel) Sample(level zerolog.Level) bool {
	return int32(level) >= l.least.Load() || level < zerolog.InfoLevel && l.base == zerolog.InfoLevel
}

// set changes the level, as far as that is possible: a log that began without debug gets none of it.
func (l *liveLevel) set(level zerolog.Level) bool {
	l.least.Store(int32(max(level, l.base)))
	return level >= l.base
}

// serveLog returns the log of a 'serve'.
func (a *app) serveLog(f *lifeFlags) (zerolog.Logger, *liveLevel) {
	level := newLiveLevel(f.level(a.verbose, a.quiet))
	b := *a
	switch f.logFormat.value {
	case "json":
		b.errTerminal = false
	case "text":
		if !a.errTerminal { // text, and no colours
			zerolog.TimeFieldFormat = time.RFC3339Nano
			w := zerolog.ConsoleWriter{Out: a.err, TimeFormat: time.RFC3339, NoColor: true}
			return zerolog.New(w).Level(level.base).With().Timestamp().Logger().Sample(level), level
		}
	}
	return b.log(level.base).Sample(level), level
}

// outside is what 'serve' gets from its process beside what all verbs get. The zero value has none of it.
type outside struct {
	notify  func(...os.Signal) (<-chan os.Signal, func())          // more signals; nil: none
	sockets func(names ...string) (map[string]net.Listener, error) // that a service manager holds; nil: none
	manager func(zerolog.Logger) *systemd.Manager                  // nil: none
	die     func()                                                 // prints all stacks and ends the process; nil: it goes on
}

// process is the real one.
func process() outside {
	return outside{
		notify: func(signals ...os.Signal) (<-chan os.Signal, func()) {
			c := make(chan os.Signal, 4)
			signal.Notify(c, slices.DeleteFunc(signals, func(s os.Signal) bool { return s == nil })...)
			return c, func() { signal.Stop(c) }
		},
		sockets: systemd.Listeners,
		manager: systemd.Open,
		die:     dieWithStacks,
	}
}

// life is what happens to a 'serve' from its start to its end.
type life struct {
	a       *app
	dir     string // data directory
	log     zerolog.Logger
	level   *liveLevel
	manager *systemd.Manager
	sockets map[string]net.Listener // that the service manager holds

	drained chan struct{} // closed when it was asked to drain
	once    sync.Once
	again   chan os.Signal // it was asked again: stop now

	host    atomic.Pointer[client.Client] // nil: not started yet
	running atomic.Pointer[running]       // the same, for bundles

	mu     sync.Mutex
	values []settings.Value          // that it runs with
	hooks  []func(*serveFlags) error // read files again that settings name
	busy   sync.WaitGroup            // reloads and bundles
	swept  sync.Once                 // what an earlier process has left of bundles
}

func (a *app) newLife(f *serveFlags, dir string) *life {
	l := &life{a: a, dir: dir, manager: &systemd.Manager{}, drained: make(chan struct{}), again: make(chan os.Signal, 1), values: a.values}
	l.log, l.level = a.serveLog(&f.life)
	if a.manager != nil {
		l.manager = a.manager(l.log)
	}
	return l
}

// drain asks the host to end. Whoever asks again stops it now.
func (l *life) drain() { l.once.Do(func() { close(l.drained) }) }

// begin watches the signals, until stop is called. The context ends when the host is asked to drain.
func (l *life) begin(parent context.Context) (ctx context.Context, stop func()) {
	ctx, cancel := context.WithCancelCause(parent)
	var more <-chan os.Signal
	release := func() {}
	if l.a.notify != nil {
		more, release = l.a.notify(bundleSignal, syscall.SIGQUIT)
	}
	over := make(chan struct{})
	var watching sync.WaitGroup
	watching.Go(func() {
		for {
			select {
			case <-over:
				return
			case s := <-l.a.interrupts:
				l.interrupted(s, cancel)
			case s := <-more:
				l.beside(func() { l.signalled(s) })
			case <-l.drained:
				cancel(fault.New(fault.CanceledCaller, "drain", "", nil))
				l.untilOver(over, more)
				return
			}
		}
	})
	return ctx, func() {
		close(over)
		watching.Wait()
		release()
		cancel(nil)
		l.busy.Wait()
	}
}

// untilOver watches the signals of a host that drains.
func (l *life) untilOver(over <-chan struct{}, more <-chan os.Signal) {
	for {
		select {
		case <-over:
			return
		case s := <-l.a.interrupts:
			if s != syscall.SIGHUP { // it is too late for settings
				l.repeated(s)
			}
		case s := <-more:
			l.beside(func() { l.signalled(s) })
		}
	}
}

func (l *life) beside(f func()) { l.busy.Go(f) }

func (l *life) interrupted(s os.Signal, cancel context.CancelCauseFunc) {
	if s == syscall.SIGHUP {
		l.beside(func() { _, _ = l.reload() })
		return
	}
	select {
	case <-l.drained: // the signal before has just had it drain
		l.repeated(s)
	default:
		cancel(fault.New(fault.CanceledCaller, "signal", s.String(), nil))
		l.drain()
	}
}

// repeated has a host that drains stop now.
func (l *life) repeated(s os.Signal) {
	select {
	case l.again <- s:
	default:
	}
}

func (l *life) signalled(s os.Signal) {
	switch s {
	case bundleSignal:
		l.bundle("signal")
	case syscall.SIGQUIT:
		written := make(chan struct{})
		go func() {
			defer close(written)
			l.log.Error().Msg("SIGQUIT: a bundle and the stacks, and the end")
			l.bundle("crash")
		}()
		select {
		case <-written:
		case <-time.After(bundleTime):
			l.log.Error().Msgf("no bundle is written within %v", bundleTime)
		}
		if l.a.die != nil {
			l.a.die()
		}
	}
}

// reload reads the settings again, and says in a line what came of it. What is wrong changes nothing.
func (l *life) reload() (string, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.manager.Reloading()
	defer l.manager.Ready("ready")
	text, err := l.reloadLocked()
	if err != nil {
		f := fault.From(err)
		l.log.Error().Err(err).Str("hint", f.Hint).Msg("the settings are not reloaded: what held before holds on")
		return "", err
	}
	l.log.Info().Msg("reloaded: " + text)
	return text, nil
}

func (l *life) reloadLocked() (string, error) {
	file, problems, err := l.a.configFile()
	if err != nil {
		return "", err
	}
	b := l.a.blank()
	b.given(l.a.flags, l.a.own)
	problems = append(problems, settings.Unknown(b.flags, file, nearest)...)
	values, more := settings.Apply(b.flags, settings.Sources{Env: l.a.getenv, File: file})
	if err := settings.Fault(append(problems, more...)); err != nil {
		return "", err
	}
	if _, err := b.serve.config(l.dir); err != nil {
		return "", err
	}
	if err := b.serve.comeIn(l.sockets); err != nil {
		return "", err
	}
	var errs []error
	for _, read := range l.hooks {
		errs = append(errs, read(b.serve))
	}
	if err := errors.Join(errs...); err != nil {
		return "", err
	}
	live, later := 0, 0
	for _, c := range settings.Changes(l.values, values) {
		if c.Live {
			live++
			l.log.Info().Str("setting", c.Name).Str("from", c.From).Str("to", c.To).Msg("a setting has changed")
			continue
		}
		later++
		l.log.Warn().Str("setting", c.Name).Str("from", c.From).Str("to", c.To).Msg("this setting needs a restart to change")
		i := slices.IndexFunc(values, func(v settings.Value) bool { return v.Name == c.Name })
		j := slices.IndexFunc(l.values, func(v settings.Value) bool { return v.Name == c.Name })
		values[i] = l.values[j] // what it runs with
	}
	l.values = values
	if !l.level.set(b.serve.life.level(b.app.verbose, b.app.quiet)) {
		l.log.Warn().Str("setting", "log-level").Msg("this log began without debug, which needs a restart")
	}
	return fmt.Sprintf("%d settings taken over, %d need a restart", live, later), nil
}

// settings are those that the host runs with.
func (l *life) settings() []api.Setting {
	l.mu.Lock()
	defer l.mu.Unlock()
	return listSettings(l.values)
}

// Bundles that signals have asked for are kept in the data directory, the newest of them.
const (
	bundleDir    = "snapshots"
	bundlePrefix = "bundle-"
	bundleSuffix = ".troupe"
	keptBundles  = 8
	collectTime  = 7 * time.Second  // for the host to say what is in it
	bundleTime   = 10 * time.Second // a host that is stuck, or its disk, must not hold up its own end
)

// bundle writes what the host shows into its data directory.
func (l *life) bundle(why string) {
	path, err := l.writeBundle(why)
	if err != nil {
		l.log.Error().Err(err).Msg("no bundle could be written")
		return
	}
	l.log.Info().Str("file", path).Str("reason", why).Msg("a bundle is written: open it with 'troupe bundle open'")
}

func (l *life) writeBundle(why string) (path string, err error) {
	h := l.running.Load()
	if h == nil {
		return "", fault.New(fault.BusyDraining, "bundle", "", nil).WithHint("the host has not started yet")
	}
	dir := filepath.Join(l.dir, bundleDir)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	l.swept.Do(func() { err = sweepBundles(dir) })
	if err != nil {
		return "", err
	}
	path = filepath.Join(dir, bundlePrefix+time.Now().UTC().Format("20060102T150405.000Z")+"-"+why+bundleSuffix)
	f, err := os.CreateTemp(dir, ".bundle-*.tmp") // for its owner alone
	if err != nil {
		return "", err
	}
	if err = l.snapshot(context.Background(), f, *h, why, collectTime); err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name())
		return "", err
	}
	return path, dropBundles(dir, keptBundles)
}

// dropBundles removes all but the newest.
func dropBundles(dir string, keep int) error {
	all, err := namesOf(dir, bundlePrefix, bundleSuffix) // in the order of time
	for len(all) > keep {
		err = errors.Join(err, os.Remove(filepath.Join(dir, all[0])))
		all = all[1:]
	}
	return err
}

// sweepBundles removes what a process that has ended left half written. Those of this one are still being written.
func sweepBundles(dir string) error {
	all, err := namesOf(dir, ".bundle-", ".tmp")
	for _, name := range all {
		err = errors.Join(err, os.Remove(filepath.Join(dir, name)))
	}
	return err
}

func namesOf(dir, prefix, suffix string) (all []string, err error) {
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		if name := e.Name(); strings.HasPrefix(name, prefix) && strings.HasSuffix(name, suffix) {
			all = append(all, name)
		}
	}
	return all, err
}

// statusEvery is how often a service manager is told what the host is doing.
const statusEvery = 5 * time.Second

// manage tells the service manager how the host is, until ctx ends. Without one nobody looks at the host.
func (l *life) manage(ctx context.Context, h running) {
	if !l.manager.Managed() {
		return
	}
	var both sync.WaitGroup
	both.Go(func() {
		l.manager.Watch(ctx, func(ctx context.Context) error { _, err := h.Inspect(ctx); return err })
	})
	both.Go(func() {
		again := time.NewTicker(statusEvery)
		defer again.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-again.C:
			}
			asking, cancel := context.WithTimeout(ctx, statusEvery)
			if s, err := h.Inspect(asking); err == nil && !s.Draining {
				l.manager.Status(statusLine(s))
			}
			cancel()
		}
	})
	both.Wait()
}

// statusLine is a host in a line.
func statusLine(h inspect.Host) string {
	line := "ready"
	if h.Requests > 0 {
		line += fmt.Sprintf(", %d requests", h.Requests)
	}
	if n := len(visible(h.Health)); n > 0 {
		line += fmt.Sprintf(", %d warnings: %s", n, h.Health[0].Code)
	}
	return line
}

// stopping tells the service manager that the host ends, until ctx ends.
func (l *life) stopping(ctx context.Context, h running, limit time.Duration) {
	l.manager.Stopping(ctx, 3*limit, func() string { // work, then jobs, then what was acquired: each has the limit
		asking, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		s, err := h.Inspect(asking)
		if err != nil || s.Requests == 0 {
			return "stopping"
		}
		return fmt.Sprintf("draining, %d requests are under way", s.Requests)
	})
}
