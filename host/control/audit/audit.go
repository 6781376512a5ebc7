package audit

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/host/control/api"
)

// Options is plain data; a zero field means its default.
type Options struct {
	MaxBytes int64         // of one file. Default 8 MiB
	MaxFiles int           // the current one included. Default 8
	Memory   int           // entries in memory. Default 4096
	Sync     time.Duration // by when an entry is on disk. Default 500 ms
	Refusals int           // refused attempts a second that are kept. Default 20
	Hourly   int           // and an hour, so that who is refused cannot push out what was done. Default 2000
}

func (o Options) withDefaults() Options {
	if o.MaxBytes <= 0 {
		o.MaxBytes = 8 << 20
	}
	if o.MaxFiles <= 0 {
		o.MaxFiles = 8
	}
	if o.Memory <= 0 {
		o.Memory = 4096
	}
	if o.Sync <= 0 {
		o.Sync = 500 * time.Millisecond
	}
	if o.Refusals <= 0 {
		o.Refusals = 20
	}
	if o.Hourly <= 0 {
		o.Hourly = 2000
	}
	return o
}

// name is the current file. Older ones have a number behind it, and 1 is the youngest of them.
const name = "audit.log"

// MaxLine bounds one entry, in bytes; what is longer has lost its longest texts.
const MaxLine = 8 << 10

// Log is one audit log.
type Log struct {
	opts Options
	dir  string // "": in memory only

	mu      sync.Mutex
	file    *os.File
	size    int64
	seq     uint64
	ring    []api.Audit // the newest, in order
	news    chan struct{}
	dirty   bool
	timer   *time.Timer
	err     error
	closed  bool
	second  time.Time // that refusals are counted in
	refused int
	hour    time.Time
	inHour  int
	left    uint64 // refusals that were left out since the last entry
}

// Open opens the log in a directory, which must be there; "" keeps it in memory.
func Open(dir string, opts Options) (*Log, error) {
	l := &Log{opts: opts.withDefaults(), dir: dir, news: make(chan struct{})}
	if dir == "" {
		return l, nil
	}
	from := min(1, l.opts.MaxFiles-1) // what is older is read when it is asked for
	for len(l.ring) == 0 && from < l.opts.MaxFiles {
		for n := from; n >= 0; n-- {
			if err := l.load(n); err != nil {
				return nil, err
			}
		}
		from++
	}
	return l, l.open()
}

func (l *Log) path(n int) string {
	if n == 0 {
		return filepath.Join(l.dir, name)
	}
	return filepath.Join(l.dir, fmt.Sprintf("%s.%d", name, n))
}

// load reads one file into memory, and mends the current one: what follows its last whole line was torn by a crash.
func (l *Log) load(n int) error {
	flags := os.O_RDONLY
	if n == 0 {
		flags = os.O_RDWR
	}
	f, err := os.OpenFile(l.path(n), flags, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fault.New(fault.HostDataDir, "audit", l.path(n), err)
	}
	defer f.Close()
	whole := int64(0)
	err = lines(f, func(line []byte, end int64) bool {
		var a api.Audit
		if json.Unmarshal(line, &a) == nil && a.Seq > l.seq {
			l.keep(a)
		}
		whole = end
		return true
	})
	if err == nil && n == 0 {
		err = f.Truncate(whole)
	}
	if err != nil {
		return fault.New(fault.HostDataDir, "audit", l.path(n), err)
	}
	return nil
}

// lines calls each for all whole lines of a file, with the offset of their end, until it returns false.
func lines(r io.Reader, each func(line []byte, end int64) bool) error {
	b, end := bufio.NewReaderSize(r, 2*MaxLine), int64(0)
	for {
		line, err := b.ReadSlice('\n')
		switch {
		case errors.Is(err, bufio.ErrBufferFull): // no line of ours is that long: skip it
			for errors.Is(err, bufio.ErrBufferFull) {
				end += int64(len(line))
				line, err = b.ReadSlice('\n')
			}
			if err != nil {
				return nil
			}
			end += int64(len(line))
			continue
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
		end += int64(len(line))
		if !each(bytes.TrimSpace(line), end) {
			return nil
		}
	}
}

func (l *Log) open() error {
	f, err := os.OpenFile(l.path(0), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err == nil {
		err = f.Chmod(0o600)
	}
	if err != nil {
		return fault.New(fault.HostDataDir, "audit", l.path(0), err)
	}
	info, err := f.Stat()
	if err != nil {
		return fault.New(fault.HostDataDir, "audit", l.path(0), err)
	}
	l.file, l.size = f, info.Size()
	return nil
}

// keep puts an entry into memory.
func (l *Log) keep(a api.Audit) {
	l.seq = a.Seq
	if len(l.ring) >= 2*l.opts.Memory {
		l.ring = slices.Clone(l.ring[len(l.ring)-l.opts.Memory+1:])
	}
	l.ring = append(l.ring, a)
}

// Append adds an entry, whose sequence and time it sets.
func (l *Log) Append(a api.Audit) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return
	}
	a.At = time.Now().UTC()
	if a.Outcome == "refused" && !l.admit(a.At) {
		return
	}
	a.Seq, a.Suppressed, l.left = l.seq+1, l.left, 0
	line := encode(&a)
	l.keep(a)
	close(l.news)
	l.news = make(chan struct{})
	if l.file == nil && l.dir != "" { // it could not be opened again
		if err := l.open(); err != nil {
			l.err = err
		}
	}
	if l.file == nil {
		return
	}
	if l.size > 0 && l.size+int64(len(line)) > l.opts.MaxBytes {
		l.rotate()
	}
	if l.file == nil {
		return
	}
	n, err := l.file.Write(line)
	l.size += int64(n)
	if err != nil {
		l.err = err
		if n > 0 { // half a line must not swallow the next one
			_ = l.file.Truncate(l.size - int64(n))
			l.size -= int64(n)
		}
		return
	}
	if !l.dirty {
		l.dirty = true
		l.timer = time.AfterFunc(l.opts.Sync, l.sync)
	}
}

// admit bounds how many refusals a second are kept.
func (l *Log) admit(now time.Time) bool {
	if now.Sub(l.second) >= time.Second || now.Before(l.second) {
		l.second, l.refused = now, 0
	}
	if now.Sub(l.hour) >= time.Hour || now.Before(l.hour) {
		l.hour, l.inHour = now, 0
	}
	if l.refused++; l.refused > l.opts.Refusals || l.inHour >= l.opts.Hourly {
		l.left++
		return false
	}
	l.inHour++
	return true
}

func encode(a *api.Audit) []byte {
	line, err := json.Marshal(a)
	if err == nil && len(line) >= MaxLine {
		for _, s := range []*string{&a.Target, &a.Route, &a.Reason, &a.Origin, &a.Caller} {
			*s = fault.Quote(*s)
		}
		line, err = json.Marshal(a)
	}
	if err != nil || len(line) >= MaxLine {
		line, _ = json.Marshal(api.Audit{Seq: a.Seq, At: a.At, Outcome: a.Outcome, Code: string(fault.BugUnexpected)})
	}
	return append(line, '\n')
}

// rotate begins a new file and forgets the oldest.
func (l *Log) rotate() {
	err := l.file.Sync()
	err = errors.Join(err, l.file.Close())
	l.file = nil
	for n := l.opts.MaxFiles - 1; n > 0; n-- {
		if moved := os.Rename(l.path(n-1), l.path(n)); moved != nil && !errors.Is(moved, fs.ErrNotExist) {
			err = errors.Join(err, moved)
		}
	}
	if l.opts.MaxFiles == 1 {
		err = errors.Join(err, os.Remove(l.path(0)))
	}
	l.err = errors.Join(err, l.open())
	if d, err := os.Open(l.dir); err == nil {
		_ = d.Sync()
		_ = d.Close()
	}
}

func (l *Log) sync() {
	l.mu.Lock()
	f := l.file
	l.dirty = false
	l.mu.Unlock()
	if f == nil {
		return
	}
	if err := f.Sync(); err != nil && !errors.Is(err, os.ErrClosed) { // closed: whoever closed it has synced it
		l.mu.Lock()
		defer l.mu.Unlock()
		l.err = err
	}
}

// Failed returns why entries may not be on disk; nil: they are.
func (l *Log) Failed() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err != nil {
		return fault.New(fault.HostDataDir, "audit", l.dir, l.err)
	}
	return nil
}

// Newest returns the newest entries, the oldest of them first, and the last sequence.
func (l *Log) Newest(most int) ([]api.Audit, uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.ring[max(0, len(l.ring)-most):]), l.seq
}

// After returns up to most entries after a sequence, the oldest first; how many in between are gone; and a channel that is closed
// when there is a newer one than all there are.
func (l *Log) After(seq uint64, most int) (rows []api.Audit, lost uint64, news <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	news = l.news
	if seq >= l.seq || most <= 0 {
		return nil, 0, news
	}
	if len(l.ring) > 0 && seq+1 < l.ring[0].Seq && l.dir != "" {
		rows = l.fromFiles(seq, most)
	}
	if len(rows) == 0 {
		at, _ := slices.BinarySearchFunc(l.ring, seq+1, func(a api.Audit, n uint64) int {
			switch {
			case a.Seq < n:
				return -1
			case a.Seq > n:
				return 1
			}
			return 0
		})
		rows = slices.Clone(l.ring[at:min(len(l.ring), at+most)])
	}
	if len(rows) > 0 {
		lost = rows[0].Seq - seq - 1
	}
	return rows, lost, news
}

// fromFiles reads what is no longer in memory.
func (l *Log) fromFiles(seq uint64, most int) (rows []api.Audit) {
	for n := l.opts.MaxFiles - 1; n >= 0 && len(rows) < most; n-- {
		f, err := os.Open(l.path(n))
		if err != nil {
			continue
		}
		_ = lines(f, func(line []byte, _ int64) bool {
			var a api.Audit
			if json.Unmarshal(line, &a) == nil && a.Seq > seq && (len(rows) == 0 || a.Seq > rows[len(rows)-1].Seq) {
				rows = append(rows, a)
			}
			return len(rows) < most
		})
		_ = f.Close()
	}
	return rows
}

// Close writes what is left. What is appended later is dropped.
func (l *Log) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil
	}
	l.closed = true
	if l.timer != nil {
		l.timer.Stop()
	}
	if l.file == nil {
		return nil
	}
	return errors.Join(l.file.Sync(), l.file.Close())
}
