package appdata

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/artifacts/manifest"
)

// LogConfig says how much is logged. Zero numbers mean their defaults.
type LogConfig struct {
	Dir        string           // of all logs; each app has a directory in it
	AppBytes   int64            // of the log of one app; default 8 MiB
	TotalBytes int64            // of all logs; default 256 MiB. The log that was not written to for the longest time gives way
	Rate       int64            // bytes that one app may log per second; default 1 MiB
	Burst      int64            // and at once; default 1 MiB
	Waiting    int64            // bytes of one app that wait to be written; default 256 KiB, at most a quarter of AppBytes
	AllWaiting int64            // and of all; default 16 MiB
	Room       func() bool      // whether the disk has room for logs; nil: always
	Now        func() time.Time // default time.Now

	write func(f *os.File, b []byte, at int64) (int, error) // tests have disks that are full
}

func (c LogConfig) withDefaults() LogConfig {
	for _, d := range []struct {
		field *int64
		value int64
	}{{&c.AppBytes, 8 << 20}, {&c.TotalBytes, 256 << 20}, {&c.Rate, 1 << 20}, {&c.Burst, 1 << 20}, {&c.Waiting, 256 << 10}, {&c.AllWaiting, 16 << 20}} {
		if *d.field <= 0 {
			*d.field = d.value
		}
	}
	c.Waiting = min(c.Waiting, c.AppBytes/segments)
	if c.Room == nil {
		c.Room = func() bool { return true }
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.write == nil {
		c.write = func(f *os.File, b []byte, at int64) (int, error) { return f.WriteAt(b, at) }
	}
	return c
}

// segments is how many files the log of an app has, the oldest of which goes when there is no room.
const segments = 4

// Logs has the logs of all apps.
type Logs struct {
	cfg     LogConfig
	root    *os.Root
	waiting atomic.Int64 // bytes of all apps that wait to be written
	wake    chan struct{}
	done    sync.WaitGroup

	file  sync.Mutex // guards all files and what is known of them; taken before the others
	total int64      // bytes of all files

	mu     sync.Mutex // taken before AppLog.mu
	apps   map[manifest.Address]*AppLog
	dirty  []*AppLog // those that have something to be written
	closed bool
}

// AppLog is the log of one app.
type AppLog struct {
	logs *Logs
	dir  string
	app  manifest.Address
	open int // how often; guarded by Logs.mu

	mu      sync.Mutex
	files   []segment // the oldest first; changed under Logs.file as well
	loaded  bool      // next and drops are those of the files
	written time.Time // when, last
	next    uint64    // number of the next line
	tokens  int64     // bytes that may be logged now
	filled  time.Time // tokens are of then
	buf     []byte    // lines to be written
	first   uint64    // number of the first of them
	lines   uint64    // how many
	listed  bool      // in Logs.dirty
	drops   Drops
	changed chan struct{} // closed when lines were written
}

// segment is one file of lines.
type segment struct {
	first uint64 // number of its first line, by which it is named
	size  int64
}

func (s segment) name() string { return fmt.Sprintf("%020d.jsonl", s.first) }

// Drops are what could not be logged, since the log was begun.
type Drops struct{ Lines, Bytes uint64 }

// OpenLogs opens or makes the directory of all logs.
//
// # Errors
//
// host.data_dir_unwritable.
func OpenLogs(cfg LogConfig) (*Logs, error) {
	cfg = cfg.withDefaults()
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, fault.New(fault.HostDataDir, "make", cfg.Dir, err)
	}
	root, err := os.OpenRoot(cfg.Dir)
	if err != nil {
		return nil, fault.New(fault.HostDataDir, "open", cfg.Dir, err)
	}
	l := &Logs{cfg: cfg, root: root, wake: make(chan struct{}, 1), apps: map[manifest.Address]*AppLog{}}
	if err := l.look(); err != nil {
		_ = root.Close()
		return nil, fault.New(fault.HostDataDir, "read", cfg.Dir, err)
	}
	l.done.Go(l.run)
	return l, nil
}

// look finds the logs that are there.
func (l *Logs) look() error {
	dirs, err := fs.ReadDir(l.root.FS(), ".")
	for _, d := range dirs {
		address, bad := hex.DecodeString(d.Name())
		if bad != nil || len(address) != len(manifest.Address{}) || !d.IsDir() {
			continue // nobody wrote this
		}
		a := l.newApp(manifest.Address(address))
		files, err := fs.ReadDir(l.root.FS(), d.Name())
		if err != nil {
			return err
		}
		for _, f := range files {
			var s segment
			if _, bad := fmt.Sscanf(f.Name(), "%d.jsonl", &s.first); bad != nil || s.name() != f.Name() {
				continue
			}
			st, err := f.Info()
			if err != nil {
				return err
			}
			s.size = st.Size()
			l.total += s.size
			a.files = append(a.files, s)
			if st.ModTime().After(a.written) {
				a.written = st.ModTime()
			}
		}
		if len(a.files) > 0 {
			l.apps[a.app] = a
		}
	}
	return err
}

func (l *Logs) newApp(app manifest.Address) *AppLog {
	return &AppLog{logs: l, dir: hex.EncodeToString(app[:]), app: app, next: 1, changed: make(chan struct{}), tokens: l.cfg.Burst, filled: l.cfg.Now()}
}

// App opens the log of an app. Close it when nobody logs or reads any more.
//
// # Errors
//
// host.disk_io when what is there cannot be read.
func (l *Logs) App(app manifest.Address) (*AppLog, error) {
	l.file.Lock()
	defer l.file.Unlock()
	l.mu.Lock()
	a := l.apps[app]
	if a == nil {
		a = l.newApp(app)
		l.apps[app] = a
	}
	a.open++
	l.mu.Unlock()
	if err := a.load(); err != nil {
		a.Close()
		return nil, fault.New(fault.HostDiskIO, "open log", a.dir, err)
	}
	return a, nil
}

// load cuts off a line that a crash left half, and goes on with the numbers after the last one. The caller holds Logs.file.
func (a *AppLog) load() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.loaded || len(a.files) == 0 {
		a.loaded = true
		return nil
	}
	last := &a.files[len(a.files)-1]
	b, err := a.logs.root.ReadFile(path.Join(a.dir, last.name()))
	if err != nil {
		return err
	}
	whole := strings.LastIndexByte(string(b), '\n') + 1
	if whole < len(b) {
		if err := a.truncate(*last, int64(whole)); err != nil {
			return err
		}
	}
	a.logs.total += int64(whole) - last.size
	last.size = int64(whole)
	a.next = max(a.next, last.first)
	for text := range strings.Lines(string(b[:whole])) {
		if line, d, err := decodeLine([]byte(text)); err == nil {
			a.next = max(a.next, line.Seq+1)
			a.drops.Lines, a.drops.Bytes = max(a.drops.Lines, d.Lines), max(a.drops.Bytes, d.Bytes)
		}
	}
	a.loaded = true
	return nil
}

func (a *AppLog) truncate(s segment, size int64) error {
	f, err := a.logs.root.OpenFile(path.Join(a.dir, s.name()), os.O_RDWR, 0)
	if err != nil {
		return err
	}
	return errors.Join(f.Truncate(size), f.Close())
}

// Close gives the log back; what it has stays.
func (a *AppLog) Close() {
	a.logs.mu.Lock()
	defer a.logs.mu.Unlock()
	a.open--
	a.mu.Lock()
	defer a.mu.Unlock()
	a.forgetIfUnused()
}

// forgetIfUnused leaves nothing of an app in memory that has no log. The caller holds both mutexes.
func (a *AppLog) forgetIfUnused() {
	if a.open == 0 && len(a.files) == 0 && !a.listed {
		delete(a.logs.apps, a.app)
	}
}

// Remove removes the log of an app.
func (l *Logs) Remove(app manifest.Address) error {
	l.file.Lock()
	defer l.file.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	a := l.apps[app]
	if a == nil {
		return nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if err := l.root.RemoveAll(a.dir); err != nil {
		return fault.New(fault.HostDiskIO, "remove log", a.dir, err)
	}
	for _, s := range a.files {
		l.total -= s.size
	}
	l.waiting.Add(-int64(len(a.buf)))
	a.files, a.buf, a.lines, a.drops = nil, nil, 0, Drops{}
	a.forgetIfUnused()
	return nil
}

// Bytes returns the bytes of all logs.
func (l *Logs) Bytes() int64 {
	l.file.Lock()
	defer l.file.Unlock()
	return l.total
}

// Close writes what waits, and ends.
func (l *Logs) Close() error {
	l.mu.Lock()
	was := l.closed
	l.closed = true
	l.mu.Unlock()
	if was {
		return nil
	}
	l.kick()
	l.done.Wait()
	return l.root.Close()
}

func (l *Logs) kick() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// run writes what waits, until Close.
func (l *Logs) run() {
	for range l.wake {
		for {
			l.mu.Lock()
			if len(l.dirty) == 0 {
				closed := l.closed
				l.dirty = nil
				l.mu.Unlock()
				if closed {
					return
				}
				break
			}
			a := l.dirty[0]
			l.dirty = l.dirty[1:]
			a.mu.Lock()
			a.listed = false
			a.mu.Unlock()
			l.mu.Unlock()
			a.flush()
			l.mu.Lock()
			a.mu.Lock()
			a.forgetIfUnused()
			a.mu.Unlock()
			l.mu.Unlock()
		}
	}
}

// flush writes what waits of an app, or drops it.
func (a *AppLog) flush() {
	l := a.logs
	l.file.Lock()
	defer l.file.Unlock()
	a.mu.Lock()
	buf, first, lines := a.buf, a.first, a.lines
	a.buf, a.lines = nil, 0
	a.mu.Unlock()
	if len(buf) == 0 {
		return
	}
	l.waiting.Add(-int64(len(buf)))
	err := errNoRoom
	if l.cfg.Room() {
		err = a.append(buf, first)
	}
	a.mu.Lock()
	a.written = l.cfg.Now()
	if err != nil {
		a.drops.Lines += lines
		a.drops.Bytes += uint64(len(buf))
	}
	close(a.changed)
	a.changed = make(chan struct{})
	a.mu.Unlock()
	l.prune(a)
}

var errNoRoom = errors.New("no room")

// append writes lines to the newest file, or to a new one.
func (a *AppLog) append(b []byte, first uint64) error {
	l, size := a.logs, int64(len(b))
	a.mu.Lock()
	files, used := slices.Clone(a.files), int64(0)
	a.mu.Unlock()
	for _, s := range files {
		used += s.size
	}
	for ; len(files) > 0 && used+size > l.cfg.AppBytes; files = files[1:] {
		if err := a.dropOldest(); err != nil {
			return err
		}
		used -= files[0].size
	}
	if n := len(files); n == 0 || files[n-1].size+size > l.cfg.AppBytes/segments {
		if err := l.root.MkdirAll(a.dir, 0o700); err != nil {
			return err
		}
		files = append(files, segment{first: first})
	}
	last := &files[len(files)-1]
	f, err := l.root.OpenFile(path.Join(a.dir, last.name()), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	if _, err = l.cfg.write(f, b, last.size); err != nil {
		err = errors.Join(err, f.Truncate(last.size)) // what follows is written over it in any case
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	last.size += size
	l.total += size
	a.mu.Lock()
	a.files = files
	a.mu.Unlock()
	return nil
}

// dropOldest removes the oldest file of an app. The caller holds Logs.file.
func (a *AppLog) dropOldest() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	err := a.logs.root.Remove(path.Join(a.dir, a.files[0].name()))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	a.logs.total -= a.files[0].size
	a.files = slices.Clone(a.files[1:])
	if len(a.files) == 0 {
		_ = a.logs.root.Remove(a.dir)
	}
	return nil
}

// prune removes the oldest files of those who have not logged for the longest time, while there is too much of all. The
// caller holds Logs.file.
func (l *Logs) prune(besides *AppLog) {
	for l.total > l.cfg.TotalBytes {
		l.mu.Lock()
		var oldest *AppLog
		var when time.Time
		for _, a := range l.apps {
			a.mu.Lock()
			if a != besides && len(a.files) > 0 && (oldest == nil || a.written.Before(when)) {
				oldest, when = a, a.written
			}
			a.mu.Unlock()
		}
		l.mu.Unlock()
		if oldest == nil || oldest.dropOldest() != nil {
			return // one log alone has its own limit
		}
		l.mu.Lock()
		oldest.mu.Lock()
		oldest.forgetIfUnused()
		oldest.mu.Unlock()
		l.mu.Unlock()
	}
}

// LogWriter logs for one instance of an app.
type LogWriter struct {
	log      *AppLog
	instance uint64
}

// Instance returns the writer of an instance.
func (a *AppLog) Instance(id uint64) LogWriter { return LogWriter{a, id} }

// Write logs a text of a guest, which it does not keep. It never waits for the disk: what is too much is dropped and counted.
func (w LogWriter) Write(level int, text []byte) {
	a, l := w.log, w.log.logs
	now := l.cfg.Now()
	a.mu.Lock()
	dropped := len(text) > MaxText
	if dropped {
		a.drops.Bytes += uint64(len(text) - MaxText)
		text = text[:MaxText]
	}
	a.refill(now)
	size := int64(len(text)) + lineOverhead
	if a.tokens < size || int64(len(a.buf))+size > l.cfg.Waiting || l.waiting.Load()+size > l.cfg.AllWaiting {
		a.drop(text)
		a.mu.Unlock()
		return
	}
	before := len(a.buf)
	a.buf = appendLine(a.buf, Line{Seq: a.next, Time: now, Instance: w.instance, Level: level, Text: text}, a.drops)
	size = int64(len(a.buf) - before)
	if int64(len(a.buf)) > l.cfg.Waiting { // it has grown by escapes
		a.buf = a.buf[:before]
		a.drop(text)
		a.mu.Unlock()
		return
	}
	a.tokens -= size
	l.waiting.Add(size)
	if a.lines == 0 {
		a.first = a.next
	}
	a.next++
	a.lines++
	list := !a.listed
	a.listed = true
	a.mu.Unlock()
	if list {
		l.mu.Lock()
		l.dirty = append(l.dirty, a)
		l.mu.Unlock()
		l.kick()
	}
}

// refill adds what may be logged by the time that went by, and keeps what is less than a byte for the next time.
func (a *AppLog) refill(now time.Time) {
	c := a.logs.cfg
	since := now.Sub(a.filled)
	full := time.Duration(float64(c.Burst-a.tokens) / float64(c.Rate) * float64(time.Second))
	if since < 0 || since >= full { // or the clock was set back
		if a.filled = now; since >= full {
			a.tokens = c.Burst
		}
		return
	}
	more := int64(since.Seconds() * float64(c.Rate))
	a.tokens += more
	a.filled = a.filled.Add(time.Duration(float64(more) / float64(c.Rate) * float64(time.Second)))
}

func (a *AppLog) drop(text []byte) {
	a.drops.Lines++
	a.drops.Bytes += uint64(len(text))
}

// Dropped returns what could not be logged.
func (a *AppLog) Dropped() Drops {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.drops
}

// wait returns when lines were written after changed was taken, or ctx ended.
func wait(ctx context.Context, changed <-chan struct{}) error {
	select {
	case <-changed:
	case <-ctx.Done():
	}
	if err := ctx.Err(); err != nil {
		return fault.From(err)
	}
	return nil
}
