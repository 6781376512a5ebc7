package host

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"slices"
	"sync"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/kernel"
	"github.com/troupehost/troupe/actors/meter"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/actors/sessions"
	"github.com/troupehost/troupe/artifacts/manifest"
	"github.com/troupehost/troupe/artifacts/wasm"
	"github.com/troupehost/troupe/host/abi"
	"github.com/troupehost/troupe/host/internal/appdata"
	"github.com/troupehost/troupe/host/internal/calls"
)

// liveApp is what the instances and runs of one deployed app share, from the first of them to its removal.
type liveApp struct {
	a     *apps
	rec   sessions.Record
	m     *manifest.Manifest
	terms manifest.Terms
	calls *calls.App
	logs  *appdata.AppLog
	space *appdata.KV // nil: it has none
}

// open returns an app, and makes it at the first time.
func (a *apps) open(ctx context.Context, rec *sessions.Record, m *manifest.Manifest) (*liveApp, error) {
	if app := a.opened(rec); app != nil {
		return app, nil
	}
	o := a.beginOpen(rec.Address)
	defer a.endOpen(o)
	v, err := kernel.Ask(ctx, a.actor, func(to kernel.Reply[sessions.SessionView]) sessions.Message { return sessions.Session{Reply: to} })
	if err != nil {
		return nil, err
	}
	logs, err := a.logs.App(rec.Address)
	if err != nil {
		return nil, err
	}
	app := &liveApp{a: a, logs: logs, rec: *rec, m: m, terms: m.Settled()}
	c := calls.AppConfig{Address: rec.Address, Session: rec.Session, Tenant: rec.Tenant, Stranger: stranger(rec.Tenant), Label: m.Label, Config: rec.Config,
		Grants: app.terms.Grants, Blobs: needs(m), Keys: a.keys, Token: a.token(rec.Address)}
	if v.Open != nil {
		c.WorkerSession = v.Open.ID
	}
	ip, kv := a.h.placed.terms(rec.Address)
	c.ListenAt = ip
	if kv > 0 {
		app.terms.Grants.KVBytes = kv
		c.Grants.KVBytes = kv
	}
	if q := app.terms.Grants.KVBytes; q > 0 {
		app.space = a.spaces.Open(rec.Address, a.keys.Seal(rec.Address), int64(min(q, 1<<62)))
		c.KV = space{app.space}
	}
	app.calls = a.served.App(c)
	return a.keep(o, app)
}

// opening is an app that is about to be opened.
type opening struct {
	addr manifest.Address
	gone bool // it was removed meanwhile; guarded by apps.mu
}

func (a *apps) beginOpen(addr manifest.Address) *opening {
	o := &opening{addr: addr}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.openings[o] = struct{}{}
	return o
}

func (a *apps) endOpen(o *opening) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.openings, o)
}

// keep puts an app among those that live, unless it was removed since its opening began: nobody would close it.
func (a *apps) keep(o *opening, app *liveApp) (*liveApp, error) {
	rec := &app.rec
	a.mu.Lock()
	defer a.mu.Unlock()
	if o.gone {
		app.close()
		return nil, fault.New(fault.CallerNotFound, "open", rec.Address.String(), nil)
	}
	if other := a.live[rec.Address]; other != nil && other.rec.Session == rec.Session { // another request was faster
		app.close()
		return other, nil
	}
	a.live[rec.Address] = app
	return app, nil
}

// opened returns an app that was opened before, or nil.
func (a *apps) opened(rec *sessions.Record) *liveApp {
	a.mu.Lock()
	defer a.mu.Unlock()
	if app := a.live[rec.Address]; app != nil && app.rec.Session == rec.Session {
		return app
	}
	return nil
}

// scan reads the structure of code; its bodies are for the prepare worker to judge.
func (a *apps) scan(ctx context.Context, hash string) (*wasm.Module, error) {
	code, err := a.code(ctx, hash)
	if err != nil {
		return nil, err
	}
	if bytes.HasPrefix(code, wasm.CompressedPrefix) {
		if code, err = wasm.Inflate(code, a.h.cfg.MaxInflatedBytes); err != nil {
			return nil, err
		}
	}
	return wasm.Scan(code)
}

// maxPrograms is how many kinds of code are remembered.
const maxPrograms = 4096

// kindOf looks at what code imports and exports, once for all apps that have it.
func (a *apps) kindOf(ctx context.Context, name string) (manifest.Entry, error) {
	hash, err := a.blob(name)
	if err != nil {
		return 0, err
	}
	a.mu.Lock()
	kind, known := a.programs[hash]
	a.mu.Unlock()
	if known {
		return kind, nil
	}
	m, err := a.scan(ctx, name)
	if err != nil {
		return 0, err
	}
	kind = manifest.Handler
	if slices.ContainsFunc(m.Exports, func(e wasm.Export) bool { return e.Kind == wasm.Func && e.Name == "_start" }) {
		kind = manifest.Command
	}
	if slices.ContainsFunc(m.Imports, func(i wasm.Import) bool { return i.Module == abi.Troupe && i.Name == "accept" }) {
		kind = manifest.Service
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.programs) >= maxPrograms {
		clear(a.programs)
	}
	a.programs[hash] = kind
	return kind, nil
}

// gone ends what is left of an app that was removed.
func (a *apps) gone(addr manifest.Address) {
	a.history.drop(addr)
	a.mu.Lock()
	app := a.live[addr]
	delete(a.live, addr)
	delete(a.deployed, addr)
	for o := range a.openings {
		o.gone = o.gone || o.addr == addr
	}
	for name, of := range a.names {
		if of == addr {
			delete(a.names, name)
		}
	}
	a.mu.Unlock()
	if app != nil {
		app.close()
	}
}

func (l *liveApp) close() {
	l.calls.Close()
	l.logs.Close()
	if l.space != nil {
		l.space.Close()
	}
}

// is notes that an app is deployed, until it is gone.
func (a *apps) is(addr manifest.Address) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.deployed[addr] = struct{}{}
}

// claim takes the TLS server names of an app.
func (a *apps) claim(addr manifest.Address, names []string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, n := range names {
		if of, taken := a.names[n]; taken && of != addr {
			return fault.New(fault.CallerConflict, "deploy", fault.Quote(n), nil).WithHint("another app has this server name: remove it first")
		}
	}
	for _, n := range names {
		a.names[n] = addr
	}
	return nil
}

// named finds the app of a server name.
func (a *apps) named(name string) (manifest.Address, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	addr, ok := a.names[name]
	return addr, ok
}

// countAll has counted what guests have used until now and did not tell, and the storage of apps without an instance.
func (a *apps) countAll(ctx context.Context, which []manifest.Address) error {
	a.mu.Lock()
	guests := slices.Collect(maps.Keys(a.guests))
	var all []*liveApp
	for addr, app := range a.live {
		if app.terms.Grants.KVBytes > 0 && (which == nil || slices.Contains(which, addr)) {
			all = append(all, app)
		}
	}
	a.mu.Unlock()
	for _, g := range guests {
		if which != nil && !slices.Contains(which, g.meter.app) {
			continue
		}
		if err := g.count(ctx); err != nil && fault.CodeOf(err) != fault.CallerNotFound {
			return err
		}
	}
	for _, app := range all {
		if u := app.calls.Stored(); u != (meter.Use{}) {
			if err := a.use(ctx, app.rec.Address, u); err != nil && fault.CodeOf(err) != fault.CallerNotFound {
				return err
			}
		}
	}
	return nil
}

// entry is that of a command or a service.
func (l *liveApp) entry(env ...string) run.Entry {
	e := run.Entry{Mode: run.Command, Name: l.rec.Address.String(), Args: slices.Clone(l.m.Args)}
	for _, p := range l.m.Env {
		e.Env = append(e.Env, p.Key+"="+p.Value)
	}
	e.Env = append(e.Env, env...)
	return e
}

// outputBytes bounds a reply.
func (l *liveApp) outputBytes() int64 {
	limits := limitsOf(&l.terms, false).WithDefaults()
	return limits.OutputBytes
}

// log takes what an instance logs.
func (l *liveApp) log(instance uint64) appdata.LogWriter { return l.logs.Instance(instance) }

// stream takes what an instance writes to stdout or stderr.
func (l *liveApp) stream(instance uint64, level int) *logStream {
	return &logStream{log: l.log(instance), level: level}
}

// maxLogLine is where a line without an end is cut, in bytes.
const maxLogLine = 8 << 10

// logStream logs what is written line by line. What is not a whole line yet is logged by close.
type logStream struct {
	log   appdata.LogWriter
	level int
	mu    sync.Mutex
	line  []byte
}

// Write implements io.Writer.
func (s *logStream) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for rest := p; len(rest) > 0; {
		n := bytes.IndexByte(rest, '\n')
		if n < 0 && len(s.line)+len(rest) < maxLogLine {
			s.line = append(s.line, rest...)
			break
		}
		next := n + 1
		if room := maxLogLine - len(s.line); n < 0 || n > room {
			n = min(room, len(rest))
			next = n
		}
		s.log.Write(s.level, append(s.line, rest[:n]...))
		s.line, rest = s.line[:0], rest[next:]
	}
	return len(p), nil
}

func (s *logStream) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.line) > 0 {
		s.log.Write(s.level, s.line)
		s.line = nil
	}
}

// space is a key-value space in the words of package calls.
type space struct{ kv *appdata.KV }

func (s space) Get(ctx context.Context, key string) ([]byte, error) {
	b, err := s.kv.Get(ctx, key)
	return b, spoken(err)
}
func (s space) Put(ctx context.Context, key string, v []byte) error {
	return spoken(s.kv.Put(ctx, key, v))
}
func (s space) Delete(ctx context.Context, key string) error { return spoken(s.kv.Delete(ctx, key)) }
func (s space) List(ctx context.Context, prefix, after string, most int) ([]string, error) {
	return s.kv.List(ctx, prefix, after, most)
}
func (s space) Used() (bytes, quota int64) { return s.kv.Used() }

func spoken(err error) error {
	switch {
	case errors.Is(err, appdata.ErrNotFound):
		return calls.ErrNotFound
	case fault.CodeOf(err) == fault.CallerQuota:
		return calls.ErrQuota
	}
	return err
}

// resizeSpace changes how much an app may keep. One without a space gets it when it is opened next.
func (a *apps) resizeSpace(addr manifest.Address, bytes uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if app := a.live[addr]; app != nil && app.space != nil {
		app.space.Resize(int64(min(bytes, 1<<62)))
	}
}
